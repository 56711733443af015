//! The scenes: which units there are, and what happens to them.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Cost, Play, Scene, Shape};
use crate::wait::until;

/// Four instances, a listener each.
macro_rules! group {
    ($($more:literal)*) => {
        concat!("[Socket]\nListenStream={host}:8080\nInstances=4\nBacklog=4096\n", $($more)*)
    };
}

/// The socket of most scenes.
const GROUP: &str = group!();

/// One service for one listener.
const SINGLE: &str = "[Socket]\nListenStream={host}:8080\nBacklog=4096\n";

/// A server that takes a tenth of a second to come up, one millisecond for an answer, and finishes what it has begun.
macro_rules! witness {
    ($($more:literal)*) => {
        concat!(
            "[Unit]\nStartLimitIntervalSec=0\n",
            "[Service]\nType=notify\nExecStart={witness}\nEnvironment=WITNESS_GRACE=1 WITNESS_ANSWER_MS=1\n",
            "Environment=WITNESS_READY_MS=100\n",
            $($more),*
        )
    };
}

/// The server of most scenes.
const WITNESS: &str = witness!();

/// The same where new files are rolled out: watched for a shorter time than people would, so that there are many rollouts.
macro_rules! rolled_out {
    ($($more:literal)*) => {
        witness!("RolloutGateSec=300ms\nRolloutBatch=2\n" $($more)*)
    };
}

/// What is rolled out, and returned to.
const GOOD: &str = rolled_out!();

/// What it is after a bad build: it is ready, and dies at once.
const BROKEN: &str = rolled_out!("Environment=WITNESS_CRASH_MS=1\n");

