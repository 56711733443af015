//! Rollouts: new unit files of a group go to a few slots first, and to the others as long as those are well.
//!
//! A rollout has two editions of the files; which of them an instance is loaded from is decided in [`Engine::load`]. Slots change over by
//! restart jobs, beside the old generation where the type tells readiness. A slot has proved good when it was started exactly once, is
//! ready, and stays so for `RolloutGateSec=`.
//!
//! Invariant: while a rollout is under way no slot is on the next edition but those in `moved`. When it is over, the edition that it left in
//! use stays until files are read again (`daemon-reload`, or the next rollout), so that the death of a manager brings no bad build back.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sockmgr_unit::value::Span;
use sockmgr_unit::{Edition, Library, LoadState, Unit, UnitName};

use crate::command::RequestError;
use crate::engine::Engine;
use crate::event::Action;
use crate::ids::{JobId, Time};
use crate::job::JobKind;
use crate::node::ActiveState;
use crate::service::Activity;

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Slots change over, or have to prove themselves.
    Rolling,
    /// No more slots change over until it is resumed.
    Paused,
    /// It proved bad and waits for somebody to decide (`RolloutUndo=no`).
    Stopped,
    /// Slots return to the former files.
    Undoing,
    /// All slots have the new files.
    Done,
    /// All slots have the former files.
    Undone,
}

impl Phase {
    /// The word on D-Bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Undoing => "undoing",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }

    /// Nothing can be done to it any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Undone)
    }
}

/// The `Rollout…=` directives of the new files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rules {
    canary: u32,
    batch: u32,
    gate: Span,
    undo: bool,
}

/// A rollout of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rollout {
    previous: Edition,
    next: Edition,
    rules: Rules,
    pub(crate) phase: Phase,
    /// Slots on the next edition, with the generation that they had before.
    moved: BTreeMap<u32, u32>,
    /// Slots that are on their way back.
    returning: Vec<u32>,
    /// Why it stopped or was undone.
    pub(crate) why: Option<String>,
}

impl Rollout {
    fn edition(&self, slot: u32) -> &Edition {
        if self.is_next(slot) { &self.next } else { &self.previous }
    }

    /// Whether the slot is on the new files.
    pub(crate) fn is_next(&self, slot: u32) -> bool {
        self.phase == Phase::Done || self.moved.contains_key(&slot)
    }
}

/// What can be said of a slot that has the next edition.
enum Verdict {
    Pending,
    Good,
    Bad(String),
}

impl Engine {
    /// Begins to give the files of `fresh` to the instances of a group. The jobs of the canary are the answer.
    ///
    /// # Errors
    /// It is no group, has a rollout already, or its files cannot be used. Nothing is done then.
    pub fn roll_out(
        &mut self,
        now: Time,
        unit: &UnitName,
        fresh: &mut Library,
        actions: &mut Vec<Action>,
    ) -> Result<Vec<JobId>, RequestError> {
        self.now = now;
        let result = self.start_rollout(unit, fresh);
        self.settle(actions);
        result
    }

    fn start_rollout(&mut self, unit: &UnitName, fresh: &mut Library) -> Result<Vec<JobId>, RequestError> {
        let (_, group) = self.group_named(unit)?;
        let last = self.rollout(&group);
        if last.is_some_and(|rollout| !rollout.phase.is_over()) {
            return Err(RequestError::RolloutUnderWay(group));
        }
        let slots = &self.group_state(&group).slots;
        let in_use = last.map(|rollout| rollout.edition(0).clone()).or_else(|| self.library.edition(slots));
        let no_edition = || RequestError::NoEdition(group.clone());
        let (previous, next) = (in_use.ok_or_else(no_edition)?, fresh.edition(slots).ok_or_else(no_edition)?);
        let loaded = fresh.unit(&slots[0]);
        let rules = rules(&loaded)?;
        let (moved, returning) = (BTreeMap::new(), Vec::new());
        let rollout = Rollout { previous, next, rules, phase: Phase::Rolling, moved, returning, why: None };
        self.wish_mut(&group).rollout = Some(Box::new(rollout));
        self.log_info(&group, "rollout: begins".to_owned());
        if self.activity(&group) == Activity::Idle {
            self.end_rollout(&group, Phase::Done);
            return Ok(Vec::new());
        }
        let jobs = self.move_slots(&group, rules.canary.max(1));
        // Whoever was to restart need not leave for that any more.
        self.refresh_rotation(&group);
        Ok(jobs)
    }

