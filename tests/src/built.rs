//! The programs under test: where cargo put them, brought up to date first.
//!
//! Invariant: no test runs a program older than its sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The daemon.
#[must_use]
pub fn sockmgrd() -> PathBuf {
    directory().join("sockmgrd")
}

/// The command.
#[must_use]
pub fn sockmgr() -> PathBuf {
    directory().join("sockmgr")
}

/// The server of `src/bin/witness.rs`, which tells its clients when they are accepted.
#[must_use]
pub fn witness() -> PathBuf {
    directory().join("witness")
}

/// An example of the client library: `hello`, `echo`, `udp_echo` or `dev_server`.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    directory().join("examples").join(name)
}

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// The directory of the profile that the tests were built with: `target/debug`, usually.
#[must_use]
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(build)
}

/// cargo builds the programs of other packages for `cargo test --workspace` only in part, so it is asked to.
fn build() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows its own file");
    // Tests lie in target/PROFILE/deps, programs in target/PROFILE.
    let above = own.ancestors().skip(1).find(|directory| !directory.ends_with("deps"));
    let directory = above.expect("a program lies in a directory").to_path_buf();
    let target = directory.parent().expect("a profile lies in the target directory");
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--quiet", "--workspace", "--bins", "--examples", "--target-dir"]).arg(target);
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(repository()).status().expect("cargo runs");
    assert!(status.success(), "the programs under test do not build");
    directory
}
