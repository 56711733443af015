//! Reading one file without being surprised by what it is.
//!
//! Never here: which files. Invariant: see the parent module.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

/// The largest file that is read: enough for the longest lines, little enough to hold.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// The contents of a regular file; links are followed.
///
/// # Errors
/// It cannot be opened or read, is larger than 4 MiB, or is no regular file.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Looking first keeps devices from being opened at all; some act on that.
    check(std::fs::metadata(path)?.file_type())?;
    contents(OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?)
}

/// The contents of what the directory listing called a regular file: if it has become a link since, it is refused.
///
/// # Errors
/// As for [`read`].
pub(super) fn read_no_link(path: &Path) -> io::Result<Vec<u8>> {
    contents(OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)?)
}

fn contents(file: File) -> io::Result<Vec<u8>> {
    let metadata = file.metadata()?;
    check(metadata.file_type())?;
    let mut text = Vec::with_capacity(usize::try_from(metadata.len().min(FILE_MAX) + 1).unwrap_or_default());
    file.take(FILE_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(io::Error::other(format!("is larger than {FILE_MAX} bytes")));
    }
    Ok(text)
}

fn check(file_type: FileType) -> io::Result<()> {
    if file_type.is_file() {
        Ok(())
    } else {
        Err(io::Error::other(format!("is {}, not a file", kind(file_type))))
    }
}

/// What something is that is no regular file, with its article.
pub(super) fn kind(file_type: FileType) -> &'static str {
    match file_type {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_symlink() => "a link",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}
