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
        "start http.socket | connect http.socket; dies http.service SIGSEGV; wait 1s; dies http.service SIGSEGV; wait 1s; dies http.service SIGSEGV; dies http.service SIGSEGV; dies http.service SIGSEGV; wait 10s; take http.service; exit http.service; connect http.socket",
        expect![[r#"
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: running -> failed
              http.socket: running -> listening
              job 3: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: failed -> start
              http.socket: listening -> running
              job 3: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
            > wait 1s
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: running -> failed
              http.socket: running -> listening
              job 4: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: failed -> start
              http.socket: listening -> running
              job 4: done (http.service)
              Info: http.service: running (pid 103)
              http.service: start -> running
            > wait 1s
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: running -> failed
              http.socket: running -> listening
              job 5: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: failed -> start
              http.socket: listening -> running
              job 5: done (http.service)
              Info: http.service: running (pid 104)
              http.service: start -> running
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: running -> failed
              http.socket: running -> listening
              job 6: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: failed -> start
              http.socket: listening -> running
              job 6: done (http.service)
              Info: http.service: running (pid 105)
              http.service: start -> running
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: running -> failed
              http.socket: running -> listening
              job 7: start http.service
              unwatch http.socket:0
              Error: http.service: started too often, refused; `reset-failed` forgets the count
              job 7: failed (http.service)
              Warning: http.socket: service-start-limit-hit: pausing for 8s; nothing queued is lost
              http.socket: listening -> paused
            > wait 10s
              at 10s
              Info: http.socket: listening again
              watch http.socket:0
              http.socket: paused -> listening
              job 8: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: failed -> start
              http.socket: listening -> running
              job 8: done (http.service)
              Info: http.service: running (pid 106)
              http.service: start -> running
            > take http.service
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
            > connect http.socket
              job 9: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 9: done (http.service)
              Info: http.service: running (pid 107)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn a_crash_loop_fails_a_strict_socket() {
    check(
        STRICT,
        "start http.socket | connect http.socket; dies http.service SIGSEGV; dies http.service SIGSEGV; dies http.service SIGSEGV; dies http.service SIGSEGV; dies http.service SIGSEGV; start http.socket; reset-failed; start http.socket",
        expect![[r#"
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: running -> failed
              http.socket: running -> listening
              job 3: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: failed -> start
              http.socket: listening -> running
              job 3: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: running -> failed
              http.socket: running -> listening
              job 4: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: failed -> start
              http.socket: listening -> running
              job 4: done (http.service)
              Info: http.service: running (pid 103)
              http.service: start -> running
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: running -> failed
              http.socket: running -> listening
              job 5: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: failed -> start
              http.socket: listening -> running
              job 5: done (http.service)
              Info: http.service: running (pid 104)
              http.service: start -> running
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: running -> failed
              http.socket: running -> listening
              job 6: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: failed -> start
              http.socket: listening -> running
              job 6: done (http.service)
              Info: http.service: running (pid 105)
              http.service: start -> running
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              watch http.socket:0
              http.service: running -> failed
              http.socket: running -> listening
              job 7: start http.service
              unwatch http.socket:0
              Error: http.service: started too often, refused; `reset-failed` forgets the count
              job 7: failed (http.service)
              close http.socket:0
              Error: http.socket: failed: service-start-limit-hit
              http.socket: listening -> failed
            > start http.socket
              job 8: start http.socket
              open http.socket:0
              http.socket: failed -> start-open
              Info: http.socket: listening on 127.0.0.1:8080
              job 8: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > reset-failed
              http.service: failed -> dead
            > start http.socket
              job 9: start http.socket
              job 9: done (http.socket)
        "#]],
    );
}

#[test]
fn too_many_triggers_pause_the_socket_for_the_rest_of_the_window() {
    check(
        TRIGGERS,
        "start http.socket | connect http.socket; wait 500ms; exit http.service; exit http.service; wait 2s; take http.service; exit http.service",
        expect![[r#"
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > wait 500ms
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
              job 3: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 3: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
              Warning: http.socket: trigger-limit-hit: pausing for 1.500000s; nothing queued is lost
              unwatch http.socket:0
              http.socket: listening -> paused
            > wait 2s
              at 2s
              Info: http.socket: listening again
              watch http.socket:0
              http.socket: paused -> listening
              job 4: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 4: done (http.service)
              Info: http.service: running (pid 103)
              http.service: start -> running
            > take http.service
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
        "#]],
    );
}

#[test]
fn a_pause_ends_early_when_the_service_is_started_by_hand() {
    check(
        TRIGGERS,
        "start http.socket | connect http.socket; exit http.service; exit http.service; start http.service; take http.service; exit http.service",
        expect![[r#"
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
              job 3: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 3: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
              Warning: http.socket: trigger-limit-hit: pausing for 2s; nothing queued is lost
              unwatch http.socket:0
              http.socket: listening -> paused
            > start http.service
              job 4: start http.service
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              job 4: done (http.service)
              Info: http.service: running (pid 103)
              http.service: start -> running
              http.socket: paused -> running
            > take http.service
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
        "#]],
    );
}

#[test]
fn a_socket_may_be_stopped_while_it_pauses() {
    check(
        TRIGGERS,
        "start http.socket | connect http.socket; exit http.service; exit http.service; stop http.socket; wait 10s",
        expect![[r#"
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
              job 3: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 3: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
            > exit http.service
              Info: http.service: exited with status 0
              watch http.socket:0
              http.service: running -> dead
              http.socket: running -> listening
              Warning: http.socket: trigger-limit-hit: pausing for 2s; nothing queued is lost
              unwatch http.socket:0
              http.socket: listening -> paused
            > stop http.socket
              job 4: stop http.socket
              close http.socket:0
              job 4: done (http.socket)
              Info: http.socket: closed
              http.socket: paused -> dead
            > wait 10s
        "#]],
    );
}

#[test]
fn a_socket_has_a_start_limit_of_its_own() {
    check(
        HTTP,
        "start http.socket; stop http.socket; start http.socket; stop http.socket; start http.socket; stop http.socket; start http.socket; stop http.socket; start http.socket; stop http.socket; start http.socket; reset-failed http.socket; start http.socket",
        expect![[r#"
            > start http.socket
              job 1: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on 127.0.0.1:8080
              job 1: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > stop http.socket
              job 2: stop http.socket
              close http.socket:0
              job 2: done (http.socket)
              Info: http.socket: closed
              http.socket: listening -> dead
            > start http.socket
              job 3: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on 127.0.0.1:8080
              job 3: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > stop http.socket
              job 4: stop http.socket
              close http.socket:0
              job 4: done (http.socket)
              Info: http.socket: closed
              http.socket: listening -> dead
            > start http.socket
              job 5: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on 127.0.0.1:8080
              job 5: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > stop http.socket
              job 6: stop http.socket
              close http.socket:0
              job 6: done (http.socket)
              Info: http.socket: closed
              http.socket: listening -> dead
            > start http.socket
              job 7: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on 127.0.0.1:8080
              job 7: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > stop http.socket
              job 8: stop http.socket
              close http.socket:0
              job 8: done (http.socket)
              Info: http.socket: closed
              http.socket: listening -> dead
            > start http.socket
              job 9: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on 127.0.0.1:8080
              job 9: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
            > stop http.socket
              job 10: stop http.socket
              close http.socket:0
              job 10: done (http.socket)
              Info: http.socket: closed
              http.socket: listening -> dead
            > start http.socket
              job 11: start http.socket
              Error: http.socket: started too often, refused; `reset-failed` forgets the count
              job 11: failed (http.socket)
              http.socket: dead -> failed
            > reset-failed http.socket
              http.socket: failed -> dead
            > start http.socket
              job 12: start http.socket
              open http.socket:0
              http.socket: dead -> start-open
              Info: http.socket: listening on 127.0.0.1:8080
              job 12: done (http.socket)
              watch http.socket:0
              http.socket: start-open -> listening
        "#]],
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
        "start http.socket | connect http.socket; dies http.service SIGSEGV; connect http.socket; wait 5s; take http.service",
        expect![[r#"
            > connect http.socket
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 101)
              http.service: start -> running
            > dies http.service SIGSEGV
              Warning: http.service: killed by SIGSEGV
              Error: http.service: failed: signal
              Info: http.service: restarting in 5s
              http.service: running -> auto-restart
            > connect http.socket
            > wait 5s
              at 5s
              job 3: start http.service
              run http.service ExecStart http.socket=http.socket:0
              http.service: auto-restart -> start
              job 3: done (http.service)
              Info: http.service: running (pid 102)
              http.service: start -> running
            > take http.service
        "#]],
    );
}
