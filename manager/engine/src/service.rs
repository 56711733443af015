//! The service machine: commands in their order, readiness, timeouts, stopping, restarts.
//!
//! Never here: how a process is made or signalled. Invariant: a service has at most one main and one control process, and each
//! of them is in `Engine::processes` until its end was reported.

use serde::{Deserialize, Serialize};
use sockmgr_unit::value::{
    ExecCommand, KillMode, LimitAction, NotifyAccess, Restart, ServiceType, Signal, Span, StandardInput,
    StandardOutput,
};
use sockmgr_unit::{ServiceUnit, UnitName};

use crate::command::KillWho;
use crate::engine::Engine;
use crate::event::{Action, Connection, ExecList, ExitStatus, KillScope, Notification, Peer, SpawnError};
use crate::ids::{FdId, ProcessId, Time};
use crate::job::{Begun, JobKind, JobResult};
use crate::limit::{Rate, RateLimit};
use crate::node::{ActiveState, Machine};
use crate::view::ServiceView;

const SIGKILL: i32 = 9;
/// Notifications that may wait for the pid of their sender to become known.
const EARLY_MAX: usize = 256;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ServiceState {
    #[default]
    Dead,
    StartPre,
    /// The main process is there or about to be, and not yet ready.
    Start,
    StartPost,
    Running,
    /// The main process is through and the unit remains up (`RemainAfterExit=yes`).
    Exited,
    Reload,
    Stop,
    StopSigterm,
    StopSigkill,
    Failed,
    /// Waits for `RestartSec=`, or for the end of its start limit.
    AutoRestart,
}

impl ServiceState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::StartPre => "start-pre",
            Self::Start => "start",
            Self::StartPost => "start-post",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Reload => "reload",
            Self::Stop => "stop",
            Self::StopSigterm => "stop-sigterm",
            Self::StopSigkill => "stop-sigkill",
            Self::Failed => "failed",
            Self::AutoRestart => "auto-restart",
        }
    }
}

/// How a service ended; the words of `Result=` (systemd.exec(5), `$SERVICE_RESULT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceResult {
    /// Well.
    #[default]
    Success,
    /// It could not be started for want of something.
    Resources,
    /// It ended before it said that it was ready.
    Protocol,
    /// A step took too long.
    Timeout,
    /// A process exited with a code that is a failure.
    ExitCode,
    /// A signal killed a process.
    Signal,
    /// A signal killed a process, which dumped core.
    CoreDump,
    /// Started too often.
    StartLimitHit,
}

impl ServiceResult {
    /// The word on D-Bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Resources => "resources",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::ExitCode => "exit-code",
            Self::Signal => "signal",
            Self::CoreDump => "core-dump",
            Self::StartLimitHit => "start-limit-hit",
        }
    }
}

/// What a socket or a group needs to know of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Down.
    Idle,
    /// Down, and coming up again by itself.
    Waiting,
    /// Up, or on its way up or down.
    Busy,
}

/// A process of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Child {
    pub(crate) process: ProcessId,
    /// Known once it was spawned.
    pub(crate) pid: Option<u32>,
    list: ExecList,
    index: usize,
}

/// The connection that a per-connection instance serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Served {
    socket: UnitName,
    /// Ours until the instance has it.
    fd: Option<FdId>,
    pub(crate) peer: Peer,
}

/// The place of an instance in its group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seat {
    pub(crate) group: UnitName,
    /// From 0.
    pub(crate) slot: u32,
}

/// The state of a service unit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) state: ServiceState,
    pub(crate) result: ServiceResult,
    pub(crate) main: Option<Child>,
    pub(crate) control: Option<Child>,
    pub(crate) served: Option<Served>,
    pub(crate) seat: Option<Seat>,
    /// `STOPPING=1`: it still works off what it has, and wants nothing new.
    pub(crate) is_draining: bool,
    /// Why it is in no state to listen on: the start limit was hit.
    start_limit_hit: bool,
    start_limit: RateLimit,
    pub(crate) generation: u32,
    pub(crate) n_restarts: u32,
    pub(crate) status_text: Option<String>,
    pub(crate) status_errno: i32,
    pub(crate) main_pid_seen: u32,
    pub(crate) main_status: Option<ExitStatus>,
    pub(crate) main_started: Option<Time>,
    pub(crate) main_exited: Option<Time>,
}

impl Service {
    pub(crate) fn active_state(&self) -> ActiveState {
        match self.state {
            ServiceState::Dead => ActiveState::Inactive,
            ServiceState::StartPre
            | ServiceState::Start
            | ServiceState::StartPost
            | ServiceState::AutoRestart => ActiveState::Activating,
            ServiceState::Running | ServiceState::Exited => ActiveState::Active,
            ServiceState::Reload => ActiveState::Reloading,
            ServiceState::Stop | ServiceState::StopSigterm | ServiceState::StopSigkill => {
                ActiveState::Deactivating
            }
            ServiceState::Failed => ActiveState::Failed,
        }
    }

