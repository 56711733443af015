//! The samples of `units/`, as shipped, by `sockmgr up`: what a newcomer tries first.
//!
//! Each runs in a network namespace of its own, so that the ports written in them are free. The programs are those of the
//! tests' profile: a copy of `units/` stands beside a `target/release` that leads there.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use sockmgr_tests::built;
use sockmgr_tests::command::{Ran, tool};
use sockmgr_tests::fastcgi;
use sockmgr_tests::http::Hello;
use sockmgr_tests::kernel::Process;
use sockmgr_tests::manager::sockmgr_in;
use sockmgr_tests::namespace::{Namespace, beside};
use sockmgr_tests::program::Program;
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

/// A copy of the samples in a site.
fn clone() -> Site {
    let site = Site::new();
    copy(&built::repository().join("units"), &site.path("clone/units"));
    site.make("clone/target", 0o755);
    symlink(built::directory(), site.path("clone/target/release")).unwrap();
    site
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A sample that is up.
struct Sample<'a> {
    site: &'a Site,
    up: Program,
}

impl<'a> Sample<'a> {
    /// `sockmgr up units/NAME`, until its table says what listens.
    fn up(site: &'a Site, name: &str) -> Self {
        let enter = Namespace::Network.enter();
        let mut command = Command::new(&enter[0]);
        command
            .args(&enter[1..])
            .arg(built::sockmgr())
            .arg("--user")
            .arg("--runtime-dir")
            .arg(site.path("run"));
        command.arg("up").arg(format!("units/{name}")).current_dir(site.path("clone"));
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        let mut up = Program::start(&mut command, &site.path("log"));
        until("it says what listens", || {
            assert!(!up.has_ended(), "it ended");
            up.log().contains("LISTEN") && up.log().contains("ACTIVATES")
        });
        Self { site, up }
    }

    /// A command of the user beside it.
    fn run(&self, program: &str, words: &[&str]) -> Ran {
        Ran::of(beside(self.up.process(), program).args(words).current_dir(self.site.path("clone")))
    }

    fn sockmgr(&self, words: &[&str]) -> Ran {
        Ran::of(sockmgr_in(&built::sockmgr(), "--user", &self.site.path("run")).args(words))
    }

    /// nginx with the configuration that lies beside the units.
    fn nginx(&self, name: &str) -> Program {
        let folder = self.site.path("clone/units").join(name);
        let mut command = beside(self.up.process(), "nginx");
        command.args(["-e", "stderr", "-p"]).arg(folder).args(["-c", "nginx.conf"]);
        Program::start(&mut command, &self.site.path("nginx.log"))
    }

    /// Ctrl-C: everything ends, and that is a success.
    fn interrupt(mut self) {
        let descendants = self.up.process().descendants();
        assert!(!descendants.is_empty());
        self.up.signal(Signal::SIGINT);
        assert_eq!(self.up.wait(), 0, "{}", self.up.log());
        let alive: Vec<Process> = descendants.into_iter().filter(|process| process.is_alive()).collect();
        assert!(alive.is_empty(), "left behind: {alive:?}");
    }
}

