//! What sockmgr promises and how fast it is, measured. `contrib/bench/run` builds and runs it.
//!
//! Each verb is a file, and so is each measure. What several of them need, managers and servers and the load, is that of
//! the tests.

mod attempt;
mod floor;
mod measure;
mod peer;
mod proofs;
mod results;
mod starter;
mod table;
mod tun;
mod wire;

use clap::{Parser, Subcommand};

/// Measures sockmgr: what it promises, and how fast it is.
#[derive(Debug, Parser)]
#[command(name = "contrib/bench/run")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Play scenes in which no client may be lost, and count
    Proofs(proofs::Proofs),
    /// Measure side by side with others, and write RESULTS.md; for root, takes about nine minutes
    Results(results::Results),
}

fn main() -> anyhow::Result<()> {
    // The service of some measures is this program; it starts often, and has nothing to parse.
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(floor::SERVICE) {
        let is_listener = words.next().as_deref() == Some("listener");
        return floor::answer(if is_listener { floor::Input::Listener } else { floor::Input::Connection });
    }
    match Arguments::parse().verb {
        Verb::Proofs(proofs) => proofs.run(),
        Verb::Results(results) => results.run(),
    }
}
