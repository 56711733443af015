//! Connections to our own listeners, to find out whether somebody serves there.
//!
//! What never lives here: what is said over them. One invariant: no call waits for the server, and none for longer than a moment.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect, getsockname, getsockopt,
    socket, sockopt,
};

use crate::error::SysError;
use crate::listener::ListenAddress;

/// How long a connection within this machine may take. The kernel makes it while we wait; only its load delays that.
const MOMENT_MS: u8 = 20;

/// A socket that is to be connected.
#[derive(Debug)]
pub struct Prepared {
    fd: OwnedFd,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Inet(SockaddrStorage),
    Unix(UnixAddr),
}

/// A socket with an address of its own that is to be connected to a listener of this machine.
///
/// # Errors
/// The cause.
pub fn prepare(listener: &ListenAddress) -> Result<Prepared, SysError> {
    let failed = |errno| SysError::new("make a connection of our own", errno);
    let target = target(listener).map_err(failed)?;
    let family = match listener {
        ListenAddress::Inet(SocketAddr::V4(_)) => AddressFamily::Inet,
        ListenAddress::Inet(SocketAddr::V6(_)) => AddressFamily::Inet6,
        _ => AddressFamily::Unix,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None).map_err(failed)?;
    if let ListenAddress::Inet(address) = listener {
        let own: SockaddrStorage = SocketAddr::new(reachable(address.ip()), 0).into();
        bind(fd.as_raw_fd(), &own).map_err(failed)?;
    }
    Ok(Prepared { fd, target })
}

impl Prepared {
    /// The port that the connection will come from; `None` but for IPv4 and IPv6.
    #[must_use]
    pub fn source_port(&self) -> Option<u16> {
        let own: SockaddrStorage = getsockname(self.fd.as_raw_fd()).ok()?;
        let v4 = own.as_sockaddr_in().map(|own| own.port());
        v4.or_else(|| own.as_sockaddr_in6().map(|own| own.port()))
    }

    /// Connects: from then on it is in the queue of a listener. The descriptor does not block.
    ///
    /// # Errors
    /// The cause; `EAGAIN` or `ETIMEDOUT` where the queue is full.
    pub fn connect(self) -> Result<OwnedFd, SysError> {
        let failed = |source: io::Error| SysError::new("connect to our own listener", source);
        let begun = match &self.target {
            Target::Inet(target) => connect(self.fd.as_raw_fd(), target),
            Target::Unix(target) => connect(self.fd.as_raw_fd(), target),
        };
        match begun {
            Ok(()) => return Ok(self.fd),
            Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
        let mut waiting = [PollFd::new(self.fd.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut waiting, PollTimeout::from(MOMENT_MS)) {
            Ok(0) => return Err(failed(io::ErrorKind::TimedOut.into())),
            Ok(_) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
        match getsockopt(&self.fd, sockopt::SocketError) {
            Ok(0) => Ok(self.fd),
            Ok(errno) => Err(failed(io::Error::from_raw_os_error(errno))),
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

fn target(listener: &ListenAddress) -> nix::Result<Target> {
    match listener {
        ListenAddress::Inet(address) => {
            Ok(Target::Inet(SocketAddr::new(reachable(address.ip()), address.port()).into()))
        }
        ListenAddress::UnixPath(path) => UnixAddr::new(path).map(Target::Unix),
        ListenAddress::UnixAbstract(name) => UnixAddr::new_abstract(name).map(Target::Unix),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// Nobody can connect to "all addresses"; but loopback is among them.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};

    use super::*;

    #[test]
    fn it_waits_in_the_queue_and_comes_from_where_it_says() {
        for host in ["127.0.0.1", "0.0.0.0", "[::1]", "[::]"] {
            let listener = TcpListener::bind(format!("{host}:0")).unwrap();
            let prepared = prepare(&ListenAddress::Inet(listener.local_addr().unwrap())).unwrap();
            let port = prepared.source_port().unwrap();
            let _ours = prepared.connect().unwrap();
            assert_eq!(listener.accept().unwrap().1.port(), port, "{host}");
        }
    }

    #[test]
    fn unix_sockets_are_reached_by_path_and_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let _ours = prepare(&ListenAddress::UnixPath(path)).unwrap().connect().unwrap();
        listener.accept().unwrap();
        let name = format!("sockmgr-probe-{}", std::process::id()).into_bytes();
        let listener = UnixListener::bind_addr(&UnixAddress::from_abstract_name(&name).unwrap()).unwrap();
        let prepared = prepare(&ListenAddress::UnixAbstract(name)).unwrap();
        assert_eq!(prepared.source_port(), None);
        let _ours = prepared.connect().unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn nobody_there_is_an_error() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = prepare(&ListenAddress::Inet(address)).unwrap().connect().unwrap_err();
        assert_eq!(error.errno(), libc::ECONNREFUSED);
    }
}
