//! Traffic starts services, and they find the sockets as promised: every kind of socket, one service or one per connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};

use sockmgr_tests::kernel::{Process, tcp_listeners, udp_sockets, unix_sockets};
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::namespace::is_root;
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::{PATIENCE, until};

/// A service whose descriptors and environment the tests look at from outside.
const SLEEPER: &str = "[Service]\nType=exec\nExecStart=/bin/sleep 1000\n";

/// Sends, shuts the sending side and reads all that comes back.
fn talk(mut stream: TcpStream, text: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_first_connection_starts_the_service_and_is_served() {
    let site = Site::new();
    site.unit("echo.socket", "[Socket]\nListenStream={host}:7\n");
    site.unit("echo.service", "[Service]\nExecStart={echo}\n");
    let manager = Setup::new(&site).start();
    manager.up("echo.socket");
    assert_eq!(manager.property("echo.socket", "SubState"), "listening");
    assert_eq!(manager.property("echo.service", "ActiveState"), "inactive");

    assert_eq!(talk(TcpStream::connect(site.address(7)).unwrap(), "first words"), "first words");
    let service = manager.main_process("echo.service");
    assert_eq!(manager.property("echo.socket", "SubState"), "running");
    assert_eq!(talk(TcpStream::connect(site.address(7)).unwrap(), "again"), "again");
    assert_eq!(manager.main_process("echo.service"), service);
}

#[test]
fn a_service_that_ends_is_started_again_by_the_next_connection() {
    let site = Site::new();
    site.unit("once.socket", "[Socket]\nListenStream={host}:7\n");
    // It takes one connection from the listener on fd 3, and ends.
    site.unit("once.service", "[Service]\nExecStart={echo}\n");
    let manager = Setup::new(&site).start();
    manager.up("once.socket");
    let mut seen = Vec::new();
    for _ in 0..3 {
        assert_eq!(talk(TcpStream::connect(site.address(7)).unwrap(), "x"), "x");
        let process = manager.main_process("once.service");
        assert!(!seen.contains(&process));
        seen.push(process);
        manager.sockmgr(&["stop", "once.service"]).ok();
        assert!(!process.is_alive());
        assert_eq!(manager.property("once.socket", "SubState"), "listening");
    }
}

#[test]
fn the_first_datagram_is_still_there() {
    let site = Site::new();
    site.unit("echo.socket", "[Socket]\nListenDatagram={host}:7\n");
    site.unit("echo.service", "[Service]\nType=notify\nExecStart={udp_echo}\n");
    let manager = Setup::new(&site).start();
    manager.up("echo.socket");
    let client = UdpSocket::bind(site.address(0)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for text in ["the very first", "the next"] {
        client.send_to(text.as_bytes(), site.address(7)).unwrap();
        let mut answer = [0; 99];
        let (length, from) = client.recv_from(&mut answer).unwrap();
        assert_eq!((&answer[..length], from), (text.as_bytes(), site.address(7)));
    }
    assert_eq!(manager.property("echo.service", "SubState"), "running");
}

#[test]
fn a_unix_datagram_and_a_sequential_packet_start_services_too() {
    let site = Site::new();
    site.unit("log.socket", "[Socket]\nListenDatagram={dir}/log.sock\n");
    site.unit(
        "log.service",
        "[Service]\nStandardInput=socket\nStandardOutput=file:{dir}/heard\nExecStart=/usr/bin/head -c 5\n",
    );
    site.unit("seq.socket", "[Socket]\nListenSequentialPacket={dir}/seq.sock\n");
    site.unit("seq.service", SLEEPER);
    let manager = Setup::new(&site).start();
    manager.up("log.socket");
    manager.up("seq.socket");

    UnixDatagram::unbound().unwrap().send_to(b"hello", site.path("log.sock")).unwrap();
    until("the datagram is read by the service", || site.read("heard") == "hello");

    let path = site.path("seq.sock");
    let client = seqpacket(&path);
    let service = manager.main_process("seq.service");
    assert_eq!(unix_sockets(path.to_str().unwrap()), [service.socket(3).unwrap()]);
    drop(client);
}

/// A connected SOCK_SEQPACKET socket.
fn seqpacket(path: &std::path::Path) -> std::os::fd::OwnedFd {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    use std::os::fd::AsRawFd;
    let client = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(client.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    client
}

#[test]
fn every_connection_gets_an_instance_of_its_own() {
    let site = Site::new();
    site.unit("who.socket", "[Socket]\nListenStream={host}:7\nAccept=yes\n");
    let script = "echo $REMOTE_ADDR $REMOTE_PORT $LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID - $$)); read line; echo $line";
    site.unit(
        "who@.service",
        &format!("[Service]\nExecStart=/bin/sh -c '{{ {script}; }} <&3 >&3'\n").replace('$', "$$"),
    );
    let manager = Setup::new(&site).start();
    manager.up("who.socket");
    for turn in 1..=3 {
        let stream = TcpStream::connect(site.address(7)).unwrap();
        let own = stream.local_addr().unwrap();
        let expected = format!("{} {} 1 connection 0\nhi\n", own.ip(), own.port());
        assert_eq!(talk(stream, "hi\n"), expected);
        assert_eq!(manager.property("who.socket", "NAccepted"), turn.to_string());
    }
    until("the instances have ended", || manager.property("who.socket", "NConnections") == "0");
    assert_eq!(manager.property("who.socket", "SubState"), "listening");
}

#[test]
fn an_instance_is_named_by_its_connection() {
    let site = Site::new();
    site.unit("echo.socket", "[Socket]\nListenStream={host}:7\nAccept=yes\n");
    site.unit("echo@.service", "[Service]\nExecStart={echo}\n");
    let manager = Setup::new(&site).start();
    manager.up("echo.socket");
    let stream = TcpStream::connect(site.address(7)).unwrap();
    let (client, server) = (stream.local_addr().unwrap(), site.address(7));
    let unit = format!("echo@0-{server}-{client}.service");
    until("the instance runs", || manager.property(&unit, "SubState") == "running");
    assert_eq!(manager.property("echo.socket", "NConnections"), "1");
    assert_eq!(talk(stream, "bye"), "bye");
    until("the instance ends", || manager.property(&unit, "SubState") == "dead");
}

/// Two clients inside a service for each connection, at most two at a time.
fn full_house(site: &Site, manager: &Manager) -> Vec<TcpStream> {
    manager.up("echo.socket");
    let inside = (0..2).map(|_| TcpStream::connect(site.address(7)).unwrap()).collect();
    until("two are inside", || manager.property("echo.socket", "NConnections") == "2");
    inside
}

#[test]
fn connections_beyond_the_limit_wait_until_one_leaves() {
    let site = Site::new();
    site.unit("echo.socket", "[Socket]\nListenStream={host}:7\nAccept=yes\nMaxConnections=2\n");
    site.unit("echo@.service", "[Service]\nExecStart={echo}\n");
    let manager = Setup::new(&site).start();
    let mut inside = full_house(&site, &manager);
    let third = TcpStream::connect(site.address(7)).unwrap();
    (&third).write_all(b"may I? ").unwrap();
    assert_eq!(manager.property("echo.socket", "NAccepted"), "2");
    assert_eq!(talk(inside.remove(0), "bye"), "bye");
    assert_eq!(talk(third, "thanks"), "may I? thanks");
    assert_eq!(manager.property("echo.socket", "NRefused"), "0");
}

#[test]
fn connections_beyond_the_limit_are_refused_where_that_is_wanted() {
    let site = Site::new();
    site.unit(
        "echo.socket",
        "[Socket]\nListenStream={host}:7\nAccept=yes\nMaxConnections=2\nLimitAction=fail\n",
    );
    site.unit("echo@.service", "[Service]\nExecStart={echo}\n");
    let manager = Setup::new(&site).start();
    let mut inside = full_house(&site, &manager);
    let mut third = TcpStream::connect(site.address(7)).unwrap();
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    // Closed without an answer: the end of the stream, or a reset.
    assert_eq!(third.read(&mut [0; 9]).unwrap_or(0), 0);
    assert_eq!(manager.property("echo.socket", "NRefused"), "1");

    assert_eq!(talk(inside.remove(0), "bye"), "bye");
    until("one has left", || manager.property("echo.socket", "NConnections") == "1");
    assert_eq!(talk(TcpStream::connect(site.address(7)).unwrap(), "me"), "me");
}

#[test]
fn inetd_style_services_have_the_connection_as_standard_streams() {
    let site = Site::new();
    site.unit("cat.socket", "[Socket]\nListenStream={host}:7\nListenStream={dir}/cat.sock\nAccept=yes\n");
    site.unit("cat@.service", "[Service]\nStandardInput=socket\nExecStart=/bin/cat\n");
    let manager = Setup::new(&site).start();
    manager.up("cat.socket");
    assert_eq!(talk(TcpStream::connect(site.address(7)).unwrap(), "meow"), "meow");

    let mut unix = UnixStream::connect(site.path("cat.sock")).unwrap();
    unix.set_read_timeout(Some(PATIENCE)).unwrap();
    unix.write_all(b"purr").unwrap();
    unix.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    unix.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "purr");
}

#[test]
fn one_listener_may_be_standard_input() {
    let site = Site::new();
    site.unit("in.socket", "[Socket]\nListenStream={host}:7\n");
    site.unit(
        "in.service",
        "[Service]\nType=exec\nStandardInput=socket\nStandardOutput=null\nExecStart=/bin/sleep 1000\n",
    );
    let manager = Setup::new(&site).start();
    manager.up("in.socket");
    let _client = TcpStream::connect(site.address(7)).unwrap();
    let service = manager.main_process("in.service");
    assert_eq!(tcp_listeners(site.address(7)), [service.socket(0).unwrap()]);
    assert_eq!(service.descriptors()[&1], "/dev/null");
    assert!(!service.environment().contains_key("LISTEN_FDS"));
}

#[test]
fn several_lines_are_passed_in_order_under_their_names() {
    let site = Site::new();
    let listen =
        "ListenStream={host}:80\nListenDatagram={host}:53\nListenStream={dir}/s\nListenStream=@{dir}/a\n";
    let names = "FileDescriptorName=http\nFileDescriptorName=dns\nFileDescriptorName=path\nFileDescriptorName=hidden\n";
    site.unit("many.socket", &format!("[Socket]\n{listen}{names}"));
    site.unit("many.service", SLEEPER);
    let manager = Setup::new(&site).start();
    manager.up("many.socket");
    UnixStream::connect(site.path("s")).unwrap();
    let service = manager.main_process("many.service");

    assert_eq!(service.environment()["LISTEN_FDNAMES"], "http:dns:path:hidden");
    assert_passed(service, 4);
    assert_eq!(tcp_listeners(site.address(80)), [service.socket(3).unwrap()]);
    assert_eq!(udp_sockets(site.address(53)), [service.socket(4).unwrap()]);
    let path = site.path("s").display().to_string();
    assert_eq!(unix_sockets(&path), [service.socket(5).unwrap()]);
    let hidden = format!("@{}", site.path("a").display());
    assert_eq!(unix_sockets(&hidden), [service.socket(6).unwrap()]);
}

#[test]
fn the_name_of_the_unit_is_the_name_of_its_sockets() {
    let site = Site::new();
    site.unit("plain.socket", "[Socket]\nListenStream={host}:80\nListenStream={host}:81\n");
    site.unit("plain.service", SLEEPER);
    let manager = Setup::new(&site).start();
    manager.up("plain.socket");
    let _client = TcpStream::connect(site.address(81)).unwrap();
    let service = manager.main_process("plain.service");
    assert_eq!(service.environment()["LISTEN_FDNAMES"], "plain.socket:plain.socket");
    assert_passed(service, 2);
}

#[test]
fn several_sockets_may_belong_to_one_service() {
    let site = Site::new();
    site.unit(
        "a.socket",
        "[Socket]\nListenStream={host}:80\nFileDescriptorName=first\nService=app.service\n",
    );
    site.unit(
        "b.socket",
        "[Socket]\nListenStream={host}:81\nFileDescriptorName=second\nService=app.service\n",
    );
    site.unit("app.service", &format!("{SLEEPER}Sockets=a.socket b.socket\n"));
    let manager = Setup::new(&site).start();
    manager.up("a.socket");
    manager.up("b.socket");
    let _client = TcpStream::connect(site.address(81)).unwrap();
    let service = manager.main_process("app.service");
    assert_passed(service, 2);

    let environment = service.environment();
    let names: Vec<_> = environment["LISTEN_FDNAMES"].split(':').collect();
    for (name, port) in [("first", 80), ("second", 81)] {
        let index = names.iter().position(|found| *found == name).unwrap();
        let descriptor = 3 + i32::try_from(index).unwrap();
        assert_eq!(tcp_listeners(site.address(port)), [service.socket(descriptor).unwrap()], "{name}");
    }
    for socket in ["a.socket", "b.socket"] {
        assert_eq!(manager.property(socket, "SubState"), "running");
    }
}

#[test]
fn a_service_that_is_started_by_hand_gets_its_sockets_too() {
    let site = Site::new();
    site.unit("web.socket", "[Socket]\nListenStream={host}:80\n");
    site.unit("web.service", SLEEPER);
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    manager.up("web.service");
    let service = manager.main_process("web.service");
    assert_passed(service, 1);
    assert_eq!(tcp_listeners(site.address(80)), [service.socket(3).unwrap()]);
}

#[test]
fn ipv6_and_a_bare_port_are_listened_on() {
    let site = Site::new();
    // These are for every address: by process, and outside of the ephemeral range.
    let own = u16::try_from(std::process::id() % 10_000).unwrap();
    let (only_six, any) = (10_000 + own, 20_000 + own);
    site.unit("six.socket", &format!("[Socket]\nListenStream=[::1]:{only_six}\nBindIPv6Only=ipv6-only\n"));
    site.unit("six.service", "[Service]\nExecStart={echo}\n");
    site.unit("any.socket", &format!("[Socket]\nListenStream={any}\n"));
    site.unit("any.service", "[Service]\nExecStart={echo}\n");
    let manager = Setup::new(&site).start();
    manager.up("six.socket");
    assert_eq!(talk(TcpStream::connect(("::1", only_six)).unwrap(), "six"), "six");
    assert!(TcpStream::connect(("127.0.0.1", only_six)).is_err());

    manager.up("any.socket");
    for host in ["127.0.0.1", "::1"] {
        assert_eq!(talk(TcpStream::connect((host, any)).unwrap(), host), host);
    }
}

#[test]
fn paths_have_the_modes_that_were_asked_for() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    site.unit("deep.socket", "[Socket]\nListenStream={dir}/one/two/s\nSocketMode=0620\nDirectoryMode=0710\n");
    site.unit("deep.service", SLEEPER);
    let manager = Setup::new(&site).start();
    manager.up("deep.socket");
    let mode = |name: &str| std::fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode("one"), mode("one/two"), mode("one/two/s")], [0o710, 0o710, 0o620]);
}

