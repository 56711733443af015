//! Where a manager lives on disk: the scope (system or user) and the runtime directory that follows from it.
//!
//! The daemon and the command both ask here, so that they always meet. Nothing here creates a file or opens a socket;
//! [`create_runtime_dir`] makes the one directory.
//!
//! Invariant: no path below a runtime directory is trusted before [`check_runtime_dir`] has accepted the directory.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Whose manager: the one of the machine or the one of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The manager of the machine, run by root (`--system`).
    System,
    /// The manager of one user (`--user`).
    User,
}

impl Scope {
    /// The scope when neither `--system` nor `--user` is given: root manages the machine, everybody else their own.
    pub fn default_for(uid: u32) -> Self {
        if uid == 0 { Self::System } else { Self::User }
    }

    /// The option that selects this scope.
    pub fn option(self) -> &'static str {
        match self {
            Self::System => "--system",
            Self::User => "--user",
        }
    }
}

/// Why a runtime directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeDirError {
    /// It cannot be looked at or made.
    #[error("cannot use the runtime directory {path}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something else has its name, for instance a symbolic link.
    #[error("the runtime directory {0} is not a directory")]
    NotADirectory(PathBuf),
    /// It belongs to somebody who is neither root nor the caller.
    #[error("the runtime directory {path} belongs to uid {owner}, not to uid {uid}; refusing to trust it")]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// The effective uid of the caller.
        uid: u32,
    },
    /// Group or others may write in it.
    #[error("others may write in the runtime directory {path} (mode {mode:04o}); `chmod 0711` it")]
    Mode {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// The runtime directory of a scope when `--runtime-dir` does not name one: `/run/sockmgr` for the system, and for a
/// user `$XDG_RUNTIME_DIR/sockmgr`, or `/tmp/sockmgr-UID` where that variable is unset, empty or relative.
pub fn runtime_dir(scope: Scope, uid: u32, xdg_runtime_dir: Option<&Path>) -> PathBuf {
    match (scope, xdg_runtime_dir) {
        (Scope::System, _) => PathBuf::from("/run/sockmgr"),
        (Scope::User, Some(dir)) if dir.is_absolute() => dir.join("sockmgr"),
        (Scope::User, _) => PathBuf::from(format!("/tmp/sockmgr-{uid}")),
    }
}

/// The socket on which the manager of `runtime_dir` speaks D-Bus, peer to peer.
pub fn control_socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("private")
}

/// Accepts `dir` if only root or `uid` can have put things into it.
///
/// # Errors
/// [`RuntimeDirError`] when it cannot be examined, is no real directory, is owned by somebody else or writable for others.
pub fn check_runtime_dir(dir: &Path, uid: u32) -> Result<(), RuntimeDirError> {
    let path = || dir.to_path_buf();
    let metadata =
        fs::symlink_metadata(dir).map_err(|source| RuntimeDirError::Io { path: path(), source })?;
    if !metadata.is_dir() {
        return Err(RuntimeDirError::NotADirectory(path()));
    }
    if metadata.uid() != 0 && metadata.uid() != uid {
        return Err(RuntimeDirError::Owner { path: path(), owner: metadata.uid(), uid });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(RuntimeDirError::Mode { path: path(), mode });
    }
    Ok(())
}

/// Makes `dir` with mode 0711 (parents too) if it is not there, then checks it. Others pass through, because services
/// that run as somebody else have to reach the notify socket; what is in it has modes of its own.
///
/// # Errors
/// As [`check_runtime_dir`], and when it cannot be made.
pub fn create_runtime_dir(dir: &Path, uid: u32) -> Result<(), RuntimeDirError> {
    if fs::symlink_metadata(dir).is_err() {
        let io = |source| RuntimeDirError::Io { path: dir.to_path_buf(), source };
        DirBuilder::new().recursive(true).mode(0o711).create(dir).map_err(io)?;
        // A umask may have taken something away.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).map_err(io)?;
    }
    check_runtime_dir(dir, uid)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn runtime_dir_follows_scope_and_environment() {
        let xdg = Path::new("/run/user/1000");
        let table = [
            (Scope::System, Some(xdg), "/run/sockmgr"),
            (Scope::User, Some(xdg), "/run/user/1000/sockmgr"),
            (Scope::User, Some(Path::new("")), "/tmp/sockmgr-1000"),
            (Scope::User, Some(Path::new("relative")), "/tmp/sockmgr-1000"),
            (Scope::User, None, "/tmp/sockmgr-1000"),
        ];
        for (scope, xdg, expected) in table {
            assert_eq!(runtime_dir(scope, 1000, xdg), Path::new(expected), "{scope:?} {xdg:?}");
        }
    }

    #[test]
    fn a_directory_others_control_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let me = fs::metadata(temp.path()).unwrap().uid();
        let dir = temp.path().join("a/b");
        create_runtime_dir(&dir, me).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o711);

        let link = temp.path().join("link");
        symlink(&dir, &link).unwrap();
        assert!(matches!(check_runtime_dir(&link, me), Err(RuntimeDirError::NotADirectory(_))));

        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(check_runtime_dir(&dir, me), Err(RuntimeDirError::Mode { mode: 0o777, .. })));
        assert!(matches!(check_runtime_dir(&dir.join("none"), me), Err(RuntimeDirError::Io { .. })));
    }
}
