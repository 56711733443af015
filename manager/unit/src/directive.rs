//! The directive table's machinery: what a value is, what a directive is, and `section!`, the macro that declares
//! each directive once and makes the struct, its defaults, its reader and its D-Bus properties from that.
//!
//! Never here: the directives themselves (`section/`) and the grammars of their values (`value/`).
//! Invariant: a key is accepted in a section if and only if that section's table lists it.

use std::cell::{Cell, RefCell};
use std::path::Path;

use crate::name::UnitName;
use crate::specifier::{Host, Scope, Subject};
use crate::value::{ExecCommand, LimitKind, ValueError};

/// What one assignment may look at beside its text, and where it puts what is worth a warning.
///
/// It learns on the way whether the value differs between the instances of a template.
pub struct Context<'a> {
    subject: Subject<'a>,
    key: &'a str,
    warnings: RefCell<Vec<ValueError>>,
    instance_dependent: Cell<bool>,
}

impl<'a> Context<'a> {
    /// A context for an assignment in a file of `unit` on `host`.
    pub fn new(unit: &'a UnitName, host: &'a Host) -> Self {
        let subject = Subject { unit, fragment: None, host };
        Self { subject, key: "", warnings: RefCell::default(), instance_dependent: Cell::new(false) }
    }

    /// The same, for a unit whose file is `fragment`.
    #[must_use]
    pub(crate) fn of_fragment(mut self, fragment: Option<&'a Path>) -> Self {
        self.subject.fragment = fragment;
        self
    }

    /// The same, at an assignment of `key`.
    #[must_use]
    pub(crate) fn at(mut self, key: &'a str) -> Self {
        self.key = key;
        self
    }

    /// The unit that is being loaded.
    pub fn unit(&self) -> &UnitName {
        self.subject.unit
    }

    /// The machine and manager that specifiers speak of.
    pub fn host(&self) -> &Host {
        self.subject.host
    }

    /// The key as it was spelled in the file: `ListenStream` and `ListenDatagram` fill the same field.
    pub fn key(&self) -> &str {
        self.key
    }

    /// `text` with all specifiers expanded (`%i`, `%t`, …; systemd.unit(5), "Specifiers").
    pub fn expand(&self, text: &str) -> Result<String, ValueError> {
        self.expand_in(text, Scope::Any)
    }

    /// `text` with the specifiers expanded that are safe in unit names.
    pub fn expand_name(&self, text: &str) -> Result<String, ValueError> {
        self.expand_in(text, Scope::Name)
    }

    fn expand_in(&self, text: &str, scope: Scope) -> Result<String, ValueError> {
        let expansion = self.subject.expand(text, scope)?;
        if expansion.instance_dependent {
            self.instance_dependent.set(true);
        }
        Ok(expansion.text)
    }

    /// Says that the value differs between instances although no specifier in it does.
    pub(crate) fn depend_on_instance(&self) {
        self.instance_dependent.set(true);
    }

    /// Reports one bad word of a value whose other words are used.
    pub fn warn(&self, warning: ValueError) {
        self.warnings.borrow_mut().push(warning);
    }

    pub(crate) fn into_warnings(self) -> Vec<ValueError> {
        self.warnings.into_inner()
    }

    /// Whether an expansion so far differs between the instances of one template.
    pub(crate) fn is_instance_dependent(&self) -> bool {
        self.instance_dependent.get()
    }
}

/// The value of a directive: a field of a section that assignments change.
pub trait Value {
    /// What is accepted, to complete the sentence "expected …": `a boolean: yes or no`.
    const FORM: &'static str;
    /// D-Bus signature of the property.
    const SIGNATURE: &'static str;
    /// Takes one assignment: replaces or appends; the empty text resets where the directive says so.
    ///
    /// # Errors
    /// The text is not of [`Self::FORM`]; the earlier value stays.
    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError>;
    /// The value as D-Bus and `show` present it.
    fn property(&self) -> Property;
    /// Gives back memory that further assignments would have needed; called once after the last one.
    fn shrink(&mut self) {}
}

