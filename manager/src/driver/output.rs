//! What processes write to the log: the pipes it comes through, and how it gets into files.
//!
//! Each process that logs has a pipe of its own, whose read end the keeper holds too: what is written while there is no
//! manager waits there, and nobody who writes notices. The bytes go through [`Intake`], so that each gets into the log once,
//! whenever the manager dies. A slow disk fills the pipe and slows the writer down, and nobody else.
//!
//! Never here: which streams of a process lead here (`streams`), and what a line of a file looks like (`logfile`).
//! Invariant: what is held here is bounded by the size of a batch, whatever is written.

mod console;
mod lines;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sockmgr_engine::{Level, MachineView, SavedProcess};
use sockmgr_sys::SysError;
use sockmgr_sys::clock::{monotonic_micros, realtime_micros};
use sockmgr_sys::intake::{BATCH, Intake, Taken, Unfinished};
use sockmgr_sys::poll::{Interest, Ready};
use sockmgr_unit::section::StreamSection;
use sockmgr_unit::value::{LogTarget, SyslogFacility};
use sockmgr_unit::{Settings, Unit, UnitName};

use super::Driver;
use super::listeners::chain;
use crate::logfile::{Header, LogFiles, Places, Size};
use crate::protocol::{ProcessId, ToKeeper};
use console::{Console, Kernel};
use lines::Limiter;

/// Tokens of pipes in the poll set have this bit; the rest is the number of the process.
pub(super) const TOKENS: u64 = 1 << 62;

/// Bytes that are taken in one turn, so that no flood keeps others waiting.
const TURN_MAX: usize = BATCH;
/// Batches that are taken from a process that has ended before that is told, so that its last words come first: what a pipe
/// usually holds.
const LAST_WORDS: usize = (64 << 10) / BATCH;
/// Bytes that are taken at the end of the manager.
const FAREWELL_MAX: usize = 64 << 20;
/// How often it is said that lines cannot be written, in microseconds.
const COMPLAIN_EVERY: u64 = 60_000_000;
/// Lines are written to the file when there are so many bytes of them.
const WRITE_AT: usize = 64 << 10;

/// What the keeper calls the file in memory, and what the names of pipes begin with.
const INTAKE: &str = "intake";
const PREFIX: &str = "output ";
/// By which name the manager logs.
const OWN_NAME: &str = "sockmgrd";

/// A pipe to be read, and how its lines are logged.
pub(super) struct Pipe {
    pub(super) read: OwnedFd,
    pub(super) unit: UnitName,
    pub(super) identifier: String,
}

/// All pipes, and where what they have goes.
#[derive(Debug)]
pub(super) struct Outputs {
    streams: BTreeMap<u64, Stream>,
    /// Places for rests that nobody has: these, and all from a number on.
    free_places: Vec<u32>,
    next_place: u32,
    intake: Intake,
    files: LogFiles,
    console: Console,
    /// All lines are seen there.
    is_foreground: bool,
    kernel: Kernel,
    /// What the manager itself has to say of units, until the turn ends.
    remarks: Vec<(UnitName, Level, String)>,
    /// Whose turn it was last.
    last: u64,
    /// When it was last said that lines cannot be written, in microseconds.
    complained: Option<u64>,
    bytes: Vec<u8>,
    lines: Vec<u8>,
}

/// The pipe of one process.
#[derive(Debug)]
struct Stream {
    pipe: OwnedFd,
    unit: UnitName,
    identifier: String,
    /// Where the rest of a batch is kept.
    place: u32,
    pid: u32,
    has_rest: bool,
    section: Arc<StreamSection>,
    limiter: Limiter,
}

impl Stream {
    fn new(pipe: Pipe, place: u32, section: Arc<StreamSection>) -> Self {
        let Pipe { read, unit, identifier } = pipe;
        let limiter = Limiter::default();
        Self { pipe: read, unit, identifier, place, pid: 0, has_rest: false, section, limiter }
    }
}

