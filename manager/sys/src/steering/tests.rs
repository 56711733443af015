//! Programs of both makes in the kernel, with real sockets: who gets what. And classic ones in a machine of our own.

mod machine;
mod unprivileged;

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use super::*;
use crate::listener::{self, BindIpv6Only, ListenAddress, ListenerSpec, SocketKind};
use crate::netns::tests::in_new_namespace;
use crate::queue;
use crate::wait::until;

/// A reuseport group of `count` sockets, in slot order, and the address to reach it.
fn group(kind: SocketKind, address: &str, count: usize) -> (Vec<OwnedFd>, SocketAddr) {
    let mut spec = ListenerSpec::new(kind, ListenAddress::Inet(address.parse().unwrap()));
    (spec.reuse_port, spec.bind_ipv6_only) = (true, BindIpv6Only::Both);
    let mut members = Vec::new();
    for _ in 0..count {
        let member = listener::open(&spec).unwrap().fd;
        spec.address = listener::local_address(member.as_fd()).unwrap();
        members.push(member);
    }
    match spec.address {
        ListenAddress::Inet(address) => (members, address),
        other => panic!("{other} is no internet address"),
    }
}

fn shares(live: &[u16]) -> Vec<Share> {
    live.iter().copied().map(Share::equal).collect()
}

fn compile(steering: Steering, live: &[u16]) -> Program {
    Program::compile(steering, &shares(live)).unwrap()
}

/// Both makes of steering, as tests use them.
enum Make {
    Classic,
    Extended(Extended),
}

impl Make {
    /// Each, for the same group.
    fn both(steering: Steering, members: &[OwnedFd]) -> [Self; 2] {
        [Self::Classic, Self::Extended(extended(steering, members))]
    }

    fn steer(&self, members: &[OwnedFd], steering: Steering, live: &[Share]) {
        match self {
            Self::Classic => {
                attach(members[0].as_fd(), &Program::compile(steering, live).unwrap()).unwrap();
            }
            Self::Extended(extended) => {
                extended.turn(&Wheel::new(steering, live).unwrap()).unwrap();
                extended.attach(members[0].as_fd()).unwrap();
            }
        }
    }
}

/// The eBPF make, with each member in the slot of its number.
fn extended(steering: Steering, members: &[OwnedFd]) -> Extended {
    let extended = Extended::load(steering, members.len().try_into().unwrap()).unwrap();
    for (slot, member) in (0..).zip(members) {
        extended.seat(slot, member.as_fd()).unwrap();
    }
    extended
}

/// How many of `count` new connections each member of a TCP group gets.
fn connections(members: &[OwnedFd], address: SocketAddr, count: usize) -> Vec<usize> {
    let before = waiting(members);
    for _ in 0..count {
        // Closed at once: it still waits in the queue, and the port is new each time.
        drop(TcpStream::connect(address).unwrap());
    }
    let total = before.iter().sum::<usize>() + count;
    until(&total, || waiting(members).iter().sum());
    waiting(members).iter().zip(before).map(|(now, before)| now - before).collect()
}

fn waiting(members: &[OwnedFd]) -> Vec<usize> {
    let level = |member: &OwnedFd| queue::level(member.as_fd()).unwrap().unwrap().used as usize;
    members.iter().map(level).collect()
}

/// Asserts that the live members share `total` within ±35 %, and that the others have nothing.
fn assert_fair(counts: &[usize], live: &[u16], total: usize) {
    let fair = total as f64 / live.len() as f64;
    for (slot, count) in (0u16..).zip(counts) {
        if live.contains(&slot) {
            assert!((0.65 * fair..=1.35 * fair).contains(&(*count as f64)), "slot {slot} of {counts:?}");
        } else {
            assert_eq!(*count, 0, "slot {slot} is not live: {counts:?}");
        }
    }
}

fn loopback(address: SocketAddr, ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), address.port())
}

#[test]
fn tcp_goes_to_live_slots_only_and_fairly() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        for steering in [Steering::Hash, Steering::Random] {
            let (members, address) = group(SocketKind::Stream, address, 4);
            for make in Make::both(steering, &members) {
                // 35 % of a share of 200 is more than five standard deviations: chance alone fails no test.
                for live in [&[0, 1, 2, 3][..], &[1, 3], &[2], &[0, 2, 3]] {
                    make.steer(&members, steering, &shares(live));
                    assert_fair(&connections(&members, address, 800), live, 800);
                }
            }
        }
    }
}

#[test]
fn weights_make_shares() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (members, address) = group(SocketKind::Stream, address, 4);
        let live =
            [Share { slot: 0, weight: 100 }, Share { slot: 1, weight: 300 }, Share { slot: 3, weight: 100 }];
        for make in Make::both(Steering::Weighted, &members) {
            make.steer(&members, Steering::Weighted, &live);
            let counts = connections(&members, address, 1000);
            assert!((540..660).contains(&counts[1]), "three fifths: {counts:?}");
            assert!((140..260).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
        }
    }
}

