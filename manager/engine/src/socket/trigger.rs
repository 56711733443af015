//! Traffic: what it starts, the limits that it hits, and following what was started.

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{LimitAction, Span};

use super::{SocketResult, SocketState};
use crate::engine::Engine;
use crate::event::{Action, Port};
use crate::ids::{FdId, Time};
use crate::limit::RateLimit;
use crate::service::Activity;

/// A pause whose limit has no end of its own lasts this long.
const PAUSE: Span = Span::from_secs(2);

impl Engine {
    pub(crate) fn socket_incoming(&mut self, fd: FdId) {
        let Some(name) = self.listeners.get(&fd).cloned() else { return };
        let Some(index) = self.socket(&name).ports.iter().position(|open| open.port.fd == fd) else { return };
        let slot = self.socket(&name).ports[index].port.slot;
        self.count_poll(&name, index);
        match (self.socket(&name).state, slot) {
            (SocketState::Listening, _) if self.is_stopping_by_job(&name) => {
                self.out.push(Action::Flush { fd })
            }
            // Unwatched when it was held; a wakeup already under way may still arrive.
            (SocketState::Listening | SocketState::Running, _) if self.is_held(&name) => {}
            (SocketState::Listening, _) if self.section(&name).accept => self.accept(&name, fd),
            (SocketState::Listening, _) => self.trigger(&name),
            (SocketState::Running, _) if self.socket(&name).ports[index].is_fresh => self.pass_fresh(&name),
            (SocketState::Running, _)
                if self.watches_for_crowd(&name, self.socket(&name).ports[index].port) =>
            {
                // Whoever looks for more than that looks when it is watched again.
                self.begin_scaling(&name);
            }
            (SocketState::Running, Some(slot))
                if self.watches_for_hang(&name, self.socket(&name).ports[index].port) =>
            {
                self.begin_looks(&name, fd, slot);
            }
            (SocketState::Running, Some(slot)) => {
                self.trigger_slot(&name, self.socket(&name).ports[index].port, slot);
            }
            // Unwatched when the state was entered; a wakeup already under way may still arrive.
            (SocketState::Running, None)
            | (
                SocketState::Dead
                | SocketState::StartPre
                | SocketState::StartOpen
                | SocketState::StartChown
                | SocketState::StartPost
                | SocketState::Paused
                | SocketState::StopPre
                | SocketState::StopPreSigterm
                | SocketState::StopPreSigkill
                | SocketState::StopPost
                | SocketState::FinalSigterm
                | SocketState::FinalSigkill
                | SocketState::Failed,
                _,
            ) => {}
        }
    }

    /// Counts a wakeup by one listener. After `PollLimitBurst=` of them nobody looks at it until the window ends; what waits there, waits.
    fn count_poll(&mut self, name: &UnitName, index: usize) {
        let (now, rate) = (self.now, self.poll_rate(name));
        let polls = &mut self.socket_mut(name).ports[index].polls;
        polls.admit(now, rate);
        if polls.is_spent(now, rate) {
            self.await_polls(name);
            self.refresh_watches(name);
        }
    }

    /// Has the unit looked at again when the first of its windows ends.
    pub(super) fn await_polls(&mut self, name: &UnitName) {
        let (now, rate) = (self.now, self.poll_rate(name));
        if rate.is_off() {
            return;
        }
        let ports = self.socket(name).ports.iter();
        let ends = ports.filter(|open| open.polls.is_spent(now, rate));
        let next = ends.filter_map(|open| open.polls.window_end(rate)).min();
        self.set_deadline(name, next);
    }

    pub(super) fn resume_polls(&mut self, name: &UnitName) {
        self.await_polls(name);
        self.refresh_watches(name);
    }

    /// A listener cannot be waited for: it is a plain file.
    pub(crate) fn socket_unwatchable(&mut self, fd: FdId, why: String) {
        let Some(name) = self.listeners.get(&fd).cloned() else { return };
        self.log_error(&name, why);
        self.enter_closing(&name, SocketResult::Resources);
    }

