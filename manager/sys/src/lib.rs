//! How the kernel does it: sockets, steering programs, queues, processes, fd passing.
//!
//! The only unsafe code of the daemon lives here, behind small safe functions over `OwnedFd` and `BorrowedFd`. What
//! never lives here: unit files, decisions, logging. One invariant: every descriptor made here is close-on-exec from
//! its birth; only a child that is about to `execve` has others.

pub mod accept;
mod ancillary;
pub mod arrivals;
pub mod child;
pub mod clock;
pub mod cpu;
pub mod descriptor;
pub mod diag;
pub mod directories;
pub mod error;
pub mod family;
pub mod intake;
pub mod limits;
pub mod listener;
pub mod memfd;
pub mod memory;
pub mod migration;
mod mount;
pub mod namespace;
mod netns;
pub mod notify;
pub mod options;
pub mod poll;
pub mod probe;
pub mod queue;
pub mod seccomp;
pub mod seqpacket;
mod sockopt;
pub mod spawn;
pub mod stdio;
pub mod steering;
pub mod terminal;
pub mod user;
#[cfg(test)]
mod wait;

pub use error::SysError;
