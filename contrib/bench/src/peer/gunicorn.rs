//! gunicorn with two workers, which SIGHUP replaces.

use anyhow::Result;
use nix::sys::signal::Signal;
use sockmgr_tests::command::tool;
use sockmgr_tests::load::Exchange;
use sockmgr_tests::program::{Program, tied};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

use super::{PORT, Peer, Running, until_listening};

/// The least that a WSGI application can be.
const APPLICATION: &str = "import os
def app(environ, start_response):
    body = b'%d\\n' % os.getpid()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]
";

/// Two workers and SIGHUP.
#[derive(Clone, Copy, Debug)]
pub struct Gunicorn;

impl Peer for Gunicorn {
    fn name(&self) -> &'static str {
        "gunicorn: HUP, 2 workers"
    }

    fn exchange(&self) -> Exchange {
        Exchange::HTTP
    }

    fn start<'a>(&self, site: &'a Site) -> Result<Box<dyn Running + 'a>> {
        site.file("application.py", APPLICATION);
        let address = site.address(PORT).to_string();
        let mut command = tied();
        command.arg(tool("gunicorn")).arg("--chdir").arg(site.path("")).args([
            "--workers",
            "2",
            "--bind",
            &address,
        ]);
        command.args(["--backlog", "4096", "--log-level", "error", "application:app"]);
        let master = Program::start(&mut command, &site.path("gunicorn.log"));
        until_listening(site, 1);
        until("gunicorn has its workers", || master.process().children().len() == 2);
        Ok(Box::new(Master(master)))
    }
}

struct Master(Program);

impl Running for Master {
    fn restart(&mut self, _: u32) -> Result<()> {
        self.0.signal(Signal::SIGHUP);
        Ok(())
    }
}
