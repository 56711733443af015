//! Requests, and the plan that comes of one.
//!
//! Never here: the disk. Invariant: a plan that refuses a part of the request still has what can be done, as with systemctl.

use std::path::{Path, PathBuf};

use sockmgr_unit::{Library, UnitName};

use super::change::{Change, Refusal};
use super::find::{Follow, Found, Is};
use super::preset::PresetMode;
use super::tree::Tree;
use super::{DEFAULT_TARGET, Given, UnitFiles};

/// What is asked for. Operands are names of units or, where it makes sense, absolute paths of unit files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Make the links that `[Install]` asks for.
    Enable(Vec<String>),
    /// Remove all links to the units.
    Disable(Vec<String>),
    /// Both, one after the other.
    Reenable(Vec<String>),
    /// Forbid to start the units.
    Mask(Vec<String>),
    /// Undo that.
    Unmask(Vec<String>),
    /// Make files outside of the search path known.
    Link(Vec<String>),
    /// Remove what was configured over the vendor's files.
    Revert(Vec<String>),
    /// Make units dependencies of another one.
    AddDependency {
        /// The units.
        units: Vec<String>,
        /// The other one.
        target: String,
        /// The kind.
        kind: DependencyWord,
    },
    /// Enable or disable units as the presets say.
    Preset(Vec<String>, PresetMode),
    /// The same for all units.
    PresetAll(PresetMode),
    /// Give a target the name `default.target`.
    SetDefault(String),
}

impl Request {
    /// Every operand.
    pub fn operands(&self) -> Vec<String> {
        match self {
            Self::Enable(units)
            | Self::Disable(units)
            | Self::Reenable(units)
            | Self::Mask(units)
            | Self::Unmask(units)
            | Self::Link(units)
            | Self::Revert(units)
            | Self::Preset(units, _)
            | Self::AddDependency { units, .. } => units.clone(),
            Self::SetDefault(unit) => vec![unit.clone()],
            Self::PresetAll(_) => Vec::new(),
        }
    }
}

/// The kinds of dependencies that links make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependencyWord {
    /// `Wants=`
    Wants,
    /// `Requires=`
    Requires,
    /// `Upholds=`
    Upholds,
}

impl DependencyWord {
    /// The directive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wants => "Wants",
            Self::Requires => "Requires",
            Self::Upholds => "Upholds",
        }
    }

    /// The kind of that name.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Wants, Self::Requires, Self::Upholds].into_iter().find(|kind| kind.as_str() == word)
    }

    /// The end of the directory's name.
    fn end(self) -> &'static str {
        match self {
            Self::Wants => ".wants",
            Self::Requires => ".requires",
            Self::Upholds => ".upholds",
        }
    }
}

/// How it is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// In the runtime directory: until the machine goes down.
    pub runtime: bool,
    /// Replace links that stand in the way.
    pub force: bool,
}

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// In this order.
    pub changes: Vec<Change>,
    /// Whether the units had anything to enable.
    pub has_install: bool,
    /// Whether the request has failed, if only in part.
    pub has_failed: bool,
    /// The directories that may be written to.
    pub(super) written: Vec<PathBuf>,
}

/// A plan in the making.
pub(super) struct Planner {
    pub(super) files: UnitFiles,
    pub(super) config: PathBuf,
    pub(super) manner: Manner,
    pub(super) changes: Vec<Change>,
    /// How many links were asked for, made or there already.
    pub(super) rules: usize,
    pub(super) has_failed: bool,
    pub(super) templates: Templates,
}

/// What becomes of templates that cannot be enabled without an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Templates {
    Refused,
    /// Presets are about all units, whether or not that makes sense for each.
    Skipped,
}

/// Ends a plan where systemctl would end it.
pub(super) struct Stop(pub(super) Refusal);

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

pub(super) fn plan(files: UnitFiles, request: &Request, manner: Manner) -> Plan {
    let written = written(&files.tree);
    let config =
        if manner.runtime { files.tree.runtime.clone() } else { Some(files.tree.configuration.clone()) };
    let Some(config) = config else {
        let changes = vec![Change::Refused(Refusal::NoRuntime)];
        return Plan { changes, has_install: true, has_failed: true, written };
    };
    let templates = match request {
        Request::Preset(..) | Request::PresetAll(_) => Templates::Skipped,
        Request::Enable(_)
        | Request::Disable(_)
        | Request::Reenable(_)
        | Request::Mask(_)
        | Request::Unmask(_)
        | Request::Link(_)
        | Request::Revert(_)
        | Request::AddDependency { .. }
        | Request::SetDefault(_) => Templates::Refused,
    };
    let (changes, rules, has_failed) = (Vec::new(), 0, false);
    let mut planner = Planner { files, config, manner, changes, rules, has_failed, templates };
    if let Err(Stop(refusal)) = planner.request(request) {
        planner.refuse(refusal);
    }
    let Planner { changes, rules, has_failed, .. } = planner;
    Plan { changes, has_install: rules > 0, has_failed, written }
}

