//! The socket machine: what it keeps, and what of it is watched. The way up is in `up`, the way down in `down`, its own commands in
//! `processes`, traffic and limits in `trigger`, connections that the manager accepts itself in `accept`.
//!
//! Never here: descriptors themselves (tokens only) and how they are opened. Invariants: listeners are open exactly in the states of
//! [`SocketState::has_listeners`]; one is watched exactly when [`Engine::wants_watch`] says so, and `refresh_watches` is the only place
//! that watches or unwatches.

mod accept;
mod down;
mod freeze;
mod hang;
mod idle;
mod members;
mod migration;
mod processes;
mod reload;
mod scale;
mod trigger;
mod up;

pub(crate) use freeze::Freeze;
pub(crate) use idle::Look;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sockmgr_unit::section::SocketSection;
use sockmgr_unit::value::{Distribute, ExecCommand, LimitAction, Listen};
use sockmgr_unit::{SocketUnit, UnitName};

use self::accept::Source;
use self::reload::Reopening;
use crate::engine::Engine;
use crate::event::{Action, ExecList, Port};
use crate::limit::{Rate, RateLimit};
use crate::node::{ActiveState, Machine};
use crate::service::{Activity, Child};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SocketState {
    #[default]
    Dead,
    /// `ExecStartPre=`
    StartPre,
    /// The driver is opening the listeners.
    StartOpen,
    /// `SocketUser=` and `SocketGroup=` are looked up, and get the nodes.
    StartChown,
    /// `ExecStartPost=`
    StartPost,
    Listening,
    /// A limit was hit: open, but not looked at until the limit's window ends. Clients wait in the queue.
    Paused,
    /// What it triggers runs and has the listeners.
    Running,
    /// `ExecStopPre=`, or a command of the way up that is given up.
    StopPre,
    StopPreSigterm,
    StopPreSigkill,
    /// `ExecStopPost=`; all is closed.
    StopPost,
    FinalSigterm,
    FinalSigkill,
    Failed,
}

impl SocketState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::StartPre => "start-pre",
            Self::StartOpen => "start-open",
            Self::StartChown => "start-chown",
            Self::StartPost => "start-post",
            Self::Listening => "listening",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::StopPre => "stop-pre",
            Self::StopPreSigterm => "stop-pre-sigterm",
            Self::StopPreSigkill => "stop-pre-sigkill",
            Self::StopPost => "stop-post",
            Self::FinalSigterm => "final-sigterm",
            Self::FinalSigkill => "final-sigkill",
            Self::Failed => "failed",
        }
    }

    fn active_state(self) -> ActiveState {
        match self {
            Self::Dead => ActiveState::Inactive,
            Self::StartPre | Self::StartOpen | Self::StartChown | Self::StartPost => ActiveState::Activating,
            Self::Listening | Self::Paused | Self::Running => ActiveState::Active,
            Self::StopPre
            | Self::StopPreSigterm
            | Self::StopPreSigkill
            | Self::StopPost
            | Self::FinalSigterm
            | Self::FinalSigkill => ActiveState::Deactivating,
            Self::Failed => ActiveState::Failed,
        }
    }

    /// The listeners are open, and stay open in these states.
    fn has_listeners(self) -> bool {
        match self {
            Self::StartOpen
            | Self::StartChown
            | Self::StartPost
            | Self::Listening
            | Self::Paused
            | Self::Running
            | Self::StopPre
            | Self::StopPreSigterm
            | Self::StopPreSigkill => true,
            Self::Dead
            | Self::StartPre
            | Self::StopPost
            | Self::FinalSigterm
            | Self::FinalSigkill
            | Self::Failed => false,
        }
    }
}

/// Why a socket failed; the words of `Result=` (systemd.socket(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketResult {
    /// It did not.
    #[default]
    Success,
    /// Something could not be had: an address, a descriptor, the unit to start.
    Resources,
    /// A command took too long.
    Timeout,
    /// A command exited with a code that is not 0.
    ExitCode,
    /// A signal killed a command.
    Signal,
    /// A signal killed a command, which dumped core.
    CoreDump,
    /// Started too often (`StartLimitBurst=`).
    StartLimitHit,
    /// Triggered too often (`TriggerLimitBurst=`).
    TriggerLimitHit,
    /// What it triggers was started too often.
    ServiceStartLimitHit,
}

impl SocketResult {
    /// The word on D-Bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Resources => "resources",
            Self::Timeout => "timeout",
            Self::ExitCode => "exit-code",
            Self::Signal => "signal",
            Self::CoreDump => "core-dump",
            Self::StartLimitHit => "start-limit-hit",
            Self::TriggerLimitHit => "trigger-limit-hit",
            Self::ServiceStartLimitHit => "service-start-limit-hit",
        }
    }
}

