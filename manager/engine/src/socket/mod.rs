//! The socket machine: from closed to listening, triggering what it starts, limits, and back. Connections that the manager accepts
//! itself are in `accept`.
//!
//! Never here: descriptors themselves (tokens only) and how they are opened. Invariant: a listener is watched exactly when
//! [`Engine::wants_watch`] says so; `refresh_watches` is the only place that watches or unwatches.

mod accept;
mod members;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;
use sockmgr_unit::section::SocketSection;
use sockmgr_unit::value::{Distribute, LimitAction, Listen, Span};

use crate::engine::Engine;
use crate::event::{Action, Port};
use crate::ids::{FdId, Time};
use crate::job::{Begun, JobKind};
use crate::limit::{Rate, RateLimit};
use crate::node::{ActiveState, Machine};
use crate::service::Activity;

/// A pause whose limit has no end of its own lasts this long.
const PAUSE: Span = Span::from_secs(2);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SocketState {
    #[default]
    Dead,
    /// The driver is opening the listeners.
    Opening,
    Listening,
    /// A limit was hit: open, but not looked at until the limit's window ends. Clients wait in the queue.
    Paused,
    /// What it triggers runs and has the listeners.
    Running,
    Failed,
}

/// Why a socket failed; the words of `Result=` (systemd.socket(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketResult {
    /// It did not.
    #[default]
    Success,
    /// Something could not be had: an address, a descriptor, the unit to start.
    Resources,
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
            Self::StartLimitHit => "start-limit-hit",
            Self::TriggerLimitHit => "trigger-limit-hit",
            Self::ServiceStartLimitHit => "service-start-limit-hit",
        }
    }
}

/// One open listener.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct OpenPort {
    pub(crate) port: Port,
    #[serde(skip)]
    watched: bool,
}

/// The state of a socket unit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Socket {
    pub(crate) state: SocketState,
    pub(crate) result: SocketResult,
    pub(crate) ports: Vec<OpenPort>,
    pub(crate) n_accepted: u32,
    pub(crate) n_connections: u32,
    pub(crate) n_refused: u32,
    /// The slots in rotation, as the kernel was last told.
    pub(crate) steered: Vec<u32>,
    /// Where the kernel's order of members is not that of the slots.
    members: Vec<members::Members>,
    /// Whatever its state: it starts nothing until it is released.
    pub(crate) is_held: bool,
    trigger_limit: RateLimit,
    start_limit: RateLimit,
    /// An [`Action::Accept`] is not answered yet: a second one could take more than the limits have room for.
    #[serde(skip)]
    is_accepting: bool,
}

impl Socket {
    pub(crate) fn active_state(&self) -> ActiveState {
        match self.state {
            SocketState::Dead => ActiveState::Inactive,
            SocketState::Opening => ActiveState::Activating,
            SocketState::Listening | SocketState::Paused | SocketState::Running => ActiveState::Active,
            SocketState::Failed => ActiveState::Failed,
        }
    }

    pub(crate) fn sub_state(&self) -> &'static str {
        match self.state {
            SocketState::Dead => "dead",
            SocketState::Opening => "start-open",
            SocketState::Listening if self.is_held => "held",
            SocketState::Listening => "listening",
            SocketState::Paused => "paused",
            SocketState::Running => "running",
            SocketState::Failed => "failed",
        }
    }

    /// The listeners are open and belong to this unit.
    pub(crate) fn is_open(&self) -> bool {
        self.active_state() == ActiveState::Active
    }
}

impl Engine {
    // --- jobs ---

    pub(crate) fn socket_start(&mut self, name: &UnitName) -> Begun {
        match self.socket(name).state {
            SocketState::Listening | SocketState::Paused | SocketState::Running => return Begun::Done,
            SocketState::Opening => return Begun::Pending,
            SocketState::Dead | SocketState::Failed => {}
        }
        // What was changed in its file while it was open counts from now on.
        self.refresh(name);
        if let Err(why) = self.may_listen(name) {
            self.log_error(name, why);
            return Begun::Refused;
        }
        let rate = self.start_rate(name);
        let now = self.now;
        if !self.socket_mut(name).start_limit.admit(now, rate) {
            self.log_error(name, "started too often, refused; `reset-failed` forgets the count".to_owned());
            self.socket_mut(name).result = SocketResult::StartLimitHit;
            self.set_socket_state(name, SocketState::Failed);
            return Begun::Refused;
        }
        self.open_listeners(name);
        Begun::Pending
    }

