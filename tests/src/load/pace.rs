//! When the next is due, and a wait that is as exact as the kernel's timers: a millisecond is three connections.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// The schedule of a load, fixed when it begins: nothing that happens later moves it.
#[derive(Debug)]
pub(super) struct Pace {
    begin: Instant,
    rate: u32,
    total: u64,
    bursts: Option<Bursts>,
    /// How many have been taken.
    taken: u64,
}

/// Silence after every so many. It is half as long to half as long again, by turns, so that what happens after a time of
/// silence happens before, at and after the next burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bursts {
    pub(super) length: u32,
    pub(super) silence: Duration,
}

/// A descriptor that becomes readable at a time.
#[derive(Debug)]
pub(super) struct Alarm(TimerFd);

impl Pace {
    pub(super) fn new(rate: u32, total: u64, bursts: Option<Bursts>) -> Self {
        Self { begin: Instant::now(), rate, total, bursts, taken: 0 }
    }

    /// When the next is due; `None` after the last.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let nanos = u128::from(self.taken) * 1_000_000_000 / u128::from(self.rate);
        let after = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        (self.taken < self.total).then(|| self.begin + after)
    }

    /// Takes the next one, if its time has come: its number and its time.
    pub(super) fn take(&mut self) -> Option<(u64, Instant)> {
        let due = self.next_due().filter(|due| *due <= Instant::now())?;
        self.taken += 1;
        if let Some(bursts) = self.bursts
            && self.taken.is_multiple_of(bursts.length.into())
        {
            self.begin += bursts.after(self.taken / u64::from(bursts.length));
        }
        Some((self.taken - 1, due))
    }

    /// Nothing is due any more.
    pub(super) fn end(&mut self) {
        self.total = self.taken;
    }

    /// How many were taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }
}

impl Bursts {
    /// The silence after one of the bursts: 8 different lengths, in an order without a pattern that matters.
    fn after(self, burst: u64) -> Duration {
        let eighths = u32::try_from(burst * 5 % 8).unwrap_or_default();
        self.silence / 2 + self.silence * eighths / 7
    }
}

impl Alarm {
    pub(super) fn new() -> Self {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Self(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).expect("a timer can be made"))
    }

    /// Replaces the time for which it was set; a time that has passed means at once.
    pub(super) fn set(&self, when: Instant) {
        let left = when.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let once = Expiration::OneShot(TimeSpec::from_duration(left));
        self.0.set(once, TimerSetTimeFlags::empty()).expect("a timer can be set");
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
