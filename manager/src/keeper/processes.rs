//! The processes the keeper has started, until the manager has seen their ends.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use sockmgr_sys::child::{self, ExitStatus, KillScope};
use sockmgr_sys::spawn::{SpawnPlan, SpawnStep, Spawner};

use crate::protocol::{ProcessId, ToManager};

/// What is known of one process.
#[derive(Debug)]
struct Process {
    tag: String,
    pid: i32,
    exit: Option<ExitStatus>,
}

/// Every process that is alive or not forgotten yet.
#[derive(Debug, Default)]
pub(super) struct Processes {
    by_id: HashMap<ProcessId, Process>,
    /// The live ones.
    by_pid: HashMap<i32, ProcessId>,
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
        match spawner.spawn(plan, &fds) {
            Ok(pid) => {
                self.by_id.insert(process, Process { tag, pid, exit: None });
                self.by_pid.insert(pid, process);
                ToManager::Spawned { process, pid }
            }
            Err(error) => failed(error.step, error.errno()),
        }
    }

    /// Notes the end of a child; answers what to tell the manager. A stranger's end (an orphan of a service, or any
    /// process of the container when we are PID 1) concerns nobody.
    pub(super) fn note_exit(&mut self, pid: i32, status: ExitStatus) -> Option<ToManager> {
        let process = self.by_pid.remove(&pid)?;
        self.by_id.get_mut(&process).expect("by_pid names known processes only").exit = Some(status);
        Some(ToManager::Exited { process, status })
    }

    /// Sends a signal. Whatever is wrong with it (gone, not permitted) shows in what the process does next.
    pub(super) fn kill(&self, process: ProcessId, signal: i32, scope: KillScope) {
        let Some(Process { pid, exit, .. }) = self.by_id.get(&process) else {
            return;
        };
        let _ = match exit {
            None => child::kill(*pid, signal, scope),
            Some(_) => child::kill_left_behind(*pid, signal, scope),
        };
    }

    /// Sends a signal to every session.
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
        })
    }
}
