//! Shell patterns on unit names: `*`, `?` and `[…]`, as fnmatch(3) with `FNM_NOESCAPE`, which is what systemd uses.
//!
//! Never here: names. Invariant: the time is bounded by the product of the two lengths, whatever the pattern.

/// Whether `text` matches `pattern`. A backslash is a character like any other: unit names are full of them.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when the characters after the last star fit no longer: that star takes one more.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p + 1, t));
            p += 1;
        } else if let Some(width) = match_one(&pattern[p..], text[t]) {
            p += width;
            t += 1;
        } else if let Some((after_star, from)) = retry {
            retry = Some((after_star, from + 1));
            (p, t) = (after_star, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The width of the first element of `pattern`, if it takes `c`.
fn match_one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => match Set::parse(pattern) {
            Some(set) => set.has(c).then_some(set.width),
            // A bracket that nothing closes stands for itself.
            None => (c == '[').then_some(1),
        },
        other => (*other == c).then_some(1),
    }
}

/// `[abc]`, `[a-z]`, `[!a]`
struct Set<'a> {
    members: &'a [char],
    is_negated: bool,
    width: usize,
}

impl<'a> Set<'a> {
    fn parse(pattern: &'a [char]) -> Option<Self> {
        let is_negated = matches!(pattern.get(1), Some('!' | '^'));
        let start = if is_negated { 2 } else { 1 };
        // A bracket right at the start is a member.
        let end = (start + 1..pattern.len()).find(|at| pattern[*at] == ']')?;
        Some(Self { members: &pattern[start..end], is_negated, width: end + 1 })
    }

    fn has(&self, c: char) -> bool {
        let mut rest = self.members;
        let mut found = false;
        while let [first, after @ ..] = rest {
            (found, rest) = match after {
                ['-', last, others @ ..] => (found || (*first..=*last).contains(&c), others),
                others => (found || *first == c, others),
            };
        }
        found != self.is_negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        let table = [
            ("web.socket", "web.socket", true),
            ("web.socket", "web.sockets", false),
            ("*", "", true),
            ("*", "web.socket", true),
            ("web*", "web@1.service", true),
            ("*.socket", "a.socket.socket", true),
            ("*.socket", "a.socket.service", false),
            ("w?b.*", "web.socket", true),
            ("w?b.*", "wb.socket", false),
            ("web@[1-3].service", "web@2.service", true),
            ("web@[1-3].service", "web@4.service", false),
            ("web@[!1-3].service", "web@4.service", true),
            ("web@[^4].service", "web@4.service", false),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            ("[abc", "[abc", true),
            ("a\\x2db*", "a\\x2db.service", true),
            ("a*b*c*d", "aXbXcXbXcXd", true),
            ("a*b*c*d", "aXbXcXbXcX", false),
            ("**", "x", true),
            ("?", "ü", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_wicked_pattern_takes_no_time() {
        // A matcher that tries every way for every star would not come back from these.
        assert!(!matches(&format!("{}b", "*a".repeat(100)), &"a".repeat(255)));
        assert!(!matches(&format!("{}b", "a*".repeat(100)), &"a".repeat(255)));
    }
}
