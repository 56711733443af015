//! What surrounds the processes of a service: limits, scheduling, users, directories, environment. A script looks around and writes
//! down what it sees.

use std::collections::BTreeMap;
use std::process::Command;

use sockmgr_tests::manager::{Manager, Setup};
use sockmgr_tests::namespace::is_root;
use sockmgr_tests::site::Site;

/// Writes `name=value` lines to the file that is its argument.
const LOOK: &str = r#"exec >"$1.new"
echo "umask=$(umask)"
echo "nice=$(nice)"
echo "machine=$(uname -m)"
echo "directory=$(pwd)"
echo "io=$(ionice -p $$)"
for file in oom_score_adj timerslack_ns coredump_filter; do echo "$file=$(cat /proc/self/$file)"; done
sed -n 's/^Max \(.\{22\}\)\(.\{21\}\)\(.\{21\}\).*/limit \1=\2:\3/p' /proc/self/limits | sed 's/ *\([=:]\)/\1/; s/ *:/:/; s/ *$//'
tr '\t' ' ' </proc/$$/status | sed -n 's/^\(Uid\|Gid\|Groups\|SigIgn\|Cpus_allowed_list\): *\(.*[^ ]\) *$/\1=\2/p'
set -- "$1" $(sed 's/.*) //' /proc/self/stat)
echo "policy=${40}"
echo "priority=${39}"
env | sed -n 's/^[A-Z_]*=/$&/p'
mv "$1.new" "$1"
"#;

/// What a run of the unit `name` with these lines in `[Service]` sees.
fn look(site: &Site, manager: &Manager<'_>, name: &str, lines: &str) -> BTreeMap<String, String> {
    site.file("look", LOOK);
    let exec = format!("ExecStart=/bin/sh {{dir}}/look {{dir}}/{name}.seen");
    site.unit(&format!("{name}.service"), &format!("[Service]\nType=oneshot\n{lines}\n{exec}\n"));
    manager.sockmgr(&["daemon-reload"]).ok();
    manager.sockmgr(&["start", &format!("{name}.service")]).ok();
    let text = site.read(&format!("{name}.seen"));
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn check(seen: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(seen.get(*name).map(String::as_str), Some(*value), "{name} of {seen:#?}");
    }
}

/// A site that others can look into, and write to.
fn open_site() -> Site {
    let site = Site::new();
    site.make("", 0o777);
    site
}

#[test]
fn limits_and_scheduling_are_as_the_unit_says() {
    let site = open_site();
    let manager = Setup::new(&site).start();
    let lines = "LimitNOFILE=64:128\nLimitCORE=0\nLimitCPU=90s\nLimitFSIZE=1M:2M\nLimitSTACK=8M:16M\nLimitMSGQUEUE=400K\nUMask=0027\n\
        Nice=5\nCPUSchedulingPolicy=batch\nCPUAffinity=0\nIOSchedulingClass=idle\nOOMScoreAdjust=500\nTimerSlackNSec=1ms\n\
        CoredumpFilter=private-anonymous elf-headers\nIgnoreSIGPIPE=no";
    let seen = look(&site, &manager, "limits", lines);
    let expected = [
        ("limit open files", "64:128"),
        ("limit core file size", "0:0"),
        ("limit cpu time", "90:90"),
        ("limit file size", "1048576:2097152"),
        ("limit stack size", "8388608:16777216"),
        ("limit msgqueue size", "409600:409600"),
        ("umask", "0027"),
        ("nice", "5"),
        ("policy", "3"),
        ("Cpus_allowed_list", "0"),
        ("io", "idle"),
        ("oom_score_adj", "500"),
        ("timerslack_ns", "1000000"),
        ("coredump_filter", "00000011"),
    ];
    check(&seen, &expected);
    let usual = look(&site, &manager, "usual", "");
    check(&usual, &[("umask", "0022"), ("nice", "0"), ("policy", "0")]);
    let ignores_sigpipe =
        |seen: &BTreeMap<String, String>| u64::from_str_radix(&seen["SigIgn"], 16).unwrap() & (1 << 12) != 0;
    assert!(ignores_sigpipe(&usual) && !ignores_sigpipe(&seen));
}