/// What a successor has to know of the batch in flight.
#[derive(Debug, Serialize, Deserialize)]
struct InFlight {
    process: u64,
    unit: String,
    /// How long the unit's file was before.
    length: u64,
    /// When the batch was taken, in microseconds since 1970.
    time: u64,
    /// Nothing follows: a rest is a line, too.
    is_end: bool,
}

/// What the keeper has held of all this for an earlier manager.
pub(super) struct Left {
    intake: Option<OwnedFd>,
    pipes: Vec<(String, OwnedFd)>,
}

impl Left {
    /// Takes what is ours out of what an earlier manager left.
    pub(super) fn of(fds: &mut BTreeMap<String, OwnedFd>) -> Self {
        let names: Vec<String> = fds.keys().filter(|name| name.starts_with(PREFIX)).cloned().collect();
        let pipes = names.into_iter().filter_map(|name| fds.remove_entry(&name)).collect();
        Self { intake: fds.remove(INTAKE), pipes }
    }
}

impl Outputs {
    /// Without any pipes yet. With `is_foreground` lines are also seen where the manager is.
    pub(super) fn new(
        left: &mut Left,
        places: Places,
        settings: &Settings,
        is_foreground: bool,
    ) -> Result<Self, SysError> {
        let intake = match left.intake.take() {
            Some(fd) => Intake::from_fd(fd),
            None => Intake::new()?,
        };
        Ok(Self {
            streams: BTreeMap::new(),
            free_places: Vec::new(),
            next_place: 0,
            intake,
            files: LogFiles::new(places, size(settings)),
            console: Console::default(),
            is_foreground,
            kernel: Kernel::default(),
            remarks: Vec::new(),
            last: 0,
            complained: None,
            bytes: Vec::new(),
            lines: Vec::new(),
        })
    }

    pub(super) fn set_size(&mut self, settings: &Settings) {
        self.files.set_size(size(settings));
    }

    /// A place for the rest of a new pipe.
    fn take_place(&mut self) -> u32 {
        self.free_places.pop().unwrap_or_else(|| {
            self.next_place += 1;
            self.next_place - 1
        })
    }

    /// Takes one batch of a process, and writes it to the log.
    fn take(&mut self, process: u64) -> Result<Taken, SysError> {
        let Some(stream) = self.streams.get(&process) else { return Ok(Taken::End) };
        let rest = if stream.has_rest { self.intake.rest(stream.place)? } else { Vec::new() };
        let mut note = InFlight {
            process,
            unit: stream.unit.to_string(),
            length: self.files.length(&stream.unit).unwrap_or(u64::MAX),
            time: realtime_micros(),
            is_end: false,
        };
        let taken = self.intake.take(stream.pipe.as_fd(), &encoded(&note), &rest, &mut self.bytes)?;
        match taken {
            Taken::Nothing => return Ok(taken),
            Taken::Bytes => {}
            Taken::End if rest.is_empty() => return Ok(taken),
            Taken::End => {
                note.is_end = true;
                self.intake.begin(&encoded(&note), &rest)?;
                self.bytes = rest;
            }
        }
        self.write(&note);
        self.intake.commit()?;
        Ok(taken)
    }

