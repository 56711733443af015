//! What the end-to-end tests share: managers in directories of their own, real clients, and eyes on the kernel.
//!
//! Lives here: starting and ending processes, waiting for conditions, clients (HTTP, FastCGI, load), reading /proc, and
//! the scenes that `contrib/bench` plays too. Never here: a check of what else sockmgr promises; those are in
//! `tests/*.rs`, one file a topic. Nothing here links
//! sockmgr's own crates: the tests see what a user sees. Invariant: every wait has a condition and an end, and no
//! process outlives the value that stands for it.

pub mod built;
pub mod command;
pub mod fastcgi;
pub mod http;
pub mod kernel;
pub mod load;
pub mod manager;
pub mod namespace;
pub mod peer;
pub mod program;
pub mod scene;
pub mod site;
pub mod wait;
