//! Opening, watching, steering, accepting on and closing the listeners of socket units.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use sockmgr_engine::{Connection, Event, FdId, Port};
use sockmgr_sys::listener::{self, ListenAddress, Listener, ListenerSpec, SocketKind};
use sockmgr_sys::options::{Side, SocketOptions};
use sockmgr_sys::poll::{Interest, Poll};
use sockmgr_sys::{accept, queue, user};
use sockmgr_unit::section::SocketSection;
use sockmgr_unit::{BindIpv6Only, Listen, ListenKind, UnitName};

use super::descriptors::held_name;
use super::{Driver, limits, steering};
use crate::protocol::{ToKeeper, ToManager};

/// How long the keeper is given to close something.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

impl Driver {
    /// Opens all listeners of a socket unit, or none.
    pub(super) fn open(&mut self, socket: &UnitName, ports: &[Port]) -> Result<(), String> {
        let view = self.engine.unit(socket).ok_or("the unit is gone")?;
        let unit = view.unit.clone();
        let section = unit.socket().ok_or("it is not a socket unit")?;
        self.await_releases();
        let mut opened = Vec::with_capacity(ports.len());
        for port in ports {
            let listener = open_port(section, port)?;
            for warning in &listener.warnings {
                tracing::warn!(unit = %socket, "{}", chain(warning));
            }
            for (option, error) in socket_options(section).apply(listener.fd.as_fd(), Side::Listener) {
                tracing::warn!(unit = %socket, "{option} has no effect: {error}");
            }
            give(section, &listener)?;
            if port.slot == Some(0) {
                // Before the other slots exist: they must not get traffic until they are listed.
                steering::close_all_but_first(listener.fd.as_fd())?;
            }
            opened.push((port.fd, listener));
        }
        limits::check(socket, section, &opened);
        self.keep(opened).map_err(|error| format!("cannot keep its listeners: {error}"))?;
        self.begin_steering(socket, section, ports);
        ports.iter().filter(|port| port.slot.is_some()).for_each(|port| self.guard(port.fd));
        Ok(())
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
        let removes = self
            .engine
            .unit(socket)
            .and_then(|view| view.unit.socket().map(|section| section.remove_on_stop))
            .unwrap_or(false);
        let ids: Vec<FdId> = ports.iter().map(|port| port.fd).collect();
        self.release(&ids, removes);
        self.end_steering(socket);
    }

