//! The options of a socket that are set after `listen`, and again on every accepted connection.
//!
//! What never lives here: the options that `bind` needs ([`crate::listener`]). One invariant: no option that fails keeps
//! another from being set.

#[cfg(test)]
mod tests;

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libc::c_int;

use crate::error::SysError;
use crate::sockopt;

/// `SO_PASSRIGHTS` of asm-generic/socket.h (Linux 6.16); libc does not have it yet.
const SO_PASSRIGHTS: c_int = 83;
/// `SCTP_NODELAY` of linux/sctp.h.
const SCTP_NODELAY: c_int = 3;

/// Options in systemd's words (systemd.socket(5)). The default sets nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// `KeepAlive=`: `SO_KEEPALIVE`.
    pub keep_alive: bool,
    /// `KeepAliveTimeSec=`: `TCP_KEEPIDLE` in seconds.
    pub keep_alive_time: Option<u32>,
    /// `KeepAliveIntervalSec=`: `TCP_KEEPINTVL` in seconds.
    pub keep_alive_interval: Option<u32>,
    /// `KeepAliveProbes=`: `TCP_KEEPCNT`.
    pub keep_alive_probes: Option<u32>,
    /// `DeferAcceptSec=`: `TCP_DEFER_ACCEPT` in seconds.
    pub defer_accept: Option<u32>,
    /// `NoDelay=`: `TCP_NODELAY`, or `SCTP_NODELAY` where the socket speaks SCTP.
    pub no_delay: bool,
    /// `Broadcast=`: `SO_BROADCAST`.
    pub broadcast: bool,
    /// `PassCredentials=`: `SO_PASSCRED`.
    pub pass_credentials: bool,
    /// `PassPIDFD=`: `SO_PASSPIDFD`.
    pub pass_pidfd: bool,
    /// `PassSecurity=`: `SO_PASSSEC`.
    pub pass_security: bool,
    /// `PassPacketInfo=`: `IP_PKTINFO`, `IPV6_RECVPKTINFO`, `NETLINK_PKTINFO`.
    pub pass_packet_info: bool,
    /// `AcceptFileDescriptors=no`: `SO_PASSRIGHTS` off.
    pub refuse_file_descriptors: bool,
    /// `Timestamping=`.
    pub timestamping: Timestamping,
    /// `Priority=`: `SO_PRIORITY`.
    pub priority: Option<i32>,
    /// `ReceiveBuffer=` in bytes.
    pub receive_buffer: Option<u64>,
    /// `SendBuffer=` in bytes.
    pub send_buffer: Option<u64>,
    /// `Mark=`: `SO_MARK`.
    pub mark: Option<i32>,
    /// `IPTOS=`: `IP_TOS`.
    pub ip_tos: Option<i32>,
    /// `IPTTL=`: `IP_TTL` or `IPV6_UNICAST_HOPS`.
    pub ip_ttl: Option<i32>,
    /// `TCPCongestion=`: `TCP_CONGESTION`.
    pub tcp_congestion: Option<String>,
    /// `SmackLabelIPIn=`: the label of packets that the socket takes.
    pub smack_label_ip_in: Option<String>,
    /// `SmackLabelIPOut=`: the label of packets that it sends.
    pub smack_label_ip_out: Option<String>,
    /// `TCPFastOpen=`: `TCP_FASTOPEN`, the length of the queue.
    pub tcp_fast_open: Option<u32>,
    /// `UserTimeoutSec=`: `TCP_USER_TIMEOUT` in milliseconds.
    pub user_timeout: Option<u32>,
    /// `IncomingCPU=`: `SO_INCOMING_CPU`.
    pub incoming_cpu: Option<u32>,
    /// `Linger=`: `SO_LINGER` in seconds.
    pub linger: Option<u32>,
    /// `BusyPollUSec=`: `SO_BUSY_POLL` in microseconds.
    pub busy_poll: Option<u32>,
    /// `SocketOption=`: level, name and value as setsockopt(2) takes them.
    pub others: Vec<RawOption>,
}

