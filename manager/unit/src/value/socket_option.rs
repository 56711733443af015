//! Values that say how a socket is set up: options that are words, names or numbers of the kernel (systemd.socket(5), socket(7)).
//!
//! Never here: addresses (`address`), and calling the kernel.
//! Invariant: what is accepted can be given to setsockopt(2) as it is, if the kernel has such an option.

use super::{ValueError, parse_bool, parse_i32, parse_u32};
use crate::directive::{Context, Property, Scalar, Value};

/// Kernel timestamps on received packets (`Timestamping=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Timestamping {
    /// None.
    #[default]
    Off,
    /// In microseconds (`SO_TIMESTAMP`).
    Microseconds,
    /// In nanoseconds (`SO_TIMESTAMPNS`).
    Nanoseconds,
}

impl Scalar for Timestamping {
    const FORM: &'static str = "off, us or ns, or a boolean: yes is ns";
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        match text {
            "off" => Ok(Self::Off),
            "us" | "usec" | "\u{b5}s" | "\u{3bc}s" => Ok(Self::Microseconds),
            "ns" | "nsec" => Ok(Self::Nanoseconds),
            _ => match parse_bool(text) {
                Ok(true) => Ok(Self::Nanoseconds),
                Ok(false) => Ok(Self::Off),
                Err(_) => Err(ValueError::invalid(text, "an accepted word")),
            },
        }
    }

    fn property(&self) -> Property {
        let word = match self {
            Self::Off => "off",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
        };
        Property::Str(word.to_owned())
    }
}

/// The protocol of a socket where it is not the usual one of its type (`SocketProtocol=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketProtocol {
    /// UDP-Lite, for datagrams.
    UdpLite,
    /// SCTP, for streams and sequential packets.
    Sctp,
    /// Multipath TCP, for streams.
    Mptcp,
}

impl SocketProtocol {
    const ALL: [Self; 3] = [Self::UdpLite, Self::Sctp, Self::Mptcp];

    /// Its name and its number (protocols(5)).
    fn entry(self) -> (&'static str, i32) {
        match self {
            Self::UdpLite => ("udplite", 136),
            Self::Sctp => ("sctp", 132),
            Self::Mptcp => ("mptcp", 262),
        }
    }
}

/// By name in any case or by number, as getprotobyname(3) finds them.
impl Scalar for SocketProtocol {
    const FORM: &'static str = "a protocol: udplite, sctp or mptcp";
    const SIGNATURE: &'static str = "i";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        let is_meant = |protocol: &Self| {
            let (name, number) = protocol.entry();
            name.eq_ignore_ascii_case(text) || parse_i32(text) == Ok(number)
        };
        Self::ALL.into_iter().find(is_meant).ok_or_else(|| ValueError::invalid(text, "an accepted protocol"))
    }

    fn property(&self) -> Property {
        Property::I32(self.entry().1)
    }
}

/// The network interface that a socket is tied to; the empty text and `*` untie it (`BindToDevice=`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindDevice(Option<Box<str>>);

/// `IFNAMSIZ` without its NUL.
const INTERFACE_MAX: usize = 15;

impl BindDevice {
    /// The name of the interface.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Whether an interface can have that name; it need not exist.
fn is_interface_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'/' | b'%');
    let is_reserved = matches!(text, "" | "." | ".." | "all" | "default");
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= INTERFACE_MAX && text.bytes().all(is_allowed) && !is_reserved && !is_number
}

impl Value for BindDevice {
    const FORM: &'static str = "the name of a network interface";
    const SIGNATURE: &'static str = "s";

    fn assign(&mut self, text: &str, _: &Context<'_>) -> Result<(), ValueError> {
        self.0 = match text {
            "" | "*" => None,
            name if is_interface_name(name) => Some(name.into()),
            other => return Err(ValueError::invalid(other, "a name of a network interface")),
        };
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Str(self.name().unwrap_or_default().to_owned())
    }
}

/// The type of service of packets (ip(7), `IP_TOS`); -1: not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpTos(pub i32);

const TOS_NAMES: [(&str, i32); 4] =
    [("low-delay", 0x10), ("throughput", 0x08), ("reliability", 0x04), ("low-cost", 0x02)];

/// The empty text unsets it.
impl Scalar for IpTos {
    const FORM: &'static str = "low-delay, throughput, reliability, low-cost, or a number from 0 to 255";
    const SIGNATURE: &'static str = "i";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Ok(Self(-1));
        }
        if let Some((_, tos)) = TOS_NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*tos));
        }
        let tos = parse_i32(text)?;
        let fits = (0..=255).contains(&tos);
        fits.then_some(Self(tos)).ok_or_else(|| ValueError::range(text, "a type of service is from 0 to 255"))
    }

    fn property(&self) -> Property {
        Property::I32(self.0)
    }
}

/// How many connections may be under way that brought data with their first packet (tcp(7), `TCP_FASTOPEN`); 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FastOpen(pub u32);

/// What a plain `yes` means: as many as wait in the queue of many a server.
const FAST_OPEN_YES: u32 = 256;

