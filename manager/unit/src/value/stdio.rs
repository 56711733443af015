//! Where the standard descriptors of a process come from and go to (systemd.exec(5), "Logging and standard input/output").
//!
//! Never here: opening anything.
//! Invariant: a path in here is absolute.

use std::fmt;

use super::{ValueError, path};
use crate::directive::{Context, Property, Scalar};

/// Where descriptor 0 comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandardInput {
    /// `/dev/null`
    Null,
    /// The one socket that the service inherits, as inetd did.
    Socket,
    /// `file:`: a file, opened for reading.
    File(Box<str>),
}

/// Where descriptor 1 or 2 goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandardOutput {
    /// Descriptor 1: to where descriptor 0 is; descriptor 2: to where descriptor 1 goes.
    Inherit,
    /// `/dev/null`
    Null,
    /// The one socket that the service inherits.
    Socket,
    /// The manager's log.
    Journal,
    /// `file:`: a file, written from its start, the rest of it kept.
    File(Box<str>),
    /// `append:`: a file, written at its end.
    Append(Box<str>),
    /// `truncate:`: a file, emptied first.
    Truncate(Box<str>),
}

const INPUT: &str = "one of null, socket, file:/path";
const OUTPUT: &str = "one of journal, inherit, null, socket, file:/path, append:/path, truncate:/path";

impl Scalar for StandardInput {
    const FORM: &'static str = INPUT;
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        if let Some(file) = text.strip_prefix("file:") {
            return Ok(Self::File(path::absolute(&cx.expand(file)?)?));
        }
        match text {
            "null" => Ok(Self::Null),
            "socket" => Ok(Self::Socket),
            "tty" | "tty-force" | "tty-fail" | "data" => Err(ValueError::Unsupported(text.to_owned())),
            _ if is_descriptor(text) => Err(ValueError::Unsupported(text.to_owned())),
            _ => Err(ValueError::invalid(text, "a source of input")),
        }
    }

    fn property(&self) -> Property {
        Property::Str(self.kind().to_owned())
    }
}

impl StandardInput {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Socket => "socket",
            Self::File(_) => "file",
        }
    }
}

impl Scalar for StandardOutput {
    const FORM: &'static str = OUTPUT;
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        if let Some((kind, file)) = text.split_once(':') {
            let make = match kind {
                "file" => Self::File,
                "append" => Self::Append,
                "truncate" => Self::Truncate,
                "fd" => return Err(ValueError::Unsupported(text.to_owned())),
                _ => return Err(ValueError::invalid(text, "a place for output")),
            };
            return Ok(make(path::absolute(&cx.expand(file)?)?));
        }
        match text {
            "inherit" => Ok(Self::Inherit),
            "null" => Ok(Self::Null),
            "socket" => Ok(Self::Socket),
            // One log takes all: where it goes is the manager's affair.
            "journal" | "journal+console" | "kmsg" | "kmsg+console" => Ok(Self::Journal),
            "syslog" | "syslog+console" => {
                let remark = "is an old name: it now means journal";
                cx.warn(ValueError::Remark { text: text.to_owned(), remark });
                Ok(Self::Journal)
            }
            "tty" | "fd" => Err(ValueError::Unsupported(text.to_owned())),
            _ => Err(ValueError::invalid(text, "a place for output")),
        }
    }

    fn property(&self) -> Property {
        Property::Str(self.kind().to_owned())
    }
}

impl StandardOutput {
    fn kind(&self) -> &'static str {
        match self {
            Self::Inherit => "inherit",
            Self::Null => "null",
            Self::Socket => "socket",
            Self::Journal => "journal",
            Self::File(_) => "file",
            Self::Append(_) => "append",
            Self::Truncate(_) => "truncate",
        }
    }
}

fn is_descriptor(text: &str) -> bool {
    text == "fd" || text.starts_with("fd:")
}

impl fmt::Display for StandardInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{path}"),
            Self::Null | Self::Socket => f.write_str(self.kind()),
        }
    }
}

impl fmt::Display for StandardOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Append(path) | Self::Truncate(path) => {
                write!(f, "{}:{path}", self.kind())
            }
            Self::Inherit | Self::Null | Self::Socket | Self::Journal => f.write_str(self.kind()),
        }
    }
}
