//! A read-only look at units and jobs, for D-Bus and the log.

use std::sync::Arc;

use sockmgr_unit::value::{NotifyAccess, Span};
use sockmgr_unit::{Unit, UnitName};

use crate::condition::Verdict;
use crate::engine::Engine;
use crate::event::{ExitStatus, Port};
use crate::ids::{FdId, JobId, Time};
use crate::job::JobKind;
use crate::node::{ActiveState, Machine, Node, Stamps};
use crate::rollout::Phase;
use crate::service::{CommandRecord, ServiceResult, StoredFd, is_other};
use crate::socket::SocketResult;

/// A unit as clients see it.
#[derive(Clone, Debug)]
pub struct UnitView<'a> {
    /// Its settings.
    pub unit: &'a Arc<Unit>,
    /// The general state.
    pub active: ActiveState,
    /// The state of its kind.
    pub sub: &'static str,
    /// Its job.
    pub job: Option<(JobId, JobKind)>,
    /// When it changed.
    pub stamps: Stamps,
    /// What its conditions were found to be; `None`: it has none, or was not started yet.
    pub conditions: Option<&'a Verdict>,
    /// The same, of its asserts.
    pub asserts: Option<&'a Verdict>,
    /// Units it starts on traffic.
    pub triggers: Vec<&'a UnitName>,
    /// Sockets that start it on traffic.
    pub triggered_by: Vec<&'a UnitName>,
    /// What its kind adds.
    pub machine: MachineView<'a>,
}

/// What each kind of unit adds.
#[derive(Clone, Debug)]
pub enum MachineView<'a> {
    /// A socket.
    Socket(SocketView),
    /// A service.
    Service(Box<ServiceView<'a>>),
    /// All instances of a service.
    Group(GroupView<'a>),
    /// A target.
    Target,
}

/// A socket at run time.
#[derive(Clone, Copy, Debug)]
pub struct SocketView {
    /// Why it failed.
    pub result: SocketResult,
    /// What runs has not got all of its listeners: traffic on the others restarts it.
    pub has_fresh: bool,
    /// Instances on their way up are being frozen, so that what waits for them can be moved.
    pub is_freezing: bool,
    /// The command of its own that runs, 0 when there is none.
    pub control_pid: u32,
    /// Connections accepted so far (`Accept=yes`).
    pub n_accepted: u32,
    /// Connections being served.
    pub n_connections: u32,
    /// Connections turned away.
    pub n_refused: u32,
    /// Slots of its group, parked ones too.
    pub slots: Option<u32>,
    /// It starts nothing until it is released.
    pub is_held: bool,
}

/// A service at run time.
#[derive(Clone, Debug)]
pub struct ServiceView<'a> {
    /// How it last ended.
    pub result: ServiceResult,
    /// The main process, 0 when there is none.
    pub main_pid: u32,
    /// The control process, 0 when there is none.
    pub control_pid: u32,
    /// The last main process, also when it is gone.
    pub exec_main_pid: u32,
    /// When that began.
    pub exec_main_start: Option<Time>,
    /// When that ended.
    pub exec_main_exit: Option<Time>,
    /// How that ended.
    pub exec_main_status: Option<ExitStatus>,
    /// `STATUS=` of the last notification.
    pub status_text: Option<&'a str>,
    /// `ERRNO=` of the last notification.
    pub status_errno: i32,
    /// How the last reload ended.
    pub reload_result: ServiceResult,
    /// Automatic restarts.
    pub n_restarts: u32,
    /// Its group and its slot in it, from 0.
    pub seat: Option<(&'a UnitName, u32)>,
    /// The client it serves, where it serves one connection.
    pub peer: Option<String>,
    /// `BUSERROR=` of the last notification.
    pub bus_error: Option<&'a str>,
    /// Commands that have run.
    pub commands: &'a [CommandRecord],
    /// Descriptors that it has left with us, oldest first.
    pub stored: &'a [StoredFd],
    /// `$INVOCATION_ID`; 0 before the first start.
    pub invocation: u128,
    /// When it last said that it is well.
    pub watchdog_ping: Option<Time>,
    /// How often it wants to, where it has said so (`WATCHDOG_USEC=`).
    pub watchdog: Option<Span>,
    /// Who may send notifications, where it has said so (`NOTIFYACCESS=`).
    pub notify_access: Option<NotifyAccess>,
    /// Starts so far; `SOCKMGR_GENERATION`.
    pub generation: u32,
    /// The generation beside it, if there is one.
    pub other: Option<OtherView>,
}

/// Another generation of a service, beside the one that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherView {
    /// Its main process, 0 while there is none.
    pub main_pid: u32,
    /// Its number.
    pub generation: u32,
    /// Its sub state.
    pub state: &'static str,
    /// It is on its way out; else on its way in.
    pub is_outgoing: bool,
}