/// A value that is read whole from one assignment; the last one wins. Each scalar `T` is a [`Value`], and so is `Option<T>`.
pub trait Scalar: Sized {
    /// See [`Value::FORM`].
    const FORM: &'static str;
    /// See [`Value::SIGNATURE`].
    const SIGNATURE: &'static str;
    /// Whether an empty assignment to an `Option<Self>` unsets it (strings and names) or is refused like any bad text.
    const EMPTY_RESETS: bool = false;
    /// Reads one value.
    ///
    /// # Errors
    /// The text is not of [`Self::FORM`].
    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError>;
    /// See [`Value::property`].
    fn property(&self) -> Property;
    /// What is shown where no value was given.
    fn unset() -> Property {
        Property::empty(Self::SIGNATURE)
    }
}

impl<T: Scalar> Value for T {
    const FORM: &'static str = T::FORM;
    const SIGNATURE: &'static str = T::SIGNATURE;

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        *self = T::parse(text, cx)?;
        Ok(())
    }

    fn property(&self) -> Property {
        T::property(self)
    }
}

impl<T: Scalar> Value for Option<T> {
    const FORM: &'static str = T::FORM;
    const SIGNATURE: &'static str = T::SIGNATURE;

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        *self = if text.is_empty() && T::EMPTY_RESETS { None } else { Some(T::parse(text, cx)?) };
        Ok(())
    }

    fn property(&self) -> Property {
        self.as_ref().map_or_else(T::unset, T::property)
    }
}

/// A property's value in the form in which D-Bus carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    /// `b`
    Bool(bool),
    /// `q`
    U16(u16),
    /// `u`
    U32(u32),
    /// `i`
    I32(i32),
    /// `t`; times are in microseconds, `u64::MAX` is "infinity"
    U64(u64),
    /// `x`
    I64(i64),
    /// `s`
    Str(String),
    /// `as`
    Strs(Vec<String>),
    /// `a(ss)`: kind and address of each `Listen*=` line; path and options of each `TemporaryFileSystem=`
    Listen(Vec<(String, String)>),
    /// `a(sasbttttuii)`: the command lines; the run-time fields are the control's to fill
    Exec(Vec<ExecCommand>),
    /// `a(sb)`: path, and whether it may be missing
    EnvironmentFiles(Vec<(String, bool)>),
    /// `(aiai)`: exit codes and signals
    ExitStatuses(Vec<i32>, Vec<i32>),
    /// `ay`: bytes, or a mask, lowest number in the lowest bit of the first byte
    Bytes(Vec<u8>),
    /// `aay`
    ByteStrings(Vec<Vec<u8>>),
    /// `a(ssbt)`: source and destination, whether it may be missing, and `MS_*` flags
    Binds(Vec<(String, String, bool, u64)>),
    /// `(bas)`: whether what is listed is allowed, or forbidden; and the list
    AllowList(bool, Vec<String>),
    /// `a(sst)`: path of a directory, link to it, and a number that is 0
    Links(Vec<(String, String, u64)>),
    /// `i` or `t`: nothing is said, so processes have what the manager itself has
    Inherited(Inherited),
}

/// What processes inherit from the manager where no file says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherited {
    /// The hard limit of a resource.
    HardLimit(LimitKind),
    /// The soft limit of a resource.
    SoftLimit(LimitKind),
    /// The nice value.
    Nice,
    /// The adjustment of how gladly the kernel kills it.
    OomScoreAdjust,
    /// How the processor is shared.
    CpuPolicy,
    /// The real-time priority.
    CpuPriority,
    /// How the disk is shared.
    IoClass,
    /// The priority there.
    IoPriority,
    /// How late timers may be.
    TimerSlack,
    /// What core dumps have.
    CoredumpFilter,
}

impl Inherited {
    fn signature(self) -> &'static str {
        match self {
            Self::HardLimit(_) | Self::SoftLimit(_) | Self::TimerSlack | Self::CoredumpFilter => "t",
            Self::Nice
            | Self::OomScoreAdjust
            | Self::CpuPolicy
            | Self::CpuPriority
            | Self::IoClass
            | Self::IoPriority => "i",
        }
    }
}

