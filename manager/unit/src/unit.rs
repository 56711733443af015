//! A loaded unit: what its files say, as types.
//!
//! Never here: how it got that way (`draft`, `library`) and what it does at run time. Invariant: a unit never changes;
//! a reload makes a new one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::directive::Property;
use crate::implied::mount_paths;
use crate::name::{UnitName, UnitType};
use crate::relation::{Implied, Relation};
use crate::section::{ConditionSection, RelationSection};
use crate::section::{
    ExecSection, InstallSection, KillSection, OptionSection, ResourceSection, SandboxSection, ServiceSection,
    SocketSection, StreamSection, UnitSection,
};

/// What became of loading a unit (systemd's `LoadState`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LoadState {
    /// It can be started.
    #[default]
    Loaded,
    /// There is no file of that name.
    NotFound,
    /// Its file says something that cannot be right.
    BadSetting,
    /// Its file cannot be read.
    Error,
    /// It is forbidden to start it: its file is empty or a link to `/dev/null`.
    Masked,
}

impl LoadState {
    /// The word that `show` and D-Bus use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::NotFound => "not-found",
            Self::BadSetting => "bad-setting",
            Self::Error => "error",
            Self::Masked => "masked",
        }
    }
}

impl fmt::Display for LoadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A loaded unit. Sections are shared between units that have the same: instances of a template, and `[Install]`.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The unit's own name, also where it was asked for by another one.
    pub name: UnitName,
    /// Names of links to it.
    pub aliases: Box<[UnitName]>,
    /// Whether it can be started.
    pub load_state: LoadState,
    /// Why it cannot, in a sentence without full stop.
    pub load_error: Option<String>,
    /// The file that defines it; `None` for built-in targets and what was not found.
    pub fragment_path: Option<Arc<Path>>,
    /// The drop-ins that were applied, in that order.
    pub drop_in_paths: Arc<[Box<Path>]>,
    /// `[Unit]`
    pub unit: Arc<UnitSection>,
    /// `[Unit]`, what most leave as it is.
    pub relations: Arc<RelationSection>,
    /// `[Unit]`, what must be so that it is started.
    pub conditions: Arc<ConditionSection>,
    /// Relations that its files do not say.
    pub implied: Arc<Implied>,
    /// `[Install]`
    pub install: Arc<InstallSection>,
    /// What only units of its type have.
    pub kind: UnitKind,
}

/// What only units of one type have.
#[derive(Clone, Debug)]
pub enum UnitKind {
    /// `.socket`
    Socket(Arc<SocketUnit>),
    /// `.service`
    Service(Arc<ServiceUnit>),
    /// `.target`: nothing.
    Target,
    /// A type that sockmgr does not act on.
    Other,
}

/// The sections of a socket, all written in `[Socket]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SocketUnit {
    /// Where it listens, and what traffic starts.
    pub socket: SocketSection,
    /// How its sockets are set up; shared between sockets that have the same.
    pub options: Arc<OptionSection>,
    /// What surrounds the processes that it runs; shared between sockets that have the same.
    pub exec: Arc<ExecSection>,
    /// Where their standard streams lead; shared likewise.
    pub streams: Arc<StreamSection>,
    /// What those may use, and how they are scheduled; shared likewise.
    pub resources: Arc<ResourceSection>,
    /// What they are kept from; shared likewise.
    pub sandbox: Arc<SandboxSection>,
    /// How they are ended.
    pub kill: KillSection,
}

/// The sections of a service, all written in `[Service]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceUnit {
    /// What it is.
    pub service: ServiceSection,
    /// What surrounds its processes; shared between services that have the same.
    pub exec: Arc<ExecSection>,
    /// Where their standard streams lead; shared likewise.
    pub streams: Arc<StreamSection>,
    /// What those may use, and how they are scheduled; shared likewise.
    pub resources: Arc<ResourceSection>,
    /// What they are kept from; shared likewise.
    pub sandbox: Arc<SandboxSection>,
    /// How they are ended.
    pub kill: KillSection,
}

/// The D-Bus interface below `org.freedesktop.systemd1` that a property belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interface {
    /// `….Unit`
    Unit,
    /// `….Socket`
    Socket,
    /// `….Service`
    Service,
}

