//! The command line: every verb and every option, once. Help, man page and completions come from here.
//!
//! Only words are judged here; nothing is sent or printed. To add a verb: add its variant with its operands to [`Verb`]
//! and its line to `run` in `cli.rs`.
//!
//! Invariant: an option means the same with every verb that has a use for it. As with systemctl all of them may stand
//! before or behind the verb, and one that a verb has no use for is accepted.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::signal::{SignalNumber, parse_signal};
use crate::paths::Scope;

/// Control the sockmgr manager: sockets that start services, in one or many instances.
#[derive(Debug, Parser)]
#[command(
    name = "sockmgr",
    version,
    infer_long_args = true,
    args_override_self = true,
    disable_help_subcommand = false
)]
#[command(after_help = "Without a verb: list-units. Exit codes are those of systemctl.")]
pub(crate) struct Invocation {
    #[command(flatten)]
    pub(crate) flags: Flags,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// The options of all verbs.
#[derive(Debug, Default, Args)]
pub(crate) struct Flags {
    /// Talk to the manager of the machine (default for root)
    #[arg(long, global = true, overrides_with = "user", help_heading = "Manager")]
    pub(crate) system: bool,
    /// Talk to your own manager (default for everybody else)
    #[arg(long, global = true, overrides_with = "system", help_heading = "Manager")]
    pub(crate) user: bool,
    /// The manager's runtime directory, instead of that of the scope
    #[arg(long, global = true, value_name = "DIR", help_heading = "Manager")]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// Never ask for authorization
    #[arg(long, global = true, help_heading = "Manager")]
    pub(crate) no_ask_password: bool,

    /// Also inactive units; with show, also empty properties
    #[arg(short, long, global = true, help_heading = "Which units")]
    pub(crate) all: bool,
    /// Only units of these types (`help` lists them)
    #[arg(
        short = 't',
        long = "type",
        global = true,
        value_name = "TYPE",
        value_delimiter = ',',
        help_heading = "Which units"
    )]
    pub(crate) types: Vec<String>,
    /// Only units in one of these load, active or sub states
    #[arg(
        long = "state",
        global = true,
        value_name = "STATE",
        value_delimiter = ',',
        help_heading = "Which units"
    )]
    pub(crate) states: Vec<String>,
    /// The same as --state=failed
    #[arg(long, global = true, help_heading = "Which units")]
    pub(crate) failed: bool,

    /// Only these properties
    #[arg(short, long, global = true, value_name = "NAME", value_delimiter = ',', help_heading = "Output")]
    pub(crate) property: Vec<String>,
    /// The same as --value --property=NAME
    #[arg(short = 'P', global = true, value_name = "NAME", value_delimiter = ',', help_heading = "Output")]
    pub(crate) property_value: Vec<String>,
    /// Values without names
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) value: bool,
    /// No dots, no tree
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) plain: bool,
    /// Nothing shortened to the width of the terminal
    #[arg(short = 'l', long, global = true, help_heading = "Output")]
    pub(crate) full: bool,
    /// Column titles and closing lines
    #[arg(long, global = true, value_name = "BOOL", value_parser = parse_boolean, help_heading = "Output")]
    pub(crate) legend: Option<bool>,
    /// The same as --legend=no
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) no_legend: bool,
    /// JSON instead of text
    #[arg(long, global = true, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true,
          default_missing_value = "short", help_heading = "Output")]
    pub(crate) json: Option<Json>,
    /// How many log lines status shows
    #[arg(short = 'n', long, global = true, value_name = "COUNT", value_parser = parse_lines, help_heading = "Output")]
    pub(crate) lines: Option<usize>,
    /// Say less: only errors, and the exit code
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Print straight to the terminal (sockmgr always does)
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) no_pager: bool,

    /// Do not wait until the job is done
    #[arg(long, global = true, help_heading = "Jobs")]
    pub(crate) no_block: bool,
    /// With start and restart: wait until the units have stopped again; with is-system-running: until it is up
    #[arg(long, global = true, help_heading = "Jobs")]
    pub(crate) wait: bool,
    /// What to do with jobs that are already queued
    #[arg(
        long,
        global = true,
        value_name = "MODE",
        default_value = "replace",
        hide_default_value = false,
        help_heading = "Jobs"
    )]
    pub(crate) job_mode: String,
    /// The signal of kill, by name or number
    #[arg(short, long, global = true, value_name = "SIGNAL", value_parser = parse_signal, default_value = "SIGTERM", help_heading = "Jobs")]
    pub(crate) signal: SignalNumber,
    /// Which of the unit's processes kill means: main, control or all
    #[arg(
        long,
        alias = "kill-who",
        global = true,
        value_name = "WHOM",
        default_value = "all",
        help_heading = "Jobs"
    )]
    pub(crate) kill_whom: String,
}

