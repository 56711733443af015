//! Finding the main process of a service that puts itself into the background, or that says that another process is it now.
//!
//! The driver is asked ([`Action::FindMain`]) and answers as for a process that it was to start. What it finds is a process that
//! the keeper has not started, and watches from then on.

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{ServiceType, Span};

use super::{Child, ServiceResult, ServiceState, commands};
use crate::engine::{Engine, Timer};
use crate::event::{Action, ExecList, MainHint};
use crate::ids::{ProcessId, Time};
use crate::node::Node;

/// A PID file that is not there yet is looked for again after this.
const LOOK_AGAIN: Span = Span::from_millis(100);

impl Engine {
    /// The process that was started has ended and left its service in the background.
    pub(super) fn forked(&mut self, name: &UnitName) {
        let section = &self.service_unit(name).service;
        if let Some(file) = &section.pid_file {
            let hint = MainHint::File(file.to_string());
            self.seek_main(name, hint);
        } else if section.guess_main_pid {
            self.seek_main(name, MainHint::Guess);
        } else {
            self.enter_list(name, ExecList::StartPost);
        }
    }

    /// Asks which process is the main one.
    pub(super) fn seek_main(&mut self, name: &UnitName, hint: MainHint) {
        let service = self.service(name);
        let like = service.run().left.last().copied().or(service.main.map(|main| main.process));
        if service.run().sought.is_some() {
            return;
        }
        let process = self.new_process(name);
        self.service_mut(name).run_mut().sought = Some(process);
        self.out.push(Action::FindMain { process, unit: name.clone(), like, hint });
    }

    /// Here it is.
    pub(super) fn main_found(&mut self, name: &UnitName, process: ProcessId, pid: u32) {
        let now = self.now;
        let service = self.service_mut(name);
        service.run_mut().sought = None;
        let new = Child { process, pid: Some(pid), list: ExecList::Start, index: 0 };
        let old = service.main.replace(new);
        service.main_pid_seen = pid;
        service.main_started = Some(now);
        service.main_exited = None;
        let run = service.run_mut();
        run.is_main_known = true;
        // What they left is the new main process and its kin.
        let left = std::mem::take(&mut run.left);
        run.left.extend(old.map(|old| old.process));
        for process in left {
            self.processes.remove(&process);
            self.out.push(Action::Forget { process });
        }
        self.log_debug(name, format!("its main process is {pid}"));
        let state = self.service(name).state;
        if state.is_signalled() {
            // It was found too late for the signal that all others have got.
            self.signal_processes(name, state);
        }
        self.after_search(name);
    }

    /// Nobody knows which it is.
    pub(super) fn main_missing(&mut self, name: &UnitName, process: ProcessId, why: &str) {
        self.processes.remove(&process);
        self.service_mut(name).run_mut().sought = None;
        self.log_debug(name, format!("its main process is not known: {why}"));
        let has_file = self.service_unit(name).service.pid_file.is_some();
        let state = self.service(name).state;
        let may_come = matches!(state, ServiceState::Start | ServiceState::StartPost);
        if !has_file || self.service_type(name) != ServiceType::Forking || !may_come {
            return self.after_search(name);
        }
        let has_more = state == ServiceState::Start
            && !commands(self.service_unit(name), ExecList::StartPost).is_empty();
        if has_more {
            // Its commands may write the file.
            self.enter_list(name, ExecList::StartPost);
        } else if self.service(name).run().left.is_empty() {
            self.log_warning(name, format!("went away without a main process: {why}"));
            self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Protocol);
        } else {
            let due = self.now.after(LOOK_AGAIN);
            self.set_look(name, due);
        }
    }

    /// The search is over; a start that waited for it goes on.
    fn after_search(&mut self, name: &UnitName) {
        self.stir(name);
        match self.service(name).state {
            ServiceState::Start if self.service_type(name) == ServiceType::Forking => {
                self.enter_list(name, ExecList::StartPost);
            }
            ServiceState::StartPost if self.service(name).control.is_none() => {
                self.enter_running(name, ServiceResult::Success);
            }
            _ => {}
        }
    }

    /// Whether the commands after the start are through and the main process is still to be found; it is asked for then.
    pub(super) fn must_seek_main(&mut self, name: &UnitName) -> bool {
        let Some(file) = &self.service_unit(name).service.pid_file else { return false };
        if self.service(name).main.is_some() || self.service_type(name) != ServiceType::Forking {
            return false;
        }
        let hint = MainHint::File(file.to_string());
        self.set_service_state(name, ServiceState::StartPost);
        let limit = self.time_limit(name, ExecList::StartPost);
        self.set_deadline(name, self.now.after(limit));
        self.seek_main(name, hint);
        true
    }

    pub(crate) fn set_look(&mut self, name: &UnitName, due: Option<Time>) {
        if self.service(name).run().look_due != due {
            let old = std::mem::replace(&mut self.service_mut(name).run_mut().look_due, due);
            self.move_timer(name, Timer::Look, old, due);
        }
    }

    /// Time to look for the PID file again.
    pub(crate) fn look_again(&mut self, name: &UnitName) {
        let waits = matches!(self.service(name).state, ServiceState::Start | ServiceState::StartPost)
            && self.service(name).main.is_none();
        let file = self.service_unit(name).service.pid_file.as_ref().map(|file| file.to_string());
        if let Some(file) = file.filter(|_| waits) {
            self.seek_main(name, MainHint::File(file));
        }
    }

    /// A name on the message bus has got or lost its owner.
    pub(crate) fn bus_name_changed(&mut self, bus_name: &str, is_owned: bool) {
        let is_mine = |node: &Node| {
            let unit = node.unit.service().filter(|_| node.service().is_some());
            unit.and_then(|unit| unit.service.bus_name.as_deref()) == Some(bus_name)
        };
        let nodes = self.nodes.iter().filter(|(_, node)| is_mine(node));
        let concerned: Vec<UnitName> = nodes.map(|(name, _)| name.clone()).collect();
        for name in concerned {
            self.bus_name_of(&name, is_owned);
        }
    }

    fn bus_name_of(&mut self, name: &UnitName, is_owned: bool) {
        let service = self.service_mut(name);
        if service.run().owns_bus_name == is_owned {
            return;
        }
        service.run_mut().owns_bus_name = is_owned;
        let state = service.state;
        self.stir(name);
        match (state, is_owned) {
            _ if self.service_type(name) != ServiceType::Dbus => {}
            (ServiceState::Start, true) if self.service(name).main.is_some() => {
                self.enter_list(name, ExecList::StartPost);
            }
            (ServiceState::Running, false) => self.enter_running(name, ServiceResult::Success),
            _ => {}
        }
    }

    /// Has the driver look who has the unit's `BusName=`.
    pub(crate) fn watch_bus_name(&mut self, name: &UnitName) {
        if let Some(bus_name) = &self.service_unit(name).service.bus_name {
            let name = bus_name.to_string();
            self.out.push(Action::WatchBusName { name });
        }
    }
}
