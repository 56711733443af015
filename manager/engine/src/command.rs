//! What clients ask for, and how it is refused.

pub use sockmgr_unit::value::JobMode;
use sockmgr_unit::{LoadState, UnitName};

use crate::ids::JobId;
use crate::job::JobKind;

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

/// What is asked of a group, an instance or a socket beside jobs; these are sockmgr's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// So many instances of the group; `None`: as its file says.
    Scale(Option<u32>),
    /// No new connections for this instance, which goes on running.
    Drain,
    /// The opposite.
    Undrain,
    /// The socket starts nothing: what comes waits in its queue.
    Hold,
    /// The opposite.
    Release,
    /// The rollout of the group begins nothing more.
    PauseRollout,
    /// It goes on, with a new gate.
    ResumeRollout,
    /// It returns to the former files.
    UndoRollout,
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
    NotApplicable(UnitName),
    /// Another job is in the way, and must not be replaced.
    Destructive {
        /// What was asked for.
        anchor: (UnitName, JobKind),
        /// The job that is there.
        queued: (UnitName, JobKind),
        /// The job that would take its place.
        included: JobKind,
    },
    /// What was asked for needs the unit to be up and down.
    Contradiction {
        /// The unit.
        unit: UnitName,
        /// What is needed of it.
        kinds: [JobKind; 2],
    },
    /// `After=` and `Before=` make the jobs wait for each other.
    Cyclic(UnitName),
    /// Its file says that clients do not start or stop it.
    OnlyByDependency(UnitName),
    /// Its file does not say `AllowIsolate=yes`.
    NotIsolated(UnitName),
    /// `--job-mode=isolate` with something else than a start.
    IsolateStarts,
    /// `--job-mode=triggering` with something else than a stop.
    TriggeringStops,
    /// There is no such job.
    NoSuchJob(JobId),
    /// The unit has no such process.
    NoProcess(UnitName),
    /// It is no group, nor a socket that has one.
    NotGroup(UnitName),
    /// It is not in a group.
    NotInstance(UnitName),
    /// It is not a socket.
    NotSocket(UnitName),
    /// The socket is closed.
    NotListening(UnitName),
    /// Without it the group would have nobody to send new connections to.
    LastInRotation(UnitName),
    /// It has no rollout that could be paused, resumed or undone.
    NoRollout(UnitName),
    /// A rollout is under way.
    RolloutUnderWay(UnitName),
    /// Its instances are not all made of one template's file.
    NoEdition(UnitName),
    /// The group cannot have so many instances.
    OutOfBounds {
        /// The group.
        unit: UnitName,
        /// `MinInstances=`
        fewest: u32,
        /// `MaxInstances=`, as of when its socket was opened.
        most: u32,
    },
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
            Self::NotApplicable(unit) => write!(f, "Job type is not applicable for unit {unit}."),
            Self::Destructive { anchor, queued, included } => write!(
                f,
                "Transaction for {}/{} is destructive ({} has '{}' job queued, but '{}' is included in transaction).",
                anchor.0,
                anchor.1.as_str(),
                queued.0,
                queued.1.as_str(),
                included.as_str()
            ),
            Self::Contradiction { unit, kinds: [one, other] } => write!(
                f,
                "Transaction contains conflicting jobs '{}' and '{}' for {unit}. Probably contradicting requirement dependencies configured.",
                one.as_str(),
                other.as_str()
            ),
            Self::Cyclic(_) => f.write_str("Transaction order is cyclic. See system logs for details."),
            Self::OnlyByDependency(unit) => write!(
                f,
                "Operation refused, unit {unit} may be requested by dependency only (it is configured to refuse manual start/stop)."
            ),
            Self::NotIsolated(_) => f.write_str("Operation refused, unit may not be isolated."),
            Self::IsolateStarts => f.write_str("Isolate is only valid for start."),
            Self::TriggeringStops => f.write_str("--job-mode=triggering is only valid for stop."),
            Self::NoSuchJob(id) => write!(f, "Job {id} does not exist."),
            Self::NoProcess(unit) => write!(f, "Unit {unit} has no such process to kill."),
            Self::NotGroup(unit) => {
                write!(f, "Unit {unit} is not a group of instances: its socket needs Instances=.")
            }
            Self::NotInstance(unit) => {
                write!(f, "Unit {unit} is not one instance of a group, as web@2.service is.")
            }
            Self::NotSocket(unit) => write!(f, "Unit {unit} is not a socket."),
            Self::NotListening(unit) => write!(f, "Unit {unit} does not listen; start it first."),
            Self::LastInRotation(unit) => write!(
                f,
                "Unit {unit} is the last one that gets new connections; to make them wait, hold its socket."
            ),
            Self::NoRollout(unit) => write!(f, "Unit {unit} has no rollout for which that could be done."),
            Self::RolloutUnderWay(unit) => {
                write!(f, "Unit {unit} has a rollout that is not over: wait for it, or undo it.")
            }
            Self::NoEdition(unit) => write!(
                f,
                "Unit {unit} cannot be rolled out: its instances must all come from one template file, none from a file of its own."
            ),
            Self::OutOfBounds { unit, fewest, most } => write!(
                f,
                "Unit {unit} can have {fewest} to {most} instances; MinInstances= and MaxInstances= of its socket say so."
            ),
        }
    }
}

impl std::error::Error for RequestError {}
