//! `[Service]`: what is run and how it is kept running (systemd.service(5)).

use super::{BusName, PidFile, SocketNames};
use crate::directive::section;
use crate::value::{
    ExecCommand, ExitStatuses, FailureMode, FdStorePreserve, NotifyAccess, ReadyCheck, ResettableSpan,
    Restart, RestartMode, ServiceType, Signal, Span, Weight,
};

section! {
    /// The directives of `[Service]` that say what a service is.
    pub struct ServiceSection in Service {
        /// Whether only the main process is confined and runs as `User=`.
        permissions_start_only: bool = false => "PermissionsStartOnly" {
            "PermissionsStartOnly": "Whether User= and its like go for ExecStart= only, as a + before all other commands; default no";
        }
        /// How the service tells that it is ready.
        type_: ServiceType = ServiceType::Simple => "Type" {
            "Type": "When it counts as started: simple (at the fork), exec (program runs), forking (it went to the background), oneshot (has ended), dbus (has its BusName=), notify (says READY=1), notify-reload (and reloads by signal), idle (simple, after other jobs)";
        }
        /// The main process; several commands only for oneshot.
        exec_start: Vec<ExecCommand> = Vec::new() => "ExecStart" {
            "ExecStart": "The program with its arguments; it inherits the sockets";
        }
        /// Commands that decide whether it is started at all.
        exec_condition: Vec<ExecCommand> = Vec::new() => "ExecCondition" {
            "ExecCondition": "Commands that run first: exit code 1 to 254 leaves the service down without a failure, 255 is one";
        }
        /// Commands before the main process.
        exec_start_pre: Vec<ExecCommand> = Vec::new() => "ExecStartPre" {
            "ExecStartPre": "Commands that run, one after the other, before ExecStart=";
        }
        /// Commands after the service is ready.
        exec_start_post: Vec<ExecCommand> = Vec::new() => "ExecStartPost" {
            "ExecStartPost": "Commands that run once the service counts as started";
        }
        /// Commands that ask the service to stop.
        exec_stop: Vec<ExecCommand> = Vec::new() => "ExecStop" {
            "ExecStop": "Commands that ask the service to stop; what is left then gets KillSignal=";
        }
        /// Commands after everything has ended.
        exec_stop_post: Vec<ExecCommand> = Vec::new() => "ExecStopPost" {
            "ExecStopPost": "Commands that run once the service has ended, however it did, also when its start failed";
        }
        /// Commands that make the service read its configuration anew.
        exec_reload: Vec<ExecCommand> = Vec::new() => "ExecReload" {
            "ExecReload": "Commands that make the service read its configuration anew; $MAINPID is its process";
        }
        /// When to start again; see [`ServiceSection::effective_restart`].
        restart: Option<Restart> = None => ("Restart" by effective_restart) {
            "Restart": "When to start again by itself: no (default), on-success, on-failure, on-abnormal, on-watchdog, on-abort, always";
        }
        /// How long to wait before that.
        restart_sec: Span = Span::from_millis(100) => "RestartUSec" {
            "RestartSec": "How long to wait before a restart by itself; default 100ms";
        }
        /// How a restart on request goes; `None`: the engine chooses.
        restart_mode: Option<RestartMode> = None => ("RestartMode" own) {
            "RestartMode": "How to restart on request: overlap (next process ready before this one stops), rolling (one instance at a time), stop-first";
        }
        /// How many instances a rollout tries the new files with.
        rollout_canary: u32 = 1 => ("RolloutCanary" own) {
            "RolloutCanary": "Number of instances that a rollout gives the new unit files first; default 1";
        }
        /// How many follow at a time.
        rollout_batch: u32 = 1 => ("RolloutBatch" own) {
            "RolloutBatch": "Number of instances that follow at a time once the canary has proved good; default 1";
        }
        /// How long those have to run.
        rollout_gate_sec: Span = Span::from_secs(10) => ("RolloutGateUSec" own) {
            "RolloutGateSec": "Time for which they have to be ready without a crash before a rollout goes on; default 10s";
        }
        /// What becomes of a rollout that proves bad.
        rollout_undo: bool = true => ("RolloutUndo" own) {
            "RolloutUndo": "Whether a rollout that proves bad returns to the former unit files by itself, else it stops; default yes";
        }
        /// In how many restarts the wait grows to `restart_max_delay_sec`; zero: it does not.
        restart_steps: u32 = 0 => "RestartSteps" {
            "RestartSteps": "Number of restarts in which the wait grows from RestartSec= to RestartMaxDelaySec=; default 0: it does not grow";
        }
        /// The longest wait before a restart.
        restart_max_delay_sec: Span = Span::INFINITY => "RestartMaxDelayUSec" {
            "RestartMaxDelaySec": "The longest wait before a restart, with RestartSteps=; a service that ran so long begins with RestartSec= again";
        }
        /// Ends that are no failure.
        success_exit_status: ExitStatuses = ExitStatuses::default() => "SuccessExitStatus" {
            "SuccessExitStatus": "Further exit codes and signals that are no failure: numbers, words as TEMPFAIL, signals as SIGKILL";
        }
        /// Ends after which it is not started again by itself.
        restart_prevent_exit_status: ExitStatuses = ExitStatuses::default() => "RestartPreventExitStatus" {
            "RestartPreventExitStatus": "Exit codes and signals after which Restart= does not apply";
        }
        /// Ends after which it always is.
        restart_force_exit_status: ExitStatuses = ExitStatuses::default() => "RestartForceExitStatus" {
            "RestartForceExitStatus": "Exit codes and signals after which it is started again, whatever Restart= says";
        }
        /// Time allowed for the start. Loading fills in the default; `None` only in a section that was not loaded.
        timeout_start_sec: Option<Span> = None => "TimeoutStartUSec" {
            "TimeoutStartSec" | "TimeoutSec": "Time allowed for the start; 0 or infinity: any; default 90s, none for oneshot";
        }
        /// Time allowed for the stop. Loading fills in the default.
        timeout_stop_sec: Option<Span> = None => "TimeoutStopUSec" {
            "TimeoutStopSec" | "TimeoutSec": "Time allowed for the stop, then SIGKILL; 0 or infinity: any; default 90s";
        }
        /// Time allowed for an end by the watchdog's signal; `None`: as for the stop.
        timeout_abort_sec: Option<ResettableSpan> = None => ("TimeoutAbortUSec" by effective_timeout_abort) {
            "TimeoutAbortSec": "Time allowed for dumping core after the signal of the watchdog; default as TimeoutStopSec=";
        }
        /// What is done when the start takes too long.
        timeout_start_failure_mode: FailureMode = FailureMode::Terminate => "TimeoutStartFailureMode" {
            "TimeoutStartFailureMode": "How a start that takes too long is ended: terminate (KillSignal=, default), abort (WatchdogSignal=), kill (FinalKillSignal=)";
        }
        /// What is done when the stop takes too long.
        timeout_stop_failure_mode: FailureMode = FailureMode::Terminate => "TimeoutStopFailureMode" {
            "TimeoutStopFailureMode": "How a stop that takes too long is ended: terminate (default), abort, kill, as for TimeoutStartFailureMode=";
        }
        /// How long it may run; infinity: for ever.
        runtime_max_sec: Span = Span::INFINITY => "RuntimeMaxUSec" {
            "RuntimeMaxSec": "How long the service may run; then it is stopped, and that is a failure (timeout); default: for ever";
        }
        /// A random time up to this is added.
        runtime_randomized_extra_sec: Span = Span::ZERO => "RuntimeRandomizedExtraUSec" {
            "RuntimeRandomizedExtraSec": "A random time up to this is added to RuntimeMaxSec=";
        }
        /// How often it has to say that it is well; zero: not at all.
        watchdog_sec: Span = Span::ZERO => "WatchdogUSec" {
            "WatchdogSec": "The service must say WATCHDOG=1 at least so often, or is ended by WatchdogSignal=; 0 (default): never";
        }
        /// The file that names the main process, under an absolute path.
        pid_file: Option<PidFile> = None => "PIDFile" {
            "PIDFile": "File in which a forking service names its main process; below the runtime directory unless absolute";
        }
        /// Whether to find the main process of a forking service without a file.
        guess_main_pid: bool = true => "GuessMainPID" {
            "GuessMainPID": "Whether to take the one process that a forking service leaves for its main process; default yes";
        }
        /// The name on the message bus that makes it ready.
        bus_name: Option<BusName> = None => "BusName" {
            "BusName": "Name on the message bus by which the service tells that it is ready (Type=dbus)";
        }
        /// The signal by which it reads its configuration anew (`Type=notify-reload`).
        reload_signal: Signal = Signal::HUP => "ReloadSignal" {
            "ReloadSignal": "Signal by which a Type=notify-reload service reads its configuration anew; default SIGHUP";
        }
        /// How many descriptors it may leave with the manager.
        file_descriptor_store_max: u32 = 0 => "FileDescriptorStoreMax" {
            "FileDescriptorStoreMax": "How many descriptors the service may leave with the manager (FDSTORE=1), to get them back at its next start; default 0";
        }
        /// How long they are kept.
        file_descriptor_store_preserve: FdStorePreserve = FdStorePreserve::Restart => "FileDescriptorStorePreserve" {
            "FileDescriptorStorePreserve": "Whether those descriptors outlive a stop: no (not even a restart), restart (default), yes";
        }
        /// How to find out whether it is ready, where it does not say so.
        ready_check: Option<ReadyCheck> = None => ("ReadyCheck" own) {
            "ReadyCheck": "Ready is who passes this: tcp (accepts a connection), accepting (or a client's), http:/path (answers 200 to 399), exec:COMMAND";
        }
        /// Between two checks.
        ready_check_interval_sec: Span = Span::from_millis(100) => ("ReadyCheckIntervalUSec" own) {
            "ReadyCheckIntervalSec": "Time between two ReadyCheck= that fail; default 100ms";
        }
        /// After which the start has failed; `None`: as the start has.
        ready_check_timeout_sec: Option<Span> = None => ("ReadyCheckTimeoutUSec" own) {
            "ReadyCheckTimeoutSec": "Time within which ReadyCheck= must be passed; default: what TimeoutStartSec= leaves";
        }
        /// How long an instance may serve what its queues hold before it is told to stop.
        drain_timeout_sec: Span = Span::from_secs(2) => ("DrainTimeoutUSec" own) {
            "DrainTimeoutSec": "In a group: time for serving what is queued before the stop; 0 or infinity: any, below 5ms: not at all; default 2s";
        }
        /// Whether the service counts as active after its processes have ended.
        remain_after_exit: bool = false => "RemainAfterExit" {
            "RemainAfterExit": "Whether the service stays active when all its processes have ended; default no";
        }
        /// Whether the sockets are passed in non-blocking mode.
        non_blocking: bool = false => "NonBlocking" {
            "NonBlocking": "Whether the sockets are passed in non-blocking mode (O_NONBLOCK); default no";
        }
        /// Who may send notifications; see [`ServiceSection::effective_notify_access`].
        notify_access: Option<NotifyAccess> = None => ("NotifyAccess" by effective_notify_access) {
            "NotifyAccess": "Who may notify the manager: none, main, exec, all; default main with Type=notify, WatchdogSec= or FileDescriptorStoreMax=, else none";
        }
        /// The instance's part of the connections of its group.
        instance_weight: Weight = Weight::DEFAULT => ("InstanceWeight" own) {
            "InstanceWeight": "With Steering=weighted: the instance's part of the new connections, 1 to 10000; default 100";
        }
        /// Further sockets that the service inherits.
        sockets: SocketNames = SocketNames::default() => - {
            "Sockets": "Sockets that the service inherits beside the one of the same name";
        }
    }
}

