//! A unit file that was converted, and converted back, loads as the same unit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use sockmgr_unit::{Fragment, Host, Library, LoadState, Source, Syntax, Unit, UnitName, convert, directives};

fn load(source: &Source) -> Arc<Unit> {
    let mut library = Library::new(Host::default());
    let name: UnitName = format!("a@b.{}", name_type(&source.path)).parse().unwrap();
    library.add_fragment(name.clone(), Fragment::Source(source.clone()));
    library.unit(&name)
}

fn name_type(path: &Path) -> &str {
    let name = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".toml");
    name.rsplit('.').next().unwrap()
}

fn assert_same(old: &Source, new: &Source) {
    let (before, after) = (load(old), load(new));
    assert_eq!(before.load_state, after.load_state, "{}", old.path.display());
    // Where a line ends the reading, what stands below it may now stand above.
    if before.load_state == LoadState::Loaded {
        let (before, after) = (format!("{before:#?}"), format!("{after:#?}"));
        assert_eq!(before, after, "{}\n{}", old.path.display(), String::from_utf8_lossy(&new.text));
    }
}

fn converted(source: &Source, syntax: Syntax) -> Option<Source> {
    let text = convert(source, syntax).ok()?;
    Some(Source { text: text.into_bytes().into(), syntax, ..source.clone() })
}

/// There and back; false where the file cannot be converted.
fn round_trip(source: &Source) -> bool {
    let (there, back) = match source.syntax {
        Syntax::Systemd => (Syntax::Toml, Syntax::Systemd),
        Syntax::Toml => (Syntax::Systemd, Syntax::Toml),
    };
    let Some(other) = converted(source, there) else { return false };
    assert_same(source, &other);
    let again = converted(&other, back).unwrap();
    assert_same(source, &again);
    true
}

/// All unit files below a folder of the repository.
fn unit_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            unit_files(&path, found);
        } else if path.is_file() && ["socket", "service", "target"].contains(&name_type(&path)) {
            found.push(path);
        }
    }
}

#[test]
fn every_unit_file_of_the_project_survives_a_round_trip() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in ["units", "tests/vectors/unit-syntax"] {
        unit_files(&root.join(folder), &mut files);
    }
    let mut trips = 0;
    for path in &files {
        let toml = path.extension().is_some_and(|extension| extension == "toml");
        let syntax = if toml { Syntax::Toml } else { Syntax::Systemd };
        let source = Source { path: path.as_path().into(), text: fs::read(path).unwrap().into(), syntax };
        let whole = round_trip(&source);
        assert!(whole || !path.starts_with(root.join("units")), "{}", path.display());
        trips += usize::from(whole);
    }
    assert!(trips > 50 && trips > files.len() * 2 / 3, "{trips} of {}", files.len());
}

/// A line of a section, mostly with a key of the table.
fn line() -> impl Strategy<Value = String> {
    let spellings: Vec<&str> = directives()
        .flat_map(|directive| std::iter::once(directive.name).chain(directive.aliases.iter().copied()))
        .collect();
    let value = prop_oneof![
        "yes|no|On|0|1|007|-1|0660|5min|infinity|80|@a|/a b|%i\\.x|a.service b.service|/bin/x 'a' \"b\"||\\\\|\\\\\\\\",
        "[ -~é\u{7f}\t]{0,12}",
    ];
    let usual =
        prop::sample::select(vec!["ListenStream", "ListenDatagram", "ExecStart", "After", "Environment"]);
    let key = prop_oneof![
        prop::sample::select(spellings).prop_map(str::to_owned),
        usual.prop_map(str::to_owned),
        "X-[a-z .]{0,3}"
    ];
    prop_oneof![
        8 => (key, value).prop_map(|(key, value)| format!("{key}={value}\n")),
        1 => "[#;][ -~]{0,5}\n",
        1 => Just("\n".to_owned()),
        1 => "\\[(Unit|Socket|Service|Install)\\]\n",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_unit_survives_a_round_trip(lines in prop::collection::vec(line(), 0..24), socket: bool) {
        let (section, end, name) = match socket {
            true => ("Socket", "ListenStream=7\n", "a@.socket"),
            false => ("Service", "ExecStart=\nExecStart=/bin/true\n", "a@.service"),
        };
        let text = format!("[{section}]\n{}[{section}]\n{end}", lines.concat());
        round_trip(&Source { path: Path::new(name).into(), text: text.into_bytes().into(), syntax: Syntax::Systemd });
    }
}
