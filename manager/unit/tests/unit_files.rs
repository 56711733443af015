//! Whole unit files through the library, against what systemd makes of them: `table/unit-files.jsonl`, one case a line.
//!
//! A case has `files` by `RANK/PATH` (rank 0 is searched first): a text, `{"latin1": …}` for bytes that are not UTF-8, or
//! `{"link": target}`; the properties of `units`; and `ignored`, the file and line of every warning.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sockmgr_unit::{
    DependencyKind, Fragment, Host, Library, ManagerKind, Property, Source, Syntax, UnitName,
};

#[test]
fn whole_files_mean_what_they_mean_to_systemd() {
    let mut failures = Vec::new();
    for line in include_str!("table/unit-files.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let mut library = library(&case["files"]);
        for (name, expected) in case["units"].as_object().unwrap() {
            for (property, expected) in expected.as_object().unwrap() {
                let found = property_of(&mut library, name, property);
                if sorted(property, found.clone()) != sorted(property, expected.clone()) {
                    failures.push(format!("{} {name} {property}: {found}, not {expected}", case["case"]));
                }
            }
        }
        let ignored = ignored_lines(&mut library);
        if ignored != case["ignored"] {
            failures.push(format!("{} ignored {ignored}, not {}", case["case"], case["ignored"]));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The files as a loader would add them.
fn library(files: &Value) -> Library {
    let mut library = Library::new(Host { manager: ManagerKind::User, ..Host::default() });
    let files: BTreeMap<&str, &Value> =
        files.as_object().unwrap().iter().map(|(path, file)| (path.as_str(), file)).collect();
    for (path, file) in &files {
        let (rank, inner) = path.split_once('/').unwrap();
        let Ok(rank) = rank.parse() else {
            continue; // outside the search path
        };
        match inner.split_once('/') {
            Some((directory, name)) => {
                add_to_directory(&mut library, directory, name, source(path, file), rank)
            }
            None => library.add_fragment(inner.parse().unwrap(), fragment(path, file, &files)),
        }
    }
    library
}

fn add_to_directory(library: &mut Library, directory: &str, name: &str, source: Source, rank: usize) {
    match directory.rsplit_once('.').unwrap() {
        (unit, "d") => library.add_drop_in(unit, source, rank),
        (unit, kind) => {
            let kind = if kind == "wants" { DependencyKind::Wants } else { DependencyKind::Requires };
            library.add_dependency_link(unit.parse().unwrap(), kind, name.parse().unwrap());
        }
    }
}

fn fragment(path: &str, file: &Value, files: &BTreeMap<&str, &Value>) -> Fragment {
    match file["link"].as_str() {
        None => Fragment::Source(source(path, file)),
        Some("/dev/null") => Fragment::Masked(Path::new(path).into()),
        Some(target) => match target.strip_prefix("../") {
            Some(outside) => Fragment::Source(source(path, files[outside])),
            None => Fragment::Alias(target.parse().unwrap()),
        },
    }
}

fn source(path: &str, file: &Value) -> Source {
    let latin1 = |text: &str| text.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let text: Vec<u8> = match file {
        Value::String(text) => text.clone().into_bytes(),
        other => other["latin1"].as_str().map(latin1).unwrap_or_default(),
    };
    Source { path: Path::new(path).into(), text: text.into(), syntax: Syntax::Systemd }
}

fn property_of(library: &mut Library, name: &str, property: &str) -> Value {
    let unit = library.unit(&name.parse::<UnitName>().unwrap());
    match property {
        "load_state" => json!(unit.load_state.as_str()),
        "id" => json!(unit.name.as_str()),
        _ => unit.property(property).map_or(Value::Null, shown),
    }
}

fn shown(property: Property) -> Value {
    match property {
        Property::Bool(value) => json!(value),
        Property::U16(value) => json!(value),
        Property::U32(value) => json!(value),
        Property::I32(value) => json!(value),
        Property::U64(value) => json!(value),
        Property::I64(value) => json!(value),
        Property::Str(value) => json!(value),
        Property::Strs(values) => json!(values),
        Property::Listen(values) => json!(values),
        Property::EnvironmentFiles(values) => json!(values),
        Property::Bytes(bytes) => json!(bytes),
        Property::ByteStrings(list) => json!(list),
        Property::ExitStatuses(codes, signals) => json!([codes, signals]),
        Property::Links(values) => json!(values),
        Property::Inherited(inherited) => json!(format!("{inherited:?}")),
        Property::Binds(values) => json!(values),
        Property::AllowList(is_allow_list, names) => json!([is_allow_list, names]),
        Property::Exec(commands) => {
            commands.iter().map(|command| json!([command.path, command.argv])).collect()
        }
    }
}

/// Dependencies have no order.
fn sorted(property: &str, value: Value) -> Value {
    let dependencies = ["After", "Before", "Requires", "Wants", "Conflicts", "BindsTo"].contains(&property);
    let Value::Array(mut names) = value else {
        return value;
    };
    if dependencies {
        names.sort_by_key(ToString::to_string);
    }
    names.into()
}

/// File and line of each warning, without those that systemd does not give because it has the directive.
fn ignored_lines(library: &mut Library) -> Value {
    let diagnostics = library.take_diagnostics();
    let lines = diagnostics.iter().filter(|found| {
        !["not supported by sockmgr", "sockmgr does not support"]
            .iter()
            .any(|part| found.message.contains(part))
    });
    let mut lines: Vec<(&Path, u32)> = lines.filter_map(|found| Some((&*found.file, found.line?))).collect();
    lines.sort_unstable();
    json!(lines)
}
