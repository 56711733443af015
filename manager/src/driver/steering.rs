//! Steering of groups: each `Listen*=` line of a socket with slots is one reuseport group in the kernel, with a program that says which
//! slot gets the next connection or datagram.
//!
//! Which slots are in rotation, the engine says; how to tell the kernel, `sys::steering` knows. Here is which of the two makes a group
//! has: eBPF where the kernel takes it, else classic. Invariant: the keeper has what cannot be made or read a second time: the
//! descriptors of eBPF programs and maps (a socket that is in a map goes into no other one), and whom each bucket of datagrams belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};
use sockmgr_engine::{FdId, Port};
use sockmgr_sys::steering::{self, Buckets, Extended, ExtendedFds, Program, Share, Steering, Wheel};
use sockmgr_sys::{SysError, listener, migration};
use sockmgr_unit::section::SocketSection;
use sockmgr_unit::value::SteeringMake;
use sockmgr_unit::{ListenKind, UnitName};

use super::Driver;
use super::listeners::chain;
use super::migration::Migration;
use crate::control::SteeringView;
use crate::protocol::ToKeeper;

/// What the keeper calls the four descriptors of an eBPF program.
const PARTS: [&str; 4] = ["program", "sockets", "wheels", "counts"];
/// What all of our names at the keeper begin with.
const PREFIX: &str = "steering ";

/// One line of a socket unit.
type Group = (UnitName, usize);

/// The groups of all open sockets.
#[derive(Debug, Default)]
pub(super) struct Steerings(BTreeMap<Group, State>);

#[derive(Debug)]
struct State {
    make: Make,
    saved: Saved,
}

/// What a later manager cannot find out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    /// Why it is the make that it is.
    reason: String,
    /// By what the program that is loaded steers, as the unit says it.
    steering: sockmgr_unit::Steering,
    /// The program also says where connections migrate to.
    migrates: bool,
    /// Datagrams only.
    buckets: Buckets,
}

#[derive(Debug)]
enum Make {
    Classic,
    Extended(Extended),
}

impl Steerings {
    /// Takes what is ours out of what an earlier manager left.
    pub(super) fn take_up(fds: &mut BTreeMap<String, OwnedFd>, values: &mut Vec<(String, Vec<u8>)>) -> Self {
        let mut own = fds.split_off(PREFIX);
        fds.append(&mut own.split_off(&next_prefix()));
        let (ours, others) = std::mem::take(values).into_iter().partition(|(key, _)| key.starts_with(PREFIX));
        *values = others;
        let ours: Vec<(String, Vec<u8>)> = ours;
        let states = ours.into_iter().filter_map(|(key, value)| {
            let group = parse_key(&key)?;
            let saved: Saved = postcard::from_bytes(&value).ok()?;
            let make = match take_fds(&group, &mut own) {
                Some(fds) => Make::Extended(Extended::from_fds(fds, saved.migrates)),
                None => Make::Classic,
            };
            Some((group, State { make, saved }))
        });
        Self(states.collect())
    }

    /// Whether an eBPF program says where the connections of this line migrate to.
    pub(super) fn migrates(&self, socket: &UnitName, line: usize) -> bool {
        self.0.get(&(socket.clone(), line)).is_some_and(State::migrates)
    }

    fn of(&self, socket: &UnitName) -> impl Iterator<Item = (&Group, &State)> {
        self.0.range((socket.clone(), 0)..=(socket.clone(), usize::MAX))
    }
}

/// The first string behind all that begin with [`PREFIX`].
fn next_prefix() -> String {
    PREFIX.trim_end().to_owned() + "!"
}

fn take_fds(group: &Group, own: &mut BTreeMap<String, OwnedFd>) -> Option<ExtendedFds> {
    let [program, sockets, wheels, counts] = PARTS.map(|part| own.remove(&held_name(group, part)));
    Some(ExtendedFds { program: program?, sockets: sockets?, wheels: wheels?, counts: counts? })
}

fn key((socket, line): &Group) -> String {
    format!("{PREFIX}{line} {socket}")
}

fn parse_key(key: &str) -> Option<Group> {
    let (line, socket) = key.strip_prefix(PREFIX)?.split_once(' ')?;
    Some((socket.parse().ok()?, line.parse().ok()?))
}

fn held_name(group: &Group, part: &str) -> String {
    format!("{} {part}", key(group))
}

impl State {
    fn new(reason: String, steering: sockmgr_unit::Steering) -> Self {
        let saved = Saved { reason, steering, migrates: false, buckets: Buckets::default() };
        Self { make: Make::Classic, saved }
    }

    fn migrates(&self) -> bool {
        matches!(&self.make, Make::Extended(extended) if extended.migrates())
    }

