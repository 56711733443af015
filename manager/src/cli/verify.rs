//! verify: what is wrong with unit files, without a manager.
//!
//! The files are read by the same loader and judged by the same library as in the manager; only what one unit says of
//! another is looked at here. Invariant: nothing is said of units that were not asked for.

mod doubts;
mod explain;
mod holder;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sockmgr_unit::{Diagnostic, Library, LoadState, Settings, Severity, Syntax, Unit, UnitName};

use super::args::{Flags, Verify};
use super::exit::{CliError, Exit};
use super::session::{Target, print, to_json};
use crate::loader::{self, Loader, SearchPath};
use explain::Explanation;

/// The settings file, which is checked as well.
const SETTINGS: &str = "sockmgr.toml";

/// Why a file cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerifyError {
    #[error("cannot read {path}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "{path}: {reason}; a unit file is named like web.socket, web@.service.toml or web.socket.d/10-limits.conf"
    )]
    Name { path: PathBuf, reason: String },
    #[error("{0}")]
    Settings(String),
}

/// Checks the files. Success only when there is nothing to say but notices.
pub(crate) fn run(flags: &Flags, target: &Target, what: &Verify) -> Result<Exit, CliError> {
    match (what.to_toml, what.to_systemd) {
        (true, _) => return print_converted(&what.files, Syntax::Toml),
        (_, true) => return print_converted(&what.files, Syntax::Systemd),
        (false, false) => {}
    }
    let (diagnostics, units) = check(target, &what.files)?;
    match flags.json() {
        Some(form) => {
            let findings = diagnostics.iter().map(Finding::of).collect();
            print(&to_json(&Report { units, findings }, form)?)?;
        }
        None => {
            let own = std::env::current_dir().unwrap_or_default();
            let findings = diagnostics.iter().map(|diagnostic| format!("{}\n", nearer(diagnostic, &own)));
            let explained = units.iter().map(ToString::to_string);
            print(&findings.chain(explained).collect::<String>())?;
        }
    }
    let wrong = diagnostics.iter().any(|diagnostic| diagnostic.severity > Severity::Notice);
    Ok(if wrong { Exit::Failure } else { Exit::Success })
}

/// Prints one file in the other syntax; what was found wrong goes to stderr, so that stdout can be a file.
fn print_converted(files: &[PathBuf], to: Syntax) -> Result<Exit, CliError> {
    let [file] = files else {
        return Err(CliError::Usage("only one file at a time can be converted".into()));
    };
    let unreadable = |source| VerifyError::Unreadable { path: file.clone(), source };
    let source = loader::read_source(file).map_err(unreadable)?;
    match sockmgr_unit::convert(&source, to) {
        Ok(text) => print(&text).map(|()| Exit::Success),
        Err(diagnostic) => {
            eprintln!("{diagnostic}");
            Ok(Exit::Failure)
        }
    }
}

/// All that is said, for programs.
#[derive(Serialize)]
struct Report<'a> {
    /// What each unit does.
    units: Vec<Explanation>,
    /// What is wrong.
    findings: Vec<Finding<'a>>,
}

/// One finding for programs.
#[derive(Serialize)]
struct Finding<'a> {
    file: &'a Path,
    line: Option<u32>,
    column: Option<u32>,
    severity: String,
    directive: Option<&'a str>,
    message: &'a str,
    help: Option<&'a str>,
}

impl<'a> Finding<'a> {
    fn of(diagnostic: &'a Diagnostic) -> Self {
        Self {
            file: &diagnostic.file,
            line: diagnostic.line,
            column: diagnostic.column,
            severity: diagnostic.severity.to_string(),
            directive: diagnostic.directive.as_deref(),
            message: &diagnostic.message,
            help: diagnostic.help.as_deref(),
        }
    }
}

/// With the file named from the current directory where it lies below that, so that an editor or a shell finds it.
fn nearer(diagnostic: &Diagnostic, own: &Path) -> Diagnostic {
    match diagnostic.file.strip_prefix(own) {
        Ok(file) if file != Path::new("") => Diagnostic { file: file.into(), ..diagnostic.clone() },
        _ => diagnostic.clone(),
    }
}

