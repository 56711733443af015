//! Readiness of services that do not say so (`ReadyCheck=`): they are asked, again and again, until they answer.
//!
//! A command is a control process like others. For the rest the driver makes a connection that reaches this instance and no other
//! ([`Action::Probe`]), and tells what became of it.

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;
use sockmgr_unit::value::{ListenKind, ReadyCheck, Span};

use super::{ServiceResult, ServiceState};
use crate::engine::Engine;
use crate::event::{Action, Detour, ExecList};
use crate::ids::{FdId, ProcessId, Time};

/// The longest that one probe waits for its answer.
const PATIENCE: Span = Span::from_secs(10);

/// A check that goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Check {
    /// When it has failed; `None`: never.
    until: Option<Time>,
    /// Why the last answer was not good enough.
    why: Option<Box<str>>,
}

impl Engine {
    /// The main process runs, and has said that it is ready where it does. What `ReadyCheck=` says has yet to be seen.
    pub(super) fn main_is_up(&mut self, name: &UnitName) {
        let section = &self.service_unit(name).service;
        if section.ready_check.is_none() {
            return self.enter_list(name, ExecList::StartPost);
        }
        let limit = section.ready_check_timeout_sec;
        let until = limit.map_or(self.nodes[name].deadline, |limit| self.now.after(limit));
        self.service_mut(name).run_mut().check = Some(Check { until, why: None });
        self.set_service_state(name, ServiceState::StartCheck);
        self.check_readiness(name);
    }

    fn check_readiness(&mut self, name: &UnitName) {
        let until = self.check_end(name);
        match self.service_unit(name).service.ready_check.clone() {
            Some(ReadyCheck::Exec(_)) => {
                self.set_deadline(name, until);
                self.spawn(name, ExecList::ReadyCheck, 0);
            }
            Some(check) => self.probe(name, check),
            // Its file has changed meanwhile.
            None => self.enter_list(name, ExecList::StartPost),
        }
    }

    fn probe(&mut self, name: &UnitName, check: ReadyCheck) {
        let Some(process) = self.service(name).main.map(|main| main.process) else { return };
        let Some((fd, detour)) = self.place_to_probe(name) else {
            self.log_error(name, format!("ReadyCheck={check} needs a stream socket, and it has none"));
            return self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Resources);
        };
        let until = self.check_end(name);
        // If there is no answer at all, the driver that was asked is gone.
        let end = self.now.after(PATIENCE).map(|end| until.map_or(end, |until| until.min(end)));
        self.set_deadline(name, end);
        self.out.push(Action::Probe { process, fd, check, detour, until: end });
    }

    /// Where to connect to. New connections do not get to an instance that is out of rotation by themselves.
    fn place_to_probe(&self, name: &UnitName) -> Option<(FdId, Option<Detour>)> {
        self.descriptors(name).into_iter().find_map(|passed| {
            let socket = self.listeners.get(&passed.fd)?;
            let port = self.open_ports(socket).find(|port| port.fd == passed.fd)?;
            let kind = self.section(socket).listen.get(port.line)?.kind;
            let live = &self.socket(socket).steered;
            let detour = port.slot.filter(|slot| *live != [*slot]).map(|slot| Detour {
                socket: socket.clone(),
                line: port.line,
                slot,
                live: live.clone(),
            });
            (kind == ListenKind::Stream).then_some((passed.fd, detour))
        })
    }

    pub(crate) fn service_probed(&mut self, process: ProcessId, result: Result<(), String>) {
        let Some(name) = self.processes.get(&process).cloned() else { return };
        let service = self.service(&name);
        let is_asked = service.state == ServiceState::StartCheck
            && service.main.is_some_and(|main| main.process == process);
        match result {
            _ if !is_asked => {}
            Ok(()) => self.enter_list(&name, ExecList::StartPost),
            Err(why) => self.not_ready_yet(&name, &why),
        }
    }

    /// Once more, after `ReadyCheckIntervalSec=`.
    pub(super) fn not_ready_yet(&mut self, name: &UnitName, why: &str) {
        let interval = self.service_unit(name).service.ready_check_interval_sec;
        let until = self.check_end(name);
        if let Some(check) = &mut self.service_mut(name).run_mut().check {
            check.why = Some(why.into());
        }
        let next = self.now.after(interval).map(|next| until.map_or(next, |until| until.min(next)));
        self.set_deadline(name, next.or(until));
    }

    /// The wait between two checks is over: true if there is another one, false if it took too long.
    pub(super) fn checks_again(&mut self, name: &UnitName) -> bool {
        if self.check_end(name).is_some_and(|until| until <= self.now) {
            let check = self.service(name).run().check.as_ref();
            let why = check.and_then(|check| check.why.as_deref()).unwrap_or("no answer").to_owned();
            self.log_warning(name, format!("not ready in time (ReadyCheck=): {why}"));
            return false;
        }
        if self.service(name).control.is_none() {
            self.check_readiness(name);
        }
        true
    }

    /// The main process ended before it was found ready.
    pub(super) fn ended_unready(&mut self, name: &UnitName, result: ServiceResult) {
        let result = if result == ServiceResult::Success { ServiceResult::Protocol } else { result };
        self.service_mut(name).result = result;
        self.enter_signal(name, ServiceState::StopSigterm, result);
    }

    /// Whoever was asked is gone with the earlier manager.
    pub(crate) fn resume_check(&mut self, name: &UnitName) {
        let service = self.service(name);
        if service.state == ServiceState::StartCheck && service.control.is_none() {
            let now = self.now;
            self.set_deadline(name, Some(now));
        }
    }

    fn check_end(&self, name: &UnitName) -> Option<Time> {
        self.service(name).run().check.as_ref().and_then(|check| check.until)
    }
}
