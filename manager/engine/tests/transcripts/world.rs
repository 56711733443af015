//! A small world in which an engine can be told what happens and everything that it does is written down.
//!
//! The world answers each action at once: listeners open, programs run, commands other than `ExecStart=` end well, signals kill.
//! A script says where it should be otherwise. Nothing here judges; that is the transcript's part.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use sockmgr_engine::{
    Action, Command, Connection, Direction, Engine, Event, ExecList, ExitStatus, FdId, JobId, JobMode,
    KillScope, KillWho, Level, MainHint, Migrated, Notice, Notification, PassedFd, Peer, Port, ProcessId,
    SavedProcess, SpawnError, StoreRequest, Time, Verb, WatchdogWord,
};
use sockmgr_unit::value::{Conditions, Signal, Span};
use sockmgr_unit::{Settings, UnitName};

use crate::support::{check_library, library, name, read_saved, save};

/// Wakeups that one statement may cause; more is an engine that spins.
const WAKEUPS_MAX: usize = 100;

/// What a script can say of a process before it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// `execve` fails.
    CannotExec,
    /// The manager lacks something to start it.
    CannotFork,
    /// The keeper does not answer until the statement `exec`.
    Slow,
    /// It ends by itself at once.
    Exits(i32),
    /// It does not end by itself, where commands usually do.
    Lingers,
    /// It survives every signal but SIGKILL.
    Ignores,
    /// It survives SIGKILL too (uninterruptible sleep).
    Unkillable,
    /// It leaves others behind when it ends.
    Leaves,
    /// It does not freeze.
    Restless,
}

#[derive(Debug)]
struct Child {
    unit: UnitName,
    list: ExecList,
    pid: u32,
    fds: Vec<FdId>,
    plans: Vec<Plan>,
    started: bool,
    ended: Option<ExitStatus>,
    /// It has ended, and others that it has started live.
    leaves: bool,
}

pub(crate) struct World {
    versions: VecDeque<String>,
    settings: Settings,
    engine: Engine,
    manager_lives: bool,
    now: Time,
    fds: BTreeMap<FdId, String>,
    queues: BTreeMap<FdId, VecDeque<Peer>>,
    watched: BTreeSet<FdId>,
    /// Where somebody came since that was last asked.
    visited: BTreeSet<FdId>,
    frozen: BTreeSet<ProcessId>,
    /// Connections that are being served, by listener.
    serving: BTreeMap<FdId, usize>,
    steered: BTreeMap<UnitName, Vec<u32>>,
    ports: BTreeMap<UnitName, Vec<Port>>,
    children: BTreeMap<ProcessId, Child>,
    plans: Vec<(UnitName, ExecList, Plan)>,
    unopenable: BTreeSet<UnitName>,
    /// How often the main process of a daemon will not be found.
    lost: BTreeMap<UnitName, u32>,
    exhausted: bool,
    saved: BTreeMap<UnitName, Vec<u8>>,
    states: BTreeMap<UnitName, &'static str>,
    next_pid: u32,
    connections: u32,
    pending: VecDeque<Action>,
    /// Paths that are there.
    paths: BTreeSet<String>,
    /// Who was asked about and has not answered.
    probed: Vec<ProcessId>,
    /// The kernel moves connections of listeners that go away.
    moves: bool,
    text: String,
}

/// The states, as the keeper stores them, of the targets which all units wait for, once the manager is up. A test begins there.
fn basic_targets() -> BTreeMap<UnitName, Vec<u8>> {
    let now = Time::default();
    let mut engine = Engine::new(library("", &Settings::default()), Settings::default(), 1);
    let command = Command { verb: Verb::Start, unit: name("basic.target"), mode: JobMode::Replace };
    engine.request(now, &command, &mut Vec::new()).expect("it is built in");
    let names: Vec<UnitName> = engine.unit_names().cloned().collect();
    names.into_iter().filter_map(|name| Some((name.clone(), save(&engine, &name)?))).collect()
}

impl World {
    /// A world with the unit files of `units`; a line `== reload` begins the files that `daemon-reload` finds.
    pub(crate) fn new(units: &str, settings: Settings) -> Self {
        let mut versions: VecDeque<String> = units.split("== reload\n").map(str::to_owned).collect();
        let mut first = library(&versions.pop_front().unwrap_or_default(), &settings);
        check_library(&mut first);
        let mut world = Self {
            versions,
            engine: Engine::new(first, settings.clone(), 2),
            settings,
            manager_lives: true,
            now: Time::from_micros(1_000_000),
            fds: BTreeMap::new(),
            queues: BTreeMap::new(),
            watched: BTreeSet::new(),
            visited: BTreeSet::new(),
            frozen: BTreeSet::new(),
            serving: BTreeMap::new(),
            steered: BTreeMap::new(),
            ports: BTreeMap::new(),
            children: BTreeMap::new(),
            plans: Vec::new(),
            unopenable: BTreeSet::new(),
            lost: BTreeMap::new(),
            exhausted: false,
            saved: BTreeMap::new(),
            states: BTreeMap::new(),
            next_pid: 100,
            connections: 0,
            pending: VecDeque::new(),
            paths: BTreeSet::new(),
            probed: Vec::new(),
            moves: false,
            text: String::new(),
        };
        world.saved = basic_targets();
        let saved = world.saved.values().map(|bytes| read_saved(bytes)).collect();
        world.engine.restore(world.now, saved, &[], &BTreeSet::new(), &mut Vec::new());
        world.states = world.look();
        world
    }

