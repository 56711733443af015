//! Is the load honest? Known faults go in, and the same counts must come out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;

use nix::sys::socket::{setsockopt, sockopt};

use super::*;

/// What a server does to each of its clients in turn.
#[derive(Clone, Copy)]
enum Deed {
    Answer,
    Close,
    Reset,
    AcceptAndClose,
    Lie,
    Ignore,
}

const DEEDS: [Deed; 6] =
    [Deed::Answer, Deed::Close, Deed::Reset, Deed::AcceptAndClose, Deed::Lie, Deed::Ignore];

/// A server that ends after so many clients.
fn server(clients: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut ignored = Vec::new();
        for deed in DEEDS.into_iter().cycle().take(clients) {
            ignored.extend(deed.perform(listener.accept().unwrap().0));
        }
        // The ignored ones wait for as long as somebody does.
        std::thread::sleep(PATIENCE);
    });
    address
}

impl Deed {
    /// Returns the client where it is to wait.
    fn perform(self, mut client: TcpStream) -> Option<TcpStream> {
        let mut line = String::new();
        BufReader::new(&client).read_line(&mut line).unwrap();
        assert_eq!(line, "please\n");
        match self {
            Self::Answer => client.write_all(b"accepted it\nanswered it\n").unwrap(),
            Self::Close => {}
            Self::Reset => {
                let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                setsockopt(&client, sockopt::Linger, &linger).unwrap();
            }
            Self::AcceptAndClose => client.write_all(b"accepted it\nansw").unwrap(),
            Self::Lie => client.write_all(b"what?\n").unwrap(),
            Self::Ignore => return Some(client),
        }
        None
    }
}

#[test]
fn each_fault_is_counted_as_what_it_is() {
    let rounds: usize = 20;
    let total = rounds * DEEDS.len();
    let plan = Plan::new(Server::Tcp(server(total)), 500).total(total as u64);
    let report = plan.patience(Duration::from_secs(2)).start().finish();
    let is = |name: &str| End::Answered(name.to_owned());
    let expected = [
        (is("it"), rounds as u64),
        (End::Abandoned("it".to_owned()), rounds as u64),
        (End::Lost(Loss::Reset), rounds as u64),
        (End::Lost(Loss::Eof), rounds as u64),
        (End::Lost(Loss::Timeout), rounds as u64),
        (End::Lost(Loss::Mismatch), rounds as u64),
    ];
    assert_eq!(report.ends, expected.into_iter().collect());
    assert_eq!((report.total(), report.lost()), (total, total - rounds));
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let report = Plan::new(Server::Tcp(address), 1000).total(50).start().finish();
    assert_eq!(report.count(|end| matches!(end, End::Refused(_))), 50, "{report}");
}

#[test]
fn a_full_unix_queue_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    nix::sys::socket::listen(&_listener, nix::sys::socket::Backlog::new(4).unwrap()).unwrap();
    let plan = Plan::new(Server::Unix(path), 1000).total(50).patience(Duration::from_millis(200));
    let report = plan.start().finish();
    let timeouts = report.count(|end| *end == End::Lost(Loss::Timeout));
    let refused = report.count(|end| matches!(end, End::Refused(_)));
    assert_eq!((timeouts, refused), (5, 45), "{report}");
}

/// A stall of the server is charged to every connection that should have come in it.
#[test]
fn time_counts_from_when_a_connection_was_due() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(400));
        while let Ok((client, _)) = listener.accept() {
            Deed::Answer.perform(client);
        }
    });
    let report = Plan::new(Server::Tcp(address), 250).total(200).start().finish();
    report.nothing_lost();
    assert!(report.longest() >= Duration::from_millis(390), "{report}");
    // They were due over the first 400 ms, evenly: a quarter of all waited for more than 200 ms.
    assert!(report.quantile(0.75) >= Duration::from_millis(190), "{report}");
}

#[test]
fn datagrams_that_vanish_are_missed_and_moves_are_seen() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        for turn in 0..200 {
            let (length, client) = socket.recv_from(&mut bytes).unwrap();
            let who = if turn < 100 { &b"one "[..] } else { b"two " };
            // Each tenth gets no answer.
            if turn % 10 != 9 {
                socket.send_to(&[who, &bytes[..length]].concat(), client).unwrap();
            }
        }
    });
    let plan = Plan::new(Server::Udp(address, 8), 1000).total(200).patience(Duration::from_millis(500));
    let report = plan.start().finish();
    assert_eq!(report.count(|end| *end == End::Lost(Loss::Timeout)), 20, "{report}");
    assert_eq!(report.shares(), [("one", 90), ("two", 90)].into_iter().collect());
    assert_eq!(report.moves, 8, "each client moves once");
}

/// As servers do that stop: the second question on a connection gets no answer, because its end was under way already.
#[test]
fn a_question_on_a_connection_that_has_just_ended_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok((mut client, _)) = listener.accept() {
            let _ = client.read(&mut bytes);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserver");
            let _ = client.read(&mut bytes);
        }
    });
    let exchange = Exchange::Http { requests: 3, pause: Duration::from_millis(5) };
    let report = Plan::new(Server::Tcp(address), 100).exchange(exchange).total(5).start().finish();
    report.nothing_lost();
    assert_eq!(report.total(), 15, "{report}");
}
