//! From disk to library: finds unit files along the search path, reads them, and tells aliases, masks and links apart.
//!
//! Never here: what the files mean (`sockmgr-unit` says it). Invariant: nothing but a regular file is ever read, and
//! opening one never blocks: unit directories may hold anything.

mod changed;
mod file;
mod glob;
mod host;
mod link;
mod scan;
mod search_path;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sockmgr_unit::{Diagnostic, Host, Library, Settings, Source, Syntax, UnitName};

pub use self::glob::{glob, matches};
pub use self::host::{architecture, host};
pub use self::link::{Leads, Links};
use self::scan::Scan;
pub(crate) use self::scan::unit_of;
pub use self::search_path::SearchPath;
use crate::paths::Scope;

/// Reads unit files from the directories of a search path.
#[derive(Clone, Debug)]
pub struct Loader {
    path: SearchPath,
}

impl Loader {
    /// A loader for these directories.
    pub fn new(path: SearchPath) -> Self {
        Self { path }
    }

    /// Where it looks.
    pub fn search_path(&self) -> &SearchPath {
        &self.path
    }

    /// The directories, first wins.
    pub fn directories(&self) -> &[PathBuf] {
        self.path.directories()
    }

    /// Reads every unit file. What cannot be read is reported among the library's diagnostics; the rest is there.
    pub fn load(&self, host: Host, settings: Settings) -> Library {
        let mut library = Library::with_settings(host, Arc::new(settings));
        self.load_into(&mut library);
        library
    }

    /// Reads every unit file whose unit the library does not have yet.
    pub fn load_into(&self, library: &mut Library) {
        Scan::new(library, &self.path).all();
    }

    /// Looks again for one unit that the library does not have, and for its template: a file may be there since.
    pub fn find(&self, library: &mut Library, unit: &UnitName) {
        let names = std::iter::once(unit.clone()).chain(unit.template());
        let missing: Vec<UnitName> = names.filter(|name| !library.contains(name)).collect();
        Scan::new(library, &self.path).again(&missing);
    }
}

/// Reads the settings file: the one given, which must be there, else the usual one (`/etc/sockmgr/sockmgr.toml`, or
/// `sockmgr/sockmgr.toml` in the user's configuration), which need not be.
///
/// # Errors
/// A sentence that says which file cannot be read, and why.
pub fn read_settings(scope: Scope, config: Option<&Path>) -> Result<(Settings, Vec<Diagnostic>), String> {
    let usual = search_path::configuration(scope).join("sockmgr.toml");
    let path = config.unwrap_or(&usual);
    let text = match file::read(path) {
        Ok(text) => text,
        Err(error) if config.is_none() && error.kind() == io::ErrorKind::NotFound => {
            return Ok(Default::default());
        }
        Err(error) => return Err(format!("cannot read the settings in {}: {error}", path.display())),
    };
    let source = Source { path: path.into(), text: text.into(), syntax: syntax_of(path) };
    Ok(Settings::read(&source, &host(scope, Path::new("/run"))))
}

/// One unit file or settings file as it is.
///
/// # Errors
/// See [`io::Error`]; also where it is no regular file.
pub fn read_source(path: &Path) -> io::Result<Source> {
    Ok(Source { path: path.into(), text: file::read(path)?.into(), syntax: syntax_of(path) })
}

/// The syntax of a file follows from the end of its name.
fn syntax_of(path: &Path) -> Syntax {
    if path.extension().is_some_and(|extension| extension == "toml") { Syntax::Toml } else { Syntax::Systemd }
}