/// The directories that may be written to.
pub(super) fn written(tree: &Tree) -> Vec<PathBuf> {
    [Some(&tree.configuration), tree.runtime.as_ref()].into_iter().flatten().cloned().collect()
}

impl Planner {
    fn request(&mut self, request: &Request) -> Result<(), Stop> {
        match request {
            Request::Enable(units) => self.enable(units),
            Request::Disable(units) => self.disable(units),
            Request::Reenable(units) => self.reenable(units),
            Request::Mask(units) => self.mask(units),
            Request::Unmask(units) => self.unmask(units),
            Request::Link(units) => self.link_files(units),
            Request::Revert(units) => self.revert(units),
            Request::AddDependency { units, target, kind } => self.add_dependency(units, target, *kind),
            Request::Preset(units, mode) => self.preset(units, *mode),
            Request::PresetAll(mode) => self.preset_all(*mode),
            Request::SetDefault(unit) => self.set_default(unit),
        }
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.files.tree
    }

    pub(super) fn library(&self) -> &Library {
        &self.files.library
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.changes.push(Change::Refused(refusal));
        self.has_failed = true;
    }

    /// The file that an operand means, which must not be masked.
    pub(super) fn usable(&self, operand: &str, follow: Follow) -> Result<Found, Refusal> {
        let found = match self.files.given.get(operand) {
            Some(given) => {
                let Given { name, path } = given.clone()?;
                Found { name, path, is: Is::Regular }
            }
            None => {
                let found = self.tree().find(&name_of(operand)?, follow);
                found.map_err(|trouble| trouble.refuse(operand))?
            }
        };
        match found.is {
            Is::Regular => Ok(found),
            Is::Masked => Err(Refusal::Masked(found.path)),
        }
    }

    /// A link under a unit's name in the directory that is written to, to a path with the root.
    pub(super) fn link_unit(&mut self, unit: &UnitName, target: &Path, force: bool) {
        let path = self.config.join(unit.as_str());
        let entry = self.tree().link_entry(unit, path.clone(), target.to_owned());
        let there = self.tree().directory(&self.config).and_then(|directory| directory.units.get(unit));
        let there = there.map(|entry| (entry.path.clone(), entry.pointer.clone()));
        let is_there = there.is_some();
        let is_same = there.as_ref().and_then(|(_, pointer)| pointer.as_ref());
        if is_same.is_some_and(|pointer| pointer.target == *target) {
            return;
        }
        if let Some((path, pointer)) = there
            && (pointer.is_none() || !force)
        {
            return self.refuse(Refusal::Exists { path, link: pointer.map(|pointer| pointer.text) });
        }
        let target = self.tree().as_seen_from_root(target);
        let config = self.config.clone();
        if let Some(directory) = self.files.tree.directory_mut(&config) {
            directory.units.insert(unit.clone(), entry);
        }
        self.changes.push(Change::Link { path, target, replaces: is_there });
    }

    fn link_files(&mut self, files: &[String]) -> Result<(), Stop> {
        for file in files {
            let Given { name, path } = match self.files.given.get(file) {
                Some(given) => given.clone()?,
                None => return Err(Refusal::BadName(file.clone()).into()),
            };
            if !self.tree().is_searched(&path) {
                self.link_unit(&name, &path, self.manner.force);
            }
        }
        Ok(())
    }

    fn mask(&mut self, units: &[String]) -> Result<(), Stop> {
        for unit in units {
            let null = self.tree().below_root(Path::new("/dev/null"));
            self.link_unit(&name_of(unit)?, &null, self.manner.force);
        }
        Ok(())
    }

    fn set_default(&mut self, unit: &str) -> Result<(), Stop> {
        let name = name_of(unit)?;
        if name.unit_type() != sockmgr_unit::UnitType::Target || name == DEFAULT_TARGET {
            return Err(Refusal::NotADefault(unit.to_owned()).into());
        }
        let target = match self.usable(unit, Follow::NotConfigured) {
            Ok(found) => found.path,
            // It has no file; any place of the search path will do for its name.
            Err(Refusal::NotFound(_)) if self.library().is_built_in(&name) => {
                let last = self.tree().directories.last().map(|directory| directory.path.clone());
                last.unwrap_or_default().join(name.as_str())
            }
            Err(refusal) => return Err(refusal.into()),
        };
        self.link_unit(&name_of(DEFAULT_TARGET)?, &target, true);
        Ok(())
    }
}

/// The unit that an operand names: by its name, or by the last part of its path.
pub(super) fn name_of(operand: &str) -> Result<UnitName, Refusal> {
    let last = operand.rsplit('/').next().unwrap_or(operand);
    let last = last.strip_suffix(".toml").filter(|_| operand.starts_with('/')).unwrap_or(last);
    last.parse().map_err(|_| Refusal::BadName(operand.to_owned()))
}

/// The directory that holds the dependencies of `unit`.
pub(super) fn dependency_directory(unit: &UnitName, kind: DependencyWord) -> String {
    format!("{unit}{}", kind.end())
}
