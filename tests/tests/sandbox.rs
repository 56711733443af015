//! What services are kept from, proved by a program that tries: it runs under a unit without and with each directive, and under one
//! with all of them.

use std::collections::BTreeMap;

use sockmgr_tests::built;
use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::namespace::{Namespace, is_root};
use sockmgr_tests::site::Site;

const PROBE: &str = include_str!("../probe.py");

/// Directives, and what becomes of what the probe tries: `(name, without them, with them)`.
type Row = (&'static str, &'static [(&'static str, &'static str, &'static str)]);

/// For root. Of a result that a machine may have in several ways only the end is compared, or with `*` nothing.
const ROWS: &[Row] = &[
    ("CapabilityBoundingSet=CAP_KILL CAP_SYS_ADMIN", &[("bounding", "*", "0000000000200020")]),
    ("NoNewPrivileges=yes", &[("no_new_privileges", "0", "1")]),
    ("SystemCallFilter=~@mount:EIO", &[("unmount", "ENOENT", "EIO")]),
    ("SystemCallFilter=~@mount\nSystemCallErrorNumber=EPERM", &[("unmount", "ENOENT", "EPERM")]),
    (
        "SystemCallFilter=@system-service\nSystemCallErrorNumber=EACCES",
        &[("unmount", "ENOENT", "EACCES"), ("unix", "ok", "ok")],
    ),
    ("RestrictAddressFamilies=AF_UNIX", &[("inet", "ok", "EAFNOSUPPORT"), ("unix", "ok", "ok")]),
    ("RestrictAddressFamilies=~AF_UNIX", &[("inet", "ok", "ok"), ("unix", "ok", "EAFNOSUPPORT")]),
    ("RestrictAddressFamilies=none", &[("inet", "ok", "EAFNOSUPPORT"), ("unix", "ok", "EAFNOSUPPORT")]),
    ("RestrictNamespaces=yes", &[("namespace", "ok", "EPERM"), ("mount_namespace", "ok", "EPERM")]),
    ("RestrictNamespaces=uts", &[("namespace", "ok", "ok"), ("mount_namespace", "ok", "EPERM")]),
    ("MemoryDenyWriteExecute=yes", &[("writable_code", "ok", "EPERM")]),
    ("LockPersonality=yes", &[("personality", "ok", "EPERM")]),
    ("RestrictRealtime=yes", &[("realtime", "*", "EPERM"), ("realtime_limit", "*", "0")]),
    ("RestrictSUIDSGID=yes", &[("set_id", "ok", "EPERM")]),
    ("ProtectClock=yes", &[("clock", "ok", "EPERM")]),
    ("ProtectKernelModules=yes", &[("module", "*", "EPERM")]),
    ("ProtectKernelLogs=yes", &[("kernel_log", "ok", "EPERM"), ("kmsg", "yes", "yes")]),
    ("ProtectHostname=yes", &[("host_name", "ok", "EPERM")]),
    (
        "PrivateDevices=yes",
        &[("kmsg", "yes", "no"), ("null", "yes", "yes"), ("tty", "yes", "yes"), ("raw_io", "*", "EPERM")],
    ),
    ("ProtectSystem=yes", &[("usr", "yes", "no"), ("etc", "yes", "yes")]),
    ("ProtectSystem=full", &[("usr", "yes", "no"), ("etc", "yes", "no"), ("var", "yes", "yes")]),
    (
        "ProtectSystem=strict",
        &[
            ("usr", "yes", "no"),
            ("var", "yes", "no"),
            ("home_writable", "yes", "yes"),
            ("null", "yes", "yes"),
        ],
    ),
    ("ProtectSystem=strict\nReadWritePaths=/var", &[("usr", "yes", "no"), ("var", "yes", "yes")]),
    ("ReadOnlyPaths=/var -/nosuch", &[("var", "yes", "no"), ("etc", "yes", "yes")]),
    ("ProtectHome=yes", &[("home", "entries", "empty")]),
    ("ProtectHome=read-only", &[("home", "entries", "entries"), ("home_writable", "yes", "no")]),
    ("ProtectHome=tmpfs", &[("home", "entries", "empty"), ("home_writable", "yes", "no")]),
    ("InaccessiblePaths=/root", &[("home", "entries", "empty")]),
    ("TemporaryFileSystem=/root", &[("home", "entries", "empty"), ("home_writable", "yes", "yes")]),
    ("TemporaryFileSystem=/root:ro", &[("home", "entries", "empty"), ("home_writable", "yes", "no")]),
    ("PrivateTmp=yes", &[("seen", "yes", "no"), ("tmp", "yes", "yes")]),
    ("PrivateTmp=yes\nBindReadOnlyPaths={dir}", &[("seen", "yes", "yes"), ("tmp", "yes", "yes")]),
    (
        "BindPaths={dir}:/opt/sockmgr-bound\nTemporaryFileSystem=/opt",
        &[("bound", "no", "yes"), ("bound_writable", "no", "yes")],
    ),
    (
        "BindReadOnlyPaths={dir}:/opt/sockmgr-bound\nTemporaryFileSystem=/opt:ro",
        &[("bound", "no", "yes"), ("bound_writable", "no", "no")],
    ),
    ("NoExecPaths={dir}", &[("run", "0", "EACCES")]),
    ("NoExecPaths=/\nExecPaths=/usr /lib /lib64 /bin", &[("run", "0", "EACCES")]),
    (
        "ProtectKernelTunables=yes",
        &[("tunables", "yes", "no"), ("sys", "yes", "no"), ("kallsyms", "data", "empty")],
    ),
    ("ProtectControlGroups=yes", &[("cgroup", "yes", "no")]),
    ("ProtectProc=invisible", &[("hidepid", "no", "yes")]),
    ("ProcSubset=pid", &[("meminfo", "yes", "no")]),
    ("PrivateNetwork=yes", &[("interfaces", "*", "lo"), ("inet", "ok", "ok")]),
    ("PrivateUsers=yes", &[("users", "all", "some")]),
];

/// Rows whose proof is a namespace of one's own.
const NAMESPACES: &[(&str, &str)] = &[
    ("PrivateMounts=yes", "mnt"),
    ("MountFlags=private", "mnt"),
    ("PrivateNetwork=yes", "net"),
    ("PrivateIPC=yes", "ipc"),
    ("ProtectHostname=yes", "uts"),
    ("PrivateUsers=yes", "user"),
];

/// A manager of somebody who is not root. Where the tests are root's, what that needs of the site is given away.
fn unprivileged(site: &Site) -> Manager<'_> {
    site.make("bin", 0o755);
    for program in [built::sockmgrd(), built::sockmgr()] {
        std::fs::copy(&program, site.path("bin").join(program.file_name().unwrap())).unwrap();
    }
    let mut setup = Setup::new(site).programs_in(site.path("bin"));
    if is_root() {
        site.give_away("run");
        site.give_away("");
        setup = setup.within(Namespace::Nobody);
    }
    setup.start()
}

/// A site that the probe finds its things in.
fn site() -> Site {
    let site = Site::new();
    site.file("probe.py", PROBE);
    site.file("seen", "");
    let script = site.file("run.sh", "#!/bin/sh\nexit 0\n");
    std::fs::set_permissions(script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    site
}

/// Adds a unit that runs the probe; it reads the program from its input, which no sandbox hides. The Python is Debian's: another may
/// be in a home, out of reach.
fn add(site: &Site, name: &str, directives: &str, words: &str) {
    let place = site.path("").display().to_string();
    let place = place.trim_end_matches('/');
    site.unit(
        &format!("{name}.service"),
        &format!(
            "[Service]\nType=oneshot\nExecStart=/usr/bin/python3 - {place} {words}\nStandardInput=file:{place}/probe.py\n\
             StandardOutput=truncate:{place}/{name}.out\nStandardError=append:{place}/{name}.out\n{directives}\n"
        ),
    );
}

/// Runs a unit to its end; what the probe has found.
fn found(site: &Site, manager: &Manager, name: &str) -> BTreeMap<String, String> {
    let started = manager.sockmgr(&["start", &format!("{name}.service")]);
    let text = site.read(&format!("{name}.out"));
    assert_eq!(started.code, 0, "{name}: {started}\n{text}");
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, result)| (name.to_owned(), result.to_owned())).collect()
}

#[test]
fn each_directive_keeps_a_program_from_what_it_says() {
    if !is_root() {
        eprintln!("not root: most of it cannot be had");
        return;
    }
    let site = site();
    add(&site, "bare", "", "");
    for (index, (directives, probes)) in ROWS.iter().enumerate() {
        let words: Vec<&str> = probes.iter().map(|(name, _, _)| *name).collect();
        add(&site, &format!("row{index}"), directives, &words.join(" "));
    }
    let manager = Setup::new(&site).system().start();
    let bare = found(&site, &manager, "bare");
    let mut failures = Vec::new();
    for (index, (directives, probes)) in ROWS.iter().enumerate() {
        let confined = found(&site, &manager, &format!("row{index}"));
        for (name, without, with) in *probes {
            let is = |all: &BTreeMap<String, String>, expected: &str| {
                expected == "*" || all.get(*name).is_some_and(|result| result == expected)
            };
            if !is(&bare, without) || !is(&confined, with) {
                failures.push(format!(
                    "{directives:?} {name}: {:?} → {:?}",
                    bare.get(*name),
                    confined.get(*name)
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}\n{}", failures.join("\n"), manager.program.log());
    assert_eq!(manager.stop(), 0);
    let is_left =
        |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("sockmgr-private-row");
    for directory in ["/tmp", "/var/tmp"] {
        let left: Vec<_> = std::fs::read_dir(directory).unwrap().flatten().filter(is_left).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn namespaces_are_the_process_s_own() {
    if !is_root() {
        return;
    }
    let site = site();
    add(&site, "bare", "", "");
    for (index, (directive, kind)) in NAMESPACES.iter().enumerate() {
        add(&site, &format!("row{index}"), directive, &format!("ns_{kind}"));
    }
    let manager = Setup::new(&site).system().start();
    let bare = found(&site, &manager, "bare");
    for (index, (directive, kind)) in NAMESPACES.iter().enumerate() {
        let name = format!("ns_{kind}");
        let confined = found(&site, &manager, &format!("row{index}"));
        assert_ne!(confined[&name], bare[&name], "{directive}");
    }
}

/// Every directive of the table at once, as somebody who is nobody.
const EVERYTHING: &str = "User=nobody
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
SecureBits=noroot-locked
SystemCallFilter=@system-service @mount
SystemCallErrorNumber=EPERM
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK
RestrictNamespaces=yes
MemoryDenyWriteExecute=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
ProtectClock=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=pid
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateNetwork=yes
PrivateIPC=yes
PrivateUsers=yes
PrivateMounts=yes
MountFlags=slave
ReadOnlyPaths=/etc
ReadWritePaths=/var/tmp
InaccessiblePaths=-/srv
NoExecPaths=/var
ExecPaths=/usr
TemporaryFileSystem=/opt
BindReadOnlyPaths={dir}:/opt/sockmgr-bound
UMask=0077
Nice=1";

#[test]
fn a_service_with_every_directive_runs() {
    if !is_root() {
        return;
    }
    let site = site();
    add(&site, "every", EVERYTHING, "");
    let manager = Setup::new(&site).system().start();
    let found = found(&site, &manager, "every");
    let expected = [
        ("usr", "no"),
        ("etc", "no"),
        ("var", "no"),
        ("tmp", "yes"),
        ("seen", "no"),
        ("bound", "yes"),
        ("bound_writable", "no"),
        ("kmsg", "no"),
        ("null", "yes"),
        ("tunables", "no"),
        ("sys", "no"),
        ("cgroup", "no"),
        ("meminfo", "no"),
        ("hidepid", "yes"),
        ("interfaces", "lo"),
        ("users", "some"),
        ("uid", "65534"),
        ("bounding", "0000000000000400"),
        ("effective", "0000000000000400"),
        ("no_new_privileges", "1"),
        ("realtime_limit", "0"),
        ("inet", "ok"),
        ("unix", "ok"),
        ("namespace", "EPERM"),
        ("writable_code", "EPERM"),
        ("personality", "EPERM"),
        ("realtime", "EPERM"),
        ("set_id", "EPERM"),
        ("clock", "EPERM"),
        ("module", "EPERM"),
        ("kernel_log", "EPERM"),
        ("host_name", "EPERM"),
        ("raw_io", "EPERM"),
    ];
    for (name, result) in expected {
        assert_eq!(found.get(name).map(String::as_str), Some(result), "{name}: {found:?}");
    }
}

#[test]
fn what_cannot_be_had_is_said_or_fails_the_start() {
    let site = site();
    add(&site, "loose", "ProtectSystem=strict\nPrivateTmp=yes\nPrivateNetwork=yes", "usr");
    add(&site, "strict", "TemporaryFileSystem=/opt", "usr");
    add(&site, "missing", "PrivateUsers=yes\nReadOnlyPaths=/nosuch", "usr");
    add(&site, "own", "PrivateUsers=yes\nProtectSystem=strict\nPrivateNetwork=yes", "var interfaces users");
    let manager = unprivileged(&site);
    assert_eq!(found(&site, &manager, "loose").len(), 1);
    manager.until_logged("it cannot be had here");
    for unit in ["strict", "missing"] {
        assert_ne!(manager.sockmgr(&["start", &format!("{unit}.service")]).code, 0);
        assert_eq!(manager.property(&format!("{unit}.service"), "ExecMainStatus"), "226");
    }
    // With users of its own it needs no privileges.
    let own = found(&site, &manager, "own");
    assert_eq!([&*own["var"], &*own["interfaces"], &*own["users"]], ["no", "lo", "some"]);
}
