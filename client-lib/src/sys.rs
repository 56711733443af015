//! The system calls of this crate: the one file where `unsafe` is allowed.
//! No decision is made here: what a descriptor is *for* is said in `inherited`, what a message means in `notify`.
//! Invariant: an inherited descriptor becomes an `OwnedFd` at most once in the life of the process ([`claim`]).
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Why inherited descriptors could not be claimed; nothing was claimed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// No such descriptor in this process.
    NotOpen(RawFd),
    /// The descriptor is close-on-exec, so it cannot have come through `execve`: other code of this process
    /// opened it, or adopted it before us.
    NotInherited(RawFd),
}

/// Set once the inherited descriptors have owners.
static CLAIMED: Mutex<bool> = Mutex::new(false);

/// Takes ownership of `count` descriptors from `first` up and makes them close-on-exec.
///
/// All or nothing, and only once in a process: what came through `execve` has no owner in Rust yet, and the
/// close-on-exec flag tells it from whatever was opened since.
pub(crate) fn claim(first: RawFd, count: u32) -> Result<Vec<OwnedFd>, ClaimError> {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    if *claimed {
        return Err(ClaimError::NotInherited(first));
    }
    let end = first.saturating_add_unsigned(count);
    for fd in first..end {
        match descriptor_flags(fd) {
            None => return Err(ClaimError::NotOpen(fd)),
            Some(flags) if flags & libc::FD_CLOEXEC != 0 => return Err(ClaimError::NotInherited(fd)),
            Some(_) => {}
        }
    }
    *claimed = true;
    Ok((first..end).map(own).collect())
}

/// The descriptor flags of a number, `None` where it names no open descriptor.
fn descriptor_flags(fd: RawFd) -> Option<i32> {
    // SAFETY: F_GETFD takes no argument and changes nothing, whatever the number is.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    (flags >= 0).then_some(flags)
}

/// Makes an open, inherited descriptor close-on-exec and owned. Only [`claim`] may call it.
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: `claim` saw that the number is open; setting the flag of a descriptor that nobody owns harms nobody.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: `claim` saw an open descriptor without close-on-exec, so it came through `execve` and has no owner in
    // this process, and `claim` succeeds only once, so no second owner comes into being.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// What the kernel says about a socket (socket(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketFacts {
    /// `SO_DOMAIN`, an `AF_*` number.
    pub(crate) domain: i32,
    /// `SO_TYPE`, a `SOCK_*` number.
    pub(crate) kind: i32,
    /// `SO_ACCEPTCONN`: `listen` was called on it.
    pub(crate) listening: bool,
}

/// What the descriptor is as a socket; `None` when it is not one.
pub(crate) fn socket_facts(fd: BorrowedFd<'_>) -> io::Result<Option<SocketFacts>> {
    let domain = match socket_option(fd, libc::SO_DOMAIN) {
        Ok(domain) => domain,
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => return Ok(None),
        Err(error) => return Err(error),
    };
    let kind = socket_option(fd, libc::SO_TYPE)?;
    let listening = socket_option(fd, libc::SO_ACCEPTCONN)? != 0;
    Ok(Some(SocketFacts { domain, kind, listening }))
}

/// Reads an `int` option of level `SOL_SOCKET`.
fn socket_option(fd: BorrowedFd<'_>, option: i32) -> io::Result<i32> {
    let mut value: libc::c_int = 0;
    let mut length = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointers are to live locals, and `length` is the size of the one that is written to.
    check(unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, (&raw mut value).cast(), &raw mut length)
    })?;
    Ok(value)
}

/// Sets the length of a listener's queue; on one that listens already this changes only the length (listen(2)).
pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: no memory is involved, and the descriptor is open as long as it is borrowed.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(drop)
}

/// Makes `number`, one of the standard descriptors 0, 1 and 2, another descriptor of what `source` names.
///
/// # Panics
/// If `number` is not a standard descriptor: those alone have no owner that would be surprised.
pub(crate) fn replace_standard(number: RawFd, source: BorrowedFd<'_>) -> io::Result<()> {
    assert!((0..=2).contains(&number), "only the standard descriptors may be replaced");
    // SAFETY: no Rust value owns descriptors 0 to 2 (std borrows them for 'static), and they stay open.
    check(unsafe { libc::dup2(source.as_raw_fd(), number) }).map(drop)
}

/// The most descriptors that one message of ours carries.
const MAX_SENT: usize = 4;

/// Room for the control message of [`MAX_SENT`] descriptors, aligned as its header must be.
#[repr(C, align(8))]
struct ControlBuffer([u8; 64]);

/// Sends one datagram over a connected unix socket, with descriptors as `SCM_RIGHTS` (unix(7)).
///
/// # Panics
/// If there are more than [`MAX_SENT`] descriptors.
pub(crate) fn send_with_descriptors(
    socket: impl AsFd,
    payload: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    assert!(descriptors.len() <= MAX_SENT, "no message of ours carries that many descriptors");
    let mut control = ControlBuffer([0; 64]);
    let mut part = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
    // SAFETY: all zeroes is a valid `msghdr`: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !descriptors.is_empty() {
        attach(&mut message, &mut control, descriptors);
    }
    loop {
        // SAFETY: `message` points to `part`, `payload` and `control`, which all outlive the call; the kernel only
        // reads them.
        let sent =
            unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
        match check(sent) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

/// Writes the control message that carries `descriptors` and points `message` at it.
fn attach(message: &mut libc::msghdr, control: &mut ControlBuffer, descriptors: &[BorrowedFd<'_>]) {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let size = mem::size_of_val(numbers.as_slice()) as u32;
    // SAFETY: pure arithmetic on the size.
    let (space, length) = unsafe { (libc::CMSG_SPACE(size) as usize, libc::CMSG_LEN(size) as usize) };
    assert!(space <= control.0.len(), "the buffer holds MAX_SENT descriptors");
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = space;
    // SAFETY: the control buffer is `space` bytes at least, zeroed and aligned, so the first header and the
    // `numbers` after it lie within; the two areas do not overlap.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = length;
        ptr::copy_nonoverlapping(numbers.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), size as usize);
    }
}

/// Waits until the other end of a pipe or socket is closed; `false` when `timeout` passed first.
pub(crate) fn wait_for_hang_up(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let deadline = Instant::now().checked_add(timeout);
    loop {
        let left = deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        // Rounded up, so that the last wait is not a busy loop of zero milliseconds.
        let milliseconds = i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        // No event is asked for: a hang-up is always reported.
        let mut polled = libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 };
        // SAFETY: one live `pollfd`, as the count says.
        match check(unsafe { libc::poll(&raw mut polled, 1, milliseconds) }) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// `CLOCK_MONOTONIC` in µs, the clock that `MONOTONIC_USEC=` is measured by (sd_notify(3)).
pub(crate) fn monotonic_usec() -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is to a live local of the right type.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
    assert_eq!(result, 0, "Linux always has CLOCK_MONOTONIC");
    // SAFETY: the call succeeded, so it wrote the value.
    let now = unsafe { now.assume_init() };
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

/// A negative result is an error that `errno` explains.
fn check<T: PartialOrd + Default>(result: T) -> io::Result<T> {
    if result < T::default() { Err(io::Error::last_os_error()) } else { Ok(result) }
}
