//! The simulated machine: what can happen in it, and in what order it does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;

use sockmgr_engine::{
    Command, Direction, Engine, Event, FdId, JobId, JobMode, KillWho, ProcessId, SavedProcess, SavedUnit,
    Time, Verb,
};
use sockmgr_unit::{Settings, UnitName};

use crate::keeper::{Keeper, Message};
use crate::kernel::{ClientId, Fate, Kernel};
use crate::process::{NEVER, Phase};
use crate::rng::Rng;
use crate::support::{name, read_saved};
use crate::units::{HELD, KEPT, Scene};

/// The moment when a world begins.
const BEGIN: u64 = 1_000_000;
/// Steps within which everything must settle once the faults have stopped.
const SETTLE_MAX: usize = 20_000;
/// Longer than any time limit in the units, microseconds. Who is well for so long stays so: watchdogs are patted for ever.
const QUIET: u64 = 40_000_000;

pub(crate) struct World {
    scene: &'static Scene,
    /// So much of what happened last is written down, and printed when a check fails.
    history_max: usize,
    tally: Tally,
    pub(crate) rng: Rng,
    /// Microseconds.
    pub(crate) now: u64,
    /// When something was last decided.
    pub(crate) decided: u64,
    version: usize,
    pub(crate) kernel: Kernel,
    pub(crate) keeper: Keeper,
    pub(crate) engine: Option<Engine>,
    /// Messages of this turn for the keeper.
    pub(crate) link: Vec<Message>,
    pub(crate) unsaved: BTreeSet<UnitName>,
    pub(crate) forget: Vec<ProcessId>,
    /// Descriptors that services have left with the manager.
    pub(crate) stored: BTreeSet<FdId>,
    /// Accepted connections.
    pub(crate) held: BTreeMap<FdId, ClientId>,
    /// Answers that take their time.
    pub(crate) late: VecDeque<Event>,
    /// Jobs that were announced and have not ended.
    pub(crate) jobs: BTreeSet<JobId>,
    /// Processes that the manager has asked for and that have not ended as far as it knows: unit, and whether main.
    pub(crate) mains: BTreeMap<ProcessId, (UnitName, bool)>,
    /// Where the kernel moves connections of a listener that goes away.
    pub(crate) moves: Moves,
    /// The manager dies after so many more actions.
    pub(crate) doom: Option<usize>,
    /// Everything is being stopped: listeners may be closed.
    pub(crate) is_ending: bool,
    has_booted: bool,
    history: VecDeque<String>,
}

/// What was played.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Random choices of what happens next.
    pub(crate) steps: u64,
    /// Events that the engine was told.
    pub(crate) events: u64,
    /// Microseconds.
    pub(crate) time: u64,
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            steps: sum.steps + one.steps,
            events: sum.events + one.events,
            time: sum.time + one.time,
        })
    }
}

/// Where connections of a listener that goes away are moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moves {
    /// They are reset.
    Never,
    /// Where the program says (eBPF).
    WhereSteered,
    /// To any other member (`net.ipv4.tcp_migrate_req`).
    Anywhere,
}

impl World {
    /// Plays one seed to its end.
    pub(crate) fn play(scene: &'static Scene, seed: u64, history_max: usize) -> Tally {
        let mut world = Self {
            scene,
            history_max,
            tally: Tally::default(),
            rng: Rng::new(seed),
            now: BEGIN,
            decided: BEGIN,
            version: 0,
            kernel: Kernel::default(),
            keeper: Keeper::with_faults(),
            engine: None,
            link: Vec::new(),
            unsaved: BTreeSet::new(),
            forget: Vec::new(),
            stored: BTreeSet::new(),
            held: BTreeMap::new(),
            late: VecDeque::new(),
            jobs: BTreeSet::new(),
            mains: BTreeMap::new(),
            moves: [Moves::Never, Moves::WhereSteered, Moves::Anywhere][seed as usize / 64 % 3],
            doom: None,
            is_ending: false,
            has_booted: false,
            history: VecDeque::new(),
        };
        world.version = world.rng.below(3);
        world.manager_comes();
        for _ in 0..scene.steps {
            world.step();
        }
        world.come_to_rest();
        world.serve_everybody();
        world.end();
        world.tally.time = world.now - BEGIN;
        world.tally.steps = scene.steps as u64;
        world.tally
    }

