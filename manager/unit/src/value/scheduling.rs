//! How the kernel is to schedule and judge a process (systemd.exec(5), "Scheduling").
//!
//! Never here: telling the kernel. Invariant: a value is in the range that the kernel takes.

use super::span::parse_nanoseconds;
use super::{ValueError, parse_i32, parse_u32};
use crate::directive::{Context, Inherited, Property, Scalar};

/// A number in a range, which an empty assignment unsets; unset, the manager's own is shown.
macro_rules! bounded {
    ($(#[$meta:meta])* $name:ident, $range:expr, $form:literal, $inherited:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub i32);

        impl Scalar for $name {
            const FORM: &'static str = $form;
            const SIGNATURE: &'static str = "i";
            const EMPTY_RESETS: bool = true;

            fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
                let number = parse_i32(text)?;
                let in_range = $range.contains(&number).then_some(Self(number));
                in_range.ok_or_else(|| ValueError::range(text, concat!("expected ", $form)))
            }

            fn property(&self) -> Property {
                Property::I32(self.0)
            }

            fn unset() -> Property {
                Property::Inherited(Inherited::$inherited)
            }
        }
    };
}

bounded! {
    /// The nice value (setpriority(2)).
    Niceness, (-20..=19), "a number from -20 (most) to 19 (least)", Nice
}
bounded! {
    /// How gladly the kernel kills it when memory runs out (proc_pid_oom_score_adj(5)).
    OomScoreAdjust, (-1000..=1000), "a number from -1000 (never) to 1000 (first)", OomScoreAdjust
}
bounded! {
    /// The priority of a real-time policy (sched(7)).
    CpuPriority, (0..=99), "a number from 0 to 99", CpuPriority
}
bounded! {
    /// The priority within a class of disk access (ioprio_set(2)).
    IoPriority, (0..=7), "a number from 0 (first) to 7 (last)", IoPriority
}

/// A value of a short list of words that the kernel has numbers for.
macro_rules! numbered {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $form:literal, $unset:expr, numbers: $numbers:literal {
            $( $(#[$doc:meta])* $variant:ident = $word:literal ($number:literal), )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$doc])* $variant, )+
        }

        impl $name {
            /// The kernel's number.
            pub fn number(self) -> i32 {
                match self { $( Self::$variant => $number, )+ }
            }
        }

        impl Scalar for $name {
            const FORM: &'static str = $form;
            const SIGNATURE: &'static str = "i";
            const EMPTY_RESETS: bool = true;

            fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
                let number = if $numbers { parse_u32(text).ok() } else { None };
                match text {
                    $( $word => return Ok(Self::$variant), )+
                    _ => {}
                }
                match number {
                    $( Some($number) => Ok(Self::$variant), )+
                    _ => Err(ValueError::invalid(text, "an accepted word")),
                }
            }

            fn property(&self) -> Property {
                Property::I32(self.number())
            }

            fn unset() -> Property {
                $unset
            }
        }
    };
}

numbered! {
    /// How the processor is shared (sched(7)).
    pub enum CpuPolicy: "one of other, batch, idle, fifo, rr", Property::Inherited(Inherited::CpuPolicy), numbers: true {
        /// The usual way.
        Other = "other" (0),
        /// Real time: until it yields.
        Fifo = "fifo" (1),
        /// Real time: in turns.
        Rr = "rr" (2),
        /// As other, for work that nobody waits for.
        Batch = "batch" (3),
        /// When nobody else wants it.
        Idle = "idle" (5),
    }
}

impl CpuPolicy {
    /// It is one of sched(7)'s real-time policies, which have priorities from 1.
    pub fn is_real_time(self) -> bool {
        match self {
            Self::Fifo | Self::Rr => true,
            Self::Other | Self::Batch | Self::Idle => false,
        }
    }
}

numbered! {
    /// How the disk is shared (ioprio_set(2)).
    pub enum IoClass: "one of none, realtime, best-effort, idle", Property::Inherited(Inherited::IoClass), numbers: true {
        /// As nobody had said anything: best effort.
        None = "none" (0),
        /// Before all others.
        Realtime = "realtime" (1),
        /// The usual way.
        BestEffort = "best-effort" (2),
        /// When nobody else wants it.
        Idle = "idle" (3),
    }
}

