//! All unit files of a manager as one snapshot, and the units that come from them.
//!
//! Never here: the disk; a loader adds what it found. Invariant: every name has a unit, if only one that was not found.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;
use crate::draft::{Draft, Finished, Pool, Stop};
use crate::drop_in::DropIns;
use crate::edition::Edition;
use crate::name::UnitName;
use crate::section::{InstallSection, UnitSection};
use crate::settings::Settings;
use crate::specifier::Host;
use crate::syntax::Syntax;
use crate::targets;
use crate::unit::{LoadState, Unit};

/// The text of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where it was found.
    pub path: Box<Path>,
    /// All of it.
    pub text: Box<[u8]>,
    /// How it is written.
    pub syntax: Syntax,
}

/// What the search path has under a unit's name.
#[derive(Clone, Debug)]
pub enum Fragment {
    /// A file.
    Source(Source),
    /// A link to `/dev/null`, or an empty file: the unit cannot be started.
    Masked(Box<Path>),
    /// A link to another unit's name.
    Alias(UnitName),
    /// Something that cannot be read; the text says why.
    Unreadable(Box<Path>, String),
}

impl Fragment {
    /// The file or link itself; aliases have none that matters.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Source(source) => Some(&source.path),
            Self::Masked(path) | Self::Unreadable(path, _) => Some(path),
            Self::Alias(_) => None,
        }
    }
}

/// How a link in a `.wants`, `.requires` or `.upholds` directory depends on its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DependencyKind {
    /// `Wants=`
    Wants,
    /// `Requires=`
    Requires,
    /// `Upholds=`
    Upholds,
}

/// Links followed from an alias to a file; systemd allows as many (`UNIT_FILE_FOLLOW_SYMLINK_MAX`).
const ALIAS_DEPTH_MAX: usize = 64;

/// All unit files, and the units loaded from them so far.
#[derive(Clone, Debug)]
pub struct Library {
    host: Host,
    settings: Arc<Settings>,
    files: HashMap<UnitName, File>,
    /// From each alias's target to its aliases.
    aliases: HashMap<UnitName, Vec<UnitName>>,
    drop_ins: DropIns,
    links: HashMap<UnitName, Vec<(DependencyKind, UnitName)>>,
    built_in: HashMap<UnitName, Arc<Unit>>,
    /// Instances of a template all of which are alike but for the name; `None`: they are not.
    templates: HashMap<UnitName, Option<Arc<Unit>>>,
    pool: Pool,
    diagnostics: Vec<Diagnostic>,
}

/// What has become of a name's file.
#[derive(Clone, Debug)]
enum File {
    /// Nobody has asked for the unit yet; or it is a template or alias, which is looked at again and again.
    Fragment(Box<Fragment>),
    /// The unit is all that is left of the file.
    Loaded(Arc<Unit>),
}

/// Where a name leads.
enum Found {
    /// To a file of that name (for an instance: its own or its template's).
    File {
        id: UnitName,
        file: UnitName,
    },
    /// To a target that is built in.
    BuiltIn,
    Nothing,
}

impl Library {
    /// A library without files, with default settings.
    pub fn new(host: Host) -> Self {
        Self::with_settings(host, Arc::default())
    }

    /// A library without files; `settings` has the defaults for what units do not say.
    pub fn with_settings(host: Host, settings: Arc<Settings>) -> Self {
        Self {
            host,
            settings,
            files: HashMap::new(),
            aliases: HashMap::new(),
            drop_ins: DropIns::default(),
            links: HashMap::new(),
            built_in: HashMap::new(),
            templates: HashMap::new(),
            pool: Pool::default(),
            diagnostics: Vec::new(),
        }
    }

    /// What specifiers speak of.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The settings that units take their defaults from.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Adds what the search path has under `name`. The first one wins: call in order of the search path.
    pub fn add_fragment(&mut self, name: UnitName, fragment: Fragment) {
        if self.files.contains_key(&name) {
            return;
        }
        if let Fragment::Alias(target) = &fragment {
            self.aliases.entry(target.clone()).or_default().push(name.clone());
        }
        self.files.insert(name, File::Fragment(Box::new(fragment)));
    }

