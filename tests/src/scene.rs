//! Scenes: a manager, servers, a load on them, and each second something that must cost no client anything.
//!
//! The same scenes play in CI, small and on loopback, and in `contrib/bench`, large, on a wire with delay and loss, and
//! without privileges. What happens in them is in `repertoire`; what it may cost is said there too, and counted here.
//! Invariant: whatever a scene does to its servers, it waits until it is done.

mod repertoire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::kernel::Process;
use crate::load::{End, Exchange, Load, Loss, Plan, Report, Server};
use crate::manager::{Manager, Setup};
use crate::namespace::Namespace;
use crate::program::{Program, tied};
use crate::site::Site;
use crate::wait::PATIENCE;
pub use repertoire::SCENES;

/// The port of all scenes; anybody may listen on it.
const PORT: u16 = 8080;

/// Servers in a scene whose group keeps its size.
const INSTANCES: usize = 4;

/// What servers have at the end of their names that are made to crash.
const DOOMED: &str = " doomed";

/// From the beginning of one round to that of the next, at least.
const ROUND: Duration = Duration::from_secs(1);

/// One of the things that must cost nothing.
#[derive(Debug)]
pub struct Scene {
    /// What it is called.
    pub name: &'static str,
    /// Unit files: names and texts.
    units: &'static [(&'static str, &'static str)],
    shape: Shape,
    /// What is done each second; the number of the round counts from 0.
    round: fn(&Play<'_>, u32),
    /// What it may cost.
    pub cost: Cost,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Connections over TCP, at an even rate.
    Steady,
    /// The same in bursts, with silence after each.
    Bursts,
    /// A few connections now and then.
    Trickle,
    /// Connections that are kept for ten requests, at a tenth of the rate.
    KeepAlive,
    /// Connections to nginx, which passes them on to a unix socket.
    BehindNginx,
    /// Datagrams from 64 clients.
    Datagrams,
}

/// What a scene may cost its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Nothing, and nobody waits longer than usual.
    Nothing,
    /// Nobody is lost; some wait, because that is what the scene is about.
    Time,
    /// Whoever was accepted by a process that was killed, and nobody else.
    TheAccepted,
}

/// Where a scene plays, and how large it is.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The address of the servers; `None` for one of loopback.
    pub host: Option<IpAddr>,
    /// Where clients are, and the first of their so many addresses; `None` for where the servers are.
    pub clients: Option<(Arc<OwnedFd>, IpAddr, u32)>,
    /// Whether the manager is an ordinary user, `nobody`, rather than who we are.
    pub is_unprivileged: bool,
    /// Whether packets get lost: then nobody knows of each client who had accepted it.
    pub is_lossy: bool,
    /// Connections per second.
    pub rate: u32,
    /// How many connections there are in all.
    pub total: u64,
}

/// A scene that plays: what its rounds work with.
pub(crate) struct Play<'a> {
    site: &'a Site,
    manager: Manager<'a>,
    /// What clients do meanwhile, once it has begun.
    load: Option<Load>,
    /// The processes that it has killed, as they call themselves.
    killed: RefCell<Vec<String>>,
}

/// A scene that has been played.
#[derive(Debug)]
pub struct Played {
    /// What became of its clients.
    pub report: Report,
    /// How often it happened.
    pub rounds: u32,
    /// The processes that it has killed, as they call themselves.
    killed: Vec<String>,
    /// Servers that were to stop while nobody came did not.
    never_stopped: bool,
    cost: Cost,
    is_lossy: bool,
}

impl Default for Stage {
    /// Loopback, in a size for CI.
    fn default() -> Self {
        let (rate, total) = (500, 2000);
        Self { host: None, clients: None, is_unprivileged: false, is_lossy: false, rate, total }
    }
}

