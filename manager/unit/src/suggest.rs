//! What to say about a key that is not in the table: where it belongs, or what was probably meant.
//!
//! Never here: whether a key is accepted. Invariant: a suggestion is always a directive that would be accepted.

use crate::directive::{Directive, Section, directives};
use crate::settings::Settings;

/// What is said about an unknown key.
pub(crate) struct Unknown {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// The directives that `key` spells in `section`; `TimeoutSec=` spells two.
pub(crate) fn directives_of(section: Section, key: &str) -> impl Iterator<Item = &'static Directive> {
    in_section(section).chain(in_section(Section::Unit)).filter(move |directive| directive.is_spelled(key))
}

/// What a directive takes, as a sentence for the help.
pub(crate) fn form(section: Section, key: &str) -> Option<String> {
    directives_of(section, key).next().map(|directive| format!("{key}= takes {}", directive.form))
}

/// Why `key` is not accepted in `section`.
pub(crate) fn unknown(section: Section, key: &str) -> Unknown {
    if is_known_to_systemd(section, key) {
        let message =
            format!("{key}= is a directive of systemd's that sockmgr does not support; it has no effect");
        return Unknown { message, help: None };
    }
    if is_removed(section, key) {
        let message = format!("{key}= is a directive that systemd has removed; it has no effect");
        return Unknown { message, help: None };
    }
    let message = format!("unknown directive {key}= in [{}]", section.as_str());
    let elsewhere = directives().find(|directive| directive.name == key);
    let help = match elsewhere {
        Some(directive) => Some(format!("{key}= belongs in [{}]", sections(directive))),
        None => nearest(section, key).map(|name| format!("did you mean {name}=?")),
    };
    Unknown { message, help }
}

/// `Service` or `Service] or [Socket`, for a text with brackets around.
fn sections(directive: &Directive) -> String {
    let names: Vec<&str> = directive.sections.iter().map(|section| section.as_str()).collect();
    names.join("] or [")
}

fn in_section(section: Section) -> impl Iterator<Item = &'static Directive> {
    directives().chain(Settings::TABLE).filter(move |directive| directive.belongs_in(section))
}

/// The directive of the section that `key` is most likely a misspelling of.
fn nearest(section: Section, key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let spellings =
        in_section(section).flat_map(|directive| std::iter::once(&directive.name).chain(directive.aliases));
    let distances = spellings.map(|name| (distance(&key, &name.to_ascii_lowercase()), *name));
    // One slip in three letters; more is another word.
    distances
        .filter(|(distance, name)| *distance <= name.len().max(key.len()) / 3)
        .min()
        .map(|(_, name)| name)
}

/// Letters to insert, delete or replace to get from one word to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// Whether systemd 252 takes it without minding what it says.
fn is_removed(section: Section, key: &str) -> bool {
    let removed: &[&str] = match section {
        Section::Unit => &["IgnoreOnSnapshot"],
        Section::Service => &["BusPolicy", "Capabilities", "NetClass", "SysVStartPriority"],
        Section::Socket => &["Capabilities", "NetClass"],
        Section::Install | Section::Manager => &[],
    };
    removed.contains(&key)
}

fn is_known_to_systemd(section: Section, key: &str) -> bool {
    let lists: &[&str] = match section {
        Section::Unit => &[UNIT],
        Section::Socket => &[SOCKET, EXEC, KILL, CGROUP],
        Section::Service => &[SERVICE, EXEC, KILL, CGROUP],
        Section::Install => &[INSTALL],
        Section::Manager => &[MANAGER],
    };
    lists.iter().any(|list| list.split_ascii_whitespace().any(|name| name == key))
}

// The directives of systemd, by manual page. Those that sockmgr has may stand here too: what is in the table is known.

