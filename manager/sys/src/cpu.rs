//! What the processor says of itself.

/// The hypervisor below this machine, by the word of systemd-detect-virt(1); `None`: there is none, or this kind of processor has no
/// way to tell.
#[cfg(target_arch = "x86_64")]
pub fn hypervisor() -> Option<&'static str> {
    use std::arch::x86_64::__cpuid;
    const IS_VIRTUAL: u32 = 1 << 31;
    const SIGNATURE: u32 = 0x4000_0000;
    const KNOWN: [(&[u8; 12], &str); 9] = [
        (b"XenVMMXenVMM", "xen"),
        (b"KVMKVMKVM\0\0\0", "kvm"),
        (b"Linux KVM Hv", "kvm"),
        (b"TCGTCGTCGTCG", "qemu"),
        (b"VMwareVMware", "vmware"),
        (b"Microsoft Hv", "microsoft"),
        (b"bhyve bhyve ", "bhyve"),
        (b"QNXQVMBSQG\0\0", "qnx"),
        (b"ACRNACRNACRN", "acrn"),
    ];
    if __cpuid(1).ecx & IS_VIRTUAL == 0 {
        return None;
    }
    let found = __cpuid(SIGNATURE);
    let signature: Vec<u8> =
        [found.ebx, found.ecx, found.edx].iter().flat_map(|part| part.to_le_bytes()).collect();
    let known = KNOWN.iter().find(|(known, _)| known[..] == signature[..]).map(|(_, word)| *word);
    known.or(Some("vm-other"))
}

/// See the other one.
#[cfg(not(target_arch = "x86_64"))]
pub fn hypervisor() -> Option<&'static str> {
    None
}
