//! The simulated keeper: it gets messages in order, holds what it is given, runs processes, and outlives managers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sockmgr_engine::{
    Event, ExecList, ExitStatus, FdId, Notification, ProcessId, SpawnError, StoreRequest, Time, WatchdogWord,
};
use sockmgr_unit::UnitName;
use sockmgr_unit::value::ServiceType;

use crate::kernel::{ClientId, Fate, Kernel};
use crate::process::{Deed, NEVER, Phase, Process, Temper};
use crate::rng::Rng;
use crate::units::BUS_NAME;

/// Between two pats of a watchdog, microseconds.
const PAT: u64 = 4_000_000;

/// What the manager sends.
#[derive(Debug)]
pub(crate) enum Message {
    Hold(FdId),
    Release(FdId),
    Spawn(Order),
    /// Keep a descriptor that a service has left.
    Store(FdId),
    Unstore(FdId),
    /// Watch the main process of a daemon, if it can be found.
    Adopt {
        process: ProcessId,
        unit: UnitName,
        like: Option<ProcessId>,
    },
    Kill {
        process: ProcessId,
        signal: i32,
    },
    Freeze(ProcessId),
    Remember(UnitName, Vec<u8>),
    Erase(UnitName),
    Forget(ProcessId),
}

/// An order to start a process.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) process: ProcessId,
    pub(crate) unit: UnitName,
    pub(crate) list: ExecList,
    pub(crate) service: ServiceType,
    pub(crate) is_watched: bool,
    pub(crate) listeners: Vec<FdId>,
    pub(crate) connection: Option<ClientId>,
}

#[derive(Debug, Default)]
pub(crate) struct Keeper {
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    pub(crate) remembered: BTreeMap<UnitName, Vec<u8>>,
    /// Answers and ends, in order, for the manager.
    pub(crate) to_manager: VecDeque<Event>,
    /// The notify socket: another way than the one above, and faster or slower.
    pub(crate) notify: VecDeque<Event>,
    /// Ended processes that have left others behind.
    pub(crate) left: BTreeSet<ProcessId>,
    /// Descriptors that services have left.
    pub(crate) stored: BTreeSet<FdId>,
    /// Who has the one name on the message bus.
    pub(crate) bus_owner: Option<ProcessId>,
    /// New processes misbehave.
    pub(crate) faults: bool,
    last_pid: u32,
}

impl Keeper {
    pub(crate) fn with_faults() -> Self {
        Self { faults: true, ..Self::default() }
    }

    pub(crate) fn take(&mut self, message: Message, kernel: &mut Kernel, rng: &mut Rng, now: u64) {
        match message {
            Message::Hold(fd) => {
                if let Some(listener) = kernel.listeners.get_mut(&fd) {
                    listener.in_keeper = true;
                }
            }
            Message::Release(fd) => {
                if let Some(listener) = kernel.listeners.get_mut(&fd) {
                    listener.in_keeper = false;
                    kernel.released(fd);
                }
            }
            Message::Spawn(order) => self.spawn(order, kernel, rng, now),
            Message::Store(fd) => drop(self.stored.insert(fd)),
            Message::Unstore(fd) => drop(self.stored.remove(&fd)),
            Message::Adopt { process, unit, like } => self.adopt(process, unit, like, rng),
            Message::Kill { process, signal } => self.kill(process, signal, kernel, rng, now),
            Message::Freeze(process) => self.freeze(process, rng),
            Message::Remember(unit, state) => drop(self.remembered.insert(unit, state)),
            Message::Erase(unit) => drop(self.remembered.remove(&unit)),
            Message::Forget(process) => {
                if self.processes.get(&process).is_some_and(|process| !process.is_alive()) {
                    self.processes.remove(&process);
                    self.left.remove(&process);
                }
            }
        }
    }

    fn spawn(&mut self, order: Order, kernel: &mut Kernel, rng: &mut Rng, now: u64) {
        let Order { process, unit, list, service, is_watched, listeners, connection } = order;
        assert!(!self.processes.contains_key(&process), "{process:?} is known already");
        for fd in &listeners {
            kernel.listeners.get_mut(fd).expect("what is passed is open").in_processes += 1;
        }
        self.last_pid += 1;
        let temper = if self.faults { Temper::random(rng) } else { Temper::default() };
        let process_state = Process {
            unit,
            list,
            service,
            pid: self.last_pid,
            listeners,
            connection,
            accepted: Vec::new(),
            temper,
            phase: Phase::Forked,
            is_stopped: false,
            is_watched,
            word: None,
            next: now + rng.millis(10),
        };
        self.processes.insert(process, process_state);
    }