/// The files in /tmp that the samples name are there once; tests of them take turns.
fn turn() -> File {
    let lock = File::create(std::env::temp_dir().join("sockmgr-samples.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn web() {
    let site = clone();
    let sample = Sample::up(&site, "web");
    assert!(sample.up.log().contains("127.0.0.1:8080"), "{}", sample.up.log());
    let mut shares = std::collections::BTreeMap::<u32, u32>::new();
    for _ in 0..100 {
        let answer = sample.run("curl", &["--silent", "--fail", "http://127.0.0.1:8080/"]).text();
        *shares.entry(Hello::parse(&answer).unwrap().instance.0).or_default() += 1;
    }
    assert_eq!(shares.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4], "{shares:?}");
    let listeners = sample.run("ss", &["-Hltn", "sport", "=", ":8080"]).text();
    assert_eq!(listeners.lines().count(), 4, "{listeners}");
    sample.sockmgr(&["status", "web.service"]).says(&["web@1.service", "web@4.service"]).ok();
    sample.interrupt();
}

#[test]
fn echo() {
    let site = clone();
    let sample = Sample::up(&site, "echo");
    let script = "exec 3<>/dev/tcp/127.0.0.1/7007; echo hello >&3; read -r line <&3; echo \"$line\"";
    for _ in 0..3 {
        assert_eq!(sample.run("bash", &["-c", script]).text(), "hello");
    }
    assert_eq!(sample.sockmgr(&["show", "-P", "NAccepted", "echo.socket"]).text(), "3");
    sample.interrupt();
}

#[test]
fn udp() {
    let site = clone();
    let sample = Sample::up(&site, "udp");
    let script = "exec 3<>/dev/udp/127.0.0.1/7008; echo hello >&3; head -c 6 <&3";
    assert_eq!(sample.run("bash", &["-c", script]).text(), "hello");
    sample.interrupt();
}

#[test]
fn shared_behind_nginx() {
    let _turn = turn();
    let site = clone();
    let sample = Sample::up(&site, "shared");
    let socket = ["--silent", "--fail", "--unix-socket", "/tmp/sockmgr-hello.sock", "http://localhost/"];
    assert!(Hello::parse(&sample.run("curl", &socket).text()).is_some());

    let nginx = sample.nginx("shared");
    let url = ["--silent", "--fail", "http://127.0.0.1:8083/"];
    until("nginx answers", || sample.run("curl", &url).code == 0);
    let before = Hello::parse(&sample.run("curl", &url).text()).unwrap();
    assert_eq!(before.instance.1, 4);
    // A restart of all four behind it is nothing that a client of nginx sees.
    sample.sockmgr(&["--no-block", "restart", "shared.service"]).ok();
    until("they are restarted", || {
        let hello = Hello::parse(&sample.run("curl", &url).text()).unwrap();
        let first = sample.sockmgr(&["show", "-P", "SubState,MainPID", "shared@4.service"]).text();
        !Process(before.pid).is_alive() && hello.pid != before.pid && first.contains("running")
    });
    drop(nginx);
    sample.interrupt();
    assert!(!Path::new("/tmp/sockmgr-hello.sock").exists());
}

#[test]
fn fastcgi_behind_nginx() {
    let _turn = turn();
    let site = clone();
    let sample = Sample::up(&site, "fastcgi");
    let nginx = sample.nginx("fastcgi");
    let url = ["--silent", "--fail", "http://127.0.0.1:8084/"];
    until("nginx answers", || sample.run("curl", &url).code == 0);
    let mut seen = std::collections::BTreeSet::new();
    until("both have answered", || {
        let answer = sample.run("curl", &url).text();
        let unit = answer.split([' ', ',']).find(|word| word.starts_with("php@")).expect("the unit answers");
        seen.insert(unit.to_owned());
        seen.len() == 2
    });
    drop(nginx);
    sample.interrupt();
}

#[test]
fn a_fastcgi_application_is_asked_directly() {
    let site = Site::new();
    let script = built::repository().join("units/fastcgi/index.php").display().to_string();
    site.unit("php.socket", "[Socket]\nListenStream={host}:9000\nWorkers=2\n");
    site.unit(
        "php@.service",
        "[Service]\nStandardInput=socket\nStandardOutput=null\nExecStart=/usr/bin/php-cgi\n",
    );
    let manager = sockmgr_tests::manager::Setup::new(&site).start();
    manager.up("php.socket");
    let parameters =
        [("SCRIPT_FILENAME", script.as_str()), ("REQUEST_METHOD", "GET"), ("REDIRECT_STATUS", "200")];
    for _ in 0..10 {
        let answer = fastcgi::get(site.address(9000), &parameters).unwrap();
        assert!(answer.contains("\r\n\r\nhello from PHP 8") && answer.contains(" of 2, pid "), "{answer}");
    }
}

#[test]
fn every_sample_is_free_of_complaints() {
    let site = clone();
    let units = site.path("clone/units");
    let folders =
        fs::read_dir(&units).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut count = 0;
    for folder in folders {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".toml");
            if name.ends_with(".socket") || name.ends_with(".service") {
                let mut verify = Command::new(built::sockmgr());
                let said = Ran::of(verify.args(["verify", "--json"]).arg(&path)).text();
                let said: serde_json::Value = serde_json::from_str(&said).unwrap();
                assert_eq!(said["findings"], serde_json::json!([]), "{}", path.display());
                assert_eq!(said["units"][0]["load"], "loaded", "{}", path.display());
                count += 1;
            }
        }
    }
    assert!(count >= 10, "{count} unit files");
    assert!(tool("php-cgi").is_file());
}
