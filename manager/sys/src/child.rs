//! The processes of the keeper after their start: reaping, killing, signals.
//!
//! What never lives here: starting them ([`crate::spawn`]) and judging their exit status. One invariant: a pid is
//! signalled only while the kernel cannot have given it to somebody else.

use std::ffi::{CStr, OsStr, c_char, c_ulong};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Mutex;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde::{Deserialize, Serialize};

use crate::error::{SysError, check};
use crate::spawn::ResourceLimit;

/// Numbers of the signals that a manager itself is told things by (signal(7)).
pub use libc::{SIGHUP, SIGINT, SIGTERM};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It exited, with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// This signal killed it and it left a core dump.
    Dumped(i32),
}

/// Which processes a signal goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KillScope {
    /// The process itself.
    Main,
    /// The session that it leads, and everything else that came of it ([`crate::family`]).
    Session,
}

/// Takes one ended child, of whatever origin; `None` when no child has ended.
///
/// # Errors
/// The cause; having no children at all is none.
pub fn reap() -> Result<Option<(i32, ExitStatus)>, SysError> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    if pid > 0 {
        return Ok(Some((pid, decode(status))));
    }
    let error = io::Error::last_os_error();
    if pid == 0 || error.raw_os_error() == Some(libc::ECHILD) {
        return Ok(None);
    }
    Err(SysError::new("wait for a child", error))
}

fn decode(status: i32) -> ExitStatus {
    if libc::WIFEXITED(status) {
        ExitStatus::Exited(libc::WEXITSTATUS(status))
    } else if libc::WCOREDUMP(status) {
        ExitStatus::Dumped(libc::WTERMSIG(status))
    } else {
        ExitStatus::Killed(libc::WTERMSIG(status))
    }
}

/// Signals a process that has not been reaped yet. One that has gone already is no error.
///
/// # Errors
/// The cause: `EPERM`, `EINVAL`.
pub fn kill(pid: i32, signal: i32) -> Result<(), SysError> {
    send(pid, signal)
}

