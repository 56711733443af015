//! Accepting a connection, and who is at its other end.
//!
//! What never lives here: whether the connection is wanted. One invariant: a client's misfortune is never the listener's
//! error.

use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{io, ptr};

use nix::sys::socket::{SockaddrStorage, UnixAddr, getpeername};

use crate::error::SysError;
use crate::sockopt;

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
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the address is not asked for.
    let fd = unsafe { libc::accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags) };
    if fd >= 0 {
        // SAFETY: just made, and owned by nobody else.
        return Ok(Accepted::Connection(unsafe { OwnedFd::from_raw_fd(fd) }));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error().is_some_and(is_transient) {
        return Ok(Accepted::Nothing);
    }
    Err(SysError::new("accept a connection", error))
}

/// Errors that concern one client, not the listener (accept(2), "Error handling"; systemd's `ERRNO_IS_ACCEPT_AGAIN`).
fn is_transient(errno: i32) -> bool {
    matches!(
        errno,
        libc::EAGAIN
            | libc::EINTR
            | libc::EOPNOTSUPP
            | libc::ECONNABORTED
            | libc::ECONNREFUSED
            | libc::ECONNRESET
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENETDOWN
            | libc::ENETRESET
            | libc::ENETUNREACH
            | libc::ENONET
            | libc::ENOPROTOOPT
            | libc::ENOTCONN
            | libc::EPIPE
            | libc::EPROTO
            | libc::ESHUTDOWN
            | libc::ETIMEDOUT
    )
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
    /// A virtual machine, or its host (vsock(7)).
    Vsock {
        /// Which: `VMADDR_CID_HOST` is the host.
        cid: u32,
        /// Its port.
        port: u32,
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
    let address = getpeername::<SockaddrStorage>(connection.as_raw_fd())
        .map_err(|errno| SysError::new("ask for the peer's address", errno))?;
    if let Some(address) = inet_address(&address) {
        return Ok(Peer::Inet(address));
    }
    if let Some(vsock) = address.as_vsock_addr() {
        return Ok(Peer::Vsock { cid: vsock.cid(), port: vsock.port() });
    }
    let Some(unix) = address.as_unix_addr() else {
        return Ok(Peer::Other);
    };
    Ok(Peer::Unix { name: unix_name(unix), credentials: peer_credentials(connection).ok() })
}

/// The internet address in `storage`; IPv4 in IPv6's clothes is given as IPv4.
fn inet_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    let v6 = SocketAddrV6::from(*storage.as_sockaddr_in6()?);
    let unmapped = v6.ip().to_ipv4_mapped();
    Some(unmapped.map_or(SocketAddr::V6(v6), |ip| SocketAddr::from((ip, v6.port()))))
}

fn unix_name(address: &UnixAddr) -> Option<String> {
    if let Some(name) = address.as_abstract() {
        return Some(format!("@{}", String::from_utf8_lossy(name)));
    }
    address.path().map(|path| path.display().to_string())
}

/// `SO_PEERCRED` of a connected unix socket.
///
/// # Errors
/// The cause.
pub fn peer_credentials(connection: BorrowedFd<'_>) -> Result<PeerCredentials, SysError> {
    // struct ucred is three 32-bit numbers: pid, uid, gid (unix(7)).
    let mut words = [0; 3];
    sockopt::get_words(connection, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut words)
        .map_err(|source| SysError::new("ask for the peer's credentials", source))?;
    let [pid, uid, gid] = words;
    Ok(PeerCredentials { pid: pid.cast_signed(), uid, gid })
}

/// The kernel's number of this socket, used for no other one (`SO_COOKIE`).
///
/// # Errors
/// The cause.
pub fn cookie(socket: BorrowedFd<'_>) -> Result<u64, SysError> {
    let mut words = [0u32; 2];
    sockopt::get_words(socket, libc::SOL_SOCKET, libc::SO_COOKIE, &mut words)
        .map_err(|source| SysError::new("ask for the socket's cookie", source))?;
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&words[0].to_ne_bytes());
    bytes[4..].copy_from_slice(&words[1].to_ne_bytes());
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn connection(listener: BorrowedFd<'_>) -> OwnedFd {
        match accept(listener).unwrap() {
            Accepted::Connection(fd) => fd,
            Accepted::Nothing => panic!("a client is waiting"),
        }
    }

    #[test]
    fn a_tcp_peer_has_an_address_and_a_mapped_one_is_ipv4() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(matches!(accept(listener.as_fd()), Ok(Accepted::Nothing)));
        let port = listener.local_addr().unwrap().port();
        let clients = [TcpStream::connect(("127.0.0.1", port)), TcpStream::connect(("::1", port))];
        for client in clients.map(Result::unwrap) {
            let accepted = connection(listener.as_fd());
            assert_eq!(peer(accepted.as_fd()).unwrap(), Peer::Inet(client.local_addr().unwrap()));
            assert_ne!(cookie(accepted.as_fd()).unwrap(), cookie(client.as_fd()).unwrap());
        }
    }

    #[test]
    fn a_unix_peer_is_known_by_its_credentials() {
        let (a, _b) = UnixStream::pair().unwrap();
        let me = PeerCredentials {
            pid: std::process::id().cast_signed(),
            uid: crate::user::own_uid(),
            gid: crate::user::own_gid(),
        };
        assert_eq!(peer(a.as_fd()).unwrap(), Peer::Unix { name: None, credentials: Some(me) });
    }

    #[test]
    fn a_socket_that_does_not_listen_is_an_error() {
        let (a, _b) = UnixStream::pair().unwrap();
        assert_eq!(accept(a.as_fd()).unwrap_err().errno(), libc::EINVAL);
    }
}