    pub(crate) fn pause_rollout(&mut self, unit: &UnitName) -> Result<Vec<JobId>, RequestError> {
        let group = self.group_with_rollout(unit, &[Phase::Rolling, Phase::Paused])?;
        self.set_phase(&group, Phase::Paused);
        Ok(Vec::new())
    }

    pub(crate) fn resume_rollout(&mut self, unit: &UnitName) -> Result<Vec<JobId>, RequestError> {
        let group = self.group_with_rollout(unit, &[Phase::Paused, Phase::Rolling])?;
        self.set_phase(&group, Phase::Rolling);
        Ok(Vec::new())
    }

    pub(crate) fn undo_rollout(&mut self, unit: &UnitName) -> Result<Vec<JobId>, RequestError> {
        let group =
            self.group_with_rollout(unit, &[Phase::Rolling, Phase::Paused, Phase::Stopped, Phase::Undoing])?;
        if self.rollout(&group).is_some_and(|rollout| rollout.phase != Phase::Undoing) {
            self.rollout_mut(&group).why.get_or_insert_with(|| "undone on request".to_owned());
            self.set_phase(&group, Phase::Undoing);
        }
        Ok(Vec::new())
    }

    /// The unit of this name, from the files that are in use for it.
    pub(crate) fn load(&mut self, name: &UnitName) -> Arc<Unit> {
        match self.edition_of(name) {
            Some(edition) => self.library.unit_of_edition(edition, name),
            None => self.library.unit(name),
        }
    }

    fn edition_of(&self, name: &UnitName) -> Option<&Edition> {
        name.instance()?;
        let group = self.nodes.get(format!("{}.service", name.prefix()).as_str())?.group()?;
        let slot = group.slots.iter().position(|slot| slot == name)?;
        Some(group.wish.rollout.as_ref()?.edition(slot as u32))
    }

    /// Has the instances of a group take up the files that are in use for them.
    pub(crate) fn refresh_editions(&mut self, group: &UnitName) {
        for instance in self.group_state(group).slots.clone() {
            if self.nodes.contains_key(&instance) {
                self.refresh(&instance);
            }
            // Of two generations after the death of a manager the one that is on its way matters.
            if let Some(other) = self.other_generation(&instance) {
                let unit = self.nodes[&instance].unit.clone();
                self.nodes.get_mut(&other).expect("it is there").unit = unit;
            }
        }
    }

    /// Files are read anew: what the last rollout left in use is not kept any longer.
    pub(crate) fn forget_ended_rollouts(&mut self) {
        for node in self.nodes.values_mut() {
            if let crate::node::Machine::Group(group) = &mut node.machine {
                group.wish.rollout = group.wish.rollout.take().filter(|rollout| !rollout.phase.is_over());
            }
        }
    }

    pub(crate) fn is_rolling_out(&self, instance: &UnitName) -> bool {
        self.service(instance).group().is_some_and(|group| self.is_group_rolling_out(group))
    }

    pub(crate) fn is_group_rolling_out(&self, group: &UnitName) -> bool {
        self.rollout(group).is_some_and(|rollout| !rollout.phase.is_over())
    }

