//! The driver: it performs what the engine decides, and tells the engine what became of it.
//!
//! It owns every descriptor of the manager. Never here: decisions about units. Invariant: after each call of the engine every
//! action has been performed, in order, and every fallible one was answered.

mod boot;
mod conditions;
mod confine;
mod credentials;
mod descriptors;
mod directories;
mod dynamic_users;
mod environment;
mod identity;
mod isolate;
mod journal;
mod limits;
mod links;
mod listeners;
mod migration;
mod notify;
mod output;
mod plan;
mod private_tmp;
mod probe;
mod queues;
mod scheduling;
mod setup;
mod steering;
mod streams;
mod turn;
mod usage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use sockmgr_engine::{
    Action, ActiveState, Command, Direction, Engine, Event, ExecList, KillScope, KillWho, Level, MachineView,
    MainHint, Notice, RequestError, SpawnError, Time,
};
use sockmgr_sys::namespace::{self, Available};
use sockmgr_sys::notify::NotifySocket;
use sockmgr_sys::poll::Poll;
use sockmgr_sys::spawn::{Isolation, SpawnStep};
use sockmgr_unit::section::SandboxSection;
use sockmgr_unit::{NotifyAccess, Unit, UnitName};
use tokio::sync::Notify;

use crate::control::{Core, QueueView, Resource, SteeringView, StoredDescriptor};
use crate::install::UnitFiles;
use crate::keeper::{KeeperLink, LinkError};
use crate::loader::Loader;
use crate::protocol::{ProcessId, ToKeeper, ToManager};

pub use boot::{BootError, Options, read_settings};
use descriptors::Descriptors;
pub use listeners::chain;
use plan::{PlanError, Planner};
pub use setup::address_of;
pub use turn::{Outcome, Wakeups};

/// The engine, its descriptors, and the link to the keeper.
#[derive(Debug)]
pub struct Driver {
    engine: Engine,
    link: KeeperLink,
    poll: Poll,
    descriptors: Descriptors,
    steerings: steering::Steerings,
    looks: queues::Looks,
    visits: usage::Visits,
    notify: NotifySocket,
    planner: Planner,
    environment: environment::Changes,
    /// When all unit files were read, and when those of single units were after that.
    files_read: (SystemTime, BTreeMap<UnitName, SystemTime>),
    probes: probe::Probes,
    outputs: output::Outputs,
    loader: Loader,
    options: Options,
    /// Decided and not yet performed.
    actions: Vec<Action>,
    /// Performed, and clients have yet to hear of them.
    notices: Vec<Notice>,
    /// Units whose state the keeper is to remember anew at the next flush: once a turn, however often it changed.
    unsaved: BTreeSet<UnitName>,
    /// Ends of processes that the keeper may forget at the next flush.
    forget: Vec<ProcessId>,
    /// Messages of the keeper that came while something else was waited for.
    inbox: VecDeque<ToManager>,
    /// Releases that the keeper has not answered yet.
    releases: u32,
    /// The keeper does not take messages as fast as we make them.
    link_blocked: bool,
    is_stopping: bool,
    private_tmp: private_tmp::PrivateTmp,
    /// What namespaces can be had, once somebody has wanted to know.
    namespaces: Option<Available>,
    /// Names on the message bus whose owners the engine wants to know of.
    bus_names: BTreeSet<String>,
    /// Rung when there is another one.
    bus_names_wanted: Rc<Notify>,
    /// Rung when there is work that the poll set does not tell of: a command of a client may have set a timer.
    commanded: Rc<Notify>,
}

impl Driver {
    /// Feeds one event and performs what follows from it.
    fn feed(&mut self, event: Event) {
        self.engine.handle(now(), event, &mut self.actions);
        self.perform();
    }

