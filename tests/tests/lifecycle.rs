//! How the daemon begins and ends: readiness, reload, broken files beside good ones, other users, PID 1.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use sockmgr_tests::built;
use sockmgr_tests::kernel::{Process, tcp_listeners};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::namespace::{Namespace, is_root};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::{PATIENCE, until, until_some};

/// Listens on port 7.
const ECHO_SOCKET: &str = "[Socket]\nListenStream={host}:7\n\n[Install]\nWantedBy=sockets.target\n";
/// Answers there.
const ECHO_SERVICE: &str = "[Service]\nExecStart={echo}\n";

fn echoes(stream: std::io::Result<TcpStream>) {
    let mut stream = stream.unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
}

#[test]
fn ready_means_that_all_enabled_sockets_listen() {
    let site = Site::new();
    for number in 0..50 {
        let name = format!("s{number}.socket");
        site.unit(
            &name,
            &format!("[Socket]\nListenStream={{host}}:{}\nService=echo.service\n", 1000 + number),
        );
        site.enable(&name, "sockets.target");
    }
    site.unit("echo.service", ECHO_SERVICE);
    let manager = Setup::new(&site).start();
    // No waiting here: that is what READY=1 promised.
    for port in 1000..1050 {
        assert_eq!(tcp_listeners(site.address(port)).len(), 1, "port {port}");
    }
    manager.program.signal(Signal::SIGTERM);
    until("it says that it stops", || manager.notified().lines().any(|line| line == "STOPPING=1"));
}

#[test]
fn a_stop_leaves_nothing_behind_but_what_was_asked_for() {
    let site = Site::new();
    site.unit("a.socket", "[Socket]\nListenStream={dir}/goes\nRemoveOnStop=yes\nService=app.service\n");
    site.unit("b.socket", "[Socket]\nListenStream={dir}/stays\nService=app.service\n");
    site.unit("app.service", "[Service]\nType=exec\nExecStart=/bin/sleep 1000\nSockets=a.socket b.socket\n");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut manager = Setup::new(&site).start();
        manager.up("a.socket");
        manager.up("b.socket");
        manager.up("app.service");
        let service = manager.main_process("app.service");
        let brain = manager.brain();
        assert!(site.path("run/private").exists());
        manager.program.signal(signal);
        assert_eq!(manager.program.wait(), 0, "{signal}");
        assert!(!service.is_alive() && !brain.is_alive());
        assert!(!site.path("goes").exists());
        assert!(site.path("stays").exists());
        assert!(!site.path("run/private").exists(), "the control socket is gone");
        assert!(!site.path("run/notify").exists(), "the notify socket is gone");
    }
}

#[test]
fn services_that_ignore_sigterm_are_killed_in_the_end() {
    let site = Site::new();
    site.unit("deaf.service", "[Service]\nType=exec\nTimeoutStopSec=200ms\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\n");
    let manager = Setup::new(&site).start();
    manager.up("deaf.service");
    let service = manager.main_process("deaf.service");
    let children =
        until_some("it has a child", || Some(service.children()).filter(|children| !children.is_empty()));
    assert_eq!(manager.stop(), 0);
    assert!(!service.is_alive());
    // They were sent SIGKILL; dying takes them a moment.
    until("the whole of it is dead", || !children.iter().any(|child| child.is_alive()));
}

#[test]
fn sighup_reads_the_unit_files_again() {
    let site = Site::new();
    site.unit("echo.socket", ECHO_SOCKET);
    site.unit("echo.service", ECHO_SERVICE);
    let manager = Setup::new(&site).start();
    manager.up("echo.socket");
    let listener = tcp_listeners(site.address(7));
    site.unit("echo.service", &format!("[Unit]\nDescription=Changed\n{ECHO_SERVICE}"));
    site.unit("new.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n");
    manager.program.signal(Signal::SIGHUP);
    until("the change is seen", || manager.property("echo.service", "Description") == "Changed");
    manager.up("new.service");
    assert_eq!(manager.property("new.service", "SubState"), "exited");
    assert_eq!(tcp_listeners(site.address(7)), listener, "the listener is the same as before");
    echoes(TcpStream::connect(site.address(7)));
}

