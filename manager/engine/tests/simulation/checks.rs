//! What must be true between any two calls of the engine.

use std::collections::{BTreeMap, BTreeSet};

use sockmgr_engine::{
    ActiveState, Engine, FdId, JobId, JobKind, MachineView, Port, Rotation, SocketView, UnitView,
};
use sockmgr_unit::section::SocketSection;
use sockmgr_unit::value::{LimitAction, RestartMode, ScaleOn, ServiceType};
use sockmgr_unit::{UnitName, UnitType};

use crate::kernel::Fate;
use crate::support::name;
use crate::world::World;

impl World {
    pub(crate) fn check(&self) {
        let Some(engine) = &self.engine else { return };
        let jobs: BTreeSet<JobId> = engine.jobs().map(|job| job.id).collect();
        assert_eq!(jobs, self.jobs, "jobs that exist and jobs that were announced");
        let connections = connections_by_socket(engine);
        let mut claimed: BTreeSet<FdId> = BTreeSet::new();
        for name in engine.unit_names().filter(|name| name.unit_type() == UnitType::Socket) {
            let view = engine.unit(name).expect("it is listed");
            if let MachineView::Socket(socket) = view.machine {
                let ports: Vec<Port> = engine.open_ports(name).collect();
                assert_eq!(
                    socket.n_connections,
                    connections.get(name).copied().unwrap_or(0),
                    "{name}: connections"
                );
                let group = view.triggers.first().and_then(|group| engine.unit(group));
                for port in &ports {
                    assert!(claimed.insert(port.fd), "{} has two owners", port.fd);
                    self.check_watch(engine, name, &view, group.as_ref(), socket, *port);
                }
                self.check_rotation(engine, name, &view, group.as_ref(), &ports);
            }
        }
        for (fd, listener) in self.kernel.listeners.iter().filter(|(_, listener)| listener.in_manager) {
            assert!(claimed.contains(fd), "{fd} of {} has no owner", listener.socket);
        }
    }

    fn check_watch(
        &self,
        engine: &Engine,
        name: &UnitName,
        view: &UnitView<'_>,
        group: Option<&UnitView<'_>>,
        socket: SocketView,
        port: Port,
    ) {
        let section = view.unit.socket().expect("it is a socket");
        let wanted = match (view.sub, port.slot) {
            _ if socket.is_held => false,
            ("listening", _) if section.accept && section.limit_action != Some(LimitAction::Fail) => {
                socket.n_connections < section.max_connections
            }
            ("listening", _) => true,
            // What comes there is moved in a moment, or looked at again.
            ("running", Some(slot)) if socket.is_freezing && !self.kernel.steering[name].contains(&slot) => {
                return;
            }
            ("running", Some(slot)) if self.is_parked(engine, group, slot) => true,
            // What comes there may be moved to those in rotation, as long as nobody accepts it.
            ("running", Some(slot)) if !self.kernel.steering[name].contains(&slot) => return,
            // Where waiting clients are looked for, whether it is watched depends on what the last look has found.
            ("running", Some(_)) if looks_for_waiters(section) => return,
            ("running", None) if section.scale_on == ScaleOn::Queue => return,
            _ => false,
        };
        let watched = self.kernel.watched.contains(&port.fd);
        // A wakeup too many: left alone until the window ends. A listener that a reload has opened: watched while others are not.
        if section.poll_limit_burst > 0 && !watched || socket.has_fresh && watched {
            return;
        }
        assert_eq!(watched, wanted, "{name} is {}: is {port:?} watched?", view.sub);
    }

    /// Nobody is in that slot and nobody is about to be.
    fn is_parked(&self, engine: &Engine, group: Option<&UnitView<'_>>, slot: u32) -> bool {
        let group = group.expect("its group is there");
        let MachineView::Group(slots) = &group.machine else { panic!("slots without a group") };
        let stops = group.job.is_some_and(|(_, kind)| kind == JobKind::Stop);
        let Some(slot) = slots.slots.iter().find(|other| other.number == slot + 1) else { return !stops };
        let instance = engine.unit(slot.instance).expect("slots have instances");
        instance.active.is_down() && instance.job.is_none() && !stops
    }

