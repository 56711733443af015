//! What clients ask for, and how it is refused.

use sockmgr_unit::{LoadState, UnitName};

/// A request about one unit. Verbs are systemctl's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What to do.
    pub verb: Verb,
    /// To which unit.
    pub unit: UnitName,
    /// How to treat other jobs and dependencies.
    pub mode: JobMode,
}

/// What to do (systemctl(1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Start.
    Start,
    /// Stop.
    Stop,
    /// Stop, then start; start when it does not run.
    Restart,
    /// Restart if it runs.
    TryRestart,
    /// Reload its configuration.
    Reload,
    /// Reload, or restart where it cannot reload.
    ReloadOrRestart,
    /// The same, if it runs.
    ReloadOrTryRestart,
}

/// Job modes (systemctl(1), `--job-mode=`) that mean something here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobMode {
    /// A conflicting job that waits or runs gives way.
    #[default]
    Replace,
    /// A conflicting job makes the request fail.
    Fail,
    /// Only the named unit, in no order.
    IgnoreDependencies,
}

/// Whom a `kill` is for (systemctl(1), `--kill-whom=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KillWho {
    /// The main process.
    Main,
    /// The control process (an `ExecStartPre=`, `ExecStop=`, …).
    Control,
    /// Every process of the unit.
    #[default]
    All,
}

/// Why a request was refused. The names of the D-Bus errors are the control's matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// There is no such unit file.
    NoSuchUnit(UnitName),
    /// The unit is not loaded, so it cannot be stopped.
    NotLoaded(UnitName),
    /// The unit file cannot be used; the text says why.
    LoadFailed(UnitName, LoadState, String),
    /// It is a template: an instance name is missing.
    IsTemplate(UnitName),
    /// The unit has nothing to do that with, such as a socket to reload.
    NotApplicable(UnitName, Verb),
    /// Another job is in the way (`--job-mode=fail`).
    Conflict(UnitName),
    /// The unit has no such process.
    NoProcess(UnitName),
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchUnit(unit) => write!(f, "Unit {unit} not found."),
            Self::NotLoaded(unit) => write!(f, "Unit {unit} not loaded."),
            Self::LoadFailed(unit, LoadState::Masked, _) => write!(f, "Unit {unit} is masked."),
            Self::LoadFailed(unit, LoadState::BadSetting, why) => {
                write!(f, "Unit {unit} has a bad unit file setting: {why}")
            }
            Self::LoadFailed(unit, _, why) => write!(f, "Unit {unit} failed to load properly: {why}"),
            Self::IsTemplate(unit) => write!(f, "Unit name {unit} is missing the instance name."),
            Self::NotApplicable(unit, _) => write!(f, "Job type is not applicable for unit {unit}."),
            Self::Conflict(unit) => {
                write!(f, "Another job for unit {unit} is queued, and the job mode is `fail`.")
            }
            Self::NoProcess(unit) => write!(f, "Unit {unit} has no such process to kill."),
        }
    }
}

impl std::error::Error for RequestError {}
