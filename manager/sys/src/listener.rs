//! Opening and closing listening sockets.
//!
//! What never lives here: names of users, unit files, the options that are set after `listen` ([`crate::options`]).
//! One invariant: nothing that is not a socket is ever removed from the file system.

#[cfg(test)]
mod tests;
mod unix_path;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, getsockname, socket,
};

use crate::error::{SysError, check};
use crate::sockopt;

/// A listening socket to be, as plain values (systemd.socket(5) names in brackets).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSpec {
    /// Stream, datagram or sequential packets.
    pub kind: SocketKind,
    /// Where (`ListenStream=` and its like).
    pub address: ListenAddress,
    /// Queue length (`Backlog=`); the kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    /// `SO_REUSEPORT` (`ReusePort=`). Not with unix addresses.
    pub reuse_port: bool,
    /// Whether an IPv6 socket also serves IPv4 (`BindIPv6Only=`).
    pub bind_ipv6_only: BindIpv6Only,
    /// `IP_FREEBIND` (`FreeBind=`).
    pub free_bind: bool,
    /// `IP_TRANSPARENT` (`Transparent=`).
    pub transparent: bool,
    /// Interface name (`BindToDevice=`).
    pub bind_to_device: Option<String>,
    /// Permissions of a unix path, exactly these (`SocketMode=`).
    pub mode: u32,
    /// Permissions of the parent directories that are missing (`DirectoryMode=`).
    pub directory_mode: u32,
    /// Owner of a unix path; `None` leaves it (`SocketUser=`, resolved).
    pub uid: Option<u32>,
    /// Group of a unix path; `None` leaves it (`SocketGroup=`, resolved).
    pub gid: Option<u32>,
}

impl ListenerSpec {
    /// `kind` at `address`; everything else as systemd's defaults.
    #[must_use]
    pub fn new(kind: SocketKind, address: ListenAddress) -> Self {
        Self {
            kind,
            address,
            backlog: i32::MAX.unsigned_abs(),
            reuse_port: false,
            bind_ipv6_only: BindIpv6Only::Default,
            free_bind: false,
            transparent: false,
            bind_to_device: None,
            mode: 0o666,
            directory_mode: 0o755,
            uid: None,
            gid: None,
        }
    }
}

/// The type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
    /// `SOCK_SEQPACKET`; unix addresses only.
    SeqPacket,
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// IPv4 or IPv6, with the scope id in it.
    Inet(SocketAddr),
    /// A path in the file system.
    UnixPath(PathBuf),
    /// A name in the abstract namespace, without the leading NUL byte.
    UnixAbstract(Vec<u8>),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::UnixPath(path) => path.display().fmt(f),
            Self::UnixAbstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
        }
    }
}

/// `IPV6_V6ONLY` of an IPv6 socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BindIpv6Only {
    /// As `net.ipv6.bindv6only` says.
    #[default]
    Default,
    /// IPv4 too.
    Both,
    /// IPv6 only.
    Ipv6Only,
}

/// A socket that is open, and what did not go as asked without being fatal.
#[derive(Debug)]
pub struct Listener {
    /// The socket: bound, listening, close-on-exec, non-blocking.
    pub fd: OwnedFd,
    /// The node of a unix path, for [`remove`].
    pub node: Option<UnixNode>,
    /// Steps that failed and do not matter enough to give up (`ReusePort=`, `FreeBind=`, `Transparent=`).
    pub warnings: Vec<SysError>,
}

/// A unix path as it was bound: the path and the identity of what is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixNode {
    /// The path.
    pub path: PathBuf,
    /// Device number of the node.
    pub device: u64,
    /// Inode number of the node.
    pub inode: u64,
}

/// Why a socket is not open.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A step failed.
    #[error("cannot {step} {address}")]
    Step {
        /// Which: "bind", "listen on", …
        step: &'static str,
        /// For which address.
        address: ListenAddress,
        /// The cause.
        source: io::Error,
    },
    /// Something else is at the path.
    #[error("{path} exists and is not a socket; refusing to remove it")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
}

