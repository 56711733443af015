//! Restarts that overlap: the next generation beside the one that runs, in each phase of both, with crashes, stops and the death of the
//! manager. In scripts and transcripts `http@@other.service` is a process that was started as the next generation of `http.service`.

use expect_test::expect;

use crate::check;

/// A server with a socket that says when it is ready: by default its restarts overlap.
const HTTP: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Service]
Type=notify
ExecStartPre=/bin/check
ExecStart=/bin/http
ExecStop=/bin/bye
TimeoutStartSec=5s
TimeoutStopSec=3s
== reload
";

/// The same without commands, in the versions of two managers.
const BARE: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Service]
Type=notify
ExecStart=/bin/http
== reload
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Service]
Type=notify
ExecStart=/bin/http
";

/// It comes back by itself.
const ALWAYS: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Service]
Type=notify
Restart=always
ExecStart=/bin/http
TimeoutStartSec=5s
TimeoutStopSec=1h
";

const GROUP: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
Type=notify
RestartMode=overlap
ExecStart=/bin/web
TimeoutStartSec=5s
";

const TOGETHER: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
Type=notify
RestartMode=stop-first
DrainTimeoutSec=1ms
ExecStart=/bin/web
";

const ONE: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=1
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
";

const UP: &str = "start http.socket; start http.service; ready http.service | ";

#[track_caller]
fn check_http(units: &str, script: &str, expected: expect_test::Expect) {
    check(units, &format!("{UP}{script}"), expected);
}

