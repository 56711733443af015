//! The engine's two alphabets: what can happen ([`Event`]) and what is to be done about it ([`Action`]).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;
use sockmgr_unit::value::{NotifyAccess, ReadyCheck};

use crate::ids::{FdId, JobId, ProcessId, Time};
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
    /// Answers [`Action::Watch`] where that is impossible: the descriptor is of a plain file.
    Unwatchable {
        /// The listener.
        fd: FdId,
        /// Why, for the log.
        why: String,
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
    /// Answers [`Action::Spawn`]: the program runs (execve(2) succeeded). Answers [`Action::FindMain`]: this is it.
    Spawned {
        /// The process that was asked for.
        process: ProcessId,
        /// Its pid.
        pid: u32,
    },
    /// Answers [`Action::Spawn`]: there is no process. Answers [`Action::FindMain`]: it was not found.
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
        /// Processes that it has started still live; [`Event::LeftGone`] tells when they do not any more.
        leaves_others: bool,
    },
    /// What an ended process had left behind has ended as well.
    LeftGone {
        /// The process.
        process: ProcessId,
    },
    /// Answers [`Action::Probe`].
    Probed {
        /// The process that was asked about.
        process: ProcessId,
        /// It is ready; or why it does not seem so.
        result: Result<(), String>,
    },
    /// Answers [`Action::Check`].
    Checked {
        /// The unit.
        unit: UnitName,
        /// Of each of its conditions whether it holds.
        conditions: Vec<bool>,
        /// Of each of its asserts whether it holds.
        asserts: Vec<bool>,
    },
    /// Answers [`Action::Measure`].
    Measured {
        /// The listener.
        fd: FdId,
        /// How much waits there: connections, or bytes of datagrams; `None` where the kernel does not tell.
        queued: Option<u32>,
    },
    /// Answers [`Action::Count`].
    Counted {
        /// The listener.
        fd: FdId,
        /// Connections, whoever waits included, or 1 where something else waits; `None` where the kernel does not tell.
        count: Option<u32>,
        /// Somebody came since it was last counted, however short the visit.
        has_visitors: bool,
    },
    /// Answers [`Action::Freeze`].
    Frozen {
        /// The process.
        process: ProcessId,
        /// Nobody of its family runs; else somebody has yet to notice.
        is_still: bool,
    },
    /// Somebody shut a listener down (shutdown(2)): the kernel has taken it out of its group, if it was in one.
    HungUp {
        /// The listener.
        fd: FdId,
    },
    /// Answers [`Action::Relisten`]: it listens again, as the last member of its group; or the text says why not.
    Relistened {
        /// The listener.
        fd: FdId,
        /// Success, or what failed, for the log.
        result: Result<(), String>,
    },
    /// Answers [`Action::Migrate`].
    Migrated {
        /// The socket unit.
        socket: UnitName,
        /// Which `Listen*=` line of it.
        line: usize,
        /// What became of it.
        outcome: Migrated,
    },
    /// A message on the notify socket (sd_notify(3)).
    Notified {
        /// The sender.
        pid: u32,
        /// A process that the sender belongs to: the leader of its session, since services lead one each, or an ancestor.
        kin: Option<u32>,
        /// What it says.
        message: Notification,
    },
    /// The other end of a stored descriptor is gone ([`Action::Store`]).
    StoredHungUp {
        /// The descriptor.
        fd: FdId,
    },
    /// A name on the message bus has got an owner, or lost it. Comes once for each name after it was first wanted.
    BusName {
        /// The name.
        name: String,
        /// It has an owner.
        is_owned: bool,
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
    /// AF_VSOCK; each end is a machine and a port.
    Vsock {
        /// Our end.
        local: (u32, u32),
        /// The client's end.
        remote: (u32, u32),
    },
    /// AF_UNIX.
    Unix {
        /// Client's pid and uid (SO_PEERCRED); `None` when it lives in another namespace.
        credentials: Option<(u32, u32)>,
        /// What the client is bound to, if it is: a path, or `@` and an abstract name.
        name: Option<Box<str>>,
    },
}

/// What became of connections that were to be moved to other slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// These listeners were shut down one after the other, and then asked to listen again in this order: success, or what failed.
    Moved {
        /// In the order in which they left the group.
        left: Vec<FdId>,
        /// In the order in which they came back.
        back: Vec<(FdId, Result<(), String>)>,
    },
    /// Nothing waits, so nothing was done.
    Nothing,
    /// The kernel would not move them, so nothing was done.
    Impossible,
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
    /// `RELOADING=1`
    pub reloading: bool,
    /// `STOPPING=1`
    pub stopping: bool,
    /// `STATUS=…`
    pub status: Option<String>,
    /// `ERRNO=…`
    pub errno: Option<i32>,
    /// `BUSERROR=…`
    pub bus_error: Option<String>,
    /// `MAINPID=…`
    pub main_pid: Option<u32>,
    /// `MONOTONIC_USEC=…`: when the reload that it tells of began.
    pub monotonic: Option<Time>,
    /// `WATCHDOG=…`
    pub watchdog: Option<WatchdogWord>,
    /// `WATCHDOG_USEC=…`, microseconds
    pub watchdog_interval: Option<u64>,
    /// `EXTEND_TIMEOUT_USEC=…`, microseconds
    pub extend_timeout: Option<u64>,
    /// `NOTIFYACCESS=…`
    pub notify_access: Option<NotifyAccess>,
    /// `FDSTORE=1` or `FDSTOREREMOVE=1`
    pub store: Option<StoreRequest>,
    /// The descriptors that came with it, where it asks to store them. The engine stores each of them or gives it back
    /// ([`Action::Unstore`]).
    pub fds: Vec<FdId>,
}

