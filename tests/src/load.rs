//! An open-loop load: connections come at their rate, whether the servers keep up or not, as clients of the world do.
//!
//! A closed loop would wait while a server is down, and so hide what is lost. Invariant: every connection that was due
//! is in the report with exactly one end.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::wait::{PATIENCE, until};

/// Clients that may wait at one time; more than ever do at the rates of the tests.
const CLIENTS: u32 = 200;

/// Whom to connect to.
#[derive(Clone, Debug)]
pub enum Server {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was answered in full; by whom.
    Answered(String),
    /// The server that had accepted it, as it said itself, did not finish: this is whom it was.
    Abandoned(String),
    /// It ended without any word of a server.
    Lost(String),
    /// There was nobody to connect to.
    Refused(String),
}

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Connection>>>,
}

#[derive(Debug)]
struct Shared {
    server: Server,
    begin: Instant,
    interval: Duration,
    due: AtomicU32,
    answered: AtomicU32,
    is_over: AtomicBool,
}

/// One connection of the load.
#[derive(Clone, Debug)]
pub struct Connection {
    /// How it ended.
    pub end: End,
    /// From when it was due to its end.
    pub took: Duration,
}

impl Load {
    /// Starts one of so many connections per second to servers that are `witness`.
    #[must_use]
    pub fn start(server: Server, rate: u32) -> Self {
        let (due, answered, is_over) = Default::default();
        let (begin, interval) = (Instant::now(), Duration::from_secs(1) / rate);
        let shared = Arc::new(Shared { server, begin, interval, due, answered, is_over });
        let client = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.client())
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { shared, clients }
    }

    /// Waits until so many more have been answered.
    ///
    /// # Panics
    /// When they are not.
    pub fn until_answered(&self, more: u32) {
        let wanted = self.shared.answered.load(Ordering::Relaxed) + more;
        until("the load is answered", || self.shared.answered.load(Ordering::Relaxed) >= wanted);
    }

    /// Ends it, and waits for the connections under way.
    ///
    /// # Panics
    /// When a client has panicked.
    #[must_use]
    pub fn stop(self) -> Report {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let connections =
            self.clients.into_iter().flat_map(|client| client.join().expect("no client panics"));
        Report { connections: connections.collect() }
    }
}

impl Shared {
    /// Takes the next connection that is due until the load is over.
    fn client(&self) -> Vec<Connection> {
        let mut connections = Vec::new();
        loop {
            let due = self.begin + self.interval * self.due.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.is_over.load(Ordering::Relaxed) {
                return connections;
            }
            let end = self.server.ask();
            if matches!(end, End::Answered(_)) {
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
            connections.push(Connection { end, took: due.elapsed() });
        }
    }
}

impl Server {
    /// One connection, from beginning to end.
    #[must_use]
    pub fn ask(&self) -> End {
        let connected = match self {
            Self::Tcp(address) => TcpStream::connect_timeout(address, PATIENCE).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            }),
            Self::Unix(path) => UnixStream::connect(path).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            }),
        };
        match connected {
            Ok(mut stream) => exchange(&mut *stream),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Lost(error.to_string()),
            Err(error) => End::Refused(error.to_string()),
        }
    }
}

/// What both kinds of connection can do.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// `witness` says `accepted NAME`, reads a line, says `answered NAME` and closes.
fn exchange(stream: &mut dyn Stream) -> End {
    let (heard, result) = converse(stream);
    let heard = String::from_utf8_lossy(&heard).into_owned();
    let mut lines = heard.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let accepted = lines.next().and_then(|line| line.strip_prefix("accepted "));
    let answered = lines.next().and_then(|line| line.strip_prefix("answered "));
    match (accepted, answered) {
        (Some(name), Some(_)) => End::Answered(name.to_owned()),
        (Some(name), None) => End::Abandoned(name.to_owned()),
        (None, _) => End::Lost(result.err().map_or_else(|| "closed".to_owned(), |error| error.to_string())),
    }
}

/// All that was heard, even when it ended badly.
fn converse(stream: &mut dyn Stream) -> (Vec<u8>, io::Result<()>) {
    let mut heard = Vec::new();
    let result = stream.write_all(b"please\n").and_then(|()| stream.read_to_end(&mut heard).map(drop));
    (heard, result)
}

/// What became of a load.
#[derive(Debug)]
pub struct Report {
    /// Every connection.
    pub connections: Vec<Connection>,
}

impl Report {
    /// Those that ended so.
    #[must_use]
    pub fn count(&self, which: impl Fn(&End) -> bool) -> usize {
        self.connections.iter().filter(|connection| which(&connection.end)).count()
    }

    /// Checks that every connection was answered.
    ///
    /// # Panics
    /// When one was not.
    #[track_caller]
    pub fn nothing_lost(&self) {
        let bad = self.count(|end| !matches!(end, End::Answered(_)));
        assert_eq!(bad, 0, "{self}");
        assert!(!self.connections.is_empty(), "there was no load");
    }

    /// The longest that a client waited.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.connections.iter().map(|connection| connection.took).max().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} connections, the longest took {:?}", self.connections.len(), self.longest())?;
        let mut kinds = std::collections::BTreeMap::<String, u32>::new();
        for connection in &self.connections {
            *kinds.entry(format!("{:?}", connection.end)).or_default() += 1;
        }
        kinds.iter().try_for_each(|(kind, count)| writeln!(out, "{count:6} {kind}"))
    }
}
