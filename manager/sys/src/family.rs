//! The family of a process that the keeper has started: everything that came of it, also after it is gone.
//!
//! Without control groups a process belongs to a family if it is in the session or the process group that the founder leads, if
//! its parent belongs to it, or, for a daemon that has left all that and been adopted by the keeper, if its environment has the
//! founder's mark. What never lives here: who founded what. Invariant: nobody is named whom the caller knows as somebody else.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use nix::unistd::{Pid, getpgid, getsid};

use crate::child;
use crate::error::{SysError, check};

/// A deadly signal is sent until nobody new is found, at most so often: somebody may fork while `/proc` is read.
const ROUNDS: usize = 8;

/// A family, and how to know it.
#[derive(Clone, Copy)]
pub struct Family<'a> {
    /// The process that was started: leader of a session. `None` once its number may be somebody else's.
    pub founder: Option<i32>,
    /// An entry `NAME=value` of the environment that no other family has.
    pub mark: Option<&'a [u8]>,
    /// Processes that are somebody else, whatever they look like.
    pub is_other: &'a dyn Fn(i32) -> bool,
}

impl Family<'_> {
    /// Whether one of our own children is of this family, beside the founder. What lives of it below those shows when they end,
    /// because it becomes our child then.
    pub fn has_orphans(&self) -> bool {
        own_children().iter().any(|pid| self.has_adopted(*pid))
    }

    /// Our own children of this family, beside the founder.
    pub fn orphans(&self) -> Vec<i32> {
        own_children().into_iter().filter(|pid| self.has_adopted(*pid)).collect()
    }

    /// Whether a process that is our child now is of this family.
    fn has_adopted(&self, pid: i32) -> bool {
        if Some(pid) == self.founder || (self.is_other)(pid) {
            return false;
        }
        let of = Some(Pid::from_raw(pid));
        let leads = |leader: nix::Result<Pid>| leader.ok().map(Pid::as_raw) == self.founder;
        (self.founder.is_some() && (leads(getsid(of)) || leads(getpgid(of)))) || self.is_marked(pid)
    }

    fn is_marked(&self, pid: i32) -> bool {
        let Some(mark) = self.mark else { return false };
        let environment = environment_of(pid).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark)
    }

    /// Whether a process is of this family: the founder, one of its descendants, or an orphan of it or a descendant of one.
    pub fn has(&self, pid: i32) -> bool {
        let line = std::iter::once(pid).chain(ancestors(pid));
        let own = std::process::id().cast_signed();
        line.take_while(|pid| *pid != own).any(|pid| Some(pid) == self.founder || self.has_adopted(pid))
    }

    /// Everybody of it who lives, beside the founder: its descendants, and the orphans with theirs.
    pub fn members(&self) -> BTreeSet<i32> {
        let mut members = BTreeSet::new();
        let mut new = self.orphans();
        new.extend(self.founder.map(children_of).unwrap_or_default());
        while let Some(pid) = new.pop() {
            if Some(pid) != self.founder && !(self.is_other)(pid) && members.insert(pid) {
                new.extend(children_of(pid));
            }
        }
        members
    }

    /// Stops everybody (SIGSTOP), the founder included if it lives. True when nobody runs any more: the kernel takes a moment, so whoever
    /// gets a false asks again.
    pub fn stop(&self, founder_lives: bool) -> bool {
        let everybody = || {
            let mut everybody = self.members();
            everybody.extend(self.founder.filter(|_| founder_lives));
            everybody
        };
        let before = everybody();
        let running: Vec<i32> = before.iter().copied().filter(|pid| !is_stopped(*pid)).collect();
        for pid in &running {
            // Whatever is wrong with it shows in that it runs on.
            let _ = child::kill(*pid, libc::SIGSTOP);
        }
        // One that was stopped late may have started others first.
        running.into_iter().all(is_stopped) && everybody() == before
    }

    /// Signals everybody, the founder included if it lives.
    ///
    /// # Errors
    /// The first cause: `EPERM`, `EINVAL`. The others got it nevertheless.
    pub fn kill(&self, signal: i32, founder_lives: bool) -> Result<(), SysError> {
        let mut outcome = Ok(());
        if let Some(founder) = self.founder.filter(|_| founder_lives) {
            outcome = child::kill(founder, signal);
        }
        let mut signalled = BTreeSet::new();
        for _ in 0..if signal == libc::SIGKILL { ROUNDS } else { 1 } {
            let new: Vec<i32> = self.members().difference(&signalled).copied().collect();
            if new.is_empty() {
                break;
            }
            for pid in new {
                outcome = outcome.and(child::kill(pid, signal));
                signalled.insert(pid);
            }
        }
        outcome
    }
}

/// The children of this thread; the keeper has one.
fn own_children() -> Vec<i32> {
    let own = std::process::id().cast_signed();
    children_in("/proc/thread-self/children").unwrap_or_else(|| children_by_scan(own))
}

/// The children of all threads of a process; none of one that is gone.
fn children_of(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.filter_map(|thread| {
        let list = thread.ok()?.path().join("children");
        children_in(list.to_str()?)
    });
    let mut lists = lists.peekable();
    if lists.peek().is_none() { children_by_scan(pid) } else { lists.flatten().collect() }
}