impl ServiceSection {
    /// When to start again: never, unless it was set.
    pub fn effective_restart(&self) -> Restart {
        self.restart.unwrap_or(Restart::No)
    }

    /// Whether it is known of a process when it is ready to serve, also beside another one with the same sockets.
    pub fn tells_own_readiness(&self) -> bool {
        match &self.ready_check {
            Some(check) => check.tells_who(),
            None => self.type_.notifies(),
        }
    }

    /// Whether there is a way to have it read its configuration anew.
    pub fn can_reload(&self) -> bool {
        !self.exec_reload.is_empty() || self.type_ == ServiceType::NotifyReload
    }

    /// How long an end by the watchdog's signal may take: as long as a stop, unless it was set.
    pub fn effective_timeout_abort(&self) -> Span {
        self.timeout_abort_sec.map(|span| span.0).or(self.timeout_stop_sec).unwrap_or(Span::INFINITY)
    }

    /// Who may send notifications: the main process of a service that has something to say, else nobody, unless it was set.
    pub fn effective_notify_access(&self) -> NotifyAccess {
        let speaks =
            self.type_.notifies() || self.watchdog_sec != Span::ZERO || self.file_descriptor_store_max > 0;
        let default = if speaks { NotifyAccess::Main } else { NotifyAccess::None };
        // `none` would make a service that says when it is ready never be: systemd overrides it there, too.
        self.notify_access.filter(|access| *access != NotifyAccess::None).unwrap_or(default)
    }

