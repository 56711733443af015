//! systemd's unit file syntax (systemd.syntax(7)): lines, comments, continuations, headers, assignments.
//!
//! Never here: which sections and keys exist. Invariant: a byte of the file ends up in at most one entry.

use std::borrow::Cow;

use super::{Assignment, Entry, LINE_MAX, Place, SyntaxError, Written};

const BOM: &[u8] = "\u{feff}".as_bytes();

/// Everything that the file says, in its order.
pub(crate) fn parse(text: &[u8]) -> Vec<Entry<'_>> {
    let mut parser = Parser { entries: Vec::new(), in_section: false };
    let mut continued: Option<Vec<u8>> = None;
    let mut bom_seen = false;
    let mut number = 0;
    for line in Lines(text) {
        number += 1;
        // One byte less than the buffer that systemd reads into.
        if line.len() >= LINE_MAX {
            return parser.broken(number, SyntaxError::LineTooLong);
        }
        // Comments go first: also within a continuation, which they do not end, and before the BOM is looked for.
        if matches!(trim_start(line).first(), Some(b'#' | b';')) {
            continue;
        }
        let line = match line.strip_prefix(BOM) {
            Some(rest) if !bom_seen => {
                bom_seen = true;
                rest
            }
            _ => line,
        };
        let joined = match continued.take() {
            Some(mut start) => {
                start.extend_from_slice(line);
                Cow::Owned(start)
            }
            None => Cow::Borrowed(line),
        };
        if joined.len() > LINE_MAX {
            return parser.broken(number, SyntaxError::LineTooLong);
        }
        if ends_in_escape(&joined) {
            let mut start = joined.into_owned();
            start.pop();
            start.push(b' ');
            continued = Some(start);
        } else if parser.line(joined, number).is_err() {
            return parser.entries;
        }
    }
    if let Some(rest) = continued {
        // A broken last line is an entry like any other, and nothing follows it anyway.
        let _ = parser.line(Cow::Owned(rest), number);
    }
    parser.entries
}

/// The comments, each with its line and without `#` or `;`, and the empty lines (`None`).
pub(crate) fn comments(text: &[u8]) -> Vec<(u32, Option<Cow<'_, str>>)> {
    let comment = |line| match trim_start(line) {
        [b'#' | b';', text @ ..] => Some(Some(String::from_utf8_lossy(text))),
        [] => Some(None),
        _ => None,
    };
    (1..).zip(Lines(text)).filter_map(|(number, line)| Some((number, comment(line)?))).collect()
}

/// A line after which nothing counts.
struct Stop;

struct Parser<'a> {
    entries: Vec<Entry<'a>>,
    in_section: bool,
}

impl<'a> Parser<'a> {
    fn line(&mut self, line: Cow<'a, [u8]>, number: u32) -> Result<(), Stop> {
        let place = Place { line: number, column: None };
        let text = match utf8(line) {
            Ok(text) => trim(text),
            Err(_) => return self.stop(place, SyntaxError::NotUtf8),
        };
        if text.is_empty() {
            return Ok(());
        }
        if text.starts_with('[') {
            return self.header(&text, place);
        }
        let entry = match assignment(text, place) {
            _ if !self.in_section => Entry::Ignored { place, problem: SyntaxError::OutsideSection },
            Ok(assignment) => Entry::Assignment(assignment),
            Err(problem) => Entry::Ignored { place, problem },
        };
        self.entries.push(entry);
        Ok(())
    }

    fn header(&mut self, text: &str, place: Place) -> Result<(), Stop> {
        let Some(name) = text[1..].strip_suffix(']') else {
            return self.stop(place, SyntaxError::UnclosedHeader);
        };
        if name.contains(|c: char| c.is_ascii_control() || matches!(c, '"' | '\'' | '\\')) {
            return self.stop(place, SyntaxError::BadHeader);
        }
        self.in_section = true;
        self.entries.push(Entry::Section { name: Cow::Owned(name.to_owned()), place });
        Ok(())
    }

    fn stop(&mut self, place: Place, problem: SyntaxError) -> Result<(), Stop> {
        self.entries.push(Entry::Broken { place, problem });
        Err(Stop)
    }

    fn broken(mut self, number: u32, problem: SyntaxError) -> Vec<Entry<'a>> {
        self.entries.push(Entry::Broken { place: Place { line: number, column: None }, problem });
        self.entries
    }
}

fn assignment(text: Cow<'_, str>, place: Place) -> Result<Assignment<'_>, SyntaxError> {
    let equals = text.find('=').ok_or(SyntaxError::MissingEquals)?;
    if equals == 0 {
        return Err(SyntaxError::MissingKey);
    }
    let (key, value) = match text {
        Cow::Borrowed(text) => (Cow::Borrowed(&text[..equals]), Cow::Borrowed(&text[equals + 1..])),
        Cow::Owned(text) => {
            (Cow::Owned(text[..equals].to_owned()), Cow::Owned(text[equals + 1..].to_owned()))
        }
    };
    Ok(Assignment { key: trim(key), value: trim(value), place, written: Written::Text })
}

fn utf8(line: Cow<'_, [u8]>) -> Result<Cow<'_, str>, std::str::Utf8Error> {
    match line {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|error| error.utf8_error()),
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(is_blank)),
        Cow::Owned(text) => Cow::Owned(text.trim_matches(is_blank).to_owned()),
    }
}

