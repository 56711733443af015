//! An open-loop load: connections come at their rate, whether the servers keep up or not, as clients of the world do.
//!
//! A closed loop would wait while a server is down, and so hide what is lost; for the same reason a connection's time
//! counts from when it was due. One thread does all, so that the load takes little from the servers that it is for.
//! Invariant: every connection that was due is in the report with exactly one end.

mod datagrams;
mod exchange;
mod pace;
mod report;
mod streams;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::wait::until_within;
pub use exchange::Exchange;
use pace::Pace;
pub use report::{End, Loss, Report};

/// How long a client waits for its answer.
const PATIENCE: Duration = crate::wait::PATIENCE;

/// Whom to connect to.
#[derive(Clone, Debug)]
pub enum Server {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
    /// A UDP address, and how many clients take turns in sending to it, each from a socket of its own.
    Udp(SocketAddr, u32),
}

/// What a load consists of.
#[derive(Clone, Debug)]
pub struct Plan {
    server: Server,
    rate: u32,
    exchange: Exchange,
    total: u64,
    bursts: Option<pace::Bursts>,
    patience: Duration,
    sources: Option<Sources>,
    namespace: Option<Arc<OwnedFd>>,
}

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    /// So many there will be in all, unless it is stopped before.
    pub total: u64,
    shared: Arc<Shared>,
    thread: JoinHandle<Report>,
}

/// What the thread of a load and its owner both see.
#[derive(Debug, Default)]
struct Shared {
    answered: AtomicU64,
    is_over: AtomicBool,
}

/// Addresses that clients connect from in turn, so that ports do not run out and the kernel's hash has something to
/// spread by.
#[derive(Clone, Copy, Debug)]
struct Sources {
    first: IpAddr,
    count: u32,
}

impl Plan {
    /// So many connections (or datagrams) per second to servers that are `witness`.
    #[must_use]
    pub fn new(server: Server, rate: u32) -> Self {
        let sources = match &server {
            Server::Tcp(address) | Server::Udp(address, _)
                if address.ip().is_loopback() && address.is_ipv4() =>
            {
                Some(Sources { first: IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1)), count: 250 })
            }
            Server::Tcp(_) | Server::Udp(..) | Server::Unix(_) => None,
        };
        let (exchange, total, bursts, patience) = (Exchange::Witness, u64::MAX, None, PATIENCE);
        Self { server, rate, exchange, total, bursts, patience, sources, namespace: None }
    }

    /// To servers of another protocol.
    #[must_use]
    pub fn exchange(mut self, exchange: Exchange) -> Self {
        self.exchange = exchange;
        self
    }

    /// It ends by itself after so many.
    #[must_use]
    pub fn total(mut self, total: u64) -> Self {
        self.total = total;
        self
    }

    /// After every so many there is silence, for about that long.
    #[must_use]
    pub fn bursts(mut self, length: u32, silence: Duration) -> Self {
        self.bursts = Some(pace::Bursts { length, silence });
        self
    }

    /// How long a client waits before it counts as lost.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// From so many addresses, this one and those that follow.
    #[must_use]
    pub fn sources(mut self, first: IpAddr, count: u32) -> Self {
        self.sources = Some(Sources { first, count });
        self
    }

    /// From within a network namespace.
    #[must_use]
    pub fn within(mut self, namespace: Arc<OwnedFd>) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Starts it.
    #[must_use]
    pub fn start(self) -> Load {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        Load { total: self.total, shared, thread: std::thread::spawn(move || self.run(&seen)) }
    }

    fn pace(&self) -> Pace {
        Pace::new(self.rate, self.total, self.bursts)
    }

    /// Runs it to its end in this thread, which stays in the namespace.
    fn run(self, shared: &Shared) -> Report {
        if let Some(namespace) = &self.namespace {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("a namespace of ours can be entered");
        }
        let mut report = match self.server {
            Server::Tcp(_) | Server::Unix(_) => streams::run(&self, shared),
            Server::Udp(address, clients) => datagrams::run(&self, address, clients, shared),
        };
        report.sort();
        report
    }
}

impl Load {
    /// Starts one of so many connections per second to servers that are `witness`.
    #[must_use]
    pub fn start(server: Server, rate: u32) -> Self {
        Plan::new(server, rate).start()
    }

    /// Waits until so many more have been answered.
    ///
    /// # Panics
    /// When they are not, in the time that their number gives reason to expect.
    #[track_caller]
    pub fn until_answered(&self, more: u32) {
        let wanted = self.shared.answered.load(Ordering::Relaxed) + u64::from(more);
        let patience = PATIENCE + Duration::from_millis(more.into());
        until_within(patience, "the load is answered", || {
            self.thread.is_finished() || self.shared.answered.load(Ordering::Relaxed) >= wanted
        });
    }

    /// How many have been answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Whether all of its total have come to their ends.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it, and waits for the connections under way.
    ///
    /// # Panics
    /// When its thread has panicked.
    #[must_use]
    pub fn stop(self) -> Report {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.finish()
    }

    /// Waits until all of its total have come to their ends.
    ///
    /// # Panics
    /// When its thread has panicked.
    #[must_use]
    pub fn finish(self) -> Report {
        self.thread.join().expect("no load panics")
    }
}

impl Server {
    /// One connection, from beginning to end.
    ///
    /// # Panics
    /// Never: one connection has one end.
    #[must_use]
    pub fn ask(&self) -> End {
        let report = Plan::new(self.clone(), 1000).total(1).run(&Shared::default());
        report.ends.into_keys().next().expect("one connection has one end")
    }
}

impl Sources {
    /// The address of one client.
    fn of(self, client: u64) -> IpAddr {
        let turn = u32::try_from(client % u64::from(self.count)).unwrap_or_default();
        match self.first {
            IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() + turn)),
            IpAddr::V6(first) => IpAddr::V6((first.to_bits() + u128::from(turn)).into()),
        }
    }
}

/// The time that has passed, for a report.
fn since(due: Instant) -> Duration {
    Instant::now().saturating_duration_since(due)
}

#[cfg(test)]
mod tests;
