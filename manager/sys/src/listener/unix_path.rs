//! Binding a socket to a path: its parents, its permissions, its owner, and what was there before.
//!
//! One invariant: the node is never open to more than `SocketMode=` allows, not even for a moment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::socket::{UnixAddr, bind};
use nix::sys::stat::{Mode, UtimensatFlags, umask, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat};

use super::{ListenError, ListenerSpec, UnixNode};

/// The umask belongs to the whole process: one thread at a time changes it.
static UMASK: Mutex<()> = Mutex::new(());

/// Binds `fd` to `path` and gives the node mode and owner. Only a socket is ever replaced.
pub(super) fn bind_node(
    spec: &ListenerSpec,
    fd: BorrowedFd<'_>,
    path: &Path,
) -> Result<UnixNode, ListenError> {
    let failed = |step| move |source| ListenError::Step { step, address: spec.address.clone(), source };
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
    let node = File::from(open_node(path).map_err(failed("look at the path of"))?);
    let identity = node.metadata().map_err(failed("look at the path of"))?;
    let node_identity = UnixNode { path: path.into(), device: identity.dev(), inode: identity.ino() };
    if let Err(source) = set_owner(spec, &node) {
        // The node is ours and useless.
        let _ = super::remove(&node_identity);
        return Err(failed("set SocketUser= and SocketGroup= for")(source));
    }
    Ok(node_identity)
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
fn create_parents(path: &Path, mode: u32) {
    if let Some(parent) = path.parent() {
        let _ = with_umask(0, || DirBuilder::new().recursive(true).mode(mode).create(parent));
    }
}

/// The node itself, to be asked and given an owner whatever happens to the path.
fn open_node(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let node = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)?;
    if node.metadata()?.file_type().is_socket() {
        return Ok(node.into());
    }
    Err(io::Error::from_raw_os_error(libc::ENOTSOCK))
}

fn set_owner(spec: &ListenerSpec, node: &File) -> io::Result<()> {
    if spec.uid.is_none() && spec.gid.is_none() {
        return Ok(());
    }
    let (uid, gid) = (spec.uid.map(Uid::from_raw), spec.gid.map(Gid::from_raw));
    Ok(fchownat(node, "", uid, gid, AtFlags::AT_EMPTY_PATH)?)
}

/// A new modification time; its failure harms nobody.
pub(super) fn touch(path: &Path) {
    let now = TimeSpec::UTIME_NOW;
    let _ = utimensat(AT_FDCWD, path, &now, &now, UtimensatFlags::NoFollowSymlink);
}

fn with_umask<T>(mask: u32, body: impl FnOnce() -> T) -> T {
    let _alone = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = umask(Mode::from_bits_truncate(mask));
    let result = body();
    umask(before);
    result
}
