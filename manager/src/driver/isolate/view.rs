//! What the directives of a unit say about paths, with the tables of systemd 252 for those that name none.
//!
//! Never here: what becomes of a path about which several speak (`weigh`).

use std::collections::BTreeMap;
use std::path::Path;

use sockmgr_unit::section::SandboxSection;
use sockmgr_unit::value::{PathList, ProcSubset, ProtectHome, ProtectProc, ProtectSystem};

use super::Means;

/// What systemd does about a path; of several the first in this order counts, and makes the place at least as strict as all say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
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
pub(super) struct Entry {
    pub(super) wish: Wish,
    pub(super) read_only: bool,
    pub(super) optional: bool,
}

/// Everything that is said about paths.
pub(super) struct View<'a> {
    pub(super) root: Option<&'a str>,
    pub(super) nodes: String,
    pub(super) entries: BTreeMap<String, Vec<Entry>>,
}

impl<'a> View<'a> {
    pub(super) fn new(root: Option<&'a str>) -> Self {
        Self { root: root.filter(|root| *root != "/"), nodes: String::new(), entries: BTreeMap::new() }
    }

    pub(super) fn add_all(&mut self, sandbox: &SandboxSection, means: &Means) {
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
}

/// The path below `above`, with a slash before it; `/` where they are the same.
pub(super) fn below(path: &str, above: &str) -> Option<String> {
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
