//! Opening and closing what a socket unit listens on: sockets here, FIFOs, special files, message queues and USB functions in modules
//! of their own.
//!
//! What never lives here: names of users, unit files, the options that are set after `listen` ([`crate::options`]).
//! One invariant: nothing that is not a socket is ever removed from the file system to make room for one.

mod address;
mod fifo;
pub mod link;
mod message_queue;
mod node;
mod special;
#[cfg(test)]
mod tests;
mod unix_path;
mod usb_function;

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use nix::sys::socket::{NetlinkAddr, SockaddrStorage, UnixAddr, VsockAddr, bind};

pub use address::{ListenAddress, any_address, local_address};
pub use fifo::{FifoSpec, open_fifo};
pub use message_queue::{QueueSpec, open_message_queue};
pub use node::{Node, give, remove};
pub use special::open_special;
pub use usb_function::{UsbFunction, open_usb_function};

use crate::error::{SysError, check};
use crate::poll::{Interest, Poll};
use crate::sockopt;

/// A listening socket to be, as plain values (systemd.socket(5) names in brackets).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSpec {
    /// Stream, datagram or sequential packets.
    pub kind: SocketKind,
    /// Where (`ListenStream=` and its like).
    pub address: ListenAddress,
    /// Another protocol than the one the kind stands for (`SocketProtocol=`).
    pub protocol: Option<SocketProtocol>,
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
}

