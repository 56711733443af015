//! What a service tells its manager: ready, reloading, stopping, alive, and descriptors to keep (sd_notify(3)).
//! Never reads anything back; the barrier waits for a hang-up, not for an answer.
//! Invariant: without `NOTIFY_SOCKET` everything succeeds and does nothing, so callers need no case of their own.

use std::fmt;
use std::io::{self, PipeReader};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use crate::bind::unix_address;
use crate::environment::{self, EnvironmentError, Lookup, process_variable};
use crate::sys;

/// How long a message may wait for room in the manager's queue: a manager that hangs must not hang its services.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest name of a stored descriptor, in bytes.
const MAX_NAME: usize = 255;

/// Why the manager was not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// A variable of the protocol is malformed.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// `NOTIFY_SOCKET` is neither an absolute path nor `@` with an abstract name.
    #[error("NOTIFY_SOCKET={value}: expected an absolute path, or @ and an abstract name")]
    Address {
        /// What it is.
        value: String,
    },
    /// The name of a stored descriptor would not survive the way back in `LISTEN_FDNAMES`.
    #[error(
        "{name:?} cannot name a stored descriptor: expected 1 to 255 printable ASCII characters without a colon"
    )]
    Name {
        /// The name in question.
        name: String,
    },
    /// The message could not be sent.
    #[error("cannot send {message:?} to the manager")]
    Send {
        /// The message, one field a line.
        message: String,
        /// What went wrong; `WouldBlock` when the manager made no room for it within five seconds.
        source: io::Error,
    },
    /// The manager has not read as far as the barrier in time.
    #[error("the manager did not reach the barrier within {timeout:?}")]
    BarrierTimeout {
        /// How long we waited.
        timeout: Duration,
    },
}

/// One thing to tell; several go out together by [`Notifier::send`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State<'a> {
    /// The service is up, or has finished reloading.
    Ready,
    /// The service has begun to reload; says when, as `MONOTONIC_USEC=`.
    Reloading,
    /// The service has begun to stop.
    Stopping,
    /// A line on how things are, for people. Line breaks become blanks.
    Status(&'a str),
    /// The error number that the service failed with.
    Errno(i32),
    /// Another process is the main process of the service from now on.
    MainPid(u32),
    /// The service is alive; to be told within every [`Notifier::watchdog_interval`].
    Watchdog,
    /// The service has found itself in trouble; the manager acts as if the watchdog had run out.
    WatchdogTrigger,
    /// A new watchdog interval, from now on.
    WatchdogInterval(Duration),
    /// Starting or stopping takes longer: that much time from now before the manager gives up.
    ExtendTimeout(Duration),
}

