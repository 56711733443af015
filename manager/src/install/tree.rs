//! The picture: what the directories of a search path hold under the names of units.
//!
//! Never here: decisions, and the texts of files. Invariant: the picture follows every planned change, so that a plan sees
//! what it has decided so far.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use sockmgr_unit::UnitName;

use crate::loader::{Leads, Links, SearchPath, unit_of};

/// The ends of the directories that hold dependencies.
const DEPENDENCY_ENDS: [&str; 3] = [".wants", ".requires", ".upholds"];

/// Which units somebody wants to know of. Of all others it does not matter whether their files are empty.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    All,
    One(&'a UnitName),
}

impl Asked<'_> {
    fn concerns(self, unit: &UnitName) -> bool {
        match self {
            Self::All => true,
            Self::One(asked) => asked == unit || asked.template().is_some_and(|template| template == *unit),
        }
    }
}

/// How the directories are looked at.
struct Look<'a> {
    links: Links,
    asked: Asked<'a>,
}

/// All directories of a search path.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    links: Links,
    pub(super) configuration: PathBuf,
    pub(super) runtime: Option<PathBuf>,
    /// First wins.
    pub(super) directories: Vec<Directory>,
}

/// One directory.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) units: BTreeMap<UnitName, Entry>,
    /// By the name of the directory that holds it (`sockets.target.wants`) and its own.
    pub(super) dependencies: BTreeMap<(String, UnitName), Pointer>,
    /// The names of the files in `web.socket.d`.
    pub(super) drop_ins: BTreeMap<UnitName, Vec<String>>,
}

/// What a directory has under the name of a unit.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) means: Means,
    /// For a link, where it points.
    pub(super) pointer: Option<Pointer>,
}

/// Where a link points.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    /// As it is written.
    pub(super) text: PathBuf,
    /// Absolute, with the root.
    pub(super) target: PathBuf,
}

/// What an entry says of its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// It is defined here.
    File,
    /// It is masked.
    Mask,
    /// It is another name of this one.
    Unit(UnitName),
    /// It is defined by that file.
    Elsewhere(PathBuf),
    /// A link to nothing.
    Nowhere,
    /// Something else; what it is, with its article.
    Other(&'static str),
}

impl Tree {
    /// Looks at everything. A directory that cannot be looked into is as good as empty, as it is for the loader.
    pub(super) fn read(path: &SearchPath, asked: Asked<'_>) -> Self {
        let look = Look { links: Links::of(path), asked };
        let directories = path.directories().iter().map(|path| Directory::read(path, &look)).collect();
        let links = look.links;
        Self {
            root: path.root().to_owned(),
            configuration: path.configuration().to_owned(),
            runtime: path.runtime().map(Path::to_owned),
            directories,
            links,
        }
    }

    /// A path of the system below the root, seen from outside.
    pub(super) fn below_root(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A path as it is seen from the root.
    pub(super) fn as_seen_from_root(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).map_or_else(|_| path.to_owned(), |below| Path::new("/").join(below))
    }

    /// Whether this is one of the two directories that are written to.
    pub(super) fn is_written(&self, directory: &Path) -> bool {
        directory == self.configuration || self.runtime.as_deref() == Some(directory)
    }

    /// Whether a file lies directly in one of the directories.
    pub(super) fn is_searched(&self, file: &Path) -> bool {
        self.links.unit_at(file).is_some()
    }

    pub(super) fn directory(&self, path: &Path) -> Option<&Directory> {
        self.directories.iter().find(|directory| directory.path == path)
    }

    /// The directory, which need not be there yet.
    pub(super) fn directory_mut(&mut self, path: &Path) -> Option<&mut Directory> {
        self.directories.iter_mut().find(|directory| directory.path == path)
    }

    /// Every name once, with the file or link that counts.
    pub(super) fn files(&self) -> BTreeMap<&UnitName, &Path> {
        let mut files = BTreeMap::new();
        for (name, entry) in self.directories.iter().flat_map(|directory| &directory.units) {
            if !matches!(entry.means, Means::Other(_)) {
                files.entry(name).or_insert(entry.path.as_path());
            }
        }
        files
    }

    /// The entry that a link to `target` (with the root) makes for `unit` at `path`.
    pub(super) fn link_entry(&self, unit: &UnitName, path: PathBuf, target: PathBuf) -> Entry {
        let means = match self.links.unit_at(&target) {
            _ if target == self.root.join("dev/null") => Means::Mask,
            Some(name) if name != *unit => Means::Unit(name),
            _ => Means::Elsewhere(target.clone()),
        };
        Entry { path, means, pointer: Some(Pointer { text: self.as_seen_from_root(&target), target }) }
    }

