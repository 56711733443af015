//! Colours and the terminal they are for.
//!
//! Text passes through unchanged where stdout is no terminal or `NO_COLOR` is set. Invariant: no escape sequence is
//! written anywhere else in the command.

use std::io::IsTerminal;

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    Warning,
    Strong,
    Faint,
    Title,
}

/// How the terminal wants its text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    colour: bool,
    is_terminal: bool,
    /// Columns of the terminal, if stdout is one.
    pub(crate) width: Option<usize>,
}

impl Style {
    /// The style for stdout: colours on a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    pub(crate) fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::default();
        }
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        Self { colour: !no_color && !dumb, is_terminal: true, width }
    }

    /// Whether it is a terminal at all.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// `text` in the colours of `tone`.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "1;32",
            Tone::Bad => "1;31",
            Tone::Warning => "1;33",
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Title => "4",
            Tone::Plain => "",
        };
        if self.colour && !code.is_empty() && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The colour of an active state.
pub(crate) fn state_tone(active_state: &str) -> Tone {
    match active_state {
        "active" | "reloading" => Tone::Good,
        "failed" => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// The dot of an active state, as systemd draws it.
pub(crate) fn state_dot(active_state: &str) -> &'static str {
    match active_state {
        "active" | "activating" | "deactivating" => "●",
        "reloading" => "↻",
        "failed" => "×",
        _ => "○",
    }
}

/// The colour of a load state: everything but a loaded unit is worth a look.
pub(crate) fn load_tone(load_state: &str) -> Tone {
    match load_state {
        "error" | "not-found" | "bad-setting" => Tone::Bad,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_only() {
        let coloured = Style { colour: true, is_terminal: true, width: None };
        assert_eq!(coloured.paint(Tone::Bad, "failed"), "\x1b[1;31mfailed\x1b[0m");
        assert_eq!(coloured.paint(Tone::Plain, "dead"), "dead");
        assert_eq!(Style::default().paint(Tone::Bad, "failed"), "failed");
    }
}
