//! The simulated kernel: listeners with queues, held by whoever has a descriptor of them, and the clients that wait there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sockmgr_engine::{FdId, Port};
use sockmgr_unit::UnitName;

pub(crate) type ClientId = usize;

/// Where a client's connection is, or what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Queued,
    /// The manager has accepted it.
    Held,
    /// A process has it.
    Accepted,
    Served,
    /// The process that had accepted it died, or the manager that had.
    DiedWithItsHolder,
    /// The last descriptor of the listener was closed.
    ListenerClosed,
    /// The manager threw the queue away, or refused the connection.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: UnitName,
    pub(crate) fate: Fate,
}

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: UnitName,
    pub(crate) port: Port,
    pub(crate) queue: VecDeque<ClientId>,
    /// The manager has a descriptor of it.
    pub(crate) in_manager: bool,
    /// The keeper has one.
    pub(crate) in_keeper: bool,
    /// Somebody shut it down, and nobody has noticed yet.
    pub(crate) is_shut: bool,
    /// Somebody came since that was last asked.
    pub(crate) has_visitors: bool,
    /// How many processes have one.
    pub(crate) in_processes: usize,
}

impl Listener {
    fn is_held(&self) -> bool {
        self.in_manager || self.in_keeper || self.in_processes > 0
    }
}

#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) listeners: BTreeMap<FdId, Listener>,
    pub(crate) clients: Vec<Client>,
    /// The members of each group, by socket and line, in the kernel's order.
    pub(crate) orders: BTreeMap<(UnitName, usize), Vec<u32>>,
    /// The program on each group.
    pub(crate) steering: BTreeMap<UnitName, Vec<u32>>,
    pub(crate) watched: BTreeSet<FdId>,
    orphans: u64,
}

impl Kernel {
    /// A client connects to one of the socket's lines; `luck` chooses the line and, among those in rotation, the slot.
    pub(crate) fn connect(&mut self, socket: &UnitName, luck: (usize, usize)) -> Option<FdId> {
        let open =
            || self.listeners.iter().filter(|(_, listener)| listener.in_keeper && listener.socket == *socket);
        let lines: BTreeSet<usize> = open().map(|(_, listener)| listener.port.line).collect();
        let line = *lines.iter().nth(luck.0 % lines.len().max(1))?;
        let slots: Vec<Option<u32>> = open()
            .filter(|(_, listener)| listener.port.line == line)
            .map(|(_, listener)| listener.port.slot)
            .collect();
        let slot = match (slots[0], self.steering.get(socket)) {
            (None, _) => None,
            (Some(_), Some(live)) => Some(live[luck.1 % live.len()]),
            // Between the opening of its listeners and its first program a group has one that lists slot 0.
            (Some(_), None) => Some(0),
        };
        let (fd, _) =
            open().find(|(_, listener)| listener.port.line == line && listener.port.slot == slot)?;
        let fd = *fd;
        let client = self.clients.len();
        self.clients.push(Client { socket: socket.clone(), fate: Fate::Queued });
        let listener = self.listeners.get_mut(&fd).expect("it was just found");
        listener.queue.push_back(client);
        listener.has_visitors = true;
        Some(fd)
    }

    /// Takes the oldest connection out of a queue.
    pub(crate) fn accept(&mut self, fd: FdId, fate: Fate) -> Option<ClientId> {
        let client = self.listeners.get_mut(&fd)?.queue.pop_front()?;
        self.clients[client].fate = fate;
        Some(client)
    }

    pub(crate) fn is_readable(&self, fd: FdId) -> bool {
        self.listeners.get(&fd).is_some_and(|listener| !listener.queue.is_empty())
    }

    /// A process shuts its listener down; what waits there is lost.
    pub(crate) fn shut_down(&mut self, fd: FdId) {
        while self.accept(fd, Fate::DiedWithItsHolder).is_some() {}
        let listener = self.listeners.get_mut(&fd).expect("it is open");
        listener.is_shut = true;
        let (port, key) = (listener.port, (listener.socket.clone(), listener.port.line));
        let order = self.orders.get_mut(&key).expect("the group is there");
        let place = order.iter().position(|slot| Some(*slot) == port.slot).expect("it is a member");
        order.swap_remove(place);
    }

    pub(crate) fn relisten(&mut self, fd: FdId) {
        let listener = self.listeners.get_mut(&fd).expect("it is open");
        if std::mem::take(&mut listener.is_shut) {
            let key = (listener.socket.clone(), listener.port.line);
            self.orders.entry(key).or_default().extend(listener.port.slot);
        }
    }

    /// A listener is opened: the last member of its group.
    pub(crate) fn open(&mut self, fd: FdId, listener: Listener) {
        let key = (listener.socket.clone(), listener.port.line);
        if listener.port.slot == Some(0) {
            self.orders.remove(&key);
        }
        self.orders.entry(key).or_default().extend(listener.port.slot);
        self.listeners.insert(fd, listener);
    }

    /// One holder of a listener has closed its descriptor: with the last one goes the queue.
    pub(crate) fn released(&mut self, fd: FdId) {
        if self.listeners.get(&fd).is_some_and(|listener| !listener.is_held()) {
            let listener = self.listeners.remove(&fd).expect("it was just found");
            for client in listener.queue {
                self.clients[client].fate = Fate::ListenerClosed;
            }
        }
    }

    /// Gives a listener a number that no manager uses.
    pub(crate) fn move_aside(&mut self, fd: FdId) -> FdId {
        let listener = self.listeners.remove(&fd).expect("it was just found");
        self.orphans += 1;
        let elsewhere = FdId(u64::MAX - self.orphans);
        self.listeners.insert(elsewhere, listener);
        elsewhere
    }

    /// Throws a queue away.
    pub(crate) fn flush(&mut self, fd: FdId) {
        while let Some(client) = self.accept(fd, Fate::Refused) {
            assert_eq!(self.clients[client].fate, Fate::Refused);
        }
    }

    /// A listener is shut down so that what waits there goes over to another member: to the first one of `live`, or wherever `luck` has it.
    /// Answers whose listener that is, if anybody waited.
    pub(crate) fn leave(&mut self, fd: FdId, live: &[u32], luck: Option<usize>) -> Option<FdId> {
        let listener = self.listeners.get_mut(&fd).expect("it is open");
        if std::mem::replace(&mut listener.is_shut, true) {
            return None;
        }
        let (socket, line) = (listener.socket.clone(), listener.port.line);
        let (own, waiting) = (listener.port.slot, std::mem::take(&mut listener.queue));
        let order = self.orders.get_mut(&(socket.clone(), line)).expect("the group is there");
        let place = order.iter().position(|slot| Some(*slot) == own).expect("it is a member");
        order.swap_remove(place);
        if waiting.is_empty() {
            return None;
        }
        let goal = luck.map_or_else(|| live[0], |luck| order[luck % order.len()]);
        let is_goal = |other: &Listener| {
            other.socket == socket && other.port.line == line && other.port.slot == Some(goal)
        };
        let mut siblings = self.listeners.iter_mut().filter(|(_, other)| is_goal(other));
        let (sibling, listener) = siblings.next().expect("a member has a listener");
        listener.queue.extend(waiting);
        Some(*sibling)
    }

    /// The manager is gone, with its descriptors; programs stay where they are.
    pub(crate) fn manager_died(&mut self) {
        self.watched.clear();
        let fds: Vec<FdId> = self.listeners.keys().copied().collect();
        for fd in fds {
            self.listeners.get_mut(&fd).expect("it is listed").in_manager = false;
            self.released(fd);
        }
    }
}
