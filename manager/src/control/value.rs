//! Values: how the unit crate's properties become D-Bus variants.
//!
//! Never here: which properties there are. Invariant: a value has the signature that its table declares, since clients
//! treat another type as a broken manager.

use serde::Serialize;
use serde::ser::Serializer;
use sockmgr_sys::limits;
use sockmgr_sys::spawn::ResourceLimit;
use sockmgr_unit::value::{ExecCommand, LimitKind};
use sockmgr_unit::{Inherited, Property};
use zbus::wire::Type;
use zbus::{Signature, Variant};

/// A property's value as it goes over the wire.
pub(super) type Value = Variant<'static>;

/// `a{sv}` that keeps its order, so that `show` prints the same lines in the same order each time.
#[derive(Debug)]
pub(super) struct Dict(pub(super) Vec<(String, Value)>);

impl Serialize for Dict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Type for Dict {
    const SIGNATURE: &'static Signature = &Signature::static_dict(&Signature::Str, &Signature::Variant);
}

/// The run-time half of a command line in `ExecStart` and its like: `tttt uii` of `a(sasbttttuii)`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExecTimes {
    /// Begin and end: microseconds since 1970 and of the monotonic clock, 0 for never.
    pub(super) start: (u64, u64),
    pub(super) exit: (u64, u64),
    pub(super) pid: u32,
    /// `CLD_EXITED` and so on, and the exit code or the signal.
    pub(super) code: i32,
    pub(super) status: i32,
}

/// A property that a unit file decides.
pub(super) fn from_property(property: Property) -> Value {
    match property {
        Property::Bool(value) => value.into(),
        Property::U16(value) => value.into(),
        Property::U32(value) => value.into(),
        Property::I32(value) => value.into(),
        Property::U64(value) => value.into(),
        Property::I64(value) => value.into(),
        Property::Str(value) => value.into(),
        Property::Strs(value) => value.into(),
        Property::Listen(value) => value.into(),
        Property::Exec(commands) => exec_lines(&commands, |_| ExecTimes::default()),
        Property::EnvironmentFiles(value) => value.into(),
        Property::Bytes(value) => value.into(),
        Property::ByteStrings(value) => value.into(),
        Property::ExitStatuses(codes, signals) => (codes, signals).into(),
        Property::Binds(value) => value.into(),
        Property::AllowList(is_allow_list, names) => (is_allow_list, names).into(),
        Property::Links(value) => value.into(),
        Property::Inherited(inherited) => own(inherited),
    }
}

/// What this manager itself has.
fn own(inherited: Inherited) -> Value {
    let limit = |kind: LimitKind, of: fn(ResourceLimit) -> u64| {
        let found = limits::resource(kind.name()).and_then(|resource| limits::limit(resource).ok());
        found.map_or(u64::MAX, of)
    };
    match inherited {
        Inherited::HardLimit(kind) => limit(kind, |limit| limit.hard).into(),
        Inherited::SoftLimit(kind) => limit(kind, |limit| limit.soft).into(),
        Inherited::Nice => limits::nice().into(),
        Inherited::OomScoreAdjust => limits::oom_score_adjust().into(),
        Inherited::CpuPolicy => limits::scheduling_policy().into(),
        Inherited::CpuPriority => limits::scheduling_priority().into(),
        Inherited::IoClass => limits::io_priority().0.into(),
        Inherited::IoPriority => limits::io_priority().1.into(),
        Inherited::TimerSlack => limits::timer_slack().into(),
        Inherited::CoredumpFilter => limits::coredump_filter().into(),
    }
}

/// Command lines, each with what `times` knows of its last run.
pub(super) fn exec_lines(commands: &[ExecCommand], times: impl Fn(usize) -> ExecTimes) -> Value {
    let rows = commands.iter().enumerate().map(|(at, command)| exec_line(command, times(at)));
    rows.collect::<Vec<_>>().into()
}

type ExecLine = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);

fn exec_line(command: &ExecCommand, times: ExecTimes) -> ExecLine {
    let argv = command.argv.iter().map(ToString::to_string).collect();
    let ExecTimes { start, exit, pid, code, status } = times;
    let path = command.path.to_string();
    (path, argv, command.flags.ignore_failure, start.0, start.1, exit.0, exit.1, pid, code, status)
}

/// The names of units, as `as`.
pub(super) fn names<'a>(units: impl IntoIterator<Item = &'a sockmgr_unit::UnitName>) -> Value {
    units.into_iter().map(ToString::to_string).collect::<Vec<_>>().into()
}
