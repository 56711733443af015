//! The loader on real directories: the unit crate's whole-file table once more, now from disk, and what only a disk has.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sockmgr::loader::{Loader, SearchPath, host, read_settings};
use sockmgr::paths::Scope;
use sockmgr_unit::{Host, Library, LoadState, Property, Settings, UnitName};
use tempfile::TempDir;

/// Two directories of a search path, `0` and `1`, in a directory of their own.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        ["0", "1"].iter().for_each(|rank| fs::create_dir(disk.path(rank)).unwrap());
        disk
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let disk = Self::new();
        files.iter().for_each(|(path, text)| disk.write(path, text.as_bytes()));
        disk
    }

    fn path(&self, inner: &str) -> PathBuf {
        self.0.path().join(inner)
    }

    fn write(&self, path: &str, text: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn loader(&self) -> Loader {
        Loader::new(SearchPath::new::<&str>(Scope::User, &[self.path("0"), self.path("1")], &[]))
    }

    fn load(&self) -> Library {
        self.loader().load(Host::default(), Settings::default())
    }

    /// A path on this disk, as the test wrote it.
    fn inner(&self, path: &Path) -> String {
        path.strip_prefix(self.0.path()).unwrap_or(path).display().to_string()
    }

    fn said(&self, library: &mut Library) -> Vec<String> {
        let place = format!("{}/", self.0.path().display());
        library.take_diagnostics().iter().map(|found| found.to_string().replace(&place, "")).collect()
    }
}

fn state(library: &mut Library, unit: &str) -> LoadState {
    library.unit(&unit.parse().unwrap()).load_state
}

fn description(library: &mut Library, unit: &str) -> String {
    library.unit(&unit.parse().unwrap()).description().to_owned()
}

#[test]
fn the_unit_crate_s_table_holds_from_disk() {
    for line in include_str!("../unit/tests/table/unit-files.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let disk = Disk::new();
        for (path, file) in case["files"].as_object().unwrap() {
            write_case_file(&disk, path, file);
        }
        let mut library = disk.load();
        for (name, expected) in case["units"].as_object().unwrap() {
            let unit = library.unit(&name.parse::<UnitName>().unwrap());
            assert_eq!(unit.load_state.as_str(), expected["load_state"], "{} {name}", case["case"]);
            assert_eq!(unit.name.as_str(), expected["id"], "{} {name}", case["case"]);
            if let Some(path) = expected["FragmentPath"].as_str() {
                assert_eq!(unit.fragment_path.as_deref().map(|path| disk.inner(path)).as_deref(), Some(path));
            }
            if let Some(paths) = expected["DropInPaths"].as_array() {
                let found: Vec<String> = unit.drop_in_paths.iter().map(|path| disk.inner(path)).collect();
                assert_eq!(&found, paths, "{} {name}", case["case"]);
            }
            if let Some(description) = expected["Description"].as_str() {
                assert_eq!(unit.description(), description, "{} {name}", case["case"]);
            }
        }
    }
}

fn write_case_file(disk: &Disk, path: &str, file: &Value) {
    match (file.as_str(), file["link"].as_str()) {
        (Some(text), _) => disk.write(path, text.as_bytes()),
        (None, Some(target)) => disk.link(path, target),
        (None, None) => {
            let text = file["latin1"].as_str().unwrap();
            disk.write(path, &text.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<u8>>());
        }
    }
}

const SERVICE: &str = "[Service]\nExecStart=/bin/true\n";