    /// What a daemon has left becomes a process of its own, unless it is not found.
    fn adopt(&mut self, process: ProcessId, unit: UnitName, like: Option<ProcessId>, rng: &mut Rng) {
        let is_there = like.is_some_and(|like| self.left.contains(&like));
        if !is_there || self.faults && rng.percent(20) {
            let error = SpawnError { exit_code: 0, text: "not found".to_owned(), resources: true };
            return self.to_manager.push_back(Event::SpawnFailed { process, error });
        }
        self.last_pid += 1;
        let daemon = Process {
            unit,
            list: ExecList::Start,
            service: ServiceType::Simple,
            pid: self.last_pid,
            listeners: Vec::new(),
            connection: None,
            accepted: Vec::new(),
            temper: if self.faults { Temper::random(rng) } else { Temper::default() },
            phase: Phase::Serving,
            is_stopped: false,
            is_watched: false,
            word: None,
            next: NEVER,
        };
        self.to_manager.push_back(Event::Spawned { process, pid: daemon.pid });
        self.processes.insert(process, daemon);
    }

    /// Some take a moment to notice.
    fn freeze(&mut self, process: ProcessId, rng: &mut Rng) {
        let target = self.processes.get_mut(&process).filter(|target| target.is_alive());
        let is_still = target.is_none_or(|target| {
            target.is_stopped = target.is_stopped || rng.percent(70);
            target.is_stopped
        });
        self.to_manager.push_back(Event::Frozen { process, is_still });
    }

    fn kill(&mut self, process: ProcessId, signal: i32, kernel: &mut Kernel, rng: &mut Rng, now: u64) {
        if signal != 18 && self.left.remove(&process) {
            return self.to_manager.push_back(Event::LeftGone { process });
        }
        let Some(target) = self.processes.get_mut(&process) else { return };
        if signal == 18 && std::mem::take(&mut target.is_stopped) {
            // It finds out what came meanwhile.
            target.next = target.next.min(now);
        }
        if target.signalled(signal, now + rng.millis(200)) {
            self.end(process, ExitStatus::Killed(signal), kernel);
        }
    }

    /// When the next process does something by itself.
    pub(crate) fn next_deed(&self) -> u64 {
        let running = self.processes.values().filter(|process| !process.is_stopped);
        running.map(|process| process.next).min().unwrap_or(NEVER)
    }

    /// Lets every process act whose time has come.
    pub(crate) fn run(&mut self, kernel: &mut Kernel, rng: &mut Rng, now: u64) {
        let due: Vec<ProcessId> =
            self.processes.iter().filter(|(_, process)| process.is_due(now)).map(|(id, _)| *id).collect();
        for id in due {
            self.act(id, kernel, rng, now);
        }
    }

    fn act(&mut self, id: ProcessId, kernel: &mut Kernel, rng: &mut Rng, now: u64) {
        let process = self.processes.get_mut(&id).expect("it is due");
        process.next = NEVER;
        match process.act() {
            Deed::ExecFails => self.exec_fails(id, kernel),
            Deed::Execs => {
                process.execed();
                process.next = now + rng.millis(300);
                self.to_manager.push_back(Event::Spawned { process: id, pid: process.pid });
                if let Some(client) = process.connection {
                    kernel.clients[client].fate = Fate::Accepted;
                }
            }
            Deed::SaysReady => {
                (process.phase, process.next) = (Phase::Serving, now);
                let mut message = Notification { ready: true, ..Notification::default() };
                if rng.percent(50) {
                    message.store = Some(StoreRequest::Add { name: "state".to_owned(), poll: true });
                }
                let pid = process.pid;
                self.notify.push_back(Event::Notified { pid, kin: Some(pid), message });
            }
            Deed::SaysReloading => {
                process.next = now + rng.millis(300);
                let monotonic = Some(Time::from_micros(now));
                let message = Notification { reloading: true, monotonic, ..Notification::default() };
                let pid = process.pid;
                self.notify.push_back(Event::Notified { pid, kin: Some(pid), message });
            }
            Deed::PatsWatchdog => {
                process.next = now + PAT;
                let message = Notification { watchdog: Some(WatchdogWord::Ping), ..Notification::default() };
                let pid = process.pid;
                self.notify.push_back(Event::Notified { pid, kin: Some(pid), message });
            }
            Deed::TakesBusName => {
                (process.phase, process.next) = (Phase::Serving, now);
                self.bus_owner = Some(id);
                self.notify.push_back(Event::BusName { name: BUS_NAME.to_owned(), is_owned: true });
            }
            Deed::Accepts => {
                let fd = process.listeners.iter().copied().find(|fd| kernel.is_readable(*fd));
                if let Some(client) = fd.and_then(|fd| kernel.accept(fd, Fate::Accepted)) {
                    process.accepted.push(client);
                    process.next = now + rng.millis(20);
                }
            }
            Deed::Serves => {
                let client = process.accepted.pop().expect("it has one");
                kernel.clients[client].fate = Fate::Served;
                process.next = now + rng.millis(20);
            }
            Deed::Exits(status) => self.end(id, status, kernel),
            Deed::Nothing => {}
        }
    }

