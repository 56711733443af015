//! Levels, facilities and fields of log lines (syslog(3), systemd.exec(5), "Logging").
//!
//! Invariant: a level is at most 7, a facility at most 127.

use super::{ValueError, parse_u32, word};
use crate::directive::{Context, Property, Scalar, Value};

/// How important a line is: 0 is the most important.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyslogLevel(pub u8);

/// What kind of program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SyslogFacility(pub u8);

/// The words, each at its number.
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "12", "13", "14", "15", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
/// The kernel's mask has room for so many.
const FACILITY_MAX: u32 = 127;

impl SyslogLevel {
    /// What output has that says nothing else.
    pub const INFO: Self = Self(6);
}

impl SyslogFacility {
    /// What services have that say nothing else.
    pub const DAEMON: Self = Self(3);
}

fn number(text: &str, words: &[&str], max: u32) -> Option<u8> {
    let named = words.iter().position(|word| *word == text).and_then(|at| u8::try_from(at).ok());
    named.or_else(|| {
        parse_u32(text).ok().filter(|number| *number <= max).and_then(|number| u8::try_from(number).ok())
    })
}

impl Scalar for SyslogLevel {
    const FORM: &'static str =
        "one of emerg, alert, crit, err, warning, notice, info, debug, or its number from 0 to 7";
    const SIGNATURE: &'static str = "i";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        number(text, &LEVELS, 7).map(Self).ok_or_else(|| ValueError::invalid(text, "a log level"))
    }

    fn property(&self) -> Property {
        Property::I32(self.0.into())
    }

    fn unset() -> Property {
        Property::I32(-1)
    }
}

impl Scalar for SyslogFacility {
    const FORM: &'static str = "one of kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, authpriv, ftp, local0 to local7, or its number";
    const SIGNATURE: &'static str = "i";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        number(text, &FACILITIES, FACILITY_MAX)
            .map(Self)
            .ok_or_else(|| ValueError::invalid(text, "a log facility"))
    }

    fn property(&self) -> Property {
        Property::I32(self.0.into())
    }
}

/// Fields that each line gets beside its own, `NAME=value` (systemd.journal-fields(7)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraFields(Vec<Box<str>>);

impl ExtraFields {
    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|field| field.split_once('='))
    }
}

/// Longest name, as in systemd.
const NAME_MAX: usize = 64;

fn check_field(field: &str) -> Result<(), ValueError> {
    let (name, _) = field
        .split_once('=')
        .ok_or_else(|| ValueError::new(format!("\"{field}\" has no `=` after a name")))?;
    let is_valid = (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        && !name.starts_with(|first: char| first == '_' || first.is_ascii_digit());
    is_valid.then_some(()).ok_or_else(|| {
        ValueError::new(format!(
            "\"{name}\" is no name of a field: up to 64 of A to Z, 0 to 9 and _, a letter first"
        ))
    })
}

impl Value for ExtraFields {
    const FORM: &'static str = "NAME=value words with blanks between, in quotes where a value has blanks";
    const SIGNATURE: &'static str = "aay";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        }
        for word in word::Words::new(text, word::Backslash::Escapes) {
            let field = word?.into_text().and_then(|word| cx.expand(&word));
            match field.and_then(|field| check_field(&field).map(|()| field)) {
                Ok(field) => self.0.push(field.into()),
                Err(error) => cx.warn(error),
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::ByteStrings(self.0.iter().map(|field| field.as_bytes().to_vec()).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}
