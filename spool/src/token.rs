//! insert_deduplication_tokens that every router finds, from what its client said (`client_tokens = "shard"`): the same INSERT
//! through another router meets the same tokens on the shards.
//!
//! ```text
//! "client-" + 32 hexadecimal digits of XXH3-128 over
//!     a piece           "piece" · table · client's token · epoch · shard · number · first row · rows
//!     a part of a piece "part" · the piece's token · number · rows
//! ```
//!
//! A text is hashed behind its length; numbers and lengths are u64, little endian. First row and rows are in it so that routers
//! which cut differently, against the manual, send rows twice rather than take some for others that the shard has.
//!
//! Changing any of this doubles INSERTs that are repeated through a router of another release.

use xxhash_rust::xxh3::Xxh3;

use crate::model::Shape;

/// No drawn token begins so: they are hexadecimal.
const PREFIX: &str = "client-";

/// A run of one INSERT's rows for one shard that is a batch of its own, whoever cuts it and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientPiece {
    /// Counted from 0 in the share.
    pub number: u64,
    /// Rows of the share before it.
    pub first_row: u64,
    /// Rows in it.
    pub rows: u64,
}

/// The token of a piece of the INSERT with that client's token.
pub fn of_piece(shape: &Shape, client_token: &str, shard: &str, piece: ClientPiece) -> String {
    Hashed::of("piece")
        .text(&shape.table)
        .text(client_token)
        .number(shape.epoch)
        .text(shard)
        .number(piece.number)
        .number(piece.first_row)
        .number(piece.rows)
        .token()
}

/// The token of a part, counted from 0, of the batch with that token, which a shard would not take whole; none where the batch's
/// own token was drawn, and so is its parts'.
pub fn of_part(whole: &str, part: u64, rows: u64) -> Option<String> {
    let token = || Hashed::of("part").text(whole).number(part).number(rows).token();
    is_from_client(whole).then(token)
}

/// Whether other routers find the same token: no other rows may ever be sent under it, nor these under another.
pub fn is_from_client(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// What a token is made of.
struct Hashed(Xxh3);

impl Hashed {
    fn of(kind: &str) -> Hashed {
        Hashed(Xxh3::new()).text(kind)
    }

    fn text(self, text: &str) -> Hashed {
        let mut hashed = self.number(text.len() as u64);
        hashed.0.update(text.as_bytes());
        hashed
    }

    fn number(mut self, number: u64) -> Hashed {
        self.0.update(&number.to_le_bytes());
        self
    }

    fn token(self) -> String {
        format!("{PREFIX}{:032x}", self.0.digest128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(table: &str, epoch: u64) -> Shape {
        Shape {
            cluster: "main".into(),
            epoch,
            table: table.into(),
            columns: Vec::new(),
            format: "CSV".into(),
            settings: Vec::new(),
        }
    }

    fn piece(number: u64, first_row: u64, rows: u64) -> ClientPiece {
        ClientPiece {
            number,
            first_row,
            rows,
        }
    }

    fn token(piece: ClientPiece) -> String {
        of_piece(&shape("default.hits", 1), "order-17", "s01", piece)
    }

    #[test]
    fn tokens_are_what_they_were_in_every_release() {
        let first = token(piece(0, 0, 1000));
        let half = of_part(&first, 0, 500).unwrap();
        let quarter = of_part(&half, 1, 250).unwrap();
        assert_eq!(
            [&first, &token(piece(1, 1000, 7)), &half, &quarter],
            [
                "client-53cbaf5f3017f1af4013c8b03184a80f",
                "client-c4b6dabea957e011321ae05f65b83ce7",
                "client-d2e5386e9c056b28973b8b9cec3351dc",
                "client-6c49888ab68e34e6692b0d62fb2a86b3",
            ]
        );
    }

    #[test]
    fn whatever_tells_two_pieces_apart_gives_them_two_tokens() {
        let (hits, later) = (shape("default.hits", 1), shape("default.hits", 2));
        let visits = shape("default.visits", 1);
        let whole = piece(0, 0, 10);
        let tokens = [
            of_piece(&hits, "t", "s1", whole),
            of_piece(&visits, "t", "s1", whole),
            of_piece(&later, "t", "s1", whole),
            of_piece(&hits, "u", "s1", whole),
            of_piece(&hits, "t", "s2", whole),
            of_piece(&hits, "ts", "1", whole),
            of_piece(&hits, "t", "s1", piece(1, 0, 10)),
            of_piece(&hits, "t", "s1", piece(0, 1, 10)),
            of_piece(&hits, "t", "s1", piece(0, 0, 11)),
            of_part(&of_piece(&hits, "t", "s1", whole), 0, 5).unwrap(),
            of_part(&of_piece(&hits, "t", "s1", whole), 1, 5).unwrap(),
        ];
        let different: std::collections::HashSet<_> = tokens.iter().collect();
        assert_eq!(different.len(), tokens.len());
    }

    #[test]
    fn how_rows_are_written_is_not_part_of_their_token() {
        let mut other = shape("default.hits", 1);
        (other.format, other.cluster) = ("TSKV".into(), "other".into());
        let whole = piece(0, 0, 1000);
        assert_eq!(of_piece(&other, "order-17", "s01", whole), token(whole));
    }

    #[test]
    fn a_part_of_a_batch_whose_token_was_drawn_has_none_of_these() {
        let drawn = crate::bin_file::random_token(7);
        assert_eq!((of_part(&drawn, 0, 1), is_from_client(&drawn)), (None, false));
    }
}
