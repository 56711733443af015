//! From what a unit says about the file system and namespaces to what its processes are given: the tables and rules of systemd 252
//! (systemd.exec(5), "Paths", "Sandboxing").
//!
//! Never here: mounting (`sockmgr_sys::spawn`). Invariant: of several directives about one path the strictest counts, and what is
//! said about a path holds for all below it that nothing else is said about.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sockmgr_sys::namespace::{Available, Kinds};
use sockmgr_sys::spawn::{
    Isolation, Mount, MountAttributes, MountKind, MountPlan, Namespace, Restriction, SpawnStep, Users,
};
use sockmgr_unit::section::SandboxSection;
use sockmgr_unit::value::{PathList, ProcSubset, Propagation, ProtectHome, ProtectProc, ProtectSystem};

use super::plan::PlanError;

/// What the machine and the manager bring along.
pub(super) struct Means<'a> {
    /// The namespaces that can be had.
    pub(super) available: Available,
    /// The directory with `dir` and `file`, which nobody can open.
    pub(super) nodes: &'a Path,
    /// The unit's own `/tmp` and `/var/tmp`, if it has them.
    pub(super) temporary: Option<[PathBuf; 2]>,
    /// The unit's own directories, which it can write whatever it says about all else.
    pub(super) writable: Vec<String>,
    /// The notify socket, to be seen in another root as well.
    pub(super) notify: &'a Path,
}

/// What a unit gets, and the directives that it has to do without.
pub(super) struct Isolated {
    pub(super) isolation: Option<Box<Isolation>>,
    pub(super) left_out: Vec<&'static str>,
}

/// The namespaces of the processes of a unit.
pub(super) fn isolation(sandbox: &SandboxSection, means: &Means) -> Result<Isolated, PlanError> {
    let mut left_out = Vec::new();
    let users = users(sandbox, means.available, &mut left_out);
    let kinds = match users {
        Some(Users::First) => means.available.among_own_users.unwrap_or_default(),
        Some(Users::Last) | None => means.available.directly,
    };
    let isolation = Isolation {
        users,
        network: network(sandbox, kinds, &mut left_out)?,
        ipc: ipc(sandbox, kinds, &mut left_out)?,
        host_name: wanted(sandbox.protect_hostname, kinds.host_name, "ProtectHostname=", &mut left_out),
        mounts: mounts(sandbox, means, kinds, &mut left_out)?,
    };
    let isolation = (isolation != Isolation::default()).then(|| Box::new(isolation));
    Ok(Isolated { isolation, left_out })
}

/// Whether a unit gets namespaces at all.
pub(super) fn is_isolated(sandbox: &SandboxSection) -> bool {
    needs_mounts(sandbox)
        || sandbox.private_users
        || sandbox.private_network
        || sandbox.network_namespace_path.is_some()
        || sandbox.private_ipc
        || sandbox.ipc_namespace_path.is_some()
        || sandbox.protect_hostname
}

/// Where `dir` and `file` are, which nobody can open: what is seen at inaccessible places.
const NODES: &str = "inaccessible";

/// Makes them, unless they are there; their directory.
pub(super) fn make_nodes(runtime_dir: &Path) -> io::Result<PathBuf> {
    let nodes = runtime_dir.join(NODES);
    let (directory, file) = (nodes.join("dir"), nodes.join("file"));
    if !file.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        fs::write(&file, "")?;
        for node in [&directory, &file] {
            fs::set_permissions(node, Permissions::from_mode(0o000))?;
        }
    }
    Ok(nodes)
}

/// Takes them away again.
pub(super) fn remove_nodes(runtime_dir: &Path) {
    let nodes = runtime_dir.join(NODES);
    match fs::remove_dir_all(&nodes) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!("cannot remove {}: {error}", nodes.display());
        }
        Ok(()) | Err(_) => {}
    }
}