/// One open listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OpenPort {
    pub(crate) port: Port,
    /// What runs was started before it was open: a reload has opened it, or the order was not kept.
    is_fresh: bool,
    /// Wakeups in the present window (`PollLimitBurst=`).
    #[serde(skip)]
    polls: RateLimit,
    #[serde(skip)]
    watched: bool,
}

impl OpenPort {
    fn new(port: Port) -> Self {
        Self { port, is_fresh: false, polls: RateLimit::default(), watched: false }
    }
}

/// The state of a socket unit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Socket {
    pub(crate) state: SocketState,
    pub(crate) result: SocketResult,
    pub(crate) ports: Vec<OpenPort>,
    /// The command of its own that runs.
    pub(crate) control: Option<Child>,
    pub(crate) n_accepted: u32,
    pub(crate) n_connections: u32,
    pub(crate) n_refused: u32,
    /// Connections being served, by client, where that is limited.
    #[serde(skip)]
    sources: BTreeMap<Source, u32>,
    /// The slots in rotation, as the kernel was last told.
    pub(crate) steered: Vec<u32>,
    /// Where the kernel's order of members is not that of the slots.
    members: Vec<members::Members>,
    #[serde(skip)]
    movable: migration::Movable,
    /// Whatever its state: it starts nothing until it is released.
    pub(crate) is_held: bool,
    trigger_limit: RateLimit,
    start_limit: RateLimit,
    /// An [`Action::Accept`] is not answered yet: a second one could take more than the limits have room for.
    #[serde(skip)]
    is_accepting: bool,
    /// A reload has listeners opened that are not there yet.
    #[serde(skip)]
    reopening: Option<Box<Reopening>>,
    #[serde(skip)]
    hangs: Option<Box<hang::Hangs>>,
    /// Whether anybody uses it (`IdleStopSec=`).
    #[serde(skip)]
    pub(crate) idle: Option<Box<idle::Idle>>,
    /// How many wait (`ScaleOn=`).
    #[serde(skip)]
    scaling: Option<Box<scale::Scaling>>,
}

impl Socket {
    pub(crate) fn active_state(&self) -> ActiveState {
        self.state.active_state()
    }

    pub(crate) fn sub_state(&self) -> &'static str {
        match self.state {
            SocketState::Listening if self.is_held => "held",
            state => state.as_str(),
        }
    }

    /// The listeners are open and belong to this unit.
    pub(crate) fn is_open(&self) -> bool {
        self.state.has_listeners() && self.state != SocketState::StartOpen
    }

    /// Connections of its group can be moved, as far as anybody knows.
    fn may_move(&self) -> bool {
        self.movable != migration::Movable::No
    }

    pub(crate) fn has_fresh(&self) -> bool {
        self.ports.iter().any(|open| open.is_fresh)
    }

    /// The command was asked for, and that it runs is not known yet.
    pub(crate) fn lacks_pid(&self, process: crate::ids::ProcessId) -> bool {
        self.control.is_some_and(|child| child.process == process && child.pid.is_none())
    }
}

impl Engine {
    // --- what is watched ---

    /// What an open listener of this unit should be: watched or not.
    fn wants_watch(&self, name: &UnitName, open: &OpenPort) -> bool {
        let socket = self.socket(name);
        let wanted = match (socket.state, open.port.slot) {
            (SocketState::Listening | SocketState::Running, _) if socket.is_held => false,
            (SocketState::Listening, _) if self.section(name).accept => {
                self.limit_action(name) == LimitAction::Fail
                    || socket.n_connections < self.section(name).max_connections
            }
            (SocketState::Listening, _) => true,
            (SocketState::Running, _) if open.is_fresh => self.may_pass_fresh(name),
            (SocketState::Running, Some(_)) if self.awaits_rescue(name, open.port) => false,
            (SocketState::Running, Some(slot)) => {
                let instance = self.slot_instance(name, slot);
                instance.is_some_and(|instance| self.wants_slot_watch(name, &instance))
                    || self.watches_for_hang(name, open.port)
                    || self.watches_for_rescue(name, open.port)
                    || self.watches_for_crowd(name, open.port)
            }
            (SocketState::Running, None) => self.watches_for_crowd(name, open.port),
            (
                SocketState::Dead
                | SocketState::StartPre
                | SocketState::StartOpen
                | SocketState::StartChown
                | SocketState::StartPost
                | SocketState::Paused
                | SocketState::StopPre
                | SocketState::StopPreSigterm
                | SocketState::StopPreSigkill
                | SocketState::StopPost
                | SocketState::FinalSigterm
                | SocketState::FinalSigkill
                | SocketState::Failed,
                _,
            ) => false,
        };
        wanted && !open.polls.is_spent(self.now, self.poll_rate(name))
    }

