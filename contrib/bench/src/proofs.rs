//! `proofs`: the scenes of the tests with as many clients as it takes to believe them, on a wire if asked.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sockmgr_tests::scene::{Cost, Played, SCENES, Scene, Stage};

use crate::attempt::attempt;
use crate::wire::{self, Quality, Wire};

/// How long p99.9 may be where servers are killed and the kernel moves waiting connections.
const RESCUE: Duration = Duration::from_millis(50);

/// How much longer p99.9 may be than that of the same load with nothing happening.
const SLOWER: f64 = 1.5;

/// What a scene takes beside its load: servers start, and the last clients come to their end.
const AROUND: Duration = Duration::from_secs(3);

/// How proofs are made.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "100 000 connections at 3000 per second are 34 seconds for each scene (idle-stop takes four times as long): about \
twelve minutes for all scenes in one place, about an hour for --all. --budget makes it less."
)]
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
    #[arg(long, conflicts_with = "budget")]
    minutes: Option<u64>,
    /// At most so many minutes for everything: each scene gets as many connections as there is time for, if these are less
    #[arg(long)]
    budget: Option<u64>,
    /// Everything that is promised: on a wire with and without loss, over IPv6, as root and as nobody, the torture too; for root
    #[arg(long, conflicts_with_all = ["wire", "loss", "ipv6", "unprivileged"])]
    all: bool,
    #[command(flatten)]
    place: Place,
    /// What a packet takes on the wire, either way, in milliseconds
    #[arg(long, default_value_t = 5)]
    delay: u64,
    /// Decides which packets are lost
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// p99.9 counts too where no packets are lost: within 1.5 times of the quiet scene, or 50 ms where servers are killed and what waits
    /// for them can be moved; for a quiet machine
    #[arg(long)]
    latency: bool,
}

/// Where scenes play, and as whom.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Place {
    /// On a wire between two network namespaces rather than on loopback; for root
    #[arg(long)]
    wire: bool,
    /// Percent of packets that are lost on the wire, either way
    #[arg(long, default_value_t = 0.0, requires = "wire")]
    loss: f64,
    /// Over IPv6, on the wire
    #[arg(long, requires = "wire")]
    ipv6: bool,
    /// The manager runs as the user nobody (65534), without any privilege
    #[arg(long)]
    unprivileged: bool,
}

/// Everything that is promised.
const ALL: [Place; 5] = {
    let wire = Place { wire: true, loss: 0.0, ipv6: false, unprivileged: false };
    [
        wire,
        Place { unprivileged: true, ..wire },
        Place { loss: 1.0, ..wire },
        Place { loss: 1.0, unprivileged: true, ..wire },
        Place { ipv6: true, ..wire },
    ]
};

/// One scene in one place.
struct Proof {
    place: Place,
    scene: &'static Scene,
}

impl Proofs {
    /// Plays the scenes and prints a table; fails when one has cost more than it may.
    pub fn run(self) -> Result<()> {
        let proofs = self.proofs()?;
        let connections = self.affordable(&proofs);
        println!(
            "{connections} connections in each of {} scenes, {} per second: about {} minutes.\n",
            proofs.len(),
            self.rate,
            self.time(&proofs, connections).as_secs().div_ceil(60)
        );
        println!(
            "| place | scene | rounds | connections | lost | p50 ms | p99 ms | p99.9 ms | max ms | of quiet | |"
        );
        println!("| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --- |");
        let begin = Instant::now();
        let mut failed = Vec::new();
        for of_place in proofs.chunk_by(|first, second| first.place.name() == second.place.name()) {
            failed.extend(self.play_at(of_place, connections)?);
        }
        let count = proofs.len();
        println!("\n{} of {count} proved, in {} s.", count - failed.len(), begin.elapsed().as_secs());
        ensure!(failed.is_empty(), "not proved: {}", failed.join(", "));
        Ok(())
    }

    /// Plays the scenes of one place; answers those that are not proved.
    fn play_at(&self, proofs: &[Proof], connections: u64) -> Result<Vec<String>> {
        let Some(Proof { place, .. }) = proofs.first() else { return Ok(Vec::new()) };
        let wire = place.wire.then(|| Wire::new(self.quality(*place))).transpose()?;
        let stage = self.stage(*place, wire.as_ref(), connections);
        let mut quiet = None;
        let mut failed = Vec::new();
        for Proof { scene, .. } in proofs {
            let play = || attempt(|| Ok(scene.play(&stage)));
            let played = match &wire {
                Some(wire) => wire::within(&wire.server(), play)?,
                None => play(),
            };
            let complaint = self.judge(*place, scene, &played, quiet);
            match &played {
                Ok(played) => {
                    quiet = quiet.or((scene.name == "quiet").then(|| played.report.quantile(0.999)));
                    println!("{}", row(*place, scene, played, quiet, complaint.is_none()));
                }
                Err(_) => println!(
                    "| {} | {} | – | – | – | – | – | – | – | – | NOT PROVED |",
                    place.name(),
                    scene.name
                ),
            }
            if let Some(complaint) = complaint {
                eprintln!("{}, {}: {complaint}", place.name(), scene.name);
                failed.push(format!("{} ({})", scene.name, place.name()));
            }
        }
        Ok(failed)
    }

