//! Command lines, their `$` expansion and environment variables, against tables of what systemd makes of the same lines.

mod common;

use std::collections::BTreeMap;

use common::{fill, load, rows};
use serde::Deserialize;
use sockmgr_unit::value::{ExecCommand, Privilege, parse_environment_file};
use sockmgr_unit::{LoadState, Property, Unit};

/// Path, arguments and prefix characters of a command.
type Command = (String, Vec<String>, Vec<String>);

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
        Privilege::Full => Some("+"),
        Privilege::NoSetuid => Some("!"),
        Privilege::Ambient => Some("!!"),
    };
    let signs = [flags.ignore_failure.then_some("-"), flags.no_env_expand.then_some(":"), privilege];
    let mut signs: Vec<String> = signs.into_iter().flatten().map(str::to_owned).collect();
    signs.sort();
    (command.path.to_string(), command.argv.iter().map(ToString::to_string).collect(), signs)
}

#[derive(Deserialize)]
struct LineRow {
    unit: String,
    value: String,
    fatal: bool,
    warned: bool,
    commands: Vec<Command>,
}

#[test]
fn one_command_line() {
    for row in rows::<LineRow>(include_str!("table/command-line.jsonl")) {
        let text = format!("[Service]\nType=oneshot\nExecStart=/bin/before\nExecStart={}\n", row.value);
        let (unit, diagnostics) = load(&row.unit, &text);
        let commands: Vec<Command> = commands_of(&unit, "ExecStart").iter().skip(1).map(flatten).collect();
        assert_eq!(commands, row.commands, "{text}");
        let state = if row.fatal { LoadState::BadSetting } else { LoadState::Loaded };
        assert_eq!(unit.load_state, state, "{text}{diagnostics:?}");
        assert_eq!(!diagnostics.is_empty(), row.warned, "{text}{diagnostics:?}");
    }
}

#[derive(Deserialize)]
struct LinesRow {
    key: String,
    r#type: String,
    values: Vec<String>,
    load_state: String,
    commands: Vec<Command>,
}

#[test]
fn several_lines_of_commands() {
    for row in rows::<LinesRow>(include_str!("table/command-lines.jsonl")) {
        let start = if row.key == "ExecStart" { "" } else { "ExecStart=/bin/x\n" };
        let lines: String = row.values.iter().map(|value| format!("{}={value}\n", row.key)).collect();
        let text = format!("[Service]\nType={}\n{start}{lines}", row.r#type);
        let (unit, diagnostics) = load("x.service", &text);
        assert_eq!(unit.load_state.as_str(), row.load_state, "{text}{diagnostics:?}");
        let commands: Vec<Command> = commands_of(&unit, &row.key).iter().map(flatten).collect();
        assert_eq!(commands, row.commands, "{text}");
    }
}

#[test]
fn a_command_prints_as_a_line_that_reads_as_the_same_command() {
    for row in rows::<LineRow>(include_str!("table/command-line.jsonl")) {
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
    unit: String,
    value: String,
    env: Vec<String>,
    argv: Vec<String>,
}

#[test]
fn variables_in_arguments() {
    for row in rows::<ExpandRow>(include_str!("table/expand.jsonl")) {
        let (unit, _) = load(&row.unit, &format!("[Service]\nExecStart={}\n", row.value));
        let mut env: BTreeMap<&str, &str> =
            row.env.iter().map(|entry| entry.split_once('=').unwrap()).collect();
        env.insert("HOME", "/home/me");
        let expected: Vec<String> = row.argv.iter().map(|argument| fill(argument)).collect();
        let [command] = &commands_of(&unit, "ExecStart")[..] else { panic!("{}", row.value) };
        assert_eq!(command.expand(&|name: &str| env.get(name).copied()), expected, "{}", row.value);
    }
}

#[derive(Deserialize)]
struct EnvironmentRow {
    values: Vec<String>,
    environment: Vec<String>,
    warnings: usize,
}

#[test]
fn environment_lines() {
    for row in rows::<EnvironmentRow>(include_str!("table/environment.jsonl")) {
        let lines: String = row.values.iter().map(|value| format!("Environment={value}\n")).collect();
        let text = format!("[Service]\nExecStart=/bin/x\n{lines}");
        let (unit, diagnostics) = load("x.service", &text);
        assert_eq!(unit.property("Environment"), Some(Property::Strs(row.environment)), "{text}");
        assert_eq!(diagnostics.len(), row.warnings, "{text}{diagnostics:?}");
    }
}

#[derive(Deserialize)]
struct FileKeyRow {
    unit: String,
    value: String,
    shown: Vec<(String, bool)>,
}

#[test]
fn environment_file_lines() {
    for row in rows::<FileKeyRow>(include_str!("table/environment-file-key.jsonl")) {
        let text = format!("[Service]\nExecStart=/bin/x\nEnvironmentFile={}\n", row.value);
        let (unit, _) = load(&row.unit, &text);
        assert_eq!(unit.property("EnvironmentFiles"), Some(Property::EnvironmentFiles(row.shown)), "{text}");
    }
}

#[test]
fn environment_files() {
    for (contents, expected) in
        rows::<(String, Option<Vec<String>>)>(include_str!("table/environment-file.jsonl"))
    {
        let variables = parse_environment_file(contents.as_bytes()).ok();
        let lines =
            variables.map(|variables| variables.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>());
        assert_eq!(lines, expected, "{contents:?}");
    }
}

#[test]
fn an_environment_file_that_is_no_text_is_refused_with_its_line() {
    let message = |contents: &[u8]| parse_environment_file(contents).unwrap_err().to_string();
    assert_eq!(message(b"A=1\nB=\0\n"), "line 2: a zero byte in an environment file");
    assert_eq!(message(b"A=1\n\nB=\xff\n"), "line 3: not UTF-8 text in an environment file");
}
