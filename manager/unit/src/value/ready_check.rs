//! `ReadyCheck=`: how to find out whether a service is ready that does not say so.
//!
//! Never here: the check itself.

use std::fmt;

use super::{ExecCommand, ValueError};
use crate::directive::{Context, Property, Scalar, Value};

/// How to find out whether a service is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadyCheck {
    /// A connection to its socket is accepted.
    Tcp,
    /// The same, but where clients wait already it is enough that one of them is accepted.
    Accepting,
    /// A GET of this path is answered by a status of 200 to 399.
    Http(Box<str>),
    /// A command ends well; `$MAINPID` is the process that is checked.
    Exec(Box<ExecCommand>),
}

impl ReadyCheck {
    /// Whether the answer is of the process that is checked, and of no other that has the same socket.
    pub fn tells_who(&self) -> bool {
        matches!(self, Self::Exec(_))
    }
}

impl fmt::Display for ReadyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Accepting => f.write_str("accepting"),
            Self::Http(path) => write!(f, "http:{path}"),
            Self::Exec(command) => write!(f, "exec:{command}"),
        }
    }
}

impl Scalar for ReadyCheck {
    const FORM: &'static str = "tcp, accepting, http:/path or exec: with a command line";
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        match text.split_once(':') {
            None if text == "tcp" => Ok(Self::Tcp),
            None if text == "accepting" => Ok(Self::Accepting),
            Some(("http", path)) => http(&cx.expand(path)?),
            Some(("exec", command)) => exec(command, cx),
            _ => Err(ValueError::invalid(text, "a check")),
        }
    }

    fn property(&self) -> Property {
        Property::Str(self.to_string())
    }
}

/// A path that can stand in the first line of a request (RFC 9112, section 3.2.1).
fn http(path: &str) -> Result<ReadyCheck, ValueError> {
    let is_good = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good { Ok(ReadyCheck::Http(path.into())) } else { Err(ValueError::invalid(path, "a path of HTTP")) }
}

fn exec(line: &str, cx: &Context<'_>) -> Result<ReadyCheck, ValueError> {
    let mut commands = Vec::<ExecCommand>::new();
    commands.assign(line, cx)?;
    match <[ExecCommand; 1]>::try_from(commands) {
        Ok([command]) => Ok(ReadyCheck::Exec(Box::new(command))),
        Err(_) => Err(ValueError::invalid(line, "one command")),
    }
}
