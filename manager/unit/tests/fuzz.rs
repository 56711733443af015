//! The fuzz targets of `tests/fuzz`, over their corpus and over changed copies of it. libFuzzer finds more, and takes
//! longer: `contrib/fuzz`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/fuzz/src/lib.rs"]
#[allow(missing_docs, unreachable_pub, reason = "a crate of its own, documented there")]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// Changed copies of each file of the corpus.
const COPIES: u64 = 12;

/// What a change puts in: what means something in one of the grammars.
const TOKENS: [&str; 24] = [
    "[",
    "]",
    "=",
    "\n",
    "\\\n",
    "%",
    "%i",
    "%%",
    "${X}",
    "$",
    "\"",
    "'",
    "\\x41",
    ";",
    "@",
    "-",
    ":",
    "/",
    "\0",
    "[Socket]\n",
    "\u{fffd}",
    "18446744073709551616",
    " ",
    "infinity",
];

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has a corpus", folder.display());
    files
}

/// xorshift64*: the same changes in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }

    fn change(&mut self, text: &mut Vec<u8>) {
        let at = self.below(text.len() + 1);
        match self.below(4) {
            0 if at < text.len() => text[at] ^= 1 << self.below(8),
            1 if at < text.len() => drop(text.drain(at..(at + self.below(8)).min(text.len()))),
            2 => {
                let piece: Vec<u8> = text[at..(at + self.below(24)).min(text.len())].to_vec();
                let to = self.below(text.len() + 1);
                text.splice(to..to, piece);
            }
            _ => drop(text.splice(at..at, TOKENS[self.below(TOKENS.len())].bytes())),
        }
    }
}

#[test]
fn no_text_breaks_a_reader() {
    for (target, run) in targets::TARGETS {
        for (number, file) in (1..).zip(corpus(target)) {
            let text = fs::read(&file).unwrap();
            run(&text);
            for copy in 0..COPIES {
                let mut chance = Chance(number * COPIES + copy + 1);
                let mut changed = text.clone();
                (0..=chance.below(6)).for_each(|_| chance.change(&mut changed));
                run(&changed);
            }
        }
    }
}
