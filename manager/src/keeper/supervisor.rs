//! When to start the manager, and when to give up on it. Pure: time is an argument.

use std::time::{Duration, Instant};

/// A manager that has lived so long is sound: should it die, the next one starts at once.
const STABLE_AFTER: Duration = Duration::from_secs(10);
const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// How long a stop that was asked for waits for a manager to carry it out.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What the manager is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none; the next one starts then.
    Down { next_start: Instant },
    /// Started, and not a word yet.
    Starting { since: Instant },
    /// It speaks.
    Up { since: Instant },
}

/// The manager's life so far.
#[derive(Debug)]
pub(super) struct Supervisor {
    state: State,
    next_delay: Duration,
    starts: u32,
    /// When a stop was asked for, or the manager that was carrying it out died.
    stop_waits_since: Option<Instant>,
}

impl Supervisor {
    pub(super) fn new(now: Instant) -> Self {
        let state = State::Down { next_start: now };
        Self { state, next_delay: Duration::ZERO, starts: 0, stop_waits_since: None }
    }

    /// True when it is time to start a manager.
    pub(super) fn may_start(&self, now: Instant) -> bool {
        matches!(self.state, State::Down { next_start } if next_start <= now)
    }

    /// How many managers there were before this one.
    pub(super) fn restarts(&self) -> u32 {
        self.starts.saturating_sub(1)
    }

    pub(super) fn note_start(&mut self, now: Instant) {
        self.starts = self.starts.saturating_add(1);
        self.state = State::Starting { since: now };
    }

    /// The manager has sent something.
    pub(super) fn note_sign_of_life(&mut self) {
        if let State::Starting { since } = self.state {
            self.state = State::Up { since };
        }
    }

    /// The manager is dead (or could not be started); answers how long the next one waits.
    pub(super) fn note_death(&mut self, now: Instant) -> Duration {
        let (started, was_up) = match self.state {
            State::Down { next_start } => (next_start, false),
            State::Starting { since } => (since, false),
            State::Up { since } => (since, true),
        };
        if was_up && now.duration_since(started) >= STABLE_AFTER {
            self.next_delay = Duration::ZERO;
        }
        // Only one that was up can have worked on the stop: the patience for its successor starts anew.
        if was_up && self.stop_waits_since.is_some() {
            self.stop_waits_since = Some(now);
        }
        let delay = self.next_delay;
        self.next_delay = (delay * 2).clamp(SHORTEST_DELAY, LONGEST_DELAY);
        self.state = State::Down { next_start: now + delay };
        delay
    }

    /// Somebody wants everything stopped. Answers whether this is news.
    pub(super) fn note_stop_request(&mut self, now: Instant) -> bool {
        let is_news = self.stop_waits_since.is_none();
        self.stop_waits_since.get_or_insert(now);
        is_news
    }

    pub(super) fn is_stop_requested(&self) -> bool {
        self.stop_waits_since.is_some()
    }

    /// True when a stop was asked for and no manager comes up to carry it out.
    pub(super) fn is_hopeless(&self, now: Instant) -> bool {
        self.hopeless_at().is_some_and(|then| then <= now)
    }

    fn hopeless_at(&self) -> Option<Instant> {
        match self.state {
            State::Up { .. } => None,
            State::Down { .. } | State::Starting { .. } => {
                self.stop_waits_since.map(|since| since + STOP_PATIENCE)
            }
        }
    }

    /// When to look here again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let next_start = match self.state {
            State::Down { next_start } => Some(next_start),
            State::Starting { .. } | State::Up { .. } => None,
        };
        next_start.into_iter().chain(self.hopeless_at()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn restarts_are_at_once_then_slower_and_slower() {
        let mut now = Instant::now();
        let mut supervisor = Supervisor::new(now);
        let mut delays = Vec::new();
        for _ in 0..9 {
            assert!(supervisor.may_start(now));
            supervisor.note_start(now);
            assert!(!supervisor.may_start(now));
            let delay = supervisor.note_death(now);
            delays.push(u64::try_from(delay.as_millis()).unwrap());
            assert_eq!(supervisor.may_start(now), delay.is_zero());
            now += delay;
        }
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(supervisor.restarts(), 8);
    }

    #[test]
    fn a_stable_manager_is_replaced_at_once() {
        let mut now = Instant::now();
        let mut supervisor = Supervisor::new(now);
        for (life, delay) in [(1, 0), (9, 100), (10, 0), (9, 100)] {
            supervisor.note_start(now);
            supervisor.note_sign_of_life();
            now += seconds(life);
            assert_eq!(supervisor.note_death(now).as_millis(), delay);
        }
    }

    #[test]
    fn a_stop_waits_ten_seconds_for_a_manager() {
        let now = Instant::now();
        let mut supervisor = Supervisor::new(now);
        supervisor.note_start(now);
        assert_eq!(supervisor.next_look(), None);
        assert!(supervisor.note_stop_request(now));
        assert!(!supervisor.note_stop_request(now + seconds(5)), "the second one changes nothing");
        assert_eq!(supervisor.next_look(), Some(now + seconds(10)));
        assert!(!supervisor.is_hopeless(now + seconds(9)));
        assert!(supervisor.is_hopeless(now + seconds(10)));
        supervisor.note_sign_of_life();
        assert!(!supervisor.is_hopeless(now + seconds(1000)), "it works on it");
        supervisor.note_death(now + seconds(1000));
        assert!(!supervisor.is_hopeless(now + seconds(1009)));
        supervisor.note_start(now + seconds(1001));
        supervisor.note_death(now + seconds(1002));
        assert!(supervisor.is_hopeless(now + seconds(1010)), "one that never spoke gains no time");
    }
}
