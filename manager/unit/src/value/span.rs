//! Time spans: `1min 30s`, `500ms`, `infinity` (systemd.time(7)).
//!
//! Never here: points in time; the engine has its own clock.
//! Invariant: a span counts whole microseconds; `u64::MAX` is infinity and nothing else.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ValueError;
use super::number::{BLANKS, split_digits};
use crate::directive::{Context, Property, Scalar};

/// A length of time in microseconds, or infinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span(u64);

const SECOND: u64 = 1_000_000;

/// Every spelling of every unit with its microseconds; a spelling stands before those that begin it.
const UNITS: [(&str, u64); 31] = [
    ("seconds", SECOND),
    ("second", SECOND),
    ("sec", SECOND),
    ("s", SECOND),
    ("minutes", 60 * SECOND),
    ("minute", 60 * SECOND),
    ("min", 60 * SECOND),
    ("months", 2_629_800 * SECOND),
    ("month", 2_629_800 * SECOND),
    ("M", 2_629_800 * SECOND),
    ("msec", 1000),
    ("ms", 1000),
    ("m", 60 * SECOND),
    ("hours", 3600 * SECOND),
    ("hour", 3600 * SECOND),
    ("hr", 3600 * SECOND),
    ("h", 3600 * SECOND),
    ("days", 86_400 * SECOND),
    ("day", 86_400 * SECOND),
    ("d", 86_400 * SECOND),
    ("weeks", 604_800 * SECOND),
    ("week", 604_800 * SECOND),
    ("w", 604_800 * SECOND),
    ("years", 31_557_600 * SECOND),
    ("year", 31_557_600 * SECOND),
    ("y", 31_557_600 * SECOND),
    ("usec", 1),
    ("us", 1),
    // Greek mu and the micro sign look the same.
    ("\u{3bc}s", 1),
    ("\u{b5}s", 1),
    ("", 0),
];

/// What [`Span`] is printed in.
const PRINTED: [(&str, u64); 9] = [
    ("y", 31_557_600 * SECOND),
    ("month", 2_629_800 * SECOND),
    ("w", 604_800 * SECOND),
    ("d", 86_400 * SECOND),
    ("h", 3600 * SECOND),
    ("min", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1000),
    ("us", 1),
];

const EXPECTED: &str = "a time span, such as 500ms, 90 (seconds), 1min 30s or infinity";
const LIMIT: &str = "a time span is not negative and below 584542 years; write infinity for no limit";

impl Span {
    /// No end.
    pub const INFINITY: Self = Self(u64::MAX);
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// One of so many equal parts; of what has no end, none has.
    pub const fn part(self, of: u64) -> Self {
        if self.is_infinite() { self } else { Self(self.0 / of) }
    }

    /// So many seconds; infinity where that is more than a span can be.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// So many milliseconds; infinity where that is more than a span can be.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds.saturating_mul(1000))
    }

    /// So many microseconds; `u64::MAX` is infinity.
    pub const fn from_micros(microseconds: u64) -> Self {
        Self(microseconds)
    }

    /// Microseconds; `u64::MAX` is infinity.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whether it never ends.
    pub const fn is_infinite(self) -> bool {
        self.0 == u64::MAX
    }

    /// `None`: infinity.
    pub const fn to_duration(self) -> Option<Duration> {
        if self.is_infinite() { None } else { Some(Duration::from_micros(self.0)) }
    }

    /// Reads one or more numbers with units, which add up; without a unit, seconds.
    ///
    /// # Errors
    /// It is no time span, or longer than one can be.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        Self::parse_in(text, SECOND)
    }

    /// [`Self::parse`] where a number without unit counts `unit` microseconds.
    pub(super) fn parse_in(text: &str, unit: u64) -> Result<Self, ValueError> {
        sum_of_terms(text, &UNITS, unit).map(Self)
    }
}

/// Nanoseconds, as [`Span`] reads microseconds, with `ns` and `nsec` beside; without a unit, nanoseconds.
///
/// # Errors
/// As [`Span::parse`].
pub(super) fn parse_nanoseconds(text: &str) -> Result<u64, ValueError> {
    let nanoseconds = [("nsec", 1), ("ns", 1)];
    let others = UNITS.iter().map(|(name, unit)| (*name, unit * 1000));
    let units: Vec<(&str, u64)> = nanoseconds.into_iter().chain(others).collect();
    sum_of_terms(text, &units, 1)
}

