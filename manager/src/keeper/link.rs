//! The manager's end of the link to the keeper.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::protocol::{ToKeeper, ToManager};

/// The link to the keeper. Never blocks: what cannot be sent now stays queued.
#[derive(Debug)]
pub struct KeeperLink {
    fd: OwnedFd,
}

/// Why the link is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other side has ended.
    #[error("the other end of the link is gone")]
    Closed,
    /// A packet that this version does not understand.
    #[error("cannot understand a packet of the link: {0}")]
    Malformed(&'static str),
    /// The socket failed.
    #[error("cannot use the link")]
    Io(#[source] io::Error),
}

impl KeeperLink {
    /// True when this process was started by a keeper, as its manager.
    #[must_use]
    pub fn is_present() -> bool {
        unimplemented!()
    }

    /// Takes the link that the keeper gave to this process.
    ///
    /// # Errors
    /// `NotFound` when this process was not started by a keeper.
    pub fn from_env() -> io::Result<Self> {
        unimplemented!()
    }

    /// Queues a message with its descriptors (`message.fd_count()` of them). Nothing is sent before [`Self::flush`],
    /// so the messages of one turn share packets.
    pub fn push(&mut self, message: &ToKeeper, fds: Vec<OwnedFd>) {
        unimplemented!("{message:?} {fds:?}")
    }

    /// Sends what is queued, as far as the socket takes it; answers whether all is sent. If not, call again when
    /// the link is writable.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn flush(&mut self) -> Result<bool, LinkError> {
        unimplemented!()
    }

    /// The next message with its descriptors; `None` when there is none now. A descriptor that got lost on the way
    /// is missing from the list.
    ///
    /// # Errors
    /// [`LinkError::Closed`] after the last message of a keeper that has ended.
    pub fn recv(&mut self) -> Result<Option<(ToManager, Vec<OwnedFd>)>, LinkError> {
        unimplemented!()
    }
}

impl AsFd for KeeperLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
