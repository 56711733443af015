//! What waits in slots that nobody serves, siblings can serve at once, where the kernel moves it (`Action::Migrate`).
//!
//! A slot may be spared when nobody could be in accept(2) on its listener: its process is gone, or is frozen on its way up, before it
//! has said that it is ready. Frozen it must be: it may say so at any moment, and accept before we hear of it. It is when its instance
//! leaves the rotation, and again whenever something comes to it: connections that were half open then end up there. All such slots of
//! a line go together, so that nothing is moved from one to another.
//!
//! Invariant: what is about to be moved is saved before (`Members`), so that another manager can bring it to its end: done once or twice,
//! the kernel's order is the same.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sockmgr_unit::value::{ServiceType, Span};
use sockmgr_unit::{ListenKind, UnitName};

use crate::engine::Engine;
use crate::event::{Action, Migrated, Port};
use crate::service::ServiceState;

/// Whether connections of a socket's group can be moved: nobody knows before it was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Movable {
    #[default]
    Untried,
    Yes,
    No,
}

/// What was half open when an instance ended comes to its queue within this time, mostly: where clients are not far.
const HANDSHAKE: Span = Span::from_millis(20);

/// Who may accept what comes to a slot.
enum Occupant {
    Nobody,
    /// An instance on its way up, which will say when it is ready. Who says nothing may accept from the first moment.
    Starting(UnitName),
    Other,
}

impl Engine {
    /// Slots have left the rotation: what waits there for nobody goes to those that are in it.
    pub(crate) fn rescue(&mut self, name: &UnitName, before: &[u32], live: &[u32]) {
        let is_lost = |slot: &u32| !live.contains(slot) && self.may_be_shut(name, *slot);
        if before.iter().any(is_lost) {
            self.move_spare(name);
        }
    }

    /// Somebody has ended. If nobody is left there, and the slot was out of rotation already (it hung, say), what waits goes to others.
    pub(crate) fn rescue_from(&mut self, instance: &UnitName) {
        let Some(seat) = self.service(instance).seat.clone() else { return };
        for name in self.links(&seat.group).triggered_by.clone() {
            let is_out =
                self.nodes.get(&name).and_then(|node| node.socket()).is_some_and(|socket| {
                    socket.movable == Movable::Yes && !socket.steered.contains(&seat.slot)
                });
            if is_out && self.may_be_shut(&name, seat.slot) {
                self.move_spare(&name);
            }
        }
    }

    /// How long a successor waits, so that what comes late can be moved while nobody is there who would have to be frozen for it.
    pub(crate) fn pause_to_move(&self, instance: &UnitName) -> Span {
        let moves = |name: &UnitName| {
            let socket = self.nodes.get(name).and_then(|node| node.socket());
            socket.is_some_and(|socket| socket.movable == Movable::Yes) && self.is_served_elsewhere(name)
        };
        let group = self.service(instance).group();
        let waits = group.is_some_and(|group| self.links(group).triggered_by.iter().any(moves));
        if waits { HANDSHAKE } else { Span::ZERO }
    }

    /// Something came to a slot that nobody serves, and is moved, or it will be known that it cannot be. False: that is known.
    pub(super) fn rescues(&mut self, name: &UnitName, port: Port) -> bool {
        let tries = self.may_be_rescued(name, port);
        if tries {
            let starting = self.starting(name);
            if starting.is_empty() {
                self.move_spare(name);
            } else {
                self.begin_freeze(name, starting);
                self.refresh_watches(name);
            }
        }
        tries
    }

    /// Whether this listener is watched because what comes to it can be moved.
    pub(super) fn watches_for_rescue(&self, name: &UnitName, port: Port) -> bool {
        !self.freezes.contains_key(name) && self.may_be_rescued(name, port)
    }

    /// What is there will be moved, as soon as those on their way up are frozen: nothing is to be done about it before.
    pub(super) fn awaits_rescue(&self, name: &UnitName, port: Port) -> bool {
        self.freezes.contains_key(name) && self.may_be_rescued(name, port)
    }

    fn may_be_rescued(&self, name: &UnitName, port: Port) -> bool {
        let may_be_spare = |slot| {
            !self.socket(name).steered.contains(&slot)
                && matches!(self.occupant(name, slot), Occupant::Nobody | Occupant::Starting(_))
        };
        self.socket(name).movable != Movable::No
            && port.slot.is_some_and(may_be_spare)
            && self.is_stream(name, port.line)
            && self.is_served_elsewhere(name)
    }

    /// Instances of slots out of rotation that are on their way up.
    fn starting(&self, name: &UnitName) -> Vec<UnitName> {
        let live = &self.socket(name).steered;
        let slots: BTreeSet<u32> = self.open_ports(name).filter_map(|port| port.slot).collect();
        let spare = slots.into_iter().filter(|slot| !live.contains(slot));
        let starting = spare.filter_map(|slot| match self.occupant(name, slot) {
            Occupant::Starting(instance) => Some(instance),
            Occupant::Nobody | Occupant::Other => None,
        });
        starting.collect()
    }

