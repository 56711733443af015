//! The log of services: every line that they write is in it once, and `sockmgr logs` shows it, with or without a manager.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};

use sockmgr_tests::command::tool;
use sockmgr_tests::manager::{Manager, Setup, sockmgr_in};
use sockmgr_tests::site::Site;
use sockmgr_tests::wait::{until, until_some};
use sockmgr_tests::{built, namespace};

fn script(site: &Site, unit: &str, streams: &str, text: &str) {
    let file = site.file(&format!("{unit}.sh"), text);
    site.unit(unit, &format!("[Service]\n{streams}\nExecStart=/bin/sh {}\n", file.display()));
}

/// What is in the log of a unit but what the manager says itself, as it was written.
fn messages(manager: &Manager, unit: &str) -> Vec<String> {
    let all = manager.sockmgr(&["logs", "-o", "json", unit]).text();
    let lines = all.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let own = lines.filter(|line| line["SYSLOG_IDENTIFIER"] != "sockmgrd");
    own.map(|line| line["MESSAGE"].as_str().map_or_else(|| line["MESSAGE"].to_string(), str::to_owned))
        .collect()
}

fn until_ended(manager: &Manager, unit: &str) {
    until(&format!("{unit} has ended"), || {
        ["inactive", "failed"].contains(&manager.property(unit, "ActiveState").as_str())
    });
}

