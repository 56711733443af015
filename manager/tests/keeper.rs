//! The keeper with real managers and services: this program runs itself as keeper, and the keeper runs it as manager.
//!
//! Each scenario is one function here, which starts a keeper and judges it, and one below, which the manager carries out
//! in as many lives as the scenario has. A manager that finds something wrong panics; its keeper then never exits with 0.

// Clippy recognises tests by their attribute; here everything is one.
#![allow(clippy::unwrap_used)]

use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use sockmgr::keeper::{self, KeeperLink};
use sockmgr::protocol::{PROTOCOL_VERSION, ProcessId, ToKeeper, ToManager};
use sockmgr_sys::child::{self, ExitStatus, KillScope};
use sockmgr_sys::poll::{Interest, Poll};
use sockmgr_sys::spawn::{SpawnPlan, SpawnStep, Stdio};
use sockmgr_sys::{memfd, user};

/// Longer than any scenario takes; the slowest waits ten seconds on purpose.
const PATIENCE: Duration = Duration::from_secs(40);

type Scenario = (&'static str, fn(&Path));

const SCENARIOS: [Scenario; 8] = [
    ("everything_is_handed_back", everything_is_handed_back),
    ("a_wrong_setting_ends_the_keeper", a_wrong_setting_ends_the_keeper),
    ("signals_reach_the_manager", signals_reach_the_manager),
    ("a_stop_survives_the_managers_death", a_stop_survives_the_managers_death),
    ("a_stop_without_a_manager_kills_the_services", a_stop_without_a_manager_kills_the_services),
    ("a_manager_that_does_not_listen_blocks_nobody", a_manager_that_does_not_listen_blocks_nobody),
    ("processes_end_and_are_killed_as_asked", processes_end_and_are_killed_as_asked),
    ("it_works_as_pid_1", it_works_as_pid_1),
];

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if KeeperLink::is_present() {
        manager(&args);
        return ExitCode::SUCCESS;
    }
    match args.split_first() {
        Some((role, rest)) if role == "keeper" => keeper::run(rest.to_vec()),
        _ => run_scenarios(args.last().and_then(|filter| filter.to_str()).unwrap_or("")),
    }
}

