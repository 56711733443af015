//! up: a manager in the foreground for the units of one directory.
//!
//! Starts a `sockmgrd`, waits until it is ready, starts the units through the bus as anybody could, prints what listens
//! where, and stays until the manager ends. Units are run by the manager, never here.
//!
//! Invariant: once started, the manager is waited for; the command never leaves it behind on a signal it can see.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

use super::args::{Flags, Up};
use super::exit::{CliError, Exit};
use super::jobs::{self, JobVerb};
use super::manager::{Interface, texts};
use super::names::unit_path;
use super::session::{Session, Target};
use super::table::{Cell, Table};
use crate::paths::{self, RuntimeDirError};

/// Why `up` cannot run a manager.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    #[error("a manager already runs on {0}; stop it, or name another directory with --runtime-dir")]
    AlreadyRunning(PathBuf),
    #[error("cannot read the unit directory {path}")]
    Directory { path: PathBuf, source: io::Error },
    #[error("{0} holds no socket units, and no services to start")]
    NoUnits(PathBuf),
    #[error("cannot start {program:?}; is sockmgrd installed beside sockmgr or in PATH?")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("cannot wait for the manager")]
    Wait(#[source] io::Error),
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
}

/// Runs a manager for the units of a directory until it ends or is told to.
pub(crate) fn run(flags: Flags, target: &Target, what: &Up) -> Result<Exit, CliError> {
    if target.connect(false).is_ok() {
        return Err(UpError::AlreadyRunning(target.runtime_dir.clone()).into());
    }
    let units = Units::of(&what.directory)?;
    let command = command(target, what)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(UpError::Wait)?;
    runtime.block_on(foreground(flags, target.clone(), units, command))
}

/// The units of a directory that `up` starts, by name.
#[derive(Debug, PartialEq, Eq)]
struct Units {
    sockets: Vec<String>,
    /// Services with a place in the start-up (`WantedBy=`); those with a socket start by it instead.
    services: Vec<String>,
}

impl Units {
    fn of(directory: &Path) -> Result<Self, UpError> {
        let failed = |source| UpError::Directory { path: directory.to_path_buf(), source };
        let (mut sockets, mut services) = (BTreeSet::new(), BTreeSet::new());
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let name = name.strip_suffix(".toml").unwrap_or(name);
            if name.contains('@') || !path.is_file() {
                continue;
            }
            if name.ends_with(".socket") {
                sockets.insert(name.to_owned());
            } else if name.ends_with(".service") && is_wanted(&std::fs::read(&path).map_err(failed)?) {
                services.insert(name.to_owned());
            }
        }
        if sockets.is_empty() && services.is_empty() {
            return Err(UpError::NoUnits(directory.to_path_buf()));
        }
        Ok(Self { sockets: sockets.into_iter().collect(), services: services.into_iter().collect() })
    }
}

/// Whether a unit file says `WantedBy=` something in `[Install]`; the line looks the same in both syntaxes.
fn is_wanted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut install = false;
    for line in text.lines().map(str::trim) {
        match line.split_once('=') {
            _ if line.starts_with('[') => install = line == "[Install]",
            Some((key, value)) if install && key.trim() == "WantedBy" => {
                if !matches!(value.trim(), "" | "[]" | "\"\"") {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// The command line of the manager.
fn command(target: &Target, what: &Up) -> Result<Command, UpError> {
    let mut command = Command::new(daemon());
    command.arg(target.scope.option()).arg("--runtime-dir").arg(&target.runtime_dir);
    for directory in std::iter::once(&what.directory).chain(&what.unit_path) {
        let failed = |source| UpError::Directory { path: directory.clone(), source };
        command.arg("--unit-path").arg(directory.canonicalize().map_err(failed)?);
    }
    Ok(command)
}

/// The daemon beside this very program, otherwise the one in `PATH`.
fn daemon() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("sockmgrd"));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("sockmgrd"))
}

/// The signals that end or reload the manager.
struct Signals {
    interrupt: SignalStream,
    terminate: SignalStream,
    hangup: SignalStream,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The signal to pass on: Ctrl-C asks the manager to end in order, too.
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGTERM,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hangup.recv() => Signal::SIGHUP,
        }
    }
}

/// A manager that runs as our child.
struct Daemon {
    child: Child,
    signals: Signals,
}

