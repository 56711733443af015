//! `Accept=yes`: connections that the manager accepts, one instance of the template for each, within the limits.
//!
//! Never here: accept(2) itself. Invariant: the descriptor of a connection is closed exactly once, when its instance has it or when
//! there will be none.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use sockmgr_unit::value::LimitAction;
use sockmgr_unit::{LoadState, UnitName};

use super::{SocketResult, SocketState};
use crate::engine::Engine;
use crate::event::{Action, Connection, Peer};
use crate::ids::FdId;
use crate::node::Machine;
use crate::service::{Served, Service};

/// Accepted at most so many connections before other work gets its turn.
const ACCEPT_BATCH: u32 = 64;

impl Engine {
    /// Traffic on a listener whose connections we accept. While an earlier wakeup is being dealt with this one is left alone: the
    /// listener is reported again for as long as something waits there.
    pub(super) fn accept(&mut self, name: &UnitName, fd: FdId) {
        if self.socket(name).is_accepting {
            return;
        }
        if let Err(why) = self.may_accept(name) {
            self.log_error(name, why);
            return self.limit_hit(name, SocketResult::Resources, None);
        }
        let (triggers, connections) = self.accept_room(name);
        if triggers == 0 {
            let rate = self.trigger_rate(name);
            let end = self.socket(name).trigger_limit.window_end(rate);
            return self.limit_hit(name, SocketResult::TriggerLimitHit, end);
        }
        // No room for a connection: unwatched already, this is a late wakeup.
        if connections > 0 {
            self.socket_mut(name).is_accepting = true;
            self.out.push(Action::Accept { fd, max: triggers.min(connections).min(ACCEPT_BATCH) });
        }
    }

    /// A connection is only taken out of the queue when there is something that can serve it.
    fn may_accept(&mut self, name: &UnitName) -> Result<(), String> {
        let template = self.triggered(name).ok_or("it has no template to start")?;
        let probe = template.with_instance("0").map_err(|error| error.to_string())?;
        let unit = self.library.unit(&probe);
        match unit.load_state {
            sockmgr_unit::LoadState::Loaded => Ok(()),
            state => Err(format!(
                "cannot start instances of {template}: {}",
                unit.load_error.as_deref().unwrap_or(state.as_str())
            )),
        }
    }

    /// How many triggers and how many connections the limits have room for. With `LimitAction=fail` that is not asked: systemd
    /// accepts, then refuses.
    fn accept_room(&mut self, name: &UnitName) -> (u32, u32) {
        if self.limit_action(name) == LimitAction::Fail {
            return (ACCEPT_BATCH, ACCEPT_BATCH);
        }
        let (now, rate, max) = (self.now, self.trigger_rate(name), self.section(name).max_connections);
        let socket = self.socket_mut(name);
        (socket.trigger_limit.room(now, rate), max.saturating_sub(socket.n_connections))
    }

    pub(crate) fn socket_accepted(
        &mut self,
        fd: FdId,
        connections: Vec<Connection>,
        failure: Option<String>,
    ) {
        let name = self.listeners.get(&fd).cloned();
        if let Some(name) = &name {
            self.socket_mut(name).is_accepting = false;
        }
        for connection in connections {
            match name.as_ref().filter(|name| self.socket(name).state == SocketState::Listening) {
                Some(name) => self.serve(name, connection),
                None => self.out.push(Action::CloseConnection { fd: connection.fd }),
            }
        }
        let Some(name) = name else { return };
        if let Some(why) = failure {
            self.log_error(&name, format!("cannot accept: {why}"));
            self.limit_hit(&name, SocketResult::Resources, None);
        }
        self.refresh_watches(&name);
    }

    /// Starts an instance for one accepted connection, within the limits.
    fn serve(&mut self, name: &UnitName, connection: Connection) {
        let fd = connection.fd;
        if self.is_stopping_by_job(name) || !self.admit_trigger(name) {
            return self.refuse(name, fd);
        }
        let (limit, open) = (self.section(name).max_connections, self.socket(name).n_connections);
        if open >= limit {
            self.log_warning(
                name,
                format!("too many connections ({open}), refusing one; see MaxConnections="),
            );
            return self.refuse(name, fd);
        }
        if let Some(source) = self.crowding(name, &connection.peer) {
            self.log_warning(
                name,
                format!("too many connections of {source}, refusing one; see MaxConnectionsPerSource="),
            );
            return self.refuse(name, fd);
        }
        if let Err(why) = self.start_connection(name, connection) {
            self.log_error(name, why);
            self.refuse(name, fd);
            self.limit_hit(name, SocketResult::Resources, None);
        }
    }

    /// The client, where it has as many connections as one may have.
    fn crowding(&self, name: &UnitName, peer: &Peer) -> Option<Source> {
        let limit = self.section(name).max_connections_per_source;
        let source = Source::of(peer)?;
        let open = self.socket(name).sources.get(&source).copied().unwrap_or(0);
        (limit > 0 && open >= limit).then_some(source)
    }

