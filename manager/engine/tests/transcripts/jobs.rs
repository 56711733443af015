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
        expect![[r#"
            > start app.service
              job 1: start db.service
              job 2: start cache.service
              job 3: start app.service
              run db.service ExecStart
              run cache.service ExecStart
              cache.service: dead -> start
              db.service: dead -> start
            > ready db.service
              job 1: done (db.service)
              Info: db.service: running (pid 101)
              db.service: start -> running
            > exit cache.service
              Info: cache.service: exited with status 0
              job 2: done (cache.service)
              run app.service ExecStart
              app.service: dead -> start
              cache.service: start -> exited
              job 3: done (app.service)
              Info: app.service: running (pid 103)
              app.service: start -> running
        "#]],
    );
}

#[test]
fn a_failed_requirement_fails_what_requires_it() {
    check(
        APP,
        "start app.service; exit db.service 1; exit cache.service",
        expect![[r#"
            > start app.service
              job 1: start db.service
              job 2: start cache.service
              job 3: start app.service
              run db.service ExecStart
              run cache.service ExecStart
              cache.service: dead -> start
              db.service: dead -> start
            > exit db.service 1
              Warning: db.service: exited with status 1
              job 1: failed (db.service)
              Error: app.service: not started: db.service, which it requires, did not start
              job 3: dependency (app.service)
              Error: db.service: failed: exit-code
              db.service: start -> failed
            > exit cache.service
              Info: cache.service: exited with status 0
              job 2: done (cache.service)
              cache.service: start -> exited
        "#]],
    );
}

#[test]
fn a_failed_wish_is_ignored() {
    check(
        APP,
        "start app.service; exit cache.service 1; ready db.service",
        expect![[r#"
            > start app.service
              job 1: start db.service
              job 2: start cache.service
              job 3: start app.service
              run db.service ExecStart
              run cache.service ExecStart
              cache.service: dead -> start
              db.service: dead -> start
            > exit cache.service 1
              Warning: cache.service: exited with status 1
              job 2: failed (cache.service)
              Error: cache.service: failed: exit-code
              cache.service: start -> failed
            > ready db.service
              job 1: done (db.service)
              Info: db.service: running (pid 101)
              run app.service ExecStart
              app.service: dead -> start
              db.service: start -> running
              job 3: done (app.service)
              Info: app.service: running (pid 103)
              app.service: start -> running
        "#]],
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
        expect![[r#"
            > start a.service
              refused: Unit missing.service not found.
        "#]],
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
        expect![[r#"
            > start a.service
              job 1: start a.service
              run a.service ExecStart
              a.service: dead -> start
              job 1: done (a.service)
              Info: a.service: running (pid 101)
              a.service: start -> running
        "#]],
    );
}

#[test]
fn a_stop_takes_down_what_requires_it_first() {
    check(
        APP,
        "start app.service; ready db.service; exit cache.service | stop db.service",
        expect![[r#"
            > stop db.service
              job 4: stop app.service
              job 5: stop db.service
              SIGTERM to app.service ExecStart (Session)
              app.service: running -> stop-sigterm
              job 4: done (app.service)
              SIGTERM to db.service ExecStart (Session)
              app.service: stop-sigterm -> dead
              db.service: running -> stop-sigterm
              job 5: done (db.service)
              db.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_stop_takes_back_starts_that_require_it() {
    check(
        APP,
        "start app.service; stop db.service; exit cache.service",
        expect![[r#"
            > start app.service
              job 1: start db.service
              job 2: start cache.service
              job 3: start app.service
              run db.service ExecStart
              run cache.service ExecStart
              cache.service: dead -> start
              db.service: dead -> start
            > stop db.service
              job 3: canceled (app.service)
              job 4: stop app.service
              job 1: canceled (db.service)
              job 5: stop db.service
              job 4: done (app.service)
              SIGTERM to db.service ExecStart (Session)
              db.service: start -> stop-sigterm
              job 5: done (db.service)
              db.service: stop-sigterm -> dead
            > exit cache.service
              Info: cache.service: exited with status 0
              job 2: done (cache.service)
              cache.service: start -> exited
        "#]],
    );
}

#[test]
fn a_restart_brings_back_what_requires_it() {
    check(
        APP,
        "start app.service; ready db.service; exit cache.service | restart db.service; ready db.service",
        expect![[r#"
            > restart db.service
              job 4: restart app.service
              job 5: restart db.service
              SIGTERM to app.service ExecStart (Session)
              app.service: running -> stop-sigterm
              SIGTERM to db.service ExecStart (Session)
              app.service: stop-sigterm -> dead
              db.service: running -> stop-sigterm
              run db.service ExecStart
              db.service: stop-sigterm -> start
            > ready db.service
              job 5: done (db.service)
              Info: db.service: running (pid 104)
              run app.service ExecStart
              app.service: dead -> start
              db.service: start -> running
              job 4: done (app.service)
              Info: app.service: running (pid 105)
              app.service: start -> running
        "#]],
    );
}

#[test]
fn a_restart_does_not_start_what_is_down() {
    check(
        APP,
        "start db.service; ready db.service | restart db.service; ready db.service",
        expect![[r#"
            > restart db.service
              job 2: restart db.service
              SIGTERM to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              run db.service ExecStart
              db.service: stop-sigterm -> start
            > ready db.service
              job 2: done (db.service)
              Info: db.service: running (pid 102)
              db.service: start -> running
        "#]],
    );
}

#[test]
fn equal_jobs_are_one() {
    check(
        APP,
        "start db.service; start db.service; ready db.service",
        expect![[r#"
            > start db.service
              job 1: start db.service
              run db.service ExecStart
              db.service: dead -> start
            > start db.service
            > ready db.service
              job 1: done (db.service)
              Info: db.service: running (pid 101)
              db.service: start -> running
        "#]],
    );
}

#[test]
fn a_restart_takes_over_a_start() {
    check(
        APP,
        "start app.service; restart db.service; ready db.service; exit cache.service",
        expect![[r#"
            > start app.service
              job 1: start db.service
              job 2: start cache.service
              job 3: start app.service
              run db.service ExecStart
              run cache.service ExecStart
              cache.service: dead -> start
              db.service: dead -> start
            > restart db.service
              SIGTERM to db.service ExecStart (Session)
              db.service: start -> stop-sigterm
              run db.service ExecStart
              db.service: stop-sigterm -> start
            > ready db.service
              job 1: done (db.service)
              Info: db.service: running (pid 103)
              db.service: start -> running
            > exit cache.service
              Info: cache.service: exited with status 0
              job 2: done (cache.service)
              run app.service ExecStart
              app.service: dead -> start
              cache.service: start -> exited
              job 3: done (app.service)
              Info: app.service: running (pid 104)
              app.service: start -> running
        "#]],
    );
}

#[test]
fn a_restart_takes_over_a_reload() {
    check(
        APP,
        "start db.service; ready db.service | plan db.service ExecReload lingers; reload db.service; restart db.service; ready db.service",
        expect![[r#"
            > plan db.service ExecReload lingers
            > reload db.service
              job 2: reload db.service
              run db.service ExecReload $MAINPID=101
              db.service: running -> reload
            > restart db.service
              SIGTERM to db.service ExecStart (Session)
              SIGTERM to db.service ExecReload (Session)
              db.service: reload -> stop-sigterm
              Error: db.service: failed: signal
              run db.service ExecStart
              db.service: stop-sigterm -> start
            > ready db.service
              job 2: done (db.service)
              Info: db.service: running (pid 103)
              db.service: start -> running
        "#]],
    );
}

#[test]
fn a_reload_during_a_restart_does_not_stop_it_halfway() {
    check(
        APP,
        "start db.service; ready db.service | restart db.service; reload db.service; ready db.service",
        expect![[r#"
            > restart db.service
              job 2: restart db.service
              SIGTERM to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              run db.service ExecStart
              db.service: stop-sigterm -> start
            > reload db.service
            > ready db.service
              job 2: done (db.service)
              Info: db.service: running (pid 102)
              db.service: start -> running
        "#]],
    );
}

#[test]
fn a_stop_replaces_a_start() {
    check(
        APP,
        "start db.service; stop db.service",
        expect![[r#"
            > start db.service
              job 1: start db.service
              run db.service ExecStart
              db.service: dead -> start
            > stop db.service
              job 1: canceled (db.service)
              job 2: stop db.service
              SIGTERM to db.service ExecStart (Session)
              db.service: start -> stop-sigterm
              job 2: done (db.service)
              db.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_start_replaces_a_stop() {
    check(
        APP,
        "plan db.service ExecStart ignores-signals; start db.service; ready db.service; stop db.service; start db.service; wait 90s; ready db.service",
        expect![[r#"
            > plan db.service ExecStart ignores-signals
            > start db.service
              job 1: start db.service
              run db.service ExecStart
              db.service: dead -> start
            > ready db.service
              job 1: done (db.service)
              Info: db.service: running (pid 101)
              db.service: start -> running
            > stop db.service
              job 2: stop db.service
              SIGTERM to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
            > start db.service
              job 2: canceled (db.service)
              job 3: start db.service
            > wait 90s
              at 1min 30s
              Warning: db.service: did not stop in time, killing
              SIGKILL to db.service ExecStart (Session)
              db.service: stop-sigterm -> stop-sigkill
              Error: db.service: failed: timeout
              run db.service ExecStart
              db.service: stop-sigkill -> start
            > ready db.service
              job 3: done (db.service)
              Info: db.service: running (pid 102)
              db.service: start -> running
        "#]],
    );
}

#[test]
fn a_conflict_is_refused_where_that_was_asked_for() {
    check(
        APP,
        "start db.service; stop db.service or-fail; start db.service or-fail",
        expect![[r#"
            > start db.service
              job 1: start db.service
              run db.service ExecStart
              db.service: dead -> start
            > stop db.service or-fail
              refused: Transaction for db.service/stop is destructive (db.service has 'start' job queued, but 'stop' is included in transaction).
            > start db.service or-fail
        "#]],
    );
}

#[test]
fn try_restart_leaves_alone_what_is_down() {
    check(
        APP,
        "try-restart db.service; start db.service; ready db.service; try-restart db.service",
        expect![[r#"
            > try-restart db.service
              nothing to do
            > start db.service
              job 1: start db.service
              run db.service ExecStart
              db.service: dead -> start
            > ready db.service
              job 1: done (db.service)
              Info: db.service: running (pid 101)
              db.service: start -> running
            > try-restart db.service
              job 2: restart db.service
              SIGTERM to db.service ExecStart (Session)
              db.service: running -> stop-sigterm
              run db.service ExecStart
              db.service: stop-sigterm -> start
        "#]],
    );
}

#[test]
fn a_job_alone_knows_no_dependencies() {
    check(
        APP,
        "start app.service alone",
        expect![[r#"
            > start app.service alone
              job 1: start app.service
              run app.service ExecStart
              app.service: dead -> start
              job 1: done (app.service)
              Info: app.service: running (pid 101)
              app.service: start -> running
        "#]],
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
        expect![[r#"
            > start a.service
              Error: a.service: its order (After=, Before=) is a circle: a.service, b.service, c.service; the job of c.service is left out
              job 1: start b.service
              job 2: start a.service
              run a.service ExecStart
              a.service: dead -> start
              job 2: done (a.service)
              Info: a.service: running (pid 101)
              run b.service ExecStart
              a.service: start -> running
              b.service: dead -> start
              job 1: done (b.service)
              Info: b.service: running (pid 102)
              b.service: start -> running
        "#]],
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
        expect![[r#"
            > start a.service
              job 1: start b.service
              job 2: start a.service
              run b.service ExecStart
              run a.service ExecStart
              a.service: dead -> start
              b.service: dead -> start
              job 1: done (b.service)
              Info: b.service: running (pid 101)
              b.service: start -> running
              job 2: done (a.service)
              Info: a.service: running (pid 102)
              a.service: start -> running
            > stop a.service
              job 3: stop b.service
              job 4: stop a.service
              SIGTERM to b.service ExecStart (Session)
              SIGTERM to a.service ExecStart (Session)
              a.service: running -> stop-sigterm
              b.service: running -> stop-sigterm
              job 3: done (b.service)
              b.service: stop-sigterm -> dead
              job 4: done (a.service)
              a.service: stop-sigterm -> dead
        "#]],
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
        expect![[r#"
            > start none.service
              refused: Unit none.service not found.
            > start t@.service
              refused: Unit name t@.service is missing the instance name.
            > start e.service
              refused: Unit e.service is masked.
            > stop none.service
              refused: Unit none.service not loaded.
            > start t@x.service
              job 1: start t@x.service
              run t@x.service ExecStart
              t@x.service: new, start
              job 1: done (t@x.service)
              Info: t@x.service: running (pid 101)
              t@x.service: start -> running
        "#]],
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
        expect![[r#"
            > start all.target
              job 1: start a.service
              job 2: start b.socket
              job 3: start all.target
              run a.service ExecStart
              open b.socket:0
              a.service: dead -> start
              b.socket: dead -> start-open
              Info: b.socket: listening on [::]:80
              job 2: done (b.socket)
              watch b.socket:0
              b.socket: start-open -> listening
            > ready a.service
              job 1: done (a.service)
              Info: a.service: running (pid 101)
              job 3: done (all.target)
              a.service: start -> running
              all.target: dead -> active
            > stop all.target
              job 4: stop all.target
              job 4: done (all.target)
              all.target: active -> dead
            > restart all.target
              job 5: restart all.target
              job 5: done (all.target)
              all.target: dead -> active
        "#]],
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
        expect![[r#"
            > start a.service
              job 1: start a.service
              run a.service ExecStart
              a.service: dead -> start
              job 1: done (a.service)
              Info: a.service: running (pid 101)
              a.service: start -> running
            > plan b.service ExecStart ignores-signals
            > start b.service
              job 2: start b.service
              run b.service ExecStart
              b.service: dead -> start
              job 2: done (b.service)
              Info: b.service: running (pid 102)
              b.service: start -> running
            > stop b.service
              job 3: stop b.service
              SIGTERM to b.service ExecStart (Session)
              b.service: running -> stop-sigterm
            > exit a.service 1
              Warning: a.service: exited with status 1
              Error: a.service: failed: exit-code
              Info: a.service: restarting in 1s
              a.service: running -> auto-restart
            > stop a.service
              job 4: stop a.service
            > wait 2s
              at 1s
            > wait 90s
              at 1min 30s
              Warning: b.service: did not stop in time, killing
              SIGKILL to b.service ExecStart (Session)
              b.service: stop-sigterm -> stop-sigkill
              job 3: done (b.service)
              Error: b.service: failed: timeout
              job 4: done (a.service)
              a.service: auto-restart -> dead
              b.service: stop-sigkill -> failed
        "#]],
    );
}
