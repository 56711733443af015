//! A unit file that changed while the socket is open: what is new is opened before what is old is closed, and what is the same stays
//! as it is, with its queue.

use std::sync::Arc;

use sockmgr_unit::section::SocketSection;
use sockmgr_unit::{Unit, UnitName};

use super::{OpenPort, SocketResult};
use crate::command::{Command, JobMode, Verb};
use crate::engine::Engine;
use crate::event::{Action, PassedFd, Port};
use crate::service::Activity;

/// A change of listeners that is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Reopening {
    /// The file that is in use until everything is open.
    old_unit: Arc<Unit>,
    /// Listeners as they are with it.
    old_ports: Vec<OpenPort>,
    /// Listeners as they will be.
    new_ports: Vec<OpenPort>,
}

impl Engine {
    /// Takes a new file into use. Answers whether listeners have to be opened first; then what comes of that decides about the file.
    pub(crate) fn socket_reopens(&mut self, name: &UnitName, old: &Arc<Unit>, new: &Arc<Unit>) -> bool {
        let (Some(old_section), Some(new_section)) = (old.socket(), new.socket()) else { return false };
        if self.socket(name).ports.is_empty() || old_section == new_section {
            return false;
        }
        if old_section.listen == new_section.listen {
            let ports = self.open_ports(name).collect();
            self.out.push(Action::Adjust { socket: name.clone(), ports });
            return false;
        }
        if !self.socket(name).active_state().is_up() {
            // It is being opened or closed: what it listens on changes at its next start.
            return true;
        }
        self.reopen(name, old, new);
        true
    }

    fn reopen(&mut self, name: &UnitName, old: &Arc<Unit>, new: &Arc<Unit>) {
        let old_ports = self.socket(name).ports.clone();
        if let Some(node) = self.nodes.get_mut(name) {
            node.unit = new.clone();
        }
        let mut kept = old_ports.clone();
        let mut new_ports = Vec::new();
        let mut missing = Vec::new();
        for wanted in self.wanted_ports(name) {
            match take_same(&mut kept, old.socket(), new.socket(), wanted) {
                Some(open) => new_ports.push(open),
                None => {
                    missing.push(wanted);
                    new_ports.push(OpenPort::new(wanted));
                }
            }
        }
        let reopening = Reopening { old_unit: old.clone(), old_ports, new_ports };
        self.socket_mut(name).reopening = Some(Box::new(reopening));
        if missing.is_empty() {
            self.reopened(name, Ok(()));
        } else {
            self.out.push(Action::Open { socket: name.clone(), ports: missing });
        }
    }

    /// Everything new is open, or nothing is.
    pub(super) fn reopened(&mut self, name: &UnitName, result: Result<(), String>) {
        let Some(reopening) = self.socket_mut(name).reopening.take() else { return };
        let Reopening { old_unit, old_ports, mut new_ports } = *reopening;
        if let Err(why) = result {
            self.log_error(name, format!("{why}; it goes on listening as before, until its next start"));
            if let Some(node) = self.nodes.get_mut(name) {
                node.unit = old_unit;
            }
            return;
        }
        let stays = |port: Port| new_ports.iter().any(|open| open.port.fd == port.fd);
        let gone: Vec<Port> = old_ports.iter().map(|open| open.port).filter(|port| !stays(*port)).collect();
        let fresh = new_ports.iter().filter(|open| old_ports.iter().all(|old| old.port.fd != open.port.fd));
        let (count, lost) = (fresh.count(), gone.len());
        self.listeners.extend(new_ports.iter().map(|open| (open.port.fd, name.clone())));
        let kept: Vec<Port> = new_ports
            .iter()
            .map(|open| open.port)
            .filter(|port| old_ports.iter().any(|old| old.port.fd == port.fd))
            .collect();
        let is_served = self.is_served(name);
        for open in &mut new_ports {
            open.is_fresh |= is_served && old_ports.iter().all(|old| old.port.fd != open.port.fd);
        }
        self.socket_mut(name).ports = new_ports;
        self.drop_ports(name, gone);
        self.out.push(Action::Adjust { socket: name.clone(), ports: kept });
        self.log_info(name, format!("listeners follow its file: {count} opened, {lost} closed"));
        self.link(name);
        self.forget_steering(name);
        self.steer_socket(name);
        self.stir(name);
        self.refresh_watches(name);
    }

    /// What it triggers has processes, which may have been started before something is opened.
    pub(super) fn is_served(&self, name: &UnitName) -> bool {
        self.triggered(name).is_some_and(|service| self.activity(&service) == Activity::Busy)
    }

    /// What runs can be started again, to get the listeners that it has not.
    pub(super) fn may_pass_fresh(&self, name: &UnitName) -> bool {
        self.triggered(name).is_some_and(|service| self.job_of(&service).is_none())
    }

    /// Traffic on a listener that what runs has not, because it was started before: it is restarted.
    pub(super) fn pass_fresh(&mut self, name: &UnitName) {
        let Some(service) = self.triggered(name).filter(|_| self.may_pass_fresh(name)) else { return };
        if !self.admit_trigger(name) {
            return;
        }
        self.log_info(name, format!("traffic on a new listener: restarting {service}, which has not got it"));
        let command = Command { verb: Verb::Restart, unit: service.clone(), mode: JobMode::Replace };
        if let Err(error) = self.request_job(&command) {
            self.log_error(name, format!("cannot restart {service}: {error}"));
            self.limit_hit(name, SocketResult::Resources, None);
        }
        self.refresh_watches(name);
    }

    /// A process is being started that gets these.
    pub(crate) fn fresh_passed(&mut self, passed: &[PassedFd]) {
        for PassedFd { fd, .. } in passed {
            let Some(name) = self.listeners.get(fd).cloned() else { continue };
            let ports = self.socket_mut(&name).ports.iter_mut();
            ports.filter(|open| open.port.fd == *fd).for_each(|open| open.is_fresh = false);
        }
    }
}

/// The open listener for the same line, which may have moved in the file.
fn take_same(
    kept: &mut Vec<OpenPort>,
    old: Option<&SocketSection>,
    new: Option<&SocketSection>,
    wanted: Port,
) -> Option<OpenPort> {
    let line = new?.listen.get(wanted.line)?;
    let place = kept.iter().position(|open| {
        open.port.slot == wanted.slot && old.is_some_and(|old| old.listen.get(open.port.line) == Some(line))
    })?;
    let mut open = kept.remove(place);
    open.port.line = wanted.line;
    Some(open)
}
