//! `results`: everything side by side, in one run, into RESULTS.md.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use sockmgr_tests::command::Ran;

use crate::attempt::attempt;
use crate::measure::{accept, activation, cli, footprint, reload, restart, steady};
use crate::table::Table;

/// How the results are made.
#[derive(Debug, clap::Args)]
pub struct Results {
    /// Rounds, in each of which all take their turns; one takes about three minutes, three take nine
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
        let names = measures.map(|(name, _)| name);
        if let Some(unknown) = self.only.iter().find(|only| !names.contains(&only.as_str())) {
            bail!("there is no measure {unknown}; there are {}", names.join(", "));
        }
        let mut text = head(rounds);
        eprintln!("{text}");
        let mut failed = Vec::new();
        for (name, measure) in measures {
            if self.only.is_empty() || self.only.iter().any(|only| only == name) {
                eprintln!("--- {name}, after {} s", begin.elapsed().as_secs());
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
    let systemd = said("systemctl", &["--version"]);
    let nginx = Ran::of(Command::new("nginx").arg("-v")).stderr;
    let nginx = nginx.trim().trim_start_matches("nginx version: ").to_owned();
    let ours = format!("sockmgr {} ({})", env!("CARGO_PKG_VERSION"), commit());
    let versions = [
        ours,
        systemd.lines().next().unwrap_or_default().to_owned(),
        nginx,
        said("gunicorn", &["--version"]),
    ];
    let build = if cfg!(debug_assertions) { " A debug build: the times say nothing." } else { "" };
    format!(
        "# Results\n\nWritten by `contrib/bench/run results --rounds {rounds}`: all in one run, in so many rounds they take \
         turns (A B, B A, …), medians; what was lost is the sum.{build}\n\n{}. {}.\n",
        machine(),
        versions.join(", ")
    )
}

/// Which state of the sources it is; `+` where they were changed since.
fn commit() -> String {
    let words = ["describe", "--always", "--dirty=+", "--abbrev=10"];
    Ran::of(Command::new("git").args(words)).text()
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let model = value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = value(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = Ran::of(Command::new("uname").args(["-sr"])).text();
    let gib = memory.unwrap_or_default().div_ceil(1 << 20);
    format!(
        "{kernel}, {cores} cores of {model}, {gib} GiB of memory, load {} before it began",
        load(&read("/proc/loadavg"))
    )
}

/// Of the last minute.
fn load(text: &str) -> &str {
    text.split(' ').next().unwrap_or("unknown")
}
