//! Rate limits: so many events in a fixed window, as systemd counts them (the first event opens the window, the first one after
//! its end opens the next).

use serde::{Deserialize, Serialize};
use sockmgr_unit::value::Span;

use crate::ids::Time;

/// What `TriggerLimitIntervalSec=`/`TriggerLimitBurst=` and `StartLimitIntervalSec=`/`StartLimitBurst=` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) interval: Span,
    pub(crate) burst: u32,
}

impl Rate {
    /// Zero in either place switches the limit off.
    pub(crate) fn is_off(self) -> bool {
        self.burst == 0 || self.interval == Span::ZERO
    }
}

/// The count of one limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RateLimit {
    window: Option<Time>,
    count: u32,
}

impl RateLimit {
    /// Counts one event; false when it is one too many.
    pub(crate) fn admit(&mut self, now: Time, rate: Rate) -> bool {
        if rate.is_off() {
            return true;
        }
        self.roll(now, rate);
        self.window.get_or_insert(now);
        if self.count >= rate.burst {
            return false;
        }
        self.count += 1;
        true
    }

    /// How many events the window still has room for.
    pub(crate) fn room(&mut self, now: Time, rate: Rate) -> u32 {
        if rate.is_off() {
            return u32::MAX;
        }
        self.roll(now, rate);
        rate.burst.saturating_sub(self.count)
    }

    /// Whether the window has no room for another event.
    pub(crate) fn is_spent(&self, now: Time, rate: Rate) -> bool {
        !rate.is_off() && self.count >= rate.burst && self.window_end(rate).is_none_or(|end| now < end)
    }

    /// When the present window ends; `None` when there is none, or it never ends.
    pub(crate) fn window_end(&self, rate: Rate) -> Option<Time> {
        self.window?.after(rate.interval)
    }

    fn roll(&mut self, now: Time, rate: Rate) {
        if self.window_end(rate).is_some_and(|end| now >= end) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { interval: Span::from_secs(2), burst: 3 };

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    #[test]
    fn the_event_after_the_burst_is_refused_until_the_window_ends() {
        let mut limit = RateLimit::default();
        assert!((0..3).all(|_| limit.admit(at(1), RATE)));
        assert!(!limit.admit(at(2), RATE));
        assert_eq!(limit.window_end(RATE), Some(at(3)));
        assert!(limit.admit(at(3), RATE));
        assert_eq!(limit.room(at(3), RATE), 2);
    }

    #[test]
    fn zero_switches_the_limit_off() {
        let mut limit = RateLimit::default();
        let off = Rate { interval: Span::ZERO, burst: 3 };
        assert!((0..100).all(|_| limit.admit(at(1), off)));
        assert_eq!(limit.room(at(1), Rate { burst: 0, ..RATE }), u32::MAX);
    }
}
