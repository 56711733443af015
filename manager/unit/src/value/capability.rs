//! Capabilities (capabilities(7)), and the bits that change what they mean.
//!
//! Never here: setting them. Invariant: bit n of a set is the capability with number n; bits of capabilities that nobody has heard
//! of yet may be set.

use super::word::{Backslash, Words};
use super::{ValueError, parse_u32};
use crate::directive::{Context, Property, Scalar, Value};

/// The names without `cap_`, in the order of the numbers.
const NAMES: &str = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable \
    net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct \
    sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap \
    mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore";

/// Numbers of those that sandboxing directives take away.
pub const CAP_SYS_MODULE: u32 = 16;
/// See [`CAP_SYS_MODULE`].
pub const CAP_SYS_RAWIO: u32 = 17;
/// See [`CAP_SYS_MODULE`].
pub const CAP_SYS_TIME: u32 = 25;
/// See [`CAP_SYS_MODULE`].
pub const CAP_MKNOD: u32 = 27;
/// See [`CAP_SYS_MODULE`].
pub const CAP_SYSLOG: u32 = 34;
/// See [`CAP_SYS_MODULE`].
pub const CAP_WAKE_ALARM: u32 = 35;

/// The names of the capabilities in a set, as `show` prints them: `cap_chown`.
pub fn capability_names(set: u64) -> impl Iterator<Item = String> {
    let has = move |number: usize| set >> number & 1 == 1;
    NAMES
        .split(' ')
        .enumerate()
        .filter(move |(number, _)| has(*number))
        .map(|(_, name)| format!("cap_{name}"))
}

fn capability(text: &str) -> Option<u32> {
    let count = NAMES.split(' ').count() as u32;
    if let Ok(number) = parse_u32(text) {
        return (number < count).then_some(number);
    }
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_prefix("cap_")?;
    NAMES.split(' ').position(|known| known == name).map(|at| at as u32)
}

/// A set of capabilities that is `INITIAL` where no unit file says anything.
///
/// Assignments add up, and with a `~` take away; the first one replaces what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capabilities<const INITIAL: u64>(u64);

/// What processes may ever have: all, unless something is said.
pub type BoundingSet = Capabilities<{ u64::MAX }>;
/// What processes that are not root's have: nothing, unless something is said.
pub type AmbientSet = Capabilities<0>;

impl<const INITIAL: u64> Capabilities<INITIAL> {
    /// Whether nothing was said that changes anything.
    pub fn is_initial(self) -> bool {
        self.0 == INITIAL
    }

    /// The set, capability n as bit n.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Takes away capabilities by their numbers.
    pub(crate) fn remove(&mut self, capabilities: &[u32]) {
        for number in capabilities {
            self.0 &= !(1 << number);
        }
    }
}

impl<const INITIAL: u64> Default for Capabilities<INITIAL> {
    fn default() -> Self {
        Self(INITIAL)
    }
}

impl<const INITIAL: u64> Value for Capabilities<INITIAL> {
    const FORM: &'static str = "capabilities, such as CAP_NET_BIND_SERVICE, after a ~ all but those";
    const SIGNATURE: &'static str = "t";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        let (words, inverted) = text.strip_prefix('~').map_or((text, false), |rest| (rest, true));
        let mut sum = 0;
        for word in Words::new(words, Backslash::Quotes) {
            match word.and_then(|word| word.into_text()) {
                Ok(word) => match capability(&word) {
                    Some(number) => sum |= 1 << number,
                    None => cx.warn(ValueError::new(format!("\"{word}\" is not a capability"))),
                },
                Err(error) => cx.warn(error),
            }
        }
        self.0 = match (sum == 0 || self.is_initial(), inverted) {
            (true, true) => !sum,
            (true, false) => sum,
            (false, true) => self.0 & !sum,
            (false, false) => self.0 | sum,
        };
        Ok(())
    }

    fn property(&self) -> Property {
        Property::U64(self.0)
    }
}

/// `SECBIT_*` of prctl(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SecureBits(pub u8);

const SECURE_BITS: [(&str, u8); 6] = [
    ("noroot", 0x01),
    ("noroot-locked", 0x02),
    ("no-setuid-fixup", 0x04),
    ("no-setuid-fixup-locked", 0x08),
    ("keep-caps", 0x10),
    ("keep-caps-locked", 0x20),
];

impl Scalar for SecureBits {
    const FORM: &'static str = "words of keep-caps, keep-caps-locked, no-setuid-fixup, no-setuid-fixup-locked, noroot, noroot-locked";
    const SIGNATURE: &'static str = "i";

    /// The last assignment counts, with the words of it that are right.
    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let mut bits = 0;
        for word in Words::new(text, Backslash::Quotes) {
            let word = word.and_then(|word| word.into_text())?;
            match SECURE_BITS.into_iter().find(|(known, _)| *known == word) {
                Some((_, bit)) => bits |= bit,
                None => cx.warn(ValueError::invalid(&word, "an accepted word")),
            }
        }
        Ok(Self(bits))
    }

    fn property(&self) -> Property {
        Property::I32(self.0.into())
    }
}
