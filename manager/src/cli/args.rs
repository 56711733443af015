//! The command line: every verb and every option, once. Help, man page and completions come from here.
//!
//! Only words are judged here; nothing is sent or printed. To add a verb: add its variant with its operands to [`Verb`]
//! and its line to `run` in `cli.rs`.
//!
//! Invariant: an option means the same with every verb that has a use for it. As with systemctl all of them may stand
//! before or behind the verb, and one that a verb has no use for is accepted.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::logs::Form;
mod files;

pub(crate) use self::files::{AddDependency, Edit, Files, PresetMode, Target, VariableNames, Variables};
use super::signal::{SignalNumber, parse_signal};
use crate::paths::Scope;

/// Control the sockmgr manager: sockets that start services, in one or many instances.
#[derive(Debug, Parser)]
#[command(name = "sockmgr", version, infer_long_args = true, args_override_self = true)]
#[command(after_help = "Without a verb: list-units. Exit codes are those of systemctl.")]
pub(crate) struct Invocation {
    #[command(flatten)]
    pub(crate) flags: Flags,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

impl Invocation {
    /// The whole command line, every verb with all options: what help, man page and completions are made of.
    #[cfg(test)]
    pub(crate) fn whole() -> clap::Command {
        Self::command().mut_subcommands(with_options)
    }

    /// Reads the words of a command line, the first of which is the program's name.
    ///
    /// # Errors
    /// The words do not make sense, or ask for help or the version.
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut words: Vec<OsString> = words.into_iter().collect();
        let mut command = Self::command();
        verb_first(&command, &mut words);
        // Only the verb in question gets the options: to give them to all, as clap's global arguments do, takes longer
        // than the rest of a short command.
        if let Some(verb) = words.get(1).and_then(|word| word.to_str())
            && command.find_subcommand(verb).is_some()
        {
            command = command.mut_subcommand(verb, with_options);
        }
        let matches = command.try_get_matches_from(words)?;
        let mut invocation = Self::from_arg_matches(&matches)?;
        if let Some((_, matches)) = matches.subcommand() {
            invocation.flags = Flags::from_arg_matches(matches)?;
        }
        Ok(invocation)
    }
}

/// The verb with all options, still described as itself. A letter of its own comes before that of an option which it has no
/// use for: `-f` is `--force`, but with `logs` it is `--follow`.
fn with_options(verb: clap::Command) -> clap::Command {
    let about = verb.get_about().cloned().unwrap_or_default();
    let own: Vec<(clap::Id, char)> =
        verb.get_arguments().filter_map(|arg| Some((arg.get_id().clone(), arg.get_short()?))).collect();
    let mut verb = Flags::augment_args(verb).about(about).long_about(None);
    let is_hidden = |arg: &&clap::Arg| {
        own.iter().any(|(id, letter)| arg.get_short() == Some(*letter) && arg.get_id() != id)
    };
    let hidden: Vec<clap::Id> =
        verb.get_arguments().filter(is_hidden).map(|arg| arg.get_id().clone()).collect();
    for id in hidden {
        verb = verb.mut_arg(id, |arg| arg.short(None));
    }
    verb
}

/// Puts the verb in front of all options: as with systemctl they may stand before it as well as behind.
fn verb_first(command: &clap::Command, words: &mut Vec<OsString>) {
    let verb = verb_position(command, words);
    match words.get(verb).and_then(|word| word.to_str()) {
        // It takes nothing but the names of verbs.
        Some("help") => drop(words.drain(1..verb)),
        Some(_) => words[1..=verb].rotate_right(1),
        None => {}
    }
}

/// Where the first word is that is neither an option nor the value of one.
fn verb_position(command: &clap::Command, words: &[OsString]) -> usize {
    let mut at = 1;
    while let Some(option) = words.get(at).and_then(|word| word.to_str()).filter(|word| word.starts_with('-'))
    {
        if option == "--" {
            return words.len();
        }
        at += if wants_value(command, option) { 2 } else { 1 };
    }
    at
}