impl Interface {
    /// The last part of the interface's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unit => "Unit",
            Self::Socket => "Socket",
            Self::Service => "Service",
        }
    }
}

impl Unit {
    /// The socket's own section, if it is a socket.
    pub fn socket(&self) -> Option<&SocketSection> {
        self.socket_unit().map(|body| &body.socket)
    }

    /// The socket's sections, if it is a socket.
    pub fn socket_unit(&self) -> Option<&SocketUnit> {
        match &self.kind {
            UnitKind::Socket(socket) => Some(socket),
            UnitKind::Service(_) | UnitKind::Target | UnitKind::Other => None,
        }
    }

    /// The service's sections, if it is a service.
    pub fn service(&self) -> Option<&ServiceUnit> {
        match &self.kind {
            UnitKind::Service(service) => Some(service),
            UnitKind::Socket(_) | UnitKind::Target | UnitKind::Other => None,
        }
    }

    /// What `Description=` says, else the name.
    pub fn description(&self) -> &str {
        self.unit.description.as_deref().unwrap_or(self.name.as_str())
    }

    /// The unit's name, then those of links to it.
    pub fn names(&self) -> impl Iterator<Item = &UnitName> {
        std::iter::once(&self.name).chain(&self.aliases)
    }

    /// The service that this socket starts: a template with `Accept=yes` and in a group.
    pub fn triggers(&self) -> Option<UnitName> {
        self.socket().and_then(|socket| socket.triggered_service(&self.name))
    }

    /// The units to which it stands in that relation, written ones first, each once. What only other units' files say is not among
    /// them.
    pub fn related(&self, relation: Relation) -> impl DoubleEndedIterator<Item = &UnitName> {
        let written = self.written(relation);
        let implied = self.implied.of(relation).filter(|other| !written.contains(other));
        written.iter().chain(implied)
    }

    /// Whether it stands to `other` in that relation, as far as its own files say.
    pub fn is_related(&self, relation: Relation, other: &UnitName) -> bool {
        self.written(relation).contains(other) || self.implied.has(relation, other)
    }

    /// What its files say.
    pub fn written(&self, relation: Relation) -> &[UnitName] {
        let (unit, rare) = (&*self.unit, &*self.relations);
        match relation {
            Relation::Before => &unit.before,
            Relation::After => &unit.after,
            Relation::Requires => &unit.requires,
            Relation::Wants => &unit.wants,
            Relation::Requisite => &rare.requisite,
            Relation::BindsTo => &rare.binds_to,
            Relation::PartOf => &rare.part_of,
            Relation::Upholds => &rare.upholds,
            Relation::Conflicts => &rare.conflicts,
            Relation::OnFailure => &rare.on_failure,
            Relation::OnSuccess => &rare.on_success,
            Relation::PropagatesReloadTo => &rare.propagates_reload_to,
            Relation::ReloadPropagatedFrom => &rare.reload_propagated_from,
            Relation::PropagatesStopTo => &rare.propagates_stop_to,
            Relation::StopPropagatedFrom => &rare.stop_propagated_from,
            Relation::RequiredBy
            | Relation::RequisiteOf
            | Relation::WantedBy
            | Relation::BoundBy
            | Relation::ConsistsOf
            | Relation::UpheldBy
            | Relation::ConflictedBy
            | Relation::OnFailureOf
            | Relation::OnSuccessOf => &[],
        }
    }

    /// Every property that the files decide: D-Bus name, last part of the interface's name, value.
    pub fn properties(&self) -> impl Iterator<Item = (&'static str, &'static str, Property)> {
        let written = self.unit.properties().into_iter().chain(self.relations.properties());
        let unit = written.chain(self.own_properties()).map(of(Interface::Unit));
        let socket = self.socket_properties().into_iter().map(of(Interface::Socket));
        let service = self.service_properties().into_iter().map(of(Interface::Service));
        override_earlier(unit.chain(socket).chain(service).collect()).into_iter()
    }

    /// One property by its D-Bus name.
    pub fn property(&self, name: &str) -> Option<Property> {
        self.properties().find(|(known, _, _)| *known == name).map(|(_, _, property)| property)
    }