    fn step(&mut self) {
        if self.engine.is_none() && self.rng.percent(20) {
            return self.manager_comes();
        }
        match self.rng.below(100) {
            0..20 => self.connect(),
            20..40 => self.deliver(),
            40..50 => self.notify(),
            50..65 => self.traffic(),
            65..70 => self.answer_late(),
            70..92 => (0..=self.rng.below(4)).for_each(|_| self.pass_time()),
            92..98 => self.command(),
            98 if self.rng.percent(30) => self.shut_down(),
            98 => self.reload(),
            _ => self.doom = Some(self.rng.below(12)),
        }
    }

    // --- what can happen ---

    fn connect(&mut self) {
        let sockets: BTreeSet<UnitName> = self
            .kernel
            .listeners
            .values()
            .filter(|listener| listener.in_keeper)
            .map(|listener| listener.socket.clone())
            .collect();
        let sockets: Vec<UnitName> = sockets.into_iter().collect();
        if !sockets.is_empty() {
            // Where many come is a group that grows with them, and in which some may cease to accept.
            let is_crowd = self.rng.percent(10) && sockets.contains(&name("web.socket"));
            let socket = if is_crowd { name("web.socket") } else { self.rng.pick(&sockets).clone() };
            (0..if is_crowd { 20 } else { 1 }).for_each(|_| self.connect_to(&socket));
        }
    }

    fn connect_to(&mut self, socket: &UnitName) {
        let luck = (self.rng.below(1000), self.rng.below(1000));
        let fd = self.kernel.connect(socket, luck);
        self.note(&format_args!("a client connects to {socket}: {fd:?}"));
        if let Some(fd) = fd {
            let at = self.now + self.rng.millis(5);
            self.keeper.wake(fd, at);
        }
    }

    /// The keeper's next message, after all notifications that are there.
    fn deliver(&mut self) {
        while self.engine.is_some() && !self.keeper.notify.is_empty() {
            self.notify();
        }
        if self.engine.is_some()
            && let Some(event) = self.keeper.to_manager.pop_front()
        {
            self.feed(event);
        }
    }

    fn notify(&mut self) {
        if self.engine.is_some()
            && let Some(event) = self.keeper.notify.pop_front()
        {
            self.feed(event);
        }
    }

    /// A watched listener is readable, or was a moment ago.
    fn traffic(&mut self) {
        let shut = self.kernel.listeners.iter().find(|(_, listener)| listener.is_shut && listener.in_manager);
        if let Some(fd) = shut.map(|(fd, _)| *fd) {
            return self.feed(Event::HungUp { fd });
        }
        let late = self.rng.percent(5);
        let fds: Vec<FdId> = self
            .kernel
            .listeners
            .iter()
            .filter(|(_, listener)| listener.in_manager)
            .map(|(fd, _)| *fd)
            .filter(|fd| late || self.kernel.watched.contains(fd) && self.kernel.is_readable(*fd))
            .collect();
        if !fds.is_empty() {
            let fd = *self.rng.pick(&fds);
            self.feed(Event::Incoming { fd });
        }
    }

    fn answer_late(&mut self) {
        if let Some(event) = self.late.pop_front() {
            self.feed(event);
        }
    }

    /// Until the next thing is due, or a little less.
    fn pass_time(&mut self) {
        let due = self.next_due();
        let pause = self.now + self.rng.millis(50);
        self.now = if self.rng.percent(70) && due != NEVER { due.max(self.now) } else { pause.min(due) };
        self.keeper.run(&mut self.kernel, &mut self.rng, self.now);
        let now = Time::from_micros(self.now);
        if self.engine.as_ref().and_then(Engine::poll_timeout).is_some_and(|due| due <= now) {
            self.note(&"a timer is due");
            self.call(|engine, now, out| engine.handle_timeout(now, out));
        }
    }

    fn next_due(&self) -> u64 {
        let timer = self.engine.as_ref().and_then(Engine::poll_timeout).map_or(NEVER, Time::as_micros);
        timer.min(self.keeper.next_deed())
    }

