//! Sockets that hand over their listeners: opening, triggering, coming back, closing.

use expect_test::expect;

use crate::check;

/// One socket, one service.
const HTTP: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:8080
-- http.service
[Service]
ExecStart=/bin/http
";

/// A web server on two addresses, each with a name of its own, and a second socket for its administration.
const MANY: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
ListenStream=/run/web.sock
FileDescriptorName=tcp
FileDescriptorName=unix
-- admin.socket
[Socket]
ListenStream=127.0.0.1:81
Service=web.service
-- web.service
[Service]
Type=notify
ExecStart=/bin/web
";

/// An inetd-style server of a listener.
const INETD: &str = "
-- wait.socket
[Socket]
ListenDatagram=127.0.0.1:69
-- wait.service
[Service]
ExecStart=/bin/tftpd
StandardInput=socket
-- second.socket
[Socket]
ListenDatagram=127.0.0.1:70
Service=wait.service
";

#[test]
fn first_traffic_starts_the_service_with_its_listener() {
    check(
        HTTP,
        "start http.socket; connect http.socket; take http.service",
        expect![[r#"
        > start http.socket
          job 1: start http.socket
          open http.socket:0
          http.socket: dead -> start-open
          Info: http.socket: listening on 127.0.0.1:8080
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
    "#]],
    );
}

#[test]
fn when_the_service_has_ended_the_socket_listens_again() {
    check(
        HTTP,
        "start http.socket; connect http.socket; take http.service | exit http.service; connect http.socket",
        expect![[r#"
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
            > connect http.socket
              job 3: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 3: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn what_is_queued_when_the_service_ends_starts_it_again() {
    check(
        HTTP,
        "start http.socket | connect http.socket; exit http.service",
        expect![[r#"
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
              job 3: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 3: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn stopping_the_service_leaves_the_socket_listening() {
    check(
        HTTP,
        "start http.socket; connect http.socket; take http.service | stop http.service",
        expect![[r#"
            > stop http.service
              job 3: stop http.service
              SIGTERM to http.service ExecStart (Session)
              http.service: running -> stop-sigterm
              job 3: done (http.service)
              watch http.socket:0
              http.service: stop-sigterm -> dead
              http.socket: running -> listening
        "#]],
    );
}

#[test]
fn stopping_the_socket_leaves_the_service_running() {
    check(
        HTTP,
        "start http.socket | connect http.socket; stop http.socket; exit http.service",
        expect![[r#"
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > stop http.socket
              job 3: stop http.socket
              close http.socket:0
              job 3: done (http.socket)
              Info: http.socket: closed
              http.socket: running -> dead
            > exit http.service
              Info: http.service: exited with status 0
              http.service: running -> dead
        "#]],
    );
}

#[test]
fn a_socket_does_not_open_beside_a_running_service() {
    check(
        HTTP,
        "start http.service; start http.socket; stop http.service; start http.socket",
        expect![[r#"
            > start http.service
              job 1: start http.service
              run http.service ExecStart
              http.service: dead -> start
              job 1: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > start http.socket
              job 2: start http.socket
              Error: http.socket: http.service is already active, refusing to listen beside it; stop it first
              job 2: failed (http.socket)
            > stop http.service
              job 3: stop http.service
              SIGTERM to http.service ExecStart (Session)
              http.service: running -> stop-sigterm
              job 3: done (http.service)
              http.service: stop-sigterm -> dead
            > start http.socket
              job 4: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on 127.0.0.1:8080
              job 4: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
        "#]],
    );
}

#[test]
fn a_service_started_by_hand_gets_the_listeners_of_its_socket() {
    check(
        HTTP,
        "start http.socket | start http.service; connect http.socket; take http.service; stop http.service",
        expect![[r#"
            > start http.service
              job 2: start http.service
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              unwatch http.socket:0
              http.service: start -> running
              http.socket: listening -> running
            > connect http.socket
            > take http.service
            > stop http.service
              job 3: stop http.service
              SIGTERM to http.service ExecStart (Session)
              http.service: running -> stop-sigterm
              job 3: done (http.service)
              watch http.socket:0
              http.service: stop-sigterm -> dead
              http.socket: running -> listening
        "#]],
    );
}

#[test]
fn an_address_in_use_fails_the_socket() {
    check(
        HTTP,
        "unopenable http.socket; start http.socket; start http.socket",
        expect![[r#"
            > unopenable http.socket
            > start http.socket
              job 1: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Error: http.socket: address already in use
              job 1: failed (http.socket)
              Error: http.socket: failed: resources
              http.socket: start-open -> failed
            > start http.socket
              job 2: start http.socket
              open http.socket:0
              http.socket: failed -> start-open
              Info: http.socket: listening on 127.0.0.1:8080
              job 2: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
        "#]],
    );
}

#[test]
fn a_late_wakeup_starts_nothing() {
    check(
        HTTP,
        "start http.socket | incoming http.socket; incoming http.socket",
        expect![[r#"
            > incoming http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > incoming http.socket
        "#]],
    );
}

#[test]
fn a_connection_during_a_queued_stop_is_thrown_away() {
    // The socket stops after what is ordered after it.
    check(
        r#"
-- http.socket
[Unit]
Before=late.service
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/http
-- late.service
[Service]
ExecStart=/bin/late
"#,
        "start http.socket; start late.service; plan late.service ExecStart ignores-signals; restart late.service | stop late.service; stop http.socket; connect http.socket; wait 90s",
        expect![[r#"
            > stop late.service
              job 4: stop late.service
              SIGTERM to late.service ExecStart (Session)
              late.service: running -> stop-sigterm
            > stop http.socket
              job 5: stop http.socket
            > connect http.socket
              flush http.socket:0
            > wait 90s
              at 1min 30s
              Warning: late.service: did not stop in time, killing
              SIGKILL to late.service ExecStart (Session)
              late.service: stop-sigterm -> stop-sigkill
              job 4: done (late.service)
              Error: late.service: failed: timeout
              close http.socket:0
              job 5: done (http.socket)
              Info: http.socket: closed
              http.socket: listening -> dead
              late.service: stop-sigkill -> failed
        "#]],
    );
}

#[test]
fn restarting_a_socket_opens_it_anew() {
    check(
        HTTP,
        "start http.socket | restart http.socket",
        expect![[r#"
            > restart http.socket
              job 2: restart http.socket
              close http.socket:0
              Info: http.socket: closed
              open http.socket:0
              http.socket: listening -> start-open
              Info: http.socket: listening on 127.0.0.1:8080
              job 2: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
        "#]],
    );
}

#[test]
fn a_start_that_is_there_already_is_done_at_once() {
    check(
        HTTP,
        "start http.socket; start http.socket; stop http.socket; stop http.socket",
        expect![[r#"
        > start http.socket
          job 1: start http.socket
          open http.socket:0
          http.socket: dead -> start-open
          Info: http.socket: listening on 127.0.0.1:8080
          job 1: done (http.socket)
          watch http.socket:0
          http.socket: start-open -> listening
        > start http.socket
          job 2: start http.socket
          job 2: done (http.socket)
        > stop http.socket
          job 3: stop http.socket
          close http.socket:0
          job 3: done (http.socket)
          Info: http.socket: closed
          http.socket: listening -> dead
        > stop http.socket
          job 4: stop http.socket
          job 4: done (http.socket)
    "#]],
    );
}

#[test]
fn a_socket_without_a_service_is_refused() {
    check(
        r#"
-- a.socket
[Socket]
ListenStream=80
"#,
        "start a.socket",
        expect![[r#"
            > start a.socket
              job 1: start a.socket
              Error: a.socket: what it starts cannot be used: Unit a.service not found.
              job 1: failed (a.socket)
        "#]],
    );
}

#[test]
fn a_service_that_cannot_exec_is_tried_again_for_what_waits() {
    check(
        HTTP,
        "start http.socket | plan http.service ExecStart cannot-exec; connect http.socket",
        expect![[r#"
            > plan http.service ExecStart cannot-exec
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              Error: http.service: no such file
              job 2: done (http.service)
              Warning: http.service: exited with status 203
              Error: http.service: failed: exit-code
              watch http.socket:0
              http.service: start -> failed
              http.socket: running -> listening
              job 3: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: failed -> start
              http.socket: listening -> running
              job 3: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn two_sockets_hand_over_all_their_listeners_by_name() {
    check(
        MANY,
        "start web.socket; start admin.socket; connect admin.socket; ready web.service; connect web.socket; stop web.service",
        expect![[r#"
            > start web.socket
              job 1: start web.socket
              open web.socket:0 web.socket:1
              web.socket: dead -> start-open
              Info: web.socket: listening on 127.0.0.1:80, /run/web.sock
              job 1: done (web.socket)
              watch web.socket:0
              watch web.socket:1
              web.socket: start-open -> listening
            > start admin.socket
              job 2: start admin.socket
              open admin.socket:0
              admin.socket: dead -> start-open
              Info: admin.socket: listening on 127.0.0.1:81
              job 2: done (admin.socket)
              watch admin.socket:0
              admin.socket: start-open -> listening
            > connect admin.socket
              job 3: start web.service
              unwatch admin.socket:0
              run web.service ExecStart admin.socket=admin.socket:0 tcp=web.socket:0 unix=web.socket:1
              admin.socket: listening -> running
              web.service: dead -> start
            > ready web.service
              job 3: done (web.service)
              Info: web.service: running (pid 101)
              unwatch web.socket:0
              unwatch web.socket:1
              web.service: start -> running
              web.socket: listening -> running
            > connect web.socket
            > stop web.service
              job 4: stop web.service
              SIGTERM to web.service ExecStart (Session)
              web.service: running -> stop-sigterm
              job 4: done (web.service)
              watch admin.socket:0
              watch web.socket:0
              watch web.socket:1
              admin.socket: running -> listening
              web.service: stop-sigterm -> dead
              web.socket: running -> listening
              job 5: start web.service
              unwatch web.socket:0
              unwatch web.socket:1
              run web.service ExecStart admin.socket=admin.socket:0 tcp=web.socket:0 unix=web.socket:1
              web.service: dead -> start
              web.socket: listening -> running
              unwatch admin.socket:0
              admin.socket: listening -> running
        "#]],
    );
}

#[test]
fn a_socket_that_is_down_hands_over_nothing() {
    check(
        MANY,
        "start web.socket; connect web.socket; ready web.service; start admin.socket",
        expect![[r#"
            > start web.socket
              job 1: start web.socket
              open web.socket:0 web.socket:1
              web.socket: dead -> start-open
              Info: web.socket: listening on 127.0.0.1:80, /run/web.sock
              job 1: done (web.socket)
              watch web.socket:0
              watch web.socket:1
              web.socket: start-open -> listening
            > connect web.socket
              job 2: start web.service
              unwatch web.socket:0
              unwatch web.socket:1
              run web.service ExecStart tcp=web.socket:0 unix=web.socket:1
              web.service: dead -> start
              web.socket: listening -> running
            > ready web.service
              job 2: done (web.service)
              Info: web.service: running (pid 101)
              web.service: start -> running
            > start admin.socket
              job 3: start admin.socket
              Error: admin.socket: web.service is already active, refusing to listen beside it; stop it first
              job 3: failed (admin.socket)
        "#]],
    );
}

#[test]
fn a_standard_stream_takes_exactly_one_socket() {
    check(
        INETD,
        "start wait.service; start wait.socket; connect wait.socket; stop wait.service; start second.socket; connect wait.socket",
        expect![[r#"
            > start wait.service
              job 1: start wait.service
              Error: wait.service: got no socket for StandardInput=socket; start its socket unit first
              job 1: failed (wait.service)
              Error: wait.service: failed: resources
              wait.service: dead -> failed
            > start wait.socket
              job 2: start wait.socket
              open wait.socket:0
              wait.socket: dead -> start-open
              Info: wait.socket: listening on 127.0.0.1:69
              job 2: done (wait.socket)
              watch wait.socket:0
              wait.socket: start-open -> listening
            > connect wait.socket
              job 3: start wait.service
              unwatch wait.socket:0
              run wait.service ExecStart wait.socket=wait.socket:0
              wait.service: failed -> start
              wait.socket: listening -> running
              job 3: done (wait.service)
              Info: wait.service: running (pid 101)
              wait.service: start -> running
            > stop wait.service
              job 4: stop wait.service
              SIGTERM to wait.service ExecStart (Session)
              wait.service: running -> stop-sigterm
              job 4: done (wait.service)
              watch wait.socket:0
              wait.service: stop-sigterm -> dead
              wait.socket: running -> listening
              job 5: start wait.service
              unwatch wait.socket:0
              run wait.service ExecStart wait.socket=wait.socket:0
              wait.service: dead -> start
              wait.socket: listening -> running
              job 5: done (wait.service)
              Info: wait.service: running (pid 102)
              wait.service: start -> running
            > start second.socket
              job 6: start second.socket
              Error: second.socket: wait.service is already active, refusing to listen beside it; stop it first
              job 6: failed (second.socket)
            > connect wait.socket
        "#]],
    );
}

#[test]
fn a_failed_requirement_of_the_service_does_not_spin() {
    check(
        r#"
-- http.socket
[Socket]
ListenStream=80
TriggerLimitBurst=2
-- http.service
[Unit]
Requires=db.service
After=db.service
[Service]
ExecStart=/bin/http
-- db.service
[Service]
Type=oneshot
ExecStart=/bin/db
[Unit]
StartLimitIntervalSec=0
"#,
        "start http.socket | connect http.socket; exit db.service 1; exit db.service 1; wait 2s",
        expect![[r#"
            > connect http.socket
              job 2: start db.service
              job 3: start http.service
              unwatch http.socket:0
              run db.service ExecStart
              db.service: dead -> start
              http.socket: listening -> running
            > exit db.service 1
              Warning: db.service: exited with status 1
              job 2: failed (db.service)
              Error: http.service: not started: db.service, which it requires, did not start
              job 3: dependency (http.service)
              Error: db.service: failed: exit-code
              watch http.socket:0
              db.service: start -> failed
              http.socket: running -> listening
              job 4: start db.service
              job 5: start http.service
              unwatch http.socket:0
              run db.service ExecStart
              db.service: failed -> start
              http.socket: listening -> running
            > exit db.service 1
              Warning: db.service: exited with status 1
              job 4: failed (db.service)
              Error: http.service: not started: db.service, which it requires, did not start
              job 5: dependency (http.service)
              Error: db.service: failed: exit-code
              watch http.socket:0
              db.service: start -> failed
              http.socket: running -> listening
              Warning: http.socket: trigger-limit-hit: pausing for 2s; nothing queued is lost
              unwatch http.socket:0
              http.socket: listening -> paused
            > wait 2s
              at 2s
              Info: http.socket: listening again
              watch http.socket:0
              http.socket: paused -> listening
              job 6: start db.service
              job 7: start http.service
              unwatch http.socket:0
              run db.service ExecStart
              db.service: failed -> start
              http.socket: listening -> running
        "#]],
    );
}

#[test]
fn a_socket_that_could_not_come_back_is_not_restarted() {
    check(
        HTTP,
        "start http.socket; connect http.socket | restart http.socket; stop http.service; restart http.socket",
        expect![[r#"
            > restart http.socket
              job 3: restart http.socket
              Error: http.socket: not restarted, it goes on listening: http.service is already active, refusing to listen beside it; stop it first
              job 3: failed (http.socket)
            > stop http.service
              job 4: stop http.service
              SIGTERM to http.service ExecStart (Session)
              http.service: running -> stop-sigterm
              job 4: done (http.service)
              watch http.socket:0
              http.service: stop-sigterm -> dead
              http.socket: running -> listening
              job 5: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 5: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
            > restart http.socket
              job 6: restart http.socket
              Error: http.socket: not restarted, it goes on listening: http.service is already active, refusing to listen beside it; stop it first
              job 6: failed (http.socket)
        "#]],
    );
}
