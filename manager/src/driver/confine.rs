//! From what a unit says about capabilities and system calls to what its processes are given: the rules of systemd 252 for each
//! directive (systemd.exec(5), "Capabilities", "System Call Filtering", "Sandboxing").
//!
//! Never here: programs and their instructions (`sockmgr_sys::seccomp`). Invariant: a directive that is set has its filter, or the
//! process is not started.

use sockmgr_sys::seccomp::{self, Condition, Filter, Rule, Verdict};
use sockmgr_sys::spawn::{Confinement, ResourceLimit, SpawnStep};
use sockmgr_unit::section::{ResourceSection, SandboxSection};
use sockmgr_unit::value::{self, FamilyList, Refusal, system_call_group};

use super::plan::PlanError;

const EPERM: Verdict = Verdict::Errno(libc::EPERM as u16);
const ENOSYS: Verdict = Verdict::Errno(libc::ENOSYS as u16);
const EAFNOSUPPORT: Verdict = Verdict::Errno(libc::EAFNOSUPPORT as u16);

/// What the processes of a unit with this section are given, if that is anything of their own.
pub(super) fn confinement(
    sandbox: &SandboxSection,
    personality: u32,
) -> Result<Option<Box<Confinement>>, PlanError> {
    let bounding_set = sandbox.capability_bounding_set;
    let compiled = filters(sandbox, personality).into_iter().map(|(step, filter)| {
        let program = seccomp::compile(&filter);
        program.map(|program| (step, program)).map_err(|error| PlanError::Step(step, error.to_string()))
    });
    let confinement = Confinement {
        bounding_set: (!bounding_set.is_initial()).then(|| bounding_set.bits()),
        ambient_set: sandbox.ambient_capabilities.bits(),
        secure_bits: sandbox.secure_bits.0.into(),
        filters: if seccomp::is_available() { compiled.collect::<Result<_, _>>()? } else { Vec::new() },
    };
    Ok((confinement != Confinement::default()).then(|| Box::new(confinement)))
}

/// Whether something is asked for that this kernel does not have, and that is left out therefore.
pub(super) fn lacks_filters(sandbox: &SandboxSection) -> bool {
    !seccomp::is_available() && !filters(sandbox, 0).is_empty()
}

/// The limits of a process, with one more: without real-time scheduling there is no priority for it, unless the unit says otherwise.
pub(super) fn limits(sandbox: &SandboxSection, mut limits: Vec<ResourceLimit>) -> Vec<ResourceLimit> {
    let resource = libc::RLIMIT_RTPRIO;
    if sandbox.restrict_realtime && limits.iter().all(|limit| limit.resource != resource) {
        limits.push(ResourceLimit { resource, soft: 0, hard: 0 });
    }
    limits
}

/// The filters, in the order in which systemd loads them, each with the step at which a start without it would fail.
fn filters(sandbox: &SandboxSection, personality: u32) -> Vec<(SpawnStep, Filter)> {
    let denying = |is_set: bool, rules: fn() -> Vec<Rule>| is_set.then(|| Filter::denying(rules()));
    let families = sandbox.restrict_address_families.get().map(address_families);
    let others = [
        denying(sandbox.memory_deny_write_execute, writable_code),
        denying(sandbox.restrict_realtime, realtime),
        denying(sandbox.restrict_suid_sgid, set_id_bits),
        namespaces(sandbox.restrict_namespaces),
        denying(sandbox.protect_clock, || group("@clock")),
        denying(sandbox.protect_kernel_tunables, || vec![Rule::always("_sysctl", EPERM)]),
        denying(sandbox.protect_kernel_modules, || group("@module")),
        denying(sandbox.protect_kernel_logs, || vec![Rule::always("syslog", EPERM)]),
        denying(sandbox.private_devices, || group("@raw-io")),
        denying(sandbox.protect_hostname, host_name),
        architectures(&sandbox.system_call_architectures),
        sandbox.lock_personality.then(|| only_personality(personality)),
        logged(&sandbox.system_call_log),
        listed(&sandbox.system_call_filter, sandbox.system_call_error_number),
    ];
    let families = families.map(|filter| (SpawnStep::AddressFamilies, filter));
    let others = others.into_iter().flatten().map(|filter| (SpawnStep::Seccomp, filter));
    families.into_iter().chain(others).collect()
}

fn verdict(refusal: Refusal) -> Verdict {
    match refusal {
        Refusal::Kill => Verdict::Kill,
        Refusal::Errno(number) => Verdict::Errno(number),
    }
}

/// `SystemCallFilter=`
fn listed(filter: &value::SystemCallFilter, default: Refusal) -> Option<Filter> {
    let list = filter.get().filter(|list| list.is_allow_list || !list.calls.is_empty())?;
    let (listed, otherwise) = match list.is_allow_list {
        true => (Verdict::Allow, verdict(default)),
        false => (verdict(default), Verdict::Allow),
    };
    let rule = |(call, own): (&value::SystemCall, &Option<Refusal>)| {
        Rule::always(call.name(), own.map_or(listed, verdict))
    };
    Some(Filter { rules: list.calls.iter().map(rule).collect(), otherwise, architectures: None })
}

/// `SystemCallLog=`
fn logged(log: &value::SystemCallLog) -> Option<Filter> {
    let list = log.get().filter(|list| list.is_allow_list || !list.calls.is_empty())?;
    let (listed, otherwise) = match list.is_allow_list {
        true => (Verdict::Log, Verdict::Allow),
        false => (Verdict::Allow, Verdict::Log),
    };
    let rules = list.calls.iter().map(|call| Rule::always(call.name(), listed)).collect();
    Some(Filter { rules, otherwise, architectures: None })
}

