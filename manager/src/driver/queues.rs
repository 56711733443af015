//! What waits in the listeners of a socket, as the kernel tells it when somebody asks. Nobody asking costs nothing.
//!
//! Never here: what follows from it. Invariant: what the kernel does not tell is `None`, not 0.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use sockmgr_engine::{FdId, Port, Time};
use sockmgr_sys::queue;
use sockmgr_unit::UnitName;

use super::{Driver, now};
use crate::control::QueueView;

/// Since when queues have been seen with something in them. The kernel does not tell when a connection came: this is the most that the
/// oldest one can have waited, if somebody looks now and then; one look alone says 0.
#[derive(Debug, Default)]
pub(super) struct Waiting(RefCell<BTreeMap<FdId, Time>>);

impl Waiting {
    /// For how long, if something is in it now.
    fn seen(&self, id: FdId, is_empty: bool, now: Time) -> Option<Duration> {
        let mut since = self.0.borrow_mut();
        if is_empty {
            since.remove(&id);
            return None;
        }
        let first = *since.entry(id).or_insert(now);
        Some(Duration::from_micros(now.as_micros().saturating_sub(first.as_micros())))
    }

    /// It is closed.
    pub(super) fn forget(&self, id: FdId) {
        self.0.borrow_mut().remove(&id);
    }
}

impl Driver {
    /// The queues of a socket's listeners, in order.
    pub(super) fn queues_of(&self, socket: &UnitName) -> Vec<QueueView> {
        self.engine.open_ports(socket).filter_map(|port| self.queue_at(port)).collect()
    }

    fn queue_at(&self, port: Port) -> Option<QueueView> {
        let level = queue::level(self.descriptors.get(port.fd)?).ok().flatten()?;
        Some(QueueView {
            line: port.line,
            slot: port.slot,
            used: level.used,
            limit: level.limit,
            drops: level.drops,
            waiting: self.waiting.seen(port.fd, level.used == 0, now()),
            steered: self.steered_to(port.fd),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_waits_from_the_first_look_at_it() {
        let (waiting, id) = (Waiting::default(), FdId(3));
        let at = |micros| Time::from_micros(micros);
        assert_eq!(waiting.seen(id, true, at(10)), None);
        assert_eq!(waiting.seen(id, false, at(20)), Some(Duration::ZERO));
        assert_eq!(waiting.seen(id, false, at(50)), Some(Duration::from_micros(30)));
        assert_eq!(waiting.seen(id, true, at(60)), None);
        assert_eq!(waiting.seen(id, false, at(70)), Some(Duration::ZERO));
        waiting.forget(id);
        assert_eq!(waiting.seen(id, false, at(90)), Some(Duration::ZERO));
    }
}
