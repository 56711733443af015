//! Starting a process: the plan, complete before the clone, and the steps the child takes to `execve`.
//!
//! What never lives here: where a plan comes from, and what becomes of the process ([`crate::child`]). One invariant:
//! between clone and exec the child makes raw system calls only; it neither allocates nor takes a lock.

mod child_side;
mod confine;
mod devices;
mod isolation;
mod mounts;
mod own_pid;
mod report;
mod scheduling;
mod signals;
mod stack;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, CString, c_char};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::{io, iter, ptr};

use serde::{Deserialize, Serialize};

use crate::child;
use crate::error::SysError;
use child_side::Job;
pub use confine::Confinement;
pub use isolation::{Isolation, Namespace, Users};
pub use mounts::{Mount, MountAttributes, MountKind, MountPlan, Restriction};
use own_pid::OwnPidVariables;
use report::Report;
pub use scheduling::{CpuScheduling, Keyring, MemoryPolicy, Scheduling};
use stack::ChildStack;

/// Everything about a process to be, as plain values; descriptors are indexes into the list that goes with it.
///
/// The child is the leader of a session of its own, has every signal unblocked and at its default action, and inherits
/// no descriptor but those named here. The child adds `LISTEN_PID=<its own pid>` itself when `listen_fds` is not 0;
/// `envp` must hold `LISTEN_FDS` and `LISTEN_FDNAMES` then, and must not hold `LISTEN_PID`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnPlan {
    /// The program: a path with a `/`, or a bare name that is looked up in `search_path`.
    pub path: CString,
    /// Directories for a bare name, first wins; empty means [`DEFAULT_SEARCH_PATH`].
    pub search_path: Vec<CString>,
    /// The arguments, the name of the program (argv\[0\]) included.
    pub argv: Vec<CString>,
    /// The environment, each entry `NAME=value`: the whole of it, or with `extends_environment` what differs from the one that
    /// [`Spawner::set_environment`] was given.
    pub envp: Vec<CString>,
    /// See `envp`.
    pub extends_environment: bool,
    /// How many descriptors go with this plan.
    pub fds: u16,
    /// The first so many of them are placed from descriptor 3 up.
    pub listen_fds: u16,
    /// The first so many of those are sockets of socket units (the rest, of the fd store, keep their flags).
    pub socket_fds: u16,
    /// `O_NONBLOCK` for the first `socket_fds`; `None` leaves it as it is.
    pub nonblocking: Option<bool>,
    /// Standard input.
    pub stdin: Stdio,
    /// Standard output.
    pub stdout: Stdio,
    /// Standard error.
    pub stderr: Stdio,
    /// Whether standard input, a terminal, becomes the one that controls the session.
    pub terminal: Terminal,
    /// User and groups to become; `None` stays what the keeper is.
    pub credentials: Option<Credentials>,
    /// Limits to set; one that is not named is as it was when the [`Spawner`] was made.
    pub rlimits: Vec<ResourceLimit>,
    /// How the kernel is to schedule and judge it, where that is not as with the keeper.
    pub scheduling: Option<Box<Scheduling>>,
    /// Its session keyring.
    pub keyring: Keyring,
    /// Directory to change to, as the user to become; `None` is `/`.
    pub working_directory: Option<WorkingDirectory>,
    /// File mode creation mask; `None` is systemd's 0022.
    pub umask: Option<u32>,
    /// Ignore `SIGPIPE` (systemd's `IgnoreSIGPIPE=`, on by default there); otherwise it is at its default action.
    pub ignore_sigpipe: bool,
    /// Sets `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
    /// Capabilities and filters of system calls, where they are to be others than the keeper's.
    pub confinement: Option<Box<Confinement>>,
    /// Namespaces of its own, if it gets any. That takes a copy of the keeper's memory, which starts without do without.
    pub isolation: Option<Box<Isolation>>,
    /// The child adds `WATCHDOG_PID=<its own pid>`.
    pub watchdog_pid: bool,
    /// The child adds `SYSTEMD_EXEC_PID=<its own pid>`.
    pub exec_pid: bool,
}

/// What a standard descriptor of the child is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdio {
    /// `/dev/null`.
    #[default]
    Null,
    /// What the keeper itself has there.
    Inherit,
    /// The descriptor with this index in the list that goes with the plan; made blocking.
    Fd(u16),
}

/// What is done to make standard input the controlling terminal (ioctl_tty(2), `TIOCSCTTY`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminal {
    /// Nothing: it is none, or is not to control.
    #[default]
    None,
    /// It is asked for; the start fails at [`SpawnStep::Stdin`] when it controls another session.
    Ask,
    /// It is taken away from another session, which needs privilege.
    Take,
}

