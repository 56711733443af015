//! The way up: the lists of commands, one after the other, until the service runs.

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{ServiceType, Span};

use super::{Child, Served, ServiceResult, ServiceState, commands};
use crate::engine::Engine;
use crate::event::{Action, ExecList, Peer};
use crate::job::{JobKind, JobResult};

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
        self.spawn(name, list, index);
    }

    fn spawn(&mut self, name: &UnitName, list: ExecList, index: usize) {
        let process = self.new_process(name);
        let child = Child { process, pid: None, list, index };
        let service = self.service_mut(name);
        if list == ExecList::Start {
            service.main = Some(child);
        } else {
            service.control = Some(child);
        }
        let fds = if list == ExecList::Start || self.service_unit(name).exec.uses_socket() {
            self.descriptors(name)
        } else {
            Vec::new()
        };
        let environment = self.environment(name);
        self.out.push(Action::Spawn { process, unit: name.clone(), list, index, fds, environment });
    }

    fn environment(&self, name: &UnitName) -> Vec<(&'static str, String)> {
        let service = self.service(name);
        let mut environment = vec![
            ("SOCKMGR_UNIT", self.nodes[name].unit.name.to_string()),
            ("SOCKMGR_GENERATION", service.generation.to_string()),
        ];
        if let Some(seat) = &service.seat {
            let count = self
                .nodes
                .get(&seat.group)
                .and_then(|node| node.group())
                .map_or(0, |group| group.slots.len());
            environment.push(("SOCKMGR_INSTANCE", (seat.slot + 1).to_string()));
            environment.push(("SOCKMGR_INSTANCES", count.to_string()));
        }
        if let Some(Served { peer: Peer::Inet { remote, .. }, .. }) = service.served.as_deref() {
            environment.push(("REMOTE_ADDR", remote.ip().to_canonical().to_string()));
            environment.push(("REMOTE_PORT", remote.port().to_string()));
        }
        if let Some(pid) = service.main.and_then(|main| main.pid) {
            environment.push(("MAINPID", pid.to_string()));
        }
        environment
    }

    fn list_done(&mut self, name: &UnitName, list: ExecList) {
        match list {
            ExecList::StartPre if self.service(name).has_lost_connection() => {
                self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Resources);
            }
            ExecList::StartPre => self.enter_list(name, ExecList::Start),
            // The last command of a oneshot service, or none at all.
            ExecList::Start => self.enter_list(name, ExecList::StartPost),
            ExecList::StartPost => self.enter_running(name),
            ExecList::Reload => {
                self.log_info(name, "reloaded".to_owned());
                self.reload_ended(name, JobResult::Done);
                self.enter_running(name);
            }
            ExecList::Stop => self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Success),
        }
    }

    pub(super) fn enter_running(&mut self, name: &UnitName) {
        let kind = self.service_unit(name).service.type_;
        let service = self.service(name);
        let (main, remains) = (service.main, self.service_unit(name).service.remain_after_exit);
        if let Some(main) = main {
            let was_reloading = service.state == ServiceState::Reload;
            self.set_service_state(name, ServiceState::Running);
            let pid = main.pid.unwrap_or(0);
            match (was_reloading, self.service(name).is_per_connection()) {
                (true, _) => {}
                // As many as there are connections.
                (false, true) => self.log_debug(name, format!("running (pid {pid})")),
                (false, false) => self.log_info(name, format!("running (pid {pid})")),
            }
        } else if remains {
            self.set_service_state(name, ServiceState::Exited);
        } else if kind == ServiceType::Oneshot {
            self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Success);
        } else {
            self.enter_stop(name, ServiceResult::Success);
        }
    }

    /// The commands of a reload are through. A job that waits came after they began: it has them run once more.
    pub(super) fn reload_ended(&mut self, name: &UnitName, result: JobResult) {
        let Some(id) = self.nodes.get(name).and_then(|node| node.job) else { return };
        if self.jobs.get(&id).is_some_and(|job| job.kind == JobKind::Reload && job.running) {
            self.finish_job(id, result);
        }
    }

    /// How long a command of this list may take.
    fn time_limit(&self, name: &UnitName, list: ExecList) -> Span {
        let section = &self.service_unit(name).service;
        match (list, section.type_) {
            (ExecList::Stop, _) => self.stop_limit(name),
            // systemd.service(5), `TimeoutStartSec=`: off for oneshot unless it is set.
            (_, ServiceType::Oneshot) => section.timeout_start_sec.unwrap_or(Span::INFINITY),
            (ExecList::Start | ExecList::StartPre | ExecList::StartPost | ExecList::Reload, _) => {
                section.timeout_start_sec.unwrap_or(self.settings.default_timeout_start_sec)
            }
        }
    }
}

fn state_of(list: ExecList) -> ServiceState {
    match list {
        ExecList::StartPre => ServiceState::StartPre,
        ExecList::Start => ServiceState::Start,
        ExecList::StartPost => ServiceState::StartPost,
        ExecList::Reload => ServiceState::Reload,
        ExecList::Stop => ServiceState::Stop,
    }
}