#[test]
fn what_was_steered_is_counted() {
    let (members, address) = group(SocketKind::Stream, "127.0.0.1:0", 2);
    let extended = extended(Steering::Hash, &members);
    extended.turn(&Wheel::new(Steering::Hash, &shares(&[0, 1])).unwrap()).unwrap();
    extended.attach(members[1].as_fd()).unwrap();
    let counts = connections(&members, address, 100);
    for (slot, count) in (0..).zip(&counts) {
        assert_eq!(extended.steered(slot).unwrap(), *count as u64, "{counts:?}");
    }
}

#[test]
fn waiting_connections_migrate_to_live_slots_without_the_setting() {
    let (members, address) = in_new_namespace(|| {
        let (members, address) = group(SocketKind::Stream, "127.0.0.1:80", 3);
        let extended = extended(Steering::Hash, &members);
        assert!(extended.migrates());
        extended.attach(members[0].as_fd()).unwrap();
        let to = |slot| extended.turn(&Wheel::new(Steering::Hash, &shares(&[slot])).unwrap()).unwrap();
        to(1);
        let clients: Vec<_> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
        until(&vec![0, 50, 0], || waiting(&members));
        to(0);
        crate::migration::hand_over(members[1].as_fd()).unwrap();
        crate::listener::listen_again(members[1].as_fd(), 128).unwrap();
        until(&vec![50, 0, 0], || waiting(&members));
        // It comes back into its slot, though the kernel has it elsewhere now.
        extended.seat(1, members[1].as_fd()).unwrap();
        to(1);
        let more: Vec<_> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
        until(&vec![50, 5, 0], || waiting(&members));
        drop((clients, more));
        (members, address)
    });
    drop((members, address));
}

#[test]
fn a_group_is_taken_up_again_by_its_descriptors() {
    let (members, address) = group(SocketKind::Stream, "127.0.0.1:0", 2);
    let first = extended(Steering::Hash, &members);
    first.turn(&Wheel::new(Steering::Hash, &shares(&[0])).unwrap()).unwrap();
    first.attach(members[0].as_fd()).unwrap();
    let copy = |fd: &OwnedFd| fd.try_clone().unwrap();
    let fds = first.fds();
    let fds = ExtendedFds {
        program: copy(&fds.program),
        sockets: copy(&fds.sockets),
        wheels: copy(&fds.wheels),
        counts: copy(&fds.counts),
    };
    drop(first);
    let second = Extended::from_fds(fds, true);
    assert_eq!(connections(&members, address, 10), [10, 0]);
    second.turn(&Wheel::new(Steering::Hash, &shares(&[1])).unwrap()).unwrap();
    assert_eq!(connections(&members, address, 10), [0, 10]);
    // A socket is in one map alone: without the descriptors there is no way to a second one.
    let other = Extended::load(Steering::Hash, 2).unwrap();
    assert_eq!(other.seat(0, members[0].as_fd()).unwrap_err().errno(), libc::EBUSY);
}

#[test]
fn a_group_for_both_families_spreads_both() {
    let (members, address) = group(SocketKind::Stream, "[::]:0", 4);
    for make in Make::both(Steering::Hash, &members) {
        make.steer(&members, Steering::Hash, &shares(&[0, 1, 2, 3]));
        for ip in ["127.0.0.1", "::1"] {
            assert_fair(&connections(&members, loopback(address, ip), 800), &[0, 1, 2, 3], 800);
        }
    }
}

#[test]
fn the_cpu_picks_its_own_slot_or_any() {
    let (members, address) = group(SocketKind::Stream, "127.0.0.1:0", 64);
    let cpus = std::thread::available_parallelism().unwrap().get();
    let all: Vec<u16> = (0..64).collect();
    let beyond: Vec<u16> = (60..64).collect();
    for make in Make::both(Steering::Cpu, &members) {
        make.steer(&members, Steering::Cpu, &shares(&all));
        let counts = connections(&members, address, 100);
        if cpus <= 64 {
            assert_eq!(counts[..cpus].iter().sum::<usize>(), 100, "{counts:?}");
        }
        if cpus <= 60 {
            make.steer(&members, Steering::Cpu, &shares(&beyond));
            assert_fair(&connections(&members, address, 800), &beyond, 800);
        }
    }
}

