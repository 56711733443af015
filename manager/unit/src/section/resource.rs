//! What the processes of a unit may use, and how the kernel schedules them (systemd.exec(5), "Process Properties", "Scheduling").

use crate::directive::{Property, section};
use crate::value::{
    CoredumpFilter, CpuAffinity, CpuPolicy, CpuPriority, IoClass, IoPriority, KeyringMode, Limits, Mode,
    Niceness, NumaPolicy, NumberSet, OomScoreAdjust, Personality, TimerSlack,
};

section! {
    /// What the processes of a service, and those that a socket runs, may use, and how they are scheduled.
    pub struct ResourceSection in (Service, Socket) {
        /// Limits of setrlimit(2).
        limits: Limits = Limits::default() => - {
            "LimitCPU": "Processor time, in seconds without unit; then SIGXCPU";
            "LimitFSIZE": "Size of a file that is written";
            "LimitDATA": "Size of the data segment";
            "LimitSTACK": "Size of the stack";
            "LimitCORE": "Size of a core dump";
            "LimitRSS": "Resident memory; Linux ignores it";
            "LimitNOFILE": "Open files";
            "LimitAS": "Address space";
            "LimitNPROC": "Processes of the user";
            "LimitMEMLOCK": "Memory that is locked";
            "LimitLOCKS": "File locks; Linux ignores it";
            "LimitSIGPENDING": "Signals queued for the user";
            "LimitMSGQUEUE": "Bytes in POSIX message queues of the user";
            "LimitNICE": "How nice the process may make itself: +n or -n as a nice value, or 0 to 40";
            "LimitRTPRIO": "Real-time priority that it may give itself";
            "LimitRTTIME": "Processor time at a real-time priority without a pause, in microseconds without unit";
        }
        /// The file mode creation mask.
        umask: Mode = Mode(0o022) => "UMask" {
            "UMask": "Permissions that new files do not get, in octal; default 0022";
        }
        /// Which kinds of memory a core dump has.
        coredump_filter: Option<CoredumpFilter> = None => "CoredumpFilter" {
            "CoredumpFilter": "Kinds of memory that a core dump has; default: the manager's";
        }
        /// The session keyring (keyrings(7)); `None`: private for the system, inherited for users.
        keyring_mode: Option<KeyringMode> = None => "KeyringMode" {
            "KeyringMode": "The session keyring: private (default of the system), shared (linked with the user's), inherit (default of users)";
        }
        /// How gladly the kernel kills it.
        oom_score_adjust: Option<OomScoreAdjust> = None => "OOMScoreAdjust" {
            "OOMScoreAdjust": "How gladly the kernel kills the process when memory runs out, from -1000 (never) to 1000; default: as the manager";
        }
        /// How late timers may be.
        timer_slack: Option<TimerSlack> = None => "TimerSlackNSec" {
            "TimerSlackNSec": "How late timers may be, in nanoseconds without unit; default: as the manager";
        }
        /// For which machine uname(2) says that this is one.
        personality: Option<Personality> = None => "Personality" {
            "Personality": "The architecture that uname(2) reports: the machine's own or its 32-bit one";
        }
        /// Whether SIGPIPE is ignored.
        ignore_sigpipe: bool = true => "IgnoreSIGPIPE" {
            "IgnoreSIGPIPE": "Whether SIGPIPE is ignored; default yes";
        }
        /// The nice value.
        nice: Option<Niceness> = None => "Nice" {
            "Nice": "Nice value from -20 (most processor time) to 19; default: as the manager";
        }
        /// How the processor is shared.
        cpu_scheduling_policy: Option<CpuPolicy> = None => "CPUSchedulingPolicy" {
            "CPUSchedulingPolicy": "How the processor is shared: other, batch, idle, fifo, rr; default: as the manager";
        }
        /// The priority of a real-time policy.
        cpu_scheduling_priority: Option<CpuPriority> = None => ("CPUSchedulingPriority" by effective_cpu_priority) {
            "CPUSchedulingPriority": "Priority of the policies fifo and rr, from 1 (last) to 99";
        }
        /// Whether what the process starts has the usual policy again.
        cpu_scheduling_reset_on_fork: bool = false => "CPUSchedulingResetOnFork" {
            "CPUSchedulingResetOnFork": "Whether processes that it starts have the usual policy again; default no";
        }
        /// On which processors it runs.
        cpu_affinity: CpuAffinity = CpuAffinity::default() => "CPUAffinity" {
            "CPUAffinity": "Processors to run on, such as 0-3,8; numa: those of NUMAMask=; instance: each instance of a group on its own; lines add up";
        }
        /// Which nodes memory comes from.
        numa_policy: Option<NumaPolicy> = None => "NUMAPolicy" {
            "NUMAPolicy": "Which nodes memory comes from: default, preferred, bind, interleave, local";
        }
        /// The nodes of `NUMAPolicy=`.
        numa_mask: NumberSet = NumberSet::default() => "NUMAMask" {
            "NUMAMask": "The nodes of NUMAPolicy=, such as 0-1, or all; lines add up";
        }
        /// How the disk is shared.
        io_scheduling_class: Option<IoClass> = None => ("IOSchedulingClass" by effective_io_class) {
            "IOSchedulingClass": "How the disk is shared: realtime, best-effort, idle, none; default: as the manager";
        }
        /// The priority within the class.
        io_scheduling_priority: Option<IoPriority> = None => ("IOSchedulingPriority" by effective_io_priority) {
            "IOSchedulingPriority": "Priority within the class, from 0 (first) to 7; default 4";
        }
    }
}

/// The priority of the class best-effort where nothing is said (ioprio_set(2)).
const IO_PRIORITY: IoPriority = IoPriority(4);

impl ResourceSection {
    /// The priority as the policy allows it: 1 at least with a real-time one, 0 with the others (sched(7)).
    pub fn effective_cpu_priority(&self) -> Option<CpuPriority> {
        match (self.cpu_scheduling_policy, self.cpu_scheduling_priority) {
            (Some(policy), given) if policy.is_real_time() => {
                Some(CpuPriority(given.map_or(1, |CpuPriority(priority)| priority.max(1))))
            }
            (Some(_), _) => Some(CpuPriority(0)),
            (None, given) => given,
        }
    }

    /// The class, if anything about the disk was said; none means best effort.
    pub fn effective_io_class(&self) -> Option<IoClass> {
        match (self.io_scheduling_class, self.io_scheduling_priority) {
            (None, None) => None,
            (None | Some(IoClass::None), _) => Some(IoClass::BestEffort),
            (Some(class), _) => Some(class),
        }
    }

    /// The priority, if anything about the disk was said.
    pub fn effective_io_priority(&self) -> Option<IoPriority> {
        match (self.io_scheduling_class, self.io_scheduling_priority) {
            (None, None) => None,
            (Some(IoClass::None), _) | (Some(_), None) => Some(IO_PRIORITY),
            (_, given) => given,
        }
    }

    /// The properties that the table cannot tell: limits are one field, and where processors come from is told apart.
    pub(crate) fn more_properties(&self) -> impl Iterator<Item = (&'static str, Property)> {
        let from_numa = self.cpu_affinity == CpuAffinity::Numa;
        self.limits.properties().chain([("CPUAffinityFromNUMA", Property::Bool(from_numa))])
    }
}
