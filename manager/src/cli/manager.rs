//! The manager as the command sees it: the calls of `org.freedesktop.systemd1` with their types.
//!
//! Nothing is printed or decided here. Invariant: every method name, interface and signature of the manager's API that the
//! command uses is written in this file.

use std::collections::HashSet;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use zbus::wire::{DynamicType, OwnedObjectPath, OwnedVariant, Signature, Type, Variant};

use super::bus::{Bus, BusError, Call, Signal};
use super::job_list::JobRow;
use super::names::{type_of, unit_path};
use crate::install::{Manner, Request};

/// What all interface names begin with.
const API: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
/// What is sockmgr's own.
const OWN: &str = "org.sockmgr.Manager1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// One row of `ListUnitsByPatterns`: a loaded unit.
#[derive(Debug, Clone, Deserialize, Type)]
pub(crate) struct ListedUnit {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) load_state: String,
    pub(crate) active_state: String,
    pub(crate) sub_state: String,
    /// The unit whose state this one follows, or nothing.
    pub(crate) following: String,
    _path: OwnedObjectPath,
    /// 0 without a job.
    pub(crate) job: u32,
    pub(crate) job_type: String,
    _job_path: OwnedObjectPath,
}

/// The end of a job.
#[derive(Debug)]
pub(crate) struct JobRemoved {
    /// The job's object path.
    pub(crate) job: String,
    pub(crate) unit: String,
    /// `done`, `failed`, `canceled`, …
    pub(crate) result: String,
}

/// One process of a unit: its control group, pid and command line.
pub(crate) type UnitProcess = (String, u32, String);

/// What was done to unit files.
#[derive(Debug)]
pub(crate) struct UnitFileChanges {
    /// Whether the units had anything to enable.
    pub(crate) has_install: bool,
    pub(crate) rows: Vec<ChangeRow>,
}

/// What, the file, and what the file is now.
pub(crate) type ChangeRow = (String, String, String);

/// A connection to a manager.
#[derive(Debug)]
pub(crate) struct Manager {
    bus: Bus,
}

/// A descriptor that a service has left with the manager: a row of `DumpUnitFileDescriptorStore`.
#[derive(Debug, serde::Deserialize, zbus::wire::Type)]
pub(crate) struct StoredDescriptor {
    pub(crate) name: String,
    pub(crate) mode: u32,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) inode: u64,
    pub(crate) own_major: u32,
    pub(crate) own_minor: u32,
    pub(crate) path: String,
    pub(crate) flags: u32,
}

