//! The measures of `results`, a file each.

pub mod accept;
pub mod activation;
pub mod cli;
pub mod footprint;
pub mod reload;
pub mod restart;
pub mod steady;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Connects and reads all that is said: the service of the measures says one line and closes.
fn visit(address: SocketAddr) -> Result<Duration> {
    let begin = Instant::now();
    let mut answer = String::new();
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(Duration::from_secs(20)))?;
    client.read_to_string(&mut answer)?;
    ensure!(answer.ends_with('\n'), "not a whole answer: {answer:?}");
    Ok(begin.elapsed())
}

/// So many clients in a loop, each with one connection at a time: how many were served per second.
fn closed_loop(clients: u32, time: Duration, visit: impl Fn() -> Result<()> + Sync) -> Result<f64> {
    let begin = Instant::now();
    let client = || -> Result<u32> {
        let mut served = 0;
        while begin.elapsed() < time {
            visit()?;
            served += 1;
        }
        Ok(served)
    };
    let served = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let served = clients.into_iter().map(|client| client.join().expect("no client panics"));
        served.sum::<Result<u32>>()
    })?;
    Ok(f64::from(served) / begin.elapsed().as_secs_f64())
}

/// What a process has in memory for itself alone, in KiB.
fn private_memory(pid: i32) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).context(path)?;
    let lines = text.lines().filter(|line| line.starts_with("Private_"));
    let kib = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    Ok(kib.sum())
}
