//! `org.freedesktop.systemd1.Manager`: the methods that name a unit by text, the listings, and the manager's own state.
//!
//! Never here: a method that only pretends; what is missing is UnknownMethod, and clients know how to deal with that.
//! Invariant: a unit's name is checked, and links to units followed, before anything else sees it.

use std::path::Path;

use sockmgr_engine::{ActiveState, Engine, JobId, JobKind, Verb};
use sockmgr_unit::UnitName;

use super::dispatch::{Answer, Call};
use super::error::{BusError, ErrorName};
use super::interface::{Access, Argument, Field, Interface, Method, Signal};
use super::listing::Side;
use super::object::{find_job, resolve, resolve_known};
use super::value::Value;
use super::{Core, clean, install, listing, path, request, unit};

/// What `systemctl --version`-like clients see: the systemd release whose interfaces these are, and ours.
const VERSION: &str = concat!("252-sockmgr-", env!("CARGO_PKG_VERSION"));

pub(super) const NAME: &str = "org.freedesktop.systemd1.Manager";

pub(super) static INTERFACE: Interface =
    Interface { name: NAME, fields: FIELDS, methods: METHODS, signals: SIGNALS, files: None };

const FIELDS: &[Field] = &[
    Field::of_manager("Version", "s", |_| VERSION.into()),
    Field::of_manager("Architecture", "s", |_| architecture().into()),
    Field::of_manager("SystemState", "s", |core| system_state(core.engine()).into()),
    Field::of_manager("NNames", "u", |core| count(core.engine().unit_names()).into()),
    Field::of_manager("NFailedUnits", "u", |core| count(failed_units(core.engine())).into()),
    Field::of_manager("NJobs", "u", |core| count(core.engine().jobs()).into()),
    Field::of_manager("UnitPath", "as", unit_path),
    Field::of_manager("Environment", "as", |core| core.environment().into()),
];

fn count(things: impl Iterator) -> u32 {
    u32::try_from(things.count()).unwrap_or(u32::MAX)
}

/// The machine in systemd's spelling (systemd.unit(5), `ConditionArchitecture=`).
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64-le",
        "powerpc64" => "ppc64",
        other => other,
    }
}

fn failed_units(engine: &Engine) -> impl Iterator<Item = &UnitName> {
    engine
        .unit_names()
        .filter(|name| engine.unit(name).is_some_and(|view| view.active == ActiveState::Failed))
}

fn system_state(engine: &Engine) -> &'static str {
    let is_stopping =
        engine.jobs().any(|job| job.unit.as_str() == "shutdown.target" && job.kind == JobKind::Start);
    let is_starting =
        || engine.jobs().any(|job| job.unit.as_str() == "default.target" && job.kind == JobKind::Start);
    if is_stopping {
        "stopping"
    } else if is_starting() {
        "starting"
    } else if failed_units(engine).next().is_some() {
        "degraded"
    } else {
        "running"
    }
}

fn unit_path(core: &dyn Core) -> Value {
    let text = |path: &std::path::PathBuf| Path::display(path).to_string();
    core.unit_path().iter().map(text).collect::<Vec<_>>().into()
}

const NAME_MODE: &[Argument] = &[("name", "s"), ("mode", "s")];
const UNIT_NAME: &[Argument] = &[("name", "s")];
const JOB: &[Argument] = &[("job", "o")];
const UNIT: &[Argument] = &[("unit", "o")];
const JOBS: &[Argument] = &[("jobs", "a(usssoo)")];
const UNITS: &[Argument] = &[("units", "a(ssssssouso)")];

const FILES_RUNTIME: &[Argument] = &[("files", "as"), ("runtime", "b")];
const FILES_RUNTIME_FORCE: &[Argument] = &[("files", "as"), ("runtime", "b"), ("force", "b")];
const FILES_FLAGS: &[Argument] = &[("files", "as"), ("flags", "t")];
const CHANGES: &[Argument] = &[("changes", "a(sss)")];
const INSTALLED: &[Argument] = &[("carries_install_info", "b"), ("changes", "a(sss)")];
const UNIT_FILES: &[Argument] = &[("unit_files", "a(ss)")];

