//! Classic BPF, instruction by instruction (networking/filter.rst of the kernel's documentation).
//!
//! The machine has an accumulator A, an index register X, and answers a number. Loads at an offset from `NETWORK` read
//! from the packet's network header: the packet itself begins behind the transport header by the time the kernel picks
//! a socket, out of reach of addresses and ports. Loads from `ANCILLARY` read what the kernel knows beside the packet.

use super::Program;
use super::ranges::{Answer, Range, Ranges};

/// The longest program the kernel takes (`BPF_MAXINSNS`).
const MAX_LENGTH: usize = 4096;

/// `SKF_NET_OFF`.
const NETWORK: u32 = libc::SKF_NET_OFF.cast_unsigned();
/// `SKF_AD_OFF`.
const ANCILLARY: u32 = libc::SKF_AD_OFF.cast_unsigned();
/// `SKF_AD_CPU`.
const CPU: u32 = 36;
/// `SKF_AD_RANDOM`.
const RANDOM: u32 = 56;

const LD_WORD: u16 = 0x20;
const LD_BYTE: u16 = 0x30;
const LD_WORD_AT_X: u16 = 0x40;
/// X = 4 × (byte & 15): the length of an IPv4 header.
const LDX_HEADER_LENGTH: u16 = 0xb1;
const ADD: u16 = 0x04;
const MUL: u16 = 0x24;
const MOD: u16 = 0x94;
const SHIFT_RIGHT: u16 = 0x74;
const XOR_X: u16 = 0xac;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const RETURN_A: u16 = 0x16;
const COPY_TO_X: u16 = 0x07;
const COPY_FROM_X: u16 = 0x87;

/// An odd number without pattern (2³² divided by the golden ratio): spreads what it multiplies.
const SPREAD: u32 = 0x9e37_79b1;

/// A program under construction.
#[derive(Default)]
pub(super) struct Assembler {
    instructions: Vec<libc::sock_filter>,
}

impl Assembler {
    fn push(&mut self, code: u16, k: u32) {
        self.branch(code, k, 0, 0);
    }

    /// A conditional jump: over `on_true` or `on_false` instructions.
    fn branch(&mut self, code: u16, k: u32, on_true: u8, on_false: u8) {
        self.instructions.push(libc::sock_filter { code, jt: on_true, jf: on_false, k });
    }

    /// The program, if the kernel takes one of that length.
    pub(super) fn finish(self) -> Option<Program> {
        (self.instructions.len() <= MAX_LENGTH).then_some(Program { instructions: self.instructions })
    }

    /// Ends the program with this slot.
    pub(super) fn answer(&mut self, slot: u32) {
        self.push(RETURN, slot);
    }

    /// A = a random number.
    pub(super) fn load_random(&mut self) {
        self.push(LD_WORD, ANCILLARY.wrapping_add(RANDOM));
    }

    /// A = the number of the CPU that works on the packet.
    pub(super) fn load_cpu(&mut self) {
        self.push(LD_WORD, ANCILLARY.wrapping_add(CPU));
    }

    /// Ends the program with slot A if that is live; otherwise goes on, with A unchanged.
    pub(super) fn answer_if_live(&mut self, live: &Ranges) {
        for (first, length) in live.runs() {
            self.branch(JUMP_IF_AT_LEAST, first, 0, 2);
            self.branch(JUMP_IF_AT_LEAST, first + length, 1, 0);
            self.push(RETURN_A, 0);
        }
    }

    /// Ends the program with what `ranges` has for A modulo their total.
    pub(super) fn answer_from(&mut self, ranges: &Ranges) {
        self.push(MOD, ranges.total());
        self.search(ranges.as_slice());
    }

    /// A binary search. A conditional jump reaches no further than 255 instructions; where there are more, an unconditional one goes.
    fn search(&mut self, ranges: &[Range]) {
        let [range] = ranges else {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let below = Self::built(|code| code.search(low));
            match u8::try_from(below.len()) {
                Ok(length) => self.branch(JUMP_IF_AT_LEAST, high[0].first, length, 0),
                Err(_) => {
                    self.branch(JUMP_IF_AT_LEAST, high[0].first, 0, 1);
                    self.push(JUMP, u32::try_from(below.len()).expect("far shorter than that"));
                }
            }
            self.instructions.extend(below);
            return self.search(high);
        };
        match range.answer {
            Answer::Slot(slot) => self.answer(slot),
            Answer::From(slot) => {
                if slot > range.first {
                    self.push(ADD, slot - range.first);
                }
                self.push(RETURN_A, 0);
            }
        }
    }

    /// A = a hash of the peer's address and both ports, the same for every packet of a flow.
    ///
    /// The kernel's own flow hash would be one instruction, but is 0 on many paths.
    pub(super) fn load_flow_hash(&mut self) {
        let v6 = Self::built(Self::combine_ipv6);
        let v4 = Self::built(Self::combine_ipv4);
        let after_v6 = u32::try_from(v4.len()).expect("a few instructions");
        let to_v4 = u8::try_from(v6.len() + 1).expect("a few instructions");
        self.push(LD_BYTE, NETWORK);
        self.push(SHIFT_RIGHT, 4);
        self.branch(JUMP_IF_EQUAL, 6, 0, to_v4);
        self.instructions.extend(v6);
        self.push(JUMP, after_v6);
        self.instructions.extend(v4);
        self.mix();
    }

    fn built(block: impl FnOnce(&mut Self)) -> Vec<libc::sock_filter> {
        let mut code = Self::default();
        block(&mut code);
        code.instructions
    }

    /// A = ports and source address of an IPv4 packet; the ports are behind a header of varying length.
    fn combine_ipv4(&mut self) {
        self.push(LDX_HEADER_LENGTH, NETWORK);
        self.push(LD_WORD_AT_X, NETWORK);
        self.push(COPY_TO_X, 0);
        self.push(LD_WORD, NETWORK + 12);
        self.push(MUL, SPREAD);
        self.push(XOR_X, 0);
    }

    /// A = source address of an IPv6 packet, and ports where TCP or UDP follows at once: behind extension headers
    /// they are not looked for, the address alone decides.
    fn combine_ipv6(&mut self) {
        self.push(LD_WORD, NETWORK + 8);
        for offset in [12, 16, 20] {
            self.push(MUL, SPREAD);
            self.push(COPY_TO_X, 0);
            self.push(LD_WORD, NETWORK + offset);
            self.push(XOR_X, 0);
        }
        self.push(MUL, SPREAD);
        self.push(COPY_TO_X, 0);
        self.push(LD_BYTE, NETWORK + 6);
        self.branch(JUMP_IF_EQUAL, libc::IPPROTO_TCP.cast_unsigned(), 2, 0);
        self.branch(JUMP_IF_EQUAL, libc::IPPROTO_UDP.cast_unsigned(), 1, 0);
        self.push(JUMP, 3);
        self.push(LD_WORD, NETWORK + 40);
        self.push(XOR_X, 0);
        self.push(JUMP, 1);
        self.push(COPY_FROM_X, 0);
    }

    /// Lets every bit of A depend on every other (the finish of MurmurHash3). Without it the remainder would show the
    /// pattern of the clients' ports, which are often all even.
    fn mix(&mut self) {
        for (shift, factor) in [(16, Some(0x85eb_ca6b)), (13, Some(0xc2b2_ae35)), (16, None)] {
            self.push(COPY_TO_X, 0);
            self.push(SHIFT_RIGHT, shift);
            self.push(XOR_X, 0);
            if let Some(factor) = factor {
                self.push(MUL, factor);
            }
        }
    }
}
