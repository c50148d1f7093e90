//! Signatures first; the bodies follow.

use crate::error::StageError;

/// The rows of one INSERT on their way in.
#[derive(Debug)]
pub struct Stage {
    _private: (),
}

/// A whole INSERT, ready to be committed.
#[derive(Debug)]
pub struct Staged {
    _private: (),
}

impl Stage {
    /// Raw bytes of one run.
    pub const RUN_BYTES_MAX: u64 = 1 << 30;

    /// Rows of one run: the least `max_rows` of the lanes.
    pub fn run_rows_max(&self) -> u64 {
        0
    }

    /// Takes a run of `count` whole rows, terminators included, for the shard of that index. A run is never split.
    pub fn append(&mut self, shard: usize, rows: &[u8], count: u64) -> Result<(), StageError> {
        let _ = (shard, rows, count);
        Ok(())
    }

    /// Ends the INSERT: what is on disk is synced.
    pub fn finish(self) -> Result<Staged, StageError> {
        Ok(Staged { _private: () })
    }
}

impl Staged {
    /// Rows of all shares.
    pub fn rows(&self) -> u64 {
        0
    }

    /// Raw bytes of all shares.
    pub fn raw_bytes(&self) -> u64 {
        0
    }
}