const METHODS: &[Method] = &[
    Method::any("GetUnit", Access::Read, UNIT_NAME, UNIT, get_unit),
    Method::any("GetUnitByPID", Access::Read, &[("pid", "u")], UNIT, get_unit_by_pid),
    Method::any("LoadUnit", Access::Read, UNIT_NAME, UNIT, load_unit),
    Method::any("StartUnit", Access::Change, NAME_MODE, JOB, |call| queue(call, Verb::Start)),
    Method::any("StopUnit", Access::Change, NAME_MODE, JOB, |call| queue(call, Verb::Stop)),
    Method::any("ReloadUnit", Access::Change, NAME_MODE, JOB, |call| queue(call, Verb::Reload)),
    Method::any("RestartUnit", Access::Change, NAME_MODE, JOB, |call| queue(call, Verb::Restart)),
    Method::any("TryRestartUnit", Access::Change, NAME_MODE, JOB, |call| queue(call, Verb::TryRestart)),
    Method::any("ReloadOrRestartUnit", Access::Change, NAME_MODE, JOB, |call| {
        queue(call, Verb::ReloadOrRestart)
    }),
    Method::any("ReloadOrTryRestartUnit", Access::Change, NAME_MODE, JOB, |call| {
        queue(call, Verb::ReloadOrTryRestart)
    }),
    Method::any(
        "EnqueueUnitJob",
        Access::Change,
        &[("name", "s"), ("job_type", "s"), ("job_mode", "s")],
        unit::ENQUEUED,
        enqueue,
    ),
    Method::any("KillUnit", Access::Change, &[("name", "s"), ("whom", "s"), ("signal", "i")], &[], kill),
    Method::any("CleanUnit", Access::Change, &[("name", "s"), ("mask", "as")], &[], clean_unit),
    Method::any("ResetFailedUnit", Access::Change, UNIT_NAME, &[], reset_failed_unit),
    Method::any("ResetFailed", Access::Change, &[], &[], |call| {
        call.core.reset_failed(None)?;
        call.answer(&())
    }),
    Method::any(
        "DumpUnitFileDescriptorStore",
        Access::Read,
        UNIT_NAME,
        &[("entries", "a(suuutuusu)")],
        dump_store,
    ),
    // As the methods of the unit's own object, which see.
    Method::any("RefUnit", Access::Change, UNIT_NAME, &[], get_ref),
    Method::any("UnrefUnit", Access::Change, UNIT_NAME, &[], get_ref),
    Method::any("GetJob", Access::Read, &[("id", "u")], JOB, get_job),
    Method::any("CancelJob", Access::Change, &[("id", "u")], &[], cancel_job),
    Method::any("ClearJobs", Access::Change, &[], &[], |call| {
        call.core.cancel_all();
        call.answer(&())
    }),
    Method::any("GetJobAfter", Access::Read, &[("id", "u")], JOBS, |call| {
        listing::jobs_of(call, Side::After)
    }),
    Method::any("GetJobBefore", Access::Read, &[("id", "u")], JOBS, |call| {
        listing::jobs_of(call, Side::Before)
    }),
    Method::any("ListJobs", Access::Read, &[], JOBS, listing::jobs),
    Method::any("ListUnits", Access::Read, &[], UNITS, listing::units),
    Method::any("ListUnitsFiltered", Access::Read, &[("states", "as")], UNITS, listing::units_filtered),
    Method::any(
        "ListUnitsByPatterns",
        Access::Read,
        &[("states", "as"), ("patterns", "as")],
        UNITS,
        listing::units_by_patterns,
    ),
    Method::any("ListUnitsByNames", Access::Read, &[("names", "as")], UNITS, listing::units_by_names),
    Method::any("Reload", Access::Change, &[], &[], reload),
    Method::any("SetEnvironment", Access::Change, &[("assignments", "as")], &[], |call| {
        let set: Vec<String> = call.arguments()?;
        change_environment(call, &[], &set)
    }),
    Method::any("UnsetEnvironment", Access::Change, &[("names", "as")], &[], |call| {
        let unset: Vec<String> = call.arguments()?;
        change_environment(call, &unset, &[])
    }),
    Method::any(
        "UnsetAndSetEnvironment",
        Access::Change,
        &[("names", "as"), ("assignments", "as")],
        &[],
        |call| {
            let (unset, set): (Vec<String>, Vec<String>) = call.arguments()?;
            change_environment(call, &unset, &set)
        },
    ),
    Method::any("EnableUnitFiles", Access::Change, FILES_RUNTIME_FORCE, INSTALLED, install::enable),
    Method::any(
        "EnableUnitFilesWithFlags",
        Access::Change,
        FILES_FLAGS,
        INSTALLED,
        install::enable_with_flags,
    ),
    Method::any("ReenableUnitFiles", Access::Change, FILES_RUNTIME_FORCE, INSTALLED, install::reenable),
    Method::any("DisableUnitFiles", Access::Change, FILES_RUNTIME, CHANGES, install::disable),
    Method::any(
        "DisableUnitFilesWithFlags",
        Access::Change,
        FILES_FLAGS,
        CHANGES,
        install::disable_with_flags,
    ),
    Method::any(
        "DisableUnitFilesWithFlagsAndInstallInfo",
        Access::Change,
        FILES_FLAGS,
        INSTALLED,
        install::disable_with_install,
    ),
    Method::any("MaskUnitFiles", Access::Change, FILES_RUNTIME_FORCE, CHANGES, install::mask),
    Method::any("UnmaskUnitFiles", Access::Change, FILES_RUNTIME, CHANGES, install::unmask),
    Method::any("LinkUnitFiles", Access::Change, FILES_RUNTIME_FORCE, CHANGES, install::link),
    Method::any("RevertUnitFiles", Access::Change, &[("files", "as")], CHANGES, install::revert),
    Method::any("PresetUnitFiles", Access::Change, FILES_RUNTIME_FORCE, INSTALLED, install::preset),
    Method::any(
        "PresetUnitFilesWithMode",
        Access::Change,
        &[("files", "as"), ("mode", "s"), ("runtime", "b"), ("force", "b")],
        INSTALLED,
        install::preset_with_mode,
    ),
    Method::any(
        "PresetAllUnitFiles",
        Access::Change,
        &[("mode", "s"), ("runtime", "b"), ("force", "b")],
        CHANGES,
        install::preset_all,
    ),
    Method::any(
        "AddDependencyUnitFiles",
        Access::Change,
        &[("files", "as"), ("target", "s"), ("type", "s"), ("runtime", "b"), ("force", "b")],
        CHANGES,
        install::add_dependency,
    ),
    Method::any(
        "SetDefaultTarget",
        Access::Change,
        &[("name", "s"), ("force", "b")],
        CHANGES,
        install::set_default,
    ),
    Method::any("GetDefaultTarget", Access::Read, &[], &[("name", "s")], install::get_default),
    Method::any("GetUnitFileState", Access::Read, &[("file", "s")], &[("state", "s")], install::state),
    Method::any(
        "GetUnitFileLinks",
        Access::Read,
        &[("name", "s"), ("runtime", "b")],
        &[("links", "as")],
        install::links,
    ),
    Method::any("ListUnitFiles", Access::Read, &[], UNIT_FILES, install::list),
    Method::any(
        "ListUnitFilesByPatterns",
        Access::Read,
        &[("states", "as"), ("patterns", "as")],
        UNIT_FILES,
        install::list_by_patterns,
    ),
    Method::any("Subscribe", Access::Read, &[], &[], |call| subscribe(call, true)),
    Method::any("Unsubscribe", Access::Read, &[], &[], |call| subscribe(call, false)),
];

