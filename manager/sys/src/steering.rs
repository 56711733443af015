//! Steering: the classic BPF program that picks the slot of a reuseport group for each new connection or datagram.
//!
//! What never lives here: which slots are live. One invariant: a program only ever answers a slot of its list.

mod assembler;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_ushort, socklen_t};

use crate::error::{SysError, check};
use assembler::Assembler;

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

/// A program, ready to be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<libc::sock_filter>,
}

impl Program {
    /// A program that spreads over the `live` slots: kernel indexes, in any order; a slot named twice counts once.
    ///
    /// # Errors
    /// [`SteeringError`].
    pub fn compile(steering: Steering, live: &[u16]) -> Result<Self, SteeringError> {
        let live = LiveSlots::new(live);
        let mut code = Assembler::default();
        match (live.count, steering) {
            (0, _) => return Err(SteeringError::NoLiveSlot),
            (1, _) => code.answer(live.runs[0].first_slot),
            (_, Steering::Hash) => {
                code.load_flow_hash();
                code.answer_one_of(&live);
            }
            (_, Steering::Random) => {
                code.load_random();
                code.answer_one_of(&live);
            }
            (_, Steering::Cpu) => {
                code.load_cpu();
                code.answer_if_live(&live);
                code.load_random();
                code.answer_one_of(&live);
            }
        }
        code.finish().ok_or(SteeringError::TooManyRuns(live.runs.len()))
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

/// The live slots in order, as runs of neighbours: the table that a program looks its answer up in.
struct LiveSlots {
    count: u32,
    runs: Vec<Run>,
}

/// Slots `first_slot .. first_slot + length`, which are numbers `first_index ..` among the live ones.
struct Run {
    first_index: u32,
    first_slot: u32,
    length: u32,
}

impl LiveSlots {
    fn new(live: &[u16]) -> Self {
        let slots: BTreeSet<u32> = live.iter().copied().map(u32::from).collect();
        let mut runs: Vec<Run> = Vec::new();
        for (index, slot) in (0..).zip(slots) {
            match runs.last_mut() {
                Some(run) if run.first_slot + run.length == slot => run.length += 1,
                _ => runs.push(Run { first_index: index, first_slot: slot, length: 1 }),
            }
        }
        Self { count: runs.iter().map(|run| run.length).sum(), runs }
    }
}
