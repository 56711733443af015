//! The units of Debian's packages, beside systemd: the same load states, the same properties (`vectors/run_packages.py`).

use std::path::{Path, PathBuf};
use std::process::Command;

use sockmgr_tests::command::tool;
use sockmgr_tests::namespace::is_root;
use sockmgr_tests::peer::Peer;

/// Where the packages stay between two runs.
fn cache() -> PathBuf {
    let of_user = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(of_user);
    cache.unwrap_or_else(std::env::temp_dir).join("sockmgr-tests/packages")
}

/// systemd is there to be compared with only for root: it wants a control group of its own.
#[test]
fn the_units_of_packages_load_as_under_systemd() {
    assert!(is_root(), "systemd gets a control group of its own to be compared with, which takes root");
    let place = tempfile::Builder::new().prefix("packages").tempdir().expect("a directory can be made");
    let ours = Peer::sockmgr(&place.path().join("ours"));
    let theirs = Peer::systemd(&place.path().join("theirs"));
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut compare = Command::new(tool("python3"));
    compare
        .arg("-B")
        .arg(vectors.join("run_packages.py"))
        .arg("--peer")
        .arg(ours.script())
        .arg("--oracle")
        .arg(theirs.script());
    compare.arg("--cache").arg(cache()).arg(vectors.join("packages.txt"));
    // It may have to download a lot first.
    let output = compare.output().expect("contrib/setup installs python3");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
}