    fn command(&mut self) {
        let unit = name(self.rng.pick::<&str>(&self.scene.commanded()));
        let verbs = [
            Verb::Start,
            Verb::Start,
            Verb::Stop,
            Verb::Restart,
            Verb::TryRestart,
            Verb::Reload,
            Verb::ReloadOrRestart,
        ];
        let modes = [JobMode::Replace, JobMode::Replace, JobMode::Fail, JobMode::IgnoreDependencies];
        match self.rng.below(20) {
            0 => {
                let who = *self.rng.pick(&[KillWho::Main, KillWho::Control, KillWho::All]);
                let signal = *self.rng.pick(&[1, 9, 15]);
                self.note(&format_args!("kill {unit} {who:?} {signal}"));
                self.call(|engine, now, out| engine.kill(now, &unit, who, signal, out).ok());
            }
            1 => {
                self.note(&format_args!("reset-failed {unit}"));
                self.call(|engine, now, out| engine.reset_failed(now, Some(&unit), out).ok());
            }
            2..5 => self.direct(),
            _ => {
                let command = Command { verb: *self.rng.pick(&verbs), unit, mode: *self.rng.pick(&modes) };
                self.note(&command);
                self.call(|engine, now, out| engine.request(now, &command, out).ok());
            }
        }
    }

    /// What is asked of groups, slots and sockets.
    fn direct(&mut self) {
        let luck = self.rng.below(8) as u32;
        let (unit, direction) = match self.rng.below(11) {
            7 => return self.roll_out(),
            8 => ("web.service", Direction::PauseRollout),
            9 => ("web.service", Direction::ResumeRollout),
            10 => ("web.service", Direction::UndoRollout),
            0 => ("web.service", Direction::Scale(None)),
            1 | 2 => ("web.socket", Direction::Scale(Some(luck))),
            3 => (*self.rng.pick(&["web@1.service", "web@4.service"]), Direction::Drain),
            4 => (*self.rng.pick(&["web@1.service", "web@4.service"]), Direction::Undrain),
            5 => (*self.rng.pick(&HELD), Direction::Hold),
            _ => (*self.rng.pick(&HELD), Direction::Release),
        };
        self.note(&format_args!("{direction:?} {unit}"));
        self.call(|engine, now, out| engine.direct(now, &name(unit), direction, out).ok());
    }

    fn roll_out(&mut self) {
        let version = self.rng.below(3);
        let mut fresh = self.scene.library(version);
        self.note(&format_args!("rollout of version {version}"));
        self.call(|engine, now, out| engine.roll_out(now, &name("web.service"), &mut fresh, out).ok());
    }

    /// A service shuts down a listener that it was given.
    fn shut_down(&mut self) {
        let in_group =
            |fd: &FdId| self.kernel.listeners.get(fd).is_some_and(|l| l.port.slot.is_some() && !l.is_shut);
        let fds: Vec<FdId> = self
            .keeper
            .processes
            .values()
            .filter(|process| process.phase == Phase::Serving)
            .flat_map(|process| process.listeners.iter().copied().filter(in_group))
            .collect();
        // One at a time: of two at once nobody can tell which was first.
        if !fds.is_empty() && self.kernel.listeners.values().all(|listener| !listener.is_shut) {
            let fd = *self.rng.pick(&fds);
            self.note(&format_args!("a service shuts down {fd}"));
            self.kernel.shut_down(fd);
        }
    }

    fn reload(&mut self) {
        self.version = self.rng.below(3);
        self.read_units();
    }

    fn read_units(&mut self) {
        let settings = Settings::default();
        let library = self.scene.library(self.version);
        let version = self.version;
        self.note(&format_args!("daemon-reload of version {version}"));
        self.call(|engine, now, out| engine.reload(now, library, settings, out));
    }

    /// A manager takes up what the one before has left.
    fn manager_comes(&mut self) {
        if self.rng.percent(20) {
            self.version = self.rng.below(3);
        }
        let version = self.version;
        self.note(&format_args!("a manager comes, with version {version}"));
        let settings = Settings::default();
        let engine = Engine::new(self.scene.library(self.version), settings, 2);
        let units: Vec<SavedUnit> = self.keeper.remembered.values().map(|state| read_saved(state)).collect();
        self.stored.clone_from(&self.keeper.stored);
        let mut held = self.take_over_listeners();
        held.extend(&self.stored);
        let processes = self.known_processes();
        self.engine = Some(engine);
        self.call(|engine, now, out| engine.restore(now, units, &processes, &held, out));
        if !self.has_booted {
            self.boot();
        }
    }

    /// The listeners that the keeper has.
    fn take_over_listeners(&mut self) -> BTreeSet<FdId> {
        let mut held = BTreeSet::new();
        for (fd, listener) in &mut self.kernel.listeners {
            if listener.in_keeper {
                listener.in_manager = true;
                held.insert(*fd);
            }
        }
        held
    }