/// Opens the socket of `spec`, in the order of calls that systemd has (`socket_address_listen`).
///
/// For a unix path the process's umask is changed for a moment: other threads should not create files meanwhile.
///
/// # Errors
/// [`ListenError`] with the step; nothing stays behind but parent directories.
pub fn open(spec: &ListenerSpec) -> Result<Listener, ListenError> {
    let failed = |step| move |source| ListenError::Step { step, address: spec.address.clone(), source };
    let fd = new_socket(spec).map_err(failed("make a socket for"))?;
    let warnings = prepare(spec, fd.as_fd()).map_err(|error| failed(error.step)(error.source))?;
    let node = match &spec.address {
        ListenAddress::Inet(address) => {
            let address = SockaddrStorage::from(*address);
            bind(fd.as_raw_fd(), &address).map_err(|errno| failed("bind")(errno.into()))?;
            None
        }
        ListenAddress::UnixAbstract(name) => {
            let address = UnixAddr::new_abstract(name).map_err(|errno| failed("bind")(errno.into()))?;
            bind(fd.as_raw_fd(), &address).map_err(|errno| failed("bind")(errno.into()))?;
            None
        }
        ListenAddress::UnixPath(path) => Some(unix_path::bind_node(spec, fd.as_fd(), path)?),
    };
    let opened = Listener { fd, node, warnings };
    if let Err(source) = finish(spec, &opened) {
        discard(opened);
        return Err(failed("listen on")(source));
    }
    Ok(opened)
}

/// Finds out whether an internet address is still nobody's, by having it for a moment without `SO_REUSEPORT`.
///
/// With that option set on both sides, which is what a group needs, the kernel lets sockets of one user share an address whoever
/// they belong to: connections would be divided between two strangers, and a steering program, which counts from the first
/// socket of the address, would pick the wrong ones. To be called before the first socket of a group is opened.
///
/// # Errors
/// [`ListenError`]; somebody has the address if its source is `EADDRINUSE`.
pub fn check_unclaimed(spec: &ListenerSpec) -> Result<(), ListenError> {
    let ListenAddress::Inet(address) = spec.address else { return Ok(()) };
    let failed = |step| move |source| ListenError::Step { step, address: spec.address.clone(), source };
    let alone = ListenerSpec { reuse_port: false, ..spec.clone() };
    let fd = new_socket(&alone).map_err(failed("make a socket for"))?;
    prepare(&alone, fd.as_fd()).map_err(|error| failed(error.step)(error.source))?;
    if spec.kind == SocketKind::Datagram {
        // For UDP it means what SO_REUSEPORT does; for TCP only that connections of an earlier listener do not count.
        sockopt::set_int(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 0).map_err(failed("prepare"))?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).map_err(|errno| failed("bind")(errno.into()))
}

fn new_socket(spec: &ListenerSpec) -> io::Result<OwnedFd> {
    let family = match spec.address {
        ListenAddress::Inet(SocketAddr::V4(_)) => AddressFamily::Inet,
        ListenAddress::Inet(SocketAddr::V6(_)) => AddressFamily::Inet6,
        ListenAddress::UnixPath(_) | ListenAddress::UnixAbstract(_) => AddressFamily::Unix,
    };
    let kind = match spec.kind {
        SocketKind::Stream => SockType::Stream,
        SocketKind::Datagram => SockType::Datagram,
        SocketKind::SeqPacket => SockType::SeqPacket,
    };
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?)
}

/// The options that must be set before `bind`; answers those that failed without being fatal.
fn prepare(spec: &ListenerSpec, fd: BorrowedFd<'_>) -> Result<Vec<SysError>, SysError> {
    let mut warnings = Vec::new();
    if let ListenAddress::Inet(address) = spec.address {
        if address.is_ipv6() && spec.bind_ipv6_only != BindIpv6Only::Default {
            let only = (spec.bind_ipv6_only == BindIpv6Only::Ipv6Only).into();
            sockopt::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, only)
                .map_err(|source| SysError::new("set BindIPv6Only= for", source))?;
        }
        if let Some(device) = &spec.bind_to_device {
            sockopt::set_bytes(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device.as_bytes())
                .map_err(|source| SysError::new("set BindToDevice= for", source))?;
        }
        warnings.extend(set_wishes(spec, fd, address));
    }
    sockopt::set_int(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)
        .map_err(|source| SysError::new("set SO_REUSEADDR for", source))?;
    Ok(warnings)
}

