//! Values that are one of a few words. Case matters, as everywhere in systemd but in booleans.
//!
//! Never here: what a choice does.
//! Invariant: the words are listed once, for reading, printing and the help.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ValueError, parse_bool, parse_u32};
use crate::directive::{Context, Property, Scalar};

/// Declares an enumeration with the word of each value; `unsupported` lists words that systemd knows and sockmgr does not.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident = $form:literal {
            $( $(#[$doc:meta])* $variant:ident = $word:literal, )+
        }
        $(unsupported $($other:literal)+)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $( $(#[$doc])* $variant, )+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The words, to complete the sentence "takes …".
            pub const WORDS: &'static str = $form;

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The value of a word.
            ///
            /// # Errors
            /// There is no such word.
            pub fn parse(text: &str) -> Result<Self, ValueError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    $($($other)|+ => Err(ValueError::Unsupported(text.to_owned())),)?
                    _ => Err(ValueError::invalid(text, "an accepted word")),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(super) use choice;

/// Makes a choice a [`Scalar`] whose text is read as it is.
macro_rules! plain_scalar {
    ($($name:ident)+) => {
        $(impl Scalar for $name {
            const FORM: &'static str = Self::WORDS;
            const SIGNATURE: &'static str = "s";

            fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
                Self::parse(text)
            }

            fn property(&self) -> Property {
                Property::Str(self.as_str().to_owned())
            }
        })+
    };
}

choice! {
    /// When a service counts as started (systemd.service(5), `Type=`).
    pub enum ServiceType = "one of simple, exec, forking, oneshot, dbus, notify, notify-reload, idle" {
        /// Once it is forked.
        Simple = "simple",
        /// Once its program runs.
        Exec = "exec",
        /// Once the process that was started has ended and left another.
        Forking = "forking",
        /// Once it has ended.
        Oneshot = "oneshot",
        /// Once it has its name on the message bus.
        Dbus = "dbus",
        /// Once it says `READY=1`.
        Notify = "notify",
        /// As `notify`; a signal makes it reload, and it says when it has.
        NotifyReload = "notify-reload",
        /// As `simple`, but forked only when no job is under way.
        Idle = "idle",
    }
}

impl ServiceType {
    /// It says `READY=1`.
    pub fn notifies(self) -> bool {
        matches!(self, Self::Notify | Self::NotifyReload)
    }
}

choice! {
    /// Which log output goes to (systemd.exec(5), `StandardOutput=`).
    pub enum LogTarget = "one of journal, journal+console, kmsg, kmsg+console" {
        /// The journal where it runs, else the manager's own log.
        Journal = "journal",
        /// That, and where the manager itself is seen.
        JournalConsole = "journal+console",
        /// That, and the kernel's log.
        Kmsg = "kmsg",
        /// All of them.
        KmsgConsole = "kmsg+console",
    }
}

impl LogTarget {
    /// The kernel's log gets it too.
    pub fn includes_kernel(self) -> bool {
        matches!(self, Self::Kmsg | Self::KmsgConsole)
    }

    /// It is seen where the manager is.
    pub fn includes_console(self) -> bool {
        matches!(self, Self::JournalConsole | Self::KmsgConsole)
    }
}

choice! {
    /// What happens when somebody else has the terminal (systemd.exec(5), `StandardInput=`).
    pub enum TerminalMode = "one of tty, tty-force, tty-fail" {
        /// It is asked for, and not taken away.
        Ask = "tty",
        /// It is taken away.
        Force = "tty-force",
        /// The start fails.
        Fail = "tty-fail",
    }
}

choice! {
    /// What a request does with other jobs and with the units that it depends on (systemctl(1), `--job-mode=`).
    pub enum JobMode = "one of replace, fail, replace-irreversibly, isolate, flush, ignore-dependencies, ignore-requirements" {
        /// A job that is in the way gives way.
        Replace = "replace",
        /// A job that is in the way makes the request fail.
        Fail = "fail",
        /// As `replace`; and none takes the place of these jobs.
        ReplaceIrreversibly = "replace-irreversibly",
        /// Everything else is stopped.
        Isolate = "isolate",
        /// All other jobs are taken back.
        Flush = "flush",
        /// Only the named unit, in no order.
        IgnoreDependencies = "ignore-dependencies",
        /// Only the named unit, in its order.
        IgnoreRequirements = "ignore-requirements",
        /// A stop also stops what would start the unit again.
        Triggering = "triggering",
    }
    unsupported "restart-dependencies"
}

choice! {
    /// How a start or a stop that takes too long is ended (systemd.service(5), `TimeoutStartFailureMode=`).
    pub enum FailureMode = "one of terminate, abort, kill" {
        /// By the signal of a stop.
        Terminate = "terminate",
        /// By the signal of the watchdog.
        Abort = "abort",
        /// By SIGKILL.
        Kill = "kill",
    }
}

choice! {
    /// How long the descriptors that a service has left are kept (systemd.service(5), `FileDescriptorStorePreserve=`).
    pub enum FdStorePreserve = "one of no, restart, yes" {
        /// Until the service ends, also to be started again.
        No = "no",
        /// Until it is down and nothing is about to start it.
        Restart = "restart",
        /// For as long as the unit is there.
        Yes = "yes",
    }
}

choice! {
    /// After which end a service is started again by itself (systemd.service(5), `Restart=`).
    pub enum Restart = "one of no, on-success, on-failure, on-abnormal, on-watchdog, on-abort, always" {
        /// None.
        No = "no",
        /// A clean exit code or signal.
        OnSuccess = "on-success",
        /// Anything but a clean exit.
        OnFailure = "on-failure",
        /// An unclean signal, a timeout or the watchdog.
        OnAbnormal = "on-abnormal",
        /// The watchdog.
        OnWatchdog = "on-watchdog",
        /// An unclean signal.
        OnAbort = "on-abort",
        /// Any.
        Always = "always",
    }
}

choice! {
    /// How a service is restarted on request.
    pub enum RestartMode = "one of overlap, rolling, stop-first" {
        /// The next process is started beside the one that runs, which is stopped once the other is ready.
        Overlap = "overlap",
        /// One instance after the other: no new connections, what is queued is served, stop, start.
        Rolling = "rolling",
        /// Stopped, then started; all instances of a group at once.
        StopFirst = "stop-first",
    }
    unsupported "normal" "direct"
}

choice! {
    /// What happens to the machine when a limit is hit (systemd.unit(5), `StartLimitAction=`).
    pub enum EmergencyAction = "none" {
        /// Nothing.
        None = "none",
    }
    unsupported "reboot" "reboot-force" "reboot-immediate" "poweroff" "poweroff-force" "poweroff-immediate" "exit" "exit-force" "soft-reboot" "soft-reboot-force" "kexec" "kexec-force" "halt" "halt-force" "halt-immediate"
}

choice! {
    /// Whose notifications are heard (systemd.service(5), `NotifyAccess=`).
    pub enum NotifyAccess = "one of none, main, exec, all" {
        /// Nobody's.
        None = "none",
        /// The main process's.
        Main = "main",
        /// The main process's and those of the other commands of the unit.
        Exec = "exec",
        /// All processes' of the unit.
        All = "all",
    }
}

choice! {
    /// Which processes a stop signals (systemd.kill(5), `KillMode=`).
    pub enum KillMode = "one of control-group, mixed, process, none" {
        /// All of the unit.
        ControlGroup = "control-group",
        /// The main one; SIGKILL then goes to all.
        Mixed = "mixed",
        /// The main one only.
        Process = "process",
        /// None: only `ExecStop=` is run.
        None = "none",
    }
}

choice! {
    /// Whether an IPv6 socket takes IPv4 connections (systemd.socket(5), `BindIPv6Only=`).
    pub enum BindIpv6Only = "one of default, both, ipv6-only" {
        /// As /proc/sys/net/ipv6/bindv6only says.
        Default = "default",
        /// It does.
        Both = "both",
        /// It does not.
        Ipv6Only = "ipv6-only",
    }
}

choice! {
    /// What the instances of a group listen on.
    pub enum Distribute = "one of instance, shared" {
        /// Each on a listener of its own.
        Instance = "instance",
        /// All on the same.
        Shared = "shared",
    }
}

choice! {
    /// How a connection finds its listener within a group.
    pub enum Steering = "one of hash, random, cpu, weighted" {
        /// By addresses and ports: a flow stays where it is.
        Hash = "hash",
        /// At random.
        Random = "random",
        /// By the processor that received it.
        Cpu = "cpu",
        /// As hash, in proportion to `InstanceWeight=`.
        Weighted = "weighted",
    }
}

choice! {
    /// Which make of steering program groups get.
    pub enum SteeringMake = "one of auto, classic" {
        /// eBPF where the kernel lets us, else classic BPF.
        Auto = "auto",
        /// Classic BPF, which needs no privilege.
        Classic = "classic",
    }
}

choice! {
    /// What is done about an instance that accepts nobody.
    pub enum OnHang = "one of steer, restart" {
        /// It gets no new connections until it accepts again.
        Steer = "steer",
        /// The same, and it is ended by the watchdog's signal and started again.
        Restart = "restart",
    }
}

choice! {
    /// What makes a group grow and shrink by itself.
    pub enum ScaleOn = "one of no, queue" {
        /// Nothing.
        No = "no",
        /// What waits to be accepted.
        Queue = "queue",
    }
}

choice! {
    /// What becomes of a socket whose limit is hit.
    pub enum LimitAction = "one of pause, fail" {
        /// It pauses until the limit's window is over.
        Pause = "pause",
        /// It fails, and stays so until somebody starts it.
        Fail = "fail",
    }
}

choice! {
    /// How long a service's directories below `/run` stay (systemd.exec(5), `RuntimeDirectoryPreserve=`).
    pub enum PreserveMode = "one of no, restart, yes" {
        /// Until it is down.
        No = "no",
        /// Until it is down and nothing is about to start it.
        Restart = "restart",
        /// For good.
        Yes = "yes",
    }
}

impl PreserveMode {
    /// Whether they stay when the service is down, and perhaps about to start again.
    pub fn keeps(self, restarts: bool) -> bool {
        match self {
            Self::No => false,
            Self::Restart => restarts,
            Self::Yes => true,
        }
    }
}

/// A boolean is accepted too.
impl Scalar for PreserveMode {
    const FORM: &'static str = Self::WORDS;
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        match parse_bool(text) {
            Ok(true) => Ok(Self::Yes),
            Ok(false) => Ok(Self::No),
            Err(_) => Self::parse(text),
        }
    }

    fn property(&self) -> Property {
        Property::Str(self.as_str().to_owned())
    }
}

choice! {
    /// Which session keyring the processes have (systemd.exec(5), `KeyringMode=`).
    pub enum KeyringMode = "one of inherit, private, shared" {
        /// The manager's.
        Inherit = "inherit",
        /// A new one.
        Private = "private",
        /// A new one, with a link to that of the user.
        Shared = "shared",
    }
}

choice! {
    /// Which parts of the system are read-only (systemd.exec(5), `ProtectSystem=`).
    pub enum ProtectSystem = "a boolean, full or strict" {
        /// None.
        No = "no",
        /// Programs and boot loader.
        Yes = "yes",
        /// `/etc` too.
        Full = "full",
        /// Everything but devices, kernel file systems and homes.
        Strict = "strict",
    }
}

choice! {
    /// What homes are to processes (systemd.exec(5), `ProtectHome=`).
    pub enum ProtectHome = "a boolean, read-only or tmpfs" {
        /// As they are.
        No = "no",
        /// Out of reach.
        Yes = "yes",
        /// Not to be written.
        ReadOnly = "read-only",
        /// Empty.
        Tmpfs = "tmpfs",
    }
}

choice! {
    /// Which processes are seen in `/proc` (proc(5), `hidepid`).
    pub enum ProtectProc = "one of noaccess, invisible, ptraceable, default" {
        /// As the machine has it.
        Default = "default",
        /// What others' processes do is not.
        NoAccess = "noaccess",
        /// Others' processes are not.
        Invisible = "invisible",
        /// Only those are that may be traced.
        Ptraceable = "ptraceable",
    }
}

choice! {
    /// What else is in `/proc` (proc(5), `subset`).
    pub enum ProcSubset = "one of all, pid" {
        /// Everything.
        All = "all",
        /// Nothing but processes.
        Pid = "pid",
    }
}

/// A boolean is accepted too.
macro_rules! boolean_or_word {
    ($($name:ident)+) => {
        $(impl Scalar for $name {
            const FORM: &'static str = Self::WORDS;
            const SIGNATURE: &'static str = "s";

            fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
                match parse_bool(text) {
                    Ok(true) => Ok(Self::Yes),
                    Ok(false) => Ok(Self::No),
                    Err(_) => Self::parse(text),
                }
            }

            fn property(&self) -> Property {
                Property::Str(self.as_str().to_owned())
            }
        })+
    };
}

