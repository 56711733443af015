//! Waiting: for a condition, with an end, never for luck.

use std::time::{Duration, Instant};

/// Long enough for anything that should happen at all, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks.
const STEP: Duration = Duration::from_millis(5);

/// Looks until there is something to return.
///
/// # Panics
/// When [`PATIENCE`] ends first; `what` says for what.
#[track_caller]
pub fn until_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_some_within(PATIENCE, what, look)
}

/// Looks until it is so.
///
/// # Panics
/// As [`until_some`].
#[track_caller]
pub fn until(what: &str, is_so: impl FnMut() -> bool) {
    until_within(PATIENCE, what, is_so);
}

/// Looks until it is so, for something that takes its time.
///
/// # Panics
/// When the patience ends first.
#[track_caller]
pub fn until_within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    until_some_within(patience, what, || is_so().then_some(()));
}

#[track_caller]
fn until_some_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        std::thread::sleep(STEP);
    }
}
