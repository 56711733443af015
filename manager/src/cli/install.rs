//! enable, disable, mask and all other verbs that change unit files on disk.
//!
//! The manager does it where one runs; otherwise, and below `--root`, it is done here, by the same code. Invariant: what is
//! printed, and the exit code, is the same either way.

use sockmgr_unit::{UnitType, mangle_as};

use super::args::{Flags, PresetMode};
use super::exit::{CliError, Exit};
use super::jobs::{self, JobVerb};
use super::manager::UnitFileChanges;
use super::session::{Session, Target};
use super::unit_files::on_disk;
use crate::install::{self, DependencyWord, Manner, Request};

/// A verb that changes what is on disk for the units it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Enable,
    Disable,
    Reenable,
    Preset,
    PresetAll,
    Mask,
    Unmask,
    Link,
    Revert,
}

impl Change {
    /// What is asked for.
    fn request(self, units: Vec<String>, mode: PresetMode) -> Request {
        let mode = match mode {
            PresetMode::Full => install::PresetMode::Full,
            PresetMode::EnableOnly => install::PresetMode::EnableOnly,
            PresetMode::DisableOnly => install::PresetMode::DisableOnly,
        };
        match self {
            Self::Enable => Request::Enable(units),
            Self::Disable => Request::Disable(units),
            Self::Reenable => Request::Reenable(units),
            Self::Preset => Request::Preset(units, mode),
            Self::PresetAll => Request::PresetAll(mode),
            Self::Mask => Request::Mask(units),
            Self::Unmask => Request::Unmask(units),
            Self::Link => Request::Link(units),
            Self::Revert => Request::Revert(units),
        }
    }

    /// What `--now` adds.
    fn job(self) -> Option<JobVerb> {
        match self {
            Self::Enable => Some(JobVerb::Start),
            Self::Reenable => Some(JobVerb::Restart),
            Self::Disable | Self::Mask => Some(JobVerb::Stop),
            Self::Preset | Self::PresetAll | Self::Unmask | Self::Link | Self::Revert => None,
        }
    }

    /// Whether paths are operands as well, rather than only the names at their ends.
    fn takes_paths(self) -> bool {
        match self {
            Self::Enable | Self::Reenable | Self::Link => true,
            Self::Disable | Self::Preset | Self::PresetAll | Self::Mask | Self::Unmask | Self::Revert => {
                false
            }
        }
    }
}

/// Changes the files of the units that the arguments name.
pub(crate) fn run(
    flags: Flags,
    target: &Target,
    verb: Change,
    arguments: &[String],
) -> Result<Exit, CliError> {
    let operands: Result<Vec<String>, CliError> =
        arguments.iter().map(|argument| operand(&flags, argument, verb.takes_paths())).collect();
    let operands = operands?;
    let request = verb.request(operands.clone(), flags.preset_mode);
    let job = verb.job().filter(|_| flags.now);
    let names: Vec<String> = operands.iter().map(|operand| last_part(operand).to_owned()).collect();
    perform(flags, target, &request, job.map(|job| (job, names)))
}

/// Makes units dependencies of another one.
pub(crate) fn add(
    flags: Flags,
    target: &Target,
    kind: DependencyWord,
    of: &str,
    arguments: &[String],
) -> Result<Exit, CliError> {
    let units: Result<Vec<String>, CliError> =
        arguments.iter().map(|argument| operand(&flags, argument, false)).collect();
    let of = mangle_as(of, UnitType::Target)?.to_string();
    perform(flags, target, &Request::AddDependency { units: units?, target: of, kind }, None)
}

/// Makes a target the default one.
pub(crate) fn set_default(flags: Flags, target: &Target, name: &str) -> Result<Exit, CliError> {
    let name = mangle_as(name, UnitType::Target)?.to_string();
    perform(flags, target, &Request::SetDefault(name), None)
}