boolean_or_word! { FdStorePreserve ProtectHome ProtectSystem }

plain_scalar! {
    ServiceType JobMode EmergencyAction FailureMode Restart RestartMode NotifyAccess Distribute Steering SteeringMake OnHang ScaleOn LimitAction
    LogTarget TerminalMode
    KeyringMode
    ProcSubset ProtectProc
}

impl Scalar for KillMode {
    const FORM: &'static str = Self::WORDS;
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let mode = Self::parse(text)?;
        if mode == Self::None {
            let remark = "leaves processes behind when the unit stops; mixed or control-group do not";
            cx.warn(ValueError::Remark { text: text.to_owned(), remark });
        }
        Ok(mode)
    }

    fn property(&self) -> Property {
        Property::Str(self.as_str().to_owned())
    }
}

/// A boolean is accepted too, as older units have it: yes is `ipv6-only`, no is `both`.
impl Scalar for BindIpv6Only {
    const FORM: &'static str = Self::WORDS;
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        match parse_bool(text) {
            Ok(true) => Ok(Self::Ipv6Only),
            Ok(false) => Ok(Self::Both),
            Err(_) => Self::parse(text),
        }
    }

    fn property(&self) -> Property {
        Property::Str(self.as_str().to_owned())
    }
}

/// How many instances a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Instances {
    /// So many: 1 to [`Instances::MAX`].
    Count(u32),
    /// One per processor that the manager may use.
    Auto,
}

