//! bpf(2): maps and programs. What goes into them is [`super::extended`]'s.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::error::SysError;

/// The kind of a map (`BPF_MAP_TYPE_*`).
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum MapKind {
    /// Values by number.
    Array = 2,
    /// Members of a reuseport group by number.
    Sockets = 20,
}

/// When a program is asked (`BPF_SK_REUSEPORT_*` of `bpf_attach_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum AskedFor {
    /// New connections and datagrams (Linux 4.19).
    Select = 39,
    /// Also connections whose listener is going away (Linux 5.14).
    SelectOrMigrate = 40,
}

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    pub(super) code: u8,
    /// Destination in the low half, source in the high one.
    pub(super) registers: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP: libc::c_int = 1;
const MAP_UPDATE: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const SK_REUSEPORT: u32 = 21;

/// The beginning of `union bpf_attr` for `BPF_MAP_CREATE`; what is not there is zero.
#[repr(C)]
struct MapAttributes {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

/// For the `BPF_MAP_*_ELEM` commands.
#[repr(C, align(8))]
struct ElementAttributes {
    map: u32,
    _padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// For `BPF_PROG_LOAD`.
#[repr(C, align(8))]
struct ProgramAttributes {
    kind: u32,
    length: u32,
    instructions: u64,
    license: u64,
    log: [u32; 4],
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    asked_for: u32,
}

fn bpf<T>(step: &'static str, command: libc::c_int, attributes: &T) -> Result<libc::c_long, SysError> {
    // SAFETY: every caller hands over the attributes of its command, whose pointers are to memory that outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 { Err(SysError::new(step, io::Error::last_os_error())) } else { Ok(result) }
}

/// The kernel makes these close-on-exec.
fn owned(fd: libc::c_long) -> OwnedFd {
    let fd = i32::try_from(fd).expect("a descriptor is an int");
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// A map from numbers below `entries` to values of `value_size` bytes.
pub(super) fn create_map(kind: MapKind, value_size: usize, entries: u32) -> Result<OwnedFd, SysError> {
    let value_size = u32::try_from(value_size).expect("values are small");
    let attributes = MapAttributes { kind: kind as u32, key_size: 4, value_size, max_entries: entries };
    bpf("make a BPF map", MAP_CREATE, &attributes).map(owned)
}

/// Puts a value into the map: as many bytes as it was made for.
pub(super) fn update(map: BorrowedFd<'_>, key: u32, value: &[u8]) -> Result<(), SysError> {
    let attributes = element(map, &key, value.as_ptr() as u64);
    bpf("write to a BPF map", MAP_UPDATE, &attributes).map(drop)
}

/// Reads a counter of a map whose values are that.
pub(super) fn lookup_counter(map: BorrowedFd<'_>, key: u32) -> Result<u64, SysError> {
    let mut value = 0u64;
    let attributes = element(map, &key, &raw mut value as u64);
    bpf("read a BPF map", MAP_LOOKUP, &attributes).map(|_| value)
}

fn element(map: BorrowedFd<'_>, key: &u32, value: u64) -> ElementAttributes {
    ElementAttributes { map: raw(map), _padding: 0, key: &raw const *key as u64, value, flags: 0 }
}

/// Has the kernel check and take a steering program.
pub(super) fn load(instructions: &[Instruction], asked_for: AskedFor) -> Result<OwnedFd, SysError> {
    let attributes = ProgramAttributes {
        kind: SK_REUSEPORT,
        length: u32::try_from(instructions.len()).expect("a program is short"),
        instructions: instructions.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
        log: [0; 4],
        kernel_version: 0,
        flags: 0,
        name: *b"sockmgr_steer\0\0\0",
        interface: 0,
        asked_for: asked_for as u32,
    };
    bpf("load a BPF program", PROG_LOAD, &attributes).map(owned)
}

/// Gives the group of `member` this program, in place of any other.
pub(super) fn attach(member: BorrowedFd<'_>, program: &impl AsFd) -> Result<(), SysError> {
    let program = program.as_fd().as_raw_fd();
    crate::sockopt::set_int(member, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_EBPF, program)
        .map_err(|source| SysError::new("attach a steering program", source))
}