impl Property {
    /// The D-Bus signature of this value.
    pub fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::U16(_) => "q",
            Self::U32(_) => "u",
            Self::I32(_) => "i",
            Self::U64(_) => "t",
            Self::I64(_) => "x",
            Self::Str(_) => "s",
            Self::Strs(_) => "as",
            Self::Listen(_) => "a(ss)",
            Self::Exec(_) => "a(sasbttttuii)",
            Self::EnvironmentFiles(_) => "a(sb)",
            Self::ExitStatuses(..) => "(aiai)",
            Self::Bytes(_) => "ay",
            Self::ByteStrings(_) => "aay",
            Self::Links(_) => "a(sst)",
            Self::Inherited(inherited) => inherited.signature(),
            Self::Binds(_) => "a(ssbt)",
            Self::AllowList(..) => "(bas)",
        }
    }

    /// The empty value of a type: what an unset directive shows.
    ///
    /// # Panics
    /// If no property has `signature`; the table's own test reads every one.
    pub fn empty(signature: &str) -> Self {
        match signature {
            "b" => Self::Bool(false),
            "q" => Self::U16(0),
            "u" => Self::U32(0),
            "i" => Self::I32(0),
            "t" => Self::U64(0),
            "x" => Self::I64(0),
            "s" => Self::Str(String::new()),
            "as" => Self::Strs(Vec::new()),
            "a(ss)" => Self::Listen(Vec::new()),
            "a(sasbttttuii)" => Self::Exec(Vec::new()),
            "a(sb)" => Self::EnvironmentFiles(Vec::new()),
            "a(ssbt)" => Self::Binds(Vec::new()),
            "(bas)" => Self::AllowList(false, Vec::new()),
            "(aiai)" => Self::ExitStatuses(Vec::new(), Vec::new()),
            "ay" => Self::Bytes(Vec::new()),
            "aay" => Self::ByteStrings(Vec::new()),
            other => panic!("no property has the signature {other}"),
        }
    }
}

/// A section of a unit file, or the one of the settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// `[Unit]`: what all units have.
    Unit,
    /// `[Socket]`
    Socket,
    /// `[Service]`
    Service,
    /// `[Install]`: read by `enable` and `disable`.
    Install,
    /// `[Manager]` of `sockmgr.toml`.
    Manager,
}

impl Section {
    /// The section with this name in brackets.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Unit, Self::Socket, Self::Service, Self::Install, Self::Manager];
        all.into_iter().find(|section| section.as_str() == name)
    }

    /// The name between the brackets.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unit => "Unit",
            Self::Socket => "Socket",
            Self::Service => "Service",
            Self::Install => "Install",
            Self::Manager => "Manager",
        }
    }
}

/// One entry of the directive table: what `show`, `verify`, the man page and the completion know of a directive.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// The key, as documentation spells it.
    pub name: &'static str,
    /// Other accepted spellings.
    pub aliases: &'static [&'static str],
    /// Where it may be written: several for what all have that run processes.
    pub sections: &'static [Section],
    /// One line: what it does, and its default where that is not obvious.
    pub help: &'static str,
    /// What the value must be; completes "takes …".
    pub form: &'static str,
    /// Name of the D-Bus property; several directives may fill one (`ListenStream=`, `ListenDatagram=`).
    pub property: Option<&'static str>,
    /// D-Bus signature of the property.
    pub signature: &'static str,
    /// Whether systemd has no such directive.
    pub own: bool,
}

impl Directive {
    /// Whether it may be written in `section`.
    pub fn belongs_in(&self, section: Section) -> bool {
        self.sections.contains(&section)
    }

    /// Whether `key` is this directive's name or one of its other spellings.
    pub fn is_spelled(&self, key: &str) -> bool {
        self.name == key || self.aliases.contains(&key)
    }
}

/// Every directive of every unit section, in the order of the documentation.
pub fn directives() -> impl Iterator<Item = &'static Directive> {
    crate::section::TABLES.iter().copied().flatten()
}

