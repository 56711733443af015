//! The child's steps that take privileges away: capabilities, secure bits, filters of system calls.
//!
//! The rules of [`super::child_side`] hold here too.

use std::ffi::{c_int, c_long, c_ulong};

use serde::{Deserialize, Serialize};

use super::SpawnStep;
use super::child_side::{Failure, ensure};
use crate::seccomp::{Instruction, Program};

/// What a process may do less than the one that starts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// The capabilities that it can have at most, capability n as bit n; `None`: all.
    pub bounding_set: Option<u64>,
    /// The capabilities that it has although its user is not root.
    pub ambient_set: u64,
    /// `SECBIT_*`.
    pub secure_bits: u32,
    /// Filters of system calls, each with the step at which a start fails that cannot have it. Without `CAP_SYS_ADMIN` they imply
    /// `PR_SET_NO_NEW_PRIVS`.
    pub filters: Vec<(SpawnStep, Program)>,
}

/// More than any kernel knows.
const CAPABILITIES: u32 = 64;
const CAP_SYS_ADMIN: u32 = 21;

/// `struct __user_cap_header_struct`
#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

/// `struct __user_cap_data_struct`, for 32 capabilities.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`
const VERSION: u32 = 0x2008_0522;

impl Confinement {
    /// Whether secure bits and kept capabilities must be there before the user changes.
    fn needs_kept_capabilities(&self) -> bool {
        self.ambient_set != 0 || self.secure_bits != 0
    }

    /// While still the keeper's user: no capability that is not in the set can be got back by running a program.
    pub(super) fn bound(&self) -> Result<(), Failure> {
        let Some(keep) = self.bounding_set else { return Ok(()) };
        for capability in (0..CAPABILITIES).filter(|capability| keep >> capability & 1 == 0) {
            if has(libc::PR_CAPBSET_READ, capability) {
                let dropped = prctl(libc::PR_CAPBSET_DROP, capability.into(), 0) >= 0;
                ensure(SpawnStep::Capabilities, dropped)?;
            }
        }
        change(|half, index| half.inheritable &= word(keep, index))
    }

    /// Before the user changes: capabilities do not go with it.
    pub(super) fn prepare_user(&self, is_root: bool) -> Result<(), Failure> {
        if self.ambient_set != 0 {
            change(|half, index| half.inheritable |= word(self.ambient_set, index))?;
        }
        if self.needs_kept_capabilities() && !is_root {
            set_secure_bits(self.secure_bits | libc::SECBIT_KEEP_CAPS.cast_unsigned())?;
        }
        Ok(())
    }

    /// After the user has changed, which has cleared the ambient set.
    pub(super) fn raise_ambient(&self) -> Result<(), Failure> {
        for capability in (0..CAPABILITIES).filter(|capability| self.ambient_set >> capability & 1 == 1) {
            // What this kernel does not know, nobody can miss.
            if prctl(libc::PR_CAPBSET_READ, capability.into(), 0) >= 0 {
                let raise = libc::PR_CAP_AMBIENT_RAISE as c_ulong;
                let raised = prctl(libc::PR_CAP_AMBIENT, raise, capability.into()) >= 0;
                ensure(SpawnStep::Capabilities, raised)?;
            }
        }
        Ok(())
    }

    /// Sets the secure bits where they are not so already; that takes a privilege.
    pub(super) fn secure(&self) -> Result<(), Failure> {
        // This one is gone with `execve`, and there since the user changed.
        let kept = libc::SECBIT_KEEP_CAPS.cast_unsigned();
        let are_set = current_secure_bits().is_some_and(|bits| bits | kept == self.secure_bits | kept);
        if self.secure_bits == 0 || are_set { Ok(()) } else { set_secure_bits(self.secure_bits) }
    }

    /// Whether filters can be had only by whoever gives up gaining privileges.
    pub(super) fn implies_no_new_privileges(&self) -> bool {
        !self.filters.is_empty() && read().is_none_or(|halves| halves[0].effective >> CAP_SYS_ADMIN & 1 == 0)
    }

    /// The last step but `execve`.
    pub(super) fn filter(&self) -> Result<(), Failure> {
        for (step, Program(instructions)) in &self.filters {
            ensure(*step, load(instructions))?;
        }
        Ok(())
    }
}

fn word(set: u64, index: usize) -> u32 {
    (set >> (32 * index)) as u32
}

fn has(question: c_int, capability: u32) -> bool {
    prctl(question, capability.into(), 0) == 1
}

fn prctl(operation: c_int, second: c_ulong, third: c_ulong) -> c_int {
    let zero: c_ulong = 0;
    // SAFETY: plain numbers; none of the operations that are used here takes a pointer.
    unsafe { libc::prctl(operation, second, third, zero, zero) }
}

fn current_secure_bits() -> Option<u32> {
    u32::try_from(prctl(libc::PR_GET_SECUREBITS, 0, 0)).ok()
}

fn set_secure_bits(bits: u32) -> Result<(), Failure> {
    if current_secure_bits() == Some(bits) {
        return Ok(());
    }
    ensure(SpawnStep::SecureBits, prctl(libc::PR_SET_SECUREBITS, bits.into(), 0) >= 0)
}

fn read() -> Option<[Half; 2]> {
    let header = Header { version: VERSION, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: both structures are as version 3 has them, and outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_capget, &raw const header, halves.as_mut_ptr()) } >= 0;
    done.then_some(halves)
}

/// Changes the child's own capabilities.
fn change(with: impl Fn(&mut Half, usize)) -> Result<(), Failure> {
    let Some(mut halves) = read() else { return Err(Failure::at(SpawnStep::Capabilities)) };
    let before = halves.map(|half| half.inheritable);
    halves.iter_mut().enumerate().for_each(|(index, half)| with(half, index));
    if halves.map(|half| half.inheritable) == before {
        return Ok(());
    }
    let header = Header { version: VERSION, pid: 0 };
    // SAFETY: as for `read`.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, halves.as_ptr()) } >= 0;
    ensure(SpawnStep::Capabilities, done)
}

fn load(instructions: &[Instruction]) -> bool {
    let Ok(len) = u16::try_from(instructions.len()) else { return false };
    let filter = instructions.as_ptr().cast::<libc::sock_filter>().cast_mut();
    let program = libc::sock_fprog { len, filter };
    let mode = c_long::from(libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: an instruction has the layout of sock_filter; pointer and length are those of a slice, and the kernel copies it.
    unsafe { libc::syscall(libc::SYS_seccomp, mode, 0 as c_long, &raw const program) >= 0 }
}
