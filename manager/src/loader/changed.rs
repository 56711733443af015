//! Whether the files of a unit are other than they were when they were read (systemd's `NeedDaemonReload`).
//!
//! Never here: reading them again. Invariant: only names and times are compared, so that asking costs little.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::SystemTime;

use sockmgr_unit::{Host, Library, Unit};

use super::Loader;

impl Loader {
    /// Whether a file of the unit was changed or has gone after `since`, or others are there instead of it.
    pub fn has_changed(&self, unit: &Unit, since: SystemTime) -> bool {
        let fragment = unit.fragment_path.as_deref();
        let drop_ins = unit.drop_in_paths.iter().map(|path| &**path);
        let mut known = fragment.into_iter().chain(drop_ins);
        known.any(|path| modified(path).is_none_or(|at| at > since)) || self.has_others(unit)
    }

    /// Whether the unit would be read from other files now.
    fn has_others(&self, unit: &Unit) -> bool {
        let mut library = Library::new(Host::default());
        self.find(&mut library, &unit.name);
        library.files(&unit.name).is_some_and(|(fragment, drop_ins)| {
            let own: Vec<&Path> =
                unit.drop_in_paths.iter().map(|path| &**path).filter(|path| is_own(path, unit)).collect();
            Some(fragment) != unit.fragment_path.as_deref() || drop_ins != own
        })
    }
}

/// Whether a drop-in lies in a directory of the unit's own name, or its template's.
fn is_own(drop_in: &Path, unit: &Unit) -> bool {
    let directory = drop_in.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let of = directory.and_then(|name| name.strip_suffix(".d"));
    of.is_some_and(|of| unit.name == of || unit.name.template().is_some_and(|template| template == of))
}

fn modified(path: &Path) -> Option<SystemTime> {
    let metadata = fs::metadata(path).ok()?;
    // Of a mask the link counts: others write to the device.
    let metadata =
        if metadata.file_type().is_char_device() { fs::symlink_metadata(path).ok()? } else { metadata };
    metadata.modified().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use sockmgr_unit::Settings;

    use super::*;
    use crate::loader::SearchPath;
    use crate::paths::Scope;

    /// Loads `a.service`, does something to the directory, and says whether that is seen.
    fn changed_by(what: impl FnOnce(&Path)) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let old = SystemTime::now() - Duration::from_secs(1000);
        for file in ["a.service", "a.service.d/1.conf", "service.d/2.conf"] {
            fs::create_dir_all(path.join(file).parent().unwrap()).unwrap();
            fs::write(path.join(file), "[Service]\nExecStart=/bin/true\n").unwrap();
            File::open(path.join(file)).unwrap().set_modified(old).unwrap();
        }
        let loader = Loader::new(SearchPath::new(Scope::User, &[path.to_owned()], &[""; 0]));
        let since = SystemTime::now() - Duration::from_secs(500);
        let unit = loader.load(Host::default(), Settings::default()).unit(&"a.service".parse().unwrap());
        assert_eq!(unit.drop_in_paths.len(), 2);
        what(path);
        loader.has_changed(&unit, since)
    }

    #[test]
    fn files_that_change_come_and_go_are_seen() {
        let write = |path: &Path, file: &str| fs::write(path.join(file), "[Service]\n").unwrap();
        assert!(!changed_by(|_| {}));
        assert!(!changed_by(|path| write(path, "other.service")));
        assert!(changed_by(|path| write(path, "a.service")));
        assert!(changed_by(|path| write(path, "a.service.d/1.conf")));
        assert!(changed_by(|path| write(path, "service.d/2.conf")));
        assert!(changed_by(|path| write(path, "a.service.d/3.conf")));
        assert!(changed_by(|path| fs::remove_file(path.join("a.service")).unwrap()));
        assert!(changed_by(|path| fs::remove_file(path.join("a.service.d/1.conf")).unwrap()));
    }
}
