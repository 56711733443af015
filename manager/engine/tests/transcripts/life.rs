//! The life of a service: its types, all its commands and their time limits, what it says, what it leaves behind, how it comes back.

use expect_test::expect;

use crate::check;

const FORK: &str = "
-- d.service
[Service]
Type=forking
ExecStart=/bin/d
ExecStopPost=/bin/post
TimeoutStartSec=5s
";

const PID: &str = "
-- d.service
[Service]
Type=forking
PIDFile=/run/d.pid
ExecStart=/bin/d
TimeoutStartSec=1s
";

const NOTIFY: &str = "
-- n.service
[Service]
Type=notify
WatchdogSec=2s
TimeoutStopSec=3s
TimeoutAbortSec=1s
ExecStart=/bin/n
ExecStopPost=/bin/post
";

const RELOAD: &str = "
-- r.service
[Service]
Type=notify-reload
ReloadSignal=SIGUSR1
TimeoutStartSec=5s
ExecStart=/bin/r
";

const BUS: &str = "
-- b.service
[Service]
BusName=org.x.B
ExecStart=/bin/b
";

const IDLE: &str = "
-- i.service
[Service]
Type=idle
ExecStart=/bin/i

-- slow.service
[Service]
Type=notify
ExecStart=/bin/slow
";

const COND: &str = "
-- c.service
[Service]
ExecCondition=/bin/cond
ExecStart=/bin/c
Restart=on-failure
";

const POST: &str = "
-- p.service
[Service]
TimeoutStopSec=1s
ExecStartPre=/bin/pre
ExecStart=/bin/p
ExecStop=/bin/stop
ExecStopPost=/bin/post
";

const MIXED: &str = "
-- m.service
[Service]
KillMode=mixed
ExecStart=/bin/m
ExecStopPost=/bin/post
";

const KILL: &str = "
-- k.service
[Service]
KillSignal=SIGINT
RestartKillSignal=SIGQUIT
FinalKillSignal=SIGKILL
SendSIGHUP=yes
TimeoutStopSec=1s
ExecStart=/bin/k
";

const NOKILL: &str = "
-- k.service
[Service]
SendSIGKILL=no
TimeoutStopSec=1s
ExecStart=/bin/k
";

const MODES: &str = "
-- abort.service
[Service]
Type=notify
TimeoutSec=1s
TimeoutStartFailureMode=abort
TimeoutStopFailureMode=abort
ExecStart=/bin/a

-- kill.service
[Service]
Type=notify
TimeoutSec=1s
TimeoutStartFailureMode=kill
ExecStart=/bin/k
";

const MAX: &str = "
-- m.service
[Service]
RuntimeMaxSec=30s
ExecStart=/bin/m
";

const STATUS: &str = "
-- s.service
[Service]
SuccessExitStatus=TEMPFAIL SIGUSR1
ExecStart=/bin/s

-- always.service
[Service]
Restart=always
RestartPreventExitStatus=5 6
ExecStart=/bin/a

-- never.service
[Service]
RestartForceExitStatus=7
ExecStart=/bin/n
";

const STEPS: &str = "
-- s.service
[Unit]
StartLimitIntervalSec=0
[Service]
Restart=always
RestartSec=1s
RestartSteps=3
RestartMaxDelaySec=8s
ExecStart=/bin/s
";

const FOLLOW: &str = "
-- f.service
[Unit]
OnFailure=bad.service
OnSuccess=good.service
[Service]
ExecStart=/bin/f

-- again.service
[Unit]
OnFailure=late.service
StartLimitBurst=2
[Service]
Restart=on-failure
ExecStart=/bin/a

-- good.service
[Service]
Type=oneshot
ExecStart=/bin/good

-- bad.service
[Service]
Type=oneshot
ExecStart=/bin/bad

-- late.service
[Service]
Type=oneshot
ExecStart=/bin/late
";

const STORE: &str = "
-- f.service
[Service]
Type=notify
FileDescriptorStoreMax=2
Restart=on-failure
ExecStart=/bin/f

-- keep.service
[Service]
FileDescriptorStoreMax=2
FileDescriptorStorePreserve=yes
ExecStart=/bin/k

-- drop.service
[Service]
FileDescriptorStoreMax=2
FileDescriptorStorePreserve=no
ExecStart=/bin/d

-- deaf.service
[Service]
ExecStart=/bin/d
";

const SIMPLE: &str = "
-- s.service
[Service]
ExecStart=/bin/nothing
";

