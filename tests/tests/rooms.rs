//! The walls between the rooms, read from the sources: who may import whom, who is pure, where `unsafe` may stand.
//!
//! manager/ARCHITECTURE.md says what the rooms are for. A new room gets its line in [`ROOMS`]; a new arrow between two
//! rooms is a decision, and that line is where it is taken.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sockmgr_tests::built;

/// Each crate of the workspace, and which other ones it may depend on.
const CRATES: [(&str, &[&str]); 7] = [
    ("manager/unit", &[]),
    ("manager/engine", &["unit"]),
    ("manager/sys", &[]),
    ("manager", &["unit", "engine", "sys"]),
    // For servers: it knows nothing of the manager.
    ("client-lib", &["client"]),
    // They see what a user sees.
    ("tests", &[]),
    ("contrib/bench", &["tests"]),
];

/// Each module of `manager/src`, what of the others it may import, and which crates.
const ROOMS: [(&str, &[&str], &[&str]); 16] = [
    ("paths", &[], &["sys"]),
    ("chown", &[], &["sys"]),
    ("protocol", &[], &["sys"]),
    ("condition", &["loader"], &["unit", "sys"]),
    ("log", &[], &["unit"]),
    ("keeper", &["protocol"], &["sys"]),
    ("loader", &["paths"], &["unit", "sys"]),
    ("install", &["loader", "paths"], &["unit"]),
    ("logfile", &["paths"], &["unit", "sys"]),
    ("control", &["install", "paths"], &["engine", "unit", "sys"]),
    (
        "driver",
        &[
            "chown",
            "condition",
            "control",
            "install",
            "keeper",
            "loader",
            "log",
            "logfile",
            "paths",
            "protocol",
        ],
        &["engine", "unit", "sys"],
    ),
    ("metrics", &["control", "driver"], &["engine", "unit", "sys"]),
    ("manager", &["control", "driver", "keeper", "log", "metrics"], &["unit", "sys"]),
    ("daemon", &["chown", "driver", "keeper", "log", "logfile", "manager", "paths"], &["unit", "sys"]),
    // The command: a client like any other; it reads unit files only to verify them, and asks then who is known here; it changes
    // them where no manager runs. The log it reads by itself.
    ("cli", &["install", "loader", "logfile", "paths"], &["unit", "sys"]),
    ("lib", &[], &[]),
];

/// What a pure crate never names: files, processes, threads, the clock, the environment.
const IMPURE: [&str; 13] = [
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "std::io::std",
    "std::os::fd",
    "UnixStream",
    "TcpStream",
    "UdpSocket",
    "Instant::",
    "SystemTime",
    "libc::",
    "tokio",
];

/// Where `unsafe` may stand.
const UNSAFE: [&str; 3] = ["manager/sys/src/", "client-lib/src/sys.rs", "contrib/bench/src/tun.rs"];

fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![built::repository().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&entry).unwrap();
                found.push((entry.strip_prefix(built::repository()).unwrap().to_path_buf(), code(&text)));
            }
        }
    }
    assert!(!found.is_empty(), "{directory} has sources");
    found
}

/// Without comments, and without the tests, which may look at anything.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The words that follow a prefix: `unit` in `sockmgr_unit::UnitName`.
fn words_after(text: &str, prefix: &str) -> BTreeSet<String> {
    let word = |rest: &str| {
        rest.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect::<String>()
    };
    let groups = text.match_indices(prefix).flat_map(|(at, _)| {
        let rest = &text[at + prefix.len()..];
        // `use crate::{a, b::C}` names several.
        let inner = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        inner.map_or_else(
            || vec![word(rest)],
            |(inner, _)| inner.split(',').map(|part| word(part.trim())).collect(),
        )
    });
    groups.filter(|word| !word.is_empty()).collect()
}

/// Our crates that a source names, by the word after `sockmgr_`.
fn crates_in(text: &str) -> BTreeSet<String> {
    let mut words = words_after(text, "sockmgr_");
    words.retain(|word| ["unit", "engine", "sys", "client", "tests"].contains(&word.as_str()));
    words
}

