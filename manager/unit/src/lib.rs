//! What unit files say: names, values, directives, both syntaxes. Pure: no I/O.
//!
//! A [`Library`] is given the texts of all files and makes a [`Unit`] of any name. On the way a text becomes entries
//! (`syntax`), entries become assignments to sections (`draft`), and each value is read by its own type ([`value`]).
//!
//! To add a directive, add it to its structure in [`section`]: from that one place come the reader of both syntaxes, the
//! D-Bus property, the diagnostics and the table of [`directives`]. A new kind of value implements
//! [`directive::Scalar`], or [`directive::Value`] if assignments to it add up.

mod convert;
mod diagnostic;
pub mod directive;
mod draft;
mod drop_in;
mod edition;
pub mod glob;
mod implied;
mod library;
pub mod name;
mod relation;
pub mod section;
mod settings;
pub mod specifier;
mod suggest;
mod syntax;
mod targets;
mod unit;
pub mod value;

pub use convert::convert;
pub use diagnostic::{Diagnostic, Severity};
pub use directive::{Directive, Inherited, Property, directives};
pub use edition::Edition;
pub use library::{DependencyKind, Fragment, Library, Source};
pub use name::{
    NameError, UnitName, UnitType, escape, escape_path, mangle, mangle_as, unescape, unescape_path,
};
pub use relation::{Implied, Relation};
pub use settings::{LogLevel, Settings, UnitPath};
pub use specifier::{Host, ManagerKind};
pub use syntax::Syntax;
pub use unit::{Interface, LoadState, ServiceUnit, SocketUnit, Unit, UnitKind};
pub use value::{
    BindIpv6Only, Distribute, EnvironmentFile, ExecCommand, ExecFlags, FdName, Instances, KillMode,
    LimitAction, Listen, ListenAddress, ListenKind, Mode, NotifyAccess, Privilege, ReadyCheck, Restart,
    Rlimit, ScopedAddress, ServiceType, Signal, Size, Span, StandardInput, StandardOutput, Steering,
    SteeringMake, ValueError, Weight, exit_status_name, parse_environment_file,
};
