//! From bytes to lines: where a line ends, how important it is, and whether it is one too many.

use sockmgr_sys::intake::REST_MAX;
use sockmgr_unit::section::StreamSection;
use sockmgr_unit::value::SyslogLevel;

/// Longest line; what is longer is cut there, as the journal does (journald.conf(5), `LineMax=`).
pub(super) const LINE_MAX: usize = REST_MAX;

/// Calls `line` with each line, which ends with a line feed, a zero byte, or after [`LINE_MAX`] bytes. Empty ones are left
/// out. Answers how many bytes were lines; what follows is shorter than a line can be. With `is_end` nothing follows.
pub(super) fn split(bytes: &[u8], is_end: bool, mut line: impl FnMut(&[u8])) -> usize {
    let mut start = 0;
    while start < bytes.len() {
        let window = &bytes[start..bytes.len().min(start + LINE_MAX)];
        let (text, taken) = match memchr::memchr2(b'\n', 0, window) {
            Some(at) => (&window[..at], at + 1),
            None if window.len() == LINE_MAX || is_end => (window, window.len()),
            None => break,
        };
        if !text.is_empty() {
            line(text);
        }
        start += taken;
    }
    start
}

/// How important a line is, and the line without what says so (sd-daemon(3)).
pub(super) fn level<'a>(line: &'a [u8], section: &StreamSection) -> (SyslogLevel, &'a [u8]) {
    match line {
        [b'<', digit @ b'0'..=b'7', b'>', message @ ..] if section.syslog_level_prefix => {
            (SyslogLevel(digit - b'0'), message)
        }
        _ => (section.syslog_level, line),
    }
}

/// Counts lines against `LogRateLimitBurst=`.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    /// When the window began, in microseconds.
    since: u64,
    admitted: u32,
    missed: u64,
}

impl Limiter {
    /// Whether a line may be logged; then how many before it were not, since that was last said.
    pub(super) fn admit(&mut self, section: &StreamSection, now: u64) -> Option<u64> {
        let (interval, burst) =
            (section.log_rate_limit_interval_sec.as_micros(), section.log_rate_limit_burst);
        if interval == 0 || burst == 0 {
            return Some(0);
        }
        if now.saturating_sub(self.since) >= interval || self.since == 0 {
            self.since = now;
            self.admitted = 0;
        }
        if self.admitted >= burst {
            self.missed += 1;
            return None;
        }
        self.admitted += 1;
        Some(std::mem::take(&mut self.missed))
    }
}

#[cfg(test)]
mod tests {
    use sockmgr_unit::Span;

    use super::*;

    fn lines(bytes: &[u8], is_end: bool) -> (Vec<Vec<u8>>, usize) {
        let mut lines = Vec::new();
        let consumed = split(bytes, is_end, |line| lines.push(line.to_vec()));
        (lines, consumed)
    }

    fn texts(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn lines_end_where_they_say() {
        assert_eq!(lines(b"one\n\ntwo\0three", false), (texts(&["one", "two"]), 9));
        assert_eq!(lines(b"one\n\ntwo\0three", true), (texts(&["one", "two", "three"]), 14));
        assert_eq!(lines(b"", true), (texts(&[]), 0));
        assert_eq!(lines(b"\n\n\0", false), (texts(&[]), 3));
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let long = vec![b'x'; 2 * LINE_MAX + 10];
        let (cut, consumed) = lines(&long, false);
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [LINE_MAX, LINE_MAX]);
        assert_eq!(consumed, 2 * LINE_MAX, "the rest is shorter than a line");
        assert_eq!(lines(&long, true).0.len(), 3);
        let mut exact = vec![b'x'; LINE_MAX - 1];
        exact.push(b'\n');
        assert_eq!(lines(&exact, false).0.len(), 1);
    }

    #[test]
    fn a_number_in_front_is_the_level() {
        let section = StreamSection::default();
        let plain = StreamSection { syslog_level_prefix: false, ..StreamSection::default() };
        assert_eq!(level(b"<3>bad", &section), (SyslogLevel(3), &b"bad"[..]));
        assert_eq!(level(b"<3>bad", &plain), (SyslogLevel::INFO, &b"<3>bad"[..]));
        for line in ["<8>x", "<13>x", "3>x", "<3x", "<>"] {
            assert_eq!(level(line.as_bytes(), &section), (SyslogLevel::INFO, line.as_bytes()));
        }
    }

    #[test]
    fn what_is_too_many_is_counted() {
        let section = StreamSection {
            log_rate_limit_interval_sec: Span::from_micros(100),
            log_rate_limit_burst: 2,
            ..StreamSection::default()
        };
        let mut limiter = Limiter::default();
        let admitted: Vec<Option<u64>> =
            [1000, 1001, 1002, 1099, 1100, 1101, 1102, 1300].map(|now| limiter.admit(&section, now)).into();
        let expected = [Some(0), Some(0), None, None, Some(2), Some(0), None, Some(1)];
        assert_eq!(admitted, expected);
        let mut unlimited = Limiter::default();
        assert!((0..100).all(|now| unlimited.admit(&StreamSection::default(), now) == Some(0)));
    }
}
