//! Drop-ins: which of them a unit has, and in which order (systemd.unit(5), "Description").
//!
//! Never here: what is in them. Invariant: of all files of one name a unit gets one, and it gets them sorted by name.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;

use crate::library::Source;
use crate::name::{UnitName, UnitType};

/// All drop-ins, by the directory's name without `.d`.
#[derive(Clone, Debug, Default)]
pub(crate) struct DropIns {
    by_directory: HashMap<Box<str>, Vec<Ranked>>,
}

#[derive(Clone, Debug)]
struct Ranked {
    rank: usize,
    source: Source,
}

impl DropIns {
    pub(crate) fn add(&mut self, directory: &str, source: Source, rank: usize) {
        self.by_directory.entry(directory.into()).or_default().push(Ranked { rank, source });
    }

    /// Whether any directory is for this very instance (`web@1.service.d`, `web-@1.service.d`).
    pub(crate) fn has_own(&self, instance: &UnitName) -> bool {
        let mut shared = Vec::new();
        if let Some(template) = instance.template() {
            add_directories(template.as_str(), instance.unit_type(), &mut shared);
        }
        let mut all = Vec::new();
        add_directories(instance.as_str(), instance.unit_type(), &mut all);
        all.iter().any(|directory| {
            !shared.contains(directory) && self.by_directory.contains_key(directory.as_str())
        })
    }

    /// The drop-ins of a unit with these names (its own first), in the order in which they apply.
    ///
    /// Of several files of one name, the one counts whose directory comes first: by name, search path, and how special
    /// it is; those for all units of a type come last. An empty file hides the others, and is among those of the unit.
    pub(crate) fn of(&self, names: &[&UnitName]) -> Vec<&Source> {
        if self.by_directory.is_empty() {
            return Vec::new();
        }
        let mut chosen = BTreeMap::new();
        for name in names {
            let mut directories = Vec::new();
            add_directories(name.as_str(), name.unit_type(), &mut directories);
            let candidates = directories.iter().enumerate().flat_map(|(speciality, directory)| {
                self.files(directory).map(move |ranked| (ranked.rank, speciality, &ranked.source))
            });
            choose(&mut chosen, candidates.collect());
        }
        if let Some(name) = names.first() {
            let of_type = self.files(name.unit_type().as_str());
            choose(&mut chosen, of_type.map(|ranked| (ranked.rank, 0, &ranked.source)).collect());
        }
        chosen.into_values().collect()
    }

    /// Those of them that lie in a directory of the very name of the unit, or of its template: `[Install]` is read from no
    /// others.
    pub(crate) fn of_very(&self, unit: &UnitName) -> Vec<&Source> {
        let mut chosen = BTreeMap::new();
        let names = [Some(unit.clone()), unit.template()];
        let of_name = |(speciality, name): (usize, UnitName)| {
            let files = self.files(name.as_str());
            files.map(|ranked| (ranked.rank, speciality, &ranked.source)).collect::<Vec<_>>()
        };
        choose(&mut chosen, names.into_iter().flatten().enumerate().flat_map(of_name).collect());
        chosen.into_values().collect()
    }

    /// Every file that any of these units might have, with its directory and rank.
    pub(crate) fn all_of(&self, names: &[UnitName]) -> Vec<(Box<str>, usize, Source)> {
        let mut directories = Vec::new();
        for name in names {
            let mut of_name = vec![name.unit_type().as_str().to_owned()];
            add_directories(name.as_str(), name.unit_type(), &mut of_name);
            of_name.retain(|directory| !directories.contains(directory));
            directories.append(&mut of_name);
        }
        let files = |directory: &String| {
            let of_directory = self.files(directory);
            of_directory
                .map(|ranked| (directory.as_str().into(), ranked.rank, ranked.source.clone()))
                .collect::<Vec<_>>()
        };
        directories.iter().flat_map(files).collect()
    }

    fn files(&self, directory: &str) -> impl Iterator<Item = &Ranked> {
        self.by_directory.get(directory).into_iter().flatten()
    }
}

/// Of the files with names that were not chosen yet, those of the lowest rank and then speciality.
fn choose<'a>(chosen: &mut BTreeMap<&'a OsStr, &'a Source>, mut candidates: Vec<(usize, usize, &'a Source)>) {
    candidates.sort_by_key(|(rank, speciality, _)| (*rank, *speciality));
    for (_, _, source) in candidates {
        if let Some(name) = source.path.file_name() {
            chosen.entry(name).or_insert(source);
        }
    }
}

