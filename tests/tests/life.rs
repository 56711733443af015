//! The life of services with real processes: daemons, trees of processes, the notify protocol, stored descriptors, the message bus.

use std::process::Command;

use sockmgr_tests::command::tool;
use sockmgr_tests::kernel::Process;
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::program::Program;
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::until;

/// What the services of these tests begin with.
const ACTOR: &str = r#"
import array, os, signal, socket, sys, time
def notify(text, *fds):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(os.environ["NOTIFY_SOCKET"])
    s.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
def write(name, text):
    with open(name + ".new", "w") as file: file.write(text)
    os.rename(name + ".new", name)
"#;

/// `ExecStart=` for a program in Python, which begins with [`ACTOR`].
fn actor(site: &Site, name: &str, text: &str) -> String {
    let file =
        site.file(name, &format!("{ACTOR}os.chdir({:?})\n{text}", site.path("").display().to_string()));
    format!("{} {}", tool("python3").display(), file.display())
}

fn shell(site: &Site, name: &str, text: &str) -> String {
    let file = site.file(name, text);
    format!("/bin/sh {}", file.display())
}

fn kill_brain(manager: &Manager) {
    let brain = manager.brain();
    brain.kill();
    until("there is another manager", || !brain.is_alive() && manager.brain() != brain);
    until("it answers", || manager.sockmgr(&["list-units"]).code == 0);
}

fn process_in(site: &Site, file: &str) -> Process {
    until("it has written its pid", || site.path(file).exists());
    Process(site.read(file).trim().parse().unwrap())
}

#[test]
fn a_daemon_is_found_by_its_file_and_stopped() {
    let site = Site::new();
    let pid_file = site.path("d.pid");
    let script = format!(
        "setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000' &\nexit 0\n",
        pid_file.display()
    );
    let start = shell(&site, "d.sh", &script);
    let file = pid_file.display();
    site.unit("d.service", &format!("[Service]\nType=forking\nPIDFile={file}\nExecStart={start}\n"));
    let manager = Setup::new(&site).start();
    manager.up("d.service");
    let daemon = process_in(&site, "d.pid");
    assert_eq!(manager.main_process("d.service"), daemon);
    kill_brain(&manager);
    assert_eq!(manager.main_process("d.service"), daemon);
    manager.sockmgr(&["stop", "d.service"]).ok();
    assert!(!daemon.is_alive());
    assert_eq!(manager.property("d.service", "Result"), "success");
}

#[test]
fn the_end_of_a_daemon_without_a_file_is_seen() {
    let site = Site::new();
    let start = shell(&site, "d.sh", "setsid sleep 1000 &\nexit 0\n");
    site.unit("d.service", &format!("[Service]\nType=forking\nExecStart={start}\n"));
    let manager = Setup::new(&site).start();
    manager.up("d.service");
    manager.main_process("d.service").kill();
    manager.until_sub_state("d.service", "failed");
    assert_eq!(manager.property("d.service", "Result"), "signal");
    assert_eq!(manager.property("d.service", "ExecMainStatus"), "9");
}

#[test]
fn a_tree_of_processes_ends_with_its_root() {
    let site = Site::new();
    let tree =
        "sleep 1000 &\nsetsid sleep 1000 &\nsetsid sh -c 'sleep 1000 & setsid sleep 1000 & wait' &\nwait\n";
    let start = shell(&site, "tree.sh", tree);
    site.unit("tree.service", &format!("[Service]\nExecStart={start}\n"));
    let manager = Setup::new(&site).start();
    for by_kill in [true, false] {
        manager.up("tree.service");
        let root = manager.main_process("tree.service");
        let is_sleep =
            |process: &Process| process.program().is_some_and(|program| program.ends_with("sleep"));
        until("the tree is grown", || root.descendants().into_iter().filter(is_sleep).count() == 4);
        let tree = root.descendants();
        if by_kill {
            root.kill();
            manager.until_sub_state("tree.service", "failed");
        } else {
            manager.sockmgr(&["stop", "tree.service"]).ok();
        }
        let left: Vec<_> = tree.into_iter().filter(|process| process.is_alive()).collect();
        assert!(left.is_empty(), "{left:?}");
        manager.sockmgr(&["reset-failed", "tree.service"]).ok();
    }
}

