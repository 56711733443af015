//! Metrics: what the manager sees, as OpenMetrics text over HTTP, on the socket that `MetricsListen=` names.
//!
//! Never here: counting; each scrape looks at the engine and the kernel. Invariant: a client can make the manager neither wait nor keep
//! much: the head of its request, for a few seconds.

mod text;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sockmgr_sys::listener::{self, ListenAddress, ListenerSpec, Node, SocketKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

use crate::control::Core;

/// Clients at once; one more is closed.
const CLIENTS_MAX: usize = 8;
/// Time for request and answer together.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const HEAD_MAX: usize = 8 * 1024;
/// Wait after a failed accept(2), which is for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What OpenMetrics calls itself.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The open socket. Clients are served for as long as the runtime runs.
#[derive(Debug)]
pub struct Metrics {
    node: Option<Node>,
}

/// Begins to serve metrics of `core` at `address`.
///
/// # Errors
/// It cannot be listened on.
pub fn serve<C: Core + 'static>(core: Rc<RefCell<C>>, address: ListenAddress) -> io::Result<Metrics> {
    let is_unix = match address {
        ListenAddress::Inet(_) => false,
        ListenAddress::UnixPath(_) | ListenAddress::UnixAbstract(_) => true,
        ListenAddress::Vsock { .. } | ListenAddress::Netlink { .. } => {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
    };
    let spec = ListenerSpec::new(SocketKind::Stream, address);
    let opened = listener::open(&spec).map_err(|error| io::Error::other(crate::driver::chain(&error)))?;
    if is_unix {
        let listener = UnixListener::from_std(from_fd(opened.fd))?;
        spawn_local(accept(core, async move || listener.accept().await.map(|(stream, _)| stream)));
    } else {
        let listener = TcpListener::from_std(from_fd(opened.fd))?;
        spawn_local(accept(core, async move || listener.accept().await.map(|(stream, _)| stream)));
    }
    Ok(Metrics { node: opened.node })
}

impl Metrics {
    /// Removes the path of the socket.
    pub fn stop(self) {
        if let Some(Err(error)) = self.node.as_ref().map(listener::remove) {
            tracing::debug!("cannot remove the path of the metrics' socket: {error}");
        }
    }
}

fn from_fd<T: From<OwnedFd>>(fd: OwnedFd) -> T {
    T::from(fd)
}

async fn accept<C: Core + 'static, S: AsyncRead + AsyncWrite + Unpin + 'static>(
    core: Rc<RefCell<C>>,
    next: impl AsyncFn() -> io::Result<S>,
) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        match (next().await, places.clone().try_acquire_owned()) {
            (Ok(stream), Ok(place)) => {
                let core = core.clone();
                spawn_local(async move {
                    let _place = place;
                    answer_in_time(exchange(stream, &*core)).await;
                });
            }
            (Ok(_), Err(_)) => tracing::debug!("more than {CLIENTS_MAX} clients of the metrics at once"),
            (Err(error), _) => {
                tracing::warn!(%error, "cannot accept a client of the metrics");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer_in_time(exchange: impl Future<Output = io::Result<()>>) {
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client of the metrics went away"),
        Err(_) => tracing::debug!("a client of the metrics was too slow"),
    }
}

/// One request, one answer.
async fn exchange<C: Core>(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    core: &RefCell<C>,
) -> io::Result<()> {
    let Some(head) = read_head(&mut stream).await? else { return Ok(()) };
    let answer = match wanted(&head) {
        Ok(wanted) => match text::of(&*core.borrow()) {
            Ok(text) => response("200 OK", CONTENT_TYPE, &text, wanted == Wanted::Head),
            Err(error) => response("500 Internal Server Error", "text/plain", &error.to_string(), false),
        },
        Err(status) => response(status, "text/plain", status, false),
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Up to the empty line, or as much as there may be; `None` when the client leaves before.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while !is_complete(&head) && head.len() < HEAD_MAX {
        match stream.read(&mut part).await? {
            0 => return Ok(None),
            length => head.extend(&part[..length]),
        }
    }
    Ok(Some(head))
}

fn is_complete(head: &[u8]) -> bool {
    head.windows(4).any(|window| window == b"\r\n\r\n")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Get,
    Head,
}

/// What a request is for, or the status that it gets (RFC 9110).
fn wanted(head: &[u8]) -> Result<Wanted, &'static str> {
    if !is_complete(head) {
        return Err("431 Request Header Fields Too Large");
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words.as_slice() else { return Err("400 Bad Request") };
    if !version.starts_with(b"HTTP/1.") {
        return Err("400 Bad Request");
    }
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    match (*method, path) {
        (b"GET", b"/metrics" | b"/") => Ok(Wanted::Get),
        (b"HEAD", b"/metrics" | b"/") => Ok(Wanted::Head),
        (b"GET" | b"HEAD", _) => Err("404 Not Found"),
        (_, _) => Err("405 Method Not Allowed"),
    }
}

fn response(status: &str, kind: &str, body: &str, is_head: bool) -> String {
    let length = body.len();
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let body = if is_head { "" } else { body };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let rows: [(&[u8], Result<Wanted, &str>); 10] = [
            (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Ok(Wanted::Get)),
            (b"GET / HTTP/1.0\r\n\r\n", Ok(Wanted::Get)),
            (b"HEAD /metrics?x=1 HTTP/1.1\r\n\r\n", Ok(Wanted::Head)),
            (b"GET /other HTTP/1.1\r\n\r\n", Err("404 Not Found")),
            (b"POST /metrics HTTP/1.1\r\n\r\n", Err("405 Method Not Allowed")),
            (b"PRI * HTTP/2.0\r\n\r\n", Err("400 Bad Request")),
            (b"GET  /metrics HTTP/1.1\r\n\r\n", Err("400 Bad Request")),
            (b"\r\n\r\n", Err("400 Bad Request")),
            (b"\x16\x03\x01\xff\r\n\r\n", Err("400 Bad Request")),
            (b"GET /metrics HTTP/1.1\r\nX: y", Err("431 Request Header Fields Too Large")),
        ];
        for (head, expected) in rows {
            assert_eq!(wanted(head), expected, "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn a_head_has_the_length_of_what_it_leaves_out() {
        let answer = response("200 OK", "text/plain", "abc", true);
        assert!(answer.contains("Content-Length: 3\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_head_without_an_end_is_given_up_at_its_limit() {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        client.write_all(&vec![b'x'; 3 * HEAD_MAX]).await.unwrap();
        let head = read_head(&mut server).await.unwrap().unwrap();
        assert!((HEAD_MAX..HEAD_MAX + 1024).contains(&head.len()));
        drop(client);
        let (client, mut server) = tokio::io::duplex(64);
        drop(client);
        assert_eq!(read_head(&mut server).await.unwrap(), None);
    }
}
