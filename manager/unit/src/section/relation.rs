//! `[Unit]`: how the unit stands to others (systemd.unit(5)), beside the four relations that most units have.

use super::names::word_list;
use crate::directive::{Context, Property, Value, section};
use crate::name::UnitName;
use crate::value::word::{Backslash, Words};
use crate::value::{EmergencyAction, JobMode, Span, ValueError, path};

section! {
    /// What most units leave as it is. Units that have the same share it.
    pub struct RelationSection in Unit {
        /// Units that must be up already.
        requisite: Vec<UnitName> = Vec::new() => "Requisite" {
            "Requisite" | "RequisiteOverridable": "Units that must be up already; where one is not, this one is not started";
        }
        /// As `Requires=`, and this unit goes down with them for whatever reason.
        binds_to: Vec<UnitName> = Vec::new() => "BindsTo" {
            "BindsTo" | "BindTo": "As Requires=, and when one of them goes down by itself, this one is stopped";
        }
        /// Units with which this one is stopped and restarted.
        part_of: Vec<UnitName> = Vec::new() => "PartOf" {
            "PartOf": "Units with which this one is stopped and restarted";
        }
        /// Units that are kept up as long as this one is.
        upholds: Vec<UnitName> = Vec::new() => "Upholds" {
            "Upholds": "Units that are started whenever they are down, as long as this one is up";
        }
        /// Units that cannot be up together with this one.
        conflicts: Vec<UnitName> = Vec::new() => "Conflicts" {
            "Conflicts": "Units that are stopped when this one starts, and whose start stops this one";
        }
        /// Units that are started when this one has failed.
        on_failure: Vec<UnitName> = Vec::new() => "OnFailure" {
            "OnFailure": "Units that are started when this one has failed, and is not about to be started again by itself";
        }
        /// Units that are started when this one has ended well.
        on_success: Vec<UnitName> = Vec::new() => "OnSuccess" {
            "OnSuccess": "Units that are started when this one has ended without a failure";
        }
        /// Units that are stopped with this one.
        propagates_stop_to: Vec<UnitName> = Vec::new() => "PropagatesStopTo" {
            "PropagatesStopTo": "Units that are stopped when this one is";
        }
        /// The inverse of `propagates_stop_to`.
        stop_propagated_from: Vec<UnitName> = Vec::new() => "StopPropagatedFrom" {
            "StopPropagatedFrom": "Units with which this one is stopped";
        }
        /// Units that are reloaded with this one.
        propagates_reload_to: Vec<UnitName> = Vec::new() => "PropagatesReloadTo" {
            "PropagatesReloadTo" | "PropagateReloadTo": "Units that are reloaded when this one is";
        }
        /// The inverse of `propagates_reload_to`.
        reload_propagated_from: Vec<UnitName> = Vec::new() => "ReloadPropagatedFrom" {
            "ReloadPropagatedFrom" | "PropagateReloadFrom": "Units with which this one is reloaded";
        }
        /// Paths whose file systems must be there.
        requires_mounts_for: Paths = Paths::default() => "RequiresMountsFor" {
            "RequiresMountsFor": "Absolute paths whose file systems must be mounted before; sockmgr mounts none, and orders after -.mount";
        }
        /// How `on_failure` is started.
        on_failure_job_mode: JobMode = JobMode::Replace => "OnFailureJobMode" {
            "OnFailureJobMode": "How the units of OnFailure= are started, as --job-mode=; default replace";
        }
        /// How `on_success` is started.
        on_success_job_mode: JobMode = JobMode::Fail => "OnSuccessJobMode" {
            "OnSuccessJobMode": "How the units of OnSuccess= are started, as --job-mode=; default fail";
        }
        /// Whether it is stopped when nobody needs it.
        stop_when_unneeded: bool = false => "StopWhenUnneeded" {
            "StopWhenUnneeded": "Whether it is stopped when no unit that is up requires or wants it; default no";
        }
        /// Clients cannot start it.
        refuse_manual_start: bool = false => "RefuseManualStart" {
            "RefuseManualStart": "Whether only other units and traffic can start it; default no";
        }
        /// Clients cannot stop it.
        refuse_manual_stop: bool = false => "RefuseManualStop" {
            "RefuseManualStop": "Whether only other units can stop it; default no";
        }
        /// `isolate` is possible.
        allow_isolate: bool = false => "AllowIsolate" {
            "AllowIsolate": "Whether isolate may stop everything but this unit and what it needs; default no";
        }
        /// `isolate` does not stop it.
        ignore_on_isolate: bool = false => "IgnoreOnIsolate" {
            "IgnoreOnIsolate": "Whether it goes on when another unit is isolated; default no";
        }
        /// How long a job may take from when it is queued.
        job_timeout_sec: Span = Span::INFINITY => "JobTimeoutUSec" {
            "JobTimeoutSec": "How long a job of this unit may take, with the time that it waits; default infinity";
        }
        /// How long a job may take from when it begins; `None`: as `job_timeout_sec`.
        job_running_timeout_sec: Option<Span> = None => ("JobRunningTimeoutUSec" by effective_job_running_timeout) {
            "JobRunningTimeoutSec": "How long a job of this unit may take once it runs; default: as JobTimeoutSec=";
        }
        /// What else happens when a job takes too long.
        job_timeout_action: EmergencyAction = EmergencyAction::None => "JobTimeoutAction" {
            "JobTimeoutAction": "What else happens when a job takes too long: none; sockmgr does not reboot machines";
        }
        /// Whether the usual relations to targets are implied.
        default_dependencies: bool = true => "DefaultDependencies" {
            "DefaultDependencies": "Whether it waits for the basic targets, and is stopped at shutdown; default yes";
        }
    }
}

impl RelationSection {
    /// `JobRunningTimeoutSec=`, which is as `JobTimeoutSec=` where it is not given.
    pub fn effective_job_running_timeout(&self) -> Span {
        self.job_running_timeout_sec.unwrap_or(self.job_timeout_sec)
    }
}

/// Absolute paths; assignments add up, an empty one does not take any away (systemd.unit(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths(Vec<Box<str>>);

word_list!(Paths, Box<str>);

impl Value for Paths {
    const FORM: &'static str = "absolute paths, with blanks between";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        for word in Words::new(text, Backslash::Quotes) {
            match cx.expand(&word?.into_text()?).and_then(|path| path::absolute(&path)) {
                Ok(path) => self.0.push(path),
                Err(error) => cx.warn(error),
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.0.iter().map(ToString::to_string).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}
