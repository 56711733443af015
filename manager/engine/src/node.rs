//! What the engine keeps for each unit: its settings, its machine, its job and its timer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sockmgr_unit::value::ServiceType;
use sockmgr_unit::{Unit, UnitName};

use crate::condition::Checks;
use crate::group::Group;
use crate::ids::{JobId, Time};
use crate::service::Service;
use crate::socket::Socket;
use crate::target::Target;

/// The states that all kinds of unit have in common (systemctl(1), `ACTIVE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveState {
    /// Up.
    Active,
    /// Up, and reading its configuration anew.
    Reloading,
    /// Down.
    Inactive,
    /// Down, after a failure.
    Failed,
    /// On the way up.
    Activating,
    /// On the way down.
    Deactivating,
}

impl ActiveState {
    /// The word on D-Bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
        }
    }

    /// Up, or up and reloading.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Active | Self::Reloading)
    }

    /// Down, for whatever reason.
    pub fn is_down(self) -> bool {
        matches!(self, Self::Inactive | Self::Failed)
    }
}

/// When the unit last changed; the properties `StateChangeTimestamp` and so on of org.freedesktop.systemd1(5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    /// Last change of the sub state.
    pub state_change: Option<Time>,
    /// Last time it left inactive or failed.
    pub inactive_exit: Option<Time>,
    /// Last time it became active.
    pub active_enter: Option<Time>,
    /// Last time it left active.
    pub active_exit: Option<Time>,
    /// Last time it became inactive or failed.
    pub inactive_enter: Option<Time>,
}

impl Stamps {
    pub(crate) fn record(&mut self, now: Time, old: ActiveState, new: ActiveState) {
        self.state_change = Some(now);
        if old.is_down() && !new.is_down() {
            self.inactive_exit = Some(now);
        }
        if !old.is_down() && new.is_down() {
            self.inactive_enter = Some(now);
        }
        if !old.is_up() && new.is_up() {
            self.active_enter = Some(now);
        }
        if old.is_up() && !new.is_up() {
            self.active_exit = Some(now);
        }
    }
}

/// The state machine of a unit.
#[derive(Debug)]
pub(crate) enum Machine {
    Socket(Box<Socket>),
    Service(Box<Service>),
    /// All instances of a service together, under the plain name.
    Group(Box<Group>),
    Target(Target),
}

/// All units. Boxed, because a `BTreeMap` that was filled in order is half empty.
pub(crate) type Nodes = BTreeMap<UnitName, Box<Node>>;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) unit: Arc<Unit>,
    pub(crate) machine: Machine,
    pub(crate) job: Option<JobId>,
    pub(crate) deadline: Option<Time>,
    pub(crate) stamps: Stamps,
    /// What its conditions were found to be; `None` where it has none, or was not started yet.
    pub(crate) checks: Option<Box<Checks>>,
}

impl Node {
    pub(crate) fn new(unit: Arc<Unit>, machine: Machine) -> Self {
        Self { unit, machine, job: None, deadline: None, stamps: Stamps::default(), checks: None }
    }

    pub(crate) fn socket(&self) -> Option<&Socket> {
        if let Machine::Socket(socket) = &self.machine { Some(socket) } else { None }
    }

    pub(crate) fn service(&self) -> Option<&Service> {
        if let Machine::Service(service) = &self.machine { Some(service) } else { None }
    }

    /// The general state of a service.
    pub(crate) fn service_active_state(&self) -> Option<ActiveState> {
        let kind = self.unit.service().map_or(ServiceType::Simple, |unit| unit.service.type_);
        Some(self.service()?.active_state(kind))
    }

    pub(crate) fn group(&self) -> Option<&Group> {
        if let Machine::Group(group) = &self.machine { Some(group) } else { None }
    }
}
