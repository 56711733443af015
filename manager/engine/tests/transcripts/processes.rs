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
        "start always.service; exit always.service; wait 1s; stop always.service; wait 5s",
        expect![[""]],
    );
}

#[test]
fn a_stop_while_it_waits_to_restart_ends_the_waiting() {
    check(
        POLICIES,
        "start always.service; exit always.service 1; stop always.service; wait 5s",
        expect![[""]],
    );
}

#[test]
fn a_start_while_it_waits_to_restart_starts_at_once() {
    check(
        POLICIES,
        "start always.service; exit always.service 1; start always.service; wait 5s",
        expect![[""]],
    );
}

#[test]
fn a_restart_while_it_waits_to_restart_starts_at_once() {
    check(
        POLICIES,
        "start always.service; exit always.service 1; restart always.service; wait 5s",
        expect![[""]],
    );
}

#[test]
fn on_failure_restarts_after_a_bad_exit() {
    check(
        POLICIES,
        "start failure.service; exit failure.service 1; wait 1s; exit failure.service; wait 1s",
        expect![[""]],
    );
}

#[test]
fn a_clean_signal_is_no_failure() {
    check(
        POLICIES,
        "start failure.service; dies failure.service SIGTERM; start failure.service; dies failure.service SIGKILL",
        expect![[""]],
    );
}

#[test]
fn on_abnormal_restarts_after_a_signal_not_after_an_exit() {
    check(
        POLICIES,
        "start abnormal.service; exit abnormal.service 1; start abnormal.service; dies abnormal.service SIGSEGV",
        expect![[""]],
    );
}

#[test]
fn on_abort_restarts_after_a_core_dump() {
    check(
        POLICIES,
        "start abort.service; exit abort.service 1; start abort.service; dumps abort.service SIGABRT",
        expect![[""]],
    );
}

#[test]
fn on_success_restarts_after_a_good_exit() {
    check(
        POLICIES,
        "start success.service; exit success.service; wait 1s; exit success.service 1",
        expect![[""]],
    );
}

#[test]
fn exec_stop_also_runs_after_an_end_by_itself() {
    check(
        POLICIES,
        "start never.service; exit never.service 1; reset-failed never.service",
        expect![[""]],
    );
}

#[test]
fn kill_reaches_those_it_names() {
    check(
        POLICIES,
        "start never.service; kill never.service main SIGHUP; kill never.service control SIGHUP; kill never.service all SIGUSR1; kill never.service all SIGKILL; kill never.service all SIGKILL; kill none.service all SIGKILL",
        expect![[""]],
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
        "start a.service; exit a.service 1; wait 1s; exit a.service 1; wait 20s; start a.service",
        expect![[""]],
    );
}
