//! The order in which the kernel has the members of a reuseport group: steering by classic BPF names them by that number, and nothing
//! reads it back.
//!
//! Never here: what a program looks like. Invariant: a listener is in the order exactly while the kernel has it in the group, as far as
//! is known: it leaves when it is shut down, and the last one takes its place; when it listens again it comes last (kernel:
//! net/core/sock_reuseport.c).

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;
use sockmgr_unit::value::LimitAction;

use super::{OpenPort, SocketResult};
use crate::engine::Engine;
use crate::event::Action;
use crate::ids::FdId;

/// The slots of one `Listen*=` line by their number in the kernel. Only lines whose order is no longer that of the slots have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Members {
    line: usize,
    slots: Vec<u32>,
    /// Those that are about to be shut down, last first, and to listen again, first first, for what waits there to go elsewhere. A manager
    /// that dies in the middle leaves this to the next one.
    pub(super) moving: Vec<u32>,
}

impl Members {
    /// As they were opened: in the order of the slots.
    fn opened(line: usize, ports: &[OpenPort]) -> Self {
        let own = ports.iter().filter(|open| open.port.line == line);
        Self { line, slots: own.filter_map(|open| open.port.slot).collect(), moving: Vec::new() }
    }

    pub(super) fn leave(&mut self, slot: u32) {
        if let Some(place) = self.slots.iter().position(|member| *member == slot) {
            self.slots.swap_remove(place);
        }
    }

    pub(super) fn join(&mut self, slot: u32) {
        if !self.slots.contains(&slot) {
            self.slots.push(slot);
        }
    }
}

impl Engine {
    /// The slots of one line of a socket in the kernel's order.
    pub fn members(&self, socket: &UnitName, line: usize) -> Vec<u32> {
        let Some(socket) = self.nodes.get(socket).and_then(|node| node.socket()) else { return Vec::new() };
        let moved = socket.members.iter().find(|members| members.line == line);
        moved.cloned().unwrap_or_else(|| Members::opened(line, &socket.ports)).slots
    }

    /// A listener was shut down, by a service that has it too: for the kernel it is out of the group, and the queue is gone. Its slot
    /// stays in rotation: most that do so are about to end, and their successors may be here already.
    pub(crate) fn listener_hung_up(&mut self, fd: FdId) {
        let Some((name, open)) = self.open_listener(fd) else { return };
        if self.limit_action(&name) == LimitAction::Fail {
            // As systemd does it.
            self.log_error(&name, "somebody shut down one of its listeners".to_owned());
            return self.enter_closing(&name, SocketResult::Resources);
        }
        self.log_warning(&name, format!("somebody shut down its listener {fd}; it is opened again"));
        if let Some(slot) = open.port.slot {
            self.members_mut(&name, open.port.line).leave(slot);
            self.stir(&name);
            self.steer_anew(&name);
        }
        self.out.push(Action::Relisten { socket: name, fd });
    }

    pub(crate) fn listener_relistened(&mut self, fd: FdId, result: Result<(), String>) {
        let Some((name, open)) = self.open_listener(fd) else { return };
        match (result, open.port.slot) {
            (Err(error), _) => self.log_error(&name, format!("its listener {fd} stays shut down: {error}")),
            (Ok(()), None) => {}
            (Ok(()), Some(slot)) => {
                let members = self.members_mut(&name, open.port.line);
                members.join(slot);
                self.stir(&name);
                // What is attached names the members by the numbers that they had.
                self.steer_anew(&name);
            }
        }
    }

    /// The slots that are being moved, by line.
    pub(super) fn moving(&self, socket: &UnitName) -> Vec<(usize, Vec<u32>)> {
        let members = self.socket(socket).members.iter().filter(|members| !members.moving.is_empty());
        members.map(|members| (members.line, members.moving.clone())).collect()
    }

    /// An earlier manager may have died between the end of a listener and its new beginning.
    pub(crate) fn relisten_missing(&mut self, socket: &UnitName) {
        self.migrate_again(socket);
        let ports = self.socket(socket).ports.clone();
        for open in ports {
            let is_missing =
                open.port.slot.is_some_and(|slot| !self.members(socket, open.port.line).contains(&slot));
            if is_missing {
                self.out.push(Action::Relisten { socket: socket.clone(), fd: open.port.fd });
            }
        }
    }

    fn open_listener(&self, fd: FdId) -> Option<(UnitName, OpenPort)> {
        let name = self.listeners.get(&fd)?;
        let open = self.socket(name).ports.iter().find(|open| open.port.fd == fd)?;
        Some((name.clone(), open.clone()))
    }

    pub(super) fn members_mut(&mut self, name: &UnitName, line: usize) -> &mut Members {
        let socket = self.socket_mut(name);
        let place = socket.members.iter().position(|members| members.line == line);
        let place = place.unwrap_or_else(|| {
            socket.members.push(Members::opened(line, &socket.ports));
            socket.members.len() - 1
        });
        &mut socket.members[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_takes_the_place_of_one_that_leaves() {
        let mut members = Members { line: 0, slots: vec![0, 1, 2, 3], moving: Vec::new() };
        members.leave(1);
        assert_eq!(members.slots, [0, 3, 2]);
        members.join(1);
        members.join(1);
        assert_eq!(members.slots, [0, 3, 2, 1]);
        members.leave(1);
        members.leave(1);
        assert_eq!(members.slots, [0, 3, 2]);
    }
}
