//! Unit files and settings in TOML: tables are sections, an array assigns once per item.
//!
//! Never here: which sections and keys exist. Invariant: a value arrives in the text form that systemd's syntax has,
//! so that there is one reader for both.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::{Assignment, Entry, Place, SyntaxError, Written};

/// Everything that the file says, in its order.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Entry<'_>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            return vec![Entry::Broken {
                place: Place { line: to_u32(line), column: None },
                problem: SyntaxError::NotUtf8,
            }];
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let places = Places::of(text);
    match DeTable::parse(text) {
        Ok(table) => {
            let mut reader = Reader { text, places, entries: Vec::new() };
            reader.file(table.into_inner());
            reader.entries
        }
        Err(error) => {
            let place = places.at(error.span().map_or(0, |span| span.start));
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            vec![Entry::Broken { place, problem: SyntaxError::Toml(message) }]
        }
    }
}

type Pair<'a> = (Spanned<Cow<'a, str>>, Spanned<DeValue<'a>>);

/// The entries of a table in the order of the file; the map itself is sorted by key.
fn in_order(table: DeTable<'_>) -> Vec<Pair<'_>> {
    let mut pairs: Vec<Pair<'_>> = table.into_iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

/// The comments, each with its line and without `#`, and the empty lines (`None`); what looks like either within a text is none.
pub(crate) fn comments(text: &str) -> Vec<(u32, Option<&str>)> {
    let places = Places::of(text);
    let mut taken = Vec::new();
    if let Ok(table) = DeTable::parse(text) {
        add_taken(table.into_inner(), &mut taken);
    }
    taken.sort_unstable();
    taken.push((text.len(), text.len()));
    let (mut comments, mut from) = (Vec::new(), 0);
    for (start, end) in taken {
        let mut at = from;
        for line in text.get(from..start).unwrap_or_default().split_inclusive('\n') {
            let is_whole = (at == 0 || text[..at].ends_with('\n')) && line.ends_with('\n');
            match line.split_once('#') {
                Some((_, comment)) => {
                    comments.push((places.at(at).line, Some(comment.trim_end_matches(['\n', '\r']))))
                }
                None if is_whole && line.trim().is_empty() => comments.push((places.at(at).line, None)),
                None => {}
            }
            at += line.len();
        }
        from = from.max(end);
    }
    comments
}

/// Where keys and scalars stand, in bytes.
fn add_taken(table: DeTable<'_>, taken: &mut Vec<(usize, usize)>) {
    let mut values = Vec::new();
    for (key, value) in table {
        taken.push((key.span().start, key.span().end));
        values.push(value);
    }
    while let Some(value) = values.pop() {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => add_taken(table, taken),
            DeValue::Array(items) => values.extend(items),
            _ => taken.push((span.start, span.end)),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    places: Places,
    entries: Vec<Entry<'a>>,
}

impl<'a> Reader<'a> {
    /// Sections are headers; one that is there several times, as systemd's syntax allows, is an array of tables.
    fn file(&mut self, table: DeTable<'a>) {
        let mut sections = Vec::new();
        for (key, value) in in_order(table) {
            let at = value.span().start;
            match value.into_inner() {
                DeValue::Table(section) => sections.push((at, key.into_inner(), section)),
                DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
                    for item in items {
                        let at = item.span().start;
                        match item.into_inner() {
                            DeValue::Table(section) => sections.push((at, key.get_ref().clone(), section)),
                            _ => self.ignore(at, SyntaxError::OutsideSection),
                        }
                    }
                }
                _ => self.ignore(key.span().start, SyntaxError::OutsideSection),
            }
        }
        sections.sort_by_key(|(at, _, _)| *at);
        for (at, name, section) in sections {
            self.headed(at, name, section);
        }
    }

    /// A section whose table begins at byte `at`.
    fn headed(&mut self, at: usize, name: Cow<'a, str>, section: DeTable<'a>) {
        let brackets = self.text[at..].bytes().take_while(|byte| *byte == b'[').count();
        if brackets == 0 {
            // Inline, or from a dotted key: where it begins and ends is not to be seen.
            return self.ignore(at, SyntaxError::NotAHeader(name.into_owned()));
        }
        self.entries.push(Entry::Section { name, place: self.places.at(at + brackets) });
        self.section(section);
    }

    fn ignore(&mut self, at: usize, problem: SyntaxError) {
        self.entries.push(Entry::Ignored { place: self.places.at(at), problem });
    }

    fn section(&mut self, table: DeTable<'a>) {
        for (key, value) in in_order(table) {
            let at = key.span().start;
            let key = key.into_inner();
            match value.into_inner() {
                // No item at all is what an empty assignment says: forget the earlier ones.
                DeValue::Array(items) if items.is_empty() => {
                    self.assign(key, at, DeValue::String(Cow::Borrowed("")));
                }
                DeValue::Array(items) => {
                    for item in items {
                        self.assign(key.clone(), item.span().start, item.into_inner());
                    }
                }
                value => self.assign(key, at, value),
            }
        }
    }

    fn assign(&mut self, key: Cow<'a, str>, at: usize, value: DeValue<'a>) {
        let place = self.places.at(at);
        let written = match &value {
            DeValue::Integer(number) if number.radix() == 10 => Written::Decimal,
            DeValue::Integer(_) | DeValue::Float(_) => Written::Number,
            _ => Written::Text,
        };
        let entry = match text(value) {
            Ok(value) if value.contains('\0') => Entry::Ignored { place, problem: SyntaxError::Nul },
            Ok(value) => Entry::Assignment(Assignment { key, value: one_line(value), place, written }),
            Err(found) => {
                Entry::Ignored { place, problem: SyntaxError::BadType { key: key.into_owned(), found } }
            }
        };
        self.entries.push(entry);
    }
}

/// The text form of a scalar; an error names what it is instead.
fn text(value: DeValue<'_>) -> Result<Cow<'_, str>, &'static str> {
    match value {
        DeValue::String(text) => Ok(text),
        DeValue::Integer(number) => Ok(integer(&number).into()),
        DeValue::Float(number) => Ok(float(&number).into()),
        DeValue::Boolean(true) => Ok("yes".into()),
        DeValue::Boolean(false) => Ok("no".into()),
        DeValue::Datetime(_) => Err("a date"),
        DeValue::Array(_) => Err("an array within an array"),
        DeValue::Table(_) => Err("a table"),
    }
}

/// A number as the value grammars take it. Octal becomes a leading zero, which integers and access modes both understand.
fn integer(number: &DeInteger<'_>) -> String {
    let prefix = match number.radix() {
        2 => "0b",
        8 => "0",
        16 => "0x",
        _ => "",
    };
    format!("{prefix}{}", number.as_str())
}

fn float(number: &DeFloat<'_>) -> String {
    match number.as_str() {
        "inf" | "+inf" => "infinity".to_owned(),
        other => other.to_owned(),
    }
}

/// A text of several lines is one line with blanks, as a continued line is; blanks at both ends go.
fn one_line(text: Cow<'_, str>) -> Cow<'_, str> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    if !text.contains(['\r', '\n']) && !text.starts_with(blank) && !text.ends_with(blank) {
        return text;
    }
    Cow::Owned(text.trim_matches(blank).replace("\r\n", " ").replace(['\r', '\n'], " "))
}

/// Turns byte offsets into lines and columns.
struct Places {
    text: String,
    line_starts: Vec<usize>,
}

impl Places {
    fn of(text: &str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text: text.to_owned(), line_starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    fn at(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[line - 1];
        let column = 1 + self.text.get(start..offset).map_or(0, |before| before.chars().count());
        Place { line: to_u32(line), column: Some(to_u32(column)) }
    }
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Vec<String> {
        let at = |place: Place| format!("{}:{}", place.line, place.column.unwrap_or(0));
        let show = |entry: Entry<'_>| match entry {
            Entry::Section { name, place } => format!("{} [{name}]", at(place)),
            Entry::Assignment(Assignment { key, value, place, .. }) => format!("{} {key}={value}", at(place)),
            Entry::Ignored { place, problem } => format!("{} ignored: {problem}", at(place)),
            Entry::Broken { place, problem } => format!("{} broken: {problem}", at(place)),
        };
        parse(text.as_bytes()).into_iter().map(show).collect()
    }

    #[test]
    fn arrays_are_repeated_keys_and_the_order_is_the_file_s() {
        let text = "[Socket]\nListenStream = [80, \"@a\"]\nListenDatagram = 53\nAccept = true\nListenStream2 = []\n[Install]\nAlso='x'";
        let entries = [
            "1:2 [Socket]",
            "2:17 ListenStream=80",
            "2:21 ListenStream=@a",
            "3:1 ListenDatagram=53",
            "4:1 Accept=yes",
            "5:1 ListenStream2=",
            "6:2 [Install]",
            "7:1 Also=x",
        ];
        assert_eq!(show(text), entries);
    }

    #[test]
    fn a_section_may_come_again_but_only_as_a_header() {
        let text = "[[Unit]]\nA = 1\n[Socket]\nB = 2\n[[Unit]]\nA = 3\n";
        let entries = ["1:3 [Unit]", "2:1 A=1", "3:2 [Socket]", "4:1 B=2", "5:3 [Unit]", "6:1 A=3"];
        assert_eq!(show(text), entries);
        for (text, at) in [("U = { A = 1 }", "1:5"), ("U.A = 1", "1:1"), ("U = [{ A = 1 }]", "1:6")] {
            let expected =
                format!("{at} ignored: the section U must have a header, [U], on a line of its own");
            assert_eq!(show(text), [expected], "{text}");
        }
        let dotted = show("[U]\nA.B = 1\n[U.C]\nD = 1\n");
        assert!(dotted[1..].iter().all(|entry| entry.contains("cannot be a table")), "{dotted:?}");
    }

    #[test]
    fn comments_are_found_between_values_only() {
        let text = "# a\n[S] # b\nk = '#no' # c\n\"q#\" = [1, # d\n \"\"\"\n# no\n\"\"\"] # e\n#";
        let expected = [(1, " a"), (2, " b"), (3, " c"), (4, " d"), (7, " e"), (8, "")];
        let expected = expected.map(|(line, comment)| (line, Some(comment)));
        assert_eq!(comments(text), expected);
        let empty = [(2, None), (3, Some(" c")), (4, None)];
        assert_eq!(comments("[S]\n\n# c\n  \nk = '''\n\n'''\nl = 1\n"), empty);
    }

    #[test]
    fn scalars_have_the_text_form_of_systemd() {
        let text = "[S]\na = 0o660\nb = 0x1F\nc = 0b11\nd = 1_000\ne = -5\nf = 1.5\ng = inf\nh = false\ni = \"\"\"\n x\n y\"\"\"\nj='  '";
        let values: Vec<String> =
            show(text)[1..].iter().map(|entry| entry.split_once(' ').unwrap().1.to_owned()).collect();
        assert_eq!(
            values,
            ["a=0660", "b=0x1F", "c=0b11", "d=1000", "e=-5", "f=1.5", "g=infinity", "h=no", "i=x  y", "j="]
        );
    }

    #[test]
    fn what_is_no_value_is_named_with_its_place() {
        let text = "x = 1\n[S]\na = 1979-05-27\nb = { c = 1 }\nd = [[1]]\ne = \"\\u0000\"\nf = 1";
        let entries = [
            "1:1 ignored: an assignment before the first section",
            "2:2 [S]",
            "3:1 ignored: a cannot be a date: it takes a string, a number, a boolean or an array of them",
            "4:1 ignored: b cannot be a table: it takes a string, a number, a boolean or an array of them",
            "5:6 ignored: d cannot be an array within an array: it takes a string, a number, a boolean or an array of them",
            "6:1 ignored: the text contains a NUL character",
            "7:1 f=1",
        ];
        assert_eq!(show(text), entries);
    }

    #[test]
    fn a_file_that_is_no_toml_is_broken_at_a_place() {
        let entries = show("[Socket]\nListenStream = \n");
        assert_eq!(entries.len(), 1);
        assert!(entries[0].starts_with("2:16 broken: not valid TOML: "), "{entries:?}");
        assert!(show("[S]\na = 1\na = 2\n")[0].starts_with("3:1 broken"), "a key twice");
    }
}
