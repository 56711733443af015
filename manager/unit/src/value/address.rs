//! Where to listen: `80`, `127.0.0.1:80`, `[::1]:80`, `/run/web.sock`, `@abstract` (systemd.socket(5), `ListenStream=`).
//!
//! Never here: creating sockets, and resolving host names, which units cannot have.
//! Invariant: an address can be bound as it is: the port is not 0 and a unix name fits into `sockaddr_un`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::number::BLANKS;
use super::word::escape_c;
use super::{ValueError, parse_u32, path};
use crate::directive::{Context, Property, Scalar, Value};
use crate::specifier::Host;

/// One `Listen…=` line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listen {
    /// What travels: a byte stream, datagrams or packets.
    pub kind: ListenKind,
    /// Where.
    pub address: ListenAddress,
}

/// The type of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenKind {
    /// `SOCK_STREAM`
    Stream,
    /// `SOCK_DGRAM`
    Datagram,
    /// `SOCK_SEQPACKET`, on unix sockets only.
    SequentialPacket,
    /// A named pipe (fifo(7)).
    Fifo,
    /// A device or another file that exists.
    Special,
    /// `SOCK_RAW` of a netlink family.
    Netlink,
    /// A POSIX message queue (mq_overview(7)).
    MessageQueue,
    /// The endpoints of a FunctionFS mount.
    UsbFunction,
}

impl ListenKind {
    const ALL: [Self; 8] = [
        Self::Stream,
        Self::Datagram,
        Self::SequentialPacket,
        Self::Fifo,
        Self::Special,
        Self::Netlink,
        Self::MessageQueue,
        Self::UsbFunction,
    ];

    /// `Stream`, `Datagram`, `SequentialPacket`: as in the directive and on D-Bus.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "Stream",
            Self::Datagram => "Datagram",
            Self::SequentialPacket => "SequentialPacket",
            Self::Fifo => "FIFO",
            Self::Special => "Special",
            Self::Netlink => "Netlink",
            Self::MessageQueue => "MessageQueue",
            Self::UsbFunction => "USBFunction",
        }
    }

    /// Whether connections can be accepted on it.
    pub fn is_acceptable(self) -> bool {
        matches!(self, Self::Stream | Self::SequentialPacket)
    }

    fn of_directive(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| key.strip_prefix("Listen") == Some(kind.as_str()))
    }
}

impl fmt::Display for ListenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The address of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An IPv4 or IPv6 address with its port.
    Inet(SocketAddr),
    /// An IPv6 address within the scope of one network interface.
    Scoped(Box<ScopedAddress>),
    /// A port alone: on all addresses, `[::]`, or `0.0.0.0` where the kernel has no IPv6.
    AnyPort(u16),
    /// A path in the file system.
    Unix(Box<str>),
    /// A name in the abstract namespace, without its leading zero byte.
    Abstract(Box<[u8]>),
    /// A port of a virtual machine (vsock(7)).
    Vsock {
        /// Whose: [`ListenAddress::ANY_CID`] is anybody's.
        cid: u32,
        /// The port.
        port: u32,
    },
    /// A netlink family with its groups.
    Netlink(NetlinkAddress),
    /// The path of a FIFO, special file or USB function, or the name of a message queue: the kind says which.
    Node(Box<str>),
}

/// A netlink family and the multicast groups to join (netlink(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetlinkAddress {
    /// `NETLINK_*`
    pub family: i32,
    /// One bit for each group (`nl_groups`).
    pub groups: u32,
}

/// Families by name, at their number.
const NETLINK: [&str; 21] = [
    "route",
    "",
    "",
    "firewall",
    "inet-diag",
    "nflog",
    "xfrm",
    "selinux",
    "iscsi",
    "audit",
    "fib-lookup",
    "connector",
    "netfilter",
    "ip6-fw",
    "dnrtmsg",
    "kobject-uevent",
    "generic",
    "",
    "scsitransport",
    "ecryptfs",
    "rdma",
];

