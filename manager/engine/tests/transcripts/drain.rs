//! What is queued for an instance is served before it is told to stop, and how soon one that crashed comes back.

use expect_test::expect;

use crate::check;

const WEB: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
ListenDatagram=127.0.0.1:80
ListenStream=/run/web.sock
Instances=2
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
ExecReload=/bin/reload
";

const TWO_MANAGERS: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
ExecStart=/bin/web
";

const UP: &str = "start web.socket; start web.service; ready web@1.service; ready web@2.service | ";

#[track_caller]
fn check_web(script: &str, expected: expect_test::Expect) {
    check(WEB, &format!("{UP}{script}"), expected);
}

#[test]
fn an_instance_serves_its_queue_and_a_quiet_while_before_it_is_told_to_stop() {
    check_web(
        "connect web.socket:0@1; connect web.socket:1@1; stop web@2.service; wait 12ms; take web@2.service; wait 30ms; connect web.socket:0@1; wait 6ms; take web@2.service; wait 60ms",
        expect![[r#"
            > connect web.socket:0@1
            > connect web.socket:1@1
            > stop web@2.service
              job 5: stop web@2.service
              steer web.socket to [0]
              web.service: running -> degraded
              web@2.service: running -> drain
            > wait 12ms
              at 5ms
              at 10ms
            > take web@2.service
            > wait 30ms
              at 15ms
              at 20ms
              at 25ms
              at 30ms
              at 35ms
              at 40ms
            > connect web.socket:0@1
            > wait 6ms
              at 45ms
            > take web@2.service
            > wait 60ms
              at 50ms
              at 55ms
              at 60ms
              at 65ms
              at 70ms
              at 75ms
              at 80ms
              at 85ms
              at 90ms
              at 95ms
              at 100ms
              SIGTERM to web@2.service ExecStart (Session)
              web@2.service: drain -> stop-sigterm
              job 5: done (web@2.service)
              watch web.socket:0@1
              watch web.socket:1@1
              web@2.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_queue_that_is_never_empty_holds_the_stop_up_for_so_long() {
    check(
        &WEB.replace("[Service]\n", "[Service]\nDrainTimeoutSec=20ms\n"),
        &format!("{UP}connect web.socket:0@1; connect web.socket:0@1; stop web@2.service; wait 1s"),
        expect![[r#"
            > connect web.socket:0@1
            > connect web.socket:0@1
            > stop web@2.service
              job 5: stop web@2.service
              steer web.socket to [0]
              web.service: running -> degraded
              web@2.service: running -> drain
            > wait 1s
              at 5ms
              at 10ms
              at 15ms
              at 20ms
              Warning: web@2.service: its queue still holds 2 after DrainTimeoutSec=, stopping
              SIGTERM to web@2.service ExecStart (Session)
              web@2.service: drain -> stop-sigterm
              job 5: done (web@2.service)
              watch web.socket:0@1
              watch web.socket:1@1
              web@2.service: stop-sigterm -> dead
              steer web.socket to [0]
              migrate web.socket:0@1
              steer web.socket to [0]
              job 6: start web@2.service
              unwatch web.socket:0@1
              unwatch web.socket:1@1
              run web@2.service ExecStart web.socket=web.socket:0@1 web.socket=web.socket:1@1 web.socket=web.socket:2 $INSTANCE=2 $INSTANCES=2
              web@2.service: dead -> start
        "#]],
    );
}

#[test]
fn a_restart_drains_slot_by_slot() {
    check_web(
        "restart web.service; wait 60ms; ready web@1.service; wait 60ms; ready web@2.service",
        expect![[r#"
            > restart web.service
              job 5: restart web.service
              job 6: restart web@1.service
              steer web.socket to [1]
              web.service: running -> degraded
              web@1.service: running -> drain
            > wait 60ms
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
              SIGTERM to web@1.service ExecStart (Session)
              web@1.service: drain -> stop-sigterm
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1@0 web.socket=web.socket:2 $INSTANCE=1 $INSTANCES=2
              watch web.socket:0@0
              web@1.service: stop-sigterm -> start
            > ready web@1.service
              job 6: done (web@1.service)
              job 7: restart web@2.service
              Info: web@1.service: running (pid 103)
              steer web.socket to [0]
              unwatch web.socket:0@0
              web@1.service: start -> running
              web@2.service: running -> drain
            > wait 60ms
              at 65ms
              at 70ms
              at 75ms
              at 80ms
              at 85ms
              at 90ms
              at 95ms
              at 100ms
              at 105ms
              at 110ms
              SIGTERM to web@2.service ExecStart (Session)
              web@2.service: drain -> stop-sigterm
              run web@2.service ExecStart web.socket=web.socket:0@1 web.socket=web.socket:1@1 web.socket=web.socket:2 $INSTANCE=2 $INSTANCES=2
              watch web.socket:0@1
              web@2.service: stop-sigterm -> start
            > ready web@2.service
              job 7: done (web@2.service)
              job 5: done (web.service)
              Info: web@2.service: running (pid 104)
              unwatch web.socket:0@1
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@2.service: start -> running
        "#]],
    );
}

#[test]
fn a_start_takes_the_stop_back_while_the_queue_drains() {
    check_web(
        "stop web@2.service; wait 20ms; start web@2.service; wait 1s",
        expect![[r#"
        > stop web@2.service
          job 5: stop web@2.service
          steer web.socket to [0]
          web.service: running -> degraded
          web@2.service: running -> drain
        > wait 20ms
          at 5ms
          at 10ms
          at 15ms
          at 20ms
        > start web@2.service
          job 5: canceled (web@2.service)
          job 6: start web@2.service
          job 6: done (web@2.service)
          Info: web@2.service: running (pid 102)
          steer web.socket to [0, 1]
          web.service: degraded -> running
          web@2.service: drain -> running
        > wait 1s
    "#]],
    );
}

#[test]
fn a_crash_while_the_queue_drains_ends_the_stop() {
    check_web(
        "stop web@2.service; wait 20ms; dies web@2.service SIGSEGV",
        expect![[r#"
            > stop web@2.service
              job 5: stop web@2.service
              steer web.socket to [0]
              web.service: running -> degraded
              web@2.service: running -> drain
            > wait 20ms
              at 5ms
              at 10ms
              at 15ms
              at 20ms
            > dies web@2.service SIGSEGV
              Warning: web@2.service: killed by SIGSEGV
              job 5: done (web@2.service)
              Error: web@2.service: failed: signal
              watch web.socket:0@1
              watch web.socket:1@1
              web@2.service: drain -> failed
        "#]],
    );
}

#[test]
fn a_kill_and_a_reload_while_the_queue_drains() {
    check_web(
        "stop web@2.service; reload web@2.service or-fail; kill web@2.service all SIGKILL",
        expect![[r#"
            > stop web@2.service
              job 5: stop web@2.service
              steer web.socket to [0]
              web.service: running -> degraded
              web@2.service: running -> drain
            > reload web@2.service or-fail
              refused: Transaction for web@2.service/reload is destructive (web@2.service has 'stop' job queued, but 'reload' is included in transaction).
            > kill web@2.service all SIGKILL
              SIGKILL to web@2.service ExecStart (Session)
              job 5: done (web@2.service)
              Error: web@2.service: failed: signal
              watch web.socket:0@1
              watch web.socket:1@1
              web@2.service: drain -> failed
        "#]],
    );
}

#[test]
fn the_socket_closes_while_the_queue_drains() {
    check_web(
        "stop web@2.service; stop web.socket; wait 10ms",
        expect![[r#"
        > stop web@2.service
          job 5: stop web@2.service
          steer web.socket to [0]
          web.service: running -> degraded
          web@2.service: running -> drain
        > stop web.socket
          job 6: stop web.socket
        > wait 10ms
          at 5ms
          at 10ms
    "#]],
    );
}

#[test]
fn the_last_one_is_drained_too_while_new_clients_wait_in_another_slot() {
    check_web(
        "stop web@2.service; wait 60ms; stop web@1.service",
        expect![[r#"
            > stop web@2.service
              job 5: stop web@2.service
              steer web.socket to [0]
              web.service: running -> degraded
              web@2.service: running -> drain
            > wait 60ms
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
              job 5: done (web@2.service)
              watch web.socket:0@1
              watch web.socket:1@1
              web@2.service: stop-sigterm -> dead
            > stop web@1.service
              job 6: stop web@1.service
              steer web.socket to [1]
              web.service: degraded -> stop
              web@1.service: running -> drain
        "#]],
    );
}

#[test]
fn the_manager_dies_while_the_queue_drains() {
    check(
        TWO_MANAGERS,
        "start web.socket; start web.service; stop web@2.service; wait 20ms; manager-dies; wait 1s; manager-returns; wait 60ms",
        expect![[r#"
            > start web.socket
              job 1: start web.socket
              open web.socket:0@0 web.socket:0@1
              web.socket: dead -> start-open
              steer web.socket to [0]
              Info: web.socket: listening on 127.0.0.1:80
              job 1: done (web.socket)
              watch web.socket:0@0
              watch web.socket:0@1
              web.socket: start-open -> listening
            > start web.service
              job 2: start web.service
              job 3: start web@1.service
              job 4: start web@2.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=2
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              web.service: dead -> start
              web@1.service: dead -> start
              web@2.service: dead -> start
              job 3: done (web@1.service)
              Info: web@1.service: running (pid 101)
              web.service: start -> degraded
              web@1.service: start -> running
              job 4: done (web@2.service)
              job 2: done (web.service)
              Info: web@2.service: running (pid 102)
              unwatch web.socket:0@0
              unwatch web.socket:0@1
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web.socket: listening -> running
              web@2.service: start -> running
            > stop web@2.service
              job 5: stop web@2.service
              steer web.socket to [0]
              web.service: running -> degraded
              web@2.service: running -> drain
            > wait 20ms
              at 5ms
              at 10ms
              at 15ms
              at 20ms
            > manager-dies
            > wait 1s
            > manager-returns
              job 1: stop web@2.service
              steer web.socket to [0]
            > wait 60ms
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
              job 1: done (web@2.service)
              watch web.socket:0@1
              web@2.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn an_instance_that_ran_well_comes_back_at_once_and_waits_when_it_crashes_again() {
    check_web(
        "wait 1s; dies web@1.service SIGSEGV; wait 0; ready web@1.service; dies web@1.service SIGSEGV",
        expect![[r#"
            > wait 1s
            > dies web@1.service SIGSEGV
              steer web.socket to [1]
              migrate web.socket:0@0
              Warning: web@1.service: killed by SIGSEGV
              Error: web@1.service: failed: signal
              Info: web@1.service: restarting at once
              watch web.socket:0@0
              web.service: running -> degraded
              web@1.service: running -> auto-restart
              unwatch web.socket:0@0
            > wait 0
              at 1s
              job 5: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1@0 web.socket=web.socket:2 $INSTANCE=1 $INSTANCES=2
              web@1.service: auto-restart -> start
            > ready web@1.service
              job 5: done (web@1.service)
              Info: web@1.service: running (pid 103)
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@1.service: start -> running
            > dies web@1.service SIGSEGV
              steer web.socket to [1]
              migrate web.socket:0@0
              Warning: web@1.service: killed by SIGSEGV
              Error: web@1.service: failed: signal
              Info: web@1.service: restarting in 100ms
              web.service: running -> degraded
              web@1.service: running -> auto-restart
        "#]],
    );
}
