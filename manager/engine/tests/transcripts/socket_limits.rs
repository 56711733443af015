//! What a socket does about too much traffic, about what is left in its queue, and about a listener that is of no use any more.

use expect_test::expect;

use crate::check;

#[test]
fn connections_of_one_client_are_limited() {
    let units = "
-- echo.socket
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
MaxConnectionsPerSource=1
-- echo@.service
[Service]
ExecStart=/bin/echo
";
    check(
        units,
        "start echo.socket; connect echo.socket from 10.0.0.9:1 | connect echo.socket from 10.0.0.9:2; connect echo.socket from 10.0.0.8:1; exit echo@0-127.0.0.1:7-10.0.0.9:1.service; connect echo.socket from [::ffff:10.0.0.9]:3; connect echo.socket pid 7 uid 1000; connect echo.socket pid 8 uid 1000",
        expect![[r#"
            > connect echo.socket from 10.0.0.9:2
              accept echo.socket:0 up to 63
              Warning: echo.socket: too many connections of 10.0.0.9, refusing one; see MaxConnectionsPerSource=
              close conn2
            > connect echo.socket from 10.0.0.8:1
              accept echo.socket:0 up to 63
              job 3: start echo@1-127.0.0.1:7-10.0.0.8:1.service
              run echo@1-127.0.0.1:7-10.0.0.8:1.service ExecStart connection=conn3 $REMOTE_ADDR=10.0.0.8 $REMOTE_PORT=1
              echo@1-127.0.0.1:7-10.0.0.8:1.service: new, start
              close conn3
              job 3: done (echo@1-127.0.0.1:7-10.0.0.8:1.service)
              echo@1-127.0.0.1:7-10.0.0.8:1.service: start -> running
            > exit echo@0-127.0.0.1:7-10.0.0.9:1.service
              echo@0-127.0.0.1:7-10.0.0.9:1.service: gone
            > connect echo.socket from [::ffff:10.0.0.9]:3
              accept echo.socket:0 up to 63
              job 4: start echo@2-127.0.0.1:7-10.0.0.9:3.service
              run echo@2-127.0.0.1:7-10.0.0.9:3.service ExecStart connection=conn4 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=3
              echo@2-127.0.0.1:7-10.0.0.9:3.service: new, start
              close conn4
              job 4: done (echo@2-127.0.0.1:7-10.0.0.9:3.service)
              echo@2-127.0.0.1:7-10.0.0.9:3.service: start -> running
            > connect echo.socket pid 7 uid 1000
              accept echo.socket:0 up to 62
              job 5: start echo@3-7-1000.service
              run echo@3-7-1000.service ExecStart connection=conn5
              echo@3-7-1000.service: new, start
              close conn5
              job 5: done (echo@3-7-1000.service)
              echo@3-7-1000.service: start -> running
            > connect echo.socket pid 8 uid 1000
              accept echo.socket:0 up to 61
              Warning: echo.socket: too many connections of user 1000, refusing one; see MaxConnectionsPerSource=
              close conn6
        "#]],
    );
}

#[test]
fn what_a_service_left_behind_is_thrown_away_where_that_is_wanted() {
    let units = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:8080
FlushPending=yes
-- http.service
[Service]
ExecStart=/bin/http
";
    check(
        units,
        "start http.socket; connect http.socket | connect http.socket; exit http.service",
        expect![[r#"
            > connect http.socket
            > exit http.service
              Info: http.service: exited with status 0
              flush http.socket:0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
        "#]],
    );
}

#[test]
fn a_listener_that_wakes_too_often_is_left_alone_for_the_rest_of_the_window() {
    let units = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:8080
PollLimitIntervalSec=3s
PollLimitBurst=2
-- http.service
[Service]
Type=oneshot
ExecStart=/bin/http
";
    check(
        units,
        "start http.socket; connect http.socket; take http.service; exit http.service; connect http.socket; take http.service | exit http.service; connect http.socket; wait 2s; wait 2s",
        expect![[r#"
            > exit http.service
              Info: http.service: exited with status 0
              job 3: done (http.service)
              http.service: start -> dead
              http.socket: running -> listening
            > connect http.socket
            > wait 2s
            > wait 2s
              at 3s
              watch http.socket:0
              job 4: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
        "#]],
    );
}

const STRICT: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:8080
LimitAction=fail
-- http.service
[Service]
ExecStart=/bin/http
";

#[test]
fn a_listener_that_was_shut_down_listens_again() {
    let lenient = STRICT.replace("LimitAction=fail\n", "");
    check(
        &lenient,
        "start http.socket | shut-down http.socket:0",
        expect![[r#"
            > shut-down http.socket:0
              Warning: http.socket: somebody shut down its listener 2; it is opened again
              relisten http.socket:0
        "#]],
    );
}

#[test]
fn a_strict_socket_ends_when_its_listener_was_shut_down() {
    check(
        STRICT,
        "start http.socket | shut-down http.socket:0",
        expect![[r#"
            > shut-down http.socket:0
              Error: http.socket: somebody shut down one of its listeners
              close http.socket:0
              Error: http.socket: failed: resources
              http.socket: listening -> failed
        "#]],
    );
}

#[test]
fn what_cannot_be_waited_for_cannot_be_listened_on() {
    check(
        STRICT,
        "start http.socket | unwatchable http.socket:0",
        expect![[r#"
        > unwatchable http.socket:0
          Error: http.socket: it is a plain file
          close http.socket:0
          Error: http.socket: failed: resources
          http.socket: listening -> failed
    "#]],
    );
}

#[test]
fn a_strict_socket_that_is_restarted_under_its_service_is_closed() {
    check(
        STRICT,
        "start http.socket; connect http.socket | restart http.socket",
        expect![[r#"
        > restart http.socket
          job 3: restart http.socket
          close http.socket:0
          Info: http.socket: closed
          Error: http.socket: http.service is already active, refusing to listen beside it; stop it first
          job 3: failed (http.socket)
          http.socket: running -> dead
    "#]],
    );
}
