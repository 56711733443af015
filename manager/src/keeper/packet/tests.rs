//! Everything that is pushed comes out, whatever the packets look like and whatever gets lost.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sockmgr_sys::child::{ExitStatus, KillScope};
use sockmgr_sys::spawn::{Credentials, ResourceLimit, SpawnPlan, SpawnStep, Stdio};

use super::*;
use crate::protocol::{ProcessId, ToKeeper, ToManager};

/// Descriptors are numbers here; this one stands for the file of an oversize packet.
const FILE: u32 = u32::MAX;

fn plan() -> impl Strategy<Value = SpawnPlan> {
    let strings = || vec("[ -~]{0,20}".prop_map(|text| std::ffi::CString::new(text).unwrap()), 0..20);
    let stdio = prop_oneof![Just(Stdio::Null), Just(Stdio::Inherit), any::<u16>().prop_map(Stdio::Fd)];
    (strings(), strings(), 0..600u16, stdio, any::<Option<bool>>(), any::<Option<u32>>()).prop_map(
        |(argv, envp, fds, stdin, nonblocking, umask)| SpawnPlan {
            argv,
            envp,
            fds,
            stdin,
            nonblocking,
            umask,
            credentials: umask.map(|uid| Credentials { uid: Some(uid), gid: 7, groups: Some(vec![uid, 9]) }),
            rlimits: vec![ResourceLimit { resource: 7, soft: u64::MAX, hard: 0 }],
            ..SpawnPlan::default()
        },
    )
}

fn to_keeper() -> impl Strategy<Value = ToKeeper> {
    let id = || any::<u64>().prop_map(ProcessId);
    let scope = prop_oneof![Just(KillScope::Main), Just(KillScope::Session)];
    prop_oneof![
        vec("[a-z]{1,9}", 0..600).prop_map(|names| ToKeeper::Hold { names }),
        vec("[a-z]{1,9}", 0..9).prop_map(|names| ToKeeper::Release { names }),
        (id(), ".{0,20}", plan())
            .prop_map(|(process, tag, plan)| { ToKeeper::Spawn { process, tag, plan: Box::new(plan) } }),
        (id(), any::<i32>(), scope).prop_map(|(process, signal, scope)| ToKeeper::Kill {
            process,
            signal,
            scope
        }),
        vec(id(), 0..9).prop_map(|processes| ToKeeper::Forget { processes }),
        ("[a-z]{1,9}", 0..200_000usize).prop_map(|(key, length)| {
            let value = (0..=255).cycle().take(length).collect();
            ToKeeper::Remember { key, value }
        }),
        Just(ToKeeper::Ready),
        ".{0,20}".prop_map(ToKeeper::Status),
        Just(ToKeeper::Goodbye),
    ]
}

