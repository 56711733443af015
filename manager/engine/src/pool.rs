//! What commands ask of groups and sockets beside jobs: how many instances, which slots rest, which sockets hold their traffic back.
//!
//! Never here: how an instance comes up or goes down; that is its job's matter. Invariant: a slot behind the group's size is parked: it
//! keeps its listener, is never in rotation, and whoever is in it leaves as soon as its queue is served.

use sockmgr_unit::UnitName;

use crate::command::{Direction, RequestError};
use crate::engine::Engine;
use crate::event::Action;
use crate::group::{Group, Wish};
use crate::ids::{JobId, Time};
use crate::job::JobKind;
use crate::node::Machine;
use crate::service::Activity;

impl Engine {
    /// Does what a client asks for beside jobs. The jobs that come of it are the answer.
    ///
    /// # Errors
    /// The unit is not of the kind that this can be done to, or a number is out of its bounds. Nothing is done then.
    pub fn direct(
        &mut self,
        now: Time,
        unit: &UnitName,
        direction: Direction,
        actions: &mut Vec<Action>,
    ) -> Result<Vec<JobId>, RequestError> {
        self.now = now;
        let result = match direction {
            Direction::Scale(size) => self.scale(unit, size),
            Direction::Drain => self.drain(unit, true),
            Direction::Undrain => self.drain(unit, false),
            Direction::Hold => self.hold(unit, true),
            Direction::Release => self.hold(unit, false),
            Direction::PauseRollout => self.pause_rollout(unit),
            Direction::ResumeRollout => self.resume_rollout(unit),
            Direction::UndoRollout => self.undo_rollout(unit),
        };
        self.settle(actions);
        result
    }

    // --- how many ---

    /// Brings the group to so many instances, or back to what its file says.
    fn scale(&mut self, unit: &UnitName, size: Option<u32>) -> Result<Vec<JobId>, RequestError> {
        let (socket, group) = self.group_named(unit)?;
        if let Some(size) = size {
            let most = self.slot_count(&socket).unwrap_or(1);
            let fewest = self.fewest(&socket).min(most);
            if !(fewest..=most).contains(&size) {
                return Err(RequestError::OutOfBounds { unit: group, fewest, most });
            }
        }
        if size == Some(0) {
            // None until the next client comes: then as many as before.
            return Ok(vec![self.queue_job(&group, JobKind::Stop, false)]);
        }
        self.wish_mut(&group).size = size;
        Ok(self.resize(&socket, &group))
    }

    /// The size that is wished for takes effect: slots come into service, or leave it.
    pub(crate) fn resize(&mut self, socket: &UnitName, group: &UnitName) -> Vec<JobId> {
        let before = self.group_state(group).size;
        self.link(socket);
        self.resized(socket, group, before)
    }

    /// The group had another size until now.
    fn resized(&mut self, socket: &UnitName, group: &UnitName, before: u32) -> Vec<JobId> {
        let is_serving = self.activity(group) != Activity::Idle;
        let size = self.group_state(group).size;
        if size == before {
            return Vec::new();
        }
        self.log_info(group, format!("{size} instances instead of {before}"));
        self.stir(group);
        let mut jobs = Vec::new();
        for (slot, instance) in (0..).zip(self.group_state(group).slots.clone()) {
            if (before..size).contains(&slot) && is_serving && !self.is_held(socket) {
                jobs.push(self.queue_job(&instance, JobKind::Start, false));
            } else if (size..before).contains(&slot) && !self.is_idle(&instance) {
                jobs.push(self.queue_job(&instance, JobKind::Stop, false));
            } else if self.nodes.contains_key(&instance) {
                self.stir(&instance);
            }
        }
        self.refresh_rotation(group);
        self.clear_parked(group);
        jobs
    }

    /// The size of each group, by its socket.
    pub(crate) fn sizes(&self) -> Vec<(UnitName, UnitName, u32)> {
        let sockets = self.nodes.keys().filter(|name| self.nodes[*name].socket().is_some());
        let size = |socket: &UnitName| {
            let (group, state) = self.group_of_socket(socket)?;
            Some((socket.clone(), group.clone(), state.size))
        };
        sockets.filter_map(size).collect()
    }

    /// Files were read again, which may have changed `Instances=`.
    pub(crate) fn resize_changed(&mut self, before: Vec<(UnitName, UnitName, u32)>) {
        for (socket, group, size) in before {
            if self.group_of_socket(&socket).is_some_and(|(same, _)| *same == group) {
                self.resized(&socket, &group, size);
            }
        }
    }

    /// Whoever came into a parked slot, for what waited there, serves that and leaves again.
    pub(crate) fn clear_parked(&mut self, group: &UnitName) {
        let Some(state) = self.nodes.get(group).and_then(|node| node.group()) else { return };
        let stays = |slot: &&UnitName| self.active_state(slot).is_up() && self.job_of(slot).is_none();
        let parked = state.slots.iter().skip(state.size as usize);
        for instance in parked.filter(stays).cloned().collect::<Vec<_>>() {
            self.queue_job(&instance, JobKind::Stop, false);
        }
    }

    /// The slot of this instance is behind the size of its group.
    pub(crate) fn is_parked(&self, instance: &UnitName) -> bool {
        self.seat_in_group(instance).is_some_and(|(group, slot)| slot >= group.size)
    }

    // --- out of rotation, and back ---

