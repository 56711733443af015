//! Two generations of a service side by side: the next one is started on the same listeners and becomes ready before the one that runs
//! is told to stop, so that somebody accepts at every moment.
//!
//! The other generation is a service machine of its own, under a name that only the engine knows ([`other_name`]): it starts, gets
//! ready, stops and times out by the same rules as any. When it is ready the two change places: the machine under the unit's name is
//! always the one that serves. Nothing outside sees the other name, except as the unit of an [`Action::Spawn`](crate::Action::Spawn).
//!
//! Invariant: a unit has at most one other generation. It is on its way up (then it is the next one), or on its way down (then it is
//! the former one, or a next one that failed); ready or down it is only until the engine settles.

use std::collections::BTreeSet;

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{ReadyCheck, RestartMode, ServiceType};

use super::{Service, ServiceResult};
use crate::condition::Check;
use crate::engine::Engine;
use crate::ids::{FdId, ProcessId, Time};
use crate::job::{Begun, JobKind, JobResult};
use crate::node::{ActiveState, Machine, Node};

/// Ends the instance name of another generation. Two `@`: no name that a user would give.
const MARK: &str = "@other";

/// The name of the other generation of `name`: `web@2@other.service`, `web@@other.service`; `None` if it would be too long.
fn other_name(name: &UnitName) -> Option<UnitName> {
    let at = if name.is_instance() { "" } else { "@" };
    UnitName::new(&format!("{}{at}{MARK}.service", name.stem())).ok()
}

/// The unit whose other generation has this name.
pub(crate) fn unit_of_other(name: &UnitName) -> Option<UnitName> {
    match name.instance()?.strip_suffix(MARK)? {
        "" => UnitName::new(&format!("{}.service", name.prefix())).ok(),
        instance => UnitName::new(&format!("{}@{instance}.service", name.prefix())).ok(),
    }
}

/// Whether this is the name of another generation.
pub(crate) fn is_other(name: &UnitName) -> bool {
    // Asked of every unit again and again: most are told by their last letters.
    name.as_str().strip_suffix(".service").is_some_and(|stem| stem.ends_with(MARK))
        && name.instance().is_some_and(|instance| instance.ends_with(MARK))
}

/// The other generation of a service, as it is saved with its unit.
#[derive(Debug, serde::Serialize)]
pub(crate) struct OtherToSave<'a> {
    service: &'a Service,
    deadline: Option<Time>,
}

/// The same, read back.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct SavedOther {
    pub(crate) service: Service,
    pub(crate) deadline: Option<Time>,
}

impl Engine {
    /// The other generation of a service, if there is one.
    pub(crate) fn other_generation(&self, name: &UnitName) -> Option<UnitName> {
        other_name(name).filter(|other| self.nodes.contains_key(other))
    }

    /// What `RestartMode=` says, or what it is by default: overlap where somebody owns sockets alone and tells when he is ready, rolling
    /// where others serve meanwhile.
    pub(crate) fn restart_mode(&self, name: &UnitName) -> RestartMode {
        let section = &self.service_unit(name).service;
        let has_siblings = self.service(name).group().is_some_and(|group| self.group_size(group) > 1);
        let may_overlap = section.tells_own_readiness() && !self.descriptors(name).is_empty();
        // The clients of one that hangs are served by the next generation, as soon as it is ready.
        if may_overlap && (self.is_rolling_out(name) || self.holds_clients_up(name)) {
            return RestartMode::Overlap;
        }
        section.restart_mode.unwrap_or_else(|| match section.tells_own_readiness() {
            _ if has_siblings => RestartMode::Rolling,
            true if !self.descriptors(name).is_empty() => RestartMode::Overlap,
            true | false => RestartMode::StopFirst,
        })
    }

    /// Whether a restart now starts the next generation beside the one that runs.
    pub(crate) fn restart_overlaps(&self, name: &UnitName) -> bool {
        let (service, section) = (self.service(name), &self.service_unit(name).service);
        // Two of the others would be in each other's way: they have a name or a file that only one can have, or an end.
        let may_be_two = matches!(
            section.type_,
            ServiceType::Simple | ServiceType::Exec | ServiceType::Notify | ServiceType::NotifyReload
        );
        may_be_two
            && self.job_of(name).is_none_or(|job| job.check != Check::Unmet)
            && self.active_state(name).is_up()
            && service.main.is_some()
            && !service.is_per_connection()
            && other_name(name).is_some()
            // With the same listener both would pass the check of one.
            && section.ready_check.as_ref().is_none_or(ReadyCheck::tells_who)
            && self.restart_mode(name) == RestartMode::Overlap
    }

