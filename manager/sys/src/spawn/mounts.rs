//! What a process sees of the file system: the plan, and how the child carries it out.
//!
//! The child has memory of its own here, so that this is ordinary code. What never lives here: what a unit asks for. One invariant:
//! paths are looked up below the root directory to be, and what is done to one is done to a descriptor.

use std::ffi::{CStr, CString};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::stat::{Mode, SFlag, fstat, mkdirat, mknodat};
use serde::{Deserialize, Serialize};

use super::devices;
use crate::mount::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};

/// A view of the file system, as changes to the keeper's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPlan {
    /// The directory to be the root; `None`: the same.
    pub root: Option<CString>,
    /// What is mounted, in this order.
    pub mounts: Vec<Mount>,
    /// What becomes of the places that are there then, in this order.
    pub restrictions: Vec<Restriction>,
    /// How mounts are shared with what the process starts (`MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`).
    pub propagation: u64,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, in the new root.
    pub path: CString,
    /// What.
    pub kind: MountKind,
    /// What it does not allow.
    pub attributes: MountAttributes,
    /// Where the place or the source is missing, it is left out.
    pub optional: bool,
    /// A place that is missing is made.
    pub makes_place: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// What the keeper sees at another place.
    Bind {
        /// There.
        source: CString,
        /// With what is mounted below it.
        recursive: bool,
    },
    /// A file system of its own that no device is behind, such as tmpfs or proc.
    New {
        /// Which (filesystems(5)).
        file_system: CString,
        /// Its options, each perhaps with a value.
        options: Vec<(CString, Option<CString>)>,
    },
    /// Devices that are none of the machine's: null, zero, random and so on.
    Devices,
    /// Something that nobody can open: `dir` or `file` of this directory, as the place is one.
    Nothing {
        /// The directory with both.
        nodes: CString,
    },
}

/// What a mount does not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountAttributes {
    /// Writing.
    pub read_only: bool,
    /// Running programs.
    pub no_exec: bool,
    /// Becoming another user by running a program.
    pub no_suid: bool,
    /// Devices.
    pub no_dev: bool,
}

impl MountAttributes {
    fn bits(self) -> mount::Attributes {
        let all = [
            (self.read_only, MOUNT_ATTR_RDONLY),
            (self.no_exec, MOUNT_ATTR_NOEXEC),
            (self.no_suid, MOUNT_ATTR_NOSUID),
            (self.no_dev, MOUNT_ATTR_NODEV),
        ];
        all.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum()
    }
}

/// What becomes of a place and all below it, except for some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// Where, in the new root.
    pub path: CString,
    /// What is not allowed there any more.
    pub attributes: MountAttributes,
    /// Places below it that stay as they are, where they are there.
    pub exceptions: Vec<CString>,
    /// It may be missing.
    pub optional: bool,
}

impl MountPlan {
    /// Carries it out, in a mount namespace that is this process's own.
    pub(super) fn carry_out(&self) -> io::Result<()> {
        let host = mount::own_root()?;
        mount::set_propagation(host.as_fd(), libc::MS_SLAVE)?;
        // As long as everything is where the keeper sees it.
        let sources = self.mounts.iter().map(|mount| mount.prepare(host.as_fd()));
        let sources: Vec<Source> = sources.collect::<io::Result<_>>()?;
        let root = match &self.root {
            None => host,
            Some(directory) => separate(host.as_fd(), directory)?,
        };
        for (mount, source) in self.mounts.iter().zip(sources) {
            mount.carry_out(root.as_fd(), source)?;
        }
        for restriction in &self.restrictions {
            restriction.carry_out(root.as_fd())?;
        }
        if self.root.is_some() {
            mount::change_root(root.as_fd())?;
        }
        mount::set_propagation(mount::own_root()?.as_fd(), self.propagation)
    }
}

/// Makes a directory a mount of its own; what it is then.
fn separate(root: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    let place = mount::look_up(root, path, libc::O_PATH | libc::O_DIRECTORY)?;
    let copy = mount::copy(place.as_fd(), true)?;
    mount::attach(copy.as_fd(), place.as_fd())?;
    mount::look_up(root, path, libc::O_PATH | libc::O_DIRECTORY)
}

/// What a mount needs of the keeper's view.
enum Source {
    /// It is left out.
    Missing,
    /// Nothing.
    None,
    /// A copy of what is to be seen.
    Copy(OwnedFd),
    /// Either of them, whatever the place is.
    Nodes { directory: OwnedFd, file: OwnedFd },
    /// Copies of some devices.
    Devices(devices::Sources),
}

