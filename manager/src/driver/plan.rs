//! From a typed command to a spawn plan: environment, arguments, descriptors, user, limits. Everything that can fail for want of
//! something fails here, before there is a process.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use sockmgr_engine::{ExecList, FdId, PassedFd, SpawnError, commands, socket_commands};
use sockmgr_sys::SysError;
use sockmgr_sys::child::parent_pid;
use sockmgr_sys::listener::set_nonblocking;
use sockmgr_sys::spawn::{Isolation, SpawnPlan, SpawnStep, Stdio, WorkingDirectory};
use sockmgr_sys::stdio;
use sockmgr_unit::section::{
    Account, ExecSection, ResourceSection, SandboxSection, SocketSection, StreamSection,
};
use sockmgr_unit::specifier::Directories as Places;
use sockmgr_unit::{
    EnvironmentFile, ExecCommand, Privilege, ServiceUnit, Settings, SocketUnit, Unit, UnitName,
    parse_environment_file,
};

use super::confine;
use super::credentials;
use super::descriptors::Descriptors;
use super::directories;
use super::dynamic_users::DynamicUsers;
use super::environment::Changes;
use super::identity::Identity;
use super::journal::Journal;
use super::listeners::chain;
use super::output::Pipe;
use super::scheduling;
use super::streams::{self, Streams};
use crate::chown;
use crate::control::Resource;
use crate::keeper::own_program;
use crate::loader;
use crate::paths::Scope;

/// Whose command it is.
#[derive(Clone, Copy)]
pub(super) enum Owner<'a> {
    Service(&'a ServiceUnit),
    Socket(&'a SocketUnit),
}

impl<'a> Owner<'a> {
    pub(super) fn of(unit: &'a Unit) -> Option<Self> {
        unit.service().map(Self::Service).or_else(|| unit.socket_unit().map(Self::Socket))
    }

    pub(super) fn sandbox(self) -> &'a SandboxSection {
        match self {
            Self::Service(service) => &service.sandbox,
            Self::Socket(socket) => &socket.sandbox,
        }
    }

    /// Whether what the unit is kept from is for this command: systemd.service(5), `+` is the whole of the manager's privileges.
    pub(super) fn is_confined(self, list: ExecList, index: usize) -> bool {
        self.commands(list).get(index).is_some_and(|command| command.flags.privilege != Privilege::Full)
    }

    pub(super) fn exec(self) -> &'a ExecSection {
        match self {
            Self::Service(service) => &service.exec,
            Self::Socket(socket) => &socket.exec,
        }
    }

    pub(super) fn streams(self) -> &'a StreamSection {
        match self {
            Self::Service(service) => &service.streams,
            Self::Socket(socket) => &socket.streams,
        }
    }

    fn resources(self) -> &'a ResourceSection {
        match self {
            Self::Service(service) => &service.resources,
            Self::Socket(socket) => &socket.resources,
        }
    }

    fn commands(self, list: ExecList) -> &'a [ExecCommand] {
        match self {
            Self::Service(service) => commands(service, list),
            Self::Socket(socket) => socket_commands(socket, list),
        }
    }

    /// `NonBlocking=`; a socket's own commands get its listeners as they are, for it goes on to use them.
    fn non_blocking(self) -> Option<bool> {
        match self {
            Self::Service(service) => Some(service.service.non_blocking),
            Self::Socket(_) => None,
        }
    }
}

/// One command to run.
pub(super) struct Request<'a> {
    pub(super) unit: &'a UnitName,
    pub(super) owner: Owner<'a>,
    pub(super) list: ExecList,
    pub(super) index: usize,
    pub(super) fds: &'a [PassedFd],
    /// Those of them that running siblings have as well.
    pub(super) in_use: Vec<FdId>,
    pub(super) environment: Vec<(&'static str, String)>,
    /// It may write to the notify socket.
    pub(super) notifies: bool,
    /// Its place in a group, from 0.
    pub(super) slot: Option<u32>,
    /// The namespaces that it gets.
    pub(super) isolation: Option<Box<Isolation>>,
}

