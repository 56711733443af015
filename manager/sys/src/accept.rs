//! Accepting a connection, and who is at its other end.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::error::SysError;

/// What one call of [`accept`] brought.
#[derive(Debug)]
pub enum Accepted {
    /// A connection: close-on-exec and non-blocking.
    Connection(OwnedFd),
    /// Nothing now: the queue is empty, or the client left before it was served.
    Nothing,
}

/// Takes one connection from the queue. The listener must be non-blocking.
///
/// # Errors
/// What is wrong with this machine or the listener (`EMFILE`, `EINVAL`); a client's bad luck is [`Accepted::Nothing`].
pub fn accept(listener: BorrowedFd<'_>) -> Result<Accepted, SysError> {
    unimplemented!("{listener:?}")
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An internet address; an IPv4-mapped one is given as IPv4.
    Inet(SocketAddr),
    /// A process of this machine.
    Unix {
        /// The name it is bound to: a path, or `@` and an abstract name; `None` for most clients.
        name: Option<String>,
        /// Who it was when it connected.
        credentials: Option<PeerCredentials>,
    },
    /// Another family.
    Other,
}

/// Who a unix peer was when it connected (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process id, 0 when it lives in a PID namespace that this process cannot see.
    pub pid: i32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The other end of `connection`.
///
/// # Errors
/// The cause; `ENOTCONN` when the peer has left already.
pub fn peer(connection: BorrowedFd<'_>) -> Result<Peer, SysError> {
    unimplemented!("{connection:?}")
}

/// `SO_PEERCRED` of a connected unix socket.
///
/// # Errors
/// The cause.
pub fn peer_credentials(connection: BorrowedFd<'_>) -> Result<PeerCredentials, SysError> {
    unimplemented!("{connection:?}")
}

/// The kernel's number of this socket, used for no other one (`SO_COOKIE`).
///
/// # Errors
/// The cause.
pub fn cookie(socket: BorrowedFd<'_>) -> Result<u64, SysError> {
    unimplemented!("{socket:?}")
}