    /// systemd.socket(5): a socket is not opened behind the back of a service that already runs without it.
    fn may_listen(&mut self, name: &UnitName) -> Result<(), String> {
        if self.section(name).accept {
            return Ok(());
        }
        let Some(service) = self.triggered(name) else {
            return Err("it has no service to start".to_owned());
        };
        self.ensure(&service);
        self.loadable(&service).map_err(|error| format!("what it starts cannot be used: {error}"))?;
        match self.activity(&service) {
            // What waits for its restart gets the listeners then.
            Activity::Idle | Activity::Waiting => Ok(()),
            Activity::Busy => {
                Err(format!("{service} is already active, refusing to listen beside it; stop it first"))
            }
        }
    }

    fn open_listeners(&mut self, name: &UnitName) {
        let section = self.section(name);
        let lines: Vec<bool> = section.listen.iter().map(|listen| own_per_slot(section, listen)).collect();
        let slots = self.slot_count(name);
        let mut ports = Vec::new();
        for (line, own) in lines.into_iter().enumerate() {
            match slots.filter(|_| own) {
                Some(count) => ports.extend((0..count).map(|slot| (line, Some(slot)))),
                None => ports.push((line, None)),
            }
        }
        let ports: Vec<Port> =
            ports.into_iter().map(|(line, slot)| Port { fd: self.new_fd(), line, slot }).collect();
        let socket = self.socket_mut(name);
        socket.result = SocketResult::Success;
        socket.is_accepting = false;
        socket.members.clear();
        socket.ports = ports.iter().map(|port| OpenPort { port: *port, watched: false }).collect();
        self.set_socket_state(name, SocketState::Opening);
        self.out.push(Action::Open { socket: name.clone(), ports });
    }

    pub(crate) fn socket_opened(&mut self, name: &UnitName, result: Result<(), String>) {
        let socket = self.nodes.get(name).and_then(|node| node.socket());
        if socket.is_none_or(|socket| socket.state != SocketState::Opening) {
            return;
        }
        match result {
            Ok(()) => self.enter_open(name),
            Err(why) => {
                self.log_error(name, why);
                let socket = self.socket_mut(name);
                socket.ports.clear();
                socket.result = SocketResult::Resources;
                self.set_socket_state(name, SocketState::Failed);
            }
        }
    }

    fn enter_open(&mut self, name: &UnitName) {
        for open in self.socket(name).ports.clone() {
            self.listeners.insert(open.port.fd, name.clone());
        }
        self.steer_socket(name);
        let addresses: Vec<String> =
            self.section(name).listen.iter().map(|listen| listen.address.to_string()).collect();
        self.log_info(name, format!("listening on {}", addresses.join(", ")));
        self.set_socket_state(name, SocketState::Listening);
    }

    /// Takes up the state that an earlier manager left. Where a listener did not survive, all are opened anew.
    pub(crate) fn restore_socket(&mut self, name: &UnitName, old: Socket, held: &BTreeSet<FdId>) {
        let (held, lost): (Vec<Port>, Vec<Port>) =
            old.ports.iter().map(|open| open.port).partition(|port| held.contains(&port.fd));
        let was_opening = old.state == SocketState::Opening;
        let fits = self.fits(name, &old.ports);
        *self.socket_mut(name) = old;
        if !lost.is_empty() || !fits {
            self.log_error(
                name,
                "its listeners are lost or not what its file says now, opening them again".to_owned(),
            );
            if !held.is_empty() {
                self.out.push(Action::Close { socket: name.clone(), ports: held });
            }
            let socket = self.socket_mut(name);
            (socket.state, socket.ports) = (SocketState::Dead, Vec::new());
            socket.members.clear();
            self.queue_job(name, JobKind::Start, false);
        } else if was_opening {
            self.enter_open(name);
        } else {
            self.listeners.extend(held.into_iter().map(|port| (port.fd, name.clone())));
            // Only now it is known how many slots the group has.
            self.link(name);
            self.relisten_missing(name);
        }
    }

