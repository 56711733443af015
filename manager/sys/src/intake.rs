//! Taking bytes out of pipes so that none is lost and none is taken twice, whenever the process that takes them dies.
//!
//! What is taken lies in a file in memory that outlives the process, because somebody else holds it too. Its position is
//! the record: the kernel moves bytes from a pipe into the file and the position past them in one step (splice(2)), so
//! that a successor knows by the position alone whether a batch was in flight, and how long it was.
//!
//! Never here: what the bytes mean. Invariant: between [`Intake::take`] and [`Intake::commit`] the note and the bytes of
//! the batch can be had again by [`Intake::unfinished`].

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::fcntl::{FallocateFlags, SpliceFFlags, fallocate, splice};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::pipe2;

use crate::error::SysError;

/// The most that is taken from a pipe at once: enough to be quick, and so little that even if each line is a single letter it
/// is dealt with in a millisecond or two.
pub const BATCH: usize = 16 << 10;

/// The most that may be left over of a batch until the next one from the same pipe.
pub const REST_MAX: usize = 48 << 10;

/// Where the note of the batch in flight is, and its bytes.
const NOTE: u64 = 0;
const BYTES: u64 = 4096;
/// Where the rests are, one place each; a place that nothing was written to takes no memory.
const RESTS: u64 = 1 << 20;
const REST_STRIDE: u64 = 64 << 10;
/// Before each note and rest stands its length.
const LENGTH: usize = 4;

/// A pipe to read from without waiting, and its other end.
///
/// # Errors
/// The cause: no descriptor left.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), SysError> {
    // Only the end that is ours must not wait; it is spliced from with a flag of its own.
    pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed("make a pipe", errno))
}

/// What a pipe had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Something: the batch is in flight.
    Bytes,
    /// Nothing now.
    Nothing,
    /// Nothing, ever: nobody can write to it any more.
    End,
}

/// A batch whose taker has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// What it noted.
    pub note: Vec<u8>,
    /// What it took.
    pub bytes: Vec<u8>,
}

/// The file in memory.
#[derive(Debug)]
pub struct Intake {
    file: File,
}

impl Intake {
    /// An empty one, and a descriptor of it for whoever is to hold it.
    ///
    /// # Errors
    /// The cause: no descriptor or no memory left.
    pub fn new() -> Result<Self, SysError> {
        let fd = memfd_create(c"sockmgr-intake", MFdFlags::MFD_CLOEXEC);
        fd.map(Self::from_fd).map_err(|errno| failed("make a file in memory", errno))
    }

    /// The one that an earlier process had.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { file: File::from(fd) }
    }

    /// Another descriptor of it.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn handle(&self) -> Result<OwnedFd, SysError> {
        self.file.try_clone().map(OwnedFd::from).map_err(io_failed)
    }

    /// Takes what the pipe has, after `rest`. With [`Taken::Bytes`] rest and batch are in `buffer`.
    ///
    /// # Errors
    /// The cause; nothing was taken then.
    pub fn take(
        &mut self,
        pipe: BorrowedFd<'_>,
        note: &[u8],
        rest: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<Taken, SysError> {
        self.begin(note, rest)?;
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
        let moved = loop {
            match splice(pipe, None, self.file.as_fd(), None, BATCH, flags) {
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        match moved {
            Ok(count @ 1..) => {
                buffer.resize(rest.len() + count, 0);
                self.file.read_exact_at(buffer, BYTES).map_err(io_failed).map(|()| Taken::Bytes)
            }
            Ok(0) => self.commit().map(|()| Taken::End),
            Err(Errno::EAGAIN) => self.commit().map(|()| Taken::Nothing),
            Err(errno) => self.commit().and(Err(failed("read a pipe", errno))),
        }
    }

    /// Puts a batch in flight that is nothing but the rest of a pipe at its end.
    ///
    /// # Errors
    /// The cause.
    pub fn begin(&mut self, note: &[u8], rest: &[u8]) -> Result<(), SysError> {
        self.write_with_length(NOTE, note)?;
        self.file.write_all_at(rest, BYTES).map_err(io_failed)?;
        self.file.seek(SeekFrom::Start(BYTES + rest.len() as u64)).map_err(io_failed).map(drop)
    }

    /// The batch has been dealt with.
    ///
    /// # Errors
    /// The cause.
    pub fn commit(&mut self) -> Result<(), SysError> {
        self.file.rewind().map_err(io_failed)
    }

    /// The batch that was in flight when an earlier process ended.
    ///
    /// # Errors
    /// The cause.
    pub fn unfinished(&mut self) -> Result<Option<Unfinished>, SysError> {
        let position = self.file.stream_position().map_err(io_failed)?;
        let Some(length) = position.checked_sub(BYTES) else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, BYTES).map_err(io_failed)?;
        Ok(Some(Unfinished { note: self.read_with_length(NOTE)?, bytes }))
    }

    /// Keeps what is left over of a batch. `place` is the pipe's own number, the smaller the better.
    ///
    /// # Errors
    /// The cause.
    pub fn keep_rest(&mut self, place: u32, rest: &[u8]) -> Result<(), SysError> {
        let at = RESTS + u64::from(place) * REST_STRIDE;
        if !rest.is_empty() {
            return self.write_with_length(at, rest);
        }
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&self.file, flags, at.cast_signed(), REST_STRIDE.cast_signed())
            .map_err(|errno| failed("give back memory", errno))
    }

    /// What was left over.
    ///
    /// # Errors
    /// The cause.
    pub fn rest(&self, place: u32) -> Result<Vec<u8>, SysError> {
        self.read_with_length(RESTS + u64::from(place) * REST_STRIDE)
    }

    fn write_with_length(&self, at: u64, bytes: &[u8]) -> Result<(), SysError> {
        let length = u32::try_from(bytes.len()).map_err(|_| failed("keep a line", Errno::E2BIG))?;
        self.file.write_all_at(bytes, at + LENGTH as u64).map_err(io_failed)?;
        // Last, so that a length is never that of bytes that are not there.
        self.file.write_all_at(&length.to_ne_bytes(), at).map_err(io_failed)
    }

    fn read_with_length(&self, at: u64) -> Result<Vec<u8>, SysError> {
        let mut length = [0; LENGTH];
        match self.file.read_exact_at(&mut length, at) {
            // Beyond the end: nothing was ever written there.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Vec::new()),
            other => other.map_err(io_failed)?,
        }
        let length = usize::try_from(u32::from_ne_bytes(length)).unwrap_or(0).min(REST_STRIDE as usize);
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at + LENGTH as u64).map_err(io_failed)?;
        Ok(bytes)
    }
}

