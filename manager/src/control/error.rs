//! Errors: the names that D-Bus clients tell them by, and why the control itself cannot begin.
//!
//! Never here: what the texts of requests say; they are the engine's. Invariant: the names are systemd's, because
//! systemctl makes its exit code of them.

use std::io;

use sockmgr_engine::RequestError;
use sockmgr_unit::LoadState;
use zbus::Message;
use zbus::message::Header;

use crate::install::Refusal;

/// Why the control interfaces cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The control socket cannot be watched.
    #[error("cannot watch the control socket: {0}")]
    Watch(#[from] io::Error),
}

/// An error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BusError {
    name: ErrorName,
    text: String,
}

/// The error names in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorName {
    AccessDenied,
    Failed,
    FileNotFound,
    InvalidArgs,
    NotSupported,
    PropertyReadOnly,
    UnknownInterface,
    UnknownMethod,
    UnknownObject,
    UnknownProperty,
    AlreadySubscribed,
    BadUnitSetting,
    JobTypeNotApplicable,
    LoadFailed,
    NoIsolation,
    NoSuchJob,
    NoSuchProcess,
    NoSuchUnit,
    NotSubscribed,
    NoUnitForPid,
    OnlyByDependency,
    TransactionJobsConflicting,
    TransactionOrderIsCyclic,
    TransactionIsDestructive,
    NothingToClean,
    UnitBusy,
    UnitExists,
    UnitLinked,
    UnitMasked,
}

impl ErrorName {
    /// The name on the wire.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "org.freedesktop.DBus.Error.AccessDenied",
            Self::Failed => "org.freedesktop.DBus.Error.Failed",
            Self::FileNotFound => "org.freedesktop.DBus.Error.FileNotFound",
            Self::InvalidArgs => "org.freedesktop.DBus.Error.InvalidArgs",
            Self::NotSupported => "org.freedesktop.DBus.Error.NotSupported",
            Self::PropertyReadOnly => "org.freedesktop.DBus.Error.PropertyReadOnly",
            Self::UnknownInterface => "org.freedesktop.DBus.Error.UnknownInterface",
            Self::UnknownMethod => "org.freedesktop.DBus.Error.UnknownMethod",
            Self::UnknownObject => "org.freedesktop.DBus.Error.UnknownObject",
            Self::UnknownProperty => "org.freedesktop.DBus.Error.UnknownProperty",
            Self::AlreadySubscribed => "org.freedesktop.systemd1.AlreadySubscribed",
            Self::BadUnitSetting => "org.freedesktop.systemd1.BadUnitSetting",
            Self::JobTypeNotApplicable => "org.freedesktop.systemd1.JobTypeNotApplicable",
            Self::LoadFailed => "org.freedesktop.systemd1.LoadFailed",
            Self::NoIsolation => "org.freedesktop.systemd1.NoIsolation",
            Self::NoSuchJob => "org.freedesktop.systemd1.NoSuchJob",
            Self::NoSuchProcess => "org.freedesktop.systemd1.NoSuchProcess",
            Self::NoSuchUnit => "org.freedesktop.systemd1.NoSuchUnit",
            Self::NotSubscribed => "org.freedesktop.systemd1.NotSubscribed",
            Self::NoUnitForPid => "org.freedesktop.systemd1.NoUnitForPID",
            Self::OnlyByDependency => "org.freedesktop.systemd1.OnlyByDependency",
            Self::TransactionJobsConflicting => "org.freedesktop.systemd1.TransactionJobsConflicting",
            Self::TransactionOrderIsCyclic => "org.freedesktop.systemd1.TransactionOrderIsCyclic",
            Self::TransactionIsDestructive => "org.freedesktop.systemd1.TransactionIsDestructive",
            Self::NothingToClean => "org.freedesktop.systemd1.NothingToClean",
            Self::UnitBusy => "org.freedesktop.systemd1.UnitBusy",
            Self::UnitExists => "org.freedesktop.systemd1.UnitExists",
            Self::UnitLinked => "org.freedesktop.systemd1.UnitLinked",
            Self::UnitMasked => "org.freedesktop.systemd1.UnitMasked",
        }
    }
}

