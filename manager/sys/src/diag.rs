//! Connections of a listener, counted by the kernel (sock_diag(7)): for servers that tell nobody whom they serve.
//!
//! What never lives here: what a count means. One invariant: asking needs no privilege and changes nothing. It makes the kernel
//! walk its table of connections, which takes microseconds on most hosts and milliseconds on one with very many: not something
//! to do for each connection.

mod netlink;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::error::SysError;
use crate::listener::{self, ListenAddress};
use crate::{netns, queue, sockopt};
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
    if !listens(listener)? {
        return Ok(None);
    }
    netns::within(listener, || match listener::local_address(listener)? {
        ListenAddress::Inet(address) => tcp(address).map(Some),
        ListenAddress::UnixPath(_) | ListenAddress::UnixAbstract(_) => unix(listener).map(Some),
        ListenAddress::Vsock { .. } | ListenAddress::Netlink { .. } => Ok(None),
    })
}

/// How long the oldest of the connections has waited that nobody has accepted from a TCP listener, or from another one of its address:
/// in a group the kernel does not tell them apart. `None` where nobody waits, or for sockets that are not TCP.
///
/// # Errors
/// As [`connections`].
pub fn oldest_waiting(listener: BorrowedFd<'_>) -> Result<Option<Duration>, SysError> {
    if !listens(listener)? {
        return Ok(None);
    }
    netns::within(listener, || {
        let ListenAddress::Inet(address) = listener::local_address(listener)? else { return Ok(None) };
        let mut oldest = None;
        each_tcp(address, INFO, |state, inode, body| {
            if state != SYN_RECV && inode == 0 {
                oldest = oldest.max(age(body));
            }
        })?;
        Ok(oldest)
    })
}

fn listens(socket: BorrowedFd<'_>) -> Result<bool, SysError> {
    match sockopt::get_int(socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN) {
        Ok(flag) => Ok(flag != 0),
        // A FIFO, say.
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => Ok(false),
        Err(source) => Err(SysError::new("ask whether the socket listens", source)),
    }
}

/// `tcpi_last_data_sent` counts from the handshake where nothing was sent yet (`tcp_create_openreq_child` in
/// net/ipv4/tcp_minisocks.c); of an accepted one it would say something else.
fn age(body: &[u8]) -> Option<Duration> {
    let info = netlink::attribute(body.get(TCP_HEADER..)?, INET_DIAG_INFO)?;
    u32_at(info, LAST_DATA_SENT).map(|millis| Duration::from_millis(millis.into()))
}

/// How much use there is of a listener: its connections, whoever is on the way to one included, or 1 where something else than a
/// connection waits there. `None` where the kernel does not tell (vsock).
///
/// # Errors
/// As [`connections`].
pub fn in_use(listener: BorrowedFd<'_>) -> Result<Option<u32>, SysError> {
    if !listens(listener)? {
        return queue::is_readable(listener).map(|waits| Some(waits.into()));
    }
    let sum = |found: Connections| found.open.saturating_add(found.waiting).saturating_add(found.half_open);
    Ok(connections(listener)?.map(sum))
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
const TCP_HEADER: usize = 72;
/// The attribute with a `struct tcp_info` (linux/tcp.h), and one of its words: milliseconds.
const INET_DIAG_INFO: u16 = 2;
const LAST_DATA_SENT: usize = 44;
/// `idiag_ext`: which attributes are asked for.
const INFO: u8 = 1 << (INET_DIAG_INFO - 1);
const NOTHING: u8 = 0;

fn tcp(address: SocketAddr) -> Result<Connections, SysError> {
    let mut count = Connections::default();
    each_tcp(address, NOTHING, |state, inode, _| match (state, inode) {
        (SYN_RECV, _) => count.half_open += 1,
        (_, 0) => count.waiting += 1,
        (_, _) => count.open += 1,
    })?;
    Ok(count)
}

/// Calls `found` with state, inode and message of each connection whose own end is `address`.
fn each_tcp(
    address: SocketAddr,
    extension: u8,
    mut found: impl FnMut(u8, u32, &[u8]),
) -> Result<(), SysError> {
    netlink::dump(&tcp_request(address, extension), |message: Message<'_>| {
        let [Some(state), Some(inode)] =
            [message.get(TCP_STATE).map(u32::from), u32_at(message.body, TCP_INODE)]
        else {
            return;
        };
        if address.ip().is_unspecified() || source(message.body, address.ip()) == Some(address.ip()) {
            found(state as u8, inode, message.body);
        }
    })
}

/// Our end of the connection, in the family of `like`.
fn source(body: &[u8], like: IpAddr) -> Option<IpAddr> {
    let bytes: [u8; 16] = body.get(TCP_SOURCE..TCP_SOURCE + 16)?.try_into().ok()?;
    let [a, b, c, d, ..] = bytes;
    Some(if like.is_ipv4() { IpAddr::from([a, b, c, d]) } else { IpAddr::from(bytes) })
}

/// `struct inet_diag_req_v2`, and a program for the kernel that leaves out other ports.
fn tcp_request(address: SocketAddr, extension: u8) -> Vec<u8> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut request = vec![family as u8, libc::IPPROTO_TCP as u8, extension, 0];
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
    fn the_oldest_of_those_who_wait_is_known() {
        for bound in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let oldest = || oldest_waiting(listener.as_fd()).unwrap();
            assert_eq!(oldest(), None);
            let begin = std::time::Instant::now();
            let _first = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            until(&true, || oldest().is_some_and(|age| age >= Duration::from_millis(50)));
            assert!(oldest().unwrap() <= begin.elapsed() + Duration::from_millis(20), "{:?}", oldest());
            let _second = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert!(oldest().unwrap() >= Duration::from_millis(50));
            // What was accepted waits no more.
            let _served = [listener.accept().unwrap(), listener.accept().unwrap()];
            until(&None, oldest);
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
        assert_eq!(in_use(socket.as_fd()).unwrap(), Some(0));
        socket.send_to(b"", socket.local_addr().unwrap()).unwrap();
        until(&Some(1), || in_use(socket.as_fd()).unwrap());
    }
}