/// Whether something can be had that is wanted; what cannot is noted.
fn wanted(is_wanted: bool, is_there: bool, name: &'static str, left_out: &mut Vec<&'static str>) -> bool {
    if is_wanted && !is_there {
        left_out.push(name);
    }
    is_wanted && is_there
}

fn users(sandbox: &SandboxSection, available: Available, left_out: &mut Vec<&'static str>) -> Option<Users> {
    let is_there = available.among_own_users.is_some();
    let when = if available.directly.mounts { Users::Last } else { Users::First };
    wanted(sandbox.private_users, is_there, "PrivateUsers=", left_out).then_some(when)
}

/// A namespace that is named must be had; a new one may be done without.
fn network(
    sandbox: &SandboxSection,
    kinds: Kinds,
    left_out: &mut Vec<&'static str>,
) -> Result<Option<Namespace>, PlanError> {
    if let Some(path) = &sandbox.network_namespace_path {
        return Ok(Some(Namespace::At(text(path.as_str(), SpawnStep::Network)?)));
    }
    let new = wanted(sandbox.private_network, kinds.network, "PrivateNetwork=", left_out);
    Ok(new.then_some(Namespace::New))
}

fn ipc(
    sandbox: &SandboxSection,
    kinds: Kinds,
    left_out: &mut Vec<&'static str>,
) -> Result<Option<Namespace>, PlanError> {
    if let Some(path) = &sandbox.ipc_namespace_path {
        return Ok(Some(Namespace::At(text(path.as_str(), SpawnStep::Namespace)?)));
    }
    let new = wanted(sandbox.private_ipc, kinds.ipc, "PrivateIPC=", left_out);
    Ok(new.then_some(Namespace::New))
}

fn text(path: &str, step: SpawnStep) -> Result<CString, PlanError> {
    CString::new(path).map_err(|_| PlanError::Step(step, format!("{path:?} has a NUL byte in it")))
}

/// The view of the file system, if it is another than the manager's.
fn mounts(
    sandbox: &SandboxSection,
    means: &Means,
    kinds: Kinds,
    left_out: &mut Vec<&'static str>,
) -> Result<Option<MountPlan>, PlanError> {
    if !needs_mounts(sandbox) {
        return Ok(None);
    }
    if !kinds.mounts {
        if let Some(directive) = essential(sandbox) {
            let why = format!("{directive} needs a mount namespace, which cannot be had here");
            return Err(PlanError::Step(SpawnStep::Namespace, why));
        }
        left_out.push("what needs a mount namespace");
        return Ok(None);
    }
    let mut view = View::new(sandbox.root_directory.as_deref());
    view.add_all(sandbox, means);
    view.into_plan(sandbox.mount_flags).map(Some)
}

/// systemd.exec(5): what only restricts may be done without where it cannot be had; not what makes another file system of it.
fn essential(sandbox: &SandboxSection) -> Option<&'static str> {
    let binds = sandbox.bind_paths.iter().chain(sandbox.bind_read_only_paths.iter());
    let moves = binds.into_iter().any(|bind| bind.source != bind.destination);
    let table = [
        (sandbox.root_directory.is_some(), "RootDirectory="),
        (sandbox.temporary_file_system.iter().len() > 0, "TemporaryFileSystem="),
        (moves, "BindPaths="),
    ];
    table.into_iter().find(|(is_set, _)| *is_set).map(|(_, name)| name)
}

