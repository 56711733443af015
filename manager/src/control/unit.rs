//! `org.freedesktop.systemd1.Unit` and `.Target`: what all units have.
//!
//! Never here: what one kind of unit has alone. Invariant: what the engine knows (implied and mirrored ties) wins over what
//! the file says.

use sockmgr_engine::{Stamps, Time, UnitView, Verb};
use sockmgr_unit::{LoadState, Relation, UnitName};

use super::conditions::{self, List};
use super::dispatch::{Answer, Call};
use super::error::load_error_name;
use super::interface::{Access, Argument, Field, Interface, Method};
use super::subject::{UnitSubject, monotonic};
use super::value::{Value, names};
use super::{clean, path, request};

pub(super) static INTERFACE: Interface = Interface {
    name: "org.freedesktop.systemd1.Unit",
    files: Some(sockmgr_unit::Interface::Unit),
    fields: FIELDS,
    methods: METHODS,
    ..Interface::EMPTY
};

/// A target has nothing of its own, but clients ask for the interface by the type of a unit.
pub(super) static TARGET: Interface =
    Interface { name: "org.freedesktop.systemd1.Target", ..Interface::EMPTY };

const FIELDS: &[Field] = &[
    Field::of_unit("Following", "s", |_| "".into()),
    Field::of_unit("Before", "as", |unit| related(unit, Relation::Before)),
    Field::of_unit("After", "as", |unit| related(unit, Relation::After)),
    Field::of_unit("Requires", "as", |unit| related(unit, Relation::Requires)),
    Field::of_unit("RequiredBy", "as", |unit| related(unit, Relation::RequiredBy)),
    Field::of_unit("Requisite", "as", |unit| related(unit, Relation::Requisite)),
    Field::of_unit("RequisiteOf", "as", |unit| related(unit, Relation::RequisiteOf)),
    Field::of_unit("Wants", "as", |unit| related(unit, Relation::Wants)),
    Field::of_unit("WantedBy", "as", |unit| related(unit, Relation::WantedBy)),
    Field::of_unit("BindsTo", "as", |unit| related(unit, Relation::BindsTo)),
    Field::of_unit("BoundBy", "as", |unit| related(unit, Relation::BoundBy)),
    Field::of_unit("PartOf", "as", |unit| related(unit, Relation::PartOf)),
    Field::of_unit("ConsistsOf", "as", |unit| related(unit, Relation::ConsistsOf)),
    Field::of_unit("Upholds", "as", |unit| related(unit, Relation::Upholds)),
    Field::of_unit("UpheldBy", "as", |unit| related(unit, Relation::UpheldBy)),
    Field::of_unit("Conflicts", "as", |unit| related(unit, Relation::Conflicts)),
    Field::of_unit("ConflictedBy", "as", |unit| related(unit, Relation::ConflictedBy)),
    Field::of_unit("OnFailure", "as", |unit| related(unit, Relation::OnFailure)),
    Field::of_unit("OnFailureOf", "as", |unit| related(unit, Relation::OnFailureOf)),
    Field::of_unit("OnSuccess", "as", |unit| related(unit, Relation::OnSuccess)),
    Field::of_unit("OnSuccessOf", "as", |unit| related(unit, Relation::OnSuccessOf)),
    Field::of_unit("PropagatesReloadTo", "as", |unit| related(unit, Relation::PropagatesReloadTo)),
    Field::of_unit("ReloadPropagatedFrom", "as", |unit| related(unit, Relation::ReloadPropagatedFrom)),
    Field::of_unit("PropagatesStopTo", "as", |unit| related(unit, Relation::PropagatesStopTo)),
    Field::of_unit("StopPropagatedFrom", "as", |unit| related(unit, Relation::StopPropagatedFrom)),
    Field::of_unit("Triggers", "as", |unit| ties(unit, |view| &view.triggers)),
    Field::of_unit("TriggeredBy", "as", |unit| ties(unit, |view| &view.triggered_by)),
    Field::of_unit("ActiveState", "s", |unit| unit.active_state().as_str().into()).announced(),
    Field::of_unit("SubState", "s", |unit| unit.sub_state().into()).announced(),
    Field::of_unit("StateChangeTimestamp", "t", |unit| realtime(unit, |s| s.state_change)).announced(),
    Field::of_unit("StateChangeTimestampMonotonic", "t", |unit| since_boot(unit, |s| s.state_change))
        .announced(),
    Field::of_unit("InactiveExitTimestamp", "t", |unit| realtime(unit, |s| s.inactive_exit)).announced(),
    Field::of_unit("InactiveExitTimestampMonotonic", "t", |unit| since_boot(unit, |s| s.inactive_exit))
        .announced(),
    Field::of_unit("ActiveEnterTimestamp", "t", |unit| realtime(unit, |s| s.active_enter)).announced(),
    Field::of_unit("ActiveEnterTimestampMonotonic", "t", |unit| since_boot(unit, |s| s.active_enter))
        .announced(),
    Field::of_unit("ActiveExitTimestamp", "t", |unit| realtime(unit, |s| s.active_exit)).announced(),
    Field::of_unit("ActiveExitTimestampMonotonic", "t", |unit| since_boot(unit, |s| s.active_exit))
        .announced(),
    Field::of_unit("InactiveEnterTimestamp", "t", |unit| realtime(unit, |s| s.inactive_enter)).announced(),
    Field::of_unit("InactiveEnterTimestampMonotonic", "t", |unit| since_boot(unit, |s| s.inactive_enter))
        .announced(),
    Field::of_unit("CanStart", "b", |unit| {
        (is_loaded(unit) && !unit.unit.relations.refuse_manual_start).into()
    }),
    Field::of_unit("CanStop", "b", |unit| {
        (unit.view.is_some() && !unit.unit.relations.refuse_manual_stop).into()
    }),
    Field::of_unit("CanReload", "b", |unit| can_reload(unit).into()),
    Field::of_unit("CanClean", "as", |unit| clean::names(&unit.unit).into()),
    Field::of_unit("CanIsolate", "b", |unit| (is_loaded(unit) && unit.unit.relations.allow_isolate).into()),
    Field::of_unit("ConditionResult", "b", |unit| conditions::result(unit, List::Conditions)).announced(),
    Field::of_unit("AssertResult", "b", |unit| conditions::result(unit, List::Asserts)).announced(),
    Field::of_unit("ConditionTimestamp", "t", |unit| conditions::realtime(unit, List::Conditions))
        .announced(),
    Field::of_unit("ConditionTimestampMonotonic", "t", |unit| conditions::since_boot(unit, List::Conditions))
        .announced(),
    Field::of_unit("AssertTimestamp", "t", |unit| conditions::realtime(unit, List::Asserts)).announced(),
    Field::of_unit("AssertTimestampMonotonic", "t", |unit| conditions::since_boot(unit, List::Asserts))
        .announced(),
    Field::of_unit("Conditions", "a(sbbsi)", |unit| conditions::rows(unit, List::Conditions)),
    Field::of_unit("Asserts", "a(sbbsi)", |unit| conditions::rows(unit, List::Asserts)),
    Field::of_unit("Job", "(uo)", job).announced(),
    Field::of_unit("InvocationID", "ay", |unit| invocation(unit).into()).announced(),
    Field::of_unit("LoadError", "(ss)", load_error),
    Field::of_unit("UnitFileState", "s", |unit| unit.core.unit_file_state(&unit.unit.name).0.into()),
    Field::of_unit("UnitFilePreset", "s", |unit| unit.core.unit_file_state(&unit.unit.name).1.into()),
    Field::of_unit("NeedDaemonReload", "b", |unit| unit.core.needs_reload(&unit.unit).into()),
];