/// An option by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawOption {
    /// `SOL_SOCKET`, `IPPROTO_TCP`, …
    pub level: c_int,
    /// `SO_…`, `TCP_…`
    pub name: c_int,
    /// The value.
    pub value: c_int,
}

/// What is set of a connection but not of the listener, or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A socket that listens, or receives datagrams.
    Listener,
    /// A connection that was accepted.
    Connection,
}

/// Kernel timestamps on received packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamping {
    /// None.
    #[default]
    Off,
    /// `SO_TIMESTAMP`.
    Microseconds,
    /// `SO_TIMESTAMPNS`.
    Nanoseconds,
}

impl SocketOptions {
    /// Sets the options on `fd` in systemd's order, then our own; answers those that failed, by directive. None is fatal.
    #[must_use]
    pub fn apply(&self, fd: BorrowedFd<'_>, side: Side) -> Vec<(&'static str, io::Error)> {
        let mut setter = Setter { fd, failures: Vec::new() };
        self.apply_keep_alive(&mut setter);
        self.apply_passing(&mut setter);
        self.apply_transmission(&mut setter);
        self.apply_labels(&mut setter);
        self.apply_own(&mut setter, side);
        setter.failures
    }

    /// Takes back what is set on `fd` and not asked for here: what a new socket of its kind has, is set again. Buffers stay as they
    /// are, for the kernel has no way back to sizes that it chooses itself; so do labels, and options that only have a number.
    #[must_use]
    pub fn reset(&self, fd: BorrowedFd<'_>) -> Vec<(&'static str, io::Error)> {
        let mut setter = Setter { fd, failures: Vec::new() };
        match sockopt::sibling(fd) {
            Ok(fresh) => {
                for (directive, level, name) in self.unasked() {
                    setter.note(directive, take_back(fd, fresh.as_fd(), level, name));
                }
            }
            Err(error) => setter.note("a reset of options", Err(error)),
        }
        setter.failures
    }

    /// Options that are not asked for and that can be taken back.
    fn unasked(&self) -> impl Iterator<Item = (&'static str, c_int, c_int)> {
        let (socket, tcp, ip) = (libc::SOL_SOCKET, libc::IPPROTO_TCP, libc::IPPROTO_IP);
        let ip6 = libc::IPPROTO_IPV6;
        let times = self.timestamping != Timestamping::Off;
        let options = [
            (self.keep_alive, "KeepAlive=", socket, libc::SO_KEEPALIVE),
            (self.keep_alive_time.is_some(), "KeepAliveTimeSec=", tcp, libc::TCP_KEEPIDLE),
            (self.keep_alive_interval.is_some(), "KeepAliveIntervalSec=", tcp, libc::TCP_KEEPINTVL),
            (self.keep_alive_probes.is_some(), "KeepAliveProbes=", tcp, libc::TCP_KEEPCNT),
            (self.defer_accept.is_some(), "DeferAcceptSec=", tcp, libc::TCP_DEFER_ACCEPT),
            (self.no_delay, "NoDelay=", tcp, libc::TCP_NODELAY),
            (self.no_delay, "NoDelay=", libc::IPPROTO_SCTP, SCTP_NODELAY),
            (self.broadcast, "Broadcast=", socket, libc::SO_BROADCAST),
            (self.pass_credentials, "PassCredentials=", socket, libc::SO_PASSCRED),
            (self.pass_pidfd, "PassPIDFD=", socket, libc::SO_PASSPIDFD),
            (self.pass_security, "PassSecurity=", socket, libc::SO_PASSSEC),
            (self.pass_packet_info, "PassPacketInfo=", ip, libc::IP_PKTINFO),
            (self.pass_packet_info, "PassPacketInfo=", ip6, libc::IPV6_RECVPKTINFO),
            (self.pass_packet_info, "PassPacketInfo=", libc::SOL_NETLINK, libc::NETLINK_PKTINFO),
            (self.refuse_file_descriptors, "AcceptFileDescriptors=", socket, SO_PASSRIGHTS),
            (times, "Timestamping=", socket, libc::SO_TIMESTAMP),
            (times, "Timestamping=", socket, libc::SO_TIMESTAMPNS),
            (self.priority.is_some(), "Priority=", socket, libc::SO_PRIORITY),
            (self.mark.is_some(), "Mark=", socket, libc::SO_MARK),
            (self.ip_tos.is_some(), "IPTOS=", ip, libc::IP_TOS),
            (self.ip_ttl.is_some(), "IPTTL=", ip, libc::IP_TTL),
            (self.ip_ttl.is_some(), "IPTTL=", ip6, libc::IPV6_UNICAST_HOPS),
            (self.tcp_congestion.is_some(), "TCPCongestion=", tcp, libc::TCP_CONGESTION),
            (self.tcp_fast_open.is_some(), "TCPFastOpen=", tcp, libc::TCP_FASTOPEN),
            (self.user_timeout.is_some(), "UserTimeoutSec=", tcp, libc::TCP_USER_TIMEOUT),
            (self.incoming_cpu.is_some(), "IncomingCPU=", socket, libc::SO_INCOMING_CPU),
            (self.linger.is_some(), "Linger=", socket, libc::SO_LINGER),
            (self.busy_poll.is_some(), "BusyPollUSec=", socket, libc::SO_BUSY_POLL),
        ];
        let is_raw = |level, name| self.others.iter().any(|raw| (raw.level, raw.name) == (level, name));
        options.into_iter().filter_map(move |(is_asked, directive, level, name)| {
            (!is_asked && !is_raw(level, name)).then_some((directive, level, name))
        })
    }

