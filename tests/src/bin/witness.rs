//! A server that tells each client at once that it is accepted, so that a client knows whose loss it is.
//!
//! It says `accepted NAME`, waits for a line, says `answered NAME` and closes; NAME is unit and process id. To a datagram
//! it answers with NAME and the datagram. It adopts its sockets by the `listenfd` crate and says READY=1 by itself:
//! nothing of sockmgr's own libraries is in it. SIGTERM ends it at once, as it does with most servers.
//!
//! | variable | |
//! | --- | --- |
//! | `WITNESS_READY_MS` | it needs so long before it accepts, and is ready |
//! | `WITNESS_ANSWER_MS` | so long for each answer |
//! | `WITNESS_ONE_BY_ONE` | it accepts the next client when it has answered the one before, as forking and threaded servers do |
//! | `WITNESS_GRACE` | at SIGTERM it accepts nobody any more and finishes with those who are here |
//! | `WITNESS_SHUTS` | with the former: it shuts its listeners down first (shutdown(2)), and with them everybody else's |
//! | `WITNESS_CRASH_MS` | it aborts so long after it was ready; it has `doomed` in its name |
//! | `WITNESS_HTTP` | it speaks HTTP instead, one request on each connection |
//! | `WITNESS_BIND` | an address that it binds itself, with `SO_REUSEPORT`, as workers without a manager do |

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

/// The queue of a listener that it binds itself.
const BACKLOG: u32 = 4096;

/// What all tasks share.
struct Witness {
    name: String,
    answer: Duration,
    is_http: bool,
    is_one_by_one: bool,
    is_stopping: watch::Sender<bool>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    LocalSet::new().run_until(serve()).await
}

async fn serve() -> io::Result<()> {
    let doomed = if std::env::var_os("WITNESS_CRASH_MS").is_some() { " doomed" } else { "" };
    let unit = std::env::var("SOCKMGR_UNIT").unwrap_or_default();
    let name = format!("{unit} {}{doomed}", std::process::id());
    let (answer, is_http) = (milliseconds("WITNESS_ANSWER_MS"), std::env::var_os("WITNESS_HTTP").is_some());
    let is_stopping = watch::Sender::new(false);
    let is_one_by_one = std::env::var_os("WITNESS_ONE_BY_ONE").is_some();
    let witness = Rc::new(Witness { name, answer, is_http, is_one_by_one, is_stopping });
    if std::env::var_os("WITNESS_GRACE").is_some() {
        // From here on it is not the end of the process.
        let mut sigterm = signal(SignalKind::terminate())?;
        let witness = Rc::clone(&witness);
        tokio::task::spawn_local(async move {
            sigterm.recv().await;
            witness.is_stopping.send_replace(true);
        });
    }
    tokio::time::sleep(milliseconds("WITNESS_READY_MS")).await;
    let mut sockets = witness.open()?;
    ready()?;
    if std::env::var_os("WITNESS_CRASH_MS").is_some() {
        tokio::time::sleep(milliseconds("WITNESS_CRASH_MS")).await;
        std::process::abort();
    }
    while let Some(served) = sockets.join_next().await {
        served.expect("no task panics")?;
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

/// A listener of either kind.
trait Door: AsRawFd {
    type Client: AsyncRead + AsyncWrite + AsRawFd + Unpin + 'static;
    async fn accept(&self) -> io::Result<Self::Client>;
}

impl Door for TcpListener {
    type Client = TcpStream;
    async fn accept(&self) -> io::Result<TcpStream> {
        let (client, _) = self.accept().await?;
        client.set_nodelay(true).map(|()| client)
    }
}

impl Door for UnixListener {
    type Client = UnixStream;
    async fn accept(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(client, _)| client)
    }
}

impl Witness {
    /// Serves each socket that was passed, or its own.
    fn open(self: &Rc<Self>) -> io::Result<JoinSet<io::Result<()>>> {
        let mut tasks = JoinSet::new();
        if let Ok(address) = std::env::var("WITNESS_BIND") {
            let listener = bind(&address)?;
            tasks.spawn_local(Rc::clone(self).listen(listener));
        }
        let mut inherited = listenfd::ListenFd::from_env();
        for index in 0..inherited.len() {
            // A failed take leaves the descriptor in place, so that the next kind can be tried.
            if let Ok(Some(listener)) = inherited.take_tcp_listener(index) {
                listener.set_nonblocking(true)?;
                tasks.spawn_local(Rc::clone(self).listen(TcpListener::from_std(listener)?));
            } else if let Ok(Some(socket)) = inherited.take_udp_socket(index) {
                socket.set_nonblocking(true)?;
                tasks.spawn_local(Rc::clone(self).echo(UdpSocket::from_std(socket)?));
            } else if let Some(listener) = inherited.take_unix_listener(index)? {
                listener.set_nonblocking(true)?;
                tasks.spawn_local(Rc::clone(self).listen(UnixListener::from_std(listener)?));
            }
        }
        Ok(tasks)
    }

    /// Accepts until it is to stop, and returns when all clients are gone.
    async fn listen<D: Door>(self: Rc<Self>, door: D) -> io::Result<()> {
        let mut stop = self.is_stopping.subscribe();
        let mut clients = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = door.accept() => accepted,
                // Its place is given back.
                Some(_) = clients.join_next() => continue,
            };
            match accepted {
                Ok(client) => {
                    self.greet(client, &mut clients);
                    while self.is_one_by_one && clients.join_next().await.is_some() {}
                }
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        if std::env::var_os("WITNESS_SHUTS").is_some() {
            shutdown(door.as_raw_fd(), Shutdown::Both)?;
        }
        drop(door);
        while clients.join_next().await.is_some() {}
        Ok(())
    }

    /// Accepted, greeted and only then passed on: at most one client is accepted and does not know it.
    fn greet<C: AsyncRead + AsyncWrite + AsRawFd + Unpin + 'static>(
        self: &Rc<Self>,
        client: C,
        clients: &mut JoinSet<()>,
    ) {
        let greeting = format!("accepted {}\n", self.name);
        // Not by the runtime, which would wait to be told that there is room: in a new connection there is.
        let greeted = self.is_http
            || send(client.as_raw_fd(), greeting.as_bytes(), MsgFlags::MSG_NOSIGNAL) == Ok(greeting.len());
        // A client that is gone already needs no answer.
        if greeted {
            let witness = Rc::clone(self);
            // The client may leave before the end.
            clients.spawn_local(async move { drop(witness.answer(client).await) });
        }
    }

    async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        while self.is_http && !line.trim_end().is_empty() {
            line.clear();
            stream.read_line(&mut line).await?;
        }
        if !self.answer.is_zero() {
            tokio::time::sleep(self.answer).await;
        }
        let name = &self.name;
        let text = if self.is_http {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}\n",
                name.len() + 1
            )
        } else {
            format!("answered {name}\n")
        };
        stream.write_all(text.as_bytes()).await
    }

    /// Answers datagrams until it is to stop.
    async fn echo(self: Rc<Self>, socket: UdpSocket) -> io::Result<()> {
        let mut stop = self.is_stopping.subscribe();
        let mut bytes = [0; 2048];
        loop {
            let (length, client) = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                received = socket.recv_from(&mut bytes) => received?,
            };
            let answer = [self.name.as_bytes(), b" ", &bytes[..length]].concat();
            socket.send_to(&answer, client).await?;
        }
    }
}

fn bind(address: &str) -> io::Result<TcpListener> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
