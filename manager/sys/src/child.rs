//! The processes of the keeper after their start: reaping, killing, signals.
//!
//! What never lives here: starting them ([`crate::spawn`]) and judging their exit status. One invariant: a pid is
//! signalled only while the kernel cannot have given it to somebody else.

use serde::{Deserialize, Serialize};

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
    /// Its process group.
    Group,
    /// Every process of its session.
    Session,
}
