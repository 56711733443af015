//! What the processes of a service do on their own: they appear, report, and end.

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{KillMode, NotifyAccess, ServiceType, Signal, Span};

use super::{Child, SIGKILL, ServiceResult, ServiceState, commands};
use crate::engine::Engine;
use crate::event::{Action, ExecList, ExitStatus, KillScope, Notification, SpawnError};
use crate::ids::ProcessId;
use crate::job::JobResult;

/// Notifications kept of processes that the keeper has yet to tell of.
const EARLY_MAX: usize = 64;

/// A notification that came before the answer to [`Action::Spawn`]: they take different ways.
#[derive(Clone, Debug)]
pub(crate) struct Early {
    pid: u32,
    session: Option<u32>,
    message: Notification,
}

impl Engine {
    pub(crate) fn service_spawned(&mut self, process: ProcessId, pid: u32) {
        let Some(name) = self.processes.get(&process).cloned() else { return };
        self.pids.insert(pid, process);
        self.stir(&name);
        let service = self.service_mut(&name);
        if let Some(control) = service.control.as_mut().filter(|child| child.process == process) {
            control.pid = Some(pid);
        } else {
            self.main_spawned(&name, process, pid);
        }
        self.replay_early(pid);
    }

    fn main_spawned(&mut self, name: &UnitName, process: ProcessId, pid: u32) {
        let now = self.now;
        let service = self.service_mut(name);
        let Some(main) = service.main.as_mut().filter(|child| child.process == process) else { return };
        main.pid = Some(pid);
        service.main_pid_seen = pid;
        service.main_started = Some(now);
        service.main_exited = None;
        let state = service.state;
        self.release_connection_fd(name);
        let kind = self.service_unit(name).service.type_;
        if state == ServiceState::Start && matches!(kind, ServiceType::Simple | ServiceType::Exec) {
            self.enter_list(name, ExecList::StartPost);
        }
    }

    pub(crate) fn service_spawn_failed(&mut self, process: ProcessId, error: SpawnError) {
        let Some(name) = self.processes.get(&process).cloned() else { return };
        self.log_error(&name, error.text);
        let result = if error.resources { Some(ServiceResult::Resources) } else { None };
        self.child_ended(&name, process, ExitStatus::Exited(error.exit_code), result);
    }

    pub(crate) fn service_exited(&mut self, process: ProcessId, status: ExitStatus) {
        if let Some(name) = self.processes.get(&process).cloned() {
            self.child_ended(&name, process, status, None);
        }
        self.out.push(Action::Forget { process });
    }

    /// `failure` is set when there never was a process; then `status` is what it would have ended with.
    fn child_ended(
        &mut self,
        name: &UnitName,
        process: ProcessId,
        status: ExitStatus,
        failure: Option<ServiceResult>,
    ) {
        let now = self.now;
        let service = self.service_mut(name);
        if let Some(main) = service.main.take_if(|child| child.process == process) {
            service.main_status = Some(status);
            service.main_exited = Some(now);
            self.forget_child(main);
            // Before all else: until then the kernel sends new connections to a slot where nobody is.
            self.refresh_rotation_of(name);
            if main.pid.is_some() {
                self.kill_leftovers(name, process);
            }
            let result = failure.unwrap_or_else(|| self.result_of(name, main, status));
            self.main_ended(name, main, result, status);
        } else if let Some(control) = service.control.take_if(|child| child.process == process) {
            self.forget_child(control);
            let result = failure.unwrap_or_else(|| self.result_of(name, control, status));
            self.control_ended(name, control, result, status);
        }
    }

    /// From now on what this process does is no business of its unit.
    pub(super) fn forget_child(&mut self, child: Child) {
        self.processes.remove(&child.process);
        if let Some(pid) = child.pid {
            self.pids.remove(&pid);
        }
    }

