//! Disabling, unmasking and reverting: which links and files go.
//!
//! Never here: making links. Invariant: only what lies in the directories that are written to is removed.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use sockmgr_unit::UnitName;

use super::change::{Change, Refusal};
use super::find::{Follow, Is, Trouble};
use super::plan::{Planner, Stop, name_of};
use super::tree::{Means, Pointer};

/// What links are removed by: their own names, or those of what they lead to.
#[derive(Default)]
struct Marked {
    names: BTreeSet<UnitName>,
    paths: BTreeSet<PathBuf>,
}

impl Planner {
    pub(super) fn disable(&mut self, operands: &[String]) -> Result<(), Stop> {
        let names: Result<Vec<UnitName>, Refusal> = operands.iter().map(|operand| name_of(operand)).collect();
        self.disable_names(names?)
    }

    /// Removes all links to these units, and to what they name in `Also=`.
    pub(super) fn disable_names(&mut self, names: Vec<UnitName>) -> Result<(), Stop> {
        let mut marked = Marked::default();
        let mut seen: BTreeSet<UnitName> = names.iter().cloned().collect();
        let asked = seen.clone();
        let mut queue: VecDeque<UnitName> = names.into();
        while let Some(name) = queue.pop_front() {
            match self.tree().find(&name, Follow::All) {
                Ok(found) if found.is == Is::Masked => self.changes.push(Change::Masked(found.path)),
                Ok(found) => {
                    let also = self.library().install(&found.name).0.also;
                    queue.extend(also.iter().filter(|also| seen.insert((*also).clone())).cloned());
                    marked.names.insert(found.name);
                }
                // Links may have outlived the file.
                Err(Trouble::NotFound) => {
                    if asked.contains(&name) {
                        self.changes.push(Change::Refused(Refusal::NotFound(name.to_string())));
                    }
                    marked.names.insert(name);
                }
                Err(Trouble::Dangling(_)) => {
                    self.changes.push(Change::Dangling(name.to_string()));
                    marked.names.insert(name);
                }
                Err(trouble) => return Err(trouble.refuse(name.as_str()).into()),
            }
        }
        self.remove_marked(&self.config.clone(), marked);
        Ok(())
    }

    pub(super) fn unmask(&mut self, units: &[String]) -> Result<(), Stop> {
        for unit in units {
            let name = name_of(unit)?;
            let config = self.config.clone();
            let Some(directory) = self.files.tree.directory_mut(&config) else { continue };
            if directory.units.get(&name).is_some_and(|entry| entry.means == Means::Mask)
                && let Some(entry) = directory.units.remove(&name)
            {
                self.changes.push(Change::Unlink(entry.path));
            }
        }
        Ok(())
    }

    /// Removes the drop-ins of these units, and where the vendor has a file, what was configured in its place.
    pub(super) fn revert(&mut self, units: &[String]) -> Result<(), Stop> {
        for unit in units {
            let name = name_of(unit)?;
            let is_vendors = |path: &Path| !self.tree().is_written(path);
            let has_vendor = self.tree().directories.iter().any(|directory| {
                is_vendors(&directory.path)
                    && directory.units.get(&name).is_some_and(|entry| entry.means == Means::File)
            });
            let written: Vec<PathBuf> = self
                .tree()
                .directories
                .iter()
                .map(|directory| directory.path.clone())
                .filter(|path| !is_vendors(path))
                .collect();
            for directory in written {
                self.revert_in(&directory, &name, has_vendor);
            }
        }
        Ok(())
    }

    fn revert_in(&mut self, path: &Path, unit: &UnitName, has_vendor: bool) {
        let Some(directory) = self.files.tree.directory_mut(path) else { return };
        let drop_ins = directory.drop_ins.remove(unit);
        let entry = if has_vendor { directory.units.remove(unit) } else { None };
        if let Some(files) = drop_ins {
            let of = path.join(format!("{unit}.d"));
            self.changes.extend(files.iter().map(|file| Change::Unlink(of.join(file))));
            self.changes.push(Change::Unlink(of));
        }
        self.changes.extend(entry.map(|entry| Change::Unlink(entry.path)));
    }

    /// Removes links by name, by the name of what they lead to, and then those that led to a link that is gone.
    fn remove_marked(&mut self, config: &Path, mut marked: Marked) {
        loop {
            let removed = self.marked_in(config, &marked);
            if removed.is_empty() {
                return;
            }
            let Some(directory) = self.files.tree.directory_mut(config) else { return };
            for link in removed {
                let path = match link {
                    Link::Unit(name) => {
                        directory.units.remove(&name);
                        config.join(name.as_str())
                    }
                    Link::Dependency(of, name) => {
                        let path = config.join(&of).join(name.as_str());
                        directory.dependencies.remove(&(of, name));
                        path
                    }
                };
                marked.paths.insert(path.clone());
                self.changes.push(Change::Unlink(path));
            }
        }
    }

    fn marked_in(&self, config: &Path, marked: &Marked) -> Vec<Link> {
        let Some(directory) = self.tree().directory(config) else { return Vec::new() };
        let is_marked = |name: &UnitName, pointer: &Pointer| {
            let end = self.tree().end_of(pointer);
            let unit = end.file_name().and_then(|name| crate::loader::unit_of(name.to_str()?));
            marked.names.contains(name)
                || name.template().is_some_and(|template| marked.names.contains(&template))
                || unit.is_some_and(|unit| marked.names.contains(&unit))
                || marked.paths.contains(&pointer.target)
        };
        let units = directory.units.iter().filter_map(|(name, entry)| {
            let pointer = entry.pointer.as_ref().filter(|_| entry.means != Means::Mask)?;
            is_marked(name, pointer).then(|| Link::Unit(name.clone()))
        });
        let dependencies =
            directory.dependencies.iter().filter(|((_, name), pointer)| is_marked(name, pointer));
        let dependencies = dependencies.map(|((of, name), _)| Link::Dependency(of.clone(), name.clone()));
        units.chain(dependencies).collect()
    }
}

/// A link that goes.
enum Link {
    Unit(UnitName),
    /// In this directory.
    Dependency(String, UnitName),
}