impl BusError {
    pub(super) fn new(name: ErrorName, text: impl Into<String>) -> Self {
        Self { name, text: text.into() }
    }

    pub(super) fn invalid_args(text: impl Into<String>) -> Self {
        Self::new(ErrorName::InvalidArgs, text)
    }

    /// The reply to the call with this header.
    ///
    /// # Errors
    /// Only if the text does not fit into a message.
    pub(super) fn reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.name.as_str()).build(&self.text)
    }
}

impl From<RequestError> for BusError {
    fn from(error: RequestError) -> Self {
        let name = match &error {
            RequestError::NoSuchUnit(_) | RequestError::NotLoaded(_) => ErrorName::NoSuchUnit,
            RequestError::LoadFailed(_, state, _) => load_error_name(*state),
            RequestError::IsTemplate(_) => ErrorName::InvalidArgs,
            RequestError::NotApplicable(_) => ErrorName::JobTypeNotApplicable,
            RequestError::Destructive { .. } => ErrorName::TransactionIsDestructive,
            RequestError::Contradiction { .. } => ErrorName::TransactionJobsConflicting,
            RequestError::Cyclic(_) => ErrorName::TransactionOrderIsCyclic,
            RequestError::OnlyByDependency(_) => ErrorName::OnlyByDependency,
            RequestError::NotIsolated(_) => ErrorName::NoIsolation,
            RequestError::IsolateStarts | RequestError::TriggeringStops => ErrorName::InvalidArgs,
            RequestError::NoSuchJob(_) => ErrorName::NoSuchJob,
            RequestError::NoProcess(_) => ErrorName::NoSuchProcess,
            RequestError::NotGroup(_) | RequestError::NotInstance(_) | RequestError::NotSocket(_) => {
                ErrorName::NotSupported
            }
            RequestError::NotListening(_)
            | RequestError::LastInRotation(_)
            | RequestError::NoRollout(_)
            | RequestError::RolloutUnderWay(_)
            | RequestError::NoEdition(_) => ErrorName::Failed,
            RequestError::OutOfBounds { .. } => ErrorName::InvalidArgs,
        };
        Self::new(name, error.to_string())
    }
}

impl From<Refusal> for BusError {
    fn from(refusal: Refusal) -> Self {
        let name = match &refusal {
            Refusal::Exists { .. } => ErrorName::UnitExists,
            Refusal::Masked(_) => ErrorName::UnitMasked,
            Refusal::NotFound(_) | Refusal::Dangling(_) => ErrorName::NoSuchUnit,
            Refusal::Linked(_) => ErrorName::UnitLinked,
            Refusal::BadName(_) | Refusal::NotADefault(_) | Refusal::NoRuntime => ErrorName::InvalidArgs,
            Refusal::NotATemplate { .. } | Refusal::Alias { .. } | Refusal::Setting(_) => {
                ErrorName::BadUnitSetting
            }
            Refusal::NotAFile { .. } | Refusal::Io { .. } => ErrorName::Failed,
        };
        let text = refusal.to_string();
        let mut letters = text.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        Self::new(name, first.into_iter().chain(letters).collect::<String>())
    }
}

/// The error that stands for a unit which is not simply loaded.
pub(super) fn load_error_name(state: LoadState) -> ErrorName {
    match state {
        LoadState::NotFound => ErrorName::NoSuchUnit,
        LoadState::BadSetting => ErrorName::BadUnitSetting,
        LoadState::Masked => ErrorName::UnitMasked,
        LoadState::Error | LoadState::Loaded => ErrorName::LoadFailed,
    }
}

impl From<zbus::Error> for BusError {
    /// What zbus refuses to build or to read.
    fn from(error: zbus::Error) -> Self {
        Self::new(ErrorName::Failed, error.to_string())
    }
}
