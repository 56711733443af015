//! The manager process may die at any moment: the keeper has the sockets and the services, and starts it again.

use sockmgr_tests::kernel::{Process, tcp_listeners};
use sockmgr_tests::load::{Load, Server};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

const WITNESS: &str = "[Service]\nType=notify\nExecStart={witness}\nRestart=on-failure\n";

/// Kills the manager process, and waits until its successor answers.
fn kill_brain(manager: &Manager) {
    let brain = manager.brain();
    brain.kill();
    until("there is another manager", || !brain.is_alive() && manager.brain() != brain);
    until("it answers", || manager.sockmgr(&["is-active", "web.socket"]).code == 0);
}

#[test]
fn the_death_of_the_manager_under_load_costs_nothing() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\nInstances=2\n");
    site.unit("web@.service", WITNESS);
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    let load = Load::start(Server::Tcp(site.address(80)), 500);
    load.until_answered(100);
    for unit in ["web@1.service", "web@2.service"] {
        manager.until_sub_state(unit, "running");
    }
    let services = [manager.main_process("web@1.service"), manager.main_process("web@2.service")];
    let listeners = tcp_listeners(site.address(80));
    for _ in 0..3 {
        kill_brain(&manager);
        load.until_answered(200);
    }
    load.stop().nothing_lost();
    assert_eq!([manager.main_process("web@1.service"), manager.main_process("web@2.service")], services);
    assert_eq!(tcp_listeners(site.address(80)), listeners);
    assert_eq!(manager.property("web@1.service", "NRestarts"), "0");
}

#[test]
fn what_happens_without_a_manager_is_caught_up_on() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\nInstances=2\n");
    site.unit("web@.service", WITNESS);
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    manager.up("web.service");
    for unit in ["web@1.service", "web@2.service"] {
        manager.until_sub_state(unit, "running");
    }
    let [first, second] = ["web@1.service", "web@2.service"].map(|unit| manager.main_process(unit));
    // Both at once: the successor hears of the service's death from the keeper.
    let brain = manager.brain();
    brain.kill();
    first.kill();
    until("the instance is replaced", || {
        let main = manager.sockmgr(&["show", "-P", "MainPID", "web@1.service"]);
        main.code == 0 && main.stdout.trim().parse::<i32>().is_ok_and(|pid| pid > 0 && pid != first.0)
    });
    assert_eq!(manager.main_process("web@2.service"), second);
}

#[test]
fn a_socket_that_waits_still_starts_its_service_afterwards() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:7\n");
    site.unit("web.service", "[Service]\nExecStart={echo}\n");
    site.unit("one.socket", "[Socket]\nListenStream={host}:8\nAccept=yes\n");
    site.unit("one@.service", "[Service]\nExecStart={echo}\n");
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    manager.up("one.socket");
    let mut inside = TcpStream::connect(site.address(8)).unwrap();
    until("it is accepted", || manager.property("one.socket", "NConnections") == "1");
    kill_brain(&manager);

    for port in [7, 8] {
        let mut stream = TcpStream::connect(site.address(port)).unwrap();
        stream.set_read_timeout(Some(sockmgr_tests::wait::PATIENCE)).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello", "port {port}");
    }
    // The connection of before is still served, and still counted until it ends.
    inside.write_all(b"still here").unwrap();
    let mut answer = [0; 10];
    inside.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"still here");
    until("one is left", || manager.property("one.socket", "NConnections") == "1");
    drop(inside);
    until("none is left", || manager.property("one.socket", "NConnections") == "0");
}

#[test]
fn a_manager_that_was_replaced_still_stops_everything() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={dir}/s\nRemoveOnStop=yes\n");
    site.unit("web.service", "[Service]\nType=exec\nExecStart=/bin/sleep 1000\n");
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    manager.up("web.service");
    let service: Process = manager.main_process("web.service");
    kill_brain(&manager);
    assert_eq!(manager.stop(), 0);
    assert!(!service.is_alive());
    assert!(!site.path("s").exists());
    assert!(!site.path("run/private").exists());
}
