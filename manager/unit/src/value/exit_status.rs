//! Sets of exit codes and signals: `SuccessExitStatus=TEMPFAIL 250 SIGKILL` (systemd.service(5)), and systemd's words for exit
//! codes (systemd.exec(5), "Process Exit Codes").

use super::{Signal, ValueError, parse_u32};
use crate::directive::{Context, Property, Value};

/// Codes and their words, ascending.
const WORDS: [(u8, &str); 66] = [
    (0, "SUCCESS"),
    (1, "FAILURE"),
    (2, "INVALIDARGUMENT"),
    (3, "NOTIMPLEMENTED"),
    (4, "NOPERMISSION"),
    (5, "NOTINSTALLED"),
    (6, "NOTCONFIGURED"),
    (7, "NOTRUNNING"),
    (64, "USAGE"),
    (65, "DATAERR"),
    (66, "NOINPUT"),
    (67, "NOUSER"),
    (68, "NOHOST"),
    (69, "UNAVAILABLE"),
    (70, "SOFTWARE"),
    (71, "OSERR"),
    (72, "OSFILE"),
    (73, "CANTCREAT"),
    (74, "IOERR"),
    (75, "TEMPFAIL"),
    (76, "PROTOCOL"),
    (77, "NOPERM"),
    (78, "CONFIG"),
    (200, "CHDIR"),
    (201, "NICE"),
    (202, "FDS"),
    (203, "EXEC"),
    (204, "MEMORY"),
    (205, "LIMITS"),
    (206, "OOM_ADJUST"),
    (207, "SIGNAL_MASK"),
    (208, "STDIN"),
    (209, "STDOUT"),
    (210, "CHROOT"),
    (211, "IOPRIO"),
    (212, "TIMERSLACK"),
    (213, "SECUREBITS"),
    (214, "SETSCHEDULER"),
    (215, "CPUAFFINITY"),
    (216, "GROUP"),
    (217, "USER"),
    (218, "CAPABILITIES"),
    (219, "CGROUP"),
    (220, "SETSID"),
    (221, "CONFIRM"),
    (222, "STDERR"),
    (224, "PAM"),
    (225, "NETWORK"),
    (226, "NAMESPACE"),
    (227, "NO_NEW_PRIVILEGES"),
    (228, "SECCOMP"),
    (229, "SELINUX_CONTEXT"),
    (230, "PERSONALITY"),
    (231, "APPARMOR"),
    (232, "ADDRESS_FAMILIES"),
    (233, "RUNTIME_DIRECTORY"),
    (235, "CHOWN"),
    (236, "SMACK_PROCESS_LABEL"),
    (237, "KEYRING"),
    (238, "STATE_DIRECTORY"),
    (239, "CACHE_DIRECTORY"),
    (240, "LOGS_DIRECTORY"),
    (241, "CONFIGURATION_DIRECTORY"),
    (242, "NUMA_POLICY"),
    (243, "CREDENTIALS"),
    (245, "BPF"),
];

/// The word for an exit code, where it has one.
pub fn exit_status_name(code: u8) -> Option<&'static str> {
    let at = WORDS.binary_search_by_key(&code, |(known, _)| *known).ok()?;
    Some(WORDS[at].1)
}

/// Exit codes and signals. One pointer: most services have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitStatuses(Option<Box<Sets>>);

/// Each sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sets {
    codes: Vec<u8>,
    signals: Vec<Signal>,
}

impl ExitStatuses {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.as_deref().is_none_or(|sets| sets.codes.is_empty() && sets.signals.is_empty())
    }

    /// Whether this exit code is among them.
    pub fn has_code(&self, code: i32) -> bool {
        let sets = self.0.as_deref();
        sets.zip(u8::try_from(code).ok()).is_some_and(|(sets, code)| sets.codes.contains(&code))
    }

    /// Whether this signal is.
    pub fn has_signal(&self, signal: i32) -> bool {
        self.0.as_deref().is_some_and(|sets| sets.signals.iter().any(|known| known.number() == signal))
    }

    fn add(&mut self, word: &str) -> Result<(), ValueError> {
        let code = WORDS.iter().find(|(_, name)| *name == word).map(|(code, _)| *code);
        let number = || parse_u32(word).ok();
        let sets = self.0.get_or_insert_default();
        match (code, number()) {
            (Some(code), _) => insert(&mut sets.codes, code),
            (None, Some(number)) => {
                let code = u8::try_from(number);
                insert(
                    &mut sets.codes,
                    code.map_err(|_| ValueError::range(word, "exit codes are 0 to 255"))?,
                );
            }
            (None, None) => insert(&mut sets.signals, Signal::parse(word)?),
        }
        Ok(())
    }
}

fn insert<T: Ord>(set: &mut Vec<T>, item: T) {
    if let Err(place) = set.binary_search(&item) {
        set.insert(place, item);
    }
}

/// Assignments add up; an empty one forgets the earlier ones; a bad word is warned of, and the others count.
impl Value for ExitStatuses {
    const FORM: &'static str =
        "exit codes (0 to 255, or words such as TEMPFAIL) and signals (such as SIGKILL)";
    const SIGNATURE: &'static str = "(aiai)";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0 = None;
        }
        for word in text.split_ascii_whitespace() {
            if let Err(error) = self.add(word) {
                cx.warn(error);
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        let sets = self.0.as_deref().cloned().unwrap_or_default();
        let codes = sets.codes.into_iter().map(i32::from).collect();
        Property::ExitStatuses(codes, sets.signals.iter().map(|signal| signal.number()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_order_of_their_codes() {
        assert!(WORDS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(exit_status_name(203), Some("EXEC"));
        assert_eq!(exit_status_name(8), None);
    }

    #[test]
    fn codes_words_and_signals_are_told_apart() {
        let mut set = ExitStatuses::default();
        for word in ["250", "TEMPFAIL", "SIGKILL", "USR1", "0", "250"] {
            set.add(word).unwrap();
        }
        for word in ["256", "-1", "tempfail", "SIGNOPE", ""] {
            assert!(set.add(word).is_err(), "{word}");
        }
        assert_eq!(set.property_pair(), (vec![0, 75, 250], vec![9, 10]));
        assert!(set.has_code(75) && !set.has_code(1) && !set.has_code(9) && set.has_signal(9));
    }

    impl ExitStatuses {
        fn property_pair(&self) -> (Vec<i32>, Vec<i32>) {
            match Value::property(self) {
                Property::ExitStatuses(codes, signals) => (codes, signals),
                other => panic!("{other:?}"),
            }
        }
    }
}
