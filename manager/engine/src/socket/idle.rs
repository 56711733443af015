//! Services that nobody uses (`IdleStopSec=`): stopped until somebody comes again.
//!
//! While the service runs, the connections of each line are counted four times in `IdleStopSec=`, and the kernel notes who comes in
//! between. When no look has found anybody for so long, the service is frozen, for a moment, and counted a last time: what it had
//! accepted before is a connection now, and what comes later waits in the queue. Then it is told to stop, or goes on. So nobody is
//! accepted between the last look and the end. The listeners stay open: whoever waits there starts the service again.
//!
//! Never here: how connections are counted; what the kernel does not tell counts as use. Of all this only who is frozen is saved:
//! another manager lets them go on, and begins to count anew.

use std::collections::BTreeSet;

use sockmgr_unit::value::Span;
use sockmgr_unit::{Relation, UnitName};

use super::SocketState;
use crate::engine::{Engine, Timer};
use crate::event::Action;
use crate::ids::{FdId, Time};
use crate::job::JobKind;
use crate::node::ActiveState;

/// Looks within `IdleStopSec=`.
const LOOKS: u64 = 4;
/// Between two looks at least.
const SHORTEST_PAUSE: Span = Span::from_millis(1);

/// What is known of the use of a socket whose service runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Idle {
    /// Since when all looks have found nobody.
    unused_since: Option<Time>,
    next_look: Option<Time>,
    look: Look,
}

/// Listeners that are being counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    asked: BTreeSet<FdId>,
    /// One of the answers so far tells of somebody.
    is_used: bool,
}

impl Engine {
    // --- looks ---

    /// Begins to look, or ceases to, as the state of the socket and its service say.
    pub(super) fn refresh_idle(&mut self, name: &UnitName) {
        match (self.may_be_unused(name), self.socket(name).idle.is_some()) {
            (true, false) => {
                self.socket_mut(name).idle = Some(Box::default());
                self.look_for_use(name);
            }
            (false, true) => {
                if let Some(idle) = self.socket_mut(name).idle.take() {
                    self.move_timer(name, Timer::Idle, idle.next_look, None);
                }
                if let Some(service) = self.triggered(name) {
                    self.last_looks.remove(&service);
                    self.end_freeze(&service);
                }
            }
            (true, true) | (false, false) => {}
        }
    }

    fn may_be_unused(&self, name: &UnitName) -> bool {
        let is_quiet = |unit: &UnitName| self.job_of(unit).is_none() && self.other_generation(unit).is_none();
        let runs = |service: UnitName| {
            self.job_of(&service).is_none()
                && self.active_state(&service) == ActiveState::Active
                && self.services_of(&service).iter().all(|unit| {
                    let state = self.active_state(unit);
                    is_quiet(unit) && (state == ActiveState::Active || state.is_down())
                })
        };
        self.section(name).idle_stop().is_some()
            && self.socket(name).state == SocketState::Running
            && self.triggered(name).is_some_and(runs)
    }

    fn idle_limit(&self, name: &UnitName) -> Span {
        self.section(name).idle_stop().unwrap_or(Span::INFINITY)
    }

    /// The services behind a name: the instances of a group that are there, or the service itself.
    fn services_of(&self, service: &UnitName) -> Vec<UnitName> {
        let group = self.nodes.get(service).and_then(|node| node.group());
        group.map_or_else(|| vec![service.clone()], |group| group.present(&self.nodes))
    }

    /// Time to count.
    pub(crate) fn look_for_use(&mut self, name: &UnitName) {
        self.plan_count(name);
        let is_last = self.triggered(name).is_some_and(|service| self.freezes.contains_key(&service));
        let counted = self.counted(name);
        let Some(idle) = self.socket_mut(name).idle.as_mut().filter(|_| !is_last) else { return };
        idle.look = Look { asked: counted.iter().copied().collect(), is_used: false };
        self.out.extend(counted.into_iter().map(|fd| Action::Count { fd }));
    }

    fn plan_count(&mut self, name: &UnitName) {
        let next = self.now.after(self.idle_limit(name).part(LOOKS).max(SHORTEST_PAUSE));
        let Some(idle) = &mut self.socket_mut(name).idle else { return };
        let old = std::mem::replace(&mut idle.next_look, next);
        self.move_timer(name, Timer::Idle, old, next);
    }