fn or_missing<T>(result: io::Result<T>, optional: bool) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if optional && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Mount {
    fn prepare(&self, host: BorrowedFd<'_>) -> io::Result<Source> {
        let copy = |path: &CStr, recursive: bool| {
            let place = mount::look_up(host, path, libc::O_PATH)?;
            mount::copy(place.as_fd(), recursive)
        };
        Ok(match &self.kind {
            MountKind::Bind { source, recursive } => {
                or_missing(copy(source, *recursive), self.optional)?.map_or(Source::Missing, Source::Copy)
            }
            MountKind::Nothing { nodes } => {
                let node = |name: &CStr| copy(&joined(nodes, name), false);
                Source::Nodes { directory: node(c"dir")?, file: node(c"file")? }
            }
            MountKind::Devices => Source::Devices(devices::Sources::of(host)),
            MountKind::New { .. } => Source::None,
        })
    }

    fn carry_out(&self, root: BorrowedFd<'_>, source: Source) -> io::Result<()> {
        if matches!(source, Source::Missing) {
            return Ok(());
        }
        if self.makes_place {
            let is_directory = match &source {
                Source::Copy(copy) => is_directory(copy.as_fd())?,
                _ => true,
            };
            make_place(root, &self.path, is_directory)?;
        }
        let place = mount::look_up(root, &self.path, libc::O_PATH);
        let Some(place) = or_missing(place, self.optional)? else { return Ok(()) };
        let mount = match (&self.kind, source) {
            (_, Source::Copy(copy)) => copy,
            (_, Source::Nodes { directory, file }) => {
                if is_directory(place.as_fd())? {
                    directory
                } else {
                    file
                }
            }
            (_, Source::Devices(sources)) => {
                let attributes = self.attributes.bits();
                return devices::mount_at(place.as_fd(), root, &self.path, sources, attributes);
            }
            (MountKind::New { file_system, options }, Source::None) => {
                mount::new_file_system(file_system, options, self.attributes.bits())?
            }
            (_, Source::None | Source::Missing) => return Ok(()),
        };
        if self.attributes != MountAttributes::default() {
            mount::set_attributes(mount.as_fd(), self.attributes.bits())?;
        }
        mount::attach(mount.as_fd(), place.as_fd())
    }
}

fn is_directory(place: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(fstat(place)?.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits())
}

/// `directory/name`
fn joined(directory: &CStr, name: &CStr) -> CString {
    let path = [directory.to_bytes(), b"/", name.to_bytes()].concat();
    CString::new(path).expect("made of two strings without NUL")
}

/// Makes a directory or an empty file, and the directories above it, where they are missing.
fn make_place(root: BorrowedFd<'_>, path: &CStr, is_directory: bool) -> io::Result<()> {
    let names: Vec<&[u8]> =
        path.to_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
    let mut above = CString::from(c"/");
    for (at, name) in names.iter().enumerate() {
        let name = CString::new(*name).expect("a part of a string without NUL");
        let next = joined(&above, &name);
        match mount::look_up(root, &next, libc::O_PATH) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let parent = mount::look_up(root, &above, libc::O_PATH | libc::O_DIRECTORY)?;
                if is_directory || at + 1 < names.len() {
                    mkdirat(&parent, &*name, Mode::from_bits_truncate(0o755))?;
                } else {
                    mknodat(&parent, &*name, SFlag::S_IFREG, Mode::from_bits_truncate(0o644), 0)?;
                }
            }
            Err(error) => return Err(error),
        }
        above = next;
    }
    Ok(())
}

impl Restriction {
    fn carry_out(&self, root: BorrowedFd<'_>) -> io::Result<()> {
        let place = or_missing(mount::look_up(root, &self.path, libc::O_PATH), self.optional)?;
        let Some(place) = place else { return Ok(()) };
        // Copied before, and put on top afterwards, they never have had the attributes: none must be taken away again.
        let mut exceptions = Vec::new();
        for path in &self.exceptions {
            let copy =
                mount::look_up(root, path, libc::O_PATH).and_then(|place| mount::copy(place.as_fd(), true));
            exceptions.extend(or_missing(copy, true)?.map(|copy| (path, copy)));
        }
        let bits = self.attributes.bits();
        if mount::is_mounted(place.as_fd())? {
            mount::set_attributes(place.as_fd(), bits)?;
        } else {
            let copy = mount::copy(place.as_fd(), true)?;
            mount::set_attributes(copy.as_fd(), bits)?;
            mount::attach(copy.as_fd(), place.as_fd())?;
        }
        for (path, copy) in exceptions {
            let place = mount::look_up(root, path, libc::O_PATH)?;
            mount::attach(copy.as_fd(), place.as_fd())?;
        }
        Ok(())
    }
}
