//! A level-triggered epoll set whose members are named by numbers of the caller's.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use libc::{c_int, epoll_event};

use crate::error::{SysError, check};

/// The most members one call of [`Poll::wait`] reports; the rest is reported by the next one.
const BATCH: usize = 256;

/// The set. It is a descriptor itself, readable while a member is ready, so that another loop can watch it.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
}

/// What to wait for. Errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// There is something to read or to accept.
    Readable,
    /// There is room to write.
    Writable,
    /// Either.
    Both,
    /// Only errors and hang-ups.
    HangUp,
}

/// A member that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The number it was added with.
    pub token: u64,
    /// There is something to read or to accept.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// The peer is gone, or (listener) somebody shut it down.
    pub hang_up: bool,
    /// The socket has an error.
    pub error: bool,
}

impl Poll {
    /// An empty set.
    ///
    /// # Errors
    /// The cause.
    pub fn new() -> Result<Self, SysError> {
        // SAFETY: a plain number.
        let fd = check("make an epoll set", unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: just made, and owned by nobody else.
        Ok(Self { epoll: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Adds a member; `token` comes back in [`Ready`].
    ///
    /// # Errors
    /// The cause; `EEXIST` when it is a member already, `EPERM` for a regular file.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> Result<(), SysError> {
        self.control("add to an epoll set", libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes what a member is watched for, and its token.
    ///
    /// # Errors
    /// The cause; `ENOENT` when it is no member.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> Result<(), SysError> {
        self.control("change in an epoll set", libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Adds a member, or changes what it is watched for.
    ///
    /// # Errors
    /// The cause.
    pub fn set(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> Result<(), SysError> {
        match self.modify(fd, token, interest) {
            Err(error) if error.errno() == libc::ENOENT => self.add(fd, token, interest),
            result => result,
        }
    }

    /// Removes a member. Needed before its descriptor is closed wherever somebody else holds the same open file.
    ///
    /// # Errors
    /// The cause; `ENOENT` when it is no member.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> Result<(), SysError> {
        self.control("remove from an epoll set", libc::EPOLL_CTL_DEL, fd, 0, Interest::HangUp)
    }

    fn control(
        &self,
        step: &'static str,
        operation: c_int,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> Result<(), SysError> {
        let mut event = epoll_event { events: interest.mask().cast_unsigned(), u64: token };
        // SAFETY: `event` outlives the call, which only reads it.
        let result = unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd.as_raw_fd(), ptr::from_mut(&mut event))
        };
        check(step, result).map(drop)
    }

    /// Waits for the first ready member, at most `timeout` (`None`: for ever), and fills `ready` with all that are
    /// (at most 256 a call, the others are reported by the next one). An interrupted wait leaves it empty.
    ///
    /// # Errors
    /// The cause.
    pub fn wait(&self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> Result<(), SysError> {
        ready.clear();
        let mut events = [const { MaybeUninit::<epoll_event>::uninit() }; BATCH];
        let size = c_int::try_from(BATCH).expect("a small constant");
        // SAFETY: room for `size` events that outlives the call.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                events.as_mut_ptr().cast(),
                size,
                timeout.map_or(-1, whole_milliseconds),
            )
        };
        let count = match check("wait for an epoll set", count) {
            Err(error) if error.source.kind() == io::ErrorKind::Interrupted => return Ok(()),
            count => count?.unsigned_abs() as usize,
        };
        // SAFETY: the kernel has written the first `count` events.
        ready.extend(events[..count].iter().map(|event| Ready::from(unsafe { event.assume_init() })));
        Ok(())
    }
}

/// Rounded up: waking up early for a timer would only mean waiting again.
fn whole_milliseconds(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
}

impl Interest {
    fn mask(self) -> c_int {
        match self {
            Self::Readable => libc::EPOLLIN,
            Self::Writable => libc::EPOLLOUT,
            Self::Both => libc::EPOLLIN | libc::EPOLLOUT,
            Self::HangUp => 0,
        }
    }
}

impl From<epoll_event> for Ready {
    fn from(event: epoll_event) -> Self {
        let has = |mask: c_int| event.events & mask.cast_unsigned() != 0;
        Self {
            token: event.u64,
            readable: has(libc::EPOLLIN),
            writable: has(libc::EPOLLOUT),
            hang_up: has(libc::EPOLLHUP),
            error: has(libc::EPOLLERR),
        }
    }
}

impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl AsRawFd for Poll {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener};
    use std::os::unix::net::UnixStream;

    use super::*;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    fn tokens(poll: &Poll) -> Vec<u64> {
        let mut ready = Vec::new();
        poll.wait(&mut ready, NOW).unwrap();
        let mut tokens: Vec<u64> = ready.iter().map(|ready| ready.token).collect();
        tokens.sort_unstable();
        tokens
    }

    #[test]
    fn a_member_is_reported_as_long_as_it_is_ready() {
        let poll = Poll::new().unwrap();
        let (a, mut b) = UnixStream::pair().unwrap();
        poll.add(a.as_fd(), u64::MAX, Interest::Readable).unwrap();
        assert_eq!(tokens(&poll), []);
        b.write_all(b"x").unwrap();
        assert_eq!(tokens(&poll), [u64::MAX]);
        assert_eq!(tokens(&poll), [u64::MAX], "level-triggered");
        poll.modify(a.as_fd(), 7, Interest::Both).unwrap();
        assert_eq!(tokens(&poll), [7]);
        poll.remove(a.as_fd()).unwrap();
        assert_eq!(tokens(&poll), []);
        assert_eq!(poll.remove(a.as_fd()).unwrap_err().errno(), libc::ENOENT);
    }

    #[test]
    fn a_listener_that_somebody_shut_down_hangs_up() {
        let poll = Poll::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        poll.add(listener.as_fd(), 1, Interest::HangUp).unwrap();
        assert_eq!(tokens(&poll), []);
        // SAFETY: plain numbers.
        unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RD) };
        let mut ready = Vec::new();
        poll.wait(&mut ready, NOW).unwrap();
        assert!(ready[0].hang_up && !ready[0].readable);
    }

    #[test]
    fn the_set_is_readable_itself() {
        let (inner, outer) = (Poll::new().unwrap(), Poll::new().unwrap());
        let (a, b) = UnixStream::pair().unwrap();
        inner.add(a.as_fd(), 1, Interest::Readable).unwrap();
        outer.add(inner.as_fd(), 2, Interest::Readable).unwrap();
        assert_eq!(tokens(&outer), []);
        b.shutdown(Shutdown::Both).unwrap();
        assert_eq!(tokens(&outer), [2]);
    }

    #[test]
    fn more_members_than_one_call_reports_come_with_the_next() {
        let poll = Poll::new().unwrap();
        let pairs: Vec<_> = (0..BATCH + 10).map(|_| UnixStream::pair().unwrap()).collect();
        for (token, (a, _)) in (0..).zip(&pairs) {
            poll.add(a.as_fd(), token, Interest::Writable).unwrap();
        }
        let mut seen = tokens(&poll);
        assert_eq!(seen.len(), BATCH);
        seen.extend(tokens(&poll));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), pairs.len(), "nobody starves");
    }

    #[test]
    fn a_timeout_is_never_cut_short() {
        assert_eq!(whole_milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(whole_milliseconds(Duration::from_millis(5)), 5);
        assert_eq!(whole_milliseconds(Duration::MAX), c_int::MAX);
    }
}
