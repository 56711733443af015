//! Whether what a unit's `Condition…=` and `Assert…=` lines say is so, here and now (systemd.unit(5), "Conditions and Asserts").
//!
//! Never here: what follows from it. Invariant: nothing is remembered; a condition that cannot be tested does not hold, whichever way
//! round it is.

mod compare;
mod host;
mod machine;
mod path;
mod virtualization;

use sockmgr_unit::value::{Condition, ConditionKind};

/// Why a condition cannot be tested: its parameter means nothing.
type Tested = Result<bool, String>;

/// Whether it holds.
pub fn holds(condition: &Condition) -> bool {
    match is_so(condition.kind, &condition.parameter) {
        Ok(is_so) => is_so != condition.is_negated,
        Err(why) => {
            tracing::warn!("Condition{condition} cannot be tested: {why}");
            false
        }
    }
}

fn is_so(kind: ConditionKind, parameter: &str) -> Tested {
    Ok(match kind {
        ConditionKind::PathExists => path::exists(parameter),
        ConditionKind::PathExistsGlob => path::exists_glob(parameter),
        ConditionKind::PathIsDirectory => path::is_directory(parameter),
        ConditionKind::PathIsSymbolicLink => path::is_symbolic_link(parameter),
        ConditionKind::PathIsMountPoint => path::is_mount_point(parameter),
        ConditionKind::PathIsReadWrite => path::is_read_write(parameter),
        ConditionKind::PathIsEncrypted => path::is_encrypted(parameter),
        ConditionKind::DirectoryNotEmpty => path::directory_not_empty(parameter),
        ConditionKind::FileNotEmpty => path::file_not_empty(parameter),
        ConditionKind::FileIsExecutable => path::file_is_executable(parameter),
        ConditionKind::NeedsUpdate => path::needs_update(parameter),
        ConditionKind::FirstBoot => boolean(parameter)? == path::exists("/run/systemd/first-boot"),
        ConditionKind::User => host::is_user(parameter),
        ConditionKind::Group => host::is_group(parameter),
        ConditionKind::Host => host::is_host(parameter),
        ConditionKind::OsRelease => return host::os_release(parameter),
        ConditionKind::Environment => host::has_variable(parameter),
        ConditionKind::Credential => host::has_credential(parameter),
        ConditionKind::Architecture => machine::is_architecture(parameter),
        ConditionKind::Firmware => machine::has_firmware(parameter),
        ConditionKind::Virtualization => virtualization::is(parameter),
        ConditionKind::KernelCommandLine => machine::has_kernel_word(parameter),
        ConditionKind::KernelVersion => return machine::kernel_version(parameter),
        ConditionKind::Security => machine::has_security(parameter),
        ConditionKind::Capability => machine::has_capability(parameter),
        ConditionKind::AcPower => boolean(parameter)? == machine::is_on_mains(),
        ConditionKind::ControlGroupController => machine::has_controllers(parameter),
        ConditionKind::Cpus => return machine::cpus(parameter),
        ConditionKind::CpuFeature => machine::has_cpu_feature(parameter),
        ConditionKind::Memory => return machine::memory(parameter),
    })
}

fn boolean(text: &str) -> Tested {
    sockmgr_unit::value::parse_bool(text).map_err(|error| error.to_string())
}
