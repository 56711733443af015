//! Opening and closing listening sockets.
//!
//! What never lives here: names of users, unit files, the options that are set after `listen` ([`crate::options`]).
//! One invariant: nothing that is not a socket is ever removed from the file system.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::error::SysError;

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

/// Opens the socket of `spec`, in the order of calls that systemd has.
///
/// # Errors
/// [`ListenError`] with the step; nothing stays behind but parent directories.
pub fn open(spec: &ListenerSpec) -> Result<Listener, ListenError> {
    unimplemented!("{spec:?}")
}

/// Removes the node of a unix path if it is still the one that was bound. Answers whether it was.
///
/// # Errors
/// The cause when the node is ours and cannot be removed.
pub fn remove(node: &UnixNode) -> Result<bool, SysError> {
    unimplemented!("{node:?}")
}

/// Sets or clears `O_NONBLOCK`. The flag belongs to the open file, which all duplicates share.
///
/// # Errors
/// The cause.
pub fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> Result<(), SysError> {
    unimplemented!("{fd:?} {nonblocking}")
}

/// The address a socket is bound to (with the port the kernel chose, where 0 was asked for).
///
/// # Errors
/// The cause; `EAFNOSUPPORT` for a family that [`ListenAddress`] does not have.
pub fn local_address(fd: BorrowedFd<'_>) -> Result<ListenAddress, SysError> {
    unimplemented!("{fd:?}")
}