#[test]
fn a_broken_unit_is_named_and_the_others_run() {
    let site = Site::new();
    site.unit("good.socket", ECHO_SOCKET);
    site.unit("good.service", ECHO_SERVICE);
    site.unit(
        "bad.socket",
        "[Unit]\nDescription=Bad\n\n[Socket]\nListenStream=not an address\nBacklog=many\nListenStrem=80\n",
    );
    site.unit("bad.service", ECHO_SERVICE);
    site.unit("worse.socket.toml", "[Socket\nListenStream = 1\n");
    site.unit("worse.service", ECHO_SERVICE);
    for unit in ["good.socket", "bad.socket", "worse.socket"] {
        site.enable(unit, "sockets.target");
    }
    let manager = Setup::new(&site).start();
    echoes(TcpStream::connect(site.address(7)));
    for part in ["bad.socket:5: ", "bad.socket:6: ", "bad.socket:7: ", "ListenStream", "worse.socket.toml:1"]
    {
        manager.until_logged(part);
    }
    let refused = manager.sockmgr(&["start", "bad.socket"]);
    assert_ne!(refused.code, 0, "{refused}");
    assert_eq!(manager.property("bad.socket", "LoadState"), "bad-setting");
    assert_eq!(manager.property("good.socket", "LoadState"), "loaded");
}

#[test]
fn a_socket_whose_address_is_taken_fails_alone_and_says_why() {
    let site = Site::new();
    let _taken = std::net::TcpListener::bind(site.address(9)).unwrap();
    site.unit("good.socket", ECHO_SOCKET);
    site.unit("good.service", ECHO_SERVICE);
    site.unit("taken.socket", "[Socket]\nListenStream={host}:9\nService=good.service\n");
    for unit in ["good.socket", "taken.socket"] {
        site.enable(unit, "sockets.target");
    }
    let manager = Setup::new(&site).start();
    assert_eq!(manager.property("taken.socket", "ActiveState"), "failed");
    manager.until_logged(&site.address(9).to_string());
    manager.until_logged("in use");
    echoes(TcpStream::connect(site.address(7)));
}

#[test]
fn a_settings_file_that_is_not_there_ends_it_and_what_is_wrong_in_one_is_named_and_left_out() {
    let site = Site::new();
    let setup =
        || Setup::new(&site).argument("--config").argument(site.path("sockmgr.toml").to_str().unwrap());
    let mut broken = setup().launch();
    assert_eq!(broken.program.wait(), 78);
    assert!(broken.program.log().contains("sockmgr.toml"), "{}", broken.program.log());

    site.file(
        "sockmgr.toml",
        "[Manager]\nDefaultTimeoutStartSec = \"soon\"\nDefaultTimeoutStopSec = \"7s\"\n",
    );
    site.unit("a.service", "[Service]\nExecStart=/bin/true\n");
    let manager = setup().start();
    manager.until_logged("sockmgr.toml:2");
    manager.until_logged("DefaultTimeoutStartSec");
    assert_eq!(manager.property("a.service", "TimeoutStopUSec"), "7s");
}

