//! `Symlinks=`: other names of the one socket file or FIFO of a unit (systemd.socket(5)).
//!
//! Never here: whether there is exactly one; the reader of the unit refuses others. A link that cannot be made is a
//! warning: the socket listens without it.

use std::path::Path;

use sockmgr_sys::listener::link;
use sockmgr_unit::{ListenAddress, ListenKind, SocketUnit, UnitName};

/// Makes the links. Whatever else has such a name stays, unless the unit removes its files when it stops.
pub(super) fn make(socket: &UnitName, body: &SocketUnit) {
    let Some(target) = target(body) else { return };
    let section = &body.socket;
    for path in &body.options.symlinks {
        let made = link::make(Path::new(&**path), target, section.directory_mode.0, section.remove_on_stop);
        if let Err(error) = made {
            tracing::warn!(unit = %socket, "cannot make the link {path}: {error}");
        }
    }
}

/// Removes those that are still ours.
pub(super) fn remove(socket: &UnitName, body: &SocketUnit) {
    let Some(target) = target(body) else { return };
    for path in &body.options.symlinks {
        if let Err(error) = link::remove(Path::new(&**path), target) {
            tracing::warn!(unit = %socket, "cannot remove the link {path}: {error}");
        }
    }
}

/// The file that the links lead to.
fn target(body: &SocketUnit) -> Option<&Path> {
    body.socket.listen.iter().find_map(|listen| match &listen.address {
        ListenAddress::Node(path) if listen.kind == ListenKind::Fifo => Some(Path::new(&**path)),
        address => address.path().map(Path::new),
    })
}
