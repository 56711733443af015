//! Writing: each file up to a size, then it becomes the newest of the older ones.
//!
//! Invariant: a file that was written to ends with a whole line; what did not fit on the disk is taken back.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Places, file_name};
use sockmgr_unit::UnitName;

/// Files that are held open; with more of them all are closed, and opened again as they are needed.
const OPEN_MAX: usize = 64;

/// How much is kept of each unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes of a file, but for the lines that come at once.
    pub file: u64,
    /// Files, the one that is written to included.
    pub files: u32,
}

/// The files of one manager, which nobody else writes to.
#[derive(Debug)]
pub struct LogFiles {
    places: Places,
    /// The one of the places that can be written to, once it has been looked for.
    directory: Option<PathBuf>,
    size: Size,
    open: BTreeMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
}

impl LogFiles {
    /// Nothing is made before the first line.
    pub fn new(places: Places, size: Size) -> Self {
        Self { places, directory: None, size, open: BTreeMap::new() }
    }

    /// From now on so much is kept.
    pub fn set_size(&mut self, size: Size) {
        self.size = size;
    }

    /// How long the unit's file is, to which the next lines go: a full one has been put away.
    ///
    /// # Errors
    /// There is no file to write to.
    pub fn length(&mut self, unit: &UnitName) -> io::Result<u64> {
        let name = file_name(unit);
        let length = self.file(&name)?.length;
        if length < self.size.file {
            return Ok(length);
        }
        self.rotate(&name)?;
        self.file(&name).map(|open| open.length)
    }

    /// Adds whole lines.
    ///
    /// # Errors
    /// They could not be written; nothing of them is there then.
    pub fn append(&mut self, unit: &UnitName, lines: &[u8]) -> io::Result<()> {
        let open = self.file(&file_name(unit))?;
        match open.file.write_all(lines) {
            Ok(()) => {
                open.length += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                open.file.set_len(open.length)?;
                Err(error)
            }
        }
    }

    /// Takes back all that was written behind `length`.
    ///
    /// # Errors
    /// The cause.
    pub fn take_back(&mut self, unit: &UnitName, length: u64) -> io::Result<()> {
        let open = self.file(&file_name(unit))?;
        if open.length > length {
            open.file.set_len(length)?;
            open.length = length;
        }
        Ok(())
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Open> {
        if !self.open.contains_key(name) {
            if self.open.len() >= OPEN_MAX {
                self.open.clear();
            }
            let opened = open(&self.directory()?.join(name))?;
            self.open.insert(name.to_owned(), opened);
        }
        self.open.get_mut(name).ok_or_else(|| io::Error::other("the file was just opened"))
    }

    /// The first of the places that can be written to.
    fn directory(&mut self) -> io::Result<&Path> {
        if self.directory.is_none() {
            let mut usable = Err(io::Error::from(io::ErrorKind::NotFound));
            for place in self.places.all() {
                usable = make_directory(place).map(|()| place.to_owned());
                if usable.is_ok() {
                    break;
                }
            }
            self.directory = Some(usable?);
        }
        self.directory.as_deref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// `x.log` becomes `x.log.1`, and so on; the oldest goes.
    fn rotate(&mut self, name: &str) -> io::Result<()> {
        let path = self.directory()?.join(name);
        self.open.remove(name);
        let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
        let older = self.size.files.saturating_sub(1);
        for number in (1..older).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if older == 0 { fs::remove_file(&path) } else { fs::rename(&path, numbered(1)) }
    }
}

/// Opens a file to append to. One that somebody cut off in the middle of a line goes on with a new one.
fn open(path: &Path) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let mut file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut length = facts.len();
    let mut last = [0];
    if length > 0 && file.read_at(&mut last, length - 1)? == 1 && last != *b"\n" {
        file.write_all(b"\n")?;
        length += 1;
    }
    Ok(Open { file, length })
}

/// Makes a directory that only its owner can read, unless there is one that only we or root can have put things into.
fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let facts = fs::symlink_metadata(path)?;
    let is_ours = facts.uid() == sockmgr_sys::user::own_uid() || facts.uid() == 0;
    if !facts.is_dir() || !is_ours || facts.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!("{} can be changed by others", path.display())));
    }
    let probe = path.join(".write");
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&probe)?;
    fs::remove_file(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path, file: u64, files: u32) -> LogFiles {
        let places = Places { state: None, runtime: directory.join("log") };
        LogFiles::new(places, Size { file, files })
    }

    fn unit(name: &str) -> UnitName {
        name.parse().unwrap()
    }

    #[test]
    fn a_full_file_is_put_away_and_the_oldest_goes() {
        let temp = tempfile::tempdir().unwrap();
        let mut log = files(temp.path(), 10, 3);
        let web = unit("web@1.service");
        for line in ["one\n", "two\n", "three\n", "four and more\n", "five and more\n", "six\n"] {
            log.length(&web).unwrap();
            log.append(&web, line.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(temp.path().join("log").join(name)).ok();
        assert_eq!(read("web@.service.log").as_deref(), Some("six\n"));
        assert_eq!(read("web@.service.log.1").as_deref(), Some("five and more\n"));
        assert_eq!(read("web@.service.log.2").as_deref(), Some("four and more\n"));
        assert_eq!(read("web@.service.log.3"), None);
    }

    #[test]
    fn what_was_written_is_taken_back() {
        let temp = tempfile::tempdir().unwrap();
        let mut log = files(temp.path(), 1000, 2);
        let web = unit("web.service");
        log.append(&web, b"one\n").unwrap();
        let length = log.length(&web).unwrap();
        log.append(&web, b"two\nthree\n").unwrap();
        let mut successor = files(temp.path(), 1000, 2);
        successor.take_back(&web, length).unwrap();
        successor.append(&web, b"four\n").unwrap();
        assert_eq!(fs::read_to_string(temp.path().join("log/web.service.log")).unwrap(), "one\nfour\n");
    }

    #[test]
    fn a_link_is_not_followed_and_a_cut_line_is_ended() {
        let temp = tempfile::tempdir().unwrap();
        let mut log = files(temp.path(), 1000, 2);
        log.append(&unit("a.service"), b"x\n").unwrap();
        let other = temp.path().join("other");
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, temp.path().join("log/b.service.log")).unwrap();
        assert!(log.append(&unit("b.service"), b"x\n").is_err());
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        fs::write(temp.path().join("log/c.service.log"), "cut").unwrap();
        log.append(&unit("c.service"), b"x\n").unwrap();
        assert_eq!(fs::read_to_string(temp.path().join("log/c.service.log")).unwrap(), "cut\nx\n");
    }

    #[test]
    fn the_runtime_directory_takes_over_where_the_state_cannot_be_kept() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("file"), "").unwrap();
        let places = Places { state: Some(temp.path().join("file/log")), runtime: temp.path().join("run") };
        let mut log = LogFiles::new(places, Size { file: 100, files: 2 });
        log.append(&unit("a.service"), b"x\n").unwrap();
        assert!(temp.path().join("run/a.service.log").exists());
    }

    #[test]
    fn many_units_need_few_descriptors() {
        let temp = tempfile::tempdir().unwrap();
        let mut log = files(temp.path(), 1000, 2);
        for number in 0..3 * OPEN_MAX {
            log.append(&unit(&format!("u{number}.service")), b"x\n").unwrap();
            assert!(log.open.len() <= OPEN_MAX);
        }
    }
}