/// User and groups of a process, numeric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// User id to become; `None` changes the groups only.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups; `None` leaves them as they are (all that an unprivileged keeper can do).
    pub groups: Option<Vec<u32>>,
}

/// One limit of setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimit {
    /// `RLIMIT_*` as the kernel numbers it.
    pub resource: u32,
    /// The soft limit; `u64::MAX` is infinity.
    pub soft: u64,
    /// The hard limit; `u64::MAX` is infinity.
    pub hard: u64,
}

/// Where a process starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingDirectory {
    /// The directory.
    pub path: CString,
    /// A missing directory is no error (systemd's `-` prefix); the process starts in `/` then.
    pub optional: bool,
}

/// Descriptors below this number are for what goes to a child; what is kept for long belongs above
/// ([`move_high`]): a child need not copy and close it then. Two packets full of descriptors fit below.
const LOW_FDS: RawFd = 512;

/// Moves a descriptor that is kept for long out of the way of those that come and go. Where that is impossible (a low
/// limit of descriptors) it stays where it is; starting a process then takes a little longer.
#[must_use]
pub fn move_high(fd: OwnedFd) -> OwnedFd {
    if fd.as_raw_fd() >= LOW_FDS {
        return fd;
    }
    // SAFETY: plain numbers.
    let moved = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, LOW_FDS) };
    if moved < 0 {
        return fd;
    }
    // SAFETY: just made, and owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(moved) }
}

/// The directories in which systemd looks for a program without a `/`.
pub const DEFAULT_SEARCH_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The step at which a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpawnStep {
    /// Finding a process that somebody else has made.
    Adopt,
    /// Making the process at all: no process, no exit status; the unit's result is `resources`.
    Clone,
    /// The working directory.
    Chdir,
    /// The descriptors from 3 up.
    Fds,
    /// `execve`, or no such program.
    Exec,
    /// The nice value.
    Nice,
    /// A resource limit.
    Limits,
    /// How gladly the kernel kills it.
    OomAdjust,
    /// The signal mask or an action.
    SignalMask,
    /// Standard input.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Class and priority of disk access.
    IoPriority,
    /// How late timers may be.
    TimerSlack,
    /// The scheduling policy.
    SetScheduler,
    /// The processors to run on.
    CpuAffinity,
    /// The secure bits.
    SecureBits,
    /// The group or the supplementary groups.
    Group,
    /// The user.
    User,
    /// The capabilities.
    Capabilities,
    /// The new session.
    Setsid,
    /// The network namespace.
    Network,
    /// Another namespace, or what is mounted in it.
    Namespace,
    /// `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// The architecture that uname(2) reports.
    Personality,
    /// A directory below `/run`.
    RuntimeDirectory,
    /// The session keyring.
    Keyring,
    /// A directory below `/var/lib`.
    StateDirectory,
    /// A directory below `/var/cache`.
    CacheDirectory,
    /// A directory below `/var/log`.
    LogsDirectory,
    /// A directory below `/etc`.
    ConfigurationDirectory,
    /// The files in `CREDENTIALS_DIRECTORY`.
    Credentials,
    /// The nodes that memory comes from.
    NumaPolicy,
    /// A filter of system calls.
    Seccomp,
    /// The filter for address families.
    AddressFamilies,
}

impl SpawnStep {
    /// The exit status systemd gives a process that fails at this step (systemd.exec(5), "Process Exit Codes");
    /// `None` where there was no process.
    #[must_use]
    pub fn exit_status(self) -> Option<i32> {
        Some(match self {
            Self::Clone | Self::Adopt => return None,
            Self::Chdir => 200,
            Self::Nice => 201,
            Self::Fds => 202,
            Self::Exec => 203,
            Self::Limits => 205,
            Self::OomAdjust => 206,
            Self::SignalMask => 207,
            Self::Stdin => 208,
            Self::Stdout => 209,
            Self::IoPriority => 211,
            Self::TimerSlack => 212,
            Self::SetScheduler => 214,
            Self::CpuAffinity => 215,
            Self::SecureBits => 213,
            Self::Group => 216,
            Self::User => 217,
            Self::Capabilities => 218,
            Self::Setsid => 220,
            Self::Stderr => 222,
            Self::Network => 225,
            Self::Namespace => 226,
            Self::NoNewPrivileges => 227,
            Self::Personality => 230,
            Self::RuntimeDirectory => 233,
            Self::Keyring => 237,
            Self::StateDirectory => 238,
            Self::CacheDirectory => 239,
            Self::LogsDirectory => 240,
            Self::ConfigurationDirectory => 241,
            Self::NumaPolicy => 242,
            Self::Credentials => 243,
            Self::Seccomp => 228,
            Self::AddressFamilies => 232,
        })
    }

