//! How a driver comes to be: fresh, or as the successor of a manager that ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use sockmgr_engine::{Command, Engine, ExitStatus, JobMode, ProcessId, SavedProcess, SavedUnit, Verb};
use sockmgr_sys::notify::NotifySocket;
use sockmgr_sys::poll::{Interest, Poll};
use sockmgr_unit::{Diagnostic, Library, Settings, UnitName};

use super::descriptors::{Descriptors, parse_held_name};
use super::environment::Changes;
use super::listeners::chain;
use super::output::{Left, Outputs};
use super::plan::Planner;
use super::private_tmp::PrivateTmp;
use super::queues::Looks;
use super::steering::Steerings;
use super::turn::LINK;
use super::{Driver, now};
use crate::control::Core;
use crate::keeper::{KeeperLink, LinkError};
use crate::loader::{self, Loader, SearchPath};
use crate::logfile::Places;
use crate::paths::Scope;
use crate::protocol::{PROTOCOL_VERSION, ToKeeper, ToManager};

/// Targets that come up with the manager; what is wanted by them is what is enabled.
const BOOT_TARGETS: [&str; 3] = ["sockets.target", "multi-user.target", "default.target"];

/// What the command line of `sockmgrd` says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose manager.
    pub scope: Scope,
    /// Directories that replace the search path.
    pub unit_path: Vec<PathBuf>,
    /// The runtime directory, made and checked.
    pub runtime_dir: PathBuf,
    /// The settings file; `None`: the one in its usual place, if there is one.
    pub config: Option<PathBuf>,
    /// Where logs of services are.
    pub logs: Places,
    /// What services write to the log is also printed here.
    pub console: bool,
}

