//! `getsockopt` and `setsockopt` of integers and bytes. The one place that calls them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_void, socklen_t};

/// Sets an option that is a C `int`.
pub(crate) fn set_int(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    set_bytes(fd, level, name, &value.to_ne_bytes())
}

/// Sets an option to bytes that the kernel reads as they are.
pub(crate) fn set_bytes(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: &[u8]) -> io::Result<()> {
    let length = socklen_t::try_from(value.len()).expect("option values are a few bytes");
    // SAFETY: `value` is `length` readable bytes that outlive the call.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast::<c_void>(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads an option that is a C `int`.
pub(crate) fn get_int(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut words = [0u32; 1];
    get_words(fd, level, name, &mut words)?;
    Ok(words[0].cast_signed())
}

/// Reads an option of up to 16 bytes as the kernel has it.
pub(crate) fn get_bytes(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<Vec<u8>> {
    let mut words = [0u32; 4];
    let count = get_words(fd, level, name, &mut words)?;
    Ok(words.iter().take(count).flat_map(|word| word.to_ne_bytes()).collect())
}

/// A new socket of the same family, type and protocol, which nothing was set of.
pub(crate) fn sibling(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let get = |name| get_int(fd, libc::SOL_SOCKET, name);
    let (family, kind, protocol) = (get(libc::SO_DOMAIN)?, get(libc::SO_TYPE)?, get(libc::SO_PROTOCOL)?);
    // SAFETY: makes a descriptor and touches no memory.
    let new = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    if new < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was made just now and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Reads an option into 32-bit words; answers how many whole words the kernel has written.
pub(crate) fn get_words(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    words: &mut [u32],
) -> io::Result<usize> {
    let mut length = socklen_t::try_from(size_of_val(words)).expect("option values are a few bytes");
    // SAFETY: `words` is `length` writable bytes and any bit pattern is a u32; `length` outlives the call.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, words.as_mut_ptr().cast::<c_void>(), &raw mut length)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(length as usize / size_of::<u32>()) }
}