/// A process to be: its plan, the descriptors that go with it, and the pipe by which we read what it logs.
pub(super) struct Planned {
    pub(super) plan: SpawnPlan,
    pub(super) fds: Vec<OwnedFd>,
    pub(super) output: Option<Pipe>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    /// The manager lacks something; the unit's result is `resources`.
    #[error("{0}")]
    Resources(String),
    /// As if the process had failed at this step.
    #[error("{1}")]
    Step(SpawnStep, String),
}

impl From<PlanError> for SpawnError {
    fn from(error: PlanError) -> Self {
        let text = error.to_string();
        match error {
            PlanError::Resources(_) => Self { exit_code: 0, text, resources: true },
            PlanError::Step(step, _) => {
                Self { exit_code: step.exit_status().unwrap_or(0), text, resources: false }
            }
        }
    }
}

/// Makes plans. It knows what all processes have in common.
#[derive(Debug)]
pub(super) struct Planner {
    scope: Scope,
    notify_path: PathBuf,
    /// What every process inherits from the manager.
    inherited: BTreeMap<String, String>,
    /// Below which directories those of units are.
    places: Places,
    dynamic_users: DynamicUsers,
    journal: Journal,
}

impl Planner {
    pub(super) fn new(
        scope: Scope,
        notify_path: PathBuf,
        runtime_dir: &Path,
        settings: &Settings,
        changes: &Changes,
    ) -> Self {
        let places = loader::host(scope, runtime_dir).directories;
        let dynamic_users = DynamicUsers::new(runtime_dir);
        let (inherited, journal) = (BTreeMap::new(), Journal::default());
        let mut planner = Self { scope, notify_path, inherited, places, dynamic_users, journal };
        planner.set_defaults(settings, changes);
        planner
    }

    /// Takes over what the settings say about all services. The keeper is to be told of [`Planner::common_environment`] then.
    pub(super) fn set_defaults(&mut self, settings: &Settings, changes: &Changes) {
        self.inherited = inherited_environment(self.scope);
        self.inherited.extend(settings.default_environment.iter().cloned());
        changes.apply(&mut self.inherited);
        self.journal = Journal::of(settings);
    }

    /// What all services inherit.
    pub(super) fn inherited(&self) -> &BTreeMap<String, String> {
        &self.inherited
    }

    /// Whether output that goes to a log goes to the journal.
    pub(super) fn logs_to_journal(&self) -> bool {
        self.journal.is_there()
    }

