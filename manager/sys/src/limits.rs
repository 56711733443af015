//! What this process has of all that its children inherit: limits, and how the kernel schedules it.
//!
//! What never lives here: changing any of it ([`crate::spawn`]). One invariant: nothing is remembered; every call asks the kernel.

use std::ffi::c_ulong;
use std::fs;
use std::ptr;

use crate::error::SysError;
use crate::spawn::ResourceLimit;

/// The number of a resource by its name, such as `NOFILE` for `RLIMIT_NOFILE` (setrlimit(2)). They differ between machines.
#[must_use]
pub fn resource(name: &str) -> Option<u32> {
    Some(match name {
        "AS" => libc::RLIMIT_AS,
        "CORE" => libc::RLIMIT_CORE,
        "CPU" => libc::RLIMIT_CPU,
        "DATA" => libc::RLIMIT_DATA,
        "FSIZE" => libc::RLIMIT_FSIZE,
        "LOCKS" => libc::RLIMIT_LOCKS,
        "MEMLOCK" => libc::RLIMIT_MEMLOCK,
        "MSGQUEUE" => libc::RLIMIT_MSGQUEUE,
        "NICE" => libc::RLIMIT_NICE,
        "NOFILE" => libc::RLIMIT_NOFILE,
        "NPROC" => libc::RLIMIT_NPROC,
        "RSS" => libc::RLIMIT_RSS,
        "RTPRIO" => libc::RLIMIT_RTPRIO,
        "RTTIME" => libc::RLIMIT_RTTIME,
        "SIGPENDING" => libc::RLIMIT_SIGPENDING,
        "STACK" => libc::RLIMIT_STACK,
        _ => return None,
    })
}

/// The limit of a resource.
///
/// # Errors
/// The cause: `EINVAL` for a number that is no resource.
pub fn limit(resource: u32) -> Result<ResourceLimit, SysError> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable and outlives the call; no new value is given.
    let result = unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, ptr::null::<libc::rlimit64>(), &raw mut limit)
    };
    if result < 0 {
        return Err(SysError::last_os("read a limit"));
    }
    Ok(ResourceLimit { resource, soft: limit.rlim_cur, hard: limit.rlim_max })
}

/// The nice value; 0 where the kernel does not tell.
#[must_use]
pub fn nice() -> i32 {
    // SAFETY: plain numbers. glibc turns the kernel's 40..1 into -20..19; a failure is -1, which 0 stands for as well as any.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// The scheduling policy, `SCHED_*`; 0 where the kernel does not tell.
#[must_use]
pub fn scheduling_policy() -> i32 {
    // SAFETY: plain numbers.
    let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) };
    i32::try_from(policy).unwrap_or(0).max(0) & !libc::SCHED_RESET_ON_FORK
}

/// The real-time priority.
#[must_use]
pub fn scheduling_priority() -> i32 {
    let mut parameter = 0_i32;
    // SAFETY: on Linux the structure is one int; it is writable and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_getparam, 0, &raw mut parameter) };
    if result < 0 { 0 } else { parameter }
}

/// Class and priority of disk access; best effort with 4 where none was chosen (ioprio_set(2)).
#[must_use]
pub fn io_priority() -> (i32, i32) {
    const WHO_PROCESS: i32 = 1;
    const USUAL: (i32, i32) = (2, 4);
    // SAFETY: plain numbers.
    let chosen = unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, 0) };
    match i32::try_from(chosen).unwrap_or(0).max(0) {
        chosen if chosen >> IO_CLASS_SHIFT == 0 => USUAL,
        chosen => (chosen >> IO_CLASS_SHIFT, chosen & ((1 << IO_CLASS_SHIFT) - 1)),
    }
}

/// Where the class stands in the kernel's number for both (ioprio_set(2)).
pub(crate) const IO_CLASS_SHIFT: i32 = 13;

/// How late timers may be, in nanoseconds.
#[must_use]
pub fn timer_slack() -> u64 {
    let zero: c_ulong = 0;
    // SAFETY: plain numbers.
    let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, zero, zero, zero, zero) };
    u64::try_from(slack).unwrap_or(0)
}

/// How gladly the kernel kills this process when memory runs out; 0 where there is no proc(5).
#[must_use]
pub fn oom_score_adjust() -> i32 {
    let text = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Which kinds of memory a core dump has; the kernel's usual ones where there is no proc(5).
#[must_use]
pub fn coredump_filter() -> u64 {
    const USUAL: u64 = 0x33;
    let text = fs::read_to_string("/proc/self/coredump_filter").unwrap_or_default();
    u64::from_str_radix(text.trim(), 16).unwrap_or(USUAL)
}

/// The processors that this process may run on, in order.
///
/// # Errors
/// The cause.
pub fn processors() -> Result<Vec<usize>, SysError> {
    // As many as any kernel is built for, and more.
    let mut mask = [0_u8; 1024];
    // SAFETY: the pointer and the length are those of the array. The kernel wants whole words, which this is.
    let length = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, mask.len(), mask.as_mut_ptr()) };
    let length = usize::try_from(length).map_err(|_| SysError::last_os("read the processors to run on"))?;
    let is_in = |number: &usize| mask[number / 8] & (1 << (number % 8)) != 0;
    Ok((0..length * 8).filter(is_in).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_limits_and_a_processor() {
        let limit = limit(resource("NOFILE").unwrap()).unwrap();
        assert!(limit.soft > 2 && limit.hard >= limit.soft);
        assert!(super::limit(4711).is_err());
        assert!(!processors().unwrap().is_empty());
        assert!((-20..20).contains(&nice()) && scheduling_policy() >= 0 && scheduling_priority() >= 0);
        assert!((1..=3).contains(&io_priority().0));
        assert!(timer_slack() > 0 && coredump_filter() > 0);
        assert!((-1000..=1000).contains(&oom_score_adjust()));
    }
}