fn needs_mounts(sandbox: &SandboxSection) -> bool {
    let lists = [
        &sandbox.read_only_paths,
        &sandbox.read_write_paths,
        &sandbox.inaccessible_paths,
        &sandbox.exec_paths,
        &sandbox.no_exec_paths,
    ];
    let binds = [&sandbox.bind_paths, &sandbox.bind_read_only_paths];
    sandbox.root_directory.is_some()
        || lists.into_iter().any(|list| list.iter().len() > 0)
        || binds.into_iter().any(|list| list.iter().len() > 0)
        || sandbox.temporary_file_system.iter().len() > 0
        || matches!(sandbox.mount_flags, Propagation::Slave | Propagation::Private)
        || sandbox.protect_system != ProtectSystem::No
        || sandbox.protect_home != ProtectHome::No
        || sandbox.protect_proc != ProtectProc::Default
        || sandbox.proc_subset != ProcSubset::All
        || [
            sandbox.private_mounts,
            sandbox.private_tmp,
            sandbox.private_devices,
            sandbox.private_ipc,
            sandbox.protect_kernel_tunables,
            sandbox.protect_kernel_modules,
            sandbox.protect_kernel_logs,
            sandbox.protect_control_groups,
        ]
        .contains(&true)
}

/// What systemd does about a path; of several the first in this order counts, and makes the place at least as strict as all say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Inaccessible,
    Bind {
        source: String,
        recursive: bool,
    },
    Devices,
    Processes(Vec<(String, String)>),
    MessageQueues,
    ReadOnly,
    ReadWrite,
    NoExec,
    Exec,
    Memory {
        options: Vec<(String, String)>,
        attributes: [bool; 3],
    },
    /// Read-write, unless anything else is said.
    Untouched,
}

/// A wish about a path, before it is weighed against others about it.
struct Entry {
    wish: Wish,
    read_only: bool,
    optional: bool,
}

/// What becomes of a path after all.
struct Place {
    wish: Wish,
    optional: bool,
    /// `Some(false)`: it stays as it is, whatever is above.
    read_only: Option<bool>,
    no_exec: Option<bool>,
}

impl Place {
    /// Several entries about one path.
    fn of(mut entries: Vec<Entry>) -> Option<Self> {
        // The sort is stable: of two of a kind the first that was written counts.
        entries.sort_by_key(|entry| rank(&entry.wish));
        let any = |test: fn(&Entry) -> bool| entries.iter().any(test);
        let read_only = any(|entry| entry.read_only || entry.wish == Wish::ReadOnly);
        let no_exec = any(|entry| entry.wish == Wish::NoExec);
        let exec = any(|entry| entry.wish == Wish::Exec);
        let optional = entries.iter().all(|entry| entry.optional);
        let is_other = any(|entry| !matches!(entry.wish, Wish::NoExec | Wish::Exec));
        let wish = entries.into_iter().next()?.wish;
        Some(Self {
            wish,
            optional,
            read_only: if read_only { Some(true) } else { is_other.then_some(false) },
            no_exec: if no_exec { Some(true) } else { exec.then_some(false) },
        })
    }
}

fn rank(wish: &Wish) -> u8 {
    match wish {
        Wish::Inaccessible => 0,
        Wish::Bind { .. } => 1,
        Wish::Devices => 2,
        Wish::Processes(_) | Wish::MessageQueues => 3,
        Wish::ReadOnly => 4,
        Wish::ReadWrite => 5,
        Wish::NoExec => 6,
        Wish::Exec => 7,
        Wish::Memory { .. } => 8,
        Wish::Untouched => 9,
    }
}

/// Everything that is said about paths.
struct View<'a> {
    root: Option<&'a str>,
    nodes: String,
    entries: BTreeMap<String, Vec<Entry>>,
}

