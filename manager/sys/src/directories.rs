//! Directories that a service is given (systemd.exec(5), `RuntimeDirectory=` and its like): made below a place such as `/run`, given to
//! their owner, and taken away again.
//!
//! What never lives here: which directories a unit wants. One invariant: below the place no symbolic link is followed; what is there
//! may belong to a service, which could make it lead anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, symlinkat, unlinkat};

use crate::error::SysError;

/// Where systemd has the directories of users that come and go (systemd.exec(5), `DynamicUser=`).
const PRIVATE: &str = "private";
/// The mode of directories on the way.
const PARENT_MODE: u32 = 0o755;
/// Directories within each other, as deep as anybody needs.
const DEPTH_MAX: usize = 256;
const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Whose a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Makes the directory `path`, which is relative, below `place`, or where it is there, gives it this mode. With an owner it and all
/// that is in it get that one, unless the directory is that one's already. Where systemd has left a link instead, for `DynamicUser=`,
/// the directory comes back from `private`.
///
/// # Errors
/// The cause; `ELOOP` or `ENOTDIR` where a part of the path is a link or no directory.
pub fn make(place: &Path, path: &str, mode: u32, owner: Option<Owner>) -> Result<(), SysError> {
    let failed = |errno: Errno| SysError::new("make a directory", errno);
    let root = open_place(place)?;
    let (parent, name) = parent_of(root.as_fd(), path, true).map_err(failed)?;
    let link = link_target(path, &format!("{PRIVATE}/{path}"));
    if readlinkat(&parent, name).is_ok_and(|target| *target == *link) {
        take_back(root.as_fd(), &parent, path, name).map_err(failed)?;
    }
    make_last(&parent, name, mode, owner).map_err(failed)
}

/// Makes the directory `path` below `place` anew, with these files in it, which nobody but the owner can read, and nobody write.
///
/// # Errors
/// The cause; the directory is not complete then.
pub fn fill(
    place: &Path,
    path: &str,
    files: &BTreeMap<String, Vec<u8>>,
    owner: Option<Owner>,
) -> Result<(), SysError> {
    remove(place, path)?;
    make(place, path, 0o700, None)?;
    let failed = |errno: Errno| SysError::new("open a directory", errno);
    let root = open_place(place)?;
    let (parent, name) = parent_of(root.as_fd(), path, false).map_err(failed)?;
    let directory = openat(&parent, name, DIRECTORY, Mode::empty()).map_err(failed)?;
    for (name, bytes) in files {
        write_file(directory.as_fd(), name, bytes, owner)
            .map_err(|error| SysError::new("write a file", error))?;
    }
    close_off(&directory, owner, 0o500).map_err(|errno| SysError::new("give a directory away", errno))
}

fn write_file(at: BorrowedFd<'_>, name: &str, bytes: &[u8], owner: Option<Owner>) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = fs::File::from(openat(at, name, flags, Mode::S_IRUSR)?);
    file.write_all(bytes)?;
    Ok(close_off(&file, owner, 0o400)?)
}

/// The owner's, with this mode.
fn close_off(file: impl AsFd, owner: Option<Owner>, mode: u32) -> Result<(), Errno> {
    if let Some(owner) = owner {
        fchown(&file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    }
    fchmod(&file, Mode::from_bits_truncate(mode))
}

/// Makes a link `link` below `place` to `path` there.
///
/// # Errors
/// The cause; `EEXIST` where there is something else.
pub fn link(place: &Path, link: &str, path: &str) -> Result<(), SysError> {
    let failed = |errno: Errno| SysError::new("make a link to a directory", errno);
    let root = open_place(place)?;
    let (parent, name) = parent_of(root.as_fd(), link, true).map_err(failed)?;
    place_link(&parent, name, &link_target(link, path)).map_err(failed)
}

/// Removes `path` below `place` with all that is in it. That it is not there is no error.
///
/// # Errors
/// The cause; what could be removed is.
pub fn remove(place: &Path, path: &str) -> Result<(), SysError> {
    let failed = |errno: Errno| SysError::new("remove a directory", errno);
    let Ok(root) = open_trusted(place) else { return Ok(()) };
    let removed = parent_of(root.as_fd(), path, false).and_then(|(parent, name)| {
        let facts = stat_of(&parent, name)?;
        remove_entry(parent.as_fd(), name, &facts, 0)
    });
    ignore(Errno::ENOENT, removed).map_err(failed)
}

/// Removes the link `path` below `place`. That there is none is no error; anything else stays.
///
/// # Errors
/// The cause.
pub fn remove_link(place: &Path, path: &str) -> Result<(), SysError> {
    let failed = |errno: Errno| SysError::new("remove a link", errno);
    let Ok(root) = open_trusted(place) else { return Ok(()) };
    let removed = parent_of(root.as_fd(), path, false).and_then(|(parent, name)| {
        readlinkat(&parent, name)?;
        unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir)
    });
    // EINVAL: it is no link.
    ignore(Errno::ENOENT, ignore(Errno::EINVAL, removed)).map_err(failed)
}

