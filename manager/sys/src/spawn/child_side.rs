//! The clone, and what the child does until `execve`.
//!
//! The child shares the keeper's memory (`CLONE_VM`), and the keeper stands still meanwhile (`CLONE_VFORK`). It also
//! shares the keeper's descriptors (`CLONE_FILES`), until it takes a table of its own before it touches any. Hence the
//! rules of this file: no allocation, no lock, no panic, and the calls that glibc would extend to all threads of the
//! process (setuid and its like) go to the kernel directly.

use std::convert::Infallible;
use std::ffi::{c_char, c_int, c_long, c_ulong, c_void};
use std::io;
use std::os::fd::RawFd;
use std::ptr;

use super::own_pid::OwnPidVariables;
use super::report::Report;
use super::signals::{self, AllBlocked};
use super::stack::ChildStack;
use super::{Confinement, Credentials, Isolation, ResourceLimit, SpawnError, SpawnPlan, SpawnStep, Terminal};

/// systemd's default `UMask=`.
const DEFAULT_UMASK: u32 = 0o022;

/// Everything the child reads, complete before the clone.
pub(super) struct Job<'a> {
    pub(super) plan: &'a SpawnPlan,
    /// The plan's descriptors, then `/dev/null`; the child moves them out of the way.
    pub(super) sources: &'a mut [RawFd],
    /// Indexes into `sources` for stdin, stdout, stderr.
    pub(super) stdio: [Option<usize>; 3],
    pub(super) rlimits: &'a [ResourceLimit],
    pub(super) ignored_signals: &'a [i32],
    /// Null-terminated, as are the next two.
    pub(super) candidates: &'a [*const c_char],
    pub(super) argv: &'a [*const c_char],
    pub(super) envp: &'a [*const c_char],
    pub(super) own_pid: &'a OwnPidVariables,
}

/// What the two sides of the clone share.
struct Shared<'a> {
    job: Job<'a>,
    failure: *mut Option<Failure>,
}

#[derive(Clone, Copy)]
pub(super) struct Failure {
    pub(super) step: SpawnStep,
    pub(super) errno: i32,
}

impl Failure {
    /// The calling thread's errno, at `step`.
    pub(super) fn at(step: SpawnStep) -> Self {
        Self { step, errno: io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL) }
    }

    pub(super) fn errno(self) -> i32 {
        self.errno
    }

    /// Somebody more privileged could have done it.
    pub(super) fn is_about_privilege(self) -> bool {
        matches!(self.errno, libc::EPERM | libc::EACCES)
    }
}

/// Makes the child on `stack`; answers its pid once it has passed `execve`.
pub(super) fn clone_and_exec(
    stack: &mut ChildStack,
    report: &mut Report,
    job: Job<'_>,
) -> Result<i32, SpawnError> {
    // Getting into namespaces is ordinary code, which needs memory of its own.
    let memory = if job.plan.isolation.is_some() { 0 } else { libc::CLONE_VM };
    let flags = memory | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    let mut shared = Shared { job, failure: report.cleared() };
    let shared = &raw mut shared;
    let blocked = AllBlocked::new();
    // SAFETY: the child runs `child_main` on a stack of its own; `shared` outlives it, since CLONE_VFORK lets this
    // thread go on only when the child has left our memory by execve or _exit.
    let pid = unsafe { libc::clone(child_main, stack.top(), flags, shared.cast::<c_void>()) };
    let clone_error = io::Error::last_os_error();
    drop(blocked);
    if pid < 0 {
        return Err(SpawnError { step: SpawnStep::Clone, source: clone_error });
    }
    match report.read() {
        None => Ok(pid),
        Some(failure) => {
            reap(pid);
            Err(SpawnError::os(failure.step, failure.errno))
        }
    }
}

/// Waits for a child that failed before `execve`, so that nobody else sees its end.
fn reap(pid: i32) {
    // SAFETY: plain numbers and a null status. The child is exiting: this does not wait for long.
    while unsafe { libc::waitpid(pid, ptr::null_mut(), 0) } < 0
        && io::Error::last_os_error().raw_os_error() == Some(libc::EINTR)
    {}
}

