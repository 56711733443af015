//! Time limits of a service: of each step, of its run, and the watchdog's.

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{FailureMode, ServiceType, Span};

use super::processes::SIGKILL;
use super::{ServiceResult, ServiceState};
use crate::engine::{Engine, Timer};
use crate::event::{ExecList, KillScope};
use crate::ids::Time;
use crate::job::JobResult;

impl Engine {
    /// How long a command of this list may take.
    pub(super) fn time_limit(&self, name: &UnitName, list: ExecList) -> Span {
        let section = &self.service_unit(name).service;
        match (list, section.type_) {
            (ExecList::Stop | ExecList::StopPost | ExecList::StopPre | ExecList::Chown, _) => {
                self.stop_limit(name)
            }
            // systemd.service(5), `TimeoutStartSec=`: off for oneshot unless it is set.
            (_, ServiceType::Oneshot) => section.timeout_start_sec.unwrap_or(Span::INFINITY),
            (
                ExecList::Condition
                | ExecList::Start
                | ExecList::StartPre
                | ExecList::ReadyCheck
                | ExecList::StartPost
                | ExecList::Reload,
                _,
            ) => section.timeout_start_sec.unwrap_or(self.settings.default_timeout_start_sec),
        }
    }

    pub(super) fn stop_limit(&self, name: &UnitName) -> Span {
        self.service_unit(name).service.timeout_stop_sec.unwrap_or(self.settings.default_timeout_stop_sec)
    }

    pub(super) fn abort_limit(&self, name: &UnitName) -> Span {
        self.service_unit(name).service.timeout_abort_sec.map_or_else(|| self.stop_limit(name), |span| span.0)
    }

    /// `RuntimeMaxSec=`, from when it came up.
    pub(super) fn limit_run(&mut self, name: &UnitName) {
        let section = &self.service_unit(name).service;
        let (max, extra) = (section.runtime_max_sec, section.runtime_randomized_extra_sec);
        if max.is_infinite() {
            return;
        }
        let extra = match extra.as_micros() {
            0 => 0,
            most => self.draw() % most,
        };
        let since = self.nodes[name].stamps.active_enter.unwrap_or(self.now);
        let end = since.after(max).and_then(|end| end.after(Span::from_micros(extra)));
        self.set_deadline(name, end);
    }

    // --- the watchdog ---

    /// How often the service has to say that it is well; `None`: never.
    fn watchdog_interval(&self, name: &UnitName) -> Option<Span> {
        let asked_for = self.service(name).run().watchdog;
        let interval = asked_for.unwrap_or(self.service_unit(name).service.watchdog_sec);
        (interval != Span::ZERO && !interval.is_infinite()).then_some(interval)
    }

    /// It has just said so, or begins to have to.
    pub(super) fn reset_watchdog(&mut self, name: &UnitName) {
        let now = self.now;
        let due = self.watchdog_interval(name).and_then(|interval| now.after(interval));
        let service = self.service_mut(name);
        let due = due.filter(|_| service.state.is_watched());
        if due.is_some() {
            service.run_mut().watchdog_ping = Some(now);
        }
        self.set_watchdog(name, due);
    }

    pub(crate) fn set_watchdog(&mut self, name: &UnitName, due: Option<Time>) {
        if self.service(name).run().watchdog_due != due {
            let old = std::mem::replace(&mut self.service_mut(name).run_mut().watchdog_due, due);
            self.move_timer(name, Timer::Watchdog, old, due);
        }
    }

    /// The timers that its state speaks of go off under this name: after a restart of the manager, or a change of places.
    pub(crate) fn arm_timers(&mut self, name: &UnitName) {
        let (watchdog, look) = (self.service(name).run().watchdog_due, self.service(name).run().look_due);
        self.move_timer(name, Timer::Watchdog, None, watchdog);
        self.move_timer(name, Timer::Look, None, look);
        if self.service(name).state == ServiceState::Start
            && self.service_type(name) == sockmgr_unit::value::ServiceType::Idle
            && self.service(name).main.is_none()
        {
            self.idle.insert(name.clone());
        }
    }

    /// They do not any more.
    pub(super) fn disarm_timers(&mut self, name: &UnitName) {
        let (watchdog, look) = (self.service(name).run().watchdog_due, self.service(name).run().look_due);
        self.move_timer(name, Timer::Watchdog, watchdog, None);
        self.move_timer(name, Timer::Look, look, None);
    }

    pub(crate) fn watchdog_bites(&mut self, name: &UnitName, why: &str) {
        self.log_warning(name, why.to_owned());
        self.enter_signal(name, ServiceState::StopWatchdog, ServiceResult::Watchdog);
    }

