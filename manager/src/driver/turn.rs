//! One turn of the loop: what woke us, in a designed order.
//!
//! Notifications come before exits, because a service may say why it ends; exits before timers, so that a process that is gone is not
//! killed; timers before traffic.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use sockmgr_engine::{Event, FdId, ProcessId, SpawnError, Time};
use sockmgr_sys::poll::{Interest, Ready};

use super::listeners::chain;
use super::output::TOKENS;
use super::{Driver, now};
use crate::control::Core;
use crate::keeper::LinkError;
use crate::protocol::ToManager;

/// Tokens of the descriptors that are no listeners.
pub(super) const LINK: u64 = u64::MAX;
const NOTIFY: u64 = u64::MAX - 1;
pub(super) const ARRIVALS: u64 = u64::MAX - 2;

/// What the loop is to do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Wait for the next.
    GoOn,
    /// The same, but clients first: services write to the log, perhaps without end.
    GiveWay,
    /// Everything is down: the manager may end.
    Stopped,
}

/// What a turn found in the poll set; kept between turns so that its memory is.
#[derive(Debug, Default)]
pub struct Wakeups(Vec<Ready>);

impl Driver {
    /// Puts the notify socket into the poll set, which has the link and all watched listeners too.
    pub(super) fn watch_notify(&mut self) -> Result<(), sockmgr_sys::SysError> {
        self.poll.add(self.notify.as_fd(), NOTIFY, Interest::Readable)
    }

    pub(super) fn watch_link(&mut self, writable: bool) {
        if self.link_blocked != writable {
            self.link_blocked = writable;
            let interest = if writable { Interest::Both } else { Interest::Readable };
            if let Err(error) = self.poll.modify(self.link.as_fd(), LINK, interest) {
                tracing::error!("cannot watch the keeper: {}", chain(&error));
            }
        }
    }

    /// A descriptor that is readable when a turn has work.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn wakeup_fd(&self) -> std::io::Result<OwnedFd> {
        self.poll.as_fd().try_clone_to_owned()
    }

    /// How long until a timer is due; `None` when there is none.
    pub fn next_timer(&self) -> Option<Duration> {
        let due = [self.engine.poll_timeout(), self.probes.next_look()];
        let due: Time = due.into_iter().flatten().min()?;
        Some(Duration::from_micros(due.as_micros().saturating_sub(now().as_micros())))
    }

    /// Deals with all that is there now. Sets `idle` when there was nothing.
    ///
    /// # Errors
    /// The keeper is gone: there is nothing left to manage.
    pub fn turn(&mut self, wakeups: &mut Wakeups, idle: &mut bool) -> Result<Outcome, LinkError> {
        let ready = &mut wakeups.0;
        if let Err(error) = self.poll.wait(ready, Some(Duration::ZERO)) {
            tracing::error!("cannot wait for events: {}", chain(&error));
        }
        *idle = ready.is_empty();
        if ready.iter().any(|ready| ready.token == NOTIFY) {
            self.take_notifications();
        }
        if !self.inbox.is_empty() || ready.iter().any(|ready| ready.token == LINK) {
            self.take_messages()?;
        }
        if self.engine.poll_timeout().is_some_and(|due| due <= now()) {
            self.engine.handle_timeout(now(), &mut self.actions);
            self.perform();
        }
        self.look_at_probes();
        if ready.iter().any(|ready| ready.token == ARRIVALS) {
            self.take_arrivals();
        }
        for listener in ready.iter().filter(|ready| ready.token < TOKENS) {
            self.traffic(*listener);
        }
        let has_written = self.take_outputs(&wakeups.0);
        self.flush_link()?;
        self.write_remarks();
        Ok(match has_written {
            _ if self.is_stopping && self.engine.is_quiet() => Outcome::Stopped,
            true => Outcome::GiveWay,
            false => Outcome::GoOn,
        })
    }

    fn traffic(&mut self, ready: Ready) {
        let fd = FdId(ready.token);
        self.feed(if self.engine.stored_by(fd).is_some() {
            Event::StoredHungUp { fd }
        } else if ready.hang_up || ready.error {
            Event::HungUp { fd }
        } else {
            Event::Incoming { fd }
        });
    }

    fn take_messages(&mut self) -> Result<(), LinkError> {
        // Descriptors come only while an earlier manager's things are handed over.
        while let Some((message, _)) = self.link.recv()? {
            self.inbox.push_back(message);
        }
        while let Some(message) = self.inbox.pop_front() {
            self.keeper_says(message);
        }
        Ok(())
    }

    fn keeper_says(&mut self, message: ToManager) {
        match message {
            ToManager::Spawned { process, pid } => {
                let pid = u32::try_from(pid).unwrap_or(0);
                self.watch_output(process.0, Some(pid));
                self.feed(Event::Spawned { process: ProcessId(process.0), pid });
            }
            ToManager::SpawnFailed { process, step, errno } => {
                self.end_output(process.0);
                let reason = std::io::Error::from_raw_os_error(errno);
                let text = format!("cannot start: failed at step {}: {reason}", step.name());
                let error = SpawnError {
                    exit_code: step.exit_status().unwrap_or(0),
                    text,
                    resources: step.exit_status().is_none(),
                };
                self.feed(Event::SpawnFailed { process: ProcessId(process.0), error });
            }
            ToManager::Exited { process, status, leaves_others } => {
                self.take_last_words(process);
                self.feed(Event::Exited {
                    process: ProcessId(process.0),
                    status: super::boot::exit_status(status),
                    leaves_others,
                });
            }
            ToManager::LeftGone { process } => self.feed(Event::LeftGone { process: ProcessId(process.0) }),
            ToManager::Frozen { process, is_still } => {
                // What it has said until then counts.
                self.take_notifications();
                self.feed(Event::Frozen { process: ProcessId(process.0), is_still });
            }
            ToManager::Signal(signal) => self.signalled(signal),
            ToManager::Released => self.releases = self.releases.saturating_sub(1),
            ToManager::NotHeld { name } => {
                tracing::error!("the keeper has no room to keep {name}; raise its LimitNOFILE")
            }
            ToManager::Hello { .. }
            | ToManager::Held { .. }
            | ToManager::Remembered { .. }
            | ToManager::Process { .. }
            | ToManager::Restored => tracing::debug!("the keeper repeats itself"),
        }
    }

    /// SIGTERM and SIGINT stop everything, SIGHUP reads the unit files again (daemon(7)).
    fn signalled(&mut self, signal: i32) {
        match signal {
            sockmgr_sys::child::SIGTERM | sockmgr_sys::child::SIGINT if !self.is_stopping => {
                tracing::info!("stopping everything");
                self.stop_all();
            }
            sockmgr_sys::child::SIGHUP => {
                if let Err(error) = self.reload() {
                    tracing::error!("cannot read the unit files again: {error}");
                }
            }
            _ => {}
        }
    }
}
