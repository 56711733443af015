//! A unit while its files are read: entries become assignments to sections, and what cannot be is said.
//!
//! Never here: which files a unit has (`library`) and the grammars of values. Invariant: reading goes on after a bad
//! line unless systemd would stop there too.

use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::directive::{Context, Scalar, Section};
use crate::implied::implied;
use crate::library::{DependencyKind, Fragment, Source};
use crate::name::{UnitName, UnitType};
use crate::relation::Implied;
use crate::section::{
    Account, ExecSection, InstallSection, OptionSection, ResourceSection, SandboxSection, StreamSection,
    UnitSection, WorkingDirectory,
};
use crate::section::{ConditionSection, RelationSection};
use crate::settings::Settings;
use crate::specifier::Host;
use crate::suggest;
use crate::syntax::{self, Assignment, Entry, Place, SyntaxError, Written};
use crate::unit::{LoadState, ServiceUnit, SocketUnit, UnitKind};
use crate::value::{
    KeyringMode, ListenAddress, Mode, ProtectHome, ProtectSystem, ServiceType, Size, Span, ValueError, path,
};

/// Directives of `[Unit]` that systemd also takes, for old files, in `[Service]`.
const UNIT_KEYS_IN_SERVICE: [&str; 2] = ["StartLimitInterval", "StartLimitBurst"];

/// Why reading a file stopped before its end, and what that makes of the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) state: LoadState,
    /// In a sentence without full stop; a mask needs no reason.
    pub(crate) error: Option<String>,
}

/// A unit whose files are being read.
pub(crate) struct Draft<'a> {
    name: &'a UnitName,
    host: &'a Host,
    wanted: Wanted,
    fragment: Option<&'a Path>,
    unit: UnitSection,
    relations: RelationSection,
    conditions: ConditionSection,
    install: InstallSection,
    body: Body,
    type_given: bool,
    instance_dependent: bool,
    diagnostics: Vec<Diagnostic>,
    outcome: Result<(), Stop>,
}

/// Which sections are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// What enabling looks at, whatever else is wrong with the unit.
    Install,
}

enum Body {
    Socket(Box<SocketUnit>),
    Service(Box<ServiceUnit>),
    Target,
    Other,
}

/// Which section the assignments of a file belong to at the moment.
#[derive(Clone, Copy)]
enum Current {
    Known(Section),
    Skipped,
}

/// What remains when all files are read.
pub(crate) struct Finished {
    pub(crate) unit: UnitSection,
    pub(crate) relations: Arc<RelationSection>,
    pub(crate) conditions: Arc<ConditionSection>,
    pub(crate) implied: Arc<Implied>,
    pub(crate) install: Arc<InstallSection>,
    pub(crate) kind: UnitKind,
    /// Whether another instance of the template would have got anything else.
    pub(crate) instance_dependent: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Whether the unit can be used.
    pub(crate) outcome: Result<(), Stop>,
}

/// The last section of its kind: most units have the same `[Install]`, and many the same surroundings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    relations: Arc<RelationSection>,
    conditions: Arc<ConditionSection>,
    socket_implied: Arc<Implied>,
    service_implied: Arc<Implied>,
    install: Arc<InstallSection>,
    options: Arc<OptionSection>,
    socket_exec: Arc<ExecSection>,
    service_exec: Arc<ExecSection>,
    socket_streams: Arc<StreamSection>,
    service_streams: Arc<StreamSection>,
    resources: Arc<ResourceSection>,
    sandbox: Arc<SandboxSection>,
}

impl Pool {
    /// Lets the unit have the last section instead of its own where the two are equal.
    pub(crate) fn share(&mut self, unit: &mut Finished) {
        share(&mut self.relations, &mut unit.relations);
        share(&mut self.conditions, &mut unit.conditions);
        share(&mut self.install, &mut unit.install);
        match &mut unit.kind {
            UnitKind::Socket(body) => {
                share(&mut self.socket_implied, &mut unit.implied);
                let body = Arc::make_mut(body);
                share(&mut self.socket_exec, &mut body.exec);
                share(&mut self.socket_streams, &mut body.streams);
                share(&mut self.resources, &mut body.resources);
                share(&mut self.sandbox, &mut body.sandbox);
                share(&mut self.options, &mut body.options);
            }
            UnitKind::Service(body) => {
                share(&mut self.service_implied, &mut unit.implied);
                let body = Arc::make_mut(body);
                share(&mut self.service_exec, &mut body.exec);
                share(&mut self.service_streams, &mut body.streams);
                share(&mut self.resources, &mut body.resources);
                share(&mut self.sandbox, &mut body.sandbox);
            }
            UnitKind::Target | UnitKind::Other => {}
        }
    }
}

