//! edit: drop-ins of units, or with `--full` their files, by the user's editor.
//!
//! Invariant: a file changes as a whole, after the editor has ended well, or not at all.

use std::io::Read;
use std::path::Path;
use std::process::Command;

use sockmgr_unit::{UnitName, UnitType, mangle_as};

use super::args::{Edit, Flags};
use super::exit::{CliError, Exit};
use super::session::Target;
use super::unit_files::{on_disk, search_path};
use crate::install::UnitFiles;
use crate::loader::read_source;

/// Tried where no variable names an editor.
const EDITORS: [&str; 4] = ["editor", "nano", "vim", "vi"];

/// What stands above and below the text of a drop-in while it is edited.
const ABOVE: &str = "### Anything between here and the comment below becomes the contents of the drop-in";
const BELOW: &str = "### Lines below this comment are discarded";

/// Edits the files of the units that the arguments name, one after the other, and has the manager read them.
pub(crate) fn run(flags: Flags, target: &Target, what: &Edit) -> Result<Exit, CliError> {
    let manager = match &flags.root {
        Some(_) => None,
        None => match target.connect(!flags.no_ask_password) {
            Err(CliError::NoManager { .. }) => None,
            connected => Some(connected?),
        },
    };
    let mut manager = manager;
    let files = match &mut manager {
        Some(manager) => {
            let path = search_path(target, &manager.own_properties()?.texts("UnitPath"));
            UnitFiles::read(path, target.scope, crate::loader::host(target.scope, &target.runtime_dir), &[])
        }
        None => on_disk(&flags, target, &[])?,
    };
    let mut changed = false;
    for argument in &what.files.units {
        let unit = mangle_as(argument, UnitType::Service)?;
        changed |= edit(&flags, what, &files, &unit)?;
    }
    if let (Some(manager), true, false) = (&mut manager, changed, flags.no_reload) {
        manager.reload()?;
    }
    Ok(Exit::Success)
}

/// Edits one file. False: it was left as it is.
fn edit(flags: &Flags, what: &Edit, files: &UnitFiles, unit: &UnitName) -> Result<bool, CliError> {
    let fragment = files.path_of(unit);
    if fragment.is_none() && !(flags.force && flags.full) {
        return Err(CliError::Usage(format!(
            "No files found for {unit}. `sockmgr edit --force --full {unit}` makes a new one."
        )));
    }
    let home = files.home(flags.runtime).map_err(|refusal| CliError::Usage(refusal.to_string()))?;
    let target = match flags.full {
        true => home.join(file_name(fragment.as_deref(), unit)),
        false => home.join(format!("{unit}.d")).join(drop_in_name(what)?),
    };
    let failed =
        |error: std::io::Error| CliError::Usage(format!("cannot edit {}: {error}", target.display()));
    let old = read_source(&target).ok().map(|source| String::from_utf8_lossy(&source.text).into_owned());
    let begun = match (flags.full, &old, &fragment) {
        (false, _, _) => around(&target, old.as_deref().unwrap_or_default(), fragment.as_deref()),
        (true, Some(old), _) => old.clone(),
        (true, None, Some(path)) => {
            String::from_utf8_lossy(&read_source(path).map_err(failed)?.text).into_owned()
        }
        (true, None, None) => String::new(),
    };
    let edit = files.edit(&target, &begun).map_err(failed)?;
    let new = if what.stdin {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        text
    } else {
        launch(edit.path())?;
        let text = edit.text().map_err(failed)?;
        if flags.full { text } else { within(&text) }
    };
    if new.trim().is_empty() || Some(&new) == old.as_ref() {
        if !flags.quiet {
            let why = if new.trim().is_empty() { "it is empty" } else { "nothing was changed" };
            eprintln!("{} is left as it is: {why}.", target.display());
        }
        return Ok(false);
    }
    edit.save(&new).map_err(failed)?;
    if !flags.quiet {
        eprintln!("Wrote {}.", target.display());
    }
    Ok(true)
}

