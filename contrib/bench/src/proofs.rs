//! `proofs`: the scenes of the tests with as many clients as it takes to believe them, on a wire if asked.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sockmgr_tests::scene::{Cost, Played, SCENES, Scene, Stage};

use crate::attempt::attempt;
use crate::wire::{self, Quality, Wire};

/// How long p99.9 may be where servers are killed and the kernel moves waiting connections.
const RESCUE: Duration = Duration::from_millis(50);

/// How much longer p99.9 may be than that of the same load with nothing happening.
const SLOWER: f64 = 1.5;

/// How a proof is made.
#[derive(Debug, clap::Args)]
pub struct Proofs {
    /// Scenes; without any, all that the network allows but the torture
    scenes: Vec<String>,
    /// Connections in each scene
    #[arg(long, default_value_t = 100_000)]
    connections: u64,
    /// Connections per second
    #[arg(long, default_value_t = 3000)]
    rate: u32,
    /// As many connections as come in so many minutes, instead of --connections
    #[arg(long)]
    minutes: Option<u64>,
    /// On a wire between two network namespaces rather than on loopback; for root
    #[arg(long)]
    wire: bool,
    /// What a packet takes on the wire, either way, in milliseconds
    #[arg(long, default_value_t = 5, requires = "wire")]
    delay: u64,
    /// Percent of packets that are lost on the wire, either way
    #[arg(long, default_value_t = 0.0, requires = "wire")]
    loss: f64,
    /// Decides which packets are lost
    #[arg(long, default_value_t = 1, requires = "wire")]
    seed: u64,
    /// Over IPv6, on the wire
    #[arg(long, requires = "wire")]
    ipv6: bool,
    /// The manager runs as the user nobody (65534), without any privilege
    #[arg(long)]
    unprivileged: bool,
    /// p99.9 counts too: within 1.5 times of the quiet scene, or 50 ms where servers are killed; for a quiet machine
    #[arg(long)]
    latency: bool,
}

impl Proofs {
    /// Plays the scenes and prints a table; fails when one has cost more than it may.
    pub fn run(self) -> Result<()> {
        let scenes = self.scenes()?;
        let wire = self.wire.then(|| Wire::new(self.quality())).transpose()?;
        let stage = self.stage(wire.as_ref());
        println!(
            "| scene | rounds | connections | lost | p50 ms | p99 ms | p99.9 ms | max ms | of quiet | |"
        );
        println!("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --- |");
        let mut quiet = None;
        let mut failed = Vec::new();
        for scene in scenes {
            let play = || attempt(|| Ok(scene.play(&stage)));
            let played = match &wire {
                Some(wire) => wire::within(&wire.server(), play)?,
                None => play(),
            };
            let complaint = self.judge(scene, &played, quiet);
            if let Ok(played) = &played {
                quiet = quiet.or((scene.name == "quiet").then(|| played.report.quantile(0.999)));
                println!("{}", row(scene, played, quiet, complaint.is_none()));
            }
            if let Some(complaint) = complaint {
                eprintln!("{}: {complaint}", scene.name);
                failed.push(scene.name);
            }
        }
        ensure!(failed.is_empty(), "not proved: {}", failed.join(", "));
        Ok(())
    }

    /// The quiet one first, which the others are compared with.
    fn scenes(&self) -> Result<Vec<&'static Scene>> {
        if self.scenes.is_empty() {
            let plays =
                |scene: &&Scene| scene.name != "torture" && !(self.loss > 0.0 && scene.needs_every_packet());
            return Ok(SCENES.iter().filter(plays).collect());
        }
        let names = self.scenes.iter().map(|name| {
            let scene = SCENES.iter().find(|scene| scene.name == name);
            scene.with_context(|| {
                let all: Vec<&str> = SCENES.iter().map(|scene| scene.name).collect();
                format!("there is no scene {name}; there are {}", all.join(", "))
            })
        });
        names.collect()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn quality(&self) -> Quality {
        let loss_ppm = (self.loss * 10_000.0) as u32;
        Quality { delay: Duration::from_millis(self.delay), loss_ppm, seed: self.seed }
    }

    fn stage(&self, wire: Option<&Wire>) -> Stage {
        let family = usize::from(self.ipv6);
        let ends = wire.map(|wire| (wire.client(), wire::CLIENTS[family], wire::CLIENT_COUNT));
        let host: Option<IpAddr> = wire.map(|_| wire::SERVER[family]);
        let total = self.minutes.map_or(self.connections, |minutes| minutes * 60 * u64::from(self.rate));
        let (is_unprivileged, is_lossy) = (self.unprivileged, self.loss > 0.0);
        Stage { host, clients: ends, is_unprivileged, is_lossy, rate: self.rate, total }
    }

    /// What is wrong with it.
    fn judge(&self, scene: &Scene, played: &Result<Played>, quiet: Option<Duration>) -> Option<String> {
        let played = match played {
            Ok(played) => played,
            Err(error) => return Some(format!("{error:#}")),
        };
        let slowest = match scene.cost {
            Cost::Nothing => quiet.map(|quiet| quiet.mul_f64(SLOWER)),
            Cost::TheAccepted => Some(RESCUE),
            Cost::Time => None,
        };
        let took = played.report.quantile(0.999);
        let slow = slowest.filter(|slowest| self.latency && took > *slowest);
        let slow = slow.map(|slowest| format!("p99.9 is {took:?}, more than {slowest:?}"));
        played.complaint().or(slow)
    }
}

fn row(scene: &Scene, played: &Played, quiet: Option<Duration>, is_proved: bool) -> String {
    let report = &played.report;
    let millis = |part: f64| format!("{:.1}", report.quantile(part).as_secs_f64() * 1000.0);
    let ratio = quiet.map(|quiet| report.quantile(0.999).as_secs_f64() / quiet.as_secs_f64());
    let cells = [
        scene.name.to_owned(),
        played.rounds.to_string(),
        report.total().to_string(),
        report.lost().to_string(),
        millis(0.5),
        millis(0.99),
        millis(0.999),
        millis(1.0),
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        if is_proved { "proved" } else { "NOT PROVED" }.to_owned(),
    ];
    format!("| {} |", cells.join(" | "))
}