    /// Performs all that was decided, and all that is decided in answer.
    fn perform(&mut self) {
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                if let Some(event) = self.act(action) {
                    self.engine.handle(now(), event, &mut self.actions);
                }
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Open { socket, ports } => {
                let result = self.open(&socket, &ports);
                return Some(Event::Opened { socket, result });
            }
            Action::Accept { fd, max } => return Some(self.accept(fd, max)),
            Action::Spawn { .. } => return self.spawn(action),
            Action::Probe { .. } => return self.begin_probe(action),
            Action::Check { unit } => return self.check_conditions(unit),
            Action::Measure { fd } => return Some(self.measure(fd)),
            Action::Count { fd } => return Some(self.count(fd)),
            Action::Freeze { process, unit } => {
                self.unsaved.insert(unit);
                self.persist();
                self.push(ToKeeper::Freeze { process: ProcessId(process.0) });
            }
            Action::Close { socket, ports } => self.close(&socket, &ports),
            Action::Adjust { socket, ports } => self.adjust(&socket, &ports),
            Action::Watch { fd } => return self.watch(fd),
            Action::Unwatch { fd } => self.unwatch(fd),
            Action::Relisten { socket, fd } => return self.relisten(socket, fd),
            Action::Flush { fd } => self.flush_queue(fd),
            Action::Migrate { .. } => return self.migrate(action),
            Action::CloseConnection { fd } => self.descriptors.drop_fd(fd),
            Action::Discard { fd } => self.release(&[fd], false),
            Action::CleanUp { unit, restarts } => self.clean_up(&unit, restarts),
            Action::Kill { process, signal, scope } => {
                let process = ProcessId(process.0);
                self.push(ToKeeper::Kill { process, signal, scope: scope_for_keeper(scope) });
            }
            Action::FindMain { process, unit, like, hint } => {
                return self.find_main(ProcessId(process.0), &unit, like, hint);
            }
            Action::WatchBusName { name } => {
                if self.bus_names.insert(name) {
                    self.bus_names_wanted.notify_one();
                }
            }
            Action::Store { fd, is_polled } => self.store(fd, is_polled),
            Action::Unstore { fd } => self.release(&[fd], false),
            Action::Forget { process } => self.forget.push(ProcessId(process.0)),
            Action::Steer { socket, live } => self.steer(&socket, &live),
            Action::Notice(notice) => self.note(notice),
        }
        None
    }

    /// Sends a process to be to the keeper; an event when it does not even get that far.
    fn spawn(&mut self, action: Action) -> Option<Event> {
        let Action::Spawn { process, unit, list, index, fds, environment } = action else { return None };
        let view = self.engine.unit(&unit)?;
        let unit_file = Arc::clone(view.unit);
        let owner = plan::Owner::of(&unit_file)?;
        let notifies = view.unit.service().is_some() && notifies(self.engine.notify_access(&unit), list);
        let in_use = fds.iter().map(|passed| passed.fd).filter(|fd| self.engine.is_in_use(*fd, process));
        let in_use = in_use.collect();
        let is_first = list == ExecList::Start && index == 0;
        if is_first && confine::lacks_filters(owner.sandbox()) {
            tracing::warn!(unit = %unit, "this kernel has no filters of system calls: the unit runs without");
        }
        let planned = if list == ExecList::Chown {
            self.plan_chown(&unit).map(|(plan, fds)| plan::Planned { plan, fds, output: None })
        } else {
            let slot = match view.machine {
                MachineView::Service(service) => service.seat.map(|(_, slot)| slot),
                MachineView::Socket(_) | MachineView::Target | MachineView::Group(_) => None,
            };
            let is_confined = owner.is_confined(list, index);
            let isolation = if is_confined { self.isolation(&unit, owner, is_first) } else { Ok(None) };
            isolation.and_then(|isolation| {
                let request = plan::Request {
                    unit: &unit_file.name,
                    owner,
                    list,
                    index,
                    fds: &fds,
                    in_use,
                    environment,
                    notifies,
                    slot,
                    isolation,
                };
                self.planner.plan(&request, &self.descriptors)
            })
        };
        match planned {
            Ok(plan::Planned { plan, fds, output }) => {
                if let Some(pipe) = output {
                    self.hold_output(ProcessId(process.0), pipe, &unit_file);
                }
                let plan = Box::new(plan);
                let message = ToKeeper::Spawn { process: ProcessId(process.0), tag: unit.to_string(), plan };
                self.link.push(&message, fds);
                None
            }
            Err(error) => Some(Event::SpawnFailed { process, error: SpawnError::from(error) }),
        }
    }

    /// The namespaces of a process of a unit. What the unit has to do without is said when it starts.
    fn isolation(
        &mut self,
        unit: &UnitName,
        owner: plan::Owner,
        is_first: bool,
    ) -> Result<Option<Box<Isolation>>, PlanError> {
        let sandbox = owner.sandbox();
        if !isolate::is_isolated(sandbox) {
            return Ok(None);
        }
        let failed = |error: std::io::Error| PlanError::Step(SpawnStep::Namespace, error.to_string());
        let available = match self.namespaces {
            Some(available) => available,
            None => *self.namespaces.insert(
                namespace::available()
                    .map_err(|error| PlanError::Step(SpawnStep::Namespace, chain(&error)))?,
            ),
        };
        let means = isolate::Means {
            available,
            nodes: &isolate::make_nodes(&self.options.runtime_dir).map_err(failed)?,
            temporary: self.temporary(unit, sandbox).map_err(failed)?,
            writable: self.planner.writable(owner.exec()),
            notify: &self.options.runtime_dir.join("notify"),
        };
        let isolate::Isolated { isolation, left_out } = isolate::isolation(sandbox, &means)?;
        if is_first && !left_out.is_empty() {
            tracing::warn!(unit = %unit, "runs without {}: it cannot be had here", left_out.join(", "));
        }
        Ok(isolation)
    }

    /// The unit's own `/tmp` and `/var/tmp`, made now if it has none yet.
    fn temporary(
        &mut self,
        unit: &UnitName,
        sandbox: &SandboxSection,
    ) -> std::io::Result<Option<[PathBuf; 2]>> {
        if !sandbox.private_tmp {
            return Ok(None);
        }
        if let Some(both) = self.private_tmp.get(unit) {
            return Ok(Some(both.clone()));
        }
        let both = self.private_tmp.make(unit)?.clone();
        let value = postcard::to_stdvec(&both).map_err(std::io::Error::other)?;
        self.push(ToKeeper::Remember { key: private_tmp::key(unit), value });
        Ok(Some(both))
    }

    /// Takes away what a unit has for itself while it is up.
    fn drop_temporary(&mut self, unit: &UnitName) {
        let is_down = |view: sockmgr_engine::UnitView<'_>| {
            matches!(view.active, ActiveState::Inactive | ActiveState::Failed)
        };
        if self.private_tmp.get(unit).is_some()
            && self.engine.unit(unit).is_none_or(is_down)
            && self.private_tmp.remove(unit)
        {
            self.push(ToKeeper::Erase { keys: vec![private_tmp::key(unit)] });
        }
    }

    /// Takes away what was made for the processes of a unit. The user that was made up for it stays for others of its name.
    fn clean_up(&mut self, unit: &UnitName, restarts: bool) {
        let Some(view) = self.engine.unit(unit) else { return };
        let Some(service) = view.unit.service() else { return };
        let exec = service.exec.clone();
        if let Some(file) = &service.service.pid_file {
            remove_pid_file(unit, file);
        }
        for error in self.planner.clean_up(unit, &exec, restarts) {
            tracing::warn!(unit = %unit, error = chain(&error), "cannot remove what was made for it");
        }
        let shares = |name: &UnitName| {
            name != unit
                && self.engine.unit(name).is_some_and(|view| {
                    let has_it = |service: &sockmgr_unit::ServiceUnit| service.exec.user == exec.user;
                    !view.active.is_down() && view.unit.service().is_some_and(has_it)
                })
        };
        if !restarts && exec.dynamic_user.0 && !self.engine.unit_names().any(shares) {
            self.planner.release_user(&exec);
        }
    }

    /// Has the keeper watch the main process of a daemon; an event when there is none to watch.
    fn find_main(
        &mut self,
        process: ProcessId,
        unit: &UnitName,
        like: Option<sockmgr_engine::ProcessId>,
        hint: MainHint,
    ) -> Option<Event> {
        let missing = |text: String| {
            let error = SpawnError { exit_code: 0, text, resources: true };
            Some(Event::SpawnFailed { process: sockmgr_engine::ProcessId(process.0), error })
        };
        let Some(like) = like else { return missing("none of its processes is left".to_owned()) };
        let pid = match hint {
            MainHint::Guess => None,
            MainHint::Pid(pid) => Some(pid),
            MainHint::File(path) => match read_pid_file(Path::new(&path)) {
                Ok(pid) => Some(pid),
                Err(why) => return missing(format!("{path}: {why}")),
            },
        };
        let pid = pid.map(|pid| i32::try_from(pid).unwrap_or(0));
        let like = ProcessId(like.0);
        self.push(ToKeeper::Adopt { process, tag: unit.to_string(), like, pid });
        None
    }

    fn note(&mut self, notice: Notice) {
        match &notice {
            Notice::Log { unit, level, message } => {
                log(unit, *level, message);
                self.remark(unit, *level, message);
            }
            Notice::UnitChanged(unit) | Notice::UnitRemoved(unit) => {
                self.unsaved.insert(unit.clone());
                self.drop_temporary(unit);
            }
            Notice::UnitNew(_) | Notice::JobNew { .. } | Notice::JobRemoved { .. } => {}
        }
        if !matches!(notice, Notice::Log { .. }) {
            self.notices.push(notice);
        }
    }

    /// Has the keeper remember the state of what changed, for the next manager. It goes out with the actions that follow from the
    /// change, in the same packet.
    fn persist(&mut self) {
        let mut gone = Vec::new();
        for unit in std::mem::take(&mut self.unsaved) {
            match self.engine.saved(&unit).map(|saved| postcard::to_stdvec(&saved)) {
                Some(Ok(value)) => self.push(ToKeeper::Remember { key: unit.to_string(), value }),
                Some(Err(error)) => tracing::error!(unit = %unit, %error, "cannot save the unit's state"),
                None => gone.push(unit.to_string()),
            }
        }
        if !gone.is_empty() {
            self.push(ToKeeper::Erase { keys: gone });
        }
    }

    fn push(&mut self, message: ToKeeper) {
        self.link.push(&message, Vec::new());
    }

    /// Sends everything that this turn has queued for the keeper, in as few packets as possible.
    fn flush_link(&mut self) -> Result<(), LinkError> {
        self.persist();
        if !self.forget.is_empty() {
            let processes = std::mem::take(&mut self.forget);
            self.push(ToKeeper::Forget { processes });
        }
        let all_sent = self.link.flush()?;
        self.watch_link(!all_sent);
        Ok(())
    }

    /// Asks the engine, performs, and sends.
    fn command<T>(&mut self, ask: impl FnOnce(&mut Engine, Time, &mut Vec<Action>) -> T) -> T {
        let answer = ask(&mut self.engine, now(), &mut self.actions);
        self.perform();
        self.commanded.notify_one();
        if let Err(error) = self.flush_link() {
            // The next turn meets the same error and ends the manager.
            tracing::debug!(%error, "cannot reach the keeper");
        }
        answer
    }

    /// Rings after each command of a client.
    pub fn commanded(&self) -> Rc<Notify> {
        self.commanded.clone()
    }

    /// Brings everything down, for the end of the manager.
    fn stop_all(&mut self) {
        self.is_stopping = true;
        self.command(|engine, now, actions| engine.stop_all(now, actions));
    }
}

