//! Instances that hang (`AcceptTimeoutSec=`): what waits for them is not accepted, while their siblings accept.
//!
//! The listener of a slot in rotation is watched until somebody waits there. From then on its queue is looked at four times in
//! `AcceptTimeoutSec=`, until it is empty; then the listener is watched again. So idle sockets cost nothing. A queue that at no look
//! was shorter than at the one before is one that nobody accepts from. Its slot leaves the rotation, and comes back when the queue is
//! empty, or with another process.
//!
//! Never here: a judgement while most slots are late, which is what too much traffic looks like. Nothing of this is saved: another
//! manager finds out again.

use std::collections::BTreeMap;

use sockmgr_unit::UnitName;
use sockmgr_unit::value::OnHang;

use crate::engine::{Engine, Timer};
use crate::event::{Action, Port};
use crate::ids::{FdId, ProcessId, Time};
use crate::job::JobKind;

/// Looks within `AcceptTimeoutSec=`.
const LOOKS: u64 = 4;

/// What is known of queues that are not empty, and of instances that hang.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hangs {
    queues: BTreeMap<FdId, Queue>,
    /// Slots out of rotation, and the process for which they are.
    out: BTreeMap<u32, ProcessId>,
    next_look: Option<Time>,
}

/// A queue that is not empty.
#[derive(Clone, Copy, Debug)]
struct Queue {
    slot: u32,
    /// When it last became shorter, or was seen first.
    since: Time,
    /// Its length at the last look.
    length: Option<u32>,
}

impl Engine {
    /// Whether this listener is watched to see when somebody waits there, although somebody is there to accept.
    pub(super) fn watches_for_hang(&self, name: &UnitName, port: Port) -> bool {
        let is_served = || {
            let instance = port.slot.and_then(|slot| self.slot_instance(name, slot));
            let service = instance.and_then(|instance| self.nodes.get(&instance)?.service());
            service.is_some_and(|service| service.is_ready())
        };
        let hangs = self.socket(name).hangs.as_ref();
        !self.section(name).accept_timeout_sec.is_infinite()
            && hangs.is_none_or(|hangs| !hangs.queues.contains_key(&port.fd))
            && is_served()
    }

    /// Somebody waits there.
    pub(super) fn begin_looks(&mut self, name: &UnitName, fd: FdId, slot: u32) {
        let now = self.now;
        let hangs = self.socket_mut(name).hangs.get_or_insert_default();
        hangs.queues.insert(fd, Queue { slot, since: now, length: None });
        if hangs.next_look.is_none() {
            self.plan_look(name);
        }
        self.refresh_watches(name);
    }

    /// The next look, if there is anything to look at.
    fn plan_look(&mut self, name: &UnitName) {
        let next = self.now.after(self.section(name).accept_timeout_sec.part(LOOKS));
        let Some(hangs) = &mut self.socket_mut(name).hangs else { return };
        let next = next.filter(|_| !hangs.queues.is_empty());
        let old = std::mem::replace(&mut hangs.next_look, next);
        self.move_timer(name, Timer::Hang, old, next);
    }

    /// Time to look at the queues again.
    pub(crate) fn look_for_hangs(&mut self, name: &UnitName) {
        if self.section(name).accept_timeout_sec.is_infinite() {
            // A reload has taken the limit away.
            return self.hangs_no_more(name);
        }
        let Some(hangs) = &self.socket(name).hangs else { return };
        let queues: Vec<FdId> = hangs.queues.keys().copied().collect();
        self.plan_look(name);
        self.out.extend(queues.into_iter().map(|fd| Action::Measure { fd }));
    }

    /// The socket is closed.
    pub(super) fn forget_hangs(&mut self, name: &UnitName) {
        if let Some(hangs) = self.socket_mut(name).hangs.take() {
            self.move_timer(name, Timer::Hang, hangs.next_look, None);
        }
    }

    /// Nobody is looked at any more, and whoever was out of rotation is in it again.
    fn hangs_no_more(&mut self, name: &UnitName) {
        let hangs = self.socket(name).hangs.as_ref();
        let out = hangs.into_iter().flat_map(|hangs| hangs.out.keys());
        let out = out.filter_map(|slot| self.slot_instance(name, *slot));
        let out: Vec<UnitName> = out.filter(|instance| self.is_hung(instance)).collect();
        self.forget_hangs(name);
        for instance in out {
            self.refresh_rotation_of(&instance);
            self.stir(&instance);
        }
        self.refresh_watches(name);
    }

