//! New unit files while units run (daemon-reload).

use expect_test::expect;

use crate::check;

#[test]
fn what_runs_goes_on_with_its_new_settings() {
    check(
        r#"
-- http.socket
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/old
== reload
-- http.socket
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/new
ExecStop=/bin/stop
"#,
        "start http.socket; connect http.socket; take http.service; daemon-reload; stop http.service; connect http.socket",
        expect![[r#"
            > start http.socket
              job 1: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on [::]:80
              job 1: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > take http.service
            > daemon-reload
            > stop http.service
              job 3: stop http.service
              run http.service ExecStop $MAINPID=101 $SERVICE_RESULT=success
              http.service: running -> stop
              SIGTERM to http.service ExecStart (Session)
              http.service: stop -> stop-sigterm
              job 3: done (http.service)
              watch http.socket:0
              http.service: stop-sigterm -> dead
              http.socket: running -> listening
            > connect http.socket
              job 4: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 4: done (http.service)
              Info: http.service: running (pid 103)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn a_unit_whose_file_is_gone_stays_until_it_is_stopped() {
    check(
        r#"
-- http.socket
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/http
== reload
-- other.service
[Service]
ExecStart=/bin/other
== reload
"#,
        "start http.socket; connect http.socket; take http.service; daemon-reload; start http.service; start other.service; stop http.service; connect http.socket; stop http.socket; stop other.service; daemon-reload",
        expect![[r#"
            > start http.socket
              job 1: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on [::]:80
              job 1: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > take http.service
            > daemon-reload
              other.service: new, dead
            > start http.service
              refused: Unit http.service not found.
            > start other.service
              job 3: start other.service
              run other.service ExecStart
              other.service: dead -> start
              job 3: done (other.service)
              Info: other.service: running (pid 102)
              other.service: start -> running
            > stop http.service
              job 4: stop http.service
              SIGTERM to http.service ExecStart (Session)
              http.service: running -> stop-sigterm
              job 4: done (http.service)
              watch http.socket:0
              http.socket: running -> listening
              http.service: gone
            > connect http.socket
              Error: http.socket: cannot start http.service: Unit http.service not found.
              Warning: http.socket: resources: pausing for 2s; nothing queued is lost
              unwatch http.socket:0
              http.socket: listening -> paused
            > stop http.socket
              job 5: stop http.socket
              close http.socket:0
              job 5: done (http.socket)
              Info: http.socket: closed
              http.socket: gone
            > stop other.service
              job 6: stop other.service
              SIGTERM to other.service ExecStart (Session)
              other.service: running -> stop-sigterm
              job 6: done (other.service)
              other.service: stop-sigterm -> dead
            > daemon-reload
              other.service: gone
        "#]],
    );
}

#[test]
fn a_change_of_what_a_socket_listens_on_waits_for_its_next_start() {
    check(
        r#"
-- http.socket
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/http
== reload
-- http.socket
[Socket]
ListenStream=80
ListenStream=81
-- http.service
[Service]
ExecStart=/bin/http
"#,
        "start http.socket; daemon-reload; connect http.socket; stop http.socket; stop http.service; start http.socket",
        expect![[r#"
            > start http.socket
              job 1: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on [::]:80
              job 1: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > daemon-reload
              open http.socket:1
              adjust http.socket:0
              Info: http.socket: listeners follow its file: 1 opened, 0 closed
              watch http.socket:1
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              unwatch http.socket:1
              run http.service ExecStart http.socket=http.socket:0 http.socket=http.socket:1
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > stop http.socket
              job 3: stop http.socket
              close http.socket:0 http.socket:1
              job 3: done (http.socket)
              Info: http.socket: closed
              http.socket: running -> dead
            > stop http.service
              job 4: stop http.service
              SIGTERM to http.service ExecStart (Session)
              http.service: running -> stop-sigterm
              job 4: done (http.service)
              http.service: stop-sigterm -> dead
            > start http.socket
              job 5: start http.socket
              open http.socket:0 http.socket:1
              http.socket: dead -> start-open
              Info: http.socket: listening on [::]:80, [::]:81
              job 5: done (http.socket)
              watch http.socket:0
              watch http.socket:1
              http.socket: start-open -> listening
        "#]],
    );
}

#[test]
fn a_group_takes_its_new_size_at_its_next_start() {
    check(
        r#"
-- web.socket
[Socket]
ListenStream=80
Instances=2
-- web@.service
[Service]
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=80
Instances=3
-- web@.service
[Service]
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=80
Instances=1
-- web@.service
[Service]
ExecStart=/bin/web
"#,
        "start web.socket; start web.service; daemon-reload; start web.service; stop web.socket; stop web.service; start web.socket; start web.service; daemon-reload; stop web.socket; stop web.service; start web.socket; start web.service",
        expect![[r#"
            > start web.socket
              job 1: start web.socket
              open web.socket:0@0 web.socket:0@1
              web.socket: dead -> start-open
              steer web.socket to [0]
              Info: web.socket: listening on [::]:80
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
            > daemon-reload
              Warning: web.socket: what it starts, or how, has changed; that takes effect at its next start
            > start web.service
              job 5: start web.service
              job 5: done (web.service)
            > stop web.socket
              job 6: stop web.socket
              close web.socket:0@0 web.socket:0@1
              job 6: done (web.socket)
              Info: web.socket: closed
              web.socket: running -> dead
            > stop web.service
              job 7: stop web.service
              job 8: stop web@1.service
              job 9: stop web@2.service
              SIGTERM to web@1.service ExecStart (Session)
              SIGTERM to web@2.service ExecStart (Session)
              web.service: running -> stop
              web@1.service: running -> stop-sigterm
              web@2.service: running -> stop-sigterm
              job 8: done (web@1.service)
              web@1.service: stop-sigterm -> dead
              job 9: done (web@2.service)
              job 7: done (web.service)
              web.service: stop -> dead
              web@2.service: stop-sigterm -> dead
            > start web.socket
              job 10: start web.socket
              open web.socket:0@0 web.socket:0@1 web.socket:0@2
              web.socket: dead -> start-open
              web@3.service: new, dead
              steer web.socket to [0]
              Info: web.socket: listening on [::]:80
              job 10: done (web.socket)
              watch web.socket:0@0
              watch web.socket:0@1
              watch web.socket:0@2
              web.socket: start-open -> listening
            > start web.service
              job 11: start web.service
              job 12: start web@1.service
              job 13: start web@2.service
              job 14: start web@3.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              run web@3.service ExecStart web.socket=web.socket:0@2 $INSTANCE=3 $INSTANCES=3
              web.service: dead -> start
              web@1.service: dead -> start
              web@2.service: dead -> start
              web@3.service: dead -> start
              job 12: done (web@1.service)
              Info: web@1.service: running (pid 103)
              web.service: start -> degraded
              web@1.service: start -> running
              job 13: done (web@2.service)
              Info: web@2.service: running (pid 104)
              steer web.socket to [0, 1]
              web@2.service: start -> running
              job 14: done (web@3.service)
              job 11: done (web.service)
              Info: web@3.service: running (pid 105)
              unwatch web.socket:0@0
              unwatch web.socket:0@1
              unwatch web.socket:0@2
              steer web.socket to [0, 1, 2]
              web.service: degraded -> running
              web.socket: listening -> running
              web@3.service: start -> running
            > daemon-reload
              Warning: web.socket: what it starts, or how, has changed; that takes effect at its next start
            > stop web.socket
              job 15: stop web.socket
              close web.socket:0@0 web.socket:0@1 web.socket:0@2
              job 15: done (web.socket)
              Info: web.socket: closed
              web.socket: running -> dead
            > stop web.service
              job 16: stop web.service
              job 17: stop web@1.service
              job 18: stop web@2.service
              job 19: stop web@3.service
              SIGTERM to web@1.service ExecStart (Session)
              SIGTERM to web@2.service ExecStart (Session)
              SIGTERM to web@3.service ExecStart (Session)
              web.service: running -> stop
              web@1.service: running -> stop-sigterm
              web@2.service: running -> stop-sigterm
              web@3.service: running -> stop-sigterm
              job 17: done (web@1.service)
              web@1.service: stop-sigterm -> dead
              job 18: done (web@2.service)
              web@2.service: stop-sigterm -> dead
              job 19: done (web@3.service)
              job 16: done (web.service)
              web.service: stop -> dead
              web@3.service: stop-sigterm -> dead
            > start web.socket
              job 20: start web.socket
              open web.socket:0@0
              web.socket: dead -> start-open
              web@2.service: gone
              web@3.service: gone
              steer web.socket to [0]
              Info: web.socket: listening on [::]:80
              job 20: done (web.socket)
              watch web.socket:0@0
              web.socket: start-open -> listening
            > start web.service
              job 21: start web.service
              job 22: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=1
              web.service: dead -> start
              web@1.service: dead -> start
              job 22: done (web@1.service)
              job 21: done (web.service)
              Info: web@1.service: running (pid 106)
              unwatch web.socket:0@0
              web.service: start -> running
              web.socket: listening -> running
              web@1.service: start -> running
        "#]],
    );
}

#[test]
fn a_group_may_become_a_plain_service() {
    check(
        r#"
-- web.socket
[Socket]
ListenStream=80
Instances=2
-- web@.service
[Service]
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=80
-- web.service
[Service]
ExecStart=/bin/web
"#,
        "start web.socket; start web.service; daemon-reload; stop web.socket; stop web.service; start web.socket; connect web.socket",
        expect![[r#"
            > start web.socket
              job 1: start web.socket
              open web.socket:0@0 web.socket:0@1
              web.socket: dead -> start-open
              steer web.socket to [0]
              Info: web.socket: listening on [::]:80
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
            > daemon-reload
              Warning: web.socket: what it starts, or how, has changed; that takes effect at its next start
            > stop web.socket
              job 5: stop web.socket
              close web.socket:0@0 web.socket:0@1
              job 5: done (web.socket)
              Info: web.socket: closed
              web.socket: running -> dead
            > stop web.service
              job 6: stop web.service
              job 7: stop web@1.service
              job 8: stop web@2.service
              SIGTERM to web@1.service ExecStart (Session)
              SIGTERM to web@2.service ExecStart (Session)
              web.service: running -> stop
              web@1.service: running -> stop-sigterm
              web@2.service: running -> stop-sigterm
              job 7: done (web@1.service)
              web@1.service: gone
              job 8: done (web@2.service)
              job 6: done (web.service)
              web.service: stop -> dead
              web@2.service: gone
            > start web.socket
              job 9: start web.socket
              open web.socket:0
              web.socket: dead -> start-open
              Info: web.socket: listening on [::]:80
              job 9: done (web.socket)
              watch web.socket:0
              web.socket: start-open -> listening
            > connect web.socket
              job 10: start web.service
              unwatch web.socket:0
              run web.service ExecStart web.socket=web.socket:0
              web.service: dead -> start
              web.socket: listening -> running
              job 10: done (web.service)
              Info: web.service: running (pid 103)
              web.service: start -> running
        "#]],
    );
}

#[test]
fn connections_are_served_on_when_their_template_is_gone() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
-- echo@.service
[Service]
ExecStart=/bin/echo
== reload
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
"#,
        "start echo.socket; connect echo.socket from 10.0.0.9:1; daemon-reload; connect echo.socket from 10.0.0.9:2; exit echo@0-127.0.0.1:7-10.0.0.9:1.service",
        expect![[r#"
            > start echo.socket
              job 1: start echo.socket
              open echo.socket:0
              echo.socket: dead -> start-open
              Info: echo.socket: listening on [::]:7
              job 1: done (echo.socket)
              watch echo.socket:0
              echo.socket: start-open -> listening
            > connect echo.socket from 10.0.0.9:1
              accept echo.socket:0 up to 64
              job 2: start echo@0-127.0.0.1:7-10.0.0.9:1.service
              run echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart connection=conn1 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=1
              echo@0-127.0.0.1:7-10.0.0.9:1.service: new, start
              close conn1
              job 2: done (echo@0-127.0.0.1:7-10.0.0.9:1.service)
              echo@0-127.0.0.1:7-10.0.0.9:1.service: start -> running
            > daemon-reload
            > connect echo.socket from 10.0.0.9:2
              Error: echo.socket: cannot start instances of echo@.service: not-found
              Warning: echo.socket: resources: pausing for 2s; nothing queued is lost
              unwatch echo.socket:0
              echo.socket: listening -> paused
            > exit echo@0-127.0.0.1:7-10.0.0.9:1.service
              echo@0-127.0.0.1:7-10.0.0.9:1.service: gone
        "#]],
    );
}

#[test]
fn a_raised_limit_counts_at_once() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
MaxConnections=1
-- echo@.service
[Service]
ExecStart=/bin/echo
== reload
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
MaxConnections=2
-- echo@.service
[Service]
ExecStart=/bin/echo
"#,
        "start echo.socket; connect echo.socket from 10.0.0.9:1; connect echo.socket from 10.0.0.9:2 | daemon-reload",
        expect![[r#"
            > daemon-reload
              adjust echo.socket:0
              watch echo.socket:0
              accept echo.socket:0 up to 1
              job 3: start echo@1-127.0.0.1:7-10.0.0.9:2.service
              unwatch echo.socket:0
              run echo@1-127.0.0.1:7-10.0.0.9:2.service ExecStart connection=conn2 $REMOTE_ADDR=10.0.0.9 $REMOTE_PORT=2
              echo@1-127.0.0.1:7-10.0.0.9:2.service: new, start
              close conn2
              job 3: done (echo@1-127.0.0.1:7-10.0.0.9:2.service)
              echo@1-127.0.0.1:7-10.0.0.9:2.service: start -> running
        "#]],
    );
}
