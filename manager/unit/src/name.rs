//! Unit names: what is one, its parts, and how arbitrary text and paths are escaped into one (systemd.unit(5),
//! systemd-escape(1)).
//!
//! Never here: finding a unit, aliases, or globs on loaded units.
//! Invariant: a [`UnitName`] is valid from birth; nothing after the boundary checks one again.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::value::path;

/// The longest unit name, in bytes.
pub const NAME_MAX: usize = 255;

/// What is wrong with a unit name, or with text that should become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing can be made of the empty text.
    #[error("the unit name is empty")]
    Empty,
    /// More than [`NAME_MAX`] bytes.
    #[error("\"{0}\" is longer than 255 bytes")]
    TooLong(String),
    /// No `.service`, `.socket` … at the end.
    #[error("\"{0}\" does not end in a unit type such as .service or .socket")]
    NoType(String),
    /// Nothing before the `@` or the type.
    #[error("\"{0}\" has nothing before its type or `@`")]
    NoPrefix(String),
    /// A character that unit names cannot have.
    #[error("\"{name}\" contains {character:?}; unit names have letters, digits and :-_.\\@ only")]
    Character {
        /// The refused name.
        name: String,
        /// The first bad character in it.
        character: char,
    },
    /// A backslash without `xHH`, or bytes that are not UTF-8 once unescaped.
    #[error("\"{0}\" is not escaped as unit names are: a backslash must be `\\xHH`")]
    BadEscape(String),
    /// `.` or `..`, or slashes at an end, in what should be a path.
    #[error("\"{0}\" is not a normalized path")]
    NotNormalized(String),
}

/// The kind of a unit: what stands after the last dot of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitType {
    /// Processes.
    Service,
    /// Listening sockets.
    Socket,
    /// A group of units, a point to wait for.
    Target,
    /// A device node.
    Device,
    /// A mount point.
    Mount,
    /// A mount point that is mounted on access.
    Automount,
    /// Swap space.
    Swap,
    /// A calendar or interval.
    Timer,
    /// A watched path.
    Path,
    /// A branch of the control group tree.
    Slice,
    /// Processes that the manager did not start.
    Scope,
}

impl UnitType {
    /// All types, in the order of systemd.unit(5).
    pub const ALL: [Self; 11] = [
        Self::Service,
        Self::Socket,
        Self::Target,
        Self::Device,
        Self::Mount,
        Self::Automount,
        Self::Swap,
        Self::Timer,
        Self::Path,
        Self::Slice,
        Self::Scope,
    ];

    /// `service`, `socket`, …: the suffix without its dot.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Socket => "socket",
            Self::Target => "target",
            Self::Device => "device",
            Self::Mount => "mount",
            Self::Automount => "automount",
            Self::Swap => "swap",
            Self::Timer => "timer",
            Self::Path => "path",
            Self::Slice => "slice",
            Self::Scope => "scope",
        }
    }

    /// The type of that suffix (no dot); case matters.
    pub fn from_suffix(suffix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == suffix)
    }
}

impl fmt::Display for UnitType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A valid unit name: plain (`web.service`), template (`web@.service`) or instance (`web@1.service`).
///
/// Cheap to clone; compares and hashes as its text does, so that maps can be asked with a `&str`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName(Arc<str>);