#[test]
fn what_is_not_said_is_shown_as_the_manager_has_it() {
    let site = open_site();
    let manager = Setup::new(&site).start();
    let usual = look(&site, &manager, "usual", "");
    let show = |property: &str| manager.property("usual.service", property);
    let seen =
        |name: &str| usual[name].split_once(':').map(|(soft, hard)| [soft.to_owned(), hard.to_owned()]);
    let shown = |name: &str| {
        let [soft, hard] = [show(&format!("Limit{name}Soft")), show(&format!("Limit{name}"))];
        Some([soft, hard].map(|limit| limit.replace("infinity", "unlimited")))
    };
    assert_eq!(shown("STACK"), seen("limit stack size"));
    assert_eq!(shown("NPROC"), seen("limit processes"));
    assert_eq!(show("Nice"), usual["nice"]);
    assert_eq!(show("OOMScoreAdjust"), usual["oom_score_adj"]);
    assert_eq!(show("TimerSlackNSec"), usual["timerslack_ns"]);
    assert_eq!(show("CPUSchedulingPolicy"), usual["policy"]);
    assert_eq!([show("NUMAPolicy"), show("CPUAffinity"), show("UMask")], ["n/a", "", "0022"]);
    assert!(show("CoredumpFilter").starts_with("0x"));
}

#[test]
fn real_time_needs_privilege_and_says_which_step_failed() {
    let site = open_site();
    let manager = Setup::new(&site).start();
    let lines = "CPUSchedulingPolicy=rr\nCPUSchedulingPriority=7\nCPUSchedulingResetOnFork=yes\nIOSchedulingPriority=2";
    site.unit("app.service", &format!("[Service]\nType=exec\n{lines}\nExecStart=/bin/sleep 1000\n"));
    manager.sockmgr(&["daemon-reload"]).ok();
    drop(manager.sockmgr(&["start", "app.service"]));
    if manager.property("app.service", "ActiveState") == "active" {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", manager.main_process("app.service").0));
        let fields: Vec<String> =
            stat.unwrap().rsplit(')').next().unwrap().split_whitespace().map(str::to_owned).collect();
        assert_eq!((fields[37].as_str(), fields[38].as_str()), ("7", "2"));
    } else {
        assert_eq!(manager.property("app.service", "ExecMainStatus"), "214");
    }
    site.unit("cpu.service", "[Service]\nType=exec\nCPUAffinity=8191\nExecStart=/bin/sleep 1000\n");
    manager.sockmgr(&["daemon-reload"]).ok();
    let _ = manager.sockmgr(&["start", "cpu.service"]).code(1);
    assert_eq!(manager.property("cpu.service", "ExecMainStatus"), "215");
}

/// Raising a limit or lowering the nice value needs privilege: without, what is possible is done.
#[test]
fn what_needs_privilege_is_done_as_far_as_it_goes() {
    let site = open_site();
    let manager = Setup::new(&site).start();
    let whom = if is_root() { "User=nobody\n" } else { "" };
    let seen = look(&site, &manager, "low", &format!("{whom}LimitNOFILE=100\nLimitCORE=infinity\nNice=3"));
    check(&seen, &[("limit open files", "100:100"), ("nice", "3")]);
}

#[test]
fn each_instance_has_a_processor_of_its_own() {
    let site = open_site();
    site.unit("web.socket", "[Socket]\nListenStream={host}:7\nInstances=3\n");
    site.unit("web@.service", "[Service]\nType=exec\nCPUAffinity=instance\nExecStart=/bin/sleep 1000\n");
    let manager = Setup::new(&site).start();
    manager.up("web.socket");
    manager.up("web.service");
    let allowed = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        line.trim().to_owned()
    };
    let own: Vec<usize> = expand(&allowed(std::process::id().cast_signed()));
    for slot in 0..3 {
        let instance = manager.main_process(&format!("web@{}.service", slot + 1));
        assert_eq!(allowed(instance.0), own[slot % own.len()].to_string(), "slot {slot}");
    }
}

