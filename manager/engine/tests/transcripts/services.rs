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
        expect![[""]],
    );
}

#[test]
fn a_failing_first_command_fails_the_start() {
    check(
        FULL,
        "plan full.service ExecStartPre exits-1; start full.service",
        expect![[""]],
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
        expect![[""]],
    );
}

#[test]
fn a_failing_last_command_stops_the_service() {
    check(
        FULL,
        "plan full.service ExecStartPost exits-1; start full.service; ready full.service",
        expect![[""]],
    );
}

#[test]
fn an_end_before_readiness_is_a_protocol_error() {
    check(
        FULL,
        "start full.service; exit full.service",
        expect![[""]],
    );
}

#[test]
fn a_start_that_takes_too_long_is_ended() {
    check(
        FULL,
        "start full.service; wait 5s",
        expect![[""]],
    );
}

#[test]
fn a_notification_may_extend_the_start() {
    check(
        FULL,
        "start full.service; wait 4s; extend full.service 10s; wait 9s; ready full.service",
        expect![[""]],
    );
}

#[test]
fn readiness_may_come_before_the_answer_of_the_keeper() {
    check(
        FULL,
        "plan full.service ExecStart slow; start full.service; ready full.service; exec full.service",
        expect![[""]],
    );
}

#[test]
fn readiness_of_a_child_counts_only_with_notify_access_all() {
    check(
        FULL,
        "start full.service; ready-from-stranger full.service; ready full.service",
        expect![[""]],
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
        expect![[""]],
    );
}

#[test]
fn a_failing_reload_leaves_the_service_running() {
    check(
        FULL,
        "start full.service; ready full.service; plan full.service ExecReload exits-1; reload full.service",
        expect![[""]],
    );
}

#[test]
fn a_reload_that_hangs_is_given_up() {
    check(
        FULL,
        "start full.service; ready full.service; plan full.service ExecReload lingers; reload full.service; wait 5s; reload full.service",
        expect![[""]],
    );
}

#[test]
fn a_second_reload_waits_for_the_first_and_reloads_again() {
    check(
        FULL,
        "start full.service; ready full.service; plan full.service ExecReload lingers; reload full.service; reload full.service; exit full.service/control",
        expect![[""]],
    );
}

#[test]
fn the_main_process_may_end_during_a_reload() {
    check(
        FULL,
        "start full.service; ready full.service; plan full.service ExecReload lingers; reload full.service; exit full.service; exit full.service/control",
        expect![[""]],
    );
}

#[test]
fn a_service_that_does_not_run_cannot_reload() {
    check(
        FULL,
        "reload full.service; reload-or-restart full.service",
        expect![[""]],
    );
}

#[test]
fn what_has_no_reload_refuses_it() {
    check(
        PLAIN,
        "start simple.service; reload simple.service",
        expect![[""]],
    );
}

#[test]
fn simple_is_up_as_soon_as_it_runs() {
    check(
        PLAIN,
        "plan simple.service ExecStart slow; start simple.service; exec simple.service",
        expect![[""]],
    );
}

#[test]
fn exec_fails_when_the_program_cannot_run() {
    check(
        PLAIN,
        "plan exec.service ExecStart cannot-exec; start exec.service",
        expect![[""]],
    );
}

#[test]
fn a_manager_without_resources_fails_the_start() {
    check(
        PLAIN,
        "plan exec.service ExecStart cannot-fork; start exec.service",
        expect![[""]],
    );
}

#[test]
fn oneshot_runs_its_commands_one_after_the_other() {
    check(
        ONCE,
        "start once.service; exit once.service; exit once.service",
        expect![[""]],
    );
}

#[test]
fn oneshot_that_remains_is_stopped_by_its_commands() {
    check(
        ONCE,
        "start stay.service; exit stay.service; start stay.service; stop stay.service",
        expect![[""]],
    );
}

#[test]
fn oneshot_that_fails_fails_its_job() {
    check(
        ONCE,
        "start once.service; exit once.service 3",
        expect![[""]],
    );
}

#[test]
fn oneshot_has_no_start_timeout() {
    check(
        ONCE,
        "start once.service; wait 1h; exit once.service; exit once.service",
        expect![[""]],
    );
}

#[test]
fn the_main_process_may_end_while_the_last_command_runs() {
    check(
        PLAIN,
        "plan exec.service ExecStartPost lingers; start exec.service; exit exec.service; exit exec.service/control",
        expect![[""]],
    );
}