    /// Writes the lines of the batch in `bytes`, and keeps what is left over of it.
    fn write(&mut self, note: &InFlight) {
        let Some(stream) = self.streams.get_mut(&note.process) else { return };
        let fields = stream.section.log_extra_fields.iter();
        let target = stream.section.log_target().unwrap_or(LogTarget::Journal);
        let mut sink = Sink {
            header: Header::new(note.time, stream.unit.as_str(), &stream.identifier, stream.pid, fields),
            unit: &stream.unit,
            files: &mut self.files,
            lines: &mut self.lines,
            failure: None,
        };
        let now = monotonic_micros();
        let consumed = lines::split(&self.bytes, note.is_end, |line| {
            let (level, message) = lines::level(line, &stream.section);
            if stream.section.log_level_max.is_some_and(|max| level > max) {
                return;
            }
            let Some(missed) = stream.limiter.admit(&stream.section, now) else { return };
            let priority = u32::from(stream.section.syslog_facility.0) << 3 | u32::from(level.0);
            if missed > 0 {
                sink.line(
                    priority & !7 | 4,
                    format!("{missed} lines are left out: LogRateLimitBurst=").as_bytes(),
                );
            }
            sink.line(priority, message);
            if target.includes_kernel() {
                self.kernel.line(priority, &stream.identifier, stream.pid, message);
            }
            if self.is_foreground || target.includes_console() {
                self.console.line(stream.unit.as_str(), message);
            }
        });
        let failure = sink.finish();
        let rest = &self.bytes[consumed..];
        if !rest.is_empty() || stream.has_rest {
            if let Err(error) = self.intake.keep_rest(stream.place, rest) {
                tracing::error!(unit = %stream.unit, "cannot keep the end of its output: {}", chain(&error));
            }
            stream.has_rest = !rest.is_empty();
        }
        self.console.flush();
        let unit = stream.unit.clone();
        self.report(&unit, failure);
    }

    /// That lines cannot be written is said now and then: on a full disk some may still fit.
    fn report(&mut self, unit: &UnitName, failure: Option<std::io::Error>) {
        let Some(error) = failure else { return };
        let now = monotonic_micros();
        if self.complained.is_none_or(|then| now.saturating_sub(then) >= COMPLAIN_EVERY) {
            self.complained = Some(now);
            tracing::error!(%unit, "cannot write its log: {error}; what services say is lost");
        }
    }

    /// What the manager has to say of a unit goes to its log as well, behind what the unit has said.
    fn write_remarks(&mut self) {
        for (unit, level, message) in std::mem::take(&mut self.remarks) {
            let level: u32 = match level {
                Level::Error => 3,
                Level::Warning => 4,
                Level::Info => 6,
                Level::Debug => 7,
            };
            let mut header = Header::new(
                realtime_micros(),
                unit.as_str(),
                OWN_NAME,
                std::process::id(),
                std::iter::empty(),
            );
            let mut line = Vec::new();
            let message = message.replace('\n', " ");
            header.write(u32::from(SyslogFacility::DAEMON.0) << 3 | level, message.as_bytes(), &mut line);
            let written = self.files.length(&unit).and_then(|_| self.files.append(&unit, &line));
            self.report(&unit, written.err());
        }
    }

    /// Deals with the batch that was in flight when an earlier manager died, as if it had just been taken.
    fn take_up_batch(&mut self) -> Result<(), SysError> {
        let Some(Unfinished { note, bytes }) = self.intake.unfinished()? else { return Ok(()) };
        if let Ok(note) = postcard::from_bytes::<InFlight>(&note)
            && let Ok(unit) = note.unit.parse::<UnitName>()
        {
            if let Err(error) = self.files.take_back(&unit, note.length) {
                tracing::error!(%unit, "cannot mend its log: {error}");
            }
            self.bytes = bytes;
            self.write(&note);
        }
        self.intake.commit()
    }
}

/// The lines of one batch on their way into the file.
struct Sink<'a> {
    header: Header,
    unit: &'a UnitName,
    files: &'a mut LogFiles,
    lines: &'a mut Vec<u8>,
    failure: Option<std::io::Error>,
}

impl Sink<'_> {
    fn line(&mut self, priority: u32, message: &[u8]) {
        self.header.write(priority, message, self.lines);
        if self.lines.len() >= WRITE_AT {
            self.write();
        }
    }

    fn write(&mut self) {
        if !self.lines.is_empty()
            && let Err(error) = self.files.append(self.unit, self.lines)
        {
            self.failure = Some(error);
        }
        self.lines.clear();
    }

    fn finish(mut self) -> Option<std::io::Error> {
        self.write();
        self.failure
    }
}

fn size(settings: &Settings) -> Size {
    Size { file: settings.log_file_size.0, files: settings.log_files.max(1) }
}

fn encoded(note: &InFlight) -> Vec<u8> {
    // Plain values always encode.
    postcard::to_stdvec(note).unwrap_or_default()
}

