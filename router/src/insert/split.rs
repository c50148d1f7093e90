//! Rows to shares: each row's sharding value picks its slot and so its shard; its bytes are copied there.
//! Pure but for the stage it fills.

use std::ops::Range;

use formats::{Block, Fill, RowStream, Rows, RowsBody};
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use sharding::{Key, Ring, Slots};
use types::ColumnDef;

use super::client_tokens::{PieceLimits, Pieces};
use super::defaults::{Filled, Filling};
use crate::exception::Exception;

/// How the rows of one INSERT find their shards.
#[derive(Debug, Clone)]
pub enum Placement {
    /// Every row to the same shard, by its index: one shard, or insert_shard_id, or one random shard; no key
    /// is evaluated.
    Whole(usize),
    /// By the sharding key and the slots of the weights, as ClickHouse does.
    Slots(Key, Slots),
    /// By the sharding key and a ring (`assignment = "consistent"`).
    Ring(Key, Ring),
}

impl Placement {
    /// The sharding values of some rows, one a row; none at all where no key is evaluated. `first_row` is the
    /// number of the first of them in the body, from 1.
    pub fn values(
        &self,
        rows: &Filled<'_>,
        first_row: u64,
        rng: &mut SmallRng,
    ) -> Result<Vec<u64>, Exception> {
        match self {
            Self::Whole(_) => Ok(Vec::new()),
            Self::Slots(key, _) | Self::Ring(key, _) => {
                let values = key.values(rows.key, rows.rows.count, rng);
                values.map_err(|error| evaluation(&error, first_row))
            }
        }
    }

    /// The columns that the key reads.
    pub fn key_columns(&self) -> &[ColumnDef] {
        match self {
            Self::Whole(_) => &[],
            Self::Slots(key, _) | Self::Ring(key, _) => key.columns(),
        }
    }

    /// The slot of a sharding value, where shards own slots.
    pub fn slot_of(&self, value: u64) -> Option<u64> {
        match self {
            Self::Slots(_, slots) => Some(slots.slot(value)),
            Self::Whole(_) | Self::Ring(..) => None,
        }
    }

    /// The shard of a sharding value, counted from 0.
    pub fn shard_of(&self, value: u64) -> usize {
        match self {
            Self::Whole(shard) => *shard,
            Self::Slots(_, slots) => slots.shard_of(value),
            Self::Ring(_, ring) => ring.shard_of(value),
        }
    }
}

/// Takes rows of one shard, whole, each with its terminator.
pub trait Shares {
    /// Says which columns the rows hold, in order, and for a block name and type of each as it is written; called before the
    /// first rows, and again with the same columns.
    fn columns_are(&mut self, columns: &[ColumnDef], written: &[(String, String)]) -> Result<(), Exception>;

    /// How many rows may be appended at once, once the columns are said: a run is never divided, and a batch
    /// holds so many.
    fn run_rows_max(&self) -> u64;

    /// The shard's next rows begin a batch; said only where the INSERT's token goes on to the shards.
    fn end_piece(&mut self, shard: usize) -> Result<(), Exception>;

    /// Appends `count` rows to a shard's share.
    fn append(&mut self, shard: usize, rows: &[u8], count: u64) -> Result<(), Exception>;
}

/// Splits one INSERT's body as it arrives.
pub struct Splitter {
    stream: RowStream,
    scatter: Scatter,
}

/// What happens to the rows that the stream finds.
#[derive(Debug)]
struct Scatter {
    placement: Placement,
    filling: Filling,
    /// Rows of the windows before.
    rows: u64,
    rng: SmallRng,
    heap: Heap,
}

/// The rows of the present window on their way to their shards.
#[derive(Debug)]
struct Heap {
    terminator: &'static [u8],
    /// The shard of each row.
    shard_of_row: Vec<usize>,
    /// The rows, shard by shard; emptied at the window's end, the memory kept.
    shares: Vec<Share>,
    /// Where the shares are divided, whatever the windows are.
    pieces: Option<Pieces>,
}

