//! Real processes: what they are given, and where a start fails.

use std::ffi::CString;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use serde::de::DeserializeOwned;

use super::*;
use crate::seccomp::{Filter, Program, Rule, Verdict, compile};

/// Runs `sh -c script` by this plan and answers what it wrote to its standard output.
fn run(plan: SpawnPlan, fds: &[BorrowedFd<'_>], script: &str) -> String {
    in_a_safe_place(plan.isolation.is_some(), || run_here(plan, fds, script))
}

fn run_here(mut plan: SpawnPlan, fds: &[BorrowedFd<'_>], script: &str) -> String {
    let mut output = tempfile::tempfile().unwrap();
    let mut fds = fds.to_vec();
    fds.push(output.as_fd());
    plan.path = c"/bin/sh".into();
    plan.argv = vec![c"sh".into(), c"-c".into(), CString::new(script).unwrap()];
    plan.fds = u16::try_from(fds.len()).unwrap();
    plan.stdout = Stdio::Fd(plan.fds - 1);
    plan.stderr = plan.stdout;
    wait(Spawner::new().unwrap().spawn(&plan, &fds).unwrap());
    output.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    text
}

fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: a child of ours, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

fn failure(plan: SpawnPlan) -> (SpawnStep, i32) {
    in_a_safe_place(plan.isolation.is_some(), || {
        let error = Spawner::new().unwrap().spawn(&plan, &[]).unwrap_err();
        (error.step, error.errno())
    })
}

/// Runs `body` where a child may run ordinary code between clone and exec, as those in namespaces do: in a process of
/// one thread, such as the keeper. Here another test may hold the allocator's lock at the moment of the clone.
fn in_a_safe_place<T: Serialize + DeserializeOwned>(
    child_runs_ordinary_code: bool,
    body: impl FnOnce() -> T,
) -> T {
    if child_runs_ordinary_code { in_forked_process(body) } else { body() }
}

fn true_plan() -> SpawnPlan {
    SpawnPlan { path: c"true".into(), argv: vec![c"true".into()], ..SpawnPlan::default() }
}

/// Every order of `items`.
fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let with_first = |index: usize| {
        let mut rest = items.to_vec();
        let first = rest.remove(index);
        permutations(&rest).into_iter().map(move |tail| [vec![first], tail].concat())
    };
    (0..items.len()).flat_map(with_first).collect()
}

#[test]
fn descriptors_are_placed_from_any_permutation() {
    // In a process of its own the sources can be exactly the targets, 3 to 6, in every order.
    let files: Vec<_> = (0..4).map(|_| tempfile::tempfile().unwrap()).collect();
    let inodes: Vec<u64> = files.iter().map(|file| file.metadata().unwrap().ino()).collect();
    for order in permutations(&[0, 1, 2, 3]) {
        let low: Vec<RawFd> = order.iter().map(|index| 3 + RawFd::try_from(*index).unwrap()).collect();
        let job_sources = format!("{low:?}");
        let seen = in_forked_process(|| {
            for (file, target) in files.iter().zip(100..) {
                // SAFETY: a child process with one thread; the numbers belong to nobody there.
                unsafe { libc::dup2(file.as_raw_fd(), target) };
            }
            for target in 3..7 {
                // SAFETY: as above; this child owns nothing that it needs at 3 to 6.
                unsafe { libc::dup3(target + 97, target, libc::O_CLOEXEC) };
            }
            // SAFETY: opened just above, and open until the child ends.
            let fds: Vec<_> = low.iter().map(|fd| unsafe { BorrowedFd::borrow_raw(*fd) }).collect();
            let plan = SpawnPlan { listen_fds: 4, ..SpawnPlan::default() };
            run(plan, &fds, "for i in 3 4 5 6; do stat -Lc %i /proc/self/fd/$i; done; ls /proc/$$/fd")
        });
        let wanted: Vec<String> = order.iter().map(|index| inodes[*index].to_string()).collect();
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines[..4], wanted, "sources {job_sources}");
        assert_eq!(lines[4..], ["0", "1", "2", "3", "4", "5", "6"], "no stray descriptor");
    }
}