/// The unit's name, or the absolute path of its file.
fn operand(flags: &Flags, argument: &str, takes_paths: bool) -> Result<String, CliError> {
    if !argument.contains('/') {
        return Ok(mangle_as(argument, UnitType::Service)?.to_string());
    }
    if !takes_paths {
        return Ok(mangle_as(last_part(argument), UnitType::Service)?.to_string());
    }
    if flags.root.is_some() && !argument.starts_with('/') {
        return Err(CliError::Usage(format!(
            "{argument}: with --root a path has to be absolute, as it is seen from there"
        )));
    }
    let path = std::path::absolute(argument).map_err(CliError::Output)?;
    Ok(path.display().to_string())
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Has the request carried out, says what became of it, and then starts or stops the units.
fn perform(
    flags: Flags,
    target: &Target,
    request: &Request,
    job: Option<(JobVerb, Vec<String>)>,
) -> Result<Exit, CliError> {
    if flags.root.is_some() {
        if job.is_some() {
            return Err(CliError::Usage("--now needs a manager, and below --root there is none".into()));
        }
        return by_ourselves(&flags, target, request);
    }
    match target.connect(!flags.no_ask_password) {
        Err(CliError::NoManager { .. }) if job.is_none() => by_ourselves(&flags, target, request),
        connected => by_manager(Session::with(flags, target.clone(), connected?), request, job),
    }
}

fn by_manager(
    mut session: Session,
    request: &Request,
    job: Option<(JobVerb, Vec<String>)>,
) -> Result<Exit, CliError> {
    let changes = session.manager.change_unit_files(request, manner(&session.flags));
    let changes = changes
        .map_err(|source| CliError::Refused { what: format!("Failed to {}", verb(request)), source })?;
    report(&session.flags, request, &changes);
    if !session.flags.no_reload {
        session.manager.reload()?;
    }
    match job {
        Some((verb, units)) => jobs::run(&mut session, verb, &units),
        None => Ok(Exit::Success),
    }
}

fn by_ourselves(flags: &Flags, target: &Target, request: &Request) -> Result<Exit, CliError> {
    let files = on_disk(flags, target, &request.operands())?;
    files.preset_problems().iter().for_each(|problem| eprintln!("{problem}"));
    let plan = files.plan(request, manner(flags)).perform();
    for change in &plan.changes {
        if let install::Change::Refused(refusal) = change {
            eprintln!("Failed to {} unit, {refusal}.", verb(request));
        }
    }
    let rows = plan.changes.iter().flat_map(|change| change.rows());
    let rows = rows.map(|(what, path, source)| (what.to_owned(), path, source)).collect();
    let has_install = plan.has_install || plan.has_failed;
    report(flags, request, &UnitFileChanges { has_install, rows });
    Ok(if plan.has_failed { Exit::Failure } else { Exit::Success })
}

fn manner(flags: &Flags) -> Manner {
    Manner { runtime: flags.runtime, force: flags.force }
}

/// The verb, to complete "Failed to … unit".
fn verb(request: &Request) -> &'static str {
    match request {
        Request::Enable(_) => "enable",
        Request::Disable(_) => "disable",
        Request::Reenable(_) => "reenable",
        Request::Mask(_) => "mask",
        Request::Unmask(_) => "unmask",
        Request::Link(_) => "link",
        Request::Revert(_) => "revert",
        Request::AddDependency { .. } => "add dependency on",
        Request::Preset(..) => "preset",
        Request::PresetAll(_) => "preset all",
        Request::SetDefault(_) => "set default",
    }
}

fn report(flags: &Flags, request: &Request, changes: &UnitFileChanges) {
    if flags.quiet {
        return;
    }
    for (what, path, source) in &changes.rows {
        if let Some(line) = install::line(what, path, source) {
            eprintln!("{line}");
        }
    }
    let asks = matches!(request, Request::Enable(_) | Request::Reenable(_) | Request::Preset(..));
    if asks && !changes.has_install && !flags.no_warn {
        eprintln!("{NOTHING_TO_ENABLE}");
    }
}

const NOTHING_TO_ENABLE: &str = "\
The unit files have no installation config: neither WantedBy=, RequiredBy=,
UpheldBy=, Also= nor Alias= in an [Install] section, and for a template no
DefaultInstance=. They are not meant to be enabled. Units may be without it:
• because another unit wants or requires them,
• because something starts them when they are needed: a socket, for instance,
• because they are templates, and are enabled with the name of an instance.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_names_or_absolute_paths() {
        let flags = Flags::default();
        let of = |argument: &str, takes_paths| operand(&flags, argument, takes_paths).unwrap();
        assert_eq!(of("web", true), "web.service");
        assert_eq!(of("web.socket", false), "web.socket");
        assert_eq!(of("/srv/web.socket", true), "/srv/web.socket");
        assert_eq!(of("/srv/web.socket", false), "web.socket");
        assert!(of("./web.socket", true).starts_with('/'));
        let rooted = Flags { root: Some("/r".into()), ..Flags::default() };
        assert!(operand(&rooted, "./web.socket", true).is_err());
    }
}
