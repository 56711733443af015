//! How the processes of a service are ended (systemd.kill(5)).

use crate::directive::section;
use crate::value::{KillMode, Signal};

section! {
    /// The directives of `[Service]` that say how its processes are ended.
    pub struct KillSection in Service {
        /// The first signal of a stop.
        kill_signal: Signal = Signal::TERM => "KillSignal" {
            "KillSignal": "The first signal of a stop; default SIGTERM";
        }
        /// Which processes get it.
        kill_mode: KillMode = KillMode::ControlGroup => "KillMode" {
            "KillMode": "Who is signalled: control-group (all, default), mixed (main first, SIGKILL to all), process (main only), none";
        }
    }
}