/// Runs `body` in a fork of this process, where descriptor numbers are free to use, and answers its result.
fn in_forked_process<T: Serialize + DeserializeOwned>(body: impl FnOnce() -> T) -> T {
    let mut result = tempfile::tempfile().unwrap();
    // SAFETY: the child only spawns and writes a file; the test harness's other threads hold no lock it needs but the
    // allocator's, which libc makes safe across fork.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let copy = result.as_fd().try_clone_to_owned().unwrap();
        // SAFETY: plain numbers: out of the way of those that the body uses.
        let copy = unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 200) };
        let bytes = postcard::to_allocvec(&body()).unwrap();
        // SAFETY: the result's own bytes; then the child ends without running the harness.
        unsafe {
            libc::write(copy, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(0);
        }
    }
    assert_eq!(wait(pid), 0);
    result.seek(SeekFrom::Start(0)).unwrap();
    let mut bytes = Vec::new();
    result.read_to_end(&mut bytes).unwrap();
    postcard::from_bytes(&bytes).unwrap()
}

#[test]
fn listen_pid_is_the_childs_own() {
    let file = tempfile::tempfile().unwrap();
    let envp = vec![c"LISTEN_FDS=1".into(), c"A=b".into()];
    let plan = SpawnPlan { listen_fds: 1, watchdog_pid: true, envp, ..SpawnPlan::default() };
    let text = run(plan, &[file.as_fd()], "echo $$ $LISTEN_PID $WATCHDOG_PID $LISTEN_FDS $A");
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words.len(), 5, "{text}");
    assert_eq!(words[0], words[1]);
    assert_eq!(words[0], words[2]);
    assert_eq!(words[3..], ["1", "b"]);
}

#[test]
fn without_descriptors_there_is_no_listen_pid() {
    let text = run(SpawnPlan::default(), &[], "echo ${LISTEN_PID-none} ${WATCHDOG_PID-none}");
    assert_eq!(text, "none none\n");
}

#[test]
fn the_child_leads_a_session_in_the_root_directory() {
    let text = run(SpawnPlan::default(), &[], "cut -d' ' -f1,5,6 /proc/$$/stat; pwd; umask");
    let lines: Vec<&str> = text.lines().collect();
    let ids: Vec<&str> = lines[0].split(' ').collect();
    assert_eq!(ids[0], ids[1], "group leader");
    assert_eq!(ids[0], ids[2], "session leader");
    assert_eq!(lines[1..], ["/", "0022"]);
}

#[test]
fn signals_are_unblocked_and_only_sigpipe_may_be_ignored() {
    let masks = |plan| {
        let text = run(plan, &[], "grep -E 'SigBlk|SigIgn' /proc/self/status");
        let masks = text.lines().map(|line| u64::from_str_radix(&line[8..], 16).unwrap());
        // 32 and 33 belong to the C library, which lets nobody touch them.
        masks.map(|mask| mask & !(0b11 << 31)).collect::<Vec<_>>()
    };
    assert_eq!(masks(SpawnPlan::default()), [0, 0]);
    let sigpipe = 1 << (libc::SIGPIPE - 1);
    assert_eq!(masks(SpawnPlan { ignore_sigpipe: true, ..SpawnPlan::default() }), [0, sigpipe]);
}

#[test]
fn nonblocking_is_set_and_cleared_for_sockets_only() {
    let script = "grep flags /proc/self/fdinfo/3 /proc/self/fdinfo/4 | awk '{print $2}'";
    let (a, _keep) = std::os::unix::net::UnixStream::pair().unwrap();
    let stored = std::os::unix::net::UnixStream::pair().unwrap().0;
    stored.set_nonblocking(true).unwrap();
    for (nonblocking, wanted) in [(Some(true), 0o4000), (Some(false), 0), (None, 0)] {
        let plan = SpawnPlan { listen_fds: 2, socket_fds: 1, nonblocking, ..SpawnPlan::default() };
        let text = run(plan, &[a.as_fd(), stored.as_fd()], script);
        let flags: Vec<u32> = text.lines().map(|line| u32::from_str_radix(line, 8).unwrap()).collect();
        assert_eq!(flags[0] & 0o4000, wanted, "{nonblocking:?}");
        assert_eq!(flags[1] & 0o4000, 0o4000, "the store keeps its flags");
    }
}

#[test]
fn a_socket_as_standard_input_is_blocking() {
    let (a, _keep) = std::os::unix::net::UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    let plan = SpawnPlan { stdin: Stdio::Fd(0), ..SpawnPlan::default() };
    let text = run(plan, &[a.as_fd()], "awk '/flags/ {print $2}' /proc/$$/fdinfo/0");
    assert_eq!(u32::from_str_radix(text.trim(), 8).unwrap() & 0o4000, 0);
}