/// The way to the manager. Cheap to clone; every method may be called from any thread, and blocks for as long as
/// the manager's queue is full, five seconds at most.
///
/// ```
/// let notifier = sockmgr_client::Notifier::from_env()?;
/// // … adopt sockets, read the configuration …
/// notifier.ready()?;
/// # Ok::<(), sockmgr_client::NotifyError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    address: Option<SocketAddr>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The manager of this process, from `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    ///
    /// # Errors
    /// When one of them is malformed.
    pub fn from_env() -> Result<Self, NotifyError> {
        Self::read(&process_variable, process::id())
    }

    /// A notifier for an address in the form of `NOTIFY_SOCKET`: an absolute path, or `@name`.
    ///
    /// # Errors
    /// When the address has another form.
    pub fn to(address: &str) -> Result<Self, NotifyError> {
        let form = address.starts_with(['/', '@']) && address.len() > 1;
        match unix_address(address) {
            Ok(address) if form => Ok(Self { address: Some(address), watchdog: None }),
            _ => Err(NotifyError::Address { value: address.to_owned() }),
        }
    }

    /// Reads the variables for the process `pid`.
    fn read(lookup: Lookup<'_>, pid: u32) -> Result<Self, NotifyError> {
        let address = environment::text(lookup, "NOTIFY_SOCKET", "the address of a unix socket")?;
        let notifier = address.map_or_else(|| Ok(Self::default()), |address| Self::to(&address))?;
        Ok(Self { watchdog: watchdog_interval(lookup, pid)?, ..notifier })
    }

    /// Whether there is a manager to tell.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.address.is_some()
    }

    /// How often the manager expects [`watchdog`](Self::watchdog) at least, `None` when it does not watch this
    /// process. Tell it twice as often.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells several things in one message.
    ///
    /// # Errors
    /// When the message cannot be sent; without a manager it is dropped, and that is no error.
    pub fn send(&self, states: &[State<'_>]) -> Result<(), NotifyError> {
        let lines: Vec<String> = states.iter().map(State::to_string).collect();
        self.send_message(lines.join("\n"), &[])
    }

    /// `READY=1`: the service answers from now on, or again after [`reloading`](Self::reloading).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ready(&self) -> Result<(), NotifyError> {
        self.send(&[State::Ready])
    }

    /// `RELOADING=1`, with the time; tell [`ready`](Self::ready) when it is done.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn reloading(&self) -> Result<(), NotifyError> {
        self.send(&[State::Reloading])
    }

    /// `STOPPING=1`: the service takes nothing new and finishes what it has begun.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn stopping(&self) -> Result<(), NotifyError> {
        self.send(&[State::Stopping])
    }

    /// `STATUS=`: a line for people, which `sockmgr status` shows.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn status(&self, status: &str) -> Result<(), NotifyError> {
        self.send(&[State::Status(status)])
    }

    /// `WATCHDOG=1`: the service is alive.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn watchdog(&self) -> Result<(), NotifyError> {
        self.send(&[State::Watchdog])
    }

    /// `MAINPID=`: the process `pid` is the main process of the service from now on.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn main_pid(&self, pid: u32) -> Result<(), NotifyError> {
        self.send(&[State::MainPid(pid)])
    }

    /// `ERRNO=`: the error number that the service fails with, as in errno(3).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn errno(&self, errno: i32) -> Result<(), NotifyError> {
        self.send(&[State::Errno(errno)])
    }

    /// `FDSTORE=1`: the manager keeps a copy of `descriptor` and passes it on at the next start, as one of
    /// [`Inherited`](crate::Inherited), under `name`.
    ///
    /// # Errors
    /// When the name is not 1 to 255 printable ASCII characters without a colon, or as [`send`](Self::send).
    pub fn store(&self, name: &str, descriptor: impl AsFd) -> Result<(), NotifyError> {
        let message = format!("FDSTORE=1\nFDNAME={}", stored_name(name)?);
        self.send_message(message, &[descriptor.as_fd()])
    }

    /// `FDSTOREREMOVE=1`: the manager forgets all stored descriptors of that name.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn remove_stored(&self, name: &str) -> Result<(), NotifyError> {
        self.send_message(format!("FDSTOREREMOVE=1\nFDNAME={}", stored_name(name)?), &[])
    }

    /// `BARRIER=1`: waits until the manager has read all that was told before (sd_notify_barrier(3)). A process
    /// that ends right after a message needs this, or the manager may no longer know whose message it was.
    ///
    /// # Errors
    /// When the manager does not get that far within `timeout`, or as [`send`](Self::send).
    pub fn barrier(&self, timeout: Duration) -> Result<(), NotifyError> {
        if !self.is_enabled() {
            return Ok(());
        }
        let reader = self.send_barrier()?;
        let failed = |source| NotifyError::Send { message: "BARRIER=1".to_owned(), source };
        match sys::wait_for_hang_up(reader.as_fd(), timeout).map_err(failed)? {
            true => Ok(()),
            false => Err(NotifyError::BarrierTimeout { timeout }),
        }
    }

    /// Sends the writing end of a pipe, the only one once this returns: the manager closes it when it has come so
    /// far.
    fn send_barrier(&self) -> Result<PipeReader, NotifyError> {
        let message = "BARRIER=1".to_owned();
        match io::pipe() {
            Ok((reader, writer)) => self.send_message(message, &[writer.as_fd()]).map(|()| reader),
            Err(source) => Err(NotifyError::Send { message, source }),
        }
    }

    /// Sends one message; connects each time, because the manager's socket may be a new one after its restart.
    fn send_message(&self, message: String, descriptors: &[BorrowedFd<'_>]) -> Result<(), NotifyError> {
        let Some(address) = &self.address else { return Ok(()) };
        let attempt = || {
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(address)?;
            socket.set_write_timeout(Some(SEND_TIMEOUT))?;
            sys::send_with_descriptors(&socket, message.as_bytes(), descriptors)
        };
        attempt().map_err(|source| NotifyError::Send { message, source })
    }
}

impl fmt::Display for State<'_> {
    /// The lines of the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ready => f.write_str("READY=1"),
            Self::Reloading => write!(f, "RELOADING=1\nMONOTONIC_USEC={}", sys::monotonic_usec()),
            Self::Stopping => f.write_str("STOPPING=1"),
            // A line break would begin a field of its own.
            Self::Status(status) => write!(f, "STATUS={}", status.replace(['\n', '\r', '\0'], " ")),
            Self::Errno(errno) => write!(f, "ERRNO={errno}"),
            Self::MainPid(pid) => write!(f, "MAINPID={pid}"),
            Self::Watchdog => f.write_str("WATCHDOG=1"),
            Self::WatchdogTrigger => f.write_str("WATCHDOG=trigger"),
            Self::WatchdogInterval(interval) => write!(f, "WATCHDOG_USEC={}", interval.as_micros()),
            Self::ExtendTimeout(time) => write!(f, "EXTEND_TIMEOUT_USEC={}", time.as_micros()),
        }
    }
}

