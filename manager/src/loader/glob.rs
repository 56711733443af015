//! Patterns of file names, as `EnvironmentFile=` takes them: `*`, `?` and `[…]` within one component (glob(7)).
//!
//! Never here: opening what matches. Invariant: the paths are sorted, so that later files override earlier ones.

use std::fs;
use std::path::{Path, PathBuf};

/// The paths that match an absolute pattern, sorted. A pattern without wildcards is its own match, there or not.
pub fn glob(pattern: &str) -> Vec<PathBuf> {
    if !has_wildcard(pattern) {
        return vec![PathBuf::from(pattern)];
    }
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = found.iter().flat_map(|directory| matches_in(directory, part)).collect();
    }
    found.sort_unstable();
    found
}

/// Whether a whole name fits a pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    fits(&pattern.chars().collect::<Vec<char>>(), &name.chars().collect::<Vec<char>>())
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn matches_in(directory: &Path, part: &str) -> Vec<PathBuf> {
    if !has_wildcard(part) {
        let path = directory.join(part);
        return if path.symlink_metadata().is_ok() { vec![path] } else { Vec::new() };
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    // A wildcard does not stand for the dot of a hidden file.
    let visible = names.filter(|name| part.starts_with('.') || !name.starts_with('.'));
    let matching = visible.filter(|name| matches(part, name));
    matching.map(|name| directory.join(name)).collect()
}

/// Whether the whole name fits. Goes back to the last `*` only: an earlier one need never take more.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            p += 1;
            star = Some((p, n));
        } else if let Some(length) = matches_one(&pattern[p..], name[n]) {
            p += length;
            n += 1;
        } else if let Some((after, taken)) = star {
            (p, n) = (after, taken + 1);
            star = Some((after, taken + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How much of the pattern the character takes up, if it fits.
fn matches_one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => match set(pattern) {
            Some((length, negated, members)) => (contains(members, c) != negated).then_some(length),
            None => (c == '[').then_some(1),
        },
        '\\' if pattern.len() > 1 => (pattern[1] == c).then_some(2),
        literal => (*literal == c).then_some(1),
    }
}

/// Length, negation and members of the `[…]` that the pattern begins with; a `]` that comes first is a member.
fn set(pattern: &[char]) -> Option<(usize, bool, &[char])> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
    Some((end + 1, negated, &pattern[start..end]))
}

fn contains(members: &[char], c: char) -> bool {
    match members {
        [from, '-', to, rest @ ..] => (*from..=*to).contains(&c) || contains(rest, c),
        [member, rest @ ..] => *member == c || contains(rest, c),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let fits = |pattern: &str, name: &str| matches(pattern, name);
        let good = [
            ("*", ""),
            ("*", "ab"),
            ("a*c", "abbc"),
            ("a*b*c", "aXbXbc"),
            ("?b", "ab"),
            ("[ab]", "b"),
            ("[a-c]x", "bx"),
        ];
        let more = [
            ("[!a]", "b"),
            ("[]]", "]"),
            ("[a-]", "-"),
            ("\\*", "*"),
            ("a[", "a["),
            ("*.env", "x.env"),
            ("é?", "éü"),
        ];
        for (pattern, name) in good.into_iter().chain(more) {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("a", "ab"), ("?", ""), ("a*c", "abd"), ("[a-c]", "d"), ("[!a]", "a"), ("\\*", "x"), ("", "a")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn finds_files_in_order_and_no_hidden_ones() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.env", "a.env", ".hidden.env", "c.txt"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let root = directory.path().to_str().unwrap();
        let names = |pattern: &str| -> Vec<String> {
            let found = glob(&format!("{root}/{pattern}"));
            found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("*.env"), ["a.env", "b.env"]);
        assert_eq!(names("[bc].*"), ["b.env", "c.txt"]);
        assert_eq!(names("*.none"), [""; 0]);
        assert_eq!(names("none"), ["none"], "whoever reads it says that it is not there");
    }
}
