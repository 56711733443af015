//! cat: the unit files of units as they are on disk.
//!
//! The manager says which files; they are read here. Invariant: what is printed for a unit is its fragment, then its
//! drop-ins, in the order they apply.

use std::fs;

use serde::Serialize;

use super::exit::{CliError, Exit};
use super::jobs::warn_if_changed;
use super::manager::{Interface, texts};
use super::session::Session;
use super::style::Tone;
use super::units;

#[derive(Serialize)]
struct UnitFiles {
    unit: String,
    files: Vec<UnitFile>,
}

#[derive(Serialize)]
struct UnitFile {
    path: String,
    text: String,
}

/// Prints the unit files of the units that the arguments name.
pub(crate) fn run(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    // Files are there whether the unit is active or not.
    session.flags.all |= session.flags.states.is_empty();
    let names = units::expand(session, arguments)?;
    let mut exit = Exit::Success;
    let mut shown = Vec::new();
    for (unit, paths) in names.iter().zip(paths(session, &names)?) {
        let Some(paths) = paths else {
            eprintln!("No files found for {unit}.");
            exit = Exit::Failure;
            continue;
        };
        let (files, unreadable) = read(paths);
        if unreadable {
            exit = Exit::Failure;
        }
        shown.push(UnitFiles { unit: unit.clone(), files });
    }
    warn_if_changed(session, &shown.iter().map(|unit| unit.unit.clone()).collect::<Vec<_>>())?;
    if !session.print_json(&shown)? {
        session.print(&render(session, &shown))?;
    }
    Ok(exit)
}

/// The files of each unit; nothing for a unit that has none.
fn paths(session: &mut Session, names: &[String]) -> Result<Vec<Option<Vec<String>>>, CliError> {
    let states = session.manager.unit_texts(names, "LoadState")?;
    let fragments = session.manager.unit_texts(names, "FragmentPath")?;
    let drop_ins = session.manager.unit_values(names, Interface::Unit, "DropInPaths")?;
    let files = states.into_iter().zip(fragments).zip(drop_ins).map(|((state, fragment), drop_ins)| {
        let mut files: Vec<String> = fragment.into_iter().filter(|path| !path.is_empty()).collect();
        files.extend(drop_ins.as_deref().map(texts).unwrap_or_default());
        let known = state.is_ok_and(|state| state != "not-found") && !files.is_empty();
        known.then_some(files)
    });
    Ok(files.collect())
}

/// Reads the files; one that cannot be read is named on stderr.
fn read(paths: Vec<String>) -> (Vec<UnitFile>, bool) {
    let (mut files, mut unreadable) = (Vec::new(), false);
    for path in paths {
        match fs::read(&path) {
            Ok(bytes) => files.push(UnitFile { path, text: String::from_utf8_lossy(&bytes).into_owned() }),
            Err(error) => {
                eprintln!("Failed to read {path}: {error}");
                unreadable = true;
            }
        }
    }
    (files, unreadable)
}

fn render(session: &Session, units: &[UnitFiles]) -> String {
    let file = |file: &UnitFile| {
        let title = session.style.paint(Tone::Strong, &format!("# {}", file.path));
        let end = if file.text.ends_with('\n') || file.text.is_empty() { "" } else { "\n" };
        format!("{title}\n{}{end}", file.text)
    };
    units.iter().flat_map(|unit| &unit.files).map(file).collect::<Vec<_>>().join("\n")
}
