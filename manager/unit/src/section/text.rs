//! Free text, addresses of documentation, and the names of users and groups.

use std::ops::Deref;

use super::names::word_list;
use crate::directive::{Context, Property, Scalar, Value};
use crate::name::UnitName;
use crate::value::word::{Backslash, Words};
use crate::value::{ValueError, parse_bool};

/// Free text with specifiers; the empty text unsets it.
impl Scalar for Box<str> {
    const FORM: &'static str = "text";
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        cx.expand(text).map(String::into_boxed_str)
    }

    fn property(&self) -> Property {
        Property::Str(self.to_string())
    }
}

/// Addresses of documentation; an empty assignment forgets the earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uris(Vec<Box<str>>);

word_list!(Uris, Box<str>);

const SCHEMES: [&str; 5] = ["http://", "https://", "file:/", "info:", "man:"];

impl Value for Uris {
    const FORM: &'static str = "addresses that start with http://, https://, file:/, info: or man:";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        }
        for word in Words::new(text, Backslash::Literal) {
            match cx.expand(&word?.into_text()?) {
                Ok(uri)
                    if SCHEMES
                        .iter()
                        .any(|scheme| uri.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())) =>
                {
                    self.0.push(uri.into());
                }
                Ok(uri) => cx.warn(ValueError::new(format!("\"{uri}\" is not an address of documentation"))),
                Err(error) => cx.warn(error),
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.0.iter().map(ToString::to_string).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// A user or group, by name or number, as text: it is looked up where it is used.
///
/// The check is systemd's relaxed one: what cannot be a name in any account database is refused (and with it the
/// unit, which must not run as somebody else); everything else may exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(Box<str>);

impl Account {
    /// The name, or the number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Deref for Account {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Numbers that mean "no id" in system calls, of 32 and of 16 bits.
const RESERVED_IDS: [u64; 2] = [u32::MAX as u64, u16::MAX as u64];

fn is_account_name(text: &str) -> bool {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // An empty text ends up here, and fails to be a number.
        return text.parse().is_ok_and(|id: u64| id <= u64::from(u32::MAX) && !RESERVED_IDS.contains(&id));
    }
    let minus_digits =
        text.strip_prefix('-').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let forbidden = |c: char| c.is_control() || matches!(c, ':' | '/');
    !(text == "." || text == ".." || minus_digits || text.contains(forbidden) || text.trim() != text)
}

impl Scalar for Account {
    const FORM: &'static str = "a name or number of a user or group";
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let name = cx.expand(text).map_err(ValueError::fatal)?;
        if is_account_name(&name) {
            Ok(Self(name.into()))
        } else {
            Err(ValueError::new(format!("\"{name}\" cannot be the name of a user or group")).fatal())
        }
    }

    fn property(&self) -> Property {
        Property::Str(self.0.to_string())
    }
}

/// Groups; assignments add up, the empty one forgets all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts(Vec<Account>);

word_list!(Accounts, Account);

impl Value for Accounts {
    const FORM: &'static str = "names or numbers of groups, with blanks between";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        }
        for word in text.split_ascii_whitespace() {
            self.0.push(Account::parse(word, cx)?);
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.0.iter().map(ToString::to_string).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// Whether a user is made up for the unit. What is no boolean ends the unit: it must not run as somebody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DynamicUser(pub bool);

impl Scalar for DynamicUser {
    const FORM: &'static str = "a boolean: yes or no";
    const SIGNATURE: &'static str = "b";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        parse_bool(text).map(Self).map_err(ValueError::fatal)
    }

    fn property(&self) -> Property {
        Property::Bool(self.0)
    }
}

impl Account {
    /// The user that `DynamicUser=` makes up for a unit: of the name that the unit's has before any `@`, or where that cannot be a
    /// user's, one that is made of it.
    pub(crate) fn made_up_for(unit: &UnitName) -> Self {
        let prefix = unit.prefix();
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        let is_name = prefix.len() <= 31
            && prefix.starts_with(letter)
            && prefix.chars().all(|c| letter(c) || c.is_ascii_digit() || c == '-');
        if is_name {
            return Self(prefix.into());
        }
        // FNV-1a: the same in every version.
        let hash = prefix.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(format!("_du{hash:016x}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::is_account_name;

    #[test]
    fn account_names_are_checked_as_relaxed_as_systemd_does() {
        for good in ["root", "www-data", "0", "1000", "bad user!", "a@b", "-x", "ü"] {
            assert!(is_account_name(good), "{good}");
        }
        for bad in [
            "",
            "a:b",
            "a/b",
            ".",
            "..",
            " a",
            "a ",
            "a\tb",
            "65535",
            "4294967295",
            "4294967296",
            "-5",
            "99999999999999999999",
        ] {
            assert!(!is_account_name(bad), "{bad}");
        }
    }
}
