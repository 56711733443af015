//! What outlives the manager process: the state of each unit, as the keeper stores it, and how an engine takes it up again.
//!
//! Jobs are kept as well, under new numbers: whoever waited for one is gone with the connection to the earlier manager, but what was to
//! be done is still to be done.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;

use crate::condition::{Check, Checks};
use crate::engine::Engine;
use crate::event::{Action, ExitStatus, KillScope, SpawnError};
use crate::group::Wish;
use crate::ids::{FdId, ProcessId, Time};
use crate::job::JobKind;
use crate::node::{Machine, Stamps};
use crate::service::{OtherToSave, SavedOther, Service};
use crate::socket::Socket;
use crate::target::Target;

const SIGKILL: i32 = 9;

/// The state of one unit, without its settings, as it is written: [`SavedUnit`] reads it back. Borrowed, because it is written on the
/// way from a connection to its service.
#[derive(Debug, Serialize)]
pub struct UnitToSave<'a> {
    name: &'a UnitName,
    machine: MachineToSave<'a>,
    deadline: Option<Time>,
    stamps: Stamps,
    checks: Option<&'a Checks>,
    job: Option<SavedJob>,
    /// With its unit, since the two change places: what is saved of one must fit the other.
    other: Option<OtherToSave<'a>>,
}