#[test]
fn settings_are_defaults_for_units() {
    let site = Site::new();
    let text = "[Manager]\nDefaultTimeoutStopSec = \"7s\"\nDefaultLimitAction = \"fail\"\nDefaultEnvironment = \"A=1 B=2\"\n";
    let config = site.file("sockmgr.toml", text);
    site.unit(
        "web.socket",
        "[Socket]\nListenStream={host}:7\nTriggerLimitIntervalSec=10s\nTriggerLimitBurst=2\n",
    );
    site.unit("web.service", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/false\n");
    site.unit("env.service", "[Service]\nType=exec\nEnvironment=B=3\nExecStart=/bin/sleep 1000\n");
    let manager = Setup::new(&site).argument("--config").argument(config.to_str().unwrap()).start();
    assert_eq!(manager.property("env.service", "TimeoutStopUSec"), "7s");
    manager.up("env.service");
    let environment = manager.main_process("env.service").environment();
    assert_eq!((environment["A"].as_str(), environment["B"].as_str()), ("1", "3"));

    manager.up("web.socket");
    let _client = TcpStream::connect(site.address(7)).unwrap();
    until("it fails for good", || manager.property("web.socket", "ActiveState") == "failed");
    assert_eq!(manager.property("web.socket", "Result"), "trigger-limit-hit");
}

#[test]
fn a_service_runs_as_its_user_in_its_place_with_its_limits() {
    let site = Site::new();
    site.file("variables", "FROM_FILE=yes\n");
    let whom = if is_root() { "User=nobody\n" } else { "" };
    let places = "WorkingDirectory={dir}\nEnvironmentFile={dir}/variables\nLimitNOFILE=321:4321\nStandardError=append:{dir}/err\n";
    let script = "echo once >&2; exec sleep 1000";
    site.unit(
        "app.service",
        &format!("[Service]\nType=exec\n{whom}{places}ExecStart=/bin/sh -c '{script}'\n"),
    );
    let manager = Setup::new(&site).start();
    manager.up("app.service");
    let service = manager.main_process("app.service");
    until("it writes", || site.read("err") == "once\n");
    if is_root() {
        assert_eq!(service.status("Uid").unwrap(), "65534\t65534\t65534\t65534");
    }
    assert_eq!(service.environment()["FROM_FILE"], "yes");
    let link = |name: &str| std::fs::read_link(format!("/proc/{}/{name}", service.0)).unwrap();
    assert_eq!(link("cwd"), site.path(""));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.0)).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).collect::<Vec<_>>(), ["321", "4321", "files"]);
}

#[test]
fn a_service_that_cannot_start_says_at_which_step_and_why() {
    let site = Site::new();
    let manager = Setup::new(&site).start();
    // Exit codes as systemd.exec(5) gives them to the steps.
    let table = [
        ("exec", "ExecStart=/no/such/program", "203", "No such file"),
        ("chdir", "ExecStart=/bin/true\nWorkingDirectory=/no/such/place", "200", "No such file"),
        ("user", "ExecStart=/bin/true\nUser=no-such-user", "217", "no-such-user"),
        ("stdout", "ExecStart=/bin/true\nStandardOutput=append:/no/such/log", "209", "/no/such/log"),
    ];
    for (name, lines, status, reason) in table {
        let unit = format!("{name}.service");
        site.unit(&unit, &format!("[Service]\nType=exec\n{lines}\n"));
        let _ = manager.sockmgr(&["start", &unit]).code(1);
        assert_eq!(manager.property(&unit, "ActiveState"), "failed", "{name}");
        assert_eq!(manager.property(&unit, "ExecMainStatus"), status, "{name}");
        let log = manager.program.log();
        assert!(log.lines().any(|line| line.contains(&unit) && line.contains(reason)), "{reason}: {log}");
    }
}

#[test]
fn the_exec_lines_run_in_order() {
    let site = Site::new();
    let step = |word: &str| format!("/bin/sh -c 'echo {word} >> {{dir}}/steps'");
    let lines = format!(
        "ExecStartPre={}\nExecStartPost={}\nExecReload={}\nExecStop={}\n",
        step("pre"),
        step("post"),
        step("reload"),
        step("stop")
    );
    site.unit("app.service", &format!("[Service]\nType=exec\n{lines}ExecStart=/bin/sleep 1000\n"));
    let manager = Setup::new(&site).start();
    manager.up("app.service");
    manager.sockmgr(&["reload", "app.service"]).ok();
    manager.sockmgr(&["stop", "app.service"]).ok();
    assert_eq!(site.read("steps"), "pre\npost\nreload\nstop\n");
}

