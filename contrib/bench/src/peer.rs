//! Those who are measured side by side: each is a file that knows how to start it and how it restarts its servers.

mod gunicorn;
mod naive;
mod nginx;
mod sockmgr;
mod systemd;

use anyhow::Result;
use sockmgr_tests::kernel::tcp_listeners;
use sockmgr_tests::load::Exchange;
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

pub use gunicorn::Gunicorn;
pub use naive::Naive;
pub use nginx::Nginx;
pub use sockmgr::Sockmgr;
pub use systemd::{Systemd, UserManager};

/// The port that all of them serve.
pub const PORT: u16 = 8080;

/// The server that all who start other people's servers start: a tenth of a second to come up, a millisecond for an
/// answer, and at SIGTERM it finishes what it has begun.
pub const SERVICE: &str = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nExecStart={witness}\n\
    Environment=WITNESS_GRACE=1 WITNESS_ANSWER_MS=1 WITNESS_READY_MS=100\n";

/// One who is measured.
pub trait Peer {
    /// What it is called in a table.
    fn name(&self) -> &'static str;

    /// What its servers speak.
    fn exchange(&self) -> Exchange {
        Exchange::Witness
    }

    /// Starts it; returns when its servers answer.
    fn start<'a>(&self, site: &'a Site) -> Result<Box<dyn Running + 'a>>;
}

/// One that runs, until its value goes.
pub trait Running {
    /// Restarts its servers, in its own way; returns when its own command does.
    fn restart(&mut self, round: u32) -> Result<()>;
}

/// Waits until so many listen on the address of a site.
fn until_listening(site: &Site, count: usize) {
    until("the peer listens", || tcp_listeners(site.address(PORT)).len() == count);
}
