//! The options of a socket that are set after `listen`, and again on every accepted connection.
//!
//! What never lives here: the options that `bind` needs ([`crate::listener`]). One invariant: no option that fails keeps
//! another from being set.

use std::io;
use std::os::fd::BorrowedFd;

use libc::c_int;

use crate::sockopt;

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
    /// `NoDelay=`: `TCP_NODELAY`.
    pub no_delay: bool,
    /// `Broadcast=`: `SO_BROADCAST`.
    pub broadcast: bool,
    /// `PassCredentials=`: `SO_PASSCRED`.
    pub pass_credentials: bool,
    /// `PassSecurity=`: `SO_PASSSEC`.
    pub pass_security: bool,
    /// `PassPacketInfo=`: `IP_PKTINFO`, `IPV6_RECVPKTINFO`.
    pub pass_packet_info: bool,
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
    /// Sets the options on `fd` in systemd's order; answers those that failed, by directive. None is fatal.
    #[must_use]
    pub fn apply(&self, fd: BorrowedFd<'_>) -> Vec<(&'static str, io::Error)> {
        let mut setter = Setter { fd, failures: Vec::new() };
        self.apply_keep_alive(&mut setter);
        self.apply_passing(&mut setter);
        self.apply_transmission(&mut setter);
        setter.failures
    }

    fn apply_keep_alive(&self, setter: &mut Setter<'_>) {
        let (socket, tcp) = (libc::SOL_SOCKET, libc::IPPROTO_TCP);
        setter.flag("KeepAlive=", socket, libc::SO_KEEPALIVE, self.keep_alive);
        setter.seconds("KeepAliveTimeSec=", tcp, libc::TCP_KEEPIDLE, self.keep_alive_time);
        setter.seconds("KeepAliveIntervalSec=", tcp, libc::TCP_KEEPINTVL, self.keep_alive_interval);
        setter.seconds("KeepAliveProbes=", tcp, libc::TCP_KEEPCNT, self.keep_alive_probes);
        setter.seconds("DeferAcceptSec=", tcp, libc::TCP_DEFER_ACCEPT, self.defer_accept);
        setter.flag("NoDelay=", tcp, libc::TCP_NODELAY, self.no_delay);
    }

    fn apply_passing(&self, setter: &mut Setter<'_>) {
        let socket = libc::SOL_SOCKET;
        setter.flag("Broadcast=", socket, libc::SO_BROADCAST, self.broadcast);
        setter.flag("PassCredentials=", socket, libc::SO_PASSCRED, self.pass_credentials);
        setter.flag("PassSecurity=", socket, libc::SO_PASSSEC, self.pass_security);
        if self.pass_packet_info {
            setter.by_family("PassPacketInfo=", libc::IP_PKTINFO, libc::IPV6_RECVPKTINFO, 1);
        }
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
            setter.by_family("IPTTL=", libc::IP_TTL, libc::IPV6_UNICAST_HOPS, ttl);
        }
        if let Some(algorithm) = &self.tcp_congestion {
            let name = algorithm.as_bytes();
            let result = sockopt::set_bytes(setter.fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, name);
            setter.note("TCPCongestion=", result);
        }
    }
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

    fn by_family(&mut self, directive: &'static str, v4: c_int, v6: c_int, value: c_int) {
        let result = match sockopt::get_int(self.fd, libc::SOL_SOCKET, libc::SO_DOMAIN) {
            Ok(libc::AF_INET) => sockopt::set_int(self.fd, libc::IPPROTO_IP, v4, value),
            Ok(libc::AF_INET6) => sockopt::set_int(self.fd, libc::IPPROTO_IPV6, v6, value),
            Ok(_) => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
            Err(error) => Err(error),
        };
        self.note(directive, result);
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
    if is_set() { Ok(()) } else { sockopt::set_int(fd, libc::SOL_SOCKET, force, size) }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn get(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> c_int {
        sockopt::get_int(fd, level, name).unwrap()
    }

    #[test]
    fn tcp_options_are_in_force() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = listener.as_fd();
        let options = SocketOptions {
            keep_alive: true,
            keep_alive_time: Some(11),
            keep_alive_interval: Some(12),
            keep_alive_probes: Some(13),
            no_delay: true,
            ip_tos: Some(0x10),
            ip_ttl: Some(44),
            receive_buffer: Some(50_000),
            send_buffer: Some(60_000),
            tcp_congestion: Some("reno".to_owned()),
            ..SocketOptions::default()
        };
        assert!(options.apply(fd).is_empty());
        let (socket, tcp, ip) = (libc::SOL_SOCKET, libc::IPPROTO_TCP, libc::IPPROTO_IP);
        assert_eq!(get(fd, socket, libc::SO_KEEPALIVE), 1);
        assert_eq!(get(fd, tcp, libc::TCP_KEEPIDLE), 11);
        assert_eq!(get(fd, tcp, libc::TCP_KEEPINTVL), 12);
        assert_eq!(get(fd, tcp, libc::TCP_KEEPCNT), 13);
        assert_eq!(get(fd, tcp, libc::TCP_NODELAY), 1);
        assert_eq!(get(fd, ip, libc::IP_TOS), 0x10);
        assert_eq!(get(fd, ip, libc::IP_TTL), 44);
        assert_eq!(get(fd, socket, libc::SO_RCVBUF), 100_000);
        assert_eq!(get(fd, socket, libc::SO_SNDBUF), 120_000);
    }

    #[test]
    fn the_default_sets_nothing() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        assert!(SocketOptions::default().apply(listener.as_fd()).is_empty());
        assert_eq!(get(listener.as_fd(), libc::SOL_SOCKET, libc::SO_KEEPALIVE), 0);
    }

    #[test]
    fn what_a_family_lacks_is_named_and_the_rest_is_set() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let options = SocketOptions {
            no_delay: true,
            pass_credentials: true,
            pass_packet_info: true,
            receive_buffer: Some(1 << 40),
            ..SocketOptions::default()
        };
        let failures = options.apply(listener.as_fd());
        let names: Vec<&str> = failures.iter().map(|(directive, _)| *directive).collect();
        assert_eq!(names, ["NoDelay=", "PassPacketInfo=", "ReceiveBuffer="]);
        assert_eq!(get(listener.as_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED), 1);
    }

    #[test]
    fn datagram_options_follow_the_family() {
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        let options = SocketOptions {
            pass_packet_info: true,
            broadcast: true,
            timestamping: Timestamping::Nanoseconds,
            ip_ttl: Some(7),
            priority: Some(3),
            ..SocketOptions::default()
        };
        assert!(options.apply(socket.as_fd()).is_empty());
        assert_eq!(get(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO), 1);
        assert_eq!(get(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS), 7);
        assert_eq!(get(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS), 1);
        assert_eq!(get(socket.as_fd(), libc::SOL_SOCKET, libc::SO_PRIORITY), 3);
    }
}
