//! Jobs: what is being done to which unit, in which order, and what becomes of those that depend on it.
//!
//! One job per unit at a time. A job waits while a job of a unit that is ordered before it is unfinished; it is then parked with
//! that job and looked at again when it ends. Invariant: every job that was announced ends with exactly one result.

use serde::{Deserialize, Serialize};
use sockmgr_unit::{LoadState, Relation, UnitName};

use crate::command::{Command, JobMode, RequestError, Verb};
use crate::condition::Check;
use crate::engine::{Engine, Timer};
use crate::event::{Action, Notice};
use crate::ids::{JobId, Time};
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
    /// See that it is up, or on its way (`Requisite=`).
    VerifyActive,
}

impl JobKind {
    /// The word on D-Bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::VerifyActive => "verify-active",
        }
    }

    /// Takes the unit down, if only for a moment.
    pub(crate) fn stops(self) -> bool {
        matches!(self, Self::Stop | Self::Restart)
    }

    /// Brings the unit up, or needs it to be.
    fn starts(self) -> bool {
        matches!(self, Self::Start | Self::Restart | Self::VerifyActive)
    }

    /// Whether a job of one unit is to end before one of another begins; the other unit `is_later` in order, or earlier.
    pub(crate) fn goes_before(self, other: Self, is_later: bool) -> bool {
        if is_later { !other.stops() } else { self.stops() }
    }

    /// The one job that does what both are for, or `None` when they are opposites. A restart also does what a start is for, and
    /// both read the configuration as a reload does.
    pub(crate) fn merged_with(self, other: Self) -> Option<Self> {
        let strength = |kind| match kind {
            Self::VerifyActive => 0,
            Self::Reload => 1,
            Self::Start => 2,
            Self::Restart => 3,
            Self::Stop => 4,
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
    /// There was nothing to do for it: the unit is not up (`Requisite=`).
    Skipped,
    /// The unit is not in a state for it: only what is up can be reloaded.
    Invalid,
    /// `Assert…=` says no.
    Assert,
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
            Self::Skipped => "skipped",
            Self::Invalid => "invalid",
            Self::Assert => "assert",
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
    /// No other job takes its place (`--job-mode=replace-irreversibly`).
    pub(crate) is_irreversible: bool,
    /// When it has taken too long (`JobTimeoutSec=`, `JobRunningTimeoutSec=`).
    pub(crate) deadline: Option<Time>,
    /// Whether its unit's conditions hold.
    pub(crate) check: Check,
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
    /// It is over, in this way.
    Ended(JobResult),
}

impl Engine {
    /// Queues the job that `command` asks for, with those of the units it needs. `None`: there is nothing to do, because the
    /// verb only concerns units that run. When the request is refused nothing is queued.
    pub(crate) fn request_job(&mut self, command: &Command) -> Result<Option<JobId>, RequestError> {
        let unit = &self.ensure(&command.unit);
        let Some(kind) = self.job_kind(command.verb, unit)? else { return Ok(None) };
        match command.mode {
            JobMode::Isolate if kind != JobKind::Start => return Err(RequestError::IsolateStarts),
            JobMode::Isolate if !self.nodes[unit].unit.relations.allow_isolate => {
                return Err(RequestError::NotIsolated(unit.clone()));
            }
            JobMode::Triggering if kind != JobKind::Stop => return Err(RequestError::TriggeringStops),
            _ => {}
        }
        self.queue_with_needs(unit, kind, command.mode).map(Some)
    }

    /// What the unit's file says of requests by clients (`RefuseManualStart=`, `RefuseManualStop=`).
    pub(crate) fn check_manual(&mut self, command: &Command) -> Result<(), RequestError> {
        let unit = self.ensure(&command.unit);
        let Some(relations) = self.nodes.get(&unit).map(|node| node.unit.relations.clone()) else {
            return Ok(());
        };
        let kind = self.job_kind(command.verb, &unit).ok().flatten();
        let is_refused = match kind {
            Some(JobKind::Start) => relations.refuse_manual_start,
            Some(JobKind::Stop) => relations.refuse_manual_stop,
            Some(JobKind::Restart) => relations.refuse_manual_start || relations.refuse_manual_stop,
            Some(JobKind::Reload | JobKind::VerifyActive) | None => false,
        };
        (!is_refused).then_some(()).ok_or(RequestError::OnlyByDependency(unit))
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
            Verb::Reload => Err(RequestError::NotApplicable(unit.clone())),
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

    pub(crate) fn can_reload(&self, name: &UnitName) -> bool {
        let Some(node) = self.nodes.get(name) else { return false };
        matches!(node.machine, Machine::Service(_) | Machine::Group(_))
            && node.unit.service().is_some_and(|service| service.service.can_reload())
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
            is_irreversible: false,
            deadline: None,
            check: Check::Due,
            blocked_on: None,
            waiters: Vec::new(),
        };
        self.jobs.insert(id, job);
        if let Some(node) = self.nodes.get_mut(name) {
            node.job = Some(id);
        }
        self.out.push(Action::Notice(Notice::JobNew { id, unit: name.clone(), kind }));
        self.limit_job(id, Limit::Queued);
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
            job.check = Check::Due;
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
        self.limit_job(id, Limit::Running);
        match self.begin(&unit, kind) {
            Begun::Pending => {}
            Begun::Done => self.finish_job(id, JobResult::Done),
            Begun::Refused => self.finish_job(id, JobResult::Failed),
            Begun::Ended(result) => self.finish_job(id, result),
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

    /// Has the job begin where it had to stop for an answer.
    pub(crate) fn begin_again(&mut self, id: JobId) {
        self.set_running(id, false);
        self.queue.push_back(id);
    }

    fn begin(&mut self, name: &UnitName, kind: JobKind) -> Begun {
        if kind == JobKind::VerifyActive {
            return self.verify_active(name);
        }
        if let Some(begun) = self.check_conditions(name, kind) {
            return begun;
        }
        if kind == JobKind::Start
            && self.active_state(name).is_down()
            && let Some(other) = self.missing_bond(name)
        {
            self.log_error(name, format!("not started: {other}, which it is bound to, is not up"));
            return Begun::Ended(JobResult::Dependency);
        }
        let Some(node) = self.nodes.get(name) else { return Begun::Refused };
        match (&node.machine, kind) {
            (_, JobKind::VerifyActive) => Begun::Refused,
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
            (Machine::Target(_), JobKind::Restart) => self.target_restart(name),
            (Machine::Socket(_) | Machine::Target(_), JobKind::Reload) => Begun::Refused,
        }
    }

    fn verify_active(&self, name: &UnitName) -> Begun {
        match self.active_state(name) {
            ActiveState::Active | ActiveState::Reloading => Begun::Done,
            ActiveState::Activating => Begun::Wait,
            ActiveState::Inactive | ActiveState::Failed | ActiveState::Deactivating => {
                Begun::Ended(JobResult::Skipped)
            }
        }
    }

    /// A unit that this one is bound to and that should be up by now, because it comes before.
    fn missing_bond(&self, name: &UnitName) -> Option<UnitName> {
        let mut bonds = self.others(name, Relation::BindsTo).peekable();
        bonds.peek()?;
        let after = self.related(name, Relation::After);
        let is_missing = |other: &&UnitName| after.contains(other) && !self.active_state(other).is_up();
        bonds.find(is_missing).cloned()
    }

    /// Starts the time that a job has: since it was queued, and since it runs. The earlier end counts.
    fn limit_job(&mut self, id: JobId, limit: Limit) {
        let Some(job) = self.jobs.get(&id) else { return };
        let (name, old) = (job.unit.clone(), job.deadline);
        let Some(relations) = self.nodes.get(&name).map(|node| &node.unit.relations) else { return };
        let span = match limit {
            Limit::Queued => relations.job_timeout_sec,
            Limit::Running => relations.effective_job_running_timeout(),
        };
        let new = old.into_iter().chain(self.now.after(span)).min();
        self.set_job_deadline(id, new);
    }

    pub(crate) fn set_job_deadline(&mut self, id: JobId, new: Option<Time>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let name = job.unit.clone();
        let old = std::mem::replace(&mut job.deadline, new);
        self.move_timer(&name, Timer::Job, old, new);
    }

    /// The job of `name` has taken too long. Its unit goes on with what it does.
    pub(crate) fn job_timeout(&mut self, name: &UnitName) {
        let Some(id) = self.nodes.get(name).and_then(|node| node.job) else { return };
        self.log_error(name, "its job has taken too long (JobTimeoutSec=, JobRunningTimeoutSec=)".to_owned());
        self.finish_job(id, JobResult::Timeout);
    }

    /// Takes a job back, and with it those that wait for it to succeed.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cancel(&mut self, now: Time, id: JobId, actions: &mut Vec<Action>) -> Result<(), RequestError> {
        self.now = now;
        let (unit, kind) =
            self.jobs.get(&id).map(|job| (job.unit.clone(), job.kind)).ok_or(RequestError::NoSuchJob(id))?;
        self.finish_job(id, JobResult::Canceled);
        self.fail_dependents(&unit, kind);
        self.settle(actions);
        Ok(())
    }

    /// Takes all jobs back.
    pub fn cancel_all(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.now = now;
        for id in self.jobs.keys().copied().collect::<Vec<_>>() {
            self.finish_job(id, JobResult::Canceled);
        }
        self.settle(actions);
    }

    /// Jobs that must end before this one begins; with `is_reverse`, jobs that wait for it.
    pub fn jobs_in_way(&self, id: JobId, is_reverse: bool) -> Vec<JobId> {
        let Some(job) = self.jobs.get(&id).filter(|job| !job.ignore_order) else { return Vec::new() };
        let concerned = |relation: Relation, is_later: bool| {
            let others = self.related(&job.unit, relation).into_iter();
            others.filter_map(move |other| {
                let id = self.nodes.get(&other)?.job?;
                let other = self.jobs.get(&id).filter(|other| !other.ignore_order)?;
                (job.kind.goes_before(other.kind, is_later) == is_reverse).then_some(id)
            })
        };
        concerned(Relation::Before, true).chain(concerned(Relation::After, false)).collect()
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
        let earlier = self.others(&job.unit, Relation::After);
        let later = self.others(&job.unit, Relation::Before);
        let to_follow = if job.kind.stops() { None } else { self.last_job(earlier, |_| true) };
        to_follow.or_else(|| self.last_job(later, JobKind::stops))
    }

    fn last_job<'a>(
        &self,
        units: impl DoubleEndedIterator<Item = &'a UnitName>,
        concerns: impl Fn(JobKind) -> bool,
    ) -> Option<JobId> {
        units.rev().find_map(|unit| {
            let node = self.nodes.get(unit).or_else(|| self.nodes.get(&self.own_name(unit)?))?;
            let job = self.jobs.get(&node.job?)?;
            (concerns(job.kind) && !job.ignore_order).then_some(node.job?)
        })
    }

    /// Ends a job: tells, wakes those that waited for it, and fails those that needed it to succeed.
    pub(crate) fn finish_job(&mut self, id: JobId, result: JobResult) {
        self.set_job_deadline(id, None);
        let Some(job) = self.jobs.remove(&id) else { return };
        if let Some(node) = self.nodes.get_mut(&job.unit) {
            node.job = None;
            node.machine.forget_operation();
        }
        self.out.push(Action::Notice(Notice::JobRemoved { id, unit: job.unit.clone(), result }));
        self.queue.extend(job.waiters);
        self.stir(&job.unit);
        match result {
            JobResult::Done => self.fail_unsatisfied(&job.unit, job.kind),
            // A job that was taken back, or replaced, says nothing about the unit.
            JobResult::Canceled => {}
            JobResult::Failed
            | JobResult::Dependency
            | JobResult::Timeout
            | JobResult::Skipped
            | JobResult::Invalid
            | JobResult::Assert => self.fail_dependents(&job.unit, job.kind),
        }
        // Other failures are the unit's own, and told when it is down.
        if matches!(result, JobResult::Timeout | JobResult::Dependency) {
            self.start_after_failure(&job.unit);
        }
        self.group_job_ended(&job.unit, id, result);
    }

    /// A oneshot that is through, or a unit whose conditions say no: its job is done, and it is not up, which some need.
    fn fail_unsatisfied(&mut self, name: &UnitName, kind: JobKind) {
        if kind == JobKind::Start && self.active_state(name).is_down() {
            self.fail_starts(name, kind, &[Relation::RequisiteOf]);
        }
    }

    /// Fails the starts of those that cannot do without what the job was for.
    fn fail_dependents(&mut self, name: &UnitName, kind: JobKind) {
        match kind {
            JobKind::Start | JobKind::Restart | JobKind::VerifyActive => {
                self.fail_starts(
                    name,
                    kind,
                    &[Relation::RequiredBy, Relation::RequisiteOf, Relation::BoundBy],
                );
            }
            JobKind::Stop => self.fail_starts(name, kind, &[Relation::ConflictedBy]),
            JobKind::Reload => {}
        }
    }

    fn fail_starts(&mut self, name: &UnitName, kind: JobKind, relations: &[Relation]) {
        for dependent in
            relations.iter().flat_map(|relation| self.related(name, *relation)).collect::<Vec<_>>()
        {
            let start = self.nodes.get(&dependent).and_then(|node| node.job);
            let start = start.filter(|id| self.jobs.get(id).is_some_and(|job| job.kind.starts()));
            if let Some(id) = start {
                let why = if kind.starts() {
                    "which it requires, did not start"
                } else {
                    "which it conflicts with, did not stop"
                };
                self.log_error(&dependent, format!("not started: {name}, {why}"));
                self.finish_job(id, JobResult::Dependency);
            }
        }
    }

    /// The unit's state changed: decides whether its job has come to its end, or may be tried (again).
    ///
    /// Also says whether the job had asked for that state.
    pub(crate) fn advance_job(&mut self, name: &UnitName, new: ActiveState) -> bool {
        let Some(id) = self.nodes.get(name).and_then(|node| node.job) else { return false };
        let Some(job) = self.jobs.get(&id) else { return false };
        if !job.running {
            self.queue.push_back(id);
            return true;
        }
        let is_asked_for = match job.kind {
            JobKind::Start | JobKind::VerifyActive => new.is_up() || new == ActiveState::Activating,
            JobKind::Reload => new.is_up() || new == ActiveState::Activating,
            JobKind::Stop | JobKind::Restart => new.is_down() || new == ActiveState::Deactivating,
        };
        match (job.kind, new) {
            (JobKind::VerifyActive, _) => {}
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
        is_asked_for
    }
}

/// The limits that a job's time may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// Since it was queued.
    Queued,
    /// Since it runs.
    Running,
}
