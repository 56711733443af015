//! What a listener has in a name space of the whole machine: a socket or a FIFO in the file system, a POSIX message queue. It outlives
//! the descriptor, so it is removed by name, and only while the name still means what was opened.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::message_queue;
use crate::error::{SysError, check};

/// A name, and the identity of what it meant when it was opened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A socket or a FIFO.
    Path {
        /// The path.
        path: PathBuf,
        /// Device number of the node.
        device: u64,
        /// Inode number of the node.
        inode: u64,
    },
    /// A message queue.
    Queue {
        /// Its name, with the leading `/`.
        name: String,
    },
}

impl Node {
    /// The node at `path`, which is `found`.
    pub(super) fn path(path: &Path, found: &fs::Metadata) -> Self {
        Self::Path { path: path.into(), device: found.dev(), inode: found.ino() }
    }

    /// The node itself, as a descriptor whose owner can be changed whatever happens to the name meanwhile.
    ///
    /// # Errors
    /// The cause; `ESTALE` when the name means something else by now.
    pub fn handle(&self, listener: BorrowedFd<'_>) -> Result<OwnedFd, SysError> {
        let failed = |source| SysError::new("find the node of a listener", source);
        match self {
            Self::Path { path, .. } => {
                let node = open_path(path).map_err(failed)?;
                let found = node.metadata().map_err(failed)?;
                if Self::path(path, &found) == *self {
                    Ok(node.into())
                } else {
                    Err(failed(io::Error::from_raw_os_error(libc::ESTALE)))
                }
            }
            // A queue's descriptor is its node.
            Self::Queue { .. } => listener.try_clone_to_owned().map_err(failed),
        }
    }
}

/// Opens a node without touching what it stands for.
pub(super) fn open_path(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)
}

/// Removes a node if its name still means what was opened. Answers whether it did.
///
/// # Errors
/// The cause when the node is ours and cannot be removed.
pub fn remove(node: &Node) -> Result<bool, SysError> {
    match node {
        Node::Path { path, .. } => {
            let is_ours = fs::symlink_metadata(path).is_ok_and(|found| Node::path(path, &found) == *node);
            if is_ours {
                fs::remove_file(path)
                    .map_err(|source| SysError::new("remove the node of a listener", source))?;
            }
            Ok(is_ours)
        }
        Node::Queue { name } => message_queue::unlink(name),
    }
}

/// Gives a node that [`Node::handle`] has opened to another owner; `None` leaves user or group (chown(2)).
///
/// # Errors
/// The cause.
pub fn give(node: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<(), SysError> {
    let empty = CString::default();
    let (uid, gid) = (uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX));
    // SAFETY: `empty` is a string that outlives the call.
    let result =
        unsafe { libc::fchownat(node.as_fd().as_raw_fd(), empty.as_ptr(), uid, gid, libc::AT_EMPTY_PATH) };
    check("change the owner", result).map(drop)
}
