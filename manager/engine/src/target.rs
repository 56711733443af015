//! Targets: units that only group others. They start and stop at once.

use serde::{Deserialize, Serialize};
use sockmgr_unit::UnitName;

use crate::engine::Engine;
use crate::job::Begun;
use crate::node::{ActiveState, Machine};

/// A target is up or down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) active: bool,
}

impl Target {
    pub(crate) fn active_state(self) -> ActiveState {
        if self.active { ActiveState::Active } else { ActiveState::Inactive }
    }

    pub(crate) fn sub_state(self) -> &'static str {
        if self.active { "active" } else { "dead" }
    }
}

impl Engine {
    pub(crate) fn target_set(&mut self, name: &UnitName, active: bool) -> Begun {
        self.change(name, |machine| {
            if let Machine::Target(target) = machine {
                target.active = active;
            }
        });
        Begun::Done
    }

    /// Down and up again, with whoever is restarted with it.
    pub(crate) fn target_restart(&mut self, name: &UnitName) -> Begun {
        self.target_set(name, false);
        Begun::Pending
    }
}
