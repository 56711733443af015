//! The eBPF make of steering (bpf(2), `BPF_PROG_TYPE_SK_REUSEPORT`), assembled here: there is no second compiler.
//!
//! One program, three maps: the sockets by slot; the wheel, on which each slot has as many places as are its due, and the kernel's hash
//! of the flow (or chance, or the CPU) says where it stands; and a count for each slot. A change of rotation is one write of the wheel.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::bpf::{self, AskedFor, Instruction, MapKind};
use super::buckets::apportion;
use super::{BUCKETS, Buckets, Share, Steering, SteeringError};
use crate::error::SysError;

/// Places on the wheel: a power of two, and a multiple of the buckets.
const PLACES: usize = 4096;
/// On the wheel of CPUs: this one has no slot of its own.
const NONE: u32 = u32::MAX;

/// The descriptors of one group's program and maps. Whoever keeps them can take the group up again.
#[derive(Debug)]
pub struct ExtendedFds {
    /// The program.
    pub program: OwnedFd,
    /// Sockets by slot.
    pub sockets: OwnedFd,
    /// The wheels.
    pub wheels: OwnedFd,
    /// Counts by slot.
    pub counts: OwnedFd,
}

/// The program of one group.
#[derive(Debug)]
pub struct Extended {
    fds: ExtendedFds,
    migrates: bool,
}

/// Who stands where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheel {
    places: Vec<u32>,
    cpus: Vec<u32>,
}

impl Wheel {
    /// Places by the way of steering.
    ///
    /// # Errors
    /// [`SteeringError::NoLiveSlot`].
    pub fn new(steering: Steering, live: &[Share]) -> Result<Self, SteeringError> {
        if live.is_empty() {
            return Err(SteeringError::NoLiveSlot);
        }
        let weight = |share: &Share| match steering {
            Steering::Weighted => share.weight.max(1),
            Steering::Hash | Steering::Random | Steering::Cpu => 1,
        };
        let weights: Vec<(u16, u32)> = live.iter().map(|share| (share.slot, weight(share))).collect();
        let parts = apportion(&weights, PLACES as u32);
        let places =
            parts.iter().flat_map(|(slot, count)| std::iter::repeat_n(u32::from(*slot), *count as usize));
        let mut cpus = vec![NONE; PLACES];
        for share in live.iter().filter(|share| usize::from(share.slot) < PLACES) {
            cpus[usize::from(share.slot)] = share.slot.into();
        }
        Ok(Self { places: places.collect(), cpus })
    }

    /// Places by bucket.
    ///
    /// # Errors
    /// [`SteeringError::NoLiveSlot`] where the buckets have no owners yet.
    pub fn of_buckets(buckets: &Buckets) -> Result<Self, SteeringError> {
        let owners = buckets.owners().ok_or(SteeringError::NoLiveSlot)?;
        let places = (0..PLACES).map(|place| u32::from(owners[place % BUCKETS])).collect();
        Ok(Self { places, cpus: vec![NONE; PLACES] })
    }
}

impl Extended {
    /// A program and its maps for a group of `slots` slots, not attached yet.
    ///
    /// # Errors
    /// What the kernel refuses: `EPERM` without CAP_BPF, `EINVAL` where it knows no such programs, `ENOSYS` without bpf(2).
    pub fn load(steering: Steering, slots: u32) -> Result<Self, SysError> {
        let sockets = bpf::create_map(MapKind::Sockets, size_of::<u64>(), slots)?;
        let wheels = bpf::create_map(MapKind::Array, PLACES * size_of::<u32>(), 2)?;
        let counts = bpf::create_map(MapKind::Array, size_of::<u64>(), slots)?;
        let (program, migrates) = load(&program(steering, &sockets, &wheels, &counts))?;
        Ok(Self { fds: ExtendedFds { program, sockets, wheels, counts }, migrates })
    }

    /// Another program for the same maps, not attached yet.
    ///
    /// # Errors
    /// As [`load`](Self::load); the old one stays.
    pub fn change(&mut self, steering: Steering) -> Result<(), SysError> {
        let fds = &mut self.fds;
        (fds.program, self.migrates) = load(&program(steering, &fds.sockets, &fds.wheels, &fds.counts))?;
        Ok(())
    }

    /// Takes up a group again whose descriptors were kept; `migrates` as it was.
    #[must_use]
    pub fn from_fds(fds: ExtendedFds, migrates: bool) -> Self {
        Self { fds, migrates }
    }

