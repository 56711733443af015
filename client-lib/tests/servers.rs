//! The examples as real servers, launched in every way that they promise to understand.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use common::{Launch, ListenPid, PATIENCE, Server, example, expect_echo, get, launched, tcp, unix};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A TCP listener on a free port.
fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// A fresh directory, and a path for a socket in it.
fn socket_path() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.sock");
    (directory, path)
}

/// `systemd-socket-activate`, listening on `path`, for an example.
fn by_systemd(path: &Path, options: &[&str], name: &str) -> Server {
    let program = example(name);
    let mut arguments = vec![OsStr::new("--listen"), path.as_os_str()];
    arguments.extend(options.iter().map(OsStr::new));
    arguments.push(program.as_os_str());
    Server::systemd_socket_activate(&arguments)
}

/// The next message to a notify socket.
fn told(socket: &UnixDatagram) -> String {
    let mut text = [0; 256];
    let length = socket.recv(&mut text).unwrap();
    String::from_utf8(text[..length].to_vec()).unwrap()
}

#[test]
fn hello_says_who_it_is() {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let launch = Launch::new()
        .socket(listener)
        .names("http")
        .variable("SOCKMGR_UNIT", "web@2.service")
        .variable("SOCKMGR_INSTANCE", "2")
        .variable("SOCKMGR_INSTANCES", "4");
    let server = launch.start(&example("hello"), &[]);
    for request in 1..=3 {
        let expected =
            format!("hello from web@2.service, instance 2 of 4, pid {}, request {request}\n", server.id());
        assert_eq!(get(tcp(address), "/"), expected);
    }
}

#[test]
fn hello_serves_all_listeners_of_a_launcher_without_pid_and_names() {
    let (_directory, path) = socket_path();
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let launch = Launch::new().socket(listener).socket(UnixListener::bind(&path).unwrap());
    let _server = launch.pid(ListenPid::Absent).start(&example("hello"), &[]);
    assert!(get(tcp(address), "/").contains("request 1"));
    assert!(get(unix(&path), "/").contains("request 2"));
}

#[test]
fn hello_finishes_its_requests_before_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let notify = directory.path().join("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let launch = Launch::new().socket(listener).variable("NOTIFY_SOCKET", &notify);
    let mut server = launch.start(&example("hello"), &[]);
    assert_eq!(told(&manager), "READY=1");

    // A client that says nothing must not hold up the stop for good.
    let _silent = tcp(address);
    // One that has been accepted and says something late is answered all the same.
    let mut late = tcp(address);
    let slow = thread::spawn(move || get(tcp(address), "/slow?ms=1000"));
    // The server counts one request more than we make here: it has the slow one.
    let made = (1..).find(|made| get(tcp(address), "/").contains(&format!("request {}\n", made + 1)));
    assert!(!slow.is_finished(), "the slow request is in flight after {made:?} others");
    server.signal(Signal::SIGTERM);
    assert_eq!(told(&manager), "STOPPING=1");
    assert!(get(&mut late, "/").starts_with("hello from no unit, instance 1 of 1, pid "));
    assert!(slow.join().unwrap().starts_with("hello from no unit, instance 1 of 1, pid "));
    let (status, output) = server.wait();
    assert!(status.success(), "{status} {output}");
}

/// Reads up to the end of a part of the answer, which is text.
fn read_past(client: &mut impl Read, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    text
}