numbered! {
    /// Which nodes memory comes from (set_mempolicy(2)).
    pub enum NumaPolicy: "one of default, preferred, bind, interleave, local", Property::I32(-1), numbers: false {
        /// From the one that the process runs on.
        Default = "default" (0),
        /// From the one that is given, if it has any.
        Preferred = "preferred" (1),
        /// From those that are given only.
        Bind = "bind" (2),
        /// From those that are given in turn.
        Interleave = "interleave" (3),
        /// From the one where the processor is.
        Local = "local" (4),
    }
}

/// How late timers of the process may be, in nanoseconds (`PR_SET_TIMERSLACK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerSlack(pub u64);

impl Scalar for TimerSlack {
    const FORM: &'static str = "a time span, such as 50us; without unit in nanoseconds";
    const SIGNATURE: &'static str = "t";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        parse_nanoseconds(text).map(Self)
    }

    fn property(&self) -> Property {
        Property::U64(self.0)
    }

    fn unset() -> Property {
        Property::Inherited(Inherited::TimerSlack)
    }
}

/// For which machine uname(2) says that this is one (personality(2)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Personality {
    word: Box<str>,
    /// `PER_LINUX32` rather than `PER_LINUX`.
    pub is_32_bit: bool,
}

impl Scalar for Personality {
    const FORM: &'static str = "the machine's own architecture or its 32-bit one, such as x86-64 or x86";
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let own = &*cx.host().architecture;
        let small = match own {
            "x86-64" => "x86",
            "arm64" => "arm",
            "arm64-be" => "arm-be",
            "s390x" => "s390",
            "ppc64" => "ppc",
            "ppc64-le" => "ppc-le",
            "mips64" => "mips",
            "mips64-le" => "mips-le",
            "parisc64" => "parisc",
            "sparc64" => "sparc",
            _ => own,
        };
        if !own.is_empty() && [own, small].contains(&text) {
            Ok(Self { word: text.into(), is_32_bit: text != own })
        } else {
            Err(ValueError::invalid(text, "an architecture that this machine can pretend to have"))
        }
    }

    fn property(&self) -> Property {
        Property::Str(self.word.to_string())
    }
}

/// What of its memory a core dump has: the bits of proc_pid_coredump_filter(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoredumpFilter(pub u64);

/// Bit by bit.
const SEGMENTS: [&str; 9] = [
    "private-anonymous",
    "shared-anonymous",
    "private-file-backed",
    "shared-file-backed",
    "elf-headers",
    "private-huge",
    "shared-huge",
    "private-dax",
    "shared-dax",
];
/// What the kernel does by itself.
const USUAL_SEGMENTS: u64 = 0x33;

impl CoredumpFilter {
    fn of_word(word: &str) -> Result<u64, ValueError> {
        match word {
            "all" => return Ok(u64::from(u32::MAX)),
            "default" => return Ok(USUAL_SEGMENTS),
            _ => {}
        }
        let position = SEGMENTS.iter().position(|segment| *segment == word);
        let of_number = || u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok();
        let bits = position.map(|bit| 1 << bit).or_else(of_number);
        bits.ok_or_else(|| ValueError::invalid(word, "a kind of memory"))
    }
}

impl Scalar for CoredumpFilter {
    const FORM: &'static str = "private-anonymous, shared-anonymous, private-file-backed, shared-file-backed, elf-headers, private-huge, shared-huge, private-dax, shared-dax, default, all or a hexadecimal mask";
    const SIGNATURE: &'static str = "t";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        let bits = text.split_ascii_whitespace().map(Self::of_word);
        bits.reduce(|all, more| Ok(all? | more?)).unwrap_or(Err(ValueError::Empty)).map(Self)
    }

    fn property(&self) -> Property {
        Property::U64(self.0)
    }

    fn unset() -> Property {
        Property::Inherited(Inherited::CoredumpFilter)
    }
}