    pub(crate) fn sub_state(&self) -> &'static str {
        self.state.as_str()
    }

    pub(crate) fn activity(&self) -> Activity {
        match self.state {
            ServiceState::Dead | ServiceState::Failed => Activity::Idle,
            ServiceState::AutoRestart => Activity::Waiting,
            ServiceState::StartPre
            | ServiceState::Start
            | ServiceState::StartPost
            | ServiceState::Running
            | ServiceState::Exited
            | ServiceState::Reload
            | ServiceState::Stop
            | ServiceState::StopSigterm
            | ServiceState::StopSigkill => Activity::Busy,
        }
    }

    pub(crate) fn group(&self) -> Option<&UnitName> {
        self.seat.as_ref().map(|seat| &seat.group)
    }

    /// The socket whose connection it serves.
    pub(crate) fn served_socket(&self) -> Option<&UnitName> {
        self.served.as_ref().map(|served| &served.socket)
    }

    pub(crate) fn is_per_connection(&self) -> bool {
        self.served.is_some()
    }

    /// The process was asked for, and that it runs is not known yet.
    pub(crate) fn lacks_pid(&self, process: ProcessId) -> bool {
        [self.main, self.control]
            .into_iter()
            .flatten()
            .any(|child| child.process == process && child.pid.is_none())
    }

    pub(crate) fn view(&self) -> ServiceView<'_> {
        let pid = |child: Option<Child>| child.and_then(|child| child.pid).unwrap_or(0);
        ServiceView {
            result: self.result,
            main_pid: pid(self.main),
            control_pid: pid(self.control),
            exec_main_pid: self.main_pid_seen,
            exec_main_start: self.main_started,
            exec_main_exit: self.main_exited,
            exec_main_status: self.main_status,
            status_text: self.status_text.as_deref(),
            status_errno: self.status_errno,
            n_restarts: self.n_restarts,
            seat: self.seat.as_ref().map(|seat| (&seat.group, seat.slot)),
            peer: self.served.as_ref().map(|served| peer_text(&served.peer)),
        }
    }

    /// Ready for new connections.
    pub(crate) fn takes_connections(&self) -> bool {
        matches!(self.state, ServiceState::Running | ServiceState::Reload) && !self.is_draining
    }
}

impl Engine {
    // --- jobs ---

    pub(crate) fn service_start(&mut self, name: &UnitName) -> Begun {
        match self.service(name).state {
            ServiceState::StartPre | ServiceState::Start | ServiceState::StartPost => return Begun::Pending,
            ServiceState::Running | ServiceState::Exited | ServiceState::Reload => return Begun::Done,
            ServiceState::Stop | ServiceState::StopSigterm | ServiceState::StopSigkill => return Begun::Wait,
            ServiceState::Dead | ServiceState::Failed | ServiceState::AutoRestart => {}
        }
        if !self.admit_start(name) {
            return Begun::Refused;
        }
        if let Err(why) = self.check_descriptors(name) {
            self.log_error(name, why);
            self.enter_down(name, ServiceResult::Resources);
            return Begun::Refused;
        }
        let service = self.service_mut(name);
        service.result = ServiceResult::Success;
        service.start_limit_hit = false;
        service.is_draining = false;
        service.status_text = None;
        service.status_errno = 0;
        service.main_status = None;
        service.generation += 1;
        self.enter_list(name, ExecList::StartPre);
        Begun::Pending
    }

    /// Counts one start against `StartLimitBurst=`.
    fn admit_start(&mut self, name: &UnitName) -> bool {
        let (now, rate) = (self.now, self.start_rate(name));
        let service = self.service_mut(name);
        if service.start_limit.admit(now, rate) {
            return true;
        }
        let end = service.start_limit.window_end(rate);
        if service.result == ServiceResult::Success {
            service.result = ServiceResult::StartLimitHit;
        }
        if service.seat.is_some() && self.settings.default_limit_action == LimitAction::Pause {
            // A slot belongs to its group: it waits out the limit instead of giving up.
            self.log_warning(name, "started too often; waiting until its start limit allows more".to_owned());
            self.set_service_state(name, ServiceState::AutoRestart);
            self.set_deadline(name, end);
        } else {
            self.service_mut(name).start_limit_hit = true;
            self.log_error(name, "started too often, refused; `reset-failed` forgets the count".to_owned());
            self.set_service_state(name, ServiceState::Failed);
        }
        false
    }

