//! Servers of Debian's packages, under the unit files that they come with: each is reached by its own client, is stopped,
//! and starts again for the next one. The machine that they run on is theirs alone ([`Namespace::Machine`]).

use std::fs;
use std::path::Path;

use sockmgr_tests::command::Ran;
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::namespace::{Namespace, beside};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

/// Where Debian 12 puts unit files, and where its successors do.
const PACKAGED: [&str; 2] = ["/lib/systemd/system", "/usr/lib/systemd/system"];

/// A manager of the whole machine with the unit files of some packages, as they are.
fn with_units<'a>(site: &'a Site, units: &[&str]) -> Manager<'a> {
    for unit in units {
        let packaged = PACKAGED.map(|directory| Path::new(directory).join(unit));
        let file = packaged.iter().find(|file| file.exists());
        let file = file.unwrap_or_else(|| panic!("no package has {unit}; contrib/setup tests installs them"));
        fs::copy(file, site.path("units").join(unit)).unwrap();
    }
    Setup::new(site).system().within(Namespace::Machine).start()
}

/// Runs a shell command where the manager runs.
#[track_caller]
fn inside(manager: &Manager<'_>, command: &str) -> Ran {
    Ran::of(beside(manager.keeper(), "sh").args(["-c", command]))
}

/// Starts the socket; a client is answered twice, with the service stopped in between.
#[track_caller]
fn serves_again_after_a_stop(manager: &Manager<'_>, socket: &str, service: &str, client: &str, answer: &str) {
    manager.up(socket);
    for turn in ["first", "second"] {
        assert_eq!(manager.property(service, "ActiveState"), "inactive", "before the {turn} client");
        let _ = inside(manager, client).says(&[answer]).code(0);
        until("the service is up", || manager.property(service, "ActiveState") == "active");
        manager.sockmgr(&["stop", service]).ok();
        assert_eq!(manager.property(service, "Result"), "success");
    }
}

#[test]
fn rpcbind() {
    let site = Site::new();
    let manager = with_units(&site, &["rpcbind.socket", "rpcbind.service"]);
    serves_again_after_a_stop(
        &manager,
        "rpcbind.socket",
        "rpcbind.service",
        "rpcinfo -p 127.0.0.1",
        "portmapper",
    );
}

#[test]
fn fcgiwrap_runs_a_script() {
    let site = Site::new();
    let manager = with_units(&site, &["fcgiwrap.socket", "fcgiwrap.service"]);
    let script =
        site.file("script", "#!/bin/sh\necho 'Content-Type: text/plain'\necho\necho I am $(id -un)\n");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let client = format!(
        "SCRIPT_FILENAME={} REQUEST_METHOD=GET cgi-fcgi -bind -connect /run/fcgiwrap.socket",
        script.display()
    );
    serves_again_after_a_stop(&manager, "fcgiwrap.socket", "fcgiwrap.service", &client, "I am www-data");
}

#[test]
fn uuidd_behind_its_sandbox() {
    let site = Site::new();
    let manager = with_units(&site, &["uuidd.socket", "uuidd.service"]);
    serves_again_after_a_stop(
        &manager,
        "uuidd.socket",
        "uuidd.service",
        "uuidd -t -n 2",
        "and 1 subsequent UUID",
    );
}

#[test]
fn gpsd() {
    let site = Site::new();
    let manager = with_units(&site, &["gpsd.socket", "gpsd.service"]);
    let client = "exec 3<>/dev/tcp/127.0.0.1/2947; head -n1 <&3";
    let client = format!("bash -c '{client}'");
    serves_again_after_a_stop(&manager, "gpsd.socket", "gpsd.service", &client, "\"class\":\"VERSION\"");
}

#[test]
fn tang_for_each_connection() {
    let site = Site::new();
    let manager = with_units(&site, &["tangd.socket", "tangd@.service"]);
    manager.up("tangd.socket");
    for accepted in ["1", "2"] {
        let _ = inside(&manager, "curl -sSf http://127.0.0.1/adv").says(&["payload"]).code(0);
        assert_eq!(manager.property("tangd.socket", "NAccepted"), accepted);
    }
    until("the instances are gone", || manager.property("tangd.socket", "NConnections") == "0");
}
