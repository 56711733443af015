//! A manager that dies, and its successor that takes up what it left.

use expect_test::expect;

use crate::check;

/// A socket with its service, as the first manager and the second find it.
const HTTP: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Service]
Type=notify
ExecStart=/bin/http
ExecReload=/bin/reload
Restart=always
TimeoutStartSec=5s
TimeoutStopSec=5s
== reload
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Service]
Type=notify
ExecStart=/bin/http
ExecReload=/bin/reload
Restart=always
TimeoutStartSec=5s
TimeoutStopSec=5s
";

/// A group of two.
const WEB: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
DrainTimeoutSec=1ms
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
DrainTimeoutSec=1ms
ExecStart=/bin/web
";

/// A server for each connection.
const ECHO: &str = "
-- echo.socket
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
-- echo@.service
[Service]
ExecStartPre=/bin/pre
ExecStart=/bin/echo
== reload
-- echo.socket
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
-- echo@.service
[Service]
ExecStartPre=/bin/pre
ExecStart=/bin/echo
";

#[test]
fn a_listening_socket_goes_on_listening() {
    check(
        HTTP,
        "start http.socket | manager-dies; connect http.socket; manager-returns",
        expect![[r#"
            > manager-dies
            > connect http.socket
            > manager-returns
              watch http.socket:0
              job 1: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
        "#]],
    );
}

#[test]
fn a_running_service_goes_on() {
    check(
        HTTP,
        "start http.socket; connect http.socket; ready http.service; take http.service | manager-dies; manager-returns; dies http.service SIGSEGV; wait 100ms",
        expect![[r#"
            > manager-dies
            > manager-returns
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              Info: http.service: restarting in 100ms
              http.service: running -> auto-restart
            > wait 100ms
              at 100ms
              job 1: start http.service
              run http.service ExecStart http.socket=http.socket:0
              http.service: auto-restart -> start
        "#]],
    );
}

#[test]
fn a_service_that_died_meanwhile_is_restarted() {
    check(
        HTTP,
        "start http.socket; connect http.socket; ready http.service | manager-dies; exit http.service 1; manager-returns; wait 100ms",
        expect![[r#"
            > manager-dies
            > exit http.service 1
            > manager-returns
              Warning: http.service: exited with status 1
              Error: http.service: failed: exit-code
              Info: http.service: restarting in 100ms
              http.service: running -> auto-restart
            > wait 100ms
              at 100ms
              job 1: start http.service
              run http.service ExecStart http.socket=http.socket:0
              http.service: auto-restart -> start
        "#]],
    );
}

#[test]
fn a_start_goes_on_and_its_job_with_it() {
    check(
        HTTP,
        "start http.service | manager-dies; manager-returns; ready http.service",
        expect![[r#"
            > manager-dies
            > manager-returns
              job 1: start http.service
            > ready http.service
              job 1: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn a_start_timeout_goes_on() {
    check(
        HTTP,
        "start http.service; wait 3s | manager-dies; manager-returns; wait 2s",
        expect![[r#"
            > manager-dies
            > manager-returns
              job 1: start http.service
            > wait 2s
              at 5s
              Warning: http.service: start timed out
              SIGTERM to http.service ExecStart (Session)
              http.service: start -> stop-sigterm
              job 1: failed (http.service)
              Error: http.service: failed: timeout
              Info: http.service: restarting in 100ms
              http.service: stop-sigterm -> auto-restart
        "#]],
    );
}

#[test]
fn a_stop_goes_on_and_is_no_crash() {
    check(
        HTTP,
        "start http.service; plan http.service ExecStart ignores-signals; restart http.service; ready http.service; stop http.service | manager-dies; manager-returns; wait 5s; wait 5s",
        expect![[r#"
            > manager-dies
            > manager-returns
              job 1: stop http.service
            > wait 5s
              at 5s
              Warning: http.service: did not stop in time, killing
              SIGKILL to http.service ExecStart (Session)
              http.service: stop-sigterm -> stop-sigkill
              job 1: done (http.service)
              Error: http.service: failed: timeout
              http.service: stop-sigkill -> failed
            > wait 5s
        "#]],
    );
}

#[test]
fn a_restart_goes_on_after_its_stop() {
    check(
        HTTP,
        "plan http.service ExecStart ignores-signals; start http.service; ready http.service; restart http.service | manager-dies; manager-returns; wait 5s; ready http.service",
        expect![[r#"
            > manager-dies
            > manager-returns
              job 1: restart http.service
            > wait 5s
              at 5s
              Warning: http.service: did not stop in time, killing
              SIGKILL to http.service ExecStart (Session)
              http.service: stop-sigterm -> stop-sigkill
              Error: http.service: failed: timeout
              run http.service ExecStart
              http.service: stop-sigkill -> start
            > ready http.service
              job 1: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn a_process_whose_start_was_not_answered_is_taken_up() {
    check(
        HTTP,
        "plan http.service ExecStart slow; start http.service | manager-dies; manager-returns; ready http.service",
        expect![[r#"
            > manager-dies
            > manager-returns
              job 1: start http.service
            > ready http.service
              job 1: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn a_wait_for_a_restart_goes_on() {
    check(
        HTTP,
        "start http.service; ready http.service; exit http.service 1 | manager-dies; wait 1s; manager-returns; wait 1s",
        expect![[r#"
            > manager-dies
            > wait 1s
            > manager-returns
            > wait 1s
              at 100ms
              job 1: start http.service
              run http.service ExecStart
              http.service: auto-restart -> start
        "#]],
    );
}

#[test]
fn a_lost_listener_is_opened_again() {
    check(
        HTTP,
        "start http.socket | manager-dies; manager-returns without http.socket:0; connect http.socket",
        expect![[r#"
            > manager-dies
            > manager-returns without http.socket:0
              Error: http.socket: its listeners are lost or not what its file says now, opening them again
              job 1: start http.socket
              open http.socket:0
              http.socket: listening -> start-open
              Info: http.socket: listening on 127.0.0.1:80
              job 1: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
        "#]],
    );
}

#[test]
fn a_group_is_steered_anew() {
    check(
        WEB,
        "start web.socket; start web.service | manager-dies; dies web@1.service SIGSEGV; manager-returns; wait 100ms",
        expect![[r#"
            > manager-dies
            > dies web@1.service SIGSEGV
            > manager-returns
              steer web.socket to [1]
              Warning: web@1.service: killed by SIGSEGV
              Error: web@1.service: failed: signal
              Info: web@1.service: restarting in 100ms
              watch web.socket:0@0
              web.service: running -> degraded
              web@1.service: running -> auto-restart
            > wait 100ms
              at 100ms
              job 1: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=2
              unwatch web.socket:0@0
              web@1.service: auto-restart -> start
              job 1: done (web@1.service)
              Info: web@1.service: running (pid 103)
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@1.service: start -> running
        "#]],
    );
}

#[test]
fn a_rolling_restart_begins_again() {
    check(
        WEB,
        "start web.socket; start web.service; plan web@2.service ExecStart ignores-signals; restart web@2.service; restart web.service | manager-dies; manager-returns; wait 90s",
        expect![[r#"
            > manager-dies
            > manager-returns
              job 1: restart web.service
              job 2: restart web@2.service
              steer web.socket to [0]
              job 3: restart web@1.service
              SIGTERM to web@1.service ExecStart (Session)
              web.service: degraded -> stop
              web@1.service: running -> stop-sigterm
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=2
              web.service: stop -> start
              web@1.service: stop-sigterm -> start
              job 3: done (web@1.service)
              Info: web@1.service: running (pid 105)
              web.service: start -> degraded
              web@1.service: start -> running
            > wait 90s
              at 1min 30s
              Warning: web@2.service: did not stop in time, killing
              SIGKILL to web@2.service ExecStart (Session)
              web@2.service: stop-sigterm -> stop-sigkill
              Error: web@2.service: failed: timeout
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              web@2.service: stop-sigkill -> start
              job 2: done (web@2.service)
              job 1: done (web.service)
              Info: web@2.service: running (pid 106)
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@2.service: start -> running
        "#]],
    );
}

#[test]
fn connections_go_on_and_are_counted() {
    check(
        ECHO,
        "start echo.socket; connect echo.socket from 10.0.0.9:1 | manager-dies; manager-returns; connect echo.socket from 10.0.0.9:2; exit echo@0-127.0.0.1:7-10.0.0.9:1.service",
        expect![[r#"
            > manager-dies
            > manager-returns
              watch echo.socket:0
            > connect echo.socket from 10.0.0.9:2
              accept echo.socket:0 up to 63
              job 1: start echo@1-127.0.0.1:7-10.0.0.9:2.service
              run echo@1-127.0.0.1:7-10.0.0.9:2.service ExecStartPre $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=2
              echo@1-127.0.0.1:7-10.0.0.9:2.service: new, start-pre
              run echo@1-127.0.0.1:7-10.0.0.9:2.service ExecStart connection=conn2 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=2
              echo@1-127.0.0.1:7-10.0.0.9:2.service: start-pre -> start
              close conn2
              job 1: done (echo@1-127.0.0.1:7-10.0.0.9:2.service)
              echo@1-127.0.0.1:7-10.0.0.9:2.service: start -> running
            > exit echo@0-127.0.0.1:7-10.0.0.9:1.service
              echo@0-127.0.0.1:7-10.0.0.9:1.service: gone
        "#]],
    );
}

#[test]
fn a_connection_that_had_no_server_yet_is_lost_with_the_manager() {
    check(
        ECHO,
        "start echo.socket; plan echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStartPre lingers; connect echo.socket from 10.0.0.9:1 | manager-dies; manager-returns",
        expect![[r#"
            > manager-dies
            > manager-returns
              job 1: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              Warning: echo@0-127.0.0.1:7-10.0.0.9:1.service: its connection was lost with the earlier manager
              job 1: canceled (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              job 2: stop echo@0-127.0.0.1:7-10.0.0.9:1.service
              watch echo.socket:0
              SIGTERM to echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStartPre (Session)
              echo@0-127.0.0.1:7-10.0.0.9:1.service: start-pre -> stop-sigterm
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              Error: echo@0-127.0.0.1:7-10.0.0.9:1.service: failed: signal
              echo@0-127.0.0.1:7-10.0.0.9:1.service: gone
        "#]],
    );
}

#[test]
fn what_was_waiting_for_its_turn_still_gets_it() {
    check(
        r#"
-- a.service
[Service]
Type=notify
ExecStart=/bin/a
-- b.service
[Unit]
After=a.service
[Service]
ExecStart=/bin/b
== reload
-- a.service
[Service]
Type=notify
ExecStart=/bin/a
-- b.service
[Unit]
After=a.service
[Service]
ExecStart=/bin/b
"#,
        "start a.service; start b.service | manager-dies; manager-returns; ready a.service",
        expect![[r#"
            > manager-dies
            > manager-returns
              job 1: start a.service
              job 2: start b.service
            > ready a.service
              job 1: done (a.service)
              Info: a.service: running (pid 101)
              run b.service ExecStart
              a.service: start -> running
              b.service: dead -> start
              job 2: done (b.service)
              Info: b.service: running (pid 102)
              b.service: start -> running
        "#]],
    );
}

#[test]
fn a_group_keeps_the_slots_that_it_was_opened_with() {
    check(
        r#"
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
DrainTimeoutSec=1ms
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=3
-- web@.service
[Service]
DrainTimeoutSec=1ms
ExecStart=/bin/web
"#,
        "start web.socket; start web.service; stop web@2.service | manager-dies; manager-returns; connect web.socket:0@1; restart web.service",
        expect![[r#"
            > manager-dies
            > manager-returns
              steer web.socket to [0]
              watch web.socket:0@1
            > connect web.socket:0@1
              steer web.socket to [0]
              migrate web.socket:0@1
              steer web.socket to [0]
              job 1: start web@2.service
              unwatch web.socket:0@1
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              web@2.service: dead -> start
              job 1: done (web@2.service)
              Info: web@2.service: running (pid 103)
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@2.service: start -> running
            > restart web.service
              job 2: restart web.service
              job 3: restart web@1.service
              steer web.socket to [1]
              SIGTERM to web@1.service ExecStart (Session)
              web.service: running -> degraded
              web@1.service: running -> stop-sigterm
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=2
              web@1.service: stop-sigterm -> start
              job 3: done (web@1.service)
              job 4: restart web@2.service
              Info: web@1.service: running (pid 104)
              steer web.socket to [0]
              SIGTERM to web@2.service ExecStart (Session)
              web@1.service: start -> running
              web@2.service: running -> stop-sigterm
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              web@2.service: stop-sigterm -> start
              job 4: done (web@2.service)
              job 2: done (web.service)
              Info: web@2.service: running (pid 105)
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@2.service: start -> running
        "#]],
    );
}

#[test]
fn listeners_that_the_file_no_longer_asks_for_are_opened_anew() {
    check(
        r#"
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
DrainTimeoutSec=1ms
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
-- web.service
[Service]
ExecStart=/bin/web
"#,
        "start web.socket | manager-dies; manager-returns; connect web.socket",
        expect![[r#"
            > manager-dies
            > manager-returns
              Error: web.socket: its listeners are lost or not what its file says now, opening them again
              close web.socket:0@0 web.socket:0@1
              job 1: start web.socket
              open web.socket:0
              web.socket: listening -> start-open
              web@1.service: gone
              web@2.service: gone
              Info: web.socket: listening on 127.0.0.1:80
              job 1: done (web.socket)
              watch web.socket:0
              web.socket: start-open -> listening
            > connect web.socket
              job 2: start web.service
              unwatch web.socket:0
              run web.service ExecStart web.socket=web.socket:0
              web.service: dead -> start
              web.socket: listening -> running
              job 2: done (web.service)
              Info: web.service: running (pid 101)
              web.service: start -> running
        "#]],
    );
}

#[test]
fn a_unit_whose_file_went_with_the_manager_goes_on_until_it_is_stopped() {
    check(
        r#"
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Service]
ExecStart=/bin/http
== reload
"#,
        "start http.socket; start http.service | manager-dies; manager-returns; stop http.service; stop http.socket",
        expect![[r#"
            > manager-dies
            > manager-returns
            > stop http.service
              job 1: stop http.service
              SIGTERM to http.service ExecStart (Session)
              http.service: running -> stop-sigterm
              job 1: done (http.service)
              watch http.socket:0
              http.socket: running -> listening
              http.service: gone
            > stop http.socket
              job 2: stop http.socket
              close http.socket:0
              job 2: done (http.socket)
              Info: http.socket: closed
              http.socket: gone
        "#]],
    );
}
