//! Network namespaces of sockets: doing something where a socket lives.
//!
//! What never lives here: making namespaces. One invariant: the thread that asks stays where it is.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::thread;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::error::{SysError, check};
use crate::sockopt;

/// `SIOCGSKNS` (linux/sockios.h, Linux 4.10): a descriptor of the namespace that a socket is in. Needs CAP_NET_ADMIN there.
const SIOCGSKNS: libc::Ioctl = 0x894c;
/// `SO_NETNS_COOKIE` (asm-generic/socket.h, Linux 5.14): a number for that namespace. Needs nothing.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Runs `work` in the network namespace of `socket`: on this thread where that is ours, else on another one that enters it.
///
/// # Errors
/// Those of `work`; or the namespace is not ours and cannot be entered (that needs CAP_NET_ADMIN in it and CAP_SYS_ADMIN).
pub(crate) fn within<T: Send>(
    socket: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T, SysError> + Send,
) -> Result<T, SysError> {
    if is_ours(socket) {
        return work();
    }
    let namespace = namespace_of(socket)?;
    let visit = || {
        setns(&namespace, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| SysError::new("enter the socket's network namespace", errno))?;
        work()
    };
    let gone = || SysError::new("enter the socket's network namespace", io::Error::other("the thread died"));
    thread::scope(|scope| {
        let visitor = thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, visit);
        let visitor = visitor.map_err(|source| SysError::new("make a thread", source))?;
        visitor.join().unwrap_or_else(|_| Err(gone()))
    })
}

/// Whether `socket` is in our namespace. A kernel too old to say so gets the benefit of the doubt.
fn is_ours(socket: BorrowedFd<'_>) -> bool {
    let Ok(theirs) = cookie(socket) else { return true };
    let own = new_socket(AddressFamily::Unix, SockType::Datagram);
    own.is_ok_and(|own| cookie(own.as_fd()).is_ok_and(|ours| ours == theirs))
}

fn new_socket(family: AddressFamily, kind: SockType) -> io::Result<OwnedFd> {
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?)
}

fn cookie(socket: BorrowedFd<'_>) -> io::Result<[u32; 2]> {
    let mut words = [0; 2];
    sockopt::get_words(socket, libc::SOL_SOCKET, SO_NETNS_COOKIE, &mut words)?;
    Ok(words)
}

fn namespace_of(socket: BorrowedFd<'_>) -> Result<OwnedFd, SysError> {
    // SAFETY: plain numbers; the request takes no argument and answers a new descriptor, close-on-exec.
    let fd = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS) };
    let fd = check("find the socket's network namespace", fd)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes loopback work in this process's namespace, if that is new.
pub(crate) fn raise_loopback() -> io::Result<()> {
    let socket = new_socket(AddressFamily::Inet, SockType::Datagram)?;
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l'.cast_signed();
    request.ifr_name[1] = b'o'.cast_signed();
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: an ifreq that outlives the call is what the request takes.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::TcpListener;

    use nix::sched::unshare;

    use super::*;

    /// Runs `test` in a network namespace of its own, with loopback up. Needs root, as CI has.
    pub(crate) fn in_new_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
        let visit = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            raise_loopback().unwrap();
            test()
        };
        thread::scope(|scope| match scope.spawn(visit).join() {
            Ok(answer) => answer,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    #[test]
    fn work_is_done_where_the_socket_is() {
        let bound = || (TcpListener::bind("127.0.0.1:0").unwrap(), namespace());
        let (ours, here) = bound();
        let (theirs, there) = in_new_namespace(bound);
        assert_ne!(here, there);
        assert_eq!(within(theirs.as_fd(), || Ok(namespace())).unwrap(), there);
        assert_eq!(within(ours.as_fd(), || Ok(namespace())).unwrap(), here);
        assert_eq!(namespace(), here);
    }

    fn namespace() -> std::path::PathBuf {
        std::fs::read_link("/proc/thread-self/ns/net").unwrap()
    }
}
