//! Ties between units, and who gets which descriptor: what a socket starts, which slots a group has, which slots are in rotation.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sockmgr_unit::value::{Instances, Weight};
use sockmgr_unit::{Unit, UnitName};

use crate::engine::Engine;
use crate::event::{Action, PassedFd};
use crate::group::Group;
use crate::ids::{FdId, ProcessId};
use crate::job::JobKind;
use crate::node::{ActiveState, Machine};
use crate::relations::Links;
use crate::service::Seat;
use crate::socket::triggered_name;
use crate::view::Rotation;

impl Engine {
    /// (Re)makes the ties of `name` to other units, and the group that a socket with `Instances=` stands for.
    pub(crate) fn link(&mut self, name: &UnitName) {
        let Some(node) = self.nodes.get(name) else { return };
        let unit = node.unit.clone();
        self.link_relations(name);
        if let Some(section) = unit.socket() {
            let Some(service) = triggered_name(name, section) else { return };
            if section.instances.is_some() && !section.accept {
                self.link_group(name, &service);
            } else if self.nodes.get(&service).is_some_and(|node| node.group().is_some()) {
                self.dissolve(&service);
            }
            self.link_trigger(name, &service);
        }
        if let Some(service) = unit.service() {
            self.seat(name);
            for socket in &service.service.sockets {
                self.links_mut(name).triggered_by.insert(socket.clone());
            }
        }
    }

    fn link_trigger(&mut self, socket: &UnitName, service: &UnitName) {
        self.links_mut(socket).triggers = Some(service.clone());
        self.links_mut(service).triggered_by.insert(socket.clone());
        self.order_after(service, socket);
        let group = self.nodes.get(service).and_then(|node| node.group());
        for slot in group.map_or_else(Vec::new, |group| group.present(&self.nodes)) {
            self.order_after(&slot, socket);
        }
    }

    /// The group that stands for all instances of what `socket` starts, under the plain name of the service.
    fn link_group(&mut self, socket: &UnitName, service: &UnitName) {
        let count = self.pool_size(socket).unwrap_or(1);
        let slots: Vec<UnitName> =
            (1..=count).filter_map(|number| service.with_instance(&number.to_string()).ok()).collect();
        let Some(first) = slots.first().cloned() else { return };
        let mut unit = (*self.load(&first)).clone();
        unit.name = service.clone();
        let size = self.wished_size(socket, service, count);
        let what = format!("{size} instances of {}@.service", service.prefix());
        std::sync::Arc::make_mut(&mut unit.unit).description = Some(what.into());
        let unit = std::sync::Arc::new(unit);
        match self.nodes.get_mut(service) {
            Some(node) if node.group().is_some() => node.unit = unit,
            Some(node) => {
                node.unit = unit;
                node.machine = Machine::Group(Box::default());
                self.log_warning(
                    service,
                    format!("{socket} has Instances=, so this name stands for all instances of the template"),
                );
            }
            None => self.insert(unit, Machine::Group(Box::default())),
        }
        self.seat_instances(service, slots, size);
    }

    /// Gives each instance its seat. A socket that is open keeps its slots, so instances that lose theirs are down.
    fn seat_instances(&mut self, group: &UnitName, slots: Vec<UnitName>, size: u32) {
        let Some(Machine::Group(machine)) = self.nodes.get_mut(group).map(|node| &mut node.machine) else {
            return;
        };
        machine.size = size;
        let old = std::mem::replace(&mut machine.slots, slots.clone());
        for instance in slots.iter().take(size as usize) {
            self.ensure(instance);
        }
        for instance in &slots {
            self.seat(instance);
        }
        for instance in old.iter().filter(|instance| !slots.contains(instance)) {
            self.unseat(instance);
        }
    }

    /// Gives an instance the seat that its number names, where its template's group has one.
    pub(crate) fn seat(&mut self, instance: &UnitName) {
        let Some(seat) = self.seat_of(instance) else { return };
        if self.nodes.get(instance).is_none_or(|node| node.service().is_none()) {
            return;
        }
        let sockets = self.links(&seat.group).triggered_by.clone();
        self.service_mut(instance).seat = Some(seat);
        for socket in sockets {
            self.order_after(instance, &socket);
        }
    }