impl Core for Driver {
    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn request(&mut self, command: &Command) -> Result<Option<sockmgr_engine::JobId>, RequestError> {
        self.command(|engine, now, actions| engine.request(now, command, actions))
    }

    fn cancel(&mut self, job: sockmgr_engine::JobId) -> Result<(), RequestError> {
        self.command(|engine, now, actions| engine.cancel(now, job, actions))
    }

    fn cancel_all(&mut self) {
        self.command(|engine, now, actions| engine.cancel_all(now, actions));
    }

    fn kill(&mut self, unit: &UnitName, who: KillWho, signal: i32) -> Result<(), RequestError> {
        self.command(|engine, now, actions| engine.kill(now, unit, who, signal, actions))
    }

    fn reset_failed(&mut self, unit: Option<&UnitName>) -> Result<(), RequestError> {
        self.command(|engine, now, actions| engine.reset_failed(now, unit, actions))
    }

    fn clean(&mut self, unit: &UnitName, what: &[Resource]) -> Result<(), String> {
        let Some(owner) = self.engine.unit(unit).and_then(|view| plan::Owner::of(view.unit)) else {
            return Ok(());
        };
        let errors = self.planner.clean(owner.exec(), what);
        let texts: Vec<String> = errors.iter().map(|error| chain(error)).collect();
        if texts.is_empty() { Ok(()) } else { Err(texts.join("; ")) }
    }

