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
use sockmgr_unit::{Settings, UnitKind, UnitName};
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
use crate::loader::{self, Loader, SearchPath};
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
    let units = Units::of(&what.directory, target)?;
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
    /// Reads the unit files of `directory`; what is wrong with them is the manager's to say.
    fn of(directory: &Path, target: &Target) -> Result<Self, UpError> {
        let directory = directory
            .canonicalize()
            .and_then(|path| std::fs::read_dir(&path).map(|_| path))
            .map_err(|source| UpError::Directory { path: directory.to_path_buf(), source })?;
        let path = SearchPath::new::<&str>(target.scope, std::slice::from_ref(&directory), &[]);
        let host = loader::host(target.scope, &target.runtime_dir);
        let mut library = Loader::new(path).load(host, Settings::default());
        let names: BTreeSet<UnitName> = library.names().filter(|name| !name.is_template()).cloned().collect();
        let (mut sockets, mut services) = (Vec::new(), Vec::new());
        for unit in names.iter().map(|name| library.unit(name)) {
            match &unit.kind {
                UnitKind::Socket(_) => sockets.push(unit.name.as_str().to_owned()),
                UnitKind::Service(_) if !unit.install.wanted_by.is_empty() => {
                    services.push(unit.name.as_str().to_owned());
                }
                UnitKind::Service(_) | UnitKind::Target | UnitKind::Other => {}
            }
        }
        // An alias and its unit are one.
        sockets.dedup();
        services.dedup();
        if sockets.is_empty() && services.is_empty() {
            return Err(UpError::NoUnits(directory));
        }
        Ok(Self { sockets, services })
    }
}

/// The command line of the manager.
fn command(target: &Target, what: &Up) -> Result<Command, UpError> {
    let mut command = Command::new(daemon());
    command.arg(target.scope.option()).arg("--console").arg("--runtime-dir").arg(&target.runtime_dir);
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
    // What the daemon has to say later (that it stops, that a successor of its manager is ready) concerns nobody here; but it
    // would complain if nobody were there to be told.
    tokio::spawn(async move { while ready.wait().await.is_ok() {} });
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
    if !session.print_json(&table)? && table.len() > 0 {
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
        let slots = properties.rows::<(u32, String, String, u32, bool)>("Slots").len();
        most = most.max(u32::try_from(slots).unwrap_or(u32::MAX));
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Scope;

    #[test]
    fn a_directory_yields_sockets_and_wanted_services() {
        let temp = tempfile::tempdir().unwrap();
        let target =
            Target { scope: Scope::User, runtime_dir: temp.path().join("run"), options: String::new() };
        let write = |name: &str, text: &str| std::fs::write(temp.path().join(name), text).unwrap();
        assert!(matches!(Units::of(temp.path(), &target), Err(UpError::NoUnits(_))));
        write("web.socket", "[Socket]\nListenStream=/tmp/x\n");
        write("api.socket.toml", "[Socket]\nListenStream = \"/tmp/y\"\n");
        write("web@.service", "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=default.target\n");
        write("job.service", "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=default.target\n");
        write(
            "timed.service.toml",
            "[Service]\nExecStart = \"/bin/true\"\n[Install]\nWantedBy = [\"default.target\"]\n",
        );
        write("web.service", "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=\n");
        write("notes.txt", "");
        std::fs::create_dir(temp.path().join("web.socket.d")).unwrap();
        std::fs::create_dir(temp.path().join("dir.socket")).unwrap();
        let expected = Units {
            sockets: vec!["api.socket".into(), "web.socket".into()],
            services: vec!["job.service".into(), "timed.service".into()],
        };
        assert_eq!(Units::of(temp.path(), &target).unwrap(), expected);
        assert!(matches!(Units::of(&temp.path().join("none"), &target), Err(UpError::Directory { .. })));
    }

    #[test]
    fn the_managers_end_is_ours() {
        assert_eq!(exit_of(ExitStatus::from_raw(78 << 8)), Exit::Code(78));
        assert_eq!(exit_of(ExitStatus::from_raw(9)), Exit::Code(137));
    }
}
