//! One INSERT's batch cut by rows, since a shard says that it is too much: by the formats' own knowledge of what a row is.

use std::fmt;

use formats::{Block, Format, FormatError, Payload, RowStream, Rows, RowsBody, Settings, Spec};
use spool::frames::RAW_BYTES_MAX;
use spool::{Batch, Divide, Give, NotDivided, Outcome, QueueError, Settled, Spool};
use types::{ColumnDef, DataType};

/// Batches that one is cut into: the fewer, the fewer parts on the shard once they are small enough.
const PARTS: usize = 2;

/// Bytes of rows that are handed over at once.
const RUN_BYTES: usize = 64 * 1024;

/// Cuts a batch of one INSERT in two, after an answer that calls it too much; one whose rows cannot be told apart is set aside.
pub async fn in_two(spool: &Spool, batch: &Batch, too_much: &str) -> Result<Settled, QueueError> {
    let divided = match rows_of(batch) {
        Ok(rows) => spool.divide(batch, PARTS, Box::new(rows)).await,
        Err(error) => Err(error),
    };
    match divided {
        Ok(settled) => Ok(settled),
        Err(NotDivided::Queue(error)) => Err(error),
        Err(error @ NotDivided::Rows(_)) => {
            let error = format!("{too_much}; {error}");
            spool.settle(batch, Outcome::HoldBatch { error }).await
        }
    }
}

/// The rows of one batch, on their way into [`PARTS`] others.
struct BatchRows {
    stream: RowStream,
    halves: Halves,
}

/// Which row belongs where.
#[derive(Debug)]
struct Halves {
    terminator: &'static [u8],
    /// Rows of the batch.
    rows: u64,
    /// Rows that were told apart.
    seen: u64,
    /// Rows of one part that are not handed over yet.
    run: Vec<u8>,
    run_rows: u64,
}

/// The rows of that batch, unless its format is one whose rows nobody can tell apart.
fn rows_of(batch: &Batch) -> Result<BatchRows, NotDivided> {
    let shape = batch.shape();
    BatchRows::new(&shape.format, &shape.columns, &shape.settings, batch.rows())
}

impl BatchRows {
    fn new(
        format: &str,
        columns: &[(String, String)],
        settings: &[(String, String)],
        rows: u64,
    ) -> Result<BatchRows, NotDivided> {
        let payload = Payload::ALL.into_iter().find(|payload| payload.name() == format);
        let payload = payload.ok_or_else(|| unknown(format!("a body of {format} is one whole")))?;
        let column = |(name, type_name): &(String, String)| {
            let data_type = DataType::parse(type_name).map_err(unknown)?;
            let name = name.clone();
            Ok(ColumnDef { name, data_type })
        };
        let columns = columns
            .iter()
            .map(column)
            .collect::<Result<Vec<_>, NotDivided>>()?;
        let settings = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let spec = Spec {
            columns: &columns,
            listed: None,
            key: &[],
            watched: &[],
            settings: &Settings::read(settings).map_err(unknown)?,
            // Nobody reads a value.
            time_zone: "UTC",
            max_row_bytes: RAW_BYTES_MAX,
            payload: Some(payload),
            check_values: false,
            scratch: None,
        };
        let format = Format::parse(format).map_err(unknown)?;
        let stream = RowStream::new(format, &spec).map_err(unknown)?;
        let halves = Halves {
            terminator: payload.terminator(),
            rows,
            seen: 0,
            run: Vec::new(),
            run_rows: 0,
        };
        Ok(BatchRows { stream, halves })
    }
}

fn unknown(why: impl fmt::Display) -> NotDivided {
    NotDivided::Rows(why.to_string())
}

/// What ends the reading of rows.
struct Stopped(NotDivided);

impl From<FormatError> for Stopped {
    fn from(error: FormatError) -> Stopped {
        Stopped(unknown(error))
    }
}

