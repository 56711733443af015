//! Command lines, their `$` expansion and environment variables, against tables of what systemd makes of the same lines.

mod common;

use std::collections::BTreeMap;

use common::{fill, kinds, load, vectors};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sockmgr_unit::value::{ExecCommand, Privilege, parse_environment_file};
use sockmgr_unit::{LoadState, Property, Unit};

/// Each kind of row is read by a test here, or by one with a manager (`tests/tests/vectors.rs`).
#[test]
fn every_kind_of_row_has_its_test() {
    let here = [
        "parse",
        "parse-sequence",
        "other-key",
        "environment",
        "environment-sequence",
        "environment-key",
        "expand",
        "expand-prefix",
        "environment-file",
    ];
    let all: Vec<String> = kinds("exec-command").into_iter().collect();
    let mut known: Vec<&str> = here.into_iter().chain(["environment-precedence"]).collect();
    known.sort_unstable();
    assert_eq!(all, known);
}

#[derive(Debug, Deserialize, PartialEq)]
struct Command {
    path: String,
    argv: Vec<String>,
    flags: Vec<String>,
}

fn commands_of(unit: &Unit, key: &str) -> Vec<ExecCommand> {
    match unit.property(key) {
        Some(Property::Exec(commands)) => commands,
        other => panic!("{key}: {other:?}"),
    }
}

fn flatten(command: &ExecCommand) -> Command {
    let flags = command.flags;
    let privilege = match flags.privilege {
        Privilege::None => None,
        Privilege::Full => Some("privileged"),
        Privilege::NoSetuid => Some("no-setuid"),
        Privilege::Ambient => Some("ambient"),
    };
    let ignore_failure = flags.ignore_failure.then_some("ignore-failure");
    let words = [ignore_failure, privilege, flags.no_env_expand.then_some("no-env-expand")];
    let words = words.into_iter().flatten().map(str::to_owned).collect();
    let argv = command.argv.iter().map(ToString::to_string).collect();
    Command { path: command.path.to_string(), argv, flags: words }
}

/// The commands of `key`, from the one at `skip` on, are those of a row.
fn check_commands(unit: &Unit, key: &str, skip: usize, mut expected: Vec<Command>, text: &str) {
    let order = ["ignore-failure", "privileged", "no-setuid", "ambient", "no-env-expand"];
    let place = |word: &String| order.iter().position(|known| known == word);
    expected.iter_mut().for_each(|command| command.flags.sort_by_key(place));
    let commands: Vec<Command> = commands_of(unit, key).iter().skip(skip).map(flatten).collect();
    assert_eq!(commands, expected, "{text}");
}

#[derive(Deserialize)]
struct LineRow {
    unit: String,
    value: String,
    fatal: bool,
    result: String,
    commands: Vec<Command>,
}

#[test]
fn one_command_line() {
    for row in vectors::<LineRow>("exec-command", "parse") {
        let text = format!("[Service]\nType=oneshot\nExecStart=/bin/before\nExecStart={}\n", row.value);
        let (unit, diagnostics) = load(&row.unit, &text);
        check_commands(&unit, "ExecStart", 1, row.commands, &text);
        let state = if row.fatal { LoadState::BadSetting } else { LoadState::Loaded };
        assert_eq!(unit.load_state, state, "{text}{diagnostics:?}");
        assert_eq!(!diagnostics.is_empty(), row.result != "accepted", "{text}{diagnostics:?}");
    }
}

#[derive(Deserialize)]
struct LinesRow {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    values: Vec<String>,
    before: Option<String>,
    value: Option<String>,
    load_state: String,
    commands: Vec<Command>,
}

#[test]
fn several_lines_of_commands() {
    let other_keys = vectors::<LinesRow>("exec-command", "other-key");
    for row in vectors::<LinesRow>("exec-command", "parse-sequence").into_iter().chain(other_keys) {
        let (key, start) = match &row.key {
            None => ("ExecStart", ""),
            Some(key) => (key.as_str(), "ExecStart=/bin/x\n"),
        };
        let values = row.before.into_iter().chain(row.values).chain(row.value);
        let lines: String = values.map(|value| format!("{key}={value}\n")).collect();
        let type_ = row.r#type.as_deref().unwrap_or("simple");
        let text = format!("[Service]\nType={type_}\n{start}{lines}");
        let (unit, diagnostics) = load("x.service", &text);
        assert_eq!(unit.load_state.as_str(), row.load_state, "{text}{diagnostics:?}");
        check_commands(&unit, key, 0, row.commands, &text);
    }
}