/// The watchdog interval, where there is one and it is meant for the process `pid` (sd_watchdog_enabled(3)).
fn watchdog_interval(lookup: Lookup<'_>, pid: u32) -> Result<Option<Duration>, EnvironmentError> {
    let expected = "the number of a process";
    let meant_for = environment::number::<NonZeroU32>(lookup, "WATCHDOG_PID", expected)?;
    if meant_for.is_some_and(|meant| meant.get() != pid) {
        return Ok(None);
    }
    let micros = environment::number::<u64>(lookup, "WATCHDOG_USEC", "a number of microseconds")?;
    Ok(micros.filter(|&micros| micros > 0).map(Duration::from_micros))
}

/// Checks the name of a stored descriptor.
fn stored_name(name: &str) -> Result<&str, NotifyError> {
    let fits = (1..=MAX_NAME).contains(&name.len());
    if fits && name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b':') {
        Ok(name)
    } else {
        Err(NotifyError::Name { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::variables;

    #[test]
    fn fields() {
        let table = [
            (State::Ready, "READY=1"),
            (State::Stopping, "STOPPING=1"),
            (State::Status("serving 3 clients"), "STATUS=serving 3 clients"),
            (State::Status("two\nREADY=1"), "STATUS=two READY=1"),
            (State::Errno(2), "ERRNO=2"),
            (State::MainPid(17), "MAINPID=17"),
            (State::Watchdog, "WATCHDOG=1"),
            (State::WatchdogTrigger, "WATCHDOG=trigger"),
            (State::WatchdogInterval(Duration::from_secs(2)), "WATCHDOG_USEC=2000000"),
            (State::ExtendTimeout(Duration::from_millis(5)), "EXTEND_TIMEOUT_USEC=5000"),
        ];
        for (state, expected) in table {
            assert_eq!(state.to_string(), expected);
        }
    }

    #[test]
    fn reloading_says_when() {
        let before = sys::monotonic_usec();
        let text = State::Reloading.to_string();
        let after = sys::monotonic_usec();
        let usec: u64 = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!(before <= usec && usec <= after, "{before} <= {usec} <= {after}");
    }

    #[test]
    fn names_of_stored_descriptors() {
        let longest = "x".repeat(MAX_NAME);
        for name in ["a", "with blank", "web.socket", longest.as_str()] {
            assert_eq!(stored_name(name).unwrap(), name);
        }
        let too_long = "x".repeat(MAX_NAME + 1);
        for name in ["", "a:b", "a\nREADY=1", "tab\t", "ä", "\x7f", too_long.as_str()] {
            assert!(matches!(stored_name(name), Err(NotifyError::Name { .. })), "{name:?}");
        }
    }

    /// What the variables mean for process 42.
    fn read(words: &'static str) -> String {
        match Notifier::read(&variables(words), 42) {
            Ok(it) => format!("{} {:?}", it.is_enabled(), it.watchdog_interval()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn environments() {
        let form = "expected an absolute path, or @ and an abstract name";
        let table = [
            ("", "false None".to_owned()),
            ("NOTIFY_SOCKET=/run/notify", "true None".to_owned()),
            ("NOTIFY_SOCKET=@notify", "true None".to_owned()),
            ("NOTIFY_SOCKET=notify", format!("NOTIFY_SOCKET=notify: {form}")),
            ("NOTIFY_SOCKET=@", format!("NOTIFY_SOCKET=@: {form}")),
            ("NOTIFY_SOCKET=", format!("NOTIFY_SOCKET=: {form}")),
            ("NOTIFY_SOCKET=vsock:2:1234", format!("NOTIFY_SOCKET=vsock:2:1234: {form}")),
            ("NOTIFY_SOCKET=@n WATCHDOG_USEC=2000000", "true Some(2s)".to_owned()),
            ("NOTIFY_SOCKET=@n WATCHDOG_USEC=2000000 WATCHDOG_PID=42", "true Some(2s)".to_owned()),
            ("NOTIFY_SOCKET=@n WATCHDOG_USEC=2000000 WATCHDOG_PID=43", "true None".to_owned()),
            ("WATCHDOG_USEC=0", "false None".to_owned()),
            ("WATCHDOG_USEC=2s", "WATCHDOG_USEC=2s: expected a number of microseconds".to_owned()),
        ];
        for (words, expected) in table {
            assert_eq!(read(words), expected, "{words}");
        }
    }

    #[test]
    fn without_a_manager_everything_succeeds() {
        let notifier = Notifier::default();
        notifier.ready().unwrap();
        notifier.barrier(Duration::ZERO).unwrap();
        notifier.store("null", std::fs::File::open("/dev/null").unwrap()).unwrap();
    }
}
