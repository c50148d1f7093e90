//! `client_tokens = "shard"`: an INSERT's own token goes on to the shards, so that the same INSERT through another router is
//! dropped there.
//!
//! For that its rows for a shard are divided into pieces which another router finds as well: by the client's own rows and two
//! constants of the configuration, whatever the body's windows, the load and the time are. What Weir computes into rows is not
//! counted: `now()` and `rand()` have other lengths elsewhere. And a row must go to the same shard through any router; an INSERT of
//! which that cannot be said is refused, for one router's piece would take the place of other rows of another's.

use crate::exception::{Exception, code};
use crate::insert::settings::OwnSettings;
use crate::routing::RoutedTable;

/// What a piece may hold: `max_batch_rows` and `max_batch_bytes` as the configuration says them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceLimits {
    /// Rows.
    pub rows: u64,
    /// Bytes of the rows as the client gave them, in their payload format, terminators included.
    pub bytes: u64,
}

/// How the INSERT's shares are divided; none where its token stays here, or there is none.
pub fn pieces_of(table: &RoutedTable, own: &OwnSettings) -> Option<PieceLimits> {
    let send = &table.config.send;
    let goes_on = send.client_tokens == config::ClientTokens::Shard && own.deduplication_token.is_some();
    goes_on.then_some(PieceLimits {
        rows: send.max_batch_rows,
        bytes: send.max_batch_bytes,
    })
}

/// Refuses an `INSERT … SELECT`: run again, its rows may come in another order, or be others.
pub fn refuse_select(table: &RoutedTable, own: &OwnSettings) -> Result<(), Exception> {
    match pieces_of(table, own) {
        Some(_) => Err(refusal(
            &table.name,
            "the SELECT of the repeated INSERT may give other rows, or the same in another order",
        )),
        None => Ok(()),
    }
}

/// Refuses an INSERT whose rows a shard is drawn for.
pub fn refuse_random_shards(table: &str, why: &str) -> Exception {
    refusal(
        table,
        &format!("the repeated rows would go to other shards: {why}"),
    )
}

fn refusal(table: &str, why: &str) -> Exception {
    Exception::bad_input(
        code::BAD_ARGUMENTS,
        format!(
            "Table {table} has client_tokens = \"shard\", by which an INSERT with an insert_deduplication_token is recognised when \
             another router gets it too. Of this one that cannot be: {why}. Leave the token out, or give the table client_tokens \
             = \"weir\"."
        ),
    )
}

/// Says where pieces end, shard by shard.
#[derive(Debug)]
pub struct Pieces {
    limits: PieceLimits,
    open: Vec<Open>,
    /// A block as it is without what Weir computed.
    pub block: Vec<u8>,
}

/// The piece of one shard that is being filled.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    rows: u64,
    bytes: u64,
}

impl Pieces {
    /// For so many shards.
    pub fn new(limits: PieceLimits, shards: usize) -> Self {
        Self {
            limits,
            open: vec![Open::default(); shards],
            block: Vec::new(),
        }
    }

    /// Rows that may be given to [`Pieces::begins_with`] at once.
    pub fn rows_max(&self) -> usize {
        usize::try_from(self.limits.rows).unwrap_or(usize::MAX).max(1)
    }

    /// Counts rows that stay together, and says whether a new piece begins with them. The first of a piece always fit.
    pub fn begins_with(&mut self, shard: usize, rows: u64, bytes: u64) -> bool {
        let Some(open) = self.open.get_mut(shard) else {
            return false;
        };
        let grown = Open {
            rows: open.rows + rows,
            bytes: open.bytes + bytes,
        };
        let begins = open.rows > 0 && (grown.rows > self.limits.rows || grown.bytes > self.limits.bytes);
        *open = if begins { Open { rows, bytes } } else { grown };
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of these bytes, and which of them begin a piece.
    #[track_caller]
    fn check(rows: u64, bytes: u64, of_rows: &[u64], expected: &[usize]) {
        let mut pieces = Pieces::new(PieceLimits { rows, bytes }, 2);
        let begins = of_rows.iter().enumerate();
        let begins = begins.filter(|(_, bytes)| pieces.begins_with(1, 1, **bytes));
        assert_eq!(begins.map(|(row, _)| row).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_piece_ends_where_the_next_row_is_too_much() {
        check(3, 100, &[1; 7], &[3, 6]);
        check(100, 10, &[4, 4, 4, 6, 4], &[2, 4]);
        check(100, 10, &[5, 5], &[]);
    }

    #[test]
    fn a_row_that_is_too_large_is_a_piece_of_its_own() {
        check(100, 10, &[50], &[]);
        check(100, 10, &[1, 50, 1], &[1, 2]);
    }

    #[test]
    fn shards_are_divided_each_by_itself() {
        let mut pieces = Pieces::new(PieceLimits { rows: 2, bytes: 100 }, 2);
        let begins = [0, 1, 0, 1, 1, 0].map(|shard| pieces.begins_with(shard, 1, 1));
        assert_eq!(begins, [false, false, false, false, true, true]);
    }
}
