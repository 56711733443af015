//! `ListenSpecial=`: a file of the kernel's that becomes readable, such as a character device or a file in `/proc`.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::fifo::open_node;
use super::{ListenError, Listener};
use crate::poll::{Interest, Poll};

/// Opens the file at `path`; for writing as well with `Writable=yes`.
///
/// # Errors
/// [`ListenError`] with the step; `EPERM` where nobody can wait for the file, as for a plain one on a disk.
pub fn open_special(path: &Path, writable: bool) -> Result<Listener, ListenError> {
    let name = path.display();
    let file = open_node(path, writable).map_err(ListenError::step("open", &name))?;
    let kind = file.metadata().map_err(ListenError::step("look at", &name))?.file_type();
    if !kind.is_file() && !kind.is_char_device() {
        let wanted = "a regular file or a character device".to_owned();
        return Err(ListenError::Unfit { address: name.to_string(), wanted });
    }
    let watched = Poll::new().and_then(|poll| poll.add(file.as_fd(), 0, Interest::Readable));
    watched.map_err(|error| ListenError::step("wait for", &name)(error.source))?;
    Ok(Listener::new(OwnedFd::from(file), None))
}
