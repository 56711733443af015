//! Looks through the directories and puts what it finds into the library.
//!
//! Never here: precedence beyond "the first directory wins", which is the library's. Invariant: a directory is listed
//! once, and a file is opened only if its name can matter.

use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use sockmgr_unit::{DependencyKind, Diagnostic, Fragment, Library, Severity, Source, UnitName, UnitType};

use super::link::{Leads, Links};
use super::{SearchPath, file, syntax_of};

/// Directories of drop-ins and dependency links, by the end of their names.
const LINK_DIRECTORIES: [(&str, DependencyKind); 3] = [
    (".wants", DependencyKind::Wants),
    (".requires", DependencyKind::Requires),
    (".upholds", DependencyKind::Upholds),
];

/// What the name of a directory entry says.
#[derive(Debug, PartialEq, Eq)]
enum Entry<'a> {
    Unit(UnitName),
    DropIns(&'a str),
    Links(UnitName, DependencyKind),
    Other,
}

pub(super) struct Scan<'a> {
    library: &'a mut Library,
    directories: &'a [PathBuf],
    links: Links,
}

impl<'a> Scan<'a> {
    pub(super) fn new(library: &'a mut Library, path: &'a SearchPath) -> Self {
        Self { library, directories: path.directories(), links: Links::of(path) }
    }

    /// Everything in all directories.
    pub(super) fn all(mut self) {
        let directories = self.directories;
        for (rank, directory) in directories.iter().enumerate() {
            let entries = self.list(directory);
            for (name, file_type) in &entries {
                let Some(name) = name.to_str() else {
                    continue;
                };
                self.entry(rank, directory, name, *file_type);
                self.report_hidden(directory, name, &entries);
            }
        }
    }

    /// The files of these units; and where there is one now, what lies in directories named for them. Without one those
    /// directories mean nothing, and have mostly been read before.
    pub(super) fn again(mut self, units: &[UnitName]) {
        self.ends_of(units, &["", ".toml"]);
        if units.iter().any(|unit| self.library.contains(unit)) {
            self.ends_of(units, &[".d", ".wants", ".requires", ".upholds"]);
        }
    }

    fn ends_of(&mut self, units: &[UnitName], ends: &[&str]) {
        let directories = self.directories;
        for (rank, directory) in directories.iter().enumerate() {
            for name in units.iter().flat_map(|unit| ends.iter().map(move |end| format!("{unit}{end}"))) {
                if let Ok(metadata) = fs::symlink_metadata(directory.join(&name)) {
                    self.entry(rank, directory, &name, metadata.file_type());
                }
            }
        }
    }

    fn entry(&mut self, rank: usize, directory: &Path, name: &str, file_type: FileType) {
        let path = directory.join(name);
        match classify(name) {
            Entry::Unit(unit) => self.unit(unit, &path, file_type),
            Entry::DropIns(of) => self.drop_ins(of, rank, &path),
            Entry::Links(unit, kind) => self.links(&unit, kind, &path),
            Entry::Other => {}
        }
    }

    /// The entries of a directory by name; a directory that is not there has none.
    fn list(&mut self, directory: &Path) -> Vec<(OsString, FileType)> {
        let entries = fs::read_dir(directory).and_then(|entries| {
            entries.map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?)))).collect()
        });
        match entries {
            Ok(entries) => {
                let mut entries: Vec<_> = entries;
                entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                entries
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Vec::new()
            }
            Err(error) => {
                self.report(Severity::Warning, directory, format!("cannot look into the directory: {error}"));
                Vec::new()
            }
        }
    }

    fn unit(&mut self, unit: UnitName, path: &Path, file_type: FileType) {
        if self.library.contains(&unit) || file_type.is_dir() {
            return;
        }
        let fragment = if file_type.is_symlink() {
            self.link(&unit, path)
        } else if file_type.is_file() {
            Some(fragment(path, file::read_no_link(path)))
        } else {
            Some(Fragment::Unreadable(path.into(), format!("is {}, not a file", file::kind(file_type))))
        };
        if let Some(fragment) = fragment {
            self.library.add_fragment(unit, fragment);
        }
    }

    /// What a link under a unit's name means: a mask, another name of a unit in the search path, or a file elsewhere.
    fn link(&mut self, unit: &UnitName, path: &Path) -> Option<Fragment> {
        match self.links.follow(unit, path) {
            Ok(Leads::Mask) => Some(Fragment::Masked(path.into())),
            Ok(Leads::Unit(name)) => Some(Fragment::Alias(name)),
            Ok(Leads::Elsewhere { real, .. }) => Some(linked(path, &real)),
            Ok(Leads::Nowhere { target, error }) => {
                self.report(
                    Severity::Warning,
                    path,
                    format!("the link to {} leads nowhere: {error}", target.display()),
                );
                None
            }
            Err(error) => Some(Fragment::Unreadable(path.into(), error.to_string())),
        }
    }

    fn drop_ins(&mut self, of: &str, rank: usize, directory: &Path) {
        for (name, _) in self.list(directory) {
            let Some(name) = name.to_str() else {
                continue;
            };
            let path = directory.join(name);
            if name.starts_with('.') || !(name.ends_with(".conf") || name.ends_with(".toml")) {
                continue;
            }
            match drop_in_text(&path) {
                Ok(text) => {
                    let source = Source { syntax: syntax_of(&path), path: path.into(), text: text.into() };
                    self.library.add_drop_in(of, source, rank);
                }
                Err(error) => {
                    self.report(Severity::Error, &path, format!("cannot read the drop-in: {error}"))
                }
            }
        }
    }

    fn links(&mut self, unit: &UnitName, kind: DependencyKind, directory: &Path) {
        for (name, file_type) in self.list(directory) {
            let target = name.to_str().and_then(unit_of);
            let path = directory.join(&name);
            let masked = || fs::read_link(&path).is_ok_and(|target| target == Path::new("/dev/null"));
            match target {
                Some(_) if !file_type.is_symlink() => {
                    self.report(Severity::Warning, &path, "is not a link, and adds no dependency".to_owned());
                }
                Some(target) if !masked() => self.library.add_dependency_link(unit.clone(), kind, target),
                Some(_) | None => {}
            }
        }
    }

    /// `web.socket.toml` beside `web.socket` would go unnoticed.
    fn report_hidden(&mut self, directory: &Path, name: &str, entries: &[(OsString, FileType)]) {
        let Some(plain) = name.strip_suffix(".toml").filter(|_| unit_of(name).is_some()) else {
            return;
        };
        if entries.binary_search_by(|(entry, _)| entry.as_os_str().cmp(OsStr::new(plain))).is_ok() {
            let message = format!("is ignored, because {plain} is there too");
            self.report(Severity::Warning, &directory.join(name), message);
        }
    }

    fn report(&mut self, severity: Severity, path: &Path, message: String) {
        self.library.report(Diagnostic::new(severity, path, message));
    }
}

