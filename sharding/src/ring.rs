//! `Ring`: the assignment "consistent", for teams that prefer few moved keys when a shard is added.
//!
//! Each shard has [`POINTS_PER_WEIGHT`] points a unit of weight on a circle of 64-bit numbers; a sharding
//! value belongs to the shard of the first point at or behind its own hash. A point is the SipHash-2-4 of the
//! shard's *name* and the point's number, so the ring does not depend on the order of shards, on addresses,
//! or on the platform. The ring is consistent_hash's; its DefaultHash is not used, for std promises nothing
//! of the bytes that `Hash` writes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use consistent_hash::{Node, RingHash, StaticHashRing};
use siphasher::sip::SipHasher24;

/// Points of a shard of weight 1. More even out the shares: 128 keep them within about a tenth of the
/// weights.
pub const POINTS_PER_WEIGHT: usize = 128;

/// Points of a whole ring, 24 bytes each. More are refused with the advice to take smaller weights.
pub const POINTS_MAX: usize = 1_000_000;

/// A ring of shards.
#[derive(Debug, Clone)]
pub struct Ring {
    ring: Arc<StaticHashRing<'static, ShardName, usize, ByteHash>>,
}

/// Shards that make no ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// No shard has a weight above 0.
    #[error("no shard has a weight above 0: at least one must take rows")]
    NoPoints,
    /// Two shards have the same name, whose points would coincide.
    #[error("two shards are named '{name}'")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The weights need too many points.
    #[error(
        "the weights sum up to {weights}, a ring takes at most {most}: divide them all by the same number"
    )]
    TooManyPoints {
        /// The sum of the weights.
        weights: u64,
        /// The largest sum allowed.
        most: u64,
    },
}

impl Ring {
    /// The ring of shards by name and weight. A shard of weight 0 takes no rows and keeps its number.
    pub fn new(shards: &[(&str, u32)]) -> Result<Self, RingError> {
        check_names(shards)?;
        check_weights(shards)?;
        let nodes = shards.iter().enumerate().map(|(shard, (name, weight))| {
            let points = *weight as usize * POINTS_PER_WEIGHT;
            Node::new(ShardName((*name).to_owned()))
                .value(shard)
                .quantity(points)
        });
        Ok(Self {
            ring: Arc::new(StaticHashRing::new(ByteHash, nodes)),
        })
    }

    /// The shard, counted from 0 in the order given, that a sharding value belongs to.
    pub fn shard_of(&self, value: u64) -> usize {
        // A ring always has points (`new` sees to it), so there always is a candidate.
        self.ring
            .calc_candidates(&ShardingValue(value))
            .next()
            .map_or(0, |node| node.value)
    }
}

fn check_names(shards: &[(&str, u32)]) -> Result<(), RingError> {
    let mut names: Vec<&str> = shards.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(RingError::DuplicateName {
            name: pair[0].to_owned(),
        }),
        None => Ok(()),
    }
}

fn check_weights(shards: &[(&str, u32)]) -> Result<(), RingError> {
    let weights: u64 = shards.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let most = (POINTS_MAX / POINTS_PER_WEIGHT) as u64;
    match weights {
        0 => Err(RingError::NoPoints),
        _ if weights > most => Err(RingError::TooManyPoints { weights, most }),
        _ => Ok(()),
    }
}

/// A shard's name; hashes as its bytes and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ShardName(String);

impl Hash for ShardName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_bytes());
    }
}

/// A sharding value; hashes as its 8 bytes, little-endian.
struct ShardingValue(u64);

impl Hash for ShardingValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0.to_le_bytes());
    }
}

/// SipHash-2-4 with the key zero over bytes that the types above name themselves.
#[derive(Debug, Clone, Copy)]
struct ByteHash;

impl RingHash for ByteHash {
    fn hash_item<T: Hash>(&self, item: &T) -> u64 {
        let mut hasher = SipHasher24::new();
        item.hash(&mut hasher);
        hasher.finish()
    }

    /// The name's bytes and the point's number as 8 bytes, little-endian.
    fn hash_vnode<K: Hash>(&self, node_key: &K, vnode_seq: usize) -> u64 {
        let mut hasher = SipHasher24::new();
        node_key.hash(&mut hasher);
        hasher.write(&(vnode_seq as u64).to_le_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards_of(ring: &Ring, values: u64) -> Vec<usize> {
        (0..values).map(|value| ring.shard_of(value)).collect()
    }

    #[test]
    fn the_ring_never_moves() {
        let ring = Ring::new(&[("s01", 1), ("s02", 2), ("s03", 1)]).unwrap();
        let placed: String = shards_of(&ring, 10_000)
            .iter()
            .map(|shard| char::from(b'0' + *shard as u8))
            .collect();
        let golden = include_str!("../golden/ring.txt").replace('\n', "");
        assert!(
            placed == golden,
            "placement differs from golden/ring.txt; now it is\n{placed}"
        );
    }

    #[test]
    fn shares_follow_the_weights() {
        let ring = Ring::new(&[("a", 1), ("b", 3), ("c", 0)]).unwrap();
        let mut rows = [0_u32; 3];
        shards_of(&ring, 40_000)
            .into_iter()
            .for_each(|shard| rows[shard] += 1);
        assert_eq!(rows[2], 0);
        assert!((8_500..11_500).contains(&rows[0]), "{rows:?}");
    }

    #[test]
    fn a_new_shard_takes_rows_from_the_others_and_moves_none_between_them() {
        let before = Ring::new(&[("a", 1), ("b", 1)]).unwrap();
        let after = Ring::new(&[("a", 1), ("b", 1), ("c", 1)]).unwrap();
        for (old, new) in shards_of(&before, 10_000)
            .into_iter()
            .zip(shards_of(&after, 10_000))
        {
            assert!(new == old || new == 2);
        }
    }

    #[test]
    fn the_order_of_shards_does_not_matter() {
        let one = Ring::new(&[("a", 1), ("b", 2)]).unwrap();
        let other = Ring::new(&[("b", 2), ("a", 1)]).unwrap();
        for (left, right) in shards_of(&one, 1_000).into_iter().zip(shards_of(&other, 1_000)) {
            assert_eq!(left, 1 - right);
        }
    }

    #[test]
    fn shards_that_make_no_ring_are_refused() {
        let refusal = |shards: &[(&str, u32)]| Ring::new(shards).unwrap_err();
        assert_eq!(refusal(&[]), RingError::NoPoints);
        assert_eq!(refusal(&[("a", 0)]), RingError::NoPoints);
        assert_eq!(
            refusal(&[("a", 1), ("a", 2)]),
            RingError::DuplicateName { name: "a".into() }
        );
        assert_eq!(
            refusal(&[("a", u32::MAX)]),
            RingError::TooManyPoints {
                weights: u32::MAX.into(),
                most: 7_812
            }
        );
    }
}
