//! A `/dev` without the machine's devices (`PrivateDevices=` of systemd.exec(5)).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::symlinkat;

use crate::mount::{self, Attributes, MOUNT_ATTR_RDONLY};

/// Devices that belong to nobody: name, major and minor number (Documentation/admin-guide/devices.txt of the kernel).
const NODES: [(&CStr, u64, u64); 7] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
    (c"ptmx", 5, 2),
];

/// What is as the machine has it, where it does.
const DIRECTORIES: [&CStr; 4] = [c"pts", c"shm", c"mqueue", c"hugepages"];

const LINKS: [(&CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"fd"),
    (c"/proc/self/fd/0", c"stdin"),
    (c"/proc/self/fd/1", c"stdout"),
    (c"/proc/self/fd/2", c"stderr"),
    (c"/run/systemd/journal/dev-log", c"log"),
];

/// Copies of what is in the machine's `/dev`; nothing where it has no such thing.
pub(super) struct Sources {
    nodes: [Option<OwnedFd>; NODES.len()],
    directories: [Option<OwnedFd>; DIRECTORIES.len()],
}

impl Sources {
    /// Those of the file system below `host`.
    pub(super) fn of(host: BorrowedFd<'_>) -> Self {
        let devices = mount::look_up(host, c"/dev", libc::O_PATH | libc::O_DIRECTORY);
        let copy = |name: &CStr, recursive: bool| {
            let place = mount::look_up(devices.as_ref().ok()?.as_fd(), name, libc::O_PATH).ok()?;
            mount::copy(place.as_fd(), recursive).ok()
        };
        Self {
            nodes: NODES.map(|(name, _, _)| copy(name, false)),
            directories: DIRECTORIES.map(|name| copy(name, true)),
        }
    }
}

/// Mounts it at `place`, which is `path` below `root`. What is written to it is written before it is attributed.
pub(super) fn mount_at(
    place: BorrowedFd<'_>,
    root: BorrowedFd<'_>,
    path: &CStr,
    sources: Sources,
    attributes: Attributes,
) -> io::Result<()> {
    let options = [(c"mode".into(), Some(c"0755".into())), (c"size".into(), Some(c"4m".into()))];
    let memory = mount::new_file_system(c"tmpfs", &options, attributes & !MOUNT_ATTR_RDONLY)?;
    mount::attach(memory.as_fd(), place)?;
    let devices = mount::look_up(root, path, libc::O_RDONLY | libc::O_DIRECTORY)?;
    for ((name, major, minor), source) in NODES.into_iter().zip(sources.nodes) {
        make_node(devices.as_fd(), name, makedev(major, minor), source)?;
    }
    for (name, source) in DIRECTORIES.into_iter().zip(sources.directories) {
        if let Some(source) = source {
            mkdirat(&devices, name, Mode::from_bits_truncate(0o755))?;
            mount::attach(source.as_fd(), mount::look_up(devices.as_fd(), name, libc::O_PATH)?.as_fd())?;
        }
    }
    for (target, name) in LINKS {
        symlinkat(target, &devices, name)?;
    }
    mount::set_own_attributes(memory.as_fd(), attributes)
}

/// A node; where nodes cannot be made, as in a user namespace, the machine's own at the same place.
fn make_node(
    devices: BorrowedFd<'_>,
    name: &CStr,
    device: libc::dev_t,
    source: Option<OwnedFd>,
) -> io::Result<()> {
    // The mask of the keeper must not narrow it.
    let mode = Mode::from_bits_truncate(0o666);
    let made = mknodat(devices, name, SFlag::S_IFCHR, mode, device).and_then(|()| {
        nix::sys::stat::fchmodat(devices, name, mode, nix::sys::stat::FchmodatFlags::FollowSymlink)
    });
    match (made, source) {
        (Ok(()), _) => Ok(()),
        (Err(nix::errno::Errno::EPERM), Some(source)) => {
            mknodat(devices, name, SFlag::S_IFREG, mode, 0)?;
            mount::attach(source.as_fd(), mount::look_up(devices, name, libc::O_PATH)?.as_fd())
        }
        (Err(errno), _) => Err(errno.into()),
    }
}
