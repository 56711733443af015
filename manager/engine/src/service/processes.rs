//! What the processes of a service do on their own: they appear, and they end.

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{KillMode, NotifyAccess, ServiceType, Signal};

use super::{Child, ServiceResult, ServiceState, commands};
use crate::engine::Engine;
use crate::event::{Action, ExecList, ExitStatus, SpawnError};
use crate::ids::ProcessId;
use crate::job::JobResult;

pub(super) const SIGKILL: i32 = 9;

impl Engine {
    pub(crate) fn service_spawned(&mut self, process: ProcessId, pid: u32) {
        let Some(name) = self.processes.get(&process).cloned() else { return };
        self.pids.insert(pid, process);
        self.stir(&name);
        if self.service(&name).is_sought(process) {
            self.main_found(&name, process, pid);
        } else {
            self.child_spawned(&name, process, pid);
        }
        self.replay_early(pid);
    }

    fn child_spawned(&mut self, name: &UnitName, process: ProcessId, pid: u32) {
        let now = self.now;
        let service = self.service_mut(name);
        let children = [service.main.as_mut(), service.control.as_mut()];
        let Some(child) = children.into_iter().flatten().find(|child| child.process == process) else {
            return;
        };
        child.pid = Some(pid);
        let child = *child;
        service.run_mut().note_begin(child.list, child.index, pid, now);
        let is_main = service.main == Some(child);
        if child.list == ExecList::Start {
            self.release_connection_fd(name);
        }
        if is_main {
            self.main_spawned(name, pid);
        }
    }

    fn main_spawned(&mut self, name: &UnitName, pid: u32) {
        let now = self.now;
        let service = self.service_mut(name);
        service.main_pid_seen = pid;
        service.main_started = Some(now);
        service.main_exited = None;
        if service.state == ServiceState::Start {
            self.started(name);
        }
    }

    /// The program runs: for some types that is all there is to a start.
    fn started(&mut self, name: &UnitName) {
        match self.service_type(name) {
            ServiceType::Simple | ServiceType::Exec | ServiceType::Idle => self.main_is_up(name),
            ServiceType::Dbus if self.service(name).run().owns_bus_name => {
                self.enter_list(name, ExecList::StartPost);
            }
            ServiceType::Dbus
            | ServiceType::Forking
            | ServiceType::Oneshot
            | ServiceType::Notify
            | ServiceType::NotifyReload => {}
        }
    }

    pub(crate) fn service_spawn_failed(&mut self, process: ProcessId, error: SpawnError) {
        let Some(name) = self.processes.get(&process).cloned() else { return };
        if self.service(&name).is_sought(process) {
            return self.main_missing(&name, process, &error.text);
        }
        self.log_error(&name, error.text);
        let result = error.resources.then_some(ServiceResult::Resources);
        if result.is_none() && self.is_up_at_the_fork(&name, process) {
            // systemd.service(5): the start of such a service has succeeded before its program turns out not to run.
            self.enter_list(&name, ExecList::StartPost);
        }
        self.child_ended(&name, process, ExitStatus::Exited(error.exit_code), result);
    }

    fn is_up_at_the_fork(&self, name: &UnitName, process: ProcessId) -> bool {
        let service = self.service(name);
        service.state == ServiceState::Start
            && service.main.is_some_and(|main| main.process == process)
            && matches!(self.service_type(name), ServiceType::Simple | ServiceType::Idle)
    }

    /// `leaves_others`: processes that it has started still live.
    pub(crate) fn service_exited(&mut self, process: ProcessId, status: ExitStatus, leaves_others: bool) {
        let Some(name) = self.processes.get(&process).cloned() else {
            return self.out.push(Action::Forget { process });
        };
        if self.service(&name).run().left.contains(&process) {
            // It had ceased to be the main process before.
            return if leaves_others { self.stir(&name) } else { self.left_are_gone(process) };
        }
        if leaves_others && self.keeps_track(&name) {
            self.service_mut(&name).run_mut().left.push(process);
        } else {
            self.out.push(Action::Forget { process });
        }
        self.child_ended(&name, process, status, None);
    }

    /// Whether what a process leaves behind is to be ended with the unit.
    fn keeps_track(&self, name: &UnitName) -> bool {
        let forks = self.service_type(name) == ServiceType::Forking;
        match self.service_unit(name).kill.kill_mode {
            KillMode::ControlGroup | KillMode::Mixed => true,
            KillMode::Process | KillMode::None => forks,
        }
    }

