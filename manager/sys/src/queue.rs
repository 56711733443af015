//! What waits in a listening socket, and throwing it away.
//!
//! What never lives here: when to do that. One invariant: asking changes nothing.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::accept::{self, Accepted};
use crate::error::{SysError, check, check_size};
use crate::{listener, sockopt};

/// The most that one [`flush`] throws away: a flood cannot keep the manager busy (systemd's limit, too).
const FLUSH_MAX: usize = 1024;

/// How full a socket's queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLevel {
    /// TCP: connections that wait for `accept`. UDP: bytes of memory that unread datagrams take.
    pub used: u32,
    /// The most there can be, in the same unit.
    pub limit: u32,
    /// What was dropped since the socket was made: datagrams, or first packets of connections, because the queue was full. Clients of
    /// TCP send again, the first time after a second.
    pub drops: u32,
}

/// The queue of a listening TCP socket or of a UDP socket; `None` for sockets whose queue the kernel does not tell
/// (AF_UNIX).
///
/// # Errors
/// The cause.
pub fn level(fd: BorrowedFd<'_>) -> Result<Option<QueueLevel>, SysError> {
    let failed = |source| SysError::new("ask for the queue's length", source);
    let ask = |name| sockopt::get_int(fd, libc::SOL_SOCKET, name).map_err(failed);
    match (ask(libc::SO_DOMAIN)?, ask(libc::SO_TYPE)?) {
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM) => tcp_level(fd).map(Some).map_err(failed),
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM) => memory_level(fd).map(Some).map_err(failed),
        _ => Ok(None),
    }
}

/// Whether anything waits in it, of whatever kind it is.
///
/// # Errors
/// The cause.
pub fn is_readable(fd: BorrowedFd<'_>) -> Result<bool, SysError> {
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry that outlives the call, which does not wait.
    let count = check("ask whether anything waits", unsafe { libc::poll(&raw mut asked, 1, 0) })?;
    Ok(count > 0 && asked.revents & libc::POLLIN != 0)
}

/// For a listener the kernel tells the accept queue in `tcpi_unacked` and its limit in `tcpi_sacked`
/// (`tcp_get_info` in net/ipv4/tcp.c). Half-open connections are not in it.
fn tcp_level(fd: BorrowedFd<'_>) -> io::Result<QueueLevel> {
    // struct tcp_info begins with 8 bytes, then 32-bit words: rto, ato, snd_mss, rcv_mss, unacked, sacked.
    let mut words = [0; 8];
    sockopt::get_words(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut words)?;
    Ok(QueueLevel { used: words[6], limit: words[7], drops: memory_level(fd)?.drops })
}

/// `SO_MEMINFO`: the words of `SK_MEMINFO_*` in linux/sock_diag.h.
fn memory_level(fd: BorrowedFd<'_>) -> io::Result<QueueLevel> {
    let mut words = [0; 9];
    sockopt::get_words(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut words)?;
    Ok(QueueLevel { used: words[0], limit: words[1], drops: words[8] })
}

/// Throws away what waits in a listener (`FlushPending=`): connections are accepted and closed, datagrams, messages and bytes read.
/// Bounded at 1024; answers how many. The descriptor is non-blocking afterwards.
///
/// # Errors
/// The cause.
pub fn flush(fd: BorrowedFd<'_>) -> Result<usize, SysError> {
    listener::set_nonblocking(fd, true)?;
    let discard = match sockopt::get_int(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN) {
        Ok(0) => discard_datagram,
        Ok(_) => discard_connection,
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => discard_other(fd),
        Err(source) => return Err(SysError::new("ask whether the socket listens", source)),
    };
    for count in 0..FLUSH_MAX {
        if !discard(fd)? {
            return Ok(count);
        }
    }
    Ok(FLUSH_MAX)
}

fn discard_connection(fd: BorrowedFd<'_>) -> Result<bool, SysError> {
    Ok(matches!(accept::accept(fd)?, Accepted::Connection(_)))
}