    /// What is to be proved, by place; the quiet scene first, which the others are compared with.
    fn proofs(&self) -> Result<Vec<Proof>> {
        let places = if self.all { &ALL[..] } else { std::slice::from_ref(&self.place) };
        let mut proofs = Vec::new();
        for place in places {
            proofs.extend(self.scenes(*place)?.into_iter().map(|scene| Proof { place: *place, scene }));
        }
        Ok(proofs)
    }

    fn scenes(&self, place: Place) -> Result<Vec<&'static Scene>> {
        if self.scenes.is_empty() {
            let plays = |scene: &&Scene| {
                (self.all || scene.name != "torture")
                    && !(place.loss > 0.0 && scene.needs_every_packet())
                    // What is not about addresses is the same over IPv6.
                    && !(self.all && place.ipv6 && !["quiet", "rolling-restart", "overlap", "kill", "udp"].contains(&scene.name))
            };
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

    /// How many connections each scene gets.
    fn affordable(&self, proofs: &[Proof]) -> u64 {
        if let Some(minutes) = self.minutes {
            return minutes * 60 * u64::from(self.rate);
        }
        let Some(budget) = self.budget else { return self.connections };
        let left = Duration::from_secs(budget * 60).saturating_sub(self.time(proofs, 0));
        let affordable = left.as_secs() * u64::from(self.rate) / u64::from(slowness(proofs)).max(1);
        // Two rounds are the least that a scene is.
        affordable.max(4 * u64::from(self.rate)).min(self.connections)
    }

    /// How long the scenes take with so many connections each.
    fn time(&self, proofs: &[Proof], connections: u64) -> Duration {
        let around = AROUND * u32::try_from(proofs.len()).unwrap_or(u32::MAX);
        Duration::from_secs(connections * u64::from(slowness(proofs)) / u64::from(self.rate)) + around
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn quality(&self, place: Place) -> Quality {
        let loss_ppm = (place.loss * 10_000.0) as u32;
        Quality { delay: Duration::from_millis(self.delay), loss_ppm, seed: self.seed }
    }

    fn stage(&self, place: Place, wire: Option<&Wire>, total: u64) -> Stage {
        let family = usize::from(place.ipv6);
        let ends = wire.map(|wire| (wire.client(), wire::CLIENTS[family], wire::CLIENT_COUNT));
        let host: Option<IpAddr> = wire.map(|_| wire::SERVER[family]);
        let (is_unprivileged, is_lossy) = (place.unprivileged, place.loss > 0.0);
        Stage { host, clients: ends, is_unprivileged, is_lossy, rate: self.rate, total }
    }

    /// What is wrong with it.
    fn judge(
        &self,
        place: Place,
        scene: &Scene,
        played: &Result<Played>,
        quiet: Option<Duration>,
    ) -> Option<String> {
        let played = match played {
            Ok(played) => played,
            Err(error) => return Some(format!("{error:#}")),
        };
        let slowest = match scene.cost {
            Cost::Nothing => quiet.map(|quiet| quiet.mul_f64(SLOWER)),
            Cost::TheAccepted if place.unprivileged => None,
            // In the torture traffic is also held back.
            Cost::TheAccepted => (scene.name != "torture").then_some(RESCUE),
            Cost::Time => None,
        };
        let took = played.report.quantile(0.999);
        let slow = slowest.filter(|slowest| self.latency && place.loss == 0.0 && took > *slowest);
        let slow = slow.map(|slowest| format!("p99.9 is {took:?}, more than {slowest:?}"));
        played.complaint().or(slow)
    }
}

/// How many times as long they take as the connections of one at their rate.
fn slowness(proofs: &[Proof]) -> u32 {
    proofs.iter().map(|proof| proof.scene.slowness()).sum()
}

impl Place {
    fn name(self) -> String {
        let mut name = if self.wire { "wire" } else { "loopback" }.to_owned();
        if self.loss > 0.0 {
            name.push_str(&format!(", {} % lost", self.loss));
        }
        if self.ipv6 {
            name.push_str(", IPv6");
        }
        if self.unprivileged {
            name.push_str(", nobody");
        }
        name
    }
}

fn row(place: Place, scene: &Scene, played: &Played, quiet: Option<Duration>, is_proved: bool) -> String {
    let report = &played.report;
    let millis = |part: f64| format!("{:.1}", report.quantile(part).as_secs_f64() * 1000.0);
    let ratio = quiet.map(|quiet| report.quantile(0.999).as_secs_f64() / quiet.as_secs_f64());
    let cells = [
        place.name(),
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Words {
        #[command(flatten)]
        proofs: Proofs,
    }

    fn of(words: &str) -> Proofs {
        Words::try_parse_from(format!("x {words}").split_whitespace()).unwrap().proofs
    }

    #[test]
    fn everything_is_every_scene_somewhere_and_the_budget_holds() {
        let all = of("--all --budget 12");
        let proofs = all.proofs().unwrap();
        for scene in SCENES {
            assert!(proofs.iter().any(|proof| proof.scene.name == scene.name), "{}", scene.name);
        }
        let connections = all.affordable(&proofs);
        let seconds = all.time(&proofs, connections).as_secs();
        assert!((10 * 60..=12 * 60).contains(&seconds), "{connections} connections: {seconds} s");
        assert_eq!(of("--all").affordable(&proofs), 100_000);
        assert_eq!(of("--all --budget 600").affordable(&proofs), 100_000);
        assert_eq!(of("--minutes 10 --rate 1000").affordable(&proofs), 600_000);
    }
}
