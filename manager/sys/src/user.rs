//! Users and groups of this machine, by name or number.
//!
//! What never lives here: becoming one of them ([`crate::spawn`]). One invariant: nothing is remembered; every call asks
//! the database anew, since it may change while the daemon runs.

use std::ffi::CString;
use std::path::PathBuf;

use nix::unistd::{self, Gid, Uid};

use crate::error::SysError;

/// A user of the system's user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
}

/// The user with this name, or with this number; `None` when there is none.
///
/// # Errors
/// The cause, when the database cannot be read.
pub fn find_user(name_or_uid: &str) -> Result<Option<User>, SysError> {
    let found = match name_or_uid.parse() {
        Ok(uid) => unistd::User::from_uid(Uid::from_raw(uid)),
        Err(_) => unistd::User::from_name(name_or_uid),
    };
    let found = found.map_err(|errno| SysError::new("look up a user", errno))?;
    Ok(found.map(|user| User {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        home: user.dir,
        shell: user.shell,
    }))
}

/// The id of the group with this name; a number stands for itself; `None` when there is none.
///
/// # Errors
/// The cause, when the database cannot be read.
pub fn find_group(name_or_gid: &str) -> Result<Option<u32>, SysError> {
    if let Ok(gid) = name_or_gid.parse() {
        return Ok(Some(gid));
    }
    let found = unistd::Group::from_name(name_or_gid);
    let found = found.map_err(|errno| SysError::new("look up a group", errno))?;
    Ok(found.map(|group| group.gid.as_raw()))
}

/// Whether a group has this id; where the database cannot be read, none is known to.
#[must_use]
pub fn is_group(gid: u32) -> bool {
    unistd::Group::from_gid(Gid::from_raw(gid)).is_ok_and(|group| group.is_some())
}

/// The groups of a user, its primary one `gid` included.
///
/// # Errors
/// The cause; `EINVAL` for a name with a NUL in it.
pub fn groups_of(user: &str, gid: u32) -> Result<Vec<u32>, SysError> {
    let failed = |errno| SysError::new("look up the groups of a user", errno);
    let name = CString::new(user).map_err(|_| failed(nix::Error::EINVAL))?;
    let groups = unistd::getgrouplist(&name, Gid::from_raw(gid)).map_err(failed)?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// The effective user id of this process.
#[must_use]
pub fn own_uid() -> u32 {
    unistd::geteuid().as_raw()
}

/// The effective group id of this process.
#[must_use]
pub fn own_gid() -> u32 {
    unistd::getegid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_by_number() {
        let root = find_user("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(find_user("0").unwrap(), Some(root));
        assert_eq!(find_group("root").unwrap(), Some(0));
        assert!(groups_of("root", 0).unwrap().contains(&0));
    }

    #[test]
    fn nobody_of_that_name_is_no_error() {
        assert_eq!(find_user("no-such-user").unwrap(), None);
        assert_eq!(find_group("no-such-group").unwrap(), None);
        assert_eq!(find_group("4711").unwrap(), Some(4711));
    }
}