impl Manager {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus }
    }

    fn call<T, B>(&mut self, member: &str, body: B) -> Result<T, BusError>
    where
        T: DeserializeOwned + Type,
        B: Serialize + DynamicType,
    {
        self.bus.call(&manager_call(member, body))
    }

    /// Loaded units in any of `states` whose name matches any of `patterns`; an empty list means all.
    pub(crate) fn list_units(
        &mut self,
        states: &[String],
        patterns: &[String],
    ) -> Result<Vec<ListedUnit>, BusError> {
        self.call("ListUnitsByPatterns", (states, patterns))
    }

    /// Asks for a job on each unit; the answers, in order, are the jobs' object paths.
    pub(crate) fn enqueue(
        &mut self,
        method: &str,
        units: &[String],
        mode: &str,
    ) -> Result<Vec<Result<String, BusError>>, BusError> {
        let calls = units.iter().map(|unit| manager_call(method, (unit.as_str(), mode)));
        let answers = self.bus.pipeline::<OwnedObjectPath, _>(calls)?;
        Ok(answers.into_iter().map(|answer| answer.map(|path| path.to_string())).collect())
    }

    /// Does what is asked of a group, an instance or a socket; the answer is the jobs' object paths.
    pub(crate) fn direct(&mut self, verb: GroupVerb, unit: &str) -> Result<Vec<String>, BusError> {
        let (member, interface) = (verb.method(), OWN);
        let jobs: Vec<OwnedObjectPath> = match verb {
            GroupVerb::Scale(count) => {
                self.bus.call(&Call { path: MANAGER_PATH, interface, member, body: (unit, count) })?
            }
            GroupVerb::ResetScale
            | GroupVerb::Drain
            | GroupVerb::Undrain
            | GroupVerb::Hold
            | GroupVerb::Release
            | GroupVerb::StartRollout
            | GroupVerb::PauseRollout
            | GroupVerb::ResumeRollout
            | GroupVerb::UndoRollout => {
                self.bus.call(&Call { path: MANAGER_PATH, interface, member, body: (unit,) })?
            }
        };
        Ok(jobs.iter().map(ToString::to_string).collect())
    }

    /// The slots of the groups that patterns name, or of all.
    pub(crate) fn instances(&mut self, patterns: &[String]) -> Result<Vec<Properties>, BusError> {
        let call = Call { path: MANAGER_PATH, interface: OWN, member: "ListInstances", body: (patterns,) };
        self.bus.call(&call)
    }

    /// How far the rollout of a group is, empty without one, and why it stopped or was undone.
    pub(crate) fn rollout(&mut self, group: &str) -> Result<(String, String), BusError> {
        self.bus.call(&Call { path: MANAGER_PATH, interface: OWN, member: "GetRollout", body: (group,) })
    }

    /// Waits until one of `jobs` is done.
    pub(crate) fn wait_job(&mut self, jobs: &HashSet<String>) -> Result<JobRemoved, BusError> {
        loop {
            let Some(signal) = self.bus.next_signal(None)? else { continue };
            if signal.member != "JobRemoved" {
                continue;
            }
            let (_, job, unit, result): (u32, OwnedObjectPath, String, String) = signal.arguments()?;
            if jobs.contains(job.as_str()) {
                return Ok(JobRemoved { job: job.to_string(), unit, result });
            }
        }
    }

    /// Waits for any signal, at most `timeout`.
    pub(crate) fn wait_signal(
        &mut self,
        timeout: Option<std::time::Duration>,
    ) -> Result<Option<Signal>, BusError> {
        self.bus.next_signal(timeout)
    }

    pub(crate) fn kill_unit(&mut self, unit: &str, whom: &str, signal: i32) -> Result<(), BusError> {
        self.call("KillUnit", (unit, whom, signal))
    }

    pub(crate) fn clean_unit(&mut self, unit: &str, what: &[String]) -> Result<(), BusError> {
        self.call("CleanUnit", (unit, what))
    }

    pub(crate) fn reset_failed(&mut self) -> Result<(), BusError> {
        self.call("ResetFailed", ())
    }

    pub(crate) fn reset_failed_unit(&mut self, unit: &str) -> Result<(), BusError> {
        self.call("ResetFailedUnit", (unit,))
    }

    pub(crate) fn list_jobs(&mut self) -> Result<Vec<JobRow>, BusError> {
        self.call("ListJobs", ())
    }

    /// `GetJobAfter` or `GetJobBefore`.
    pub(crate) fn jobs_beside(&mut self, method: &str, job: u32) -> Result<Vec<JobRow>, BusError> {
        self.call(method, (job,))
    }

    pub(crate) fn cancel_job(&mut self, job: u32) -> Result<(), BusError> {
        self.call("CancelJob", (job,))
    }

    pub(crate) fn clear_jobs(&mut self) -> Result<(), BusError> {
        self.call("ClearJobs", ())
    }

    pub(crate) fn reload(&mut self) -> Result<(), BusError> {
        self.call("Reload", ())
    }

    /// Has unit files changed.
    pub(crate) fn change_unit_files(
        &mut self,
        request: &Request,
        manner: Manner,
    ) -> Result<UnitFileChanges, BusError> {
        let Manner { runtime, force } = manner;
        let of = |(has_install, rows)| UnitFileChanges { has_install, rows };
        let only = |(rows,): (Vec<ChangeRow>,)| UnitFileChanges { has_install: true, rows };
        match request {
            Request::Enable(units) => self.call("EnableUnitFiles", (units, runtime, force)).map(of),
            Request::Reenable(units) => self.call("ReenableUnitFiles", (units, runtime, force)).map(of),
            Request::Preset(units, mode) => {
                let mode = mode.as_str();
                self.call("PresetUnitFilesWithMode", (units, mode, runtime, force)).map(of)
            }
            Request::PresetAll(mode) => {
                self.call("PresetAllUnitFiles", (mode.as_str(), runtime, force)).map(only)
            }
            Request::Disable(units) => self.call("DisableUnitFiles", (units, runtime)).map(only),
            Request::Mask(units) => self.call("MaskUnitFiles", (units, runtime, force)).map(only),
            Request::Unmask(units) => self.call("UnmaskUnitFiles", (units, runtime)).map(only),
            Request::Link(units) => self.call("LinkUnitFiles", (units, runtime, force)).map(only),
            Request::Revert(units) => self.call("RevertUnitFiles", (units,)).map(only),
            Request::AddDependency { units, target, kind } => {
                let body = (units, target, kind.as_str(), runtime, force);
                self.call("AddDependencyUnitFiles", body).map(only)
            }
            Request::SetDefault(name) => self.call("SetDefaultTarget", (name, true)).map(only),
        }
    }

    /// Takes variables out of what all services inherit, and puts others in.
    pub(crate) fn change_environment(&mut self, unset: &[String], set: &[String]) -> Result<(), BusError> {
        self.call("UnsetAndSetEnvironment", (unset, set))
    }

    /// The state of a unit's file.
    pub(crate) fn unit_file_state(&mut self, unit: &str) -> Result<String, BusError> {
        self.call("GetUnitFileState", (unit,))
    }

    /// The links to a unit's file.
    pub(crate) fn unit_file_links(&mut self, unit: &str) -> Result<Vec<String>, BusError> {
        self.call("GetUnitFileLinks", (unit, false))
    }

    /// Path and state of every unit file.
    pub(crate) fn list_unit_files(&mut self) -> Result<Vec<(String, String)>, BusError> {
        self.call("ListUnitFiles", ())
    }

    /// The target that is the default.
    pub(crate) fn default_target(&mut self) -> Result<String, BusError> {
        self.call("GetDefaultTarget", ())
    }

    /// The processes of a unit.
    pub(crate) fn processes(&mut self, unit: &str) -> Result<Vec<UnitProcess>, BusError> {
        self.call("GetUnitProcesses", (unit,))
    }

    /// The descriptors that a service has left with the manager.
    pub(crate) fn stored_descriptors(&mut self, unit: &str) -> Result<Vec<StoredDescriptor>, BusError> {
        self.call("DumpUnitFileDescriptorStore", (unit,))
    }

    /// The object path of the unit a process belongs to.
    pub(crate) fn unit_of_pid(&mut self, pid: u32) -> Result<String, BusError> {
        self.call::<OwnedObjectPath, _>("GetUnitByPID", (pid,)).map(|path| path.to_string())
    }

    /// `running`, `degraded`, `starting`, …
    pub(crate) fn system_state(&mut self) -> Result<String, BusError> {
        let call = get(MANAGER_PATH, MANAGER, "SystemState");
        self.bus.call::<OwnedVariant, _>(&call).map(|value| text_of(&value))
    }

    /// One text property of the Unit interface, of many units at once.
    pub(crate) fn unit_texts(
        &mut self,
        units: &[String],
        property: &str,
    ) -> Result<Vec<Result<String, BusError>>, BusError> {
        let paths: Vec<String> = units.iter().map(|unit| unit_path(unit)).collect();
        let answers = self.bus.pipeline(paths.iter().map(|path| get(path, UNIT, property)))?;
        Ok(answers.into_iter().map(|answer| answer.map(|value: OwnedVariant| text_of(&value))).collect())
    }

    /// One property of any type of many units at once; what a unit does not have is absent.
    pub(crate) fn unit_values(
        &mut self,
        units: &[String],
        interface: Interface,
        property: &str,
    ) -> Result<Vec<Option<OwnedVariant>>, BusError> {
        let places: Vec<(String, String)> =
            units.iter().map(|unit| (unit_path(unit), interface.of(unit))).collect();
        let answers =
            self.bus.pipeline(places.iter().map(|(path, interface)| get(path, interface, property)))?;
        Ok(answers.into_iter().map(Result::ok).collect())
    }

    /// All properties of the manager.
    pub(crate) fn own_properties(&mut self) -> Result<Properties, BusError> {
        self.bus.call(&get_all(MANAGER_PATH))
    }

    /// All properties of many objects at once.
    pub(crate) fn properties(
        &mut self,
        paths: &[String],
    ) -> Result<Vec<Result<Properties, BusError>>, BusError> {
        self.bus.pipeline(paths.iter().map(|path| get_all(path)))
    }
}

