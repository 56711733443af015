//! The way down: commands, signals, timeouts; and whether it comes up again.

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{KillMode, Restart, Span};

use super::{Child, SIGKILL, ServiceResult, ServiceState, is_other};
use crate::command::{Command, JobMode, Verb};
use crate::engine::Engine;
use crate::event::{ExecList, KillScope};
use crate::job::JobResult;

/// Between two restarts that come to nothing there is at least this.
const RESUME_MIN: Span = Span::from_millis(100);

impl Engine {
    pub(super) fn enter_stop(&mut self, name: &UnitName, result: ServiceResult) {
        self.note_result(name, result);
        self.enter_list(name, ExecList::Stop);
    }

    /// Signals what is left, as `KillMode=` says, and waits for it; down at once when nothing is left, or nothing is to be signalled.
    pub(super) fn enter_signal(&mut self, name: &UnitName, state: ServiceState, result: ServiceResult) {
        self.note_result(name, result);
        let service = self.service(name);
        let (main, control) = (service.main, service.control);
        let mode = self.service_unit(name).kill.kill_mode;
        if mode == KillMode::None || (main.is_none() && control.is_none()) {
            return self.enter_down(name, ServiceResult::Success);
        }
        self.signal_children(name, state, main, control);
        self.set_service_state(name, state);
        let limit = self.stop_limit(name);
        self.set_deadline(name, self.now.after(limit));
    }

    fn signal_children(
        &mut self,
        name: &UnitName,
        state: ServiceState,
        main: Option<Child>,
        control: Option<Child>,
    ) {
        let kill = &self.service_unit(name).kill;
        let last = state == ServiceState::StopSigkill;
        let signal = if last { SIGKILL } else { kill.kill_signal.number() };
        let whole = match kill.kill_mode {
            KillMode::ControlGroup => true,
            KillMode::Mixed => last,
            KillMode::Process | KillMode::None => false,
        };
        if let Some(main) = main {
            let scope = if whole { KillScope::Session } else { KillScope::Process };
            self.kill_scope(main.process, signal, scope);
        }
        if let Some(control) = control {
            self.kill_scope(control.process, signal, KillScope::Session);
        }
    }

    pub(super) fn finish_stop(&mut self, name: &UnitName) {
        let service = self.service(name);
        if service.main.is_none() && service.control.is_none() {
            self.enter_down(name, ServiceResult::Success);
        }
    }

    /// The first failure is the one that is remembered.
    pub(super) fn note_result(&mut self, name: &UnitName, result: ServiceResult) {
        let service = self.service_mut(name);
        if service.result == ServiceResult::Success {
            service.result = result;
        }
    }

    /// Nothing of it runs any more, or nothing that it cares about: dead or failed, and perhaps soon up again.
    pub(super) fn enter_down(&mut self, name: &UnitName, result: ServiceResult) {
        self.note_result(name, result);
        self.let_go(name);
        let result = self.service(name).result;
        // Asked before the state changes: that ends a stop job, which is what forbids the restart.
        let restarts = self.shall_restart(name, result);
        if self.goes_on_in_other(name, restarts) {
            return;
        }
        let down = if result == ServiceResult::Success { ServiceState::Dead } else { ServiceState::Failed };
        self.set_service_state(name, down);
        if result != ServiceResult::Success {
            self.log_failure(name, result);
        }
        if restarts {
            let delay = self.service_unit(name).service.restart_sec;
            self.set_service_state(name, ServiceState::AutoRestart);
            self.set_deadline(name, self.now.after(delay));
            self.log_info(name, format!("restarting in {delay}"));
        }
    }

    fn log_failure(&mut self, name: &UnitName, result: ServiceResult) {
        let result = result.as_str();
        match is_other(name) {
            // The unit itself goes on.
            true => {
                let generation = self.service(name).generation;
                self.log_warning(name, format!("generation {generation} ended: {result}"));
            }
            false => self.log_error(name, format!("failed: {result}")),
        }
    }

