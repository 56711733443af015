//! From rules to instructions.

use std::collections::BTreeMap;

use super::abi::{self, ABIS, Abi};
use super::{Condition, Filter, Instruction, Program, Rule, UnknownMachine, Verdict};

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const LD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Code under construction, from a place on.
type Code = Vec<Instruction>;

/// The program for a filter.
///
/// # Errors
/// Nothing is known of the system calls of this machine.
pub fn compile(filter: &Filter) -> Result<Program, UnknownMachine> {
    if ABIS.is_empty() {
        return Err(UnknownMachine);
    }
    let mut code = vec![plain(LD_WORD, ARCHITECTURE)];
    for (index, abi) in ABIS.iter().enumerate() {
        let block = block(filter, index, abi);
        code.extend(skip_unless(JUMP_IF_EQUAL, abi.audit, block.len()));
        code.extend(block);
    }
    // A process cannot get here; were there a third ABI after all, nothing would be known of its calls.
    let unknown = if filter.architectures.is_some() { Verdict::Kill } else { Verdict::Allow };
    code.push(answer(unknown));
    Ok(Program(code))
}

/// What is done for one ABI; it never goes on behind its end.
fn block(filter: &Filter, index: usize, abi: &Abi) -> Code {
    let is_named = |names: &Vec<&str>| names.iter().any(|name| abi::is_named(abi, index, name));
    if filter.architectures.as_ref().is_some_and(|names| !is_named(names)) {
        return vec![answer(Verdict::Kill)];
    }
    let mut code = vec![plain(LD_WORD, NUMBER)];
    if let Some(end) = abi.end {
        let refused = if filter.architectures.is_some() { Verdict::Kill } else { Verdict::Errno(ENOSYS) };
        code.extend(skip_unless(JUMP_IF_AT_LEAST, end, 1));
        code.push(answer(refused));
    }
    search(&mut code, &ranges(filter, abi));
    code
}

const ENOSYS: u16 = libc::ENOSYS as u16;

/// Numbers from `first` up to the next range that are treated alike.
#[derive(Debug, PartialEq)]
struct Range {
    first: u32,
    leaf: Code,
}

/// All numbers, in order.
fn ranges(filter: &Filter, abi: &Abi) -> Vec<Range> {
    let mut by_number: BTreeMap<u32, Vec<&Rule>> = BTreeMap::new();
    for rule in &filter.rules {
        if let Some(number) = (abi.number)(rule.call) {
            by_number.entry(number).or_default().push(rule);
        }
    }
    let otherwise = vec![answer(filter.otherwise)];
    let mut ranges = vec![Range { first: 0, leaf: otherwise.clone() }];
    for (number, rules) in by_number {
        push(&mut ranges, Range { first: number, leaf: leaf(&rules, filter.otherwise) });
        push(&mut ranges, Range { first: number + 1, leaf: otherwise.clone() });
    }
    ranges
}

/// Adds a range that begins where the last one does, or behind that. Two that lead to the same become one.
fn push(ranges: &mut Vec<Range>, next: Range) {
    if ranges.last().is_some_and(|last| last.first == next.first) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|last| last.leaf != next.leaf) {
        ranges.push(next);
    }
}

/// What is done about one call.
fn leaf(rules: &[&Rule], otherwise: Verdict) -> Code {
    let mut code = Code::new();
    for rule in rules {
        if rule.conditions.is_empty() {
            code.push(answer(rule.verdict));
            return code;
        }
        code.extend(conditional(&rule.conditions, rule.verdict));
    }
    code.push(answer(otherwise));
    code
}

/// Answers if all conditions hold, else goes on.
fn conditional(conditions: &[Condition], verdict: Verdict) -> Code {
    conditions.iter().rev().fold(vec![answer(verdict)], |rest, condition| {
        let mut code = vec![plain(LD_WORD, argument(condition.argument))];
        if condition.mask != u32::MAX {
            code.push(plain(AND, condition.mask));
        }
        code.extend(skip_unless(JUMP_IF_EQUAL, condition.value, rest.len()));
        code.extend(rest);
        code
    })
}

/// Where the low half of an argument is.
fn argument(index: u8) -> u32 {
    let low = if cfg!(target_endian = "little") { 0 } else { 4 };
    ARGUMENTS + 8 * u32::from(index) + low
}

/// A binary search for the number in A.
fn search(code: &mut Code, ranges: &[Range]) {
    let [range] = ranges else {
        let (low, high) = ranges.split_at(ranges.len() / 2);
        let mut above = Code::new();
        search(&mut above, high);
        code.extend(skip_unless(JUMP_IF_AT_LEAST, high[0].first, above.len()));
        code.extend(above);
        return search(code, low);
    };
    code.extend_from_slice(&range.leaf);
}

/// Jumps over `length` instructions where the test of A fails. A conditional jump reaches no further than 255 instructions; where
/// there are more, an unconditional one goes.
fn skip_unless(test: u16, value: u32, length: usize) -> Code {
    match u8::try_from(length) {
        Ok(length) => vec![Instruction { code: test, on_true: 0, on_false: length, value }],
        Err(_) => {
            let length = u32::try_from(length).expect("far shorter than that");
            vec![Instruction { code: test, on_true: 1, on_false: 0, value }, plain(JUMP, length)]
        }
    }
}

fn plain(code: u16, value: u32) -> Instruction {
    Instruction { code, on_true: 0, on_false: 0, value }
}

fn answer(verdict: Verdict) -> Instruction {
    let value = match verdict {
        Verdict::Allow => libc::SECCOMP_RET_ALLOW,
        Verdict::Log => libc::SECCOMP_RET_LOG,
        Verdict::Errno(number) => libc::SECCOMP_RET_ERRNO | u32::from(number),
        Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    plain(RETURN, value)
}