fn ties<'s>(unit: &'s UnitSubject<'_>, of: fn(&'s UnitView<'_>) -> &'s Vec<&'s UnitName>) -> Value {
    names(unit.view.as_ref().map(of).into_iter().flatten().copied())
}

fn related(unit: &UnitSubject<'_>, relation: Relation) -> Value {
    names(&unit.core.engine().shown_relation(&unit.unit.name, relation))
}

fn stamp(unit: &UnitSubject<'_>, of: fn(&Stamps) -> Option<Time>) -> Option<Time> {
    unit.view.as_ref().and_then(|view| of(&view.stamps))
}

fn realtime(unit: &UnitSubject<'_>, of: fn(&Stamps) -> Option<Time>) -> Value {
    unit.realtime(stamp(unit, of)).into()
}

fn since_boot(unit: &UnitSubject<'_>, of: fn(&Stamps) -> Option<Time>) -> Value {
    monotonic(stamp(unit, of)).into()
}

fn is_loaded(unit: &UnitSubject<'_>) -> bool {
    unit.unit.load_state == LoadState::Loaded
}

fn can_reload(unit: &UnitSubject<'_>) -> bool {
    is_loaded(unit) && unit.unit.service().is_some_and(|service| service.service.can_reload())
}

fn job(unit: &UnitSubject<'_>) -> Value {
    match unit.view.as_ref().and_then(|view| view.job) {
        Some((id, _)) => (id.0, path::of_job(id)).into(),
        None => (0u32, path::none()).into(),
    }
}

