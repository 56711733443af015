//! A real `sockmgrd` in a site, and the real `sockmgr` that talks to it.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::built;
use crate::command::Ran;
use crate::kernel::Process;
use crate::namespace::Namespace;
use crate::program::{Program, tied};
use crate::site::Site;
use crate::wait::{until, until_some};

/// How to start a manager.
#[derive(Debug)]
pub struct Setup<'a> {
    site: &'a Site,
    scope: &'static str,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    namespace: Namespace,
    programs: Option<PathBuf>,
}

impl<'a> Setup<'a> {
    /// A user's manager for the units of the site.
    #[must_use]
    pub fn new(site: &'a Site) -> Self {
        let (scope, arguments, environment) = ("--user", Vec::new(), Vec::new());
        Self { site, scope, arguments, environment, namespace: Namespace::None, programs: None }
    }

    /// The machine's manager instead; for root.
    #[must_use]
    pub fn system(mut self) -> Self {
        self.scope = "--system";
        self
    }

    /// In namespaces of its own, or as somebody else.
    #[must_use]
    pub fn within(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// With copies of the programs in this directory: those in the target directory may be out of reach for others.
    #[must_use]
    pub fn programs_in(mut self, directory: PathBuf) -> Self {
        self.programs = Some(directory);
        self
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One more variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it and waits until it says that it is ready.
    ///
    /// # Panics
    /// When it ends or stays silent.
    #[must_use]
    pub fn start(self) -> Manager<'a> {
        let _ = std::fs::remove_file(self.site.path("ready"));
        let ready = UnixDatagram::bind(self.site.path("ready")).expect("a socket can be bound");
        // The manager may be somebody else.
        std::fs::set_permissions(
            self.site.path("ready"),
            std::os::unix::fs::PermissionsExt::from_mode(0o666),
        )
        .expect("a mode can be set");
        ready.set_nonblocking(true).expect("a socket can be set up");
        let mut manager = self.launch();
        let mut message = [0; 4096];
        until_some("the manager is ready", || {
            assert!(!manager.program.has_ended(), "the manager ended before it was ready");
            let length = ready.recv(&mut message).ok()?;
            message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1").then_some(())
        });
        manager.notify = Some(ready);
        manager
    }

    /// Starts it, ready or not.
    #[must_use]
    pub fn launch(&self) -> Manager<'a> {
        let programs = self.programs.clone().unwrap_or_else(|| built::directory().to_path_buf());
        let mut command = tied();
        command.args(self.namespace.enter()).arg(programs.join("sockmgrd")).arg(self.scope);
        command
            .arg("--unit-path")
            .arg(self.site.path("units"))
            .arg("--runtime-dir")
            .arg(self.site.path("run"));
        command.args(&self.arguments);
        self.environment(&mut command);
        command.env("NOTIFY_SOCKET", self.site.path("ready"));
        let program = Program::start(&mut command, &self.site.path("log"));
        Manager {
            site: self.site,
            scope: self.scope,
            namespace: self.namespace,
            programs,
            program,
            notify: None,
        }
    }

    /// Nothing of the user's own sessions gets in.
    fn environment(&self, command: &mut Command) {
        command.env("XDG_RUNTIME_DIR", self.site.path("run")).env("HOME", self.site.path(""));
        for name in [
            "DBUS_SESSION_BUS_ADDRESS",
            "DBUS_SYSTEM_BUS_ADDRESS",
            "LISTEN_FDS",
            "LISTEN_PID",
            "LISTEN_FDNAMES",
        ] {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().cloned());
    }
}

/// A manager that runs. It is stopped when its value goes.
#[derive(Debug)]
pub struct Manager<'a> {
    site: &'a Site,
    scope: &'static str,
    namespace: Namespace,
    programs: PathBuf,
    /// The keeper, which is what was started.
    pub program: Program,
    /// Where it says how it is; there for as long as it runs.
    notify: Option<UnixDatagram>,
}

impl Manager<'_> {
    /// Runs `sockmgr` with these words.
    #[must_use]
    pub fn sockmgr(&self, words: &[&str]) -> Ran {
        Ran::of(self.command().args(words))
    }

    /// `sockmgr`, still without a verb, from where the manager is.
    #[must_use]
    pub fn command(&self) -> Command {
        let program = self.programs.join("sockmgr");
        let join = self.namespace.join(self.keeper());
        let Some((first, rest)) = join.split_first() else {
            return sockmgr_in(&program, self.scope, &self.site.path("run"));
        };
        let mut command = Command::new(first);
        command.args(rest).arg(program).arg(self.scope).arg("--runtime-dir").arg(self.site.path("run"));
        command
    }

    /// Starts a unit and waits for its job.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn up(&self, unit: &str) {
        self.sockmgr(&["start", unit]).ok();
    }

    /// A property of a unit.
    ///
    /// # Panics
    /// When it cannot be asked for.
    #[must_use]
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.sockmgr(&["show", "-P", name, unit]).text()
    }

    /// Waits until a unit is in a sub state.
    ///
    /// # Panics
    /// When it does not get there.
    #[track_caller]
    pub fn until_sub_state(&self, unit: &str, state: &str) {
        until(&format!("{unit} is {state}"), || self.property(unit, "SubState") == state);
    }

    /// The main process of a unit that runs.
    ///
    /// # Panics
    /// When it gets none.
    #[must_use]
    #[track_caller]
    pub fn main_process(&self, unit: &str) -> Process {
        until_some(&format!("{unit} has a main process"), || {
            self.property(unit, "MainPID").parse().ok().filter(|pid| *pid > 0).map(Process)
        })
    }

    /// The keeper.
    #[must_use]
    pub fn keeper(&self) -> Process {
        self.program.process()
    }

    /// The manager process, the keeper's child of the same program.
    ///
    /// # Panics
    /// When there is none for long.
    #[must_use]
    pub fn brain(&self) -> Process {
        let program = self.keeper().program();
        until_some("the keeper has a manager", || {
            self.keeper().children().into_iter().find(|child| child.program() == program && child.is_alive())
        })
    }

    /// What it has said on its own `NOTIFY_SOCKET` since the last look, after READY=1.
    ///
    /// # Panics
    /// When it was only launched.
    #[must_use]
    pub fn notified(&self) -> String {
        let notify = self.notify.as_ref().expect("the manager was started");
        let mut said = String::new();
        let mut message = [0; 4096];
        while let Ok(length) = notify.recv(&mut message) {
            said.push_str(&String::from_utf8_lossy(&message[..length]));
            said.push('\n');
        }
        said
    }

    /// Waits for a line in the manager's log.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn until_logged(&self, part: &str) {
        until(&format!("the log has {part:?}"), || self.program.log().contains(part));
    }

    /// Stops it as a service manager would, and returns its exit code.
    ///
    /// # Panics
    /// When it goes on.
    pub fn stop(mut self) -> i32 {
        self.program.signal(Signal::SIGTERM);
        self.program.wait()
    }
}

/// `sockmgr` for the manager of a runtime directory.
#[must_use]
pub fn sockmgr_in(program: &Path, scope: &str, runtime_dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(scope).arg("--runtime-dir").arg(runtime_dir);
    command
}
