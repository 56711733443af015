//! Programs in a machine of our own, for every number and ABI; the kernel itself judges them in `spawn/tests.rs`.

use proptest::prelude::*;

use super::abi::ABIS;
use super::*;

/// A system call as the kernel shows it to a filter.
struct Made {
    audit: u32,
    number: u32,
    arguments: [u64; 6],
}

impl Made {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            _ => (self.arguments[(offset as usize - 16) / 8] >> (8 * (offset % 8))) as u32,
        }
    }
}

/// Runs a program; what it answers.
fn run(program: &Program, made: &Made) -> u32 {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let Instruction { code, on_true, on_false, value } = program.0[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { on_true } else { on_false });
        match code {
            0x20 => accumulator = made.word(value),
            0x54 => accumulator &= value,
            0x05 => at += value as usize,
            0x15 => at += jump(accumulator == value),
            0x35 => at += jump(accumulator >= value),
            0x06 => return value,
            other => panic!("no such instruction: {other:#x}"),
        }
    }
}

fn made(abi: usize, call: &str, arguments: &[u64]) -> Made {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let number = (ABIS[abi].number)(call).expect("a call that each ABI has");
    Made { audit: ABIS[abi].audit, number, arguments: all }
}

const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
const KILLED: u32 = libc::SECCOMP_RET_KILL_PROCESS;

fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number.cast_unsigned()
}

#[test]
fn the_first_rule_that_applies_counts_in_every_abi() {
    let refused = Verdict::Errno(libc::EPERM as u16);
    let rules = vec![
        Rule::when("socket", &[Condition::is(0, 1)], Verdict::Allow),
        Rule::when("socket", &[Condition::has(1, 8), Condition::is(2, 0)], Verdict::Kill),
        Rule::always("socket", refused),
        Rule::always("nosuch", Verdict::Kill),
        Rule::always("read", Verdict::Log),
    ];
    let program = compile(&Filter::denying(rules)).unwrap();
    for abi in 0..ABIS.len() {
        let table: [(&str, &[u64], u32); 8] = [
            ("socket", &[1, 8, 0], ALLOWED),
            ("socket", &[2, 8, 0], KILLED),
            ("socket", &[2, 12, 0], KILLED),
            ("socket", &[2, 12, 1], errno(libc::EPERM)),
            ("socket", &[2, 4, 0], errno(libc::EPERM)),
            // What is above the 32 bits that the kernel reads hides nothing.
            ("socket", &[1 << 32 | 1, 0, 0], ALLOWED),
            ("read", &[], libc::SECCOMP_RET_LOG),
            ("write", &[], ALLOWED),
        ];
        for (call, arguments, expected) in table {
            assert_eq!(run(&program, &made(abi, call, arguments)), expected, "{abi} {call} {arguments:?}");
        }
    }
}

#[test]
fn foreign_abis_are_killed_where_only_some_are_allowed() {
    let native =
        Filter { rules: Vec::new(), otherwise: Verdict::Allow, architectures: Some(vec!["native", "s390x"]) };
    let program = compile(&native).unwrap();
    for abi in 0..ABIS.len() {
        let expected = if abi == 0 { ALLOWED } else { KILLED };
        assert_eq!(run(&program, &made(abi, "read", &[])), expected);
    }
    assert_eq!(run(&program, &Made { audit: 1, number: 0, arguments: [0; 6] }), KILLED);
    if let Some(end) = ABIS[0].end {
        let beyond = Made { audit: ABIS[0].audit, number: end + 1, arguments: [0; 6] };
        assert_eq!(run(&program, &beyond), KILLED);
        let any = compile(&Filter::denying(Vec::new())).unwrap();
        assert_eq!(run(&any, &beyond), errno(libc::ENOSYS));
    }
}

/// Calls with numbers close together and far apart.
const CALLS: [&str; 12] = [
    "read", "write", "close", "lseek", "dup", "getpid", "kill", "chdir", "openat2", "statx", "clone3", "bpf",
];

proptest! {
    #[test]
    fn a_call_gets_the_verdict_of_its_rule(listed in proptest::collection::vec(any::<bool>(), 12), number in 0u32..600) {
        let rules = CALLS.iter().zip(&listed).filter(|(_, listed)| **listed);
        let rules: Vec<Rule> = rules.map(|(call, _)| Rule::always(call, Verdict::Allow)).collect();
        let filter = Filter { rules, otherwise: Verdict::Kill, architectures: None };
        let program = compile(&filter).unwrap();
        for abi in ABIS {
            let is_allowed = filter.rules.iter().any(|rule| (abi.number)(rule.call) == Some(number));
            let found = run(&program, &Made { audit: abi.audit, number, arguments: [0; 6] });
            prop_assert_eq!(found, if is_allowed { ALLOWED } else { KILLED });
        }
    }
}
