//! The settings that make one batch one block, and what a replica knows of them.

use crate::facts::Facts;

/// The most rows a batch may hold so that the settings below make it one block.
pub const BATCH_ROWS_MAX: u64 = 1_000_000;

/// The settings stored with every batch and sent with every attempt, in ClickHouse's own names.
///
/// The block sizes are one more than [`BATCH_ROWS_MAX`]: a block that is full is handed on before the body's
/// end was seen, so a batch of exactly the block size would survive a cut (tried on 18.16; see the crate's
/// documentation). A server refuses settings it does not know (code 115): [`settings_known_to`] leaves those
/// out.
pub const PINNED_SETTINGS: &[(&str, &str)] = &[
    ("max_insert_block_size", "1000001"),
    ("min_insert_block_size_rows", "1000001"),
    ("min_insert_block_size_bytes", "0"),
    ("max_insert_block_size_bytes", "0"),
    ("max_insert_threads", "1"),
    ("input_format_parallel_parsing", "0"),
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("deduplicate_insert", "enable"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
];

/// Those of `settings` that the replica knows, in their order.
///
/// The replica must have been asked for them: [`Replica::facts`](crate::Replica::facts) asks for
/// [`PINNED_SETTINGS`]
/// and for the names it is given. A name it was not asked for counts as unknown.
pub fn settings_known_to<'a>(facts: &Facts, settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    settings
        .iter()
        .copied()
        .filter(|(name, _)| facts.known_settings.contains(*name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_the_replica_does_not_know_is_left_out() {
        let facts = Facts {
            known_settings: ["async_insert".to_owned()].into(),
            ..Facts::default()
        };
        let settings = [("async_insert", "0"), ("insert_deduplication_token", "x")];
        assert_eq!(settings_known_to(&facts, &settings), [("async_insert", "0")]);
    }

    #[test]
    fn the_pinned_block_is_larger_than_any_batch() {
        for name in ["max_insert_block_size", "min_insert_block_size_rows"] {
            let (_, rows) = PINNED_SETTINGS
                .iter()
                .find(|(pinned, _)| *pinned == name)
                .unwrap();
            assert!(rows.parse::<u64>().unwrap() > BATCH_ROWS_MAX, "{name}");
        }
    }
}
