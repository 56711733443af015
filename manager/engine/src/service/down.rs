//! The way down: commands, signals, and whether it comes up again.

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{KillMode, Restart, ServiceType, Signal, Span};

use super::processes::SIGKILL;
use super::{ServiceResult, ServiceState, is_other};
use crate::command::{Command, JobMode, Verb};
use crate::engine::Engine;
use crate::event::{Action, ExecList, ExitStatus, KillScope};
use crate::ids::ProcessId;
use crate::job::JobKind;

/// Between two restarts that come to nothing there is at least this.
const RESUME_MIN: Span = Span::from_millis(100);

const SIGHUP: i32 = 1;
const SIGCONT: i32 = 18;

impl Engine {
    pub(super) fn enter_stop(&mut self, name: &UnitName, result: ServiceResult) {
        self.note_result(name, result);
        self.enter_list(name, ExecList::Stop);
    }

    /// It says that it stops: as if we had sent it the signal.
    pub(super) fn enter_stop_by_notify(&mut self, name: &UnitName) {
        self.set_service_state(name, ServiceState::StopSigterm);
        let limit = self.stop_limit(name);
        self.set_deadline(name, self.now.after(limit));
        self.refresh_rotation_of(name);
    }

    pub(super) fn enter_stop_post(&mut self, name: &UnitName, result: ServiceResult) {
        self.note_result(name, result);
        self.enter_list(name, ExecList::StopPost);
    }

    /// Signals what is left, as `KillMode=` says, and waits for it; goes on at once when nothing is left, or nothing is to be
    /// signalled.
    pub(super) fn enter_signal(&mut self, name: &UnitName, state: ServiceState, result: ServiceResult) {
        self.note_result(name, result);
        self.idle.remove(name);
        if self.signal_processes(name, state) {
            self.set_service_state(name, state);
            let is_abort = matches!(state, ServiceState::StopWatchdog | ServiceState::FinalWatchdog);
            let limit = if is_abort { self.abort_limit(name) } else { self.stop_limit(name) };
            self.set_deadline(name, self.now.after(limit));
            return;
        }
        let kills = self.service_unit(name).kill.send_sigkill;
        match state {
            ServiceState::StopWatchdog | ServiceState::StopSigterm if kills => {
                self.enter_signal(name, ServiceState::StopSigkill, ServiceResult::Success);
            }
            ServiceState::FinalWatchdog | ServiceState::FinalSigterm if kills => {
                self.enter_signal(name, ServiceState::FinalSigkill, ServiceResult::Success);
            }
            ServiceState::StopWatchdog | ServiceState::StopSigterm | ServiceState::StopSigkill => {
                self.enter_stop_post(name, ServiceResult::Success);
            }
            _ => self.enter_down(name, ServiceResult::Success),
        }
    }

    /// Whether there is anybody whose end is to be waited for.
    pub(super) fn signal_processes(&mut self, name: &UnitName, state: ServiceState) -> bool {
        let service = self.service(name);
        let own: Vec<ProcessId> =
            [service.main, service.control].into_iter().flatten().map(|child| child.process).collect();
        let mode = self.service_unit(name).kill.kill_mode;
        let is_last = matches!(state, ServiceState::StopSigkill | ServiceState::FinalSigkill);
        let (scope, left) = match mode {
            KillMode::None => return false,
            KillMode::Process => (KillScope::Process, Vec::new()),
            KillMode::Mixed if !is_last => (KillScope::Process, Vec::new()),
            KillMode::Mixed | KillMode::ControlGroup => {
                (KillScope::Session, self.service(name).run().left.clone())
            }
        };
        let targets = own.iter().map(|own| (*own, scope)).chain(left.iter().map(|left| (*left, scope)));
        let targets: Vec<(ProcessId, KillScope)> = targets.collect();
        for signal in self.stop_signals(name, state) {
            for (process, scope) in &targets {
                self.kill_scope(*process, signal, *scope);
            }
        }
        !targets.is_empty()
    }