    /// Has the kernel give new connections to `live` only. `order` has the slots by their number in the kernel, and `member` is any
    /// of them.
    fn steer(
        &mut self,
        section: &SocketSection,
        line: usize,
        live: &[Share],
        order: &[u32],
        member: BorrowedFd<'_>,
    ) -> Result<(), String> {
        let steering = by(section.steering);
        let index = |slot: u16| {
            let place = order.iter().position(|member| *member == u32::from(slot));
            place.and_then(|place| u16::try_from(place).ok()).unwrap_or(slot)
        };
        let in_buckets =
            is_datagram(section, line) && matches!(steering, Steering::Hash | Steering::Weighted);
        if in_buckets {
            self.saved.buckets.assign(live);
        }
        match &mut self.make {
            Make::Classic => {
                let program = if in_buckets {
                    Program::of_buckets(&self.saved.buckets, index)
                } else {
                    let live: Vec<Share> =
                        live.iter().map(|share| Share { slot: index(share.slot), ..*share }).collect();
                    Program::compile(steering, &live)
                };
                let program = program.map_err(|error| chain(&error))?;
                steering::attach(member, &program).map_err(|error| chain(&error))
            }
            Make::Extended(extended) => {
                if self.saved.steering != section.steering {
                    extended.change(steering).map_err(|error| chain(&error))?;
                    self.saved.migrates = extended.migrates();
                    self.saved.steering = section.steering;
                }
                let wheel = if in_buckets {
                    Wheel::of_buckets(&self.saved.buckets)
                } else {
                    Wheel::new(steering, live)
                };
                let wheel = wheel.map_err(|error| chain(&error))?;
                extended.turn(&wheel).and_then(|()| extended.attach(member)).map_err(|error| chain(&error))
            }
        }
    }
}

impl Driver {
    /// Chooses the make of each group of a socket whose listeners have just been opened. Until the first [`Driver::steer`] all traffic
    /// goes to the first slot.
    pub(super) fn begin_steering(&mut self, socket: &UnitName, section: &SocketSection, ports: &[Port]) {
        for line in lines(ports) {
            let group = (socket.clone(), line);
            let mut state = State::new(String::new(), section.steering);
            match self.load_extended(section, line, ports) {
                Ok(extended) => {
                    state.saved.migrates = extended.migrates();
                    state.saved.reason = "bpf(2) is permitted".to_owned();
                    state.make = Make::Extended(extended);
                }
                Err(reason) => state.saved.reason = reason,
            }
            tracing::debug!(unit = %socket, line, reason = state.saved.reason, "make of steering");
            self.keep_steering(&group, &state);
            self.steerings.0.insert(group, state);
            self.let_requests_migrate(socket, section, line, ports);
        }
    }