    fn apply_keep_alive(&self, setter: &mut Setter<'_>) {
        let (socket, tcp) = (libc::SOL_SOCKET, libc::IPPROTO_TCP);
        setter.flag("KeepAlive=", socket, libc::SO_KEEPALIVE, self.keep_alive);
        setter.seconds("KeepAliveTimeSec=", tcp, libc::TCP_KEEPIDLE, self.keep_alive_time);
        setter.seconds("KeepAliveIntervalSec=", tcp, libc::TCP_KEEPINTVL, self.keep_alive_interval);
        setter.seconds("KeepAliveProbes=", tcp, libc::TCP_KEEPCNT, self.keep_alive_probes);
        setter.seconds("DeferAcceptSec=", tcp, libc::TCP_DEFER_ACCEPT, self.defer_accept);
        if self.no_delay {
            setter.no_delay();
        }
    }

    fn apply_passing(&self, setter: &mut Setter<'_>) {
        let socket = libc::SOL_SOCKET;
        setter.flag("Broadcast=", socket, libc::SO_BROADCAST, self.broadcast);
        setter.flag("PassCredentials=", socket, libc::SO_PASSCRED, self.pass_credentials);
        setter.flag("PassPIDFD=", socket, libc::SO_PASSPIDFD, self.pass_pidfd);
        setter.flag("PassSecurity=", socket, libc::SO_PASSSEC, self.pass_security);
        if self.pass_packet_info {
            setter.packet_info();
        }
        let passes_rights = self.refuse_file_descriptors.then_some(0);
        setter.number("AcceptFileDescriptors=", socket, SO_PASSRIGHTS, passes_rights);
        let microseconds = self.timestamping == Timestamping::Microseconds;
        setter.flag("Timestamping=", socket, libc::SO_TIMESTAMP, microseconds);
        let nanoseconds = self.timestamping == Timestamping::Nanoseconds;
        setter.flag("Timestamping=", socket, libc::SO_TIMESTAMPNS, nanoseconds);
    }