    /// Processes that are still there are left to themselves: `KillMode=none`, or they cannot be killed.
    fn let_go(&mut self, name: &UnitName) {
        let service = self.service_mut(name);
        for child in [service.main.take(), service.control.take()].into_iter().flatten() {
            self.forget_child(child);
        }
        self.refresh_rotation_of(name);
    }

    /// systemd.service(5), the table under `Restart=`. An instance belongs to its slot: it comes back unless told otherwise.
    fn shall_restart(&self, name: &UnitName, result: ServiceResult) -> bool {
        let service = self.service(name);
        if self.is_stopping_by_job(name) || service.is_per_connection() || is_other(name) {
            return false;
        }
        let default = if service.seat.is_some() { Restart::Always } else { Restart::No };
        let failed = result != ServiceResult::Success;
        match self.service_unit(name).service.restart.unwrap_or(default) {
            Restart::No => false,
            Restart::Always => true,
            Restart::OnSuccess => !failed,
            Restart::OnFailure => failed,
            Restart::OnAbnormal => failed && result != ServiceResult::ExitCode,
            Restart::OnAbort => matches!(result, ServiceResult::Signal | ServiceResult::CoreDump),
            // There is no watchdog that could bite.
            Restart::OnWatchdog => false,
        }
    }

    pub(crate) fn service_timeout(&mut self, name: &UnitName) {
        match self.service(name).state {
            ServiceState::StartPre | ServiceState::Start | ServiceState::StartPost => {
                self.log_warning(name, "start timed out".to_owned());
                self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Timeout);
            }
            ServiceState::Reload => self.reload_timed_out(name),
            ServiceState::Stop => self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Timeout),
            ServiceState::StopSigterm => {
                self.log_warning(name, "did not stop in time, killing".to_owned());
                self.enter_signal(name, ServiceState::StopSigkill, ServiceResult::Timeout);
            }
            ServiceState::StopSigkill => {
                self.log_error(name, "processes remain after SIGKILL, ignoring them".to_owned());
                self.enter_down(name, ServiceResult::Timeout);
            }
            ServiceState::AutoRestart => self.restart_now(name),
            ServiceState::Dead | ServiceState::Running | ServiceState::Exited | ServiceState::Failed => {}
        }
    }

    /// The job that was to start the service again came to nothing: what it requires did not start, or another job was in the way.
    /// That counts as a start, and the wait begins again.
    pub(crate) fn resume_restart(&mut self, name: &UnitName) {
        let node = &self.nodes[name];
        let is_stuck = node.deadline.is_none()
            && node.job.is_none()
            && node.service().is_some_and(|service| service.state == ServiceState::AutoRestart);
        if is_stuck && self.admit_start(name) {
            let delay = self.service_unit(name).service.restart_sec.max(RESUME_MIN);
            self.set_deadline(name, self.now.after(delay));
        }
    }

    fn reload_timed_out(&mut self, name: &UnitName) {
        self.log_warning(name, "reload timed out".to_owned());
        if let Some(control) = self.service_mut(name).control.take() {
            self.forget_child(control);
            self.kill_scope(control.process, SIGKILL, KillScope::Session);
        }
        self.reload_ended(name, JobResult::Timeout);
        self.enter_running(name);
    }

    /// `RestartSec=` is over. A job that is to take the unit down has been waiting for its turn: it goes first.
    fn restart_now(&mut self, name: &UnitName) {
        if self.is_stopping_by_job(name) {
            return;
        }
        self.service_mut(name).n_restarts += 1;
        let command = Command { verb: Verb::Start, unit: name.clone(), mode: JobMode::Replace };
        if let Err(error) = self.request_job(&command) {
            self.log_error(name, format!("cannot restart: {error}"));
            self.note_result(name, ServiceResult::Resources);
            self.set_service_state(name, ServiceState::Failed);
        }
    }

    pub(super) fn stop_limit(&self, name: &UnitName) -> Span {
        self.service_unit(name).service.timeout_stop_sec.unwrap_or(self.settings.default_timeout_stop_sec)
    }
}
