//! Who uses a listener: connections as the kernel counts them, and visitors, who came and may have left since the last count.
//!
//! Never here: what follows from it. Invariant: what the kernel does not tell is use, so that nothing is stopped for want of knowledge.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};

use sockmgr_engine::{Event, FdId};
use sockmgr_sys::arrivals::{Arrivals, Arrived};
use sockmgr_sys::diag;
use sockmgr_sys::poll::Interest;

use super::Driver;
use super::listeners::chain;
use super::turn::ARRIVALS;

/// Listeners whose visitors are noted. Made for the first one, as most managers have none.
#[derive(Debug, Default)]
pub(super) struct Visits {
    arrivals: Option<Arrivals>,
    /// Whether anybody came since the last count.
    noted: BTreeMap<FdId, bool>,
}

impl Visits {
    /// It is closed.
    pub(super) fn forget(&mut self, id: FdId) {
        self.noted.remove(&id);
    }
}

impl Driver {
    /// Counts who uses a listener, and notes from now on who comes.
    pub(super) fn count(&mut self, id: FdId) -> Event {
        let has_visitors = self.renew_visits(id).unwrap_or_else(|error| {
            tracing::debug!("cannot note who comes to listener {id}: {}", chain(&error));
            true
        });
        let counted = self.descriptors.get(id).map(diag::in_use).transpose();
        let count = counted.map(Option::flatten).unwrap_or_else(|error| {
            tracing::warn!("cannot count the connections of listener {id}: {}", chain(&error));
            None
        });
        Event::Counted { fd: id, count, has_visitors }
    }

    /// Whether anybody came since the last time. What came before the first one does not count.
    fn renew_visits(&mut self, id: FdId) -> Result<bool, sockmgr_sys::SysError> {
        if self.visits.arrivals.is_none() {
            let arrivals = Arrivals::new()?;
            self.poll.add(arrivals.as_fd(), ARRIVALS, Interest::Readable)?;
            self.visits.arrivals = Some(arrivals);
        }
        self.take_arrivals();
        let (Some(arrivals), Some(fd)) = (&self.visits.arrivals, self.descriptors.get(id)) else {
            return Ok(true);
        };
        arrivals.arm(fd)?;
        Ok(self.visits.noted.insert(id, false).unwrap_or(false))
    }

    /// Notes who came. One visitor is enough: what comes until the next count costs nothing.
    pub(super) fn take_arrivals(&mut self) {
        let Some(arrivals) = &self.visits.arrivals else { return };
        let arrived = arrivals.take().unwrap_or_else(|error| {
            tracing::warn!("{}", chain(&error));
            Arrived { is_anywhere: true, ..Arrived::default() }
        });
        for (id, noted) in &mut self.visits.noted {
            let Some(fd) = self.descriptors.get(*id) else { continue };
            if !arrived.is_anywhere && !arrived.fds.contains(&fd.as_raw_fd()) {
                continue;
            }
            *noted = true;
            if let Err(error) = arrivals.disarm(fd) {
                tracing::debug!("listener {id}: {}", chain(&error));
            }
        }
    }
}