/// Whether the next word is the value of this option.
fn wants_value(command: &clap::Command, word: &str) -> bool {
    let takes = |arg: &clap::Arg| arg.get_action().takes_values() && !arg.is_require_equals_set();
    if let Some(long) = word.strip_prefix("--") {
        // May be cut short; where that is ambiguous clap will say so.
        let named = |arg: &clap::Arg, fits: &dyn Fn(&str) -> bool| {
            arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default()).any(fits)
        };
        let whole = command.get_arguments().find(|arg| named(arg, &|own| own == long));
        let cut = || command.get_arguments().find(|arg| named(arg, &|own| own.starts_with(long)));
        return whole.or_else(cut).is_some_and(takes);
    }
    let mut letters = word[1..].chars();
    letters
        .find(|letter| command.get_arguments().any(|arg| arg.get_short() == Some(*letter) && takes(arg)))
        .is_some_and(|_| letters.as_str().is_empty())
}

/// The options of all verbs.
#[derive(Debug, Default, Args)]
pub(crate) struct Flags {
    /// Talk to the manager of the machine (default for root)
    #[arg(long, overrides_with = "user", help_heading = "Manager")]
    pub(crate) system: bool,
    /// Talk to your own manager (default for everybody else)
    #[arg(long, overrides_with = "system", help_heading = "Manager")]
    pub(crate) user: bool,
    /// The manager's runtime directory, instead of that of the scope
    #[arg(long, value_name = "DIR", help_heading = "Manager")]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// The system below this directory, which is not running: its unit files are changed without a manager
    #[arg(long, value_name = "DIR", help_heading = "Manager")]
    pub(crate) root: Option<PathBuf>,
    /// Never ask for authorization
    #[arg(long, help_heading = "Manager")]
    pub(crate) no_ask_password: bool,

    /// Also inactive units; with show, also empty properties
    #[arg(short, long, help_heading = "Which units")]
    pub(crate) all: bool,
    /// Only units of these types
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
    #[arg(long, help_heading = "Which units")]
    pub(crate) failed: bool,

    /// Only these properties
    #[arg(short, long, value_name = "NAME", value_delimiter = ',', help_heading = "Output")]
    pub(crate) property: Vec<String>,
    /// The same as --value --property=NAME
    #[arg(short = 'P', value_name = "NAME", value_delimiter = ',', help_heading = "Output")]
    pub(crate) property_value: Vec<String>,
    /// Values without names
    #[arg(long, help_heading = "Output")]
    pub(crate) value: bool,
    /// No dots, no tree
    #[arg(long, help_heading = "Output")]
    pub(crate) plain: bool,
    /// Nothing shortened to the width of the terminal
    #[arg(short = 'l', long, help_heading = "Output")]
    pub(crate) full: bool,
    /// Column titles and closing lines
    #[arg(long, value_name = "BOOL", value_parser = parse_boolean, help_heading = "Output")]
    pub(crate) legend: Option<bool>,
    /// The same as --legend=no
    #[arg(long, help_heading = "Output")]
    pub(crate) no_legend: bool,
    /// JSON instead of text
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true,
          default_missing_value = "short", help_heading = "Output")]
    pub(crate) json: Option<Json>,
    /// How many lines of the log status and logs show
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = parse_lines, help_heading = "Output")]
    pub(crate) lines: Option<usize>,
    /// Say less: only errors, and the exit code
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Print straight to the terminal (sockmgr always does)
    #[arg(long, help_heading = "Output")]
    pub(crate) no_pager: bool,

    /// Only until the machine goes down
    #[arg(long, help_heading = "Unit files")]
    pub(crate) runtime: bool,
    /// Replace links that stand in the way; with edit, make a file that is not there
    #[arg(short, long, help_heading = "Unit files")]
    pub(crate) force: bool,
    /// Also start or stop the units
    #[arg(long, help_heading = "Unit files")]
    pub(crate) now: bool,
    /// Do not have the manager read the unit files again
    #[arg(long, help_heading = "Unit files")]
    pub(crate) no_reload: bool,
    /// Say nothing when there is nothing to enable
    #[arg(long, help_heading = "Unit files")]
    pub(crate) no_warn: bool,
    /// Which half of the presets is carried out
    #[arg(long, value_enum, value_name = "MODE", default_value = "full", help_heading = "Unit files")]
    pub(crate) preset_mode: PresetMode,

    /// Do not wait until the job is done
    #[arg(long, help_heading = "Jobs")]
    pub(crate) no_block: bool,
    /// With start and restart: wait until the units have stopped again; with is-system-running: until it is up
    #[arg(long, help_heading = "Jobs")]
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
    #[arg(short, long, value_name = "SIGNAL", value_parser = parse_signal, default_value = "SIGTERM", help_heading = "Jobs")]
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