    /// What plans extend, as the keeper is told it once.
    pub(super) fn common_environment(&self) -> Vec<CString> {
        self.inherited
            .iter()
            .filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok())
            .collect()
    }

    /// The plan for a command, and the descriptors that go with it.
    pub(super) fn plan(&self, request: &Request, table: &Descriptors) -> Result<Planned, PlanError> {
        let command = command_of(request)?;
        let (exec, resources) = (request.owner.exec(), request.owner.resources());
        let sandbox = request.owner.sandbox();
        // systemd.service(5): `+` is the whole of the manager's privileges.
        let privilege = privilege_of(request, command);
        let is_confined = privilege != Privilege::Full;
        let identity = Identity::find(exec, &self.dynamic_users, &self.places)?;
        directories::make(exec, &self.places, self.scope, &identity)?;
        let owner = (self.scope == Scope::System).then(|| identity.owner());
        credentials::place(exec, request.unit, request.list, &self.places, owner)?;
        let mut environment = self.environment(request, &identity)?;
        let mut fds = Passing::default();
        self.place_descriptors(request, table, &mut fds)?;
        let program = command.path.rsplit('/').next().unwrap_or_default();
        let streams = streams::open(request, program, self.scope, &self.journal, &mut fds)?;
        let Streams { stdin, stdout, stderr, terminal, output, journal_stream } = streams;
        if let Some(name) = journal_stream {
            environment.entry("JOURNAL_STREAM".to_owned()).or_insert(name);
        }
        let limits = scheduling::limits_of(&resources.limits);
        let extends_environment = exec.unset_environment.is_empty();
        let inherited = |name: &str| self.inherited.get(name).filter(|_| extends_environment);
        let lookup = |name: &str| environment.get(name).or_else(|| inherited(name)).cloned();
        let plan = SpawnPlan {
            path: text(&command.path)?,
            argv: command.expand(&lookup).iter().map(|argument| text(argument)).collect::<Result<_, _>>()?,
            envp: environment
                .iter()
                .map(|(name, value)| text(&format!("{name}={value}")))
                .collect::<Result<_, _>>()?,
            extends_environment,
            search_path: exec.exec_search_path.iter().map(text).collect::<Result<_, _>>()?,
            fds: fds.owned.len() as u16,
            listen_fds: fds.listen,
            socket_fds: if fds.listen > 0 { sockets(request.fds).count() as u16 } else { 0 },
            nonblocking: nonblocking(request, table)?,
            stdin,
            stdout,
            stderr,
            terminal,
            credentials: match privilege {
                Privilege::None | Privilege::Ambient => identity.credentials()?,
                Privilege::Full | Privilege::NoSetuid => None,
            },
            rlimits: if is_confined { confine::limits(sandbox, limits) } else { Vec::new() },
            scheduling: scheduling::scheduling(resources, request.slot)?,
            keyring: scheduling::keyring(resources),
            umask: Some(resources.umask.0),
            working_directory: working_directory(exec, &identity)?,
            ignore_sigpipe: resources.ignore_sigpipe,
            no_new_privileges: is_confined && sandbox.no_new_privileges,
            isolation: request.isolation.clone(),
            confinement: if is_confined {
                confine::confinement(sandbox, confine::personality(resources))?
            } else {
                None
            },
            watchdog_pid: environment.contains_key("WATCHDOG_USEC")
                && !exec.unset_environment.has("WATCHDOG_PID", ""),
            exec_pid: !exec.unset_environment.has("SYSTEMD_EXEC_PID", ""),
        };
        Ok(Planned { plan, fds: fds.owned, output })
    }

    /// The plan for the process that gives the nodes of a socket to `SocketUser=` and `SocketGroup=`.
    pub(super) fn chown_plan(section: &SocketSection, nodes: usize) -> Result<SpawnPlan, PlanError> {
        let name = |account: &Option<Account>| account.as_ref().map_or("", Account::as_str).to_owned();
        let (user, group) = (name(&section.socket_user), name(&section.socket_group));
        let argv = chown::arguments(&user, &group)
            .ok_or_else(|| PlanError::Resources("a name has a NUL byte in it".to_owned()))?;
        let count = nodes as u16;
        Ok(SpawnPlan {
            path: text(&own_program().to_string_lossy())?,
            argv,
            envp: vec![text(&format!("LISTEN_FDS={count}"))?, text("LISTEN_FDNAMES=")?],
            extends_environment: true,
            fds: count,
            listen_fds: count,
            stdin: Stdio::Null,
            stdout: Stdio::Inherit,
            stderr: Stdio::Inherit,
            ..SpawnPlan::default()
        })
    }

    /// Descriptors from 3 up: for the main command, unless one of its standard streams is the socket.
    fn place_descriptors(
        &self,
        request: &Request,
        table: &Descriptors,
        fds: &mut Passing,
    ) -> Result<(), PlanError> {
        for passed in request.fds {
            let fd = table
                .get(passed.fd)
                .ok_or_else(|| PlanError::Resources(format!("its socket {} is gone", passed.name)))?;
            fds.owned.push(fd.try_clone_to_owned().map_err(|error| PlanError::Resources(error.to_string()))?);
        }
        fds.listen = if has_listen_fds(request) { request.fds.len() as u16 } else { 0 };
        Ok(())
    }

    /// What the process has beside or instead of what all inherit: value by name, later sources win (systemd.exec(5),
    /// "Environment").
    fn environment(
        &self,
        request: &Request,
        identity: &Identity,
    ) -> Result<BTreeMap<String, String>, PlanError> {
        let exec = request.owner.exec();
        let mut all = BTreeMap::new();
        let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
        if has_listen_fds(request) {
            let names: Vec<&str> = request.fds.iter().map(|passed| passed.name.as_str()).collect();
            set("LISTEN_FDS", names.len().to_string());
            set("LISTEN_FDNAMES", names.join(":"));
        }
        if request.notifies {
            set("NOTIFY_SOCKET", self.notify_path.to_string_lossy().into_owned());
        }
        for (name, value) in identity.variables(exec, self.scope) {
            set(name, value);
        }
        for (name, value) in directories::variables(exec, &self.places) {
            set(name, value);
        }
        if !exec.credentials.is_empty() {
            let path = credentials::directory(request.unit, &self.places);
            set("CREDENTIALS_DIRECTORY", path.display().to_string());
        }
        for (name, value) in &request.environment {
            set(name, value.clone());
        }
        if let Some(path) = exec.exec_search_path.joined() {
            set("PATH", path);
        }
        for name in exec.pass_environment.iter() {
            if let Ok(value) = std::env::var(name) {
                set(name, value);
            }
        }
        for (name, value) in &exec.environment {
            set(name, value.clone());
        }
        for file in &exec.environment_file {
            all.extend(read_environment_file(file)?);
        }
        if !exec.unset_environment.is_empty() {
            let mut whole = self.inherited.clone();
            whole.append(&mut all);
            all = whole;
            all.retain(|name, value| !exec.unset_environment.has(name, value));
        }
        Ok(all)
    }

    /// The directories of a unit that its processes can write.
    pub(super) fn writable(&self, exec: &ExecSection) -> Vec<String> {
        directories::writable(exec, &self.places)
    }

    /// Removes the directories that are not to outlive the processes of a unit; answers what went wrong.
    pub(super) fn clean_up(&self, unit: &UnitName, exec: &ExecSection, restarts: bool) -> Vec<SysError> {
        let mut errors = Vec::new();
        if !exec.credentials.is_empty() {
            errors.extend(credentials::remove(unit, &self.places).err());
        }
        if exec.runtime_directory_preserve.keeps(restarts) {
            return errors;
        }
        errors.extend(directories::remove(exec, Resource::Runtime, &self.places));
        errors
    }

    /// Removes what a unit has left on disk; answers what went wrong.
    pub(super) fn clean(&self, exec: &ExecSection, what: &[Resource]) -> Vec<SysError> {
        what.iter().flat_map(|resource| directories::remove(exec, *resource, &self.places)).collect()
    }

    /// Takes back the user that was made up for a unit.
    pub(super) fn release_user(&self, exec: &ExecSection) {
        if let Some(name) = &exec.user {
            self.dynamic_users.release(name);
        }
    }
}

