//! One run of the command against one manager: which manager, the connection to it, and the way to the terminal.
//!
//! No verb is known here. Invariant: a connection exists only after the runtime directory and the peer have been
//! found to belong to root or to the caller.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use serde::Serialize;

use super::args::{Flags, Json};
use super::bus::Bus;
use super::exit::CliError;
use super::manager::Manager;
use super::style::Style;
use crate::paths::{self, Scope};

/// Which manager is meant.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) scope: Scope,
    pub(crate) runtime_dir: PathBuf,
    /// The options that lead to it where the defaults do not, for hints: empty, or ` --user`.
    pub(crate) options: String,
}

impl Target {
    /// Chooses by `--system`, `--user` and `--runtime-dir`, else by who calls.
    pub(crate) fn choose(flags: &Flags) -> Result<Self, CliError> {
        if flags.wait && flags.no_block {
            return Err(CliError::Usage("--wait may not be combined with --no-block".into()));
        }
        let uid = geteuid().as_raw();
        let scope = flags.scope(uid);
        let mut options = String::new();
        if scope != Scope::default_for(uid) {
            options = format!(" {}", scope.option());
        }
        if let Some(dir) = &flags.runtime_dir {
            options = format!("{options} --runtime-dir={}", dir.display());
        }
        let runtime_dir = match &flags.runtime_dir {
            Some(dir) => dir.clone(),
            None => {
                paths::runtime_dir(scope, uid, std::env::var_os("XDG_RUNTIME_DIR").as_deref().map(Path::new))
            }
        };
        Ok(Self { scope, runtime_dir, options })
    }

    /// Connects, once it is clear that the other side can be trusted.
    pub(crate) fn connect(&self, interactive: bool) -> Result<Manager, CliError> {
        let socket = paths::control_socket(&self.runtime_dir);
        let absent = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
        };
        let uid = geteuid().as_raw();
        match paths::check_runtime_dir(&self.runtime_dir, uid) {
            Err(paths::RuntimeDirError::Io { source, .. }) if absent(&source) => {
                return Err(self.no_manager());
            }
            other => other?,
        }
        let bus = Bus::connect(&socket, interactive).map_err(|source| match absent(&source) {
            true => self.no_manager(),
            false => CliError::Connect { socket: socket.clone(), source },
        })?;
        let peer = getsockopt(bus.stream(), PeerCredentials)
            .map_err(|errno| CliError::Connect { socket: socket.clone(), source: errno.into() })?
            .uid();
        if peer != 0 && peer != uid {
            return Err(CliError::Peer { socket, uid: peer });
        }
        Ok(Manager::new(bus))
    }

    fn no_manager(&self) -> CliError {
        let hint = match self.scope {
            Scope::System => " --system",
            Scope::User => " --user",
        };
        CliError::NoManager { socket: paths::control_socket(&self.runtime_dir), hint }
    }
}

/// A connected run.
pub(crate) struct Session {
    pub(crate) flags: Flags,
    pub(crate) target: Target,
    pub(crate) manager: Manager,
    pub(crate) style: Style,
}

impl Session {
    /// Connects to `target`.
    pub(crate) fn open(flags: Flags, target: Target) -> Result<Self, CliError> {
        let manager = target.connect(!flags.no_ask_password)?;
        Ok(Self::with(flags, target, manager))
    }

    /// A run over a connection that is there.
    pub(crate) fn with(flags: Flags, target: Target, manager: Manager) -> Self {
        Self { flags, target, manager, style: Style::of_stdout() }
    }

    /// Prints text as it is.
    pub(crate) fn print(&self, text: &str) -> Result<(), CliError> {
        print(text)
    }

    /// Prints `value` if JSON is wanted; false means that text is.
    pub(crate) fn print_json(&self, value: &impl Serialize) -> Result<bool, CliError> {
        let Some(form) = self.flags.json() else { return Ok(false) };
        print(&to_json(value, form)?)?;
        Ok(true)
    }

    /// The width that lines may have, if they may not be longer.
    pub(crate) fn width(&self) -> Option<usize> {
        if self.flags.full { None } else { self.style.width }
    }

    /// Says something about the work on stderr, unless it is to be quiet.
    pub(crate) fn warn(&self, text: &str) {
        if !self.flags.quiet {
            eprintln!("{text}");
        }
    }
}

/// Prints text to stdout in one go.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CliError::Output)
}

/// JSON in the wanted form, with a line end.
pub(crate) fn to_json(value: &impl Serialize, form: Json) -> Result<String, CliError> {
    let text = match form {
        Json::Pretty => serde_json::to_string_pretty(value),
        Json::Short | Json::Off => serde_json::to_string(value),
    };
    text.map(|text| text + "\n").map_err(|error| CliError::Output(error.into()))
}
