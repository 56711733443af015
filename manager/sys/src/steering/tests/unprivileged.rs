//! What works for nobody.

use super::*;

/// Runs `test` on a thread of its own as nobody, without any capability.
fn as_nobody<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    const NOBODY: libc::c_long = 65534;
    let drop_and_run = || {
        // The system calls themselves: the functions of libc would take the rights from all threads.
        // SAFETY: plain numbers.
        let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
        assert_eq!(result, 0, "this test needs root");
        test()
    };
    std::thread::scope(|scope| scope.spawn(drop_and_run).join().unwrap())
}

#[test]
fn classic_programs_need_no_privilege() {
    as_nobody(|| {
        let (members, address) = group(SocketKind::Stream, "127.0.0.1:0", 4);
        attach(members[0].as_fd(), &compile(Steering::Hash, &[1, 3])).unwrap();
        assert_fair(&connections(&members, address, 400), &[1, 3], 400);
    });
}

#[test]
fn ebpf_programs_are_refused_as_not_permitted() {
    let setting = std::fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").unwrap();
    assert_ne!(setting.trim(), "0", "Debian's default is 2");
    let error = as_nobody(|| Extended::load(Steering::Hash, 4).unwrap_err());
    assert_eq!(error.errno(), libc::EPERM);
}

#[test]
fn nobody_may_use_what_root_has_loaded() {
    let extended = Extended::load(Steering::Hash, 2).unwrap();
    as_nobody(|| {
        let (members, address) = group(SocketKind::Stream, "127.0.0.1:0", 2);
        for (slot, member) in (0..).zip(&members) {
            extended.seat(slot, member.as_fd()).unwrap();
        }
        extended.turn(&Wheel::new(Steering::Hash, &shares(&[1])).unwrap()).unwrap();
        extended.attach(members[0].as_fd()).unwrap();
        assert_eq!(connections(&members, address, 20), [0, 20]);
    });
}