    /// An instance of the group changed.
    pub(crate) fn advance_rollout(&mut self, group: &UnitName) {
        match self.rollout(group).map(|rollout| rollout.phase) {
            Some(Phase::Rolling | Phase::Paused) => self.judge_rollout(group),
            Some(Phase::Undoing) => self.return_slots(group),
            Some(Phase::Stopped | Phase::Done | Phase::Undone) | None => {}
        }
    }

    /// The slots that moved were well for long enough.
    pub(crate) fn rollout_gate_passed(&mut self, group: &UnitName) {
        let Some(rollout) = self.rollout(group).filter(|rollout| rollout.phase == Phase::Rolling) else {
            return;
        };
        let batch = rollout.rules.batch.max(1);
        if self.move_slots(group, batch).is_empty() {
            self.end_rollout(group, Phase::Done);
        }
    }

    /// Decides from the slots that moved whether it goes on.
    fn judge_rollout(&mut self, group: &UnitName) {
        let Some(rollout) = self.rollout(group) else { return };
        let (rules, phase) = (rollout.rules, rollout.phase);
        let mut is_good = true;
        for (slot, before) in rollout.moved.clone() {
            match self.verdict(&self.group_state(group).slots[slot as usize].clone(), before) {
                Verdict::Good => {}
                Verdict::Pending => is_good = false,
                Verdict::Bad(why) => return self.rollout_failed(group, why, rules.undo),
            }
        }
        let is_gated = self.nodes[group].deadline.is_some();
        if !is_good || phase == Phase::Paused {
            self.set_deadline(group, None);
        } else if !is_gated {
            self.set_deadline(group, self.now.after(rules.gate));
        }
    }

    fn verdict(&self, instance: &UnitName, before: u32) -> Verdict {
        // Its slot is parked by now.
        let Some(service) = self.nodes.get(instance).and_then(|node| node.service()) else {
            return Verdict::Good;
        };
        let has_job = self.job_of(instance).is_some();
        let state = self.active_state(instance);
        let again = service.generation > before.wrapping_add(1);
        let is_down = state == ActiveState::Failed || service.activity() == Activity::Waiting;
        if again {
            Verdict::Bad(format!("{instance} ended, and was started again"))
        } else if service.generation == before {
            if has_job { Verdict::Pending } else { Verdict::Bad(format!("{instance} did not get ready")) }
        } else if is_down {
            Verdict::Bad(format!("{instance} failed: {}", service.result.as_str()))
        } else if has_job || state == ActiveState::Activating {
            Verdict::Pending
        } else if service.is_ready() {
            Verdict::Good
        } else {
            Verdict::Bad(format!("{instance} ended"))
        }
    }

    fn rollout_failed(&mut self, group: &UnitName, why: String, undo: bool) {
        let what = if undo { "it is undone" } else { "it stops here" };
        self.log_error(group, format!("rollout: {why}; {what}"));
        self.rollout_mut(group).why = Some(why);
        self.set_phase(group, if undo { Phase::Undoing } else { Phase::Stopped });
    }

    /// The next slots change over; none when all have.
    fn move_slots(&mut self, group: &UnitName, count: u32) -> Vec<JobId> {
        let slots = self.group_state(group).in_service().to_vec();
        let is_left = |slot: &u32| self.rollout(group).is_some_and(|rollout| !rollout.is_next(*slot));
        let next: Vec<u32> = (0..slots.len() as u32).filter(is_left).take(count as usize).collect();
        let mut jobs = Vec::new();
        for slot in next {
            let instance = &slots[slot as usize];
            let before = self.service(instance).generation;
            self.rollout_mut(group).moved.insert(slot, before);
            self.refresh(instance);
            jobs.push(self.queue_job(instance, JobKind::Restart, false));
            self.log_info(instance, "rollout: gets the new unit files".to_owned());
        }
        self.stir(group);
        jobs
    }