    /// Adds a file of the directory `dir_name` + `.d`: `web.socket`, `web@.service`, `foo-.socket`, or `socket` for all
    /// sockets. `rank` is the position of its directory in the search path, from 0; lower ones win.
    pub fn add_drop_in(&mut self, dir_name: &str, source: Source, rank: usize) {
        self.drop_ins.add(dir_name, source, rank);
    }

    /// Adds a link `target` in the directory `unit` + `.wants`, `.requires` or `.upholds`. Both may be templates.
    pub fn add_dependency_link(&mut self, unit: UnitName, kind: DependencyKind, target: UnitName) {
        self.links.entry(unit).or_default().push((kind, target));
    }

    /// Adds something to be said of the files, such as one that the loader refused to open.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Whether a file or link of that very name has been added.
    pub fn contains(&self, name: &UnitName) -> bool {
        self.files.contains_key(name)
    }

    /// Every name that has a file or link, templates too, in no order. Drop-ins alone make no unit.
    pub fn names(&self) -> impl Iterator<Item = &UnitName> {
        self.files.keys()
    }

    /// Targets that exist although no file says so.
    pub fn built_in_names(&self) -> impl Iterator<Item = UnitName> {
        targets::names(self.host.manager)
    }

    /// What has been found since the last call, in the order of loading.
    pub fn take_diagnostics(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.diagnostics)
    }

    /// The unit of that name: from its file, its template's, or the one that it is another name of.
    ///
    /// A unit is loaded once, except that the instances of a template are made anew at each call (they come and go by
    /// the thousand); its diagnostics are given once in any case.
    pub fn unit(&mut self, name: &UnitName) -> Arc<Unit> {
        match self.find(name) {
            Found::File { id, file } if id == file => self.load_own(&file),
            Found::File { id, file } => self.load_instance(&id, &file),
            Found::BuiltIn => self.load_built_in(name),
            Found::Nothing => Arc::new(Unit::bare(name.clone(), LoadState::NotFound)),
        }
    }

    /// Whether this is a target that exists although no file says so.
    pub fn is_built_in(&self, name: &UnitName) -> bool {
        targets::text(name, self.host.manager).is_some()
    }

    /// `[Install]` of a unit, whatever else its files say, and what is wrong with it; that of a template as its default
    /// instance has it. For a library that no unit has been loaded from: of a loaded one the text is gone.
    pub fn install(&self, name: &UnitName) -> (InstallSection, Vec<Diagnostic>) {
        let Found::File { id, file } = self.find(name) else { return Default::default() };
        let read = |as_unit: &UnitName| {
            let mut draft = Draft::of_install(as_unit, &self.host, &self.settings);
            self.fragment(&file).into_iter().for_each(|fragment| draft.fragment(fragment));
            self.drop_ins.of_very(&id).into_iter().for_each(|drop_in| draft.drop_in(drop_in));
            draft.into_install()
        };
        let own = read(&id);
        let instance = own.0.default_instance.as_deref().filter(|_| id.is_template());
        match instance.and_then(|instance| id.with_instance(instance).ok()) {
            Some(instance) => read(&instance),
            None => own,
        }
    }

    /// The unit's own name, where `name` is a link to it.
    pub fn alias_target(&self, name: &UnitName) -> Option<UnitName> {
        match self.find(name) {
            Found::File { id, .. } => (id != *name).then_some(id),
            Found::BuiltIn | Found::Nothing => None,
        }
    }

    /// The file that a unit comes from, and the drop-ins in directories of its own name. `None`: there is no file, or no
    /// unit has been loaded from it.
    pub fn files(&self, name: &UnitName) -> Option<(&Path, Vec<&Path>)> {
        let Found::File { id, file } = self.find(name) else { return None };
        let drop_ins = self.drop_ins.of_very(&id).into_iter().map(|drop_in| &*drop_in.path);
        Some((self.fragment(&file)?.path()?, drop_ins.collect()))
    }

    /// The files that these instances of one template are made of; `None` where they have no template of their name, or one of them
    /// has a file of its own.
    pub fn edition(&self, instances: &[UnitName]) -> Option<Edition> {
        let template = instances.first()?.template()?;
        if instances.iter().any(|name| self.file_of(name).as_ref() != Some(&template)) {
            return None;
        }
        let Some(Fragment::Source(fragment)) = self.fragment(&template) else { return None };
        let links = instances.iter().chain([&template]).flat_map(|unit| {
            let of_unit = self.links.get(unit).into_iter().flatten();
            of_unit.map(|(kind, target)| (unit.clone(), *kind, target.clone()))
        });
        let (drop_ins, links) = (self.drop_ins.all_of(instances), links.collect());
        Some(Edition { template, fragment: fragment.clone(), drop_ins, links })
    }

    /// Follows links from `name` to the file that defines it.
    fn find(&self, name: &UnitName) -> Found {
        let mut id = name.clone();
        for _ in 0..ALIAS_DEPTH_MAX {
            let Some(file) = self.file_of(&id) else {
                return if targets::text(&id, self.host.manager).is_some() {
                    Found::BuiltIn
                } else {
                    Found::Nothing
                };
            };
            let Some(Fragment::Alias(target)) = self.fragment(&file) else {
                return Found::File { id, file };
            };
            match alias_target(&id, target) {
                Some(next) => id = next,
                None => return Found::Nothing,
            }
        }
        Found::Nothing
    }

    /// The name under which the files of `id` lie: its own, else its template's.
    fn file_of(&self, id: &UnitName) -> Option<UnitName> {
        let known = |name: &UnitName| self.files.get_key_value(name).map(|(name, _)| name.clone());
        known(id).or_else(|| known(&id.template()?))
    }

    /// The file of that name, unless it has been loaded and forgotten.
    fn fragment(&self, file: &UnitName) -> Option<&Fragment> {
        match self.files.get(file)? {
            File::Fragment(fragment) => Some(fragment),
            File::Loaded(_) => None,
        }
    }

    fn load_built_in(&mut self, target: &UnitName) -> Arc<Unit> {
        if let Some(unit) = self.built_in.get(target) {
            return Arc::clone(unit);
        }
        let (unit, _) = self.assemble(target, None);
        self.built_in.insert(target.clone(), Arc::clone(&unit));
        unit
    }

    /// Loads a unit from the file of its own name, once for all its names.
    fn load_own(&mut self, id: &UnitName) -> Arc<Unit> {
        if let Some(File::Loaded(unit)) = self.files.get(id) {
            return Arc::clone(unit);
        }
        let (unit, _) = self.assemble(id, Some(id));
        // A template's text makes instances.
        if !id.is_template() {
            self.files.insert(id.clone(), File::Loaded(Arc::clone(&unit)));
        }
        unit
    }

    /// Makes an instance, from what its siblings have where they are alike.
    fn load_instance(&mut self, id: &UnitName, template: &UnitName) -> Arc<Unit> {
        let has_own_files = self.links.contains_key(id) || self.drop_ins.has_own(id);
        let known = self.templates.get(template).cloned();
        if let (false, Some(Some(sibling))) = (has_own_files, &known) {
            let aliases = self.aliases_of(id);
            return Arc::new(Unit { name: id.clone(), aliases, ..Unit::clone(sibling) });
        }
        let said = self.diagnostics.len();
        let (unit, instance_dependent) = self.assemble(id, Some(template));
        if known.is_some() {
            self.diagnostics.truncate(said);
        } else if !has_own_files {
            self.templates.insert(template.clone(), (!instance_dependent).then(|| Arc::clone(&unit)));
        }
        unit
    }

    /// Makes the unit `id`; `file` is the name its main file has. Also says whether another instance would differ.
    fn assemble(&mut self, id: &UnitName, file: Option<&UnitName>) -> (Arc<Unit>, bool) {
        let aliases = self.aliases_of(id);
        let mut unit = Unit { aliases, ..Unit::bare(id.clone(), LoadState::Loaded) };
        let mut finished = self.read(&mut unit, file);
        self.diagnostics.append(&mut finished.diagnostics);
        self.share_names(&mut finished.unit);
        self.pool.share(&mut finished);
        if let Err(Stop { state, error }) = finished.outcome {
            (unit.load_state, unit.load_error) = (state, error);
        }
        let unit = Unit {
            unit: Arc::new(finished.unit),
            relations: finished.relations,
            conditions: finished.conditions,
            implied: finished.implied,
            install: finished.install,
            kind: finished.kind,
            ..unit
        };
        (Arc::new(unit), finished.instance_dependent)
    }

    /// Reads all files of a unit, and notes in it which they are.
    fn read(&self, unit: &mut Unit, file: Option<&UnitName>) -> Finished {
        let id = unit.name.clone();
        let mut draft = Draft::new(&id, &self.host, &self.settings);
        if let Some(fragment) = file.and_then(|file| self.fragment(file)) {
            unit.fragment_path = fragment.path().map(Arc::from);
            draft.fragment(fragment);
        } else if let Some(text) = targets::text(&id, self.host.manager) {
            draft.built_in(text);
        }
        if draft.is_usable() {
            let drop_ins = self.drop_ins.of(&unit.names().collect::<Vec<_>>());
            drop_ins.iter().for_each(|drop_in| draft.drop_in(drop_in));
            unit.drop_in_paths = drop_ins.iter().map(|drop_in| drop_in.path.clone()).collect();
            self.add_dependency_links(&id, &mut draft);
        }
        draft.finish(&self.settings)
    }

    /// What `.wants`, `.requires` and `.upholds` directories of the unit, and of its template, add.
    fn add_dependency_links(&self, id: &UnitName, draft: &mut Draft<'_>) {
        let of_template = id.template().and_then(|template| self.links.get(&template));
        for (kind, target) in self.links.get(id).into_iter().chain(of_template).flatten() {
            draft.add_dependency(*kind, target);
        }
    }

    /// Names that have a file are kept once.
    fn share_names(&self, section: &mut UnitSection) {
        let UnitSection { after, before, requires, wants, .. } = section;
        for name in [after, before, requires, wants].into_iter().flatten() {
            if let Some((known, _)) = self.files.get_key_value(name) {
                *name = known.clone();
            }
        }
    }

    /// The names of all links that lead to `id`.
    fn aliases_of(&self, id: &UnitName) -> Box<[UnitName]> {
        let mut found: Vec<UnitName> = Vec::new();
        let mut at = 0;
        let mut target = Some(id.clone());
        while let Some(name) = target {
            let direct = self.aliases.get(&name).into_iter().flatten().cloned();
            let by_template = name.template().into_iter().flat_map(|template| {
                let links = self.aliases.get(&template).into_iter().flatten();
                links.filter_map(|link| alias_of_instance(link, &name)).collect::<Vec<_>>()
            });
            for alias in direct.chain(by_template) {
                if alias != *id && !found.contains(&alias) && alias_target(&alias, &name).is_some() {
                    found.push(alias);
                }
            }
            target = found.get(at).cloned();
            at += 1;
        }
        found.into()
    }
}

/// The unit that a link `alias` to `target` names; `None` where the two do not fit (systemd.unit(5), "Aliases").
fn alias_target(alias: &UnitName, target: &UnitName) -> Option<UnitName> {
    if alias.unit_type() != target.unit_type() {
        return None;
    }
    match (alias.instance(), target.instance()) {
        (Some(instance), None) if target.is_template() => target.with_instance(instance).ok(),
        (Some(instance), Some(same)) => (instance == same).then(|| target.clone()),
        (None, None) => (alias.is_template() == target.is_template()).then(|| target.clone()),
        (Some(_), None) | (None, Some(_)) => None,
    }
}

/// The name that `link`, a link to the template of `name`, gives this instance.
fn alias_of_instance(link: &UnitName, name: &UnitName) -> Option<UnitName> {
    let instance = name.instance()?;
    match link.instance() {
        Some(own) => (own == instance).then(|| link.clone()),
        None => link.is_template().then(|| link.with_instance(instance).ok())?,
    }
}
