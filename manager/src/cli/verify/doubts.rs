//! What is probably not meant: units that read well and will not do on this machine.
//!
//! Never here: mistakes of writing, which the library finds. Invariant: the machine is only looked at.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sockmgr_sys::user;
use sockmgr_unit::section::WorkingDirectory;
use sockmgr_unit::value::{NotifyAccess, Restart, ServiceType};
use sockmgr_unit::{
    Diagnostic, ExecCommand, Library, ListenAddress, LoadState, Severity, StandardInput, Unit, UnitName,
};

use super::explain;
use super::holder::{self, Holder};

/// Where a program named without a directory is looked for (systemd.exec(5), `ExecSearchPath=`).
const SEARCH_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// All doubts about a unit that is loaded.
pub(super) fn about(library: &mut Library, name: &UnitName, unit: &Unit, file: &Path) -> Vec<Diagnostic> {
    if unit.load_state != LoadState::Loaded {
        return Vec::new();
    }
    let mut doubts = Doubts { file, found: Vec::new() };
    doubts.privileges(unit);
    doubts.listeners(unit);
    doubts.per_connection(library, unit);
    doubts.service(library, name, unit);
    doubts.found
}

struct Doubts<'a> {
    file: &'a Path,
    found: Vec<Diagnostic>,
}

