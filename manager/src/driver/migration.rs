//! Moving what waits for nobody to the slots in rotation: listeners are shut down and listen again, and the kernel takes their queues along.
//!
//! An eBPF program says where to. With the host's setting alone (`net.ipv4.tcp_migrate_req`) the kernel takes any other member, so all that
//! may be spared leave the group together, and come back when nothing waits any more. When to do it, the engine says. Invariant: the
//! keeper knows of it before it begins.

use std::os::fd::BorrowedFd;

use sockmgr_engine::{Action, Event, FdId, Migrated};
use sockmgr_sys::steering::{self, Program, Share};
use sockmgr_sys::{listener, migration, queue};
use sockmgr_unit::UnitName;
use sockmgr_unit::section::SocketSection;

use super::Driver;
use super::listeners::chain;
use super::steering::{by, is_datagram};

/// What lets waiting connections of a group migrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Migration {
    /// The group's eBPF program.
    Program,
    /// The setting of the network namespace.
    Sysctl,
    /// Nothing.
    No,
}

impl Migration {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Sysctl => "sysctl",
            Self::No => "no",
        }
    }
}

/// What the engine asks for.
struct Order {
    socket: UnitName,
    line: usize,
    fds: Vec<FdId>,
    live: Vec<u32>,
    again: bool,
}

impl Driver {
    /// What lets waiting connections of a line migrate.
    pub(super) fn migration(&self, socket: &UnitName, line: usize, listener: BorrowedFd<'_>) -> Migration {
        let unit = self.engine.unit(socket).map(|view| view.unit.clone());
        let is_datagram =
            unit.as_ref().and_then(|unit| unit.socket()).is_none_or(|section| is_datagram(section, line));
        if is_datagram {
            return Migration::No;
        }
        if self.steerings.migrates(socket, line) {
            return Migration::Program;
        }
        match migration::migrates_requests(listener) {
            Ok(true) => Migration::Sysctl,
            Ok(false) => Migration::No,
            Err(error) => {
                tracing::debug!("cannot tell whether connections migrate: {}", chain(&error));
                Migration::No
            }
        }
    }

    /// Performs [`Action::Migrate`].
    pub(super) fn migrate(&mut self, action: Action) -> Option<Event> {
        let Action::Migrate { socket, line, fds, live, again } = action else { return None };
        let order = Order { socket, line, fds, live, again };
        let outcome = self.try_to_migrate(&order);
        Some(Event::Migrated { socket: order.socket, line, outcome })
    }

    fn try_to_migrate(&mut self, order: &Order) -> Migrated {
        let Some(first) = order.fds.first().and_then(|id| self.descriptors.get(*id)) else {
            return Migrated::Impossible;
        };
        let migration = self.migration(&order.socket, order.line, first);
        let waiting: Vec<(FdId, u32)> =
            order.fds.iter().map(|id| (*id, self.waiting_at(*id))).filter(|(_, count)| *count > 0).collect();
        let chosen: Vec<FdId> = match migration {
            // Half of it is done: what becomes of the queue is not in question any more.
            _ if order.again => order.fds.clone(),
            Migration::No => return Migrated::Impossible,
            Migration::Program | Migration::Sysctl if waiting.is_empty() || !self.all_listen(order) => {
                return Migrated::Nothing;
            }
            // All of them, or whoever has to do it again could not tell what the kernel's order has become.
            Migration::Program | Migration::Sysctl => order.fds.clone(),
        };
        self.unsaved.insert(order.socket.clone());
        if let Err(error) = self.flush_link() {
            tracing::debug!(%error, "cannot reach the keeper");
        }
        if migration != Migration::Program {
            self.steer_to_unmoved(order, chosen.len());
        }
        let moved = self.shut_down_and_listen(order, &chosen);
        let count: u32 = waiting.iter().map(|(_, count)| count).sum();
        if count > 0 {
            tracing::info!(unit = %order.socket, "{count} waiting connections moved to other instances");
        }
        moved
    }

    /// A service may have shut a listener down, unnoticed so far: what waits could go nowhere, and the kernel's order of members is not
    /// what we think. That comes first.
    fn all_listen(&self, order: &Order) -> bool {
        let members = self.engine.members(&order.socket, order.line);
        let is_other = |port: &sockmgr_engine::Port| {
            port.line == order.line
                && !order.fds.contains(&port.fd)
                && port.slot.is_some_and(|slot| members.contains(&slot))
        };
        self.engine.open_ports(&order.socket).filter(is_other).all(|port| {
            let fd = self.descriptors.get(port.fd);
            fd.is_some_and(|fd| listener::takes_traffic(fd).unwrap_or(false))
        })
    }

    fn waiting_at(&self, id: FdId) -> u32 {
        let level = self.descriptors.get(id).and_then(|fd| queue::level(fd).ok().flatten());
        level.map_or(0, |level| level.used)
    }

    fn shut_down_and_listen(&self, order: &Order, chosen: &[FdId]) -> Migrated {
        let Some(backlog) = self.section_of(order, |section| section.backlog) else {
            return Migrated::Impossible;
        };
        let (mut left, mut back) = (Vec::new(), Vec::new());
        for id in chosen.iter().rev() {
            match self.descriptors.get(*id).map(migration::hand_over) {
                Some(Ok(())) => left.push(*id),
                Some(Err(error)) => tracing::error!(unit = %order.socket, "{}", chain(&error)),
                None => {}
            }
        }
        for id in left.iter().rev() {
            let Some(fd) = self.descriptors.get(*id) else { continue };
            let result = listener::listen_again(fd, backlog).map_err(|error| chain(&error));
            if result.is_ok() {
                self.reseat(*id);
            }
            back.push((*id, result));
        }
        Migrated::Moved { left, back }
    }

    /// While members leave and come back, those at the end of the order get other numbers. Until the engine has been told, new
    /// connections go to slots in rotation that keep theirs: the first ones, as many as stay.
    fn steer_to_unmoved(&self, order: &Order, leaving: usize) {
        let members = self.engine.members(&order.socket, order.line);
        let stay = members.len().saturating_sub(leaving);
        let places = members.iter().take(stay).enumerate().filter(|(_, slot)| order.live.contains(slot));
        let attached = self.section_of(order, |section| {
            let share = |(place, slot): (usize, &u32)| {
                let share = self.share(&order.socket, section, *slot)?;
                Some(Share { slot: u16::try_from(place).ok()?, ..share })
            };
            let shares: Vec<Share> = places.filter_map(share).collect();
            let member = members.iter().find(|slot| order.live.contains(slot))?;
            let is_member =
                |port: &sockmgr_engine::Port| port.line == order.line && port.slot == Some(*member);
            let port = self.engine.open_ports(&order.socket).find(is_member)?;
            let program = Program::compile(by(section.steering), &shares).ok()?;
            Some(steering::attach(self.descriptors.get(port.fd)?, &program))
        });
        if let Some(Some(Err(error))) = attached {
            tracing::error!(unit = %order.socket, "cannot steer the group: {}", chain(&error));
        }
    }

    fn section_of<T>(&self, order: &Order, of: impl FnOnce(&SocketSection) -> T) -> Option<T> {
        Some(of(self.engine.unit(&order.socket)?.unit.socket()?))
    }
}
