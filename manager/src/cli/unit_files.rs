//! is-enabled, list-unit-files and get-default: what is on disk, whether loaded or not.
//!
//! The manager is asked where one runs, because it knows its search path; else it is looked for here. Invariant: columns,
//! words and exit codes are those of systemctl.

use std::path::PathBuf;

use serde::Serialize;
use sockmgr_unit::{UnitName, UnitType, glob, mangle_as};

use super::args::Flags;
use super::exit::{CliError, Exit, chain};
use super::manager::Manager;
use super::names::{Named, mangle, type_of};
use super::session::{Target, print, to_json};
use super::style::{Style, Tone};
use super::table::{Cell, Table};
use crate::install::{UnitFiles, counts_as_enabled};
use crate::loader::{self, SearchPath};

/// Whom to ask.
enum Source {
    Manager(Box<Manager>),
    Disk(Box<UnitFiles>),
}

impl Source {
    fn choose(flags: &Flags, target: &Target) -> Result<Self, CliError> {
        if flags.root.is_none() {
            match target.connect(!flags.no_ask_password) {
                Err(CliError::NoManager { .. }) => {}
                connected => return Ok(Self::Manager(Box::new(connected?))),
            }
        }
        let files = on_disk(flags, target, &[])?;
        files.preset_problems().iter().for_each(|problem| eprintln!("{problem}"));
        Ok(Self::Disk(Box::new(files)))
    }

    fn state(&mut self, unit: &UnitName) -> Result<String, String> {
        match self {
            Self::Manager(manager) => manager.unit_file_state(unit.as_str()).map_err(|error| chain(&error)),
            Self::Disk(files) => match files.state(unit) {
                Ok(state) => Ok(state.as_str().to_owned()),
                Err(refusal) => Err(refusal.to_string()),
            },
        }
    }

    fn links(&mut self, unit: &UnitName) -> Vec<String> {
        match self {
            // Whoever has no state has no links; that has been said.
            Self::Manager(manager) => manager.unit_file_links(unit.as_str()).unwrap_or_default(),
            Self::Disk(files) => {
                let links = files.links(unit).unwrap_or_default();
                links.iter().map(|link| link.display().to_string()).collect()
            }
        }
    }

    /// Unit, state and preset of every file.
    fn list(&mut self, target: &Target) -> Result<Vec<ListedFile>, CliError> {
        match self {
            Self::Disk(files) => Ok(from_disk(files)),
            Self::Manager(manager) => {
                let rows = manager.list_unit_files()?;
                // As systemctl does: presets are for whoever looks.
                let path = search_path(target, &manager.own_properties()?.texts("UnitPath"));
                let host = loader::host(target.scope, &target.runtime_dir);
                let files = UnitFiles::read(path, target.scope, host, &[]);
                let row = |(path, state): (String, String)| {
                    let unit = loader::unit_of(path.rsplit('/').next().unwrap_or_default())?;
                    let preset = preset_for(&files, &unit, &state);
                    Some(ListedFile { unit: unit.to_string(), state, preset })
                };
                Ok(rows.into_iter().filter_map(row).collect())
            }
        }
    }
}

/// A picture of the unit files where the flags say that they are.
pub(crate) fn on_disk(flags: &Flags, target: &Target, operands: &[String]) -> Result<UnitFiles, CliError> {
    let path = match &flags.root {
        Some(root) => {
            let real = root.canonicalize();
            let real =
                real.map_err(|error| CliError::Usage(format!("--root={}: {error}", root.display())))?;
            SearchPath::new(target.scope, &[], &[""; 0]).below(&real)
        }
        None => {
            let (settings, _) = loader::read_settings(target.scope, None).map_err(CliError::Usage)?;
            SearchPath::new(target.scope, &[], &settings.unit_path)
        }
    };
    Ok(UnitFiles::read(path, target.scope, loader::host(target.scope, &target.runtime_dir), operands))
}

/// The search path of a manager that looks in these directories: the usual one with its runtime directory, or a given one.
pub(crate) fn search_path(target: &Target, directories: &[String]) -> SearchPath {
    let directories: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
    let usual = SearchPath::new(target.scope, &[], &[""; 0]);
    match directories.strip_prefix(usual.directories()) {
        Some(extra) => {
            let extra: Vec<String> = extra.iter().map(|path| path.display().to_string()).collect();
            SearchPath::new(target.scope, &[], &extra)
        }
        None => SearchPath::new(target.scope, &directories, &[""; 0]),
    }
}

