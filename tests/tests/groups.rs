//! N instances of one socket: each with its own listener, none missed when one goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use sockmgr_tests::command::{Ran, tool};
use sockmgr_tests::http::{self, Hello};
use sockmgr_tests::kernel::{Inode, Process, tcp_listeners, unix_sockets};
use sockmgr_tests::load::{End, Load, Server};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

/// Connections per second.
const RATE: u32 = 2000;

/// The example server.
const HELLO: &str = "[Service]\nType=notify\nExecStart={hello}\nRestart=on-failure\n";
/// The server that greets.
const WITNESS: &str = "[Service]\nType=notify\nExecStart={witness}\nRestart=on-failure\n";

/// A site with `web.socket` in so many instances, and `web@.service`.
fn group(instances: u32, service: &str, more: &str) -> Site {
    let site = Site::new();
    site.unit("web.socket", &format!("[Socket]\nListenStream={{host}}:80\nInstances={instances}\n{more}"));
    site.unit("web@.service", service);
    site
}

/// Starts the socket and one of each instance behind it.
fn start(site: &Site, instances: u32) -> Manager<'_> {
    let manager = Setup::new(site).start();
    manager.up("web.socket");
    manager.up("web.service");
    until_running(&manager, instances);
    manager
}

fn until_running(manager: &Manager, instances: u32) {
    for number in 1..=instances {
        manager.until_sub_state(&format!("web@{number}.service"), "running");
    }
}

fn processes(manager: &Manager, instances: u32) -> Vec<Process> {
    (1..=instances).map(|number| manager.main_process(&format!("web@{number}.service"))).collect()
}

/// How many of so many new connections each instance answers.
fn shares(address: SocketAddr, connections: u32) -> BTreeMap<u32, u32> {
    let mut shares = BTreeMap::new();
    for _ in 0..connections {
        *shares.entry(http::hello(address).instance.0).or_default() += 1;
    }
    shares
}

#[test]
fn the_first_visitor_starts_four_instances_on_four_listeners() {
    let site = group(4, HELLO, "FileDescriptorName=http\n");
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    let listeners =
        Ran::of(Command::new(tool("ss")).args(["-Hltn", "src", &site.address(80).to_string()])).text();
    assert_eq!(listeners.lines().count(), 4, "{listeners}");

    let hello = http::hello(site.address(80));
    assert_eq!(hello.instance.1, 4);
    until_running(&manager, 4);
    let mut own = Vec::new();
    for (number, process) in (1..).zip(processes(&manager, 4)) {
        own.push(process.socket(3).unwrap());
        let environment = process.environment();
        let value = |name: &str| environment[name].clone();
        assert_eq!((value("LISTEN_FDS"), value("LISTEN_FDNAMES")), ("1".to_owned(), "http".to_owned()));
        assert_eq!(value("LISTEN_PID"), process.0.to_string());
        assert_eq!(value("SOCKMGR_UNIT"), format!("web@{number}.service"));
        assert_eq!(
            (value("SOCKMGR_INSTANCE"), value("SOCKMGR_INSTANCES")),
            (number.to_string(), "4".to_owned())
        );
    }
    assert_eq!(sorted(own), sorted(tcp_listeners(site.address(80))));
}

fn sorted(mut inodes: Vec<Inode>) -> Vec<Inode> {
    inodes.sort();
    inodes
}

#[test]
fn each_instance_gets_its_share() {
    for steering in ["hash", "random"] {
        let site = group(4, HELLO, &format!("Steering={steering}\n"));
        let _manager = start(&site, 4);
        let shares = shares(site.address(80), 400);
        assert_eq!(shares.len(), 4, "{steering}: {shares:?}");
        assert!(shares.values().all(|share| (35..=165).contains(share)), "{steering}: {shares:?}");
    }
}

#[test]
fn curl_meets_all_four() {
    let site = group(4, HELLO, "");
    let _manager = start(&site, 4);
    let url = format!("http://{}/", site.address(80));
    let mut shares = BTreeMap::<String, u32>::new();
    for _ in 0..200 {
        let answer =
            Ran::of(Command::new(tool("curl")).args(["--silent", "--show-error", "--fail", &url])).text();
        *shares.entry(Hello::parse(&answer).unwrap().unit).or_default() += 1;
    }
    assert_eq!(shares.len(), 4, "{shares:?}");
    // 35 % to 165 % of the fair share, 50.
    assert!(shares.values().all(|share| (18..=82).contains(share)), "{shares:?}");
}