/// All of them.
pub const SCENES: &[Scene] = &[
    Scene {
        name: "quiet",
        units: &[("web.socket", GROUP), ("web@.service", WITNESS)],
        shape: Shape::Steady,
        round: |_, _| {},
        cost: Cost::Nothing,
    },
    Scene {
        name: "rolling-restart",
        units: &[("web.socket", GROUP), ("web@.service", WITNESS)],
        shape: Shape::Steady,
        round: restart,
        cost: Cost::Nothing,
    },
    Scene {
        name: "one-by-one",
        units: &[("web.socket", GROUP), ("web@.service", witness!("RestartMode=rolling\n"))],
        shape: Shape::Steady,
        round: restart,
        cost: Cost::Nothing,
    },
    Scene {
        name: "overlap",
        units: &[("web.socket", SINGLE), ("web.service", WITNESS)],
        shape: Shape::Steady,
        round: restart,
        cost: Cost::Nothing,
    },
    Scene {
        name: "scale",
        units: &[("web.socket", group!("MaxInstances=8\n")), ("web@.service", WITNESS)],
        shape: Shape::Steady,
        round: |play, round| play.sockmgr(&["scale", "web.socket", if round % 2 == 0 { "8" } else { "1" }]),
        cost: Cost::Nothing,
    },
    Scene {
        name: "rollout",
        units: &[("web.socket", GROUP), ("web@.service", rolled_out!())],
        shape: Shape::Steady,
        round: |play, _| play.sockmgr(&["rollout", "start", "web"]),
        cost: Cost::Nothing,
    },
    Scene {
        name: "bad-rollout",
        units: &[("web.socket", GROUP), ("web@.service", GOOD)],
        shape: Shape::Steady,
        round: bad_rollout,
        // A bad build takes out its canary, and whom that had accepted.
        cost: Cost::TheAccepted,
    },
    Scene {
        name: "idle-stop",
        units: &[("web.socket", group!("IdleStopSec=200ms\n")), ("web@.service", WITNESS)],
        shape: Shape::Bursts,
        round: |_, _| {},
        cost: Cost::Time,
    },
    Scene {
        name: "idle-trickle",
        units: &[
            ("web.socket", "[Socket]\nListenStream={host}:8080\nBacklog=4096\nIdleStopSec=100ms\n"),
            // It knows nothing of it: SIGTERM ends it wherever it is.
            (
                "web.service",
                "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={witness}\nEnvironment=WITNESS_ANSWER_MS=1\n",
            ),
        ],
        shape: Shape::Trickle,
        round: |_, _| {},
        cost: Cost::Time,
    },
    Scene {
        name: "hold",
        units: &[("web.socket", GROUP), ("web@.service", WITNESS)],
        shape: Shape::Steady,
        round: hold,
        cost: Cost::Time,
    },
    Scene {
        name: "drain",
        units: &[("web.socket", GROUP), ("web@.service", WITNESS)],
        shape: Shape::Steady,
        round: |play, round| {
            let unit = instance(round);
            play.sockmgr(&["drain", &unit]);
            play.sockmgr(&["undrain", &unit]);
        },
        cost: Cost::Nothing,
    },
    Scene {
        name: "kill",
        units: &[("web.socket", GROUP), ("web@.service", witness!("Restart=on-failure\n"))],
        shape: Shape::Steady,
        round: kill_one,
        cost: Cost::TheAccepted,
    },
    Scene {
        name: "hang",
        units: &[
            ("web.socket", group!("AcceptTimeoutSec=10ms\nOnHang=restart\n")),
            ("web@.service", witness!("Restart=on-failure\n")),
        ],
        shape: Shape::Steady,
        round: hang_one,
        cost: Cost::TheAccepted,
    },
    Scene {
        name: "manager",
        units: &[("web.socket", GROUP), ("web@.service", WITNESS)],
        shape: Shape::Steady,
        round: |play, round| {
            kill_manager(play);
            play.sockmgr(&["restart", &instance(round)]);
        },
        cost: Cost::Nothing,
    },
    Scene {
        name: "keep-alive",
        units: &[
            ("web.socket", GROUP),
            ("web@.service", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nExecStart={hello}\n"),
        ],
        shape: Shape::KeepAlive,
        round: restart,
        cost: Cost::Nothing,
    },
    Scene {
        name: "shared-tcp",
        units: &[("web.socket", group!("Distribute=shared\n")), ("web@.service", WITNESS)],
        shape: Shape::Steady,
        round: restart,
        cost: Cost::Nothing,
    },
    Scene {
        name: "unix-behind-nginx",
        units: &[
            ("web.socket", "[Socket]\nListenStream={dir}/open/web.sock\nInstances=4\nBacklog=4096\n"),
            ("web@.service", witness!("Environment=WITNESS_HTTP=1\n")),
        ],
        shape: Shape::BehindNginx,
        round: restart,
        cost: Cost::Nothing,
    },
    Scene {
        name: "udp",
        units: &[
            ("web.socket", "[Socket]\nListenDatagram={host}:8080\nInstances=4\nReceiveBuffer=4M\n"),
            ("web@.service", WITNESS),
        ],
        shape: Shape::Datagrams,
        round: restart,
        cost: Cost::Nothing,
    },
    Scene {
        name: "torture",
        units: &[
            ("web.socket", group!("MaxInstances=8\n")),
            ("web@.service", rolled_out!("Restart=on-failure\n")),
        ],
        shape: Shape::Steady,
        round: torture,
        cost: Cost::TheAccepted,
    },
];

fn instance(round: u32) -> String {
    format!("web@{}.service", round % 4 + 1)
}

fn restart(play: &Play<'_>, _: u32) {
    play.sockmgr(&["restart", "web.service"]);
}

/// A build that does not work is rolled out, found out, and undone.
fn bad_rollout(play: &Play<'_>, _: u32) {
    play.site.unit("web@.service", BROKEN);
    let ran = play.manager.sockmgr(&["rollout", "start", "web"]);
    assert_ne!(ran.code, 0, "a bad build is no success: {ran}");
    // It may have accepted somebody whom it had not yet told its name.
    play.killed.borrow_mut().push("a canary".to_owned());
    play.site.unit("web@.service", GOOD);
    play.sockmgr(&["daemon-reload"]);
    for number in 1..=4 {
        play.manager.until_sub_state(&format!("web@{number}.service"), "running");
    }
}

/// Nobody serves for a while, and nobody is started for those who wait.
fn hold(play: &Play<'_>, _: u32) {
    play.sockmgr(&["hold", "web.socket"]);
    play.sockmgr(&["stop", "web.service"]);
    std::thread::sleep(Duration::from_millis(200));
    play.sockmgr(&["release", "web.socket"]);
}

fn kill_one(play: &Play<'_>, round: u32) {
    let unit = instance(round);
    let process = play.victim(&unit);
    process.kill();
    until_replaced(play, &unit, process);
}

/// It stops in its tracks; the manager finds out and replaces it.
fn hang_one(play: &Play<'_>, round: u32) {
    let unit = instance(round);
    // One that hangs while it starts is another matter (`TimeoutStartSec=`).
    play.manager.until_sub_state(&unit, "running");
    let process = play.victim(&unit);
    let pid = Pid::from_raw(process.0);
    kill(pid, Signal::SIGSTOP).expect("the process runs");
    until(&format!("the successor of {unit} runs, or nobody comes"), || {
        is_replaced(play, &unit, process) || play.is_over()
    });
    if process.is_alive() {
        // Nobody came any more who could have found out. If it is found out now, that is well, too.
        let _ = kill(pid, Signal::SIGCONT);
    }
}

fn until_replaced(play: &Play<'_>, unit: &str, process: crate::kernel::Process) {
    until(&format!("the successor of {unit} runs"), || is_replaced(play, unit, process));
}

fn is_replaced(play: &Play<'_>, unit: &str, process: crate::kernel::Process) -> bool {
    play.manager.property(unit, "SubState") == "running" && play.manager.main_process(unit) != process
}

fn kill_manager(play: &Play<'_>) {
    let before = play.manager.brain();
    before.kill();
    until("there is another manager", || {
        play.manager.brain() != before && play.manager.sockmgr(&["is-active", "web.socket"]).code == 0
    });
}

/// One thing after the other, in an order that repeats after many rounds.
fn torture(play: &Play<'_>, round: u32) {
    match (round * 7 + round / 9) % 9 {
        0 => restart(play, round),
        1 => play.sockmgr(&["scale", "web.socket", "8"]),
        2 => kill_one(play, round),
        3 => kill_manager(play),
        4 => play.sockmgr(&["scale", "web.socket", "4"]),
        5 => hold(play, round),
        6 => play.sockmgr(&["rollout", "start", "web"]),
        7 => play.sockmgr(&["restart", &instance(round)]),
        _ => {
            play.sockmgr(&["drain", &instance(round)]);
            play.sockmgr(&["undrain", &instance(round)]);
        }
    }
}
