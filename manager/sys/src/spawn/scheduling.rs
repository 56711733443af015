//! How the kernel is to schedule and judge a process (systemd.exec(5), "Scheduling"): what a plan says of it, and the child's calls.
//!
//! The rules of `child_side` hold here too: the child makes system calls only.

use std::ffi::{CStr, c_ulong};
use std::io::Write;

use serde::{Deserialize, Serialize};

use super::SpawnStep;
use super::child_side::{Failure, ensure};
use crate::limits::IO_CLASS_SHIFT;

/// The machine as it is, of personality(2).
const PER_LINUX: c_ulong = 0;
/// The machine as a 32-bit one.
const PER_LINUX32: c_ulong = 8;

/// What a process does not inherit; the rest is as it is with the keeper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// How gladly the kernel kills it when memory runs out, -1000 to 1000. Without privilege to lower it, it stays.
    pub oom_score_adjust: Option<i32>,
    /// Which kinds of memory a core dump has.
    pub coredump_filter: Option<u64>,
    /// The nice value. Where it may not be so low it is as low as `RLIMIT_NICE` allows.
    pub nice: Option<i32>,
    /// How the processor is shared.
    pub policy: Option<CpuScheduling>,
    /// The processors to run on: a mask of whole words, lowest first.
    pub processors: Option<Vec<u8>>,
    /// Which nodes memory comes from. A kernel without NUMA ignores it.
    pub memory: Option<MemoryPolicy>,
    /// Class and priority of disk access.
    pub io: Option<(i32, i32)>,
    /// How late timers may be, in nanoseconds.
    pub timer_slack: Option<u64>,
    /// Whether uname(2) says that the machine is a 32-bit one.
    pub is_32_bit: Option<bool>,
}

/// How the processor is shared (sched(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuScheduling {
    /// `SCHED_*`
    pub policy: i32,
    /// From 1 for real-time policies, 0 for others.
    pub priority: i32,
    /// What the process starts has the usual policy again.
    pub reset_on_fork: bool,
}

/// Which nodes memory comes from (set_mempolicy(2)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// `MPOL_*`
    pub policy: i32,
    /// A mask of whole words; empty: no nodes.
    pub nodes: Vec<u8>,
}

/// The session keyring of a process (keyrings(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keyring {
    /// The keeper's.
    #[default]
    Inherit,
    /// A new one.
    Private,
    /// A new one, with a link to that of the user.
    Shared,
}

impl Scheduling {
    /// Does all that is asked for, in systemd's order.
    pub(super) fn apply(&self) -> Result<(), Failure> {
        if let Some(adjust) = self.oom_score_adjust {
            set_oom_score_adjust(adjust)?;
        }
        if let Some(filter) = self.coredump_filter {
            let done = write_number(c"/proc/self/coredump_filter", format_args!("{filter:#x}"));
            ensure(SpawnStep::Limits, done)?;
        }
        if let Some(nice) = self.nice {
            set_nice(nice)?;
        }
        self.policy.as_ref().map_or(Ok(()), CpuScheduling::apply)?;
        if let Some(processors) = &self.processors {
            set_processors(processors)?;
        }
        self.memory.as_ref().map_or(Ok(()), MemoryPolicy::apply)?;
        if let Some(io) = self.io {
            set_io_priority(io)?;
        }
        if let Some(slack) = self.timer_slack {
            let (slack, zero) = (slack as c_ulong, 0 as c_ulong);
            // SAFETY: plain numbers.
            let result = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack, zero, zero, zero) };
            ensure(SpawnStep::TimerSlack, result >= 0)?;
        }
        if let Some(is_32_bit) = self.is_32_bit {
            let personality = if is_32_bit { PER_LINUX32 } else { PER_LINUX };
            // SAFETY: a plain number.
            let result = unsafe { libc::personality(personality) };
            ensure(SpawnStep::Personality, result >= 0)?;
        }
        Ok(())
    }
}

/// Without privilege the process keeps what it has: systemd.exec(5) has no error for that.
fn set_oom_score_adjust(adjust: i32) -> Result<(), Failure> {
    let done = write_number(c"/proc/self/oom_score_adj", format_args!("{adjust}"));
    done_or_unprivileged(ensure(SpawnStep::OomAdjust, done))
}

fn done_or_unprivileged(outcome: Result<(), Failure>) -> Result<(), Failure> {
    outcome.or_else(|failure| if failure.is_about_privilege() { Ok(()) } else { Err(failure) })
}