/// The numbers of a list such as `0-2,5`.
fn expand(list: &str) -> Vec<usize> {
    let ranges = list.split(',').map(|range| range.split_once('-').unwrap_or((range, range)));
    ranges.flat_map(|(first, last)| first.parse().unwrap()..=last.parse::<usize>().unwrap()).collect()
}

/// A place for what a user's services have.
fn homely(site: &Site) -> Setup<'_> {
    let mut setup = Setup::new(site);
    for (variable, directory) in
        [("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache"), ("XDG_CONFIG_HOME", "config")]
    {
        setup = setup.variable(variable, site.path(directory).display().to_string());
    }
    setup
}

#[test]
fn a_service_is_given_its_directories_and_loses_what_is_not_to_stay() {
    let site = open_site();
    let manager = homely(&site).start();
    let lines = "RuntimeDirectory=web web/inner:link\nRuntimeDirectoryMode=0750\nStateDirectory=web\nCacheDirectory=web\n\
        LogsDirectory=web\nConfigurationDirectory=web";
    let seen = look(&site, &manager, "web", lines);
    let run = site.path("run").display().to_string();
    let of = |place: &str| site.path(place).join("web").display().to_string();
    check(
        &seen,
        &[
            ("$RUNTIME_DIRECTORY", &format!("{run}/web:{run}/web/inner")),
            ("$STATE_DIRECTORY", &of("state")),
            ("$CACHE_DIRECTORY", &of("cache")),
            ("$LOGS_DIRECTORY", &of("state/log")),
            ("$CONFIGURATION_DIRECTORY", &of("config")),
        ],
    );
    for kept in ["state/web", "cache/web", "state/log/web", "config/web"] {
        assert!(site.path(kept).is_dir(), "{kept}");
    }
    for gone in ["run/web", "run/link"] {
        assert!(!site.path(gone).exists(), "{gone}");
    }
    site.unit(
        "stays.service",
        "[Service]\nType=exec\nRuntimeDirectory=a a/b:c\nRuntimeDirectoryMode=0700\nRuntimeDirectoryPreserve=restart\n\
         ExecStart=/bin/sleep 1000\nExecReload=/bin/true\n",
    );
    manager.sockmgr(&["daemon-reload"]).ok();
    manager.up("stays.service");
    let made = std::fs::metadata(site.path("run/a/b")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&made.permissions()) & 0o7777, 0o700);
    assert_eq!(std::fs::read_link(site.path("run/c")).unwrap(), std::path::Path::new("a/b"));
    site.file("run/a/b/kept", "");
    manager.sockmgr(&["reload", "stays.service"]).ok();
    assert!(site.path("run/a/b/kept").exists());
    manager.sockmgr(&["stop", "stays.service"]).ok();
    assert!(!site.path("run/a").exists() && !site.path("run/c").exists());
}

#[test]
fn a_directory_that_cannot_be_made_fails_the_start_with_its_code() {
    let site = open_site();
    let manager = homely(&site).start();
    site.file("file", "");
    std::os::unix::fs::symlink(site.path("units"), site.path("run/elsewhere")).unwrap();
    site.make("cache", 0o755);
    site.file("cache/file", "");
    let table =
        [("runtime", "RuntimeDirectory=elsewhere/x", "233"), ("cache", "CacheDirectory=file/x", "239")];
    for (name, line, status) in table {
        let unit = format!("{name}.service");
        site.unit(&unit, &format!("[Service]\nType=exec\n{line}\nExecStart=/bin/sleep 1000\n"));
        manager.sockmgr(&["daemon-reload"]).ok();
        let _ = manager.sockmgr(&["start", &unit]).code(1);
        assert_eq!(manager.property(&unit, "ExecMainStatus"), status, "{name}");
    }
    assert!(!site.path("units/x").exists(), "no link is followed");
}