    fn known_processes(&mut self) -> Vec<SavedProcess> {
        let status = |phase| match phase {
            Phase::Ended(status) => Some(status),
            Phase::Forked | Phase::Working | Phase::Serving | Phase::Leaving => None,
        };
        let processes = self.keeper.processes.iter();
        processes
            .map(|(id, process)| SavedProcess {
                process: *id,
                pid: process.pid,
                status: status(process.phase),
                leaves_others: self.keeper.left.contains(id),
            })
            .collect()
    }

    fn boot(&mut self) {
        let command = Command { verb: Verb::Start, unit: name("all.target"), mode: JobMode::Replace };
        self.call(|engine, now, out| engine.request(now, &command, out).map(|_| ()));
        self.has_booted = self.engine.is_some();
    }

    // --- the end ---

    fn come_to_rest(&mut self) {
        self.note(&"no more faults");
        self.keeper.end_faults(self.now);
        self.doom = None;
        if self.engine.is_none() {
            self.manager_comes();
        }
        if self.version != 0 {
            self.version = 0;
            self.read_units();
        }
        self.call(|engine, now, out| engine.reset_failed(now, None, out).ok());
        for socket in HELD {
            self.call(|engine, now, out| engine.direct(now, &name(socket), Direction::Release, out).ok());
        }
        self.settle();
        self.check_rest();
    }

    fn settle(&mut self) {
        self.decided = self.now;
        for _ in 0..SETTLE_MAX {
            if !self.late.is_empty() {
                self.answer_late();
            } else if !self.keeper.notify.is_empty() || !self.keeper.to_manager.is_empty() {
                self.deliver();
            } else if self.kernel.watched.iter().any(|fd| self.kernel.is_readable(*fd))
                || self.kernel.listeners.values().any(|listener| listener.is_shut && listener.in_manager)
            {
                self.traffic();
            } else if self.next_due() != NEVER && self.now < self.decided + QUIET {
                self.pass_time();
            } else {
                return;
            }
        }
        panic!("it does not settle");
    }

    /// With everything well, a few clients on each socket that is open are all served.
    fn serve_everybody(&mut self) {
        let sockets: BTreeSet<UnitName> =
            self.kernel.listeners.values().filter(|l| l.in_manager).map(|l| l.socket.clone()).collect();
        let first = self.kernel.clients.len();
        for socket in sockets.iter().filter(|socket| socket.as_str() != "mail.socket") {
            (0..4).for_each(|_| self.connect_to(socket));
        }
        self.settle();
        self.check_rest();
        for client in &self.kernel.clients[first..] {
            assert_eq!(client.fate, Fate::Served, "a client of {}", client.socket);
        }
    }

    fn end(&mut self) {
        self.note(&"the end");
        self.is_ending = true;
        self.call(|engine, now, out| engine.stop_all(now, out));
        self.settle();
        let engine = self.engine.as_ref().expect("nobody kills it now");
        let jobs: Vec<_> = engine.jobs().collect();
        let known = &self.keeper.processes;
        assert!(engine.is_quiet(), "something is still being done: {jobs:?}, with {known:?}");
        let open: Vec<_> = self.kernel.listeners.values().filter(|listener| listener.in_manager).collect();
        assert!(open.is_empty(), "still open: {open:?}");
        let processes = self.keeper.processes.values();
        let alive: Vec<_> =
            processes.filter(|process| process.is_alive()).map(|process| &process.unit).collect();
        assert!(alive.is_empty(), "still alive: {alive:?}");
        assert!(self.stored.is_empty(), "stored for nobody: {:?}", self.stored);
        assert!(self.held.is_empty(), "connections that nobody has closed: {:?}", self.held);
    }

    pub(crate) fn count_event(&mut self) {
        self.tally.events += 1;
    }

    pub(crate) fn is_kept(&self, unit: &UnitName) -> bool {
        KEPT.contains(&unit.as_str())
    }

    pub(crate) fn note(&mut self, what: &dyn Debug) {
        if self.history_max == 0 {
            return;
        }
        self.history.push_back(format!("{:>9} {what:?}", self.now));
        if self.history.len() > self.history_max {
            self.history.pop_front();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.history.iter().for_each(|line| eprintln!("{line}"));
        }
    }
}
