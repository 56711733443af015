//! The service machine: what it keeps, and what jobs ask of it. The way up is in `up`, what processes do on their own in
//! `processes`, what they say in `notify`, how the main process of a daemon is found in `main_process`, the way down in `down`,
//! time limits in `limits`, two generations side by side in `overlap`, the descriptors that it leaves with us in `store`. What of it
//! is there only after the first start is in `run`.
//!
//! Never here: how a process is made or signalled. Invariant: a service has at most one main and one control process, and each
//! of them is in `Engine::processes` until its end was reported or the unit let go of it.

mod down;
mod drain;
mod environment;
mod limits;
mod main_process;
mod notify;
mod overlap;
mod processes;
mod ready;
mod run;
mod store;
mod up;

pub(crate) use notify::Early;
pub(crate) use overlap::{OtherToSave, SavedOther, is_other, unit_of_other};
pub(crate) use run::Run;
pub use run::{CommandRecord, StoredFd};

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sockmgr_unit::value::{ExecCommand, LimitAction, NotifyAccess, ReadyCheck, ServiceType};
use sockmgr_unit::{ServiceUnit, UnitName};

use crate::engine::Engine;
use crate::event::{ExecList, ExitStatus, Peer};
use crate::ids::{FdId, ProcessId, Time};
use crate::job::Begun;
use crate::limit::{Rate, RateLimit};
use crate::node::{ActiveState, Machine};
use crate::view::ServiceView;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ServiceState {
    #[default]
    Dead,
    /// `ExecCondition=`
    Condition,
    StartPre,
    /// The main process is there or about to be, and not yet ready.
    Start,
    /// Whether it is ready is being found out (`ReadyCheck=`).
    StartCheck,
    StartPost,
    Running,
    /// The main process is through and the unit remains up (`RemainAfterExit=yes`).
    Exited,
    /// `ExecReload=`
    Reload,
    /// It was told by a signal to reload, and has not said yet that it does.
    ReloadSignal,
    /// It says that it reloads.
    ReloadNotify,
    /// Out of rotation, it serves what its queues hold.
    Drain,
    Stop,
    /// The watchdog has bitten: it dumps core.
    StopWatchdog,
    StopSigterm,
    StopSigkill,
    /// `ExecStopPost=`
    StopPost,
    /// As the three above, for what is left after `ExecStopPost=`.
    FinalWatchdog,
    FinalSigterm,
    FinalSigkill,
    Failed,
    /// Waits for `RestartSec=`, or for the end of its start limit.
    AutoRestart,
}

impl ServiceState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Condition => "condition",
            Self::StartPre => "start-pre",
            Self::Start => "start",
            Self::StartCheck => "start-check",
            Self::StartPost => "start-post",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Reload => "reload",
            Self::ReloadSignal => "reload-signal",
            Self::ReloadNotify => "reload-notify",
            Self::Drain => "drain",
            Self::Stop => "stop",
            Self::StopWatchdog => "stop-watchdog",
            Self::StopSigterm => "stop-sigterm",
            Self::StopSigkill => "stop-sigkill",
            Self::StopPost => "stop-post",
            Self::FinalWatchdog => "final-watchdog",
            Self::FinalSigterm => "final-sigterm",
            Self::FinalSigkill => "final-sigkill",
            Self::Failed => "failed",
            Self::AutoRestart => "auto-restart",
        }
    }

    fn active_state(self) -> ActiveState {
        match self {
            Self::Dead => ActiveState::Inactive,
            Self::Condition
            | Self::StartPre
            | Self::Start
            | Self::StartCheck
            | Self::StartPost
            | Self::AutoRestart => ActiveState::Activating,
            Self::Running | Self::Exited => ActiveState::Active,
            Self::Reload | Self::ReloadSignal | Self::ReloadNotify => ActiveState::Reloading,
            Self::Drain
            | Self::Stop
            | Self::StopWatchdog
            | Self::StopSigterm
            | Self::StopSigkill
            | Self::StopPost
            | Self::FinalWatchdog
            | Self::FinalSigterm
            | Self::FinalSigkill => ActiveState::Deactivating,
            Self::Failed => ActiveState::Failed,
        }
    }

    /// Its processes have been sent a signal that is to end them.
    fn is_signalled(self) -> bool {
        match self {
            Self::StopWatchdog
            | Self::StopSigterm
            | Self::StopSigkill
            | Self::FinalWatchdog
            | Self::FinalSigterm
            | Self::FinalSigkill => true,
            Self::Dead
            | Self::Condition
            | Self::StartPre
            | Self::Start
            | Self::StartCheck
            | Self::StartPost
            | Self::Running
            | Self::Exited
            | Self::Reload
            | Self::ReloadSignal
            | Self::ReloadNotify
            | Self::Drain
            | Self::Stop
            | Self::StopPost
            | Self::Failed
            | Self::AutoRestart => false,
        }
    }

    /// It is ready, and has to say so from time to time where there is a watchdog.
    fn is_watched(self) -> bool {
        self == Self::StartPost || self.active_state().is_up()
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
    /// It did not say in time that it was well.
    Watchdog,
    /// `ExecCondition=` did not want it started, which is no failure.
    ExecCondition,
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
            Self::Watchdog => "watchdog",
            Self::ExecCondition => "exec-condition",
            Self::StartLimitHit => "start-limit-hit",
        }
    }

    /// The unit is `failed` with it, else merely down.
    pub(crate) fn is_failure(self) -> bool {
        !matches!(self, Self::Success | Self::ExecCondition)
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
    pub(crate) list: ExecList,
    pub(crate) index: usize,
}

