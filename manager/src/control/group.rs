//! `org.sockmgr.Group1`, ours: the instances behind a unit that stands for all of them.
//!
//! Never here: who is in rotation; the engine says. Invariant: slots are listed in order and numbered from 1.

use sockmgr_engine::{Engine, MachineView, Rotation, SlotView};
use sockmgr_unit::UnitName;

use super::interface::{Field, Interface};
use super::subject::UnitSubject;
use super::value::Value;

pub(super) static INTERFACE: Interface = Interface {
    name: "org.sockmgr.Group1",
    fields: &[
        // How many there should be, and how many there may be.
        Field::of_unit("Instances", "u", |unit| unit.group().map_or(0, |group| group.size).into())
            .announced(),
        Field::of_unit("MaxInstances", "u", |unit| unit.group().map_or(0, |group| group.most).into()),
        // Number from 1, instance, sub state, main process (0: none), whether new connections go to it.
        Field::of_unit("Slots", "a(ussub)", slots).announced(),
        // From the first traffic or command until the first instance was ready, at the last start from nothing; microseconds.
        Field::of_unit("ColdStartUSec", "t", |unit| cold_start(unit).into()),
    ],
    ..Interface::EMPTY
};

/// Whether the unit stands for all instances of a service.
pub(super) fn is_group(engine: &Engine, name: &UnitName) -> bool {
    engine.unit(name).is_some_and(|view| matches!(view.machine, MachineView::Group(_)))
}

fn slots(unit: &UnitSubject<'_>) -> Value {
    let row = |slot: &SlotView<'_>| {
        let in_rotation = slot.rotation == Rotation::In;
        (slot.number, slot.instance.to_string(), slot.state.to_owned(), slot.main_pid, in_rotation)
    };
    let slots = unit.group().map(|group| group.slots.as_slice()).unwrap_or_default();
    slots.iter().map(row).collect::<Vec<_>>().into()
}

fn cold_start(unit: &UnitSubject<'_>) -> u64 {
    let stamps = unit.view.as_ref().map(|view| view.stamps);
    let took = stamps
        .and_then(|stamps| stamps.active_enter?.as_micros().checked_sub(stamps.inactive_exit?.as_micros()));
    took.unwrap_or(0)
}
