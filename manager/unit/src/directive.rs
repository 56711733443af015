//! The directive table's machinery: what a value is, what a directive is, and `section!`, the macro that declares
//! each directive once and makes the struct, its defaults, its reader and its D-Bus properties from that.
//!
//! Never here: the directives themselves (`section/`) and the grammars of their values (`value/`).
//! Invariant: a key is accepted in a section if and only if that section's table lists it.

use std::cell::{Cell, RefCell};

use crate::name::UnitName;
use crate::specifier::{Host, Scope};
use crate::value::{ExecCommand, ValueError};

/// What one assignment may look at beside its text, and where it puts what is worth a warning.
///
/// One context serves all assignments of one unit; it learns on the way whether any of them depends on the instance name.
pub struct Context<'a> {
    unit: &'a UnitName,
    host: &'a Host,
    key: &'a str,
    warnings: RefCell<Vec<ValueError>>,
    instance_dependent: Cell<bool>,
}

impl<'a> Context<'a> {
    /// A context for the assignments of `unit` on `host`.
    pub fn new(unit: &'a UnitName, host: &'a Host) -> Self {
        Self { unit, host, key: "", warnings: RefCell::default(), instance_dependent: Cell::new(false) }
    }

    /// The same unit, now at the assignment of `key`.
    pub(crate) fn at(&mut self, key: &'a str) -> &Self {
        self.key = key;
        self
    }

    /// The unit that is being loaded.
    pub fn unit(&self) -> &UnitName {
        self.unit
    }

    /// The machine and manager that specifiers speak of.
    pub fn host(&self) -> &Host {
        self.host
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
        let expansion = crate::specifier::expand(text, scope, self.unit, self.host)?;
        if expansion.instance_dependent {
            self.instance_dependent.set(true);
        }
        Ok(expansion.text)
    }

    /// Reports one bad word of a value whose other words are used.
    pub fn warn(&self, warning: ValueError) {
        self.warnings.borrow_mut().push(warning);
    }

    pub(crate) fn take_warnings(&self) -> Vec<ValueError> {
        self.warnings.take()
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
    /// `a(ss)`: kind and address of each `Listen*=` line
    Listen(Vec<(String, String)>),
    /// `a(sasbttttuii)`: the command lines; the run-time fields are the control's to fill
    Exec(Vec<ExecCommand>),
    /// `a(sb)`: path, and whether it may be missing
    EnvironmentFiles(Vec<(String, bool)>),
}

impl Property {
    /// The D-Bus signature of this value.
    pub fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::U32(_) => "u",
            Self::I32(_) => "i",
            Self::U64(_) => "t",
            Self::I64(_) => "x",
            Self::Str(_) => "s",
            Self::Strs(_) => "as",
            Self::Listen(_) => "a(ss)",
            Self::Exec(_) => "a(sasbttttuii)",
            Self::EnvironmentFiles(_) => "a(sb)",
        }
    }

    /// The empty value of a type: what an unset directive shows.
    ///
    /// # Panics
    /// If no property has `signature`; the table's own test reads every one.
    pub fn empty(signature: &str) -> Self {
        match signature {
            "b" => Self::Bool(false),
            "u" => Self::U32(0),
            "i" => Self::I32(0),
            "t" => Self::U64(0),
            "x" => Self::I64(0),
            "s" => Self::Str(String::new()),
            "as" => Self::Strs(Vec::new()),
            "a(ss)" => Self::Listen(Vec::new()),
            "a(sasbttttuii)" => Self::Exec(Vec::new()),
            "a(sb)" => Self::EnvironmentFiles(Vec::new()),
            other => panic!("no property has the signature {other}"),
        }
    }
}
