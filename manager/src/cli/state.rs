//! Short verbs: is-active, is-failed, is-system-running, kill, clean, reset-failed, daemon-reload.
//!
//! Each asks one thing and answers mostly by its exit code. Invariant: is-active and its kin know every name; a unit that
//! does not exist is inactive.

use std::time::Duration;

use serde::Serialize;

use super::args::Clean;
use super::exit::{CliError, Exit, chain};
use super::session::Session;
use super::units;

/// How often `is-system-running --wait` looks when no signal comes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Serialize)]
struct UnitState<'a> {
    unit: &'a str,
    active: &'a str,
}

/// Success when one of the units is active.
pub(crate) fn is_active(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    check(session, arguments, &["active", "reloading"], Exit::NotRunning)
}

/// Success when one of the units failed.
pub(crate) fn is_failed(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    check(session, arguments, &["failed"], Exit::Failure)
}

fn check(
    session: &mut Session,
    arguments: &[String],
    good: &[&str],
    otherwise: Exit,
) -> Result<Exit, CliError> {
    let names = units::expand(session, arguments)?;
    let mut states = Vec::with_capacity(names.len());
    for state in session.manager.unit_texts(&names, "ActiveState")? {
        states.push(state?);
    }
    print_states(session, &names, &states)?;
    let found = states.iter().any(|state| good.contains(&state.as_str()));
    Ok(if found { Exit::Success } else { otherwise })
}

fn print_states(session: &Session, names: &[String], states: &[String]) -> Result<(), CliError> {
    if session.flags.quiet {
        return Ok(());
    }
    let rows: Vec<_> = names.iter().zip(states).map(|(unit, active)| UnitState { unit, active }).collect();
    if session.print_json(&rows)? {
        return Ok(());
    }
    session.print(&states.iter().map(|state| format!("{state}\n")).collect::<String>())
}

/// Success when the manager is up and no unit failed.
pub(crate) fn is_system_running(session: &mut Session) -> Result<Exit, CliError> {
    let mut state = session.manager.system_state()?;
    while session.flags.wait && matches!(state.as_str(), "initializing" | "starting") {
        session.manager.wait_signal(Some(LOOK_EVERY))?;
        state = session.manager.system_state()?;
    }
    #[derive(Serialize)]
    struct SystemState<'a> {
        state: &'a str,
    }
    if !session.flags.quiet && !session.print_json(&SystemState { state: &state })? {
        session.print(&format!("{state}\n"))?;
    }
    Ok(if state == "running" { Exit::Success } else { Exit::Failure })
}

/// Sends a signal to the processes of units.
pub(crate) fn kill(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    let names = units::expand(session, arguments)?;
    let whom = session.flags.kill_whom.clone();
    let signal = session.flags.signal.0;
    let mut exit = Exit::Success;
    for name in names {
        if let Err(error) = session.manager.kill_unit(&name, &whom, signal) {
            eprintln!("Failed to kill unit {name}: {}", chain(&error));
            exit = Exit::Failure;
        }
    }
    Ok(exit)
}

/// Removes what units have left on disk.
pub(crate) fn clean(session: &mut Session, wanted: &Clean) -> Result<Exit, CliError> {
    let mut exit = Exit::Success;
    for name in units::expand(session, &wanted.units)? {
        if let Err(error) = session.manager.clean_unit(&name, &wanted.what) {
            eprintln!("Failed to clean unit {name}: {}", chain(&error));
            exit = Exit::Failure;
        }
    }
    Ok(exit)
}

/// Forgets the failures of units, or of all.
pub(crate) fn reset_failed(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    if arguments.is_empty() {
        session.manager.reset_failed()?;
        return Ok(Exit::Success);
    }
    let mut exit = Exit::Success;
    for name in units::expand(session, arguments)? {
        if let Err(error) = session.manager.reset_failed_unit(&name) {
            eprintln!("Failed to reset failed state of unit {name}: {}", chain(&error));
            exit = Exit::Failure;
        }
    }
    Ok(exit)
}

/// Lets the manager read its unit files again; done when it has.
pub(crate) fn daemon_reload(session: &mut Session) -> Result<Exit, CliError> {
    session
        .manager
        .reload()
        .map_err(|source| CliError::Refused { what: "cannot reload the unit files".into(), source })?;
    Ok(Exit::Success)
}
