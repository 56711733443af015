//! The last lines of a service's output, where it goes to a file.
//!
//! Only reads. Invariant: at most [`TAIL_MAX`] bytes are read, however long the file is.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;

use super::form::visible;

/// How much of the end of a file is looked at, in bytes.
const TAIL_MAX: u64 = 1 << 20;

/// The last `lines` lines of the output of a service with this `StandardOutput=`. Empty where output does not go to a
/// file, or the file cannot be read.
pub(crate) fn tail(standard_output: &str, lines: usize) -> Vec<String> {
    let Some(("file" | "append" | "truncate", path)) = standard_output.split_once(':') else {
        return Vec::new();
    };
    read_tail(path).map(|text| last_lines(&text, lines)).unwrap_or_default()
}

fn read_tail(path: &str) -> std::io::Result<String> {
    // A FIFO or a terminal is left alone: opening it may wait for good, reading takes what is meant for others.
    let mut file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(String::new());
    }
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_MAX)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(text: &str, count: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| visible(line.as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_file_is_shown() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        std::fs::write(&path, "one\ntwo\x1b[2J\nthree\n").unwrap();
        let output = format!("append:{}", path.display());
        assert_eq!(tail(&output, 2), ["two?[2J", "three"]);
        assert_eq!(tail(&output, 0), Vec::<String>::new());
        assert_eq!(tail(&output, usize::MAX).len(), 3);
        assert_eq!(tail("journal", 9), Vec::<String>::new());
        assert_eq!(tail("file:/nonexistent/x", 9), Vec::<String>::new());
    }

    #[test]
    fn a_fifo_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(tail(&format!("file:{}", path.display()), 9), Vec::<String>::new());
    }
}
