//! New unit files for a group: a few instances first, and back again when they are no good.

use sockmgr_tests::kernel::Process;
use sockmgr_tests::load::{Load, Server};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

/// Connections per second.
const RATE: u32 = 1000;
const INSTANCES: u32 = 3;

/// A server that finishes what it has accepted when it is told to stop.
const OLD: &str = "[Service]\nType=notify\nExecStart={witness}\nEnvironment=WITNESS_GRACE=1\n";
const NEW: &str =
    "[Service]\nType=notify\nExecStart={witness}\nEnvironment=WITNESS_GRACE=1 NEW=1\nRolloutGateSec=200ms\n";
const BROKEN: &str = "[Service]\nType=notify\nExecStart=/bin/false\n";

fn site() -> Site {
    let site = Site::new();
    site.unit("web.socket", &format!("[Socket]\nListenStream={{host}}:80\nInstances={INSTANCES}\n"));
    site.unit("web@.service", OLD);
    site
}

fn start(site: &Site) -> Manager<'_> {
    let manager = Setup::new(site).start();
    manager.up("web.socket");
    manager.up("web.service");
    until_running(&manager);
    manager
}

fn until_running(manager: &Manager) {
    for number in 1..=INSTANCES {
        manager.until_sub_state(&format!("web@{number}.service"), "running");
    }
}

fn processes(manager: &Manager) -> Vec<Process> {
    (1..=INSTANCES).map(|number| manager.main_process(&format!("web@{number}.service"))).collect()
}

#[test]
fn a_good_build_replaces_all_and_loses_nothing() {
    let site = site();
    let manager = start(&site);
    let before = processes(&manager);
    let load = Load::start(Server::Tcp(site.address(80)), RATE);
    load.until_answered(200);
    site.unit("web@.service", NEW);
    manager.sockmgr(&["rollout", "start", "web"]).ok();
    load.until_answered(200);
    load.stop().nothing_lost();
    let after = processes(&manager);
    assert!(before.iter().all(|process| !after.contains(process)), "{before:?} {after:?}");
    let status = manager.sockmgr(&["rollout", "status", "web", "--json"]).text();
    assert_eq!(status.matches("\"next\"").count(), INSTANCES as usize, "{status}");
}

#[test]
fn a_build_that_does_not_start_takes_nothing_out_and_says_why() {
    let site = site();
    let manager = start(&site);
    let before = processes(&manager);
    let load = Load::start(Server::Tcp(site.address(80)), RATE);
    load.until_answered(200);
    site.unit("web@.service", BROKEN);
    let ran = manager.sockmgr(&["rollout", "start", "web"]);
    assert_ne!(ran.code, 0, "{ran}");
    load.until_answered(200);
    load.stop().nothing_lost();
    assert_eq!(processes(&manager), before);
    let status = manager.sockmgr(&["rollout", "status", "web"]).text();
    assert!(status.contains("undone") && status.contains("web@1.service did not get ready"), "{status}");
}

#[test]
fn what_was_undone_stays_undone_when_the_manager_dies() {
    let site = site();
    let manager = start(&site);
    site.unit("web@.service", BROKEN);
    assert_ne!(manager.sockmgr(&["rollout", "start", "web"]).code, 0);
    let brain = manager.brain();
    brain.kill();
    until("there is another manager", || !brain.is_alive() && manager.brain() != brain);
    manager.sockmgr(&["restart", "web@2.service"]).ok();
    until_running(&manager);
}
