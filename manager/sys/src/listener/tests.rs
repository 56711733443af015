//! Real sockets, on loopback and in directories of their own.

use std::fs;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::*;

fn inet(kind: SocketKind, address: &str) -> ListenerSpec {
    ListenerSpec::new(kind, ListenAddress::Inet(address.parse().unwrap()))
}

fn unix(kind: SocketKind, path: &Path) -> ListenerSpec {
    ListenerSpec::new(kind, ListenAddress::UnixPath(path.into()))
}

fn bound_to(listener: &Listener) -> SocketAddr {
    match local_address(listener.fd.as_fd()).unwrap() {
        ListenAddress::Inet(address) => address,
        other => panic!("{other} is no internet address"),
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_tcp_listener_takes_connections() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = open(&inet(SocketKind::Stream, address)).unwrap();
        assert!(listener.warnings.is_empty());
        TcpStream::connect(bound_to(&listener)).unwrap();
        // SAFETY: plain numbers.
        let flags = unsafe { libc::fcntl(listener.fd.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
    }
}

#[test]
fn reuse_port_lets_a_group_share_an_address() {
    let mut spec = inet(SocketKind::Stream, "127.0.0.1:0");
    spec.reuse_port = true;
    let first = open(&spec).unwrap();
    spec.address = ListenAddress::Inet(bound_to(&first));
    let second = open(&spec).unwrap();
    assert_eq!(bound_to(&first), bound_to(&second));
    spec.reuse_port = false;
    let error = open(&spec).unwrap_err();
    assert!(error.to_string().starts_with("cannot bind 127.0.0.1:"), "{error}");
}

#[test]
fn an_address_with_a_socket_is_claimed() {
    for kind in [SocketKind::Stream, SocketKind::Datagram] {
        let mut spec = inet(kind, "127.0.0.1:0");
        spec.reuse_port = true;
        let first = open(&spec).unwrap();
        spec.address = ListenAddress::Inet(bound_to(&first));
        let error = check_unclaimed(&spec).unwrap_err();
        assert!(
            matches!(&error, ListenError::Step { source, .. } if source.kind() == io::ErrorKind::AddrInUse),
            "{error:?}"
        );
        drop(first);
        check_unclaimed(&spec).unwrap();
        // Nothing of the check stays behind.
        open(&spec).unwrap();
    }
}

#[test]
fn a_connection_of_an_earlier_listener_claims_nothing() {
    let mut spec = inet(SocketKind::Stream, "127.0.0.1:0");
    spec.reuse_port = true;
    let listener = open(&spec).unwrap();
    spec.address = ListenAddress::Inet(bound_to(&listener));
    let _client = TcpStream::connect(bound_to(&listener)).unwrap();
    let _served = crate::accept::accept(listener.fd.as_fd()).unwrap();
    drop(listener);
    check_unclaimed(&spec).unwrap();
}

#[test]
fn bind_ipv6_only_decides_about_ipv4() {
    for (only, served) in [(BindIpv6Only::Both, true), (BindIpv6Only::Ipv6Only, false)] {
        let mut spec = inet(SocketKind::Stream, "[::]:0");
        spec.bind_ipv6_only = only;
        let listener = open(&spec).unwrap();
        let port = bound_to(&listener).port();
        assert_eq!(TcpStream::connect(("127.0.0.1", port)).is_ok(), served);
        TcpStream::connect(("::1", port)).unwrap();
    }
}

#[test]
fn a_datagram_socket_receives() {
    let listener = open(&inet(SocketKind::Datagram, "127.0.0.1:0")).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"hello", bound_to(&listener)).unwrap();
    let server = UdpSocket::from(listener.fd);
    assert_eq!(server.recv(&mut [0; 16]).unwrap(), 5);
}

#[test]
fn a_path_has_exactly_the_mode_and_its_parents_theirs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/socket");
    let mut spec = unix(SocketKind::Stream, &path);
    (spec.mode, spec.directory_mode) = (0o666, 0o710);
    let listener = open(&spec).unwrap();
    assert_eq!(mode_of(&path), 0o666);
    assert_eq!(mode_of(&directory.path().join("a")), 0o710);
    assert_eq!(mode_of(path.parent().unwrap()), 0o710);
    UnixStream::connect(&path).unwrap().write_all(b"x").unwrap();
    assert_eq!(local_address(listener.fd.as_fd()).unwrap(), spec.address);
}

