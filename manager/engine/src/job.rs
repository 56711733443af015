//! Jobs: what is being done to which unit, in which order, and what becomes of those that depend on it.
//!
//! One job per unit at a time. A job waits while a job of a unit that is ordered before it is unfinished; it is then parked with
//! that job and looked at again when it ends. Invariant: every job that was announced ends with exactly one result.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sockmgr_unit::{LoadState, UnitName};

use crate::command::{Command, JobMode, RequestError, Verb};
use crate::engine::Engine;
use crate::event::{Action, Notice};
use crate::ids::JobId;
use crate::node::{ActiveState, Machine};

/// What a job does to its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobKind {
    /// Bring it up.
    Start,
    /// Bring it down.
    Stop,
    /// Bring it down and up again.
    Restart,
    /// Have it read its configuration.
    Reload,
}

impl JobKind {
    /// The word on D-Bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }

    /// Takes the unit down, if only for a moment.
    fn stops(self) -> bool {
        matches!(self, Self::Stop | Self::Restart)
    }

    /// The one job that does what both are for, or `None` when they are opposites. A restart also does what a start is for, and
    /// both read the configuration as a reload does.
    fn merged_with(self, other: Self) -> Option<Self> {
        let strength = |kind| match kind {
            Self::Reload => 0,
            Self::Start => 1,
            Self::Restart => 2,
            Self::Stop => 3,
        };
        let opposites = (self == Self::Stop) != (other == Self::Stop);
        (!opposites).then_some(if strength(self) < strength(other) { other } else { self })
    }
}

/// How a job ended; the words of org.freedesktop.systemd1(5), `JobRemoved`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobResult {
    /// It did what it was for.
    Done,
    /// Another job took its place, or it was taken back.
    Canceled,
    /// The unit failed.
    Failed,
    /// A unit that this one requires failed.
    Dependency,
    /// It took too long.
    Timeout,
}

impl JobResult {
    /// The word on D-Bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
            Self::Dependency => "dependency",
            Self::Timeout => "timeout",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) unit: UnitName,
    pub(crate) kind: JobKind,
    /// Its unit is at it; else it waits.
    pub(crate) running: bool,
    pub(crate) ignore_order: bool,
    /// The unfinished job that this one waits for.
    blocked_on: Option<JobId>,
    /// Jobs to look at again when this one ends.
    waiters: Vec<JobId>,
}

/// What came of beginning a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// The unit is on its way; its next states tell.
    Pending,
    /// Nothing was left to do.
    Done,
    /// The unit is busy with the opposite; try again at its next change.
    Wait,
    /// It cannot be done.
    Refused,
}

/// What a start brings with it.
#[derive(Debug, Default)]
struct Needs {
    seen: BTreeSet<UnitName>,
    /// Needed units after those that they need themselves.
    order: Vec<UnitName>,
}

impl Engine {
    /// Queues the job that `command` asks for, with those of the units it needs. `None`: there is nothing to do, because the
    /// verb only concerns units that run. When the request is refused nothing is queued.
    pub(crate) fn request_job(&mut self, command: &Command) -> Result<Option<JobId>, RequestError> {
        let unit = &self.ensure(&command.unit);
        let Some(kind) = self.job_kind(command.verb, unit)? else { return Ok(None) };
        if command.mode == JobMode::Fail && self.conflicts(unit, kind) {
            return Err(RequestError::Conflict(unit.clone()));
        }
        let alone = command.mode == JobMode::IgnoreDependencies;
        if !alone {
            if matches!(kind, JobKind::Start | JobKind::Restart) {
                self.start_needs(unit)?;
            }
            if kind.stops() {
                self.stop_dependents(unit, kind, &mut BTreeSet::from([unit.clone()]));
            }
        }
        Ok(Some(self.queue_job(unit, kind, alone)))
    }

    /// The kind of job that a verb means for this unit in its present state.
    fn job_kind(&self, verb: Verb, unit: &UnitName) -> Result<Option<JobKind>, RequestError> {
        let up = !self.active_state(unit).is_down();
        if verb == Verb::Stop {
            return if self.nodes.contains_key(unit) {
                Ok(Some(JobKind::Stop))
            } else {
                Err(RequestError::NotLoaded(unit.clone()))
            };
        }
        self.loadable(unit)?;
        let reloads = self.can_reload(unit);
        match verb {
            Verb::Start => Ok(Some(JobKind::Start)),
            Verb::Stop | Verb::Restart => Ok(Some(JobKind::Restart)),
            Verb::TryRestart => Ok(up.then_some(JobKind::Restart)),
            Verb::Reload if reloads => Ok(Some(JobKind::Reload)),
            Verb::Reload => Err(RequestError::NotApplicable(unit.clone(), verb)),
            Verb::ReloadOrRestart => Ok(Some(if reloads && up { JobKind::Reload } else { JobKind::Restart })),
            Verb::ReloadOrTryRestart => {
                Ok(up.then_some(if reloads { JobKind::Reload } else { JobKind::Restart }))
            }
        }
    }

