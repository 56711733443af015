//! What surrounds the processes of a service: limits, scheduling, users, directories, environment. A script looks around and writes
//! down what it sees.

use std::collections::BTreeMap;

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
env | sed -n 's/^\([A-Z_]*\)=/$\1=/p'
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
