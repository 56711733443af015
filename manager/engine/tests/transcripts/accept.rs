//! Accept=yes: one instance for each connection, and the limits on them.

use expect_test::expect;

use crate::check;

/// An echo server for each connection, with room for two.
const ECHO: &str = "
-- echo.socket
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
MaxConnections=2
-- echo@.service
[Service]
ExecStart=/bin/echo
StandardInput=socket
";

/// The same as systemd limits it.
const STRICT: &str = "
-- echo.socket
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
MaxConnections=2
TriggerLimitBurst=4
LimitAction=fail
-- echo@.service
[Service]
ExecStart=/bin/echo
";

#[test]
fn each_connection_has_an_instance_that_goes_when_it_ends() {
    check(
        ECHO,
        "start echo.socket; connect echo.socket from 10.0.0.9:4000; exit echo@0-127.0.0.1:7-10.0.0.9:4000.service",
        expect![[""]],
    );
}

#[test]
fn a_unix_client_is_named_by_its_credentials() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=/run/echo
Accept=yes
FileDescriptorName=peer
-- echo@.service
[Service]
ExecStart=/bin/echo
"#,
        "start echo.socket; connect echo.socket pid 17 uid 1000; connect echo.socket unknown",
        expect![[""]],
    );
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_is_named_by_its_ipv4_address() {
    check(
        ECHO,
        "start echo.socket; connect echo.socket from [::ffff:10.0.0.9]:4000; connect echo.socket from [2001:db8::1]:4001",
        expect![[""]],
    );
}

#[test]
fn connections_beyond_the_limit_wait() {
    check(
        ECHO,
        "start echo.socket; connect echo.socket from 10.0.0.9:1; connect echo.socket from 10.0.0.9:2; connect echo.socket from 10.0.0.9:3; incoming echo.socket; exit echo@0-127.0.0.1:7-10.0.0.9:1.service",
        expect![[""]],
    );
}

#[test]
fn connections_beyond_the_limit_are_refused_when_strict() {
    check(
        STRICT,
        "start echo.socket; connect echo.socket from 10.0.0.9:1; connect echo.socket from 10.0.0.9:2; connect echo.socket from 10.0.0.9:3",
        expect![[""]],
    );
}

#[test]
fn too_many_connections_in_a_window_fail_a_strict_socket() {
    check(
        STRICT,
        "start echo.socket; connect echo.socket from 10.0.0.9:1; connect echo.socket from 10.0.0.9:2; connect echo.socket from 10.0.0.9:3; connect echo.socket from 10.0.0.9:4; connect echo.socket from 10.0.0.9:5",
        expect![[""]],
    );
}

#[test]
fn too_many_connections_in_a_window_pause() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
TriggerLimitBurst=2
-- echo@.service
[Service]
ExecStart=/bin/echo
"#,
        "start echo.socket; connect echo.socket from 10.0.0.9:1; connect echo.socket from 10.0.0.9:2; connect echo.socket from 10.0.0.9:3; wait 2s",
        expect![[""]],
    );
}

#[test]
fn want_of_descriptors_pauses() {
    check(
        ECHO,
        "start echo.socket; exhaust; connect echo.socket from 10.0.0.9:1; wait 2s",
        expect![[""]],
    );
}

#[test]
fn a_missing_template_pauses_and_keeps_the_queue() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
== reload
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
-- echo@.service
[Service]
ExecStart=/bin/echo
"#,
        "start echo.socket; connect echo.socket; daemon-reload; wait 2s",
        expect![[""]],
    );
}

#[test]
fn stopping_the_socket_leaves_the_connections() {
    check(
        ECHO,
        "start echo.socket; connect echo.socket from 10.0.0.9:1; stop echo.socket; exit echo@0-127.0.0.1:7-10.0.0.9:1.service",
        expect![[""]],
    );
}

#[test]
fn a_connection_whose_program_cannot_run_is_closed() {
    check(
        ECHO,
        "start echo.socket; plan echo@0-127.0.0.1:7-10.0.0.9:1.service ExecStart cannot-exec; connect echo.socket from 10.0.0.9:1",
        expect![[""]],
    );
}

#[test]
fn a_connection_that_is_stopped_before_it_began_is_closed() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
-- echo@.service
[Unit]
After=db.service
[Service]
ExecStart=/bin/echo
-- db.service
[Service]
Type=notify
ExecStart=/bin/db
"#,
        "start echo.socket; start db.service; connect echo.socket from 10.0.0.9:1; stop echo@0-127.0.0.1:7-10.0.0.9:1.service",
        expect![[""]],
    );
}

#[test]
fn a_connection_brings_what_its_service_requires() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
-- echo@.service
[Unit]
Requires=db.service
After=db.service
[Service]
ExecStart=/bin/echo
-- db.service
[Service]
Type=notify
ExecStart=/bin/db
"#,
        "start echo.socket; connect echo.socket from 10.0.0.9:1; ready db.service; stop db.service; connect echo.socket from 10.0.0.9:2; exit db.service 1",
        expect![[""]],
    );
}
