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
        expect![[""]],
    );
}

#[test]
fn a_process_that_ignores_its_signal_is_killed() {
    check(
        MODES,
        "plan group.service ExecStart ignores-signals; start group.service; stop group.service; wait 2s",
        expect![[""]],
    );
}

#[test]
fn a_process_that_survives_sigkill_is_given_up() {
    check(
        MODES,
        "plan group.service ExecStart unkillable; start group.service; stop group.service; wait 4s; start group.service",
        expect![[""]],
    );
}

#[test]
fn mixed_signals_the_main_process_then_kills_all() {
    check(
        MODES,
        "plan mixed.service ExecStart ignores-signals; start mixed.service; stop mixed.service; wait 2s",
        expect![[""]],
    );
}

#[test]
fn process_signals_the_main_process_only() {
    check(
        MODES,
        "start process.service; stop process.service",
        expect![[""]],
    );
}

#[test]
fn none_signals_nobody_and_leaves_the_process_behind() {
    check(
        MODES,
        "start none.service; stop none.service; start none.service; stop none.service",
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
    );
}

#[test]
fn a_start_during_a_stop_waits_for_its_end() {
    check(
        MODES,
        "plan group.service ExecStart ignores-signals; start group.service; stop group.service; start group.service; wait 2s",
        expect![[""]],
    );
}

#[test]
fn a_stop_before_the_keeper_answers_is_not_forgotten() {
    check(
        MODES,
        "plan group.service ExecStart slow; plan group.service ExecStart ignores-signals; start group.service; stop group.service; exec group.service; wait 2s",
        expect![[""]],
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
        "start a.socket; connect a.socket; start c.service; start b.service; stop-all",
        expect![[""]],
    );
}