#[test]
fn crates_depend_downward_only() {
    for (folder, allowed) in CRATES {
        let manifest = fs::read_to_string(built::repository().join(folder).join("Cargo.toml")).unwrap();
        let dependencies = manifest.lines().skip_while(|line| !line.starts_with("[dependencies]"));
        let named: BTreeSet<String> = words_after(&dependencies.collect::<Vec<_>>().join("\n"), "sockmgr-");
        assert!(named.iter().all(|name| allowed.contains(&name.as_str())), "{folder} depends on {named:?}");
        for (path, text) in sources(&format!("{folder}/src")) {
            let wrong: Vec<_> =
                crates_in(&text).into_iter().filter(|name| !allowed.contains(&name.as_str())).collect();
            assert!(wrong.is_empty(), "{} uses {wrong:?}", path.display());
        }
    }
}

#[test]
fn every_module_of_the_manager_keeps_to_its_room() {
    let mut rooms = BTreeSet::new();
    for (path, text) in sources("manager/src") {
        let inside = path.strip_prefix("manager/src").unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if room == "bin" {
            continue;
        }
        let Some((_, modules, crates)) = ROOMS.iter().find(|(name, ..)| *name == room) else {
            panic!("{} is in no room; give it a line in ROOMS", path.display());
        };
        for module in words_after(&text, "crate::") {
            assert!(
                module == room || modules.contains(&module.as_str()),
                "{} imports crate::{module}",
                path.display()
            );
        }
        for name in crates_in(&text) {
            assert!(crates.contains(&name.as_str()), "{} imports sockmgr_{name}", path.display());
        }
        rooms.insert(room);
    }
    let named: BTreeSet<String> = ROOMS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(rooms, named, "a room without sources has no line");
}

#[test]
fn programs_only_call_their_room() {
    for (path, text) in sources("manager/src/bin") {
        assert!(
            text.lines().filter(|line| !line.trim().is_empty()).count() < 12,
            "{} does things",
            path.display()
        );
    }
}

#[test]
fn unit_and_engine_are_pure() {
    for folder in ["manager/unit/src", "manager/engine/src"] {
        for (path, text) in sources(folder) {
            for word in IMPURE {
                assert!(!text.contains(word), "{} names {word}", path.display());
            }
        }
    }
}

#[test]
fn the_keeper_parses_nothing() {
    for (path, text) in sources("manager/src/keeper") {
        for word in ["zbus", "tokio", "toml::", "sockmgr_unit", "sockmgr_engine"] {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn unsafe_stands_only_where_it_may_and_says_why() {
    for (folder, _) in CRATES {
        for (path, text) in sources(&format!("{folder}/src")) {
            let allowed = UNSAFE.iter().any(|place| path.starts_with(place) || Path::new(place) == path);
            let blocks = text.matches("unsafe {").count() + text.matches("unsafe fn").count();
            assert!(allowed || blocks == 0, "{} has unsafe code", path.display());
            if folder == "manager" || folder == "tests" {
                continue;
            }
            let whole = fs::read_to_string(built::repository().join(&path)).unwrap();
            let reasons = whole.matches("// SAFETY:").count() + whole.matches("# Safety").count();
            assert!(reasons >= blocks, "{}: {blocks} unsafe blocks, {reasons} reasons", path.display());
        }
    }
}

#[test]
fn the_reader_of_sources_reads_right() {
    let text = "use crate::{control::Core, log};\nlet x = crate::paths::Scope::User; sockmgr_unit::UnitName // crate::wrong\n#[cfg(test)]\ncrate::tests";
    let code = code(text);
    assert_eq!(words_after(&code, "crate::").into_iter().collect::<Vec<_>>(), ["control", "log", "paths"]);
    assert_eq!(words_after(&code, "sockmgr_").into_iter().collect::<Vec<_>>(), ["unit"]);
}