impl UnitName {
    /// Checks `text`.
    ///
    /// # Errors
    /// It is not a unit name; the error says why.
    pub fn new(text: &str) -> Result<Self, NameError> {
        validate(text)?;
        Ok(Self(text.into()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type, from the suffix.
    pub fn unit_type(&self) -> UnitType {
        let (_, suffix) = self.split();
        UnitType::from_suffix(suffix).expect("a unit name ends in a type")
    }

    /// The name without its type: `web`, `web@1`.
    pub fn stem(&self) -> &str {
        self.split().0
    }

    /// What stands before the `@`, or the whole stem of a plain name.
    pub fn prefix(&self) -> &str {
        let stem = self.stem();
        stem.split_once('@').map_or(stem, |(prefix, _)| prefix)
    }

    /// What stands between the first `@` and the type; empty in a template, `None` in a plain name.
    fn after_at(&self) -> Option<&str> {
        self.stem().split_once('@').map(|(_, instance)| instance)
    }

    /// What a template becomes an instance by, where this unit depends on it.
    pub(crate) fn instance_or_prefix(&self) -> &str {
        self.instance().unwrap_or_else(|| self.prefix())
    }

    /// The instance, still escaped; `None` for plain names and templates.
    pub fn instance(&self) -> Option<&str> {
        self.after_at().filter(|instance| !instance.is_empty())
    }

    /// Whether this is `name@.type`.
    pub fn is_template(&self) -> bool {
        self.after_at() == Some("")
    }

    /// Whether this is `name@instance.type`.
    pub fn is_instance(&self) -> bool {
        self.instance().is_some()
    }

    /// The template of an instance: `web@1.service` → `web@.service`. `None` for plain names and templates.
    pub fn template(&self) -> Option<Self> {
        self.instance()?;
        Some(
            self.assemble(self.prefix(), Some(""), self.unit_type())
                .expect("an instance is longer than its template"),
        )
    }

    /// The instance `instance` (escaped already) of this template; also of an instance's template, and `web.service`
    /// gives `web@i.service`.
    ///
    /// # Errors
    /// `instance` is empty or has characters that unit names cannot have, or the name gets too long.
    pub fn with_instance(&self, instance: &str) -> Result<Self, NameError> {
        if instance.is_empty() {
            return Err(NameError::Empty);
        }
        self.assemble(self.prefix(), Some(instance), self.unit_type())
    }

    /// The same name with another type: `web@1.socket` → `web@1.service`.
    ///
    /// # Errors
    /// The name gets too long.
    pub fn with_type(&self, unit_type: UnitType) -> Result<Self, NameError> {
        self.assemble(self.prefix(), self.after_at(), unit_type)
    }

    fn assemble(&self, prefix: &str, instance: Option<&str>, unit_type: UnitType) -> Result<Self, NameError> {
        match instance {
            Some(instance) => Self::new(&format!("{prefix}@{instance}.{unit_type}")),
            None => Self::new(&format!("{prefix}.{unit_type}")),
        }
    }

    fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('.').expect("a unit name ends in a type")
    }
}

fn validate(text: &str) -> Result<(), NameError> {
    let name = || text.to_owned();
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_MAX {
        return Err(NameError::TooLong(name()));
    }
    let Some((stem, _)) = text.rsplit_once('.').filter(|(_, suffix)| UnitType::from_suffix(suffix).is_some())
    else {
        return Err(NameError::NoType(name()));
    };
    if let Some(character) = stem.chars().find(|&c| !is_name_char(c)) {
        return Err(NameError::Character { name: name(), character });
    }
    if stem.is_empty() || stem.starts_with('@') {
        return Err(NameError::NoPrefix(name()));
    }
    Ok(())
}

/// What may stand in a unit name before its type.
fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || ":-_.\\@".contains(c)
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for UnitName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl AsRef<str> for UnitName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for UnitName {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for UnitName {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl Serialize for UnitName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UnitName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// Escapes any text for use in a unit name: `/` becomes `-`, everything unusual `\xHH`.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'/' => escaped.push('-'),
            b'.' if index == 0 => push_escaped(&mut escaped, byte),
            b':' | b'_' | b'.' => escaped.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            _ => push_escaped(&mut escaped, byte),
        }
    }
    escaped
}

fn push_escaped(text: &mut String, byte: u8) {
    use fmt::Write as _;
    write!(text, "\\x{byte:02x}").expect("writing to a String cannot fail");
}

/// The text that [`escape`] made `text` of.
///
/// # Errors
/// A backslash is not `\xHH`, or the bytes are no text: not UTF-8, or a NUL among them.
pub fn unescape(text: &str) -> Result<String, NameError> {
    let bad = || NameError::BadEscape(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'-' => bytes.push(b'/'),
            b'\\' => {
                let (byte, tail) = escaped_byte(rest).ok_or_else(bad)?;
                bytes.push(byte);
                rest = tail;
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(bad)
}

/// The byte that `xHH` stands for, and what follows it.
fn escaped_byte(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'x', high, low, tail @ ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(*high)? << 4 | digit(*low)?, tail))
}

/// Escapes a path for use in a unit name: `/foo//bar/` becomes `foo-bar`, `/` becomes `-`.
///
/// # Errors
/// The path goes through `..`, or is `.`.
pub fn escape_path(text: &str) -> Result<String, NameError> {
    let simple = path::simplify(text);
    match simple.trim_matches('/') {
        "" => Ok("-".to_owned()),
        _ if !path::is_normalized(&simple) => Err(NameError::NotNormalized(text.to_owned())),
        inner => Ok(escape(inner)),
    }
}

/// The absolute path that [`escape_path`] made `text` of.
///
/// # Errors
/// `text` is empty or not escaped right, or the path would not be normalized.
pub fn unescape_path(text: &str) -> Result<String, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text == "-" {
        return Ok("/".to_owned());
    }
    let inner = unescape(text)?;
    let whole = format!("/{inner}");
    if inner.starts_with('/') || inner.ends_with('/') || !path::is_normalized(&whole) {
        return Err(NameError::NotNormalized(whole));
    }
    Ok(whole)
}

/// What a command line argument names: a valid name as it is, `/dev/sda` the device unit, another absolute path the
/// mount unit, and anything else is escaped and, without a type, gets `.service`.
///
/// # Errors
/// Nothing valid can be made of it: it is empty, too long or starts with `@`.
pub fn mangle(text: &str) -> Result<UnitName, NameError> {
    mangle_as(text, UnitType::Service)
}

/// [`mangle`] for a command whose arguments are of another type where they name none.
///
/// # Errors
/// As [`mangle`].
pub fn mangle_as(text: &str, default: UnitType) -> Result<UnitName, NameError> {
    if let Ok(name) = UnitName::new(text) {
        return Ok(name);
    }
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(name) = name_of_path(text) {
        return Ok(name);
    }
    let escaped = escape_leniently(text);
    match UnitName::new(&escaped) {
        Err(NameError::NoType(_)) => UnitName::new(&format!("{escaped}.{default}")),
        name => name,
    }
}

/// The device or mount unit of an absolute path, if it has one.
fn name_of_path(text: &str) -> Option<UnitName> {
    if !text.starts_with('/') {
        return None;
    }
    let simple = path::simplify(text);
    let is_device = simple.starts_with("/dev/") || simple.starts_with("/sys/");
    let kind = if is_device { UnitType::Device } else { UnitType::Mount };
    UnitName::new(&format!("{}.{kind}", escape_path(&simple).ok()?)).ok()
}

/// Escapes only what cannot stand in a unit name, so that a name that is almost valid stays readable.
fn escape_leniently(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'/' => escaped.push('-'),
            _ if is_name_char(char::from(byte)) => escaped.push(char::from(byte)),
            _ => push_escaped(&mut escaped, byte),
        }
    }
    escaped
}
