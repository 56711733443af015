//! Jobs: what is being done to which unit, in which order, and what becomes of those that depend on it.
//!
//! One job per unit at a time. A job waits while a job of a unit that is ordered before it is unfinished; it is then parked with
//! that job and looked at again when it ends. Invariant: every job that was announced ends with exactly one result.

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
    ignore_order: bool,
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

impl Engine {
    /// Queues the job that `command` asks for, with those of the units it needs. `None`: there is nothing to do, because the
    /// verb only concerns units that run.
    pub(crate) fn request_job(&mut self, command: &Command) -> Result<Option<JobId>, RequestError> {
        let unit = &command.unit;
        self.ensure(unit);
        let Some(kind) = self.job_kind(command)? else { return Ok(None) };
        if command.mode == JobMode::Fail && self.conflicts(unit, kind) {
            return Err(RequestError::Conflict(unit.clone()));
        }
        let alone = command.mode == JobMode::IgnoreDependencies;
        if !alone {
            match kind {
                JobKind::Start | JobKind::Restart => self.start_needs(unit, &mut vec![unit.clone()])?,
                JobKind::Stop | JobKind::Reload => {}
            }
            if kind.stops() {
                self.stop_dependents(unit, kind, &mut vec![unit.clone()]);
            }
        }
        Ok(Some(self.queue_job(unit, kind, alone)))
    }

