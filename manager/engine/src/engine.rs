//! The engine itself: its tables, its front door, and the loop that lets every consequence settle before a call returns.
//!
//! Invariant between calls: nothing is left to decide; whatever can still happen needs an event, a timer or a command.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sockmgr_unit::{Library, LoadState, Relation, Settings, Unit, UnitKind, UnitName};

use crate::command::{Command, JobMode, KillWho, RequestError, Verb};
use crate::event::{Action, Event, KillScope, Level, Notice};
use crate::group::Group;
use crate::ids::{FdId, JobId, ProcessId, Time};
use crate::job::{Job, JobKind};
use crate::limit::RateLimit;
use crate::node::{ActiveState, Machine, Node, Nodes};
use crate::relations::Links;
use crate::service::{Early, Service, ServiceResult, is_other, unit_of_other};
use crate::socket::{Freeze, Look, Socket};
use crate::target::Target;

/// What a moment that a unit waits for is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The end of its state.
    State,
    /// It should have said that it is well.
    Watchdog,
    /// Its PID file may be there by now.
    Look,
    /// Somebody has waited in its queues for a while.
    Hang,
    /// Somebody may have ceased to use it.
    Idle,
    /// It may be frozen by now.
    Freeze,
    /// Its job has taken too long.
    Job,
    /// More or fewer may wait for its instances.
    Scale,
}

/// All units, their states, and the jobs under way.
#[derive(Debug)]
pub struct Engine {
    pub(crate) library: Library,
    pub(crate) settings: Settings,
    pub(crate) nodes: Nodes,
    pub(crate) links: BTreeMap<UnitName, Box<Links>>,
    /// What `Instances=auto` means.
    pub(crate) cpus: u32,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    /// Jobs that may be able to begin.
    pub(crate) queue: VecDeque<JobId>,
    timers: BTreeSet<(Time, UnitName, Timer)>,
    /// Which socket a listener belongs to.
    pub(crate) listeners: BTreeMap<FdId, UnitName>,
    /// Which unit a process belongs to, until its end was reported.
    pub(crate) processes: BTreeMap<ProcessId, UnitName>,
    pub(crate) pids: BTreeMap<u32, ProcessId>,
    /// Notifications of processes that have no pid yet.
    pub(crate) early: VecDeque<Early>,
    /// Services of `Type=idle` that wait for the jobs of others.
    pub(crate) idle: BTreeSet<UnitName>,
    /// Services that are frozen for a moment, by the unit on whose behalf.
    pub(crate) freezes: BTreeMap<UnitName, Freeze>,
    /// Services that nobody seems to use, frozen to make sure.
    pub(crate) last_looks: BTreeMap<UnitName, Look>,
    /// Which unit a stored descriptor belongs to.
    pub(crate) stored: BTreeMap<FdId, UnitName>,
    /// What random numbers come from.
    entropy: u64,
    /// Units that went down, and what is to be started for that has yet to be.
    ended: BTreeSet<UnitName>,
    /// Units that went up or down without a job that asked for it, and the state before.
    pub(crate) drifted: BTreeMap<UnitName, ActiveState>,
    /// How often units were started or stopped for the sake of others.
    pub(crate) kept_up: BTreeMap<UnitName, RateLimit>,
    /// Units whose change others have yet to react to.
    stirred: BTreeSet<UnitName>,
    /// Units that clients and the keeper have yet to be told of.
    changed: BTreeSet<UnitName>,
    pub(crate) next_fd: u64,
    pub(crate) next_process: u64,
    next_job: u32,
    pub(crate) now: Time,
    pub(crate) out: Vec<Action>,
}

impl Engine {
    /// An engine with every unit of `library`, all of them down, on a machine with so many CPUs (`Instances=auto`).
    pub fn new(library: Library, settings: Settings, cpus: u32) -> Self {
        let mut engine = Self {
            library,
            settings,
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            cpus,
            jobs: BTreeMap::new(),
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            listeners: BTreeMap::new(),
            processes: BTreeMap::new(),
            pids: BTreeMap::new(),
            early: VecDeque::new(),
            idle: BTreeSet::new(),
            freezes: BTreeMap::new(),
            last_looks: BTreeMap::new(),
            stored: BTreeMap::new(),
            entropy: 0,
            ended: BTreeSet::new(),
            drifted: BTreeMap::new(),
            kept_up: BTreeMap::new(),
            stirred: BTreeSet::new(),
            changed: BTreeSet::new(),
            next_fd: 1,
            next_process: 1,
            next_job: 1,
            now: Time::default(),
            out: Vec::new(),
        };
        engine.ensure_all();
        engine
    }

