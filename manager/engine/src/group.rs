//! Groups: all instances of a service under one name. A job on a group is jobs on its instances: all at once to start, stop and
//! reload, one after the other to restart, so that the others serve meanwhile.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;
use sockmgr_unit::value::RestartMode;

use crate::engine::Engine;
use crate::ids::JobId;
use crate::job::{Begun, JobKind, JobResult};
use crate::node::{ActiveState, Machine, Nodes};
use crate::rollout::Rollout;
use crate::service::Activity;

/// What the group's job is doing.
#[derive(Clone, Debug)]
enum Operation {
    /// Jobs on all instances at once.
    Together { pending: BTreeSet<JobId>, failed: bool },
    /// A restart, slot by slot.
    Rolling { next: usize, current: Option<JobId> },
}

/// The state of a group: which instances it has, and what is being done to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// The instance of each slot of the pool. Those behind `size` are parked: they have a listener, and a unit only while somebody is
    /// still or for a moment in them.
    pub(crate) slots: Vec<UnitName>,
    /// How many slots, from the first, are in service.
    pub(crate) size: u32,
    /// What was asked for at run time.
    pub(crate) wish: Wish,
    /// Its state when its times were last looked at.
    seen: Option<ActiveState>,
    /// Jobs do not outlive the manager, so what they were doing does not either.
    operation: Option<Operation>,
}

/// What commands, and not files, have made of a group; kept until its socket stops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// How many instances, in place of `Instances=`.
    pub(crate) size: Option<u32>,
    /// Slots that get no new connections although their instance is ready.
    pub(crate) drained: BTreeSet<u32>,
    /// New files on their way to the slots, or those that the last rollout left in use.
    pub(crate) rollout: Option<Box<Rollout>>,
}

impl Group {
    /// The instances that there should be.
    pub(crate) fn in_service(&self) -> &[UnitName] {
        &self.slots[..self.slots.len().min(self.size as usize)]
    }

    fn states<'a>(&'a self, nodes: &'a Nodes) -> impl Iterator<Item = ActiveState> {
        self.slots.iter().filter_map(|slot| nodes.get(slot)?.service_active_state())
    }

    /// The state that says most: up as long as one instance is up.
    pub(crate) fn active_state(&self, nodes: &Nodes) -> ActiveState {
        let order = [
            ActiveState::Active,
            ActiveState::Reloading,
            ActiveState::Activating,
            ActiveState::Deactivating,
            ActiveState::Failed,
        ];
        order
            .into_iter()
            .find(|state| self.states(nodes).any(|other| other == *state))
            .unwrap_or(ActiveState::Inactive)
    }

    /// How many of the instances that there should be are up.
    pub(crate) fn up(&self, nodes: &Nodes) -> usize {
        let is_up = |slot: &&UnitName| {
            nodes.get(*slot).and_then(|node| node.service_active_state()).is_some_and(ActiveState::is_up)
        };
        self.in_service().iter().filter(is_up).count()
    }

    /// The slots that somebody is in, or that have a unit at least.
    pub(crate) fn present(&self, nodes: &Nodes) -> Vec<UnitName> {
        self.slots.iter().filter(|slot| nodes.contains_key(*slot)).cloned().collect()
    }

    pub(crate) fn activity(&self, nodes: &Nodes) -> Activity {
        let of = |slot: &UnitName| {
            nodes.get(slot).and_then(|node| node.service()).map(|service| service.activity())
        };
        let any = |activity| self.slots.iter().any(|slot| of(slot) == Some(activity));
        if any(Activity::Busy) {
            Activity::Busy
        } else if any(Activity::Waiting) {
            Activity::Waiting
        } else {
            Activity::Idle
        }
    }
}

impl Machine {
    /// The group's job is over, and what it was doing with it.
    pub(crate) fn forget_operation(&mut self) {
        if let Self::Group(group) = self {
            group.operation = None;
        }
    }
}

impl Engine {
    pub(crate) fn group_begin(&mut self, name: &UnitName, kind: JobKind) -> Begun {
        if kind == JobKind::Restart && !self.restarts_together(name) {
            self.set_operation(name, Some(Operation::Rolling { next: 0, current: None }));
            return self.roll(name);
        }
        let mut pending = BTreeSet::new();
        for slot in self.concerned(name, kind) {
            if self.concerns(&slot, kind) {
                pending.insert(self.queue_job(&slot, kind, false));
            }
        }
        if pending.is_empty() {
            return Begun::Done;
        }
        self.set_operation(name, Some(Operation::Together { pending, failed: false }));
        Begun::Pending
    }