    fn apply_transmission(&self, setter: &mut Setter<'_>) {
        let socket = libc::SOL_SOCKET;
        setter.number("Priority=", socket, libc::SO_PRIORITY, self.priority);
        let receive = [libc::SO_RCVBUF, libc::SO_RCVBUFFORCE];
        setter.buffer("ReceiveBuffer=", receive, self.receive_buffer);
        setter.buffer("SendBuffer=", [libc::SO_SNDBUF, libc::SO_SNDBUFFORCE], self.send_buffer);
        setter.number("Mark=", socket, libc::SO_MARK, self.mark);
        setter.number("IPTOS=", libc::IPPROTO_IP, libc::IP_TOS, self.ip_tos);
        if let Some(ttl) = self.ip_ttl {
            let result = match setter.family() {
                Ok(libc::AF_INET6) => {
                    sockopt::set_int(setter.fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, ttl)
                }
                Ok(libc::AF_INET) => sockopt::set_int(setter.fd, libc::IPPROTO_IP, libc::IP_TTL, ttl),
                Ok(_) => Err(unsupported_family()),
                Err(error) => Err(error),
            };
            setter.note("IPTTL=", result);
        }
        if let Some(algorithm) = &self.tcp_congestion {
            let name = algorithm.as_bytes();
            let result = sockopt::set_bytes(setter.fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, name);
            setter.note("TCPCongestion=", result);
        }
    }

    fn apply_labels(&self, setter: &mut Setter<'_>) {
        setter.label("SmackLabelIPIn=", c"security.SMACK64IPIN", self.smack_label_ip_in.as_deref());
        setter.label("SmackLabelIPOut=", c"security.SMACK64IPOUT", self.smack_label_ip_out.as_deref());
    }

    fn apply_own(&self, setter: &mut Setter<'_>, side: Side) {
        let (socket, tcp) = (libc::SOL_SOCKET, libc::IPPROTO_TCP);
        if side == Side::Listener {
            setter.seconds("TCPFastOpen=", tcp, libc::TCP_FASTOPEN, self.tcp_fast_open);
            setter.seconds("IncomingCPU=", socket, libc::SO_INCOMING_CPU, self.incoming_cpu);
        }
        setter.seconds("UserTimeoutSec=", tcp, libc::TCP_USER_TIMEOUT, self.user_timeout);
        if let Some(seconds) = self.linger {
            // struct linger: whether, and how long (socket(7)).
            let words = [1u32, seconds].map(u32::to_ne_bytes).concat();
            setter.note("Linger=", sockopt::set_bytes(setter.fd, socket, libc::SO_LINGER, &words));
        }
        setter.seconds("BusyPollUSec=", socket, libc::SO_BUSY_POLL, self.busy_poll);
        for RawOption { level, name, value } in &self.others {
            setter.number("SocketOption=", *level, *name, Some(*value));
        }
    }
}

/// Sets the option to what `fresh` has, where it is another value. A socket that has no such option has nothing to take back.
fn take_back(fd: BorrowedFd<'_>, fresh: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<()> {
    let (Ok(now), Ok(default)) =
        (sockopt::get_bytes(fd, level, name), sockopt::get_bytes(fresh, level, name))
    else {
        return Ok(());
    };
    if now == default { Ok(()) } else { sockopt::set_bytes(fd, level, name, &default) }
}

fn unsupported_family() -> io::Error {
    io::Error::from_raw_os_error(libc::EAFNOSUPPORT)
}

/// Sets options one after another and collects what failed.
struct Setter<'a> {
    fd: BorrowedFd<'a>,
    failures: Vec<(&'static str, io::Error)>,
}

