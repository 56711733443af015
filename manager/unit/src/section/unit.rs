//! `[Unit]`: what every unit has (systemd.unit(5)).

use super::Uris;
use crate::directive::section;
use crate::name::UnitName;
use crate::value::{EmergencyAction, Span};

section! {
    /// The `[Unit]` section.
    pub struct UnitSection in Unit {
        /// Free text for status and logs.
        description: Option<Box<str>> = None => "Description" {
            "Description": "What the unit is, in a few words, for status and logs; default: its name";
        }
        /// Where to read more.
        documentation: Uris = Uris::default() => "Documentation" {
            "Documentation": "Where to read more: http:, https:, file:, info: and man: addresses";
        }
        /// Ordering: this unit starts after those and stops before them.
        after: Vec<UnitName> = Vec::new() => "After" {
            "After": "Units that start before this one and stop after it, where both do";
        }
        /// Ordering: the inverse of `after`.
        before: Vec<UnitName> = Vec::new() => "Before" {
            "Before": "Units that start after this one and stop before it, where both do";
        }
        /// Units that a start of this one starts too, and must.
        requires: Vec<UnitName> = Vec::new() => "Requires" {
            "Requires" | "RequiresOverridable": "Units that are started with this one; where one cannot start, this one does not either";
        }
        /// Units that a start of this one starts too, if it can.
        wants: Vec<UnitName> = Vec::new() => "Wants" {
            "Wants": "Units that are started with this one, where they can be";
        }
        /// The window of the start limit; zero: no limit.
        start_limit_interval_sec: Span = Span::from_secs(10) => "StartLimitIntervalUSec" {
            "StartLimitIntervalSec" | "StartLimitInterval":
                "Window in which at most StartLimitBurst= starts are allowed; 0: any number; default 10s";
        }
        /// Starts allowed in the window; zero: no limit.
        start_limit_burst: u32 = 5 => "StartLimitBurst" {
            "StartLimitBurst": "Starts allowed within StartLimitIntervalSec=; 0: any number; default 5";
        }
        /// What else happens when the limit is hit.
        start_limit_action: EmergencyAction = EmergencyAction::None => "StartLimitAction" {
            "StartLimitAction": "What else happens when the start limit is hit: none; sockmgr does not reboot machines";
        }
    }
}