/// systemd.unit(5)
const UNIT: &str = "BindsTo Conflicts PartOf Upholds Requisite PropagatesReloadTo ReloadPropagatedFrom \
    PropagatesStopTo StopPropagatedFrom JoinsNamespaceOf RequiresMountsFor WantsMountsFor OnFailureJobMode OnSuccessJobMode \
    OnFailureIsolate IgnoreOnIsolate StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate DefaultDependencies \
    SurviveFinalKillSignal CollectMode FailureAction SuccessAction FailureActionExitStatus SuccessActionExitStatus \
    JobTimeoutSec JobRunningTimeoutSec JobTimeoutAction JobTimeoutRebootArgument RebootArgument SourcePath \
    ConditionArchitecture ConditionFirmware ConditionVirtualization ConditionHost ConditionKernelCommandLine \
    ConditionKernelVersion ConditionVersion ConditionCredential ConditionEnvironment ConditionSecurity ConditionCapability \
    ConditionACPower ConditionNeedsUpdate ConditionFirstBoot ConditionPathExists ConditionPathExistsGlob \
    ConditionPathIsDirectory ConditionPathIsSymbolicLink ConditionPathIsMountPoint ConditionPathIsReadWrite \
    ConditionPathIsEncrypted ConditionPathIsSocket ConditionDirectoryNotEmpty ConditionFileNotEmpty \
    ConditionFileIsExecutable ConditionUser ConditionGroup ConditionControlGroupController ConditionMemory ConditionCPUs \
    ConditionCPUFeature ConditionOSRelease ConditionMemoryPressure ConditionCPUPressure ConditionIOPressure \
    ConditionKernelModuleLoaded AssertArchitecture AssertVirtualization AssertHost AssertKernelCommandLine \
    AssertKernelVersion AssertSecurity AssertCapability AssertACPower AssertNeedsUpdate AssertFirstBoot AssertPathExists \
    AssertPathExistsGlob AssertPathIsDirectory AssertPathIsSymbolicLink AssertPathIsMountPoint AssertPathIsReadWrite \
    AssertPathIsEncrypted AssertDirectoryNotEmpty AssertFileNotEmpty AssertFileIsExecutable AssertUser AssertGroup \
    AssertControlGroupController AssertMemoryPressure AssertCPUPressure AssertIOPressure AssertMemory \
    AssertCPUs AssertOSRelease AssertEnvironment AssertCredential";

/// systemd.socket(5)
const SOCKET: &str = "ListenFIFO ListenSpecial ListenNetlink ListenMessageQueue ListenUSBFunction SocketProtocol Writable \
    BindToDevice FreeBind Transparent Symlinks PipeSize MessageQueueMaxMessages MessageQueueMessageSize KeepAliveTimeSec \
    KeepAliveIntervalSec KeepAliveProbes DeferAcceptSec Broadcast PassCredentials PassPIDFD PassSecurity PassPacketInfo \
    AcceptFileDescriptors Timestamping Priority ReceiveBuffer SendBuffer Mark IPTOS IPTTL TCPCongestion SmackLabel \
    SmackLabelIPIn SmackLabelIPOut SELinuxContextFromNet XAttrEntryPoint XAttrListen XAttrAccept MaxConnectionsPerSource \
    FlushPending PollLimitIntervalSec PollLimitBurst DeferTrigger DeferTriggerMaxSec PassFileDescriptorsToExec ExecStartPre \
    ExecStartPost ExecStopPre ExecStopPost TimeoutSec";

/// systemd.service(5)
const SERVICE: &str = "ExitType ExecReloadPost RootDirectoryStartOnly PermissionsStartOnly USBFunctionDescriptors \
    USBFunctionStrings OOMPolicy OpenFile RefreshOnReload StartLimitAction FailureAction RebootArgument";