#[derive(Debug, Default)]
struct Share {
    bytes: Vec<u8>,
    rows: u64,
}

/// Bytes that a share's buffer may keep between windows.
const BUFFER_KEPT_BYTES: usize = 256 * 1024;

/// Bytes after which a share's rows are handed over within a window: the stage compresses what it is given as
/// one run.
const RUN_BYTES: usize = 64 * 1024;

impl Splitter {
    /// A splitter over `stream` for this many shards.
    pub fn new(
        stream: RowStream,
        placement: Placement,
        filling: Filling,
        shards: usize,
        terminator: &'static [u8],
    ) -> Self {
        let shares = std::iter::repeat_with(Share::default).take(shards).collect();
        let scatter = Scatter {
            placement,
            filling,
            rows: 0,
            rng: SmallRng::from_rng(&mut rand::rng()),
            heap: Heap {
                terminator,
                shard_of_row: Vec::new(),
                shares,
                pieces: None,
            },
        };
        Self { stream, scatter }
    }

    /// Each share is divided by these limits, on the client's own rows.
    #[must_use]
    pub fn in_pieces(mut self, limits: Option<PieceLimits>) -> Self {
        let heap = &mut self.scatter.heap;
        heap.pieces = limits.map(|limits| Pieces::new(limits, heap.shares.len()));
        self
    }

    /// Splits the next bytes of the body.
    pub fn push(&mut self, chunk: &[u8], shares: &mut impl Shares) -> Result<(), Exception> {
        let Self { stream, scatter } = self;
        stream.push(chunk, &mut |rows| scatter.rows(rows, shares))
    }

    /// Splits what is left when the body has ended cleanly.
    pub fn finish(&mut self, shares: &mut impl Shares) -> Result<(), Exception> {
        let Self { stream, scatter } = self;
        stream.finish(&mut |rows| scatter.rows(rows, shares))
    }
}

impl Scatter {
    fn rows(&mut self, rows: &Rows<'_>, shares: &mut impl Shares) -> Result<(), Exception> {
        let first_row = self.rows + 1;
        self.rows += rows.count as u64;
        let filled = self.filling.fill(rows, first_row, &mut self.rng)?;
        let written = match filled.rows.body {
            RowsBody::Ranges { .. } => Vec::new(),
            RowsBody::Block(block) => block.types(&filled.fills),
        };
        shares.columns_are(filled.rows.columns, &written)?;
        let values = self.placement.values(&filled, first_row, &mut self.rng)?;
        self.heap.assign(&self.placement, &values, rows.count);
        match filled.rows.body {
            RowsBody::Ranges { bytes, ranges } => {
                let own = match rows.body {
                    RowsBody::Ranges { ranges, .. } => ranges,
                    RowsBody::Block(_) => ranges,
                };
                self.heap.take_ranges(bytes, ranges, own, shares)?;
            }
            RowsBody::Block(block) => self.heap.take_block(block, &filled.fills, shares)?,
        }
        self.heap.hand_over(shares)
    }
}

impl Heap {
    fn assign(&mut self, placement: &Placement, values: &[u64], rows: usize) {
        let shard_of_row = &mut self.shard_of_row;
        shard_of_row.clear();
        match placement {
            Placement::Whole(shard) => shard_of_row.resize(rows, *shard),
            Placement::Slots(_, slots) => {
                shard_of_row.extend(values.iter().map(|value| slots.shard_of(*value)));
            }
            Placement::Ring(_, ring) => shard_of_row.extend(values.iter().map(|value| ring.shard_of(*value))),
        }
    }