    /// All listeners: connections are counted by address, but who comes is noted by listener.
    fn counted(&self, name: &UnitName) -> Vec<FdId> {
        self.socket(name).ports.iter().map(|open| open.port.fd).collect()
    }

    /// So much use is made of this listener.
    pub(crate) fn use_counted(&mut self, fd: FdId, count: Option<u32>, has_visitors: bool) {
        let Some(name) = self.listeners.get(&fd).cloned() else { return };
        let is_used = count != Some(0) || has_visitors;
        let Some(service) = self.triggered(&name) else { return };
        if let Some(last) = self.last_looks.get_mut(&service) {
            if last.note(fd, is_used) {
                self.judge_last_look(&service);
            }
            return;
        }
        let now = self.now;
        let Some(idle) = &mut self.socket_mut(&name).idle else { return };
        if idle.look.note(fd, is_used) {
            idle.unused_since = if idle.look.is_used { None } else { idle.unused_since.or(Some(now)) };
            if self.is_unused(&name) && self.may_be_stopped(&service) {
                self.begin_last_look(&service);
            }
        }
    }

    fn is_unused(&self, name: &UnitName) -> bool {
        let Some(idle) = &self.socket(name).idle else { return false };
        let end = idle.unused_since.and_then(|since| since.after(self.idle_limit(name)));
        idle.look.asked.is_empty() && end.is_some_and(|end| end <= self.now)
    }

    /// None of its sockets is used, nobody holds them, nothing that runs requires it, and no rollout waits for it to be well.
    fn may_be_stopped(&self, service: &UnitName) -> bool {
        let is_required = |unit: &UnitName| {
            let mut dependents =
                self.others(unit, Relation::RequiredBy).chain(self.others(unit, Relation::BoundBy));
            dependents.any(|dependent| !self.active_state(dependent).is_down())
        };
        let members = self.services_of(service);
        self.open_sockets(service).all(|socket| self.is_unused(socket) && !self.is_held(socket))
            && !is_required(service)
            && !members.iter().any(|unit| is_required(unit) || self.is_rolling_out(unit))
    }

    fn open_sockets<'a>(&'a self, service: &UnitName) -> impl Iterator<Item = &'a UnitName> {
        let is_open = |socket: &&UnitName| {
            self.nodes.get(*socket).and_then(|node| node.socket()).is_some_and(|socket| socket.is_open())
        };
        self.links(service).triggered_by.iter().filter(is_open)
    }

    // --- the last look ---

    /// It is counted once more when it is frozen.
    fn begin_last_look(&mut self, service: &UnitName) {
        if !self.freezes.contains_key(service) {
            self.begin_freeze(service, self.services_of(service));
        }
    }

    pub(super) fn count_last(&mut self, service: &UnitName) {
        let counted: Vec<FdId> = self.open_sockets(service).flat_map(|socket| self.counted(socket)).collect();
        let look = Look { asked: counted.iter().copied().collect(), is_used: false };
        self.last_looks.insert(service.clone(), look);
        self.out.extend(counted.into_iter().map(|fd| Action::Count { fd }));
    }

    fn judge_last_look(&mut self, service: &UnitName) {
        let look = self.last_looks.remove(service);
        if look.is_none_or(|look| look.is_used) || !self.may_be_stopped(service) {
            return self.used_after_all(service);
        }
        self.forget_freeze(service);
        self.log_info(service, "nobody uses it: stopping until somebody comes".to_owned());
        // It has them go on, after their signal.
        self.queue_job(service, JobKind::Stop, false);
    }

    fn used_after_all(&mut self, service: &UnitName) {
        for socket in self.links(service).triggered_by.clone() {
            let machine = self.nodes.get(&socket).and_then(|node| node.socket());
            if machine.is_some_and(|socket| socket.idle.is_some())
                && let Some(idle) = &mut self.socket_mut(&socket).idle
            {
                idle.unused_since = None;
            }
        }
        self.end_freeze(service);
    }
}

impl Look {
    /// Notes an answer; true when it was the last one.
    fn note(&mut self, fd: FdId, is_used: bool) -> bool {
        if !self.asked.remove(&fd) {
            return false;
        }
        self.is_used |= is_used;
        self.asked.is_empty()
    }
}
