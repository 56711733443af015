//! What else processes can be kept from: address families, namespaces, foreign instruction sets (systemd.exec(5), "Sandboxing").
//!
//! Never here: how that is done. Invariant: a list that was assigned to stays one, even when nothing is left in it.

use std::collections::BTreeSet;

use super::word::{Backslash, Words};
use super::{ValueError, parse_bool};
use crate::directive::{Context, Property, Value};

/// Address families with the numbers of the kernel (address_families(7)); of two names for one number the first is shown.
const FAMILIES: [(&str, u8); 48] = [
    ("AF_UNIX", 1),
    ("AF_LOCAL", 1),
    ("AF_FILE", 1),
    ("AF_INET", 2),
    ("AF_AX25", 3),
    ("AF_IPX", 4),
    ("AF_APPLETALK", 5),
    ("AF_NETROM", 6),
    ("AF_BRIDGE", 7),
    ("AF_ATMPVC", 8),
    ("AF_X25", 9),
    ("AF_INET6", 10),
    ("AF_ROSE", 11),
    ("AF_DECnet", 12),
    ("AF_NETBEUI", 13),
    ("AF_SECURITY", 14),
    ("AF_KEY", 15),
    ("AF_NETLINK", 16),
    ("AF_ROUTE", 16),
    ("AF_PACKET", 17),
    ("AF_ASH", 18),
    ("AF_ECONET", 19),
    ("AF_ATMSVC", 20),
    ("AF_RDS", 21),
    ("AF_SNA", 22),
    ("AF_IRDA", 23),
    ("AF_PPPOX", 24),
    ("AF_WANPIPE", 25),
    ("AF_LLC", 26),
    ("AF_IB", 27),
    ("AF_MPLS", 28),
    ("AF_CAN", 29),
    ("AF_TIPC", 30),
    ("AF_BLUETOOTH", 31),
    ("AF_IUCV", 32),
    ("AF_RXRPC", 33),
    ("AF_ISDN", 34),
    ("AF_PHONET", 35),
    ("AF_IEEE802154", 36),
    ("AF_CAIF", 37),
    ("AF_ALG", 38),
    ("AF_NFC", 39),
    ("AF_VSOCK", 40),
    ("AF_KCM", 41),
    ("AF_QIPCRTR", 42),
    ("AF_SMC", 43),
    ("AF_XDP", 44),
    ("AF_MCTP", 45),
];

fn family(name: &str) -> Option<u8> {
    FAMILIES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, number)| number)
}

fn family_name(number: u8) -> Option<&'static str> {
    FAMILIES.into_iter().find(|(_, known)| *known == number).map(|(name, _)| name)
}

/// `RestrictAddressFamilies=`: which kinds of sockets may be made, or which may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressFamilies(Option<FamilyList>);

/// A list of address families, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyList {
    /// Whether all that is not listed is refused.
    pub is_allow_list: bool,
    /// What is listed.
    pub families: BTreeSet<u8>,
}

impl AddressFamilies {
    /// The list, if there is a restriction.
    pub fn get(&self) -> Option<&FamilyList> {
        self.0.as_ref().filter(|list| list.is_allow_list || !list.families.is_empty())
    }
}

impl Value for AddressFamilies {
    const FORM: &'static str = "none, or address families, such as AF_UNIX AF_INET, after a ~ all but those";
    const SIGNATURE: &'static str = "(bas)";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        match text {
            "" => self.0 = None,
            "none" => self.0 = Some(FamilyList { is_allow_list: true, families: BTreeSet::new() }),
            _ => {
                let (words, inverted) = text.strip_prefix('~').map_or((text, false), |rest| (rest, true));
                let new = || FamilyList { is_allow_list: !inverted, families: BTreeSet::new() };
                let list = self.0.get_or_insert_with(new);
                for word in Words::new(words, Backslash::Quotes) {
                    let family = word.and_then(|word| word.into_text()).and_then(|word| {
                        let unknown = || ValueError::new(format!("\"{word}\" is not an address family"));
                        family(&word).ok_or_else(unknown)
                    });
                    match family {
                        Ok(family) if inverted != list.is_allow_list => _ = list.families.insert(family),
                        Ok(family) => _ = list.families.remove(&family),
                        Err(error) => cx.warn(error),
                    }
                }
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        let Some(list) = &self.0 else { return Property::AllowList(false, Vec::new()) };
        let names = list.families.iter().filter_map(|family| family_name(*family));
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        Property::AllowList(list.is_allow_list, names)
    }
}

