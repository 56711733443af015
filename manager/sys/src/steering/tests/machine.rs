//! Classic programs, run by a machine of our own on packets that we make up: each number of a range finds its slot, whatever the shape
//! of the table.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What the kernel knows beside the packet.
#[derive(Clone, Copy, Debug)]
struct Beside {
    cpu: u32,
    random: u32,
}

/// Runs a program as the kernel does (`___bpf_prog_run` of the translated one): loads reach the network header and what is beside.
fn run(program: &Program, packet: &[u8], beside: Beside) -> u32 {
    let (mut a, mut x, mut at) = (0u32, 0u32, 0usize);
    let byte = |offset: usize| u32::from(packet[offset]);
    let load = |k: u32, width: usize| match k.cast_signed() {
        k if k == libc::SKF_AD_OFF + 36 => beside.cpu,
        k if k == libc::SKF_AD_OFF + 56 => beside.random,
        k => {
            let offset = usize::try_from(k - libc::SKF_NET_OFF).unwrap();
            (offset..offset + width).fold(0, |word, offset| word << 8 | byte(offset))
        }
    };
    loop {
        let instruction = program.instructions[at];
        let k = instruction.k;
        at += 1;
        match instruction.code {
            0x20 => a = load(k, 4),
            0x30 => a = load(k, 1),
            0x40 => a = load(k.wrapping_add(x), 4),
            0xb1 => x = 4 * (load(k, 1) & 15),
            0x04 => a = a.wrapping_add(k),
            0x24 => a = a.wrapping_mul(k),
            0x94 => a %= k,
            0x74 => a >>= k,
            0xac => a ^= x,
            0x07 => x = a,
            0x87 => a = x,
            0x05 => at += k as usize,
            0x15 => at += usize::from(if a == k { instruction.jt } else { instruction.jf }),
            0x35 => at += usize::from(if a >= k { instruction.jt } else { instruction.jf }),
            0x06 => return k,
            0x16 => return a,
            code => panic!("no such instruction: {code:#x}"),
        }
    }
}

fn ipv4(source: u32, ports: u32, words_of_options: u8) -> Vec<u8> {
    let mut packet = vec![0x45 + words_of_options];
    packet.resize(12, 0);
    packet.extend(source.to_be_bytes());
    packet.resize(20 + 4 * usize::from(words_of_options), 0);
    packet.extend(ports.to_be_bytes());
    packet
}

fn ipv6(source: u128, ports: u32, next_header: u8) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next_header, 64];
    packet.extend(source.to_be_bytes());
    packet.resize(40, 0);
    packet.extend(ports.to_be_bytes());
    packet
}

fn packets() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (any::<u32>(), any::<u32>(), 0u8..11)
            .prop_map(|(source, ports, options)| ipv4(source, ports, options)),
        (any::<u128>(), any::<u32>(), any::<u8>())
            .prop_map(|(source, ports, next)| ipv6(source, ports, next)),
    ]
}

fn anything() -> impl Strategy<Value = Beside> {
    (any::<u32>(), any::<u32>()).prop_map(|(cpu, random)| Beside { cpu: cpu % 100, random })
}

const ALL: [Steering; 4] = [Steering::Hash, Steering::Random, Steering::Cpu, Steering::Weighted];

proptest! {
    #[test]
    fn only_live_slots_are_answered(
        live in prop::collection::btree_map(0u16..600, 1u32..10_000, 1..256),
        packet in packets(),
        beside in anything(),
    ) {
        let shares: Vec<Share> = live.iter().map(|(slot, weight)| Share { slot: *slot, weight: *weight }).collect();
        for steering in ALL {
            let program = Program::compile(steering, &shares).unwrap();
            let answer = run(&program, &packet, beside);
            prop_assert!(live.keys().any(|slot| u32::from(*slot) == answer), "{steering:?} answers {answer}");
        }
    }

    #[test]
    fn each_live_slot_has_its_turn(live in prop::collection::btree_set(0u16..600, 1..256)) {
        let slots: Vec<u16> = live.iter().copied().collect();
        let program = compile(Steering::Random, &slots);
        let answer = |random| run(&program, &[], Beside { cpu: 0, random });
        let answers: Vec<u32> = (0..slots.len() as u32).map(answer).collect();
        prop_assert_eq!(answers, slots.iter().copied().map(u32::from).collect::<Vec<_>>());
    }

    #[test]
    fn a_live_cpu_is_its_own_slot(live in prop::collection::btree_set(0u16..100, 2..64), beside in anything()) {
        let slots: Vec<u16> = live.iter().copied().collect();
        let answer = run(&compile(Steering::Cpu, &slots), &[], beside);
        if slots.iter().any(|slot| u32::from(*slot) == beside.cpu) {
            prop_assert_eq!(answer, beside.cpu);
        }
    }

    #[test]
    fn buckets_find_their_owners_at_the_index_of_the_slot(
        live in prop::collection::btree_map(0u16..256, 1u32..1000, 1..256),
        packet in packets(),
    ) {
        let shares: Vec<Share> = live.iter().map(|(slot, weight)| Share { slot: *slot, weight: *weight }).collect();
        let mut buckets = Buckets::default();
        buckets.assign(&shares);
        let program = Program::of_buckets(&buckets, |slot| 1000 - slot).unwrap();
        prop_assert!(program.length() < 1200);
        let index = run(&program, &packet, Beside { cpu: 0, random: 0 });
        let bucket = run(&Program::of_buckets(&identity(), |slot| slot).unwrap(), &packet, Beside { cpu: 0, random: 0 });
        prop_assert_eq!(1000 - index, u32::from(buckets.owners().unwrap()[bucket as usize]));
    }
}

/// Every bucket is a slot of its own.
fn identity() -> Buckets {
    let mut buckets = Buckets::default();
    buckets.assign(&(0..256).map(Share::equal).collect::<Vec<_>>());
    let owners = buckets.owners().unwrap();
    assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), BUCKETS);
    buckets
}

#[test]
fn hashes_spread_the_ports_that_clients_use() {
    let program = compile(Steering::Hash, &[0, 1, 2, 3]);
    for step in [1, 2, 4] {
        let mut counts = BTreeMap::<u32, u32>::new();
        for number in 0..4000 {
            let ports = (32768 + number * step) << 16 | 443;
            let packet = ipv4(0x0a00_0001, ports, 0);
            *counts.entry(run(&program, &packet, Beside { cpu: 0, random: 0 })).or_default() += 1;
        }
        assert!(counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
