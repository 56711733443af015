//! `org.sockmgr.Service1`, ours: the generations of a service, of which a restart may have two side by side.
//!
//! Never here: when there are two; the engine says. Invariant: `MainPID` is of the one that serves, the two here are not.

use sockmgr_engine::OtherView;

use super::interface::{Field, Interface};
use super::subject::UnitSubject;

pub(super) static INTERFACE: Interface = Interface {
    name: "org.sockmgr.Service1",
    fields: &[
        // How often it was started; `$SOCKMGR_GENERATION` of the main process.
        Field::of_unit("Generation", "u", |unit| {
            unit.service().map_or(0, |service| service.generation).into()
        })
        .announced(),
        // The former main process, while it finishes what it has.
        Field::of_unit("OutgoingPID", "u", |unit| other_pid(unit, |other| other.is_outgoing).into())
            .announced(),
        // The next main process, until it is ready.
        Field::of_unit("IncomingPID", "u", |unit| other_pid(unit, |other| !other.is_outgoing).into())
            .announced(),
    ],
    ..Interface::EMPTY
};

fn other_pid(unit: &UnitSubject<'_>, which: fn(&OtherView) -> bool) -> u32 {
    unit.service().and_then(|service| service.other).filter(which).map_or(0, |other| other.main_pid)
}