/// All at once: most of their time is waiting.
fn run_scenarios(filter: &str) -> ExitCode {
    let selected = SCENARIOS.into_iter().filter(|(name, _)| name.contains(filter));
    let running: Vec<_> = selected
        .map(|(name, scenario)| {
            let run = move || scenario(tempfile::tempdir().expect("a directory").path());
            (name, thread::spawn(run))
        })
        .collect();
    let mut failed = false;
    for (name, thread) in running {
        let outcome = thread.join();
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        failed |= outcome.is_err();
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

// What the scenarios expect of a keeper.

/// A keeper whose managers carry out `name` in `directory`; its standard error goes to a file there.
fn start(mut command: Command, name: &str, directory: &Path) -> Child {
    let errors = File::create(directory.join("stderr")).unwrap();
    command.args(["keeper", name]).arg(directory).stderr(errors).spawn().unwrap()
}

fn own_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// Waits for the keeper's exit status.
fn finish(mut keeper: Child, directory: &Path) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = keeper.try_wait().unwrap() {
            let errors = fs::read_to_string(directory.join("stderr")).unwrap();
            return status.code().unwrap_or_else(|| panic!("keeper: {status}\n{errors}"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    signal(&keeper, libc::SIGKILL);
    panic!("the keeper does not end:\n{}", fs::read_to_string(directory.join("stderr")).unwrap());
}

fn signal(keeper: &Child, signal: i32) {
    child::kill(keeper.id().cast_signed(), signal).unwrap();
}

/// Waits until a manager has written this line to its journal.
fn wait_for(directory: &Path, line: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !journal(directory).iter().any(|found| found == line) {
        assert!(Instant::now() < deadline, "no {line} in {:?}", journal(directory));
        thread::sleep(Duration::from_millis(5));
    }
}

fn journal(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join("journal")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn everything_is_handed_back(directory: &Path) {
    let keeper = start(own_program(), "handed-back", directory);
    assert_eq!(finish(keeper, directory), 0);
    assert_eq!(journal(directory), ["first life", "second life"]);
    let errors = fs::read_to_string(directory.join("stderr")).unwrap();
    assert_eq!(errors, "sockmgrd: keeper: the manager was killed by signal 9; starting it again at once\n");
}

fn a_wrong_setting_ends_the_keeper(directory: &Path) {
    let keeper = start(own_program(), "wrong-setting", directory);
    assert_eq!(finish(keeper, directory), i32::from(keeper::EXIT_CONFIG));
}

fn signals_reach_the_manager(directory: &Path) {
    let keeper = start(own_program(), "signals", directory);
    wait_for(directory, "up");
    for number in [libc::SIGHUP, libc::SIGUSR1, libc::SIGTERM, libc::SIGTERM, libc::SIGINT] {
        let before = journal(directory).len();
        signal(&keeper, number);
        while journal(directory).len() == before {
            thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(finish(keeper, directory), 0);
    assert_eq!(journal(directory), ["up", "1", "10", "15", "15", "2"]);
}

fn a_stop_survives_the_managers_death(directory: &Path) {
    let keeper = start(own_program(), "stop-survives", directory);
    wait_for(directory, "up");
    signal(&keeper, libc::SIGTERM);
    assert_eq!(finish(keeper, directory), 0);
    assert_eq!(journal(directory), ["up", "died of it", "up", "carried it out"]);
}

fn a_stop_without_a_manager_kills_the_services(directory: &Path) {
    let keeper = start(own_program(), "no-manager", directory);
    wait_for(directory, "dying");
    let service: i32 = journal(directory)[0].parse().unwrap();
    assert!(Path::new(&format!("/proc/{service}")).exists());
    signal(&keeper, libc::SIGTERM);
    assert_eq!(finish(keeper, directory), 1);
    assert!(!Path::new(&format!("/proc/{service}")).exists());
}

fn a_manager_that_does_not_listen_blocks_nobody(directory: &Path) {
    let keeper = start(own_program(), "does-not-listen", directory);
    assert_eq!(finish(keeper, directory), 0);
}

fn processes_end_and_are_killed_as_asked(directory: &Path) {
    let keeper = start(own_program(), "processes", directory);
    assert_eq!(finish(keeper, directory), 0);
}

/// Only root may make a PID namespace without more ado.
fn it_works_as_pid_1(directory: &Path) {
    if user::own_uid() != 0 {
        return;
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(std::env::current_exe().unwrap());
    let keeper = start(unshare, "pid-1", directory);
    assert_eq!(finish(keeper, directory), 0);
}

// The manager's side.

fn manager(args: &[OsString]) {
    let [name, directory] = args else { panic!("a scenario and a directory: {args:?}") };
    let mut manager = Manager::new(directory.into());
    match name.to_str() {
        Some("handed-back") => manager.handed_back(),
        Some("wrong-setting") => std::process::exit(keeper::EXIT_CONFIG.into()),
        Some("signals") => manager.signals(),
        Some("stop-survives") => manager.stop_survives(),
        Some("no-manager") => manager.no_manager(),
        Some("does-not-listen") => manager.does_not_listen(),
        Some("processes") => manager.processes(),
        Some("pid-1") => manager.pid_1(),
        other => panic!("no scenario {other:?}"),
    }
}

struct Manager {
    link: KeeperLink,
    poll: Poll,
    restarts: u32,
    /// What came between `Hello` and `Restored`.
    kept: Vec<(ToManager, Vec<OwnedFd>)>,
    directory: PathBuf,
}

impl Manager {
    fn new(directory: PathBuf) -> Self {
        let link = KeeperLink::from_env().unwrap();
        assert!(KeeperLink::from_env().is_err(), "a descriptor has one owner");
        let poll = Poll::new().unwrap();
        poll.add(link.as_fd(), 0, Interest::Readable).unwrap();
        let mut manager = Self { link, poll, restarts: 0, kept: Vec::new(), directory };
        let (ToManager::Hello { version: PROTOCOL_VERSION, restarts }, _) = manager.next() else {
            panic!("no hello");
        };
        manager.restarts = restarts;
        loop {
            match manager.next() {
                (ToManager::Restored, _) => return manager,
                kept => manager.kept.push(kept),
            }
        }
    }

    fn next(&mut self) -> (ToManager, Vec<OwnedFd>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = self.link.recv().unwrap() {
                return message;
            }
            assert!(Instant::now() < deadline, "the keeper says nothing");
            self.poll.wait(&mut Vec::new(), Some(Duration::from_secs(1))).unwrap();
        }
    }

    fn send(&mut self, message: &ToKeeper, fds: Vec<OwnedFd>) {
        self.link.push(message, fds);
        while !self.link.flush().unwrap() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn spawn(&mut self, id: u64, script: &str) -> i32 {
        let process = ProcessId(id);
        let tag = format!("tag {id}");
        self.send(&ToKeeper::Spawn { process, tag, plan: Box::new(shell(script)) }, Vec::new());
        match self.next() {
            (ToManager::Spawned { process: answered, pid }, _) if answered == process => pid,
            other => panic!("{other:?} instead of Spawned"),
        }
    }

    fn expect_exit(&mut self, id: u64, status: ExitStatus) {
        self.expect_end(id, status, false);
    }

    fn expect_end(&mut self, id: u64, status: ExitStatus, leaves_others: bool) {
        let wanted = ToManager::Exited { process: ProcessId(id), status, leaves_others };
        assert_eq!(self.next().0, wanted);
    }

    fn kill(&mut self, id: u64, signal: i32, scope: KillScope) {
        self.send(&ToKeeper::Kill { process: ProcessId(id), signal, scope }, Vec::new());
    }

    fn note(&self, line: &str) {
        let path = self.directory.join("journal");
        let mut journal = OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(journal, "{line}").unwrap();
    }

    fn goodbye(&mut self) {
        self.send(&ToKeeper::Goodbye, Vec::new());
    }

    fn handed_back(&mut self) {
        if self.restarts == 0 {
            return self.handed_back_first_life();
        }
        self.note("second life");
        self.check_what_was_kept();
        self.send(&ToKeeper::Forget { processes: vec![ProcessId(1), ProcessId(2)] }, Vec::new());
        self.kill(1, libc::SIGTERM, KillScope::Main);
        self.expect_exit(1, ExitStatus::Killed(libc::SIGTERM));
        self.goodbye();
    }

    /// Gives the keeper more descriptors than one packet takes and a value longer than one packet, and dies before it
    /// has read the keeper's last messages.
    fn handed_back_first_life(&mut self) {
        self.note("first life");
        let names: Vec<String> = (0..300).map(|number| format!("fd {number}")).collect();
        let files = names.iter().map(|name| memfd::with_contents(name.as_bytes()).unwrap()).collect();
        self.send(&ToKeeper::Hold { names }, files);
        self.send(&ToKeeper::Release { names: vec!["fd 7".into()] }, Vec::new());
        assert_eq!(self.next().0, ToManager::Released);
        self.send(&ToKeeper::Remember { key: "gone".into(), value: Vec::new() }, Vec::new());
        self.send(&ToKeeper::Erase { keys: vec!["gone".into()] }, Vec::new());
        self.spawn(1, "exec sleep 1000");
        self.spawn(2, "exit 7");
        self.expect_exit(2, ExitStatus::Exited(7));
        let plan = SpawnPlan { path: c"/no/such/program".into(), ..shell("") };
        self.link.push(
            &ToKeeper::Spawn { process: ProcessId(3), tag: String::new(), plan: Box::new(plan) },
            Vec::new(),
        );
        self.send(&ToKeeper::Remember { key: "state".into(), value: vec![9; 200_000] }, Vec::new());
        self.die();
    }

    fn die(&self) {
        child::kill(std::process::id().cast_signed(), libc::SIGKILL).unwrap();
        thread::sleep(PATIENCE);
    }

    fn check_what_was_kept(&mut self) {
        let (mut held, mut values, mut processes) = (0, Vec::new(), Vec::new());
        for (message, fds) in std::mem::take(&mut self.kept) {
            match message {
                ToManager::Held { name } => {
                    assert_ne!(name, "fd 7", "it was released");
                    held += 1;
                    let [fd] = <[OwnedFd; 1]>::try_from(fds).unwrap();
                    assert_eq!(memfd::contents(fd).unwrap(), name.as_bytes());
                }
                ToManager::Remembered { key, value } => values.push((key, value)),
                ToManager::Process { process, tag, exit, .. } => processes.push((process, tag, exit)),
                other => panic!("{other:?} before Restored"),
            }
        }
        assert_eq!(held, 299);
        assert_eq!(values, [("state".to_owned(), vec![9; 200_000])]);
        processes.sort_by_key(|(process, ..)| *process);
        assert_eq!(
            processes,
            [
                (ProcessId(1), "tag 1".to_owned(), None),
                (ProcessId(2), "tag 2".to_owned(), Some(ExitStatus::Exited(7))),
            ]
        );
    }

    fn signals(&mut self) {
        self.send(&ToKeeper::Ready, Vec::new());
        self.note("up");
        for _ in 0..5 {
            match self.next() {
                (ToManager::Signal(number), _) => self.note(&number.to_string()),
                other => panic!("{other:?} instead of a signal"),
            }
        }
        self.goodbye();
    }

    fn stop_survives(&mut self) {
        self.note("up");
        self.send(&ToKeeper::Ready, Vec::new());
        assert_eq!(self.next().0, ToManager::Signal(libc::SIGTERM));
        if self.restarts == 0 {
            self.note("died of it");
            self.die();
        }
        self.note("carried it out");
        self.goodbye();
    }

    fn no_manager(&mut self) {
        if self.restarts == 0 {
            let pid = self.spawn(1, "trap '' TERM; while :; do sleep 1; done");
            self.note(&pid.to_string());
            self.note("dying");
        }
        std::process::exit(1);
    }

    /// Asks for far more than the sockets take in either direction before it reads the first answer.
    fn does_not_listen(&mut self) {
        let count = 20_000;
        let plan = SpawnPlan { path: c"/no/such/program".into(), ..shell("") };
        for id in 0..count {
            let (process, plan) = (ProcessId(id), plan.clone());
            self.link
                .push(&ToKeeper::Spawn { process, tag: "x".repeat(50), plan: Box::new(plan) }, Vec::new());
        }
        while !self.link.flush().unwrap() {
            thread::sleep(Duration::from_millis(1));
        }
        for id in 0..count {
            let (process, errno) = (ProcessId(id), libc::ENOENT);
            assert_eq!(self.next().0, ToManager::SpawnFailed { process, step: SpawnStep::Exec, errno });
        }
        self.goodbye();
    }

    fn processes(&mut self) {
        self.descriptors_go_along();
        self.spawn(10, "kill -KILL $$");
        self.expect_exit(10, ExitStatus::Killed(libc::SIGKILL));
        self.spawn(11, "exec sleep 1000");
        self.kill(11, libc::SIGKILL, KillScope::Session);
        self.expect_exit(11, ExitStatus::Killed(libc::SIGKILL));
        self.same_name_twice();
        self.a_session_is_reached_behind_its_leader();
        self.a_daemon_is_adopted();
        self.a_process_of_somebody_else_is_not_adopted();
        self.large_plan();
        self.goodbye();
    }

    fn descriptors_go_along(&mut self) {
        let (output, writer) = std::io::pipe().unwrap();
        let input = memfd::with_contents(b"from the manager").unwrap();
        let plan = SpawnPlan {
            fds: 2,
            listen_fds: 1,
            stdout: Stdio::Fd(1),
            ..shell("cat <&3; test $LISTEN_PID = $$ && echo '!'")
        };
        let process = ProcessId(1);
        File::from(input.try_clone().unwrap()).write_at(b"F", 0).unwrap();
        rewind(&input);
        self.send(
            &ToKeeper::Spawn { process, tag: String::new(), plan: Box::new(plan) },
            vec![input, writer.into()],
        );
        let mut text = String::new();
        File::from(OwnedFd::from(output)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "From the manager!\n");
        assert!(matches!(self.next().0, ToManager::Spawned { .. }));
        self.expect_exit(1, ExitStatus::Exited(0));
    }

    fn same_name_twice(&mut self) {
        let process = ProcessId(1);
        self.send(
            &ToKeeper::Spawn { process, tag: String::new(), plan: Box::new(shell("exit")) },
            Vec::new(),
        );
        let (step, errno) = (SpawnStep::Clone, libc::EEXIST);
        assert_eq!(self.next().0, ToManager::SpawnFailed { process, step, errno });
    }

    /// A member in a process group of its own, whose leader and main process have gone.
    fn a_session_is_reached_behind_its_leader(&mut self) {
        let file = self.directory.join("stray");
        let script = format!(
            "set -m; sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000' & exit 3",
            file.display()
        );
        self.spawn(20, &script);
        self.expect_end(20, ExitStatus::Exited(3), true);
        while !file.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        let stray = format!("/proc/{}", fs::read_to_string(file).unwrap().trim());
        assert!(Path::new(&stray).exists());
        self.kill(20, libc::SIGKILL, KillScope::Session);
        assert_eq!(self.next().0, ToManager::LeftGone { process: ProcessId(20) });
        assert!(!Path::new(&stray).exists(), "nobody has reaped it");
    }

    /// A process that has left session and parents is found by its environment, and watched as any other.
    fn a_daemon_is_adopted(&mut self) {
        let mut plan = shell("setsid sleep 1000 & exit 0");
        plan.envp.push(c"INVOCATION_ID=keeper-test".into());
        let (forked, main) = (ProcessId(40), ProcessId(41));
        self.send(&ToKeeper::Spawn { process: forked, tag: String::new(), plan: Box::new(plan) }, Vec::new());
        assert!(matches!(self.next().0, ToManager::Spawned { .. }));
        self.expect_end(40, ExitStatus::Exited(0), true);
        let adopt = ToKeeper::Adopt { process: main, tag: String::new(), like: forked, pid: None };
        self.send(&adopt, Vec::new());
        let (ToManager::Spawned { process, pid }, _) = self.next() else { panic!("it was not found") };
        assert_eq!(process, main);
        while fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() != "sleep\n" {
            thread::sleep(Duration::from_millis(1));
        }
        self.kill(41, libc::SIGTERM, KillScope::Session);
        assert_eq!(self.next().0, ToManager::LeftGone { process: forked });
        self.expect_exit(41, ExitStatus::Killed(libc::SIGTERM));
    }

    fn a_process_of_somebody_else_is_not_adopted(&mut self) {
        self.spawn(50, "exec sleep 1000");
        let other = self.spawn(51, "exec sleep 1000");
        let own = std::process::id().cast_signed();
        for pid in [other, own, 1, i32::MAX] {
            let (process, like) = (ProcessId(52), ProcessId(50));
            let adopt = ToKeeper::Adopt { process, tag: String::new(), like, pid: Some(pid) };
            self.send(&adopt, Vec::new());
            let answer = self.next().0;
            let is_refusal = matches!(answer, ToManager::SpawnFailed { step: SpawnStep::Adopt, .. });
            assert!(is_refusal, "{pid}: {answer:?}");
        }
        for id in [50, 51] {
            self.kill(id, libc::SIGKILL, KillScope::Session);
            self.expect_exit(id, ExitStatus::Killed(libc::SIGKILL));
        }
    }

    fn large_plan(&mut self) {
        let envp = (0..20_000).map(|number| CString::new(format!("V{number}=x")).unwrap()).collect();
        let process = ProcessId(30);
        let plan = SpawnPlan { envp, ..shell("test $V19999 = x") };
        self.send(&ToKeeper::Spawn { process, tag: String::new(), plan: Box::new(plan) }, Vec::new());
        assert!(matches!(self.next().0, ToManager::Spawned { .. }));
        self.expect_exit(30, ExitStatus::Exited(0));
    }

    /// Orphans become children of PID 1, which must reap them: in the end it has no child but this manager.
    fn pid_1(&mut self) {
        assert_eq!(child::parent_pid(), 1);
        self.spawn(1, "(sleep 0.05 & sleep 0.05 &); exit 5");
        self.expect_end(1, ExitStatus::Exited(5), true);
        let deadline = Instant::now() + PATIENCE;
        while fs::read_to_string("/proc/1/task/1/children").unwrap().split_whitespace().count() > 1 {
            assert!(Instant::now() < deadline, "an orphan was not reaped");
            thread::sleep(Duration::from_millis(5));
        }
        self.goodbye();
    }
}

fn rewind(fd: &OwnedFd) {
    use std::io::Seek;
    File::from(fd.try_clone().unwrap()).rewind().unwrap();
}

fn shell(script: &str) -> SpawnPlan {
    SpawnPlan {
        path: c"/bin/sh".into(),
        argv: vec![c"sh".into(), c"-c".into(), CString::new(script).unwrap()],
        stderr: Stdio::Inherit,
        envp: vec![c"PATH=/usr/bin:/bin".into()],
        ..SpawnPlan::default()
    }
}
