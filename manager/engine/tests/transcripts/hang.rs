//! Instances that accept nobody while others do (`AcceptTimeoutSec=`, `OnHang=`).

use expect_test::expect;

use crate::check;

const WEB: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=3
AcceptTimeoutSec=400ms
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
";

const UP: &str =
    "start web.socket; start web.service; ready web@1.service; ready web@2.service; ready web@3.service | ";

#[track_caller]
fn check_web(units: &str, script: &str, expected: expect_test::Expect) {
    check(units, &format!("{UP}{script}"), expected);
}

#[test]
fn who_accepts_nobody_leaves_the_rotation_and_comes_back_when_he_does() {
    check_web(
        WEB,
        "connect web.socket:0@0; wait 200ms; connect web.socket:0@0; wait 500ms; take web@1.service; wait 200ms",
        expect![[r#"
            > connect web.socket:0@0
              unwatch web.socket:0@0
            > wait 200ms
              at 100ms
              at 200ms
            > connect web.socket:0@0
            > wait 500ms
              at 300ms
              at 400ms
              steer web.socket to [1, 2]
              Warning: web@1.service: accepts nobody (AcceptTimeoutSec=); new connections go to others
              at 500ms
              at 600ms
              at 700ms
            > take web@1.service
            > wait 200ms
              at 800ms
              Info: web@1.service: accepts again
              steer web.socket to [0, 1, 2]
              watch web.socket:0@0
              at 900ms
        "#]],
    );
}

#[test]
fn who_accepts_in_time_is_left_alone_and_costs_nothing_when_idle() {
    check_web(
        WEB,
        "connect web.socket:0@0; wait 150ms; take web@1.service; wait 10s",
        expect![[r#"
        > connect web.socket:0@0
          unwatch web.socket:0@0
        > wait 150ms
          at 100ms
        > take web@1.service
        > wait 10s
          at 200ms
          watch web.socket:0@0
          at 300ms
    "#]],
    );
}

#[test]
fn with_on_hang_restart_he_is_aborted() {
    check_web(
        &WEB.replace("400ms\n", "400ms\nOnHang=restart\n"),
        "connect web.socket:0@0; wait 500ms; wait 100ms; ready web@1.service; take web@1.service; wait 1s",
        expect![[r#"
            > connect web.socket:0@0
              unwatch web.socket:0@0
            > wait 500ms
              at 100ms
              at 200ms
              at 300ms
              at 400ms
              steer web.socket to [1, 2]
              Warning: web@1.service: accepts nobody (AcceptTimeoutSec=); restarting it
              SIGABRT to web@1.service ExecStart (Session)
              web.service: running -> degraded
              web@1.service: running -> stop-watchdog
              Warning: web@1.service: killed by SIGABRT
              Error: web@1.service: failed: watchdog
              Info: web@1.service: restarting in 100ms
              watch web.socket:0@0
              web@1.service: stop-watchdog -> auto-restart
              steer web.socket to [1, 2]
              migrate web.socket:0@0
              unwatch web.socket:0@0
              at 500ms
              job 6: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
              web@1.service: auto-restart -> start
            > wait 100ms
              at 600ms
            > ready web@1.service
              job 6: done (web@1.service)
              Info: web@1.service: running (pid 104)
              steer web.socket to [0, 1, 2]
              web.service: degraded -> running
              web@1.service: start -> running
            > take web@1.service
            > wait 1s
              at 700ms
              watch web.socket:0@0
              at 800ms
        "#]],
    );
}

#[test]
fn where_nothing_can_be_moved_another_one_is_ready_before_he_is_stopped() {
    // One crash shows that it cannot.
    let first = "exit web@1.service 1; wait 1s; ready web@1.service; wait 1s";
    check(
        &WEB.replace("400ms\n", "400ms\nOnHang=restart\n")
            .replace("Type=notify\n", "Type=notify\nRestart=always\n"),
        &format!(
            "{}; {first} | connect web.socket:0@0; wait 500ms; ready web@1@other.service; take web@1@other.service; wait 1s",
            UP.trim_end_matches(" | ")
        ),
        expect![[r#"
            > connect web.socket:0@0
              unwatch web.socket:0@0
            > wait 500ms
              at 2.100000s
              at 2.200000s
              at 2.300000s
              at 2.400000s
              steer web.socket to [1, 2]
              Warning: web@1.service: accepts nobody (AcceptTimeoutSec=); starting another beside it
              job 7: restart web@1.service
              Info: web@1.service: starting its next generation beside it
              run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
              at 2.500000s
            > ready web@1@other.service
              Info: web@1.service: running (pid 105)
              Info: web@1.service: generation 3 serves now (pid 105)
              job 7: done (web@1.service)
              steer web.socket to [0, 1, 2]
              SIGTERM to web@1.service ExecStart (Session)
            > take web@1@other.service
            > wait 1s
              at 2.600000s
              watch web.socket:0@0
              at 2.700000s
        "#]],
    );
}

#[test]
fn when_most_are_late_there_is_too_much_to_do_and_nobody_hangs() {
    check_web(
        WEB,
        "connect web.socket:0@0; connect web.socket:0@1; wait 1s; take web@2.service; wait 200ms",
        expect![[r#"
            > connect web.socket:0@0
              unwatch web.socket:0@0
            > connect web.socket:0@1
              unwatch web.socket:0@1
            > wait 1s
              at 100ms
              at 200ms
              at 300ms
              at 400ms
              at 500ms
              at 600ms
              at 700ms
              at 800ms
              at 900ms
              at 1s
            > take web@2.service
            > wait 200ms
              at 1.100000s
              watch web.socket:0@1
              at 1.200000s
              steer web.socket to [1, 2]
              Warning: web@1.service: accepts nobody (AcceptTimeoutSec=); new connections go to others
        "#]],
    );
}

#[test]
fn the_last_one_in_rotation_stays() {
    check_web(
        WEB,
        "stop web@2.service; stop web@3.service; wait 100ms; connect web.socket:0@0; wait 1s",
        expect![[r#"
            > stop web@2.service
              job 6: stop web@2.service
              steer web.socket to [0, 2]
              unwatch web.socket:0@1
              web.service: running -> degraded
              web@2.service: running -> drain
            > stop web@3.service
              job 7: stop web@3.service
              steer web.socket to [0]
              unwatch web.socket:0@2
              web@3.service: running -> drain
            > wait 100ms
              at 5ms
              at 10ms
              at 15ms
              at 20ms
              at 25ms
              at 30ms
              at 35ms
              at 40ms
              at 45ms
              at 50ms
              SIGTERM to web@2.service ExecStart (Session)
              web@2.service: drain -> stop-sigterm
              SIGTERM to web@3.service ExecStart (Session)
              web@3.service: drain -> stop-sigterm
              job 6: done (web@2.service)
              watch web.socket:0@1
              web@2.service: stop-sigterm -> dead
              job 7: done (web@3.service)
              watch web.socket:0@2
              web@3.service: stop-sigterm -> dead
            > connect web.socket:0@0
              unwatch web.socket:0@0
            > wait 1s
              at 200ms
              at 300ms
              at 400ms
              at 500ms
              at 600ms
              at 700ms
              at 800ms
              at 900ms
              at 1s
              at 1.100000s
        "#]],
    );
}

#[test]
fn another_process_in_the_slot_does_not_hang() {
    check_web(
        WEB,
        "connect web.socket:0@0; wait 500ms; dies web@1.service SIGKILL; wait 100ms; ready web@1.service; wait 50ms; take web@1.service; wait 1s",
        expect![[r#"
            > connect web.socket:0@0
              unwatch web.socket:0@0
            > wait 500ms
              at 100ms
              at 200ms
              at 300ms
              at 400ms
              steer web.socket to [1, 2]
              Warning: web@1.service: accepts nobody (AcceptTimeoutSec=); new connections go to others
              at 500ms
            > dies web@1.service SIGKILL
              Warning: web@1.service: killed by SIGKILL
              Error: web@1.service: failed: signal
              Info: web@1.service: restarting in 100ms
              watch web.socket:0@0
              web.service: running -> degraded
              web@1.service: running -> auto-restart
              steer web.socket to [1, 2]
              migrate web.socket:0@0
              unwatch web.socket:0@0
            > wait 100ms
              at 600ms
              job 6: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
              web@1.service: auto-restart -> start
            > ready web@1.service
              job 6: done (web@1.service)
              Info: web@1.service: running (pid 104)
              steer web.socket to [0, 1, 2]
              web.service: degraded -> running
              web@1.service: start -> running
            > wait 50ms
            > take web@1.service
            > wait 1s
              at 700ms
              watch web.socket:0@0
              at 800ms
        "#]],
    );
}

#[test]
fn the_socket_closes_while_somebody_hangs() {
    check_web(
        WEB,
        "connect web.socket:0@0; wait 500ms; stop-all; wait 1s",
        expect![[r#"
        > connect web.socket:0@0
          unwatch web.socket:0@0
        > wait 500ms
          at 100ms
          at 200ms
          at 300ms
          at 400ms
          steer web.socket to [1, 2]
          Warning: web@1.service: accepts nobody (AcceptTimeoutSec=); new connections go to others
          at 500ms
        > stop-all
          job 6: stop web.socket
          job 7: stop web.service
          job 8: stop web@1.service
          job 9: stop web@2.service
          job 10: stop web@3.service
          close web.socket:0@0 web.socket:0@1 web.socket:0@2
          job 6: done (web.socket)
          Info: web.socket: closed
          SIGTERM to web@1.service ExecStart (Session)
          SIGTERM to web@2.service ExecStart (Session)
          SIGTERM to web@3.service ExecStart (Session)
          web.service: running -> stop
          web.socket: running -> dead
          web@1.service: running -> stop-sigterm
          web@2.service: running -> stop-sigterm
          web@3.service: running -> stop-sigterm
          job 8: done (web@1.service)
          web@1.service: stop-sigterm -> dead
          job 9: done (web@2.service)
          web@2.service: stop-sigterm -> dead
          job 10: done (web@3.service)
          job 7: done (web.service)
          web.service: stop -> dead
          web@3.service: stop-sigterm -> dead
        > wait 1s
    "#]],
    );
}
