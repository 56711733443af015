//! Verbs that ask for jobs: start, stop, restart, reload and their kin.
//!
//! All jobs are asked for first, then all are waited for. Which units a job pulls in and in what order they run is the
//! manager's business. Invariant: without `--no-block` the command ends only when each of its jobs has.

use std::collections::HashSet;
use std::time::Duration;

use sockmgr_unit::UnitType;

use super::bus::BusError;
use super::exit::{CliError, Exit, chain};
use super::manager::{Interface, JobRemoved, texts};
use super::session::Session;
use super::units;

/// A verb that asks for a job on each of its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobVerb {
    Start,
    Stop,
    Restart,
    TryRestart,
    Reload,
    ReloadOrRestart,
    TryReloadOrRestart,
}

impl JobVerb {
    /// The manager's method, and the verb as it is typed.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Start => ("StartUnit", "start"),
            Self::Stop => ("StopUnit", "stop"),
            Self::Restart => ("RestartUnit", "restart"),
            Self::TryRestart => ("TryRestartUnit", "try-restart"),
            Self::Reload => ("ReloadUnit", "reload"),
            Self::ReloadOrRestart => ("ReloadOrRestartUnit", "reload-or-restart"),
            Self::TryReloadOrRestart => ("ReloadOrTryRestartUnit", "try-reload-or-restart"),
        }
    }
}

/// Runs `verb` on the units that the arguments name.
pub(crate) fn run(session: &mut Session, verb: JobVerb, arguments: &[String]) -> Result<Exit, CliError> {
    if verb == JobVerb::Start && units::any_glob(arguments) && !session.flags.all {
        session.warn(
            "Warning: a glob means loaded units, so start will usually have no effect.\n\
             Hint: --all adds loaded units that are inactive.",
        );
    }
    let names = units::expand(session, arguments)?;
    let (exit, started) = enqueue(session, verb, &names)?;
    warn_if_changed(session, &started.iter().map(|(unit, _)| unit.clone()).collect::<Vec<_>>())?;
    if session.flags.no_block {
        return Ok(exit);
    }
    let jobs = started.iter().map(|(_, job)| job.clone()).collect();
    let exit = exit.or(wait_for_jobs(session, jobs)?);
    let units: Vec<String> = started.into_iter().map(|(unit, _)| unit).collect();
    match verb {
        JobVerb::Stop => warn_of_triggers(session, &units).map(|()| exit),
        JobVerb::Start | JobVerb::Restart if session.flags.wait => {
            Ok(exit.or(wait_until_stopped(session, units)?))
        }
        _ => Ok(exit),
    }
}

/// Starts a unit, a target where the name does not say, and stops everything that it does not need.
pub(crate) fn isolate(session: &mut Session, unit: &str) -> Result<Exit, CliError> {
    let name = sockmgr_unit::mangle_as(unit, UnitType::Target)
        .map_or_else(|_| unit.to_owned(), |name| name.to_string());
    session.flags.job_mode = "isolate".to_owned();
    run(session, JobVerb::Start, &[name])
}

/// Asks for the jobs; what comes back are pairs of unit and job.
fn enqueue(
    session: &mut Session,
    verb: JobVerb,
    names: &[String],
) -> Result<(Exit, Vec<(String, String)>), CliError> {
    let (method, word) = verb.names();
    let mode = session.flags.job_mode.clone();
    let answers = session.manager.enqueue(method, names, &mode)?;
    let mut exit = Exit::Success;
    let mut started = Vec::new();
    for (unit, answer) in names.iter().zip(answers) {
        match answer {
            Ok(job) => started.push((unit.clone(), job)),
            Err(error) => {
                exit = exit.or(Exit::of_refused_job(&error));
                eprintln!("Failed to {word} {unit}: {}", chain(&error));
                hint_at_status(session, unit, &error);
            }
        }
    }
    Ok((exit, started))
}

/// Some refusals say all there is to say; for others the unit's status tells more.
fn hint_at_status(session: &Session, unit: &str, error: &BusError) {
    let complete = matches!(
        error.name(),
        Some(
            "org.freedesktop.systemd1.NoSuchUnit"
                | "org.freedesktop.systemd1.UnitMasked"
                | "org.freedesktop.systemd1.JobTypeNotApplicable"
        )
    );
    if !complete {
        session.warn(&see_status(session, unit));
    }
}

fn see_status(session: &Session, unit: &str) -> String {
    format!("See `sockmgr{} status {unit}` for details.", session.target.options)
}

/// Waits until all of these are over, and says which ended badly.
pub(crate) fn wait_for_jobs(session: &mut Session, mut jobs: HashSet<String>) -> Result<Exit, CliError> {
    let mut exit = Exit::Success;
    while !jobs.is_empty() {
        let removed = session.manager.wait_job(&jobs)?;
        jobs.remove(&removed.job);
        exit = exit.or(judge(session, &removed)?);
    }
    Ok(exit)
}

/// Says how a job ended, if not well.
fn judge(session: &mut Session, removed: &JobRemoved) -> Result<Exit, CliError> {
    if matches!(removed.result.as_str(), "done" | "skipped") {
        return Ok(Exit::Success);
    }
    let result = match removed.result.as_str() {
        "failed" => {
            let unit = [removed.unit.clone()];
            let value = session.manager.unit_values(&unit, Interface::Type, "Result")?;
            value
                .into_iter()
                .flatten()
                .next()
                .and_then(|value| String::try_from(value).ok())
                .unwrap_or_default()
        }
        _ => String::new(),
    };
    session.warn(&explain(&removed.unit, &removed.result, &result));
    if removed.result == "failed" {
        session.warn(&see_status(session, &removed.unit));
    }
    Ok(Exit::Failure)
}

