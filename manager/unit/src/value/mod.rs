//! The values of directives: one file per family of grammars, each type with its text form and its D-Bus form.
//!
//! Never here: which directive takes which value (`section/`), and files or lines.
//! Invariant: a value that exists is valid; what reads it never checks it again.

mod address;
pub mod base64;
mod capability;
mod choice;
mod condition;
mod cpus;
mod credential;
mod directories;
mod environment;
mod errno;
mod error;
mod exec;
mod exit_status;
mod expand;
mod limit;
mod mount;
mod number;
pub mod path;
mod ready_check;
mod restriction;
mod scheduling;
mod signal;
mod size;
mod socket_option;
mod span;
mod stdio;
mod syslog;
mod system_call;
mod terminal;
mod text;
pub mod word;

pub use address::{Listen, ListenAddress, ListenKind, NetlinkAddress, ScopedAddress};
pub use capability::{
    AmbientSet, BoundingSet, CAP_MKNOD, CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_TIME, CAP_SYSLOG,
    CAP_WAKE_ALARM, Capabilities, SecureBits, capability_names,
};
pub use choice::{
    BindIpv6Only, Distribute, EmergencyAction, FailureMode, FdStorePreserve, FewestInstances, Instances,
    JobMode, KeyringMode, KillMode, LimitAction, LogTarget, NotifyAccess, OnHang, PreserveMode, ProcSubset,
    ProtectHome, ProtectProc, ProtectSystem, Restart, RestartMode, ScaleOn, ServiceType, Steering,
    SteeringMake, TerminalMode,
};
pub use condition::{Condition, ConditionKind, Conditions};
pub use cpus::{CpuAffinity, NumberSet};
pub use credential::{Credential, CredentialSource, Credentials};
pub use directories::{Directories, Directory};
pub use environment::{
    EnvironmentFile, EnvironmentFileError, UnsetVariables, VariableNames, is_variable_name,
    parse_environment_file,
};
pub use errno::Refusal;
pub use error::ValueError;
pub use exec::{ExecCommand, ExecFlags, Privilege};
pub use exit_status::{ExitStatuses, exit_status_name};
pub use limit::{LimitKind, Limits, Resource, Rlimit};
pub use mount::{
    Bind, BindList, PathList, Propagation, RootDirectory, SandboxPath, TemporaryFileSystem,
    TemporaryFileSystems,
};
pub use number::{Mode, Weight, parse_bool, parse_i32, parse_i64, parse_u32, parse_u64};
pub use path::{AbsolutePath, SearchPath};
pub use ready_check::ReadyCheck;
pub use restriction::{AddressFamilies, Architectures, FamilyList, Namespaces, namespaces_text};
pub use scheduling::{
    CoredumpFilter, CpuPolicy, CpuPriority, IoClass, IoPriority, Niceness, NumaPolicy, OomScoreAdjust,
    Personality, TimerSlack,
};
pub use signal::Signal;
pub use size::Size;
pub use socket_option::{BindDevice, FastOpen, IpTos, SocketOption, SocketProtocol, Timestamping};
pub use span::{ResettableSpan, Span};
pub use stdio::{InputData, StandardInput, StandardOutput};
pub use syslog::{ExtraFields, SyslogFacility, SyslogLevel};
pub use system_call::{Filter, LoggedCalls, SystemCall, SystemCallFilter, SystemCallLog, system_call_group};
pub use terminal::TerminalSize;
pub use text::{FdName, is_unicode_text};
