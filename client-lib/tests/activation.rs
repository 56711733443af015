//! Adopting descriptors, in processes that were really started with them: each test starts itself once more.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::Command;

use common::{Launch, ListenPid, launched};
use sockmgr_client::{EnvironmentError, Inherited, Kind, ListenError, TakeError};

/// A TCP listener on a free port.
fn tcp_listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// A UDP socket on a free port.
fn udp_socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

#[test]
fn names_and_order_are_those_of_the_launcher() {
    let launch = || {
        let path = tempfile::tempdir().unwrap().path().join("control.sock");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let control = UnixListener::bind(&path).unwrap();
        Launch::new().socket(tcp_listener()).socket(udp_socket()).socket(control).names("http:dns:control")
    };
    launched("names_and_order_are_those_of_the_launcher", launch, || {
        let inherited = Inherited::from_env().unwrap();
        let all: Vec<_> =
            inherited.descriptors().into_iter().map(|it| (it.index, it.fd, it.name, it.kind)).collect();
        let expected = [
            (0, 3, "http".to_owned(), Kind::TcpListener),
            (1, 4, "dns".to_owned(), Kind::UdpSocket),
            (2, 5, "control".to_owned(), Kind::UnixListener),
        ];
        assert_eq!(all, expected);
        assert_eq!(inherited.take::<UdpSocket>("dns").unwrap().as_raw_fd(), 4);
        assert_eq!(inherited.take::<UnixListener>(2).unwrap().as_raw_fd(), 5);
        assert_eq!(inherited.take::<TcpListener>("http").unwrap().as_raw_fd(), 3);
    });
}

#[test]
fn a_launcher_need_not_know_the_process_id() {
    let launch = || Launch::new().socket(tcp_listener()).pid(ListenPid::Absent);
    launched("a_launcher_need_not_know_the_process_id", launch, || {
        let listener: TcpListener = sockmgr_client::listen_or_bind("http", "nowhere").unwrap();
        assert_eq!(listener.as_raw_fd(), 3);
    });
}

#[test]
fn descriptors_for_another_process_are_left_alone() {
    let launch = || Launch::new().socket(tcp_listener()).pid(ListenPid::Other);
    launched("descriptors_for_another_process_are_left_alone", launch, || {
        let inherited = Inherited::from_env().unwrap();
        assert!(!inherited.is_activated());
        assert!(fs::exists("/proc/self/fd/3").unwrap(), "the descriptor is still open");
    });
}

#[test]
fn adopted_descriptors_do_not_reach_children() {
    let launch = || Launch::new().socket(tcp_listener());
    launched("adopted_descriptors_do_not_reach_children", launch, || {
        let sees = || Command::new("test").args(["-e", "/proc/self/fd/3"]).status().unwrap().success();
        assert!(sees(), "the descriptor came without close-on-exec");
        let _inherited = Inherited::from_env().unwrap();
        assert!(!sees(), "and is close-on-exec once adopted");
    });
}

#[test]
fn two_callers_share_one_table() {
    let launch = || Launch::new().socket(tcp_listener()).names("http");
    launched("two_callers_share_one_table", launch, || {
        let (one, other) = (Inherited::from_env().unwrap(), Inherited::from_env().unwrap());
        let listener: TcpListener = one.take("http").unwrap();
        assert!(matches!(other.take::<TcpListener>("http"), Err(TakeError::AlreadyTaken { .. })));
        assert!(matches!(other.take::<OwnedFd>(0), Err(TakeError::AlreadyTaken { .. })));
        drop(listener);
        // The number is free for others now, and stays out of reach of the table.
        let third = Inherited::from_env().unwrap();
        assert!(matches!(third.take::<TcpListener>("http"), Err(TakeError::AlreadyTaken { .. })));
    });
}

#[test]
fn only_one_of_many_threads_gets_it() {
    let launch = || Launch::new().socket(tcp_listener()).names("http");
    launched("only_one_of_many_threads_gets_it", launch, || {
        let take = || Inherited::from_env().unwrap().take::<TcpListener>("http");
        let threads: Vec<_> = (0..16).map(|_| std::thread::spawn(take)).collect();
        let taken: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect();
        assert_eq!(taken.len(), 1);
    });
}

