//! From a name to the file that defines the unit, through links.
//!
//! Never here: what is in the file. Invariant: what is found has the name of the unit itself, never that of a link to it.

use std::path::PathBuf;

use sockmgr_unit::UnitName;

use super::change::Refusal;
use super::tree::{Entry, Means, Tree};

/// Links that are followed from a name to its file; systemd allows as many.
const DEPTH_MAX: usize = 64;

/// Which links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// All.
    All,
    /// Not the names that enabling made: they are gone once the unit is disabled.
    NotConfigured,
}

/// A unit file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: UnitName,
    /// Of an instance without a file of its own, the template's.
    pub(super) path: PathBuf,
    pub(super) is: Is,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    /// A unit file.
    Regular,
    /// An empty one, or a link to `/dev/null`.
    Masked,
}

/// Why nothing was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    NotFound,
    /// A link leads to this name, which has no file.
    Dangling(UnitName),
    /// A link that is not to be followed, or one of too many.
    Linked,
    NotAFile(&'static str),
}

impl Trouble {
    /// What it means for a request that named `operand`.
    pub(super) fn refuse(self, operand: &str) -> Refusal {
        let operand = operand.to_owned();
        match self {
            Self::NotFound => Refusal::NotFound(operand),
            Self::Dangling(_) => Refusal::Dangling(operand),
            Self::Linked => Refusal::Linked(operand),
            Self::NotAFile(what) => Refusal::NotAFile { name: operand, what },
        }
    }
}

impl Tree {
    /// The file of a unit, or of its template.
    pub(super) fn find(&self, name: &UnitName, follow: Follow) -> Result<Found, Trouble> {
        let mut name = name.clone();
        let mut entry = self.search(&name).ok_or(Trouble::NotFound)?;
        for _ in 0..DEPTH_MAX {
            let next = match &entry.means {
                Means::File => return Ok(found(name, entry.path.clone(), Is::Regular)),
                Means::Elsewhere(path) => return Ok(found(name, path.clone(), Is::Regular)),
                Means::Mask => return Ok(found(name, entry.path.clone(), Is::Masked)),
                Means::Nowhere => return Err(Trouble::NotFound),
                Means::Other(what) => return Err(Trouble::NotAFile(what)),
                Means::Unit(next) => next,
            };
            if follow == Follow::NotConfigured && entry.path.parent().is_some_and(|at| self.is_written(at)) {
                return Err(Trouble::Linked);
            }
            let next = propagate(&name, next);
            if next == name
                && let Some(pointer) = &entry.pointer
            {
                // `web@1.service` → `web@.service`: the link makes the instance.
                return Ok(found(name, pointer.target.clone(), Is::Regular));
            }
            entry = self.search(&next).ok_or_else(|| Trouble::Dangling(next.clone()))?;
            name = next;
        }
        Err(Trouble::Linked)
    }

    /// What the search path has under this name, else under its template's.
    pub(super) fn search(&self, name: &UnitName) -> Option<&Entry> {
        let entry = |name: &UnitName| self.directories.iter().find_map(|directory| directory.units.get(name));
        entry(name).or_else(|| entry(&name.template()?))
    }
}

fn found(name: UnitName, path: PathBuf, is: Is) -> Found {
    Found { name, path, is }
}

/// The name that a link of `name` leads to: a template's means the same instance of it.
fn propagate(name: &UnitName, target: &UnitName) -> UnitName {
    match name.instance() {
        Some(instance) if target.is_template() => {
            target.with_instance(instance).unwrap_or_else(|_| target.clone())
        }
        _ => target.clone(),
    }
}
