//! For tests: waiting for the kernel. A client is connected before its listener has the connection in its queue.

use std::time::{Duration, Instant};

/// Asserts that `look` comes to say `expected`, sooner or later.
#[track_caller]
pub(crate) fn until<T: PartialEq + std::fmt::Debug>(expected: &T, look: impl Fn() -> T) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while look() != *expected && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(look(), *expected);
}