/// Where a unit's files lie, and the unit's name.
struct Place {
    directory: PathBuf,
    unit: UnitName,
}

fn check(target: &Target, files: &[PathBuf]) -> Result<(Vec<Diagnostic>, Vec<Explanation>), CliError> {
    let mut diagnostics = Vec::new();
    let mut places = Vec::new();
    for file in files {
        if file.file_name().is_some_and(|name| name == SETTINGS) {
            let read = loader::read_settings(target.scope, Some(file)).map_err(VerifyError::Settings)?;
            diagnostics.extend(read.1);
        } else {
            places.push(place(file)?);
        }
    }
    let (found, units) = check_units(target, &places);
    diagnostics.extend(found);
    Ok((diagnostics, units))
}

fn place(file: &Path) -> Result<Place, VerifyError> {
    let unreadable = |source| VerifyError::Unreadable { path: file.to_path_buf(), source };
    std::fs::File::open(file).map_err(unreadable)?;
    // The name is the one given, also where it is a link to a file of another name.
    let path = std::path::absolute(file).map_err(unreadable)?;
    let (directory, name) =
        (path.parent().unwrap_or(&path), path.file_name().unwrap_or_default().to_string_lossy());
    let drop_in_of = directory.file_name().and_then(|name| name.to_str()?.strip_suffix(".d"));
    let (directory, name) = match drop_in_of {
        Some(unit) if name.ends_with(".conf") || name.ends_with(".toml") => {
            (directory.parent().unwrap_or(directory), unit)
        }
        _ => (directory, name.strip_suffix(".toml").unwrap_or(&name)),
    };
    match name.parse() {
        Ok(unit) => Ok(Place { directory: directory.to_path_buf(), unit }),
        Err(error) => {
            let error: sockmgr_unit::NameError = error;
            Err(VerifyError::Name { path: file.to_path_buf(), reason: error.to_string() })
        }
    }
}

/// Loads the units from their own directories first, then from the usual ones, and says what is wrong with them.
fn check_units(target: &Target, places: &[Place]) -> (Vec<Diagnostic>, Vec<Explanation>) {
    let mut directories: Vec<PathBuf> = places.iter().map(|place| place.directory.clone()).collect();
    directories.extend_from_slice(SearchPath::new::<&str>(target.scope, &[], &[]).directories());
    let path = SearchPath::new::<&str>(target.scope, &directories, &[]);
    let host = loader::host(target.scope, &target.runtime_dir);
    let mut library = Loader::new(path).load(host, Settings::default());
    // What the scan found concerns all directories; of that only the files of the units in question are told.
    let mut diagnostics = library.take_diagnostics();
    diagnostics.retain(|diagnostic| places.iter().any(|place| place.owns(&diagnostic.file)));
    let mut units = Vec::new();
    for name in places.iter().map(|place| &place.unit).collect::<BTreeSet<_>>() {
        let (found, unit) = check_unit(&mut library, name);
        diagnostics.extend(found);
        units.push(Explanation::of(&mut library, name, &unit));
    }
    (diagnostics, units)
}

impl Place {
    /// Whether `file` is a unit file of this unit, or one of its drop-ins.
    fn owns(&self, file: &Path) -> bool {
        let name = self.unit.as_str();
        let is = |path: &Path, end: &str| {
            path.file_name()
                .and_then(|own| own.to_str())
                .is_some_and(|own| own.strip_prefix(name) == Some(end))
        };
        is(file, "") || is(file, ".toml") || file.parent().is_some_and(|parent| is(parent, ".d"))
    }
}

