//! What outlives the manager process: the state of each unit, as the keeper stores it, and how an engine takes it up again.
//!
//! Jobs are kept as well, under new numbers: whoever waited for one is gone with the connection to the earlier manager, but what was to
//! be done is still to be done.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;

use crate::engine::Engine;
use crate::event::{Action, ExitStatus, KillScope, SpawnError};
use crate::group::Group;
use crate::ids::{FdId, ProcessId, Time};
use crate::job::JobKind;
use crate::node::{Machine, Stamps};
use crate::service::Service;
use crate::socket::Socket;
use crate::target::Target;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// The state of one unit, without its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedUnit {
    name: UnitName,
    machine: SavedMachine,
    deadline: Option<Time>,
    stamps: Stamps,
    job: Option<SavedJob>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct SavedJob {
    kind: JobKind,
    running: bool,
    ignore_order: bool,
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
        let job = self.job_of(name).map(|job| SavedJob {
            kind: job.kind,
            running: job.running,
            ignore_order: job.ignore_order,
        });
        if node.stamps.state_change.is_none() && job.is_none() {
            return None;
        }
        let machine = match &node.machine {
            Machine::Socket(socket) => SavedMachine::Socket(socket.clone()),
            Machine::Service(service) => SavedMachine::Service(service.clone()),
            Machine::Group(group) => SavedMachine::Group(group.clone()),
            Machine::Target(target) => SavedMachine::Target(*target),
        };
        Some(SavedUnit { name: name.clone(), machine, deadline: node.deadline, stamps: node.stamps, job })
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
        self.count_connections();
        self.recall_group_states();
        let sockets: BTreeSet<UnitName> = self.listeners.values().cloned().collect();
        for socket in &sockets {
            self.forget_steering(socket);
        }
        self.restore_processes(processes);
        for socket in &sockets {
            self.steer_socket(socket);
            self.refresh_watches(socket);
        }
        self.stir_all();
        self.settle(actions);
    }

    fn restore_unit(&mut self, saved: SavedUnit, has_fd: &impl Fn(FdId) -> bool) {
        let name = saved.name;
        if !self.restore_node(&name, &saved.machine) {
            return self.log_warning(&name, "it is of another kind now; what ran of it is ended".to_owned());
        }
        let mut is_stranded = false;
        match saved.machine {
            SavedMachine::Socket(old) => self.restore_socket(&name, *old, has_fd),
            SavedMachine::Service(old) => is_stranded = self.restore_service(&name, *old, has_fd),
            // A group is the sum of its instances.
            SavedMachine::Group(_) => {}
            SavedMachine::Target(old) => {
                self.nodes.get_mut(&name).expect("it was just made").machine = Machine::Target(old);
            }
        }
        if let Some(node) = self.nodes.get_mut(&name) {
            node.stamps = saved.stamps;
        }
        self.set_deadline(&name, saved.deadline);
        if let Some(job) = saved.job {
            self.restore_job(&name, job);
        }
        if is_stranded {
            self.log_warning(&name, "its connection was lost with the earlier manager".to_owned());
            self.queue_job(&name, JobKind::Stop, true);
        }
    }

    /// Sees to it that there is a node of the right kind, also for a unit whose file is gone.
    fn restore_node(&mut self, name: &UnitName, machine: &SavedMachine) -> bool {
        let is_unlinked = matches!(machine, SavedMachine::Service(service) if service.is_per_connection());
        if !is_unlinked {
            self.ensure(name);
        }
        if !self.nodes.contains_key(name) {
            let unit = self.library.unit(name);
            match machine {
                SavedMachine::Socket(_) => self.insert(unit, Machine::Socket(Box::default())),
                SavedMachine::Service(_) if is_unlinked => {
                    self.insert_unlinked(unit, Machine::Service(Box::default()));
                }
                SavedMachine::Service(_) => self.insert(unit, Machine::Service(Box::default())),
                SavedMachine::Target(_) => self.insert(unit, Machine::Target(Target::default())),
                SavedMachine::Group(_) => return false,
            }
        }
        matches!(
            (machine, &self.nodes[name].machine),
            (SavedMachine::Socket(_), Machine::Socket(_))
                | (SavedMachine::Service(_), Machine::Service(_))
                | (SavedMachine::Group(_), Machine::Group(_))
                | (SavedMachine::Target(_), Machine::Target(_))
        )
    }

    /// True when it has lost the connection that it was to serve.
    fn restore_service(&mut self, name: &UnitName, mut old: Service, has_fd: &impl Fn(FdId) -> bool) -> bool {
        for child in [old.main, old.control].into_iter().flatten() {
            self.processes.insert(child.process, name.clone());
        }
        let fd = old.served.as_ref().and_then(|served| served.fd);
        self.next_fd = self.next_fd.max(fd.map_or(0, |fd| fd.0));
        let lost = fd.is_some_and(|fd| !has_fd(fd));
        if let Some(served) = old.served.as_mut().filter(|_| lost) {
            served.fd = None;
        }
        let is_stranded = lost && old.main.is_none();
        let service = self.service_mut(name);
        old.seat = service.seat.take();
        *service = old;
        is_stranded
    }

    fn restore_job(&mut self, name: &UnitName, saved: SavedJob) {
        let id = self.queue_job(name, saved.kind, saved.ignore_order);
        // A service goes on by itself and tells what comes of it. The others begin again.
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.kind == saved.kind) {
            job.running = saved.running && matches!(self.nodes[name].machine, Machine::Service(_));
        }
    }

    fn restore_processes(&mut self, known: &[SavedProcess]) {
        for saved in known {
            self.next_process = self.next_process.max(saved.process.0);
            if self.processes.contains_key(&saved.process) {
                self.adopt(saved.process, saved.pid);
            } else if saved.status.is_none() {
                self.kill_scope(saved.process, SIGTERM, KillScope::Session);
            }
            if let Some(status) = saved.status {
                self.service_exited(saved.process, status);
            }
        }
        let known: BTreeSet<ProcessId> = known.iter().map(|saved| saved.process).collect();
        let lost: Vec<ProcessId> = self.processes.keys().copied().filter(|id| !known.contains(id)).collect();
        for process in lost {
            self.service_lost(process);
        }
    }

    /// The process lives, or did: it may have been spawned after the last thing that was saved of its unit.
    fn adopt(&mut self, process: ProcessId, pid: u32) {
        let is_new = self.processes.get(&process).is_some_and(|name| self.service(name).lacks_pid(process));
        self.pids.insert(pid, process);
        if is_new {
            self.service_spawned(process, pid);
        }
    }

    /// Nobody knows what became of the process: it could not be started, and the answer was for the earlier manager; or its end
    /// went unseen, which is treated as a failure.
    fn service_lost(&mut self, process: ProcessId) {
        let Some(name) = self.processes.get(&process) else { return };
        if self.service(name).lacks_pid(process) {
            let text = "whether it could be started is not known; treated as a failure".to_owned();
            self.service_spawn_failed(process, SpawnError { exit_code: 0, text, resources: true });
        } else {
            self.service_exited(process, ExitStatus::Killed(SIGKILL));
        }
    }
}
