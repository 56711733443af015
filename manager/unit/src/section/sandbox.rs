//! What the processes of a unit are kept from (systemd.exec(5), "Capabilities", "Security", "Sandboxing", "System Call
//! Filtering").

use crate::directive::section;
use crate::value::{
    AddressFamilies, AmbientSet, Architectures, BoundingSet, CAP_SYS_MODULE, CAP_SYS_TIME, CAP_SYSLOG,
    CAP_WAKE_ALARM, Namespaces, Refusal, SecureBits, SystemCallFilter, SystemCallLog,
};

section! {
    /// What the processes of a service, and those that a socket runs, are kept from.
    pub struct SandboxSection in (Service, Socket) {
        /// The capabilities that no process can get beyond.
        capability_bounding_set: BoundingSet = BoundingSet::default() => "CapabilityBoundingSet" {
            "CapabilityBoundingSet": "Capabilities that processes can have at most; ~: all but those; default: all";
        }
        /// The capabilities that processes of another user than root have.
        ambient_capabilities: AmbientSet = AmbientSet::default() => "AmbientCapabilities" {
            "AmbientCapabilities": "Capabilities that processes have although User= is not root; default: none";
        }
        /// `PR_SET_NO_NEW_PRIVS`; filters need it where there is no `CAP_SYS_ADMIN`.
        no_new_privileges: bool = false => "NoNewPrivileges" {
            "NoNewPrivileges": "Whether no process can get privileges by running a program, as by setuid bits; default no, but implied by filters for whoever is not root";
        }
        /// `PR_SET_SECUREBITS`
        secure_bits: SecureBits = SecureBits::default() => "SecureBits" {
            "SecureBits": "What being root means no longer: keep-caps, no-setuid-fixup, noroot, each also with -locked";
        }
        /// The system calls that may be made.
        system_call_filter: SystemCallFilter = SystemCallFilter::default() => "SystemCallFilter" {
            "SystemCallFilter": "System calls that are allowed: names and groups, such as @system-service; ~: that are forbidden; read:EPERM: fails so";
        }
        /// What becomes of the others.
        system_call_error_number: Refusal = Refusal::Kill => "SystemCallErrorNumber" {
            "SystemCallErrorNumber": "Error that a forbidden system call fails with, such as EPERM; default kill: the process is killed";
        }
        /// The instruction sets whose system calls may be made.
        system_call_architectures: Architectures = Architectures::default() => "SystemCallArchitectures" {
            "SystemCallArchitectures": "Instruction sets whose system calls are allowed, such as native; default: all that the machine has";
        }
        /// The system calls that are logged.
        system_call_log: SystemCallLog = SystemCallLog::default() => "SystemCallLog" {
            "SystemCallLog": "System calls that the kernel logs; ~: all but those";
        }
        /// The kinds of sockets that may be made.
        restrict_address_families: AddressFamilies = AddressFamilies::default() => "RestrictAddressFamilies" {
            "RestrictAddressFamilies": "Kinds of sockets that can be made: AF_UNIX, AF_INET and so on, or none; ~: that cannot; inherited sockets are not concerned";
        }
        /// The kinds of namespaces that may be made and entered.
        restrict_namespaces: Namespaces = Namespaces::default() => "RestrictNamespaces" {
            "RestrictNamespaces": "Whether namespaces cannot be made or entered, or those that can: cgroup ipc net mnt pid user uts; default no";
        }
        /// No memory is both written and run.
        memory_deny_write_execute: bool = false => "MemoryDenyWriteExecute" {
            "MemoryDenyWriteExecute": "Whether memory cannot be written and executed; default no";
        }
        /// personality(2) is forbidden.
        lock_personality: bool = false => "LockPersonality" {
            "LockPersonality": "Whether processes cannot change their execution domain (personality(2)); default no";
        }
        /// Real-time scheduling is forbidden.
        restrict_realtime: bool = false => "RestrictRealtime" {
            "RestrictRealtime": "Whether real-time scheduling cannot be had; default no";
        }
        /// Files cannot get setuid and setgid bits.
        restrict_suid_sgid: bool = false => "RestrictSUIDSGID" {
            "RestrictSUIDSGID": "Whether files cannot be given setuid or setgid bits; default no";
        }
        /// The clocks cannot be set.
        protect_clock: bool = false => "ProtectClock" {
            "ProtectClock": "Whether clocks cannot be set; default no";
        }
        /// Kernel modules cannot be loaded.
        protect_kernel_modules: bool = false => "ProtectKernelModules" {
            "ProtectKernelModules": "Whether kernel modules cannot be loaded; default no";
        }
        /// The kernel's log is out of reach.
        protect_kernel_logs: bool = false => "ProtectKernelLogs" {
            "ProtectKernelLogs": "Whether the kernel's log is out of reach; default no";
        }
    }
}

impl SandboxSection {
    /// What follows from one directive for another: capabilities that a protection would be undone by.
    pub(crate) fn resolve(&mut self) {
        if self.protect_clock {
            self.capability_bounding_set.remove(&[CAP_SYS_TIME, CAP_WAKE_ALARM]);
        }
        if self.protect_kernel_modules {
            self.capability_bounding_set.remove(&[CAP_SYS_MODULE]);
        }
        if self.protect_kernel_logs {
            self.capability_bounding_set.remove(&[CAP_SYSLOG]);
        }
    }
}
