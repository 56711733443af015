//! What the kernel says about processes and sockets, read from /proc: no opinion of sockmgr's is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub i32);

/// The identity of a socket: two descriptors with the same inode are the same socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inode(pub u64);

impl Process {
    /// All processes that this one can see.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Self)).collect()
    }

    /// Whether it runs; a zombie does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self.state().is_some_and(|state| state != 'Z' && state != 'X')
    }

    /// `R`, `S`, `Z`…: proc(5); `None` once it is gone.
    #[must_use]
    pub fn state(self) -> Option<char> {
        self.stat(0)?.chars().next()
    }

    /// Its parent; `None` once it is gone.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        self.stat(1)?.parse().ok().map(Self)
    }

    /// A field of /proc/PID/stat, counted from the state. The name before it may have anything in it.
    fn stat(self, field: usize) -> Option<String> {
        let stat = fs::read_to_string(self.path("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        rest.split(' ').nth(field).map(str::to_owned)
    }

    /// Those whose parent it is.
    #[must_use]
    pub fn children(self) -> Vec<Self> {
        Self::all().into_iter().filter(|process| process.parent() == Some(self)).collect()
    }

    /// Its children, their children, and so on.
    #[must_use]
    pub fn descendants(self) -> Vec<Self> {
        let mut found = self.children();
        let mut next = 0;
        while let Some(process) = found.get(next).copied() {
            found.extend(process.children());
            next += 1;
        }
        found
    }

    /// The file of its program; `None` once it is gone.
    #[must_use]
    pub fn program(self) -> Option<PathBuf> {
        fs::read_link(self.path("exe")).ok()
    }

    /// The environment that it was started with.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn environment(self) -> BTreeMap<String, String> {
        let bytes = fs::read(self.path("environ")).expect("the process runs");
        let text = String::from_utf8_lossy(&bytes);
        let pairs = text.split('\0').filter_map(|entry| entry.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Its open descriptors and what each is, as /proc says it: `socket:[4711]`, `/dev/null`…
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn descriptors(self) -> BTreeMap<i32, String> {
        let entries = fs::read_dir(self.path("fd")).expect("the process runs").flatten();
        let described = entries.filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
        });
        described.collect()
    }

    /// The socket that a descriptor is; `None` when it is none.
    #[must_use]
    pub fn socket(self, descriptor: i32) -> Option<Inode> {
        let what = self.descriptors().remove(&descriptor)?;
        what.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok().map(Inode)
    }

    /// The flags of a descriptor's open file, as open(2) has them; `None` when there is no such descriptor.
    #[must_use]
    pub fn flags(self, descriptor: i32) -> Option<i32> {
        let about = fs::read_to_string(self.path("fdinfo").join(descriptor.to_string())).ok()?;
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:"))?;
        i32::from_str_radix(flags.trim(), 8).ok()
    }

    /// A line of /proc/PID/status: `Uid`, `VmRSS`…
    #[must_use]
    pub fn status(self, key: &str) -> Option<String> {
        let status = fs::read_to_string(self.path("status")).ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(value.trim().to_owned())
    }

    /// Ends it at once.
    ///
    /// # Panics
    /// When it is gone already, or not ours.
    pub fn kill(self) {
        kill(Pid::from_raw(self.0), Signal::SIGKILL).expect("the process runs");
    }

    /// Ends it at once, if it is still there.
    pub fn kill_if_there(self) {
        // Gone is as good.
        let _ = kill(Pid::from_raw(self.0), Signal::SIGKILL);
    }

    fn path(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }
}

/// The TCP listeners on an address, in our network namespace.
#[must_use]
pub fn tcp_listeners(address: SocketAddr) -> Vec<Inode> {
    const LISTEN: &str = "0A";
    let mut found = inet("tcp", address, LISTEN);
    found.extend(inet("tcp6", address, LISTEN));
    found
}

/// How many TCP listeners there are on a host, whatever their ports.
#[must_use]
pub fn count_tcp_listeners(host: IpAddr) -> usize {
    let text = fs::read_to_string("/proc/thread-self/net/tcp").unwrap_or_default();
    let rows = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let own = |row: &Vec<&str>| parse_address(row[1]).is_some_and(|address| address.ip() == host);
    rows.filter(|row| row.len() > 9 && row[3] == "0A" && own(row)).count()
}

/// The UDP sockets that are bound to an address.
#[must_use]
pub fn udp_sockets(address: SocketAddr) -> Vec<Inode> {
    const UNCONNECTED: &str = "07";
    let mut found = inet("udp", address, UNCONNECTED);
    found.extend(inet("udp6", address, UNCONNECTED));
    found
}

/// The unix sockets bound to a path or, with `@` before it, an abstract name; connections to it are left out.
#[must_use]
pub fn unix_sockets(name: &str) -> Vec<Inode> {
    const CONNECTED: &str = "03";
    let text = fs::read_to_string("/proc/thread-self/net/unix").unwrap_or_default();
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let bound = rows.filter(|row| row.len() == 8 && row[7] == name && row[5] != CONNECTED);
    // A connection that nobody has accepted has no inode yet.
    bound.filter_map(|row| row[6].parse().ok().filter(|inode| *inode != 0).map(Inode)).collect()
}

/// Rows of /proc/net/{tcp,udp}{,6}: `sl local remote state queues timer retransmits uid timeout inode`.
fn inet(table: &str, address: SocketAddr, state: &str) -> Vec<Inode> {
    let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
    let rows = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let wanted =
        rows.filter(|row| row.len() > 9 && row[3] == state && parse_address(row[1]) == Some(address));
    // The kernel gives the table in pieces: where sockets come and go meanwhile, it gives some of them twice.
    let found: BTreeSet<Inode> = wanted.filter_map(|row| row[9].parse().ok().map(Inode)).collect();
    found.into_iter().collect()
}

/// `0100007F:1F90` is 127.0.0.1:8080: words of four bytes, each in the byte order of the machine.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    let address = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn sockets_are_found_by_address() {
        let own = Process(i32::try_from(std::process::id()).unwrap());
        for host in ["127.0.0.1", "::1"] {
            let tcp = TcpListener::bind((host, 0)).unwrap();
            assert_eq!(tcp_listeners(tcp.local_addr().unwrap()), [own.socket(tcp.as_raw_fd()).unwrap()]);
            let udp = UdpSocket::bind((host, 0)).unwrap();
            assert_eq!(udp_sockets(udp.local_addr().unwrap()), [own.socket(udp.as_raw_fd()).unwrap()]);
        }
    }

    #[test]
    fn a_process_is_described() {
        let own = Process(i32::try_from(std::process::id()).unwrap());
        assert!(own.is_alive());
        assert!(own.parent().unwrap().descendants().contains(&own));
        assert_eq!(own.program().unwrap(), std::env::current_exe().unwrap());
        assert_eq!(own.environment()["CARGO_PKG_NAME"], "sockmgr-tests");
    }
}