impl NetlinkAddress {
    /// Reads a family by name or number, and after a blank the groups.
    ///
    /// # Errors
    /// There is no such family, or the groups are no number.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let (family, groups) = text.split_once(BLANKS).unwrap_or((text, ""));
        let named = NETLINK.iter().position(|name| *name == family && !family.is_empty());
        let family = match named.and_then(|number| i32::try_from(number).ok()) {
            Some(number) => number,
            None => parse_u32(family)
                .ok()
                .and_then(|number| i32::try_from(number).ok())
                .ok_or_else(|| ValueError::invalid(text, "a netlink family"))?,
        };
        let groups = groups.trim_matches(BLANKS);
        let groups = if groups.is_empty() { 0 } else { parse_u32(groups)? };
        Ok(Self { family, groups })
    }
}

impl fmt::Display for NetlinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = usize::try_from(self.family).ok().and_then(|number| NETLINK.get(number));
        match name.filter(|name| !name.is_empty()) {
            Some(name) => write!(f, "{name} {}", self.groups),
            None => write!(f, "{} {}", self.family, self.groups),
        }
    }
}

/// An IPv6 address whose scope is a network interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScopedAddress {
    /// The address; its scope id is the index of the interface.
    pub address: SocketAddrV6,
    /// The name of the interface; its index as text where it had no name when the unit was loaded.
    pub interface: Box<str>,
}

const EXPECTED: &str = "an address: a port, 1.2.3.4:port, [v6]:port, /path or @abstract";
const PORTS: &str = "a port is from 1 to 65535";

/// Bytes of a unix path or abstract name, its zero byte not counted: `sockaddr_un` holds 108.
const UNIX_MAX: usize = 107;

impl ListenAddress {
    /// The context id of whoever it is (`VMADDR_CID_ANY`).
    pub const ANY_CID: u32 = u32::MAX;

    /// Reads an address, specifiers already expanded. `host` knows the network interfaces.
    ///
    /// # Errors
    /// It is no address, its port is out of range, its name is too long or its interface does not exist.
    pub fn parse(text: &str, host: &Host) -> Result<Self, ValueError> {
        match text.as_bytes().first() {
            Some(b'/') => unix(text),
            Some(b'@') => abstract_name(text),
            _ if text.starts_with("vsock:") => vsock(text),
            _ => match port(text) {
                Ok(port) => Ok(Self::AnyPort(port)),
                Err(error @ ValueError::Range { .. }) => Err(error),
                Err(_) => inet(text, host),
            },
        }
    }

    /// The address to bind where it is IP, on a kernel with or without IPv6.
    pub fn socket_addr(&self, has_ipv6: bool) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Scoped(scoped) => Some(scoped.address.into()),
            Self::AnyPort(port) if has_ipv6 => Some((Ipv6Addr::UNSPECIFIED, *port).into()),
            Self::AnyPort(port) => Some((Ipv4Addr::UNSPECIFIED, *port).into()),
            Self::Unix(_) | Self::Abstract(_) | Self::Vsock { .. } | Self::Netlink(_) | Self::Node(_) => None,
        }
    }

    /// Whether it is an IP address, and not a unix one.
    pub fn is_inet(&self) -> bool {
        match self {
            Self::Inet(_) | Self::Scoped(_) | Self::AnyPort(_) => true,
            Self::Unix(_) | Self::Abstract(_) | Self::Vsock { .. } | Self::Netlink(_) | Self::Node(_) => {
                false
            }
        }
    }

    /// The path in the file system of a unix socket.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Inet(_)
            | Self::Scoped(_)
            | Self::AnyPort(_)
            | Self::Abstract(_)
            | Self::Vsock { .. }
            | Self::Netlink(_)
            | Self::Node(_) => None,
        }
    }
}

/// The error for text that is no address at all.
fn not_an_address(text: &str) -> ValueError {
    ValueError::Address { text: text.to_owned(), instead: instead_of(text) }
}

/// What is right instead of a usual mistake.
fn instead_of(text: &str) -> Option<&'static str> {
    let brackets = text.starts_with('[');
    let instead = match text.rsplit_once(':') {
        _ if brackets && text.ends_with(']') => "a port is missing: write [v6]:port",
        None if text.parse::<Ipv4Addr>().is_ok() => "a port is missing: write 1.2.3.4:port",
        None if text.len() > 1 && text.contains(['/', '.']) => {
            "the path of a socket starts with `/`; `%t/` is the runtime directory"
        }
        Some(("" | "*", _)) => "write the port alone to listen on all addresses",
        Some((host, _)) if !brackets && host.contains(':') => {
            "write brackets around an IPv6 address: [::1]:port"
        }
        Some((host, _)) if !brackets && host.contains(|c: char| c.is_ascii_alphabetic()) => {
            "host names are not looked up: write an address, such as 127.0.0.1:port or [::1]:port"
        }
        _ => return None,
    };
    Some(instead)
}