fn children_in(path: &str) -> Option<Vec<i32>> {
    let list = fs::read_to_string(path).ok()?;
    Some(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// The long way, for a kernel without CONFIG_PROC_CHILDREN.
fn children_by_scan(parent: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// The environment that a process began its program with. In the middle of execve(2) the kernel shows none, or what it has of it by
/// then: that is waited for, as nobody is taken for a stranger because he was looked at in that moment.
fn environment_of(pid: i32) -> io::Result<Vec<u8>> {
    /// An execve(2) takes far less; one that waits for a disk is seen at the next look.
    const LOOKS: usize = 200;
    /// The place is there for a moment before what belongs into it.
    const LOOKS_AT_EMPTY: usize = 8;
    let mut empty = 0;
    for _ in 0..LOOKS {
        let environment = fs::read(format!("/proc/{pid}/environ"))?;
        let is_whole = environment_size(pid) == Some(environment.len());
        empty = if is_whole && environment.is_empty() { empty + 1 } else { 0 };
        if is_whole && (empty == 0 || empty == LOOKS_AT_EMPTY) {
            return Ok(environment);
        }
        thread::sleep(Duration::from_micros(100));
    }
    Ok(Vec::new())
}

/// How large a process's environment was at the start of its program, from env_start and env_end of proc_pid_stat(5). Zero for one
/// that has ended; in the middle of execve(2) it is not known.
fn environment_size(pid: i32) -> Option<usize> {
    /// Counted from the state, the third field.
    const ENV_START: usize = 50 - 3;
    let Some(fields) = stat_of(pid) else { return Some(0) };
    let mut fields = fields.split_ascii_whitespace().skip(ENV_START).map(str::parse::<usize>);
    let (start, end) = (fields.next()?.ok()?, fields.next()?.ok()?);
    if end == 0 { None } else { end.checked_sub(start) }
}

fn parent_of(pid: i32) -> Option<i32> {
    stat_of(pid)?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// proc_pid_stat(5) from the third field: the two before are pid (name), and the name may have blanks and brackets. `None` for one
/// that has ended.
fn stat_of(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1.trim_start();
    (!fields.starts_with(['Z', 'X'])).then(|| fields.to_owned())
}

/// No thread of it runs: it is stopped, or has ended.
fn is_stopped(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    let state = |thread: io::Result<fs::DirEntry>| {
        let stat = fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    };
    threads.filter_map(state).all(|state| matches!(state, 'T' | 't' | 'Z' | 'X'))
}

/// The ancestors of a process, the parent first, at most as many as a family is deep.
pub fn ancestors(pid: i32) -> impl Iterator<Item = i32> {
    const DEPTH_MAX: usize = 64;
    let parent = |pid: &i32| parent_of(*pid).filter(|parent| *parent > 1);
    std::iter::successors(parent(&pid), parent).take(DEPTH_MAX)
}

/// A descriptor that becomes readable when the process ends (pidfd_open(2)): for one that is not our child.
///
/// # Errors
/// The cause; `ESRCH` when there is no such process.
pub fn watch_end(pid: i32) -> Result<OwnedFd, SysError> {
    // SAFETY: plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = check("watch a process", i32::try_from(fd).unwrap_or(-1))?;
    // SAFETY: just made, and owned by nobody else. The kernel makes these close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl std::fmt::Debug for Family<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Family").field("founder", &self.founder).finish_non_exhaustive()
    }
}

/// Why a process cannot be taken for one of a family.
///
/// # Errors
/// `ESRCH` when there is no such process, `EPERM` when it is not of this family.
pub fn check_member(family: &Family<'_>, pid: i32) -> io::Result<()> {
    match parent_of(pid) {
        None => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        Some(_) if family.has(pid) => Ok(()),
        Some(_) => Err(io::Error::from_raw_os_error(libc::EPERM)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use super::*;

    const NOBODY: fn(i32) -> bool = |_| false;

    /// A shell that leads a session, with a child in a session of its own.
    fn family() -> Child {
        let script = "setsid sleep 100 & echo; sleep 100 & wait";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env("MARK", "family-test").stdout(std::process::Stdio::piped());
        // SAFETY: setsid(2) is fine between fork and exec.
        unsafe { command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from)) };
        command.spawn().unwrap()
    }

    #[test]
    fn a_family_is_known_by_session_and_descent_and_killed_whole() {
        let mut founder = family();
        let pid = founder.id().cast_signed();
        let family = Family { founder: Some(pid), mark: Some(b"MARK=family-test"), is_other: &NOBODY };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while family.members().len() < 2 && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        let members = family.members();
        assert_eq!(members.len(), 2, "{members:?}");
        let member = *members.first().unwrap();
        assert!(family.has(member) && family.has(pid) && !family.has(std::process::id().cast_signed()));
        assert!(ancestors(member).any(|ancestor| ancestor == pid));
        assert!(!is_stopped(member));
        while !family.stop(true) && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(members.iter().chain([&pid]).all(|pid| is_stopped(*pid)));
        family.kill(libc::SIGCONT, true).unwrap();
        while is_stopped(member) && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!is_stopped(member));
        family.kill(libc::SIGKILL, true).unwrap();
        founder.wait().unwrap();
        while !family.members().is_empty() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(family.members().is_empty());
    }
    #[test]
    fn whoever_becomes_another_program_is_known_all_the_while() {
        let script = "if [ $0 -gt 0 ]; then exec sh -c \"$1\" $(($0 - 1)) \"$1\"; fi; echo; exec sleep 100";
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script, "300", script])
            .env("MARK", "exec-test")
            .stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let is_over = thread::spawn(move || output.read_exact(&mut [0]));
        let family = Family { founder: None, mark: Some(b"MARK=exec-test"), is_other: &NOBODY };
        while !is_over.is_finished() {
            assert!(family.is_marked(child.id().cast_signed()));
        }
        is_over.join().unwrap().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
