//! The manager's own settings: the table `[Manager]` of `sockmgr.toml`, with systemd's names where it has them
//! (systemd-system.conf(5)).
//!
//! Never here: where that file is. Invariant: a bad line leaves its setting at the default and is reported.

use std::ops::Deref;

use crate::diagnostic::{Diagnostic, Severity};
use crate::directive::{Context, Property, Scalar, Section, Value, section};
use crate::library::Source;
use crate::name::UnitName;
use crate::specifier::Host;
use crate::suggest;
use crate::syntax::{self, Assignment, Entry, Place};
use crate::value::{
    AbsolutePath, LimitAction, Limits, ListenAddress, LogTarget, Size, Span, StandardOutput, SteeringMake,
    ValueError,
};

section! {
    /// The settings of the manager.
    pub struct Settings in Manager {
        /// For services without `TimeoutStartSec=`; zero or infinity: no limit.
        default_timeout_start_sec: Span = Span::from_secs(90) => "DefaultTimeoutStartUSec" {
            "DefaultTimeoutStartSec": "Time allowed for a start where the service does not say; default 90s";
        }
        /// For services without `TimeoutStopSec=`; zero or infinity: no limit.
        default_timeout_stop_sec: Span = Span::from_secs(90) => "DefaultTimeoutStopUSec" {
            "DefaultTimeoutStopSec": "Time allowed for a stop where the service does not say; default 90s";
        }
        /// For services without `RestartSec=`.
        default_restart_sec: Span = Span::from_millis(100) => "DefaultRestartUSec" {
            "DefaultRestartSec": "Wait before a restart by itself where the service does not say; default 100ms";
        }
        /// For units without `StartLimitIntervalSec=`; zero: no limit.
        default_start_limit_interval_sec: Span = Span::from_secs(10) => "DefaultStartLimitIntervalUSec" {
            "DefaultStartLimitIntervalSec" | "DefaultStartLimitInterval":
                "Window of the start limit where the unit does not say; default 10s";
        }
        /// For units without `StartLimitBurst=`; zero: no limit.
        default_start_limit_burst: u32 = 5 => "DefaultStartLimitBurst" {
            "DefaultStartLimitBurst": "Starts allowed in that window where the unit does not say; default 5";
        }
        /// For services without `Limit…=` of the kind; what is not here either is as the manager has it.
        default_limits: Limits = Limits::default() => - {
            "DefaultLimitCPU": "LimitCPU= where the service does not say; default: the manager's own limit";
            "DefaultLimitFSIZE": "LimitFSIZE= where the service does not say; default: the manager's own limit";
            "DefaultLimitDATA": "LimitDATA= where the service does not say; default: the manager's own limit";
            "DefaultLimitSTACK": "LimitSTACK= where the service does not say; default: the manager's own limit";
            "DefaultLimitCORE": "LimitCORE= where the service does not say; default: the manager's own limit";
            "DefaultLimitRSS": "LimitRSS= where the service does not say; default: the manager's own limit";
            "DefaultLimitNOFILE": "LimitNOFILE= where the service does not say; default: the manager's own limit";
            "DefaultLimitAS": "LimitAS= where the service does not say; default: the manager's own limit";
            "DefaultLimitNPROC": "LimitNPROC= where the service does not say; default: the manager's own limit";
            "DefaultLimitMEMLOCK": "LimitMEMLOCK= where the service does not say; default: the manager's own limit";
            "DefaultLimitLOCKS": "LimitLOCKS= where the service does not say; default: the manager's own limit";
            "DefaultLimitSIGPENDING": "LimitSIGPENDING= where the service does not say; default: the manager's own limit";
            "DefaultLimitMSGQUEUE": "LimitMSGQUEUE= where the service does not say; default: the manager's own limit";
            "DefaultLimitNICE": "LimitNICE= where the service does not say; default: the manager's own limit";
            "DefaultLimitRTPRIO": "LimitRTPRIO= where the service does not say; default: the manager's own limit";
            "DefaultLimitRTTIME": "LimitRTTIME= where the service does not say; default: the manager's own limit";
        }
        /// Variables for all services, before those of `Environment=`.
        default_environment: Vec<(String, String)> = Vec::new() => "DefaultEnvironment" {
            "DefaultEnvironment": "Variables for all services, as NAME=value words";
        }
        /// For units without `StandardOutput=`.
        default_standard_output: StandardOutput = StandardOutput::Log(LogTarget::Journal) => "DefaultStandardOutput" {
            "DefaultStandardOutput": "Where output goes where the unit does not say, written as for StandardOutput=; default journal";
        }
        /// For units without `StandardError=`.
        default_standard_error: StandardOutput = StandardOutput::Inherit => "DefaultStandardError" {
            "DefaultStandardError": "Where error output goes where the unit does not say; default inherit (as the output)";
        }
        /// How large the log of a unit gets.
        log_file_size: Size = Size(8 << 20) => ("LogFileSize" own) {
            "LogFileSize": "Size at which the log of a unit is put away for a new file; default 8M";
        }
        /// How many files the log of a unit has.
        log_files: u32 = 4 => ("LogFiles" own) {
            "LogFiles": "Files of each log that are kept, the one in use included; default 4";
        }
        /// Where the journal takes streams; `None`: it is not used.
        journal_socket: Option<AbsolutePath> = Some(AbsolutePath::known("/run/systemd/journal/stdout")) => ("JournalSocket" own) {
            "JournalSocket": "Socket of the journal, which gets the output of services while it is there; empty: never; default /run/systemd/journal/stdout";
        }
        /// What is logged.
        log_level: LogLevel = LogLevel::Info => "LogLevel" {
            "LogLevel": "What is logged: error, warning, info (default), debug or trace, each with those before it";
        }
        /// Directories of unit files beside the usual ones.
        unit_path: UnitPath = UnitPath::default() => "UnitPath" {
            "UnitPath": "Directories of unit files that are searched after the usual ones, with colons or blanks between";
        }
        /// For sockets without `LimitAction=`.
        default_limit_action: LimitAction = LimitAction::Pause => ("DefaultLimitAction" own) {
            "DefaultLimitAction": "When a socket hits a limit and does not say: pause it (default), or fail it for good";
        }
        /// Where metrics are served; `None`: nowhere.
        metrics_listen: Option<ListenAddress> = None => ("MetricsListen" own) {
            "MetricsListen": "Where the manager serves OpenMetrics over HTTP, written as for ListenStream=; from its next start; default: nowhere";
        }
        /// How groups are steered, from their next start.
        steering_make: SteeringMake = SteeringMake::Auto => ("SteeringMake" own) {
            "SteeringMake": "How groups are steered: auto (default: by eBPF where the kernel lets us), or classic (BPF without privilege)";
        }
        /// Whether the kernel's setting for migration is switched on where a group needs it.
        migrate_requests: bool = false => ("MigrateRequests" own) {
            "MigrateRequests": "Whether to set net.ipv4.tcp_migrate_req for groups that are not steered by eBPF; holds for all of the host; default no";
        }
    }
}