#[test]
fn kill_mode_process_leaves_the_others() {
    let site = Site::new();
    let file = site.path("other.pid");
    let script = format!("setsid sleep 1000 &\necho $! > {0}.new; mv {0}.new {0}\nwait\n", file.display());
    let start = shell(&site, "p.sh", &script);
    site.unit("p.service", &format!("[Service]\nKillMode=process\nExecStart={start}\n"));
    let manager = Setup::new(&site).start();
    manager.up("p.service");
    let other = process_in(&site, "other.pid");
    manager.sockmgr(&["stop", "p.service"]).ok();
    assert!(other.is_alive());
    other.kill();
}

#[test]
fn a_flood_of_notifications_keeps_nobody_from_answering() {
    let site = Site::new();
    let flood = r#"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
notify("READY=1")
r, w = os.pipe()
count = 0
while True:
    count += 1
    notify("STATUS=%d %s\nWATCHDOG=1" % (count, "x" * 3000))
    notify("FDSTORE=1\nFDNAME=flood", r, w, *([r] * 200))
    notify("x" * 5000 if count % 2 else "\0\xff\nFDSTORE=1\nMAINPID=1\nERRNO=-1")
"#;
    let start = actor(&site, "flood.py", flood);
    let unit = "Type=notify\nTimeoutStopSec=1s\nWatchdogSec=30s\nFileDescriptorStoreMax=3\n";
    site.unit("flood.service", &format!("[Service]\n{unit}ExecStart={start}\n"));
    let manager = Setup::new(&site).start();
    manager.up("flood.service");
    until("its descriptors are stored", || manager.property("flood.service", "NFileDescriptorStore") == "2");
    for _ in 0..20 {
        let status = manager.sockmgr(&["status", "flood.service"]);
        status.says(&["active (running)", "Status: \"", "Main PID"]).ok();
    }
    for process in [manager.brain(), manager.keeper()] {
        let kilobytes = process.status("VmRSS").unwrap();
        let kilobytes: u64 = kilobytes.trim_end_matches("kB").trim().parse().unwrap();
        assert!(kilobytes < 30_000, "{kilobytes} kB");
    }
    // It does not heed SIGTERM either.
    manager.sockmgr(&["stop", "flood.service"]).ok();
    assert_eq!(manager.property("flood.service", "Result"), "timeout");
    assert_eq!(manager.property("flood.service", "NFileDescriptorStore"), "0");
}

#[test]
fn stored_descriptors_survive_manager_and_restart_until_the_stop() {
    let site = Site::new();
    let text = r#"
names = os.environ.get("LISTEN_FDNAMES", "").split(":")
if "state" in names:
    fd = 3 + names.index("state")
    os.lseek(fd, 0, os.SEEK_SET)
    write("found", os.read(fd, 100).decode())
else:
    write("found", "nothing")
    state = os.memfd_create("state")
    os.write(state, b"what I knew")
    notify("FDSTORE=1\nFDNAME=state", state)
    notify("FDSTORE=1\nFDNAME=state", state)
    ours, theirs = socket.socketpair()
    notify("FDSTORE=1\nFDNAME=peer", ours.fileno())
    kept, gone = socket.socketpair()
    notify("FDSTORE=1\nFDNAME=kept\nFDPOLL=0", kept.fileno())
    del gone
notify("READY=1")
signal.signal(signal.SIGUSR1, lambda *_: theirs.close())
while True: signal.pause()
"#;
    let start = actor(&site, "store.py", text);
    site.unit("s.service", &format!("[Service]\nType=notify\nFileDescriptorStoreMax=9\nExecStart={start}\n"));
    let manager = Setup::new(&site).start();
    manager.up("s.service");
    assert_eq!(site.read("found"), "nothing");
    let count = || manager.property("s.service", "NFileDescriptorStore");
    assert_eq!(count(), "3", "the same one twice is one");
    let fds = manager.sockmgr(&["fds", "s.service"]);
    fds.says(&["state", "/memfd:state", "peer", "socket:[", "kept"]).ok();
    kill_brain(&manager);
    assert_eq!(count(), "3");
    manager.sockmgr(&["kill", "--kill-whom=main", "-s", "SIGUSR1", "s.service"]).ok();
    until("the one that hung up is gone", || count() == "2");
    manager.sockmgr(&["restart", "s.service"]).ok();
    assert_eq!(site.read("found"), "what I knew");
    manager.sockmgr(&["stop", "s.service"]).ok();
    assert_eq!(count(), "0");
    manager.up("s.service");
    assert_eq!(site.read("found"), "nothing");
}

