//! The keeper: it holds every long-lived descriptor, starts and reaps every process, and supervises the manager.
//!
//! What never lives here: unit files, D-Bus, decisions about services. One invariant: whatever the manager does or
//! suffers, what it gave to the keeper is still there for the next one.

mod link;
mod manager_plan;
mod packet;
mod processes;
mod store;
mod supervisor;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sockmgr_sys::child::{self, ExitStatus, SignalSource};
use sockmgr_sys::poll::{Interest, Poll, Ready};
use sockmgr_sys::spawn::{SpawnError, SpawnPlan, Spawner};
use sockmgr_sys::{SysError, notify, seqpacket};

use crate::protocol::{PROTOCOL_VERSION, ProcessId, ToKeeper, ToManager};
use link::ManagerLink;
pub use link::{KEEPER_FD_VARIABLE, KeeperLink, LinkError};
pub use manager_plan::own_program;
pub use packet::MalformedPacket;
use processes::Processes;
use store::Store;
use supervisor::Supervisor;

/// The exit status by which a manager says that its settings are wrong (`EX_CONFIG` of sysexits.h): starting it again
/// would not help.
pub const EXIT_CONFIG: u8 = 78;

/// Exit status of a keeper that had to give up.
const EXIT_GAVE_UP: i32 = 1;

/// Signals that are the manager's business.
const FORWARDED: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGQUIT];

const SIGNALS_TOKEN: u64 = 0;
const LINK_TOKEN: u64 = 1;
/// The ends of adopted processes, by their names.
const FIRST_PROCESS_TOKEN: u64 = 2;

