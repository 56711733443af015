//! Control: the manager as D-Bus shows it, with the interfaces of `org.freedesktop.systemd1` and some of our own.
//!
//! There are no objects: a path and a name are looked up in tables at each call, so an idle manager holds nothing for its
//! clients. Peer to peer and bus connections share one dispatcher. Never here: decisions about units; they are the
//! engine's, reached through [`Core`]. Invariant: a reply is queued before any signal that its call gave rise to.

mod bus;
mod bus_names;
mod clean;
mod conditions;
mod dispatch;
mod error;
mod generation;
mod group;
mod hub;
mod install;
mod interface;
mod introspect;
mod job;
mod listing;
mod manager;
mod object;
mod outbox;
mod own;
mod path;
mod peer;
mod queues;
mod request;
mod service;
mod signal;
mod socket;
mod standard;
mod subject;
#[cfg(test)]
mod tests;
mod unit;
mod value;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use sockmgr_engine::{Command, Direction, Engine, JobId, KillWho, Notice, RequestError, Time};
use sockmgr_unit::{Unit, UnitName};
use tokio::sync::Notify;

use crate::install::UnitFiles;

pub use clean::Resource;
pub use error::StartError;
pub use hub::Hub;

/// A descriptor that a service has left with us, as fstat(2) and fcntl(2) see it.
#[derive(Clone, Debug, Default)]
pub struct StoredDescriptor {
    /// Its name in `LISTEN_FDNAMES`.
    pub name: String,
    /// Type and permissions (inode(7)).
    pub mode: u32,
    /// Major and minor number of the device it is on.
    pub device: (u32, u32),
    /// Its number there.
    pub inode: u64,
    /// Of a device: its own numbers.
    pub own_device: (u32, u32),
    /// What it is, as `/proc` names it.
    pub path: String,
    /// Flags of its open file (open(2)).
    pub flags: u32,
}

/// How a group of listeners is steered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SteeringView {
    /// `ebpf` or `classic`.
    pub make: &'static str,
    /// Why it is that one.
    pub reason: String,
    /// What lets connections of a listener that goes away migrate to its siblings: `program`, `sysctl`, or `no`: nothing does.
    pub migration: &'static str,
}

/// What waits in one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueView {
    /// Which line of the socket unit, from 0.
    pub line: usize,
    /// Whose it is, from 0; `None` where all instances share it.
    pub slot: Option<u32>,
    /// Connections, or bytes of datagrams.
    pub used: u32,
    /// The most there can be, in the same unit.
    pub limit: u32,
    /// What was dropped because it was full.
    pub drops: u32,
    /// How long the oldest has waited; `None`: it is empty, or the kernel does not tell.
    pub oldest: Option<Duration>,
    /// What was steered there so far, where somebody counts.
    pub steered: Option<u64>,
    /// The same per second, since somebody looked before; `None`: it was too long ago.
    pub per_second: Option<f64>,
}

/// What the control needs of the driver.
pub trait Core {
    /// The engine, to look at.
    fn engine(&self) -> &Engine;

    /// Queues the job that `command` asks for, and performs what can be done at once. `None`: there is nothing to do.
    ///
    /// # Errors
    /// The unit does not exist, cannot be used, or has no such function.
    fn request(&mut self, command: &Command) -> Result<Option<JobId>, RequestError>;

    /// Takes a job back, and with it those that wait for it to succeed.
    ///
    /// # Errors
    /// There is no such job.
    fn cancel(&mut self, job: JobId) -> Result<(), RequestError>;

    /// Takes all jobs back.
    fn cancel_all(&mut self);

    /// Sends `signal` to processes of `unit`.
    ///
    /// # Errors
    /// There is no such unit, or it has no such process.
    fn kill(&mut self, unit: &UnitName, who: KillWho, signal: i32) -> Result<(), RequestError>;

    /// Forgets failures and start counts, of one unit or of all.
    ///
    /// # Errors
    /// There is no such unit.
    fn reset_failed(&mut self, unit: Option<&UnitName>) -> Result<(), RequestError>;

    /// Removes what a unit that is down has left on disk.
    ///
    /// # Errors
    /// What could not be removed, and why.
    fn clean(&mut self, unit: &UnitName, what: &[Resource]) -> Result<(), String>;

    /// Does what is asked of a group, an instance or a socket beside jobs; the jobs that come of it are the answer.
    ///
    /// # Errors
    /// The unit is not of the kind that this can be done to, or a number is out of its bounds.
    fn direct(&mut self, unit: &UnitName, direction: Direction) -> Result<Vec<JobId>, RequestError>;

    /// Reads the unit files of a group again and begins to give them to its instances; the jobs that come of it.
    ///
    /// # Errors
    /// It is no group, has a rollout already, or its files cannot be used.
    fn roll_out(&mut self, unit: &UnitName) -> Result<Vec<JobId>, RequestError>;

    /// Reads all unit files again (`daemon-reload`).
    ///
    /// # Errors
    /// Why they cannot be read; the old ones stay in use.
    fn reload(&mut self) -> Result<(), String>;

    /// Looks on disk for a unit that is not known yet.
    fn find(&mut self, unit: &UnitName);

    /// The descriptors that a service has left with us, oldest first.
    fn stored_descriptors(&self, unit: &UnitName) -> Vec<StoredDescriptor>;

    /// Names on the message bus whose owners it wants to know of; they only become more.
    fn bus_names(&self) -> Vec<String>;

    /// Rings when there are more.
    fn bus_names_wanted(&self) -> Rc<Notify>;

    /// A name has an owner, or none.
    fn bus_name_changed(&mut self, name: &str, is_owned: bool);

    /// What clients have yet to hear of, oldest first.
    fn take_notices(&mut self) -> Vec<Notice>;

    /// A moment in microseconds since 1970.
    fn realtime(&self, time: Time) -> u64;

    /// How the group of a socket is steered; `None` where it has none, or is closed.
    fn steering(&self, socket: &UnitName) -> Option<SteeringView>;

    /// What waits in the listeners of a socket now.
    fn queues(&self, socket: &UnitName) -> Vec<QueueView>;

    /// Where unit files are looked for, first wins.
    fn unit_path(&self) -> Vec<PathBuf>;

    /// State and preset of a unit's file, in systemd's words; both empty where there is none.
    fn unit_file_state(&self, unit: &UnitName) -> (&'static str, &'static str);

    /// Whether the files of a unit are other than they were when they were read.
    fn needs_reload(&self, unit: &Unit) -> bool;

    /// What all services inherit: `NAME=value`, sorted.
    fn environment(&self) -> Vec<String>;

    /// Takes variables out of that, then puts others in.
    ///
    /// # Errors
    /// A text is not `NAME=value`, or to be taken out, not a name either; nothing is changed then.
    fn change_environment(&mut self, unset: &[String], set: &[String]) -> Result<(), String>;

    /// All unit files as they are on disk now, and those of the operands that are paths.
    fn unit_files(&self, operands: &[String]) -> UnitFiles;
}