/// Why the manager cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The link to the keeper.
    #[error("cannot talk to the keeper: {0}")]
    Link(#[from] LinkError),
    /// A step of it.
    #[error("cannot {0}: {1}")]
    Step(&'static str, String),
    /// Another version.
    #[error("the keeper speaks version {0} of the protocol, this manager version {PROTOCOL_VERSION}")]
    Version(u32),
}

/// What the keeper has from an earlier manager.
#[derive(Default)]
struct Estate {
    fds: BTreeMap<String, OwnedFd>,
    values: Vec<(String, Vec<u8>)>,
    processes: Vec<SavedProcess>,
    restarts: u32,
}

impl Driver {
    /// Takes up the work: reads the unit files, takes over what an earlier manager left, and opens what is enabled.
    /// Also answers the control socket, which outlives managers too.
    ///
    /// # Errors
    /// [`BootError`]; the keeper stays as it is.
    pub fn boot(
        mut link: KeeperLink,
        options: Options,
        settings: Settings,
    ) -> Result<(Self, UnixListener), BootError> {
        let poll = Poll::new().map_err(|error| BootError::Step("make a poll set", chain(&error)))?;
        let mut estate = receive_estate(&mut link, &poll)?;
        let mut left = Left::of(&mut estate.fds);
        let outputs = Outputs::new(&mut left, options.logs.clone(), &settings, options.console)
            .map_err(|error| BootError::Step("make room for what services write", chain(&error)))?;
        let loader = Loader::new(SearchPath::new(options.scope, &options.unit_path, &settings.unit_path));
        let read_at = SystemTime::now();
        let library = read_library(&loader, &options, &settings);
        let environment = Changes::take_up(&mut estate.values);
        let notify_path = options.runtime_dir.join("notify");
        let notify = adopt_or(&mut link, &mut estate, "notify", || {
            NotifySocket::bind(&notify_path).map(OwnedFd::from).map_err(|error| chain(&error))
        })?;
        let control = adopt_or(&mut link, &mut estate, "control", || {
            bind_control(&options.runtime_dir.join("private"))
        })?;
        let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
        let mut driver = Self {
            planner: Planner::new(options.scope, notify_path, &options.runtime_dir, &settings, &environment),
            environment,
            files_read: (read_at, BTreeMap::new()),
            engine: Engine::new(library, settings, cpus),
            link,
            inbox: VecDeque::new(),
            releases: 0,
            link_blocked: false,
            poll,
            descriptors: Descriptors::default(),
            steerings: Steerings::default(),
            looks: Looks::default(),
            visits: super::usage::Visits::default(),
            notify: NotifySocket::from_fd(notify),
            probes: super::probe::Probes::default(),
            outputs,
            loader,
            options,
            actions: Vec::new(),
            notices: Vec::new(),
            unsaved: BTreeSet::new(),
            forget: Vec::new(),
            is_stopping: false,
            private_tmp: PrivateTmp::default(),
            namespaces: None,
            bus_names: BTreeSet::new(),
            bus_names_wanted: Rc::default(),
            commanded: Rc::default(),
        };
        driver.engine.set_entropy(entropy());
        driver.watch_notify().map_err(|error| BootError::Step("watch the notify socket", chain(&error)))?;
        driver.push(ToKeeper::Environment(driver.planner.common_environment()));
        driver.report_diagnostics();
        driver.hold_intake();
        driver.begin(estate, left);
        driver.push(ToKeeper::Ready);
        driver.flush_link()?;
        sockmgr_sys::memory::give_back();
        Ok((driver, UnixListener::from(control)))
    }

    fn begin(&mut self, estate: Estate, left: Left) {
        // One that died before it had anything to remember leaves the start to its successor.
        let successor = estate.restarts > 0 && !estate.values.is_empty();
        self.restore(estate, left);
        if successor {
            tracing::warn!("the manager was restarted; services and sockets went on meanwhile");
        } else {
            self.start_enabled();
        }
    }

    fn restore(&mut self, mut estate: Estate, left: Left) {
        self.steerings = Steerings::take_up(&mut estate.fds, &mut estate.values);
        self.private_tmp = PrivateTmp::take_up(&mut estate.values);
        for (name, fd) in estate.fds {
            if let Some((id, node)) = parse_held_name(&name) {
                self.descriptors.insert(id, fd, node);
            }
        }
        let units: Vec<SavedUnit> =
            estate.values.iter().filter_map(|(key, value)| read_saved(key, value)).collect();
        let held = self.descriptors.ids();
        self.engine.restore(now(), units, &estate.processes, &held, &mut self.actions);
        self.take_up_outputs(left, &estate.processes);
        self.guard_slots();
        self.perform();
        // Some may have gone down with nobody to see it.
        self.private_tmp.units().iter().for_each(|unit| self.drop_temporary(unit));
        self.end_stray_steering();
    }

    fn start_enabled(&mut self) {
        for target in BOOT_TARGETS {
            let Ok(unit) = target.parse::<UnitName>() else { continue };
            let command = Command { verb: Verb::Start, unit, mode: JobMode::Replace };
            if let Err(error) = self.request(&command) {
                tracing::debug!("{target}: {error}");
            }
        }
    }

    /// Says farewell: the keeper may end, and the runtime directory is left as it was found.
    pub fn farewell(&mut self) -> Result<(), LinkError> {
        self.take_all_outputs();
        for name in ["private", "notify"] {
            let path = self.options.runtime_dir.join(name);
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::debug!("cannot remove {}: {error}", path.display());
            }
        }
        super::isolate::remove_nodes(&self.options.runtime_dir);
        self.private_tmp.finish();
        self.push(ToKeeper::Goodbye);
        self.flush_link()
    }
}

/// A number that nobody can foretell: the standard library draws keys for its hash tables.
fn entropy() -> u64 {
    std::hash::RandomState::new().hash_one(now())
}

