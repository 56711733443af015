//! How long the command takes.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};
use sockmgr_tests::manager::Setup;
use sockmgr_tests::site::Site;

use crate::peer::UserManager;
use crate::table::{Table, figure, median, ratio};

/// Calls of each, in turns.
const CALLS: u32 = 40;

/// What both understand.
const VERBS: [&[&str]; 3] = [&["is-active", "web.service"], &["start", "web.service"], &["list-sockets"]];

const SERVICE: &str = "[Service]\nExecStart=/bin/sleep 1000\n";

/// Measures both.
pub fn measure() -> Result<Table> {
    eprintln!("the command");
    let site = Site::new();
    let theirs = UserManager::start(&site)?;
    theirs.unit("web.service", SERVICE)?;
    theirs.systemctl(&["daemon-reload"]).ok();
    theirs.systemctl(&["start", "web.service"]).ok();
    // The same file; not before theirs is done with it.
    let ours = Setup::new(&site).start();
    ours.up("web.service");
    let mut rows = Vec::new();
    for words in VERBS {
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..CALLS {
            own.push(call(ours.command().args(words))?);
            other.push(call(theirs.command().args(words))?);
        }
        let (own, other) = (median(own), median(other));
        rows.push(vec![words.join(" "), figure(own), figure(other), ratio(other, own)]);
    }
    let text = "The median of a command's time, from fork to exit.".to_owned();
    let columns = vec!["", "sockmgr ms", "systemctl ms", "to ours"];
    Ok(Table { title: "The command", text, columns, rows })
}

/// In ms.
fn call(command: &mut Command) -> Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let begin = Instant::now();
    let status = command.status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(begin.elapsed().as_secs_f64() * 1000.0)
}