/// The name of a unit's file keeps the syntax of the one that it takes the place of.
fn file_name(fragment: Option<&Path>, unit: &UnitName) -> String {
    let is_toml = fragment.is_some_and(|path| path.extension().is_some_and(|end| end == "toml"));
    if is_toml { format!("{unit}.toml") } else { unit.to_string() }
}

fn drop_in_name(what: &Edit) -> Result<String, CliError> {
    let name = what.drop_in.as_deref().unwrap_or("override.conf");
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(CliError::Usage(format!(
            "--drop-in={name}: the name of a file is needed, without its directory"
        )));
    }
    let is_whole = name.ends_with(".conf") || name.ends_with(".toml");
    Ok(if is_whole { name.to_owned() } else { format!("{name}.conf") })
}

/// The text for the editor: the drop-in, and below it the unit's file as comments.
fn around(target: &Path, text: &str, fragment: Option<&Path>) -> String {
    let below = fragment.and_then(|path| Some((path, read_source(path).ok()?)));
    let below = below.map(|(path, source)| {
        let lines = String::from_utf8_lossy(&source.text)
            .lines()
            .map(|line| format!("# {line}\n"))
            .collect::<String>();
        format!("\n### {}\n{lines}", path.display())
    });
    let text = if text.is_empty() { "\n\n" } else { text };
    format!("### Editing {}\n{ABOVE}\n\n{text}\n{BELOW}\n{}", target.display(), below.unwrap_or_default())
}

/// What stands between the two comments; without them, all of it.
fn within(text: &str) -> String {
    let after = text.split_once(&format!("{ABOVE}\n")).map_or(text, |(_, after)| after);
    let inner = after.split_once(BELOW).map_or(after, |(inner, _)| inner);
    let inner = inner.trim();
    if inner.is_empty() { String::new() } else { format!("{inner}\n") }
}

/// Runs the editor, which must end well.
fn launch(file: &Path) -> Result<(), CliError> {
    let chosen = ["SYSTEMD_EDITOR", "EDITOR", "VISUAL"]
        .iter()
        .find_map(|variable| std::env::var(variable).ok().filter(|value| !value.trim().is_empty()));
    let candidates: Vec<String> =
        chosen.map_or_else(|| EDITORS.map(str::to_owned).to_vec(), |chosen| vec![chosen]);
    for candidate in candidates {
        let mut words = candidate.split_whitespace();
        let Some(program) = words.next() else { continue };
        match Command::new(program).args(words).arg(file).status() {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => {
                return Err(CliError::Usage(format!("{candidate} failed ({status}); nothing was changed")));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(CliError::Usage(format!("cannot run {candidate}: {error}"))),
        }
    }
    Err(CliError::Usage("there is no editor; set $EDITOR, or use --stdin".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_in_is_what_stands_between_the_comments() {
        let text = around(Path::new("/x/override.conf"), "[Service]\nNice=1\n", None);
        assert_eq!(within(&text), "[Service]\nNice=1\n");
        assert_eq!(within(&around(Path::new("/x"), "", None)), "");
        assert_eq!(within("[Service]\n"), "[Service]\n");
    }

    #[test]
    fn drop_ins_have_sound_names() {
        let name = |name: &str| {
            let files = super::super::args::Files { units: Vec::new() };
            drop_in_name(&Edit { files, drop_in: Some(name.to_owned()), stdin: false })
        };
        assert_eq!(name("10-x").unwrap(), "10-x.conf");
        assert_eq!(name("x.toml").unwrap(), "x.toml");
        assert!(name("../x").is_err() && name("").is_err() && name(".x").is_err());
        assert_eq!(
            file_name(Some(Path::new("/u/a.socket.toml")), &"a.socket".parse().unwrap()),
            "a.socket.toml"
        );
    }
}