    /// A queue was looked at.
    pub(crate) fn hang_measured(&mut self, fd: FdId, length: u32) {
        let Some(name) = self.listeners.get(&fd).cloned() else { return };
        let now = self.now;
        let Some(slot) = self.slot_looked_at(&name, fd) else { return };
        let instance = self.slot_instance(&name, slot);
        // Whoever has only just come has not had the time.
        let serves =
            instance.is_some_and(|instance| self.is_in_rotation(&instance) || self.is_hung(&instance));
        let Some(hangs) = &mut self.socket_mut(&name).hangs else { return };
        let Some(queue) = hangs.queues.get_mut(&fd) else { return };
        if !serves || queue.length.is_some_and(|last| length < last) {
            queue.since = now;
        }
        queue.length = Some(length);
        if length == 0 {
            hangs.queues.remove(&fd);
            self.served_again(&name, slot);
        } else {
            self.judge(&name, slot);
        }
    }

    fn slot_looked_at(&self, name: &UnitName, fd: FdId) -> Option<u32> {
        Some(self.socket(name).hangs.as_ref()?.queues.get(&fd)?.slot)
    }

    fn served_again(&mut self, name: &UnitName, slot: u32) {
        let hung = self.slot_instance(name, slot).filter(|instance| self.is_hung(instance));
        let hangs = self.socket_mut(name).hangs.get_or_insert_default();
        let waits_elsewhere = hangs.queues.values().any(|queue| queue.slot == slot);
        if !waits_elsewhere {
            hangs.out.remove(&slot);
        }
        if let Some(instance) = hung.filter(|_| !waits_elsewhere) {
            self.log_info(&instance, "accepts again".to_owned());
            self.refresh_rotation_of(&instance);
            self.stir(&instance);
        }
        self.refresh_watches(name);
    }

    /// Whether the instance in this slot hangs; and what follows.
    fn judge(&mut self, name: &UnitName, slot: u32) {
        let limit = self.section(name).accept_timeout_sec;
        let Some(hangs) = &self.socket(name).hangs else { return };
        let late = |queue: &&Queue| queue.since.after(limit).is_some_and(|end| end <= self.now);
        let mut slots: Vec<u32> = hangs.queues.values().filter(late).map(|queue| queue.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        // Those that are out already are late, too.
        let others = self.socket(name).steered.iter().filter(|live| !slots.contains(live)).count();
        let Some(instance) = self.slot_instance(name, slot) else { return };
        let is_late = slots.contains(&slot) && self.is_in_rotation(&instance);
        if is_late && others > 0 && others >= slots.len() {
            self.hangs_now(name, slot, &instance);
        }
    }

    fn hangs_now(&mut self, name: &UnitName, slot: u32, instance: &UnitName) {
        let Some(main) = self.service(instance).main else { return };
        self.socket_mut(name).hangs.get_or_insert_default().out.insert(slot, main.process);
        self.refresh_rotation_of(instance);
        self.stir(instance);
        let why = "accepts nobody (AcceptTimeoutSec=)";
        match self.section(name).on_hang {
            OnHang::Steer => self.log_warning(instance, format!("{why}; new connections go to others")),
            OnHang::Restart
                if self.job_of(instance).is_none()
                    && self.holds_clients_up(instance)
                    && self.restart_overlaps(instance) =>
            {
                self.log_warning(instance, format!("{why}; starting another beside it"));
                self.queue_job(instance, JobKind::Restart, false);
            }
            OnHang::Restart => self.watchdog_bites(instance, &format!("{why}; restarting it")),
        }
    }

    /// It hangs, and what waits for it cannot be moved: only another process with its listeners can serve that.
    pub(crate) fn holds_clients_up(&self, instance: &UnitName) -> bool {
        self.is_hung(instance)
            && self.service(instance).group().is_some_and(|group| {
                let mut sockets = self.links(group).triggered_by.iter();
                sockets.any(|socket| {
                    self.nodes
                        .get(socket)
                        .and_then(|node| node.socket())
                        .is_some_and(|socket| !socket.may_move())
                })
            })
    }

    /// The process that is in this slot now was found to hang.
    pub(crate) fn is_hung(&self, instance: &UnitName) -> bool {
        let Some(service) = self.nodes.get(instance).and_then(|node| node.service()) else { return false };
        let (Some(seat), Some(main)) = (&service.seat, service.main) else { return false };
        let sockets = self.links(&seat.group).triggered_by.iter();
        let mut hangs = sockets.filter_map(|socket| self.nodes.get(socket)?.socket()?.hangs.as_ref());
        hangs.any(|hangs| hangs.out.get(&seat.slot) == Some(&main.process))
    }
}
