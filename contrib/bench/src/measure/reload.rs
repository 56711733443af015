//! How long it takes to read ten thousand unit files again.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::site::Site;

use crate::peer::UserManager;
use crate::table::{Table, alternate, figure, median, ratio};

/// Sockets; each has its service, and each tenth of both a drop-in.
const PAIRS: usize = 5000;

/// It is active and knows every socket, and so systemd, which loads only what something names, keeps all of them loaded.
const ALL: &str = "all.target";

const SOCKET: &str = "[Unit]\nDescription=Socket of %p\nDocumentation=man:web(8)\n[Socket]\nListenStream=%t/{number}\n\
    SocketMode=0660\nBacklog=512\nTimeoutSec=20s\n[Install]\nWantedBy=sockets.target\n";

const SERVICE: &str = "[Unit]\nDescription=Service of %p\nAfter=network.target\n[Service]\nType=notify\n\
    Environment=NAME=%N \"MODE=a b\"\nExecStart=/usr/bin/env sh -c 'exec true' {number}\nRestart=on-failure\nLimitNOFILE=4096\n";

#[derive(Clone, Copy, Debug)]
enum Reader {
    Sockmgr,
    Systemd,
}

/// Measures both, over the same files.
pub fn measure(rounds: u32) -> Result<Table> {
    eprintln!("reading {} unit files", 2 * PAIRS);
    let site = Site::new();
    write_units(&site);
    let ours = Setup::new(&site).start();
    let theirs = systemd(&site)?;
    let readers = [Reader::Sockmgr, Reader::Systemd];
    let runs = alternate(rounds.max(3), &readers, |reader| match reader {
        Reader::Sockmgr => reload(&mut ours.command()),
        Reader::Systemd => reload(&mut theirs.command()),
    });
    let base = median(runs[0].iter().copied());
    let rows = readers.iter().zip(&runs).map(|(reader, millis)| {
        let millis = median(millis.iter().copied());
        vec![format!("{reader:?}").to_lowercase(), figure(millis), ratio(millis, base)]
    });
    let rows = rows.collect();
    ensure!(loaded_by_us(&ours) > 2 * PAIRS, "sockmgr has not loaded all units");
    let text = format!(
        "`daemon-reload` with {PAIRS} sockets and as many services loaded, a tenth of them with drop-ins; the same files."
    );
    Ok(Table { title: "Reading unit files", text, columns: vec!["", "ms", "to ours"], rows })
}

fn write_units(site: &Site) {
    let mut sockets = Vec::new();
    for number in 0..PAIRS {
        let filled = |text: &str| text.replace("{number}", &number.to_string());
        site.unit(&format!("s{number}.socket"), &filled(SOCKET));
        site.unit(&format!("s{number}.service"), &filled(SERVICE));
        if number % 10 == 0 {
            site.unit(&format!("s{number}.socket.d/local.conf"), "[Socket]\nBacklog=64\nKeepAlive=yes\n");
            site.unit(&format!("s{number}.service.d/local.conf"), "[Service]\nEnvironment=LOCAL=1\n");
        }
        sockets.push(format!("After=s{number}.socket\n"));
    }
    site.unit(ALL, &format!("[Unit]\n{}", sockets.concat()));
}

/// A systemd that has loaded them.
fn systemd(site: &Site) -> Result<UserManager<'_>> {
    let units = UserManager::units(site);
    if let Some(above) = units.parent() {
        std::fs::create_dir_all(above)?;
    }
    std::os::unix::fs::symlink(site.path("units"), units)?;
    let manager = UserManager::start(site)?;
    manager.systemctl(&["start", ALL]).ok();
    let listed = manager.systemctl(&["list-units", "--all", "--plain", "--no-legend", "s*"]).text();
    ensure!(listed.lines().count() >= 2 * PAIRS, "systemd has loaded {} units", listed.lines().count());
    Ok(manager)
}

fn loaded_by_us(manager: &Manager<'_>) -> usize {
    let listed = manager.sockmgr(&["list-units", "--all", "--plain", "--no-legend"]).text();
    listed.lines().count()
}

/// In ms.
fn reload(command: &mut Command) -> Result<f64> {
    command.arg("daemon-reload").stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(begin.elapsed().as_secs_f64() * 1000.0)
}
