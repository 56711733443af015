//! Limits of resources, `soft:hard` (systemd.exec(5), setrlimit(2)).
//!
//! Never here: setting one.
//! Invariant: the soft limit is not above the hard one.

use std::fmt;

use super::span::Span;
use super::{Size, ValueError, parse_u64};
use crate::directive::{Context, Property, Scalar};

/// A soft and a hard limit; [`Rlimit::INFINITY`] in either is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// What applies.
    pub soft: u64,
    /// How far the program may raise it.
    pub hard: u64,
}

/// What a resource is counted in, which decides how its limit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Things: NOFILE, NPROC, LOCKS, SIGPENDING, RTPRIO.
    Count,
    /// Bytes: FSIZE, DATA, STACK, CORE, RSS, AS, MEMLOCK, MSGQUEUE.
    Bytes,
    /// Seconds, rounded up: CPU.
    Seconds,
    /// Microseconds: RTTIME.
    Microseconds,
    /// Nice values: `+n` and `-n` as nice(1) counts, else 0 (nice 20) to 40 (nice -20): NICE.
    Nice,
}

const EXPECTED: &str = "a limit: a number, soft:hard, or infinity";

impl Rlimit {
    /// No limit; the kernel's RLIM_INFINITY.
    pub const INFINITY: u64 = u64::MAX;

    /// Reads one limit for both, or `soft:hard`.
    ///
    /// # Errors
    /// Either is not of the resource's form, or the soft limit is above the hard one.
    pub fn parse(text: &str, resource: Resource) -> Result<Self, ValueError> {
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let limit = Self { soft: resource.parse(soft)?, hard: resource.parse(hard)? };
        if limit.soft > limit.hard {
            return Err(ValueError::range(text, "the soft limit must not be higher than the hard limit"));
        }
        Ok(limit)
    }
}

impl Resource {
    fn parse(self, text: &str) -> Result<u64, ValueError> {
        if text == "infinity" {
            return Ok(Rlimit::INFINITY);
        }
        let limit = match self {
            Self::Count => parse_u64(text),
            Self::Bytes => Size::parse(text).map(|size| size.0),
            Self::Seconds => Span::parse(text).map(|span| span.as_micros().div_ceil(1_000_000)),
            Self::Microseconds => Span::parse_in(text, 1).map(Span::as_micros),
            Self::Nice => nice(text),
        }?;
        // Infinity is only ever written as a word.
        if limit == Rlimit::INFINITY {
            Err(ValueError::range(text, "write infinity for no limit"))
        } else {
            Ok(limit)
        }
    }
}

/// The kernel counts from 0 (nice 20, least) to 40 (nice -20, most).
fn nice(text: &str) -> Result<u64, ValueError> {
    let range = || ValueError::range(text, "a nice value is -20 to +19, or without sign 0 to 40");
    let (sign, magnitude) = match text.split_at_checked(1) {
        Some((sign @ ("+" | "-"), magnitude)) => (sign, parse_u64(magnitude)?),
        _ => ("", parse_u64(text)?),
    };
    match sign {
        "+" if magnitude <= 19 => Ok(20 - magnitude),
        "-" if magnitude <= 20 => Ok(20 + magnitude),
        "" if magnitude <= 40 => Ok(magnitude),
        _ => Err(range()),
    }
}

impl fmt::Display for Rlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show =
            |limit: u64| if limit == Self::INFINITY { "infinity".to_owned() } else { limit.to_string() };
        if self.soft == self.hard {
            f.write_str(&show(self.soft))
        } else {
            write!(f, "{}:{}", show(self.soft), show(self.hard))
        }
    }
}

/// The limits that unit files have so far count things; the D-Bus property is the hard limit, as systemd's is.
impl Scalar for Rlimit {
    const FORM: &'static str = EXPECTED;
    const SIGNATURE: &'static str = "t";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        Self::parse(text, Resource::Count)
    }

    fn property(&self) -> Property {
        Property::U64(self.hard)
    }
}