/// What a service says to its watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchdogWord {
    /// `WATCHDOG=1`: it is well.
    Ping,
    /// `WATCHDOG=trigger`: it is not.
    Trigger,
}

/// What is to become of descriptors in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreRequest {
    /// Keep those that came along.
    Add {
        /// `FDNAME=`, checked.
        name: String,
        /// Unless `FDPOLL=0`: drop them when their other end hangs up.
        poll: bool,
    },
    /// Close all of that name.
    Remove {
        /// `FDNAME=`
        name: String,
    },
}

/// How to find a main process that the keeper did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MainHint {
    /// It is this one, if it belongs to the unit.
    Pid(u32),
    /// This file names it.
    File(String),
    /// It is the only process that the one that was started has left behind.
    Guess,
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
    /// The service has left it with us; else it is a socket.
    pub is_stored: bool,
}

/// Which `Exec*=` list of a service or a socket a command comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ExecList {
    /// `ExecCondition=`
    Condition,
    /// Not written in any file: gives the nodes of a socket to `SocketUser=` and `SocketGroup=`.
    Chown,
    /// `ExecStopPre=` (of sockets)
    StopPre,
    /// `ExecStartPre=`
    StartPre,
    /// `ExecStart=`
    Start,
    /// `ReadyCheck=exec:`
    ReadyCheck,
    /// `ExecStartPost=`
    StartPost,
    /// `ExecReload=`
    Reload,
    /// `ExecStop=`
    Stop,
    /// `ExecStopPost=`
    StopPost,
}

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillScope {
    /// The process alone.
    Process,
    /// The session that it leads and everything else that came of it, also when it is gone itself.
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
    /// Set the options of these open listeners as the unit file says now.
    Adjust {
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
    /// Report when `fd` is readable, each time until unwatched. Answered only where it fails: [`Event::Unwatchable`].
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
    /// Find out whether a process serves, by a connection to its listener. Answer: [`Event::Probed`], later.
    Probe {
        /// The process.
        process: ProcessId,
        /// A listener that it has, of connections.
        fd: FdId,
        /// What is a good answer; not a command.
        check: ReadyCheck,
        /// What to do so that the connection gets to that listener; `None`: nothing.
        detour: Option<Detour>,
        /// When no answer is one, too; `None`: never.
        until: Option<Time>,
    },
    /// Look whether the conditions and asserts of a unit hold. Answer: [`Event::Checked`].
    Check {
        /// The unit.
        unit: UnitName,
    },
    /// Ask how much waits on this listener. Answer: [`Event::Measured`].
    Measure {
        /// The listener.
        fd: FdId,
    },
    /// Count the connections of this listener's address, accepted ones too, and notice who comes from now on. Answer:
    /// [`Event::Counted`].
    Count {
        /// The listener.
        fd: FdId,
    },
    /// Stop a process with its whole family (SIGSTOP), until SIGCONT. What the engine knows of its unit by now must be remembered before,
    /// or another manager would not have it go on. Answer: [`Event::Frozen`], later.
    Freeze {
        /// The process.
        process: ProcessId,
        /// The unit that it belongs to.
        unit: UnitName,
    },
    /// Have a listener that was shut down listen again; one that listens is left alone. What the engine knows by now must be
    /// remembered before, since the kernel does not tell in which order the members of a group are. Answer: [`Event::Relistened`].
    Relisten {
        /// The socket unit, whose state is to be remembered first.
        socket: UnitName,
        /// The listener.
        fd: FdId,
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
    /// Find the main process of a unit, which the keeper has not started. Answer: [`Event::Spawned`] or [`Event::SpawnFailed`]; it is
    /// watched as any other from then on.
    FindMain {
        /// The name of the process from now on.
        process: ProcessId,
        /// Its unit.
        unit: UnitName,
        /// A process that it belongs to: the one that was started, or the main one so far.
        like: Option<ProcessId>,
        /// Where to look.
        hint: MainHint,
    },
    /// Report who has this name on the message bus from now on: [`Event::BusName`].
    WatchBusName {
        /// The name.
        name: String,
    },
    /// Keep a descriptor that came with a notification; report [`Event::StoredHungUp`].
    Store {
        /// The descriptor.
        fd: FdId,
        /// Look out for its other end.
        is_polled: bool,
    },
    /// Close a descriptor that came with a notification.
    Unstore {
        /// The descriptor.
        fd: FdId,
    },
    /// Nothing of the unit runs any more: what was made for its processes and does not outlive them goes.
    CleanUp {
        /// The unit.
        unit: UnitName,
        /// It is about to start again.
        restarts: bool,
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
    /// Move what waits on these listeners to their siblings, where the kernel does that. Nobody accepts on them, and others are in
    /// rotation. What the engine knows by now must be remembered before. To be shut down in the opposite order, and then to listen again
    /// in this one. Answer: [`Event::Migrated`].
    Migrate {
        /// The socket unit, whose state is to be remembered first.
        socket: UnitName,
        /// Which `Listen*=` line of it.
        line: usize,
        /// Listeners of slots, ascending.
        fds: Vec<FdId>,
        /// The slots in rotation.
        live: Vec<u32>,
        /// An earlier manager has begun: to be done whether something waits or not.
        again: bool,
    },
    /// Tell those who listen.
    Notice(Notice),
}

/// How a connection gets to a slot that is out of rotation: this one alone is steered there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detour {
    /// The socket unit.
    pub socket: UnitName,
    /// Which of its `Listen*=` lines.
    pub line: usize,
    /// The slot.
    pub slot: u32,
    /// Slots in rotation, where all others go meanwhile.
    pub live: Vec<u32>,
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