/// Messages of the manager that are carried out before signals and ends of processes get their turn.
const MESSAGES_AT_ONCE: usize = 128;
/// How long a manager that has said goodbye has for its own end.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(5);
/// How long services have between `SIGTERM` and `SIGKILL` when the keeper itself has to end them.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// Runs the keeper until all is stopped: starts this very program again, with these arguments (without argv\[0\]), as the
/// manager, and supervises it. Call it in the only thread of the process.
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    match Keeper::new(args).and_then(Keeper::run) {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// One line on standard error, with the chain of causes: the keeper has no other log.
fn complain(error: &dyn std::error::Error) {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let text: Vec<String> = causes.map(ToString::to_string).collect();
    say(&text.join(": "));
}

fn say(text: &str) {
    // Not `eprintln`, which panics when nobody reads standard error any more.
    let _ = writeln!(io::stderr(), "sockmgrd: keeper: {text}");
}

/// A manager that lives, or whose last messages are being read.
struct Manager {
    pid: i32,
    /// Its pid may be somebody else's by now.
    is_reaped: bool,
    /// `None` once it has broken off.
    link: Option<ManagerLink>,
    /// The socket took less than there was: it is watched for room.
    is_congested: bool,
}

impl Manager {
    /// Ends it without ado; whether it had ended by itself just before does not matter.
    fn kill(&self) {
        if !self.is_reaped {
            let _ = child::kill(self.pid, libc::SIGKILL);
        }
    }
}

struct Keeper {
    poll: Poll,
    signals: SignalSource,
    spawner: Spawner,
    manager_plan: SpawnPlan,
    manager: Option<Manager>,
    supervisor: Supervisor,
    processes: Processes,
    store: Store,
    was_ready: bool,
    /// Since when all is stopped.
    goodbye: Option<Instant>,
    /// The exit status of the keeper, once there is nothing left to do.
    finished: Option<i32>,
}

impl Keeper {
    fn new(args: Vec<OsString>) -> Result<Self, SysError> {
        child::mark_inherited_fds();
        child::become_subreaper()?;
        let spawner = Spawner::new()?;
        child::raise_fd_limit()?;
        let signals = SignalSource::new(&[&FORWARDED[..], &[libc::SIGCHLD]].concat())?;
        let poll = Poll::new()?;
        poll.add(signals.as_fd(), SIGNALS_TOKEN, Interest::Readable)?;
        Ok(Self {
            poll,
            signals,
            spawner,
            manager_plan: manager_plan::manager_plan(&args),
            manager: None,
            supervisor: Supervisor::new(Instant::now()),
            processes: Processes::default(),
            store: Store::default(),
            was_ready: false,
            goodbye: None,
            finished: None,
        })
    }

    /// One turn: messages of the manager, then signals and ends of processes, then what is due; at the end everything
    /// there is to say goes out at once.
    fn run(mut self) -> Result<i32, SysError> {
        let mut ready: Vec<Ready> = Vec::new();
        // Messages of a packet that was read already: the socket does not count as readable for them.
        let mut are_messages_left = false;
        loop {
            self.do_what_is_due();
            self.flush();
            if let Some(status) = self.finished {
                return Ok(status);
            }
            let timeout = if are_messages_left { Some(Duration::ZERO) } else { self.timeout() };
            self.poll.wait(&mut ready, timeout)?;
            if are_messages_left || ready.iter().any(|ready| ready.token == LINK_TOKEN) {
                are_messages_left = self.carry_out_messages(MESSAGES_AT_ONCE);
            }
            if ready.iter().any(|ready| ready.token == SIGNALS_TOKEN) {
                self.take_signals()?;
            }
            for ready in ready.iter().filter(|ready| ready.token >= FIRST_PROCESS_TOKEN) {
                self.note_end_of(ProcessId(ready.token - FIRST_PROCESS_TOKEN))?;
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let goodbye = self.goodbye.map(|since| since + GOODBYE_PATIENCE);
        let next = if self.goodbye.is_some() { goodbye } else { self.supervisor.next_look() };
        next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        if let Some(since) = self.goodbye {
            self.end_after_goodbye(since, now);
        } else if self.supervisor.is_hopeless(now) {
            say("no manager comes up to stop the services; killing them");
            self.give_up(EXIT_GAVE_UP);
        } else if self.supervisor.may_start(now) {
            self.start_manager(now);
        }
    }

    fn end_after_goodbye(&mut self, since: Instant, now: Instant) {
        match &self.manager {
            None => self.finished = Some(0),
            Some(manager) if now >= since + GOODBYE_PATIENCE => manager.kill(),
            Some(_) => {}
        }
    }

    // The manager's life.

    fn start_manager(&mut self, now: Instant) {
        self.supervisor.note_start(now);
        match self.try_start_manager() {
            Ok(manager) => self.manager = Some(manager),
            Err(error) => {
                complain(&*error);
                self.supervisor.note_death(now);
            }
        }
    }

    fn try_start_manager(&mut self) -> Result<Manager, Box<dyn std::error::Error>> {
        let (ours, theirs) = seqpacket::pair()?;
        let spawned = self.spawner.spawn(&self.manager_plan, &[theirs.as_fd()]);
        let pid = spawned.map_err(|error: SpawnError| Box::new(error))?;
        self.poll.add(ours.as_fd(), LINK_TOKEN, Interest::Readable)?;
        let mut link = ManagerLink::new(ours);
        self.hand_over(&mut link);
        Ok(Manager { pid, is_reaped: false, link: Some(link), is_congested: false })
    }

    /// Everything a new manager has to know before business.
    fn hand_over(&self, link: &mut ManagerLink) {
        let restarts = self.supervisor.restarts();
        link.push(&ToManager::Hello { version: PROTOCOL_VERSION, restarts }, Vec::new());
        self.store.replay().for_each(|(message, fds)| link.push(&message, fds));
        self.processes.replay().for_each(|message| link.push(&message, Vec::new()));
        link.push(&ToManager::Restored, Vec::new());
        if self.supervisor.is_stop_requested() {
            link.push(&ToManager::Signal(libc::SIGTERM), Vec::new());
        }
    }

    /// The manager has been reaped. What it had sent before is still carried out.
    fn note_manager_exit(&mut self, status: ExitStatus) {
        self.manager.iter_mut().for_each(|manager| manager.is_reaped = true);
        self.carry_out_messages(usize::MAX);
        self.manager = None;
        if self.goodbye.is_some() {
            return;
        }
        if status == ExitStatus::Exited(i32::from(EXIT_CONFIG)) && !self.was_ready {
            self.give_up(EXIT_CONFIG.into());
            return;
        }
        let delay = self.supervisor.note_death(Instant::now());
        say(&format!("the manager {}; starting it again {}", how(status), when(delay)));
    }

    /// Stops listening to the manager; one that still lives is of no use any more.
    fn break_off(&mut self) {
        if let Some(manager) = &mut self.manager {
            // Nobody else has this open file: closing it removes it from the poll set.
            manager.link = None;
            manager.kill();
        }
    }

    fn flush(&mut self) {
        let Some(Manager { link: Some(link), is_congested, .. }) = &mut self.manager else {
            return;
        };
        let outcome = link.flush().map(|all_sent| !all_sent);
        match outcome {
            Ok(congested) if congested == *is_congested => {}
            Ok(congested) => {
                *is_congested = congested;
                let interest = if congested { Interest::Both } else { Interest::Readable };
                if let Err(error) = self.poll.modify(link.as_fd(), LINK_TOKEN, interest) {
                    complain(&error);
                }
            }
            // What it has sent before its end is read first; reading then finds the end.
            Err(LinkError::Closed) => {}
            Err(error) => {
                complain(&error);
                self.break_off();
            }
        }
    }

    fn tell(&mut self, message: &ToManager) {
        if let Some(Manager { link: Some(link), .. }) = &mut self.manager {
            link.push(message, Vec::<Rc<OwnedFd>>::new());
        }
    }

    // What the manager asks for.

    /// Answers whether there may be more.
    fn carry_out_messages(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let Some(Manager { link: Some(link), .. }) = &mut self.manager else {
                return false;
            };
            match link.recv::<ToKeeper>() {
                Ok(Some((message, fds))) => {
                    self.supervisor.note_sign_of_life();
                    self.carry_out(message, fds);
                }
                Ok(None) => return false,
                Err(error) => {
                    if !matches!(error, LinkError::Closed) {
                        complain(&error);
                    }
                    self.break_off();
                    return false;
                }
            }
        }
        true
    }

    fn carry_out(&mut self, message: ToKeeper, fds: Vec<Option<OwnedFd>>) {
        match message {
            ToKeeper::Hold { names } => {
                let lost = self.store.hold(names, fds);
                lost.iter().for_each(|message| self.tell(message));
            }
            ToKeeper::Release { names } => {
                self.store.release(&names);
                self.tell(&ToManager::Released);
            }
            ToKeeper::Spawn { process, tag, plan } => {
                let answer = self.processes.spawn(&mut self.spawner, process, tag, &plan, &fds);
                self.tell(&answer);
            }
            ToKeeper::Adopt { process, tag, like, pid } => {
                let answer = self.processes.adopt(process, tag, like, pid);
                self.watch_end(process);
                self.tell(&answer);
            }
            ToKeeper::Environment(environment) => self.spawner.set_environment(environment),
            ToKeeper::Kill { process, signal, scope } => self.processes.kill(process, signal, scope),
            ToKeeper::Freeze { process } => {
                let is_still = self.processes.freeze(process);
                self.tell(&ToManager::Frozen { process, is_still });
            }
            ToKeeper::Forget { processes } => self.processes.forget(&processes),
            ToKeeper::Remember { key, value } => self.store.remember(key, value),
            ToKeeper::Erase { keys } => self.store.erase(&keys),
            ToKeeper::Ready => {
                self.was_ready = true;
                notify_supervisor("READY=1");
            }
            ToKeeper::Status(text) => notify_supervisor(&format!("STATUS={}", text.replace('\n', " "))),
            ToKeeper::Goodbye => self.goodbye = self.goodbye.or_else(|| Some(Instant::now())),
        }
    }

    /// An adopted process need not be our child: its end is not told by a signal then.
    fn watch_end(&mut self, process: ProcessId) {
        if let Some(end) = self.processes.end_of(process)
            && let Err(error) =
                self.poll.add(end.as_fd(), FIRST_PROCESS_TOKEN + process.0, Interest::Readable)
        {
            complain(&error);
        }
    }

    // Signals and ends of processes.

    fn take_signals(&mut self) -> Result<(), SysError> {
        while let Some(signal) = self.signals.next()? {
            if signal != libc::SIGCHLD {
                self.forward(signal);
            }
        }
        // Signals are not counted, so whenever any has come everybody is asked for.
        self.reap()
    }

    fn forward(&mut self, signal: i32) {
        let asks_to_stop = matches!(signal, libc::SIGTERM | libc::SIGINT);
        if asks_to_stop && self.supervisor.note_stop_request(Instant::now()) {
            notify_supervisor("STOPPING=1");
        }
        self.tell(&ToManager::Signal(signal));
    }

    fn reap(&mut self) -> Result<(), SysError> {
        let mut ended = Vec::new();
        while let Some(child) = child::reap()? {
            ended.push(child);
        }
        // All of them are gone before anybody is asked who is left.
        let gone = if ended.is_empty() { Vec::new() } else { self.processes.left_gone() };
        gone.iter().for_each(|message| self.tell(message));
        for (pid, status) in ended {
            if self.manager.as_ref().is_some_and(|manager| manager.pid == pid) {
                self.note_manager_exit(status);
            } else if let Some(message) = self.processes.note_exit(pid, status) {
                self.tell(&message);
            }
        }
        Ok(())
    }

    /// An adopted process has ended. Of somebody else's child nobody tells us how: it counts as well.
    fn note_end_of(&mut self, process: ProcessId) -> Result<(), SysError> {
        self.reap()?;
        if let Some(pid) = self.processes.unreaped(process)
            && let Some(message) = self.processes.note_exit(pid, ExitStatus::Exited(0))
        {
            self.tell(&message);
        }
        Ok(())
    }

    // The end without a manager.

    /// Ends every process that was started here, then the keeper.
    fn give_up(&mut self, status: i32) {
        if let Some(manager) = self.manager.take() {
            manager.kill();
        }
        self.processes.kill_all(libc::SIGTERM);
        self.processes.kill_all(libc::SIGCONT);
        self.wait_for_processes(KILL_PATIENCE);
        self.processes.kill_all(libc::SIGKILL);
        self.wait_for_processes(KILL_PATIENCE);
        self.finished = Some(status);
    }

    fn wait_for_processes(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut ready = Vec::new();
        while self.processes.any_alive() {
            let left = deadline.saturating_duration_since(Instant::now());
            let outcome = self.poll.wait(&mut ready, Some(left)).and_then(|()| self.take_signals());
            if let Err(error) = outcome {
                complain(&error);
                return;
            }
            if left.is_zero() {
                return;
            }
        }
    }
}

/// A supervisor that cannot be reached is no reason to stop working.
fn notify_supervisor(message: &str) {
    if let Err(error) = notify::send_to_supervisor(message) {
        complain(&error);
    }
}

fn how(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exited(status) => format!("exited with status {status}"),
        ExitStatus::Killed(signal) => format!("was killed by signal {signal}"),
        ExitStatus::Dumped(signal) => format!("was killed by signal {signal} and dumped core"),
    }
}

fn when(delay: Duration) -> String {
    if delay.is_zero() { "at once".to_owned() } else { format!("in {} ms", delay.as_millis()) }
}
