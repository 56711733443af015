//! What a manager really receives: the messages, and the descriptors that come with them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use sockmgr_client::{Notifier, NotifyError, State};
use tempfile::TempDir;

/// The manager's end, on a path, and a notifier that reaches it.
fn manager() -> (TempDir, UnixDatagram, Notifier) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let notifier = Notifier::to(path.to_str().unwrap()).unwrap();
    (directory, socket, notifier)
}

/// The next message, and the numbers of the descriptors with it, which the caller closes.
fn receive(socket: &UnixDatagram) -> (String, Vec<RawFd>) {
    let mut text = [0; 4096];
    let mut control = nix::cmsg_space!([RawFd; 8]);
    let mut parts = [IoSliceMut::new(&mut text)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).unwrap();
    let descriptors = message.cmsgs().unwrap().flat_map(|control| match control {
        ControlMessageOwned::ScmRights(descriptors) => descriptors,
        _ => Vec::new(),
    });
    let descriptors = descriptors.collect();
    let length = message.bytes;
    (String::from_utf8(text[..length].to_vec()).unwrap(), descriptors)
}

#[test]
fn messages_arrive_as_they_were_told() {
    let (_directory, socket, notifier) = manager();
    assert!(notifier.is_enabled());
    notifier.ready().unwrap();
    notifier.stopping().unwrap();
    notifier.status("serving").unwrap();
    notifier.watchdog().unwrap();
    notifier.main_pid(17).unwrap();
    notifier.errno(2).unwrap();
    notifier.send(&[State::Ready, State::Status("two at once")]).unwrap();
    notifier.remove_stored("session").unwrap();
    let expected = [
        "READY=1",
        "STOPPING=1",
        "STATUS=serving",
        "WATCHDOG=1",
        "MAINPID=17",
        "ERRNO=2",
        "READY=1\nSTATUS=two at once",
        "FDSTOREREMOVE=1\nFDNAME=session",
    ];
    for text in expected {
        assert_eq!(receive(&socket), (text.to_owned(), vec![]));
    }
}

#[test]
fn an_abstract_address_is_reached() {
    let name = format!("sockmgr-client-notify-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let notifier = Notifier::to(&format!("@{name}")).unwrap();
    notifier.reloading().unwrap();
    let (text, _) = receive(&socket);
    assert!(text.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{text}");
}

#[test]
fn a_stored_descriptor_arrives_with_its_name() {
    let (directory, socket, notifier) = manager();
    let path = directory.path().join("kept");
    File::create(&path).unwrap().write_all(b"precious").unwrap();
    notifier.store("session", File::open(&path).unwrap()).unwrap();
    let (text, descriptors) = receive(&socket);
    assert_eq!(text, "FDSTORE=1\nFDNAME=session");
    let [descriptor] = descriptors[..] else { panic!("one descriptor, not {descriptors:?}") };
    std::fs::remove_file(&path).unwrap();
    let mut kept = String::new();
    File::open(format!("/proc/self/fd/{descriptor}")).unwrap().read_to_string(&mut kept).unwrap();
    assert_eq!(kept, "precious");
    nix::unistd::close(descriptor).unwrap();
}

#[test]
fn the_barrier_lifts_when_the_manager_closes_its_end() {
    let (_directory, socket, notifier) = manager();
    let manager = thread::spawn(move || {
        let (text, descriptors) = receive(&socket);
        thread::sleep(Duration::from_millis(50));
        descriptors.into_iter().for_each(|descriptor| nix::unistd::close(descriptor).unwrap());
        text
    });
    let start = Instant::now();
    notifier.barrier(Duration::from_secs(20)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(manager.join().unwrap(), "BARRIER=1");
}

#[test]
fn the_barrier_gives_up_in_time() {
    let (_directory, _socket, notifier) = manager();
    let start = Instant::now();
    let error = notifier.barrier(Duration::from_millis(50)).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert!(matches!(error, NotifyError::BarrierTimeout { .. }), "{error}");
}

#[test]
fn a_manager_that_is_gone_is_an_error() {
    let (_directory, socket, notifier) = manager();
    drop(socket);
    let error = notifier.ready().unwrap_err();
    assert_eq!(error.to_string(), "cannot send \"READY=1\" to the manager");
}

#[test]
fn a_manager_that_came_back_is_reached() {
    let (directory, socket, notifier) = manager();
    notifier.ready().unwrap();
    drop(socket);
    let path = directory.path().join("notify");
    std::fs::remove_file(&path).unwrap();
    let again = UnixDatagram::bind(&path).unwrap();
    notifier.watchdog().unwrap();
    assert_eq!(receive(&again).0, "WATCHDOG=1");
}
