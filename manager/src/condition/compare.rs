//! Comparisons: `>=6.1`, versions, and words in quotes.

use std::cmp::Ordering;

/// What stands before a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Less,
    LessOrEqual,
    Equal,
    Unequal,
    GreaterOrEqual,
    Greater,
}

impl Relation {
    /// The sign at the beginning of `text`, and what follows it.
    pub(super) fn strip(text: &str) -> Option<(Self, &str)> {
        const SIGNS: [(&str, Relation); 6] = [
            ("<=", Relation::LessOrEqual),
            ("<", Relation::Less),
            (">=", Relation::GreaterOrEqual),
            (">", Relation::Greater),
            ("!=", Relation::Unequal),
            ("=", Relation::Equal),
        ];
        SIGNS.into_iter().find_map(|(sign, relation)| Some((relation, text.strip_prefix(sign)?)))
    }

    /// Whether two things that compare so are in this relation.
    pub(super) fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

/// The order of two versions, by the Version Format Specification of the UAPI group: segments of digits and letters, `~` before all else,
/// `-`, `^` and `.` in this order.
pub(super) fn versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (significant(a), significant(b));
    loop {
        for separator in ['~', '-', '^', '.'] {
            if separator == '-' && (a.is_empty() || b.is_empty()) {
                return a.len().min(1).cmp(&b.len().min(1));
            }
            let (in_a, in_b) = (a.starts_with(separator), b.starts_with(separator));
            if in_a != in_b {
                return in_b.cmp(&in_a);
            }
            if in_a {
                (a, b) = (&a[1..], &b[1..]);
            }
        }
        let (of_a, rest_a) = segment(a, b);
        let (of_b, rest_b) = segment(b, a);
        let order = segments(of_a, of_b);
        if order.is_ne() {
            return order;
        }
        (a, b) = (significant(rest_a), significant(rest_b));
    }
}

/// From the first character on that means something in a version.
fn significant(text: &str) -> &str {
    text.trim_start_matches(|c: char| !(c.is_ascii_alphanumeric() || "~-^.".contains(c)))
}

/// The digits at the beginning, if one of the two begins with a digit; else the letters.
fn segment<'t>(text: &'t str, other: &str) -> (&'t str, &'t str) {
    let begins_with_digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let is_number = begins_with_digit(text) || begins_with_digit(other);
    let belongs = |c: char| if is_number { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// A number is newer than nothing, and than letters.
fn segments(a: &str, b: &str) -> Ordering {
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if !is_number(a) && !is_number(b) {
        return a.cmp(b);
    }
    let (x, y) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    is_number(a).cmp(&is_number(b)).then(x.len().cmp(&y.len())).then(x.cmp(y))
}

/// The words of a text; quotes keep blanks together.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut word = String::new();
        let mut quote = None;
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            match quote {
                Some(open) if c == open => quote = None,
                Some(_) => word.push(c),
                None if c == '"' || c == '\'' => quote = Some(c),
                None if c.is_ascii_whitespace() => {
                    end = at;
                    break;
                }
                None => word.push(c),
            }
        }
        words.push(word);
        rest = rest[end..].trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_systemd_orders_them() {
        // From the specification, and `systemd-analyze compare-versions` of 252.
        let ascending = [
            "",
            "~1",
            "",
            "ab",
            "abb",
            "abc",
            "0001",
            "002",
            "12",
            "122",
            "122.9",
            "123~rc1",
            "123",
            "123-a",
            "123-a.1",
            "123-a1",
            "123-a1.1",
            "123-3",
            "123-3.1",
            "123^patch1",
            "123^1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124",
        ];
        for pair in ascending[2..].windows(2) {
            assert_eq!(versions(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(versions(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(versions("~1", ""), Ordering::Less);
        for (a, b) in [("1", "01"), ("1.2", "1.02"), ("6.1_0", "6.1_0"), ("", "")] {
            assert_eq!(versions(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    #[test]
    fn signs_are_read_longest_first() {
        let table = [("<=5", Relation::LessOrEqual), ("<5", Relation::Less), ("=5", Relation::Equal)];
        for (text, relation) in table {
            assert_eq!(Relation::strip(text), Some((relation, "5")), "{text}");
        }
        assert_eq!(Relation::strip("5"), None);
    }

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(words(" a  'b c' d\"e f\" "), ["a", "b c", "de f"]);
    }
}
