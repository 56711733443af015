//! Groups that grow and shrink with what waits for them (`ScaleOn=queue`).
//!
//! The listeners of the slots in rotation are looked at four times in the shorter of `ScaleUpSec=` and `ScaleDownSec=`. When at each
//! look for `ScaleUpSec=` more than `ScaleUpQueue=` waited for each instance, there is to be one more; the next one is thought of when
//! that one serves. When no look for `ScaleDownSec=` found anybody waiting, there is to be one fewer. A group that has to grow again
//! within that time has shrunk too far: the next time it waits twice as long before it does, up to sixteen times.
//!
//! A group that has its fewest instances, and nobody waiting, is not looked at: its listeners are watched until somebody waits, so an
//! idle group costs nothing. Never here: how slots come into service and leave it (`pool`). Nothing of this but the size is saved.

use std::collections::BTreeSet;

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{Listen, ListenKind, ScaleOn, Span};

use super::SocketState;
use crate::engine::{Engine, Timer};
use crate::event::{Action, Port};
use crate::ids::{FdId, Time};
use crate::node::ActiveState;

/// Looks within the shorter of the two spans.
const LOOKS: u64 = 4;
/// Between two looks at least.
const SHORTEST_PAUSE: Span = Span::from_millis(1);
/// Bytes of memory that count as one datagram; the kernel takes no less for a small one.
const DATAGRAM: u32 = 768;
/// How often the wait before the next shrinking doubles at most.
const PATIENCE_MAX: u32 = 4;

/// What is known of the queues of a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scaling {
    /// `None`: not before somebody waits.
    next_look: Option<Time>,
    asked: BTreeSet<FdId>,
    /// What the answers so far come to.
    waiting: u64,
    /// Since when all looks have found too many waiting.
    crowded_since: Option<Time>,
    /// Since when none has found anybody waiting.
    empty_since: Option<Time>,
    /// When it last had one fewer.
    shrunk: Option<Time>,
    /// How often the wait has doubled.
    patience: u32,
}

impl Engine {
    /// Begins to look, or ceases to.
    pub(super) fn refresh_scaling(&mut self, name: &UnitName) {
        match (self.may_scale(name), self.socket(name).scaling.is_some()) {
            (true, false) => {
                self.socket_mut(name).scaling = Some(Box::default());
                self.plan_scaling(name);
            }
            (false, true) => {
                if let Some(scaling) = self.socket_mut(name).scaling.take() {
                    self.move_timer(name, Timer::Scale, scaling.next_look, None);
                }
            }
            (true, true) => self.wake_if_large(name),
            (false, false) => {}
        }
    }

    /// A command may have made it larger.
    fn wake_if_large(&mut self, name: &UnitName) {
        let rests = self.socket(name).scaling.as_ref().is_some_and(|scaling| scaling.next_look.is_none());
        if rests && !self.is_small(name) {
            self.plan_scaling(name);
        }
    }

    /// It has its fewest instances.
    fn is_small(&self, name: &UnitName) -> bool {
        self.group_of_socket(name).is_some_and(|(_, group)| group.size <= self.fewest(name).max(1))
    }

    fn may_scale(&self, name: &UnitName) -> bool {
        self.section(name).scale_on == ScaleOn::Queue
            && self.socket(name).state == SocketState::Running
            && !self.is_held(name)
            && self.group_of_socket(name).is_some()
    }

    /// Whether this listener is watched to see when somebody waits there, although somebody is there to accept.
    pub(super) fn watches_for_crowd(&self, name: &UnitName, port: Port) -> bool {
        let socket = self.socket(name);
        let sleeps = socket.scaling.as_ref().is_some_and(|scaling| scaling.next_look.is_none());
        sleeps && self.is_in_use_now(name, port)
    }

    /// Somebody serves this listener.
    fn is_in_use_now(&self, name: &UnitName, port: Port) -> bool {
        port.slot.is_none_or(|slot| {
            self.socket(name).steered.contains(&slot)
                && self.slot_instance(name, slot).is_some_and(|instance| self.is_in_rotation(&instance))
        })
    }

    /// Somebody waits where nobody was looked for.
    pub(super) fn begin_scaling(&mut self, name: &UnitName) {
        self.plan_scaling(name);
        self.refresh_watches(name);
    }

    fn plan_scaling(&mut self, name: &UnitName) {
        let section = self.section(name);
        let shorter = section.scale_up_sec.min(section.scale_down_sec);
        self.set_next_scaling(name, self.now.after(shorter.part(LOOKS).max(SHORTEST_PAUSE)));
    }

    fn set_next_scaling(&mut self, name: &UnitName, next: Option<Time>) {
        let Some(scaling) = &mut self.socket_mut(name).scaling else { return };
        let old = std::mem::replace(&mut scaling.next_look, next);
        self.move_timer(name, Timer::Scale, old, next);
    }

    /// Time to look at the queues.
    pub(crate) fn look_for_crowd(&mut self, name: &UnitName) {
        self.plan_scaling(name);
        let lines = &self.section(name).listen;
        let tells = |port: &Port| lines.get(port.line).is_some_and(Listen::tells_queue);
        let ports = self.open_ports(name).filter(|port| tells(port) && self.is_in_use_now(name, *port));
        let asked: Vec<FdId> = ports.map(|port| port.fd).collect();
        let Some(scaling) = &mut self.socket_mut(name).scaling else { return };
        (scaling.asked, scaling.waiting) = (asked.iter().copied().collect(), 0);
        self.out.extend(asked.into_iter().map(|fd| Action::Measure { fd }));
    }

