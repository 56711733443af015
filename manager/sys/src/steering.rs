//! Steering: which member of a reuseport group gets the next connection or datagram.
//!
//! Two makes of one thing: a classic BPF program ([`Program`]), which needs no privilege, names members by the kernel's index and is
//! replaced with each change; and an eBPF program ([`Extended`]), which needs CAP_BPF, names them by slot, has its answers in maps, and
//! also says where waiting connections migrate to.
//!
//! What never lives here: which slots are live. One invariant: a program only ever answers a slot of its list.

mod assembler;
mod bpf;
mod buckets;
mod detour;
mod extended;
mod ranges;
#[cfg(test)]
mod tests;

use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_ushort, socklen_t};

use crate::error::{SysError, check};
use assembler::Assembler;
pub use buckets::{BUCKETS, Buckets};
pub use detour::detour;
pub use extended::{Extended, ExtendedFds, Wheel};
use ranges::Ranges;

/// By what a slot is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Steering {
    /// By a hash of the peer's address and both ports: one flow stays with one slot.
    #[default]
    Hash,
    /// By chance.
    Random,
    /// By the CPU that received the packet: slot = CPU number, by chance where that slot is not live.
    Cpu,
    /// As [`Steering::Hash`], but in proportion to the weights of the slots.
    Weighted,
}

/// A slot in rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The slot; for a classic program, its index in the kernel.
    pub slot: u16,
    /// Its part of the whole, for [`Steering::Weighted`]: from 1.
    pub weight: u32,
}

impl Share {
    /// A slot like any other.
    #[must_use]
    pub const fn equal(slot: u16) -> Self {
        Self { slot, weight: 1 }
    }
}

/// Why there is no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SteeringError {
    /// The kernel hashes over every slot, dead ones included, when it gets no slot of the group: never ask for that.
    #[error("a group needs a live slot to steer to")]
    NoLiveSlot,
    /// The list has so many gaps that the program would be longer than the kernel takes.
    #[error("{0} runs of live slots are too many for a steering program")]
    TooManyRuns(usize),
}

/// A classic BPF program, ready to be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<libc::sock_filter>,
}

impl Program {
    /// A program that spreads over the `live` slots: kernel indexes, in any order; a slot named twice counts once.
    ///
    /// # Errors
    /// [`SteeringError`].
    pub fn compile(steering: Steering, live: &[Share]) -> Result<Self, SteeringError> {
        let [first, ..] = live else { return Err(SteeringError::NoLiveSlot) };
        let equal = Ranges::equal(live);
        let mut code = Assembler::default();
        match steering {
            _ if equal.total() == 1 => code.answer(first.slot.into()),
            Steering::Hash => {
                code.load_flow_hash();
                code.answer_from(&equal);
            }
            Steering::Weighted => {
                code.load_flow_hash();
                code.answer_from(&Ranges::weighted(live));
            }
            Steering::Random => {
                code.load_random();
                code.answer_from(&equal);
            }
            Steering::Cpu => {
                code.load_cpu();
                code.answer_if_live(&equal);
                code.load_random();
                code.answer_from(&equal);
            }
        }
        code.finish().ok_or(SteeringError::TooManyRuns(equal.len()))
    }

    /// A program that gives each bucket of flows to its owner; `index` is where the kernel has a slot.
    ///
    /// # Errors
    /// [`SteeringError::NoLiveSlot`] where the buckets have no owners yet.
    pub fn of_buckets(buckets: &Buckets, index: impl Fn(u16) -> u16) -> Result<Self, SteeringError> {
        let owners = buckets.owners().ok_or(SteeringError::NoLiveSlot)?;
        let ranges = Ranges::listed(&owners.map(index));
        let mut code = Assembler::default();
        code.load_flow_hash();
        code.answer_from(&ranges);
        code.finish().ok_or(SteeringError::TooManyRuns(ranges.len()))
    }

    /// How many instructions it has; the kernel takes 4096.
    #[must_use]
    pub fn length(&self) -> usize {
        self.instructions.len()
    }
}

/// Gives the group of `member` this program, in place of any other, between two packets. Any member will do, but for
/// TCP it must listen already.
///
/// # Errors
/// The cause; `EINVAL` where the socket is in no reuseport group.
pub fn attach(member: BorrowedFd<'_>, program: &Program) -> Result<(), SysError> {
    let length = c_ushort::try_from(program.length()).expect("a compiled program is short enough");
    let filter = libc::sock_fprog { len: length, filter: program.instructions.as_ptr().cast_mut() };
    let size = socklen_t::try_from(size_of_val(&filter)).expect("a few bytes");
    // SAFETY: `filter` names `length` instructions, which the kernel copies and does not write.
    let result = unsafe {
        libc::setsockopt(
            member.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            size,
        )
    };
    check("attach a steering program", result).map(drop)
}
