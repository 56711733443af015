//! The socket on standard input, as inetd passes it and `StandardInput=socket` does.
//! Never looks at fd 0 unless asked: a terminal or a pipe there is nobody's socket.
//! Invariant: descriptors 0, 1 and 2 stay open; where one was the socket, it is `/dev/null` afterwards.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use crate::adopt::Adopt;
use crate::inherited::{Inherited, TakeError, wrong_kind};
use crate::kind::Kind;
use crate::sys;

/// The directive that announces this socket, for errors.
const VARIABLE: &str = "StandardInput=socket";

/// Set once the socket has been taken.
static TAKEN: Mutex<bool> = Mutex::new(false);

impl Inherited {
    /// What standard input is, to tell a start by inetd from one at a terminal.
    #[must_use]
    pub fn stdin_kind() -> Kind {
        Kind::of(io::stdin()).unwrap_or(Kind::NotASocket)
    }

    /// Takes the socket on standard input, which `StandardInput=socket` puts there instead of `LISTEN_FDS`.
    ///
    /// The result has a number of its own and is close-on-exec. Standard input becomes `/dev/null`, and so do
    /// standard output and error where they are the same socket: a connection then ends when the result is
    /// dropped, and no message of the program goes to the client by mistake.
    ///
    /// # Errors
    /// See [`TakeError`]; where there is an error the socket stays in place.
    pub fn take_stdin<T: Adopt>() -> Result<T, TakeError> {
        T::prepare()?;
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken {
            return Err(TakeError::AlreadyTaken { variable: VARIABLE, wanted: "standard input".to_owned() });
        }
        let stdin = io::stdin();
        if let Some(kind) = T::KIND.filter(|kind| !kind.fits(stdin.as_fd())) {
            return Err(wrong_kind(VARIABLE, 0, "standard input".to_owned(), kind, stdin));
        }
        let socket = detach(stdin.as_fd()).map_err(|source| TakeError::Refused { fd: 0, source })?;
        *taken = true;
        T::adopt(socket).map_err(|source| TakeError::Refused { fd: 0, source })
    }
}

/// Moves what is on standard input to a number of its own.
fn detach(stdin: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let socket = stdin.try_clone_to_owned()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let number = identity(stdin)?;
    for (standard, descriptor) in [(0, stdin), (1, stdout.as_fd()), (2, stderr.as_fd())] {
        if identity(descriptor)? == number {
            sys::replace_standard(standard, null.as_fd())?;
        }
    }
    Ok(socket)
}

/// Device and inode: equal for two descriptors of one open socket.
fn identity(descriptor: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let metadata = File::from(descriptor.try_clone_to_owned()?).metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}