    // --- steps that take too long ---

    pub(crate) fn service_timeout(&mut self, name: &UnitName) {
        let section = &self.service_unit(name).service;
        let (start, stop) = (section.timeout_start_failure_mode, section.timeout_stop_failure_mode);
        let late = ServiceResult::Timeout;
        let state = self.service(name).state;
        if state == ServiceState::StartCheck && self.checks_again(name) {
            return;
        }
        match state {
            ServiceState::Start if self.idle.contains(name) => self.leave_idle(name),
            ServiceState::Condition
            | ServiceState::StartPre
            | ServiceState::Start
            | ServiceState::StartCheck
            | ServiceState::StartPost => {
                self.log_warning(name, "start timed out".to_owned());
                self.enter_signal(name, first_signal(start), late);
            }
            ServiceState::Running => {
                self.log_warning(name, "ran for as long as it may (RuntimeMaxSec=), stopping".to_owned());
                self.enter_stop(name, late);
            }
            ServiceState::Reload | ServiceState::ReloadSignal | ServiceState::ReloadNotify => {
                self.reload_timed_out(name);
            }
            ServiceState::Drain => self.look_at_queues(name),
            ServiceState::Stop => {
                self.log_warning(name, "ExecStop= timed out".to_owned());
                self.enter_signal(name, first_signal(stop), late);
            }
            ServiceState::StopSigterm if stop == FailureMode::Abort => {
                self.log_warning(name, "did not stop in time, aborting".to_owned());
                self.enter_signal(name, ServiceState::StopWatchdog, late);
            }
            ServiceState::StopWatchdog | ServiceState::StopSigterm => self.stop_in_vain(name),
            ServiceState::StopSigkill => {
                self.log_error(name, "processes remain after SIGKILL, ignoring them".to_owned());
                // The next command takes its place.
                if let Some(control) = self.service_mut(name).control.take() {
                    self.forget_child(control);
                }
                self.enter_stop_post(name, late);
            }
            ServiceState::StopPost => {
                self.log_warning(name, "ExecStopPost= timed out".to_owned());
                let state = match stop {
                    FailureMode::Terminate => ServiceState::FinalSigterm,
                    FailureMode::Abort => ServiceState::FinalWatchdog,
                    FailureMode::Kill => ServiceState::FinalSigkill,
                };
                self.enter_signal(name, state, late);
            }
            ServiceState::FinalSigterm if stop == FailureMode::Abort => {
                self.enter_signal(name, ServiceState::FinalWatchdog, late);
            }
            ServiceState::FinalWatchdog | ServiceState::FinalSigterm => self.end_in_vain(name),
            ServiceState::FinalSigkill => {
                self.log_error(name, "processes remain after the last SIGKILL, ignoring them".to_owned());
                self.enter_down(name, late);
            }
            ServiceState::AutoRestart => self.restart_now(name),
            ServiceState::Dead | ServiceState::Exited | ServiceState::Failed => {}
        }
    }

    /// It did not heed the signal.
    fn stop_in_vain(&mut self, name: &UnitName) {
        if self.service_unit(name).kill.send_sigkill {
            self.log_warning(name, "did not stop in time, killing".to_owned());
            self.enter_signal(name, ServiceState::StopSigkill, ServiceResult::Timeout);
        } else {
            self.log_warning(name, "did not stop in time; left alone (SendSIGKILL=no)".to_owned());
            self.enter_stop_post(name, ServiceResult::Timeout);
        }
    }

    fn end_in_vain(&mut self, name: &UnitName) {
        if self.service_unit(name).kill.send_sigkill {
            self.log_warning(name, "what is left did not end in time, killing".to_owned());
            self.enter_signal(name, ServiceState::FinalSigkill, ServiceResult::Timeout);
        } else {
            self.enter_down(name, ServiceResult::Timeout);
        }
    }

    fn reload_timed_out(&mut self, name: &UnitName) {
        self.log_warning(name, "reload timed out".to_owned());
        if let Some(control) = self.service_mut(name).control.take() {
            self.forget_child(control);
            self.kill_scope(control.process, SIGKILL, KillScope::Session);
        }
        self.service_mut(name).run_mut().reload_result = ServiceResult::Timeout;
        self.reload_ended(name, JobResult::Failed);
        self.enter_running(name, ServiceResult::Success);
    }
}

/// How a step that takes too long is ended.
fn first_signal(mode: FailureMode) -> ServiceState {
    match mode {
        FailureMode::Terminate => ServiceState::StopSigterm,
        FailureMode::Abort => ServiceState::StopWatchdog,
        FailureMode::Kill => ServiceState::StopSigkill,
    }
}
