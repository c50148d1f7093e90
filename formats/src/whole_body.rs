//! Formats whose rows have no borders that are known here: the body is one piece, for one shard.

use types::ColumnDef;

use crate::error::{FormatError, code};
use crate::framing::{Framing, KeyFields, Step, Stop, Token, ValueError, Window};
use crate::stream::Input;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    if input.key.is_empty() {
        return Ok(Box::new(WholeBody {
            columns: input.columns.clone(),
        }));
    }
    Err(FormatError::plain(
        code::UNKNOWN_FORMAT,
        "the rows of this format cannot be told apart, so no key can be read from them",
    ))
}

struct WholeBody {
    columns: Vec<ColumnDef>,
}

impl Framing for WholeBody {
    fn step(&mut self, window: &Window<'_>, at: usize, _: &mut KeyFields) -> Result<Step, Stop> {
        let end = window.bytes.len();
        match window.last {
            true if at == end => Ok(Step::End),
            true => Ok(Step::Row {
                row: at..end,
                next: end,
            }),
            false => Err(Stop::More {
                expected: "the end of the body",
            }),
        }
    }

    fn token<'a>(&self, _: usize, _: &'a [u8], _: &'a mut Vec<u8>) -> Result<Token<'a>, ValueError> {
        Ok(Token::Absent)
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{Reader, check_every_cut};
    use crate::{Format, Payload, code};

    #[test]
    fn the_body_is_one_piece_however_it_arrives() {
        let reader = Reader::new(Format::Avro, "k UInt8", &[]);
        check_every_cut(&reader, b"Obj\x01 and more");
        let read = reader.read_all(b"Obj\x01 and more").unwrap();
        assert_eq!(read.rows, [b"Obj\x01 and more"]);
        assert!(reader.read_all(b"").unwrap().rows.is_empty());
        assert_eq!(Format::Avro.payload(), Payload::Whole("Avro"));
    }

    #[test]
    fn a_key_cannot_be_read_from_it_and_a_long_body_is_refused() {
        let keyed = Reader::new(Format::Orc, "k UInt8", &["k"]);
        assert_eq!(keyed.stream().err().unwrap().code, code::UNKNOWN_FORMAT);
        let mut reader = Reader::new(Format::Orc, "k UInt8", &[]);
        reader.max_row_bytes = 10;
        assert_eq!(reader.read_all(&[7; 11]).unwrap_err().code, code::TOO_MANY_BYTES);
    }
}
