//! Environment variables: the words of `Environment=`, and files of them (systemd.exec(5), "Environment").
//!
//! Never here: opening a file, and what the manager itself adds.
//! Invariant: a name occurs once in a list; a later assignment replaces the value where the first one stands.

use super::word::{Backslash, Words};
use super::{ValueError, is_unicode_text, path};
use crate::directive::{Context, Property, Value};

/// Whether `text` is a variable's name: letters, digits and `_`, no digit first.
pub fn is_variable_name(text: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(is_name_byte)
}

/// Sets `name`, in place where it is set already.
fn set_variable(variables: &mut Vec<(String, String)>, name: &str, value: &str) {
    match variables.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => variables.push((name.to_owned(), value.to_owned())),
    }
}

/// Assignments add up; the empty one forgets all. A bad word is warned of and the others are used; an unbalanced quote
/// or an unknown escape ends the line there.
impl Value for Vec<(String, String)> {
    const FORM: &'static str = "NAME=value words with blanks between, in quotes where a value has blanks";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.clear();
        }
        for word in Words::new(text, Backslash::Escapes) {
            let assignment = word?.into_text().and_then(|word| cx.expand(&word));
            match assignment.and_then(|assignment| assign_variable(self, &assignment)) {
                Ok(()) => {}
                Err(error) => cx.warn(error),
            }
        }
        self.shrink_to_fit();
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    fn shrink(&mut self) {
        self.shrink_to_fit();
        for (name, value) in self {
            name.shrink_to_fit();
            value.shrink_to_fit();
        }
    }
}

fn assign_variable(variables: &mut Vec<(String, String)>, word: &str) -> Result<(), ValueError> {
    let assignment = word.split_once('=').filter(|(name, _)| is_variable_name(name));
    let (name, value) = assignment.ok_or_else(|| ValueError::Invalid {
        text: word.to_owned(),
        expected: "an assignment to a variable",
    })?;
    set_variable(variables, name, value);
    Ok(())
}

/// Names of variables; assignments add up, the empty one forgets all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariableNames(Vec<Box<str>>);

impl VariableNames {
    /// Each once.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }
}

impl Value for VariableNames {
    const FORM: &'static str = "names of variables with blanks between";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        add_words(&mut self.0, text, cx, is_variable_name)
    }

    fn property(&self) -> Property {
        Property::Strs(self.iter().map(str::to_owned).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// Variables to take away: by name, or by name where the value is this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnsetVariables(Vec<Box<str>>);

impl UnsetVariables {
    /// None is to be taken away.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a variable of this value is to be taken away.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.0.iter().any(|word| match word.split_once('=') {
            None => &**word == name,
            Some((of, only)) => of == name && only == value,
        })
    }
}

impl Value for UnsetVariables {
    const FORM: &'static str = "names of variables, or NAME=value for that value only, with blanks between";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        add_words(&mut self.0, text, cx, |word| is_variable_name(word.split('=').next().unwrap_or_default()))
    }

    fn property(&self) -> Property {
        Property::Strs(self.0.iter().map(ToString::to_string).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// Adds each good word once; a bad one is warned of.
fn add_words(
    words: &mut Vec<Box<str>>,
    text: &str,
    cx: &Context<'_>,
    is_good: impl Fn(&str) -> bool,
) -> Result<(), ValueError> {
    if text.is_empty() {
        words.clear();
    }
    for word in Words::new(text, Backslash::Escapes) {
        let word = word?.into_text().and_then(|word| cx.expand(&word));
        match word {
            Ok(word) if !is_good(&word) => cx.warn(ValueError::invalid(&word, "the name of a variable")),
            Ok(word) if words.iter().any(|known| **known == *word) => {}
            Ok(word) => words.push(word.into()),
            Err(error) => cx.warn(error),
        }
    }
    Ok(())
}

/// A file of `EnvironmentFile=`, read at each start of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// Absolute, perhaps with wildcards (glob(7)).
    pub path: Box<str>,
    /// `-`: it may be missing.
    pub optional: bool,
}

impl EnvironmentFile {
    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let text = cx.expand(text)?;
        let (path, optional) = text.strip_prefix('-').map_or((&*text, false), |path| (path, true));
        Ok(Self { path: path::absolute(path)?, optional })
    }
}

/// Files add up; the empty assignment forgets all.
impl Value for Vec<EnvironmentFile> {
    const FORM: &'static str = "an absolute path, after a - where the file may be missing";
    const SIGNATURE: &'static str = "a(sb)";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.clear();
        } else {
            self.push(EnvironmentFile::parse(text, cx)?);
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::EnvironmentFiles(self.iter().map(|file| (file.path.to_string(), file.optional)).collect())
    }

    fn shrink(&mut self) {
        self.shrink_to_fit();
    }
}

