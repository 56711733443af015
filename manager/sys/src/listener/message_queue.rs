//! `ListenMessageQueue=`: a POSIX message queue (mq_overview(7)). On Linux its descriptor is a file descriptor, which can be waited for.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::ptr;

use libc::{c_long, mq_attr};

use super::unix_path::own_umask;
use super::{ListenError, Listener, Node};
use crate::error::SysError;
use crate::user;

/// What a queue is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Its permissions, of which the umask takes some away (`SocketMode=`).
    pub mode: u32,
    /// How many messages it takes (`MessageQueueMaxMessages=`).
    pub max_messages: i64,
    /// How long one may be, in bytes (`MessageQueueMessageSize=`). Both count only when both are above 0.
    pub message_size: i64,
}

/// Opens the queue `name` (`/` and letters), which is made where it is missing. One that is there already must be as if we had made it.
///
/// # Errors
/// [`ListenError`] with the step.
pub fn open_message_queue(name: &str, spec: &QueueSpec) -> Result<Listener, ListenError> {
    let queue = File::from(open(name, spec).map_err(ListenError::step("open the message queue", &name))?);
    let found = queue.metadata().map_err(ListenError::step("look at", &name))?;
    let mode = spec.mode & !own_umask();
    let is_fit = found.mode() & 0o777 == mode & 0o777
        && (found.uid(), found.gid()) == (user::own_uid(), user::own_gid());
    if !is_fit {
        let wanted = format!("a queue of our own with mode {mode:04o}");
        return Err(ListenError::Unfit { address: name.to_owned(), wanted });
    }
    Ok(Listener::new(OwnedFd::from(queue), Some(Node::Queue { name: name.to_owned() })))
}

fn open(name: &str, spec: &QueueSpec) -> io::Result<OwnedFd> {
    let name = CString::new(name)?;
    let attributes = attributes(spec);
    let chosen = attributes.as_ref().map_or(ptr::null(), ptr::from_ref);
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_CREAT;
    // SAFETY: `name` and, where it is not null, `chosen` outlive the call, which only reads them; the mode is passed as mode_t is
    // promoted.
    let fd = unsafe { libc::mq_open(name.as_ptr(), flags, spec.mode as libc::mode_t, chosen) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn attributes(spec: &QueueSpec) -> Option<mq_attr> {
    if spec.max_messages <= 0 || spec.message_size <= 0 {
        return None;
    }
    // SAFETY: plain numbers, for which zeros are values.
    let mut attributes: mq_attr = unsafe { MaybeUninit::zeroed().assume_init() };
    attributes.mq_maxmsg = spec.max_messages as c_long;
    attributes.mq_msgsize = spec.message_size as c_long;
    Some(attributes)
}

/// Removes the name of a queue; false when there is none.
pub(super) fn unlink(name: &str) -> Result<bool, SysError> {
    let failed = |source| SysError::new("remove the message queue", source);
    let name = CString::new(name).map_err(|error| failed(error.into()))?;
    // SAFETY: `name` outlives the call.
    if unsafe { libc::mq_unlink(name.as_ptr()) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::NotFound => Ok(false),
        error => Err(failed(error)),
    }
}
