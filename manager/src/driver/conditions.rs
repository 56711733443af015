//! Whether the conditions of a unit hold; what they mean is in [`crate::condition`].

use sockmgr_engine::Event;
use sockmgr_unit::UnitName;
use sockmgr_unit::value::Conditions;

use super::Driver;
use crate::condition::holds;

impl Driver {
    /// Looks at all conditions and asserts of a unit.
    pub(super) fn check_conditions(&self, unit: UnitName) -> Option<Event> {
        let section = self.engine.unit(&unit)?.unit.conditions.clone();
        let look = |lines: &Conditions| lines.iter().map(holds).collect();
        Some(Event::Checked { conditions: look(&section.conditions), asserts: look(&section.asserts), unit })
    }
}
