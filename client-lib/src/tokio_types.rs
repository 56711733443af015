//! The sockets of tokio, each made from its namesake of std.
//! Never decides what may be adopted: kind and fallback are those of the std type.
//! Invariant: a descriptor is non-blocking (`O_NONBLOCK`) before tokio sees it.

use std::io;
use std::os::fd::OwnedFd;

use tokio::runtime::Handle;

use crate::adopt::{Adopt, sealed::Sealed};
use crate::bind::Bind;
use crate::inherited::TakeError;
use crate::kind::Kind;

/// Implements [`Adopt`] for a tokio type by its namesake of std.
macro_rules! adopt_tokio {
    ($($tokio:ty => $std:ty),* $(,)?) => {$(
        impl Sealed for $tokio {}
        impl Adopt for $tokio {
            const KIND: Option<Kind> = <$std as Adopt>::KIND;

            fn prepare() -> Result<(), TakeError> {
                Handle::try_current().map(drop).map_err(|_| TakeError::NoRuntime)
            }

            fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
                let socket = <$std>::from(descriptor);
                socket.set_nonblocking(true)?;
                Self::from_std(socket)
            }
        }
    )*};
}

/// Implements [`Bind`] for a tokio type by its namesake of std.
macro_rules! bind_tokio {
    ($($tokio:ty => $std:ty),* $(,)?) => {$(
        impl Bind for $tokio {
            fn bind(address: &str) -> io::Result<Self> {
                Self::prepare().map_err(io::Error::other)?;
                Self::adopt(<$std as Bind>::bind(address)?.into())
            }
        }
    )*};
}

adopt_tokio! {
    tokio::net::TcpListener => std::net::TcpListener,
    tokio::net::TcpStream => std::net::TcpStream,
    tokio::net::UdpSocket => std::net::UdpSocket,
    tokio::net::UnixListener => std::os::unix::net::UnixListener,
    tokio::net::UnixStream => std::os::unix::net::UnixStream,
    tokio::net::UnixDatagram => std::os::unix::net::UnixDatagram,
}

bind_tokio! {
    tokio::net::TcpListener => std::net::TcpListener,
    tokio::net::UdpSocket => std::net::UdpSocket,
    tokio::net::UnixListener => std::os::unix::net::UnixListener,
    tokio::net::UnixDatagram => std::os::unix::net::UnixDatagram,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn outside_a_runtime_nothing_is_bound() {
        let error = <tokio::net::TcpListener as Bind>::bind("127.0.0.1:0").unwrap_err();
        assert_eq!(error.to_string(), "a tokio type can only be taken within a tokio runtime");
    }

    #[tokio::test]
    async fn an_adopted_listener_waits_without_blocking_the_runtime() {
        let blocking = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = blocking.local_addr().unwrap();
        let listener = tokio::net::TcpListener::adopt(blocking.into()).unwrap();
        // A blocking descriptor would hang here for good, since nobody connects.
        let nobody = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(nobody.is_err());
        let _client = std::net::TcpStream::connect(address).unwrap();
        listener.accept().await.unwrap();
    }
}