/// Whether there is a process of this number, ours or somebody's.
#[must_use]
pub fn exists(pid: i32) -> bool {
    // SAFETY: plain numbers; signal 0 only asks.
    let result = unsafe { libc::kill(pid, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

fn send(target: i32, signal: i32) -> Result<(), SysError> {
    // 0, -1 and pid 1 would be far more than meant.
    if target <= 1 {
        return Err(SysError::new("send a signal", io::Error::from_raw_os_error(libc::EINVAL)));
    }
    // SAFETY: plain numbers.
    let result = unsafe { libc::kill(target, signal) };
    let error = io::Error::last_os_error();
    if result == 0 || error.raw_os_error() == Some(libc::ESRCH) {
        return Ok(());
    }
    Err(SysError::new("send a signal", error))
}

/// The session of a process; `None` when it is gone.
#[must_use]
pub fn session_of(pid: u32) -> Option<u32> {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    // SAFETY: plain numbers.
    u32::try_from(unsafe { libc::getsid(pid) }).ok()
}

/// Makes orphans of our descendants our children (`PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// The cause.
pub fn become_subreaper() -> Result<(), SysError> {
    // SAFETY: plain numbers.
    check("become a subreaper", unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as c_ulong) }).map(drop)
}

/// Gives this process a name in `ps` and `/proc/<pid>/comm`; the kernel keeps 15 bytes.
pub fn set_own_name(name: &CStr) {
    // SAFETY: a C string that outlives the call; only a bad pointer could fail.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// The pid of whoever started this process, 0 when that is outside our PID namespace.
#[must_use]
pub fn parent_pid() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// The path by which this program was executed (`AT_EXECFN`), perhaps relative to the directory it started in.
#[must_use]
pub fn executed_path() -> Option<PathBuf> {
    // SAFETY: asks for a number of the auxiliary vector.
    let address = unsafe { libc::getauxval(libc::AT_EXECFN) };
    if address == 0 {
        return None;
    }
    // SAFETY: the kernel put a C string there at execve, and it stays for the life of the process.
    let path = unsafe { CStr::from_ptr(address as *const c_char) };
    Some(OsStr::from_bytes(path.to_bytes()).into())
}

/// This process's limit of descriptors.
///
/// # Errors
/// The cause.
pub fn fd_limit() -> Result<ResourceLimit, SysError> {
    let mut limit = MaybeUninit::<libc::rlimit64>::zeroed();
    // SAFETY: `limit` is writable and outlives the call.
    check("read the limit of descriptors", unsafe {
        libc::getrlimit64(libc::RLIMIT_NOFILE, limit.as_mut_ptr())
    })?;
    // SAFETY: zeroed is valid, and the call has filled it in.
    let limit = unsafe { limit.assume_init() };
    Ok(ResourceLimit { resource: libc::RLIMIT_NOFILE, soft: limit.rlim_cur, hard: limit.rlim_max })
}

/// Raises this process's soft limit of descriptors to the hard one. Children of a [`crate::spawn::Spawner`] made before
/// still get the old limit.
///
/// # Errors
/// The cause.
pub fn raise_fd_limit() -> Result<(), SysError> {
    let ResourceLimit { hard, .. } = fd_limit()?;
    let limit = libc::rlimit64 { rlim_cur: hard, rlim_max: hard };
    // SAFETY: `limit` outlives the call.
    check("raise the limit of descriptors", unsafe {
        libc::setrlimit64(libc::RLIMIT_NOFILE, &raw const limit)
    })
    .map(drop)
}

/// Signals as something to read.
#[derive(Debug)]
pub struct SignalSource {
    fd: SignalFd,
}

impl SignalSource {
    /// Blocks `signals` in this thread and collects them. Call it before any other thread exists.
    ///
    /// # Errors
    /// The cause; `EINVAL` for a number that is no signal.
    pub fn new(signals: &[i32]) -> Result<Self, SysError> {
        let failed = |errno: nix::Error| SysError::new("collect signals", errno);
        let signals = signals.iter().map(|signal| Signal::try_from(*signal));
        let set = signals.collect::<Result<SigSet, _>>().map_err(failed)?;
        set.thread_block().map_err(failed)?;
        let fd =
            SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)?;
        Ok(Self { fd })
    }

    /// The number of the next signal; `None` when none is pending.
    ///
    /// # Errors
    /// The cause.
    pub fn next(&self) -> Result<Option<i32>, SysError> {
        let signal = self.fd.read_signal().map_err(|errno| SysError::new("read a signal", errno))?;
        Ok(signal.map(|signal| signal.ssi_signo.cast_signed()))
    }
}

impl AsFd for SignalSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sets close-on-exec on every descriptor from 3 up: for those that whoever started this program left open.
pub fn mark_inherited_fds() {
    // SAFETY: plain numbers; with this flag nothing is closed now. A kernel before 5.11 refuses, which changes nothing.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Takes ownership of a descriptor that this program was started with, by number; each number once.
///
/// Only for numbers that whoever started this program has announced, and before anything else opens descriptors.
///
/// # Errors
/// `EBADF` when it is not open or was adopted before, `EINVAL` for the standard ones.
pub fn adopt_inherited_fd(number: RawFd) -> Result<OwnedFd, SysError> {
    static ADOPTED: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());
    let refused = |errno| SysError::new("adopt a descriptor", io::Error::from_raw_os_error(errno));
    if number < 3 {
        return Err(refused(libc::EINVAL));
    }
    let mut adopted = ADOPTED.lock().expect("nothing panics while it is locked");
    if adopted.contains(&number) {
        return Err(refused(libc::EBADF));
    }
    // SAFETY: plain numbers.
    check("adopt a descriptor", unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    adopted.push(number);
    // SAFETY: it is open, as the call above has shown; it was announced to this program as its own, and the list
    // makes sure that it is taken once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