    /// Brings slots back to the former files: whoever is down at once, the others a batch at a time.
    fn return_slots(&mut self, group: &UnitName) {
        let slots = self.group_state(group).slots.clone();
        let Some(rollout) = self.rollout(group) else { return };
        let (moved, batch) = (rollout.moved.clone(), rollout.rules.batch.max(1) as usize);
        if rollout.returning.iter().any(|slot| self.job_of(&slots[*slot as usize]).is_some()) {
            return;
        }
        let is_up = |slot: &u32| self.active_state(&slots[*slot as usize]).is_up();
        let (up, down): (Vec<u32>, Vec<u32>) = moved.keys().copied().partition(is_up);
        let next: Vec<u32> = if down.is_empty() { up.into_iter().take(batch).collect() } else { down };
        if next.is_empty() {
            return self.end_rollout(group, Phase::Undone);
        }
        self.rollout_mut(group).returning.clone_from(&next);
        for slot in next {
            self.return_slot(group, slot, &slots[slot as usize]);
        }
        self.stir(group);
    }

    fn return_slot(&mut self, group: &UnitName, slot: u32, instance: &UnitName) {
        let before = self.rollout_mut(group).moved.remove(&slot);
        if !self.nodes.contains_key(instance) {
            return;
        }
        self.refresh(instance);
        let state = self.active_state(instance);
        // The generation before the rollout still serves, or somebody has stopped it.
        let stays = state.is_up() && before == Some(self.service(instance).generation);
        let is_stopped =
            state == ActiveState::Inactive || self.is_stopping_by_job(instance) && !state.is_up();
        if !stays && !is_stopped {
            self.log_info(instance, "rollout: returns to the former unit files".to_owned());
            self.queue_job(instance, JobKind::Restart, false);
        }
    }

    fn end_rollout(&mut self, group: &UnitName, phase: Phase) {
        self.set_phase(group, phase);
        let rollout = self.rollout_mut(group);
        // Only one edition is left in use; the other one need not be kept.
        match phase {
            Phase::Done => rollout.previous = rollout.next.clone(),
            Phase::Undone => rollout.next = rollout.previous.clone(),
            Phase::Rolling | Phase::Paused | Phase::Stopped | Phase::Undoing => {}
        }
        self.refresh_editions(group);
    }

    fn set_phase(&mut self, group: &UnitName, phase: Phase) {
        self.rollout_mut(group).phase = phase;
        self.set_deadline(group, None);
        self.log_info(group, format!("rollout: {}", phase.as_str()));
        // Its instances decide what comes next.
        for instance in self.group_state(group).present(&self.nodes) {
            self.stir(&instance);
        }
        self.stir(group);
    }

    fn group_with_rollout(&self, unit: &UnitName, phases: &[Phase]) -> Result<UnitName, RequestError> {
        let (_, group) = self.group_named(unit)?;
        match self.rollout(&group) {
            Some(rollout) if phases.contains(&rollout.phase) => Ok(group),
            Some(_) | None => Err(RequestError::NoRollout(group)),
        }
    }

    pub(crate) fn rollout(&self, group: &UnitName) -> Option<&Rollout> {
        self.nodes.get(group)?.group()?.wish.rollout.as_deref()
    }

    fn rollout_mut(&mut self, group: &UnitName) -> &mut Rollout {
        self.wish_mut(group).rollout.as_mut().expect("it has a rollout")
    }
}

/// What the new files say of their rollout, where they can be used.
fn rules(unit: &Unit) -> Result<Rules, RequestError> {
    match (unit.load_state, unit.service()) {
        (LoadState::Loaded, Some(unit)) => Ok(Rules {
            canary: unit.service.rollout_canary,
            batch: unit.service.rollout_batch,
            gate: unit.service.rollout_gate_sec,
            undo: unit.service.rollout_undo,
        }),
        (state, _) => Err(RequestError::LoadFailed(
            unit.name.clone(),
            state,
            unit.load_error.clone().unwrap_or_default(),
        )),
    }
}
