//! Services: the order of their commands, types, readiness, reload.

use expect_test::expect;

use crate::check;

/// A service with every list of commands.
const FULL: &str = "
-- full.service
[Service]
Type=notify
ExecStartPre=/bin/pre1
ExecStartPre=-/bin/pre2
ExecStart=/bin/main
ExecStartPost=/bin/post
ExecReload=/bin/reload1
ExecReload=/bin/reload2
ExecStop=/bin/stop
TimeoutStartSec=5s
TimeoutStopSec=3s
";

/// One-shot services: with two commands, and one that remains.
const ONCE: &str = "
-- once.service
[Service]
Type=oneshot
ExecStart=/bin/one
ExecStart=/bin/two
-- stay.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/up
ExecStop=/bin/down
";

/// The plain types.
const PLAIN: &str = "
-- simple.service
[Service]
ExecStart=/bin/simple
-- exec.service
[Service]
Type=exec
ExecStart=/bin/exec
ExecStartPost=/bin/post
";

#[test]
fn commands_run_in_their_order() {
    check(
        FULL,
        "start full.service; ready full.service; reload full.service; stop full.service",
        expect![[r#"
            > start full.service
              job 1: start full.service
              run full.service ExecStartPre
              full.service: dead -> start-pre
              run full.service ExecStartPre[1]
              run full.service ExecStart
              full.service: start-pre -> start
            > ready full.service
              run full.service ExecStartPost $MAINPID=103
              full.service: start -> start-post
              job 1: done (full.service)
              Info: full.service: running (pid 103)
              full.service: start-post -> running
            > reload full.service
              job 2: reload full.service
              run full.service ExecReload $MAINPID=103
              full.service: running -> reload
              run full.service ExecReload[1] $MAINPID=103
              Info: full.service: reloaded
              job 2: done (full.service)
              full.service: reload -> running
            > stop full.service
              job 3: stop full.service
              run full.service ExecStop $MAINPID=103 $SERVICE_RESULT=success
              full.service: running -> stop
              SIGTERM to full.service ExecStart (Session)
              full.service: stop -> stop-sigterm
              job 3: done (full.service)
              full.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_failing_first_command_fails_the_start() {
    check(
        FULL,
        "plan full.service ExecStartPre exits-1; start full.service",
        expect![[r#"
            > plan full.service ExecStartPre exits-1
            > start full.service
              job 1: start full.service
              run full.service ExecStartPre
              full.service: dead -> start-pre
              Warning: full.service: exited with status 1
              job 1: failed (full.service)
              Error: full.service: failed: exit-code
              full.service: start-pre -> failed
        "#]],
    );
}

#[test]
fn a_dash_forgives_a_failing_command() {
    check(
        r#"
-- a.service
[Service]
ExecStartPre=-/bin/pre
ExecStart=/bin/a
"#,
        "plan a.service ExecStartPre exits-1; start a.service",
        expect![[r#"
            > plan a.service ExecStartPre exits-1
            > start a.service
              job 1: start a.service
              run a.service ExecStartPre
              a.service: dead -> start-pre
              run a.service ExecStart
              a.service: start-pre -> start
              job 1: done (a.service)
              Info: a.service: running (pid 102)
              a.service: start -> running
        "#]],
    );
}

#[test]
fn a_failing_last_command_stops_the_service() {
    check(
        FULL,
        "plan full.service ExecStartPost exits-1; start full.service; ready full.service",
        expect![[r#"
            > plan full.service ExecStartPost exits-1
            > start full.service
              job 1: start full.service
              run full.service ExecStartPre
              full.service: dead -> start-pre
              run full.service ExecStartPre[1]
              run full.service ExecStart
              full.service: start-pre -> start
            > ready full.service
              run full.service ExecStartPost $MAINPID=103
              full.service: start -> start-post
              Warning: full.service: exited with status 1
              SIGTERM to full.service ExecStart (Session)
              full.service: start-post -> stop-sigterm
              job 1: failed (full.service)
              Error: full.service: failed: exit-code
              full.service: stop-sigterm -> failed
        "#]],
    );
}

#[test]
fn an_end_before_readiness_is_a_protocol_error() {
    check(
        FULL,
        "start full.service; exit full.service",
        expect![[r#"
            > start full.service
              job 1: start full.service
              run full.service ExecStartPre
              full.service: dead -> start-pre
              run full.service ExecStartPre[1]
              run full.service ExecStart
              full.service: start-pre -> start
            > exit full.service
              Info: full.service: exited with status 0
              job 1: failed (full.service)
              Error: full.service: failed: protocol
              full.service: start -> failed
        "#]],
    );
}

#[test]
fn a_start_that_takes_too_long_is_ended() {
    check(
        FULL,
        "start full.service; wait 5s",
        expect![[r#"
            > start full.service
              job 1: start full.service
              run full.service ExecStartPre
              full.service: dead -> start-pre
              run full.service ExecStartPre[1]
              run full.service ExecStart
              full.service: start-pre -> start
            > wait 5s
              at 5s
              Warning: full.service: start timed out
              SIGTERM to full.service ExecStart (Session)
              full.service: start -> stop-sigterm
              job 1: failed (full.service)
              Error: full.service: failed: timeout
              full.service: stop-sigterm -> failed
        "#]],
    );
}

#[test]
fn a_notification_may_extend_the_start() {
    check(
        FULL,
        "start full.service; wait 4s; extend full.service 10s; wait 9s; ready full.service",
        expect![[r#"
            > start full.service
              job 1: start full.service
              run full.service ExecStartPre
              full.service: dead -> start-pre
              run full.service ExecStartPre[1]
              run full.service ExecStart
              full.service: start-pre -> start
            > wait 4s
            > extend full.service 10s
            > wait 9s
            > ready full.service
              run full.service ExecStartPost $MAINPID=103
              full.service: start -> start-post
              job 1: done (full.service)
              Info: full.service: running (pid 103)
              full.service: start-post -> running
        "#]],
    );
}

#[test]
fn readiness_may_come_before_the_answer_of_the_keeper() {
    check(
        FULL,
        "plan full.service ExecStart slow; start full.service; ready full.service; exec full.service",
        expect![[r#"
            > plan full.service ExecStart slow
            > start full.service
              job 1: start full.service
              run full.service ExecStartPre
              full.service: dead -> start-pre
              run full.service ExecStartPre[1]
              run full.service ExecStart
              full.service: start-pre -> start
            > ready full.service
            > exec full.service
              run full.service ExecStartPost $MAINPID=103
              full.service: start -> start-post
              job 1: done (full.service)
              Info: full.service: running (pid 103)
              full.service: start-post -> running
        "#]],
    );
}

#[test]
fn readiness_of_a_child_counts_only_with_notify_access_all() {
    check(
        FULL,
        "start full.service; ready-from-stranger full.service; ready full.service",
        expect![[r#"
            > start full.service
              job 1: start full.service
              run full.service ExecStartPre
              full.service: dead -> start-pre
              run full.service ExecStartPre[1]
              run full.service ExecStart
              full.service: start-pre -> start
            > ready-from-stranger full.service
            > ready full.service
              run full.service ExecStartPost $MAINPID=103
              full.service: start -> start-post
              job 1: done (full.service)
              Info: full.service: running (pid 103)
              full.service: start-post -> running
        "#]],
    );
}

#[test]
fn notify_access_all_takes_readiness_from_children() {
    check(
        r#"
-- a.service
[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/a
"#,
        "start a.service; ready-from-stranger a.service",
        expect![[r#"
            > start a.service
              job 1: start a.service
              run a.service ExecStart
              a.service: dead -> start
            > ready-from-stranger a.service
              job 1: done (a.service)
              Info: a.service: running (pid 101)
              a.service: start -> running
        "#]],
    );
}

#[test]
fn a_failing_reload_leaves_the_service_running() {
    check(
        FULL,
        "start full.service; ready full.service | plan full.service ExecReload exits-1; reload full.service",
        expect![[r#"
            > plan full.service ExecReload exits-1
            > reload full.service
              job 2: reload full.service
              run full.service ExecReload $MAINPID=103
              full.service: running -> reload
              Warning: full.service: exited with status 1
              job 2: failed (full.service)
              full.service: reload -> running
        "#]],
    );
}

#[test]
fn a_reload_that_hangs_is_given_up() {
    check(
        FULL,
        "start full.service; ready full.service | plan full.service ExecReload lingers; reload full.service; wait 5s; reload full.service",
        expect![[r#"
            > plan full.service ExecReload lingers
            > reload full.service
              job 2: reload full.service
              run full.service ExecReload $MAINPID=103
              full.service: running -> reload
            > wait 5s
              at 5s
              Warning: full.service: reload timed out
              SIGKILL to full.service ExecReload (Session)
              job 2: failed (full.service)
              full.service: reload -> running
            > reload full.service
              job 3: reload full.service
              run full.service ExecReload $MAINPID=103
              full.service: running -> reload
              run full.service ExecReload[1] $MAINPID=103
              Info: full.service: reloaded
              job 3: done (full.service)
              full.service: reload -> running
        "#]],
    );
}

#[test]
fn a_second_reload_waits_for_the_first_and_reloads_again() {
    check(
        FULL,
        "start full.service; ready full.service | plan full.service ExecReload lingers; reload full.service; reload full.service; exit full.service/control",
        expect![[r#"
            > plan full.service ExecReload lingers
            > reload full.service
              job 2: reload full.service
              run full.service ExecReload $MAINPID=103
              full.service: running -> reload
            > reload full.service
            > exit full.service/control
              run full.service ExecReload[1] $MAINPID=103
              Info: full.service: reloaded
              run full.service ExecReload $MAINPID=103
              run full.service ExecReload[1] $MAINPID=103
              Info: full.service: reloaded
              job 2: done (full.service)
              full.service: reload -> running
        "#]],
    );
}

#[test]
fn the_main_process_may_end_during_a_reload() {
    check(
        FULL,
        "start full.service; ready full.service | plan full.service ExecReload lingers; reload full.service; exit full.service; exit full.service/control",
        expect![[r#"
            > plan full.service ExecReload lingers
            > reload full.service
              job 2: reload full.service
              run full.service ExecReload $MAINPID=103
              full.service: running -> reload
            > exit full.service
              Info: full.service: exited with status 0
            > exit full.service/control
              run full.service ExecReload[1]
              Info: full.service: reloaded
              job 2: done (full.service)
              run full.service ExecStop $SERVICE_RESULT=success $EXIT_CODE=exited $EXIT_STATUS=0
              full.service: reload -> stop
              full.service: stop -> dead
        "#]],
    );
}

#[test]
fn a_service_that_does_not_run_cannot_reload() {
    check(
        FULL,
        "reload full.service; reload-or-restart full.service",
        expect![[r#"
            > reload full.service
              job 1: reload full.service
              Error: full.service: not running, so it cannot reload
              job 1: failed (full.service)
            > reload-or-restart full.service
              job 2: restart full.service
              run full.service ExecStartPre
              full.service: dead -> start-pre
              run full.service ExecStartPre[1]
              run full.service ExecStart
              full.service: start-pre -> start
        "#]],
    );
}

#[test]
fn what_has_no_reload_refuses_it() {
    check(
        PLAIN,
        "start simple.service | reload simple.service",
        expect![[r#"
            > reload simple.service
              refused: Job type is not applicable for unit simple.service.
        "#]],
    );
}

#[test]
fn simple_is_up_as_soon_as_it_runs() {
    check(
        PLAIN,
        "plan simple.service ExecStart slow; start simple.service; exec simple.service",
        expect![[r#"
            > plan simple.service ExecStart slow
            > start simple.service
              job 1: start simple.service
              run simple.service ExecStart
              simple.service: dead -> start
            > exec simple.service
              job 1: done (simple.service)
              Info: simple.service: running (pid 101)
              simple.service: start -> running
        "#]],
    );
}

#[test]
fn exec_fails_when_the_program_cannot_run() {
    check(
        PLAIN,
        "plan exec.service ExecStart cannot-exec; start exec.service",
        expect![[r#"
            > plan exec.service ExecStart cannot-exec
            > start exec.service
              job 1: start exec.service
              run exec.service ExecStart
              exec.service: dead -> start
              Error: exec.service: no such file
              Warning: exec.service: exited with status 203
              job 1: failed (exec.service)
              Error: exec.service: failed: exit-code
              exec.service: start -> failed
        "#]],
    );
}

#[test]
fn a_manager_without_resources_fails_the_start() {
    check(
        PLAIN,
        "plan exec.service ExecStart cannot-fork; start exec.service",
        expect![[r#"
            > plan exec.service ExecStart cannot-fork
            > start exec.service
              job 1: start exec.service
              run exec.service ExecStart
              exec.service: dead -> start
              Error: exec.service: no such file
              Warning: exec.service: exited with status 0
              job 1: failed (exec.service)
              Error: exec.service: failed: resources
              exec.service: start -> failed
        "#]],
    );
}

#[test]
fn oneshot_runs_its_commands_one_after_the_other() {
    check(
        ONCE,
        "start once.service; exit once.service; exit once.service",
        expect![[r#"
            > start once.service
              job 1: start once.service
              run once.service ExecStart
              once.service: dead -> start
            > exit once.service
              Info: once.service: exited with status 0
              run once.service ExecStart[1]
            > exit once.service
              Info: once.service: exited with status 0
              job 1: done (once.service)
              once.service: start -> dead
        "#]],
    );
}

#[test]
fn oneshot_that_remains_is_stopped_by_its_commands() {
    check(
        ONCE,
        "start stay.service; exit stay.service; start stay.service; stop stay.service",
        expect![[r#"
            > start stay.service
              job 1: start stay.service
              run stay.service ExecStart
              stay.service: dead -> start
            > exit stay.service
              Info: stay.service: exited with status 0
              job 1: done (stay.service)
              stay.service: start -> exited
            > start stay.service
              job 2: start stay.service
              job 2: done (stay.service)
            > stop stay.service
              job 3: stop stay.service
              run stay.service ExecStop $SERVICE_RESULT=success $EXIT_CODE=exited $EXIT_STATUS=0
              stay.service: exited -> stop
              job 3: done (stay.service)
              stay.service: stop -> dead
        "#]],
    );
}

#[test]
fn oneshot_that_fails_fails_its_job() {
    check(
        ONCE,
        "start once.service; exit once.service 3",
        expect![[r#"
            > start once.service
              job 1: start once.service
              run once.service ExecStart
              once.service: dead -> start
            > exit once.service 3
              Warning: once.service: exited with status 3
              job 1: failed (once.service)
              Error: once.service: failed: exit-code
              once.service: start -> failed
        "#]],
    );
}

#[test]
fn oneshot_has_no_start_timeout() {
    check(
        ONCE,
        "start once.service; wait 1h; exit once.service; exit once.service",
        expect![[r#"
            > start once.service
              job 1: start once.service
              run once.service ExecStart
              once.service: dead -> start
            > wait 1h
            > exit once.service
              Info: once.service: exited with status 0
              run once.service ExecStart[1]
            > exit once.service
              Info: once.service: exited with status 0
              job 1: done (once.service)
              once.service: start -> dead
        "#]],
    );
}

#[test]
fn the_main_process_may_end_while_the_last_command_runs() {
    check(
        PLAIN,
        "plan exec.service ExecStartPost lingers; start exec.service; exit exec.service; exit exec.service/control",
        expect![[r#"
            > plan exec.service ExecStartPost lingers
            > start exec.service
              job 1: start exec.service
              run exec.service ExecStart
              exec.service: dead -> start
              run exec.service ExecStartPost $MAINPID=101
              exec.service: start -> start-post
            > exit exec.service
              Info: exec.service: exited with status 0
            > exit exec.service/control
              job 1: done (exec.service)
              exec.service: start-post -> dead
        "#]],
    );
}
