//! Limits of the kernel that make queues shorter than a unit asks for: a warning says which, and what to set.

use sockmgr_tests::manager::Setup;
use sockmgr_tests::namespace::{Namespace, beside, is_root};
use sockmgr_tests::site::Site;

const ECHO: &str = "[Service]\nType=notify\nExecStart={witness}\n";

#[test]
fn a_short_queue_is_warned_of_with_the_limit_to_raise() {
    let site = Site::new();
    for (name, port, backlog) in
        [("long", 80, "Backlog=512"), ("short", 81, "Backlog=16"), ("default", 82, "")]
    {
        site.unit(&format!("{name}.socket"), &format!("[Socket]\nListenStream={{host}}:{port}\n{backlog}\n"));
        site.unit(&format!("{name}.service"), ECHO);
    }
    let manager = Setup::new(&site).within(Namespace::Network).start();
    let lower = "echo 32 > /proc/sys/net/core/somaxconn";
    assert!(beside(manager.keeper(), "sh").args(["-c", lower]).status().unwrap().success());
    manager.sockmgr(&["start", "long.socket", "short.socket", "default.socket"]).ok();
    manager.until_logged("only 32 connections can wait, not 512");
    manager.until_logged("set net.core.somaxconn=512");
    manager.until_logged("set net.core.somaxconn=4096");
    let log = site.read("log");
    let of_short = log.lines().any(|line| line.contains("short.socket") && line.contains("somaxconn"));
    assert!(!of_short, "it has what it asks for: {log}");
}

#[test]
fn small_buffers_are_warned_of_with_the_limit_to_raise() {
    let site = Site::new();
    site.unit("large.socket", "[Socket]\nListenDatagram={host}:5301\nInstances=2\nReceiveBuffer=512M\n");
    site.unit("default.socket", "[Socket]\nListenDatagram={host}:5302\nInstances=2\n");
    site.unit("lone.socket", "[Socket]\nListenDatagram={host}:5303\n");
    for service in ["large@.service", "default@.service", "lone.service"] {
        site.unit(service, ECHO);
    }
    let mut setup = Setup::new(&site);
    if is_root() {
        site.give_away("run");
        setup = setup.within(Namespace::Nobody);
    }
    let manager = setup.start();
    manager.sockmgr(&["start", "large.socket", "default.socket", "lone.socket"]).ok();
    manager.until_logged("bytes, not 536870912: the kernel allows no more; set net.core.rmem_max=536870912");
    manager.until_logged("bytes of datagrams can wait");
    let log = site.read("log");
    let count = |of: &str| log.lines().filter(|line| line.contains(of) && line.contains("warning")).count();
    assert_eq!([count("large.socket"), count("default.socket"), count("lone.socket")], [1, 1, 0], "{log}");
}
