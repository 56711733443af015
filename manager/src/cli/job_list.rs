//! list-jobs and cancel: the jobs that are queued or run.
//!
//! Invariant: columns and their order are those of systemctl.

use super::args::Jobs;
use super::exit::{CliError, Exit, chain};
use super::session::Session;
use super::style::Tone;
use super::table::{Cell, Table};

/// One job: number, unit, type, state, and the objects of both.
pub(crate) type JobRow = (u32, String, String, String, zbus::OwnedObjectPath, zbus::OwnedObjectPath);

/// Lists the jobs of units that match, all without a pattern.
pub(crate) fn list(session: &mut Session, wanted: &Jobs) -> Result<Exit, CliError> {
    let patterns = &wanted.patterns.units;
    let mut jobs = session.manager.list_jobs()?;
    jobs.retain(|job| {
        patterns.is_empty() || patterns.iter().any(|pattern| sockmgr_unit::glob::matches(pattern, &job.1))
    });
    jobs.sort_by_key(|job| job.0);
    let legend = session.flags.legend();
    if jobs.is_empty() && session.flags.json().is_none() {
        session.print(if legend { "No jobs running.\n" } else { "" })?;
        return Ok(Exit::Success);
    }
    let mut table = Table::new(&["JOB", "UNIT", "TYPE", "STATE"]);
    for job in &jobs {
        table.push(row(job, &job.1));
        if wanted.after {
            push_others(session, &mut table, job, "GetJobAfter", "waiting for job")?;
        }
        if wanted.before {
            push_others(session, &mut table, job, "GetJobBefore", "blocking job")?;
        }
    }
    if session.print_json(&table)? {
        return Ok(Exit::Success);
    }
    let mut text = table.render(&session.style, legend, session.width());
    if legend {
        text.push_str(&format!("\n{} jobs listed.\n", jobs.len()));
    }
    session.print(&text)?;
    Ok(Exit::Success)
}

fn row((id, _, kind, state, ..): &JobRow, unit: &str) -> Vec<Cell> {
    let tone = if state == "running" { Tone::Good } else { Tone::Plain };
    vec![Cell::new(id.to_string()), Cell::new(unit), Cell::new(kind), Cell::toned(state, tone)]
}

/// The jobs on one side of `job` in the order.
fn push_others(
    session: &mut Session,
    table: &mut Table,
    job: &JobRow,
    method: &str,
    what: &str,
) -> Result<(), CliError> {
    for (id, unit, kind, ..) in session.manager.jobs_beside(method, job.0)? {
        let text = format!("└─{what} {id} ({unit}/{kind})");
        table.push(vec![Cell::new(""), Cell::new(&text), Cell::new("-"), Cell::new("-")]);
    }
    Ok(())
}

/// Takes jobs back, all without a number.
pub(crate) fn cancel(session: &mut Session, jobs: &[u32]) -> Result<Exit, CliError> {
    if jobs.is_empty() {
        session.manager.clear_jobs()?;
        return Ok(Exit::Success);
    }
    let mut exit = Exit::Success;
    for job in jobs {
        if let Err(error) = session.manager.cancel_job(*job) {
            eprintln!("Failed to cancel job {job}: {}", chain(&error));
            exit = Exit::Failure;
        }
    }
    Ok(exit)
}