    pub(crate) fn refresh_watches(&mut self, name: &UnitName) {
        self.refresh_idle(name);
        self.refresh_scaling(name);
        for index in 0..self.socket(name).ports.len() {
            let open = &self.socket(name).ports[index];
            let (fd, wanted) = (open.port.fd, self.wants_watch(name, open));
            if wanted != open.watched {
                self.socket_mut(name).ports[index].watched = wanted;
                self.out.push(if wanted { Action::Watch { fd } } else { Action::Unwatch { fd } });
            }
        }
    }

    pub(crate) fn set_held(&mut self, name: &UnitName, held: bool) {
        self.socket_mut(name).is_held = held;
        self.stir(name);
    }

    pub(super) fn set_socket_state(&mut self, name: &UnitName, state: SocketState) {
        if self.socket(name).state != state {
            self.change(name, |machine| {
                if let Machine::Socket(socket) = machine {
                    socket.state = state;
                }
            });
        }
        if matches!(state, SocketState::Listening | SocketState::Running) {
            self.await_polls(name);
        }
        self.refresh_watches(name);
    }

    /// The first failure is the one that is remembered.
    fn note_socket_result(&mut self, name: &UnitName, result: SocketResult) {
        let socket = self.socket_mut(name);
        if socket.result == SocketResult::Success {
            socket.result = result;
        }
    }

    // --- looking things up ---

    /// The unit that this socket starts; with `Accept=yes` a template.
    fn triggered(&self, name: &UnitName) -> Option<UnitName> {
        self.links(name).triggers.clone()
    }

    pub(crate) fn section(&self, name: &UnitName) -> &SocketSection {
        &self.socket_unit(name).socket
    }

    pub(crate) fn socket_unit(&self, name: &UnitName) -> &SocketUnit {
        self.nodes[name].unit.socket_unit().expect("a node with a socket machine has a socket unit")
    }

    pub(crate) fn socket(&self, name: &UnitName) -> &Socket {
        self.nodes[name].socket().expect("only asked of socket units")
    }

    fn socket_mut(&mut self, name: &UnitName) -> &mut Socket {
        match self.nodes.get_mut(name).map(|node| &mut node.machine) {
            Some(Machine::Socket(socket)) => socket,
            _ => unreachable!("only asked of socket units"),
        }
    }

    fn trigger_rate(&self, name: &UnitName) -> Rate {
        let section = self.section(name);
        Rate {
            interval: section.effective_trigger_limit_interval(),
            burst: section.effective_trigger_limit_burst(),
        }
    }

    fn poll_rate(&self, name: &UnitName) -> Rate {
        let section = self.section(name);
        Rate { interval: section.poll_limit_interval_sec, burst: section.poll_limit_burst }
    }

    fn limit_action(&self, name: &UnitName) -> LimitAction {
        self.section(name).limit_action.unwrap_or(self.settings.default_limit_action)
    }

    /// Nobody serves this slot, nobody is about to, and somebody may.
    fn wants_slot_watch(&self, name: &UnitName, instance: &UnitName) -> bool {
        let group_stops = self
            .triggered(name)
            .and_then(|group| self.job_of(&group))
            .is_some_and(|job| job.kind == crate::job::JobKind::Stop);
        self.activity(instance) == Activity::Idle
            && self.job_of(instance).is_none()
            && self.start_limit_end(instance).is_none()
            && !group_stops
    }
}

/// The commands of one list of a socket.
pub fn socket_commands(unit: &SocketUnit, list: ExecList) -> &[ExecCommand] {
    let section = &unit.socket;
    match list {
        ExecList::StartPre => &section.exec_start_pre,
        ExecList::StartPost => &section.exec_start_post,
        ExecList::StopPre => &section.exec_stop_pre,
        ExecList::StopPost => &section.exec_stop_post,
        ExecList::Chown
        | ExecList::Condition
        | ExecList::ReadyCheck
        | ExecList::Start
        | ExecList::Reload
        | ExecList::Stop => &[],
    }
}

/// Whether each slot of a group gets a listener of its own for this line, or all share one.
fn own_per_slot(section: &SocketSection, listen: &Listen) -> bool {
    section.distribute != Some(Distribute::Shared) && listen.address.is_inet()
}

/// The name of the unit that a socket starts; with `Accept=yes` a template, with `Instances=` the group that stands for the template's
/// instances, under its plain name.
pub(crate) fn triggered_name(name: &UnitName, section: &SocketSection) -> Option<UnitName> {
    let service = section.triggered_service(name)?;
    if section.instances.is_some() {
        format!("{}.service", service.prefix()).parse().ok()
    } else {
        Some(service)
    }
}