/// Declares a section: each directive once, with its field, type, default, D-Bus property and line of help.
///
/// ```text
/// field: Type = default => "Property" { "Directive" | "OtherSpelling": "help"; }
/// ```
/// Instead of `"Property"` may stand `("Property" own)` (systemd has no such directive), `("Property" by method)` (what
/// is shown depends on other fields too; the method says it), or `-` (there is no property).
/// A key that several fields list is assigned to all of them (`TimeoutSec=`). `pub struct Name in (Service, Socket)`: the
/// directives are written in either section.
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $name:ident in $sections:tt {
            $(
                $(#[$doc:meta])*
                $field:ident : $type:ty = $default:expr => $shown:tt
                { $($key:literal $(| $alias:literal)* : $help:literal;)+ }
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$doc])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $name {
            /// The directives that fill this structure.
            pub const TABLE: &'static [$crate::directive::Directive] = &[$($(
                $crate::directive::Directive {
                    name: $key,
                    aliases: &[$($alias),*],
                    sections: $crate::directive::section!(@sections $sections),
                    help: $help,
                    form: <$type as $crate::directive::Value>::FORM,
                    property: $crate::directive::section!(@name $shown),
                    signature: <$type as $crate::directive::Value>::SIGNATURE,
                    own: $crate::directive::section!(@own $shown),
                },
            )+)*];

            /// Gives `text` to every field that the context's key names. `None`: there is no such key here.
            pub(crate) fn assign(
                &mut self,
                text: &str,
                cx: &$crate::directive::Context<'_>,
            ) -> Option<Result<(), $crate::value::ValueError>> {
                let mut outcome = None;
                $(
                    if [$($key, $($alias,)*)+].contains(&cx.key()) && !matches!(outcome, Some(Err(_))) {
                        outcome = Some($crate::directive::Value::assign(&mut self.$field, text, cx));
                    }
                )*
                outcome
            }

            /// Gives back what only further assignments would need.
            pub(crate) fn shrink(&mut self) {
                $( $crate::directive::Value::shrink(&mut self.$field); )*
            }

            /// Name and value of every property, in the order of the table.
            pub fn properties(&self) -> Vec<(&'static str, $crate::directive::Property)> {
                let properties: Vec<Option<(&'static str, $crate::directive::Property)>> =
                    vec![$( $crate::directive::section!(@show self $field $shown) ),*];
                properties.into_iter().flatten().collect()
            }
        }
    };
    (@sections ($($section:ident),+)) => { &[$($crate::directive::Section::$section),+] };
    (@sections $section:ident) => { &[$crate::directive::Section::$section] };
    (@name -) => { None };
    (@name $property:literal) => { Some($property) };
    (@name ($property:literal $($mark:ident)+)) => { Some($property) };
    (@own ($property:literal own)) => { true };
    (@own $other:tt) => { false };
    (@show $self:ident $field:ident -) => { None };
    (@show $self:ident $field:ident ($property:literal by $method:ident)) => {
        Some(($property, $crate::directive::Value::property(&$self.$method())))
    };
    (@show $self:ident $field:ident ($property:literal own)) => {
        $crate::directive::section!(@show $self $field $property)
    };
    (@show $self:ident $field:ident $property:literal) => {
        Some(($property, $crate::directive::Value::property(&$self.$field)))
    };
}
pub(crate) use section;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::section::{
        ExecSection, KillSection, ResourceSection, SandboxSection, ServiceSection, SocketSection,
        StreamSection, UnitSection,
    };
    use crate::settings::Settings;

    fn all() -> impl Iterator<Item = &'static Directive> {
        directives().chain(Settings::TABLE)
    }

    #[test]
    fn a_spelling_means_one_directive_of_a_section() {
        let mut seen = HashSet::new();
        let places = || all().flat_map(|it| it.sections.iter().map(move |section| (*section, it)));
        for (section, directive) in places() {
            assert!(seen.insert((section, directive.name)), "{} twice", directive.name);
        }
        for (section, directive) in places() {
            for alias in directive.aliases {
                assert!(!seen.contains(&(section, *alias)), "{alias} is a directive and an alias");
            }
        }
    }

    #[test]
    fn every_directive_is_documented_on_one_line() {
        for Directive { name, help, form, .. } in all() {
            assert!(
                !form.is_empty() && !help.is_empty() && !help.contains('\n') && !help.ends_with('.'),
                "{name}"
            );
        }
    }

    #[test]
    fn defaults_have_the_signature_that_the_table_says() {
        let sections = [
            (UnitSection::TABLE, UnitSection::default().properties()),
            (SocketSection::TABLE, SocketSection::default().properties()),
            (ServiceSection::TABLE, ServiceSection::default().properties()),
            (ExecSection::TABLE, ExecSection::default().properties()),
            (StreamSection::TABLE, StreamSection::default().properties()),
            (ResourceSection::TABLE, ResourceSection::default().properties()),
            (SandboxSection::TABLE, SandboxSection::default().properties()),
            (KillSection::TABLE, KillSection::default().properties()),
            (Settings::TABLE, Settings::default().properties()),
        ];
        for (table, properties) in sections {
            for (name, property) in properties {
                let directive = table.iter().find(|directive| directive.property == Some(name));
                assert_eq!(
                    directive.map(|directive| directive.signature),
                    Some(property.signature()),
                    "{name}"
                );
            }
        }
    }
}