/// Why an environment file is of no use at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentFileError {
    /// A zero byte, which no variable can hold.
    #[error("line {0}: a zero byte in an environment file")]
    Nul(usize),
    /// A name or value that is not UTF-8 text.
    #[error("line {0}: not UTF-8 text in an environment file")]
    NotText(usize),
}

/// Reads the variables of an environment file. It is no shell script: no `$`, no commands; lines without `=`
/// and assignments to what is no name are skipped, quotes may span lines, and a line, also a comment, that ends in a
/// backslash goes on.
///
/// # Errors
/// The file has zero bytes, or something else than UTF-8 text in an assignment; none of it is used then.
pub fn parse_environment_file(text: &[u8]) -> Result<Vec<(String, String)>, EnvironmentFileError> {
    let line_at = |offset: usize| 1 + text[..offset].iter().filter(|&&byte| byte == b'\n').count();
    if let Some(offset) = text.iter().position(|&byte| byte == 0) {
        return Err(EnvironmentFileError::Nul(line_at(offset)));
    }
    let mut variables = Vec::new();
    let mut reader = FileReader { text, at: 0 };
    while let Some((key, value)) = reader.assignment() {
        let not_text = |_| EnvironmentFileError::NotText(line_at(reader.at.saturating_sub(1)));
        let key = String::from_utf8(key).map_err(not_text)?;
        let value = String::from_utf8(value).map_err(not_text)?;
        if !is_unicode_text(&key) || !is_unicode_text(&value) {
            return Err(EnvironmentFileError::NotText(line_at(reader.at.saturating_sub(1))));
        }
        if is_variable_name(&key) {
            set_variable(&mut variables, &key, &value);
        }
    }
    Ok(variables)
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t') || is_line_end(byte)
}

/// Reads an environment file byte by byte; between calls it stands at the start of a line.
struct FileReader<'a> {
    text: &'a [u8],
    at: usize,
}

impl FileReader<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Key and value of the next line that has both; `None` at the end of the file.
    fn assignment(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        loop {
            match self.next()? {
                b'#' | b';' => self.skip_comment(),
                byte if is_blank(byte) => {}
                byte => {
                    if let Some(key) = self.key(byte) {
                        return Some((key, self.value()));
                    }
                }
            }
        }
    }

    fn skip_comment(&mut self) {
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => drop(self.next()),
                byte if is_line_end(byte) => return,
                _ => {}
            }
        }
    }

    /// The text up to `=`; `None`: the line has none.
    fn key(&mut self, first: u8) -> Option<Vec<u8>> {
        let mut key = vec![first];
        loop {
            match self.next()? {
                b'=' => break,
                byte if is_line_end(byte) => return None,
                byte => key.push(byte),
            }
        }
        trim_end(&mut key, 0);
        Some(key)
    }

    /// The value up to the end of its line: quoted pieces with blanks between, then perhaps an unquoted rest.
    fn value(&mut self) -> Vec<u8> {
        let mut value = Vec::new();
        while let Some(byte) = self.next() {
            match byte {
                b'\'' => self.single_quoted(&mut value),
                b'"' => self.double_quoted(&mut value),
                byte if is_line_end(byte) => break,
                byte if is_blank(byte) => {}
                _ => {
                    self.at -= 1;
                    self.unquoted(&mut value);
                    break;
                }
            }
        }
        value
    }

    /// Up to the end of the line, without the blanks before it; those that a backslash protects stay.
    fn unquoted(&mut self, value: &mut Vec<u8>) {
        let mut kept = value.len();
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => {
                    value.extend(self.next().filter(|&byte| !is_line_end(byte)));
                    kept = value.len();
                }
                byte if is_line_end(byte) => break,
                byte => value.push(byte),
            }
        }
        trim_end(value, kept);
    }

    fn single_quoted(&mut self, value: &mut Vec<u8>) {
        while let Some(byte) = self.next().filter(|&byte| byte != b'\'') {
            value.push(byte);
        }
    }

    fn double_quoted(&mut self, value: &mut Vec<u8>) {
        while let Some(byte) = self.next().filter(|&byte| byte != b'"') {
            match byte {
                b'\\' => match self.next() {
                    Some(byte @ (b'"' | b'\\' | b'`' | b'$')) => value.push(byte),
                    Some(b'\n') | None => {}
                    Some(byte) => value.extend([b'\\', byte]),
                },
                byte => value.push(byte),
            }
        }
    }
}

/// Cuts blanks off the end, but nothing of the first `kept` bytes.
fn trim_end(text: &mut Vec<u8>, kept: usize) {
    while text.len() > kept && text.last().is_some_and(|&byte| is_blank(byte)) {
        text.pop();
    }
}
