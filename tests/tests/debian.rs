//! Servers of Debian's packages, under the unit files that they come with: each is reached by its own client, is stopped,
//! and starts again for the next one. The machine that they run on is theirs alone ([`Namespace::Machine`]).

use std::fs;
use std::path::Path;

use sockmgr_tests::command::{Ran, tool};
use sockmgr_tests::kernel::Process;
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::namespace::{Namespace, beside};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::{until, until_some};

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

#[test]
fn uwsgi_as_a_dynamic_user() {
    let site = Site::new();
    let manager = with_units(&site, &["uwsgi-app@.socket", "uwsgi-app@.service"]);
    let app = "import getpass\ndef application(environ, start):\n    start('200 OK', [])\n    return [b'hello from ' + getpass.getuser().encode()]\n";
    // Not below /tmp: a dynamic user has one of its own.
    let ini = "[uwsgi]\nprotocol = http\nmaster = true\nplugin = python3\nwsgi-file = /etc/uwsgi/app.py\n";
    let _ = inside(&manager, "mkdir -p /etc/uwsgi/apps-available /run/uwsgi").code(0);
    for (file, text) in [("app.py", app), ("apps-available/demo.ini", ini)] {
        let source = site.file("source", text);
        let _ = inside(&manager, &format!("install -m 644 {} /etc/uwsgi/{file}", source.display())).code(0);
    }
    let client = "curl -sSf --unix-socket /run/uwsgi/demo.socket http://localhost/";
    serves_again_after_a_stop(
        &manager,
        "uwsgi-app@demo.socket",
        "uwsgi-app@demo.service",
        client,
        "hello from www-demo",
    );
}

#[test]
fn cups_whose_socket_goes_with_it() {
    let site = Site::new();
    let manager = with_units(&site, &["cups.socket", "cups.service", "cups.path"]);
    let client = "lpstat -h /run/cups/cups.sock -r";
    serves_again_after_it_ended(&manager, "cups.socket", "cups.service", client, "scheduler is running");
    // PartOf=
    manager.sockmgr(&["stop", "cups.service"]).ok();
    assert_eq!(manager.property("cups.socket", "ActiveState"), "inactive");
    let _ = inside(&manager, "test ! -e /run/cups/cups.sock").code(0);
}

/// As [`serves_again_after_a_stop`], where it is the server that ends.
#[track_caller]
fn serves_again_after_it_ended(
    manager: &Manager<'_>,
    socket: &str,
    service: &str,
    client: &str,
    answer: &str,
) {
    manager.up(socket);
    for _ in 0..2 {
        let _ = inside(manager, client).says(&[answer]).code(0);
        // It answers before it says that it is ready, and what ends before that has failed.
        manager.until_sub_state(service, "running");
        manager.sockmgr(&["kill", "--kill-whom=main", service]).ok();
        manager.until_sub_state(service, "dead");
    }
}

/// A key of the site's that root of the machine lets in; the options for `ssh` to use it.
fn ssh_client(site: &Site, manager: &Manager<'_>) -> String {
    let key = site.path("key");
    Ran::of(
        std::process::Command::new(tool("ssh-keygen"))
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key),
    )
    .ok();
    let key = key.display();
    let _ = inside(
        manager,
        &format!(
            "mkdir -m 700 /run/keys && cp {key}.pub /run/keys/root &&
             echo 'AuthorizedKeysFile /run/keys/%u' > /etc/ssh/sshd_config.d/keys.conf"
        ),
    )
    .code(0);
    format!(
        "ssh -F none -i {key} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile={key}.known -o LogLevel=ERROR"
    )
}

#[test]
fn sshd_by_its_socket() {
    let site = Site::new();
    let manager = with_units(&site, &["ssh.socket", "ssh.service"]);
    let client = format!("{} root@127.0.0.1 echo hello from '$SSH_CONNECTION'", ssh_client(&site, &manager));
    serves_again_after_a_stop(&manager, "ssh.socket", "ssh.service", &client, "hello from 127.0.0.1");
}

#[test]
fn a_session_of_sshd_outlives_the_service() {
    let site = Site::new();
    let manager = with_units(&site, &["ssh.socket", "ssh.service"]);
    let ssh = ssh_client(&site, &manager);
    manager.up("ssh.socket");
    let session = format!("{ssh} root@127.0.0.1 'echo $$ > /run/session; exec sleep 1000' >/dev/null 2>&1 &");
    let _ = inside(&manager, &session).code(0);
    let shell = until_some("the session runs", || {
        inside(&manager, "cat /run/session").stdout.trim().parse().ok().map(Process)
    });
    manager.sockmgr(&["stop", "ssh.service"]).ok();
    // KillMode=process
    assert!(shell.is_alive());
    shell.kill_if_there();
}

/// As Debian's package had it before `ssh.socket` handed over its listener.
#[test]
fn sshd_for_each_connection() {
    let site = Site::new();
    site.unit("sshd.socket", "[Socket]\nListenStream=22\nAccept=yes\n");
    site.unit(
        "sshd@.service",
        "[Service]\nExecStart=-/usr/sbin/sshd -i\nStandardInput=socket\nRuntimeDirectory=sshd\nRuntimeDirectoryPreserve=yes\n",
    );
    let manager = with_units(&site, &[]);
    let client = format!("{} root@127.0.0.1 echo hello", ssh_client(&site, &manager));
    manager.up("sshd.socket");
    for accepted in ["1", "2"] {
        let _ = inside(&manager, &client).says(&["hello"]).code(0);
        assert_eq!(manager.property("sshd.socket", "NAccepted"), accepted);
    }
    until("the instances are gone", || manager.property("sshd.socket", "NConnections") == "0");
}