    /// Whether these listeners are what the unit file asks for now: one for each slot, or one for all. A file may have changed while no
    /// manager looked; other changes wait for the next start, as after a reload.
    fn fits(&self, name: &UnitName, ports: &[OpenPort]) -> bool {
        let section = self.section(name);
        let in_slots = section.instances.is_some() && !section.accept;
        ports.iter().all(|open| {
            let listen = section.listen.get(open.port.line);
            listen
                .is_none_or(|listen| (in_slots && own_per_slot(section, listen)) == open.port.slot.is_some())
        })
    }

    /// Stops, to be started again; but not where that start would be refused: systemd closes first and then finds out.
    pub(crate) fn socket_restart(&mut self, name: &UnitName) -> Begun {
        if self.socket(name).is_open()
            && let Err(why) = self.may_listen(name).and_then(|()| self.may_start_again(name))
        {
            self.log_error(name, format!("not restarted, it goes on listening: {why}"));
            return Begun::Refused;
        }
        self.socket_stop(name)
    }

    fn may_start_again(&mut self, name: &UnitName) -> Result<(), String> {
        let (now, rate) = (self.now, self.start_rate(name));
        match self.socket_mut(name).start_limit.room(now, rate) {
            0 => Err("started too often; `reset-failed` forgets the count".to_owned()),
            _ => Ok(()),
        }
    }

    pub(crate) fn socket_stop(&mut self, name: &UnitName) -> Begun {
        match self.socket(name).state {
            SocketState::Dead | SocketState::Failed => Begun::Done,
            SocketState::Opening => Begun::Wait,
            SocketState::Listening | SocketState::Paused | SocketState::Running => {
                self.close_listeners(name, SocketResult::Success);
                Begun::Pending
            }
        }
    }

    /// Closes everything; the socket is dead, or failed when there is a reason.
    fn close_listeners(&mut self, name: &UnitName, result: SocketResult) {
        let ports: Vec<Port> = self.socket(name).ports.iter().map(|open| open.port).collect();
        for port in &ports {
            self.listeners.remove(&port.fd);
        }
        let socket = self.socket_mut(name);
        socket.ports.clear();
        if socket.result == SocketResult::Success {
            socket.result = result;
        }
        let state =
            if socket.result == SocketResult::Success { SocketState::Dead } else { SocketState::Failed };
        socket.is_held = false;
        socket.members.clear();
        self.forget_steering(name);
        self.out.push(Action::Close { socket: name.clone(), ports });
        self.set_socket_state(name, state);
        self.forget_wish(name);
        self.log_info(name, "closed".to_owned());
    }

    pub(crate) fn socket_reset(&mut self, name: &UnitName) {
        let socket = self.socket_mut(name);
        socket.start_limit = RateLimit::default();
        socket.trigger_limit = RateLimit::default();
        if socket.state == SocketState::Failed {
            socket.result = SocketResult::Success;
            self.set_socket_state(name, SocketState::Dead);
        }
    }

    // --- traffic ---

    pub(crate) fn socket_incoming(&mut self, fd: FdId) {
        let Some(name) = self.listeners.get(&fd).cloned() else { return };
        let slot =
            self.socket(&name).ports.iter().find(|open| open.port.fd == fd).and_then(|open| open.port.slot);
        match (self.socket(&name).state, slot) {
            (SocketState::Listening, _) if self.is_stopping_by_job(&name) => {
                self.out.push(Action::Flush { fd })
            }
            // Unwatched when it was held; a wakeup already under way may still arrive.
            (SocketState::Listening | SocketState::Running, _) if self.is_held(&name) => {}
            (SocketState::Listening, _) if self.section(&name).accept => self.accept(&name, fd),
            (SocketState::Listening, _) => self.trigger(&name),
            (SocketState::Running, Some(slot)) => self.trigger_slot(&name, slot),
            // Unwatched when the state was entered; a wakeup already under way may still arrive.
            (SocketState::Running, None)
            | (SocketState::Dead | SocketState::Opening | SocketState::Paused | SocketState::Failed, _) => {}
        }
    }

