//! The manager's own log: one line an event on standard error, in colour on a terminal.
//!
//! Lines look like `web@1.service  running (pid 4711)`; with the time where no terminal shows them as they come.

use std::fmt;
use std::io::IsTerminal;

use sockmgr_unit::{Diagnostic, LogLevel, Severity};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Column at which messages begin, so that names of usual length line up.
const NAME_WIDTH: usize = 18;

/// The colour of the name before what a service says itself.
const OF_A_SERVICE: &str = "\x1b[1;32m";

/// Starts logging to standard error, down to this level.
pub fn init(level: LogLevel) {
    let ansi = std::io::stderr().is_terminal() && is_coloured();
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warning => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .with_max_level(level)
        .event_format(Line { with_time: !ansi })
        .finish();
    // Only fails when a subscriber is there already, which is then as good.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Adds a line that a service has written, in the form of ours.
pub fn line(unit: &str, message: &[u8], is_terminal: bool, lines: &mut Vec<u8>) {
    let mut name = String::new();
    if !is_terminal {
        // Writing to a string cannot fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut name));
        name.push(' ');
    }
    let [begin, end] = if is_terminal && is_coloured() { [OF_A_SERVICE, "\x1b[0m"] } else { ["", ""] };
    let _ = fmt::write(&mut name, format_args!("{begin}{unit:NAME_WIDTH$}{end} "));
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(message);
    lines.push(b'\n');
}

fn is_coloured() -> bool {
    std::env::var_os("NO_COLOR").is_none()
}

/// Logs what was wrong in a unit file.
pub fn diagnostic(diagnostic: &Diagnostic) {
    match diagnostic.severity {
        Severity::Error => tracing::error!("{diagnostic:#}"),
        Severity::Warning => tracing::warn!("{diagnostic:#}"),
        Severity::Notice => tracing::info!("{diagnostic:#}"),
    }
}

struct Line {
    with_time: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if self.with_time {
            SystemTime.format_time(&mut writer)?;
            writer.write_char(' ')?;
        }
        let level = *event.metadata().level();
        let [begin, end] = if writer.has_ansi_escapes() { [colour(level), "\x1b[0m"] } else { ["", ""] };
        let name = if fields.unit.is_empty() { "sockmgrd" } else { &fields.unit };
        let tag = word(level);
        writeln!(writer, "{begin}{name:NAME_WIDTH$}{end} {tag}{}", fields.message)
    }
}

/// The level in words, where it matters.
fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error: ",
        Level::WARN => "warning: ",
        _ => "",
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[1;31m",
        Level::WARN => "\x1b[1;33m",
        Level::INFO => "\x1b[1;36m",
        _ => "\x1b[2m",
    }
}

/// The unit and the message; other fields follow the message.
#[derive(Default)]
struct Fields {
    unit: String,
    message: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => {
                let rest = std::mem::take(&mut self.message);
                write!(self.message, "{value:?}{rest}")
            }
            "unit" => write!(self.unit, "{value:?}"),
            name => write!(self.message, " {name}={value:?}"),
        };
    }
}