/// systemd.exec(5)
const EXEC: &str = "ExecSearchPath WorkingDirectory RootDirectory RootImage RootImageOptions RootEphemeral RootHash \
    RootHashSignature RootVerity RootImagePolicy MountImagePolicy ExtensionImagePolicy MountAPIVFS ProtectProc ProcSubset \
    BindPaths BindReadOnlyPaths BindLogSockets MountImages ExtensionImages ExtensionDirectories User Group DynamicUser \
    SupplementaryGroups SetLoginEnvironment PAMName CapabilityBoundingSet AmbientCapabilities NoNewPrivileges SecureBits \
    SELinuxContext AppArmorProfile SmackProcessLabel LimitCPU LimitFSIZE LimitDATA LimitSTACK LimitCORE LimitRSS LimitNOFILE \
    LimitAS LimitNPROC LimitMEMLOCK LimitLOCKS LimitSIGPENDING LimitMSGQUEUE LimitNICE LimitRTPRIO LimitRTTIME UMask \
    CoredumpFilter KeyringMode OOMScoreAdjust TimerSlackNSec Personality IgnoreSIGPIPE Nice CPUSchedulingPolicy \
    CPUSchedulingPriority CPUSchedulingResetOnFork CPUAffinity NUMAPolicy NUMAMask IOSchedulingClass IOSchedulingPriority \
    ProtectSystem ProtectHome RuntimeDirectory StateDirectory CacheDirectory LogsDirectory ConfigurationDirectory \
    RuntimeDirectoryMode StateDirectoryMode CacheDirectoryMode LogsDirectoryMode ConfigurationDirectoryMode \
    RuntimeDirectoryPreserve TimeoutCleanSec ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths NoExecPaths \
    TemporaryFileSystem PrivateTmp PrivateDevices PrivateNetwork NetworkNamespacePath PrivateIPC IPCNamespacePath PrivatePIDs \
    PrivateUsers ProtectHostname ProtectClock ProtectKernelTunables ProtectKernelModules ProtectKernelLogs \
    ProtectControlGroups RestrictAddressFamilies RestrictFileSystems RestrictNamespaces LockPersonality \
    MemoryDenyWriteExecute RestrictRealtime RestrictSUIDSGID RemoveIPC PrivateMounts MountFlags SystemCallFilter \
    SystemCallErrorNumber SystemCallArchitectures SystemCallLog Environment EnvironmentFile PassEnvironment \
    UnsetEnvironment StandardInput StandardOutput StandardError StandardInputText StandardInputData LogLevelMax \
    LogExtraFields LogRateLimitIntervalSec LogRateLimitBurst LogFilterPatterns LogNamespace SyslogIdentifier SyslogFacility \
    SyslogLevel SyslogLevelPrefix TTYPath TTYReset TTYVHangup TTYColumns TTYRows TTYVTDisallocate LoadCredential \
    LoadCredentialEncrypted ImportCredential SetCredential SetCredentialEncrypted UtmpIdentifier UtmpMode";

/// systemd.kill(5)
const KILL: &str =
    "KillMode KillSignal RestartKillSignal SendSIGHUP SendSIGKILL FinalKillSignal WatchdogSignal";

/// systemd.resource-control(5)
const CGROUP: &str = "CPUAccounting CPUWeight StartupCPUWeight CPUQuota CPUQuotaPeriodSec AllowedCPUs StartupAllowedCPUs \
    AllowedMemoryNodes StartupAllowedMemoryNodes CPUShares StartupCPUShares MemoryAccounting MemoryMin MemoryLow \
    StartupMemoryLow DefaultMemoryMin DefaultMemoryLow MemoryHigh StartupMemoryHigh MemoryMax StartupMemoryMax MemorySwapMax \
    StartupMemorySwapMax MemoryZSwapMax StartupMemoryZSwapMax MemoryZSwapWriteback MemoryLimit TasksAccounting TasksMax \
    IOAccounting IOWeight StartupIOWeight IODeviceWeight IOReadBandwidthMax IOWriteBandwidthMax IOReadIOPSMax \
    IOWriteIOPSMax IODeviceLatencyTargetSec BlockIOAccounting BlockIOWeight StartupBlockIOWeight BlockIODeviceWeight \
    BlockIOReadBandwidth BlockIOWriteBandwidth IPAccounting IPAddressAllow IPAddressDeny IPIngressFilterPath \
    IPEgressFilterPath BPFProgram SocketBindAllow SocketBindDeny RestrictNetworkInterfaces NFTSet DeviceAllow DevicePolicy \
    Slice Delegate DelegateSubgroup DisableControllers ManagedOOMSwap ManagedOOMMemoryPressure \
    ManagedOOMMemoryPressureLimit ManagedOOMMemoryPressureDurationSec ManagedOOMPreference MemoryPressureWatch \
    MemoryPressureThresholdSec CoredumpReceive";