#[test]
fn a_barrier_is_answered_after_what_was_said_before() {
    let site = Site::new();
    let text = r#"
notify("READY=1")
notify("STATUS=before the barrier")
r, w = os.pipe()
notify("BARRIER=1", w)
os.close(w)
os.read(r, 1)
write("passed", "yes")
while True: signal.pause()
"#;
    let start = actor(&site, "barrier.py", text);
    site.unit("b.service", &format!("[Service]\nType=notify\nExecStart={start}\n"));
    let manager = Setup::new(&site).start();
    manager.up("b.service");
    until("it has passed the barrier", || site.path("passed").exists());
    assert_eq!(manager.property("b.service", "StatusText"), "before the barrier");
}

#[test]
fn a_reload_by_signal_is_over_when_the_service_says_so() {
    let site = Site::new();
    let text = r#"
def reload(*_):
    now = int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6)
    notify("RELOADING=1\nMONOTONIC_USEC=%d" % now)
    write("reloaded", "yes")
    notify("READY=1")
signal.signal(signal.SIGUSR2, reload)
notify("READY=1")
while True: signal.pause()
"#;
    let start = actor(&site, "reload.py", text);
    let unit = format!("[Service]\nType=notify-reload\nReloadSignal=SIGUSR2\nExecStart={start}\n");
    site.unit("r.service", &unit);
    let manager = Setup::new(&site).start();
    manager.up("r.service");
    manager.sockmgr(&["reload", "r.service"]).ok();
    assert_eq!(site.read("reloaded"), "yes");
    assert_eq!(manager.property("r.service", "SubState"), "running");
}

#[test]
fn a_main_process_may_hand_over_to_another() {
    let site = Site::new();
    let text = r#"
child = os.fork()
if child == 0:
    while True: signal.pause()
notify("READY=1\nMAINPID=%d" % child)
while not os.path.exists("go"): time.sleep(0.01)
"#;
    let start = actor(&site, "hand-over.py", text);
    site.unit("h.service", &format!("[Service]\nType=notify\nExecStart={start}\n"));
    let manager = Setup::new(&site).start();
    manager.up("h.service");
    let first = || manager.main_process("h.service");
    until("the child is the main process", || first().parent() != Some(manager.keeper()));
    let child = first();
    let parent = child.parent().unwrap();
    site.file("go", "");
    until("the former main process has ended", || !parent.is_alive());
    assert_eq!(manager.property("h.service", "SubState"), "running");
    assert_eq!(first(), child);
    child.kill();
    manager.until_sub_state("h.service", "failed");
    assert_eq!(manager.property("h.service", "Result"), "signal");
}