    /// systemd's word for that exit status ("CHDIR", "EXEC", …).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clone => "CLONE",
            Self::Adopt => "ADOPT",
            Self::Chdir => "CHDIR",
            Self::Nice => "NICE",
            Self::Fds => "FDS",
            Self::Exec => "EXEC",
            Self::Limits => "LIMITS",
            Self::OomAdjust => "OOM_ADJUST",
            Self::SignalMask => "SIGNAL_MASK",
            Self::Stdin => "STDIN",
            Self::Stdout => "STDOUT",
            Self::Stderr => "STDERR",
            Self::IoPriority => "IOPRIO",
            Self::TimerSlack => "TIMERSLACK",
            Self::SetScheduler => "SETSCHEDULER",
            Self::CpuAffinity => "CPUAFFINITY",
            Self::Group => "GROUP",
            Self::User => "USER",
            Self::Setsid => "SETSID",
            Self::Network => "NETWORK",
            Self::Namespace => "NAMESPACE",
            Self::NoNewPrivileges => "NO_NEW_PRIVILEGES",
            Self::Personality => "PERSONALITY",
            Self::RuntimeDirectory => "RUNTIME_DIRECTORY",
            Self::Keyring => "KEYRING",
            Self::StateDirectory => "STATE_DIRECTORY",
            Self::CacheDirectory => "CACHE_DIRECTORY",
            Self::LogsDirectory => "LOGS_DIRECTORY",
            Self::ConfigurationDirectory => "CONFIGURATION_DIRECTORY",
            Self::NumaPolicy => "NUMA_POLICY",
            Self::Credentials => "CREDENTIALS",
            Self::SecureBits => "SECUREBITS",
            Self::Capabilities => "CAPABILITIES",
            Self::Seccomp => "SECCOMP",
            Self::AddressFamilies => "ADDRESS_FAMILIES",
        }
    }
}

/// A start that failed; there is no process, nothing is left to reap.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the process: failed at step {}", step.name())]
pub struct SpawnError {
    /// Where.
    pub step: SpawnStep,
    /// Why.
    pub source: io::Error,
}

impl SpawnError {
    fn os(step: SpawnStep, errno: i32) -> Self {
        Self { step, source: io::Error::from_raw_os_error(errno) }
    }

    /// The kernel's error number.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(libc::EINVAL)
    }
}

/// Starts processes. One for the whole life of the keeper.
#[derive(Debug)]
pub struct Spawner {
    stack: ChildStack,
    report: Report,
    /// Where `Stdio::Null` comes from; a machine without `/dev/null` fails at the first use.
    null: Option<OwnedFd>,
    /// Signals that whoever started this program has had ignored; children get them at their default again.
    ignored_signals: Vec<i32>,
    /// `RLIMIT_NOFILE` at the start, for children of plans that do not name one.
    fd_limit: ResourceLimit,
    /// What plans extend.
    environment: Vec<CString>,
}

impl Spawner {
    /// Prepares for starting processes. Remembers the limit of descriptors: make this before
    /// [`crate::child::raise_fd_limit`].
    ///
    /// # Errors
    /// No memory for the child's stack, or the limit cannot be read.
    pub fn new() -> Result<Self, SysError> {
        Ok(Self {
            stack: ChildStack::new()?,
            report: Report::new()?,
            null: File::options().read(true).write(true).open("/dev/null").ok().map(OwnedFd::from),
            ignored_signals: signals::ignored(),
            fd_limit: child::fd_limit()?,
            environment: Vec::new(),
        })
    }

    /// Takes the environment, each entry `NAME=value`, that plans with `extends_environment` start from: it is the same for most of
    /// them, so it need not come with each.
    pub fn set_environment(&mut self, environment: Vec<CString>) {
        self.environment = environment;
    }

    /// The variables of the plan, after those of the common environment that it does not replace.
    fn environment<'a>(&'a self, plan: &'a SpawnPlan) -> impl Iterator<Item = &'a CStr> {
        let common = if plan.extends_environment { self.environment.as_slice() } else { &[] };
        let kept =
            common.iter().filter(|entry| !plan.envp.iter().any(|own| variable(own) == variable(entry)));
        kept.chain(&plan.envp).map(CString::as_c_str)
    }

