//! What the environment variables of the protocol say, and what they must look like.
//! Nothing here touches a descriptor, and nothing writes the environment: parsing is a pure function of a lookup.
//! Invariant: a number that is present but malformed is an error, never a default.

use std::env;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::os::fd::RawFd;
use std::str::FromStr;

/// The first inherited descriptor, `SD_LISTEN_FDS_START` (sd_listen_fds(3)).
pub(crate) const FIRST: RawFd = 3;

/// How this crate reads a variable; the real one is [`process_variable`], tests bring their own.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads a variable of this process.
pub(crate) fn process_variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// An environment that breaks the protocol. Nothing was adopted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// A variable does not hold what it must.
    #[error("{variable}={value}: expected {expected}")]
    Malformed {
        /// The name of the variable.
        variable: &'static str,
        /// What it holds, with bytes that are not UTF-8 replaced.
        value: String,
        /// What it must hold.
        expected: &'static str,
    },
    /// The number of names is not the number of descriptors.
    #[error("LISTEN_FDNAMES names {names} descriptors, but LISTEN_FDS={descriptors}")]
    NameCount {
        /// Names in `LISTEN_FDNAMES`.
        names: usize,
        /// The number in `LISTEN_FDS`.
        descriptors: u32,
    },
    /// The launcher promised a descriptor that is not there.
    #[error("LISTEN_FDS promises fd {fd}, but it is not open")]
    NotOpen {
        /// The missing descriptor.
        fd: RawFd,
    },
    /// The descriptor is close-on-exec, so it did not come from the launcher.
    #[error(
        "LISTEN_FDS promises fd {fd}, but it was opened, or adopted already, by other code in this program"
    )]
    NotInherited {
        /// The descriptor in question.
        fd: RawFd,
    },
}

/// What `LISTEN_FDS` and its companions announce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ListenFds {
    /// How many descriptors there are, from [`FIRST`] up.
    pub(crate) count: u32,
    /// One name each; `None` when the launcher gave none.
    pub(crate) names: Option<Vec<String>>,
}

/// Reads `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` as sd_listen_fds_with_names(3) does, for the process `pid`.
///
/// One difference: an absent `LISTEN_PID` means "for whoever starts", as launchers mean it that cannot know the
/// process id (`systemfd --no-pid`).
pub(crate) fn listen_fds(lookup: Lookup<'_>, pid: u32) -> Result<ListenFds, EnvironmentError> {
    let meant_for = number::<NonZeroU32>(lookup, "LISTEN_PID", "the number of a process")?;
    if meant_for.is_some_and(|meant| meant.get() != pid) {
        return Ok(ListenFds::default());
    }
    let most = (RawFd::MAX - FIRST) as u32;
    let count = number::<u32>(lookup, "LISTEN_FDS", "a number of descriptors")?.unwrap_or(0);
    if count > most {
        return Err(malformed("LISTEN_FDS", count.to_string(), "a number of descriptors"));
    }
    let names = if count == 0 { None } else { names(lookup, count)? };
    Ok(ListenFds { count, names })
}

/// Reads `LISTEN_FDNAMES`, which must name each of `count` descriptors; a name may be empty.
fn names(lookup: Lookup<'_>, count: u32) -> Result<Option<Vec<String>>, EnvironmentError> {
    let Some(text) = text(lookup, "LISTEN_FDNAMES", "names separated by colons")? else { return Ok(None) };
    let names: Vec<String> = text.split(':').map(str::to_owned).collect();
    if names.len() != count as usize {
        return Err(EnvironmentError::NameCount { names: names.len(), descriptors: count });
    }
    Ok(Some(names))
}

/// Reads a number in plain decimal digits; `None` when the variable is absent.
pub(crate) fn number<N: FromStr>(
    lookup: Lookup<'_>,
    variable: &'static str,
    expected: &'static str,
) -> Result<Option<N>, EnvironmentError> {
    let Some(text) = text(lookup, variable, expected)? else { return Ok(None) };
    // Rust's own parser would take a leading `+`.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if plain => Ok(Some(number)),
        _ => Err(malformed(variable, text, expected)),
    }
}