/// A path of systemd's tables, and whether it may be missing.
type Row = (&'static str, Wish, bool);

const KERNEL_TUNABLES: [Row; 20] = [
    ("/proc/acpi", Wish::ReadOnly, true),
    ("/proc/apm", Wish::ReadOnly, true),
    ("/proc/asound", Wish::ReadOnly, true),
    ("/proc/bus", Wish::ReadOnly, true),
    ("/proc/fs", Wish::ReadOnly, true),
    ("/proc/irq", Wish::ReadOnly, true),
    ("/proc/kallsyms", Wish::Inaccessible, true),
    ("/proc/kcore", Wish::Inaccessible, true),
    ("/proc/latency_stats", Wish::ReadOnly, true),
    ("/proc/mtrr", Wish::ReadOnly, true),
    ("/proc/scsi", Wish::ReadOnly, true),
    ("/proc/sys", Wish::ReadOnly, true),
    ("/proc/sysrq-trigger", Wish::ReadOnly, true),
    ("/proc/timer_stats", Wish::ReadOnly, true),
    ("/sys", Wish::ReadOnly, false),
    ("/sys/fs/bpf", Wish::ReadOnly, true),
    ("/sys/fs/cgroup", Wish::Untouched, true),
    ("/sys/fs/selinux", Wish::Untouched, true),
    ("/sys/kernel/debug", Wish::ReadOnly, true),
    ("/sys/kernel/tracing", Wish::ReadOnly, true),
];
const KERNEL_MODULES: [Row; 2] =
    [("/lib/modules", Wish::Inaccessible, true), ("/usr/lib/modules", Wish::Inaccessible, true)];
const KERNEL_LOGS: [Row; 2] =
    [("/proc/kmsg", Wish::Inaccessible, true), ("/dev/kmsg", Wish::Inaccessible, true)];
const CONTROL_GROUPS: [Row; 1] = [("/sys/fs/cgroup", Wish::ReadOnly, false)];
const HOST_NAME: [Row; 2] = [
    ("/proc/sys/kernel/hostname", Wish::ReadOnly, true),
    ("/proc/sys/kernel/domainname", Wish::ReadOnly, true),
];
const SYSTEM: [Row; 4] = [
    ("/usr", Wish::ReadOnly, false),
    ("/boot", Wish::ReadOnly, true),
    ("/efi", Wish::ReadOnly, true),
    ("/etc", Wish::ReadOnly, false),
];
const WHOLE_SYSTEM: [Row; 7] = [
    ("/", Wish::ReadOnly, false),
    ("/proc", Wish::Untouched, true),
    ("/sys", Wish::Untouched, true),
    ("/dev", Wish::Untouched, true),
    ("/home", Wish::Untouched, true),
    ("/run/user", Wish::Untouched, true),
    ("/root", Wish::Untouched, true),
];
/// Homes, with the access mode of an empty one.
const HOMES: [(&str, &str); 3] = [("/home", "0755"), ("/run/user", "0755"), ("/root", "0700")];

impl<'a> View<'a> {
    fn new(root: Option<&'a str>) -> Self {
        Self { root: root.filter(|root| *root != "/"), nodes: String::new(), entries: BTreeMap::new() }
    }

    fn add_all(&mut self, sandbox: &SandboxSection, means: &Means) {
        self.nodes = means.nodes.to_string_lossy().into_owned();
        self.add_list(&sandbox.read_write_paths, &Wish::ReadWrite);
        self.add_list(&sandbox.read_only_paths, &Wish::ReadOnly);
        self.add_list(&sandbox.inaccessible_paths, &Wish::Inaccessible);
        self.add_list(&sandbox.exec_paths, &Wish::Exec);
        self.add_list(&sandbox.no_exec_paths, &Wish::NoExec);
        for (list, read_only) in [(&sandbox.bind_paths, false), (&sandbox.bind_read_only_paths, true)] {
            for bind in list.iter() {
                let wish = Wish::Bind { source: bind.source.to_string(), recursive: bind.recursive };
                self.add(&bind.destination, Entry { wish, read_only, optional: bind.optional });
            }
        }
        for fs in sandbox.temporary_file_system.iter() {
            let (wish, read_only) = memory(&fs.options);
            self.add(&fs.path, Entry { wish, read_only, optional: false });
        }
        for path in &means.writable {
            self.add(path, Entry { wish: Wish::ReadWrite, read_only: false, optional: true });
        }
        self.add_private(sandbox, means);
        self.add_protections(sandbox);
        self.add_home(sandbox.protect_home);
        if self.root.is_some() && sandbox.effective_mount_api_vfs() {
            self.add_kernel_file_systems();
            self.add_notify_socket(means);
        } else if self.hides(means.notify) {
            self.add_notify_socket(means);
        }
    }

    fn add(&mut self, path: &str, entry: Entry) {
        self.entries.entry(path.to_owned()).or_default().push(entry);
    }

    fn add_rows(&mut self, rows: &[Row]) {
        for (path, wish, optional) in rows {
            self.add(path, Entry { wish: wish.clone(), read_only: false, optional: *optional });
        }
    }

    /// Paths of a unit file: of the machine, unless they have a `+`. What is outside the new root is out of reach anyway.
    fn add_list(&mut self, list: &PathList, wish: &Wish) {
        for item in list.iter() {
            let path = match self.root {
                Some(root) if !item.in_root => match below(&item.path, root) {
                    Some(path) => path,
                    None => continue,
                },
                Some(_) | None => item.path.to_string(),
            };
            self.add(&path, Entry { wish: wish.clone(), read_only: false, optional: item.optional });
        }
    }

    fn add_private(&mut self, sandbox: &SandboxSection, means: &Means) {
        for (path, source) in ["/tmp", "/var/tmp"].into_iter().zip(means.temporary.iter().flatten()) {
            let wish = Wish::Bind { source: source.to_string_lossy().into_owned(), recursive: false };
            self.add(path, Entry { wish, read_only: false, optional: false });
        }
        if sandbox.private_devices {
            self.add("/dev", Entry { wish: Wish::Devices, read_only: true, optional: false });
        }
        let options = processes(sandbox);
        if !options.is_empty() {
            let wish = Wish::Processes(options);
            self.add("/proc", Entry { wish, read_only: false, optional: false });
        }
        if sandbox.private_ipc {
            self.add("/dev/mqueue", Entry { wish: Wish::MessageQueues, read_only: false, optional: true });
        }
    }

    fn add_protections(&mut self, sandbox: &SandboxSection) {
        let table: [(bool, &[Row]); 5] = [
            (sandbox.protect_kernel_tunables, &KERNEL_TUNABLES),
            (sandbox.protect_kernel_modules, &KERNEL_MODULES),
            (sandbox.protect_kernel_logs, &KERNEL_LOGS),
            (sandbox.protect_control_groups, &CONTROL_GROUPS),
            (sandbox.protect_hostname, &HOST_NAME),
        ];
        for (_, rows) in table.into_iter().filter(|(is_set, _)| *is_set) {
            self.add_rows(rows);
        }
        match sandbox.protect_system {
            ProtectSystem::No => {}
            ProtectSystem::Yes => self.add_rows(&SYSTEM[..3]),
            ProtectSystem::Full => self.add_rows(&SYSTEM),
            ProtectSystem::Strict => self.add_rows(&WHOLE_SYSTEM),
        }
    }

    fn add_home(&mut self, protect: ProtectHome) {
        for (path, mode) in HOMES {
            let (wish, read_only) = match protect {
                ProtectHome::No => continue,
                ProtectHome::Yes => (Wish::Inaccessible, false),
                ProtectHome::ReadOnly => (Wish::ReadOnly, false),
                ProtectHome::Tmpfs => (memory(&format!("mode={mode},size=4m,nr_inodes=1k")).0, true),
            };
            self.add(path, Entry { wish, read_only, optional: true });
        }
    }

    /// `MountAPIVFS=`, which another root has by itself.
    fn add_kernel_file_systems(&mut self) {
        for path in ["/sys", "/dev"] {
            let wish = Wish::Bind { source: path.to_owned(), recursive: true };
            self.add(path, Entry { wish, read_only: false, optional: false });
        }
        self.add("/proc", Entry { wish: Wish::Processes(Vec::new()), read_only: false, optional: false });
        let (wish, _) = memory("mode=0755,nosuid,nodev");
        self.add("/run", Entry { wish, read_only: false, optional: false });
    }

    /// Whether something is mounted above a path.
    fn hides(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        let is_mount = |entry: &Entry| matches!(entry.wish, Wish::Bind { .. } | Wish::Memory { .. });
        let mut above = self.entries.iter().filter(|(above, _)| below(&path, above).is_some());
        above.any(|(_, entries)| entries.iter().any(is_mount))
    }

    /// A service speaks to its manager also where something else is mounted on the directory of the socket.
    fn add_notify_socket(&mut self, means: &Means) {
        let socket = means.notify.to_string_lossy().into_owned();
        let wish = Wish::Bind { source: socket.clone(), recursive: false };
        self.add(&socket, Entry { wish, read_only: false, optional: true });
    }

    /// Weighs the wishes against each other. Parents come before what is below them, as their paths do.
    fn into_plan(self, propagation: Propagation) -> Result<MountPlan, PlanError> {
        let weighed =
            self.entries.into_iter().filter_map(|(path, entries)| Some((path, Place::of(entries)?)));
        let mut places: BTreeMap<String, Place> = weighed.collect();
        // What is below something inaccessible cannot be reached.
        let closed: Vec<String> = places
            .iter()
            .filter(|(_, place)| place.wish == Wish::Inaccessible)
            .map(|(path, _)| path.clone())
            .collect();
        places.retain(|path, _| closed.iter().all(|above| above == path || below(path, above).is_none()));
        let root = self.root.map(|root| text(root, SpawnStep::Namespace)).transpose()?;
        let mut plan = MountPlan { root, propagation: propagation_flag(propagation), ..MountPlan::default() };
        for (path, place) in &places {
            plan.mounts.extend(mount(path, place, &self.nodes)?);
        }
        plan.restrictions = restrictions(&places, |place| place.read_only, READ_ONLY)?;
        plan.restrictions.extend(restrictions(&places, |place| place.no_exec, NO_EXEC)?);
        Ok(plan)
    }
}

const NOTHING: MountAttributes =
    MountAttributes { read_only: false, no_exec: false, no_suid: false, no_dev: false };
const READ_ONLY: MountAttributes = MountAttributes { read_only: true, ..NOTHING };
const NO_EXEC: MountAttributes = MountAttributes { no_exec: true, ..NOTHING };

/// The path below `above`, with a slash before it; `/` where they are the same.
fn below(path: &str, above: &str) -> Option<String> {
    if above == "/" {
        return Some(path.to_owned());
    }
    let rest = path.strip_prefix(above)?;
    match rest.as_bytes().first() {
        None => Some("/".to_owned()),
        Some(b'/') => Some(rest.to_owned()),
        Some(_) => None,
    }
}

fn propagation_flag(propagation: Propagation) -> u64 {
    match propagation {
        Propagation::Unset | Propagation::Shared => libc::MS_SHARED,
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Private => libc::MS_PRIVATE,
    }
}

/// The mount of a place, if it has one.
fn mount(path: &str, place: &Place, nodes: &str) -> Result<Option<Mount>, PlanError> {
    let text = |path: &str| text(path, SpawnStep::Namespace);
    let pairs = |options: &[(String, String)]| -> Result<Vec<_>, PlanError> {
        let pair = |(name, value): &(String, String)| {
            Ok((text(name)?, if value.is_empty() { None } else { Some(text(value)?) }))
        };
        options.iter().map(pair).collect()
    };
    let (kind, attributes, makes_place) = match &place.wish {
        Wish::Inaccessible => {
            let closed = MountAttributes { read_only: true, no_exec: true, no_suid: true, no_dev: true };
            (MountKind::Nothing { nodes: text(nodes)? }, closed, false)
        }
        Wish::Bind { source, recursive } => {
            (MountKind::Bind { source: text(source)?, recursive: *recursive }, NOTHING, true)
        }
        Wish::Devices => (MountKind::Devices, MountAttributes { no_suid: true, ..NO_EXEC }, false),
        Wish::Processes(options) => {
            let closed = MountAttributes { no_suid: true, no_dev: true, ..NO_EXEC };
            (MountKind::New { file_system: c"proc".into(), options: pairs(options)? }, closed, true)
        }
        Wish::MessageQueues => {
            let closed = MountAttributes { no_suid: true, no_dev: true, ..NO_EXEC };
            (MountKind::New { file_system: c"mqueue".into(), options: Vec::new() }, closed, false)
        }
        Wish::Memory { options, attributes: [no_exec, no_suid, no_dev] } => {
            let [no_exec, no_suid, no_dev] = [*no_exec, *no_suid, *no_dev];
            let attributes = MountAttributes { read_only: false, no_exec, no_suid, no_dev };
            (MountKind::New { file_system: c"tmpfs".into(), options: pairs(options)? }, attributes, true)
        }
        Wish::ReadOnly | Wish::ReadWrite | Wish::NoExec | Wish::Exec | Wish::Untouched => return Ok(None),
    };
    let optional = place.optional;
    // An optional bind is one whose source may be missing.
    let makes_place = makes_place && (!optional || matches!(kind, MountKind::Bind { .. }));
    Ok(Some(Mount { path: text(path)?, kind, attributes, optional, makes_place }))
}

/// What is done about every place for which `is_restricted` says yes, except for those below that say something themselves.
fn restrictions(
    places: &BTreeMap<String, Place>,
    is_restricted: impl Fn(&Place) -> Option<bool>,
    attributes: MountAttributes,
) -> Result<Vec<Restriction>, PlanError> {
    let said: Vec<(&String, &Place, bool)> =
        places.iter().filter_map(|(path, place)| Some((path, place, is_restricted(place)?))).collect();
    let text = |path: &str| text(path, SpawnStep::Namespace);
    let mut all = Vec::new();
    // What nobody can open is as it is.
    let open = said.iter().filter(|(_, place, restricted)| *restricted && place.wish != Wish::Inaccessible);
    for (path, place, _) in open {
        let is_below = |other: &String| other != *path && below(other, path).is_some();
        let inner = said.iter().filter(|(other, _, _)| is_below(other));
        let outermost = |other: &String| {
            said.iter()
                .all(|(third, _, _)| !is_below(third) || *third == other || below(other, third).is_none())
        };
        let exceptions = inner.filter(|(other, _, _)| outermost(other)).map(|(other, _, _)| text(other));
        all.push(Restriction {
            path: text(path)?,
            attributes,
            exceptions: exceptions.collect::<Result<_, _>>()?,
            optional: place.optional,
        });
    }
    Ok(all)
}

/// A file system in memory with these options, and whether it is read-only: what is said of every mount is taken apart from what
/// tmpfs knows. Unless something else is said, it is small.
fn memory(options: &str) -> (Wish, bool) {
    let mut own: BTreeMap<String, String> = [("mode", "0755"), ("size", "10%"), ("nr_inodes", "400k")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    let (mut read_only, mut attributes) = (false, [false, false, true]);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "noexec" => attributes[0] = true,
            "exec" => attributes[0] = false,
            "nosuid" => attributes[1] = true,
            "suid" => attributes[1] = false,
            "nodev" => attributes[2] = true,
            "dev" => attributes[2] = false,
            _ => {
                let (name, value) = option.split_once('=').unwrap_or((option, ""));
                own.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    (Wish::Memory { options: own.into_iter().collect(), attributes }, read_only)
}

/// The options of proc(5).
fn processes(sandbox: &SandboxSection) -> Vec<(String, String)> {
    let hidden = (sandbox.protect_proc != ProtectProc::Default)
        .then(|| ("hidepid".to_owned(), sandbox.protect_proc.as_str().to_owned()));
    let subset = (sandbox.proc_subset == ProcSubset::Pid).then(|| ("subset".to_owned(), "pid".to_owned()));
    hidden.into_iter().chain(subset).collect()
}
