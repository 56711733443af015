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
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(STEP);
    }
}

/// Looks until it is so.
///
/// # Panics
/// As [`until_some`].
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_some(what, || is_so().then_some(()));
}