fn held_name(process: u64, stream: &Stream) -> String {
    format!("{PREFIX}{process} {} {} {}", stream.place, stream.unit, stream.identifier)
}

/// Reads [`held_name`] back.
fn parse_held_name(name: &str) -> Option<(u64, u32, UnitName, String)> {
    let mut parts = name.strip_prefix(PREFIX)?.splitn(4, ' ');
    let (process, place, unit) = (parts.next()?, parts.next()?, parts.next()?);
    Some((process.parse().ok()?, place.parse().ok()?, unit.parse().ok()?, parts.next()?.to_owned()))
}

/// The streams of a unit that runs processes.
fn section_of(unit: &Unit) -> Option<Arc<StreamSection>> {
    let service = unit.service().map(|service| Arc::clone(&service.streams));
    service.or_else(|| unit.socket_unit().map(|socket| Arc::clone(&socket.streams)))
}

impl Driver {
    /// Takes over the pipes that an earlier manager left, and what it was doing with them.
    pub(super) fn take_up_outputs(&mut self, left: Left, processes: &[SavedProcess]) {
        for (name, read) in left.pipes {
            let Some((process, place, unit, identifier)) = parse_held_name(&name) else { continue };
            let section = self.engine.unit(&unit).and_then(|view| section_of(view.unit)).unwrap_or_default();
            let known = processes.iter().find(|known| known.process.0 == process);
            let pid = known.map_or(0, |known| known.pid);
            let stream = Stream::new(Pipe { read, unit, identifier }, place, section);
            self.outputs.streams.insert(process, Stream { pid, has_rest: true, ..stream });
            self.outputs.next_place = self.outputs.next_place.max(place + 1);
        }
        if let Err(error) = self.outputs.take_up_batch() {
            tracing::error!("cannot go on with the log where an earlier manager stopped: {}", chain(&error));
        }
        let all: Vec<u64> = self.outputs.streams.keys().copied().collect();
        all.into_iter().for_each(|process| self.watch_output(process, None));
    }

    /// Has the keeper hold the file in memory.
    pub(super) fn hold_intake(&mut self) {
        match self.outputs.intake.handle() {
            Ok(copy) => self.link.push(&ToKeeper::Hold { names: vec![INTAKE.to_owned()] }, vec![copy]),
            Err(error) => tracing::error!("cannot give the log's memory to the keeper: {}", chain(&error)),
        }
    }

    /// Has a pipe of a process that is about to start held by the keeper too.
    pub(super) fn hold_output(&mut self, process: ProcessId, pipe: Pipe, unit: &Unit) {
        let section = section_of(unit).unwrap_or_default();
        let stream = Stream::new(pipe, self.outputs.take_place(), section);
        let name = held_name(process.0, &stream);
        match stream.pipe.try_clone() {
            Ok(copy) => self.link.push(&ToKeeper::Hold { names: vec![name] }, vec![copy]),
            Err(error) => {
                tracing::error!(unit = %stream.unit, "cannot give its output to the keeper: {error}")
            }
        }
        self.outputs.streams.insert(process.0, stream);
    }

    /// A process has been started: from now on its pipe is read. `None`: its number is known already.
    pub(super) fn watch_output(&mut self, process: u64, pid: Option<u32>) {
        let Some(stream) = self.outputs.streams.get_mut(&process) else { return };
        stream.pid = pid.unwrap_or(stream.pid);
        if let Err(error) = self.poll.add(stream.pipe.as_fd(), TOKENS | process, Interest::Readable) {
            tracing::error!(unit = %stream.unit, "cannot watch its output: {}", chain(&error));
        }
    }

    /// Nobody writes to the pipe any more.
    pub(super) fn end_output(&mut self, process: u64) {
        let Some(stream) = self.outputs.streams.remove(&process) else { return };
        if stream.has_rest
            && let Err(error) = self.outputs.intake.keep_rest(stream.place, &[])
        {
            tracing::error!(unit = %stream.unit, "cannot drop the end of its output: {}", chain(&error));
        }
        self.outputs.free_places.push(stream.place);
        // Of a process that was never started it is no member.
        let _ = self.poll.remove(stream.pipe.as_fd());
        self.push(ToKeeper::Release { names: vec![held_name(process, &stream)] });
        self.releases += 1;
    }

