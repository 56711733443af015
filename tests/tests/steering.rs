//! Steering in both its makes, as the manager uses them: who gets new connections, what happens to what waits, and what a second
//! manager makes of what the first has left in the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sockmgr_tests::command::tool;
use sockmgr_tests::load::{End, Plan, Server};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::namespace::{Namespace, is_root};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;
use sockmgr_tests::{built, http};

const HELLO: &str = "[Service]\nType=notify\nExecStart={hello}\nRestart=on-failure\n";
const MAKES: [(&str, &str); 2] = [("auto", "ebpf"), ("classic", "classic")];

/// A manager that steers by this make, with the group `web` of so many instances.
fn with_make<'a>(site: &'a Site, setting: &str, more: &str) -> Manager<'a> {
    let config = site.file("sockmgr.toml", &format!("[Manager]\nSteeringMake = \"{setting}\"\n{more}"));
    Setup::new(site).argument("--config").argument(config.to_str().unwrap()).start()
}

fn site(instances: u32, socket: &str) -> Site {
    let site = Site::new();
    site.unit("web.socket", &format!("[Socket]\nListenStream={{host}}:80\nInstances={instances}\n{socket}"));
    site.unit("web@.service", HELLO);
    site
}

fn start(manager: &Manager, instances: u32) {
    manager.up("web.socket");
    manager.up("web.service");
    for number in 1..=instances {
        manager.until_sub_state(&format!("web@{number}.service"), "running");
    }
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
fn both_makes_spread_and_say_what_they_are() {
    for (setting, make) in MAKES {
        for steering in ["hash", "random", "cpu", "weighted"] {
            let site = site(3, &format!("Steering={steering}\n"));
            let manager = with_make(&site, setting, "");
            start(&manager, 3);
            assert_eq!(manager.property("web.socket", "SteeringMake"), make);
            let reason = manager.property("web.socket", "SteeringReason");
            let expected = if make == "ebpf" { "bpf(2) is permitted" } else { "SteeringMake=classic" };
            assert_eq!(reason, expected);
            let migration = manager.property("web.socket", "Migration");
            assert_eq!(migration == "program", make == "ebpf", "{migration}");
            let shares = shares(site.address(80), 120);
            if steering != "cpu" {
                assert_eq!(shares.len(), 3, "{make} {steering}: {shares:?}");
            }
        }
    }
}

#[test]
fn a_heavier_instance_gets_more_also_after_a_reload() {
    for (setting, make) in MAKES {
        let site = site(2, "Steering=weighted\n");
        site.unit("web@2.service.d/weight.conf", "[Service]\nInstanceWeight=300\n");
        let manager = with_make(&site, setting, "");
        start(&manager, 2);
        // Three quarters of 200 are 150, with a standard deviation of 6.
        let heavy = shares(site.address(80), 200)[&2];
        assert!((115..185).contains(&heavy), "{make}: {heavy}");
        site.unit("web@2.service.d/weight.conf", "[Service]\nInstanceWeight=1\n");
        manager.sockmgr(&["daemon-reload"]).ok();
        let light = shares(site.address(80), 200).get(&2).copied().unwrap_or_default();
        assert!(light < 20, "{make}: {light}");
    }
}

#[test]
fn a_second_manager_goes_on_with_what_the_first_has_left() {
    for (setting, make) in MAKES {
        let site = site(3, "");
        let manager = with_make(&site, setting, "");
        start(&manager, 3);
        let first = manager.brain();
        first.kill();
        until("there is another manager", || !first.is_alive() && manager.brain() != first);
        assert_eq!(manager.property("web.socket", "SteeringMake"), make);
        assert_eq!(shares(site.address(80), 90).len(), 3, "{make}");
        // It still steers: an instance that is stopped gets nothing.
        manager.sockmgr(&["stop", "web@2.service"]).ok();
        let after = shares(site.address(80), 90);
        assert!(!after.contains_key(&2) && after.len() == 2, "{make}: {after:?}");
        // The address is free for new programs and maps once the old ones have ended with their sockets.
        manager.sockmgr(&["--quiet", "stop", "web.service", "web.socket"]).ok();
        manager.up("web.socket");
        assert_eq!(manager.property("web.socket", "SteeringMake"), make);
    }
}

/// Addresses of both families that nobody else has.
fn addresses(site: &Site) -> [SocketAddr; 2] {
    static TURN: AtomicU16 = AtomicU16::new(0);
    let port = 20_000 + std::process::id() as u16 % 1000 * 10 + TURN.fetch_add(1, Ordering::Relaxed);
    [site.address(53), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
}

#[test]
fn one_group_serves_both_families() {
    for (setting, make) in MAKES {
        let site = Site::new();
        let [_, address] = addresses(&site);
        let port = address.port();
        site.unit(
            "web.socket",
            &format!("[Socket]\nListenStream=[::]:{port}\nBindIPv6Only=both\nInstances=3\n"),
        );
        site.unit("web@.service", HELLO);
        let manager = with_make(&site, setting, "");
        start(&manager, 3);
        let ends = [address, SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        for end in ends {
            assert_eq!(shares(end, 120).len(), 3, "{make} {end}");
        }
        manager.sockmgr(&["drain", "web@2"]).ok();
        for end in ends {
            let shares = shares(end, 60);
            assert!(shares.keys().eq([&1, &3]), "{make} {end}: {shares:?}");
        }
    }
}

#[test]
fn what_waits_for_an_instance_that_died_its_siblings_serve() {
    for address in addresses(&Site::new()) {
        let site = Site::new();
        site.unit("web.socket", &format!("[Socket]\nListenStream={address}\nInstances=2\n"));
        // A successor would need longer than anybody waits.
        site.unit("web@.service", "[Service]\nType=notify\nExecStart={witness}\n");
        site.unit(
            "web@2.service.d/slow.conf",
            "[Service]\nExecStartPre=/bin/sh -c 'test ! -e {dir}/slow || exec sleep 1000'\n",
        );
        let manager = with_make(&site, "auto", "");
        start(&manager, 2);
        let second = manager.main_process("web@2.service");
        kill(Pid::from_raw(second.0), Signal::SIGSTOP).unwrap();
        let clients: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
        site.file("slow", "");
        second.kill();
        for client in clients {
            client.set_read_timeout(Some(sockmgr_tests::wait::PATIENCE)).unwrap();
            let mut line = String::new();
            BufReader::new(client).read_line(&mut line).unwrap();
            assert!(line.starts_with("accepted web@1.service"), "{line:?}");
        }
        manager.until_logged("waiting connections moved to other instances");
    }
}

#[test]
fn flows_of_datagrams_stay_where_they_are() {
    for (setting, make) in MAKES {
        for address in addresses(&Site::new()) {
            let site = Site::new();
            site.unit("echo.socket", &format!("[Socket]\nListenDatagram={address}\nInstances=4\n"));
            site.unit("echo@.service", "[Service]\nType=notify\nExecStart={witness}\n");
            let manager = with_make(&site, setting, "");
            manager.up("echo.socket");
            manager.up("echo.service");
            assert_eq!(manager.property("echo.socket", "Migration"), "no", "datagrams do not migrate");
            let flows: Vec<UdpSocket> =
                (0..100).map(|_| UdpSocket::bind((address.ip(), 0)).unwrap()).collect();
            let places = || flows.iter().map(|flow| instance_of(flow, address)).collect::<Vec<_>>();
            let before = places();
            for number in 1..=4 {
                assert!(
                    before.iter().any(|place| place.starts_with(&format!("echo@{number}."))),
                    "{before:?}"
                );
            }
            let brain = manager.brain();
            brain.kill();
            until("there is another manager", || !brain.is_alive() && manager.brain() != brain);
            manager.until_sub_state("echo@1.service", "running");
            assert_eq!(places(), before, "{make} {address}: a new manager moves nobody");
            manager.sockmgr(&["stop", "echo@3.service"]).ok();
            for (before, after) in before.iter().zip(places()) {
                assert!(
                    *before == after || before.contains("echo@3"),
                    "{make} {address}: {before} → {after}"
                );
            }
        }
    }
}

#[test]
fn the_kernels_setting_moves_what_waits_too() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\nInstances=3\nMaxInstances=6\n");
    site.unit("web@.service", "[Service]\nType=notify\nExecStart={witness}\nRestart=on-failure\n");
    site.unit(
        "web@2.service.d/slow.conf",
        "[Service]\nExecStartPre=/bin/sh -c 'test ! -e {dir}/slow || exec sleep 1000'\n",
    );
    let config =
        site.file("sockmgr.toml", "[Manager]\nSteeringMake = \"classic\"\nMigrateRequests = \"yes\"\n");
    let setup = Setup::new(&site).argument("--config").argument(config.to_str().unwrap());
    let manager = setup.within(Namespace::Network).start();
    start(&manager, 3);
    assert_eq!(manager.property("web.socket", "SteeringMake"), "classic");
    assert_eq!(manager.property("web.socket", "Migration"), "sysctl");
    let inside: Arc<OwnedFd> =
        Arc::new(std::fs::File::open(format!("/proc/{}/ns/net", manager.keeper().0)).unwrap().into());
    let load = |total| {
        Plan::new(Server::Tcp(site.address(80)), 500).total(total).within(Arc::clone(&inside)).start()
    };
    let second = manager.main_process("web@2.service");
    kill(Pid::from_raw(second.0), Signal::SIGSTOP).unwrap();
    let waiting = load(60);
    until("somebody waits for it", || queue_of(&manager, 2) > 5);
    site.file("slow", "");
    second.kill();
    let report = waiting.finish();
    report.nothing_lost();
    assert!(report.shares().keys().all(|who| !who.starts_with("web@2")), "{report}");
    manager.until_logged("waiting connections moved to other instances");
    // The order of the members is another one now: those in rotation get all that is new, and the others nothing.
    let report = load(200).finish();
    report.nothing_lost();
    let units: BTreeSet<&str> = report.shares().keys().map(|who| who.split(' ').next().unwrap()).collect();
    assert!(units.iter().eq(&["web@1.service", "web@3.service"]), "{report}");
    for slot in [2, 4, 5, 6] {
        assert_eq!(queue_of(&manager, slot), 0);
    }
    let brain = manager.brain();
    brain.kill();
    until("there is another manager", || !brain.is_alive() && manager.brain() != brain);
    load(100).finish().nothing_lost();
}

/// How many wait in a slot.
fn queue_of(manager: &Manager, slot: u32) -> u32 {
    let queues = manager.property("web.socket", "Queues");
    let start = format!("slot {slot} line 1 (length=");
    let rest = queues.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default();
    rest.split(' ').next().unwrap_or_default().parse().unwrap_or_default()
}

/// Takes the steering program away, as whoever has a listener can.
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
fn what_comes_to_an_instance_on_its_way_up_its_siblings_serve() {
    let site = site(2, "");
    site.unit("web@.service", "[Service]\nType=notify\nExecStart={witness}\nRestart=on-failure\n");
    // Its second generation is there for a long time before it accepts anybody.
    site.unit(
        "web@2.service.d/slow.conf",
        "[Service]\nExecStart=\nExecStart=/bin/sh -c 'test ! -e {dir}/slow || export WITNESS_READY_MS=1000000; exec {witness}'\n",
    );
    let manager = with_make(&site, "auto", "");
    start(&manager, 2);
    site.file("slow", "");
    let second = manager.main_process("web@2.service");
    second.kill();
    until("another is on its way up", || {
        manager.property("web@2.service", "SubState") == "start"
            && manager.main_process("web@2.service") != second
    });
    let first = manager.main_process("web@1.service");
    let detach =
        std::process::Command::new(tool("python3")).args(["-c", DETACH, &first.0.to_string()]).status();
    assert!(detach.unwrap().success());
    // Without a program the kernel gives half of them to the one that accepts nobody.
    for _ in 0..40 {
        let End::Answered(who) = Server::Tcp(site.address(80)).ask() else { panic!("not answered") };
        assert!(who.starts_with("web@1.service "), "{who}");
    }
    manager.until_logged("waiting connections moved to other instances");
}

/// Which instance answers a flow: its unit and process.
fn instance_of(flow: &UdpSocket, address: SocketAddr) -> String {
    let mut answer = [0; 128];
    flow.set_read_timeout(Some(sockmgr_tests::wait::PATIENCE)).unwrap();
    flow.send_to(b"whoami", address).unwrap();
    let length = flow.recv(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn without_privilege_the_classic_make_is_used() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:7007\nInstances=3\n");
    site.unit("web@.service", "[Service]\nType=notify\nExecStart={dir}/bin/hello\n");
    site.make("bin", 0o755);
    for program in [built::sockmgrd(), built::sockmgr(), built::example("hello")] {
        std::fs::copy(&program, site.path("bin").join(program.file_name().unwrap())).unwrap();
    }
    let mut setup = Setup::new(&site).programs_in(site.path("bin"));
    if is_root() {
        const NOBODY: u32 = 65534;
        std::os::unix::fs::chown(site.path("run"), Some(NOBODY), Some(NOBODY)).unwrap();
        setup = setup.within(Namespace::Nobody);
    }
    let manager = setup.start();
    start(&manager, 3);
    assert_eq!(manager.property("web.socket", "SteeringMake"), "classic");
    assert_eq!(manager.property("web.socket", "SteeringReason"), "bpf(2) is not permitted");
    assert_eq!(shares(site.address(7007), 90).len(), 3);
    manager.sockmgr(&["stop", "web@2.service"]).ok();
    assert_eq!(shares(site.address(7007), 60).len(), 2);
}
