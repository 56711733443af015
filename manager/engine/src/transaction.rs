//! Transactions: from one request to all the jobs that it takes, or to the reason why it cannot be.
//!
//! The rules are systemd's (`src/core/transaction.c` names them in this order): pull in, find what matters, drop what need not be, merge
//! or drop what contradicts, break circles, refuse what is destructive. Nothing is queued until all of it is known to be possible.
//! Invariant: a transaction holds an edge to each job but the anchor; jobs that nobody needs any more are dropped.

use std::collections::BTreeMap;

use sockmgr_unit::{Relation, UnitName, UnitType};

use crate::command::{JobMode, RequestError};
use crate::engine::Engine;
use crate::ids::JobId;
use crate::job::{JobKind, JobResult};
use crate::node::ActiveState;

/// A job that may be queued.
#[derive(Debug)]
struct Planned {
    unit: UnitName,
    kind: JobKind,
    /// Those for whose sake it is there.
    needs: Vec<Need>,
    /// Without it, what was asked for cannot be.
    matters: bool,
    is_dropped: bool,
}

/// Why a job is in the transaction.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// The job that needs it.
    by: usize,
    /// Without it, that one cannot be.
    matters: bool,
    /// It stops what that one conflicts with.
    conflicts: bool,
}

/// All jobs that one request takes.
#[derive(Debug)]
pub(crate) struct Transaction {
    mode: JobMode,
    jobs: Vec<Planned>,
    /// More than one for a unit only until they are merged.
    by_unit: BTreeMap<UnitName, Vec<usize>>,
    /// Each after those that it needs.
    order: Vec<usize>,
}

/// The job that was asked for is planned first.
const ANCHOR: usize = 0;

impl Transaction {
    fn new(mode: JobMode) -> Self {
        Self { mode, jobs: Vec::new(), by_unit: BTreeMap::new(), order: Vec::new() }
    }

    fn of_unit(&self, unit: &UnitName) -> impl Iterator<Item = usize> {
        let all = self.by_unit.get(unit).into_iter().flatten().copied();
        all.filter(|job| !self.jobs[*job].is_dropped)
    }

    fn find(&self, unit: &UnitName, kind: JobKind) -> Option<usize> {
        self.of_unit(unit).find(|job| self.jobs[*job].kind == kind)
    }

    fn add(&mut self, unit: UnitName, kind: JobKind, need: Option<Need>) -> usize {
        let job = self.jobs.len();
        self.by_unit.entry(unit.clone()).or_default().push(job);
        let needs = need.into_iter().collect();
        self.jobs.push(Planned { unit, kind, needs, matters: false, is_dropped: false });
        job
    }

    /// Forgets what was added since there were `count` jobs.
    fn take_back(&mut self, count: usize) {
        for job in self.jobs.drain(count..) {
            if let Some(jobs) = self.by_unit.get_mut(&job.unit) {
                jobs.retain(|job| *job < count);
            }
        }
        self.order.retain(|job| *job < count);
        for job in &mut self.jobs {
            job.needs.retain(|need| need.by < count);
        }
    }

    fn living(&self) -> impl Iterator<Item = usize> {
        (0..self.jobs.len()).filter(|job| !self.jobs[*job].is_dropped)
    }

    /// Drops a job, and those that cannot be without it.
    fn drop_with_needy(&mut self, job: usize) {
        if std::mem::replace(&mut self.jobs[job].is_dropped, true) {
            return;
        }
        let needy: Vec<usize> =
            self.jobs[job].needs.iter().filter(|need| need.matters).map(|need| need.by).collect();
        for by in needy {
            self.drop_with_needy(by);
        }
    }

    /// Drops jobs for whose sake nobody is there any more.
    fn collect_garbage(&mut self) {
        if self.mode == JobMode::Isolate {
            return;
        }
        loop {
            let is_needed =
                |job: usize| self.jobs[job].needs.iter().any(|need| !self.jobs[need.by].is_dropped);
            let garbage: Vec<usize> =
                self.living().filter(|job| *job != ANCHOR && !is_needed(*job)).collect();
            if garbage.is_empty() {
                return;
            }
            for job in garbage {
                self.jobs[job].is_dropped = true;
            }
        }
    }

