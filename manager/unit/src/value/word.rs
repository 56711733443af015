//! Splitting a value into words, with quotes and backslashes (systemd.syntax(7), "Quoting").
//!
//! Never here: what the words mean.
//! Invariant: the rest of a [`Words`] is a suffix of its text, so that callers may look at it between two words.

use std::borrow::Cow;

use super::ValueError;
use super::number::BLANKS;

/// What a backslash does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backslash {
    /// C escapes (`\n`, `\x41`); an unknown one is an error.
    Escapes,
    /// C escapes; an unknown one stays as it is, backslash included.
    EscapesOrLiteral,
    /// The next character is taken literally.
    Quotes,
    /// It stays, with the next character.
    Literal,
}

/// A word: its bytes, since `\xff` can make any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    bytes: Vec<u8>,
    /// Whether an unknown escape sequence was kept as it is.
    pub has_unknown_escape: bool,
}

impl Word {
    /// The word as text.
    ///
    /// # Errors
    /// Its escapes made something else than UTF-8 text.
    pub fn into_text(self) -> Result<String, ValueError> {
        let text = String::from_utf8(self.bytes).map_err(|error| {
            ValueError::new(format!("\"{}\" is not UTF-8 text", String::from_utf8_lossy(error.as_bytes())))
        })?;
        if super::is_unicode_text(&text) {
            Ok(text)
        } else {
            Err(ValueError::new(format!("\"{text}\" is not Unicode text")))
        }
    }
}

/// An iterator over the words of a text; `'…'` and `"…"` may begin and end anywhere in a word and are removed.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a str,
    backslash: Backslash,
    /// An unfinished quote or backslash at the end is as good as a finished one.
    lenient: bool,
    /// What ends a word.
    ends: &'a [char],
}

impl<'a> Words<'a> {
    /// The words of `text`.
    pub fn new(text: &'a str, backslash: Backslash) -> Self {
        Self { rest: text, backslash, lenient: false, ends: &BLANKS }
    }

    /// The words of `text`, where an unbalanced quote lasts to the end: for text that no unit file's author wrote.
    pub fn lenient(text: &'a str, backslash: Backslash) -> Self {
        Self { rest: text, backslash, lenient: true, ends: &BLANKS }
    }

    /// The same, where one of these ends a word; [`Self::pass`] goes on behind one that is no blank.
    #[must_use]
    pub fn ending_at(mut self, ends: &'a [char]) -> Self {
        self.ends = ends;
        self
    }

    /// Goes on behind `end`, if that has ended the last word.
    pub fn pass(&mut self, end: char) -> bool {
        let after = self.rest.strip_prefix(end);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// Whether no word follows without blanks between.
    pub fn is_at_blank(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with(BLANKS)
    }

    /// What follows the last word, without the blanks between.
    pub fn rest(&self) -> &'a str {
        self.rest.trim_start_matches(BLANKS)
    }

    /// Continues at `rest`, which the caller took from [`Self::rest`].
    pub fn continue_at(&mut self, rest: &'a str) {
        self.rest = rest;
    }

    /// The next word as text; unknown escapes are kept and warned of, as in command lines.
    ///
    /// # Errors
    /// An unbalanced quote, or no text.
    pub fn next_text(&mut self, warn: impl FnOnce(ValueError)) -> Option<Result<String, ValueError>> {
        let word = match self.next()? {
            Ok(word) => word,
            Err(error) => return Some(Err(error)),
        };
        let unknown = word.has_unknown_escape;
        let text = word.into_text();
        if let (true, Ok(text)) = (unknown, &text) {
            let remark =
                "has an unknown escape sequence, which is kept as it is; write `\\\\` for a backslash";
            warn(ValueError::Remark { text: text.clone(), remark });
        }
        Some(text)
    }

    fn word(&mut self) -> Result<Word, ValueError> {
        let mut word = Word { bytes: Vec::new(), has_unknown_escape: false };
        let mut quote = None;
        let mut rest = self.rest;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            match (c, quote) {
                ('\\', _) => {
                    rest = self.push_escape(&mut word, after)?;
                    continue;
                }
                (_, Some(open)) if c == open => quote = None,
                ('\'' | '"', None) => quote = Some(c),
                (_, None) if self.ends.contains(&c) => break,
                _ => word.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            rest = after;
        }
        if quote.is_some() && !self.lenient {
            return Err(ValueError::Quotes(self.rest.to_owned()));
        }
        self.rest = rest;
        Ok(word)
    }

