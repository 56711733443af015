//! The standard streams of services: where each kind of input comes from, and each kind of output goes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;

use nix::pty::openpty;
use nix::unistd::ttyname;
use sockmgr_tests::manager::Setup;
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

/// A service that does this and ends.
fn once(streams: &str, script: &str) -> String {
    format!("[Service]\nType=oneshot\n{streams}\nExecStart=/bin/sh -c '{script}'\n")
}

#[test]
fn data_of_the_unit_is_read() {
    let site = Site::new();
    let input = "StandardInputText=from %n\\tto\nStandardInputData=YWxsIG9mIHlvdQo=";
    site.unit(
        "data.service",
        &once(
            &format!("{input}\nStandardOutput=file:{{dir}}/out"),
            "cat; (echo x >&0) 2>/dev/null || echo sealed",
        ),
    );
    let manager = Setup::new(&site).start();
    manager.up("data.service");
    assert_eq!(site.read("out"), "from data.service\tto\nall of you\nsealed\n");
    let shown =
        manager.sockmgr(&["show", "-p", "StandardInput", "-p", "StandardInputData", "data.service"]).text();
    assert_eq!(shown, "StandardInput=data\nStandardInputData=ZnJvbSBkYXRhLnNlcnZpY2UJdG8KYWxsIG9mIHlvdQo=");
}

#[test]
fn output_and_errors_go_where_each_is_sent() {
    let site = Site::new();
    let say = "echo out; echo err >&2";
    site.unit("one.service", &once("StandardOutput=append:{dir}/one\nStandardError=append:{dir}/one", say));
    site.unit("two.service", &once("StandardOutput=truncate:{dir}/out\nStandardError=file:{dir}/err", say));
    site.unit("null.service", &once("StandardOutput=null\nStandardError=append:{dir}/null", say));
    site.file("out", "earlier and longer\n");
    site.file("err", "earlier and longer\n");
    let manager = Setup::new(&site).start();
    ["one.service", "two.service", "null.service"].iter().for_each(|unit| manager.up(unit));
    assert_eq!(site.read("one"), "out\nerr\n");
    assert_eq!(site.read("out"), "out\n");
    assert_eq!(site.read("err"), "err\nier and longer\n");
    assert_eq!(site.read("null"), "err\n");
}

#[test]
fn output_can_be_connected_to_a_unix_socket() {
    let site = Site::new();
    let listener = UnixListener::bind(site.path("collector")).unwrap();
    site.unit("s.service", &once("StandardOutput=append:{dir}/collector", "echo hello"));
    let manager = Setup::new(&site).start();
    manager.up("s.service");
    let mut heard = String::new();
    listener.accept().unwrap().0.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello\n");
}

#[test]
fn an_inherited_socket_is_a_stream_by_its_name() {
    let site = Site::new();
    site.unit("s.socket", "[Socket]\nListenStream={host}:7\nAccept=yes\nFileDescriptorName=client\n");
    let script = "read line; echo \"$line $LISTEN_FDNAMES $(readlink /proc/self/fd/3 | cut -c1-7)\"";
    let streams = "StandardInput=fd:client\nExecStartPre=/bin/sh -c 'echo before'";
    site.unit("s@.service", &once(streams, script).replace("Type=oneshot", "Type=simple"));
    site.unit("none.service", &once("StandardOutput=fd:nobody", "true"));
    let manager = Setup::new(&site).start();
    manager.up("s.socket");
    let mut client = TcpStream::connect(site.address(7)).unwrap();
    client.write_all(b"hello\n").unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "before\nhello client socket:\n");
    let _ = manager.sockmgr(&["start", "none.service"]).code(1);
    manager.until_logged("no descriptor with the name nobody");
    assert_eq!(manager.property("none.service", "Result"), "resources");
}

#[test]
fn a_terminal_controls_the_service_that_gets_it() {
    let site = Site::new();
    let pty = openpty(None, None).unwrap();
    let path = ttyname(&pty.slave).unwrap();
    let script = "read name; echo \"$name $(stty size) $(ps -o tty= -p $$$$)\"; read rest";
    let streams = format!(
        "TTYPath={}\nTTYReset=yes\nTTYRows=33\nTTYColumns=101\nStandardInput=tty\nExecStartPost=/bin/sh -c \"test -t 0 || echo without input\"",
        path.display()
    );
    site.unit("t.service", &once(&streams, script).replace("Type=oneshot", "Type=exec"));
    site.unit("second.service", &once(&streams, "true").replace("ExecStartPost", "X-Not"));
    let manager = Setup::new(&site).start();
    manager.up("t.service");
    let mut keyboard = File::from(pty.master.try_clone().unwrap());
    let mut screen = BufReader::new(File::from(pty.master)).lines();
    assert_eq!(screen.next().unwrap().unwrap().trim_end(), "without input");
    keyboard.write_all(b"you\n").unwrap();
    assert_eq!(screen.next().unwrap().unwrap().trim_end(), "you", "the terminal echoes");
    let name = path.strip_prefix("/dev").unwrap().display();
    assert_eq!(screen.next().unwrap().unwrap().trim_end(), format!("you 33 101 {name}"));
    // It is taken: nobody waits for it, and nobody takes it away.
    let _ = manager.sockmgr(&["start", "second.service"]).code(1);
    assert_eq!(manager.property("second.service", "ExecMainStatus"), "208");
    keyboard.write_all(b"\x03").unwrap();
    until("Ctrl-C ends it", || manager.property("t.service", "ActiveState") != "active");
    drop(pty.slave);
}