    /// Whether the unit can be started at all.
    pub(crate) fn loadable(&self, name: &UnitName) -> Result<(), RequestError> {
        if name.is_template() {
            return Err(RequestError::IsTemplate(name.clone()));
        }
        let Some(node) = self.nodes.get(name) else { return Err(RequestError::NoSuchUnit(name.clone())) };
        match node.unit.load_state {
            LoadState::Loaded => Ok(()),
            LoadState::NotFound => Err(RequestError::NoSuchUnit(name.clone())),
            state @ (LoadState::BadSetting | LoadState::Error | LoadState::Masked) => {
                Err(RequestError::LoadFailed(
                    name.clone(),
                    state,
                    node.unit.load_error.clone().unwrap_or_default(),
                ))
            }
        }
    }

    fn can_reload(&self, name: &UnitName) -> bool {
        let Some(node) = self.nodes.get(name) else { return false };
        matches!(node.machine, Machine::Service(_) | Machine::Group(_))
            && node.unit.service().is_some_and(|service| service.service.can_reload())
    }

    fn conflicts(&self, name: &UnitName, kind: JobKind) -> bool {
        self.job_of(name).is_some_and(|job| job.kind.merged_with(kind).is_none())
    }

    /// Queues starts of what `name` requires and wants, however deep, or none when something required cannot be started. What is only
    /// wanted may be missing.
    fn start_needs(&mut self, name: &UnitName) -> Result<(), RequestError> {
        self.startable(name, &mut BTreeSet::new())?;
        let mut needs = Needs::default();
        needs.seen.insert(name.clone());
        self.add_needs(name, &mut needs);
        for need in needs.order {
            if !self.active_state(&need).is_up() || self.is_stopping_by_job(&need) {
                self.queue_job(&need, JobKind::Start, false);
            }
        }
        Ok(())
    }

    /// Whether the unit and all that it requires are there.
    fn startable(&mut self, name: &UnitName, seen: &mut BTreeSet<UnitName>) -> Result<(), RequestError> {
        let name = self.ensure(name);
        if !seen.insert(name.clone()) {
            return Ok(());
        }
        self.loadable(&name)?;
        let section = self.nodes[&name].unit.unit.clone();
        section.requires.iter().try_for_each(|need| self.startable(need, seen))
    }

    fn add_needs(&mut self, name: &UnitName, needs: &mut Needs) {
        let section = self.nodes[name].unit.unit.clone();
        for need in section.requires.iter().chain(&section.wants) {
            if let Err(error) = self.startable(need, &mut BTreeSet::new()) {
                self.log_debug(name, format!("wants {need}, which cannot be started: {error}"));
                continue;
            }
            let need = self.ensure(need);
            if needs.seen.insert(need.clone()) {
                self.add_needs(&need, needs);
                needs.order.push(need);
            }
        }
    }

    /// A unit that requires `name` goes down with it, also when it is only about to come up; and it comes up again when `name`
    /// is restarted.
    fn stop_dependents(&mut self, name: &UnitName, kind: JobKind, seen: &mut BTreeSet<UnitName>) {
        let dependents = self.links(name).required_by.clone();
        for dependent in dependents {
            let coming = kind == JobKind::Stop && self.job_of(&dependent).is_some();
            if (self.active_state(&dependent).is_down() && !coming) || !seen.insert(dependent.clone()) {
                continue;
            }
            self.stop_dependents(&dependent, kind, seen);
            self.queue_job(&dependent, kind, false);
        }
    }

    /// Starts what traffic asks for, with all that it needs.
    pub(crate) fn start_for_traffic(&mut self, name: &UnitName) -> Result<(), RequestError> {
        let command = Command { verb: Verb::Start, unit: name.clone(), mode: JobMode::Replace };
        self.request_job(&command).map(|_| ())
    }

