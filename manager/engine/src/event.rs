//! The engine's two alphabets: what can happen ([`Event`]) and what is to be done about it ([`Action`]).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;

use crate::ids::{FdId, JobId, ProcessId};
use crate::job::{JobKind, JobResult};

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Event {
    /// Answers [`Action::Open`]: the listeners of `socket` are open, or none is and the text says why.
    Opened {
        /// The socket unit.
        socket: UnitName,
        /// Success, or what failed, for the log.
        result: Result<(), String>,
    },
    /// A watched descriptor is readable: a connection or a datagram waits.
    Incoming {
        /// The listener.
        fd: FdId,
    },
    /// Answers [`Action::Accept`].
    Accepted {
        /// The listener.
        fd: FdId,
        /// What was accepted, oldest first; maybe nothing (the client went away).
        connections: Vec<Connection>,
        /// An error that will not go away by itself, such as EMFILE.
        failure: Option<String>,
    },
    /// Answers [`Action::Spawn`]: the program runs (execve(2) succeeded).
    Spawned {
        /// The process that was asked for.
        process: ProcessId,
        /// Its pid.
        pid: u32,
    },
    /// Answers [`Action::Spawn`]: there is no process.
    SpawnFailed {
        /// The process that was asked for.
        process: ProcessId,
        /// Why.
        error: SpawnError,
    },
    /// A process ended. Comes once after each [`Event::Spawned`].
    Exited {
        /// The process.
        process: ProcessId,
        /// How it ended.
        status: ExitStatus,
    },
    /// A message on the notify socket (sd_notify(3)).
    Notified {
        /// The sender.
        pid: u32,
        /// The sender's session, if it still runs: services lead one each.
        session: Option<u32>,
        /// What it says.
        message: Notification,
    },
}

/// A connection that the driver accepted and holds.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The connection's descriptor.
    pub fd: FdId,
    /// Who is at the other end.
    pub peer: Peer,
}

/// The two ends of an accepted connection, as they name the instance and fill `REMOTE_ADDR=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// IPv4 or IPv6.
    Inet {
        /// Our end.
        local: SocketAddr,
        /// The client's end.
        remote: SocketAddr,
    },
    /// AF_UNIX, with the credentials of the client (SO_PEERCRED); `None` when it lives in another namespace.
    Unix {
        /// Client's pid and uid.
        credentials: Option<(u32, u32)>,
    },
}

/// Why a process could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnError {
    /// The exit code that systemd.exec(5) gives to the step that failed ("PROCESS EXIT CODES"), such as 203 for execve(2).
    pub exit_code: i32,
    /// The step and the reason, for the log.
    pub text: String,
    /// The failure is the manager's (a file that cannot be opened, no memory), so the result is `resources`, not `exit-code`.
    pub resources: bool,
}

/// How a process ended (wait(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It called exit with this code.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// This signal killed it, and it dumped core.
    Dumped(i32),
}

/// What one datagram on the notify socket says (sd_notify(3)); fields that are not there are `None` or false.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// `READY=1`
    pub ready: bool,
    /// `STOPPING=1`
    pub stopping: bool,
    /// `STATUS=…`
    pub status: Option<String>,
    /// `ERRNO=…`
    pub errno: Option<i32>,
    /// `EXTEND_TIMEOUT_USEC=…`, microseconds
    pub extend_timeout: Option<u64>,
}

/// One listening descriptor of a socket unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The descriptor.
    pub fd: FdId,
    /// Which `Listen*=` line of the unit it belongs to, from 0.
    pub line: usize,
    /// The slot (from 0) that owns it, or `None` when all instances share it.
    pub slot: Option<u32>,
}

/// A descriptor for a service, with its name in `LISTEN_FDNAMES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedFd {
    /// The descriptor.
    pub fd: FdId,
    /// Its name.
    pub name: String,
}

/// Which `Exec*=` list of a service a command comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecList {
    /// `ExecStartPre=`
    StartPre,
    /// `ExecStart=`
    Start,
    /// `ExecStartPost=`
    StartPost,
    /// `ExecReload=`
    Reload,
    /// `ExecStop=`
    Stop,
}

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillScope {
    /// The process alone.
    Process,
    /// Its process group, also when the process itself is gone.
    Group,
    /// Every process of the session that it leads, also when it is gone itself.
    Session,
}

/// Something for the driver to do. It performs them in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open all these listeners of `socket`, or none; group members in slot order. Answer: [`Event::Opened`], before
    /// any other event.
    Open {
        /// The socket unit.
        socket: UnitName,
        /// Its listeners.
        ports: Vec<Port>,
    },
    /// Close these listeners, and remove unix paths if the unit says so (`RemoveOnStop=`).
    Close {
        /// The socket unit.
        socket: UnitName,
        /// Its listeners.
        ports: Vec<Port>,
    },
    /// Report when `fd` is readable, each time until unwatched.
    Watch {
        /// A listener.
        fd: FdId,
    },
    /// Stop reporting.
    Unwatch {
        /// A listener.
        fd: FdId,
    },
    /// Accept up to `max` connections. Answer: [`Event::Accepted`].
    Accept {
        /// The listener.
        fd: FdId,
        /// At most so many.
        max: u32,
    },
    /// Throw away what waits on this listener.
    Flush {
        /// The listener.
        fd: FdId,
    },
    /// Close an accepted connection (our copy of it; a service that was given it keeps its own).
    CloseConnection {
        /// The connection.
        fd: FdId,
    },
    /// Close a descriptor that an earlier manager opened and no unit knows.
    Discard {
        /// The descriptor.
        fd: FdId,
    },
    /// Start one command. Answer: [`Event::Spawned`] or [`Event::SpawnFailed`].
    Spawn {
        /// The name of the process from now on.
        process: ProcessId,
        /// Its unit.
        unit: UnitName,
        /// Which list of commands.
        list: ExecList,
        /// Which command of the list.
        index: usize,
        /// The sockets for it, in order.
        fds: Vec<PassedFd>,
        /// Variables that the engine knows: `REMOTE_ADDR`, `MAINPID`, `SOCKMGR_INSTANCE`, …
        environment: Vec<(&'static str, String)>,
    },
    /// Send a signal.
    Kill {
        /// The process.
        process: ProcessId,
        /// The signal's number.
        signal: i32,
        /// Whom else.
        scope: KillScope,
    },
    /// The end of this process has been dealt with: the keeper may forget it.
    Forget {
        /// The process.
        process: ProcessId,
    },
    /// From now on new connections of the group go to these slots only (all of its `Listen*=` lines). Never empty.
    Steer {
        /// The socket unit.
        socket: UnitName,
        /// Slots in rotation, ascending.
        live: Vec<u32>,
    },
    /// Tell those who listen.
    Notice(Notice),
}

/// News for clients and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A unit came into being (an instance).
    UnitNew(UnitName),
    /// A unit is gone for good.
    UnitRemoved(UnitName),
    /// Something about the unit changed: persist it, signal its properties. At most once a call, after all else.
    UnitChanged(UnitName),
    /// A job was queued.
    JobNew {
        /// The job.
        id: JobId,
        /// Its unit.
        unit: UnitName,
        /// What it does.
        kind: JobKind,
    },
    /// A job ended.
    JobRemoved {
        /// The job.
        id: JobId,
        /// Its unit.
        unit: UnitName,
        /// How.
        result: JobResult,
    },
    /// A line for the log.
    Log {
        /// The unit it is about.
        unit: UnitName,
        /// How loud.
        level: Level,
        /// The sentence.
        message: String,
    },
}

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warning,
    /// What a person wants to see.
    Info,
    /// State transitions.
    Debug,
}
