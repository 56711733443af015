//! Files that become standard streams of services, and small files that configure them.
//!
//! Paths come from unit files: nothing opened here may block (a FIFO without a reader), become a controlling terminal, or run on
//! without end (a device).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};

use crate::listener::set_nonblocking;
use crate::{SysError, memfd};

/// The largest file that is read as configuration.
const FILE_MAX: u64 = 4 << 20;

/// What happens to what is in a file already (systemd.exec(5), `StandardOutput=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// `file:` it is overwritten from its start.
    Keep,
    /// `append:` it stays.
    Append,
    /// `truncate:` it goes.
    Truncate,
}

/// Opens a file to read from.
///
/// # Errors
/// The cause, with the path.
pub fn open_input(path: &str) -> Result<OwnedFd, SysError> {
    open(path, OpenOptions::new().read(true))
}

/// A descriptor from which these bytes can be read, and nothing written.
///
/// # Errors
/// The cause: no descriptor or no memory left, or `/proc` is not mounted.
pub fn input_of(bytes: &[u8]) -> Result<OwnedFd, SysError> {
    let file = memfd::with_contents(bytes)?;
    open_input(&format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Opens a file to write to, and makes it (mode 0666 without the umask) where it is missing; connects to a unix socket.
///
/// # Errors
/// The cause; `ENXIO` for a FIFO that nobody reads.
pub fn open_output(path: &str, mode: OutputMode) -> Result<OwnedFd, SysError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o666);
    match mode {
        OutputMode::Keep => &mut options,
        OutputMode::Append => options.append(true),
        OutputMode::Truncate => options.truncate(true),
    };
    match open(path, &options) {
        Err(error) if error.errno() == libc::ENXIO && is_socket(path) => connect(path),
        other => other,
    }
}

fn is_socket(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|facts| facts.file_type().is_socket())
}

/// Connects to a unix socket. Whoever listens there may be slow to accept; a full queue is an error.
///
/// # Errors
/// The cause.
pub fn connect(path: &str) -> Result<OwnedFd, SysError> {
    let failed = |errno: nix::Error| SysError::new("connect a standard stream", io::Error::from(errno));
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed)?;
    let address = UnixAddr::new(path).map_err(failed)?;
    socket::connect(socket.as_raw_fd(), &address).map_err(failed)?;
    set_nonblocking(socket.as_fd(), false)?;
    Ok(socket)
}

fn open(path: &str, options: &OpenOptions) -> Result<OwnedFd, SysError> {
    let step = |error: io::Error| SysError::new("open a standard stream", error);
    let mut options = options.clone();
    let file = options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).map_err(step)?;
    set_nonblocking(file.as_fd(), false)?;
    Ok(file.into())
}

/// The content of a regular file of reasonable size.
///
/// # Errors
/// The cause; also for anything that is no regular file, or larger than 4 MiB.
pub fn read_regular_file(path: &Path) -> Result<Vec<u8>, SysError> {
    let step = |error: io::Error| SysError::new("read a file", error);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(step)?;
    check_regular(&file).map_err(step)?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(step)?;
    Ok(bytes)
}

fn check_regular(file: &File) -> io::Result<()> {
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if facts.len() > FILE_MAX {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_and_not_written() {
        let mut file = File::from(input_of(b"some text").unwrap());
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "some text");
        assert!(io::Write::write(&mut file, b"x").is_err());
    }

    #[test]
    fn a_unix_socket_is_connected_to() {
        let dir = std::env::temp_dir().join(format!("sockmgr-stdio-socket-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("s");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut output = File::from(open_output(path.to_str().unwrap(), OutputMode::Append).unwrap());
        io::Write::write_all(&mut output, b"hello").unwrap();
        drop(output);
        let mut heard = String::new();
        listener.accept().unwrap().0.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_fifo_that_nobody_reads_fails_instead_of_blocking() {
        let dir = std::env::temp_dir().join(format!("sockmgr-stdio-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let fifo = dir.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = open_output(fifo.to_str().unwrap(), OutputMode::Append).unwrap_err();
        assert_eq!(error.errno(), libc::ENXIO);
        assert!(read_regular_file(&fifo).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
