//! The stack the child runs on until `execve`: mapped once, used by one child at a time.

use std::ffi::c_void;
use std::ptr;

use crate::error::SysError;

/// Enough for the child even in a debug build, and where it makes mounts; what is not touched is not there.
const STACK_SIZE: usize = 256 * 1024;
/// Below the stack, without access: running over it kills the child instead of writing into the keeper's memory.
const GUARD_SIZE: usize = 64 * 1024;

/// A mapped stack with a guard below it.
#[derive(Debug)]
pub(super) struct ChildStack {
    base: *mut c_void,
}

impl ChildStack {
    pub(super) fn new() -> Result<Self, SysError> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), GUARD_SIZE + STACK_SIZE, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(SysError::last_os("map a stack"));
        }
        let stack = Self { base };
        // SAFETY: the range lies within the mapping just made.
        let result = unsafe {
            libc::mprotect(base.byte_add(GUARD_SIZE), STACK_SIZE, libc::PROT_READ | libc::PROT_WRITE)
        };
        if result < 0 { Err(SysError::last_os("open up a stack")) } else { Ok(stack) }
    }

    /// The highest address: stacks grow down on every machine Linux has but one (PA-RISC).
    pub(super) fn top(&mut self) -> *mut c_void {
        // SAFETY: one past the end of the mapping, page-aligned.
        unsafe { self.base.byte_add(GUARD_SIZE + STACK_SIZE) }
    }
}

impl Drop for ChildStack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no child uses it any more: `clone_and_exec` outlasts each child's use.
        unsafe { libc::munmap(self.base, GUARD_SIZE + STACK_SIZE) };
    }
}

// SAFETY: the mapping belongs to this value alone, and nothing in it depends on a thread.
unsafe impl Send for ChildStack {}
