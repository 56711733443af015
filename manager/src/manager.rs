//! The manager process: the driver, the control interfaces and the loop that serves both, on one thread.

use std::cell::RefCell;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::control::Hub;
use crate::driver::{Driver, Options, Outcome, Wakeups};
use crate::keeper::KeeperLink;

/// Ended before anything was up: the keeper passes it on instead of trying again.
const EXIT_CONFIG: u8 = 78;

/// Runs the manager until everything is stopped.
#[must_use]
pub fn run(options: Options) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot begin: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let local = tokio::task::LocalSet::new();
    match local.block_on(&runtime, serve(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

async fn serve(options: Options) -> Result<(), ExitCode> {
    let scope = options.scope;
    let link = KeeperLink::from_env().map_err(|error| fatal(&error))?;
    let (driver, control) = Driver::boot(link, options).map_err(|error| fatal(&error))?;
    let driver = Rc::new(RefCell::new(driver));
    let hub = Hub::start(driver.clone(), control, scope).map_err(|error| fatal(&error))?;
    let result = turns(&driver, &hub).await;
    hub.stop().await;
    drop(hub);
    match result {
        Ok(()) => farewell(driver),
        Err(error) => Err(fatal(&error)),
    }
}

fn farewell(driver: Rc<RefCell<Driver>>) -> Result<(), ExitCode> {
    match Rc::try_unwrap(driver) {
        Ok(driver) => driver.into_inner().farewell().map_err(|error| fatal(&error)),
        // A client task still holds it; the end of the process drops that one.
        Err(driver) => driver.borrow_mut().farewell().map_err(|error| fatal(&error)),
    }
}

fn fatal(error: &dyn std::error::Error) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::from(EXIT_CONFIG)
}

/// The poll set of the driver, borrowed by its number for the runtime to watch. The driver outlives it.
struct PollFd(RawFd);

impl AsRawFd for PollFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

async fn turns(driver: &Rc<RefCell<Driver>>, hub: &Hub) -> Result<(), Box<dyn std::error::Error>> {
    let poll = AsyncFd::with_interest(PollFd(driver.borrow().wakeup_fd()), Interest::READABLE)?;
    let mut wakeups = Wakeups::default();
    loop {
        let timer = driver.borrow().next_timer();
        let mut idle = false;
        tokio::select! {
            biased;
            ready = poll.readable() => {
                let mut ready = ready?;
                if driver.borrow_mut().turn(&mut wakeups, &mut idle)? == Outcome::Stopped {
                    return Ok(());
                }
                if idle {
                    ready.clear_ready();
                }
            }
            () = tokio::time::sleep(timer.unwrap_or_default()), if timer.is_some() => {
                if driver.borrow_mut().turn(&mut wakeups, &mut idle)? == Outcome::Stopped {
                    return Ok(());
                }
            }
        }
        hub.broadcast();
        // Clients get their turn even when traffic never ceases.
        tokio::task::yield_now().await;
    }
}
