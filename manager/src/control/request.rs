//! Requests: from the words of a call to the engine's commands, and the job that is the answer.
//!
//! Never here: what a command does. Invariant: a request that succeeds always has a job, if one that is over at once.

use sockmgr_engine::{Command, JobId, JobKind, JobMode, JobResult, KillWho, Notice, RequestError, Verb};
use sockmgr_unit::{UnitName, ValueError};

use super::dispatch::{Answer, Call};
use super::error::{BusError, ErrorName};
use super::path;

/// Largest signal number on Linux (signal(7)).
const SIGNAL_MAX: i32 = 64;

/// The mode of that name (systemctl(1), `--job-mode=`).
fn job_mode(word: &str) -> Result<JobMode, BusError> {
    JobMode::parse(word).map_err(|error| match error {
        ValueError::Unsupported(_) => {
            let text = format!("Job mode {word} is not supported by sockmgr.");
            BusError::new(ErrorName::NotSupported, text)
        }
        _ => BusError::invalid_args(format!("Job mode {word} invalid")),
    })
}

/// The verb of that name, as EnqueueUnitJob takes it.
fn verb(word: &str) -> Result<Verb, BusError> {
    match word {
        "start" => Ok(Verb::Start),
        "stop" => Ok(Verb::Stop),
        "restart" => Ok(Verb::Restart),
        "try-restart" => Ok(Verb::TryRestart),
        "reload" => Ok(Verb::Reload),
        "reload-or-restart" => Ok(Verb::ReloadOrRestart),
        "reload-or-try-restart" => Ok(Verb::ReloadOrTryRestart),
        "verify-active" | "nop" | "reload-or-start" => Err(BusError::new(
            ErrorName::NotSupported,
            format!("Job type {word} is not supported by sockmgr."),
        )),
        _ => Err(BusError::invalid_args(format!("Job type {word} invalid"))),
    }
}

/// Queues a job and answers with its path.
pub(super) fn queue(call: &mut Call<'_>, unit: UnitName, verb: Verb, mode: &str) -> Answer {
    let command = Command { verb, unit, mode: job_mode(mode)? };
    let (id, _) = request(call, &command)?;
    call.answer(&path::of_job(id))
}

/// Queues a job and answers with all that EnqueueUnitJob tells: it, its unit, and what else was queued for its sake.
pub(super) fn enqueue(call: &mut Call<'_>, unit: UnitName, kind: &str, mode: &str) -> Answer {
    let command = Command { verb: verb(kind)?, unit, mode: job_mode(mode)? };
    let (id, kind) = request(call, &command)?;
    let others: Vec<_> =
        call.outcome.notices.iter().filter_map(new_job).filter(|job| job.0 != id).map(job_row).collect();
    let (id, job, unit, object, kind) = job_row((id, &command.unit, kind));
    call.answer(&(id, job, unit, object, kind, others))
}

type JobRow = (u32, zbus::OwnedObjectPath, String, zbus::OwnedObjectPath, &'static str);

fn new_job(notice: &Notice) -> Option<(JobId, &UnitName, JobKind)> {
    if let Notice::JobNew { id, unit, kind } = notice { Some((*id, unit, *kind)) } else { None }
}

fn job_row((id, unit, kind): (JobId, &UnitName, JobKind)) -> JobRow {
    (id.0, path::of_job(id), unit.to_string(), path::of_unit(unit), kind.as_str())
}

/// Passes a command to the engine. What became of it at once is in the outcome's notices afterwards.
fn request(call: &mut Call<'_>, command: &Command) -> Result<(JobId, JobKind), BusError> {
    let id = call.core.request(command)?;
    call.outcome.notices.extend(call.core.take_notices());
    Ok(match id {
        Some(id) => (id, kind_of(call, id).unwrap_or_else(|| requested_kind(command.verb))),
        None => (announce_idle_job(call, command), requested_kind(command.verb)),
    })
}

/// What the job does: the engine has it, or told of it in a notice when it has ended since.
fn kind_of(call: &Call<'_>, id: JobId) -> Option<JobKind> {
    let queued = call.core.engine().jobs().find(|job| job.id == id).map(|job| job.kind);
    queued
        .or_else(|| call.outcome.notices.iter().filter_map(new_job).find(|job| job.0 == id).map(|job| job.2))
}

fn requested_kind(verb: Verb) -> JobKind {
    match verb {
        Verb::Start => JobKind::Start,
        Verb::Stop => JobKind::Stop,
        Verb::Restart | Verb::TryRestart => JobKind::Restart,
        Verb::Reload | Verb::ReloadOrRestart | Verb::ReloadOrTryRestart => JobKind::Reload,
    }
}

/// There is nothing to do (`try-restart` of a unit that is down); clients wait for the end of a job all the same.
fn announce_idle_job(call: &mut Call<'_>, command: &Command) -> JobId {
    let id = call.idle_job();
    let (unit, kind) = (command.unit.clone(), requested_kind(command.verb));
    call.outcome.notices.push(Notice::JobNew { id, unit: unit.clone(), kind });
    call.outcome.notices.push(Notice::JobRemoved { id, unit, result: JobResult::Done });
    id
}

/// Sends a signal.
pub(super) fn kill(call: &mut Call<'_>, unit: &UnitName, who: &str, signal: i32) -> Answer {
    let (who, must_reach) = kill_who(who)?;
    if !(1..=SIGNAL_MAX).contains(&signal) {
        return Err(BusError::invalid_args("Signal number out of range."));
    }
    match call.core.kill(unit, who, signal) {
        // As in systemd: all of none is no error.
        Err(RequestError::NoProcess(_)) if !must_reach => {}
        result => result?,
    }
    call.answer(&())
}

/// Whom to kill, and whether it is an error that there is nobody.
fn kill_who(word: &str) -> Result<(KillWho, bool), BusError> {
    match word {
        "main" | "main-fail" => Ok((KillWho::Main, true)),
        "control" | "control-fail" => Ok((KillWho::Control, true)),
        "" | "all" => Ok((KillWho::All, false)),
        "all-fail" => Ok((KillWho::All, true)),
        _ => Err(BusError::invalid_args(format!("Invalid who argument {word}"))),
    }
}