impl Settings {
    /// The settings that a file says, and what is wrong in it.
    ///
    /// `%` specifiers are those of `host`; those of a unit speak of the manager, as if it were `sockmgrd.service`.
    pub fn read(source: &Source, host: &Host) -> (Self, Vec<Diagnostic>) {
        let mut reader = Reader { settings: Self::default(), source, host, diagnostics: Vec::new() };
        let mut in_manager = false;
        for entry in syntax::parse(&source.text, source.syntax) {
            match entry {
                Entry::Section { name, place } => in_manager = reader.section(&name, place),
                Entry::Assignment(assignment) if in_manager => reader.assignment(&assignment),
                Entry::Assignment(_) => {}
                Entry::Ignored { place, problem } => {
                    reader.report(
                        Severity::Warning,
                        place,
                        problem.to_string(),
                        problem.help().map(str::to_owned),
                    );
                }
                Entry::Broken { place, problem } => {
                    reader.report(
                        Severity::Error,
                        place,
                        problem.to_string(),
                        problem.help().map(str::to_owned),
                    );
                }
            }
        }
        reader.settings.shrink();
        (reader.settings, reader.diagnostics)
    }
}

struct Reader<'a> {
    settings: Settings,
    source: &'a Source,
    host: &'a Host,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn section(&mut self, name: &str, place: Place) -> bool {
        if name != "Manager" && !name.starts_with("X-") {
            let help = Some("the settings are in the table [Manager]".to_owned());
            self.report(Severity::Warning, place, format!("unknown section [{name}]; it is skipped"), help);
        }
        name == "Manager"
    }

    fn assignment(&mut self, assignment: &Assignment<'_>) {
        let Assignment { key, value, place, .. } = assignment;
        let unit: UnitName = "sockmgrd.service".parse().expect("the name is valid");
        let cx = Context::new(&unit, self.host).at(key);
        let outcome = self.settings.assign(value, &cx);
        let errors = cx.into_warnings().into_iter().chain(outcome.clone().and_then(Result::err));
        for error in errors {
            let help = error.help().or_else(|| suggest::form(Section::Manager, key));
            self.report(Severity::Warning, *place, format!("{key}: {error}"), help);
        }
        if outcome.is_none() && !key.starts_with("X-") {
            let suggest::Unknown { message, help } = suggest::unknown(Section::Manager, key);
            self.report(Severity::Warning, *place, message, help);
        }
    }

    fn report(&mut self, severity: Severity, place: Place, message: String, help: Option<String>) {
        let found = Diagnostic::new(severity, &self.source.path, message).at(place.line);
        self.diagnostics.push(Diagnostic { column: place.column, help, ..found });
    }
}