impl Setter<'_> {
    fn note(&mut self, directive: &'static str, result: io::Result<()>) {
        self.failures.extend(result.err().map(|error| (directive, error)));
    }

    fn flag(&mut self, directive: &'static str, level: c_int, name: c_int, wanted: bool) {
        self.number(directive, level, name, wanted.then_some(1));
    }

    fn number(&mut self, directive: &'static str, level: c_int, name: c_int, value: Option<i32>) {
        if let Some(value) = value {
            self.note(directive, sockopt::set_int(self.fd, level, name, value));
        }
    }

    /// A count or a time, which the kernel takes as an int.
    fn seconds(&mut self, directive: &'static str, level: c_int, name: c_int, value: Option<u32>) {
        let value = value.map(|value| i32::try_from(value).unwrap_or(i32::MAX));
        self.number(directive, level, name, value);
    }

    fn family(&self) -> io::Result<c_int> {
        sockopt::get_int(self.fd, libc::SOL_SOCKET, libc::SO_DOMAIN)
    }

    fn no_delay(&mut self) {
        let is_sctp = sockopt::get_int(self.fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)
            .is_ok_and(|protocol| protocol == libc::IPPROTO_SCTP);
        let (level, name) =
            if is_sctp { (libc::IPPROTO_SCTP, SCTP_NODELAY) } else { (libc::IPPROTO_TCP, libc::TCP_NODELAY) };
        self.number("NoDelay=", level, name, Some(1));
    }

    fn packet_info(&mut self) {
        let (level, name) = match self.family() {
            Ok(libc::AF_INET) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
            Ok(libc::AF_INET6) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            Ok(libc::AF_NETLINK) => (libc::SOL_NETLINK, libc::NETLINK_PKTINFO),
            Ok(_) => return self.note("PassPacketInfo=", Err(unsupported_family())),
            Err(error) => return self.note("PassPacketInfo=", Err(error)),
        };
        self.number("PassPacketInfo=", level, name, Some(1));
    }

    /// A label of the security module Smack, which is an extended attribute of the socket.
    fn label(&mut self, directive: &'static str, attribute: &CStr, value: Option<&str>) {
        if let Some(value) = value {
            self.note(directive, set_attribute(self.fd, attribute, value));
        }
    }

    fn buffer(&mut self, directive: &'static str, names: [c_int; 2], bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.note(directive, set_buffer(self.fd, names, bytes));
        }
    }
}

/// Sets a buffer's size; where the kernel caps it, by the name that only the privileged may use. The kernel keeps and
/// tells twice the size that was asked for (socket(7)).
fn set_buffer(fd: BorrowedFd<'_>, [plain, force]: [c_int; 2], bytes: u64) -> io::Result<()> {
    let size = c_int::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::ERANGE))?;
    let is_set = || {
        sockopt::get_int(fd, libc::SOL_SOCKET, plain).is_ok_and(|now| i64::from(now) == 2 * i64::from(size))
    };
    if is_set() {
        return Ok(());
    }
    sockopt::set_int(fd, libc::SOL_SOCKET, plain, size)?;
    match sockopt::set_int(fd, libc::SOL_SOCKET, force, size) {
        // As large as everybody may have it: `buffers` tells.
        Err(error) if !is_set() && error.raw_os_error() != Some(libc::EPERM) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Gives a file the label of the security module Smack by which others may use it (`SmackLabel=`).
///
/// # Errors
/// The cause; `EOPNOTSUPP` where the kernel has no such module.
pub fn set_smack_label(fd: BorrowedFd<'_>, label: &str) -> Result<(), SysError> {
    set_attribute(fd, c"security.SMACK64", label).map_err(|error| SysError::new("set SmackLabel= for", error))
}

fn set_attribute(fd: BorrowedFd<'_>, attribute: &CStr, value: &str) -> io::Result<()> {
    // SAFETY: `attribute` is a string and `value` so many bytes; both outlive the call.
    let result =
        unsafe { libc::fsetxattr(fd.as_raw_fd(), attribute.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How large the buffers of a socket are in the measure of `ReceiveBuffer=` and `SendBuffer=`: half of what the kernel tells.
///
/// # Errors
/// The cause.
pub fn buffers(fd: BorrowedFd<'_>) -> io::Result<[u64; 2]> {
    let half =
        |name| sockopt::get_int(fd, libc::SOL_SOCKET, name).map(|size| u64::from(size.unsigned_abs()) / 2);
    Ok([half(libc::SO_RCVBUF)?, half(libc::SO_SNDBUF)?])
}
