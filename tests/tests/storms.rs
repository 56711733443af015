//! Services that behave badly in every way at once: the manager stays small, and answers.

use std::time::{Duration, Instant};

use sockmgr_tests::command::tool;
use sockmgr_tests::kernel::Process;
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::{until, until_within};

/// What both processes of the manager may ever have had, in kB.
const MEMORY: u64 = 30_000;
/// Within which `sockmgr status` answers while all storms rage: five times what is promised, for this is no optimised build, and
/// the machine may be busy with other tests.
const ANSWER: Duration = Duration::from_millis(500);
/// Children that end at once, half of them orphans: the keeper reaps those.
const FORKS: &str =
    "i=0\nwhile [ $i -lt 5000 ]; do (: &) ; i=$((i+1)); done\n: >{dir}/forked\nexec sleep 1000\n";
const NOTIFY: &str = r#"
import os, socket
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
to.connect(os.environ["NOTIFY_SOCKET"])
to.send(b"READY=1")
while True:
    to.send(b"STATUS=" + b"x" * 3000 + b"\nWATCHDOG=1")
    to.send(b"\0\xff\nMAINPID=1\nERRNO=-1\nEXTEND_TIMEOUT_USEC=-1")
"#;

fn storms(site: &Site) {
    let forks = site.file("forks", FORKS);
    site.unit("forks.service", &format!("[Service]\nExecStart=/bin/sh {}\n", forks.display()));
    let python = tool("python3");
    let notify = site.file("notify.py", NOTIFY);
    let lines = "Type=notify\nNotifyAccess=all\nWatchdogSec=60";
    site.unit(
        "notify.service",
        &format!("[Service]\n{lines}\nExecStart={} {}\n", python.display(), notify.display()),
    );
    site.unit("print.service", "[Service]\nExecStart=/usr/bin/yes\n");
    let deaf = site.file("deaf", "trap '' TERM\n: >{dir}/deaf-now\nwhile :; do sleep 1; done\n");
    site.unit(
        "deaf.service",
        &format!("[Service]\nTimeoutStopSec=1s\nExecStart=/bin/sh {}\n", deaf.display()),
    );
    let tree = "for i in 1 2 3 4 5; do setsid sh -c 'sleep 1000 & setsid sleep 1000 & wait' & done\nwait\n";
    let tree = site.file("tree", tree);
    site.unit(
        "tree.service",
        &format!(
            "[Service]\nRestart=always\nRestartSec=50ms\nStartLimitBurst=0\nExecStart=/bin/sh {}\n",
            tree.display()
        ),
    );
}

/// How long `status` takes, in the middle of several.
fn answers_within(manager: &Manager<'_>, unit: &str) -> Duration {
    let mut took: Vec<Duration> = (0..9)
        .map(|_| {
            let begin = Instant::now();
            let status = manager.sockmgr(&["status", "--no-pager", unit]);
            let took = begin.elapsed();
            assert!(status.stdout.contains(unit), "{status}");
            took
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

fn peak(process: Process) -> u64 {
    process.status("VmHWM").unwrap().trim_end_matches("kB").trim().parse().unwrap()
}

fn sleepers(root: Process) -> Vec<Process> {
    let is_sleep = |process: &Process| process.program().is_some_and(|program| program.ends_with("sleep"));
    root.descendants().into_iter().filter(is_sleep).collect()
}

#[test]
fn the_manager_stays_small_and_answers_whatever_services_do() {
    let site = Site::new();
    storms(&site);
    let manager = Setup::new(&site).start();
    for unit in ["notify.service", "print.service", "deaf.service", "tree.service", "forks.service"] {
        manager.up(unit);
    }
    let units = ["forks.service", "notify.service", "print.service"];
    let took = units.map(|unit| answers_within(&manager, unit));
    // kill -9, to one with all its tree and its successor.
    for _ in 0..3 {
        let root = manager.main_process("tree.service");
        until("the tree is grown", || sleepers(root).len() == 10);
        let tree = root.descendants();
        root.kill();
        until("it is gone, all of it", || !tree.iter().any(|process| process.is_alive()));
        until("another one is there", || {
            manager.property("tree.service", "SubState") == "running"
                && manager.main_process("tree.service") != root
        });
    }
    until_within(Duration::from_secs(120), "it has forked", || site.path("forked").exists());
    until("no zombie is left", || {
        !manager.keeper().children().into_iter().any(|child| child.state() == Some('Z'))
    });
    until("it is deaf", || site.path("deaf-now").exists());
    manager.sockmgr(&["stop", "deaf.service"]).ok();
    assert_eq!(manager.property("deaf.service", "Result"), "timeout");
    let memory = [manager.keeper(), manager.brain()].map(peak);
    println!("status within {took:?}, peak of keeper and manager {memory:?} kB");
    assert!(memory.iter().all(|peak| *peak < MEMORY), "{memory:?} kB");
    assert!(took.iter().all(|took| *took < ANSWER), "{took:?}");
}
