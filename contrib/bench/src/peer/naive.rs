//! Four workers without a manager: each binds a listener of its own with `SO_REUSEPORT`, and they are restarted one after
//! the other. At SIGTERM a worker finishes what it has accepted.

use std::os::unix::net::UnixDatagram;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use sockmgr_tests::built;
use sockmgr_tests::program::{Program, tied};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::PATIENCE;

use super::{PORT, Peer, Running};

const WORKERS: usize = 4;

/// Workers that do all by themselves.
#[derive(Clone, Copy, Debug)]
pub struct Naive;

impl Peer for Naive {
    fn name(&self) -> &'static str {
        "naive reuseport: 4 workers, one by one"
    }

    fn start<'a>(&self, site: &'a Site) -> Result<Box<dyn Running + 'a>> {
        // Looking for its listener would be looking through all that the kernel remembers of a loaded address.
        let ready = UnixDatagram::bind(site.path("worker-ready"))?;
        ready.set_read_timeout(Some(PATIENCE))?;
        let mut workers = Workers { site, ready, workers: Vec::new() };
        for _ in 0..WORKERS {
            let worker = workers.worker()?;
            workers.workers.push(worker);
        }
        Ok(Box::new(workers))
    }
}

struct Workers<'a> {
    site: &'a Site,
    /// Where each says that it listens.
    ready: UnixDatagram,
    workers: Vec<Program>,
}

impl Workers<'_> {
    /// Starts one, and waits until it listens.
    fn worker(&self) -> Result<Program> {
        let mut command = tied();
        command.arg(built::witness()).env("WITNESS_BIND", self.site.address(PORT).to_string());
        command.env("WITNESS_GRACE", "1").env("WITNESS_ANSWER_MS", "1").env("WITNESS_READY_MS", "100");
        command.env("NOTIFY_SOCKET", self.site.path("worker-ready"));
        let worker = Program::start(&mut command, &self.site.path("naive.log"));
        self.ready.recv(&mut [0; 64]).context("a worker gets ready")?;
        Ok(worker)
    }
}

impl Running for Workers<'_> {
    fn restart(&mut self, _: u32) -> Result<()> {
        for place in 0..WORKERS {
            self.workers[place].signal(Signal::SIGTERM);
            self.workers[place].wait();
            self.workers[place] = self.worker()?;
        }
        Ok(())
    }
}
