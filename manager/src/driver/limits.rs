//! Limits of the kernel that make queues shorter than a unit asks for: said once, when its listeners are opened, with what to set.
//!
//! Never here: the queues themselves. Invariant: a limit that has no effect on the unit is not mentioned.

use std::os::fd::AsFd;

use sockmgr_engine::FdId;
use sockmgr_sys::listener::Listener;
use sockmgr_sys::queue;
use sockmgr_unit::section::SocketSection;
use sockmgr_unit::{ListenKind, UnitName};

/// Connections that wait while an instance is away: fewer would be turned away for seconds (the kernel's default since 5.4).
const BACKLOG_MIN: u32 = 4096;

/// Warns where the queue of a listener is shorter than `Backlog=`, or than a busy service needs.
pub(super) fn check(socket: &UnitName, section: &SocketSection, opened: &[(FdId, Listener)]) {
    if section.listen.iter().all(|listen| listen.kind == ListenKind::Datagram) {
        return;
    }
    let limits = opened.iter().filter_map(|(_, listener)| queue::level(listener.fd.as_fd()).ok().flatten());
    // Of datagram sockets the level is in bytes, and always larger.
    let Some(limit) = limits.map(|level| level.limit).min() else { return };
    let wanted = if section.backlog > i32::MAX as u32 - 1 { BACKLOG_MIN } else { section.backlog };
    if limit < wanted {
        tracing::warn!(
            unit = %socket,
            "only {limit} connections can wait, not {wanted}: more are lost or delayed while a service restarts; set net.core.somaxconn={wanted} (sysctl(8))"
        );
    }
}