/// The connection that a per-connection instance serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Served {
    pub(crate) socket: UnitName,
    /// Ours until the instance has it.
    pub(crate) fd: Option<FdId>,
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
    /// Boxed: most services serve no single connection, and should not have the room for it.
    pub(crate) served: Option<Box<Served>>,
    pub(crate) seat: Option<Seat>,
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
    /// `None` before the first start: a thousand idle services should not have the room for it.
    run: Option<Box<Run>>,
}

impl Service {
    /// Of a service of this type: an idle one counts as up before it is started, so that nobody waits for it.
    pub(crate) fn active_state(&self, kind: ServiceType) -> ActiveState {
        match (self.state, kind) {
            (
                ServiceState::Condition
                | ServiceState::StartPre
                | ServiceState::Start
                | ServiceState::StartCheck
                | ServiceState::StartPost,
                ServiceType::Idle,
            ) => ActiveState::Active,
            (state, _) => state.active_state(),
        }
    }

    pub(crate) fn sub_state(&self) -> &'static str {
        self.state.as_str()
    }

    /// The same in the words that systemd has for a service of this type: an idle one runs while it waits for the others, and only
    /// one that is told to reload by a signal has states of its own for that.
    pub(crate) fn shown_sub_state(&self, kind: ServiceType) -> &'static str {
        match (self.state, kind) {
            (ServiceState::Start, ServiceType::Idle) => ServiceState::Running.as_str(),
            (ServiceState::ReloadNotify, kind) if kind != ServiceType::NotifyReload => {
                ServiceState::Reload.as_str()
            }
            (state, _) => state.as_str(),
        }
    }

    /// Waits to come up again by itself.
    pub(crate) fn is_restarting(&self) -> bool {
        self.state == ServiceState::AutoRestart
    }

    pub(crate) fn activity(&self) -> Activity {
        match self.state {
            ServiceState::AutoRestart => Activity::Waiting,
            state if state.active_state().is_down() => Activity::Idle,
            _ => Activity::Busy,
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

    /// It was to serve a connection that died with an earlier manager, before it got it.
    pub(crate) fn has_lost_connection(&self) -> bool {
        self.served.as_ref().is_some_and(|served| served.fd.is_none())
            && self.main.is_none()
            && self.main_started.is_none()
    }

    /// What it has since its first start.
    pub(crate) fn run(&self) -> &Run {
        static NONE: LazyLock<Run> = LazyLock::new(Run::default);
        self.run.as_deref().unwrap_or(&NONE)
    }

    pub(crate) fn run_mut(&mut self) -> &mut Run {
        self.run.get_or_insert_default()
    }

    /// The process was asked for, and that it runs is not known yet.
    pub(crate) fn lacks_pid(&self, process: ProcessId) -> bool {
        self.is_sought(process)
            || [self.main, self.control]
                .into_iter()
                .flatten()
                .any(|child| child.process == process && child.pid.is_none())
    }

    /// It is the main process of a daemon, and which that is has been asked.
    fn is_sought(&self, process: ProcessId) -> bool {
        self.run().sought == Some(process)
    }

    /// All its processes: main, control, and what ended ones have left behind.
    pub(crate) fn all_processes(&self) -> impl Iterator<Item = ProcessId> {
        let children = [self.main, self.control].into_iter().flatten().map(|child| child.process);
        children.chain(self.run().left.iter().copied()).chain(self.run().sought)
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
            reload_result: self.run().reload_result,
            n_restarts: self.n_restarts,
            seat: self.seat.as_ref().map(|seat| (&seat.group, seat.slot)),
            peer: self.served.as_ref().map(|served| peer_text(&served.peer)),
            generation: self.generation,
            other: None,
            bus_error: self.run().bus_error.as_deref(),
            commands: &self.run().commands,
            stored: &self.run().store,
            invocation: self.run().invocation,
            watchdog_ping: self.run().watchdog_ping,
            watchdog: self.run().watchdog,
            notify_access: self.run().notify_access,
        }
    }

    /// It runs, and has said so where it was to.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.active_state().is_up() && self.main.is_some()
    }

    /// An instance that is to serve one connection.
    pub(crate) fn for_connection(served: Served) -> Self {
        Self { served: Some(Box::new(served)), ..Self::default() }
    }
}