/// Writes a number to a file of proc(5), without allocating.
fn write_number(path: &CStr, number: std::fmt::Arguments<'_>) -> bool {
    let mut buffer = [0_u8; 24];
    let mut rest = &mut buffer[..];
    if rest.write_fmt(number).is_err() {
        return false;
    }
    let length = 24 - rest.len();
    // SAFETY: a C string.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return false;
    }
    // SAFETY: the pointer and the length are those of the array's beginning.
    let written = unsafe { libc::write(fd, buffer.as_ptr().cast(), length) };
    let failure = std::io::Error::last_os_error().raw_os_error();
    // SAFETY: opened above, in the child's own table.
    unsafe { libc::close(fd) };
    if let (true, Some(errno)) = (written < 0, failure) {
        // SAFETY: this thread's errno, which close may have changed.
        unsafe { *libc::__errno_location() = errno };
    }
    written >= 0
}

/// As nice as was asked for, or where that needs privilege, as `RLIMIT_NICE` lets it (systemd's `setpriority_closest`).
fn set_nice(nice: i32) -> Result<(), Failure> {
    // SAFETY: plain numbers.
    let set = |nice: i32| unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } >= 0;
    let Err(failure) = ensure(SpawnStep::Nice, set(nice)) else { return Ok(()) };
    let current = crate::limits::nice();
    if !failure.is_about_privilege() || nice > current {
        return Err(failure);
    }
    let allowed = crate::limits::limit(libc::RLIMIT_NICE).map_or(20, |limit| 20 - limit.soft.min(40) as i32);
    ensure(SpawnStep::Nice, current <= allowed || set(allowed))
}

impl CpuScheduling {
    fn apply(&self) -> Result<(), Failure> {
        let reset = if self.reset_on_fork { libc::SCHED_RESET_ON_FORK } else { 0 };
        let parameter = self.priority;
        // SAFETY: on Linux the structure is one int, which outlives the call. Not libc's, which musl refuses.
        let result = unsafe {
            libc::syscall(libc::SYS_sched_setscheduler, 0, self.policy | reset, &raw const parameter)
        };
        ensure(SpawnStep::SetScheduler, result >= 0)
    }
}

fn set_processors(mask: &[u8]) -> Result<(), Failure> {
    // SAFETY: the pointer and the length are those of a slice.
    let result = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, mask.len(), mask.as_ptr()) };
    ensure(SpawnStep::CpuAffinity, result >= 0)
}

impl MemoryPolicy {
    fn apply(&self) -> Result<(), Failure> {
        // The kernel reads one bit less than it is told.
        let bits = if self.nodes.is_empty() { 0 } else { self.nodes.len() * 8 + 1 };
        // SAFETY: the pointer and the length are those of a slice.
        let result =
            unsafe { libc::syscall(libc::SYS_set_mempolicy, self.policy, self.nodes.as_ptr(), bits) };
        match ensure(SpawnStep::NumaPolicy, result >= 0) {
            Err(failure) if failure.errno() == libc::ENOSYS => Ok(()),
            outcome => outcome,
        }
    }
}

fn set_io_priority((class, priority): (i32, i32)) -> Result<(), Failure> {
    const WHO_PROCESS: i32 = 1;
    let both = class << IO_CLASS_SHIFT | priority;
    // SAFETY: plain numbers.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, both) };
    ensure(SpawnStep::IoPriority, result >= 0)
}

impl Keyring {
    /// As the user that the process is by now: the new keyring is that user's. A kernel without keys, or one that does not let us
    /// have more, leaves the process the keyring that it has, as with systemd.
    pub(super) fn join(self) -> Result<(), Failure> {
        const JOIN_SESSION_KEYRING: i32 = 1;
        const LINK: i32 = 8;
        const SESSION_KEYRING: i32 = -3;
        const USER_KEYRING: i32 = -4;
        if self == Self::Inherit {
            return Ok(());
        }
        // SAFETY: plain numbers; no name: an anonymous keyring.
        let joined = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0) };
        if let Err(failure) = ensure(SpawnStep::Keyring, joined >= 0) {
            let is_impossible = [libc::ENOSYS, libc::EDQUOT].contains(&failure.errno());
            return if is_impossible { Ok(()) } else { done_or_unprivileged(Err(failure)) };
        }
        if self == Self::Private {
            return Ok(());
        }
        // SAFETY: plain numbers.
        let linked = unsafe { libc::syscall(libc::SYS_keyctl, LINK, USER_KEYRING, SESSION_KEYRING) };
        ensure(SpawnStep::Keyring, linked >= 0)
    }
}
