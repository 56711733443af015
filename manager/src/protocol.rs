//! What keeper and manager say to each other.
//!
//! What never lives here: packets and sockets (`keeper`), and what a message causes. One invariant: every message knows how
//! many descriptors go with it.

use std::ffi::CString;

use serde::{Deserialize, Serialize};
use sockmgr_sys::child::{ExitStatus, KillScope};
use sockmgr_sys::spawn::{SpawnPlan, SpawnStep};

/// Version of these messages; in [`ToManager::Hello`]. A manager that reads another one exits with an error.
pub const PROTOCOL_VERSION: u32 = 3;

/// A process, named by the manager before there is one; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId(pub u64);

/// What the manager asks of the keeper. Carried out in the order sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// Keep these descriptors (as many go along, in this order) under these names; a name in use is replaced.
    /// One that got lost on the way is answered by [`ToManager::NotHeld`].
    Hold {
        /// Names, free text chosen by the manager.
        names: Vec<String>,
    },
    /// Close what is held under these names; unknown names are ignored. Answered by [`ToManager::Released`].
    Release {
        /// Names given to [`ToKeeper::Hold`].
        names: Vec<String>,
    },
    /// Start a process; `plan.fds` descriptors go along. Answered by exactly one [`ToManager::Spawned`] or
    /// [`ToManager::SpawnFailed`].
    Spawn {
        /// The name for everything that follows.
        process: ProcessId,
        /// Unit and role, opaque here; handed back in [`ToManager::Process`].
        tag: String,
        /// The plan.
        plan: Box<SpawnPlan>,
    },
    /// Watch a process that was not started here, as if it had been. Answered as [`ToKeeper::Spawn`].
    Adopt {
        /// The name for everything that follows.
        process: ProcessId,
        /// As in [`ToKeeper::Spawn`].
        tag: String,
        /// A process whose family it must belong to.
        like: ProcessId,
        /// Its pid; `None`: the only one of that family that is an orphan.
        pid: Option<i32>,
    },
    /// The environment, each entry `NAME=value`, that plans extend from now on.
    Environment(Vec<CString>),
    /// Send a signal. `Group` and `Session` also reach what an exited process left behind, until it is forgotten; `Session` is its
    /// whole family. Not answered; a process that is gone gets nothing.
    Kill {
        /// Which.
        process: ProcessId,
        /// Signal number.
        signal: i32,
        /// Who of it.
        scope: KillScope,
    },
    /// Stop a process with its whole family (SIGSTOP). Answered by [`ToManager::Frozen`]; SIGCONT has it go on.
    Freeze {
        /// Which.
        process: ProcessId,
    },
    /// The exits of these processes have been seen; processes that still live stay known.
    Forget {
        /// Which.
        processes: Vec<ProcessId>,
    },
    /// Keep a value for the next manager; replaces the value of that key.
    Remember {
        /// Key, free text.
        key: String,
        /// Value, any length.
        value: Vec<u8>,
    },
    /// Forget values; unknown keys are ignored.
    Erase {
        /// Keys given to [`ToKeeper::Remember`].
        keys: Vec<String>,
    },
    /// Everything listens: the keeper says `READY=1` to whoever started it. From now on the manager is restarted
    /// whatever its exit status.
    Ready,
    /// A line of text for whoever started the keeper (`STATUS=`).
    Status(String),
    /// All is stopped; the keeper exits with status 0 as soon as the manager has ended.
    Goodbye,
}

/// What the keeper tells the manager.
///
/// After its start a manager gets `Hello`, then every `Held`, `Remembered` and `Process`, then `Restored`, and only
/// then anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToManager {
    /// The first message.
    Hello {
        /// [`PROTOCOL_VERSION`] of the keeper.
        version: u32,
        /// How many managers there were before this one: 0 at the first start.
        restarts: u32,
    },
    /// A descriptor kept for an earlier manager; it goes along.
    Held {
        /// Its name.
        name: String,
    },
    /// A value kept for an earlier manager.
    Remembered {
        /// Its key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// A process of an earlier manager that is not forgotten yet.
    Process {
        /// Its name.
        process: ProcessId,
        /// As given to [`ToKeeper::Spawn`].
        tag: String,
        /// Its pid (of an exited one: the pid it had).
        pid: i32,
        /// How it ended, if it has.
        exit: Option<ExitStatus>,
        /// It has ended, and others of its family live.
        leaves_others: bool,
    },
    /// The end of what was kept; business from here on.
    Restored,
    /// The process has passed `execve`.
    Spawned {
        /// Which.
        process: ProcessId,
        /// Its pid.
        pid: i32,
    },
    /// There is no such process; no exit follows and nothing is to be forgotten.
    SpawnFailed {
        /// Which.
        process: ProcessId,
        /// Where.
        step: SpawnStep,
        /// Why.
        errno: i32,
    },
    /// The process has ended; said once, after `Spawned`. Kept until [`ToKeeper::Forget`].
    Exited {
        /// Which.
        process: ProcessId,
        /// How.
        status: ExitStatus,
        /// Others of its family live; [`ToManager::LeftGone`] follows when they do not any more.
        leaves_others: bool,
    },
    /// Nobody is left of the family of a process that has ended.
    LeftGone {
        /// Which.
        process: ProcessId,
    },
    /// Answers [`ToKeeper::Freeze`].
    Frozen {
        /// Which.
        process: ProcessId,
        /// Nobody of its family runs; else somebody has yet to notice.
        is_still: bool,
    },
    /// The keeper got a signal that is meant for the manager (`SIGTERM`, `SIGINT`, `SIGHUP`, `SIGUSR1`, …).
    Signal(i32),
    /// Everything that one [`ToKeeper::Release`] named is closed.
    Released,
    /// A descriptor of [`ToKeeper::Hold`] did not arrive: the keeper's descriptor table is full.
    NotHeld {
        /// Its name.
        name: String,
    },
}

/// A message, and how many descriptors go with it.
pub trait Message: Serialize + for<'a> Deserialize<'a> {
    /// How many descriptors belong to this message.
    fn fd_count(&self) -> usize;
}

impl Message for ToKeeper {
    fn fd_count(&self) -> usize {
        match self {
            Self::Hold { names } => names.len(),
            Self::Spawn { plan, .. } => plan.fds.into(),
            Self::Release { .. }
            | Self::Environment(_)
            | Self::Adopt { .. }
            | Self::Kill { .. }
            | Self::Freeze { .. }
            | Self::Forget { .. }
            | Self::Remember { .. }
            | Self::Erase { .. }
            | Self::Ready
            | Self::Status(_)
            | Self::Goodbye => 0,
        }
    }
}

impl Message for ToManager {
    fn fd_count(&self) -> usize {
        match self {
            Self::Held { .. } => 1,
            Self::Hello { .. }
            | Self::Remembered { .. }
            | Self::Process { .. }
            | Self::Restored
            | Self::Released
            | Self::Spawned { .. }
            | Self::SpawnFailed { .. }
            | Self::Exited { .. }
            | Self::LeftGone { .. }
            | Self::Frozen { .. }
            | Self::Signal(_)
            | Self::NotHeld { .. } => 0,
        }
    }
}
