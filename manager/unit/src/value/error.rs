//! What can be wrong with a value.
//!
//! Never here: file and line; the reader that has them makes the diagnostic.
//! Invariant: a message says what is wrong with which text; what would be right is the help, or else the value's FORM.

use crate::name::NameError;
use crate::specifier::SpecifierError;

/// Why a value, or one word of it, was refused. With [`Self::is_fatal`] the unit cannot be loaded; else the assignment
/// is ignored and the earlier value stays (systemd.syntax(7)).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The directive cannot be reset by an empty assignment.
    #[error("the value is empty")]
    Empty,
    /// The text is not of the accepted form.
    #[error("\"{text}\" is not {expected}")]
    Invalid {
        /// The refused text.
        text: String,
        /// What it should have been, in a few words with their article; the value's FORM says it in full.
        expected: &'static str,
    },
    /// Well formed, but too large or too small.
    #[error("\"{text}\" is out of range")]
    Range {
        /// The refused text.
        text: String,
        /// What would be in range, as a sentence for the help.
        limit: &'static str,
    },
    /// A path or address with more bytes than the kernel takes.
    #[error("{length} bytes are too long; at most {limit} fit")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes possible.
        limit: usize,
    },
    /// It looks like something that is no listening address but often tried.
    #[error("\"{text}\" is not an address to listen on")]
    Address {
        /// The refused text.
        text: String,
        /// What would be right; `None`: any of the forms.
        instead: Option<&'static str>,
    },
    /// A path that must start with `/` and does not.
    #[error("\"{0}\" is not an absolute path")]
    NotAbsolute(String),
    /// A path through `..`.
    #[error("\"{0}\" is not normalized: it goes through `..`")]
    NotNormalized(String),
    /// A `'` or `"` without its partner, or a backslash at the end.
    #[error("unbalanced quotes in \"{0}\"")]
    Quotes(String),
    /// A backslash that begins no escape.
    #[error("unknown escape sequence in \"{0}\"")]
    Escape(String),
    /// Such an address cannot have sockets of that type.
    #[error("\"{0}\" is not a unix socket; only those carry sequential packets")]
    Family(String),
    /// The interface after `%` does not exist.
    #[error("no network interface is called \"{0}\"")]
    NoInterface(String),
    /// systemd knows it, sockmgr does not (yet).
    #[error("\"{0}\" is not supported by sockmgr yet")]
    Unsupported(String),
    /// Accepted, and worth knowing: a warning only.
    #[error("\"{text}\" {remark}")]
    Remark {
        /// The accepted text.
        text: String,
        /// What is to be said about it.
        remark: &'static str,
    },
    /// Anything else, said in full.
    #[error("{0}")]
    Other(String),
    /// See [`SpecifierError`].
    #[error(transparent)]
    Specifier(#[from] SpecifierError),
    /// See [`NameError`].
    #[error(transparent)]
    Name(#[from] NameError),
    /// The same, in a directive without which the unit makes no sense: it is not loaded at all.
    #[error("{0}")]
    Fatal(Box<ValueError>),
    /// The same, where systemd takes it for a file that cannot be read (`error` instead of `bad-setting`).
    #[error("{0}")]
    Unreadable(Box<ValueError>),
}

impl ValueError {
    /// An error that `message` says in full, without a full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Other(message.into())
    }

    /// `text` is not `expected` ("a boolean"); empty text is just empty.
    pub fn invalid(text: &str, expected: &'static str) -> Self {
        if text.is_empty() { Self::Empty } else { Self::Invalid { text: text.to_owned(), expected } }
    }

    /// `text` is out of range; `limit` says what is in it.
    pub fn range(text: &str, limit: &'static str) -> Self {
        Self::Range { text: text.to_owned(), limit }
    }

    /// The same error, now keeping the unit from being loaded (`bad-setting`).
    #[must_use]
    pub fn fatal(self) -> Self {
        if self.is_fatal() { self } else { Self::Fatal(Box::new(self)) }
    }

    /// Whether the unit must not be loaded, instead of only this assignment being ignored.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal(_) | Self::Unreadable(_))
    }

    /// Whether the value was accepted nevertheless.
    pub fn is_remark(&self) -> bool {
        matches!(self, Self::Remark { .. })
    }

    /// What would be right, where the error knows it better than the value's general form.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Fatal(inner) | Self::Unreadable(inner) => inner.help(),
            Self::Range { limit, .. } => Some((*limit).to_owned()),
            Self::Address { instead, .. } => instead.map(str::to_owned),
            Self::Family(_) => Some("use ListenStream= or ListenDatagram= for it".to_owned()),
            Self::NoInterface(_) => {
                Some("a name must exist when the unit is loaded; an index need not".to_owned())
            }
            Self::NotAbsolute(path) => Some(format!("a path starts with `/`; did you mean `%t/{path}`?")),
            Self::Specifier(error) => Some(error.help().to_owned()),
            Self::Quotes(_) => Some("write `\\\"` or `\\'` for a literal quote".to_owned()),
            Self::Escape(_) => Some("write `\\\\` for a literal backslash".to_owned()),
            _ => None,
        }
    }
}
