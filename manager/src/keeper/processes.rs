//! The processes the keeper has started, or was asked to watch, until the manager has seen their ends; and their families.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, OwnedFd};

use sockmgr_sys::child::{self, ExitStatus, KillScope};
use sockmgr_sys::family::{self, Family};
use sockmgr_sys::spawn::{SpawnPlan, SpawnStep, Spawner};

use crate::protocol::{ProcessId, ToManager};

/// By this variable of its environment a process is known that has left all else behind.
const MARK: &[u8] = b"INVOCATION_ID=";

/// What is known of one process.
#[derive(Debug)]
struct Process {
    tag: String,
    pid: i32,
    mark: Option<Box<[u8]>>,
    exit: Option<ExitStatus>,
    /// Tells of its end, where it may not be our child.
    end: Option<OwnedFd>,
}

/// Every process that is alive or not forgotten yet.
#[derive(Debug, Default)]
pub(super) struct Processes {
    by_id: HashMap<ProcessId, Process>,
    /// The live ones.
    by_pid: HashMap<i32, ProcessId>,
    /// Those that have ended and left others behind.
    lingering: BTreeSet<ProcessId>,
}

impl Processes {
    /// Starts a process and answers what to tell the manager. A descriptor that got lost on the way is `None`.
    pub(super) fn spawn(
        &mut self,
        spawner: &mut Spawner,
        process: ProcessId,
        tag: String,
        plan: &SpawnPlan,
        fds: &[Option<OwnedFd>],
    ) -> ToManager {
        let failed = |step, errno| ToManager::SpawnFailed { process, step, errno };
        if self.by_id.contains_key(&process) {
            return failed(SpawnStep::Clone, libc::EEXIST);
        }
        let Some(fds) = fds.iter().map(|fd| fd.as_ref().map(AsFd::as_fd)).collect::<Option<Vec<_>>>() else {
            return failed(SpawnStep::Fds, libc::EMFILE);
        };
        let mark = plan.envp.iter().map(|entry| entry.as_bytes()).find(|entry| entry.starts_with(MARK));
        match spawner.spawn(plan, &fds) {
            Ok(pid) => {
                let known = Process { tag, pid, mark: mark.map(Box::from), exit: None, end: None };
                self.by_id.insert(process, known);
                self.by_pid.insert(pid, process);
                ToManager::Spawned { process, pid }
            }
            Err(error) => failed(error.step, error.errno()),
        }
    }

    /// Takes on a process that was not started here: the one of this pid, or the only orphan, of the family of `like`. Answers what
    /// to tell the manager, and what tells of its end.
    pub(super) fn adopt(
        &mut self,
        process: ProcessId,
        tag: String,
        like: ProcessId,
        pid: Option<i32>,
    ) -> ToManager {
        match self.find(like, pid) {
            Ok((pid, end)) if !self.by_pid.contains_key(&pid) && !self.by_id.contains_key(&process) => {
                let mark = self.by_id.get(&like).and_then(|like| like.mark.clone());
                self.by_id.insert(process, Process { tag, pid, mark, exit: None, end: Some(end) });
                self.by_pid.insert(pid, process);
                ToManager::Spawned { process, pid }
            }
            Ok(_) => ToManager::SpawnFailed { process, step: SpawnStep::Adopt, errno: libc::EEXIST },
            Err(errno) => ToManager::SpawnFailed { process, step: SpawnStep::Adopt, errno },
        }
    }

