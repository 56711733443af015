//! Unit files on disk, as `sockmgr` and the real `systemctl` change them: both are given the same trees below `--root`, and
//! must leave the same links, say the same states and exit with the same codes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use sockmgr_tests::built;
use sockmgr_tests::command::{Ran, tool};
use tempfile::TempDir;

/// The two commands, and the word by which their directories differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Theirs,
    Ours,
}

impl Whose {
    fn word(self) -> &'static str {
        match self {
            Self::Theirs => "systemd",
            Self::Ours => "sockmgr",
        }
    }
}

/// One of the two trees.
struct Root {
    whose: Whose,
    directory: TempDir,
}

impl Root {
    fn new(whose: Whose) -> Self {
        let root = Self { whose, directory: tempfile::tempdir().unwrap() };
        for directory in ["etc", "run", "usr"] {
            fs::create_dir_all(root.path(directory)).unwrap();
        }
        fs::create_dir(root.directory.path().join("ext")).unwrap();
        root
    }

    /// `etc/a.service` lies in the configuration; `ext/` outside of the search path.
    fn path(&self, short: &str) -> PathBuf {
        let (top, rest) = short.split_once('/').unwrap_or((short, ""));
        self.directory.path().join(self.fill(&match top {
            "etc" | "run" => format!("{top}/@/system/{rest}"),
            "usr" => format!("usr/lib/@/system/{rest}"),
            "preset" => format!("usr/lib/@/system-preset/{rest}"),
            "etcpreset" => format!("etc/@/system-preset/{rest}"),
            _ => short.to_owned(),
        }))
    }

    fn fill(&self, text: &str) -> String {
        text.replace('@', "\u{1}").replace("\u{1}/", &format!("{}/", self.whose.word())).replace('\u{1}', "@")
    }

