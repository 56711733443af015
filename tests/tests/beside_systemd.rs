//! What surrounds the processes of a service, beside what `systemd --user` gives them: the same units under both.

use std::collections::BTreeMap;
use std::path::Path;

use sockmgr_tests::namespace::is_root;
use sockmgr_tests::peer::Peer;

/// Writes `name=value` lines to the file that is its argument. Python would change what it looks at.
const LOOK: &str = r#"exec >"$1.new"
echo "umask=$(umask)"
echo "nice=$(nice)"
echo "directory=$(pwd)"
echo "io=$(ionice -p $$)"
echo "policy=$(chrt -p $$ | sed 's/.*: //' | tr '\n' ' ')"
for file in oom_score_adj timerslack_ns coredump_filter personality; do echo "$file=$(cat /proc/self/$file)"; done
sed -n 's/^Max \(.\{22\}\)\(.\{21\}\)\(.\{21\}\).*/limit \1=\2:\3/p' /proc/self/limits | sed 's/ *\([=:]\)/\1/; s/ *:/:/; s/ *$//'
tr '\t' ' ' </proc/$$/status | sed -n 's/^\(Uid\|Gid\|Groups\|Sig...\|Cap...\|NoNewPrivs\|Seccomp\|Cpus_allowed_list\): *\(.*[^ ]\) *$/\1=\2/p'
echo "session=$(test "$(sed 's/.*) //' /proc/$$/stat | cut -d' ' -f4)" = $$ && echo own)"
echo "keyring=$(python3 -c 'import ctypes; c = ctypes.CDLL(None); b = ctypes.create_string_buffer(99); print(c.syscall(250, 6, -3, b, 99) > 0, b.value.split(b";")[0:4:3])')"
echo "input=$(readlink /proc/$$/fd/0)"
env | sed -n 's/^[A-Z_]*=/$&/p'
mv "$1.new" "$1"
"#;

/// Lines of `[Service]`, each lot a service of its own.
const SERVICES: [&str; 9] = [
    "",
    "Environment=A=1 \"B=two words\" C=%n\nPassEnvironment=LANG NOT_THERE\nUnsetEnvironment=A=1 SHELL",
    "EnvironmentFile=-/nonexistent\nExecSearchPath=/usr/bin:/bin",
    "RuntimeDirectory=a b/c\nStateDirectory=s\nCacheDirectory=c\nLogsDirectory=l\nConfigurationDirectory=f\nRuntimeDirectoryMode=0711",
    "WorkingDirectory=~\nUMask=0027\nNice=5\nOOMScoreAdjust=300\nIgnoreSIGPIPE=no\nTimerSlackNSec=1ms",
    "CPUSchedulingPolicy=batch\nCPUAffinity=0\nIOSchedulingClass=best-effort\nIOSchedulingPriority=6\nCoredumpFilter=default elf-headers",
    "LimitNOFILE=64:128\nLimitCORE=1M\nLimitCPU=90s\nLimitNPROC=4000\nLimitMEMLOCK=64K\nLimitRTTIME=5s\nLimitSIGPENDING=77",
    "NoNewPrivileges=yes\nCapabilityBoundingSet=CAP_CHOWN CAP_KILL\nKeyringMode=private\nPersonality=x86-64",
    "StandardInput=null\nStandardOutput=null\nStandardError=inherit\nSyslogIdentifier=x\nWatchdogSec=30\nNotifyAccess=all",
];

/// Differ between any two managers, by name: what they are is ours to say.
const OWN: [&str; 9] = [
    "$NOTIFY_SOCKET",
    "$SOCKMGR_GENERATION",
    "$SOCKMGR_UNIT",
    "$INVOCATION_ID",
    "$MANAGERPID",
    "$SYSTEMD_EXEC_PID",
    "$JOURNAL_STREAM",
    "$WATCHDOG_PID",
    "$MEMORY_PRESSURE_WATCH",
];

/// Differ, and why.
const DIFFERENCES: [(&str, &str); 3] = [
    ("$DBUS_SESSION_BUS_ADDRESS", "only systemd is started with it"),
    ("$QT_ACCESSIBILITY", "of an environment generator; there are none with us"),
    (
        "limit open files",
        "systemd lowers the soft limit to 1024 where it has more itself; what sockmgr has, services have",
    ),
];

/// What the services see, by service and name; the manager's own directories as `{base}`.
fn seen(peer: &Peer, base: &Path) -> Vec<BTreeMap<String, String>> {
    let (units, results) = (base.join("files"), base.join("results"));
    std::fs::create_dir_all(&units).expect("a directory can be made");
    std::fs::create_dir_all(&results).expect("a directory can be made");
    let look = base.join("look");
    std::fs::write(&look, LOOK).expect("a file can be written");
    let names: Vec<String> = (0..SERVICES.len()).map(|index| format!("look{index}.service")).collect();
    for (name, lines) in names.iter().zip(SERVICES) {
        let exec = format!("ExecStart=/bin/sh {} {}/{name}", look.display(), results.display());
        std::fs::write(units.join(name), format!("[Service]\nType=oneshot\n{lines}\n{exec}\n"))
            .expect("a file can be written");
    }
    peer.run(&["up"]).ok();
    peer.run(&["load", &units.display().to_string()]).ok();
    let read = |name: &String| {
        let _ = peer.run(&["start", name]).code(0);
        let text = std::fs::read_to_string(results.join(name)).expect("it has looked around");
        let text = text.replace(&base.display().to_string(), "{base}");
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    names.iter().map(read).collect()
}

/// All that differs, a line each.
fn differences(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> Vec<String> {
    let names = ours.keys().chain(theirs.keys()).collect::<std::collections::BTreeSet<_>>();
    let is_own =
        |name: &str| OWN.contains(&name) && (ours.contains_key(name) || name == "$MEMORY_PRESSURE_WATCH");
    let differs = |name: &&String| {
        ours.get(*name) != theirs.get(*name)
            && !is_own(name)
            && !DIFFERENCES.iter().any(|(other, _)| other == name)
    };
    let line = |name: &String| format!("{name}: {:?}, under systemd {:?}", ours.get(name), theirs.get(name));
    names.into_iter().filter(differs).map(line).collect()
}

/// systemd is there to be compared with only for root: it wants a control group of its own.
#[test]
fn processes_have_the_surroundings_that_systemd_gives_them() {
    if !is_root() {
        return;
    }
    let place = tempfile::Builder::new().prefix("beside").tempdir().expect("a directory can be made");
    let [ours, theirs] = ["ours", "theirs"].map(|name| place.path().join(name));
    let (sockmgr, systemd) = (Peer::sockmgr(&ours), Peer::systemd(&theirs));
    let (ours, theirs) = (seen(&sockmgr, &ours), seen(&systemd, &theirs));
    let mut found = Vec::new();
    for (lines, (ours, theirs)) in SERVICES.iter().zip(ours.iter().zip(&theirs)) {
        assert!(ours.len() > 30, "{ours:#?}");
        let differences = differences(ours, theirs);
        found.extend(differences.into_iter().map(|line| format!("{line}, with {lines:?}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
