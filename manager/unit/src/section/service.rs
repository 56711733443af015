//! `[Service]`: what is run and how it is kept running (systemd.service(5)).

use super::SocketNames;
use crate::directive::section;
use crate::value::{ExecCommand, NotifyAccess, Restart, RestartMode, ServiceType, Span};

section! {
    /// The directives of `[Service]` that say what a service is.
    pub struct ServiceSection in Service {
        /// How the service tells that it is ready.
        type_: ServiceType = ServiceType::Simple => "Type" {
            "Type": "When it counts as started: simple (at the fork), exec (program runs), notify (says READY=1), oneshot (has ended)";
        }
        /// The main process; several commands only for oneshot.
        exec_start: Vec<ExecCommand> = Vec::new() => "ExecStart" {
            "ExecStart": "The program with its arguments; it inherits the sockets";
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
        /// Time allowed for the start. Loading fills in the default; `None` only in a section that was not loaded.
        timeout_start_sec: Option<Span> = None => "TimeoutStartUSec" {
            "TimeoutStartSec" | "TimeoutSec": "Time allowed for the start; 0 or infinity: any; default 90s, none for oneshot";
        }
        /// Time allowed for the stop. Loading fills in the default.
        timeout_stop_sec: Option<Span> = None => "TimeoutStopUSec" {
            "TimeoutStopSec" | "TimeoutSec": "Time allowed for the stop, then SIGKILL; 0 or infinity: any; default 90s";
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
            "NotifyAccess": "Who may notify the manager: none, main, exec, all; default main for Type=notify, else none";
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

    /// Whether it is known when the service is ready to serve, and not only that it runs.
    pub fn tells_readiness(&self) -> bool {
        self.type_ == ServiceType::Notify
    }

    /// Who may send notifications: the main process of a `Type=notify` service, else nobody, unless it was set.
    pub fn effective_notify_access(&self) -> NotifyAccess {
        let default = if self.type_ == ServiceType::Notify { NotifyAccess::Main } else { NotifyAccess::None };
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
        if oneshot && matches!(self.effective_restart(), Restart::Always | Restart::OnSuccess) {
            return Err(ServiceError::OneshotRestart);
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
    #[error("Type=oneshot cannot have Restart=always or Restart=on-success: ending is its purpose")]
    OneshotRestart,
}