impl Scene {
    /// The scene of that name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn called(name: &str) -> &'static Self {
        SCENES.iter().find(|scene| scene.name == name).unwrap_or_else(|| panic!("there is no scene {name}"))
    }

    /// Whether a packet that the network loses is a loss of the scene: nobody sends a datagram again.
    #[must_use]
    pub fn needs_every_packet(&self) -> bool {
        self.shape == Shape::Datagrams
    }

    /// How many times as long it takes as its connections at their rate.
    #[must_use]
    pub fn slowness(&self) -> u32 {
        match self.shape {
            Shape::Bursts => 4,
            Shape::Steady | Shape::Trickle | Shape::KeepAlive | Shape::BehindNginx | Shape::Datagrams => 1,
        }
    }

    /// Whether it is about servers that stop while nobody comes.
    fn stops_between(&self) -> bool {
        matches!(self.shape, Shape::Bursts | Shape::Trickle)
    }

    /// Plays it in the network namespace of this thread.
    ///
    /// # Panics
    /// When a command in it fails, or something does not happen.
    #[must_use]
    pub fn play(&self, stage: &Stage) -> Played {
        let site = stage.host.map_or_else(Site::new, Site::at);
        self.units.iter().for_each(|(name, text)| site.unit(name, text));
        site.make("open", 0o777);
        let mut setup = Setup::new(&site);
        if stage.is_unprivileged {
            site.give_away("run");
            setup = setup.within(Namespace::Nobody);
        }
        let mut play = Play { site: &site, manager: setup.start(), load: None, killed: RefCell::default() };
        play.manager.up("web.socket");
        if !self.stops_between() {
            // How long the first ones wait for a server to come up is another matter.
            play.manager.up("web.service");
        }
        let _nginx = (self.shape == Shape::BehindNginx).then(|| play.nginx());
        let load = self.load(&site, stage);
        load.until_answered(u32::try_from(load.total / 20).unwrap_or(u32::MAX));
        play.load = Some(load);
        let rounds = self.rounds(&play);
        let report = play.load.take().expect("it has just been there").finish();
        let (mut killed, is_lossy) = (play.killed.take(), stage.is_lossy);
        killed.extend(taken_for_hung(&play.manager.program.log()));
        let never_stopped = match self.shape {
            Shape::Bursts => servers(&report) <= INSTANCES,
            Shape::Trickle => servers(&report) <= 1,
            Shape::Steady | Shape::KeepAlive | Shape::BehindNginx | Shape::Datagrams => false,
        };
        Played { report, rounds, killed, never_stopped, cost: self.cost, is_lossy }
    }

    /// A round each second, until the load is over.
    fn rounds(&self, play: &Play<'_>) -> u32 {
        let mut rounds = 0;
        while !play.is_over() {
            let begin = Instant::now();
            (self.round)(play, rounds);
            rounds += 1;
            while begin.elapsed() < ROUND && !play.is_over() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        rounds
    }

    fn load(&self, site: &Site, stage: &Stage) -> Load {
        let address = site.address(PORT);
        let tcp = || Plan::new(Server::Tcp(address), stage.rate).total(stage.total);
        let mut plan = match self.shape {
            Shape::Steady => tcp(),
            // A burst is over in a tenth of a second.
            Shape::Bursts if !stage.is_lossy => tcp().bursts(stage.rate / 10, Duration::from_millis(300)),
            // Somebody always comes again after a second, because his first packet was lost.
            Shape::Bursts => {
                tcp().total(stage.total / 4).bursts(stage.rate / 10, Duration::from_millis(1300))
            }
            // No more than there is time for: four times a second four of them.
            Shape::Trickle => {
                let seconds = (stage.total / u64::from(stage.rate)).max(6);
                tcp().total(seconds * 16).bursts(4, Duration::from_millis(250))
            }
            Shape::KeepAlive => {
                let exchange = Exchange::Http { requests: 10, pause: Duration::from_millis(50) };
                let plan = Plan::new(Server::Tcp(address), (stage.rate / 10).max(1));
                plan.total(stage.total / 10).exchange(exchange)
            }
            Shape::BehindNginx => tcp().exchange(Exchange::HTTP),
            Shape::Datagrams => Plan::new(Server::Udp(address, 64), stage.rate).total(stage.total),
        };
        if let Some((namespace, first, count)) = &stage.clients {
            plan = plan.within(Arc::clone(namespace)).sources(*first, *count);
        }
        // Five lost in a row, of the first packet of a connection, take 31 seconds to be sent again.
        plan.patience(PATIENCE * if stage.is_lossy { 2 } else { 1 }).start()
    }
}