    fn find(&self, like: ProcessId, pid: Option<i32>) -> Result<(i32, OwnedFd), i32> {
        let known = self.by_id.get(&like).ok_or(libc::ESRCH)?;
        let is_other = |pid| self.by_pid.get(&pid).is_some_and(|id| *id != like);
        let family = known.family(&is_other);
        let pid = match pid {
            Some(pid) => {
                let refused = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::ESRCH);
                family::check_member(&family, pid).map_err(refused)?;
                pid
            }
            None => match family.orphans().as_slice() {
                [only] => *only,
                [] => return Err(libc::ESRCH),
                _ => return Err(libc::ENOTUNIQ),
            },
        };
        let end = family::watch_end(pid).map_err(|error| error.errno())?;
        Ok((pid, end))
    }

    /// What tells of the end of a process that was adopted.
    pub(super) fn end_of(&self, process: ProcessId) -> Option<&OwnedFd> {
        self.by_id.get(&process)?.end.as_ref()
    }

    /// The pid of an adopted process whose end nobody has reaped here: it was somebody else's child.
    pub(super) fn unreaped(&self, process: ProcessId) -> Option<i32> {
        let known = self.by_id.get(&process)?;
        (known.end.is_some() && known.exit.is_none()).then_some(known.pid)
    }

    /// Notes the end of a child; answers what to tell the manager. A stranger's end (an orphan of a service, or any
    /// process of the container when we are PID 1) may have been the last of a family: see [`Self::left_gone`].
    pub(super) fn note_exit(&mut self, pid: i32, status: ExitStatus) -> Option<ToManager> {
        let process = self.by_pid.remove(&pid)?;
        let known = self.by_id.get_mut(&process).expect("by_pid names known processes only");
        known.exit = Some(status);
        known.end = None;
        let leaves_others = self.has_left(process);
        if leaves_others {
            self.lingering.insert(process);
        }
        Some(ToManager::Exited { process, status, leaves_others })
    }

    /// Ended processes of whose families nobody is left any more, since somebody else has ended.
    pub(super) fn left_gone(&mut self) -> Vec<ToManager> {
        let gone: Vec<ProcessId> =
            self.lingering.iter().copied().filter(|process| !self.has_left(*process)).collect();
        for process in &gone {
            self.lingering.remove(process);
        }
        gone.into_iter().map(|process| ToManager::LeftGone { process }).collect()
    }

    fn has_left(&self, process: ProcessId) -> bool {
        let is_other = |pid| self.by_pid.contains_key(&pid);
        self.by_id.get(&process).is_some_and(|known| known.family(&is_other).has_orphans())
    }

    /// Sends a signal. Whatever is wrong with it (gone, not permitted) shows in what the process does next.
    pub(super) fn kill(&self, process: ProcessId, signal: i32, scope: KillScope) {
        let Some(known) = self.by_id.get(&process) else {
            return;
        };
        let _ = match (scope, known.exit) {
            (KillScope::Main, Some(_)) => Ok(()),
            (KillScope::Main, None) => child::kill(known.pid, signal),
            (KillScope::Session, exit) => {
                let is_other = |pid| self.by_pid.get(&pid).is_some_and(|id| *id != process);
                known.family(&is_other).kill(signal, exit.is_none())
            }
        };
    }

    /// Stops a process with its family; true when nobody of them runs.
    pub(super) fn freeze(&self, process: ProcessId) -> bool {
        let is_other = |pid| self.by_pid.get(&pid).is_some_and(|id| *id != process);
        let known = self.by_id.get(&process);
        known.is_none_or(|known| known.family(&is_other).stop(known.exit.is_none()))
    }

    /// Sends a signal to every family.
    pub(super) fn kill_all(&self, signal: i32) {
        self.by_id.keys().for_each(|process| self.kill(*process, signal, KillScope::Session));
    }

    /// True while a process that was started here lives.
    pub(super) fn any_alive(&self) -> bool {
        !self.by_pid.is_empty()
    }

    /// Drops what is known of ended processes.
    pub(super) fn forget(&mut self, processes: &[ProcessId]) {
        for process in processes {
            if self.by_id.get(process).is_some_and(|known| known.exit.is_some()) {
                self.by_id.remove(process);
                self.lingering.remove(process);
            }
        }
    }

    /// Everything, for a new manager.
    pub(super) fn replay(&self) -> impl Iterator<Item = ToManager> {
        self.by_id.iter().map(|(process, known)| ToManager::Process {
            process: *process,
            tag: known.tag.clone(),
            pid: known.pid,
            exit: known.exit,
            leaves_others: self.lingering.contains(process),
        })
    }
}

impl Process {
    fn family<'a>(&'a self, is_other: &'a dyn Fn(i32) -> bool) -> Family<'a> {
        // As long as anybody is in its session or group the kernel gives its number to nobody else.
        let is_own = self.exit.is_none() || !child::exists(self.pid);
        Family { founder: is_own.then_some(self.pid), mark: self.mark.as_deref(), is_other }
    }
}