    /// Where a chain of links ends.
    pub(super) fn end_of<'a>(&'a self, pointer: &'a Pointer) -> &'a Path {
        let mut end = pointer;
        // As many as unit files may be linked (`find`).
        for _ in 0..64 {
            let next = end.target.parent().and_then(|parent| {
                let entries = &self.directory(parent)?.units;
                let name = unit_of(end.target.file_name()?.to_str()?)?;
                entries.get(&name)?.pointer.as_ref()
            });
            match next {
                Some(next) => end = next,
                None => break,
            }
        }
        &end.target
    }

    /// All links with the unit's name or to it.
    pub(super) fn links_to(&self, unit: &UnitName) -> Vec<PathBuf> {
        let points = |pointer: &Pointer| pointer.unit().is_some_and(|to| to == *unit);
        let in_directory = |directory: &Directory| {
            let units =
                directory.units.iter().filter(|(_, entry)| entry.pointer.as_ref().is_some_and(points));
            let units = units.map(|(_, entry)| entry.path.clone());
            let dependencies = directory
                .dependencies
                .iter()
                .filter(|((_, name), pointer)| name == unit || points(pointer))
                .map(|((of, name), _)| directory.path.join(of).join(name.as_str()));
            units.chain(dependencies).collect::<Vec<_>>()
        };
        self.directories.iter().flat_map(in_directory).collect()
    }
}

impl Pointer {
    fn read(link: &Path, links: &Links) -> Option<Self> {
        Some(Self { text: fs::read_link(link).ok()?, target: links.target(link).ok()? })
    }

    /// The unit whose name the target has.
    pub(super) fn unit(&self) -> Option<UnitName> {
        unit_of(self.target.file_name()?.to_str()?)
    }
}

impl Directory {
    fn read(path: &Path, look: &Look<'_>) -> Self {
        let mut directory = Self { path: path.to_owned(), ..Self::default() };
        for (name, kind) in entries_of(path) {
            directory.entry(&name, kind, look);
        }
        directory
    }

    fn entry(&mut self, name: &str, kind: FileType, look: &Look<'_>) {
        let path = self.path.join(name);
        if let Some(unit) = name.strip_suffix(".d").and_then(unit_of) {
            self.drop_ins.insert(unit, names_in(&path));
        } else if DEPENDENCY_ENDS.iter().any(|end| name.strip_suffix(end).and_then(unit_of).is_some()) {
            self.dependencies(name, &path, &look.links);
        } else if let Some(unit) = unit_of(name) {
            // `web.socket` comes before `web.socket.toml`, and counts.
            let entry = match kind.is_file() && !look.asked.concerns(&unit) {
                true => Entry { path, means: Means::File, pointer: None },
                false => Entry::read(&unit, path, &look.links),
            };
            self.units.entry(unit).or_insert(entry);
        }
    }

    fn dependencies(&mut self, of: &str, path: &Path, links: &Links) {
        for name in names_in(path) {
            if let (Some(unit), Some(pointer)) = (unit_of(&name), Pointer::read(&path.join(&name), links)) {
                self.dependencies.insert((of.to_owned(), unit), pointer);
            }
        }
    }
}

impl Entry {
    fn read(unit: &UnitName, path: PathBuf, links: &Links) -> Self {
        let Ok(metadata) = path.symlink_metadata() else {
            return Self { path, means: Means::Nowhere, pointer: None };
        };
        let pointer = if metadata.is_symlink() { Pointer::read(&path, links) } else { None };
        let means = match metadata.file_type() {
            kind if kind.is_symlink() => follow(unit, &path, links),
            kind if kind.is_file() && metadata.len() == 0 => Means::Mask,
            kind if kind.is_file() => Means::File,
            kind if kind.is_dir() => Means::Other("a directory"),
            _ => Means::Other("a special file"),
        };
        Self { path, means, pointer }
    }
}

fn follow(unit: &UnitName, path: &Path, links: &Links) -> Means {
    match links.follow(unit, path) {
        Ok(Leads::Mask) => Means::Mask,
        Ok(Leads::Unit(name)) => Means::Unit(name),
        Ok(Leads::Elsewhere { target, real }) => match real.metadata() {
            Ok(metadata) if metadata.is_dir() => Means::Other("a link to a directory"),
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Means::Mask,
            _ => Means::Elsewhere(target),
        },
        Ok(Leads::Nowhere { .. }) | Err(_) => Means::Nowhere,
    }
}

/// What is in a directory, sorted by name; nothing where it cannot be looked into.
fn entries_of(directory: &Path) -> Vec<(String, FileType)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut entries: Vec<(String, FileType)> = entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.file_type().ok()?)))
        .collect();
    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    entries
}

fn names_in(directory: &Path) -> Vec<String> {
    entries_of(directory).into_iter().map(|(name, _)| name).collect()
}