/// How many instances of what.
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// The group, its socket or one of its instances
    pub(crate) unit: String,
    /// From MinInstances= to MaxInstances= of its socket
    #[arg(required_unless_present = "reset", conflicts_with = "reset")]
    pub(crate) instances: Option<u32>,
    /// As many as Instances= says
    #[arg(long)]
    pub(crate) reset: bool,
}

/// What to do to the rollout of which group.
#[derive(Debug, Args)]
pub(crate) struct Rollout {
    /// What to do
    #[arg(value_enum)]
    pub(crate) step: RolloutStep,
    /// The group (`web` is `web.service`)
    pub(crate) unit: String,
}

/// What can be done to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RolloutStep {
    /// Read the unit files of the group again and give them to its instances; waits for the end
    Start,
    /// Show which instances have the new files, and why it stopped
    Status,
    /// Begin nothing more
    Pause,
    /// Go on
    Resume,
    /// Return to the former files
    Undo,
}

/// Which sockets to hold.
#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// Socket units (`web` is `web.socket`)
    #[arg(required = true, value_name = "SOCKET")]
    pub(crate) sockets: Vec<String>,
    /// Also stop what they start, so that nobody is served until release
    #[arg(long)]
    pub(crate) stop: bool,
}

/// What to remove, and of which units.
#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// Unit names (`web` is `web.service`)
    #[arg(required = true, value_name = "UNIT")]
    pub(crate) units: Vec<String>,
    /// Which directories: runtime, state, cache, logs, configuration, all
    #[arg(long, value_name = "RESOURCE", value_delimiter = ',', default_values = ["cache", "runtime"])]
    pub(crate) what: Vec<String>,
}

/// Which unit to isolate.
#[derive(Debug, Args)]
pub(crate) struct Isolate {
    /// The unit; `rescue` is `rescue.target`
    pub(crate) unit: String,
}

/// Which jobs to list.
#[derive(Debug, Args)]
pub(crate) struct Jobs {
    #[command(flatten)]
    pub(crate) patterns: Patterns,
    /// Show also which jobs wait for each
    #[arg(long)]
    pub(crate) after: bool,
    /// Show also which jobs each waits for
    #[arg(long)]
    pub(crate) before: bool,
}

/// Which jobs to take back.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// Their numbers
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<u32>,
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

/// What `verify` reads.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Unit files to check, with the drop-ins beside them
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Print the file in TOML instead of checking it
    #[arg(long, conflicts_with = "to_systemd")]
    pub(crate) to_toml: bool,
    /// Print the file in systemd's syntax instead of checking it
    #[arg(long)]
    pub(crate) to_systemd: bool,
}