fn share<T: PartialEq>(last: &mut Arc<T>, section: &mut Arc<T>) {
    if **last == **section {
        *section = Arc::clone(last);
    } else {
        *last = Arc::clone(section);
    }
}

impl<'a> Draft<'a> {
    /// A unit of which no file has been read yet: everything has its default.
    pub(crate) fn new(name: &'a UnitName, host: &'a Host, settings: &Settings) -> Self {
        let body = match name.unit_type() {
            UnitType::Socket => Body::Socket(Box::new(socket_defaults(settings))),
            UnitType::Service => Body::Service(Box::new(service_defaults(settings))),
            UnitType::Target => Body::Target,
            _ => Body::Other,
        };
        let unit = UnitSection {
            start_limit_interval_sec: settings.default_start_limit_interval_sec,
            start_limit_burst: settings.default_start_limit_burst,
            ..UnitSection::default()
        };
        let (relations, install) = (RelationSection::default(), InstallSection::default());
        let (type_given, instance_dependent) = (false, false);
        Self {
            name,
            host,
            wanted: Wanted::All,
            fragment: None,
            unit,
            relations,
            conditions: ConditionSection::default(),
            install,
            body,
            type_given,
            instance_dependent,
            diagnostics: Vec::new(),
            outcome: Ok(()),
        }
    }

    /// The same, but only `[Install]` is read.
    pub(crate) fn of_install(name: &'a UnitName, host: &'a Host, settings: &Settings) -> Self {
        Self { wanted: Wanted::Install, ..Self::new(name, host, settings) }
    }

    /// `[Install]` as it is so far, and what was wrong with it.
    pub(crate) fn into_install(self) -> (InstallSection, Vec<Diagnostic>) {
        (self.install, self.diagnostics)
    }

    /// Takes what the search path has for the unit; where a line ends it, what stands above that counts.
    pub(crate) fn fragment(&mut self, fragment: &'a Fragment) {
        self.outcome = match fragment {
            Fragment::Masked(_) => Err(Stop { state: LoadState::Masked, error: None }),
            Fragment::Source(source) if source.text.is_empty() => {
                Err(Stop { state: LoadState::Masked, error: None })
            }
            Fragment::Source(source) => {
                self.fragment = Some(&source.path);
                self.file(source)
            }
            Fragment::Unreadable(path, error) => {
                self.diagnostics.push(Diagnostic::new(Severity::Error, path, error.clone()));
                Err(Stop { state: LoadState::Error, error: Some(error.clone()) })
            }
            // Whoever found the file has followed it.
            Fragment::Alias(_) => Ok(()),
        };
    }

    /// Whether nothing has ended the unit so far.
    pub(crate) fn is_usable(&self) -> bool {
        self.outcome.is_ok()
    }

    /// Reads a drop-in. A line that would end a unit ends only the drop-in: what stands below it is lost.
    pub(crate) fn drop_in(&mut self, source: &Source) {
        // The line has been reported; systemd throws the result away too.
        let _ = self.file(source);
    }

    /// Takes the text of a unit that is built in.
    pub(crate) fn built_in(&mut self, text: &str) {
        let source = Source {
            path: Path::new("").into(),
            text: text.as_bytes().into(),
            syntax: syntax::Syntax::Systemd,
        };
        // It is ours, and good.
        let _ = self.file(&source);
    }

    /// Adds a link of a `.wants`, `.requires` or `.upholds` directory; one to a template means an instance of the same name.
    pub(crate) fn add_dependency(&mut self, kind: DependencyKind, target: &UnitName) {
        self.instance_dependent |= target.is_template();
        let of_instance = || target.with_instance(self.name.instance_or_prefix()).ok();
        let target = if target.is_template() { of_instance() } else { Some(target.clone()) };
        let names = match kind {
            DependencyKind::Wants => &mut self.unit.wants,
            DependencyKind::Requires => &mut self.unit.requires,
            DependencyKind::Upholds => &mut self.relations.upholds,
        };
        add_missing(names, target);
    }

