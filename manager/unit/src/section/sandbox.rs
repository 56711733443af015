//! What the processes of a unit are kept from (systemd.exec(5), "Capabilities", "Security", "Sandboxing", "System Call
//! Filtering").

use crate::directive::section;
use crate::value::{
    AbsolutePath, AddressFamilies, AmbientSet, Architectures, BindList, BoundingSet, CAP_MKNOD,
    CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_TIME, CAP_SYSLOG, CAP_WAKE_ALARM, Namespaces, PathList,
    ProcSubset, Propagation, ProtectHome, ProtectProc, ProtectSystem, Refusal, RootDirectory, SecureBits,
    SystemCallFilter, SystemCallLog, TemporaryFileSystems,
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
        /// No devices of the machine are there.
        private_devices: bool = false => "PrivateDevices" {
            "PrivateDevices": "Whether /dev has null, zero, random and the like only; default no";
        }
        /// The host name cannot be changed.
        protect_hostname: bool = false => "ProtectHostname" {
            "ProtectHostname": "Whether the host name cannot be changed, and changes of it are not seen; default no";
        }
        /// What the kernel lets set is read-only.
        protect_kernel_tunables: bool = false => "ProtectKernelTunables" {
            "ProtectKernelTunables": "Whether /proc/sys, /sys and the like are read-only; default no";
        }
        /// Control groups are read-only.
        protect_control_groups: bool = false => "ProtectControlGroups" {
            "ProtectControlGroups": "Whether control groups are read-only; default no";
        }
        /// Which parts of the system are read-only.
        protect_system: ProtectSystem = ProtectSystem::No => "ProtectSystem" {
            "ProtectSystem": "What is read-only: yes (/usr, /boot), full (/etc too), strict (all but /dev, /proc, /sys and homes); default no";
        }
        /// What homes are.
        protect_home: ProtectHome = ProtectHome::No => "ProtectHome" {
            "ProtectHome": "Whether /home, /root and /run/user are out of reach, or read-only, or empty (tmpfs); default no";
        }
        /// Which processes are seen.
        protect_proc: ProtectProc = ProtectProc::Default => "ProtectProc" {
            "ProtectProc": "What /proc hides of processes of others: noaccess, invisible, ptraceable; default: default";
        }
        /// What else is in `/proc`.
        proc_subset: ProcSubset = ProcSubset::All => "ProcSubset" {
            "ProcSubset": "What /proc has: all (default), or pid, processes only";
        }
        /// `/tmp` and `/var/tmp` are the unit's own.
        private_tmp: bool = false => "PrivateTmp" {
            "PrivateTmp": "Whether /tmp and /var/tmp are the unit's own, and gone when it is down; default no";
        }
        /// The network is loopback only.
        private_network: bool = false => "PrivateNetwork" {
            "PrivateNetwork": "Whether there is no network but loopback; inherited sockets are not concerned; default no";
        }
        /// The network namespace to be in.
        network_namespace_path: Option<AbsolutePath> = None => "NetworkNamespacePath" {
            "NetworkNamespacePath": "File of the network namespace to run in, such as /run/netns/name";
        }
        /// Message queues and the like are the process's own.
        private_ipc: bool = false => "PrivateIPC" {
            "PrivateIPC": "Whether message queues, semaphores and shared memory are the process's own; default no";
        }
        /// The IPC namespace to be in.
        ipc_namespace_path: Option<AbsolutePath> = None => "IPCNamespacePath" {
            "IPCNamespacePath": "File of the IPC namespace to run in";
        }
        /// There are no users but root and the process's own.
        private_users: bool = false => "PrivateUsers" {
            "PrivateUsers": "Whether there are no users but root and User=, and no privileges over the machine; default no";
        }
        /// Mounts are the process's own.
        private_mounts: bool = false => "PrivateMounts" {
            "PrivateMounts": "Whether mounts of the process are not seen by others; default no";
        }
        /// How mounts are shared.
        mount_flags: Propagation = Propagation::Unset => "MountFlags" {
            "MountFlags": "Whether mounts are shared with what the process starts: shared (default), slave, private";
        }
        /// Places that cannot be written.
        read_only_paths: PathList = PathList::default() => "ReadOnlyPaths" {
            "ReadOnlyPaths" | "ReadOnlyDirectories": "Paths that cannot be written; -/path: may be missing; +/path: below RootDirectory=; empty: forget the earlier ones";
        }
        /// Places that can, within such.
        read_write_paths: PathList = PathList::default() => "ReadWritePaths" {
            "ReadWritePaths" | "ReadWriteDirectories": "Paths that stay writable within those that are not, written as for ReadOnlyPaths=";
        }
        /// Places that cannot be reached.
        inaccessible_paths: PathList = PathList::default() => "InaccessiblePaths" {
            "InaccessiblePaths" | "InaccessibleDirectories": "Paths that are out of reach, written as for ReadOnlyPaths=";
        }
        /// Places whose programs can be run, within such.
        exec_paths: PathList = PathList::default() => "ExecPaths" {
            "ExecPaths": "Paths whose programs can be run within those of NoExecPaths=, written as for ReadOnlyPaths=";
        }
        /// Places whose programs cannot be run.
        no_exec_paths: PathList = PathList::default() => "NoExecPaths" {
            "NoExecPaths": "Paths whose programs cannot be run, written as for ReadOnlyPaths=";
        }
        /// Places that are seen elsewhere.
        bind_paths: BindList = BindList::default() => "BindPaths" {
            "BindPaths": "Paths that are seen elsewhere, as SOURCE:DESTINATION; with :norbind without what is mounted below; -/path: may be missing";
        }
        /// Places that are seen elsewhere and cannot be written there.
        bind_read_only_paths: BindList = BindList::default() => "BindReadOnlyPaths" {
            "BindReadOnlyPaths": "Paths that are seen elsewhere and cannot be written there, as for BindPaths=";
        }
        /// Places that are empty.
        temporary_file_system: TemporaryFileSystems = TemporaryFileSystems::default() => "TemporaryFileSystem" {
            "TemporaryFileSystem": "Paths at which there is an empty file system in memory, perhaps with options: /var:ro,size=1M";
        }
        /// Another root directory.
        root_directory: Option<RootDirectory> = None => "RootDirectory" {
            "RootDirectory": "Directory that is the root of the file system for the processes";
        }
        /// Whether that has the kernel's file systems; `None`: if there is one.
        mount_api_vfs: Option<bool> = None => ("MountAPIVFS" by effective_mount_api_vfs) {
            "MountAPIVFS": "Whether /proc, /sys, /dev and /run are mounted below RootDirectory=; default yes";
        }
    }
}

impl SandboxSection {
    /// What follows from one directive for another: capabilities that a protection would be undone by.
    pub(crate) fn resolve(&mut self) {
        if self.protect_clock {
            self.capability_bounding_set.remove(&[CAP_SYS_TIME, CAP_WAKE_ALARM]);
        }
        if self.private_devices {
            self.capability_bounding_set.remove(&[CAP_MKNOD, CAP_SYS_RAWIO]);
        }
        if self.protect_kernel_modules {
            self.capability_bounding_set.remove(&[CAP_SYS_MODULE]);
        }
        if self.protect_kernel_logs {
            self.capability_bounding_set.remove(&[CAP_SYSLOG]);
        }
    }

    /// Whether there are the kernel's file systems: where there is another root, unless the file says otherwise.
    pub fn effective_mount_api_vfs(&self) -> bool {
        self.mount_api_vfs.unwrap_or(self.root_directory.is_some())
    }
}
