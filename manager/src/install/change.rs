//! What becomes of a request: changes, remarks and refusals, and their words.
//!
//! Never here: the decision. Invariant: the words are those of systemctl, and the D-Bus words those of systemd.

use std::path::{Path, PathBuf};

use sockmgr_unit::UnitName;

/// One thing that becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A link is made.
    Link {
        /// The link.
        path: PathBuf,
        /// Where it points; below a root, as seen from there.
        target: PathBuf,
        /// Whether it takes the place of another link.
        replaces: bool,
    },
    /// A link, a file or an empty directory is removed.
    Unlink(PathBuf),
    /// A unit that another one names in `Also=` is masked, and left as it is.
    Masked(PathBuf),
    /// A link leads to a unit that is not there; nothing is done with the unit.
    Dangling(String),
    /// A unit becomes a dependency of one that has no file.
    MissingTarget {
        /// Its file.
        unit: PathBuf,
        /// The other.
        target: UnitName,
    },
    /// A unit that another one names in `Also=` cannot be enabled.
    AuxiliaryFailed(UnitName),
    /// A part of the request, or all of it, cannot be done.
    Refused(Refusal),
}

/// Why something cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A link would take the place of something.
    #[error("file \"{path}\" already exists{}", .link.as_ref().map(|to| format!(" and is a symlink to \"{}\"", to.display())).unwrap_or_default())]
    Exists {
        /// What is there.
        path: PathBuf,
        /// Where it points, if it is a link.
        link: Option<PathBuf>,
    },
    /// The unit is masked.
    #[error("unit {0} is masked")]
    Masked(PathBuf),
    /// There is no such unit file.
    #[error("unit {0} does not exist")]
    NotFound(String),
    /// There is a link of that name, to nothing.
    #[error("the link {0} leads to a unit that is not there")]
    Dangling(String),
    /// The name is that of a link which somebody made by enabling another unit.
    #[error("refusing to operate on linked unit file {0}")]
    Linked(String),
    /// It is a directory, for instance.
    #[error("{name} is {what}, not a unit file")]
    NotAFile {
        /// Its name.
        name: String,
        /// What it is, with its article.
        what: &'static str,
    },
    /// It cannot be a unit's name.
    #[error("\"{0}\" is not a valid unit name")]
    BadName(String),
    /// A template cannot become a dependency of this unit without an instance.
    #[error(
        "{unit} is a template, and {target} is not: name an instance, or say which with DefaultInstance="
    )]
    NotATemplate {
        /// The template.
        unit: UnitName,
        /// The unit that should want it.
        target: UnitName,
    },
    /// The two names do not fit together.
    #[error("cannot alias {unit} as {alias}")]
    Alias {
        /// The unit.
        unit: UnitName,
        /// Its other name.
        alias: UnitName,
    },
    /// `[Install]` has a mistake; the text says where.
    #[error("{0}")]
    Setting(String),
    /// Only targets can be the default, and not by that name itself.
    #[error("{0} cannot be the default: it has to be a target, and not default.target itself")]
    NotADefault(String),
    /// `--runtime` has no place.
    #[error("none of the manager's directories is one for --runtime; leave that out")]
    NoRuntime,
    /// The system said no.
    #[error("file \"{path}\": {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: String,
    },
}

impl Change {
    /// The rows that D-Bus clients get: what, the file, and what the file is now.
    pub fn rows(&self) -> Vec<(&'static str, String, String)> {
        let text = |path: &Path| path.display().to_string();
        match self {
            Self::Link { path, target, replaces } => {
                let removed = replaces.then(|| ("unlink", text(path), String::new()));
                removed.into_iter().chain([("symlink", text(path), text(target))]).collect()
            }
            Self::Unlink(path) => vec![("unlink", text(path), String::new())],
            Self::Masked(path) => vec![("masked", text(path), String::new())],
            Self::Dangling(name) => vec![("dangling", name.clone(), String::new())],
            Self::MissingTarget { unit, target } => {
                vec![("destination not present", target.to_string(), text(unit))]
            }
            Self::AuxiliaryFailed(unit) => vec![("auxiliary unit failed", unit.to_string(), String::new())],
            Self::Refused(_) => Vec::new(),
        }
    }

    /// Whether something on disk is changed.
    pub fn is_effective(&self) -> bool {
        matches!(self, Self::Link { .. } | Self::Unlink(_))
    }
}

/// The lines that say it to people. `None`: a row of a kind that is not known.
pub fn line(what: &str, path: &str, source: &str) -> Option<String> {
    Some(match what {
        "symlink" => format!("Created symlink {path} → {source}."),
        "unlink" => format!("Removed \"{path}\"."),
        "masked" => format!("Unit {path} is masked, ignoring."),
        "dangling" => format!("Unit {path} is an alias to a unit that is not present, ignoring."),
        "destination not present" => {
            format!("Unit {source} is added as a dependency to a non-existent unit {path}.")
        }
        "auxiliary unit failed" => format!("Failed to enable auxiliary unit {path}, ignoring."),
        _ => return None,
    })
}
