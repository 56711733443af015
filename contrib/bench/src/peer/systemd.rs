//! systemd as a user's manager, in a mount namespace of its own with a control group of its own. For root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sockmgr_tests::command::{Ran, tool};
use sockmgr_tests::kernel::Process;
use sockmgr_tests::program::{Program, tied};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

use super::{Peer, Running, SERVICE, until_listening};

/// What is done before systemd is executed. It must believe that it was booted with systemd, and have a tree of control
/// groups of the second version to itself; nobody outside of this mount namespace sees either.
const PREPARE: &str = "set -e
mount --make-rprivate /
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
mkdir -p /run/systemd/system
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/$1
echo $$ >/sys/fs/cgroup/$1/cgroup.procs
exec /lib/systemd/systemd --user --log-target=console --log-level=warning";

/// `systemctl --user restart` of one service behind a socket.
#[derive(Clone, Copy, Debug)]
pub struct Systemd;

impl Peer for Systemd {
    fn name(&self) -> &'static str {
        "systemd: restart of one service"
    }

    fn start<'a>(&self, site: &'a Site) -> Result<Box<dyn Running + 'a>> {
        let manager = UserManager::start(site)?;
        manager.unit("web.socket", "[Socket]\nListenStream={host}:8080\nBacklog=4096\n")?;
        manager.unit("web.service", SERVICE)?;
        manager.systemctl(&["daemon-reload"]).ok();
        manager.systemctl(&["start", "web.socket", "web.service"]).ok();
        until_listening(site, 1);
        Ok(Box::new(manager))
    }
}

impl Running for UserManager<'_> {
    fn restart(&mut self, _: u32) -> Result<()> {
        self.systemctl(&["restart", "web.service"]).ok();
        Ok(())
    }
}

/// A `systemd --user` that runs, until its value goes.
pub struct UserManager<'a> {
    site: &'a Site,
    program: Program,
    group: String,
}

impl<'a> UserManager<'a> {
    /// Starts one, and waits until it has started everything.
    pub fn start(site: &'a Site) -> Result<Self> {
        site.make("systemd", 0o700);
        fs::create_dir_all(Self::units(site))?;
        let group = format!("sockmgr-bench-{}", std::process::id());
        let mut command = tied();
        command.arg(tool("unshare")).args(["--mount", "--", "sh", "-c", PREPARE, "sh", &group]);
        environment(&mut command, site);
        let manager = Self { site, program: Program::start(&mut command, &site.path("systemd.log")), group };
        until("systemd runs", || {
            let state = manager.systemctl(&["is-system-running"]).stdout;
            ["running", "degraded"].contains(&state.trim())
        });
        Ok(manager)
    }

    /// Where its unit files are.
    pub fn units(site: &Site) -> PathBuf {
        site.path("systemd/.config/systemd/user")
    }

    /// Writes a unit file; what the text may have in it is what [`Site::unit`] says.
    pub fn unit(&self, name: &str, text: &str) -> Result<()> {
        // The site fills in the places.
        self.site.unit(name, text);
        let to = Self::units(self.site).join(name);
        fs::copy(self.site.path("units").join(name), to).context("a unit file of systemd")?;
        Ok(())
    }

    /// Runs `systemctl --user`.
    pub fn systemctl(&self, words: &[&str]) -> Ran {
        Ran::of(self.command().args(words))
    }

    /// `systemctl --user`, still without a verb.
    pub fn command(&self) -> Command {
        let mut command = Command::new(tool("systemctl"));
        command.arg("--user");
        environment(&mut command, self.site);
        command
    }

    /// Its process.
    pub fn process(&self) -> Process {
        self.program.process()
    }
}

/// Nothing of ours, and nothing of the machine's sessions.
fn environment(command: &mut Command, site: &Site) {
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", site.path("systemd"));
    command.env("XDG_RUNTIME_DIR", site.path("systemd"));
    command.env("XDG_CONFIG_DIRS", "/nonexistent").env("XDG_DATA_DIRS", "/nonexistent");
}

impl Drop for UserManager<'_> {
    /// It leaves its services alone when it is killed, so all that is in its control group is ended.
    fn drop(&mut self) {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mounted = mounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields.get(2) == Some(&"cgroup2")).then(|| PathBuf::from(fields[1]))
        });
        let Some(group) = mounted.map(|mounted| mounted.join(&self.group)) else { return };
        until("systemd's control group is empty", || {
            processes(&group).into_iter().for_each(Process::kill_if_there);
            processes(&group).is_empty()
        });
        remove(&group);
    }
}

/// All processes of a control group and those below it.
fn processes(group: &Path) -> Vec<Process> {
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let below = below(group).into_iter().flat_map(|group| processes(&group));
    own.lines().filter_map(|line| line.parse().ok().map(Process)).chain(below).collect()
}

fn below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Removes a control group and those below it; one that is not empty stays, which harms nobody.
fn remove(group: &Path) {
    below(group).iter().for_each(|group| remove(group));
    let _ = fs::remove_dir(group);
}
