//! Where a socket listens, as the kernel knows it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use libc::c_int;
use nix::sys::socket::{SockaddrStorage, UnixAddr, getsockname};

use crate::error::SysError;

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// IPv4 or IPv6, with the scope id in it.
    Inet(SocketAddr),
    /// A path in the file system.
    UnixPath(PathBuf),
    /// A name in the abstract namespace, without the leading NUL byte.
    UnixAbstract(Vec<u8>),
    /// A port of a virtual machine (vsock(7)).
    Vsock {
        /// Whose: `VMADDR_CID_ANY` is anybody's.
        cid: u32,
        /// The port.
        port: u32,
    },
    /// Multicast groups of a netlink family (netlink(7)).
    Netlink {
        /// `NETLINK_*`.
        family: c_int,
        /// The groups, one bit each (`nl_groups`).
        groups: u32,
    },
}

impl ListenAddress {
    /// Domain and protocol for socket(2).
    pub(super) fn family(&self) -> (c_int, c_int) {
        match self {
            Self::Inet(SocketAddr::V4(_)) => (libc::AF_INET, 0),
            Self::Inet(SocketAddr::V6(_)) => (libc::AF_INET6, 0),
            Self::UnixPath(_) | Self::UnixAbstract(_) => (libc::AF_UNIX, 0),
            Self::Vsock { .. } => (libc::AF_VSOCK, 0),
            Self::Netlink { family, .. } => (libc::AF_NETLINK, *family),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::UnixPath(path) => path.display().fmt(f),
            Self::UnixAbstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
            Self::Vsock { cid: libc::VMADDR_CID_ANY, port } => write!(f, "vsock::{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Netlink { family, groups } => write!(f, "netlink family {family}, groups {groups}"),
        }
    }
}

/// The address that a bare port stands for: every IPv6 address, and with it every IPv4 one; IPv4 alone where the kernel has no IPv6.
#[must_use]
pub fn any_address(port: u16) -> SocketAddr {
    if Path::new("/proc/net/if_inet6").exists() {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
    } else {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
    }
}

/// The address a socket is bound to (with the port the kernel chose, where 0 was asked for).
///
/// # Errors
/// The cause; `EAFNOSUPPORT` for a family that [`ListenAddress`] does not have, and for a unix socket without a name.
pub fn local_address(fd: BorrowedFd<'_>) -> Result<ListenAddress, SysError> {
    let failed = |errno: nix::Error| SysError::new("ask for the socket's address", errno);
    let address = getsockname::<SockaddrStorage>(fd.as_raw_fd()).map_err(failed)?;
    if let Some(v4) = address.as_sockaddr_in() {
        return Ok(ListenAddress::Inet(SocketAddr::V4((*v4).into())));
    }
    if let Some(v6) = address.as_sockaddr_in6() {
        return Ok(ListenAddress::Inet(SocketAddr::V6((*v6).into())));
    }
    if let Some(vsock) = address.as_vsock_addr() {
        return Ok(ListenAddress::Vsock { cid: vsock.cid(), port: vsock.port() });
    }
    let unix = address.as_unix_addr();
    let name = unix.and_then(UnixAddr::as_abstract).map(|name| ListenAddress::UnixAbstract(name.to_vec()));
    let path = || unix.and_then(UnixAddr::path).map(|path| ListenAddress::UnixPath(path.to_path_buf()));
    name.or_else(path).ok_or_else(|| failed(nix::Error::EAFNOSUPPORT))
}
