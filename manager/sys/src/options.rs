//! The options of a socket that are set after `listen`, and again on every accepted connection.

use std::io;
use std::os::fd::BorrowedFd;

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
        unimplemented!("{fd:?}")
    }
}