    /// What is known of every unit beside its directives.
    fn own_properties(&self) -> Vec<(&'static str, Property)> {
        let path = |path: Option<&Path>| path.map(|path| path.display().to_string()).unwrap_or_default();
        let names = |names: &mut dyn Iterator<Item = &UnitName>| {
            Property::Strs(names.map(ToString::to_string).collect())
        };
        let mut properties: Vec<(&'static str, Property)> =
            [Relation::After, Relation::Before, Relation::Requires, Relation::Wants, Relation::Conflicts]
                .map(|relation| (relation.as_str(), names(&mut self.related(relation))))
                .into();
        properties.extend([
            ("RequiresMountsFor", self.mounts()),
            ("Id", Property::Str(self.name.to_string())),
            ("Names", names(&mut self.names())),
            ("Description", Property::Str(self.description().to_owned())),
            ("LoadState", Property::Str(self.load_state.to_string())),
            ("FragmentPath", Property::Str(path(self.fragment_path.as_deref()))),
            (
                "DropInPaths",
                Property::Strs(self.drop_in_paths.iter().map(|drop_in| path(Some(drop_in))).collect()),
            ),
            ("Triggers", names(&mut self.triggers().iter())),
        ]);
        properties
    }

    /// Written paths, and those that other directives mean.
    fn mounts(&self) -> Property {
        let mut paths: Vec<String> = mount_paths(&self.kind, &self.relations).map(str::to_owned).collect();
        paths.sort();
        paths.dedup();
        Property::Strs(paths)
    }

    fn socket_properties(&self) -> Vec<(&'static str, Property)> {
        let Some(SocketUnit { socket, options, exec, streams, resources, sandbox, kill }) =
            self.socket_unit()
        else {
            return Vec::new();
        };
        let mut properties = process_properties(exec, streams, resources, sandbox, kill);
        properties.extend(socket.properties());
        properties.extend(options.properties());
        if socket.file_descriptor_name.is_empty() {
            // Also with Accept=yes, where the descriptor is called `connection`.
            properties.push(("FileDescriptorName", Property::Str(self.name.to_string())));
        }
        properties
    }

    fn service_properties(&self) -> Vec<(&'static str, Property)> {
        let Some(ServiceUnit { service, exec, streams, resources, sandbox, kill }) = self.service() else {
            return Vec::new();
        };
        let mut properties = service.properties();
        properties.extend(process_properties(exec, streams, resources, sandbox, kill));
        properties
    }
}

/// What all units have that run processes.
fn process_properties(
    exec: &ExecSection,
    streams: &StreamSection,
    resources: &ResourceSection,
    sandbox: &SandboxSection,
    kill: &KillSection,
) -> Vec<(&'static str, Property)> {
    let mut properties = exec.properties();
    properties.extend(exec.more_properties());
    properties.extend(streams.properties());
    properties.extend(streams.more_properties());
    properties.extend(resources.properties());
    properties.extend(resources.more_properties());
    properties.extend(sandbox.properties());
    properties.extend(kill.properties());
    properties
}

type Named = (&'static str, &'static str, Property);

fn of(interface: Interface) -> impl Fn((&'static str, Property)) -> Named {
    move |(name, property)| (name, interface.as_str(), property)
}

/// Of two properties of one name the later one counts: what depends on the whole unit is said after its sections.
fn override_earlier(properties: Vec<Named>) -> Vec<Named> {
    let is_last = |at: usize| properties[at + 1..].iter().all(|(name, _, _)| *name != properties[at].0);
    let last: Vec<bool> = (0..properties.len()).map(is_last).collect();
    properties.into_iter().zip(last).filter_map(|(property, last)| last.then_some(property)).collect()
}

impl Unit {
    /// A unit of which nothing is known but its name: not found, masked, unreadable, or a target that is built in.
    pub(crate) fn bare(name: UnitName, load_state: LoadState) -> Self {
        let kind = match name.unit_type() {
            UnitType::Socket => UnitKind::Socket(Arc::default()),
            UnitType::Service => UnitKind::Service(Arc::default()),
            UnitType::Target => UnitKind::Target,
            _ => UnitKind::Other,
        };
        let (unit, relations, conditions, implied) =
            (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        let (install, drop_in_paths) = (Arc::default(), Arc::default());
        Self {
            name,
            aliases: [].into(),
            load_state,
            load_error: None,
            fragment_path: None,
            drop_in_paths,
            unit,
            relations,
            conditions,
            implied,
            install,
            kind,
        }
    }
}
