//! Limits of resources, `soft:hard` (systemd.exec(5), setrlimit(2)).
//!
//! Never here: setting one.
//! Invariant: the soft limit is not above the hard one.

use std::fmt;

use super::span::Span;
use super::{Size, ValueError, parse_u64};
use crate::directive::{Context, Inherited, Property, Value};

/// A soft and a hard limit; [`Rlimit::INFINITY`] in either is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// What applies.
    pub soft: u64,
    /// How far the program may raise it.
    pub hard: u64,
}

/// What a resource is counted in, which decides how its limit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Things: NOFILE, NPROC, LOCKS, SIGPENDING, RTPRIO.
    Count,
    /// Bytes: FSIZE, DATA, STACK, CORE, RSS, AS, MEMLOCK, MSGQUEUE.
    Bytes,
    /// Seconds, rounded up: CPU.
    Seconds,
    /// Microseconds: RTTIME.
    Microseconds,
    /// Nice values: `+n` and `-n` as nice(1) counts, else 0 (nice 20) to 40 (nice -20): NICE.
    Nice,
}

impl Rlimit {
    /// No limit; the kernel's RLIM_INFINITY.
    pub const INFINITY: u64 = u64::MAX;

    /// Reads one limit for both, or `soft:hard`.
    ///
    /// # Errors
    /// Either is not of the resource's form, or the soft limit is above the hard one.
    pub fn parse(text: &str, resource: Resource) -> Result<Self, ValueError> {
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let limit = Self { soft: resource.parse(soft)?, hard: resource.parse(hard)? };
        if limit.soft > limit.hard {
            return Err(ValueError::range(text, "the soft limit must not be higher than the hard limit"));
        }
        Ok(limit)
    }
}

impl Resource {
    fn parse(self, text: &str) -> Result<u64, ValueError> {
        if text == "infinity" && self != Self::Nice {
            return Ok(Rlimit::INFINITY);
        }
        let limit = match self {
            Self::Count => parse_u64(text),
            Self::Bytes => Size::parse(text).map(|size| size.0),
            Self::Seconds => Span::parse(text).map(|span| span.as_micros().div_ceil(1_000_000)),
            Self::Microseconds => Span::parse_in(text, 1).map(Span::as_micros),
            Self::Nice => nice(text),
        }?;
        // Infinity is only ever written as a word.
        if limit == Rlimit::INFINITY {
            Err(ValueError::range(text, "write infinity for no limit"))
        } else {
            Ok(limit)
        }
    }
}

/// The kernel counts from 0 (nice 20, least) to 40 (nice -20, most).
fn nice(text: &str) -> Result<u64, ValueError> {
    let range = || ValueError::range(text, "a nice value is -20 to +19, or without sign 0 to 40");
    let (sign, magnitude) = match text.split_at_checked(1) {
        Some((sign @ ("+" | "-"), magnitude)) => (sign, parse_u64(magnitude)?),
        _ => ("", parse_u64(text)?),
    };
    match sign {
        "+" if magnitude <= 19 => Ok(20 - magnitude),
        "-" if magnitude <= 20 => Ok(20 + magnitude),
        "" if magnitude <= 40 => Ok(magnitude),
        _ => Err(range()),
    }
}

impl fmt::Display for Rlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show =
            |limit: u64| if limit == Self::INFINITY { "infinity".to_owned() } else { limit.to_string() };
        if self.soft == self.hard {
            f.write_str(&show(self.soft))
        } else {
            write!(f, "{}:{}", show(self.soft), show(self.hard))
        }
    }
}

/// A resource with a limit: `Limit…=` of systemd.exec(5), `RLIMIT_…` of setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are those of setrlimit(2)")]
pub enum LimitKind {
    Cpu,
    Fsize,
    Data,
    Stack,
    Core,
    Rss,
    Nofile,
    As,
    Nproc,
    Memlock,
    Locks,
    Sigpending,
    Msgqueue,
    Nice,
    Rtprio,
    Rttime,
}