    /// Marks the jobs without which the anchor cannot be.
    fn find_what_matters(&mut self) {
        self.jobs[ANCHOR].matters = true;
        // A job is needed by jobs that were planned before it, except where units need each other: until nothing changes.
        let mut is_done = false;
        while !is_done {
            is_done = true;
            for job in 0..self.jobs.len() {
                let by = |need: &Need| need.matters && self.jobs[need.by].matters;
                if !self.jobs[job].matters && self.jobs[job].needs.iter().any(by) {
                    self.jobs[job].matters = true;
                    is_done = false;
                }
            }
        }
    }

    fn is_stop_of_conflict(&self, job: usize) -> bool {
        self.jobs[job].needs.iter().any(|need| need.conflicts)
    }

    /// Of two jobs that contradict, the one that goes; `None` where neither may.
    fn lesser(&self, one: usize, other: usize) -> Option<usize> {
        let (a, b) = (&self.jobs[one], &self.jobs[other]);
        match (a.matters, b.matters) {
            (true, true) => None,
            (true, false) => Some(other),
            (false, true) => Some(one),
            // Rather a stop than a start, but for one that makes room for another unit.
            (false, false) if a.kind == JobKind::Stop && self.is_stop_of_conflict(one) => Some(other),
            (false, false) if a.kind == JobKind::Stop => Some(one),
            (false, false) if b.kind == JobKind::Stop && !self.is_stop_of_conflict(other) => Some(other),
            (false, false) => Some(one),
        }
    }
}

impl Engine {
    /// Queues a job for `unit`, with all that it takes.
    pub(crate) fn queue_with_needs(
        &mut self,
        unit: &UnitName,
        kind: JobKind,
        mode: JobMode,
    ) -> Result<JobId, RequestError> {
        let mut plan = Transaction::new(mode);
        self.plan(&mut plan, unit, kind, None)?;
        match mode {
            JobMode::Isolate => self.plan_isolation(&mut plan),
            JobMode::Triggering => self.plan_triggering(&mut plan),
            _ => {}
        }
        plan.find_what_matters();
        if mode == JobMode::Fail {
            self.spare_what_runs(&mut plan);
        }
        self.drop_redundant(&mut plan);
        plan.collect_garbage();
        self.resolve_contradictions(&mut plan)?;
        self.break_circles(&mut plan)?;
        self.drop_redundant(&mut plan);
        plan.collect_garbage();
        self.check_destruction(&plan)?;
        Ok(self.carry_out(&plan))
    }

    // --- pulling in ---

    fn plan(
        &mut self,
        plan: &mut Transaction,
        name: &UnitName,
        kind: JobKind,
        need: Option<Need>,
    ) -> Result<usize, RequestError> {
        let unit = self.ensure(name);
        self.check_job(&unit, kind)?;
        if let Some(known) = plan.find(&unit, kind) {
            plan.jobs[known].needs.extend(need);
            return Ok(known);
        }
        let job = plan.add(unit.clone(), kind, need);
        // What a unit needs that is up already is its own affair, unless all else is to go.
        let is_settled = need.is_some() && plan.mode != JobMode::Isolate && self.is_redundant(&unit, kind);
        let is_alone = matches!(plan.mode, JobMode::IgnoreDependencies | JobMode::IgnoreRequirements);
        if !is_settled && !is_alone {
            match kind {
                JobKind::Start => self.plan_start(plan, job)?,
                JobKind::Restart => {
                    self.plan_start(plan, job)?;
                    self.plan_stop(plan, job)?;
                }
                JobKind::Stop => self.plan_stop(plan, job)?,
                JobKind::Reload => self.plan_reload(plan, job),
                JobKind::VerifyActive => {}
            }
        }
        plan.order.push(job);
        Ok(job)
    }

