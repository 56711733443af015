//! The metrics by name (OpenMetrics 1.0): made anew for each scrape, from the engine and the kernel.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use sockmgr_engine::{ActiveState, GroupView, MachineView, Rotation, SocketView, Stamps, UnitView};
use sockmgr_unit::UnitName;

use crate::control::{Core, QueueView, SteeringView};

/// One listener: the socket unit, the line of it from 1, and the slot from 1, empty where all instances share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    socket: String,
    line: u64,
    slot: String,
}

/// One slot of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Slot {
    unit: String,
    slot: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SlotState {
    unit: String,
    slot: String,
    state: &'static str,
    rotation: &'static str,
}

/// How the group of a socket is steered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Steered {
    socket: String,
    make: &'static str,
    reason: String,
    migration: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    unit: String,
}

type Level<L> = Family<L, Gauge>;
type Total<L> = Family<L, Counter>;

#[derive(Default)]
struct Table {
    queue: Level<Listener>,
    queue_limit: Level<Listener>,
    drops: Total<Listener>,
    oldest: Family<Listener, Gauge<f64, AtomicU64>>,
    steered: Total<Listener>,
    in_rotation: Level<Slot>,
    generation: Level<Slot>,
    slot_state: Level<SlotState>,
    steering: Level<Steered>,
    active: Level<Named>,
    restarts: Total<Named>,
    cold_start: Family<Named, Gauge<f64, AtomicU64>>,
    accepted: Total<Named>,
    refused: Total<Named>,
    connections: Level<Named>,
}

/// Everything, as text.
pub(super) fn of(core: &dyn Core) -> Result<String, fmt::Error> {
    let table = Table::default();
    for name in core.engine().unit_names() {
        if let Some(view) = core.engine().unit(name) {
            table.add(core, name, &view);
        }
    }
    let mut text = String::new();
    encode(&mut text, &table.registry())?;
    Ok(text)
}

impl Table {
    fn add(&self, core: &dyn Core, name: &UnitName, view: &UnitView<'_>) {
        let named = Named { unit: name.to_string() };
        self.active.get_or_create(&named).set(i64::from(view.active.is_up()));
        match &view.machine {
            MachineView::Socket(socket) => {
                self.add_socket(&named, socket);
                core.queues(name).iter().for_each(|queue| self.add_queue(name, queue));
                if let Some(SteeringView { make, reason, migration }) = core.steering(name) {
                    let steered = Steered { socket: name.to_string(), make, reason, migration };
                    self.steering.get_or_create(&steered).set(1);
                }
            }
            MachineView::Service(service) => {
                self.restarts.get_or_create(&named).inc_by(service.n_restarts.into());
                self.add_start(&named, view);
            }
            MachineView::Group(group) => {
                self.add_group(name, group);
                self.add_start(&named, view);
            }
            MachineView::Target => {}
        }
    }

    fn add_socket(&self, named: &Named, socket: &SocketView) {
        self.accepted.get_or_create(named).inc_by(socket.n_accepted.into());
        self.refused.get_or_create(named).inc_by(socket.n_refused.into());
        self.connections.get_or_create(named).set(socket.n_connections.into());
    }

    fn add_queue(&self, socket: &UnitName, queue: &QueueView) {
        let slot = queue.slot.map_or_else(String::new, |slot| (slot + 1).to_string());
        let listener = Listener { socket: socket.to_string(), line: queue.line as u64 + 1, slot };
        self.queue.get_or_create(&listener).set(queue.used.into());
        self.queue_limit.get_or_create(&listener).set(queue.limit.into());
        self.drops.get_or_create(&listener).inc_by(queue.drops.into());
        if let Some(oldest) = queue.oldest {
            self.oldest.get_or_create(&listener).set(oldest.as_secs_f64());
        }
        if let Some(steered) = queue.steered {
            self.steered.get_or_create(&listener).inc_by(steered);
        }
    }

    fn add_group(&self, name: &UnitName, group: &GroupView<'_>) {
        for slot in &group.slots {
            let (unit, number) = (name.to_string(), slot.number.to_string());
            let label = Slot { unit: unit.clone(), slot: number.clone() };
            self.in_rotation.get_or_create(&label).set(i64::from(slot.rotation == Rotation::In));
            self.generation.get_or_create(&label).set(slot.generation.into());
            let rotation = slot.rotation.as_str();
            let state = SlotState { unit, slot: number, state: slot.state, rotation };
            self.slot_state.get_or_create(&state).set(1);
        }
    }

    /// Of a unit that is up, how long that took the last time.
    fn add_start(&self, named: &Named, view: &UnitView<'_>) {
        let is_up = matches!(view.active, ActiveState::Active | ActiveState::Reloading);
        if let Some(seconds) = cold_start(&view.stamps).filter(|_| is_up) {
            self.cold_start.get_or_create(named).set(seconds);
        }
    }

    fn registry(self) -> Registry {
        let mut registry = Registry::with_prefix("sockmgr");
        registry.register(
            "queue_length",
            "What waits to be accepted: connections, or bytes of datagrams",
            self.queue,
        );
        registry.register("queue_limit", "The most that can wait, in the same unit", self.queue_limit);
        registry.register("queue_drops", "Dropped because the queue was full", self.drops);
        registry.register_with_unit(
            "queue_oldest",
            "How long the oldest has waited; absent where nobody waits, or the kernel does not tell",
            Unit::Seconds,
            self.oldest,
        );
        registry.register(
            "steered",
            "Connections or datagrams that eBPF steered here; with classic BPF nobody counts",
            self.steered,
        );
        registry.register("slot_in_rotation", "Whether the slot gets new connections", self.in_rotation);
        registry.register("slot_generation", "How often its instance was started", self.generation);
        registry.register("slot_state", "1 for the state that the slot is in", self.slot_state);
        registry.register(
            "steering",
            "1 for the make of the group's steering, and why it is that",
            self.steering,
        );
        registry.register("unit_active", "Whether the unit is up", self.active);
        registry.register("service_restarts", "Restarts by itself", self.restarts);
        registry.register_with_unit(
            "cold_start",
            "From the first traffic (or command) until ready, at the last start from nothing",
            Unit::Seconds,
            self.cold_start,
        );
        registry.register("socket_accepted", "Connections accepted for Accept=yes", self.accepted);
        registry.register("socket_refused", "Connections turned away for Accept=yes", self.refused);
        registry.register("socket_connections", "Connections being served with Accept=yes", self.connections);
        registry
    }
}

/// Seconds from when the unit left rest until it was up.
fn cold_start(stamps: &Stamps) -> Option<f64> {
    let took = stamps.active_enter?.as_micros().checked_sub(stamps.inactive_exit?.as_micros())?;
    Some(took as f64 / 1e6)
}
