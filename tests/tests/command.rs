//! The `sockmgr` command against a real manager: what it prints, what it exits with, what it says when all is not well.

use std::process::Command;

use serde_json::Value;

use sockmgr_tests::built;
use sockmgr_tests::command::Ran;
use sockmgr_tests::manager::{Setup, sockmgr_in};
use sockmgr_tests::program::Program;
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

fn site() -> Site {
    let site = Site::new();
    site.unit("echo.socket", "[Unit]\nDescription=Echo socket\n[Socket]\nListenStream={host}:7\n");
    site.unit("echo.service", "[Service]\nExecStart={echo}\n");
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\nInstances=3\n");
    site.unit("web@.service", "[Unit]\nDescription=Web %i\n[Service]\nType=notify\nExecStart={hello}\n");
    site.unit("fails.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
    site
}

#[test]
fn units_are_meant_by_short_names_and_globs_and_several_at_once() {
    let site = site();
    let manager = Setup::new(&site).start();
    manager.sockmgr(&["start", "echo.socket", "web.socket", "echo"]).ok();
    assert_eq!(
        manager.sockmgr(&["is-active", "echo", "echo.socket", "web.socket"]).text(),
        "active\nactive\nactive"
    );
    let units = manager.sockmgr(&["list-units", "--no-legend", "--plain", "*.socket"]).text();
    assert_eq!(units.lines().count(), 2, "{units}");
    manager.sockmgr(&["stop", "*.socket"]).ok();
    let states = manager.sockmgr(&["is-active", "echo.socket", "web.socket"]).code(3);
    assert_eq!(states.stdout, "inactive\ninactive\n");
}

#[test]
fn a_group_shows_its_instances() {
    let site = site();
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    manager.up("web.service");
    for number in 1..=3 {
        manager.until_sub_state(&format!("web@{number}.service"), "running");
    }
    let status = manager.sockmgr(&["status", "web"]).code(0);
    for number in 1..=3 {
        let main = manager.main_process(&format!("web@{number}.service")).0.to_string();
        assert!(
            status.stdout.contains(&format!("web@{number}.service")) && status.stdout.contains(&main),
            "{status}"
        );
    }
    let sockets = manager.sockmgr(&["list-sockets"]).text();
    assert!(sockets.contains("web.socket") && sockets.contains("web"), "{sockets}");
}

#[test]
fn json_is_json() {
    let site = site();
    let manager = Setup::new(&site).start();
    manager.up("echo.socket");
    let parse = |words: &[&str]| -> Value {
        let ran = manager.sockmgr(words);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
    };
    let sockets = parse(&["--json", "list-sockets"]);
    assert_eq!(sockets[0]["listen"], site.address(7).to_string());
    assert_eq!(sockets[0]["unit"], "echo.socket");
    let units = parse(&["--json=pretty", "list-units"]);
    let unit = units.as_array().unwrap().iter().find(|unit| unit["unit"] == "echo.socket").unwrap();
    assert_eq!(
        (unit["load"].as_str(), unit["active"].as_str(), unit["sub"].as_str()),
        (Some("loaded"), Some("active"), Some("listening"))
    );
    for words in [
        &["--json", "show", "echo.socket"][..],
        &["--json", "status", "echo.socket"],
        &["--json", "is-active", "echo.socket"],
        &["--json", "cat", "echo.socket"],
    ] {
        assert!(!parse(words).is_null(), "{words:?}");
    }
}

#[test]
fn exit_codes_are_those_of_systemctl() {
    let site = site();
    let manager = Setup::new(&site).start();
    for (words, code) in [
        (&["start", "nosuch.service"][..], 5),
        (&["status", "nosuch.service"], 4),
        (&["status", "echo.socket"], 3),
        (&["is-active", "echo.socket"], 3),
        (&["is-failed", "echo.socket"], 1),
        (&["start", "fails.service"], 1),
        (&["is-failed", "fails.service"], 0),
        (&["list-units", "--failed", "--no-legend"], 0),
        (&["reset-failed"], 0),
        (&["is-failed", "fails.service"], 1),
        (&["--no-block", "start", "fails.service"], 0),
        (&["cat", "nosuch.service"], 1),
        (&["show", "nosuch.service"], 0),
        (&["kill", "nosuch.service"], 1),
        (&["is-system-running"], 0),
        (&["--version"], 0),
        (&["help"], 0),
    ] {
        let ran = manager.sockmgr(words);
        if words == ["is-system-running"] {
            // `fails.service` may have failed again by now: degraded.
            assert!(ran.code <= 1, "{ran}");
        } else {
            assert_eq!(ran.code, code, "{ran}");
        }
    }
}

#[test]
fn without_a_manager_it_says_what_to_do() {
    let site = Site::new();
    let ran =
        Ran::of(sockmgr_in(&built::sockmgr(), "--user", &site.path("run")).args(["status", "x"])).code(1);
    assert!(
        ran.stderr.contains("sockmgr up") && ran.stderr.contains(site.path("run").to_str().unwrap()),
        "{ran}"
    );
}

#[test]
fn kill_sends_the_signal_to_whom_it_is_told() {
    let site = Site::new();
    let script = "trap \"echo main >> {dir}/heard\" USR1; echo up > {dir}/up; while :; do sleep 0.02; done";
    site.unit("deaf.service", &format!("[Service]\nType=exec\nExecStart=/bin/sh -c '{script}'\n"));
    let manager = Setup::new(&site).start();
    manager.up("deaf.service");
    until("its trap is set", || site.read("up") == "up\n");
    manager.sockmgr(&["kill", "--kill-whom=main", "--signal=USR1", "deaf.service"]).ok();
    until("it hears", || site.read("heard") == "main\n");
    let main = manager.main_process("deaf.service");
    manager.sockmgr(&["kill", "-s", "KILL", "deaf"]).ok();
    until("it is dead", || !main.is_alive());
    until("it has failed", || manager.property("deaf.service", "Result") == "signal");
}

#[test]
fn verify_names_file_line_and_remedy() {
    let site = Site::new();
    site.unit("good.socket", "[Socket]\nListenStream={host}:7\n");
    site.unit("good.service", "[Service]\nExecStart=/bin/true\n");
    site.unit("bad.socket", "[Socket]\nListenStream={host}:8\nNoDelay=perhaps\nListenStrem={host}:9\n");
    site.unit("bad.service", "[Service]\nExecStart=/bin/true\n");
    let verify =
        |name: &str| Ran::of(Command::new(built::sockmgr()).arg("verify").arg(site.path("units").join(name)));
    verify("good.socket").ok();
    let bad = verify("bad.socket");
    assert_ne!(bad.code, 0);
    let said = format!("{}{}", bad.stdout, bad.stderr);
    for part in ["bad.socket:3: ", "NoDelay", "bad.socket:4: ", "ListenStrem", "ListenStream"] {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
}

#[test]
fn both_syntaxes_and_drop_ins_make_the_same_units() {
    let site = Site::new();
    site.unit("one.socket", "[Socket]\nListenStream={host}:7\nListenStream={dir}/one\nNoDelay=yes\n");
    site.unit("two.socket.toml", "[Socket]\nListenStream = [\"{host}:8\", \"{dir}/two\"]\nNoDelay = true\n");
    for name in ["one", "two"] {
        site.unit(&format!("{name}.service"), "[Service]\nExecStart={echo}\n");
        site.unit(&format!("{name}.socket.d/more.conf"), "[Socket]\nBacklog=77\n");
    }
    let manager = Setup::new(&site).start();
    for (name, port) in [("one", 7), ("two", 8)] {
        let unit = format!("{name}.socket");
        manager.up(&unit);
        assert_eq!(manager.property(&unit, "NoDelay"), "yes");
        assert_eq!(manager.property(&unit, "Backlog"), "77");
        let listen = manager.property(&unit, "Listen");
        assert!(listen.contains(&site.address(port).to_string()), "{listen}");
        assert!(listen.contains(site.path(name).to_str().unwrap()), "{listen}");
        assert!(manager.property(&unit, "DropInPaths").ends_with("more.conf"));
    }
}

#[test]
fn up_names_what_is_broken_and_runs_the_rest() {
    let site = site();
    site.unit("bad.socket", "[Socket]\nListenStream=nonsense\n");
    site.unit("bad.service", "[Service]\nExecStart={echo}\n");
    let up = || sockmgr_in(&built::sockmgr(), "--user", &site.path("run"));
    let mut program = Program::start(up().arg("up").arg(site.path("units")), &site.path("log"));
    until("it says what listens", || program.log().contains("ACTIVATES"));
    let log = program.log();
    assert!(log.contains("bad.socket:2: "), "{log}");
    let is_row = |line: &str, unit: &str| line.contains(&site.address(80).to_string()) && line.contains(unit);
    assert!(log.lines().any(|line| is_row(line, "web.socket") && line.contains('3')), "{log}");
    assert_eq!(sockmgr_tests::http::hello(site.address(80)).instance.1, 3);

    let second = Ran::of(up().arg("up").arg(site.path("units")));
    assert_ne!(second.code, 0);
    assert!(second.stderr.contains(site.path("run").to_str().unwrap()), "{second}");

    program.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(program.wait(), 0);
    assert!(!site.path("run/private").exists());
}
