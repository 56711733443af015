//! The way up: the lists of commands, one after the other, until the service runs; and reloading.

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{ServiceType, Span};

use super::run::Word;
use super::{Child, ServiceResult, ServiceState, commands};
use crate::engine::Engine;
use crate::event::{Action, ExecList, KillScope, PassedFd};
use crate::job::{JobKind, JobResult};

/// systemd.service(5), `Type=idle`: it waits at most so long for other jobs.
const IDLE_MAX: Span = Span::from_secs(5);

impl Engine {
    pub(super) fn enter_list(&mut self, name: &UnitName, list: ExecList) {
        self.run_command(name, list, 0);
    }

    /// Runs command `index` of a list, or goes on when there is none.
    pub(super) fn run_command(&mut self, name: &UnitName, list: ExecList, index: usize) {
        if index >= commands(self.service_unit(name), list).len() {
            return self.list_done(name, list);
        }
        self.set_service_state(name, state_of(list));
        let limit = self.time_limit(name, list);
        self.set_deadline(name, self.now.after(limit));
        if list == ExecList::StartPost && index == 0 {
            self.reset_watchdog(name);
        }
        self.spawn(name, list, index);
    }

    pub(super) fn spawn(&mut self, name: &UnitName, list: ExecList, index: usize) {
        let process = self.new_process(name);
        let child = Child { process, pid: None, list, index };
        let is_main = self.is_main(name, list);
        let service = self.service_mut(name);
        if is_main {
            service.main = Some(child);
            service.run_mut().is_main_known = true;
        } else {
            service.control = Some(child);
        }
        let fds = self.passed_fds(name, list);
        if list == ExecList::Start {
            self.fresh_passed(&fds);
        }
        let environment = self.environment(name, list);
        self.out.push(Action::Spawn { process, unit: name.clone(), list, index, fds, environment });
    }

    /// Whether the process of a command of this list is the main one. What forks into the background is not: its child is.
    fn is_main(&self, name: &UnitName, list: ExecList) -> bool {
        list == ExecList::Start && self.service_type(name) != ServiceType::Forking
    }

    /// Sockets, then what it has left with us.
    fn passed_fds(&self, name: &UnitName, list: ExecList) -> Vec<PassedFd> {
        let is_start = list == ExecList::Start;
        let streams = &self.service_unit(name).streams;
        let mut fds = if is_start || streams.uses_socket() || streams.uses_named() {
            self.descriptors(name)
        } else {
            Vec::new()
        };
        if is_start {
            fds.extend(self.store_of(name).map(|stored| PassedFd {
                fd: stored.fd,
                name: stored.name.to_string(),
                is_stored: true,
            }));
        }
        fds
    }

