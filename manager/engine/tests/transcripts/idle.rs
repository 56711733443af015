//! What nobody uses is stopped (`IdleStopSec=`), and comes again with the next client.

use expect_test::expect;

use crate::check;

const WEB: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
IdleStopSec=40ms
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
";

const ONE: &str = "
-- db.socket
[Socket]
ListenStream=/run/db.sock
IdleStopSec=40ms
-- db.service
[Service]
ExecStart=/bin/db
";

const NEVER: &str = "
-- db.socket
[Socket]
ListenStream=/run/db.sock
IdleStopSec=0
-- db.service
[Service]
ExecStart=/bin/db
";

#[test]
fn a_service_without_clients_is_stopped_and_the_next_client_starts_it() {
    check(
        ONE,
        "start db.socket; connect db.socket; take db.service | wait 60ms; connect db.socket; serve db.service",
        expect![[r#"
            > wait 60ms
              at 10ms
              at 20ms
              at 30ms
              at 40ms
              at 50ms
              freeze db.service
              Info: db.service: nobody uses it: stopping until somebody comes
              job 3: stop db.service
              SIGTERM to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              job 3: done (db.service)
              watch db.socket:0
              db.service: stop-sigterm -> dead
              db.socket: running -> listening
            > connect db.socket
              job 4: start db.service
              unwatch db.socket:0
              run db.service ExecStart db.socket=db.socket:0
              db.service: dead -> start
              db.socket: listening -> running
              job 4: done (db.service)
              Info: db.service: running (pid 102)
              db.service: start -> running
            > serve db.service
        "#]],
    );
}

#[test]
fn whoever_waits_keeps_it_up() {
    check(
        ONE,
        "start db.socket; connect db.socket | wait 60ms; take db.service; wait 45ms",
        expect![[r#"
            > wait 60ms
              at 10ms
              at 20ms
              at 30ms
              at 40ms
              at 50ms
              at 60ms
            > take db.service
            > wait 45ms
              at 70ms
              at 80ms
              at 90ms
              at 100ms
        "#]],
    );
}

#[test]
fn whoever_is_served_keeps_it_up() {
    check(
        ONE,
        "start db.socket; connect db.socket; serve db.service | wait 60ms; finish db.service; wait 55ms",
        expect![[r#"
            > wait 60ms
              at 10ms
              at 20ms
              at 30ms
              at 40ms
              at 50ms
              at 60ms
            > finish db.service
            > wait 55ms
              at 70ms
              at 80ms
              at 90ms
              at 100ms
              at 110ms
              freeze db.service
              Info: db.service: nobody uses it: stopping until somebody comes
              job 3: stop db.service
              SIGTERM to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              job 3: done (db.service)
              watch db.socket:0
              db.service: stop-sigterm -> dead
              db.socket: running -> listening
        "#]],
    );
}

#[test]
fn short_visits_between_two_looks_keep_it_up() {
    check(
        ONE,
        "start db.socket; connect db.socket; take db.service; wait 35ms | connect db.socket; take db.service; wait 40ms; wait 20ms",
        expect![[r#"
            > connect db.socket
            > take db.service
            > wait 40ms
              at 40ms
              at 50ms
              at 60ms
              at 70ms
            > wait 20ms
              at 80ms
              at 90ms
              freeze db.service
              Info: db.service: nobody uses it: stopping until somebody comes
              job 3: stop db.service
              SIGTERM to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              job 3: done (db.service)
              watch db.socket:0
              db.service: stop-sigterm -> dead
              db.socket: running -> listening
        "#]],
    );
}

#[test]
fn a_client_of_the_last_moment_is_served() {
    check(
        ONE,
        "start db.socket; plan db.service ExecStart restless; connect db.socket; take db.service; wait 50ms | \
         rests db.service; connect db.socket; wait 3ms; serve db.service; wait 40ms; finish db.service; wait 60ms",
        expect![[r#"
            > rests db.service
            > connect db.socket
            > wait 3ms
              at 52ms
              freeze db.service
              SIGCONT to db.service ExecStart (Session)
            > serve db.service
            > wait 40ms
              at 60ms
              at 70ms
              at 80ms
              at 90ms
            > finish db.service
            > wait 60ms
              at 100ms
              at 110ms
              at 120ms
              at 130ms
              at 140ms
              freeze db.service
              Info: db.service: nobody uses it: stopping until somebody comes
              job 3: stop db.service
              SIGTERM to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              job 3: done (db.service)
              watch db.socket:0
              db.service: stop-sigterm -> dead
              db.socket: running -> listening
        "#]],
    );
}

#[test]
fn one_that_does_not_freeze_goes_on() {
    check(
        ONE,
        "start db.socket; plan db.service ExecStart restless; connect db.socket; take db.service; wait 45ms | wait 140ms",
        expect![[r#"
            > wait 140ms
              at 50ms
              freeze db.service
              at 52ms
              freeze db.service
              at 54ms
              freeze db.service
              at 56ms
              freeze db.service
              at 58ms
              freeze db.service
              at 60ms
              freeze db.service
              at 62.500ms
              freeze db.service
              at 65.625ms
              freeze db.service
              at 69.531ms
              freeze db.service
              at 70ms
              at 74.413ms
              freeze db.service
              at 80ms
              at 80.516ms
              freeze db.service
              at 88.145ms
              freeze db.service
              at 90ms
              at 97.681ms
              freeze db.service
              at 100ms
              at 109.601ms
              freeze db.service
              at 110ms
              at 120ms
              at 124.501ms
              freeze db.service
              at 130ms
              at 140ms
              at 143.126ms
              freeze db.service
              at 150ms
              at 160ms
              at 166.407ms
              freeze db.service
              SIGCONT to db.service ExecStart (Session)
              at 170ms
              freeze db.service
              at 172ms
              freeze db.service
              at 174ms
              freeze db.service
              at 176ms
              freeze db.service
              at 178ms
              freeze db.service
              at 180ms
              freeze db.service
              at 182.500ms
              freeze db.service
        "#]],
    );
}

#[test]
fn a_stop_finds_it_frozen() {
    check(
        ONE,
        "start db.socket; plan db.service ExecStart restless; connect db.socket; take db.service; wait 50ms | \
         stop db.service; wait 30ms",
        expect![[r#"
            > stop db.service
              job 3: stop db.service
              SIGTERM to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              job 3: done (db.service)
              watch db.socket:0
              db.service: stop-sigterm -> dead
              db.socket: running -> listening
            > wait 30ms
        "#]],
    );
}

#[test]
fn another_manager_has_it_go_on() {
    check(
        &format!("{ONE}== reload{ONE}"),
        "start db.socket; plan db.service ExecStart restless; connect db.socket; take db.service; wait 50ms | \
         manager-dies; manager-returns; wait 30ms",
        expect![[r#"
            > manager-dies
            > manager-returns
              SIGCONT to db.service ExecStart (Session)
            > wait 30ms
              at 60ms
              at 70ms
              at 80ms
        "#]],
    );
}

#[test]
fn a_group_is_stopped_as_a_whole() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | wait 45ms; connect web.socket:0@1",
        expect![[r#"
            > wait 45ms
              at 10ms
              at 20ms
              at 30ms
              at 40ms
              freeze web@1.service
              freeze web@2.service
              Info: web.service: nobody uses it: stopping until somebody comes
              job 5: stop web.service
              job 6: stop web@1.service
              job 7: stop web@2.service
              steer web.socket to [0]
              SIGTERM to web@1.service ExecStart (Session)
              SIGCONT to web@1.service ExecStart (Session)
              SIGCONT to web@1.service ExecStart (Session)
              SIGTERM to web@2.service ExecStart (Session)
              SIGCONT to web@2.service ExecStart (Session)
              SIGCONT to web@2.service ExecStart (Session)
              web.service: running -> stop
              web@1.service: running -> stop-sigterm
              web@2.service: running -> stop-sigterm
              job 6: done (web@1.service)
              web@1.service: stop-sigterm -> dead
              job 7: done (web@2.service)
              job 5: done (web.service)
              watch web.socket:0@0
              watch web.socket:0@1
              web.service: stop -> dead
              web.socket: running -> listening
              web@2.service: stop-sigterm -> dead
            > connect web.socket:0@1
              job 8: start web.service
              job 9: start web@1.service
              job 10: start web@2.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=2
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              unwatch web.socket:0@0
              unwatch web.socket:0@1
              web.service: dead -> start
              web.socket: listening -> running
              web@1.service: dead -> start
              web@2.service: dead -> start
        "#]],
    );
}

#[test]
fn what_others_require_goes_on() {
    let units = format!(
        "{ONE}-- app.service\n[Unit]\nRequires=db.service\nAfter=db.service\n[Service]\nExecStart=/bin/app\n"
    );
    check(
        &units,
        "start db.socket; start app.service | wait 60ms; stop app.service; wait 30ms",
        expect![[r#"
            > wait 60ms
              at 10ms
              at 20ms
              at 30ms
              at 40ms
              at 50ms
              at 60ms
            > stop app.service
              job 4: stop app.service
              SIGTERM to app.service ExecStart (Session)
              app.service: running -> stop-sigterm
              job 4: done (app.service)
              app.service: stop-sigterm -> dead
            > wait 30ms
              at 70ms
              freeze db.service
              Info: db.service: nobody uses it: stopping until somebody comes
              job 5: stop db.service
              SIGTERM to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              job 5: done (db.service)
              watch db.socket:0
              db.service: stop-sigterm -> dead
              db.socket: running -> listening
        "#]],
    );
}

#[test]
fn a_second_socket_must_be_unused_too() {
    let units = "
-- a.socket
[Socket]
ListenStream=/run/a
IdleStopSec=40ms
Service=db.service
-- b.socket
[Socket]
ListenStream=/run/b
IdleStopSec=80ms
Service=db.service
-- db.service
[Service]
ExecStart=/bin/db
";
    check(
        units,
        "start a.socket; start b.socket; start db.service; wait 30ms | connect b.socket; take db.service; wait 100ms; wait 40ms",
        expect![[r#"
            > connect b.socket
            > take db.service
            > wait 100ms
              at 40ms
              at 50ms
              at 60ms
              at 70ms
              at 80ms
              at 90ms
              at 100ms
              at 110ms
              at 120ms
              at 130ms
            > wait 40ms
              at 140ms
              freeze db.service
              Info: db.service: nobody uses it: stopping until somebody comes
              job 4: stop db.service
              SIGTERM to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              SIGCONT to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              job 4: done (db.service)
              watch a.socket:0
              watch b.socket:0
              a.socket: running -> listening
              b.socket: running -> listening
              db.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_command_that_stops_it_finds_it_running() {
    let units = ONE.replace("ExecStart=/bin/db\n", "ExecStart=/bin/db\nExecStop=/bin/stop\n");
    check(
        &units,
        "start db.socket; start db.service | wait 50ms",
        expect![[r#"
            > wait 50ms
              at 10ms
              at 20ms
              at 30ms
              at 40ms
              freeze db.service
              Info: db.service: nobody uses it: stopping until somebody comes
              job 3: stop db.service
              SIGCONT to db.service ExecStart (Session)
              run db.service ExecStop $MAINPID=101 $SERVICE_RESULT=success
              db.service: running -> stop
              SIGTERM to db.service ExecStart (Session)
              db.service: stop -> stop-sigterm
              job 3: done (db.service)
              watch db.socket:0
              db.service: stop-sigterm -> dead
              db.socket: running -> listening
        "#]],
    );
}

#[test]
fn zero_is_never() {
    check(
        NEVER,
        "start db.socket; start db.service | wait 1h",
        expect![[r#"
        > wait 1h
    "#]],
    );
}
