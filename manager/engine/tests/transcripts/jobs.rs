//! Jobs: order, requirements, merging, replacing, circles.

use expect_test::expect;

use crate::check;

/// app after db, which it requires; cache is only wished for.
const APP: &str = "
-- app.service
[Unit]
Requires=db.service
Wants=cache.service
After=db.service cache.service
[Service]
ExecStart=/bin/app
-- db.service
[Service]
Type=notify
ExecStart=/bin/db
ExecReload=/bin/reload
-- cache.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/cache
";

#[test]
fn what_is_required_and_wanted_comes_first() {
    check(
        APP,
        "start app.service; ready db.service; exit cache.service",
        expect![[""]],
    );
}

#[test]
fn a_failed_requirement_fails_what_requires_it() {
    check(
        APP,
        "start app.service; exit db.service 1; exit cache.service",
        expect![[""]],
    );
}

#[test]
fn a_failed_wish_is_ignored() {
    check(
        APP,
        "start app.service; exit cache.service 1; ready db.service",
        expect![[""]],
    );
}

#[test]
fn a_missing_requirement_refuses_the_whole_request() {
    check(
        r#"
-- a.service
[Unit]
Requires=b.service missing.service
[Service]
ExecStart=/bin/a
-- b.service
[Service]
ExecStart=/bin/b
"#,
        "start a.service",
        expect![[""]],
    );
}

#[test]
fn a_missing_wish_is_ignored() {
    check(
        r#"
-- a.service
[Unit]
Wants=missing.service
[Service]
ExecStart=/bin/a
"#,
        "start a.service",
        expect![[""]],
    );
}

#[test]
fn a_stop_takes_down_what_requires_it_first() {
    check(
        APP,
        "start app.service; ready db.service; exit cache.service; stop db.service",
        expect![[""]],
    );
}

#[test]
fn a_stop_takes_back_starts_that_require_it() {
    check(
        APP,
        "start app.service; stop db.service; exit cache.service",
        expect![[""]],
    );
}

#[test]
fn a_restart_brings_back_what_requires_it() {
    check(
        APP,
        "start app.service; ready db.service; exit cache.service; restart db.service; ready db.service",
        expect![[""]],
    );
}

#[test]
fn a_restart_does_not_start_what_is_down() {
    check(
        APP,
        "start db.service; ready db.service; restart db.service; ready db.service",
        expect![[""]],
    );
}

#[test]
fn equal_jobs_are_one() {
    check(
        APP,
        "start db.service; start db.service; ready db.service",
        expect![[""]],
    );
}

#[test]
fn a_restart_takes_over_a_start() {
    check(
        APP,
        "start app.service; restart db.service; ready db.service; exit cache.service",
        expect![[""]],
    );
}

#[test]
fn a_restart_takes_over_a_reload() {
    check(
        APP,
        "start db.service; ready db.service; plan db.service ExecReload lingers; reload db.service; restart db.service; ready db.service",
        expect![[""]],
    );
}

#[test]
fn a_reload_during_a_restart_does_not_stop_it_halfway() {
    check(
        APP,
        "start db.service; ready db.service; restart db.service; reload db.service; ready db.service",
        expect![[""]],
    );
}

#[test]
fn a_stop_replaces_a_start() {
    check(
        APP,
        "start db.service; stop db.service",
        expect![[""]],
    );
}

#[test]
fn a_start_replaces_a_stop() {
    check(
        APP,
        "plan db.service ExecStart ignores-signals; start db.service; ready db.service; stop db.service; start db.service; wait 90s; ready db.service",
        expect![[""]],
    );
}

#[test]
fn a_conflict_is_refused_where_that_was_asked_for() {
    check(
        APP,
        "start db.service; stop db.service or-fail; start db.service or-fail",
        expect![[""]],
    );
}

#[test]
fn try_restart_leaves_alone_what_is_down() {
    check(
        APP,
        "try-restart db.service; start db.service; ready db.service; try-restart db.service",
        expect![[""]],
    );
}

#[test]
fn a_job_alone_knows_no_dependencies() {
    check(
        APP,
        "start app.service alone",
        expect![[""]],
    );
}

#[test]
fn a_circle_of_orders_is_broken() {
    check(
        r#"
-- a.service
[Unit]
After=c.service
Wants=b.service c.service
[Service]
ExecStart=/bin/a
-- b.service
[Unit]
After=a.service
[Service]
ExecStart=/bin/b
-- c.service
[Unit]
After=b.service
[Service]
ExecStart=/bin/c
"#,
        "start a.service",
        expect![[""]],
    );
}

#[test]
fn a_circle_of_requirements_ends() {
    check(
        r#"
-- a.service
[Unit]
Requires=b.service
[Service]
ExecStart=/bin/a
-- b.service
[Unit]
Requires=a.service
[Service]
ExecStart=/bin/b
"#,
        "start a.service; stop a.service",
        expect![[""]],
    );
}

#[test]
fn unknown_masked_and_template_units_are_refused() {
    check(
        r#"
-- t@.service
[Service]
ExecStart=/bin/t
-- e.service
"#,
        "start none.service; start t@.service; start e.service; stop none.service; start t@x.service",
        expect![[""]],
    );
}

#[test]
fn a_target_brings_what_it_wants() {
    check(
        r#"
-- all.target
[Unit]
Wants=a.service b.socket
After=a.service b.socket
-- a.service
[Service]
Type=notify
ExecStart=/bin/a
-- b.socket
[Socket]
ListenStream=80
-- b.service
[Service]
ExecStart=/bin/b
"#,
        "start all.target; ready a.service; stop all.target; restart all.target",
        expect![[""]],
    );
}

#[test]
fn a_job_that_waits_does_not_lose_to_a_timer() {
    check(
        r#"
-- a.service
[Unit]
Before=b.service
[Service]
ExecStart=/bin/a
Restart=always
RestartSec=1s
-- b.service
[Service]
ExecStart=/bin/b
"#,
        "start a.service; plan b.service ExecStart ignores-signals; start b.service; stop b.service; exit a.service 1; stop a.service; wait 2s; wait 90s",
        expect![[""]],
    );
}
