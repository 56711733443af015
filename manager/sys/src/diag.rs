//! Connections of a listener, counted by the kernel (sock_diag(7)): for servers that tell nobody whom they serve.
//!
//! What never lives here: what a count means. One invariant: asking needs no privilege and changes nothing. It makes the kernel
//! walk its table of connections, which takes microseconds on most hosts and milliseconds on one with very many: not something
//! to do for each connection.

mod netlink;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use crate::error::SysError;
use crate::listener::{self, ListenAddress};
use crate::{netns, sockopt};
use netlink::{Message, u32_at};

/// Connections whose own end has the address of a listener. The kernel does not tell through which one of a group they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Accepted, and open at both ends or closed by the client alone: somebody may be at work for it.
    pub open: u32,
    /// In the queue of a listener. AF_UNIX: of this listener.
    pub waiting: u32,
    /// TCP: half open, the handshake has yet to be completed.
    pub half_open: u32,
}

/// The connections of a listener; `None` for sockets without connections (datagrams), and for families that are not counted (vsock).
///
/// A TCP listener of all addresses counts every connection of its port, and one of `0.0.0.0` those over IPv4.
///
/// # Errors
/// The cause; `ENOENT` where the kernel has no `tcp_diag` or `unix_diag`.
pub fn connections(listener: BorrowedFd<'_>) -> Result<Option<Connections>, SysError> {
    let listens = sockopt::get_int(listener, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)
        .map_err(|source| SysError::new("ask whether the socket listens", source))?;
    if listens == 0 {
        return Ok(None);
    }
    netns::within(listener, || match listener::local_address(listener)? {
        ListenAddress::Inet(address) => tcp(address).map(Some),
        ListenAddress::UnixPath(_) | ListenAddress::UnixAbstract(_) => unix(listener).map(Some),
        ListenAddress::Vsock { .. } | ListenAddress::Netlink { .. } => Ok(None),
    })
}

/// States of a TCP connection (net/tcp_states.h); AF_UNIX uses two of them.
const ESTABLISHED: u8 = 1;
const SYN_RECV: u8 = 3;
const CLOSE_WAIT: u8 = 8;
const LISTEN: u8 = 10;

/// `struct inet_diag_msg` (linux/inet_diag.h): state, the address of our end, and the inode, which a connection has once it is
/// accepted.
const TCP_STATE: usize = 1;
const TCP_SOURCE: usize = 8;
const TCP_INODE: usize = 68;

fn tcp(address: SocketAddr) -> Result<Connections, SysError> {
    let mut count = Connections::default();
    netlink::dump(&tcp_request(address), |message: Message<'_>| {
        let [Some(state), Some(inode)] =
            [message.get(TCP_STATE).map(u32::from), u32_at(message.body, TCP_INODE)]
        else {
            return;
        };
        if !address.ip().is_unspecified() && source(message.body, address.ip()) != Some(address.ip()) {
            return;
        }
        match (state as u8, inode) {
            (SYN_RECV, _) => count.half_open += 1,
            (_, 0) => count.waiting += 1,
            (_, _) => count.open += 1,
        }
    })?;
    Ok(count)
}

/// Our end of the connection, in the family of `like`.
fn source(body: &[u8], like: IpAddr) -> Option<IpAddr> {
    let bytes: [u8; 16] = body.get(TCP_SOURCE..TCP_SOURCE + 16)?.try_into().ok()?;
    let [a, b, c, d, ..] = bytes;
    Some(if like.is_ipv4() { IpAddr::from([a, b, c, d]) } else { IpAddr::from(bytes) })
}

/// `struct inet_diag_req_v2`, and a program for the kernel that leaves out other ports.
fn tcp_request(address: SocketAddr) -> Vec<u8> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut request = vec![family as u8, libc::IPPROTO_TCP as u8, 0, 0];
    request.extend(states(&[ESTABLISHED, SYN_RECV, CLOSE_WAIT]));
    request.extend([0; 48]);
    netlink::push_attribute(&mut request, INET_DIAG_REQ_BYTECODE, &port_filter(address.port()));
    request
}

const INET_DIAG_REQ_BYTECODE: u16 = 1;
/// Own port at least, own port at most (`INET_DIAG_BC_S_GE` and `INET_DIAG_BC_S_LE`): all kernels know these.
const OWN_PORT_BOUNDS: [u8; 2] = [2, 3];

/// Two steps of two words: a code, how far to go if it holds, how far if not (past the end: the connection is left out); then the
/// port in the place of the last.
fn port_filter(port: u16) -> Vec<u8> {
    const STEP: u8 = 8;
    let mut filter = Vec::new();
    for (code, to_the_end) in OWN_PORT_BOUNDS.into_iter().zip([2 * STEP, STEP]) {
        filter.extend([code, STEP]);
        filter.extend(u16::from(to_the_end + 4).to_ne_bytes());
        filter.extend([0, 0]);
        filter.extend(port.to_ne_bytes());
    }
    filter
}

fn states(states: &[u8]) -> [u8; 4] {
    states.iter().fold(0u32, |mask, state| mask | 1 << state).to_ne_bytes()
}

