//! Whether this is a machine of its own, by the words of systemd-detect-virt(1).

use std::fs;
use std::path::Path;

use sockmgr_unit::value::parse_bool;

/// A boolean, a class of technologies, or one of them.
pub(super) fn is(parameter: &str) -> bool {
    if parameter == "private-users" {
        return has_private_users();
    }
    let (container, machine) = (container(), machine());
    let inner = container.clone().or_else(|| machine.clone());
    match parameter {
        "vm" => container.is_none() && machine.is_some(),
        "container" => container.is_some(),
        _ => match parse_bool(parameter) {
            Ok(wanted) => wanted == inner.is_some(),
            Err(_) => inner.is_some_and(|inner| inner == parameter),
        },
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The users of this namespace are not those of the machine.
fn has_private_users() -> bool {
    let map = read("/proc/self/uid_map");
    let fields: Vec<&str> = map.split_ascii_whitespace().collect();
    !matches!(fields[..], [] | ["0", "0", "4294967295"])
}

fn container() -> Option<String> {
    let exists = |path: &str| Path::new(path).exists();
    if exists("/proc/vz") && !exists("/proc/bc") {
        return Some("openvz".to_owned());
    }
    let release = read("/proc/sys/kernel/osrelease");
    if release.contains("Microsoft") || release.contains("WSL") {
        return Some("wsl".to_owned());
    }
    let said = [read("/run/host/container-manager"), of_first_process(), read("/run/systemd/container")];
    let by_file = || {
        let files = [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")];
        files.into_iter().find(|(file, _)| exists(file)).map(|(_, word)| word.to_owned())
    };
    match said.into_iter().find(|word| !word.is_empty()) {
        Some(word) if word == "oci" => by_file().or_else(|| Some("container-other".to_owned())),
        Some(word) => Some(known(&word).to_owned()),
        None => by_file(),
    }
}

/// `$container` of the first process: what runs the container sets it.
fn of_first_process() -> String {
    if std::process::id() == 1 {
        return std::env::var("container").unwrap_or_default();
    }
    let environment = fs::read("/proc/1/environ").unwrap_or_default();
    let variable = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"container="));
    variable.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

fn known(word: &str) -> &str {
    const WORDS: [&str; 9] =
        ["systemd-nspawn", "lxc-libvirt", "lxc", "openvz", "docker", "podman", "rkt", "proot", "pouch"];
    WORDS.into_iter().find(|known| *known == word).unwrap_or("container-other")
}

/// What the firmware says of its maker, as far as it is a virtual one.
const MAKERS: [(&str, &str); 17] = [
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("Amazon EC2", "amazon"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "oracle"),
    ("VirtualBox", "oracle"),
    ("Oracle Corporation", "oracle"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Hyper-V", "microsoft"),
    ("Apple Virtualization", "apple"),
    ("Google Compute Engine", "google"),
];

fn machine() -> Option<String> {
    if read("/sys/hypervisor/type") == "xen" {
        return Some("xen".to_owned());
    }
    const FIELDS: [&str; 5] =
        ["product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"];
    let by_maker = FIELDS.into_iter().find_map(|field| {
        let text = read(&format!("/sys/class/dmi/id/{field}"));
        MAKERS.into_iter().find(|(maker, _)| text.starts_with(maker)).map(|(_, word)| word)
    });
    match by_maker {
        // Only the hypervisor itself tells whether the processor is emulated.
        Some("qemu") | None => sockmgr_sys::cpu::hypervisor().or(by_maker).map(str::to_owned),
        Some(word) => Some(word.to_owned()),
    }
}
