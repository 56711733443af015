//! The slots of a group: growing, shrinking, draining; sockets that are held; listeners that somebody shut down.

use expect_test::expect;

use crate::check;

/// Two instances of at most four.
const POOL: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
MaxInstances=4
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
-- db.socket
[Socket]
ListenStream=127.0.0.1:5432
-- db.service
[Service]
ExecStart=/bin/db
";

/// The same, found again by the next manager.
const POOL4: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
MaxInstances=4
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
MaxInstances=4
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
";

/// Two instances, and after a reload three.
const RESIZED: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
MaxInstances=4
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=3
MaxInstances=4
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
";

/// One service, found again by the next manager.
const HELD: &str = "
-- db.socket
[Socket]
ListenStream=127.0.0.1:5432
-- db.service
[Service]
ExecStart=/bin/db
Restart=on-failure
== reload
-- db.socket
[Socket]
ListenStream=127.0.0.1:5432
-- db.service
[Service]
ExecStart=/bin/db
Restart=on-failure
";

#[test]
fn a_group_grows_into_its_parked_slots() {
    check(
        POOL,
        "start web.socket; connect web.socket; ready web@1.service; ready web@2.service | scale web.socket 4; ready web@4.service; ready web@3.service",
        expect![[r#"
            > scale web.socket 4
              Info: web.service: 4 instances instead of 2
              job 5: start web@3.service
              job 6: start web@4.service
              run web@3.service ExecStart web.socket=web.socket:0@2 $INSTANCE=3 $INSTANCES=4
              run web@4.service ExecStart web.socket=web.socket:0@3 $INSTANCE=4 $INSTANCES=4
              web.service: running -> degraded
              web@3.service: new, start
              web@4.service: new, start
            > ready web@4.service
              job 6: done (web@4.service)
              Info: web@4.service: running (pid 104)
              steer web.socket to [0, 1, 3]
              unwatch web.socket:0@3
              web@4.service: start -> running
            > ready web@3.service
              job 5: done (web@3.service)
              Info: web@3.service: running (pid 103)
              steer web.socket to [0, 1, 2, 3]
              unwatch web.socket:0@2
              web.service: degraded -> running
              web@3.service: start -> running
        "#]],
    );
}

#[test]
fn a_group_shrinks_from_the_end_and_the_slots_stay_open() {
    check(
        POOL,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | scale web.service 1; wait 1s",
        expect![[r#"
            > scale web.service 1
              Info: web.service: 1 instances instead of 2
              job 5: stop web@2.service
              steer web.socket to [0]
              web@2.service: running -> drain
            > wait 1s
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
              web@2.service: gone
        "#]],
    );
}

#[test]
fn what_came_late_to_a_parked_slot_is_served_and_steering_renewed() {
    check(
        POOL,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | connect web.socket:0@3; ready web@4.service; wait 200ms; take web@4.service; wait 200ms",
        expect![[r#"
            > connect web.socket:0@3
              steer web.socket to [0, 1]
              migrate web.socket:0@2 web.socket:0@3
              steer web.socket to [0, 1]
              job 5: start web@4.service
              unwatch web.socket:0@3
              run web@4.service ExecStart web.socket=web.socket:0@3 $INSTANCE=4 $INSTANCES=2
              web@4.service: new, start
            > ready web@4.service
              job 5: done (web@4.service)
              Info: web@4.service: running (pid 103)
              job 6: stop web@4.service
              web@4.service: start -> drain
            > wait 200ms
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
              at 105ms
              at 110ms
              at 115ms
              at 120ms
              at 125ms
              at 130ms
              at 135ms
              at 140ms
              at 145ms
              at 150ms
              at 155ms
              at 160ms
              at 165ms
              at 170ms
              at 175ms
              at 180ms
              at 185ms
              at 190ms
              at 195ms
              at 200ms
            > take web@4.service
            > wait 200ms
              at 205ms
              at 210ms
              at 215ms
              at 220ms
              at 225ms
              at 230ms
              at 235ms
              at 240ms
              at 245ms
              at 250ms
              at 255ms
              SIGTERM to web@4.service ExecStart (Session)
              web@4.service: drain -> stop-sigterm
              job 6: done (web@4.service)
              watch web.socket:0@3
              web@4.service: gone
        "#]],
    );
}

#[test]
fn a_size_is_kept_when_the_manager_dies_and_until_the_socket_stops() {
    check(
        POOL4,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; scale web.service 3; ready web@3.service | manager-dies; manager-returns; stop web.service; wait 1s; stop web.socket; start web.socket; start web.service",
        expect![[r#"
            > manager-dies
            > manager-returns
              steer web.socket to [0, 1, 2]
              watch web.socket:0@3
            > stop web.service
              job 1: stop web.service
              job 2: stop web@1.service
              job 3: stop web@2.service
              job 4: stop web@3.service
              steer web.socket to [0]
              SIGTERM to web@1.service ExecStart (Session)
              unwatch web.socket:0@3
              web.service: running -> stop
              web@1.service: running -> stop-sigterm
              web@2.service: running -> drain
              web@3.service: running -> drain
              job 2: done (web@1.service)
              web@1.service: stop-sigterm -> dead
            > wait 1s
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
              job 3: done (web@2.service)
              web@2.service: stop-sigterm -> dead
              job 4: done (web@3.service)
              job 1: done (web.service)
              watch web.socket:0@0
              watch web.socket:0@1
              watch web.socket:0@2
              watch web.socket:0@3
              web.service: stop -> dead
              web.socket: running -> listening
              web@3.service: stop-sigterm -> dead
            > stop web.socket
              job 5: stop web.socket
              close web.socket:0@0 web.socket:0@1 web.socket:0@2 web.socket:0@3
              job 5: done (web.socket)
              Info: web.socket: closed
              web.socket: listening -> dead
            > start web.socket
              job 6: start web.socket
              open web.socket:0@0 web.socket:0@1 web.socket:0@2 web.socket:0@3
              web.socket: dead -> start-open
              steer web.socket to [0]
              Info: web.socket: listening on 127.0.0.1:80
              job 6: done (web.socket)
              watch web.socket:0@0
              watch web.socket:0@1
              watch web.socket:0@2
              watch web.socket:0@3
              web.socket: start-open -> listening
            > start web.service
              job 7: start web.service
              job 8: start web@1.service
              job 9: start web@2.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=2
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              web.service: dead -> start
              web@1.service: dead -> start
              web@2.service: dead -> start
        "#]],
    );
}

#[test]
fn a_size_out_of_bounds_and_the_wrong_kind_of_unit_are_refused() {
    check(
        POOL,
        "start web.socket | scale web.socket 5; scale web.socket 0; scale db.service 2; drain db.service; hold web.service; hold db.socket",
        expect![[r#"
            > scale web.socket 5
              refused: Unit web.service can have 1 to 4 instances; MinInstances= and MaxInstances= of its socket say so.
            > scale web.socket 0
              refused: Unit web.service can have 1 to 4 instances; MinInstances= and MaxInstances= of its socket say so.
            > scale db.service 2
              refused: Unit db.service is not a group of instances: its socket needs Instances=.
            > drain db.service
              refused: Unit db.service is not one instance of a group, as web@2.service is.
            > hold web.service
              refused: Unit web.service is not a socket.
            > hold db.socket
              refused: Unit db.socket does not listen; start it first.
        "#]],
    );
}

#[test]
fn a_group_that_is_idle_takes_its_size_at_its_next_start() {
    check(
        POOL,
        "start web.socket | scale web.service 3; connect web.socket",
        expect![[r#"
            > scale web.service 3
              Info: web.service: 3 instances instead of 2
              web@3.service: new, dead
            > connect web.socket
              job 2: start web.service
              job 3: start web@1.service
              job 4: start web@2.service
              job 5: start web@3.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              run web@3.service ExecStart web.socket=web.socket:0@2 $INSTANCE=3 $INSTANCES=3
              unwatch web.socket:0@0
              unwatch web.socket:0@1
              unwatch web.socket:0@2
              web.service: dead -> start
              web.socket: listening -> running
              web@1.service: dead -> start
              web@2.service: dead -> start
              web@3.service: dead -> start
        "#]],
    );
}

#[test]
fn a_reload_with_other_instances_resizes_the_group() {
    check(
        RESIZED,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | daemon-reload; ready web@3.service",
        expect![[r#"
            > daemon-reload
              adjust web.socket:0@0 web.socket:0@1 web.socket:0@2 web.socket:0@3
              Info: web.service: 3 instances instead of 2
              job 5: start web@3.service
              run web@3.service ExecStart web.socket=web.socket:0@2 $INSTANCE=3 $INSTANCES=3
              web.service: running -> degraded
              web@3.service: new, start
            > ready web@3.service
              job 5: done (web@3.service)
              Info: web@3.service: running (pid 103)
              steer web.socket to [0, 1, 2]
              unwatch web.socket:0@2
              web.service: degraded -> running
              web@3.service: start -> running
        "#]],
    );
}

#[test]
fn a_size_that_was_asked_for_outlives_a_reload() {
    check(
        RESIZED,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; scale web.service 1; wait 1s | daemon-reload; scale web.service reset",
        expect![[r#"
            > daemon-reload
              adjust web.socket:0@0 web.socket:0@1 web.socket:0@2 web.socket:0@3
            > scale web.service reset
              Info: web.service: 3 instances instead of 1
              job 6: start web@2.service
              job 7: start web@3.service
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              run web@3.service ExecStart web.socket=web.socket:0@2 $INSTANCE=3 $INSTANCES=3
              web.service: running -> degraded
              web@2.service: new, start
              web@3.service: new, start
        "#]],
    );
}

#[test]
fn a_drained_slot_goes_on_running_and_comes_back() {
    check(
        POOL4,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | drain web@1.service; drain web@2.service; manager-dies; manager-returns; undrain web@1.service",
        expect![[r#"
            > drain web@1.service
              Info: web@1.service: gets no new connections (drain)
              steer web.socket to [1]
            > drain web@2.service
              refused: Unit web@2.service is the last one that gets new connections; to make them wait, hold its socket.
            > manager-dies
            > manager-returns
              steer web.socket to [1]
              watch web.socket:0@2
              watch web.socket:0@3
            > undrain web@1.service
              Info: web@1.service: gets new connections again
              steer web.socket to [0, 1]
        "#]],
    );
}

#[test]
fn a_drained_slot_is_not_where_traffic_waits() {
    check(
        POOL,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; drain web@1.service | dies web@2.service SIGKILL; wait 100ms; ready web@2.service",
        expect![[r#"
            > dies web@2.service SIGKILL
              Warning: web@2.service: killed by SIGKILL
              Error: web@2.service: failed: signal
              Info: web@2.service: restarting in 100ms
              web.service: running -> degraded
              web@2.service: running -> auto-restart
            > wait 100ms
              at 100ms
              job 5: start web@2.service
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              web@2.service: auto-restart -> start
            > ready web@2.service
              job 5: done (web@2.service)
              Info: web@2.service: running (pid 103)
              web.service: degraded -> running
              web@2.service: start -> running
        "#]],
    );
}

#[test]
fn a_held_socket_starts_nothing_until_it_is_released() {
    check(
        HELD,
        "start db.socket | hold db.socket; connect db.socket; manager-dies; manager-returns; release db.socket",
        expect![[r#"
            > hold db.socket
              Info: db.socket: holds its traffic back: nothing is started
              unwatch db.socket:0
              db.socket: listening -> held
            > connect db.socket
            > manager-dies
            > manager-returns
            > release db.socket
              Info: db.socket: lets its traffic through again
              watch db.socket:0
              db.socket: held -> listening
              job 1: start db.service
              unwatch db.socket:0
              run db.service ExecStart db.socket=db.socket:0
              db.service: dead -> start
              db.socket: listening -> running
              job 1: done (db.service)
              Info: db.service: running (pid 101)
              db.service: start -> running
        "#]],
    );
}

#[test]
fn what_runs_behind_a_held_socket_goes_on_and_does_not_come_back_by_itself() {
    check(
        HELD,
        "start db.socket; start db.service | hold db.socket; dies db.service SIGKILL; wait 1s; connect db.socket; release db.socket; wait 1s",
        expect![[r#"
            > hold db.socket
              Info: db.socket: holds its traffic back: nothing is started
            > dies db.service SIGKILL
              Warning: db.service: killed by SIGKILL
              Error: db.service: failed: signal
              Info: db.service: restarting in 100ms
              db.service: running -> auto-restart
            > wait 1s
              at 100ms
            > connect db.socket
            > release db.socket
              Info: db.socket: lets its traffic through again
            > wait 1s
              at 1.100000s
              job 3: start db.service
              run db.service ExecStart db.socket=db.socket:0
              db.service: auto-restart -> start
              job 3: done (db.service)
              Info: db.service: running (pid 102)
              db.service: start -> running
        "#]],
    );
}

#[test]
fn a_held_socket_lets_commands_start_its_service() {
    check(
        HELD,
        "start db.socket; hold db.socket; connect db.socket | start db.service; take db.service; stop db.service; stop db.socket; start db.socket",
        expect![[r#"
            > start db.service
              job 2: start db.service
              run db.service ExecStart db.socket=db.socket:0
              db.service: dead -> start
              job 2: done (db.service)
              Info: db.service: running (pid 101)
              db.service: start -> running
              db.socket: held -> running
            > take db.service
            > stop db.service
              job 3: stop db.service
              SIGTERM to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              job 3: done (db.service)
              db.service: stop-sigterm -> dead
              db.socket: running -> held
            > stop db.socket
              job 4: stop db.socket
              close db.socket:0
              job 4: done (db.socket)
              Info: db.socket: closed
              db.socket: held -> dead
            > start db.socket
              job 5: start db.socket
              open db.socket:0
              db.socket: dead -> start-open
              Info: db.socket: listening on 127.0.0.1:5432
              job 5: done (db.socket)
              watch db.socket:0
              db.socket: start-open -> listening
        "#]],
    );
}

#[test]
fn a_group_behind_a_held_socket_neither_starts_nor_grows() {
    check(
        POOL,
        "start web.socket; hold web.socket | connect web.socket; scale web.service 3; release web.socket",
        expect![[r#"
            > connect web.socket
            > scale web.service 3
              Info: web.service: 3 instances instead of 2
              web@3.service: new, dead
            > release web.socket
              Info: web.socket: lets its traffic through again
              watch web.socket:0@0
              watch web.socket:0@1
              watch web.socket:0@2
              watch web.socket:0@3
              web.socket: held -> listening
              job 2: start web.service
              job 3: start web@1.service
              job 4: start web@2.service
              job 5: start web@3.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
              run web@3.service ExecStart web.socket=web.socket:0@2 $INSTANCE=3 $INSTANCES=3
              unwatch web.socket:0@0
              unwatch web.socket:0@1
              unwatch web.socket:0@2
              web.service: dead -> start
              web.socket: listening -> running
              web@1.service: dead -> start
              web@2.service: dead -> start
              web@3.service: dead -> start
        "#]],
    );
}

#[test]
fn a_listener_that_was_shut_down_listens_again_as_the_last_of_its_group() {
    check(
        POOL,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | shut-down web.socket:0@0; members web.socket 0; shut-down web.socket:0@3; members web.socket 0; exit web@1.service; wait 100ms; ready web@1.service",
        expect![[r#"
            > shut-down web.socket:0@0
              Warning: web.socket: somebody shut down its listener 2; it is opened again
              steer web.socket to [0, 1]
              relisten web.socket:0@0
              steer web.socket to [0, 1]
            > members web.socket 0
              members [3, 1, 2, 0]
            > shut-down web.socket:0@3
              Warning: web.socket: somebody shut down its listener 5; it is opened again
              steer web.socket to [0, 1]
              relisten web.socket:0@3
              steer web.socket to [0, 1]
            > members web.socket 0
              members [0, 1, 2, 3]
            > exit web@1.service
              steer web.socket to [1]
              migrate web.socket:0@0 web.socket:0@2 web.socket:0@3
              Info: web@1.service: exited with status 0
              Info: web@1.service: restarting in 100ms
              watch web.socket:0@0
              web.service: running -> degraded
              web@1.service: running -> auto-restart
              unwatch web.socket:0@0
            > wait 100ms
              at 100ms
              job 5: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=2
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
fn the_order_of_listeners_outlives_the_manager() {
    check(
        POOL4,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; shut-down web.socket:0@1 | manager-dies; manager-returns; members web.socket 0",
        expect![[r#"
            > manager-dies
            > manager-returns
              steer web.socket to [0, 1]
              watch web.socket:0@2
              watch web.socket:0@3
            > members web.socket 0
              members [0, 3, 2, 1]
        "#]],
    );
}

#[test]
fn the_listener_of_a_plain_socket_listens_again_too() {
    check(
        HELD,
        "start db.socket | shut-down db.socket",
        expect![[r#"
            > shut-down db.socket
              Warning: db.socket: somebody shut down its listener 2; it is opened again
              relisten db.socket:0
        "#]],
    );
}
