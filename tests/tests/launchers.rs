//! The client library's servers under launchers of others: nothing of sockmgr runs here.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;

use sockmgr_tests::built;
use sockmgr_tests::command::tool;
use sockmgr_tests::http;
use sockmgr_tests::program::Program;
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::{PATIENCE, until_some};

/// A server that systemd-socket-activate starts on the first traffic.
fn activate(site: &Site, port: u16, options: &[&str], example: &str) -> Program {
    let mut command = Command::new(tool("systemd-socket-activate"));
    command.arg(format!("--listen={}", site.address(port))).args(options).arg(built::example(example));
    Program::start(&mut command, &site.path(format!("log-{example}")))
}

/// A server that systemfd starts at once.
fn systemfd(site: &Site, socket: &str, options: &[&str], example: &str) -> Program {
    let mut command = Command::new(tool("systemfd"));
    command.args(["--socket", socket]).args(options).arg("--").arg(built::example(example));
    Program::start(&mut command, &site.path(format!("log-{example}")))
}

/// The launcher needs a moment until it listens; what is accepted is not lost.
fn connected(address: SocketAddr) -> TcpStream {
    let stream = until_some("somebody listens", || TcpStream::connect(address).ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn asks_for_hello(address: SocketAddr) -> String {
    drop(connected(address));
    http::get(address, "/").unwrap()
}

fn echoes(mut stream: TcpStream) {
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
}

fn echoes_datagrams(address: SocketAddr) {
    let client = UdpSocket::bind((address.ip(), 0)).unwrap();
    client.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    let answer = until_some("a datagram comes back", || {
        // Refused as long as nobody has bound the address.
        client.send_to(b"hello", address).ok()?;
        let mut answer = [0; 99];
        let length = client.recv(&mut answer).ok()?;
        Some(answer[..length].to_vec())
    });
    assert_eq!(answer, b"hello");
}

#[test]
fn systemd_socket_activate_starts_the_http_server() {
    let site = Site::new();
    let _server = activate(&site, 80, &["--fdname=http"], "hello");
    assert!(asks_for_hello(site.address(80)).starts_with("hello from no unit, instance 1 of 1"));
}

#[test]
fn systemd_socket_activate_starts_echo_in_all_three_ways() {
    let site = Site::new();
    let _listener = activate(&site, 7, &[], "echo");
    echoes(connected(site.address(7)));
    let _each = activate(&site, 8, &["--accept"], "echo");
    echoes(connected(site.address(8)));
    let _inetd = activate(&site, 9, &["--accept", "--inetd"], "echo");
    echoes(connected(site.address(9)));
}

#[test]
fn systemd_socket_activate_starts_the_udp_server() {
    let site = Site::new();
    let _server = activate(&site, 7, &["--datagram"], "udp_echo");
    echoes_datagrams(site.address(7));
}

#[test]
fn systemd_socket_activate_starts_the_server_without_our_library() {
    let site = Site::new();
    let _server = activate(&site, 80, &[], "dev_server");
    assert!(!asks_for_hello(site.address(80)).is_empty());
}

#[test]
fn systemfd_starts_the_servers() {
    // Without LISTEN_PID is its way for those who go through a shell or cargo.
    for options in [&[][..], &["--no-pid"]] {
        let site = Site::new();
        let tcp = |port| format!("tcp::{}", site.address(port));
        let _hello = systemfd(&site, &format!("http::{}", site.address(80)), options, "hello");
        assert!(asks_for_hello(site.address(80)).starts_with("hello from no unit"));
        let _echo = systemfd(&site, &tcp(7), options, "echo");
        echoes(connected(site.address(7)));
        let _dev = systemfd(&site, &tcp(81), options, "dev_server");
        assert!(!asks_for_hello(site.address(81)).is_empty());
        let _udp = systemfd(&site, &format!("udp::{}", site.address(53)), options, "udp_echo");
        echoes_datagrams(site.address(53));
    }
}
