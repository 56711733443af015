//! fds: the descriptors that services have left with the manager, to get them back at their next start.
//!
//! The manager looks at them; here they are only shown, as `systemd-analyze fdstore` does.

use super::exit::{CliError, Exit};
use super::manager::StoredDescriptor;
use super::session::Session;
use super::table::{Cell, Table};
use super::units;

/// Lists the stored descriptors of the units that the arguments name.
pub(crate) fn run(session: &mut Session, arguments: &[String]) -> Result<Exit, CliError> {
    session.flags.all |= session.flags.states.is_empty();
    let mut table = Table::new(&["UNIT", "FDNAME", "TYPE", "DEVNO", "INODE", "RDEVNO", "PATH", "FLAGS"]);
    for unit in units::expand(session, arguments)? {
        for stored in session.manager.stored_descriptors(&unit)? {
            table.push(row(&unit, &stored));
        }
    }
    if !session.print_json(&table)? {
        let text = table.render(&session.style, session.flags.legend(), session.width());
        session.print(&text)?;
    }
    Ok(Exit::Success)
}

fn row(unit: &str, stored: &StoredDescriptor) -> Vec<Cell> {
    vec![
        Cell::new(unit),
        Cell::new(&stored.name),
        Cell::new(type_of(stored.mode)),
        Cell::new(format!("{}:{}", stored.major, stored.minor)),
        Cell::new(stored.inode.to_string()),
        own_device(stored),
        Cell::new(&stored.path),
        Cell::new(access_of(stored.flags)),
    ]
}

/// The numbers of a device; other files have none.
fn own_device(stored: &StoredDescriptor) -> Cell {
    match (stored.own_major, stored.own_minor) {
        (0, 0) => Cell::none(),
        (major, minor) => Cell::new(format!("{major}:{minor}")),
    }
}

/// inode(7).
fn type_of(mode: u32) -> &'static str {
    match mode & libc::S_IFMT {
        libc::S_IFREG => "file",
        libc::S_IFSOCK => "socket",
        libc::S_IFIFO => "fifo",
        libc::S_IFCHR => "char",
        libc::S_IFBLK => "block",
        libc::S_IFDIR => "directory",
        // epoll, eventfd, timerfd and their like have no type.
        _ => "other",
    }
}

fn access_of(flags: u32) -> &'static str {
    match flags.cast_signed() & libc::O_ACCMODE {
        libc::O_RDONLY => "ro",
        libc::O_WRONLY => "wo",
        _ => "rw",
    }
}
