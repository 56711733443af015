//! `--since` and `--until`: points in time as people write them (systemd.time(7)).

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use super::{CliError, Logs, now};

/// What is between two moments, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) since: u64,
    pub(super) until: u64,
}

impl Default for Span {
    fn default() -> Self {
        Self { since: 0, until: u64::MAX }
    }
}

impl Span {
    pub(super) fn of(what: &Logs) -> Result<Self, CliError> {
        let now = i64::try_from(now()).ok().and_then(|now| Timestamp::from_microsecond(now).ok());
        let now = now.unwrap_or_default().to_zoned(TimeZone::system());
        let read = |text: &Option<String>, default| match text {
            None => Ok(default),
            Some(text) => moment(text, &now).ok_or_else(|| {
                let forms = "2026-11-25 19:08:14, 19:08, today, yesterday, -1h, 5min ago or @1732561694";
                CliError::Usage(format!("\"{text}\" is not a time; write it as {forms}"))
            }),
        };
        let all = Self::default();
        Ok(Self { since: read(&what.since, all.since)?, until: read(&what.until, all.until)? })
    }
}

/// Reads a moment.
fn moment(text: &str, now: &Zoned) -> Option<u64> {
    let text = text.trim();
    if let Some(seconds) = text.strip_prefix('@') {
        return sockmgr_unit::Span::parse(seconds).ok().map(sockmgr_unit::Span::as_micros);
    }
    relative(text, micros(now)?).or_else(|| absolute(text, now).as_ref().and_then(micros))
}

/// Before or after now.
fn relative(text: &str, now: u64) -> Option<u64> {
    let span = |text: &str| sockmgr_unit::Span::parse(text).ok().map(sockmgr_unit::Span::as_micros);
    if let Some(rest) = text.strip_prefix('-').or_else(|| text.strip_suffix(" ago")) {
        return span(rest).map(|span| now.saturating_sub(span));
    }
    span(text.strip_prefix('+')?).map(|span| now.saturating_add(span))
}

/// A day, a time of today, or both.
fn absolute(text: &str, now: &Zoned) -> Option<Zoned> {
    let day = |days: i64| now.start_of_day().ok()?.checked_add(days.days()).ok();
    match text {
        "now" => return Some(now.clone()),
        "today" => return day(0),
        "yesterday" => return day(-1),
        "tomorrow" => return day(1),
        _ => {}
    }
    if let Some(utc) = text.strip_suffix(" UTC") {
        return utc.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    }
    if let Ok(exact) = text.parse::<Timestamp>() {
        return Some(exact.to_zoned(now.time_zone().clone()));
    }
    let local = |time: DateTime| time.to_zoned(now.time_zone().clone()).ok();
    if let Ok(time) = text.parse::<DateTime>() {
        return local(time);
    }
    text.parse::<Time>().ok().and_then(|time| local(now.date().to_datetime(time)))
}

fn micros(time: &Zoned) -> Option<u64> {
    u64::try_from(time.timestamp().as_microsecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_as_people_write_them() {
        let now: Zoned = "2026-11-25T19:08:14.5+02:00[+02:00]".parse().unwrap();
        let table = [
            ("now", Some("2026-11-25T17:08:14.5Z")),
            ("today", Some("2026-11-24T22:00:00Z")),
            ("yesterday", Some("2026-11-23T22:00:00Z")),
            ("tomorrow", Some("2026-11-25T22:00:00Z")),
            ("19:08", Some("2026-11-25T17:08:00Z")),
            ("03:04:05", Some("2026-11-25T01:04:05Z")),
            ("2026-11-20", Some("2026-11-19T22:00:00Z")),
            ("2026-11-20 10:00", Some("2026-11-20T08:00:00Z")),
            ("2026-11-20 10:00:30.25", Some("2026-11-20T08:00:30.25Z")),
            ("2026-11-20 10:00 UTC", Some("2026-11-20T10:00:00Z")),
            ("2026-11-20T10:00:00Z", Some("2026-11-20T10:00:00Z")),
            ("-1h", Some("2026-11-25T16:08:14.5Z")),
            ("1h 30min ago", Some("2026-11-25T15:38:14.5Z")),
            ("+2d", Some("2026-11-27T17:08:14.5Z")),
            ("@1732561694", Some("2024-11-25T19:08:14Z")),
            ("soon", None),
            ("25:00", None),
            ("", None),
        ];
        for (text, expected) in table {
            let expected =
                expected.map(|time| micros(&time.parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC)));
            assert_eq!(moment(text, &now), expected.flatten(), "{text}");
        }
    }
}
