//! Unit files on disk: enabling, disabling, masking, presets, and what state a file is in.
//!
//! Always the same way: [`UnitFiles::read`] takes a picture of the directories, [`UnitFiles::plan`] decides on the picture what
//! is to be made and removed (pure), [`Plan::perform`] does it. The command does so itself where no manager runs, the
//! manager for its clients.
//!
//! Never here: units at run time, and whether anybody reads the files again. Invariant: nothing outside of the
//! configuration and the runtime directory of the search path is ever written.

mod change;
mod edit;
mod enable;
mod find;
mod perform;
mod plan;
mod preset;
mod remove;
mod state;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sockmgr_unit::{Fragment, Host, Library, UnitName};

pub use self::change::{Change, Refusal, line};
pub use self::edit::Edit;
use self::find::Trouble;
pub use self::plan::{DependencyWord, Manner, Plan, Request};
use self::preset::Presets;
pub use self::preset::{Preset, PresetMode};
pub use self::state::{UnitFileState, counts_as_enabled};
use self::tree::{Asked, Tree};
pub use crate::loader::SearchPath;
use crate::loader::{Loader, read_source, unit_of};
use crate::paths::Scope;

/// A picture of all unit files.
#[derive(Debug)]
pub struct UnitFiles {
    tree: Tree,
    library: Library,
    presets: Presets,
    given: BTreeMap<String, Result<Given, Refusal>>,
}

/// A unit file that a request names by its path.
#[derive(Clone, Debug)]
struct Given {
    name: UnitName,
    path: PathBuf,
}

/// A unit file in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// The unit that it defines.
    pub unit: UnitName,
    /// The file or link.
    pub path: PathBuf,
    /// What became of it.
    pub state: UnitFileState,
}

impl UnitFiles {
    /// Looks at all directories of `path`, and at those of the `operands` that are paths.
    pub fn read(path: SearchPath, scope: Scope, host: Host, operands: &[String]) -> Self {
        let tree = Tree::read(&path, Asked::All);
        let presets = Presets::read(&path, scope);
        let mut library = Library::with_settings(host, Arc::default());
        let mut given = BTreeMap::new();
        for operand in operands.iter().filter(|operand| operand.starts_with('/')) {
            given.insert(operand.clone(), take_up(&tree, &mut library, operand));
        }
        Loader::new(path).load_into(&mut library);
        Self { tree, library, presets, given }
    }

    /// A picture that is good for questions about this one unit, and costs little.
    pub fn about(unit: &UnitName, path: SearchPath, scope: Scope, host: Host) -> Self {
        let tree = Tree::read(&path, Asked::One(unit));
        let presets = Presets::read(&path, scope);
        let mut library = Library::with_settings(host, Arc::default());
        if let Ok(found) = tree.find(unit, find::Follow::All) {
            Loader::new(path).find(&mut library, &found.name);
        }
        Self { tree, library, presets, given: BTreeMap::new() }
    }

    /// What would have to be done.
    #[must_use]
    pub fn plan(self, request: &Request, manner: Manner) -> Plan {
        plan::plan(self, request, manner)
    }

    /// The state of a unit's file, as `is-enabled` says it.
    ///
    /// # Errors
    /// There is no such file, or what there is cannot be one.
    pub fn state(&self, unit: &UnitName) -> Result<UnitFileState, Refusal> {
        self.tree.state(unit, &self.library).map_err(|trouble| trouble.refuse(unit.as_str()))
    }

    /// What the presets say of a unit.
    pub fn preset(&self, unit: &UnitName) -> Preset {
        self.presets.of(unit)
    }

    /// What is wrong with preset files: each a sentence with its place.
    pub fn preset_problems(&self) -> &[String] {
        self.presets.problems()
    }

    /// All unit files, each name once, sorted.
    pub fn list(&self) -> Vec<ListedFile> {
        let file = |(unit, path): (&UnitName, &Path)| ListedFile {
            unit: unit.clone(),
            path: path.to_owned(),
            state: self.tree.state(unit, &self.library).unwrap_or(UnitFileState::Bad),
        };
        self.tree.files().into_iter().map(file).collect()
    }

    /// The file that the unit comes from, and the drop-ins beside it, whether or not anybody has read them.
    pub fn path_of(&self, unit: &UnitName) -> Option<PathBuf> {
        self.tree.find(unit, find::Follow::All).ok().map(|found| found.path)
    }

    /// The links that there are to a unit's file.
    ///
    /// # Errors
    /// As for [`state`](Self::state).
    pub fn links(&self, unit: &UnitName) -> Result<Vec<PathBuf>, Refusal> {
        let found =
            self.tree.find(unit, find::Follow::All).map_err(|trouble| trouble.refuse(unit.as_str()))?;
        Ok(self.tree.links_to(&found.name))
    }

    /// Whether a link lies in the runtime directory.
    pub fn is_at_runtime(&self, link: &Path) -> bool {
        self.tree.runtime.as_ref().is_some_and(|runtime| link.starts_with(runtime))
    }

    /// The target that `default.target` is a name of.
    ///
    /// # Errors
    /// It leads nowhere.
    pub fn default_target(&self) -> Result<UnitName, Refusal> {
        let default: UnitName =
            DEFAULT_TARGET.parse().map_err(|_| Refusal::NotFound(DEFAULT_TARGET.into()))?;
        match self.tree.find(&default, find::Follow::All) {
            Ok(found) => Ok(found.name),
            Err(Trouble::NotFound) => Ok(default),
            Err(Trouble::Dangling(name)) if self.library.is_built_in(&name) => Ok(name),
            Err(trouble) => Err(trouble.refuse(DEFAULT_TARGET)),
        }
    }
}

/// The name that the manager's target of all that is enabled has.
const DEFAULT_TARGET: &str = "default.target";

/// Reads a unit file that is named by its path; its text counts before that of one of the same name in the search path.
fn take_up(tree: &Tree, library: &mut Library, operand: &str) -> Result<Given, Refusal> {
    let path = tree.below_root(Path::new(operand));
    let bad_name = || Refusal::BadName(operand.to_owned());
    let name = path.file_name().and_then(|name| unit_of(name.to_str()?)).ok_or_else(bad_name)?;
    match path.symlink_metadata() {
        Err(_) => return Err(Refusal::NotFound(operand.to_owned())),
        Ok(metadata) if metadata.is_symlink() => return Err(Refusal::Linked(operand.to_owned())),
        Ok(_) => {}
    }
    let source =
        read_source(&path).map_err(|error| Refusal::Io { path: path.clone(), error: error.to_string() })?;
    library.add_fragment(name.clone(), Fragment::Source(source));
    Ok(Given { name, path })
}