    /// `own`: where the rows lie as the client gave them.
    fn take_ranges(
        &mut self,
        bytes: &[u8],
        ranges: &[Range<usize>],
        own: &[Range<usize>],
        shares: &mut impl Shares,
    ) -> Result<(), Exception> {
        let run_rows_max = shares.run_rows_max();
        for ((range, own), shard) in ranges.iter().zip(own).zip(&self.shard_of_row) {
            let share = &mut self.shares[*shard];
            if let Some(pieces) = &mut self.pieces
                && pieces.begins_with(*shard, 1, (own.len() + self.terminator.len()) as u64)
            {
                share.hand_over(*shard, shares)?;
                shares.end_piece(*shard)?;
            }
            share.bytes.extend_from_slice(&bytes[range.clone()]);
            share.bytes.extend_from_slice(self.terminator);
            share.rows += 1;
            if share.bytes.len() >= RUN_BYTES || share.rows >= run_rows_max {
                share.hand_over(*shard, shares)?;
            }
        }
        Ok(())
    }

    /// Each shard's rows as a block of their own, or as many as a run may have.
    fn take_block(
        &mut self,
        block: &dyn Block,
        fills: &[Fill<'_>],
        shares: &mut impl Shares,
    ) -> Result<(), Exception> {
        let mut rows_of_shard = vec![Vec::new(); self.shares.len()];
        for (row, shard) in self.shard_of_row.iter().enumerate() {
            rows_of_shard[*shard].push(row);
        }
        let run_rows_max = usize::try_from(shares.run_rows_max())
            .unwrap_or(usize::MAX)
            .max(1);
        let together_max = self.pieces.as_ref().map_or(usize::MAX, Pieces::rows_max);
        for (shard, rows) in rows_of_shard.iter().enumerate() {
            for together in rows.chunks(together_max) {
                if self.begins_piece(shard, block, together) {
                    shares.end_piece(shard)?;
                }
                for run in together.chunks(run_rows_max) {
                    let share = &mut self.shares[shard];
                    block.write(run, fills, &mut share.bytes);
                    share.rows = run.len() as u64;
                    share.hand_over(shard, shares)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a piece begins with these rows of a block. They are measured as one block without anything of ours, for how many
    /// runs they are handed over in is nothing that another router knows.
    fn begins_piece(&mut self, shard: usize, block: &dyn Block, rows: &[usize]) -> bool {
        let Some(pieces) = &mut self.pieces else {
            return false;
        };
        let mut written = std::mem::take(&mut pieces.block);
        block.write(rows, &[], &mut written);
        let begins = pieces.begins_with(shard, rows.len() as u64, written.len() as u64);
        written.clear();
        written.shrink_to(BUFFER_KEPT_BYTES);
        pieces.block = written;
        begins
    }

    /// Hands over what is left of the window.
    fn hand_over(&mut self, shares: &mut impl Shares) -> Result<(), Exception> {
        let waiting = self.shares.iter_mut().enumerate();
        for (shard, share) in waiting.filter(|(_, share)| share.rows > 0) {
            share.hand_over(shard, shares)?;
        }
        Ok(())
    }
}

impl Share {
    fn hand_over(&mut self, shard: usize, shares: &mut impl Shares) -> Result<(), Exception> {
        if self.rows == 0 {
            return Ok(());
        }
        shares.append(shard, &self.bytes, self.rows)?;
        self.bytes.clear();
        self.bytes.shrink_to(BUFFER_KEPT_BYTES);
        self.rows = 0;
        Ok(())
    }
}

/// The error names a row of its window; the client counts from the body's beginning, from 1.
fn evaluation(error: &sharding::EvalError, first_row: u64) -> Exception {
    let row = first_row + error.row as u64;
    let message = format!(
        "The sharding key has no value in row {row}: function {}: {}.",
        error.function, error.reason
    );
    Exception::bad_input(i32::from(error.code()), message)
}

/// One shard at random, weighted as the slots are.
pub fn random_shard(slots: &Slots) -> usize {
    slots.shard_of(rand::rng().random_range(0..slots.total()))
}

#[cfg(test)]
mod tests {
    use formats::{Format, Settings, Spec};
    use shard_client::{DefaultKind, DescribedColumn};
    use sharding::Context;
    use types::DataType;

    use super::*;
    use crate::insert::defaults::Defaults;

    /// What each shard was given.
    #[derive(Default)]
    struct Given {
        columns: Vec<String>,
        shares: [Vec<u8>; 3],
        rows: [u64; 3],
        /// Rows of each shard where a piece of it ended.
        ends: [Vec<u64>; 3],
    }

    impl Shares for Given {
        fn columns_are(&mut self, columns: &[ColumnDef], _: &[(String, String)]) -> Result<(), Exception> {
            self.columns = columns.iter().map(|column| column.name.clone()).collect();
            Ok(())
        }

        fn run_rows_max(&self) -> u64 {
            1_000
        }

        fn end_piece(&mut self, shard: usize) -> Result<(), Exception> {
            self.ends[shard].push(self.rows[shard]);
            Ok(())
        }

        fn append(&mut self, shard: usize, rows: &[u8], count: u64) -> Result<(), Exception> {
            assert!(count <= self.run_rows_max());
            self.shares[shard].extend_from_slice(rows);
            self.rows[shard] += count;
            Ok(())
        }
    }

    fn columns() -> Vec<ColumnDef> {
        let column = |name: &str, data_type| ColumnDef {
            name: name.into(),
            data_type,
        };
        vec![column("k", DataType::UInt64), column("s", DataType::String)]
    }

    fn described(columns: &[ColumnDef]) -> Vec<DescribedColumn> {
        let described = |column: &ColumnDef| DescribedColumn {
            name: column.name.clone(),
            type_name: column.data_type.to_string(),
            default_kind: DefaultKind::None,
            default_expression: String::new(),
        };
        columns.iter().map(described).collect()
    }

    /// Splits a body over shards of weights 1, 0 and 2, in chunks of `chunk` bytes.
    fn split(format: Format, key: &str, body: &[u8], chunk: usize) -> Result<Given, Exception> {
        split_in(format, key, body, chunk, None)
    }

    fn split_in(
        format: Format,
        key: &str,
        body: &[u8],
        chunk: usize,
        pieces: Option<PieceLimits>,
    ) -> Result<Given, Exception> {
        split_filled(format, key, body, chunk, pieces, "")
    }

    /// `default`: that of `s`.
    fn split_filled(
        format: Format,
        key: &str,
        body: &[u8],
        chunk: usize,
        pieces: Option<PieceLimits>,
        default: &str,
    ) -> Result<Given, Exception> {
        let columns = columns();
        let mut described = described(&columns);
        if !default.is_empty() {
            described[1].default_kind = DefaultKind::Default;
            described[1].default_expression = default.to_owned();
        }
        let key = Key::compile(key, &columns).unwrap();
        let reading = Settings::default();
        let filling = Defaults::new("t", &described, &columns, "UTC");
        let filling = filling
            .filling(key.columns(), format.payload(), &reading, Context::default())
            .unwrap();
        let spec = Spec {
            columns: &columns,
            listed: None,
            key: key.columns(),
            watched: filling.watched(),
            settings: &reading,
            time_zone: "UTC",
            max_row_bytes: 1 << 20,
            payload: None,
            check_values: false,
            scratch: None,
        };
        let stream = RowStream::new(format, &spec)?;
        let placement = Placement::Slots(key, Slots::new(&[1, 0, 2]).unwrap());
        let terminator = format.payload().terminator();
        let mut splitter = Splitter::new(stream, placement, filling, 3, terminator).in_pieces(pieces);
        let mut given = Given::default();
        for chunk in body.chunks(chunk) {
            splitter.push(chunk, &mut given)?;
        }
        splitter.finish(&mut given)?;
        Ok(given)
    }

    #[test]
    fn each_row_goes_to_the_shard_of_its_slot_and_a_shard_of_weight_zero_gets_none() {
        for chunk in [1, 3, 1000] {
            let given = split(Format::TabSeparated, "k", b"0\ta\n1\tb\n2\tc\n3\td", chunk).unwrap();
            assert_eq!(
                given.shares,
                [b"0\ta\n3\td\n".to_vec(), vec![], b"1\tb\n2\tc\n".to_vec()]
            );
            assert_eq!(given.rows, [2, 0, 2]);
        }
    }

    #[test]
    fn pieces_end_at_the_same_rows_however_the_body_arrives() {
        let body: String = (0..5_000).map(|k| format!("{k}\tvalue {k}\n")).collect();
        let limits = PieceLimits {
            rows: 300,
            bytes: 4_000,
        };
        let ends = |chunk| {
            let given = split_in(Format::TabSeparated, "k", body.as_bytes(), chunk, Some(limits)).unwrap();
            assert_eq!(given.rows.iter().sum::<u64>(), 5_000);
            given.ends
        };
        let expected = ends(body.len());
        assert!(expected[0].len() > 5 && expected[1].is_empty() && expected[2].len() > 10);
        for chunk in [7, 100, 4_096] {
            assert_eq!(ends(chunk), expected, "{chunk}");
        }
    }

    #[test]
    fn what_is_computed_into_rows_moves_no_border() {
        let body: String = (10_000..20_000).map(|k| format!("{{\"k\":{k}}}\n")).collect();
        let split = || {
            let limits = PieceLimits {
                rows: 100_000,
                bytes: 5_000,
            };
            let default = "toString(rand())";
            split_filled(
                Format::JsonEachRow,
                "k",
                body.as_bytes(),
                4_096,
                Some(limits),
                default,
            )
            .unwrap()
        };
        let (one, other) = (split(), split());
        assert_ne!(one.shares, other.shares);
        assert_eq!(one.ends, other.ends);
        // Rows of 12 bytes with their line ends.
        assert_eq!(one.ends[0][..2], [416, 832]);
    }

    #[test]
    fn pieces_of_blocks_end_between_blocks_and_at_the_limit_of_rows() {
        let mut body = Vec::new();
        // Three blocks of 100 rows: k, a multiple of three; s, empty.
        for block in 0..3_u64 {
            body.extend_from_slice(b"\x02\x64\x01k\x06UInt64");
            (0..100).for_each(|row| body.extend_from_slice(&((block * 100 + row) * 3).to_le_bytes()));
            body.extend_from_slice(b"\x01s\x06String");
            body.extend_from_slice(&[0; 100]);
        }
        let ends = |rows, bytes, chunk| {
            let limits = Some(PieceLimits { rows, bytes });
            let given = split_in(Format::Native, "k", &body, chunk, limits).unwrap();
            assert_eq!(given.rows, [300, 0, 0]);
            given.ends[0].clone()
        };
        for chunk in [10, body.len()] {
            assert_eq!(ends(1_000, 2_000, chunk), [200]);
            assert_eq!(ends(250, 1 << 20, chunk), [200]);
            assert_eq!(ends(60, 1 << 20, chunk), [60, 100, 160, 200, 260]);
            assert_eq!(ends(1_000, 1, chunk), [100, 200]);
        }
    }

    #[test]
    fn a_header_decides_the_columns_of_the_shares_and_is_not_part_of_them() {
        let given = split(Format::CsvWithNames, "k", b"s,k\nx,4\n", 1000).unwrap();
        assert_eq!(given.columns, ["s", "k"]);
        assert_eq!(given.shares[2], b"x,4\n");
    }

    #[test]
    fn no_row_is_lost_or_doubled_however_many_there_are() {
        let body: String = (0..50_000).map(|k| format!("{k}\tvalue {k}\n")).collect();
        let given = split(Format::TabSeparated, "cityHash64(k)", body.as_bytes(), 64 * 1024).unwrap();
        assert_eq!(given.rows.iter().sum::<u64>(), 50_000);
        assert_eq!(given.shares.iter().map(Vec::len).sum::<usize>(), body.len());
    }

    #[test]
    fn a_row_without_a_sharding_value_is_named_by_its_number_in_the_body() {
        let error = split(Format::TabSeparated, "k % (k - 2)", b"1\ta\n2\tb\n", 1000)
            .err()
            .unwrap();
        assert!(error.message.contains("row 2"), "{error}");
    }
}