    /// Plays a script and returns what the engine did. What stands before a `|` only sets the scene.
    pub(crate) fn play(mut self, script: &str) -> String {
        if let Some((scene, rest)) = script.split_once('|') {
            self.statements(scene);
            self.text.clear();
            self.statements(rest);
        } else {
            self.statements(script);
        }
        self.text
    }

    fn statements(&mut self, script: &str) {
        for statement in script.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            let _ = writeln!(self.text, "> {statement}");
            let words: Vec<&str> = statement.split_whitespace().collect();
            self.statement(&words);
            self.wake();
        }
    }

    // --- the script ---

    fn statement(&mut self, words: &[&str]) {
        match *words {
            ["plan", unit, list, plan] => self.plans.push((name(unit), list_of(list), plan_of(plan))),
            ["unopenable", unit] => drop(self.unopenable.insert(name(unit))),
            ["lose", unit, times] => drop(self.lost.insert(name(unit), number(times))),
            ["make", path] => drop(self.paths.insert(path.to_owned())),
            ["remove", path] => drop(self.paths.remove(path)),
            ["cancel", id] => self.call(|engine, now, out| engine.cancel(now, JobId(number(id)), out)),
            ["exhaust"] => self.exhausted = true,
            ["incoming", listener] => self.feed(Event::Incoming { fd: self.fd_named(listener) }),
            ["unwatchable", listener] => {
                let why = "it is a plain file".to_owned();
                self.feed(Event::Unwatchable { fd: self.fd_named(listener), why });
            }
            ["connect", listener] => self.connect(listener, inet_peer("10.0.0.9:4000")),
            ["connect", listener, "from", client] => self.connect(listener, inet_peer(client)),
            ["connect", listener, "pid", pid, "uid", uid] => {
                let credentials = Some((number(pid), number(uid)));
                self.connect(listener, Peer::Unix { credentials, name: None });
            }
            ["connect", listener, "unknown"] => {
                self.connect(listener, Peer::Unix { credentials: None, name: None })
            }
            ["take", unit] => self.take(unit),
            ["serve", unit] => self.serve(unit),
            ["rests", unit] => self.main(unit).1.plans.retain(|plan| *plan != Plan::Restless),
            ["finish", unit] => self.finish(unit),
            ["exec", unit] => self.exec(unit),
            ["exit", unit] => self.end(unit, ExitStatus::Exited(0)),
            ["exit", unit, code] => self.end(unit, ExitStatus::Exited(number(code) as i32)),
            ["dies", unit, signal] => self.end(unit, ExitStatus::Killed(signal_of(signal))),
            ["dumps", unit, signal] => self.end(unit, ExitStatus::Dumped(signal_of(signal))),
            ["ready", unit] => self.notify(unit, Notification { ready: true, ..Notification::default() }),
            ["stopping", unit] => {
                self.notify(unit, Notification { stopping: true, ..Notification::default() })
            }
            ["extend", unit, span] => {
                let extend_timeout = Some(self.span(span).as_micros());
                self.notify(unit, Notification { extend_timeout, ..Notification::default() });
            }
            ["answers", unit] => self.answer(unit, Ok(())),
            ["answers", unit, status] => self.answer(unit, Err(format!("answers {status}"))),
            ["ready-from-stranger", unit] => self.stranger(unit),
            ["notify", unit, ref words @ ..] => {
                let message = self.message(words);
                self.notify(unit, message);
            }
            ["hang-up", fd] => self.feed(Event::StoredHungUp { fd: self.fd_named(fd) }),
            ["bus-name", bus_name, "appears"] => self.bus_name(bus_name, true),
            ["bus-name", bus_name, "vanishes"] => self.bus_name(bus_name, false),
            ["left-gone", unit] => self.left_gone(unit),
            ["wait", span] => self.wait(span),
            ["kill", unit, who, signal] => self.kill(unit, who, signal),
            ["reset-failed"] => self.call(|engine, now, out| engine.reset_failed(now, None, out)),
            ["reset-failed", unit] => {
                self.call(|engine, now, out| engine.reset_failed(now, Some(&name(unit)), out));
            }
            ["daemon-reload"] => self.reload(),
            ["stop-all"] => self.call(|engine, now, out| {
                engine.stop_all(now, out);
                Ok(())
            }),
            ["scale", unit, "reset"] => self.direct(unit, Direction::Scale(None)),
            ["scale", unit, size] => self.direct(unit, Direction::Scale(Some(number(size)))),
            ["drain", unit] => self.direct(unit, Direction::Drain),
            ["undrain", unit] => self.direct(unit, Direction::Undrain),
            ["hold", unit] => self.direct(unit, Direction::Hold),
            ["release", unit] => self.direct(unit, Direction::Release),
            ["rollout", unit] => self.roll_out(unit),
            ["pause-rollout", unit] => self.direct(unit, Direction::PauseRollout),
            ["resume-rollout", unit] => self.direct(unit, Direction::ResumeRollout),
            ["undo-rollout", unit] => self.direct(unit, Direction::UndoRollout),
            ["shut-down", listener] => {
                let fd = self.fd_named(listener);
                self.queues.remove(&fd);
                self.feed(Event::HungUp { fd });
            }
            ["connections-move"] => self.moves = true,
            ["members", socket, line] => {
                let members = self.engine.members(&name(socket), number(line) as usize);
                self.line(&format!("members {members:?}"));
            }
            ["manager-dies"] => self.manager_dies(),
            ["manager-returns"] => self.manager_returns(""),
            ["manager-returns", "without", listener] => self.manager_returns(listener),
            [verb, unit] => self.command(verb, unit, JobMode::Replace),
            [verb, unit, "or-fail"] => self.command(verb, unit, JobMode::Fail),
            [verb, unit, "as", mode] => {
                self.command(verb, unit, JobMode::parse(mode).expect("a job mode"));
            }
            [verb, unit, "alone"] => self.command(verb, unit, JobMode::IgnoreDependencies),
            _ => panic!("not a statement: {words:?}"),
        }
    }

    fn migrate(&mut self, socket: UnitName, line: usize, fds: Vec<FdId>, live: &[u32]) {
        let waits = |fd: &FdId| self.queues.get(fd).is_some_and(|queue| !queue.is_empty());
        let outcome = if !self.moves {
            Migrated::Impossible
        } else if fds.iter().any(waits) {
            let ports = &self.ports[&socket];
            let goal = ports.iter().find(|port| port.line == line && port.slot == live.first().copied());
            let moved: Vec<Peer> = fds.iter().filter_map(|fd| self.queues.remove(fd)).flatten().collect();
            self.queues.entry(goal.expect("it is open").fd).or_default().extend(moved);
            Migrated::Moved {
                left: fds.iter().rev().copied().collect(),
                back: fds.into_iter().map(|fd| (fd, Ok(()))).collect(),
            }
        } else {
            Migrated::Nothing
        };
        self.feed(Event::Migrated { socket, line, outcome });
    }

    fn command(&mut self, verb: &str, unit: &str, mode: JobMode) {
        let verb = match verb {
            "start" => Verb::Start,
            "stop" => Verb::Stop,
            "restart" => Verb::Restart,
            "try-restart" => Verb::TryRestart,
            "reload" => Verb::Reload,
            "reload-or-restart" => Verb::ReloadOrRestart,
            _ => panic!("not a statement: {verb}"),
        };
        let command = Command { verb, unit: name(unit), mode };
        let mut nothing = false;
        self.call(|engine, now, out| engine.request(now, &command, out).map(|job| nothing = job.is_none()));
        if nothing {
            self.line("nothing to do");
        }
    }

    fn direct(&mut self, unit: &str, direction: Direction) {
        self.call(|engine, now, out| engine.direct(now, &name(unit), direction, out).map(drop));
    }

    /// Begins a rollout of what the next version of the files says; of that nothing else is read.
    fn roll_out(&mut self, unit: &str) {
        let text = self.versions.pop_front().expect("the units say what a rollout finds");
        let mut fresh = library(&text, &self.settings);
        self.call(|engine, now, out| engine.roll_out(now, &name(unit), &mut fresh, out).map(drop));
    }

    fn kill(&mut self, unit: &str, who: &str, signal: &str) {
        let who = match who {
            "main" => KillWho::Main,
            "control" => KillWho::Control,
            "all" => KillWho::All,
            _ => panic!("nobody is called {who}"),
        };
        let signal = signal_of(signal);
        self.call(|engine, now, out| engine.kill(now, &name(unit), who, signal, out));
    }

    fn reload(&mut self) {
        let text = self.versions.pop_front().expect("the units say what a reload finds");
        let (library, settings) = (library(&text, &self.settings), self.settings.clone());
        self.call(|engine, now, out| {
            engine.reload(now, library, settings, out);
            Ok(())
        });
    }

    fn wait(&mut self, span: &str) {
        let end = self.now.after(self.span(span)).expect("a test does not wait for ever");
        while let Some(due) = self.engine.poll_timeout().filter(|due| self.manager_lives && *due <= end) {
            self.now = due;
            let _ = writeln!(self.text, "  at {}", Span::from_micros(due.as_micros() - 1_000_000));
            self.call(|engine, now, out| {
                engine.handle_timeout(now, out);
                Ok(())
            });
            self.wake();
        }
        self.now = end;
    }

    /// A client connects; without a slot, to the one that steering chooses (the first in rotation).
    fn connect(&mut self, listener: &str, peer: Peer) {
        let fd = if listener.contains(':') { self.fd_named(listener) } else { self.steered_fd(listener) };
        self.queues.entry(fd).or_default().push_back(peer);
        self.visited.insert(fd);
    }

    fn steered_fd(&self, socket: &str) -> FdId {
        let socket = name(socket);
        let slot = self.steered.get(&socket).map(|live| live[0]);
        let port = self.ports[&socket].iter().find(|port| port.slot.is_none() || port.slot == slot);
        port.expect("the socket listens").fd
    }

    /// The main process of `unit` accepts all that waits on its listeners.
    fn take(&mut self, unit: &str) {
        let (_, child) = self.main(unit);
        for fd in child.fds.clone() {
            self.queues.remove(&fd);
        }
    }

    /// As `take`, and the connections stay open until `finish`.
    fn serve(&mut self, unit: &str) {
        for fd in self.main(unit).1.fds.clone() {
            let waiting = self.queues.remove(&fd).map_or(0, |queue| queue.len());
            *self.serving.entry(fd).or_default() += waiting;
        }
    }

    fn finish(&mut self, unit: &str) {
        for fd in self.main(unit).1.fds.clone() {
            self.serving.remove(&fd);
        }
    }

    fn exec(&mut self, unit: &str) {
        let (process, child) = self.any(unit);
        child.started = true;
        let pid = child.pid;
        self.feed(Event::Spawned { process, pid });
    }

    fn end(&mut self, unit: &str, status: ExitStatus) {
        let process = self.any(unit).0;
        self.exit(process, status);
    }

    fn bus_name(&mut self, bus_name: &str, is_owned: bool) {
        self.feed(Event::BusName { name: bus_name.to_owned(), is_owned });
    }

    /// What ended processes of the unit had left behind ends.
    fn left_gone(&mut self, unit: &str) {
        let unit = name(unit);
        let mut left = self.children.iter().filter(|(_, child)| child.unit == unit && child.leaves);
        let process = *left.next().expect("it has left something").0;
        self.vanish(process);
    }

    fn vanish(&mut self, process: ProcessId) {
        if let Some(child) = self.children.get_mut(&process) {
            child.leaves = false;
        }
        self.feed(Event::LeftGone { process });
    }

    /// What `words` say, as lines of sd_notify(3).
    fn message(&mut self, words: &[&str]) -> Notification {
        let mut message = Notification::default();
        for word in words {
            let (key, value) = word.split_once('=').expect("NAME=value");
            match key {
                "READY" => message.ready = true,
                "RELOADING" => message.reloading = true,
                "STOPPING" => message.stopping = true,
                "STATUS" => message.status = Some(value.to_owned()),
                "MAINPID" => message.main_pid = Some(number(value)),
                "WATCHDOG" if value == "trigger" => message.watchdog = Some(WatchdogWord::Trigger),
                "WATCHDOG" => message.watchdog = Some(WatchdogWord::Ping),
                "WATCHDOG_USEC" => message.watchdog_interval = Some(number(value).into()),
                // In this world it is the time since its beginning.
                "MONOTONIC" => {
                    message.monotonic = Time::from_micros(1_000_000).after(self.span(value));
                }
                "FDSTORE" => {
                    let fd = self.engine.name_fd();
                    self.fds.insert(fd, format!("{value}:stored"));
                    message.fds.push(fd);
                    message.store = Some(StoreRequest::Add { name: value.to_owned(), poll: true });
                }
                "FDSTOREREMOVE" => message.store = Some(StoreRequest::Remove { name: value.to_owned() }),
                _ => panic!("no such field: {word}"),
            }
        }
        message
    }

    fn notify(&mut self, unit: &str, message: Notification) {
        let pid = self.main(unit).1.pid;
        self.feed(Event::Notified { pid, kin: Some(pid), message });
    }

    /// A child of the main process says that it is ready.
    fn stranger(&mut self, unit: &str) {
        let kin = Some(self.main(unit).1.pid);
        let message = Notification { ready: true, ..Notification::default() };
        self.feed(Event::Notified { pid: 9999, kin, message });
    }

    /// The answer to a probe of the main process.
    fn answer(&mut self, unit: &str, result: Result<(), String>) {
        let process = self.main(unit).0;
        let asked = self.probed.iter().position(|probed| *probed == process);
        self.probed.remove(asked.expect("nobody has asked"));
        self.feed(Event::Probed { process, result });
    }

    fn manager_dies(&mut self) {
        self.manager_lives = false;
        self.probed.clear();
        self.watched.clear();
    }

    fn manager_returns(&mut self, lost: &str) {
        let lost = (!lost.is_empty()).then(|| self.fd_named(lost));
        self.ports.values_mut().for_each(|ports| ports.retain(|port| Some(port.fd) != lost));
        let text = self.versions.pop_front().expect("the units say what the new manager finds");
        self.engine = Engine::new(library(&text, &self.settings), self.settings.clone(), 2);
        self.manager_lives = true;
        let units = self.saved.values().map(|bytes| read_saved(bytes)).collect();
        let processes: Vec<SavedProcess> = self
            .children
            .iter()
            .map(|(process, child)| SavedProcess {
                process: *process,
                pid: child.pid,
                status: child.ended,
                leaves_others: child.leaves,
            })
            .collect();
        let held: BTreeSet<FdId> =
            self.fds.keys().copied().filter(|fd| !self.is_connection(*fd) && Some(*fd) != lost).collect();
        self.call(|engine, now, out| {
            engine.restore(now, units, &processes, &held, out);
            Ok(())
        });
    }

    /// Connections are the manager's own; the keeper has only listeners.
    fn is_connection(&self, fd: FdId) -> bool {
        self.fds.get(&fd).is_none_or(|name| !name.contains(':'))
    }

    // --- the engine ---

    fn feed(&mut self, event: Event) {
        if self.manager_lives {
            self.call(|engine, now, out| {
                engine.handle(now, event, out);
                Ok(())
            });
        }
    }

    fn call(
        &mut self,
        ask: impl FnOnce(&mut Engine, Time, &mut Vec<Action>) -> Result<(), sockmgr_engine::RequestError>,
    ) {
        let mut actions = Vec::new();
        let answer = ask(&mut self.engine, self.now, &mut actions);
        if let Err(error) = answer {
            self.line(&format!("refused: {error}"));
        }
        for action in &actions {
            self.describe(action);
        }
        self.describe_states();
        let nested = !self.pending.is_empty();
        self.pending.extend(actions);
        if !nested {
            self.perform();
        }
    }

    fn perform(&mut self) {
        while let Some(action) = self.pending.front().cloned() {
            self.act(action);
            self.pending.pop_front();
        }
    }

    /// Reports readable listeners for as long as they are watched and something waits there.
    fn wake(&mut self) {
        for _ in 0..WAKEUPS_MAX {
            let is_ready = |fd: &&FdId| self.queues.get(fd).is_some_and(|queue| !queue.is_empty());
            let Some(fd) = self.watched.iter().find(is_ready).copied() else { return };
            self.feed(Event::Incoming { fd });
        }
        self.line("(it spins)");
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open { socket, ports } => self.open(socket, ports),
            Action::Close { socket, ports } => self.close(&socket, &ports),
            Action::Adjust { .. } => {}
            Action::Watch { fd } => assert!(self.watched.insert(fd), "it is watched already"),
            Action::Unwatch { fd } => assert!(self.watched.remove(&fd), "it was not watched"),
            Action::Accept { fd, max } => self.accept(fd, max),
            Action::Relisten { fd, .. } => self.feed(Event::Relistened { fd, result: Ok(()) }),
            Action::Flush { fd } => drop(self.queues.remove(&fd)),
            Action::Probe { process, .. } => self.probed.push(process),
            Action::Migrate { socket, line, fds, live, .. } => self.migrate(socket, line, fds, &live),
            Action::Check { unit } => self.check(unit),
            Action::Measure { fd } => {
                let queued = self.queues.get(&fd).map_or(0, VecDeque::len) as u32;
                self.feed(Event::Measured { fd, queued: Some(queued) });
            }
            Action::Count { fd } => {
                let waiting = self.queues.get(&fd).map_or(0, VecDeque::len);
                let count = (waiting + self.serving.get(&fd).copied().unwrap_or(0)) as u32;
                let has_visitors = self.visited.remove(&fd);
                self.feed(Event::Counted { fd, count: Some(count), has_visitors });
            }
            Action::Freeze { process, .. } => {
                self.frozen.insert(process);
                let is_restless =
                    self.children.get(&process).is_some_and(|child| child.plans.contains(&Plan::Restless));
                self.feed(Event::Frozen { process, is_still: !is_restless });
            }
            Action::CloseConnection { fd } | Action::Discard { fd } | Action::Unstore { fd } => {
                drop(self.fds.remove(&fd));
            }
            Action::Store { .. } | Action::WatchBusName { .. } | Action::CleanUp { .. } => {}
            Action::FindMain { process, unit, hint, .. } => self.find_main(process, unit, &hint),
            Action::Spawn { process, unit, list, fds, .. } => self.spawn(process, unit, list, &fds),
            Action::Kill { process, signal, .. } => self.signal(process, signal),
            Action::Forget { process } => drop(self.children.remove(&process)),
            Action::Steer { socket, live } => drop(self.steered.insert(socket, live)),
            Action::Notice(Notice::UnitChanged(unit)) => {
                if let Some(bytes) = save(&self.engine, &unit) {
                    self.saved.insert(unit, bytes);
                }
            }
            Action::Notice(Notice::UnitRemoved(unit)) => drop(self.saved.remove(&unit)),
            Action::Notice(
                Notice::UnitNew(_) | Notice::JobNew { .. } | Notice::JobRemoved { .. } | Notice::Log { .. },
            ) => {}
        }
    }

    fn open(&mut self, socket: UnitName, ports: Vec<Port>) {
        let result = if self.unopenable.remove(&socket) {
            Err("address already in use".to_owned())
        } else {
            for port in &ports {
                self.fds.insert(port.fd, port_name(&socket, port));
            }
            self.ports.entry(socket.clone()).or_default().extend(ports);
            Ok(())
        };
        self.feed(Event::Opened { socket, result });
    }

    fn close(&mut self, socket: &UnitName, ports: &[Port]) {
        if let Some(open) = self.ports.get_mut(socket) {
            open.retain(|port| !ports.contains(port));
        }
        self.steered.remove(socket);
        for port in ports {
            self.fds.remove(&port.fd);
            self.queues.remove(&port.fd);
            self.watched.remove(&port.fd);
        }
    }

    fn accept(&mut self, fd: FdId, max: u32) {
        let queue = self.queues.entry(fd).or_default();
        let failure = std::mem::take(&mut self.exhausted).then(|| "too many open files".to_owned());
        let count = if failure.is_some() { 0 } else { queue.len().min(max as usize) };
        let peers: Vec<Peer> = queue.drain(..count).collect();
        let mut connections = Vec::new();
        for peer in peers {
            self.connections += 1;
            let fd = self.engine.name_fd();
            self.fds.insert(fd, format!("conn{}", self.connections));
            connections.push(Connection { fd, peer });
        }
        self.feed(Event::Accepted { fd, connections, failure });
    }

    fn spawn(&mut self, process: ProcessId, unit: UnitName, list: ExecList, fds: &[PassedFd]) {
        let mut plans = Vec::new();
        self.plans.retain(|(of, when, plan)| {
            let mine = *of == unit && *when == list;
            if mine {
                plans.push(*plan);
            }
            !mine
        });
        let fds = fds.iter().map(|fd| fd.fd).collect();
        let refusal =
            |exit_code, resources| SpawnError { exit_code, text: "no such file".to_owned(), resources };
        if plans.contains(&Plan::CannotExec) {
            return self.feed(Event::SpawnFailed { process, error: refusal(203, false) });
        }
        if plans.contains(&Plan::CannotFork) {
            return self.feed(Event::SpawnFailed { process, error: refusal(0, true) });
        }
        self.next_pid += 1;
        let (pid, started) = (self.next_pid, !plans.contains(&Plan::Slow));
        let child = Child { unit, list, pid, fds, started, ended: None, leaves: false, plans };
        let exits = child.exits_at_once();
        self.children.insert(process, child);
        if started {
            self.feed(Event::Spawned { process, pid });
            if let Some(code) = exits {
                self.exit(process, ExitStatus::Exited(code));
            }
        }
    }

    fn exit(&mut self, process: ProcessId, status: ExitStatus) {
        if let Some(child) = self.children.get_mut(&process).filter(|child| child.ended.is_none()) {
            child.ended = Some(status);
            child.leaves = child.plans.contains(&Plan::Leaves);
            let leaves_others = child.leaves;
            self.feed(Event::Exited { process, status, leaves_others });
        }
    }

    /// A daemon is found, unless it was planned otherwise.
    fn find_main(&mut self, process: ProcessId, unit: UnitName, hint: &MainHint) {
        if let Some(left) = self.lost.get_mut(&unit).filter(|left| **left > 0) {
            *left -= 1;
            let error = SpawnError { exit_code: 0, text: "no such file".to_owned(), resources: true };
            return self.feed(Event::SpawnFailed { process, error });
        }
        self.next_pid += 1;
        let pid = if let MainHint::Pid(pid) = hint { *pid } else { self.next_pid };
        let (list, plans) = (ExecList::Start, Vec::new());
        let child =
            Child { unit, list, pid, fds: Vec::new(), started: true, ended: None, leaves: false, plans };
        self.children.insert(process, child);
        self.feed(Event::Spawned { process, pid });
    }

    fn signal(&mut self, process: ProcessId, signal: i32) {
        if signal == 18 {
            self.frozen.remove(&process);
        }
        let Some(child) = self.children.get(&process) else { return };
        let survives = child.plans.contains(&Plan::Unkillable)
            || child.plans.contains(&Plan::Ignores) && signal != 9
            || matches!(signal, 1 | 10 | 18);
        match (survives, child.leaves) {
            (true, _) => {}
            (false, true) => self.vanish(process),
            (false, false) => self.exit(process, ExitStatus::Killed(signal)),
        }
    }

    // --- looking things up ---

    fn main(&mut self, unit: &str) -> (ProcessId, &mut Child) {
        self.find(unit, |child| child.list == ExecList::Start)
    }

    /// `unit`, `unit/control`, or `unit/starter`, which forks a daemon.
    fn any(&mut self, unit: &str) -> (ProcessId, &mut Child) {
        match unit.split_once('/') {
            Some((unit, "control")) => self.find(unit, |child| child.list != ExecList::Start),
            Some((unit, _)) => self.main(unit),
            None => self.main(unit),
        }
    }

    fn find(&mut self, unit: &str, which: impl Fn(&Child) -> bool) -> (ProcessId, &mut Child) {
        let unit = name(unit);
        self.children
            .iter_mut()
            .rev()
            .find(|(_, child)| child.unit == unit && which(child) && child.ended.is_none())
            .map(|(process, child)| (*process, child))
            .unwrap_or_else(|| panic!("{unit} has no such process\n{}", self.text))
    }

    fn fd_named(&self, listener: &str) -> FdId {
        let named = if listener.contains(':') { listener.to_owned() } else { format!("{listener}:0") };
        let mut found = self.fds.iter().filter(|(_, name)| **name == named);
        *found.next_back().unwrap_or_else(|| panic!("nothing is called {named}\n{}", self.text)).0
    }

    fn span(&self, text: &str) -> Span {
        Span::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn look(&self) -> BTreeMap<UnitName, &'static str> {
        let names = self.engine.unit_names();
        names.filter_map(|name| Some((name.clone(), self.engine.unit(name)?.sub))).collect()
    }

    // --- the transcript ---

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "  {line}");
    }

    /// A path is there that the script has made.
    fn check(&mut self, unit: UnitName) {
        let section = self.engine.unit(&unit).expect("it is there").unit.conditions.clone();
        let hold = |lines: &Conditions| -> Vec<bool> {
            lines.iter().map(|line| self.paths.contains(&*line.parameter) != line.is_negated).collect()
        };
        let (conditions, asserts) = (hold(&section.conditions), hold(&section.asserts));
        self.feed(Event::Checked { unit, conditions, asserts });
    }

    fn describe_states(&mut self) {
        let new = self.look();
        let old = std::mem::replace(&mut self.states, new.clone());
        for (unit, state) in &new {
            match old.get(unit) {
                Some(before) if before == state => {}
                Some(before) => self.line(&format!("{unit}: {before} -> {state}")),
                None => self.line(&format!("{unit}: new, {state}")),
            }
        }
        for unit in old.keys().filter(|unit| !new.contains_key(*unit)) {
            self.line(&format!("{unit}: gone"));
        }
    }

    fn describe(&mut self, action: &Action) {
        let line = match action {
            Action::Open { socket, ports } => format!("open {}", port_names(socket, ports)),
            Action::Close { socket, ports } => format!("close {}", port_names(socket, ports)),
            Action::Adjust { socket, ports } => format!("adjust {}", port_names(socket, ports)),
            Action::Watch { fd } => format!("watch {}", self.fd_name(*fd)),
            Action::Unwatch { fd } => format!("unwatch {}", self.fd_name(*fd)),
            Action::Accept { fd, max } => format!("accept {} up to {max}", self.fd_name(*fd)),
            Action::Probe { fd, check, detour, .. } => {
                let detour =
                    detour.as_ref().map(|detour| format!(", slot {} beside {:?}", detour.slot, detour.live));
                format!("probe {check} {}{}", self.fd_name(*fd), detour.unwrap_or_default())
            }
            Action::Check { unit } => format!("check {unit}"),
            Action::Measure { .. } | Action::Count { .. } => return,
            Action::Freeze { process, .. } => {
                format!("freeze {}", self.children.get(process).map_or("nobody", |child| child.unit.as_str()))
            }
            Action::Flush { fd } => format!("flush {}", self.fd_name(*fd)),
            Action::Relisten { fd, .. } => format!("relisten {}", self.fd_name(*fd)),
            Action::Migrate { fds, again, .. } => {
                let names: Vec<String> = fds.iter().map(|fd| self.fd_name(*fd)).collect();
                format!("migrate {}{}", names.join(" "), if *again { " again" } else { "" })
            }
            Action::CloseConnection { fd } => format!("close {}", self.fd_name(*fd)),
            Action::Discard { fd } => format!("discard {}", self.fd_name(*fd)),
            Action::Spawn { unit, list, index, fds, environment, .. } => {
                self.describe_spawn(unit, *list, *index, fds, environment)
            }
            // It follows each signal that is not deadly anyway.
            Action::Kill { process, signal: 18, .. } if !self.frozen.contains(process) => return,
            Action::Kill { process, signal, scope } => self.describe_kill(*process, *signal, *scope),
            Action::CleanUp { unit, restarts: true } => format!("clean up {unit}, which restarts"),
            Action::CleanUp { unit, restarts: false } => format!("clean up {unit}"),
            Action::WatchBusName { name } => format!("watch the name {name}"),
            Action::Store { fd, .. } => format!("store {}", self.fd_name(*fd)),
            Action::Unstore { fd } => format!("close {}", self.fd_name(*fd)),
            Action::FindMain { unit, hint, .. } => format!("find the main process of {unit}: {hint:?}"),
            Action::Forget { .. } => return,
            Action::Steer { socket, live } => format!("steer {socket} to {live:?}"),
            Action::Notice(notice) => match describe_notice(notice) {
                Some(line) => line,
                None => return,
            },
        };
        self.line(&line);
    }

    fn describe_spawn(
        &self,
        unit: &UnitName,
        list: ExecList,
        index: usize,
        fds: &[PassedFd],
        environment: &[(&'static str, String)],
    ) -> String {
        let mut line = format!("run {unit} {}", list_name(list));
        if index > 0 {
            let _ = write!(line, "[{index}]");
        }
        for passed in fds {
            let _ = write!(line, " {}={}", passed.name, self.fd_name(passed.fd));
        }
        let telling = |name: &str| {
            let kinds = [
                "REMOTE_",
                "SOCKMGR_INSTANCE",
                "MAINPID",
                "WATCHDOG_",
                "SERVICE_",
                "EXIT_",
                "MONITOR_S",
                "MONITOR_U",
            ];
            kinds.iter().any(|kind| name.starts_with(kind))
        };
        for (name, value) in environment.iter().filter(|(name, _)| telling(name)) {
            let _ = write!(line, " ${}={value}", name.trim_start_matches("SOCKMGR_"));
        }
        line
    }

    fn describe_kill(&self, process: ProcessId, signal: i32, scope: KillScope) -> String {
        let whom = self.children.get(&process).map_or_else(
            || "a process that never was".to_owned(),
            |child| format!("{} {}", child.unit, list_name(child.list)),
        );
        let signal = Signal::from_number(signal).expect("the engine sends signals that exist");
        format!("{signal} to {whom} ({scope:?})")
    }

    fn fd_name(&self, fd: FdId) -> String {
        self.fds.get(&fd).cloned().unwrap_or_else(|| format!("(closed {fd})"))
    }
}

impl Child {
    fn exits_at_once(&self) -> Option<i32> {
        let planned = self.plans.iter().find_map(|plan| match plan {
            Plan::Exits(code) => Some(*code),
            _ => None,
        });
        let lingers = self.list == ExecList::Start
            || self.plans.iter().any(|plan| matches!(plan, Plan::Lingers | Plan::Ignores | Plan::Unkillable));
        planned.or((!lingers).then_some(0))
    }
}

fn describe_notice(notice: &Notice) -> Option<String> {
    match notice {
        Notice::UnitNew(_) | Notice::UnitRemoved(_) | Notice::UnitChanged(_) => None,
        Notice::JobNew { id, unit, kind } => Some(format!("job {id}: {} {unit}", kind.as_str())),
        Notice::JobRemoved { id, unit, result } => Some(format!("job {id}: {} ({unit})", result.as_str())),
        Notice::Log { level: Level::Debug, .. } => None,
        Notice::Log { unit, level, message } => Some(format!("{level:?}: {unit}: {message}")),
    }
}

fn port_name(socket: &UnitName, port: &Port) -> String {
    let slot = port.slot.map(|slot| format!("@{slot}")).unwrap_or_default();
    format!("{socket}:{}{slot}", port.line)
}

fn port_names(socket: &UnitName, ports: &[Port]) -> String {
    ports.iter().map(|port| port_name(socket, port)).collect::<Vec<_>>().join(" ")
}

fn list_name(list: ExecList) -> &'static str {
    match list {
        ExecList::Condition => "ExecCondition",
        ExecList::Chown => "chown",
        ExecList::StopPre => "ExecStopPre",
        ExecList::StartPre => "ExecStartPre",
        ExecList::Start => "ExecStart",
        ExecList::ReadyCheck => "ReadyCheck",
        ExecList::StartPost => "ExecStartPost",
        ExecList::Reload => "ExecReload",
        ExecList::Stop => "ExecStop",
        ExecList::StopPost => "ExecStopPost",
    }
}