    fn list_done(&mut self, name: &UnitName, list: ExecList) {
        match list {
            ExecList::Condition => self.enter_list(name, ExecList::StartPre),
            ExecList::StartPre if self.service(name).has_lost_connection() => {
                self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Resources);
            }
            ExecList::StartPre => self.enter_start(name),
            // The last command of a oneshot service, or none at all.
            ExecList::Start => self.enter_list(name, ExecList::StartPost),
            // Its file has changed meanwhile.
            ExecList::ReadyCheck => self.enter_list(name, ExecList::StartPost),
            ExecList::StartPost if self.must_seek_main(name) => {}
            ExecList::StartPost => self.enter_running(name, ServiceResult::Success),
            ExecList::Reload => self.reload_commands_done(name),
            ExecList::Stop => self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Success),
            ExecList::StopPost => self.enter_signal(name, ServiceState::FinalSigterm, ServiceResult::Success),
            ExecList::Chown | ExecList::StopPre => {}
        }
    }

    fn enter_start(&mut self, name: &UnitName) {
        if self.service_type(name) == ServiceType::Idle {
            // This counts as up, which ends its own job: what is left are others'.
            self.set_service_state(name, ServiceState::Start);
            self.set_deadline(name, self.now.after(IDLE_MAX));
            self.idle.insert(name.clone());
        } else {
            self.enter_list(name, ExecList::Start);
        }
    }

    /// No job is under way any more, or it has waited long enough.
    pub(crate) fn leave_idle(&mut self, name: &UnitName) {
        self.idle.remove(name);
        if self.nodes.contains_key(name) && self.service(name).state == ServiceState::Start {
            self.enter_list(name, ExecList::Start);
        }
    }

    /// Up, if there is something that runs, or that remains; otherwise down again. `result` is how its main process ended, if it has.
    pub(super) fn enter_running(&mut self, name: &UnitName, result: ServiceResult) {
        self.note_result(name, result);
        let was_up = self.service(name).state.active_state().is_up();
        if self.service(name).result != ServiceResult::Success {
            self.enter_signal(name, ServiceState::StopSigterm, result);
        } else if self.is_good(name) {
            self.set_service_state(name, ServiceState::Running);
            self.limit_run(name);
            if !was_up {
                self.reset_watchdog(name);
                self.log_up(name);
                self.heed_word(name);
            }
        } else if self.service_unit(name).service.remain_after_exit {
            self.set_service_state(name, ServiceState::Exited);
        } else {
            self.enter_stop(name, ServiceResult::Success);
        }
    }

    /// What it said while its last commands ran.
    fn heed_word(&mut self, name: &UnitName) {
        match self.service(name).run().word {
            Word::Reloading => self.enter_reload_notify(name),
            Word::Stopping => self.enter_stop_by_notify(name),
            Word::None | Word::Ready => {}
        }
    }

    fn log_up(&mut self, name: &UnitName) {
        let service = self.service(name);
        let text = match service.main.map(|main| main.pid) {
            Some(Some(pid)) => format!("running (pid {pid})"),
            // Its program could not be run, which shows in a moment.
            Some(None) => return,
            None => "running".to_owned(),
        };
        match service.is_per_connection() {
            // As many as there are connections.
            true => self.log_debug(name, text),
            false => self.log_info(name, text),
        }
    }

    /// Something of it runs that makes it what it is.
    fn is_good(&self, name: &UnitName) -> bool {
        let service = self.service(name);
        let run = service.run();
        let has_name = self.service_type(name) != ServiceType::Dbus || run.owns_bus_name;
        has_name && (service.main.is_some() || (!run.is_main_known && !run.left.is_empty()))
    }

    // --- reloading ---

    /// systemd.service(5): a signal, where the type says so, then `ExecReload=`.
    pub(super) fn enter_reload(&mut self, name: &UnitName) {
        let now = self.now;
        let run = self.service_mut(name).run_mut();
        run.reload_begun = Some(now);
        run.reload_result = ServiceResult::Success;
        let is_signalled = self.service_type(name) == ServiceType::NotifyReload;
        let target = self.service(name).main.filter(|_| is_signalled);
        if let Some(main) = target {
            let signal = self.service_unit(name).service.reload_signal.number();
            self.kill_scope(main.process, signal, KillScope::Process);
        }
        if target.is_some() && self.service_unit(name).service.exec_reload.is_empty() {
            self.set_service_state(name, ServiceState::ReloadSignal);
            self.limit_reload(name);
        } else {
            self.enter_list(name, ExecList::Reload);
        }
    }

    fn limit_reload(&mut self, name: &UnitName) {
        let limit = self.time_limit(name, ExecList::Reload);
        self.set_deadline(name, self.now.after(limit));
    }

    fn reload_commands_done(&mut self, name: &UnitName) {
        if self.service(name).run().word == Word::Reloading {
            return self.enter_reload_notify(name);
        }
        self.reload_succeeded(name);
    }

    /// It says that it reloads: until it says that it is ready again.
    pub(super) fn enter_reload_notify(&mut self, name: &UnitName) {
        self.set_service_state(name, ServiceState::ReloadNotify);
        self.limit_reload(name);
    }

    pub(super) fn reload_succeeded(&mut self, name: &UnitName) {
        // Its main process may have failed meanwhile.
        if self.service(name).result == ServiceResult::Success {
            self.log_info(name, "reloaded".to_owned());
            self.reload_ended(name, JobResult::Done);
        } else {
            self.reload_ended(name, JobResult::Failed);
        }
        self.enter_running(name, ServiceResult::Success);
    }

    /// The commands of a reload are through. A job that waits came after they began: it has them run once more.
    pub(super) fn reload_ended(&mut self, name: &UnitName, result: JobResult) {
        let Some(id) = self.nodes.get(name).and_then(|node| node.job) else { return };
        if self.jobs.get(&id).is_some_and(|job| job.kind == JobKind::Reload && job.running) {
            self.finish_job(id, result);
        }
    }
}

fn state_of(list: ExecList) -> ServiceState {
    match list {
        ExecList::Condition => ServiceState::Condition,
        ExecList::StartPre => ServiceState::StartPre,
        ExecList::Start => ServiceState::Start,
        ExecList::ReadyCheck => ServiceState::StartCheck,
        ExecList::StartPost => ServiceState::StartPost,
        ExecList::Reload => ServiceState::Reload,
        ExecList::Stop => ServiceState::Stop,
        ExecList::StopPost => ServiceState::StopPost,
        ExecList::Chown | ExecList::StopPre => ServiceState::Stop,
    }
}
