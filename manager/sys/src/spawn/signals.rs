//! Signal masks and actions around the clone.

use std::mem::MaybeUninit;
use std::ptr;

/// Highest signal number of Linux.
const LAST_SIGNAL: i32 = 64;

/// The signals this process ignores because whoever started it did. `SIGPIPE` is not among them: every Rust program
/// ignores it, and each plan says what it is to be.
pub(super) fn ignored() -> Vec<i32> {
    (1..=LAST_SIGNAL).filter(|signal| *signal != libc::SIGPIPE && is_ignored(*signal)).collect()
}

fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action the call only fills in `action`.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed is a valid action, and the call has written one if it succeeded.
    result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Sets a signal's action to `SIG_DFL` or `SIG_IGN`. May be called between clone and exec.
pub(super) fn set_action(signal: i32, disposition: libc::sighandler_t) -> bool {
    // SAFETY: all-zero is a valid action: no flags, no blocked signals.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = disposition;
    // SAFETY: neither disposition runs code of ours; `action` outlives the call.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) == 0 }
}

/// Unblocks every signal. May be called between clone and exec.
pub(super) fn unblock_all() -> bool {
    let mut none = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `none` is a signal set that outlives both calls.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) == 0
    }
}

/// While this lives, the thread has every signal blocked: no code of a signal runs in a child that shares our memory.
pub(super) struct AllBlocked {
    before: libc::sigset_t,
}

impl AllBlocked {
    pub(super) fn new() -> Self {
        let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: both sets outlive the calls; blocking cannot fail with valid arguments.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self { before: before.assume_init() }
        }
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        // SAFETY: `before` is the mask the thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}