    /// Whether there can be such a job at all.
    fn check_job(&self, unit: &UnitName, kind: JobKind) -> Result<(), RequestError> {
        match kind {
            JobKind::Stop if self.nodes.contains_key(unit) => Ok(()),
            JobKind::Stop => Err(RequestError::NotLoaded(unit.clone())),
            JobKind::Start | JobKind::Restart | JobKind::VerifyActive => self.loadable(unit),
            JobKind::Reload => {
                self.loadable(unit)?;
                let can = self.can_reload(unit);
                can.then_some(()).ok_or_else(|| RequestError::NotApplicable(unit.clone()))
            }
        }
    }

    fn plan_start(&mut self, plan: &mut Transaction, job: usize) -> Result<(), RequestError> {
        let unit = plan.jobs[job].unit.clone();
        let must = Need { by: job, matters: true, conflicts: false };
        let may = Need { matters: false, ..must };
        for other in self.required(&unit) {
            self.plan_must(plan, &other, JobKind::Start, must)?;
        }
        for relation in [Relation::Wants, Relation::Upholds] {
            for other in self.related(&unit, relation) {
                self.plan_may(plan, &other, JobKind::Start, may);
            }
        }
        for other in self.related(&unit, Relation::Requisite) {
            self.plan_must(plan, &other, JobKind::VerifyActive, must)?;
        }
        for other in self.related(&unit, Relation::Conflicts) {
            self.plan_must(plan, &other, JobKind::Stop, Need { conflicts: true, ..must })?;
        }
        for other in self.related(&unit, Relation::ConflictedBy) {
            self.plan_may(plan, &other, JobKind::Stop, may);
        }
        Ok(())
    }

    /// What a start must start, too. What is only implied must be there only where it is, and slices always are.
    fn required(&mut self, unit: &UnitName) -> Vec<UnitName> {
        let mut required = self.related(unit, Relation::Requires);
        required.extend(self.related(unit, Relation::BindsTo));
        required.retain(|other| {
            let is_implied = self.nodes[unit].unit.implied.has(Relation::Requires, other);
            let is_there = !is_implied || {
                let own = self.ensure(other);
                self.nodes.contains_key(&own)
            };
            other.unit_type() != UnitType::Slice && is_there
        });
        required
    }

    fn plan_stop(&mut self, plan: &mut Transaction, job: usize) -> Result<(), RequestError> {
        let (unit, kind) = (plan.jobs[job].unit.clone(), plan.jobs[job].kind);
        let relations: &[Relation] = match kind {
            JobKind::Restart => STOPPED_WITH,
            _ => STOPPED_WITH_AND_BY,
        };
        for other in relations.iter().flat_map(|relation| self.related(&unit, *relation)).collect::<Vec<_>>()
        {
            // A restart concerns those only that run.
            let is_leaving = matches!(
                self.active_state(&other),
                ActiveState::Inactive | ActiveState::Failed | ActiveState::Deactivating
            );
            if kind == JobKind::Stop || !is_leaving {
                let need = Need { by: job, matters: true, conflicts: false };
                self.plan_must(plan, &other, kind, need)?;
            }
        }
        Ok(())
    }

    fn plan_reload(&mut self, plan: &mut Transaction, job: usize) {
        for other in self.related(&plan.jobs[job].unit, Relation::PropagatesReloadTo) {
            if self.active_state(&other).is_up() {
                self.plan_may(
                    plan,
                    &other,
                    JobKind::Reload,
                    Need { by: job, matters: false, conflicts: false },
                );
            }
        }
    }