/// `struct unix_diag_msg` (linux/unix_diag.h).
const UNIX_STATE: usize = 2;
const UNIX_INODE: usize = 4;
const UNIX_HEADER: usize = 16;
/// Attributes: name, node in the file system (for paths), queue.
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;
const UNIX_DIAG_RQLEN: u16 = 4;
/// `UDIAG_SHOW_NAME`, `UDIAG_SHOW_VFS` and `UDIAG_SHOW_RQLEN`.
const SHOWN: u32 = 0x01 | 0x02 | 0x10;

/// An accepted connection has the name and the node of its listener.
fn unix(listener: BorrowedFd<'_>) -> Result<Connections, SysError> {
    let own_inode = socket_inode(listener)?;
    let mut bound = Vec::new();
    netlink::dump(&unix_request(), |message| bound.extend(UnixSocket::read(&message)))?;
    let Some(own) = bound.iter().find(|socket| socket.inode == own_inode) else {
        return Ok(Connections::default());
    };
    let is_ours = |socket: &&UnixSocket| socket.state == ESTABLISHED && socket.bound_to == own.bound_to;
    let open = u32::try_from(bound.iter().filter(is_ours).count()).unwrap_or(u32::MAX);
    Ok(Connections { open, waiting: own.queued, half_open: 0 })
}

/// `struct unix_diag_req`.
fn unix_request() -> Vec<u8> {
    let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
    request.extend(states(&[ESTABLISHED, LISTEN]));
    request.extend(0u32.to_ne_bytes());
    request.extend(SHOWN.to_ne_bytes());
    request.extend([0; 8]);
    request
}

struct UnixSocket {
    state: u8,
    inode: u32,
    /// Name, and node for paths.
    bound_to: (Vec<u8>, Vec<u8>),
    queued: u32,
}

impl UnixSocket {
    /// `None` for one without a name.
    fn read(message: &Message<'_>) -> Option<Self> {
        let attribute = |kind| netlink::attribute(message.body.get(UNIX_HEADER..)?, kind);
        Some(Self {
            state: message.get(UNIX_STATE)?,
            inode: u32_at(message.body, UNIX_INODE)?,
            bound_to: (
                attribute(UNIX_DIAG_NAME)?.to_vec(),
                attribute(UNIX_DIAG_VFS).unwrap_or_default().to_vec(),
            ),
            queued: attribute(UNIX_DIAG_RQLEN).and_then(|queue| u32_at(queue, 0)).unwrap_or(0),
        })
    }
}

/// The number by which sock_diag knows a socket.
fn socket_inode(fd: BorrowedFd<'_>) -> Result<u32, SysError> {
    let failed = |errno| SysError::new("ask for the socket's inode", errno);
    let inode = nix::sys::stat::fstat(fd).map_err(failed)?.st_ino;
    // The kernel's message has 32 bits for it.
    Ok(inode as u32)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};

    use super::*;
    use crate::wait::until;

    fn count(listener: &impl AsFd) -> Connections {
        connections(listener.as_fd()).unwrap().unwrap()
    }

    #[test]
    fn tcp_connections_are_counted_by_what_they_wait_for() {
        for bound in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let port = listener.local_addr().unwrap().port();
            let ip = if bound.contains("::1") { "::1" } else { "127.0.0.1" };
            let bystander = TcpListener::bind((ip, 0)).unwrap();
            let _other = TcpStream::connect(bystander.local_addr().unwrap()).unwrap();
            until(&Connections::default(), || count(&listener));
            let clients: Vec<_> = (0..5).map(|_| TcpStream::connect((ip, port)).unwrap()).collect();
            until(&Connections { waiting: 5, ..Default::default() }, || count(&listener));
            let served: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();
            until(&Connections { open: 3, waiting: 2, half_open: 0 }, || count(&listener));
            drop(served);
            // What the server closed is over.
            until(&0, || count(&listener).open);
            drop(clients);
        }
    }

    #[test]
    fn a_client_that_only_listens_still_counts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _served = listener.accept().unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        until(&1, || count(&listener).open);
    }

    #[test]
    fn addresses_of_one_port_are_told_apart() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind(("127.0.0.2", port)).unwrap();
        let _client = TcpStream::connect(("127.0.0.2", port)).unwrap();
        until(&(0, 1), || (count(&first).waiting, count(&second).waiting));
    }

    #[test]
    fn unix_connections_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = UnixAddress::from_pathname(directory.path().join("a.sock")).unwrap();
        let name = UnixAddress::from_abstract_name(format!("sockmgr-diag-{}", std::process::id())).unwrap();
        for address in [path, name] {
            let listener = UnixListener::bind_addr(&address).unwrap();
            let _bystander = UnixStream::pair().unwrap();
            let _clients: Vec<_> = (0..4).map(|_| UnixStream::connect_addr(&address).unwrap()).collect();
            let _served: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();
            until(&Connections { open: 3, waiting: 1, half_open: 0 }, || count(&listener));
        }
    }

    #[test]
    fn datagrams_are_no_connections() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(connections(socket.as_fd()).unwrap(), None);
    }
}
