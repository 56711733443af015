//! `ListenSpecial=`: a file of the kernel's that becomes readable, such as a character device or a file in `/proc`.

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::fifo::open_node;
use super::{ListenError, Listener};

/// Opens the file at `path`; for writing as well with `Writable=yes`.
///
/// # Errors
/// [`ListenError`] with the step. Whether it can be waited for shows only when it is.
pub fn open_special(path: &Path, writable: bool) -> Result<Listener, ListenError> {
    let name = path.display();
    let file = open_node(path, writable).map_err(ListenError::step("open", &name))?;
    let kind = file.metadata().map_err(ListenError::step("look at", &name))?.file_type();
    if !kind.is_file() && !kind.is_char_device() {
        let wanted = "a regular file or a character device".to_owned();
        return Err(ListenError::Unfit { address: name.to_string(), wanted });
    }
    Ok(Listener::new(OwnedFd::from(file), None))
}
