//! Spans, points in time and sizes as text, in the forms systemd prints.
//!
//! Pure, but for the time zone of the machine. Times are microseconds since 1970, spans microseconds. Invariant:
//! `u64::MAX` stands for "infinity" or "never", as on systemd's bus.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// systemd's month: a twelfth of its year of 365.25 days.
const MONTH: u64 = 2_629_800 * SECOND;
const YEAR: u64 = 31_557_600 * SECOND;

/// The units of a span, the largest first.
const UNITS: [(&str, u64); 9] = [
    ("y", YEAR),
    ("month", MONTH),
    ("w", WEEK),
    ("d", DAY),
    ("h", HOUR),
    ("min", MINUTE),
    ("s", SECOND),
    ("ms", 1000),
    ("us", 1),
];

/// A span as systemd prints it, cut to `accuracy`: `1min 30s`, `100ms`, `2.500s`, `infinity`.
pub(crate) fn span(span: u64, accuracy: u64) -> String {
    match span {
        u64::MAX => return "infinity".into(),
        0 => return "0".into(),
        _ => {}
    }
    let mut parts: Vec<String> = Vec::new();
    let mut rest = span;
    for (name, unit) in UNITS {
        if rest == 0 || (rest < accuracy && !parts.is_empty()) {
            break;
        }
        if rest < unit {
            continue;
        }
        let (whole, fraction) = (rest / unit, rest % unit);
        if rest < MINUTE && fraction > 0 && accuracy < unit {
            parts.push(format!("{whole}.{}{name}", decimals(fraction, unit, accuracy)));
            break;
        }
        parts.push(format!("{whole}{name}"));
        rest = fraction;
    }
    parts.join(" ")
}

/// The digits behind the point: `fraction` of `unit`, as many as `accuracy` leaves.
fn decimals(fraction: u64, unit: u64, accuracy: u64) -> String {
    let digits = unit.ilog10() - accuracy.max(1).ilog10();
    let width = usize::try_from(digits).unwrap_or(0);
    format!("{:0width$}", fraction / 10u64.pow(accuracy.max(1).ilog10()))
}

/// A span cut to milliseconds, for people.
pub(crate) fn short_span(microseconds: u64) -> String {
    span(microseconds, 1000)
}

/// A point in time in the local time zone, `Sun 2026-11-22 15:47:28 UTC`; nothing for 0 and `u64::MAX`.
pub(crate) fn timestamp(time: u64) -> Option<String> {
    timestamp_in(time, TimeZone::system())
}

fn timestamp_in(time: u64, zone: TimeZone) -> Option<String> {
    if time == 0 || time == u64::MAX {
        return None;
    }
    let time = Timestamp::from_microsecond(i64::try_from(time).ok()?).ok()?;
    Some(time.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string())
}

/// Now, in microseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0)
}

/// How long ago `time` was, or how far ahead it is: `5min ago`, `1 week 2 days left`.
pub(crate) fn relative(now: u64, time: u64) -> String {
    let (distance, direction) = if time > now { (time - now, "left") } else { (now - time, "ago") };
    match distance {
        0 => "now".into(),
        _ => format!("{} {direction}", distance_text(distance)),
    }
}

fn distance_text(d: u64) -> String {
    let two = |large: u64, one: &str, many: &str, small: u64, small_one: &str, small_many: &str| {
        let (a, b) = (d / large, d % large / small);
        let plural = |n: u64, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        format!("{} {}", plural(a, one, many), plural(b, small_one, small_many))
    };
    match d {
        YEAR.. => two(YEAR, "year", "years", MONTH, "month", "months"),
        MONTH.. => two(MONTH, "month", "months", DAY, "day", "days"),
        WEEK.. => two(WEEK, "week", "weeks", DAY, "day", "days"),
        _ if d >= 2 * DAY => format!("{} days", d / DAY),
        _ if d >= 25 * HOUR => format!("1 day {}h", (d - DAY) / HOUR),
        _ if d >= 6 * HOUR => format!("{}h", d / HOUR),
        HOUR.. => format!("{}h {}min", d / HOUR, d % HOUR / MINUTE),
        _ if d >= 5 * MINUTE => format!("{}min", d / MINUTE),
        MINUTE.. => format!("{}min {}s", d / MINUTE, d % MINUTE / SECOND),
        SECOND.. => format!("{}s", d / SECOND),
        1000.. => format!("{}ms", d / 1000),
        _ => format!("{d}us"),
    }
}

/// A number of bytes with a binary prefix: `512B`, `1.5K`, `23.4M`.
pub(crate) fn bytes(count: u64) -> String {
    const PREFIXES: [(&str, u64); 6] =
        [("E", 1 << 60), ("P", 1 << 50), ("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    match PREFIXES.iter().find(|(_, size)| count >= *size) {
        Some((prefix, size)) => {
            let tenth = u128::from(count % size) * 10 / u128::from(*size);
            format!("{}.{tenth}{prefix}", count / size)
        }
        None => format!("{count}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_print_as_with_systemd() {
        let table = [
            (0, 1, "0"),
            (u64::MAX, 1, "infinity"),
            (779, 1000, "779us"),
            (1000, 1, "1ms"),
            (1637, 1000, "1ms"),
            (100_000, 1, "100ms"),
            (2_000_000, 1, "2s"),
            (2_500_000, 1, "2.500000s"),
            (2_500_000, 1000, "2.500s"),
            (90 * SECOND, 1, "1min 30s"),
            (4_623_010_000, 1, "1h 17min 3.010000s"),
            (DAY + 1, 1, "1d 1us"),
            (YEAR + MONTH + WEEK, 1, "1y 1month 1w"),
        ];
        for (microseconds, accuracy, expected) in table {
            assert_eq!(span(microseconds, accuracy), expected, "{microseconds} at {accuracy}");
        }
    }

    #[test]
    fn times_print_as_with_systemd() {
        let utc = |time| timestamp_in(time, TimeZone::UTC);
        assert_eq!(utc(1_795_362_448_000_000).as_deref(), Some("Sun 2026-11-22 15:47:28 UTC"));
        assert_eq!(utc(0), None);
        assert_eq!(utc(u64::MAX), None);
    }

    #[test]
    fn distances_print_as_with_systemd() {
        let table = [
            (0, "now"),
            (12, "12us ago"),
            (92_300, "92ms ago"),
            (48 * SECOND, "48s ago"),
            (2 * MINUTE + 3 * SECOND, "2min 3s ago"),
            (7 * MINUTE, "7min ago"),
            (2 * HOUR, "2h 0min ago"),
            (7 * HOUR + MINUTE, "7h ago"),
            (26 * HOUR, "1 day 2h ago"),
            (3 * DAY, "3 days ago"),
            (8 * DAY, "1 week 1 day ago"),
            (YEAR + 2 * MONTH, "1 year 2 months ago"),
        ];
        for (distance, expected) in table {
            assert_eq!(relative(YEAR * 50, YEAR * 50 - distance), expected);
        }
        assert_eq!(relative(0, 3 * SECOND), "3s left");
    }

    #[test]
    fn sizes_have_one_decimal() {
        let table = [(0, "0B"), (1023, "1023B"), (1536, "1.5K"), (5 << 20, "5.0M"), (u64::MAX - 1, "15.9E")];
        for (count, expected) in table {
            assert_eq!(bytes(count), expected);
        }
    }
}