fn failed(step: &'static str, errno: Errno) -> SysError {
    SysError::new(step, io::Error::from(errno))
}

fn io_failed(source: io::Error) -> SysError {
    SysError::new("use a file in memory", source)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn taken(intake: &mut Intake, pipe: &OwnedFd, rest: &[u8]) -> (Taken, Vec<u8>) {
        let mut buffer = Vec::new();
        let taken = intake.take(pipe.as_fd(), b"note", rest, &mut buffer).unwrap();
        (taken, buffer)
    }

    #[test]
    fn a_batch_is_in_flight_until_it_is_committed() {
        let mut intake = Intake::new().unwrap();
        let (read, write) = pipe().unwrap();
        let mut write = File::from(write);
        assert_eq!(taken(&mut intake, &read, b"").0, Taken::Nothing);
        assert_eq!(intake.unfinished().unwrap(), None);
        write.write_all(b"three").unwrap();
        assert_eq!(taken(&mut intake, &read, b"two "), (Taken::Bytes, b"two three".to_vec()));
        write.write_all(b"later").unwrap();

        // Whoever has the descriptor next.
        let mut successor = Intake::from_fd(intake.handle().unwrap());
        let unfinished = Some(Unfinished { note: b"note".to_vec(), bytes: b"two three".to_vec() });
        assert_eq!(successor.unfinished().unwrap(), unfinished);
        assert_eq!(successor.unfinished().unwrap(), unfinished, "looking changes nothing");
        successor.commit().unwrap();
        assert_eq!(successor.unfinished().unwrap(), None);
        assert_eq!(taken(&mut successor, &read, b""), (Taken::Bytes, b"later".to_vec()));
        successor.commit().unwrap();
        drop(write);
        assert_eq!(taken(&mut successor, &read, b"").0, Taken::End);
    }

    #[test]
    fn a_full_pipe_takes_as_many_batches_as_it_needs() {
        let mut intake = Intake::new().unwrap();
        let (read, write) = pipe().unwrap();
        let mut write = File::from(write);
        let rest = vec![b'r'; REST_MAX];
        for round in 0..3 {
            write.write_all(&vec![b'x'; BATCH]).unwrap();
            let (taken, bytes) = taken(&mut intake, &read, &rest);
            assert_eq!((taken, bytes.len()), (Taken::Bytes, REST_MAX + BATCH), "round {round}");
            assert!(bytes.starts_with(&rest) && bytes.ends_with(b"xx"));
            intake.commit().unwrap();
        }
    }

    #[test]
    fn rests_are_kept_apart_and_given_back() {
        let mut intake = Intake::new().unwrap();
        assert_eq!(intake.rest(3).unwrap(), b"");
        intake.keep_rest(3, &[7; REST_MAX]).unwrap();
        intake.keep_rest(0, b"first").unwrap();
        intake.keep_rest(3, b"shorter").unwrap();
        assert_eq!(
            (intake.rest(0).unwrap(), intake.rest(3).unwrap()),
            (b"first".to_vec(), b"shorter".to_vec())
        );
        assert_eq!(intake.rest(1).unwrap(), b"");
        intake.keep_rest(3, b"").unwrap();
        assert_eq!(intake.rest(3).unwrap(), b"");
        use std::os::unix::fs::MetadataExt;
        assert!(intake.file.metadata().unwrap().blocks() * 512 <= 8192, "only what is kept takes memory");
    }
}
