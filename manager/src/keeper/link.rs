//! The link between keeper and manager: one packet socket, a queue in each direction.
//!
//! What never lives here: what messages mean. One invariant: no call blocks; what the other side is too slow to take
//! stays queued.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use sockmgr_sys::seqpacket::{self, Sent};
use sockmgr_sys::{SysError, accept, child, memfd};

use super::packet::{Inbox, MalformedPacket, Outbox, Received};
use crate::protocol::{Message, ToKeeper, ToManager};

/// The environment variable that tells a manager the number of its end of the link. Not for the services it starts.
pub const KEEPER_FD_VARIABLE: &str = "SOCKMGR_KEEPER_FD";

/// Why the link is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other side has ended.
    #[error("the other end of the link is gone")]
    Closed,
    /// A packet that this version does not understand.
    #[error(transparent)]
    Malformed(#[from] MalformedPacket),
    /// The socket failed.
    #[error("cannot use the link")]
    Io(#[from] SysError),
}

/// One end of the link, whose queue holds descriptors as `F`.
#[derive(Debug)]
pub(super) struct Link<F> {
    socket: OwnedFd,
    inbox: Inbox<OwnedFd>,
    outbox: Outbox<F>,
}

impl<F: AsFd> Link<F> {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, inbox: Inbox::new(), outbox: Outbox::new() }
    }

    pub(super) fn push<M: Message>(&mut self, message: &M, fds: Vec<F>) {
        self.outbox.push(message, fds);
    }

    /// Sends as much as the socket takes; answers whether that was all.
    pub(super) fn flush(&mut self) -> Result<bool, LinkError> {
        while let Some(packet) = self.outbox.front() {
            let fds = packet.fds.iter().map(AsFd::as_fd);
            let sent = if packet.is_oversize() {
                // No descriptor or no memory left is as good as no room in the socket.
                let Ok(file) = memfd::with_contents(&packet.bytes) else {
                    return Ok(false);
                };
                let fds: Vec<BorrowedFd<'_>> = std::iter::once(file.as_fd()).chain(fds).collect();
                seqpacket::send(self.socket.as_fd(), &packet.header_for_file(), &fds)?
            } else {
                seqpacket::send(self.socket.as_fd(), &packet.bytes, &fds.collect::<Vec<_>>())?
            };
            match sent {
                Sent::Whole => self.outbox.pop_front(),
                Sent::Later => return Ok(false),
                Sent::Closed => return Err(LinkError::Closed),
            }
        }
        Ok(true)
    }

    /// The next message; `None` when there is none now.
    pub(super) fn recv<M: Message>(&mut self) -> Result<Option<Received<M, OwnedFd>>, LinkError> {
        loop {
            if let Some(message) = self.inbox.next()? {
                return Ok(Some(message));
            }
            let mut fds = Vec::new();
            let length = match seqpacket::receive(self.socket.as_fd(), self.inbox.buffer(), &mut fds)? {
                seqpacket::Received::Packet(length) => length,
                seqpacket::Received::Nothing => return Ok(None),
                seqpacket::Received::Closed => return Err(LinkError::Closed),
            };
            if let Some(file) = self.inbox.take_packet(length, fds)? {
                self.inbox.take_file(memfd::contents(file)?);
            }
        }
    }
}

impl<F> AsFd for Link<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The keeper's end: it sends descriptors that it goes on holding.
pub(super) type ManagerLink = Link<Rc<OwnedFd>>;

/// The manager's end of the link to its keeper. Never blocks: what cannot be sent now stays queued.
#[derive(Debug)]
pub struct KeeperLink {
    link: Link<OwnedFd>,
}

impl KeeperLink {
    /// True when this process was started by a keeper, as its manager.
    #[must_use]
    pub fn is_present() -> bool {
        std::env::var_os(KEEPER_FD_VARIABLE).is_some()
    }

    /// Takes the link that the keeper gave to this process; works once. Call it before anything opens descriptors.
    ///
    /// # Errors
    /// `NotFound` when this process was not started by a keeper: no variable, or one that was meant for an ancestor.
    pub fn from_env() -> io::Result<Self> {
        let not_started =
            || io::Error::new(io::ErrorKind::NotFound, "this process was not started by a keeper");
        let number = std::env::var(KEEPER_FD_VARIABLE).ok().and_then(|number| number.parse().ok());
        let socket = child::adopt_inherited_fd(number.ok_or_else(not_started)?).map_err(|_| not_started())?;
        // The variable may have come down to a process that the keeper knows nothing of.
        let maker = accept::peer_credentials(socket.as_fd()).map_err(|_| not_started())?;
        if maker.pid != child::parent_pid() {
            return Err(not_started());
        }
        Ok(Self { link: Link::new(socket) })
    }

    /// Queues a message with its descriptors (`message.fd_count()` of them). Nothing is sent before
    /// [`KeeperLink::flush`], so the messages of one turn share packets.
    ///
    /// # Panics
    /// When there are not as many descriptors as the message says.
    pub fn push(&mut self, message: &ToKeeper, fds: Vec<OwnedFd>) {
        self.link.push(message, fds);
    }

    /// Sends what is queued, as far as the socket takes it; answers whether all is sent. If not, call again when
    /// the link is writable.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn flush(&mut self) -> Result<bool, LinkError> {
        self.link.flush()
    }

    /// The next message with its descriptors; `None` when there is none now. Call it until then: the messages of a packet
    /// that was read already do not make the link readable. A descriptor that got lost on the way,
    /// since this process has no room for it, is missing from the list.
    ///
    /// # Errors
    /// [`LinkError::Closed`] after the last message of a keeper that has ended.
    pub fn recv(&mut self) -> Result<Option<(ToManager, Vec<OwnedFd>)>, LinkError> {
        let received = self.link.recv()?;
        Ok(received.map(|(message, fds)| (message, fds.into_iter().flatten().collect())))
    }
}

impl AsFd for KeeperLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}