    /// One line of a case: `+ FILE: LINES` makes a unit file with these lines of `[Install]`, `= FILE: TEXT` any file,
    /// `~ LINK -> TARGET` a link, `/ DIR` a directory, `- FILE` removes one.
    fn prepare(&self, line: &str) {
        let (kind, rest) = line.split_once(' ').unwrap();
        let write = |file: &str, text: &str| {
            let path = self.path(file.trim());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let lines = |text: &str| text.trim().replace("; ", "\n");
        match kind {
            "+" => {
                let (file, install) = rest.split_once(':').unwrap();
                let section = match file.rsplit('.').next().unwrap() {
                    "socket" => "[Socket]\nListenStream=/run/x\n",
                    "service" => "[Service]\nExecStart=/bin/true\n",
                    _ => "[Unit]\n",
                };
                let own = if file.ends_with(".conf") { "" } else { section };
                write(file, &format!("{own}[Install]\n{}\n", lines(install)));
            }
            "=" => {
                let (file, text) = rest.split_once(':').unwrap();
                let text = lines(text);
                write(file, &if text.is_empty() { text } else { text + "\n" });
            }
            "~" => {
                let (link, target) = rest.split_once(" -> ").unwrap();
                let link = self.path(link);
                fs::create_dir_all(link.parent().unwrap()).unwrap();
                symlink(self.fill(target), link).unwrap();
            }
            "/" => fs::create_dir_all(self.path(rest)).unwrap(),
            "-" => fs::remove_file(self.path(rest)).unwrap(),
            _ => panic!("{line}"),
        }
    }

    fn run(&self, words: &str) -> Ran {
        let mut command = match self.whose {
            Whose::Theirs => Command::new(tool("systemctl")),
            Whose::Ours => Command::new(built::sockmgr()),
        };
        command.arg("--system").arg(format!("--root={}", self.directory.path().display()));
        let words = self.fill(words);
        command.args(words.split(' ')).env("LC_ALL", "C.UTF-8").env_remove("SYSTEMD_UNIT_PATH");
        Ran::of(&mut command)
    }

    /// A text without what must differ.
    fn plain(&self, text: &str) -> String {
        let root = self.directory.path().display().to_string();
        text.replace(&root, "").replace(self.whose.word(), "@")
    }

    /// Every file, directory and link, with where links point.
    fn tree(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.directory.path().to_owned()];
        while let Some(directory) = open.pop() {
            for path in fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
                let name = self.plain(&path.display().to_string());
                match fs::read_link(&path) {
                    Ok(target) => {
                        let target = self.plain(&target.display().to_string());
                        found.insert(format!("{name} -> {target}"));
                    }
                    // The two make directories that nothing lies in at different moments.
                    Err(_) if path.is_dir() && is_empty(&path) => {}
                    Err(_) if path.is_dir() => open.push(path),
                    Err(_) => {
                        found.insert(name);
                    }
                }
            }
        }
        found
    }

    /// The code, what was printed, and the links that it says were made and removed.
    fn said(&self, ran: &Ran) -> (i32, String, BTreeSet<String>) {
        let changed = ran.stderr.lines().chain(ran.stdout.lines()).map(|line| self.plain(line));
        let changed =
            changed.filter(|line| line.starts_with("Created symlink") || line.starts_with("Removed"));
        let printed = self.plain(&ran.stdout);
        let printed: Vec<&str> = printed.lines().map(str::trim_end).collect();
        (ran.code, printed.join("\n"), changed.collect())
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

/// Plays a case with both, and compares after every command.
fn compare(case: &str) -> Result<(), String> {
    let roots = [Root::new(Whose::Theirs), Root::new(Whose::Ours)];
    let mut played = Vec::new();
    for line in case.lines().map(str::trim).filter(|line| !line.is_empty()) {
        played.push(line);
        let Some(words) = line.strip_prefix("$ ") else {
            roots.iter().for_each(|root| root.prepare(line));
            continue;
        };
        let ran = roots.each_ref().map(|root| root.run(words));
        let [theirs, ours] = [0, 1].map(|at| (roots[at].said(&ran[at]), roots[at].tree()));
        if theirs != ours {
            let [their_text, our_text] = ran.map(|ran| ran.to_string());
            return Err(format!(
                "{}\n--- systemctl: {theirs:#?}\n--- sockmgr: {ours:#?}\n{their_text}\n{our_text}",
                played.join("\n")
            ));
        }
    }
    Ok(())
}

fn check(cases: &[&str]) {
    let wrong: Vec<String> = cases.iter().filter_map(|case| compare(case).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases differ:\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

#[test]
fn enable_and_disable() {
    check(&[
        "+ usr/a.service: WantedBy=x.target
         $ is-enabled a.service
         $ enable a.service
         $ is-enabled a.service
         $ enable a.service
         $ disable a.service
         $ is-enabled a.service
         $ disable a.service",
        "+ usr/a.service: WantedBy=x.target y.target; RequiredBy=z.service
         $ enable a
         $ is-enabled a
         $ disable a",
        "+ usr/a.service: Alias=b.service c.service
         $ enable a.service
         $ is-enabled a.service b.service c.service
         $ disable b.service
         $ is-enabled a.service",
        "+ usr/a.socket: WantedBy=sockets.target; Alias=b.socket; Also=a.service
         + usr/a.service: WantedBy=m.target; Also=a.socket
         $ enable a.socket
         $ is-enabled a.socket a.service b.socket
         $ disable a.service
         $ is-enabled a.socket",
        "+ usr/a.service:
         $ is-enabled a.service
         $ enable a.service
         $ is-enabled -q a.service
         $ disable a.service",
        "$ enable nosuch.service
         $ disable nosuch.service
         $ is-enabled nosuch.service
         $ reenable nosuch.service",
        "+ usr/a.service: Alias=a.service
         $ enable a.service",
        "+ usr/a.service: Alias=a.socket
         $ enable a.service
         $ is-enabled a.service",
        "+ usr/a.service: Alias=a@.service
         $ enable a.service
         + usr/a.service: Alias=a@x.service
         $ enable a.service",
        "+ usr/a.service: WantedBy=bad
         $ enable a.service
         + usr/a.service: WantedBy=%z.target
         $ enable a.service
         + usr/a.service: Alias=bad
         $ enable a.service
         + usr/a.service: Also=bad
         $ enable a.service",
        "+ etc/a.service: WantedBy=x.target
         $ enable a.service
         $ is-enabled a.service
         $ disable a.service",
        "+ run/a.service: WantedBy=x.target
         $ enable a.service
         $ is-enabled a.service",
        "+ usr/a.service: WantedBy=x.target; Alias=b.service
         $ enable --runtime a.service
         $ is-enabled a.service b.service
         $ disable a.service
         $ disable --runtime a.service
         $ is-enabled a.service",
        "+ usr/a.service: WantedBy=%p-%N.target; Alias=%N-x.service
         $ enable a.service
         $ is-enabled a.service a-x.service",
        "+ usr/a.service: WantedBy=x.target; WantedBy=; WantedBy=y.target
         $ enable a.service",
        "= usr/a.service: [Service]; ExecStart=; Nonsense; Restart=maybe; [Install]; WantedBy=x.target
         $ is-enabled a.service
         $ enable a.service",
        "+ usr/a.timer: WantedBy=timers.target
         + usr/b.path: WantedBy=p.target
         + usr/c.mount: WantedBy=m.target
         $ enable a.timer b.path c.mount
         $ is-enabled a.timer b.path c.mount",
        "+ usr/a.service: WantedBy=x.target
         + usr/b.service: WantedBy=x.target
         $ enable a.service nosuch.service b.service
         $ enable a.service b.service
         $ is-enabled a.service nosuch.service
         $ disable a.service b.service",
        "+ usr/a.service: WantedBy=x.target
         $ reenable a.service
         + usr/a.service: WantedBy=y.target
         $ enable a.service
         $ reenable a.service",
        "+ usr/a.service: RequiredBy=x.target; WantedBy=x.target
         = usr/x.target: [Unit]
         $ enable a.service
         $ is-enabled x.target a.service",
    ]);
}

#[test]
fn links_that_are_there() {
    check(&[
        "+ usr/a.service: Alias=c.service d.service; WantedBy=x.target
         + usr/b.service: Alias=c.service
         + etc/d.service:
         $ enable b.service
         $ enable a.service
         $ enable --force a.service
         $ is-enabled a.service b.service c.service d.service",
        "+ usr/a.service: Alias=b.service; WantedBy=x.target
         ~ etc/b.service -> /usr/lib/@/system/a.service
         $ is-enabled a.service
         $ enable a.service
         $ disable a.service",
        "+ usr/a.service: Alias=b.service; WantedBy=x.target
         ~ etc/b.service -> ../../../usr/lib/@/system/a.service
         $ enable a.service
         $ is-enabled a.service b.service
         $ disable a.service",
        "+ usr/a.service: WantedBy=x.target
         ~ etc/other.service -> /usr/lib/@/system/a.service
         $ is-enabled a.service other.service
         ~ etc/q.target.wants/a.service -> /nonexistent
         $ is-enabled a.service
         $ disable a.service",
        "+ usr/a.service: WantedBy=x.target
         ~ etc/q.target.wants/zz.service -> /usr/lib/@/system/a.service
         $ is-enabled a.service
         $ disable a.service",
        "+ usr/a.service: Alias=b.service; WantedBy=x.target
         ~ etc/b.service -> /usr/lib/@/system/gone.service
         $ enable a.service
         $ is-enabled a.service
         $ is-enabled b.service
         $ disable gone.service",
        "+ usr/a.service: WantedBy=x.target
         ~ usr/v.service -> a.service
         $ is-enabled v.service a.service
         $ enable v.service
         $ is-enabled v.service a.service
         $ disable v.service
         $ mask v.service
         $ is-enabled v.service
         $ list-unit-files",
        "~ usr/dangling.service -> gone.service
         $ is-enabled dangling.service
         $ list-unit-files",
        "+ usr/a.service: WantedBy=x.target
         ~ usr/x.target.wants/a.service -> ../a.service
         $ is-enabled a.service
         + usr/i@.service: WantedBy=x.target
         ~ usr/x.target.wants/i@k.service -> ../i@.service
         $ is-enabled i@k.service i@.service i@j.service
         $ list-unit-files",
        "+ etc/a.service: WantedBy=x.target
         + usr/a.service:
         ~ usr/c.service -> a.service
         $ is-enabled a.service c.service
         ~ usr/d.service -> /etc/@/system/a.service
         $ is-enabled a.service
         ~ etc/e.service -> a.service
         $ is-enabled a.service e.service
         $ list-unit-files",
        "+ usr/a.service: Alias=b.service; WantedBy=x.target
         $ enable a.service
         $ enable b.service
         $ reenable b.service
         $ mask b.service
         $ is-enabled b.service a.service
         $ disable a.service",
        "+ usr/a.service: WantedBy=x.target
         $ enable a.service
         - usr/a.service
         $ is-enabled a.service
         $ disable a.service",
        "/ etc/d.service
         $ is-enabled d.service
         $ enable d.service
         $ mask d.service
         $ list-unit-files",
    ]);
}

#[test]
fn templates_and_instances() {
    check(&[
        "+ usr/t@.service: WantedBy=m.target
         $ enable t@.service
         $ is-enabled t@.service
         $ enable t@y.service
         $ is-enabled t@.service t@y.service t@z.service
         $ disable t@.service
         $ is-enabled t@y.service",
        "+ usr/t@.service: WantedBy=m.target; DefaultInstance=x
         $ enable t@.service
         $ is-enabled t@.service t@x.service t@y.service
         $ enable t@y.service
         $ disable t@x.service
         $ is-enabled t@.service t@x.service t@y.service
         $ disable t@.service",
        "+ usr/t@.service: WantedBy=m@.target
         $ enable t@.service
         $ is-enabled t@.service
         $ enable t@y.service",
        "+ usr/t@.service: WantedBy=m@%i.target; DefaultInstance=d; Alias=q@%i.service
         $ enable t@.service
         $ enable t@y.service
         $ is-enabled q@.service
         $ is-enabled q@y.service t@.service t@d.service",
        "+ usr/t@.service: Alias=q@.service
         $ enable t@.service
         $ enable t@y.service
         $ is-enabled q@.service q@k.service t@k.service t@.service
         $ disable t@.service",
        "+ usr/t@.service: WantedBy=x.target; DefaultInstance=i
         $ mask t@i.service
         $ is-enabled t@i.service t@.service
         $ enable t@.service
         $ enable t@i.service
         $ mask t@.service
         $ is-enabled t@j.service
         $ enable t@j.service
         $ unmask t@i.service t@.service
         $ enable t@.service",
        "+ usr/t@.service: WantedBy=x.target
         + etc/t@q.service: WantedBy=q.target
         $ enable t@q.service
         $ is-enabled t@q.service t@.service
         $ disable t@.service",
        "+ usr/t@.service: WantedBy=x.target
         ~ usr/o@k.service -> t@.service
         $ is-enabled o@k.service o@l.service
         $ enable o@k.service
         $ is-enabled t@k.service",
        "+ usr/t@.service: WantedBy=x.target; DefaultInstance=i
         + usr/t@i.service: WantedBy=own.target
         $ enable t@.service
         $ is-enabled t@.service t@i.service",
        "+ usr/t@.service: WantedBy=x.target
         $ enable t@a\\x2db.service t@a.b:c_d.service
         $ is-enabled t@a\\x2db.service
         $ disable t@a\\x2db.service",
    ]);
}

#[test]
fn also() {
    check(&[
        "+ usr/a.service: Also=b.service b.socket
         + usr/b.service: Also=c@x.service; WantedBy=x.target
         + usr/b.socket: WantedBy=sockets.target; Also=b.service
         + usr/c@.service: WantedBy=y.target
         $ is-enabled a.service
         $ enable a.service
         $ is-enabled a.service b.service b.socket c@x.service c@.service
         $ disable b.socket
         $ enable b.socket
         $ mask c@x.service
         $ disable a.service",
        "+ usr/a.service: Also=b.service; WantedBy=x.target
         $ enable a.service
         $ disable a.service
         + usr/a.service: Also=b.service
         $ enable a.service
         $ is-enabled a.service",
        "+ usr/a.service: Also=b.service; WantedBy=x.target
         + usr/b.service: Also=a.service; WantedBy=y.target
         $ mask b.service
         $ enable a.service
         $ disable a.service
         $ unmask b.service
         $ enable b.service
         $ is-enabled a.service b.service",
        "+ usr/a.service: Also=t@.service
         + usr/t@.service: WantedBy=y.target; DefaultInstance=z
         $ enable a.service
         $ is-enabled a.service t@.service t@z.service
         $ disable a.service",
    ]);
}

#[test]
fn masks() {
    check(&[
        "+ usr/a.service: WantedBy=x.target
         $ mask a.service a.service
         $ mask a.service
         $ is-enabled a.service
         $ enable a.service
         $ disable a.service
         $ unmask a.service
         $ unmask a.service
         $ is-enabled a.service",
        "+ usr/a.service: WantedBy=x.target
         $ mask --runtime a.service
         $ is-enabled a.service
         $ unmask a.service
         $ is-enabled a.service
         $ unmask --runtime a.service",
        "+ etc/c.service:
         $ mask c.service
         $ mask --force c.service
         $ unmask c.service",
        "$ mask nosuch.service
         $ is-enabled nosuch.service
         $ unmask nosuch.service
         $ mask short
         $ unmask short",
        "= etc/a.service:
         $ is-enabled a.service
         $ enable a.service
         $ mask a.service
         $ unmask a.service",
        "+ usr/a.service: WantedBy=x.target
         $ enable a.service
         $ mask a.service
         $ is-enabled a.service
         $ unmask a.service
         $ is-enabled a.service",
        "~ run/a.service -> /dev/null
         + usr/a.service: WantedBy=x.target
         $ is-enabled a.service
         $ enable a.service
         $ list-unit-files",
        "~ usr/a.service -> /dev/null
         ~ etc/b.service -> ../../../dev/null
         $ is-enabled a.service
         $ is-enabled b.service
         $ list-unit-files --state=masked",
    ]);
}

#[test]
fn files_elsewhere() {
    check(&[
        "+ ext/l.service: WantedBy=x.target; Alias=m.service
         $ link /ext/l.service
         $ is-enabled l.service
         $ enable l.service
         $ is-enabled l.service m.service
         $ disable l.service
         $ link --runtime /ext/l.service
         $ is-enabled l.service
         $ list-unit-files",
        "+ ext/l.service: WantedBy=x.target; Alias=m.service
         $ enable /ext/l.service
         $ is-enabled l.service
         $ reenable l.service
         $ reenable /ext/l.service
         $ disable /ext/l.service",
        "$ link /ext/nosuch.service
         $ link relative.service
         = ext/bad: [Unit]
         $ link /ext/bad
         / ext/d.service
         $ link /ext/d.service
         $ enable /ext/nosuch.service",
        "+ ext/a.service: WantedBy=x.target
         ~ usr/a.service -> /ext/a.service
         $ is-enabled a.service
         $ enable a.service
         $ disable a.service
         $ link /ext/a.service
         $ mask a.service
         $ mask --force a.service
         $ unmask a.service",
        "+ ext/t@.service: WantedBy=x.target; DefaultInstance=i
         $ enable /ext/t@.service
         $ is-enabled t@.service t@i.service t@j.service
         $ disable t@.service
         $ enable /ext/t@k.service",
        "+ ext/l.service: WantedBy=x.target
         + ext/deep/l.service: WantedBy=y.target
         $ link /ext/l.service
         $ link /ext/deep/l.service
         $ link --force /ext/deep/l.service
         $ enable l.service",
        "+ ext/l.service: WantedBy=x.target
         $ enable --runtime /ext/l.service
         $ is-enabled l.service
         $ disable --runtime l.service",
    ]);
}

#[test]
fn drop_ins_and_revert() {
    check(&[
        "+ usr/a.service: WantedBy=x.target
         + etc/a.service.d/1.conf: WantedBy=; WantedBy=z.target
         $ enable a.service
         $ is-enabled a.service",
        "+ usr/a.service:
         + usr/a.service.d/1.conf: WantedBy=z.target
         $ is-enabled a.service
         $ enable a.service
         $ disable a.service",
        "+ usr/t@.service: WantedBy=x.target
         + etc/t@.service.d/1.conf: WantedBy=z.target
         + etc/t@i.service.d/2.conf: WantedBy=i.target
         $ enable t@i.service t@j.service",
        "+ usr/a.service: WantedBy=x.target
         + etc/a.service.d/1.conf: WantedBy=e.target
         + usr/a.service.d/1.conf: WantedBy=u.target
         = etc/a.service.d/2.conf:
         + usr/a.service.d/2.conf: WantedBy=n.target
         $ enable a.service",
        "+ usr/a.service: WantedBy=x.target
         + etc/a.service: WantedBy=y.target
         $ enable a.service
         + etc/a.service.d/1.conf: WantedBy=z.target
         $ disable a.service
         $ enable a.service
         $ revert a.service
         $ is-enabled a.service
         $ revert a.service",
        "+ etc/only.service: WantedBy=x.target
         = etc/only.service.d/k.conf: [Service]
         = run/only.service.d/k.conf: [Service]
         $ revert only.service
         $ revert nosuch.service",
        "+ usr/a.service: WantedBy=x.target
         $ mask a.service
         $ revert a.service
         $ mask --runtime a.service
         $ revert a.service",
        "+ usr/a.service: WantedBy=x.target
         + ext/a.service: WantedBy=y.target
         $ link /ext/a.service
         $ is-enabled a.service
         $ revert a.service
         $ is-enabled a.service",
        "+ usr/a.service: WantedBy=x.target
         + etc/service.d/1.conf: WantedBy=z.target
         $ enable a.service",
    ]);
}

#[test]
fn dependencies_and_the_default_target() {
    check(&[
        "+ usr/a.service: WantedBy=x.target; Alias=al.service
         + usr/t@.service:
         = usr/x.target: [Unit]
         $ add-wants x.target a.service
         $ add-requires x.target a.service t@i.service
         $ add-wants x.target t@.service
         $ add-wants nosuch.target a.service
         $ add-wants x.target nosuch.service
         $ add-wants x a
         $ is-enabled a.service t@i.service t@.service
         $ disable a.service",
        "+ usr/a.service:
         = usr/x.target: [Unit]
         $ add-wants --runtime x.target a.service
         $ is-enabled a.service
         $ mask x.target
         $ add-wants x.target a.service",
        "+ usr/first.target: Alias=default.target
         + usr/second.target: Alias=default.target
         ~ usr/default.target -> second.target
         $ get-default
         $ set-default first.target
         $ get-default
         $ set-default second
         $ set-default x.service
         $ set-default default.target
         $ set-default nosuch.target
         $ is-enabled second.target first.target default.target
         $ enable first.target
         $ enable --force first.target
         $ get-default",
    ]);
}

#[test]
fn presets() {
    let files = "= preset/50.preset: enable a*; enable t@.service x y; disable *
         = etcpreset/10.preset: # comment; disable ab.service;  enable  zz.service ";
    let units = "+ usr/aa.service: WantedBy=x.target
         + usr/ab.service: WantedBy=x.target
         + usr/bb.service: WantedBy=x.target
         + usr/zz.service: WantedBy=x.target
         + usr/st.service:
         + usr/t@.service: WantedBy=x.target";
    let cases = [
        "$ preset-all\n $ list-unit-files",
        "$ enable bb.service\n $ preset bb.service aa.service\n $ preset zz.service",
        "$ preset t@x.service\n $ preset t@z.service\n $ preset t@.service",
        "$ enable bb.service\n $ preset --preset-mode=enable-only bb.service aa.service\n $ is-enabled bb.service
         $ preset --preset-mode=disable-only bb.service aa.service",
        "$ enable ab.service bb.service\n $ preset-all --preset-mode=disable-only\n $ preset-all --preset-mode=enable-only",
        "$ preset nosuch.service\n $ mask aa.service\n $ preset aa.service",
        "= etcpreset/50.preset: disable aa.service\n $ list-unit-files\n $ preset-all",
        "$ list-unit-files a* --type=service\n $ enable aa\n $ list-unit-files --state=enabled
         $ list-unit-files --state=enabled,static --no-legend\n $ list-unit-files q*",
        "$ preset-all --runtime\n $ list-unit-files",
        "~ usr/al.service -> aa.service\n $ preset-all\n $ list-unit-files",
    ];
    let whole: Vec<String> = cases.iter().map(|case| format!("{files}\n{units}\n{case}")).collect();
    check(&whole.iter().map(String::as_str).collect::<Vec<_>>());
    check(&["+ usr/a.service: WantedBy=x.target
         + usr/b@.service: WantedBy=x.target; DefaultInstance=q
         $ preset-all
         $ list-unit-files"]);
}
