//! `Symlinks=`: other names of a unix socket or a FIFO.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::{fs, io};

use super::unix_path::create_parents;

/// Makes `link` point to `target`; fine if it does already. What else is there stays, unless it `replaces`.
///
/// # Errors
/// The cause; `EEXIST` when something else is there.
pub fn make(link: &Path, target: &Path, directory_mode: u32, replaces: bool) -> io::Result<()> {
    create_parents(link, directory_mode);
    match make_once(link, target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && replaces => {
            fs::remove_file(link)?;
            make_once(link, target)
        }
        made => made,
    }
}

fn make_once(link: &Path, target: &Path) -> io::Result<()> {
    match symlink(target, link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && points_to(link, target) => Ok(()),
        made => made,
    }
}

/// Removes `link` if it is a link to `target`. Answers whether it was.
///
/// # Errors
/// The cause when it is and cannot be removed.
pub fn remove(link: &Path, target: &Path) -> io::Result<bool> {
    let is_ours = points_to(link, target);
    if is_ours {
        fs::remove_file(link)?;
    }
    Ok(is_ours)
}

fn points_to(link: &Path, target: &Path) -> bool {
    fs::read_link(link).is_ok_and(|found| found == target)
}
