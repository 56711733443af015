//! Binding a socket to a path: its parents, its permissions, and what was there before.
//!
//! One invariant: the node is never open to more than `SocketMode=` allows, not even for a moment.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::fcntl::AT_FDCWD;
use nix::sys::socket::{UnixAddr, bind};
use nix::sys::stat::{Mode, UtimensatFlags, umask, utimensat};
use nix::sys::time::TimeSpec;

use super::node::open_path;
use super::{ListenError, ListenerSpec, Node};

/// The umask belongs to the whole process: one thread at a time changes it.
static UMASK: Mutex<()> = Mutex::new(());

/// Binds `fd` to `path` and gives the node its mode. Only a socket is ever replaced.
pub(super) fn bind_node(spec: &ListenerSpec, fd: BorrowedFd<'_>, path: &Path) -> Result<Node, ListenError> {
    let failed = |step| ListenError::step(step, &spec.address);
    let address = UnixAddr::new(path).map_err(|errno| failed("bind")(errno.into()))?;
    create_parents(path, spec.directory_mode);
    let bind_once =
        || with_umask(!spec.mode & 0o777, || bind(fd.as_raw_fd(), &address)).map_err(io::Error::from);
    let bound = match bind_once() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, failed("replace the socket at"))?;
            bind_once()
        }
        bound => bound,
    };
    bound.map_err(failed("bind"))?;
    let found = open_path(path).and_then(|node| node.metadata());
    match found {
        Ok(found) if found.file_type().is_socket() => Ok(Node::path(path, &found)),
        Ok(_) => Err(failed("look at the path of")(io::Error::from_raw_os_error(libc::ENOTSOCK))),
        Err(error) => Err(failed("look at the path of")(error)),
    }
}

/// Removes a socket that is in the way, and nothing else.
fn remove_stale(path: &Path, failed: impl Fn(io::Error) -> ListenError) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(ListenError::NotASocket { path: path.into() }),
        Ok(_) => fs::remove_file(path).map_err(failed),
        // Somebody else has removed it: all the better.
        Err(_) => Ok(()),
    }
}

/// Errors are left to `bind`, which then fails with the better message, as in systemd.
pub(super) fn create_parents(path: &Path, mode: u32) {
    if let Some(parent) = path.parent() {
        let _ = with_umask(0, || DirBuilder::new().recursive(true).mode(mode).create(parent));
    }
}

/// A new modification time; its failure harms nobody.
pub(super) fn touch(path: &Path) {
    let now = TimeSpec::UTIME_NOW;
    let _ = utimensat(AT_FDCWD, path, &now, &now, UtimensatFlags::NoFollowSymlink);
}

/// The file mode creation mask of this process.
pub(super) fn own_umask() -> u32 {
    let _alone = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    // It can only be read by setting it.
    let mask = umask(Mode::from_bits_truncate(0o077));
    umask(mask);
    mask.bits()
}

fn with_umask<T>(mask: u32, body: impl FnOnce() -> T) -> T {
    let _alone = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = umask(Mode::from_bits_truncate(mask));
    let result = body();
    umask(before);
    result
}