    /// Its descriptors, to be kept.
    #[must_use]
    pub fn fds(&self) -> &ExtendedFds {
        &self.fds
    }

    /// Whether waiting connections of a listener that goes away migrate to where the wheel says.
    #[must_use]
    pub fn migrates(&self) -> bool {
        self.migrates
    }

    /// Says which socket is in a slot. A socket leaves its slot by itself when it is closed or shut down.
    ///
    /// # Errors
    /// The cause; `EBUSY` for a socket that is in a map already, `EINVAL` for one that does not listen.
    pub fn seat(&self, slot: u16, socket: BorrowedFd<'_>) -> Result<(), SysError> {
        let value = u64::from(socket.as_raw_fd().cast_unsigned());
        bpf::update(self.fds.sockets.as_fd(), slot.into(), &value.to_ne_bytes())
    }

    /// From now on this is who stands where.
    ///
    /// # Errors
    /// The cause.
    pub fn turn(&self, wheel: &Wheel) -> Result<(), SysError> {
        for (number, places) in (0..).zip([&wheel.places, &wheel.cpus]) {
            let bytes: Vec<u8> = places.iter().flat_map(|slot| slot.to_ne_bytes()).collect();
            bpf::update(self.fds.wheels.as_fd(), number, &bytes)?;
        }
        Ok(())
    }

    /// Gives the group of `member` this program, in place of any other.
    ///
    /// # Errors
    /// The cause.
    pub fn attach(&self, member: BorrowedFd<'_>) -> Result<(), SysError> {
        bpf::attach(member, &self.fds.program)
    }

    /// How many connections or datagrams were steered to a slot so far, those that migrated to it included.
    ///
    /// # Errors
    /// The cause.
    pub fn steered(&self, slot: u16) -> Result<u64, SysError> {
        bpf::lookup_counter(self.fds.counts.as_fd(), slot.into())
    }
}

/// Asked for migration too where the kernel knows that.
fn load(code: &[Instruction]) -> Result<(OwnedFd, bool), SysError> {
    match bpf::load(code, AskedFor::SelectOrMigrate) {
        Ok(program) => Ok((program, true)),
        Err(error) if error.errno() == libc::EINVAL => Ok((bpf::load(code, AskedFor::Select)?, false)),
        Err(error) => Err(error),
    }
}

/// Registers: 0 answers, 1 to 5 are arguments, 6 to 9 survive calls, 10 is the frame.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Register {
    R0 = 0,
    R1 = 1,
    R2 = 2,
    R3 = 3,
    R4 = 4,
    R6 = 6,
    R7 = 7,
    R8 = 8,
    Frame = 10,
}
use Register::{Frame, R0, R1, R2, R3, R4, R6, R7, R8};

/// Functions of the kernel (bpf-helpers(7)).
#[derive(Clone, Copy)]
#[repr(i32)]
enum Function {
    MapLookup = 1,
    Random = 7,
    Cpu = 8,
    SelectReuseport = 82,
}

/// `hash` in `struct sk_reuseport_md` (linux/bpf.h): the kernel's hash of addresses and ports, the same for all packets of a flow.
const FLOW_HASH: i16 = 32;
/// Where on the frame the key of a look-up is.
const KEY: i16 = -4;
const SK_PASS: i32 = 1;

/// The program. Where it comes to no answer it passes without one, and the kernel picks by its hash.
fn program(
    steering: Steering,
    sockets: &impl AsFd,
    wheels: &impl AsFd,
    counts: &impl AsFd,
) -> Vec<Instruction> {
    let mut code = Code::default();
    code.copy(R6, R1);
    match steering {
        Steering::Hash | Steering::Weighted => code.load_word(R7, R6, FLOW_HASH),
        Steering::Random => code.random(R7),
        Steering::Cpu => {
            code.call(Function::Cpu);
            code.copy(R7, R0);
            code.look_up_place(wheels, 1);
            // `NONE` as a register holds it.
            code.set_word(R1, -1);
            code.skip_if_equal(R8, R1, 1);
            let over = code.jump();
            code.random(R7);
            code.look_up_place(wheels, 0);
            code.land(over);
        }
    }
    if steering != Steering::Cpu {
        code.look_up_place(wheels, 0);
    }
    code.store_word(KEY, R8);
    code.copy(R1, R6);
    code.load_map(R2, sockets);
    code.point_at_key(R3);
    code.set(R4, 0);
    code.call(Function::SelectReuseport);
    code.leave_unless_zero(R0);
    code.load_map(R1, counts);
    code.point_at_key(R2);
    code.call(Function::MapLookup);
    code.leave_if_zero(R0);
    code.set(R1, 1);
    code.add_atomically(R0, R1);
    code.finish()
}