#[test]
fn a_command_prints_as_a_line_that_reads_as_the_same_command() {
    for row in vectors::<LineRow>("exec-command", "parse") {
        let read = |line: &str| {
            let (unit, _) = load(&row.unit, &format!("[Service]\nType=oneshot\nExecStart={line}\n"));
            commands_of(&unit, "ExecStart")
        };
        for command in read(&row.value) {
            let again = read(&command.to_string());
            assert_eq!(again, std::slice::from_ref(&command), "{command}");
        }
    }
}

#[derive(Deserialize)]
struct ExpandRow {
    unit: Option<String>,
    value: String,
    env: Vec<String>,
    argv: Option<Vec<String>>,
    argv_after_arg0: Option<Vec<String>>,
}

#[test]
fn variables_in_arguments() {
    let with_prefix = vectors::<ExpandRow>("exec-command", "expand-prefix");
    for row in vectors::<ExpandRow>("exec-command", "expand").into_iter().chain(with_prefix) {
        let name = row.unit.as_deref().unwrap_or("x.service");
        let (unit, _) = load(name, &format!("[Service]\nExecStart={}\n", row.value));
        let mut env: BTreeMap<&str, &str> =
            row.env.iter().map(|entry| entry.split_once('=').unwrap()).collect();
        env.insert("HOME", "/home/me");
        let [command] = &commands_of(&unit, "ExecStart")[..] else { panic!("{}", row.value) };
        let argv = command.expand(&|name: &str| env.get(name).copied());
        let (expected, skip) = match (row.argv, row.argv_after_arg0) {
            (Some(argv), _) => (argv, 0),
            (None, Some(rest)) => (rest, 1),
            (None, None) => panic!("{}", row.value),
        };
        let expected: Vec<String> = expected.iter().map(|argument| fill(argument)).collect();
        assert_eq!(argv[skip..], expected, "{}", row.value);
    }
}

#[derive(Deserialize)]
struct EnvironmentRow {
    #[serde(default)]
    values: Vec<String>,
    value: Option<String>,
    environment: Vec<String>,
    #[serde(default)]
    n_messages: usize,
}

#[test]
fn environment_lines() {
    let sequences = vectors::<EnvironmentRow>("exec-command", "environment-sequence");
    for row in vectors::<EnvironmentRow>("exec-command", "environment").into_iter().chain(sequences) {
        let values = row.values.into_iter().chain(row.value);
        let lines: String = values.map(|value| format!("Environment={value}\n")).collect();
        let text = format!("[Service]\nExecStart=/bin/x\n{lines}");
        let (unit, diagnostics) = load("x.service", &text);
        let environment = row.environment.iter().map(|entry| fill(entry)).collect();
        assert_eq!(unit.property("Environment"), Some(Property::Strs(environment)), "{text}");
        assert_eq!(diagnostics.len(), row.n_messages, "{text}{diagnostics:?}");
    }
}

#[derive(Deserialize)]
struct KeyRow {
    unit: String,
    key: String,
    value: String,
    shown: Json,
    load_state: String,
}

#[test]
fn keys_beside_environment() {
    for row in vectors::<KeyRow>("exec-command", "environment-key") {
        let text = format!("[Service]\nExecStart=/bin/x\n{}={}\n", row.key, row.value);
        let (unit, _) = load(&row.unit, &text);
        let shown =
            match unit.property(if row.key == "EnvironmentFile" { "EnvironmentFiles" } else { &row.key }) {
                Some(Property::EnvironmentFiles(files)) => json!(files),
                Some(Property::Strs(names)) => json!(names),
                // The other directives of this kind are not there yet.
                None => continue,
                other => panic!("{text}: {other:?}"),
            };
        assert_eq!(shown, row.shown, "{text}");
        assert_eq!(unit.load_state.as_str(), row.load_state, "{text}");
    }
}

#[derive(Deserialize)]
struct FileRow {
    contents: Option<String>,
    contents_hex: Option<String>,
    environment: Option<Vec<String>>,
}

#[test]
fn environment_files() {
    for row in vectors::<FileRow>("exec-command", "environment-file") {
        let hex = |text: String| {
            let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            (0..text.len()).step_by(2).map(byte).collect::<Vec<u8>>()
        };
        let contents = row.contents.map(String::into_bytes).or_else(|| row.contents_hex.map(hex)).unwrap();
        let variables = parse_environment_file(&contents).ok();
        let lines =
            variables.map(|variables| variables.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>());
        assert_eq!(lines, row.environment, "{:?}", String::from_utf8_lossy(&contents));
    }
}

#[test]
fn an_environment_file_that_is_no_text_is_refused_with_its_line() {
    let message = |contents: &[u8]| parse_environment_file(contents).unwrap_err().to_string();
    assert_eq!(message(b"A=1\nB=\0\n"), "line 2: a zero byte in an environment file");
    assert_eq!(message(b"A=1\n\nB=\xff\n"), "line 3: not UTF-8 text in an environment file");
}
