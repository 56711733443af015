//! The simulated driver: performs actions as the real one does, checks that each makes sense, and dies when told to.

use std::collections::VecDeque;

use sockmgr_engine::{
    Action, Connection, Engine, Event, ExecList, FdId, Migrated, Notice, PassedFd, Peer, Port, ProcessId,
    SpawnError, Time,
};
use sockmgr_unit::UnitName;

use crate::keeper::{Message, Order};
use crate::kernel::{Fate, Listener};
use crate::process::{Phase, Process};
use crate::support::{name, save};
use crate::units::WATCHED;
use crate::world::{Moves, World};

impl World {
    /// Asks the engine and performs what it decides; `None` when there is no manager.
    pub(crate) fn call<T>(
        &mut self,
        ask: impl FnOnce(&mut Engine, Time, &mut Vec<Action>) -> T,
    ) -> Option<T> {
        let now = Time::from_micros(self.now);
        let mut actions = Vec::new();
        let answer = ask(self.engine.as_mut()?, now, &mut actions);
        let is_decision = |action: &Action| !matches!(action, Action::Notice(Notice::UnitChanged(_)));
        if actions.iter().any(is_decision) {
            self.decided = self.now;
        }
        self.perform(actions.into());
        Some(answer)
    }

    pub(crate) fn feed(&mut self, mut event: Event) {
        if let (Event::Notified { message, .. }, Some(engine)) = (&mut event, &mut self.engine)
            && message.store.is_some()
        {
            let fd = engine.name_fd();
            self.stored.insert(fd);
            message.fds.push(fd);
        }
        self.note(&event);
        if let Event::SpawnFailed { process, .. } | Event::Exited { process, .. } = &event {
            self.mains.remove(process);
        }
        self.count_event();
        self.call(|engine, now, out| engine.handle(now, event, out));
    }

    fn perform(&mut self, mut pending: VecDeque<Action>) {
        while let Some(action) = pending.pop_front() {
            if self.strikes() {
                return self.die();
            }
            self.note(&action);
            let answer = self.act(action);
            if self.engine.is_none() {
                // It died in the middle of it.
                return;
            }
            let Some(event) = answer else { continue };
            self.note(&event);
            self.count_event();
            let mut more = Vec::new();
            let engine = self.engine.as_mut().expect("it has just decided");
            engine.handle(Time::from_micros(self.now), event, &mut more);
            pending.extend(more);
        }
        self.flush();
    }

    /// What changed is saved, before all else that this turn brings.
    fn save_now(&mut self) {
        self.flush_saved();
        for message in std::mem::take(&mut self.link) {
            self.keeper.take(message, &mut self.kernel, &mut self.rng, self.now);
        }
    }

    fn flush_saved(&mut self) {
        let engine = self.engine.as_ref().expect("it has just decided");
        for unit in std::mem::take(&mut self.unsaved) {
            self.link.push(match save(engine, &unit) {
                Some(state) => Message::Remember(unit, state),
                None => Message::Erase(unit),
            });
        }
    }

    /// The end of a turn: what changed is saved, and everything goes to the keeper.
    fn flush(&mut self) {
        self.flush_saved();
        self.link.extend(self.forget.drain(..).map(Message::Forget));
        if self.strikes() {
            return self.die();
        }
        for message in std::mem::take(&mut self.link) {
            self.keeper.take(message, &mut self.kernel, &mut self.rng, self.now);
        }
        self.check();
    }

