//! nginx with a listener for each worker, changing the number of its workers by reloading its configuration.

use anyhow::Result;
use nix::sys::signal::Signal;
use sockmgr_tests::command::tool;
use sockmgr_tests::load::Exchange;
use sockmgr_tests::program::{Program, tied};
use sockmgr_tests::site::Site;

use super::{PORT, Peer, Running, until_listening};

/// Four workers, then two, then four.
#[derive(Clone, Copy, Debug)]
pub struct Nginx;

impl Peer for Nginx {
    fn name(&self) -> &'static str {
        "nginx: reload, 4 workers to 2 and back"
    }

    fn exchange(&self) -> Exchange {
        Exchange::HTTP
    }

    fn start<'a>(&self, site: &'a Site) -> Result<Box<dyn Running + 'a>> {
        configure(site, 4);
        let mut command = tied();
        command
            .arg(tool("nginx"))
            .args(["-e", "stderr", "-p"])
            .arg(site.path(""))
            .arg("-c")
            .arg(site.path("nginx.conf"));
        let master = Program::start(&mut command, &site.path("nginx.log"));
        until_listening(site, 4);
        Ok(Box::new(Master { site, master }))
    }
}

struct Master<'a> {
    site: &'a Site,
    master: Program,
}

impl Running for Master<'_> {
    fn restart(&mut self, round: u32) -> Result<()> {
        configure(self.site, if round.is_multiple_of(2) { 2 } else { 4 });
        self.master.signal(Signal::SIGHUP);
        Ok(())
    }
}

fn configure(site: &Site, workers: u32) {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {{dir}}/{kind};"));
    let text = format!(
        "daemon off; worker_processes {workers}; pid {{dir}}/nginx.pid; error_log stderr crit;\n\
         events {{ worker_connections 8192; }}\n\
         http {{ access_log off; {}\n\
         server {{ listen {{host}}:{PORT} reuseport backlog=4096;\n\
         location / {{ return 200 \"$pid\\n\"; }} }} }}\n",
        temporary.concat()
    );
    site.file("nginx.conf", &text);
}
