//! What systemd does, as vectors: rows of values, whole unit files, and scenarios with real processes (`vectors/README.md`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sockmgr_tests::built;
use sockmgr_tests::command::tool;

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

/// The names in a list: one a line, up to a colon.
fn listed(file: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(vectors().join(file)).expect("the list is there");
    let names = text.lines().map(|line| line.split(':').next().unwrap_or_default().trim());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// All cases of a directory that must pass, as arguments of a driver.
fn cases(directory: &str, left_out: &BTreeSet<String>) -> Vec<String> {
    let entries = std::fs::read_dir(vectors().join(directory)).expect("the directory is there");
    let files =
        entries.map(|entry| PathBuf::from(directory).join(entry.expect("it can be read").file_name()));
    let is_wanted = |file: &PathBuf| {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("names are text");
        file.extension().is_none_or(|end| end == "json") && !left_out.contains(name)
    };
    let mut cases: Vec<String> = files.filter(is_wanted).map(|file| file.display().to_string()).collect();
    cases.sort();
    cases
}

fn must_pass(driver: &str, arguments: &[String]) {
    let Output { status, stdout, stderr } = drive(driver, arguments);
    let (said, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{driver}: {status}\n{said}\n{errors}");
}

/// Most of their time is spent waiting, so several managers run them at once.
#[test]
fn scenarios_go_as_under_systemd() {
    let left_out = &listed("not-yet.txt") | &listed("DIFFERENCES.md");
    let cases = cases("behaviour", &left_out);
    std::thread::scope(|scope| {
        for part in cases.chunks(cases.len().div_ceil(4)) {
            scope.spawn(|| must_pass("run_scenarios.py", part));
        }
    });
}

/// Those of directives that name streams (`enum`) are left to the tests of streams.
#[test]
fn values_are_read_as_by_systemd() {
    let kinds = [
        "boolean",
        "cpuset",
        "integer",
        "iptos",
        "mode",
        "rlimit",
        "signal",
        "size",
        "socket-address",
        "timespan",
    ];
    must_pass("run_values.py", &kinds.map(|kind| format!("{kind}.jsonl")));
}