/// What is logged: a level and all above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What may be wrong.
    Warning,
    /// What a person wants to know.
    #[default]
    Info,
    /// What happens inside.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Scalar for LogLevel {
    const FORM: &'static str = "a level: error, warning, info, debug or trace";
    const SIGNATURE: &'static str = "s";

    /// Also takes the words and numbers of syslog(3), as systemd does.
    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        Ok(match text {
            "error" | "err" | "crit" | "alert" | "emerg" | "3" | "2" | "1" | "0" => Self::Error,
            "warning" | "warn" | "4" => Self::Warning,
            "info" | "notice" | "6" | "5" => Self::Info,
            "debug" | "7" => Self::Debug,
            "trace" => Self::Trace,
            _ => return Err(ValueError::invalid(text, <Self as Scalar>::FORM)),
        })
    }

    fn property(&self) -> Property {
        Property::Str(self.as_str().to_owned())
    }
}

/// Absolute directories; assignments add up, an empty one forgets the earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitPath(Vec<Box<str>>);

impl Deref for UnitPath {
    type Target = [Box<str>];

    fn deref(&self) -> &[Box<str>] {
        &self.0
    }
}

impl Value for UnitPath {
    const FORM: &'static str = "absolute paths of directories, with colons or blanks between";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        }
        for word in text.split([' ', '\t', ':']).filter(|word| !word.is_empty()) {
            match cx.expand(word) {
                Ok(path) if path.starts_with('/') => self.0.push(path.into()),
                Ok(path) => cx.warn(ValueError::NotAbsolute(path)),
                Err(error) => cx.warn(error),
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.0.iter().map(ToString::to_string).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::syntax::Syntax;
    use crate::value::{LimitKind, Rlimit};

    fn read(text: &str) -> (Settings, Vec<String>) {
        let source =
            Source { path: Path::new("s.toml").into(), text: text.as_bytes().into(), syntax: Syntax::Toml };
        let (settings, diagnostics) = Settings::read(&source, &Host::default());
        (settings, diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_the_manager_s_table() {
        let (settings, diagnostics) = read(
            "[Manager]\nDefaultTimeoutStartSec = \"1min 30s\"\nDefaultRestartSec = 0.5\nDefaultLimitAction = \"fail\"\n\
             DefaultLimitNOFILE = \"1024:4096\"\nLogLevel = \"debug\"\nUnitPath = [\"/a:/b\", \"/c\"]\n\
             DefaultEnvironment = [\"A=1 B=2\", \"C=3\"]",
        );
        assert_eq!(diagnostics, [""; 0]);
        assert_eq!(settings.default_timeout_start_sec, Span::from_secs(90));
        assert_eq!(settings.default_restart_sec, Span::from_millis(500));
        assert_eq!(settings.default_limit_action, LimitAction::Fail);
        let limit = settings.default_limits.get(LimitKind::Nofile);
        assert_eq!(limit, Some(Rlimit { soft: 1024, hard: 4096 }));
        assert_eq!(settings.log_level, LogLevel::Debug);
        assert_eq!(settings.unit_path.iter().map(|path| &**path).collect::<Vec<_>>(), ["/a", "/b", "/c"]);
        assert_eq!(settings.default_environment.len(), 3);
    }

    #[test]
    fn bad_settings_keep_the_default_and_are_named() {
        let (settings, diagnostics) = read(
            "[Manager]\nDefaultTimeoutStopSec = \"soon\"\nDefaultRestart = 1\n[Other]\nUnitPath = \"x\"\n",
        );
        assert_eq!(settings, Settings::default());
        assert_eq!(diagnostics.len(), 3, "{diagnostics:?}");
        assert!(
            diagnostics[0].starts_with("s.toml:2:1: warning: DefaultTimeoutStopSec: "),
            "{diagnostics:?}"
        );
        assert!(diagnostics[1].ends_with("did you mean DefaultRestartSec=?"), "{diagnostics:?}");
        assert!(
            diagnostics[2].starts_with("s.toml:4:2: warning: unknown section [Other]"),
            "{diagnostics:?}"
        );
        assert_eq!(read("[Manager").0, Settings::default());
    }
}
