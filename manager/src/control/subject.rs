//! Subjects: what the getters of the property tables look at, one object at one moment.
//!
//! Never here: the tables. Invariant: a unit that nobody knows is a subject too; it is down and was not found.

use std::sync::Arc;

use sockmgr_engine::{ActiveState, GroupView, JobView, MachineView, ServiceView, SocketView, Time, UnitView};
use sockmgr_unit::{LoadState, Unit, UnitKind, UnitName, UnitType};

use super::Core;

/// An object at one moment.
pub(super) enum Subject<'a> {
    /// The manager.
    Manager(&'a dyn Core),
    /// A unit, known or not.
    Unit(Box<UnitSubject<'a>>),
    /// A job.
    Job(JobView<'a>),
    /// A path that only leads to others.
    Parent,
}

/// A unit at one moment.
pub(super) struct UnitSubject<'a> {
    pub(super) core: &'a dyn Core,
    /// Its settings.
    pub(super) unit: Arc<Unit>,
    /// Its state; `None`: it is not known.
    pub(super) view: Option<UnitView<'a>>,
}

impl<'a> UnitSubject<'a> {
    pub(super) fn new(core: &'a dyn Core, name: &UnitName) -> Self {
        let view = core.engine().unit(name);
        let unit = view.as_ref().map_or_else(|| Arc::new(not_found(name)), |view| view.unit.clone());
        Self { core, unit, view }
    }

    pub(super) fn active_state(&self) -> ActiveState {
        self.view.as_ref().map_or(ActiveState::Inactive, |view| view.active)
    }

    pub(super) fn sub_state(&self) -> &'static str {
        self.view.as_ref().map_or("dead", |view| view.sub)
    }

    pub(super) fn socket(&self) -> Option<SocketView> {
        match self.view.as_ref()?.machine {
            MachineView::Socket(socket) => Some(socket),
            MachineView::Service(_) | MachineView::Group(_) | MachineView::Target => None,
        }
    }

    pub(super) fn service(&self) -> Option<&ServiceView<'a>> {
        match &self.view.as_ref()?.machine {
            MachineView::Service(service) => Some(service),
            MachineView::Socket(_) | MachineView::Group(_) | MachineView::Target => None,
        }
    }

    pub(super) fn group(&self) -> Option<&GroupView<'a>> {
        match &self.view.as_ref()?.machine {
            MachineView::Group(group) => Some(group),
            MachineView::Socket(_) | MachineView::Service(_) | MachineView::Target => None,
        }
    }

    /// Microseconds since 1970, 0 for never.
    pub(super) fn realtime(&self, time: Option<Time>) -> u64 {
        time.map_or(0, |time| self.core.realtime(time))
    }
}

/// Microseconds of the monotonic clock, 0 for never.
pub(super) fn monotonic(time: Option<Time>) -> u64 {
    time.map_or(0, Time::as_micros)
}

fn not_found(name: &UnitName) -> Unit {
    Unit {
        name: name.clone(),
        aliases: [].into(),
        load_state: LoadState::NotFound,
        load_error: Some(format!("Unit {name} not found.")),
        fragment_path: None,
        drop_in_paths: Arc::default(),
        unit: Arc::default(),
        relations: Arc::default(),
        conditions: Arc::default(),
        implied: Arc::default(),
        install: Arc::default(),
        kind: match name.unit_type() {
            UnitType::Socket => UnitKind::Socket(Arc::default()),
            UnitType::Service => UnitKind::Service(Arc::default()),
            UnitType::Target => UnitKind::Target,
            _ => UnitKind::Other,
        },
    }
}
