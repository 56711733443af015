//! What a thousand sockets cost that nobody connects to: memory, and the time until all listen.

use std::time::{Duration, Instant};

use anyhow::Result;
use sockmgr_tests::kernel::count_tcp_listeners;
use sockmgr_tests::manager::Setup;
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until_within;

use super::private_memory;
use crate::peer::UserManager;
use crate::table::{Table, alternate, figure, median, ratio};

const SOCKETS: u16 = 1000;

/// The port of the first socket.
const FIRST: u16 = 10_000;

#[derive(Clone, Copy, Debug)]
enum Holder {
    Sockmgr,
    Systemd,
}

/// One run.
struct Run {
    /// Private memory of the manager's processes.
    kib: f64,
    millis: f64,
}

/// Measures both.
pub fn measure(rounds: u32) -> Result<Table> {
    let holders = [Holder::Sockmgr, Holder::Systemd];
    let runs = alternate(rounds, &holders, |holder| run(*holder));
    let kib = |runs: &[Run]| median(runs.iter().map(|run| run.kib));
    let ours = kib(&runs[0]);
    let rows = holders.iter().zip(&runs).map(|(holder, runs)| {
        let millis = median(runs.iter().map(|run| run.millis));
        let name = format!("{holder:?}").to_lowercase();
        vec![name, figure(kib(runs) / 1024.0), figure(millis), ratio(kib(runs), ours)]
    });
    let text = format!(
        "{SOCKETS} TCP sockets, each with its service. Memory is what the manager's processes have for themselves; time \
         is from the start of the manager until all listen."
    );
    let columns = vec!["", "memory MiB", "start ms", "memory to ours"];
    Ok(Table { title: "Idle sockets", text, columns, rows: rows.collect() })
}

fn run(holder: Holder) -> Result<Run> {
    eprintln!("idle sockets: {holder:?}");
    let site = Site::new();
    for number in 0..SOCKETS {
        let port = FIRST + number;
        site.unit(&format!("s{number}.socket"), &format!("[Socket]\nListenStream={{host}}:{port}\n"));
        site.unit(&format!("s{number}.service"), "[Service]\nExecStart=/bin/true\n");
        site.enable(&format!("s{number}.socket"), "sockets.target");
    }
    match holder {
        Holder::Sockmgr => {
            let begin = Instant::now();
            let manager = Setup::new(&site).start();
            let millis = until_all_listen(&site, begin);
            let kib = private_memory(manager.keeper().0)? + private_memory(manager.brain().0)?;
            Ok(Run { kib, millis })
        }
        Holder::Systemd => {
            let units = UserManager::units(&site);
            if let Some(above) = units.parent() {
                std::fs::create_dir_all(above)?;
            }
            std::os::unix::fs::symlink(site.path("units"), units)?;
            let begin = Instant::now();
            let manager = UserManager::start(&site)?;
            let millis = until_all_listen(&site, begin);
            Ok(Run { kib: private_memory(manager.process().0)?, millis })
        }
    }
}

fn until_all_listen(site: &Site, begin: Instant) -> f64 {
    let host = site.address(FIRST).ip();
    until_within(Duration::from_secs(120), "all sockets listen", || {
        count_tcp_listeners(host) == usize::from(SOCKETS)
    });
    begin.elapsed().as_secs_f64() * 1000.0
}
