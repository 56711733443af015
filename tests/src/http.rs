//! A client of HTTP/1.1, one request per connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::wait::PATIENCE;

/// Asks over a new TCP connection and returns the body.
///
/// # Errors
/// Whatever the kernel says, and `InvalidData` for an answer that is not a whole 200.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange(&mut stream, path)
}

/// Asks over a new connection to a unix socket.
///
/// # Errors
/// As [`get`].
pub fn get_unix(socket: &Path, path: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange(&mut stream, path)
}

fn exchange(stream: &mut (impl Read + Write), path: &str) -> io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    body(&answer).map(str::to_owned).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, answer.clone()))
}

/// The body of a 200, if all of it is there.
fn body(answer: &str) -> Option<&str> {
    let (head, body) = answer.strip_prefix("HTTP/1.1 200 ")?.split_once("\r\n\r\n")?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    (length.is_none_or(|length: usize| length == body.len())).then_some(body)
}

/// What the example `hello` says about itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hello {
    /// The unit.
    pub unit: String,
    /// Which instance of how many.
    pub instance: (u32, u32),
    /// Its process.
    pub pid: i32,
}

impl Hello {
    /// Reads `hello from web@2.service, instance 2 of 4, pid 4711, request 1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().strip_prefix("hello from ")?.split(", ");
        let unit = parts.next()?.to_owned();
        let (number, of) = parts.next()?.strip_prefix("instance ")?.split_once(" of ")?;
        let pid = parts.next()?.strip_prefix("pid ")?.parse().ok()?;
        Some(Self { unit, instance: (number.parse().ok()?, of.parse().ok()?), pid })
    }
}

/// Asks the example `hello` who it is.
///
/// # Panics
/// When it does not answer.
#[must_use]
#[track_caller]
pub fn hello(address: SocketAddr) -> Hello {
    let body = get(address, "/").unwrap_or_else(|error| panic!("no answer from {address}: {error}"));
    Hello::parse(&body).unwrap_or_else(|| panic!("{body:?} is no hello"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_read() {
        let hello = Hello::parse("hello from web@2.service, instance 2 of 4, pid 4711, request 1\n").unwrap();
        assert_eq!(hello, Hello { unit: "web@2.service".to_owned(), instance: (2, 4), pid: 4711 });
        assert_eq!(Hello::parse("hello from PHP 8"), None);
    }

    #[test]
    fn half_an_answer_is_none() {
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), Some("hi"));
        for wrong in
            ["", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", "HTTP/1.1 502 Bad Gateway\r\n\r\n"]
        {
            assert_eq!(body(wrong), None, "{wrong}");
        }
    }
}