/// eBPF instructions (RFC 9669).
#[derive(Default)]
struct Code {
    instructions: Vec<Instruction>,
    /// Jumps to the end.
    leaves: Vec<usize>,
}

impl Code {
    fn push(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        let registers = to as u8 | (from as u8) << 4;
        self.instructions.push(Instruction { code, registers, offset, immediate });
    }

    fn copy(&mut self, to: Register, from: Register) {
        self.push(0xbf, to, from, 0, 0);
    }

    fn set(&mut self, to: Register, value: i32) {
        self.push(0xb7, to, R0, 0, value);
    }

    /// The low 32 bits; the high ones become 0.
    fn set_word(&mut self, to: Register, value: i32) {
        self.push(0xb4, to, R0, 0, value);
    }

    fn load_word(&mut self, to: Register, from: Register, offset: i16) {
        self.push(0x61, to, from, offset, 0);
    }

    fn store_word(&mut self, offset: i16, from: Register) {
        self.push(0x63, Frame, from, offset, 0);
    }

    fn store_word_value(&mut self, offset: i16, value: i32) {
        self.push(0x62, Frame, R0, offset, value);
    }

    fn call(&mut self, function: Function) {
        self.push(0x85, R0, R0, 0, function as i32);
    }

    fn random(&mut self, to: Register) {
        self.call(Function::Random);
        self.copy(to, R0);
    }

    fn point_at_key(&mut self, to: Register) {
        self.copy(to, Frame);
        self.push(0x07, to, R0, 0, KEY.into());
    }

    /// Two instructions, of which the second has the upper half of a number that descriptors do not have.
    fn load_map(&mut self, to: Register, map: &impl AsFd) {
        const PSEUDO_MAP_FD: u8 = 1;
        let registers = to as u8 | PSEUDO_MAP_FD << 4;
        let immediate = map.as_fd().as_raw_fd();
        self.instructions.push(Instruction { code: 0x18, registers, offset: 0, immediate });
        self.instructions.push(Instruction { code: 0, registers: 0, offset: 0, immediate: 0 });
    }

    /// R8 = the place number R7 modulo their count, of one of the wheels.
    fn look_up_place(&mut self, wheels: &impl AsFd, wheel: i32) {
        self.store_word_value(KEY, wheel);
        self.load_map(R1, wheels);
        self.point_at_key(R2);
        self.call(Function::MapLookup);
        self.leave_if_zero(R0);
        self.push(0x57, R7, R0, 0, PLACES as i32 - 1);
        self.push(0x67, R7, R0, 0, 2);
        self.push(0x0f, R0, R7, 0, 0);
        self.load_word(R8, R0, 0);
    }

    fn add_atomically(&mut self, to: Register, from: Register) {
        self.push(0xdb, to, from, 0, 0);
    }

    fn skip_if_equal(&mut self, left: Register, right: Register, count: i16) {
        self.push(0x1d, left, right, count, 0);
    }

    /// A jump whose end [`land`](Self::land) says.
    fn jump(&mut self) -> usize {
        self.push(0x05, R0, R0, 0, 0);
        self.instructions.len() - 1
    }

    fn land(&mut self, jump: usize) {
        let distance = self.instructions.len() - jump - 1;
        self.instructions[jump].offset = i16::try_from(distance).expect("a program is short");
    }

    fn leave_if_zero(&mut self, register: Register) {
        self.leaves.push(self.instructions.len());
        self.push(0x15, register, R0, 0, 0);
    }

    fn leave_unless_zero(&mut self, register: Register) {
        self.leaves.push(self.instructions.len());
        self.push(0x55, register, R0, 0, 0);
    }

    fn finish(mut self) -> Vec<Instruction> {
        for jump in std::mem::take(&mut self.leaves) {
            self.land(jump);
        }
        self.set(R0, SK_PASS);
        self.push(0x95, R0, R0, 0, 0);
        self.instructions
    }
}
