//! Steering: the classic BPF program that picks the slot of a reuseport group for each new connection or datagram.
//!
//! What never lives here: which slots are live. One invariant: a program only ever answers a slot of its list, whatever
//! packet it is given.

use std::os::fd::BorrowedFd;

use crate::error::SysError;

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

/// A program, ready to be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
}

/// One instruction of classic BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

/// Why there is no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SteeringError {
    /// The kernel hashes over every slot, dead ones included, when the list is empty: never ask for that.
    #[error("a group needs a live slot to steer to")]
    NoLiveSlot,
    /// The list has so many gaps that the program would be longer than the kernel takes (4096 instructions).
    #[error("{0} runs of live slots are too many for a steering program")]
    TooManyRuns(usize),
}

impl Program {
    /// A program that spreads over the `live` slots (kernel indexes, in any order, each once or more).
    ///
    /// # Errors
    /// [`SteeringError`].
    pub fn compile(steering: Steering, live: &[u16]) -> Result<Self, SteeringError> {
        unimplemented!("{steering:?} {live:?}")
    }
}

/// Gives the group of `member` this program, in place of any other, between two packets. Any member will do, but for
/// TCP it must listen already.
///
/// # Errors
/// The cause; `EINVAL` where the socket is in no reuseport group.
pub fn attach(member: BorrowedFd<'_>, program: &Program) -> Result<(), SysError> {
    unimplemented!("{member:?} {program:?}")
}