/// Reads a variable as text; `None` when it is absent.
pub(crate) fn text(
    lookup: Lookup<'_>,
    variable: &'static str,
    expected: &'static str,
) -> Result<Option<String>, EnvironmentError> {
    lookup(variable)
        .map(|value| {
            value.into_string().map_err(|value| malformed(variable, value.to_string_lossy(), expected))
        })
        .transpose()
}

/// The error for a variable that does not hold what it must.
fn malformed(variable: &'static str, value: impl Into<String>, expected: &'static str) -> EnvironmentError {
    EnvironmentError::Malformed { variable, value: value.into(), expected }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    /// A lookup in a list of `NAME=value` words.
    pub(crate) fn variables(words: &'static str) -> impl Fn(&str) -> Option<OsString> {
        move |name| {
            let mut pairs = words.split(' ').filter_map(|word| word.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.into())
        }
    }

    /// The announcement, or the error's text, for process 42.
    fn read(words: &'static str) -> String {
        match listen_fds(&variables(words), 42) {
            Ok(ListenFds { count, names: None }) => count.to_string(),
            Ok(ListenFds { count, names: Some(names) }) => format!("{count} {}", names.join("|")),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn announcements() {
        let table = [
            ("", "0"),
            ("LISTEN_FDS=2", "2"),
            ("LISTEN_FDS=0", "0"),
            ("LISTEN_PID=42 LISTEN_FDS=2", "2"),
            ("LISTEN_PID=42", "0"),
            ("LISTEN_PID=43 LISTEN_FDS=2", "0"),
            // What is meant for another process is none of our business, however broken.
            ("LISTEN_PID=43 LISTEN_FDS=x", "0"),
            ("LISTEN_FDS=2 LISTEN_FDNAMES=http:dns", "2 http|dns"),
            ("LISTEN_FDS=2 LISTEN_FDNAMES=http:", "2 http|"),
            ("LISTEN_FDS=1 LISTEN_FDNAMES=", "1 "),
            ("LISTEN_FDS=0 LISTEN_FDNAMES=left:over", "0"),
            ("LISTEN_FDS=007", "7"),
        ];
        for (words, expected) in table {
            assert_eq!(read(words), expected, "{words}");
        }
    }

    #[test]
    fn malformed_announcements() {
        let descriptors = "expected a number of descriptors";
        let process = "expected the number of a process";
        let table = [
            ("LISTEN_FDS=", format!("LISTEN_FDS=: {descriptors}")),
            ("LISTEN_FDS=two", format!("LISTEN_FDS=two: {descriptors}")),
            ("LISTEN_FDS=-1", format!("LISTEN_FDS=-1: {descriptors}")),
            ("LISTEN_FDS=+1", format!("LISTEN_FDS=+1: {descriptors}")),
            ("LISTEN_FDS=1x", format!("LISTEN_FDS=1x: {descriptors}")),
            ("LISTEN_FDS=2147483645", format!("LISTEN_FDS=2147483645: {descriptors}")),
            ("LISTEN_FDS=99999999999", format!("LISTEN_FDS=99999999999: {descriptors}")),
            ("LISTEN_PID=me LISTEN_FDS=1", format!("LISTEN_PID=me: {process}")),
            ("LISTEN_PID=0 LISTEN_FDS=1", format!("LISTEN_PID=0: {process}")),
            ("LISTEN_PID= LISTEN_FDS=1", format!("LISTEN_PID=: {process}")),
            (
                "LISTEN_FDS=2 LISTEN_FDNAMES=a",
                "LISTEN_FDNAMES names 1 descriptors, but LISTEN_FDS=2".to_owned(),
            ),
            (
                "LISTEN_FDS=1 LISTEN_FDNAMES=a:b",
                "LISTEN_FDNAMES names 2 descriptors, but LISTEN_FDS=1".to_owned(),
            ),
        ];
        for (words, expected) in table {
            assert_eq!(read(words), expected, "{words}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_malformed() {
        let lookup = |name: &str| (name == "LISTEN_FDS").then(|| OsString::from_vec(vec![b'1', 0xff]));
        let error = listen_fds(&lookup, 42).unwrap_err();
        assert_eq!(error.to_string(), "LISTEN_FDS=1\u{fffd}: expected a number of descriptors");
    }
}