extern "C" fn child_main(shared: *mut c_void) -> c_int {
    // SAFETY: the pointer is the `Shared` of `clone_and_exec`, whose thread stands still: this is the only reference.
    let shared = unsafe { &mut *shared.cast::<Shared<'_>>() };
    let Err(failure) = shared.job.run();
    // SAFETY: the page of a `Report`, which both sides share; volatile as the reader's side.
    unsafe { ptr::write_volatile(shared.failure, Some(failure)) };
    // SAFETY: ends the child without running anything of the keeper's.
    unsafe { libc::_exit(failure.step.exit_status().unwrap_or(1)) }
}

impl Job<'_> {
    /// The child's whole life. The order matters: descriptors before limits (a low `LimitNOFILE=` must not hinder
    /// placing them), scheduling and limits before the user (raising needs privilege), the user before the directory (which may be
    /// on a network file system that root cannot read).
    fn run(&mut self) -> Result<Infallible, Failure> {
        // SAFETY: no arguments. The child is no group leader, so only a seccomp filter can refuse.
        ensure(SpawnStep::Setsid, unsafe { libc::setsid() } >= 0)?;
        self.reset_signal_actions()?;
        self.leave_descriptor_table()?;
        mark_close_on_exec();
        self.move_sources_up()?;
        self.place_listen_fds()?;
        self.place_stdio()?;
        self.isolate()?;
        self.take_terminal()?;
        self.plan.scheduling.as_ref().map_or(Ok(()), |scheduling| scheduling.apply())?;
        self.set_limits()?;
        // SAFETY: a plain number; cannot fail.
        unsafe { libc::umask(self.plan.umask.unwrap_or(DEFAULT_UMASK)) };
        self.change_groups()?;
        self.enter_users()?;
        self.confine(Confinement::bound)?;
        self.become_user()?;
        self.plan.keyring.join()?;
        self.change_directory()?;
        self.confine(Confinement::secure)?;
        self.forbid_new_privileges()?;
        // SAFETY: no arguments, no failure. Not libc's getpid, which some libcs answer from memory.
        self.own_pid.fill_in(unsafe { libc::syscall(libc::SYS_getpid) } as u32);
        ensure(SpawnStep::SignalMask, signals::unblock_all())?;
        self.confine(Confinement::filter)?;
        Err(self.exec())
    }

    /// A step that takes privileges away, for the few who have that.
    fn confine(&self, step: impl FnOnce(&Confinement) -> Result<(), Failure>) -> Result<(), Failure> {
        self.plan.confinement.as_deref().map_or(Ok(()), step)
    }

    fn reset_signal_actions(&self) -> Result<(), Failure> {
        let pipe = if self.plan.ignore_sigpipe { libc::SIG_IGN } else { libc::SIG_DFL };
        let all_set = signals::set_action(libc::SIGPIPE, pipe)
            && self.ignored_signals.iter().all(|signal| signals::set_action(*signal, libc::SIG_DFL));
        ensure(SpawnStep::SignalMask, all_set)
    }

    /// Gives the child a descriptor table of its own, without what is above its sources. The keeper may hold ten
    /// thousand descriptors: copying and then closing them would take far longer than all the rest.
    fn leave_descriptor_table(&self) -> Result<(), Failure> {
        let first_unneeded = self.sources.iter().max().map_or(3, |highest| (highest + 1).max(3));
        let (first, last) = (first_unneeded.cast_unsigned(), libc::c_uint::MAX);
        // SAFETY: plain numbers; what is closed is closed in the child's own table.
        let left =
            unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_UNSHARE) } >= 0;
        // A kernel before 5.9 has no close_range. The table must not stay shared: placing would change the keeper's.
        // SAFETY: a plain number.
        ensure(SpawnStep::Fds, left || unsafe { libc::unshare(libc::CLONE_FILES) } >= 0)
    }

    /// Moves every descriptor that stands where another is to go: afterwards placing cannot overwrite a source.
    fn move_sources_up(&mut self) -> Result<(), Failure> {
        let first_free = 3 + RawFd::from(self.plan.listen_fds);
        for source in self.sources.iter_mut().filter(|source| **source < first_free) {
            // SAFETY: plain numbers.
            let moved = unsafe { libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, first_free) };
            ensure(SpawnStep::Fds, moved >= 0)?;
            *source = moved;
        }
        Ok(())
    }

    fn place_listen_fds(&self) -> Result<(), Failure> {
        let listen = usize::from(self.plan.listen_fds);
        let sockets = usize::from(self.plan.socket_fds);
        for (index, (source, target)) in self.sources.iter().take(listen).zip(3..).enumerate() {
            place(SpawnStep::Fds, *source, target)?;
            if let (true, Some(nonblocking)) = (index < sockets, self.plan.nonblocking) {
                ensure(SpawnStep::Fds, set_nonblocking(target, nonblocking))?;
            }
        }
        Ok(())
    }

    fn place_stdio(&self) -> Result<(), Failure> {
        let steps = [SpawnStep::Stdin, SpawnStep::Stdout, SpawnStep::Stderr];
        for ((step, index), target) in steps.into_iter().zip(self.stdio).zip(0..) {
            match index.and_then(|index| self.sources.get(index)) {
                Some(source) => {
                    place(step, *source, target)?;
                    ensure(step, set_nonblocking(target, false))?;
                }
                // SAFETY: plain numbers. Should the keeper's own be close-on-exec, the child's must not.
                None => ensure(step, unsafe { libc::fcntl(target, libc::F_SETFD, 0) } >= 0)?,
            }
        }
        Ok(())
    }

    /// Standard input becomes the controlling terminal; it belongs to the user then, as with a login.
    fn take_terminal(&self) -> Result<(), Failure> {
        let takes = match self.plan.terminal {
            Terminal::None => return Ok(()),
            Terminal::Ask => 0,
            Terminal::Take => 1,
        };
        // SAFETY: the request takes a plain number.
        ensure(SpawnStep::Stdin, unsafe { libc::ioctl(0, libc::TIOCSCTTY, takes as c_int) } >= 0)?;
        if let Some(Credentials { uid: Some(uid), .. }) = self.plan.credentials {
            // SAFETY: plain numbers; a group of -1 is left as it is.
            ensure(SpawnStep::Stdin, unsafe { libc::fchown(0, uid, libc::gid_t::MAX) } >= 0)?;
            // SAFETY: plain numbers.
            ensure(SpawnStep::Stdin, unsafe { libc::fchmod(0, 0o620) } >= 0)?;
        }
        Ok(())
    }

    fn set_limits(&self) -> Result<(), Failure> {
        self.rlimits.iter().try_for_each(|limit| set_limit_closest(*limit))
    }

    fn change_groups(&self) -> Result<(), Failure> {
        let Some(Credentials { gid, groups, .. }) = &self.plan.credentials else { return Ok(()) };
        let gid = c_long::from(*gid);
        if let Some(groups) = groups {
            // SAFETY: the pointer and the length are those of a slice.
            let result = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
            ensure(SpawnStep::Group, result >= 0)?;
        }
        // SAFETY: plain numbers.
        ensure(SpawnStep::Group, unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) } >= 0)
    }

    fn become_user(&self) -> Result<(), Failure> {
        let uid = self.plan.credentials.as_ref().and_then(|credentials| credentials.uid);
        self.confine(|confinement| confinement.prepare_user(uid.is_none_or(|uid| uid == 0)))?;
        if let Some(uid) = uid.map(c_long::from) {
            // SAFETY: plain numbers.
            ensure(SpawnStep::User, unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) } >= 0)?;
        }
        self.confine(Confinement::raise_ambient)
    }

    /// Namespaces, for the few who get any.
    fn isolate(&self) -> Result<(), Failure> {
        self.plan.isolation.as_deref().map_or(Ok(()), Isolation::enter)
    }

    /// A namespace of users, where the process is to have one: after the groups, which may not be in it.
    fn enter_users(&self) -> Result<(), Failure> {
        let Some(isolation) = &self.plan.isolation else { return Ok(()) };
        let credentials = self.plan.credentials.as_ref();
        let uid = credentials.and_then(|credentials| credentials.uid).unwrap_or(0);
        isolation.enter_users(uid, credentials.map_or(0, |credentials| credentials.gid))
    }

    fn change_directory(&self) -> Result<(), Failure> {
        if let Some(directory) = &self.plan.working_directory {
            // SAFETY: a C string that outlives the call.
            if unsafe { libc::chdir(directory.path.as_ptr()) } >= 0 {
                return Ok(());
            }
            ensure(SpawnStep::Chdir, directory.optional)?;
        }
        // SAFETY: a C string constant.
        ensure(SpawnStep::Chdir, unsafe { libc::chdir(c"/".as_ptr()) } >= 0)
    }

    fn forbid_new_privileges(&self) -> Result<(), Failure> {
        let implied = self.plan.confinement.as_ref().is_some_and(|it| it.implies_no_new_privileges());
        if !self.plan.no_new_privileges && !implied {
            return Ok(());
        }
        let zero: c_ulong = 0;
        // SAFETY: plain numbers; the unused ones must be 0.
        let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, zero, zero, zero) };
        ensure(SpawnStep::NoNewPrivileges, result >= 0)
    }

    /// Tries the candidates in turn, as execvp(3) does; comes back only with the reason why none would run.
    fn exec(&self) -> Failure {
        let mut reason = Failure { step: SpawnStep::Exec, errno: libc::ENOENT };
        for path in self.candidates.iter().take_while(|path| !path.is_null()) {
            // SAFETY: a C string and two null-terminated arrays of C strings, all alive.
            unsafe { libc::execve(*path, self.argv.as_ptr(), self.envp.as_ptr()) };
            let failure = Failure::at(SpawnStep::Exec);
            match failure.errno {
                libc::ENOENT | libc::ENOTDIR => {}
                // Perhaps a later directory has one that we may run; if not, this is the better reason.
                libc::EACCES => reason = failure,
                _ => return failure,
            }
        }
        reason
    }
}

