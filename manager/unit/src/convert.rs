//! A unit file in the other syntax, with its comments.
//!
//! Never here: reading or judging values. Invariant: the new text loads as the same unit; what cannot be said in the
//! other syntax is refused, as is a file with lines that are ignored.

use std::borrow::Cow;
use std::fmt::Write;

use crate::diagnostic::{Diagnostic, Severity};
use crate::directive::{Directive, Scalar, Section};
use crate::draft::refuse_number;
use crate::library::Source;
use crate::suggest;
use crate::syntax::{self, Assignment, Entry, Place, Syntax, systemd, toml};
use crate::value::{Instances, Mode, parse_bool};

/// Longest array that stays on one line, in bytes.
const ARRAY_MAX: usize = 80;

/// The same file in the syntax `to`.
///
/// # Errors
/// The first line that says nothing in its own syntax, or what the other one has no words for.
pub fn convert(source: &Source, to: Syntax) -> Result<String, Box<Diagnostic>> {
    let pieces = pieces(source)?;
    let text = match to {
        Syntax::Systemd => to_systemd(&pieces),
        Syntax::Toml => to_toml(&pieces),
    };
    let written = Source { text: text.as_bytes().into(), syntax: to, ..source.clone() };
    let reads_back = self::pieces(&written).is_ok_and(|new| to == Syntax::Toml || same(&pieces, &new));
    if !reads_back {
        let message = "holds a section, key or value that the other syntax cannot express";
        return Err(Box::new(Diagnostic::new(Severity::Error, &source.path, message)));
    }
    Ok(text)
}

/// A line of the file with the comments above it; `None` among these is an empty line.
struct Piece<'a> {
    comments: Vec<Option<Cow<'a, str>>>,
    what: What<'a>,
}

enum What<'a> {
    Section(Cow<'a, str>),
    Assignment(Cow<'a, str>, Cow<'a, str>),
    End,
}

fn same(old: &[Piece<'_>], new: &[Piece<'_>]) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| match (&old.what, &new.what) {
            (What::Section(old), What::Section(new)) => old == new,
            (What::Assignment(key, value), What::Assignment(new_key, new_value)) => {
                (key, value) == (new_key, new_value)
            }
            (What::End, What::End) => true,
            (What::Section(_) | What::Assignment(..) | What::End, _) => false,
        })
}

fn pieces(source: &Source) -> Result<Vec<Piece<'_>>, Box<Diagnostic>> {
    let mut comments = comments(source).into_iter().peekable();
    let mut pieces = Vec::new();
    let mut section = None;
    for entry in syntax::parse(&source.text, source.syntax) {
        let (place, what) = match entry {
            Entry::Section { name, place } => {
                section = Section::named(&name);
                (place, What::Section(name))
            }
            Entry::Assignment(Assignment { key, value, place, written }) => {
                if let Some(error) = section.and_then(|section| refuse_number(section, &key, written)) {
                    return Err(refused(source, place, format!("{key}=: {error}")));
                }
                (place, What::Assignment(key, value))
            }
            Entry::Ignored { place, problem } | Entry::Broken { place, problem } => {
                return Err(refused(source, place, problem.to_string()));
            }
        };
        let above = std::iter::from_fn(|| comments.next_if(|(line, _)| *line <= place.line));
        pieces.push(Piece { comments: above.map(|(_, comment)| comment).collect(), what });
    }
    pieces.push(Piece { comments: comments.map(|(_, comment)| comment).collect(), what: What::End });
    Ok(pieces)
}

fn refused(source: &Source, place: Place, message: String) -> Box<Diagnostic> {
    let found = Diagnostic::new(Severity::Error, &source.path, message).at(place.line);
    Box::new(Diagnostic { column: place.column, ..found })
}

fn comments(source: &Source) -> Vec<(u32, Option<Cow<'_, str>>)> {
    match source.syntax {
        Syntax::Systemd => systemd::comments(&source.text),
        Syntax::Toml => {
            // Other bytes have ended the reading before.
            let text = std::str::from_utf8(&source.text).unwrap_or_default();
            let owned = |(line, comment): (u32, Option<_>)| (line, comment.map(Cow::Borrowed));
            toml::comments(text.trim_start_matches('\u{feff}')).into_iter().map(owned).collect()
        }
    }
}

fn to_systemd(pieces: &[Piece<'_>]) -> String {
    let mut text = String::new();
    for piece in pieces {
        if matches!(piece.what, What::Section(_)) {
            empty_line(&mut text);
        }
        add_comments(&mut text, &piece.comments);
        match &piece.what {
            What::Section(name) => text.extend(["[", name, "]\n"]),
            What::Assignment(key, value) => {
                // A backslash at the end would take the next line in; one before a blank is itself.
                let blank = if value.ends_with('\\') { " " } else { "" };
                text.extend([key, "=", value, blank, "\n"]);
            }
            What::End => {}
        }
    }
    text
}

/// A section as TOML has it: a key once, with everything that is assigned to it.
struct Table<'p> {
    name: &'p str,
    comments: &'p [Option<Cow<'p, str>>],
    keys: Vec<Key<'p>>,
}