    /// Applies one event. Never blocks, never fails: bad luck is a state or a result.
    pub fn handle(&mut self, now: Time, event: Event, actions: &mut Vec<Action>) {
        self.now = now;
        match event {
            Event::Opened { socket, result } => self.socket_opened(&socket, result),
            Event::Incoming { fd } => self.socket_incoming(fd),
            Event::Unwatchable { fd, why } => self.socket_unwatchable(fd, why),
            Event::HungUp { fd } => self.listener_hung_up(fd),
            Event::Relistened { fd, result } => self.listener_relistened(fd, result),
            Event::Migrated { socket, line, outcome } => self.migrated(&socket, line, outcome),
            Event::Accepted { fd, connections, failure } => self.socket_accepted(fd, connections, failure),
            Event::Spawned { process, pid } => self.process_spawned(process, pid),
            Event::SpawnFailed { process, error } => self.process_spawn_failed(process, error),
            Event::Exited { process, status, leaves_others } => {
                self.process_exited(process, status, leaves_others);
            }
            Event::LeftGone { process } => self.left_are_gone(process),
            Event::Probed { process, result } => self.service_probed(process, result),
            Event::Checked { unit, conditions, asserts } => {
                self.conditions_checked(&unit, &conditions, &asserts);
            }
            Event::Measured { fd, queued } => self.queue_measured(fd, queued),
            Event::Counted { fd, count, has_visitors } => self.use_counted(fd, count, has_visitors),
            Event::Frozen { process, is_still } => self.process_frozen(process, is_still),
            Event::Notified { pid, kin, message } => self.service_notified(pid, kin, message),
            Event::StoredHungUp { fd } => self.stored_hung_up(fd),
            Event::BusName { name, is_owned } => self.bus_name_changed(&name, is_owned),
        }
        self.settle(actions);
    }

