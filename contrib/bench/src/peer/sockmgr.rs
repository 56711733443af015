//! sockmgr, restarting its servers in one of its ways.

use anyhow::Result;
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;

use super::{Peer, Running, SERVICE};

/// The ways of sockmgr.
#[derive(Clone, Copy, Debug)]
pub enum Sockmgr {
    /// One process, which overlaps with its successor.
    One,
    /// Four instances, restarted one after the other.
    Group,
    /// Four instances, then two, then four.
    Scale,
    /// Two processes that share a listener, restarted one after the other.
    Shared,
}

impl Sockmgr {
    /// What the socket has beside its address.
    fn socket(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Group | Self::Scale => "Instances=4\n",
            Self::Shared => "Instances=2\nDistribute=shared\n",
        }
    }
}

impl Peer for Sockmgr {
    fn name(&self) -> &'static str {
        match self {
            Self::One => "sockmgr: one process, overlapping",
            Self::Group => "sockmgr: 4 instances, one by one",
            Self::Scale => "sockmgr: scale 4 to 2 and back",
            Self::Shared => "sockmgr: 2 processes, one listener",
        }
    }

    fn start<'a>(&self, site: &'a Site) -> Result<Box<dyn Running + 'a>> {
        let socket = self.socket();
        site.unit("web.socket", &format!("[Socket]\nListenStream={{host}}:8080\nBacklog=4096\n{socket}"));
        site.unit(if socket.is_empty() { "web.service" } else { "web@.service" }, SERVICE);
        let manager = Setup::new(site).start();
        manager.up("web.socket");
        manager.up("web.service");
        Ok(Box::new(Up { manager, way: *self }))
    }
}

struct Up<'a> {
    manager: Manager<'a>,
    way: Sockmgr,
}

impl Running for Up<'_> {
    fn restart(&mut self, round: u32) -> Result<()> {
        match self.way {
            Sockmgr::One | Sockmgr::Group | Sockmgr::Shared => {
                self.manager.sockmgr(&["restart", "web.service"]).ok();
            }
            Sockmgr::Scale => {
                let count = if round.is_multiple_of(2) { "2" } else { "4" };
                self.manager.sockmgr(&["scale", "web.socket", count]).ok();
            }
        }
        Ok(())
    }
}