    fn seat_of(&self, instance: &UnitName) -> Option<Seat> {
        let number: usize = instance.instance()?.parse().ok()?;
        let group: UnitName = format!("{}.service", instance.prefix()).parse().ok()?;
        let slot = number.checked_sub(1)?;
        (self.nodes.get(&group)?.group()?.slots.get(slot)? == instance)
            .then_some(Seat { group, slot: slot as u32 })
    }

    fn unseat(&mut self, instance: &UnitName) {
        if let Some(Machine::Service(service)) = self.nodes.get_mut(instance).map(|node| &mut node.machine) {
            service.seat = None;
        }
        if self.is_idle(instance) {
            self.remove_node(instance);
        }
    }

    /// No socket has this group any more: once its instances are down the name is free for a service.
    pub(crate) fn dissolve(&mut self, group: &UnitName) {
        if !self.is_idle(group) {
            return;
        }
        let slots = self.nodes[group].group().map(|group| group.slots.clone()).unwrap_or_default();
        self.remove_node(group);
        for slot in slots {
            self.unseat(&slot);
        }
        self.ensure(group);
    }

    /// How many slots a socket makes: `MaxInstances=`, or else `Instances=`. While it is open it has those that it was opened with.
    fn pool_size(&self, socket: &UnitName) -> Option<u32> {
        let node = self.nodes.get(socket)?;
        let section = node.unit.socket()?;
        // Where one of the two is `auto`, the machine may have fewer processors than there are to be instances.
        let wanted = self.number(section.pool()?).max(self.number(section.instances?));
        let last = node.socket()?.ports.iter().filter_map(|open| open.port.slot).max();
        Some(last.map_or(wanted, |last| last + 1))
    }

    /// How many of them are in service: as was last asked for, or `Instances=`; always within the bounds.
    fn wished_size(&self, socket: &UnitName, group: &UnitName, pool: u32) -> u32 {
        let asked = self.nodes.get(group).and_then(|node| node.group()?.wish.size);
        let written = self.nodes.get(socket).and_then(|node| node.unit.socket()?.instances);
        let size = asked.or(written.map(|count| self.number(count))).unwrap_or(1);
        size.clamp(self.fewest(socket).clamp(1, pool.max(1)), pool.max(1))
    }

    /// `MinInstances=` of a socket.
    pub(crate) fn fewest(&self, socket: &UnitName) -> u32 {
        self.nodes
            .get(socket)
            .and_then(|node| node.unit.socket())
            .map_or(1, |section| self.number(section.min_instances.0))
    }

    /// `auto` is the number of CPUs.
    fn number(&self, instances: Instances) -> u32 {
        instances.resolve(self.cpus as usize)
    }

    /// How many slots the listeners of this socket have; `None` when it starts a plain service.
    pub(crate) fn slot_count(&self, socket: &UnitName) -> Option<u32> {
        self.group_of_socket(socket).map(|(_, group)| group.slots.len() as u32)
    }

    pub(crate) fn group_of_socket(&self, socket: &UnitName) -> Option<(&UnitName, &Group)> {
        self.pool_size(socket)?;
        let service = self.links(socket).triggers.as_ref()?;
        Some((service, self.nodes.get(service)?.group()?))
    }

    /// How many instances a group has.
    pub(crate) fn group_size(&self, group: &UnitName) -> usize {
        self.nodes.get(group).and_then(|node| node.group()).map_or(0, |group| group.size as usize)
    }

    /// The instance in `slot` of what `socket` starts.
    pub(crate) fn slot_instance(&self, socket: &UnitName, slot: u32) -> Option<UnitName> {
        self.group_of_socket(socket)?.1.slots.get(slot as usize).cloned()
    }

    /// The instance whose own this listener is.
    pub(crate) fn instance_at(&self, fd: FdId) -> Option<UnitName> {
        let socket = self.listeners.get(&fd)?;
        let port = self.open_ports(socket).find(|port| port.fd == fd)?;
        self.slot_instance(socket, port.slot?).filter(|instance| self.nodes.contains_key(instance))
    }

