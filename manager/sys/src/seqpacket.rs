//! A pair of packet sockets that carry bytes and descriptors between two processes of ours.

use std::os::fd::{BorrowedFd, OwnedFd};

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
    unimplemented!()
}