#[test]
fn limits_mask_and_directory_are_as_planned() {
    let directory = tempfile::tempdir().unwrap();
    let path = CString::new(directory.path().to_str().unwrap()).unwrap();
    let plan = SpawnPlan {
        rlimits: vec![ResourceLimit { resource: libc::RLIMIT_NOFILE, soft: 77, hard: 99 }],
        umask: Some(0o077),
        working_directory: Some(WorkingDirectory { path: path.clone(), optional: false }),
        no_new_privileges: true,
        ..SpawnPlan::default()
    };
    let text = run(plan, &[], "ulimit -Sn; ulimit -Hn; umask; pwd; grep NoNewPrivs /proc/self/status");
    assert_eq!(text, format!("77\n99\n0077\n{}\nNoNewPrivs:\t1\n", path.to_str().unwrap()));
}

#[test]
fn a_missing_directory_may_be_optional() {
    let missing = |optional| WorkingDirectory { path: c"/no/such/directory".into(), optional };
    let plan = SpawnPlan { working_directory: Some(missing(true)), ..SpawnPlan::default() };
    assert_eq!(run(plan, &[], "pwd"), "/\n");
    let plan = SpawnPlan { working_directory: Some(missing(false)), ..true_plan() };
    assert_eq!(failure(plan), (SpawnStep::Chdir, libc::ENOENT));
}

#[test]
fn each_step_reports_its_own_failure() {
    let missing = SpawnPlan { path: c"/no/such/program".into(), ..true_plan() };
    assert_eq!(failure(missing), (SpawnStep::Exec, libc::ENOENT));
    let unknown = SpawnPlan { path: c"no-such-program".into(), ..true_plan() };
    assert_eq!(failure(unknown), (SpawnStep::Exec, libc::ENOENT));
    let directory = SpawnPlan { path: c"/etc".into(), ..true_plan() };
    assert_eq!(failure(directory), (SpawnStep::Exec, libc::EACCES));
    let limit = ResourceLimit { resource: 4711, soft: 1, hard: 1 };
    let bad_limit = SpawnPlan { rlimits: vec![limit], ..true_plan() };
    assert_eq!(failure(bad_limit), (SpawnStep::Limits, libc::EINVAL));
    let no_such_fd = SpawnPlan { stdin: Stdio::Fd(0), ..true_plan() };
    assert_eq!(failure(no_such_fd), (SpawnStep::Stdin, libc::EBADF));
    let too_many = SpawnPlan { fds: 1, ..true_plan() };
    assert_eq!(failure(too_many), (SpawnStep::Fds, libc::EBADF));
}

#[test]
fn a_bare_name_is_searched_past_what_cannot_run() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("true"), "not executable").unwrap();
    let first = CString::new(directory.path().to_str().unwrap()).unwrap();
    let search_path = vec![first.clone(), c"/no/such/directory".into(), c"/bin".into()];
    let plan = SpawnPlan { search_path, ..true_plan() };
    assert_eq!(wait(Spawner::new().unwrap().spawn(&plan, &[]).unwrap()), 0);
    let plan = SpawnPlan { search_path: vec![first], ..true_plan() };
    assert_eq!(failure(plan), (SpawnStep::Exec, libc::EACCES));
}

#[test]
fn becoming_another_user_works_as_root_and_is_refused_otherwise() {
    let credentials = Some(Credentials { uid: Some(65534), gid: 65533, groups: Some(vec![65532]) });
    let plan = SpawnPlan { credentials, ..SpawnPlan::default() };
    if crate::user::own_uid() == 0 {
        let text = run(plan, &[], "grep -E '^(Uid|Gid|Groups)' /proc/self/status");
        assert!(text.contains("Uid:\t65534\t65534\t65534\t65534"), "{text}");
        assert!(text.contains("Gid:\t65533\t65533\t65533\t65533"), "{text}");
        assert!(text.contains("Groups:\t65532"), "{text}");
    } else {
        let plan = SpawnPlan { path: c"true".into(), argv: vec![c"true".into()], ..plan };
        assert_eq!(failure(plan), (SpawnStep::Group, libc::EPERM));
    }
}

