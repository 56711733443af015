//! The directories that a unit's processes are given (systemd.exec(5), `RuntimeDirectory=` and its like).
//!
//! The manager makes them before the start: it has the keeper's privileges, and the child makes no more system calls than it must.
//! Never here: how that is safe; see `sys/src/directories.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use sockmgr_sys::SysError;
use sockmgr_sys::directories;
use sockmgr_sys::spawn::SpawnStep;
use sockmgr_unit::Mode;
use sockmgr_unit::section::ExecSection;
use sockmgr_unit::specifier::Directories as Places;
use sockmgr_unit::value::Directories;

use super::identity::Identity;
use super::listeners::chain;
use super::plan::PlanError;
use crate::control::Resource;
use crate::paths::Scope;

/// What directories are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Runtime,
    State,
    Cache,
    Logs,
    Configuration,
}

impl Purpose {
    const ALL: [Self; 5] = [Self::Runtime, Self::State, Self::Cache, Self::Logs, Self::Configuration];

    /// Those that are there when the user who owned them is not any more.
    const KEPT: [Self; 3] = [Self::State, Self::Cache, Self::Logs];

    fn of(resource: Resource) -> Self {
        match resource {
            Resource::Runtime => Self::Runtime,
            Resource::State => Self::State,
            Resource::Cache => Self::Cache,
            Resource::Logs => Self::Logs,
            Resource::Configuration => Self::Configuration,
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Runtime => "RUNTIME_DIRECTORY",
            Self::State => "STATE_DIRECTORY",
            Self::Cache => "CACHE_DIRECTORY",
            Self::Logs => "LOGS_DIRECTORY",
            Self::Configuration => "CONFIGURATION_DIRECTORY",
        }
    }

    fn step(self) -> SpawnStep {
        match self {
            Self::Runtime => SpawnStep::RuntimeDirectory,
            Self::State => SpawnStep::StateDirectory,
            Self::Cache => SpawnStep::CacheDirectory,
            Self::Logs => SpawnStep::LogsDirectory,
            Self::Configuration => SpawnStep::ConfigurationDirectory,
        }
    }

    fn place(self, places: &Places) -> &Path {
        Path::new(match self {
            Self::Runtime => &*places.runtime,
            Self::State => &*places.state,
            Self::Cache => &*places.cache,
            Self::Logs => &*places.logs,
            Self::Configuration => &*places.configuration,
        })
    }

    fn wanted(self, exec: &ExecSection) -> (&Directories, Mode) {
        match self {
            Self::Runtime => (&exec.runtime_directory, exec.runtime_directory_mode),
            Self::State => (&exec.state_directory, exec.state_directory_mode),
            Self::Cache => (&exec.cache_directory, exec.cache_directory_mode),
            Self::Logs => (&exec.logs_directory, exec.logs_directory_mode),
            Self::Configuration => (&exec.configuration_directory, exec.configuration_directory_mode),
        }
    }
}

/// Makes all directories of a unit, each with its links, and gives them to the user of its processes. A user's manager can give
/// nothing away, and what is configured nobody's process shall write.
pub(super) fn make(
    exec: &ExecSection,
    places: &Places,
    scope: Scope,
    identity: &Identity,
) -> Result<(), PlanError> {
    for purpose in Purpose::ALL {
        let (wanted, _) = purpose.wanted(exec);
        for directory in wanted.iter() {
            let failed = |error: SysError| {
                let path = purpose.place(places).join(&*directory.path);
                PlanError::Step(purpose.step(), format!("{}: {}", path.display(), chain(&error)))
            };
            make_one(exec, purpose, places, &directory.path, scope, identity).map_err(failed)?;
            for link in &directory.links {
                directories::link(purpose.place(places), link, &directory.path).map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn make_one(
    exec: &ExecSection,
    purpose: Purpose,
    places: &Places,
    path: &str,
    scope: Scope,
    identity: &Identity,
) -> Result<(), SysError> {
    let (place, (_, Mode(mode))) = (purpose.place(places), purpose.wanted(exec));
    let owner = (scope == Scope::System && purpose != Purpose::Configuration).then(|| identity.owner());
    match owner {
        _ if purpose == Purpose::Configuration && place.join(path).is_dir() => Ok(()),
        owner => directories::make(place, path, mode, owner),
    }
}

/// `RUNTIME_DIRECTORY` and its like: all paths of a purpose, with colons between.
pub(super) fn variables(exec: &ExecSection, places: &Places) -> Vec<(&'static str, String)> {
    let path = |purpose: Purpose, path: &str| purpose.place(places).join(path).display().to_string();
    let paths = |purpose: Purpose| -> Vec<String> {
        purpose.wanted(exec).0.iter().map(|directory| path(purpose, &directory.path)).collect()
    };
    let all = Purpose::ALL.into_iter().map(|purpose| (purpose.variable(), paths(purpose).join(":")));
    all.filter(|(_, paths)| !paths.is_empty()).collect()
}

/// Where the processes of a unit may write whatever it says about all else: its directories, but for those of configuration.
pub(super) fn writable(exec: &ExecSection, places: &Places) -> Vec<String> {
    let purposes = Purpose::ALL.into_iter().filter(|purpose| *purpose != Purpose::Configuration);
    let paths = purposes.flat_map(|purpose| {
        let place = purpose.place(places);
        purpose.wanted(exec).0.iter().map(|directory| place.join(&*directory.path).display().to_string())
    });
    paths.collect()
}

/// Removes all directories of a purpose, with what is in them.
pub(super) fn remove(exec: &ExecSection, what: Resource, places: &Places) -> Vec<SysError> {
    let purpose = Purpose::of(what);
    let place = purpose.place(places);
    let mut errors = Vec::new();
    for directory in purpose.wanted(exec).0.iter() {
        errors.extend(directory.links.iter().filter_map(|link| directories::remove_link(place, link).err()));
        errors.extend(directories::remove(place, &directory.path).err());
    }
    errors
}

/// Who a dynamic user was the last time: the owner of what is kept.
pub(super) fn former_owner(exec: &ExecSection, places: &Places) -> Option<u32> {
    let mut directories = Purpose::KEPT.into_iter().flat_map(|purpose| {
        purpose.wanted(exec).0.iter().map(move |directory| (purpose.place(places), &*directory.path))
    });
    directories.find_map(|(place, path)| directories::owner(place, path)).map(|owner| owner.uid)
}

/// Whose directories are kept: an id of these must be given to nobody else.
pub(super) fn owners(places: &Places) -> BTreeSet<u32> {
    Purpose::KEPT.into_iter().flat_map(|purpose| directories::owners(purpose.place(places))).collect()
}