    /// Takes what there is, from each in turn; answers whether there was anything.
    pub(super) fn take_outputs(&mut self, ready: &[Ready]) -> bool {
        let mut processes: Vec<u64> =
            ready.iter().filter(|ready| is_output(ready.token)).map(|ready| ready.token & !TOKENS).collect();
        processes.sort_unstable();
        let next = processes.partition_point(|process| *process <= self.outputs.last);
        processes.rotate_left(next);
        let mut taken = 0;
        for process in processes {
            if taken >= TURN_MAX {
                break;
            }
            self.outputs.last = process;
            taken += self.take_output(process, 1);
        }
        taken > 0
    }

    /// Takes what a process that has ended has said at last.
    pub(super) fn take_last_words(&mut self, process: ProcessId) {
        self.take_output(process.0, LAST_WORDS);
    }

    /// Answers how many bytes came.
    fn take_output(&mut self, process: u64, batches: usize) -> usize {
        let mut bytes = 0;
        for _ in 0..batches {
            match self.outputs.take(process) {
                Ok(Taken::Bytes) => bytes += self.outputs.bytes.len(),
                Ok(Taken::Nothing) => return bytes,
                Ok(Taken::End) => {
                    self.end_output(process);
                    return bytes;
                }
                Err(error) => {
                    let unit = self.outputs.streams.get(&process).map(|stream| stream.unit.clone());
                    let unit = unit.map(|unit| unit.to_string()).unwrap_or_default();
                    tracing::error!(unit, "cannot read its output, which ends here: {}", chain(&error));
                    self.end_output(process);
                    return bytes;
                }
            }
        }
        bytes
    }

    /// Everything that was said before the end.
    pub(super) fn take_all_outputs(&mut self) {
        let processes: Vec<u64> = self.outputs.streams.keys().copied().collect();
        let mut left = FAREWELL_MAX;
        for process in processes {
            while left > 0 {
                match self.take_output(process, 1) {
                    0 => break,
                    taken => left = left.saturating_sub(taken),
                }
            }
        }
        self.outputs.write_remarks();
    }

    /// Remembers for the log of a service what the manager says of it.
    pub(super) fn remark(&mut self, unit: &UnitName, level: Level, message: &str) {
        if level == Level::Debug {
            return;
        }
        let view = self.engine.unit(unit).filter(|view| matches!(view.machine, MachineView::Service(_)));
        if let Some(view) = view
            && section_of(view.unit).is_some_and(|section| section.log_target().is_some())
            && !self.planner.logs_to_journal()
        {
            self.outputs.remarks.push((view.unit.name.clone(), level, message.to_owned()));
        }
    }

    /// Writes what has been remembered.
    pub(super) fn write_remarks(&mut self) {
        self.outputs.write_remarks();
    }
}

/// Whether a token of the poll set is that of a pipe.
pub(super) fn is_output(token: u64) -> bool {
    token & TOKENS != 0 && token >> 63 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_names_read_back() {
        let (read, _) = sockmgr_sys::intake::pipe().unwrap();
        let stream = Stream {
            pipe: read,
            unit: "web@1.service".parse().unwrap(),
            identifier: "my app".to_owned(),
            place: 3,
            pid: 0,
            has_rest: false,
            section: Arc::default(),
            limiter: Limiter::default(),
        };
        let expected = Some((17, 3, stream.unit.clone(), "my app".to_owned()));
        assert_eq!(parse_held_name(&held_name(17, &stream)), expected);
        assert_eq!(parse_held_name("fd 3"), None);
    }

    #[test]
    fn tokens_of_pipes_are_told_from_others() {
        assert!(is_output(TOKENS | 5));
        assert!(!is_output(5) && !is_output(u64::MAX) && !is_output(u64::MAX - 1));
    }
}
