//! Sockets that hand over their listeners: opening, triggering, coming back, closing.

use expect_test::expect;

use crate::check;

/// One socket, one service.
const HTTP: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:8080
-- http.service
[Service]
ExecStart=/bin/http
";

/// A web server on two addresses, each with a name of its own, and a second socket for its administration.
const MANY: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
ListenStream=/run/web.sock
FileDescriptorName=tcp
FileDescriptorName=unix
-- admin.socket
[Socket]
ListenStream=127.0.0.1:81
Service=web.service
-- web.service
[Service]
Type=notify
ExecStart=/bin/web
";

/// An inetd-style server of a listener.
const INETD: &str = "
-- wait.socket
[Socket]
ListenDatagram=127.0.0.1:69
-- wait.service
[Service]
ExecStart=/bin/tftpd
StandardInput=socket
-- second.socket
[Socket]
ListenDatagram=127.0.0.1:70
Service=wait.service
";

#[test]
fn first_traffic_starts_the_service_with_its_listener() {
    check(
        HTTP,
        "start http.socket; connect http.socket; take http.service",
        expect![[""]],
    );
}

#[test]
fn when_the_service_has_ended_the_socket_listens_again() {
    check(
        HTTP,
        "start http.socket; connect http.socket; take http.service; exit http.service; connect http.socket",
        expect![[""]],
    );
}

#[test]
fn what_is_queued_when_the_service_ends_starts_it_again() {
    check(
        HTTP,
        "start http.socket; connect http.socket; exit http.service",
        expect![[""]],
    );
}

#[test]
fn stopping_the_service_leaves_the_socket_listening() {
    check(
        HTTP,
        "start http.socket; connect http.socket; take http.service; stop http.service",
        expect![[""]],
    );
}

#[test]
fn stopping_the_socket_leaves_the_service_running() {
    check(
        HTTP,
        "start http.socket; connect http.socket; stop http.socket; exit http.service",
        expect![[""]],
    );
}

#[test]
fn a_socket_does_not_open_beside_a_running_service() {
    check(
        HTTP,
        "start http.service; start http.socket; stop http.service; start http.socket",
        expect![[""]],
    );
}

#[test]
fn a_service_started_by_hand_gets_the_listeners_of_its_socket() {
    check(
        HTTP,
        "start http.socket; start http.service; connect http.socket; take http.service; stop http.service",
        expect![[""]],
    );
}

#[test]
fn an_address_in_use_fails_the_socket() {
    check(
        HTTP,
        "unopenable http.socket; start http.socket; start http.socket",
        expect![[""]],
    );
}

#[test]
fn a_late_wakeup_starts_nothing() {
    check(
        HTTP,
        "start http.socket; incoming http.socket; incoming http.socket",
        expect![[""]],
    );
}

#[test]
fn a_connection_during_a_queued_stop_is_thrown_away() {
    // The socket stops after what is ordered after it.
    check(
        r#"
-- http.socket
[Unit]
Before=late.service
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/http
-- late.service
[Service]
ExecStart=/bin/late
"#,
        "start http.socket; start late.service; plan late.service ExecStart ignores-signals; restart late.service; stop late.service; stop http.socket; connect http.socket; wait 90s",
        expect![[""]],
    );
}

#[test]
fn restarting_a_socket_opens_it_anew() {
    check(
        HTTP,
        "start http.socket; restart http.socket",
        expect![[""]],
    );
}

#[test]
fn a_start_that_is_there_already_is_done_at_once() {
    check(
        HTTP,
        "start http.socket; start http.socket; stop http.socket; stop http.socket",
        expect![[""]],
    );
}

#[test]
fn a_socket_without_a_service_is_refused() {
    check(
        r#"
-- a.socket
[Socket]
ListenStream=80
"#,
        "start a.socket",
        expect![[""]],
    );
}

#[test]
fn a_service_that_cannot_exec_is_tried_until_its_start_limit() {
    check(
        HTTP,
        "start http.socket; plan http.service ExecStart cannot-exec; connect http.socket; take http.service",
        expect![[""]],
    );
}

#[test]
fn two_sockets_hand_over_all_their_listeners_by_name() {
    check(
        MANY,
        "start web.socket; start admin.socket; connect admin.socket; ready web.service; connect web.socket; stop web.service",
        expect![[""]],
    );
}

#[test]
fn a_socket_that_is_down_hands_over_nothing() {
    check(
        MANY,
        "start web.socket; connect web.socket; ready web.service; start admin.socket",
        expect![[""]],
    );
}

#[test]
fn a_standard_stream_takes_exactly_one_socket() {
    check(
        INETD,
        "start wait.service; start wait.socket; connect wait.socket; stop wait.service; start second.socket; connect wait.socket",
        expect![[""]],
    );
}

#[test]
fn a_failed_requirement_of_the_service_does_not_spin() {
    check(
        r#"
-- http.socket
[Socket]
ListenStream=80
-- http.service
[Unit]
Requires=db.service
After=db.service
[Service]
ExecStart=/bin/http
-- db.service
[Service]
Type=oneshot
ExecStart=/bin/db
[Unit]
StartLimitIntervalSec=0
"#,
        "start http.socket; plan db.service ExecStart exits-1; connect http.socket; take http.service",
        expect![[""]],
    );
}
