//! Signals by name and number, for `--signal` and for saying what ended a process.
//!
//! Names only; nothing is sent here. Invariant: a name that [`signal_name`] gives, [`parse_signal`] understands.

use nix::sys::signal::Signal;

/// The first real-time signal a program may use; glibc keeps 32 and 33 for itself (signal(7)).
const RTMIN: i32 = 34;
/// The last signal of Linux.
const RTMAX: i32 = 64;

/// A signal that exists: 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignalNumber(pub(crate) i32);

impl Default for SignalNumber {
    fn default() -> Self {
        Self(Signal::SIGTERM as i32)
    }
}

/// Reads `SIGUSR1`, `USR1`, `usr1`, `10`, `RTMIN+3` or `SIGRTMAX-2`.
pub(crate) fn parse_signal(text: &str) -> Result<SignalNumber, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = name
        .parse()
        .ok()
        .or_else(|| realtime(name))
        .or_else(|| format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32));
    number
        .filter(|number| (1..=RTMAX).contains(number))
        .map(SignalNumber)
        .ok_or_else(|| "a signal is needed: a name such as SIGUSR1 or a number from 1 to 64".into())
}

fn realtime(name: &str) -> Option<i32> {
    match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => Some(RTMIN),
        (_, Some("")) => Some(RTMAX),
        (Some(offset), _) => {
            offset.strip_prefix('+')?.parse().ok().and_then(|n| RTMIN.checked_add(n)).filter(|n| *n <= RTMAX)
        }
        (_, Some(offset)) => {
            offset.strip_prefix('-')?.parse().ok().and_then(|n| RTMAX.checked_sub(n)).filter(|n| *n >= RTMIN)
        }
        _ => None,
    }
}

/// The name without `SIG`, as systemd prints it; the number where there is no name.
pub(crate) fn signal_name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().trim_start_matches("SIG").to_owned(),
        Err(_) if (RTMIN..=RTMAX).contains(&number) => format!("RTMIN+{}", number - RTMIN),
        Err(_) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_by_name_and_number() {
        let table = [
            ("SIGTERM", Some(15)),
            ("usr1", Some(10)),
            ("9", Some(9)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-2", Some(62)),
            ("RTMIN+31", None),
            ("RTMAX-31", None),
            ("RTMIN3", None),
            ("0", None),
            ("65", None),
            ("-1", None),
            ("FOO", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_signal(text).ok().map(|signal| signal.0), expected, "{text:?}");
        }
    }

    #[test]
    fn every_name_can_be_read_back() {
        for number in (1..=31).chain(RTMIN..=RTMAX) {
            assert_eq!(parse_signal(&signal_name(number)), Ok(SignalNumber(number)));
        }
    }
}
