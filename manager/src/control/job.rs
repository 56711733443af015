//! `org.freedesktop.systemd1.Job`.
//!
//! Never here: unit state. Invariant: a job's object exists exactly as long as the job.

use sockmgr_engine::JobView;

use super::interface::{Field, Interface};
use super::path;

pub(super) static INTERFACE: Interface = Interface {
    name: "org.freedesktop.systemd1.Job",
    fields: &[
        Field::of_job("Id", "u", |job| job.id.0.into()),
        Field::of_job("Unit", "(so)", |job| (job.unit.to_string(), path::of_unit(job.unit)).into()),
        Field::of_job("JobType", "s", |job| job.kind.as_str().into()),
        Field::of_job("State", "s", |job| state(job).into()),
    ],
    ..Interface::EMPTY
};

/// The word for whether the job has begun.
pub(super) fn state(job: &JobView<'_>) -> &'static str {
    if job.running { "running" } else { "waiting" }
}
