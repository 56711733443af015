//! How a line of the log is shown.
//!
//! Invariant: on a terminal nothing that a service has written moves the cursor or changes colours.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::cli::style::{Style, Tone};
use crate::logfile::OwnedRecord;

/// The forms of a line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// Time, unit, program and message
    #[default]
    Short,
    /// The same, with the time of ISO 8601
    ShortIso,
    /// The message as it was written
    Cat,
    /// An object a line, with the journal's names
    Json,
}

/// Draws lines.
pub(super) struct Printer {
    form: Form,
    style: Style,
    zone: TimeZone,
}

impl Printer {
    pub(super) fn new(form: Form, style: Style) -> Self {
        Self { form, style, zone: TimeZone::system() }
    }

    /// A line with its end.
    pub(super) fn line(&self, record: &OwnedRecord) -> Vec<u8> {
        let mut line = match self.form {
            Form::Short => self.short(record, "%b %d %H:%M:%S"),
            Form::ShortIso => self.short(record, "%Y-%m-%dT%H:%M:%S%z"),
            Form::Cat if self.style.is_terminal() => visible(&record.message).into_bytes(),
            Form::Cat => record.message.clone(),
            Form::Json => json(record).to_string().into_bytes(),
        };
        line.push(b'\n');
        line
    }

    fn short(&self, record: &OwnedRecord, time: &str) -> Vec<u8> {
        let at = i64::try_from(record.time).ok().and_then(|time| Timestamp::from_microsecond(time).ok());
        let at = at.unwrap_or_default().to_zoned(self.zone.clone()).strftime(time).to_string();
        let pid = if record.pid > 0 { format!("[{}]", record.pid) } else { String::new() };
        let tone = match record.level() {
            0..=3 => Tone::Bad,
            4 => Tone::Warning,
            5 => Tone::Strong,
            7 => Tone::Faint,
            _ => Tone::Plain,
        };
        let message = self.style.paint(tone, &visible(&record.message));
        let identifier = visible(record.identifier.as_bytes());
        format!("{at} {} {identifier}{pid}: {message}", record.unit).into_bytes()
    }
}

/// Text whose control characters do not reach the terminal.
pub(super) fn visible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

/// As `journalctl -o json` has it; what is no text is a list of its bytes.
fn json(record: &OwnedRecord) -> Value {
    let mut object = Map::new();
    let mut set = |name: &str, value: String| object.insert(name.to_owned(), Value::from(value));
    for (name, value) in &record.fields {
        set(name, value.clone());
    }
    set("__REALTIME_TIMESTAMP", record.time.to_string());
    set("PRIORITY", record.level().to_string());
    set("SYSLOG_FACILITY", (record.priority >> 3).to_string());
    set("SYSLOG_IDENTIFIER", record.identifier.clone());
    set("_SYSTEMD_UNIT", record.unit.clone());
    if record.pid > 0 {
        set("_PID", record.pid.to_string());
    }
    let is_text = |text: &&str| text.chars().all(|c| !c.is_control() || c == '\t');
    let message = std::str::from_utf8(&record.message).ok().filter(is_text);
    let bytes = || record.message.iter().copied().collect::<Value>();
    object.insert("MESSAGE".to_owned(), message.map_or_else(bytes, Value::from));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &[u8]) -> OwnedRecord {
        OwnedRecord {
            time: 1_732_561_694_123_456,
            priority: 27,
            unit: "web@1.service".to_owned(),
            identifier: "my app".to_owned(),
            pid: 7,
            fields: vec![("TIER".to_owned(), "front".to_owned())],
            message: message.to_vec(),
        }
    }

    fn shown(form: Form, message: &[u8]) -> String {
        let printer = Printer { form, style: Style::default(), zone: TimeZone::UTC };
        String::from_utf8(printer.line(&record(message))).unwrap()
    }

    #[test]
    fn each_form_of_a_line() {
        assert_eq!(shown(Form::Short, b"hello"), "Nov 25 19:08:14 web@1.service my app[7]: hello\n");
        assert_eq!(
            shown(Form::ShortIso, b"a\x1b[2J"),
            "2024-11-25T19:08:14+0000 web@1.service my app[7]: a?[2J\n"
        );
        assert_eq!(shown(Form::Cat, b"a\x1b[2J"), "a\x1b[2J\n");
        let json = r#"{"MESSAGE":"hello","PRIORITY":"3","SYSLOG_FACILITY":"3","SYSLOG_IDENTIFIER":"my app","TIER":"front","_PID":"7","_SYSTEMD_UNIT":"web@1.service","__REALTIME_TIMESTAMP":"1732561694123456"}"#;
        assert_eq!(shown(Form::Json, b"hello"), format!("{json}\n"));
        assert!(shown(Form::Json, b"\xff\x01").contains(r#""MESSAGE":[255,1]"#));
    }
}
