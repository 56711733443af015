//! Groups that grow and shrink with what waits (`ScaleOn=queue`).

use expect_test::expect;

use crate::check;

const WEB: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=1
MaxInstances=3
ScaleOn=queue
ScaleUpQueue=1
ScaleUpSec=40ms
ScaleDownSec=80ms
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
";

const UP: &str = "start web.socket; start web.service; ready web@1.service; wait 20ms; ";

#[test]
fn a_group_that_is_small_and_idle_is_not_looked_at() {
    check(
        WEB,
        &format!("{UP} | wait 1h"),
        expect![[r#"
        > wait 1h
    "#]],
    );
}

#[test]
fn one_more_comes_while_too_many_wait() {
    let script = "connect web.socket; connect web.socket; wait 30ms; wait 30ms; wait 60ms; ready web@2.service; wait 60ms; \
                  take web@1.service; take web@2.service; wait 20ms";
    check(
        WEB,
        &format!("{UP} | {script}"),
        expect![[r#"
            > connect web.socket
              unwatch web.socket:0@0
            > connect web.socket
            > wait 30ms
              at 30ms
              at 40ms
              at 50ms
            > wait 30ms
              at 60ms
              at 70ms
              Info: web.service: 2 wait for 1 instances (ScaleOn=queue)
              Info: web.service: 2 instances instead of 1
              job 4: start web@2.service
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              web.service: running -> degraded
              web@2.service: new, start
              at 80ms
            > wait 60ms
              at 90ms
              at 100ms
              at 110ms
              at 120ms
              at 130ms
              at 140ms
            > ready web@2.service
              job 4: done (web@2.service)
              Info: web@2.service: running (pid 102)
              steer web.socket to [0, 1]
              unwatch web.socket:0@1
              web.service: degraded -> running
              web@2.service: start -> running
            > wait 60ms
              at 150ms
              at 160ms
              at 170ms
              at 180ms
              at 190ms
              at 200ms
            > take web@1.service
            > take web@2.service
            > wait 20ms
              at 210ms
              at 220ms
        "#]],
    );
}

#[test]
fn a_queue_that_is_short_or_gets_short_is_no_reason() {
    let script =
        "connect web.socket; wait 60ms; connect web.socket; wait 30ms; take web@1.service; wait 60ms";
    check(
        WEB,
        &format!("{UP} | {script}"),
        expect![[r#"
        > connect web.socket
          unwatch web.socket:0@0
        > wait 60ms
          at 30ms
          at 40ms
          at 50ms
          at 60ms
          at 70ms
          at 80ms
        > connect web.socket
        > wait 30ms
          at 90ms
          at 100ms
          at 110ms
        > take web@1.service
        > wait 60ms
          at 120ms
          watch web.socket:0@0
    "#]],
    );
}

#[test]
fn it_never_grows_beyond_its_pool() {
    let crowd = "connect web.socket; ".repeat(9);
    let script = "scale web.service 3; ready web@2.service; ready web@3.service";
    check(
        WEB,
        &format!("{UP} {script} | {crowd} wait 100ms"),
        expect![[r#"
            > connect web.socket
            > connect web.socket
            > connect web.socket
            > connect web.socket
            > connect web.socket
            > connect web.socket
            > connect web.socket
            > connect web.socket
            > connect web.socket
            > wait 100ms
              at 30ms
              at 40ms
              at 50ms
              at 60ms
              at 70ms
              at 80ms
              at 90ms
              at 100ms
              at 110ms
              at 120ms
        "#]],
    );
}

#[test]
fn one_fewer_is_left_when_nobody_has_waited() {
    let script = "scale web.service 3; ready web@2.service; ready web@3.service";
    check(
        WEB,
        &format!("{UP} {script} | wait 105ms; wait 60ms; wait 300ms"),
        expect![[r#"
            > wait 105ms
              at 30ms
              at 40ms
              at 50ms
              at 60ms
              at 70ms
              at 80ms
              at 90ms
              Info: web.service: nobody waits for 3 instances (ScaleOn=queue)
              Info: web.service: 2 instances instead of 3
              job 6: stop web@3.service
              steer web.socket to [0, 1]
              web@3.service: running -> drain
              at 95ms
              at 100ms
              at 105ms
              at 110ms
              at 115ms
              at 120ms
              at 125ms
            > wait 60ms
              at 130ms
              at 135ms
              at 140ms
              SIGTERM to web@3.service ExecStart (Session)
              web@3.service: drain -> stop-sigterm
              job 6: done (web@3.service)
              watch web.socket:0@2
              web@3.service: gone
              at 150ms
              at 160ms
              at 170ms
              at 180ms
              Info: web.service: nobody waits for 2 instances (ScaleOn=queue)
              Info: web.service: 1 instances instead of 2
              job 7: stop web@2.service
              steer web.socket to [0]
              web@2.service: running -> drain
              at 185ms
            > wait 300ms
              at 190ms
              watch web.socket:0@0
              at 195ms
              at 200ms
              at 205ms
              at 210ms
              at 215ms
              at 220ms
              at 225ms
              at 230ms
              SIGTERM to web@2.service ExecStart (Session)
              web@2.service: drain -> stop-sigterm
              job 7: done (web@2.service)
              watch web.socket:0@1
              web@2.service: gone
        "#]],
    );
}

#[test]
fn one_that_shrank_too_far_waits_longer_before_it_does_again() {
    let crowd =
        "connect web.socket; connect web.socket; wait 60ms; ready web@2.service; take web@1.service; ";
    let script = "scale web.service 2; ready web@2.service; wait 200ms; ";
    check(
        WEB,
        &format!("{UP} {script} {crowd} | wait 100ms; wait 100ms"),
        expect![[r#"
            > wait 100ms
              at 290ms
              at 300ms
              at 310ms
              at 320ms
              at 330ms
              at 340ms
              at 350ms
              at 360ms
              at 370ms
              Info: web.service: nobody waits for 2 instances (ScaleOn=queue)
              Info: web.service: 1 instances instead of 2
              job 7: stop web@2.service
              steer web.socket to [0]
              web@2.service: running -> drain
              at 375ms
              at 380ms
              watch web.socket:0@0
            > wait 100ms
              at 385ms
              at 390ms
              at 395ms
              at 400ms
              at 405ms
              at 410ms
              at 415ms
              at 420ms
              SIGTERM to web@2.service ExecStart (Session)
              web@2.service: drain -> stop-sigterm
              job 7: done (web@2.service)
              watch web.socket:0@1
              web@2.service: gone
        "#]],
    );
}

#[test]
fn a_group_may_scale_to_nothing() {
    let units = WEB.replace("MaxInstances=3", "MaxInstances=3\nMinInstances=0");
    let script = "start web.socket; connect web.socket; ready web@1.service; take web@1.service";
    check(
        &units,
        &format!("{script} | wait 150ms; connect web.socket"),
        expect![[r#"
            > wait 150ms
              at 10ms
              watch web.socket:0@0
              at 20ms
              at 40ms
              at 60ms
              at 80ms
              at 100ms
              freeze web@1.service
              Info: web.service: nobody uses it: stopping until somebody comes
              job 4: stop web.service
              job 5: stop web@1.service
              SIGTERM to web@1.service ExecStart (Session)
              SIGCONT to web@1.service ExecStart (Session)
              SIGCONT to web@1.service ExecStart (Session)
              unwatch web.socket:0@0
              unwatch web.socket:0@1
              unwatch web.socket:0@2
              web.service: running -> stop
              web@1.service: running -> stop-sigterm
              job 5: done (web@1.service)
              job 4: done (web.service)
              watch web.socket:0@0
              watch web.socket:0@1
              watch web.socket:0@2
              web.service: stop -> dead
              web.socket: running -> listening
              web@1.service: stop-sigterm -> dead
            > connect web.socket
              job 6: start web.service
              job 7: start web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=1
              unwatch web.socket:0@0
              web.service: dead -> start
              web.socket: listening -> running
              web@1.service: dead -> start
        "#]],
    );
}

#[test]
fn zero_instances_can_be_asked_for() {
    let units = WEB.replace("MaxInstances=3", "MaxInstances=3\nMinInstances=0");
    check(
        &units,
        &format!("{UP} | scale web.service 0; connect web.socket"),
        expect![[r#"
        > scale web.service 0
          job 4: stop web.service
          job 5: stop web@1.service
          SIGTERM to web@1.service ExecStart (Session)
          unwatch web.socket:0@0
          unwatch web.socket:0@1
          unwatch web.socket:0@2
          web.service: running -> stop
          web@1.service: running -> stop-sigterm
          job 5: done (web@1.service)
          job 4: done (web.service)
          watch web.socket:0@0
          watch web.socket:0@1
          watch web.socket:0@2
          web.service: stop -> dead
          web.socket: running -> listening
          web@1.service: stop-sigterm -> dead
        > connect web.socket
          job 6: start web.service
          job 7: start web@1.service
          run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=1
          unwatch web.socket:0@0
          web.service: dead -> start
          web.socket: listening -> running
          web@1.service: dead -> start
    "#]],
    );
}

#[test]
fn traffic_that_is_held_back_counts_for_nothing() {
    let script =
        "connect web.socket; connect web.socket; hold web.socket; wait 1s; release web.socket; wait 60ms";
    check(
        WEB,
        &format!("{UP} | {script}"),
        expect![[r#"
            > connect web.socket
              unwatch web.socket:0@0
            > connect web.socket
            > hold web.socket
              Info: web.socket: holds its traffic back: nothing is started
              unwatch web.socket:0@1
              unwatch web.socket:0@2
            > wait 1s
            > release web.socket
              Info: web.socket: lets its traffic through again
              watch web.socket:0@1
              watch web.socket:0@2
            > wait 60ms
              at 1.030000s
              at 1.040000s
              at 1.050000s
              at 1.060000s
              at 1.070000s
              Info: web.service: 2 wait for 1 instances (ScaleOn=queue)
              Info: web.service: 2 instances instead of 1
              job 4: start web@2.service
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              web.service: running -> degraded
              web@2.service: new, start
              at 1.080000s
        "#]],
    );
}
