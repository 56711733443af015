//! The unmodified `systemctl` drives a manager whose control socket stands where systemd's would.

use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::Command;

use sockmgr_tests::command::{Ran, tool};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::{PATIENCE, until};

/// A site with a few units, and `systemd/private` as a name for the control socket.
fn site() -> Site {
    let site = Site::new();
    site.unit(
        "echo.socket",
        "[Unit]\nDescription=Echo socket\n[Socket]\nListenStream={host}:7\nListenStream={dir}/s\n",
    );
    site.unit("echo.service", "[Unit]\nDescription=Echo server\n[Service]\nExecStart={echo}\n");
    site.unit("fails.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\nInstances=2\n");
    site.unit("web@.service", "[Service]\nType=notify\nExecStart={hello}\n");
    site.make("xdg/systemd", 0o700);
    symlink(site.path("run/private"), site.path("xdg/systemd/private")).unwrap();
    site
}

fn systemctl(site: &Site, words: &[&str]) -> Ran {
    let mut command = Command::new(tool("timeout"));
    command
        .arg(PATIENCE.as_secs().to_string())
        .arg(tool("systemctl"))
        .args(["--user", "--no-pager"])
        .args(words);
    // Without a bus: what does not go to our socket goes nowhere.
    command
        .env("XDG_RUNTIME_DIR", site.path("xdg"))
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("LC_ALL", "C.UTF-8");
    Ran::of(&mut command)
}

#[test]
fn start_status_stop_and_their_exit_codes() {
    let site = site();
    let manager = Setup::new(&site).start();
    let _ = systemctl(&site, &["status", "echo.socket"]).code(3).says(&["Echo socket", "inactive (dead)"]);
    systemctl(&site, &["start", "echo.socket"]).ok();
    let listen = format!("Listen: {} (Stream)", site.address(7));
    systemctl(&site, &["status", "echo.socket"])
        .says(&[
            "echo.socket - Echo socket",
            "Loaded: loaded (",
            "active (listening)",
            "Triggers: ",
            "echo.service",
            &listen,
        ])
        .ok();
    TcpStream::connect(site.address(7)).unwrap();
    until("the service runs", || systemctl(&site, &["is-active", "echo.service"]).code == 0);
    let main = manager.main_process("echo.service");
    systemctl(&site, &["status", "echo.service"])
        .says(&["active (running)", "TriggeredBy: ", "echo.socket", &format!("Main PID: {} (echo)", main.0)])
        .ok();
    let stop = systemctl(&site, &["stop", "echo.service"]).code(0);
    stop.says(&["echo.service", "can still be activated by", "echo.socket"]).ok();
    assert!(!main.is_alive());
    systemctl(&site, &["stop", "echo.socket"]).ok();
    assert_eq!(systemctl(&site, &["is-active", "echo.socket"]).code(3).stdout, "inactive\n");
    for (words, code) in [
        (["start", "nosuch.service"], 5),
        (["status", "nosuch.service"], 4),
        (["is-active", "nosuch.socket"], 3),
        (["start", "fails.service"], 1),
        (["is-failed", "fails.service"], 0),
        (["is-failed", "echo.service"], 1),
        (["reload", "echo.socket"], 3),
        (["reset-failed", "fails.service"], 0),
        (["is-failed", "fails.service"], 1),
        (["kill", "nosuch.service"], 1),
    ] {
        assert_eq!(systemctl(&site, &words).code, code, "{words:?}");
    }
}

#[test]
fn restart_reload_kill_and_a_group() {
    let site = site();
    let manager = Setup::new(&site).start();
    systemctl(&site, &["start", "web.socket", "web.service"]).ok();
    let [first, second] = ["web@1.service", "web@2.service"].map(|unit| manager.main_process(unit));
    systemctl(&site, &["restart", "web.service"]).ok();
    assert!(!first.is_alive() && !second.is_alive());
    systemctl(&site, &["status", "web.service"]).says(&["web.service", "active"]).ok();
    let main = manager.main_process("web@1.service");
    systemctl(&site, &["kill", "--signal=KILL", "web@1.service"]).ok();
    until("it is dead", || !main.is_alive());
    systemctl(&site, &["try-restart", "web@2.service"]).ok();
    systemctl(&site, &["daemon-reload"]).ok();
}