#[test]
fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let spec = unix(SocketKind::SeqPacket, &path);
    drop(open(&spec).unwrap());
    drop(open(&spec).unwrap());
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    let error = open(&spec).unwrap_err();
    assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
    assert!(error.to_string().ends_with("exists and is not a socket; refusing to remove it"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_link_to_a_socket_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (path, link) = (directory.path().join("socket"), directory.path().join("link"));
    let _listener = open(&unix(SocketKind::Stream, &path)).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = open(&unix(SocketKind::Stream, &link)).unwrap_err();
    assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
    assert!(fs::symlink_metadata(&link).is_ok() && path.exists());
}

#[test]
fn a_node_is_given_away_while_it_is_ours() {
    if crate::user::own_uid() != 0 {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let first = open(&unix(SocketKind::Stream, &path)).unwrap();
    let node = first.node.as_ref().unwrap();
    give(node.handle(first.fd.as_fd()).unwrap().as_fd(), Some(65534), Some(65533)).unwrap();
    let found = fs::symlink_metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid()), (65534, 65533));
    let _second = open(&unix(SocketKind::Stream, &path)).unwrap();
    assert_eq!(node.handle(first.fd.as_fd()).unwrap_err().errno(), libc::ESTALE);
}

#[test]
fn only_our_own_node_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let spec = unix(SocketKind::Stream, &directory.path().join("socket"));
    let first = open(&spec).unwrap();
    let second = open(&spec).unwrap();
    assert!(!remove(first.node.as_ref().unwrap()).unwrap(), "it was replaced by the second");
    assert!(remove(second.node.as_ref().unwrap()).unwrap());
    assert!(!remove(second.node.as_ref().unwrap()).unwrap());
}

#[test]
fn an_abstract_name_needs_no_file() {
    let name = format!("sockmgr-listener-test-{}", std::process::id());
    let address = ListenAddress::UnixAbstract(name.into_bytes());
    let spec = ListenerSpec::new(SocketKind::Stream, address.clone());
    let listener = open(&spec).unwrap();
    assert_eq!(listener.node, None);
    assert_eq!(local_address(listener.fd.as_fd()).unwrap(), address);
    assert!(address.to_string().starts_with("@sockmgr-listener-test-"));
}

#[test]
fn a_path_that_is_too_long_is_an_error() {
    let long = Path::new("/tmp").join("x".repeat(200));
    let error = open(&unix(SocketKind::Stream, &long)).unwrap_err();
    assert!(error.to_string().starts_with("cannot bind /tmp/xxx"), "{error}");
}

