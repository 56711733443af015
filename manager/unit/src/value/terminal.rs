//! The size of a terminal.

use super::{ValueError, parse_u32};
use crate::directive::{Context, Property, Scalar};

/// Rows or columns; `None` leaves them as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalSize(pub Option<u16>);

impl Scalar for TerminalSize {
    const FORM: &'static str = "a number from 0 to 65535; empty: as it is";
    const SIGNATURE: &'static str = "q";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let number = parse_u32(text)?;
        u16::try_from(number)
            .map(|number| Self((number != u16::MAX).then_some(number)))
            .map_err(|_| ValueError::range(text, "a terminal has at most 65535 rows and columns"))
    }

    fn property(&self) -> Property {
        Property::U16(self.0.unwrap_or(u16::MAX))
    }
}