    /// `InstanceWeight=` of the instance in `slot`.
    pub fn weight(&self, socket: &UnitName, slot: u32) -> u32 {
        let instance = self.slot_instance(socket, slot);
        let node = instance.and_then(|instance| self.nodes.get(&instance));
        let weight = node.and_then(|node| Some(node.unit.service()?.service.instance_weight));
        weight.unwrap_or(Weight::DEFAULT).get()
    }

    /// The descriptors for a service, in order: its connection, or the listeners of all its sockets; of a group's, those of its slot.
    pub(crate) fn descriptors(&self, name: &UnitName) -> Vec<PassedFd> {
        if let Some(fd) = self.served_fd(name) {
            let socket = self.nodes[name].service().and_then(|service| service.served_socket());
            let named = socket.and_then(|socket| {
                Some(self.nodes.get(socket)?.unit.socket()?.fd_name(0, socket).to_owned())
            });
            let name = named.unwrap_or_else(|| "connection".to_owned());
            return vec![PassedFd { fd, name, is_stored: false }];
        }
        let seat = self.service(name).seat.clone();
        let name = &self.nodes[name].unit.name;
        let unit = seat.as_ref().map_or(name, |seat| &seat.group);
        let sockets: BTreeSet<&UnitName> =
            self.links(unit).triggered_by.iter().chain(&self.links(name).triggered_by).collect();
        let mut passed = Vec::new();
        for socket in sockets {
            let Some(state) =
                self.nodes.get(socket).and_then(|node| node.socket()).filter(|socket| socket.is_open())
            else {
                continue;
            };
            let section = self.section(socket);
            let mine = |slot: Option<u32>| slot.is_none() || slot == seat.as_ref().map(|seat| seat.slot);
            passed.extend(state.ports.iter().filter(|open| mine(open.port.slot)).map(|open| PassedFd {
                fd: open.port.fd,
                name: section.fd_name(open.port.line, socket).to_owned(),
                is_stored: false,
            }));
        }
        passed
    }

    /// Whether a process that was started before `process` has this descriptor as well: a sibling, of a listener that all instances
    /// of a group share, or the generation before.
    pub fn is_in_use(&self, fd: FdId, process: ProcessId) -> bool {
        let Some(socket) = self.listeners.get(&fd) else { return false };
        let Some(port) = self.open_ports(socket).find(|port| port.fd == fd) else { return false };
        let earlier = |instance: &UnitName| {
            let service = self.nodes.get(instance).and_then(|node| node.service());
            service.and_then(|service| service.main).is_some_and(|main| main.process < process)
        };
        let in_either = |instance: &UnitName| {
            earlier(instance) || self.other_generation(instance).is_some_and(|other| earlier(&other))
        };
        match (port.slot, self.group_of_socket(socket)) {
            (Some(slot), _) => self.slot_instance(socket, slot).is_some_and(|instance| in_either(&instance)),
            (None, Some((_, group))) => group.slots.iter().any(in_either),
            (None, None) => self.links(socket).triggers.as_ref().is_some_and(in_either),
        }
    }

    // --- rotation ---

    /// As [`refresh_rotation`](Self::refresh_rotation), for the group of `instance`, if it is in one.
    pub(crate) fn refresh_rotation_of(&mut self, instance: &UnitName) {
        if let Some(group) = self.service(instance).group().cloned() {
            self.refresh_rotation(&group);
        }
    }

    /// Tells the kernel which slots take new connections, where that changed.
    pub(crate) fn refresh_rotation(&mut self, group: &UnitName) {
        for socket in self.links(group).triggered_by.clone() {
            self.steer_socket(&socket);
        }
    }

