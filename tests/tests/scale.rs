//! The slots of a group: more and fewer instances under load, slots that rest, sockets that are held.

use std::io::Read;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sockmgr_tests::command::tool;
use sockmgr_tests::kernel::tcp_listeners;
use sockmgr_tests::load::{End, Load, Server};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

/// Connections per second.
const RATE: u32 = 1500;

/// A server that finishes what it has accepted when it is told to stop.
const GRACEFUL: &str = "[Service]\nType=notify\nExecStart={witness}\nEnvironment=WITNESS_GRACE=1\n";

/// `web.socket` with `more` and `web@.service`.
fn group(more: &str, service: &str) -> Site {
    let site = Site::new();
    site.unit("web.socket", &format!("[Socket]\nListenStream={{host}}:80\n{more}"));
    site.unit("web@.service", service);
    site
}

fn start<'a>(site: &'a Site) -> Manager<'a> {
    start_with(site, "auto")
}

/// With this make of steering.
fn start_with<'a>(site: &'a Site, make: &str) -> Manager<'a> {
    let config = site.file("sockmgr.toml", &format!("[Manager]\nSteeringMake = \"{make}\"\n"));
    let manager = Setup::new(site).argument("--config").argument(config.to_str().unwrap()).start();
    manager.up("web.socket");
    manager.up("web.service");
    manager
}

/// Kills the manager process, and waits for its successor.
fn kill_brain(manager: &Manager) {
    let brain = manager.brain();
    brain.kill();
    until("there is another manager", || !brain.is_alive() && manager.brain() != brain);
    until("it answers", || manager.sockmgr(&["is-active", "web.socket"]).code == 0);
}

/// The instances that get new connections, as the table says.
fn in_rotation(manager: &Manager) -> Vec<String> {
    let table = manager.sockmgr(&["instances", "--no-legend", "web"]).text();
    let words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|words| words.last() == Some(&"in")).map(|words| words[0].to_owned()).collect()
}

/// Which instance answers the next connection.
fn who(site: &Site) -> String {
    match Server::Tcp(site.address(80)).ask() {
        End::Answered(who) => who,
        other => panic!("not answered: {other:?}"),
    }
}

#[test]
fn scaling_up_and_down_under_load_loses_nothing() {
    let site = group("Instances=1\nMaxInstances=8\n", GRACEFUL);
    let manager = start(&site);
    let listeners = tcp_listeners(site.address(80));
    assert_eq!(listeners.len(), 8);
    let load = Load::start(Server::Tcp(site.address(80)), RATE);
    load.until_answered(200);
    for size in ["8", "1", "5", "2"] {
        manager.sockmgr(&["scale", "web.socket", size]).ok();
        load.until_answered(300);
        until("as many are in rotation", || in_rotation(&manager).len().to_string() == size);
    }
    load.stop().nothing_lost();
    until("parked slots are empty", || {
        manager.sockmgr(&["list-units", "--all", "--plain", "--no-legend", "web@*"]).text().lines().count()
            == 2
    });
    assert_eq!(tcp_listeners(site.address(80)), listeners, "no listener was closed");
}

/// The size of the group.
fn size(manager: &Manager) -> u32 {
    manager.property("web.service", "Instances").parse().unwrap()
}

#[test]
fn a_group_grows_while_many_wait_and_shrinks_to_nothing_when_nobody_does() {
    let scale = "Instances=1\nMaxInstances=4\nMinInstances=0\nScaleOn=queue\nScaleUpQueue=2\nScaleUpSec=100ms\nScaleDownSec=300ms\n";
    let slow = format!(
        "[Unit]\nStartLimitIntervalSec=0\n{GRACEFUL}Environment=WITNESS_ONE_BY_ONE=1 WITNESS_ANSWER_MS=20\n"
    );
    let site = group(scale, &slow);
    let manager = start(&site);
    // Twice as many as one can serve.
    let load = Load::start(Server::Tcp(site.address(80)), 100);
    until("it has grown", || size(&manager) > 1);
    until("all are served", || in_rotation(&manager).len() > 1);
    load.until_answered(200);
    load.stop().nothing_lost();
    until("it has stopped", || manager.property("web.service", "ActiveState") == "inactive");
    assert_eq!(size(&manager), 1);
    let load = Load::start(Server::Tcp(site.address(80)), 20);
    load.until_answered(20);
    load.stop().nothing_lost();
}