/// The forms of `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Json {
    /// One line
    Short,
    /// Indented
    Pretty,
    /// Text
    Off,
}

impl Flags {
    /// The scope asked for, or the caller's own.
    pub(crate) fn scope(&self, uid: u32) -> Scope {
        match (self.system, self.user) {
            (true, _) => Scope::System,
            (_, true) => Scope::User,
            _ => Scope::default_for(uid),
        }
    }

    /// Whether column titles, counts and hints are wanted.
    pub(crate) fn legend(&self) -> bool {
        !self.no_legend && self.legend.unwrap_or(!self.quiet)
    }

    /// The JSON form, unless text is wanted.
    pub(crate) fn json(&self) -> Option<Json> {
        self.json.filter(|form| *form != Json::Off)
    }

    /// The names given by `-p` and `-P` together, in order, without empty ones.
    pub(crate) fn properties(&self) -> Vec<&str> {
        self.property
            .iter()
            .chain(&self.property_value)
            .map(String::as_str)
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// Whether values come without names.
    pub(crate) fn values_only(&self) -> bool {
        self.value || !self.property_value.is_empty()
    }
}

/// Unit names or globs of which at least one is needed.
#[derive(Debug, Args)]
pub(crate) struct Units {
    /// Unit names (`web` is `web.service`) or globs over loaded units
    #[arg(required = true, value_name = "UNIT")]
    pub(crate) units: Vec<String>,
}

/// Unit names or globs that narrow a list; none means all.
#[derive(Debug, Default, Args)]
pub(crate) struct Patterns {
    /// Unit names (`web` is `web.service`) or globs over loaded units
    #[arg(value_name = "UNIT")]
    pub(crate) units: Vec<String>,
}

/// What list-dependencies follows.
#[derive(Debug, Args)]
pub(crate) struct Dependencies {
    #[command(flatten)]
    pub(crate) patterns: Patterns,
    /// Show what needs the unit
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Show what is started before the unit
    #[arg(long, conflicts_with = "before")]
    pub(crate) after: bool,
    /// Show what is started after the unit
    #[arg(long)]
    pub(crate) before: bool,
}

/// What `up` runs.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The directory of the unit files
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// More directories to search for units, after DIR
    #[arg(long, value_name = "DIR")]
    pub(crate) unit_path: Vec<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[command(infer_subcommands = false)]
pub(crate) enum Verb {
    /// Start units
    Start(Units),
    /// Stop units
    Stop(Units),
    /// Stop and start units; start those that are not running
    Restart(Units),
    /// Restart units that are running
    TryRestart(Units),
    /// Let units read their own configuration again
    Reload(Units),
    /// Reload units that can, restart the others
    ReloadOrRestart(Units),
    /// Reload units that can, restart the others, if they are running
    TryReloadOrRestart(Units),
    /// Send a signal to the processes of units
    Kill(Units),
    /// Forget that units failed
    ResetFailed(Patterns),

    /// Show the state of units, or of the manager
    Status(Patterns),
    /// Show the properties of units, or of the manager
    Show(Patterns),
    /// Print the unit files of units, drop-ins included
    Cat(Units),
    /// List what is listened on
    ListSockets(Patterns),
    /// List loaded units
    ListUnits(Patterns),
    /// Show what units depend on, as a tree
    ListDependencies(Dependencies),
    /// Say whether units are active: exit code 0 when one is
    IsActive(Units),
    /// Say whether units failed: exit code 0 when one did
    IsFailed(Units),
    /// Say whether the manager is up and nothing failed
    IsSystemRunning,

    /// Let the manager read all unit files again
    DaemonReload,
    /// Run a manager in the foreground for the units of a directory
    Up(Up),
}

fn parse_boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err("a boolean is needed: yes or no".into()),
    }
}

/// A count of lines, or `all`.
fn parse_lines(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        _ => text.parse().map_err(|_| "a number of lines is needed, or `all`".into()),
    }
}
