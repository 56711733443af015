//! Users and groups of this machine, by name or number.

use std::path::PathBuf;

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
    unimplemented!("{name_or_uid}")
}

/// The id of the group with this name; a number stands for itself; `None` when there is none.
///
/// # Errors
/// The cause, when the database cannot be read.
pub fn find_group(name_or_gid: &str) -> Result<Option<u32>, SysError> {
    unimplemented!("{name_or_gid}")
}

/// The groups of a user, its primary one `gid` included.
///
/// # Errors
/// The cause.
pub fn groups_of(user: &str, gid: u32) -> Result<Vec<u32>, SysError> {
    unimplemented!("{user} {gid}")
}

/// The effective user id of this process.
#[must_use]
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The effective group id of this process.
#[must_use]
pub fn own_gid() -> u32 {
    nix::unistd::getegid().as_raw()
}
