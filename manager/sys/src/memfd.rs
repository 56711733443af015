//! Bytes of any length behind a descriptor, for what does not fit into a packet.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::SysError;

/// A file in memory with these contents, close-on-exec.
///
/// # Errors
/// The cause: no descriptor or no memory left.
pub fn with_contents(contents: &[u8]) -> Result<OwnedFd, SysError> {
    let failed = |source| SysError::new("make a file in memory", source);
    let fd = memfd_create(c"sockmgr", MFdFlags::MFD_CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let mut file = File::from(fd);
    file.write_all(contents).map_err(failed)?;
    Ok(file.into())
}

/// All of the contents.
///
/// # Errors
/// The cause.
pub fn contents(fd: OwnedFd) -> Result<Vec<u8>, SysError> {
    let read = |file: File| -> io::Result<Vec<u8>> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut contents = vec![0; length];
        file.read_exact_at(&mut contents, 0)?;
        Ok(contents)
    };
    read(File::from(fd)).map_err(|source| SysError::new("read a file in memory", source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        for length in [0, 1, 200_000] {
            let bytes = vec![7; length];
            assert_eq!(contents(with_contents(&bytes).unwrap()).unwrap(), bytes);
        }
    }
}
