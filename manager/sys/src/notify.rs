//! Both ends of the readiness protocol of sd_notify(3): the socket services write to, and our own word to a supervisor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::error::SysError;

/// The longest message taken, in bytes; a longer one is refused whole, as systemd does (`NOTIFY_BUFFER_MAX`, `PIPE_BUF`).
pub const MESSAGE_MAX: usize = 4096;

/// The most descriptors one message may carry (`NOTIFY_FD_MAX` of systemd).
pub const FDS_MAX: usize = 768;

/// The socket that services are told by `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct NotifySocket {
    fd: OwnedFd,
}

/// One message of a service. Text and descriptors come from a process that may be hostile.
#[derive(Debug)]
pub struct Notification {
    /// Lines of `NAME=value`, as sent.
    pub text: Vec<u8>,
    /// Sender's process id, vouched for by the kernel.
    pub pid: i32,
    /// Sender's user id, vouched for by the kernel.
    pub uid: u32,
    /// Descriptors that came along (for `FDSTORE=1`, `BARRIER=1`); dropping closes them.
    pub fds: Vec<OwnedFd>,
}

impl NotifySocket {
    /// Binds a datagram socket at `path` (replacing a socket that is there), with mode 0777 so that services of any
    /// user reach it, with `SO_PASSCRED` and a receive buffer of 8 MiB where that is allowed.
    ///
    /// # Errors
    /// The cause; `EEXIST` when something else than a socket is at the path.
    pub fn bind(path: &Path) -> Result<Self, SysError> {
        unimplemented!("{path:?}")
    }

    /// Adopts a socket made by [`NotifySocket::bind`] in an earlier process.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Takes one message; `None` when there is none. Messages that are too long, cut off, or come without
    /// credentials are dropped, and their descriptors closed.
    ///
    /// # Errors
    /// The cause, when the socket itself is broken.
    pub fn receive(&self) -> Result<Option<Notification>, SysError> {
        unimplemented!()
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sends `message` to the supervisor of this process, named by `NOTIFY_SOCKET`; answers false when there is none.
///
/// # Errors
/// The cause, when there is one and it cannot be reached.
pub fn send_to_supervisor(message: &str) -> Result<bool, SysError> {
    unimplemented!("{message}")
}