    fn direct(
        &mut self,
        unit: &UnitName,
        direction: Direction,
    ) -> Result<Vec<sockmgr_engine::JobId>, RequestError> {
        self.command(|engine, now, actions| engine.direct(now, unit, direction, actions))
    }

    fn roll_out(&mut self, unit: &UnitName) -> Result<Vec<sockmgr_engine::JobId>, RequestError> {
        self.files_read.1.insert(unit.clone(), SystemTime::now());
        let mut fresh = boot::read_library(&self.loader, &self.options, self.engine.settings());
        let result = self.command(|engine, now, actions| engine.roll_out(now, unit, &mut fresh, actions));
        fresh.take_diagnostics().iter().for_each(crate::log::diagnostic);
        result
    }

    fn reload(&mut self) -> Result<(), String> {
        let (settings, diagnostics) = read_settings(&self.options)?;
        diagnostics.iter().for_each(crate::log::diagnostic);
        self.files_read = (SystemTime::now(), BTreeMap::new());
        let library = boot::read_library(&self.loader, &self.options, &settings);
        self.planner.set_defaults(&settings, &self.environment);
        self.outputs.set_size(&settings);
        self.push(ToKeeper::Environment(self.planner.common_environment()));
        self.command(|engine, now, actions| engine.reload(now, library, settings, actions));
        self.report_diagnostics();
        tracing::info!("unit files read again");
        Ok(())
    }

