//! Connections over TCP and unix sockets: non-blocking clients in one epoll set.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, bind, connect, getsockopt,
    setsockopt, socket, sockopt,
};

use super::exchange::Heard;
use super::pace::Alarm;
use super::report::{End, Loss, Report};
use super::{Plan, Server, Shared, since};

/// The event of the alarm; clients have their places.
const ALARM: u64 = u64::MAX;

/// The longest answer that a client keeps.
const ROOM: usize = 4096;

/// Runs a load to its end.
pub(super) fn run(plan: &Plan, shared: &Shared) -> Report {
    raise_descriptor_limit();
    let mut streams = Streams::new(plan);
    let mut pace = plan.pace();
    loop {
        if shared.is_over.load(Ordering::Relaxed) {
            pace.end();
        }
        while let Some((number, due)) = pace.take() {
            streams.open(number, due);
        }
        let next = pace.next_due();
        if next.is_none() && streams.open == 0 {
            break;
        }
        let soon = Instant::now() + streams.step;
        streams.wait(next.map_or(soon, |due| due.min(soon)));
        shared.answered.store(streams.answered, Ordering::Relaxed);
    }
    let asked = pace.taken() - streams.unasked;
    let requests = asked * u64::from(plan.exchange.requests()) + streams.unasked;
    assert!(streams.report.total() as u64 <= requests, "more ends than connections: {}", streams.report);
    assert!(streams.report.total() as u64 >= pace.taken(), "a connection without an end: {}", streams.report);
    streams.report
}

/// All clients of a load.
struct Streams<'a> {
    plan: &'a Plan,
    epoll: Epoll,
    alarm: Alarm,
    /// Between two looks at who waits too long or has paused enough.
    step: Duration,
    looked: Instant,
    clients: Vec<Option<Client>>,
    /// Places in `clients` that are free.
    free: Vec<usize>,
    /// Clients that are there.
    open: usize,
    /// Connections that ended before the first question.
    unasked: u64,
    answered: u64,
    report: Report,
}

/// One connection.
struct Client {
    stream: File,
    /// Which one it is, of all.
    number: u64,
    phase: Phase,
    /// When the question was due.
    due: Instant,
    /// Since when it has waited, for its patience.
    since: Instant,
    heard: Vec<u8>,
    /// Questions after this one.
    left: u32,
    /// Something was answered on it before.
    is_kept: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The connection is being made.
    Connecting,
    /// The question is out.
    Waiting,
    /// Answered; asks again at that time.
    Pausing(Instant),
}

impl<'a> Streams<'a> {
    fn new(plan: &'a Plan) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("an epoll set can be made");
        let alarm = Alarm::new();
        epoll.add(&alarm, EpollEvent::new(EpollFlags::EPOLLIN, ALARM)).expect("the alarm can be watched");
        let step = Duration::from_millis(if plan.exchange.pause().is_zero() { 20 } else { 2 });
        let (looked, clients, free) = (Instant::now(), Vec::new(), Vec::new());
        let (open, unasked, answered, report) = (0, 0, 0, Report::default());
        Self { plan, epoll, alarm, step, looked, clients, free, open, unasked, answered, report }
    }

    /// Begins a connection.
    fn open(&mut self, number: u64, due: Instant) {
        self.report.lag = self.report.lag.max(since(due));
        if let Err(end) = self.begin(number, due, self.plan.exchange.requests() - 1) {
            self.unasked += 1;
            self.report.end(end);
        }
    }

    /// Begins a connection for a question that was due then, and so many after it.
    fn begin(&mut self, number: u64, due: Instant, left: u32) -> Result<(), End> {
        let stream = File::from(self.connect(number)?);
        let place = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        let event = EpollEvent::new(EpollFlags::EPOLLOUT, place as u64);
        self.epoll.add(&stream, event).expect("a client can be watched");
        let (phase, since, heard) = (Phase::Connecting, Instant::now(), Vec::new());
        let is_kept = false;
        self.clients[place] = Some(Client { stream, number, phase, due, since, heard, left, is_kept });
        self.open += 1;
        Ok(())
    }

    fn connect(&self, number: u64) -> Result<OwnedFd, End> {
        let local = |errno: Errno| End::Local(errno.to_string());
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let open = |family| socket(family, SockType::Stream, flags, None).map_err(local);
        let (stream, result) = match &self.plan.server {
            Server::Unix(path) => {
                let stream = open(AddressFamily::Unix)?;
                let address = UnixAddr::new(path).map_err(local)?;
                let result = connect(stream.as_raw_fd(), &address);
                (stream, result)
            }
            Server::Tcp(address) | Server::Udp(address, _) => {
                let address = SockaddrStorage::from(*address);
                let stream = open(address.family().expect("an internet address has a family"))?;
                if let Some(sources) = self.plan.sources {
                    setsockopt(&stream, sockopt::IpBindAddressNoPort, &true).map_err(local)?;
                    let source = SockaddrStorage::from(std::net::SocketAddr::new(sources.of(number), 0));
                    bind(stream.as_raw_fd(), &source).map_err(local)?;
                }
                let result = connect(stream.as_raw_fd(), &address);
                (stream, result)
            }
        };
        match result {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(stream),
            Err(errno) => Err(failed_connect(errno)),
        }
    }

