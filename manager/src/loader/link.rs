//! Links under the names of units: where they lead.
//!
//! Never here: what becomes of it. Invariant: below a root other than `/`, nothing outside it is ever looked at.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use sockmgr_unit::UnitName;

use super::SearchPath;
use super::scan::unit_of;

/// Where a link under a unit's name leads.
#[derive(Debug)]
pub enum Leads {
    /// To `/dev/null`: the unit is masked.
    Mask,
    /// To another unit of the search path.
    Unit(UnitName),
    /// To a file of the same name in the search path, or to any file outside of it.
    Elsewhere {
        /// As the link says, made absolute.
        target: PathBuf,
        /// Without links on the way.
        real: PathBuf,
    },
    /// To nothing.
    Nowhere {
        /// As the link says, made absolute.
        target: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Follows links as a search path has it.
#[derive(Clone, Debug)]
pub struct Links {
    root: PathBuf,
    directories: Vec<PathBuf>,
    /// The same directories without links in their paths.
    real: Vec<PathBuf>,
}

impl Links {
    /// For links in the directories of this search path.
    pub fn of(path: &SearchPath) -> Self {
        let directories = path.directories().to_vec();
        let real = directories.iter().filter_map(|directory| fs::canonicalize(directory).ok()).collect();
        Self { root: path.root().to_owned(), directories, real }
    }

    /// Follows `link`, which has the name of `unit`.
    ///
    /// # Errors
    /// It is no link, or cannot be read.
    pub fn follow(&self, unit: &UnitName, link: &Path) -> io::Result<Leads> {
        let target = self.target(link)?;
        let null = self.root.join("dev/null");
        if target == null {
            return Ok(Leads::Mask);
        }
        let real = self.real(&target);
        for target in std::iter::once(&target).chain(real.as_ref().ok()) {
            if let Some(name) = self.unit_at(target)
                && name != *unit
            {
                return Ok(Leads::Unit(name));
            }
        }
        Ok(match real {
            Ok(real) if real == null => Leads::Mask,
            Ok(real) => Leads::Elsewhere { target, real },
            Err(error) => Leads::Nowhere { target, error },
        })
    }

    /// Where the link itself points: absolute, below the root, without `.` and `..`.
    ///
    /// # Errors
    /// It is no link, or cannot be read.
    pub fn target(&self, link: &Path) -> io::Result<PathBuf> {
        let text = fs::read_link(link)?;
        Ok(match text.strip_prefix("/") {
            Ok(below) => self.root.join(without_dots(below)),
            Err(_) => without_dots(&link.with_file_name(text)),
        })
    }

    /// The unit that a path names, if it lies directly in one of the directories.
    pub fn unit_at(&self, path: &Path) -> Option<UnitName> {
        let parent = path.parent()?;
        let is_searched = |directories: &[PathBuf]| directories.iter().any(|directory| directory == parent);
        (is_searched(&self.directories) || is_searched(&self.real))
            .then(|| unit_of(path.file_name()?.to_str()?))?
    }

    /// The path without links, found without leaving the root.
    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        let below = path.strip_prefix(&self.root).map_err(io::Error::other)?;
        if self.root == Path::new("/") || below == Path::new("dev/null") {
            return fs::canonicalize(path);
        }
        let root = open(&self.root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let how =
            OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        let found = openat2(root, below, how)?;
        fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }
}

/// The path without `.` and `..`, which here are those of a link and mean what is written.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::paths::Scope;

    /// Where a link in the configuration of a system below a root leads, as a word.
    fn leads(name: &str, text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for made in ["etc/sockmgr/system", "usr/lib/sockmgr/system", "opt", "dev"] {
            fs::create_dir_all(root.join(made)).unwrap();
        }
        fs::write(root.join("usr/lib/sockmgr/system/a.service"), "x").unwrap();
        fs::write(root.join("opt/b.service"), "x").unwrap();
        symlink("/opt/b.service", root.join("opt/c.service")).unwrap();
        symlink("/../../../../../../etc/passwd", root.join("opt/out.service")).unwrap();
        let link = root.join("etc/sockmgr/system").join(name);
        symlink(text, &link).unwrap();
        let path = SearchPath::new(Scope::System, &[], &[""; 0]).below(&root);
        match Links::of(&path).follow(&name.parse().unwrap(), &link).unwrap() {
            Leads::Mask => "mask".to_owned(),
            Leads::Unit(unit) => unit.to_string(),
            Leads::Elsewhere { target, real } => {
                let below = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
                format!("{} is {}", below(&target), below(&real))
            }
            Leads::Nowhere { .. } => "nowhere".to_owned(),
        }
    }

    #[test]
    fn links_are_followed_below_the_root() {
        for (name, text, expected) in [
            ("x.service", "/dev/null", "mask"),
            ("x.service", "../../../usr/lib/sockmgr/system/a.service", "a.service"),
            ("x.service", "/usr/lib/sockmgr/system/gone.service", "gone.service"),
            (
                "a.service",
                "/usr/lib/sockmgr/system/a.service",
                "usr/lib/sockmgr/system/a.service is usr/lib/sockmgr/system/a.service",
            ),
            ("x.service", "/opt/../opt/c.service", "opt/c.service is opt/b.service"),
            ("x.service", "/opt/gone.service", "nowhere"),
            ("x.service", "/opt/out.service", "nowhere"),
        ] {
            assert_eq!(leads(name, text), expected, "{name} -> {text}");
        }
    }
}