    /// systemd.exec(5), `StandardInput=socket`: there must be exactly one.
    fn check_descriptors(&self, name: &UnitName) -> Result<(), String> {
        if !uses_socket_stdio(self.service_unit(name)) {
            return Ok(());
        }
        match self.descriptors(name).len() {
            1 => Ok(()),
            0 => Err("got no socket for StandardInput=socket; start its socket unit first".to_owned()),
            _ => Err("got more than one socket for StandardInput=socket; it can take only one".to_owned()),
        }
    }

    pub(crate) fn service_stop(&mut self, name: &UnitName) -> Begun {
        if let Some(group) = self.service(name).group().cloned() {
            // Out of rotation first: new connections go elsewhere before the instance hears of its end.
            self.refresh_rotation(&group);
        }
        match self.service(name).state {
            ServiceState::Dead | ServiceState::Failed => Begun::Done,
            ServiceState::AutoRestart => {
                // The change itself moves the job on: ends a stop, turns a restart into a start.
                self.set_service_state(name, ServiceState::Dead);
                Begun::Pending
            }
            ServiceState::StartPre | ServiceState::Start | ServiceState::StartPost => {
                self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Success);
                Begun::Pending
            }
            ServiceState::Running | ServiceState::Exited | ServiceState::Reload => {
                self.enter_stop(name, ServiceResult::Success);
                Begun::Pending
            }
            ServiceState::Stop | ServiceState::StopSigterm | ServiceState::StopSigkill => Begun::Pending,
        }
    }

    pub(crate) fn service_reload(&mut self, name: &UnitName) -> Begun {
        match self.service(name).state {
            ServiceState::Running | ServiceState::Exited => {
                self.enter_list(name, ExecList::Reload);
                Begun::Pending
            }
            ServiceState::Reload => Begun::Pending,
            ServiceState::StartPre | ServiceState::Start | ServiceState::StartPost => Begun::Wait,
            ServiceState::Dead
            | ServiceState::Failed
            | ServiceState::AutoRestart
            | ServiceState::Stop
            | ServiceState::StopSigterm
            | ServiceState::StopSigkill => {
                self.log_error(name, "not running, so it cannot reload".to_owned());
                Begun::Refused
            }
        }
    }

    pub(crate) fn service_reset(&mut self, name: &UnitName) {
        let service = self.service_mut(name);
        service.start_limit = RateLimit::default();
        service.start_limit_hit = false;
        service.n_restarts = 0;
        if service.state == ServiceState::Failed {
            service.result = ServiceResult::Success;
            self.set_service_state(name, ServiceState::Dead);
        }
    }

    pub(crate) fn kill_processes(&mut self, name: &UnitName, who: KillWho, signal: i32) {
        let Some(service) = self.nodes.get(name).and_then(|node| node.service()) else { return };
        let (main, control) = (service.main, service.control);
        let targets = match who {
            KillWho::Main => [main, None],
            KillWho::Control => [None, control],
            KillWho::All => [main, control],
        };
        let scope = if who == KillWho::All { KillScope::Session } else { KillScope::Process };
        for child in targets.into_iter().flatten() {
            self.kill_scope(child.process, signal, scope);
        }
    }

    // --- the way up ---

    fn enter_list(&mut self, name: &UnitName, list: ExecList) {
        self.run_command(name, list, 0);
    }

    /// Runs command `index` of a list, or goes on when there is none.
    fn run_command(&mut self, name: &UnitName, list: ExecList, index: usize) {
        if index >= commands(self.service_unit(name), list).len() {
            return self.list_done(name, list);
        }
        self.set_service_state(name, state_of(list));
        let limit = self.time_limit(name, list);
        self.set_deadline(name, self.now.after(limit));
        self.spawn(name, list, index);
    }

    fn spawn(&mut self, name: &UnitName, list: ExecList, index: usize) {
        let process = self.new_process(name);
        let child = Child { process, pid: None, list, index };
        let service = self.service_mut(name);
        if list == ExecList::Start {
            service.main = Some(child);
        } else {
            service.control = Some(child);
        }
        let fds = if list == ExecList::Start || uses_socket_stdio(self.service_unit(name)) {
            self.descriptors(name)
        } else {
            Vec::new()
        };
        let environment = self.environment(name);
        self.out.push(Action::Spawn { process, unit: name.clone(), list, index, fds, environment });
    }

    fn environment(&self, name: &UnitName) -> Vec<(&'static str, String)> {
        let service = self.service(name);
        let mut environment = vec![("SOCKMGR_UNIT", name.to_string())];
        if let Some(seat) = &service.seat {
            let count = self
                .nodes
                .get(&seat.group)
                .and_then(|node| node.group())
                .map_or(0, |group| group.slots.len());
            environment.push(("SOCKMGR_INSTANCE", (seat.slot + 1).to_string()));
            environment.push(("SOCKMGR_INSTANCES", count.to_string()));
            environment.push(("SOCKMGR_GENERATION", service.generation.to_string()));
        }
        if let Some(Served { peer: Peer::Inet { remote, .. }, .. }) = &service.served {
            environment.push(("REMOTE_ADDR", remote.ip().to_canonical().to_string()));
            environment.push(("REMOTE_PORT", remote.port().to_string()));
        }
        if let Some(pid) = service.main.and_then(|main| main.pid) {
            environment.push(("MAINPID", pid.to_string()));
        }
        environment
    }

    fn list_done(&mut self, name: &UnitName, list: ExecList) {
        match list {
            ExecList::StartPre => self.enter_list(name, ExecList::Start),
            // The last command of a oneshot service, or none at all.
            ExecList::Start => self.enter_list(name, ExecList::StartPost),
            ExecList::StartPost => self.enter_running(name),
            ExecList::Reload => {
                self.reload_ended(name, JobResult::Done);
                self.enter_running(name);
            }
            ExecList::Stop => self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Success),
        }
    }

    fn enter_running(&mut self, name: &UnitName) {
        let kind = self.service_unit(name).service.type_;
        let service = self.service(name);
        let (main, remains) = (service.main, self.service_unit(name).service.remain_after_exit);
        if let Some(main) = main {
            self.set_service_state(name, ServiceState::Running);
            let pid = main.pid.unwrap_or(0);
            self.log_info(name, format!("running (pid {pid})"));
        } else if remains {
            self.set_service_state(name, ServiceState::Exited);
        } else if kind == ServiceType::Oneshot {
            self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Success);
        } else {
            self.enter_stop(name, ServiceResult::Success);
        }
    }

    fn reload_ended(&mut self, name: &UnitName, result: JobResult) {
        if let Some(id) = self.nodes.get(name).and_then(|node| node.job) {
            if self.jobs.get(&id).is_some_and(|job| job.kind == JobKind::Reload) {
                self.finish_job(id, result);
            }
        }
    }

    // --- what processes do ---

    pub(crate) fn service_spawned(&mut self, process: ProcessId, pid: u32) {
        let Some(name) = self.processes.get(&process).cloned() else { return };
        self.pids.insert(pid, process);
        let now = self.now;
        let service = self.service_mut(&name);
        if let Some(control) = service.control.as_mut().filter(|child| child.process == process) {
            control.pid = Some(pid);
            return self.take_early(pid);
        }
        let Some(main) = service.main.as_mut().filter(|child| child.process == process) else { return };
        main.pid = Some(pid);
        service.main_pid_seen = pid;
        service.main_started = Some(now);
        service.main_exited = None;
        let state = service.state;
        self.release_connection_fd(&name);
        self.stir(&name);
        let kind = self.service_unit(&name).service.type_;
        if state == ServiceState::Start && matches!(kind, ServiceType::Simple | ServiceType::Exec) {
            self.enter_list(&name, ExecList::StartPost);
        }
        self.take_early(pid);
    }

    pub(crate) fn service_spawn_failed(&mut self, process: ProcessId, error: SpawnError) {
        let Some(name) = self.processes.get(&process).cloned() else { return };
        self.log_error(&name, error.text);
        let result = if error.resources { Some(ServiceResult::Resources) } else { None };
        self.child_ended(&name, process, ExitStatus::Exited(error.exit_code), result);
    }

    pub(crate) fn service_exited(&mut self, process: ProcessId, status: ExitStatus) {
        if let Some(name) = self.processes.get(&process).cloned() {
            self.kill_leftovers(&name, process);
            self.child_ended(&name, process, status, None);
        }
        self.out.push(Action::Forget { process });
    }

    /// What the main process leaves behind in its process group does not outlive it (`KillMode=`).
    fn kill_leftovers(&mut self, name: &UnitName, process: ProcessId) {
        let signal = match self.service_unit(name).kill.kill_mode {
            KillMode::ControlGroup => self.service_unit(name).kill.kill_signal.number(),
            KillMode::Mixed => SIGKILL,
            KillMode::Process | KillMode::None => return,
        };
        if self.service(name).main.is_some_and(|main| main.process == process) {
            self.kill_scope(process, signal, KillScope::Group);
        }
    }

    fn child_ended(
        &mut self,
        name: &UnitName,
        process: ProcessId,
        status: ExitStatus,
        failure: Option<ServiceResult>,
    ) {
        self.processes.remove(&process);
        let now = self.now;
        let service = self.service_mut(name);
        if let Some(main) = service.main.take_if(|child| child.process == process) {
            service.main_status = Some(status);
            service.main_exited = Some(now);
            let pid = main.pid;
            self.forget_pid(pid);
            let result = failure.unwrap_or_else(|| self.result_of(name, main, status));
            self.main_ended(name, main, result, status);
        } else if let Some(control) = service.control.take_if(|child| child.process == process) {
            self.forget_pid(control.pid);
            let result = failure.unwrap_or_else(|| self.result_of(name, control, status));
            self.control_ended(name, control, result, status);
        }
    }

    fn forget_pid(&mut self, pid: Option<u32>) {
        if let Some(pid) = pid {
            self.pids.remove(&pid);
        }
    }

    /// What an exit means for the unit: systemd.service(5), "clean exit", and the `-` prefix.
    fn result_of(&self, name: &UnitName, child: Child, status: ExitStatus) -> ServiceResult {
        let ignored = commands(self.service_unit(name), child.list)
            .get(child.index)
            .is_some_and(|command| command.flags.ignore_failure);
        let is_main =
            child.list == ExecList::Start && self.service_unit(name).service.type_ != ServiceType::Oneshot;
        match status {
            _ if ignored => ServiceResult::Success,
            ExitStatus::Exited(0) => ServiceResult::Success,
            ExitStatus::Exited(_) => ServiceResult::ExitCode,
            ExitStatus::Killed(signal) if is_main && is_clean_signal(signal) => ServiceResult::Success,
            ExitStatus::Killed(_) => ServiceResult::Signal,
            ExitStatus::Dumped(_) => ServiceResult::CoreDump,
        }
    }

    fn main_ended(&mut self, name: &UnitName, main: Child, result: ServiceResult, status: ExitStatus) {
        let state = self.service(name).state;
        self.log_end(name, state, result, status);
        match state {
            ServiceState::Start => self.start_ended(name, main, result),
            ServiceState::Running => self.enter_stop(name, result),
            // The control process is still at it; when it is through, the missing main process is seen.
            ServiceState::StartPost | ServiceState::Reload | ServiceState::Stop => {
                self.note_result(name, result)
            }
            ServiceState::StopSigterm | ServiceState::StopSigkill => {
                self.note_result(name, result);
                self.finish_stop(name);
            }
            ServiceState::Dead
            | ServiceState::StartPre
            | ServiceState::Exited
            | ServiceState::Failed
            | ServiceState::AutoRestart => {}
        }
        self.stir(name);
    }

    /// The main process ended while the service was starting.
    fn start_ended(&mut self, name: &UnitName, main: Child, result: ServiceResult) {
        let oneshot = self.service_unit(name).service.type_ == ServiceType::Oneshot;
        match result {
            ServiceResult::Success if oneshot => self.run_command(name, ExecList::Start, main.index + 1),
            ServiceResult::Success => {
                self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Protocol)
            }
            failure => self.enter_signal(name, ServiceState::StopSigterm, failure),
        }
    }

    fn log_end(&mut self, name: &UnitName, state: ServiceState, result: ServiceResult, status: ExitStatus) {
        let how = match status {
            ExitStatus::Exited(code) => format!("exited with status {code}"),
            ExitStatus::Killed(signal) => format!("killed by {}", signal_name(signal)),
            ExitStatus::Dumped(signal) => format!("killed by {} (core dumped)", signal_name(signal)),
        };
        let asked_for =
            matches!(state, ServiceState::Stop | ServiceState::StopSigterm | ServiceState::StopSigkill);
        let per_connection = self.service(name).is_per_connection();
        match result {
            ServiceResult::Success if asked_for || per_connection => self.log_debug(name, how),
            ServiceResult::Success => self.log_info(name, how),
            _ => self.log_warning(name, how),
        }
    }

    fn control_ended(&mut self, name: &UnitName, control: Child, result: ServiceResult, status: ExitStatus) {
        if result != ServiceResult::Success {
            self.log_end(name, self.service(name).state, result, status);
        }
        match (self.service(name).state, result) {
            (
                ServiceState::StartPre | ServiceState::StartPost | ServiceState::Reload | ServiceState::Stop,
                ServiceResult::Success,
            ) => self.run_command(name, control.list, control.index + 1),
            (ServiceState::StartPre | ServiceState::StartPost | ServiceState::Stop, failure) => {
                self.enter_signal(name, ServiceState::StopSigterm, failure);
            }
            (ServiceState::Reload, _) => {
                self.reload_ended(name, JobResult::Failed);
                self.enter_running(name);
            }
            (ServiceState::StopSigterm | ServiceState::StopSigkill, _) => self.finish_stop(name),
            (
                ServiceState::Dead
                | ServiceState::Start
                | ServiceState::Running
                | ServiceState::Exited
                | ServiceState::Failed
                | ServiceState::AutoRestart,
                _,
            ) => {}
        }
    }

    pub(crate) fn service_notified(&mut self, pid: u32, session: Option<u32>, message: Notification) {
        let sender = self.pids.get(&pid).or_else(|| self.pids.get(&session?)).copied();
        let Some(process) = sender else { return self.keep_early(pid, session, message) };
        let Some(name) = self.processes.get(&process).cloned() else { return };
        if !self.may_notify(&name, pid) {
            return self.log_debug(&name, format!("notification of pid {pid} ignored; see NotifyAccess="));
        }
        let Notification { ready, stopping, status, errno, extend_timeout } = message;
        let service = self.service_mut(&name);
        service.status_text = status.or(service.status_text.take());
        service.status_errno = errno.unwrap_or(service.status_errno);
        service.is_draining |= stopping;
        let state = service.state;
        self.stir(&name);
        if let Some(micros) = extend_timeout.filter(|_| self.nodes[&name].deadline.is_some()) {
            self.set_deadline(&name, self.now.after(Span::from_micros(micros)));
        }
        let notifies = self.service_unit(&name).service.type_ == ServiceType::Notify;
        if ready && notifies && state == ServiceState::Start {
            self.enter_list(&name, ExecList::StartPost);
        }
    }

    /// A service can be ready before the keeper has told us its pid: such a message waits for that.
    fn keep_early(&mut self, pid: u32, session: Option<u32>, message: Notification) {
        if self.processes.len() > self.pids.len() && self.early.len() < EARLY_MAX {
            self.early.push((pid, session, message));
        }
    }

    fn take_early(&mut self, spawned: u32) {
        for (pid, session, message) in std::mem::take(&mut self.early) {
            if pid == spawned || session == Some(spawned) {
                self.service_notified(pid, session, message);
            } else {
                self.keep_early(pid, session, message);
            }
        }
    }

    fn may_notify(&self, name: &UnitName, pid: u32) -> bool {
        let service = self.service(name);
        let is = |child: Option<Child>| child.and_then(|child| child.pid) == Some(pid);
        match self.notify_access(name) {
            NotifyAccess::None => false,
            NotifyAccess::Main => is(service.main),
            NotifyAccess::Exec => is(service.main) || is(service.control),
            NotifyAccess::All => true,
        }
    }

    /// `NotifyAccess=`, with its default (systemd.service(5)): `main` where readiness comes by notification, else nobody.
    pub fn notify_access(&self, name: &UnitName) -> NotifyAccess {
        let section = &self.service_unit(name).service;
        let default =
            if section.type_ == ServiceType::Notify { NotifyAccess::Main } else { NotifyAccess::None };
        match section.notify_access {
            Some(NotifyAccess::None) => default,
            Some(access) => access,
            None => default,
        }
    }

    // --- the way down ---

    fn enter_stop(&mut self, name: &UnitName, result: ServiceResult) {
        self.note_result(name, result);
        self.enter_list(name, ExecList::Stop);
    }

    /// Signals what is left, as `KillMode=` says, and waits for it; down at once when nothing is left.
    fn enter_signal(&mut self, name: &UnitName, state: ServiceState, result: ServiceResult) {
        self.note_result(name, result);
        let kill = &self.service_unit(name).kill;
        let (mode, signal) = (
            kill.kill_mode,
            if state == ServiceState::StopSigkill { SIGKILL } else { kill.kill_signal.number() },
        );
        let service = self.service(name);
        let (main, control) = (service.main, service.control);
        if mode == KillMode::None || (main.is_none() && control.is_none()) {
            return self.enter_down(name, ServiceResult::Success);
        }
        let whole =
            mode == KillMode::ControlGroup || (mode == KillMode::Mixed && state == ServiceState::StopSigkill);
        if let Some(main) = main {
            self.kill_scope(
                main.process,
                signal,
                if whole { KillScope::Session } else { KillScope::Process },
            );
        }
        if let Some(control) = control {
            self.kill_scope(control.process, signal, KillScope::Session);
        }
        self.set_service_state(name, state);
        let limit = self.stop_limit(name);
        self.set_deadline(name, self.now.after(limit));
    }

    fn finish_stop(&mut self, name: &UnitName) {
        let service = self.service(name);
        if service.main.is_none() && service.control.is_none() {
            self.enter_down(name, ServiceResult::Success);
        }
    }

    /// The first failure is the one that is remembered.
    fn note_result(&mut self, name: &UnitName, result: ServiceResult) {
        let service = self.service_mut(name);
        if service.result == ServiceResult::Success {
            service.result = result;
        }
    }

    /// Nothing runs any more: dead or failed, and perhaps soon up again.
    fn enter_down(&mut self, name: &UnitName, result: ServiceResult) {
        self.note_result(name, result);
        self.release_connection_fd(name);
        if let Some(socket) = self.service(name).served.as_ref().map(|served| served.socket.clone()) {
            self.connection_ended(&socket);
        }
        let result = self.service(name).result;
        // Asked before the state changes: that ends a stop job, which is what forbids the restart.
        let restarts = self.shall_restart(name, result);
        let down = if result == ServiceResult::Success { ServiceState::Dead } else { ServiceState::Failed };
        self.set_service_state(name, down);
        if result != ServiceResult::Success {
            self.log_error(name, format!("failed: {}", result.as_str()));
        }
        if restarts {
            let delay = self.service_unit(name).service.restart_sec;
            self.set_service_state(name, ServiceState::AutoRestart);
            self.set_deadline(name, self.now.after(delay));
            self.log_info(name, format!("restarting in {delay}"));
        }
    }

    /// systemd.service(5), the table under `Restart=`. An instance belongs to its slot: it comes back unless told otherwise.
    fn shall_restart(&self, name: &UnitName, result: ServiceResult) -> bool {
        let service = self.service(name);
        if self.is_stopping_by_job(name) || service.is_per_connection() {
            return false;
        }
        let default = if service.seat.is_some() { Restart::Always } else { Restart::No };
        let failed = result != ServiceResult::Success;
        match self.service_unit(name).service.restart.unwrap_or(default) {
            Restart::No => false,
            Restart::Always => true,
            Restart::OnSuccess => !failed,
            Restart::OnFailure => failed,
            Restart::OnAbnormal => failed && result != ServiceResult::ExitCode,
            Restart::OnAbort => matches!(result, ServiceResult::Signal | ServiceResult::CoreDump),
            // There is no watchdog that could bite.
            Restart::OnWatchdog => false,
        }
    }

    // --- time ---

    pub(crate) fn service_timeout(&mut self, name: &UnitName) {
        match self.service(name).state {
            ServiceState::StartPre | ServiceState::Start | ServiceState::StartPost => {
                self.log_warning(name, "start timed out".to_owned());
                self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Timeout);
            }
            ServiceState::Reload => self.reload_timed_out(name),
            ServiceState::Stop => self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Timeout),
            ServiceState::StopSigterm => {
                self.log_warning(name, "did not stop in time, killing".to_owned());
                self.enter_signal(name, ServiceState::StopSigkill, ServiceResult::Timeout);
            }
            ServiceState::StopSigkill => self.abandon(name),
            ServiceState::AutoRestart => {
                self.service_mut(name).n_restarts += 1;
                self.queue_job(name, JobKind::Start, false);
            }
            ServiceState::Dead | ServiceState::Running | ServiceState::Exited | ServiceState::Failed => {}
        }
    }

    fn reload_timed_out(&mut self, name: &UnitName) {
        self.log_warning(name, "reload timed out".to_owned());
        if let Some(control) = self.service_mut(name).control.take() {
            self.processes.remove(&control.process);
            self.kill_scope(control.process, SIGKILL, KillScope::Session);
        }
        self.reload_ended(name, JobResult::Timeout);
        self.enter_running(name);
    }

    /// Not even SIGKILL ended it (a process in uninterruptible sleep): the unit is given up; its end will be ignored.
    fn abandon(&mut self, name: &UnitName) {
        self.log_error(name, "processes remain after SIGKILL, ignoring them".to_owned());
        let service = self.service_mut(name);
        for child in [service.main.take(), service.control.take()].into_iter().flatten() {
            self.processes.remove(&child.process);
            self.forget_pid(child.pid);
        }
        self.enter_down(name, ServiceResult::Timeout);
    }

    /// How long a command of this list may take.
    fn time_limit(&self, name: &UnitName, list: ExecList) -> Span {
        let section = &self.service_unit(name).service;
        match (list, section.type_) {
            (ExecList::Stop, _) => self.stop_limit(name),
            // systemd.service(5), `TimeoutStartSec=`: off for oneshot unless it is set.
            (_, ServiceType::Oneshot) => section.timeout_start_sec.unwrap_or(Span::INFINITY),
            (ExecList::Start | ExecList::StartPre | ExecList::StartPost | ExecList::Reload, _) => {
                section.timeout_start_sec.unwrap_or(self.settings.default_timeout_start_sec)
            }
        }
    }

    fn stop_limit(&self, name: &UnitName) -> Span {
        self.service_unit(name).service.timeout_stop_sec.unwrap_or(self.settings.default_timeout_stop_sec)
    }

    pub(crate) fn start_rate(&self, name: &UnitName) -> Rate {
        let unit = &self.nodes[name].unit.unit;
        Rate { interval: unit.start_limit_interval_sec, burst: unit.start_limit_burst }
    }

    /// Whether `name` hit its start limit and stays down for it; the inner value is when the limit's window ends.
    pub(crate) fn start_limit_end(&self, name: &UnitName) -> Option<Option<Time>> {
        let node = self.nodes.get(name)?;
        match &node.machine {
            Machine::Service(service) => {
                service.start_limit_hit.then(|| service.start_limit.window_end(self.start_rate(name)))
            }
            Machine::Group(group) => {
                let mut ends = group.slots.iter().map(|slot| self.start_limit_end(slot));
                ends.try_fold(None, |latest, end| Some(latest.max(end?)))
            }
            Machine::Socket(_) | Machine::Target(_) => None,
        }
    }

    // --- connections ---

    /// Makes the instance that serves one accepted connection.
    pub(crate) fn insert_connection(
        &mut self,
        socket: &UnitName,
        instance: &UnitName,
        connection: Connection,
    ) -> Result<(), String> {
        let unit = self.library.unit(instance);
        if unit.service().is_none() || unit.load_state != sockmgr_unit::LoadState::Loaded {
            return Err(format!(
                "{instance} cannot be used: {}",
                unit.load_error.as_deref().unwrap_or("not found")
            ));
        }
        let served = Served { socket: socket.clone(), fd: Some(connection.fd), peer: connection.peer };
        let service = Service { served: Some(served), ..Service::default() };
        self.insert_unlinked(unit, Machine::Service(Box::new(service)));
        Ok(())
    }

    /// The instance has its connection, or will never need it: close our copy.
    fn release_connection_fd(&mut self, name: &UnitName) {
        if let Some(fd) = self.service_mut(name).served.as_mut().and_then(|served| served.fd.take()) {
            self.out.push(Action::CloseConnection { fd });
        }
    }

    /// The accepted connection of a per-connection instance, while it is ours.
    pub(crate) fn served_fd(&self, name: &UnitName) -> Option<FdId> {
        self.nodes.get(name)?.service()?.served.as_ref()?.fd
    }

    // --- looking things up ---

    pub(crate) fn set_service_state(&mut self, name: &UnitName, state: ServiceState) {
        self.change(name, |machine| {
            if let Machine::Service(service) = machine {
                service.state = state;
            }
        });
    }

    pub(crate) fn service(&self, name: &UnitName) -> &Service {
        self.nodes[name].service().expect("only asked of service units")
    }

    pub(crate) fn service_mut(&mut self, name: &UnitName) -> &mut Service {
        match self.nodes.get_mut(name).map(|node| &mut node.machine) {
            Some(Machine::Service(service)) => service,
            _ => unreachable!("only asked of service units"),
        }
    }

    pub(crate) fn service_unit(&self, name: &UnitName) -> &ServiceUnit {
        self.nodes[name].unit.service().expect("a node with a service machine has a service unit")
    }

    pub(crate) fn activity(&self, name: &UnitName) -> Activity {
        match self.nodes.get(name).map(|node| &node.machine) {
            Some(Machine::Service(service)) => service.activity(),
            Some(Machine::Group(group)) => group.activity(&self.nodes),
            Some(Machine::Socket(_) | Machine::Target(_)) | None => Activity::Idle,
        }
    }
}

