//! Object paths: how units and jobs are addressed, exactly as in systemd, whose clients compute the paths themselves.
//!
//! Never here: whether an object exists. Invariant: escaping a name and unescaping it gives the name back.

use sockmgr_engine::JobId;
use sockmgr_unit::UnitName;
use zbus::OwnedObjectPath;

/// The manager.
pub(super) const MANAGER: &str = "/org/freedesktop/systemd1";
/// Below it: units.
pub(super) const UNITS: &str = "/org/freedesktop/systemd1/unit";
/// Below it: jobs.
pub(super) const JOBS: &str = "/org/freedesktop/systemd1/job";

/// The object of a unit.
pub(super) fn of_unit(name: &UnitName) -> OwnedObjectPath {
    valid(format!("{UNITS}/{}", escape(name.as_str())))
}

/// The object of a job.
pub(super) fn of_job(id: JobId) -> OwnedObjectPath {
    valid(format!("{JOBS}/{id}"))
}

/// What stands where there is no object.
pub(super) fn none() -> OwnedObjectPath {
    valid("/".to_owned())
}

fn valid(path: String) -> OwnedObjectPath {
    OwnedObjectPath::try_from(path).expect("only letters, digits and underscores stand between the slashes")
}

/// A name as one element of a path: every byte but letters and digits, and a digit at the start, becomes `_xx`.
pub(super) fn escape(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    let mut label = String::with_capacity(name.len() + 8);
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()) {
            label.push(char::from(byte));
        } else {
            label.push_str(&format!("_{byte:02x}"));
        }
    }
    label
}

/// The name that an element of a path stands for; `None` where that is not UTF-8.
pub(super) fn unescape(label: &str) -> Option<String> {
    if label == "_" {
        return Some(String::new());
    }
    let mut name = Vec::with_capacity(label.len());
    let mut rest = label.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'_').then(|| hex_byte(after)).flatten();
        name.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(name).ok()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_bus_labels() {
        let table = [
            ("web.socket", "web_2esocket"),
            ("web@1.service", "web_401_2eservice"),
            ("9p.socket", "_39p_2esocket"),
            ("a-b_c.target", "a_2db_5fc_2etarget"),
            ("", "_"),
        ];
        for (name, label) in table {
            assert_eq!(escape(name), label);
            assert_eq!(unescape(label).as_deref(), Some(name));
        }
    }

    #[test]
    fn odd_labels_are_read_leniently() {
        assert_eq!(unescape("a_zz").as_deref(), Some("a_zz"));
        assert_eq!(unescape("a_").as_deref(), Some("a_"));
        assert_eq!(unescape("_ff"), None);
    }
}
