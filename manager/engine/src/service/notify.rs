//! What the processes of a service say of it (sd_notify(3)).

use sockmgr_unit::UnitName;
use sockmgr_unit::value::{NotifyAccess, Span};

use super::run::Word;
use super::{Child, ServiceState};
use crate::engine::Engine;
use crate::event::{MainHint, Notification, WatchdogWord};
use crate::ids::Time;

/// Notifications kept of processes that the keeper has yet to tell of.
const EARLY_MAX: usize = 64;

/// A notification that came before the answer to [`Action::Spawn`](crate::Action): they take different ways.
#[derive(Clone, Debug)]
pub(crate) struct Early {
    pid: u32,
    kin: Option<u32>,
    message: Notification,
}

impl Engine {
    pub(crate) fn service_notified(&mut self, pid: u32, kin: Option<u32>, message: Notification) {
        let sender = self.pids.get(&pid).or_else(|| self.pids.get(&kin?)).copied();
        match sender.and_then(|process| self.processes.get(&process)).cloned() {
            Some(name) if self.nodes[&name].service().is_none() => {
                self.log_debug(&name, format!("notification of pid {pid} ignored: it is no service"));
                self.discard_fds(message.fds);
            }
            Some(name) => self.notified_by(&name, pid, message),
            None => self.keep_early(Early { pid, kin, message }),
        }
    }

    /// The sender may be a process that the keeper has started and not told of yet.
    fn keep_early(&mut self, early: Early) {
        if !self.awaits_pids() {
            return self.discard_fds(early.message.fds);
        }
        self.early.push_back(early);
        if self.early.len() > EARLY_MAX
            && let Some(oldest) = self.early.pop_front()
        {
            self.discard_fds(oldest.message.fds);
        }
    }

    fn awaits_pids(&self) -> bool {
        self.processes.iter().any(|(process, name)| self.lacks_pid(*process, name))
    }

    /// Once nobody is to become known any more, nobody will hear what was kept.
    pub(crate) fn forget_early(&mut self) {
        if !self.early.is_empty() && !self.awaits_pids() {
            for early in std::mem::take(&mut self.early) {
                self.discard_fds(early.message.fds);
            }
        }
    }

    /// Now the process is known: what it has said already is heard.
    pub(super) fn replay_early(&mut self, pid: u32) {
        let (known, rest): (Vec<Early>, Vec<Early>) = std::mem::take(&mut self.early)
            .into_iter()
            .partition(|early| early.pid == pid || early.kin == Some(pid));
        self.early.extend(rest);
        for early in known {
            self.service_notified(early.pid, early.kin, early.message);
        }
    }

    fn notified_by(&mut self, name: &UnitName, pid: u32, message: Notification) {
        if !self.may_notify(name, pid) {
            self.discard_fds(message.fds);
            return self.log_debug(name, format!("notification of pid {pid} ignored; see NotifyAccess="));
        }
        self.stir(name);
        let service = self.service_mut(name);
        service.status_text = message.status.or(service.status_text.take());
        service.status_errno = message.errno.unwrap_or(service.status_errno);
        if message.bus_error.is_some() || message.notify_access.is_some() {
            let run = service.run_mut();
            run.bus_error = message.bus_error.map(String::into_boxed_str).or(run.bus_error.take());
            run.notify_access = message.notify_access.or(run.notify_access);
        }
        self.store_request(name, message.store, message.fds);
        if let Some(pid) = message.main_pid {
            self.main_pid_told(name, pid);
        }
        self.life_told(name, message.ready, message.reloading, message.stopping, message.monotonic);
        self.watchdog_told(name, message.watchdog, message.watchdog_interval);
        if let Some(micros) = message.extend_timeout {
            self.extend_limits(name, Span::from_micros(micros));
        }
    }

    /// `READY=1`, `RELOADING=1` and `STOPPING=1`, alone or together.
    fn life_told(
        &mut self,
        name: &UnitName,
        ready: bool,
        reloading: bool,
        stopping: bool,
        monotonic: Option<Time>,
    ) {
        if reloading {
            self.reloading_told(name, monotonic);
        }
        if ready {
            self.ready_told(name, reloading);
        }
        if stopping {
            self.service_mut(name).run_mut().word = Word::Stopping;
            let state = self.service(name).state;
            if matches!(
                state,
                ServiceState::Running | ServiceState::ReloadSignal | ServiceState::ReloadNotify
            ) {
                self.enter_stop_by_notify(name);
            }
        }
    }

    /// After a signal it has to be this reload that it tells of (sd_notify(3), `MONOTONIC_USEC=`).
    fn reloading_told(&mut self, name: &UnitName, monotonic: Option<Time>) {
        let run = self.service_mut(name).run_mut();
        run.word = Word::Reloading;
        let is_this = monotonic.zip(run.reload_begun).is_some_and(|(told, begun)| told >= begun);
        match self.service(name).state {
            ServiceState::Running => self.enter_reload_notify(name),
            ServiceState::ReloadSignal if is_this => {
                // The time limit goes on from when it was asked.
                let limit = self.nodes[name].deadline;
                self.set_service_state(name, ServiceState::ReloadNotify);
                self.set_deadline(name, limit);
            }
            _ => {}
        }
    }

    fn ready_told(&mut self, name: &UnitName, and_reloading: bool) {
        self.service_mut(name).run_mut().word = Word::Ready;
        match self.service(name).state {
            ServiceState::Start if self.service_type(name).notifies() => self.main_is_up(name),
            ServiceState::ReloadNotify if and_reloading || self.service(name).control.is_none() => {
                self.reload_succeeded(name);
            }
            _ => {}
        }
    }

    fn watchdog_told(&mut self, name: &UnitName, word: Option<WatchdogWord>, interval: Option<u64>) {
        if let Some(micros) = interval {
            self.service_mut(name).run_mut().watchdog = Some(Span::from_micros(micros));
            self.reset_watchdog(name);
        }
        match word {
            Some(WatchdogWord::Ping) => self.reset_watchdog(name),
            Some(WatchdogWord::Trigger) if self.service(name).main.is_some() => {
                let state = self.service(name).state;
                if state.is_watched() || state == ServiceState::Start {
                    self.watchdog_bites(name, "asked the watchdog to end it");
                }
            }
            Some(WatchdogWord::Trigger) | None => {}
        }
    }

    /// A step may take so long from now; never less than it had.
    fn extend_limits(&mut self, name: &UnitName, span: Span) {
        let Some(end) = self.now.after(span) else { return };
        if self.nodes[name].deadline.is_some_and(|deadline| deadline < end) {
            self.set_deadline(name, Some(end));
        }
        if self.service(name).run().watchdog_due.is_some_and(|due| due < end) {
            self.set_watchdog(name, Some(end));
        }
    }

    /// `MAINPID=`: that process is asked for, since only the keeper can watch it.
    fn main_pid_told(&mut self, name: &UnitName, pid: u32) {
        let service = self.service(name);
        let is = |child: Option<Child>| child.and_then(|child| child.pid) == Some(pid);
        let may = service.state == ServiceState::Start || service.state.is_watched();
        if may && !is(service.main) && !is(service.control) {
            self.seek_main(name, MainHint::Pid(pid));
        }
    }

    fn may_notify(&self, name: &UnitName, pid: u32) -> bool {
        let service = self.service(name);
        let is = |child: Option<Child>| child.and_then(|child| child.pid) == Some(pid);
        match self.notify_access(name) {
            NotifyAccess::None => false,
            NotifyAccess::Main => is(service.main),
            NotifyAccess::Exec => is(service.main) || is(service.control),
            NotifyAccess::All => true,
        }
    }
}
