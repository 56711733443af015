//! From what a unit says of limits and scheduling to the numbers of a plan.
//!
//! Never here: telling the kernel; the child does. Invariant: what is not said is not in the plan, so that it costs a start nothing.

use std::fs;

use sockmgr_sys::limits;
use sockmgr_sys::spawn::{CpuScheduling, Keyring, MemoryPolicy, ResourceLimit, Scheduling, SpawnStep};
use sockmgr_unit::Rlimit;
use sockmgr_unit::section::ResourceSection;
use sockmgr_unit::value::{
    CoredumpFilter, CpuAffinity, CpuPriority, IoPriority, KeyringMode, LimitKind, Limits, Niceness,
    NumberSet, OomScoreAdjust, TimerSlack,
};

use super::plan::PlanError;

/// The limits of a process.
pub(super) fn limits_of(limits: &Limits) -> Vec<ResourceLimit> {
    let number = |(kind, Rlimit { soft, hard }): (LimitKind, Rlimit)| {
        limits::resource(kind.name()).map(|resource| ResourceLimit { resource, soft, hard })
    };
    limits.iter().filter_map(number).collect()
}

pub(super) fn keyring(resources: &ResourceSection) -> Keyring {
    match resources.keyring_mode {
        None | Some(KeyringMode::Inherit) => Keyring::Inherit,
        Some(KeyringMode::Private) => Keyring::Private,
        Some(KeyringMode::Shared) => Keyring::Shared,
    }
}

/// How the kernel is to schedule the process of an instance in `slot`, from 0, if it is one of a group.
pub(super) fn scheduling(
    resources: &ResourceSection,
    slot: Option<u32>,
) -> Result<Option<Box<Scheduling>>, PlanError> {
    let reset_on_fork = resources.cpu_scheduling_reset_on_fork;
    let priority = resources.effective_cpu_priority().map_or(0, |CpuPriority(priority)| priority);
    let policy = resources.cpu_scheduling_policy;
    let io = resources.effective_io_class().zip(resources.effective_io_priority());
    let scheduling = Scheduling {
        oom_score_adjust: resources.oom_score_adjust.map(|OomScoreAdjust(adjust)| adjust),
        coredump_filter: resources.coredump_filter.map(|CoredumpFilter(bits)| bits),
        nice: resources.nice.map(|Niceness(nice)| nice),
        policy: policy.map(|policy| CpuScheduling { policy: policy.number(), priority, reset_on_fork }),
        processors: processors(resources, slot)?,
        memory: memory_policy(resources)?,
        io: io.map(|(class, IoPriority(priority))| (class.number(), priority)),
        timer_slack: resources.timer_slack.map(|TimerSlack(slack)| slack).filter(|slack| *slack != u64::MAX),
        is_32_bit: resources.personality.as_ref().map(|personality| personality.is_32_bit),
    };
    Ok((scheduling != Scheduling::default()).then(|| Box::new(scheduling)))
}

/// `None`: wherever the manager may run.
fn processors(resources: &ResourceSection, slot: Option<u32>) -> Result<Option<Vec<u8>>, PlanError> {
    let failed = |why: String| PlanError::Step(SpawnStep::CpuAffinity, format!("CPUAffinity=: {why}"));
    let set = match (&resources.cpu_affinity, slot) {
        (CpuAffinity::Cpus(cpus), _) => cpus.clone(),
        (CpuAffinity::Numa, _) => processors_of_nodes(&resources.numa_mask).map_err(failed)?,
        (CpuAffinity::Instance, None) => NumberSet::default(),
        (CpuAffinity::Instance, Some(slot)) => {
            let allowed = limits::processors().map_err(|error| failed(super::chain(&error)))?;
            let mut set = NumberSet::default();
            // There is one at least: this process runs.
            allowed.get(slot as usize % allowed.len().max(1)).into_iter().for_each(|own| set.insert(*own));
            set
        }
    };
    Ok((!set.is_empty()).then(|| set.as_mask().to_vec()))
}

/// What `NUMAMask=` has of processors.
fn processors_of_nodes(nodes: &NumberSet) -> Result<NumberSet, String> {
    let mut all = NumberSet::default();
    for node in nodes.iter() {
        let path = format!("/sys/devices/system/node/node{node}/cpulist");
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let of_node = NumberSet::parse(text.trim(), |_| {}).map_err(|error| format!("{path}: {error}"))?;
        of_node.iter().for_each(|processor| all.insert(processor));
    }
    Ok(all)
}

/// Nodes beside a policy that takes none are left out; one that needs them fails the start, as with systemd.
fn memory_policy(resources: &ResourceSection) -> Result<Option<MemoryPolicy>, PlanError> {
    use sockmgr_unit::value::NumaPolicy as Policy;
    let Some(policy) = resources.numa_policy else { return Ok(None) };
    let nodes = &resources.numa_mask;
    let takes = match policy {
        Policy::Default | Policy::Local => false,
        Policy::Preferred => nodes.iter().count() <= 1,
        Policy::Bind | Policy::Interleave => !nodes.is_empty(),
    };
    let takes_none = matches!(policy, Policy::Default | Policy::Local);
    if !takes && !takes_none {
        let text = "NUMAPolicy=: NUMAMask= does not have the nodes that it needs".to_owned();
        return Err(PlanError::Step(SpawnStep::NumaPolicy, text));
    }
    let nodes = if takes { nodes.as_mask().to_vec() } else { Vec::new() };
    Ok(Some(MemoryPolicy { policy: policy.number(), nodes }))
}