struct Key<'p> {
    name: &'p str,
    items: Vec<Item<'p>>,
}

struct Item<'p> {
    comments: &'p [Option<Cow<'p, str>>],
    value: &'p str,
}

impl<'p> Table<'p> {
    /// Adds an assignment to its key, or gives it back where that would put it before another one to the same field.
    fn add(&mut self, name: &'p str, item: Item<'p>) -> Result<(), Item<'p>> {
        match self.keys.iter().position(|key| key.name == name) {
            None => self.keys.push(Key { name, items: vec![item] }),
            Some(at)
                if self.keys[at + 1..].iter().any(|later| share_a_field(self.name, name, later.name)) =>
            {
                return Err(item);
            }
            Some(at) => self.keys[at].items.push(item),
        }
        Ok(())
    }
}

/// Whether the order of assignments to these two keys can matter (`ListenStream=` and `ListenDatagram=`).
fn share_a_field(section: &str, a: &str, b: &str) -> bool {
    let Some(section) = Section::named(section) else { return false };
    let shares =
        |one: &Directive, other: &Directive| one.name == other.name || one.property == other.property;
    suggest::directives_of(section, a)
        .any(|one| suggest::directives_of(section, b).any(|other| shares(one, other)))
}

fn tables<'p>(pieces: &'p [Piece<'_>]) -> Vec<Table<'p>> {
    let mut tables: Vec<Table<'p>> = Vec::new();
    for Piece { comments, what } in pieces {
        match (what, tables.last_mut()) {
            (What::Section(name), _) => tables.push(Table { name, comments, keys: Vec::new() }),
            (What::Assignment(key, value), Some(table)) => {
                if let Err(item) = table.add(key, Item { comments, value }) {
                    let keys = vec![Key { name: key, items: vec![item] }];
                    let again = Table { name: table.name, comments: &[], keys };
                    tables.push(again);
                }
            }
            // The readers have ignored what stands before the first section.
            (What::Assignment(..), None) | (What::End, _) => {}
        }
    }
    tables
}

fn to_toml(pieces: &[Piece<'_>]) -> String {
    let mut text = String::new();
    let tables = tables(pieces);
    for table in &tables {
        empty_line(&mut text);
        add_comments(&mut text, table.comments);
        let again = tables.iter().filter(|other| other.name == table.name).count() > 1;
        let (open, close) = if again { ("[[", "]]\n") } else { ("[", "]\n") };
        text.extend([open, &key_text(table.name), close]);
        table.keys.iter().for_each(|key| add_key(&mut text, table.name, key));
    }
    if let Some(end) = pieces.last() {
        add_comments(&mut text, &end.comments);
    }
    text
}

fn add_key(text: &mut String, section: &str, key: &Key<'_>) {
    let value = |item: &Item<'_>| value_text(section, key.name, item.value);
    let name = key_text(key.name);
    let Some((first, more)) = key.items.split_first() else { return };
    add_comments(text, first.comments);
    if more.is_empty() {
        text.extend([&name, " = ", &value(first), "\n"]);
        return;
    }
    let values: Vec<String> = key.items.iter().map(value).collect();
    let line = format!("{name} = [{}]\n", values.join(", "));
    if line.len() <= ARRAY_MAX && more.iter().all(|item| item.comments.iter().all(Option::is_none)) {
        text.push_str(&line);
        return;
    }
    text.extend([&name, " = [\n"]);
    for (item, value) in key.items.iter().zip(&values) {
        if !std::ptr::eq(item, first) {
            add_comments(text, item.comments);
        }
        text.extend(["    ", value, ",\n"]);
    }
    text.push_str("]\n");
}

fn add_comments(text: &mut String, comments: &[Option<Cow<'_, str>>]) {
    for comment in comments {
        match comment {
            Some(comment) => {
                text.push('#');
                // TOML has no control characters in comments.
                text.extend(
                    comment.trim_end().chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }),
                );
                text.push('\n');
            }
            None => empty_line(text),
        }
    }
}

/// One at most, and none at the beginning.
fn empty_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with("\n\n") {
        text.push('\n');
    }
}

fn key_text(name: &str) -> Cow<'_, str> {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !name.is_empty() && name.bytes().all(is_bare) { name.into() } else { quoted(name).into() }
}

