//! How the sockets of a unit are set up: from directives to what the kernel is asked for.
//!
//! Never here: when something is opened. Invariant: a directive that is not set asks for nothing.

use std::os::fd::AsFd;
use std::path::Path;

use sockmgr_sys::listener::{
    self, FifoSpec, ListenAddress, Listener, ListenerSpec, QueueSpec, SocketKind, UsbFunction,
};
use sockmgr_sys::options::{RawOption, SocketOptions, Timestamping, set_smack_label};
use sockmgr_unit::section::OptionSection;
use sockmgr_unit::value::{self, SocketProtocol};
use sockmgr_unit::{BindIpv6Only, Listen, ListenKind, Size, SocketUnit, Span};

use super::chain;

/// Opens what is no socket: a FIFO, a file, a message queue or a USB function. `None`: it is a socket.
pub(super) fn open_node(body: &SocketUnit, listen: &Listen) -> Option<Result<Listener, String>> {
    let sockmgr_unit::ListenAddress::Node(name) = &listen.address else { return None };
    let path = Path::new(&**name);
    let (section, options) = (&body.socket, &*body.options);
    let opened = match listen.kind {
        ListenKind::Fifo => {
            let (mode, directory_mode) = (section.socket_mode.0, section.directory_mode.0);
            let spec = FifoSpec { mode, directory_mode, pipe_size: size(options.pipe_size) };
            listener::open_fifo(path, &spec).map(|mut fifo| {
                let labelled =
                    options.smack_label.as_deref().map(|label| set_smack_label(fifo.fd.as_fd(), label));
                fifo.warnings.extend(labelled.and_then(Result::err));
                fifo
            })
        }
        ListenKind::MessageQueue => {
            let spec = QueueSpec {
                mode: section.socket_mode.0,
                max_messages: options.message_queue_max_messages,
                message_size: options.message_queue_message_size,
            };
            listener::open_message_queue(name, &spec)
        }
        ListenKind::UsbFunction => {
            listener::open_usb_function(path, &UsbFunction { descriptors: None, strings: None })
        }
        ListenKind::Special
        | ListenKind::Stream
        | ListenKind::Datagram
        | ListenKind::SequentialPacket
        | ListenKind::Netlink => listener::open_special(path, options.writable),
    };
    Some(opened.map_err(|error| chain(&error)))
}

/// What socket(2), bind(2) and listen(2) are asked for.
pub(super) fn spec_for(body: &SocketUnit, listen: &Listen, in_group: bool) -> Result<ListenerSpec, String> {
    let kind = match listen.kind {
        ListenKind::Stream => SocketKind::Stream,
        ListenKind::Datagram => SocketKind::Datagram,
        ListenKind::SequentialPacket => SocketKind::SeqPacket,
        ListenKind::Netlink => SocketKind::Raw,
        ListenKind::Fifo | ListenKind::Special | ListenKind::MessageQueue | ListenKind::UsbFunction => {
            return Err(format!("{listen} is not a socket"));
        }
    };
    let (section, options) = (&body.socket, &*body.options);
    let mut spec = ListenerSpec::new(
        kind,
        address_of(&listen.address).ok_or_else(|| format!("{listen} is not a socket"))?,
    );
    spec.backlog = section.backlog;
    spec.reuse_port = section.reuse_port || in_group;
    spec.bind_ipv6_only = match section.bind_ipv6_only {
        BindIpv6Only::Default => listener::BindIpv6Only::Default,
        BindIpv6Only::Both => listener::BindIpv6Only::Both,
        BindIpv6Only::Ipv6Only => listener::BindIpv6Only::Ipv6Only,
    };
    spec.mode = section.socket_mode.0;
    spec.directory_mode = section.directory_mode.0;
    spec.free_bind = options.free_bind;
    spec.transparent = options.transparent;
    spec.bind_to_device = options.bind_to_device.name().map(str::to_owned);
    spec.protocol = options.socket_protocol.map(|protocol| match protocol {
        SocketProtocol::UdpLite => listener::SocketProtocol::UdpLite,
        SocketProtocol::Sctp => listener::SocketProtocol::Sctp,
        SocketProtocol::Mptcp => listener::SocketProtocol::Mptcp,
    });
    Ok(spec)
}

