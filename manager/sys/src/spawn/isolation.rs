//! Namespaces that a process has for itself, and how the child gets into them (namespaces(7)).
//!
//! Whoever gets any has memory of its own from the clone on, so that this is ordinary code. What never lives here: what a namespace
//! of mounts is filled with ([`super::mounts`]), and whether a kind can be had at all, which the manager finds out
//! ([`crate::namespace`]).

use std::ffi::CString;
use std::fs;
use std::io::{self, Read, Write};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, getegid, geteuid, getpid};
use serde::{Deserialize, Serialize};

use super::SpawnStep;
use super::child_side::Failure;
use super::mounts::MountPlan;
use crate::netns;

/// The namespaces of a process that are not the keeper's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// Users: only root, and the one that the process runs as.
    pub users: Option<Users>,
    /// Network: with nothing but loopback, or one that there is.
    pub network: Option<Namespace>,
    /// System V and POSIX message queues, semaphores and shared memory.
    pub ipc: Option<Namespace>,
    /// The host name.
    pub host_name: bool,
    /// Mounts.
    pub mounts: Option<MountPlan>,
}

/// Which namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespace {
    /// A new one.
    New,
    /// The one that this file stands for.
    At(CString),
}

/// When the namespace of users is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Users {
    /// First: without privileges it is what permits the others.
    First,
    /// Last: the others are to belong to the machine.
    Last,
}

impl Isolation {
    /// Enters all but the namespace of users, unless that comes first.
    pub(super) fn enter(&self) -> Result<(), Failure> {
        if self.users == Some(Users::First) {
            at(SpawnStep::User, enter_users_alone())?;
        }
        if let Some(network) = &self.network {
            at(SpawnStep::Network, enter_network(network))?;
        }
        if let Some(ipc) = &self.ipc {
            at(SpawnStep::Namespace, enter(ipc, CloneFlags::CLONE_NEWIPC))?;
        }
        if let Some(mounts) = &self.mounts {
            at(SpawnStep::Namespace, enter(&Namespace::New, CloneFlags::CLONE_NEWNS))?;
            at(SpawnStep::Namespace, mounts.carry_out())?;
        }
        if self.host_name {
            at(SpawnStep::Namespace, enter(&Namespace::New, CloneFlags::CLONE_NEWUTS))?;
        }
        Ok(())
    }

    /// Enters the namespace of users, if it comes last, to be this user and group there.
    pub(super) fn enter_users(&self, uid: u32, gid: u32) -> Result<(), Failure> {
        match self.users {
            Some(Users::Last) => at(SpawnStep::User, enter_users_with(uid, gid)),
            Some(Users::First) | None => Ok(()),
        }
    }
}

fn at(step: SpawnStep, done: io::Result<()>) -> Result<(), Failure> {
    done.map_err(|error| Failure { step, errno: error.raw_os_error().unwrap_or(libc::EINVAL) })
}

fn enter(namespace: &Namespace, kind: CloneFlags) -> io::Result<()> {
    match namespace {
        Namespace::New => unshare(kind)?,
        Namespace::At(path) => setns(fs::File::open(path.to_string_lossy().as_ref())?, kind)?,
    }
    Ok(())
}

fn enter_network(network: &Namespace) -> io::Result<()> {
    enter(network, CloneFlags::CLONE_NEWNET)?;
    if *network == Namespace::New { netns::raise_loopback() } else { Ok(()) }
}

/// Only one's own user: no more is permitted without privileges.
fn enter_users_alone() -> io::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", map(&[uid]))?;
    fs::write("/proc/self/gid_map", map(&[gid]))
}

/// Each id is what it is outside.
fn map(ids: &[u32]) -> String {
    ids.iter().map(|id| format!("{id} {id} 1\n")).collect()
}

/// Root and one user. Who has entered is not permitted to write this any more: a process that stays outside does.
fn enter_users_with(uid: u32, gid: u32) -> io::Result<()> {
    let both = |other: u32| if other == 0 { map(&[0]) } else { map(&[0, other]) };
    let (uids, gids, own) = (both(uid), both(gid), getpid());
    let (mut has_entered, mut entered) = io::pipe()?;
    // SAFETY: this process has one thread and memory of its own.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(entered);
            let write = |file: &str, text: &str| fs::write(format!("/proc/{own}/{file}"), text);
            let mut byte = [0];
            let written = has_entered
                .read_exact(&mut byte)
                .and_then(|()| write("uid_map", &uids))
                .and_then(|()| write("gid_map", &gids));
            let code = written.map_or_else(|error| error.raw_os_error().unwrap_or(libc::EINVAL), |()| 0);
            // SAFETY: ends the process without running anything of the keeper's.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            let done = unshare(CloneFlags::CLONE_NEWUSER)
                .map_err(io::Error::from)
                .and_then(|()| entered.write_all(b"!"));
            drop(entered);
            let ended = waitpid(child, None)?;
            done?;
            match ended {
                WaitStatus::Exited(_, 0) => Ok(()),
                WaitStatus::Exited(_, errno) => Err(io::Error::from_raw_os_error(errno)),
                _ => Err(io::Error::from_raw_os_error(libc::ECHILD)),
            }
        }
    }
}
