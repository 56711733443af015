//! What waits in the listeners of a socket, as the kernel tells it when somebody asks. Nobody asking costs nothing.
//!
//! Never here: what follows from it. Invariant: what the kernel does not tell is `None`, not 0.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use sockmgr_engine::{FdId, Port, Time};
use sockmgr_sys::{diag, queue};
use sockmgr_unit::UnitName;

use super::listeners::chain;
use super::{Driver, now};
use crate::control::QueueView;

/// Looks that are closer say nothing of a rate, and those that are farther apart nothing of the present one.
const CLOSEST: Duration = Duration::from_millis(200);
const FARTHEST: Duration = Duration::from_secs(15);

/// What was steered to listeners when somebody looked last: two looks make a rate.
#[derive(Debug, Default)]
pub(super) struct Looks(RefCell<BTreeMap<FdId, Look>>);

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Time,
    count: u64,
    per_second: Option<f64>,
}

impl Looks {
    /// Per second, since the look before.
    fn rate(&self, id: FdId, count: u64, now: Time) -> Option<f64> {
        let mut looks = self.0.borrow_mut();
        let last = looks.get(&id).copied();
        let ago = last.map(|last| Duration::from_micros(now.as_micros().saturating_sub(last.at.as_micros())));
        let per_second = match (last, ago) {
            (Some(last), Some(ago)) if ago < CLOSEST => return last.per_second,
            (Some(last), Some(ago)) if ago <= FARTHEST => {
                Some(count.saturating_sub(last.count) as f64 / ago.as_secs_f64())
            }
            (_, _) => None,
        };
        looks.insert(id, Look { at: now, count, per_second });
        per_second
    }

    /// It is closed.
    pub(super) fn forget(&self, id: FdId) {
        self.0.borrow_mut().remove(&id);
    }
}

impl Driver {
    /// The queues of a socket's listeners, in order.
    pub(super) fn queues_of(&self, socket: &UnitName) -> Vec<QueueView> {
        let ports: Vec<Port> = self.engine.open_ports(socket).collect();
        let mut queues: Vec<(FdId, QueueView)> =
            ports.iter().filter_map(|port| Some((port.fd, self.queue_at(*port)?))).collect();
        for at in 0..queues.len() {
            let (fd, queue) = queues[at];
            // Of several the kernel does not say on which of them the oldest waits.
            let is_alone =
                queues.iter().filter(|(_, other)| other.line == queue.line && other.used > 0).count() == 1;
            if queue.used > 0 && is_alone {
                queues[at].1.oldest = self.oldest_at(fd);
            }
        }
        queues.into_iter().map(|(_, queue)| queue).collect()
    }

    fn queue_at(&self, port: Port) -> Option<QueueView> {
        let level = queue::level(self.descriptors.get(port.fd)?).ok().flatten()?;
        let steered = self.steered_to(port.fd);
        Some(QueueView {
            line: port.line,
            slot: port.slot,
            used: level.used,
            limit: level.limit,
            drops: level.drops,
            oldest: None,
            steered,
            per_second: steered.and_then(|count| self.looks.rate(port.fd, count, now())),
        })
    }

    fn oldest_at(&self, id: FdId) -> Option<Duration> {
        match diag::oldest_waiting(self.descriptors.get(id)?) {
            Ok(oldest) => oldest,
            Err(error) => {
                tracing::debug!("cannot ask how long connections have waited: {}", chain(&error));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_looks_that_are_neither_close_nor_far() {
        let (looks, id) = (Looks::default(), FdId(3));
        let at = |millis: u64| Time::from_micros(millis * 1000);
        assert_eq!(looks.rate(id, 100, at(1000)), None);
        assert_eq!(looks.rate(id, 150, at(1100)), None, "too close");
        assert_eq!(looks.rate(id, 200, at(1500)), Some(200.0));
        assert_eq!(looks.rate(id, 999, at(1600)), Some(200.0), "the one before still holds");
        assert_eq!(looks.rate(id, 200, at(2500)), Some(0.0));
        assert_eq!(looks.rate(id, 900, at(60_000)), None, "too far");
        looks.forget(id);
        assert_eq!(looks.rate(id, 900, at(61_000)), None);
    }
}