/// The variants of [`SavedMachine`], in that order.
#[derive(Debug, Serialize)]
enum MachineToSave<'a> {
    Socket(&'a Socket),
    Service(&'a Service),
    Group(&'a Wish),
    Target(Target),
}

/// The state of one unit, without its settings.
#[derive(Clone, Debug, Deserialize)]
pub struct SavedUnit {
    name: UnitName,
    machine: SavedMachine,
    deadline: Option<Time>,
    stamps: Stamps,
    checks: Option<Box<Checks>>,
    job: Option<SavedJob>,
    other: Option<Box<SavedOther>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct SavedJob {
    kind: JobKind,
    running: bool,
    ignore_order: bool,
    is_irreversible: bool,
    deadline: Option<Time>,
}

#[derive(Clone, Debug, Deserialize)]
enum SavedMachine {
    Socket(Box<Socket>),
    Service(Box<Service>),
    /// The sum of its instances, and what was asked for beside.
    Group(Box<Wish>),
    Target(Target),
}

impl SavedUnit {
    /// The descriptors that it knows.
    fn fds(&self) -> Vec<FdId> {
        let mut fds = self.machine.fds();
        fds.extend(
            self.other.iter().flat_map(|other| other.service.run().store.iter()).map(|stored| stored.fd),
        );
        fds
    }
}

impl SavedMachine {
    /// The descriptors that it knows.
    fn fds(&self) -> Vec<FdId> {
        match self {
            Self::Socket(socket) => socket.ports.iter().map(|open| open.port.fd).collect(),
            Self::Service(service) => {
                let served = service.served.iter().filter_map(|served| served.fd);
                served.chain(service.run().store.iter().map(|stored| stored.fd)).collect()
            }
            Self::Group(_) | Self::Target(_) => Vec::new(),
        }
    }
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
    /// It has ended, and processes that it has started still live.
    pub leaves_others: bool,
}

impl Engine {
    /// The state of `name` that is worth keeping; `None` for a unit that is gone, or never left its first state.
    pub fn saved(&self, name: &UnitName) -> Option<UnitToSave<'_>> {
        let (name, node) = self.nodes.get_key_value(name)?;
        let job = self.job_of(name).map(|job| SavedJob {
            kind: job.kind,
            // Who asked is gone, and so is the answer.
            running: job.running && job.check != Check::Asked,
            ignore_order: job.ignore_order,
            is_irreversible: job.is_irreversible,
            deadline: job.deadline,
        });
        let is_wished = node.group().is_some_and(|group| group.wish != Wish::default());
        if node.stamps.state_change.is_none() && job.is_none() && !is_wished {
            return None;
        }
        let machine = match &node.machine {
            Machine::Socket(socket) => MachineToSave::Socket(socket),
            Machine::Service(service) => MachineToSave::Service(service),
            Machine::Group(group) => MachineToSave::Group(&group.wish),
            Machine::Target(target) => MachineToSave::Target(*target),
        };
        let other = self.other_to_save(name);
        let checks = node.checks.as_deref();
        Some(UnitToSave { name, machine, deadline: node.deadline, stamps: node.stamps, checks, job, other })
    }

    /// Takes up the state that an earlier manager left, in an engine that is fresh. `held` are the descriptors that are still there.
    /// Processes that ended meanwhile end now. Processes that no unit knows are killed for good: they were started in the moment in which
    /// the manager died, and their units will start others.
    pub fn restore(
        &mut self,
        now: Time,
        units: Vec<SavedUnit>,
        processes: &[SavedProcess],
        held: &BTreeSet<FdId>,
        actions: &mut Vec<Action>,
    ) {
        self.now = now;
        self.discard_unknown(&units, held);
        for unit in units {
            self.restore_unit(unit, held);
        }
        self.count_connections();
        self.recall_group_states();
        let sockets: BTreeSet<UnitName> = self.listeners.values().cloned().collect();
        for socket in &sockets {
            self.forget_steering(socket);
        }
        self.restore_processes(processes);
        self.thaw_all();
        for socket in &sockets {
            self.steer_socket(socket);
            self.refresh_watches(socket);
        }
        self.stir_all();
        self.settle(actions);
    }

    /// What a manager opened that died before it could note it down. It must go first: its address is about to be opened again.
    fn discard_unknown(&mut self, units: &[SavedUnit], held: &BTreeSet<FdId>) {
        let known: BTreeSet<FdId> = units.iter().flat_map(SavedUnit::fds).collect();
        self.next_fd = held.iter().chain(&known).map(|fd| fd.0).fold(self.next_fd, u64::max);
        self.out.extend(held.difference(&known).map(|fd| Action::Discard { fd: *fd }));
    }

    fn restore_unit(&mut self, saved: SavedUnit, held: &BTreeSet<FdId>) {
        let name = saved.name;
        if !self.restore_node(&name, &saved.machine) {
            return self.log_warning(&name, "it is of another kind now; what ran of it is ended".to_owned());
        }
        let mut is_stranded = false;
        match saved.machine {
            SavedMachine::Socket(old) => self.restore_socket(&name, *old, held),
            SavedMachine::Service(old) => {
                is_stranded = self.restore_service(&name, *old, held);
                if let Some(other) = saved.other {
                    self.restore_other(&name, *other, held);
                }
            }
            SavedMachine::Group(wish) => self.restore_wish(&name, *wish),
            SavedMachine::Target(old) => {
                self.nodes.get_mut(&name).expect("it was just made").machine = Machine::Target(old);
            }
        }
        if let Some(node) = self.nodes.get_mut(&name) {
            node.stamps = saved.stamps;
            node.checks = saved.checks;
        }
        self.set_deadline(&name, saved.deadline);
        if self.nodes[&name].service().is_some() {
            self.resume_check(&name);
        }
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
            let unit = self.load(name);
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
    fn restore_service(&mut self, name: &UnitName, mut old: Service, held: &BTreeSet<FdId>) -> bool {
        let fd = old.served.as_ref().and_then(|served| served.fd);
        let lost = fd.is_some_and(|fd| !held.contains(&fd));
        if let Some(served) = old.served.as_mut().filter(|_| lost) {
            served.fd = None;
        }
        let service = self.service_mut(name);
        old.seat = service.seat.take();
        *service = old;
        self.claim_processes(name);
        let is_stranded = lost && self.service(name).has_lost_connection();
        self.restore_store(name, |fd| held.contains(&fd));
        self.arm_timers(name);
        if self.service(name).main.is_some() {
            self.watch_bus_name(name);
        }
        is_stranded
    }

    fn restore_job(&mut self, name: &UnitName, saved: SavedJob) {
        let id = self.queue_job(name, saved.kind, saved.ignore_order);
        let goes_on = saved.running && self.goes_on_by_itself(name);
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.kind == saved.kind) {
            job.running = goes_on;
            job.is_irreversible = saved.is_irreversible;
        }
        self.set_job_deadline(id, saved.deadline);
    }

    /// A service, and a command of a socket, tell what comes of them. The others begin again.
    fn goes_on_by_itself(&self, name: &UnitName) -> bool {
        match &self.nodes[name].machine {
            Machine::Service(_) => true,
            Machine::Socket(socket) => socket.control.is_some(),
            Machine::Group(_) | Machine::Target(_) => false,
        }
    }

    fn restore_processes(&mut self, known: &[SavedProcess]) {
        // Before anything else: what one end leads to may start another process.
        let ids = known.iter().map(|saved| saved.process).chain(self.processes.keys().copied());
        self.next_process = ids.map(|id| id.0).fold(self.next_process, u64::max);
        let kept: BTreeSet<ProcessId> = known.iter().map(|saved| saved.process).collect();
        let lost: Vec<ProcessId> = self.processes.keys().copied().filter(|id| !kept.contains(id)).collect();
        for saved in known {
            if self.processes.contains_key(&saved.process) {
                self.adopt(saved.process, saved.pid);
            } else if saved.status.is_none() {
                self.kill_scope(saved.process, SIGKILL, KillScope::Session);
            }
            if let Some(status) = saved.status {
                self.process_exited(saved.process, status, saved.leaves_others);
            }
        }
        for process in lost {
            self.service_lost(process);
        }
    }

    /// The process lives, or did: it may have been spawned after the last thing that was saved of its unit.
    fn adopt(&mut self, process: ProcessId, pid: u32) {
        let is_new = self.processes.get(&process).is_some_and(|name| self.lacks_pid(process, name));
        self.pids.insert(pid, process);
        if is_new {
            self.process_spawned(process, pid);
        }
    }

    /// Nobody knows what became of the process: it could not be started, and the answer was for the earlier manager; or its end
    /// went unseen, which is treated as a failure.
    fn service_lost(&mut self, process: ProcessId) {
        let Some(name) = self.processes.get(&process) else { return };
        if self.lacks_pid(process, name) {
            let text = "whether it could be started is not known; treated as a failure".to_owned();
            self.process_spawn_failed(process, SpawnError { exit_code: 0, text, resources: true });
        } else {
            self.process_exited(process, ExitStatus::Killed(SIGKILL), false);
        }
    }
}
