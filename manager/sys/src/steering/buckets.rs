//! Buckets: flows of datagrams are divided among slots so that as few as possible move when the slots change.
//!
//! Which bucket a flow is in, its hash says, for good; which slot a bucket belongs to, this table. It outlives the manager, since
//! nothing in the kernel tells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Share;

/// How many there are.
pub const BUCKETS: usize = 256;

/// The owner of each bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buckets {
    /// Of all of them, or of none.
    owners: Vec<u16>,
}

impl Buckets {
    /// The slot of each bucket; `None` before the first [`assign`](Self::assign).
    #[must_use]
    pub fn owners(&self) -> Option<[u16; BUCKETS]> {
        self.owners.as_slice().try_into().ok()
    }

    /// Divides the buckets among the `live` slots, each getting its share by weight. A bucket changes its owner only if that one is not
    /// live any more, or has more than its share. Without a live slot nothing changes.
    pub fn assign(&mut self, live: &[Share]) {
        let mut room: BTreeMap<u16, u32> = self.shares(live);
        if room.is_empty() {
            return;
        }
        self.owners.resize(BUCKETS, live[0].slot);
        let mut homeless = Vec::new();
        for (bucket, owner) in self.owners.iter().enumerate() {
            match room.get_mut(owner) {
                Some(left) if *left > 0 => *left -= 1,
                _ => homeless.push(bucket),
            }
        }
        let free = room.iter().flat_map(|(slot, left)| std::iter::repeat_n(*slot, *left as usize));
        for (bucket, slot) in homeless.into_iter().zip(free) {
            self.owners[bucket] = slot;
        }
    }

    /// How many buckets each slot is due. What rounding leaves over goes to those that have more than their share already: it need not
    /// move then.
    fn shares(&self, live: &[Share]) -> BTreeMap<u16, u32> {
        let held = |slot: u16| self.owners.iter().filter(|owner| **owner == slot).count();
        let weights: BTreeMap<u16, u32> =
            live.iter().map(|share| (share.slot, share.weight.max(1))).collect();
        let mut preferred: Vec<(u16, u32)> = weights.into_iter().collect();
        preferred.sort_by_key(|(slot, _)| std::cmp::Reverse(held(*slot)));
        apportion(&preferred, BUCKETS as u32)
    }
}

/// Divides `total` by weight, without a rest: the largest remainders are rounded up, of equal ones those that come first.
pub(super) fn apportion(weights: &[(u16, u32)], total: u32) -> BTreeMap<u16, u32> {
    let sum: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let exact = |weight: u32| u64::from(total) * u64::from(weight);
    let mut parts: Vec<(u16, u32, u64)> = weights
        .iter()
        .map(|(slot, weight)| (*slot, (exact(*weight) / sum) as u32, exact(*weight) % sum))
        .collect();
    let given: u32 = parts.iter().map(|(_, count, _)| count).sum();
    parts.sort_by_key(|(_, _, remainder)| std::cmp::Reverse(*remainder));
    for (_, count, _) in parts.iter_mut().take((total - given) as usize) {
        *count += 1;
    }
    parts.into_iter().map(|(slot, count, _)| (slot, count)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(live: &BTreeMap<u16, u32>) -> Vec<Share> {
        live.iter().map(|(slot, weight)| Share { slot: *slot, weight: *weight }).collect()
    }

    fn count(buckets: &Buckets, slot: u16) -> usize {
        buckets.owners.iter().filter(|owner| **owner == slot).count()
    }

    fn moved(before: &Buckets, after: &Buckets) -> usize {
        before.owners.iter().zip(&after.owners).filter(|(before, after)| before != after).count()
    }

    #[test]
    fn a_restart_of_one_of_four_moves_a_quarter_away_and_back() {
        let all: Vec<Share> = (0..4).map(Share::equal).collect();
        let mut full = Buckets::default();
        full.assign(&all);
        assert_eq!((0..4).map(|slot| count(&full, slot)).collect::<Vec<_>>(), [64; 4]);
        let mut without = full.clone();
        without.assign(&all[..3]);
        assert_eq!(moved(&full, &without), 64);
        let mut again = without.clone();
        again.assign(&all);
        assert_eq!(moved(&without, &again), 64);
    }

    #[test]
    fn weights_make_shares() {
        let mut buckets = Buckets::default();
        buckets.assign(&[Share { slot: 0, weight: 100 }, Share { slot: 7, weight: 300 }]);
        assert_eq!((count(&buckets, 0), count(&buckets, 7)), (64, 192));
    }

    #[test]
    fn nobody_live_changes_nothing() {
        let mut buckets = Buckets::default();
        buckets.assign(&[]);
        assert_eq!(buckets.owners(), None);
        buckets.assign(&[Share::equal(3)]);
        buckets.assign(&[]);
        assert_eq!(buckets.owners(), Some([3; BUCKETS]));
    }

    proptest! {
        #[test]
        fn shares_are_fair_and_moves_are_few(
            steps in prop::collection::vec(prop::collection::btree_map(0u16..80, 1u32..5, 1..70), 1..12)
        ) {
            let mut buckets = Buckets::default();
            for live in steps {
                let before = buckets.clone();
                buckets.assign(&shares(&live));
                let total: u32 = live.values().sum();
                let mut must_move = 0;
                for (slot, weight) in &live {
                    let exact = f64::from(*weight) * BUCKETS as f64 / f64::from(total);
                    prop_assert!((count(&buckets, *slot) as f64 - exact).abs() < 1.0);
                    must_move += count(&before, *slot).saturating_sub(count(&buckets, *slot));
                }
                must_move += before.owners.iter().filter(|owner| !live.contains_key(owner)).count();
                prop_assert_eq!(moved(&before, &buckets), must_move);
                prop_assert!(buckets.owners.iter().all(|owner| live.contains_key(owner)));
            }
        }
    }
}