    /// What the main process leaves behind in its process group does not outlive it (`KillMode=`).
    fn kill_leftovers(&mut self, name: &UnitName, process: ProcessId) {
        let kill = &self.service_unit(name).kill;
        let signal = match kill.kill_mode {
            KillMode::ControlGroup => kill.kill_signal.number(),
            KillMode::Mixed => SIGKILL,
            KillMode::Process | KillMode::None => return,
        };
        self.kill_scope(process, signal, KillScope::Group);
    }

    /// What an exit means for the unit: systemd.service(5), "clean exit", and the `-` prefix.
    fn result_of(&self, name: &UnitName, child: Child, status: ExitStatus) -> ServiceResult {
        let ignored = commands(self.service_unit(name), child.list)
            .get(child.index)
            .is_some_and(|command| command.flags.ignore_failure);
        let is_main =
            child.list == ExecList::Start && self.service_unit(name).service.type_ != ServiceType::Oneshot;
        match status {
            _ if ignored => ServiceResult::Success,
            ExitStatus::Exited(0) => ServiceResult::Success,
            ExitStatus::Exited(_) => ServiceResult::ExitCode,
            ExitStatus::Killed(signal) if is_main && is_clean_signal(signal) => ServiceResult::Success,
            ExitStatus::Killed(_) => ServiceResult::Signal,
            ExitStatus::Dumped(_) => ServiceResult::CoreDump,
        }
    }

    fn main_ended(&mut self, name: &UnitName, main: Child, result: ServiceResult, status: ExitStatus) {
        let state = self.service(name).state;
        self.log_end(name, state, result, status);
        match state {
            ServiceState::Start => self.start_ended(name, main, result),
            ServiceState::Running => self.enter_stop(name, result),
            // The control process is still at it; when it is through, the missing main process is seen.
            ServiceState::StartPost | ServiceState::Reload | ServiceState::Stop => {
                self.note_result(name, result)
            }
            ServiceState::StopSigterm | ServiceState::StopSigkill => {
                self.note_result(name, result);
                self.finish_stop(name);
            }
            ServiceState::Dead
            | ServiceState::StartPre
            | ServiceState::Exited
            | ServiceState::Failed
            | ServiceState::AutoRestart => {}
        }
        self.stir(name);
    }

