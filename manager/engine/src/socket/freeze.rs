//! Services that are stopped for a moment (SIGSTOP, with their families), so that none of their processes accepts anybody meanwhile.
//!
//! On behalf of a service, itself or the group's, to see whether it is used (`idle`); on behalf of a socket, to move what waits for
//! those on their way up (`migration`). Only who is frozen is saved: another manager lets them go on.
//!
//! Invariant: one freeze for each unit on whose behalf it is; it is known until the last answer is in, so that no answer is taken for
//! that of another freeze.

use std::collections::BTreeSet;

use sockmgr_unit::UnitName;
use sockmgr_unit::value::Span;

use crate::engine::{Engine, Timer};
use crate::event::{Action, KillScope};
use crate::ids::{ProcessId, Time};
use crate::node::Machine;

/// Before the next question whether all are frozen by now; later it is a quarter of the time so far.
const PAUSE: Span = Span::from_millis(2);
/// A service that does not freeze in that time (it waits for a disk, say) is left alone: clients may wait.
const PATIENCE: Span = Span::from_millis(100);

const SIGCONT: i32 = 18;

/// Services that are being frozen, or are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Freeze {
    since: Time,
    units: Vec<UnitName>,
    processes: BTreeSet<ProcessId>,
    /// Those that have been asked to freeze, and have not answered.
    asked: BTreeSet<ProcessId>,
    /// Those whose families were not still when they answered.
    restless: BTreeSet<ProcessId>,
    next_try: Option<Time>,
    /// It came to nothing, and only answers are missing.
    is_over: bool,
}

impl Engine {
    /// Freezes services, unless there is a freeze on that behalf.
    pub(super) fn begin_freeze(&mut self, behalf: &UnitName, units: Vec<UnitName>) {
        if self.freezes.contains_key(behalf) {
            return;
        }
        let mut processes = BTreeSet::new();
        for unit in &units {
            processes.extend(self.service(unit).all_processes());
            self.service_mut(unit).run_mut().is_frozen = true;
            // A manager that comes after us must know.
            self.stir(unit);
        }
        let freeze = Freeze { since: self.now, units, processes: processes.clone(), ..Freeze::default() };
        self.freezes.insert(behalf.clone(), freeze);
        self.ask_to_freeze(behalf, processes);
    }

    fn ask_to_freeze(&mut self, behalf: &UnitName, processes: BTreeSet<ProcessId>) {
        self.plan_try(behalf, None);
        let unit_of = |process: ProcessId| Some((process, self.processes.get(&process)?.clone()));
        let asked: Vec<(ProcessId, UnitName)> = processes.into_iter().filter_map(unit_of).collect();
        let Some(freeze) = self.freezes.get_mut(behalf) else { return };
        freeze.restless.clear();
        freeze.asked = asked.iter().map(|(process, _)| *process).collect();
        if asked.is_empty() {
            return self.all_frozen(behalf);
        }
        self.out.extend(asked.into_iter().map(|(process, unit)| Action::Freeze { process, unit }));
    }

    /// A process was asked to freeze with its family.
    pub(crate) fn process_frozen(&mut self, process: ProcessId, is_still: bool) {
        let asking = self.freezes.iter().filter(|(_, freeze)| freeze.asked.contains(&process));
        // Answers come in the order of the questions.
        let Some(behalf) = asking.min_by_key(|(_, freeze)| freeze.since).map(|(behalf, _)| behalf.clone())
        else {
            return;
        };
        let Some(freeze) = self.freezes.get_mut(&behalf) else { return };
        freeze.asked.remove(&process);
        if !is_still {
            freeze.restless.insert(process);
        }
        if freeze.asked.is_empty() {
            self.judge_freeze(&behalf);
        }
    }

