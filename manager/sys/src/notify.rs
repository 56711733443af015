//! Both ends of the readiness protocol of sd_notify(3): the socket services write to, and our own word to a supervisor.
//!
//! What never lives here: what a message means, and whether its sender may say it. One invariant: pid and uid of a message
//! come from the kernel, never from the message.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use nix::sys::socket::{self as nix_socket, AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr};

use crate::ancillary;
use crate::error::SysError;
use crate::sockopt;

/// Room for a burst of services that become ready at once, in bytes (systemd's `NOTIFY_RCVBUF_SIZE`).
const RECEIVE_BUFFER: i32 = 8 * 1024 * 1024;

/// How many bad messages in a row one call of [`NotifySocket::receive`] drops: a flood of them cannot keep it busy.
const DROPPED_AT_ONCE: usize = 64;

/// The longest message taken, in bytes; a longer one is refused whole, as systemd does (`NOTIFY_BUFFER_MAX`, `PIPE_BUF`).
pub const MESSAGE_MAX: usize = 4096;

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
        remove_stale(path)?;
        let failed = |errno: nix::Error| SysError::new("bind the notify socket", errno);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = nix_socket::socket(AddressFamily::Unix, SockType::Datagram, flags, None).map_err(failed)?;
        nix_socket::bind(fd.as_raw_fd(), &UnixAddr::new(path).map_err(failed)?).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))
            .map_err(|source| SysError::new("open up the notify socket", source))?;
        sockopt::set_int(fd.as_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, 1)
            .map_err(|source| SysError::new("ask for credentials", source))?;
        if sockopt::set_int(fd.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER).is_err() {
            // Without privilege the kernel caps it, which is no error.
            let _ = sockopt::set_int(fd.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER);
        }
        Ok(Self { fd })
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
        for _ in 0..DROPPED_AT_ONCE {
            match self.receive_any() {
                Ok(Some(notification)) => return Ok(Some(notification)),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SysError::new("receive a notification", error)),
            }
        }
        Ok(None)
    }

    /// One message; `None` for a bad one.
    fn receive_any(&self) -> io::Result<Option<Notification>> {
        let mut buffer = [0; MESSAGE_MAX];
        let mut fds = Vec::new();
        let received = ancillary::receive(self.fd.as_fd(), &mut buffer, &mut fds)?;
        let text = &buffer[..received.length];
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        let credible = received.credentials.filter(|sender| sender.pid > 0);
        Ok(match credible {
            Some(sender) if !received.truncated && !text.contains(&0) => {
                Some(Notification { text: text.to_vec(), pid: sender.pid, uid: sender.uid, fds })
            }
            _ => None,
        })
    }
}

impl From<NotifySocket> for OwnedFd {
    fn from(socket: NotifySocket) -> Self {
        socket.fd
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Removes a socket that an earlier run has left at `path`.
fn remove_stale(path: &Path) -> Result<(), SysError> {
    let step = "replace the old notify socket";
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            fs::remove_file(path).map_err(|source| SysError::new(step, source))
        }
        Ok(_) => Err(SysError::new(step, io::Error::from_raw_os_error(libc::EEXIST))),
        Err(_) => Ok(()),
    }
}

/// Sends `message` to the supervisor of this process, named by `NOTIFY_SOCKET`; answers false when there is none.
/// Waits for nobody: a supervisor whose queue is full does not get it.
///
/// # Errors
/// The cause, when there is one and it cannot be reached; `EAFNOSUPPORT` for an address that is neither a path nor
/// abstract.
pub fn send_to_supervisor(message: &str) -> Result<bool, SysError> {
    std::env::var_os("NOTIFY_SOCKET").map_or(Ok(false), |address| send_to(&address, message).map(|()| true))
}

fn send_to(address: &OsStr, message: &str) -> Result<(), SysError> {
    let failed = |errno: nix::Error| SysError::new("notify the supervisor", errno);
    let target = match address.as_bytes() {
        [b'/', ..] => UnixAddr::new(Path::new(address)),
        [b'@', name @ ..] => UnixAddr::new_abstract(name),
        _ => Err(nix::Error::EAFNOSUPPORT),
    }
    .map_err(failed)?;
    let fd = nix_socket::socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(failed)?;
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    nix_socket::sendto(fd.as_raw_fd(), message.as_bytes(), &target, flags).map_err(failed).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn bound() -> (tempfile::TempDir, NotifySocket, UnixDatagram) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = NotifySocket::bind(&path).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.connect(path).unwrap();
        (directory, socket, client)
    }

    #[test]
    fn a_message_comes_with_its_sender_and_descriptors() {
        let (_directory, socket, client) = bound();
        let file: OwnedFd = tempfile::tempfile().unwrap().into();
        ancillary::send(client.as_fd(), b"FDSTORE=1\nFDNAME=x\n", &[file]).unwrap();
        let notification = socket.receive().unwrap().unwrap();
        assert_eq!(notification.text, b"FDSTORE=1\nFDNAME=x\n");
        assert_eq!(notification.pid, std::process::id().cast_signed());
        assert_eq!(notification.uid, crate::user::own_uid());
        assert_eq!(notification.fds.len(), 1);
        assert!(socket.receive().unwrap().is_none());
    }

    #[test]
    fn bad_messages_are_dropped_and_good_ones_behind_them_arrive() {
        let (_directory, socket, client) = bound();
        client.send(&[b'x'; MESSAGE_MAX + 1]).unwrap();
        client.send(b"READY=1\0X=2").unwrap();
        client.send(b"READY=1\0").unwrap();
        client.send(&[b'x'; MESSAGE_MAX]).unwrap();
        assert_eq!(socket.receive().unwrap().unwrap().text, b"READY=1");
        assert_eq!(socket.receive().unwrap().unwrap().text.len(), MESSAGE_MAX);
        assert!(socket.receive().unwrap().is_none());
    }

    #[test]
    fn an_old_socket_is_replaced_and_anything_else_is_not() {
        let (directory, socket, _client) = bound();
        drop(socket);
        let path = directory.path().join("notify");
        drop(NotifySocket::bind(&path).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert_eq!(NotifySocket::bind(&path).unwrap_err().errno(), libc::EEXIST);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn our_own_word_reaches_a_path_and_an_abstract_name() {
        let (directory, socket, _client) = bound();
        send_to(directory.path().join("notify").as_os_str(), "READY=1").unwrap();
        assert_eq!(socket.receive().unwrap().unwrap().text, b"READY=1");
        let nobody = OsStr::new("@sockmgr-test-nobody-listens-here");
        assert_eq!(send_to(nobody, "READY=1").unwrap_err().errno(), libc::ECONNREFUSED);
        assert_eq!(send_to(OsStr::new("vsock:1"), "x").unwrap_err().errno(), libc::EAFNOSUPPORT);
    }
}
