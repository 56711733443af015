//! `sendmsg` and `recvmsg` with descriptors and credentials. The one place that reads and writes control messages.
//!
//! One invariant: a received descriptor is owned from the moment the kernel made it, whatever else the message was.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// The most descriptors the kernel takes along with one message (`SCM_MAX_FD`).
pub(crate) const SCM_MAX_FD: usize = 253;

/// Room for the control messages of one packet: descriptors, and credentials with a little to spare.
const CONTROL_BYTES: usize = 1536;
// SAFETY: computes sizes only.
const _: () = assert!(unsafe {
    libc::CMSG_SPACE((SCM_MAX_FD * size_of::<RawFd>()) as u32)
        + libc::CMSG_SPACE(size_of::<libc::ucred>() as u32)
        <= CONTROL_BYTES as u32
});

/// Aligned as control messages must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

impl Control {
    fn new() -> Self {
        Self([0; CONTROL_BYTES])
    }

    fn as_mut_ptr(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }
}

/// What came with the bytes of one message.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// How many bytes were written to the buffer.
    pub(crate) length: usize,
    /// The message was longer than the buffer.
    pub(crate) truncated: bool,
    /// Sender, as the kernel knows it, where the socket has `SO_PASSCRED`.
    pub(crate) credentials: Option<libc::ucred>,
}

/// Sends one message without blocking and without `SIGPIPE`.
pub(crate) fn send<F: AsFd>(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[F]) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control::new();
    let mut message = empty_message();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        attach_fds(&mut message, &mut control, fds)?;
    }
    // SAFETY: `message` points at `part` (the bytes, only read) and `control`, which outlive the call.
    let sent = unsafe {
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn attach_fds<F: AsFd>(message: &mut libc::msghdr, control: &mut Control, fds: &[F]) -> io::Result<()> {
    if fds.len() > SCM_MAX_FD {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let bytes = u32::try_from(size_of::<RawFd>() * fds.len()).expect("at most 253 descriptors");
    message.msg_control = control.as_mut_ptr();
    // SAFETY: computes a size only.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(bytes) } as _;
    // SAFETY: the assertion above says that 253 descriptors fit into `control`, which is aligned for a header and
    // stays where it is; the descriptors are written one by one behind the header.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        (*header).cmsg_len = libc::CMSG_LEN(bytes) as _;
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        let first = libc::CMSG_DATA(header).cast::<RawFd>();
        for (index, fd) in fds.iter().enumerate() {
            first.add(index).write_unaligned(fd.as_fd().as_raw_fd());
        }
    }
    Ok(())
}

/// Takes one message without blocking; its descriptors, close-on-exec, are added to `fds`.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<Received> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control::new();
    let mut message = empty_message();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr();
    message.msg_controllen = CONTROL_BYTES as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: `message` points at `part` (the buffer) and `control`, writable and alive.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let credentials = take_control(&message, fds);
    Ok(Received { length, truncated: message.msg_flags & libc::MSG_TRUNC != 0, credentials })
}

/// Takes what the kernel has put into the control buffer of a received message.
fn take_control(message: &libc::msghdr, fds: &mut Vec<OwnedFd>) -> Option<libc::ucred> {
    let mut credentials = None;
    // SAFETY: the kernel has filled the buffer in; the macro stays within `msg_controllen`.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null or a whole header within the buffer.
    while let Some(current) = unsafe { header.as_ref() } {
        // SAFETY: computes a size and an address within the buffer.
        let (start, header_length) = unsafe { (libc::CMSG_DATA(header), libc::CMSG_LEN(0) as usize) };
        // The field's type differs between C libraries.
        let with_header: usize = current.cmsg_len as _;
        let length = with_header.saturating_sub(header_length);
        match (current.cmsg_level, current.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for index in 0..length / size_of::<RawFd>() {
                    // SAFETY: within this control message; the kernel made the descriptor for us alone.
                    fds.push(unsafe {
                        OwnedFd::from_raw_fd(start.cast::<RawFd>().add(index).read_unaligned())
                    });
                }
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
                // SAFETY: within this control message, and long enough.
                credentials = Some(unsafe { start.cast::<libc::ucred>().read_unaligned() });
            }
            _ => {}
        }
        // SAFETY: as for the first one.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    credentials
}

fn empty_message() -> libc::msghdr {
    // SAFETY: all-zero is a valid message: no address, no parts, no control.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// A pair of connected sockets, close-on-exec and non-blocking.
pub(crate) fn pair(kind: c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: room for two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ptr::from_mut(&mut ends).cast()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both just made, and owned by nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}