    /// The signals of a state of the way down. SIGCONT, because what is stopped heeds none but SIGKILL.
    fn stop_signals(&self, name: &UnitName, state: ServiceState) -> Vec<i32> {
        let kill = &self.service_unit(name).kill;
        let is_restart = self.job_of(name).is_some_and(|job| job.kind == JobKind::Restart);
        let signal = match state {
            ServiceState::StopSigkill | ServiceState::FinalSigkill => {
                return vec![kill.final_kill_signal.number()];
            }
            ServiceState::StopWatchdog | ServiceState::FinalWatchdog => kill.watchdog_signal,
            _ if is_restart => kill.effective_restart_kill_signal(),
            _ => kill.kill_signal,
        };
        let is_polite = !matches!(state, ServiceState::StopWatchdog | ServiceState::FinalWatchdog);
        let mut signals = vec![signal.number()];
        if signal != Signal::KILL {
            signals.push(SIGCONT);
        }
        if kill.send_sighup && is_polite {
            signals.push(SIGHUP);
        }
        signals
    }

    /// Nothing of it that is waited for in this state runs any more.
    pub(super) fn step_down(&mut self, name: &UnitName, result: ServiceResult) {
        self.note_result(name, result);
        let service = self.service(name);
        if service.main.is_some() || service.control.is_some() {
            return;
        }
        match service.state {
            ServiceState::StopWatchdog | ServiceState::StopSigterm | ServiceState::StopSigkill => {
                self.enter_stop_post(name, result);
            }
            ServiceState::FinalWatchdog | ServiceState::FinalSigterm | ServiceState::FinalSigkill
                if service.run().left.is_empty() =>
            {
                self.enter_down(name, result);
            }
            _ => {}
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
        let down = if result.is_failure() { ServiceState::Failed } else { ServiceState::Dead };
        self.release_store(name, false);
        self.clean_up(name, restarts || self.comes_up_by_job(name));
        self.set_service_state(name, down);
        match result {
            ServiceResult::Success => {}
            ServiceResult::ExecCondition => {
                self.log_info(name, "not started: ExecCondition= says no".to_owned())
            }
            _ => self.log_failure(name, result),
        }
        if restarts {
            let at_once = self.comes_back_at_once(name);
            let delay = if at_once { self.pause_to_move(name) } else { self.restart_delay(name) };
            self.set_service_state(name, ServiceState::AutoRestart);
            self.set_deadline(name, self.now.after(delay));
            let when = if delay == Span::ZERO { "at once".to_owned() } else { format!("in {delay}") };
            self.log_info(name, format!("restarting {when}"));
        }
    }

    /// Two generations share what was made for them: the last one takes it along.
    fn clean_up(&mut self, name: &UnitName, restarts: bool) {
        let unit = self.service_unit(name);
        let leaves = unit.exec.leaves_something() || unit.service.pid_file.is_some();
        if leaves && !is_other(name) && self.other_generation(name).is_none() {
            self.out.push(Action::CleanUp { unit: name.clone(), restarts });
        }
    }

    /// Its job takes it down and up again.
    fn comes_up_by_job(&self, name: &UnitName) -> bool {
        self.job_of(name).is_some_and(|job| job.kind == JobKind::Restart)
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
        self.thaw(name);
        let service = self.service_mut(name);
        let children = [service.main.take(), service.control.take()];
        let left = if service.run().left.is_empty() {
            Vec::new()
        } else {
            std::mem::take(&mut service.run_mut().left)
        };
        self.give_up_search(name);
        for child in children.into_iter().flatten() {
            self.forget_child(child);
        }
        for process in left {
            self.forget_left(process);
        }
        self.set_look(name, None);
        self.refresh_rotation_of(name);
    }

    /// A main process that is found from now on is nobody's, and ends at once.
    fn give_up_search(&mut self, name: &UnitName) {
        if let Some(process) = self.service(name).run().sought {
            self.service_mut(name).run_mut().sought = None;
            if self.service_unit(name).kill.kill_mode != KillMode::None {
                self.kill_scope(process, SIGKILL, KillScope::Session);
            }
            self.processes.remove(&process);
        }
    }

    /// An instance whose queue is waiting for it need not wait for `RestartSec=` when it ran well: ten times as long as that, and at
    /// least a second. So even one that crashes each time that it may spends little of its time in starting.
    fn comes_back_at_once(&self, name: &UnitName) -> bool {
        let pause = self.service_unit(name).service.restart_sec.as_micros();
        let well = Span::from_micros(pause.saturating_mul(10)).max(Span::from_secs(1));
        let stamps = &self.nodes[name].stamps;
        let was_up = stamps.active_enter.zip(stamps.active_exit);
        let ran_well = was_up.is_some_and(|(up, down)| up.after(well).is_some_and(|end| end <= down));
        self.service(name).seat.is_some() && ran_well
    }

    /// systemd.service(5), the table under `Restart=`. An instance belongs to its slot: it comes back unless told otherwise.
    fn shall_restart(&self, name: &UnitName, result: ServiceResult) -> bool {
        let service = self.service(name);
        let stays_down = service.is_per_connection() || is_other(name) || self.is_parked(name);
        if self.is_stopping_by_job(name) || stays_down {
            return false;
        }
        let section = &self.service_unit(name).service;
        let ended_as = |set: &sockmgr_unit::value::ExitStatuses| match service.main_status {
            Some(ExitStatus::Exited(code)) => set.has_code(code),
            Some(ExitStatus::Killed(signal) | ExitStatus::Dumped(signal)) => set.has_signal(signal),
            None => false,
        };
        if ended_as(&section.restart_prevent_exit_status) {
            return false;
        }
        if ended_as(&section.restart_force_exit_status) {
            return true;
        }
        let default = if service.seat.is_some() && section.type_ != ServiceType::Oneshot {
            Restart::Always
        } else {
            Restart::No
        };
        let failed = result.is_failure();
        match section.restart.unwrap_or(default) {
            Restart::No => false,
            Restart::Always => result != ServiceResult::ExecCondition,
            Restart::OnSuccess => result == ServiceResult::Success,
            Restart::OnFailure => failed,
            Restart::OnAbnormal => failed && result != ServiceResult::ExitCode,
            Restart::OnAbort => matches!(result, ServiceResult::Signal | ServiceResult::CoreDump),
            Restart::OnWatchdog => result == ServiceResult::Watchdog,
        }
    }

    /// `RestartSec=`, or with `RestartSteps=` more from one restart to the next. A service that was up for as long as the longest
    /// of these waits is well: it begins with the shortest again.
    fn restart_delay(&mut self, name: &UnitName) -> Span {
        let section = &self.service_unit(name).service;
        let (first, last, steps) =
            (section.restart_sec, section.restart_max_delay_sec, section.restart_steps);
        if steps == 0 || last.is_infinite() || last <= first || first == Span::ZERO {
            return first;
        }
        let stamps = &self.nodes[name].stamps;
        let was_well = stamps
            .active_enter
            .zip(stamps.active_exit)
            .is_some_and(|(up, down)| up.after(last).is_some_and(|well| well <= down));
        let run = self.service_mut(name).run_mut();
        if was_well {
            run.backoff = 0;
        }
        let step = run.backoff;
        run.backoff = run.backoff.saturating_add(1);
        if step >= steps {
            return last;
        }
        // Each wait is the same multiple of the one before.
        let growth = last.as_micros() as f64 / first.as_micros() as f64;
        let factor = growth.powf(f64::from(step) / f64::from(steps));
        Span::from_micros((first.as_micros() as f64 * factor).round() as u64)
    }

    /// The job that was to start the service again came to nothing: what it requires did not start, or another job was in the way.
    /// That counts as a start, and the wait begins again.
    pub(crate) fn resume_restart(&mut self, name: &UnitName) {
        let node = &self.nodes[name];
        let is_stuck = !self.is_held_back(name)
            && node.deadline.is_none()
            && node.job.is_none()
            && node.service().is_some_and(|service| service.state == ServiceState::AutoRestart);
        if is_stuck && self.admit_start(name) {
            let delay = self.service_unit(name).service.restart_sec.max(RESUME_MIN);
            self.set_deadline(name, self.now.after(delay));
        }
    }

    /// `RestartSec=` is over. A job that is to take the unit down has been waiting for its turn: it goes first. While its socket is held
    /// nothing comes up by itself; `resume_restart` goes on from here.
    pub(super) fn restart_now(&mut self, name: &UnitName) {
        if self.is_stopping_by_job(name) || self.is_held_back(name) {
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
}
