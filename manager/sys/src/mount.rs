//! Mounts by descriptor (open_tree(2), move_mount(2), mount_setattr(2), fsopen(2); Linux 5.12): a path is looked up once, and what is
//! mounted goes there whatever becomes of the path meanwhile.
//!
//! What never lives here: which mounts a process gets ([`crate::spawn`]). One invariant: a mount that is not attached goes with its
//! descriptor.

use std::ffi::{CStr, CString, c_int, c_long, c_uint};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Attributes of a mount, `MOUNT_ATTR_*` of mount_setattr(2).
pub(crate) type Attributes = u64;

pub(crate) use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};

const EMPTY: &CStr = c"";

fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn descriptor(result: c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(checked(result)?).expect("descriptors are small");
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A path without its leading slashes, so that it is looked up below a directory; the directory itself is `.`.
fn relative(path: &CStr) -> &CStr {
    let slashes = path.to_bytes().iter().take_while(|byte| **byte == b'/').count();
    match CStr::from_bytes_with_nul(&path.to_bytes_with_nul()[slashes..]) {
        Ok(rest) if !rest.is_empty() => rest,
        _ => c".",
    }
}

/// Looks `path` up with `root` as the root directory: no link and no `..` leads out of it.
pub(crate) fn look_up(root: BorrowedFd<'_>, path: &CStr, flags: c_int) -> io::Result<OwnedFd> {
    // SAFETY: all zeros is a valid open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC).cast_unsigned().into();
    how.resolve = libc::RESOLVE_IN_ROOT;
    let size = size_of::<libc::open_how>();
    let path = relative(path).as_ptr();
    // SAFETY: a C string, and a structure of the size that is told; both outlive the call.
    descriptor(unsafe { libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path, &raw const how, size) })
}

/// The root directory of this process.
pub(crate) fn own_root() -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: a C string constant.
    descriptor(unsafe { libc::open(c"/".as_ptr(), flags) }.into())
}

/// A copy of what is seen at a place, attached nowhere; `recursive`: with what is mounted below it.
pub(crate) fn copy(place: BorrowedFd<'_>, recursive: bool) -> io::Result<OwnedFd> {
    let below = if recursive { libc::AT_RECURSIVE.cast_unsigned() } else { 0 };
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH.cast_unsigned() | below;
    // SAFETY: a C string constant, and plain numbers.
    descriptor(unsafe { libc::syscall(libc::SYS_open_tree, place.as_raw_fd(), EMPTY.as_ptr(), flags) })
}

/// Whether something is mounted at a place: it is the root of a mount.
pub(crate) fn is_mounted(place: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: all zeros is a valid statx.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    let (fd, path) = (place.as_raw_fd(), EMPTY.as_ptr());
    // SAFETY: a C string constant, and a structure that outlives the call.
    let result =
        unsafe { libc::statx(fd, path, libc::AT_EMPTY_PATH, libc::STATX_BASIC_STATS, &raw mut status) };
    checked(result.into())?;
    let mount_root = u64::try_from(libc::STATX_ATTR_MOUNT_ROOT).expect("a bit");
    Ok(status.stx_attributes & mount_root != 0)
}

/// Attaches a mount on top of what is at `place`.
pub(crate) fn attach(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    let (from, to) = (mount.as_raw_fd(), place.as_raw_fd());
    let flags: c_uint = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: C string constants, and plain numbers.
    checked(unsafe { libc::syscall(libc::SYS_move_mount, from, EMPTY.as_ptr(), to, EMPTY.as_ptr(), flags) })?;
    Ok(())
}

/// Gives a mount attributes, and all that are below it.
pub(crate) fn set_attributes(mount: BorrowedFd<'_>, set: Attributes) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    change(mount, libc::AT_RECURSIVE, attributes)
}

/// Gives one mount attributes.
pub(crate) fn set_own_attributes(mount: BorrowedFd<'_>, set: Attributes) -> io::Result<()> {
    change(mount, 0, libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 })
}

/// Sets how a mount and all below it share with others (`MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`).
pub(crate) fn set_propagation(mount: BorrowedFd<'_>, propagation: u64) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation, userns_fd: 0 };
    change(mount, libc::AT_RECURSIVE, attributes)
}

fn change(mount: BorrowedFd<'_>, below: c_int, attributes: libc::mount_attr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | below;
    let size = size_of::<libc::mount_attr>();
    // SAFETY: a C string constant, and a structure of the size that is told, which outlives the call.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            EMPTY.as_ptr(),
            flags,
            &raw const attributes,
            size,
        )
    })?;
    Ok(())
}

/// A new file system of this type, attached nowhere. An option without a value is a flag.
pub(crate) fn new_file_system(
    kind: &CStr,
    options: &[(CString, Option<CString>)],
    attributes: Attributes,
) -> io::Result<OwnedFd> {
    // SAFETY: a C string, and a plain number.
    let context =
        descriptor(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC) })?;
    for (name, value) in options {
        let command = if value.is_some() { libc::FSCONFIG_SET_STRING } else { libc::FSCONFIG_SET_FLAG };
        configure(&context, command, Some(name), value.as_deref())?;
    }
    configure(&context, libc::FSCONFIG_CMD_CREATE, None, None)?;
    let attributes = c_uint::try_from(attributes).expect("attributes of a new mount are in the low word");
    let context = context.as_raw_fd();
    // SAFETY: plain numbers.
    descriptor(unsafe { libc::syscall(libc::SYS_fsmount, context, libc::FSMOUNT_CLOEXEC, attributes) })
}

fn configure(
    context: &OwnedFd,
    command: c_uint,
    name: Option<&CStr>,
    value: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    let context = context.as_raw_fd();
    // SAFETY: C strings or null, as each command has it, and plain numbers.
    checked(unsafe {
        libc::syscall(libc::SYS_fsconfig, context, command, pointer(name), pointer(value), 0 as c_int)
    })?;
    Ok(())
}

/// Makes `root` the root directory, and forgets the former one.
pub(crate) fn change_root(root: BorrowedFd<'_>) -> io::Result<()> {
    nix::unistd::fchdir(root)?;
    // pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one, and is taken off there.
    nix::unistd::pivot_root(c".", c".")?;
    // SAFETY: a C string constant, and a plain number.
    checked(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }.into())?;
    nix::unistd::chdir(c"/")?;
    Ok(())
}