    fn exec_fails(&mut self, id: ProcessId, kernel: &mut Kernel) {
        let process = self.processes.remove(&id).expect("it has just acted");
        self.let_go(&process.listeners, kernel);
        let error = SpawnError { exit_code: 203, text: "exec".to_owned(), resources: false };
        self.to_manager.push_back(Event::SpawnFailed { process: id, error });
    }

    fn end(&mut self, id: ProcessId, status: ExitStatus, kernel: &mut Kernel) {
        let process = self.processes.get_mut(&id).expect("it lived until now");
        if process.phase == Phase::Forked {
            self.to_manager.push_back(Event::Spawned { process: id, pid: process.pid });
        }
        let forks = process.service == ServiceType::Forking && process.is_main();
        let fate = if status == ExitStatus::Exited(0) { Fate::Served } else { Fate::DiedWithItsHolder };
        for client in process.accepted.drain(..) {
            kernel.clients[client].fate = fate;
        }
        (process.phase, process.next) = (Phase::Ended(status), NEVER);
        if self.bus_owner.take_if(|owner| *owner == id).is_some() {
            self.notify.push_back(Event::BusName { name: BUS_NAME.to_owned(), is_owned: false });
        }
        let listeners = std::mem::take(&mut process.listeners);
        self.let_go(&listeners, kernel);
        let leaves_others = forks && status == ExitStatus::Exited(0);
        if leaves_others {
            self.left.insert(id);
        }
        self.to_manager.push_back(Event::Exited { process: id, status, leaves_others });
    }

    fn let_go(&self, listeners: &[FdId], kernel: &mut Kernel) {
        for fd in listeners {
            if let Some(listener) = kernel.listeners.get_mut(fd) {
                listener.in_processes -= 1;
                kernel.released(*fd);
            }
        }
    }

    pub(crate) fn rename(&mut self, fd: FdId, new: FdId) {
        for process in self.processes.values_mut() {
            process.listeners.iter_mut().filter(|held| **held == fd).for_each(|held| *held = new);
        }
    }

    /// Somebody connected: whoever waits on that listener wakes up.
    pub(crate) fn wake(&mut self, fd: FdId, at: u64) {
        for process in self.processes.values_mut() {
            if process.phase == Phase::Serving && process.listeners.contains(&fd) {
                process.next = process.next.min(at);
            }
        }
    }

    /// The manager is gone: what was on its way to it is lost, and starting a process does not wait for anybody.
    pub(crate) fn manager_died(&mut self, kernel: &mut Kernel, rng: &mut Rng, now: u64) {
        let forked: Vec<ProcessId> = self
            .processes
            .iter()
            .filter(|(_, process)| process.phase == Phase::Forked)
            .map(|(id, _)| *id)
            .collect();
        for id in forked {
            self.act(id, kernel, rng, now);
        }
        self.to_manager.clear();
        // The bus tells only who asks.
        self.notify.retain(|event| !matches!(event, Event::BusName { .. }));
    }

    /// No more faults: what runs behaves from now on, except that what does not get ready never does.
    pub(crate) fn end_faults(&mut self, now: u64) {
        self.faults = false;
        for process in self.processes.values_mut() {
            process.temper.crashes_after = None;
            if process.temper.deaf_after.take().is_some() && process.phase == Phase::Serving {
                process.next = process.next.min(now);
            }
        }
    }
}