#[test]
fn the_death_of_an_instance_costs_what_it_had_accepted_and_nothing_else() {
    let site = group(4, &format!("{WITNESS}Environment=WITNESS_ANSWER_MS=10\n"), "");
    let manager = start(&site, 4);
    let load = Load::start(Server::Tcp(site.address(80)), RATE);
    let listeners = sorted(tcp_listeners(site.address(80)));
    let mut dead = Vec::new();
    for number in [2, 4, 1] {
        load.until_answered(500);
        let unit = format!("web@{number}.service");
        let process = manager.main_process(&unit);
        dead.push(format!("{unit} {}", process.0));
        process.kill();
        until("its successor runs", || {
            manager.property(&unit, "SubState") == "running" && manager.main_process(&unit) != process
        });
    }
    load.until_answered(500);
    let report = load.stop();
    assert_eq!(report.count(|end| matches!(end, End::Refused(_))), 0, "{report}");
    // Killed between accept and the first word: at most one connection for each death.
    assert!(report.count(|end| matches!(end, End::Lost(_))) <= dead.len(), "{report}");
    assert_eq!(report.count(|end| matches!(end, End::Abandoned(who) if !dead.contains(who))), 0, "{report}");
    assert_eq!(sorted(tcp_listeners(site.address(80))), listeners, "the listeners are the same as ever");
    for number in [2, 4, 1] {
        assert_eq!(manager.property(&format!("web@{number}.service"), "NRestarts"), "1");
    }
}

#[test]
fn siblings_serve_while_an_instance_cannot_come_back() {
    let site =
        group(2, "[Service]\nType=notify\nExecStart={dir}/server\nRestart=on-failure\nRestartSec=20ms\n", "");
    let wrapper =
        site.file("server", "#!/bin/sh\ntest -e {dir}/broken-$SOCKMGR_INSTANCE && exit 1\nexec {witness}\n");
    std::fs::set_permissions(wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let manager = start(&site, 2);
    site.file("broken-1", "");
    manager.main_process("web@1.service").kill();
    until("it has tried again", || {
        manager.property("web@1.service", "NRestarts").parse::<u32>().unwrap() > 1
    });

    // New connections go to the one that is ready, at once.
    for _ in 0..50 {
        let End::Answered(who) = Server::Tcp(site.address(80)).ask() else { panic!("not answered") };
        assert!(who.starts_with("web@2.service "), "{who}");
    }
    std::fs::remove_file(site.path("broken-1")).unwrap();
    manager.sockmgr(&["reset-failed", "web@1.service"]).ok();
    manager.up("web@1.service");
    until(
        "it serves again",
        || matches!(Server::Tcp(site.address(80)).ask(), End::Answered(who) if who.starts_with("web@1.service ")),
    );
}

#[test]
fn a_rolling_restart_under_load_loses_nothing() {
    let site = group(4, GRACEFUL, "");
    let manager = start(&site, 4);
    let before = processes(&manager, 4);
    let load = Load::start(Server::Tcp(site.address(80)), RATE);
    load.until_answered(200);
    manager.sockmgr(&["restart", "web.service"]).ok();
    load.until_answered(200);
    let report = load.stop();
    report.nothing_lost();
    let after = processes(&manager, 4);
    assert!(before.iter().all(|process| !after.contains(process)), "{before:?} {after:?}");
}

/// A server that finishes what it has accepted when it is told to stop.
const GRACEFUL: &str = "[Service]\nType=notify\nExecStart={witness}\nEnvironment=WITNESS_GRACE=1\n";

#[test]
fn a_group_goes_one_by_one() {
    let site = group(3, &format!("{GRACEFUL}Environment=WITNESS_READY_MS=100\n"), "");
    let manager = start(&site, 3);
    let before = processes(&manager, 3);
    manager.sockmgr(&["--no-block", "restart", "web.service"]).ok();
    let mut fewest = 3;
    until("all are new", || {
        // One call, so that it is one moment.
        let units =
            manager.sockmgr(&["list-units", "--all", "--plain", "--no-legend", "web@*.service"]).text();
        fewest = fewest.min(units.lines().filter(|line| line.contains(" running ")).count());
        before.iter().all(|process| !process.is_alive())
    });
    until_running(&manager, 3);
    assert!(fewest >= 2, "{} of 3 were down at one time", 3 - fewest);
}

#[test]
fn the_name_without_a_number_means_all_and_with_one_only_that() {
    let site = group(3, HELLO, "");
    let manager = start(&site, 3);
    let before = processes(&manager, 3);
    manager.sockmgr(&["restart", "web@2.service"]).ok();
    let after = processes(&manager, 3);
    assert_eq!((before[0], before[2]), (after[0], after[2]));
    assert_ne!(before[1], after[1]);

    manager.sockmgr(&["stop", "web@2"]).ok();
    assert!(!after[1].is_alive());
    for _ in 0..20 {
        assert_ne!(http::hello(site.address(80)).instance.0, 2, "it is stopped");
    }
    manager.sockmgr(&["kill", "--signal=KILL", "web"]).ok();
    until("both are dead", || !after[0].is_alive() && !after[2].is_alive());
    manager.sockmgr(&["stop", "web.service"]).ok();
    for number in 1..=3 {
        assert_eq!(manager.property(&format!("web@{number}.service"), "MainPID"), "0");
    }
    assert_eq!(manager.property("web.socket", "SubState"), "listening");
}

#[test]
fn instances_may_share_one_listener() {
    let site = group(3, HELLO, "Distribute=shared\nListenStream={dir}/web.sock\n");
    let manager = start(&site, 3);
    let tcp = tcp_listeners(site.address(80));
    let unix = unix_sockets(site.path("web.sock").to_str().unwrap());
    assert_eq!((tcp.len(), unix.len()), (1, 1));
    for process in processes(&manager, 3) {
        assert_eq!([process.socket(3), process.socket(4)], [Some(tcp[0]), Some(unix[0])]);
    }
    assert_eq!(http::hello(site.address(80)).instance.1, 3);
    let body = http::get_unix(&site.path("web.sock"), "/").unwrap();
    assert_eq!(Hello::parse(&body).unwrap().instance.1, 3);
}

#[test]
fn a_listener_that_is_in_use_keeps_its_mode() {
    let site = group(2, "[Service]\nExecStart=/bin/sleep 1000\n", "Distribute=shared\n");
    site.unit("web@1.service.d/mode.conf", "[Service]\nNonBlocking=yes\n");
    let manager = start(&site, 2);
    let is_nonblocking = || {
        let flags = OFlag::from_bits_retain(manager.main_process("web@1.service").flags(3).unwrap());
        flags.contains(OFlag::O_NONBLOCK)
    };
    // The second one wants it blocking, but the first one has it already. The two share the open file.
    assert!(is_nonblocking());
    manager.sockmgr(&["stop", "web.service"]).ok();
    manager.sockmgr(&["start", "web@2.service"]).ok();
    manager.sockmgr(&["start", "web@1.service"]).ok();
    assert!(!is_nonblocking());
}

#[test]
fn a_unix_socket_is_shared_without_being_told_and_survives_a_restart_under_load() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={dir}/web.sock\nInstances=3\n");
    site.unit("web@.service", GRACEFUL);
    let manager = start(&site, 3);
    let listener = unix_sockets(site.path("web.sock").to_str().unwrap());
    assert_eq!(listener.len(), 1);
    let load = Load::start(Server::Unix(site.path("web.sock")), RATE);
    load.until_answered(200);
    manager.sockmgr(&["restart", "web.service"]).ok();
    load.until_answered(200);
    load.stop().nothing_lost();
    assert_eq!(unix_sockets(site.path("web.sock").to_str().unwrap()), listener);
}