    fn restarts_together(&self, name: &UnitName) -> bool {
        let first = self.nodes.get(name).and_then(|node| node.group()?.slots.first());
        first.is_some_and(|slot| {
            self.nodes.contains_key(slot) && self.restart_mode(slot) == RestartMode::StopFirst
        })
    }

    fn concerns(&self, slot: &UnitName, kind: JobKind) -> bool {
        let state = self.active_state(slot);
        match kind {
            JobKind::Start => !state.is_up(),
            JobKind::Stop => !state.is_down(),
            JobKind::Restart => true,
            JobKind::Reload => state.is_up(),
            JobKind::VerifyActive => false,
        }
    }

    /// Restarts the next slot; done after the last one.
    fn roll(&mut self, name: &UnitName) -> Begun {
        let Some(Operation::Rolling { next, .. }) = self.operation(name) else { return Begun::Refused };
        let next = *next;
        let slot = self.nodes.get(name).and_then(|node| node.group()?.in_service().get(next).cloned());
        let Some(slot) = slot else { return Begun::Done };
        let current = Some(self.queue_job(&slot, JobKind::Restart, false));
        self.set_operation(name, Some(Operation::Rolling { next: next + 1, current }));
        Begun::Pending
    }

    /// A job of `instance` ended: moves the group's job on.
    pub(crate) fn group_job_ended(&mut self, instance: &UnitName, id: JobId, result: JobResult) {
        let Some(group) = self.nodes.get(instance).and_then(|node| node.service()?.group().cloned()) else {
            return;
        };
        let ok = result == JobResult::Done;
        let ended = match self.operation_mut(&group) {
            Some(Operation::Together { pending, failed }) if pending.contains(&id) => {
                pending.remove(&id);
                *failed |= !ok;
                pending.is_empty().then_some(if *failed { JobResult::Failed } else { JobResult::Done })
            }
            // The slots behind it keep what they run: a bad build takes one slot, not the service.
            Some(Operation::Rolling { current, .. }) if *current == Some(id) && !ok => Some(result),
            Some(Operation::Rolling { current, .. }) if *current == Some(id) => {
                (self.roll(&group) == Begun::Done).then_some(JobResult::Done)
            }
            Some(Operation::Together { .. } | Operation::Rolling { .. }) | None => None,
        };
        if let (Some(result), Some(job)) = (ended, self.nodes.get(&group).and_then(|node| node.job)) {
            self.finish_job(job, result);
        }
    }

    /// An instance changed: who is in rotation may have changed with it, and the state of the group.
    pub(crate) fn group_react(&mut self, group: &UnitName) {
        self.refresh_rotation(group);
        self.clear_parked(group);
        self.advance_rollout(group);
        let (new, now) = (self.active_state(group), self.now);
        let Some(node) = self.nodes.get_mut(group) else { return };
        let Machine::Group(machine) = &mut node.machine else { return };
        let old = machine.seen.replace(new).unwrap_or(ActiveState::Inactive);
        if old != new {
            node.stamps.record(now, old, new);
        }
    }

    /// After a restart of the manager the groups are in the states that their times were saved with.
    pub(crate) fn recall_group_states(&mut self) {
        let names: Vec<UnitName> = self.nodes.keys().cloned().collect();
        for name in names {
            let state = self.active_state(&name);
            if let Some(Machine::Group(group)) = self.nodes.get_mut(&name).map(|node| &mut node.machine) {
                group.seen = Some(state);
            }
        }
    }

    /// The instances that a job on the group is about: those that there should be, or to stop whoever is there.
    fn concerned(&self, name: &UnitName, kind: JobKind) -> Vec<UnitName> {
        let Some(group) = self.nodes.get(name).and_then(|node| node.group()) else { return Vec::new() };
        match kind {
            JobKind::Start | JobKind::Restart => group.in_service().to_vec(),
            JobKind::Stop | JobKind::Reload | JobKind::VerifyActive => group.present(&self.nodes),
        }
    }

    fn operation(&self, name: &UnitName) -> Option<&Operation> {
        self.nodes.get(name)?.group()?.operation.as_ref()
    }

    fn operation_mut(&mut self, name: &UnitName) -> Option<&mut Operation> {
        match self.nodes.get_mut(name).map(|node| &mut node.machine) {
            Some(Machine::Group(group)) => group.operation.as_mut(),
            _ => None,
        }
    }

    fn set_operation(&mut self, name: &UnitName, operation: Option<Operation>) {
        if let Some(Machine::Group(group)) = self.nodes.get_mut(name).map(|node| &mut node.machine) {
            group.operation = operation;
        }
    }
}