    /// Traffic on a socket that hands over its listeners: start what it triggers, unless something is being done to that already.
    fn trigger(&mut self, name: &UnitName) {
        if !self.admit_trigger(name) {
            return;
        }
        let Some(service) = self.triggered(name) else { return };
        if self.activity(&service) == Activity::Idle
            && self.job_of(&service).is_none()
            && let Err(error) = self.start_for_traffic(&service)
        {
            self.log_error(name, format!("cannot start {service}: {error}"));
            return self.limit_hit(name, SocketResult::Resources, None);
        }
        self.set_socket_state(name, SocketState::Running);
    }

    /// Traffic in the queue of a slot whose instance is down while its siblings serve: they get it, or that instance is started.
    fn trigger_slot(&mut self, name: &UnitName, port: Port, slot: u32) {
        let Some(instance) = self.slot_instance(name, slot) else { return };
        // Nothing is steered to a slot whose instance is down, so what is there came late, or there is no steering any more.
        self.steer_anew(name);
        if self.rescues(name, port) {
            return;
        }
        if self.admit_trigger(name)
            && self.wants_slot_watch(name, &instance)
            && let Err(error) = self.start_for_traffic(&instance)
        {
            self.log_error(name, format!("cannot start {instance}: {error}"));
            self.limit_hit(name, SocketResult::Resources, None);
        }
        self.refresh_watches(name);
    }

    /// Counts one trigger; false when that was one too many, and dealt with.
    pub(super) fn admit_trigger(&mut self, name: &UnitName) -> bool {
        let (now, rate) = (self.now, self.trigger_rate(name));
        let socket = self.socket_mut(name);
        if socket.trigger_limit.admit(now, rate) {
            return true;
        }
        let end = socket.trigger_limit.window_end(rate);
        self.limit_hit(name, SocketResult::TriggerLimitHit, end);
        false
    }

    /// A limit was hit: pause until `end`, or fail for good, as `LimitAction=` says.
    pub(super) fn limit_hit(&mut self, name: &UnitName, result: SocketResult, end: Option<Time>) {
        match self.limit_action(name) {
            LimitAction::Fail => self.enter_closing(name, result),
            LimitAction::Pause => {
                let end = end.filter(|end| *end > self.now).or_else(|| self.now.after(PAUSE));
                let wait = end.map_or(0, |end| end.as_micros().saturating_sub(self.now.as_micros()));
                let reason = result.as_str();
                self.log_warning(
                    name,
                    format!("{reason}: pausing for {}; nothing queued is lost", Span::from_micros(wait)),
                );
                self.set_socket_state(name, SocketState::Paused);
                self.set_deadline(name, end);
            }
        }
    }

    /// The pause is over.
    pub(super) fn end_pause(&mut self, name: &UnitName) {
        self.socket_mut(name).trigger_limit = RateLimit::default();
        self.log_info(name, "listening again".to_owned());
        if self.triggered(name).is_some_and(|service| self.active_state(&service).is_up()) {
            self.set_socket_state(name, SocketState::Running);
        } else {
            self.enter_listening(name);
        }
    }

    /// What this socket starts changed: listen again when it is down, stand back while it runs.
    pub(crate) fn socket_react(&mut self, name: &UnitName, service: &UnitName) {
        let Some(state) = self.nodes.get(name).and_then(|node| node.socket()).map(|socket| socket.state)
        else {
            return;
        };
        if !self.socket(name).active_state().is_up() || self.section(name).accept {
            return;
        }
        if self.job_of(service).is_some() {
            // What comes of the job tells.
        } else if let Some(end) = self.start_limit_end(service) {
            if state != SocketState::Paused {
                self.limit_hit(name, SocketResult::ServiceStartLimitHit, end);
            }
        } else {
            self.follow(name, state, service);
        }
        self.refresh_watches(name);
    }

    fn follow(&mut self, name: &UnitName, state: SocketState, service: &UnitName) {
        let is_up = self.active_state(service).is_up();
        match (self.activity(service), state) {
            (Activity::Idle, SocketState::Running) => self.enter_listening(name),
            (Activity::Busy, SocketState::Listening | SocketState::Paused) if is_up => {
                self.set_socket_state(name, SocketState::Running);
            }
            // On its way down it may still take connections; waiting for its restart it will take them by itself.
            (Activity::Busy | Activity::Waiting | Activity::Idle, _) => {}
        }
    }
}
