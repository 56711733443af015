//! What a service has since its first start, beside its state: boxed, because most services of a machine are idle.

use serde::{Deserialize, Serialize};
use sockmgr_unit::value::{NotifyAccess, Span};

use super::ServiceResult;
use super::drain::Drain;
use super::ready::Check;
use crate::event::{ExecList, ExitStatus};
use crate::ids::{FdId, ProcessId, Time};

/// What a service has since its first start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    /// `$INVOCATION_ID` of this start.
    pub(crate) invocation: u128,
    /// The commands that have run, as they ended.
    pub(crate) commands: Vec<CommandRecord>,
    /// Descriptors that it has left with us, oldest first.
    pub(crate) store: Vec<StoredFd>,
    /// Processes that have ended, or ceased to be the main one, and whose own children still live.
    pub(crate) left: Vec<ProcessId>,
    /// The main process of a daemon, while which that is has been asked and not answered.
    pub(crate) sought: Option<ProcessId>,
    /// The main process was found, or is our own child; otherwise its children stand for it.
    pub(crate) is_main_known: bool,
    /// What it last said of itself.
    pub(crate) word: Word,
    /// `WATCHDOG_USEC=`: how often it wants to say that it is well.
    pub(crate) watchdog: Option<Span>,
    /// When it last did.
    pub(crate) watchdog_ping: Option<Time>,
    /// When that is too long ago.
    pub(crate) watchdog_due: Option<Time>,
    /// When to look for its PID file again.
    pub(crate) look_due: Option<Time>,
    /// `NOTIFYACCESS=`
    pub(crate) notify_access: Option<NotifyAccess>,
    /// `BUSERROR=`
    pub(crate) bus_error: Option<Box<str>>,
    /// It has its `BusName=`.
    pub(crate) owns_bus_name: bool,
    /// When the reload that is under way began.
    pub(crate) reload_begun: Option<Time>,
    /// How the last reload ended.
    pub(crate) reload_result: ServiceResult,
    /// Its processes are stopped for a moment (SIGSTOP), to see whether anybody uses it.
    pub(crate) is_frozen: bool,
    /// What is known of its readiness, while that is being found out.
    pub(super) check: Option<Check>,
    /// What is known of its queues, before it is told to stop.
    pub(super) drain: Option<Drain>,
    /// Restarts by itself since it last ran well for long (`RestartSteps=`).
    pub(crate) backoff: u32,
}

/// What a service says of itself, from the last notification that said any of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Word {
    /// Nothing yet.
    #[default]
    None,
    /// `READY=1`
    Ready,
    /// `RELOADING=1`
    Reloading,
    /// `STOPPING=1`
    Stopping,
}

/// A command that was run: the run-time half of `ExecStart` and its like on D-Bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Its list.
    pub list: ExecList,
    /// Its place in that.
    pub index: u16,
    /// Its process id.
    pub pid: u32,
    /// When it began.
    pub start: Time,
    /// When and how it ended.
    pub end: Option<(Time, ExitStatus)>,
}

/// A descriptor that a service has left with us (sd_pid_notify_with_fds(3)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFd {
    /// The descriptor.
    pub fd: FdId,
    /// Its name, for `LISTEN_FDNAMES`.
    pub name: Box<str>,
    /// It goes when its other end hangs up; not with `FDPOLL=0`.
    pub is_polled: bool,
}

impl Run {
    /// What remains for the next start: descriptors, what is left of the last one, and how often it came back.
    pub(super) fn begin(&mut self, invocation: u128) {
        let old = std::mem::take(self);
        *self = Self {
            invocation,
            store: old.store,
            left: old.left,
            backoff: old.backoff,
            owns_bus_name: old.owns_bus_name,
            ..Self::default()
        };
    }

    /// Notes the begin of a command; one that runs again replaces what was known of it.
    pub(super) fn note_begin(&mut self, list: ExecList, index: usize, pid: u32, start: Time) {
        let index = index as u16;
        self.commands.retain(|known| (known.list, known.index) != (list, index));
        self.commands.push(CommandRecord { list, index, pid, start, end: None });
    }

    /// Notes the end of a command; one that never ran has no pid.
    pub(super) fn note_end(&mut self, list: ExecList, index: usize, end: (Time, ExitStatus)) {
        let place = (list, index as u16);
        let known = self.commands.iter_mut().find(|known| (known.list, known.index) == place);
        if let Some(record) = known.filter(|record| record.end.is_none()) {
            record.end = Some(end);
        } else {
            self.note_begin(list, index, 0, end.0);
            self.commands.iter_mut().for_each(|known| {
                if (known.list, known.index) == place {
                    known.end = Some(end);
                }
            });
        }
    }
}