    /// A program with every slot in its place, attached; or why there is none.
    fn load_extended(
        &self,
        section: &SocketSection,
        line: usize,
        ports: &[Port],
    ) -> Result<Extended, String> {
        if self.engine.settings().steering_make == SteeringMake::Classic {
            return Err("SteeringMake=classic".to_owned());
        }
        let slots: Vec<(u16, BorrowedFd<'_>)> = own(ports, line)
            .filter_map(|port| Some((slot_of(port)?, self.descriptors.get(port.fd)?)))
            .collect();
        let [(first, member), ..] = slots.as_slice() else { return Err("it has no slots".to_owned()) };
        let load = || -> Result<Extended, SysError> {
            let extended = Extended::load(by(section.steering), slots.len() as u32)?;
            for (slot, fd) in &slots {
                extended.seat(*slot, *fd)?;
            }
            extended.attach(*member)?;
            Ok(extended)
        };
        let wheel =
            Wheel::new(by(section.steering), &[Share::equal(*first)]).map_err(|error| chain(&error))?;
        let extended = load().map_err(|error| refusal(&error))?;
        extended.turn(&wheel).map_err(|error| refusal(&error))?;
        Ok(extended)
    }

    /// Has the keeper hold what cannot be made a second time.
    fn keep_steering(&mut self, group: &Group, state: &State) {
        if let Make::Extended(extended) = &state.make {
            let fds = extended.fds();
            let copies: Result<Vec<OwnedFd>, _> = [&fds.program, &fds.sockets, &fds.wheels, &fds.counts]
                .into_iter()
                .map(OwnedFd::try_clone)
                .collect();
            match copies {
                Ok(copies) => {
                    let names = PARTS.iter().map(|part| held_name(group, part)).collect();
                    self.link.push(&ToKeeper::Hold { names }, copies);
                }
                Err(error) => tracing::error!("cannot give the steering program to the keeper: {error}"),
            }
        }
        self.remember_steering(group, &state.saved);
    }

    fn remember_steering(&mut self, group: &Group, saved: &Saved) {
        match postcard::to_stdvec(saved) {
            Ok(value) => self.push(ToKeeper::Remember { key: key(group), value }),
            Err(error) => tracing::error!("cannot save the state of steering: {error}"),
        }
    }

    /// `MigrateRequests=`
    fn let_requests_migrate(&self, socket: &UnitName, section: &SocketSection, line: usize, ports: &[Port]) {
        if !self.engine.settings().migrate_requests || is_datagram(section, line) {
            return;
        }
        let Some(listener) = own(ports, line).find_map(|port| self.descriptors.get(port.fd)) else { return };
        if self.migration(socket, line, listener) == Migration::No
            && let Err(error) = migration::let_requests_migrate(listener)
        {
            tracing::warn!(unit = %socket, "MigrateRequests= has no effect: {}", chain(&error));
        }
    }

    /// Has the kernel give new connections to these slots only, on every line of the socket.
    pub(super) fn steer(&mut self, socket: &UnitName, live: &[u32]) {
        let Some(view) = self.engine.unit(socket) else { return };
        let unit = view.unit.clone();
        let Some(section) = unit.socket() else { return };
        let ports: Vec<Port> = self.engine.open_ports(socket).collect();
        for line in lines(&ports) {
            if let Err(error) = self.steer_line(socket, section, line, live, &ports) {
                tracing::error!(unit = %socket, "cannot steer the group: {error}");
            }
        }
        tracing::debug!(unit = %socket, ?live, "slots in rotation");
    }

    fn steer_line(
        &mut self,
        socket: &UnitName,
        section: &SocketSection,
        line: usize,
        live: &[u32],
        ports: &[Port],
    ) -> Result<(), String> {
        let order = self.engine.members(socket, line);
        let in_order = order.iter().filter_map(|slot| own(ports, line).find(|port| port.slot == Some(*slot)));
        let mut fds = in_order.filter_map(|port| self.descriptors.get(port.fd));
        // One that was shut down would become a group of its own by a program, and could never listen again.
        let member = fds.find(|fd| listener::takes_traffic(*fd).unwrap_or(false));
        let known = live.iter().filter(|slot| order.contains(slot));
        let live: Vec<Share> = known.filter_map(|slot| self.share(socket, section, *slot)).collect();
        // Slots that are all shut down are steered to as soon as they listen again.
        let Some(member) = member.filter(|_| !live.is_empty()) else { return Ok(()) };
        let group = (socket.clone(), line);
        let state = self.steerings.0.entry(group.clone()).or_insert_with(|| {
            State::new("an earlier manager left no descriptors of it".to_owned(), section.steering)
        });
        let before = state.saved.clone();
        state.steer(section, line, &live, &order, member)?;
        if state.saved != before {
            let saved = state.saved.clone();
            self.remember_steering(&group, &saved);
        }
        Ok(())
    }

    pub(super) fn share(&self, socket: &UnitName, section: &SocketSection, slot: u32) -> Option<Share> {
        let weight = match section.steering {
            sockmgr_unit::Steering::Weighted => self.engine.weight(socket, slot),
            sockmgr_unit::Steering::Hash | sockmgr_unit::Steering::Random | sockmgr_unit::Steering::Cpu => 1,
        };
        Some(Share { slot: u16::try_from(slot).ok()?, weight })
    }

    /// A listener that was shut down listens again: an eBPF program has lost sight of it.
    pub(super) fn reseat(&self, id: FdId) {
        let Some((socket, port, extended)) = self.extended_at(id) else { return };
        let (Some(slot), Some(fd)) = (slot_of(&port), self.descriptors.get(id)) else { return };
        if let Err(error) = extended.seat(slot, fd) {
            tracing::error!(unit = %socket, "slot {} gets no connections: {}", slot + 1, chain(&error));
        }
    }

    /// How many connections or datagrams were steered to a listener so far; only eBPF counts.
    pub(super) fn steered_to(&self, id: FdId) -> Option<u64> {
        let (_, port, extended) = self.extended_at(id)?;
        extended.steered(slot_of(&port)?).ok()
    }

    /// The eBPF program of the group that a listener is in.
    fn extended_at(&self, id: FdId) -> Option<(&UnitName, Port, &Extended)> {
        let socket = self.engine.unit_of_listener(id)?;
        let port = self.engine.open_ports(socket).find(|port| port.fd == id)?;
        match &self.steerings.0.get(&(socket.clone(), port.line))?.make {
            Make::Extended(extended) => Some((socket, port, extended)),
            Make::Classic => None,
        }
    }

    /// The listeners of a socket are closed.
    pub(super) fn end_steering(&mut self, socket: &UnitName) {
        let groups: Vec<Group> = self.steerings.of(socket).map(|(group, _)| group.clone()).collect();
        for group in &groups {
            self.steerings.0.remove(group);
        }
        if !groups.is_empty() {
            let held = |group: &Group| PARTS.map(|part| held_name(group, part));
            self.push(ToKeeper::Release { names: groups.iter().flat_map(held).collect() });
            self.releases += 1;
            self.push(ToKeeper::Erase { keys: groups.iter().map(key).collect() });
        }
    }

    /// Ends what an earlier manager left for sockets that are closed.
    pub(super) fn end_stray_steering(&mut self) {
        let sockets: BTreeSet<UnitName> = self.steerings.0.keys().map(|(socket, _)| socket.clone()).collect();
        for socket in sockets {
            if self.engine.open_ports(&socket).next().is_none() {
                self.end_steering(&socket);
            }
        }
    }

    /// How the first group of a socket is steered.
    pub(super) fn steering_of(&self, socket: &UnitName) -> Option<SteeringView> {
        let (group, state) = self.steerings.of(socket).next()?;
        let mut ports = self.engine.open_ports(socket);
        let listener =
            ports.find(|port| port.line == group.1).and_then(|port| self.descriptors.get(port.fd))?;
        let make = match state.make {
            Make::Classic => "classic",
            Make::Extended(_) => "ebpf",
        };
        Some(SteeringView {
            make,
            reason: state.saved.reason.clone(),
            migration: self.migration(socket, group.1, listener).as_str(),
        })
    }
}

/// Before further members of a group exist: they get no traffic until they are listed.
pub(super) fn close_all_but_first(member: BorrowedFd<'_>) -> Result<(), String> {
    let program = Program::compile(Steering::Hash, &[Share::equal(0)]).map_err(|error| chain(&error))?;
    steering::attach(member, &program).map_err(|error| format!("cannot steer the group: {}", chain(&error)))
}

/// The lines that are groups.
fn lines(ports: &[Port]) -> BTreeSet<usize> {
    ports.iter().filter(|port| port.slot.is_some()).map(|port| port.line).collect()
}

fn own(ports: &[Port], line: usize) -> impl Iterator<Item = &Port> {
    ports.iter().filter(move |port| port.line == line && port.slot.is_some())
}

fn slot_of(port: &Port) -> Option<u16> {
    u16::try_from(port.slot?).ok()
}

pub(super) fn is_datagram(section: &SocketSection, line: usize) -> bool {
    section.listen.get(line).is_some_and(|listen| listen.kind == ListenKind::Datagram)
}

pub(super) fn by(steering: sockmgr_unit::Steering) -> Steering {
    match steering {
        sockmgr_unit::Steering::Hash => Steering::Hash,
        sockmgr_unit::Steering::Random => Steering::Random,
        sockmgr_unit::Steering::Cpu => Steering::Cpu,
        sockmgr_unit::Steering::Weighted => Steering::Weighted,
    }
}

/// Why the kernel takes no eBPF program.
fn refusal(error: &SysError) -> String {
    match error.errno() {
        libc::EPERM | libc::EACCES => "bpf(2) is not permitted".to_owned(),
        libc::ENOSYS => "the kernel has no bpf(2)".to_owned(),
        libc::EINVAL => "the kernel knows no such eBPF programs".to_owned(),
        _ => chain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_told_from_the_rest() {
        let group: Group = ("a web.socket".replace(' ', "-").parse().unwrap(), 2);
        assert_eq!(parse_key(&key(&group)), Some(group.clone()));
        assert_eq!(parse_key("web.socket"), None);
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let names = ["fd 3", "notify", "steering", "tty"].map(str::to_owned);
        let mut fds: BTreeMap<String, OwnedFd> = names.iter().map(|name| (name.clone(), null())).collect();
        fds.extend(PARTS.map(|part| (held_name(&group, part), null())));
        let saved = State::new("why".to_owned(), sockmgr_unit::Steering::Cpu).saved;
        let mut values =
            vec![(key(&group), postcard::to_stdvec(&saved).unwrap()), ("web.socket".to_owned(), vec![1])];
        let taken = Steerings::take_up(&mut fds, &mut values);
        assert_eq!(fds.into_keys().collect::<Vec<_>>(), names);
        assert_eq!(values, [("web.socket".to_owned(), vec![1])]);
        let state = &taken.0[&group];
        assert!(matches!(state.make, Make::Extended(_)));
        assert_eq!(state.saved, saved);
    }
}
