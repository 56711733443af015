//! Carries a plan out.
//!
//! Never here: decisions. Invariant: every step happens in a directory that was opened without following links in what
//! lies below the two directories that may be written to, and names one entry of it.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::change::{Change, Refusal};
use super::plan::Plan;

impl Plan {
    /// Does what can be done; what the system refuses becomes a refusal in the list.
    #[must_use]
    pub fn perform(mut self) -> Self {
        for change in &mut self.changes {
            if let Err((path, error)) = perform(change, &self.written) {
                *change = Change::Refused(Refusal::Io { path, error: error.to_string() });
                self.has_failed = true;
            }
        }
        self
    }
}

fn perform(change: &Change, written: &[PathBuf]) -> Result<(), (PathBuf, io::Error)> {
    let (path, result) = match change {
        Change::Link { path, target, replaces } => (path, link(path, target, *replaces, written)),
        Change::Unlink(path) => (path, unlink(path, written)),
        Change::Masked(_)
        | Change::Dangling(_)
        | Change::MissingTarget { .. }
        | Change::AuxiliaryFailed(_)
        | Change::Refused(_) => return Ok(()),
    };
    result.map_err(|error| (path.clone(), error))
}

fn link(path: &Path, target: &Path, replaces: bool, written: &[PathBuf]) -> io::Result<()> {
    let place = Place::of(path, written)?;
    let directory = place.make()?;
    if !replaces {
        return Ok(symlinkat(target, &directory, place.name)?);
    }
    // There is one or the other at any moment.
    let interim = format!(".#{}", place.name.to_string_lossy());
    match unlinkat(&directory, interim.as_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    symlinkat(target, &directory, interim.as_str())?;
    Ok(renameat(&directory, interim.as_str(), &directory, place.name)?)
}

fn unlink(path: &Path, written: &[PathBuf]) -> io::Result<()> {
    let place = Place::of(path, written)?;
    let directory = place.open(false)?;
    let is_directory = is_directory(&directory, place.name)?;
    let flag = if is_directory { UnlinkatFlags::RemoveDir } else { UnlinkatFlags::NoRemoveDir };
    match unlinkat(&directory, place.name, flag) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    place.remove_if_empty();
    Ok(())
}

fn is_directory(directory: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(FileStat { st_mode, .. }) => Ok(st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// One entry of a directory that may be written to, or of a directory in that.
pub(super) struct Place<'a> {
    base: &'a Path,
    within: Option<&'a OsStr>,
    pub(super) name: &'a OsStr,
}

impl<'a> Place<'a> {
    pub(super) fn of(path: &'a Path, written: &'a [PathBuf]) -> io::Result<Self> {
        let place = written.iter().find_map(|base| {
            let parts: Vec<Component<'_>> = path.strip_prefix(base).ok()?.components().collect();
            match parts.as_slice() {
                [Component::Normal(name)] => Some(Self { base, within: None, name }),
                [Component::Normal(within), Component::Normal(name)] => {
                    Some(Self { base, within: Some(within), name })
                }
                _ => None,
            }
        });
        place.ok_or_else(|| io::Error::other("lies outside of the directories that may be written to"))
    }

    /// Its directory, made if it is not there.
    pub(super) fn make(&self) -> io::Result<OwnedFd> {
        DirBuilder::new().recursive(true).mode(0o755).create(self.base)?;
        self.open(true)
    }

    fn open(&self, make: bool) -> io::Result<OwnedFd> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let base = open(self.base, flags, Mode::empty())?;
        let Some(within) = self.within else { return Ok(base) };
        if make {
            make_directory(&base, within)?;
        }
        Ok(openat(&base, within, flags | OFlag::O_NOFOLLOW, Mode::empty())?)
    }

    /// A directory of dependencies without any is in the way; one with something else in it stays.
    fn remove_if_empty(&self) {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        if let (Some(within), Ok(base)) = (self.within, open(self.base, flags, Mode::empty())) {
            let _ = unlinkat(&base, within, UnlinkatFlags::RemoveDir);
        }
    }
}

fn make_directory<N: NixPath + ?Sized>(base: impl AsFd, name: &N) -> io::Result<()> {
    match mkdirat(base, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