#[test]
fn the_next_generation_is_ready_before_the_former_is_told_to_stop() {
    check_http(
        HTTP,
        "plan http.service ExecStart lingers; restart http.service; ready http@@other.service",
        expect![[r#"
            > plan http.service ExecStart lingers
            > restart http.service
              job 3: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStartPre
              run http@@other.service ExecStart http.socket=http.socket:0
            > ready http@@other.service
              Info: http.service: running (pid 104)
              Info: http.service: generation 2 serves now (pid 104)
              job 3: done (http.service)
              run http@@other.service ExecStop $MAINPID=102 $SERVICE_RESULT=success
              SIGTERM to http.service ExecStart (Session)
        "#]],
    );
}

#[test]
fn a_next_generation_that_ends_too_early_fails_the_job_alone() {
    check_http(
        HTTP,
        "restart http.service; exit http@@other.service 1; restart http.service",
        expect![[r#"
            > restart http.service
              job 3: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStartPre
              run http@@other.service ExecStart http.socket=http.socket:0
            > exit http@@other.service 1
              Warning: http.service: exited with status 1
              Warning: http.service: generation 2 ended: exit-code
              job 3: failed (http.service)
              Error: http.service: its next generation did not get ready; the one that runs goes on
            > restart http.service
              job 4: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStartPre
              run http@@other.service ExecStart http.socket=http.socket:0
        "#]],
    );
}

#[test]
fn a_next_generation_that_is_never_ready_is_killed_alone() {
    check_http(
        HTTP,
        "plan http@@other.service ExecStart ignores-signals; restart http.service; wait 20s",
        expect![[r#"
            > plan http@@other.service ExecStart ignores-signals
            > restart http.service
              job 3: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStartPre
              run http@@other.service ExecStart http.socket=http.socket:0
            > wait 20s
              at 5s
              Warning: http.service: start timed out
              SIGTERM to http@@other.service ExecStart (Session)
              job 3: failed (http.service)
              Error: http.service: its next generation did not get ready; the one that runs goes on
              at 8s
              Warning: http.service: did not stop in time, killing
              SIGKILL to http@@other.service ExecStart (Session)
              Warning: http.service: generation 2 ended: timeout
        "#]],
    );
}

#[test]
fn a_next_generation_that_cannot_be_run_fails_the_job_alone() {
    check_http(
        BARE,
        "plan http@@other.service ExecStart cannot-exec; restart http.service",
        expect![[r#"
        > plan http@@other.service ExecStart cannot-exec
        > restart http.service
          job 3: restart http.service
          Info: http.service: starting its next generation beside it
          run http@@other.service ExecStart http.socket=http.socket:0
          Error: http.service: no such file
          Warning: http.service: exited with status 203
          Warning: http.service: generation 2 ended: exit-code
          job 3: failed (http.service)
          Error: http.service: its next generation did not get ready; the one that runs goes on
    "#]],
    );
}

#[test]
fn its_commands_before_the_start_may_fail_too() {
    check_http(
        HTTP,
        "plan http@@other.service ExecStartPre exits-1; restart http.service",
        expect![[r#"
        > plan http@@other.service ExecStartPre exits-1
        > restart http.service
          job 3: restart http.service
          Info: http.service: starting its next generation beside it
          run http@@other.service ExecStartPre
          Warning: http.service: exited with status 1
          Warning: http.service: generation 2 ended: exit-code
          job 3: failed (http.service)
          Error: http.service: its next generation did not get ready; the one that runs goes on
    "#]],
    );
}

#[test]
fn a_crash_while_the_next_generation_starts_makes_that_the_unit() {
    check_http(
        BARE,
        "restart http.service; dies http.service SIGSEGV; ready http@@other.service",
        expect![[r#"
            > restart http.service
              job 3: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStart http.socket=http.socket:0
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal; its next generation is on its way
              http.service: running -> start
            > ready http@@other.service
              job 3: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn a_crash_of_the_new_one_leaves_the_former_at_its_end_and_starts_another() {
    check(
        &ALWAYS.replace("[Service]", "[Service]\nKillMode=mixed"),
        "start http.socket; plan http.service ExecStart ignores-signals; start http.service; ready http.service; restart http.service; ready http@@other.service | dies http@@other.service SIGSEGV; wait 100ms; ready http.service",
        expect![[r#"
            > dies http@@other.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              Info: http.service: restarting in 100ms
              http.service: running -> auto-restart
            > wait 100ms
              at 100ms
              job 4: start http.service
              run http.service ExecStart http.socket=http.socket:0
              http.service: auto-restart -> start
            > ready http.service
              job 4: done (http.service)
              Info: http.service: running (pid 103)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn a_crash_of_the_new_one_that_does_not_come_back_ends_the_unit_with_the_former() {
    check(
        BARE,
        "start http.socket; plan http.service ExecStart ignores-signals; start http.service; ready http.service; restart http.service; ready http@@other.service | dies http@@other.service SIGSEGV; exit http.service",
        expect![[r#"
            > dies http@@other.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              http.service: running -> stop-sigterm
            > exit http.service
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: stop-sigterm -> failed
              http.socket: running -> listening
        "#]],
    );
}

#[test]
fn a_stop_while_the_next_generation_starts_stops_both() {
    check_http(
        HTTP,
        "restart http.service; stop http.service",
        expect![[r#"
            > restart http.service
              job 3: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStartPre
              run http@@other.service ExecStart http.socket=http.socket:0
            > stop http.service
              job 3: canceled (http.service)
              job 4: stop http.service
              SIGTERM to http@@other.service ExecStart (Session)
              run http.service ExecStop $MAINPID=102 $SERVICE_RESULT=success
              http.service: running -> stop
              SIGTERM to http.service ExecStart (Session)
              http.service: stop -> stop-sigterm
              job 4: done (http.service)
              watch http.socket:0
              http.service: stop-sigterm -> dead
              http.socket: running -> listening
        "#]],
    );
}

#[test]
fn a_stop_waits_for_the_former_generation_too() {
    check(
        ALWAYS,
        "start http.socket; plan http.service ExecStart ignores-signals; start http.service; ready http.service; restart http.service; ready http@@other.service | stop http.service; exit http.service",
        expect![[r#"
            > stop http.service
              job 4: stop http.service
              SIGTERM to http@@other.service ExecStart (Session)
              http.service: running -> stop-sigterm
            > exit http.service
              job 4: done (http.service)
              watch http.socket:0
              http.service: stop-sigterm -> dead
              http.socket: running -> listening
        "#]],
    );
}

#[test]
fn a_second_restart_waits_for_the_former_generation_to_finish() {
    check(
        ALWAYS,
        "start http.socket; plan http.service ExecStart ignores-signals; start http.service; ready http.service; restart http.service; ready http@@other.service | restart http.service; reload http.service; exit http.service; ready http@@other.service",
        expect![[r#"
            > restart http.service
              job 4: restart http.service
            > reload http.service
              refused: Job type is not applicable for unit http.service.
            > exit http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStart http.socket=http.socket:0
            > ready http@@other.service
              Info: http.service: running (pid 103)
              Info: http.service: generation 3 serves now (pid 103)
              job 4: done (http.service)
              SIGTERM to http@@other.service ExecStart (Session)
        "#]],
    );
}

#[test]
fn a_kill_of_all_reaches_both_generations() {
    check_http(
        BARE,
        "restart http.service; kill http.service main SIGHUP; kill http.service all SIGHUP",
        expect![[r#"
        > restart http.service
          job 3: restart http.service
          Info: http.service: starting its next generation beside it
          run http@@other.service ExecStart http.socket=http.socket:0
        > kill http.service main SIGHUP
          SIGHUP to http.service ExecStart (Process)
        > kill http.service all SIGHUP
          SIGHUP to http@@other.service ExecStart (Session)
          SIGHUP to http.service ExecStart (Session)
    "#]],
    );
}

#[test]
fn the_manager_dies_while_the_next_generation_starts() {
    check_http(
        BARE,
        "restart http.service; manager-dies; manager-returns; ready http@@other.service",
        expect![[r#"
            > restart http.service
              job 3: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStart http.socket=http.socket:0
            > manager-dies
            > manager-returns
              job 1: restart http.service
            > ready http@@other.service
              Info: http.service: running (pid 102)
              Info: http.service: generation 2 serves now (pid 102)
              job 1: done (http.service)
              SIGTERM to http.service ExecStart (Session)
        "#]],
    );
}

#[test]
fn the_next_generation_fails_while_there_is_no_manager() {
    check_http(
        BARE,
        "restart http.service; manager-dies; exit http@@other.service 1; manager-returns",
        expect![[r#"
            > restart http.service
              job 3: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStart http.socket=http.socket:0
            > manager-dies
            > exit http@@other.service 1
            > manager-returns
              job 1: restart http.service
              Warning: http.service: exited with status 1
              Warning: http.service: generation 2 ended: exit-code
              job 1: failed (http.service)
              Error: http.service: its next generation did not get ready; the one that runs goes on
        "#]],
    );
}

#[test]
fn the_manager_dies_while_the_former_generation_ends() {
    check(
        BARE,
        "start http.socket; plan http.service ExecStart ignores-signals; start http.service; ready http.service; restart http.service; ready http@@other.service | manager-dies; manager-returns; exit http.service; exit http@@other.service",
        expect![[r#"
            > manager-dies
            > manager-returns
            > exit http.service
            > exit http@@other.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
        "#]],
    );
}

#[test]
fn instances_overlap_one_after_the_other_and_stay_in_rotation() {
    check(
        GROUP,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | restart web.service; ready web@1@other.service; exit web@2@other.service 1",
        expect![[r#"
            > restart web.service
              job 5: restart web.service
              job 6: restart web@1.service
              Info: web@1.service: starting its next generation beside it
              run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=2
            > ready web@1@other.service
              Info: web@1.service: running (pid 103)
              Info: web@1.service: generation 2 serves now (pid 103)
              job 6: done (web@1.service)
              job 7: restart web@2.service
              SIGTERM to web@1.service ExecStart (Session)
              Info: web@2.service: starting its next generation beside it
              run web@2@other.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
            > exit web@2@other.service 1
              Warning: web@2.service: exited with status 1
              Warning: web@2.service: generation 2 ended: exit-code
              job 7: failed (web@2.service)
              job 5: failed (web.service)
              Error: web@2.service: its next generation did not get ready; the one that runs goes on
        "#]],
    );
}

#[test]
fn a_group_of_one_overlaps_by_default() {
    check(
        ONE,
        "start web.socket; start web.service; ready web@1.service | restart web.service; ready web@1@other.service",
        expect![[r#"
            > restart web.service
              job 4: restart web.service
              job 5: restart web@1.service
              Info: web@1.service: starting its next generation beside it
              run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=1
            > ready web@1@other.service
              Info: web@1.service: running (pid 102)
              Info: web@1.service: generation 2 serves now (pid 102)
              job 5: done (web@1.service)
              job 4: done (web.service)
              SIGTERM to web@1.service ExecStart (Session)
        "#]],
    );
}

#[test]
fn stop_first_restarts_all_instances_at_once() {
    check(
        TOGETHER,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service | restart web.service; ready web@1.service; ready web@2.service",
        expect![[r#"
            > restart web.service
              job 5: restart web.service
              job 6: restart web@1.service
              job 7: restart web@2.service
              steer web.socket to [0]
              SIGTERM to web@1.service ExecStart (Session)
              SIGTERM to web@2.service ExecStart (Session)
              web.service: running -> stop
              web@1.service: running -> stop-sigterm
              web@2.service: running -> stop-sigterm
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=2
              web.service: stop -> start
              web@1.service: stop-sigterm -> start
              run web@2.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=2
              web@2.service: stop-sigterm -> start
            > ready web@1.service
              job 6: done (web@1.service)
              Info: web@1.service: running (pid 103)
              watch web.socket:0@1
              web.service: start -> degraded
              web@1.service: start -> running
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
fn a_start_limit_counts_restarts_that_overlap() {
    check_http(
        &BARE.replace("-- http.service\n", "-- http.service\n[Unit]\nStartLimitBurst=2\n"),
        "restart http.service; ready http@@other.service; restart http.service",
        expect![[r#"
            > restart http.service
              job 3: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStart http.socket=http.socket:0
            > ready http@@other.service
              Info: http.service: running (pid 102)
              Info: http.service: generation 2 serves now (pid 102)
              job 3: done (http.service)
              SIGTERM to http.service ExecStart (Session)
            > restart http.service
              job 4: restart http.service
              Info: http.service: starting its next generation beside it
              Error: http.service: started too often, refused; `reset-failed` forgets the count
              job 4: failed (http.service)
        "#]],
    );
}

#[test]
fn everything_stops_with_both_generations() {
    check_http(
        BARE,
        "restart http.service; stop-all",
        expect![[r#"
            > restart http.service
              job 3: restart http.service
              Info: http.service: starting its next generation beside it
              run http@@other.service ExecStart http.socket=http.socket:0
            > stop-all
              job 4: stop http.socket
              job 3: canceled (http.service)
              job 5: stop http.service
              close http.socket:0
              job 4: done (http.socket)
              Info: http.socket: closed
              SIGTERM to http@@other.service ExecStart (Session)
              SIGTERM to http.service ExecStart (Session)
              http.service: running -> stop-sigterm
              http.socket: running -> dead
              job 5: done (http.service)
              http.service: stop-sigterm -> dead
        "#]],
    );
}