    pub(crate) fn steer_socket(&mut self, socket: &UnitName) {
        let Some(live) = self.live_slots(socket) else { return };
        let Some(Machine::Socket(state)) = self.nodes.get_mut(socket).map(|node| &mut node.machine) else {
            return;
        };
        if state.ports.iter().any(|open| open.port.slot.is_some()) && state.steered != live {
            let before = std::mem::replace(&mut state.steered, live.clone());
            self.out.push(Action::Steer { socket: socket.clone(), live: live.clone() });
            self.rescue(socket, &before, &live);
        }
    }

    /// The program may have got lost: whoever has a listener of the group can take it away.
    pub(crate) fn steer_anew(&mut self, socket: &UnitName) {
        self.forget_steering(socket);
        self.steer_socket(socket);
    }

    pub(crate) fn forget_steering(&mut self, socket: &UnitName) {
        if let Some(Machine::Socket(state)) = self.nodes.get_mut(socket).map(|node| &mut node.machine) {
            state.steered.clear();
        }
    }

    /// New files may divide the traffic in another way: the kernel is told again, though the slots are the same.
    pub(crate) fn forget_changed_steering(&mut self, name: &UnitName, old: &Unit, new: &Unit) {
        let steering = |unit: &Unit| unit.socket().map(|section| section.steering);
        let weight = |unit: &Unit| unit.service().map(|service| service.service.instance_weight);
        if steering(old) != steering(new) {
            self.forget_steering(name);
        }
        let group = self.nodes.get(name).and_then(|node| node.service()?.group().cloned());
        if let Some(group) = group.filter(|_| weight(old) != weight(new)) {
            for socket in self.links(&group).triggered_by.clone() {
                self.forget_steering(&socket);
            }
        }
    }

    /// The slots in rotation. Never empty: the kernel would spread over all slots, dead ones included, so with nobody ready the queue
    /// builds on the slot that will be served first. Not on one whose instance is on its way down: it might take a connection with it.
    fn live_slots(&self, socket: &UnitName) -> Option<Vec<u32>> {
        let (_, group) = self.group_of_socket(socket)?;
        let slots = || group.in_service().iter().zip(0u32..);
        let ready: Vec<u32> =
            slots().filter(|(name, _)| self.is_in_rotation(name)).map(|(_, slot)| slot).collect();
        if !ready.is_empty() {
            return Some(ready);
        }
        let takes = || slots().filter(|(_, slot)| !group.wish.drained.contains(slot));
        let in_state = |wanted| takes().find(|(name, _)| self.active_state(name) == wanted);
        let next = in_state(ActiveState::Activating)
            .or_else(|| in_state(ActiveState::Inactive))
            .or_else(|| in_state(ActiveState::Failed))
            .or_else(|| takes().next());
        Some(vec![next.map_or(0, |(_, slot)| slot)])
    }

    pub(crate) fn is_in_rotation(&self, instance: &UnitName) -> bool {
        self.rotation_of(instance) == Rotation::In
    }

    pub(crate) fn rotation_of(&self, instance: &UnitName) -> Rotation {
        let service = self.nodes.get(instance).and_then(|node| node.service());
        if self.is_parked(instance) {
            Rotation::Parked
        } else if service.is_none_or(|service| !service.is_ready()) {
            Rotation::NotReady
        } else if self.is_leaving(instance) {
            Rotation::Stopping
        } else if self.is_drained(instance) {
            Rotation::Drained
        } else if self.is_hung(instance) {
            Rotation::Hung
        } else {
            Rotation::In
        }
    }

    /// A job takes it down: a stop, or a restart in which its place is empty for a while.
    fn is_leaving(&self, instance: &UnitName) -> bool {
        match self.job_of(instance).map(|job| job.kind) {
            Some(JobKind::Stop) => true,
            Some(JobKind::Restart) => !self.restart_overlaps(instance),
            Some(JobKind::Start | JobKind::Reload | JobKind::VerifyActive) | None => false,
        }
    }

    pub(crate) fn links(&self, name: &UnitName) -> &Links {
        static NONE: LazyLock<Links> = LazyLock::new(Links::default);
        self.links.get(name).map_or(&NONE, |links| &**links)
    }

    pub(crate) fn links_mut(&mut self, name: &UnitName) -> &mut Links {
        self.links.entry(name.clone()).or_default()
    }
}
