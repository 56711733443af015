//! How the command ends: the exit codes, and every error that can end it.
//!
//! The numbers are systemctl's, which are those of LSB init scripts (systemctl(1), "Exit status"). Invariant: no other
//! place turns an error into a number.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use sockmgr_unit::NameError;

use super::bus::BusError;
use crate::paths::RuntimeDirError;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well, or the answer is yes.
    Success,
    /// Any error; the answer is no.
    Failure,
    /// `status` and `is-active`: the unit is not active. `reload`: the unit cannot do that.
    NotRunning,
    /// `status`: there is no such unit. A job: not permitted.
    Unknown,
    /// A job: there is no such unit.
    NotInstalled,
    /// A job: the unit file is broken.
    NotConfigured,
    /// The code of a manager that ran in the foreground.
    Code(u8),
}

impl Exit {
    /// The number for the shell.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::NotRunning => 3,
            Self::Unknown => 4,
            Self::NotInstalled => 5,
            Self::NotConfigured => 6,
            Self::Code(code) => code,
        }
    }

    /// The first result that is not success counts.
    pub(crate) fn or(self, later: Self) -> Self {
        if self == Self::Success { later } else { self }
    }

    /// What a refused job means, by the D-Bus name of the refusal.
    pub(crate) fn of_refused_job(error: &BusError) -> Self {
        match error.name() {
            Some("org.freedesktop.systemd1.NoSuchUnit") => Self::NotInstalled,
            Some("org.freedesktop.systemd1.LoadFailed") => Self::NotConfigured,
            Some(
                "org.freedesktop.systemd1.JobTypeNotApplicable" | "org.freedesktop.DBus.Error.NotSupported",
            ) => Self::NotRunning,
            Some(
                "org.freedesktop.DBus.Error.AccessDenied"
                | "org.freedesktop.systemd1.NoIsolation"
                | "org.freedesktop.systemd1.OnlyByDependency"
                | "org.freedesktop.systemd1.TransactionIsDestructive",
            ) => Self::Unknown,
            _ => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What ends the command before its work is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("cannot read {path}")]
    Log { path: PathBuf, source: io::Error },
    #[error(
        "no sockmgr manager runs at {socket}; start one with `sockmgr up` or `sockmgrd{hint}`, \
         or name another with --runtime-dir"
    )]
    NoManager { socket: PathBuf, hint: &'static str },
    #[error("cannot connect to the manager at {socket}")]
    Connect { socket: PathBuf, source: io::Error },
    #[error("the manager at {socket} runs as uid {uid}; refusing to trust it")]
    Peer { socket: PathBuf, uid: u32 },
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("{what}")]
    Refused { what: String, source: BusError },
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{0}")]
    Usage(String),
    #[error("cannot write the result")]
    Output(#[source] io::Error),
    #[error(transparent)]
    Verify(#[from] super::verify::VerifyError),
    #[error(transparent)]
    Up(#[from] super::up::UpError),
}

impl CliError {
    /// Prints the error with its causes to stderr, and says how to exit.
    pub(crate) fn report(&self) -> Exit {
        // Whoever reads our output has seen enough (`sockmgr list-units | head`).
        if matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return Exit::Success;
        }
        eprintln!("{}", chain(self));
        Exit::Failure
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_jobs_exit_as_with_systemctl() {
        let table = [
            ("org.freedesktop.systemd1.NoSuchUnit", 5),
            ("org.freedesktop.systemd1.LoadFailed", 6),
            ("org.freedesktop.systemd1.JobTypeNotApplicable", 3),
            ("org.freedesktop.DBus.Error.NotSupported", 3),
            ("org.freedesktop.DBus.Error.AccessDenied", 4),
            ("org.freedesktop.systemd1.NoIsolation", 4),
            ("org.freedesktop.systemd1.OnlyByDependency", 4),
            ("org.freedesktop.systemd1.TransactionIsDestructive", 4),
            ("org.freedesktop.systemd1.UnitMasked", 1),
            ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", 1),
            ("org.freedesktop.DBus.Error.Failed", 1),
        ];
        for (name, code) in table {
            let error = BusError::Reply { name: name.into(), message: String::new() };
            assert_eq!(Exit::of_refused_job(&error).code(), code, "{name}");
        }
        assert_eq!(Exit::of_refused_job(&BusError::Closed), Exit::Failure);
    }

    #[test]
    fn the_first_failure_decides() {
        assert_eq!(Exit::Success.or(Exit::NotRunning).or(Exit::Unknown), Exit::NotRunning);
        assert_eq!(Exit::Success.or(Exit::Success), Exit::Success);
    }
}
