//! Enabling, editing and the like with a manager: by the unmodified `systemctl`, and by `sockmgr`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use sockmgr_tests::built;
use sockmgr_tests::command::{Ran, tool};
use sockmgr_tests::manager::{Setup, sockmgr_in};
use sockmgr_tests::namespace::is_root;
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

/// The unmodified systemctl against the manager of a site. It leaves unit files to a manager only where systemd runs, which
/// it knows by a directory; so it gets a `/run` of its own that has it.
fn systemctl(site: &Site, words: &[&str]) -> Ran {
    let mut command = Command::new(tool("unshare"));
    if !is_root() {
        command.arg("--map-root-user");
    }
    let script = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec \"$@\"";
    command.args(["--mount", "--", "sh", "-c", script, "sh"]).arg(tool("systemctl"));
    command.args(["--user", "--no-pager"]).args(words);
    command.env("XDG_RUNTIME_DIR", site.path("xdg")).env_remove("DBUS_SESSION_BUS_ADDRESS");
    Ran::of(command.env("LC_ALL", "C.UTF-8").env_remove("SYSTEMD_UNIT_PATH"))
}

fn site() -> Site {
    let site = Site::new();
    site.unit(
        "echo.socket",
        "[Socket]\nListenStream={host}:7\n[Install]\nWantedBy=sockets.target\nAlias=ping.socket\n",
    );
    site.unit("echo.service", "[Service]\nExecStart={echo}\n");
    site.unit("t@.service", "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n");
    site.make("xdg/systemd", 0o700);
    symlink(site.path("run/private"), site.path("xdg/systemd/private")).unwrap();
    site
}

#[test]
fn systemctl_has_the_manager_do_it() {
    let site = site();
    let manager = Setup::new(&site).start();
    let wants = site.path("units/sockets.target.wants/echo.socket");
    assert_eq!(systemctl(&site, &["is-enabled", "echo.socket"]).code(1).stdout, "disabled\n");
    let said = systemctl(&site, &["enable", "echo.socket"]).code(0).stderr;
    let created =
        format!("Created symlink {} → {}.", wants.display(), site.path("units/echo.socket").display());
    assert!(said.contains(&created), "{said}");
    assert!(wants.symlink_metadata().is_ok());
    assert_eq!(systemctl(&site, &["is-enabled", "echo.socket", "ping.socket"]).text(), "enabled\nalias");
    // It has read the files again.
    assert_eq!(manager.property("echo.socket", "Names"), "echo.socket ping.socket");
    let _ =
        systemctl(&site, &["status", "echo.socket"]).code(3).says(&["echo.socket; enabled; preset: enabled"]);
    let list = systemctl(&site, &["list-unit-files", "--no-legend", "echo.*"]).text();
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [vec!["echo.service", "static", "-"], vec!["echo.socket", "enabled", "enabled"]]);

    systemctl(&site, &["enable", "t@one.service"]).ok();
    let _ = systemctl(&site, &["enable", "t@.service"]).code(1).says(&["DefaultInstance="]);
    let _ = systemctl(&site, &["enable", "nosuch.service"]).code(1).says(&["does not exist"]);
    systemctl(&site, &["enable", "echo.service"]).says(&["no installation config"]).ok();
    systemctl(&site, &["disable", "echo.socket"]).says(&["Removed"]).ok();
    assert!(wants.symlink_metadata().is_err());
    let _ = systemctl(&site, &["mask", "echo.service"]).code(1).says(&["already exists"]);
    systemctl(&site, &["mask", "other.service"]).ok();
    assert_eq!(systemctl(&site, &["is-enabled", "other.service"]).code(1).stdout, "masked\n");
    let _ = systemctl(&site, &["start", "other.service"]).code(1).says(&["masked"]);
    systemctl(&site, &["unmask", "other.service"]).ok();
    systemctl(&site, &["add-requires", "sockets.target", "echo.socket"]).ok();
    assert!(manager.property("sockets.target", "Requires").contains("echo.socket"));
    systemctl(&site, &["set-default", "multi-user.target"]).ok();
    assert_eq!(systemctl(&site, &["get-default"]).text(), "multi-user.target");
    systemctl(&site, &["preset", "echo.socket"]).ok();
    systemctl(&site, &["preset-all"]).ok();
    assert_eq!(manager.property("echo.socket", "UnitFileState"), "enabled");
    systemctl(&site, &["reenable", "echo.socket"]).ok();
    systemctl(&site, &["revert", "echo.socket"]).ok();
    let elsewhere = site.file("far.service", "[Service]\nExecStart=/bin/true\n");
    systemctl(&site, &["link", elsewhere.to_str().unwrap()]).ok();
    assert_eq!(manager.property("far.service", "LoadState"), "loaded");
    let _ = systemctl(&site, &["mask", "--runtime", "far.service"]).code(1).says(&["--runtime"]);
}