#[test]
fn links_are_masks_aliases_or_files_elsewhere() {
    let disk = Disk::with(&[
        ("0/real.service", SERVICE),
        ("1/low.service", SERVICE),
        ("1/masked.service", SERVICE),
        ("else/where.txt", "[Unit]\nDescription=linked\n[Service]\nExecStart=/bin/true\n"),
        ("else/t.service.toml", "[Service]\nExecStart = \"/bin/true\"\n"),
        ("else/empty", ""),
        ("1/dangling.service", SERVICE),
    ]);
    disk.link("0/relative.service", "real.service");
    disk.link("0/absolute.service", disk.path("1/low.service"));
    disk.link("0/around.service", "../0/./real.service");
    disk.link("0/masked.service", "/dev/null");
    disk.link("0/linked.service", disk.path("else/where.txt"));
    disk.link("0/toml.service", disk.path("else/t.service.toml"));
    disk.link("0/empty.service", disk.path("else/empty"));
    disk.link("0/dangling.service", disk.path("else/nothing"));
    disk.link("back", "0");
    disk.link("0/by-other-path.service", disk.path("back/real.service"));
    let mut library = disk.load();
    let mut id = |unit: &str| library.unit(&unit.parse().unwrap()).name.to_string();
    assert_eq!(
        ["relative.service", "around.service", "by-other-path.service"].map(&mut id),
        ["real.service"; 3]
    );
    assert_eq!(["absolute.service", "linked.service"].map(&mut id), ["low.service", "linked.service"]);
    assert_eq!(description(&mut library, "linked.service"), "linked");
    assert_eq!(state(&mut library, "toml.service"), LoadState::Loaded);
    assert_eq!(
        ["masked.service", "empty.service"].map(|unit| state(&mut library, unit)),
        [LoadState::Masked; 2]
    );
    assert_eq!(state(&mut library, "dangling.service"), LoadState::Loaded, "the next directory has it");
    let said = disk.said(&mut library);
    let expected = "0/dangling.service: warning: the link to else/nothing leads nowhere";
    assert!(said.len() == 1 && said[0].starts_with(expected), "{said:?}");
}

