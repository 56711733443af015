//! `org.sockmgr.Manager1`, ours: what is asked of groups, their instances and sockets beside jobs.
//!
//! Never here: what becomes of it; the engine decides. Invariant: a method that changes something answers with the jobs that come of
//! it, so that a client can wait until it is done.

use sockmgr_engine::{Direction, Engine, JobId, MachineView, RequestError, SlotView};
use sockmgr_unit::{UnitName, glob};
use zbus::OwnedObjectPath;

use super::dispatch::{Answer, Call};
use super::error::BusError;
use super::interface::{Access, Argument, Interface, Method};
use super::object::resolve;
use super::value::{Dict, Value};
use super::{Core, QueueView, manager, path, queues};

pub(super) static INTERFACE: Interface =
    Interface { name: "org.sockmgr.Manager1", methods: METHODS, ..Interface::EMPTY };

const NAME: &[Argument] = &[("name", "s")];
const JOBS: &[Argument] = &[("jobs", "ao")];

const METHODS: &[Method] = &[
    Method::any("ScaleUnit", Access::Change, &[("name", "s"), ("instances", "u")], JOBS, |call| {
        let (name, count): (String, u32) = call.arguments()?;
        direct(call, &name, Direction::Scale(Some(count)))
    }),
    Method::any("ResetScale", Access::Change, NAME, JOBS, |call| direct_named(call, Direction::Scale(None))),
    Method::any("DrainUnit", Access::Change, NAME, JOBS, |call| direct_named(call, Direction::Drain)),
    Method::any("UndrainUnit", Access::Change, NAME, JOBS, |call| direct_named(call, Direction::Undrain)),
    Method::any("HoldUnit", Access::Change, NAME, JOBS, |call| direct_named(call, Direction::Hold)),
    Method::any("ReleaseUnit", Access::Change, NAME, JOBS, |call| direct_named(call, Direction::Release)),
    // The jobs are those of the canary.
    Method::any("StartRollout", Access::Change, NAME, JOBS, |call| {
        let unit = named(call)?;
        let jobs = call.core.roll_out(&unit)?;
        answer_jobs(call, jobs)
    }),
    Method::any("PauseRollout", Access::Change, NAME, JOBS, |call| {
        direct_named(call, Direction::PauseRollout)
    }),
    Method::any("ResumeRollout", Access::Change, NAME, JOBS, |call| {
        direct_named(call, Direction::ResumeRollout)
    }),
    Method::any("UndoRollout", Access::Change, NAME, JOBS, |call| direct_named(call, Direction::UndoRollout)),
    // The phase, empty without a rollout, and why it stopped or was undone.
    Method::any("GetRollout", Access::Read, NAME, &[("phase", "s"), ("why", "s")], rollout),
    // One dictionary for each slot that somebody is or should be in, of the groups that a pattern names, or of all.
    Method::any("ListInstances", Access::Read, &[("patterns", "as")], &[("instances", "aa{sv}")], instances),
];

fn direct_named(call: &mut Call<'_>, direction: Direction) -> Answer {
    let name: String = call.arguments()?;
    direct(call, &name, direction)
}

fn direct(call: &mut Call<'_>, name: &str, direction: Direction) -> Answer {
    let unit = manager::parse_name(name)?;
    let unit = resolve(call.core, &unit);
    let jobs = call.core.direct(&unit, direction)?;
    answer_jobs(call, jobs)
}

fn named(call: &mut Call<'_>) -> Result<UnitName, BusError> {
    let name: String = call.arguments()?;
    let unit = manager::parse_name(&name)?;
    Ok(resolve(call.core, &unit))
}

fn rollout(call: &mut Call<'_>) -> Answer {
    let unit = named(call)?;
    let rollout = match call.core.engine().unit(&unit).map(|view| view.machine) {
        Some(MachineView::Group(group)) => group.rollout,
        Some(MachineView::Socket(_) | MachineView::Service(_) | MachineView::Target) | None => {
            return Err(RequestError::NotGroup(unit).into());
        }
    };
    let texts =
        rollout.map(|rollout| (rollout.phase.as_str().to_owned(), rollout.why.unwrap_or("").to_owned()));
    call.answer(&texts.unwrap_or_default())
}

fn answer_jobs(call: &mut Call<'_>, jobs: Vec<JobId>) -> Answer {
    call.outcome.notices.extend(call.core.take_notices());
    call.answer(&jobs.into_iter().map(path::of_job).collect::<Vec<OwnedObjectPath>>())
}

fn instances(call: &mut Call<'_>) -> Answer {
    let patterns: Vec<String> = call.arguments()?;
    let core = &*call.core;
    let engine = core.engine();
    let groups = engine.unit_names().filter(|name| patterns.is_empty() || is_meant(engine, name, &patterns));
    let rows: Vec<Dict> = groups.flat_map(|name| rows(core, name)).collect();
    call.answer(&rows)
}

/// A group is meant by its own name and by that of its socket.
fn is_meant(engine: &Engine, group: &UnitName, patterns: &[String]) -> bool {
    let sockets = engine.unit(group).map(|view| view.triggered_by).unwrap_or_default();
    let mut names = std::iter::once(group).chain(sockets);
    names.any(|name| patterns.iter().any(|pattern| glob::matches(pattern, name.as_str())))
}

fn rows(core: &dyn Core, name: &UnitName) -> Vec<Dict> {
    let Some(view) = core.engine().unit(name) else { return Vec::new() };
    match &view.machine {
        MachineView::Group(group) => {
            let queues = queues::of_sockets(core, &view.triggered_by);
            group.slots.iter().map(|slot| row(name, slot, &queues)).collect()
        }
        MachineView::Socket(_) | MachineView::Service(_) | MachineView::Target => Vec::new(),
    }
}

fn row(group: &UnitName, slot: &SlotView<'_>, queues: &[QueueView]) -> Dict {
    let mut values: Vec<(&str, Value)> = vec![
        ("Group", group.to_string().into()),
        ("Slot", slot.number.into()),
        ("Unit", slot.instance.to_string().into()),
        ("MainPID", slot.main_pid.into()),
        ("SubState", slot.state.into()),
        ("Generation", slot.generation.into()),
        ("Edition", if slot.is_next { "next" } else { "previous" }.into()),
        ("Rotation", slot.rotation.as_str().into()),
    ];
    values.extend(queues::of_slot(queues, slot.number - 1));
    Dict(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
