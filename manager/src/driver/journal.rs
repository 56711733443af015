//! The journal, where it runs: a process whose output goes there writes to it directly, as under systemd.
//!
//! The protocol is that of `/run/systemd/journal/stdout`: a stream that begins with seven lines, and then has what the
//! process writes.

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use sockmgr_sys::{SysError, descriptor, stdio};
use sockmgr_unit::section::StreamSection;
use sockmgr_unit::value::LogTarget;
use sockmgr_unit::{Settings, UnitName};

/// Where the journal takes streams, if anywhere.
#[derive(Debug, Default)]
pub(super) struct Journal(Option<PathBuf>);

/// A stream to the journal.
pub(super) struct JournalStream {
    pub(super) fd: OwnedFd,
    /// What `JOURNAL_STREAM` tells a process of it.
    pub(super) name: String,
}

impl Journal {
    pub(super) fn of(settings: &Settings) -> Self {
        Self(settings.journal_socket.as_ref().map(|path| PathBuf::from(path.as_str())))
    }

    /// Whether it runs.
    pub(super) fn is_there(&self) -> bool {
        self.0.as_ref().is_some_and(|path| path.exists())
    }

    /// A stream whose lines the journal takes as those of `unit`. `None`: it does not run.
    ///
    /// # Errors
    /// It runs and does not take us.
    pub(super) fn connect(
        &self,
        unit: &UnitName,
        identifier: &str,
        section: &StreamSection,
        target: LogTarget,
    ) -> Result<Option<JournalStream>, SysError> {
        let Some(path) = self.0.as_ref().filter(|_| self.is_there()) else { return Ok(None) };
        let failed = |error| SysError::new("begin a stream to the journal", error);
        let mut stream = UnixStream::from(stdio::connect(&path.to_string_lossy())?);
        // Nothing comes back.
        stream.shutdown(Shutdown::Read).map_err(failed)?;
        stream.write_all(header(unit, identifier, section, target).as_bytes()).map_err(failed)?;
        let facts = descriptor::facts_of(stream.as_fd())?;
        let (major, minor) = facts.device;
        let name = format!("{}:{}", libc::makedev(major, minor), facts.inode);
        Ok(Some(JournalStream { fd: stream.into(), name }))
    }
}

/// Identifier, unit, priority, whether levels stand in front of lines, and where to pass them on to: syslog, the kernel's log, the
/// console.
fn header(unit: &UnitName, identifier: &str, section: &StreamSection, target: LogTarget) -> String {
    let identifier = identifier.replace('\n', " ");
    let flags = [section.syslog_level_prefix, false, target.includes_kernel(), target.includes_console()];
    let flags = flags.map(|flag| if flag { "1\n" } else { "0\n" }).concat();
    format!("{identifier}\n{unit}\n{}\n{flags}", section.priority())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_stream_begins_with_what_the_journal_wants_to_know() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("stdout");
        let journal = Journal(Some(path.clone()));
        let unit: UnitName = "web@1.service".parse().unwrap();
        let section = StreamSection::default();
        let connect = || journal.connect(&unit, "hello", &section, LogTarget::KmsgConsole);
        assert!(connect().unwrap().is_none(), "nobody is there");
        let listener = UnixListener::bind(&path).unwrap();
        let stream = connect().unwrap().unwrap();
        assert!(stream.name.contains(':'));
        let mut writer = UnixStream::from(stream.fd);
        writer.write_all(b"a line\n").unwrap();
        drop(writer);
        let mut heard = String::new();
        listener.accept().unwrap().0.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello\nweb@1.service\n30\n1\n0\n1\n1\na line\n");
        drop(listener);
        assert!(connect().is_err(), "it is there and answers not");
    }
}
