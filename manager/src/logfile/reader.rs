//! Reading: the records of several files, each with its older ones, in the order of their time.
//!
//! Files are read in pieces, from either end, so that the last lines of a large log cost little. Invariant: a file that is
//! put away while it is read is read on; nothing of it is missed or read twice.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::{OwnedRecord, Record};

/// How much is read at once.
const PIECE: u64 = 64 << 10;

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The oldest.
    Forward,
    /// The newest.
    Backward,
}

/// One log with its older files.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    /// The newest first.
    files: Vec<Opened>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    identity: (u64, u64),
    /// Up to where it has been looked at.
    length: u64,
}

impl Opened {
    fn open(path: &Path) -> io::Result<Self> {
        // Whatever else has that name is left alone: opening a FIFO waits.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Self { file, identity: (facts.dev(), facts.ino()), length: facts.len() })
    }

    /// Leaves out a line that is just being written.
    fn end_at_line(&mut self) -> io::Result<()> {
        let start = self.length.saturating_sub(PIECE);
        let piece = read(self, start, self.length)?;
        if let Some(at) = memchr::memrchr(b'\n', &piece) {
            self.length = start + at as u64 + 1;
        }
        Ok(())
    }
}

impl Source {
    /// A log that is new: all of it has been added since the last look.
    pub fn later(path: &Path) -> Self {
        Self { path: path.to_owned(), files: Vec::new() }
    }

    /// Where its newest file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log at `path` with all that is older, as they are now.
    ///
    /// # Errors
    /// There is one that cannot be read. One that is not there is as good as empty.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut files: Vec<Opened> = Vec::new();
        for number in 0.. {
            match Opened::open(&numbered(path, number)) {
                // Put away between two looks: known already.
                Ok(opened) if files.iter().any(|known| known.identity == opened.identity) => {}
                Ok(opened) => files.push(opened),
                Err(error) if error.kind() == io::ErrorKind::NotFound && number > 0 => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(newest) = files.first_mut() {
            newest.end_at_line()?;
        }
        Ok(Self { path: path.to_owned(), files })
    }

    /// Its records.
    pub fn read(&self, order: Order) -> Reader<'_> {
        let mut files: VecDeque<&Opened> = self.files.iter().collect();
        if order == Order::Forward {
            files.make_contiguous().reverse();
        }
        Reader { order, files, at: None, lines: VecDeque::new(), partial: Vec::new() }
    }

    /// The records that were added since the last look.
    ///
    /// # Errors
    /// The cause.
    pub fn added(&mut self) -> io::Result<Vec<OwnedRecord>> {
        let mut records = Vec::new();
        self.grow(&mut records)?;
        // What was put away meanwhile has got its last lines by now; then come those that followed it.
        let newer = self.newer()?;
        if !newer.is_empty() {
            self.grow(&mut records)?;
        }
        for mut opened in newer {
            opened.length = 0;
            self.files.insert(0, opened);
            self.grow(&mut records)?;
        }
        // Only the newest grows.
        self.files.truncate(1);
        Ok(records)
    }

    /// Reads on in the newest file.
    fn grow(&mut self, records: &mut Vec<OwnedRecord>) -> io::Result<()> {
        let Some(newest) = self.files.first_mut() else { return Ok(()) };
        let length = newest.file.metadata()?.len();
        // A manager that died in the middle of its work has its last lines written anew.
        newest.length = newest.length.min(length);
        let mut bytes = vec![0; usize::try_from(length - newest.length).map_err(io::Error::other)?];
        newest.file.read_exact_at(&mut bytes, newest.length)?;
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        newest.length += whole as u64;
        records.extend(lines(&bytes[..whole]).filter_map(|line| Record::parse(line).map(Record::into_owned)));
        Ok(())
    }

    /// Files that are newer than the newest we have, the oldest of them first.
    fn newer(&self) -> io::Result<Vec<Opened>> {
        let mut newer = Vec::new();
        for number in 0.. {
            match Opened::open(&numbered(&self.path, number)) {
                Ok(opened) if self.files.first().is_some_and(|known| known.identity == opened.identity) => {
                    break;
                }
                Ok(opened) => newer.push(opened),
                Err(error) if error.kind() == io::ErrorKind::NotFound && number > 0 => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        newer.reverse();
        Ok(newer)
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 { path.to_owned() } else { PathBuf::from(format!("{}.{number}", path.display())) }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The records of a source, one after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    order: Order,
    files: VecDeque<&'a Opened>,
    /// Where the next piece of the first file begins, or ends.
    at: Option<u64>,
    lines: VecDeque<OwnedRecord>,
    /// The part of a line that the next piece continues.
    partial: Vec<u8>,
}

impl Reader<'_> {
    /// Reads pieces until there is a line, or nothing more.
    fn fill(&mut self) -> io::Result<()> {
        while self.lines.is_empty() {
            let Some(opened) = self.files.front().copied() else { return Ok(()) };
            let is_done = match self.order {
                Order::Forward => self.piece_forward(opened)?,
                Order::Backward => self.piece_backward(opened)?,
            };
            if is_done {
                self.files.pop_front();
                self.at = None;
                // The end of the last line of a file, or the start of the first.
                let rest = std::mem::take(&mut self.partial);
                self.lines.extend(Record::parse(&rest).map(Record::into_owned));
            }
        }
        Ok(())
    }

    fn piece_forward(&mut self, opened: &Opened) -> io::Result<bool> {
        let start = self.at.unwrap_or(0);
        let end = (start + PIECE).min(opened.length);
        let piece = read(opened, start, end)?;
        self.at = Some(start + piece.len() as u64);
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend_from_slice(&piece);
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        self.partial = bytes.split_off(whole);
        self.lines.extend(lines(&bytes).filter_map(|line| Record::parse(line).map(Record::into_owned)));
        Ok(piece.is_empty())
    }

    fn piece_backward(&mut self, opened: &Opened) -> io::Result<bool> {
        let end = self.at.unwrap_or(opened.length);
        let start = end.saturating_sub(PIECE);
        let mut bytes = read(opened, start, end)?;
        let is_empty = bytes.is_empty();
        self.at = Some(start);
        bytes.append(&mut self.partial);
        let first_end = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |at| at + 1);
        let rest = bytes.split_off(first_end);
        self.partial = bytes;
        let newest_first = lines(&rest).collect::<Vec<_>>().into_iter().rev();
        self.lines.extend(newest_first.filter_map(|line| Record::parse(line).map(Record::into_owned)));
        if is_empty {
            // The first line, whose end has been read.
            while self.partial.last() == Some(&b'\n') {
                self.partial.pop();
            }
        }
        Ok(is_empty)
    }
}

fn read(opened: &Opened, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(end.saturating_sub(start)).map_err(io::Error::other)?];
    let mut have = 0;
    while have < piece.len() {
        match opened.file.read_at(&mut piece[have..], start + have as u64)? {
            // Shorter than it was: see `Source::grow`.
            0 => break,
            more => have += more,
        }
    }
    piece.truncate(have);
    Ok(piece)
}