#[test]
fn exit_and_death_are_told_apart() {
    let mut spawner = Spawner::new().unwrap();
    let mut status = |script: &str| {
        let argv = vec![c"sh".into(), c"-c".into(), CString::new(script).unwrap()];
        let plan = SpawnPlan { path: c"/bin/sh".into(), argv, ..SpawnPlan::default() };
        wait(spawner.spawn(&plan, &[]).unwrap())
    };
    let exited = status("exit 42");
    assert!(libc::WIFEXITED(exited) && libc::WEXITSTATUS(exited) == 42);
    let killed = status("kill -TERM $$");
    assert!(libc::WIFSIGNALED(killed) && libc::WTERMSIG(killed) == libc::SIGTERM);
}

#[test]
fn a_start_that_fails_leaves_no_child_and_no_descriptor() {
    let mut spawner = Spawner::new().unwrap();
    let file: OwnedFd = tempfile::tempfile().unwrap().into();
    let plan = SpawnPlan { path: c"/no/such/program".into(), fds: 1, listen_fds: 1, ..true_plan() };
    for _ in 0..50 {
        assert_eq!(spawner.spawn(&plan, &[file.as_fd()]).unwrap_err().step, SpawnStep::Exec);
    }
    let children = fs::read_to_string(format!("/proc/self/task/{}/children", nix::unistd::gettid())).unwrap();
    assert_eq!(children.trim(), "", "a child was left behind");
}

#[test]
fn descriptors_that_are_kept_stay_open_here_and_out_of_the_child() {
    let kept: Vec<OwnedFd> = (0..20).map(|_| move_high(tempfile::tempfile().unwrap().into())).collect();
    assert!(kept.iter().all(|fd| fd.as_raw_fd() >= LOW_FDS));
    let file = tempfile::tempfile().unwrap();
    let plan = SpawnPlan { listen_fds: 1, ..SpawnPlan::default() };
    assert_eq!(run(plan, &[file.as_fd()], "ls /proc/$$/fd"), "0\n1\n2\n3\n");
    for fd in &kept {
        // SAFETY: plain numbers.
        assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
    }
}

#[test]
fn a_process_is_scheduled_as_its_plan_says() {
    let scheduling = Scheduling {
        oom_score_adjust: Some(321),
        nice: Some(7),
        policy: Some(CpuScheduling { policy: libc::SCHED_BATCH, priority: 0, reset_on_fork: false }),
        timer_slack: Some(70_000),
        ..Scheduling::default()
    };
    let plan = SpawnPlan {
        scheduling: Some(Box::new(scheduling)),
        keyring: Keyring::Private,
        ..SpawnPlan::default()
    };
    let script = "cat /proc/self/oom_score_adj /proc/self/timerslack_ns; nice; set -- $(sed 's/.*) //' /proc/self/stat); echo ${39}";
    assert_eq!(run(plan, &[], script), "321\n70000\n7\n3\n");
}

#[test]
fn a_processor_that_is_not_there_fails_the_start() {
    let scheduling = Scheduling { processors: Some(vec![0; 8]), ..Scheduling::default() };
    let plan = SpawnPlan { scheduling: Some(Box::new(scheduling)), ..true_plan() };
    assert_eq!(failure(plan), (SpawnStep::CpuAffinity, libc::EINVAL));
}

/// A plan with a filter of these rules.
fn filtered(rules: Vec<Rule>) -> SpawnPlan {
    let program = compile(&Filter::denying(rules)).unwrap();
    let filters = vec![(SpawnStep::Seccomp, program)];
    SpawnPlan {
        confinement: Some(Box::new(Confinement { filters, ..Confinement::default() })),
        ..SpawnPlan::default()
    }
}

/// The value of a line of `/proc/self/status`, as `sh` has it.
fn status(plan: SpawnPlan, name: &str) -> String {
    run(plan, &[], &format!("sed -n 's/^{name}:[[:space:]]*//p' /proc/self/status")).trim().to_owned()
}

#[test]
fn a_filter_refuses_kills_and_is_inherited() {
    let refused = Verdict::Errno(libc::EPERM as u16);
    let plan = filtered(vec![Rule::always("mkdir", refused), Rule::always("mkdirat", refused)]);
    let directory = tempfile::tempdir().unwrap();
    let script = format!("mkdir {}/a", directory.path().display());
    assert!(run(plan, &[], &script).contains("Operation not permitted"));
    assert_eq!(status(filtered(Vec::new()), "Seccomp"), "2");

    let mut plan = filtered(vec![Rule::always("execve", Verdict::Kill)]);
    plan.path = c"/bin/true".into();
    plan.argv = vec![c"true".into()];
    // The child dies in its last step, without a word: there was a process, and its end tells.
    let pid = Spawner::new().unwrap().spawn(&plan, &[]).unwrap();
    assert_eq!(wait(pid) & 0x7f, libc::SIGSYS);
}

