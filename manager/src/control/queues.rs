//! What waits in listeners, as D-Bus shows it: of a socket line by line, of an instance in one.
//!
//! Never here: asking the kernel. Invariant: in a row of fixed length a largest number or -1 stands for what is not known; in a
//! dictionary it is left out.

use std::time::Duration;

use sockmgr_unit::UnitName;

use super::value::Value;
use super::{Core, QueueView};

/// `a(uuuuuttd)`: slot (0: shared) and line from 1, what waits, the most that can, drops, how long the oldest has waited (µs), what was
/// steered there so far, and per second.
pub(super) fn rows(queues: &[QueueView]) -> Value {
    queues.iter().map(row).collect::<Vec<_>>().into()
}

fn row(queue: &QueueView) -> (u32, u32, u32, u32, u32, u64, u64, f64) {
    let slot = queue.slot.map_or(0, |slot| slot + 1);
    let unknown = if queue.used == 0 { 0 } else { u64::MAX };
    let oldest = queue.oldest.map_or(unknown, micros);
    let (steered, per_second) = (queue.steered.unwrap_or(u64::MAX), queue.per_second.unwrap_or(-1.0));
    (slot, queue.line as u32 + 1, queue.used, queue.limit, queue.drops, oldest, steered, per_second)
}

/// What waits for the instance in a slot (from 0), on all lines of `sockets`: lengths of the fullest queue, the rest of all together.
pub(super) fn of_slot(queues: &[QueueView], slot: u32) -> Vec<(&'static str, Value)> {
    let own = || queues.iter().filter(|queue| queue.slot == Some(slot));
    let fullness = |queue: &&QueueView| f64::from(queue.used) / f64::from(queue.limit.max(1));
    let Some(fullest) = own().max_by(|a, b| fullness(a).total_cmp(&fullness(b))) else { return Vec::new() };
    let drops = own().fold(0u32, |sum, queue| sum.saturating_add(queue.drops));
    let mut values = vec![
        ("QueueLength", fullest.used.into()),
        ("QueueLimit", fullest.limit.into()),
        ("QueueDrops", drops.into()),
    ];
    values.extend(
        own().filter_map(|queue| queue.oldest).max().map(|oldest| ("OldestUSec", micros(oldest).into())),
    );
    values.extend(
        own()
            .filter_map(|queue| queue.steered)
            .reduce(u64::saturating_add)
            .map(|all| ("Steered", all.into())),
    );
    let per_second = own().filter_map(|queue| queue.per_second).reduce(|sum, more| sum + more);
    values.extend(per_second.map(|rate| ("SteeredPerSecond", rate.into())));
    values
}

/// The queues of several sockets.
pub(super) fn of_sockets(core: &dyn Core, sockets: &[&UnitName]) -> Vec<QueueView> {
    sockets.iter().flat_map(|socket| core.queues(socket)).collect()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queues_of_a_slot_are_one() {
        let of = |slot, line, used| QueueView {
            slot: Some(slot),
            line,
            used,
            limit: 100,
            drops: 1,
            ..QueueView::default()
        };
        let counted = QueueView { steered: Some(7), oldest: Some(Duration::from_millis(2)), ..of(0, 1, 9) };
        let queues = [of(0, 0, 3), counted, of(1, 0, 50)];
        let values = of_slot(&queues, 0);
        let expected: Vec<(&str, Value)> = vec![
            ("QueueLength", 9u32.into()),
            ("QueueLimit", 100u32.into()),
            ("QueueDrops", 2u32.into()),
            ("OldestUSec", 2000u64.into()),
            ("Steered", 7u64.into()),
        ];
        assert_eq!(values, expected);
        assert_eq!(of_slot(&queues, 2), []);
        assert_eq!(row(&of(0, 0, 0)), (1, 1, 0, 100, 1, 0, u64::MAX, -1.0));
        assert_eq!(row(&of(1, 0, 50)), (2, 1, 50, 100, 1, u64::MAX, u64::MAX, -1.0));
    }
}
