//! Processes, whoever's they are: an event that concerns one goes to the machine of its unit.

use sockmgr_unit::UnitName;

use crate::command::KillWho;
use crate::engine::Engine;
use crate::event::{Action, ExitStatus, KillScope, SpawnError};
use crate::ids::ProcessId;
use crate::node::Machine;
use crate::service::Child;

impl Engine {
    pub(crate) fn process_spawned(&mut self, process: ProcessId, pid: u32) {
        let Some(name) = self.processes.get(&process).cloned() else { return };
        if self.is_of_socket(&name) {
            self.pids.insert(pid, process);
            self.socket_spawned(&name, process, pid);
        } else {
            self.service_spawned(process, pid);
        }
    }

    pub(crate) fn process_spawn_failed(&mut self, process: ProcessId, error: SpawnError) {
        let Some(name) = self.processes.get(&process).cloned() else { return };
        if self.is_of_socket(&name) {
            self.socket_spawn_failed(&name, process, error);
        } else {
            self.service_spawn_failed(process, error);
        }
    }

    pub(crate) fn process_exited(&mut self, process: ProcessId, status: ExitStatus, leaves_others: bool) {
        match self.processes.get(&process).cloned() {
            Some(name) if self.is_of_socket(&name) => {
                self.socket_exited(&name, process, status);
                self.out.push(Action::Forget { process });
            }
            Some(_) | None => self.service_exited(process, status, leaves_others),
        }
    }

    fn is_of_socket(&self, name: &UnitName) -> bool {
        self.nodes.get(name).is_some_and(|node| node.socket().is_some())
    }

    /// The process was asked for, and that it runs is not known yet.
    pub(crate) fn lacks_pid(&self, process: ProcessId, name: &UnitName) -> bool {
        match self.nodes.get(name).map(|node| &node.machine) {
            Some(Machine::Service(service)) => service.lacks_pid(process),
            Some(Machine::Socket(socket)) => socket.lacks_pid(process),
            Some(Machine::Group(_) | Machine::Target(_)) | None => false,
        }
    }

    /// Signals processes of a unit.
    pub(crate) fn kill_processes(&mut self, name: &UnitName, who: KillWho, signal: i32) {
        if let Some(other) = self.other_generation(name).filter(|_| who == KillWho::All) {
            self.kill_processes(&other, who, signal);
        }
        let process = |child: Option<Child>| child.map(|child| child.process);
        let (main, control, all) = match self.nodes.get(name).map(|node| &node.machine) {
            Some(Machine::Service(service)) => {
                (process(service.main), process(service.control), service.all_processes().collect())
            }
            Some(Machine::Socket(socket)) => {
                (None, process(socket.control), process(socket.control).into_iter().collect())
            }
            Some(Machine::Group(_) | Machine::Target(_)) | None => (None, None, Vec::new()),
        };
        let (targets, scope): (Vec<ProcessId>, _) = match who {
            KillWho::Main => (main.into_iter().collect(), KillScope::Process),
            KillWho::Control => (control.into_iter().collect(), KillScope::Process),
            KillWho::All => (all, KillScope::Session),
        };
        for target in targets {
            self.kill_scope(target, signal, scope);
        }
    }
}
