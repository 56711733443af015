//! Users that come and go with the processes of a unit (systemd.exec(5), `DynamicUser=`).
//!
//! A file in the runtime directory, with the name as its content, says whose an id is; so a new manager knows what the former one gave
//! away. The ids are systemd's range, and one that systemd has given away is left alone. In account databases the names do not
//! occur: what asks there, such as ls(1), shows the number. What such a user keeps stays where other users have it, and is not moved
//! below a `private` as systemd does, which takes a mount namespace to get around; instead no id that owns such directories is given
//! to anybody else.
//!
//! Invariant: an id belongs to one name at a time.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sockmgr_sys::spawn::SpawnStep;
use sockmgr_sys::user::{self, User};

use super::plan::PlanError;

/// systemd's range (its "Users, Groups, UIDs and GIDs").
const FIRST: u32 = 61_184;
const LAST: u32 = 65_519;
/// Where systemd says which it has given away.
const OF_SYSTEMD: &str = "/run/systemd/dynamic-uid";

/// Gives ids away and takes them back.
#[derive(Debug)]
pub(super) struct DynamicUsers {
    directory: PathBuf,
}

impl DynamicUsers {
    pub(super) fn new(runtime_dir: &Path) -> Self {
        Self { directory: runtime_dir.join("dynamic-users") }
    }

    /// The user of this name: as it is, or with an id that is free: `preferred` where that is, else none of those that own something
    /// already.
    pub(super) fn take(
        &self,
        name: &str,
        preferred: impl FnOnce() -> Option<u32>,
        owners: impl FnOnce() -> BTreeSet<u32>,
    ) -> Result<User, PlanError> {
        let failed = |why: String| PlanError::Step(SpawnStep::User, format!("DynamicUser=: {why}"));
        if user::own_uid() != 0 {
            return Err(failed(
                "only root can become somebody who is not in the account database".to_owned(),
            ));
        }
        let found = match self.find(name) {
            Some(uid) => Ok(Some(uid)),
            None => self.give(name, preferred(), &owners()),
        };
        let uid = found
            .map_err(|error| failed(format!("{}: {error}", self.directory.display())))?
            .ok_or_else(|| failed(format!("no id is free from {FIRST} to {LAST}")))?;
        let (home, shell) = ("/".into(), "/usr/sbin/nologin".into());
        Ok(User { name: name.to_owned(), uid, gid: uid, home, shell })
    }

    /// The id is free again.
    pub(super) fn release(&self, name: &str) {
        if let Some(uid) = self.find(name) {
            // If it stays, the name has it again next time.
            let _ = fs::remove_file(self.directory.join(uid.to_string()));
        }
    }

    fn find(&self, name: &str) -> Option<u32> {
        let entries = fs::read_dir(&self.directory).ok()?;
        let mut ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        ids.find(|uid| fs::read_to_string(self.directory.join(uid.to_string())).is_ok_and(|of| of == name))
    }

    fn give(
        &self,
        name: &str,
        preferred: Option<u32>,
        owners: &BTreeSet<u32>,
    ) -> std::io::Result<Option<u32>> {
        fs::create_dir_all(&self.directory)?;
        let others = candidates(name).filter(|uid| !owners.contains(uid));
        for uid in preferred.into_iter().chain(others).filter(|uid| is_free(*uid)) {
            let mut options = OpenOptions::new();
            match options.write(true).create_new(true).mode(0o644).open(self.directory.join(uid.to_string()))
            {
                Ok(mut file) => {
                    file.write_all(name.as_bytes())?;
                    return Ok(Some(uid));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// All ids, from one on that is the same for the name each time.
fn candidates(name: &str) -> impl Iterator<Item = u32> {
    let count = LAST - FIRST + 1;
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let start = u32::try_from(hasher.finish() % u64::from(count)).unwrap_or(0);
    (0..count).map(move |step| FIRST + (start + step) % count)
}

/// It is in the range, and nobody else has it.
fn is_free(uid: u32) -> bool {
    (FIRST..=LAST).contains(&uid)
        && user::find_user(&uid.to_string()).is_ok_and(|known| known.is_none())
        && !user::is_group(uid)
        && !Path::new(OF_SYSTEMD).join(uid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_same_id_for_as_long_as_it_is_taken_and_nobody_else_has_it() {
        let place = tempfile::tempdir().unwrap();
        let users = DynamicUsers::new(place.path());
        let none = BTreeSet::new();
        let first = users.give("web", None, &none).unwrap().unwrap();
        assert!((FIRST..=LAST).contains(&first));
        assert_eq!(users.find("web"), Some(first));
        let other = users.give("other", Some(first), &none).unwrap().unwrap();
        assert_ne!(other, first, "what is preferred is taken");
        users.release("web");
        assert_eq!(users.find("web"), None);
        assert_ne!(
            users.give("web", None, &[first].into()).unwrap(),
            Some(first),
            "its former directories have it"
        );
        users.release("web");
        assert_eq!(users.give("third", Some(first), &[first].into()).unwrap(), Some(first));
        assert_eq!(candidates("web").next(), candidates("web").next());
        assert_eq!(candidates("web").count(), 4336);
    }

    #[test]
    fn ids_of_others_are_left_alone() {
        assert!(!is_free(0) && !is_free(65_534) && !is_free(1000));
    }
}