fn classify(name: &str) -> Entry<'_> {
    if name.starts_with('.') {
        return Entry::Other;
    }
    if let Some(of) = name.strip_suffix(".d") {
        let has_drop_ins = of.parse::<UnitName>().is_ok() || UnitType::from_suffix(of).is_some();
        return if has_drop_ins { Entry::DropIns(of) } else { Entry::Other };
    }
    for (end, kind) in LINK_DIRECTORIES {
        if let Some(unit) = name.strip_suffix(end) {
            return unit.parse().map_or(Entry::Other, |unit| Entry::Links(unit, kind));
        }
    }
    unit_of(name).map_or(Entry::Other, Entry::Unit)
}

/// The unit that a file of this name defines: `web.socket` and `web.socket.toml` define the same.
pub(crate) fn unit_of(name: &str) -> Option<UnitName> {
    let name = name.strip_suffix(".toml").unwrap_or(name);
    (!name.starts_with('.')).then(|| name.parse().ok())?
}

fn fragment(path: &Path, text: io::Result<Vec<u8>>) -> Fragment {
    match text {
        Ok(text) if text.is_empty() => Fragment::Masked(path.into()),
        Ok(text) => {
            Fragment::Source(Source { path: path.into(), text: text.into(), syntax: syntax_of(path) })
        }
        Err(error) => Fragment::Unreadable(path.into(), format!("cannot be read: {error}")),
    }
}

/// A file outside the search path: known by the link's name, written in the syntax that either name says.
fn linked(path: &Path, real: &Path) -> Fragment {
    match fragment(path, file::read(real)) {
        Fragment::Source(source) => {
            let syntax =
                if syntax_of(real) == syntax_of(path) { source.syntax } else { sockmgr_unit::Syntax::Toml };
            Fragment::Source(Source { syntax, ..source })
        }
        other => other,
    }
}

/// A link to `/dev/null` is an empty drop-in: it hides others of its name.
fn drop_in_text(path: &Path) -> io::Result<Vec<u8>> {
    let is_mask = fs::canonicalize(path).is_ok_and(|real| real == Path::new("/dev/null"));
    if is_mask { Ok(Vec::new()) } else { file::read(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_an_entry_is() {
        let unit = |name: &str| Entry::Unit(name.parse().unwrap());
        let wants = Entry::Links("a.target".parse().unwrap(), DependencyKind::Wants);
        let cases = [
            ("web.socket", unit("web.socket")),
            ("web@.service", unit("web@.service")),
            ("web.socket.toml", unit("web.socket")),
            ("web.socket.d", Entry::DropIns("web.socket")),
            ("web-.socket.d", Entry::DropIns("web-.socket")),
            ("socket.d", Entry::DropIns("socket")),
            ("a.target.wants", wants),
            ("conf.d", Entry::Other),
            ("web.socket~", Entry::Other),
            ("web.socket.bak", Entry::Other),
            ("web.socket.dpkg-new", Entry::Other),
            (".web.socket", Entry::Other),
            (".web.socket.d", Entry::Other),
            ("README", Entry::Other),
            ("sockmgr.toml", Entry::Other),
        ];
        for (name, expected) in cases {
            assert_eq!(classify(name), expected, "{name}");
        }
    }
}