    /// The main process ended while the service was starting.
    fn start_ended(&mut self, name: &UnitName, main: Child, result: ServiceResult) {
        let oneshot = self.service_unit(name).service.type_ == ServiceType::Oneshot;
        match result {
            ServiceResult::Success if oneshot => self.run_command(name, ExecList::Start, main.index + 1),
            ServiceResult::Success => {
                self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Protocol)
            }
            failure => self.enter_signal(name, ServiceState::StopSigterm, failure),
        }
    }

    fn log_end(&mut self, name: &UnitName, state: ServiceState, result: ServiceResult, status: ExitStatus) {
        let how = match status {
            ExitStatus::Exited(code) => format!("exited with status {code}"),
            ExitStatus::Killed(signal) => format!("killed by {}", signal_name(signal)),
            ExitStatus::Dumped(signal) => format!("killed by {} (core dumped)", signal_name(signal)),
        };
        let asked_for =
            matches!(state, ServiceState::Stop | ServiceState::StopSigterm | ServiceState::StopSigkill);
        let per_connection = self.service(name).is_per_connection();
        match result {
            ServiceResult::Signal if asked_for && self.is_own_signal(name, status) => {
                self.log_debug(name, how)
            }
            ServiceResult::Success if asked_for || per_connection => self.log_debug(name, how),
            ServiceResult::Success => self.log_info(name, how),
            _ => self.log_warning(name, how),
        }
    }

    /// It was killed by a signal that a stop sends.
    fn is_own_signal(&self, name: &UnitName, status: ExitStatus) -> bool {
        let own = self.service_unit(name).kill.kill_signal.number();
        matches!(status, ExitStatus::Killed(signal) if signal == SIGKILL || signal == own)
    }

    fn control_ended(&mut self, name: &UnitName, control: Child, result: ServiceResult, status: ExitStatus) {
        if result != ServiceResult::Success {
            self.log_end(name, self.service(name).state, result, status);
        }
        match (self.service(name).state, result) {
            (
                ServiceState::StartPre | ServiceState::StartPost | ServiceState::Reload | ServiceState::Stop,
                ServiceResult::Success,
            ) => self.run_command(name, control.list, control.index + 1),
            (ServiceState::StartPre | ServiceState::StartPost | ServiceState::Stop, failure) => {
                self.enter_signal(name, ServiceState::StopSigterm, failure);
            }
            (ServiceState::Reload, _) => {
                self.reload_ended(name, JobResult::Failed);
                self.enter_running(name);
            }
            (ServiceState::StopSigterm | ServiceState::StopSigkill, _) => self.finish_stop(name),
            (
                ServiceState::Dead
                | ServiceState::Start
                | ServiceState::Running
                | ServiceState::Exited
                | ServiceState::Failed
                | ServiceState::AutoRestart,
                _,
            ) => {}
        }
    }

    pub(crate) fn service_notified(&mut self, pid: u32, session: Option<u32>, message: Notification) {
        let sender = self.pids.get(&pid).or_else(|| self.pids.get(&session?)).copied();
        match sender.and_then(|process| self.processes.get(&process)).cloned() {
            Some(name) => self.notified_by(&name, pid, message),
            None => self.keep_early(Early { pid, session, message }),
        }
    }

    /// The sender may be a process that the keeper has started and not told of yet.
    fn keep_early(&mut self, early: Early) {
        if self.processes.iter().any(|(process, name)| self.service(name).lacks_pid(*process)) {
            self.early.push_back(early);
            if self.early.len() > EARLY_MAX {
                self.early.pop_front();
            }
        }
    }

    /// Now the process is known: what it has said already is heard.
    fn replay_early(&mut self, pid: u32) {
        let (known, rest): (Vec<Early>, Vec<Early>) = std::mem::take(&mut self.early)
            .into_iter()
            .partition(|early| early.pid == pid || early.session == Some(pid));
        self.early.extend(rest);
        for early in known {
            self.service_notified(early.pid, early.session, early.message);
        }
    }

    fn notified_by(&mut self, name: &UnitName, pid: u32, message: Notification) {
        if !self.may_notify(name, pid) {
            return self.log_debug(name, format!("notification of pid {pid} ignored; see NotifyAccess="));
        }
        let Notification { ready, stopping, status, errno, extend_timeout } = message;
        let service = self.service_mut(name);
        service.status_text = status.or(service.status_text.take());
        service.status_errno = errno.unwrap_or(service.status_errno);
        service.is_draining |= stopping;
        let state = service.state;
        self.stir(name);
        if let Some(micros) = extend_timeout.filter(|_| self.nodes[name].deadline.is_some()) {
            self.set_deadline(name, self.now.after(Span::from_micros(micros)));
        }
        let notifies = self.service_unit(name).service.type_ == ServiceType::Notify;
        if ready && notifies && state == ServiceState::Start {
            self.enter_list(name, ExecList::StartPost);
        }
    }

    fn may_notify(&self, name: &UnitName, pid: u32) -> bool {
        let service = self.service(name);
        let is = |child: Option<Child>| child.and_then(|child| child.pid) == Some(pid);
        match self.notify_access(name) {
            NotifyAccess::None => false,
            NotifyAccess::Main => is(service.main),
            NotifyAccess::Exec => is(service.main) || is(service.control),
            NotifyAccess::All => true,
        }
    }
}

/// systemd.service(5): SIGHUP, SIGINT, SIGTERM and SIGPIPE end a main process cleanly.
fn is_clean_signal(signal: i32) -> bool {
    matches!(signal, 1 | 2 | 13 | 15)
}

fn signal_name(number: i32) -> String {
    Signal::from_number(number).map_or_else(|| format!("signal {number}"), |signal| signal.to_string())
}