impl Scalar for FastOpen {
    const FORM: &'static str = "the length of the queue, or a boolean: yes is 256";
    const SIGNATURE: &'static str = "u";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        match (parse_u32(text), parse_bool(text)) {
            (Ok(length), _) => Ok(Self(length)),
            (Err(_), Ok(yes)) => Ok(Self(if yes { FAST_OPEN_YES } else { 0 })),
            (Err(error), Err(_)) => Err(error),
        }
    }

    fn property(&self) -> Property {
        Property::U32(self.0)
    }
}

/// An option by its numbers, for setsockopt(2) (`SocketOption=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketOption {
    /// `SOL_SOCKET`, `IPPROTO_TCP`, …
    pub level: i32,
    /// The option of that level.
    pub name: i32,
    /// Its value.
    pub value: i32,
}

/// Levels by their names in C and by short ones, with Linux's numbers.
const LEVELS: [(&str, i32); 12] = [
    ("SOL_SOCKET", 1),
    ("socket", 1),
    ("IPPROTO_IP", 0),
    ("ip", 0),
    ("IPPROTO_TCP", 6),
    ("tcp", 6),
    ("IPPROTO_UDP", 17),
    ("udp", 17),
    ("IPPROTO_IPV6", 41),
    ("ipv6", 41),
    ("IPPROTO_SCTP", 132),
    ("sctp", 132),
];

/// Options by their names in C, with the numbers of x86, ARM and RISC-V (socket(7), tcp(7), ip(7), ipv6(7), udp(7)).
const OPTIONS: [(&str, i32); 34] = [
    ("SO_DEBUG", 1),
    ("SO_DONTROUTE", 5),
    ("SO_BROADCAST", 6),
    ("SO_SNDBUF", 7),
    ("SO_RCVBUF", 8),
    ("SO_KEEPALIVE", 9),
    ("SO_OOBINLINE", 10),
    ("SO_PRIORITY", 12),
    ("SO_REUSEPORT", 15),
    ("SO_PASSCRED", 16),
    ("SO_RCVLOWAT", 18),
    ("SO_MARK", 36),
    ("SO_RXQ_OVFL", 40),
    ("SO_LOCK_FILTER", 44),
    ("SO_BUSY_POLL", 46),
    ("SO_INCOMING_CPU", 49),
    ("SO_ZEROCOPY", 60),
    ("SO_PREFER_BUSY_POLL", 69),
    ("TCP_NODELAY", 1),
    ("TCP_MAXSEG", 2),
    ("TCP_CORK", 3),
    ("TCP_KEEPIDLE", 4),
    ("TCP_KEEPINTVL", 5),
    ("TCP_KEEPCNT", 6),
    ("TCP_SYNCNT", 7),
    ("TCP_LINGER2", 8),
    ("TCP_DEFER_ACCEPT", 9),
    ("TCP_WINDOW_CLAMP", 10),
    ("TCP_QUICKACK", 12),
    ("TCP_USER_TIMEOUT", 18),
    ("TCP_FASTOPEN", 23),
    ("TCP_NOTSENT_LOWAT", 25),
    ("IP_TOS", 1),
    ("UDP_GRO", 104),
];

fn named(text: &str, names: &[(&str, i32)]) -> Option<i32> {
    let known = names.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    known.or_else(|| parse_i32(text).ok())
}

impl SocketOption {
    fn parse(text: &str) -> Result<Self, ValueError> {
        let invalid = || ValueError::invalid(text, "an option of a socket");
        let (option, value) = text.split_once('=').ok_or_else(invalid)?;
        let (level, name) = option.split_once(':').ok_or_else(invalid)?;
        let level = named(level.trim(), &LEVELS).ok_or_else(invalid)?;
        let name = named(name.trim(), &OPTIONS).ok_or_else(invalid)?;
        Ok(Self { level, name, value: parse_i32(value.trim())? })
    }
}

impl std::fmt::Display for SocketOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}={}", self.level, self.name, self.value)
    }
}

/// Lines add up; an empty one forgets the earlier ones.
impl Value for Vec<SocketOption> {
    const FORM: &'static str = "level:name=value, such as IPPROTO_TCP:TCP_USER_TIMEOUT=5000 or 6:18=5000";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, _: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.clear();
        } else {
            self.push(SocketOption::parse(text)?);
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.iter().map(ToString::to_string).collect())
    }

    fn shrink(&mut self) {
        self.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_have_names_that_the_kernel_takes() {
        for good in ["lo", "eth0", "wlan.5", "a-b_c", "123456789abcdef", "1a"] {
            assert!(is_interface_name(good), "{good}");
        }
        for bad in
            ["", ".", "..", "all", "default", "1", "a b", "a:b", "a/b", "a%b", "1234567890abcdef", "\u{fc}"]
        {
            assert!(!is_interface_name(bad), "{bad}");
        }
    }

    #[test]
    fn options_by_name_or_number() {
        let option = |text| SocketOption::parse(text).ok().map(|option| option.to_string());
        for (text, expected) in [
            ("SOL_SOCKET:SO_MARK=5", Some("1:36=5")),
            ("tcp:TCP_FASTOPEN = 0x10", Some("6:23=16")),
            ("6:18=-1", Some("6:18=-1")),
            ("tcp:nonsense=1", None),
            ("nowhere:1=1", None),
            ("6:18", None),
            ("18=1", None),
            ("6:18=x", None),
            ("", None),
        ] {
            assert_eq!(option(text).as_deref(), expected, "{text}");
        }
    }
}
