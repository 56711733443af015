//! Restarts in which one generation of a server follows the other without a gap, whether it is alone or one of many.

use sockmgr_tests::load::{Load, Server};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

/// Connections per second.
const RATE: u32 = 500;

/// A server that takes its time to get ready, and finishes what it has accepted when it is told to stop.
const SLOW: &str =
    "[Service]\nType=notify\nExecStart={witness}\nEnvironment=WITNESS_GRACE=1 WITNESS_READY_MS=300\n";

/// A site with one server behind one listener.
fn one(service: &str) -> Site {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\n");
    site.unit("web.service", service);
    site
}

fn start(site: &Site) -> Manager<'_> {
    let manager = Setup::new(site).start();
    manager.up("web.socket");
    manager.up("web.service");
    manager
}

fn pid_of(manager: &Manager, property: &str) -> i32 {
    manager.property("web.service", property).parse().unwrap()
}

#[test]
fn a_server_that_is_alone_is_restarted_under_load_and_stays_active() {
    let site = one(SLOW);
    let manager = start(&site);
    let former = manager.main_process("web.service");
    let since = manager.property("web.service", "ActiveEnterTimestampMonotonic");
    let load = Load::start(Server::Tcp(site.address(80)), RATE);
    load.until_answered(100);
    manager.sockmgr(&["restart", "web.service"]).ok();
    load.until_answered(100);
    load.stop().nothing_lost();

    let next = manager.main_process("web.service");
    assert_ne!(former, next);
    assert_eq!(next.environment()["SOCKMGR_GENERATION"], "2");
    assert_eq!(manager.property("web.service", "Generation"), "2");
    assert_eq!(manager.property("web.service", "ActiveEnterTimestampMonotonic"), since, "it was never down");
    until("the former one has finished", || !former.is_alive() && pid_of(&manager, "OutgoingPID") == 0);
}

#[test]
fn a_bad_build_does_not_take_the_place_of_a_good_one() {
    let site = one("[Service]\nType=notify\nExecStart={dir}/server\n");
    let good = "#!/bin/sh\nexec {witness}\n";
    let server = site.file("server", good);
    std::fs::set_permissions(&server, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let manager = start(&site);
    let former = manager.main_process("web.service");
    std::fs::remove_file(&server).unwrap();
    let server = site.file("server", "#!/bin/sh\nexit 3\n");
    std::fs::set_permissions(&server, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let load = Load::start(Server::Tcp(site.address(80)), RATE);
    load.until_answered(50);
    assert_ne!(manager.sockmgr(&["restart", "web.service"]).code, 0);
    load.until_answered(50);
    load.stop().nothing_lost();
    assert_eq!(manager.main_process("web.service"), former);
    assert_eq!(manager.property("web.service", "ActiveState"), "active");
    manager.until_logged("its next generation did not get ready; the one that runs goes on");
}

#[test]
fn both_generations_outlive_the_manager() {
    let site = one(&format!("{SLOW}TimeoutStopSec=infinity\n").replace("READY_MS=300", "READY_MS=2000"));
    let manager = start(&site);
    let former = manager.main_process("web.service");
    manager.sockmgr(&["--no-block", "restart", "web.service"]).ok();
    until("the next one is on its way", || pid_of(&manager, "IncomingPID") != 0);
    let next = pid_of(&manager, "IncomingPID");
    let brain = manager.brain();
    brain.kill();
    until("another manager took over", || manager.brain() != brain);
    until("the next one serves", || manager.main_process("web.service").0 == next);
    until("the former one has finished", || !former.is_alive());
}

#[test]
fn instances_that_overlap_leave_no_gap_either() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\nInstances=2\n");
    site.unit("web@.service", &format!("{SLOW}RestartMode=overlap\n"));
    let manager = start(&site);
    let load = Load::start(Server::Tcp(site.address(80)), RATE);
    load.until_answered(100);
    manager.sockmgr(&["restart", "web.service"]).ok();
    load.until_answered(100);
    load.stop().nothing_lost();
    for unit in ["web@1.service", "web@2.service"] {
        assert_eq!(manager.property(unit, "Generation"), "2");
    }
}
