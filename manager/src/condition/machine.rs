//! Conditions on the machine and its kernel.

use std::fs;
use std::path::Path;

use sockmgr_unit::glob::matches as fits;
use sockmgr_unit::value::parse_bool;

use super::compare::{Relation, versions, words};
use super::{Tested, virtualization};
use crate::loader::architecture;

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

pub(super) fn is_architecture(parameter: &str) -> bool {
    parameter == "native" || parameter == architecture()
}

pub(super) fn has_firmware(parameter: &str) -> bool {
    match parameter {
        "uefi" => Path::new("/sys/firmware/efi").exists(),
        "device-tree" => Path::new("/sys/firmware/devicetree").exists(),
        _ => {
            let word =
                parameter.strip_prefix("device-tree-compatible(").and_then(|rest| rest.strip_suffix(')'));
            let words = fs::read("/proc/device-tree/compatible").unwrap_or_default();
            word.is_some_and(|word| words.split(|byte| *byte == 0).any(|known| known == word.as_bytes()))
        }
    }
}

/// The words that the kernel was started with; in a container, those that its first process was.
fn kernel_words() -> Vec<String> {
    if virtualization::is("container") {
        let words = fs::read("/proc/1/cmdline").unwrap_or_default();
        return words
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
    }
    words(&read("/proc/cmdline"))
}

/// `word` also stands for `word=anything`.
pub(super) fn has_kernel_word(parameter: &str) -> bool {
    let is_it = |word: &String| {
        word == parameter
            || !parameter.contains('=') && word.split_once('=').is_some_and(|(name, _)| name == parameter)
    };
    kernel_words().iter().any(is_it)
}

/// A setting on the kernel's command line; without a value it is a yes.
pub(super) fn kernel_boolean(name: &str) -> Option<bool> {
    kernel_words().iter().rev().find_map(|word| match word.split_once('=') {
        Some((known, value)) if known == name => parse_bool(value).ok(),
        _ => (word == name).then_some(true),
    })
}

pub(super) fn kernel_version(parameter: &str) -> Tested {
    version_holds(parameter, &read("/proc/sys/kernel/osrelease"))
}

/// All words must hold: a sign and a version, or a pattern. Behind the first sign there may be a blank.
fn version_holds(parameter: &str, version: &str) -> Tested {
    let mut words = words(parameter).into_iter();
    let mut is_first = true;
    while let Some(word) = words.next() {
        let holds = match Relation::strip(&word) {
            Some((relation, "")) if is_first => {
                let value = words.next().ok_or("nothing stands behind the sign")?;
                relation.admits(versions(version, &value))
            }
            Some((_, "")) => return Err("nothing stands behind the sign".to_owned()),
            Some((relation, value)) => relation.admits(versions(version, value)),
            None => fits(&word, version),
        };
        if !holds {
            return Ok(false);
        }
        is_first = false;
    }
    Ok(true)
}

pub(super) fn has_security(parameter: &str) -> bool {
    let exists = |path: &str| Path::new(path).exists();
    match parameter {
        "selinux" => exists("/sys/fs/selinux/enforce"),
        "smack" => exists("/sys/fs/smackfs"),
        "apparmor" => read("/sys/module/apparmor/parameters/enabled") == "Y",
        "tomoyo" => exists("/sys/kernel/security/tomoyo/version"),
        "ima" => exists("/sys/kernel/security/ima"),
        "audit" => exists("/proc/self/loginuid"),
        "uefi-secureboot" => {
            const VARIABLE: &str =
                "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
            // Four bytes of attributes stand before the value.
            fs::read(VARIABLE).is_ok_and(|value| value.get(4) == Some(&1))
        }
        "tpm2" => exists("/dev/tpmrm0") || exists("/sys/class/tpmrm/tpmrm0"),
        _ => false,
    }
}

/// capabilities(7), by number.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// In the bounding set.
pub(super) fn has_capability(parameter: &str) -> bool {
    let name = parameter.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or_default();
    let Some(number) = CAPABILITIES.iter().position(|known| *known == name) else { return false };
    let set = status_field("CapBnd").and_then(|set| u64::from_str_radix(&set, 16).ok());
    set.is_some_and(|set| set >> number & 1 == 1)
}

