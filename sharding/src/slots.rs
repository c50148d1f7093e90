//! `Slots`: the share of each shard by weight, exactly as ClickHouse lays it out.

use std::ops::Range;

/// The slots of a cluster: `value % total` is a row's slot, and shard i owns as many slots as its weight,
/// behind those of the shards before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// Where each shard's slots end.
    ends: Box<[u64]>,
    total: u64,
}

/// Weights that make no slots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotsError {
    /// The cluster is empty.
    #[error("a cluster without shards has no slots")]
    NoShards,
    /// ClickHouse prohibits it too (BAD_ARGUMENTS).
    #[error("all {shards} shards have the weight 0: at least one must take rows")]
    AllZero {
        /// How many shards there are.
        shards: usize,
    },
}

impl Slots {
    /// The slots of shards in the order of the configuration. A shard of weight 0 owns none and keeps its
    /// number.
    pub fn new(weights: &[u32]) -> Result<Self, SlotsError> {
        if weights.is_empty() {
            return Err(SlotsError::NoShards);
        }
        let mut total = 0;
        let ends = weights.iter().map(|weight| {
            total += u64::from(*weight);
            total
        });
        let ends = ends.collect();
        if total == 0 {
            return Err(SlotsError::AllZero {
                shards: weights.len(),
            });
        }
        Ok(Self { ends, total })
    }

    /// The shard, counted from 0, that a sharding value belongs to.
    #[inline]
    pub fn shard_of(&self, value: u64) -> usize {
        let slot = self.slot(value);
        self.ends.partition_point(|end| *end <= slot)
    }

    /// The slot of a sharding value.
    #[inline]
    pub fn slot(&self, value: u64) -> u64 {
        value % self.total
    }

    /// How many slots there are: the sum of the weights.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many shards there are, those without slots included.
    pub fn shards(&self) -> usize {
        self.ends.len()
    }

    /// The slots of a shard, counted from 0; empty for a weight of 0 and for a number that no shard has.
    pub fn range(&self, shard: usize) -> Range<u64> {
        let Some(end) = self.ends.get(shard) else {
            return self.total..self.total;
        };
        let start = if shard == 0 { 0 } else { self.ends[shard - 1] };
        start..*end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(weights: &[u32], expected: &[usize]) {
        let slots = Slots::new(weights).unwrap();
        let shards: Vec<usize> = (0..expected.len() as u64)
            .map(|value| slots.shard_of(value))
            .collect();
        assert_eq!(shards, expected, "{weights:?}");
    }

    #[test]
    fn a_shard_owns_as_many_slots_as_its_weight_behind_those_before_it() {
        check(&[1, 1, 1], &[0, 1, 2, 0, 1, 2]);
        check(&[2, 1], &[0, 0, 1, 0, 0, 1]);
        check(&[1], &[0, 0]);
        let slots = Slots::new(&[9, 10]).unwrap();
        assert_eq!((slots.total(), slots.range(0), slots.range(1)), (19, 0..9, 9..19));
        assert_eq!(
            (
                slots.shard_of(8),
                slots.shard_of(9),
                slots.shard_of(18),
                slots.shard_of(19)
            ),
            (0, 1, 1, 0)
        );
    }

    #[test]
    fn a_shard_of_weight_zero_owns_nothing_and_keeps_its_number() {
        check(&[0, 1, 0, 2, 0], &[1, 3, 3, 1]);
        let slots = Slots::new(&[0, 1, 0]).unwrap();
        assert!(slots.range(0).is_empty() && slots.range(2).is_empty() && slots.range(3).is_empty());
        assert_eq!(slots.shards(), 3);
    }

    #[test]
    fn weights_without_any_slot_are_refused() {
        assert_eq!(Slots::new(&[]), Err(SlotsError::NoShards));
        assert_eq!(Slots::new(&[0, 0]), Err(SlotsError::AllZero { shards: 2 }));
    }

    #[test]
    fn the_largest_weights_and_values_do_not_overflow() {
        let slots = Slots::new(&[u32::MAX; 200]).unwrap();
        assert_eq!(slots.total(), 200 * u64::from(u32::MAX));
        assert!(slots.shard_of(u64::MAX) < 200);
    }

    proptest::proptest! {
        #[test]
        fn a_value_lies_in_the_range_of_its_shard(
            weights in proptest::collection::vec(0_u32..20, 1..20),
            value: u64,
        ) {
            if let Ok(slots) = Slots::new(&weights) {
                let shard = slots.shard_of(value);
                assert!(slots.range(shard).contains(&slots.slot(value)));
                assert!(weights[shard] > 0);
            }
        }
    }
}
