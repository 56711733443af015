//! `CleanUnit`: what a unit has left on disk is removed (systemctl(1), `clean`).
//!
//! Never here: where that is. Invariant: nothing is taken from a unit that is not down.

use sockmgr_engine::ActiveState;
use sockmgr_unit::section::ExecSection;
use sockmgr_unit::{LoadState, Unit, UnitName};

use super::dispatch::{Answer, Call};
use super::error::{BusError, ErrorName};

/// What can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `RuntimeDirectory=`
    Runtime,
    /// `StateDirectory=`
    State,
    /// `CacheDirectory=`
    Cache,
    /// `LogsDirectory=`
    Logs,
    /// `ConfigurationDirectory=`
    Configuration,
}

impl Resource {
    const ALL: [Self; 5] = [Self::Runtime, Self::State, Self::Cache, Self::Logs, Self::Configuration];

    fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::State => "state",
            Self::Cache => "cache",
            Self::Logs => "logs",
            Self::Configuration => "configuration",
        }
    }

    fn is_in(self, exec: &ExecSection) -> bool {
        let directories = match self {
            Self::Runtime => &exec.runtime_directory,
            Self::State => &exec.state_directory,
            Self::Cache => &exec.cache_directory,
            Self::Logs => &exec.logs_directory,
            Self::Configuration => &exec.configuration_directory,
        };
        !directories.is_empty()
    }

    /// Those that words name.
    fn named(words: &[String]) -> Result<Vec<Self>, BusError> {
        let mut wanted = Vec::new();
        for word in words {
            match Self::ALL.iter().find(|resource| resource.as_str() == word) {
                Some(resource) => wanted.push(*resource),
                None if word == "all" => wanted.extend(Self::ALL),
                None => return Err(BusError::invalid_args(format!("Invalid resource type: {word}"))),
            }
        }
        Ok(wanted)
    }
}

/// What a unit's processes have; nothing for what runs none.
fn exec_of(unit: &Unit) -> Option<&ExecSection> {
    let of_service = unit.service().map(|service| &*service.exec);
    of_service.or_else(|| unit.socket_unit().map(|socket| &*socket.exec))
}

/// What there is to remove of a unit: `CanClean`.
fn cleanable(unit: &Unit) -> impl Iterator<Item = Resource> {
    let exec = exec_of(unit).filter(|_| unit.load_state == LoadState::Loaded);
    Resource::ALL.into_iter().filter(move |resource| exec.is_some_and(|exec| resource.is_in(exec)))
}

/// `CanClean`
pub(super) fn names(unit: &Unit) -> Vec<String> {
    cleanable(unit).map(|resource| resource.as_str().to_owned()).collect()
}

/// Removes what is named of a unit.
pub(super) fn clean(call: &mut Call<'_>, name: &UnitName, words: &[String]) -> Answer {
    let wanted = Resource::named(words)?;
    let Some(view) = call.core.engine().unit(name) else {
        return Err(BusError::new(ErrorName::NoSuchUnit, format!("Unit {name} not loaded.")));
    };
    if exec_of(view.unit).is_none() {
        let text = format!("Unit '{name}' does not support cleaning.");
        return Err(BusError::new(ErrorName::NotSupported, text));
    }
    if view.active != ActiveState::Inactive || view.job.is_some() {
        let text = "Unit is not inactive or has pending job.";
        return Err(BusError::new(ErrorName::UnitBusy, text));
    }
    let resources: Vec<Resource> =
        cleanable(view.unit).filter(|resource| wanted.contains(resource)).collect();
    if resources.is_empty() {
        return Err(BusError::new(ErrorName::NothingToClean, "No matching resources found."));
    }
    call.core.clean(name, &resources).map_err(|why| BusError::new(ErrorName::Failed, why))?;
    call.answer(&())
}
