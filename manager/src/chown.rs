//! `SocketUser=` and `SocketGroup=`: a process of its own looks the names up and gives the nodes away, and ends.
//!
//! Looking up a name may ask a server, load a library, and take long; a manager that serves everybody must do none of that itself.
//! Invariant: the exit status says what failed, in the numbers of systemd.exec(5).

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, RawFd};
use std::process::ExitCode;

use sockmgr_sys::{child, listener, user};

/// The first argument of such a process; user and group follow, either may be empty. The nodes are its descriptors from 3 up, as many
/// as `LISTEN_FDS` says.
const FLAG: &str = "--change-owner";

/// Exit status for a user that there is not (`EXIT_USER`).
const EXIT_USER: u8 = 217;
/// Exit status for a group that there is not (`EXIT_GROUP`).
const EXIT_GROUP: u8 = 216;
/// Exit status for an owner that could not be set (`EXIT_CHOWN`).
const EXIT_CHOWN: u8 = 235;

/// The arguments, the program's name included, of a process that gives nodes to this user and this group.
pub fn arguments(user: &str, group: &str) -> Option<Vec<CString>> {
    ["sockmgrd", FLAG, user, group].into_iter().map(|text| CString::new(text).ok()).collect()
}

/// Runs as such a process if these are its arguments.
pub fn run_if_asked(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if arguments.next()?.to_str() != Some(FLAG) {
        return None;
    }
    let user = arguments.next()?.into_string().ok()?;
    let group = arguments.next()?.into_string().ok()?;
    Some(match change(&user, &group) {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, why)) => {
            eprintln!("sockmgrd: {why}");
            ExitCode::from(status)
        }
    })
}

fn change(user: &str, group: &str) -> Result<(), (u8, String)> {
    let (uid, gid) = owner(user, group)?;
    let count: RawFd = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    for number in 3..3 + count {
        child::adopt_inherited_fd(number)
            .and_then(|node| listener::give(node.as_fd(), uid, gid))
            .map_err(|error| (EXIT_CHOWN, chain(&error)))?;
    }
    Ok(())
}

/// User and group as numbers; a user alone brings its primary group.
fn owner(user: &str, group: &str) -> Result<(Option<u32>, Option<u32>), (u8, String)> {
    let mut owner = (None, None);
    if !user.is_empty() {
        owner = find_user(user).map_err(|why| (EXIT_USER, format!("SocketUser={user}: {why}")))?;
    }
    if !group.is_empty() {
        let found = user::find_group(group).map_err(|error| chain(&error));
        let found = found.and_then(|found| found.ok_or_else(|| "there is no such group".to_owned()));
        owner.1 = Some(found.map_err(|why| (EXIT_GROUP, format!("SocketGroup={group}: {why}")))?);
    }
    Ok(owner)
}

/// A number needs no entry in the user database; then it brings no group.
fn find_user(name: &str) -> Result<(Option<u32>, Option<u32>), String> {
    let found = user::find_user(name).map_err(|error| chain(&error))?;
    match (found, name.parse()) {
        (Some(user), _) => Ok((Some(user.uid), Some(user.gid))),
        (None, Ok(uid)) => Ok((Some(uid), None)),
        (None, Err(_)) => Err("there is no such user".to_owned()),
    }
}

fn chain(error: &sockmgr_sys::SysError) -> String {
    format!("{error}: {}", error.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_there_has_systemds_exit_status() {
        let status = |user, group| owner(user, group).map_err(|(status, _)| status);
        assert_eq!(status("no-such-user", ""), Err(EXIT_USER));
        assert_eq!(status("root", "no-such-group"), Err(EXIT_GROUP));
        assert_eq!(status("root", ""), Ok((Some(0), Some(0))));
        assert_eq!(status("4711", ""), Ok((Some(4711), None)));
        assert_eq!(status("root", "4712"), Ok((Some(0), Some(4712))));
        assert_eq!(status("", "root"), Ok((None, Some(0))));
    }

    #[test]
    fn other_arguments_mean_other_things() {
        let run = |words: &[&str]| run_if_asked(words.iter().map(OsString::from));
        assert!(run(&[]).is_none() && run(&["--system"]).is_none());
        assert!(run(&[FLAG, "", ""]).is_some());
    }
}
