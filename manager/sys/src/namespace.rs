//! Which namespaces the processes that are started from here can have.
//!
//! What never lives here: entering them ([`crate::spawn`]). One invariant: asking changes nothing for this process.

use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use crate::error::SysError;

/// Kinds of namespaces that can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Mounts.
    pub mounts: bool,
    /// Network.
    pub network: bool,
    /// Message queues, semaphores and shared memory.
    pub ipc: bool,
    /// The host name.
    pub host_name: bool,
}

const KINDS: [CloneFlags; 4] =
    [CloneFlags::CLONE_NEWNS, CloneFlags::CLONE_NEWNET, CloneFlags::CLONE_NEWIPC, CloneFlags::CLONE_NEWUTS];

/// What can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Available {
    /// As we are.
    pub directly: Kinds,
    /// In a namespace of users of one's own; `None`: there is none to be had.
    pub among_own_users: Option<Kinds>,
}

/// Tries it, in two processes that end at once. Containers and filters may forbid what capabilities seem to permit.
///
/// # Errors
/// No process can be made.
pub fn available() -> Result<Available, SysError> {
    let directly = try_in_child(CloneFlags::empty())?;
    let among_own_users = try_in_child(CloneFlags::CLONE_NEWUSER)?;
    Ok(Available { directly: directly.unwrap_or_default(), among_own_users })
}

/// Bit 7 of the exit code: the first step worked; then a bit for each kind.
const ENTERED: i32 = 0x80;

/// What can be made by a process that has unshared `first`.
fn try_in_child(first: CloneFlags) -> Result<Option<Kinds>, SysError> {
    // SAFETY: the child calls nothing but the kernel, and ends.
    let child = match unsafe { fork() }.map_err(|errno| SysError::new("make a process", errno))? {
        ForkResult::Child => {
            let entered = unshare(first).is_ok();
            let works = |kind: &CloneFlags| unshare(*kind).is_ok();
            let bit = |(index, kind): (usize, &CloneFlags)| i32::from(works(kind)) << index;
            let kinds: i32 =
                if entered { KINDS.iter().enumerate().map(bit).sum::<i32>() | ENTERED } else { 0 };
            // SAFETY: ends the child without running anything of ours.
            unsafe { libc::_exit(kinds) }
        }
        ForkResult::Parent { child } => child,
    };
    let ended = waitpid(child, None).map_err(|errno| SysError::new("wait for a process", errno))?;
    let WaitStatus::Exited(_, code) = ended else { return Ok(None) };
    let has = |index: usize| code >> index & 1 == 1;
    let kinds = Kinds { mounts: has(0), network: has(1), ipc: has(2), host_name: has(3) };
    Ok((code & ENTERED != 0).then_some(kinds))
}
