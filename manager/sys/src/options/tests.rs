//! Options as the kernel tells them afterwards.

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
    assert!(options.apply(fd, Side::Listener).is_empty());
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
fn what_is_not_asked_for_any_more_is_as_in_a_new_socket() {
    let (listener, untouched) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let fd = listener.as_fd();
    let options = SocketOptions {
        keep_alive: true,
        keep_alive_time: Some(11),
        keep_alive_probes: Some(13),
        no_delay: true,
        timestamping: Timestamping::Nanoseconds,
        priority: Some(3),
        ip_tos: Some(0x10),
        ip_ttl: Some(44),
        tcp_congestion: Some("reno".to_owned()),
        tcp_fast_open: Some(5),
        user_timeout: Some(1000),
        ..SocketOptions::default()
    };
    assert!(options.apply(fd, Side::Listener).is_empty());
    let rest = SocketOptions { keep_alive: true, ip_ttl: Some(44), ..SocketOptions::default() };
    assert!(rest.reset(fd).is_empty());
    assert_eq!(get(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
    assert_eq!(get(fd, libc::IPPROTO_IP, libc::IP_TTL), 44);
    for (directive, level, name) in rest.unasked() {
        let now = sockopt::get_bytes(fd, level, name).ok();
        assert_eq!(now, sockopt::get_bytes(untouched.as_fd(), level, name).ok(), "{directive}");
    }
}

#[test]
fn a_connection_that_lingered_lingers_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = SocketOptions { linger: Some(7), ..SocketOptions::default() };
    assert!(options.apply(listener.as_fd(), Side::Listener).is_empty());
    assert!(SocketOptions::default().reset(listener.as_fd()).is_empty());
    // Whether; the time, which then means nothing, the kernel keeps.
    assert_eq!(get(listener.as_fd(), libc::SOL_SOCKET, libc::SO_LINGER), 0);
}

#[test]
fn the_default_sets_nothing() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    assert!(SocketOptions::default().apply(listener.as_fd(), Side::Listener).is_empty());
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
    let failures = options.apply(listener.as_fd(), Side::Listener);
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
    assert!(options.apply(socket.as_fd(), Side::Listener).is_empty());
    assert_eq!(get(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO), 1);
    assert_eq!(get(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS), 7);
    assert_eq!(get(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS), 1);
    assert_eq!(get(socket.as_fd(), libc::SOL_SOCKET, libc::SO_PRIORITY), 3);
}

#[test]
fn our_own_options_are_in_force() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = SocketOptions {
        tcp_fast_open: Some(17),
        user_timeout: Some(2500),
        incoming_cpu: Some(0),
        linger: Some(9),
        others: vec![
            RawOption { level: libc::IPPROTO_TCP, name: libc::TCP_DEFER_ACCEPT, value: 1 },
            RawOption { level: libc::SOL_SOCKET, name: libc::SO_PRIORITY, value: 4 },
        ],
        ..SocketOptions::default()
    };
    assert!(options.apply(listener.as_fd(), Side::Listener).is_empty());
    let (socket, tcp) = (libc::SOL_SOCKET, libc::IPPROTO_TCP);
    assert_eq!(get(listener.as_fd(), tcp, libc::TCP_FASTOPEN), 17);
    assert_eq!(get(listener.as_fd(), tcp, libc::TCP_USER_TIMEOUT), 2500);
    assert_eq!(get(listener.as_fd(), socket, libc::SO_INCOMING_CPU), 0);
    assert_eq!(get(listener.as_fd(), tcp, libc::TCP_DEFER_ACCEPT), 1);
    assert_eq!(get(listener.as_fd(), socket, libc::SO_PRIORITY), 4);
    let mut linger = [0; 2];
    sockopt::get_words(listener.as_fd(), socket, libc::SO_LINGER, &mut linger).unwrap();
    assert_eq!(linger, [1, 9]);
}

#[test]
fn a_connection_gets_no_option_of_listeners() {
    let (a, _b) = std::os::unix::net::UnixStream::pair().unwrap();
    let options =
        SocketOptions { tcp_fast_open: Some(17), incoming_cpu: Some(0), ..SocketOptions::default() };
    assert!(options.apply(a.as_fd(), Side::Connection).is_empty());
    assert_eq!(options.apply(a.as_fd(), Side::Listener)[0].0, "TCPFastOpen=");
}

#[test]
fn a_unix_socket_may_refuse_descriptors_and_hear_of_processes() {
    let (a, _b) = std::os::unix::net::UnixStream::pair().unwrap();
    let options = SocketOptions {
        pass_pidfd: true,
        pass_security: true,
        refuse_file_descriptors: true,
        timestamping: Timestamping::Microseconds,
        ..SocketOptions::default()
    };
    assert!(options.apply(a.as_fd(), Side::Listener).is_empty());
    let socket = libc::SOL_SOCKET;
    assert_eq!(get(a.as_fd(), socket, libc::SO_PASSPIDFD), 1);
    assert_eq!(get(a.as_fd(), socket, libc::SO_PASSSEC), 1);
    assert_eq!(get(a.as_fd(), socket, SO_PASSRIGHTS), 0);
    assert_eq!(get(a.as_fd(), socket, libc::SO_TIMESTAMP), 1);
}
