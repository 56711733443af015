//! Short texts with rules of their own: names of descriptors, and what counts as text at all.
//!
//! Never here: free text and names of accounts, which have no grammar (`section`).
//! Invariant: a descriptor's name can stand in `LISTEN_FDNAMES`.

use std::fmt;

use super::ValueError;
use crate::directive::{Context, Property, Scalar};

/// Whether `text` is text in systemd's sense: UTF-8 without the code points that Unicode keeps for nobody.
pub fn is_unicode_text(text: &str) -> bool {
    // Two at the end of each plane, and a block of 32 (Unicode, "Noncharacters").
    text.chars().map(u32::from).all(|c| c & 0xfffe != 0xfffe && !(0xfdd0..=0xfdef).contains(&c))
}

/// The name of an inherited descriptor, as in `LISTEN_FDNAMES` (sd_listen_fds_with_names(3)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FdName(Box<str>);

const EXPECTED: &str = "a descriptor name: up to 255 printable ASCII characters without `:`";

impl FdName {
    /// Checks a name.
    ///
    /// # Errors
    /// It is empty, longer than 255 bytes, or has a `:` or anything but printable ASCII.
    pub fn new(text: &str) -> Result<Self, ValueError> {
        let is_valid =
            text.len() <= 255 && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b':');
        if is_valid && !text.is_empty() {
            Ok(Self(text.into()))
        } else {
            Err(ValueError::invalid(text, "a name for descriptors"))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FdName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Scalar for FdName {
    const FORM: &'static str = EXPECTED;
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        Self::new(&cx.expand(text)?)
    }

    fn property(&self) -> Property {
        Property::Str(self.0.to_string())
    }
}
