//! The other places where lines are seen: where the manager itself is seen, and the kernel's log.
//!
//! Invariant: nothing here waits; what does not fit at once is left out, and the files have it all the same.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

/// What is gathered before it is written.
const BUFFER_MAX: usize = 64 << 10;
/// Longest line in the kernel's log, which refuses more.
const KERNEL_MAX: usize = 900;

/// Standard error of the manager.
#[derive(Debug, Default)]
pub(super) struct Console {
    /// Opened with the first line.
    opened: Option<Opened>,
    buffer: Vec<u8>,
    /// Lines that were left out since that was last said.
    missed: u64,
    waiting: u64,
}

#[derive(Debug)]
struct Opened {
    file: Option<File>,
    is_terminal: bool,
}

impl Opened {
    /// An open file of its own, since not to wait is a property of that; where there is none to be had, the one that there is.
    fn new() -> Self {
        let mut options = OpenOptions::new();
        options.append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let own = options.open("/proc/self/fd/2");
        let same = || io::stderr().as_fd().try_clone_to_owned().map(File::from);
        Self { file: own.or_else(|_| same()).ok(), is_terminal: io::stderr().is_terminal() }
    }
}

impl Console {
    pub(super) fn line(&mut self, unit: &str, message: &[u8]) {
        if self.missed > 0 {
            let missed = std::mem::take(&mut self.missed);
            let text = format!("{missed} lines are left out here; `sockmgr logs` has them");
            self.add(unit, text.as_bytes());
        }
        self.add(unit, message);
        if self.buffer.len() >= BUFFER_MAX {
            self.flush();
        }
    }

    fn add(&mut self, unit: &str, message: &[u8]) {
        self.waiting += 1;
        let opened = self.opened.get_or_insert_with(Opened::new);
        crate::log::line(unit, message, opened.is_terminal, &mut self.buffer);
    }

    /// Writes what there is. Of a line that was begun the end comes first with the next, so that none is torn.
    pub(super) fn flush(&mut self) {
        let Some(opened) = &mut self.opened else { return };
        let Some(file) = &mut opened.file else { return self.buffer.clear() };
        match file.write(&self.buffer) {
            Ok(written) => {
                let _ = self.buffer.drain(..written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(_) => {}
        }
        if self.buffer.len() > BUFFER_MAX {
            let whole = memchr::memchr(b'\n', &self.buffer).map_or(self.buffer.len(), |at| at + 1);
            self.buffer.truncate(whole);
            self.missed += self.waiting;
        }
        self.waiting = 0;
    }
}

/// The kernel's log, opened when somebody writes to it.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    file: Option<File>,
    is_refused: bool,
}

impl Kernel {
    /// Whoever may not write there is told once.
    pub(super) fn line(&mut self, priority: u32, identifier: &str, pid: u32, message: &[u8]) {
        if self.is_refused {
            return;
        }
        if let Err(error) = self.write(priority, identifier, pid, message)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            tracing::warn!("cannot write to the kernel's log: {error}; kmsg is the log of the manager only");
            self.is_refused = true;
        }
    }

    fn write(&mut self, priority: u32, identifier: &str, pid: u32, message: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            self.file =
                Some(options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open("/dev/kmsg")?);
        }
        let mut line = format!("<{priority}>{identifier}[{pid}]: ").into_bytes();
        line.extend_from_slice(&message[..message.len().min(KERNEL_MAX)]);
        match &mut self.file {
            Some(file) => file.write(&line).map(drop),
            None => Ok(()),
        }
    }
}
