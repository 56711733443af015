//! Names of directories that a unit's processes are given: `web web/cache:cache` (systemd.exec(5), `RuntimeDirectory=` and its like).
//!
//! Never here: making one. Invariant: a path is relative, goes neither up nor through `.`, and is not below `private`.

use super::word::{Backslash, Words};
use super::{ValueError, path};
use crate::directive::{Context, Property, Value};

/// Where systemd keeps those of dynamic users.
const PRIVATE: &str = "private";

/// A directory below a place such as `/run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its path there.
    pub path: Box<str>,
    /// Links to it, as paths there.
    pub links: Vec<Box<str>>,
}

/// Directories in the order of their paths, so that one comes before those within it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directories(Vec<Directory>);

impl Directories {
    /// None was named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Directory> {
        self.0.iter()
    }

    /// Path and link of each link.
    pub(crate) fn links(&self) -> Property {
        let of_one = |directory: &Directory| {
            let path = directory.path.to_string();
            directory.links.iter().map(move |link| (path.clone(), link.to_string(), 0)).collect::<Vec<_>>()
        };
        Property::Links(self.0.iter().flat_map(of_one).collect())
    }

    fn add(&mut self, path: Box<str>, link: Option<Box<str>>) {
        match self.0.iter_mut().find(|known| known.path == path) {
            Some(known) => known.links.extend(link),
            None => self.0.push(Directory { path, links: link.into_iter().collect() }),
        }
        self.0.sort_by(|one, other| one.path.split('/').cmp(other.path.split('/')));
    }
}

/// Reads `path` or `path:link`; a colon after a backslash is one of the path.
fn parse_word(word: &str, cx: &Context<'_>) -> Result<(Box<str>, Option<Box<str>>), ValueError> {
    let mut parts = split_at_colons(word).into_iter();
    let path = below(&parts.next().unwrap_or_default(), cx)?;
    let link = parts.next().filter(|link| !link.is_empty());
    if parts.next().is_some() {
        return Err(ValueError::invalid(word, "a directory, or a directory and a link to it"));
    }
    if link.is_some() && cx.key() == "ConfigurationDirectory" {
        return Err(ValueError::new(format!(
            "\"{word}\" asks for a link; ConfigurationDirectory= makes none"
        )));
    }
    Ok((path, link.map(|link| below(&link, cx)).transpose()?))
}

fn split_at_colons(word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = word.chars().peekable();
    while let Some(c) = characters.next() {
        let literal = match c {
            ':' => {
                parts.push(String::new());
                continue;
            }
            '\\' => characters.next_if_eq(&':').unwrap_or(c),
            other => other,
        };
        parts.last_mut().expect("there is a first one").push(literal);
    }
    parts
}

/// A path below the place.
fn below(text: &str, cx: &Context<'_>) -> Result<Box<str>, ValueError> {
    let text = cx.expand(text)?;
    let refused = |why: &str| Err(ValueError::new(format!("\"{text}\" {why}")));
    if text.starts_with('/') {
        return refused("is an absolute path; it must be relative");
    }
    let simple = path::simplify(&text);
    if !path::is_valid(&simple) || simple == "." {
        return refused("is not a path");
    }
    if !path::is_normalized(&simple) {
        return Err(ValueError::NotNormalized(text));
    }
    if simple.split('/').next() == Some(PRIVATE) {
        return refused("is where directories of dynamic users are; choose another name");
    }
    Ok(simple.into())
}

/// Words add up, the empty assignment forgets all; a bad word is warned of and the others are used.
impl Value for Directories {
    const FORM: &'static str = "relative paths of directories with blanks between, each with :link after it where there is to be a link to it";
    const SIGNATURE: &'static str = "as";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        }
        for word in Words::new(text, Backslash::EscapesOrLiteral) {
            match word?.into_text().and_then(|word| parse_word(&word, cx)) {
                Ok((path, link)) => self.add(path, link),
                Err(error) => cx.warn(error),
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Strs(self.0.iter().map(|directory| directory.path.to_string()).collect())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::split_at_colons;

    #[test]
    fn a_colon_after_a_backslash_is_no_border() {
        assert_eq!(split_at_colons("a:b"), ["a", "b"]);
        assert_eq!(split_at_colons("a\\:b:c"), ["a:b", "c"]);
        assert_eq!(split_at_colons("a\\x:"), ["a\\x", ""]);
        assert_eq!(split_at_colons(""), [""]);
    }
}
