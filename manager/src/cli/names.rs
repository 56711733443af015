//! Names on the command line: what a user types becomes a unit name, a glob or an object path.
//!
//! Pure text; whether a unit exists is the manager's business. Invariant: what leaves here as [`Named::Unit`] ends in a
//! unit type.

use sockmgr_unit::{NameError, UnitType, mangle_as};

/// An argument that names units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// One unit, by its full name.
    Unit(String),
    /// Every loaded unit whose name matches.
    Glob(String),
}

/// Reads an argument as systemctl does: `web` is `web.service` (or of the given type), `/srv/x` is `srv-x.mount`, and
/// characters that no unit name has are escaped as `\xNN`.
///
/// # Errors
/// Nothing valid can be made of it.
pub(crate) fn mangle(argument: &str, default_type: UnitType) -> Result<Named, NameError> {
    if argument.contains(['*', '?', '[']) {
        return Ok(Named::Glob(argument.to_owned()));
    }
    mangle_as(argument, default_type).map(|name| Named::Unit(name.as_str().to_owned()))
}

/// The object of a unit: the name with every byte that is no letter or digit written as `_xx`, and a leading digit too.
pub(crate) fn unit_path(name: &str) -> String {
    use std::fmt::Write;
    let mut path = String::from("/org/freedesktop/systemd1/unit/");
    if name.is_empty() {
        path.push('_');
    }
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => path.push(char::from(byte)),
            b'0'..=b'9' if at > 0 => path.push(char::from(byte)),
            _ => write!(path, "_{byte:02x}").expect("a String takes every write"),
        }
    }
    path
}

/// What stands behind the last dot: `web.socket` → `socket`.
pub(crate) fn type_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_unit_names() {
        let unit = |name: &str| Ok(Named::Unit(name.into()));
        let table = [
            ("web", unit("web.service")),
            ("web.socket", unit("web.socket")),
            ("web@2", unit("web@2.service")),
            ("a b", unit(r"a\x20b.service")),
            ("/srv//www-data/", unit(r"srv-www\x2ddata.mount")),
            ("web*", Ok(Named::Glob("web*".into()))),
            ("w?b.s[eo]*", Ok(Named::Glob("w?b.s[eo]*".into()))),
            ("", Err(NameError::Empty)),
        ];
        for (argument, expected) in table {
            assert_eq!(mangle(argument, UnitType::Service), expected, "{argument:?}");
        }
        assert_eq!(mangle("web", UnitType::Socket), unit("web.socket"));
    }

    #[test]
    fn object_paths_escape_as_systemd_does() {
        let table = [
            ("web.socket", "web_2esocket"),
            ("web@2.service", "web_402_2eservice"),
            ("9p.mount", "_39p_2emount"),
            ("", "_"),
        ];
        for (name, expected) in table {
            assert_eq!(unit_path(name), format!("/org/freedesktop/systemd1/unit/{expected}"));
        }
    }
}
