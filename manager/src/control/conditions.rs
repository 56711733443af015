//! Conditions and asserts of a unit, as org.freedesktop.systemd1.Unit shows them.
//!
//! Invariant: the last line comes first, as systemd has it, since it looks at that first.

use sockmgr_engine::Verdict;
use sockmgr_unit::value::{Condition, Conditions};

use super::subject::{UnitSubject, monotonic};
use super::value::Value;

/// Which of the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Conditions,
    Asserts,
}

impl List {
    fn verdict<'a>(self, unit: &UnitSubject<'a>) -> Option<&'a Verdict> {
        let view = unit.view.as_ref()?;
        match self {
            Self::Conditions => view.conditions,
            Self::Asserts => view.asserts,
        }
    }

    fn lines<'s>(self, unit: &'s UnitSubject<'_>) -> &'s Conditions {
        match self {
            Self::Conditions => &unit.unit.conditions.conditions,
            Self::Asserts => &unit.unit.conditions.asserts,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Conditions => "Condition",
            Self::Asserts => "Assert",
        }
    }
}

/// Whether they held at the last start. A unit without any has been found good whenever it was started.
pub(super) fn result(unit: &UnitSubject<'_>, list: List) -> Value {
    match list.verdict(unit) {
        Some(verdict) => verdict.holds.into(),
        None => started(unit).is_some().into(),
    }
}

/// When that was, in microseconds since 1970.
pub(super) fn realtime(unit: &UnitSubject<'_>, list: List) -> Value {
    unit.realtime(time(unit, list)).into()
}

/// When that was, by the monotonic clock.
pub(super) fn since_boot(unit: &UnitSubject<'_>, list: List) -> Value {
    monotonic(time(unit, list)).into()
}

fn time(unit: &UnitSubject<'_>, list: List) -> Option<sockmgr_engine::Time> {
    list.verdict(unit).map_or_else(|| started(unit), |verdict| verdict.at)
}

fn started(unit: &UnitSubject<'_>) -> Option<sockmgr_engine::Time> {
    let view = unit.view.as_ref()?;
    view.stamps.inactive_exit.filter(|_| unit.unit.conditions.is_empty())
}

/// `a(sbbsi)`: name, `|`, `!`, parameter, and 1, -1 or 0 for one that was not looked at.
pub(super) fn rows(unit: &UnitSubject<'_>, list: List) -> Value {
    let verdict = list.verdict(unit);
    let state = |line: usize| match verdict.and_then(|verdict| *verdict.lines.get(line)?) {
        Some(true) => 1,
        Some(false) => -1,
        None => 0,
    };
    let row = |(line, condition): (usize, &Condition)| -> (String, bool, bool, String, i32) {
        let name = format!("{}{}", list.prefix(), condition.kind);
        (name, condition.is_trigger, condition.is_negated, condition.parameter.to_string(), state(line))
    };
    list.lines(unit).iter().enumerate().rev().map(row).collect::<Vec<_>>().into()
}
