//! All unit files of a manager as one snapshot, and the units that come from them.
//!
//! Never here: the disk; a loader adds what it found. Invariant: every name has a unit, if only one that was not found.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::draft::{Draft, Finished, Stop};
use crate::drop_in::DropIns;
use crate::name::UnitName;
use crate::section::InstallSection;
use crate::settings::Settings;
use crate::specifier::Host;
use crate::syntax::Syntax;
use crate::unit::{LoadState, Unit};

/// The text of one file.
#[derive(Clone, Debug)]
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

/// How a link in a `.wants` or `.requires` directory depends on its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DependencyKind {
    /// `Wants=`
    Wants,
    /// `Requires=`
    Requires,
}

/// Targets that exist although no file says so.
const BUILT_IN_TARGETS: [&str; 8] = [
    "sockets.target",
    "default.target",
    "basic.target",
    "sysinit.target",
    "shutdown.target",
    "multi-user.target",
    "network.target",
    "network-online.target",
];

/// Links followed from an alias to a file; systemd allows as many (`UNIT_FILE_FOLLOW_SYMLINK_MAX`).
const ALIAS_DEPTH_MAX: usize = 64;

/// All unit files, and the units loaded from them so far.
#[derive(Debug)]
pub struct Library {
    host: Host,
    settings: Arc<Settings>,
    fragments: HashMap<UnitName, Fragment>,
    /// From each alias's target to its aliases.
    aliases: HashMap<UnitName, Vec<UnitName>>,
    drop_ins: DropIns,
    links: HashMap<UnitName, Vec<(DependencyKind, UnitName)>>,
    loaded: HashMap<UnitName, Arc<Unit>>,
    /// Instances of a template all of which are alike but for the name; `None`: they are not.
    templates: HashMap<UnitName, Option<Arc<Unit>>>,
    default_install: Arc<InstallSection>,
    diagnostics: Vec<Diagnostic>,
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
            fragments: HashMap::new(),
            aliases: HashMap::new(),
            drop_ins: DropIns::default(),
            links: HashMap::new(),
            loaded: HashMap::new(),
            templates: HashMap::new(),
            default_install: Arc::default(),
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
        if self.fragments.contains_key(&name) {
            return;
        }
        if let Fragment::Alias(target) = &fragment {
            self.aliases.entry(target.clone()).or_default().push(name.clone());
        }
        self.fragments.insert(name, fragment);
    }

    /// Adds a file of the directory `dir_name` + `.d`: `web.socket`, `web@.service`, `foo-.socket`, or `socket` for all
    /// sockets. `rank` is the position of its directory in the search path, from 0; lower ones win.
    pub fn add_drop_in(&mut self, dir_name: &str, source: Source, rank: usize) {
        self.drop_ins.add(dir_name, source, rank);
    }

    /// Adds a link `target` in the directory `unit` + `.wants` or `.requires`. Both may be templates.
    pub fn add_dependency_link(&mut self, unit: UnitName, kind: DependencyKind, target: UnitName) {
        self.links.entry(unit).or_default().push((kind, target));
    }

    /// Adds something to be said of the files, such as one that the loader refused to open.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Whether a file or link of that very name has been added.
    pub fn contains(&self, name: &UnitName) -> bool {
        self.fragments.contains_key(name)
    }

    /// Every name that has a file or link, templates too, in no order. Drop-ins alone make no unit.
    pub fn names(&self) -> impl Iterator<Item = &UnitName> {
        self.fragments.keys()
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
        if let Some(unit) = self.loaded.get(name) {
            return Arc::clone(unit);
        }
        let unit = match self.find(name) {
            Found::File { id, file } if id == file => self.load_own(&id),
            Found::File { id, file } => return self.load_instance(&id, &file),
            Found::BuiltIn => self.assemble(name, None).0,
            // Not remembered: its file may be added later.
            Found::Nothing => return Arc::new(Unit::bare(name.clone(), LoadState::NotFound)),
        };
        self.loaded.insert(name.clone(), Arc::clone(&unit));
        unit
    }

    /// Follows links from `name` to the file that defines it.
    fn find(&self, name: &UnitName) -> Found {
        let mut id = name.clone();
        for _ in 0..ALIAS_DEPTH_MAX {
            let Some(file) = self.file_of(&id) else {
                return if BUILT_IN_TARGETS.contains(&id.as_str()) { Found::BuiltIn } else { Found::Nothing };
            };
            match &self.fragments[&file] {
                Fragment::Alias(target) => match alias_target(&id, target) {
                    Some(next) => id = next,
                    None => return Found::Nothing,
                },
                Fragment::Source(_) | Fragment::Masked(_) | Fragment::Unreadable(..) => {
                    return Found::File { id, file };
                }
            }
        }
        Found::Nothing
    }

    /// The name under which the files of `id` lie: its own, else its template's.
    fn file_of(&self, id: &UnitName) -> Option<UnitName> {
        let own = self.fragments.contains_key(id).then(|| id.clone());
        own.or_else(|| id.template().filter(|template| self.fragments.contains_key(template)))
    }

    /// Loads a unit from the file of its own name, once for all its names.
    fn load_own(&mut self, id: &UnitName) -> Arc<Unit> {
        if let Some(unit) = self.loaded.get(id) {
            return Arc::clone(unit);
        }
        let (unit, _) = self.assemble(id, Some(id));
        self.loaded.insert(id.clone(), Arc::clone(&unit));
        // The text has done its work, unless it is a template's.
        if let (false, Some(Fragment::Source(source))) = (id.is_template(), self.fragments.get_mut(id)) {
            source.text = Box::default();
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

    /// Reads all files of `id`; `file` is the name its main file has. Also says whether another instance would differ.
    fn assemble(&mut self, id: &UnitName, file: Option<&UnitName>) -> (Arc<Unit>, bool) {
        let aliases = self.aliases_of(id);
        let mut unit = Unit { aliases, ..Unit::bare(id.clone(), LoadState::Loaded) };
        let mut draft = Draft::new(id, &self.host, &self.settings);
        let mut stopped = Ok(());
        match file.and_then(|file| self.fragments.get(file)) {
            Some(Fragment::Source(source)) if source.text.is_empty() => {
                return (masked(unit, &source.path), false);
            }
            Some(Fragment::Masked(path)) => return (masked(unit, path), false),
            Some(Fragment::Unreadable(path, error)) => {
                unit.fragment_path = Some(Arc::from(&**path));
                self.diagnostics.push(Diagnostic::new(Severity::Error, path, error.clone()));
                return (refused(unit, Stop { state: LoadState::Error, error: error.clone() }), false);
            }
            Some(Fragment::Source(source)) => {
                unit.fragment_path = Some(Arc::from(&*source.path));
                stopped = draft.fragment(source);
            }
            // Links have been followed; what is left is built in.
            Some(Fragment::Alias(_)) | None => {}
        }
        let names: Vec<&UnitName> = unit.names().collect();
        let drop_ins = if stopped.is_ok() { self.drop_ins.of(&names) } else { Vec::new() };
        drop_ins.iter().for_each(|drop_in| draft.drop_in(drop_in));
        unit.drop_in_paths = drop_ins.iter().map(|drop_in| drop_in.path.clone()).collect();
        let (wants, requires, links_depend) = dependency_links(&self.links, id);
        draft.add_dependencies(&wants, &requires);

        let Finished { unit: section, install, kind, instance_dependent, diagnostics, check } =
            draft.finish(&self.settings);
        self.diagnostics.extend(diagnostics);
        unit.unit = Arc::new(section);
        unit.install = if install == InstallSection::default() {
            Arc::clone(&self.default_install)
        } else {
            Arc::new(install)
        };
        unit.kind = kind;
        let unit = match stopped.and_then(|()| self.report_check(check, unit.fragment_path.as_deref())) {
            Ok(()) => Arc::new(unit),
            Err(stop) => refused(unit, stop),
        };
        (unit, instance_dependent || links_depend)
    }

    /// A contradiction within a unit is reported where its main file is.
    fn report_check(&mut self, check: Result<(), Stop>, fragment: Option<&Path>) -> Result<(), Stop> {
        if let (Err(stop), Some(path)) = (&check, fragment) {
            self.diagnostics.push(Diagnostic::new(Severity::Error, path, stop.error.clone()));
        }
        check
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

/// What `.wants` and `.requires` directories of a unit, and of its template, add; and whether that differs by instance.
fn dependency_links(
    links: &HashMap<UnitName, Vec<(DependencyKind, UnitName)>>,
    id: &UnitName,
) -> (Vec<UnitName>, Vec<UnitName>, bool) {
    let (mut wants, mut requires, mut by_instance) = (Vec::new(), Vec::new(), false);
    let of_template = id.template().and_then(|template| links.get(&template));
    for (kind, target) in links.get(id).into_iter().chain(of_template).flatten() {
        by_instance |= target.is_template();
        let Some(target) = instantiated(target, id) else {
            continue;
        };
        match kind {
            DependencyKind::Wants => wants.push(target),
            DependencyKind::Requires => requires.push(target),
        }
    }
    (wants, requires, by_instance)
}

/// A link to a template means the instance of the same name.
fn instantiated(target: &UnitName, id: &UnitName) -> Option<UnitName> {
    if target.is_template() { target.with_instance(id.instance()?).ok() } else { Some(target.clone()) }
}

fn masked(unit: Unit, path: &Path) -> Arc<Unit> {
    let fragment_path = Some(Arc::from(path));
    Arc::new(Unit { load_state: LoadState::Masked, fragment_path, ..unit })
}

fn refused(unit: Unit, stop: Stop) -> Arc<Unit> {
    Arc::new(Unit { load_state: stop.state, load_error: Some(stop.error), ..unit })
}