    /// The kind of job that a verb means for this unit in its present state.
    fn job_kind(&self, command: &Command) -> Result<Option<JobKind>, RequestError> {
        let unit = &command.unit;
        let up = !self.active_state(unit).is_down();
        if command.verb == Verb::Stop {
            return if self.nodes.contains_key(unit) {
                Ok(Some(JobKind::Stop))
            } else {
                Err(RequestError::NotLoaded(unit.clone()))
            };
        }
        self.loadable(unit)?;
        let reloads = self.can_reload(unit);
        match command.verb {
            Verb::Start => Ok(Some(JobKind::Start)),
            Verb::Stop | Verb::Restart => Ok(Some(JobKind::Restart)),
            Verb::TryRestart => Ok(up.then_some(JobKind::Restart)),
            Verb::Reload if reloads => Ok(Some(JobKind::Reload)),
            Verb::Reload => Err(RequestError::NotApplicable(unit.clone(), command.verb)),
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
            && node.unit.service().is_some_and(|service| !service.service.exec_reload.is_empty())
    }

    fn conflicts(&self, name: &UnitName, kind: JobKind) -> bool {
        self.job_of(name).is_some_and(|job| job.kind != kind)
    }

    /// Queues starts of what `name` requires and wants, however deep. A missing required unit is an error, a missing wanted one is not.
    fn start_needs(&mut self, name: &UnitName, seen: &mut Vec<UnitName>) -> Result<(), RequestError> {
        let Some(unit) = self.nodes.get(name).map(|node| node.unit.clone()) else { return Ok(()) };
        let sockets = unit.service().map(|service| service.service.sockets.clone()).unwrap_or_default();
        for need in &unit.unit.requires {
            self.start_need(need, seen)?;
        }
        for wish in unit.unit.wants.iter().chain(&sockets) {
            if let Err(error) = self.start_need(wish, seen) {
                self.log_debug(name, format!("wants {wish}, which cannot be started: {error}"));
            }
        }
        Ok(())
    }

    fn start_need(&mut self, name: &UnitName, seen: &mut Vec<UnitName>) -> Result<(), RequestError> {
        if seen.contains(name) {
            return Ok(());
        }
        seen.push(name.clone());
        self.ensure(name);
        self.loadable(name)?;
        self.start_needs(name, seen)?;
        if !self.active_state(name).is_up() {
            self.queue_job(name, JobKind::Start, false);
        }
        Ok(())
    }

    /// A unit that requires `name` goes down with it, and comes up again when `name` is restarted.
    fn stop_dependents(&mut self, name: &UnitName, kind: JobKind, seen: &mut Vec<UnitName>) {
        let dependents = self.links(name).required_by.clone();
        for dependent in dependents {
            if seen.contains(&dependent) || self.active_state(&dependent).is_down() {
                continue;
            }
            seen.push(dependent.clone());
            self.stop_dependents(&dependent, kind, seen);
            self.queue_job(&dependent, kind, false);
        }
    }

    /// Starts what traffic asks for, with all that it needs.
    pub(crate) fn start_for_traffic(&mut self, name: &UnitName) -> Result<(), RequestError> {
        let command = Command { verb: Verb::Start, unit: name.clone(), mode: JobMode::Replace };
        self.request_job(&command).map(|_| ())
    }

    /// Puts a job on the unit: joins an equal one, replaces any other.
    pub(crate) fn queue_job(&mut self, name: &UnitName, kind: JobKind, ignore_order: bool) -> JobId {
        if let Some(id) = self.merge_job(name, kind) {
            return id;
        }
        if let Some(old) = self.nodes.get(name).and_then(|node| node.job) {
            self.finish_job(old, JobResult::Canceled);
        }
        let id = self.new_job_id();
        self.jobs.insert(
            id,
            Job {
                unit: name.clone(),
                kind,
                running: false,
                ignore_order,
                blocked_on: None,
                waiters: Vec::new(),
            },
        );
        if let Some(node) = self.nodes.get_mut(name) {
            node.job = Some(id);
        }
        self.out.push(Action::Notice(Notice::JobNew { id, unit: name.clone(), kind }));
        self.stir(name);
        self.queue.push_back(id);
        id
    }

    /// The job that already does what is asked for: the same kind, or a restart that still has to stop where a start is wanted.
    fn merge_job(&mut self, name: &UnitName, kind: JobKind) -> Option<JobId> {
        let id = self.nodes.get(name)?.job?;
        let job = self.jobs.get(&id)?;
        let joins = match (job.kind, kind) {
            (old, new) if old == new => true,
            (JobKind::Restart, JobKind::Start) => true,
            (JobKind::Start | JobKind::Stop | JobKind::Restart | JobKind::Reload, _) => false,
        };
        joins.then_some(id)
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
        let down = self.active_state(name).is_down();
        match (&node.machine, kind) {
            (Machine::Group(_), kind) => self.group_begin(name, kind),
            (_, JobKind::Restart) if down => self.become_start(name),
            (Machine::Socket(_), JobKind::Start) => self.socket_start(name),
            (Machine::Socket(_), JobKind::Stop | JobKind::Restart) => self.socket_stop(name),
            (Machine::Service(_), JobKind::Start) => self.service_start(name),
            (Machine::Service(_), JobKind::Stop | JobKind::Restart) => self.service_stop(name),
            (Machine::Service(_), JobKind::Reload) => self.service_reload(name),
            (Machine::Target(_), JobKind::Start) => self.target_set(name, true),
            (Machine::Target(_), JobKind::Stop) => self.target_set(name, false),
            (Machine::Target(_), JobKind::Restart) => Begun::Done,
            (Machine::Socket(_) | Machine::Target(_), JobKind::Reload) => Begun::Refused,
        }
    }

    /// The unit of a restart job is down: what is left of the job is a start.
    fn become_start(&mut self, name: &UnitName) -> Begun {
        if let Some(job) =
            self.nodes.get(name).and_then(|node| node.job).and_then(|id| self.jobs.get_mut(&id))
        {
            job.kind = JobKind::Start;
        }
        self.begin(name, JobKind::Start)
    }

    /// The last unfinished job that this one has to wait for. The last, so that a target that follows a thousand sockets is looked at
    /// twice and not a thousand times.
    fn blocker(&self, job: &Job) -> Option<JobId> {
        if job.ignore_order {
            return None;
        }
        let node = self.nodes.get(&job.unit)?;
        let links = self.links(&job.unit);
        let earlier = node.unit.unit.after.iter().chain(&links.after);
        let later = node.unit.unit.before.iter().chain(&links.before);
        if job.kind == JobKind::Stop {
            return self.last_job(later, |kind| kind.stops());
        }
        self.last_job(earlier, |_| true).or_else(|| self.last_job(later, |kind| kind == JobKind::Stop))
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
        }
        self.out.push(Action::Notice(Notice::JobRemoved { id, unit: job.unit.clone(), result }));
        self.queue.extend(job.waiters);
        self.stir(&job.unit);
        if result != JobResult::Done && matches!(job.kind, JobKind::Start | JobKind::Restart) {
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
            (JobKind::Restart, ActiveState::Inactive | ActiveState::Failed) => {
                self.set_running(id, false);
                self.queue.push_back(id);
            }
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
