//! Restarts under load on a wire, each peer in its own way, beside what sockmgr has for the same purpose.

use std::ops::Add;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use sockmgr_tests::load::{Plan, Server};
use sockmgr_tests::site::Site;

use crate::peer::{Gunicorn, Naive, Nginx, PORT, Peer, Sockmgr, Systemd};
use crate::table::{Table, alternate, figure, median, ratio};
use crate::wire::{self, Quality, Wire};

/// Connections per second.
const RATE: u32 = 1500;

/// What the slowest of them can serve while it restarts.
const SLOW_RATE: u32 = 300;

/// How long each runs.
const SECONDS: u32 = 8;

/// Who is compared with whom, ours first, and at which rate.
const CONTESTS: [(u32, [&(dyn Peer + Sync); 2]); 4] = [
    (RATE, [&Sockmgr::One, &Systemd]),
    (RATE, [&Sockmgr::Group, &Naive]),
    (RATE, [&Sockmgr::Scale, &Nginx]),
    (SLOW_RATE, [&Sockmgr::Shared, &Gunicorn]),
];

/// One run.
struct Run {
    restarts: f64,
    connections: f64,
    lost: f64,
    /// Latencies in ms.
    p50: f64,
    p99: f64,
    p999: f64,
}

/// Measures all of them.
pub fn measure(rounds: u32) -> Result<Table> {
    let wire = Wire::new(Quality { delay: Duration::from_millis(5), loss_ppm: 0, seed: 1 })?;
    let mut rows = Vec::new();
    for (rate, contest) in CONTESTS {
        let runs = alternate(rounds, &contest, |peer| run(*peer, &wire, rate));
        let ours = median(runs[0].iter().map(|run| run.p999));
        rows.extend(contest.iter().zip(&runs).map(|(peer, runs)| row(*peer, runs, ours)));
    }
    let text = format!(
        "A wire with 5 ms each way, {RATE} connections per second ({SLOW_RATE} for gunicorn and the one \
         above it), a restart each second. Latency counts from when a \
         connection was due. Where the server is ours to choose it is the same, and needs 100 ms to start. Lost: \
         refused, reset, closed before an answer, or not answered in 20 s."
    );
    let columns =
        vec!["", "restarts", "connections", "lost", "per restart", "p50 ms", "p99 ms", "p99.9 ms", "to ours"];
    Ok(Table { title: "Restarts under load", text, columns, rows })
}

fn run(peer: &(dyn Peer + Sync), wire: &Wire, rate: u32) -> Result<Run> {
    eprintln!("restarts under load: {}", peer.name());
    wire::within(&wire.server(), || run_here(peer, wire, rate))?
}

/// In the namespace of the servers.
fn run_here(peer: &(dyn Peer + Sync), wire: &Wire, rate: u32) -> Result<Run> {
    let site = Site::at(wire::SERVER[0]);
    let mut running = peer.start(&site)?;
    let plan = Plan::new(Server::Tcp(site.address(PORT)), rate).total(u64::from(rate * SECONDS));
    let plan = plan.exchange(peer.exchange()).within(Arc::clone(&wire.client()));
    let load = plan.sources(wire::CLIENTS[0], wire::CLIENT_COUNT).start();
    let begin = Instant::now();
    let mut restarts = 0;
    // The last second is quiet, so that what was begun also ends under load.
    while restarts + 2 < SECONDS {
        let due = Duration::from_secs(u64::from(restarts) + 1);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        if begin.elapsed() > Duration::from_secs(u64::from(SECONDS) - 1) {
            break;
        }
        running.restart(restarts)?;
        restarts += 1;
    }
    let report = load.finish();
    let millis = |part| report.quantile(part).as_secs_f64() * 1000.0;
    #[expect(clippy::cast_precision_loss)]
    let (connections, lost) = (report.total() as f64, report.lost() as f64);
    let (p50, p99, p999) = (millis(0.5), millis(0.99), millis(0.999));
    Ok(Run { restarts: restarts.into(), connections, lost, p50, p99, p999 })
}

fn row(peer: &dyn Peer, runs: &[Run], ours: f64) -> Vec<String> {
    let sum = |field: fn(&Run) -> f64| runs.iter().map(field).reduce(f64::add).unwrap_or(f64::NAN);
    let middle = |field: fn(&Run) -> f64| median(runs.iter().map(field));
    let p999 = middle(|run| run.p999);
    vec![
        peer.name().to_owned(),
        figure(sum(|run| run.restarts)),
        figure(sum(|run| run.connections)),
        figure(sum(|run| run.lost)),
        figure(sum(|run| run.lost) / sum(|run| run.restarts)),
        figure(middle(|run| run.p50)),
        figure(middle(|run| run.p99)),
        figure(p999),
        ratio(p999, ours),
    ]
}