fn unix(text: &str) -> Result<ListenAddress, ValueError> {
    if text.len() < 2 {
        return Err(not_an_address(text));
    }
    let path = path::below_run(text);
    if path.len() > UNIX_MAX {
        return Err(ValueError::TooLong { length: path.len(), limit: UNIX_MAX });
    }
    Ok(ListenAddress::Unix(path.into()))
}

fn abstract_name(text: &str) -> Result<ListenAddress, ValueError> {
    let name = text.strip_prefix('@').filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| not_an_address(text))?;
    if text.len() > UNIX_MAX {
        return Err(ValueError::TooLong { length: text.len(), limit: UNIX_MAX });
    }
    Ok(ListenAddress::Abstract(name.as_bytes().into()))
}

/// `vsock:CID:PORT`; without a CID it is anybody's.
fn vsock(text: &str) -> Result<ListenAddress, ValueError> {
    let (cid, port) = text
        .strip_prefix("vsock:")
        .and_then(|rest| rest.split_once(':'))
        .ok_or_else(|| not_an_address(text))?;
    let cid = match cid {
        "" => ListenAddress::ANY_CID,
        "hypervisor" => 0,
        "local" => 1,
        "host" => 2,
        number => vsock_number(number, text)?,
    };
    let port = vsock_number(port, text)?;
    Ok(ListenAddress::Vsock { cid, port })
}

/// The largest number means "any".
fn vsock_number(number: &str, text: &str) -> Result<u32, ValueError> {
    const LIMIT: &str = "numbers of vsock are from 0 to 4294967295";
    match parse_u32(number) {
        Ok(number) => Ok(number),
        Err(ValueError::Range { .. }) => Err(ValueError::range(text, LIMIT)),
        Err(_) => Err(not_an_address(text)),
    }
}

/// A port number in any base, without leading blanks.
fn port(text: &str) -> Result<u16, ValueError> {
    if text.starts_with(char::is_whitespace) {
        return Err(not_an_address(text));
    }
    let number = parse_u32(text).map_err(|error| match error {
        ValueError::Range { .. } => ValueError::range(text, PORTS),
        _ => not_an_address(text),
    })?;
    match u16::try_from(number) {
        Ok(port @ 1..) => Ok(port),
        Ok(0) | Err(_) => Err(ValueError::range(text, PORTS)),
    }
}

/// `1.2.3.4:80`, `[::1]:80`, and either with `%interface` at the end.
fn inet(text: &str, host: &Host) -> Result<ListenAddress, ValueError> {
    let invalid = || not_an_address(text);
    let (endpoint, interface) =
        text.split_once('%').map_or((text, None), |(endpoint, name)| (endpoint, Some(name)));
    let scope = interface.map(|name| scope(name, host)).transpose()?;
    let (address, port_text) = endpoint.rsplit_once(':').ok_or_else(invalid)?;
    let Some(address) = address.strip_prefix('[') else {
        // IPv4 has no scopes; systemd takes one and forgets it.
        let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
        return Ok(ListenAddress::Inet(SocketAddrV4::new(address, port(port_text)?).into()));
    };
    let address: Ipv6Addr =
        address.strip_suffix(']').and_then(|address| address.parse().ok()).ok_or_else(invalid)?;
    let port = port(port_text)?;
    Ok(match scope {
        None => ListenAddress::Inet(SocketAddrV6::new(address, port, 0, 0).into()),
        Some((index, interface)) => {
            let address = SocketAddrV6::new(address, port, 0, index);
            ListenAddress::Scoped(Box::new(ScopedAddress { address, interface }))
        }
    })
}

/// Index and name of the interface that `text` names; an index need not exist (yet), a name must.
fn scope(text: &str, host: &Host) -> Result<(u32, Box<str>), ValueError> {
    if let Some(index) = parse_u32(text).ok().filter(|&index| index != 0 && index <= i32::MAX as u32) {
        let name = host.interface_name(index).map_or_else(|| index.to_string(), str::to_owned);
        return Ok((index, name.into()));
    }
    let index = host.interface_index(text).ok_or_else(|| ValueError::NoInterface(text.to_owned()))?;
    Ok((index, text.into()))
}