/// A boolean, a whole number or a mode as itself, everything else as a string.
fn value_text(section: &str, key: &str, value: &str) -> String {
    let native = Section::named(section)
        .and_then(|section| suggest::directives_of(section, key).next())
        .and_then(|directive| native(directive, value));
    native.unwrap_or_else(|| quoted(value))
}

fn native(directive: &Directive, value: &str) -> Option<String> {
    if directive.form == <bool as Scalar>::FORM {
        return parse_bool(value).ok().map(|value| value.to_string());
    }
    if directive.form == <Mode as Scalar>::FORM {
        return Mode::parse(value).ok().map(|Mode(mode)| format!("{mode:#o}"));
    }
    let number: i64 = value.parse().ok()?;
    let is_count = matches!(directive.signature, "i" | "u") || directive.form == <Instances as Scalar>::FORM;
    (is_count && number.to_string() == value).then(|| value.to_owned())
}

/// A literal string where escapes would be needed and none is possible, else a basic one.
fn quoted(value: &str) -> String {
    let controls = value.contains(|c: char| c.is_control() && c != '\t');
    if value.contains(['\\', '"']) && !value.contains('\'') && !controls {
        return format!("'{value}'");
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            // Writing to a string cannot fail.
            c if c.is_control() && c != '\t' => drop(write!(text, "\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(syntax: Syntax, text: &str, expected: &str) {
        let source = Source { path: Path::new("f").into(), text: text.as_bytes().into(), syntax };
        let to = if syntax == Syntax::Toml { Syntax::Systemd } else { Syntax::Toml };
        let found = convert(&source, to).unwrap_or_else(|error| error.to_string());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn values_become_what_they_are() {
        check(
            Syntax::Systemd,
            "; top\n\n[Socket]\n# where\nListenStream=80\n# too\nListenStream=@a\nAccept=On\nSocketMode=660\nBacklog=5\n\n\nTriggerLimitIntervalSec=5\n# end",
            "# top\n\n[Socket]\n# where\nListenStream = [\n    \"80\",\n# too\n    \"@a\",\n]\nAccept = true\nSocketMode = 0o660\nBacklog = 5\n\nTriggerLimitIntervalSec = \"5\"\n# end\n",
        );
        check(
            Syntax::Systemd,
            "[Service]\nExecStart=/bin/a \"b\" \\\n  c\nExecStart=/bin/'a' \"\nX-a b=\\x\n",
            "[Service]\nExecStart = ['/bin/a \"b\"    c', \"/bin/'a' \\\"\"]\n\"X-a b\" = '\\x'\n",
        );
    }

    #[test]
    fn order_that_matters_stays() {
        let text = "[Socket]\nListenStream=1\nBacklog=1\nListenDatagram=2\nListenStream=3\nBacklog=2\n";
        let expected = "[[Socket]]\nListenStream = \"1\"\nBacklog = 1\nListenDatagram = \"2\"\n\n[[Socket]]\nListenStream = \"3\"\nBacklog = 2\n";
        check(Syntax::Systemd, text, expected);
        let merged = "[Unit]\nAfter = [\"a.target\", \"b.target\"]\nWants = \"c.target\"\n";
        check(Syntax::Systemd, "[Unit]\nAfter=a.target\nWants=c.target\nAfter=b.target", merged);
    }

    #[test]
    fn toml_becomes_lines() {
        let text = "# a\n[Unit]\nDescription = 'x\\' # b\n[Socket]\nAccept = true\nListenStream = [80, # c\n '@a']\nSocketMode = 0o600\n\n# c\n\nInstances = 4\n";
        let expected = "# a\n[Unit]\n# b\nDescription=x\\ \n\n[Socket]\nAccept=yes\n# c\nListenStream=80\nListenStream=@a\nSocketMode=0600\n\n# c\n\nInstances=4\n";
        check(Syntax::Toml, text, expected);
    }

    #[test]
    fn counts_of_instances_are_numbers() {
        let toml =
            "[Socket]\nListenStream = \"80\"\nInstances = 4\nMinInstances = \"auto\"\nTimeoutSec = \"5\"\n";
        check(
            Syntax::Systemd,
            "[Socket]\nListenStream=80\nInstances=4\nMinInstances=auto\nTimeoutSec=5\n",
            toml,
        );
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        check(Syntax::Systemd, "[Unit]\nnonsense\n", "f:2: error: the line has no '='");
        check(
            Syntax::Toml,
            "[Socket]\nSocketMode = 600\n",
            "f:2:1: error: SocketMode=: a mode is not a number in tens; write 0o660 or \"0660\"",
        );
        for text in ["[Unit]\n'a=b' = 1\n", "[Unit]\n'#a' = 1\n", "['a\\b']\nx = 1\n", "[Unit]\n' a' = 1\n"] {
            check(
                Syntax::Toml,
                text,
                "f: error: holds a section, key or value that the other syntax cannot express",
            );
        }
    }
}
