//! Listings: units and jobs as rows.
//!
//! Never here: sorting for people; the client does that. Invariant: rows come in the order of the engine: units by name,
//! jobs by age.

use sockmgr_engine::{Engine, JobId, JobView, RequestError, UnitView};
use sockmgr_unit::{UnitName, glob};
use zbus::OwnedObjectPath;

use super::dispatch::{Answer, Call};
use super::object::{find_job, resolve};
use super::subject::UnitSubject;
use super::{manager, path};

/// `(ssssssouso)`: name, description, load, active and sub state, followed unit, object, and its job: number, type, object.
type UnitRow<'a> =
    (&'a str, &'a str, &'a str, &'a str, &'a str, &'a str, OwnedObjectPath, u32, &'a str, OwnedObjectPath);

fn unit_row<'a>(view: &UnitView<'a>) -> UnitRow<'a> {
    let unit = view.unit;
    let (job, kind, job_path) = match view.job {
        Some((id, kind)) => (id.0, kind.as_str(), path::of_job(id)),
        None => (0, "", path::none()),
    };
    let (load, active) = (unit.load_state.as_str(), view.active.as_str());
    let (name, description) = (unit.name.as_str(), unit.description());
    (name, description, load, active, view.sub, "", path::of_unit(&unit.name), job, kind, job_path)
}

/// Units whose load, active or sub state is one of `states`, and whose name matches one of `patterns`; an empty list
/// matches all.
fn rows<'a>(engine: &'a Engine, states: &[String], patterns: &[String]) -> Vec<UnitRow<'a>> {
    let named =
        |name: &&UnitName| patterns.is_empty() || patterns.iter().any(|p| glob::matches(p, name.as_str()));
    let in_state = |view: &UnitView<'_>| {
        let words = [view.unit.load_state.as_str(), view.active.as_str(), view.sub];
        states.is_empty() || states.iter().any(|state| words.contains(&state.as_str()))
    };
    let views = engine.unit_names().filter(named).filter_map(|name| engine.unit(name));
    views.filter(in_state).map(|view| unit_row(&view)).collect()
}

pub(super) fn units(call: &mut Call<'_>) -> Answer {
    call.answer(&rows(call.core.engine(), &[], &[]))
}

pub(super) fn units_filtered(call: &mut Call<'_>) -> Answer {
    let states: Vec<String> = call.arguments()?;
    call.answer(&rows(call.core.engine(), &states, &[]))
}

pub(super) fn units_by_patterns(call: &mut Call<'_>) -> Answer {
    let (states, patterns): (Vec<String>, Vec<String>) = call.arguments()?;
    call.answer(&rows(call.core.engine(), &states, &patterns))
}

/// One row for each name, also of units that are not known; those are looked for on disk.
pub(super) fn units_by_names(call: &mut Call<'_>) -> Answer {
    let names: Vec<String> = call.arguments()?;
    let names = names.iter().map(|name| manager::parse_name(name)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<UnitName> = names.iter().map(|name| resolve(call.core, name)).collect();
    let subjects: Vec<_> = names.iter().map(|name| UnitSubject::new(&*call.core, name)).collect();
    call.answer(&subjects.iter().map(subject_row).collect::<Vec<_>>())
}

fn subject_row<'s>(subject: &'s UnitSubject<'_>) -> UnitRow<'s> {
    if let Some(view) = &subject.view {
        return unit_row(view);
    }
    let unit = &subject.unit;
    let (load, active) = (unit.load_state.as_str(), subject.active_state().as_str());
    let (name, object) = (unit.name.as_str(), path::of_unit(&unit.name));
    (name, unit.description(), load, active, subject.sub_state(), "", object, 0, "", path::none())
}

/// `(usssoo)`: number, unit, type, state, object, object of the unit.
type JobRow = (u32, String, &'static str, &'static str, OwnedObjectPath, OwnedObjectPath);

fn job_row(job: JobView<'_>) -> JobRow {
    let (unit, object) = (job.unit.to_string(), path::of_unit(job.unit));
    (job.id.0, unit, job.kind.as_str(), super::job::state(&job), path::of_job(job.id), object)
}

pub(super) fn jobs(call: &mut Call<'_>) -> Answer {
    call.answer(&call.core.engine().jobs().map(job_row).collect::<Vec<_>>())
}

/// Where a job stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Jobs that wait for it.
    After,
    /// Jobs that it waits for.
    Before,
}

/// The jobs of which order says that they come before or after this one.
pub(super) fn jobs_of(call: &mut Call<'_>, side: Side) -> Answer {
    let id = JobId(call.arguments()?);
    let engine = call.core.engine();
    if find_job(engine, id).is_none() {
        return Err(RequestError::NoSuchJob(id).into());
    }
    let others = engine.jobs_in_way(id, side == Side::After);
    let rows: Vec<JobRow> = engine.jobs().filter(|job| others.contains(&job.id)).map(job_row).collect();
    call.answer(&rows)
}