impl Doubts<'_> {
    fn warn(&mut self, directive: &str, message: String, help: String) {
        let diagnostic = Diagnostic::new(Severity::Warning, self.file, message);
        self.found.push(diagnostic.about(directive).with_help(help));
    }

    /// What this user may not do. Another user's manager may; but units are mostly checked where they run.
    fn privileges(&mut self, unit: &Unit) {
        let held = capabilities();
        let running = nix::unistd::Uid::effective();
        for need in explain::needs(unit) {
            let is_own = need.why == "User="
                && unit.service().is_some_and(|service| {
                    let user =
                        service.exec.user.as_ref().and_then(|user| user::find_user(user.as_str()).ok()?);
                    user.is_some_and(|user| user.uid == running.as_raw())
                });
            if held & (1 << need.bit) == 0 && !is_own {
                let help = format!("run the manager as root, or give it {}", need.name);
                self.warn("", format!("{} needs {}, which you do not have", need.why, need.name), help);
            }
        }
    }

    fn listeners(&mut self, unit: &Unit) {
        let Some(socket) = unit.socket() else { return };
        for listen in &socket.listen {
            if let Some(holder) = holder::of(listen) {
                self.taken(&listen.address, &holder);
            }
        }
        let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let limit = limit.ok().and_then(|text| text.trim().parse::<u32>().ok());
        let backlog = socket.backlog;
        // The default asks for as many as there can be.
        if let Some(limit) = limit.filter(|limit| backlog > *limit && backlog < i32::MAX.unsigned_abs()) {
            let message = format!("Backlog={backlog} is more than the kernel allows: {limit}");
            self.warn("Backlog", message, format!("raise the limit: sysctl net.core.somaxconn={backlog}"));
        }
        for (directive, user) in [("SocketUser", &socket.socket_user), ("User", &unit_user(unit))] {
            if let Some(user) = user
                && matches!(user::find_user(user.as_str()), Ok(None))
            {
                self.unknown(directive, "user", user.as_str());
            }
        }
        if let Some(group) = &socket.socket_group
            && matches!(user::find_group(group.as_str()), Ok(None))
        {
            self.unknown("SocketGroup", "group", group.as_str());
        }
    }

    fn taken(&mut self, address: &ListenAddress, holder: &Holder) {
        let message = format!("{address} is in use by {holder}");
        self.warn("", message, "stop that, or listen somewhere else".to_owned());
    }

    fn unknown(&mut self, directive: &str, kind: &str, name: &str) {
        let message = format!("{directive}={name}: there is no such {kind}");
        self.warn(directive, message, format!("make the {kind}, or name another one"));
    }

    /// A service that serves one connection is not started again without it.
    fn per_connection(&mut self, library: &mut Library, unit: &Unit) {
        let Some(template) = unit.triggers().filter(|_| unit.socket().is_some_and(|socket| socket.accept))
        else {
            return;
        };
        let Ok(instance) = template.with_instance("1") else { return };
        let service = library.unit(&instance);
        library.take_diagnostics();
        let restart = service.service().and_then(|service| service.service.restart);
        if restart.is_some_and(|restart| restart != Restart::No) {
            let message = format!("{template} has Restart=, but is started for one connection only");
            self.warn(
                "Accept",
                message,
                "leave Restart= out; the next connection starts the next one".to_owned(),
            );
        }
    }

    fn service(&mut self, library: &mut Library, name: &UnitName, unit: &Unit) {
        let Some(service) = unit.service() else { return };
        let (section, exec) = (&service.service, &service.exec);
        if let Some(user) = &exec.user
            && matches!(user::find_user(user.as_str()), Ok(None))
        {
            self.unknown("User", "user", user.as_str());
        }
        if let Some(group) = &exec.group
            && matches!(user::find_group(group.as_str()), Ok(None))
        {
            self.unknown("Group", "group", group.as_str());
        }
        for command in section.exec_start.iter().chain(&section.exec_start_pre) {
            self.program(library, name, command);
        }
        if let Some(WorkingDirectory::Path { path, optional: false }) = &exec.working_directory
            && !Path::new(&**path).is_dir()
        {
            let message = format!("WorkingDirectory={path}: there is no such directory");
            self.warn("WorkingDirectory", message, "make it, or write -/path: it may be missing".to_owned());
        }
        if section.type_ == ServiceType::Notify && section.notify_access == Some(NotifyAccess::None) {
            let message =
                "Type=notify waits for READY=1, and NotifyAccess=none lets nobody say it".to_owned();
            self.warn("NotifyAccess", message, "leave NotifyAccess= out".to_owned());
        }
        self.sockets(library, name, unit);
    }

    /// The program of a command; a template's only where it is the same for all instances.
    fn program(&mut self, library: &mut Library, name: &UnitName, command: &ExecCommand) {
        let is_same = |library: &mut Library| {
            let other = name.with_instance("another").map(|other| library.unit(&other));
            library.take_diagnostics();
            other.is_ok_and(|other| {
                let commands = other.service().map(|service| service.service.exec_start.clone());
                commands.is_some_and(|commands| commands.iter().any(|other| other.path == command.path))
            })
        };
        if command.flags.ignore_failure || (name.is_template() && !is_same(library)) {
            return;
        }
        let path = &*command.path;
        let found = if path.starts_with('/') {
            is_program(Path::new(path))
        } else {
            SEARCH_PATH.iter().any(|directory| is_program(&Path::new(directory).join(path)))
        };
        if !found {
            let what = if Path::new(path).exists() { "cannot be executed" } else { "is not there" };
            self.warn(
                "ExecStart",
                format!("{path} {what}"),
                "install the program, or correct its path".to_owned(),
            );
        }
    }

    /// A service that lives by a socket must have one.
    fn sockets(&mut self, library: &mut Library, name: &UnitName, unit: &Unit) {
        let Some(service) = unit.service() else { return };
        for socket in &service.service.sockets {
            let state = library.unit(socket).load_state;
            library.take_diagnostics();
            if state == LoadState::NotFound {
                let message = format!("Sockets={socket}: there is no such unit");
                self.warn("Sockets", message, format!("write {socket}"));
            }
        }
        let wants = service.streams.standard_input == StandardInput::Socket;
        if wants && service.service.sockets.is_empty() && explain::started_by(library, name).is_empty() {
            let socket = format!("{}.socket", name.prefix());
            let message = "StandardInput=socket, but no socket starts this service".to_owned();
            self.warn("StandardInput", message, format!("write {socket}"));
        }
    }
}

fn unit_user(unit: &Unit) -> Option<sockmgr_unit::section::Account> {
    unit.socket_unit().and_then(|socket| socket.exec.user.clone())
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The effective capabilities of this process (proc(5), `CapEff`).
fn capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0)
}
