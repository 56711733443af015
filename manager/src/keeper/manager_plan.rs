//! How the keeper starts its own program again, as the manager.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sockmgr_sys::child;
use sockmgr_sys::spawn::{SpawnPlan, Stdio, WorkingDirectory};

use super::link::KEEPER_FD_VARIABLE;

/// The manager's first descriptor.
const LINK_FD: u32 = 3;
/// The file this process runs, also when its path names another one by now.
const OWN_FILE: &str = "/proc/self/exe";
/// What only the keeper itself is told by whoever started it.
const OWN_VARIABLES: [&str; 4] = ["NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// The plan for a manager with these arguments. One descriptor goes with it: the manager's end of the link.
///
/// Directory, standard streams and environment are the keeper's, so that relative paths among the arguments mean the same.
pub(super) fn manager_plan(args: &[OsString]) -> SpawnPlan {
    let path = own_program();
    let name = path.file_name().unwrap_or(OsStr::new("sockmgrd"));
    let argv = std::iter::once(name).chain(args.iter().map(OsString::as_os_str));
    let directory = env::current_dir().ok();
    SpawnPlan {
        argv: argv.filter_map(c_string).collect(),
        path: c_string(path.as_os_str()).unwrap_or_default(),
        envp: environment(),
        fds: 1,
        listen_fds: 1,
        stdin: Stdio::Inherit,
        stdout: Stdio::Inherit,
        stderr: Stdio::Inherit,
        rlimits: child::fd_limit().into_iter().collect(),
        working_directory: directory
            .and_then(|path| c_string(path.as_os_str()))
            .map(|path| WorkingDirectory { path, optional: true }),
        ignore_sigpipe: true,
        ..SpawnPlan::default()
    }
}

/// The path by which to run this very program again: its real name where that still means the same file, which `ps`
/// then shows; otherwise the file itself; and where `/proc` is not mounted, the name it was started by.
#[must_use]
pub fn own_program() -> PathBuf {
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let Some(own) = identity(Path::new(OWN_FILE)) else {
        return child::executed_path().unwrap_or_default();
    };
    let named = fs::read_link(OWN_FILE).ok().filter(|path| identity(path) == Some(own));
    named.unwrap_or_else(|| OWN_FILE.into())
}

fn environment() -> Vec<CString> {
    let kept = env::vars_os().filter(|(name, _)| {
        name != KEEPER_FD_VARIABLE && !OWN_VARIABLES.iter().any(|own| name.as_os_str() == *own)
    });
    let link = (KEEPER_FD_VARIABLE.into(), LINK_FD.to_string().into());
    let assignment = |(name, value): (OsString, OsString)| {
        c_string(&[name.as_os_str(), value.as_os_str()].join(OsStr::new("=")))
    };
    kept.chain([link]).filter_map(assignment).collect()
}

/// `None` for a text with a NUL in it, which the kernel cannot have given to this process.
fn c_string(text: &OsStr) -> Option<CString> {
    CString::new(text.as_bytes()).ok()
}
