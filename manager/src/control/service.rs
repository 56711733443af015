//! `org.freedesktop.systemd1.Service`: what a service has at run time; what its file says comes from the directive table.
//!
//! A group of instances is a service as well: without a main process of its own, with the counts of all together.
//! Never here: how a service is run. Invariant: every property is there for every service, in whatever state.

use sockmgr_engine::{
    CommandRecord, ExecList, ExitStatus, GroupView, MachineView, ServiceResult, ServiceView, Time, commands,
};
use sockmgr_unit::NotifyAccess;

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
        Field::of_unit("ReloadResult", "s", |unit| reload_result(unit).as_str().into()).announced(),
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
        Field::of_unit("StatusBusError", "s", |unit| status_bus_error(unit).into()).announced(),
        Field::of_unit("NotifyAccess", "s", |unit| notify_access(unit).as_str().into()),
        Field::of_unit("WatchdogUSec", "t", |unit| watchdog(unit).into()),
        Field::of_unit("WatchdogTimestamp", "t", |unit| unit.realtime(watchdog_ping(unit)).into()),
        Field::of_unit("WatchdogTimestampMonotonic", "t", |unit| monotonic(watchdog_ping(unit)).into()),
        Field::of_unit("NFileDescriptorStore", "u", |unit| stored(unit).into()).announced(),
        Field::of_unit("ExecCondition", EXEC, |unit| exec_list(unit, ExecList::Condition)).announced(),
        Field::of_unit("ExecStartPre", EXEC, |unit| exec_list(unit, ExecList::StartPre)).announced(),
        Field::of_unit("ExecStart", EXEC, |unit| exec_list(unit, ExecList::Start)).announced(),
        Field::of_unit("ExecStartPost", EXEC, |unit| exec_list(unit, ExecList::StartPost)).announced(),
        Field::of_unit("ExecReload", EXEC, |unit| exec_list(unit, ExecList::Reload)).announced(),
        Field::of_unit("ExecStop", EXEC, |unit| exec_list(unit, ExecList::Stop)).announced(),
        Field::of_unit("ExecStopPost", EXEC, |unit| exec_list(unit, ExecList::StopPost)).announced(),
    ],
    ..Interface::EMPTY
};

fn status_text(unit: &UnitSubject<'_>) -> String {
    unit.service().and_then(|service| service.status_text).unwrap_or_default().to_owned()
}

fn reload_result(unit: &UnitSubject<'_>) -> ServiceResult {
    unit.service().map_or(ServiceResult::Success, |service| service.reload_result)
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

/// Command lines with what became of each when it last ran.
const EXEC: &str = "a(sasbttttuii)";

fn exec_list(unit: &UnitSubject<'_>, list: ExecList) -> Value {
    let lines = unit.unit.service().map(|service| commands(service, list)).unwrap_or_default();
    let records = unit.service().map(|service| service.commands).unwrap_or_default();
    let of_line = |at: usize| {
        let is_it = |record: &&CommandRecord| record.list == list && usize::from(record.index) == at;
        records.iter().find(is_it).map_or_else(ExecTimes::default, |record| exec_times(unit, record))
    };
    exec_lines(lines, of_line)
}

fn exec_times(unit: &UnitSubject<'_>, record: &CommandRecord) -> ExecTimes {
    let both = |time| (unit.realtime(time), monotonic(time));
    let (code, status) = wait_status(record.end.map(|(_, status)| status));
    ExecTimes {
        start: both(Some(record.start)),
        exit: both(record.end.map(|(time, _)| time)),
        pid: record.pid,
        code,
        status,
    }
}

fn status_bus_error(unit: &UnitSubject<'_>) -> String {
    unit.service().and_then(|service| service.bus_error).unwrap_or_default().to_owned()
}

/// What the service has asked for, else what its file says.
fn notify_access(unit: &UnitSubject<'_>) -> NotifyAccess {
    let of_file =
        || unit.unit.service().map_or(NotifyAccess::None, |file| file.service.effective_notify_access());
    unit.service().and_then(|service| service.notify_access).unwrap_or_else(of_file)
}

/// Microseconds, likewise.
/// Before the first start there is none, as for systemd.
fn watchdog(unit: &UnitSubject<'_>) -> u64 {
    if main_start(unit).is_none() {
        return u64::MAX;
    }
    let asked_for = unit.service().and_then(|service| service.watchdog);
    let of_file = unit.unit.service().map(|file| file.service.watchdog_sec);
    asked_for.or(of_file).unwrap_or_default().as_micros()
}

fn watchdog_ping(unit: &UnitSubject<'_>) -> Option<Time> {
    unit.service()?.watchdog_ping
}

/// Descriptors left with us; of a group, by all instances together.
fn stored(unit: &UnitSubject<'_>) -> u32 {
    let count = |service: &ServiceView<'_>| u32::try_from(service.stored.len()).unwrap_or(u32::MAX);
    unit.service().map_or_else(|| instances(unit, count).into_iter().sum(), count)
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
fn instances<T>(unit: &UnitSubject<'_>, of: impl Fn(&ServiceView<'_>) -> T) -> Vec<T> {
    let engine = unit.core.engine();
    let slots = unit.group().map(|GroupView { slots, .. }| slots.as_slice()).unwrap_or_default();
    let views = slots.iter().filter_map(|slot| engine.unit(slot.instance));
    let of_service =
        |machine| if let MachineView::Service(service) = machine { Some(of(&service)) } else { None };
    views.filter_map(|view| of_service(view.machine)).collect()
}
