//! What systemd implies of the relations of a unit (the sections "Implicit Dependencies" and "Default Dependencies" of systemd.unit(5),
//! systemd.service(5), systemd.socket(5), systemd.target(5), systemd.exec(5)).
//!
//! Never here: what needs another unit to be known; a target's order after what it needs is the engine's. Invariant: whatever is
//! implied is shown, and binds at run time only where the unit that it names is there.

use crate::name::{UnitName, escape};
use crate::relation::{Implied, Relation};
use crate::section::{ExecSection, RelationSection, StreamSection, WorkingDirectory};
use crate::specifier::ManagerKind;
use crate::unit::{ServiceUnit, SocketUnit, UnitKind};
use crate::value::{ListenAddress, ListenKind, ServiceType};

/// The relations of `name` that its files do not say.
pub(crate) fn implied(
    name: &UnitName,
    kind: &UnitKind,
    relations: &RelationSection,
    manager: ManagerKind,
) -> Implied {
    let mut found = Found { manager, implied: Implied::default() };
    match kind {
        UnitKind::Socket(socket) => found.socket(name, socket),
        UnitKind::Service(service) => found.service(name, service),
        UnitKind::Target | UnitKind::Other => {}
    }
    if mount_paths(kind, relations).next().is_some() {
        // Other mounts are not units here.
        found.add(Relation::After, "-.mount");
    }
    if relations.default_dependencies {
        found.defaults(name, kind);
    }
    found.implied
}

/// Paths whose file systems have to be there (systemd.unit(5), `RequiresMountsFor=`): written ones, then implied ones.
pub(crate) fn mount_paths<'a>(
    kind: &'a UnitKind,
    relations: &'a RelationSection,
) -> impl Iterator<Item = &'a str> {
    let (socket, exec) = match kind {
        UnitKind::Socket(socket) => (Some(&**socket), Some(&socket.exec)),
        UnitKind::Service(service) => (None, Some(&service.exec)),
        UnitKind::Target | UnitKind::Other => (None, None),
    };
    let listens = socket.into_iter().flat_map(|socket| &socket.socket.listen);
    let listens = listens.filter_map(|listen| match &listen.address {
        ListenAddress::Unix(path) => Some(&**path),
        ListenAddress::Node(path) if listen.kind != ListenKind::MessageQueue => Some(&**path),
        _ => None,
    });
    let written = relations.requires_mounts_for.iter().map(|path| &**path);
    written.chain(listens).chain(exec.and_then(|exec| works_in(exec)))
}

/// `WorkingDirectory=`, where it must be there.
fn works_in(exec: &ExecSection) -> Option<&str> {
    match exec.working_directory.as_ref()? {
        WorkingDirectory::Path { path, optional: false } => Some(path),
        WorkingDirectory::Path { optional: true, .. } | WorkingDirectory::Home { .. } => None,
    }
}

struct Found {
    manager: ManagerKind,
    implied: Implied,
}

impl Found {
    fn add(&mut self, relation: Relation, other: &str) {
        // All names here are constants, or made of a name that is valid.
        if let Ok(other) = UnitName::new(other) {
            self.implied.add(relation, other);
        }
    }

    /// Required, and there before.
    fn need(&mut self, other: &str) {
        self.add(Relation::Requires, other);
        self.add(Relation::After, other);
    }

    fn socket(&mut self, name: &UnitName, socket: &SocketUnit) {
        self.slice(name);
        let section = &socket.socket;
        let lists = [
            &section.exec_start_pre,
            &section.exec_start_post,
            &section.exec_stop_pre,
            &section.exec_stop_post,
        ];
        if lists.into_iter().any(|list| !list.is_empty()) {
            self.streams(&socket.streams);
        }
    }

    fn service(&mut self, name: &UnitName, service: &ServiceUnit) {
        self.slice(name);
        self.streams(&service.streams);
        if service.service.type_ == ServiceType::Dbus {
            self.need("dbus.socket");
        }
    }

    fn streams(&mut self, streams: &StreamSection) {
        if self.manager == ManagerKind::System && streams.log_target().is_some() {
            self.add(Relation::After, "systemd-journald.socket");
        }
    }

    /// systemd.resource-control(5), `Slice=`: instances of a template have one of their own.
    fn slice(&mut self, name: &UnitName) {
        let parent = match self.manager {
            ManagerKind::System => "system",
            ManagerKind::User => "app",
        };
        match name.is_instance() {
            true => self.need(&format!("{parent}-{}.slice", escape(name.prefix()))),
            false => self.need(&format!("{parent}.slice")),
        }
    }

    fn defaults(&mut self, name: &UnitName, kind: &UnitKind) {
        match kind {
            UnitKind::Socket(_) => {
                self.add(Relation::Before, "sockets.target");
                if self.manager == ManagerKind::System {
                    self.need("sysinit.target");
                }
            }
            UnitKind::Service(_) => {
                match self.manager {
                    ManagerKind::System => self.need("sysinit.target"),
                    ManagerKind::User => self.add(Relation::Requires, "basic.target"),
                }
                self.add(Relation::After, "basic.target");
            }
            UnitKind::Target if name.as_str() == "shutdown.target" => return,
            UnitKind::Target => {}
            UnitKind::Other => return,
        }
        self.add(Relation::Before, "shutdown.target");
        self.add(Relation::Conflicts, "shutdown.target");
    }
}
