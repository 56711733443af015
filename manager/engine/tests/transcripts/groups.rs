//! Groups: N instances of a service on N listeners each, rotation, crashes and rolling restarts.

use expect_test::expect;

use crate::check;

/// Two instances that say when they are ready.
const WEB: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
ListenStream=/run/web.sock
Instances=2
-- web@.service
[Service]
Type=notify
ExecStart=/bin/web
ExecReload=/bin/reload
TimeoutStartSec=5s
";

/// The same on shared listeners.
const SHARED: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=auto
Distribute=shared
-- web@.service
[Service]
ExecStart=/bin/web
";

/// Instances that are not restarted by themselves.
const PLAIN: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=3
-- web@.service
[Service]
ExecStart=/bin/web
Restart=no
";

#[test]
fn traffic_starts_all_instances_and_each_enters_rotation_when_ready() {
    check(
        WEB,
        "start web.socket; connect web.socket; ready web@2.service; ready web@1.service",
        expect![[""]],
    );
}

#[test]
fn a_crash_steers_away_first_and_restarts_on_the_same_listeners() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; dies web@1.service SIGSEGV; wait 100ms; ready web@1.service",
        expect![[""]],
    );
}

#[test]
fn a_stopping_instance_leaves_the_rotation_before_its_signal() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; stop web@2.service; connect web.socket:0@1; ready web@2.service",
        expect![[""]],
    );
}

#[test]
fn stopping_1_takes_an_instance_out_of_rotation() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; stopping web@2.service; exit web@2.service",
        expect![[""]],
    );
}

#[test]
fn a_restart_goes_slot_by_slot() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; restart web.service; ready web@1.service; ready web@2.service",
        expect![[""]],
    );
}

#[test]
fn a_restart_stops_at_the_first_slot_that_fails() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; restart web.service; exit web@1.service 1; wait 100ms; ready web@1.service",
        expect![[""]],
    );
}

#[test]
fn a_stop_takes_the_place_of_a_rolling_restart() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; restart web.service; stop web.service",
        expect![[""]],
    );
}

#[test]
fn a_restart_takes_the_place_of_a_start_that_is_under_way() {
    check(
        WEB,
        "start web.socket; start web.service; restart web.service; ready web@1.service; ready web@2.service",
        expect![[""]],
    );
}

#[test]
fn a_group_reloads_all_instances_together() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@1.service; ready web@2.service; reload web.service",
        expect![[""]],
    );
}

#[test]
fn a_group_that_is_down_starts_when_it_is_restarted() {
    check(
        WEB,
        "start web.socket; restart web.service; ready web@1.service; ready web@2.service; stop web.service",
        expect![[""]],
    );
}

#[test]
fn a_straggler_on_a_parked_slot_starts_its_instance() {
    check(
        PLAIN,
        "start web.socket; start web.service; exit web@2.service; connect web.socket:0@1; take web@2.service",
        expect![[""]],
    );
}

#[test]
fn an_instance_that_crashes_too_often_waits_out_its_limit() {
    check(
        WEB,
        "start web.socket; start web.service; ready web@2.service; dies web@1.service SIGSEGV; wait 100ms; dies web@1.service SIGSEGV; wait 100ms; dies web@1.service SIGSEGV; wait 100ms; dies web@1.service SIGSEGV; wait 100ms; dies web@1.service SIGSEGV; connect web.socket:0@0; wait 10s; ready web@1.service",
        expect![[""]],
    );
}

#[test]
fn instances_may_share_one_listener() {
    check(
        SHARED,
        "start web.socket; connect web.socket; exit web@1.service; stop web.service",
        expect![[""]],
    );
}

#[test]
fn a_single_instance_restarts_while_its_queue_is_kept() {
    check(
        r#"
-- web.socket
[Socket]
ListenStream=80
Instances=1
-- web@.service
[Service]
ExecStart=/bin/web
"#,
        "start web.socket; connect web.socket; restart web.service; connect web.socket; take web@1.service",
        expect![[""]],
    );
}

#[test]
fn kill_reaches_every_instance_of_a_group() {
    check(
        SHARED,
        "start web.socket; start web.service; kill web.service all SIGHUP; kill web@2.service main SIGKILL",
        expect![[""]],
    );
}

#[test]
fn a_flood_of_stragglers_does_not_stop_the_group() {
    check(
        PLAIN,
        "start web.socket; start web.service; exit web@2.service; connect web.socket:0@1; exit web@2.service; exit web@2.service; exit web@2.service; exit web@2.service; exit web@2.service; wait 10s",
        expect![[""]],
    );
}
