//! The command line of `sockmgrd`, and which of its two processes this one is.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::driver::Options;
use crate::keeper::{self, EXIT_CONFIG, KeeperLink};
use crate::logfile::Places;
use crate::paths::{self, Scope};

/// Holds the sockets that unit files define, starts services on traffic, and hands them the sockets.
#[derive(Debug, Parser)]
#[command(name = "sockmgrd", version, disable_help_subcommand = true)]
struct Arguments {
    /// Manage this user's units (default unless root)
    #[arg(long, conflicts_with = "system")]
    user: bool,
    /// Manage the machine's units (default for root)
    #[arg(long)]
    system: bool,
    /// Read unit files from DIR instead of the usual places; repeat for more, the first wins
    #[arg(long, value_name = "DIR")]
    unit_path: Vec<PathBuf>,
    /// Directory of the control and notify sockets
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// Print what services write to the log here, too (default on a terminal, and as PID 1)
    #[arg(long)]
    console: bool,
    /// Settings file (default: sockmgr.toml in /etc/sockmgr, or in ~/.config/sockmgr)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The whole program. The process that was started is the keeper; it starts itself again as the manager.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = crate::chown::run_if_asked(std::env::args_os().skip(1)) {
        return code;
    }
    let arguments = Arguments::parse();
    if !KeeperLink::is_present() {
        return keeper::run(std::env::args_os().skip(1).collect::<Vec<OsString>>());
    }
    match options(arguments) {
        Ok(options) => crate::manager::run(options),
        Err(error) => {
            crate::log::init(sockmgr_unit::LogLevel::Info);
            tracing::error!("{}", crate::driver::chain(&*error));
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

fn options(arguments: Arguments) -> Result<Options, Box<dyn std::error::Error>> {
    let uid = sockmgr_sys::user::own_uid();
    let scope = match (arguments.system, arguments.user) {
        (true, _) => Scope::System,
        (_, true) => Scope::User,
        (false, false) => Scope::default_for(uid),
    };
    let xdg = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime_dir = arguments.runtime_dir.unwrap_or_else(|| paths::runtime_dir(scope, uid, xdg.as_deref()));
    let runtime_dir = std::path::absolute(runtime_dir)?;
    paths::create_runtime_dir(&runtime_dir, uid)?;
    let unit_path = arguments.unit_path.into_iter().map(std::path::absolute).collect::<Result<_, _>>()?;
    let usual = paths::runtime_dir(scope, uid, xdg.as_deref());
    let logs = Places::of(scope, &runtime_dir, &usual, |name| std::env::var_os(name).map(PathBuf::from));
    let is_first = sockmgr_sys::child::parent_pid() == 1;
    let console = arguments.console || is_first || std::io::stderr().is_terminal();
    Ok(Options { scope, unit_path, runtime_dir, config: arguments.config, logs, console })
}