/// The commands of one list.
pub(crate) fn commands(unit: &ServiceUnit, list: ExecList) -> &[ExecCommand] {
    let section = &unit.service;
    match list {
        ExecList::StartPre => &section.exec_start_pre,
        ExecList::Start => &section.exec_start,
        ExecList::StartPost => &section.exec_start_post,
        ExecList::Reload => &section.exec_reload,
        ExecList::Stop => &section.exec_stop,
    }
}

fn state_of(list: ExecList) -> ServiceState {
    match list {
        ExecList::StartPre => ServiceState::StartPre,
        ExecList::Start => ServiceState::Start,
        ExecList::StartPost => ServiceState::StartPost,
        ExecList::Reload => ServiceState::Reload,
        ExecList::Stop => ServiceState::Stop,
    }
}

/// Whether a standard stream of the service is the socket itself (inetd style).
pub(crate) fn uses_socket_stdio(unit: &ServiceUnit) -> bool {
    unit.exec.standard_input == StandardInput::Socket
        || [&unit.exec.standard_output, &unit.exec.standard_error]
            .into_iter()
            .any(|output| *output == Some(StandardOutput::Socket))
}

/// systemd.service(5): SIGHUP, SIGINT, SIGTERM and SIGPIPE end a main process cleanly.
fn is_clean_signal(signal: i32) -> bool {
    matches!(signal, 1 | 2 | 13 | 15)
}

fn signal_name(number: i32) -> String {
    Signal::from_number(number).map_or_else(|| format!("signal {number}"), |signal| signal.to_string())
}

/// The client in the description of a per-connection instance, as systemd words it.
fn peer_text(peer: &Peer) -> String {
    match peer {
        Peer::Inet { remote, .. } => remote.to_string(),
        Peer::Unix { credentials: Some((pid, uid)) } => format!("PID {pid}/UID {uid}"),
        Peer::Unix { credentials: None } => "unknown".to_owned(),
    }
}
