//! With a message bus, under a name of our own; and what becomes of us when the bus goes.

use std::process::Command;

use sockmgr_tests::command::{Ran, tool};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::program::Program;
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

const NAME: &str = "org.sockmgr.Manager1";
const MANAGER: [&str; 3] = [NAME, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];

fn site() -> Site {
    let site = Site::new();
    site.unit("echo.socket", "[Socket]\nListenStream={host}:7\n");
    site.unit("echo.service", "[Service]\nExecStart={echo}\n");
    site
}

fn address(site: &Site) -> String {
    format!("unix:path={}", site.path("bus").display())
}

/// A session bus of the site's own.
fn dbus_daemon(site: &Site) -> Program {
    let mut command = Command::new(tool("dbus-daemon"));
    command.args(["--session", "--nofork", "--nopidfile", "--address", &address(site)]);
    let daemon = Program::start(&mut command, &site.path("bus.log"));
    until("the bus answers", || busctl(site, &["list"]).code == 0);
    daemon
}

fn busctl(site: &Site, words: &[&str]) -> Ran {
    Ran::of(
        Command::new(tool("busctl"))
            .arg(format!("--address={}", address(site)))
            .arg("--no-pager")
            .args(words),
    )
}

fn start(site: &Site) -> Manager<'_> {
    let manager = Setup::new(site).variable("DBUS_SESSION_BUS_ADDRESS", address(site)).start();
    until_named(site);
    manager
}

fn until_named(site: &Site) {
    until("the name is on the bus", || busctl(site, &["status", NAME]).code == 0);
}

#[test]
fn programs_written_for_systemd_work_by_changing_the_name() {
    let site = site();
    let _bus = dbus_daemon(&site);
    let manager = start(&site);
    let call = |method: &[&str]| busctl(&site, &[&["call"][..], &MANAGER, method].concat());
    let job = call(&["StartUnit", "ss", "echo.socket", "replace"]).text();
    assert!(job.starts_with("o \"/org/freedesktop/systemd1/job/"), "{job}");
    until("it listens", || manager.property("echo.socket", "SubState") == "listening");

    let path = call(&["GetUnit", "s", "echo.socket"]).text();
    assert_eq!(path, "o \"/org/freedesktop/systemd1/unit/echo_2esocket\"");
    let unit = "/org/freedesktop/systemd1/unit/echo_2esocket";
    let get =
        |interface: &str, name: &str| busctl(&site, &["get-property", NAME, unit, interface, name]).text();
    assert_eq!(get("org.freedesktop.systemd1.Unit", "ActiveState"), "s \"active\"");
    let listen = format!("a(ss) 1 \"Stream\" \"{}\"", site.address(7));
    assert_eq!(get("org.freedesktop.systemd1.Socket", "Listen"), listen);
    assert!(call(&["ListUnits"]).text().contains("\"echo.socket\""));
    let refused = call(&["StartUnit", "ss", "nosuch.service", "replace"]).code(1);
    assert!(refused.stderr.contains("nosuch.service not found"), "{refused}");
    call(&["StopUnit", "ss", "echo.socket", "replace"]).ok();
    until("it is stopped", || get("org.freedesktop.systemd1.Unit", "ActiveState") == "s \"inactive\"");
}

#[test]
fn what_there_is_can_be_explored() {
    let site = site();
    let _bus = dbus_daemon(&site);
    let manager = start(&site);
    manager.up("echo.socket");
    let tree = busctl(&site, &["--list", "tree", NAME]).text();
    assert!(tree.contains("/org/freedesktop/systemd1/unit/echo_2esocket"), "{tree}");
    let unit = "/org/freedesktop/systemd1/unit/echo_2esocket";
    let introspected = busctl(&site, &["introspect", NAME, unit]).text();
    for word in
        ["org.freedesktop.systemd1.Unit", "org.freedesktop.systemd1.Socket", ".SubState", "\"listening\""]
    {
        assert!(introspected.contains(word), "{word} is missing in {introspected}");
    }
}

#[test]
fn signals_tell_of_jobs() {
    let site = site();
    let _bus = dbus_daemon(&site);
    let manager = start(&site);
    let mut command = Command::new(tool("busctl"));
    command.arg(format!("--address={}", address(&site))).args(["monitor", NAME]);
    let monitor = Program::start(&mut command, &site.path("monitor.log"));
    until("the monitor is on", || monitor.log().contains("Monitoring bus"));
    manager.up("echo.socket");
    until("the job's end is told", || {
        let log = monitor.log();
        log.contains("Member=JobNew") && log.contains("Member=JobRemoved") && log.contains("STRING \"done\"")
    });
}

#[test]
fn the_loss_of_the_bus_disturbs_nobody() {
    let site = site();
    let bus = dbus_daemon(&site);
    let manager = start(&site);
    drop(bus);
    manager.up("echo.socket");
    std::net::TcpStream::connect(site.address(7)).unwrap();
    manager.until_sub_state("echo.service", "running");
    let _bus = dbus_daemon(&site);
    until_named(&site);
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    let site = site();
    let _bus = dbus_daemon(&site);
    let _first = start(&site);
    let owner = busctl(&site, &["status", NAME]).text();
    let other = Site::new();
    let second = Setup::new(&other).variable("DBUS_SESSION_BUS_ADDRESS", address(&site)).start();
    second.until_logged(NAME);
    assert_eq!(second.sockmgr(&["is-system-running"]).text(), "running");
    let pid = |text: &str| text.lines().find(|line| line.starts_with("PID=")).map(str::to_owned);
    assert_eq!(pid(&busctl(&site, &["status", NAME]).text()), pid(&owner));
}

#[test]
fn an_address_where_no_bus_is_does_no_harm() {
    let site = site();
    let manager = Setup::new(&site).variable("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/at/all").start();
    manager.up("echo.socket");
    assert_eq!(manager.property("echo.socket", "SubState"), "listening");
}
