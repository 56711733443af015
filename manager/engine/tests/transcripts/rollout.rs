//! Rollouts: good ones, bad canaries, crashes within the gate, pausing, undoing, and what happens meanwhile.

use expect_test::expect;

use crate::check;

/// Three instances; then other files for them, and others still that the disk has from then on.
const WEB: &str = "
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=3
-- web@.service
[Service]
Type=notify
ExecStart=/bin/old
== reload
-- web@.service
[Service]
Type=notify
ExecStartPre=/bin/check
ExecStart=/bin/new
RolloutBatch=2
RolloutGateSec=5s
== reload
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=3
-- web@.service
[Service]
Type=notify
ExecStartPre=/bin/check
ExecStart=/bin/newest
== reload
-- web.socket
[Socket]
ListenStream=127.0.0.1:80
Instances=3
-- web@.service
[Service]
Type=notify
ExecStartPre=/bin/check
ExecStart=/bin/newest
";

const UP: &str =
    "start web.socket; connect web.socket; ready web@1.service; ready web@2.service; ready web@3.service |";

#[test]
fn a_good_build_goes_to_the_canary_and_then_in_batches() {
    check(
        WEB,
        &format!(
            "{UP} rollout web.service; ready web@1@other.service; wait 5s; ready web@2@other.service; ready web@3@other.service; wait 5s"
        ),
        expect![[r#"
        > rollout web.service
          Info: web.service: rollout: begins
          job 6: restart web@1.service
          Info: web@1.service: rollout: gets the new unit files
          Info: web@1.service: starting its next generation beside it
          run web@1@other.service ExecStartPre $INSTANCE=1 $INSTANCES=3
          run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
        > ready web@1@other.service
          Info: web@1.service: running (pid 105)
          Info: web@1.service: generation 2 serves now (pid 105)
          job 6: done (web@1.service)
          SIGTERM to web@1.service ExecStart (Session)
        > wait 5s
          at 5s
          job 7: restart web@2.service
          Info: web@2.service: rollout: gets the new unit files
          job 8: restart web@3.service
          Info: web@3.service: rollout: gets the new unit files
          Info: web@2.service: starting its next generation beside it
          run web@2@other.service ExecStartPre $INSTANCE=2 $INSTANCES=3
          Info: web@3.service: starting its next generation beside it
          run web@3@other.service ExecStartPre $INSTANCE=3 $INSTANCES=3
          run web@2@other.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
          run web@3@other.service ExecStart web.socket=web.socket:0@2 $INSTANCE=3 $INSTANCES=3
        > ready web@2@other.service
          Info: web@2.service: running (pid 108)
          Info: web@2.service: generation 2 serves now (pid 108)
          job 7: done (web@2.service)
          SIGTERM to web@2.service ExecStart (Session)
        > ready web@3@other.service
          Info: web@3.service: running (pid 109)
          Info: web@3.service: generation 2 serves now (pid 109)
          job 8: done (web@3.service)
          SIGTERM to web@3.service ExecStart (Session)
        > wait 5s
          at 10s
          Info: web.service: rollout: done
    "#]],
    );
}

#[test]
fn a_canary_that_does_not_get_ready_takes_nothing_out() {
    check(
        WEB,
        &format!("{UP} rollout web.service; exit web@1@other.service 1; wait 1s"),
        expect![[r#"
        > rollout web.service
          Info: web.service: rollout: begins
          job 6: restart web@1.service
          Info: web@1.service: rollout: gets the new unit files
          Info: web@1.service: starting its next generation beside it
          run web@1@other.service ExecStartPre $INSTANCE=1 $INSTANCES=3
          run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
        > exit web@1@other.service 1
          Warning: web@1.service: exited with status 1
          Warning: web@1.service: generation 2 ended: exit-code
          job 6: failed (web@1.service)
          Error: web@1.service: its next generation did not get ready; the one that runs goes on
          Error: web.service: rollout: web@1.service did not get ready; it is undone
          Info: web.service: rollout: undoing
          Info: web.service: rollout: undone
        > wait 1s
    "#]],
    );
}

#[test]
fn a_canary_that_crashes_within_the_gate_is_undone() {
    check(
        WEB,
        &format!(
            "{UP} rollout web.service; ready web@1@other.service; wait 1s; exit web@1@other.service 1; wait 1s; ready web@1.service"
        ),
        expect![[r#"
            > rollout web.service
              Info: web.service: rollout: begins
              job 6: restart web@1.service
              Info: web@1.service: rollout: gets the new unit files
              Info: web@1.service: starting its next generation beside it
              run web@1@other.service ExecStartPre $INSTANCE=1 $INSTANCES=3
              run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
            > ready web@1@other.service
              Info: web@1.service: running (pid 105)
              Info: web@1.service: generation 2 serves now (pid 105)
              job 6: done (web@1.service)
              SIGTERM to web@1.service ExecStart (Session)
            > wait 1s
            > exit web@1@other.service 1
              steer web.socket to [1, 2]
              migrate web.socket:0@0
              Warning: web@1.service: exited with status 1
              Error: web@1.service: failed: exit-code
              Info: web@1.service: restarting at once
              Error: web.service: rollout: web@1.service failed: exit-code; it is undone
              Info: web.service: rollout: undoing
              watch web.socket:0@0
              Info: web@1.service: rollout: returns to the former unit files
              job 7: restart web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
              web.service: running -> degraded
              web@1.service: running -> start
              unwatch web.socket:0@0
            > wait 1s
            > ready web@1.service
              job 7: done (web@1.service)
              Info: web@1.service: running (pid 106)
              steer web.socket to [0, 1, 2]
              Info: web.service: rollout: undone
              web.service: degraded -> running
              web@1.service: start -> running
        "#]],
    );
}

#[test]
fn with_rollout_undo_no_a_bad_canary_stays_until_somebody_decides() {
    let units = WEB.replace("RolloutGateSec=5s\n", "RolloutGateSec=5s\nRolloutUndo=no\n");
    let canary = "rollout web.service; ready web@1@other.service; exit web@1@other.service 1; wait 200ms; ready web@1.service; wait 1h";
    let decision = "undo-rollout web.service; ready web@1@other.service; wait 1h";
    check(
        &units,
        &format!("{UP} {canary}; {decision}"),
        expect![[r#"
        > rollout web.service
          Info: web.service: rollout: begins
          job 6: restart web@1.service
          Info: web@1.service: rollout: gets the new unit files
          Info: web@1.service: starting its next generation beside it
          run web@1@other.service ExecStartPre $INSTANCE=1 $INSTANCES=3
          run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
        > ready web@1@other.service
          Info: web@1.service: running (pid 105)
          Info: web@1.service: generation 2 serves now (pid 105)
          job 6: done (web@1.service)
          SIGTERM to web@1.service ExecStart (Session)
        > exit web@1@other.service 1
          steer web.socket to [1, 2]
          migrate web.socket:0@0
          Warning: web@1.service: exited with status 1
          Error: web@1.service: failed: exit-code
          Info: web@1.service: restarting in 100ms
          Error: web.service: rollout: web@1.service failed: exit-code; it stops here
          Info: web.service: rollout: stopped
          watch web.socket:0@0
          web.service: running -> degraded
          web@1.service: running -> auto-restart
          unwatch web.socket:0@0
        > wait 200ms
          at 100ms
          job 7: start web@1.service
          run web@1.service ExecStartPre $INSTANCE=1 $INSTANCES=3
          web@1.service: auto-restart -> start-pre
          run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
          web@1.service: start-pre -> start
        > ready web@1.service
          job 7: done (web@1.service)
          Info: web@1.service: running (pid 107)
          steer web.socket to [0, 1, 2]
          web.service: degraded -> running
          web@1.service: start -> running
        > wait 1h
        > undo-rollout web.service
          Info: web.service: rollout: undoing
          Info: web@1.service: rollout: returns to the former unit files
          job 8: restart web@1.service
          Info: web@1.service: starting its next generation beside it
          run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
        > ready web@1@other.service
          Info: web@1.service: running (pid 108)
          Info: web@1.service: generation 4 serves now (pid 108)
          job 8: done (web@1.service)
          SIGTERM to web@1.service ExecStart (Session)
          Info: web.service: rollout: undone
        > wait 1h
    "#]],
    );
}

#[test]
fn paused_it_begins_nothing_and_resumed_it_has_a_new_gate() {
    check(
        WEB,
        &format!(
            "{UP} rollout web.service; pause-rollout web.service; ready web@1@other.service; wait 10s; resume-rollout web.service; wait 5s"
        ),
        expect![[r#"
        > rollout web.service
          Info: web.service: rollout: begins
          job 6: restart web@1.service
          Info: web@1.service: rollout: gets the new unit files
          Info: web@1.service: starting its next generation beside it
          run web@1@other.service ExecStartPre $INSTANCE=1 $INSTANCES=3
          run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
        > pause-rollout web.service
          Info: web.service: rollout: paused
        > ready web@1@other.service
          Info: web@1.service: running (pid 105)
          Info: web@1.service: generation 2 serves now (pid 105)
          job 6: done (web@1.service)
          SIGTERM to web@1.service ExecStart (Session)
        > wait 10s
        > resume-rollout web.service
          Info: web.service: rollout: rolling
        > wait 5s
          at 15s
          job 7: restart web@2.service
          Info: web@2.service: rollout: gets the new unit files
          job 8: restart web@3.service
          Info: web@3.service: rollout: gets the new unit files
          Info: web@2.service: starting its next generation beside it
          run web@2@other.service ExecStartPre $INSTANCE=2 $INSTANCES=3
          Info: web@3.service: starting its next generation beside it
          run web@3@other.service ExecStartPre $INSTANCE=3 $INSTANCES=3
          run web@2@other.service ExecStart web.socket=web.socket:0@1 $INSTANCE=2 $INSTANCES=3
          run web@3@other.service ExecStart web.socket=web.socket:0@2 $INSTANCE=3 $INSTANCES=3
    "#]],
    );
}

#[test]
fn undo_brings_back_what_has_moved() {
    check(
        WEB,
        &format!(
            "{UP} rollout web.service; ready web@1@other.service; undo-rollout web.service; ready web@1@other.service; undo-rollout web.service"
        ),
        expect![[r#"
        > rollout web.service
          Info: web.service: rollout: begins
          job 6: restart web@1.service
          Info: web@1.service: rollout: gets the new unit files
          Info: web@1.service: starting its next generation beside it
          run web@1@other.service ExecStartPre $INSTANCE=1 $INSTANCES=3
          run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
        > ready web@1@other.service
          Info: web@1.service: running (pid 105)
          Info: web@1.service: generation 2 serves now (pid 105)
          job 6: done (web@1.service)
          SIGTERM to web@1.service ExecStart (Session)
        > undo-rollout web.service
          Info: web.service: rollout: undoing
          Info: web@1.service: rollout: returns to the former unit files
          job 7: restart web@1.service
          Info: web@1.service: starting its next generation beside it
          run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
        > ready web@1@other.service
          Info: web@1.service: running (pid 106)
          Info: web@1.service: generation 3 serves now (pid 106)
          job 7: done (web@1.service)
          SIGTERM to web@1@other.service ExecStart (Session)
          Info: web.service: rollout: undone
        > undo-rollout web.service
          refused: Unit web.service has no rollout for which that could be done.
    "#]],
    );
}

#[test]
fn a_reload_meanwhile_and_the_death_of_the_manager_change_nothing() {
    check(
        WEB,
        &format!(
            "{UP} rollout web.service; ready web@1@other.service; daemon-reload; manager-dies; manager-returns; wait 1s; exit web@1@other.service 1; wait 1s; ready web@1.service; wait 9s"
        ),
        expect![[r#"
            > rollout web.service
              Info: web.service: rollout: begins
              job 6: restart web@1.service
              Info: web@1.service: rollout: gets the new unit files
              Info: web@1.service: starting its next generation beside it
              run web@1@other.service ExecStartPre $INSTANCE=1 $INSTANCES=3
              run web@1@other.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
            > ready web@1@other.service
              Info: web@1.service: running (pid 105)
              Info: web@1.service: generation 2 serves now (pid 105)
              job 6: done (web@1.service)
              SIGTERM to web@1.service ExecStart (Session)
            > daemon-reload
            > manager-dies
            > manager-returns
              steer web.socket to [0, 1, 2]
            > wait 1s
            > exit web@1@other.service 1
              steer web.socket to [1, 2]
              migrate web.socket:0@0
              Warning: web@1.service: exited with status 1
              Error: web@1.service: failed: exit-code
              Info: web@1.service: restarting at once
              Error: web.service: rollout: web@1.service failed: exit-code; it is undone
              Info: web.service: rollout: undoing
              watch web.socket:0@0
              Info: web@1.service: rollout: returns to the former unit files
              job 1: restart web@1.service
              run web@1.service ExecStart web.socket=web.socket:0@0 $INSTANCE=1 $INSTANCES=3
              web.service: running -> degraded
              web@1.service: running -> start
              unwatch web.socket:0@0
            > wait 1s
            > ready web@1.service
              job 1: done (web@1.service)
              Info: web@1.service: running (pid 106)
              steer web.socket to [0, 1, 2]
              Info: web.service: rollout: undone
              web.service: degraded -> running
              web@1.service: start -> running
            > wait 9s
        "#]],
    );
}