#[test]
fn other_spellings_of_instances_work() {
    for (spelling, count) in [("Workers=2", 2), ("BindMultiple=3", 3)] {
        let site = Site::new();
        site.unit("web.socket", &format!("[Socket]\nListenStream={{host}}:80\n{spelling}\n"));
        site.unit("web@.service", HELLO);
        let manager = Setup::new(&site).start();
        manager.up("web.socket");
        assert_eq!(tcp_listeners(site.address(80)).len(), count, "{spelling}");
    }
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\nInstances=auto\n");
    site.unit("web@.service", HELLO);
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    let cpus = std::thread::available_parallelism().unwrap().get();
    assert_eq!(tcp_listeners(site.address(80)).len(), cpus);
}

#[test]
fn a_udp_group_answers_from_every_instance() {
    let site = Site::new();
    site.unit("dns.socket", "[Socket]\nListenDatagram={host}:53\nInstances=3\n");
    site.unit("dns@.service", "[Service]\nType=notify\nExecStart={udp_echo}\n");
    let manager = Setup::new(&site).start();
    manager.up("dns.socket");
    manager.up("dns.service");
    for number in 0..60 {
        let client = std::net::UdpSocket::bind(site.address(0)).unwrap();
        client.set_read_timeout(Some(sockmgr_tests::wait::PATIENCE)).unwrap();
        let text = format!("packet {number}");
        client.send_to(text.as_bytes(), site.address(53)).unwrap();
        let mut answer = [0; 99];
        let length = client.recv(&mut answer).unwrap();
        assert_eq!(&answer[..length], text.as_bytes());
    }
    let own: Vec<Inode> =
        (1..=3).map(|n| manager.main_process(&format!("dns@{n}.service")).socket(3).unwrap()).collect();
    assert_eq!(sorted(own), sorted(sockmgr_tests::kernel::udp_sockets(site.address(53))));
}

#[test]
fn an_instance_that_hangs_leaves_the_rotation_until_it_accepts_again() {
    let site = group(3, GRACEFUL, "AcceptTimeoutSec=200ms\n");
    let manager = start(&site, 3);
    let slots = || manager.property("web.service", "Slots").matches("in_rotation=yes").count();
    let load = Load::start(Server::Tcp(site.address(80)), 500);
    load.until_answered(100);
    let process = manager.main_process("web@2.service");
    let signal = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.0), signal).unwrap();
    signal(Signal::SIGSTOP);
    until("it is out of rotation", || slots() == 2);
    load.until_answered(200);
    signal(Signal::SIGCONT);
    until("it is in rotation again", || slots() == 3);
    load.until_answered(100);
    load.stop().nothing_lost();
    assert_eq!(manager.main_process("web@2.service"), process);
}