/// What is asked of a group, an instance or a socket beside jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupVerb {
    Scale(u32),
    ResetScale,
    Drain,
    Undrain,
    Hold,
    Release,
    StartRollout,
    PauseRollout,
    ResumeRollout,
    UndoRollout,
}

impl GroupVerb {
    fn method(self) -> &'static str {
        match self {
            Self::Scale(_) => "ScaleUnit",
            Self::ResetScale => "ResetScale",
            Self::Drain => "DrainUnit",
            Self::Undrain => "UndrainUnit",
            Self::Hold => "HoldUnit",
            Self::Release => "ReleaseUnit",
            Self::StartRollout => "StartRollout",
            Self::PauseRollout => "PauseRollout",
            Self::ResumeRollout => "ResumeRollout",
            Self::UndoRollout => "UndoRollout",
        }
    }

    /// As it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Scale(_) | Self::ResetScale => "scale",
            Self::Drain => "drain",
            Self::Undrain => "undrain",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::StartRollout => "roll out",
            Self::PauseRollout => "pause the rollout of",
            Self::ResumeRollout => "resume the rollout of",
            Self::UndoRollout => "undo the rollout of",
        }
    }
}

/// Which of a unit's interfaces a property belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    /// The one all units have.
    Unit,
    /// The one of the unit's type: Socket, Service, …
    Type,
}

