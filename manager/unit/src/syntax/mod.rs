//! The two syntaxes of unit files, read into the same entries; from here on nobody knows which one it was.
//!
//! Never here: what a section or key means. Invariant: the entries stand in the order of the file, and nothing
//! follows an entry that ends it.

pub(crate) mod systemd;
pub(crate) mod toml;

use std::borrow::Cow;

/// Which syntax a file is written in; its name says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Syntax {
    /// systemd.syntax(7): `web.socket`, `10-more.conf`.
    Systemd,
    /// TOML with the same sections and keys: `web.socket.toml`, `10-more.toml`.
    Toml,
}

/// Where in a file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u32,
    /// In characters; only TOML has several things on one line.
    pub(crate) column: Option<u32>,
}

/// One thing that a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// What follows belongs to this section.
    Section { name: Cow<'a, str>, place: Place },
    /// One assignment in the section named last.
    Assignment(Assignment<'a>),
    /// A line that is no assignment; the lines around it count.
    Ignored { place: Place, problem: SyntaxError },
    /// Nothing below this is read.
    Broken { place: Place, problem: SyntaxError },
}

/// `Key=value`, with neither comments nor continuations; blanks around both are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) value: Cow<'a, str>,
    pub(crate) place: Place,
    pub(crate) written: Written,
}

/// How a value is written; only TOML tells numbers from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// As text, or as a boolean.
    Text,
    /// As a whole number in tens.
    Decimal,
    /// As another number: in eights or sixteens, or with a fraction.
    Number,
}

/// What is wrong with a line, before any meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxError {
    #[error("the line has no '='")]
    MissingEquals,
    #[error("there is no key before '='")]
    MissingKey,
    #[error("an assignment before the first section")]
    OutsideSection,
    #[error("a section header must end in ']'")]
    UnclosedHeader,
    #[error("quotes, backslashes and control characters are not allowed in a section header")]
    BadHeader,
    #[error("the line is not valid UTF-8")]
    NotUtf8,
    #[error("the line is longer than {LINE_MAX} bytes")]
    LineTooLong,
    #[error("not valid TOML: {0}")]
    Toml(String),
    #[error("{key} cannot be {found}: it takes a string, a number, a boolean or an array of them")]
    BadType { key: String, found: &'static str },
    #[error("the section {0} must have a header, [{0}], on a line of its own")]
    NotAHeader(String),
    #[error("the text contains a NUL character")]
    Nul,
}

impl SyntaxError {
    /// What would be right, where the message does not say it already.
    pub(crate) fn help(&self) -> Option<&'static str> {
        match self {
            Self::MissingEquals | Self::MissingKey => {
                Some("a line is a [Section] header, Key=value, or a # comment")
            }
            Self::OutsideSection => {
                Some("begin the file with a header such as [Unit], [Socket] or [Service]")
            }
            Self::NotUtf8 => Some("save the file in UTF-8"),
            _ => None,
        }
    }
}

/// Longest line, also when joined from continued ones, in bytes.
pub(crate) const LINE_MAX: usize = 1024 * 1024;

/// Everything that a file of the given syntax says.
pub(crate) fn parse(text: &[u8], syntax: Syntax) -> Vec<Entry<'_>> {
    match syntax {
        Syntax::Systemd => systemd::parse(text),
        Syntax::Toml => toml::parse(text),
    }
}
