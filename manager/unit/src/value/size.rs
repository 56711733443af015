//! Byte sizes: `4096`, `8M`, `1.5G` (base 1024).
//!
//! Never here: limits of resources, which may be infinite (`limit`).
//! Invariant: a size counts bytes.

use std::fmt;

use super::ValueError;
use super::number::{BLANKS, split_digits};
use crate::directive::{Context, Property, Scalar};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

const EXPECTED: &str = "a size in bytes, such as 4096, 64K, 8M or 1.5G";
const LIMIT: &str = "a size is not negative and below 16E";

/// In descending order, because terms must be; the empty suffix comes last.
const SUFFIXES: [(&str, u64); 8] = [
    ("E", 1 << 60),
    ("P", 1 << 50),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
    ("B", 1),
    ("", 1),
];

impl Size {
    /// Reads one or more numbers with suffixes, in descending order, which add up: `1G500M`.
    ///
    /// # Errors
    /// It is no size, or larger than one can be.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let text = text.trim_matches(BLANKS);
        let invalid = || ValueError::invalid(text, "a size in bytes");
        let (mut sum, mut rest, mut allowed) = (0u64, text, &SUFFIXES[..]);
        loop {
            let (number, after) = Number::read(rest).ok_or_else(invalid)?;
            let after = after.trim_start_matches(BLANKS);
            let index =
                allowed.iter().position(|(suffix, _)| after.starts_with(suffix)).ok_or_else(invalid)?;
            let (suffix, factor) = allowed[index];
            let bytes = number.times(factor).and_then(|bytes| sum.checked_add(bytes));
            sum = bytes.ok_or_else(|| ValueError::range(text, LIMIT))?;
            rest = after[suffix.len()..].trim_start_matches(BLANKS);
            allowed = &allowed[index + 1..];
            if rest.is_empty() {
                return Ok(Self(sum));
            }
        }
    }
}

/// A decimal number as it is written.
struct Number<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Number<'a> {
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = split_digits(unsigned);
        let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        (!whole.is_empty()).then_some((Self { negative, whole, fraction }, rest))
    }

    /// `None`: too large, or negative.
    fn times(&self, factor: u64) -> Option<u64> {
        let whole: u64 = self.whole.parse().ok()?;
        let fraction = self.fraction_of(factor)?;
        // systemd counts a started unit as a whole one here: 15.99E is already too much.
        let rounded_up = whole.checked_add(u64::from(fraction > 0))?;
        let fits = !self.negative && rounded_up <= u64::MAX / factor;
        if fits { whole.checked_mul(factor)?.checked_add(fraction) } else { None }
    }

    /// The fraction's share of `factor`, rounded down.
    fn fraction_of(&self, factor: u64) -> Option<u64> {
        if self.fraction.is_empty() {
            return Some(0);
        }
        // Further digits are beyond what any factor can tell apart.
        let digits = &self.fraction[..self.fraction.len().min(18)];
        let numerator: u128 = digits.parse().ok()?;
        let denominator = 10u128.pow(u32::try_from(digits.len()).ok()?);
        u64::try_from(numerator * u128::from(factor) / denominator).ok()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for Size {
    const FORM: &'static str = EXPECTED;
    const SIGNATURE: &'static str = "t";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        Self::parse(text)
    }

    fn property(&self) -> Property {
        Property::U64(self.0)
    }
}
