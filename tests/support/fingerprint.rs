//! The ledger: what was sent and what arrived, compared without keeping either.

use std::hash::Hasher;
use std::iter::Sum;
use std::ops::Add;

use siphasher::sip::SipHasher24;

use crate::{Endpoint, Row};

/// A multiset of rows: how many, and the sum and xor of a 64-bit hash over all their columns.
///
/// Neither order nor the spreading over shards matters, so the fingerprints of shards add up to that of what
/// was sent.
/// A row lost, doubled or altered by one bit changes it; that two errors hide each other has a chance of
/// 2^-64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Number of rows.
    pub rows: u64,
    /// Wrapping sum of the rows' hashes.
    pub sum: u64,
    /// Xor of the rows' hashes.
    pub xor: u64,
}

/// A row's hash in ClickHouse's SQL: [`hash`] says the same in Rust. sipHash64 is the one strong hash that
/// 18.16 and
/// 26.x compute alike.
const HASH: &str = "sipHash64(concat(toString(user_id), '\\t', toString(toUInt32(ts)), '\\t', url, '\\t', \
                    toString(country), '\\t', toString(duration), '\\t', payload))";

impl Fingerprint {
    /// Of rows about to be sent.
    pub fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        rows.into_iter().map(|row| Self::of_row(&row)).sum()
    }

    /// Of one row.
    pub fn of_row(row: &Row) -> Self {
        let hash = hash(row);
        Self {
            rows: 1,
            sum: hash,
            xor: hash,
        }
    }

    /// Of what a table holds.
    #[track_caller]
    pub fn in_table(server: &Endpoint, table: &str) -> Self {
        let sql =
            format!("SELECT count(), sum({HASH}), groupBitXor({HASH}) FROM {table} FORMAT TabSeparated");
        let answer = server.query(&sql);
        let numbers: Vec<u64> = answer
            .trim()
            .split('\t')
            .map(|field| field.parse().expect("a number"))
            .collect();
        let [rows, sum, xor] = numbers[..] else {
            panic!("expected three numbers, got {answer:?}")
        };
        Self { rows, sum, xor }
    }
}

impl Add for Fingerprint {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            sum: self.sum.wrapping_add(other.sum),
            xor: self.xor ^ other.xor,
        }
    }
}

impl Sum for Fingerprint {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}

fn hash(row: &Row) -> u64 {
    let Row {
        user_id,
        ts,
        url,
        country,
        duration,
        payload,
    } = row;
    let mut hasher = SipHasher24::new();
    hasher.write(format!("{user_id}\t{ts}\t{url}\t{country}\t{duration}\t{payload}").as_bytes());
    hasher.finish()
}
