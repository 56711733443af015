//! Who the processes of a unit are: user, groups, and what follows from them.
//!
//! Never here: becoming them; the child does. Invariant: names are looked up anew at each start, since accounts may change.

use sockmgr_sys::directories::Owner;
use sockmgr_sys::spawn::{Credentials, SpawnStep};
use sockmgr_sys::user::{self, User};
use sockmgr_unit::section::{Account, ExecSection};
use sockmgr_unit::specifier::Directories as Places;

use super::directories;
use super::dynamic_users::DynamicUsers;
use super::listeners::chain;
use super::plan::PlanError;
use crate::paths::Scope;

/// Shells that are none (systemd's list): `SHELL` is not set to them.
const NO_SHELLS: [&str; 8] = [
    "/bin/nologin",
    "/sbin/nologin",
    "/usr/bin/nologin",
    "/usr/sbin/nologin",
    "/bin/false",
    "/usr/bin/false",
    "/bin/true",
    "/usr/bin/true",
];

/// Whom `User=`, `Group=` and `SupplementaryGroups=` stand for.
#[derive(Debug, Default)]
pub(super) struct Identity {
    user: Option<User>,
    group: Option<u32>,
    supplementary: Vec<u32>,
    /// The user is one of the range that comes and goes.
    is_dynamic: bool,
}

impl Identity {
    /// Looks them up.
    pub(super) fn find(
        exec: &ExecSection,
        dynamic_users: &DynamicUsers,
        places: &Places,
    ) -> Result<Self, PlanError> {
        let mut identity = Self::default();
        if let Some(name) = &exec.user {
            identity.user = find_user(name)?;
            if identity.user.is_none() && exec.dynamic_user.0 {
                let former = || directories::former_owner(exec, places);
                identity.user = Some(dynamic_users.take(name, former, || directories::owners(places))?);
                identity.is_dynamic = true;
            }
            if identity.user.is_none() {
                return Err(PlanError::Step(SpawnStep::User, format!("User={name}: there is no such user")));
            }
        }
        identity.group = exec.group.as_ref().map(|name| identity.find_group("Group", name)).transpose()?;
        let supplementary = exec.supplementary_groups.iter();
        identity.supplementary = supplementary
            .map(|name| identity.find_group("SupplementaryGroups", name))
            .collect::<Result<_, _>>()?;
        Ok(identity)
    }

    /// The group of a dynamic user has that one's name and number.
    fn find_group(&self, key: &str, name: &Account) -> Result<u32, PlanError> {
        let failed = |why: String| PlanError::Step(SpawnStep::Group, format!("{key}={name}: {why}"));
        let found = user::find_group(name.as_str()).map_err(|error| failed(chain(&error)))?;
        let own = self.user.as_ref().filter(|user| self.is_dynamic && user.name == name.as_str());
        found.or(own.map(|user| user.gid)).ok_or_else(|| failed("there is no such group".to_owned()))
    }

    /// Whom to become; `None` where that is who the manager is already.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, PlanError> {
        let own = user::own_uid();
        let is_own = self.user.as_ref().is_none_or(|user| user.uid == own);
        if is_own && self.group.is_none() && self.supplementary.is_empty() {
            return Ok(None);
        }
        let gid = self.owner().gid;
        let mut groups = match &self.user {
            Some(user) if own == 0 => user::groups_of(&user.name, gid)
                .map_err(|error| PlanError::Step(SpawnStep::Group, chain(&error)))?,
            Some(_) | None => Vec::new(),
        };
        groups.extend(
            self.supplementary.iter().filter(|group| !groups.contains(group)).copied().collect::<Vec<_>>(),
        );
        let groups = (!groups.is_empty()).then_some(groups);
        Ok(Some(Credentials { uid: self.user.as_ref().map(|user| user.uid), gid, groups }))
    }

    /// Whose the directories are that are made for the processes.
    pub(super) fn owner(&self) -> Owner {
        let (uid, gid) = self
            .user
            .as_ref()
            .map_or_else(|| (user::own_uid(), user::own_gid()), |user| (user.uid, user.gid));
        Owner { uid, gid: self.group.unwrap_or(gid) }
    }

    /// `~`
    pub(super) fn home(&self) -> String {
        let of_user = self.user.as_ref().map(|user| user.home.to_string_lossy().into_owned());
        of_user.or_else(|| std::env::var("HOME").ok()).unwrap_or_else(|| "/".to_owned())
    }

    /// `USER` and its like (systemd.exec(5), `SetLoginEnvironment=`). A user's processes have those of their manager.
    pub(super) fn variables(&self, exec: &ExecSection, scope: Scope) -> Vec<(&'static str, String)> {
        let own = || user::find_user(&user::own_uid().to_string()).ok().flatten();
        let user = match (&self.user, scope) {
            (Some(user), _) => Some(user.clone()),
            (None, Scope::System) => own(),
            (None, Scope::User) if exec.set_login_environment == Some(true) => own(),
            (None, Scope::User) => None,
        };
        let Some(user) = user else { return Vec::new() };
        let mut variables = vec![("USER", user.name.clone())];
        if exec.set_login_environment.unwrap_or(exec.user.is_some()) {
            let (home, shell) = (user.home.to_string_lossy(), user.shell.to_string_lossy());
            variables.push(("LOGNAME", user.name.clone()));
            if home.starts_with('/') && &*home != "/" {
                variables.push(("HOME", home.into_owned()));
            }
            if shell.starts_with('/') && !NO_SHELLS.contains(&&*shell) {
                variables.push(("SHELL", shell.into_owned()));
            }
        }
        variables
    }
}

fn find_user(name: &Account) -> Result<Option<User>, PlanError> {
    user::find_user(name.as_str())
        .map_err(|error| PlanError::Step(SpawnStep::User, format!("User={name}: {}", chain(&error))))
}
