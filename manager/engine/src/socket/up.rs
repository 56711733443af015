//! The way up: `ExecStartPre=`, the listeners, their owner, `ExecStartPost=`, and it listens.

use std::collections::BTreeSet;

use sockmgr_unit::UnitName;

use super::{OpenPort, Socket, SocketResult, SocketState, own_per_slot};
use crate::engine::Engine;
use crate::event::{Action, ExecList, Port};
use crate::ids::FdId;
use crate::job::{Begun, JobKind};
use crate::service::Activity;

impl Engine {
    pub(crate) fn socket_start(&mut self, name: &UnitName) -> Begun {
        match self.socket(name).state {
            SocketState::Listening | SocketState::Paused | SocketState::Running => return Begun::Done,
            SocketState::StartPre
            | SocketState::StartOpen
            | SocketState::StartChown
            | SocketState::StartPost => return Begun::Pending,
            SocketState::StopPre
            | SocketState::StopPreSigterm
            | SocketState::StopPreSigkill
            | SocketState::StopPost
            | SocketState::FinalSigterm
            | SocketState::FinalSigkill => return Begun::Wait,
            SocketState::Dead | SocketState::Failed => {}
        }
        // What was changed in its file while it was open counts from now on.
        self.refresh(name);
        let (now, rate) = (self.now, self.start_rate(name));
        if !self.socket_mut(name).start_limit.admit(now, rate) {
            self.log_error(name, "started too often, refused; `reset-failed` forgets the count".to_owned());
            self.note_socket_result(name, SocketResult::StartLimitHit);
            self.set_socket_state(name, SocketState::Failed);
            return Begun::Refused;
        }
        if let Err(why) = self.may_listen(name) {
            self.log_error(name, why);
            return Begun::Refused;
        }
        self.socket_mut(name).result = SocketResult::Success;
        self.socket_run(name, ExecList::StartPre, 0);
        Begun::Pending
    }

    /// systemd.socket(5): a socket is not opened behind the back of a service that already runs without it.
    pub(super) fn may_listen(&mut self, name: &UnitName) -> Result<(), String> {
        if self.section(name).accept {
            return Ok(());
        }
        let Some(service) = self.triggered(name) else {
            return Err("it has no service to start".to_owned());
        };
        self.ensure(&service);
        self.loadable(&service).map_err(|error| format!("what it starts cannot be used: {error}"))?;
        match self.activity(&service) {
            // What waits for its restart gets the listeners then.
            Activity::Idle | Activity::Waiting => Ok(()),
            Activity::Busy => {
                Err(format!("{service} is already active, refusing to listen beside it; stop it first"))
            }
        }
    }

    /// Has everything opened.
    pub(super) fn enter_start_open(&mut self, name: &UnitName) {
        let ports = self.wanted_ports(name);
        let socket = self.socket_mut(name);
        socket.is_accepting = false;
        socket.members.clear();
        socket.ports = ports.iter().copied().map(OpenPort::new).collect();
        self.set_socket_state(name, SocketState::StartOpen);
        self.out.push(Action::Open { socket: name.clone(), ports });
    }

    /// A listener for each line, or for each slot of each line.
    pub(super) fn wanted_ports(&mut self, name: &UnitName) -> Vec<Port> {
        let section = self.section(name);
        let lines: Vec<bool> = section.listen.iter().map(|listen| own_per_slot(section, listen)).collect();
        let slots = self.slot_count(name);
        let mut places = Vec::new();
        for (line, own) in lines.into_iter().enumerate() {
            match slots.filter(|_| own) {
                Some(count) => places.extend((0..count).map(|slot| (line, Some(slot)))),
                None => places.push((line, None)),
            }
        }
        places.into_iter().map(|(line, slot)| Port { fd: self.new_fd(), line, slot }).collect()
    }

