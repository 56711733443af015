//! The standard streams of a unit's processes, and its log (systemd.exec(5), "Logging and standard input/output").

use crate::directive::{Property, section};
use crate::value::{
    AbsolutePath, ExtraFields, FdName, InputData, LogTarget, Span, StandardInput, StandardOutput,
    SyslogFacility, SyslogLevel, TerminalSize,
};

section! {
    /// Where the standard streams of processes lead, and what becomes of what they write to the log.
    pub struct StreamSection in (Service, Socket) {
        /// Where descriptor 0 comes from.
        standard_input: StandardInput = StandardInput::Null => "StandardInput" {
            "StandardInput": "Where descriptor 0 comes from: null (default), data, socket (as inetd did), file:/path, fd:name, tty";
        }
        /// What `StandardInput=data` has.
        standard_input_data: InputData = InputData::default() => "StandardInputData" {
            "StandardInputText": "Line of text for descriptor 0, with C escapes; lines add up";
            "StandardInputData": "Bytes for descriptor 0, in Base64; they add up";
        }
        /// Where descriptor 1 goes. `Inherit`, once the unit is loaded: to where `standard_input` is.
        standard_output: StandardOutput = StandardOutput::Inherit => "StandardOutput" {
            "StandardOutput": "Where output goes: journal (the log, default), kmsg, either with +console, inherit, null, tty, socket, file:/path, append:/path, truncate:/path, fd:name";
        }
        /// Where descriptor 2 goes. `Inherit`: as `standard_output`.
        standard_error: StandardOutput = StandardOutput::Inherit => "StandardError" {
            "StandardError": "Where error output goes, written as for StandardOutput=; default inherit (the same)";
        }
        /// By which name lines are logged; `None`: that of the program.
        syslog_identifier: Option<Box<str>> = None => "SyslogIdentifier" {
            "SyslogIdentifier": "Name by which lines are logged; default: the program's";
        }
        /// What kind of program it is.
        syslog_facility: SyslogFacility = SyslogFacility::DAEMON => "SyslogFacility" {
            "SyslogFacility": "Facility of lines in the log (syslog(3)); default daemon";
        }
        /// How important lines are that do not say.
        syslog_level: SyslogLevel = SyslogLevel::INFO => "SyslogLevel" {
            "SyslogLevel": "Level of lines in the log that do not say; default info";
        }
        /// `<3>` at the start of a line is its level.
        syslog_level_prefix: bool = true => "SyslogLevelPrefix" {
            "SyslogLevelPrefix": "Whether <3> at the start of a line is its level (sd-daemon(3)); default yes";
        }
        /// Lines below this are not logged; `None`: all are.
        log_level_max: Option<SyslogLevel> = None => "LogLevelMax" {
            "LogLevelMax": "Least important level that is logged; default: all";
        }
        /// In this span at most `log_rate_limit_burst` lines are logged; zero: any number.
        log_rate_limit_interval_sec: Span = Span::ZERO => "LogRateLimitIntervalUSec" {
            "LogRateLimitIntervalSec": "Window of the limit of log lines; default: no limit";
        }
        /// See `log_rate_limit_interval_sec`.
        log_rate_limit_burst: u32 = 0 => "LogRateLimitBurst" {
            "LogRateLimitBurst": "Log lines in that window; what is more is counted and left out; default: no limit";
        }
        /// What lines in the log have beside their own.
        log_extra_fields: ExtraFields = ExtraFields::default() => "LogExtraFields" {
            "LogExtraFields": "Fields of each line in the log, NAME=value, as logs -o json shows them; they add up";
        }
        /// The terminal of `tty`; `None`: `/dev/console`.
        tty_path: Option<AbsolutePath> = None => "TTYPath" {
            "TTYPath": "Terminal of StandardInput=tty and its like; default /dev/console";
        }
        /// The terminal is set to what is usual first.
        tty_reset: bool = false => "TTYReset" {
            "TTYReset": "Whether to bring the terminal into its usual state first; default no";
        }
        /// Whoever has the terminal is cut off first.
        tty_vhangup: bool = false => "TTYVHangup" {
            "TTYVHangup": "Whether to cut off whoever has the terminal open; default no";
        }
        /// Rows that the terminal has.
        tty_rows: TerminalSize = TerminalSize::default() => "TTYRows" {
            "TTYRows": "Rows of the terminal";
        }
        /// Columns that the terminal has.
        tty_columns: TerminalSize = TerminalSize::default() => "TTYColumns" {
            "TTYColumns": "Columns of the terminal";
        }
    }
}

impl StreamSection {
    /// Whether a standard stream is the socket itself (inetd style).
    pub fn uses_socket(&self) -> bool {
        self.standard_input == StandardInput::Socket
            || [&self.standard_output, &self.standard_error].contains(&&StandardOutput::Socket)
    }

    /// Whether a standard stream is an inherited descriptor that is named.
    pub fn uses_named(&self) -> bool {
        self.fd_names().iter().any(|(_, name)| name.is_some())
    }

    /// Where the log of output or error output goes, if any does.
    pub fn log_target(&self) -> Option<LogTarget> {
        [&self.standard_output, &self.standard_error]
            .into_iter()
            .find_map(|output| if let StandardOutput::Log(target) = output { Some(*target) } else { None })
    }

    /// Facility and level of lines that do not say, in one number (syslog(3)).
    pub fn priority(&self) -> u32 {
        u32::from(self.syslog_facility.0) << 3 | u32::from(self.syslog_level.0)
    }

    fn fd_names(&self) -> [(&'static str, Option<&FdName>); 3] {
        [
            ("StandardInputFileDescriptorName", self.standard_input.fd_name()),
            ("StandardOutputFileDescriptorName", self.standard_output.fd_name()),
            ("StandardErrorFileDescriptorName", self.standard_error.fd_name()),
        ]
    }

    /// What follows from the directives.
    pub(crate) fn more_properties(&self) -> impl Iterator<Item = (&'static str, Property)> {
        let text = |name: Option<&FdName>| name.map(ToString::to_string).unwrap_or_default();
        let names = self.fd_names().map(|(property, name)| (property, Property::Str(text(name))));
        let priority = i32::try_from(self.priority()).unwrap_or(i32::MAX);
        names.into_iter().chain([("SyslogPriority", Property::I32(priority))])
    }

    /// Fills in what a service gets that does not say (as systemd does): from an input that is for reading only no output
    /// is inherited.
    pub(crate) fn resolve(&mut self, output: &StandardOutput, error: &StandardOutput) {
        if self.standard_input == StandardInput::Null && !self.standard_input_data.bytes().is_empty() {
            self.standard_input = StandardInput::Data;
        }
        if self.standard_input.is_bidirectional() {
            return;
        }
        let inherits = self.standard_output == StandardOutput::Inherit;
        if inherits && self.standard_error == StandardOutput::Inherit {
            self.standard_error = error.clone();
        }
        if inherits {
            self.standard_output = output.clone();
        }
    }
}