    /// Puts a job on the unit: joins one that is for the same, replaces one that is for the opposite.
    pub(crate) fn queue_job(&mut self, name: &UnitName, kind: JobKind, ignore_order: bool) -> JobId {
        if let Some(id) = self.merge_job(name, kind) {
            return id;
        }
        if let Some(old) = self.nodes.get(name).and_then(|node| node.job) {
            self.finish_job(old, JobResult::Canceled);
        }
        let id = self.new_job_id();
        let job = Job {
            unit: name.clone(),
            kind,
            running: false,
            ignore_order,
            blocked_on: None,
            waiters: Vec::new(),
        };
        self.jobs.insert(id, job);
        if let Some(node) = self.nodes.get_mut(name) {
            node.job = Some(id);
        }
        self.out.push(Action::Notice(Notice::JobNew { id, unit: name.clone(), kind }));
        self.stir(name);
        self.queue.push_back(id);
        id
    }

    /// The unit's job, if it can also do what is asked for now.
    fn merge_job(&mut self, name: &UnitName, kind: JobKind) -> Option<JobId> {
        let id = self.nodes.get(name)?.job?;
        let job = self.jobs.get_mut(&id)?;
        let merged = job.kind.merged_with(kind)?;
        // A reload that runs may be past the change that this one is for.
        let is_late = job.running && merged == JobKind::Reload;
        if merged != job.kind || is_late {
            job.kind = merged;
            self.rerun(id);
            self.stir(name);
        }
        Some(id)
    }

    /// Has the job begin (again), and those that waited for it look whether they still have to.
    fn rerun(&mut self, id: JobId) {
        self.set_running(id, false);
        if let Some(job) = self.jobs.get_mut(&id) {
            self.queue.extend(job.waiters.drain(..));
        }
        self.queue.push_back(id);
    }

    pub(crate) fn job_of(&self, name: &UnitName) -> Option<&Job> {
        self.jobs.get(&self.nodes.get(name)?.job?)
    }

    /// Whether a job that takes the unit down is queued or runs.
    pub(crate) fn is_stopping_by_job(&self, name: &UnitName) -> bool {
        self.job_of(name).is_some_and(|job| job.kind.stops())
    }

    /// Begins the job, unless an order or the unit's state makes it wait.
    pub(crate) fn run_job(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        if job.running {
            return;
        }
        let (unit, kind) = (job.unit.clone(), job.kind);
        if let Some(blocker) = self.blocker(job) {
            if !self.is_blocked_by(blocker, id) {
                self.park(id, blocker);
                return;
            }
            self.log_warning(
                &unit,
                "its order (After=, Before=) is a circle; started without regard to it".to_owned(),
            );
        }
        if kind == JobKind::Restart && self.active_state(&unit).is_down() {
            return self.become_start(id);
        }
        self.set_running(id, true);
        match self.begin(&unit, kind) {
            Begun::Pending => {}
            Begun::Done => self.finish_job(id, JobResult::Done),
            Begun::Refused => self.finish_job(id, JobResult::Failed),
            Begun::Wait => self.set_running(id, false),
        }
    }

