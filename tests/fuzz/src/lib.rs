//! What is fuzzed: each function takes any bytes, gives them to a reader of unit files as a user's file would, and checks
//! what must hold for whatever was read.
//!
//! The targets beside this file hand these functions to libFuzzer; `manager/unit/tests/fuzz.rs` runs the same ones over
//! the corpus, and over changed copies of it, with every run of the tests.

use std::path::Path;

use sockmgr_unit::{
    Fragment, Host, Library, Source, Syntax, Unit, UnitName, escape, escape_path, mangle,
    parse_environment_file, unescape, unescape_path,
};

/// A target's name, which is also that of its folder in the corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("systemd", systemd),
    ("toml", toml),
    ("exec", exec),
    ("address", address),
    ("value", value),
    ("environment", environment),
    ("name", name),
];

/// Files of each kind, in systemd's syntax, with drop-ins that are the same text.
pub fn systemd(text: &[u8]) {
    as_units(text, Syntax::Systemd);
}

/// The same in TOML.
pub fn toml(text: &[u8]) {
    as_units(text, Syntax::Toml);
}

/// Command lines, and the arguments that they come to.
pub fn exec(text: &[u8]) {
    let line = one_line(text);
    let unit =
        read("a@b\\x2dc.service", &with(b"[Service]\nType=oneshot\nExecStart=", &line), Syntax::Systemd);
    let Some(service) = unit.service() else { return };
    for command in &service.service.exec_start {
        // Not everything is set, values have quotes and blanks, and one is the text itself.
        let environment = |name: &str| match name.len() % 3 {
            0 => None,
            1 => Some("two words 'and quotes".to_owned()),
            _ => Some(String::from_utf8_lossy(&line).into_owned()),
        };
        let arguments = command.expand(&environment);
        let most = command.argv.len().saturating_mul(line.len() + 8);
        assert!(arguments.len() <= most.max(1), "{} arguments of {}", arguments.len(), line.len());
    }
}

/// Addresses, in every directive that takes one.
pub fn address(text: &[u8]) {
    let line = one_line(text);
    for key in [
        "ListenStream",
        "ListenDatagram",
        "ListenSequentialPacket",
        "ListenFIFO",
        "ListenSpecial",
        "ListenNetlink",
        "ListenMessageQueue",
        "ListenUSBFunction",
    ] {
        let start = format!("[Socket]\n{key}=");
        let unit = read("a@b.socket", &with(start.as_bytes(), &line), Syntax::Systemd);
        let Some(socket) = unit.socket() else { continue };
        for listen in &socket.listen {
            // What is shown can be written in a unit file again, and is shown as the same.
            let shown = listen.address.to_string();
            let file = format!("{start}{}", shown.replace('%', "%%"));
            let again = read("a@b.socket", file.as_bytes(), Syntax::Systemd);
            let first = again.socket().and_then(|socket| socket.listen.first());
            let same = first.is_some_and(|listen| listen.address.to_string() == shown);
            // A specifier without a value may leave a blank at the end, which cannot be written as such.
            assert!(same || has_escapes(&shown) || shown.ends_with([' ', '\t']), "{file}");
        }
    }
}

/// A value for one directive, of all that there are: the first two bytes choose it.
pub fn value(text: &[u8]) {
    let [low, high, text @ ..] = text else { return };
    let directives: Vec<_> = sockmgr_unit::directives().collect();
    let directive = directives[usize::from(u16::from_le_bytes([*low, *high])) % directives.len()];
    let Some(section) = directive.sections.first() else { return };
    let start = format!("[{}]\n{}=", section.as_str(), directive.name);
    let end = b"\n[Socket]\nListenStream=1\n[Service]\nExecStart=/bin/true\n";
    let file = with(&with(start.as_bytes(), &one_line(text)), end);
    for name in ["a@b.socket", "a@b.service"] {
        read(name, &file, Syntax::Systemd);
    }
}

/// Environment files: what is in them are variables.
pub fn environment(text: &[u8]) {
    for (name, _) in parse_environment_file(text).into_iter().flatten() {
        assert!(!name.is_empty() && !name.contains(['=', '\0']), "{name:?}");
    }
}

/// Names of units, escaped and back.
pub fn name(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    if let Ok(name) = text.parse::<UnitName>() {
        assert_eq!(name.as_str(), text);
        assert_eq!(name.is_instance(), name.template().is_some());
    }
    // No argument and no file name has a NUL in it.
    if text.contains('\0') {
        return;
    }
    assert_eq!(unescape(&escape(&text)).as_deref(), Ok(&*text));
    if let Ok(path) = escape_path(&text) {
        assert!(unescape_path(&path).is_ok(), "{path}");
    }
    if let Ok(name) = mangle(&text) {
        assert_eq!(mangle(name.as_str()), Ok(name));
    }
}

fn as_units(text: &[u8], syntax: Syntax) {
    for name in ["a.socket", "a@b.socket", "a.service", "a@b.service", "a.target"] {
        read(name, text, syntax);
    }
}

/// Loads `name` from a file and a drop-in of this text, and looks at all there is.
fn read(name: &str, text: &[u8], syntax: Syntax) -> std::sync::Arc<Unit> {
    let name: UnitName = name.parse().expect("the names above are names");
    let file = name.template().unwrap_or_else(|| name.clone());
    let source = |path: &str| Source { path: Path::new(path).into(), text: text.into(), syntax };
    let mut library = Library::new(host());
    library.add_fragment(file.clone(), Fragment::Source(source("/units/a")));
    library.add_drop_in(file.as_str(), source("/units/a.d/a.conf"), 0);
    let unit = library.unit(&name);
    for (_, _, property) in unit.properties() {
        let _ = format!("{property:?}");
    }
    for diagnostic in library.take_diagnostics() {
        let said = diagnostic.to_string();
        assert!(!said.is_empty() && said.len() < 65536 + 4 * text.len(), "{said}");
    }
    unit
}

fn host() -> Host {
    Host { host_name: "host.example".into(), interfaces: vec![("lo".into(), 1)], ..Host::default() }
}

/// Printed addresses of paths escape what a terminal would not show.
fn has_escapes(text: &str) -> bool {
    text.contains('\\')
}

/// The text up to the end of its line.
fn one_line(text: &[u8]) -> Vec<u8> {
    text.iter().copied().take_while(|byte| *byte != b'\n').collect()
}

fn with(start: &[u8], end: &[u8]) -> Vec<u8> {
    [start, end].concat()
}