#[test]
fn a_filter_that_the_kernel_refuses_fails_at_its_step() {
    let program = Program(Vec::new());
    let filters = vec![(SpawnStep::AddressFamilies, program)];
    let confinement = Some(Box::new(Confinement { filters, ..Confinement::default() }));
    assert_eq!(failure(SpawnPlan { confinement, ..true_plan() }), (SpawnStep::AddressFamilies, libc::EINVAL));
}

/// The rest needs root, as CI has it.
fn as_root() -> bool {
    // SAFETY: no arguments.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        eprintln!("not root: nothing to take away");
    }
    is_root
}

fn confined(confinement: Confinement, uid: Option<u32>) -> SpawnPlan {
    let credentials = uid.map(|uid| Credentials { uid: Some(uid), gid: uid, groups: Some(Vec::new()) });
    SpawnPlan { confinement: Some(Box::new(confinement)), credentials, ..SpawnPlan::default() }
}

#[test]
fn capabilities_are_bounded_and_kept_across_a_change_of_user() {
    if !as_root() {
        return;
    }
    let set = |bounding: u64, ambient: u64| Confinement {
        bounding_set: Some(bounding),
        ambient_set: ambient,
        ..Confinement::default()
    };
    let (chown_kill, kill) = (0b10_0001, 0b10_0000);
    let table = [
        (set(chown_kill, 0), None, [chown_kill, chown_kill, 0]),
        (set(chown_kill, 0), Some(65534), [chown_kill, 0, 0]),
        (set(chown_kill, kill), Some(65534), [chown_kill, kill, kill]),
        (set(chown_kill, kill), None, [chown_kill, chown_kill, kill]),
        (set(0, 0), None, [0, 0, 0]),
    ];
    for (confinement, uid, expected) in table {
        let plan = confined(confinement.clone(), uid);
        let found = ["CapBnd", "CapEff", "CapAmb"]
            .map(|name| u64::from_str_radix(&status(plan.clone(), name), 16).unwrap());
        assert_eq!(found, expected, "{confinement:?} {uid:?}");
    }
    let beyond = confined(set(chown_kill, 1 << 2), Some(65534));
    assert_eq!(failure(SpawnPlan { path: c"true".into(), ..beyond }).0, SpawnStep::Capabilities);
}

#[test]
fn whoever_is_not_root_gives_up_gaining_privileges_for_a_filter() {
    if !as_root() {
        return;
    }
    for (uid, expected) in [(None, "0"), (Some(65534), "1")] {
        let plan = SpawnPlan {
            credentials: confined(Confinement::default(), uid).credentials,
            ..filtered(Vec::new())
        };
        assert_eq!(status(plan, "NoNewPrivs"), expected);
    }
    let plan = confined(Confinement { secure_bits: 3, ..Confinement::default() }, Some(65534));
    assert_eq!(status(plan, "CapEff"), "0000000000000000");
    let noroot = confined(Confinement { secure_bits: 3, ..Confinement::default() }, None);
    assert_eq!(status(noroot, "CapEff"), "0000000000000000", "root is nobody with noroot");
}

/// A plan with a view of the file system.
fn viewed(mounts: Vec<Mount>, restrictions: Vec<Restriction>) -> SpawnPlan {
    let mounts = Some(MountPlan { root: None, mounts, restrictions, propagation: libc::MS_SHARED });
    isolated(Isolation { mounts, ..Isolation::default() })
}

fn isolated(isolation: Isolation) -> SpawnPlan {
    SpawnPlan { isolation: Some(Box::new(isolation)), ..SpawnPlan::default() }
}

fn c_path(path: &std::path::Path) -> CString {
    CString::new(path.to_str().unwrap()).unwrap()
}

const READ_ONLY: MountAttributes =
    MountAttributes { read_only: true, no_exec: false, no_suid: false, no_dev: false };