const SIGNALS: &[Signal] = &[
    Signal { name: "UnitNew", arguments: &[("id", "s"), ("unit", "o")] },
    Signal { name: "UnitRemoved", arguments: &[("id", "s"), ("unit", "o")] },
    Signal { name: "JobNew", arguments: &[("id", "u"), ("job", "o"), ("unit", "s")] },
    Signal { name: "JobRemoved", arguments: &[("id", "u"), ("job", "o"), ("unit", "s"), ("result", "s")] },
    Signal { name: "Reloading", arguments: &[("active", "b")] },
    Signal { name: "UnitFilesChanged", arguments: &[] },
];

/// A checked unit name.
pub(super) fn parse_name(text: &str) -> Result<UnitName, BusError> {
    UnitName::new(text).map_err(|error| BusError::invalid_args(format!("Unit name is not valid: {error}")))
}

/// The unit of that name, after a look on disk if need be.
fn find(call: &mut Call<'_>, name: &str) -> Result<UnitName, BusError> {
    let name = parse_name(name)?;
    Ok(resolve(call.core, &name))
}

fn get_unit(call: &mut Call<'_>) -> Answer {
    let name = parse_name(&call.arguments::<String>()?)?;
    match resolve_known(call.core.engine(), &name) {
        Some(unit) => call.answer(&path::of_unit(&unit)),
        None => Err(BusError::new(ErrorName::NoSuchUnit, format!("Unit {name} not loaded."))),
    }
}