/// Says for each unit whether it is enabled. Success when one of them is.
pub(crate) fn is_enabled(flags: Flags, target: &Target, arguments: &[String]) -> Result<Exit, CliError> {
    let mut source = Source::choose(&flags, target)?;
    let mut exit = Exit::Failure;
    let mut rows = Vec::new();
    for argument in arguments {
        let unit = mangle_as(argument, UnitType::Service)?;
        match source.state(&unit) {
            Ok(state) => {
                if counts_as_enabled(&state) {
                    exit = Exit::Success;
                }
                let links = if flags.full { source.links(&unit) } else { Vec::new() };
                rows.push(FileState { unit: unit.to_string(), state, links });
            }
            Err(why) => {
                print_states(&flags, &rows)?;
                return Err(CliError::Usage(format!("Failed to get unit file state for {unit}: {why}")));
            }
        }
    }
    print_states(&flags, &rows)?;
    Ok(exit)
}

#[derive(Serialize)]
struct FileState {
    unit: String,
    state: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<String>,
}

fn print_states(flags: &Flags, rows: &[FileState]) -> Result<(), CliError> {
    if flags.quiet {
        return Ok(());
    }
    if let Some(form) = flags.json() {
        return print(&to_json(&rows, form)?);
    }
    let lines = rows.iter().flat_map(|row| {
        let links = row.links.iter().map(|link| format!("  {link}\n"));
        std::iter::once(format!("{}\n", row.state)).chain(links)
    });
    print(&lines.collect::<String>())
}

/// Prints the target that is the default.
pub(crate) fn get_default(flags: Flags, target: &Target) -> Result<Exit, CliError> {
    let name = match Source::choose(&flags, target)? {
        Source::Manager(mut manager) => manager.default_target()?,
        Source::Disk(files) => {
            let default = files.default_target();
            default
                .map_err(|why| CliError::Usage(format!("Failed to get default target: {why}")))?
                .to_string()
        }
    };
    print(&format!("{name}\n"))?;
    Ok(Exit::Success)
}

struct ListedFile {
    unit: String,
    state: String,
    preset: Option<&'static str>,
}

fn from_disk(files: &UnitFiles) -> Vec<ListedFile> {
    let row = |file: crate::install::ListedFile| {
        let state = file.state.as_str().to_owned();
        let preset = preset_for(files, &file.unit, &state);
        ListedFile { unit: file.unit.to_string(), state, preset }
    };
    files.list().into_iter().map(row).collect()
}

/// What the presets say, for files that it says something about.
fn preset_for(files: &UnitFiles, unit: &UnitName, state: &str) -> Option<&'static str> {
    (!matches!(state, "alias" | "static")).then(|| files.preset(unit).as_str())
}

/// Lists unit files. Fails when there are none.
pub(crate) fn list(flags: Flags, target: &Target, arguments: &[String]) -> Result<Exit, CliError> {
    let mut patterns = Vec::new();
    for argument in arguments {
        patterns.push(match mangle(argument, UnitType::Service)? {
            Named::Unit(name) | Named::Glob(name) => name,
        });
    }
    let mut files = Source::choose(&flags, target)?.list(target)?;
    files.retain(|file| {
        let fits = |wanted: &[String], word: &str| wanted.is_empty() || wanted.iter().any(|own| own == word);
        (patterns.is_empty() || patterns.iter().any(|pattern| glob::matches(pattern, &file.unit)))
            && fits(&flags.types, type_of(&file.unit))
            && fits(&flags.states, &file.state)
    });
    files.sort_by_key(|file| (type_of(&file.unit).to_owned(), file.unit.to_lowercase()));
    print_files(&flags, &files)?;
    Ok(if files.is_empty() { Exit::Failure } else { Exit::Success })
}

fn print_files(flags: &Flags, files: &[ListedFile]) -> Result<(), CliError> {
    let mut table = Table::new(&["UNIT FILE", "STATE", "PRESET"]);
    for file in files {
        let preset = file.preset.map_or_else(Cell::none, |word| Cell::toned(word, tone(word)));
        table.push(vec![Cell::new(&file.unit), Cell::toned(&file.state, tone(&file.state)), preset]);
    }
    if let Some(form) = flags.json() {
        return print(&to_json(&table, form)?);
    }
    let style = Style::of_stdout();
    let width = if flags.full { None } else { style.width };
    let mut text = table.render(&style, flags.legend(), width);
    if flags.legend() {
        text.push_str(&format!("\n{} unit files listed.\n", files.len()));
    }
    print(&text)
}

fn tone(word: &str) -> Tone {
    match word {
        "enabled" | "enabled-runtime" => Tone::Good,
        "disabled" | "linked" | "linked-runtime" => Tone::Warning,
        "masked" | "masked-runtime" | "bad" => Tone::Bad,
        _ => Tone::Plain,
    }
}