#[test]
fn sockmgr_enables_and_starts_at_once() {
    let site = site();
    let manager = Setup::new(&site).start();
    let enabled = manager.sockmgr(&["enable", "--now", "echo.socket"]).code(0);
    assert!(enabled.stderr.contains("Created symlink"), "{enabled}");
    assert_eq!(manager.property("echo.socket", "ActiveState"), "active");
    assert_eq!(manager.sockmgr(&["is-enabled", "echo.socket", "ping.socket"]).text(), "enabled\nalias");
    let disabled = manager.sockmgr(&["disable", "--now", "-q", "echo.socket"]).code(0);
    assert_eq!((disabled.stdout.as_str(), disabled.stderr.as_str()), ("", ""));
    assert_eq!(manager.property("echo.socket", "ActiveState"), "inactive");
    manager.sockmgr(&["enable", "--no-reload", "echo.socket"]).ok();
    assert_eq!(manager.property("echo.socket", "Names"), "echo.socket", "nothing was read again");
    assert!(manager.sockmgr(&["list-unit-files", "--json"]).text().contains("\"echo.socket\""));
    let refused = manager.sockmgr(&["is-enabled", "nosuch.service"]).code(1);
    assert!(refused.stderr.contains("Failed to get unit file state for nosuch.service"), "{refused}");
    let refused = manager.sockmgr(&["enable", "nosuch.service"]).code(1);
    assert!(refused.stderr.contains("Failed to enable"), "{refused}");
}

#[test]
fn edits_are_read_and_changes_on_disk_are_noticed() {
    let site = site();
    let manager = Setup::new(&site).start();
    assert_eq!(manager.property("echo.service", "NeedDaemonReload"), "no");
    let text = "printf '[Unit]\\nDescription=Edited\\n'";
    let script = format!(
        "#!/bin/sh\n{text} > {{dir}}/text\ngrep -q '^###' $1 && sed -i '3r {{dir}}/text' $1 || {text} >> $1\n"
    );
    let editor = site.file("editor", &script);
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    let edit = |words: &[&str]| {
        Ran::of(manager.command().args(words).env("EDITOR", &editor).env_remove("SYSTEMD_EDITOR"))
    };
    edit(&["edit", "echo.service"]).ok();
    assert_eq!(site.read("units/echo.service.d/override.conf"), "[Unit]\nDescription=Edited\n");
    assert_eq!(manager.property("echo.service", "Description"), "Edited");
    edit(&["edit", "--no-reload", "--drop-in=more", "echo.service"]).ok();
    assert_eq!(manager.property("echo.service", "NeedDaemonReload"), "yes");
    manager.sockmgr(&["daemon-reload"]).ok();
    assert_eq!(manager.property("echo.service", "NeedDaemonReload"), "no");
    edit(&["edit", "--full", "echo.service"]).ok();
    assert!(site.read("units/echo.service").contains("Description=Edited"));
    let none = edit(&["edit", "nosuch.service"]).code(1);
    assert!(none.stderr.contains("--force --full"), "{none}");
    edit(&["edit", "--force", "--full", "nosuch.service"]).ok();
    assert_eq!(manager.property("nosuch.service", "LoadState"), "bad-setting");
    manager.sockmgr(&["revert", "echo.service"]).ok();
    assert!(!site.path("units/echo.service.d").exists());
    // A file that comes while nobody reads is found all the same, and is as it was read.
    site.unit("late.service", "[Service]\nExecStart=/bin/true\n");
    assert_eq!(manager.property("late.service", "NeedDaemonReload"), "no");
}