    fn drain(&mut self, instance: &UnitName, drained: bool) -> Result<Vec<JobId>, RequestError> {
        let seat = self.nodes.get(instance).and_then(|node| node.service()?.seat.clone());
        let seat = seat.ok_or_else(|| RequestError::NotInstance(instance.clone()))?;
        let (group, slot) = (seat.group, seat.slot);
        if drained && self.is_in_rotation(instance) && self.rotation(&group).len() == 1 {
            return Err(RequestError::LastInRotation(instance.clone()));
        }
        let set = &mut self.wish_mut(&group).drained;
        let changed = if drained { set.insert(slot) } else { set.remove(&slot) };
        if changed {
            let what = if drained { "gets no new connections (drain)" } else { "gets new connections again" };
            self.log_info(instance, what.to_owned());
            self.stir(instance);
            self.stir(&group);
            self.refresh_rotation(&group);
        }
        Ok(Vec::new())
    }

    pub(crate) fn is_drained(&self, instance: &UnitName) -> bool {
        self.seat_in_group(instance).is_some_and(|(group, slot)| group.wish.drained.contains(&slot))
    }

    // --- held back ---

    /// A held socket starts nothing: what comes waits in its queues.
    fn hold(&mut self, name: &UnitName, held: bool) -> Result<Vec<JobId>, RequestError> {
        let socket = self.nodes.get(name).and_then(|node| node.socket());
        let socket = socket.ok_or_else(|| RequestError::NotSocket(name.clone()))?;
        if !socket.is_open() {
            return Err(RequestError::NotListening(name.clone()));
        }
        if socket.is_held == held {
            return Ok(Vec::new());
        }
        self.set_held(name, held);
        let what = if held {
            "holds its traffic back: nothing is started"
        } else {
            "lets its traffic through again"
        };
        self.log_info(name, what.to_owned());
        // Restarts that were due meanwhile.
        if let Some(started) = self.links(name).triggers.clone().filter(|_| !held) {
            let members = self.nodes.get(&started).and_then(|node| Some(node.group()?.present(&self.nodes)));
            for unit in members.unwrap_or_else(|| vec![started]) {
                self.stir(&unit);
            }
        }
        Ok(Vec::new())
    }

    pub(crate) fn is_held(&self, socket: &UnitName) -> bool {
        self.nodes.get(socket).and_then(|node| node.socket()).is_some_and(|socket| socket.is_held)
    }

    /// Whether a socket that starts this unit is held, so that it does not come up by itself.
    pub(crate) fn is_held_back(&self, unit: &UnitName) -> bool {
        let started = self.nodes.get(unit).and_then(|node| node.service()?.group()).unwrap_or(unit);
        self.links(started).triggered_by.iter().any(|socket| self.is_held(socket))
    }

    // --- looking things up ---

    /// The socket and the group that a command means: the group itself, its socket, or one of its instances.
    pub(crate) fn group_named(&self, unit: &UnitName) -> Result<(UnitName, UnitName), RequestError> {
        let error = || RequestError::NotGroup(unit.clone());
        let node = self.nodes.get(unit).ok_or_else(error)?;
        let socket = if node.socket().is_some() { Some(unit) } else { self.links(unit).triggered_by.first() };
        let socket = socket.ok_or_else(error)?;
        let (group, _) = self.group_of_socket(socket).ok_or_else(error)?;
        Ok((socket.clone(), group.clone()))
    }

    pub(crate) fn group_state(&self, group: &UnitName) -> &Group {
        self.nodes[group].group().expect("it was found as a group")
    }

    pub(crate) fn wish_mut(&mut self, group: &UnitName) -> &mut Wish {
        &mut self.group_mut(group).wish
    }

    fn group_mut(&mut self, group: &UnitName) -> &mut Group {
        match self.nodes.get_mut(group).map(|node| &mut node.machine) {
            Some(Machine::Group(group)) => group,
            _ => unreachable!("it was found as a group"),
        }
    }

    fn seat_in_group(&self, instance: &UnitName) -> Option<(&Group, u32)> {
        let seat = self.nodes.get(instance)?.service()?.seat.as_ref()?;
        Some((self.nodes.get(&seat.group)?.group()?, seat.slot))
    }

    /// The instances that get new connections.
    fn rotation(&self, group: &UnitName) -> Vec<&UnitName> {
        self.group_state(group).in_service().iter().filter(|instance| self.is_in_rotation(instance)).collect()
    }

    /// Takes up what was asked of an earlier manager.
    pub(crate) fn restore_wish(&mut self, group: &UnitName, wish: Wish) {
        *self.wish_mut(group) = wish;
        for socket in self.links(group).triggered_by.clone() {
            self.link(&socket);
        }
        self.refresh_editions(group);
    }

    /// The group's last socket was closed: what was asked for at run time ends with it.
    pub(crate) fn forget_wish(&mut self, socket: &UnitName) {
        let Some((group, _)) = self.group_of_socket(socket) else { return };
        let group = group.clone();
        let sockets = self.links(&group).triggered_by.clone();
        let is_open = |socket: &UnitName| {
            self.nodes.get(socket).and_then(|node| node.socket()).is_some_and(|socket| socket.is_open())
        };
        if !sockets.iter().any(is_open) {
            *self.wish_mut(&group) = Wish::default();
            self.set_deadline(&group, None);
            self.refresh_editions(&group);
            self.link(socket);
            self.stir(&group);
        }
    }
}
