//! What processes are kept from, against what systemd 252 makes of the same lines: `table/sandbox.jsonl`, rows of `[lines, property,
//! value as D-Bus has it, or null where the unit is not loaded]`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{load, rows};
use serde_json::{Value, json};
use sockmgr_unit::{LoadState, Property};

fn as_json(property: Property) -> Value {
    match property {
        Property::Bool(value) => json!(value),
        Property::I32(value) => json!(value),
        Property::U32(value) => json!(value),
        Property::U64(value) => json!(value),
        Property::Str(value) => json!(value),
        Property::Strs(value) => json!(value),
        Property::Listen(rows) => json!(rows),
        Property::Binds(rows) => json!(rows),
        Property::AllowList(is_allow_list, names) => json!([is_allow_list, names]),
        other => panic!("no row has such a value: {other:?}"),
    }
}

#[test]
fn lines_mean_what_they_mean_to_systemd() {
    let mut failures = Vec::new();
    for (lines, name, expected) in rows::<(Vec<String>, String, Value)>(include_str!("table/sandbox.jsonl")) {
        let (unit, _) = load("a.service", &format!("[Service]\nExecStart=/bin/true\n{}\n", lines.join("\n")));
        let is_loaded = unit.load_state == LoadState::Loaded;
        let found = if is_loaded { as_json(unit.property(&name).unwrap()) } else { Value::Null };
        if found != expected {
            failures.push(format!("{lines:?} {name}: {found}, not {expected}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn bad_words_are_named_and_the_others_count() {
    let table = [
        ("CapabilityBoundingSet=CAP_KILL CAP_NOSUCH", "\"CAP_NOSUCH\" is not a capability"),
        ("SystemCallFilter=read nosuch", "\"nosuch\" is not a system call or a group of them"),
        ("SystemCallFilter=~read:5000", "\"5000\" is out of range"),
        ("RestrictAddressFamilies=AF_UNIX AF_NOSUCH", "\"AF_NOSUCH\" is not an address family"),
        ("RestrictNamespaces=net nosuch", "\"nosuch\" is not a kind of namespace"),
        ("SystemCallArchitectures=x68", "\"x68\" is not the name of an instruction set"),
    ];
    for (line, message) in table {
        let (_, diagnostics) = load("a.service", &format!("[Service]\nExecStart=/bin/true\n{line}\n"));
        let said: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        assert!(said.len() == 1 && said[0].contains(message), "{line}: {said:?}");
    }
}