    /// What is wrong with the section as a whole: such a unit cannot be started (systemd.service(5), in systemd's order).
    pub(crate) fn check(&self) -> Result<(), ServiceError> {
        let oneshot = self.type_ == ServiceType::Oneshot;
        if self.exec_start.is_empty() && self.exec_stop.is_empty() {
            return Err(ServiceError::NothingToRun);
        }
        if self.exec_start.is_empty() && !oneshot {
            return Err(ServiceError::NoExecStart);
        }
        if self.exec_start.is_empty() && !self.remain_after_exit {
            return Err(ServiceError::NoExecStartToRemain);
        }
        if self.exec_start.len() > 1 && !oneshot {
            return Err(ServiceError::SeveralExecStart);
        }
        if self.type_ == ServiceType::Dbus && self.bus_name.is_none() {
            return Err(ServiceError::NoBusName);
        }
        if oneshot && matches!(self.effective_restart(), Restart::Always | Restart::OnSuccess) {
            return Err(ServiceError::OneshotRestart);
        }
        if oneshot && !self.restart_force_exit_status.is_empty() {
            return Err(ServiceError::OneshotRestartForced);
        }
        Ok(())
    }
}

/// A `[Service]` section that contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("the service runs nothing: it needs ExecStart=")]
    NothingToRun,
    #[error("only Type=oneshot may go without ExecStart=")]
    NoExecStart,
    #[error("without ExecStart= the service needs RemainAfterExit=yes")]
    NoExecStartToRemain,
    #[error(
        "only Type=oneshot may have more than one ExecStart=; an empty ExecStart= line forgets the earlier ones"
    )]
    SeveralExecStart,
    #[error("Type=dbus needs BusName=, the name by which the service tells that it is ready")]
    NoBusName,
    #[error("Type=oneshot cannot have Restart=always or Restart=on-success: ending is its purpose")]
    OneshotRestart,
    #[error("Type=oneshot cannot have RestartForceExitStatus=: ending is its purpose")]
    OneshotRestartForced,
}
