//! Migration: what waits in the queue of one listener of a TCP group goes over to its siblings.
//!
//! The kernel does that when a listener goes away, if it was told that it may (`net.ipv4.tcp_migrate_req`, Linux 5.14), or if an
//! eBPF program says where to ([`crate::steering`]). What never lives here: whether a listener can be spared. One invariant: a
//! setting is that of the network namespace of the listener, which need not be ours.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use crate::error::{SysError, check};
use crate::netns;

/// The setting (networking/ip-sysctl.rst of the kernel's documentation): half-open and waiting connections survive the end of
/// their listener.
const MIGRATE_REQUESTS: &str = "/proc/sys/net/ipv4/tcp_migrate_req";

/// Takes `listener` out of its group, and hands over what waits in its queue, half-open connections included: it is shut down, and has to
/// be made to listen again ([`crate::listener::listen_again`]). One that is shut down already is left alone.
///
/// The last member of the group takes its place; when it listens again it comes last: kernel indexes change as by `Vec::swap_remove` and
/// `push`. Without migration, or without another member, every waiting client gets a reset instead. A process that waits in accept(2) on
/// it gets `EINVAL`. The port must have been asked for by its number: one that the kernel chose is given up.
///
/// # Errors
/// The cause.
pub fn hand_over(listener: BorrowedFd<'_>) -> Result<(), SysError> {
    // SAFETY: plain numbers.
    let result = unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RD) };
    match check("shut the listener down", result) {
        Err(error) if error.errno() != libc::ENOTCONN => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether the network namespace of `listener` lets connections migrate. A kernel that does not know the setting does not.
///
/// # Errors
/// The namespace is not ours, and we may not enter it; or the setting cannot be read.
pub fn migrates_requests(listener: BorrowedFd<'_>) -> Result<bool, SysError> {
    netns::within(listener, || match fs::read_to_string(MIGRATE_REQUESTS) {
        Ok(value) => Ok(value.trim() != "0"),
        Err(_) if !Path::new(MIGRATE_REQUESTS).exists() => Ok(false),
        Err(source) => Err(SysError::new("read net.ipv4.tcp_migrate_req", source)),
    })
}

/// Lets connections migrate in the network namespace of `listener`. That holds for every listener there, whoever's it is.
///
/// # Errors
/// The cause; `EPERM` or `EACCES` without CAP_NET_ADMIN, `ENOENT` before Linux 5.14.
pub fn let_requests_migrate(listener: BorrowedFd<'_>) -> Result<(), SysError> {
    netns::within(listener, || {
        fs::write(MIGRATE_REQUESTS, "1")
            .map_err(|source| SysError::new("set net.ipv4.tcp_migrate_req", source))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::{AsFd, OwnedFd};

    use super::*;
    use crate::listener::{self, ListenAddress, ListenerSpec, SocketKind};
    use crate::netns::tests::in_new_namespace;
    use crate::queue;
    use crate::steering::{self, Program, Share, Steering};
    use crate::wait::until;

    /// Two members at a port that was asked for: one that the kernel chose is given up with shutdown(2).
    fn pair() -> (OwnedFd, OwnedFd, SocketAddr) {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut spec = ListenerSpec::new(SocketKind::Stream, ListenAddress::Inet(address));
        spec.reuse_port = true;
        let open = || listener::open(&spec).unwrap().fd;
        (open(), open(), address)
    }

    fn migrate(listener: &OwnedFd) {
        hand_over(listener.as_fd()).unwrap();
        // Once more changes nothing.
        hand_over(listener.as_fd()).unwrap();
        listener::listen_again(listener.as_fd(), 128).unwrap();
    }

    fn waiting(fd: &OwnedFd) -> u32 {
        queue::level(fd.as_fd()).unwrap().unwrap().used
    }

    fn steer(member: &OwnedFd, index: u16) {
        steering::attach(member.as_fd(), &Program::compile(Steering::Hash, &[Share::equal(index)]).unwrap())
            .unwrap();
    }

    #[test]
    fn waiting_clients_are_answered_by_the_sibling() {
        in_new_namespace(|| {
            let (first, second, address) = pair();
            assert!(!migrates_requests(first.as_fd()).unwrap(), "it is off in a new namespace");
            let_requests_migrate(first.as_fd()).unwrap();
            assert!(migrates_requests(first.as_fd()).unwrap());
            steer(&second, 0);
            let mut clients: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
            until(&(20, 0), || (waiting(&first), waiting(&second)));
            migrate(&first);
            until(&(0, 20), || (waiting(&first), waiting(&second)));
            let server = TcpListener::from(second);
            for client in &mut clients {
                server.accept().unwrap().0.write_all(b"x").unwrap();
                client.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
            }
            for client in &mut clients {
                client.read_exact(&mut [0]).unwrap();
            }
        });
    }

    #[test]
    fn the_listener_comes_back_as_the_last_member() {
        in_new_namespace(|| {
            let (first, second, address) = pair();
            migrate(&first);
            for (index, member) in [(0, &second), (1, &first)] {
                steer(&second, index);
                let before = waiting(member);
                let _client = TcpStream::connect(address).unwrap();
                until(&(index, before + 1), || (index, waiting(member)));
            }
        });
    }

    #[test]
    fn without_migration_waiting_clients_are_reset() {
        in_new_namespace(|| {
            let (first, second, address) = pair();
            steer(&second, 0);
            let mut client = TcpStream::connect(address).unwrap();
            until(&1, || waiting(&first));
            migrate(&first);
            assert_eq!(client.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
            assert_eq!(waiting(&second), 0);
        });
    }
}