#[test]
fn services_inherit_what_clients_set() {
    let site = site();
    site.unit(
        "env.service",
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo $FIRST-$SECOND > {dir}/seen'\n",
    );
    let manager = Setup::new(&site).variable("SECOND", "inherited").start();
    let seen = || {
        manager.sockmgr(&["start", "env.service"]).ok();
        site.read("seen")
    };
    assert_eq!(seen(), "-inherited\n");
    manager.sockmgr(&["set-environment", "FIRST=a b"]).ok();
    assert_eq!(seen(), "a b-inherited\n");
    assert!(manager.sockmgr(&["show-environment"]).text().contains("FIRST=$'a b'"));
    systemctl(&site, &["unset-environment", "SECOND"]).ok();
    assert_eq!(seen(), "a b-\n");
    manager.sockmgr(&["daemon-reload"]).ok();
    let brain = manager.brain();
    brain.kill();
    until("another manager answers", || {
        !brain.is_alive() && manager.sockmgr(&["is-active", "nosuch"]).code == 3
    });
    assert_eq!(seen(), "a b-\n");
    let mut import = manager.command();
    Ran::of(import.args(["import-environment", "SECOND"]).env("SECOND", "shell")).ok();
    assert_eq!(seen(), "a b-shell\n");
    let _ = manager.sockmgr(&["set-environment", "1A=x"]).code(1).says(&["1A"]);
}

/// What `sockmgr` does for a user without a manager, in the directories that the environment names.
#[test]
fn a_user_needs_no_manager_for_it() {
    let site = Site::new();
    site.make("config/sockmgr/user", 0o755);
    site.make("xdg", 0o700);
    let text = "[Socket]\nListenStream = 1\n[Install]\nWantedBy = [\"sockets.target\", \"%u.target\"]\n";
    site.file("config/sockmgr/user/web.socket.toml", text);
    site.file("config/sockmgr/user/own.service", "[Service]\nExecStart=/bin/true\n");
    let user = |words: &[&str]| {
        let mut command = sockmgr_in(&built::sockmgr(), "--user", &site.path("run"));
        command
            .args(words)
            .env("XDG_CONFIG_HOME", site.path("config"))
            .env("XDG_RUNTIME_DIR", site.path("xdg"));
        Ran::of(command.env("HOME", site.path("")))
    };
    let config = |path: &str| site.path("config/sockmgr/user").join(path);
    user(&["enable", "web.socket"]).ok();
    let target = fs::read_link(config("sockets.target.wants/web.socket")).unwrap();
    assert_eq!(target, config("web.socket.toml"));
    assert_eq!(user(&["is-enabled", "web.socket"]).text(), "enabled");
    let masked = user(&["mask", "web.socket"]).code(1);
    assert!(masked.stderr.contains("web.socket.toml\" already exists"), "{masked}");
    user(&["mask", "--runtime", "own.service"]).ok();
    assert_eq!(fs::read_link(site.path("xdg/sockmgr/user/own.service")).unwrap().to_str(), Some("/dev/null"));
    assert_eq!(user(&["is-enabled", "own.service"]).text(), "static", "the configuration comes first");
    user(&["enable", "--runtime", "web.socket"]).ok();
    user(&["disable", "web.socket"]).ok();
    assert_eq!(user(&["is-enabled", "web.socket"]).text(), "enabled-runtime");
    let without = user(&["enable", "--now", "web.socket"]).code(1);
    assert!(without.stderr.contains("no sockmgr manager runs"), "{without}");
}

/// Whoever can put a link where a directory should be does not get others' files changed.
#[test]
fn a_link_in_place_of_a_directory_is_not_followed() {
    let site = site();
    site.make("elsewhere", 0o755);
    symlink(site.path("elsewhere"), site.path("units/sockets.target.wants")).unwrap();
    let manager = Setup::new(&site).start();
    let refused = manager.sockmgr(&["enable", "echo.socket"]).code(1);
    assert!(refused.stderr.contains("sockets.target.wants/echo.socket"), "{refused}");
    assert_eq!(fs::read_dir(site.path("elsewhere")).unwrap().count(), 0);
}
