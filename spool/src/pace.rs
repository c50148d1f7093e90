//! How large and how rarely batches are cut for a destination that has too much to do. Pure.
//!
//! | the shard has | then batches become |
//! |---|---|
//! | too many parts | rarer, up to 64 times `max_delay`, and so larger |
//! | too little memory or time for one batch | smaller, down to a 64th of the limits |
//!
//! Only later cuts and joins change: a batch that was tried stays what it is, for the answers prove nothing. With each few
//! batches that are taken, one step is taken back.

use std::time::Duration;

use crate::model::BatchLimits;

/// Steps away from the limits of the configuration, each of which doubles or halves.
const STEPS_MAX: u8 = 6;
/// Batches to be taken before one step is taken back: a shard that is asked for more at once is at its limit again at once.
const TAKEN_PER_STEP: u8 = 8;
/// What is doubled where the configuration lets no row wait.
const DELAY_MIN: Duration = Duration::from_millis(100);
/// No row waits longer for company, unless the configuration says so.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// Raw bytes below which a smaller batch relieves nobody.
const BYTES_MIN: u64 = 64 << 10;
/// The same in rows.
const ROWS_MIN: u64 = 100;

/// What a shard cannot bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strain {
    /// So many batches.
    Number,
    /// So large a batch.
    Size,
}

/// How far a destination's batches are from what the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    rarer: u8,
    smaller: u8,
    taken: u8,
}

impl Pace {
    /// After an answer that says so.
    #[must_use]
    pub fn strained(self, strain: Strain) -> Pace {
        let more = |steps: u8| (steps + 1).min(STEPS_MAX);
        let (rarer, smaller) = match strain {
            Strain::Number => (more(self.rarer), self.smaller.saturating_sub(1)),
            Strain::Size => (self.rarer, more(self.smaller)),
        };
        Pace {
            rarer,
            smaller,
            taken: 0,
        }
    }

    /// After a batch that was taken.
    #[must_use]
    pub fn eased(self) -> Pace {
        let taken = self.taken + 1;
        match taken {
            _ if self.is_usual() => self,
            ..TAKEN_PER_STEP => Pace { taken, ..self },
            _ => Pace {
                rarer: self.rarer.saturating_sub(1),
                smaller: self.smaller.saturating_sub(1),
                taken: 0,
            },
        }
    }

    /// Whether batches are as the configuration says.
    pub fn is_usual(self) -> bool {
        (self.rarer, self.smaller) == (0, 0)
    }

    /// How many times longer a row waits for company: 1, 2, 4 … 64.
    pub fn delay_factor(self) -> u32 {
        1 << self.rarer
    }

    /// By what a batch's limits are divided: 1, 2, 4 … 64.
    pub fn size_divisor(self) -> u32 {
        1 << self.smaller
    }

    /// The stricter of two destinations that get the same batches.
    #[must_use]
    pub fn with(self, other: Pace) -> Pace {
        Pace {
            rarer: self.rarer.max(other.rarer),
            smaller: self.smaller.max(other.smaller),
            taken: 0,
        }
    }

    /// What one batch may hold now.
    pub fn limits(self, usual: BatchLimits) -> BatchLimits {
        let divisor = u64::from(self.size_divisor());
        // Never above what is usual.
        let part = |usual: u64, least: u64| (usual / divisor).max(least.min(usual));
        let longest = usual.max_delay.max(DELAY_MAX);
        let max_delay = match self.rarer {
            0 => usual.max_delay,
            _ => (usual.max_delay.max(DELAY_MIN) * self.delay_factor()).min(longest),
        };
        BatchLimits {
            max_rows: part(usual.max_rows, ROWS_MIN),
            max_bytes: part(usual.max_bytes, BYTES_MIN),
            max_delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strained(strain: Strain, times: usize) -> Pace {
        (0..times).fold(Pace::default(), |pace, _| pace.strained(strain))
    }

    fn eased(pace: Pace, times: usize) -> Pace {
        (0..times).fold(pace, |pace, _| pace.eased())
    }

    #[test]
    fn too_many_parts_make_batches_rarer_up_to_a_limit() {
        let usual = BatchLimits::default();
        let delay = |times| strained(Strain::Number, times).limits(usual).max_delay;
        assert_eq!(delay(0), usual.max_delay);
        assert_eq!(delay(1), 2 * usual.max_delay);
        assert_eq!(delay(99), DELAY_MAX);
        assert_eq!(
            strained(Strain::Number, 99).limits(usual).max_rows,
            usual.max_rows
        );
    }

    #[test]
    fn a_delay_of_nothing_grows_and_a_long_one_is_not_cut() {
        let with = |max_delay| BatchLimits {
            max_delay,
            ..BatchLimits::default()
        };
        let pace = strained(Strain::Number, 1);
        assert_eq!(pace.limits(with(Duration::ZERO)).max_delay, 2 * DELAY_MIN);
        let hour = Duration::from_secs(3600);
        assert_eq!(pace.limits(with(hour)).max_delay, hour);
    }

    #[test]
    fn too_little_memory_makes_batches_smaller_down_to_a_limit() {
        let usual = BatchLimits::default();
        let limits = |times| strained(Strain::Size, times).limits(usual);
        assert_eq!((limits(1).max_rows, limits(1).max_bytes), (500_000, 32 << 20));
        assert_eq!((limits(99).max_rows, limits(99).max_bytes), (15_625, 1 << 20));
        let small = BatchLimits {
            max_rows: 10,
            max_bytes: 100,
            ..usual
        };
        let strained = strained(Strain::Size, 99).limits(small);
        assert_eq!((strained.max_rows, strained.max_bytes), (10, 100));
    }

    #[test]
    fn batches_that_are_taken_bring_it_back_to_the_usual_step_by_step() {
        let pace = strained(Strain::Size, 2);
        assert_eq!(eased(pace, usize::from(TAKEN_PER_STEP) - 1).size_divisor(), 4);
        assert_eq!(eased(pace, usize::from(TAKEN_PER_STEP)).size_divisor(), 2);
        assert_eq!(eased(pace, 2 * usize::from(TAKEN_PER_STEP)), Pace::default());
        assert_eq!(eased(Pace::default(), 3), Pace::default());
    }

    #[test]
    fn a_new_strain_begins_the_count_anew() {
        let pace = eased(strained(Strain::Size, 1), 7).strained(Strain::Number);
        assert_eq!((pace.delay_factor(), pace.size_divisor()), (2, 1));
        assert_eq!(eased(pace, 7).delay_factor(), 2);
    }
}
