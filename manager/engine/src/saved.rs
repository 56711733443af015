//! What outlives the manager process: the state of each unit, as the keeper stores it, and how an engine takes it up again.
//!
//! Jobs are not kept: what a unit was in the middle of it goes on with, but nobody waits for it any more.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;

use crate::engine::Engine;
use crate::event::{Action, ExitStatus};
use crate::group::Group;
use crate::ids::{FdId, ProcessId, Time};
use crate::node::{Machine, Stamps};
use crate::service::Service;
use crate::socket::Socket;
use crate::target::Target;

/// The state of one unit, without its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedUnit {
    name: UnitName,
    machine: SavedMachine,
    deadline: Option<Time>,
    stamps: Stamps,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum SavedMachine {
    Socket(Box<Socket>),
    Service(Box<Service>),
    Group(Box<Group>),
    Target(Target),
}

/// A process that the keeper still knows.
#[derive(Clone, Copy, Debug)]
pub struct SavedProcess {
    /// Its name.
    pub process: ProcessId,
    /// Its pid.
    pub pid: u32,
    /// How it ended, if it ended while nobody looked.
    pub status: Option<ExitStatus>,
}

impl Engine {
    /// The state of `name` that is worth keeping; `None` for a unit that is gone, or never left its first state.
    pub fn saved(&self, name: &UnitName) -> Option<SavedUnit> {
        let node = self.nodes.get(name)?;
        node.stamps.state_change?;
        let machine = match &node.machine {
            Machine::Socket(socket) => SavedMachine::Socket(socket.clone()),
            Machine::Service(service) => SavedMachine::Service(service.clone()),
            Machine::Group(group) => SavedMachine::Group(group.clone()),
            Machine::Target(target) => SavedMachine::Target(*target),
        };
        Some(SavedUnit { name: name.clone(), machine, deadline: node.deadline, stamps: node.stamps })
    }

    /// Takes up the state that an earlier manager left, in an engine that is fresh. `has_fd` tells which descriptors are still there.
    /// Processes that ended meanwhile end now; processes that no unit knows are killed.
    pub fn restore(
        &mut self,
        now: Time,
        units: Vec<SavedUnit>,
        processes: &[SavedProcess],
        has_fd: impl Fn(FdId) -> bool,
        actions: &mut Vec<Action>,
    ) {
        self.now = now;
        for unit in units {
            self.restore_unit(unit, &has_fd);
        }
        self.restore_processes(processes);
        let sockets: BTreeSet<UnitName> = self.listeners.values().cloned().collect();
        for socket in sockets {
            self.forget_steering(&socket);
            self.steer_socket(&socket);
            self.refresh_watches(&socket);
        }
        self.settle(actions);
    }

    fn restore_unit(&mut self, saved: SavedUnit, has_fd: &impl Fn(FdId) -> bool) {
        let name = saved.name;
        self.ensure(&name);
        if let SavedMachine::Service(service) = &saved.machine {
            if service.is_per_connection() && !self.nodes.contains_key(&name) {
                let unit = self.library.unit(&name);
                self.insert_unlinked(unit, Machine::Service(Box::default()));
            }
        }
        let Some(node) = self.nodes.get_mut(&name) else {
            return self
                .log_warning(&name, "its unit file is gone; what ran of it is no longer managed".to_owned());
        };
        match (saved.machine, &mut node.machine) {
            (SavedMachine::Socket(old), Machine::Socket(new)) => {
                **new = *old;
                if !new.ports.iter().all(|open| has_fd(open.port.fd)) {
                    **new = Socket::default();
                }
                for open in &new.ports {
                    self.listeners.insert(open.port.fd, name.clone());
                    self.next_fd = self.next_fd.max(open.port.fd.0);
                }
            }
            (SavedMachine::Service(old), Machine::Service(new)) => {
                for child in [old.main, old.control].into_iter().flatten() {
                    self.processes.insert(child.process, name.clone());
                }
                let seat = new.seat.take();
                **new = *old;
                new.seat = seat;
            }
            (SavedMachine::Target(old), Machine::Target(new)) => *new = old,
            // A group is the sum of its instances; and a unit that changed its kind starts afresh.
            _ => return,
        }
        node.stamps = saved.stamps;
        self.set_deadline(&name, saved.deadline);
        self.stir(&name);
    }

    fn restore_processes(&mut self, known: &[SavedProcess]) {
        for saved in known {
            self.next_process = self.next_process.max(saved.process.0);
            match (self.processes.contains_key(&saved.process), saved.status) {
                (true, None) => self.adopt(saved.process, saved.pid),
                (_, Some(status)) => self.service_exited(saved.process, status),
                (false, None) => self.kill_scope(saved.process, 15, crate::event::KillScope::Session),
            }
        }
        let lost: Vec<ProcessId> = self
            .processes
            .keys()
            .copied()
            .filter(|id| !known.iter().any(|saved| saved.process == *id))
            .collect();
        for process in lost {
            self.service_exited(process, ExitStatus::Exited(0));
        }
    }

    /// The process lives: it may have been spawned after the last thing that was saved of its unit.
    fn adopt(&mut self, process: ProcessId, pid: u32) {
        let unknown = self.processes.get(&process).is_some_and(|name| self.service(name).lacks_pid(process));
        self.pids.insert(pid, process);
        if unknown {
            self.service_spawned(process, pid);
        }
    }
}