#[test]
fn what_is_no_socket_is_not_removed() {
    let site = Site::new();
    site.unit("file.socket", "[Socket]\nListenStream={dir}/precious\n");
    site.unit("file.service", SLEEPER);
    site.file("precious", "do not lose me");
    let manager = Setup::new(&site).start();
    let failed = manager.sockmgr(&["start", "file.socket"]).code(1);
    assert!(failed.stderr.contains("file.socket"), "{failed}");
    assert_eq!(manager.property("file.socket", "ActiveState"), "failed");
    assert_eq!(site.read("precious"), "do not lose me");
    manager.until_logged("not a socket");
}

/// Exactly these many sockets, from 3 up, for this very process; nothing else is open.
#[track_caller]
fn assert_passed(service: Process, count: i32) {
    let environment = service.environment();
    assert_eq!(environment["LISTEN_FDS"], count.to_string());
    assert_eq!(environment["LISTEN_PID"], service.0.to_string());
    let open: Vec<i32> = service.descriptors().into_keys().collect();
    assert_eq!(open, (0..3 + count).collect::<Vec<_>>(), "{:?}", service.descriptors());
}

#[test]
fn a_flood_of_failures_pauses_the_socket_and_it_comes_back_by_itself() {
    let site = Site::new();
    let limits = "TriggerLimitIntervalSec=1s\nTriggerLimitBurst=3\n";
    site.unit("bad.socket", &format!("[Socket]\nListenStream={{host}}:7\n{limits}"));
    // Fails until the file is there; then it echoes.
    let script = "test -e {dir}/mended && exec {echo}";
    let start = "[Unit]\nStartLimitIntervalSec=0\n[Service]\n";
    site.unit("bad.service", &format!("{start}ExecStart=/bin/sh -c '{script}'\n"));
    let manager = Setup::new(&site).start();
    manager.up("bad.socket");
    let client = TcpStream::connect(site.address(7)).unwrap();
    until("it is paused", || is_paused(&manager));
    site.file("mended", "");
    // The same connection, which was there all the time.
    assert_eq!(talk(client, "at last"), "at last");
    assert_eq!(manager.property("bad.socket", "ActiveState"), "active");
}

