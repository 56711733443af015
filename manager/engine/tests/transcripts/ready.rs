//! Services that do not say when they are ready, and are asked (`ReadyCheck=`).

use expect_test::expect;

use crate::check;

const HTTP: &str = "
-- http.socket
[Socket]
ListenDatagram=127.0.0.1:80
ListenStream=127.0.0.1:80
-- http.service
[Service]
ExecStart=/bin/http
ExecStartPost=/bin/post
ReadyCheck=http:/health
TimeoutStartSec=1s
== reload
-- http.socket
[Socket]
ListenDatagram=127.0.0.1:80
ListenStream=127.0.0.1:80
-- http.service
[Service]
ExecStart=/bin/http
ReadyCheck=http:/health
TimeoutStartSec=1s
";

const EXEC: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Service]
ExecStart=/bin/http
ReadyCheck=exec:/bin/check $MAINPID
ReadyCheckIntervalSec=1s
ReadyCheckTimeoutSec=3s
";

const GROUP: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
ReadyCheck=accepting
DrainTimeoutSec=1ms
";

#[test]
fn it_is_asked_until_it_answers() {
    check(
        HTTP,
        "start http.socket; start http.service; answers http.service 503; wait 100ms; answers http.service",
        expect![[r#"
            > start http.socket
              job 1: start http.socket
              open http.socket:0 http.socket:1
              http.socket: dead -> start-open
              Info: http.socket: listening on 127.0.0.1:80, 127.0.0.1:80
              job 1: done (http.socket)
              watch http.socket:0
              watch http.socket:1
              http.socket: start-open -> listening
            > start http.service
              job 2: start http.service
              run http.service ExecStart http.socket=http.socket:0 http.socket=http.socket:1
              http.service: dead -> start
              probe http:/health http.socket:1
              http.service: start -> start-check
            > answers http.service 503
            > wait 100ms
              at 100ms
              probe http:/health http.socket:1
            > answers http.service
              run http.service ExecStartPost $MAINPID=101
              http.service: start-check -> start-post
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              unwatch http.socket:0
              unwatch http.socket:1
              http.service: start-post -> running
              http.socket: listening -> running
        "#]],
    );
}

#[test]
fn a_start_without_a_good_answer_times_out_and_says_why() {
    check(
        HTTP,
        "start http.socket | start http.service; wait 400ms; answers http.service 503; wait 100ms; answers http.service 503; wait 1s",
        expect![[r#"
            > start http.service
              job 2: start http.service
              run http.service ExecStart http.socket=http.socket:0 http.socket=http.socket:1
              http.service: dead -> start
              probe http:/health http.socket:1
              http.service: start -> start-check
            > wait 400ms
            > answers http.service 503
            > wait 100ms
              at 500ms
              probe http:/health http.socket:1
            > answers http.service 503
            > wait 1s
              at 600ms
              probe http:/health http.socket:1
              at 1s
              Warning: http.service: not ready in time (ReadyCheck=): answers 503
              Warning: http.service: start timed out
              SIGTERM to http.service ExecStart (Session)
              http.service: start-check -> stop-sigterm
              job 2: failed (http.service)
              Error: http.service: failed: timeout
              http.service: stop-sigterm -> failed
        "#]],
    );
}

#[test]
fn a_service_without_a_stream_socket_cannot_be_asked_over_one() {
    check(
        HTTP,
        "start http.service",
        expect![[r#"
        > start http.service
          job 1: start http.service
          run http.service ExecStart
          http.service: dead -> start
          Error: http.service: ReadyCheck=http:/health needs a stream socket, and it has none
          SIGTERM to http.service ExecStart (Session)
          http.service: start -> stop-sigterm
          job 1: failed (http.service)
          Error: http.service: failed: resources
          http.service: stop-sigterm -> failed
    "#]],
    );
}

#[test]
fn it_ends_while_it_is_asked() {
    check(
        HTTP,
        "start http.socket; start http.service | exit http.service 1",
        expect![[r#"
        > exit http.service 1
          Warning: http.service: exited with status 1
          job 2: failed (http.service)
          Error: http.service: failed: exit-code
          http.service: start-check -> failed
    "#]],
    );
}

#[test]
fn a_stop_while_it_is_asked() {
    check(
        HTTP,
        "start http.socket; start http.service | stop http.service",
        expect![[r#"
        > stop http.service
          job 2: canceled (http.service)
          job 3: stop http.service
          SIGTERM to http.service ExecStart (Session)
          http.service: start-check -> stop-sigterm
          job 3: done (http.service)
          http.service: stop-sigterm -> dead
    "#]],
    );
}

#[test]
fn the_manager_dies_while_it_is_asked() {
    check(
        HTTP,
        "start http.socket; start http.service | manager-dies; manager-returns; wait 0; answers http.service",
        expect![[r#"
            > manager-dies
            > manager-returns
              job 1: start http.service
              watch http.socket:0
              watch http.socket:1
            > wait 0
              at 0
              probe http:/health http.socket:1
            > answers http.service
              job 1: done (http.service)
              Info: http.service: running (pid 101)
              unwatch http.socket:0
              unwatch http.socket:1
              http.service: start-check -> running
              http.socket: listening -> running
        "#]],
    );
}

#[test]
fn a_command_asks_as_often_as_needed_and_makes_restarts_overlap() {
    check(
        EXEC,
        "start http.socket; plan http.service ReadyCheck exits-1; start http.service; wait 1s; plan http@@other.service ReadyCheck exits-1; restart http.service; wait 1s",
        expect![[r#"
            > start http.socket
              job 1: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on 127.0.0.1:80
              job 1: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > plan http.service ReadyCheck exits-1
            > start http.service
              job 2: start http.service
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              run http.service ReadyCheck $MAINPID=101
              http.service: start -> start-check
            > wait 1s
              at 1s
              run http.service ReadyCheck $MAINPID=101
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              unwatch http.socket:0
              http.service: start-check -> running
              http.socket: listening -> running
            > plan http@@other.service ReadyCheck exits-1
            > restart http.service
              job 3: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStart http.socket=http.socket:0
              run http@@other.service ReadyCheck $MAINPID=104
            > wait 1s
              at 2s
              run http@@other.service ReadyCheck $MAINPID=104
              Info: http.service: running (pid 104)
              Info: http.service: generation 2 serves now (pid 104)
              job 3: done (http.service)
              SIGTERM to http.service ExecStart (Session)
        "#]],
    );
}

#[test]
fn a_command_that_does_not_end_is_ended_with_the_start() {
    check(
        EXEC,
        "start http.socket; plan http.service ReadyCheck lingers | start http.service; wait 5s",
        expect![[r#"
            > start http.service
              job 2: start http.service
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              run http.service ReadyCheck $MAINPID=101
              http.service: start -> start-check
            > wait 5s
              at 3s
              Warning: http.service: not ready in time (ReadyCheck=): no answer
              Warning: http.service: start timed out
              SIGTERM to http.service ExecStart (Session)
              SIGTERM to http.service ReadyCheck (Session)
              http.service: start-check -> stop-sigterm
              job 2: failed (http.service)
              Error: http.service: failed: timeout
              http.service: stop-sigterm -> failed
        "#]],
    );
}

#[test]
fn the_main_process_ends_while_the_command_runs() {
    check(
        EXEC,
        "start http.socket; plan http.service ReadyCheck lingers | start http.service; exit http.service",
        expect![[r#"
            > start http.service
              job 2: start http.service
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              run http.service ReadyCheck $MAINPID=101
              http.service: start -> start-check
            > exit http.service
              Info: http.service: exited with status 0
              SIGTERM to http.service ReadyCheck (Session)
              http.service: start-check -> stop-sigterm
              job 2: failed (http.service)
              Error: http.service: failed: protocol
              http.service: stop-sigterm -> failed
        "#]],
    );
}

#[test]
fn a_slot_out_of_rotation_is_asked_by_a_detour_and_enters_when_it_has_answered() {
    check(
        GROUP,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; answers web@2.service; answers web@1.service | restart web@2.service; ready web@2.service; answers web@2.service",
        expect![[r#"
            > restart web@2.service
              job 5: restart web@2.service
              steer web.socket to [0]
              SIGTERM to web@2.service ExecStart (Session)
              web.service: running -> degraded
              web@2.service: running -> stop-sigterm
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              watch web.socket:0@1
              web@2.service: stop-sigterm -> start
            > ready web@2.service
              probe accepting web.socket:0@1, slot 1 beside [0]
              unwatch web.socket:0@1
              web@2.service: start -> start-check
            > answers web@2.service
              job 5: done (web@2.service)
              Info: web@2.service: running (pid 103)
              steer web.socket to [0, 1]
              web.service: degraded -> running
              web@2.service: start-check -> running
        "#]],
    );
}

#[test]
fn what_answers_for_both_generations_cannot_tell_them_apart() {
    check(
        &HTTP.replacen("[Service]\n", "[Service]\nRestartMode=overlap\n", 1),
        "start http.socket; start http.service; answers http.service | restart http.service",
        expect![[r#"
            > restart http.service
              job 3: restart http.service
              Warning: http.service: cannot be restarted by overlap: nobody could tell the two generations apart; stopping first
              SIGTERM to http.service ExecStart (Session)
              http.service: running -> stop-sigterm
              run http.service ExecStart http.socket=http.socket:0 http.socket=http.socket:1
              http.service: stop-sigterm -> start
              probe http:/health http.socket:1
              http.service: start -> start-check
        "#]],
    );
}