    /// Starts the process of `plan` with these descriptors; answers its pid as soon as it has passed `execve`.
    ///
    /// The calling thread stands still until then, a fraction of a millisecond.
    ///
    /// # Errors
    /// [`SpawnError`]; nothing stays behind then.
    pub fn spawn(&mut self, plan: &SpawnPlan, fds: &[BorrowedFd<'_>]) -> Result<i32, SpawnError> {
        check_indexes(plan, fds.len())?;
        let mut sources: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let stdio = self.resolve_stdio(plan, &mut sources)?;
        let candidates = candidates(plan);
        let mut own_pid = OwnPidVariables::of(plan);
        let job = Job {
            plan,
            sources: &mut sources,
            stdio,
            rlimits: &self.rlimits(plan),
            ignored_signals: &self.ignored_signals,
            candidates: &pointers(candidates.iter().map(CString::as_c_str)),
            argv: &pointers(plan.argv.iter().map(CString::as_c_str)),
            envp: &own_pid.append_to(pointers(self.environment(plan))),
            own_pid: &own_pid,
        };
        child_side::clone_and_exec(&mut self.stack, &mut self.report, job)
    }

    /// Where each standard descriptor comes from: an index into `sources`, `None` for "as the keeper's".
    fn resolve_stdio(
        &self,
        plan: &SpawnPlan,
        sources: &mut Vec<RawFd>,
    ) -> Result<[Option<usize>; 3], SpawnError> {
        let mut null_index = None;
        let mut resolved = [None; 3];
        for (index, (stdio, step)) in plan.standard_streams().into_iter().enumerate() {
            resolved[index] = match stdio {
                Stdio::Inherit => None,
                Stdio::Fd(source) => Some(source.into()),
                Stdio::Null if null_index.is_some() => null_index,
                Stdio::Null => {
                    let null = self.null.as_ref().ok_or_else(|| SpawnError::os(step, libc::ENOENT))?;
                    sources.push(null.as_raw_fd());
                    null_index = Some(sources.len() - 1);
                    null_index
                }
            };
        }
        Ok(resolved)
    }

    /// The limits of the plan, and the limit of descriptors as it was before this process raised its own.
    fn rlimits(&self, plan: &SpawnPlan) -> Vec<ResourceLimit> {
        let named = plan.rlimits.iter().any(|limit| limit.resource == self.fd_limit.resource);
        let inherited = (!named).then_some(self.fd_limit);
        plan.rlimits.iter().copied().chain(inherited).collect()
    }
}

impl SpawnPlan {
    /// The three standard streams, each with the step that places it.
    fn standard_streams(&self) -> [(Stdio, SpawnStep); 3] {
        [(self.stdin, SpawnStep::Stdin), (self.stdout, SpawnStep::Stdout), (self.stderr, SpawnStep::Stderr)]
    }
}

/// Refuses a plan whose indexes do not fit the descriptors that came with it.
fn check_indexes(plan: &SpawnPlan, fds: usize) -> Result<(), SpawnError> {
    let listen: usize = plan.listen_fds.into();
    if plan.fds as usize != fds || listen > fds || plan.socket_fds > plan.listen_fds {
        return Err(SpawnError::os(SpawnStep::Fds, libc::EBADF));
    }
    for (stdio, step) in plan.standard_streams() {
        if matches!(stdio, Stdio::Fd(index) if usize::from(index) >= fds) {
            return Err(SpawnError::os(step, libc::EBADF));
        }
    }
    Ok(())
}

/// The paths to try in turn.
fn candidates(plan: &SpawnPlan) -> Vec<CString> {
    if plan.path.as_bytes().contains(&b'/') {
        return vec![plan.path.clone()];
    }
    let in_directory = |directory: &[u8]| {
        let path = [directory, b"/", plan.path.as_bytes()].concat();
        CString::new(path).expect("made of two strings without NUL")
    };
    if plan.search_path.is_empty() {
        DEFAULT_SEARCH_PATH.iter().map(|directory| in_directory(directory.as_bytes())).collect()
    } else {
        plan.search_path.iter().map(|directory| in_directory(directory.as_bytes())).collect()
    }
}

/// The name of the variable that an entry sets.
fn variable(entry: &CStr) -> &[u8] {
    entry.to_bytes().split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// The null-terminated array of pointers that `execve` wants.
fn pointers<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    strings.map(CStr::as_ptr).chain(iter::once(ptr::null())).collect()
}