impl Interface {
    fn of(self, unit: &str) -> String {
        match self {
            Self::Unit => UNIT.to_owned(),
            Self::Type => {
                let mut kind = type_of(unit).to_owned();
                if let Some(first) = kind.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                format!("{API}.{kind}")
            }
        }
    }
}

fn manager_call<B>(member: &str, body: B) -> Call<'_, B> {
    Call { path: MANAGER_PATH, interface: MANAGER, member, body }
}

fn get<'a>(path: &'a str, interface: &'a str, property: &'a str) -> Call<'a, (&'a str, &'a str)> {
    Call { path, interface: PROPERTIES, member: "Get", body: (interface, property) }
}

/// The empty interface name means all interfaces together, as with systemd.
fn get_all(path: &str) -> Call<'_, (&'static str,)> {
    Call { path, interface: PROPERTIES, member: "GetAll", body: ("",) }
}

fn text_of(value: &Variant<'_>) -> String {
    match value {
        Variant::Str(text) => text.to_string(),
        _ => String::new(),
    }
}

/// The properties of one object in the order the manager sent them. A property that is absent or of another type than
/// expected reads as empty, so that a manager may know more or less than this command.
#[derive(Debug)]
pub(crate) struct Properties(Vec<(String, OwnedVariant)>);

impl Properties {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Variant<'static>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Variant<'static>> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Variant::Str(text)) => text.as_str(),
            _ => "",
        }
    }

    pub(crate) fn u32(&self, name: &str) -> u32 {
        self.get(name).and_then(|value| u32::try_from(value).ok()).unwrap_or(0)
    }

    pub(crate) fn i32(&self, name: &str) -> i32 {
        self.get(name).and_then(|value| i32::try_from(value).ok()).unwrap_or(0)
    }

    /// A number that systemd gives as `UINT64_MAX` where it is not known.
    pub(crate) fn u64(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(|value| u64::try_from(value).ok()).filter(|number| *number != u64::MAX)
    }

    pub(crate) fn f64(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(|value| f64::try_from(value).ok())
    }

    pub(crate) fn bool(&self, name: &str) -> bool {
        self.get(name).and_then(|value| bool::try_from(value).ok()).unwrap_or(false)
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.get(name).map(texts).unwrap_or_default()
    }

    /// A list of structures, decoded.
    pub(crate) fn rows<T>(&self, name: &str) -> Vec<T>
    where
        T: for<'a> TryFrom<Variant<'a>>,
    {
        self.get(name).map(rows).unwrap_or_default()
    }
}

/// A list of texts.
pub(crate) fn texts(value: &Variant<'_>) -> Vec<String> {
    match value {
        Variant::Array(array) => array.inner().iter().map(text_of).collect(),
        _ => Vec::new(),
    }
}

/// A list of structures; those of another shape are left out.
pub(crate) fn rows<T>(value: &Variant<'_>) -> Vec<T>
where
    T: for<'a> TryFrom<Variant<'a>>,
{
    match value {
        Variant::Array(array) => {
            array.inner().iter().filter_map(|row| T::try_from(row.try_clone().ok()?).ok()).collect()
        }
        _ => Vec::new(),
    }
}

impl Type for Properties {
    const SIGNATURE: &'static Signature = &Signature::static_dict(&Signature::Str, &Signature::Variant);
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ordered;
        impl<'de> Visitor<'de> for Ordered {
            type Value = Properties;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a dictionary of properties")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Properties, A::Error> {
                let mut properties = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    properties.push(entry);
                }
                Ok(Properties(properties))
            }
        }
        deserializer.deserialize_map(Ordered)
    }
}

#[cfg(test)]
impl Properties {
    /// Properties for tests.
    pub(crate) fn of<const N: usize>(properties: [(&str, Variant<'static>); N]) -> Self {
        let own = |(name, value): (&str, Variant<'static>)| {
            (name.to_owned(), OwnedVariant::try_from(value).unwrap())
        };
        Self(properties.into_iter().map(own).collect())
    }
}
