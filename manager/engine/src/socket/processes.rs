//! The commands of a socket, one after the other, and what their ends mean.

use sockmgr_unit::UnitName;

use super::{SocketResult, SocketState, socket_commands};
use crate::engine::Engine;
use crate::event::{Action, ExecList, ExitStatus, KillScope, PassedFd, SpawnError};
use crate::ids::ProcessId;
use crate::service::Child;

const SIGKILL: i32 = 9;

impl Engine {
    /// Runs command `index` of a list, or goes on when there is none.
    pub(super) fn socket_run(&mut self, name: &UnitName, list: ExecList, index: usize) {
        if index < socket_commands(self.socket_unit(name), list).len() {
            self.socket_spawn(name, list, index);
        } else {
            self.socket_list_done(name, list);
        }
    }

    pub(super) fn socket_spawn(&mut self, name: &UnitName, list: ExecList, index: usize) {
        let process = self.new_process(name);
        self.socket_mut(name).control = Some(Child { process, pid: None, list, index });
        self.set_socket_state(name, state_of(list));
        let limit = self.socket_time_limit(name);
        self.set_deadline(name, self.now.after(limit));
        let fds = self.passed_to_command(name, list);
        let environment = vec![("SOCKMGR_UNIT", name.to_string())];
        self.out.push(Action::Spawn { process, unit: name.clone(), list, index, fds, environment });
    }

    /// `PassFileDescriptorsToExec=`: never to `ExecStartPre=`, when nothing is open yet.
    fn passed_to_command(&self, name: &UnitName, list: ExecList) -> Vec<PassedFd> {
        let section = self.section(name);
        if !section.pass_file_descriptors_to_exec || list == ExecList::Chown {
            return Vec::new();
        }
        let passed = |port: crate::event::Port| PassedFd {
            fd: port.fd,
            name: section.fd_name(port.line, name).to_owned(),
            is_stored: false,
        };
        self.open_ports(name).map(passed).collect()
    }

    fn socket_list_done(&mut self, name: &UnitName, list: ExecList) {
        match list {
            ExecList::StartPre => self.enter_start_open(name),
            ExecList::Chown => self.socket_run(name, ExecList::StartPost, 0),
            ExecList::StartPost => self.enter_started(name),
            ExecList::StopPre => self.enter_closed(name, SocketResult::Success),
            ExecList::StopPost => self.socket_signal(name, SocketState::FinalSigterm, SocketResult::Success),
            ExecList::Condition
            | ExecList::ReadyCheck
            | ExecList::Start
            | ExecList::Reload
            | ExecList::Stop => {}
        }
    }

    pub(crate) fn socket_spawned(&mut self, name: &UnitName, process: ProcessId, pid: u32) {
        self.stir(name);
        if let Some(child) = self.socket_mut(name).control.as_mut().filter(|child| child.process == process) {
            child.pid = Some(pid);
        }
    }

    pub(crate) fn socket_spawn_failed(&mut self, name: &UnitName, process: ProcessId, error: SpawnError) {
        self.log_error(name, error.text);
        let result = error.resources.then_some(SocketResult::Resources);
        self.command_ended(name, process, ExitStatus::Exited(error.exit_code), result);
    }

    pub(crate) fn socket_exited(&mut self, name: &UnitName, process: ProcessId, status: ExitStatus) {
        self.command_ended(name, process, status, None);
    }

    /// `failure` is set when there never was a process.
    fn command_ended(
        &mut self,
        name: &UnitName,
        process: ProcessId,
        status: ExitStatus,
        failure: Option<SocketResult>,
    ) {
        let Some(child) = self.socket_mut(name).control.take_if(|child| child.process == process) else {
            return;
        };
        self.forget_child(child);
        self.stir(name);
        let result = failure.unwrap_or_else(|| self.command_result(name, child, status));
        if result == SocketResult::Success {
            self.command_done(name, child);
        } else {
            // One that never ran has been told of.
            if child.pid.is_some() {
                self.log_warning(name, format!("{}: {}", state_of(child.list).as_str(), how(status)));
            }
            self.command_failed(name, result);
        }
    }

    /// Clean is exit status 0 only, unless the command has the prefix `-`.
    fn command_result(&self, name: &UnitName, child: Child, status: ExitStatus) -> SocketResult {
        let command = socket_commands(self.socket_unit(name), child.list).get(child.index);
        match status {
            _ if command.is_some_and(|command| command.flags.ignore_failure) => SocketResult::Success,
            ExitStatus::Exited(0) => SocketResult::Success,
            ExitStatus::Exited(_) => SocketResult::ExitCode,
            ExitStatus::Killed(_) => SocketResult::Signal,
            ExitStatus::Dumped(_) => SocketResult::CoreDump,
        }
    }

    fn command_done(&mut self, name: &UnitName, child: Child) {
        match self.socket(name).state {
            SocketState::StartPre
            | SocketState::StartChown
            | SocketState::StartPost
            | SocketState::StopPre
            | SocketState::StopPost => match child.list {
                ExecList::Chown => self.socket_list_done(name, child.list),
                list => self.socket_run(name, list, child.index + 1),
            },
            SocketState::StopPreSigterm | SocketState::StopPreSigkill => {
                self.enter_closed(name, SocketResult::Success);
            }
            SocketState::FinalSigterm | SocketState::FinalSigkill => {
                self.enter_socket_down(name, SocketResult::Success);
            }
            SocketState::Dead
            | SocketState::StartOpen
            | SocketState::Listening
            | SocketState::Paused
            | SocketState::Running
            | SocketState::Failed => {}
        }
    }

    fn command_failed(&mut self, name: &UnitName, result: SocketResult) {
        match self.socket(name).state {
            SocketState::StartPre => self.socket_signal(name, SocketState::FinalSigterm, result),
            SocketState::StartChown | SocketState::StartPost => self.enter_closing(name, result),
            SocketState::StopPre | SocketState::StopPreSigterm | SocketState::StopPreSigkill => {
                self.enter_closed(name, result);
            }
            SocketState::StopPost | SocketState::FinalSigterm | SocketState::FinalSigkill => {
                self.enter_socket_down(name, result);
            }
            SocketState::Dead
            | SocketState::StartOpen
            | SocketState::Listening
            | SocketState::Paused
            | SocketState::Running
            | SocketState::Failed => {}
        }
    }

    /// A command that ran out of time, or that nobody waits for any more, is ended for good.
    pub(super) fn abandon_control(&mut self, name: &UnitName) {
        if let Some(child) = self.socket_mut(name).control.take() {
            self.forget_child(child);
            self.kill_scope(child.process, SIGKILL, KillScope::Session);
        }
    }
}

/// The state in which the commands of a list run.
fn state_of(list: ExecList) -> SocketState {
    match list {
        ExecList::StartPre => SocketState::StartPre,
        ExecList::Chown => SocketState::StartChown,
        ExecList::StartPost => SocketState::StartPost,
        ExecList::StopPre
        | ExecList::Condition
        | ExecList::ReadyCheck
        | ExecList::Start
        | ExecList::Reload
        | ExecList::Stop => SocketState::StopPre,
        ExecList::StopPost => SocketState::StopPost,
    }
}

fn how(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exited(code) => format!("its command exited with status {code}"),
        ExitStatus::Killed(signal) => format!("its command was killed by signal {signal}"),
        ExitStatus::Dumped(signal) => format!("its command was killed by signal {signal} (core dumped)"),
    }
}