#[test]
fn commands_see_what_systemd_shows_them() {
    let site = Site::new();
    let print = shell(&site, "print.sh", &format!("env > {}/env.$1\n", site.path("").display()));
    let main = shell(&site, "main.sh", &format!("env > {}/env.main\nexit 7\n", site.path("").display()));
    let unit = format!("ExecStartPre={print} pre\nExecStart={main}\nExecStopPost={print} post\n");
    site.unit("e.service", &format!("[Unit]\nOnFailure=f.service\n[Service]\n{unit}"));
    site.unit("f.service", &format!("[Service]\nType=oneshot\nExecStart={print} follower\n"));
    let manager = Setup::new(&site).start();
    manager.up("e.service");
    until("the follower has run", || site.path("env.follower").exists());
    manager.until_sub_state("f.service", "dead");
    let has =
        |file: &str, line: &str| assert!(site.read(file).lines().any(|own| own == line), "{file}: {line}");
    has("env.post", "SERVICE_RESULT=exit-code");
    has("env.post", "EXIT_CODE=exited");
    has("env.post", "EXIT_STATUS=7");
    has("env.follower", "MONITOR_SERVICE_RESULT=exit-code");
    has("env.follower", "MONITOR_UNIT=e.service");
    has("env.follower", "MONITOR_EXIT_STATUS=7");
    let invocation = |file: &str, name: &str| {
        let text = site.read(file);
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert!(line.len() == 32 && line.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        line.to_owned()
    };
    let own = invocation("env.main", "INVOCATION_ID=");
    assert_eq!(invocation("env.pre", "INVOCATION_ID="), own);
    assert_eq!(invocation("env.post", "INVOCATION_ID="), own);
    assert_eq!(invocation("env.follower", "MONITOR_INVOCATION_ID="), own);
    assert_eq!(manager.property("e.service", "InvocationID"), own);
}

/// Has the name on the bus of `DBUS_SESSION_BUS_ADDRESS` until it ends: the D-Bus specification by hand, as no tool keeps a name.
const NAMED: &str = r#"
import struct
bus = socket.socket(socket.AF_UNIX)
bus.connect(os.environ["DBUS_SESSION_BUS_ADDRESS"].split("path=")[1].split(",")[0])
bus.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
assert bus.recv(1000).startswith(b"OK")
bus.sendall(b"BEGIN\r\n")
def pad(data, to): return data + b"\0" * (-len(data) % to)
def string(text): return struct.pack("<I", len(text)) + text.encode() + b"\0"
def call(serial, member, signature, body):
    fields = b""
    for code, kind, value in [(1, "o", "/org/freedesktop/DBus"), (2, "s", "org.freedesktop.DBus"), (3, "s", member),
            (6, "s", "org.freedesktop.DBus"), (8, "g", signature)]:
        text = bytes([len(value)]) + value.encode() + b"\0" if kind == "g" else None
        fields = pad(fields, 8) + bytes([code, 1]) + kind.encode() + b"\0"
        fields = fields + text if text else pad(fields, 4) + string(value)
    head = b"l\1\0\1" + struct.pack("<III", len(body), serial, len(fields))
    bus.sendall(pad(head + fields, 8) + body)
call(1, "Hello", "", b"")
while not os.path.exists("may-be-named"): time.sleep(0.01)
call(2, "RequestName", "su", pad(string("org.example.Named"), 4) + struct.pack("<I", 4))
while bus.recv(1000): pass
"#;

#[test]
fn a_service_is_ready_when_it_has_its_name_on_the_bus() {
    let site = Site::new();
    let address = format!("unix:path={}", site.path("bus").display());
    let mut command = Command::new(tool("dbus-daemon"));
    command.args(["--session", "--nofork", "--nopidfile", "--address", &address]);
    let _bus = Program::start(&mut command, &site.path("bus.log"));
    until("the bus is there", || site.path("bus").exists());
    let start = actor(&site, "named.py", NAMED);
    site.unit("n.service", &format!("[Service]\nBusName=org.example.Named\nExecStart={start}\n"));
    let manager = Setup::new(&site).variable("DBUS_SESSION_BUS_ADDRESS", &address).start();
    manager.sockmgr(&["start", "--no-block", "n.service"]).ok();
    manager.until_sub_state("n.service", "start");
    assert_eq!(manager.property("n.service", "Type"), "dbus");
    site.file("may-be-named", "");
    manager.until_sub_state("n.service", "running");
    kill_brain(&manager);
    assert_eq!(manager.property("n.service", "SubState"), "running");
    manager.main_process("n.service").kill();
    manager.until_sub_state("n.service", "failed");
}
