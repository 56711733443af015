//! Where a child writes why it failed: memory that it shares with the keeper, also when it has the rest of it for itself.

use std::ffi::c_void;
use std::ptr;

use super::child_side::Failure;
use crate::error::SysError;

/// One page, written by one child at a time.
#[derive(Debug)]
pub(super) struct Report {
    page: *mut c_void,
}

const PAGE: usize = 4096;

impl Report {
    pub(super) fn new() -> Result<Self, SysError> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, protection, flags, -1, 0) };
        if page == libc::MAP_FAILED { Err(SysError::last_os("map a page")) } else { Ok(Self { page }) }
    }

    /// The place for a child to write to, with nothing in it.
    pub(super) fn cleared(&mut self) -> *mut Option<Failure> {
        let place = self.page.cast::<Option<Failure>>();
        // SAFETY: the page is ours, aligned and large enough, and no child uses it now.
        unsafe { ptr::write_volatile(place, None) };
        place
    }

    /// What the child has written, once it has left.
    pub(super) fn read(&self) -> Option<Failure> {
        // SAFETY: as above; a value was written by `cleared`. Volatile: the compiler has not seen what the child wrote.
        unsafe { ptr::read_volatile(self.page.cast::<Option<Failure>>()) }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no child uses it any more.
        unsafe { libc::munmap(self.page, PAGE) };
    }
}

// SAFETY: the mapping belongs to this value alone, and nothing in it depends on a thread.
unsafe impl Send for Report {}
