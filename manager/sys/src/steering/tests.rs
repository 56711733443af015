//! Programs in the kernel, with real sockets: who gets what.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use super::*;
use crate::listener::{self, BindIpv6Only, ListenAddress, ListenerSpec, SocketKind};
use crate::queue;

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

/// How many of `count` new connections each member of a TCP group gets.
fn connections(members: &[OwnedFd], address: SocketAddr, count: usize) -> Vec<usize> {
    let before = waiting(members);
    for _ in 0..count {
        // Closed at once: it still waits in the queue, and the port is new each time.
        drop(TcpStream::connect(address).unwrap());
    }
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
            // 35 % of a share of 200 is more than five standard deviations: chance alone fails no test.
            for live in [&[0, 1, 2, 3][..], &[1, 3], &[2], &[0, 2, 3]] {
                attach(members[0].as_fd(), &Program::compile(steering, live).unwrap()).unwrap();
                let counts = connections(&members, address, 800);
                assert_fair(&counts, live, 800);
            }
        }
    }
}

#[test]
fn a_group_for_both_families_spreads_both() {
    let (members, address) = group(SocketKind::Stream, "[::]:0", 4);
    attach(members[3].as_fd(), &Program::compile(Steering::Hash, &[0, 1, 2, 3]).unwrap()).unwrap();
    for ip in ["127.0.0.1", "::1"] {
        assert_fair(&connections(&members, loopback(address, ip), 800), &[0, 1, 2, 3], 800);
    }
}

#[test]
fn the_cpu_picks_its_own_slot_or_any() {
    let (members, address) = group(SocketKind::Stream, "127.0.0.1:0", 64);
    let cpus = std::thread::available_parallelism().unwrap().get();
    let all: Vec<u16> = (0..64).collect();
    attach(members[0].as_fd(), &Program::compile(Steering::Cpu, &all).unwrap()).unwrap();
    let counts = connections(&members, address, 100);
    if cpus <= 64 {
        assert_eq!(counts[..cpus].iter().sum::<usize>(), 100, "{counts:?}");
    }
    let beyond: Vec<u16> = (60..64).collect();
    if cpus <= 60 {
        attach(members[0].as_fd(), &Program::compile(Steering::Cpu, &beyond).unwrap()).unwrap();
        assert_fair(&connections(&members, address, 800), &beyond, 800);
    }
}

#[test]
fn gaps_in_the_list_are_skipped() {
    let (members, address) = group(SocketKind::Stream, "127.0.0.1:0", 12);
    let live = [11, 0, 2, 3, 7, 7];
    for steering in [Steering::Random, Steering::Hash] {
        attach(members[5].as_fd(), &Program::compile(steering, &live).unwrap()).unwrap();
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
        attach(members[0].as_fd(), &Program::compile(Steering::Hash, &live).unwrap()).unwrap();
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
            let got: Vec<usize> =
                members.iter().map(|member| queue::flush(member.as_fd()).unwrap()).collect();
            let slot = got.iter().position(|count| *count > 0).unwrap();
            assert_eq!(got[slot], 3, "one flow, several slots: {got:?}");
            counts[slot] += 1;
        }
        assert_fair(&counts, &live, 480);
    }
}

#[test]
fn programs_are_short_where_they_can_be() {
    let length = |steering, live: &[u16]| Program::compile(steering, live).unwrap().length();
    assert_eq!(length(Steering::Hash, &[5]), 1);
    assert_eq!(length(Steering::Random, &(0..1000).collect::<Vec<_>>()), 3);
    assert_eq!(length(Steering::Random, &(7..1000).collect::<Vec<_>>()), 4);
    assert_eq!(length(Steering::Random, &[0, 1, 5, 6]), 6);
    assert!(length(Steering::Hash, &[0, 1]) < 64);
}

#[test]
fn what_cannot_be_steered_is_an_error() {
    assert_eq!(Program::compile(Steering::Hash, &[]), Err(SteeringError::NoLiveSlot));
    let scattered: Vec<u16> = (0..4000).step_by(2).collect();
    assert_eq!(Program::compile(Steering::Hash, &scattered), Err(SteeringError::TooManyRuns(2000)));
    let program = Program::compile(Steering::Hash, &[0]).unwrap();
    let alone = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(attach(alone.as_fd(), &program).unwrap_err().errno(), libc::EINVAL);
}

#[test]
fn the_longest_program_is_taken() {
    let (members, address) = group(SocketKind::Stream, "127.0.0.1:0", 2);
    let scattered: Vec<u16> = (0..2700).step_by(2).collect();
    let program = Program::compile(Steering::Random, &scattered).unwrap();
    assert!(program.length() > 4000);
    attach(members[0].as_fd(), &program).unwrap();
    TcpStream::connect(address).unwrap();
}
