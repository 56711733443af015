//! Sets of processors and of memory nodes: `0-3,8` (systemd.exec(5), `CPUAffinity=`, `NUMAMask=`).
//!
//! Never here: which processors there are. Invariant: a mask is as long as its highest member needs, in whole words of the
//! kernel's.

use std::fmt::{self, Write};

use super::word::{Backslash, Words};
use super::{ValueError, parse_u32};
use crate::directive::{Context, Property, Value};

/// What systemd takes at most.
const MAX: u32 = 8192;
/// Bytes of the words that the kernel's masks are made of.
const WORD: usize = size_of::<u64>();
const FORM: &str = "numbers from 0 to 8191 and ranges of them, such as 0-3,8, with blanks or commas between";

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberSet(Vec<u8>);

impl NumberSet {
    /// Nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// The mask, lowest number in the lowest bit of the first byte: as the kernel and D-Bus have it.
    pub fn as_mask(&self) -> &[u8] {
        &self.0
    }

    /// The members, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.0.len() * 8).filter(|number| self.0[number / 8] & (1 << (number % 8)) != 0)
    }

    /// Adds a number.
    pub fn insert(&mut self, number: usize) {
        let length = (number / 8 / WORD + 1) * WORD;
        self.0.resize(self.0.len().max(length), 0);
        self.0[number / 8] |= 1 << (number % 8);
    }

    /// Reads the words of one assignment; a range that runs backwards is reported and adds nothing.
    ///
    /// # Errors
    /// A word is neither a number nor a range, or beyond 8191.
    pub fn parse(text: &str, warn: impl Fn(ValueError)) -> Result<Self, ValueError> {
        let mut set = Self::default();
        for word in Words::new(text, Backslash::Quotes) {
            let word = word?.into_text()?;
            for range in word.split(',').filter(|range| !range.is_empty()) {
                set.add_range(range, &warn)?;
            }
        }
        Ok(set)
    }

    fn add_range(&mut self, text: &str, warn: impl Fn(ValueError)) -> Result<(), ValueError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (parse_u32(first)?, parse_u32(last)?);
        if first > last {
            warn(ValueError::range(text, "a range goes from its lower to its higher number"));
            // It is not nothing: the earlier numbers stay.
            self.0.resize(self.0.len().max(WORD), 0);
            return Ok(());
        }
        if last >= MAX {
            return Err(ValueError::range(text, "the numbers are from 0 to 8191"));
        }
        (first..=last).for_each(|number| self.insert(number as usize));
        Ok(())
    }

    /// Takes one assignment: it adds to the earlier ones, and one without numbers forgets them.
    fn extend(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        let more = Self::parse(text, |warning| cx.warn(warning))?;
        if more.0.is_empty() {
            self.0.clear();
        }
        more.iter().for_each(|number| self.insert(number));
        Ok(())
    }
}

/// As systemd prints it, and reads it back: `0-3 8`.
impl fmt::Display for NumberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.iter().peekable();
        let mut blank = false;
        while let Some(first) = numbers.next() {
            let mut last = first;
            while numbers.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            if std::mem::replace(&mut blank, true) {
                f.write_char(' ')?;
            }
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        Ok(())
    }
}

impl Value for NumberSet {
    const FORM: &'static str = FORM;
    const SIGNATURE: &'static str = "ay";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text == "all" {
            (0..MAX as usize).for_each(|number| self.insert(number));
            return Ok(());
        }
        self.extend(text, cx)
    }

    fn property(&self) -> Property {
        Property::Bytes(self.0.clone())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// On which processors a process may run (systemd.exec(5), `CPUAffinity=`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuAffinity {
    /// On these; where there are none, wherever the manager may.
    Cpus(NumberSet),
    /// On those that belong to the nodes of `NUMAMask=`.
    Numa,
    /// Each instance of a group on one of its own: slot n on the n-th that the manager may use, and again from the first.
    Instance,
}

impl Default for CpuAffinity {
    fn default() -> Self {
        Self::Cpus(NumberSet::default())
    }
}

impl Value for CpuAffinity {
    const FORM: &'static str = "numbers of processors and ranges of them, such as 0-3,8; or numa (those of NUMAMask=), or instance (each instance its own)";
    const SIGNATURE: &'static str = "ay";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        let text = cx.expand(text)?;
        match (text.as_str(), &mut *self) {
            ("numa", _) => *self = Self::Numa,
            ("instance", _) => *self = Self::Instance,
            (_, Self::Cpus(cpus)) => cpus.extend(&text, cx)?,
            (_, Self::Numa | Self::Instance) => {
                let mut cpus = NumberSet::default();
                cpus.extend(&text, cx)?;
                *self = Self::Cpus(cpus);
            }
        }
        Ok(())
    }

    fn property(&self) -> Property {
        match self {
            Self::Cpus(cpus) => Property::Bytes(cpus.0.clone()),
            Self::Numa | Self::Instance => Property::Bytes(Vec::new()),
        }
    }

    fn shrink(&mut self) {
        if let Self::Cpus(cpus) = self {
            cpus.shrink();
        }
    }
}
