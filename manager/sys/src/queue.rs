//! What waits in a listening socket, and throwing it away.

use std::os::fd::BorrowedFd;

use crate::error::SysError;

/// How full a socket's queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLevel {
    /// TCP: connections that wait for `accept`. UDP: bytes of memory that unread datagrams take.
    pub used: u32,
    /// The most there can be, in the same unit.
    pub limit: u32,
    /// UDP: datagrams dropped since the socket was made; TCP: 0 (the kernel counts those per host).
    pub drops: u32,
}

/// The queue of a listening TCP socket or of a UDP socket; `None` for sockets whose queue the kernel does not tell
/// (AF_UNIX).
///
/// # Errors
/// The cause.
pub fn level(fd: BorrowedFd<'_>) -> Result<Option<QueueLevel>, SysError> {
    unimplemented!("{fd:?}")
}

/// Throws away what waits in the socket (`FlushPending=`): connections are accepted and closed, datagrams read.
/// Bounded at 1024; answers how many. The socket is non-blocking afterwards.
///
/// # Errors
/// The cause.
pub fn flush(fd: BorrowedFd<'_>) -> Result<usize, SysError> {
    unimplemented!("{fd:?}")
}