impl Engine {
    // --- jobs ---

    pub(crate) fn service_start(&mut self, name: &UnitName) -> Begun {
        match self.service(name).state.active_state() {
            ActiveState::Active | ActiveState::Reloading => return Begun::Done,
            // Nothing has been done to it yet.
            ActiveState::Deactivating if self.service(name).state == ServiceState::Drain => {
                self.enter_running(name, ServiceResult::Success);
                return Begun::Done;
            }
            ActiveState::Deactivating => return Begun::Wait,
            ActiveState::Activating if self.service(name).state != ServiceState::AutoRestart => {
                return Begun::Pending;
            }
            ActiveState::Activating | ActiveState::Inactive | ActiveState::Failed => {}
        }
        if !self.admit_start(name) {
            return Begun::Refused;
        }
        if let Err(why) = self.check_descriptors(name) {
            self.log_error(name, why);
            self.enter_down(name, ServiceResult::Resources);
            return Begun::Refused;
        }
        self.begin_run(name);
        self.enter_list(name, ExecList::Condition);
        Begun::Pending
    }

    /// A new start: what the last one was forgets itself, but for what its descriptors and its restarts are.
    fn begin_run(&mut self, name: &UnitName) {
        let invocation = self.draw_id();
        let service = self.service_mut(name);
        if service.state != ServiceState::AutoRestart {
            service.n_restarts = 0;
            service.run_mut().backoff = 0;
        }
        service.result = ServiceResult::Success;
        service.start_limit_hit = false;
        service.status_text = None;
        service.status_errno = 0;
        service.main_status = None;
        service.generation += 1;
        service.run_mut().begin(invocation);
        self.watch_bus_name(name);
    }