impl ListenerSpec {
    /// `kind` at `address`; everything else as systemd's defaults.
    #[must_use]
    pub fn new(kind: SocketKind, address: ListenAddress) -> Self {
        Self {
            kind,
            address,
            protocol: None,
            backlog: i32::MAX.unsigned_abs(),
            reuse_port: false,
            bind_ipv6_only: BindIpv6Only::Default,
            free_bind: false,
            transparent: false,
            bind_to_device: None,
            mode: 0o666,
            directory_mode: 0o755,
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
    /// `SOCK_RAW`; netlink only.
    Raw,
}

/// A protocol that is not the usual one of its kind of socket. Each goes with some kinds, and without a word leaves the others alone, as
/// in systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketProtocol {
    /// UDP-Lite, for datagrams.
    UdpLite,
    /// SCTP, for streams and sequential packets.
    Sctp,
    /// Multipath TCP, for streams.
    Mptcp,
}

impl SocketProtocol {
    /// The number for socket(2); 0, the usual protocol, for a kind of socket that this one does not go with.
    fn number(self, kind: SocketKind) -> libc::c_int {
        match (self, kind) {
            (Self::UdpLite, SocketKind::Datagram) => libc::IPPROTO_UDPLITE,
            (Self::Sctp, SocketKind::Stream | SocketKind::SeqPacket) => libc::IPPROTO_SCTP,
            (Self::Mptcp, SocketKind::Stream) => libc::IPPROTO_MPTCP,
            (Self::UdpLite | Self::Sctp | Self::Mptcp, _) => 0,
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

/// A descriptor that is open, and what did not go as asked without being fatal.
#[derive(Debug)]
pub struct Listener {
    /// The descriptor: close-on-exec and non-blocking; a socket is bound and listens.
    pub fd: OwnedFd,
    /// More descriptors that are passed right behind it: the other endpoints of a USB function.
    pub auxiliary: Vec<OwnedFd>,
    /// What it is bound to that a name stands for, for [`remove`].
    pub node: Option<Node>,
    /// Steps that failed and do not matter enough to give up (`ReusePort=`, `FreeBind=`, `Transparent=`, `PipeSize=`).
    pub warnings: Vec<SysError>,
}

impl Listener {
    fn new(fd: OwnedFd, node: Option<Node>) -> Self {
        Self { fd, auxiliary: Vec::new(), node, warnings: Vec::new() }
    }
}

/// Why something is not open.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A step failed.
    #[error("cannot {step} {address}")]
    Step {
        /// Which: "bind", "listen on", …
        step: &'static str,
        /// For which address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// Something else is at the path.
    #[error("{path} exists and is not a socket; refusing to remove it")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// What is at the path is of another kind, or its mode or owner is not what it would have been given.
    #[error("{address} exists and is not {wanted} (EEXIST)")]
    Unfit {
        /// The path, or the name of the queue.
        address: String,
        /// What it would have to be.
        wanted: String,
    },
}

impl ListenError {
    /// For `map_err`: the failure of `step` for `address`.
    fn step(step: &'static str, address: &impl fmt::Display) -> impl Fn(io::Error) -> Self {
        move |source| Self::Step { step, address: address.to_string(), source }
    }
}

/// Opens the socket of `spec`, in the order of calls that systemd has (`socket_address_listen`).
///
/// For a unix path the process's umask is changed for a moment: other threads should not create files meanwhile.
///
/// # Errors
/// [`ListenError`] with the step; nothing stays behind but parent directories.
pub fn open(spec: &ListenerSpec) -> Result<Listener, ListenError> {
    let failed = |step| ListenError::step(step, &spec.address);
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
        ListenAddress::Vsock { cid, port } => {
            bind(fd.as_raw_fd(), &VsockAddr::new(*cid, *port))
                .map_err(|errno| failed("bind")(errno.into()))?;
            None
        }
        ListenAddress::Netlink { groups, .. } => {
            // Process id 0: the kernel chooses a port of its own.
            let address = NetlinkAddr::new(0, *groups);
            bind(fd.as_raw_fd(), &address).map_err(|errno| failed("bind")(errno.into()))?;
            None
        }
    };
    let opened = Listener { warnings, ..Listener::new(fd, node) };
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
    let failed = |step| ListenError::step(step, &spec.address);
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
    let (family, mut protocol) = spec.address.family();
    let kind = match spec.kind {
        SocketKind::Stream => libc::SOCK_STREAM,
        SocketKind::Datagram => libc::SOCK_DGRAM,
        SocketKind::SeqPacket => libc::SOCK_SEQPACKET,
        SocketKind::Raw => libc::SOCK_RAW,
    };
    if let Some(wanted) = spec.protocol {
        protocol = wanted.number(spec.kind);
    }
    // SAFETY: plain numbers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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

/// Makes a stream socket listen again after somebody who shares it has shut it down (shutdown(2)). One that listens is left alone.
///
/// # Errors
/// The cause; `ESHUTDOWN` where it stays shut for good, as unix sockets do.
pub fn listen_again(fd: BorrowedFd<'_>, backlog: u32) -> Result<(), SysError> {
    let failed = |source| SysError::new("listen again", source);
    if sockopt::get_int(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN).map_err(failed)? == 0 {
        listen(fd, backlog).map_err(failed)?;
    }
    if is_shut_down(fd)? {
        return Err(failed(io::Error::from_raw_os_error(libc::ESHUTDOWN)));
    }
    Ok(())
}

/// Whether a listener, or a datagram socket, is open: for the former, that nobody has shut it down.
///
/// # Errors
/// The cause.
pub fn takes_traffic(fd: BorrowedFd<'_>) -> Result<bool, SysError> {
    let ask = |name| sockopt::get_int(fd, libc::SOL_SOCKET, name);
    let is_open = || -> io::Result<bool> {
        Ok(ask(libc::SO_TYPE)? == libc::SOCK_DGRAM || ask(libc::SO_ACCEPTCONN)? != 0)
    };
    is_open().map_err(|source| SysError::new("ask whether the socket listens", source))
}

fn is_shut_down(fd: BorrowedFd<'_>) -> Result<bool, SysError> {
    let (poll, mut ready) = (Poll::new()?, Vec::new());
    poll.add(fd, 0, Interest::HangUp)?;
    poll.wait(&mut ready, Some(Duration::ZERO))?;
    Ok(ready.iter().any(|ready| ready.hang_up))
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
    if matches!(spec.kind, SocketKind::Stream | SocketKind::SeqPacket) {
        listen(opened.fd.as_fd(), spec.backlog)?;
    }
    if let ListenAddress::UnixPath(path) = &spec.address {
        unix_path::touch(path);
    }
    Ok(())
}

/// Takes back a socket that cannot listen: its node must not stay as a stale one.
fn discard(opened: Listener) {
    if let Some(node) = &opened.node {
        // The error that brought us here is the one to report.
        let _ = remove(node);
    }
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
