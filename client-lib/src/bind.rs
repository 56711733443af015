//! The fallback: a program that was started by hand binds its address itself.
//! Never binds when descriptors were passed, for the launcher owns the address then.
//! Invariant: a path is removed only when it is a socket that nobody answers.

use std::fs;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use crate::adopt::Adopt;
use crate::environment::EnvironmentError;
use crate::inherited::{Inherited, TakeError};
use crate::sys;

/// How many connections may wait at a listener that we bind; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Why there is no socket to serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The launcher's announcement is broken.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The program was activated, but not with the socket that was asked for.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// The program was not activated, and cannot bind the address itself.
    #[error("not activated, and cannot bind {address} for {name}")]
    Bind {
        /// The name that the socket would have had.
        name: String,
        /// The address that was to be bound.
        address: String,
        /// What went wrong.
        source: io::Error,
    },
}

/// A socket that can be bound to an address given as text.
pub trait Bind: Adopt {
    /// Binds `address`, and listens with a backlog of 4096 where the type listens.
    ///
    /// IPv4 and IPv6 take `host:port` and set `SO_REUSEADDR` on listeners. Unix sockets take a path, or `@name` for
    /// the abstract namespace; a path that a dead program has left behind is replaced.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2), and of resolving the host.
    fn bind(address: &str) -> io::Result<Self>;
}

impl Bind for TcpListener {
    fn bind(address: &str) -> io::Result<Self> {
        // std sets SO_REUSEADDR, and listens with a backlog of its own, which is then changed.
        let listener = TcpListener::bind(address)?;
        sys::listen(listener.as_fd(), BACKLOG)?;
        Ok(listener)
    }
}

impl Bind for UdpSocket {
    fn bind(address: &str) -> io::Result<Self> {
        // No SO_REUSEADDR: for UDP it lets a second program take the datagrams away.
        UdpSocket::bind(address)
    }
}

impl Bind for UnixListener {
    fn bind(address: &str) -> io::Result<Self> {
        let abandoned = |address: &SocketAddr| refuses(UnixStream::connect_addr(address));
        let listener = bind_unix(address, UnixListener::bind_addr, abandoned)?;
        sys::listen(listener.as_fd(), BACKLOG)?;
        Ok(listener)
    }
}

impl Bind for UnixDatagram {
    fn bind(address: &str) -> io::Result<Self> {
        let abandoned = |address: &SocketAddr| {
            refuses(UnixDatagram::unbound().and_then(|probe| probe.connect_addr(address)))
        };
        bind_unix(address, UnixDatagram::bind_addr, abandoned)
    }
}

/// Binds a unix address; where the path is in use by nobody, once more after removing it.
fn bind_unix<T>(
    address: &str,
    bind: impl Fn(&SocketAddr) -> io::Result<T>,
    abandoned: impl Fn(&SocketAddr) -> bool,
) -> io::Result<T> {
    let target = unix_address(address)?;
    match bind(&target) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && abandoned(&target) => {
            remove_socket(&target)?;
            bind(&target)
        }
        other => other,
    }
}

/// Reads a path, or `@name` of the abstract namespace.
pub(crate) fn unix_address(text: &str) -> io::Result<SocketAddr> {
    match text.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(text),
    }
}

/// Whether an attempt to connect says that the socket's owner is gone.
fn refuses<T>(attempt: io::Result<T>) -> bool {
    attempt.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Removes the socket at a path, and nothing but a socket.
fn remove_socket(address: &SocketAddr) -> io::Result<()> {
    let Some(path) = address.as_pathname() else { return Ok(()) };
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let message = format!("{} exists and is not a socket; refusing to remove it", path.display());
        return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
    }
    fs::remove_file(path)
}

impl Inherited {
    /// Takes the descriptor `name`, or binds `address` when the program was started without descriptors.
    ///
    /// A program that was given descriptors, but none of that name, gets an error instead of a socket of its own:
    /// the launcher holds the address, and a listener beside it would get some of the clients, or none.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn listen_or_bind<T: Bind>(&self, name: &str, address: &str) -> Result<T, ListenError> {
        if self.is_activated() {
            return Ok(self.take(name)?);
        }
        T::bind(address).map_err(|source| ListenError::Bind {
            name: name.to_owned(),
            address: address.to_owned(),
            source,
        })
    }
}

/// [`Inherited::listen_or_bind`] on what this process inherited: all that a server with one socket needs.
///
/// ```
/// use std::net::TcpListener;
/// let listener: TcpListener = sockmgr_client::listen_or_bind("http", "127.0.0.1:0")?;
/// println!("serving {}", listener.local_addr()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// See [`ListenError`].
pub fn listen_or_bind<T: Bind>(name: &str, address: &str) -> Result<T, ListenError> {
    Inherited::from_env()?.listen_or_bind(name, address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::time::Duration;

    #[test]
    fn more_tcp_clients_than_the_default_of_std_may_wait() {
        let listener = <TcpListener as Bind>::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // With std's 128 the kernel drops the 130th handshake, which is tried again only after a second.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(900)).unwrap();
        let clients: Vec<TcpStream> = (0..300).map(connect).collect();
        assert_eq!(clients.len(), 300);
    }

    #[test]
    fn more_unix_clients_than_the_default_of_std_may_wait() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.sock");
        let _listener = <UnixListener as Bind>::bind(path.to_str().unwrap()).unwrap();
        // Unix sockets count exactly, and std's 128 would block the 130th client for good.
        let clients: Vec<UnixStream> = (0..300).map(|_| UnixStream::connect(&path).unwrap()).collect();
        assert_eq!(clients.len(), 300);
    }

    #[test]
    fn a_path_that_nobody_answers_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stream");
        drop(UnixListener::bind(&path).unwrap());
        let _listener = <UnixListener as Bind>::bind(path.to_str().unwrap()).unwrap();
        UnixStream::connect(&path).unwrap();
        let path = directory.path().join("datagram");
        drop(UnixDatagram::bind(&path).unwrap());
        let _socket = <UnixDatagram as Bind>::bind(path.to_str().unwrap()).unwrap();
        UnixDatagram::unbound().unwrap().connect(&path).unwrap();
    }

    #[test]
    fn a_path_that_somebody_answers_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("busy.sock");
        let _owner = UnixListener::bind(&path).unwrap();
        let error = <UnixListener as Bind>::bind(path.to_str().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        fs::write(&path, "precious").unwrap();
        let error = <UnixListener as Bind>::bind(path.to_str().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn an_abstract_name_is_bound() {
        let name = format!("@sockmgr-client-bind-{}", std::process::id());
        let listener = <UnixListener as Bind>::bind(&name).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(address.as_abstract_name(), Some(&name.as_bytes()[1..]));
    }

    #[test]
    fn the_error_names_socket_and_address() {
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = busy.local_addr().unwrap().to_string();
        let error = listen_or_bind::<TcpListener>("http", &address).unwrap_err();
        assert_eq!(error.to_string(), format!("not activated, and cannot bind {address} for http"));
    }
}
