//! What the table tests share: reading a table, and loading a unit from text as the manager would.

// Each test program uses its own part of this.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use sockmgr_unit::specifier::{Directories, User};
use sockmgr_unit::{Diagnostic, Fragment, Host, Library, Source, Syntax, Unit, UnitName};

/// The rows of a table: one JSON value a line.
pub fn rows<T: DeserializeOwned>(table: &str) -> Vec<T> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let rows: Vec<T> = table.lines().map(parse).collect();
    assert!(!rows.is_empty(), "an empty table tests nothing");
    rows
}

fn vector_file(name: &str) -> &'static str {
    match name {
        "exec-command" => include_str!("../../../../tests/vectors/exec-command.jsonl"),
        "unit-name" => include_str!("../../../../tests/vectors/unit-name.jsonl"),
        other => panic!("{other}"),
    }
}

/// The rows of one kind in the vectors of command lines or of names (`tests/vectors`).
pub fn vectors<T: DeserializeOwned>(name: &str, kind: &str) -> Vec<T> {
    let of_kind = rows::<Json>(vector_file(name)).into_iter().filter(|row| row["kind"] == kind);
    let parse =
        |row: Json| serde_json::from_value(row.clone()).unwrap_or_else(|error| panic!("{row}: {error}"));
    let rows: Vec<T> = of_kind.map(parse).collect();
    assert!(!rows.is_empty(), "no rows of the kind {kind}");
    rows
}

/// Every kind of row in the vectors of this name.
pub fn kinds(name: &str) -> BTreeSet<String> {
    rows::<Json>(vector_file(name))
        .iter()
        .map(|row| row["kind"].as_str().expect("a word").to_owned())
        .collect()
}

/// A host whose every property can be told from the others.
pub fn host() -> Host {
    Host {
        host_name: "web.example.org".into(),
        machine_id: Some("0123456789abcdef0123456789abcdef".into()),
        boot_id: Some("fedcba9876543210fedcba9876543210".into()),
        kernel_release: "6.18.0".into(),
        architecture: "x86-64".into(),
        user: User {
            name: "root".into(),
            uid: 0,
            group: "root".into(),
            gid: 0,
            home: "/home/me".into(),
            shell: "/bin/bash".into(),
        },
        directories: Directories {
            runtime: "/run/user/0".into(),
            state: "/home/me/.config".into(),
            cache: "/home/me/.cache".into(),
            logs: "/home/me/.config/log".into(),
            configuration: "/home/me/.config".into(),
            shared: "/home/me/.local/share".into(),
            temporary: "/tmp".into(),
            var_temporary: "/var/tmp".into(),
        },
        interfaces: vec![("lo".into(), 1), ("eth0".into(), 2)],
        ..Host::default()
    }
}

/// `text` with the placeholders of the tables filled in for [`host`].
pub fn fill(text: &str) -> String {
    text.replace("{HOME}", "/home/me")
        .replace("{RUNTIME_DIR}", "/run/user/0")
        .replace("{HOSTNAME}", "web.example.org")
}

/// Loads a unit whose file is `text`, and what was said about it.
pub fn load(name: &str, text: &str) -> (Arc<Unit>, Vec<Diagnostic>) {
    load_on(host(), name, text)
}

/// [`load`] on another machine.
pub fn load_on(host: Host, name: &str, text: &str) -> (Arc<Unit>, Vec<Diagnostic>) {
    let name: UnitName = name.parse().expect("tests use valid names");
    let mut library = Library::new(host);
    let path: Box<Path> = Path::new("/units").join(name.as_str()).into();
    let source = Source { path, text: text.as_bytes().into(), syntax: Syntax::Systemd };
    library.add_fragment(name.clone(), Fragment::Source(source));
    let unit = library.unit(&name);
    (unit, library.take_diagnostics())
}
