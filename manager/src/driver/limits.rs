//! Limits of the kernel that make queues shorter than a unit asks for: said once, when its listeners are opened, with what to set.
//!
//! Never here: the queues themselves. Invariant: a limit that has no effect on the unit is not mentioned.

use std::os::fd::{AsFd, BorrowedFd};

use sockmgr_engine::{FdId, Port};
use sockmgr_sys::listener::Listener;
use sockmgr_sys::{options, queue};
use sockmgr_unit::section::{OptionSection, SocketSection};
use sockmgr_unit::{ListenKind, Size, SocketUnit, UnitName};

/// Connections that wait while an instance is away: fewer would be turned away for seconds (the kernel's default since 5.4).
const BACKLOG_MIN: u32 = 4096;

/// Warns where less can wait on listeners than their unit asks for, or than a busy service needs.
pub(super) fn check(socket: &UnitName, body: &SocketUnit, ports: &[Port], opened: &[(FdId, Listener)]) {
    let (section, options) = (&body.socket, &*body.options);
    let fds = |is_wanted: fn(ListenKind) -> bool| {
        let of = ports.iter().zip(opened).filter(move |(port, _)| {
            section.listen.get(port.line).is_some_and(|listen| is_wanted(listen.kind))
        });
        of.map(|(port, (_, listener))| (*port, listener.fd.as_fd()))
    };
    let warnings = [
        short_queue(section, fds(|kind| kind == ListenKind::Stream).map(|(_, fd)| fd)),
        small_buffer(options, fds(is_socket).map(|(_, fd)| fd)),
        default_buffer(options, fds(|kind| kind == ListenKind::Datagram)),
    ];
    for warning in warnings.into_iter().flatten() {
        tracing::warn!(unit = %socket, "{warning}");
    }
}

fn is_socket(kind: ListenKind) -> bool {
    matches!(
        kind,
        ListenKind::Stream | ListenKind::Datagram | ListenKind::SequentialPacket | ListenKind::Netlink
    )
}

/// `Backlog=`, and what the kernel makes of it.
fn short_queue<'a>(section: &SocketSection, streams: impl Iterator<Item = BorrowedFd<'a>>) -> Option<String> {
    let limit = streams.filter_map(|fd| queue::level(fd).ok().flatten()).map(|level| level.limit).min()?;
    let wanted = if section.backlog > i32::MAX as u32 - 1 { BACKLOG_MIN } else { section.backlog };
    (limit < wanted).then(|| {
        format!(
            "only {limit} connections can wait, not {wanted}: more are lost or delayed while a service restarts; set net.core.somaxconn={wanted} (sysctl(8))"
        )
    })
}

/// `ReceiveBuffer=` and `SendBuffer=`: who has no privilege gets as much as everybody may have.
fn small_buffer<'a>(
    section: &OptionSection,
    sockets: impl Iterator<Item = BorrowedFd<'a>>,
) -> Option<String> {
    let wanted = [section.receive_buffer, section.send_buffer].map(|Size(size)| size);
    let has =
        sockets.filter_map(|fd| options::buffers(fd).ok()).reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1])])?;
    let names = [("ReceiveBuffer=", "net.core.rmem_max"), ("SendBuffer=", "net.core.wmem_max")];
    let short = (0..2).filter(|at| has[*at] < wanted[*at]).map(|at| {
        let ((name, setting), wanted, has) = (names[at], wanted[at], has[at]);
        format!("{name} is {has} bytes, not {wanted}: the kernel allows no more; set {setting}={wanted} (sysctl(8))")
    });
    short.reduce(|first, second| format!("{first}. {second}"))
}

/// A slot's datagrams wait in its buffer while its instance restarts, and the kernel's default is soon full.
fn default_buffer<'a>(
    options: &OptionSection,
    mut datagrams: impl Iterator<Item = (Port, BorrowedFd<'a>)>,
) -> Option<String> {
    let (_, fd) =
        datagrams.find(|(port, _)| port.slot.is_some()).filter(|_| options.receive_buffer.0 == 0)?;
    let [has, _] = options::buffers(fd).ok()?;
    Some(format!(
        "only {has} bytes of datagrams can wait, overhead included: more are lost while an instance restarts; set ReceiveBuffer=4M, and net.core.rmem_max=4194304 (sysctl(8)) where it is less"
    ))
}