#[test]
fn a_place_is_restricted_except_for_some_below_it() {
    if !as_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    fs::create_dir_all(inner.join("closed")).unwrap();
    let restrict = |path: &std::path::Path, exceptions: Vec<CString>| Restriction {
        path: c_path(path),
        attributes: READ_ONLY,
        exceptions,
        optional: false,
    };
    let restrictions =
        vec![restrict(directory.path(), vec![c_path(&inner)]), restrict(&inner.join("closed"), Vec::new())];
    let script = format!("cd {}; touch a; touch inner/b; touch inner/closed/c", directory.path().display());
    let said = run(viewed(Vec::new(), restrictions), &[], &script);
    assert_eq!(said.matches("Read-only file system").count(), 2, "{said}");
    assert!(inner.join("b").exists());
    assert!(!directory.path().join("a").exists() && !inner.join("closed/c").exists());
}

#[test]
fn what_is_bound_is_taken_from_where_the_keeper_sees_it() {
    if !as_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "within").unwrap();
    let hidden = Mount {
        path: c_path(directory.path()),
        kind: MountKind::New { file_system: c"tmpfs".into(), options: Vec::new() },
        attributes: MountAttributes::default(),
        optional: false,
        makes_place: false,
    };
    let bind = |name: &str, source: &str, optional: bool| Mount {
        path: c_path(&directory.path().join(name)),
        kind: MountKind::Bind { source: c_path(&directory.path().join(source)), recursive: true },
        attributes: MountAttributes::default(),
        optional,
        makes_place: true,
    };
    let mounts = vec![hidden, bind("deep/er", "file", false), bind("none", "nosuch", true)];
    let script = format!("cd {}; ls; cat deep/er", directory.path().display());
    assert_eq!(run(viewed(mounts, Vec::new()), &[], &script), "deep\nwithin");
    let missing = SpawnPlan { path: c"true".into(), ..viewed(vec![bind("x", "nosuch", false)], Vec::new()) };
    assert_eq!(failure(missing), (SpawnStep::Namespace, libc::ENOENT));
}

#[test]
fn links_do_not_lead_out_of_another_root() {
    if !as_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    // The link means the first of these to whoever is in that root.
    fs::create_dir(root.join("outside")).unwrap();
    fs::create_dir(directory.path().join("outside")).unwrap();
    std::os::unix::fs::symlink("../../outside", root.join("etc/link")).unwrap();
    let bind = |path: &str, source: &str| Mount {
        path: CString::new(path).unwrap(),
        kind: MountKind::Bind { source: CString::new(source).unwrap(), recursive: true },
        attributes: MountAttributes::default(),
        optional: true,
        makes_place: true,
    };
    let mounts = ["/bin", "/lib", "/lib64", "/usr"].map(|path| bind(path, path)).to_vec();
    let inside = bind("/etc/link/made", "/usr");
    let plan = MountPlan {
        root: Some(c_path(&root)),
        mounts: [mounts, vec![inside]].concat(),
        restrictions: Vec::new(),
        propagation: libc::MS_PRIVATE,
    };
    let said =
        run(isolated(Isolation { mounts: Some(plan), ..Isolation::default() }), &[], "echo /*; ls /outside");
    assert_eq!(said, "/bin /etc /lib /lib64 /outside /usr\nmade\n");
    assert_eq!(fs::read_dir(directory.path().join("outside")).unwrap().count(), 0);
}

#[test]
fn a_namespace_of_users_has_root_and_one_more() {
    if !as_root() {
        return;
    }
    let with = |users: Users, uid: Option<u32>| SpawnPlan {
        credentials: confined(Confinement::default(), uid).credentials,
        ..isolated(Isolation { users: Some(users), host_name: true, ..Isolation::default() })
    };
    let script = "id -u; cat /proc/self/uid_map | tr -s ' '";
    assert_eq!(run(with(Users::Last, None), &[], script), "0\n 0 0 1\n");
    assert_eq!(run(with(Users::Last, Some(65534)), &[], script), "65534\n 0 0 1\n 65534 65534 1\n");
    assert_eq!(run(with(Users::First, None), &[], script), "0\n 0 0 1\n");
}

#[test]
fn a_network_of_ones_own_has_loopback() {
    if !as_root() {
        return;
    }
    let new = isolated(Isolation { network: Some(Namespace::New), ..Isolation::default() });
    let said = run(new, &[], "tail -n +3 /proc/net/dev | cut -d: -f1; cat /sys/class/net/lo/flags");
    assert!(said.trim_start().starts_with("lo\n"), "{said}");
    let at = isolated(Isolation { network: Some(Namespace::At(c"/nosuch".into())), ..Isolation::default() });
    assert_eq!(failure(SpawnPlan { path: c"true".into(), ..at }), (SpawnStep::Network, libc::ENOENT));
}