fn status_field(name: &str) -> Option<String> {
    let status = read("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    line.map(str::to_owned)
}

/// A supply from the mains is on; or there is none, nor a battery that gets empty.
pub(super) fn is_on_mains() -> bool {
    let supplies = fs::read_dir("/sys/class/power_supply").into_iter().flatten().flatten();
    let (mut on, mut off, mut drained) = (false, false, false);
    for supply in supplies {
        let field = |name: &str| read(&supply.path().join(name).display().to_string());
        match field("type").as_str() {
            "Mains" | "USB" => match field("online").as_str() {
                "0" => off = true,
                "" => {}
                _ => on = true,
            },
            "Battery" => drained |= field("status") == "Discharging" && field("scope") != "Device",
            _ => {}
        }
    }
    on || !(off || drained)
}

/// `v1`, `v2`, or controllers all of which are there. Words that are no controllers say nothing.
pub(super) fn has_controllers(parameter: &str) -> bool {
    const KNOWN: [&str; 7] = ["cpu", "cpuacct", "io", "blkio", "memory", "devices", "pids"];
    let unified = read("/sys/fs/cgroup/cgroup.controllers");
    let is_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    match parameter {
        "v2" => is_v2,
        "v1" => !is_v2,
        _ => {
            let there = |word: &&str| {
                unified.split(' ').any(|known| known == *word)
                    || !is_v2 && Path::new("/sys/fs/cgroup").join(word).is_dir()
            };
            parameter.split_ascii_whitespace().filter(|word| KNOWN.contains(word)).all(|word| there(&word))
        }
    }
}

pub(super) fn cpus(parameter: &str) -> Tested {
    let list = status_field("Cpus_allowed").unwrap_or_default();
    let count: u32 = list.chars().filter_map(|digit| Some(digit.to_digit(16)?.count_ones())).sum();
    let (relation, value) = at_least(parameter);
    let value: u32 = value.parse().map_err(|_| format!("\"{value}\" is not a number"))?;
    Ok(relation.admits(count.cmp(&value)))
}

pub(super) fn memory(parameter: &str) -> Tested {
    let (relation, value) = at_least(parameter);
    let value = sockmgr_unit::Size::parse(value).map_err(|error| error.to_string())?;
    let text = read("/proc/meminfo");
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let bytes = total.and_then(|total| total.parse::<u64>().ok()).unwrap_or(0).saturating_mul(1024);
    Ok(relation.admits(bytes.cmp(&value.0)))
}

/// Without a sign at least so much.
fn at_least(parameter: &str) -> (Relation, &str) {
    let (relation, value) = Relation::strip(parameter).unwrap_or((Relation::GreaterOrEqual, parameter));
    (relation, value.trim())
}

/// As the kernel names it; `sse3` it calls by another name.
pub(super) fn has_cpu_feature(parameter: &str) -> bool {
    let name = match parameter {
        "sse3" => "pni",
        "pclmul" => "pclmulqdq",
        other => other,
    };
    let text = read("/proc/cpuinfo");
    let flags =
        text.lines().find_map(|line| line.strip_prefix("flags").or_else(|| line.strip_prefix("Features")));
    flags.is_some_and(|flags| flags.split_ascii_whitespace().any(|flag| flag == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_versions() {
        let table = [
            (">=5", Some(true)),
            ("<5", Some(false)),
            ("6.*", Some(true)),
            (">=5 <7", Some(true)),
            (">=5 <6", Some(false)),
            (">= 5", Some(true)),
            ("=6.1.0-13-amd64", Some(true)),
            ("!=6.1", Some(true)),
            (">=5 < 7", None),
            (">=", None),
            ("", Some(true)),
        ];
        for (range, expected) in table {
            assert_eq!(version_holds(range, "6.1.0-13-amd64").ok(), expected, "{range}");
        }
    }

    #[test]
    fn amounts_without_a_sign_are_the_least() {
        for (range, expected) in
            [("1", Some(true)), (">100000", Some(false)), ("<100000", Some(true)), ("x", None)]
        {
            assert_eq!(cpus(range).ok(), expected, "{range}");
        }
        for (range, expected) in [("1M", Some(true)), (">=1P", Some(false)), ("<1P", Some(true)), ("x", None)]
        {
            assert_eq!(memory(range).ok(), expected, "{range}");
        }
    }

    #[test]
    fn capabilities_have_their_numbers() {
        assert_eq!(CAPABILITIES.iter().position(|name| *name == "BPF"), Some(39));
        assert!(!has_capability("sys_admin") && !has_capability("CAP_BOGUS"));
    }
}
