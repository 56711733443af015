//! The least that a manager can do, as the floor of what one can be fast: no units, no jobs, no memory of anything.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The hidden verb that makes this program the service of the measures.
pub const SERVICE: &str = "answer";

/// What the service is given as standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A listener: it accepts one client and ends.
    Listener,
    /// A connection.
    Connection,
}

/// A manager that starts a process for a listener with a client in its queue, or for each client.
pub struct Floor {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Floor {
    /// Starts it.
    pub fn start(address: SocketAddr, input: Input) -> Result<Self> {
        let listener = TcpListener::bind(address).context("the floor's listener")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let thread = Some(std::thread::spawn(move || serve(&listener, input, &until)));
        Ok(Self { is_over, thread })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // A panic was printed by its thread.
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the floor: {error:#}");
        }
    }
}

fn serve(listener: &TcpListener, input: Input, is_over: &AtomicBool) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(100);
    let mut children: Vec<Child> = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let mut watched = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut watched, PollTimeout::try_from(LOOK)?)? > 0 {
            let given = match input {
                Input::Listener => OwnedFd::from(listener.try_clone()?),
                Input::Connection => OwnedFd::from(listener.accept()?.0),
            };
            children.push(spawn(given, input)?);
        }
        // While a service has the listener, its queue is not ours; a process for each client is not waited for.
        match input {
            Input::Listener => children.drain(..).try_for_each(|mut child| child.wait().map(drop))?,
            Input::Connection => children.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_)))),
        }
    }
    Ok(())
}

fn spawn(given: OwnedFd, input: Input) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words(input)).stdout(Stdio::null()).stdin(given);
    command.spawn().context("the service of the floor")
}

/// The arguments of this program that make it the service.
pub fn words(input: Input) -> [&'static str; 2] {
    [SERVICE, if input == Input::Listener { "listener" } else { "connection" }]
}

/// The service itself: one line for one client.
pub fn answer(input: Input) -> Result<()> {
    use std::io::Write;
    let given = std::io::stdin().as_fd().try_clone_to_owned()?;
    let client = match input {
        Input::Connection => given,
        Input::Listener => OwnedFd::from(accept(&TcpListener::from(given))?),
    };
    writeln!(std::fs::File::from(client), "{}", std::process::id()).context("the answer")
}

/// A manager may pass its listener non-blocking.
fn accept(listener: &TcpListener) -> Result<std::net::TcpStream> {
    poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    Ok(listener.accept()?.0)
}
