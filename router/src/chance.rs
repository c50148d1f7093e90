//! Chance that decides when and where, and is no secret: pauses, whose turn it is. In the seeded world it is the seed's.

use rand::Rng;

/// Random numbers.
#[cfg(not(test))]
pub fn rng() -> impl Rng {
    rand::rng()
}

/// Random numbers; the same for the same seed of a simulation.
#[cfg(test)]
pub fn rng() -> impl Rng {
    use rand::SeedableRng as _;
    rand::rngs::SmallRng::seed_from_u64(spool::sim::random() as u64)
}