    fn file(&mut self, source: &Source) -> Result<(), Stop> {
        let mut current = Current::Skipped;
        for entry in syntax::parse(&source.text, source.syntax) {
            match entry {
                Entry::Section { name, place } => current = self.section(&name, place, source),
                Entry::Assignment(assignment) => {
                    if let Current::Known(section) = current {
                        self.assignment(section, &assignment, source)?;
                    }
                }
                Entry::Ignored { .. }
                    if self.wanted == Wanted::Install && matches!(current, Current::Skipped) => {}
                Entry::Ignored { place, problem } => {
                    let form = match (&problem, current) {
                        (SyntaxError::BadType { key, .. }, Current::Known(section)) => {
                            suggest::form(section, key)
                        }
                        _ => None,
                    };
                    let help = form.or_else(|| problem.help().map(str::to_owned));
                    let found = at(Severity::Warning, source, place, problem.to_string());
                    self.diagnostics.push(Diagnostic { help, ..found });
                }
                Entry::Broken { place, problem } => {
                    let error = problem.to_string();
                    let found = at(Severity::Error, source, place, error.clone());
                    self.diagnostics.push(Diagnostic { help: problem.help().map(str::to_owned), ..found });
                    return Err(Stop { state: LoadState::Error, error: Some(error) });
                }
            }
        }
        Ok(())
    }

    fn section(&mut self, name: &str, place: Place, source: &Source) -> Current {
        if self.wanted == Wanted::Install && name != "Install" {
            return Current::Skipped;
        }
        match (name, &self.body) {
            ("Unit", _) => Current::Known(Section::Unit),
            ("Install", _) => Current::Known(Section::Install),
            ("Socket", Body::Socket(_)) => Current::Known(Section::Socket),
            ("Service", Body::Service(_)) => Current::Known(Section::Service),
            (_, Body::Other) => Current::Skipped,
            _ if name.starts_with("X-") => Current::Skipped,
            _ => {
                let found =
                    at(Severity::Warning, source, place, format!("unknown section [{name}]; it is skipped"));
                self.diagnostics.push(found.with_help(self.sections()));
                Current::Skipped
            }
        }
    }

    fn sections(&self) -> String {
        let own = match self.body {
            Body::Socket(_) => ", [Socket]",
            Body::Service(_) => ", [Service]",
            Body::Target | Body::Other => "",
        };
        format!("a .{} has the sections [Unit]{own} and [Install]", self.name.unit_type().as_str())
    }

    fn assignment(
        &mut self,
        section: Section,
        assignment: &Assignment<'_>,
        source: &Source,
    ) -> Result<(), Stop> {
        let Assignment { key, value, place, written } = assignment;
        let cx = Context::new(self.name, self.host).of_fragment(self.fragment).at(key);
        let outcome = match refuse_number(section, key, *written) {
            Some(error) => Some(Err(error)),
            None => self.assign(section, value, &cx),
        };
        self.instance_dependent |= cx.is_instance_dependent();
        for warning in cx.into_warnings() {
            self.report(section, key, *place, source, &warning);
        }
        match outcome {
            None => self.unknown(section, key, *place, source),
            Some(Ok(())) => self.type_given |= section == Section::Service && key == "Type",
            Some(Err(error)) => {
                self.report(section, key, *place, source, &error);
                if error.is_fatal() {
                    let unreadable = matches!(error, ValueError::Unreadable(_));
                    let state = if unreadable { LoadState::Error } else { LoadState::BadSetting };
                    let error = format!("{key}=: {error}");
                    return Err(Stop { state, error: Some(error) });
                }
            }
        }
        Ok(())
    }