#[test]
fn lines_are_as_they_were_written() {
    let site = Site::new();
    let text = "echo out; echo err >&2; echo '<3>bad'; echo; printf 'a\\0b\\n'; printf '\\377\\001\\n'; printf 'no end'";
    script(&site, "s.service", "SyslogIdentifier=my app\nLogExtraFields=TIER=front", text);
    let manager = Setup::new(&site).start();
    manager.up("s.service");
    until_ended(&manager, "s.service");
    assert_eq!(messages(&manager, "s.service"), ["out", "err", "bad", "a", "b", "[255,1]", "no end"]);
    let json = manager.sockmgr(&["logs", "-o", "json", "s"]).text();
    let bad = json.lines().find(|line| line.contains("\"bad\"")).unwrap();
    let bad: serde_json::Value = serde_json::from_str(bad).unwrap();
    let fields = ["PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "TIER"];
    let values = fields.map(|field| bad[field].as_str().unwrap_or_default());
    assert_eq!(values, ["3", "3", "my app", "s.service", "front"]);
    assert!(bad["_PID"].as_str().unwrap().parse::<u32>().unwrap() > 1);
    let short = manager.sockmgr(&["logs", "s"]).text();
    assert!(short.contains(" s.service my app["), "{short}");
    assert!(short.contains(" s.service sockmgrd["), "what the manager says of it is there too: {short}");
    assert_eq!(
        manager.sockmgr(&["logs", "-o", "cat", "-n", "1", "--since", "-1h", "s"]).text().lines().count(),
        1
    );
    assert_eq!(manager.sockmgr(&["logs", "--until", "yesterday", "s"]).text(), "");
    let status = manager.sockmgr(&["status", "s", "-n", "3"]).code(3);
    assert!(status.stdout.contains("s.service my app["), "{status}");
    // Without a manager it is the same.
    assert_eq!(manager.stop(), 0);
    let mut command = sockmgr_in(&built::sockmgr(), "--user", &site.path("run"));
    let after = sockmgr_tests::command::Ran::of(command.args(["logs", "s"])).text();
    assert!(after.starts_with(&short), "{after}");
}

#[test]
fn levels_and_limits_leave_lines_out() {
    let site = Site::new();
    script(
        &site,
        "level.service",
        "LogLevelMax=notice\nSyslogLevel=info",
        "echo info; echo '<5>notice'; echo '<7>debug'",
    );
    script(&site, "plain.service", "SyslogLevelPrefix=no", "echo '<5>notice'");
    let limit = "LogRateLimitIntervalSec=1h\nLogRateLimitBurst=3";
    script(&site, "limit.service", limit, "for i in 1 2 3 4 5; do echo $i; done");
    let manager = Setup::new(&site).start();
    for unit in ["level.service", "plain.service", "limit.service"] {
        manager.up(unit);
        until_ended(&manager, unit);
    }
    assert_eq!(messages(&manager, "level.service"), ["notice"]);
    assert_eq!(messages(&manager, "plain.service"), ["<5>notice"]);
    assert_eq!(messages(&manager, "limit.service"), ["1", "2", "3"]);
}

#[test]
fn long_lines_are_cut_and_none_is_lost() {
    let site = Site::new();
    let long = "head -c 200000 /dev/zero | tr '\\0' x; echo; echo after";
    script(&site, "long.service", "", long);
    let manager = Setup::new(&site).start();
    manager.up("long.service");
    until_ended(&manager, "long.service");
    let messages = messages(&manager, "long.service");
    let lengths: Vec<usize> = messages.iter().map(String::len).collect();
    assert_eq!(lengths, [49152, 49152, 49152, 49152, 200_000 - 4 * 49152, 5]);
    assert_eq!(messages.last().unwrap(), "after");
}

#[test]
fn the_instances_of_a_group_are_one_log() {
    let site = Site::new();
    site.unit("g.socket", "[Socket]\nListenStream={host}:7\nInstances=3\n");
    site.unit(
        "g@.service",
        "[Service]\nExecStart=/bin/sh -c 'echo I am $SOCKMGR_INSTANCE; exec sleep 1000'\n",
    );
    let manager = Setup::new(&site).start();
    manager.up("g.socket");
    manager.up("g.service");
    until("all have spoken", || messages(&manager, "g").len() == 3);
    let mut all = messages(&manager, "g");
    all.sort();
    assert_eq!(all, ["I am 1", "I am 2", "I am 3"]);
    assert_eq!(messages(&manager, "g@2"), ["I am 2"]);
    assert_eq!(messages(&manager, "g@*").len(), 3);
    let shown = manager.sockmgr(&["logs", "g"]).text();
    assert!(shown.contains(" g@3.service sh["), "{shown}");
}

/// Numbered lines from a service that does not stop writing; in between one that takes long to be complete.
const COUNTER: &str = "import sys, time
n = 0
while True:
    half = n % 100 == 50
    sys.stdout.write('line %d ' % n); sys.stdout.flush() if half else None
    if half: time.sleep(0.002)
    sys.stdout.write('x' * (n % 300) + '\\n')
    n += 1
    if n % 1000 == 0: sys.stdout.flush()
";

fn counter(site: &Site, streams: &str) {
    let file = site.file("counter.py", COUNTER);
    let (python, file) = (tool("python3").display().to_string(), file.display().to_string());
    site.unit("counter.service", &format!("[Service]\n{streams}\nExecStart={python} -B {file}\n"));
}

/// The numbers in the order in which they are in the log, and whether every line is whole.
fn numbers(site: &Site) -> Vec<usize> {
    let mut command = sockmgr_in(&built::sockmgr(), "--user", &site.path("run"));
    let all = sockmgr_tests::command::Ran::of(command.args(["logs", "-o", "cat", "counter"])).text();
    let mut lines: Vec<&str> = all.lines().filter(|line| line.starts_with("line ")).collect();
    // Its end may have come in the middle of it.
    lines.pop();
    let number = |line: &str| {
        let mut words = line.split(' ');
        let number: usize = words.nth(1).unwrap().parse().unwrap();
        let xs = words.next().unwrap_or_default();
        assert!(xs.len() == number % 300 && xs.bytes().all(|byte| byte == b'x'), "{line}");
        number
    };
    lines.into_iter().map(number).collect()
}

#[test]
fn no_line_is_lost_or_written_twice_when_the_manager_dies() {
    let site = Site::new();
    site.file("sockmgr.toml", "[Manager]\nLogFileSize = \"64M\"\n");
    counter(&site, "");
    let config = site.path("sockmgr.toml").display().to_string();
    let manager = Setup::new(&site).argument("--config").argument(config).start();
    manager.up("counter.service");
    let service = manager.main_process("counter.service");
    let file = site.path("run/log/counter.service.log");
    let length = || std::fs::metadata(&file).map_or(0, |facts| facts.len());
    for _ in 0..4 {
        let before = length();
        until("it writes", || length() > before + 300_000);
        let brain = manager.brain();
        brain.kill();
        until("there is another manager", || !brain.is_alive() && manager.brain() != brain);
    }
    assert!(service.is_alive(), "nobody told it of anything");
    manager.sockmgr(&["stop", "counter.service"]).ok();
    until_ended(&manager, "counter.service");
    assert_eq!(manager.stop(), 0);
    let numbers = numbers(&site);
    assert!(numbers.len() > 1000);
    let expected: Vec<usize> = (0..numbers.len()).collect();
    assert!(numbers == expected, "each line once, in order");
}

/// `sockmgr` that goes on; it is ended with its value.
struct Follower(Child, BufReader<std::process::ChildStdout>);

impl Follower {
    fn start(manager: &Manager, words: &[&str]) -> Self {
        let mut command = manager.command();
        let mut child = command.args(words).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn files_are_put_away_and_followed() {
    let site = Site::new();
    site.file("sockmgr.toml", "[Manager]\nLogFileSize = \"20K\"\nLogFiles = 3\n");
    let config = site.path("sockmgr.toml").display().to_string();
    script(&site, "w.service", "StandardInput=file:{dir}/words", "while read word; do echo $word; done");
    nix::unistd::mkfifo(&site.path("words"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Held open both ways, so that neither side waits for the other, and the end is when we say so.
    let mut words = std::fs::OpenOptions::new().read(true).write(true).open(site.path("words")).unwrap();
    let manager = Setup::new(&site).argument("--config").argument(config).start();
    manager.up("w.service");
    words.write_all(b"first\n").unwrap();
    until("the first is logged", || messages(&manager, "w.service") == ["first"]);
    let mut follower = Follower::start(&manager, &["logs", "-f", "-o", "cat", "w", "new"]);
    until_some("the line before is shown", || (follower.next() == "first").then_some(()));
    for round in (0..1200).step_by(100) {
        for number in round..round + 100 {
            writeln!(words, "word-{number}").unwrap();
        }
        for number in round..round + 100 {
            assert_eq!(follower.next(), format!("word-{number}"));
        }
    }
    let names: Vec<String> = (0..4)
        .map(|number| if number == 0 { String::new() } else { format!(".{number}") })
        .filter(|end| site.path(format!("run/log/w.service.log{end}")).exists())
        .collect();
    assert_eq!(names, ["", ".1", ".2"]);
    assert_eq!(manager.sockmgr(&["logs", "-o", "cat", "-n", "2", "w"]).text(), "word-1198\nword-1199");
    assert_eq!(manager.sockmgr(&["logs", "-o", "cat", "-r", "-n", "2", "w"]).text(), "word-1199\nword-1198");
    // A log that did not exist when it began.
    script(&site, "new.service", "", "echo hello from the new one");
    manager.sockmgr(&["daemon-reload"]).ok();
    manager.up("new.service");
    until_some("it is followed, too", || (follower.next() == "hello from the new one").then_some(()));
}

#[test]
fn a_flood_starves_nobody_and_takes_no_memory() {
    let site = Site::new();
    site.file("sockmgr.toml", "[Manager]\nLogFileSize = \"1M\"\nLogFiles = 2\n");
    let config = site.path("sockmgr.toml").display().to_string();
    site.unit("flood@.service", "[Service]\nExecStart=/usr/bin/yes\n");
    site.unit("quiet.service", "[Service]\nType=oneshot\nExecStart=/bin/echo heard\n");
    let manager = Setup::new(&site).argument("--config").argument(config).start();
    for instance in ["flood@1", "flood@2", "flood@3", "flood@4"] {
        manager.up(instance);
    }
    let rotated = site.path("run/log/flood@.service.log.1");
    until("files have been put away", || rotated.exists());
    manager.up("quiet.service");
    until("a quiet one is heard", || messages(&manager, "quiet.service") == ["heard"]);
    let resident: u64 = manager.brain().status("VmRSS").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(resident < 30_000, "{resident} kB");
    let directory = std::fs::read_dir(site.path("run/log")).unwrap();
    let kept: u64 = directory.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(kept < 16 << 20, "{kept} bytes");
}

#[test]
fn output_of_a_service_of_another_user_is_logged() {
    if !namespace::is_root() {
        return;
    }
    let site = Site::new();
    script(&site, "n.service", "User=nobody", "id -u; echo x > /dev/stderr");
    let manager = Setup::new(&site).system().start();
    manager.up("n.service");
    until_ended(&manager, "n.service");
    assert_eq!(messages(&manager, "n.service")[0], "65534");
}

#[test]
fn the_journal_gets_it_where_it_runs() {
    let site = Site::new();
    let journal = UnixListener::bind(site.path("journal")).unwrap();
    let config =
        site.file("sockmgr.toml", "[Manager]\nJournalSocket = \"{dir}/journal\"\n").display().to_string();
    let text = "echo to the journal; echo $JOURNAL_STREAM > {dir}/stream; own=$(stat -L -c %d:%i /proc/$$/fd/1); echo $own >> {dir}/stream";
    script(&site, "j.service", "SyslogLevel=notice\nSyslogFacility=local1", text);
    script(
        &site,
        "k.service",
        "StandardOutput=kmsg+console\nStandardError=null\nSyslogLevelPrefix=no",
        "echo and here",
    );
    let manager = Setup::new(&site).argument("--config").argument(config).start();
    let heard = |unit: &str| {
        manager.up(unit);
        let mut heard = String::new();
        journal.accept().unwrap().0.read_to_string(&mut heard).unwrap();
        heard
    };
    assert_eq!(heard("j.service"), "sh\nj.service\n141\n1\n0\n0\n0\nto the journal\n");
    let stream = site.read("stream");
    let (told, found) = stream.split_once('\n').unwrap();
    assert_eq!(told, found.trim());
    assert_eq!(heard("k.service"), "sh\nk.service\n30\n0\n0\n1\n1\nand here\n");
    assert!(!site.path("run/log").exists(), "there is no second log");
    // When it goes away the log takes over.
    drop(journal);
    std::fs::remove_file(site.path("journal")).unwrap();
    manager.up("j.service");
    until("it is in our log", || messages(&manager, "j.service") == ["to the journal"]);
}

#[test]
fn output_is_seen_where_the_manager_is() {
    let site = Site::new();
    script(&site, "c.service", "StandardOutput=journal+console", "echo on the console");
    script(&site, "q.service", "", "echo only in the log");
    let manager = Setup::new(&site).start();
    manager.up("q.service");
    manager.up("c.service");
    until_ended(&manager, "c.service");
    manager.until_logged("c.service          on the console\n");
    assert!(!manager.program.log().contains("only in the log"));
    assert_eq!(manager.stop(), 0);
    let manager = Setup::new(&site).argument("--console").start();
    manager.up("q.service");
    manager.until_logged("q.service          only in the log\n");
}