/// `ReusePort=`, `FreeBind=` and `Transparent=`: tried, and warned about.
fn set_wishes(spec: &ListenerSpec, fd: BorrowedFd<'_>, address: SocketAddr) -> Vec<SysError> {
    let (level, free_bind, transparent) = match address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_FREEBIND, libc::IP_TRANSPARENT),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_FREEBIND, libc::IPV6_TRANSPARENT),
    };
    let wishes = [
        (spec.reuse_port, "set ReusePort= for", libc::SOL_SOCKET, libc::SO_REUSEPORT),
        (spec.free_bind, "set FreeBind= for", level, free_bind),
        (spec.transparent, "set Transparent= for", level, transparent),
    ];
    let wanted = wishes.into_iter().filter(|(wanted, ..)| *wanted);
    wanted
        .filter_map(|(_, step, level, name)| {
            sockopt::set_int(fd, level, name, 1).err().map(|source| SysError::new(step, source))
        })
        .collect()
}

/// Makes a stream socket listen again after somebody who shares it has shut it down (shutdown(2)).
///
/// # Errors
/// The cause.
pub fn listen_again(fd: BorrowedFd<'_>, backlog: u32) -> Result<(), SysError> {
    listen(fd, backlog).map_err(|source| SysError::new("listen again", source))
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

fn listen(fd: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    // The kernel takes an int; more than its largest means "as much as you allow" all the same.
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    // SAFETY: plain numbers.
    if unsafe { libc::listen(fd.as_raw_fd(), backlog) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// `listen`, and a new modification time on the node: it wakes whoever waits for the path with inotify.
fn finish(spec: &ListenerSpec, opened: &Listener) -> io::Result<()> {
    if spec.kind != SocketKind::Datagram {
        listen(opened.fd.as_fd(), spec.backlog)?;
    }
    opened.node.iter().for_each(|node| unix_path::touch(&node.path));
    Ok(())
}

/// Takes back a socket that cannot listen: its node must not stay as a stale one.
fn discard(opened: Listener) {
    if let Some(node) = &opened.node {
        // The error that brought us here is the one to report.
        let _ = remove(node);
    }
}

/// Removes the node of a unix path if it is still the one that was bound. Answers whether it was.
///
/// # Errors
/// The cause when the node is ours and cannot be removed.
pub fn remove(node: &UnixNode) -> Result<bool, SysError> {
    let is_ours = fs::symlink_metadata(&node.path)
        .is_ok_and(|found| (found.dev(), found.ino()) == (node.device, node.inode));
    if is_ours {
        fs::remove_file(&node.path).map_err(|source| SysError::new("remove the socket's path", source))?;
    }
    Ok(is_ours)
}

/// Sets or clears `O_NONBLOCK`. The flag belongs to the open file, which all duplicates share.
///
/// # Errors
/// The cause.
pub fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> Result<(), SysError> {
    let step = "set O_NONBLOCK";
    // SAFETY: plain numbers.
    let flags = check(step, unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let wanted = if nonblocking { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    if wanted == flags {
        return Ok(());
    }
    // SAFETY: plain numbers.
    check(step, unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, wanted) }).map(drop)
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
    let unix = address.as_unix_addr();
    let name = unix.and_then(UnixAddr::as_abstract).map(|name| ListenAddress::UnixAbstract(name.to_vec()));
    let path = || unix.and_then(UnixAddr::path).map(|path| ListenAddress::UnixPath(path.to_path_buf()));
    name.or_else(path).ok_or_else(|| failed(nix::Error::EAFNOSUPPORT))
}
