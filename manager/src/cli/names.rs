//! Names on the command line: what a user types becomes a unit name, a glob or an object path.
//!
//! Pure text; whether a unit exists is the manager's business. Invariant: what leaves here as [`Named::Unit`] ends in a
//! unit type.

/// The unit types of systemd, in its order. Only these suffixes make a word a full unit name.
pub(crate) const UNIT_TYPES: [&str; 11] = [
    "service",
    "mount",
    "swap",
    "socket",
    "target",
    "device",
    "automount",
    "timer",
    "path",
    "slice",
    "scope",
];

/// An argument that names units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// One unit, by its full name.
    Unit(String),
    /// Every loaded unit whose name matches.
    Glob(String),
}

/// An argument that cannot be a unit name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NameError {
    #[error("an empty word is not a unit name")]
    Empty,
    #[error("{0:?} is too long for a unit name (at most 255 bytes)")]
    TooLong(String),
}

/// Reads an argument as systemctl does: `web` is `web.service` (or of the given type), `/srv/x` is `srv-x.mount`, and
/// characters that no unit name has are escaped as `\xNN`.
pub(crate) fn mangle(argument: &str, default_type: &str) -> Result<Named, NameError> {
    if argument.is_empty() {
        return Err(NameError::Empty);
    }
    if argument.contains(['*', '?', '[']) {
        return Ok(Named::Glob(argument.to_owned()));
    }
    let name = match argument.strip_prefix('/') {
        Some(path) => path_name(path, argument.starts_with("/dev/")),
        None => with_type(escape(argument), default_type),
    };
    if name.len() > 255 { Err(NameError::TooLong(name)) } else { Ok(Named::Unit(name)) }
}

fn with_type(name: String, default_type: &str) -> String {
    match name.rsplit_once('.') {
        Some((prefix, kind)) if !prefix.is_empty() && UNIT_TYPES.contains(&kind) => name,
        _ => format!("{name}.{default_type}"),
    }
}

/// The mount (or device) unit of an absolute path, here without its leading slash.
fn path_name(path: &str, device: bool) -> String {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(escape_part).collect();
    let stem = if parts.is_empty() { "-".to_owned() } else { parts.join("-") };
    format!("{stem}.{}", if device { "device" } else { "mount" })
}

/// One component of a path: there `-` stands for `/`, so a real one is escaped too.
fn escape_part(part: &str) -> String {
    let escape_first = part.starts_with('.');
    part.bytes()
        .enumerate()
        .map(|(at, byte)| match byte {
            b'.' if at == 0 && escape_first => escaped(byte),
            b'-' | b'\\' | b'@' => escaped(byte),
            _ => keep_or_escape(byte),
        })
        .collect()
}

/// Keeps what a unit name may hold, turns `/` into `-` and escapes the rest.
fn escape(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'/' { "-".to_owned() } else { keep_or_escape(byte) }).collect()
}

fn keep_or_escape(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'-' | b'_' | b'.' | b'\\' | b'@' => {
            char::from(byte).to_string()
        }
        _ => escaped(byte),
    }
}

fn escaped(byte: u8) -> String {
    format!("\\x{byte:02x}")
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

/// The D-Bus interface of a unit's own type: `web.socket` → `org.freedesktop.systemd1.Socket`.
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
            ("web.socket.d", unit("web.socket.d.service")),
            (".socket", unit(".socket.service")),
            ("web@2", unit("web@2.service")),
            ("a b", unit(r"a\x20b.service")),
            ("a/b", unit("a-b.service")),
            (r"a\x2db", unit(r"a\x2db.service")),
            ("/", unit("-.mount")),
            ("/srv//www-data/", unit(r"srv-www\x2ddata.mount")),
            ("/srv/.x", unit(r"srv-\x2ex.mount")),
            ("/dev/sda1", unit("dev-sda1.device")),
            ("web*", Ok(Named::Glob("web*".into()))),
            ("w?b.s[eo]*", Ok(Named::Glob("w?b.s[eo]*".into()))),
            ("", Err(NameError::Empty)),
        ];
        for (argument, expected) in table {
            assert_eq!(mangle(argument, "service"), expected, "{argument:?}");
        }
        assert_eq!(mangle("web", "socket"), unit("web.socket"));
        assert!(matches!(mangle(&"x".repeat(248), "service"), Err(NameError::TooLong(_))));
        assert!(mangle(&"x".repeat(247), "service").is_ok());
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
