//! How tests start real servers: launched as sockmgr, systemd and systemfd do it, and stopped for certain.
//! Nothing here knows what a test is about.
//! Invariant: no child outlives its [`Server`].
#![allow(dead_code, unreachable_pub, reason = "a module of several test programs, each of which uses a part")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What `LISTEN_PID` is to say.
#[derive(Clone, Copy)]
pub enum ListenPid {
    /// The process itself, as sockmgr and systemd say it.
    Own,
    /// Nothing, as `systemfd --no-pid` says it.
    Absent,
    /// Another process.
    Other,
}

/// A start of a program with sockets from fd 3 up.
///
/// A shell moves the sockets from standard input, output and error to their places, so there are three at most.
pub struct Launch {
    sockets: Vec<OwnedFd>,
    names: Option<&'static str>,
    pid: ListenPid,
    count: Option<u32>,
    variables: Vec<(&'static str, OsString)>,
}

impl Launch {
    /// A start without sockets.
    pub fn new() -> Self {
        Self { sockets: Vec::new(), names: None, pid: ListenPid::Own, count: None, variables: Vec::new() }
    }

    /// Passes one more socket.
    pub fn socket(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.sockets.push(socket.into());
        self
    }

    /// Sets `LISTEN_FDNAMES`.
    pub fn names(self, names: &'static str) -> Self {
        Self { names: Some(names), ..self }
    }

    /// Chooses `LISTEN_PID`.
    pub fn pid(self, pid: ListenPid) -> Self {
        Self { pid, ..self }
    }

    /// Promises another number of descriptors than there are.
    pub fn promised(self, count: u32) -> Self {
        Self { count: Some(count), ..self }
    }

    /// Sets a variable.
    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Starts `program`; what it writes is kept.
    pub fn start(self, program: &Path, arguments: &[&str]) -> Server {
        let output = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(self.script()).arg("sh").arg(program).args(arguments);
        clean(&mut command).env("OUT", &output).envs(self.variables);
        let count = self.count.unwrap_or(self.sockets.len() as u32);
        if count > 0 {
            command.env("LISTEN_FDS", count.to_string());
        }
        if let Some(names) = self.names {
            command.env("LISTEN_FDNAMES", names);
        }
        let mut sockets = self.sockets.into_iter().map(Stdio::from);
        command.stdin(sockets.next().unwrap_or_else(Stdio::null));
        command.stdout(sockets.next().unwrap_or_else(Stdio::null));
        command.stderr(sockets.next().unwrap_or_else(Stdio::null));
        assert!(sockets.next().is_none(), "three sockets at most");
        Server { child: command.spawn().unwrap(), output: Some(output) }
    }

    /// The shell's part; `exec` keeps the process id.
    fn script(&self) -> String {
        let pid = match self.pid {
            ListenPid::Own => "export LISTEN_PID=$$;",
            ListenPid::Absent => "",
            ListenPid::Other => "export LISTEN_PID=1;",
        };
        let moves: String =
            (0..self.sockets.len()).map(|number| format!(" {}<&{number}", number + 3)).collect();
        format!("{pid} exec{moves} </dev/null >\"$OUT\" 2>&1; exec \"$@\"")
    }
}

/// Removes what the environment of the tests may say about activation.
pub fn clean(command: &mut Command) -> &mut Command {
    for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
        command.env_remove(variable);
    }
    command
}

/// A running program; killed when dropped.
pub struct Server {
    child: Child,
    output: Option<tempfile::TempPath>,
}

impl Server {
    /// Starts `systemd-socket-activate` with these arguments and waits until it listens.
    pub fn systemd_socket_activate(arguments: &[&OsStr]) -> Self {
        let mut command = Command::new("systemd-socket-activate");
        let spawned = clean(&mut command).args(arguments).stderr(Stdio::piped()).spawn();
        let mut child = spawned.expect("systemd-socket-activate, of the package systemd, starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = lines.by_ref().any(|line| line.unwrap().contains("Listening on"));
        assert!(listens, "systemd-socket-activate must say that it listens");
        // It goes on writing; nobody may be left to be killed by SIGPIPE.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, output: None }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end; the exit status, and what was written.
    pub fn wait(&mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the program must end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let output = self.output.as_ref().map(|path| fs::read_to_string(path).unwrap());
        (status, output.unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when the program has ended and been waited for, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An example of this package, which Cargo builds with the tests.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is built by `cargo test -p sockmgr-client`", path.display());
    path
}

/// Runs `body` in a process that was started as `launch` says: this test program, with `test` alone.
pub fn launched(test: &str, launch: impl FnOnce() -> Launch, body: impl FnOnce()) {
    const CHILD: &str = "SOCKMGR_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let this = std::env::current_exe().unwrap();
    let arguments = [test, "--exact", "--nocapture"];
    let (status, output) = launch().variable(CHILD, "1").start(&this, &arguments).wait();
    assert!(status.success() && output.contains("1 passed"), "{status}\n{output}");
}

/// A connected stream of any kind.
pub trait Stream: Read + Write {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}
impl<S: Stream> Stream for &mut S {}

/// Connects to a TCP address; every read on it has an end.
pub fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connects to a unix path; every read on it has an end.
pub fn unix(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks for `path` over HTTP and returns the body.
pub fn get(mut stream: impl Stream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{response}");
    body.to_owned()
}

/// Says something and expects the same back.
pub fn expect_echo(mut stream: impl Stream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, text.as_bytes());
}