/// A group at run time.
#[derive(Clone, Debug)]
pub struct GroupView<'a> {
    /// Its instances by slot; of parked slots only those that somebody is in.
    pub slots: Vec<SlotView<'a>>,
    /// How many instances there should be.
    pub size: u32,
    /// How many there may be: the slots.
    pub most: u32,
    /// How many of those that there should be are up.
    pub up: usize,
    /// The rollout under way, or the last one.
    pub rollout: Option<RolloutView<'a>>,
}

/// A rollout.
#[derive(Clone, Copy, Debug)]
pub struct RolloutView<'a> {
    /// How far it is.
    pub phase: Phase,
    /// Why it stopped or was undone.
    pub why: Option<&'a str>,
}

/// An instance in its slot.
#[derive(Clone, Copy, Debug)]
pub struct SlotView<'a> {
    /// From 1, as in the name of the instance.
    pub number: u32,
    /// The instance.
    pub instance: &'a UnitName,
    /// Its main process, 0 when there is none.
    pub main_pid: u32,
    /// Its sub state.
    pub state: &'static str,
    /// Whether new connections go to it, and if not, why.
    pub rotation: Rotation,
    /// How often it was started.
    pub generation: u32,
    /// It has the new files of a rollout.
    pub is_next: bool,
}

/// Whether a slot gets new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It does.
    In,
    /// Its instance is not ready, or not there.
    NotReady,
    /// Its instance is about to stop.
    Stopping,
    /// A command has taken it out.
    Drained,
    /// Its instance accepts nobody.
    Hung,
    /// It is behind the size of its group.
    Parked,
}

impl Rotation {
    /// A word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::NotReady => "not-ready",
            Self::Stopping => "stopping",
            Self::Drained => "drained",
            Self::Hung => "hung",
            Self::Parked => "parked",
        }
    }
}

/// A job as clients see it.
#[derive(Clone, Copy, Debug)]
pub struct JobView<'a> {
    /// Its number.
    pub id: JobId,
    /// Its unit.
    pub unit: &'a UnitName,
    /// What it does.
    pub kind: JobKind,
    /// It runs; else it waits.
    pub running: bool,
}