impl Iterator for Reader<'_> {
    type Item = io::Result<OwnedRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.fill() {
            Ok(()) => self.lines.pop_front().map(Ok),
            Err(error) => {
                self.files.clear();
                Some(Err(error))
            }
        }
    }
}

/// Whether there is anything of the log at `path`: just after it was put away only older files are.
pub fn is_there(path: &Path) -> bool {
    (0..2).any(|number| numbered(path, number).exists())
}

/// The logs in a directory: the path of each newest file. A directory that is not there has none.
///
/// # Errors
/// It cannot be read.
pub fn logs_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // Of a log that has just been put away only older files may be there.
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let newest = name.rfind(super::EXTENSION).map(|at| &name[..at + super::EXTENSION.len()]);
        if let Some(newest) = newest {
            paths.push(directory.join(newest));
        }
    }
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::super::Header;
    use super::*;

    fn line(number: u64, message: &str) -> Vec<u8> {
        let mut line = Vec::new();
        Header::new(number, "a.service", "a", 1, std::iter::empty()).write(30, message.as_bytes(), &mut line);
        line
    }

    fn times(records: impl Iterator<Item = io::Result<OwnedRecord>>) -> Vec<u64> {
        records.map(|record| record.unwrap().time).collect()
    }

    fn append(path: &Path, bytes: &[u8]) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
        #[test]
        fn both_ways_have_the_same_records(lengths in prop::collection::vec(0usize..30_000, 0..40), cuts in prop::collection::vec(0usize..40, 0..3)) {
            let temp = tempfile::tempdir().unwrap();
            let path = temp.path().join("a.service.log");
            for (number, length) in lengths.iter().enumerate() {
                append(&path, &line(number as u64, &"x".repeat(*length)));
                if cuts.contains(&number) {
                    for older in (0..4).rev() {
                        let _ = fs::rename(numbered(&path, older), numbered(&path, older + 1));
                    }
                }
            }
            let source = Source::open(&path).unwrap();
            let forward = times(source.read(Order::Forward));
            let mut backward = times(source.read(Order::Backward));
            backward.reverse();
            prop_assert_eq!(&forward, &backward);
            prop_assert_eq!(forward, (0..lengths.len() as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_added_is_seen_once_also_when_files_are_put_away() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a.service.log");
        let rotate = || {
            for older in (0..3).rev() {
                let _ = fs::rename(numbered(&path, older), numbered(&path, older + 1));
            }
        };
        append(&path, &line(1, "old"));
        let mut source = Source::open(&path).unwrap();
        let added =
            |source: &mut Source| source.added().unwrap().iter().map(|it| it.time).collect::<Vec<_>>();
        assert_eq!(added(&mut source), [0; 0]);
        append(&path, &line(2, "x"));
        let third = line(3, "y");
        append(&path, &third[..10]);
        assert_eq!(added(&mut source), [2], "half a line is none");
        append(&path, &third[10..]);
        rotate();
        append(&path, &line(4, "z"));
        rotate();
        append(&path, &line(5, "z"));
        assert_eq!(added(&mut source), [3, 4, 5]);
        rotate();
        assert_eq!(added(&mut source), [0; 0]);
        append(&path, &line(6, "z"));
        assert_eq!(added(&mut source), [6]);
        assert_eq!(added(&mut source), [0; 0]);
    }

    #[test]
    fn a_log_that_comes_later_is_seen_from_its_start() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a.service.log");
        let mut source = Source::open(&path).unwrap();
        assert_eq!(source.added().unwrap().len(), 0);
        append(&path, &line(1, "x"));
        assert_eq!(source.added().unwrap().len(), 1);
        assert_eq!(logs_in(temp.path()).unwrap(), std::slice::from_ref(&path));
        fs::rename(&path, numbered(&path, 1)).unwrap();
        assert_eq!(logs_in(temp.path()).unwrap(), [path]);
    }
}
