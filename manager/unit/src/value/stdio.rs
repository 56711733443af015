//! Where the standard descriptors of a process come from and go to (systemd.exec(5), "Logging and standard input/output").
//!
//! Never here: opening anything.
//! Invariant: a path in here is absolute.

use std::fmt;

use super::choice::{LogTarget, TerminalMode};
use super::{FdName, ValueError, base64, path, word};
use crate::directive::{Context, Property, Scalar, Value};

/// Where descriptor 0 comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandardInput {
    /// `/dev/null`
    Null,
    /// The terminal of `TTYPath=`, which controls the processes then.
    Tty(TerminalMode),
    /// What `StandardInputText=` and `StandardInputData=` say.
    Data,
    /// The one socket that the service inherits, as inetd did.
    Socket,
    /// `file:`: a file, opened for reading.
    File(Box<str>),
    /// `fd:`: the inherited socket of this name.
    Fd(FdName),
}

/// Where descriptor 1 or 2 goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandardOutput {
    /// Descriptor 1: to where descriptor 0 is; descriptor 2: to where descriptor 1 goes.
    Inherit,
    /// `/dev/null`
    Null,
    /// The terminal of `TTYPath=`.
    Tty,
    /// The one socket that the service inherits.
    Socket,
    /// A log.
    Log(LogTarget),
    /// `file:`: a file, written from its start, the rest of it kept.
    File(Box<str>),
    /// `append:`: a file, written at its end.
    Append(Box<str>),
    /// `truncate:`: a file, emptied first.
    Truncate(Box<str>),
    /// `fd:`: the inherited socket of this name.
    Fd(FdName),
}

const INPUT: &str = "one of null, tty, tty-force, tty-fail, data, socket, file:/path, fd, fd:name";
const OUTPUT: &str = "one of journal, journal+console, kmsg, kmsg+console, inherit, null, tty, socket, file:/path, append:/path, truncate:/path, fd, fd:name";

/// The name in `fd` or `fd:NAME`; without one it is the stream's own.
fn fd_name(text: &str, stream: &str, cx: &Context<'_>) -> Option<Result<FdName, ValueError>> {
    let rest = text.strip_prefix("fd")?;
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some(FdName::new(stream)),
        None => None,
        Some("") => Some(FdName::new(stream)),
        Some(name) => Some(cx.expand(name).and_then(|name| FdName::new(&name))),
    }
}

impl Scalar for StandardInput {
    const FORM: &'static str = INPUT;
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        if let Some(file) = text.strip_prefix("file:") {
            return Ok(Self::File(path::absolute(&cx.expand(file)?)?));
        }
        if let Some(name) = fd_name(text, "stdin", cx) {
            return name.map(Self::Fd);
        }
        match text {
            "null" => Ok(Self::Null),
            "data" => Ok(Self::Data),
            "socket" => Ok(Self::Socket),
            _ => TerminalMode::parse(text)
                .map(Self::Tty)
                .map_err(|_| ValueError::invalid(text, "a source of input")),
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
            Self::Tty(mode) => mode.as_str(),
            Self::Data => "data",
            Self::Socket => "socket",
            Self::File(_) => "file",
            Self::Fd(_) => "fd",
        }
    }

    /// Whether one can write to it as well, so that the output may be inherited from it.
    pub fn is_bidirectional(&self) -> bool {
        match self {
            Self::Tty(_) | Self::Socket | Self::Fd(_) => true,
            Self::Null | Self::Data | Self::File(_) => false,
        }
    }

    /// The name of the descriptor that is asked for.
    pub fn fd_name(&self) -> Option<&FdName> {
        if let Self::Fd(name) = self { Some(name) } else { None }
    }
}

impl Scalar for StandardOutput {
    const FORM: &'static str = OUTPUT;
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let stream = if cx.key().ends_with("Error") { "stderr" } else { "stdout" };
        if let Some(name) = fd_name(text, stream, cx) {
            return name.map(Self::Fd);
        }
        if let Some((kind, file)) = text.split_once(':') {
            let make = match kind {
                "file" => Self::File,
                "append" => Self::Append,
                "truncate" => Self::Truncate,
                _ => return Err(ValueError::invalid(text, "a place for output")),
            };
            return Ok(make(path::absolute(&cx.expand(file)?)?));
        }
        match text {
            "inherit" => Ok(Self::Inherit),
            "null" => Ok(Self::Null),
            "tty" => Ok(Self::Tty),
            "socket" => Ok(Self::Socket),
            "syslog" | "syslog+console" => {
                let remark = "is an old name: it now means journal";
                cx.warn(ValueError::Remark { text: text.to_owned(), remark });
                let has_console = text.ends_with("+console");
                Ok(Self::Log(if has_console { LogTarget::JournalConsole } else { LogTarget::Journal }))
            }
            _ => LogTarget::parse(text)
                .map(Self::Log)
                .map_err(|_| ValueError::invalid(text, "a place for output")),
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
            Self::Tty => "tty",
            Self::Socket => "socket",
            Self::Log(target) => target.as_str(),
            Self::File(_) => "file",
            Self::Append(_) => "append",
            Self::Truncate(_) => "truncate",
            Self::Fd(_) => "fd",
        }
    }

    /// The name of the descriptor that is asked for.
    pub fn fd_name(&self) -> Option<&FdName> {
        if let Self::Fd(name) = self { Some(name) } else { None }
    }
}

impl fmt::Display for StandardInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{path}"),
            Self::Fd(name) => write!(f, "fd:{name}"),
            Self::Null | Self::Tty(_) | Self::Data | Self::Socket => f.write_str(self.kind()),
        }
    }
}

impl fmt::Display for StandardOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Append(path) | Self::Truncate(path) => {
                write!(f, "{}:{path}", self.kind())
            }
            Self::Fd(name) => write!(f, "fd:{name}"),
            Self::Inherit | Self::Null | Self::Tty | Self::Socket | Self::Log(_) => f.write_str(self.kind()),
        }
    }
}

/// What `StandardInput=data` has: lines of text and pieces of data, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputData(Box<[u8]>);

/// The most of it, as in systemd.
const INPUT_MAX: usize = 64 << 20;

impl InputData {
    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Value for InputData {
    const FORM: &'static str =
        "a line of text with C escapes (StandardInputText=), or bytes in Base64 (StandardInputData=)";
    const SIGNATURE: &'static str = "ay";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0 = Box::default();
            return Ok(());
        }
        let more = if cx.key() == "StandardInputData" {
            base64::decode(text).ok_or_else(|| ValueError::invalid(text, "Base64"))?
        } else {
            let text = String::from_utf8(word::unescape(text)?)
                .map_err(|_| ValueError::new("the text is not UTF-8; write it as StandardInputData="))?;
            (cx.expand(&text)? + "\n").into_bytes()
        };
        if self.0.len() + more.len() > INPUT_MAX {
            return Err(ValueError::TooLong { length: self.0.len() + more.len(), limit: INPUT_MAX });
        }
        self.0 = [&*self.0, &more].concat().into();
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Bytes(self.0.to_vec())
    }
}
