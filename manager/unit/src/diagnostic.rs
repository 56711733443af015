//! What is said to the author of a unit file: where, what is wrong, and what would be right.
//!
//! Never here: the decision what is wrong. Invariant: one diagnostic speaks of one place.

use std::fmt;
use std::path::Path;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Works, but should be written otherwise.
    Notice,
    /// This line is ignored; the unit loads.
    Warning,
    /// The unit cannot be started (or, in a drop-in, the rest of that drop-in is lost).
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One finding in one file. Displayed as `file:line: warning: message`, then a line `help: …` where there is any; with `{:#}` without
/// the severity, for where that is said already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file as the loader named it.
    pub file: Box<Path>,
    /// Counted from 1; a continued line has the number of its last physical line. `None`: the file as a whole.
    pub line: Option<u32>,
    /// Counted from 1, in characters; where the syntax tells it.
    pub column: Option<u32>,
    /// The key, as spelled in the file.
    pub directive: Option<Box<str>>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding about `file` as a whole; the `at`, `about` and `help` methods make it precise.
    pub fn new(severity: Severity, file: &Path, message: impl Into<String>) -> Self {
        Self {
            severity,
            file: file.into(),
            line: None,
            column: None,
            directive: None,
            message: message.into(),
            help: None,
        }
    }

    /// At this line.
    #[must_use]
    pub fn at(self, line: u32) -> Self {
        Self { line: Some(line), ..self }
    }

    /// At this column of the line.
    #[must_use]
    pub fn at_column(self, column: u32) -> Self {
        Self { column: Some(column), ..self }
    }

    /// About the directive spelled `key`.
    #[must_use]
    pub fn about(self, key: &str) -> Self {
        Self { directive: Some(key.into()), ..self }
    }

    /// With advice what would be right.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        if !f.alternate() {
            write!(f, ": {}", self.severity)?;
        }
        write!(f, ": {}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n    help: {help}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_place_severity_message_and_help() {
        let whole = Diagnostic::new(Severity::Error, Path::new("/u/a.socket"), "no Listen line");
        assert_eq!(whole.to_string(), "/u/a.socket: error: no Listen line");
        let precise = Diagnostic::new(Severity::Warning, Path::new("a.socket.toml"), "bad")
            .at(3)
            .at_column(7)
            .with_help("good");
        assert_eq!(precise.to_string(), "a.socket.toml:3:7: warning: bad\n    help: good");
        assert_eq!(format!("{precise:#}"), "a.socket.toml:3:7: bad\n    help: good");
    }
}
