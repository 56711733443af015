//! The original client: the unmodified systemctl against our control, where it is installed.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use super::world::World;
use crate::control::Hub;

/// Runs systemctl as a user whose manager is ours.
fn systemctl(runtime_dir: &Path, args: &str) -> Output {
    let mut command = Command::new("systemctl");
    command.arg("--user").arg("--no-pager").args(args.split(' '));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("XDG_RUNTIME_DIR", runtime_dir)
        .env("HOME", runtime_dir);
    command.output().unwrap()
}

/// Arguments, exit code, and what must be in the output.
type Step = (&'static str, i32, &'static [&'static str]);

fn check(steps: &'static [Step]) {
    let version = Command::new("systemctl").arg("--version").output();
    assert!(version.is_ok(), "systemctl is missing; `contrib/setup tests` installs it");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("systemd")).unwrap();
        let listener = UnixListener::bind(dir.path().join("systemd/private")).unwrap();
        let hub = Hub::without_bus(World::shared(), listener).unwrap();
        for (args, code, expected) in steps {
            let path = dir.path().to_owned();
            let output = tokio::task::spawn_blocking(move || systemctl(&path, args)).await.unwrap();
            let text = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert_eq!(output.status.code(), Some(*code), "systemctl {args}:\n{text}");
            for part in *expected {
                assert!(text.contains(part), "systemctl {args} does not say {part:?}:\n{text}");
            }
        }
        hub.stop().await;
    });
}

#[test]
fn units_are_started_looked_at_and_stopped() {
    check(&[
        ("is-active echo.socket", 3, &["inactive"]),
        ("start echo.socket", 0, &[]),
        ("is-active echo.socket", 0, &["active"]),
        (
            "status echo.socket",
            0,
            &[
                "Echo",
                "Loaded: loaded (/units/echo.socket",
                "Active: active (listening)",
                "Listen: /run/echo (Stream)",
                "Triggers:",
            ],
        ),
        ("start echo.service", 0, &[]),
        ("status echo.service", 0, &["Active: active (running)", "Main PID: 1000", "TriggeredBy:"]),
        ("status web.service", 3, &["Active: inactive (dead)"]),
        ("stop echo.service", 0, &["Stopping echo.service, but it can still be activated by"]),
        ("restart echo.socket", 0, &[]),
        ("try-restart echo.service", 0, &[]),
        ("reload-or-restart echo.service", 0, &[]),
        ("is-active echo.service", 0, &[]),
        ("kill --kill-who=main --signal=9 echo.service", 0, &[]),
        ("is-failed echo.service", 0, &["failed"]),
        ("status echo.service", 3, &["Result: signal", "signal=KILL"]),
        ("reset-failed echo.service", 0, &[]),
        ("is-failed echo.service", 1, &["inactive"]),
        ("start -T all.target", 0, &[]),
        ("start all.target web.socket", 0, &[]),
        ("stop echo.socket", 0, &[]),
        ("daemon-reload", 0, &[]),
    ]);
}

#[test]
fn listings_read_as_ever() {
    check(&[
        ("start web.socket echo.socket", 0, &[]),
        ("list-sockets", 0, &["127.0.0.1:8080", "web.socket", "web.service", "@echo", "3 sockets listed"]),
        (
            "list-units --all",
            0,
            &["echo.socket", "Echo", "listening", "masked.service", "loaded units listed"],
        ),
        ("list-units --state=listening", 0, &["2 loaded units listed"]),
        ("list-units web*", 0, &["web.socket"]),
        ("list-jobs", 0, &["No jobs running."]),
        ("list-dependencies all.target", 0, &["echo.socket"]),
        ("show -p Listen,Accept echo.socket", 0, &["Listen=/run/echo (Stream)", "Accept=no"]),
        ("show -p ExecStart --value echo.service", 0, &["path=/bin/echo ; argv[]=/bin/echo one"]),
        ("show absent.service", 0, &["LoadState=not-found"]),
        ("show", 0, &["Version=252-sockmgr", "NFailedUnits=0"]),
    ]);
}

#[test]
fn refusals_have_systemctls_exit_codes() {
    check(&[
        ("start absent.service", 5, &["Unit absent.service not found."]),
        ("start masked.service", 1, &["Unit masked.service is masked."]),
        ("start bad.service", 1, &["bad unit file setting"]),
        ("reload echo.service", 3, &["Job type"]),
        ("stop absent.service", 5, &["Unit absent.service not loaded."]),
        ("is-active absent.socket", 3, &["inactive"]),
        ("status absent.socket", 4, &["could not be found"]),
        ("kill absent.service", 1, &[]),
        ("reset-failed absent.service", 1, &[]),
        ("cancel 1", 1, &["Job 1 does not exist"]),
        ("log-level", 1, &["Unknown object"]),
    ]);
}
