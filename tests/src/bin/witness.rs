//! A server that tells each client at once that it is accepted, so that a client knows whose loss it is.
//!
//! It says `accepted NAME`, waits for a line, says `answered NAME` and closes; NAME is unit and process id. It adopts its
//! listeners by the `listenfd` crate and says READY=1 by itself: nothing of sockmgr's own libraries is in it. SIGTERM ends
//! it at once, as it ends most servers. WITNESS_READY_MS delays its readiness; WITNESS_ANSWER_MS its answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;
use std::time::Duration;

fn main() -> io::Result<()> {
    let name = format!("{} {}", std::env::var("SOCKMGR_UNIT").unwrap_or_default(), std::process::id());
    let name = Arc::new(name);
    let mut inherited = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..inherited.len() {
        let name = Arc::clone(&name);
        // A failed take leaves the descriptor in place, so that the second kind can be tried.
        if let Ok(Some(listener)) = inherited.take_tcp_listener(index) {
            listener.set_nonblocking(false)?;
            listeners.push(std::thread::spawn(move || serve_tcp(&listener, &name)));
        } else if let Some(listener) = inherited.take_unix_listener(index)? {
            listener.set_nonblocking(false)?;
            listeners.push(std::thread::spawn(move || serve_unix(&listener, &name)));
        }
    }
    std::thread::sleep(milliseconds("WITNESS_READY_MS"));
    ready()?;
    for listener in listeners {
        listener.join().expect("no listener panics");
    }
    Ok(())
}

fn milliseconds(variable: &str) -> Duration {
    let value = std::env::var(variable).ok().and_then(|value| value.parse().ok());
    Duration::from_millis(value.unwrap_or(0))
}

fn ready() -> io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    UnixDatagram::unbound()?.send_to(b"READY=1", path).map(drop)
}

fn serve_tcp(listener: &TcpListener, name: &Arc<String>) {
    for stream in listener.incoming().flatten() {
        greet(stream, name);
    }
}

fn serve_unix(listener: &UnixListener, name: &Arc<String>) {
    for stream in listener.incoming().flatten() {
        greet(stream, name);
    }
}

/// Accepted, greeted and only then passed on: at most one client is accepted and does not know it.
fn greet(stream: impl Into<OwnedFd>, name: &Arc<String>) {
    let mut stream = std::fs::File::from(stream.into());
    // A client that is gone already needs no answer.
    if writeln!(stream, "accepted {name}").is_ok() {
        let name = Arc::clone(name);
        std::thread::spawn(move || answer(stream, &name));
    }
}

fn answer(mut stream: impl Read + Write, name: &str) -> io::Result<()> {
    let mut question = String::new();
    BufReader::new(&mut stream).read_line(&mut question)?;
    std::thread::sleep(milliseconds("WITNESS_ANSWER_MS"));
    writeln!(stream, "answered {name}")
}
