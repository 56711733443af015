//! Whether anybody came to a listener since it was last asked: also whoever was accepted at once, and has left by now.
//!
//! An epoll set does not tell: it looks again before it reports, and what was accepted meanwhile is not there any more. Nor does the
//! kernel count. But it signals (fcntl(2), `F_SETSIG`; `FIOASYNC`), and a signal stays. What never lives here: what an arrival means.
//! Invariant: each call of [`Arrivals::arm`] costs its listener's clients one signal at most, so a busy one costs nothing.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::c_int;

use crate::error::{SysError, check};

/// `struct f_owner_ex` (fcntl(2)): signals go to this thread, the one that has them blocked.
#[repr(C)]
struct Owner {
    kind: c_int,
    thread: libc::pid_t,
}

const F_SETSIG: c_int = 10;
const F_SETOWN_EX: c_int = 15;
const F_OWNER_TID: c_int = 0;

/// Signals of listeners, as something to read. Of the thread that made it.
#[derive(Debug)]
pub struct Arrivals {
    fd: OwnedFd,
}

/// Where something came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Listeners, by the numbers of the descriptors that were armed.
    pub fds: Vec<RawFd>,
    /// There were more than the kernel had room for: it may have been any.
    pub is_anywhere: bool,
}

impl Arrivals {
    /// Blocks the signals in this thread and collects them.
    ///
    /// # Errors
    /// The cause.
    pub fn new() -> Result<Self, SysError> {
        let mut signals = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `signals` is writable and outlives the calls; the first one fills it in, and both numbers are signals.
        unsafe {
            libc::sigemptyset(signals.as_mut_ptr());
            libc::sigaddset(signals.as_mut_ptr(), signal());
            // Sent in its place where the queue of signals is full.
            libc::sigaddset(signals.as_mut_ptr(), libc::SIGIO);
            libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), ptr::null_mut());
        }
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set was filled in above and outlives the call.
        let fd = check("collect arrivals", unsafe { libc::signalfd(-1, signals.as_ptr(), flags) })?;
        // SAFETY: just made, and owned by nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Has the next arrival reported, and those after it until [`Self::disarm`].
    ///
    /// # Errors
    /// The cause; `ENOTTY` for what cannot signal, as message queues.
    pub fn arm(&self, listener: BorrowedFd<'_>) -> Result<(), SysError> {
        // An earlier manager may have left it on, with a number of its own.
        self.disarm(listener)?;
        let (fd, step) = (listener.as_raw_fd(), "ask for arrivals");
        // SAFETY: a plain call.
        let owner = Owner { kind: F_OWNER_TID, thread: unsafe { libc::gettid() } };
        // SAFETY: reads an owner that outlives the call.
        check(step, unsafe { libc::fcntl(fd, F_SETOWN_EX, &raw const owner) })?;
        // SAFETY: plain numbers.
        check(step, unsafe { libc::fcntl(fd, F_SETSIG, signal()) })?;
        set_async(listener, true)
    }

    /// No more reports. Services that have the same open file notice nothing.
    ///
    /// # Errors
    /// The cause.
    pub fn disarm(&self, listener: BorrowedFd<'_>) -> Result<(), SysError> {
        set_async(listener, false)
    }

    /// All that came since the last call.
    ///
    /// # Errors
    /// The cause.
    pub fn take(&self) -> Result<Arrived, SysError> {
        let mut arrived = Arrived::default();
        while let Some(info) = self.next()? {
            match c_int::try_from(info.ssi_signo) {
                Ok(libc::SIGIO) | Err(_) => arrived.is_anywhere = true,
                Ok(_) if arrived.fds.contains(&info.ssi_fd) => {}
                Ok(_) => arrived.fds.push(info.ssi_fd),
            }
        }
        Ok(arrived)
    }

    fn next(&self) -> Result<Option<libc::signalfd_siginfo>, SysError> {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        // SAFETY: `SIZE` writable bytes that outlive the call.
        let count = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), SIZE) };
        if usize::try_from(count) == Ok(SIZE) {
            // SAFETY: zeroed is valid, and the kernel has filled it in.
            return Ok(Some(unsafe { info.assume_init() }));
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            error => Err(SysError::new("read arrivals", error)),
        }
    }
}

impl AsFd for Arrivals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// One that is queued, with the descriptor's number.
fn signal() -> c_int {
    libc::SIGRTMIN()
}

/// Not by `F_SETFL`, which would write the flags that somebody else is about to change at this moment, such as `O_NONBLOCK`.
fn set_async(fd: BorrowedFd<'_>, is_on: bool) -> Result<(), SysError> {
    let value = c_int::from(is_on);
    // SAFETY: reads an int that outlives the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIOASYNC, &raw const value) };
    check("switch arrivals on or off", result).map(drop)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn whoever_came_and_left_is_reported_once() {
        let arrivals = Arrivals::new().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let unix = UnixListener::bind(directory.path().join("a.sock")).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let visit = || {
            drop(TcpStream::connect(tcp.local_addr().unwrap()).unwrap());
            drop(tcp.accept().unwrap());
        };
        let nobody = Arrived::default();
        let only = |fd: RawFd| Arrived { fds: vec![fd], is_anywhere: false };
        visit();
        assert_eq!(arrivals.take().unwrap(), nobody, "nobody has asked");
        arrivals.arm(tcp.as_fd()).unwrap();
        visit();
        visit();
        assert_eq!(arrivals.take().unwrap(), only(tcp.as_raw_fd()));
        arrivals.disarm(tcp.as_fd()).unwrap();
        assert!(arrivals.take().unwrap().fds.len() < 2);
        visit();
        assert_eq!(arrivals.take().unwrap(), nobody);

        arrivals.arm(unix.as_fd()).unwrap();
        arrivals.arm(unix.as_fd()).unwrap();
        drop(UnixStream::connect(directory.path().join("a.sock")).unwrap());
        drop(unix.accept().unwrap());
        assert_eq!(arrivals.take().unwrap(), only(unix.as_raw_fd()));

        arrivals.arm(udp.as_fd()).unwrap();
        udp.send_to(b"hello", udp.local_addr().unwrap()).unwrap();
        udp.recv(&mut [0; 8]).unwrap();
        assert_eq!(arrivals.take().unwrap(), only(udp.as_raw_fd()));
    }
}
