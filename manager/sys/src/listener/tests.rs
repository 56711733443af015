//! Real sockets, on loopback and in directories of their own.

use std::fs;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
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
fn the_owner_is_set() {
    if crate::user::own_uid() != 0 {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let mut spec = unix(SocketKind::Stream, &path);
    (spec.uid, spec.gid) = (Some(65534), Some(65533));
    open(&spec).unwrap();
    let found = fs::symlink_metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid()), (65534, 65533));
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
