//! What a descriptor is, as far as adopting it depends on that.
//! Never looks at names or at the environment; the kernel alone is asked.
//! Invariant: two descriptors of one kind can be used as the same Rust type.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys::{self, SocketFacts};

/// What a descriptor is, from `SO_DOMAIN`, `SO_TYPE` and `SO_ACCEPTCONN` (socket(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A listening stream socket over IPv4 or IPv6.
    TcpListener,
    /// A stream socket over IPv4 or IPv6 that does not listen: a connection.
    TcpStream,
    /// A datagram socket over IPv4 or IPv6.
    UdpSocket,
    /// A listening unix stream socket.
    UnixListener,
    /// A unix stream socket that does not listen: a connection.
    UnixStream,
    /// A unix datagram socket.
    UnixDatagram,
    /// Any other socket; it can be taken as an `OwnedFd`.
    OtherSocket {
        /// The address family, an `AF_*` number.
        domain: i32,
        /// The type, a `SOCK_*` number.
        kind: i32,
        /// Whether it listens.
        listening: bool,
    },
    /// Not a socket: a file, a FIFO, a memfd; it can be taken as an `OwnedFd`.
    NotASocket,
}

impl Kind {
    /// Asks the kernel what `fd` is.
    ///
    /// # Errors
    /// Those of getsockopt(2), which an open descriptor gives no reason for.
    pub fn of(fd: impl AsFd) -> io::Result<Self> {
        Ok(sys::socket_facts(fd.as_fd())?.map_or(Self::NotASocket, Self::from_facts))
    }

    /// The kind of a socket.
    fn from_facts(facts: SocketFacts) -> Self {
        let SocketFacts { domain, kind, listening } = facts;
        match (domain, kind, listening) {
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, true) => Self::TcpListener,
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, false) => Self::TcpStream,
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM, _) => Self::UdpSocket,
            (libc::AF_UNIX, libc::SOCK_STREAM, true) => Self::UnixListener,
            (libc::AF_UNIX, libc::SOCK_STREAM, false) => Self::UnixStream,
            (libc::AF_UNIX, libc::SOCK_DGRAM, _) => Self::UnixDatagram,
            _ => Self::OtherSocket { domain, kind, listening },
        }
    }

    /// Whether `fd` can be used where `self` is wanted; a descriptor that cannot be asked cannot.
    pub(crate) fn fits(self, fd: BorrowedFd<'_>) -> bool {
        Self::of(fd).is_ok_and(|found| found == self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TcpListener => f.write_str("a TCP listener"),
            Self::TcpStream => f.write_str("a TCP connection"),
            Self::UdpSocket => f.write_str("a UDP socket"),
            Self::UnixListener => f.write_str("a unix stream listener"),
            Self::UnixStream => f.write_str("a unix stream connection"),
            Self::UnixDatagram => f.write_str("a unix datagram socket"),
            Self::OtherSocket { domain, kind, listening } => {
                let listening = if listening { "listening " } else { "" };
                write!(f, "a {listening}socket of family {domain} and type {}", type_name(kind))
            }
            Self::NotASocket => f.write_str("not a socket"),
        }
    }
}

/// The name of a `SOCK_*` number, or the number.
fn type_name(kind: i32) -> String {
    match kind {
        libc::SOCK_STREAM => "SOCK_STREAM".to_owned(),
        libc::SOCK_DGRAM => "SOCK_DGRAM".to_owned(),
        libc::SOCK_SEQPACKET => "SOCK_SEQPACKET".to_owned(),
        libc::SOCK_RAW => "SOCK_RAW".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

    #[test]
    fn every_kind_is_told_from_the_others() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listener_v6 = TcpListener::bind("[::1]:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let abstract_name = format!("sockmgr-client-kind-{}", std::process::id());
        let unix = UnixListener::bind_addr(&SocketAddr::from_abstract_name(abstract_name).unwrap()).unwrap();
        assert_eq!(Kind::of(&listener).unwrap(), Kind::TcpListener);
        assert_eq!(Kind::of(&listener_v6).unwrap(), Kind::TcpListener);
        assert_eq!(Kind::of(&stream).unwrap(), Kind::TcpStream);
        assert_eq!(Kind::of(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap(), Kind::UdpSocket);
        assert_eq!(Kind::of(&unix).unwrap(), Kind::UnixListener);
        assert_eq!(Kind::of(UnixStream::pair().unwrap().0).unwrap(), Kind::UnixStream);
        assert_eq!(Kind::of(UnixDatagram::unbound().unwrap()).unwrap(), Kind::UnixDatagram);
        assert_eq!(Kind::of(File::open("/dev/null").unwrap()).unwrap(), Kind::NotASocket);
    }

    #[test]
    fn other_sockets_are_described() {
        let other = SocketFacts { domain: libc::AF_UNIX, kind: libc::SOCK_SEQPACKET, listening: true };
        let expected = "a listening socket of family 1 and type SOCK_SEQPACKET";
        assert_eq!(Kind::from_facts(other).to_string(), expected);
    }
}
