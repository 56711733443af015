//! New unit files while units run (daemon-reload).

use expect_test::expect;

use crate::check;

#[test]
fn what_runs_goes_on_with_its_new_settings() {
    check(
        r#"
-- http.socket
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/old
== reload
-- http.socket
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/new
ExecStop=/bin/stop
"#,
        "start http.socket; connect http.socket; take http.service; daemon-reload; stop http.service; connect http.socket",
        expect![[""]],
    );
}

#[test]
fn a_unit_whose_file_is_gone_stays_until_it_is_stopped() {
    check(
        r#"
-- http.socket
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/http
== reload
-- other.service
[Service]
ExecStart=/bin/other
== reload
"#,
        "start http.socket; connect http.socket; take http.service; daemon-reload; start http.service; start other.service; stop http.service; connect http.socket; stop http.socket; stop other.service; daemon-reload",
        expect![[""]],
    );
}

#[test]
fn a_change_of_what_a_socket_listens_on_waits_for_its_next_start() {
    check(
        r#"
-- http.socket
[Socket]
ListenStream=80
-- http.service
[Service]
ExecStart=/bin/http
== reload
-- http.socket
[Socket]
ListenStream=80
ListenStream=81
-- http.service
[Service]
ExecStart=/bin/http
"#,
        "start http.socket; daemon-reload; connect http.socket; stop http.socket; stop http.service; start http.socket",
        expect![[""]],
    );
}

#[test]
fn a_group_takes_its_new_size_at_its_next_start() {
    check(
        r#"
-- web.socket
[Socket]
ListenStream=80
Instances=2
-- web@.service
[Service]
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=80
Instances=3
-- web@.service
[Service]
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=80
Instances=1
-- web@.service
[Service]
ExecStart=/bin/web
"#,
        "start web.socket; start web.service; daemon-reload; start web.service; stop web.socket; stop web.service; start web.socket; start web.service; daemon-reload; stop web.socket; stop web.service; start web.socket; start web.service",
        expect![[""]],
    );
}

#[test]
fn a_group_may_become_a_plain_service() {
    check(
        r#"
-- web.socket
[Socket]
ListenStream=80
Instances=2
-- web@.service
[Service]
ExecStart=/bin/web
== reload
-- web.socket
[Socket]
ListenStream=80
-- web.service
[Service]
ExecStart=/bin/web
"#,
        "start web.socket; start web.service; daemon-reload; stop web.socket; stop web.service; start web.socket; connect web.socket",
        expect![[""]],
    );
}

#[test]
fn connections_are_served_on_when_their_template_is_gone() {
    check(
        r#"
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
-- echo@.service
[Service]
ExecStart=/bin/echo
== reload
-- echo.socket
[Socket]
ListenStream=7
Accept=yes
"#,
        "start echo.socket; connect echo.socket from 10.0.0.9:1; daemon-reload; connect echo.socket from 10.0.0.9:2; exit echo@0-127.0.0.1:7-10.0.0.9:1.service",
        expect![[""]],
    );
}