/// Sends what is in the outbox to the inbox and reads it. `keep` says how many descriptors of each packet arrive.
fn carry<M: Message>(
    outbox: &mut Outbox<u32>,
    inbox: &mut Inbox<u32>,
    keep: impl Fn(usize) -> usize,
) -> Result<Vec<Received<M, u32>>, MalformedPacket> {
    let mut received = Vec::new();
    while let Some(packet) = outbox.front() {
        assert!(packet.fds.len() <= FDS_MAX);
        let mut fds = packet.fds.clone();
        fds.truncate(keep(fds.len()));
        if packet.is_oversize() {
            fds.insert(0, FILE);
            let sent = packet.header_for_file();
            inbox.buffer()[..sent.len()].copy_from_slice(&sent);
            assert_eq!(inbox.take_packet(sent.len(), fds)?, Some(FILE));
            inbox.take_file(packet.bytes.clone());
        } else {
            inbox.buffer()[..packet.bytes.len()].copy_from_slice(&packet.bytes);
            assert_eq!(inbox.take_packet(packet.bytes.len(), fds)?, None);
        }
        while let Some(message) = inbox.next()? {
            received.push(message);
        }
        outbox.pop_front();
    }
    Ok(received)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_and_descriptors_come_out_as_they_went_in(
        turns in vec(vec(to_keeper(), 0..20), 1..4),
        share in 0..=4usize,
    ) {
        let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
        let mut number = 0;
        for messages in turns {
            let mut wanted = Vec::new();
            for message in messages {
                let count = u32::try_from(message.fd_count()).unwrap();
                let fds: Vec<u32> = (number..number + count).collect();
                number += count;
                outbox.push(&message, fds.clone());
                wanted.push((message, fds));
            }
            let received = carry::<ToKeeper>(&mut outbox, &mut inbox, |sent| sent * share / 4).unwrap();
            prop_assert_eq!(received.len(), wanted.len());
            for ((message, fds), (wanted, wanted_fds)) in received.into_iter().zip(wanted) {
                prop_assert_eq!(message, wanted);
                prop_assert_eq!(fds.len(), wanted_fds.len());
                for (fd, wanted) in fds.into_iter().zip(wanted_fds) {
                    prop_assert!(fd == Some(wanted) || (fd.is_none() && share < 4), "{:?} {}", fd, wanted);
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200), fds in vec(any::<u32>(), 0..5)) {
        let mut inbox = Inbox::new();
        inbox.buffer()[..bytes.len()].copy_from_slice(&bytes);
        if let Ok(None) = inbox.take_packet(bytes.len(), fds) {
            while let Ok(Some(_)) = inbox.next::<ToKeeper>() {}
        }
    }
}

#[test]
fn a_turn_is_one_packet() {
    let mut outbox = Outbox::new();
    for number in 0..1000 {
        let process = ProcessId(number);
        outbox.push(&ToManager::Spawned { process, pid: 4711 }, Vec::<u32>::new());
        outbox.push(
            &ToManager::Exited { process, status: ExitStatus::Exited(0), leaves_others: false },
            Vec::new(),
        );
    }
    assert!(outbox.front().is_some());
    outbox.pop_front();
    assert!(outbox.front().is_none());
}

#[test]
fn every_answer_of_the_keeper_survives() {
    let process = ProcessId(u64::MAX);
    let messages = [
        ToManager::Hello { version: 1, restarts: 2 },
        ToManager::Held { name: "a".into() },
        ToManager::Remembered { key: "k".into(), value: vec![0, 255] },
        ToManager::Process {
            process,
            tag: "t".into(),
            pid: 5,
            exit: Some(ExitStatus::Dumped(11)),
            leaves_others: true,
        },
        ToManager::Restored,
        ToManager::Spawned { process, pid: 6 },
        ToManager::SpawnFailed { process, step: SpawnStep::Exec, errno: 2 },
        ToManager::Exited { process, status: ExitStatus::Killed(9), leaves_others: true },
        ToManager::LeftGone { process },
        ToManager::Signal(15),
        ToManager::NotHeld { name: "b".into() },
    ];
    let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
    for message in &messages {
        outbox.push(message, vec![1; message.fd_count()]);
    }
    let received = carry::<ToManager>(&mut outbox, &mut inbox, |sent| sent).unwrap();
    assert_eq!(received.into_iter().map(|(message, _)| message).collect::<Vec<_>>(), messages);
}

#[test]
fn descriptors_lost_in_one_packet_are_nobody_elses() {
    let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
    let hold = |name: &str| ToKeeper::Hold { names: vec![name.into()] };
    outbox.push(&hold("lost"), vec![1]);
    let lost = carry::<ToKeeper>(&mut outbox, &mut inbox, |_| 0).unwrap();
    assert_eq!(lost, [(hold("lost"), vec![None])]);
    outbox.push(&hold("kept"), vec![2]);
    let kept = carry::<ToKeeper>(&mut outbox, &mut inbox, |sent| sent).unwrap();
    assert_eq!(kept, [(hold("kept"), vec![Some(2)])]);
}

#[test]
fn what_is_no_packet_is_said() {
    let cases: HashMap<&[u8], &str> = HashMap::from([
        (&[][..], "shorter than its header"),
        (&[9, 0, 0][..], "unknown kind"),
        (&[KIND_FILE, 0, 0][..], "no descriptor left for its file"),
    ]);
    for (bytes, wanted) in cases {
        let mut inbox = Inbox::<u32>::new();
        inbox.buffer()[..bytes.len()].copy_from_slice(bytes);
        assert_eq!(inbox.take_packet(bytes.len(), Vec::new()), Err(MalformedPacket(wanted)));
    }
}
