//! The manager process: the driver, the control interfaces and the loop that serves both, on one thread.

use std::cell::RefCell;
use std::error::Error;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;

use sockmgr_unit::{ListenAddress, LogLevel, Settings};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::control::Hub;
use crate::driver::{Driver, Options, Outcome, Wakeups, address_of, chain, read_settings};
use crate::keeper::{EXIT_CONFIG, KeeperLink};
use crate::metrics::{self, Metrics};

/// Turns of the driver, as long as each finds work, before clients get theirs.
const TURNS_AT_ONCE: usize = 16;

/// Runs the manager until everything is stopped.
#[must_use]
pub fn run(options: Options) -> ExitCode {
    let settings = match read_settings(&options) {
        Ok((settings, diagnostics)) => {
            crate::log::init(settings.log_level);
            diagnostics.iter().for_each(crate::log::diagnostic);
            settings
        }
        Err(error) => {
            crate::log::init(LogLevel::Info);
            return fatal(error.into());
        }
    };
    let local = tokio::task::LocalSet::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let result =
        runtime.map_err(Box::from).and_then(|runtime| local.block_on(&runtime, serve(options, settings)));
    result.map_or_else(fatal, |()| ExitCode::SUCCESS)
}

fn fatal(error: Box<dyn Error>) -> ExitCode {
    tracing::error!("{}", chain(&*error));
    ExitCode::from(EXIT_CONFIG)
}

async fn serve(options: Options, settings: Settings) -> Result<(), Box<dyn Error>> {
    let (scope, metrics_at) = (options.scope, settings.metrics_listen.clone());
    let link = KeeperLink::from_env()?;
    let (driver, control) = Driver::boot(link, options, settings)?;
    let driver = Rc::new(RefCell::new(driver));
    let hub = Hub::start(driver.clone(), control, scope)?;
    let metrics = metrics_at.and_then(|address| metrics(&driver, &address));
    turns(&driver, &hub).await?;
    metrics.into_iter().for_each(Metrics::stop);
    hub.stop().await;
    driver.borrow_mut().farewell()?;
    Ok(())
}

/// Without them the manager does its work all the same.
fn metrics(driver: &Rc<RefCell<Driver>>, address: &ListenAddress) -> Option<Metrics> {
    let served = metrics::serve(driver.clone(), address_of(address)?);
    served.inspect_err(|error| tracing::error!("MetricsListen= has no effect: {error}")).ok()
}

/// The loop: wait for the poll set or a timer, take a turn, tell the clients.
async fn turns(driver: &Rc<RefCell<Driver>>, hub: &Hub) -> Result<(), Box<dyn Error>> {
    let poll = watched(driver.borrow().wakeup_fd()?)?;
    let commanded = driver.borrow().commanded();
    let mut wakeups = Wakeups::default();
    loop {
        let timer = driver.borrow().next_timer();
        let mut idle = false;
        let mut woken = tokio::select! {
            biased;
            ready = poll.readable() => Some(ready?),
            () = commanded.notified() => None,
            () = tokio::time::sleep(timer.unwrap_or_default()), if timer.is_some() => None,
        };
        // One thing leads to the next; clients get their turn even when traffic never ceases.
        for _ in 0..TURNS_AT_ONCE {
            let outcome = driver.borrow_mut().turn(&mut wakeups, &mut idle)?;
            hub.broadcast();
            match outcome {
                Outcome::Stopped => return Ok(()),
                Outcome::GoOn if !idle => {}
                Outcome::GoOn | Outcome::GiveWay => break,
            }
        }
        match woken.as_mut().filter(|_| idle) {
            Some(ready) => ready.clear_ready(),
            None => tokio::task::yield_now().await,
        }
    }
}

/// The poll set as the runtime watches it.
#[expect(
    deprecated,
    reason = "its successor is unsafe, for types that give away their descriptor; an OwnedFd inside does not"
)]
fn watched(poll: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(poll, Interest::READABLE)
}