    fn assign(&mut self, section: Section, text: &str, cx: &Context<'_>) -> Option<Result<(), ValueError>> {
        match (section, &mut self.body) {
            (Section::Unit, _) => self
                .unit
                .assign(text, cx)
                .or_else(|| self.relations.assign(text, cx))
                .or_else(|| self.conditions.assign(text, cx)),
            (Section::Install, _) => self.install.assign(text, cx),
            (Section::Socket, Body::Socket(body)) => {
                let SocketUnit { socket, options, exec, streams, resources, sandbox, kill } = &mut **body;
                let (options, exec) = (Arc::make_mut(options), Arc::make_mut(exec));
                let resources = Arc::make_mut(resources);
                socket
                    .assign(text, cx)
                    .or_else(|| options.assign(text, cx))
                    .or_else(|| exec.assign(text, cx))
                    .or_else(|| Arc::make_mut(streams).assign(text, cx))
                    .or_else(|| resources.assign(text, cx))
                    .or_else(|| Arc::make_mut(sandbox).assign(text, cx))
                    .or_else(|| kill.assign(text, cx))
            }
            (Section::Service, Body::Service(_)) if UNIT_KEYS_IN_SERVICE.contains(&cx.key()) => {
                self.unit.assign(text, cx)
            }
            (Section::Service, Body::Service(body)) => {
                let ServiceUnit { service, exec, streams, resources, sandbox, kill } = &mut **body;
                let (exec, resources) = (Arc::make_mut(exec), Arc::make_mut(resources));
                service
                    .assign(text, cx)
                    .or_else(|| exec.assign(text, cx))
                    .or_else(|| Arc::make_mut(streams).assign(text, cx))
                    .or_else(|| resources.assign(text, cx))
                    .or_else(|| Arc::make_mut(sandbox).assign(text, cx))
                    .or_else(|| kill.assign(text, cx))
            }
            (Section::Socket | Section::Service | Section::Manager, _) => None,
        }
    }

    fn report(&mut self, section: Section, key: &str, place: Place, source: &Source, error: &ValueError) {
        let severity = match error {
            error if error.is_fatal() => Severity::Error,
            error if error.is_remark() => Severity::Notice,
            _ => Severity::Warning,
        };
        // A remark is about an accepted value: the form would tell its author nothing new.
        let form = || if error.is_remark() { None } else { suggest::form(section, key) };
        let help = error.help().or_else(form);
        let found = at(severity, source, place, format!("{key}=: {error}")).about(key);
        self.diagnostics.push(Diagnostic { help, ..found });
    }

    fn unknown(&mut self, section: Section, key: &str, place: Place, source: &Source) {
        if key.starts_with("X-") {
            return;
        }
        let suggest::Unknown { message, help } = suggest::unknown(section, key);
        let found = at(Severity::Warning, source, place, message).about(key);
        self.diagnostics.push(Diagnostic { help, ..found });
    }

    /// The unit with its defaults resolved and checked as a whole.
    pub(crate) fn finish(mut self, settings: &Settings) -> Finished {
        if let Body::Service(body) = &mut self.body {
            resolve_service(body, self.type_given, settings);
            resolve_surroundings(&mut body.exec, &mut body.resources, self.host);
            make_up_user(&mut body.exec, &mut body.sandbox, self.name);
        }
        if let Body::Socket(body) = &mut self.body {
            resolve_surroundings(&mut body.exec, &mut body.resources, self.host);
            Arc::make_mut(&mut body.sandbox).resolve();
            make_up_user(&mut body.exec, &mut body.sandbox, self.name);
            let socket = &mut body.socket;
            if socket.instances.is_none()
                && let Some(template) = socket.service.take_if(|service| service.is_template())
            {
                let message = format!(
                    "Service=: {template} is a template, and only a socket with Instances= starts one"
                );
                let path = self.fragment.unwrap_or_else(|| Path::new(""));
                self.diagnostics.push(Diagnostic::new(Severity::Warning, path, message).about("Service"));
            }
            socket.limit_action.get_or_insert(settings.default_limit_action);
            socket.timeout_sec = Some(timeout(socket.timeout_sec, settings.default_timeout_start_sec));
        }
        self.add_implied_dependencies();
        self.shrink();
        if self.is_usable() {
            self.outcome = self.check();
            self.report_outcome();
        }
        let kind = match self.body {
            Body::Socket(body) => UnitKind::Socket(Arc::from(body)),
            Body::Service(body) => UnitKind::Service(Arc::from(body)),
            Body::Target => UnitKind::Target,
            Body::Other => UnitKind::Other,
        };
        let implied = implied(self.name, &kind, &self.relations, self.host.manager);
        Finished {
            unit: self.unit,
            relations: Arc::new(self.relations),
            conditions: Arc::new(self.conditions),
            implied: Arc::new(implied),
            install: Arc::new(self.install),
            kind,
            instance_dependent: self.instance_dependent,
            diagnostics: self.diagnostics,
            outcome: self.outcome,
        }
    }

