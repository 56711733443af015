//! Probes: connections of our own by which the engine finds out whether a process serves (`ReadyCheck=`).
//!
//! They are looked at every few milliseconds, and only while there are any. Never here: what follows from an answer. Invariant: each
//! probe is answered once, or forgotten because another one about the same process took its place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sockmgr_engine::{Action, Detour, Event, FdId, ProcessId, Time};
use sockmgr_sys::{diag, listener, probe, queue, steering};
use sockmgr_unit::{ReadyCheck, Span};

use super::listeners::chain;
use super::{Driver, now};

/// Between two looks at the probes.
const LOOK: Span = Span::from_millis(5);
/// More than this a status line does not take.
const STATUS_MAX: usize = 1024;

/// The probes under way.
#[derive(Debug, Default)]
pub(super) struct Probes {
    probes: BTreeMap<ProcessId, Probe>,
    next_look: Option<Time>,
}

#[derive(Debug)]
struct Probe {
    fd: FdId,
    until: Option<Time>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// So many waited already: the first that is accepted will do.
    Waiting(u32),
    /// Ours is in the queue.
    Queued(File),
    /// What it has answered so far.
    Asked(File, Vec<u8>),
}

type Answer = Result<(), String>;

impl Probes {
    pub(super) fn next_look(&self) -> Option<Time> {
        self.next_look
    }
}

impl Driver {
    /// Makes a probe; the answer, where that is what fails.
    pub(super) fn begin_probe(&mut self, action: Action) -> Option<Event> {
        let Action::Probe { process, fd, check, detour, until } = action else { return None };
        match self.make_probe(fd, &check, detour) {
            Ok(kind) => {
                self.probes.probes.insert(process, Probe { fd, until, kind });
                self.probes.next_look = now().after(LOOK);
                None
            }
            Err(why) => Some(Event::Probed { process, result: Err(why) }),
        }
    }

    fn make_probe(&mut self, fd: FdId, check: &ReadyCheck, detour: Option<Detour>) -> Result<Kind, String> {
        let queued = self.descriptors.get(fd).and_then(waiting);
        if let (ReadyCheck::Accepting, Some(queued @ 1..)) = (check, queued) {
            return Ok(Kind::Waiting(queued));
        }
        let mut connection = File::from(self.connect(fd, detour)?);
        match check {
            ReadyCheck::Http(path) => {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: sockmgr\r\nConnection: close\r\n\r\n"
                );
                connection.write_all(request.as_bytes()).map_err(|error| format!("cannot ask: {error}"))?;
                Ok(Kind::Asked(connection, Vec::new()))
            }
            ReadyCheck::Tcp | ReadyCheck::Accepting | ReadyCheck::Exec(_) => Ok(Kind::Queued(connection)),
        }
    }

    /// A connection in the queue of this very listener.
    fn connect(&mut self, fd: FdId, detour: Option<Detour>) -> Result<OwnedFd, String> {
        let failed = |error: sockmgr_sys::SysError| chain(&error);
        let socket = self.descriptors.get(fd).ok_or("its listener is closed")?;
        let prepared = probe::prepare(&listener::local_address(socket).map_err(failed)?).map_err(failed)?;
        let (Some(detour), Some(port)) = (detour, prepared.source_port()) else {
            return prepared.connect().map_err(failed);
        };
        let order = self.engine.members(&detour.socket, detour.line);
        let index =
            |slot: u32| order.iter().position(|member| *member == slot).and_then(|at| u16::try_from(at).ok());
        let rest = detour.live.first().copied().unwrap_or(detour.slot);
        let (Some(to), Some(rest)) = (index(detour.slot), index(rest)) else {
            return Err("its listener does not listen".to_owned());
        };
        steering::detour(socket, port, to, rest).map_err(failed)?;
        let connected = prepared.connect().map_err(failed);
        self.steer(&detour.socket, &detour.live);
        connected
    }

    /// Looks whether probes are answered, when it is time.
    pub(super) fn look_at_probes(&mut self) {
        let now = now();
        if self.probes.next_look.is_none_or(|look| look > now) {
            return;
        }
        let mut answers = Vec::new();
        for (process, probe) in &mut self.probes.probes {
            let late = probe.until.is_some_and(|until| until <= now);
            let listener = self.descriptors.get(probe.fd);
            let answer =
                listener.map_or_else(|| Some(Err("its listener is closed".to_owned())), |fd| probe.look(fd));
            let answer = answer.or_else(|| late.then(|| Err("no answer".to_owned())));
            answers.extend(answer.map(|answer| (*process, answer)));
        }
        for (process, _) in &answers {
            self.probes.probes.remove(process);
        }
        self.probes.next_look = if self.probes.probes.is_empty() { None } else { now.after(LOOK) };
        for (process, result) in answers {
            self.feed(Event::Probed { process, result });
        }
    }
}