#[test]
fn variables_are_passed_on_and_taken_away() {
    let site = open_site();
    let manager = Setup::new(&site).variable("OF_MANAGER", "1").variable("OTHER", "2").start();
    let lines = "PassEnvironment=OF_MANAGER NOT_THERE\nEnvironment=ADDED=a KEPT=k\nExecSearchPath=/bin:/usr/bin\n\
        UnsetEnvironment=OTHER KEPT=z ADDED=a SYSTEMD_EXEC_PID";
    let seen = look(&site, &manager, "vars", lines);
    check(&seen, &[("$OF_MANAGER", "1"), ("$KEPT", "k"), ("$PATH", "/bin:/usr/bin")]);
    for gone in ["$OTHER", "$ADDED", "$NOT_THERE", "$SYSTEMD_EXEC_PID"] {
        assert!(!seen.contains_key(gone), "{gone}");
    }
    assert_eq!(seen["$MANAGERPID"], manager.keeper().0.to_string());
    site.file("bin", "");
    site.unit("path.service", "[Service]\nType=oneshot\nExecSearchPath={dir}/none\nExecStart=true\n");
    manager.sockmgr(&["daemon-reload"]).ok();
    let _ = manager.sockmgr(&["start", "path.service"]).code(1);
    assert_eq!(manager.property("path.service", "ExecMainStatus"), "203");
}

