//! The surroundings in which the processes of a unit run (systemd.exec(5)).

use super::Account;
use crate::directive::{Context, Property, Scalar, section};
use crate::value::{EnvironmentFile, Rlimit, StandardInput, StandardOutput, ValueError, path};

section! {
    /// What surrounds the processes of a service, and those that a socket runs.
    pub struct ExecSection in (Service, Socket) {
        /// Variables, in order; a name occurs once.
        environment: Vec<(String, String)> = Vec::new() => "Environment" {
            "Environment": "Variables for the processes, as NAME=value words; empty: forget the earlier ones";
        }
        /// Files with variables, read at each start.
        environment_file: Vec<EnvironmentFile> = Vec::new() => "EnvironmentFiles" {
            "EnvironmentFile": "File with NAME=value lines, read at each start; -/path: may be missing";
        }
        /// The user to run as.
        user: Option<Account> = None => "User" {
            "User": "User to run as: a name or number";
        }
        /// The group to run as; default: the user's.
        group: Option<Account> = None => "Group" {
            "Group": "Group to run as: a name or number; default: the user's";
        }
        /// Where the processes start.
        working_directory: Option<WorkingDirectory> = None => "WorkingDirectory" {
            "WorkingDirectory": "Directory to start in; ~: the user's home; -/path: may be missing";
        }
        /// Where descriptor 0 comes from.
        standard_input: StandardInput = StandardInput::Null => "StandardInput" {
            "StandardInput": "Where descriptor 0 comes from: null (default), socket (as inetd did), file:/path";
        }
        /// Where descriptor 1 goes; `None`: to the log, or with a socket as input to that.
        standard_output: Option<StandardOutput> = None => ("StandardOutput" by effective_standard_output) {
            "StandardOutput": "Where output goes: journal (the manager's log, default), inherit, null, socket, file:/path, append:/path, truncate:/path";
        }
        /// Where descriptor 2 goes; `None`: as `standard_output`.
        standard_error: Option<StandardOutput> = None => ("StandardError" by effective_standard_error) {
            "StandardError": "Where error output goes, written as for StandardOutput=; default inherit (the same)";
        }
        /// Limit of open files; `None`: the manager's own.
        limit_nofile: Option<Rlimit> = None => "LimitNOFILE" {
            "LimitNOFILE": "Open files allowed: a number, soft:hard, or infinity";
        }
    }
}

impl ExecSection {
    /// Where output goes: where it was told to, else the socket that is the input, else the log (systemd.exec(5)).
    pub fn effective_standard_output(&self) -> StandardOutput {
        let inherits = matches!(self.standard_input, StandardInput::Socket);
        let default = if inherits { StandardOutput::Inherit } else { StandardOutput::Journal };
        self.standard_output.clone().unwrap_or(default)
    }

    /// Whether a standard stream is the socket itself (inetd style).
    pub fn uses_socket(&self) -> bool {
        self.standard_input == StandardInput::Socket
            || [&self.standard_output, &self.standard_error]
                .into_iter()
                .any(|output| *output == Some(StandardOutput::Socket))
    }

    /// Where error output goes: where it was told to, else where the output goes.
    pub fn effective_standard_error(&self) -> StandardOutput {
        self.standard_error.clone().unwrap_or(StandardOutput::Inherit)
    }
}

/// The directory in which processes start. `optional`: where it is missing, they start in `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkingDirectory {
    /// `~`: the home of the user they run as.
    Home {
        /// It may be missing.
        optional: bool,
    },
    /// An absolute path.
    Path {
        /// The path.
        path: Box<str>,
        /// It may be missing.
        optional: bool,
    },
}

impl Scalar for WorkingDirectory {
    const FORM: &'static str = "an absolute path or ~, after a - where it may be missing";
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let (rest, optional) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
        if rest == "~" {
            return Ok(Self::Home { optional });
        }
        // With `-` a bad directory is as good as a missing one: a warning, not the end of the unit.
        let severity = |error: ValueError| if optional { error } else { error.fatal() };
        let path = cx.expand(rest).and_then(|path| path::absolute(&path)).map_err(severity)?;
        Ok(Self::Path { path, optional })
    }

    fn property(&self) -> Property {
        let (path, optional) = match self {
            Self::Home { optional } => ("~", *optional),
            Self::Path { path, optional } => (&**path, *optional),
        };
        Property::Str(if optional { format!("!{path}") } else { path.to_owned() })
    }
}
