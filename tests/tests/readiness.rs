//! Servers that do not say when they are ready: they are asked, each one itself, also where steering leads past it.

use std::os::unix::fs::PermissionsExt;

use sockmgr_tests::http;
use sockmgr_tests::load::{Load, Server};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

/// A server that accepts nobody before the file `open-N` is there, N being its number.
const DOORS: &str =
    "#!/bin/sh\nuntil test -e {dir}/open-$SOCKMGR_INSTANCE; do sleep 0.02; done\nexec {hello}\n";

fn group(listen: &str, check: &str) -> Site {
    let site = Site::new();
    site.unit("web.socket", &format!("[Socket]\n{listen}\nInstances=2\n"));
    let service = format!("[Service]\nType=exec\nExecStart={{dir}}/server\nReadyCheck={check}\n");
    site.unit("web@.service", &service);
    let server = site.file("server", DOORS);
    std::fs::set_permissions(server, PermissionsExt::from_mode(0o755)).unwrap();
    site
}

fn start(site: &Site) -> Manager<'_> {
    let manager = Setup::new(site).start();
    manager.up("web.socket");
    manager.sockmgr(&["--no-block", "start", "web.service"]).ok();
    manager
}

#[test]
fn each_instance_is_asked_itself() {
    for listen in ["ListenStream={host}:80", "ListenStream=[::1]:{port}"] {
        for check in ["tcp", "accepting", "http:/"] {
            let port = (20_000 + std::process::id() % 20_000).to_string();
            let site = group(&listen.replace("{port}", &port), check);
            site.file("open-2", "");
            let manager = start(&site);
            // The second one answers; what is asked of the first must not get to it.
            manager.until_sub_state("web@2.service", "running");
            manager.until_sub_state("web@1.service", "start-check");
            let address = if listen.contains("host") {
                site.address(80)
            } else {
                format!("[::1]:{port}").parse().unwrap()
            };
            for _ in 0..20 {
                assert_eq!(http::hello(address).instance.0, 2, "{listen} {check}");
            }
            assert_eq!(manager.property("web@1.service", "SubState"), "start-check", "{listen} {check}");
            site.file("open-1", "");
            manager.until_sub_state("web@1.service", "running");
        }
    }
}

#[test]
fn a_command_is_asked_and_knows_whom_it_asks_about() {
    let site =
        group("ListenStream={host}:80", "exec:/bin/sh -c 'echo $$MAINPID >>{dir}/asked; test -e {dir}/good'");
    site.file("open-1", "");
    site.file("open-2", "");
    let manager = start(&site);
    until("both were asked about", || {
        let asked = site.read("asked");
        ["web@1.service", "web@2.service"]
            .iter()
            .all(|unit| asked.lines().any(|line| line == manager.main_process(unit).0.to_string()))
    });
    assert_eq!(manager.property("web@1.service", "SubState"), "start-check");
    site.file("good", "");
    manager.until_sub_state("web@1.service", "running");
    manager.until_sub_state("web@2.service", "running");
}

#[test]
fn a_unix_socket_is_asked_by_its_path() {
    for check in ["tcp", "http:/", "accepting"] {
        let site = Site::new();
        site.unit("web.socket", "[Socket]\nListenStream={dir}/web.sock\n");
        site.unit("web.service", &format!("[Service]\nExecStart={{dir}}/server\nReadyCheck={check}\n"));
        let server = site.file("server", &DOORS.replace("-$SOCKMGR_INSTANCE", ""));
        std::fs::set_permissions(server, PermissionsExt::from_mode(0o755)).unwrap();
        let manager = start(&site);
        manager.until_sub_state("web.service", "start-check");
        site.file("open", "");
        manager.until_sub_state("web.service", "running");
    }
}

#[test]
fn who_never_answers_has_not_started() {
    let site = group("ListenStream={host}:80", "http:/\nReadyCheckTimeoutSec=200ms\nRestart=no");
    let manager = start(&site);
    until("both have failed", || {
        ["web@1.service", "web@2.service"].iter().all(|unit| manager.property(unit, "Result") == "timeout")
    });
    manager.until_logged("not ready in time (ReadyCheck=)");
}

#[test]
fn a_rolling_restart_of_servers_that_say_nothing_loses_nothing() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\nInstances=3\n");
    site.unit(
        "web@.service",
        "[Service]\nExecStart=/bin/sh -c 'sleep 0.2; exec {witness}'\nEnvironment=WITNESS_GRACE=1\nReadyCheck=tcp\n",
    );
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    manager.up("web.service");
    let load = Load::start(Server::Tcp(site.address(80)), 500);
    load.until_answered(100);
    manager.sockmgr(&["restart", "web.service"]).ok();
    load.until_answered(100);
    load.stop().nothing_lost();
}