    /// A queue was looked at.
    pub(crate) fn crowd_measured(&mut self, fd: FdId, queued: Option<u32>) {
        let Some(name) = self.listeners.get(&fd).cloned() else { return };
        // Where the kernel does not tell the group keeps its size.
        let waiting = queued.map_or(1, |queued| u64::from(self.waiting_in(&name, fd, queued)));
        let Some(scaling) = &mut self.socket_mut(&name).scaling else { return };
        if scaling.asked.remove(&fd) {
            scaling.waiting += waiting;
            if scaling.asked.is_empty() {
                self.judge_crowd(&name);
            }
        }
    }

    /// Connections, or datagrams by the memory that they take.
    fn waiting_in(&self, name: &UnitName, fd: FdId, queued: u32) -> u32 {
        let line = self.open_ports(name).find(|port| port.fd == fd).map(|port| port.line);
        let listen = line.and_then(|line| self.section(name).listen.get(line));
        let is_datagram = listen.is_some_and(|listen| listen.kind == ListenKind::Datagram);
        if is_datagram { queued.div_ceil(DATAGRAM) } else { queued }
    }

    fn judge_crowd(&mut self, name: &UnitName) {
        let Some((group, state)) = self.group_of_socket(name) else { return };
        let (group, size) = (group.clone(), state.size);
        let serving =
            state.in_service().iter().filter(|instance| self.is_in_rotation(instance)).count() as u64;
        // As long as one is on its way nobody knows what it will change.
        let is_settled =
            serving > 0 && !state.in_service().iter().any(|instance| self.is_on_its_way(instance));
        let section = self.section(name);
        let crowd = serving * u64::from(section.scale_up_queue);
        let now = self.now;
        let Some(scaling) = &mut self.socket_mut(name).scaling else { return };
        let waiting = scaling.waiting;
        let since = |old: Option<Time>, holds: bool| if holds { old.or(Some(now)) } else { None };
        scaling.crowded_since = since(scaling.crowded_since, is_settled && waiting > crowd);
        scaling.empty_since = since(scaling.empty_since, is_settled && waiting == 0);
        if self.is_crowded(name) {
            self.grow(name, &group, size);
        } else if self.is_empty_for_long(name) {
            self.shrink(name, &group, size);
        }
        self.rest_if_small(name);
    }

    fn is_on_its_way(&self, instance: &UnitName) -> bool {
        let state = self.active_state(instance);
        self.job_of(instance).is_some()
            || matches!(state, ActiveState::Activating | ActiveState::Deactivating | ActiveState::Reloading)
    }

    fn is_crowded(&self, name: &UnitName) -> bool {
        let since = self.socket(name).scaling.as_ref().and_then(|scaling| scaling.crowded_since);
        self.is_past(since, self.section(name).scale_up_sec)
    }

    fn is_empty_for_long(&self, name: &UnitName) -> bool {
        let Some(scaling) = &self.socket(name).scaling else { return false };
        let wait = self.section(name).scale_down_sec.as_micros().saturating_mul(1 << scaling.patience);
        self.is_past(scaling.empty_since, Span::from_micros(wait))
    }

    fn is_past(&self, since: Option<Time>, span: Span) -> bool {
        since.and_then(|since| since.after(span)).is_some_and(|end| end <= self.now)
    }

    fn grow(&mut self, name: &UnitName, group: &UnitName, size: u32) {
        if size >= self.slot_count(name).unwrap_or(size) || self.is_group_rolling_out(group) {
            return;
        }
        let soon = self.section(name).scale_down_sec;
        let now = self.now;
        let Some(scaling) = &mut self.socket_mut(name).scaling else { return };
        let too_far = scaling.shrunk.and_then(|shrunk| shrunk.after(soon)).is_some_and(|end| end > now);
        scaling.patience = if too_far { (scaling.patience + 1).min(PATIENCE_MAX) } else { 0 };
        let waiting = scaling.waiting;
        self.log_info(group, format!("{waiting} wait for {size} instances (ScaleOn=queue)"));
        self.scale_by_itself(name, group, size + 1);
    }

    fn shrink(&mut self, name: &UnitName, group: &UnitName, size: u32) {
        let sockets = self.links(group).triggered_by.clone();
        let others_agree = sockets.iter().all(|socket| {
            let other = self.nodes.get(socket).and_then(|node| node.socket());
            other.is_none_or(|other| other.scaling.is_none()) || self.is_empty_for_long(socket)
        });
        if self.is_small(name) || !others_agree || self.is_group_rolling_out(group) {
            return;
        }
        self.log_info(group, format!("nobody waits for {size} instances (ScaleOn=queue)"));
        let now = self.now;
        if let Some(scaling) = &mut self.socket_mut(name).scaling {
            scaling.shrunk = Some(now);
        }
        self.scale_by_itself(name, group, size - 1);
    }

    fn scale_by_itself(&mut self, name: &UnitName, group: &UnitName, size: u32) {
        if let Some(scaling) = &mut self.socket_mut(name).scaling {
            (scaling.crowded_since, scaling.empty_since) = (None, None);
        }
        self.wish_mut(group).size = Some(size);
        self.resize(name, group);
    }

    /// Nothing to look for until somebody waits.
    fn rest_if_small(&mut self, name: &UnitName) {
        let is_empty =
            self.socket(name).scaling.as_ref().is_some_and(|scaling| scaling.empty_since.is_some());
        if is_empty && self.is_small(name) {
            self.set_next_scaling(name, None);
            self.refresh_watches(name);
        }
    }
}
