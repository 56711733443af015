//! What a classic program looks its answer up in: every number below a total belongs to one range, and a range to a slot, or to a run
//! of neighbours of which each has one number.

use std::collections::BTreeMap;

use super::Share;

/// Ranges in ascending order, the first of which begins at 0.
pub(super) struct Ranges {
    total: u32,
    ranges: Vec<Range>,
}

/// The numbers from `first` up to the next range.
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) answer: Answer,
}

/// Whom they belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// All to one slot.
    Slot(u32),
    /// The first one to this slot, the second to the slot behind it, and so on.
    From(u32),
}

impl Ranges {
    /// One number for each slot.
    pub(super) fn equal(live: &[Share]) -> Self {
        let slots: BTreeMap<u32, u32> = by_slot(live);
        let mut ranges: Vec<Range> = Vec::new();
        for (number, slot) in (0..).zip(slots.keys().copied()) {
            let continues = ranges.last().is_some_and(|range| range.slot() + number - range.first == slot);
            if !continues {
                ranges.push(Range { first: number, answer: Answer::From(slot) });
            }
        }
        Self { total: u32::try_from(slots.len()).expect("slots have 16 bits"), ranges }
    }

    /// As many numbers for each slot as its weight says.
    pub(super) fn weighted(live: &[Share]) -> Self {
        let (mut total, mut ranges) = (0, Vec::new());
        for (slot, weight) in by_slot(live) {
            ranges.push(Range { first: total, answer: Answer::Slot(slot) });
            total += weight.max(1);
        }
        Self { total, ranges }
    }

    /// The slot of each number, one after the other.
    pub(super) fn listed(slots: &[u16]) -> Self {
        let mut ranges: Vec<Range> = Vec::new();
        for (number, slot) in (0..).zip(slots) {
            let answer = Answer::Slot(u32::from(*slot));
            if ranges.last().is_none_or(|range| range.answer != answer) {
                ranges.push(Range { first: number, answer });
            }
        }
        Self { total: u32::try_from(slots.len()).expect("a short list"), ranges }
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(super) fn as_slice(&self) -> &[Range] {
        &self.ranges
    }

    /// First slot and length of each run of neighbours.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        let ends = self.ranges.iter().skip(1).map(|range| range.first).chain([self.total]);
        self.ranges.iter().zip(ends).map(|(range, end)| (range.slot(), end - range.first))
    }
}

impl Range {
    fn slot(&self) -> u32 {
        match self.answer {
            Answer::Slot(slot) | Answer::From(slot) => slot,
        }
    }
}

fn by_slot(live: &[Share]) -> BTreeMap<u32, u32> {
    live.iter().map(|share| (u32::from(share.slot), share.weight)).collect()
}