    /// A contradiction within a unit is reported where its main file is.
    fn report_outcome(&mut self) {
        if let (Err(Stop { error: Some(error), .. }), Some(path)) = (&self.outcome, self.fragment) {
            self.diagnostics.push(Diagnostic::new(Severity::Error, path, error.clone()));
        }
    }

    /// A socket is there before its service; a service wants the sockets that it names (systemd.socket(5), systemd.service(5)).
    fn add_implied_dependencies(&mut self) {
        match &self.body {
            Body::Socket(body) if !body.socket.accept => {
                if let Some(service) =
                    body.socket.triggered_service(self.name).filter(|service| !service.is_template())
                {
                    // The name of the service holds the instance of the socket.
                    self.instance_dependent |= self.name.is_instance();
                    add_missing(&mut self.unit.before, [service]);
                }
            }
            Body::Service(body) => {
                add_missing(&mut self.unit.wants, body.service.sockets.iter().cloned());
                add_missing(&mut self.unit.after, body.service.sockets.iter().cloned());
            }
            Body::Socket(_) | Body::Target | Body::Other => {}
        }
    }

    /// Thousands of units are kept for long.
    fn shrink(&mut self) {
        self.unit.shrink();
        self.relations.shrink();
        self.conditions.shrink();
        self.install.shrink();
        match &mut self.body {
            Body::Socket(body) => {
                body.socket.shrink();
                Arc::make_mut(&mut body.options).shrink();
                Arc::make_mut(&mut body.exec).shrink();
                Arc::make_mut(&mut body.streams).shrink();
                Arc::make_mut(&mut body.resources).shrink();
                Arc::make_mut(&mut body.sandbox).shrink();
                body.kill.shrink();
            }
            Body::Service(body) => {
                body.service.shrink();
                Arc::make_mut(&mut body.exec).shrink();
                Arc::make_mut(&mut body.streams).shrink();
                Arc::make_mut(&mut body.resources).shrink();
                Arc::make_mut(&mut body.sandbox).shrink();
                body.kill.shrink();
            }
            Body::Target | Body::Other => {}
        }
    }

    fn check(&self) -> Result<(), Stop> {
        let bad = |error: String| Stop { state: LoadState::BadSetting, error: Some(error) };
        match &self.body {
            Body::Socket(body) => {
                let socket = &body.socket;
                socket.check(&body.options).map_err(|error| bad(error.to_string()))?;
                socket.listen.iter().try_for_each(|listen| check_path(&listen.address))
            }
            Body::Service(body) => body.service.check().map_err(|error| bad(error.to_string())),
            Body::Target | Body::Other => Ok(()),
        }
    }
}

/// A number that would not mean what it says: an access mode is read in eights, a span or size has a unit.
pub(crate) fn refuse_number(section: Section, key: &str, written: Written) -> Option<ValueError> {
    let is = |form: &str| suggest::directives_of(section, key).any(|found| found.form == form);
    let why = match written {
        Written::Text => return None,
        Written::Decimal if is(<Mode as Scalar>::FORM) => {
            "a mode is not a number in tens; write 0o660 or \"0660\""
        }
        Written::Decimal | Written::Number if is(<Span as Scalar>::FORM) => {
            "a time span is a text, so that its unit can be seen; write \"5s\""
        }
        Written::Decimal | Written::Number if is(<Size as Scalar>::FORM) => {
            "a size is a text, so that its unit can be seen; write \"64K\""
        }
        Written::Decimal | Written::Number => return None,
    };
    Some(ValueError::new(why))
}

/// A path through `..` cannot be put in relation to mounts: systemd does not load such a unit.
fn check_path(address: &ListenAddress) -> Result<(), Stop> {
    match address {
        ListenAddress::Unix(socket) if !path::is_normalized(&path::simplify(socket)) => Err(Stop {
            state: LoadState::Error,
            error: Some(format!("the path {socket} must not go through \"..\"")),
        }),
        _ => Ok(()),
    }
}