/// Sets a limit, or where that needs privilege, the closest that the hard limit allows (systemd's `setrlimit_closest`).
fn set_limit_closest(limit: ResourceLimit) -> Result<(), Failure> {
    let Err(failure) = set_limit(limit) else { return Ok(()) };
    let Ok(highest) = crate::limits::limit(limit.resource) else { return Err(failure) };
    if failure.errno != libc::EPERM || highest.hard == u64::MAX {
        return Err(failure);
    }
    set_limit(ResourceLimit {
        soft: limit.soft.min(highest.hard),
        hard: limit.hard.min(highest.hard),
        ..limit
    })
}

fn set_limit(limit: ResourceLimit) -> Result<(), Failure> {
    let value = libc::rlimit64 { rlim_cur: limit.soft, rlim_max: limit.hard };
    // SAFETY: `value` outlives the call; the old value is not asked for.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            limit.resource,
            &raw const value,
            ptr::null_mut::<libc::rlimit64>(),
        )
    };
    ensure(SpawnStep::Limits, result >= 0)
}

/// Nothing the keeper was started with leaks into the child. A kernel before 5.11 refuses; then only what we did not
/// open ourselves could.
fn mark_close_on_exec() {
    // SAFETY: plain numbers; with this flag nothing is closed now.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Copies `source` to `target`, where it survives `execve`.
fn place(step: SpawnStep, source: RawFd, target: RawFd) -> Result<(), Failure> {
    // SAFETY: plain numbers. They differ, since every source was moved above the targets.
    ensure(step, unsafe { libc::dup3(source, target, 0) } >= 0)
}

fn set_nonblocking(fd: RawFd, nonblocking: bool) -> bool {
    // SAFETY: plain numbers.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    let wanted = if nonblocking { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    // SAFETY: plain numbers.
    flags >= 0 && (flags == wanted || unsafe { libc::fcntl(fd, libc::F_SETFL, wanted) } >= 0)
}

pub(super) fn ensure(step: SpawnStep, done: bool) -> Result<(), Failure> {
    if done { Ok(()) } else { Err(Failure::at(step)) }
}