impl Daemon {
    /// Passes signals on until the manager ends.
    async fn wait(&mut self) -> Result<Exit, UpError> {
        loop {
            tokio::select! {
                status = self.child.wait() => return status.map(exit_of).map_err(UpError::Wait),
                signal = self.signals.next() => self.send(signal),
            }
        }
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended meanwhile; then `wait` says so.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Exit::Code(u8::try_from(code).unwrap_or(1))
}

async fn foreground(
    flags: Flags,
    target: Target,
    units: Units,
    mut command: Command,
) -> Result<Exit, CliError> {
    let ready = Readiness::bind(&target.runtime_dir)?;
    command.env("NOTIFY_SOCKET", &ready.path);
    let signals = Signals::new().map_err(UpError::Wait)?;
    let program = PathBuf::from(command.as_std().get_program());
    let child = command.spawn().map_err(|source| UpError::Spawn { program, source })?;
    let mut daemon = Daemon { child, signals };
    tokio::select! {
        exit = daemon.wait() => return Ok(exit?),
        result = ready.wait() => result.map_err(UpError::Wait)?,
    }
    drop(ready);
    // The calls block; in a thread of their own they leave signals and the manager's end to be seen here.
    let start = tokio::task::spawn_blocking(move || start(flags, target, &units));
    tokio::select! {
        exit = daemon.wait() => return Ok(exit?),
        started = start => if let Err(error) = started.expect("starting units does not panic") {
            error.report();
        },
    }
    Ok(daemon.wait().await?)
}

/// The socket on which the manager says that it is ready (sd_notify(3)).
struct Readiness {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Readiness {
    fn bind(runtime_dir: &Path) -> Result<Self, UpError> {
        paths::create_runtime_dir(runtime_dir, geteuid().as_raw())?;
        let path = runtime_dir.join(OsString::from(format!("up-{}.notify", std::process::id())));
        let socket = UnixDatagram::bind(&path).map_err(UpError::Wait)?;
        Ok(Self { socket, path })
    }

    async fn wait(&self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(());
            }
        }
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        // Left behind it would only be a name without a listener.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Starts the units and says what listens where. A unit that fails does not stop the others.
fn start(flags: Flags, target: Target, units: &Units) -> Result<(), CliError> {
    let mut session = Session::open(flags, target)?;
    let triggered = session.manager.unit_values(&units.services, Interface::Unit, "TriggeredBy")?;
    let alone = units
        .services
        .iter()
        .zip(triggered)
        .filter(|(_, by)| by.as_deref().map(texts).is_none_or(|by| by.is_empty()));
    let names: Vec<String> =
        units.sockets.iter().cloned().chain(alone.map(|(name, _)| name.clone())).collect();
    jobs::run(&mut session, JobVerb::Start, &names)?;
    if session.flags.quiet {
        return Ok(());
    }
    let table = table(&mut session, &units.sockets)?;
    if !session.print_json(&table)? {
        session.print(&table.render(&session.style, session.flags.legend(), session.width()))?;
    }
    Ok(())
}

/// One line for each address that is listened on.
fn table(session: &mut Session, sockets: &[String]) -> Result<Table, CliError> {
    let mut table = Table::new(&["LISTEN", "UNIT", "INSTANCES", "ACTIVATES"]);
    let paths: Vec<String> = sockets.iter().map(|unit| unit_path(unit)).collect();
    for (unit, properties) in sockets.iter().zip(session.manager.properties(&paths)?) {
        let properties = properties?;
        if properties.text("ActiveState") != "active" {
            continue;
        }
        let activates = properties.texts("Triggers");
        let instances = instances(session, &activates)?;
        for (_, address) in properties.rows::<(String, String)>("Listen") {
            let count = if properties.bool("Accept") { Cell::none() } else { Cell::number(instances) };
            table.push(vec![Cell::new(address), Cell::new(unit), count, Cell::list(&activates)]);
        }
    }
    Ok(table)
}

/// How many processes serve a socket: the slots of its group, otherwise one.
fn instances(session: &mut Session, activates: &[String]) -> Result<u32, CliError> {
    let paths: Vec<String> = activates.iter().map(|unit| unit_path(unit)).collect();
    let mut most = 1;
    for properties in session.manager.properties(&paths)?.into_iter().flatten() {
        let slots = properties.rows::<(u32, String, u32, String)>("Slots").len();
        most = most.max(u32::try_from(slots).unwrap_or(u32::MAX));
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_sections_are_found_in_both_syntaxes() {
        let table = [
            ("[Install]\nWantedBy=default.target\n", true),
            ("[Unit]\nWantedBy=x\n[Install]\n", false),
            ("[Install]\nWantedBy=\n", false),
            ("[Install]\n# WantedBy=x\nAlias=y.service\n", false),
            ("[Service]\nExecStart = \"x\"\n\n[Install]\nWantedBy = [\"default.target\"]\n", true),
            ("[Install]\nWantedBy = []\n", false),
        ];
        for (text, expected) in table {
            assert_eq!(is_wanted(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_directory_yields_sockets_and_wanted_services() {
        let temp = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(temp.path().join(name), text).unwrap();
        assert!(matches!(Units::of(temp.path()), Err(UpError::NoUnits(_))));
        write("web.socket", "[Socket]\n");
        write("api.socket.toml", "[Socket]\n");
        write("web@.service", "[Install]\nWantedBy=x\n");
        write("job.service", "[Install]\nWantedBy=x\n");
        write("web.service", "[Service]\n");
        write("notes.txt", "");
        std::fs::create_dir(temp.path().join("web.socket.d")).unwrap();
        std::fs::create_dir(temp.path().join("dir.socket")).unwrap();
        let expected = Units {
            sockets: vec!["api.socket".into(), "web.socket".into()],
            services: vec!["job.service".into()],
        };
        assert_eq!(Units::of(temp.path()).unwrap(), expected);
        assert!(matches!(Units::of(&temp.path().join("none")), Err(UpError::Directory { .. })));
    }

    #[test]
    fn the_managers_end_is_ours() {
        assert_eq!(exit_of(ExitStatus::from_raw(78 << 8)), Exit::Code(78));
        assert_eq!(exit_of(ExitStatus::from_raw(9)), Exit::Code(137));
    }
}