    fn check_rotation(
        &self,
        engine: &Engine,
        name: &UnitName,
        view: &UnitView<'_>,
        group: Option<&UnitView<'_>>,
        ports: &[Port],
    ) {
        let is_open = matches!(view.sub, "listening" | "running" | "paused");
        if !is_open || ports.iter().all(|port| port.slot.is_none()) {
            return;
        }
        self.check_members(engine, name, ports);
        let MachineView::Group(group) = &group.expect("its group is there").machine else {
            panic!("slots without a group")
        };
        // An instance that is alone says when it is ready, so that the next one can be ready before it stops.
        let default = if group.size > 1 { RestartMode::Rolling } else { RestartMode::Overlap };
        // In a rollout whoever says when he is ready is restarted by overlap.
        let rolls_out = group.rollout.as_ref().is_some_and(|rollout| !rollout.phase.is_over());
        let ready = |index: usize| {
            let slot = &group.slots[index];
            let instance = engine.unit(slot.instance).expect("slots have instances");
            let mode = instance.unit.service().and_then(|unit| unit.service.restart_mode);
            let leaves = match instance.job {
                Some((_, JobKind::Stop)) => true,
                Some((_, JobKind::Restart)) => !rolls_out && mode.unwrap_or(default) != RestartMode::Overlap,
                Some((_, JobKind::Start | JobKind::Reload | JobKind::VerifyActive)) | None => false,
            };
            let runs = matches!(slot.state, "running" | "reload") && slot.main_pid != 0 && !leaves;
            assert!(runs || slot.rotation != Rotation::In, "{} is not ready", slot.instance);
            assert!(!runs || slot.rotation != Rotation::NotReady, "{} is ready", slot.instance);
            assert_eq!(slot.rotation == Rotation::Parked, slot.number > group.size, "{}", slot.instance);
            slot.rotation == Rotation::In
        };
        let number = |index: usize| group.slots[index].number - 1;
        let live: Vec<u32> = (0..group.slots.len()).filter(|index| ready(*index)).map(number).collect();
        let steered = self.kernel.steering.get(name).unwrap_or_else(|| panic!("{name} is not steered"));
        if live.is_empty() {
            assert_eq!(steered.len(), 1, "{name} with nobody ready");
        } else {
            assert_eq!(*steered, live, "{name}: slots in rotation, and slots that are ready");
        }
    }

    /// The engine knows the kernel's order, as soon as it has heard of all that was shut down.
    fn check_members(&self, engine: &Engine, name: &UnitName, ports: &[Port]) {
        if self.kernel.listeners.values().any(|listener| listener.socket == *name && listener.is_shut) {
            return;
        }
        for port in ports.iter().filter(|port| port.slot == Some(0)) {
            let order = &self.kernel.orders[&(name.clone(), port.line)];
            assert_eq!(
                engine.members(name, port.line),
                *order,
                "{name}: members of the group of line {}",
                port.line
            );
        }
    }

    pub(crate) fn is_up(&self, unit: &UnitName) -> bool {
        let engine = self.engine.as_ref().expect("it has just decided");
        engine.unit(unit).is_some_and(|view| view.active.is_up())
    }

    pub(crate) fn assert_known(&self, unit: &UnitName) {
        let engine = self.engine.as_ref().expect("it has just decided");
        assert!(engine.unit(unit).is_some(), "there is no {unit}");
    }

    pub(crate) fn service_type(&self, unit: &UnitName) -> ServiceType {
        let engine = self.engine.as_ref().expect("it has just decided");
        let view = engine.unit(unit).expect("it is known");
        // What a socket runs are commands, which end.
        view.unit.service().map_or(ServiceType::Oneshot, |service| service.service.type_)
    }

    /// After the last fault and the last command: nothing is left to do, and nobody waits.
    pub(crate) fn check_rest(&self) {
        let engine = self.engine.as_ref().expect("the manager lives in the end");
        let jobs: Vec<_> = engine.jobs().collect();
        assert!(jobs.is_empty(), "jobs that never end: {jobs:?}");
        for name in engine.unit_names() {
            let view = engine.unit(name).expect("it is listed");
            let settled =
                matches!(view.active, ActiveState::Active | ActiveState::Inactive | ActiveState::Failed);
            assert!(settled, "{name} is {} for ever", view.sub);
            assert!(!self.is_kept(name) || view.active == ActiveState::Active, "{name} is {}", view.sub);
        }
        if let Some(MachineView::Group(group)) = engine.unit(&name("web.service")).map(|view| view.machine) {
            // A command that came to nothing may have loaded one that is down.
            let is_down = |instance| engine.unit(instance).is_some_and(|view| view.active.is_down());
            assert!(
                group.slots.iter().all(|slot| slot.number <= group.size || is_down(slot.instance)),
                "somebody stays in a parked slot"
            );
        }
        for process in self.keeper.processes.values().filter(|process| process.is_alive()) {
            assert!(!process.is_stopped, "a process of {} is frozen for ever", process.unit);
        }
        for (fd, listener) in self.kernel.listeners.iter().filter(|(_, listener)| listener.in_manager) {
            assert!(
                listener.queue.is_empty(),
                "clients wait for ever on {fd} of {} {:?}",
                listener.socket,
                listener.port
            );
        }
        for client in self.kernel.clients.iter().filter(|client| self.is_kept(&client.socket)) {
            let kept = matches!(client.fate, Fate::Served | Fate::DiedWithItsHolder);
            assert!(kept, "a client of {} is {:?}", client.socket, client.fate);
        }
    }
}

/// `AcceptTimeoutSec=`, `ScaleOn=queue`
fn looks_for_waiters(section: &SocketSection) -> bool {
    !section.accept_timeout_sec.is_infinite() || section.scale_on == ScaleOn::Queue
}

fn connections_by_socket(engine: &Engine) -> BTreeMap<UnitName, u32> {
    let mut counts = BTreeMap::new();
    // Others than instances for connections serve no single one.
    let instances = engine.unit_names().filter(|name| matches!(name.prefix(), "echo" | "mail"));
    for name in instances.filter(|name| name.is_instance()) {
        let view = engine.unit(name).expect("it is listed");
        if let MachineView::Service(service) = &view.machine
            && service.peer.is_some()
        {
            *counts.entry(view.triggered_by[0].clone()).or_default() += 1;
        }
    }
    counts
}
