//! Limits: triggers, starts, and what LimitAction= makes of them.

use expect_test::expect;

use crate::check;

/// Pauses at a limit, as is the default.
const HTTP: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:8080
-- http.service
[Service]
ExecStart=/bin/http
";

/// Fails at a limit, as systemd does.
const STRICT: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:8080
LimitAction=fail
-- http.service
[Service]
ExecStart=/bin/http
";

/// Its trigger limit is hit before its start limit.
const TRIGGERS: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:8080
TriggerLimitIntervalSec=2s
TriggerLimitBurst=2
-- http.service
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/http
";

#[test]
fn a_crash_loop_pauses_the_socket_and_loses_nothing() {
    check(
        HTTP,
        "start http.socket; connect http.socket; dies http.service SIGSEGV; wait 1s; dies http.service SIGSEGV; wait 1s; dies http.service SIGSEGV; dies http.service SIGSEGV; dies http.service SIGSEGV; wait 10s; take http.service; exit http.service; connect http.socket",
        expect![[""]],
    );
}

#[test]
fn a_crash_loop_fails_a_strict_socket() {
    check(
        STRICT,
        "start http.socket; connect http.socket; dies http.service SIGSEGV; dies http.service SIGSEGV; dies http.service SIGSEGV; dies http.service SIGSEGV; dies http.service SIGSEGV; start http.socket; reset-failed; start http.socket",
        expect![[""]],
    );
}

#[test]
fn too_many_triggers_pause_the_socket_for_the_rest_of_the_window() {
    check(
        TRIGGERS,
        "start http.socket; connect http.socket; wait 500ms; exit http.service; exit http.service; wait 2s; take http.service; exit http.service",
        expect![[""]],
    );
}

#[test]
fn a_pause_ends_early_when_the_service_is_started_by_hand() {
    check(
        TRIGGERS,
        "start http.socket; connect http.socket; exit http.service; exit http.service; start http.service; take http.service; exit http.service",
        expect![[""]],
    );
}

#[test]
fn a_socket_may_be_stopped_while_it_pauses() {
    check(
        TRIGGERS,
        "start http.socket; connect http.socket; exit http.service; exit http.service; stop http.socket; wait 10s",
        expect![[""]],
    );
}

#[test]
fn a_socket_has_a_start_limit_of_its_own() {
    check(
        HTTP,
        "start http.socket; stop http.socket; start http.socket; stop http.socket; start http.socket; stop http.socket; start http.socket; stop http.socket; start http.socket; stop http.socket; start http.socket; reset-failed http.socket; start http.socket",
        expect![[""]],
    );
}

#[test]
fn traffic_during_the_wait_for_a_restart_does_not_shorten_it() {
    check(
        r#"
-- http.socket
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/http
Restart=always
RestartSec=5s
"#,
        "start http.socket; connect http.socket; dies http.service SIGSEGV; connect http.socket; wait 5s; take http.service",
        expect![[""]],
    );
}