    /// A job without which the one that needs it cannot be. One that there is no use for is left out.
    fn plan_must(
        &mut self,
        plan: &mut Transaction,
        other: &UnitName,
        kind: JobKind,
        need: Need,
    ) -> Result<(), RequestError> {
        match self.plan(plan, other, kind, Some(need)) {
            Ok(_) | Err(RequestError::NotApplicable(..)) => Ok(()),
            // It is not there, so it does not run.
            Err(RequestError::NotLoaded(_)) if kind == JobKind::Stop => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A job that is only wished for; with it goes all that it would have taken.
    fn plan_may(&mut self, plan: &mut Transaction, other: &UnitName, kind: JobKind, need: Need) {
        let before = plan.jobs.len();
        if let Err(error) = self.plan(plan, other, kind, Some(need)) {
            plan.take_back(before);
            if kind == JobKind::Start {
                let unit = plan.jobs[need.by].unit.clone();
                self.log_debug(&unit, format!("wants {other}, which cannot be started: {error}"));
            }
        }
    }

    /// systemctl(1), `isolate`: everything stops that is not in the transaction.
    fn plan_isolation(&mut self, plan: &mut Transaction) {
        let stays = |engine: &Self, name: &UnitName| {
            let node = &engine.nodes[name];
            node.unit.relations.ignore_on_isolate
                || node.service().is_some_and(|service| service.seat.is_some())
                || engine.is_idle(name)
                || crate::service::is_other(name)
        };
        let names: Vec<UnitName> = self.nodes.keys().filter(|name| !stays(self, name)).cloned().collect();
        for name in names {
            if plan.of_unit(&name).next().is_none() {
                let need = Need { by: ANCHOR, matters: true, conflicts: false };
                self.plan_may(plan, &name, JobKind::Stop, need);
            }
        }
    }

    /// systemctl(1), `--job-mode=triggering`: the sockets go down with what they start.
    fn plan_triggering(&mut self, plan: &mut Transaction) {
        for socket in self.links(&plan.jobs[ANCHOR].unit).triggered_by.clone() {
            if !self.is_idle(&socket) && plan.of_unit(&socket).next().is_none() {
                let need = Need { by: ANCHOR, matters: true, conflicts: false };
                self.plan_may(plan, &socket, JobKind::Stop, need);
            }
        }
    }

    // --- judging ---

    /// The unit is already where the job would take it, and no other job is about to change that.
    fn is_redundant(&self, unit: &UnitName, kind: JobKind) -> bool {
        let state = self.active_state(unit);
        let is_there = match kind {
            JobKind::Start | JobKind::VerifyActive => state.is_up(),
            JobKind::Stop => state.is_down(),
            // What it depends on may have changed since it was started.
            JobKind::Restart => false,
            JobKind::Reload => state == ActiveState::Reloading,
        };
        is_there && self.job_of(unit).is_none_or(|job| job.kind.merged_with(kind).is_some())
    }

    fn drop_redundant(&self, plan: &mut Transaction) {
        for jobs in plan.by_unit.values() {
            let living = || jobs.iter().copied().filter(|job| !plan.jobs[*job].is_dropped);
            let is_redundant =
                |job: usize| job != ANCHOR && self.is_redundant(&plan.jobs[job].unit, plan.jobs[job].kind);
            if living().all(is_redundant) {
                for job in living().collect::<Vec<_>>() {
                    plan.jobs[job].is_dropped = true;
                }
            }
        }
    }

    /// `--job-mode=fail`: what runs, and jobs that are there, are not touched for the sake of what does not matter.
    fn spare_what_runs(&self, plan: &mut Transaction) {
        let harms = |planned: &Planned| {
            let state = self.active_state(&planned.unit);
            let stops = planned.kind == JobKind::Stop && (state.is_up() || state == ActiveState::Activating);
            let job = self.job_of(&planned.unit);
            stops || job.is_some_and(|job| job.kind.merged_with(planned.kind).is_none())
        };
        for job in 0..plan.jobs.len() {
            let planned = &plan.jobs[job];
            if !planned.is_dropped && !planned.matters && harms(planned) {
                plan.drop_with_needy(job);
            }
        }
    }

    /// Leaves one job for each unit.
    fn resolve_contradictions(&mut self, plan: &mut Transaction) -> Result<(), RequestError> {
        while let Some((one, other)) = contradiction(plan) {
            let unit = plan.jobs[one].unit.clone();
            let kinds = [plan.jobs[one].kind, plan.jobs[other].kind];
            let Some(lesser) = plan.lesser(one, other) else {
                return Err(RequestError::Contradiction { unit, kinds });
            };
            self.log_debug(
                &unit,
                format!("its {} contradicts another job, dropped", plan.jobs[lesser].kind.as_str()),
            );
            plan.drop_with_needy(lesser);
            plan.collect_garbage();
        }
        merge(plan);
        Ok(())
    }

    /// Refuses a transaction that would undo a job that must not be undone.
    fn check_destruction(&self, plan: &Transaction) -> Result<(), RequestError> {
        let anchor = &plan.jobs[ANCHOR];
        for planned in plan.living().map(|job| &plan.jobs[job]) {
            let Some(queued) = self.job_of(&planned.unit) else { continue };
            let is_firm = plan.mode == JobMode::Fail || queued.is_irreversible;
            if is_firm && queued.kind.merged_with(planned.kind).is_none() {
                return Err(RequestError::Destructive {
                    anchor: (anchor.unit.clone(), anchor.kind),
                    queued: (planned.unit.clone(), queued.kind),
                    included: planned.kind,
                });
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, plan: &Transaction) -> JobId {
        if matches!(plan.mode, JobMode::Isolate | JobMode::Flush) {
            self.cancel_others(plan);
        }
        let ignore_order = plan.mode == JobMode::IgnoreDependencies;
        let mut anchor = None;
        for job in plan.order.iter().copied().filter(|job| !plan.jobs[*job].is_dropped) {
            let Planned { unit, kind, .. } = &plan.jobs[job];
            let id = self.queue_job(unit, *kind, ignore_order);
            if let Some(queued) = self.jobs.get_mut(&id) {
                queued.is_irreversible |= plan.mode == JobMode::ReplaceIrreversibly;
            }
            if job == ANCHOR {
                anchor = Some(id);
            }
        }
        anchor.expect("the anchor is never dropped")
    }

    /// Takes back all jobs of units that are not in the transaction.
    fn cancel_others(&mut self, plan: &Transaction) {
        let is_other = |unit: &UnitName| plan.of_unit(unit).next().is_none();
        let others: Vec<JobId> =
            self.jobs.iter().filter(|(_, job)| is_other(&job.unit)).map(|(id, _)| *id).collect();
        for id in others {
            self.finish_job(id, JobResult::Canceled);
        }
    }

    // --- circles ---

    /// Drops jobs until no job waits for itself.
    fn break_circles(&mut self, plan: &mut Transaction) -> Result<(), RequestError> {
        while let Some(circle) = self.find_circle(plan) {
            let can_go = |unit: &&UnitName| plan.of_unit(unit).any(|job| !plan.jobs[job].matters);
            let names: Vec<&str> = circle.iter().map(UnitName::as_str).collect();
            let text = format!("its order (After=, Before=) is a circle: {}", names.join(", "));
            let victim = circle.iter().rev().find(can_go).cloned();
            let first = circle[0].clone();
            let Some(victim) = victim else {
                self.log_error(&first, format!("{text}; none of these jobs can be left out"));
                return Err(RequestError::Cyclic(first));
            };
            self.log_error(&first, format!("{text}; the job of {victim} is left out"));
            for job in plan.of_unit(&victim).collect::<Vec<_>>() {
                plan.drop_with_needy(job);
            }
            plan.collect_garbage();
        }
        Ok(())
    }

    /// Units whose jobs wait for each other in a circle, each for the one before it.
    fn find_circle(&self, plan: &Transaction) -> Option<Vec<UnitName>> {
        let mut walk = Walk::default();
        for job in plan.living() {
            if let Some(circle) = walk.from(&plan.jobs[job].unit, |unit| self.followers(plan, unit)) {
                return Some(circle);
            }
        }
        None
    }

    /// The units whose jobs wait for that of `unit`: of the transaction, or queued already.
    fn followers(&self, plan: &Transaction, unit: &UnitName) -> Vec<UnitName> {
        let Some(kind) = self.kind_ahead(plan, unit) else { return Vec::new() };
        let waits = |other: &UnitName, is_later: bool| {
            self.kind_ahead(plan, other).is_some_and(|of_other| kind.goes_before(of_other, is_later))
        };
        let later = self.related(unit, Relation::Before).into_iter().filter(|other| waits(other, true));
        let earlier = self.related(unit, Relation::After).into_iter().filter(|other| waits(other, false));
        later.chain(earlier).collect()
    }

    /// What is to become of a unit, where order counts.
    fn kind_ahead(&self, plan: &Transaction, unit: &UnitName) -> Option<JobKind> {
        let planned = plan.of_unit(unit).next().filter(|_| plan.mode != JobMode::IgnoreDependencies);
        let queued = || self.job_of(unit).filter(|job| !job.ignore_order).map(|job| job.kind);
        planned.map(|job| plan.jobs[job].kind).or_else(queued)
    }
}

/// Who is restarted with a unit, seen from there.
const STOPPED_WITH: &[Relation] =
    &[Relation::RequiredBy, Relation::RequisiteOf, Relation::BoundBy, Relation::ConsistsOf];

/// Who is stopped with a unit.
const STOPPED_WITH_AND_BY: &[Relation] = &[
    Relation::RequiredBy,
    Relation::RequisiteOf,
    Relation::BoundBy,
    Relation::ConsistsOf,
    Relation::PropagatesStopTo,
];

/// Two jobs of one unit that cannot be one.
fn contradiction(plan: &Transaction) -> Option<(usize, usize)> {
    plan.by_unit.keys().find_map(|unit| {
        let jobs: Vec<usize> = plan.of_unit(unit).collect();
        let pairs = jobs
            .iter()
            .enumerate()
            .flat_map(|(at, one)| jobs[at + 1..].iter().map(move |other| (*one, *other)));
        let mut opposite =
            pairs.filter(|(one, other)| plan.jobs[*one].kind.merged_with(plan.jobs[*other].kind).is_none());
        opposite.next()
    })
}

/// Makes one job of those of each unit.
fn merge(plan: &mut Transaction) {
    for unit in plan.by_unit.keys().cloned().collect::<Vec<_>>() {
        let jobs: Vec<usize> = plan.of_unit(&unit).collect();
        let Some((first, rest)) = jobs.split_first() else { continue };
        for other in rest {
            let merged = plan.jobs[*first].kind.merged_with(plan.jobs[*other].kind);
            plan.jobs[*first].kind = merged.expect("contradictions were resolved");
            plan.jobs[*first].matters |= plan.jobs[*other].matters;
            let needs = std::mem::take(&mut plan.jobs[*other].needs);
            plan.jobs[*first].needs.extend(needs);
            plan.jobs[*other].is_dropped = true;
            for job in &mut plan.jobs {
                job.needs.iter_mut().filter(|need| need.by == *other).for_each(|need| need.by = *first);
            }
        }
    }
}

/// A walk along the order of jobs, which looks at each unit once.
#[derive(Default)]
struct Walk {
    /// Units from which no circle is reached.
    done: std::collections::BTreeSet<UnitName>,
    /// The way to where it is, with what is still to be tried from each unit.
    way: Vec<(UnitName, Vec<UnitName>)>,
}

impl Walk {
    /// The first circle that is reached from `start`.
    fn from(
        &mut self,
        start: &UnitName,
        followers: impl Fn(&UnitName) -> Vec<UnitName>,
    ) -> Option<Vec<UnitName>> {
        if !self.done.contains(start) {
            self.way.push((start.clone(), followers(start)));
        }
        while let Some((unit, ahead)) = self.way.last_mut() {
            let Some(next) = ahead.pop() else {
                self.done.insert(unit.clone());
                self.way.pop();
                continue;
            };
            if let Some(begin) = self.way.iter().position(|(unit, _)| *unit == next) {
                return Some(self.way[begin..].iter().map(|(unit, _)| unit.clone()).collect());
            }
            if !self.done.contains(&next) {
                let ahead = followers(&next);
                self.way.push((next, ahead));
            }
        }
        None
    }
}