/// systemd.unit(5), [Install]
const INSTALL: &str = "UpheldBy";

/// systemd-system.conf(5)
const MANAGER: &str = "LogColor LogLocation LogTime LogTarget DumpCore CrashChangeVT CrashShell CrashReboot ShowStatus \
    CPUAffinity NUMAPolicy NUMAMask RuntimeWatchdogSec RuntimeWatchdogPreSec RebootWatchdogSec KExecWatchdogSec \
    WatchdogDevice CapabilityBoundingSet NoNewPrivileges SystemCallArchitectures TimerSlackNSec StatusUnitFormat \
    DefaultTimerAccuracySec DefaultStandardOutput DefaultStandardError DefaultTimeoutAbortSec DefaultDeviceTimeoutSec \
    ManagerEnvironment DefaultCPUAccounting DefaultIOAccounting DefaultMemoryAccounting DefaultTasksAccounting \
    DefaultTasksMax DefaultLimitCPU DefaultLimitFSIZE DefaultLimitDATA DefaultLimitSTACK DefaultLimitCORE DefaultLimitRSS \
    DefaultLimitAS DefaultLimitNPROC DefaultLimitMEMLOCK DefaultLimitLOCKS DefaultLimitSIGPENDING DefaultLimitMSGQUEUE \
    DefaultLimitNICE DefaultLimitRTPRIO DefaultLimitRTTIME DefaultOOMPolicy DefaultOOMScoreAdjust ReloadLimitIntervalSec \
    ReloadLimitBurst";

#[cfg(test)]
mod tests {
    use super::*;

    /// `(section, key, message or help that must be said)`
    const CASES: &[(Section, &str, &str)] = &[
        (
            Section::Socket,
            "ListenFIFO",
            "ListenFIFO= is a directive of systemd's that sockmgr does not support; it has no effect",
        ),
        (Section::Unit, "User", "User= belongs in [Service] or [Socket]"),
        (
            Section::Service,
            "PAMName",
            "PAMName= is a directive of systemd's that sockmgr does not support; it has no effect",
        ),
        (
            Section::Service,
            "BusPolicy",
            "BusPolicy= is a directive that systemd has removed; it has no effect",
        ),
        (Section::Unit, "BusPolicy", "unknown directive BusPolicy= in [Unit]"),
        (Section::Unit, "ListenStream", "ListenStream= belongs in [Socket]"),
        (Section::Socket, "ExecStart", "ExecStart= belongs in [Service]"),
        (Section::Socket, "listenstream", "did you mean ListenStream=?"),
        (Section::Socket, "ListenStreams", "did you mean ListenStream=?"),
        (Section::Socket, "Worker", "did you mean Workers=?"),
        (Section::Service, "ExecStar", "did you mean ExecStart=?"),
        (Section::Manager, "DefaultTimeoutStart", "did you mean DefaultTimeoutStartSec=?"),
    ];

    #[test]
    fn says_where_a_key_belongs_or_what_was_meant() {
        for (section, key, expected) in CASES {
            let Unknown { message, help } = unknown(*section, key);
            assert!(message == *expected || help.as_deref() == Some(expected), "{key}: {message} / {help:?}");
        }
        let nonsense = unknown(Section::Socket, "Qwertyuiop");
        assert_eq!(
            (nonsense.message.as_str(), nonsense.help),
            ("unknown directive Qwertyuiop= in [Socket]", None)
        );
    }
}