/// The end of a job in words; `result` is the unit's own, where it has one.
fn explain(unit: &str, job_result: &str, result: &str) -> String {
    match job_result {
        "canceled" => format!("Job for {unit} canceled."),
        "timeout" => format!("Job for {unit} timed out."),
        "dependency" => format!("A dependency job for {unit} failed."),
        "invalid" => format!("{unit} is not active, cannot reload."),
        "assert" => format!("Assertion failed on job for {unit}."),
        "unsupported" => format!("Operation on or unit type of {unit} not supported on this system."),
        "collected" => format!("Queued job for {unit} was garbage collected."),
        "once" => format!("Unit {unit} was started already once and can't be started again."),
        "failed" => match reason(result) {
            Some(reason) => format!("Job for {unit} failed because {reason}."),
            None => format!("Job for {unit} failed."),
        },
        other => format!("Job for {unit} ended with result {other:?}."),
    }
}

fn reason(result: &str) -> Option<&'static str> {
    Some(match result {
        "resources" => "of unavailable resources or another system error",
        "protocol" => "the service did not take the steps required by its unit configuration",
        "timeout" => "a timeout was exceeded",
        "exit-code" => "the control process exited with error code",
        "signal" => "a fatal signal was delivered to the control process",
        "core-dump" => "a fatal signal caused the control process to dump core",
        "watchdog" => "the service failed to send watchdog ping",
        "start-limit-hit" => "start of the service was attempted too often",
        _ => return None,
    })
}

/// The files of a unit may be newer than what the manager has read.
pub(crate) fn warn_if_changed(session: &mut Session, units: &[String]) -> Result<(), CliError> {
    if session.flags.quiet {
        return Ok(());
    }
    let changed = session.manager.unit_values(units, Interface::Unit, "NeedDaemonReload")?;
    for (unit, changed) in units.iter().zip(changed) {
        if changed.is_some_and(|value| bool::try_from(value).unwrap_or(false)) {
            let options = &session.target.options;
            session.warn(&format!(
                "Warning: the unit file or a drop-in of {unit} changed on disk. \
                 Run `sockmgr{options} daemon-reload` to read it again."
            ));
        }
    }
    Ok(())
}

/// A stopped service starts again with the next connection while its sockets listen.
fn warn_of_triggers(session: &mut Session, units: &[String]) -> Result<(), CliError> {
    if session.flags.quiet {
        return Ok(());
    }
    let triggers = session.manager.unit_values(units, Interface::Unit, "TriggeredBy")?;
    for (unit, triggers) in units.iter().zip(triggers) {
        let triggers = triggers.as_deref().map(texts).unwrap_or_default();
        let states = session.manager.unit_texts(&triggers, "ActiveState")?;
        let active =
            |state: &Result<String, BusError>| matches!(state.as_deref(), Ok("active" | "reloading"));
        let active: Vec<String> = triggers
            .into_iter()
            .zip(states)
            .filter(|(_, state)| active(state))
            .map(|(name, _)| name)
            .collect();
        if !active.is_empty() {
            let list = active.join("\n  ");
            session.warn(&format!("Warning: Stopping {unit}, but it can still be activated by:\n  {list}"));
        }
    }
    Ok(())
}

/// Waits until none of the units is active and none has a job. Failed units make the command fail.
fn wait_until_stopped(session: &mut Session, mut units: Vec<String>) -> Result<Exit, CliError> {
    /// The state may change without a signal to us, so it is looked at from time to time, too.
    const AT_LEAST_EVERY: Duration = Duration::from_secs(1);
    let mut exit = Exit::Success;
    loop {
        let states = session.manager.unit_texts(&units, "ActiveState")?;
        let mut left = Vec::new();
        for (unit, state) in units.into_iter().zip(states) {
            match state?.as_str() {
                "inactive" => {}
                "failed" => exit = exit.or(Exit::Failure),
                _ => left.push(unit),
            }
        }
        if left.is_empty() {
            return Ok(exit);
        }
        units = left;
        session.manager.wait_signal(Some(AT_LEAST_EVERY))?;
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn every_job_result_is_explained() {
        let table = [
            ("canceled", ""),
            ("timeout", ""),
            ("failed", "exit-code"),
            ("failed", "start-limit-hit"),
            ("failed", "something-new"),
            ("failed", ""),
            ("dependency", ""),
            ("invalid", ""),
            ("unheard-of", ""),
        ];
        let text: Vec<String> =
            table.iter().map(|(job, result)| explain("web.service", job, result)).collect();
        expect![[r#"
            Job for web.service canceled.
            Job for web.service timed out.
            Job for web.service failed because the control process exited with error code.
            Job for web.service failed because start of the service was attempted too often.
            Job for web.service failed.
            Job for web.service failed.
            A dependency job for web.service failed.
            web.service is not active, cannot reload.
            Job for web.service ended with result "unheard-of"."#]]
        .assert_eq(&text.join("\n"));
    }
}