#[test]
fn a_daemon_is_found_by_what_it_leaves_behind() {
    check(
        FORK,
        "plan d.service ExecStart leaves; start d.service; exit d.service/starter; exit d.service 3",
        expect![[r#"
            > plan d.service ExecStart leaves
            > start d.service
              job 1: start d.service
              run d.service ExecStart
              d.service: dead -> start
            > exit d.service/starter
              find the main process of d.service: Guess
              job 1: done (d.service)
              Info: d.service: running (pid 102)
              d.service: start -> running
            > exit d.service 3
              Warning: d.service: exited with status 3
              run d.service ExecStopPost $SERVICE_RESULT=exit-code $EXIT_CODE=exited $EXIT_STATUS=3
              d.service: running -> stop-post
              Error: d.service: failed: exit-code
              d.service: stop-post -> failed
        "#]],
    );
}

#[test]
fn a_daemon_whose_process_is_not_known_lives_as_long_as_anybody_of_it() {
    check(
        FORK,
        "plan d.service ExecStart leaves; lose d.service 3; start d.service; exit d.service/starter; left-gone d.service",
        expect![[r#"
            > plan d.service ExecStart leaves
            > lose d.service 3
            > start d.service
              job 1: start d.service
              run d.service ExecStart
              d.service: dead -> start
            > exit d.service/starter
              find the main process of d.service: Guess
              job 1: done (d.service)
              Info: d.service: running
              d.service: start -> running
            > left-gone d.service
              run d.service ExecStopPost $SERVICE_RESULT=success
              d.service: running -> stop-post
              d.service: stop-post -> dead
        "#]],
    );
}

#[test]
fn a_daemon_that_leaves_nobody_is_down() {
    check(
        FORK,
        "lose d.service 3; start d.service; exit d.service/starter",
        expect![[r#"
            > lose d.service 3
            > start d.service
              job 1: start d.service
              run d.service ExecStart
              d.service: dead -> start
            > exit d.service/starter
              find the main process of d.service: Guess
              run d.service ExecStopPost $SERVICE_RESULT=success
              d.service: start -> stop-post
              job 1: done (d.service)
              d.service: stop-post -> dead
        "#]],
    );
}

#[test]
fn a_starter_that_fails_fails_the_start() {
    check(
        FORK,
        "start d.service; exit d.service/starter 1",
        expect![[r#"
        > start d.service
          job 1: start d.service
          run d.service ExecStart
          d.service: dead -> start
        > exit d.service/starter 1
          Warning: d.service: exited with status 1
          run d.service ExecStopPost $SERVICE_RESULT=exit-code
          d.service: start -> stop-post
          job 1: failed (d.service)
          Error: d.service: failed: exit-code
          d.service: stop-post -> failed
    "#]],
    );
}

#[test]
fn a_pid_file_is_waited_for() {
    check(
        PID,
        "plan d.service ExecStart leaves; lose d.service 3; start d.service; exit d.service/starter; wait 500ms; stop d.service",
        expect![[r#"
            > plan d.service ExecStart leaves
            > lose d.service 3
            > start d.service
              job 1: start d.service
              run d.service ExecStart
              d.service: dead -> start
            > exit d.service/starter
              find the main process of d.service: File("/run/d.pid")
            > wait 500ms
              at 100ms
              find the main process of d.service: File("/run/d.pid")
              at 200ms
              find the main process of d.service: File("/run/d.pid")
              at 300ms
              find the main process of d.service: File("/run/d.pid")
              job 1: done (d.service)
              Info: d.service: running (pid 102)
              d.service: start -> running
            > stop d.service
              job 2: stop d.service
              SIGTERM to d.service ExecStart (Session)
              d.service: running -> stop-sigterm
              clean up d.service
              job 2: done (d.service)
              d.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn a_pid_file_that_never_comes_is_given_up() {
    check(
        PID,
        "plan d.service ExecStart leaves; lose d.service 99; start d.service; exit d.service/starter; wait 3s",
        expect![[r#"
            > plan d.service ExecStart leaves
            > lose d.service 99
            > start d.service
              job 1: start d.service
              run d.service ExecStart
              d.service: dead -> start
            > exit d.service/starter
              find the main process of d.service: File("/run/d.pid")
            > wait 3s
              at 100ms
              find the main process of d.service: File("/run/d.pid")
              at 200ms
              find the main process of d.service: File("/run/d.pid")
              at 300ms
              find the main process of d.service: File("/run/d.pid")
              at 400ms
              find the main process of d.service: File("/run/d.pid")
              at 500ms
              find the main process of d.service: File("/run/d.pid")
              at 600ms
              find the main process of d.service: File("/run/d.pid")
              at 700ms
              find the main process of d.service: File("/run/d.pid")
              at 800ms
              find the main process of d.service: File("/run/d.pid")
              at 900ms
              find the main process of d.service: File("/run/d.pid")
              at 1s
              Warning: d.service: start timed out
              SIGTERM to d.service ExecStart (Session)
              d.service: start -> stop-sigterm
              clean up d.service
              job 1: failed (d.service)
              Error: d.service: failed: timeout
              d.service: stop-sigterm -> failed
        "#]],
    );
}

#[test]
fn a_pid_file_goes_missing_with_the_daemon() {
    check(
        PID,
        "lose d.service 3; start d.service; exit d.service/starter",
        expect![[r#"
            > lose d.service 3
            > start d.service
              job 1: start d.service
              run d.service ExecStart
              d.service: dead -> start
            > exit d.service/starter
              find the main process of d.service: File("/run/d.pid")
              Warning: d.service: went away without a main process: no such file
              clean up d.service
              job 1: failed (d.service)
              Error: d.service: failed: protocol
              d.service: start -> failed
        "#]],
    );
}

#[test]
fn a_notification_may_name_another_main_process() {
    check(
        NOTIFY,
        "start n.service; notify n.service READY=1 | notify n.service MAINPID=77; exit n.service; stop n.service",
        expect![[r#"
            > notify n.service MAINPID=77
              find the main process of n.service: Pid(77)
            > exit n.service
              Info: n.service: exited with status 0
              SIGTERM to n.service ExecStart (Session)
              n.service: running -> stop-sigterm
              run n.service ExecStopPost $SERVICE_RESULT=success $EXIT_CODE=exited $EXIT_STATUS=0
              n.service: stop-sigterm -> stop-post
              n.service: stop-post -> dead
            > stop n.service
              job 2: stop n.service
              job 2: done (n.service)
        "#]],
    );
}

#[test]
fn a_watchdog_that_is_not_fed_bites() {
    check(
        NOTIFY,
        "start n.service; notify n.service READY=1 | wait 1s; notify n.service WATCHDOG=1; wait 1900ms; notify n.service WATCHDOG=1; plan n.service ExecStopPost lingers; wait 3s",
        expect![[r#"
            > wait 1s
            > notify n.service WATCHDOG=1
            > wait 1900ms
            > notify n.service WATCHDOG=1
            > plan n.service ExecStopPost lingers
            > wait 3s
              at 4.900000s
              Warning: n.service: did not say that it is well in time (WatchdogSec=), aborting
              SIGABRT to n.service ExecStart (Session)
              n.service: running -> stop-watchdog
              Warning: n.service: killed by SIGABRT
              run n.service ExecStopPost $SERVICE_RESULT=watchdog $EXIT_CODE=killed $EXIT_STATUS=ABRT
              n.service: stop-watchdog -> stop-post
        "#]],
    );
}

#[test]
fn a_watchdog_may_be_called() {
    check(
        NOTIFY,
        "start n.service; notify n.service READY=1 | notify n.service WATCHDOG=trigger",
        expect![[r#"
            > notify n.service WATCHDOG=trigger
              Warning: n.service: asked the watchdog to end it
              SIGABRT to n.service ExecStart (Session)
              n.service: running -> stop-watchdog
              Warning: n.service: killed by SIGABRT
              run n.service ExecStopPost $SERVICE_RESULT=watchdog $EXIT_CODE=killed $EXIT_STATUS=ABRT
              n.service: stop-watchdog -> stop-post
              Error: n.service: failed: watchdog
              n.service: stop-post -> failed
        "#]],
    );
}

#[test]
fn a_watchdog_may_be_asked_to_be_patient() {
    check(
        NOTIFY,
        "start n.service; notify n.service READY=1 | notify n.service WATCHDOG_USEC=10000000; wait 9s; notify n.service WATCHDOG_USEC=0; wait 1h",
        expect![[r#"
            > notify n.service WATCHDOG_USEC=10000000
            > wait 9s
            > notify n.service WATCHDOG_USEC=0
            > wait 1h
        "#]],
    );
}

#[test]
fn a_service_that_hangs_at_its_end_too_is_killed() {
    check(
        NOTIFY,
        "plan n.service ExecStart ignores-signals; start n.service; notify n.service READY=1 | wait 10s",
        expect![[r#"
            > wait 10s
              at 2s
              Warning: n.service: did not say that it is well in time (WatchdogSec=), aborting
              SIGABRT to n.service ExecStart (Session)
              n.service: running -> stop-watchdog
              at 3s
              Warning: n.service: did not stop in time, killing
              SIGKILL to n.service ExecStart (Session)
              n.service: stop-watchdog -> stop-sigkill
              run n.service ExecStopPost $SERVICE_RESULT=watchdog $EXIT_CODE=killed $EXIT_STATUS=KILL
              n.service: stop-sigkill -> stop-post
              Error: n.service: failed: watchdog
              n.service: stop-post -> failed
        "#]],
    );
}

#[test]
fn a_reload_by_signal_ends_with_the_word_of_the_service() {
    check(
        RELOAD,
        "start r.service; notify r.service READY=1 | wait 1s; reload r.service; notify r.service RELOADING=1 MONOTONIC=500ms; notify r.service RELOADING=1 MONOTONIC=1s; notify r.service READY=1",
        expect![[r#"
            > wait 1s
            > reload r.service
              job 2: reload r.service
              SIGUSR1 to r.service ExecStart (Process)
              r.service: running -> reload-signal
            > notify r.service RELOADING=1 MONOTONIC=500ms
            > notify r.service RELOADING=1 MONOTONIC=1s
              r.service: reload-signal -> reload-notify
            > notify r.service READY=1
              Info: r.service: reloaded
              job 2: done (r.service)
              r.service: reload-notify -> running
        "#]],
    );
}

#[test]
fn a_reload_by_signal_may_be_over_at_once() {
    check(
        RELOAD,
        "start r.service; notify r.service READY=1 | reload r.service; notify r.service RELOADING=1 READY=1 MONOTONIC=1s",
        expect![[r#"
            > reload r.service
              job 2: reload r.service
              SIGUSR1 to r.service ExecStart (Process)
              r.service: running -> reload-signal
            > notify r.service RELOADING=1 READY=1 MONOTONIC=1s
              Info: r.service: reloaded
              job 2: done (r.service)
              r.service: reload-signal -> running
        "#]],
    );
}

#[test]
fn a_reload_by_signal_that_is_not_heeded_is_given_up() {
    check(
        RELOAD,
        "start r.service; notify r.service READY=1 | reload r.service; wait 5s",
        expect![[r#"
            > reload r.service
              job 2: reload r.service
              SIGUSR1 to r.service ExecStart (Process)
              r.service: running -> reload-signal
            > wait 5s
              at 5s
              Warning: r.service: reload timed out
              job 2: failed (r.service)
              r.service: reload-signal -> running
        "#]],
    );
}

#[test]
fn a_service_may_reload_by_itself() {
    check(
        NOTIFY,
        "start n.service; notify n.service READY=1 | notify n.service RELOADING=1; notify n.service READY=1",
        expect![[r#"
            > notify n.service RELOADING=1
              n.service: running -> reload
            > notify n.service READY=1
              Info: n.service: reloaded
              n.service: reload -> running
        "#]],
    );
}

#[test]
fn a_service_that_says_it_stops_has_as_long_as_a_stop() {
    check(
        NOTIFY,
        "start n.service; notify n.service READY=1 | notify n.service STOPPING=1; wait 4s",
        expect![[r#"
            > notify n.service STOPPING=1
              n.service: running -> stop-sigterm
            > wait 4s
              at 3s
              Warning: n.service: did not stop in time, killing
              SIGKILL to n.service ExecStart (Session)
              n.service: stop-sigterm -> stop-sigkill
              run n.service ExecStopPost $SERVICE_RESULT=timeout $EXIT_CODE=killed $EXIT_STATUS=KILL
              n.service: stop-sigkill -> stop-post
              Error: n.service: failed: timeout
              n.service: stop-post -> failed
        "#]],
    );
}

#[test]
fn a_bus_name_makes_ready_and_its_loss_ends() {
    check(
        BUS,
        "start b.service; bus-name org.x.B appears; bus-name org.x.B vanishes",
        expect![[r#"
        > start b.service
          job 1: start b.service
          watch the name org.x.B
          run b.service ExecStart
          b.service: dead -> start
        > bus-name org.x.B appears
          job 1: done (b.service)
          Info: b.service: running (pid 101)
          b.service: start -> running
        > bus-name org.x.B vanishes
          SIGTERM to b.service ExecStart (Session)
          b.service: running -> stop-sigterm
          b.service: stop-sigterm -> dead
    "#]],
    );
}

#[test]
fn an_idle_service_waits_for_the_jobs_of_others() {
    check(
        IDLE,
        "plan slow.service ExecStart lingers; start i.service; start slow.service; wait 1s; notify slow.service READY=1",
        expect![[r#"
            > plan slow.service ExecStart lingers
            > start i.service
              job 1: start i.service
              job 1: done (i.service)
              run i.service ExecStart
              i.service: dead -> running
              Info: i.service: running (pid 101)
            > start slow.service
              job 2: start slow.service
              run slow.service ExecStart
              slow.service: dead -> start
            > wait 1s
            > notify slow.service READY=1
              job 2: done (slow.service)
              Info: slow.service: running (pid 102)
              slow.service: start -> running
        "#]],
    );
}

#[test]
fn an_idle_service_waits_five_seconds_at_most() {
    check(
        IDLE,
        "start slow.service; start i.service; wait 6s",
        expect![[r#"
            > start slow.service
              job 1: start slow.service
              run slow.service ExecStart
              slow.service: dead -> start
            > start i.service
              job 2: start i.service
              job 2: done (i.service)
              i.service: dead -> running
            > wait 6s
              at 5s
              run i.service ExecStart
              Info: i.service: running (pid 102)
        "#]],
    );
}

#[test]
fn a_condition_that_says_no_is_no_failure() {
    check(
        COND,
        "plan c.service ExecCondition exits-1; start c.service",
        expect![[r#"
        > plan c.service ExecCondition exits-1
        > start c.service
          job 1: start c.service
          run c.service ExecCondition
          c.service: dead -> condition
          job 1: done (c.service)
          Info: c.service: not started: ExecCondition= says no
          c.service: condition -> dead
    "#]],
    );
}

#[test]
fn a_condition_that_breaks_is_a_failure() {
    check(
        COND,
        "plan c.service ExecCondition exits-255; start c.service",
        expect![[r#"
        > plan c.service ExecCondition exits-255
        > start c.service
          job 1: start c.service
          run c.service ExecCondition
          c.service: dead -> condition
          Warning: c.service: exited with status 255
          job 1: failed (c.service)
          Error: c.service: failed: exit-code
          Info: c.service: restarting in 100ms
          c.service: condition -> auto-restart
    "#]],
    );
}

#[test]
fn a_condition_that_says_yes_lets_the_service_start() {
    check(
        COND,
        "start c.service",
        expect![[r#"
        > start c.service
          job 1: start c.service
          run c.service ExecCondition
          c.service: dead -> condition
          run c.service ExecStart
          c.service: condition -> start
          job 1: done (c.service)
          Info: c.service: running (pid 102)
          c.service: start -> running
    "#]],
    );
}

#[test]
fn commands_after_the_end_see_how_it_ended() {
    check(
        POST,
        "start p.service; exit p.service 3",
        expect![[r#"
        > start p.service
          job 1: start p.service
          run p.service ExecStartPre
          p.service: dead -> start-pre
          run p.service ExecStart
          p.service: start-pre -> start
          job 1: done (p.service)
          Info: p.service: running (pid 102)
          p.service: start -> running
        > exit p.service 3
          Warning: p.service: exited with status 3
          run p.service ExecStopPost $SERVICE_RESULT=exit-code $EXIT_CODE=exited $EXIT_STATUS=3
          p.service: running -> stop-post
          Error: p.service: failed: exit-code
          p.service: stop-post -> failed
    "#]],
    );
}

#[test]
fn commands_after_the_end_run_when_the_start_fails() {
    check(
        POST,
        "plan p.service ExecStartPre exits-1; start p.service",
        expect![[r#"
        > plan p.service ExecStartPre exits-1
        > start p.service
          job 1: start p.service
          run p.service ExecStartPre
          p.service: dead -> start-pre
          Warning: p.service: exited with status 1
          run p.service ExecStopPost $SERVICE_RESULT=exit-code
          p.service: start-pre -> stop-post
          job 1: failed (p.service)
          Error: p.service: failed: exit-code
          p.service: stop-post -> failed
    "#]],
    );
}

#[test]
fn a_command_after_the_end_that_fails_fails_the_unit() {
    check(
        POST,
        "start p.service | plan p.service ExecStopPost exits-1; stop p.service",
        expect![[r#"
        > plan p.service ExecStopPost exits-1
        > stop p.service
          job 2: stop p.service
          run p.service ExecStop $MAINPID=102 $SERVICE_RESULT=success
          p.service: running -> stop
          SIGTERM to p.service ExecStart (Session)
          p.service: stop -> stop-sigterm
          run p.service ExecStopPost $SERVICE_RESULT=success $EXIT_CODE=killed $EXIT_STATUS=TERM
          p.service: stop-sigterm -> stop-post
          Warning: p.service: exited with status 1
          job 2: done (p.service)
          Error: p.service: failed: exit-code
          p.service: stop-post -> failed
    "#]],
    );
}

#[test]
fn a_command_after_the_end_that_hangs_is_ended() {
    check(
        POST,
        "start p.service | plan p.service ExecStopPost lingers; stop p.service; wait 3s",
        expect![[r#"
            > plan p.service ExecStopPost lingers
            > stop p.service
              job 2: stop p.service
              run p.service ExecStop $MAINPID=102 $SERVICE_RESULT=success
              p.service: running -> stop
              SIGTERM to p.service ExecStart (Session)
              p.service: stop -> stop-sigterm
              run p.service ExecStopPost $SERVICE_RESULT=success $EXIT_CODE=killed $EXIT_STATUS=TERM
              p.service: stop-sigterm -> stop-post
            > wait 3s
              at 1s
              Warning: p.service: ExecStopPost= timed out
              SIGTERM to p.service ExecStopPost (Session)
              p.service: stop-post -> final-sigterm
              job 2: done (p.service)
              Error: p.service: failed: timeout
              p.service: final-sigterm -> failed
        "#]],
    );
}

#[test]
fn what_is_left_is_ended_after_the_last_commands() {
    check(
        POST,
        "plan p.service ExecStart leaves; start p.service; exit p.service",
        expect![[r#"
        > plan p.service ExecStart leaves
        > start p.service
          job 1: start p.service
          run p.service ExecStartPre
          p.service: dead -> start-pre
          run p.service ExecStart
          p.service: start-pre -> start
          job 1: done (p.service)
          Info: p.service: running (pid 102)
          p.service: start -> running
        > exit p.service
          Info: p.service: exited with status 0
          run p.service ExecStop $SERVICE_RESULT=success $EXIT_CODE=exited $EXIT_STATUS=0
          p.service: running -> stop
          SIGTERM to p.service ExecStart (Session)
          p.service: stop -> stop-sigterm
          run p.service ExecStopPost $SERVICE_RESULT=success $EXIT_CODE=exited $EXIT_STATUS=0
          p.service: stop-sigterm -> stop-post
          p.service: stop-post -> dead
    "#]],
    );
}

#[test]
fn mixed_spares_what_is_left_until_the_end() {
    check(
        MIXED,
        "plan m.service ExecStart leaves; start m.service; exit m.service",
        expect![[r#"
        > plan m.service ExecStart leaves
        > start m.service
          job 1: start m.service
          run m.service ExecStart
          m.service: dead -> start
          job 1: done (m.service)
          Info: m.service: running (pid 101)
          m.service: start -> running
        > exit m.service
          Info: m.service: exited with status 0
          SIGKILL to m.service ExecStart (Session)
          m.service: running -> stop-sigkill
          run m.service ExecStopPost $SERVICE_RESULT=success $EXIT_CODE=exited $EXIT_STATUS=0
          m.service: stop-sigkill -> stop-post
          m.service: stop-post -> dead
    "#]],
    );
}

#[test]
fn further_signals_are_sent_as_the_file_says() {
    check(
        KILL,
        "plan k.service ExecStart ignores-signals; start k.service | stop k.service; wait 5s",
        expect![[r#"
            > stop k.service
              job 2: stop k.service
              SIGINT to k.service ExecStart (Session)
              SIGHUP to k.service ExecStart (Session)
              k.service: running -> stop-sigterm
            > wait 5s
              at 1s
              Warning: k.service: did not stop in time, killing
              SIGKILL to k.service ExecStart (Session)
              k.service: stop-sigterm -> stop-sigkill
              job 2: done (k.service)
              Error: k.service: failed: timeout
              k.service: stop-sigkill -> failed
        "#]],
    );
}

#[test]
fn a_restart_has_a_signal_of_its_own() {
    check(
        KILL,
        "start k.service | restart k.service",
        expect![[r#"
            > restart k.service
              job 2: restart k.service
              SIGQUIT to k.service ExecStart (Session)
              SIGHUP to k.service ExecStart (Session)
              k.service: running -> stop-sigterm
              Error: k.service: failed: signal
              run k.service ExecStart
              k.service: stop-sigterm -> start
              job 2: done (k.service)
              Info: k.service: running (pid 102)
              k.service: start -> running
        "#]],
    );
}

#[test]
fn nothing_is_killed_where_that_is_not_wanted() {
    check(
        NOKILL,
        "plan k.service ExecStart ignores-signals; start k.service | stop k.service; wait 5s",
        expect![[r#"
            > stop k.service
              job 2: stop k.service
              SIGTERM to k.service ExecStart (Session)
              k.service: running -> stop-sigterm
            > wait 5s
              at 1s
              Warning: k.service: did not stop in time; left alone (SendSIGKILL=no)
              SIGTERM to k.service ExecStart (Session)
              k.service: stop-sigterm -> final-sigterm
              at 2s
              job 2: done (k.service)
              Error: k.service: failed: timeout
              k.service: final-sigterm -> failed
        "#]],
    );
}

#[test]
fn a_start_that_takes_too_long_may_be_aborted_or_killed() {
    check(
        MODES,
        "plan abort.service ExecStart lingers; start abort.service; start kill.service; wait 1s",
        expect![[r#"
            > plan abort.service ExecStart lingers
            > start abort.service
              job 1: start abort.service
              run abort.service ExecStart
              abort.service: dead -> start
            > start kill.service
              job 2: start kill.service
              run kill.service ExecStart
              kill.service: dead -> start
            > wait 1s
              at 1s
              Warning: abort.service: start timed out
              SIGABRT to abort.service ExecStart (Session)
              Warning: kill.service: start timed out
              SIGKILL to kill.service ExecStart (Session)
              abort.service: start -> stop-watchdog
              kill.service: start -> stop-sigkill
              Warning: abort.service: killed by SIGABRT
              job 1: failed (abort.service)
              Error: abort.service: failed: timeout
              abort.service: stop-watchdog -> failed
              job 2: failed (kill.service)
              Error: kill.service: failed: timeout
              kill.service: stop-sigkill -> failed
        "#]],
    );
}

#[test]
fn a_stop_that_takes_too_long_may_be_aborted() {
    check(
        MODES,
        "plan abort.service ExecStart ignores-signals; start abort.service; notify abort.service READY=1 | stop abort.service; wait 5s",
        expect![[r#"
            > stop abort.service
              job 2: stop abort.service
              SIGTERM to abort.service ExecStart (Session)
              abort.service: running -> stop-sigterm
            > wait 5s
              at 1s
              Warning: abort.service: did not stop in time, aborting
              SIGABRT to abort.service ExecStart (Session)
              abort.service: stop-sigterm -> stop-watchdog
              at 2s
              Warning: abort.service: did not stop in time, killing
              SIGKILL to abort.service ExecStart (Session)
              abort.service: stop-watchdog -> stop-sigkill
              job 2: done (abort.service)
              Error: abort.service: failed: timeout
              abort.service: stop-sigkill -> failed
        "#]],
    );
}

#[test]
fn a_service_runs_no_longer_than_it_may() {
    check(
        MAX,
        "start m.service; wait 1min",
        expect![[r#"
        > start m.service
          job 1: start m.service
          run m.service ExecStart
          m.service: dead -> start
          job 1: done (m.service)
          Info: m.service: running (pid 101)
          m.service: start -> running
        > wait 1min
          at 30s
          Warning: m.service: ran for as long as it may (RuntimeMaxSec=), stopping
          SIGTERM to m.service ExecStart (Session)
          m.service: running -> stop-sigterm
          Error: m.service: failed: timeout
          m.service: stop-sigterm -> failed
    "#]],
    );
}

#[test]
fn further_exits_may_be_clean() {
    check(
        STATUS,
        "start s.service; exit s.service 75; start s.service; dies s.service SIGUSR1; start s.service; exit s.service 9",
        expect![[r#"
            > start s.service
              job 1: start s.service
              run s.service ExecStart
              s.service: dead -> start
              job 1: done (s.service)
              Info: s.service: running (pid 101)
              s.service: start -> running
            > exit s.service 75
              Info: s.service: exited with status 75
              s.service: running -> dead
            > start s.service
              job 2: start s.service
              run s.service ExecStart
              s.service: dead -> start
              job 2: done (s.service)
              Info: s.service: running (pid 102)
              s.service: start -> running
            > dies s.service SIGUSR1
              Info: s.service: killed by SIGUSR1
              s.service: running -> dead
            > start s.service
              job 3: start s.service
              run s.service ExecStart
              s.service: dead -> start
              job 3: done (s.service)
              Info: s.service: running (pid 103)
              s.service: start -> running
            > exit s.service 9
              Warning: s.service: exited with status 9
              Error: s.service: failed: exit-code
              s.service: running -> failed
        "#]],
    );
}

#[test]
fn some_exits_prevent_a_restart() {
    check(
        STATUS,
        "start always.service; exit always.service 6; start always.service; exit always.service 5",
        expect![[r#"
            > start always.service
              job 1: start always.service
              run always.service ExecStart
              always.service: dead -> start
              job 1: done (always.service)
              Info: always.service: running (pid 101)
              always.service: start -> running
            > exit always.service 6
              Warning: always.service: exited with status 6
              Error: always.service: failed: exit-code
              always.service: running -> failed
            > start always.service
              job 2: start always.service
              run always.service ExecStart
              always.service: failed -> start
              job 2: done (always.service)
              Info: always.service: running (pid 102)
              always.service: start -> running
            > exit always.service 5
              Warning: always.service: exited with status 5
              Error: always.service: failed: exit-code
              always.service: running -> failed
        "#]],
    );
}

#[test]
fn some_exits_force_a_restart() {
    check(
        STATUS,
        "start never.service; exit never.service 7",
        expect![[r#"
        > start never.service
          job 1: start never.service
          run never.service ExecStart
          never.service: dead -> start
          job 1: done (never.service)
          Info: never.service: running (pid 101)
          never.service: start -> running
        > exit never.service 7
          Warning: never.service: exited with status 7
          Error: never.service: failed: exit-code
          Info: never.service: restarting in 100ms
          never.service: running -> auto-restart
    "#]],
    );
}

#[test]
fn restarts_come_slower_and_slower() {
    check(
        STEPS,
        "start s.service; exit s.service 1; wait 1s; exit s.service 1; wait 2s; exit s.service 1; wait 4s; exit s.service 1; wait 8s; exit s.service 1; wait 8s; wait 8s; exit s.service 1",
        expect![[r#"
            > start s.service
              job 1: start s.service
              run s.service ExecStart
              s.service: dead -> start
              job 1: done (s.service)
              Info: s.service: running (pid 101)
              s.service: start -> running
            > exit s.service 1
              Warning: s.service: exited with status 1
              Error: s.service: failed: exit-code
              Info: s.service: restarting in 1s
              s.service: running -> auto-restart
            > wait 1s
              at 1s
              job 2: start s.service
              run s.service ExecStart
              s.service: auto-restart -> start
              job 2: done (s.service)
              Info: s.service: running (pid 102)
              s.service: start -> running
            > exit s.service 1
              Warning: s.service: exited with status 1
              Error: s.service: failed: exit-code
              Info: s.service: restarting in 2s
              s.service: running -> auto-restart
            > wait 2s
              at 3s
              job 3: start s.service
              run s.service ExecStart
              s.service: auto-restart -> start
              job 3: done (s.service)
              Info: s.service: running (pid 103)
              s.service: start -> running
            > exit s.service 1
              Warning: s.service: exited with status 1
              Error: s.service: failed: exit-code
              Info: s.service: restarting in 4s
              s.service: running -> auto-restart
            > wait 4s
              at 7s
              job 4: start s.service
              run s.service ExecStart
              s.service: auto-restart -> start
              job 4: done (s.service)
              Info: s.service: running (pid 104)
              s.service: start -> running
            > exit s.service 1
              Warning: s.service: exited with status 1
              Error: s.service: failed: exit-code
              Info: s.service: restarting in 8s
              s.service: running -> auto-restart
            > wait 8s
              at 15s
              job 5: start s.service
              run s.service ExecStart
              s.service: auto-restart -> start
              job 5: done (s.service)
              Info: s.service: running (pid 105)
              s.service: start -> running
            > exit s.service 1
              Warning: s.service: exited with status 1
              Error: s.service: failed: exit-code
              Info: s.service: restarting in 8s
              s.service: running -> auto-restart
            > wait 8s
              at 23s
              job 6: start s.service
              run s.service ExecStart
              s.service: auto-restart -> start
              job 6: done (s.service)
              Info: s.service: running (pid 106)
              s.service: start -> running
            > wait 8s
            > exit s.service 1
              Warning: s.service: exited with status 1
              Error: s.service: failed: exit-code
              Info: s.service: restarting in 1s
              s.service: running -> auto-restart
        "#]],
    );
}

#[test]
fn a_failure_starts_what_is_to_follow() {
    check(
        FOLLOW,
        "start f.service; exit f.service 4",
        expect![[r#"
        > start f.service
          job 1: start f.service
          run f.service ExecStart
          f.service: dead -> start
          job 1: done (f.service)
          Info: f.service: running (pid 101)
          f.service: start -> running
        > exit f.service 4
          Warning: f.service: exited with status 4
          Error: f.service: failed: exit-code
          job 2: start bad.service
          run bad.service ExecStart $MONITOR_SERVICE_RESULT=exit-code $MONITOR_UNIT=f.service
          bad.service: dead -> start
          f.service: running -> failed
    "#]],
    );
}

#[test]
fn a_success_starts_what_is_to_follow() {
    check(
        FOLLOW,
        "start f.service; exit f.service",
        expect![[r#"
        > start f.service
          job 1: start f.service
          run f.service ExecStart
          f.service: dead -> start
          job 1: done (f.service)
          Info: f.service: running (pid 101)
          f.service: start -> running
        > exit f.service
          Info: f.service: exited with status 0
          job 2: start good.service
          run good.service ExecStart $MONITOR_SERVICE_RESULT=success $MONITOR_UNIT=f.service
          f.service: running -> dead
          good.service: dead -> start
    "#]],
    );
}

#[test]
fn what_follows_a_failure_waits_for_the_last_restart() {
    check(
        FOLLOW,
        "start again.service; exit again.service 1; wait 1s; exit again.service 1; wait 1s",
        expect![[r#"
            > start again.service
              job 1: start again.service
              run again.service ExecStart
              again.service: dead -> start
              job 1: done (again.service)
              Info: again.service: running (pid 101)
              again.service: start -> running
            > exit again.service 1
              Warning: again.service: exited with status 1
              Error: again.service: failed: exit-code
              Info: again.service: restarting in 100ms
              again.service: running -> auto-restart
            > wait 1s
              at 100ms
              job 2: start again.service
              run again.service ExecStart
              again.service: auto-restart -> start
              job 2: done (again.service)
              Info: again.service: running (pid 102)
              again.service: start -> running
            > exit again.service 1
              Warning: again.service: exited with status 1
              Error: again.service: failed: exit-code
              Info: again.service: restarting in 100ms
              again.service: running -> auto-restart
            > wait 1s
              at 1.100000s
              job 3: start again.service
              Error: again.service: started too often, refused; `reset-failed` forgets the count
              job 3: failed (again.service)
              job 4: start late.service
              run late.service ExecStart $MONITOR_SERVICE_RESULT=exit-code $MONITOR_UNIT=again.service
              again.service: auto-restart -> failed
              late.service: dead -> start
        "#]],
    );
}

#[test]
fn descriptors_are_kept_for_the_next_start() {
    check(
        STORE,
        "start f.service; notify f.service READY=1 | notify f.service FDSTORE=one; notify f.service FDSTORE=two; notify f.service FDSTORE=three; dies f.service SIGKILL; wait 1s; notify f.service READY=1; stop f.service",
        expect![[r#"
            > notify f.service FDSTORE=one
              store one:stored
            > notify f.service FDSTORE=two
              store two:stored
            > notify f.service FDSTORE=three
              close three:stored
            > dies f.service SIGKILL
              Warning: f.service: killed by SIGKILL
              Error: f.service: failed: signal
              Info: f.service: restarting in 100ms
              f.service: running -> auto-restart
            > wait 1s
              at 100ms
              job 2: start f.service
              run f.service ExecStart one=one:stored two=two:stored
              f.service: auto-restart -> start
            > notify f.service READY=1
              job 2: done (f.service)
              Info: f.service: running (pid 102)
              f.service: start -> running
            > stop f.service
              job 3: stop f.service
              SIGTERM to f.service ExecStart (Session)
              f.service: running -> stop-sigterm
              job 3: done (f.service)
              close one:stored
              close two:stored
              f.service: stop-sigterm -> dead
        "#]],
    );
}

#[test]
fn descriptors_go_when_asked_for_or_hung_up() {
    check(
        STORE,
        "start f.service; notify f.service READY=1 | notify f.service FDSTORE=one; notify f.service FDSTORE=two; notify f.service FDSTOREREMOVE=one; hang-up two:stored",
        expect![[r#"
            > notify f.service FDSTORE=one
              store one:stored
            > notify f.service FDSTORE=two
              store two:stored
            > notify f.service FDSTOREREMOVE=one
              close one:stored
            > hang-up two:stored
              close two:stored
        "#]],
    );
}

#[test]
fn descriptors_may_outlive_a_stop() {
    check(
        STORE,
        "start keep.service | notify keep.service FDSTORE=one; stop keep.service; start keep.service",
        expect![[r#"
            > notify keep.service FDSTORE=one
              store one:stored
            > stop keep.service
              job 2: stop keep.service
              SIGTERM to keep.service ExecStart (Session)
              keep.service: running -> stop-sigterm
              job 2: done (keep.service)
              keep.service: stop-sigterm -> dead
            > start keep.service
              job 3: start keep.service
              run keep.service ExecStart one=one:stored
              keep.service: dead -> start
              job 3: done (keep.service)
              Info: keep.service: running (pid 102)
              keep.service: start -> running
        "#]],
    );
}

#[test]
fn descriptors_may_not_even_outlive_a_restart() {
    check(
        STORE,
        "start drop.service | notify drop.service FDSTORE=one; restart drop.service",
        expect![[r#"
        > notify drop.service FDSTORE=one
          store one:stored
        > restart drop.service
          job 2: restart drop.service
          SIGTERM to drop.service ExecStart (Session)
          drop.service: running -> stop-sigterm
          close one:stored
          run drop.service ExecStart
          drop.service: stop-sigterm -> start
          job 2: done (drop.service)
          Info: drop.service: running (pid 102)
          drop.service: start -> running
    "#]],
    );
}

#[test]
fn descriptors_of_strangers_are_closed() {
    check(
        STORE,
        "start deaf.service | notify deaf.service FDSTORE=one",
        expect![[r#"
        > notify deaf.service FDSTORE=one
          close one:stored
    "#]],
    );
}

#[test]
fn descriptors_survive_the_manager() {
    check(
        &format!("{STORE}== reload\n{STORE}"),
        "start f.service; notify f.service READY=1; notify f.service FDSTORE=one | manager-dies; manager-returns; restart f.service",
        expect![[r#"
            > manager-dies
            > manager-returns
              store one:stored
            > restart f.service
              job 1: restart f.service
              SIGTERM to f.service ExecStart (Session)
              f.service: running -> stop-sigterm
              run f.service ExecStart one=one:stored
              f.service: stop-sigterm -> start
        "#]],
    );
}

#[test]
fn a_watchdog_goes_on_over_the_death_of_the_manager() {
    check(
        &format!("{NOTIFY}== reload\n{NOTIFY}"),
        "start n.service; notify n.service READY=1 | manager-dies; manager-returns; wait 5s",
        expect![[r#"
            > manager-dies
            > manager-returns
            > wait 5s
              at 2s
              Warning: n.service: did not say that it is well in time (WatchdogSec=), aborting
              SIGABRT to n.service ExecStart (Session)
              n.service: running -> stop-watchdog
              Warning: n.service: killed by SIGABRT
              run n.service ExecStopPost $SERVICE_RESULT=watchdog $EXIT_CODE=killed $EXIT_STATUS=ABRT
              n.service: stop-watchdog -> stop-post
              Error: n.service: failed: watchdog
              n.service: stop-post -> failed
        "#]],
    );
}

#[test]
fn a_simple_service_is_up_before_its_program_turns_out_to_be_missing() {
    check(
        SIMPLE,
        "plan s.service ExecStart cannot-exec; start s.service",
        expect![[r#"
            > plan s.service ExecStart cannot-exec
            > start s.service
              job 1: start s.service
              run s.service ExecStart
              s.service: dead -> start
              Error: s.service: no such file
              job 1: done (s.service)
              Warning: s.service: exited with status 203
              Error: s.service: failed: exit-code
              s.service: start -> failed
        "#]],
    );
}

const MADE: &str = "
-- m.service
[Service]
Type=exec
RuntimeDirectory=m
Restart=on-failure
ExecStart=/bin/m
";

#[test]
fn what_was_made_for_a_service_is_cleaned_up_when_it_is_down() {
    check(
        MADE,
        "start m.service; exit m.service 1; wait 100ms; stop m.service",
        expect![[r#"
            > start m.service
              job 1: start m.service
              run m.service ExecStart
              m.service: dead -> start
              job 1: done (m.service)
              Info: m.service: running (pid 101)
              m.service: start -> running
            > exit m.service 1
              Warning: m.service: exited with status 1
              clean up m.service, which restarts
              Error: m.service: failed: exit-code
              Info: m.service: restarting in 100ms
              m.service: running -> auto-restart
            > wait 100ms
              at 100ms
              job 2: start m.service
              run m.service ExecStart
              m.service: auto-restart -> start
              job 2: done (m.service)
              Info: m.service: running (pid 102)
              m.service: start -> running
            > stop m.service
              job 3: stop m.service
              SIGTERM to m.service ExecStart (Session)
              m.service: running -> stop-sigterm
              clean up m.service
              job 3: done (m.service)
              m.service: stop-sigterm -> dead
        "#]],
    );
}