fn check_unit(library: &mut Library, name: &UnitName) -> (Vec<Diagnostic>, Arc<Unit>) {
    // A template is a unit only with an instance; any will do.
    let loaded = if name.is_template() { name.with_instance("1").ok() } else { None };
    let unit = library.unit(loaded.as_ref().unwrap_or(name));
    let mut diagnostics = library.take_diagnostics();
    let file = unit.fragment_path.as_deref().unwrap_or(Path::new(name.as_str()));
    let told = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    match (&unit.load_error, unit.load_state) {
        (Some(error), _) if !told => diagnostics.push(Diagnostic::new(Severity::Error, file, error.clone())),
        (None, LoadState::NotFound) => {
            let message = format!("there is no unit file for {name}, only drop-ins");
            diagnostics.push(Diagnostic::new(Severity::Error, file, message));
        }
        _ => {}
    }
    diagnostics.extend(check_triggered(library, &unit, file));
    diagnostics.extend(doubts::about(library, name, &unit, file));
    (diagnostics, unit)
}

/// A socket must have the service that it starts.
fn check_triggered(library: &mut Library, unit: &Unit, file: &Path) -> Option<Diagnostic> {
    if unit.load_state != LoadState::Loaded {
        return None;
    }
    let service = unit.triggers()?;
    let instance = if service.is_template() { service.with_instance("1").ok()? } else { service.clone() };
    let state = library.unit(&instance).load_state;
    // What is wrong with the service itself is told when it is asked for.
    library.take_diagnostics();
    let message = match state {
        LoadState::NotFound => format!("starts {service}, for which there is no unit file"),
        LoadState::Masked => format!("starts {service}, which is masked"),
        LoadState::Loaded | LoadState::BadSetting | LoadState::Error => return None,
    };
    let help = match unit.socket() {
        // Such a socket may not name a service.
        Some(socket) if socket.accept => format!("write {service}"),
        _ => format!("write {service}, or name another service with Service="),
    };
    Some(Diagnostic::new(Severity::Error, file, message).with_help(help))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::paths::Scope;

    /// Writes the files to a directory and checks those that are asked for.
    fn verify(files: &[(&str, &str)], asked: &[&str], expected: &Expect) {
        let temp = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = temp.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let target =
            Target { scope: Scope::User, runtime_dir: temp.path().join("run"), options: String::new() };
        let asked: Vec<PathBuf> = asked.iter().map(|name| temp.path().join(name)).collect();
        let text = match check(&target, &asked) {
            Ok((diagnostics, _)) => {
                diagnostics.iter().map(|it| format!("{}\n", nearer(it, temp.path()))).collect()
            }
            Err(error) => super::super::exit::chain(&error).replace(temp.path().to_str().unwrap(), "."),
        };
        expected.assert_eq(&text);
    }

    const SERVICE: (&str, &str) = ("web.service", "[Service]\nExecStart=/bin/true\n");
    const SOCKET: (&str, &str) = ("web.socket", "[Socket]\nListenStream=/tmp/x\n");

    #[test]
    fn good_units_have_nothing_said_of_them() {
        verify(&[SERVICE, SOCKET], &["web.service", "web.socket"], &expect![""]);
    }

    #[test]
    fn only_the_units_asked_for_are_judged() {
        let bad = ("bad.socket", "[Socket]\nListenStream=/tmp/x\nNonsense=1\n");
        verify(&[SERVICE, SOCKET, bad], &["web.socket"], &expect![""]);
    }

    #[test]
    fn findings_name_file_and_line() {
        let socket = ("web.socket", "[Socket]\nListenStream=/tmp/x\nAcept=yes\n");
        let drop_in = ("web.socket.d/10-x.conf", "[Socket]\nBacklog=many\n");
        let expected = expect![[r#"
            web.socket:3: warning: unknown directive Acept= in [Socket]
                help: did you mean Accept=?
            web.socket.d/10-x.conf:2: warning: Backlog=: "many" is not a whole number
                help: Backlog= takes a number from 0 to 4294967295
        "#]];
        verify(&[SERVICE, socket, drop_in], &["web.socket"], &expected);
        verify(
            &[SERVICE, SOCKET, drop_in],
            &["web.socket.d/10-x.conf"],
            &expect![[r#"
            web.socket.d/10-x.conf:2: warning: Backlog=: "many" is not a whole number
                help: Backlog= takes a number from 0 to 4294967295
        "#]],
        );
    }

    #[test]
    fn a_template_is_checked_as_one_of_its_instances() {
        let template = ("web@.service", "[Service]\nExecStart=/bin/true %i\nBogus=%i\n");
        verify(
            &[template],
            &["web@.service"],
            &expect![[r#"
            web@.service:3: warning: unknown directive Bogus= in [Service]
        "#]],
        );
    }

    #[test]
    fn a_socket_needs_its_service() {
        verify(
            &[SOCKET],
            &["web.socket"],
            &expect![[r#"
            web.socket: error: starts web.service, for which there is no unit file
                help: write web.service, or name another service with Service=
        "#]],
        );
        let accepting = ("web.socket", "[Socket]\nListenStream=/tmp/x\nAccept=yes\n");
        verify(
            &[SERVICE, accepting],
            &["web.socket"],
            &expect![[r#"
            web.socket: error: starts web@.service, for which there is no unit file
                help: write web@.service
        "#]],
        );
    }

    #[test]
    fn what_will_not_do_here_is_doubted() {
        let service = (
            "web.service",
            "[Service]\nExecStart=/no/such/program\nUser=nobody-at-all\nWorkingDirectory=/no/such\nSockets=not.socket\n",
        );
        verify(
            &[service],
            &["web.service"],
            &expect![[r#"
            web.service: warning: User=nobody-at-all: there is no such user
                help: make the user, or name another one
            web.service: warning: /no/such/program is not there
                help: install the program, or correct its path
            web.service: warning: WorkingDirectory=/no/such: there is no such directory
                help: make it, or write -/path: it may be missing
            web.service: warning: Sockets=not.socket: there is no such unit
                help: write not.socket
        "#]],
        );
        let inetd = ("a@.service", "[Service]\nExecStart=/bin/true\nStandardInput=socket\nRestart=always\n");
        let socket = ("a.socket", "[Socket]\nListenStream=/tmp/x\nAccept=yes\nSocketGroup=nobody-at-all\n");
        verify(
            &[inetd, socket],
            &["a.socket", "a@.service"],
            &expect![[r#"
            a.socket: warning: SocketGroup=nobody-at-all: there is no such group
                help: make the group, or name another one
            a.socket: warning: a@.service has Restart=, but is started for one connection only
                help: leave Restart= out; the next connection starts the next one
        "#]],
        );
        verify(
            &[inetd],
            &["a@.service"],
            &expect![[r#"
            a@.service: warning: StandardInput=socket, but no socket starts this service
                help: write a.socket
        "#]],
        );
    }

    #[test]
    fn what_a_unit_does_is_explained() {
        let temp = tempfile::tempdir().unwrap();
        let socket = "[Socket]\nListenStream=127.0.0.1:80\nListenStream=@x\nInstances=4\n";
        std::fs::write(temp.path().join("web.socket"), socket).unwrap();
        std::fs::write(temp.path().join("web@.service"), "[Service]\nExecStart=/bin/true %i\nUser=root\n")
            .unwrap();
        let target =
            Target { scope: Scope::User, runtime_dir: temp.path().join("run"), options: String::new() };
        let files = ["web.socket", "web@.service"].map(|name| temp.path().join(name));
        let (_, units) = check(&target, &files).unwrap();
        let text: String = units.iter().map(ToString::to_string).collect();
        expect![[r#"
            web.socket (loaded)
              listens on  127.0.0.1:80 (stream, 4 listeners)
              listens on  @x (stream)
              starts      4 instances of web@.service
              needs       CAP_NET_BIND_SERVICE for 127.0.0.1:80
            web@.service (loaded)
              started by  web.socket
              runs        /bin/true 1
              as user     root
              needs       CAP_SETUID for User=
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn what_is_no_unit_file_is_an_error() {
        verify(
            &[("notes.txt", "")],
            &["notes.txt"],
            &expect![[
                r#"./notes.txt: "notes.txt" does not end in a unit type such as .service or .socket; a unit file is named like web.socket, web@.service.toml or web.socket.d/10-limits.conf"#
            ]],
        );
        verify(
            &[],
            &["web.socket"],
            &expect!["cannot read ./web.socket: No such file or directory (os error 2)"],
        );
    }
}
