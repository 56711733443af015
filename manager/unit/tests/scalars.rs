//! Values that are one number or word, against tables of what systemd makes of the same text.

mod common;

use std::sync::Arc;

use common::{fill, load, rows};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sockmgr_unit::value::{Mode, Resource, Rlimit, Signal, Size, Span, parse_bool, parse_i32, parse_u32};
use sockmgr_unit::{Diagnostic, Property, Unit, UnitKind};

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
    for row in vector_rows("timespan").iter().filter(|row| row["result"] == "format") {
        let span = Span::from_micros(limit(&row["format_usec"]));
        assert_eq!(span.to_string(), row["human"], "{row}");
    }
}

/// All timeouts are set first; the row says what they are after one more line.
#[test]
fn a_timeout_of_zero_is_none_and_a_bad_one_changes_nothing() {
    let mut checked = 0;
    for row in vector_rows("timespan").iter().filter(|row| row.get("props").is_some()) {
        let text_of = |field: &str| row[field].as_str().unwrap();
        let (section, base) = match text_of("unit_type") {
            "service" => (
                "Service",
                "ExecStart=/bin/x\nTimeoutSec=77s\nTimeoutAbortSec=77s\nRuntimeMaxSec=77s\nWatchdogSec=77s\nRestartSec=77s",
            ),
            "socket" => (
                "Socket",
                "ListenStream=80\nTimeoutSec=77s\nKeepAliveTimeSec=77s\nKeepAliveIntervalSec=77s\nDeferAcceptSec=77s\nTriggerLimitIntervalSec=77s",
            ),
            other => panic!("{other}"),
        };
        let text = format!("[{section}]\n{base}\n{}={}\n", text_of("key"), text_of("value"));
        let (unit, diagnostics) = load(&format!("x.{}", text_of("unit_type")), &text);
        for (property, expected) in row["props"].as_object().unwrap() {
            assert_eq!(unit.property(property), Some(Property::U64(limit(expected))), "{text}{property}");
        }
        assert_eq!(diagnostics.is_empty(), row["result"] == "accepted", "{text}{diagnostics:?}");
        checked += 1;
    }
    assert!(checked >= 40, "{checked}");
}

/// What `tests/vectors/run_values.py` cannot say in the words of `show`: lists, sequences, and what is refused without a
/// value before.
#[test]
fn rows_that_are_more_than_a_word() {
    for row in vector_rows("enum") {
        let text_of = |field: &str| row[field].as_str().unwrap();
        let is_plain = row["shown"].as_str().is_some_and(|shown| !shown.contains('{'));
        if is_plain || !(row["shown"].is_array() || row["shown"].is_string()) {
            continue;
        }
        let (unit, _) = load_with(text_of("unit"), &[(text_of("key"), text_of("value"))]);
        assert_eq!(unit.load_state.as_str(), row["load_state"], "{row}");
        let expected: Json = serde_json::from_str(&fill(&row["shown"].to_string())).unwrap();
        match (text_of("prop"), unit.property(text_of("prop")).map(json)) {
            // Where a user's manager starts processes by itself: `scheduling.rs`.
            ("WorkingDirectory", _) if row["result"] == "refused" => {}
            // What it triggers is known to the engine only.
            ("Triggers", None) => {
                let UnitKind::Socket(body) = &unit.kind else { panic!("{row}") };
                let service = body.socket.triggered_service(&unit.name).map(|name| name.to_string());
                assert_eq!(json!([service]), expected, "{row}");
            }
            (_, None) => {}
            (_, Some(shown)) => assert_eq!(shown, expected, "{row}"),
        }
    }
    for row in vector_rows("cpuset").iter().filter(|row| row.get("sequence").is_some()) {
        let key = row["key"].as_str().unwrap();
        let values = row["sequence"].as_array().unwrap().iter().map(|value| (key, value.as_str().unwrap()));
        let (_, diagnostics) = load_with("x.service", &values.collect::<Vec<_>>());
        assert!(diagnostics.is_empty() || !is_declared(key), "{row}: {diagnostics:?}");
    }
    for row in vector_rows("signal").iter().filter(|row| row["result"] == "refused") {
        let (key, value) = (row["key"].as_str().unwrap(), row["value"].as_str().unwrap());
        let (_, diagnostics) = load_with("x.service", &[(key, value)]);
        assert_eq!(diagnostics.len(), 1, "{row}");
    }
}

fn is_declared(key: &str) -> bool {
    sockmgr_unit::directives().any(|directive| directive.name == key)
}

fn vector_rows(name: &str) -> Vec<Json> {
    rows(match name {
        "timespan" => include_str!("../../../tests/vectors/timespan.jsonl"),
        "enum" => include_str!("../../../tests/vectors/enum.jsonl"),
        "cpuset" => include_str!("../../../tests/vectors/cpuset.jsonl"),
        "signal" => include_str!("../../../tests/vectors/signal.jsonl"),
        other => panic!("{other}"),
    })
}

/// A unit that would load without these assignments.
fn load_with(unit: &str, assignments: &[(&str, &str)]) -> (Arc<Unit>, Vec<Diagnostic>) {
    let base = if unit.ends_with(".socket") {
        "[Socket]\nListenStream=/run/x"
    } else {
        "[Service]\nExecStart=/bin/x"
    };
    let lines: String = assignments.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    load(unit, &format!("{base}\n{lines}"))
}

fn json(property: Property) -> Json {
    match property {
        Property::Bool(value) => json!(value),
        Property::U32(value) => json!(value),
        Property::I32(value) => json!(value),
        Property::U64(value) => json!(value),
        Property::I64(value) => json!(value),
        Property::Str(value) => json!(value),
        Property::Strs(value) => json!(value),
        Property::ExitStatuses(codes, signals) => json!([codes, signals]),
        other => panic!("{other:?}"),
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