#[test]
fn hello_ends_connections_that_last_in_a_way_that_their_clients_understand() {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let mut server = Launch::new().socket(listener).start(&example("hello"), &[]);
    let (mut kept, mut endless) = (tcp(address), tcp(address));
    kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(!read_past(&mut kept, "request 1\n").contains("connection: close"), "it is kept alive");
    endless.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_past(&mut endless, "data: 2\n\n");
    // Under way when the drain begins, and asked after it has begun, on the same connection.
    kept.write_all(b"GET /slow?ms=300 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    get(tcp(address), "/");
    server.signal(Signal::SIGTERM);
    read_past(&mut endless, "data: goodbye\n\n");
    read_past(&mut endless, "0\r\n\r\n");
    let last = read_past(&mut kept, "request 4\n");
    assert!(last.contains("connection: close"), "{last}");
    assert_eq!(kept.read(&mut [0]).unwrap(), 0, "the connection ends in order");
    let (status, output) = server.wait();
    assert!(status.success(), "{status} {output}");
}

#[test]
fn hello_runs_under_systemd_socket_activate() {
    let (_directory, path) = socket_path();
    let _server = by_systemd(&path, &["--fdname=http"], "hello");
    assert!(get(unix(&path), "/").contains("request 1"));
    assert!(get(unix(&path), "/").contains("request 2"));
}

#[test]
fn dev_server_needs_only_listenfd() {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let launch = Launch::new().socket(listener).pid(ListenPid::Absent);
    let mut server = launch.start(&example("dev_server"), &[]);
    assert_eq!(get(tcp(address), "/"), format!("hello from pid {}\n", server.id()));
    server.signal(Signal::SIGTERM);
    assert!(server.wait().0.success());
}

#[test]
fn echo_serves_listeners() {
    let (_directory, path) = socket_path();
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let launch = Launch::new().socket(listener).socket(UnixListener::bind(&path).unwrap()).names("tcp:unix");
    let _server = launch.start(&example("echo"), &[]);
    let clients = [tcp(address), tcp(address)];
    clients.iter().rev().for_each(|client| expect_echo(client.try_clone().unwrap(), "over TCP"));
    expect_echo(unix(&path), "over a unix socket");
}

#[test]
fn echo_serves_one_connection_and_ends() {
    let (client, served) = UnixStream::pair().unwrap();
    let mut server = Launch::new().socket(served).names("connection").start(&example("echo"), &[]);
    expect_echo(client.try_clone().unwrap(), "one connection");
    client.shutdown(Shutdown::Write).unwrap();
    assert!(server.wait().0.success());
}

#[test]
fn echo_runs_under_systemd_socket_activate() {
    for options in [&[][..], &["--accept"], &["--inetd"], &["--inetd", "--accept"]] {
        let (_directory, path) = socket_path();
        let _server = by_systemd(&path, options, "echo");
        for text in ["first", "second"] {
            let client = unix(&path);
            expect_echo(client.try_clone().unwrap(), text);
            client.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            (&client).read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty(), "{options:?}: nothing but the echo");
        }
    }
}

#[test]
fn echo_serves_the_connection_on_standard_input() {
    let listener = listener();
    let client = tcp(listener.local_addr().unwrap());
    let served = OwnedFd::from(listener.accept().unwrap().0);
    let mut command = Command::new(example("echo"));
    let stdio = common::clean(&mut command).stdin(served.try_clone().unwrap()).stdout(served);
    let mut child = stdio.stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    expect_echo(client.try_clone().unwrap(), "as inetd does it");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&client).read(&mut [0]).unwrap(), 0, "the connection ends");
    assert!(child.wait().unwrap().success());
}

#[test]
fn udp_echo_answers_the_datagram_that_woke_it_up() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(socket.local_addr().unwrap()).unwrap();
    client.send(b"first").unwrap();
    let _server = Launch::new().socket(socket).names("echo").start(&example("udp_echo"), &[]);
    for text in [&b"first"[..], b"second"] {
        let mut answer = [0; 16];
        let length = client.recv(&mut answer).unwrap();
        assert_eq!(&answer[..length], text);
        client.send(b"second").unwrap();
    }
}

#[test]
fn by_hand_a_server_binds_its_own_address() {
    launched("by_hand_a_server_binds_its_own_address", Launch::new, || {
        let own: TcpListener = sockmgr_client::listen_or_bind("http", "127.0.0.1:0").unwrap();
        let client = TcpStream::connect(own.local_addr().unwrap()).unwrap();
        assert_eq!(own.accept().unwrap().1, client.local_addr().unwrap());
    });
}