fn at(severity: Severity, source: &Source, place: Place, message: String) -> Diagnostic {
    let found = Diagnostic::new(severity, &source.path, message).at(place.line);
    Diagnostic { column: place.column, ..found }
}

fn add_missing(names: &mut Vec<UnitName>, more: impl IntoIterator<Item = UnitName>) {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

fn socket_defaults(settings: &Settings) -> SocketUnit {
    let mut body = SocketUnit::default();
    Arc::make_mut(&mut body.resources).limits = settings.default_limits.clone();
    let streams = Arc::make_mut(&mut body.streams);
    streams.standard_output = settings.default_standard_output.clone();
    streams.standard_error = settings.default_standard_error.clone();
    body
}

fn service_defaults(settings: &Settings) -> ServiceUnit {
    let mut body = ServiceUnit::default();
    body.service.restart_sec = settings.default_restart_sec;
    Arc::make_mut(&mut body.resources).limits = settings.default_limits.clone();
    body
}

/// Fills in what depends on other directives and on the settings.
fn resolve_service(body: &mut ServiceUnit, type_given: bool, settings: &Settings) {
    Arc::make_mut(&mut body.sandbox).resolve();
    let service = &mut body.service;
    if !type_given && service.bus_name.is_some() {
        service.type_ = ServiceType::Dbus;
    } else if !type_given && service.exec_start.is_empty() {
        service.type_ = ServiceType::Oneshot;
    }
    Arc::make_mut(&mut body.streams)
        .resolve(&settings.default_standard_output, &settings.default_standard_error);
    let oneshot = service.type_ == ServiceType::Oneshot;
    let start_default = if oneshot { Span::INFINITY } else { settings.default_timeout_start_sec };
    service.timeout_start_sec = Some(timeout(service.timeout_start_sec, start_default));
    service.timeout_stop_sec = Some(timeout(service.timeout_stop_sec, settings.default_timeout_stop_sec));
}

/// Fills in what differs between the manager of the system and that of a user: a user's processes start at home, with the session
/// keyring of the user.
fn resolve_surroundings(exec: &mut Arc<ExecSection>, resources: &mut Arc<ResourceSection>, host: &Host) {
    let mode = if host.is_of_user { KeyringMode::Inherit } else { KeyringMode::Private };
    Arc::make_mut(resources).keyring_mode.get_or_insert(mode);
    if host.is_of_user {
        let directory = &mut Arc::make_mut(exec).working_directory;
        *directory = Some(match directory.take() {
            None => WorkingDirectory::Path { path: host.user.home.clone(), optional: true },
            Some(WorkingDirectory::Home { optional: _ }) => WorkingDirectory::Home { optional: true },
            Some(path @ WorkingDirectory::Path { .. }) => path,
        });
    }
}

/// `DynamicUser=` without `User=` names the user after the unit, and without `Group=` the group after the user. Its processes can
/// neither gain by programs with a set-user-ID bit nor leave any behind, nor other files for whoever gets the user's number next.
fn make_up_user(exec: &mut Arc<ExecSection>, sandbox: &mut Arc<SandboxSection>, name: &UnitName) {
    if exec.dynamic_user.0 {
        let (exec, sandbox) = (Arc::make_mut(exec), Arc::make_mut(sandbox));
        sandbox.no_new_privileges = true;
        sandbox.restrict_suid_sgid = true;
        sandbox.private_tmp = true;
        sandbox.protect_system = ProtectSystem::Strict;
        if sandbox.protect_home == ProtectHome::No {
            sandbox.protect_home = ProtectHome::ReadOnly;
        }
        let user = exec.user.get_or_insert_with(|| Account::made_up_for(name)).clone();
        exec.group.get_or_insert(user);
    }
}

/// A timeout of zero is none (systemd.service(5)).
fn timeout(given: Option<Span>, default: Span) -> Span {
    match given {
        Some(Span::ZERO) => Span::INFINITY,
        Some(span) => span,
        None if default == Span::ZERO => Span::INFINITY,
        None => default,
    }
}
