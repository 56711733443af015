//! A server that tells each client at once that it is accepted, so that a client knows whose loss it is.
//!
//! It says `accepted NAME`, waits for a line, says `answered NAME` and closes; NAME is unit and process id. It adopts its
//! listeners by the `listenfd` crate and says READY=1 by itself: nothing of sockmgr's own libraries is in it.
//! WITNESS_READY_MS delays its readiness, WITNESS_ANSWER_MS its answers. SIGTERM ends it at once, as it does with most
//! servers; with WITNESS_GRACE set it then accepts nobody any more and finishes with those who are here.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};

/// Between two looks at whether it is to stop.
const LOOK_MS: u8 = 20;

/// What all threads share.
#[derive(Default)]
struct Witness {
    name: String,
    is_stopping: AtomicBool,
    /// Clients that were accepted and not yet answered.
    inside: AtomicUsize,
}

fn main() -> io::Result<()> {
    let name = format!("{} {}", std::env::var("SOCKMGR_UNIT").unwrap_or_default(), std::process::id());
    let witness = Arc::new(Witness { name, ..Witness::default() });
    if std::env::var_os("WITNESS_GRACE").is_some() {
        stop_on_sigterm(&witness)?;
    }
    let mut inherited = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..inherited.len() {
        let witness = Arc::clone(&witness);
        // A failed take leaves the descriptor in place, so that the second kind can be tried.
        if let Ok(Some(listener)) = inherited.take_tcp_listener(index) {
            listener.set_nonblocking(true)?;
            let accept = |listener: &TcpListener| listener.accept().map(|(stream, _)| stream.into());
            listeners.push(thread::spawn(move || witness.serve(&listener, accept)));
        } else if let Some(listener) = inherited.take_unix_listener(index)? {
            listener.set_nonblocking(true)?;
            let accept = |listener: &UnixListener| listener.accept().map(|(stream, _)| stream.into());
            listeners.push(thread::spawn(move || witness.serve(&listener, accept)));
        }
    }
    thread::sleep(milliseconds("WITNESS_READY_MS"));
    ready()?;
    for listener in listeners {
        listener.join().expect("no listener panics")?;
    }
    while witness.inside.load(Ordering::SeqCst) > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Before any other thread, so that none of them gets the signal.
fn stop_on_sigterm(witness: &Arc<Witness>) -> io::Result<()> {
    let signals = SigSet::from(Signal::SIGTERM);
    signals.thread_block()?;
    let witness = Arc::clone(witness);
    thread::spawn(move || {
        if signals.wait().is_ok() {
            witness.is_stopping.store(true, Ordering::SeqCst);
        }
    });
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

impl Witness {
    fn serve<L: AsFd>(
        self: &Arc<Self>,
        listener: &L,
        accept: impl Fn(&L) -> io::Result<OwnedFd>,
    ) -> io::Result<()> {
        while !self.is_stopping.load(Ordering::SeqCst) {
            poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::from(LOOK_MS))?;
            match accept(listener) {
                Ok(stream) => self.greet(stream),
                // Another process that shares the listener was faster, or the client is gone again.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Accepted, greeted and only then passed on: at most one client is accepted and does not know it.
    fn greet(self: &Arc<Self>, stream: OwnedFd) {
        let mut stream = std::fs::File::from(stream);
        // A client that is gone already needs no answer.
        if writeln!(stream, "accepted {}", self.name).is_ok() {
            self.inside.fetch_add(1, Ordering::SeqCst);
            let witness = Arc::clone(self);
            thread::spawn(move || {
                // The client may leave before the end.
                let _ = witness.answer(stream);
                witness.inside.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    fn answer(&self, mut stream: impl Read + Write) -> io::Result<()> {
        let mut question = String::new();
        BufReader::new(&mut stream).read_line(&mut question)?;
        thread::sleep(milliseconds("WITNESS_ANSWER_MS"));
        writeln!(stream, "answered {}", self.name)
    }
}