    /// A restart job: the next generation first, or down and up again.
    pub(crate) fn service_restart(&mut self, name: &UnitName) -> Begun {
        if !self.restart_overlaps(name) {
            let is_unmet = self.job_of(name).is_some_and(|job| job.check == Check::Unmet);
            let was_to_overlap = self.restart_mode(name) == RestartMode::Overlap && !is_unmet;
            if was_to_overlap && self.active_state(name).is_up() {
                let text = "cannot be restarted by overlap: nobody could tell the two generations apart; stopping first";
                self.log_warning(name, text.to_owned());
            }
            return self.service_stop(name);
        }
        if let Some(other) = self.other_generation(name) {
            return match self.active_state(&other) {
                // The job before this one was replaced; what it began goes on.
                ActiveState::Activating | ActiveState::Active | ActiveState::Reloading => Begun::Pending,
                ActiveState::Deactivating | ActiveState::Inactive | ActiveState::Failed => {
                    self.log_debug(name, "waits for its former generation to finish".to_owned());
                    Begun::Wait
                }
            };
        }
        self.start_other(name)
    }

    fn start_other(&mut self, name: &UnitName) -> Begun {
        let Some(other) = other_name(name) else { return Begun::Refused };
        let ours = self.service(name);
        let next = Service {
            seat: ours.seat.clone(),
            generation: ours.generation,
            start_limit: ours.start_limit.clone(),
            ..Service::default()
        };
        self.insert_other(name, &other, next);
        self.log_info(name, "starting its next generation beside it".to_owned());
        let begun = self.service_start(&other);
        self.service_mut(name).start_limit = self.service(&other).start_limit.clone();
        begun
    }

    fn insert_other(&mut self, name: &UnitName, other: &UnitName, service: Service) {
        let unit = self.nodes[name].unit.clone();
        self.nodes.insert(other.clone(), Box::new(Node::new(unit, Machine::Service(Box::new(service)))));
        self.stir(other);
    }

    /// The other generation of a unit changed.
    pub(crate) fn other_react(&mut self, other: &UnitName) {
        let Some(name) = unit_of_other(other).filter(|name| self.nodes.contains_key(name)) else { return };
        match self.active_state(other) {
            ActiveState::Activating => {}
            ActiveState::Active | ActiveState::Reloading => self.hand_over(&name, other),
            ActiveState::Deactivating => self.next_failed(&name),
            ActiveState::Inactive | ActiveState::Failed => {
                self.next_failed(&name);
                self.remove_other(&name, other);
            }
        }
    }

    /// The next generation is ready: it takes the place of the one that served, which is told to stop.
    fn hand_over(&mut self, name: &UnitName, other: &UnitName) {
        self.exchange(name, other);
        self.move_store(other, name);
        let service = self.service(name);
        let pid = service.main.and_then(|main| main.pid).unwrap_or(0);
        self.log_info(name, format!("generation {} serves now (pid {pid})", service.generation));
        self.end_restart(name, JobResult::Done);
        self.refresh_rotation_of(name);
        self.service_stop(other);
    }

    /// It will not get ready. After the change of places there is no such job any more.
    fn next_failed(&mut self, name: &UnitName) {
        if self.active_state(name).is_up() && self.end_restart(name, JobResult::Failed) {
            self.log_error(
                name,
                "its next generation did not get ready; the one that runs goes on".to_owned(),
            );
        }
    }

    /// Ends the restart job that the overlap is for; false when there is none.
    fn end_restart(&mut self, name: &UnitName, result: JobResult) -> bool {
        let job = self.nodes.get(name).and_then(|node| node.job);
        let id =
            job.filter(|id| self.jobs.get(id).is_some_and(|job| job.running && job.kind == JobKind::Restart));
        if let Some(id) = id {
            self.finish_job(id, result);
        }
        id.is_some()
    }

