//! One line of a log file: `2026-11-25T19:08:14.123456Z <30> web@1.service hello[123] FIELD=value: message`.
//!
//! Words before the colon have what would end them escaped as `\xNN`; the message is as it was written, and only cannot
//! have a line break in it. Invariant: what [`Header::write`] writes, [`Record::parse`] reads back.

use std::fmt::Write as _;

use jiff::Timestamp;

/// What a line in the log says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Microseconds since 1970.
    pub time: u64,
    /// Facility and level (syslog(3)).
    pub priority: u32,
    /// Whose it is.
    pub unit: &'a str,
    /// By which name it is logged.
    pub identifier: String,
    /// The process that was started to write it; 0: not known any more.
    pub pid: u32,
    /// `LogExtraFields=`
    pub fields: Vec<(String, String)>,
    /// What was written.
    pub message: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a line, without its end. `None`: it is none, or damaged.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut rest = line;
        let time = next_word(&mut rest)?.parse::<Timestamp>().ok()?;
        let priority = next_word(&mut rest)?.strip_prefix('<')?.strip_suffix('>')?.parse().ok()?;
        let unit = next_word(&mut rest)?;
        let mut words = Vec::new();
        loop {
            let word = next_word(&mut rest)?;
            let last = word.strip_suffix(':');
            words.push(last.unwrap_or(word));
            if last.is_some() {
                break;
            }
        }
        let (source, fields) = words.split_first()?;
        let (identifier, pid) = match source.strip_suffix(']').and_then(|source| source.rsplit_once('[')) {
            Some((identifier, pid)) => (identifier, pid.parse().ok()?),
            None => (*source, 0),
        };
        let field = |word: &&str| {
            let (name, value) = word.split_once('=')?;
            Some((name.to_owned(), unescape(value)))
        };
        Some(Self {
            time: u64::try_from(time.as_microsecond()).ok()?,
            priority,
            unit,
            identifier: unescape(identifier),
            pid,
            fields: fields.iter().filter_map(field).collect(),
            message: rest,
        })
    }

    /// The same with a message of its own.
    pub(super) fn into_owned(self) -> OwnedRecord {
        OwnedRecord {
            time: self.time,
            priority: self.priority,
            unit: self.unit.to_owned(),
            identifier: self.identifier,
            pid: self.pid,
            fields: self.fields,
            message: self.message.to_vec(),
        }
    }
}

/// A record that owns everything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of a record")]
pub struct OwnedRecord {
    pub time: u64,
    pub priority: u32,
    pub unit: String,
    pub identifier: String,
    pub pid: u32,
    pub fields: Vec<(String, String)>,
    pub message: Vec<u8>,
}

impl OwnedRecord {
    /// The level of its priority: 0 is the most important, 7 the least.
    pub fn level(&self) -> u32 {
        self.priority & 7
    }
}

/// What the lines of a batch have in common, as it stands in the file.
#[derive(Clone, Debug)]
pub struct Header {
    time: String,
    source: String,
    /// The whole of it, for lines of this priority.
    prefix: (u32, Vec<u8>),
}

impl Header {
    /// Of lines that come at `time` (microseconds since 1970) from a process of `unit`.
    pub fn new<'a>(
        time: u64,
        unit: &str,
        identifier: &str,
        pid: u32,
        fields: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let time = i64::try_from(time).ok().and_then(|time| Timestamp::from_microsecond(time).ok());
        let mut source = format!("{unit} ");
        escape(&mut source, identifier);
        if pid > 0 {
            // Writing to a string cannot fail.
            let _ = write!(source, "[{pid}]");
        }
        for (name, value) in fields {
            source.push(' ');
            source.push_str(name);
            source.push('=');
            escape(&mut source, value);
        }
        let time = format!("{:.6}", time.unwrap_or_default());
        Self { time, source, prefix: (0, Vec::new()) }
    }

    /// Adds a line. The message must have no line break in it.
    pub fn write(&mut self, priority: u32, message: &[u8], lines: &mut Vec<u8>) {
        // Most lines have the priority of the one before.
        if self.prefix.0 != priority || self.prefix.1.is_empty() {
            self.prefix = (priority, format!("{} <{priority}> {}: ", self.time, self.source).into_bytes());
        }
        lines.extend_from_slice(&self.prefix.1);
        lines.extend_from_slice(message);
        lines.push(b'\n');
    }
}

/// The text up to the next blank, which is taken off.
fn next_word<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let at = memchr::memchr(b' ', rest)?;
    let (word, after) = rest.split_at(at);
    *rest = &after[1..];
    std::str::from_utf8(word).ok()
}

fn escape(text: &mut String, word: &str) {
    for c in word.chars() {
        if c.is_control() || c.is_whitespace() || matches!(c, ':' | '\\' | '[') {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(text, "\\x{byte:02x}");
            }
        } else {
            text.push(c);
        }
    }
}

fn unescape(word: &str) -> String {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((plain, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(plain.as_bytes());
        let digits = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(digits.unwrap_or(b'?'));
        rest = after.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_looks_like_this() {
        let mut line = Vec::new();
        let fields = [("A", "b c")].into_iter();
        Header::new(1_732_561_694_123_456, "web@1.service", "my app", 7, fields).write(
            30,
            b"x: y [1]",
            &mut line,
        );
        let text = "2024-11-25T19:08:14.123456Z <30> web@1.service my\\x20app[7] A=b\\x20c: x: y [1]\n";
        assert_eq!(String::from_utf8_lossy(&line), text);
    }

    #[test]
    fn what_is_damaged_is_no_record() {
        for line in ["", "x", "2024-11-25T19:08:14Z <30> a.service", "2024-11-25T19:08:14Z 30 a.service b: c"]
        {
            assert_eq!(Record::parse(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_record_reads_back(
            time in 0u64..4_000_000_000_000_000,
            priority in 0u32..1024,
            identifier in "\\PC{1,20}|[ :\\[\\]\\\\x0-9]{1,9}",
            pid: u32,
            value: String,
            message in prop::collection::vec(any::<u8>().prop_filter("no line break", |byte| *byte != b'\n'), 0..80),
        ) {
            let mut line = Vec::new();
            Header::new(time, "a@b:c.service", &identifier, pid, [("F_1", value.as_str())].into_iter())
                .write(priority, &message, &mut line);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert!(!line[..line.len() - message.len()].contains(&b'\n'));
            let record = Record::parse(&line).unwrap();
            let expected = Record {
                time, priority, unit: "a@b:c.service", identifier, pid,
                fields: vec![("F_1".to_owned(), value)],
                message: &message,
            };
            prop_assert_eq!(record, expected);
        }
    }
}
