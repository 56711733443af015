//! A program in the background, ended by its process id when its value goes.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::tool;
use crate::kernel::Process;
use crate::wait::until_some;

/// A command line, still without its program, for a process that gets SIGTERM when this thread ends: also when we are
/// killed, and can end nothing ourselves.
#[must_use]
pub fn tied() -> Command {
    let mut command = Command::new(tool("setpriv"));
    command.args(["--pdeathsig", "TERM", "--"]);
    command
}

/// A child that runs, with its output in a file.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
    /// Its end, once it was seen.
    status: Option<ExitStatus>,
}

impl Program {
    /// Starts it; both outputs go to the file.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("the log can be written");
        let copy = file.try_clone().expect("a descriptor is free");
        let child = command.stdin(Stdio::null()).stdout(copy).stderr(file).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{command:?}: {error}; contrib/setup installs what the tests use")
        });
        Self { child, log: log.to_path_buf(), status: None }
    }

    /// Its process.
    ///
    /// # Panics
    /// Never: process ids are positive.
    #[must_use]
    pub fn process(&self) -> Process {
        Process(i32::try_from(self.child.id()).expect("process ids fit"))
    }

    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process().0), signal).expect("the program runs");
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// Never: it is our child.
    pub fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("it is our child");
        }
        self.status.is_some()
    }

    /// Waits for its end: the exit code, or 128 and the signal as in a shell.
    ///
    /// # Panics
    /// When it goes on.
    pub fn wait(&mut self) -> i32 {
        let status = until_some("the program ends", || self.has_ended().then_some(self.status).flatten());
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }
}

impl Drop for Program {
    /// Ends it and all that it has started, gently first.
    fn drop(&mut self) {
        if !self.has_ended() {
            let descendants = self.process().descendants();
            self.signal(Signal::SIGTERM);
            let gentle = std::time::Instant::now() + std::time::Duration::from_secs(5);
            while !self.has_ended() && std::time::Instant::now() < gentle {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            if !self.has_ended() {
                // It may end between the look and the signal, which is as well.
                let _ = self.child.kill();
                let _ = self.child.wait();
                descendants.into_iter().for_each(Process::kill_if_there);
            }
        }
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}