    /// All have answered.
    fn judge_freeze(&mut self, behalf: &UnitName) {
        let Some(freeze) = self.freezes.get(behalf) else { return };
        let (since, is_late) = (freeze.since, freeze.since.after(PATIENCE).is_none_or(|end| end <= self.now));
        if freeze.is_over {
            self.forget_freeze(behalf);
        } else if freeze.restless.is_empty() {
            self.all_frozen(behalf);
        } else if is_late {
            self.log_debug(behalf, "does not freeze; left alone".to_owned());
            self.end_freeze(behalf);
        } else {
            let pause = Span::from_micros(self.now.as_micros().saturating_sub(since.as_micros()) / 4);
            self.plan_try(behalf, self.now.after(pause.max(PAUSE)));
        }
    }

    fn all_frozen(&mut self, behalf: &UnitName) {
        match self.nodes.get(behalf).map(|node| &node.machine) {
            Some(Machine::Socket(_)) => self.move_from_frozen(behalf),
            Some(Machine::Service(_) | Machine::Group(_)) => self.count_last(behalf),
            Some(Machine::Target(_)) | None => self.end_freeze(behalf),
        }
    }

    /// Time to ask once more.
    pub(crate) fn freeze_again(&mut self, behalf: &UnitName) {
        let Some(freeze) = self.freezes.get(behalf) else { return };
        // One that has got ahead meanwhile goes on.
        let is_wanted = |process: &&ProcessId| {
            let service = self.processes.get(process).and_then(|unit| self.nodes.get(unit)?.service());
            service.is_some_and(|service| service.run().is_frozen)
        };
        let again = freeze.restless.iter().filter(is_wanted).copied().collect();
        self.ask_to_freeze(behalf, again);
    }

    fn plan_try(&mut self, behalf: &UnitName, next: Option<Time>) {
        let Some(freeze) = self.freezes.get_mut(behalf) else { return };
        let old = std::mem::replace(&mut freeze.next_try, next);
        self.move_timer(behalf, Timer::Freeze, old, next);
    }

    /// Whether the service cannot do anything now, for a freeze on that behalf.
    pub(super) fn is_still(&self, behalf: &UnitName, unit: &UnitName) -> bool {
        let Some(freeze) = self.freezes.get(behalf) else { return false };
        let has_all_still = !freeze.is_over && freeze.asked.is_empty() && freeze.restless.is_empty();
        let service = self.service(unit);
        // One that was told to stop meanwhile, or has another process, is not frozen any more.
        has_all_still
            && service.run().is_frozen
            && service.all_processes().all(|process| freeze.processes.contains(&process))
    }

    /// All go on.
    pub(super) fn end_freeze(&mut self, behalf: &UnitName) {
        self.plan_try(behalf, None);
        let Some(freeze) = self.freezes.get_mut(behalf) else { return };
        freeze.is_over = true;
        let (units, has_answers) = (std::mem::take(&mut freeze.units), freeze.asked.is_empty());
        for unit in units {
            self.thaw(&unit);
        }
        if has_answers {
            self.forget_freeze(behalf);
        }
    }

    /// Who is frozen stays so, for whoever stops them now.
    pub(super) fn forget_freeze(&mut self, behalf: &UnitName) {
        self.plan_try(behalf, None);
        self.freezes.remove(behalf);
        if self.nodes.get(behalf).is_some_and(|node| node.socket().is_some()) {
            // None of its listeners was watched for what could be moved.
            self.refresh_watches(behalf);
        }
    }

    /// Has a frozen service go on.
    pub(crate) fn thaw(&mut self, unit: &UnitName) {
        let service = self.nodes.get(unit).and_then(|node| node.service());
        let Some(service) = service.filter(|service| service.run().is_frozen) else { return };
        for process in service.all_processes().collect::<Vec<_>>() {
            self.kill_scope(process, SIGCONT, KillScope::Session);
        }
        self.service_mut(unit).run_mut().is_frozen = false;
        self.stir(unit);
    }

    /// Those that an earlier manager had frozen go on.
    pub(crate) fn thaw_all(&mut self) {
        for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
            self.thaw(&name);
        }
    }
}