fn list_of(name: &str) -> ExecList {
    use ExecList::{
        Chown, Condition, ReadyCheck, Reload, Start, StartPost, StartPre, Stop, StopPost, StopPre,
    };
    [Chown, Condition, StartPre, Start, ReadyCheck, StartPost, Reload, Stop, StopPre, StopPost]
        .into_iter()
        .find(|list| list_name(*list) == name)
        .unwrap_or_else(|| panic!("there is no list {name}"))
}

fn plan_of(text: &str) -> Plan {
    match text {
        "cannot-exec" => Plan::CannotExec,
        "cannot-fork" => Plan::CannotFork,
        "slow" => Plan::Slow,
        "lingers" => Plan::Lingers,
        "ignores-signals" => Plan::Ignores,
        "unkillable" => Plan::Unkillable,
        "leaves" => Plan::Leaves,
        "restless" => Plan::Restless,
        _ => Plan::Exits(number(text.strip_prefix("exits-").expect("a plan")) as i32),
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn signal_of(name: &str) -> i32 {
    (1..32)
        .find(|number| Signal::from_number(*number).is_some_and(|signal| signal.to_string() == name))
        .unwrap_or_else(|| panic!("there is no signal {name}"))
}

fn inet_peer(remote: &str) -> Peer {
    Peer::Inet {
        local: "127.0.0.1:7".parse().expect("an address"),
        remote: remote.parse().unwrap_or_else(|error| panic!("{remote}: {error}")),
    }
}
