//! A server that sends back what it gets, with threads of std: TCP and unix streams, started in any of the usual ways.
//!
//! By hand: `cargo run --example echo`, then `nc 127.0.0.1 3001`. Behind sockmgr: `units/echo`.
//!
//! - listeners passed (`Accept=no`): serves them all, a thread for each client;
//! - a connection passed (`Accept=yes`): serves that one client and ends;
//! - a listener or a connection on standard input (`StandardInput=socket`, inetd): the same two ways;
//! - nothing passed: binds 127.0.0.1:3001.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use sockmgr_client::{Inherited, Kind, Notifier, TakeError};

/// One socket to serve.
enum Served {
    TcpListener(TcpListener),
    UnixListener(UnixListener),
    TcpStream(TcpStream),
    UnixStream(UnixStream),
}

fn main() -> anyhow::Result<()> {
    let sockets = sockets()?;
    Notifier::from_env()?.ready()?;
    let threads: Vec<_> = sockets.into_iter().map(|socket| thread::spawn(|| serve(socket))).collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    }
    Ok(())
}

/// What there is to serve, in whichever way it was passed.
fn sockets() -> anyhow::Result<Vec<Served>> {
    let inherited = Inherited::from_env()?;
    if inherited.is_activated() {
        let all = inherited.descriptors();
        return all.iter().map(|one| Ok(take(one.kind, &By::Index(&inherited, one.index))?)).collect();
    }
    match Inherited::stdin_kind() {
        Kind::NotASocket => {}
        kind => return Ok(vec![take(kind, &By::Stdin)?]),
    }
    let listener: TcpListener = inherited.listen_or_bind("echo", "127.0.0.1:3001")?;
    eprintln!("echo: listening on {}", listener.local_addr()?);
    Ok(vec![Served::TcpListener(listener)])
}

/// Where a socket is taken from.
enum By<'a> {
    Index(&'a Inherited, usize),
    Stdin,
}

impl By<'_> {
    /// Takes it.
    fn take<T: sockmgr_client::Adopt>(&self) -> Result<T, TakeError> {
        match self {
            Self::Index(inherited, index) => inherited.take(*index),
            Self::Stdin => Inherited::take_stdin(),
        }
    }
}

/// Takes a socket as what it is; what cannot be echoed is refused as not being a listener.
fn take(kind: Kind, by: &By<'_>) -> Result<Served, TakeError> {
    Ok(match kind {
        Kind::UnixListener => Served::UnixListener(by.take()?),
        Kind::TcpStream => Served::TcpStream(by.take()?),
        Kind::UnixStream => Served::UnixStream(by.take()?),
        _ => Served::TcpListener(by.take()?),
    })
}

/// Serves one socket: a listener for good, a connection until its client has said all.
fn serve(socket: Served) -> io::Result<()> {
    // A launcher may have made a listener non-blocking (`NonBlocking=yes`), and these loops would spin.
    match socket {
        Served::TcpListener(listener) => {
            listener.set_nonblocking(false)?;
            accept(|| listener.accept().map(|(client, _)| client), echo_tcp)
        }
        Served::UnixListener(listener) => {
            listener.set_nonblocking(false)?;
            accept(|| listener.accept().map(|(client, _)| client), echo_unix)
        }
        Served::TcpStream(client) => echo_tcp(client),
        Served::UnixStream(client) => echo_unix(client),
    }
}

/// Accepts clients for good, and serves each in a thread of its own.
fn accept<C: Send + 'static>(
    next: impl Fn() -> io::Result<C>,
    echo: impl Fn(C) -> io::Result<()> + Copy + Send + 'static,
) -> io::Result<()> {
    loop {
        match next() {
            Ok(client) => drop(thread::spawn(move || echo(client))),
            // A client that went away before it was accepted, or no descriptor left for it: others will come.
            Err(error) => {
                eprintln!("echo: cannot accept: {error}");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Echoes a TCP connection.
fn echo_tcp(client: TcpStream) -> io::Result<()> {
    echo(&client, &client)
}

/// Echoes a unix connection.
fn echo_unix(client: UnixStream) -> io::Result<()> {
    echo(&client, &client)
}

/// Sends everything back until the client has no more to say.
fn echo(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    io::copy(&mut from, &mut to).map(drop)
}