impl Probe {
    /// The answer, if there is one by now.
    fn look(&mut self, listener: BorrowedFd<'_>) -> Option<Answer> {
        match &mut self.kind {
            Kind::Waiting(most) => {
                let queued = waiting(listener)?;
                let fewer = queued < *most;
                *most = queued.max(*most);
                fewer.then_some(Ok(()))
            }
            Kind::Queued(connection) => match connection.read(&mut [0; 64]) {
                // Whoever speaks or hangs up has accepted.
                Ok(_) => Some(Ok(())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    (waiting(listener)? == 0).then_some(Ok(()))
                }
                Err(error) => Some(Err(format!("not accepted: {error}"))),
            },
            Kind::Asked(connection, heard) => hear(connection, heard),
        }
    }
}

/// Reads on; the answer, once its status line is there.
fn hear(connection: &mut impl Read, heard: &mut Vec<u8>) -> Option<Answer> {
    let mut buffer = [0; 512];
    loop {
        match connection.read(&mut buffer) {
            Ok(0) => return Some(Err("closed without an answer".to_owned())),
            Ok(length) => heard.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => return Some(Err(format!("no answer: {error}"))),
        }
        if let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
            return Some(judge(&String::from_utf8_lossy(&heard[..end])));
        }
        if heard.len() > STATUS_MAX {
            return Some(Err("its answer is not HTTP".to_owned()));
        }
    }
}

/// A status line (RFC 9112, section 4): success and redirection are good.
fn judge(line: &str) -> Answer {
    let mut words = line.split_ascii_whitespace();
    let version = words.next().filter(|version| version.starts_with("HTTP/"));
    match (version, words.next().and_then(|status| status.parse().ok())) {
        (Some(_), Some(200..400)) => Ok(()),
        (Some(_), Some(status @ 0..1000)) => Err(format!("answers {status}")),
        _ => Err("its answer is not HTTP".to_owned()),
    }
}

/// How many connections wait on a listener; `None` where the kernel does not tell.
fn waiting(listener: BorrowedFd<'_>) -> Option<u32> {
    match queue::level(listener.as_fd()) {
        Ok(Some(level)) => Some(level.used),
        Ok(None) => diag::connections(listener).ok().flatten().map(|connections| connections.waiting),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_and_redirection_are_good() {
        for (line, answer) in [
            ("HTTP/1.1 200 OK\r", Ok(())),
            ("HTTP/1.0 302 Found\r", Ok(())),
            ("HTTP/1.1 204", Ok(())),
            ("HTTP/1.1 503 Service Unavailable\r", Err("answers 503".to_owned())),
            ("SSH-2.0-OpenSSH_9.2p1\r", Err("its answer is not HTTP".to_owned())),
            ("HTTP/1.1 OK", Err("its answer is not HTTP".to_owned())),
            ("", Err("its answer is not HTTP".to_owned())),
        ] {
            assert_eq!(judge(line), answer, "{line:?}");
        }
    }

    #[test]
    fn a_status_line_may_come_in_pieces_and_must_come_to_an_end() {
        let mut heard = Vec::new();
        assert_eq!(hear(&mut Pieces(vec![b"HTTP/1.1 2"]), &mut heard), None);
        assert_eq!(hear(&mut Pieces(vec![b"00 OK\r\nServer: x"]), &mut heard), Some(Ok(())));
        let endless = hear(&mut std::io::repeat(b'x'), &mut Vec::new());
        assert_eq!(endless, Some(Err("its answer is not HTTP".to_owned())));
        let closed = hear(&mut std::io::empty(), &mut Vec::new());
        assert_eq!(closed, Some(Err("closed without an answer".to_owned())));
    }

    /// What comes now; then nothing, for the time being.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let piece = self.0.pop().ok_or(ErrorKind::WouldBlock)?;
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }
}