    /// Counts down to the manager's sudden death.
    fn strikes(&mut self) -> bool {
        match &mut self.doom {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    /// The manager dies here and now; some of what it has sent arrives.
    pub(crate) fn die(&mut self) {
        self.note(&"the manager dies");
        let arrives = self.rng.below(self.link.len() + 1);
        for message in std::mem::take(&mut self.link).into_iter().take(arrives) {
            self.keeper.take(message, &mut self.kernel, &mut self.rng, self.now);
        }
        self.engine = None;
        self.doom = None;
        self.kernel.manager_died();
        self.keeper.manager_died(&mut self.kernel, &mut self.rng, self.now);
        for client in std::mem::take(&mut self.held).into_values() {
            self.lose_held(client, Fate::DiedWithItsHolder);
        }
        self.late.clear();
        self.unsaved.clear();
        self.forget.clear();
        self.jobs.clear();
        self.mains.clear();
        self.stored.clear();
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Open { socket, ports } => return self.open(socket, &ports),
            Action::Close { socket, ports } => self.close(&socket, &ports),
            Action::Adjust { ports, .. } => {
                let closed = ports.iter().find(|port| !self.kernel.listeners[&port.fd].in_manager);
                assert!(closed.is_none(), "options of a closed {closed:?}");
            }

            Action::Watch { fd } => {
                assert!(self.kernel.listeners[&fd].in_manager, "watch of a closed {fd}");
                assert!(self.kernel.watched.insert(fd), "watch of a watched {fd}");
            }
            Action::Unwatch { fd } => {
                assert!(self.kernel.watched.remove(&fd), "unwatch of an unwatched {fd}")
            }
            Action::Accept { fd, max } => return self.accept(fd, max),
            Action::Flush { fd } => self.flush_queue(fd),
            Action::Probe { process, fd, .. } => self.probe(process, fd),
            Action::Migrate { socket, line, fds, live, again } => {
                return self.migrate(socket, line, &fds, &live, again);
            }
            Action::Check { unit } => {
                let section = self.engine.as_ref()?.unit(&unit)?.unit.conditions.clone();
                let mut toss = |count: usize| (0..count).map(|_| self.rng.percent(70)).collect::<Vec<bool>>();
                let (conditions, asserts) = (toss(section.conditions.len()), toss(section.asserts.len()));
                return Some(Event::Checked { unit, conditions, asserts });
            }
            Action::Measure { fd } => {
                let queued = self.kernel.listeners[&fd].queue.len() as u32;
                return Some(Event::Measured { fd, queued: Some(queued) });
            }
            Action::Count { fd } => {
                let (count, has_visitors) = self.count_use(fd);
                return Some(Event::Counted { fd, count: Some(count), has_visitors });
            }
            Action::Freeze { process, unit } => {
                self.unsaved.insert(unit);
                self.flush_saved();
                self.link.push(Message::Freeze(process));
            }
            Action::Relisten { socket, fd } => {
                self.unsaved.insert(socket);
                self.save_now();
                self.kernel.relisten(fd);
                return Some(Event::Relistened { fd, result: Ok(()) });
            }
            Action::CloseConnection { fd } => self.close_connection(fd),
            Action::FindMain { process, unit, like, .. } => {
                self.mains.insert(process, (unit.clone(), true));
                self.link.push(Message::Adopt { process, unit, like });
            }
            // What there is of that here, a PID file, nobody looks for afterwards.
            Action::CleanUp { .. } => {}
            Action::WatchBusName { name } => {
                let is_owned = self.keeper.bus_owner.is_some();
                return Some(Event::BusName { name, is_owned });
            }
            Action::Store { fd, .. } => {
                assert!(self.stored.contains(&fd), "{fd} is stored, and nobody has left it");
                self.link.push(Message::Store(fd));
            }
            Action::Unstore { fd } => {
                assert!(self.stored.remove(&fd), "{fd} is closed twice");
                self.link.push(Message::Unstore(fd));
            }
            Action::Discard { fd } if self.stored.remove(&fd) => self.link.push(Message::Unstore(fd)),
            Action::Discard { fd } => self.release(fd),
            Action::Spawn { process, unit, list, fds, .. } => return self.spawn(process, unit, list, &fds),
            Action::Kill { process, signal, .. } => {
                if signal == 9 {
                    self.mains.remove(&process);
                }
                self.link.push(Message::Kill { process, signal });
            }
            Action::Forget { process } => self.forget.push(process),
            Action::Steer { socket, live } => self.steer(socket, live),
            Action::Notice(notice) => self.notice(notice),
        }
        None
    }

    fn open(&mut self, socket: UnitName, ports: &[Port]) -> Option<Event> {
        self.assert_known(&socket);
        let busy = self.kernel.listeners.values().find(|other| other.in_manager && other.socket == socket);
        // What is open already stays open while a reload adds to it.
        assert!(busy.is_none() || self.is_up(&socket), "{socket} is opened twice: {busy:?}");
        let fails = self.keeper.faults && !self.is_kept(&socket) && self.rng.percent(5);
        if !fails {
            for port in ports {
                let listener = Listener {
                    socket: socket.clone(),
                    port: *port,
                    queue: VecDeque::new(),
                    in_manager: true,
                    in_keeper: false,
                    is_shut: false,
                    has_visitors: false,
                    in_processes: 0,
                };
                self.make_room(port.fd);
                self.kernel.open(port.fd, listener);
                self.link.push(Message::Hold(port.fd));
            }
        }
        let result = if fails { Err("address in use".to_owned()) } else { Ok(()) };
        Some(Event::Opened { socket, result })
    }

    /// A later manager may use the number of a listener that only processes have any more.
    fn make_room(&mut self, fd: FdId) {
        if let Some(old) = self.kernel.listeners.get(&fd) {
            assert!(!old.in_manager && !old.in_keeper, "{fd} is not new");
            let elsewhere = self.kernel.move_aside(fd);
            self.keeper.rename(fd, elsewhere);
        }
    }

    fn close(&mut self, socket: &UnitName, ports: &[Port]) {
        assert!(!self.is_kept(socket) || self.is_ending, "{socket} is closed");
        self.kernel.steering.remove(socket);
        for port in ports {
            self.release(port.fd);
        }
    }

    pub(crate) fn release(&mut self, fd: FdId) {
        let listener = self.kernel.listeners.get_mut(&fd).expect("what is closed was open");
        assert!(std::mem::take(&mut listener.in_manager), "{fd} is closed twice");
        self.kernel.watched.remove(&fd);
        self.link.push(Message::Release(fd));
    }

    fn accept(&mut self, fd: FdId, max: u32) -> Option<Event> {
        assert!(max > 0 && self.kernel.listeners[&fd].in_manager, "accept on {fd}");
        let mut connections = Vec::new();
        let fails = self.keeper.faults && self.rng.percent(3);
        while !fails && connections.len() < max as usize {
            let Some(client) = self.kernel.accept(fd, Fate::Held) else { break };
            let fd = self.engine.as_mut().expect("it has just decided").name_fd();
            self.held.insert(fd, client);
            let credentials = Some((client as u32 % 3, 1000));
            connections.push(Connection { fd, peer: Peer::Unix { credentials, name: None } });
        }
        let failure = fails.then(|| "too many open files".to_owned());
        let answer = Event::Accepted { fd, connections, failure };
        // The real driver answers at once; another one need not.
        if self.rng.percent(10) {
            self.late.push_back(answer);
            return None;
        }
        Some(answer)
    }

    /// Who waits at the address of a listener or is served there, and whether anybody came since it was last asked.
    fn count_use(&mut self, fd: FdId) -> (u32, bool) {
        let listener = self.kernel.listeners.get_mut(&fd).expect("what is counted is open");
        let has_visitors = std::mem::take(&mut listener.has_visitors);
        let waiting = listener.queue.len();
        let socket = listener.socket.clone();
        ((waiting + self.served_now(&socket)) as u32, has_visitors)
    }

    /// Connections of a socket that processes have accepted.
    fn served_now(&self, socket: &UnitName) -> usize {
        let accepted = |process: &Process| {
            let clients = process.accepted.iter().map(|client| &self.kernel.clients[*client]);
            clients.filter(|client| client.socket == *socket).count()
        };
        self.keeper.processes.values().map(accepted).sum()
    }

    fn flush_queue(&mut self, fd: FdId) {
        let socket = &self.kernel.listeners[&fd].socket;
        assert!(!self.is_kept(socket) || self.is_ending, "the queue of {socket} is thrown away");
        self.kernel.flush(fd);
    }

    /// As the real one does it with either make of steering: what waits goes to a slot in rotation, or to any, and all that may be spared
    /// leave together. It may die between any two steps.
    fn migrate(
        &mut self,
        socket: UnitName,
        line: usize,
        fds: &[FdId],
        live: &[u32],
        again: bool,
    ) -> Option<Event> {
        let spare =
            |fd: &&FdId| self.kernel.listeners[*fd].port.slot.is_some_and(|slot| !live.contains(&slot));
        assert!(again || fds.iter().all(|fd| spare(&fd)), "what waits in rotation is not to be moved");
        let moves = self.moves;
        let answer = |outcome| Some(Event::Migrated { socket: socket.clone(), line, outcome });
        if moves == Moves::Never && !again {
            return answer(Migrated::Impossible);
        }
        if !again && !fds.iter().any(|fd| self.kernel.is_readable(*fd)) {
            return answer(Migrated::Nothing);
        }
        // A service may have shut one of the others down, unnoticed so far: that comes first.
        let is_shut = |(fd, listener): (&FdId, &Listener)| {
            listener.socket == socket && listener.port.line == line && !fds.contains(fd) && listener.is_shut
        };
        if !again && self.kernel.listeners.iter().any(is_shut) {
            return answer(Migrated::Nothing);
        }
        self.unsaved.insert(socket.clone());
        self.save_now();
        let accepts = |fd: &FdId| self.keeper.processes.values().any(|process| process.may_accept(*fd));
        assert!(again || !fds.iter().any(accepts), "a listener is shut down under somebody who accepts");
        for fd in fds.iter().rev() {
            let luck = (moves == Moves::Anywhere).then(|| self.rng.below(1000));
            if let Some(sibling) = self.kernel.leave(*fd, live, luck) {
                // The kernel wakes whoever sleeps there, as for new connections.
                self.keeper.wake(sibling, self.now);
            }
            if self.strikes() {
                self.die();
                return None;
            }
        }
        for fd in fds {
            self.kernel.relisten(*fd);
            if self.strikes() {
                self.die();
                return None;
            }
        }
        let left = fds.iter().rev().copied().collect();
        answer(Migrated::Moved { left, back: fds.iter().map(|fd| (*fd, Ok(()))).collect() })
    }

    fn close_connection(&mut self, fd: FdId) {
        let client = self.held.remove(&fd).expect("a connection is closed once, and only when it is there");
        self.lose_held(client, Fate::Refused);
    }

    /// The manager has let go of a connection: lost unless a process has it.
    fn lose_held(&mut self, client: usize, fate: Fate) {
        let in_process = |client| {
            let mut living = self.keeper.processes.values().filter(|process| process.is_alive());
            living.any(|process| process.connection == Some(client))
        };
        if self.kernel.clients[client].fate == Fate::Held && !in_process(client) {
            self.kernel.clients[client].fate = fate;
        }
    }

    /// An answer comes some time later, or with the faults that of a server that does not want to.
    fn probe(&mut self, process: ProcessId, fd: FdId) {
        assert!(self.kernel.listeners[&fd].in_manager, "a probe of a closed {fd}");
        let serves =
            self.keeper.processes.get(&process).is_some_and(|process| process.phase == Phase::Serving);
        let is_good = serves && !(self.keeper.faults && self.rng.percent(30));
        let result = if is_good { Ok(()) } else { Err("no answer".to_owned()) };
        self.late.push_back(Event::Probed { process, result });
    }

    fn spawn(
        &mut self,
        process: ProcessId,
        unit: UnitName,
        list: ExecList,
        fds: &[PassedFd],
    ) -> Option<Event> {
        self.assert_known(&unit);
        let is_main = list == ExecList::Start;
        let unit_itself = unit_of_generation(&unit);
        let others = self.mains.values().filter(|(other, main)| *other == unit_itself && *main == is_main);
        assert!(others.count() < 2, "{unit} has a process of that kind in each of two generations already");
        if self.keeper.faults && self.rng.percent(2) {
            let error = SpawnError { exit_code: 0, text: "no memory".to_owned(), resources: true };
            return Some(Event::SpawnFailed { process, error });
        }
        self.mains.insert(process, (unit_itself, is_main));
        let mut order = Order {
            process,
            service: self.service_type(&unit),
            is_watched: unit.as_str() == WATCHED,
            unit,
            list,
            listeners: Vec::new(),
            connection: None,
        };
        for passed in fds {
            if passed.is_stored {
                assert!(self.stored.contains(&passed.fd), "{} is passed and closed", passed.fd);
                continue;
            }
            match self.held.get(&passed.fd) {
                Some(client) => order.connection = Some(*client),
                None => {
                    assert!(
                        self.kernel.listeners[&passed.fd].in_manager,
                        "{} is passed and closed",
                        passed.fd
                    );
                    order.listeners.push(passed.fd);
                }
            }
        }
        self.link.push(Message::Spawn(order));
        None
    }

    fn steer(&mut self, socket: UnitName, live: Vec<u32>) {
        assert!(!live.is_empty() && live.is_sorted(), "{socket} is steered to {live:?}");
        for slot in &live {
            let mut own =
                self.kernel.listeners.values().filter(|other| other.in_manager && other.socket == socket);
            assert!(own.any(|other| other.port.slot == Some(*slot)), "{socket} has no slot {slot}");
        }
        self.kernel.steering.insert(socket, live);
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::UnitChanged(unit) | Notice::UnitRemoved(unit) => drop(self.unsaved.insert(unit)),
            Notice::JobNew { id, .. } => assert!(self.jobs.insert(id), "job {id} is announced twice"),
            Notice::JobRemoved { id, .. } => assert!(self.jobs.remove(&id), "job {id} ends twice"),
            Notice::Log { unit, message, .. } if message.contains("nobody uses it") => {
                let socket = name(&unit.as_str().replace(".service", ".socket"));
                assert_eq!(self.served_now(&socket), 0, "{unit} is stopped for want of use, and used");
            }
            Notice::UnitNew(_) | Notice::Log { .. } => {}
        }
    }
}

/// Another generation of a unit is started under a name of its own.
fn unit_of_generation(unit: &UnitName) -> UnitName {
    name(&unit.as_str().replace("@@other", "").replace("@other", ""))
}