fn working_directory(exec: &ExecSection, identity: &Identity) -> Result<Option<WorkingDirectory>, PlanError> {
    use sockmgr_unit::section::WorkingDirectory as Wanted;
    let (path, optional) = match &exec.working_directory {
        Some(Wanted::Path { path, optional }) => (path.to_string(), *optional),
        Some(Wanted::Home { optional }) => (identity.home(), *optional),
        None => return Ok(None),
    };
    Ok(Some(WorkingDirectory { path: text(&path)?, optional }))
}

/// What the prefix of the command says; with `PermissionsStartOnly=` all but the main one have a `+`.
fn privilege_of(request: &Request, command: &ExecCommand) -> Privilege {
    match request.owner {
        Owner::Service(service)
            if service.service.permissions_start_only && request.list != ExecList::Start =>
        {
            Privilege::Full
        }
        Owner::Service(_) | Owner::Socket(_) => command.flags.privilege,
    }
}

/// The descriptors of a plan: those from 3 up first, then what standard streams need.
#[derive(Default)]
pub(super) struct Passing {
    owned: Vec<OwnedFd>,
    listen: u16,
}

impl Passing {
    pub(super) fn add(&mut self, fd: OwnedFd) -> Stdio {
        self.owned.push(fd);
        Stdio::Fd((self.owned.len() - 1) as u16)
    }
}