    /// What an ended process had left behind has ended, too.
    pub(crate) fn left_are_gone(&mut self, process: ProcessId) {
        let Some(name) = self.processes.get(&process).cloned() else { return };
        let run = self.service_mut(&name).run_mut();
        let Some(place) = run.left.iter().position(|left| *left == process) else { return };
        run.left.remove(place);
        let all_gone = run.left.is_empty();
        self.forget_left(process);
        self.stir(&name);
        self.rescue_from(&name);
        let service = self.service(&name);
        if !all_gone || service.main.is_some() || service.control.is_some() {
            return;
        }
        match service.state {
            ServiceState::Running => self.enter_running(&name, ServiceResult::Success),
            ServiceState::Start | ServiceState::StartPost if service.run().sought.is_none() => {
                self.enter_signal(&name, ServiceState::StopSigterm, ServiceResult::Protocol);
            }
            _ => self.step_down(&name, ServiceResult::Success),
        }
    }

    /// From now on what this process has left behind is no business of its unit.
    pub(super) fn forget_left(&mut self, process: ProcessId) {
        self.processes.remove(&process);
        self.pids.retain(|_, known| *known != process);
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
        let main = service.main.take_if(|child| child.process == process);
        let control = service.control.take_if(|child| child.process == process);
        let Some(child) = main.or(control) else { return };
        service.run_mut().note_end(child.list, child.index, (now, status));
        self.forget_child(child);
        let result = failure.unwrap_or_else(|| self.result_of(name, child, main.is_some(), status));
        if main.is_some() {
            let service = self.service_mut(name);
            // Where there never was a process nothing has ended.
            service.main_status = Some(status).filter(|_| failure.is_none());
            service.main_exited = Some(now);
            // Before all else: until then the kernel sends new connections to a slot where nobody is.
            self.rescue_from(name);
            self.refresh_rotation_of(name);
            self.main_ended(name, child, result, status);
        } else {
            self.control_ended(name, child, result, status);
        }
    }

    /// From now on what this process does is no business of its unit, except for those that it has left behind.
    pub(crate) fn forget_child(&mut self, child: Child) {
        let is_left = self
            .processes
            .get(&child.process)
            .and_then(|name| self.nodes.get(name)?.service())
            .is_some_and(|service| service.run().left.contains(&child.process));
        if !is_left {
            self.processes.remove(&child.process);
        }
        if let Some(pid) = child.pid {
            self.pids.remove(&pid);
        }
    }

    /// What an exit means for the unit: systemd.service(5), "clean exit", and the `-` prefix.
    fn result_of(&self, name: &UnitName, child: Child, is_main: bool, status: ExitStatus) -> ServiceResult {
        let section = &self.service_unit(name).service;
        let ignored = commands(self.service_unit(name), child.list)
            .get(child.index)
            .is_some_and(|command| command.flags.ignore_failure);
        let is_daemon = is_main && section.type_ != ServiceType::Oneshot;
        let clean = &section.success_exit_status;
        match status {
            _ if ignored => ServiceResult::Success,
            ExitStatus::Exited(code) if code == 0 || clean.has_code(code) => ServiceResult::Success,
            ExitStatus::Exited(1..255) if child.list == ExecList::Condition => ServiceResult::ExecCondition,
            ExitStatus::Exited(_) => ServiceResult::ExitCode,
            ExitStatus::Killed(signal) if is_daemon && is_clean_signal(signal) => ServiceResult::Success,
            ExitStatus::Killed(signal) | ExitStatus::Dumped(signal) if clean.has_signal(signal) => {
                ServiceResult::Success
            }
            ExitStatus::Killed(_) => ServiceResult::Signal,
            ExitStatus::Dumped(_) => ServiceResult::CoreDump,
        }
    }

    fn main_ended(&mut self, name: &UnitName, main: Child, result: ServiceResult, status: ExitStatus) {
        let state = self.service(name).state;
        self.log_end(name, state, result, status);
        self.note_result(name, result);
        match state {
            ServiceState::Start => self.start_ended(name, main, result),
            ServiceState::StartCheck => self.ended_unready(name, result),
            ServiceState::Running => self.enter_running(name, result),
            ServiceState::Drain => self.enter_stop(name, result),
            // The control process is still at it; when it is through, the missing main process is seen.
            ServiceState::StartPost
            | ServiceState::Reload
            | ServiceState::ReloadSignal
            | ServiceState::ReloadNotify
                if self.service(name).control.is_none() =>
            {
                self.enter_stop(name, result);
            }
            ServiceState::StartPost
            | ServiceState::Reload
            | ServiceState::ReloadSignal
            | ServiceState::ReloadNotify
            | ServiceState::Stop
            | ServiceState::StopPost => {}
            ServiceState::StopWatchdog
            | ServiceState::StopSigterm
            | ServiceState::StopSigkill
            | ServiceState::FinalWatchdog
            | ServiceState::FinalSigterm
            | ServiceState::FinalSigkill => self.step_down(name, result),
            ServiceState::Dead
            | ServiceState::Condition
            | ServiceState::StartPre
            | ServiceState::Exited
            | ServiceState::Failed
            | ServiceState::AutoRestart => {}
        }
        self.stir(name);
    }

