//! The two clocks of clock_gettime(2) that units know.

use nix::time::{ClockId, clock_gettime};

/// Microseconds of `CLOCK_MONOTONIC`: never goes back, counts from boot.
#[must_use]
pub fn monotonic_micros() -> u64 {
    micros(ClockId::CLOCK_MONOTONIC)
}

/// Microseconds of `CLOCK_REALTIME` since 1970.
#[must_use]
pub fn realtime_micros() -> u64 {
    micros(ClockId::CLOCK_REALTIME)
}

fn micros(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("both clocks exist on every Linux");
    time.tv_sec().unsigned_abs() * 1_000_000 + time.tv_nsec().unsigned_abs() / 1_000
}