    fn find(&mut self, unit: &UnitName) {
        if self.engine.unit(unit).is_none() {
            self.files_read.1.insert(unit.clone(), SystemTime::now());
            self.loader.find(self.engine.library_mut(), unit);
            self.engine.ensure_unit(unit);
            self.report_diagnostics();
        }
    }

    fn bus_names(&self) -> Vec<String> {
        self.bus_names.iter().cloned().collect()
    }

    fn bus_names_wanted(&self) -> Rc<Notify> {
        self.bus_names_wanted.clone()
    }

    fn bus_name_changed(&mut self, name: &str, is_owned: bool) {
        let event = Event::BusName { name: name.to_owned(), is_owned };
        self.command(|engine, now, actions| engine.handle(now, event, actions));
    }

    fn stored_descriptors(&self, unit: &UnitName) -> Vec<StoredDescriptor> {
        self.stored_of(unit)
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn realtime(&self, time: Time) -> u64 {
        let ago = now().as_micros().saturating_sub(time.as_micros());
        sockmgr_sys::clock::realtime_micros().saturating_sub(ago)
    }

    fn steering(&self, socket: &UnitName) -> Option<SteeringView> {
        self.steering_of(socket)
    }

    fn queues(&self, socket: &UnitName) -> Vec<QueueView> {
        self.queues_of(socket)
    }

    fn unit_path(&self) -> Vec<PathBuf> {
        self.loader.directories().to_vec()
    }

    fn unit_file_state(&self, unit: &UnitName) -> (&'static str, &'static str) {
        let (scope, runtime_dir) = (self.options.scope, &self.options.runtime_dir);
        let path = self.loader.search_path().clone();
        let files = UnitFiles::about(unit, path, scope, crate::loader::host(scope, runtime_dir));
        files.state(unit).map_or(("", ""), |state| (state.as_str(), files.preset(unit).as_str()))
    }

    fn needs_reload(&self, unit: &Unit) -> bool {
        let (all, single) = &self.files_read;
        let template = unit.name.template();
        // A rollout reads the files of a whole group, under the group's name.
        let group =
            template.as_ref().and_then(|template| format!("{}.service", template.prefix()).parse().ok());
        let names = [Some(unit.name.clone()), template, group];
        let late = names.iter().flatten().filter_map(|name| single.get(name)).max();
        self.loader.has_changed(unit, late.copied().unwrap_or(*all))
    }

    fn environment(&self) -> Vec<String> {
        self.planner.inherited().iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn change_environment(&mut self, unset: &[String], set: &[String]) -> Result<(), String> {
        self.set_environment(unset, set)
    }

    fn unit_files(&self, operands: &[String]) -> UnitFiles {
        let (scope, runtime_dir) = (self.options.scope, &self.options.runtime_dir);
        let path = self.loader.search_path().clone();
        UnitFiles::read(path, scope, crate::loader::host(scope, runtime_dir), operands)
    }
}

/// Whether a command gets the notify socket: the main one where anybody may use it, the others where they may.
fn notifies(access: NotifyAccess, list: ExecList) -> bool {
    match access {
        NotifyAccess::None => false,
        NotifyAccess::Main => list == ExecList::Start,
        NotifyAccess::Exec | NotifyAccess::All => true,
    }
}

/// The process that a PID file names (daemon(7)). Whether it is one of the unit's is not known by that.
fn read_pid_file(path: &Path) -> Result<u32, String> {
    let bytes = sockmgr_sys::stdio::read_regular_file(path).map_err(|error| chain(&error))?;
    let text = String::from_utf8_lossy(&bytes);
    let pid = text.trim().parse().ok().filter(|pid| *pid > 1);
    pid.ok_or_else(|| "there is no process id in it".to_owned())
}

/// The moment, on the engine's clock.
fn now() -> Time {
    Time::from_micros(sockmgr_sys::clock::monotonic_micros())
}

fn scope_for_keeper(scope: KillScope) -> sockmgr_sys::child::KillScope {
    match scope {
        KillScope::Process => sockmgr_sys::child::KillScope::Main,
        KillScope::Session => sockmgr_sys::child::KillScope::Session,
    }
}

fn log(unit: &UnitName, level: Level, message: &str) {
    let unit = unit.as_str();
    match level {
        Level::Error => tracing::error!(unit, "{message}"),
        Level::Warning => tracing::warn!(unit, "{message}"),
        Level::Info => tracing::info!(unit, "{message}"),
        Level::Debug => tracing::debug!(unit, "{message}"),
    }
}

impl Driver {
    fn report_diagnostics(&mut self) {
        for diagnostic in self.engine.library_mut().take_diagnostics() {
            crate::log::diagnostic(&diagnostic);
        }
    }
}

/// systemd.service(5), `PIDFile=`: it does not outlive the service. Most daemons have removed it themselves.
fn remove_pid_file(unit: &UnitName, file: &str) {
    match std::fs::remove_file(file) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(unit = %unit, file, %error, "cannot remove the PID file"),
    }
}