/// The owner of the directory `path` below `place`, or of the one in `private` that there is a link to instead.
#[must_use]
pub fn owner(place: &Path, path: &str) -> Option<Owner> {
    let root = open_trusted(place).ok()?;
    let private = format!("{PRIVATE}/{path}");
    let facts = [path, private.as_str()].into_iter().find_map(|path| {
        let (parent, name) = parent_of(root.as_fd(), path, false).ok()?;
        stat_of(&parent, name).ok().filter(is_directory)
    })?;
    Some(Owner { uid: facts.st_uid, gid: facts.st_gid })
}

/// The users who own anything right below `place`, or in `private` there.
#[must_use]
pub fn owners(place: &Path) -> BTreeSet<u32> {
    let Ok(root) = open_trusted(place) else { return BTreeSet::new() };
    let private = openat(&root, PRIVATE, DIRECTORY, Mode::empty()).ok();
    let mut owners = BTreeSet::new();
    for directory in [Some(root), private].into_iter().flatten() {
        let names = names_in(directory.as_fd()).unwrap_or_default();
        let facts = names.iter().filter_map(|name| stat_of(&directory, name.as_c_str()).ok());
        owners.extend(facts.map(|facts| facts.st_uid));
    }
    owners
}

/// Links to the place itself are followed.
fn open_trusted(place: &Path) -> Result<OwnedFd, Errno> {
    openat(AT_FDCWD, place, DIRECTORY.difference(OFlag::O_NOFOLLOW), Mode::empty())
}

/// Opens the place; a user's may have to be made first.
fn open_place(place: &Path) -> Result<OwnedFd, SysError> {
    let failed = |errno: Errno| SysError::new("open the place of directories", errno);
    match open_trusted(place) {
        Err(Errno::ENOENT) => {
            let made = fs::DirBuilder::new().recursive(true).mode(PARENT_MODE).create(place);
            made.map_err(|error| SysError::new("make the place of directories", error))?;
            open_trusted(place).map_err(failed)
        }
        opened => opened.map_err(failed),
    }
}

/// The directory that the last part of `path` is in, and that part. Those on the way are made where `makes`.
fn parent_of<'p>(root: BorrowedFd<'_>, path: &'p str, makes: bool) -> Result<(OwnedFd, &'p str), Errno> {
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut at = root.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
    for part in parents.split('/').filter(|part| !part.is_empty()) {
        if makes {
            ignore(Errno::EEXIST, mkdirat(&at, part, Mode::from_bits_truncate(PARENT_MODE)))?;
        }
        at = openat(&at, part, DIRECTORY, Mode::empty())?;
    }
    Ok((at, name))
}

