//! What units do to each other: by the jobs of a request, by going up and down, and by their conditions.

use expect_test::expect;

use crate::check;

/// Of each relation a pair.
const TIED: &str = "
-- db.service
[Service]
ExecStart=/bin/db
-- bound.service
[Unit]
BindsTo=db.service
After=db.service
[Service]
ExecStart=/bin/bound
-- part.service
[Unit]
PartOf=db.service
[Service]
ExecStart=/bin/part
-- told.service
[Unit]
StopPropagatedFrom=db.service
ReloadPropagatedFrom=db.service
[Service]
ExecStart=/bin/told
-- only.service
[Unit]
Requisite=db.service
After=db.service
[Service]
ExecStart=/bin/only
-- enemy.service
[Unit]
Conflicts=db.service
[Service]
ExecStart=/bin/enemy
";

#[test]
fn who_is_bound_goes_down_with_a_crash() {
    check(
        TIED,
        "start bound.service; start part.service; start told.service | dies db.service SIGSEGV",
        expect![[r#"
            > dies db.service SIGSEGV
              Warning: db.service: killed by SIGSEGV
              Error: db.service: failed: signal
              job 5: stop bound.service
              job 6: stop told.service
              SIGTERM to bound.service ExecStart (Session)
              SIGTERM to told.service ExecStart (Session)
              bound.service: running -> stop-sigterm
              db.service: running -> failed
              told.service: running -> stop-sigterm
              job 5: done (bound.service)
              bound.service: stop-sigterm -> dead
              job 6: done (told.service)
              told.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_stop_takes_along_who_is_part_of_it_and_who_is_told() {
    check(
        TIED,
        "start bound.service; start part.service; start told.service | stop db.service",
        expect![[r#"
            > stop db.service
              job 5: stop bound.service
              job 6: stop part.service
              job 7: stop told.service
              job 8: stop db.service
              SIGTERM to bound.service ExecStart (Session)
              SIGTERM to part.service ExecStart (Session)
              SIGTERM to told.service ExecStart (Session)
              bound.service: running -> stop-sigterm
              part.service: running -> stop-sigterm
              told.service: running -> stop-sigterm
              job 5: done (bound.service)
              SIGTERM to db.service ExecStart (Session)
              bound.service: stop-sigterm -> dead
              db.service: running -> stop-sigterm
              job 6: done (part.service)
              part.service: stop-sigterm -> dead
              job 7: done (told.service)
              told.service: stop-sigterm -> dead
              job 8: done (db.service)
              db.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_restart_takes_along_who_runs() {
    check(
        TIED,
        "start bound.service; start part.service; start told.service | restart db.service",
        expect![[r#"
            > restart db.service
              job 5: restart bound.service
              job 6: restart part.service
              job 7: restart db.service
              SIGTERM to bound.service ExecStart (Session)
              SIGTERM to part.service ExecStart (Session)
              bound.service: running -> stop-sigterm
              part.service: running -> stop-sigterm
              SIGTERM to db.service ExecStart (Session)
              bound.service: stop-sigterm -> dead
              db.service: running -> stop-sigterm
              run part.service ExecStart
              part.service: stop-sigterm -> start
              run db.service ExecStart
              db.service: stop-sigterm -> start
              job 6: done (part.service)
              Info: part.service: running (pid 105)
              part.service: start -> running
              job 7: done (db.service)
              Info: db.service: running (pid 106)
              run bound.service ExecStart
              bound.service: dead -> start
              db.service: start -> running
              job 5: done (bound.service)
              Info: bound.service: running (pid 107)
              bound.service: start -> running
        "#]],
    );
}

#[test]
fn what_must_be_up_already_is_not_started() {
    check(
        TIED,
        "start only.service; start db.service; start only.service",
        expect![[r#"
        > start only.service
          job 1: verify-active db.service
          job 2: start only.service
          job 1: skipped (db.service)
          Error: only.service: not started: db.service, which it requires, did not start
          job 2: dependency (only.service)
        > start db.service
          job 3: start db.service
          run db.service ExecStart
          db.service: dead -> start
          job 3: done (db.service)
          Info: db.service: running (pid 101)
          db.service: start -> running
        > start only.service
          job 4: start only.service
          run only.service ExecStart
          only.service: dead -> start
          job 4: done (only.service)
          Info: only.service: running (pid 102)
          only.service: start -> running
    "#]],
    );
}

#[test]
fn a_conflict_works_both_ways() {
    check(
        TIED,
        "start db.service | start enemy.service; start db.service",
        expect![[r#"
        > start enemy.service
          job 2: stop db.service
          job 3: start enemy.service
          SIGTERM to db.service ExecStart (Session)
          run enemy.service ExecStart
          db.service: running -> stop-sigterm
          enemy.service: dead -> start
          job 2: done (db.service)
          db.service: stop-sigterm -> dead
          job 3: done (enemy.service)
          Info: enemy.service: running (pid 102)
          enemy.service: start -> running
        > start db.service
          job 4: stop enemy.service
          job 5: start db.service
          SIGTERM to enemy.service ExecStart (Session)
          run db.service ExecStart
          db.service: dead -> start
          enemy.service: running -> stop-sigterm
          job 4: done (enemy.service)
          enemy.service: stop-sigterm -> dead
          job 5: done (db.service)
          Info: db.service: running (pid 103)
          db.service: start -> running
    "#]],
    );
}

const UPHELD: &str = "
-- boss.service
[Unit]
Upholds=worker.service
[Service]
ExecStart=/bin/boss
-- worker.service
[Service]
ExecStart=/bin/worker
-- helper.service
[Unit]
StopWhenUnneeded=yes
[Service]
ExecStart=/bin/helper
-- user.service
[Unit]
Wants=helper.service
[Service]
ExecStart=/bin/user
";

#[test]
fn what_is_upheld_comes_back() {
    check(
        UPHELD,
        "start boss.service; exit worker.service; stop boss.service; exit worker.service",
        expect![[r#"
            > start boss.service
              job 1: start worker.service
              job 2: start boss.service
              run worker.service ExecStart
              run boss.service ExecStart
              boss.service: dead -> start
              worker.service: dead -> start
              job 1: done (worker.service)
              Info: worker.service: running (pid 101)
              worker.service: start -> running
              job 2: done (boss.service)
              Info: boss.service: running (pid 102)
              boss.service: start -> running
            > exit worker.service
              Info: worker.service: exited with status 0
              Info: worker.service: boss.service holds it up, starting
              job 3: start worker.service
              run worker.service ExecStart
              worker.service: running -> start
              job 3: done (worker.service)
              Info: worker.service: running (pid 103)
              worker.service: start -> running
            > stop boss.service
              job 4: stop boss.service
              SIGTERM to boss.service ExecStart (Session)
              boss.service: running -> stop-sigterm
              job 4: done (boss.service)
              boss.service: stop-sigterm -> dead
            > exit worker.service
              Info: worker.service: exited with status 0
              worker.service: running -> dead
        "#]],
    );
}

#[test]
fn what_is_upheld_does_not_spin() {
    check(
        "
-- boss.service
[Unit]
Upholds=worker.service
[Service]
ExecStart=/bin/boss
-- worker.service
[Unit]
StartLimitBurst=2
[Service]
ExecStart=/bin/worker
",
        "plan worker.service ExecStart exits-0; start boss.service",
        expect![[r#"
            > plan worker.service ExecStart exits-0
            > start boss.service
              job 1: start worker.service
              job 2: start boss.service
              run worker.service ExecStart
              run boss.service ExecStart
              boss.service: dead -> start
              worker.service: dead -> start
              job 1: done (worker.service)
              Info: worker.service: running (pid 101)
              worker.service: start -> running
              Info: worker.service: exited with status 0
              worker.service: running -> dead
              job 2: done (boss.service)
              Info: boss.service: running (pid 102)
              Info: worker.service: boss.service holds it up, starting
              job 3: start worker.service
              run worker.service ExecStart
              boss.service: start -> running
              worker.service: dead -> start
              job 3: done (worker.service)
              Info: worker.service: running (pid 103)
              worker.service: start -> running
        "#]],
    );
}

#[test]
fn what_nobody_needs_stops() {
    check(
        UPHELD,
        "start user.service; stop user.service",
        expect![[r#"
        > start user.service
          job 1: start helper.service
          job 2: start user.service
          run helper.service ExecStart
          run user.service ExecStart
          helper.service: dead -> start
          user.service: dead -> start
          job 1: done (helper.service)
          Info: helper.service: running (pid 101)
          helper.service: start -> running
          job 2: done (user.service)
          Info: user.service: running (pid 102)
          user.service: start -> running
        > stop user.service
          job 3: stop user.service
          SIGTERM to user.service ExecStart (Session)
          user.service: running -> stop-sigterm
          job 3: done (user.service)
          Info: helper.service: is not needed any more, stopping
          job 4: stop helper.service
          SIGTERM to helper.service ExecStart (Session)
          helper.service: running -> stop-sigterm
          user.service: stop-sigterm -> dead
          job 4: done (helper.service)
          helper.service: stop-sigterm -> dead
    "#]],
    );
}

const CONDITIONS: &str = "
-- a.service
[Unit]
ConditionPathExists=/a
ConditionPathExists=|/b
ConditionPathExists=|!/c
AssertPathExists=/d
[Service]
ExecStart=/bin/a
-- b.service
[Unit]
Requires=a.service
After=a.service
[Service]
ExecStart=/bin/b
";

#[test]
fn an_unmet_condition_is_no_failure() {
    check(
        CONDITIONS,
        "start b.service; make /c; make /a; start a.service",
        expect![[r#"
            > start b.service
              job 1: start a.service
              job 2: start b.service
              check a.service
              Info: a.service: skipped because of an unmet condition: ConditionPathExists=/a
              job 1: done (a.service)
              run b.service ExecStart
              b.service: dead -> start
              job 2: done (b.service)
              Info: b.service: running (pid 101)
              b.service: start -> running
            > make /c
            > make /a
            > start a.service
              job 3: start a.service
              check a.service
              Info: a.service: skipped because of an unmet condition: none of those with | holds
              job 3: done (a.service)
        "#]],
    );
}

#[test]
fn an_unmet_assertion_is_one() {
    check(
        CONDITIONS,
        "make /a; start b.service; make /d; start b.service",
        expect![[r#"
            > make /a
            > start b.service
              job 1: start a.service
              job 2: start b.service
              check a.service
              Error: a.service: not started because of an unmet assertion: AssertPathExists=/d
              job 1: assert (a.service)
              Error: b.service: not started: a.service, which it requires, did not start
              job 2: dependency (b.service)
            > make /d
            > start b.service
              job 3: start a.service
              job 4: start b.service
              check a.service
              run a.service ExecStart
              a.service: dead -> start
              job 3: done (a.service)
              Info: a.service: running (pid 101)
              run b.service ExecStart
              a.service: start -> running
              b.service: dead -> start
              job 4: done (b.service)
              Info: b.service: running (pid 102)
              b.service: start -> running
        "#]],
    );
}

#[test]
fn a_condition_is_looked_at_again_at_an_automatic_restart() {
    check(
        "
-- a.service
[Unit]
ConditionPathExists=/a
[Service]
ExecStart=/bin/a
Restart=always
RestartSec=1s
",
        "make /a; start a.service; remove /a | exit a.service; wait 1s; start a.service; make /a; start a.service",
        expect![[r#"
            > exit a.service
              Info: a.service: exited with status 0
              Info: a.service: restarting in 1s
              a.service: running -> auto-restart
            > wait 1s
              at 1s
              job 2: start a.service
              check a.service
              Info: a.service: skipped because of an unmet condition: ConditionPathExists=/a
              job 2: done (a.service)
              a.service: auto-restart -> dead
            > start a.service
              job 3: start a.service
              check a.service
              Info: a.service: skipped because of an unmet condition: ConditionPathExists=/a
              job 3: done (a.service)
            > make /a
            > start a.service
              job 4: start a.service
              check a.service
              run a.service ExecStart
              a.service: dead -> start
              job 4: done (a.service)
              Info: a.service: running (pid 102)
              a.service: start -> running
        "#]],
    );
}

#[test]
fn a_restart_by_overlap_whose_condition_is_unmet_stops() {
    check(
        "
-- http.socket
[Socket]
ListenStream=127.0.0.1:80
-- http.service
[Unit]
ConditionPathExists=/a
[Service]
Type=notify
ExecStart=/bin/http
",
        "make /a; start http.socket; start http.service; ready http.service; remove /a | restart http.service",
        expect![[r#"
            > restart http.service
              job 3: restart http.service
              check http.service
              SIGTERM to http.service ExecStart (Session)
              http.service: running -> stop-sigterm
              check http.service
              http.service: stop-sigterm -> dead
              Info: http.service: skipped because of an unmet condition: ConditionPathExists=/a
              job 3: done (http.service)
              watch http.socket:0
              http.socket: running -> listening
        "#]],
    );
}

const JOBS: &str = "
-- slow.service
[Service]
Type=notify
ExecStart=/bin/slow
-- late.service
[Unit]
Wants=slow.service
After=slow.service
JobTimeoutSec=1s
OnFailure=alarm.service
[Service]
ExecStart=/bin/late
-- hasty.service
[Unit]
JobRunningTimeoutSec=2s
[Service]
Type=notify
ExecStart=/bin/hasty
-- need.service
[Unit]
Requires=slow.service
After=slow.service
[Service]
ExecStart=/bin/need
-- alarm.service
[Service]
ExecStart=/bin/alarm
-- shy.service
[Unit]
RefuseManualStart=yes
RefuseManualStop=yes
[Service]
ExecStart=/bin/shy
-- rescue.target
[Unit]
AllowIsolate=yes
Requires=alarm.service
-- stays.service
[Unit]
IgnoreOnIsolate=yes
[Service]
ExecStart=/bin/stays
";

#[test]
fn a_job_has_its_time_from_when_it_is_queued() {
    check(
        JOBS,
        "start late.service; wait 1s",
        expect![[r#"
        > start late.service
          job 1: start slow.service
          job 2: start late.service
          run slow.service ExecStart
          slow.service: dead -> start
        > wait 1s
          at 1s
          Error: late.service: its job has taken too long (JobTimeoutSec=, JobRunningTimeoutSec=)
          job 2: timeout (late.service)
          job 3: start alarm.service
          run alarm.service ExecStart $MONITOR_SERVICE_RESULT=success $MONITOR_UNIT=late.service
          alarm.service: dead -> start
          job 3: done (alarm.service)
          Info: alarm.service: running (pid 102)
          alarm.service: start -> running
    "#]],
    );
}

#[test]
fn a_job_has_its_time_from_when_it_runs() {
    check(
        JOBS,
        "start hasty.service; wait 2s",
        expect![[r#"
        > start hasty.service
          job 1: start hasty.service
          run hasty.service ExecStart
          hasty.service: dead -> start
        > wait 2s
          at 2s
          Error: hasty.service: its job has taken too long (JobTimeoutSec=, JobRunningTimeoutSec=)
          job 1: timeout (hasty.service)
    "#]],
    );
}

#[test]
fn a_job_that_is_taken_back_fails_who_needs_it() {
    check(
        JOBS,
        "start need.service; cancel 1",
        expect![[r#"
        > start need.service
          job 1: start slow.service
          job 2: start need.service
          run slow.service ExecStart
          slow.service: dead -> start
        > cancel 1
          job 1: canceled (slow.service)
          Error: need.service: not started: slow.service, which it requires, did not start
          job 2: dependency (need.service)
    "#]],
    );
}

#[test]
fn some_units_come_only_with_others() {
    check(
        JOBS,
        "start shy.service; stop shy.service; restart shy.service",
        expect![[r#"
        > start shy.service
          refused: Operation refused, unit shy.service may be requested by dependency only (it is configured to refuse manual start/stop).
        > stop shy.service
          refused: Operation refused, unit shy.service may be requested by dependency only (it is configured to refuse manual start/stop).
        > restart shy.service
          refused: Operation refused, unit shy.service may be requested by dependency only (it is configured to refuse manual start/stop).
    "#]],
    );
}

#[test]
fn isolating_a_target_stops_the_rest() {
    check(
        JOBS,
        "start stays.service; start alarm.service; start hasty.service; ready hasty.service \
         | start stays.service as isolate; start rescue.target as isolate",
        expect![[r#"
            > start stays.service as isolate
              refused: Operation refused, unit may not be isolated.
            > start rescue.target as isolate
              job 4: start rescue.target
              job 5: stop basic.target
              job 6: stop hasty.service
              job 7: stop paths.target
              job 8: stop sockets.target
              job 9: stop timers.target
              job 4: done (rescue.target)
              SIGTERM to hasty.service ExecStart (Session)
              hasty.service: running -> stop-sigterm
              rescue.target: dead -> active
              job 6: done (hasty.service)
              job 5: done (basic.target)
              job 7: done (paths.target)
              job 8: done (sockets.target)
              job 9: done (timers.target)
              basic.target: active -> dead
              hasty.service: stop-sigterm -> dead
              paths.target: active -> dead
              sockets.target: active -> dead
              timers.target: active -> dead
        "#]],
    );
}

#[test]
fn an_irreversible_job_is_not_replaced() {
    check(
        JOBS,
        "start slow.service as replace-irreversibly; stop slow.service; ready slow.service; stop slow.service",
        expect![[r#"
            > start slow.service as replace-irreversibly
              job 1: start slow.service
              run slow.service ExecStart
              slow.service: dead -> start
            > stop slow.service
              refused: Transaction for slow.service/stop is destructive (slow.service has 'start' job queued, but 'stop' is included in transaction).
            > ready slow.service
              job 1: done (slow.service)
              Info: slow.service: running (pid 101)
              slow.service: start -> running
            > stop slow.service
              job 2: stop slow.service
              SIGTERM to slow.service ExecStart (Session)
              slow.service: running -> stop-sigterm
              job 2: done (slow.service)
              slow.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn flushing_takes_all_other_jobs_back() {
    check(
        JOBS,
        "start need.service; start alarm.service as flush",
        expect![[r#"
        > start need.service
          job 1: start slow.service
          job 2: start need.service
          run slow.service ExecStart
          slow.service: dead -> start
        > start alarm.service as flush
          job 1: canceled (slow.service)
          job 2: canceled (need.service)
          job 3: start alarm.service
          run alarm.service ExecStart $MONITOR_SERVICE_RESULT=success $MONITOR_UNIT=late.service
          alarm.service: dead -> start
          job 3: done (alarm.service)
          Info: alarm.service: running (pid 102)
          alarm.service: start -> running
    "#]],
    );
}

#[test]
fn requirements_can_be_ignored() {
    check(
        JOBS,
        "start need.service as ignore-requirements",
        expect![[r#"
        > start need.service as ignore-requirements
          job 1: start need.service
          run need.service ExecStart
          need.service: dead -> start
          job 1: done (need.service)
          Info: need.service: running (pid 101)
          need.service: start -> running
    "#]],
    );
}

const CONTRADICTIONS: &str = "
-- a.service
[Unit]
Conflicts=b.service
[Service]
ExecStart=/bin/a
-- b.service
[Service]
ExecStart=/bin/b
-- both.service
[Unit]
Requires=a.service b.service
[Service]
ExecStart=/bin/both
-- either.service
[Unit]
Wants=a.service b.service
[Service]
ExecStart=/bin/either
-- one.service
[Unit]
Requires=two.service
After=two.service
[Service]
ExecStart=/bin/one
-- two.service
[Unit]
After=one.service
[Service]
ExecStart=/bin/two
";

#[test]
fn what_contradicts_itself_is_refused_or_done_without() {
    check(
        CONTRADICTIONS,
        "start both.service; start either.service; start one.service",
        expect![[r#"
        > start both.service
          refused: Transaction contains conflicting jobs 'stop' and 'start' for b.service. Probably contradicting requirement dependencies configured.
        > start either.service
          job 1: start a.service
          job 2: start either.service
          run a.service ExecStart
          run either.service ExecStart
          a.service: dead -> start
          either.service: dead -> start
          job 1: done (a.service)
          Info: a.service: running (pid 101)
          a.service: start -> running
          job 2: done (either.service)
          Info: either.service: running (pid 102)
          either.service: start -> running
        > start one.service
          refused: Transaction order is cyclic. See system logs for details.
          Error: one.service: its order (After=, Before=) is a circle: one.service, two.service; none of these jobs can be left out
    "#]],
    );
}