/// Which lines of which logs.
#[derive(Debug, Default, Args)]
pub(crate) struct Logs {
    /// Unit names (`web` is `web.service` and its instances) or globs; none: all
    #[arg(value_name = "UNIT")]
    pub(crate) units: Vec<String>,
    /// Go on with what is added
    #[arg(short, long, conflicts_with = "reverse")]
    pub(crate) follow: bool,
    /// The newest first
    #[arg(short, long)]
    pub(crate) reverse: bool,
    /// From then on: `2026-11-25 19:08`, `19:08`, `today`, `-1h`
    #[arg(short = 'S', long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// Up to then
    #[arg(short = 'U', long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) until: Option<String>,
    /// How a line is shown
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "short")]
    pub(crate) output: Form,
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
    /// Start one unit with what it needs, and stop all others
    Isolate(Isolate),
    /// Send a signal to the processes of units
    Kill(Units),
    /// Remove what units that are down have left on disk
    Clean(Clean),
    /// Forget that units failed
    ResetFailed(Patterns),

    /// Change how many instances a group has, until its socket stops
    Scale(Scale),
    /// Give instances no new connections; they go on running
    Drain(Units),
    /// Give instances new connections again
    Undrain(Units),
    /// Hold the traffic of sockets back: it waits in the queue, and starts nothing
    Hold(Hold),
    /// Let the traffic of held sockets through again
    Release(Units),
    /// Give new unit files to a group, a few instances first
    Rollout(Rollout),
    /// List the instances of groups
    Instances(Patterns),

    /// Show the state of units, or of the manager
    Status(Patterns),
    /// Show what services have written to the log; needs no manager
    Logs(Logs),
    /// Show the properties of units, or of the manager
    Show(Patterns),
    /// List the descriptors that services have left with the manager (FDSTORE=1)
    Fds(Units),
    /// Print the unit files of units, drop-ins included
    Cat(Units),
    /// List what is listened on
    ListSockets(Patterns),
    /// List loaded units
    ListUnits(Patterns),
    /// List the jobs that are queued or run
    ListJobs(Jobs),
    /// Take jobs back, all without a number
    Cancel(Cancel),
    /// Show what units depend on, as a tree
    ListDependencies(Dependencies),
    /// Say whether units are active: exit code 0 when one is
    IsActive(Units),
    /// Say whether units failed: exit code 0 when one did
    IsFailed(Units),
    /// Say whether the manager is up and nothing failed
    IsSystemRunning,

    /// Make units start with their targets, as their [Install] sections say
    Enable(Files),
    /// Undo that, and remove all other links to the units
    Disable(Files),
    /// Disable, then enable
    Reenable(Files),
    /// Enable or disable units as the presets say
    Preset(Files),
    /// The same for all units
    PresetAll,
    /// Make it impossible to start units
    Mask(Files),
    /// Make it possible again
    Unmask(Files),
    /// Make unit files known that lie outside of the search path
    Link(Files),
    /// Return to the vendor's unit files
    Revert(Files),
    /// Let a unit want others
    AddWants(AddDependency),
    /// Let a unit require others
    AddRequires(AddDependency),
    /// Say whether units are enabled: exit code 0 when one is
    IsEnabled(Files),
    /// List unit files, whether loaded or not
    ListUnitFiles(Patterns),
    /// Show which target is the default
    GetDefault,
    /// Make a target the default
    SetDefault(Target),

    /// Edit drop-ins of units, or with --full their files
    Edit(Edit),

    /// Show what all services inherit
    ShowEnvironment,
    /// Let services that are started from now on have these variables
    SetEnvironment(Variables),
    /// Let them not have these
    UnsetEnvironment(Variables),
    /// Let them have variables of this shell: those that are named, or all
    ImportEnvironment(VariableNames),

    /// Let the manager read all unit files again
    DaemonReload,
    /// Check unit files; needs no manager
    Verify(Verify),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Invocation, clap::Error> {
        Invocation::read(std::iter::once("sockmgr").chain(words.split_whitespace()).map(OsString::from))
    }

    fn flags(words: &str) -> Flags {
        parse(words).unwrap().flags
    }

    #[test]
    fn the_definition_is_sound() {
        Invocation::whole().debug_assert();
    }

    #[test]
    fn the_help_of_a_verb_is_about_the_verb() {
        let help = parse("list-sockets --help").unwrap_err().to_string();
        assert!(help.starts_with("List what is listened on\n"), "{help}");
        assert!(help.contains("--no-legend"), "{help}");
    }

    #[test]
    fn verbs_and_their_operands() {
        let table = [
            ("start web api.socket", "Some(Start(Units { units: [\"web\", \"api.socket\"] }))"),
            ("try-restart web", "Some(TryRestart(Units { units: [\"web\"] }))"),
            ("status", "Some(Status(Patterns { units: [] }))"),
            ("list-sockets web*", "Some(ListSockets(Patterns { units: [\"web*\"] }))"),
            ("is-system-running", "Some(IsSystemRunning)"),
            ("daemon-reload", "Some(DaemonReload)"),
            ("up", "Some(Up(Up { directory: \".\", unit_path: [] }))"),
            (
                "up d --unit-path e --unit-path f",
                "Some(Up(Up { directory: \"d\", unit_path: [\"e\", \"f\"] }))",
            ),
            (
                "verify a.socket",
                "Some(Verify(Verify { files: [\"a.socket\"], to_toml: false, to_systemd: false }))",
            ),
            ("start -- -.mount", "Some(Start(Units { units: [\"-.mount\"] }))"),
            ("--failed", "None"),
        ];
        for (words, expected) in table {
            assert_eq!(format!("{:?}", parse(words).unwrap().verb), expected, "{words}");
        }
    }

    #[test]
    fn options_stand_before_or_behind_the_verb() {
        for words in [
            "-t socket list-units",
            "list-units -t socket",
            "list-units -tsocket",
            "list-units --type=socket",
        ] {
            assert_eq!(flags(words).types, ["socket"], "{words}");
        }
        let many = flags("-p Id,Names show -p Listen x -P Result --all");
        assert_eq!(many.properties(), ["Id", "Names", "Listen", "Result"]);
        assert!(many.values_only() && many.all);
        assert!(!flags("show -p Id x").values_only());
    }

    #[test]
    fn the_verb_is_found_among_options() {
        let table = [
            ("-t socket list-units", "list-units -t socket"),
            ("-qt socket list-units", "list-units -qt socket"),
            ("-tsocket list-units x", "list-units -tsocket x"),
            ("-at socket -q", "-at socket -q"),
            ("--json list-units", "list-units --json"),
            ("--prop Id show", "show --prop Id"),
            ("--kill-who main --no-block kill web", "kill --kill-who main --no-block web"),
            ("-n 5 status -a", "status -n 5 -a"),
            ("status -t socket", "status -t socket"),
            ("-- status", "-- status"),
            ("--runtime mask web", "mask --runtime web"),
            ("--runtime-dir d mask web", "mask --runtime-dir d web"),
        ];
        for (words, expected) in table {
            let words = std::iter::once("sockmgr").chain(words.split_whitespace());
            let mut ordered: Vec<OsString> = words.map(OsString::from).collect();
            verb_first(&Invocation::command(), &mut ordered);
            let text: Vec<&str> = ordered[1..].iter().filter_map(|word| word.to_str()).collect();
            assert_eq!(text.join(" "), expected);
        }
    }

    #[test]
    fn options_mean_what_systemctls_mean() {
        let defaults = flags("kill web");
        assert_eq!(
            (defaults.signal.0, defaults.kill_whom.as_str(), defaults.job_mode.as_str()),
            (15, "all", "replace")
        );
        assert_eq!(flags("kill web -s USR1").signal.0, 10);
        assert_eq!(flags("kill web --kill-who=main").kill_whom, "main");
        assert_eq!(flags("kill web --kill-whom main").kill_whom, "main");
        assert_eq!(flags("status -n5").lines, Some(5));
        assert!(flags("stop -f web").force);
        let Some(Verb::Logs(what)) = parse("-f logs -n 3 web").unwrap().verb else { panic!("it is logs") };
        assert!(what.follow, "a verb's own letter counts");
        assert_eq!(flags("status -n all").lines, Some(usize::MAX));
        assert_eq!(flags("list-units --json").json(), Some(Json::Short));
        assert_eq!(flags("list-units --json=pretty").json(), Some(Json::Pretty));
        assert_eq!(flags("list-units --json=off").json(), None);
        assert!(flags("start web --no-blo").no_block, "long options may be cut short");
    }

    #[test]
    fn legends_go_with_quiet_and_no_legend() {
        let table = [
            ("list-units", true),
            ("list-units --legend=no", false),
            ("list-units --no-legend", false),
            ("list-units -q", false),
            ("list-units -q --legend=true", true),
        ];
        for (words, expected) in table {
            assert_eq!(flags(words).legend(), expected, "{words}");
        }
    }

    #[test]
    fn the_last_scope_counts() {
        let table = [
            ("status", 0, Scope::System),
            ("status", 1000, Scope::User),
            ("status --user", 0, Scope::User),
            ("--system status", 1000, Scope::System),
            ("--system status --user", 0, Scope::User),
            ("--user status --system", 1000, Scope::System),
        ];
        for (words, uid, expected) in table {
            assert_eq!(flags(words).scope(uid), expected, "{words} as {uid}");
        }
    }

    #[test]
    fn mistakes_are_refused() {
        let table = [
            "start",
            "is-active --bogus web",
            "frobnicate",
            "kill -s FOO web",
            "status -n many",
            "list-units --legend=perhaps",
            "daemon-reload web",
        ];
        for words in table {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