/// `u64::MAX` is infinity. A number without unit counts `default`.
fn sum_of_terms(text: &str, units: &[(&str, u64)], default: u64) -> Result<u64, ValueError> {
    let text = text.trim_matches(BLANKS);
    if text == "infinity" {
        return Ok(u64::MAX);
    }
    if text.is_empty() {
        return Err(ValueError::Empty);
    }
    let mut sum = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let term =
            Term::read(rest, units, default).ok_or_else(|| ValueError::invalid(text, "a time span"))?;
        sum = term.add_to(sum).ok_or_else(|| ValueError::range(text, LIMIT))?;
        rest = term.rest;
    }
    Ok(sum)
}

/// One number with its unit.
struct Term<'a> {
    negative: bool,
    whole: &'a str,
    /// Digits after the dot; empty without one.
    fraction: &'a str,
    unit: u64,
    rest: &'a str,
}

impl<'a> Term<'a> {
    fn read(text: &'a str, units: &[(&str, u64)], default_unit: u64) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = split_digits(unsigned);
        let (fraction, rest) = match rest.strip_prefix('.') {
            // A sign needs digits of its own: `+.5` is none.
            Some(_) if whole.is_empty() && unsigned.len() != text.len() => return None,
            Some(rest) => Some(split_digits(rest)).filter(|(digits, _)| !digits.is_empty())?,
            None if whole.is_empty() => return None,
            None => ("", rest),
        };
        let (unit, rest) = split_unit(rest, units, default_unit)?;
        Some(Self { negative, whole, fraction, unit, rest })
    }

    /// `None`: too large, or negative.
    fn add_to(&self, sum: u64) -> Option<u64> {
        let whole: i64 = if self.whole.is_empty() { 0 } else { self.whole.parse().ok()? };
        let whole = u64::try_from(whole).ok().filter(|&whole| whole < u64::MAX / self.unit)?;
        let mut sum = sum.checked_add(whole * self.unit)?;
        let mut place = self.unit / 10;
        for digit in self.fraction.bytes() {
            sum = sum.checked_add(u64::from(digit - b'0') * place)?;
            place /= 10;
        }
        // u64::MAX means infinity, which is only ever written as a word.
        (!self.negative && sum < u64::MAX).then_some(sum)
    }
}

/// The unit that `text` begins with, and what follows it. Without a unit there must be a blank or the end.
fn split_unit<'a>(text: &'a str, units: &[(&str, u64)], default: u64) -> Option<(u64, &'a str)> {
    let trimmed = text.trim_start_matches(BLANKS);
    let (name, unit) = units.iter().find(|(name, _)| trimmed.starts_with(name))?;
    if name.is_empty() && trimmed.len() == text.len() && !text.is_empty() {
        return None;
    }
    let unit = if name.is_empty() { default } else { *unit };
    Some((unit, trimmed[name.len()..].trim_start_matches(BLANKS)))
}

/// As systemd prints it: `1min 30s`, `1.500ms`, `0`, `infinity`; reading that gives the same span.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_infinite() {
            return f.write_str("infinity");
        }
        if self.0 == 0 {
            return f.write_str("0");
        }
        let mut left = self.0;
        let mut blank = "";
        for (name, unit) in PRINTED {
            if left < unit {
                continue;
            }
            let (count, rest) = (left / unit, left % unit);
            // Below a minute the rest is a fraction; `{:06}` for seconds, `{:03}` for milliseconds.
            if left < 60 * SECOND && rest > 0 {
                let digits = unit.ilog10() as usize;
                return write!(f, "{blank}{count}.{rest:0digits$}{name}");
            }
            write!(f, "{blank}{count}{name}")?;
            left = rest;
            blank = " ";
        }
        Ok(())
    }
}

impl Scalar for Span {
    const FORM: &'static str = EXPECTED;
    const SIGNATURE: &'static str = "t";

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let span = Self::parse(text)?;
        // No time to start or stop in makes no sense: zero turns a timeout off (systemd.service(5)).
        let is_timeout =
            cx.key().contains("Timeout") && !["UserTimeoutSec", "TimeoutAbortSec"].contains(&cx.key());
        let off = span == Self::ZERO && is_timeout;
        Ok(if off { Self::INFINITY } else { span })
    }

    fn property(&self) -> Property {
        Property::U64(self.0)
    }
}

/// A span that an empty assignment takes back, where others refuse it (`TimeoutAbortSec=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResettableSpan(pub Span);

impl Scalar for ResettableSpan {
    const FORM: &'static str = EXPECTED;
    const SIGNATURE: &'static str = "t";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        <Span as Scalar>::parse(text, cx).map(Self)
    }

    fn property(&self) -> Property {
        Scalar::property(&self.0)
    }
}
