//! What clients and servers say to each other: pure, bytes in and words out.

use std::time::Duration;

/// The protocol of a load over streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// That of `witness`: `accepted NAME` at once, then, for a line, `answered NAME` and the end.
    Witness,
    /// HTTP/1.1 `GET /`: so many requests on one connection with pauses between them. The first line of the body, up to
    /// `, request`, says who answers.
    Http {
        /// Requests on each connection; more than one means keep-alive.
        requests: u32,
        /// From an answer to the next request.
        pause: Duration,
    },
}

/// What has been heard so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// Not all of it yet; who has accepted the client, if that was said.
    Part(Option<&'a str>),
    /// A whole answer, of whom.
    Whole(&'a str),
    /// Something that no server of this protocol says.
    Nonsense,
}

impl Exchange {
    /// One HTTP request on each connection.
    pub const HTTP: Self = Self::Http { requests: 1, pause: Duration::ZERO };

    /// How often it is asked on one connection.
    pub(super) fn requests(self) -> u32 {
        match self {
            Self::Witness => 1,
            Self::Http { requests, .. } => requests,
        }
    }

    /// From an answer to the next request.
    pub(super) fn pause(self) -> Duration {
        match self {
            Self::Witness => Duration::ZERO,
            Self::Http { pause, .. } => pause,
        }
    }

    /// A request; the last one on its connection says so.
    pub(super) fn question(self, is_last: bool) -> &'static [u8] {
        match self {
            Self::Witness => b"please\n",
            Self::Http { .. } if is_last => b"GET / HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n",
            Self::Http { .. } => b"GET / HTTP/1.1\r\nHost: load\r\n\r\n",
        }
    }

    /// Whether a whole answer is the last on its connection, because the server says so.
    pub(super) fn is_farewell(self, heard: &[u8]) -> bool {
        match self {
            Self::Witness => true,
            Self::Http { .. } => {
                heard.to_ascii_lowercase().windows(17).any(|part| part == b"connection: close")
            }
        }
    }

    /// Understands what a server has said since the last question.
    pub(super) fn understand(self, heard: &[u8]) -> Heard<'_> {
        let Ok(text) = std::str::from_utf8(heard) else { return Heard::Nonsense };
        match self {
            Self::Witness => witness(text),
            Self::Http { .. } => http(text),
        }
    }
}

fn witness(text: &str) -> Heard<'_> {
    let mut lines = text.split_inclusive('\n');
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    match (value(first, "accepted "), value(second, "answered ")) {
        (Ok(Some(_)), Ok(Some(name))) => Heard::Whole(name),
        (Ok(name), Ok(_)) => Heard::Part(name),
        (Err(()), _) | (_, Err(())) => Heard::Nonsense,
    }
}

/// What follows the keyword in a line; nothing before it is whole.
fn value<'a>(line: &'a str, keyword: &str) -> Result<Option<&'a str>, ()> {
    match line.strip_suffix('\n') {
        Some(line) => line.strip_prefix(keyword).map(Some).ok_or(()),
        None if keyword.starts_with(line) || line.starts_with(keyword) => Ok(None),
        None => Err(()),
    }
}

fn http(text: &str) -> Heard<'_> {
    const OK: &str = "HTTP/1.1 200 ";
    if !OK.starts_with(text) && !text.starts_with(OK) {
        return Heard::Nonsense;
    }
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Heard::Part(None) };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        None => Heard::Nonsense,
        Some(length) if body.len() < length => Heard::Part(None),
        Some(length) if body.len() > length => Heard::Nonsense,
        Some(_) => {
            let line = body.lines().next().unwrap_or_default();
            Heard::Whole(line.split_once(", request").map_or(line, |(who, _)| who))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_is_understood_at_every_length() {
        let text = b"accepted web@1 7\nanswered web@1 7\n";
        for length in 0..text.len() {
            let accepted = (length >= 17).then_some("web@1 7");
            assert_eq!(Exchange::Witness.understand(&text[..length]), Heard::Part(accepted), "{length}");
        }
        assert_eq!(Exchange::Witness.understand(text), Heard::Whole("web@1 7"));
    }

    #[test]
    fn an_http_server_is_understood_at_every_length() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhello 7, request 123";
        for length in 0..text.len() {
            assert_eq!(Exchange::HTTP.understand(&text[..length]), Heard::Part(None), "{length}");
        }
        assert_eq!(Exchange::HTTP.understand(text), Heard::Whole("hello 7"));
    }

    #[test]
    fn anything_else_is_nonsense() {
        for text in ["hello\n", "accepted a\nwhat\n", "accepted a\nb", "\u{fffd}"] {
            assert_eq!(Exchange::Witness.understand(text.as_bytes()), Heard::Nonsense, "{text}");
        }
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab";
        for text in ["HTTP/1.1 503 Busy\r\n", "HTTP/1.1 200 OK\r\n\r\n", long, "accepted"] {
            assert_eq!(Exchange::HTTP.understand(text.as_bytes()), Heard::Nonsense, "{text}");
        }
        assert_eq!(Exchange::HTTP.understand(b"\xff"), Heard::Nonsense);
    }
}
