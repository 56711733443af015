//! What must cost no client anything, under a load that counts every connection: small here, large in `contrib/bench`.

use sockmgr_tests::scene::{Scene, Stage};

/// A test for each scene.
macro_rules! scenes {
    ($($test:ident: $scene:literal,)*) => {$(
        #[test]
        fn $test() {
            Scene::called($scene).play(&Stage::default()).check();
        }
    )*};
}

scenes! {
    a_rolling_restart_each_second: "rolling-restart",
    a_restart_of_one_process: "overlap",
    as_many_instances_as_there_is_to_do: "scale",
    instances_that_get_nothing_new: "drain",
    traffic_that_is_held_back: "hold",
    a_group_that_stops_when_nobody_comes: "idle-stop",
    a_service_that_stops_whenever_nobody_comes: "idle-trickle",
    instances_that_are_killed: "kill",
    managers_that_are_killed: "manager",
    keep_alive_over_restarts: "keep-alive",
    processes_that_share_a_listener: "shared-tcp",
    a_unix_socket_behind_nginx: "unix-behind-nginx",
    datagrams_over_restarts: "udp",
    new_files_that_are_good: "rollout",
    new_files_that_are_bad: "bad-rollout",
    nothing_at_all: "quiet",
}

#[test]
fn a_minute_of_everything() {
    let stage = Stage { total: 60 * 500, ..Stage::default() };
    Scene::called("torture").play(&stage).check();
}