    /// Traffic on a socket that hands over its listeners: start what it triggers, unless something is being done to that already.
    fn trigger(&mut self, name: &UnitName) {
        if !self.admit_trigger(name) {
            return;
        }
        let Some(service) = self.triggered(name) else { return };
        if self.activity(&service) == Activity::Idle
            && self.job_of(&service).is_none()
            && let Err(error) = self.start_for_traffic(&service)
        {
            self.log_error(name, format!("cannot start {service}: {error}"));
            return self.limit_hit(name, SocketResult::Resources, None);
        }
        self.set_socket_state(name, SocketState::Running);
    }

    /// Traffic in the queue of a slot whose instance is down while its siblings serve: start that instance.
    fn trigger_slot(&mut self, name: &UnitName, slot: u32) {
        let Some(instance) = self.slot_instance(name, slot) else { return };
        // Nothing is steered to a slot whose instance is down, so what is there came late, or there is no steering any more.
        self.steer_anew(name);
        if self.admit_trigger(name)
            && self.wants_slot_watch(name, &instance)
            && let Err(error) = self.start_for_traffic(&instance)
        {
            self.log_error(name, format!("cannot start {instance}: {error}"));
            self.limit_hit(name, SocketResult::Resources, None);
        }
        self.refresh_watches(name);
    }

    /// Counts one trigger; false when that was one too many, and dealt with.
    fn admit_trigger(&mut self, name: &UnitName) -> bool {
        let (now, rate) = (self.now, self.trigger_rate(name));
        let socket = self.socket_mut(name);
        if socket.trigger_limit.admit(now, rate) {
            return true;
        }
        let end = socket.trigger_limit.window_end(rate);
        self.limit_hit(name, SocketResult::TriggerLimitHit, end);
        false
    }

    // --- limits ---

    /// A limit was hit: pause until `end`, or fail for good, as `LimitAction=` says.
    fn limit_hit(&mut self, name: &UnitName, result: SocketResult, end: Option<Time>) {
        match self.limit_action(name) {
            LimitAction::Fail => {
                self.log_error(name, format!("closed: {}", result.as_str()));
                self.close_listeners(name, result);
            }
            LimitAction::Pause => {
                let end = end.filter(|end| *end > self.now).or_else(|| self.now.after(PAUSE));
                let wait = end.map_or(0, |end| end.as_micros().saturating_sub(self.now.as_micros()));
                let reason = result.as_str();
                self.log_warning(
                    name,
                    format!("{reason}: pausing for {}; nothing queued is lost", Span::from_micros(wait)),
                );
                self.set_socket_state(name, SocketState::Paused);
                self.set_deadline(name, end);
            }
        }
    }

    /// The pause is over.
    pub(crate) fn socket_timeout(&mut self, name: &UnitName) {
        match self.socket(name).state {
            SocketState::Paused => {
                self.socket_mut(name).trigger_limit = RateLimit::default();
                self.log_info(name, "listening again".to_owned());
                let is_served =
                    self.triggered(name).is_some_and(|service| self.active_state(&service).is_up());
                let state = if is_served { SocketState::Running } else { SocketState::Listening };
                self.set_socket_state(name, state);
            }
            SocketState::Dead
            | SocketState::Opening
            | SocketState::Listening
            | SocketState::Running
            | SocketState::Failed => {}
        }
    }

    // --- what it triggers ---