    /// The main process ended while the service was starting.
    fn start_ended(&mut self, name: &UnitName, main: Child, result: ServiceResult) {
        let kind = self.service_type(name);
        match result {
            ServiceResult::Success if kind == ServiceType::Oneshot => {
                self.run_command(name, ExecList::Start, main.index + 1);
            }
            // A child of it may still say that it is ready.
            ServiceResult::Success if kind.notifies() && self.may_get_ready_without_main(name) => {}
            ServiceResult::Success if kind.notifies() => {
                self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Protocol);
            }
            result => self.enter_running(name, result),
        }
    }

    fn may_get_ready_without_main(&self, name: &UnitName) -> bool {
        self.service_unit(name).service.remain_after_exit
            && self.notify_access(name) == NotifyAccess::All
            && !self.service(name).run().left.is_empty()
    }

    fn log_end(&mut self, name: &UnitName, state: ServiceState, result: ServiceResult, status: ExitStatus) {
        let how = match status {
            ExitStatus::Exited(code) => format!("exited with status {code}"),
            ExitStatus::Killed(signal) => format!("killed by {}", signal_name(signal)),
            ExitStatus::Dumped(signal) => format!("killed by {} (core dumped)", signal_name(signal)),
        };
        let asked_for = state.active_state() == crate::node::ActiveState::Deactivating;
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
        let kill = &self.service_unit(name).kill;
        let own = [kill.kill_signal, kill.effective_restart_kill_signal(), kill.final_kill_signal];
        matches!(status, ExitStatus::Killed(signal) if own.iter().any(|own| own.number() == signal))
    }

    fn control_ended(&mut self, name: &UnitName, control: Child, result: ServiceResult, status: ExitStatus) {
        if result.is_failure() && self.service(name).state != ServiceState::StartCheck {
            self.log_end(name, self.service(name).state, result, status);
        }
        match (self.service(name).state, result) {
            (ServiceState::Start, ServiceResult::Success) => self.forked(name),
            (ServiceState::StartCheck, ServiceResult::Success) => self.enter_list(name, ExecList::StartPost),
            (ServiceState::StartCheck, _) => self.not_ready_yet(name, "its command failed"),
            (
                ServiceState::Condition
                | ServiceState::StartPre
                | ServiceState::StartPost
                | ServiceState::Reload
                | ServiceState::ReloadNotify
                | ServiceState::Stop
                | ServiceState::StopPost,
                ServiceResult::Success,
            ) => self.run_command(name, control.list, control.index + 1),
            (
                ServiceState::Condition
                | ServiceState::StartPre
                | ServiceState::Start
                | ServiceState::StartPost
                | ServiceState::Stop,
                failure,
            ) => self.enter_signal(name, ServiceState::StopSigterm, failure),
            (ServiceState::StopPost, failure) => {
                self.enter_signal(name, ServiceState::FinalSigterm, failure);
            }
            (ServiceState::Reload | ServiceState::ReloadSignal | ServiceState::ReloadNotify, failure) => {
                self.service_mut(name).run_mut().reload_result = failure;
                self.reload_ended(name, JobResult::Failed);
                self.enter_running(name, ServiceResult::Success);
            }
            (
                ServiceState::StopWatchdog
                | ServiceState::StopSigterm
                | ServiceState::StopSigkill
                | ServiceState::FinalWatchdog
                | ServiceState::FinalSigterm
                | ServiceState::FinalSigkill,
                _,
            ) if control.list == ExecList::ReadyCheck => self.step_down(name, ServiceResult::Success),
            (
                ServiceState::StopWatchdog
                | ServiceState::StopSigterm
                | ServiceState::StopSigkill
                | ServiceState::FinalWatchdog
                | ServiceState::FinalSigterm
                | ServiceState::FinalSigkill,
                result,
            ) => self.step_down(name, result),
            (
                ServiceState::Dead
                | ServiceState::Running
                | ServiceState::Exited
                | ServiceState::Drain
                | ServiceState::Failed
                | ServiceState::AutoRestart,
                _,
            ) => {}
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
