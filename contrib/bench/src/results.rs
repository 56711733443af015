//! `results`: everything side by side, in one run, into RESULTS.md.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sockmgr_tests::command::Ran;

use crate::attempt::attempt;
use crate::measure::{accept, activation, cli, footprint, reload, restart, steady};
use crate::table::Table;

/// How the results are made.
#[derive(Debug, clap::Args)]
pub struct Results {
    /// Rounds, in each of which all take their turns; one takes about four minutes
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Where the results are written
    #[arg(long, default_value = "contrib/bench/RESULTS.md")]
    output: PathBuf,
    /// Only these measures, printed and not written: restart, activation, accept, footprint, reload, cli, steady
    only: Vec<String>,
}

impl Results {
    /// Measures, prints and writes. What has failed is a dash in its table.
    pub fn run(self) -> Result<()> {
        let begin = Instant::now();
        let rounds = self.rounds;
        let measures: [(&str, &dyn Fn() -> Result<Table>); 7] = [
            ("restart", &|| restart::measure(rounds)),
            ("activation", &|| activation::measure(rounds)),
            ("accept", &|| accept::measure(rounds)),
            ("footprint", &|| footprint::measure(rounds)),
            ("reload", &|| reload::measure(rounds)),
            ("cli", &cli::measure),
            ("steady", &|| steady::measure(rounds)),
        ];
        let mut text = head(rounds);
        let mut failed = Vec::new();
        for (name, measure) in measures {
            if self.only.is_empty() || self.only.iter().any(|only| only == name) {
                // One that cannot be measured here does not cost the others.
                let part = match attempt(measure) {
                    Ok(table) => table.to_string(),
                    Err(error) => {
                        failed.push(name);
                        format!("## {name}\n\nNot measured: {error:#}\n")
                    }
                };
                println!("{part}");
                write!(text, "\n{part}")?;
            }
        }
        eprintln!("{} s in all", begin.elapsed().as_secs());
        if self.only.is_empty() {
            fs::write(&self.output, text).with_context(|| self.output.display().to_string())?;
        }
        ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
        Ok(())
    }
}

/// What the figures depend on.
fn head(rounds: u32) -> String {
    let said = |program: &str, words: &[&str]| Ran::of(Command::new(program).args(words)).text();
    let kernel = said("uname", &["-sr"]);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let systemd = said("systemctl", &["--version"]);
    let systemd = systemd.lines().next().unwrap_or_default();
    let gunicorn = said("gunicorn", &["--version"]);
    let nginx = Ran::of(Command::new("nginx").arg("-v")).stderr;
    format!(
        "# Results\n\nWritten by `contrib/bench/run results --rounds {rounds}`: all in one run, in so many rounds they take \
         turns (A B, B A, …), medians; what was lost is the sum. {kernel}, {cores} cores, {systemd}, {}, {gunicorn}.\n",
        nginx.trim().trim_start_matches("nginx version: ")
    )
}
