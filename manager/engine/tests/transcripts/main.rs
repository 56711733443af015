//! Transcripts: a script of what happens, and everything that the engine does about it.
//!
//! Each test is data: unit files, a script (see `world`), and the expected transcript, which `UPDATE_EXPECT=1 cargo test`
//! rewrites. [`check`] is the only function here that touches the engine.

#[path = "../support/mod.rs"]
mod support;
mod world;

mod accept;
mod drain;
mod groups;
mod hang;
mod idle;
mod jobs;
mod life;
mod limits;
mod manager_restart;
mod migration;
mod overlap;
mod pool;
mod processes;
mod ready;
mod relations;
mod reload;
mod rollout;
mod scale_on;
mod services;
mod socket_commands;
mod socket_limits;
mod sockets;
mod stopping;

use expect_test::Expect;
use sockmgr_unit::Settings;

/// Plays `script` on an engine with `units`, and compares what it does.
#[track_caller]
fn check(units: &str, script: &str, expected: Expect) {
    expected.assert_eq(&world::World::new(units, Settings::default()).play(script));
}
