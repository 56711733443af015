//! The heap of this process.

/// Gives memory that is free in the heap back to the system: after a start that needed more than what follows will.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time; it takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