    /// What this socket starts changed: listen again when it is down, stand back while it runs.
    pub(crate) fn socket_react(&mut self, name: &UnitName, service: &UnitName) {
        let Some(state) = self.nodes.get(name).and_then(|node| node.socket()).map(|socket| socket.state)
        else {
            return;
        };
        if !matches!(state, SocketState::Listening | SocketState::Paused | SocketState::Running)
            || self.section(name).accept
        {
            return;
        }
        if self.job_of(service).is_some() {
            // What comes of the job tells.
        } else if let Some(end) = self.start_limit_end(service) {
            if state != SocketState::Paused {
                self.limit_hit(name, SocketResult::ServiceStartLimitHit, end);
            }
        } else {
            self.follow(name, state, service);
        }
        self.refresh_watches(name);
    }

    fn follow(&mut self, name: &UnitName, state: SocketState, service: &UnitName) {
        match (self.activity(service), state) {
            (Activity::Idle, SocketState::Running) => self.set_socket_state(name, SocketState::Listening),
            (Activity::Busy, SocketState::Listening | SocketState::Paused)
                if self.active_state(service).is_up() =>
            {
                self.set_socket_state(name, SocketState::Running);
            }
            // On its way down it may still take connections; waiting for its restart it will take them by itself.
            (Activity::Busy | Activity::Waiting, _)
            | (
                Activity::Idle,
                SocketState::Dead
                | SocketState::Opening
                | SocketState::Listening
                | SocketState::Paused
                | SocketState::Failed,
            ) => {}
        }
    }

    /// What an open listener of this unit should be: watched or not.
    fn wants_watch(&self, name: &UnitName, port: Port) -> bool {
        let socket = self.socket(name);
        match (socket.state, port.slot) {
            (SocketState::Listening | SocketState::Running, _) if socket.is_held => false,
            (SocketState::Listening, _) if self.section(name).accept => {
                self.limit_action(name) == LimitAction::Fail
                    || socket.n_connections < self.section(name).max_connections
            }
            (SocketState::Listening, _) => true,
            (SocketState::Running, Some(slot)) => {
                let instance = self.slot_instance(name, slot);
                instance.is_some_and(|instance| self.wants_slot_watch(name, &instance))
            }
            (SocketState::Running, None)
            | (SocketState::Dead | SocketState::Opening | SocketState::Paused | SocketState::Failed, _) => {
                false
            }
        }
    }

    /// Nobody serves this slot, nobody is about to, and somebody may.
    fn wants_slot_watch(&self, name: &UnitName, instance: &UnitName) -> bool {
        let group_stops = self
            .triggered(name)
            .and_then(|group| self.job_of(&group))
            .is_some_and(|job| job.kind == JobKind::Stop);
        self.activity(instance) == Activity::Idle
            && self.job_of(instance).is_none()
            && self.start_limit_end(instance).is_none()
            && !group_stops
    }

    pub(crate) fn refresh_watches(&mut self, name: &UnitName) {
        for index in 0..self.socket(name).ports.len() {
            let open = self.socket(name).ports[index];
            let wanted = self.wants_watch(name, open.port);
            if wanted != open.watched {
                let fd = open.port.fd;
                self.socket_mut(name).ports[index].watched = wanted;
                self.out.push(if wanted { Action::Watch { fd } } else { Action::Unwatch { fd } });
            }
        }
    }

    pub(crate) fn set_held(&mut self, name: &UnitName, held: bool) {
        self.socket_mut(name).is_held = held;
        self.stir(name);
    }

    fn set_socket_state(&mut self, name: &UnitName, state: SocketState) {
        if self.socket(name).state != state {
            self.change(name, |machine| {
                if let Machine::Socket(socket) = machine {
                    socket.state = state;
                }
            });
        }
        self.refresh_watches(name);
    }

    // --- looking things up ---

    /// The unit that this socket starts; with `Accept=yes` a template.
    fn triggered(&self, name: &UnitName) -> Option<UnitName> {
        self.links(name).triggers.clone()
    }

    pub(crate) fn section(&self, name: &UnitName) -> &SocketSection {
        self.nodes[name].unit.socket().expect("a node with a socket machine has a socket unit")
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
        Rate { interval: section.trigger_limit_interval_sec, burst: section.effective_trigger_limit_burst() }
    }

    fn limit_action(&self, name: &UnitName) -> LimitAction {
        self.section(name).limit_action.unwrap_or(self.settings.default_limit_action)
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