impl Divide for BatchRows {
    fn push(&mut self, raw: &[u8], give: &mut Give<'_>) -> Result<(), NotDivided> {
        let BatchRows { stream, halves } = self;
        let read = stream.push(raw, &mut |rows: &Rows<'_>| halves.take(rows, give));
        read.map_err(|Stopped(why)| why)
    }

    fn finish(&mut self, give: &mut Give<'_>) -> Result<(), NotDivided> {
        let BatchRows { stream, halves } = self;
        let read = stream.finish(&mut |rows: &Rows<'_>| halves.take(rows, give));
        read.map_err(|Stopped(why)| why)
    }
}

impl Halves {
    fn take(&mut self, rows: &Rows<'_>, give: &mut Give<'_>) -> Result<(), Stopped> {
        let taken = match rows.body {
            RowsBody::Ranges { bytes, ranges } => ranges.iter().try_for_each(|range| {
                self.run.extend_from_slice(&bytes[range.clone()]);
                self.run.extend_from_slice(self.terminator);
                self.next_row(give)
            }),
            RowsBody::Block(block) => self.take_block(block, rows.count, give),
        };
        // What is left of these rows is of one part.
        taken.and_then(|()| self.hand_over(give)).map_err(Stopped)
    }

    fn take_block(&mut self, block: &dyn Block, count: usize, give: &mut Give<'_>) -> Result<(), NotDivided> {
        let count_u64 = count as u64;
        let of_first = self.first_rows().saturating_sub(self.seen).min(count_u64);
        let border = usize::try_from(of_first).unwrap_or(count);
        for range in [0..border, border..count] {
            if range.is_empty() {
                continue;
            }
            let rows: Vec<usize> = range.collect();
            block.write(&rows, &[], &mut self.run);
            self.run_rows = rows.len() as u64;
            self.seen += self.run_rows;
            self.hand_over(give)?;
        }
        Ok(())
    }

    /// Rows of the first part.
    fn first_rows(&self) -> u64 {
        self.rows.div_ceil(PARTS as u64)
    }

    /// The last row of the run is whole.
    fn next_row(&mut self, give: &mut Give<'_>) -> Result<(), NotDivided> {
        self.seen += 1;
        self.run_rows += 1;
        if self.run.len() >= RUN_BYTES || self.seen == self.first_rows() {
            self.hand_over(give)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, give: &mut Give<'_>) -> Result<(), NotDivided> {
        if self.run_rows > 0 {
            give(
                usize::from(self.seen > self.first_rows()),
                &self.run,
                self.run_rows,
            )?;
        }
        self.run.clear();
        self.run_rows = 0;
        Ok(())
    }
}

impl fmt::Debug for BatchRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchRows")
            .field("halves", &self.halves)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<(String, String)> {
        vec![("k".into(), "UInt8".into()), ("s".into(), "String".into())]
    }

    /// Each part's bytes and rows.
    fn divided(format: &str, body: &[u8], rows: u64) -> Result<Vec<(Vec<u8>, u64)>, NotDivided> {
        let mut parts = vec![(Vec::new(), 0); PARTS];
        let mut give = |part: usize, bytes: &[u8], rows: u64| {
            parts[part].0.extend_from_slice(bytes);
            parts[part].1 += rows;
            Ok(())
        };
        let mut divider = BatchRows::new(format, &columns(), &[], rows)?;
        divider.push(body, &mut give)?;
        divider.finish(&mut give)?;
        Ok(parts)
    }

    #[track_caller]
    fn check(format: &str, rows: &[&[u8]]) {
        let border = rows.len().div_ceil(2);
        let expected = [&rows[..border], &rows[border..]].map(|rows| (rows.concat(), rows.len() as u64));
        assert_eq!(
            divided(format, &rows.concat(), rows.len() as u64).unwrap(),
            expected,
            "{format}"
        );
    }

    #[test]
    fn each_half_has_its_rows_in_order_and_byte_for_byte() {
        check("TabSeparated", &[b"1\ta\n", b"2\tb\n", b"3\tc\n"]);
        check("CSV", &[b"1,\"a\nb\"\n", b"2,b\n"]);
        check("RowBinary", &[b"\x01\x01a", b"\x02\x02bb", b"\x03\x00"]);
        check("JSONEachRow", &[b"{\"k\":1,\"s\":\"}\"}\n", b"{\"k\":2}\n"]);
        check("Values", &[b"(1,'a)'),", b"(2,'b'),"]);
    }

    #[test]
    fn a_native_block_becomes_two() {
        let block = |rows: &[(u8, &str)]| {
            let mut bytes = vec![2, u8::try_from(rows.len()).unwrap()];
            bytes.extend(b"\x01k\x05UInt8");
            bytes.extend(rows.iter().map(|(k, _)| *k));
            bytes.extend(b"\x01s\x06String");
            for (_, s) in rows {
                bytes.push(u8::try_from(s.len()).unwrap());
                bytes.extend(s.as_bytes());
            }
            bytes
        };
        let parts = divided("Native", &block(&[(1, "a"), (2, "bb"), (3, "")]), 3).unwrap();
        assert_eq!(
            parts,
            [(block(&[(1, "a"), (2, "bb")]), 2), (block(&[(3, "")]), 1)]
        );
    }

    #[test]
    fn a_body_that_nobody_looked_into_stays_whole() {
        let error = divided("Avro", b"", 2).unwrap_err().to_string();
        assert_eq!(
            error,
            "its rows cannot be told apart: a body of Avro is one whole"
        );
    }
}