    pub(crate) fn socket_opened(&mut self, name: &UnitName, result: Result<(), String>) {
        let Some(socket) = self.nodes.get(name).and_then(|node| node.socket()) else { return };
        if socket.state != SocketState::StartOpen {
            return self.reopened(name, result);
        }
        match result {
            Ok(()) => self.all_open(name),
            Err(why) => {
                self.log_error(name, why);
                self.socket_mut(name).ports.clear();
                self.enter_closing(name, SocketResult::Resources);
            }
        }
    }

    fn all_open(&mut self, name: &UnitName) {
        for port in self.open_ports(name).collect::<Vec<Port>>() {
            self.listeners.insert(port.fd, name.clone());
        }
        self.steer_socket(name);
        let section = self.section(name);
        if section.socket_user.is_some() || section.socket_group.is_some() {
            self.socket_spawn(name, ExecList::Chown, 0);
        } else {
            self.socket_run(name, ExecList::StartPost, 0);
        }
    }

    /// Everything of the start is done.
    pub(super) fn enter_started(&mut self, name: &UnitName) {
        let addresses: Vec<String> =
            self.section(name).listen.iter().map(|listen| listen.address.to_string()).collect();
        self.log_info(name, format!("listening on {}", addresses.join(", ")));
        self.enter_listening(name);
        if self.is_served(name) {
            // It was started without regard to the order, before there was anything to give it.
            self.socket_mut(name).ports.iter_mut().for_each(|open| open.is_fresh = true);
        }
    }

    /// Waits for traffic. What waits already is thrown away where that is wanted (`FlushPending=`).
    pub(super) fn enter_listening(&mut self, name: &UnitName) {
        self.socket_mut(name).ports.iter_mut().for_each(|open| open.is_fresh = false);
        if self.section(name).flush_pending && !self.section(name).accept {
            let ports: Vec<Port> = self.open_ports(name).collect();
            self.out.extend(ports.into_iter().map(|port| Action::Flush { fd: port.fd }));
        }
        self.set_socket_state(name, SocketState::Listening);
    }

    /// Takes up the listeners that an earlier manager left. If one is lost, or they are not what the unit file asks for any more, all
    /// are opened anew.
    pub(crate) fn restore_socket(&mut self, name: &UnitName, old: Socket, held: &BTreeSet<FdId>) {
        let (held, lost): (Vec<Port>, Vec<Port>) =
            old.ports.iter().map(|open| open.port).partition(|port| held.contains(&port.fd));
        let state = old.state;
        let fits = self.fits(name, &old.ports);
        if let Some(control) = old.control {
            self.processes.insert(control.process, name.clone());
        }
        *self.socket_mut(name) = old;
        if (!lost.is_empty() || !fits) && state.has_listeners() {
            self.log_error(
                name,
                "its listeners are lost or not what its file says now, opening them again".to_owned(),
            );
            if !held.is_empty() {
                self.out.push(Action::Close { socket: name.clone(), ports: held });
            }
            self.abandon_control(name);
            let socket = self.socket_mut(name);
            (socket.state, socket.ports) = (SocketState::Dead, Vec::new());
            socket.members.clear();
            self.queue_job(name, JobKind::Start, false);
        } else if state == SocketState::StartOpen {
            self.all_open(name);
        } else {
            self.listeners.extend(held.into_iter().map(|port| (port.fd, name.clone())));
            // Only now it is known how many slots the group has.
            self.link(name);
            self.relisten_missing(name);
        }
    }

    /// Whether these listeners are what the unit file asks for now: one for each slot, or one for all. A file may have changed while no
    /// manager looked; other changes wait for the next start, as after a reload.
    fn fits(&self, name: &UnitName, ports: &[OpenPort]) -> bool {
        let section = self.section(name);
        let in_slots = section.instances.is_some() && !section.accept;
        ports.iter().all(|open| {
            let listen = section.listen.get(open.port.line);
            listen
                .is_none_or(|listen| (in_slots && own_per_slot(section, listen)) == open.port.slot.is_some())
        })
    }
}