fn command_of<'a>(request: &Request<'a>) -> Result<&'a ExecCommand, PlanError> {
    let list = request.owner.commands(request.list);
    list.get(request.index)
        .ok_or_else(|| PlanError::Resources("the unit file changed, the command is gone".to_owned()))
}

/// `NonBlocking=`, as the child is to set it; `None` when it is to leave it. O_NONBLOCK belongs to the open file: a sibling that runs
/// has it as it needs it, and with another mode would hang in accept(2) over a client that somebody else took.
fn nonblocking(request: &Request, table: &Descriptors) -> Result<Option<bool>, PlanError> {
    let Some(wanted) = request.owner.non_blocking() else { return Ok(None) };
    if request.in_use.is_empty() {
        return Ok(Some(wanted));
    }
    let own = sockets(request.fds).filter(|passed| !request.in_use.contains(&passed.fd));
    for fd in own.filter_map(|passed| table.get(passed.fd)) {
        set_nonblocking(fd, wanted).map_err(|error| PlanError::Resources(chain(&error)))?;
    }
    Ok(None)
}

fn sockets(fds: &[PassedFd]) -> impl Iterator<Item = &PassedFd> {
    fds.iter().filter(|passed| !passed.is_stored)
}

fn has_listen_fds(request: &Request) -> bool {
    let is_asked_for = match request.owner {
        Owner::Service(_) => request.list == ExecList::Start,
        Owner::Socket(_) => true,
    };
    is_asked_for && !request.fds.is_empty() && !request.owner.streams().uses_socket()
}

fn read_environment_file(file: &EnvironmentFile) -> Result<Vec<(String, String)>, PlanError> {
    let failed = |why: String| PlanError::Resources(format!("EnvironmentFile={}: {why}", file.path));
    let paths = crate::loader::glob(&file.path);
    if paths.is_empty() && !file.optional {
        return Err(failed("there is no such file".to_owned()));
    }
    let mut variables = Vec::new();
    for path in paths {
        match stdio::read_regular_file(&path) {
            Ok(bytes) => {
                variables.extend(parse_environment_file(&bytes).map_err(|error| failed(error.to_string()))?)
            }
            Err(_) if file.optional => {}
            Err(error) => return Err(failed(chain(&error))),
        }
    }
    Ok(variables)
}

/// A user's services see what the user's manager sees; system services only what is fit for them.
fn inherited_environment(scope: Scope) -> BTreeMap<String, String> {
    const OURS: [&str; 12] = [
        "JOURNAL_STREAM",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        crate::keeper::KEEPER_FD_VARIABLE,
        "MAINPID",
        "INVOCATION_ID",
        "FDSTORE",
        "SYSTEMD_EXEC_PID",
    ];
    let mut all: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !OURS.contains(&name.as_str()))
        .filter(|(name, _)| scope == Scope::User || name == "LANG" || name == "TZ" || name.starts_with("LC_"))
        .collect();
    if scope == Scope::User {
        // The keeper: it is what this manager is to its services.
        all.insert("MANAGERPID".to_owned(), parent_pid().to_string());
    }
    all.entry("PATH".to_owned())
        .or_insert_with(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    all
}

fn text(value: &str) -> Result<CString, PlanError> {
    CString::new(value).map_err(|_| PlanError::Resources(format!("{value:?} has a NUL byte in it")))
}
