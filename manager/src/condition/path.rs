//! Conditions on paths.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};

use super::machine;
use crate::loader::glob;

pub(super) fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

pub(super) fn exists_glob(pattern: &str) -> bool {
    alternatives(pattern).iter().flat_map(|pattern| glob(pattern)).any(|path| path.symlink_metadata().is_ok())
}

/// `a{b,c}d` is `abd` and `acd`.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let Some((choices, after)) = split_at_close(rest) else { return vec![pattern.to_owned()] };
    let patterns = choices.iter().map(|choice| format!("{before}{choice}{after}"));
    patterns.flat_map(|pattern| alternatives(&pattern)).collect()
}

/// The choices up to the brace that closes, and what stands behind it.
fn split_at_close(text: &str) -> Option<(Vec<&str>, &str)> {
    let (mut depth, mut begin, mut choices) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                choices.push(&text[begin..at]);
                begin = at + 1;
            }
            '}' => {
                choices.push(&text[begin..at]);
                return Some((choices, &text[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

pub(super) fn is_directory(path: &str) -> bool {
    Path::new(path).is_dir()
}

pub(super) fn is_symbolic_link(path: &str) -> bool {
    Path::new(path).is_symlink()
}

/// Links are followed.
pub(super) fn is_mount_point(path: &str) -> bool {
    let Ok(real) = fs::canonicalize(path) else { return false };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points.into_iter().any(|point| Path::new(&plain(point)) == real)
}

/// A path of mountinfo, in which blanks and backslashes are octal numbers (proc(5)).
fn plain(point: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(point.to_owned(), |text, (code, c)| text.replace(code, c))
}

/// What cannot be told counts as writable, but not what is not there.
pub(super) fn is_read_write(path: &str) -> bool {
    exists(path) && !is_read_only(path)
}

fn is_read_only(path: &str) -> bool {
    let is_marked = statvfs(path).is_ok_and(|info| info.flags().contains(FsFlags::ST_RDONLY));
    is_marked || access(path, AccessFlags::W_OK) == Err(nix::errno::Errno::EROFS)
}

/// The device below the file system, or one that it is made of, is dm-crypt's.
pub(super) fn is_encrypted(path: &str) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    let device = metadata.dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    is_device_encrypted(Path::new(&format!("/sys/dev/block/{major}:{minor}")), 0)
}

fn is_device_encrypted(device: &Path, depth: usize) -> bool {
    const DEPTH_MAX: usize = 8;
    let uuid = fs::read_to_string(device.join("dm/uuid")).unwrap_or_default();
    if uuid.starts_with("CRYPT-") {
        return true;
    }
    let slaves = fs::read_dir(device.join("slaves")).into_iter().flatten().flatten();
    depth < DEPTH_MAX && slaves.into_iter().any(|slave| is_device_encrypted(&slave.path(), depth + 1))
}

/// Hidden files and backups do not count.
pub(super) fn directory_not_empty(path: &str) -> bool {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let counts = |name: &str| !name.starts_with('.') && !name.ends_with('~');
    entries.into_iter().any(|entry| entry.file_name().to_str().is_none_or(counts))
}

pub(super) fn file_not_empty(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
}

pub(super) fn file_is_executable(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
}

/// `/usr` has changed since the update that left its mark below `path` (systemd-update-done.service(8)). What cannot be told needs one.
pub(super) fn needs_update(path: &str) -> bool {
    if let Some(forced) = machine::kernel_boolean("systemd.condition-needs-update") {
        return forced;
    }
    if is_read_only(path) {
        return false;
    }
    let time = |metadata: fs::Metadata| (metadata.mtime(), metadata.mtime_nsec());
    let mark = fs::symlink_metadata(format!("{path}/.updated")).map(time);
    let usr = fs::symlink_metadata("/usr").map(time);
    match (usr, mark) {
        (Ok(usr), Ok(mark)) if usr.0 == mark.0 && usr.1 > 0 && mark.1 == 0 => usr.1 > nanoseconds(path),
        (Ok(usr), Ok(mark)) => usr > mark,
        _ => true,
    }
}

/// File systems that count in seconds lose these: the mark has them in its text.
fn nanoseconds(path: &str) -> i64 {
    let text = fs::read_to_string(format!("{path}/.updated")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("TIMESTAMP_NSEC="));
    line.and_then(|stamp| stamp.parse::<i64>().ok()).unwrap_or(0) % 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_alternatives() {
        assert_eq!(alternatives("/a{b,c{d,e}}f"), ["/abf", "/acdf", "/acef"]);
        assert_eq!(alternatives("/a{b"), ["/a{b"]);
    }

    #[test]
    fn each_question_about_a_path_has_its_answer() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let root = dir.path().display().to_string();
        assert!(!directory_not_empty(&root));
        fs::write(at(".hidden"), "x").unwrap();
        fs::write(at("old~"), "x").unwrap();
        assert!(!directory_not_empty(&root) && directory_not_empty("/"));
        fs::write(at("empty"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
        assert!(directory_not_empty(&root) && !directory_not_empty(&at("empty")));
        assert!(exists(&at("empty")) && !exists(&at("link")) && is_symbolic_link(&at("link")));
        assert!(exists_glob(&at("{nothing,em*}")) && exists_glob(&at("lin?")) && !exists_glob(&at("x*")));
        assert!(is_directory(&root) && !is_directory(&at("empty")));
        assert!(file_not_empty(&at("old~")) && !file_not_empty(&at("empty")) && !file_not_empty(&root));
        assert!(
            file_is_executable("/bin/sh") && !file_is_executable(&at("empty")) && !file_is_executable(&root)
        );
        assert!(is_mount_point("/") && is_mount_point("/proc/") && !is_mount_point(&root));
        assert!(is_read_write(&root) && !is_read_write(&at("nothing")));
        assert!(needs_update(&root));
        fs::write(at(".updated"), "").unwrap();
        assert!(!needs_update(&root), "the mark is newer than /usr");
    }
}