/// Everything the keeper says before `Restored`.
fn receive_estate(link: &mut KeeperLink, poll: &Poll) -> Result<Estate, BootError> {
    let failed = |error: sockmgr_sys::SysError| BootError::Step("watch the keeper", chain(&error));
    poll.add(link.as_fd(), LINK, Interest::Readable).map_err(failed)?;
    let (mut estate, mut ready) = (Estate::default(), Vec::new());
    loop {
        poll.wait(&mut ready, None).map_err(failed)?;
        while let Some((message, fds)) = link.recv()? {
            match message {
                ToManager::Hello { version, restarts } if version == PROTOCOL_VERSION => {
                    estate.restarts = restarts
                }
                ToManager::Hello { version, .. } => return Err(BootError::Version(version)),
                ToManager::Held { name } => {
                    if let Some(fd) = fds.into_iter().next() {
                        estate.fds.insert(name, fd);
                    }
                }
                ToManager::Remembered { key, value } => estate.values.push((key, value)),
                ToManager::Process { process, pid, exit, leaves_others, .. } => {
                    estate.processes.push(SavedProcess {
                        process: ProcessId(process.0),
                        pid: u32::try_from(pid).unwrap_or(0),
                        status: exit.map(exit_status),
                        leaves_others,
                    })
                }
                ToManager::Restored => return Ok(estate),
                ToManager::Spawned { .. }
                | ToManager::SpawnFailed { .. }
                | ToManager::Exited { .. }
                | ToManager::LeftGone { .. }
                | ToManager::Frozen { .. }
                | ToManager::Signal(_)
                | ToManager::Released
                | ToManager::NotHeld { .. } => tracing::debug!("the keeper speaks before its turn"),
            }
        }
    }
}

fn read_saved(key: &str, value: &[u8]) -> Option<SavedUnit> {
    postcard::from_bytes(value)
        .inspect_err(|error| tracing::error!(unit = key, "cannot read its saved state: {error}"))
        .ok()
}

/// A descriptor that an earlier manager left under this name, or a new one, which the keeper holds from now on.
fn adopt_or(
    link: &mut KeeperLink,
    estate: &mut Estate,
    name: &'static str,
    make: impl FnOnce() -> Result<OwnedFd, String>,
) -> Result<OwnedFd, BootError> {
    if let Some(fd) = estate.fds.remove(name) {
        return Ok(fd);
    }
    let fd = make().map_err(|why| BootError::Step("open its own sockets", format!("{name}: {why}")))?;
    let copy = fd.try_clone().map_err(|error| BootError::Step("open its own sockets", error.to_string()))?;
    link.push(&ToKeeper::Hold { names: vec![name.to_owned()] }, vec![copy]);
    Ok(fd)
}

/// The control socket. Only its owner and root get past the check of the peer's uid; the mode keeps others from even trying.
fn bind_control(path: &Path) -> Result<OwnedFd, String> {
    use sockmgr_sys::listener::{ListenAddress, ListenerSpec, SocketKind, open};
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(format!(
            "another manager answers at {}; stop it first, or use another --runtime-dir",
            path.display()
        ));
    }
    let mut spec = ListenerSpec::new(SocketKind::Stream, ListenAddress::UnixPath(path.to_owned()));
    spec.mode = 0o600;
    open(&spec).map(|listener| listener.fd).map_err(|error| chain(&error))
}

/// All unit files, as they are on disk now.
pub(super) fn read_library(loader: &Loader, options: &Options, settings: &Settings) -> Library {
    loader.load(loader::host(options.scope, &options.runtime_dir), settings.clone())
}

/// The settings file, as it is on disk now. Lines that mean nothing are reported and left out.
///
/// # Errors
/// A sentence: the file that was asked for cannot be read.
pub fn read_settings(options: &Options) -> Result<(Settings, Vec<Diagnostic>), String> {
    loader::read_settings(options.scope, options.config.as_deref())
}

pub(super) fn exit_status(status: sockmgr_sys::child::ExitStatus) -> ExitStatus {
    match status {
        sockmgr_sys::child::ExitStatus::Exited(code) => ExitStatus::Exited(code),
        sockmgr_sys::child::ExitStatus::Killed(signal) => ExitStatus::Killed(signal),
        sockmgr_sys::child::ExitStatus::Dumped(signal) => ExitStatus::Dumped(signal),
    }
}