#[test]
fn gaps_in_the_list_are_skipped() {
    let (members, address) = group(SocketKind::Stream, "127.0.0.1:0", 12);
    let live = [11, 0, 2, 3, 7, 7];
    for steering in [Steering::Random, Steering::Hash] {
        attach(members[5].as_fd(), &compile(steering, &live)).unwrap();
        assert_fair(&connections(&members, address, 1000), &[0, 2, 3, 7, 11], 1000);
    }
}

#[test]
fn datagrams_of_one_flow_stay_with_one_slot() {
    for (bound, ip) in
        [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1"), ("[::]:0", "::1")]
    {
        let (members, address) = group(SocketKind::Datagram, bound, 4);
        let live = [0, 1, 3];
        for make in Make::both(Steering::Hash, &members) {
            make.steer(&members, Steering::Hash, &shares(&live));
            let mut counts = vec![0; 4];
            for flow in 0..480 {
                let client = UdpSocket::bind((ip, 0)).unwrap();
                // Connected and unconnected senders take different paths through the kernel.
                for _ in 0..3 {
                    if flow % 2 == 0 {
                        client.send_to(b"x", loopback(address, ip)).unwrap();
                    } else {
                        client.connect(loopback(address, ip)).unwrap();
                        client.send(b"x").unwrap();
                    }
                }
                counts[receiver(&members, 3)] += 1;
            }
            assert_fair(&counts, &live, 480);
        }
    }
}

/// The member that has got `count` datagrams; all others have none.
fn receiver(members: &[OwnedFd], count: usize) -> usize {
    let got: Vec<usize> = members.iter().map(|member| queue::flush(member.as_fd()).unwrap()).collect();
    let slot = got.iter().position(|count| *count > 0).unwrap();
    assert_eq!(got[slot], count, "one flow, several slots: {got:?}");
    slot
}

#[test]
fn only_the_flows_of_the_slot_that_changes_move() {
    for (address, ip) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let (members, address) = group(SocketKind::Datagram, address, 4);
        let flows: Vec<UdpSocket> = (0..200).map(|_| UdpSocket::bind((ip, 0)).unwrap()).collect();
        let receivers = || -> Vec<usize> {
            let send = |flow: &UdpSocket| {
                flow.send_to(b"x", address).unwrap();
                receiver(&members, 1)
            };
            flows.iter().map(send).collect()
        };
        for make in Make::both(Steering::Hash, &members) {
            let mut buckets = Buckets::default();
            let mut steer = |live: &[u16]| {
                buckets.assign(&shares(live));
                match &make {
                    Make::Classic => {
                        attach(members[0].as_fd(), &Program::of_buckets(&buckets, |slot| slot).unwrap())
                            .unwrap()
                    }
                    Make::Extended(extended) => {
                        extended.turn(&Wheel::of_buckets(&buckets).unwrap()).unwrap();
                        extended.attach(members[0].as_fd()).unwrap();
                    }
                }
                receivers()
            };
            let full = steer(&[0, 1, 2, 3]);
            let without = steer(&[0, 1, 3]);
            assert!(full.contains(&2) && !without.contains(&2));
            for (before, after) in full.iter().zip(&without) {
                assert!(before == after || *before == 2, "{before} → {after}");
            }
            for (before, after) in without.iter().zip(steer(&[0, 1, 2, 3])) {
                assert!(*before == after || after == 2, "{before} → {after}");
            }
        }
    }
}

#[test]
fn programs_are_short_where_they_can_be() {
    let length = |steering, live: &[u16]| compile(steering, live).length();
    assert_eq!(length(Steering::Hash, &[5]), 1);
    assert_eq!(length(Steering::Random, &(0..1000).collect::<Vec<_>>()), 3);
    assert_eq!(length(Steering::Random, &(7..1000).collect::<Vec<_>>()), 4);
    assert_eq!(length(Steering::Random, &[0, 1, 5, 6]), 6);
    assert!(length(Steering::Hash, &[0, 1]) < 64);
}

#[test]
fn what_cannot_be_steered_is_an_error() {
    assert_eq!(Program::compile(Steering::Hash, &[]), Err(SteeringError::NoLiveSlot));
    let scattered: Vec<Share> = (0..4000).step_by(2).map(Share::equal).collect();
    assert_eq!(Program::compile(Steering::Hash, &scattered), Err(SteeringError::TooManyRuns(2000)));
    let program = compile(Steering::Hash, &[0]);
    let alone = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(attach(alone.as_fd(), &program).unwrap_err().errno(), libc::EINVAL);
}

#[test]
fn the_longest_program_is_taken() {
    let (members, address) = group(SocketKind::Stream, "127.0.0.1:0", 2);
    let scattered: Vec<u16> = (0..2700).step_by(2).collect();
    let program = compile(Steering::Random, &scattered);
    assert!(program.length() > 4000);
    attach(members[0].as_fd(), &program).unwrap();
    TcpStream::connect(address).unwrap();
}