fn discard_datagram(fd: BorrowedFd<'_>) -> Result<bool, SysError> {
    let mut nothing = [0u8; 1];
    // SAFETY: one writable byte; what does not fit is thrown away, which is the purpose.
    let result = unsafe { libc::recv(fd.as_raw_fd(), nothing.as_mut_ptr().cast(), 1, libc::MSG_DONTWAIT) };
    match check_size("read a datagram", result) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.errno(), libc::EAGAIN | libc::EINTR) => Ok(false),
        // An ICMP answer to something sent from this socket: reported once, nothing is wrong with the socket.
        Err(error) if error.errno() == libc::ECONNREFUSED => Ok(true),
        Err(error) => Err(error),
    }
}

/// How to discard from something that is no socket: a message queue, which read(2) does not empty, or a file.
fn discard_other(fd: BorrowedFd<'_>) -> fn(BorrowedFd<'_>) -> Result<bool, SysError> {
    let mut attributes = MaybeUninit::<libc::mq_attr>::uninit();
    // SAFETY: room for the attributes that outlives the call.
    let is_queue = unsafe { libc::mq_getattr(fd.as_raw_fd(), attributes.as_mut_ptr()) } == 0;
    if is_queue { discard_message } else { discard_bytes }
}

fn discard_message(fd: BorrowedFd<'_>) -> Result<bool, SysError> {
    let mut attributes = MaybeUninit::<libc::mq_attr>::uninit();
    // SAFETY: room for the attributes that outlives the call.
    check("ask for the queue's attributes", unsafe {
        libc::mq_getattr(fd.as_raw_fd(), attributes.as_mut_ptr())
    })?;
    // SAFETY: the call has succeeded, so it has filled them in.
    let size = usize::try_from(unsafe { attributes.assume_init() }.mq_msgsize).unwrap_or(0);
    let mut message = vec![0u8; size];
    // SAFETY: `size` writable bytes; the priority is not asked for.
    let result =
        unsafe { libc::mq_receive(fd.as_raw_fd(), message.as_mut_ptr().cast(), size, std::ptr::null_mut()) };
    nothing_left(check_size("read a message", result).map(|_| true))
}

fn discard_bytes(fd: BorrowedFd<'_>) -> Result<bool, SysError> {
    let mut bytes = [0u8; 4096];
    // SAFETY: so many writable bytes.
    let result = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    nothing_left(check_size("read what waits", result).map(|count| count > 0))
}

fn nothing_left(result: Result<bool, SysError>) -> Result<bool, SysError> {
    match result {
        Err(error) if matches!(error.errno(), libc::EAGAIN | libc::EINTR) => Ok(false),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;

    use super::*;
    use crate::wait::until;

    #[test]
    fn waiting_connections_are_counted_and_flushed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let limit = level(listener.as_fd()).unwrap().unwrap().limit;
        assert!(limit > 0);
        let address = listener.local_addr().unwrap();
        let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        until(&Some(QueueLevel { used: 3, limit, drops: 0 }), || level(listener.as_fd()).unwrap());
        assert_eq!(flush(listener.as_fd()).unwrap(), 3);
        assert_eq!(flush(listener.as_fd()).unwrap(), 0);
        assert_eq!(level(listener.as_fd()).unwrap().unwrap().used, 0);
    }

    #[test]
    fn connections_that_find_the_queue_full_are_drops() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(1).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        // The kernel lets one more wait than it was told to.
        let _clients: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
        until(&Some(QueueLevel { used: 2, limit: 1, drops: 0 }), || level(listener.as_fd()).unwrap());
        let patience = std::time::Duration::from_millis(1);
        assert!(TcpStream::connect_timeout(&address, patience).is_err());
        until(&true, || level(listener.as_fd()).unwrap().unwrap().drops > 0);
    }

    #[test]
    fn waiting_datagrams_take_memory_and_are_flushed() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..5 {
            client.send_to(b"hello", socket.local_addr().unwrap()).unwrap();
        }
        let before = level(socket.as_fd()).unwrap().unwrap();
        assert!(before.used > 0 && before.used <= before.limit);
        assert_eq!(before.drops, 0);
        assert_eq!(flush(socket.as_fd()).unwrap(), 5);
        assert_eq!(level(socket.as_fd()).unwrap().unwrap().used, 0);
    }

    #[test]
    fn a_unix_socket_tells_no_level() {
        let (a, _b) = std::os::unix::net::UnixDatagram::pair().unwrap();
        assert_eq!(level(a.as_fd()).unwrap(), None);
    }
}
