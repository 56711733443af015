//! The error of this crate: which step failed, and how.

use std::io;

/// A system call that failed: the step it served, and the kernel's answer as the cause.
///
/// The object (path, address, unit) is not named here; the caller, who knows it, adds it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}")]
pub struct SysError {
    /// What was being done, as a verb phrase: "set O_NONBLOCK".
    pub step: &'static str,
    /// The cause.
    pub source: io::Error,
}

impl SysError {
    /// An error for `step` with the cause `source`.
    pub fn new(step: &'static str, source: impl Into<io::Error>) -> Self {
        Self { step, source: source.into() }
    }

    /// The current thread's `errno` as the cause of `step`.
    pub(crate) fn last_os(step: &'static str) -> Self {
        Self::new(step, io::Error::last_os_error())
    }

    /// The kernel's error number, 0 where the cause did not come from the kernel.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}

/// Turns the `-1` of a system call into the error of `step`.
pub(crate) fn check(step: &'static str, result: libc::c_int) -> Result<libc::c_int, SysError> {
    if result < 0 { Err(SysError::last_os(step)) } else { Ok(result) }
}

/// [`check`] for the calls that answer with a size.
pub(crate) fn check_size(step: &'static str, result: libc::ssize_t) -> Result<usize, SysError> {
    usize::try_from(result).map_err(|_| SysError::last_os(step))
}
