//! No text, however odd, makes the library panic; and what is odd in one file stays in that file.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use proptest::prelude::*;
use sockmgr_unit::{Fragment, Host, Library, LoadState, Settings, Source, Syntax, UnitName, directives};

fn source(text: &[u8], syntax: Syntax) -> Source {
    Source { path: Path::new("file").into(), text: text.into(), syntax }
}

/// Loads the text under each type of name, as main file and as drop-in, and looks at everything there is.
fn load_everywhere(text: &[u8], syntax: Syntax) {
    let mut library = Library::new(Host::default());
    let names =
        ["a.socket", "a@.service", "a.target", "a.timer"].map(|name| name.parse::<UnitName>().unwrap());
    for name in &names {
        library.add_fragment(name.clone(), Fragment::Source(source(text, syntax)));
    }
    library.add_fragment("good.service".parse().unwrap(), Fragment::Source(source(GOOD, Syntax::Systemd)));
    library.add_drop_in("service", source(text, syntax), 0);
    let instance = "a@x.service".parse().unwrap();
    for name in names.iter().chain([&instance]) {
        let unit = library.unit(name);
        assert!(unit.properties().all(|(_, _, property)| !property.signature().is_empty()));
        assert_eq!(
            unit.load_error.is_some(),
            matches!(unit.load_state, LoadState::BadSetting | LoadState::Error)
        );
    }
    library.take_diagnostics().iter().for_each(|found| assert!(!found.to_string().is_empty()));
    Settings::read(&source(text, syntax), &Host::default());
}

const GOOD: &[u8] = b"[Service]\nExecStart=/bin/true\n";

/// A line that looks like one of a unit file.
fn line() -> impl Strategy<Value = String> {
    let keys: Vec<&'static str> = directives().map(|directive| directive.name).collect();
    let section = prop::sample::select(vec![
        "[Unit]",
        "[Socket]",
        "[Service]",
        "[Install]",
        "[Manager]",
        "[X-a]",
        "[b",
    ]);
    let value = prop_oneof![
        Just("yes"),
        Just(""),
        Just("%i%n%%%q%"),
        Just("/a/../b"),
        Just("-@:+!!/x \"a"),
        Just("$A ${B"),
        Just("1:2"),
        Just("infinity"),
        Just("99999999999999999999"),
        Just("a@%i.service b.socket"),
        Just("A=1 'B=2"),
        Just("\\x2"),
        Just("~"),
        Just("1y 2us"),
        Just("[::1]:80%%lo"),
        Just("@"),
        Just("\u{feff}ü"),
    ]
    .prop_map(str::to_owned);
    prop_oneof![
        2 => section.prop_map(str::to_owned),
        12 => (prop::sample::select(keys), prop_oneof![3 => value, 1 => any::<String>()])
            .prop_map(|(key, value)| format!("{key}={value}")),
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        load_everywhere(&bytes, Syntax::Systemd);
        load_everywhere(&bytes, Syntax::Toml);
    }

    #[test]
    fn any_lines_can_be_read(lines in prop::collection::vec(line(), 0..30)) {
        load_everywhere(lines.join("\n").as_bytes(), Syntax::Systemd);
        let toml = lines.iter().map(|line| match line.split_once('=') {
            Some((key, value)) => format!("{key} = {value:?}\n"),
            None => format!("{line}\n"),
        });
        load_everywhere(toml.collect::<String>().as_bytes(), Syntax::Toml);
    }

    #[test]
    fn a_unit_says_the_same_with_odd_files_beside_it(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut library = Library::new(Host::default());
        let good: UnitName = "good.service".parse().unwrap();
        library.add_fragment("bad.service".parse().unwrap(), Fragment::Source(source(&bytes, Syntax::Systemd)));
        library.add_fragment(good.clone(), Fragment::Source(source(GOOD, Syntax::Systemd)));
        library.unit(&"bad.service".parse().unwrap());
        prop_assert_eq!(library.unit(&good).load_state, LoadState::Loaded);
    }
}
