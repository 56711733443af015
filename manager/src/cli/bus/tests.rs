//! The connection against a server in a thread, at the other end of a socket pair.

use std::num::NonZeroU32;
use std::thread::{self, JoinHandle};

use super::*;

/// A server at the other end of a socket pair.
struct Server(UnixStream);

impl Server {
    /// Runs `script` as the server of a new connection, with the handshake done.
    fn run(script: impl FnOnce(&mut Self) + Send + 'static) -> (Bus, JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut server = Self(theirs);
            server.read(HANDSHAKE.len());
            server.0.write_all(b"DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n").unwrap();
            script(&mut server);
        });
        (Bus::over(ours, false), server)
    }

    fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads one call, to its serial number.
    fn call(&mut self) -> Message {
        let fixed = self.read(Frame::FIXED);
        let frame = Frame::of(&fixed).unwrap().unwrap();
        self.read(frame.total() - Frame::FIXED);
        let serial = u32::from_ne_bytes(fixed[8..12].try_into().unwrap());
        let call = Message::method_call("/", "Any").serial(NonZeroU32::new(serial).unwrap());
        call.build(&()).unwrap()
    }

    fn answer<B: Serialize + DynamicType>(&mut self, call: &Message, body: &B) {
        self.send(&Message::method_return(&call.header()).build(body).unwrap());
    }

    fn send(&mut self, message: &Message) {
        self.0.write_all(message.data().bytes()).unwrap();
    }
}

fn any<B>(body: B) -> Call<'static, B> {
    Call { path: "/x", interface: "org.example.X", member: "Any", body }
}

fn removed(number: u32) -> Message {
    Message::signal("/x", "org.example.X", "Removed").build(&(number, "done")).unwrap()
}

#[test]
fn a_call_has_its_answer() {
    let (mut bus, server) = Server::run(|server| {
        let call = server.call();
        server.answer(&call, &(7u32, vec!["a", "b"]));
        let call = server.call();
        server.answer(&call, &());
    });
    let answer: (u32, Vec<String>) = bus.call(&any(("x", 1u8))).unwrap();
    assert_eq!(answer, (7, vec!["a".into(), "b".into()]));
    bus.call::<(), _>(&any(())).unwrap();
    server.join().unwrap();
}

#[test]
fn an_error_has_its_name_and_text() {
    let (mut bus, server) = Server::run(|server| {
        let call = server.call();
        let error = Message::error(&call.header(), "org.example.Bad").build(&"went wrong").unwrap();
        server.send(&error);
    });
    let error = bus.call::<(), _>(&any(())).unwrap_err();
    assert_eq!((error.name(), error.to_string().as_str()), (Some("org.example.Bad"), "went wrong"));
    server.join().unwrap();
}

#[test]
fn a_pipeline_keeps_the_order_of_its_calls() {
    const COUNT: u32 = 3 * WINDOW as u32 + 5;
    let (mut bus, server) = Server::run(|server| {
        for number in 0..COUNT {
            let call = server.call();
            if number % 10 == 0 {
                server.send(&removed(number));
            }
            match number {
                3 => server.send(&Message::error(&call.header(), "org.example.Bad").build(&"3").unwrap()),
                4 => server.answer(&call, &"a text where a number is due"),
                _ => server.answer(&call, &number),
            }
        }
    });
    let answers: Vec<Result<u32, BusError>> = bus.pipeline((0..COUNT).map(any)).unwrap();
    for (number, answer) in (0..COUNT).zip(&answers) {
        match number {
            3 => assert_eq!(answer.as_ref().unwrap_err().name(), Some("org.example.Bad")),
            4 => assert!(matches!(answer, Err(BusError::Protocol(_)))),
            _ => assert_eq!(*answer.as_ref().unwrap(), number),
        }
    }
    // Signals that came between the answers wait in order.
    for number in (0..COUNT).step_by(10) {
        let signal = bus.next_signal(None).unwrap().unwrap();
        assert_eq!(signal.member, "Removed");
        assert_eq!(signal.arguments::<(u32, String)>().unwrap(), (number, "done".into()));
    }
    server.join().unwrap();
}

#[test]
fn messages_may_come_in_pieces() {
    let (mut bus, server) = Server::run(|server| {
        let call = server.call();
        let answer = Message::method_return(&call.header()).build(&"piecemeal").unwrap();
        for byte in answer.data().bytes() {
            server.0.write_all(&[*byte]).unwrap();
        }
    });
    assert_eq!(bus.call::<String, _>(&any(())).unwrap(), "piecemeal");
    server.join().unwrap();
}

#[test]
fn the_end_of_the_server_is_an_error() {
    let (mut bus, server) = Server::run(|server| {
        server.call();
    });
    assert!(matches!(bus.call::<(), _>(&any(())), Err(BusError::Closed)));
    assert!(matches!(bus.next_signal(None), Err(BusError::Closed)));
    server.join().unwrap();
}

#[test]
fn waiting_for_a_signal_ends_in_time() {
    let (mut bus, server) = Server::run(|server| {
        // The client going away ends this.
        let _ = server.0.read(&mut [0]);
    });
    assert!(bus.next_signal(Some(Duration::from_millis(20))).unwrap().is_none());
    drop(bus);
    server.join().unwrap();
}

#[test]
fn a_refusal_and_nonsense_are_told_apart() {
    let answer = |bytes: &'static [u8]| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(bytes).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let error = Bus::over(ours, true).call::<(), _>(&any(())).unwrap_err();
        drop(theirs);
        error
    };
    assert!(matches!(answer(b"REJECTED EXTERNAL\r\n"), BusError::Refused(_)));
    assert!(matches!(answer(b"DATA\r\nOK x\r\nHTTP/1.1 400 Bad Request"), BusError::Protocol(_)));
    assert!(matches!(answer(b"DATA\r\n"), BusError::Closed));
    static ENDLESS: [u8; 2 * HANDSHAKE_LINE_MAX] = [b'x'; 2 * HANDSHAKE_LINE_MAX];
    assert!(matches!(answer(&ENDLESS), BusError::Protocol(_)));
}
