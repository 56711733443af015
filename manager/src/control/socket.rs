//! `org.freedesktop.systemd1.Socket`: what a socket unit has at run time; what its file says comes from the directive table.
//!
//! Never here: listeners themselves. Invariant: a socket that is down shows zeros, not absent properties.

use sockmgr_engine::SocketView;

use super::interface::{Field, Interface};
use super::subject::UnitSubject;
use super::{SteeringView, queues};

pub(super) static INTERFACE: Interface = Interface {
    name: "org.freedesktop.systemd1.Socket",
    files: Some(sockmgr_unit::Interface::Socket),
    fields: &[
        Field::of_unit("Result", "s", |unit| {
            unit.socket().map_or("success", |socket| socket.result.as_str()).into()
        })
        .announced(),
        Field::of_unit("ControlPID", "u", |unit| count(unit, |socket| socket.control_pid).into()).announced(),
        Field::of_unit("NConnections", "u", |unit| count(unit, |socket| socket.n_connections).into())
            .announced(),
        Field::of_unit("NAccepted", "u", |unit| count(unit, |socket| socket.n_accepted).into()).announced(),
        Field::of_unit("Held", "b", |unit| unit.socket().is_some_and(|socket| socket.is_held).into())
            .announced(),
        // Whom a unit runs as is told where it was looked up for it; a socket's commands run as the manager.
        Field::of_unit("UID", "u", |_| u32::MAX.into()),
        Field::of_unit("GID", "u", |_| u32::MAX.into()),
        // Only a service can have it; systemd shows it where processes are run.
        Field::of_unit("NonBlocking", "b", |_| false.into()),
        Field::of_unit("NRefused", "u", |unit| count(unit, |socket| socket.n_refused).into()).announced(),
    ],
    ..Interface::EMPTY
};

fn count(unit: &UnitSubject<'_>, of: fn(&SocketView) -> u32) -> u32 {
    unit.socket().as_ref().map_or(0, of)
}

/// `org.sockmgr.Socket1`, ours: how the group of the socket is steered. Empty strings where it has none.
pub(super) static OWN: Interface = Interface {
    name: "org.sockmgr.Socket1",
    fields: &[
        // classic or ebpf.
        Field::of_unit("SteeringMake", "s", |unit| steering(unit).make.into()),
        Field::of_unit("SteeringReason", "s", |unit| steering(unit).reason.into()),
        // What lets waiting connections migrate: program, sysctl, or no.
        Field::of_unit("Migration", "s", |unit| steering(unit).migration.into()),
        // What waits in each listener: control/queues.rs has the row.
        Field::of_unit("Queues", "a(uuuuuttd)", |unit| queues::rows(&unit.core.queues(&unit.unit.name))),
    ],
    ..Interface::EMPTY
};

fn steering(unit: &UnitSubject<'_>) -> SteeringView {
    unit.core.steering(&unit.unit.name).unwrap_or_default()
}
