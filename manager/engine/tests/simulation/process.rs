//! A simulated process: what it is, how it behaves, and what it does next.

use sockmgr_engine::{ExecList, ExitStatus, FdId};
use sockmgr_unit::UnitName;
use sockmgr_unit::value::ServiceType;

use crate::kernel::ClientId;
use crate::rng::Rng;

/// Never, as a moment.
pub(crate) const NEVER: u64 = u64::MAX;

/// What goes wrong with a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Temper {
    pub(crate) cannot_exec: bool,
    /// Never gets ready, or never ends where it should.
    pub(crate) hangs: bool,
    pub(crate) ignores_sigterm: bool,
    /// Ends badly after so many actions.
    pub(crate) crashes_after: Option<usize>,
    pub(crate) fails: bool,
    /// Accepts nobody any more after so many actions, and lives.
    pub(crate) deaf_after: Option<usize>,
}

impl Temper {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        Self {
            cannot_exec: rng.percent(5),
            hangs: rng.percent(5),
            ignores_sigterm: rng.percent(10),
            crashes_after: rng.percent(25).then(|| rng.below(8)),
            fails: rng.percent(10),
            deaf_after: rng.percent(20).then(|| rng.below(6)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Forked, before execve.
    Forked,
    /// On its way to readiness, or, if it is a command, to its end.
    Working,
    Serving,
    /// Got its signal, finishes what it has.
    Leaving,
    Ended(ExitStatus),
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) unit: UnitName,
    pub(crate) list: ExecList,
    pub(crate) service: ServiceType,
    pub(crate) pid: u32,
    pub(crate) listeners: Vec<FdId>,
    /// The connection that it was started for.
    pub(crate) connection: Option<ClientId>,
    pub(crate) accepted: Vec<ClientId>,
    pub(crate) temper: Temper,
    pub(crate) phase: Phase,
    /// SIGSTOP
    pub(crate) is_stopped: bool,
    /// It pats its watchdog, unless it is deaf.
    pub(crate) is_watched: bool,
    /// What it has yet to say of a reload.
    pub(crate) word: Option<Word>,
    /// When it does something by itself.
    pub(crate) next: u64,
}

/// What a process says of a reload that it was told to do by signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Begins,
    IsDone,
}

/// What a process does of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    ExecFails,
    Execs,
    SaysReady,
    SaysReloading,
    PatsWatchdog,
    TakesBusName,
    Accepts,
    Serves,
    Exits(ExitStatus),
    Nothing,
}

impl Process {
    /// It could be in accept(2) on this listener.
    pub(crate) fn may_accept(&self, fd: FdId) -> bool {
        self.phase == Phase::Serving && !self.is_stopped && self.listeners.contains(&fd)
    }

    pub(crate) fn is_main(&self) -> bool {
        self.list == ExecList::Start
    }

    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Ended(_))
    }

    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.next <= now && !self.is_stopped
    }

    fn is_server(&self) -> bool {
        self.is_main() && !matches!(self.service, ServiceType::Oneshot | ServiceType::Forking)
    }

    fn says_ready(&self) -> bool {
        matches!(self.service, ServiceType::Notify | ServiceType::NotifyReload)
    }

    /// Decides what it does now; the world makes it so and sets `next`.
    pub(crate) fn act(&mut self) -> Deed {
        match self.phase {
            Phase::Forked if self.temper.cannot_exec => Deed::ExecFails,
            Phase::Forked => Deed::Execs,
            Phase::Working if self.temper.hangs => Deed::Nothing,
            Phase::Working if self.is_server() && self.says_ready() => Deed::SaysReady,
            Phase::Working if self.is_server() && self.service == ServiceType::Dbus => Deed::TakesBusName,
            Phase::Working => Deed::Exits(ExitStatus::Exited(i32::from(self.temper.fails))),
            Phase::Serving => self.serve(),
            Phase::Leaving => Deed::Exits(ExitStatus::Exited(0)),
            Phase::Ended(_) => Deed::Nothing,
        }
    }

    fn serve(&mut self) -> Deed {
        match &mut self.temper.crashes_after {
            Some(0) => return Deed::Exits(ExitStatus::Killed(11)),
            Some(left) => *left -= 1,
            None => {}
        }
        let is_deaf = match &mut self.temper.deaf_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if let Some(word) = self.word.take() {
            return match word {
                Word::Begins => {
                    self.word = Some(Word::IsDone).filter(|_| !is_deaf);
                    Deed::SaysReloading
                }
                Word::IsDone => Deed::SaysReady,
            };
        }
        if !self.accepted.is_empty() {
            Deed::Serves
        } else if self.connection.is_some() {
            Deed::Exits(ExitStatus::Exited(0))
        } else if is_deaf {
            Deed::Nothing
        } else if self.is_watched {
            Deed::PatsWatchdog
        } else {
            Deed::Accepts
        }
    }

    /// The program runs.
    pub(crate) fn execed(&mut self) {
        let serves_at_once = self.is_server() && !self.says_ready() && self.service != ServiceType::Dbus;
        self.phase = if serves_at_once { Phase::Serving } else { Phase::Working };
        if let Some(client) = self.connection {
            self.accepted.push(client);
        }
    }

    /// A signal; true when it kills.
    pub(crate) fn signalled(&mut self, signal: i32, leaves_at: u64) -> bool {
        let heeds = matches!(signal, 2 | 15) && !self.temper.ignores_sigterm;
        match self.phase {
            Phase::Ended(_) => false,
            Phase::Serving if signal == 1 && self.service == ServiceType::NotifyReload => {
                (self.word, self.next) = (Some(Word::Begins), leaves_at);
                false
            }
            _ if matches!(signal, 6 | 9) => true,
            Phase::Forked if heeds => true,
            Phase::Working | Phase::Serving if heeds => {
                (self.phase, self.next) = (Phase::Leaving, leaves_at);
                false
            }
            Phase::Forked | Phase::Working | Phase::Serving | Phase::Leaving => false,
        }
    }
}