/// 16 bytes; none before the first start.
fn invocation(unit: &UnitSubject<'_>) -> Vec<u8> {
    let id = unit.service().map_or(0, |service| service.invocation);
    if id == 0 { Vec::new() } else { id.to_be_bytes().to_vec() }
}

/// Error name and text; both empty for a unit that is loaded.
fn load_error(unit: &UnitSubject<'_>) -> Value {
    if is_loaded(unit) {
        return (String::new(), String::new()).into();
    }
    let text = match unit.unit.load_state {
        LoadState::Masked => format!("Unit {} is masked.", unit.unit.name),
        _ => unit.unit.load_error.clone().unwrap_or_default(),
    };
    (load_error_name(unit.unit.load_state).as_str().to_owned(), text).into()
}

const MODE: &[Argument] = &[("mode", "s")];
const JOB: &[Argument] = &[("job", "o")];

const METHODS: &[Method] = &[
    Method::of_unit("Start", Access::Change, MODE, JOB, |call, unit| queue(call, unit, Verb::Start)),
    Method::of_unit("Stop", Access::Change, MODE, JOB, |call, unit| queue(call, unit, Verb::Stop)),
    Method::of_unit("Reload", Access::Change, MODE, JOB, |call, unit| queue(call, unit, Verb::Reload)),
    Method::of_unit("Restart", Access::Change, MODE, JOB, |call, unit| queue(call, unit, Verb::Restart)),
    Method::of_unit("TryRestart", Access::Change, MODE, JOB, |call, unit| {
        queue(call, unit, Verb::TryRestart)
    }),
    Method::of_unit("ReloadOrRestart", Access::Change, MODE, JOB, |call, unit| {
        queue(call, unit, Verb::ReloadOrRestart)
    }),
    Method::of_unit("ReloadOrTryRestart", Access::Change, MODE, JOB, |call, unit| {
        queue(call, unit, Verb::ReloadOrTryRestart)
    }),
    Method::of_unit("EnqueueJob", Access::Change, &[("job_type", "s"), ("job_mode", "s")], ENQUEUED, enqueue),
    Method::of_unit("Kill", Access::Change, &[("whom", "s"), ("signal", "i")], &[], kill),
    Method::of_unit("ResetFailed", Access::Change, &[], &[], |call, unit| {
        call.core.reset_failed(Some(unit))?;
        call.answer(&())
    }),
    Method::of_unit("Clean", Access::Change, &[("mask", "as")], &[], |call, unit| {
        let mask: Vec<String> = call.arguments()?;
        clean::clean(call, unit, &mask)
    }),
    // Units stay in memory as long as they have a file, so there is nothing to hold; `systemctl --wait` asks for it.
    Method::of_unit("Ref", Access::Change, &[], &[], |call, _| call.answer(&())),
    Method::of_unit("Unref", Access::Change, &[], &[], |call, _| call.answer(&())),
];

/// What EnqueueUnitJob and EnqueueJob return.
pub(super) const ENQUEUED: &[Argument] = &[
    ("job_id", "u"),
    ("job_path", "o"),
    ("unit_id", "s"),
    ("unit_path", "o"),
    ("job_type", "s"),
    ("affected_jobs", "a(uosos)"),
];

fn queue(call: &mut Call<'_>, unit: &UnitName, verb: Verb) -> Answer {
    let mode: String = call.arguments()?;
    request::queue(call, unit.clone(), verb, &mode)
}

fn enqueue(call: &mut Call<'_>, unit: &UnitName) -> Answer {
    let (kind, mode): (String, String) = call.arguments()?;
    request::enqueue(call, unit.clone(), &kind, &mode)
}

fn kill(call: &mut Call<'_>, unit: &UnitName) -> Answer {
    let (who, signal): (String, i32) = call.arguments()?;
    request::kill(call, unit, &who, signal)
}