/// Kinds of namespaces, by the flags of clone(2).
const NAMESPACES: [(&str, u32); 8] = [
    ("cgroup", 0x0200_0000),
    ("ipc", 0x0800_0000),
    ("net", 0x4000_0000),
    ("mnt", 0x0002_0000),
    ("pid", 0x2000_0000),
    ("user", 0x1000_0000),
    ("uts", 0x0400_0000),
    ("time", 0x0000_0080),
];
/// All but the last, which systemd does not count.
const ALL_NAMESPACES: u32 = 0x7e02_0000;

/// `RestrictNamespaces=`: the kinds of namespaces that may be made and entered; `None` where nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Namespaces(Option<u32>);

impl Namespaces {
    /// The flags of clone(2) of all kinds that are forbidden.
    pub fn forbidden(self) -> impl Iterator<Item = u32> {
        let allowed = self.0.filter(|allowed| allowed & ALL_NAMESPACES != ALL_NAMESPACES);
        let forbids = move |flag: &u32| allowed.is_some_and(|allowed| allowed & flag == 0);
        NAMESPACES.into_iter().map(|(_, flag)| flag).filter(forbids)
    }

    /// The value that the property has where nothing was said.
    const UNSET: u64 = u64::MAX;
}

/// The kinds in a set of flags, as `show` prints them: `no` restriction, `yes` for none of them, or names.
pub fn namespaces_text(flags: u64) -> String {
    let all = u64::from(ALL_NAMESPACES);
    let has = |flag: u32| flags & u64::from(flag) != 0;
    match flags & all {
        set if set == all => "no".to_owned(),
        0 => "yes".to_owned(),
        _ => {
            let names = NAMESPACES.into_iter().filter(|(_, flag)| has(*flag)).map(|(name, _)| name);
            names.collect::<Vec<_>>().join(" ")
        }
    }
}

impl Value for Namespaces {
    const FORM: &'static str =
        "a boolean, or kinds of namespaces (cgroup ipc net mnt pid user uts), after a ~ all but those";
    const SIGNATURE: &'static str = "t";

    fn assign(&mut self, text: &str, _: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0 = None;
            return Ok(());
        }
        if let Ok(all_forbidden) = parse_bool(text) {
            self.0 = Some(if all_forbidden { 0 } else { ALL_NAMESPACES });
            return Ok(());
        }
        let (words, inverted) = text.strip_prefix('~').map_or((text, false), |rest| (rest, true));
        let mut flags = 0;
        for word in words.split_ascii_whitespace() {
            let found = NAMESPACES.into_iter().find(|(known, _)| *known == word);
            let (_, flag) = found.ok_or_else(|| ValueError::invalid(word, "a kind of namespace"))?;
            flags |= flag;
        }
        self.0 = Some(match (self.0, inverted) {
            (None, true) => ALL_NAMESPACES & !flags,
            (None, false) => flags,
            (Some(allowed), true) => allowed & !flags,
            (Some(allowed), false) => allowed | flags,
        });
        Ok(())
    }

    fn property(&self) -> Property {
        Property::U64(self.0.map_or(Self::UNSET, u64::from))
    }
}

/// The instruction sets that systemd has names for.
const ARCHITECTURES: [&str; 20] = [
    "native",
    "arm",
    "arm64",
    "mips",
    "mips-le",
    "mips64",
    "mips64-le",
    "mips64-le-n32",
    "mips64-n32",
    "parisc",
    "parisc64",
    "ppc",
    "ppc64",
    "ppc64-le",
    "riscv64",
    "s390",
    "s390x",
    "x32",
    "x86",
    "x86-64",
];

/// `SystemCallArchitectures=`: the instruction sets whose system calls may be made; all, if none is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Architectures(BTreeSet<&'static str>);

impl Architectures {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }

    /// Whether nothing is restricted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value for Architectures {
    const FORM: &'static str = "instruction sets, such as native or x86";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        }
        for word in Words::new(text, Backslash::Quotes) {
            let word = word.and_then(|word| word.into_text())?;
            match ARCHITECTURES.into_iter().find(|known| *known == word) {
                Some(known) => _ = self.0.insert(known),
                None => cx.warn(ValueError::invalid(&word, "the name of an instruction set")),
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.names().map(str::to_owned).collect())
    }
}
