//! Small names for things that live elsewhere: descriptors, processes, jobs, moments.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use sockmgr_unit::value::Span;

/// A moment in microseconds of `CLOCK_MONOTONIC` (clock_gettime(2)), at the earliest 1, so that an optional one takes no more room. The engine never reads a clock; every call brings its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(NonZeroU64);

impl Default for Time {
    fn default() -> Self {
        Self(NonZeroU64::MIN)
    }
}

impl Time {
    /// The moment `micros` microseconds after the clock's zero.
    pub const fn from_micros(micros: u64) -> Self {
        match NonZeroU64::new(micros) {
            Some(micros) => Self(micros),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Microseconds since the clock's zero.
    pub const fn as_micros(self) -> u64 {
        self.0.get()
    }

    /// This moment plus `span`; `None` when the span is infinite, that is, never.
    pub fn after(self, span: Span) -> Option<Self> {
        if span.is_infinite() { None } else { self.0.checked_add(span.as_micros()).map(Self) }
    }
}

/// A file descriptor that the driver owns; the engine only names it. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FdId(pub u64);

/// A process that the keeper forked for us. Chosen by the engine, never reused, unlike a pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId(pub u64);

/// The number of a job, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u32);

impl fmt::Display for FdId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
