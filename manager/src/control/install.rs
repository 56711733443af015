//! The methods of `org.freedesktop.systemd1.Manager` that are about unit files on disk.
//!
//! Never here: which links are made; `crate::install` decides. Invariant: whoever changes files reads them again only when a
//! client says so (`Reload`), as in systemd.

use std::path::Path;

use sockmgr_unit::glob;

use super::dispatch::{Answer, Call};
use super::error::{BusError, ErrorName};
use super::manager::parse_name;
use crate::install::{Change, DependencyWord, ListedFile, Manner, Plan, PresetMode, Refusal, Request};

/// The bits of the methods that take flags (`UNIT_FILE_RUNTIME`, `UNIT_FILE_FORCE`).
const RUNTIME: u64 = 1;
const FORCE: u64 = 2;

/// `a(sss)`: what, the file, what the file is now.
type Rows = Vec<(&'static str, String, String)>;

/// `as`, runtime, force → whether there was anything to enable, and what was done.
pub(super) fn enable(call: &mut Call<'_>) -> Answer {
    let (units, runtime, force): (Vec<String>, bool, bool) = call.arguments()?;
    change_with_install(call, &Request::Enable(units), Manner { runtime, force })
}

pub(super) fn enable_with_flags(call: &mut Call<'_>) -> Answer {
    let (units, flags): (Vec<String>, u64) = call.arguments()?;
    change_with_install(call, &Request::Enable(units), manner(flags)?)
}

pub(super) fn reenable(call: &mut Call<'_>) -> Answer {
    let (units, runtime, force): (Vec<String>, bool, bool) = call.arguments()?;
    change_with_install(call, &Request::Reenable(units), Manner { runtime, force })
}

pub(super) fn disable(call: &mut Call<'_>) -> Answer {
    let (units, runtime): (Vec<String>, bool) = call.arguments()?;
    change(call, &Request::Disable(units), Manner { runtime, force: false })
}

pub(super) fn disable_with_flags(call: &mut Call<'_>) -> Answer {
    let (units, flags): (Vec<String>, u64) = call.arguments()?;
    change(call, &Request::Disable(units), manner(flags)?)
}

pub(super) fn disable_with_install(call: &mut Call<'_>) -> Answer {
    let (units, flags): (Vec<String>, u64) = call.arguments()?;
    change_with_install(call, &Request::Disable(units), manner(flags)?)
}

pub(super) fn mask(call: &mut Call<'_>) -> Answer {
    let (units, runtime, force): (Vec<String>, bool, bool) = call.arguments()?;
    change(call, &Request::Mask(units), Manner { runtime, force })
}

pub(super) fn unmask(call: &mut Call<'_>) -> Answer {
    let (units, runtime): (Vec<String>, bool) = call.arguments()?;
    change(call, &Request::Unmask(units), Manner { runtime, force: false })
}

pub(super) fn link(call: &mut Call<'_>) -> Answer {
    let (units, runtime, force): (Vec<String>, bool, bool) = call.arguments()?;
    change(call, &Request::Link(units), Manner { runtime, force })
}

pub(super) fn revert(call: &mut Call<'_>) -> Answer {
    let units: Vec<String> = call.arguments()?;
    change(call, &Request::Revert(units), Manner::default())
}

pub(super) fn preset(call: &mut Call<'_>) -> Answer {
    let (units, runtime, force): (Vec<String>, bool, bool) = call.arguments()?;
    change_with_install(call, &Request::Preset(units, PresetMode::Full), Manner { runtime, force })
}

pub(super) fn preset_with_mode(call: &mut Call<'_>) -> Answer {
    let (units, mode, runtime, force): (Vec<String>, String, bool, bool) = call.arguments()?;
    change_with_install(call, &Request::Preset(units, preset_mode(&mode)?), Manner { runtime, force })
}

pub(super) fn preset_all(call: &mut Call<'_>) -> Answer {
    let (mode, runtime, force): (String, bool, bool) = call.arguments()?;
    change(call, &Request::PresetAll(preset_mode(&mode)?), Manner { runtime, force })
}

pub(super) fn add_dependency(call: &mut Call<'_>) -> Answer {
    let (units, target, kind, runtime, force): (Vec<String>, String, String, bool, bool) =
        call.arguments()?;
    let bad = || BusError::invalid_args(format!("{kind} is not a kind of dependency that links make"));
    let kind = DependencyWord::from_word(&kind).ok_or_else(bad)?;
    change(call, &Request::AddDependency { units, target, kind }, Manner { runtime, force })
}

/// An earlier choice is always replaced: there is no other way to choose again.
pub(super) fn set_default(call: &mut Call<'_>) -> Answer {
    let (name, _): (String, bool) = call.arguments()?;
    change(call, &Request::SetDefault(name), Manner::default())
}

pub(super) fn get_default(call: &mut Call<'_>) -> Answer {
    let target = call.core.unit_files(&[]).default_target()?;
    call.answer(&target.as_str())
}

pub(super) fn state(call: &mut Call<'_>) -> Answer {
    let unit = parse_name(&call.arguments::<String>()?)?;
    match call.core.unit_files(&[]).state(&unit) {
        Ok(state) => call.answer(&state.as_str()),
        // The name and the text of systemd, which clients know.
        Err(Refusal::NotFound(_)) => Err(BusError::new(ErrorName::FileNotFound, "No such file or directory")),
        Err(refusal) => Err(refusal.into()),
    }
}

pub(super) fn links(call: &mut Call<'_>) -> Answer {
    let (unit, runtime): (String, bool) = call.arguments()?;
    let unit = parse_name(&unit)?;
    let files = call.core.unit_files(&[]);
    let links = files.links(&unit)?.into_iter().filter(|link| !runtime || files.is_at_runtime(link));
    call.answer(&links.map(|link| text(&link)).collect::<Vec<_>>())
}

pub(super) fn list(call: &mut Call<'_>) -> Answer {
    answer_list(call, |_| true)
}

pub(super) fn list_by_patterns(call: &mut Call<'_>) -> Answer {
    let (states, patterns): (Vec<String>, Vec<String>) = call.arguments()?;
    answer_list(call, |file| {
        let named = patterns.is_empty() || patterns.iter().any(|p| glob::matches(p, file.unit.as_str()));
        named && (states.is_empty() || states.iter().any(|state| state == file.state.as_str()))
    })
}

fn answer_list(call: &mut Call<'_>, wanted: impl Fn(&ListedFile) -> bool) -> Answer {
    let files = call.core.unit_files(&[]).list();
    let rows: Vec<_> = files
        .iter()
        .filter(|file| wanted(file))
        // By the unit's name: what a file is called beside it (`web.socket.toml`) is nothing that clients expect.
        .map(|file| (text(&file.path.with_file_name(file.unit.as_str())), file.state.as_str()))
        .collect();
    call.answer(&rows)
}

fn manner(flags: u64) -> Result<Manner, BusError> {
    if flags & !(RUNTIME | FORCE) != 0 {
        return Err(BusError::invalid_args(format!(
            "Flags {flags:#x} are not known; 1 is runtime, 2 is force"
        )));
    }
    Ok(Manner { runtime: flags & RUNTIME != 0, force: flags & FORCE != 0 })
}

fn preset_mode(word: &str) -> Result<PresetMode, BusError> {
    let bad = || BusError::invalid_args(format!("{word} is not full, enable-only or disable-only"));
    PresetMode::from_word(word).ok_or_else(bad)
}

fn change(call: &mut Call<'_>, request: &Request, manner: Manner) -> Answer {
    let plan = perform(call, request, manner)?;
    call.answer(&(rows(&plan),))
}

fn change_with_install(call: &mut Call<'_>, request: &Request, manner: Manner) -> Answer {
    let plan = perform(call, request, manner)?;
    call.answer(&(plan.has_install, rows(&plan)))
}

/// Does it. What failed is the answer, also where something was done.
fn perform(call: &mut Call<'_>, request: &Request, manner: Manner) -> Result<Plan, BusError> {
    let plan = call.core.unit_files(&request.operands()).plan(request, manner).perform();
    if plan.changes.iter().any(Change::is_effective) {
        tracing::info!("unit files changed; `daemon-reload` has them read");
        call.outcome.unit_files_changed = true;
    }
    let refused = plan.changes.iter().find_map(|change| match change {
        Change::Refused(refusal) if plan.has_failed => Some(refusal.clone()),
        _ => None,
    });
    refused.map_or(Ok(plan), |refusal| Err(refusal.into()))
}

fn rows(plan: &Plan) -> Rows {
    plan.changes.iter().flat_map(Change::rows).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
