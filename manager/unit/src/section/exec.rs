//! The surroundings in which the processes of a unit run (systemd.exec(5)).

use super::Account;
use crate::directive::{Context, Property, Scalar, section};
use crate::value::{EnvironmentFile, ValueError, path};

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
    }
}

/// The directory in which processes start. `optional`: where it is missing, they start in `/`; that goes for a user's home
/// always, as in systemd.
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