    /// Closes our copies and the keeper's, and removes the unix nodes that belong to them where asked to.
    pub(super) fn release(&mut self, ids: &[FdId], removes_nodes: bool) {
        let mut names = Vec::new();
        for id in ids {
            self.forget_listener(*id);
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

    pub(super) fn watch(&mut self, id: FdId) {
        let Some(fd) = self.descriptors.get(id) else { return };
        if let Err(error) = self.poll.set(fd, id.0, Interest::Readable) {
            tracing::error!("cannot watch listener {id}: {}", chain(&error));
        }
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
        let queued = match self.descriptors.get(id).map(queue::level) {
            Some(Ok(level)) => level.map(|level| level.used),
            Some(Err(error)) => {
                tracing::warn!("cannot ask for the queue of listener {id}: {}", chain(&error));
                None
            }
            None => None,
        };
        Event::Measured { fd: id, queued }
    }

    pub(super) fn flush_queue(&mut self, id: FdId) {
        if let Some(Err(error)) = self.descriptors.get(id).map(queue::flush) {
            tracing::warn!("cannot empty the queue of listener {id}: {}", chain(&error));
        }
    }

    /// Accepts up to `max` connections.
    pub(super) fn accept(&mut self, id: FdId, max: u32) -> Event {
        let mut connections = Vec::new();
        let mut failure = None;
        for _ in 0..max {
            let Some(listener) = self.descriptors.get(id) else { break };
            match accept::accept(listener) {
                Ok(accept::Accepted::Connection(fd)) => connections.extend(self.admit(fd)),
                Ok(accept::Accepted::Nothing) => break,
                Err(error) => {
                    failure = Some(chain(&error));
                    break;
                }
            }
        }
        Event::Accepted { fd: id, connections, failure }
    }

    /// Takes an accepted connection into the table; `None` when the client has left already.
    fn admit(&mut self, fd: OwnedFd) -> Option<Connection> {
        let peer = peer_of(&fd)?;
        let id = self.engine.name_fd();
        self.descriptors.insert(id, fd, None);
        Some(Connection { fd: id, peer })
    }
}

fn open_port(section: &SocketSection, port: &Port) -> Result<Listener, String> {
    let listen = section.listen.get(port.line).ok_or("the Listen= line is gone")?;
    let spec = spec_for(section, listen, port.slot.is_some())?;
    if port.slot == Some(0) && !section.reuse_port {
        // The sockets of the group share the address with each other, not with whoever has it already.
        listener::check_unclaimed(&spec).map_err(|error| chain(&error))?;
    }
    listener::open(&spec).map_err(|error| chain(&error))
}

fn spec_for(section: &SocketSection, listen: &Listen, in_group: bool) -> Result<ListenerSpec, String> {
    let kind = match listen.kind {
        ListenKind::Stream => SocketKind::Stream,
        ListenKind::Datagram => SocketKind::Datagram,
        ListenKind::SequentialPacket => SocketKind::SeqPacket,
    };
    let mut spec = ListenerSpec::new(kind, address_of(listen));
    spec.backlog = section.backlog;
    spec.reuse_port = section.reuse_port || in_group;
    spec.bind_ipv6_only = match section.bind_ipv6_only {
        BindIpv6Only::Default => listener::BindIpv6Only::Default,
        BindIpv6Only::Both => listener::BindIpv6Only::Both,
        BindIpv6Only::Ipv6Only => listener::BindIpv6Only::Ipv6Only,
    };
    spec.mode = section.socket_mode.0;
    spec.directory_mode = section.directory_mode.0;
    Ok(spec)
}

fn address_of(listen: &Listen) -> ListenAddress {
    match &listen.address {
        sockmgr_unit::ListenAddress::Inet(address) => ListenAddress::Inet(*address),
        sockmgr_unit::ListenAddress::Scoped(scoped) => ListenAddress::Inet(scoped.address.into()),
        sockmgr_unit::ListenAddress::AnyPort(port) => ListenAddress::Inet(listener::any_address(*port)),
        sockmgr_unit::ListenAddress::Unix(path) => ListenAddress::UnixPath(path.to_string().into()),
        sockmgr_unit::ListenAddress::Abstract(name) => ListenAddress::UnixAbstract(name.to_vec()),
    }
}

/// Gives the node of a listener to the owner that the unit names.
fn give(section: &SocketSection, listener: &Listener) -> Result<(), String> {
    let Some(node) = &listener.node else { return Ok(()) };
    let (uid, gid) = owner_of(section)?;
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    node.handle(listener.fd.as_fd())
        .and_then(|handle| listener::give(handle.as_fd(), uid, gid))
        .map_err(|error| chain(&error))
}

/// `SocketUser=` and `SocketGroup=` as numbers; a user alone brings its primary group.
fn owner_of(section: &SocketSection) -> Result<(Option<u32>, Option<u32>), String> {
    let mut owner = (None, None);
    if let Some(name) = &section.socket_user {
        let user = user::find_user(name.as_str()).map_err(|error| chain(&error))?;
        let user = user.ok_or_else(|| format!("SocketUser={name}: there is no such user"))?;
        owner = (Some(user.uid), Some(user.gid));
    }
    if let Some(name) = &section.socket_group {
        let group = user::find_group(name.as_str()).map_err(|error| chain(&error))?;
        owner.1 = Some(group.ok_or_else(|| format!("SocketGroup={name}: there is no such group"))?);
    }
    Ok(owner)
}

fn socket_options(section: &SocketSection) -> SocketOptions {
    SocketOptions { keep_alive: section.keep_alive, no_delay: section.no_delay, ..SocketOptions::default() }
}

fn peer_of(fd: &OwnedFd) -> Option<sockmgr_engine::Peer> {
    match accept::peer(fd.as_fd()).ok()? {
        accept::Peer::Inet(remote) => match listener::local_address(fd.as_fd()).ok()? {
            ListenAddress::Inet(local) => Some(sockmgr_engine::Peer::Inet { local, remote }),
            ListenAddress::UnixPath(_)
            | ListenAddress::UnixAbstract(_)
            | ListenAddress::Vsock { .. }
            | ListenAddress::Netlink { .. } => None,
        },
        accept::Peer::Unix { credentials, .. } => {
            let credentials = credentials
                .and_then(|peer| Some((u32::try_from(peer.pid).ok().filter(|pid| *pid > 0)?, peer.uid)));
            Some(sockmgr_engine::Peer::Unix { credentials })
        }
        accept::Peer::Vsock { .. } | accept::Peer::Other => {
            Some(sockmgr_engine::Peer::Unix { credentials: None })
        }
    }
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
