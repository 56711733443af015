//! Where unit files lie, for the machine and for a user.
//!
//! Never here: looking into the directories. Invariant: no directory occurs twice, and all are absolute where the
//! environment is sane.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::paths::Scope;

/// The directories of unit files, in the order in which they are searched; the first one that has a name wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPath {
    root: PathBuf,
    directories: Vec<PathBuf>,
    /// Where `enable` and its like write.
    configuration: PathBuf,
    /// Where they write with `--runtime`; it is forgotten when the machine goes down.
    runtime: Option<PathBuf>,
}

impl SearchPath {
    /// The usual directories of `scope`, or instead of them `overrides` where there are any (`--unit-path`); then `extra`
    /// (`UnitPath=` of the settings).
    pub fn new<T: AsRef<str>>(scope: Scope, overrides: &[PathBuf], extra: &[T]) -> Self {
        let usual = usual(scope, &environment);
        let (usual, runtime) = match overrides {
            [] => (usual, runtime(scope, &environment)),
            // None of them is known to be forgotten.
            overrides => (overrides.to_vec(), None),
        };
        let configuration = usual.first().cloned().unwrap_or_default();
        let extra = extra.iter().map(|directory| PathBuf::from(directory.as_ref()));
        let mut directories: Vec<PathBuf> = Vec::new();
        for directory in usual.into_iter().chain(extra) {
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        Self { root: PathBuf::from("/"), directories, configuration, runtime }
    }

    /// The same directories of the system that lies below `root` (a path without links), for one that is not running.
    #[must_use]
    pub fn below(self, root: &Path) -> Self {
        let below = |path: PathBuf| root.join(path.strip_prefix("/").unwrap_or(&path));
        Self {
            directories: self.directories.into_iter().map(below).collect(),
            configuration: below(self.configuration),
            runtime: self.runtime.map(below),
            root: root.to_owned(),
        }
    }

    /// What absolute links are followed from: `/`, unless [`below`](Self::below) says otherwise.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory that `enable` and its like write into.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// The directory that they write into with `--runtime`; given directories have none.
    pub fn runtime(&self) -> Option<&Path> {
        self.runtime.as_deref()
    }

    /// The directories, first wins.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }
}

fn usual(scope: Scope, environment: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    match scope {
        Scope::System => {
            let roots = ["/etc", "/run", "/usr/local/lib", "/usr/lib"];
            roots.iter().map(|root| Path::new(root).join("sockmgr/system")).collect()
        }
        Scope::User => {
            let runtime = absolute(environment, "XDG_RUNTIME_DIR");
            let roots = [
                Some(or_in_home(environment, "XDG_CONFIG_HOME", ".config")),
                runtime,
                Some(or_in_home(environment, "XDG_DATA_HOME", ".local/share")),
            ];
            roots.into_iter().flatten().map(|root| root.join("sockmgr/user")).collect()
        }
    }
}

/// The directory of units that do not outlive the machine's uptime.
fn runtime(scope: Scope, environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    match scope {
        Scope::System => Some(PathBuf::from("/run/sockmgr/system")),
        Scope::User => absolute(environment, "XDG_RUNTIME_DIR").map(|root| root.join("sockmgr/user")),
    }
}

/// The directory of sockmgr's own configuration.
pub(super) fn configuration(scope: Scope) -> PathBuf {
    match scope {
        Scope::System => PathBuf::from("/etc/sockmgr"),
        Scope::User => or_in_home(&environment, "XDG_CONFIG_HOME", ".config").join("sockmgr"),
    }
}

/// A variable of this process.
pub(super) fn environment(variable: &str) -> Option<OsString> {
    std::env::var_os(variable)
}

/// The directory that a variable names; relative ones do not count (XDG Base Directory Specification).
pub(super) fn absolute(environment: &dyn Fn(&str) -> Option<OsString>, variable: &str) -> Option<PathBuf> {
    environment(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The directory that a variable names, else the one that is usual in the home directory.
pub(super) fn or_in_home(
    environment: &dyn Fn(&str) -> Option<OsString>,
    variable: &str,
    usual: &str,
) -> PathBuf {
    let home = || absolute(environment, "HOME").unwrap_or_else(|| PathBuf::from("/"));
    absolute(environment, variable).unwrap_or_else(|| home().join(usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scope: Scope, variables: &[(&str, &str)]) -> Vec<String> {
        let environment = |wanted: &str| {
            variables.iter().find(|(variable, _)| *variable == wanted).map(|(_, value)| OsString::from(value))
        };
        usual(scope, &environment).iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_user_s_directories_follow_the_environment() {
        let home = [("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/1")];
        let expected =
            ["/home/u/.config/sockmgr/user", "/run/user/1/sockmgr/user", "/home/u/.local/share/sockmgr/user"];
        assert_eq!(of(Scope::User, &home), expected);
        let xdg = [("HOME", "/h"), ("XDG_CONFIG_HOME", "/c"), ("XDG_DATA_HOME", "relative")];
        assert_eq!(of(Scope::User, &xdg), ["/c/sockmgr/user", "/h/.local/share/sockmgr/user"]);
        assert_eq!(of(Scope::System, &[]).first().map(String::as_str), Some("/etc/sockmgr/system"));
    }

    #[test]
    fn given_directories_replace_the_usual_ones_and_extra_ones_follow() {
        let given = [PathBuf::from("/a"), PathBuf::from("/b")];
        let path = SearchPath::new(Scope::System, &given, &["/c", "/a"]);
        assert_eq!(path.directories(), [Path::new("/a"), Path::new("/b"), Path::new("/c")]);
        let usual = SearchPath::new(Scope::System, &[], &["/c"]);
        assert_eq!((path.runtime(), usual.runtime()), (None, Some(Path::new("/run/sockmgr/system"))));
        assert_eq!((usual.directories().len(), usual.directories().last()), (5, Some(&PathBuf::from("/c"))));
        assert_eq!(path.configuration(), Path::new("/a"));
    }

    #[test]
    fn a_root_stands_before_everything() {
        let path = SearchPath::new(Scope::System, &[], &["/c"]).below(Path::new("/r"));
        assert_eq!(
            path.directories().first().map(PathBuf::as_path),
            Some(Path::new("/r/etc/sockmgr/system"))
        );
        assert_eq!(path.directories().last().map(PathBuf::as_path), Some(Path::new("/r/c")));
        assert_eq!(path.configuration(), Path::new("/r/etc/sockmgr/system"));
        assert_eq!(path.runtime(), Some(Path::new("/r/run/sockmgr/system")));
    }
}
