//! Datagrams over UDP: each carries its number, and a server that answers sends it back with its name before it.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::pace::Alarm;
use super::report::{End, Loss, Report};
use super::{Plan, Shared, since};

/// The event of the alarm; flows have their numbers.
const ALARM: u64 = u64::MAX;

/// Runs a load to its end.
pub(super) fn run(plan: &Plan, server: SocketAddr, flows: u32, shared: &Shared) -> Report {
    let mut datagrams = Datagrams::new(plan, server, flows);
    let mut pace = plan.pace();
    let mut ended: Option<Instant> = None;
    loop {
        if shared.is_over.load(Ordering::Relaxed) {
            pace.end();
        }
        while let Some((number, due)) = pace.take() {
            datagrams.send(number, due);
        }
        let next = pace.next_due();
        if next.is_none() {
            let waits = ended.get_or_insert_with(Instant::now).elapsed() < plan.patience;
            if datagrams.waiting() == 0 || !waits {
                return datagrams.finish(pace.taken());
            }
        }
        let soon = Instant::now() + std::time::Duration::from_millis(5);
        datagrams.wait(next.map_or(soon, |due| due.min(soon)));
        shared.answered.store(datagrams.answered, Ordering::Relaxed);
    }
}

struct Datagrams {
    epoll: Epoll,
    alarm: Alarm,
    flows: Vec<Flow>,
    answered: u64,
    report: Report,
}

/// One client: a connected socket, whose datagrams all have the same addresses and ports.
struct Flow {
    socket: UdpSocket,
    /// When those that are not answered yet were due.
    waiting: HashMap<u64, Instant>,
    /// Who answered last.
    server: Option<String>,
}

impl Datagrams {
    fn new(plan: &Plan, server: SocketAddr, flows: u32) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("an epoll set can be made");
        let alarm = Alarm::new();
        let watch = |socket: &dyn AsFd, data| {
            epoll.add(socket.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, data)).expect("it can be watched");
        };
        watch(&alarm, ALARM);
        let flows = (0..u64::from(flows)).map(|number| {
            let any = if server.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
            let source = plan.sources.map_or(any, |sources| sources.of(number));
            let socket = UdpSocket::bind((source, 0)).expect("a client can be bound");
            socket.connect(server).expect("a client can be connected");
            socket.set_nonblocking(true).expect("a client can be set up");
            watch(&socket, number);
            Flow { socket, waiting: HashMap::new(), server: None }
        });
        let flows = flows.collect();
        Self { epoll, alarm, flows, answered: 0, report: Report::default() }
    }

    fn send(&mut self, number: u64, due: Instant) {
        self.report.lag = self.report.lag.max(since(due));
        let flow = usize::try_from(number).unwrap_or_default() % self.flows.len();
        let flow = &mut self.flows[flow];
        let text = format!("{number}\n");
        // An error that a datagram before has left behind (ICMP) is told once, instead of this one's sending.
        let sent = flow.socket.send(text.as_bytes()).or_else(|_| flow.socket.send(text.as_bytes()));
        match sent {
            Ok(_) => drop(flow.waiting.insert(number, due)),
            Err(error) => self.report.end(End::Refused(error.to_string())),
        }
    }

    fn wait(&mut self, until: Instant) {
        self.alarm.set(until);
        let mut events = [EpollEvent::empty(); 64];
        let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => panic!("epoll: {errno}"),
        };
        for event in &events[..count] {
            match usize::try_from(event.data()) {
                Ok(flow) if event.data() != ALARM => self.hear(flow),
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn hear(&mut self, flow: usize) {
        let flow = &mut self.flows[flow];
        let mut bytes = [0; 512];
        loop {
            // An error is one of a datagram before, whose answer will be missing.
            let length = match flow.socket.recv(&mut bytes) {
                Ok(length) => length,
                Err(error) if error.raw_os_error() == Some(Errno::ECONNREFUSED as i32) => continue,
                Err(_) => return,
            };
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let (who, number) = text.trim_end().rsplit_once(' ').unwrap_or(("", text.trim_end()));
            let due = number.parse().ok().and_then(|number: u64| flow.waiting.remove(&number));
            let Some(due) = due else {
                self.report.end(End::Lost(Loss::Mismatch));
                continue;
            };
            self.answered += 1;
            self.report.answer(who, since(due));
            self.report.moves += u64::from(flow.server.as_deref().is_some_and(|before| before != who));
            flow.server = Some(who.to_owned());
        }
    }

    fn waiting(&self) -> usize {
        self.flows.iter().map(|flow| flow.waiting.len()).sum()
    }

    fn finish(mut self, sent: u64) -> Report {
        for _ in 0..self.waiting() {
            self.report.end(End::Lost(Loss::Timeout));
        }
        let strangers = self.report.count(|end| *end == End::Lost(Loss::Mismatch));
        assert_eq!(self.report.total() - strangers, usize::try_from(sent).unwrap_or_default());
        self.report
    }
}
