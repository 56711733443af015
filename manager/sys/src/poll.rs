//! A level-triggered epoll set whose members are named by numbers of the caller's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::error::SysError;

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
        unimplemented!()
    }

    /// Adds a member; `token` comes back in [`Ready`].
    ///
    /// # Errors
    /// The cause; `EEXIST` when it is a member already.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> Result<(), SysError> {
        unimplemented!("{fd:?} {token} {interest:?}")
    }

    /// Changes what a member is watched for, and its token.
    ///
    /// # Errors
    /// The cause.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> Result<(), SysError> {
        unimplemented!("{fd:?} {token} {interest:?}")
    }

    /// Removes a member. Needed before its descriptor is closed wherever somebody else holds the same open file.
    ///
    /// # Errors
    /// The cause; `ENOENT` when it is no member.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> Result<(), SysError> {
        unimplemented!("{fd:?}")
    }

    /// Waits for the first ready member, at most `timeout` (`None`: for ever), and fills `ready` with all that are
    /// (at most 256 a call). An interrupted wait leaves it empty.
    ///
    /// # Errors
    /// The cause.
    pub fn wait(&self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> Result<(), SysError> {
        unimplemented!("{ready:?} {timeout:?}")
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
