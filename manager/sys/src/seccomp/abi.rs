//! The ABIs by which processes of this machine make system calls, with the numbers that calls have there.

use std::str::FromStr;

/// One of them.
pub(super) struct Abi {
    /// systemd's name.
    pub(super) name: &'static str,
    /// `AUDIT_ARCH_*` (linux/audit.h).
    pub(super) audit: u32,
    /// The number of a call.
    pub(super) number: fn(&str) -> Option<u32>,
    /// From this number on the calls are those of a third ABI (x32), which hardly any kernel has.
    pub(super) end: Option<u32>,
}

/// The native one first.
#[cfg(target_arch = "x86_64")]
pub(super) const ABIS: &[Abi] = &[
    Abi {
        name: "x86-64",
        audit: 0xc000_003e,
        number: |name| syscalls::x86_64::Sysno::from_str(name).ok().map(|call| call as u32),
        end: Some(0x4000_0000),
    },
    Abi {
        name: "x86",
        audit: 0x4000_0003,
        number: |name| {
            let name = if name == super::OLD_MMAP { "mmap" } else { name };
            syscalls::x86::Sysno::from_str(name).ok().map(|call| call as u32)
        },
        end: None,
    },
];

/// The native one first.
#[cfg(target_arch = "aarch64")]
pub(super) const ABIS: &[Abi] = &[
    Abi {
        name: "arm64",
        audit: 0xc000_00b7,
        number: |name| syscalls::aarch64::Sysno::from_str(name).ok().map(|call| call as u32),
        end: None,
    },
    Abi {
        name: "arm",
        audit: 0x4000_0028,
        number: |name| syscalls::arm::Sysno::from_str(name).ok().map(|call| call as u32),
        end: None,
    },
];

/// The native one.
#[cfg(target_arch = "riscv64")]
pub(super) const ABIS: &[Abi] = &[Abi {
    name: "riscv64",
    audit: 0xc000_00f3,
    number: |name| syscalls::riscv64::Sysno::from_str(name).ok().map(|call| call as u32),
    end: None,
}];

/// None is known.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
pub(super) const ABIS: &[Abi] = &[];

/// Whether systemd's name of an instruction set means `abi`, which is the `index`th.
pub(super) fn is_named(abi: &Abi, index: usize, name: &str) -> bool {
    abi.name == name || index == 0 && name == "native"
}