/// `SystemCallArchitectures=`
fn architectures(architectures: &value::Architectures) -> Option<Filter> {
    let names = (!architectures.is_empty()).then(|| architectures.names().collect())?;
    Some(Filter { rules: Vec::new(), otherwise: Verdict::Allow, architectures: Some(names) })
}

/// Every call of a group is refused.
fn group(name: &str) -> Vec<Rule> {
    let calls = system_call_group(name).unwrap_or_default();
    calls.into_iter().map(|call| Rule::always(call.name(), EPERM)).collect()
}

/// `RestrictAddressFamilies=`. On 32-bit x86 socketcall(2) remains, whose arguments a filter cannot see; systemd leaves it as well.
fn address_families(list: &FamilyList) -> Filter {
    let listed = if list.is_allow_list { Verdict::Allow } else { EAFNOSUPPORT };
    let of_family = |family: &u8| Rule::when("socket", &[Condition::is(0, u32::from(*family))], listed);
    let mut rules: Vec<Rule> = list.families.iter().map(of_family).collect();
    if list.is_allow_list {
        rules.push(Rule::always("socket", EAFNOSUPPORT));
    }
    Filter::denying(rules)
}

/// `RestrictNamespaces=`. The flags of clone3(2) are out of a filter's sight: programs are to fall back to clone(2).
fn namespaces(namespaces: value::Namespaces) -> Option<Filter> {
    let forbidden: Vec<u32> = namespaces.forbidden().collect();
    if forbidden.is_empty() {
        return None;
    }
    // With 0 setns(2) enters whatever kind the descriptor is of.
    let mut rules = vec![Rule::always("clone3", ENOSYS), Rule::when("setns", &[Condition::is(1, 0)], EPERM)];
    for flag in forbidden {
        rules.push(Rule::when("unshare", &[Condition::has(0, flag)], EPERM));
        rules.push(Rule::when("clone", &[Condition::has(CLONE_FLAGS, flag)], EPERM));
        rules.push(Rule::when("setns", &[Condition::has(1, flag)], EPERM));
    }
    Some(Filter::denying(rules))
}

/// Which argument of clone(2) the flags are.
const CLONE_FLAGS: u8 = if cfg!(target_arch = "s390x") { 1 } else { 0 };

/// `MemoryDenyWriteExecute=`
fn writable_code() -> Vec<Rule> {
    const SHM_EXEC: u32 = 0o100_000;
    let both = (libc::PROT_WRITE | libc::PROT_EXEC).cast_unsigned();
    let execute = libc::PROT_EXEC.cast_unsigned();
    vec![
        // Its flags are in memory, out of a filter's sight.
        Rule::always(seccomp::OLD_MMAP, EPERM),
        Rule::when("mmap", &[Condition::has(2, both)], EPERM),
        Rule::when("mmap2", &[Condition::has(2, both)], EPERM),
        Rule::when("mprotect", &[Condition::has(2, execute)], EPERM),
        Rule::when("pkey_mprotect", &[Condition::has(2, execute)], EPERM),
        Rule::when("shmat", &[Condition::has(2, SHM_EXEC)], EPERM),
    ]
}

/// `ProtectHostname=`: the name is the process's own, and yet not for it to change.
fn host_name() -> Vec<Rule> {
    vec![Rule::always("sethostname", EPERM), Rule::always("setdomainname", EPERM)]
}

/// `RestrictRealtime=`: only policies that starve nobody.
fn realtime() -> Vec<Rule> {
    let harmless = [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE];
    let allowed = harmless.map(|policy| Condition::is(1, policy.cast_unsigned()));
    let allow = allowed.map(|condition| Rule::when("sched_setscheduler", &[condition], Verdict::Allow));
    allow.into_iter().chain([Rule::always("sched_setscheduler", EPERM)]).collect()
}

/// `RestrictSUIDSGID=`: which argument of each call has the mode, and for those that may make a file, which the flags.
fn set_id_bits() -> Vec<Rule> {
    const WITH_MODE: [(&str, u8); 9] = [
        ("chmod", 1),
        ("fchmod", 1),
        ("fchmodat", 2),
        ("fchmodat2", 2),
        ("mkdir", 1),
        ("mkdirat", 2),
        ("mknod", 1),
        ("mknodat", 2),
        ("creat", 1),
    ];
    const WITH_FLAGS: [(&str, u8, u8); 2] = [("open", 1, 2), ("openat", 2, 3)];
    // The arguments of openat2(2) are out of a filter's sight: programs are to fall back to openat(2).
    let mut rules = vec![Rule::always("openat2", ENOSYS)];
    for bit in [libc::S_ISUID, libc::S_ISGID] {
        for (call, mode) in WITH_MODE {
            rules.push(Rule::when(call, &[Condition::has(mode, bit)], EPERM));
        }
        for (call, flags, mode) in WITH_FLAGS {
            for making in [libc::O_CREAT, libc::O_TMPFILE] {
                let made = Condition::has(flags, making.cast_unsigned());
                rules.push(Rule::when(call, &[made, Condition::has(mode, bit)], EPERM));
            }
        }
    }
    rules
}

/// `LockPersonality=`
fn only_personality(personality: u32) -> Filter {
    let own = Condition::is(0, personality);
    Filter::denying(vec![
        Rule::when("personality", &[own], Verdict::Allow),
        Rule::always("personality", EPERM),
    ])
}

/// The execution domain that a process begins with: what `Personality=` says, else ours.
pub(super) fn personality(resources: &ResourceSection) -> u32 {
    const PER_LINUX: u32 = 0;
    const PER_LINUX32: u32 = 8;
    match &resources.personality {
        Some(personality) if personality.is_32_bit => PER_LINUX32,
        Some(_) => PER_LINUX,
        None => seccomp::own_personality(),
    }
}
