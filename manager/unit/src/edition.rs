//! The unit files of one template as texts, so that what they said can be loaded when the disk says something else.
//!
//! Invariant: [`Library::unit_of_edition`] gives the unit that the library would have given when the edition was taken.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::library::{DependencyKind, Fragment, Library, Source};
use crate::name::UnitName;
use crate::unit::Unit;

/// What the search path has for the instances of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    pub(crate) template: UnitName,
    pub(crate) fragment: Source,
    /// With directory and rank.
    pub(crate) drop_ins: Vec<(Box<str>, usize, Source)>,
    pub(crate) links: Vec<(UnitName, DependencyKind, UnitName)>,
}

impl Library {
    /// The unit of this name, as the edition has it.
    pub fn unit_of_edition(&self, edition: &Edition, name: &UnitName) -> Arc<Unit> {
        let mut library = Self::with_settings(self.host().clone(), Arc::clone(self.settings()));
        library.add_fragment(edition.template.clone(), Fragment::Source(edition.fragment.clone()));
        for (directory, rank, source) in &edition.drop_ins {
            library.add_drop_in(directory, source.clone(), *rank);
        }
        for (unit, kind, target) in &edition.links {
            library.add_dependency_link(unit.clone(), *kind, target.clone());
        }
        library.unit(name)
    }
}
