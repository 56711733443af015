//! Accept=yes: one instance for each connection, and the limits on them.

use expect_test::expect;

use crate::check;

/// An echo server for each connection, with room for two.
const ECHO: &str = "
-- echo.socket
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
MaxConnections=2
-- echo@.service
[Service]
ExecStart=/bin/echo
StandardInput=socket
";

/// The same as systemd limits it.
const STRICT: &str = "
-- echo.socket
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
MaxConnections=2
TriggerLimitBurst=4
LimitAction=fail
-- echo@.service
[Service]
ExecStart=/bin/echo
";

#[test]
fn each_connection_has_an_instance_that_goes_when_it_ends() {
    check(
        ECHO,
        "start echo.socket | connect echo.socket from 10.0.0.9:4000; exit echo@0-127.0.0.1:7-10.0.0.9:4000.service",
        expect![[r#"
            > connect echo.socket from 10.0.0.9:4000
              accept echo.socket:0 up to 2
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:4000.service
              run echo@0-127.0.0.1:7-10.0.0.9:4000.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=4000
              echo@0-127.0.0.1:7-10.0.0.9:4000.service: new, start
              close conn1
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:4000.service)
              echo@0-127.0.0.1:7-10.0.0.9:4000.service: start -> running
            > exit echo@0-127.0.0.1:7-10.0.0.9:4000.service
              echo@0-127.0.0.1:7-10.0.0.9:4000.service: gone
        "#]],
    );
}

#[test]
fn a_unix_client_is_named_by_its_credentials() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=/run/echo
Accept=yes
FileDescriptorName=peer
-- echo@.service
[Service]
ExecStart=/bin/echo
"#,
        "start echo.socket | connect echo.socket pid 17 uid 1000; connect echo.socket unknown",
        expect![[r#"
            > connect echo.socket pid 17 uid 1000
              accept echo.socket:0 up to 64
              job 2: start echo@0-17-1000.service
              run echo@0-17-1000.service ExecStart peer=conn1
              echo@0-17-1000.service: new, start
              close conn1
              job 2: done (echo@0-17-1000.service)
              echo@0-17-1000.service: start -> running
            > connect echo.socket unknown
              accept echo.socket:0 up to 63
              job 3: start echo@1-unknown.service
              run echo@1-unknown.service ExecStart peer=conn2
              echo@1-unknown.service: new, start
              close conn2
              job 3: done (echo@1-unknown.service)
              echo@1-unknown.service: start -> running
        "#]],
    );
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_is_named_by_its_ipv4_address() {
    check(
        ECHO,
        "start echo.socket | connect echo.socket from [::ffff:10.0.0.9]:4000; connect echo.socket from [2001:db8::1]:4001",
        expect![[r#"
            > connect echo.socket from [::ffff:10.0.0.9]:4000
              accept echo.socket:0 up to 2
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:4000.service
              run echo@0-127.0.0.1:7-10.0.0.9:4000.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=4000
              echo@0-127.0.0.1:7-10.0.0.9:4000.service: new, start
              close conn1
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:4000.service)
              echo@0-127.0.0.1:7-10.0.0.9:4000.service: start -> running
            > connect echo.socket from [2001:db8::1]:4001
              accept echo.socket:0 up to 1
              job 3: start echo@1-127.0.0.1:7-2001:db8::1:4001.service
              unwatch echo.socket:0
              run echo@1-127.0.0.1:7-2001:db8::1:4001.service ExecStart connection=conn2 $REMOTE_ADDR=2001:db8::1 $REMOTE_PORT=4001
              echo@1-127.0.0.1:7-2001:db8::1:4001.service: new, start
              close conn2
              job 3: done (echo@1-127.0.0.1:7-2001:db8::1:4001.service)
              echo@1-127.0.0.1:7-2001:db8::1:4001.service: start -> running
        "#]],
    );
}

#[test]
fn connections_beyond_the_limit_wait() {
    check(
        ECHO,
        "start echo.socket | connect echo.socket from 10.0.0.9:1; connect echo.socket from 10.0.0.9:2; connect echo.socket from 10.0.0.9:3; incoming echo.socket; exit echo@0-127.0.0.1:7-10.0.0.9:1.service",
        expect![[r#"
            > connect echo.socket from 10.0.0.9:1
              accept echo.socket:0 up to 2
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              run echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=1
              echo@0-127.0.0.1:7-10.0.0.9:1.service: new, start
              close conn1
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              echo@0-127.0.0.1:7-10.0.0.9:1.service: start -> running
            > connect echo.socket from 10.0.0.9:2
              accept echo.socket:0 up to 1
              job 3: start echo@1-127.0.0.1:7-10.0.0.9:2.service
              unwatch echo.socket:0
              run echo@1-127.0.0.1:7-10.0.0.9:2.service ExecStart connection=conn2 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=2
              echo@1-127.0.0.1:7-10.0.0.9:2.service: new, start
              close conn2
              job 3: done (echo@1-127.0.0.1:7-10.0.0.9:2.service)
              echo@1-127.0.0.1:7-10.0.0.9:2.service: start -> running
            > connect echo.socket from 10.0.0.9:3
            > incoming echo.socket
            > exit echo@0-127.0.0.1:7-10.0.0.9:1.service
              watch echo.socket:0
              echo@0-127.0.0.1:7-10.0.0.9:1.service: gone
              accept echo.socket:0 up to 1
              job 4: start echo@2-127.0.0.1:7-10.0.0.9:3.service
              unwatch echo.socket:0
              run echo@2-127.0.0.1:7-10.0.0.9:3.service ExecStart connection=conn3 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=3
              echo@2-127.0.0.1:7-10.0.0.9:3.service: new, start
              close conn3
              job 4: done (echo@2-127.0.0.1:7-10.0.0.9:3.service)
              echo@2-127.0.0.1:7-10.0.0.9:3.service: start -> running
        "#]],
    );
}

#[test]
fn connections_beyond_the_limit_are_refused_when_strict() {
    check(
        STRICT,
        "start echo.socket | connect echo.socket from 10.0.0.9:1; connect echo.socket from 10.0.0.9:2; connect echo.socket from 10.0.0.9:3",
        expect![[r#"
            > connect echo.socket from 10.0.0.9:1
              accept echo.socket:0 up to 64
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              run echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=1
              echo@0-127.0.0.1:7-10.0.0.9:1.service: new, start
              close conn1
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              echo@0-127.0.0.1:7-10.0.0.9:1.service: start -> running
            > connect echo.socket from 10.0.0.9:2
              accept echo.socket:0 up to 64
              job 3: start echo@1-127.0.0.1:7-10.0.0.9:2.service
              run echo@1-127.0.0.1:7-10.0.0.9:2.service ExecStart connection=conn2 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=2
              echo@1-127.0.0.1:7-10.0.0.9:2.service: new, start
              close conn2
              job 3: done (echo@1-127.0.0.1:7-10.0.0.9:2.service)
              echo@1-127.0.0.1:7-10.0.0.9:2.service: start -> running
            > connect echo.socket from 10.0.0.9:3
              accept echo.socket:0 up to 64
              Warning: echo.socket: too many connections (2), refusing one; see MaxConnections=
              close conn3
        "#]],
    );
}

#[test]
fn too_many_connections_in_a_window_fail_a_strict_socket() {
    check(
        STRICT,
        "start echo.socket | connect echo.socket from 10.0.0.9:1; connect echo.socket from 10.0.0.9:2; connect echo.socket from 10.0.0.9:3; connect echo.socket from 10.0.0.9:4; connect echo.socket from 10.0.0.9:5",
        expect![[r#"
            > connect echo.socket from 10.0.0.9:1
              accept echo.socket:0 up to 64
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              run echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=1
              echo@0-127.0.0.1:7-10.0.0.9:1.service: new, start
              close conn1
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              echo@0-127.0.0.1:7-10.0.0.9:1.service: start -> running
            > connect echo.socket from 10.0.0.9:2
              accept echo.socket:0 up to 64
              job 3: start echo@1-127.0.0.1:7-10.0.0.9:2.service
              run echo@1-127.0.0.1:7-10.0.0.9:2.service ExecStart connection=conn2 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=2
              echo@1-127.0.0.1:7-10.0.0.9:2.service: new, start
              close conn2
              job 3: done (echo@1-127.0.0.1:7-10.0.0.9:2.service)
              echo@1-127.0.0.1:7-10.0.0.9:2.service: start -> running
            > connect echo.socket from 10.0.0.9:3
              accept echo.socket:0 up to 64
              Warning: echo.socket: too many connections (2), refusing one; see MaxConnections=
              close conn3
            > connect echo.socket from 10.0.0.9:4
              accept echo.socket:0 up to 64
              Warning: echo.socket: too many connections (2), refusing one; see MaxConnections=
              close conn4
            > connect echo.socket from 10.0.0.9:5
              accept echo.socket:0 up to 64
              close echo.socket:0
              Error: echo.socket: failed: trigger-limit-hit
              close conn5
              echo.socket: listening -> failed
        "#]],
    );
}

#[test]
fn too_many_connections_in_a_window_pause() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
TriggerLimitBurst=2
-- echo@.service
[Service]
ExecStart=/bin/echo
"#,
        "start echo.socket | connect echo.socket from 10.0.0.9:1; connect echo.socket from 10.0.0.9:2; connect echo.socket from 10.0.0.9:3; wait 2s",
        expect![[r#"
            > connect echo.socket from 10.0.0.9:1
              accept echo.socket:0 up to 2
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              run echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=1
              echo@0-127.0.0.1:7-10.0.0.9:1.service: new, start
              close conn1
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              echo@0-127.0.0.1:7-10.0.0.9:1.service: start -> running
            > connect echo.socket from 10.0.0.9:2
              accept echo.socket:0 up to 1
              job 3: start echo@1-127.0.0.1:7-10.0.0.9:2.service
              run echo@1-127.0.0.1:7-10.0.0.9:2.service ExecStart connection=conn2 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=2
              echo@1-127.0.0.1:7-10.0.0.9:2.service: new, start
              close conn2
              job 3: done (echo@1-127.0.0.1:7-10.0.0.9:2.service)
              echo@1-127.0.0.1:7-10.0.0.9:2.service: start -> running
            > connect echo.socket from 10.0.0.9:3
              Warning: echo.socket: trigger-limit-hit: pausing for 2s; nothing queued is lost
              unwatch echo.socket:0
              echo.socket: listening -> paused
            > wait 2s
              at 2s
              Info: echo.socket: listening again
              watch echo.socket:0
              echo.socket: paused -> listening
              accept echo.socket:0 up to 2
              job 4: start echo@2-127.0.0.1:7-10.0.0.9:3.service
              run echo@2-127.0.0.1:7-10.0.0.9:3.service ExecStart connection=conn3 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=3
              echo@2-127.0.0.1:7-10.0.0.9:3.service: new, start
              close conn3
              job 4: done (echo@2-127.0.0.1:7-10.0.0.9:3.service)
              echo@2-127.0.0.1:7-10.0.0.9:3.service: start -> running
        "#]],
    );
}

#[test]
fn want_of_descriptors_pauses() {
    check(
        ECHO,
        "start echo.socket | exhaust; connect echo.socket from 10.0.0.9:1; wait 2s",
        expect![[r#"
            > exhaust
            > connect echo.socket from 10.0.0.9:1
              accept echo.socket:0 up to 2
              Error: echo.socket: cannot accept: too many open files
              Warning: echo.socket: resources: pausing for 2s; nothing queued is lost
              unwatch echo.socket:0
              echo.socket: listening -> paused
            > wait 2s
              at 2s
              Info: echo.socket: listening again
              watch echo.socket:0
              echo.socket: paused -> listening
              accept echo.socket:0 up to 2
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              run echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=1
              echo@0-127.0.0.1:7-10.0.0.9:1.service: new, start
              close conn1
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              echo@0-127.0.0.1:7-10.0.0.9:1.service: start -> running
        "#]],
    );
}

#[test]
fn a_missing_template_pauses_and_keeps_the_queue() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
== reload
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
-- echo@.service
[Service]
ExecStart=/bin/echo
"#,
        "start echo.socket | connect echo.socket; daemon-reload; wait 2s",
        expect![[r#"
            > connect echo.socket
              Error: echo.socket: cannot start instances of echo@.service: not-found
              Warning: echo.socket: resources: pausing for 2s; nothing queued is lost
              unwatch echo.socket:0
              echo.socket: listening -> paused
            > daemon-reload
            > wait 2s
              at 2s
              Info: echo.socket: listening again
              watch echo.socket:0
              echo.socket: paused -> listening
              accept echo.socket:0 up to 64
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:4000.service
              run echo@0-127.0.0.1:7-10.0.0.9:4000.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=4000
              echo@0-127.0.0.1:7-10.0.0.9:4000.service: new, start
              close conn1
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:4000.service)
              echo@0-127.0.0.1:7-10.0.0.9:4000.service: start -> running
        "#]],
    );
}

#[test]
fn stopping_the_socket_leaves_the_connections() {
    check(
        ECHO,
        "start echo.socket | connect echo.socket from 10.0.0.9:1; stop echo.socket; exit echo@0-127.0.0.1:7-10.0.0.9:1.service",
        expect![[r#"
            > connect echo.socket from 10.0.0.9:1
              accept echo.socket:0 up to 2
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              run echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=1
              echo@0-127.0.0.1:7-10.0.0.9:1.service: new, start
              close conn1
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              echo@0-127.0.0.1:7-10.0.0.9:1.service: start -> running
            > stop echo.socket
              job 3: stop echo.socket
              close echo.socket:0
              job 3: done (echo.socket)
              Info: echo.socket: closed
              echo.socket: listening -> dead
            > exit echo@0-127.0.0.1:7-10.0.0.9:1.service
              echo@0-127.0.0.1:7-10.0.0.9:1.service: gone
        "#]],
    );
}

#[test]
fn a_connection_whose_program_cannot_run_is_closed() {
    check(
        ECHO,
        "start echo.socket | plan echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart cannot-exec; connect echo.socket from 10.0.0.9:1",
        expect![[r#"
            > plan echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart cannot-exec
            > connect echo.socket from 10.0.0.9:1
              accept echo.socket:0 up to 2
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              run echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=1
              echo@0-127.0.0.1:7-10.0.0.9:1.service: new, start
              Error: echo@0-127.0.0.1:7-10.0.0.9:1.service: no such file
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              Warning: echo@0-127.0.0.1:7-10.0.0.9:1.service: exited with status 203
              Error: echo@0-127.0.0.1:7-10.0.0.9:1.service: failed: exit-code
              close conn1
              echo@0-127.0.0.1:7-10.0.0.9:1.service: gone
        "#]],
    );
}

#[test]
fn a_connection_that_is_stopped_before_it_began_is_closed() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
-- echo@.service
[Unit]
After=db.service
[Service]
ExecStart=/bin/echo
-- db.service
[Service]
Type=notify
ExecStart=/bin/db
"#,
        "start echo.socket; start db.service | connect echo.socket from 10.0.0.9:1; stop echo@0-127.0.0.1:7-10.0.0.9:1.service",
        expect![[r#"
            > connect echo.socket from 10.0.0.9:1
              accept echo.socket:0 up to 64
              job 3: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              echo@0-127.0.0.1:7-10.0.0.9:1.service: new, dead
            > stop echo@0-127.0.0.1:7-10.0.0.9:1.service
              job 3: canceled (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              job 4: stop echo@0-127.0.0.1:7-10.0.0.9:1.service
              job 4: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              close conn1
              echo@0-127.0.0.1:7-10.0.0.9:1.service: gone
        "#]],
    );
}

#[test]
fn a_connection_brings_what_its_service_requires() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
-- echo@.service
[Unit]
Requires=db.service
After=db.service
[Service]
ExecStart=/bin/echo
-- db.service
[Service]
Type=notify
ExecStart=/bin/db
"#,
        "start echo.socket | connect echo.socket from 10.0.0.9:1; ready db.service; stop db.service; connect echo.socket from 10.0.0.9:2; exit db.service 1",
        expect![[r#"
            > connect echo.socket from 10.0.0.9:1
              accept echo.socket:0 up to 64
              job 2: start db.service
              job 3: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              run db.service ExecStart
              db.service: dead -> start
              echo@0-127.0.0.1:7-10.0.0.9:1.service: new, dead
            > ready db.service
              job 2: done (db.service)
              Info: db.service: running (pid 101)
              run echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=1
              db.service: start -> running
              echo@0-127.0.0.1:7-10.0.0.9:1.service: dead -> start
              close conn1
              job 3: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              echo@0-127.0.0.1:7-10.0.0.9:1.service: start -> running
            > stop db.service
              job 4: stop db.service
              SIGTERM to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              job 4: done (db.service)
              db.service: stop-sigterm -> dead
            > connect echo.socket from 10.0.0.9:2
              accept echo.socket:0 up to 63
              job 5: start db.service
              job 6: start echo@1-127.0.0.1:7-10.0.0.9:2.service
              run db.service ExecStart
              db.service: dead -> start
              echo@1-127.0.0.1:7-10.0.0.9:2.service: new, dead
            > exit db.service 1
              Warning: db.service: exited with status 1
              job 5: failed (db.service)
              Error: db.service: failed: exit-code
              run echo@1-127.0.0.1:7-10.0.0.9:2.service ExecStart connection=conn2 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=2
              db.service: start -> failed
              echo@1-127.0.0.1:7-10.0.0.9:2.service: dead -> start
              close conn2
              job 6: done (echo@1-127.0.0.1:7-10.0.0.9:2.service)
              echo@1-127.0.0.1:7-10.0.0.9:2.service: start -> running
        "#]],
    );
}