fn make_last(parent: &OwnedFd, name: &str, mode: u32, owner: Option<Owner>) -> Result<(), Errno> {
    let mode = Mode::from_bits_truncate(mode);
    ignore(Errno::EEXIST, mkdirat(parent, name, mode))?;
    let directory = openat(parent, name, DIRECTORY, Mode::empty())?;
    let facts = fstat(&directory)?;
    if let Some(owner) = owner.filter(|owner| (owner.uid, owner.gid) != (facts.st_uid, facts.st_gid)) {
        chown_within(directory.as_fd(), owner, facts.st_uid, 0)?;
        // Last: a run that did not come to its end begins anew.
        fchown(&directory, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    }
    if Mode::from_bits_truncate(facts.st_mode) != mode || owner.is_some() {
        fchmod(&directory, mode)?;
    }
    Ok(())
}

/// Gives all that is in a directory to its owner. A file with another name elsewhere goes along only if it was the former owner's:
/// whoever could write here could have made this one a second name of anybody's file.
fn chown_within(directory: BorrowedFd<'_>, owner: Owner, former: u32, depth: usize) -> Result<(), Errno> {
    if depth > DEPTH_MAX {
        return Err(Errno::ELOOP);
    }
    for name in names_in(directory)? {
        let facts = stat_of(directory, name.as_c_str())?;
        if is_directory(&facts) {
            let inner = openat(directory, name.as_c_str(), DIRECTORY, Mode::empty())?;
            chown_within(inner.as_fd(), owner, former, depth + 1)?;
        } else if facts.st_nlink > 1 && facts.st_uid != former {
            continue;
        }
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        fchownat(directory, name.as_c_str(), Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn remove_entry<N>(parent: BorrowedFd<'_>, name: &N, facts: &FileStat, depth: usize) -> Result<(), Errno>
where
    N: nix::NixPath + ?Sized,
{
    if !is_directory(facts) {
        return unlinkat(parent, name, UnlinkatFlags::NoRemoveDir);
    }
    if depth > DEPTH_MAX {
        return Err(Errno::ELOOP);
    }
    let directory = openat(parent, name, DIRECTORY, Mode::empty())?;
    if !Mode::from_bits_truncate(facts.st_mode).contains(Mode::S_IWUSR) {
        // Without privilege nothing is removed from it otherwise; where that fails, so does what follows.
        let _ = fchmod(&directory, Mode::S_IRWXU);
    }
    let mut outcome = Ok(());
    for inner in names_in(directory.as_fd())? {
        let removed = stat_of(&directory, inner.as_c_str()).and_then(|inner_facts| {
            // What is mounted there is somebody else's.
            if inner_facts.st_dev != facts.st_dev {
                return Err(Errno::EBUSY);
            }
            remove_entry(directory.as_fd(), inner.as_c_str(), &inner_facts, depth + 1)
        });
        outcome = outcome.and(removed);
    }
    outcome?;
    unlinkat(parent, name, UnlinkatFlags::RemoveDir)
}

/// Moves the directory that a link stands for to where the link is.
fn take_back(root: BorrowedFd<'_>, parent: &OwnedFd, path: &str, name: &str) -> Result<(), Errno> {
    let private = format!("{PRIVATE}/{path}");
    let (own_parent, _) = parent_of(root, &private, false)?;
    unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)?;
    renameat(&own_parent, name, parent, name)
}

/// What a link at `link` has to say to lead to `path`, both below one place.
fn link_target(link: &str, path: &str) -> String {
    let ups = link.split('/').count() - 1;
    format!("{}{path}", "../".repeat(ups))
}

fn place_link(parent: &OwnedFd, name: &str, target: &str) -> Result<(), Errno> {
    match symlinkat(target, parent, name) {
        Err(Errno::EEXIST) if readlinkat(parent, name).is_ok_and(|found| found == OsStr::new(target)) => {
            Ok(())
        }
        outcome => outcome,
    }
}

fn stat_of<N: nix::NixPath + ?Sized>(directory: impl AsFd, name: &N) -> Result<FileStat, Errno> {
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn is_directory(facts: &FileStat) -> bool {
    SFlag::from_bits_truncate(facts.st_mode).intersection(SFlag::S_IFMT) == SFlag::S_IFDIR
}

fn names_in(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut open =
        Dir::openat(directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in open.iter() {
        let name = entry?.file_name().to_owned();
        if !matches!(name.as_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

fn ignore(expected: Errno, outcome: Result<(), Errno>) -> Result<(), Errno> {
    outcome.or_else(|errno| if errno == expected { Ok(()) } else { Err(errno) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_directory_is_made_with_those_on_the_way_and_removed_with_what_is_in_it() {
        let place = tempfile::tempdir().unwrap();
        make(place.path(), "a/b/c", 0o750, None).unwrap();
        let made = place.path().join("a/b/c");
        assert_eq!((mode_of(&made), mode_of(made.parent().unwrap())), (0o750, 0o755));
        make(place.path(), "a/b/c", 0o700, None).unwrap();
        assert_eq!(mode_of(&made), 0o700);
        fs::create_dir_all(made.join("x/y")).unwrap();
        fs::write(made.join("x/y/file"), "").unwrap();
        let outside = place.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "").unwrap();
        symlink(&outside, made.join("link")).unwrap();
        remove(place.path(), "a/b/c").unwrap();
        assert!(!made.exists() && made.parent().unwrap().exists());
        assert!(outside.join("file").exists(), "the link is removed, not what it leads to");
        remove(place.path(), "a/b/c").unwrap();
        remove(&place.path().join("nowhere"), "a").unwrap();
    }

    #[test]
    fn no_link_is_followed() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o701)).unwrap();
        symlink(outside.path(), place.path().join("a")).unwrap();
        for path in ["a", "a/b"] {
            let error = make(place.path(), path, 0o755, None).unwrap_err();
            assert!([libc::ELOOP, libc::ENOTDIR].contains(&error.errno()), "{path}: {error:?}");
            drop(remove(place.path(), "a/b"));
        }
        assert_eq!(mode_of(outside.path()), 0o701);
        assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
    }

    #[test]
    fn a_directory_that_systemd_has_made_private_comes_back() {
        let place = tempfile::tempdir().unwrap();
        let own = fs::metadata(place.path()).unwrap();
        let own = Owner { uid: own.uid(), gid: own.gid() };
        let private = place.path().join(PRIVATE).join("a/b");
        fs::create_dir_all(&private).unwrap();
        fs::write(private.join("kept"), "").unwrap();
        fs::create_dir(place.path().join("a")).unwrap();
        symlink(format!("../{PRIVATE}/a/b"), place.path().join("a/b")).unwrap();
        assert_eq!(owner(place.path(), "a/b"), Some(own));
        assert_eq!(owners(place.path()), [own.uid].into());
        make(place.path(), "a/b", 0o755, None).unwrap();
        assert!(fs::symlink_metadata(place.path().join("a/b")).unwrap().is_dir());
        assert!(place.path().join("a/b/kept").exists() && !private.exists());
    }

    #[test]
    fn a_link_is_made_once_and_takes_nobody_s_place() {
        let place = tempfile::tempdir().unwrap();
        make(place.path(), "a", 0o755, None).unwrap();
        link(place.path(), "x/y", "a").unwrap();
        link(place.path(), "x/y", "a").unwrap();
        assert_eq!(fs::read_link(place.path().join("x/y")).unwrap(), Path::new("../a"));
        assert_eq!(link(place.path(), "a", "x").unwrap_err().errno(), libc::EEXIST);
    }

    #[test]
    fn everything_in_a_directory_goes_to_its_new_owner_but_names_of_others_files() {
        if !Uid::effective().is_root() {
            return; // Only root can give things away; the test set-up runs as root, too.
        }
        let place = tempfile::tempdir().unwrap();
        make(place.path(), "a", 0o755, None).unwrap();
        let made = place.path().join("a");
        fs::create_dir(made.join("inner")).unwrap();
        fs::write(made.join("inner/file"), "").unwrap();
        let (former, new) = (Owner { uid: 1001, gid: 1001 }, Owner { uid: 1002, gid: 1003 });
        make(place.path(), "a", 0o750, Some(former)).unwrap();
        fs::write(place.path().join("elsewhere"), "").unwrap();
        fs::hard_link(place.path().join("elsewhere"), made.join("second")).unwrap();
        symlink(place.path().join("elsewhere"), made.join("link")).unwrap();
        make(place.path(), "a", 0o750, Some(new)).unwrap();
        let owner_of = |path: &Path| {
            let facts = fs::symlink_metadata(path).unwrap();
            (facts.uid(), facts.gid())
        };
        for path in ["", "inner", "inner/file", "link"] {
            assert_eq!(owner_of(&made.join(path)), (1002, 1003), "{path}");
        }
        assert_eq!(owner_of(&place.path().join("elsewhere")), (0, 0));
        assert_eq!(mode_of(&made), 0o750);
    }
}
