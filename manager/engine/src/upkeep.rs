//! What follows for others when a unit goes up or down: by itself, without a job, or so that somebody is not needed any more.
//!
//! Invariant: what is started or stopped here gets a job like any other, so that it is ordered, seen and counted.

use sockmgr_unit::{Relation, UnitName};

use crate::command::JobMode;
use crate::engine::Engine;
use crate::job::JobKind;
use crate::node::ActiveState;
use crate::service::Service;

/// Starts and stops of one unit that relations may cause in [`WINDOW`] (`auto_start_stop_ratelimit` of systemd): two units that stop each
/// other must not do so for ever.
const BURST: u32 = 16;
const WINDOW: sockmgr_unit::Span = sockmgr_unit::Span::from_secs(10);

impl Engine {
    /// Looks after the units that are tied to `name`, which changed.
    pub(crate) fn keep_up(&mut self, name: &UnitName) {
        if let Some(before) = self.drifted.remove(name) {
            self.follow_drift(name, before);
        }
        let state = self.active_state(name);
        let is_at_rest = self.job_of(name).is_none();
        if is_at_rest {
            self.stop_if_unneeded(name);
            self.start_if_upheld(name);
            self.stop_if_bound(name);
        }
        if state.is_down() && is_at_rest {
            // Whoever it needed, held up or was bound to may look again.
            for relation in [
                Relation::Requires,
                Relation::Requisite,
                Relation::Wants,
                Relation::BindsTo,
                Relation::Upholds,
            ] {
                for other in self.related(name, relation) {
                    self.stop_if_unneeded(&other);
                }
            }
            for other in self.related(name, Relation::BoundBy) {
                self.stop_if_bound(&other);
            }
        }
        if state.is_up() {
            for other in self.related(name, Relation::Upholds) {
                self.start_if_upheld(&other);
            }
        }
    }

    /// The unit went up or down without a job that had asked for it.
    fn follow_drift(&mut self, name: &UnitName, before: ActiveState) {
        let runs = |state: ActiveState| state.is_up() || state == ActiveState::Activating;
        // One that comes up again by itself has been down all the same.
        let went_down =
            self.nodes.get(name).and_then(|node| node.service()).is_some_and(Service::is_restarting);
        match (runs(before), runs(self.active_state(name)) && !went_down) {
            (false, true) => {
                for relation in [Relation::Requires, Relation::BindsTo, Relation::Upholds] {
                    self.start_beside(name, relation, JobMode::Replace);
                }
                self.start_beside(name, Relation::Wants, JobMode::Fail);
                for relation in [Relation::Conflicts, Relation::ConflictedBy] {
                    self.stop_beside(name, relation);
                }
            }
            (true, false) => {
                for relation in [Relation::BoundBy, Relation::PropagatesStopTo] {
                    self.stop_beside(name, relation);
                }
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Not what it is ordered after: it is too late for that.
    fn start_beside(&mut self, name: &UnitName, relation: Relation, mode: JobMode) {
        let after = self.related(name, Relation::After);
        for other in self.related(name, relation) {
            let state = self.active_state(&other);
            let is_due = self.nodes.contains_key(&other) && state.is_down() && !after.contains(&other);
            if is_due {
                self.ask(name, &other, JobKind::Start, mode);
            }
        }
    }

    fn stop_beside(&mut self, name: &UnitName, relation: Relation) {
        for other in self.related(name, relation) {
            let state = self.active_state(&other);
            if !state.is_down() && state != ActiveState::Deactivating {
                self.ask(name, &other, JobKind::Stop, JobMode::Replace);
            }
        }
    }

    /// `StopWhenUnneeded=`: nobody who needs it is up, or about to be.
    fn stop_if_unneeded(&mut self, name: &UnitName) {
        let is_asked = self.nodes.get(name).is_some_and(|node| node.unit.relations.stop_when_unneeded);
        if !is_asked || !self.active_state(name).is_up() || self.job_of(name).is_some() {
            return;
        }
        const PINS: [Relation; 5] = [
            Relation::RequiredBy,
            Relation::RequisiteOf,
            Relation::WantedBy,
            Relation::BoundBy,
            Relation::UpheldBy,
        ];
        let mut others = PINS.into_iter().flat_map(|relation| self.related(name, relation));
        if others.all(|other| self.is_idle(&other)) && self.may_act(name) {
            self.log_info(name, "is not needed any more, stopping".to_owned());
            self.ask(name, &name.clone(), JobKind::Stop, JobMode::Fail);
        }
    }

    /// `Upholds=` of a unit that is up.
    fn start_if_upheld(&mut self, name: &UnitName) {
        if !self.nodes.contains_key(name) || !self.is_idle(name) {
            return;
        }
        let is_up = |other: &UnitName| self.active_state(other).is_up() && self.job_of(other).is_none();
        let by = self.related(name, Relation::UpheldBy).into_iter().find(is_up);
        let Some(by) = by.filter(|_| self.may_act(name)) else { return };
        self.log_info(name, format!("{by} holds it up, starting"));
        self.ask(&by, name, JobKind::Start, JobMode::Fail);
    }

    /// `BindsTo=` a unit that is down.
    fn stop_if_bound(&mut self, name: &UnitName) {
        if !self.active_state(name).is_up() || self.job_of(name).is_some() {
            return;
        }
        let is_gone = |other: &UnitName| self.nodes.contains_key(other) && self.is_idle(other);
        let to = self.related(name, Relation::BindsTo).into_iter().find(is_gone);
        let Some(to) = to.filter(|_| self.may_act(name)) else { return };
        self.log_info(name, format!("{to}, which it is bound to, is down, stopping"));
        self.ask(&to, name, JobKind::Stop, JobMode::Replace);
    }

    /// Counts what relations do to a unit.
    fn may_act(&mut self, name: &UnitName) -> bool {
        let rate = crate::limit::Rate { interval: WINDOW, burst: BURST };
        let now = self.now;
        if self.kept_up.entry(name.clone()).or_default().admit(now, rate) {
            return true;
        }
        self.log_warning(
            name,
            "is started or stopped for the sake of others too often, left as it is".to_owned(),
        );
        false
    }

    fn ask(&mut self, by: &UnitName, name: &UnitName, kind: JobKind, mode: JobMode) {
        if let Err(error) = self.queue_with_needs(name, kind, mode) {
            self.log_warning(by, format!("cannot {} {name}: {error}", kind.as_str()));
        }
    }
}
