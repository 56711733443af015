//! Values that are one number or word, against tables of what systemd makes of the same text.

mod common;

use common::{fill, load, rows};
use serde::Deserialize;
use serde_json::Value as Json;
use sockmgr_unit::Property;
use sockmgr_unit::value::{Mode, Resource, Rlimit, Signal, Size, Span, parse_bool, parse_i32, parse_u32};

/// Rows of `[text, result or null]`; the text as after `=`, so blanks at its ends are cut off first.
fn check<T>(table: &str, parse: impl Fn(&str) -> Option<T>)
where
    T: serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    for (text, expected) in rows::<(String, Option<T>)>(table) {
        assert_eq!(parse(text.trim()), expected, "{text:?}");
    }
}

#[test]
fn booleans() {
    check(include_str!("table/boolean.jsonl"), |text| parse_bool(text).ok());
}

#[test]
fn modes() {
    check(include_str!("table/mode.jsonl"), |text| Mode::parse(text).ok().map(|mode| mode.0));
}

#[test]
fn sizes() {
    check(include_str!("table/size.jsonl"), |text| Size::parse(text).ok().map(|size| size.0));
}

#[test]
fn signals() {
    check(include_str!("table/signal.jsonl"), |text| Signal::parse(text).ok().map(Signal::number));
}

#[test]
fn every_signal_reads_back_from_its_name() {
    for number in 1..=64 {
        let signal = Signal::from_number(number).unwrap();
        assert_eq!(Signal::parse(&signal.name()), Ok(signal));
    }
    assert_eq!(Signal::from_number(0), None);
    assert_eq!(Signal::from_number(65), None);
    assert_eq!(Signal::parse("RTMIN+3").unwrap().name(), "SIGRTMIN+3");
    assert_eq!(Signal::TERM.name(), "SIGTERM");
}

#[test]
fn integers() {
    for (kind, text, expected) in rows::<(String, String, Option<i64>)>(include_str!("table/integer.jsonl")) {
        let text = text.trim();
        let value = match kind.as_str() {
            "signed" => parse_i32(text).ok().map(i64::from),
            "unsigned" => parse_u32(text).ok().map(i64::from),
            other => panic!("{other}"),
        };
        assert_eq!(value, expected, "{kind} {text:?}");
    }
}

/// A number, or the word infinity.
fn limit(value: &Json) -> u64 {
    value.as_u64().unwrap_or_else(|| {
        assert_eq!(value, "infinity");
        u64::MAX
    })
}

#[test]
fn resource_limits() {
    for (resource, text, expected) in
        rows::<(String, String, Option<[Json; 2]>)>(include_str!("table/rlimit.jsonl"))
    {
        let resource = match resource.as_str() {
            "count" => Resource::Count,
            "bytes" => Resource::Bytes,
            "seconds" => Resource::Seconds,
            "microseconds" => Resource::Microseconds,
            "nice" => Resource::Nice,
            other => panic!("{other}"),
        };
        let expected = expected.map(|[soft, hard]| Rlimit { soft: limit(&soft), hard: limit(&hard) });
        assert_eq!(Rlimit::parse(text.trim(), resource).ok(), expected, "{resource:?} {text:?}");
    }
}

#[test]
fn time_spans_are_read_and_printed() {
    let table = include_str!("table/timespan.jsonl");
    for (text, expected, printed) in rows::<(String, Option<Json>, Option<String>)>(table) {
        let span = Span::parse(&text).ok();
        assert_eq!(span.map(Span::as_micros), expected.as_ref().map(limit), "{text:?}");
        assert_eq!(span.map(|span| span.to_string()), printed, "{text:?}");
    }
    for (micros, printed) in rows::<(u64, String)>(include_str!("table/timespan-format.jsonl")) {
        assert_eq!(Span::from_micros(micros).to_string(), printed);
    }
}

/// A key set after another value, and the properties it leaves.
#[derive(Deserialize)]
struct KeyRow {
    r#type: String,
    key: String,
    value: String,
    after: std::collections::BTreeMap<String, Json>,
}

#[test]
fn a_timeout_of_zero_is_none_and_a_bad_one_changes_nothing() {
    for row in rows::<KeyRow>(include_str!("table/timespan-key.jsonl")) {
        let (section, keys, base): (_, &[_], _) = match row.r#type.as_str() {
            "service" => {
                ("Service", &["TimeoutStartSec", "TimeoutStopSec", "RestartSec"], "ExecStart=/bin/x\n")
            }
            "socket" => ("Socket", &["TriggerLimitIntervalSec"], "ListenStream=80\n"),
            other => panic!("{other}"),
        };
        let earlier: String = keys.iter().map(|key| format!("{key}=77s\n")).collect();
        let text = format!("[{section}]\n{base}{earlier}{}={}\n", row.key, row.value);
        let (unit, _) = load(&format!("x.{}", row.r#type), &text);
        for (property, expected) in &row.after {
            assert_eq!(unit.property(property), Some(Property::U64(limit(expected))), "{text}{property}");
        }
    }
}

/// A directive that takes one of a few words.
#[derive(Deserialize)]
struct WordRow {
    unit: String,
    key: String,
    value: String,
    property: String,
    shown: Json,
    warned: bool,
}

#[test]
fn words() {
    for row in rows::<WordRow>(include_str!("table/word.jsonl")) {
        let (section, base) = if row.unit.ends_with(".socket") {
            ("Socket", "ListenStream=80")
        } else {
            ("Service", "ExecStart=/bin/x")
        };
        let text = format!("[{section}]\n{base}\n{}={}\n", row.key, fill(&row.value));
        let (unit, diagnostics) = load(&row.unit, &text);
        let shown = match unit.property(&row.property) {
            Some(Property::Str(text)) => Json::from(text),
            Some(Property::Bool(value)) => Json::from(value),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(shown, row.shown, "{text}");
        assert_eq!(!diagnostics.is_empty(), row.warned, "{text}{diagnostics:?}");
    }
}

#[test]
fn what_systemd_has_and_sockmgr_not_is_named() {
    let text = "[Unit]\nStartLimitAction=reboot\n[Service]\nExecStart=/bin/x\n";
    let (_, diagnostics) = load("x.service", text);
    let [diagnostic] = &diagnostics[..] else { panic!("{diagnostics:?}") };
    assert_eq!(diagnostic.message, "StartLimitAction=: \"reboot\" is not supported by sockmgr yet");
    assert_eq!(diagnostic.line, Some(2));
    assert!(diagnostic.help.is_some());
}

#[test]
fn levels_facilities_and_limits_of_the_log() {
    for row in rows::<(String, String, serde_json::Value)>(include_str!("table/log.jsonl")) {
        let (lines, property, expected) = row;
        let text = format!("[Service]\nExecStart=/bin/x\n{lines}\n");
        let (unit, _) = load("x.service", &text);
        let shown = match unit.property(&property) {
            Some(Property::I32(number)) => Json::from(number),
            Some(Property::U16(number)) => Json::from(number),
            Some(Property::U32(number)) => Json::from(number),
            Some(Property::U64(number)) => Json::from(number),
            Some(Property::Str(text)) => Json::from(text),
            Some(Property::Bytes(bytes)) => Json::from(String::from_utf8(bytes).unwrap()),
            Some(Property::ByteStrings(list)) => {
                list.into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
            }
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(shown, expected, "{text}{property}");
    }
}
