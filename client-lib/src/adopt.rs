//! The types that a descriptor can become, and the kind each of them asks for.
//! Never chooses a descriptor; that is `inherited`.
//! Invariant: `adopt` is only called with a descriptor of the kind that the type asks for.

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use crate::inherited::TakeError;
use crate::kind::Kind;

/// Keeps [`Adopt`] to the types of this crate's choice, so that it can grow.
pub(crate) mod sealed {
    /// Implemented for the types of this crate's choice.
    pub trait Sealed {}
}

/// A type that an inherited descriptor can become: the sockets of std, those of tokio (feature `tokio`), `OwnedFd`.
pub trait Adopt: sealed::Sealed + Sized {
    /// What the descriptor must be; `None` when anything will do.
    const KIND: Option<Kind>;

    /// Checks that a value can be made here and now, before a descriptor is taken for it.
    #[doc(hidden)]
    fn prepare() -> Result<(), TakeError> {
        Ok(())
    }

    /// Makes a value of a descriptor of the right kind.
    #[doc(hidden)]
    fn adopt(descriptor: OwnedFd) -> io::Result<Self>;
}

/// Implements [`Adopt`] for types that are made from an `OwnedFd` without further ado.
macro_rules! adopt_std {
    ($($type:ty => $kind:expr),* $(,)?) => {$(
        impl sealed::Sealed for $type {}
        impl Adopt for $type {
            const KIND: Option<Kind> = $kind;

            fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
                Ok(descriptor.into())
            }
        }
    )*};
}

adopt_std! {
    TcpListener => Some(Kind::TcpListener),
    TcpStream => Some(Kind::TcpStream),
    UdpSocket => Some(Kind::UdpSocket),
    UnixListener => Some(Kind::UnixListener),
    UnixStream => Some(Kind::UnixStream),
    UnixDatagram => Some(Kind::UnixDatagram),
    OwnedFd => None,
}
