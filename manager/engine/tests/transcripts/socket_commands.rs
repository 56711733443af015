//! The commands of a socket: what runs when, what their ends mean, and how they are ended.

use expect_test::expect;

use crate::check;

const COMMANDS: &str = "
-- http.socket
[Socket]
ListenStream=127.0.0.1:8080
SocketUser=www
ExecStartPre=/bin/one
ExecStartPre=-/bin/two
ExecStartPost=/bin/post
ExecStopPre=/bin/stop
ExecStopPost=/bin/cleanup
TimeoutSec=5s
PassFileDescriptorsToExec=yes
-- http.service
[Service]
ExecStart=/bin/http
";

#[test]
fn all_commands_run_in_their_order() {
    check(
        COMMANDS,
        "start http.socket; stop http.socket",
        expect![[r#"
        > start http.socket
          job 1: start http.socket
          run http.socket ExecStartPre
          http.socket: dead -> start-pre
          run http.socket ExecStartPre[1]
          open http.socket:0
          http.socket: start-pre -> start-open
          run http.socket chown
          http.socket: start-open -> start-chown
          run http.socket ExecStartPost http.socket=http.socket:0
          http.socket: start-chown -> start-post
          Info: http.socket: listening on 127.0.0.1:8080
          job 1: done (http.socket)
          watch http.socket:0
          http.socket: start-post -> listening
        > stop http.socket
          job 2: stop http.socket
          unwatch http.socket:0
          run http.socket ExecStopPre http.socket=http.socket:0
          http.socket: listening -> stop-pre
          run http.socket ExecStopPost http.socket=http.socket:0
          close http.socket:0
          http.socket: stop-pre -> stop-post
          job 2: done (http.socket)
          Info: http.socket: closed
          http.socket: stop-post -> dead
    "#]],
    );
}

#[test]
fn a_failure_with_the_prefix_is_none() {
    let units = COMMANDS.replace("ExecStartPre=/bin/one\n", "").replace("SocketUser=www\n", "");
    check(
        &units,
        "plan http.socket ExecStartPre exits-1; start http.socket",
        expect![[r#"
        > plan http.socket ExecStartPre exits-1
        > start http.socket
          job 1: start http.socket
          run http.socket ExecStartPre
          http.socket: dead -> start-pre
          open http.socket:0
          http.socket: start-pre -> start-open
          run http.socket ExecStartPost http.socket=http.socket:0
          http.socket: start-open -> start-post
          Info: http.socket: listening on 127.0.0.1:8080
          job 1: done (http.socket)
          watch http.socket:0
          http.socket: start-post -> listening
    "#]],
    );
}

#[test]
fn a_failing_start_pre_ends_the_start_before_anything_is_open() {
    check(
        COMMANDS,
        "plan http.socket ExecStartPre exits-3; start http.socket",
        expect![[r#"
        > plan http.socket ExecStartPre exits-3
        > start http.socket
          job 1: start http.socket
          run http.socket ExecStartPre
          http.socket: dead -> start-pre
          Warning: http.socket: start-pre: its command exited with status 3
          job 1: failed (http.socket)
          Error: http.socket: failed: exit-code
          http.socket: start-pre -> failed
    "#]],
    );
}

#[test]
fn a_failing_start_post_takes_the_listeners_down() {
    check(
        COMMANDS,
        "plan http.socket ExecStartPost exits-3; start http.socket",
        expect![[r#"
        > plan http.socket ExecStartPost exits-3
        > start http.socket
          job 1: start http.socket
          run http.socket ExecStartPre
          http.socket: dead -> start-pre
          run http.socket ExecStartPre[1]
          open http.socket:0
          http.socket: start-pre -> start-open
          run http.socket chown
          http.socket: start-open -> start-chown
          run http.socket ExecStartPost http.socket=http.socket:0
          http.socket: start-chown -> start-post
          Warning: http.socket: start-post: its command exited with status 3
          run http.socket ExecStopPre http.socket=http.socket:0
          http.socket: start-post -> stop-pre
          run http.socket ExecStopPost http.socket=http.socket:0
          close http.socket:0
          http.socket: stop-pre -> stop-post
          job 1: failed (http.socket)
          Error: http.socket: failed: exit-code
          http.socket: stop-post -> failed
    "#]],
    );
}

#[test]
fn an_owner_that_is_not_there_fails_the_socket() {
    check(
        COMMANDS,
        "plan http.socket chown exits-217; start http.socket",
        expect![[r#"
        > plan http.socket chown exits-217
        > start http.socket
          job 1: start http.socket
          run http.socket ExecStartPre
          http.socket: dead -> start-pre
          run http.socket ExecStartPre[1]
          open http.socket:0
          http.socket: start-pre -> start-open
          run http.socket chown
          http.socket: start-open -> start-chown
          Warning: http.socket: start-chown: its command exited with status 217
          run http.socket ExecStopPre http.socket=http.socket:0
          http.socket: start-chown -> stop-pre
          run http.socket ExecStopPost http.socket=http.socket:0
          close http.socket:0
          http.socket: stop-pre -> stop-post
          job 1: failed (http.socket)
          Error: http.socket: failed: exit-code
          http.socket: stop-post -> failed
    "#]],
    );
}

#[test]
fn a_command_that_cannot_be_started() {
    check(
        COMMANDS,
        "plan http.socket ExecStartPre cannot-exec; start http.socket; plan http.socket ExecStartPre cannot-fork; start http.socket",
        expect![[r#"
            > plan http.socket ExecStartPre cannot-exec
            > start http.socket
              job 1: start http.socket
              run http.socket ExecStartPre
              http.socket: dead -> start-pre
              Error: http.socket: no such file
              job 1: failed (http.socket)
              Error: http.socket: failed: exit-code
              http.socket: start-pre -> failed
            > plan http.socket ExecStartPre cannot-fork
            > start http.socket
              job 2: start http.socket
              run http.socket ExecStartPre
              http.socket: failed -> start-pre
              Error: http.socket: no such file
              job 2: failed (http.socket)
              Error: http.socket: failed: resources
              http.socket: start-pre -> failed
        "#]],
    );
}

#[test]
fn a_start_pre_that_takes_too_long_is_ended() {
    check(
        COMMANDS,
        "plan http.socket ExecStartPre ignores-signals; start http.socket | wait 6s; wait 6s",
        expect![[r#"
            > wait 6s
              at 5s
              Warning: http.socket: start-pre timed out
              SIGTERM to http.socket ExecStartPre (Session)
              http.socket: start-pre -> final-sigterm
            > wait 6s
              at 10s
              Warning: http.socket: final-sigterm timed out
              SIGKILL to http.socket ExecStartPre (Session)
              http.socket: final-sigterm -> final-sigkill
              Warning: http.socket: start-pre: its command was killed by signal 9
              job 1: failed (http.socket)
              Error: http.socket: failed: timeout
              http.socket: final-sigkill -> failed
        "#]],
    );
}

#[test]
fn a_start_post_that_takes_too_long_is_ended_and_the_commands_of_the_stop_run() {
    check(
        COMMANDS,
        "plan http.socket ExecStartPost lingers; start http.socket | wait 6s",
        expect![[r#"
        > wait 6s
          at 5s
          Warning: http.socket: start-post timed out
          SIGKILL to http.socket ExecStartPost (Session)
          run http.socket ExecStopPre http.socket=http.socket:0
          http.socket: start-post -> stop-pre
          run http.socket ExecStopPost http.socket=http.socket:0
          close http.socket:0
          http.socket: stop-pre -> stop-post
          job 1: failed (http.socket)
          Error: http.socket: failed: timeout
          http.socket: stop-post -> failed
    "#]],
    );
}

#[test]
fn a_stop_pre_that_takes_too_long_is_signalled_then_killed() {
    check(
        COMMANDS,
        "plan http.socket ExecStopPre ignores-signals; start http.socket; stop http.socket | wait 6s; wait 6s",
        expect![[r#"
            > wait 6s
              at 5s
              Warning: http.socket: stop-pre timed out
              SIGTERM to http.socket ExecStopPre (Session)
              http.socket: stop-pre -> stop-pre-sigterm
            > wait 6s
              at 10s
              Warning: http.socket: stop-pre-sigterm timed out
              SIGKILL to http.socket ExecStopPre (Session)
              http.socket: stop-pre-sigterm -> stop-pre-sigkill
              Warning: http.socket: stop-pre: its command was killed by signal 9
              run http.socket ExecStopPost http.socket=http.socket:0
              close http.socket:0
              http.socket: stop-pre-sigkill -> stop-post
              job 2: done (http.socket)
              Error: http.socket: failed: timeout
              http.socket: stop-post -> failed
        "#]],
    );
}

#[test]
fn a_stop_post_that_cannot_be_killed_is_given_up() {
    check(
        COMMANDS,
        "plan http.socket ExecStopPost unkillable; start http.socket; stop http.socket | wait 6s; wait 6s; wait 6s",
        expect![[r#"
            > wait 6s
              at 5s
              Warning: http.socket: stop-post timed out
              SIGTERM to http.socket ExecStopPost (Session)
              http.socket: stop-post -> final-sigterm
            > wait 6s
              at 10s
              Warning: http.socket: final-sigterm timed out
              SIGKILL to http.socket ExecStopPost (Session)
              http.socket: final-sigterm -> final-sigkill
            > wait 6s
              at 15s
              Warning: http.socket: final-sigkill timed out
              SIGKILL to http.socket ExecStopPost (Session)
              job 2: done (http.socket)
              Error: http.socket: failed: timeout
              http.socket: final-sigkill -> failed
        "#]],
    );
}

#[test]
fn a_stop_during_the_start_ends_its_command() {
    check(
        COMMANDS,
        "plan http.socket ExecStartPost lingers; start http.socket | stop http.socket",
        expect![[r#"
            > stop http.socket
              job 1: canceled (http.socket)
              job 2: stop http.socket
              SIGTERM to http.socket ExecStartPost (Session)
              http.socket: start-post -> stop-pre-sigterm
              Warning: http.socket: start-post: its command was killed by signal 15
              run http.socket ExecStopPost http.socket=http.socket:0
              close http.socket:0
              http.socket: stop-pre-sigterm -> stop-post
              job 2: done (http.socket)
              Error: http.socket: failed: signal
              http.socket: stop-post -> failed
        "#]],
    );
}

#[test]
fn a_start_during_the_stop_waits_for_its_end() {
    check(
        COMMANDS,
        "plan http.socket ExecStopPost lingers; start http.socket; stop http.socket | start http.socket; exit http.socket/control",
        expect![[r#"
            > start http.socket
              job 2: canceled (http.socket)
              job 3: start http.socket
            > exit http.socket/control
              Info: http.socket: closed
              run http.socket ExecStartPre
              http.socket: stop-post -> start-pre
              run http.socket ExecStartPre[1]
              open http.socket:0
              http.socket: start-pre -> start-open
              run http.socket chown
              http.socket: start-open -> start-chown
              run http.socket ExecStartPost http.socket=http.socket:0
              http.socket: start-chown -> start-post
              Info: http.socket: listening on 127.0.0.1:8080
              job 3: done (http.socket)
              watch http.socket:0
              http.socket: start-post -> listening
        "#]],
    );
}

#[test]
fn traffic_counts_only_once_it_listens() {
    check(
        COMMANDS,
        "plan http.socket ExecStartPost lingers; start http.socket; connect http.socket:0 | exit http.socket/control",
        expect![[r#"
            > exit http.socket/control
              Info: http.socket: listening on 127.0.0.1:8080
              job 1: done (http.socket)
              watch http.socket:0
              http.socket: start-post -> listening
              job 2: start http.service
              unwatch http.socket:0
              run http.service ExecStart http.socket=http.socket:0
              http.service: dead -> start
              http.socket: listening -> running
              job 2: done (http.service)
              Info: http.service: running (pid 105)
              http.service: start -> running
        "#]],
    );
}

#[test]
fn a_signal_for_the_control_process() {
    check(
        COMMANDS,
        "plan http.socket ExecStartPost lingers; start http.socket | kill http.socket control SIGKILL",
        expect![[r#"
            > kill http.socket control SIGKILL
              SIGKILL to http.socket ExecStartPost (Process)
              Warning: http.socket: start-post: its command was killed by signal 9
              run http.socket ExecStopPre http.socket=http.socket:0
              http.socket: start-post -> stop-pre
              run http.socket ExecStopPost http.socket=http.socket:0
              close http.socket:0
              http.socket: stop-pre -> stop-post
              job 1: failed (http.socket)
              Error: http.socket: failed: signal
              http.socket: stop-post -> failed
        "#]],
    );
}

#[test]
fn a_manager_that_dies_during_a_command_is_no_matter() {
    let twice = format!("{COMMANDS}== reload\n{COMMANDS}");
    check(
        &twice,
        "plan http.socket ExecStartPost lingers; start http.socket; manager-dies | manager-returns; exit http.socket/control",
        expect![[r#"
            > manager-returns
              job 1: start http.socket
            > exit http.socket/control
              Info: http.socket: listening on 127.0.0.1:8080
              job 1: done (http.socket)
              watch http.socket:0
              http.socket: start-post -> listening
        "#]],
    );
}

#[test]
fn a_command_that_ends_while_no_manager_looks() {
    let twice = format!("{COMMANDS}== reload\n{COMMANDS}");
    check(
        &twice,
        "plan http.socket ExecStartPost lingers; start http.socket; manager-dies; exit http.socket/control 1 | manager-returns",
        expect![[r#"
            > manager-returns
              job 1: start http.socket
              Warning: http.socket: start-post: its command exited with status 1
              run http.socket ExecStopPre http.socket=http.socket:0
              http.socket: start-post -> stop-pre
              run http.socket ExecStopPost http.socket=http.socket:0
              close http.socket:0
              http.socket: stop-pre -> stop-post
              job 1: failed (http.socket)
              Error: http.socket: failed: exit-code
              http.socket: stop-post -> failed
        "#]],
    );
}
