//! Signals by name or number (signal(7)), with Linux's numbers.
//!
//! Never here: sending one.
//! Invariant: a [`Signal`] is from 1 to 64.

use std::borrow::Cow;
use std::fmt;

use super::{ValueError, parse_i32};
use crate::directive::{Context, Property, Scalar};

/// A signal by its number on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

const EXPECTED: &str = "a signal: a name such as SIGTERM or TERM, or a number";

/// Names without SIG, at the index of their number; the order is that of x86, ARM and RISC-V.
const NAMES: [&str; 32] = [
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// First and last real-time signal that programs may use: the C library keeps 32 and 33.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    /// SIGHUP
    pub const HUP: Self = Self(1);
    /// SIGINT
    pub const INT: Self = Self(2);
    /// SIGABRT
    pub const ABRT: Self = Self(6);
    /// SIGKILL
    pub const KILL: Self = Self(9);
    /// SIGPIPE
    pub const PIPE: Self = Self(13);
    /// SIGTERM
    pub const TERM: Self = Self(15);

    /// The signal of that number; `None` outside 1 to 64.
    pub const fn from_number(number: i32) -> Option<Self> {
        if number >= 1 && number <= RTMAX { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// `SIGTERM`, `SIGRTMIN+3`; a number where it has no name (32 and 33).
    pub fn name(self) -> Cow<'static, str> {
        let plain = usize::try_from(self.0).ok().and_then(|number| NAMES.get(number));
        match (plain, self.0) {
            (Some(name), _) => format!("SIG{name}").into(),
            (None, RTMIN) => "SIGRTMIN".into(),
            (None, number @ RTMIN..) => format!("SIGRTMIN+{}", number - RTMIN).into(),
            (None, number) => number.to_string().into(),
        }
    }

    /// Reads a name, with or without SIG, or a number; case matters.
    ///
    /// # Errors
    /// There is no such signal.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let invalid = || ValueError::invalid(text, "a signal");
        let number = match parse_i32(text) {
            Ok(number) => Some(number),
            Err(_) => number_of_name(text.strip_prefix("SIG").unwrap_or(text)),
        };
        Self::from_number(number.ok_or_else(invalid)?)
            .ok_or_else(|| ValueError::range(text, "signals are 1 to 64"))
    }
}

fn number_of_name(name: &str) -> Option<i32> {
    if let Some(distance) = name.strip_prefix("RTMIN") {
        return real_time(RTMIN, distance, '+');
    }
    if let Some(distance) = name.strip_prefix("RTMAX") {
        return real_time(RTMAX, distance, '-');
    }
    let index = NAMES.iter().position(|known| *known == name && !name.is_empty())?;
    i32::try_from(index).ok()
}

/// `RTMIN` plus or `RTMAX` minus a distance that stays between the two.
fn real_time(end: i32, distance: &str, sign: char) -> Option<i32> {
    if distance.is_empty() {
        return Some(end);
    }
    let distance = distance.starts_with(sign).then(|| parse_i32(distance).ok()).flatten()?;
    end.checked_add(distance).filter(|number| (RTMIN..=RTMAX).contains(number))
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl Scalar for Signal {
    const FORM: &'static str = EXPECTED;
    const SIGNATURE: &'static str = "i";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        Self::parse(text)
    }

    fn property(&self) -> Property {
        Property::I32(self.0)
    }
}
