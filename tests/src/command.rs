//! Running a command to its end, and what it said.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::kernel::Process;
use crate::wait::PATIENCE;

/// How a command ended and what it printed.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The command line, for messages.
    pub line: String,
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Runs it to its end, with nothing to read.
    ///
    /// # Panics
    /// When it cannot be started (a missing tool fails the test), or does not end.
    #[must_use]
    #[track_caller]
    pub fn of(command: &mut Command) -> Self {
        let line = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child
            .unwrap_or_else(|error| panic!("{line}: {error}; contrib/setup installs what the tests use"));
        let stdout = read_all(child.stdout.take());
        let stderr = read_all(child.stderr.take());
        let deadline = Instant::now() + PATIENCE;
        let mut has_ended = false;
        while !has_ended && Instant::now() < deadline {
            has_ended = child.try_wait().expect("it is our child").is_some();
            std::thread::sleep(Duration::from_millis(1));
        }
        if !has_ended {
            let own = Process(i32::try_from(child.id()).expect("process ids fit"));
            let all = own.descendants();
            child.kill().expect("it is our child");
            all.into_iter().for_each(Process::kill_if_there);
        }
        let status = child.wait().expect("it is our child");
        let text = |reader: JoinHandle<String>| reader.join().expect("a reader does not panic");
        let code = status.code().unwrap_or(-1);
        let ran = Self { line, code, stdout: text(stdout), stderr: text(stderr) };
        assert!(has_ended, "it does not end: {ran}");
        ran
    }

    /// Itself, if the code is this.
    ///
    /// # Panics
    /// With all that was printed, if it is another.
    #[must_use]
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "{self}");
        self
    }

    /// The output of a success, without white space around it.
    ///
    /// # Panics
    /// When it was none.
    #[must_use]
    #[track_caller]
    pub fn text(self) -> String {
        let ran = self.code(0);
        ran.stdout.trim().to_owned()
    }

    /// Checks that it succeeded.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn ok(self) {
        let _ = self.code(0);
    }

    /// Checks that the output has each of these in it.
    ///
    /// # Panics
    /// When one is missing.
    #[must_use]
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stdout.contains(part) || self.stderr.contains(part),
                "{part:?} is missing in {self}"
            );
        }
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{}\nexit code {}\n--- stdout\n{}--- stderr\n{}",
            self.line, self.code, self.stdout, self.stderr
        )
    }
}

/// Where a program is, in `PATH` and where cargo installs.
///
/// # Panics
/// When it is missing.
#[must_use]
pub fn tool(name: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cargo = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from).or_else(cargo_home);
    let directories = std::env::split_paths(&path).chain(cargo.map(|home| home.join("bin")));
    let system =
        ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(|directory| Path::new(directory).to_path_buf());
    let mut candidates = directories.chain(system).map(|directory| directory.join(name));
    candidates
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is missing; contrib/setup installs it"))
}

/// All that comes from a pipe, read beside everything else so that the pipe is never full.
fn read_all(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is what there is.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn cargo_home() -> Option<std::path::PathBuf> {
    std::env::home_dir().map(|home| home.join(".cargo"))
}