/// Told in the log; the socket stays active.
fn is_paused(manager: &Manager) -> bool {
    manager.program.log().lines().any(|line| line.contains("bad.socket") && line.contains("paus"))
}

#[test]
fn sockets_and_fifos_belong_to_whom_the_unit_says() {
    use std::os::unix::fs::MetadataExt;

    let site = Site::new();
    let (user, group) = if is_root() { ("nobody", "daemon") } else { ("", "") };
    let lines = format!("SocketUser={user}\nSocketGroup={group}\nSocketMode=0640\n");
    site.unit(
        "own.socket",
        &format!("[Socket]\nListenStream={{dir}}/stream\nListenFIFO={{dir}}/fifo\n{lines}"),
    );
    site.unit("own.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    let manager = Setup::new(&site).start();
    manager.up("own.socket");
    let ids = |user: &str| {
        let output = std::process::Command::new("id").args(["-u", user]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().unwrap()
    };
    for node in ["stream", "fifo"] {
        let found = std::fs::symlink_metadata(site.path(node)).unwrap();
        assert_eq!(found.mode() & 0o777, 0o640, "{node}");
        if is_root() {
            // Debian's group daemon has the number of the user.
            assert_eq!((found.uid(), found.gid()), (ids("nobody"), ids("daemon")), "{node}");
        }
    }
    assert_eq!(manager.property("own.socket", "SubState"), "listening");
}

#[test]
fn a_socket_can_be_restarted_and_never_stops_listening_for_nothing() {
    let site = Site::new();
    site.unit("echo.socket", "[Unit]\nStartLimitIntervalSec=0\n[Socket]\nListenStream={host}:7\n");
    site.unit("echo.service", "[Service]\nExecStart={echo}\n");
    let manager = Setup::new(&site).start();
    manager.up("echo.socket");
    for _ in 0..20 {
        manager.sockmgr(&["restart", "echo.socket"]).ok();
        assert_eq!(tcp_listeners(site.address(7)).len(), 1);
    }
    assert_eq!(talk(TcpStream::connect(site.address(7)).unwrap(), "x"), "x");
    // Its service runs now, so it could not be opened again: then it is not closed either.
    let service = manager.main_process("echo.service");
    let _ = manager.sockmgr(&["restart", "echo.socket"]).code(1).says(&["Job for echo.socket failed"]);
    assert_eq!(talk(TcpStream::connect(site.address(7)).unwrap(), "still there"), "still there");
    assert_eq!(manager.main_process("echo.service"), service);
}

#[test]
fn a_reload_that_changes_options_loses_nobody_who_waits() {
    let site = Site::new();
    let write = |options: &str| {
        site.unit("echo.socket", &format!("[Socket]\nListenStream={{host}}:7\n{options}"));
    };
    write("KeepAlive=yes\nPriority=3\n");
    site.unit("echo.service", "[Service]\nExecStart={echo}\n");
    let manager = Setup::new(&site).start();
    manager.up("echo.socket");
    manager.sockmgr(&["hold", "echo.socket"]).ok();
    let waits = TcpStream::connect(site.address(7)).unwrap();
    write("NoDelay=yes\n");
    manager.sockmgr(&["daemon-reload"]).ok();
    manager.sockmgr(&["release", "echo.socket"]).ok();
    assert_eq!(talk(waits, "still queued"), "still queued");
}

#[test]
fn a_listener_moves_by_a_reload_and_clients_that_wait_for_what_stays_are_served() {
    let site = Site::new();
    site.unit("echo.socket", "[Socket]\nListenStream={host}:7\nListenStream={host}:8\n");
    site.unit("echo.service", "[Service]\nExecStart={echo}\n");
    let manager = Setup::new(&site).start();
    manager.up("echo.socket");
    manager.sockmgr(&["hold", "echo.socket"]).ok();
    let waiting: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(site.address(7)).unwrap()).collect();
    site.unit("echo.socket", "[Socket]\nListenStream={host}:9\nListenStream={host}:7\n");
    manager.sockmgr(&["daemon-reload"]).ok();
    assert_eq!(tcp_listeners(site.address(8)).len(), 0);
    assert_eq!(tcp_listeners(site.address(9)).len(), 1);
    manager.sockmgr(&["release", "echo.socket"]).ok();
    for stream in waiting {
        assert_eq!(talk(stream, "waited"), "waited");
    }
}
