//! The way down: `ExecStopPre=`, all is closed, `ExecStopPost=`, signals for commands that do not end, and time limits.

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{KillMode, LimitAction, Span};

use super::{SocketResult, SocketState};
use crate::engine::Engine;
use crate::event::{Action, ExecList, KillScope, Port};
use crate::job::Begun;
use crate::limit::RateLimit;

impl Engine {
    /// Stops, to be started again; but, unless a limit is to take it down, not where that start would be refused: systemd closes first
    /// and then finds out.
    pub(crate) fn socket_restart(&mut self, name: &UnitName) -> Begun {
        if self.socket(name).is_open()
            && self.limit_action(name) == LimitAction::Pause
            && let Err(why) = self.may_listen(name).and_then(|()| self.may_start_again(name))
        {
            self.log_error(name, format!("not restarted, it goes on listening: {why}"));
            return Begun::Refused;
        }
        self.socket_stop(name)
    }

    fn may_start_again(&mut self, name: &UnitName) -> Result<(), String> {
        let (now, rate) = (self.now, self.start_rate(name));
        match self.socket_mut(name).start_limit.room(now, rate) {
            0 => Err("started too often; `reset-failed` forgets the count".to_owned()),
            _ => Ok(()),
        }
    }

    pub(crate) fn socket_stop(&mut self, name: &UnitName) -> Begun {
        match self.socket(name).state {
            SocketState::Dead | SocketState::Failed => Begun::Done,
            SocketState::StartOpen => Begun::Wait,
            SocketState::StartPre | SocketState::StartChown | SocketState::StartPost => {
                self.socket_signal(name, SocketState::StopPreSigterm, SocketResult::Success);
                Begun::Pending
            }
            SocketState::Listening | SocketState::Paused | SocketState::Running => {
                self.enter_closing(name, SocketResult::Success);
                Begun::Pending
            }
            SocketState::StopPre
            | SocketState::StopPreSigterm
            | SocketState::StopPreSigkill
            | SocketState::StopPost
            | SocketState::FinalSigterm
            | SocketState::FinalSigkill => Begun::Pending,
        }
    }

    pub(super) fn enter_closing(&mut self, name: &UnitName, result: SocketResult) {
        self.note_socket_result(name, result);
        self.abandon_control(name);
        self.socket_run(name, ExecList::StopPre, 0);
    }

    pub(super) fn enter_closed(&mut self, name: &UnitName, result: SocketResult) {
        self.note_socket_result(name, result);
        self.abandon_control(name);
        self.socket_run(name, ExecList::StopPost, 0);
        // After the command was asked for, which may get them.
        self.close_listeners(name);
    }

    /// Signals the command that still runs, as `KillMode=` says, and waits for its end; goes on at once where there is none.
    pub(super) fn socket_signal(&mut self, name: &UnitName, state: SocketState, result: SocketResult) {
        self.note_socket_result(name, result);
        let kill = &self.socket_unit(name).kill;
        let is_last = matches!(state, SocketState::StopPreSigkill | SocketState::FinalSigkill);
        let signal = if is_last { kill.final_kill_signal.number() } else { kill.kill_signal.number() };
        let is_spared = kill.kill_mode == KillMode::None;
        match self.socket(name).control.filter(|_| !is_spared) {
            Some(control) => {
                self.kill_scope(control.process, signal, KillScope::Session);
                self.set_socket_state(name, state);
                let limit = self.socket_time_limit(name);
                self.set_deadline(name, self.now.after(limit));
                if !state.has_listeners() {
                    self.close_listeners(name);
                }
            }
            None if state.has_listeners() => self.enter_closed(name, SocketResult::Success),
            None => self.enter_socket_down(name, SocketResult::Success),
        }
    }

    /// How long a command may take, and how long it has to heed a signal (`TimeoutSec=`).
    pub(super) fn socket_time_limit(&self, name: &UnitName) -> Span {
        self.section(name).timeout_sec.unwrap_or(self.settings.default_timeout_start_sec)
    }

    /// Dead, or failed when there is a reason.
    pub(super) fn enter_socket_down(&mut self, name: &UnitName, result: SocketResult) {
        self.note_socket_result(name, result);
        self.abandon_control(name);
        self.close_listeners(name);
        let result = self.socket(name).result;
        if result == SocketResult::Success {
            self.set_socket_state(name, SocketState::Dead);
            self.log_info(name, "closed".to_owned());
        } else {
            self.set_socket_state(name, SocketState::Failed);
            self.log_error(name, format!("failed: {}", result.as_str()));
        }
        // Asked of the state: once no socket of the group is open.
        self.forget_wish(name);
    }

    fn close_listeners(&mut self, name: &UnitName) {
        self.forget_hangs(name);
        let ports: Vec<Port> = self.open_ports(name).collect();
        let socket = self.socket_mut(name);
        socket.ports.clear();
        socket.members.clear();
        socket.is_held = false;
        self.forget_steering(name);
        self.drop_ports(name, ports);
    }

    /// Closes listeners that the unit has no more.
    pub(super) fn drop_ports(&mut self, name: &UnitName, ports: Vec<Port>) {
        for port in &ports {
            self.listeners.remove(&port.fd);
        }
        if !ports.is_empty() {
            self.out.push(Action::Close { socket: name.clone(), ports });
        }
    }

    pub(crate) fn socket_reset(&mut self, name: &UnitName) {
        let socket = self.socket_mut(name);
        socket.start_limit = RateLimit::default();
        socket.trigger_limit = RateLimit::default();
        if socket.state == SocketState::Failed {
            socket.result = SocketResult::Success;
            self.set_socket_state(name, SocketState::Dead);
        }
    }

    /// The time of the present state is over.
    pub(crate) fn socket_timeout(&mut self, name: &UnitName) {
        let kills = self.socket_unit(name).kill.send_sigkill;
        let state = self.socket(name).state;
        if !matches!(state, SocketState::Paused | SocketState::Listening | SocketState::Running) {
            self.log_warning(name, format!("{} timed out", state.as_str()));
        }
        let timeout = SocketResult::Timeout;
        match state {
            SocketState::Paused => self.end_pause(name),
            SocketState::Listening | SocketState::Running => self.resume_polls(name),
            SocketState::StartPre => self.socket_signal(name, SocketState::FinalSigterm, timeout),
            SocketState::StartChown | SocketState::StartPost => self.enter_closing(name, timeout),
            SocketState::StopPre => self.socket_signal(name, SocketState::StopPreSigterm, timeout),
            SocketState::StopPreSigterm if kills => {
                self.socket_signal(name, SocketState::StopPreSigkill, timeout);
            }
            SocketState::StopPreSigterm | SocketState::StopPreSigkill => self.enter_closed(name, timeout),
            SocketState::StopPost => self.socket_signal(name, SocketState::FinalSigterm, timeout),
            SocketState::FinalSigterm if kills => {
                self.socket_signal(name, SocketState::FinalSigkill, timeout)
            }
            SocketState::FinalSigterm | SocketState::FinalSigkill => self.enter_socket_down(name, timeout),
            SocketState::Dead | SocketState::StartOpen | SocketState::Failed => {}
        }
    }
}