    /// A connection has come, or is gone.
    fn count_connection(&mut self, name: &UnitName, peer: &Peer, change: i32) {
        let is_limited = self.section(name).max_connections_per_source > 0;
        let socket = self.socket_mut(name);
        socket.n_connections = socket.n_connections.saturating_add_signed(change);
        let Some(source) = Source::of(peer) else { return };
        let known = socket.sources.get(&source).copied().unwrap_or(0).saturating_add_signed(change);
        if known == 0 {
            socket.sources.remove(&source);
        } else if is_limited || socket.sources.contains_key(&source) {
            socket.sources.insert(source, known);
        }
    }

    fn refuse(&mut self, name: &UnitName, fd: FdId) {
        self.socket_mut(name).n_refused += 1;
        self.out.push(Action::CloseConnection { fd });
    }

    fn start_connection(&mut self, name: &UnitName, connection: Connection) -> Result<(), String> {
        let instance = self.new_instance(name, &connection.peer)?;
        let unit = self.library.unit(&instance);
        if unit.service().is_none() || unit.load_state != LoadState::Loaded {
            return Err(format!(
                "{instance} cannot be used: {}",
                unit.load_error.as_deref().unwrap_or("not found")
            ));
        }
        self.count_connection(name, &connection.peer, 1);
        let served = Served { socket: name.clone(), fd: Some(connection.fd), peer: connection.peer };
        self.insert_unlinked(unit, Machine::Service(Box::new(Service::for_connection(served))));
        self.stir(name);
        if let Err(error) = self.start_for_traffic(&instance) {
            // Down and without a job it is removed; the connection is the caller's again.
            if let Some(served) = &mut self.service_mut(&instance).served {
                served.fd = None;
            }
            self.stir(&instance);
            return Err(format!("cannot start {instance}: {error}"));
        }
        Ok(())
    }

    /// The name for the next instance. One of an earlier manager may still have the number that ours believes to be free.
    fn new_instance(&mut self, name: &UnitName, peer: &Peer) -> Result<UnitName, String> {
        let template = self.triggered(name).ok_or("it has no template to start")?;
        loop {
            let number = self.socket(name).n_accepted;
            let instance =
                template.with_instance(&instance_name(number, peer)).map_err(|error| error.to_string())?;
            self.socket_mut(name).n_accepted += 1;
            if !self.nodes.contains_key(&instance) {
                return Ok(instance);
            }
        }
    }

    /// The instance that served this connection is gone.
    pub(crate) fn connection_ended(&mut self, served: &Served) {
        if let Some(fd) = served.fd {
            self.out.push(Action::CloseConnection { fd });
        }
        let name = &served.socket;
        if self.nodes.get(name).is_some_and(|node| node.socket().is_some()) {
            self.count_connection(name, &served.peer, -1);
            self.stir(name);
            self.refresh_watches(name);
        }
    }

    /// Counts the connections that are being served, after a restart of the manager: the counts were saved at different times.
    pub(crate) fn count_connections(&mut self) {
        let served: Vec<Served> =
            self.nodes.values().filter_map(|node| node.service()?.served.as_deref().cloned()).collect();
        for node in self.nodes.values_mut() {
            if let Machine::Socket(socket) = &mut node.machine {
                socket.n_connections = 0;
            }
        }
        for Served { socket, peer, .. } in served {
            if self.nodes.get(&socket).is_some_and(|node| node.socket().is_some()) {
                self.count_connection(&socket, &peer, 1);
            }
        }
    }

    /// The instance has its connection, or will never need it: close our copy.
    pub(crate) fn release_connection_fd(&mut self, name: &UnitName) {
        if let Some(fd) = self.service_mut(name).served.as_mut().and_then(|served| served.fd.take()) {
            self.out.push(Action::CloseConnection { fd });
        }
    }

    /// The accepted connection of a per-connection instance, while it is ours.
    pub(crate) fn served_fd(&self, name: &UnitName) -> Option<FdId> {
        self.nodes.get(name)?.service()?.served.as_ref()?.fd
    }
}

/// Whose connections `MaxConnectionsPerSource=` counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A host, whatever its ports.
    Address(IpAddr),
    /// A virtual machine.
    Machine(u32),
    /// A user of this one.
    User(u32),
}

impl Source {
    /// `None` where nobody can tell.
    fn of(peer: &Peer) -> Option<Self> {
        match peer {
            Peer::Inet { remote, .. } => Some(Self::Address(remote.ip().to_canonical())),
            Peer::Vsock { remote, .. } => Some(Self::Machine(remote.0)),
            Peer::Unix { credentials, .. } => credentials.map(|(_, uid)| Self::User(uid)),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Machine(cid) => write!(f, "vsock:{cid}"),
            Self::User(uid) => write!(f, "user {uid}"),
        }
    }
}

/// systemd.socket(5) leaves the format open; this is what systemd up to v256 uses. IPv4 in IPv6's clothes is shown as IPv4, where both
/// ends are.
fn instance_name(number: u32, peer: &Peer) -> String {
    match peer {
        Peer::Inet { local, remote } => {
            let text = |address: &SocketAddr| format!("{}:{}", address.ip().to_canonical(), address.port());
            format!("{number}-{}-{}", text(local), text(remote))
        }
        Peer::Vsock { local, remote } => {
            format!("{number}-{}:{}-{}:{}", local.0, local.1, remote.0, remote.1)
        }
        Peer::Unix { credentials: Some((pid, uid)), .. } => format!("{number}-{pid}-{uid}"),
        Peer::Unix { credentials: None, .. } => format!("{number}-unknown"),
    }
}