fn trim_start(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &line[blanks..]
}

/// Whether the last character is a backslash that no other one escapes.
fn ends_in_escape(line: &[u8]) -> bool {
    line.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The physical lines. LF, CR and NUL end a line, and so does a run in which none of them occurs twice (CR LF) and
/// which a NUL ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let length = self.0.iter().position(|byte| is_line_end(*byte)).unwrap_or(self.0.len());
        let (line, mut rest) = self.0.split_at(length);
        let mut seen: &[u8] = &[];
        let end = rest;
        while let [byte, after @ ..] = rest
            && is_line_end(*byte)
            && !seen.contains(byte)
            && !seen.contains(&0)
        {
            rest = after;
            seen = &end[..end.len() - rest.len()];
        }
        self.0 = rest;
        Some(line)
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &[u8]) -> Vec<String> {
        let show = |entry: Entry<'_>| match entry {
            Entry::Section { name, place } => format!("{} [{name}]", place.line),
            Entry::Assignment(Assignment { key, value, place, .. }) => {
                format!("{} {key}={value}", place.line)
            }
            Entry::Ignored { place, problem } => format!("{} ignored {problem:?}", place.line),
            Entry::Broken { place, problem } => format!("{} broken {problem:?}", place.line),
        };
        parse(text).into_iter().map(show).collect()
    }

    /// `(file, entries)`: the rules of systemd.syntax(7) and what systemd does beyond them.
    const CASES: &[(&str, &[&str])] = &[
        ("", &[]),
        ("[A]\nk=v\n", &["1 [A]", "2 k=v"]),
        ("[A]\n  k  =  v w  \n", &["1 [A]", "2 k=v w"]),
        ("[A]\nk=a=b # no comment\n", &["1 [A]", "2 k=a=b # no comment"]),
        ("[A]\r\nk=1\r\rk=2\0k=3", &["1 [A]", "2 k=1", "4 k=2", "5 k=3"]),
        ("[A]\n\0\nk=1", &["1 [A]", "3 k=1"]),
        ("# c\n; c\n \t# c\n[A]", &["4 [A]"]),
        ("[A]\nk=1 \\\n# c\\\n; c\n  2\n", &["1 [A]", "5 k=1    2"]),
        ("[A]\nk=1\\\n\nj=2", &["1 [A]", "3 k=1", "4 j=2"]),
        ("[A]\nk=1\\\\\nj=2", &["1 [A]", "2 k=1\\\\", "3 j=2"]),
        ("[A]\nk=1\\ \nj=2", &["1 [A]", "2 k=1\\", "3 j=2"]),
        ("[A]\nk=1\\", &["1 [A]", "2 k=1"]),
        ("[A]\nk=1\\\nl=2", &["1 [A]", "3 k=1 l=2"]),
        ("\u{feff}[A]\nk=1\n\u{feff}j=2", &["1 [A]", "2 k=1", "3 \u{feff}j=2"]),
        ("\u{feff}#x=1\n[A]", &["1 ignored OutsideSection", "2 [A]"]),
        (
            "k=1\n[A]\nno\n=v\nk=\n",
            &["1 ignored OutsideSection", "2 [A]", "3 ignored MissingEquals", "4 ignored MissingKey", "5 k="],
        ),
        ("[A]\nk=1\n[B\nk=2", &["1 [A]", "2 k=1", "3 broken UnclosedHeader"]),
        ("[A'b]\nk=1", &["1 broken BadHeader"]),
        ("[A] # c\nk=1", &["1 broken UnclosedHeader"]),
        ("[A]\nk=[B]\n[]", &["1 [A]", "2 k=[B]", "3 []"]),
    ];

    #[test]
    fn reads_lines_as_systemd_does() {
        for (text, entries) in CASES {
            assert_eq!(show(text.as_bytes()), *entries, "{text:?}");
        }
    }

    #[test]
    fn stops_at_bytes_that_are_not_utf8_but_not_in_comments() {
        assert_eq!(show(b"# \xff\n[A]\nk=\xff\nj=1"), ["2 [A]", "3 broken NotUtf8"]);
    }

    #[test]
    fn stops_at_lines_that_are_too_long_physically_or_joined() {
        let long = format!("[A]\nk={}\nj=1", "x".repeat(LINE_MAX - 1));
        assert_eq!(show(long.as_bytes()), ["1 [A]", "2 broken LineTooLong"]);
        let half = "x".repeat(LINE_MAX / 2);
        let joined = format!("[A]\nk={half}\\\n{half}\nj=1");
        assert_eq!(show(joined.as_bytes()), ["1 [A]", "3 broken LineTooLong"]);
        let fits = format!("[A]\nk={}", "x".repeat(LINE_MAX - 3));
        assert_eq!(parse(fits.as_bytes()).len(), 2);
    }
}
