//! What systemd does, as vectors: rows of values, whole unit files, and scenarios with real processes (`vectors/README.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sockmgr_tests::built;
use sockmgr_tests::command::tool;
use sockmgr_tests::manager::Setup;
use sockmgr_tests::site::Site;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Runs a driver on files or directories below `vectors/`, with a manager of its own.
fn drive(driver: &str, arguments: &[String]) -> Output {
    let place = tempfile::Builder::new().prefix("vec").tempdir().expect("a directory can be made");
    let base = place.path();
    let peer = vectors().join("peer_sockmgr.sh");
    let command = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(vectors()).env("SOCKMGR", built::sockmgr()).env("SOCKMGRD", built::sockmgrd());
        command.env("VEC_BASE", base).env("VEC_SCRATCH", base.join("scratch"));
        command.env("VEC_RUNTIME_DIR", base.join("run")).env("VEC_HOME", base.join("home"));
        command
    };
    let mut python = command(&tool("python3"));
    python.arg("-B").arg(vectors().join(driver)).arg("--peer").arg(&peer).args(arguments);
    let output = python.output().expect("contrib/setup installs python3");
    let down = command(&peer).arg("down").status().expect("the script can be run");
    assert!(down.success(), "the manager does not end");
    output
}

/// What fails under sockmgr, by its decision or not yet, each with the reason: `DIFFERENCES.md` and `not-yet.txt`.
fn listed() -> BTreeMap<String, String> {
    let mut listed = BTreeMap::new();
    for file in ["DIFFERENCES.md", "not-yet.txt"] {
        let text = std::fs::read_to_string(vectors().join(file)).expect("the list is there");
        let entries = text.lines().filter_map(|line| line.split_once(": "));
        let named = entries.filter(|(name, _)| !name.contains(' '));
        listed.extend(named.map(|(name, why)| (name.to_owned(), format!("{file}: {why}"))));
    }
    listed
}

/// The cases of a directory, as arguments of a driver.
fn cases(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(vectors().join(directory)).expect("the directory is there");
    let files =
        entries.map(|entry| PathBuf::from(directory).join(entry.expect("it can be read").file_name()));
    let is_case = |file: &PathBuf| file.extension().is_none_or(|end| end == "json");
    let mut cases: Vec<String> = files.filter(is_case).map(|file| file.display().to_string()).collect();
    cases.sort();
    cases
}

/// The ids of the rows in a file of rows.
fn rows(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(vectors().join(file)).expect("the rows are there");
    let id = |row: Value| row["id"].as_str().expect("a row has an id").to_owned();
    text.lines().map(|line| id(serde_json::from_str(line).expect("a row is JSON"))).collect()
}

/// Runs a driver; what fails must be listed, and what is listed must fail. `names`: all that could.
fn must_pass(driver: &str, arguments: &[String], names: &BTreeSet<String>) {
    let Output { status, stdout, stderr } = drive(driver, arguments);
    let (said, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let failures = said.lines().filter_map(|line| line.strip_prefix("FAIL "));
    let failed: BTreeSet<&str> = failures.filter_map(|line| line.split([' ', ':']).next()).collect();
    assert_eq!(status.code(), Some(i32::from(!failed.is_empty())), "{driver}\n{said}\n{errors}");
    let listed = listed();
    let unlisted: Vec<&&str> = failed.iter().filter(|name| !listed.contains_key(**name)).collect();
    assert!(unlisted.is_empty(), "{driver}: {unlisted:?} fail\n{said}\n{errors}");
    let passes = |name: &str| names.contains(name) && !failed.contains(name);
    let stale: Vec<_> = listed.iter().filter(|(name, _)| passes(name)).collect();
    assert!(stale.is_empty(), "{driver}: these pass now; take them from their list: {stale:#?}");
}

fn stems(files: &[String]) -> BTreeSet<String> {
    let stem = |file: &String| Path::new(file).file_stem()?.to_str().map(str::to_owned);
    files.iter().filter_map(stem).collect()
}

/// Most of their time is spent waiting, so several managers run them at once.
#[test]
fn scenarios_go_as_under_systemd() {
    let cases = cases("behaviour");
    std::thread::scope(|scope| {
        for part in cases.chunks(cases.len().div_ceil(4)) {
            scope.spawn(|| must_pass("run_scenarios.py", part, &stems(part)));
        }
    });
}

#[test]
fn unit_files_are_read_as_systemd_reads_them() {
    let cases = cases("unit-syntax");
    must_pass("run_syntax.py", &cases, &stems(&cases));
}

#[test]
fn values_mean_what_they_mean_to_systemd() {
    let kinds = [
        "socket-address",
        "timespan",
        "size",
        "mode",
        "boolean",
        "rlimit",
        "signal",
        "cpuset",
        "iptos",
        "integer",
        "enum",
        // Made up, and asked of systemd: one or two of each directive.
        "all-enum",
    ];
    let files: Vec<String> = kinds.iter().map(|kind| format!("{kind}.jsonl")).collect();
    let names = files.iter().flat_map(|file| rows(file)).collect();
    must_pass("run_values.py", &files, &names);
}

/// What a process gets: rows of `exec-command.jsonl` that need files and a process.
#[test]
fn environment_files_add_up_as_under_systemd() {
    let text = std::fs::read_to_string(vectors().join("exec-command.jsonl")).expect("the rows are there");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row is JSON"));
    let rows: Vec<Value> = rows.filter(|row| row["kind"] == "environment-precedence").collect();
    assert!(rows.len() >= 6, "{}", rows.len());
    let listed = listed();
    for row in rows {
        if row["id"].as_str().is_some_and(|id| listed.contains_key(id)) {
            continue;
        }
        let site = Site::new();
        for (name, contents) in row["files"].as_object().expect("files by name") {
            site.file(name, contents.as_str().expect("a text"));
        }
        let directory = site.path("");
        let directory = directory.display().to_string();
        let lines = row["lines"].as_str().expect("a text").replace("{DIR}", directory.trim_end_matches('/'));
        let service = "Type=oneshot\nExecStart=/usr/bin/env\nStandardOutput=truncate:";
        site.unit("e.service", &format!("[Service]\n{service}{}\n{lines}", site.path("out").display()));
        let manager = Setup::new(&site).start();
        let ran = manager.sockmgr(&["start", "e.service"]);
        if row["result"] == "refused" {
            let _ = ran.code(1);
            assert_eq!(row["service_result"], manager.property("e.service", "Result"), "{row}");
        } else {
            ran.ok();
            let out = site.read("out");
            let is_ours = |line: &&str| matches!(line.split_once('='), Some(("A" | "B" | "C", _)));
            let mut found: Vec<&str> = out.lines().filter(is_ours).collect();
            found.sort_unstable();
            assert_eq!(row["environment"], json!(found), "{row}");
        }
        assert_eq!(manager.stop(), 0);
    }
}
