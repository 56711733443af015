//! A pair of packet sockets that carry bytes and descriptors between two processes of ours.
//!
//! What never lives here: what the packets mean. One invariant: no call blocks, and a peer that dies is an answer, not
//! an error.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::ancillary;
use crate::error::SysError;

/// The most descriptors one packet may carry (the kernel's `SCM_MAX_FD` is 253).
pub const FDS_MAX: usize = 250;

/// The longest packet, in bytes.
pub const PACKET_MAX: usize = 64 * 1024;

/// A connected pair, both ends close-on-exec and non-blocking.
///
/// # Errors
/// The cause.
pub fn pair() -> Result<(OwnedFd, OwnedFd), SysError> {
    ancillary::pair(libc::SOCK_SEQPACKET).map_err(|source| SysError::new("make a pair of sockets", source))
}

/// What became of a packet that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is under way, whole.
    Whole,
    /// There is no room now. When it is because too many descriptors are under way (`ETOOMANYREFS`) the socket may
    /// count as writable all the same: try again after a pause or when something comes back.
    Later,
    /// The peer has gone.
    Closed,
}

/// Sends one packet of 1 to [`PACKET_MAX`] bytes with at most [`FDS_MAX`] descriptors.
///
/// # Errors
/// The cause: `EMSGSIZE`, `EINVAL` for what can never be sent.
pub fn send<F: AsFd>(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[F]) -> Result<Sent, SysError> {
    loop {
        let Err(error) = ancillary::send(socket, bytes, fds) else {
            return Ok(Sent::Whole);
        };
        match error.raw_os_error().unwrap_or(0) {
            libc::EINTR => {}
            libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::ETOOMANYREFS => return Ok(Sent::Later),
            libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN => return Ok(Sent::Closed),
            _ => return Err(SysError::new("send a packet", error)),
        }
    }
}

/// What a try to receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A packet of this many bytes; descriptors that did not fit into our table are missing at the end.
    Packet(usize),
    /// None now.
    Nothing,
    /// The peer has gone, and everything it had sent has been received.
    Closed,
}

/// Takes one packet; its descriptors, close-on-exec, are added to `fds`.
///
/// # Errors
/// The cause; `EMSGSIZE` for a packet longer than the buffer.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<Received, SysError> {
    let failed = |source| SysError::new("receive a packet", source);
    loop {
        match ancillary::receive(socket, buffer, fds) {
            Ok(packet) if packet.truncated => {
                return Err(failed(io::Error::from_raw_os_error(libc::EMSGSIZE)));
            }
            Ok(packet) if packet.length == 0 => return Ok(Received::Closed),
            Ok(packet) => return Ok(Received::Packet(packet.length)),
            Err(error) => match error.raw_os_error().unwrap_or(0) {
                // A peer that dies with packets of ours unread makes the kernel say ECONNRESET, once; the packets
                // that it had sent are behind that.
                libc::EINTR | libc::ECONNRESET => {}
                libc::EAGAIN => return Ok(Received::Nothing),
                libc::ENOTCONN => return Ok(Received::Closed),
                _ => return Err(failed(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    fn no_fds() -> [OwnedFd; 0] {
        []
    }

    #[test]
    fn bytes_and_descriptors_arrive_together_and_close_on_exec() {
        let (a, b) = pair().unwrap();
        let file: OwnedFd = tempfile::tempfile().unwrap().into();
        let sent: Vec<BorrowedFd<'_>> = (0..FDS_MAX).map(|_| file.as_fd()).collect();
        assert_eq!(send(a.as_fd(), b"hello", &sent).unwrap(), Sent::Whole);
        let (mut buffer, mut fds) = ([0; 16], Vec::new());
        assert_eq!(receive(b.as_fd(), &mut buffer, &mut fds).unwrap(), Received::Packet(5));
        assert_eq!(fds.len(), FDS_MAX);
        for fd in &fds {
            // SAFETY: plain numbers.
            assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
        }
        assert_eq!(receive(b.as_fd(), &mut buffer, &mut fds).unwrap(), Received::Nothing);
    }

    #[test]
    fn a_full_socket_says_later_and_a_long_packet_fits() {
        let (a, _b) = pair().unwrap();
        let packet = vec![1; PACKET_MAX];
        assert_eq!(send(a.as_fd(), &packet, &no_fds()).unwrap(), Sent::Whole);
        let sent = (0..1000).find(|_| send(a.as_fd(), &packet, &no_fds()).unwrap() == Sent::Later);
        assert!(sent.is_some(), "the socket takes no end");
    }

    #[test]
    fn what_a_peer_said_before_it_died_is_not_lost() {
        let (a, b) = pair().unwrap();
        send(a.as_fd(), b"unread by b", &no_fds()).unwrap();
        send(b.as_fd(), b"last words", &no_fds()).unwrap();
        drop(b);
        let (mut buffer, mut fds) = ([0; 16], Vec::new());
        assert_eq!(receive(a.as_fd(), &mut buffer, &mut fds).unwrap(), Received::Packet(10));
        assert_eq!(&buffer[..10], b"last words");
        assert_eq!(receive(a.as_fd(), &mut buffer, &mut fds).unwrap(), Received::Closed);
        assert_eq!(send(a.as_fd(), b"x", &no_fds()).unwrap(), Sent::Closed);
    }

    #[test]
    fn a_packet_longer_than_the_buffer_is_an_error() {
        let (a, b) = pair().unwrap();
        send(a.as_fd(), b"0123456789", &no_fds()).unwrap();
        let error = receive(b.as_fd(), &mut [0; 4], &mut Vec::new()).unwrap_err();
        assert_eq!(error.errno(), libc::EMSGSIZE);
    }
}