#[test]
fn what_a_unit_has_left_is_removed_when_it_is_down() {
    let site = open_site();
    let manager = homely(&site).start();
    let lines = "RuntimeDirectory=web\nRuntimeDirectoryPreserve=yes\nStateDirectory=web\nCacheDirectory=web/a:web/link";
    site.unit("web.service", &format!("[Service]\nType=exec\n{lines}\nExecStart=/bin/sleep 1000\n"));
    site.unit("bare.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    manager.sockmgr(&["daemon-reload"]).ok();
    manager.up("web.service");
    assert_eq!(manager.property("web.service", "CanClean"), "runtime state cache");
    let is_left =
        || ["run/web", "state/web", "cache/web/a", "cache/web/link"].map(|path| site.path(path).exists());
    let refused = |words: &[&str], why: &str| {
        let _ = manager.sockmgr(words).code(1).says(&[why]);
    };
    refused(&["clean", "web.service"], "not inactive");
    assert_eq!(is_left(), [true; 4]);
    manager.sockmgr(&["stop", "web.service"]).ok();
    refused(&["clean", "--what=logs", "web.service"], "No matching resources");
    refused(&["clean", "--what=nonsense", "web.service"], "Invalid resource type");
    refused(&["clean", "--what=all", "bare.service"], "No matching resources");
    manager.sockmgr(&["clean", "web.service"]).ok();
    assert_eq!(is_left(), [false, true, false, false]);
    manager.sockmgr(&["clean", "--what=cache,state", "web.service"]).ok();
    assert_eq!(is_left(), [false; 4]);
}

#[test]
fn credentials_are_there_for_the_service_alone_while_it_runs() {
    let site = open_site();
    let manager = homely(&site).start();
    site.file("secret", "from a file");
    site.make("store/inner", 0o755);
    site.file("store/a", "1");
    site.file("store/inner/b", "2");
    let lines = "LoadCredential=key:{dir}/secret\nSetCredential=key:unused\nLoadCredential=all:{dir}/store\nLoadCredential=nowhere\n\
        LoadCredential=default:{dir}/none\nSetCredential=default:\\x41\\n\nEnvironment=OWN=%d/key";
    let copy = "ExecStart=/bin/sh -c 'cp -rp $CREDENTIALS_DIRECTORY {dir}/copy && cat $OWN >{dir}/own && exec sleep 1000'";
    site.unit(
        "c.service",
        &format!("[Service]\n{lines}\nExecStartPre=/bin/sh -c 'test -e %d/key'\n{copy}\n"),
    );
    manager.sockmgr(&["daemon-reload"]).ok();
    manager.up("c.service");
    sockmgr_tests::wait::until("it has read its key", || site.read("own") == "from a file");
    let table = [("key", "from a file"), ("all_a", "1"), ("all_inner_b", "2"), ("default", "A\n")];
    for (name, content) in table {
        assert_eq!(site.read(&format!("copy/{name}")), content, "{name}");
        let facts = std::fs::metadata(site.path(format!("copy/{name}"))).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&facts.permissions()) & 0o7777, 0o400);
    }
    assert!(!site.path("copy/nowhere").exists());
    let directory = site.path("run/credentials/c.service");
    assert!(directory.is_dir());
    manager.sockmgr(&["stop", "c.service"]).ok();
    assert!(!directory.exists());
    site.unit("none.service", "[Service]\nType=exec\nLoadCredential=key:{dir}/none\nExecStart=/bin/true\n");
    manager.sockmgr(&["daemon-reload"]).ok();
    let _ = manager.sockmgr(&["start", "none.service"]).code(1);
    assert_eq!(manager.property("none.service", "ExecMainStatus"), "243");
    std::fs::set_permissions(site.path("copy"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
}

/// What needs root: other users. Everything is below directories of the machine that are gone afterwards.
#[test]
fn root_runs_services_as_others_who_own_what_is_made_for_them() {
    if !is_root() {
        return; // The tests of the continuous integration run as root; without, there is nobody else to become.
    }
    let site = open_site();
    let manager = Setup::new(&site).system().start();
    let name = format!("sockmgr-test-{}", std::process::id());
    let lines = format!(
        "User=nobody\nSetCredential=a:b\nExecStartPre=/bin/grep -qx b %d/a\nSupplementaryGroups=daemon 4711\nStateDirectory={name}\nRuntimeDirectory={name}/x\nWorkingDirectory=/run/{name}/x"
    );
    let seen = look(&site, &manager, "nobody", &lines);
    let group = std::fs::read_to_string("/etc/group").unwrap();
    let daemon = group.lines().find_map(|line| line.strip_prefix("daemon:x:")).unwrap();
    let daemon = daemon.split(':').next().unwrap();
    check(
        &seen,
        &[
            ("Uid", "65534 65534 65534 65534"),
            ("Groups", &format!("{daemon} 4711 65534")),
            ("$USER", "nobody"),
            ("$LOGNAME", "nobody"),
            ("$HOME", "/nonexistent"),
            ("$STATE_DIRECTORY", &format!("/var/lib/{name}")),
            ("directory", &format!("/run/{name}/x")),
        ],
    );
    assert!(!seen.contains_key("$SHELL"), "nologin is no shell");
    let owner = |path: &str| std::os::unix::fs::MetadataExt::uid(&std::fs::symlink_metadata(path).unwrap());
    let state = format!("/var/lib/{name}");
    assert_eq!(owner(&state), 65534);
    std::fs::write(format!("{state}/file"), "").unwrap();
    let seen = look(&site, &manager, "daemon", &format!("User=daemon\nGroup=nogroup\nStateDirectory={name}"));
    assert_eq!(owner(&format!("{state}/file")), owner(&state), "all of it changes hands");
    assert_eq!(seen["Uid"].split(' ').next(), Some(owner(&state).to_string().as_str()));
    let usual = look(&site, &manager, "usual", "");
    assert_eq!((usual["$USER"].as_str(), usual.contains_key("$HOME")), ("root", false));
    let login = look(&site, &manager, "login", "SetLoginEnvironment=yes");
    assert_eq!((login["$HOME"].as_str(), login["$LOGNAME"].as_str()), ("/root", "root"));
    std::fs::remove_dir_all(state).unwrap();
    std::fs::remove_dir_all(format!("/run/{name}")).unwrap();
}

#[test]
fn a_dynamic_user_comes_and_goes() {
    if !is_root() {
        return; // As above.
    }
    let site = open_site();
    let manager = Setup::new(&site).system().start();
    let name = format!("sockmgr-dynamic-{}", std::process::id());
    let lines = format!("DynamicUser=yes\nRuntimeDirectory={name}\nCacheDirectory={name}");
    site.unit("dynamic.service", &format!("[Service]\nType=exec\n{lines}\nExecStart=/bin/sleep 1000\n"));
    site.unit("other.service", "[Service]\nType=exec\nDynamicUser=yes\nExecStart=/bin/sleep 1000\n");
    // Its own directories are what it can write, of all that is kept.
    let tries = "for d in $CACHE_DIRECTORY $RUNTIME_DIRECTORY /tmp; do touch $d/x || exit 3; done; for d in /usr /var/lib /home /root; do touch $d/x 2>/dev/null && exit 4; done; exit 0";
    let line = format!("ExecStart=/bin/sh -c '{tries}'");
    site.unit(
        "tries.service",
        &format!("[Service]\nType=oneshot\n{}\n{line}\n", lines.replace(&name, &format!("{name}-tries"))),
    );
    manager.sockmgr(&["daemon-reload"]).ok();
    let uid_of = |unit: &str| {
        let ids = manager.main_process(unit).status("Uid").unwrap();
        ids.split_whitespace().next().unwrap().parse::<u32>().unwrap()
    };
    manager.up("dynamic.service");
    manager.up("other.service");
    manager.sockmgr(&["start", "tries.service"]).ok();
    std::fs::remove_dir_all(format!("/var/cache/{name}-tries")).unwrap();
    let first = uid_of("dynamic.service");
    assert!((61_184..=65_519).contains(&first) && uid_of("other.service") != first);
    let kept = format!("/var/cache/{name}");
    let owner = |path: &str| std::os::unix::fs::MetadataExt::uid(&std::fs::symlink_metadata(path).unwrap());
    assert_eq!([owner(&kept), owner(&format!("/run/{name}"))], [first, first]);
    let mut touch = Command::new("setpriv");
    touch.args([&format!("--reuid={first}"), "--clear-groups", "touch", &format!("/var/cache/{name}/file")]);
    assert!(touch.status().unwrap().success(), "it can write there");
    assert_eq!(manager.main_process("dynamic.service").environment()["USER"], "dynamic");
    manager.brain().kill();
    manager.sockmgr(&["restart", "dynamic.service"]).ok();
    assert_eq!(uid_of("dynamic.service"), first, "the next manager knows whose it is");
    manager.sockmgr(&["stop", "dynamic.service"]).ok();
    assert!(!std::path::Path::new(&format!("/run/{name}")).exists());
    manager.up("dynamic.service");
    assert_eq!(uid_of("dynamic.service"), first, "who owns what is kept");
    manager.sockmgr(&["stop", "dynamic.service"]).ok();
    std::fs::remove_dir_all(kept).unwrap();
}

/// `+` is the whole of the manager's privileges, `!` all but what `User=` is about.
#[test]
fn prefixes_keep_privileges() {
    if !is_root() {
        return; // As above.
    }
    let site = open_site();
    let manager = Setup::new(&site).start();
    let note = |name: &str| format!("/bin/sh -c 'echo $(id -u) $(ulimit -n) >{{dir}}/{name}'");
    let commands = format!(
        "ExecStartPre={}\nExecStartPre=+{}\nExecStartPre=!{}\nExecStartPre=!!{}\nExecStart=/bin/sleep 1000\n",
        note("plain"),
        note("full"),
        note("keeps"),
        note("ambient")
    );
    site.unit("app.service", &format!("[Service]\nType=exec\nUser=nobody\nLimitNOFILE=77\n{commands}"));
    site.unit(
        "old.service",
        &format!("[Service]\nType=exec\nUser=nobody\nPermissionsStartOnly=yes\nExecStartPre={}\nExecStart=/bin/sleep 1000\n", note("old")),
    );
    manager.sockmgr(&["daemon-reload"]).ok();
    manager.up("app.service");
    manager.up("old.service");
    let noted = |name: &str| site.read(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(noted("plain"), ["65534", "77"]);
    assert_eq!(noted("ambient"), ["65534", "77"]);
    assert_eq!(noted("keeps"), ["0", "77"]);
    assert_eq!(noted("full")[0], "0");
    assert_ne!(noted("full")[1], "77");
    assert_eq!(noted("old")[0], "0");
    assert_eq!(manager.main_process("old.service").status("Uid").unwrap(), "65534\t65534\t65534\t65534");
}
