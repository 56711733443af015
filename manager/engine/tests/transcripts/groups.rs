//! Groups: N instances of a service on N listeners each, rotation, crashes and rolling restarts.

use expect_test::expect;

use crate::check;

/// Two instances that say when they are ready.
const WEB: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
ListenStream=/run/web.sock
Instances=2
-- web@.service
[Service]
DrainTimeoutSec=1ms
Type=notify
ExecStart=/bin/web
ExecReload=/bin/reload
TimeoutStartSec=5s
";

/// The same on shared listeners.
const SHARED: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=auto
Distribute=shared
-- web@.service
[Service]
DrainTimeoutSec=1ms
ExecStart=/bin/web
";

/// Instances that are not restarted by themselves.
const PLAIN: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=3
-- web@.service
[Service]
DrainTimeoutSec=1ms
ExecStart=/bin/web
Restart=no
";

#[test]
fn traffic_starts_all_instances_and_each_enters_rotation_when_ready() {
    check(
        WEB,
        "start web.socket; connect web.socket; ready web@2.service; ready web@1.service",
        expect![[r#"
            > start web.socket
              job 1: start web.socket
              open web.socket:0@0 web.socket:0@1 web.socket:1
              web.socket: dead -> start-open
              steer web.socket to [0]
              Info: web.socket: listening on 127.0.0.1:80, /run/web.sock
              job 1: done (web.socket)
              watch web.socket:0@0
              watch web.socket:0@1
              watch web.socket:1
              web.socket: start-open -> listening
            > connect web.socket
              job 2: start web.service
              unwatch web.socket:1
              job 3: start web@1.service
              job 4: start web@2.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              run web@2.service ExecStart web.socket=web.socket:0@1 web.socket=web.socket:1 $INSTANCE=2 $INSTANCES=2
              unwatch web.socket:0@0
              unwatch web.socket:0@1
              web.service: dead -> start
              web.socket: listening -> running
              web@1.service: dead -> start
              web@2.service: dead -> start
            > ready web@2.service
              job 4: done (web@2.service)
              Info: web@2.service: running (pid 102)
              steer web.socket to [1]
              watch web.socket:0@0
              web.service: start -> degraded
              web@2.service: start -> running
              steer web.socket to [1]
              freeze web@1.service
              unwatch web.socket:0@0
              migrate web.socket:0@0
              SIGCONT to web@1.service ExecStart (Session)
              watch web.socket:0@0
              unwatch web.socket:0@0
            > ready web@1.service
              job 3: done (web@1.service)
              job 2: done (web.service)
              Info: web@1.service: running (pid 101)
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@1.service: start -> running
        "#]],
    );
}

#[test]
fn a_crash_steers_away_first_and_restarts_on_the_same_listeners() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | dies web@1.service SIGSEGV; wait 100ms; ready web@1.service",
        expect![[r#"
            > dies web@1.service SIGSEGV
              steer web.socket to [1]
              migrate web.socket:0@0
              Warning: web@1.service: killed by SIGSEGV
              Error: web@1.service: failed: signal
              Info: web@1.service: restarting in 100ms
              watch web.socket:0@0
              web.service: running -> degraded
              web@1.service: running -> auto-restart
              unwatch web.socket:0@0
            > wait 100ms
              at 100ms
              job 5: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              web@1.service: auto-restart -> start
            > ready web@1.service
              job 5: done (web@1.service)
              Info: web@1.service: running (pid 103)
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@1.service: start -> running
        "#]],
    );
}

#[test]
fn a_stopping_instance_leaves_the_rotation_before_its_signal() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | stop web@2.service; connect web.socket:0@1; ready web@2.service",
        expect![[r#"
            > stop web@2.service
              job 5: stop web@2.service
              steer web.socket to [0]
              SIGTERM to web@2.service ExecStart (Session)
              web.service: running -> degraded
              web@2.service: running -> stop-sigterm
              job 5: done (web@2.service)
              watch web.socket:0@1
              web@2.service: stop-sigterm -> dead
            > connect web.socket:0@1
              steer web.socket to [0]
              migrate web.socket:0@1
              steer web.socket to [0]
              job 6: start web@2.service
              unwatch web.socket:0@1
              run web@2.service ExecStart web.socket=web.socket:0@1 web.socket=web.socket:1 $INSTANCE=2 $INSTANCES=2
              web@2.service: dead -> start
            > ready web@2.service
              job 6: done (web@2.service)
              Info: web@2.service: running (pid 103)
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@2.service: start -> running
        "#]],
    );
}

#[test]
fn stopping_1_takes_an_instance_out_of_rotation() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | stopping web@2.service; exit web@2.service",
        expect![[r#"
            > stopping web@2.service
              steer web.socket to [0]
              web.service: running -> degraded
              web@2.service: running -> stop-sigterm
            > exit web@2.service
              Info: web@2.service: restarting in 100ms
              watch web.socket:0@1
              web@2.service: stop-sigterm -> auto-restart
        "#]],
    );
}

#[test]
fn a_restart_goes_slot_by_slot() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | restart web.service; ready web@1.service; ready web@2.service",
        expect![[r#"
            > restart web.service
              job 5: restart web.service
              job 6: restart web@1.service
              steer web.socket to [1]
              SIGTERM to web@1.service ExecStart (Session)
              web.service: running -> degraded
              web@1.service: running -> stop-sigterm
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              watch web.socket:0@0
              web@1.service: stop-sigterm -> start
            > ready web@1.service
              job 6: done (web@1.service)
              job 7: restart web@2.service
              Info: web@1.service: running (pid 103)
              steer web.socket to [0]
              SIGTERM to web@2.service ExecStart (Session)
              unwatch web.socket:0@0
              web@1.service: start -> running
              web@2.service: running -> stop-sigterm
              run web@2.service ExecStart web.socket=web.socket:0@1 web.socket=web.socket:1 $INSTANCE=2 $INSTANCES=2
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
fn a_restart_stops_at_the_first_slot_that_fails() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | restart web.service; exit web@1.service 1; wait 100ms; ready web@1.service",
        expect![[r#"
            > restart web.service
              job 5: restart web.service
              job 6: restart web@1.service
              steer web.socket to [1]
              SIGTERM to web@1.service ExecStart (Session)
              web.service: running -> degraded
              web@1.service: running -> stop-sigterm
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              watch web.socket:0@0
              web@1.service: stop-sigterm -> start
            > exit web@1.service 1
              Warning: web@1.service: exited with status 1
              job 6: failed (web@1.service)
              job 5: failed (web.service)
              Error: web@1.service: failed: exit-code
              Info: web@1.service: restarting in 100ms
              web@1.service: start -> auto-restart
            > wait 100ms
              at 100ms
              job 7: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              web@1.service: auto-restart -> start
            > ready web@1.service
              job 7: done (web@1.service)
              Info: web@1.service: running (pid 104)
              steer web.socket to [0, 1]
              unwatch web.socket:0@0
              web.service: degraded -> running
              web@1.service: start -> running
        "#]],
    );
}

#[test]
fn a_stop_takes_the_place_of_a_rolling_restart() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | restart web.service; stop web.service",
        expect![[r#"
            > restart web.service
              job 5: restart web.service
              job 6: restart web@1.service
              steer web.socket to [1]
              SIGTERM to web@1.service ExecStart (Session)
              web.service: running -> degraded
              web@1.service: running -> stop-sigterm
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              watch web.socket:0@0
              web@1.service: stop-sigterm -> start
            > stop web.service
              job 5: canceled (web.service)
              job 7: stop web.service
              job 6: canceled (web@1.service)
              job 8: stop web@1.service
              job 9: stop web@2.service
              steer web.socket to [0]
              SIGTERM to web@1.service ExecStart (Session)
              SIGTERM to web@2.service ExecStart (Session)
              unwatch web.socket:0@0
              web.service: degraded -> stop
              web@1.service: start -> stop-sigterm
              web@2.service: running -> stop-sigterm
              job 8: done (web@1.service)
              web@1.service: stop-sigterm -> dead
              job 9: done (web@2.service)
              job 7: done (web.service)
              watch web.socket:0@0
              watch web.socket:0@1
              watch web.socket:1
              web.service: stop -> dead
              web.socket: running -> listening
              web@2.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_restart_takes_the_place_of_a_start_that_is_under_way() {
    check(
        WEB,
        "start web.socket; start web.service | restart web.service; ready web@1.service; ready web@2.service",
        expect![[r#"
            > restart web.service
              SIGTERM to web@1.service ExecStart (Session)
              steer web.socket to [1]
              web@1.service: start -> stop-sigterm
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              steer web.socket to [0]
              web@1.service: stop-sigterm -> start
            > ready web@1.service
              job 3: done (web@1.service)
              Info: web@1.service: running (pid 103)
              SIGTERM to web@2.service ExecStart (Session)
              web.service: start -> degraded
              web@1.service: start -> running
              web@2.service: start -> stop-sigterm
              run web@2.service ExecStart web.socket=web.socket:0@1 web.socket=web.socket:1 $INSTANCE=2 $INSTANCES=2
              web@2.service: stop-sigterm -> start
            > ready web@2.service
              job 4: done (web@2.service)
              job 2: done (web.service)
              Info: web@2.service: running (pid 104)
              unwatch web.socket:0@0
              unwatch web.socket:0@1
              unwatch web.socket:1
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web.socket: listening -> running
              web@2.service: start -> running
        "#]],
    );
}

#[test]
fn a_group_reloads_all_instances_together() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | reload web.service",
        expect![[r#"
            > reload web.service
              job 5: reload web.service
              job 6: reload web@1.service
              job 7: reload web@2.service
              run web@1.service ExecReload $INSTANCE=1 $INSTANCES=2 $MAINPID=101
              run web@2.service ExecReload $INSTANCE=2 $INSTANCES=2 $MAINPID=102
              web.service: running -> reload
              web@1.service: running -> reload
              web@2.service: running -> reload
              Info: web@1.service: reloaded
              job 6: done (web@1.service)
              web.service: reload -> running
              web@1.service: reload -> running
              Info: web@2.service: reloaded
              job 7: done (web@2.service)
              job 5: done (web.service)
              web@2.service: reload -> running
        "#]],
    );
}

#[test]
fn a_group_that_is_down_starts_when_it_is_restarted() {
    check(
        WEB,
        "start web.socket; restart web.service; ready web@1.service; ready web@2.service; stop web.service",
        expect![[r#"
            > start web.socket
              job 1: start web.socket
              open web.socket:0@0 web.socket:0@1 web.socket:1
              web.socket: dead -> start-open
              steer web.socket to [0]
              Info: web.socket: listening on 127.0.0.1:80, /run/web.sock
              job 1: done (web.socket)
              watch web.socket:0@0
              watch web.socket:0@1
              watch web.socket:1
              web.socket: start-open -> listening
            > restart web.service
              job 2: restart web.service
              job 3: start web@1.service
              job 4: start web@2.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              run web@2.service ExecStart web.socket=web.socket:0@1 web.socket=web.socket:1 $INSTANCE=2 $INSTANCES=2
              web.service: dead -> start
              web@1.service: dead -> start
              web@2.service: dead -> start
            > ready web@1.service
              job 3: done (web@1.service)
              Info: web@1.service: running (pid 101)
              web.service: start -> degraded
              web@1.service: start -> running
            > ready web@2.service
              job 4: done (web@2.service)
              job 2: done (web.service)
              Info: web@2.service: running (pid 102)
              unwatch web.socket:0@0
              unwatch web.socket:0@1
              unwatch web.socket:1
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web.socket: listening -> running
              web@2.service: start -> running
            > stop web.service
              job 5: stop web.service
              job 6: stop web@1.service
              job 7: stop web@2.service
              steer web.socket to [0]
              SIGTERM to web@1.service ExecStart (Session)
              SIGTERM to web@2.service ExecStart (Session)
              web.service: running -> stop
              web@1.service: running -> stop-sigterm
              web@2.service: running -> stop-sigterm
              job 6: done (web@1.service)
              web@1.service: stop-sigterm -> dead
              job 7: done (web@2.service)
              job 5: done (web.service)
              watch web.socket:0@0
              watch web.socket:0@1
              watch web.socket:1
              web.service: stop -> dead
              web.socket: running -> listening
              web@2.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_straggler_on_a_parked_slot_starts_its_instance() {
    check(
        PLAIN,
        "start web.socket; start web.service | exit web@2.service; connect web.socket:0@1; take web@2.service",
        expect![[r#"
            > exit web@2.service
              steer web.socket to [0, 2]
              migrate web.socket:0@1
              Info: web@2.service: exited with status 0
              watch web.socket:0@1
              web.service: running -> degraded
              web@2.service: running -> dead
            > connect web.socket:0@1
              steer web.socket to [0, 2]
              job 6: start web@2.service
              unwatch web.socket:0@1
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              web@2.service: dead -> start
              job 6: done (web@2.service)
              Info: web@2.service: running (pid 104)
              steer web.socket to [0, 1, 2]
              web.service: degraded -> running
              web@2.service: start -> running
            > take web@2.service
        "#]],
    );
}

#[test]
fn an_instance_that_crashes_too_often_waits_out_its_limit() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@2.service | dies web@1.service SIGSEGV; wait 100ms; dies web@1.service SIGSEGV; wait 100ms; dies web@1.service SIGSEGV; wait 100ms; dies web@1.service SIGSEGV; wait 100ms; dies web@1.service SIGSEGV; connect web.socket:0@0; wait 10s; ready web@1.service",
        expect![[r#"
            > dies web@1.service SIGSEGV
              Warning: web@1.service: killed by SIGSEGV
              job 3: failed (web@1.service)
              job 2: failed (web.service)
              Error: web@1.service: failed: signal
              Info: web@1.service: restarting in 100ms
              unwatch web.socket:0@1
              unwatch web.socket:1
              web.socket: listening -> running
              web@1.service: start -> auto-restart
            > wait 100ms
              at 100ms
              job 5: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              web@1.service: auto-restart -> start
            > dies web@1.service SIGSEGV
              Warning: web@1.service: killed by SIGSEGV
              job 5: failed (web@1.service)
              Error: web@1.service: failed: signal
              Info: web@1.service: restarting in 100ms
              web@1.service: start -> auto-restart
            > wait 100ms
              at 200ms
              job 6: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              web@1.service: auto-restart -> start
            > dies web@1.service SIGSEGV
              Warning: web@1.service: killed by SIGSEGV
              job 6: failed (web@1.service)
              Error: web@1.service: failed: signal
              Info: web@1.service: restarting in 100ms
              web@1.service: start -> auto-restart
            > wait 100ms
              at 300ms
              job 7: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              web@1.service: auto-restart -> start
            > dies web@1.service SIGSEGV
              Warning: web@1.service: killed by SIGSEGV
              job 7: failed (web@1.service)
              Error: web@1.service: failed: signal
              Info: web@1.service: restarting in 100ms
              web@1.service: start -> auto-restart
            > wait 100ms
              at 400ms
              job 8: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              web@1.service: auto-restart -> start
            > dies web@1.service SIGSEGV
              Warning: web@1.service: killed by SIGSEGV
              job 8: failed (web@1.service)
              Error: web@1.service: failed: signal
              Info: web@1.service: restarting in 100ms
              web@1.service: start -> auto-restart
            > connect web.socket:0@0
              steer web.socket to [1]
              migrate web.socket:0@0
              unwatch web.socket:0@0
            > wait 10s
              at 500ms
              job 9: start web@1.service
              Warning: web@1.service: started too often; waiting until its start limit allows more
              job 9: failed (web@1.service)
              at 10s
              job 10: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              web@1.service: auto-restart -> start
            > ready web@1.service
              job 10: done (web@1.service)
              Info: web@1.service: running (pid 107)
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@1.service: start -> running
        "#]],
    );
}

#[test]
fn instances_may_share_one_listener() {
    check(
        SHARED,
        "start web.socket; connect web.socket; exit web@1.service; stop web.service",
        expect![[r#"
            > start web.socket
              job 1: start web.socket
              open web.socket:0
              web.socket: dead -> start-open
              Info: web.socket: listening on 127.0.0.1:80
              job 1: done (web.socket)
              watch web.socket:0
              web.socket: start-open -> listening
            > connect web.socket
              job 2: start web.service
              unwatch web.socket:0
              job 3: start web@1.service
              job 4: start web@2.service
              run web@1.service ExecStart web.socket=web.socket:0 $INSTANCE=1 $INSTANCES=2
              run web@2.service ExecStart web.socket=web.socket:0 $INSTANCE=2 $INSTANCES=2
              web.service: dead -> start
              web.socket: listening -> running
              web@1.service: dead -> start
              web@2.service: dead -> start
              job 3: done (web@1.service)
              Info: web@1.service: running (pid 101)
              web.service: start -> degraded
              web@1.service: start -> running
              job 4: done (web@2.service)
              job 2: done (web.service)
              Info: web@2.service: running (pid 102)
              web.service: degraded -> running
              web@2.service: start -> running
            > exit web@1.service
              Info: web@1.service: exited with status 0
              Info: web@1.service: restarting in 100ms
              web.service: running -> degraded
              web@1.service: running -> auto-restart
            > stop web.service
              job 5: stop web.service
              job 6: stop web@1.service
              job 7: stop web@2.service
              job 6: done (web@1.service)
              SIGTERM to web@2.service ExecStart (Session)
              web.service: degraded -> stop
              web@1.service: auto-restart -> dead
              web@2.service: running -> stop-sigterm
              job 7: done (web@2.service)
              job 5: done (web.service)
              watch web.socket:0
              web.service: stop -> dead
              web.socket: running -> listening
              web@2.service: stop-sigterm -> dead
              job 8: start web.service
              unwatch web.socket:0
              job 9: start web@1.service
              job 10: start web@2.service
              run web@1.service ExecStart web.socket=web.socket:0 $INSTANCE=1 $INSTANCES=2
              run web@2.service ExecStart web.socket=web.socket:0 $INSTANCE=2 $INSTANCES=2
              web.service: dead -> start
              web.socket: listening -> running
              web@1.service: dead -> start
              web@2.service: dead -> start
              job 9: done (web@1.service)
              Info: web@1.service: running (pid 103)
              web.service: start -> degraded
              web@1.service: start -> running
              job 10: done (web@2.service)
              job 8: done (web.service)
              Info: web@2.service: running (pid 104)
              web.service: degraded -> running
              web@2.service: start -> running
        "#]],
    );
}

#[test]
fn a_single_instance_restarts_while_its_queue_is_kept() {
    check(
        r#"
-- web.socket
[Socket]
ListenStream=80
Instances=1
-- web@.service
[Service]
DrainTimeoutSec=1ms
ExecStart=/bin/web
"#,
        "start web.socket; connect web.socket; restart web.service; connect web.socket; take web@1.service",
        expect![[r#"
            > start web.socket
              job 1: start web.socket
              open web.socket:0@0
              web.socket: dead -> start-open
              steer web.socket to [0]
              Info: web.socket: listening on [::]:80
              job 1: done (web.socket)
              watch web.socket:0@0
              web.socket: start-open -> listening
            > connect web.socket
              job 2: start web.service
              job 3: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=1
              unwatch web.socket:0@0
              web.service: dead -> start
              web.socket: listening -> running
              web@1.service: dead -> start
              job 3: done (web@1.service)
              job 2: done (web.service)
              Info: web@1.service: running (pid 101)
              web.service: start -> running
              web@1.service: start -> running
            > restart web.service
              job 4: restart web.service
              job 5: restart web@1.service
              SIGTERM to web@1.service ExecStart (Session)
              web.service: running -> stop
              web@1.service: running -> stop-sigterm
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=1
              web.service: stop -> start
              web@1.service: stop-sigterm -> start
              job 5: done (web@1.service)
              job 4: done (web.service)
              Info: web@1.service: running (pid 102)
              web.service: start -> running
              web@1.service: start -> running
            > connect web.socket
            > take web@1.service
        "#]],
    );
}

#[test]
fn kill_reaches_every_instance_of_a_group() {
    check(
        SHARED,
        "start web.socket; start web.service | kill web.service all SIGHUP; kill web@2.service main SIGKILL",
        expect![[r#"
            > kill web.service all SIGHUP
              SIGHUP to web@1.service ExecStart (Session)
              SIGHUP to web@2.service ExecStart (Session)
            > kill web@2.service main SIGKILL
              SIGKILL to web@2.service ExecStart (Process)
              Warning: web@2.service: killed by SIGKILL
              Error: web@2.service: failed: signal
              Info: web@2.service: restarting in 100ms
              web.service: running -> degraded
              web@2.service: running -> auto-restart
        "#]],
    );
}

#[test]
fn a_flood_of_stragglers_does_not_stop_the_group() {
    check(
        PLAIN,
        "start web.socket; start web.service | exit web@2.service; connect web.socket:0@1; exit web@2.service; exit web@2.service; exit web@2.service; exit web@2.service; wait 10s",
        expect![[r#"
            > exit web@2.service
              steer web.socket to [0, 2]
              migrate web.socket:0@1
              Info: web@2.service: exited with status 0
              watch web.socket:0@1
              web.service: running -> degraded
              web@2.service: running -> dead
            > connect web.socket:0@1
              steer web.socket to [0, 2]
              job 6: start web@2.service
              unwatch web.socket:0@1
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              web@2.service: dead -> start
              job 6: done (web@2.service)
              Info: web@2.service: running (pid 104)
              steer web.socket to [0, 1, 2]
              web.service: degraded -> running
              web@2.service: start -> running
            > exit web@2.service
              steer web.socket to [0, 2]
              migrate web.socket:0@1
              Info: web@2.service: exited with status 0
              watch web.socket:0@1
              web.service: running -> degraded
              web@2.service: running -> dead
              steer web.socket to [0, 2]
              job 7: start web@2.service
              unwatch web.socket:0@1
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              web@2.service: dead -> start
              job 7: done (web@2.service)
              Info: web@2.service: running (pid 105)
              steer web.socket to [0, 1, 2]
              web.service: degraded -> running
              web@2.service: start -> running
            > exit web@2.service
              steer web.socket to [0, 2]
              migrate web.socket:0@1
              Info: web@2.service: exited with status 0
              watch web.socket:0@1
              web.service: running -> degraded
              web@2.service: running -> dead
              steer web.socket to [0, 2]
              job 8: start web@2.service
              unwatch web.socket:0@1
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              web@2.service: dead -> start
              job 8: done (web@2.service)
              Info: web@2.service: running (pid 106)
              steer web.socket to [0, 1, 2]
              web.service: degraded -> running
              web@2.service: start -> running
            > exit web@2.service
              steer web.socket to [0, 2]
              migrate web.socket:0@1
              Info: web@2.service: exited with status 0
              watch web.socket:0@1
              web.service: running -> degraded
              web@2.service: running -> dead
              steer web.socket to [0, 2]
              job 9: start web@2.service
              unwatch web.socket:0@1
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              web@2.service: dead -> start
              job 9: done (web@2.service)
              Info: web@2.service: running (pid 107)
              steer web.socket to [0, 1, 2]
              web.service: degraded -> running
              web@2.service: start -> running
            > exit web@2.service
              steer web.socket to [0, 2]
              migrate web.socket:0@1
              Info: web@2.service: exited with status 0
              watch web.socket:0@1
              web.service: running -> degraded
              web@2.service: running -> dead
              steer web.socket to [0, 2]
              job 10: start web@2.service
              unwatch web.socket:0@1
              Warning: web@2.service: started too often; waiting until its start limit allows more
              job 10: failed (web@2.service)
              web@2.service: dead -> auto-restart
            > wait 10s
              at 10s
              job 11: start web@2.service
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              web@2.service: auto-restart -> start
              job 11: done (web@2.service)
              Info: web@2.service: running (pid 108)
              steer web.socket to [0, 1, 2]
              web.service: degraded -> running
              web@2.service: start -> running
        "#]],
    );
}

#[test]
fn a_straggler_does_not_undo_the_stop_of_its_group() {
    check(
        WEB,
        "start web.socket; start web.service; plan web@2.service ExecStart ignores-signals; ready web@1.service; ready web@2.service; restart web@2.service; ready web@2.service | stop web.service; connect web.socket; wait 90s; ready web@1.service",
        expect![[r#"
            > stop web.service
              job 6: stop web.service
              job 7: stop web@1.service
              job 8: stop web@2.service
              steer web.socket to [0]
              SIGTERM to web@1.service ExecStart (Session)
              SIGTERM to web@2.service ExecStart (Session)
              web.service: running -> stop
              web@1.service: running -> stop-sigterm
              web@2.service: running -> stop-sigterm
              job 7: done (web@1.service)
              web@1.service: stop-sigterm -> dead
            > connect web.socket
            > wait 90s
              at 1min 30s
              Warning: web@2.service: did not stop in time, killing
              SIGKILL to web@2.service ExecStart (Session)
              web@2.service: stop-sigterm -> stop-sigkill
              job 8: done (web@2.service)
              job 6: done (web.service)
              Error: web@2.service: failed: timeout
              watch web.socket:0@0
              watch web.socket:0@1
              watch web.socket:1
              web.service: stop -> failed
              web.socket: running -> listening
              web@2.service: stop-sigkill -> failed
              job 9: start web.service
              unwatch web.socket:1
              job 10: start web@1.service
              job 11: start web@2.service
              run web@1.service ExecStart web.socket=web.socket:0@0 web.socket=web.socket:1 $INSTANCE=1 $INSTANCES=2
              run web@2.service ExecStart web.socket=web.socket:0@1 web.socket=web.socket:1 $INSTANCE=2 $INSTANCES=2
              unwatch web.socket:0@0
              unwatch web.socket:0@1
              web.service: failed -> start
              web.socket: listening -> running
              web@1.service: dead -> start
              web@2.service: failed -> start
            > ready web@1.service
              job 10: done (web@1.service)
              Info: web@1.service: running (pid 104)
              watch web.socket:0@1
              web.service: start -> degraded
              web@1.service: start -> running
        "#]],
    );
}