impl Engine {
    /// The unit of this name, if it is known.
    pub fn unit(&self, name: &UnitName) -> Option<UnitView<'_>> {
        let node = self.nodes.get(name)?;
        let links = self.links(name);
        Some(UnitView {
            unit: &node.unit,
            active: self.active_state(name),
            sub: self.sub_state(node),
            job: node.job.and_then(|id| Some((id, self.jobs.get(&id)?.kind))),
            stamps: node.stamps,
            conditions: node.checks.as_deref().map(|checks| &checks.conditions),
            asserts: node.checks.as_deref().map(|checks| &checks.asserts),
            // With Accept=yes it is one instance after the other.
            triggers: links.triggers.iter().filter(|service| !service.is_template()).collect(),
            triggered_by: match node.service().and_then(|service| service.served_socket()) {
                Some(socket) => vec![socket],
                None => links.triggered_by.iter().collect(),
            },
            machine: self.machine_view(name, node),
        })
    }

    /// The names of all units, sorted.
    pub fn unit_names(&self) -> impl Iterator<Item = &UnitName> {
        self.nodes.keys().filter(|name| !is_other(name))
    }

    /// All jobs, oldest first.
    pub fn jobs(&self) -> impl Iterator<Item = JobView<'_>> {
        self.jobs.iter().map(|(id, job)| JobView {
            id: *id,
            unit: &job.unit,
            kind: job.kind,
            running: job.running,
        })
    }

    /// The unit whose main or control process this is.
    pub fn unit_of_pid(&self, pid: u32) -> Option<&UnitName> {
        let known = self.processes.get(self.pids.get(&pid)?)?;
        // Of another generation, its unit; `nodes` has the name to borrow.
        Some(&self.nodes.get(known)?.unit.name)
    }

    /// Whether this listener belongs to one slot alone.
    pub fn is_in_slot(&self, fd: FdId) -> bool {
        let socket = self.listeners.get(&fd).and_then(|name| self.nodes.get(name)?.socket());
        socket.is_some_and(|socket| {
            socket.ports.iter().any(|open| open.port.fd == fd && open.port.slot.is_some())
        })
    }

    /// The socket unit that a listener belongs to.
    pub fn unit_of_listener(&self, fd: FdId) -> Option<&UnitName> {
        self.listeners.get(&fd)
    }

    /// The open listeners of a socket unit.
    pub fn open_ports(&self, socket: &UnitName) -> impl Iterator<Item = Port> {
        let ports =
            self.nodes.get(socket).and_then(|node| node.socket()).map(|socket| socket.ports.as_slice());
        ports.unwrap_or_default().iter().map(|open| open.port)
    }

    fn sub_state(&self, node: &Node) -> &'static str {
        match &node.machine {
            Machine::Socket(socket) => socket.sub_state(),
            Machine::Service(service) => {
                let unit = node.unit.service();
                unit.map_or(service.sub_state(), |unit| service.shown_sub_state(unit.service.type_))
            }
            Machine::Target(target) => target.sub_state(),
            Machine::Group(group) => match group.active_state(&self.nodes) {
                ActiveState::Active if group.up(&self.nodes) < group.size as usize => "degraded",
                ActiveState::Active => "running",
                ActiveState::Reloading => "reload",
                ActiveState::Activating => "start",
                ActiveState::Deactivating => "stop",
                ActiveState::Failed => "failed",
                ActiveState::Inactive => "dead",
            },
        }
    }

    fn machine_view<'a>(&'a self, name: &UnitName, node: &'a Node) -> MachineView<'a> {
        match &node.machine {
            Machine::Target(_) => MachineView::Target,
            Machine::Socket(socket) => MachineView::Socket(SocketView {
                result: socket.result,
                has_fresh: socket.has_fresh(),
                is_freezing: self.freezes.contains_key(name),
                control_pid: socket.control.and_then(|child| child.pid).unwrap_or(0),
                n_accepted: socket.n_accepted,
                n_connections: socket.n_connections,
                n_refused: socket.n_refused,
                slots: self.slot_count(name),
                is_held: socket.is_held,
            }),
            Machine::Service(service) => {
                let mut view = service.view();
                view.other = self.other_generation(name).and_then(|other| self.other_view(&other));
                MachineView::Service(Box::new(view))
            }
            Machine::Group(group) => {
                let slots = group
                    .slots
                    .iter()
                    .zip(1..)
                    .filter_map(|(slot, number)| self.slot_view(slot, number))
                    .collect();
                let most = u32::try_from(group.slots.len()).unwrap_or(u32::MAX);
                let up = group.up(&self.nodes);
                let rollout = group.wish.rollout.as_deref();
                let rollout =
                    rollout.map(|rollout| RolloutView { phase: rollout.phase, why: rollout.why.as_deref() });
                MachineView::Group(GroupView { slots, size: group.size, most, up, rollout })
            }
        }
    }

    fn other_view(&self, other: &UnitName) -> Option<OtherView> {
        let service = self.nodes.get(other)?.service()?;
        Some(OtherView {
            main_pid: service.main.and_then(|main| main.pid).unwrap_or(0),
            generation: service.generation,
            state: service.sub_state(),
            is_outgoing: self.active_state(other) == ActiveState::Deactivating,
        })
    }

    fn slot_view<'a>(&'a self, instance: &'a UnitName, number: u32) -> Option<SlotView<'a>> {
        let service = self.nodes.get(instance)?.service()?;
        Some(SlotView {
            number,
            instance,
            main_pid: service.view().main_pid,
            state: service.sub_state(),
            rotation: self.rotation_of(instance),
            generation: service.generation,
            is_next: service.seat.as_ref().is_some_and(|seat| {
                self.rollout(&seat.group).is_some_and(|rollout| rollout.is_next(seat.slot))
            }),
        })
    }
}
