//! The log of services: files of lines, one file a unit, each with the older ones beside it (`web@.service.log`, `.log.1`, …).
//! The manager writes them, the command reads them, with or without a manager.
//!
//! Instances of a template share a file, so that many short ones leave few files; each line names its unit. Never here:
//! where lines come from, and how they are shown. Invariant: a line of a file is a whole record.

mod reader;
mod record;
mod writer;

use std::path::{Path, PathBuf};

use sockmgr_unit::UnitName;

pub use reader::{Order, Reader, Source, is_there, logs_in};
pub use record::{Header, OwnedRecord};
pub use writer::{LogFiles, Size};

use crate::paths::Scope;

/// Where logs are: directories, the one to write to first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where they outlive a boot: `/var/log/sockmgr`, or `sockmgr/log` in the user's `XDG_STATE_HOME`. `None` for a manager whose
    /// runtime directory is not the usual one, which keeps everything there.
    pub state: Option<PathBuf>,
    /// `log` in the runtime directory.
    pub runtime: PathBuf,
}

impl Places {
    /// The places of a manager. `usual` is the runtime directory that its scope has unless told otherwise; `variable` reads the
    /// environment.
    pub fn of(
        scope: Scope,
        runtime_dir: &Path,
        usual: &Path,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> Self {
        let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
        let home = || absolute("HOME").map(|home| home.join(".local/state"));
        let state = match scope {
            Scope::System => Some(PathBuf::from("/var/log/sockmgr")),
            Scope::User => absolute("XDG_STATE_HOME").or_else(home).map(|state| state.join("sockmgr/log")),
        };
        Self { state: state.filter(|_| runtime_dir == usual), runtime: runtime_dir.join("log") }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        self.state.as_deref().into_iter().chain([self.runtime.as_path()])
    }
}

/// What the name of a log file ends in, before the number of an older one.
const EXTENSION: &str = ".log";
/// Longest name of a file but for extension and number (a file system's limit is 255).
const NAME_MAX: usize = 240;

/// The file of a unit: that of its template where it is an instance.
pub fn file_name(unit: &UnitName) -> String {
    let template = unit.template().map(|template| template.to_string());
    let name = template.unwrap_or_else(|| unit.to_string());
    if name.len() <= NAME_MAX {
        return name + EXTENSION;
    }
    // Names are ASCII, and may be as long as a file's.
    format!("{}-{:016x}{EXTENSION}", &name[..NAME_MAX - 17], fnv(name.as_bytes()))
}

/// FNV-1a: the same in every version and on every machine.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_share_the_file_of_their_template() {
        let name = |unit: &str| file_name(&unit.parse().unwrap());
        assert_eq!(name("web@2.service"), "web@.service.log");
        assert_eq!(name("web.service"), "web.service.log");
        assert_eq!(name("web.socket"), "web.socket.log");
        let long = |end: &str| format!("{}{end}.service", "x".repeat(240));
        assert_ne!(name(&long("a")), name(&long("b")));
        assert!(name(&long("a")).len() < 250);
    }

    #[test]
    fn logs_outlive_a_boot_unless_the_manager_is_somewhere_else() {
        let usual = Path::new("/run/user/7/sockmgr");
        let variables = |name: &str| match name {
            "HOME" => Some(PathBuf::from("/home/me")),
            "XDG_STATE_HOME" => Some(PathBuf::from("relative")),
            _ => None,
        };
        let places = |scope, runtime: &str| Places::of(scope, Path::new(runtime), usual, variables);
        let state = |places: Places| places.state.map(|path| path.display().to_string());
        assert_eq!(
            state(places(Scope::User, "/run/user/7/sockmgr")).as_deref(),
            Some("/home/me/.local/state/sockmgr/log")
        );
        assert_eq!(state(places(Scope::User, "/tmp/x")), None);
        assert_eq!(places(Scope::User, "/tmp/x").runtime, Path::new("/tmp/x/log"));
        let system =
            Places::of(Scope::System, Path::new("/run/sockmgr"), Path::new("/run/sockmgr"), |_| None);
        assert_eq!(state(system).as_deref(), Some("/var/log/sockmgr"));
        let homeless = Places::of(Scope::User, usual, usual, |_| None);
        assert_eq!(state(homeless), None);
    }
}
