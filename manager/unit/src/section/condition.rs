//! `[Unit]`: what must be so that the unit is started (systemd.unit(5), "Conditions and Asserts").

use crate::directive::section;
use crate::value::Conditions;

section! {
    /// Conditions and asserts; most units have none, and those share them.
    pub struct ConditionSection in Unit {
        /// Where one does not hold the unit is not started, and nobody minds.
        conditions: Conditions = Conditions::default() => - {
            "ConditionPathExists": "Start only with a path where something is";
            "ConditionPathExistsGlob": "Start only with a pattern of paths, of which one is there";
            "ConditionPathIsDirectory": "Start only with the path of a directory";
            "ConditionPathIsSymbolicLink": "Start only with the path of a symbolic link";
            "ConditionPathIsMountPoint": "Start only with a path where something is mounted";
            "ConditionPathIsReadWrite": "Start only with a path whose file system is writable";
            "ConditionPathIsEncrypted": "Start only with a path whose file system is on an encrypted device";
            "ConditionDirectoryNotEmpty": "Start only with the path of a directory that is not empty";
            "ConditionFileNotEmpty": "Start only with the path of a regular file that is not empty";
            "ConditionFileIsExecutable": "Start only with the path of a regular file that is executable";
            "ConditionNeedsUpdate": "Start only with /etc or /var, where /usr is newer than its last update";
            "ConditionFirstBoot": "Start only with whether the machine boots for the first time";
            "ConditionUser": "Start only with the user of the manager: a name, a number, or @system";
            "ConditionGroup": "Start only with a group of the manager: a name or a number";
            "ConditionHost": "Start only with a pattern of the host's name, or its machine id";
            "ConditionArchitecture": "Start only with the kind of CPU, such as x86-64, or native";
            "ConditionFirmware": "Start only with uefi, device-tree, or device-tree-compatible(word)";
            "ConditionVirtualization": "Start only with whether the machine is virtual, or vm, container, private-users, or a technology such as kvm or docker";
            "ConditionKernelCommandLine": "Start only with a word on the kernel's command line, or word=value";
            "ConditionKernelVersion": "Start only with a range of the kernel's version, such as >=6.1, or a pattern";
            "ConditionOSRelease": "Start only with a field of os-release with a value, such as ID=debian or VERSION_ID>=12";
            "ConditionSecurity": "Start only with a security module or the like: selinux, apparmor, tomoyo, smack, ima, audit, uefi-secureboot, tpm2";
            "ConditionCapability": "Start only with a capability that the manager may have, such as CAP_NET_ADMIN";
            "ConditionACPower": "Start only with whether the machine runs on mains power";
            "ConditionEnvironment": "Start only with a variable of the manager, or NAME=value";
            "ConditionCredential": "Start only with a credential of the manager";
            "ConditionControlGroupController": "Start only with controllers of control groups that are there, or v1 or v2";
            "ConditionCPUs": "Start only with a number of CPUs, such as >=2; without a sign at least so many";
            "ConditionCPUFeature": "Start only with a feature of the CPU, such as avx2";
            "ConditionMemory": "Start only with an amount of memory, such as >=1G; without a sign at least so much";
        }
        /// Where one does not hold the start fails.
        asserts: Conditions = Conditions::default() => - {
            "AssertPathExists": "Fail to start without a path where something is";
            "AssertPathExistsGlob": "Fail to start without a pattern of paths, of which one is there";
            "AssertPathIsDirectory": "Fail to start without the path of a directory";
            "AssertPathIsSymbolicLink": "Fail to start without the path of a symbolic link";
            "AssertPathIsMountPoint": "Fail to start without a path where something is mounted";
            "AssertPathIsReadWrite": "Fail to start without a path whose file system is writable";
            "AssertPathIsEncrypted": "Fail to start without a path whose file system is on an encrypted device";
            "AssertDirectoryNotEmpty": "Fail to start without the path of a directory that is not empty";
            "AssertFileNotEmpty": "Fail to start without the path of a regular file that is not empty";
            "AssertFileIsExecutable": "Fail to start without the path of a regular file that is executable";
            "AssertNeedsUpdate": "Fail to start without /etc or /var, where /usr is newer than its last update";
            "AssertFirstBoot": "Fail to start without whether the machine boots for the first time";
            "AssertUser": "Fail to start without the user of the manager: a name, a number, or @system";
            "AssertGroup": "Fail to start without a group of the manager: a name or a number";
            "AssertHost": "Fail to start without a pattern of the host's name, or its machine id";
            "AssertArchitecture": "Fail to start without the kind of CPU, such as x86-64, or native";
            "AssertFirmware": "Fail to start without uefi, device-tree, or device-tree-compatible(word)";
            "AssertVirtualization": "Fail to start without whether the machine is virtual, or vm, container, private-users, or a technology such as kvm or docker";
            "AssertKernelCommandLine": "Fail to start without a word on the kernel's command line, or word=value";
            "AssertKernelVersion": "Fail to start without a range of the kernel's version, such as >=6.1, or a pattern";
            "AssertOSRelease": "Fail to start without a field of os-release with a value, such as ID=debian or VERSION_ID>=12";
            "AssertSecurity": "Fail to start without a security module or the like: selinux, apparmor, tomoyo, smack, ima, audit, uefi-secureboot, tpm2";
            "AssertCapability": "Fail to start without a capability that the manager may have, such as CAP_NET_ADMIN";
            "AssertACPower": "Fail to start without whether the machine runs on mains power";
            "AssertEnvironment": "Fail to start without a variable of the manager, or NAME=value";
            "AssertCredential": "Fail to start without a credential of the manager";
            "AssertControlGroupController": "Fail to start without controllers of control groups that are there, or v1 or v2";
            "AssertCPUs": "Fail to start without a number of CPUs, such as >=2; without a sign at least so many";
            "AssertCPUFeature": "Fail to start without a feature of the CPU, such as avx2";
            "AssertMemory": "Fail to start without an amount of memory, such as >=1G; without a sign at least so much";
        }
    }
}

impl ConditionSection {
    /// There is nothing to find out.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.asserts.is_empty()
    }
}
