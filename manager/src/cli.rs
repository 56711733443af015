//! The `sockmgr` command: a verb on the command line becomes calls to the manager, and its answers become text.
//!
//! The way is always the same: words (`args`) → `Session` → calls (`manager` over `bus`) → text or JSON →
//! `Exit`. Units are loaded, judged and run by the manager, never here; `up` starts a `sockmgrd`
//! for that, `verify` asks `sockmgr-unit`, and where no manager runs `crate::install` changes unit files in its stead.
//!
//! Invariant: results go to stdout, everything else to stderr, and the exit code is the one systemctl gives.

use std::process::ExitCode;

mod args;
mod bus;
mod cat;
mod dependencies;
mod edit;
mod environment;
mod exit;
mod fds;
mod format;
mod groups;
mod install;
mod job_list;
mod jobs;
mod list;
mod logs;
mod manager;
mod names;
mod property;
mod rollout;
mod session;
mod show;
mod signal;
mod state;
mod status;
mod style;
mod table;
mod tree;
mod unit_files;
mod units;
mod up;
mod verify;

use args::{Invocation, Patterns, Verb};
use exit::{CliError, Exit};
use install::Change;
use jobs::JobVerb;
use manager::GroupVerb;
use session::{Session, Target};
use sockmgr_unit::UnitType;

use crate::install::DependencyWord;

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    let exit = match Invocation::read(std::env::args_os()) {
        Ok(invocation) => run(invocation).unwrap_or_else(|error| error.report()),
        Err(error) => explain(&error),
    };
    exit.into()
}

/// Help and version are answers; all else is a mistake on the command line, for which systemctl exits with 1.
fn explain(error: &clap::Error) -> Exit {
    // Nothing can be done when even this cannot be printed.
    let _ = error.print();
    if error.use_stderr() { Exit::Failure } else { Exit::Success }
}

/// The one list of what each verb does.
fn run(invocation: Invocation) -> Result<Exit, CliError> {
    let Invocation { flags, verb } = invocation;
    let target = Target::choose(&flags)?;
    let open = |flags| Session::open(flags, target.clone());
    match verb.unwrap_or(Verb::ListUnits(Patterns::default())) {
        Verb::Start(units) => jobs::run(&mut open(flags)?, JobVerb::Start, &units.units),
        Verb::Stop(units) => jobs::run(&mut open(flags)?, JobVerb::Stop, &units.units),
        Verb::Restart(units) => jobs::run(&mut open(flags)?, JobVerb::Restart, &units.units),
        Verb::TryRestart(units) => jobs::run(&mut open(flags)?, JobVerb::TryRestart, &units.units),
        Verb::Reload(units) => jobs::run(&mut open(flags)?, JobVerb::Reload, &units.units),
        Verb::ReloadOrRestart(units) => jobs::run(&mut open(flags)?, JobVerb::ReloadOrRestart, &units.units),
        Verb::TryReloadOrRestart(units) => {
            jobs::run(&mut open(flags)?, JobVerb::TryReloadOrRestart, &units.units)
        }
        Verb::Kill(units) => state::kill(&mut open(flags)?, &units.units),
        Verb::Scale(what) => groups::scale(&mut open(flags)?, &what),
        Verb::Rollout(what) => rollout::run(&mut open(flags)?, &what),
        Verb::Drain(units) => {
            groups::run(&mut open(flags)?, GroupVerb::Drain, &units.units, UnitType::Service)
        }
        Verb::Undrain(units) => {
            groups::run(&mut open(flags)?, GroupVerb::Undrain, &units.units, UnitType::Service)
        }
        Verb::Hold(what) => groups::hold(&mut open(flags)?, &what),
        Verb::Release(what) => {
            groups::run(&mut open(flags)?, GroupVerb::Release, &what.units, UnitType::Socket)
        }
        Verb::Instances(patterns) => groups::instances(&mut open(flags)?, &patterns.units),
        Verb::Clean(wanted) => state::clean(&mut open(flags)?, &wanted),
        Verb::ResetFailed(patterns) => state::reset_failed(&mut open(flags)?, &patterns.units),
        Verb::Status(patterns) => status::run(&mut open(flags)?, &patterns.units),
        Verb::Logs(what) => logs::run(&flags, &target, &what),
        Verb::Show(patterns) => show::run(&mut open(flags)?, &patterns.units),
        Verb::Fds(units) => fds::run(&mut open(flags)?, &units.units),
        Verb::Cat(units) => cat::run(&mut open(flags)?, &units.units),
        Verb::ListSockets(patterns) => list::sockets(&mut open(flags)?, &patterns.units),
        Verb::ListJobs(wanted) => job_list::list(&mut open(flags)?, &wanted),
        Verb::Cancel(wanted) => job_list::cancel(&mut open(flags)?, &wanted.jobs),
        Verb::Isolate(wanted) => jobs::isolate(&mut open(flags)?, &wanted.unit),
        Verb::ListUnits(patterns) => list::units(&mut open(flags)?, &patterns.units),
        Verb::ListDependencies(wanted) => dependencies::run(&mut open(flags)?, &wanted),
        Verb::IsActive(units) => state::is_active(&mut open(flags)?, &units.units),
        Verb::IsFailed(units) => state::is_failed(&mut open(flags)?, &units.units),
        Verb::IsSystemRunning => state::is_system_running(&mut open(flags)?),
        Verb::Enable(files) => install::run(flags, &target, Change::Enable, &files.units),
        Verb::Disable(files) => install::run(flags, &target, Change::Disable, &files.units),
        Verb::Reenable(files) => install::run(flags, &target, Change::Reenable, &files.units),
        Verb::Preset(files) => install::run(flags, &target, Change::Preset, &files.units),
        Verb::PresetAll => install::run(flags, &target, Change::PresetAll, &[]),
        Verb::Mask(files) => install::run(flags, &target, Change::Mask, &files.units),
        Verb::Unmask(files) => install::run(flags, &target, Change::Unmask, &files.units),
        Verb::Link(files) => install::run(flags, &target, Change::Link, &files.units),
        Verb::Revert(files) => install::run(flags, &target, Change::Revert, &files.units),
        Verb::AddWants(what) => {
            install::add(flags, &target, DependencyWord::Wants, &what.target, &what.files.units)
        }
        Verb::AddRequires(what) => {
            install::add(flags, &target, DependencyWord::Requires, &what.target, &what.files.units)
        }
        Verb::SetDefault(what) => install::set_default(flags, &target, &what.target),
        Verb::GetDefault => unit_files::get_default(flags, &target),
        Verb::IsEnabled(files) => unit_files::is_enabled(flags, &target, &files.units),
        Verb::ListUnitFiles(patterns) => unit_files::list(flags, &target, &patterns.units),
        Verb::Edit(what) => edit::run(flags, &target, &what),
        Verb::ShowEnvironment => environment::show(&mut open(flags)?),
        Verb::SetEnvironment(what) => environment::change(&mut open(flags)?, &[], &what.variables),
        Verb::UnsetEnvironment(what) => environment::change(&mut open(flags)?, &what.variables, &[]),
        Verb::ImportEnvironment(what) => environment::import(&mut open(flags)?, &what.names),
        Verb::DaemonReload => state::daemon_reload(&mut open(flags)?),
        Verb::Verify(what) => verify::run(&flags, &target, &what),
        Verb::Up(what) => up::run(flags, &target, &what),
    }
}
