//! The sections of a unit file: every directive that sockmgr has, with the field it fills.
//!
//! Never here: grammars of values and what the directives do. Invariant: a directive is declared in one place only.

mod condition;
mod exec;
mod install;
mod kill;
mod names;
mod option;
mod process;
mod relation;
mod resource;
mod sandbox;
mod service;
mod socket;
mod streams;
mod text;
mod unit;

pub use condition::ConditionSection;
pub use exec::{ExecSection, WorkingDirectory};
pub use install::InstallSection;
pub use kill::KillSection;
pub use names::{InstallNames, SocketNames};
pub use option::{OptionSection, Symlinks};
pub use process::{BusName, PidFile};
pub use relation::RelationSection;
pub use resource::ResourceSection;
pub use sandbox::SandboxSection;
pub use service::ServiceSection;
pub use socket::{FdNames, SocketSection};
pub use streams::StreamSection;
pub use text::{Account, Accounts, DynamicUser, Uris};
pub use unit::UnitSection;

use crate::directive::Directive;

/// The tables of all sections of unit files.
pub(crate) const TABLES: &[&[Directive]] = &[
    UnitSection::TABLE,
    RelationSection::TABLE,
    ConditionSection::TABLE,
    SocketSection::TABLE,
    OptionSection::TABLE,
    ServiceSection::TABLE,
    ExecSection::TABLE,
    StreamSection::TABLE,
    ResourceSection::TABLE,
    SandboxSection::TABLE,
    KillSection::TABLE,
    InstallSection::TABLE,
];