/// The directories of a name, the most special one first: its own, its template's, and those of the names cut after
/// each dash (`foo-bar.socket`, `foo-.socket`).
fn add_directories(name: &str, unit_type: UnitType, directories: &mut Vec<String>) {
    if directories.iter().any(|known| known == name) {
        return;
    }
    directories.push(name.to_owned());
    let suffix = unit_type.as_str();
    let Some(stem) = name.strip_suffix(suffix).and_then(|stem| stem.strip_suffix('.')) else {
        return;
    };
    let (prefix, instance) = match stem.split_once('@') {
        Some((prefix, instance)) => (prefix, Some(instance).filter(|instance| !instance.is_empty())),
        None => (stem, None),
    };
    if instance.is_some() {
        add_directories(&format!("{prefix}@.{suffix}"), unit_type, directories);
    }
    if let Some(cut) = cut_after_dash(prefix) {
        let shorter = match instance {
            Some(instance) => format!("{cut}@{instance}.{suffix}"),
            None => format!("{cut}.{suffix}"),
        };
        add_directories(&shorter, unit_type, directories);
    }
}

/// `foo-bar` → `foo-`; `foo-` has been cut before, so `foo-bar-` → `foo-`.
fn cut_after_dash(prefix: &str) -> Option<&str> {
    let prefix = prefix.strip_suffix('-').unwrap_or(prefix);
    let dash = prefix.rfind('-')?;
    (dash > 0).then(|| &prefix[..=dash])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::syntax::Syntax;

    fn directories(name: &str) -> Vec<String> {
        let name: UnitName = name.parse().unwrap();
        let mut directories = Vec::new();
        add_directories(name.as_str(), name.unit_type(), &mut directories);
        directories
    }

    #[test]
    fn directories_go_from_special_to_general() {
        assert_eq!(directories("a.socket"), ["a.socket"]);
        assert_eq!(directories("a-b-c.socket"), ["a-b-c.socket", "a-b-.socket", "a-.socket"]);
        assert_eq!(directories("-a.socket"), ["-a.socket"]);
        assert_eq!(directories("a--b.socket"), ["a--b.socket", "a--.socket", "a-.socket"]);
        let instance = ["a-b@x.service", "a-b@.service", "a-.service", "a-@x.service", "a-@.service"];
        assert_eq!(directories("a-b@x.service"), instance);
    }

    fn chosen(names: &[&str], files: &[(&str, usize, &str, &str)]) -> Vec<String> {
        let mut drop_ins = DropIns::default();
        for (directory, rank, file, text) in files {
            let path = format!("/{rank}/{directory}.d/{file}");
            let source = Source {
                path: Path::new(&path).into(),
                text: text.as_bytes().into(),
                syntax: Syntax::Systemd,
            };
            drop_ins.add(directory, source, *rank);
        }
        let names: Vec<UnitName> = names.iter().map(|name| name.parse().unwrap()).collect();
        let names: Vec<&UnitName> = names.iter().collect();
        drop_ins.of(&names).iter().map(|source| source.path.display().to_string()).collect()
    }

    #[test]
    fn one_file_of_each_name_sorted_by_name() {
        let files = [
            ("a.socket", 1, "50.conf", "x"),
            ("a.socket", 0, "50.conf", "x"),
            ("a.socket", 1, "10.conf", "x"),
            ("socket", 0, "10.conf", "x"),
            ("socket", 0, "60.conf", "x"),
            ("b.socket", 0, "70.conf", "x"),
        ];
        let expected = ["/1/a.socket.d/10.conf", "/0/a.socket.d/50.conf", "/0/socket.d/60.conf"];
        assert_eq!(chosen(&["a.socket"], &files), expected);
        let with_alias = [
            "/1/a.socket.d/10.conf",
            "/0/a.socket.d/50.conf",
            "/0/socket.d/60.conf",
            "/0/b.socket.d/70.conf",
        ];
        assert_eq!(chosen(&["a.socket", "b.socket"], &files), with_alias);
    }

    #[test]
    fn an_empty_file_hides_those_of_its_name() {
        let files = [("a.socket", 0, "50.conf", ""), ("a.socket", 1, "50.conf", "x")];
        assert_eq!(chosen(&["a.socket"], &files), ["/0/a.socket.d/50.conf"]);
    }

    #[test]
    fn the_search_path_counts_before_the_more_special_name() {
        let files = [("a-b.socket", 1, "x.conf", "x"), ("a-.socket", 0, "x.conf", "x")];
        assert_eq!(chosen(&["a-b.socket"], &files), ["/0/a-.socket.d/x.conf"]);
        let same_rank = [("a-.socket", 0, "x.conf", "x"), ("a-b.socket", 0, "x.conf", "x")];
        assert_eq!(chosen(&["a-b.socket"], &same_rank), ["/0/a-b.socket.d/x.conf"]);
    }
}
