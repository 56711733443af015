//! `ListenFIFO=`: a named pipe that is ours.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::unix_path::{create_parents, own_umask};
use super::{ListenError, Listener, Node};
use crate::error::{SysError, check};
use crate::user;

/// What a FIFO is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FifoSpec {
    /// Its permissions, of which the umask takes some away (`SocketMode=`).
    pub mode: u32,
    /// Permissions of the parent directories that are missing (`DirectoryMode=`).
    pub directory_mode: u32,
    /// Room in bytes (`PipeSize=`).
    pub pipe_size: Option<u64>,
}

/// Opens the FIFO at `path`, which is made where it is missing. One that is there already must be as if we had made it.
///
/// # Errors
/// [`ListenError`] with the step.
pub fn open_fifo(path: &Path, spec: &FifoSpec) -> Result<Listener, ListenError> {
    let name = path.display();
    create_parents(path, spec.directory_mode);
    match mkfifo(path, Mode::from_bits_truncate(spec.mode)) {
        Ok(()) | Err(nix::Error::EEXIST) => {}
        Err(errno) => return Err(ListenError::step("make the FIFO", &name)(errno.into())),
    }
    // For writing as well, so that it never ends when the last writer leaves.
    let fifo = open_node(path, true).map_err(ListenError::step("open", &name))?;
    let found = fifo.metadata().map_err(ListenError::step("look at", &name))?;
    let mode = spec.mode & !own_umask();
    let is_fit = found.file_type().is_fifo()
        && found.mode() & 0o777 == mode & 0o777
        && (found.uid(), found.gid()) == (user::own_uid(), user::own_gid());
    if !is_fit {
        let wanted = format!("a FIFO of our own with mode {mode:04o}");
        return Err(ListenError::Unfit { address: name.to_string(), wanted });
    }
    let mut listener = Listener::new(OwnedFd::from(fifo), Some(Node::path(path, &found)));
    let resized = spec.pipe_size.map(|bytes| resize(&listener.fd, bytes));
    listener.warnings.extend(resized.and_then(Result::err));
    Ok(listener)
}

/// Opens a node for reading, without waiting and without following a link at its end (systemd's flags for these files).
pub(super) fn open_node(path: &Path, writable: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(writable)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW)
        .open(path)
}

fn resize(fifo: &OwnedFd, bytes: u64) -> Result<(), SysError> {
    let step = "set PipeSize= for";
    let bytes = libc::c_int::try_from(bytes)
        .map_err(|_| SysError::new(step, io::Error::from_raw_os_error(libc::ERANGE)))?;
    // SAFETY: plain numbers.
    check(step, unsafe { libc::fcntl(fifo.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) }).map(drop)
}
