//! How the processes of a unit are ended (systemd.kill(5)).

use crate::directive::section;
use crate::value::{KillMode, Signal};

section! {
    /// How the processes of a service are ended, and those that a socket runs.
    pub struct KillSection in (Service, Socket) {
        /// The first signal of a stop.
        kill_signal: Signal = Signal::TERM => "KillSignal" {
            "KillSignal": "The first signal of a stop; default SIGTERM";
        }
        /// The first signal of a stop that is part of a restart; `None`: the same.
        restart_kill_signal: Option<Signal> = None => ("RestartKillSignal" by effective_restart_kill_signal) {
            "RestartKillSignal": "The first signal of a stop that is part of a restart; default as KillSignal=";
        }
        /// What ends those that do not heed it.
        final_kill_signal: Signal = Signal::KILL => "FinalKillSignal" {
            "FinalKillSignal": "The signal for what has not ended in time; default SIGKILL";
        }
        /// What ends a service that the watchdog found hanging.
        watchdog_signal: Signal = Signal::ABRT => "WatchdogSignal" {
            "WatchdogSignal": "The signal for a service that WatchdogSec= found hanging; default SIGABRT";
        }
        /// Whether SIGHUP follows the first signal.
        send_sighup: bool = false => "SendSIGHUP" {
            "SendSIGHUP": "Whether SIGHUP follows the first signal of a stop at once, for shells; default no";
        }
        /// Whether what does not heed it is ended.
        send_sigkill: bool = true => "SendSIGKILL" {
            "SendSIGKILL": "Whether what does not end in time gets FinalKillSignal=; default yes";
        }
        /// Which processes get it.
        kill_mode: KillMode = KillMode::ControlGroup => "KillMode" {
            "KillMode": "Who is signalled: control-group (all, default), mixed (main first, SIGKILL to all), process (main only), none";
        }
    }
}

impl KillSection {
    /// The first signal of a stop that is part of a restart: that of any stop, unless it was set.
    pub fn effective_restart_kill_signal(&self) -> Signal {
        self.restart_kill_signal.unwrap_or(self.kill_signal)
    }
}
