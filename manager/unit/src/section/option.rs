//! How the sockets of a socket unit are set up, beside where they listen (systemd.socket(5)).

use super::names::word_list;
use crate::directive::{Context, Property, Scalar, Value, section};
use crate::value::word::{Backslash, Words};
use crate::value::{
    BindDevice, FastOpen, IpTos, Size, SocketOption, SocketProtocol, Span, Timestamping, ValueError, path,
};

section! {
    /// What most sockets leave as it is. Units that have the same share it.
    pub struct OptionSection in Socket {
        /// The protocol for socket(2).
        socket_protocol: Option<SocketProtocol> = None => "SocketProtocol" {
            "SocketProtocol": "Another protocol than the usual one: udplite, sctp, or mptcp";
        }
        /// `O_RDWR` for `ListenSpecial=`.
        writable: bool = false => "Writable" {
            "Writable": "Whether what ListenSpecial= opens is also opened for writing; default no";
        }
        /// `SO_BINDTODEVICE`
        bind_to_device: BindDevice = BindDevice::default() => "BindToDevice" {
            "BindToDevice": "The network interface that traffic must come by (SO_BINDTODEVICE); empty or *: any";
        }
        /// `IP_FREEBIND`
        free_bind: bool = false => "FreeBind" {
            "FreeBind": "Whether the address need not exist yet (IP_FREEBIND); default no";
        }
        /// `IP_TRANSPARENT`
        transparent: bool = false => "Transparent" {
            "Transparent": "Whether the address may be a foreign one (IP_TRANSPARENT); default no";
        }
        /// Links to the unix socket or FIFO.
        symlinks: Symlinks = Symlinks::default() => "Symlinks" {
            "Symlinks": "Links that are made to the one unix socket or FIFO; empty: forget the earlier ones";
        }
        /// `F_SETPIPE_SZ`; zero: not set.
        pipe_size: Size = Size(0) => "PipeSize" {
            "PipeSize": "Size of the buffer of a FIFO (F_SETPIPE_SZ); default: the kernel's";
        }
        /// `mq_maxmsg`; zero: not set.
        message_queue_max_messages: i64 = 0 => "MessageQueueMaxMessages" {
            "MessageQueueMaxMessages": "Messages that a new queue holds; counts together with MessageQueueMessageSize= only";
        }
        /// `mq_msgsize`; zero: not set.
        message_queue_message_size: i64 = 0 => "MessageQueueMessageSize" {
            "MessageQueueMessageSize": "Bytes of a message in a new queue; counts together with MessageQueueMaxMessages= only";
        }
        /// `TCP_KEEPIDLE`; zero: not set.
        keep_alive_time_sec: Span = Span::ZERO => "KeepAliveTimeUSec" {
            "KeepAliveTimeSec": "Idle time before a connection is probed (TCP_KEEPIDLE); default: the kernel's";
        }
        /// `TCP_KEEPINTVL`; zero: not set.
        keep_alive_interval_sec: Span = Span::ZERO => "KeepAliveIntervalUSec" {
            "KeepAliveIntervalSec": "Time between two probes (TCP_KEEPINTVL); default: the kernel's";
        }
        /// `TCP_KEEPCNT`; zero: not set.
        keep_alive_probes: u32 = 0 => "KeepAliveProbes" {
            "KeepAliveProbes": "Unanswered probes before a connection is given up (TCP_KEEPCNT); default: the kernel's";
        }
        /// `TCP_DEFER_ACCEPT`; zero: off.
        defer_accept_sec: Span = Span::ZERO => "DeferAcceptUSec" {
            "DeferAcceptSec": "How long a connection that brings no data does not count (TCP_DEFER_ACCEPT); default 0: it counts";
        }
        /// `SO_BROADCAST`
        broadcast: bool = false => "Broadcast" {
            "Broadcast": "Whether datagrams may go to broadcast addresses (SO_BROADCAST); default no";
        }
        /// `SO_PASSCRED`
        pass_credentials: bool = false => "PassCredentials" {
            "PassCredentials": "Whether messages carry who sent them (SO_PASSCRED); default no";
        }
        /// `SO_PASSPIDFD`
        pass_pidfd: bool = false => "PassPIDFD" {
            "PassPIDFD": "Whether messages carry a pidfd of their sender (SO_PASSPIDFD); default no";
        }
        /// `SO_PASSSEC`
        pass_security: bool = false => "PassSecurity" {
            "PassSecurity": "Whether messages carry the security context of their sender (SO_PASSSEC); default no";
        }
        /// `IP_PKTINFO` and the like.
        pass_packet_info: bool = false => "PassPacketInfo" {
            "PassPacketInfo": "Whether datagrams carry where they came in (IP_PKTINFO, IPV6_RECVPKTINFO, NETLINK_PKTINFO); default no";
        }
        /// `SO_PASSRIGHTS`
        accept_file_descriptors: bool = true => "AcceptFileDescriptors" {
            "AcceptFileDescriptors": "Whether messages may carry descriptors (SO_PASSRIGHTS); default yes";
        }
        /// `SO_TIMESTAMP`, `SO_TIMESTAMPNS`
        timestamping: Timestamping = Timestamping::Off => "Timestamping" {
            "Timestamping": "Whether datagrams carry when they came: off (default), us, ns";
        }
        /// `SO_PRIORITY`; negative: not set.
        priority: i32 = -1 => "Priority" {
            "Priority": "Priority of what is sent (SO_PRIORITY); default -1: the kernel's";
        }
        /// `SO_RCVBUF`; zero: not set.
        receive_buffer: Size = Size(0) => "ReceiveBuffer" {
            "ReceiveBuffer": "Size of the buffer for what comes in (SO_RCVBUF); default: the kernel's";
        }
        /// `SO_SNDBUF`; zero: not set.
        send_buffer: Size = Size(0) => "SendBuffer" {
            "SendBuffer": "Size of the buffer for what goes out (SO_SNDBUF); default: the kernel's";
        }
        /// `SO_MARK`; negative: not set.
        mark: i32 = -1 => "Mark" {
            "Mark": "Mark for the firewall on what is sent (SO_MARK); default -1: none";
        }
        /// `IP_TOS`
        ip_tos: IpTos = IpTos(-1) => "IPTOS" {
            "IPTOS": "Type of service of what is sent (IP_TOS): low-delay, throughput, reliability, low-cost or a number";
        }
        /// `IP_TTL`, `IPV6_UNICAST_HOPS`; negative: not set.
        ip_ttl: i32 = -1 => "IPTTL" {
            "IPTTL": "Hops that what is sent may take (IP_TTL, IPV6_UNICAST_HOPS); default -1: the kernel's";
        }
        /// `TCP_CONGESTION`
        tcp_congestion: Option<RawText> = None => "TCPCongestion" {
            "TCPCongestion": "The algorithm against congestion (TCP_CONGESTION), such as bbr; default: the kernel's";
        }
        /// `security.SMACK64`
        smack_label: Option<Box<str>> = None => "SmackLabel" {
            "SmackLabel": "SMACK label of a FIFO";
        }
        /// `security.SMACK64IPIN`
        smack_label_ip_in: Option<Box<str>> = None => "SmackLabelIPIn" {
            "SmackLabelIPIn": "SMACK label of packets that the sockets take";
        }
        /// `security.SMACK64IPOUT`
        smack_label_ip_out: Option<Box<str>> = None => "SmackLabelIPOut" {
            "SmackLabelIPOut": "SMACK label of packets that the sockets send";
        }
        /// `TCP_FASTOPEN`; zero: off.
        tcp_fast_open: FastOpen = FastOpen(0) => ("TCPFastOpen" own) {
            "TCPFastOpen": "Connections under way that may bring data with their first packet (TCP_FASTOPEN); yes: 256; default no";
        }
        /// `TCP_USER_TIMEOUT`; zero: not set.
        user_timeout_sec: Span = Span::ZERO => ("UserTimeoutUSec" own) {
            "UserTimeoutSec": "How long what was sent may stay unacknowledged (TCP_USER_TIMEOUT); default: the kernel's";
        }
        /// `SO_INCOMING_CPU`
        incoming_cpu: Option<u32> = None => ("IncomingCPU" own) {
            "IncomingCPU": "The CPU whose connections the socket prefers (SO_INCOMING_CPU)";
        }
        /// `SO_LINGER` of connections.
        linger: Option<Span> = None => ("LingerUSec" own) {
            "Linger": "How long closing an accepted connection waits for what is unsent (SO_LINGER), in whole seconds; 0: reset it";
        }
        /// `SO_BUSY_POLL`
        busy_poll_usec: Option<u32> = None => ("BusyPollUSec" own) {
            "BusyPollUSec": "Microseconds that a read polls the device before it sleeps (SO_BUSY_POLL)";
        }
        /// Options by their numbers.
        socket_option: Vec<SocketOption> = Vec::new() => ("SocketOption" own) {
            "SocketOption": "Any other option, as level:name=value, set last; may be repeated";
        }
    }
}

/// Text without specifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawText(Box<str>);

impl std::ops::Deref for RawText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Scalar for RawText {
    const FORM: &'static str = "text";
    const SIGNATURE: &'static str = "s";
    const EMPTY_RESETS: bool = true;

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        Ok(Self(text.into()))
    }

    fn property(&self) -> Property {
        Property::Str(self.0.to_string())
    }
}

/// Absolute paths of links; assignments add up, an empty one forgets the earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symlinks(Vec<Box<str>>);

word_list!(Symlinks, Box<str>);

impl Value for Symlinks {
    const FORM: &'static str = "absolute paths, with blanks between";
    const SIGNATURE: &'static str = "as";

    /// A bad word ends the line; what stands before it counts.
    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        }
        for word in Words::new(text, Backslash::Quotes) {
            let link = cx.expand(&word?.into_text()?).and_then(|link| path::absolute(&link))?;
            self.0.push(link);
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.0.iter().map(ToString::to_string).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}
