//! A wire between two network namespaces: each packet takes its time, and a few are lost.
//!
//! On bare loopback a handshake is over within one softirq, so the connections that a restart can lose, those half open,
//! are hardly ever there. The ends of the wire are TUN devices, and one thread carries packets between them.
//! Invariant: namespaces have no names, so nothing is left behind however this process ends.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::time::TimeSpec;
use sockmgr_tests::command::tool;

use crate::tun;

/// The device at either end.
const DEVICE: &str = "wire0";

/// Packets under way in one direction; more are dropped, as a switch would.
const QUEUE: usize = 65_536;

/// The longest that the thread sleeps, to notice that it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// The server's addresses.
pub const SERVER: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1))];

/// The first of the clients' addresses, by family as above.
pub const CLIENTS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 10, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfd10, 0, 0, 0, 0, 0, 0, 1))];

/// How many addresses the clients have.
pub const CLIENT_COUNT: u32 = 250;

/// What each end does once its device is there.
const SERVER_END: [&str; 5] = [
    "addr add 10.9.0.1/24 dev wire0",
    "-6 addr add fd09::1/64 dev wire0 nodad",
    "link set wire0 up txqueuelen 10000",
    "route add 10.10.0.0/16 via 10.9.0.2",
    "-6 route add fd10::/64 via fd09::2",
];
const CLIENT_END: [&str; 5] = [
    "addr add 10.9.0.2/24 dev wire0",
    "-6 addr add fd09::2/64 dev wire0 nodad",
    "link set wire0 up txqueuelen 10000",
    "route add local 10.10.0.0/16 dev lo",
    "-6 route add local fd10::/64 dev lo",
];

/// How a wire is.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// What each packet takes, either way.
    pub delay: Duration,
    /// How many of a million packets are lost, either way.
    pub loss_ppm: u32,
    /// The seed of that loss.
    pub seed: u64,
}

/// A wire, there until its value goes.
#[derive(Debug)]
pub struct Wire {
    server: Arc<OwnedFd>,
    client: Arc<OwnedFd>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Lays one.
    pub fn new(quality: Quality) -> Result<Self> {
        let (server, server_device) = end(&SERVER_END).context("the server's end of the wire")?;
        let (client, client_device) = end(&CLIENT_END).context("the clients' end of the wire")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let line = Line { devices: [server_device, client_device], queues: Default::default(), quality };
        let until = Arc::clone(&is_over);
        let thread = Some(std::thread::spawn(move || line.carry(&until)));
        Ok(Self { server: Arc::new(server), client: Arc::new(client), is_over, thread })
    }

    /// The clients' end.
    pub fn client(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.client)
    }

    /// The server's end.
    pub fn server(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.server)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell, and a panic of its own was printed.
            let _ = thread.join();
        }
    }
}

/// Runs something in a thread in a network namespace; so are the processes that it starts.
pub fn within<T: Send>(namespace: &impl AsFd, what: impl FnOnce() -> T + Send) -> Result<T> {
    let namespace = namespace.as_fd();
    std::thread::scope(|scope| {
        let run = || setns(namespace, CloneFlags::CLONE_NEWNET).map(|()| what());
        match scope.spawn(run).join() {
            Ok(result) => result.context("entering a network namespace"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// One end: its namespace and its device.
fn end(words: &'static [&str]) -> Result<(OwnedFd, File)> {
    let make = move || {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace of its own")?;
        let namespace = OwnedFd::from(File::open("/proc/thread-self/ns/net")?);
        let device = tun::open(DEVICE).context("a TUN device")?;
        for line in std::iter::once(&"link set lo up").chain(words) {
            let status = Command::new(tool("ip")).args(line.split(' ')).status()?;
            ensure!(status.success(), "ip {line}: {status}");
        }
        // IPv4 needs nothing beside its local route.
        let may_bind = "/proc/sys/net/ipv6/ip_nonlocal_bind";
        std::fs::write(may_bind, "1").context(may_bind)?;
        Ok((namespace, device))
    };
    std::thread::spawn(make).join().expect("it returns its errors")
}

/// The thread that is the wire.
struct Line {
    devices: [File; 2],
    /// What each end has sent, in order, with the time of its arrival at the other.
    queues: [VecDeque<(Instant, Vec<u8>)>; 2],
    quality: Quality,
}

impl Line {
    fn carry(mut self, is_over: &AtomicBool) {
        let mut dice = Dice(self.quality.seed);
        while !is_over.load(Ordering::Relaxed) {
            self.wait();
            for end in 0..2 {
                self.take(end, &mut dice);
                self.deliver(end);
            }
        }
    }

    /// Until a packet is sent, or due.
    fn wait(&self) {
        let due = self.queues.iter().filter_map(|queue| queue.front().map(|(due, _)| *due)).min();
        let left = due.map_or(LOOK, |due| due.saturating_duration_since(Instant::now()).min(LOOK));
        let mut watched =
            self.devices.each_ref().map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN));
        // A signal in between is one more look.
        let _ = ppoll(&mut watched, Some(TimeSpec::from_duration(left)), None);
    }

    /// Takes what one end has sent.
    fn take(&mut self, end: usize, dice: &mut Dice) {
        let mut packet = [0; 2048];
        while let Ok(length) = self.devices[end].read(&mut packet) {
            let is_lost = dice.below(1_000_000) < self.quality.loss_ppm;
            if length > 0 && !is_lost && self.queues[end].len() < QUEUE {
                let due = Instant::now() + self.quality.delay;
                self.queues[end].push_back((due, packet[..length].to_vec()));
            }
        }
    }

    /// Gives the other end what has arrived.
    fn deliver(&mut self, end: usize) {
        let now = Instant::now();
        let due = self.queues[end].iter().take_while(|(due, _)| *due <= now).count();
        for (_, packet) in self.queues[end].drain(..due) {
            // A device whose queue is full drops it.
            let _ = (&self.devices[1 - end]).write(&packet);
        }
    }
}

/// Numbers that look like chance and are the same at each run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(end)).unwrap_or_default()
    }
}