#[test]
fn it_works_for_an_ordinary_user() {
    let site = Site::new();
    // The target directory may be out of that user's reach.
    site.make("bin", 0o755);
    for program in [built::sockmgrd(), built::sockmgr(), built::example("echo")] {
        std::fs::copy(&program, site.path("bin").join(program.file_name().unwrap())).unwrap();
    }
    site.unit("echo.socket", "[Socket]\nListenStream={host}:7007\nListenStream={dir}/run/echo.sock\n");
    site.unit("echo.service", "[Service]\nExecStart={dir}/bin/echo\n");
    let mut setup = Setup::new(&site).programs_in(site.path("bin"));
    if is_root() {
        const NOBODY: u32 = 65534;
        std::os::unix::fs::chown(site.path("run"), Some(NOBODY), Some(NOBODY)).unwrap();
        setup = setup.within(Namespace::Nobody);
    }
    let manager = setup.start();
    manager.up("echo.socket");
    echoes(TcpStream::connect(site.address(7007)));
    let service = manager.main_process("echo.service");
    assert_ne!(service.status("Uid").unwrap().split('\t').next(), Some("0"));
    let mode = std::fs::metadata(site.path("run/private")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(manager.stop(), 0);
}

#[test]
fn it_is_a_good_process_1() {
    let site = Site::new();
    site.unit("echo.socket", ECHO_SOCKET);
    site.unit("echo.service", ECHO_SERVICE);
    // Leaves a child to process 1, and that child ends.
    site.unit(
        "orphan.service",
        "[Service]\nType=exec\nExecStart=/bin/sh -c '(sleep 0.05 & ) ; exec sleep 1000'\nKillMode=process\n",
    );
    site.enable("echo.socket", "sockets.target");
    let mut manager = Setup::new(&site).within(Namespace::Pid).start();
    let first = manager.keeper().children();
    assert_eq!(first.len(), 1, "unshare has one child, process 1 of the namespace");
    let pid_in_namespace = first[0].status("NSpid").unwrap();
    assert!(pid_in_namespace.ends_with("\t1"), "{pid_in_namespace}");
    echoes(TcpStream::connect(site.address(7)));

    manager.up("orphan.service");
    let is_zombie = |process: &Process| process.state() == Some('Z');
    until("nothing is left unreaped", || {
        let all = first[0].descendants();
        all.len() >= 3 && !all.iter().any(is_zombie) && !has_short_sleep(&all)
    });
    stop_first(&mut manager, first[0]);
    assert!(!site.path("run/private").exists());
}

/// Whether the orphan still sleeps.
fn has_short_sleep(processes: &[Process]) -> bool {
    let line = |process: &Process| std::fs::read(format!("/proc/{}/cmdline", process.0)).unwrap_or_default();
    processes.iter().any(|process| line(process) == b"sleep\x000.05\0")
}

/// As a container runtime stops it.
fn stop_first(manager: &mut Manager, first: Process) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first.0), Signal::SIGTERM).unwrap();
    assert_eq!(manager.program.wait(), 0);
}

#[test]
fn the_machines_manager_works_as_well() {
    if !is_root() {
        // Nobody else may be the machine's manager; the daemon says so.
        let site = Site::new();
        assert_eq!(Setup::new(&site).system().launch().program.wait(), 78);
        return;
    }
    let site = Site::new();
    site.unit("echo.socket", ECHO_SOCKET);
    site.unit("echo.service", &format!("{ECHO_SERVICE}User=nobody\n"));
    let manager = Setup::new(&site).system().start();
    manager.up("echo.socket");
    echoes(TcpStream::connect(site.address(7)));
    let service = manager.main_process("echo.service");
    assert!(service.status("Uid").unwrap().starts_with("65534\t"));
    assert!(
        !service.environment().contains_key("HOME")
            || service.environment()["HOME"] != site.path("").to_str().unwrap()
    );
}

#[test]
fn two_managers_do_not_share_a_runtime_directory() {
    let site = Site::new();
    site.unit("echo.socket", ECHO_SOCKET);
    site.unit("echo.service", ECHO_SERVICE);
    let manager = Setup::new(&site).start();
    manager.up("echo.socket");
    let mut second = Setup::new(&site).launch();
    assert_ne!(second.program.wait(), 0, "{}", second.program.log());
    echoes(TcpStream::connect(site.address(7)));
    assert_eq!(manager.sockmgr(&["is-active", "echo.socket"]).text(), "active");
}