#[test]
fn what_is_no_file_is_refused_and_never_waited_for() {
    let disk = Disk::with(&[("0/good.service", SERVICE), ("0/dir.service/x", "")]);
    let fifo = |path: &str| assert!(Command::new("mkfifo").arg(disk.path(path)).status().unwrap().success());
    fifo("0/fifo.service");
    fifo("fifo");
    fs::create_dir(disk.path("0/good.service.d")).unwrap();
    fifo("0/good.service.d/x.conf");
    disk.link("0/to-fifo.service", disk.path("fifo"));
    disk.link("0/to-device.service", "/dev/zero");
    let mut library = disk.load();
    for refused in ["fifo.service", "to-fifo.service", "to-device.service"] {
        assert_eq!(state(&mut library, refused), LoadState::Error, "{refused}");
    }
    assert_eq!(state(&mut library, "good.service"), LoadState::Loaded);
    assert_eq!(state(&mut library, "dir.service"), LoadState::NotFound);
    let mut said = disk.said(&mut library);
    said.sort();
    let expected = [
        "0/fifo.service: error: is a FIFO, not a file",
        "0/good.service.d/x.conf: error: cannot read the drop-in: is a FIFO, not a file",
        "0/to-device.service: error: cannot be read: is a device, not a file",
        "0/to-fifo.service: error: cannot be read: is a FIFO, not a file",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_file_of_endless_size_is_refused() {
    let disk = Disk::new();
    fs::File::create(disk.path("0/big.service")).unwrap().set_len(5 * 1024 * 1024).unwrap();
    assert_eq!(state(&mut disk.load(), "big.service"), LoadState::Error);
}

#[test]
fn both_syntaxes_lie_side_by_side() {
    let disk = Disk::with(&[
        ("0/a.socket.toml", "[Unit]\nDescription = \"a\"\n[Socket]\nListenStream = 1\n"),
        ("0/a.socket.d/x.toml", "[Unit]\nDescription = \"a, changed\"\n"),
        ("0/a.socket.d/x.txt", "[Unit]\nDescription=not read\n"),
        ("0/b.socket", "[Unit]\nDescription=plain\n[Socket]\nListenStream=2\n"),
        ("0/b.socket.toml", "[Unit]\nDescription = \"hidden\"\n"),
        ("1/a.socket", "[Unit]\nDescription=low\n"),
        ("0/.hidden.socket", "[Socket]\n"),
    ]);
    let mut library = disk.load();
    assert_eq!(["a.socket", "b.socket"].map(|unit| description(&mut library, unit)), ["a, changed", "plain"]);
    let names: BTreeSet<String> = library.names().map(ToString::to_string).collect();
    assert_eq!(names, BTreeSet::from(["a.socket".to_owned(), "b.socket".to_owned()]));
    assert_eq!(
        disk.said(&mut library),
        ["0/b.socket.toml: warning: is ignored, because b.socket is there too"]
    );
}

#[test]
fn wants_directories_add_dependencies_except_masked_ones() {
    let disk = Disk::with(&[("0/a.service", SERVICE), ("1/sockets.target.wants/file.socket", "")]);
    disk.link("0/sockets.target.wants/web.socket", "../web.socket");
    disk.link("0/sockets.target.wants/toml.socket.toml", "../toml.socket.toml");
    disk.link("0/sockets.target.wants/off.socket", "/dev/null");
    disk.link("0/a.service.requires/b.service", "/nowhere/at/all");
    let mut library = disk.load();
    let mut property = |unit: &str, name: &str| library.unit(&unit.parse().unwrap()).property(name);
    let names = |names: &[&str]| Some(Property::Strs(names.iter().map(ToString::to_string).collect()));
    // What is no link counts for nothing.
    assert_eq!(property("sockets.target", "Wants"), names(&["toml.socket", "web.socket"]));
    assert_eq!(property("a.service", "Requires"), names(&["b.service", "system.slice", "sysinit.target"]));
}

#[test]
fn a_unit_that_came_later_is_found_with_its_drop_ins() {
    let disk = Disk::new();
    let mut library = disk.load();
    let (loader, unit): (_, UnitName) = (disk.loader(), "late@1.service".parse().unwrap());
    loader.find(&mut library, &unit);
    assert_eq!(library.unit(&unit).load_state, LoadState::NotFound);
    disk.write("1/late@.service", SERVICE.as_bytes());
    disk.write("0/late@1.service.d/x.conf", b"[Unit]\nDescription=late\n");
    loader.find(&mut library, &unit);
    loader.find(&mut library, &unit);
    let found = library.unit(&unit);
    assert_eq!((found.load_state, found.description()), (LoadState::Loaded, "late"));
}

#[test]
fn a_directory_that_is_not_there_is_empty() {
    let disk = Disk::new();
    fs::remove_dir(disk.path("0")).unwrap();
    disk.write("1/a.service", SERVICE.as_bytes());
    let mut library = disk.load();
    assert_eq!(state(&mut library, "a.service"), LoadState::Loaded);
    assert_eq!(disk.said(&mut library), [""; 0]);
}

#[test]
fn settings_are_read_where_they_are_and_must_be_where_they_are_said_to_be() {
    let disk = Disk::with(&[
        ("s.toml", "[Manager]\nDefaultStartLimitBurst = 7\nNonsense = 1\nUnitPath = \"/extra\"\n"),
        ("s.conf", "[Manager]\nDefaultStartLimitBurst=8\n"),
    ]);
    let (settings, diagnostics) = read_settings(Scope::User, Some(&disk.path("s.toml"))).unwrap();
    assert_eq!((settings.default_start_limit_burst, diagnostics.len()), (7, 1));
    let path = SearchPath::new(Scope::User, &[disk.path("0")], &settings.unit_path);
    assert_eq!(path.directories(), [disk.path("0"), PathBuf::from("/extra")]);
    let (settings, _) = read_settings(Scope::User, Some(&disk.path("s.conf"))).unwrap();
    assert_eq!(settings.default_start_limit_burst, 8);
    let error = read_settings(Scope::User, Some(&disk.path("none.toml"))).unwrap_err();
    assert!(
        error.starts_with("cannot read the settings in ") && error.contains("none.toml: No such file"),
        "{error}"
    );
}

#[test]
fn specifiers_speak_of_this_machine() {
    let text = "[Unit]\nDescription=%i on %H\n[Socket]\nListenStream=%t/%i.sock\n";
    let disk = Disk::with(&[("0/a@.socket", text)]);
    let mut library = disk.loader().load(host(Scope::System, Path::new("/r")), Settings::default());
    let unit = library.unit(&"a@x.socket".parse().unwrap());
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(unit.description(), format!("x on {}", name.trim()));
    assert_eq!(
        unit.property("Listen"),
        Some(Property::Listen(vec![("Stream".into(), "/run/x.sock".into())]))
    );
}