#[test]
fn the_wrong_kind_is_named_and_stays() {
    let launch = || Launch::new().socket(udp_socket()).names("dns");
    launched("the_wrong_kind_is_named_and_stays", launch, || {
        let inherited = Inherited::from_env().unwrap();
        let error = inherited.take::<TcpListener>("dns").unwrap_err();
        assert_eq!(error.to_string(), "LISTEN_FDS: fd 3 (dns) is a UDP socket, expected a TCP listener");
        inherited.take::<UdpSocket>("dns").unwrap();
    });
}

#[test]
fn an_activated_program_does_not_bind() {
    let launch = || Launch::new().socket(tcp_listener()).names("http");
    launched("an_activated_program_does_not_bind", launch, || {
        let error = sockmgr_client::listen_or_bind::<TcpListener>("https", "127.0.0.1:0").unwrap_err();
        assert!(matches!(error, ListenError::Take(TakeError::NotFound { .. })), "{error}");
        let listener: TcpListener = sockmgr_client::listen_or_bind("http", "127.0.0.1:0").unwrap();
        assert_eq!(listener.as_raw_fd(), 3);
    });
}

#[test]
fn what_this_program_opened_is_not_adopted() {
    let launch = || Launch::new().promised(1);
    launched("what_this_program_opened_is_not_adopted", launch, || {
        // The lowest free number, unless the test program itself has something there.
        let ours = tcp_listener();
        assert!(ours.as_raw_fd() >= 3);
        let error = Inherited::from_env().unwrap_err();
        assert_eq!(error, EnvironmentError::NotInherited { fd: 3 });
        ours.local_addr().unwrap();
    });
}

#[test]
fn a_broken_promise_is_an_error() {
    let mut server = Launch::new().socket(tcp_listener()).promised(2).start(&common::example("echo"), &[]);
    let (status, output) = server.wait();
    assert_eq!(status.code(), Some(1));
    assert!(output.contains("LISTEN_FDS promises fd 4, but it is not open"), "{output}");
}

#[test]
fn the_socket_on_standard_input_is_taken_once() {
    // A shell cannot pass a socket on standard input and at fd 3 at once, and need not.
    let this = std::env::current_exe().unwrap();
    if std::env::var_os("SOCKMGR_TEST_STDIN").is_none() {
        let mut command = Command::new(this);
        common::clean(&mut command).args([
            "the_socket_on_standard_input_is_taken_once",
            "--exact",
            "--nocapture",
        ]);
        command.env("SOCKMGR_TEST_STDIN", "1").stdin(OwnedFd::from(tcp_listener()));
        let output = command.output().unwrap();
        return assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(Inherited::stdin_kind(), Kind::TcpListener);
    let error = Inherited::take_stdin::<UdpSocket>().unwrap_err();
    let expected = "StandardInput=socket: fd 0 (standard input) is a TCP listener, expected a UDP socket";
    assert_eq!(error.to_string(), expected);
    let listener: TcpListener = Inherited::take_stdin().unwrap();
    assert!(listener.as_raw_fd() > 2);
    assert_eq!(fs::read_link("/proc/self/fd/0").unwrap().to_str(), Some("/dev/null"));
    assert!(matches!(Inherited::take_stdin::<TcpListener>(), Err(TakeError::AlreadyTaken { .. })));
}

#[test]
fn tokio_types_need_a_runtime() {
    let launch = || Launch::new().socket(tcp_listener()).names("http");
    launched("tokio_types_need_a_runtime", launch, || {
        let inherited = Inherited::from_env().unwrap();
        let error = inherited.take::<tokio::net::TcpListener>("http").unwrap_err();
        assert!(matches!(error, TakeError::NoRuntime));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener: tokio::net::TcpListener = inherited.take("http").unwrap();
            let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
            let (client, served) = tokio::join!(client, listener.accept());
            assert_eq!(client.unwrap().local_addr().unwrap(), served.unwrap().1);
        });
    });
}