    fn remove_other(&mut self, name: &UnitName, other: &UnitName) {
        self.set_deadline(other, None);
        self.disarm_timers(other);
        self.move_store(other, name);
        self.nodes.remove(other);
        self.stir(name);
        // A restart may have waited for this.
        let waiting = self.nodes.get(name).and_then(|node| node.job);
        self.queue.extend(waiting);
    }

    /// The machine under the unit's name is down, for good unless it `restarts`. If another one is there the unit goes on with it: with
    /// one that is on its way up, or without a restart with the last one that is still at its end. True if so.
    pub(super) fn goes_on_in_other(&mut self, name: &UnitName, restarts: bool) -> bool {
        let Some(other) = self.other_generation(name) else { return false };
        let takes_over = match self.active_state(&other) {
            ActiveState::Activating | ActiveState::Active | ActiveState::Reloading => true,
            ActiveState::Deactivating => !restarts,
            ActiveState::Inactive | ActiveState::Failed => false,
        };
        if !takes_over {
            return false;
        }
        let result = self.service(name).result;
        self.exchange(name, &other);
        if self.active_state(name) == ActiveState::Deactivating {
            self.service_mut(name).result = result;
        } else if result != ServiceResult::Success {
            self.log_error(name, format!("failed: {}; its next generation is on its way", result.as_str()));
        }
        self.remove_other(name, &other);
        self.become_start_of_other(name);
        true
    }

    /// A restart whose former generation is gone is a start.
    fn become_start_of_other(&mut self, name: &UnitName) {
        let Some(id) = self.nodes.get(name).and_then(|node| node.job) else { return };
        let is_restart = self.jobs.get(&id).is_some_and(|job| job.running && job.kind == JobKind::Restart);
        if is_restart && self.active_state(name) == ActiveState::Activating {
            self.become_start(id);
        }
    }

    /// The two machines change places, with their timers and processes. How often the unit was restarted is the unit's own.
    fn exchange(&mut self, name: &UnitName, other: &UnitName) {
        let (our_deadline, their_deadline) = (self.nodes[name].deadline, self.nodes[other].deadline);
        for machine in [name, other] {
            self.disarm_timers(machine);
        }
        self.service_mut(other).n_restarts = self.service(name).n_restarts;
        let mut moved = std::mem::take(self.service_mut(other));
        self.change(name, |machine| {
            if let Machine::Service(service) = machine {
                std::mem::swap(&mut **service, &mut moved);
            }
        });
        *self.service_mut(other) = moved;
        self.set_deadline(name, their_deadline);
        self.set_deadline(other, our_deadline);
        for owner in [name, other] {
            self.arm_timers(owner);
            self.claim_processes(owner);
        }
        self.stir(other);
    }

    /// From now on the processes of this machine, and the descriptors that they have left, are known under this name.
    pub(crate) fn claim_processes(&mut self, name: &UnitName) {
        let (processes, stored) = (self.service(name).all_processes(), self.service(name).run().store.iter());
        let processes: Vec<ProcessId> = processes.collect();
        let stored: Vec<FdId> = stored.map(|stored| stored.fd).collect();
        self.processes.extend(processes.into_iter().map(|process| (process, name.clone())));
        self.stored.extend(stored.into_iter().map(|fd| (fd, name.clone())));
    }

    // --- across the manager's death ---

    pub(crate) fn other_to_save(&self, name: &UnitName) -> Option<OtherToSave<'_>> {
        let node = self.nodes.get(&self.other_generation(name)?)?;
        Some(OtherToSave { service: node.service()?, deadline: node.deadline })
    }

    pub(crate) fn restore_other(&mut self, name: &UnitName, saved: SavedOther, held: &BTreeSet<FdId>) {
        let Some(other) = other_name(name) else { return };
        let mut service = saved.service;
        service.seat = self.service(name).seat.clone();
        self.insert_other(name, &other, service);
        self.set_deadline(&other, saved.deadline);
        self.resume_check(&other);
        self.claim_processes(&other);
        self.restore_store(&other, |fd| held.contains(&fd));
        self.arm_timers(&other);
    }
}
