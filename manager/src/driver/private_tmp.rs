//! `/tmp` and `/var/tmp` of the units that have their own (`PrivateTmp=` of systemd.exec(5)): made when the first process of a unit
//! starts, taken away when the unit is down.
//!
//! Never here: when a unit is down. Invariant: the keeper remembers every pair of directories that is there, for the next manager.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use sockmgr_unit::UnitName;

/// What the keys of remembered values begin with; no unit has such a name.
const KEY: &str = "/tmp of ";

/// The directories of all units.
#[derive(Debug, Default)]
pub(super) struct PrivateTmp {
    by_unit: BTreeMap<UnitName, [PathBuf; 2]>,
    /// Removals under way.
    removals: Vec<JoinHandle<()>>,
}

/// The key under which the keeper remembers those of a unit.
pub(super) fn key(unit: &UnitName) -> String {
    format!("{KEY}{unit}")
}

impl PrivateTmp {
    /// What an earlier manager has left, taken out of all that it has.
    pub(super) fn take_up(values: &mut Vec<(String, Vec<u8>)>) -> Self {
        let mut by_unit = BTreeMap::new();
        values.retain(|(key, value)| {
            let Some(unit) = key.strip_prefix(KEY) else { return true };
            if let (Ok(unit), Ok(both)) = (unit.parse(), postcard::from_bytes(value)) {
                by_unit.insert(unit, both);
            }
            false
        });
        Self { by_unit, removals: Vec::new() }
    }

    /// Those of a unit, `/tmp` first, if it has any now.
    pub(super) fn get(&self, unit: &UnitName) -> Option<&[PathBuf; 2]> {
        self.by_unit.get(unit)
    }

    /// Makes those of a unit.
    pub(super) fn make(&mut self, unit: &UnitName) -> io::Result<&[PathBuf; 2]> {
        let first = make_in(Path::new("/tmp"), unit)?;
        let second = make_in(Path::new("/var/tmp"), unit).inspect_err(|_| remove(&first))?;
        Ok(self.by_unit.entry(unit.clone()).or_insert([first, second]))
    }

    /// Takes those of a unit away; whether there were any. What is in them may be much: another thread does it.
    pub(super) fn remove(&mut self, unit: &UnitName) -> bool {
        let Some(both) = self.by_unit.remove(unit) else { return false };
        self.removals.retain(|removal| !removal.is_finished());
        self.removals.push(thread::spawn(move || both.iter().for_each(|directory| remove(directory))));
        true
    }

    /// Waits for the removals that are under way.
    pub(super) fn finish(&mut self) {
        for removal in self.removals.drain(..) {
            // It has said what went wrong.
            let _ = removal.join();
        }
    }

    /// The units that have some.
    pub(super) fn units(&self) -> Vec<UnitName> {
        self.by_unit.keys().cloned().collect()
    }
}

/// A directory that only root can pass, and in it one that is like `/tmp`; what the latter is.
fn make_in(above: &Path, unit: &UnitName) -> io::Result<PathBuf> {
    let template = above.join(format!("sockmgr-private-{unit}-XXXXXX"));
    let outer = nix::unistd::mkdtemp(&template)?;
    let inner = outer.join("tmp");
    DirBuilder::new().mode(0o700).create(&inner)?;
    // The mask does not apply here.
    fs::set_permissions(&inner, Permissions::from_mode(0o1777))?;
    Ok(inner)
}

/// Takes away what [`make_in`] has made. Links are not followed.
fn remove(inner: &Path) {
    let Some(outer) = inner.parent() else { return };
    match fs::remove_dir_all(outer) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("cannot remove {}: {error}", outer.display());
        }
        Ok(()) | Err(_) => {}
    }
}
