//! Ends that nobody asked for: restart policies, clean signals, kill.

use expect_test::expect;

use crate::check;

const POLICIES: &str = "
-- always.service
[Service]
ExecStart=/bin/always
Restart=always
RestartSec=1s
-- failure.service
[Service]
ExecStart=/bin/failure
Restart=on-failure
-- abnormal.service
[Service]
ExecStart=/bin/abnormal
Restart=on-abnormal
-- abort.service
[Service]
ExecStart=/bin/abort
Restart=on-abort
-- success.service
[Service]
ExecStart=/bin/success
Restart=on-success
-- never.service
[Service]
ExecStart=/bin/never
ExecStop=/bin/stop
";

#[test]
fn always_restarts_after_any_end_but_a_stop() {
    check(
        POLICIES,
        "start always.service | exit always.service; wait 1s; stop always.service; wait 5s",
        expect![[r#"
            > exit always.service
              Info: always.service: exited with status 0
              Info: always.service: restarting in 1s
              always.service: running -> auto-restart
            > wait 1s
              at 1s
              job 2: start always.service
              run always.service ExecStart
              always.service: auto-restart -> start
              job 2: done (always.service)
              Info: always.service: running (pid 102)
              always.service: start -> running
            > stop always.service
              job 3: stop always.service
              SIGTERM to always.service ExecStart (Session)
              always.service: running -> stop-sigterm
              job 3: done (always.service)
              always.service: stop-sigterm -> dead
            > wait 5s
        "#]],
    );
}

#[test]
fn a_stop_while_it_waits_to_restart_ends_the_waiting() {
    check(
        POLICIES,
        "start always.service; exit always.service 1 | stop always.service; wait 5s",
        expect![[r#"
            > stop always.service
              job 2: stop always.service
              job 2: done (always.service)
              always.service: auto-restart -> dead
            > wait 5s
        "#]],
    );
}

#[test]
fn a_start_while_it_waits_to_restart_starts_at_once() {
    check(
        POLICIES,
        "start always.service; exit always.service 1 | start always.service; wait 5s",
        expect![[r#"
            > start always.service
              job 2: start always.service
              run always.service ExecStart
              always.service: auto-restart -> start
              job 2: done (always.service)
              Info: always.service: running (pid 102)
              always.service: start -> running
            > wait 5s
        "#]],
    );
}

#[test]
fn a_restart_while_it_waits_to_restart_starts_at_once() {
    check(
        POLICIES,
        "start always.service; exit always.service 1 | restart always.service; wait 5s",
        expect![[r#"
            > restart always.service
              job 2: restart always.service
              run always.service ExecStart
              always.service: auto-restart -> start
              job 2: done (always.service)
              Info: always.service: running (pid 102)
              always.service: start -> running
            > wait 5s
        "#]],
    );
}

#[test]
fn on_failure_restarts_after_a_bad_exit() {
    check(
        POLICIES,
        "start failure.service | exit failure.service 1; wait 1s; exit failure.service; wait 1s",
        expect![[r#"
            > exit failure.service 1
              Warning: failure.service: exited with status 1
              Error: failure.service: failed: exit-code
              Info: failure.service: restarting in 100ms
              failure.service: running -> auto-restart
            > wait 1s
              at 100ms
              job 2: start failure.service
              run failure.service ExecStart
              failure.service: auto-restart -> start
              job 2: done (failure.service)
              Info: failure.service: running (pid 102)
              failure.service: start -> running
            > exit failure.service
              Info: failure.service: exited with status 0
              failure.service: running -> dead
            > wait 1s
        "#]],
    );
}

#[test]
fn a_clean_signal_is_no_failure() {
    check(
        POLICIES,
        "start failure.service | dies failure.service SIGTERM; start failure.service; dies failure.service SIGKILL",
        expect![[r#"
            > dies failure.service SIGTERM
              Info: failure.service: killed by SIGTERM
              failure.service: running -> dead
            > start failure.service
              job 2: start failure.service
              run failure.service ExecStart
              failure.service: dead -> start
              job 2: done (failure.service)
              Info: failure.service: running (pid 102)
              failure.service: start -> running
            > dies failure.service SIGKILL
              Warning: failure.service: killed by SIGKILL
              Error: failure.service: failed: signal
              Info: failure.service: restarting in 100ms
              failure.service: running -> auto-restart
        "#]],
    );
}

#[test]
fn on_abnormal_restarts_after_a_signal_not_after_an_exit() {
    check(
        POLICIES,
        "start abnormal.service | exit abnormal.service 1; start abnormal.service; dies abnormal.service SIGSEGV",
        expect![[r#"
            > exit abnormal.service 1
              Warning: abnormal.service: exited with status 1
              Error: abnormal.service: failed: exit-code
              abnormal.service: running -> failed
            > start abnormal.service
              job 2: start abnormal.service
              run abnormal.service ExecStart
              abnormal.service: failed -> start
              job 2: done (abnormal.service)
              Info: abnormal.service: running (pid 102)
              abnormal.service: start -> running
            > dies abnormal.service SIGSEGV
              Warning: abnormal.service: killed by SIGSEGV
              Error: abnormal.service: failed: signal
              Info: abnormal.service: restarting in 100ms
              abnormal.service: running -> auto-restart
        "#]],
    );
}

#[test]
fn on_abort_restarts_after_a_core_dump() {
    check(
        POLICIES,
        "start abort.service | exit abort.service 1; start abort.service; dumps abort.service SIGABRT",
        expect![[r#"
            > exit abort.service 1
              Warning: abort.service: exited with status 1
              Error: abort.service: failed: exit-code
              abort.service: running -> failed
            > start abort.service
              job 2: start abort.service
              run abort.service ExecStart
              abort.service: failed -> start
              job 2: done (abort.service)
              Info: abort.service: running (pid 102)
              abort.service: start -> running
            > dumps abort.service SIGABRT
              Warning: abort.service: killed by SIGABRT (core dumped)
              Error: abort.service: failed: core-dump
              Info: abort.service: restarting in 100ms
              abort.service: running -> auto-restart
        "#]],
    );
}

#[test]
fn on_success_restarts_after_a_good_exit() {
    check(
        POLICIES,
        "start success.service | exit success.service; wait 1s; exit success.service 1",
        expect![[r#"
            > exit success.service
              Info: success.service: exited with status 0
              Info: success.service: restarting in 100ms
              success.service: running -> auto-restart
            > wait 1s
              at 100ms
              job 2: start success.service
              run success.service ExecStart
              success.service: auto-restart -> start
              job 2: done (success.service)
              Info: success.service: running (pid 102)
              success.service: start -> running
            > exit success.service 1
              Warning: success.service: exited with status 1
              Error: success.service: failed: exit-code
              success.service: running -> failed
        "#]],
    );
}

#[test]
fn exec_stop_also_runs_after_an_end_by_itself() {
    check(
        POLICIES,
        "start never.service | exit never.service 1; reset-failed never.service",
        expect![[r#"
            > exit never.service 1
              Warning: never.service: exited with status 1
              Error: never.service: failed: exit-code
              never.service: running -> failed
            > reset-failed never.service
              never.service: failed -> dead
        "#]],
    );
}

#[test]
fn kill_reaches_those_it_names() {
    check(
        POLICIES,
        "start never.service | kill never.service main SIGHUP; kill never.service control SIGHUP; kill never.service all SIGUSR1; kill never.service all SIGKILL; kill never.service all SIGKILL; kill none.service all SIGKILL",
        expect![[r#"
            > kill never.service main SIGHUP
              SIGHUP to never.service ExecStart (Process)
            > kill never.service control SIGHUP
              refused: Unit never.service has no such process to kill.
            > kill never.service all SIGUSR1
              SIGUSR1 to never.service ExecStart (Session)
            > kill never.service all SIGKILL
              SIGKILL to never.service ExecStart (Session)
              Warning: never.service: killed by SIGKILL
              Error: never.service: failed: signal
              never.service: running -> failed
            > kill never.service all SIGKILL
              refused: Unit never.service has no such process to kill.
            > kill none.service all SIGKILL
              refused: Unit none.service not loaded.
        "#]],
    );
}

#[test]
fn too_many_restarts_hit_the_start_limit() {
    check(
        r#"
-- a.service
[Unit]
StartLimitBurst=2
[Service]
ExecStart=/bin/a
Restart=always
"#,
        "start a.service | exit a.service 1; wait 1s; exit a.service 1; wait 20s; start a.service",
        expect![[r#"
            > exit a.service 1
              Warning: a.service: exited with status 1
              Error: a.service: failed: exit-code
              Info: a.service: restarting in 100ms
              a.service: running -> auto-restart
            > wait 1s
              at 100ms
              job 2: start a.service
              run a.service ExecStart
              a.service: auto-restart -> start
              job 2: done (a.service)
              Info: a.service: running (pid 102)
              a.service: start -> running
            > exit a.service 1
              Warning: a.service: exited with status 1
              Error: a.service: failed: exit-code
              Info: a.service: restarting in 100ms
              a.service: running -> auto-restart
            > wait 20s
              at 1.100000s
              job 3: start a.service
              Error: a.service: started too often, refused; `reset-failed` forgets the count
              job 3: failed (a.service)
              a.service: auto-restart -> failed
            > start a.service
              job 4: start a.service
              run a.service ExecStart
              a.service: failed -> start
              job 4: done (a.service)
              Info: a.service: running (pid 103)
              a.service: start -> running
        "#]],
    );
}

#[test]
fn a_restart_whose_requirement_fails_is_tried_again() {
    check(
        r#"
-- a.service
[Unit]
Requires=db.service
After=db.service
StartLimitBurst=3
[Service]
ExecStart=/bin/a
Restart=always
RestartSec=1s
-- db.service
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart=/bin/db
"#,
        "start db.service; ready db.service; start a.service; exit db.service 1; exit a.service 1 | wait 1s; exit db.service 1; wait 1s; ready db.service",
        expect![[r#"
            > wait 1s
              at 1s
              job 3: start db.service
              job 4: start a.service
              run db.service ExecStart
              db.service: failed -> start
            > exit db.service 1
              Warning: db.service: exited with status 1
              job 3: failed (db.service)
              Error: a.service: not started: db.service, which it requires, did not start
              job 4: dependency (a.service)
              Error: db.service: failed: exit-code
              db.service: start -> failed
            > wait 1s
              at 2s
              job 5: start db.service
              job 6: start a.service
              run db.service ExecStart
              db.service: failed -> start
            > ready db.service
              job 5: done (db.service)
              Info: db.service: running (pid 104)
              run a.service ExecStart
              a.service: auto-restart -> start
              db.service: start -> running
              job 6: done (a.service)
              Info: a.service: running (pid 105)
              a.service: start -> running
        "#]],
    );
}