impl LimitKind {
    /// Directive and name of the property of the hard limit, the property of the soft one, and what is counted; in systemd's order.
    const ALL: [(Self, &str, &str, Resource); 16] = [
        (Self::Cpu, "LimitCPU", "LimitCPUSoft", Resource::Seconds),
        (Self::Fsize, "LimitFSIZE", "LimitFSIZESoft", Resource::Bytes),
        (Self::Data, "LimitDATA", "LimitDATASoft", Resource::Bytes),
        (Self::Stack, "LimitSTACK", "LimitSTACKSoft", Resource::Bytes),
        (Self::Core, "LimitCORE", "LimitCORESoft", Resource::Bytes),
        (Self::Rss, "LimitRSS", "LimitRSSSoft", Resource::Bytes),
        (Self::Nofile, "LimitNOFILE", "LimitNOFILESoft", Resource::Count),
        (Self::As, "LimitAS", "LimitASSoft", Resource::Bytes),
        (Self::Nproc, "LimitNPROC", "LimitNPROCSoft", Resource::Count),
        (Self::Memlock, "LimitMEMLOCK", "LimitMEMLOCKSoft", Resource::Bytes),
        (Self::Locks, "LimitLOCKS", "LimitLOCKSSoft", Resource::Count),
        (Self::Sigpending, "LimitSIGPENDING", "LimitSIGPENDINGSoft", Resource::Count),
        (Self::Msgqueue, "LimitMSGQUEUE", "LimitMSGQUEUESoft", Resource::Bytes),
        (Self::Nice, "LimitNICE", "LimitNICESoft", Resource::Nice),
        (Self::Rtprio, "LimitRTPRIO", "LimitRTPRIOSoft", Resource::Count),
        (Self::Rttime, "LimitRTTIME", "LimitRTTIMESoft", Resource::Microseconds),
    ];

    /// What follows `RLIMIT_` and `Limit`: `NOFILE`.
    pub fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(kind, ..)| *kind == self);
        known.map_or("", |(_, directive, ..)| directive.trim_start_matches("Limit"))
    }
}

/// The limits that were set, one of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits(Vec<(LimitKind, Rlimit)>);

impl Limits {
    /// The limit of a kind, if it was set.
    pub fn get(&self, kind: LimitKind) -> Option<Rlimit> {
        self.0.iter().find(|(known, _)| *known == kind).map(|(_, limit)| *limit)
    }

    /// All that were set.
    pub fn iter(&self) -> impl Iterator<Item = (LimitKind, Rlimit)> {
        self.0.iter().copied()
    }

    fn set(&mut self, kind: LimitKind, limit: Rlimit) {
        self.0.retain(|(known, _)| *known != kind);
        self.0.push((kind, limit));
        self.0.sort_by_key(|(kind, _)| *kind);
    }

    /// Two properties for each kind: the hard limit, and with `Soft` the soft one; where none was set, the manager's own.
    pub fn properties(&self) -> impl Iterator<Item = (&'static str, Property)> {
        LimitKind::ALL.iter().flat_map(|(kind, hard, soft, _)| {
            let [of_hard, of_soft] = match self.get(*kind) {
                Some(limit) => [Property::U64(limit.hard), Property::U64(limit.soft)],
                None => [Inherited::HardLimit(*kind), Inherited::SoftLimit(*kind)].map(Property::Inherited),
            };
            [(*hard, of_hard), (*soft, of_soft)]
        })
    }
}

/// One field for all: the key says which. The settings have the same keys after `Default`.
impl Value for Limits {
    const FORM: &'static str =
        "a limit, or soft:hard, each a number (of bytes with K, M, G; of time with its unit) or infinity";
    const SIGNATURE: &'static str = "t";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        let key = cx.key().strip_prefix("Default").unwrap_or(cx.key());
        let known = LimitKind::ALL.iter().find(|(_, name, _, _)| *name == key);
        let (kind, _, _, resource) = known.ok_or_else(|| ValueError::invalid(key, "a limit"))?;
        self.set(*kind, Rlimit::parse(text, *resource)?);
        Ok(())
    }

    fn property(&self) -> Property {
        Property::U64(u64::try_from(self.0.len()).unwrap_or(u64::MAX))
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}