    /// Waits until that time, or until something has happened, and deals with it.
    fn wait(&mut self, until: Instant) {
        self.alarm.set(until);
        let mut events = [EpollEvent::empty(); 256];
        let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => panic!("epoll: {errno}"),
        };
        for event in &events[..count] {
            match usize::try_from(event.data()) {
                Ok(place) if event.data() != ALARM => self.happened(place),
                Ok(_) | Err(_) => {}
            }
        }
        if self.looked.elapsed() >= self.step {
            self.looked = Instant::now();
            (0..self.clients.len()).for_each(|place| self.look_at(place));
        }
    }

    /// Something has happened to a client.
    fn happened(&mut self, place: usize) {
        let Some(client) = &self.clients[place] else { return };
        match client.phase {
            Phase::Connecting => match getsockopt(&client.stream, sockopt::SocketError) {
                Ok(0) => self.ask(place),
                Ok(errno) => self.close(place, failed_connect(Errno::from_raw(errno))),
                Err(errno) => self.close(place, End::Local(errno.to_string())),
            },
            Phase::Waiting | Phase::Pausing(_) => self.hear(place),
        }
    }

    /// Sends the question.
    fn ask(&mut self, place: usize) {
        let Some(client) = &mut self.clients[place] else { return };
        client.phase = Phase::Waiting;
        client.heard.clear();
        // A question is shorter than the room of any socket.
        let sent = client.stream.write_all(self.plan.exchange.question(client.left == 0));
        let mut event = EpollEvent::new(EpollFlags::EPOLLIN, place as u64);
        self.epoll.modify(&client.stream, &mut event).expect("a client is watched");
        // What a server said before it went can still be read.
        if sent.is_err() {
            self.hear(place);
        }
    }

    /// Reads what has come.
    fn hear(&mut self, place: usize) {
        let Some(client) = &mut self.clients[place] else { return };
        let mut bytes = [0; ROOM];
        loop {
            match client.stream.read(&mut bytes) {
                Ok(0) => return self.broke(place, Loss::Eof),
                Ok(length) => client.heard.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.broke(place, Loss::Reset),
            }
            match self.plan.exchange.understand(&client.heard) {
                Heard::Part(_) => {}
                Heard::Whole(who) => {
                    self.report.answer(who, since(client.due));
                    self.answered += 1;
                    return self.answered(place);
                }
                Heard::Nonsense => return self.close(place, End::Lost(Loss::Mismatch)),
            }
        }
    }

    /// The client has its answer: it pauses, or leaves.
    fn answered(&mut self, place: usize) {
        let Some(client) = &mut self.clients[place] else { return };
        if client.left == 0 || self.plan.exchange.is_farewell(&client.heard) {
            self.forget(place);
        } else {
            client.left -= 1;
            client.is_kept = true;
            client.due = Instant::now() + self.plan.exchange.pause();
            client.phase = Phase::Pausing(client.due);
            client.heard.clear();
        }
    }

    /// The connection ended before a whole answer.
    fn broke(&mut self, place: usize, loss: Loss) {
        let Some(client) = &self.clients[place] else { return };
        let end = match (client.phase, self.plan.exchange.understand(&client.heard)) {
            // A server may end a connection on which nothing was asked (RFC 9112, 9.5): the client comes again.
            (Phase::Pausing(_), _) if loss == Loss::Eof => return self.forget(place),
            // It did so while the next question was under way: that is asked again on another connection (RFC 9112, 9.3.1).
            (Phase::Waiting, _) if client.is_kept && client.heard.is_empty() && loss != Loss::Timeout => {
                return self.ask_elsewhere(place);
            }
            (_, Heard::Part(Some(who))) => End::Abandoned(who.to_owned()),
            (_, Heard::Part(None) | Heard::Whole(_) | Heard::Nonsense) => End::Lost(loss),
        };
        self.close(place, end);
    }

    fn ask_elsewhere(&mut self, place: usize) {
        let Some(client) = &self.clients[place] else { return };
        let (number, due, left) = (client.number, client.due, client.left);
        self.forget(place);
        if let Err(end) = self.begin(number, due, left) {
            self.report.end(end);
        }
    }

    /// Whether somebody waits too long, or has paused enough.
    fn look_at(&mut self, place: usize) {
        let Some(client) = &mut self.clients[place] else { return };
        match client.phase {
            Phase::Pausing(until) if until <= Instant::now() => {
                client.since = Instant::now();
                self.ask(place);
            }
            Phase::Pausing(_) => {}
            Phase::Connecting | Phase::Waiting if client.since.elapsed() > self.plan.patience => {
                self.broke(place, Loss::Timeout);
            }
            Phase::Connecting | Phase::Waiting => {}
        }
    }

    fn close(&mut self, place: usize, end: End) {
        self.report.end(end);
        self.forget(place);
    }

    /// Closing alone does not take the client out of the epoll set while a process that another thread is starting has
    /// its descriptor too, and what the set then says would be taken for the next one in its place.
    fn forget(&mut self, place: usize) {
        if let Some(client) = self.clients[place].take() {
            self.epoll.delete(&client.stream).expect("a client is watched");
        }
        self.free.push(place);
        self.open -= 1;
    }
}

/// What it means that a connection could not be made. A unix socket whose queue is full says EAGAIN (unix(7)).
fn failed_connect(errno: Errno) -> End {
    match errno {
        Errno::ECONNRESET => End::Lost(Loss::Reset),
        Errno::ETIMEDOUT => End::Lost(Loss::Timeout),
        Errno::EADDRNOTAVAIL | Errno::EADDRINUSE | Errno::EMFILE | Errno::ENFILE => {
            End::Local(errno.to_string())
        }
        errno => End::Refused(errno.to_string()),
    }
}

/// As many clients as the system allows may wait at one time.
fn raise_descriptor_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits can be read");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("a limit can be raised as far as is allowed");
}
