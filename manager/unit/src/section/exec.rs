//! The surroundings in which the processes of a unit run (systemd.exec(5)).

use super::{Account, Accounts, DynamicUser};
use crate::directive::{Context, Property, Scalar, section};
use crate::value::{
    Credentials, Directories, EnvironmentFile, Mode, PreserveMode, SearchPath, UnsetVariables, ValueError,
    VariableNames, path,
};

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
        /// Variables of the manager that the processes have, too.
        pass_environment: VariableNames = VariableNames::default() => "PassEnvironment" {
            "PassEnvironment": "Names of variables of the manager that the processes have, too";
        }
        /// Variables that the processes have not.
        unset_environment: UnsetVariables = UnsetVariables::default() => "UnsetEnvironment" {
            "UnsetEnvironment": "Names of variables, or NAME=value, that the processes do not have, wherever they come from";
        }
        /// Where programs without a path are looked up; none: where all are.
        exec_search_path: SearchPath = SearchPath::default() => "ExecSearchPath" {
            "ExecSearchPath": "Directories, with colons between, in which programs without a path are looked up; also their PATH";
        }
        /// The user to run as.
        user: Option<Account> = None => "User" {
            "User": "User to run as: a name or number";
        }
        /// The group to run as; default: the user's.
        group: Option<Account> = None => "Group" {
            "Group": "Group to run as: a name or number; default: the user's";
        }
        /// Groups beside those of the user.
        supplementary_groups: Accounts = Accounts::default() => "SupplementaryGroups" {
            "SupplementaryGroups": "Groups that the processes have beside those of the user";
        }
        /// Whether the user is made up for the unit.
        dynamic_user: DynamicUser = DynamicUser(false) => "DynamicUser" {
            "DynamicUser": "Whether to run as a user that is made up for the unit and is gone with it; for root; default no";
        }
        /// Whether HOME, LOGNAME and SHELL are set; `None`: with `User=`.
        set_login_environment: Option<bool> = None => "SetLoginEnvironment" {
            "SetLoginEnvironment": "Whether HOME, LOGNAME and SHELL are set; default: with User=";
        }
        /// Directories below `/run`.
        runtime_directory: Directories = Directories::default() => "RuntimeDirectory" {
            "RuntimeDirectory": "Directories below /run (a user's runtime directory), made before the start and removed after the stop";
        }
        /// Their mode.
        runtime_directory_mode: Mode = Mode(0o755) => "RuntimeDirectoryMode" {
            "RuntimeDirectoryMode": "Mode of RuntimeDirectory=; default 0755";
        }
        /// How long they stay.
        runtime_directory_preserve: PreserveMode = PreserveMode::No => "RuntimeDirectoryPreserve" {
            "RuntimeDirectoryPreserve": "Whether RuntimeDirectory= stays after the stop: no (default), restart (until nothing starts it again), yes";
        }
        /// Directories below `/var/lib`.
        state_directory: Directories = Directories::default() => "StateDirectory" {
            "StateDirectory": "Directories below /var/lib, made before the start; kept";
        }
        /// Their mode.
        state_directory_mode: Mode = Mode(0o755) => "StateDirectoryMode" {
            "StateDirectoryMode": "Mode of StateDirectory=; default 0755";
        }
        /// Directories below `/var/cache`.
        cache_directory: Directories = Directories::default() => "CacheDirectory" {
            "CacheDirectory": "Directories below /var/cache, made before the start; kept";
        }
        /// Their mode.
        cache_directory_mode: Mode = Mode(0o755) => "CacheDirectoryMode" {
            "CacheDirectoryMode": "Mode of CacheDirectory=; default 0755";
        }
        /// Directories below `/var/log`.
        logs_directory: Directories = Directories::default() => "LogsDirectory" {
            "LogsDirectory": "Directories below /var/log, made before the start; kept";
        }
        /// Their mode.
        logs_directory_mode: Mode = Mode(0o755) => "LogsDirectoryMode" {
            "LogsDirectoryMode": "Mode of LogsDirectory=; default 0755";
        }
        /// Directories below `/etc`.
        configuration_directory: Directories = Directories::default() => "ConfigurationDirectory" {
            "ConfigurationDirectory": "Directories below /etc, made before the start; kept, and not given to the user";
        }
        /// Their mode.
        configuration_directory_mode: Mode = Mode(0o755) => "ConfigurationDirectoryMode" {
            "ConfigurationDirectoryMode": "Mode of ConfigurationDirectory=; default 0755";
        }
        /// Secrets and other small files for them alone.
        credentials: Credentials = Credentials::default() => - {
            "LoadCredential": "Name of a file in $CREDENTIALS_DIRECTORY, after a colon the file or directory that it is a copy of";
            "SetCredential": "Name of a file in $CREDENTIALS_DIRECTORY, after a colon its text, for where LoadCredential= finds none";
        }
        /// Where the processes start.
        working_directory: Option<WorkingDirectory> = None => "WorkingDirectory" {
            "WorkingDirectory": "Directory to start in; ~: the user's home; -/path: may be missing";
        }
    }
}

impl ExecSection {
    /// Something was made for the processes that does not outlive them.
    pub fn leaves_something(&self) -> bool {
        !self.runtime_directory.is_empty() || !self.credentials.is_empty() || self.dynamic_user.0
    }

    /// The links to directories, which are properties of their own.
    pub(crate) fn more_properties(&self) -> [(&'static str, Property); 4] {
        [
            ("RuntimeDirectorySymlink", self.runtime_directory.links()),
            ("StateDirectorySymlink", self.state_directory.links()),
            ("CacheDirectorySymlink", self.cache_directory.links()),
            ("LogsDirectorySymlink", self.logs_directory.links()),
        ]
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