/// Where to bind; `None` for what is no socket.
pub fn address_of(address: &sockmgr_unit::ListenAddress) -> Option<ListenAddress> {
    Some(match address {
        sockmgr_unit::ListenAddress::Inet(address) => ListenAddress::Inet(*address),
        sockmgr_unit::ListenAddress::Scoped(scoped) => ListenAddress::Inet(scoped.address.into()),
        sockmgr_unit::ListenAddress::AnyPort(port) => ListenAddress::Inet(listener::any_address(*port)),
        sockmgr_unit::ListenAddress::Unix(path) => ListenAddress::UnixPath(path.to_string().into()),
        sockmgr_unit::ListenAddress::Abstract(name) => ListenAddress::UnixAbstract(name.to_vec()),
        sockmgr_unit::ListenAddress::Vsock { cid, port } => ListenAddress::Vsock { cid: *cid, port: *port },
        sockmgr_unit::ListenAddress::Netlink(address) => {
            ListenAddress::Netlink { family: address.family, groups: address.groups }
        }
        sockmgr_unit::ListenAddress::Node(_) => return None,
    })
}

/// What is set after listen(2), and again on accepted connections.
pub(super) fn socket_options(body: &SocketUnit) -> SocketOptions {
    let (section, options) = (&body.socket, &*body.options);
    let flags = SocketOptions {
        keep_alive: section.keep_alive,
        no_delay: section.no_delay,
        broadcast: options.broadcast,
        pass_credentials: options.pass_credentials,
        pass_pidfd: options.pass_pidfd,
        pass_security: options.pass_security,
        pass_packet_info: options.pass_packet_info,
        refuse_file_descriptors: !options.accept_file_descriptors,
        timestamping: match options.timestamping {
            value::Timestamping::Off => Timestamping::Off,
            value::Timestamping::Microseconds => Timestamping::Microseconds,
            value::Timestamping::Nanoseconds => Timestamping::Nanoseconds,
        },
        ..SocketOptions::default()
    };
    with_numbers(flags, options)
}

fn with_numbers(flags: SocketOptions, options: &OptionSection) -> SocketOptions {
    let text = |text: &Option<Box<str>>| text.as_ref().map(ToString::to_string);
    SocketOptions {
        keep_alive_time: seconds(options.keep_alive_time_sec),
        keep_alive_interval: seconds(options.keep_alive_interval_sec),
        keep_alive_probes: Some(options.keep_alive_probes).filter(|probes| *probes > 0),
        defer_accept: seconds(options.defer_accept_sec),
        priority: unless_negative(options.priority),
        receive_buffer: size(options.receive_buffer),
        send_buffer: size(options.send_buffer),
        mark: unless_negative(options.mark),
        ip_tos: unless_negative(options.ip_tos.0),
        ip_ttl: unless_negative(options.ip_ttl),
        tcp_congestion: options.tcp_congestion.as_deref().map(str::to_owned),
        smack_label_ip_in: text(&options.smack_label_ip_in),
        smack_label_ip_out: text(&options.smack_label_ip_out),
        tcp_fast_open: Some(options.tcp_fast_open.0).filter(|length| *length > 0),
        user_timeout: Some(options.user_timeout_sec).filter(|span| *span > Span::ZERO).map(milliseconds),
        incoming_cpu: options.incoming_cpu,
        linger: options.linger.map(whole_seconds),
        busy_poll: options.busy_poll_usec,
        others: options
            .socket_option
            .iter()
            .map(|it| RawOption { level: it.level, name: it.name, value: it.value })
            .collect(),
        ..flags
    }
}

/// Zero is not set.
fn seconds(span: Span) -> Option<u32> {
    (span > Span::ZERO).then(|| whole_seconds(span))
}

/// The kernel counts whole ones here; what is too long for it is as good as for ever.
fn whole_seconds(span: Span) -> u32 {
    u32::try_from(span.as_micros() / 1_000_000).unwrap_or(u32::MAX)
}

fn milliseconds(span: Span) -> u32 {
    u32::try_from(span.as_micros() / 1000).unwrap_or(u32::MAX)
}

fn unless_negative(number: i32) -> Option<i32> {
    (number >= 0).then_some(number)
}

fn size(size: Size) -> Option<u64> {
    (size.0 > 0).then_some(size.0)
}
