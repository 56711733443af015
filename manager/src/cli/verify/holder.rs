//! Who has an address already.
//!
//! Read from `/proc/net` (proc(5)). Invariant: a manager of ours is nobody: its sockets may be those of the unit.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use sockmgr_unit::{Listen, ListenAddress, ListenKind};

/// State of a listening TCP socket in `/proc/net/tcp`, of an unconnected UDP socket in `/proc/net/udp`.
const TCP_LISTEN: &str = "0A";
const UDP_UNCONNECTED: &str = "07";

/// A program that has a socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    program: String,
    pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return f.write_str("another user's process");
        }
        write!(f, "{} (pid {})", self.program, self.pid)
    }
}

/// Who listens where this line wants to, if anybody does.
pub(super) fn of(listen: &Listen) -> Option<Holder> {
    let inode = match &listen.address {
        ListenAddress::Unix(path) => unix_inode(path),
        address => inet_inode(address.socket_addr(true)?, listen.kind == ListenKind::Datagram),
    }?;
    let holder = find_program(&inode).unwrap_or(Holder { program: String::new(), pid: 0 });
    (holder.program != "sockmgrd").then_some(holder)
}

fn inet_inode(wanted: SocketAddr, datagram: bool) -> Option<String> {
    let (files, state) = if datagram {
        (["/proc/net/udp", "/proc/net/udp6"], UDP_UNCONNECTED)
    } else {
        (["/proc/net/tcp", "/proc/net/tcp6"], TCP_LISTEN)
    };
    let lines = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    lines
        .flat_map(|text| text.lines().filter_map(|line| listener(line, state, wanted)).collect::<Vec<_>>())
        .next()
}

/// The inode of the socket in this line, if it is in `state` and in the way of `wanted`.
fn listener(line: &str, state: &str, wanted: SocketAddr) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, of_state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = address_of(address)?;
    (*of_state == state && port == wanted.port() && in_the_way(address, wanted.ip()))
        .then(|| (*inode).to_owned())
}

/// Words of hexadecimal digits in the machine's byte order.
fn address_of(text: &str) -> Option<IpAddr> {
    let words = text
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok().map(u32::to_ne_bytes));
    let bytes = words.collect::<Option<Vec<[u8; 4]>>>()?.concat();
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// The same address, or one of them is all addresses of a family that has the other.
fn in_the_way(held: IpAddr, wanted: IpAddr) -> bool {
    let covers = |all: IpAddr, other: IpAddr| all.is_unspecified() && (all.is_ipv6() || other.is_ipv4());
    held == wanted || covers(held, wanted) || covers(wanted, held)
}

fn unix_inode(path: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/net/unix").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (*fields.get(7)? == path).then(|| fields.get(6).map(|inode| (*inode).to_owned()))?
    })
}

/// The process that has the socket of this inode; of those that we may look into.
fn find_program(inode: &str) -> Option<Holder> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut pids: Vec<u32> =
        processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids.into_iter().find(|pid| has_socket(*pid, Path::new(&wanted))).map(|pid| {
        let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Holder { program: program.trim().to_owned(), pid }
    })
}

fn has_socket(pid: u32, wanted: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
    open.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == wanted))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        if cfg!(target_endian = "little") {
            assert_eq!(address_of("0100007F"), Some(Ipv4Addr::LOCALHOST.into()));
            let six = "00000000000000000000000001000000";
            assert_eq!(address_of(six), Some(Ipv6Addr::LOCALHOST.into()));
        }
        assert_eq!(address_of("010000007F"), None);
    }

    #[test]
    fn an_address_is_in_the_way_of_those_that_it_covers() {
        let ip = |text: &str| text.parse().unwrap();
        for (held, wanted, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("0.0.0.0", "127.0.0.1", true),
            ("127.0.0.1", "::", true),
            ("0.0.0.0", "::1", false),
            ("127.0.0.1", "127.0.0.2", false),
        ] {
            assert_eq!(in_the_way(ip(held), ip(wanted)), expected, "{held} {wanted}");
        }
    }

    #[test]
    fn a_listener_is_found_with_its_program() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = inet_inode(listener.local_addr().unwrap(), false).unwrap();
        assert_eq!(find_program(&inode).map(|holder| holder.pid), Some(std::process::id()));
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(inet_inode(address, false), None);
    }
}