const INSTANCES: &str = "a number of instances from 1 to 256, or auto";

impl Instances {
    /// The largest group: steering tells no more slots apart.
    pub const MAX: u32 = 256;

    /// The number, where it does not depend on the machine.
    pub fn count(self) -> Option<u32> {
        match self {
            Self::Count(count) => Some(count),
            Self::Auto => None,
        }
    }

    /// The number on a machine with `processors` processors.
    pub fn resolve(self, processors: usize) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Auto => u32::try_from(processors).unwrap_or(Self::MAX).clamp(1, Self::MAX),
        }
    }

    /// Reads a number or `auto`.
    ///
    /// # Errors
    /// It is neither, or not within 1 to [`Instances::MAX`].
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let range = || ValueError::range(text, "a group has 1 to 256 instances");
        match parse_u32(text) {
            Ok(count @ 1..=Self::MAX) => Ok(Self::Count(count)),
            Ok(_) | Err(ValueError::Range { .. }) => Err(range()),
            Err(_) => Err(ValueError::invalid(text, "a number of instances")),
        }
    }
}

/// The fewest instances that a group may be brought to: as [`Instances`], or 0, which is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FewestInstances(pub Instances);

const FEWEST: &str = "a number of instances from 0 to 256, or auto";

impl FewestInstances {
    /// None at all.
    pub const NONE: Self = Self(Instances::Count(0));

    /// Reads `0`, a number or `auto`.
    ///
    /// # Errors
    /// As [`Instances::parse`].
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text == "0" { Ok(Self::NONE) } else { Instances::parse(text).map(Self) }
    }
}

impl Scalar for FewestInstances {
    const FORM: &'static str = FEWEST;
    const SIGNATURE: &'static str = <Instances as Scalar>::SIGNATURE;

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        Self::parse(text)
    }

    fn property(&self) -> Property {
        self.0.property()
    }
}

impl fmt::Display for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Auto => f.pad("auto"),
        }
    }
}

impl Scalar for Instances {
    const FORM: &'static str = INSTANCES;
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, _: &Context<'_>) -> Result<Self, ValueError> {
        Self::parse(text)
    }

    fn property(&self) -> Property {
        Property::Str(self.to_string())
    }
}
