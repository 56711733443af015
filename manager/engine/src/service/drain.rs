//! Before an instance that is out of rotation is told to stop, it serves what its queues still hold.
//!
//! Steering new connections elsewhere is not enough: handshakes that were under way arrive a little later, and many servers close what
//! they have not accepted yet, or end before they have. So the queues are looked at until they have been empty for a while.
//!
//! Never here: how full a queue is; the driver asks the kernel. Only slots with listeners of their own are drained, and only while
//! others take the new connections; what siblings share they go on serving.

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;
use sockmgr_unit::value::Span;

use super::overlap::is_other;
use super::{ServiceResult, ServiceState};
use crate::engine::Engine;
use crate::event::Action;
use crate::ids::{FdId, Time};

/// Between two looks at the queues.
const LOOK: Span = Span::from_millis(5);
/// Queues that were empty for so long are taken for drained: a handshake is through by then, on most ways.
const QUIET: Span = Span::from_millis(50);

/// What is known of the queues.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Drain {
    /// `DrainTimeoutSec=`; `None`: no limit.
    until: Option<Time>,
    /// Since when all were empty.
    quiet_since: Option<Time>,
    /// Answers that this look still waits for.
    asked: usize,
    /// What the answers so far come to.
    queued: u64,
}

impl Engine {
    /// Has the instance serve what it has, then stop.
    pub(super) fn enter_drain(&mut self, name: &UnitName) {
        let limit = self.service_unit(name).service.drain_timeout_sec;
        // A frozen one could not, and has been seen to have nothing.
        let is_frozen = self.service(name).run().is_frozen;
        if is_frozen || limit < LOOK || self.queues_to_drain(name).is_empty() {
            return self.enter_stop(name, ServiceResult::Success);
        }
        let drain = Drain { until: self.now.after(limit), quiet_since: None, asked: 0, queued: 0 };
        self.service_mut(name).run_mut().drain = Some(drain);
        self.set_service_state(name, ServiceState::Drain);
        self.look_at_queues(name);
    }

    /// Asks how full the queues are now.
    pub(super) fn look_at_queues(&mut self, name: &UnitName) {
        let queues = self.queues_to_drain(name);
        // The answers may fail to come only with the manager's death.
        let deadline = self.now.after(LOOK);
        self.set_deadline(name, deadline);
        match &mut self.service_mut(name).run_mut().drain {
            Some(drain) if !queues.is_empty() => (drain.asked, drain.queued) = (queues.len(), 0),
            // The socket was closed, or nobody else is left who could take new connections.
            Some(_) | None => return self.drained(name),
        }
        self.out.extend(queues.into_iter().map(|fd| Action::Measure { fd }));
    }

    /// So much waits on this listener; `None` where the kernel does not tell.
    pub(crate) fn queue_measured(&mut self, fd: FdId, queued: Option<u32>) {
        self.hang_measured(fd, queued.unwrap_or(0));
        self.crowd_measured(fd, queued);
        let Some(name) = self.instance_at(fd) else { return };
        let service = self.service(&name);
        if service.state == ServiceState::Drain && service.run().drain.is_some() {
            self.drain_measured(&name, queued.unwrap_or(0));
        }
    }

    fn drain_measured(&mut self, name: &UnitName, queued: u32) {
        let now = self.now;
        let Some(drain) = &mut self.service_mut(name).run_mut().drain else { return };
        drain.asked = drain.asked.saturating_sub(1);
        drain.queued += u64::from(queued);
        if drain.asked > 0 {
            return;
        }
        drain.quiet_since = (drain.queued == 0).then(|| drain.quiet_since.unwrap_or(now));
        let is_quiet = drain.quiet_since.and_then(|since| since.after(QUIET)).is_some_and(|end| end <= now);
        let is_late = drain.until.is_some_and(|until| until <= now);
        if is_late && drain.queued > 0 {
            let text = format!("its queue still holds {} after DrainTimeoutSec=, stopping", drain.queued);
            self.log_warning(name, text);
        }
        if is_quiet || is_late {
            self.drained(name);
        }
    }

    fn drained(&mut self, name: &UnitName) {
        self.service_mut(name).run_mut().drain = None;
        self.enter_stop(name, ServiceResult::Success);
    }

    /// The listeners of this instance alone, in whose group others are in rotation and it is not.
    fn queues_to_drain(&self, name: &UnitName) -> Vec<FdId> {
        if is_other(name) {
            // Its next generation serves the same queues.
            return Vec::new();
        }
        let Some(seat) = self.service(name).seat.clone() else { return Vec::new() };
        let sockets = self.links(&seat.group).triggered_by.iter();
        let sockets = sockets.filter_map(|socket| self.nodes.get(socket)?.socket());
        sockets
            .filter(|socket| socket.is_open() && !socket.steered.contains(&seat.slot))
            .flat_map(|socket| socket.ports.iter().map(|open| open.port))
            .filter(|port| port.slot == Some(seat.slot))
            .map(|port| port.fd)
            .collect()
    }
}
