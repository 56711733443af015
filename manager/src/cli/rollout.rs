//! `sockmgr rollout`: new unit files for a group, a few instances first.
//!
//! Invariant: without `--no-block` a rollout that was started, resumed or undone is waited for until it needs somebody or is over, and
//! that the new files are in use is the only success of a start.

use std::time::Duration;

use sockmgr_unit::UnitType;

use super::args::{Rollout, RolloutStep};
use super::exit::{CliError, Exit};
use super::groups;
use super::manager::GroupVerb;
use super::session::Session;
use super::table::{Cell, Table};

/// Between two looks at a rollout that is under way.
const LOOK: Duration = Duration::from_millis(100);

/// Does a step of a rollout.
pub(crate) fn run(session: &mut Session, what: &Rollout) -> Result<Exit, CliError> {
    let group = groups::names(std::slice::from_ref(&what.unit), UnitType::Service)?.remove(0);
    let (verb, aim) = match what.step {
        RolloutStep::Status => return status(session, &group),
        RolloutStep::Start => (GroupVerb::StartRollout, "done"),
        RolloutStep::Pause => (GroupVerb::PauseRollout, "paused"),
        RolloutStep::Resume => (GroupVerb::ResumeRollout, "done"),
        RolloutStep::Undo => (GroupVerb::UndoRollout, "undone"),
    };
    // A job that fails is the rollout's to judge.
    let no_block = std::mem::replace(&mut session.flags.no_block, true);
    let exit = groups::run(session, verb, std::slice::from_ref(&group), UnitType::Service)?;
    session.flags.no_block = no_block;
    if exit != Exit::Success || no_block {
        return Ok(exit);
    }
    let (phase, why) = until_settled(session, &group)?;
    if phase == aim {
        return Ok(Exit::Success);
    }
    eprintln!("Rollout of {group} {phase}{}{why}", if why.is_empty() { "." } else { ": " });
    Ok(Exit::Failure)
}

fn until_settled(session: &mut Session, group: &str) -> Result<(String, String), CliError> {
    loop {
        let (phase, why) = session.manager.rollout(group)?;
        if phase != "rolling" && phase != "undoing" {
            return Ok((phase, why));
        }
        std::thread::sleep(LOOK);
    }
}

fn status(session: &mut Session, group: &str) -> Result<Exit, CliError> {
    let (phase, why) = session.manager.rollout(group)?;
    let mut table = Table::new(&["UNIT", "EDITION", "GENERATION", "STATE", "ROLLOUT", "WHY"]);
    for instance in &session.manager.instances(&[group.to_owned()])? {
        table.push(vec![
            Cell::new(instance.text("Unit")),
            Cell::new(instance.text("Edition")),
            Cell::number(instance.u32("Generation")),
            Cell::new(instance.text("SubState")),
            if phase.is_empty() { Cell::none() } else { Cell::new(&phase) },
            if why.is_empty() { Cell::none() } else { Cell::new(&why) },
        ]);
    }
    if session.print_json(&table)? {
        return Ok(Exit::Success);
    }
    let text = table.render(&session.style, session.flags.legend(), session.width());
    session.print(&text)?;
    Ok(Exit::Success)
}
