//! Editing: a unit file or drop-in that is written beside its place first, and takes it whole.
//!
//! Never here: the editor. Invariant: as for links, nothing outside of the two directories that may be written to.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::perform::Place;
use super::{UnitFiles, plan};
use crate::loader::read_source;

/// A file in the making. What is not saved is gone with it.
#[derive(Debug)]
pub struct Edit {
    directory: OwnedFd,
    interim: String,
    name: String,
    path: PathBuf,
}

impl UnitFiles {
    /// The directory that a file goes to: the configuration, or until the machine goes down.
    ///
    /// # Errors
    /// There is none for `runtime`.
    pub fn home(&self, runtime: bool) -> Result<PathBuf, super::Refusal> {
        if runtime {
            self.tree.runtime.clone().ok_or(super::Refusal::NoRuntime)
        } else {
            Ok(self.tree.configuration.clone())
        }
    }

    /// Begins a file for `target`, with this text.
    ///
    /// # Errors
    /// It cannot be written there.
    pub fn edit(&self, target: &Path, text: &str) -> io::Result<Edit> {
        let written = plan::written(&self.tree);
        let place = Place::of(target, &written)?;
        let directory = place.make()?;
        let name = place.name.to_string_lossy().into_owned();
        let interim = format!(".#{name}");
        match unlinkat(&directory, interim.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let edit = Edit { directory, path: target.with_file_name(&interim), interim, name };
        edit.write(text, OFlag::O_CREAT | OFlag::O_EXCL)?;
        Ok(edit)
    }
}

impl Edit {
    /// The file for the editor.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the editor made of it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn text(&self) -> io::Result<String> {
        let source = read_source(&self.path)?;
        String::from_utf8(source.text.into_vec()).map_err(io::Error::other)
    }

    /// Puts this text in its place.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(self, text: &str) -> io::Result<()> {
        self.write(text, OFlag::O_CREAT | OFlag::O_TRUNC)?;
        Ok(renameat(&self.directory, self.interim.as_str(), &self.directory, self.name.as_str())?)
    }

    fn write(&self, text: &str, flags: OFlag) -> io::Result<()> {
        let flags = flags | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let mode = Mode::from_bits_truncate(0o644);
        File::from(openat(&self.directory, self.interim.as_str(), flags, mode)?).write_all(text.as_bytes())
    }
}

impl Drop for Edit {
    fn drop(&mut self) {
        // Saved, it is there no more.
        let _ = unlinkat(&self.directory, self.interim.as_str(), UnlinkatFlags::NoRemoveDir);
    }
}
