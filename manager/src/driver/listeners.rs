//! Opening, watching, steering, accepting on and closing the listeners of socket units.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use sockmgr_engine::{Connection, Event, FdId, Peer, Port};
use sockmgr_sys::listener::{self, ListenAddress, Listener};
use sockmgr_sys::options::{Side, SocketOptions};
use sockmgr_sys::poll::{Interest, Poll};
use sockmgr_sys::spawn::SpawnPlan;
use sockmgr_sys::{SysError, accept, diag, queue};
use sockmgr_unit::section::SocketSection;
use sockmgr_unit::{Listen, SocketUnit, UnitName};

use super::descriptors::held_name;
use super::plan::{PlanError, Planner};
use super::{Driver, limits, links, setup, steering};
use crate::protocol::{ToKeeper, ToManager};

/// How long the keeper is given to close something.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

impl Driver {
    /// Opens all listeners of a socket unit, or none.
    pub(super) fn open(&mut self, socket: &UnitName, ports: &[Port]) -> Result<(), String> {
        let view = self.engine.unit(socket).ok_or("the unit is gone")?;
        let unit = view.unit.clone();
        let body = unit.socket_unit().ok_or("it is not a socket unit")?;
        let section = &body.socket;
        self.await_releases();
        let mut opened = Vec::with_capacity(ports.len());
        for port in ports {
            let listener = match open_port(body, port) {
                Ok(listener) => listener,
                Err(why) => {
                    take_back(section, opened);
                    return Err(why);
                }
            };
            for warning in &listener.warnings {
                tracing::warn!(unit = %socket, "{}", chain(warning));
            }
            set_options(socket, body, port, &listener.fd);
            opened.push((port.fd, listener));
        }
        limits::check(socket, body, ports, &opened);
        self.keep(opened).map_err(|error| format!("cannot keep its listeners: {error}"))?;
        links::make(socket, body);
        self.begin_steering(socket, section, ports);
        ports.iter().filter(|port| port.slot.is_some()).for_each(|port| self.guard(port.fd));
        Ok(())
    }

    /// Sets the options of listeners that are open already, after a reload, and takes back those that are asked for no more.
    pub(super) fn adjust(&mut self, socket: &UnitName, ports: &[Port]) {
        let Some(view) = self.engine.unit(socket) else { return };
        let unit = view.unit.clone();
        let Some(body) = unit.socket_unit() else { return };
        for port in ports {
            if let Some(fd) = self.descriptors.get(port.fd) {
                reset_options(socket, body, port, &fd);
                set_options(socket, body, port, &fd);
            }
        }
    }

    /// The process that gives the nodes of a socket to their owner, and descriptors of them.
    pub(super) fn plan_chown(&self, socket: &UnitName) -> Result<(SpawnPlan, Vec<OwnedFd>), PlanError> {
        let failed = PlanError::Resources;
        let view = self.engine.unit(socket).ok_or_else(|| failed("the unit is gone".to_owned()))?;
        let section = view.unit.socket().ok_or_else(|| failed("it is not a socket unit".to_owned()))?;
        let nodes = self
            .engine
            .open_ports(socket)
            .filter_map(|port| Some(self.descriptors.node(port.fd)?.handle(self.descriptors.get(port.fd)?)))
            .collect::<Result<Vec<OwnedFd>, _>>()
            .map_err(|error| failed(chain(&error)))?;
        Ok((Planner::chown_plan(section, nodes.len())?, nodes))
    }

    /// Puts the listeners into our table and a copy of each into the keeper's.
    fn keep(&mut self, opened: Vec<(FdId, Listener)>) -> std::io::Result<()> {
        let names = opened.iter().map(|(id, listener)| held_name(*id, listener.node.as_ref())).collect();
        let copies: Vec<OwnedFd> =
            opened.iter().map(|(_, listener)| listener.fd.try_clone()).collect::<Result<_, _>>()?;
        self.link.push(&ToKeeper::Hold { names }, copies);
        for (id, listener) in opened {
            self.descriptors.insert(id, listener.fd, listener.node);
        }
        Ok(())
    }

    /// A listener of a slot stays in the poll set for as long as it is open: whoever has it can shut it down.
    fn guard(&self, id: FdId) {
        if let Some(Err(error)) = self.descriptors.get(id).map(|fd| self.poll.set(fd, id.0, Interest::HangUp))
        {
            tracing::error!("cannot watch listener {id}: {}", chain(&error));
        }
    }

    /// The same for those of an earlier manager.
    pub(super) fn guard_slots(&self) {
        for socket in self.engine.unit_names() {
            for port in self.engine.open_ports(socket).filter(|port| port.slot.is_some()) {
                self.guard(port.fd);
            }
        }
    }

