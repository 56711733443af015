//! What a descriptor is, whatever it is: for descriptors that somebody else has made.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use crate::error::{SysError, check};

/// What fstat(2), fcntl(2) and `/proc` tell of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Type and permissions (inode(7)).
    pub mode: u32,
    /// Major and minor number of the device it is on.
    pub device: (u32, u32),
    /// Its number there.
    pub inode: u64,
    /// Of a device: its own numbers.
    pub own_device: (u32, u32),
    /// What `/proc/self/fd` calls it; empty where that is not mounted.
    pub path: String,
    /// Flags of its open file (open(2)).
    pub flags: u32,
}

/// What `fd` is.
///
/// # Errors
/// The cause.
pub fn facts_of(fd: BorrowedFd<'_>) -> Result<Facts, SysError> {
    let step = "look at a descriptor";
    let failed = |source: std::io::Error| SysError::new(step, source);
    let found = File::from(fd.try_clone_to_owned().map_err(failed)?).metadata().map_err(failed)?;
    // SAFETY: plain numbers.
    let flags = check(step, unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let numbers = |device: u64| (libc::major(device), libc::minor(device));
    Ok(Facts {
        mode: found.mode(),
        device: numbers(found.dev()),
        inode: found.ino(),
        own_device: numbers(found.rdev()),
        path: path.map(|path| path.display().to_string()).unwrap_or_default(),
        flags: flags.cast_unsigned(),
    })
}

/// Whether both descriptors are the same open file (kcmp(2)); false where the kernel does not tell.
#[must_use]
pub fn is_same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    const KCMP_FILE: libc::c_int = 0;
    let own = std::process::id();
    let (one, other) = (one.as_raw_fd(), other.as_raw_fd());
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_kcmp, own, own, KCMP_FILE, one, other) == 0 }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_same_open_file_is_recognized() {
        let (one, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        assert!(is_same_file(one.as_fd(), one.try_clone().unwrap().as_fd()));
        assert!(!is_same_file(one.as_fd(), other.as_fd()));
    }

    #[test]
    fn a_file_is_told_from_a_socket() {
        let file = tempfile::tempfile().unwrap();
        let facts = facts_of(file.as_fd()).unwrap();
        assert_eq!(facts.mode & libc::S_IFMT, libc::S_IFREG);
        assert_eq!(facts.inode, file.metadata().unwrap().ino());
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let facts = facts_of(socket.as_fd()).unwrap();
        assert_eq!(facts.mode & libc::S_IFMT, libc::S_IFSOCK);
        assert!(facts.path.starts_with("socket:["), "{}", facts.path);
    }
}
