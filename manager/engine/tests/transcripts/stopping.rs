//! The way down: signals, timeouts, KillMode=, and processes that do not want to go.

use expect_test::expect;

use crate::check;

/// Services that differ in KillMode=.
const MODES: &str = "
-- group.service
[Service]
ExecStart=/bin/group
TimeoutStopSec=2s
-- mixed.service
[Service]
ExecStart=/bin/mixed
KillMode=mixed
KillSignal=SIGINT
TimeoutStopSec=2s
-- process.service
[Service]
ExecStart=/bin/process
KillMode=process
TimeoutStopSec=2s
-- none.service
[Service]
ExecStart=/bin/none
KillMode=none
ExecStop=/bin/stop
";

#[test]
fn control_group_signals_everybody() {
    check(
        MODES,
        "start group.service; stop group.service",
        expect![[r#"
            > start group.service
              job 1: start group.service
              run group.service ExecStart
              group.service: dead -> start
              job 1: done (group.service)
              Info: group.service: running (pid 101)
              group.service: start -> running
            > stop group.service
              job 2: stop group.service
              SIGTERM to group.service ExecStart (Session)
              group.service: running -> stop-sigterm
              job 2: done (group.service)
              group.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_process_that_ignores_its_signal_is_killed() {
    check(
        MODES,
        "plan group.service ExecStart ignores-signals; start group.service | stop group.service; wait 2s",
        expect![[r#"
            > stop group.service
              job 2: stop group.service
              SIGTERM to group.service ExecStart (Session)
              group.service: running -> stop-sigterm
            > wait 2s
              at 2s
              Warning: group.service: did not stop in time, killing
              SIGKILL to group.service ExecStart (Session)
              group.service: stop-sigterm -> stop-sigkill
              job 2: done (group.service)
              Error: group.service: failed: timeout
              group.service: stop-sigkill -> failed
        "#]],
    );
}

#[test]
fn a_process_that_survives_sigkill_is_given_up() {
    check(
        MODES,
        "plan group.service ExecStart unkillable; start group.service | stop group.service; wait 4s; start group.service",
        expect![[r#"
            > stop group.service
              job 2: stop group.service
              SIGTERM to group.service ExecStart (Session)
              group.service: running -> stop-sigterm
            > wait 4s
              at 2s
              Warning: group.service: did not stop in time, killing
              SIGKILL to group.service ExecStart (Session)
              group.service: stop-sigterm -> stop-sigkill
              at 4s
              Error: group.service: processes remain after SIGKILL, ignoring them
              SIGTERM to group.service ExecStart (Session)
              group.service: stop-sigkill -> final-sigterm
            > start group.service
              job 2: canceled (group.service)
              job 3: start group.service
        "#]],
    );
}

#[test]
fn mixed_signals_the_main_process_then_kills_all() {
    check(
        MODES,
        "plan mixed.service ExecStart ignores-signals; start mixed.service | stop mixed.service; wait 2s",
        expect![[r#"
            > stop mixed.service
              job 2: stop mixed.service
              SIGINT to mixed.service ExecStart (Process)
              mixed.service: running -> stop-sigterm
            > wait 2s
              at 2s
              Warning: mixed.service: did not stop in time, killing
              SIGKILL to mixed.service ExecStart (Session)
              mixed.service: stop-sigterm -> stop-sigkill
              job 2: done (mixed.service)
              Error: mixed.service: failed: timeout
              mixed.service: stop-sigkill -> failed
        "#]],
    );
}

#[test]
fn process_signals_the_main_process_only() {
    check(
        MODES,
        "start process.service; stop process.service",
        expect![[r#"
        > start process.service
          job 1: start process.service
          run process.service ExecStart
          process.service: dead -> start
          job 1: done (process.service)
          Info: process.service: running (pid 101)
          process.service: start -> running
        > stop process.service
          job 2: stop process.service
          SIGTERM to process.service ExecStart (Process)
          process.service: running -> stop-sigterm
          job 2: done (process.service)
          process.service: stop-sigterm -> dead
    "#]],
    );
}

#[test]
fn none_signals_nobody_and_leaves_the_process_behind() {
    check(
        MODES,
        "start none.service | stop none.service; start none.service; stop none.service",
        expect![[r#"
            > stop none.service
              job 2: stop none.service
              run none.service ExecStop $MAINPID=101 $SERVICE_RESULT=success
              none.service: running -> stop
              job 2: done (none.service)
              none.service: stop -> dead
            > start none.service
              job 3: start none.service
              run none.service ExecStart
              none.service: dead -> start
              job 3: done (none.service)
              Info: none.service: running (pid 103)
              none.service: start -> running
            > stop none.service
              job 4: stop none.service
              run none.service ExecStop $MAINPID=103 $SERVICE_RESULT=success
              none.service: running -> stop
              job 4: done (none.service)
              none.service: stop -> dead
        "#]],
    );
}

#[test]
fn exec_stop_may_take_too_long() {
    check(
        r#"
-- a.service
[Service]
ExecStart=/bin/a
ExecStop=/bin/stop
TimeoutStopSec=2s
"#,
        "start a.service; plan a.service ExecStop ignores-signals; stop a.service; wait 4s",
        expect![[r#"
            > start a.service
              job 1: start a.service
              run a.service ExecStart
              a.service: dead -> start
              job 1: done (a.service)
              Info: a.service: running (pid 101)
              a.service: start -> running
            > plan a.service ExecStop ignores-signals
            > stop a.service
              job 2: stop a.service
              run a.service ExecStop $MAINPID=101 $SERVICE_RESULT=success
              a.service: running -> stop
            > wait 4s
              at 2s
              Warning: a.service: ExecStop= timed out
              SIGTERM to a.service ExecStart (Session)
              SIGTERM to a.service ExecStop (Session)
              a.service: stop -> stop-sigterm
              at 4s
              Warning: a.service: did not stop in time, killing
              SIGKILL to a.service ExecStop (Session)
              a.service: stop-sigterm -> stop-sigkill
              job 2: done (a.service)
              Error: a.service: failed: timeout
              a.service: stop-sigkill -> failed
        "#]],
    );
}

#[test]
fn a_stop_during_the_first_command_goes_straight_to_signals() {
    check(
        r#"
-- a.service
[Service]
ExecStartPre=/bin/pre
ExecStart=/bin/a
ExecStop=/bin/stop
"#,
        "plan a.service ExecStartPre lingers; start a.service; stop a.service",
        expect![[r#"
            > plan a.service ExecStartPre lingers
            > start a.service
              job 1: start a.service
              run a.service ExecStartPre
              a.service: dead -> start-pre
            > stop a.service
              job 1: canceled (a.service)
              job 2: stop a.service
              SIGTERM to a.service ExecStartPre (Session)
              a.service: start-pre -> stop-sigterm
              job 2: done (a.service)
              Error: a.service: failed: signal
              a.service: stop-sigterm -> failed
        "#]],
    );
}

#[test]
fn a_stop_during_a_reload_leaves_no_second_control_process() {
    check(
        r#"
-- a.service
[Service]
ExecStart=/bin/a
ExecReload=/bin/reload
ExecStop=/bin/stop
"#,
        "start a.service; plan a.service ExecReload lingers; reload a.service; stop a.service",
        expect![[r#"
            > start a.service
              job 1: start a.service
              run a.service ExecStart
              a.service: dead -> start
              job 1: done (a.service)
              Info: a.service: running (pid 101)
              a.service: start -> running
            > plan a.service ExecReload lingers
            > reload a.service
              job 2: reload a.service
              run a.service ExecReload $MAINPID=101
              a.service: running -> reload
            > stop a.service
              job 2: canceled (a.service)
              job 3: stop a.service
              SIGTERM to a.service ExecStart (Session)
              SIGTERM to a.service ExecReload (Session)
              a.service: reload -> stop-sigterm
              job 3: done (a.service)
              Error: a.service: failed: signal
              a.service: stop-sigterm -> failed
        "#]],
    );
}

#[test]
fn a_start_during_a_stop_waits_for_its_end() {
    check(
        MODES,
        "plan group.service ExecStart ignores-signals; start group.service | stop group.service; start group.service; wait 2s",
        expect![[r#"
            > stop group.service
              job 2: stop group.service
              SIGTERM to group.service ExecStart (Session)
              group.service: running -> stop-sigterm
            > start group.service
              job 2: canceled (group.service)
              job 3: start group.service
            > wait 2s
              at 2s
              Warning: group.service: did not stop in time, killing
              SIGKILL to group.service ExecStart (Session)
              group.service: stop-sigterm -> stop-sigkill
              Error: group.service: failed: timeout
              run group.service ExecStart
              group.service: stop-sigkill -> start
              job 3: done (group.service)
              Info: group.service: running (pid 102)
              group.service: start -> running
        "#]],
    );
}

#[test]
fn a_stop_before_the_keeper_answers_is_not_forgotten() {
    check(
        MODES,
        "plan group.service ExecStart slow; plan group.service ExecStart ignores-signals; start group.service; stop group.service; exec group.service; wait 2s",
        expect![[r#"
            > plan group.service ExecStart slow
            > plan group.service ExecStart ignores-signals
            > start group.service
              job 1: start group.service
              run group.service ExecStart
              group.service: dead -> start
            > stop group.service
              job 1: canceled (group.service)
              job 2: stop group.service
              SIGTERM to group.service ExecStart (Session)
              group.service: start -> stop-sigterm
            > exec group.service
            > wait 2s
              at 2s
              Warning: group.service: did not stop in time, killing
              SIGKILL to group.service ExecStart (Session)
              group.service: stop-sigterm -> stop-sigkill
              job 2: done (group.service)
              Error: group.service: failed: timeout
              group.service: stop-sigkill -> failed
        "#]],
    );
}

#[test]
fn stop_all_stops_what_runs_and_what_is_about_to() {
    check(
        r#"
-- a.socket
[Socket]
ListenStream=80
-- a.service
[Service]
ExecStart=/bin/a
-- b.service
[Unit]
After=c.service
[Service]
ExecStart=/bin/b
-- c.service
[Service]
Type=notify
ExecStart=/bin/c
"#,
        "start a.socket; connect a.socket; start c.service; start b.service | stop-all",
        expect![[r#"
            > stop-all
              job 5: stop a.socket
              job 6: stop a.service
              job 4: canceled (b.service)
              job 7: stop b.service
              job 3: canceled (c.service)
              job 8: stop c.service
              close a.socket:0
              job 5: done (a.socket)
              Info: a.socket: closed
              SIGTERM to a.service ExecStart (Session)
              job 7: done (b.service)
              SIGTERM to c.service ExecStart (Session)
              a.service: running -> stop-sigterm
              a.socket: running -> dead
              c.service: start -> stop-sigterm
              job 6: done (a.service)
              a.service: stop-sigterm -> dead
              job 8: done (c.service)
              c.service: stop-sigterm -> dead
        "#]],
    );
}
