//! Objects: what a path stands for, and which interfaces it has.
//!
//! Never here: what the interfaces do. Invariant: every valid unit name has an object, also of a unit that nobody knows;
//! clients ask `is-active` of those too.

use sockmgr_engine::{Engine, JobId};
use sockmgr_unit::{UnitName, UnitType};

use super::error::{BusError, ErrorName};
use super::interface::Interface;
use super::subject::{Subject, UnitSubject};
use super::{Core, generation, group, job, manager, own, path, service, socket, standard, unit};

/// What a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Manager,
    Unit(UnitName),
    Job(JobId),
    /// A path that only leads to others.
    Parent(&'static str),
}

/// Paths above the objects.
const PARENTS: [&str; 5] = ["/", "/org", "/org/freedesktop", path::UNITS, path::JOBS];

impl Object {
    /// The object at `path`. A unit is looked for on disk where it is not known; `pid` is the caller's, for `unit/self`.
    pub(super) fn at(core: &mut dyn Core, path: &str, pid: Option<u32>) -> Result<Self, BusError> {
        if path == path::MANAGER {
            return Ok(Self::Manager);
        }
        if let Some(parent) = PARENTS.into_iter().find(|parent| *parent == path) {
            return Ok(Self::Parent(parent));
        }
        let (parent, label) = path.rsplit_once('/').unwrap_or_default();
        match parent {
            path::UNITS if label == "self" => own_unit(core.engine(), pid),
            path::UNITS => unit_at(core, label),
            path::JOBS => job_at(core.engine(), label).ok_or_else(|| unknown(path)),
            _ => Err(unknown(path)),
        }
    }

    /// The object at this moment.
    pub(super) fn subject<'a>(&self, core: &'a dyn Core) -> Subject<'a> {
        match self {
            Self::Manager => Subject::Manager(core),
            Self::Unit(name) => Subject::Unit(Box::new(UnitSubject::new(core, name))),
            Self::Job(id) => find_job(core.engine(), *id).map_or(Subject::Parent, Subject::Job),
            Self::Parent(_) => Subject::Parent,
        }
    }

    /// Its interfaces: its own, then those that every object has.
    pub(super) fn interfaces(&self, engine: &Engine) -> Vec<&'static Interface> {
        let mut interfaces = match self {
            Self::Manager => vec![&manager::INTERFACE, &own::INTERFACE],
            Self::Unit(name) => unit_interfaces(engine, name),
            Self::Job(_) => vec![&job::INTERFACE],
            Self::Parent(_) => Vec::new(),
        };
        interfaces.extend(standard::INTERFACES);
        interfaces
    }
}

/// The interfaces of a unit's own.
pub(super) fn unit_interfaces(engine: &Engine, name: &UnitName) -> Vec<&'static Interface> {
    let mut interfaces = vec![&unit::INTERFACE];
    match name.unit_type() {
        UnitType::Service => {
            interfaces.push(&service::INTERFACE);
            if group::is_group(engine, name) {
                interfaces.push(&group::INTERFACE);
            } else {
                interfaces.push(&generation::INTERFACE);
            }
        }
        UnitType::Socket => interfaces.extend([&socket::INTERFACE, &socket::OWN]),
        UnitType::Target => interfaces.push(&unit::TARGET),
        _ => {}
    }
    interfaces
}

/// The unit's own name for `name`, which may be a link to it; where it is not known, the disk is asked.
pub(super) fn resolve(core: &mut dyn Core, name: &UnitName) -> UnitName {
    if let Some(known) = resolve_known(core.engine(), name) {
        return known;
    }
    core.find(name);
    resolve_known(core.engine(), name).unwrap_or_else(|| name.clone())
}

/// The same, of known units only.
pub(super) fn resolve_known(engine: &Engine, name: &UnitName) -> Option<UnitName> {
    if engine.unit(name).is_some() {
        return Some(name.clone());
    }
    let is_alias = |unit: &&UnitName| engine.unit(unit).is_some_and(|view| view.unit.aliases.contains(name));
    engine.unit_names().find(is_alias).cloned()
}

/// The job of this number.
pub(super) fn find_job(engine: &Engine, id: JobId) -> Option<sockmgr_engine::JobView<'_>> {
    engine.jobs().find(|job| job.id == id)
}

fn unit_at(core: &mut dyn Core, label: &str) -> Result<Object, BusError> {
    let name = path::unescape(label).unwrap_or_else(|| label.to_owned());
    let name = manager::parse_name(&name)?;
    if name.is_template() {
        return Err(BusError::invalid_args(format!("Unit name {name} is missing the instance name.")));
    }
    Ok(Object::Unit(resolve(core, &name)))
}

fn own_unit(engine: &Engine, pid: Option<u32>) -> Result<Object, BusError> {
    let unit = pid.and_then(|pid| engine.unit_of_pid(pid)).cloned();
    let error = || BusError::new(ErrorName::NoUnitForPid, "Client does not belong to any known unit.");
    unit.map(Object::Unit).ok_or_else(error)
}

fn job_at(engine: &Engine, label: &str) -> Option<Object> {
    let id = JobId(label.parse().ok()?);
    find_job(engine, id).map(|_| Object::Job(id))
}

fn unknown(path: &str) -> BusError {
    BusError::new(ErrorName::UnknownObject, format!("Unknown object '{path}'."))
}
