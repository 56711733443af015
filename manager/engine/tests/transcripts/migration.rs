//! What waits in slots that nobody serves goes to those in rotation, where the kernel moves it.

use expect_test::expect;

use crate::check;

/// A group of three in a pool of four, of this type.
fn units(kind: &str) -> String {
    format!(
        "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=3
MaxInstances=4
-- web@.service
[Service]
Type={kind}
ExecStart=/bin/web
Restart=on-failure
"
    )
}

const UP: &str = "connections-move; start web.socket; start web.service; ready web@1.service; ready web@2.service; \
                  ready web@3.service";

#[test]
fn a_crash_moves_the_queue_and_so_does_what_comes_before_the_successor_is_ready() {
    check(
        &units("notify"),
        &format!(
            "{UP} | connect web.socket:0@1; kill web@2.service main SIGKILL; members web.socket 0; \
             wait 100ms; connect web.socket:0@1; ready web@2.service; connect web.socket:0@1"
        ),
        expect![[r#"
            > connect web.socket:0@1
            > kill web@2.service main SIGKILL
              SIGKILL to web@2.service ExecStart (Process)
              steer web.socket to [0, 2]
              migrate web.socket:0@1 web.socket:0@3
              Warning: web@2.service: killed by SIGKILL
              Error: web@2.service: failed: signal
              Info: web@2.service: restarting in 100ms
              watch web.socket:0@1
              web.service: running -> degraded
              web@2.service: running -> auto-restart
              steer web.socket to [0, 2]
            > members web.socket 0
              members [0, 2, 1, 3]
            > wait 100ms
              at 100ms
              job 6: start web@2.service
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              web@2.service: auto-restart -> start
            > connect web.socket:0@1
              steer web.socket to [0, 2]
              freeze web@2.service
              unwatch web.socket:0@1
              unwatch web.socket:0@3
              migrate web.socket:0@1 web.socket:0@3
              SIGCONT to web@2.service ExecStart (Session)
              watch web.socket:0@1
              watch web.socket:0@3
              steer web.socket to [0, 2]
            > ready web@2.service
              job 6: done (web@2.service)
              Info: web@2.service: running (pid 104)
              steer web.socket to [0, 1, 2]
              unwatch web.socket:0@1
              web.service: degraded -> running
              web@2.service: start -> running
            > connect web.socket:0@1
        "#]],
    );
}

#[test]
fn a_parked_slot_gives_what_comes_to_others_and_nobody_is_started() {
    check(
        &units("notify"),
        &format!("{UP} | connect web.socket:0@3; members web.socket 0"),
        expect![[r#"
        > connect web.socket:0@3
          steer web.socket to [0, 1, 2]
          migrate web.socket:0@3
          steer web.socket to [0, 1, 2]
        > members web.socket 0
          members [0, 1, 2, 3]
    "#]],
    );
}

#[test]
fn who_says_nothing_may_accept_from_the_first_moment() {
    check(
        &units("exec")
            .replace("Restart=on-failure", "RestartSec=1s\nRestart=on-failure\nExecStartPost=/bin/post"),
        "connections-move; start web.socket; start web.service | plan web@2.service ExecStartPost lingers; \
         kill web@2.service main SIGKILL; connect web.socket:0@1; wait 1s; connect web.socket:0@1",
        expect![[r#"
            > plan web@2.service ExecStartPost lingers
            > kill web@2.service main SIGKILL
              SIGKILL to web@2.service ExecStart (Process)
              steer web.socket to [0, 2]
              migrate web.socket:0@1 web.socket:0@3
              Warning: web@2.service: killed by SIGKILL
              Error: web@2.service: failed: signal
              Info: web@2.service: restarting in 1s
              watch web.socket:0@1
              web.service: running -> degraded
              web@2.service: running -> auto-restart
            > connect web.socket:0@1
              steer web.socket to [0, 2]
              migrate web.socket:0@1 web.socket:0@3
              steer web.socket to [0, 2]
            > wait 1s
              at 1s
              job 6: start web@2.service
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              unwatch web.socket:0@1
              web@2.service: auto-restart -> start
              run web@2.service ExecStartPost $INSTANCE=2 $INSTANCES=3 $MAINPID=107
              web@2.service: start -> start-post
            > connect web.socket:0@1
        "#]],
    );
}

#[test]
fn another_manager_goes_on_with_what_waits() {
    check(
        &[units("notify"), units("notify")].join("== reload"),
        &format!(
            "{UP} | connect web.socket:0@1; kill web@2.service main SIGKILL; manager-dies; manager-returns; members web.socket 0; connect web.socket:0@1"
        ),
        expect![[r#"
            > connect web.socket:0@1
            > kill web@2.service main SIGKILL
              SIGKILL to web@2.service ExecStart (Process)
              steer web.socket to [0, 2]
              migrate web.socket:0@1 web.socket:0@3
              Warning: web@2.service: killed by SIGKILL
              Error: web@2.service: failed: signal
              Info: web@2.service: restarting in 100ms
              watch web.socket:0@1
              web.service: running -> degraded
              web@2.service: running -> auto-restart
              steer web.socket to [0, 2]
            > manager-dies
            > manager-returns
              steer web.socket to [0, 2]
              watch web.socket:0@1
              watch web.socket:0@3
            > members web.socket 0
              members [0, 2, 1, 3]
            > connect web.socket:0@1
              steer web.socket to [0, 2]
              migrate web.socket:0@1 web.socket:0@3
              steer web.socket to [0, 2]
        "#]],
    );
}

#[test]
fn who_hangs_leaves_the_queue_to_others_when_he_is_gone() {
    check(
        &units("notify").replace("MaxInstances=4", "AcceptTimeoutSec=400ms\nOnHang=restart"),
        &format!(
            "{UP}; kill web@3.service main SIGKILL; wait 1s; ready web@3.service | \
             connect web.socket:0@0; wait 500ms"
        ),
        expect![[r#"
            > connect web.socket:0@0
              unwatch web.socket:0@0
            > wait 500ms
              at 1.100000s
              at 1.200000s
              at 1.300000s
              at 1.400000s
              steer web.socket to [1, 2]
              Warning: web@1.service: accepts nobody (AcceptTimeoutSec=); restarting it
              SIGABRT to web@1.service ExecStart (Session)
              web.service: running -> degraded
              web@1.service: running -> stop-watchdog
              migrate web.socket:0@0
              Warning: web@1.service: killed by SIGABRT
              Error: web@1.service: failed: watchdog
              Info: web@1.service: restarting in 20ms
              watch web.socket:0@0
              web@1.service: stop-watchdog -> auto-restart
              steer web.socket to [1, 2]
              unwatch web.socket:0@1
              at 1.420000s
              job 7: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
              web@1.service: auto-restart -> start
              at 1.500000s
        "#]],
    );
}
