//! Booleans, integers as C reads them, and file modes (systemd.syntax(7)).
//!
//! Never here: numbers with units (`span`, `size`).
//! Invariant: no text is cut short: whatever follows the number makes it no number.

use std::fmt;

use super::ValueError;
use crate::directive::{Context, Property, Scalar};

const YES: [&str; 6] = ["1", "yes", "y", "true", "t", "on"];
const NO: [&str; 6] = ["0", "no", "n", "false", "f", "off"];
const BOOLEAN: &str = "a boolean: yes or no";
const UNSIGNED: &str = "a number from 0 to 4294967295";

/// Reads a boolean: `1 yes y true t on` or `0 no n false f off`, in any case.
///
/// # Errors
/// It is none of these words.
pub fn parse_bool(text: &str) -> Result<bool, ValueError> {
    let is_one_of = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    match (is_one_of(&YES), is_one_of(&NO)) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(ValueError::invalid(text, "a boolean")),
    }
}

/// Reads an unsigned number with the bases of C and Python: `10`, `0x1f`, `0b101`, `0o17`, and with a leading zero
/// octal. Leading blanks and a `+` are accepted.
///
/// # Errors
/// It is no such number, or not within 32 bits.
pub fn parse_u32(text: &str) -> Result<u32, ValueError> {
    let limit = "the number must be from 0 to 4294967295";
    let (negative, value) = integer(text, limit)?;
    let value = u32::try_from(value).map_err(|_| ValueError::range(text, limit))?;
    if negative && value != 0 { Err(ValueError::range(text, limit)) } else { Ok(value) }
}

/// [`parse_u32`] with 64 bits.
///
/// # Errors
/// It is no such number, or not within 64 bits.
pub fn parse_u64(text: &str) -> Result<u64, ValueError> {
    let limit = "the number must be from 0 to 18446744073709551615";
    let (negative, value) = integer(text, limit)?;
    if negative && value != 0 { Err(ValueError::range(text, limit)) } else { Ok(value) }
}

/// [`parse_u32`] with a sign.
///
/// # Errors
/// It is no such number, or not within 32 bits.
pub fn parse_i32(text: &str) -> Result<i32, ValueError> {
    let limit = "the number must be from -2147483648 to 2147483647";
    let (negative, value) = integer(text, limit)?;
    let value = if negative { -i128::from(value) } else { i128::from(value) };
    i32::try_from(value).map_err(|_| ValueError::range(text, limit))
}

/// [`parse_i32`] with 64 bits.
///
/// # Errors
/// It is no such number, or not within 64 bits.
pub fn parse_i64(text: &str) -> Result<i64, ValueError> {
    let limit = "the number must be from -9223372036854775808 to 9223372036854775807";
    let (negative, value) = integer(text, limit)?;
    let value = if negative { -i128::from(value) } else { i128::from(value) };
    i64::try_from(value).map_err(|_| ValueError::range(text, limit))
}

/// Sign and magnitude of a whole number, as strtoul(3) with base 0 reads it, and `0b` and `0o` beside.
fn integer(text: &str, limit: &'static str) -> Result<(bool, u64), ValueError> {
    let invalid = || ValueError::invalid(text, "a whole number");
    let trimmed = text.trim_start_matches(BLANKS);
    // strtoul knows neither prefix; systemd strips them first, so a sign may only follow.
    let (base, rest) = match strip_prefix_any(trimmed, ["0b", "0B"]) {
        Some(rest) => (Some(2), rest),
        None => match strip_prefix_any(trimmed, ["0o", "0O"]) {
            Some(rest) => (Some(8), rest),
            None => (None, trimmed),
        },
    };
    let (negative, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix('+').unwrap_or(rest)),
    };
    let (base, digits) = match (base, strip_prefix_any(rest, ["0x", "0X"])) {
        (Some(base), _) => (base, rest),
        (None, Some(digits)) => (16, digits),
        (None, None) if rest.starts_with('0') => (8, rest),
        (None, None) => (10, rest),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(invalid());
    }
    let value = u64::from_str_radix(digits, base).map_err(|_| ValueError::range(text, limit))?;
    Ok((negative, value))
}

/// What values treat as blank (systemd.syntax(7)).
pub(super) const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// The decimal digits that `text` begins with, and what follows them.
pub(super) fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn strip_prefix_any<'a>(text: &'a str, prefixes: [&str; 2]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| text.strip_prefix(prefix))
}

impl Scalar for bool {
    const FORM: &'static str = BOOLEAN;
    const SIGNATURE: &'static str = "b";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        parse_bool(text)
    }

    fn property(&self) -> Property {
        Property::Bool(*self)
    }
}

impl Scalar for u32 {
    const FORM: &'static str = UNSIGNED;
    const SIGNATURE: &'static str = "u";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        parse_u32(text)
    }

    fn property(&self) -> Property {
        Property::U32(*self)
    }
}

/// The share of one among others: 1 to 10000, 100 being the usual one (as systemd's weights of control groups).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Weight(u32);

impl Weight {
    /// Where none is given.
    pub const DEFAULT: Self = Self(100);

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Scalar for Weight {
    const FORM: &'static str = "a weight from 1 to 10000";
    const SIGNATURE: &'static str = "u";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        match parse_u32(text)? {
            weight @ 1..=10_000 => Ok(Self(weight)),
            _ => Err(ValueError::range(text, "a weight is from 1 to 10000")),
        }
    }

    fn property(&self) -> Property {
        Property::U32(self.0)
    }
}

impl Scalar for i32 {
    const FORM: &'static str = "a number from -2147483648 to 2147483647";
    const SIGNATURE: &'static str = "i";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        parse_i32(text)
    }

    fn property(&self) -> Property {
        Property::I32(*self)
    }
}

impl Scalar for i64 {
    const FORM: &'static str = "a whole number";
    const SIGNATURE: &'static str = "x";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        parse_i64(text)
    }

    fn property(&self) -> Property {
        Property::I64(*self)
    }
}

/// An access mode, 0 to 07777.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode(pub u32);

impl Mode {
    const EXPECTED: &str = "an access mode: octal digits, such as 0660";

    /// Reads octal digits only: no sign, no `0o`.
    ///
    /// # Errors
    /// It is no octal number, or beyond 07777.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() || !text.bytes().all(|byte| matches!(byte, b'0'..=b'7')) {
            return Err(ValueError::invalid(text, "an access mode"));
        }
        let mode = u32::from_str_radix(text, 8).ok().filter(|&mode| mode <= 0o7777);
        mode.map(Self).ok_or_else(|| ValueError::range(text, "an access mode is at most 7777"))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Scalar for Mode {
    const FORM: &'static str = Self::EXPECTED;
    const SIGNATURE: &'static str = "u";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        Self::parse(text)
    }

    fn property(&self) -> Property {
        Property::U32(self.0)
    }
}