#[test]
fn lists_and_properties() {
    let site = site();
    let manager = Setup::new(&site).start();
    manager.up("echo.socket");
    manager.up("web.socket");
    let sockets = systemctl(&site, &["list-sockets"]).text();
    let row: Vec<&str> =
        sockets.lines().find(|line| line.contains(":7 ")).unwrap().split_whitespace().collect();
    assert_eq!(row, [&site.address(7).to_string(), "echo.socket", "echo.service"]);
    assert!(sockets.contains("web.socket"), "{sockets}");
    assert!(sockets.contains("3 sockets listed"), "{sockets}");

    let units = systemctl(&site, &["list-units", "--type=socket", "--plain", "--no-legend"]).text();
    let row: Vec<&str> =
        units.lines().find(|line| line.starts_with("echo.socket")).unwrap().split_whitespace().collect();
    assert_eq!(row, ["echo.socket", "loaded", "active", "listening", "Echo", "socket"]);

    let show = systemctl(&site, &["show", "echo.socket"]).text();
    for line in [
        "Id=echo.socket",
        "ActiveState=active",
        "SubState=listening",
        "Accept=no",
        "NConnections=0",
        "SocketMode=0666",
    ] {
        assert!(show.lines().any(|found| found == line), "{line} is missing in {show}");
    }
    let fragment = systemctl(&site, &["show", "-P", "FragmentPath", "echo.service"]).text();
    assert_eq!(fragment, site.path("units/echo.service").display().to_string());
    let exec = systemctl(&site, &["show", "-P", "ExecStart", "echo.service"]).text();
    assert!(exec.starts_with("{ path=/") && exec.contains("argv[]="), "{exec}");
    systemctl(&site, &["show"]).says(&["Version=", "NNames=", "SystemState=running"]).ok();
    systemctl(&site, &["cat", "echo.service"]).says(&["# /", "Description=Echo server"]).ok();
    systemctl(&site, &["list-dependencies", "echo.socket"]).says(&["echo.socket"]).ok();
    systemctl(&site, &["list-jobs"]).says(&["No jobs"]).ok();
}

#[test]
fn waiting_ends_with_a_manager_that_dies() {
    let site = site();
    site.unit("slow.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n");
    let manager = Setup::new(&site).start();
    let path = site.path("xdg");
    let waiting = std::thread::spawn(move || {
        let mut command = Command::new(tool("timeout"));
        command.arg(PATIENCE.as_secs().to_string()).arg(tool("systemctl")).args([
            "--user",
            "start",
            "slow.service",
        ]);
        Ran::of(command.env("XDG_RUNTIME_DIR", path).env_remove("DBUS_SESSION_BUS_ADDRESS"))
    });
    until("it starts", || manager.property("slow.service", "SubState") == "start");
    assert_eq!(manager.stop(), 0);
    assert_eq!(waiting.join().unwrap().code, 1);
}

/// What the two commands say is the same, where it should be.
#[test]
fn sockmgr_says_what_systemctl_says() {
    let site = site();
    let manager: Manager = Setup::new(&site).start();
    manager.up("echo.socket");
    manager.up("web.socket");
    let _ = manager.sockmgr(&["start", "fails.service"]).code(1);
    let same = [
        &["show", "-p", "Id,ActiveState,SubState,Listen,Triggers,Backlog,SocketMode,Accept", "echo.socket"][..],
        &["show", "-p", "ExecStart,Type,Restart,Result,ExecMainStatus", "fails.service"],
        &["show", "-P", "TriggeredBy", "echo.service"],
        &["list-sockets", "--no-legend"],
        &["list-units", "--all", "--plain", "--no-legend", "--type=socket,service"],
        &["list-units", "--failed", "--plain", "--no-legend"],
        &["is-active", "echo.socket", "fails.service"],
        &["is-failed", "fails.service"],
        &["cat", "echo.socket"],
        &["status", "echo.socket"],
        &["is-active", "nosuch.service"],
        &["show", "-P", "LoadState", "nosuch.service"],
    ];
    for words in same {
        let (theirs, ours) = (systemctl(&site, words), manager.sockmgr(words));
        assert_eq!((theirs.code, trimmed(&theirs.stdout)), (ours.code, trimmed(&ours.stdout)), "{words:?}");
    }
}

/// Without white space at the ends of lines, and without the age that `status` shows.
fn trimmed(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split("; ").next().unwrap_or_default().trim_end().to_owned()).collect()
}
