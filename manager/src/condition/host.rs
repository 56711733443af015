//! Conditions on who the manager is, and where.

use std::fs;

use nix::unistd::{Gid, Uid, getegid, geteuid, getgid, getgroups, getuid};
use sockmgr_sys::user::{find_group, find_user};
use sockmgr_unit::glob::matches as fits;
use sockmgr_unit::value::parse_environment_file;

use super::Tested;
use super::compare::{Relation, versions, words};

/// The last number of a user of the system (systemd's `SYSTEM_UID_MAX`).
const SYSTEM_MAX: u32 = 999;

pub(super) fn is_user(parameter: &str) -> bool {
    let own = [getuid(), geteuid()].map(Uid::as_raw);
    if parameter == "@system" {
        return own.into_iter().any(|uid| uid <= SYSTEM_MAX);
    }
    let uid = parameter.parse().ok().or_else(|| find_user(parameter).ok().flatten().map(|user| user.uid));
    uid.is_some_and(|uid| own.contains(&uid))
}

pub(super) fn is_group(parameter: &str) -> bool {
    let mut own: Vec<u32> = [getgid(), getegid()].map(Gid::as_raw).into();
    own.extend(getgroups().unwrap_or_default().into_iter().map(Gid::as_raw));
    find_group(parameter).ok().flatten().is_some_and(|gid| own.contains(&gid))
}

/// A machine id is all of it; a name may be a pattern, in letters of either case.
pub(super) fn is_host(parameter: &str) -> bool {
    let first_line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let id = parameter.replace('-', "").to_ascii_lowercase();
    if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return first_line("/etc/machine-id") == id;
    }
    let name = first_line("/proc/sys/kernel/hostname");
    fits(&parameter.to_ascii_lowercase(), &name.to_ascii_lowercase())
}

/// All words must hold, each a field, a sign and a value without blanks between.
pub(super) fn os_release(parameter: &str) -> Tested {
    let text = fs::read("/etc/os-release").or_else(|_| fs::read("/usr/lib/os-release")).unwrap_or_default();
    let fields = parse_environment_file(&text).unwrap_or_default();
    for word in words(parameter) {
        let sign = word.find(['<', '>', '=', '!']).ok_or_else(|| format!("\"{word}\" compares nothing"))?;
        let (field, rest) = word.split_at(sign);
        let (relation, value) =
            Relation::strip(rest).ok_or_else(|| format!("\"{rest}\" compares nothing"))?;
        let actual = fields.iter().rev().find(|(name, _)| name == field).map_or("", |(_, value)| value);
        let holds = match relation {
            // Perhaps no versions.
            Relation::Equal => actual == value,
            Relation::Unequal => actual != value,
            _ => relation.admits(versions(actual, value)),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `NAME`, or `NAME=value`.
pub(super) fn has_variable(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) => std::env::var(name).is_ok_and(|actual| actual == value),
        None => std::env::var_os(parameter).is_some(),
    }
}

pub(super) fn has_credential(parameter: &str) -> bool {
    let is_name = !parameter.is_empty() && !parameter.contains('/') && !parameter.starts_with('.');
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
    is_name && directory.is_some_and(|directory| std::path::Path::new(&directory).join(parameter).exists())
}