#[test]
fn nonblocking_is_set_and_cleared() {
    let listener = open(&inet(SocketKind::Stream, "127.0.0.1:0")).unwrap();
    let is_nonblocking = || {
        // SAFETY: plain numbers.
        unsafe { libc::fcntl(listener.fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
    };
    assert!(is_nonblocking());
    set_nonblocking(listener.fd.as_fd(), false).unwrap();
    assert!(!is_nonblocking());
    set_nonblocking(listener.fd.as_fd(), true).unwrap();
    assert!(is_nonblocking());
}

#[test]
fn protocols_go_with_their_kinds() {
    let protocol = |listener: &Listener| {
        sockopt::get_int(listener.fd.as_fd(), libc::SOL_SOCKET, libc::SO_PROTOCOL).unwrap()
    };
    let rows = [
        (SocketKind::Datagram, SocketProtocol::UdpLite, libc::IPPROTO_UDPLITE),
        (SocketKind::Stream, SocketProtocol::UdpLite, libc::IPPROTO_TCP),
        (SocketKind::Stream, SocketProtocol::Mptcp, libc::IPPROTO_MPTCP),
        (SocketKind::Datagram, SocketProtocol::Mptcp, libc::IPPROTO_UDP),
        (SocketKind::Datagram, SocketProtocol::Sctp, libc::IPPROTO_UDP),
    ];
    for (kind, wanted, number) in rows {
        let mut spec = inet(kind, "127.0.0.1:0");
        spec.protocol = Some(wanted);
        match open(&spec) {
            Ok(listener) => assert_eq!(protocol(&listener), number, "{kind:?} {wanted:?}"),
            // A kernel that lacks it says so; then that is what is reported.
            Err(ListenError::Step { step, source, .. }) => {
                assert_eq!((step, source.raw_os_error()), ("make a socket for", Some(libc::EPROTONOSUPPORT)));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_netlink_socket_is_in_its_groups() {
    let address = ListenAddress::Netlink { family: libc::NETLINK_ROUTE, groups: 0b101 };
    let listener = open(&ListenerSpec::new(SocketKind::Raw, address)).unwrap();
    let bound: nix::sys::socket::SockaddrStorage =
        nix::sys::socket::getsockname(listener.fd.as_raw_fd()).unwrap();
    assert_eq!(bound.as_netlink_addr().unwrap().groups(), 0b101);
}

#[test]
fn a_fifo_is_made_kept_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sub/fifo");
    let spec = FifoSpec { mode: 0o600, directory_mode: 0o700, pipe_size: Some(8192) };
    let first = open_fifo(&path, &spec).unwrap();
    assert!(first.warnings.is_empty());
    // SAFETY: plain numbers.
    assert_eq!(unsafe { libc::fcntl(first.fd.as_raw_fd(), libc::F_GETPIPE_SZ) }, 8192);
    assert_eq!((mode_of(&path), mode_of(path.parent().unwrap())), (0o600, 0o700));
    let again = open_fifo(&path, &spec).unwrap();
    assert_eq!(again.node, first.node);
    let error = open_fifo(&path, &FifoSpec { mode: 0o640, ..spec }).unwrap_err();
    assert!(error.to_string().ends_with("is not a FIFO of our own with mode 0640 (EEXIST)"), "{error}");
    assert!(remove(again.node.as_ref().unwrap()).unwrap());
    fs::write(&path, "").unwrap();
    assert!(matches!(open_fifo(&path, &spec), Err(ListenError::Unfit { .. })));
}

#[test]
fn what_waits_in_a_fifo_and_a_message_queue_is_flushed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    let spec = FifoSpec { mode: 0o600, directory_mode: 0o700, pipe_size: None };
    let fifo = open_fifo(&path, &spec).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(b"left over").unwrap();
    assert_eq!(crate::queue::flush(fifo.fd.as_fd()).unwrap(), 1);
    assert_eq!(crate::queue::flush(fifo.fd.as_fd()).unwrap(), 0);
    let queue = open_message_queue(&queue_name("flushed"), &QUEUE).unwrap();
    send(&queue_name("flushed"));
    send(&queue_name("flushed"));
    assert_eq!(crate::queue::flush(queue.fd.as_fd()).unwrap(), 2);
    assert_eq!(crate::queue::flush(queue.fd.as_fd()).unwrap(), 0);
    assert!(remove(queue.node.as_ref().unwrap()).unwrap());
}

const QUEUE: QueueSpec = QueueSpec { mode: 0o600, max_messages: 3, message_size: 100 };

fn queue_name(what: &str) -> String {
    format!("/sockmgr-test-{what}-{}", std::process::id())
}

fn send(queue: &str) {
    let name = std::ffi::CString::new(queue).unwrap();
    // SAFETY: `name` and the message are strings of these lengths; the descriptor is closed once.
    unsafe {
        let fd = libc::mq_open(name.as_ptr(), libc::O_WRONLY);
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        assert_eq!(libc::mq_send(fd, c"hi".as_ptr(), 2, 0), 0);
        libc::mq_close(fd);
    }
}

#[test]
fn a_message_queue_is_made_kept_and_checked() {
    let name = queue_name("made");
    let queue = open_message_queue(&name, &QUEUE).unwrap();
    let mut attributes = std::mem::MaybeUninit::<libc::mq_attr>::uninit();
    // SAFETY: room for the attributes, which the call fills in.
    let attributes = unsafe {
        assert_eq!(libc::mq_getattr(queue.fd.as_raw_fd(), attributes.as_mut_ptr()), 0);
        attributes.assume_init()
    };
    assert_eq!((attributes.mq_maxmsg, attributes.mq_msgsize), (3, 100));
    let error = open_message_queue(&name, &QueueSpec { mode: 0o640, ..QUEUE }).unwrap_err();
    assert!(error.to_string().contains("a queue of our own with mode 0640"), "{error}");
    assert!(remove(queue.node.as_ref().unwrap()).unwrap());
    assert!(!remove(queue.node.as_ref().unwrap()).unwrap());
}

#[test]
fn a_special_file_is_a_file_or_a_device() {
    assert!(open_special(Path::new("/proc/self/mounts"), false).is_ok());
    // Always readable, so that nobody can wait for it.
    let always = open_special(Path::new("/dev/null"), true).unwrap_err();
    assert!(always.to_string().starts_with("cannot wait for /dev/null"), "{always}");
    let error = open_special(Path::new("/proc"), false).unwrap_err();
    assert!(error.to_string().contains("is not a regular file or a character device"), "{error}");
    let missing = open_special(Path::new("/no/such/file"), false).unwrap_err();
    assert_eq!(missing.to_string(), "cannot open /no/such/file");
}

#[test]
fn a_usb_function_tells_about_itself_and_has_its_endpoints_in_order() {
    // FunctionFS in miniature: what is written to ep0 stays there, and the endpoints are there already.
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    for endpoint in ["ep0", "ep2", "ep1"] {
        file(endpoint, "");
    }
    let sources = tempfile::tempdir().unwrap();
    let paths = ["descriptors", "strings"].map(|name| sources.path().join(name));
    paths.iter().for_each(|path| fs::write(path, path.file_name().unwrap().as_encoded_bytes()).unwrap());
    let [descriptors, strings] = paths.map(Some);
    let listener = open_usb_function(directory.path(), &UsbFunction { descriptors, strings }).unwrap();
    assert_eq!(fs::read_to_string(directory.path().join("ep0")).unwrap(), "descriptorsstrings");
    let inode = |fd: &OwnedFd| fs::File::from(fd.try_clone().unwrap()).metadata().unwrap().ino();
    let named = |name: &str| fs::metadata(directory.path().join(name)).unwrap().ino();
    let opened: Vec<u64> = listener.auxiliary.iter().map(inode).collect();
    assert_eq!(opened, [named("ep1"), named("ep2")]);
    let error = open_usb_function(directory.path(), &UsbFunction::default()).unwrap_err();
    assert!(
        matches!(&error, ListenError::Step { source, .. } if source.raw_os_error() == Some(libc::EINVAL))
    );
}

#[test]
fn a_link_is_made_where_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let (target, other) = (directory.path().join("socket"), directory.path().join("other"));
    let alias = directory.path().join("sub/alias");
    link::make(&alias, &target, 0o750, false).unwrap();
    link::make(&alias, &target, 0o750, false).unwrap();
    assert_eq!(mode_of(alias.parent().unwrap()), 0o750);
    let error = link::make(&alias, &other, 0o755, false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    link::make(&alias, &other, 0o755, true).unwrap();
    assert!(!link::remove(&alias, &target).unwrap(), "it points elsewhere by now");
    assert!(link::remove(&alias, &other).unwrap());
    assert!(!alias.exists());
}
