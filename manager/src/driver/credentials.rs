//! The credentials of a unit (systemd.exec(5), "Credentials"): a directory below `/run/credentials` that only the user of its
//! processes can read, there from the first start to the end of the last process.
//!
//! Never here: who may have which. What is encrypted (`LoadCredentialEncrypted=`) takes systemd's key, and sockets as a source would
//! have the manager wait for others: neither is supported.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use sockmgr_engine::ExecList;
use sockmgr_sys::directories::{self, Owner};
use sockmgr_sys::spawn::SpawnStep;
use sockmgr_sys::{SysError, stdio};
use sockmgr_unit::UnitName;
use sockmgr_unit::section::ExecSection;
use sockmgr_unit::specifier::Directories as Places;

use super::listeners::chain;
use super::plan::PlanError;

/// All that a unit is given, in bytes, as in systemd.
const TOTAL_MAX: usize = 1 << 20;
/// Where credentials without a path are looked up, beside what the manager itself was given.
const STORES: [&str; 4] =
    ["/etc/credstore", "/run/credstore", "/usr/local/lib/credstore", "/usr/lib/credstore"];

/// The directory of a unit.
pub(super) fn directory(unit: &UnitName, places: &Places) -> PathBuf {
    Path::new(&*places.runtime).join(below(unit))
}

fn below(unit: &UnitName) -> String {
    format!("credentials/{unit}")
}

/// Makes the directory, if the unit is to have one: anew for the main process, for others where there is none yet.
pub(super) fn place(
    exec: &ExecSection,
    unit: &UnitName,
    list: ExecList,
    places: &Places,
    owner: Option<Owner>,
) -> Result<(), PlanError> {
    let is_there = || directory(unit, places).is_dir();
    if exec.credentials.is_empty() || (list != ExecList::Start && is_there()) {
        return Ok(());
    }
    let failed = |why: String| PlanError::Step(SpawnStep::Credentials, why);
    let files = contents(exec).map_err(failed)?;
    directories::fill(Path::new(&*places.runtime), &below(unit), &files, owner)
        .map_err(|error| failed(format!("{}: {}", directory(unit, places).display(), chain(&error))))
}

/// Takes the directory away.
pub(super) fn remove(unit: &UnitName, places: &Places) -> Result<(), SysError> {
    directories::remove(Path::new(&*places.runtime), &below(unit))
}

/// Content by name. The unit file's own stand in for what cannot be found.
fn contents(exec: &ExecSection) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut files = BTreeMap::new();
    for (id, path) in exec.credentials.loaded() {
        let has_other = exec.credentials.set().any(|(other, _)| other == id);
        match load(id, path) {
            Ok(loaded) => files.extend(loaded),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && (has_other || !path.starts_with('/')) => {}
            Err(error) => return Err(format!("LoadCredential={id}:{path}: {error}")),
        }
    }
    for (id, bytes) in exec.credentials.set() {
        files.entry(id.to_owned()).or_insert_with(|| bytes.to_vec());
    }
    if files.values().map(Vec::len).sum::<usize>() > TOTAL_MAX {
        return Err("all credentials together are larger than 1 MiB".to_owned());
    }
    Ok(files)
}

fn load(id: &str, path: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let found = if path.starts_with('/') { PathBuf::from(path) } else { in_stores(path)? };
    if found.is_dir() {
        return load_directory(id, &found);
    }
    Ok(vec![(id.to_owned(), read(&found)?)])
}

fn in_stores(name: &str) -> io::Result<PathBuf> {
    let own = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let stores = own.into_iter().chain(STORES.map(PathBuf::from));
    let mut paths = stores.map(|store| store.join(name));
    paths.find(|path| path.is_file()).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Each file of a directory, and of those in it, under the names on the way with `_` between.
fn load_directory(id: &str, path: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = format!("{id}_{}", entry.file_name().display());
        match entry.file_type()? {
            kind if kind.is_dir() => files.extend(load_directory(&name, &entry.path())?),
            _ => files.push((name, read(&entry.path())?)),
        }
    }
    Ok(files)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    stdio::read_regular_file(path).map_err(|error| {
        let kind = io::Error::from_raw_os_error(error.errno()).kind();
        io::Error::new(kind, chain(&error))
    })
}