    /// Counts one start against `StartLimitBurst=`.
    pub(super) fn admit_start(&mut self, name: &UnitName) -> bool {
        let (now, rate) = (self.now, self.start_rate(name));
        let service = self.service_mut(name);
        if service.start_limit.admit(now, rate) {
            return true;
        }
        let end = service.start_limit.window_end(rate);
        if service.result == ServiceResult::Success {
            service.result = ServiceResult::StartLimitHit;
        }
        if service.seat.is_some()
            && !is_other(name)
            && self.settings.default_limit_action == LimitAction::Pause
        {
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
        if !self.service_unit(name).streams.uses_socket() {
            return Ok(());
        }
        match self.descriptors(name).len() {
            1 => Ok(()),
            0 => Err("got no socket for StandardInput=socket; start its socket unit first".to_owned()),
            _ => Err("got more than one socket for StandardInput=socket; it can take only one".to_owned()),
        }
    }

    pub(crate) fn service_stop(&mut self, name: &UnitName) -> Begun {
        // Out of rotation first: new connections go elsewhere before the instance hears of its end.
        self.refresh_rotation_of(name);
        if let Some(other) = self.other_generation(name) {
            self.service_stop(&other);
        }
        match self.service(name).state {
            ServiceState::Dead | ServiceState::Failed => Begun::Done,
            ServiceState::AutoRestart => {
                // The change itself moves the job on: ends a stop, turns a restart into a start.
                self.set_service_state(name, ServiceState::Dead);
                Begun::Pending
            }
            // A command is under way: no other one beside it.
            ServiceState::Condition
            | ServiceState::StartPre
            | ServiceState::Start
            | ServiceState::StartCheck
            | ServiceState::StartPost
            | ServiceState::Reload
            | ServiceState::ReloadSignal
            | ServiceState::ReloadNotify => {
                self.enter_signal(name, ServiceState::StopSigterm, ServiceResult::Success);
                Begun::Pending
            }
            ServiceState::Running => {
                self.enter_drain(name);
                Begun::Pending
            }
            ServiceState::Exited => {
                self.enter_stop(name, ServiceResult::Success);
                Begun::Pending
            }
            ServiceState::Drain
            | ServiceState::Stop
            | ServiceState::StopWatchdog
            | ServiceState::StopSigterm
            | ServiceState::StopSigkill
            | ServiceState::StopPost
            | ServiceState::FinalWatchdog
            | ServiceState::FinalSigterm
            | ServiceState::FinalSigkill => Begun::Pending,
        }
    }

    pub(crate) fn service_reload(&mut self, name: &UnitName) -> Begun {
        match self.service(name).state {
            ServiceState::Running | ServiceState::Exited => {
                self.enter_reload(name);
                Begun::Pending
            }
            // A reload that is under way may have read the old configuration: once more after it.
            ServiceState::Reload
            | ServiceState::ReloadSignal
            | ServiceState::ReloadNotify
            | ServiceState::Condition
            | ServiceState::StartPre
            | ServiceState::Start
            | ServiceState::StartCheck
            | ServiceState::StartPost => Begun::Wait,
            ServiceState::Dead
            | ServiceState::Failed
            | ServiceState::AutoRestart
            | ServiceState::Drain
            | ServiceState::Stop
            | ServiceState::StopWatchdog
            | ServiceState::StopSigterm
            | ServiceState::StopSigkill
            | ServiceState::StopPost
            | ServiceState::FinalWatchdog
            | ServiceState::FinalSigterm
            | ServiceState::FinalSigkill => {
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
        service.result = ServiceResult::Success;
        if let Some(run) = &mut service.run {
            run.reload_result = ServiceResult::Success;
        }
        if service.state == ServiceState::Failed {
            self.set_service_state(name, ServiceState::Dead);
        }
    }

    // --- looking things up ---

    /// How often it may start.
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
                let mut ends = group.in_service().iter().map(|slot| self.start_limit_end(slot));
                ends.try_fold(None, |latest, end| Some(latest.max(end?)))
            }
            Machine::Socket(_) | Machine::Target(_) => None,
        }
    }

    /// `NotifyAccess=`, with its default (systemd.service(5)), or what the service itself has asked for (`NOTIFYACCESS=`).
    pub fn notify_access(&self, name: &UnitName) -> NotifyAccess {
        let asked_for = self.service(name).run().notify_access;
        asked_for.unwrap_or_else(|| self.service_unit(name).service.effective_notify_access())
    }

    pub(crate) fn service_type(&self, name: &UnitName) -> ServiceType {
        self.service_unit(name).service.type_
    }

    pub(crate) fn set_service_state(&mut self, name: &UnitName, state: ServiceState) {
        self.change(name, |machine| {
            if let Machine::Service(service) = machine {
                service.state = state;
            }
        });
        if !state.is_watched() {
            self.set_watchdog(name, None);
        }
        self.thaw(name);
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
pub fn commands(unit: &ServiceUnit, list: ExecList) -> &[ExecCommand] {
    let section = &unit.service;
    match list {
        ExecList::Condition => &section.exec_condition,
        ExecList::StartPre => &section.exec_start_pre,
        ExecList::Start => &section.exec_start,
        ExecList::ReadyCheck => match &section.ready_check {
            Some(ReadyCheck::Exec(command)) => std::slice::from_ref(&**command),
            Some(ReadyCheck::Tcp | ReadyCheck::Accepting | ReadyCheck::Http(_)) | None => &[],
        },
        ExecList::StartPost => &section.exec_start_post,
        ExecList::Reload => &section.exec_reload,
        ExecList::Stop => &section.exec_stop,
        ExecList::StopPost => &section.exec_stop_post,
        // Of sockets only.
        ExecList::Chown | ExecList::StopPre => &[],
    }
}

/// The client in the description of a per-connection instance, as systemd words it.
fn peer_text(peer: &Peer) -> String {
    match peer {
        Peer::Inet { remote, .. } => remote.to_string(),
        Peer::Vsock { remote: (cid, port), .. } => format!("vsock:{cid}:{port}"),
        Peer::Unix { credentials: Some((pid, uid)), .. } => format!("PID {pid}/UID {uid}"),
        Peer::Unix { credentials: None, .. } => "unknown".to_owned(),
    }
}