impl Play<'_> {
    /// All clients have come to their ends.
    fn is_over(&self) -> bool {
        self.load.as_ref().is_none_or(Load::is_finished)
    }

    /// Runs `sockmgr`, which must succeed.
    #[track_caller]
    fn sockmgr(&self, words: &[&str]) {
        self.manager.sockmgr(words).ok();
    }

    /// The process of an instance, which is about to be killed by us or for what we do to it.
    fn victim(&self, unit: &str) -> Process {
        let process = self.manager.main_process(unit);
        self.killed.borrow_mut().push(format!("{unit} {}", process.0));
        process
    }

    /// nginx, before the unix socket of the scene.
    fn nginx(&self) -> Program {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {{dir}}/{kind};"));
        let text = format!(
            "daemon off; worker_processes 1; pid {{dir}}/nginx.pid; error_log stderr;\n\
             events {{ worker_connections 8192; }}\n\
             http {{ access_log off; {}\n\
             server {{ listen {{host}}:{PORT} backlog=4096;\n\
             location / {{ proxy_pass http://unix:{{dir}}/open/web.sock:/; proxy_next_upstream off; }} }} }}\n",
            temporary.concat()
        );
        let file = self.site.file("nginx.conf", &text);
        let mut command = tied();
        command
            .arg(crate::command::tool("nginx"))
            .args(["-e", "stderr", "-p"])
            .arg(self.site.path(""))
            .arg("-c")
            .arg(file);
        let nginx = Program::start(&mut command, &self.site.path("nginx.log"));
        let address = self.site.address(PORT);
        crate::wait::until("nginx listens", || !crate::kernel::tcp_listeners(address).is_empty());
        nginx
    }
}

impl Played {
    /// What is wrong with it, if anything is: more was lost than may be.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let report = &self.report;
        let local = report.count(|end| matches!(end, End::Local(_)));
        let wrong = match self.cost {
            Cost::Nothing | Cost::Time => report.lost() > 0,
            Cost::TheAccepted => {
                let innocent = |who: &String| !self.killed.contains(who) && !who.ends_with(DOOMED);
                let lost = report.count(|end| matches!(end, End::Lost(_)));
                // Killed between accept and its first word, or before that word was sent again.
                let unnamed = if self.is_lossy { self.abandoned() } else { 0 };
                report.count(|end| matches!(end, End::Refused(_) | End::Lost(Loss::Timeout))) > 0
                    || report.count(|end| matches!(end, End::Abandoned(who) if innocent(who))) > 0
                    || lost > self.killed.len() + unnamed
            }
        };
        let idle = self.rounds < 2 || self.never_stopped;
        (wrong || idle || local > 0).then(|| {
            let servers = servers(report);
            let killed = &self.killed;
            format!(
                "after {} rounds, answered by {servers} processes, killed {killed:?}: {report}",
                self.rounds
            )
        })
    }

    fn abandoned(&self) -> usize {
        self.report.count(|end| matches!(end, End::Abandoned(_)))
    }

    /// Checks that it cost no more than it may.
    ///
    /// # Panics
    /// When it did.
    #[track_caller]
    pub fn check(&self) {
        assert_eq!(self.complaint(), None);
    }
}

/// The processes that the manager has killed because it took them for hung, as its log tells: on a loaded machine that may be any.
fn taken_for_hung(log: &str) -> Vec<String> {
    let (mut running, mut hung) = (BTreeMap::new(), Vec::new());
    for line in log.lines() {
        let mut words = line.split_whitespace().skip_while(|word| !word.ends_with(".service"));
        let Some(unit) = words.next() else { continue };
        if let Some((_, pid)) = line.split_once("running (pid ") {
            running.insert(unit, pid.trim_end_matches(')'));
        } else if line.contains("accepts nobody") {
            hung.extend(running.get(unit).map(|pid| format!("{unit} {pid}")));
        }
    }
    hung
}

/// How many processes have answered.
fn servers(report: &Report) -> usize {
    report.ends.keys().filter(|end| matches!(end, End::Answered(_))).count()
}

impl fmt::Display for Played {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} rounds, {} killed; {}", self.rounds, self.killed.len(), self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_taken_for_hung_is_in_the_log() {
        let log = "2026 web@1.service      running (pid 7)\n2026 web@2.service running (pid 8)\n\
                   2026 web@1.service warning: accepts nobody (AcceptTimeoutSec=); restarting it\n\
                   2026 web@1.service      running (pid 9)\n";
        assert_eq!(taken_for_hung(log), ["web@1.service 7"]);
    }
}