    /// They are frozen: what waits for them can be moved.
    pub(super) fn move_from_frozen(&mut self, name: &UnitName) {
        self.move_spare(name);
        self.end_freeze(name);
    }

    /// Empties all slots that may be spared, line by line.
    fn move_spare(&mut self, name: &UnitName) {
        if !self.is_served_elsewhere(name) {
            return;
        }
        let ports: Vec<Port> = self.open_ports(name).filter(|port| port.slot.is_some()).collect();
        let lines: BTreeSet<usize> = ports.iter().map(|port| port.line).collect();
        let live = self.socket(name).steered.clone();
        for line in lines.into_iter().filter(|line| self.is_stream(name, *line)).collect::<Vec<_>>() {
            let is_spare = |slot: u32| !live.contains(&slot) && self.may_be_shut(name, slot);
            let own = ports.iter().filter(|port| port.line == line && port.slot.is_some_and(is_spare));
            let own: Vec<Port> = own.copied().collect();
            self.begin_migration(name, line, &own, false);
        }
    }

    pub(super) fn begin_migration(&mut self, name: &UnitName, line: usize, ports: &[Port], again: bool) {
        if ports.is_empty() {
            return;
        }
        let live = self.socket(name).steered.clone();
        self.members_mut(name, line).moving = ports.iter().filter_map(|port| port.slot).collect();
        let fds = ports.iter().map(|port| port.fd).collect();
        self.out.push(Action::Migrate { socket: name.clone(), line, fds, live, again });
    }

    /// What became of it.
    pub(crate) fn migrated(&mut self, name: &UnitName, line: usize, outcome: Migrated) {
        if self.nodes.get(name).and_then(|node| node.socket()).is_none() {
            return;
        }
        self.members_mut(name, line).moving.clear();
        self.socket_mut(name).movable = match &outcome {
            Migrated::Moved { .. } | Migrated::Nothing => Movable::Yes,
            Migrated::Impossible => Movable::No,
        };
        if let Migrated::Moved { left, back } = outcome {
            for slot in left.iter().filter_map(|fd| self.slot_of(name, *fd)).collect::<Vec<_>>() {
                self.members_mut(name, line).leave(slot);
            }
            for (fd, result) in back {
                match (result, self.slot_of(name, fd)) {
                    (Ok(()), Some(slot)) => self.members_mut(name, line).join(slot),
                    (Ok(()), None) => {}
                    (Err(error), _) => {
                        self.log_error(name, format!("its listener {fd} stays shut down: {error}"));
                    }
                }
            }
            self.stir(name);
            // What is attached names the members by the numbers that they had.
            self.steer_anew(name);
        }
        self.refresh_watches(name);
    }

    /// An earlier manager may have died in the middle of it.
    pub(super) fn migrate_again(&mut self, name: &UnitName) {
        for (line, slots) in self.moving(name) {
            let is_moving =
                |port: &Port| port.line == line && port.slot.is_some_and(|slot| slots.contains(&slot));
            let ports: Vec<Port> = self.open_ports(name).filter(is_moving).collect();
            self.begin_migration(name, line, &ports, true);
        }
    }

    /// Somebody is there for what is moved.
    fn is_served_elsewhere(&self, name: &UnitName) -> bool {
        let live = self.socket(name).steered.iter();
        live.filter_map(|slot| self.slot_instance(name, *slot)).any(|instance| self.is_in_rotation(&instance))
    }

    /// Nobody could be in accept(2) on its listener.
    fn may_be_shut(&self, name: &UnitName, slot: u32) -> bool {
        match self.occupant(name, slot) {
            Occupant::Nobody => true,
            Occupant::Starting(instance) => self.is_still(name, &instance),
            Occupant::Other => false,
        }
    }

    fn occupant(&self, name: &UnitName, slot: u32) -> Occupant {
        let Some(instance) = self.slot_instance(name, slot) else { return Occupant::Other };
        let Some(node) = self.nodes.get(&instance) else { return Occupant::Nobody };
        let Some(service) = node.service().filter(|_| self.other_generation(&instance).is_none()) else {
            return Occupant::Other;
        };
        let tells = node.unit.service().is_some_and(|unit| {
            matches!(unit.service.type_, ServiceType::Notify | ServiceType::NotifyReload)
        });
        match (service.main, service.state) {
            (Some(_), ServiceState::Start) if tells => Occupant::Starting(instance),
            // A daemon whose main process is not known, or not yet.
            (None, ServiceState::Start) => Occupant::Other,
            (None, _) if service.run().left.is_empty() => Occupant::Nobody,
            (None, _) => Occupant::Other,
            (Some(_), _) => Occupant::Other,
        }
    }

    fn is_stream(&self, name: &UnitName, line: usize) -> bool {
        self.section(name).listen.get(line).is_some_and(|listen| listen.kind == ListenKind::Stream)
    }

    fn slot_of(&self, name: &UnitName, fd: crate::ids::FdId) -> Option<u32> {
        self.open_ports(name).find(|port| port.fd == fd)?.slot
    }
}
