//! From what a unit says about the file system and namespaces to what its processes are given: the rules of systemd 252
//! (systemd.exec(5), "Paths", "Sandboxing"). Which namespaces is said here; what directives say about paths in `view`, and what
//! becomes of it in `weigh`.
//!
//! Never here: mounting (`sockmgr_sys::spawn`).

mod view;
mod weigh;

use std::ffi::CString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sockmgr_sys::namespace::{Available, Kinds};
use sockmgr_sys::spawn::{Isolation, MountPlan, Namespace, SpawnStep, Users};
use sockmgr_unit::section::SandboxSection;
use sockmgr_unit::value::{ProcSubset, Propagation, ProtectHome, ProtectProc, ProtectSystem};

use self::view::View;
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
