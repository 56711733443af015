//! `org.freedesktop.systemd1.Service`: what a service has at run time; what its file says comes from the directive table.
//!
//! A group of instances is a service as well: without a main process of its own, with the counts of all together.
//! Never here: how a service is run. Invariant: every property is there for every service, in whatever state.

use sockmgr_engine::{ExitStatus, GroupView, MachineView, ServiceResult, ServiceView, Time};

use super::interface::{Field, Interface};
use super::subject::{UnitSubject, monotonic};
use super::value::{ExecTimes, Value, exec_lines};

pub(super) static INTERFACE: Interface = Interface {
    name: "org.freedesktop.systemd1.Service",
    files: Some(sockmgr_unit::Interface::Service),
    fields: &[
        Field::of_unit("MainPID", "u", |unit| unit.service().map_or(0, |service| service.main_pid).into())
            .announced(),
        Field::of_unit("ControlPID", "u", |unit| {
            unit.service().map_or(0, |service| service.control_pid).into()
        })
        .announced(),
        Field::of_unit("StatusText", "s", |unit| status_text(unit).into()).announced(),
        Field::of_unit("StatusErrno", "i", |unit| {
            unit.service().map_or(0, |service| service.status_errno).into()
        })
        .announced(),
        Field::of_unit("Result", "s", |unit| result(unit).as_str().into()).announced(),
        Field::of_unit("NRestarts", "u", |unit| restarts(unit).into()).announced(),
        Field::of_unit("ExecMainStartTimestamp", "t", |unit| unit.realtime(main_start(unit)).into())
            .announced(),
        Field::of_unit("ExecMainStartTimestampMonotonic", "t", |unit| monotonic(main_start(unit)).into())
            .announced(),
        Field::of_unit("ExecMainExitTimestamp", "t", |unit| unit.realtime(main_exit(unit)).into())
            .announced(),
        Field::of_unit("ExecMainExitTimestampMonotonic", "t", |unit| monotonic(main_exit(unit)).into())
            .announced(),
        Field::of_unit("ExecMainPID", "u", |unit| {
            unit.service().map_or(0, |service| service.exec_main_pid).into()
        })
        .announced(),
        Field::of_unit("ExecMainCode", "i", |unit| wait_status(main_status(unit)).0.into()).announced(),
        Field::of_unit("ExecMainStatus", "i", |unit| wait_status(main_status(unit)).1.into()).announced(),
        Field::of_unit("ExecStart", "a(sasbttttuii)", exec_start),
    ],
    ..Interface::EMPTY
};

fn status_text(unit: &UnitSubject<'_>) -> String {
    unit.service().and_then(|service| service.status_text).unwrap_or_default().to_owned()
}

fn main_start(unit: &UnitSubject<'_>) -> Option<Time> {
    unit.service()?.exec_main_start
}

fn main_exit(unit: &UnitSubject<'_>) -> Option<Time> {
    unit.service()?.exec_main_exit
}

fn main_status(unit: &UnitSubject<'_>) -> Option<ExitStatus> {
    unit.service()?.exec_main_status
}

/// `si_code` and `si_status` of waitid(2); zeros while nothing has ended.
fn wait_status(status: Option<ExitStatus>) -> (i32, i32) {
    const CLD_EXITED: i32 = 1;
    const CLD_KILLED: i32 = 2;
    const CLD_DUMPED: i32 = 3;
    match status {
        None => (0, 0),
        Some(ExitStatus::Exited(code)) => (CLD_EXITED, code),
        Some(ExitStatus::Killed(signal)) => (CLD_KILLED, signal),
        Some(ExitStatus::Dumped(signal)) => (CLD_DUMPED, signal),
    }
}

/// The command lines; the last one is the main process.
fn exec_start(unit: &UnitSubject<'_>) -> Value {
    let commands =
        unit.unit.service().map(|service| service.service.exec_start.as_slice()).unwrap_or_default();
    let (code, status) = wait_status(main_status(unit));
    let both = |time| (unit.realtime(time), monotonic(time));
    let pid = unit.service().map_or(0, |service| service.exec_main_pid);
    exec_lines(
        commands,
        ExecTimes { start: both(main_start(unit)), exit: both(main_exit(unit)), pid, code, status },
    )
}

/// How the service last ended; of a group, how the first instance did that did not end well.
fn result(unit: &UnitSubject<'_>) -> ServiceResult {
    if let Some(service) = unit.service() {
        return service.result;
    }
    let mut results = instances(unit, |service| service.result).into_iter();
    results.find(|result| *result != ServiceResult::Success).unwrap_or_default()
}

fn restarts(unit: &UnitSubject<'_>) -> u32 {
    match unit.service() {
        Some(service) => service.n_restarts,
        None => instances(unit, |service| service.n_restarts).into_iter().sum(),
    }
}

/// What `of` says of each instance of a group; nothing for other units.
fn instances<T>(unit: &UnitSubject<'_>, of: fn(&ServiceView<'_>) -> T) -> Vec<T> {
    let engine = unit.core.engine();
    let slots = unit.group().map(|GroupView { slots, .. }| slots.as_slice()).unwrap_or_default();
    let views = slots.iter().filter_map(|slot| engine.unit(slot.instance));
    let of_service =
        |machine| if let MachineView::Service(service) = machine { Some(of(&service)) } else { None };
    views.filter_map(|view| of_service(view.machine)).collect()
}