    /// Adds what the backslash before `after` means; what follows that.
    fn push_escape<'t>(&self, word: &mut Word, after: &'t str) -> Result<&'t str, ValueError> {
        let Some(next) = after.chars().next() else {
            return match self.backslash {
                _ if self.lenient => Ok(after),
                Backslash::EscapesOrLiteral => {
                    word.bytes.push(b'\\');
                    Ok(after)
                }
                _ => Err(ValueError::Quotes(self.rest.to_owned())),
            };
        };
        let literal = &after[..next.len_utf8()];
        match self.backslash {
            Backslash::Quotes => word.bytes.extend_from_slice(literal.as_bytes()),
            Backslash::Literal => {
                word.bytes.push(b'\\');
                word.bytes.extend_from_slice(literal.as_bytes());
            }
            Backslash::Escapes | Backslash::EscapesOrLiteral => {
                if let Some((bytes, rest)) = unescape_c(after) {
                    word.bytes.extend_from_slice(&bytes);
                    return Ok(rest);
                }
                if self.backslash == Backslash::Escapes {
                    return Err(ValueError::Escape(self.rest.to_owned()));
                }
                word.has_unknown_escape = true;
                word.bytes.push(b'\\');
                word.bytes.extend_from_slice(literal.as_bytes());
            }
        }
        Ok(&after[next.len_utf8()..])
    }
}

impl Iterator for Words<'_> {
    type Item = Result<Word, ValueError>;

    /// After an error there are no further words.
    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest();
        if self.rest.is_empty() {
            return None;
        }
        let word = self.word();
        if word.is_err() {
            self.rest = "";
        }
        Some(word)
    }
}

/// `text` with its C escapes replaced by what they mean.
///
/// # Errors
/// A backslash that begins no escape.
pub fn unescape(text: &str) -> Result<Vec<u8>, ValueError> {
    unescape_with(text, |_| None)
}

/// The same for what may be any bytes: NUL can be written, too.
///
/// # Errors
/// A backslash that begins no escape.
pub fn unescape_bytes(text: &str) -> Result<Vec<u8>, ValueError> {
    unescape_with(text, |after| {
        let spellings = ["x00", "000", "u0000", "U00000000"];
        let rest = spellings.iter().find_map(|spelling| after.strip_prefix(spelling))?;
        Some((vec![0].into(), rest))
    })
}

/// What an escape means, and what follows it.
type Escape<'t> = (Cow<'static, [u8]>, &'t str);

fn unescape_with<'t>(
    text: &'t str,
    more: impl Fn(&'t str) -> Option<Escape<'t>>,
) -> Result<Vec<u8>, ValueError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (meant, next) =
            unescape_c(after).or_else(|| more(after)).ok_or_else(|| ValueError::Escape(text.to_owned()))?;
        bytes.extend_from_slice(&meant);
        rest = next;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// What the C escape at the start of `text` (after its backslash) means, and what follows. NUL cannot be written.
fn unescape_c(text: &str) -> Option<(Cow<'static, [u8]>, &str)> {
    let letter = text.chars().next()?;
    let after = &text[letter.len_utf8()..];
    let simple: &'static [u8] = match letter {
        'a' => b"\x07",
        'b' => b"\x08",
        'f' => b"\x0c",
        'n' => b"\n",
        'r' => b"\r",
        't' => b"\t",
        'v' => b"\x0b",
        's' => b" ",
        '\\' => b"\\",
        '"' => b"\"",
        '\'' => b"'",
        'x' => return byte_escape(after, 2, 16),
        '0'..='7' => return byte_escape(text, 3, 8),
        'u' => return unicode_escape(after, 4),
        'U' => return unicode_escape(after, 8),
        _ => return None,
    };
    Some((simple.into(), after))
}

/// Exactly `count` digits that make one byte.
fn byte_escape(text: &str, count: usize, radix: u32) -> Option<(Cow<'static, [u8]>, &str)> {
    let (value, rest) = digits(text, count, radix)?;
    let byte = u8::try_from(value).ok().filter(|&byte| byte != 0)?;
    Some((vec![byte].into(), rest))
}

/// Exactly `count` hexadecimal digits that make one character.
fn unicode_escape(text: &str, count: usize) -> Option<(Cow<'static, [u8]>, &str)> {
    let (value, rest) = digits(text, count, 16)?;
    let c = char::from_u32(value).filter(|&c| c != '\0')?;
    Some((c.to_string().into_bytes().into(), rest))
}

fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(count)?;
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some((u32::from_str_radix(digits, radix).ok()?, rest))
}

/// `text` as systemd prints bytes that may be anything: C escapes, octal for all that is not ASCII.
pub fn escape_c(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(bytes.len());
    for &byte in bytes {
        let simple = match byte {
            0x07 => "\\a",
            0x08 => "\\b",
            0x0c => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x0b => "\\v",
            b'\\' => "\\\\",
            b'"' => "\\\"",
            b'\'' => "\\'",
            b' '..=b'~' => {
                escaped.push(char::from(byte));
                continue;
            }
            _ => {
                write!(escaped, "\\{byte:03o}").expect("writing to a String cannot fail");
                continue;
            }
        };
        escaped.push_str(simple);
    }
    escaped
}
