//! What both kinds of test need: unit files as text, names of signals and descriptors, and saved states as bytes.

use std::path::Path;

use sockmgr_engine::{Engine, SavedUnit};
use sockmgr_unit::{Fragment, Host, Library, Settings, Severity, Source, Syntax, UnitName};

/// Reads a unit name that a test has written.
pub(crate) fn name(text: &str) -> UnitName {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Makes a library of a text in which each unit file begins with a line `-- NAME`.
pub(crate) fn library(text: &str, settings: &Settings) -> Library {
    let mut library = Library::with_settings(Host::default(), settings.clone().into());
    for file in text.split("-- ").skip(1) {
        let (title, body) = file.split_once('\n').expect("a unit file has a name and lines");
        let title = title.trim();
        let source = Source {
            path: Path::new("/units").join(title).into(),
            text: body.as_bytes().into(),
            syntax: Syntax::Systemd,
        };
        library.add_fragment(name(title), Fragment::Source(source));
    }
    library
}

/// Everything wrong with the unit files of a test is a mistake of the test.
pub(crate) fn check_library(library: &mut Library) {
    let names: Vec<UnitName> = library.names().cloned().collect();
    for name in names.iter().filter(|name| !name.is_template()) {
        library.unit(name);
    }
    let said = library.take_diagnostics();
    assert!(said.iter().all(|diagnostic| diagnostic.severity == Severity::Notice), "{said:?}");
}

/// The state of `unit` as the keeper stores it.
pub(crate) fn save(engine: &Engine, unit: &UnitName) -> Option<Vec<u8>> {
    engine.saved(unit).map(|saved| postcard::to_stdvec(&saved).expect("every state can be written"))
}

/// Reads back what [`save`] wrote.
pub(crate) fn read_saved(bytes: &[u8]) -> SavedUnit {
    postcard::from_bytes(bytes).expect("every state that was written can be read")
}
