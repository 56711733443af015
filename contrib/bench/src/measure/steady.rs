//! Four processes while nothing happens: how many connections they serve, and how evenly.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, bail};
use sockmgr_tests::load::{End, Server};
use sockmgr_tests::site::Site;

use super::closed_loop;
use crate::peer::{Naive, PORT, Peer, Sockmgr};
use crate::table::{Table, alternate, figure, median, ratio};

/// Clients, each with one connection at a time.
const CLIENTS: u32 = 16;

/// How long each runs.
const TIME: Duration = Duration::from_secs(3);

const PEERS: [&(dyn Peer + Sync); 3] = [&Sockmgr::Group, &Sockmgr::Shared, &Naive];

/// One run.
struct Run {
    rate: f64,
    /// How many times the busiest process served what the idlest did.
    balance: f64,
}

/// Measures all of them.
pub fn measure(rounds: u32) -> Result<Table> {
    let runs = alternate(rounds, &PEERS, |peer| run(*peer));
    let rate = |runs: &[Run]| median(runs.iter().map(|run| run.rate));
    let ours = rate(&runs[0]);
    let rows = PEERS.iter().zip(&runs).map(|(peer, runs)| {
        let balance = median(runs.iter().map(|run| run.balance));
        vec![peer.name().to_owned(), figure(rate(runs)), ratio(rate(runs), ours), figure(balance)]
    });
    let text = format!(
        "The same server under each, {CLIENTS} clients in a loop on loopback. Naive workers are the floor: no manager \
         has a part in a connection."
    );
    let columns = vec!["", "connections/s", "to ours", "busiest to idlest"];
    Ok(Table { title: "Steady state", text, columns, rows: rows.collect() })
}

fn run(peer: &(dyn Peer + Sync)) -> Result<Run> {
    eprintln!("steady state: {}", peer.name());
    let site = Site::new();
    let _running = peer.start(&site)?;
    let server = Server::Tcp(site.address(PORT));
    let served: Mutex<BTreeMap<String, u32>> = Mutex::default();
    let rate = closed_loop(CLIENTS, TIME, || {
        match server.ask() {
            End::Answered(who) => *served.lock().expect("no client panics").entry(who).or_default() += 1,
            other => bail!("{other:?}"),
        }
        Ok(())
    })?;
    let served = served.into_inner().expect("no client panics");
    let most = served.values().copied().max().unwrap_or_default();
    let least = served.values().copied().min().unwrap_or_default();
    Ok(Run { rate, balance: f64::from(most) / f64::from(least) })
}