/// As systemd prints it: `[::]:80`, `[fe80::1]:80%eth0`, `@name`; unix names with C escapes.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(SocketAddr::V4(address)) => address.fmt(f),
            Self::Inet(SocketAddr::V6(address)) => fmt_v6(address, f),
            Self::Scoped(scoped) => {
                fmt_v6(&scoped.address, f)?;
                write!(f, "%{}", scoped.interface)
            }
            Self::AnyPort(port) => write!(f, "[::]:{port}"),
            Self::Unix(path) => f.write_str(&escape_c(path.as_bytes())),
            Self::Abstract(name) => write!(f, "@{}", escape_c(name)),
            Self::Vsock { cid: Self::ANY_CID, port } => write!(f, "vsock::{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Netlink(address) => address.fmt(f),
            Self::Node(name) => f.write_str(name),
        }
    }
}

/// Without the scope. inet_ntop(3) prints the old IPv4-compatible addresses in dotted form, Rust does not.
fn fmt_v6(address: &SocketAddrV6, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (ip, port) = (address.ip(), address.port());
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
            let [.., a, b, c, d] = ip.octets();
            write!(f, "[::{a}.{b}.{c}.{d}]:{port}")
        }
        _ => write!(f, "[{ip}]:{port}"),
    }
}

impl Listen {
    /// Whether the kernel tells how much waits there.
    pub fn tells_queue(&self) -> bool {
        match self.kind {
            ListenKind::Stream | ListenKind::SequentialPacket => {
                !matches!(self.address, ListenAddress::Vsock { .. })
            }
            ListenKind::Datagram => self.address.is_inet(),
            ListenKind::Netlink
            | ListenKind::Fifo
            | ListenKind::Special
            | ListenKind::MessageQueue
            | ListenKind::UsbFunction => false,
        }
    }

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let kind = ListenKind::of_directive(cx.key()).expect("only the Listen directives fill this field");
        let text = cx.expand(text)?;
        if text.len() > path::PATH_MAX {
            return Err(ValueError::TooLong { length: text.len(), limit: path::PATH_MAX });
        }
        let address = match kind {
            ListenKind::Stream | ListenKind::Datagram | ListenKind::SequentialPacket => {
                ListenAddress::parse(&text, cx.host())?
            }
            ListenKind::Netlink => ListenAddress::Netlink(NetlinkAddress::parse(&text)?),
            ListenKind::Fifo => ListenAddress::Node(path::absolute(&path::below_run(&text))?),
            ListenKind::MessageQueue => ListenAddress::Node(path::absolute(&text)?),
            ListenKind::Special | ListenKind::UsbFunction => ListenAddress::Node(path::absolute(&text)?),
        };
        let is_unix = matches!(address, ListenAddress::Unix(_) | ListenAddress::Abstract(_));
        if kind == ListenKind::SequentialPacket && !is_unix {
            return Err(ValueError::Family(text));
        }
        if matches!(address, ListenAddress::Unix(_) | ListenAddress::Node(_)) && text.starts_with("/var/run/")
        {
            cx.warn(ValueError::Remark {
                text,
                remark: "is taken as below /run: /var/run is the old name of that",
            });
        }
        Ok(Self { kind, address })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.kind)
    }
}

impl Scalar for ListenAddress {
    const FORM: &'static str = EXPECTED;
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let text = cx.expand(text)?;
        match Self::parse(&text, cx.host())? {
            Self::Vsock { .. } | Self::Netlink(_) | Self::Node(_) => Err(ValueError::Unsupported(text)),
            address => Ok(address),
        }
    }

    fn property(&self) -> Property {
        Property::Str(self.to_string())
    }
}

/// Lines add up, in their order over all kinds; the empty assignment to any of them forgets all.
impl Value for Vec<Listen> {
    const FORM: &'static str = EXPECTED;
    const SIGNATURE: &'static str = "a(ss)";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.clear();
        } else {
            self.push(Listen::parse(text, cx)?);
            self.shrink_to_fit();
        }
        Ok(())
    }

    fn property(&self) -> Property {
        let line = |listen: &Listen| (listen.kind.to_string(), listen.address.to_string());
        Property::Listen(self.iter().map(line).collect())
    }

    fn shrink(&mut self) {
        self.shrink_to_fit();
    }
}