    pub(super) fn close(&mut self, socket: &UnitName, ports: &[Port]) {
        let unit = self.engine.unit(socket).map(|view| view.unit.clone());
        let body = unit.as_deref().and_then(|unit| unit.socket_unit());
        let leaving = body.filter(|body| body.socket.remove_on_stop);
        // A reload closes single listeners of a socket that goes on.
        if let Some(body) = leaving.filter(|_| self.engine.open_ports(socket).next().is_none()) {
            links::remove(socket, body);
        }
        let removes = leaving.is_some();
        let ids: Vec<FdId> = ports.iter().map(|port| port.fd).collect();
        self.release(&ids, removes);
        self.end_steering(socket);
    }

    /// Closes our copies and the keeper's, and removes the unix nodes that belong to them where asked to.
    pub(super) fn release(&mut self, ids: &[FdId], removes_nodes: bool) {
        let mut names = Vec::new();
        for id in ids {
            self.forget_listener(*id);
            self.looks.forget(*id);
            self.visits.forget(*id);
            let node = self.descriptors.remove(*id);
            names.push(held_name(*id, node.as_ref()));
            if let Some(node) = node.filter(|_| removes_nodes)
                && let Err(error) = listener::remove(&node)
            {
                tracing::warn!("{}", chain(&error));
            }
        }
        self.push(ToKeeper::Release { names });
        self.releases += 1;
    }

    /// An address that was just closed is free once the keeper has closed its copy too; that takes it a fraction of a millisecond.
    fn await_releases(&mut self) {
        let deadline = Instant::now() + RELEASE_PATIENCE;
        while self.releases > 0 && Instant::now() < deadline {
            if let Err(error) = self.hear_keeper(deadline) {
                tracing::error!("cannot hear from the keeper: {}", chain(&*error));
                return;
            }
        }
    }

    /// Sends what is queued, waits for the keeper, and puts aside what it says until its turn comes.
    fn hear_keeper(&mut self, deadline: Instant) -> Result<(), Box<dyn std::error::Error>> {
        self.flush_link()?;
        let poll = Poll::new()?;
        poll.add(self.link.as_fd(), 0, Interest::Readable)?;
        poll.wait(&mut Vec::new(), Some(deadline.saturating_duration_since(Instant::now())))?;
        while let Some((message, _)) = self.link.recv()? {
            match message {
                ToManager::Released => self.releases = self.releases.saturating_sub(1),
                other => {
                    self.inbox.push_back(other);
                    // What was put aside makes the link readable no more.
                    self.commanded.notify_one();
                }
            }
        }
        Ok(())
    }

    /// An event where it cannot be watched.
    pub(super) fn watch(&mut self, id: FdId) -> Option<Event> {
        let fd = self.descriptors.get(id)?;
        let error = self.poll.set(fd, id.0, Interest::Readable).err()?;
        Some(Event::Unwatchable { fd: id, why: format!("cannot wait for traffic: {}", chain(&error)) })
    }

    pub(super) fn unwatch(&mut self, id: FdId) {
        if self.engine.is_in_slot(id) {
            self.guard(id);
        } else {
            self.forget_listener(id);
        }
    }

    /// Takes it out of the poll set, where it may not be.
    fn forget_listener(&self, id: FdId) {
        if let Some(fd) = self.descriptors.get(id) {
            let _ = self.poll.remove(fd);
        }
    }

    /// A service shut down the listener that it was given, and with it ours, which is the same open file. What the queue held the
    /// kernel has already dropped or moved.
    pub(super) fn relisten(&mut self, socket: UnitName, id: FdId) -> Option<Event> {
        let backlog = self.engine.unit(&socket)?.unit.socket()?.backlog;
        self.unsaved.insert(socket);
        if let Err(error) = self.flush_link() {
            tracing::debug!(%error, "cannot reach the keeper");
        }
        let result =
            listener::listen_again(self.descriptors.get(id)?, backlog).map_err(|error| chain(&error));
        match &result {
            Ok(()) => self.reseat(id),
            // It would be reported for ever.
            Err(_) => self.forget_listener(id),
        }
        Some(Event::Relistened { fd: id, result })
    }

    /// How much waits on a listener.
    pub(super) fn measure(&mut self, id: FdId) -> Event {
        let queued = self.descriptors.get(id).map(waiting_in).transpose().unwrap_or_else(|error| {
            tracing::warn!("cannot ask for the queue of listener {id}: {}", chain(&error));
            None
        });
        Event::Measured { fd: id, queued: queued.flatten() }
    }

    pub(super) fn flush_queue(&mut self, id: FdId) {
        if let Some(Err(error)) = self.descriptors.get(id).map(queue::flush) {
            tracing::warn!("cannot empty the queue of listener {id}: {}", chain(&error));
        }
    }