fn get_unit_by_pid(call: &mut Call<'_>) -> Answer {
    let pid: u32 = call.arguments()?;
    // 0 is the caller.
    let pid = if pid == 0 { call.caller.pid.unwrap_or(0) } else { pid };
    match call.core.engine().unit_of_pid(pid) {
        Some(unit) => call.answer(&path::of_unit(unit)),
        None => {
            let text = format!("PID {pid} does not belong to any loaded unit.");
            Err(BusError::new(ErrorName::NoUnitForPid, text))
        }
    }
}

fn load_unit(call: &mut Call<'_>) -> Answer {
    let name: String = call.arguments()?;
    let unit = find(call, &name)?;
    call.answer(&path::of_unit(&unit))
}

fn queue(call: &mut Call<'_>, verb: Verb) -> Answer {
    let (name, mode): (String, String) = call.arguments()?;
    let unit = find(call, &name)?;
    request::queue(call, unit, verb, &mode)
}

fn enqueue(call: &mut Call<'_>) -> Answer {
    let (name, kind, mode): (String, String, String) = call.arguments()?;
    let unit = find(call, &name)?;
    request::enqueue(call, unit, &kind, &mode)
}

fn kill(call: &mut Call<'_>) -> Answer {
    let (name, who, signal): (String, String, i32) = call.arguments()?;
    let unit = find(call, &name)?;
    request::kill(call, &unit, &who, signal)
}

fn clean_unit(call: &mut Call<'_>) -> Answer {
    let (name, mask): (String, Vec<String>) = call.arguments()?;
    let unit = find(call, &name)?;
    clean::clean(call, &unit, &mask)
}

fn reset_failed_unit(call: &mut Call<'_>) -> Answer {
    let name: String = call.arguments()?;
    let unit = find(call, &name)?;
    call.core.reset_failed(Some(&unit))?;
    call.answer(&())
}

/// The descriptors that a service has left with us, for `systemd-analyze fdstore` and our own `fds`.
fn dump_store(call: &mut Call<'_>) -> Answer {
    let name: String = call.arguments()?;
    let unit = find(call, &name)?;
    let rows: Vec<_> = call
        .core
        .stored_descriptors(&unit)
        .into_iter()
        .map(|fd| {
            let ((major, minor), (own_major, own_minor)) = (fd.device, fd.own_device);
            (fd.name, fd.mode, major, minor, fd.inode, own_major, own_minor, fd.path, fd.flags)
        })
        .collect();
    call.answer(&(rows,))
}

fn get_ref(call: &mut Call<'_>) -> Answer {
    let name: String = call.arguments()?;
    find(call, &name)?;
    call.answer(&())
}

fn get_job(call: &mut Call<'_>) -> Answer {
    let id = JobId(call.arguments()?);
    match find_job(call.core.engine(), id) {
        Some(job) => call.answer(&path::of_job(job.id)),
        None => Err(BusError::new(ErrorName::NoSuchJob, format!("Job {id} does not exist."))),
    }
}

fn change_environment(call: &mut Call<'_>, unset: &[String], set: &[String]) -> Answer {
    call.core.change_environment(unset, set).map_err(BusError::invalid_args)?;
    call.answer(&())
}

fn cancel_job(call: &mut Call<'_>) -> Answer {
    let id = JobId(call.arguments()?);
    call.core.cancel(id)?;
    call.answer(&())
}

fn reload(call: &mut Call<'_>) -> Answer {
    call.core.reload().map_err(|error| BusError::new(ErrorName::Failed, error))?;
    call.outcome.reloaded = true;
    call.answer(&())
}

fn subscribe(call: &mut Call<'_>, on: bool) -> Answer {
    match (on, call.caller.is_subscribed) {
        (true, true) => Err(BusError::new(ErrorName::AlreadySubscribed, "Client is already subscribed.")),
        (false, false) => Err(BusError::new(ErrorName::NotSubscribed, "Client is not subscribed.")),
        _ => {
            call.outcome.subscription = Some(on);
            call.answer(&())
        }
    }
}
