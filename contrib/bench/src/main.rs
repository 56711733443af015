//! What sockmgr promises and how fast it is, measured. `contrib/bench/run` builds and runs it.
//!
//! Each verb is a file. What several of them need, managers and servers and the load, is that of the tests.

mod proofs;
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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::Proofs(proofs) => proofs.run(),
    }
}