    /// Accepts up to `max` connections.
    pub(super) fn accept(&mut self, id: FdId, max: u32) -> Event {
        let options = self.connection_options(id);
        let mut connections = Vec::new();
        let mut failure = None;
        for _ in 0..max {
            let Some(listener) = self.descriptors.get(id) else { break };
            match accept::accept(listener) {
                Ok(accept::Accepted::Connection(fd)) => connections.extend(self.admit(fd, options.as_ref())),
                Ok(accept::Accepted::Nothing) => break,
                Err(error) => {
                    failure = Some(chain(&error));
                    break;
                }
            }
        }
        Event::Accepted { fd: id, connections, failure }
    }

    /// What is set on the connections of this listener; `None` where nothing is, as on most.
    fn connection_options(&self, id: FdId) -> Option<(UnitName, SocketOptions)> {
        let unit = self.engine.unit_of_listener(id)?;
        let options = setup::socket_options(self.engine.unit(unit)?.unit.socket_unit()?);
        (options != SocketOptions::default()).then(|| (unit.clone(), options))
    }

    /// Takes an accepted connection into the table; `None` when the client has left already.
    fn admit(&mut self, fd: OwnedFd, options: Option<&(UnitName, SocketOptions)>) -> Option<Connection> {
        if let Some((unit, options)) = options {
            report(unit, options.apply(fd.as_fd(), Side::Connection));
        }
        let peer = peer_of(&fd)?;
        let id = self.engine.name_fd();
        self.descriptors.insert(id, fd, None);
        Some(Connection { fd: id, peer })
    }
}

/// Connections, or bytes of datagrams, that wait in a listener.
fn waiting_in(listener: BorrowedFd<'_>) -> Result<Option<u32>, SysError> {
    match queue::level(listener)? {
        Some(level) => Ok(Some(level.used)),
        None => Ok(diag::connections(listener)?.map(|found| found.waiting)),
    }
}

fn is_socket(body: &SocketUnit, port: &Port) -> bool {
    let is_node = |listen: &Listen| matches!(listen.address, sockmgr_unit::ListenAddress::Node(_));
    !body.socket.listen.get(port.line).is_none_or(is_node)
}

fn reset_options(socket: &UnitName, body: &SocketUnit, port: &Port, fd: &impl AsFd) {
    if is_socket(body, port) {
        report(socket, setup::socket_options(body).reset(fd.as_fd()));
    }
}

/// Sets what systemd sets after listen(2); what is no socket has no options. None of it is fatal.
fn set_options(socket: &UnitName, body: &SocketUnit, port: &Port, fd: &impl AsFd) {
    if is_socket(body, port) {
        report(socket, setup::socket_options(body).apply(fd.as_fd(), Side::Listener));
    }
}

fn report(socket: &UnitName, failures: Vec<(&'static str, std::io::Error)>) {
    for (option, error) in failures {
        tracing::warn!(unit = %socket, "{option} has no effect: {error}");
    }
}

/// Closes what was opened before something else could not be.
fn take_back(section: &SocketSection, opened: Vec<(FdId, Listener)>) {
    if section.remove_on_stop {
        for node in opened.into_iter().filter_map(|(_, listener)| listener.node) {
            if let Err(error) = listener::remove(&node) {
                tracing::warn!("{}", chain(&error));
            }
        }
    }
}

fn open_port(body: &SocketUnit, port: &Port) -> Result<Listener, String> {
    let section = &body.socket;
    let listen = section.listen.get(port.line).ok_or("the Listen= line is gone")?;
    if let Some(opened) = setup::open_node(body, listen) {
        return opened;
    }
    let spec = setup::spec_for(body, listen, port.slot.is_some())?;
    if port.slot == Some(0) && !section.reuse_port {
        // The sockets of the group share the address with each other, not with whoever has it already.
        listener::check_unclaimed(&spec).map_err(|error| chain(&error))?;
    }
    let opened = listener::open(&spec).map_err(|error| chain(&error))?;
    if port.slot == Some(0) {
        // Before the other slots exist: they must not get traffic until they are listed.
        steering::close_all_but_first(opened.fd.as_fd())?;
    }
    Ok(opened)
}

fn peer_of(fd: &OwnedFd) -> Option<Peer> {
    let peer = accept::peer(fd.as_fd()).ok()?;
    Some(match (peer, listener::local_address(fd.as_fd())) {
        (accept::Peer::Inet(remote), Ok(ListenAddress::Inet(local))) => Peer::Inet { local, remote },
        (accept::Peer::Vsock { cid, port }, Ok(ListenAddress::Vsock { cid: own_cid, port: own_port })) => {
            Peer::Vsock { local: (own_cid, own_port), remote: (cid, port) }
        }
        (accept::Peer::Inet(_) | accept::Peer::Vsock { .. }, _) => return None,
        (accept::Peer::Unix { name, credentials }, _) => {
            let credentials = credentials
                .and_then(|peer| Some((u32::try_from(peer.pid).ok().filter(|pid| *pid > 0)?, peer.uid)));
            Peer::Unix { credentials, name: name.map(String::into_boxed_str) }
        }
        (accept::Peer::Other, _) => Peer::Unix { credentials: None, name: None },
    })
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