#[test]
fn a_group_of_unix_sockets_grows_too() {
    let site = Site::new();
    let scale = "Instances=1\nMaxInstances=2\nScaleOn=queue\nScaleUpQueue=1\nScaleUpSec=50ms\n";
    site.unit("web.socket", &format!("[Socket]\nListenStream={{dir}}/web.sock\n{scale}"));
    site.unit("web@.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    let manager = start(&site);
    let clients: Vec<_> = (0..2).map(|_| UnixStream::connect(site.path("web.sock")).unwrap()).collect();
    until("it has grown", || size(&manager) == 2);
    drop(clients);
}

#[test]
fn a_size_outlives_the_manager_and_a_reload_but_not_the_socket() {
    let site = group("Instances=2\nMaxInstances=4\n", GRACEFUL);
    let manager = start(&site);
    manager.sockmgr(&["scale", "web", "3"]).ok();
    manager.sockmgr(&["daemon-reload"]).ok();
    assert_eq!(manager.property("web.service", "Instances"), "3");
    kill_brain(&manager);
    assert_eq!(manager.property("web.service", "Instances"), "3");
    assert_eq!(in_rotation(&manager).len(), 3);
    manager.sockmgr(&["scale", "web", "--reset"]).ok();
    assert_eq!(in_rotation(&manager), ["web@1.service", "web@2.service"]);
    manager.sockmgr(&["scale", "web", "4"]).ok();
    manager.sockmgr(&["stop", "web.socket", "web.service"]).ok();
    manager.up("web.socket");
    assert_eq!(manager.property("web.service", "Instances"), "2");
}

#[test]
fn numbers_out_of_bounds_and_units_without_a_group_are_refused() {
    let site = group("Instances=2\nMaxInstances=4\nMinInstances=2\n", GRACEFUL);
    site.unit("lone.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    let manager = start(&site);
    for (words, code, said) in [
        (["scale", "web", "5"], 1, "2 to 4 instances"),
        (["scale", "web", "1"], 1, "2 to 4 instances"),
        (["scale", "lone", "2"], 3, "is not a group"),
    ] {
        let _ = manager.sockmgr(&words).code(code).says(&[said]);
    }
}

#[test]
fn a_drained_instance_gets_nobody_and_keeps_running() {
    let site = group("Instances=2\n", GRACEFUL);
    let manager = start(&site);
    let before = manager.main_process("web@1.service");
    manager.sockmgr(&["drain", "web@1"]).ok();
    kill_brain(&manager);
    assert_eq!(in_rotation(&manager), ["web@2.service"]);
    for _ in 0..40 {
        assert!(who(&site).starts_with("web@2.service "));
    }
    assert_eq!(manager.main_process("web@1.service"), before);
    let _ = manager.sockmgr(&["drain", "web@2"]).code(1).says(&["hold its socket"]);
    manager.sockmgr(&["undrain", "web@1"]).ok();
    until("it gets its share again", || who(&site).starts_with("web@1.service "));
}

#[test]
fn a_held_socket_keeps_its_clients_waiting_and_loses_none() {
    for service in ["web@.service", "web.service"] {
        let site = Site::new();
        let instances = if service == "web.service" { "" } else { "Instances=2\n" };
        site.unit("web.socket", &format!("[Socket]\nListenStream={{host}}:80\n{instances}"));
        site.unit(service, GRACEFUL);
        let manager = start(&site);
        let load = Load::start(Server::Tcp(site.address(80)), 200);
        load.until_answered(100);
        manager.sockmgr(&["hold", "--stop", "web"]).ok();
        let mut waiting = TcpStream::connect(site.address(80)).unwrap();
        kill_brain(&manager);
        assert_eq!(manager.property("web.socket", "SubState"), "held");
        waiting.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(waiting.read(&mut [0]).is_err(), "nobody serves a held socket that was stopped");
        assert_eq!(manager.property("web.service", "ActiveState"), "inactive");
        manager.sockmgr(&["release", "web"]).ok();
        load.until_answered(100);
        load.stop().nothing_lost();
    }
}

#[test]
fn what_runs_behind_a_held_socket_goes_on() {
    let site = group("Instances=2\n", GRACEFUL);
    let manager = start(&site);
    let load = Load::start(Server::Tcp(site.address(80)), RATE);
    load.until_answered(100);
    manager.sockmgr(&["hold", "web"]).ok();
    load.until_answered(300);
    manager.sockmgr(&["release", "web"]).ok();
    load.until_answered(100);
    load.stop().nothing_lost();
}

#[test]
fn a_service_that_shuts_its_listener_down_does_not_take_the_slot_with_it() {
    for make in ["auto", "classic"] {
        let service = format!("{GRACEFUL}Environment=WITNESS_SHUTS=1\n");
        let site = group("Instances=3\nMaxInstances=5\n", &service);
        let manager = start_with(&site, make);
        for number in [2, 1, 3, 1] {
            let unit = format!("web@{number}.service");
            manager.sockmgr(&["restart", &unit]).ok();
            // The order of the group's members is another one now, and each still gets its share, and nobody else any.
            until("all three serve", || in_rotation(&manager).len() == 3);
            assert_eq!(answerers(&site).len(), 3, "{make}");
        }
        kill_brain(&manager);
        assert_eq!(tcp_listeners(site.address(80)).len(), 5);
        assert_eq!(answerers(&site).len(), 3, "{make}: after the manager's death");
        assert_eq!(units(&manager), 3);
    }
}

/// The instances that answer so many new connections.
fn answerers(site: &Site) -> std::collections::BTreeSet<String> {
    (0..60).map(|_| who(site).split(' ').next().unwrap().to_owned()).collect()
}

/// How many instances are up.
fn units(manager: &Manager) -> usize {
    manager.sockmgr(&["list-units", "--plain", "--no-legend", "web@*"]).text().lines().count()
}

/// Takes the steering program away from the group of the process' descriptor 3, as whoever has a listener can.
const DETACH: &str = "
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
pidfd = os.pidfd_open(int(sys.argv[1]))
fd = libc.syscall(438, pidfd, 3, 0)
assert fd >= 0, os.strerror(ctypes.get_errno())
SO_DETACH_REUSEPORT_BPF = 68
socket.socket(fileno=fd).setsockopt(socket.SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0)
";

#[test]
fn a_program_that_somebody_takes_away_is_attached_again() {
    for make in ["auto", "classic"] {
        let site = group("Instances=2\nMaxInstances=6\n", GRACEFUL);
        let manager = start_with(&site, make);
        for number in [1, 2] {
            let process = manager.main_process(&format!("web@{number}.service"));
            let ran = std::process::Command::new(tool("python3"))
                .args(["-c", DETACH, &process.0.to_string()])
                .output()
                .unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            // The kernel spreads over all six, and still everybody is answered.
            answerers(&site);
            until("the parked slots rest again", || units(&manager) == 2);
            let answerers = answerers(&site);
            assert!(answerers.iter().eq(["web@1.service", "web@2.service"]), "{make}: {answerers:?}");
            assert_eq!(units(&manager), 2, "{make}");
        }
    }
}
