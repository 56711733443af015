//! A manager that dies, and its successor that takes up what it left.

use expect_test::expect;

use crate::check;

/// A socket with its service, as the first manager and the second find it.
const HTTP: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Service]
Type=notify
ExecStart=/bin/http
ExecReload=/bin/reload
Restart=always
TimeoutStartSec=5s
TimeoutStopSec=5s
== reload
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Service]
Type=notify
ExecStart=/bin/http
ExecReload=/bin/reload
Restart=always
TimeoutStartSec=5s
TimeoutStopSec=5s
";

/// A group of two.
const WEB: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=2
-- web@.service
[Service]
ExecStart=/bin/web
";

/// A server for each connection.
const ECHO: &str = "
-- echo.socket
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
-- echo@.service
[Service]
ExecStartPre=/bin/pre
ExecStart=/bin/echo
== reload
-- echo.socket
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
-- echo@.service
[Service]
ExecStartPre=/bin/pre
ExecStart=/bin/echo
";

#[test]
fn a_listening_socket_goes_on_listening() {
    check(
        HTTP,
        "start http.socket; manager-dies; connect http.socket; manager-returns",
        expect![[""]],
    );
}

#[test]
fn a_running_service_goes_on() {
    check(
        HTTP,
        "start http.socket; connect http.socket; ready http.service; take http.service; manager-dies; manager-returns; dies http.service SIGSEGV; wait 100ms",
        expect![[""]],
    );
}

#[test]
fn a_service_that_died_meanwhile_is_restarted() {
    check(
        HTTP,
        "start http.socket; connect http.socket; ready http.service; manager-dies; exit http.service 1; manager-returns; wait 100ms",
        expect![[""]],
    );
}

#[test]
fn a_start_goes_on_and_its_job_with_it() {
    check(
        HTTP,
        "start http.service; manager-dies; manager-returns; ready http.service",
        expect![[""]],
    );
}

#[test]
fn a_start_timeout_goes_on() {
    check(
        HTTP,
        "start http.service; wait 3s; manager-dies; manager-returns; wait 2s",
        expect![[""]],
    );
}

#[test]
fn a_stop_goes_on_and_is_no_crash() {
    check(
        HTTP,
        "start http.service; plan http.service ExecStart ignores-signals; restart http.service; ready http.service; stop http.service; manager-dies; manager-returns; wait 5s; wait 5s",
        expect![[""]],
    );
}

#[test]
fn a_restart_goes_on_after_its_stop() {
    check(
        HTTP,
        "plan http.service ExecStart ignores-signals; start http.service; ready http.service; restart http.service; manager-dies; manager-returns; wait 5s; ready http.service",
        expect![[""]],
    );
}

#[test]
fn a_process_whose_start_was_not_answered_is_taken_up() {
    check(
        HTTP,
        "plan http.service ExecStart slow; start http.service; manager-dies; manager-returns; ready http.service",
        expect![[""]],
    );
}

#[test]
fn a_wait_for_a_restart_goes_on() {
    check(
        HTTP,
        "start http.service; ready http.service; exit http.service 1; manager-dies; wait 1s; manager-returns; wait 1s",
        expect![[""]],
    );
}

#[test]
fn a_lost_listener_is_opened_again() {
    check(
        HTTP,
        "start http.socket; manager-dies; manager-returns without http.socket:0; connect http.socket",
        expect![[""]],
    );
}

#[test]
fn a_group_is_steered_anew() {
    check(
        WEB,
        "start web.socket; start web.service; manager-dies; dies web@1.service SIGSEGV; manager-returns; wait 100ms",
        expect![[""]],
    );
}

#[test]
fn a_rolling_restart_begins_again() {
    check(
        WEB,
        "start web.socket; start web.service; plan web@2.service ExecStart ignores-signals; restart web@2.service; restart web.service; manager-dies; manager-returns; wait 90s",
        expect![[""]],
    );
}

#[test]
fn connections_go_on_and_are_counted() {
    check(
        ECHO,
        "start echo.socket; connect echo.socket from 10.0.0.9:1; manager-dies; manager-returns; connect echo.socket from 10.0.0.9:2; exit echo@0-127.0.0.1:7-10.0.0.9:1.service",
        expect![[""]],
    );
}

#[test]
fn a_connection_that_had_no_server_yet_is_lost_with_the_manager() {
    check(
        ECHO,
        "start echo.socket; plan echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStartPre lingers; connect echo.socket from 10.0.0.9:1; manager-dies; manager-returns",
        expect![[""]],
    );
}

#[test]
fn what_was_waiting_for_its_turn_still_gets_it() {
    check(
        r#"
-- a.service
[Service]
Type=notify
ExecStart=/bin/a
-- b.service
[Unit]
After=a.service
[Service]
ExecStart=/bin/b
== reload
-- a.service
[Service]
Type=notify
ExecStart=/bin/a
-- b.service
[Unit]
After=a.service
[Service]
ExecStart=/bin/b
"#,
        "start a.service; start b.service; manager-dies; manager-returns; ready a.service",
        expect![[""]],
    );
}