    /// When [`handle_timeout`](Self::handle_timeout) next has work. May change after every other call.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(time, _, _)| *time)
    }

    /// Fires every timer that is due at `now`.
    pub fn handle_timeout(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.now = now;
        while let Some((time, name, timer)) = self.timers.first().cloned() {
            if time > now {
                break;
            }
            match timer {
                Timer::State => self.state_timeout(&name),
                Timer::Watchdog => {
                    self.set_watchdog(&name, None);
                    self.watchdog_bites(
                        &name,
                        "did not say that it is well in time (WatchdogSec=), aborting",
                    );
                }
                Timer::Hang => self.look_for_hangs(&name),
                Timer::Idle => self.look_for_use(&name),
                Timer::Freeze => self.freeze_again(&name),
                Timer::Job => self.job_timeout(&name),
                Timer::Scale => self.look_for_crowd(&name),
                Timer::Look => {
                    self.set_look(&name, None);
                    self.look_again(&name);
                }
            }
        }
        self.settle(actions);
    }

    fn state_timeout(&mut self, name: &UnitName) {
        self.set_deadline(name, None);
        match self.nodes.get(name).map(|node| &node.machine) {
            Some(Machine::Socket(_)) => self.socket_timeout(name),
            Some(Machine::Service(_)) => self.service_timeout(name),
            Some(Machine::Group(_)) => self.rollout_gate_passed(name),
            Some(Machine::Target(_)) | None => {}
        }
    }

    /// Queues the job that a client asks for; `None` when there is nothing to do.
    ///
    /// # Errors
    /// The unit does not exist, cannot be used, or has no such function.
    pub fn request(
        &mut self,
        now: Time,
        command: &Command,
        actions: &mut Vec<Action>,
    ) -> Result<Option<JobId>, RequestError> {
        self.now = now;
        let result = self.check_manual(command).and_then(|()| self.request_job(command));
        self.settle(actions);
        result
    }

    /// Sends a signal to processes of a unit; in a group, of each instance.
    ///
    /// # Errors
    /// There is no such unit, or it has no such process.
    pub fn kill(
        &mut self,
        now: Time,
        name: &UnitName,
        who: KillWho,
        signal: i32,
        actions: &mut Vec<Action>,
    ) -> Result<(), RequestError> {
        self.now = now;
        let Some(node) = self.nodes.get(name) else { return Err(RequestError::NotLoaded(name.clone())) };
        let members = node.group().map_or_else(|| vec![name.clone()], |group| group.slots.clone());
        let before = self.out.len();
        for member in members {
            self.kill_processes(&member, who, signal);
        }
        if self.out.len() == before {
            return Err(RequestError::NoProcess(name.clone()));
        }
        self.settle(actions);
        Ok(())
    }

    /// Forgets failures and start counts, of one unit or of all (systemctl(1), `reset-failed`).
    ///
    /// # Errors
    /// There is no such unit.
    pub fn reset_failed(
        &mut self,
        now: Time,
        name: Option<&UnitName>,
        actions: &mut Vec<Action>,
    ) -> Result<(), RequestError> {
        self.now = now;
        let names = match name {
            Some(name) if !self.nodes.contains_key(name) => {
                return Err(RequestError::NotLoaded(name.clone()));
            }
            Some(name) => {
                self.nodes[name].group().map_or_else(|| vec![name.clone()], |group| group.slots.clone())
            }
            None => self.nodes.keys().cloned().collect(),
        };
        for name in names {
            match self.nodes.get(&name).map(|node| &node.machine) {
                Some(Machine::Socket(_)) => self.socket_reset(&name),
                Some(Machine::Service(_)) => self.service_reset(&name),
                Some(Machine::Group(_) | Machine::Target(_)) | None => {}
            }
        }
        self.settle(actions);
        Ok(())
    }

    /// Takes new unit files and settings into use (`daemon-reload`). What runs goes on running; open listeners stay open.
    pub fn reload(&mut self, now: Time, library: Library, settings: Settings, actions: &mut Vec<Action>) {
        self.now = now;
        self.library = library;
        self.settings = settings;
        let sizes = self.sizes();
        self.forget_ended_rollouts();
        self.links.clear();
        // Another generation is what it was started as.
        let names: Vec<UnitName> = self.nodes.keys().filter(|name| !is_other(name)).cloned().collect();
        for name in names {
            self.refresh(&name);
        }
        self.ensure_all();
        self.resize_changed(sizes);
        self.stir_all();
        self.settle(actions);
    }

    /// Brings every unit down, in no order: sockets first, so that nothing is started any more. Targets have nothing to bring down.
    pub fn stop_all(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.now = now;
        let is_target = |name: &UnitName| matches!(self.nodes[name].machine, Machine::Target(_));
        let concerns = |name: &&UnitName| !self.is_idle(name) && !is_other(name) && !is_target(name);
        let mut names: Vec<UnitName> = self.nodes.keys().filter(concerns).cloned().collect();
        names.sort_by_key(|name| self.nodes[name].socket().is_none());
        for name in names {
            self.queue_job(&name, JobKind::Stop, true);
        }
        self.settle(actions);
    }

    /// Nothing runs and nothing is being done.
    pub fn is_quiet(&self) -> bool {
        self.jobs.is_empty() && self.processes.is_empty()
    }

    /// The unit files as they were last read.
    pub fn library_mut(&mut self) -> &mut Library {
        &mut self.library
    }

    /// Settings in use.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes `name` known if there is a file for it that came after the last reload.
    pub fn ensure_unit(&mut self, name: &UnitName) {
        self.ensure(name);
    }

    // --- the loop ---

    pub(crate) fn settle(&mut self, actions: &mut Vec<Action>) {
        loop {
            if let Some(job) = self.queue.pop_front() {
                self.run_job(job);
            } else if let Some(name) = self.stirred.pop_first() {
                self.react(&name);
            } else if let Some(name) = self.idle.first().filter(|_| self.jobs.is_empty()).cloned() {
                self.leave_idle(&name);
            } else {
                break;
            }
        }
        self.forget_early();
        for name in std::mem::take(&mut self.changed) {
            self.out.push(Action::Notice(Notice::UnitChanged(name)));
        }
        if actions.is_empty() {
            // Handed over whole, so that a burst (a thousand sockets at the start) leaves no buffer behind.
            *actions = std::mem::take(&mut self.out);
        } else {
            actions.append(&mut self.out);
        }
    }

    /// Lets those that depend on the state of `name` look at it: its sockets, its group, and whether it is still needed at all.
    fn react(&mut self, name: &UnitName) {
        let Some(node) = self.nodes.get(name) else { return };
        if is_other(name) {
            return self.other_react(name);
        }
        if let Some(group) = node.service().and_then(Service::group).cloned() {
            self.group_react(&group);
            self.stir(&group);
        }
        if self.nodes[name].socket().is_some() {
            self.refresh_watches(name);
        } else {
            self.resume_restart(name);
        }
        for socket in self.links(name).triggered_by.clone() {
            self.socket_react(&socket, name);
        }
        if self.ended.remove(name) {
            self.start_followers(name);
        }
        if self.is_idle(name) {
            self.release_store(name, true);
        }
        self.keep_up(name);
        self.collect(name);
    }

    /// `OnFailure=` and `OnSuccess=`, once the unit is down for good.
    fn start_followers(&mut self, name: &UnitName) {
        let skipped =
            self.nodes[name].service().is_some_and(|service| service.result == ServiceResult::ExecCondition);
        match self.active_state(name) {
            ActiveState::Failed => self.start_after_failure(name),
            ActiveState::Inactive if !skipped => {
                let mode = self.nodes[name].unit.relations.on_success_job_mode;
                self.start_related(name, Relation::OnSuccess, mode);
            }
            _ => {}
        }
    }

    /// `OnFailure=`
    pub(crate) fn start_after_failure(&mut self, name: &UnitName) {
        let Some(mode) = self.nodes.get(name).map(|node| node.unit.relations.on_failure_job_mode) else {
            return;
        };
        self.start_related(name, Relation::OnFailure, mode);
    }

    fn start_related(&mut self, name: &UnitName, relation: Relation, mode: JobMode) {
        for follower in self.related(name, relation) {
            let command = Command { verb: Verb::Start, unit: follower.clone(), mode };
            if let Err(error) = self.request_job(&command) {
                self.log_error(name, format!("cannot start {follower}, which is to follow its end: {error}"));
            }
        }
    }

    /// Removes a unit that is down and that nobody will ask for again: an instance that has served its connection, well or badly (a
    /// flood of failures must not pile up here), a unit whose file is gone, one whose slot is parked, a group without a socket.
    fn collect(&mut self, name: &UnitName) {
        if !self.nodes.contains_key(name) || !self.is_idle(name) {
            return;
        }
        let node = &self.nodes[name];
        if node.group().is_some() {
            if self.links(name).triggered_by.is_empty() {
                self.dissolve(name);
            }
        } else if let Some(served) = node.service().and_then(|service| service.served.clone()) {
            self.remove_node(name);
            self.connection_ended(&served);
        } else if self.has_vanished(name) || self.is_parked(name) {
            self.remove_node(name);
        }
    }

    pub(crate) fn remove_node(&mut self, name: &UnitName) {
        self.set_deadline(name, None);
        self.forget_store(name);
        self.nodes.remove(name);
        self.drifted.remove(name);
        self.kept_up.remove(name);
        self.changed.remove(name);
        self.out.push(Action::Notice(Notice::UnitRemoved(name.clone())));
    }

    /// The unit is down, and no job is about to change that.
    /// Its file is gone, and there is no failure that somebody should see first.
    fn has_vanished(&self, name: &UnitName) -> bool {
        self.nodes[name].unit.load_state == LoadState::NotFound
            && self.active_state(name) != ActiveState::Failed
    }

    pub(crate) fn is_idle(&self, name: &UnitName) -> bool {
        self.active_state(name).is_down() && self.job_of(name).is_none()
    }

    // --- tables ---

    /// The one door for state changes: stamps, announces, drops the timer of the state that was left, advances the job.
    pub(crate) fn change(&mut self, name: &UnitName, set: impl FnOnce(&mut Machine)) {
        let old = self.active_state(name);
        let now = self.now;
        let Some(node) = self.nodes.get_mut(name) else { return };
        set(&mut node.machine);
        let new = node_active_state(&self.nodes[name], &self.nodes);
        if let Some(node) = self.nodes.get_mut(name) {
            node.stamps.record(now, old, new);
            let section = &node.unit.relations;
            let has_followers = !section.on_failure.is_empty() || !section.on_success.is_empty();
            if !new.is_down() {
                self.ended.remove(name);
            } else if !old.is_down() && has_followers {
                self.ended.insert(name.clone());
            }
        }
        self.set_deadline(name, None);
        self.stir(name);
        if self.advance_job(name, new) {
            self.drifted.remove(name);
        } else if old != new {
            self.drifted.entry(name.clone()).or_insert(old);
        }
    }

    /// Marks a unit as changed without a change of state.
    pub(crate) fn stir(&mut self, name: &UnitName) {
        self.stirred.insert(name.clone());
        self.changed.insert(unit_of_other(name).unwrap_or_else(|| name.clone()));
    }

    /// Has everything react to everything, after the rules or the whole state have changed.
    pub(crate) fn stir_all(&mut self) {
        let names: Vec<UnitName> = self.nodes.keys().cloned().collect();
        for name in names {
            self.stir(&name);
        }
    }

    pub(crate) fn set_deadline(&mut self, name: &UnitName, deadline: Option<Time>) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let old = std::mem::replace(&mut node.deadline, deadline);
        self.move_timer(name, Timer::State, old, deadline);
    }

    pub(crate) fn move_timer(&mut self, name: &UnitName, timer: Timer, old: Option<Time>, new: Option<Time>) {
        if let Some(old) = old {
            self.timers.remove(&(old, name.clone(), timer));
        }
        if let Some(new) = new {
            self.timers.insert((new, name.clone(), timer));
        }
    }

    /// Has random numbers come from here; until then each run has the same ones.
    pub fn set_entropy(&mut self, entropy: u64) {
        self.entropy = entropy;
    }

    /// The next random number (splitmix64). Good for ids and for spreading load, not for secrets.
    pub(crate) fn draw(&mut self) -> u64 {
        self.entropy = self.entropy.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.entropy ^ (self.entropy >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn draw_id(&mut self) -> u128 {
        u128::from(self.draw()) << 64 | u128::from(self.draw())
    }

    pub(crate) fn active_state(&self, name: &UnitName) -> ActiveState {
        self.nodes.get(name).map_or(ActiveState::Inactive, |node| node_active_state(node, &self.nodes))
    }

    pub(crate) fn new_job_id(&mut self) -> JobId {
        let id = JobId(self.next_job);
        self.next_job = self.next_job.wrapping_add(1).max(1);
        id
    }

    pub(crate) fn new_fd(&mut self) -> FdId {
        self.next_fd += 1;
        FdId(self.next_fd)
    }

    pub(crate) fn new_process(&mut self, unit: &UnitName) -> ProcessId {
        self.next_process += 1;
        let id = ProcessId(self.next_process);
        self.processes.insert(id, unit.clone());
        id
    }

    /// A name for a descriptor that the driver is about to own (an accepted connection).
    pub fn name_fd(&mut self) -> FdId {
        self.new_fd()
    }

    pub(crate) fn kill_scope(&mut self, process: ProcessId, signal: i32, scope: KillScope) {
        self.out.push(Action::Kill { process, signal, scope });
    }

    pub(crate) fn log(&mut self, unit: &UnitName, level: Level, message: String) {
        let unit = unit_of_other(unit).unwrap_or_else(|| unit.clone());
        self.out.push(Action::Notice(Notice::Log { unit, level, message }));
    }

    pub(crate) fn log_error(&mut self, unit: &UnitName, message: String) {
        self.log(unit, Level::Error, message);
    }

    pub(crate) fn log_warning(&mut self, unit: &UnitName, message: String) {
        self.log(unit, Level::Warning, message);
    }

    pub(crate) fn log_info(&mut self, unit: &UnitName, message: String) {
        self.log(unit, Level::Info, message);
    }

    pub(crate) fn log_debug(&mut self, unit: &UnitName, message: String) {
        self.log(unit, Level::Debug, message);
    }

    // --- units coming and going ---

    fn ensure_all(&mut self) {
        // Sorted, so that the same files always give the same engine.
        let names: BTreeSet<UnitName> =
            self.library.names().filter(|name| !name.is_template()).cloned().collect();
        for name in self.library.built_in_names().chain(names).collect::<BTreeSet<_>>() {
            self.ensure(&name);
        }
    }

    /// Makes a node for `name` if the library has a unit for it. Gives the unit's own name, where `name` is another one of its.
    pub(crate) fn ensure(&mut self, name: &UnitName) -> UnitName {
        if self.nodes.contains_key(name) || name.is_template() {
            return name.clone();
        }
        let unit = self.load(name);
        let own = unit.name.clone();
        if unit.load_state != LoadState::NotFound
            && !self.nodes.contains_key(&own)
            && !own.is_template()
            && let Some(machine) = machine_for(&unit)
        {
            self.insert(unit, machine);
        }
        own
    }

    pub(crate) fn insert(&mut self, unit: Arc<Unit>, machine: Machine) {
        let name = unit.name.clone();
        self.insert_unlinked(unit, machine);
        self.link(&name);
    }

    /// A unit that no other unit can name: an instance that serves one connection.
    pub(crate) fn insert_unlinked(&mut self, unit: Arc<Unit>, machine: Machine) {
        let name = unit.name.clone();
        self.nodes.insert(name.clone(), Box::new(Node::new(unit, machine)));
        self.changed.insert(name.clone());
        self.out.push(Action::Notice(Notice::UnitNew(name)));
    }

    /// The unit's file may have changed: takes over its settings. What is up stays, also when its file is gone.
    pub(crate) fn refresh(&mut self, name: &UnitName) {
        let Some(node) = self.nodes.get(name).filter(|node| node.group().is_none()) else {
            // A group is made of its socket and its template: linking the socket makes or refreshes it.
            return;
        };
        let old = node.unit.clone();
        let mut new = self.load(name);
        let same_kind = machine_for(&new).is_some_and(|machine| {
            std::mem::discriminant(&machine) == std::mem::discriminant(&self.nodes[name].machine)
        });
        if new.load_state == LoadState::NotFound || !same_kind {
            new = Arc::new(Unit { load_state: LoadState::NotFound, ..(*old).clone() });
        } else if new.load_state != LoadState::Loaded && self.has_listeners(name) {
            // It says nothing that listeners could follow.
            let Unit { load_state, load_error, .. } = (*new).clone();
            new = Arc::new(Unit { load_state, load_error, ..(*old).clone() });
        } else if self.must_wait(name, &old, &new) {
            self.log_warning(
                name,
                "what it starts, or how, has changed; that takes effect at its next start".to_owned(),
            );
            new = old.clone();
        }
        self.forget_changed_steering(name, &old, &new);
        let takes_it_itself = self.socket_reopens(name, &old, &new);
        if let Some(node) = self.nodes.get_mut(name).filter(|_| !takes_it_itself) {
            node.unit = new;
        }
        if self.has_vanished(name) && self.is_idle(name) {
            // About to be forgotten.
            return;
        }
        // An instance that serves a connection is tied to nothing.
        if self.nodes[name].service().is_none_or(|service| !service.is_per_connection()) {
            self.link(name);
        }
    }

    fn has_listeners(&self, name: &UnitName) -> bool {
        self.nodes.get(name).and_then(|node| node.socket()).is_some_and(|socket| !socket.ports.is_empty())
    }

    /// An open socket goes on starting what it was opened for; which slots it has depends on that.
    fn must_wait(&self, name: &UnitName, old: &Unit, new: &Unit) -> bool {
        let (Some(old), Some(new)) = (old.socket(), new.socket()) else { return false };
        // Steering counts listeners by slot and line, from the first start on.
        let is_group = old.instances.is_some() && !old.accept;
        let same = (old.listen == new.listen || !is_group)
            && old.accept == new.accept
            && old.service == new.service
            && old.pool() == new.pool()
            && old.distribute == new.distribute;
        !same && !self.active_state(name).is_down()
    }
}

fn machine_for(unit: &Unit) -> Option<Machine> {
    match unit.kind {
        UnitKind::Socket(_) => Some(Machine::Socket(Box::default())),
        UnitKind::Service(_) => Some(Machine::Service(Box::default())),
        UnitKind::Target => Some(Machine::Target(Target::default())),
        UnitKind::Other => None,
    }
}

fn node_active_state(node: &Node, nodes: &Nodes) -> ActiveState {
    match &node.machine {
        Machine::Socket(socket) => Socket::active_state(socket),
        Machine::Service(_) => node.service_active_state().expect("it is one"),
        Machine::Group(group) => Group::active_state(group, nodes),
        Machine::Target(target) => target.active_state(),
    }
}
