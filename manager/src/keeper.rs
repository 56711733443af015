//! The keeper: it holds every long-lived descriptor, starts and reaps every process, and supervises the manager.
//!
//! What never lives here: unit files, D-Bus, decisions about services. One invariant: whatever the manager does or
//! suffers, what it gave to the keeper is still there for the next one.

mod link;

use std::ffi::OsString;
use std::process::ExitCode;

pub use link::{KeeperLink, LinkError};

/// Runs the keeper until all is stopped: starts this very program again, with these arguments (without argv\[0\]) as the
/// manager and supervises it.
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    unimplemented!("{args:?}")
}
