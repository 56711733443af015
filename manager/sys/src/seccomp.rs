//! Filters of system calls (seccomp(2)): from rules by name to a program for the kernel.
//!
//! A program knows every ABI by which a process of this machine can make system calls, and looks the number up by binary search. What
//! never lives here: which calls a unit forbids. Invariant: a call is judged by the rules of the ABI it came by, for the same number
//! means another call in each.

mod abi;
mod compile;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use compile::compile;

/// What becomes of a system call. Where several filters judge one, the strictest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// It is made, and the kernel logs it.
    Log,
    /// It fails with this error number; with 0 it succeeds without having done anything.
    Errno(u16),
    /// The process is killed by SIGSYS.
    Kill,
}

/// The low 32 bits of an argument, masked, are this value. The kernel takes flags and kinds as 32-bit numbers, whatever stands above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, from 0.
    pub argument: u8,
    /// The bits that count.
    pub mask: u32,
    /// What they have to be.
    pub value: u32,
}

impl Condition {
    /// The argument is this number.
    #[must_use]
    pub fn is(argument: u8, value: u32) -> Self {
        Self { argument, mask: u32::MAX, value }
    }

    /// The argument has all of these bits.
    #[must_use]
    pub fn has(argument: u8, bits: u32) -> Self {
        Self { argument, mask: bits, value: bits }
    }
}

/// What one call leads to where all conditions hold. Of several rules for a call the first that applies counts; where none does,
/// the filter's own verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The call's name; an ABI that has no such call leaves the rule out.
    pub call: &'static str,
    /// All must hold; there may be none.
    pub conditions: Vec<Condition>,
    /// What it leads to then.
    pub verdict: Verdict,
}

impl Rule {
    /// A rule without conditions.
    #[must_use]
    pub fn always(call: &'static str, verdict: Verdict) -> Self {
        Self { call, conditions: Vec::new(), verdict }
    }

    /// A rule with conditions.
    #[must_use]
    pub fn when(call: &'static str, conditions: &[Condition], verdict: Verdict) -> Self {
        Self { call, conditions: conditions.to_vec(), verdict }
    }
}

/// The mmap(2) of 32-bit x86, which has its arguments in memory, and only that.
pub const OLD_MMAP: &str = "old_mmap";

/// A filter of system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What some calls lead to.
    pub rules: Vec<Rule>,
    /// What all others lead to.
    pub otherwise: Verdict,
    /// The only ABIs that may be used, by systemd's names (`native`, `x86`); `None`: all.
    pub architectures: Option<Vec<&'static str>>,
}

impl Filter {
    /// A filter that allows all but what rules say.
    #[must_use]
    pub fn denying(rules: Vec<Rule>) -> Self {
        Self { rules, otherwise: Verdict::Allow, architectures: None }
    }
}

/// An instruction of classic BPF, in memory as the kernel has it (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Instruction {
    pub(crate) code: u16,
    pub(crate) on_true: u8,
    pub(crate) on_false: u8,
    pub(crate) value: u32,
}

/// A compiled filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program(pub(crate) Vec<Instruction>);

/// Whether the kernel takes filters at all.
#[must_use]
pub fn is_available() -> bool {
    let action: u32 = libc::SECCOMP_RET_ALLOW;
    // SAFETY: the operation reads one number, which outlives the call.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) >= 0 }
}

/// The execution domain of this process (personality(2)), which those that it starts have too.
#[must_use]
pub fn own_personality() -> u32 {
    // SAFETY: a plain number, which changes nothing.
    unsafe { libc::personality(0xffff_ffff) }.cast_unsigned()
}

/// The filters cannot be made on this machine: it has an instruction set whose system calls are not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("system calls cannot be filtered on this machine: {}", std::env::consts::ARCH)]
pub struct UnknownMachine;