    fn park(&mut self, id: JobId, blocker: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.blocked_on = Some(blocker);
        }
        if let Some(blocker) = self.jobs.get_mut(&blocker) {
            blocker.waiters.push(id);
        }
    }

    /// Whether `job` waits, directly or through others, for `other`.
    fn is_blocked_by(&self, mut job: JobId, other: JobId) -> bool {
        for _ in 0..self.jobs.len() {
            match self.jobs.get(&job).and_then(|job| job.blocked_on) {
                Some(next) if next == other => return true,
                Some(next) => job = next,
                None => return false,
            }
        }
        false
    }

    fn set_running(&mut self, id: JobId, running: bool) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.running = running;
            job.blocked_on = None;
        }
    }

    fn begin(&mut self, name: &UnitName, kind: JobKind) -> Begun {
        let Some(node) = self.nodes.get(name) else { return Begun::Refused };
        match (&node.machine, kind) {
            (Machine::Group(_), kind) => self.group_begin(name, kind),
            (Machine::Socket(_), JobKind::Start) => self.socket_start(name),
            (Machine::Socket(_), JobKind::Stop) => self.socket_stop(name),
            (Machine::Socket(_), JobKind::Restart) => self.socket_restart(name),
            (Machine::Service(_), JobKind::Start) => self.service_start(name),
            (Machine::Service(_), JobKind::Stop) => self.service_stop(name),
            (Machine::Service(_), JobKind::Restart) => self.service_restart(name),
            (Machine::Service(_), JobKind::Reload) => self.service_reload(name),
            (Machine::Target(_), JobKind::Start) => self.target_set(name, true),
            (Machine::Target(_), JobKind::Stop) => self.target_set(name, false),
            (Machine::Target(_), JobKind::Restart) => Begun::Done,
            (Machine::Socket(_) | Machine::Target(_), JobKind::Reload) => Begun::Refused,
        }
    }

    /// The unit of a restart job is down: what is left of the job is a start, and takes its turn as one.
    pub(crate) fn become_start(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.kind = JobKind::Start;
        }
        self.rerun(id);
    }

    /// The last unfinished job that this one has to wait for. The last, so that a target that follows a thousand sockets is looked at
    /// twice and not a thousand times.
    ///
    /// Of two units in order the later one goes down first, also for a restart, then the earlier one does what it has to, then the
    /// later one comes up.
    fn blocker(&self, job: &Job) -> Option<JobId> {
        if job.ignore_order {
            return None;
        }
        let node = self.nodes.get(&job.unit)?;
        let links = self.links(&job.unit);
        let earlier = node.unit.unit.after.iter().chain(&links.after);
        let later = node.unit.unit.before.iter().chain(&links.before);
        let to_follow = if job.kind.stops() { None } else { self.last_job(earlier, |_| true) };
        to_follow.or_else(|| self.last_job(later, JobKind::stops))
    }

    fn last_job<'a>(
        &self,
        units: impl DoubleEndedIterator<Item = &'a UnitName>,
        concerns: impl Fn(JobKind) -> bool,
    ) -> Option<JobId> {
        units.rev().find_map(|unit| {
            let id = self.nodes.get(unit)?.job?;
            self.jobs.get(&id).is_some_and(|job| concerns(job.kind)).then_some(id)
        })
    }

    /// Ends a job: tells, wakes those that waited for it, and fails those that needed it to succeed.
    pub(crate) fn finish_job(&mut self, id: JobId, result: JobResult) {
        let Some(job) = self.jobs.remove(&id) else { return };
        if let Some(node) = self.nodes.get_mut(&job.unit) {
            node.job = None;
            node.machine.forget_operation();
        }
        self.out.push(Action::Notice(Notice::JobRemoved { id, unit: job.unit.clone(), result }));
        self.queue.extend(job.waiters);
        self.stir(&job.unit);
        // A job that was taken back, or replaced, says nothing about the unit.
        let failed = !matches!(result, JobResult::Done | JobResult::Canceled);
        if failed && matches!(job.kind, JobKind::Start | JobKind::Restart) {
            self.fail_dependents(&job.unit);
        }
        self.group_job_ended(&job.unit, id, result);
    }

    fn fail_dependents(&mut self, name: &UnitName) {
        let dependents = self.links(name).required_by.clone();
        for dependent in dependents {
            let waiting = self.nodes.get(&dependent).and_then(|node| node.job).filter(|id| {
                self.jobs
                    .get(id)
                    .is_some_and(|job| !job.running && matches!(job.kind, JobKind::Start | JobKind::Restart))
            });
            if let Some(id) = waiting {
                self.log_error(&dependent, format!("not started: {name}, which it requires, did not start"));
                self.finish_job(id, JobResult::Dependency);
            }
        }
    }

    /// The unit's state changed: decides whether its job has come to its end, or may be tried (again).
    pub(crate) fn advance_job(&mut self, name: &UnitName, new: ActiveState) {
        let Some(id) = self.nodes.get(name).and_then(|node| node.job) else { return };
        let Some(job) = self.jobs.get(&id) else { return };
        if !job.running {
            self.queue.push_back(id);
            return;
        }
        match (job.kind, new) {
            (JobKind::Start, ActiveState::Active | ActiveState::Reloading) => self.finish_job(id, JobResult::Done),
            (JobKind::Start, ActiveState::Failed) => self.finish_job(id, JobResult::Failed),
            // A oneshot service that is through is down again, and that is a success.
            (JobKind::Start, ActiveState::Inactive) => self.finish_job(id, JobResult::Done),
            (JobKind::Stop, ActiveState::Inactive | ActiveState::Failed) => self.finish_job(id, JobResult::Done),
            (JobKind::Restart, ActiveState::Inactive | ActiveState::Failed) => self.become_start(id),
            (JobKind::Reload, ActiveState::Inactive | ActiveState::Failed | ActiveState::Deactivating) => {
                self.finish_job(id, JobResult::Failed);
            }
            (JobKind::Start, ActiveState::Activating | ActiveState::Deactivating)
            | (
                JobKind::Stop | JobKind::Restart,
                ActiveState::Active | ActiveState::Reloading | ActiveState::Activating | ActiveState::Deactivating,
            )
            // The service itself says when its reload is over.
            | (JobKind::Reload, ActiveState::Active | ActiveState::Reloading | ActiveState::Activating) => {}
        }
    }
}
