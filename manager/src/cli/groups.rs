//! Verbs for groups, their instances and their sockets: scale, drain, undrain, hold, release, instances.
//!
//! What they lead to is the manager's business. Invariant: without `--no-block` the command ends only when each job that it gave rise
//! to has.

use std::time::Duration;

use sockmgr_unit::UnitType;

use super::args::{Hold, Scale};
use super::exit::{CliError, Exit, chain};
use super::format;
use super::jobs::{self, JobVerb};
use super::manager::{GroupVerb, Properties};
use super::names::{Named, mangle};
use super::session::Session;
use super::style::Tone;
use super::table::{Cell, Table};

/// Changes how many instances a group has.
pub(crate) fn scale(session: &mut Session, what: &Scale) -> Result<Exit, CliError> {
    let verb = match what.instances {
        Some(count) => GroupVerb::Scale(count),
        None => GroupVerb::ResetScale,
    };
    run(session, verb, std::slice::from_ref(&what.unit), UnitType::Service)
}

/// Holds the traffic of sockets back, and with `--stop` also stops what they start.
pub(crate) fn hold(session: &mut Session, what: &Hold) -> Result<Exit, CliError> {
    let exit = run(session, GroupVerb::Hold, &what.sockets, UnitType::Socket)?;
    if !what.stop || exit != Exit::Success {
        return Ok(exit);
    }
    let sockets = names(&what.sockets, UnitType::Socket)?;
    let triggers = session.manager.unit_values(&sockets, super::manager::Interface::Unit, "Triggers")?;
    let services: Vec<String> =
        triggers.iter().flatten().flat_map(|value| super::manager::texts(value)).collect();
    // What is held starts nothing: that stopped units can be activated again needs no warning.
    session.flags.quiet = true;
    jobs::run(session, JobVerb::Stop, &services)
}

/// Asks for `verb` on each unit, then waits for all jobs that come of it.
pub(crate) fn run(
    session: &mut Session,
    verb: GroupVerb,
    arguments: &[String],
    default_type: UnitType,
) -> Result<Exit, CliError> {
    let mut exit = Exit::Success;
    let mut started = Vec::new();
    for unit in names(arguments, default_type)? {
        match session.manager.direct(verb, &unit) {
            Ok(jobs) => started.extend(jobs),
            Err(error) => {
                exit = exit.or(Exit::of_refused_job(&error));
                eprintln!("Failed to {} {unit}: {}", verb.word(), chain(&error));
            }
        }
    }
    if session.flags.no_block {
        return Ok(exit);
    }
    Ok(exit.or(jobs::wait_for_jobs(session, started.into_iter().collect())?))
}

/// These verbs are about single units, so a glob means its own letters, which no unit has.
pub(super) fn names(arguments: &[String], default_type: UnitType) -> Result<Vec<String>, CliError> {
    let name = |argument: &String| {
        Ok(match mangle(argument, default_type)? {
            Named::Unit(name) | Named::Glob(name) => name,
        })
    };
    arguments.iter().map(name).collect()
}

/// Lists the instances of groups.
pub(crate) fn instances(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    let patterns = names(arguments, UnitType::Service)?;
    let instances = measured(session, &patterns)?;
    let mut table = Table::new(&COLUMNS);
    for instance in &instances {
        table.push(row(instance));
    }
    if session.print_json(&table)? {
        return Ok(Exit::Success);
    }
    let legend = session.flags.legend();
    let mut text = table.render(&session.style, legend, session.width());
    if legend {
        text.push_str(&format!("\n{} instances listed.\n", table.len()));
    }
    session.print(&text)?;
    Ok(if table.len() == 0 && !arguments.is_empty() { Exit::Unknown } else { Exit::Success })
}

const COLUMNS: [&str; 11] =
    ["UNIT", "SLOT", "PID", "STATE", "GENERATION", "QUEUE", "LIMIT", "DROPS", "OLDEST", "RATE", "ROTATION"];

/// A rate takes the manager two looks: asks again where it has only counted so far.
pub(super) fn measured(session: &mut Session, patterns: &[String]) -> Result<Vec<Properties>, CliError> {
    /// The closest that two looks may be.
    const PAUSE: Duration = Duration::from_millis(250);
    let instances = session.manager.instances(patterns)?;
    let lacks_rate = |instance: &Properties| {
        instance.u64("Steered").is_some() && instance.get("SteeredPerSecond").is_none()
    };
    if !instances.iter().any(|instance| instance.u32("MainPID") != 0 && lacks_rate(instance)) {
        return Ok(instances);
    }
    std::thread::sleep(PAUSE);
    Ok(session.manager.instances(patterns)?)
}

fn row(instance: &Properties) -> Vec<Cell> {
    let (state, rotation) = (instance.text("SubState"), instance.text("Rotation"));
    let tone = match state {
        "failed" => Tone::Bad,
        "running" => Tone::Good,
        _ => Tone::Plain,
    };
    let pid = match instance.u32("MainPID") {
        0 => Cell::none(),
        pid => Cell::number(pid),
    };
    let number = |name| match instance.get(name) {
        Some(_) => Cell::number(instance.u32(name)),
        None => Cell::none(),
    };
    vec![
        Cell::new(instance.text("Unit")),
        Cell::number(instance.u32("Slot")),
        pid,
        Cell::toned(state, tone),
        Cell::number(instance.u32("Generation")),
        number("QueueLength"),
        number("QueueLimit"),
        number("QueueDrops"),
        oldest(instance),
        rate(instance),
        Cell::new(rotation),
    ]
}

/// How long the oldest has waited; microseconds for programs.
fn oldest(instance: &Properties) -> Cell {
    match (instance.u64("OldestUSec"), instance.u32("QueueLength")) {
        (Some(age), _) => Cell::rounded(format::short_span(age), age),
        (None, 0) => Cell::none(),
        (None, _) => Cell::rounded("unknown".to_owned(), serde_json::Value::Null),
    }
}

/// Connections (or datagrams) that eBPF steers there per second; nobody counts those that are accepted.
fn rate(instance: &Properties) -> Cell {
    match instance.f64("SteeredPerSecond") {
        Some(rate) => Cell::rounded(format!("{rate:.1}"), rate),
        None => Cell::none(),
    }
}
