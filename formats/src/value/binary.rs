//! Values as RowBinary writes them: little-endian numbers, bytes as they are.

use types::{Data, DataType};

use super::MISFIT;
use crate::framing::ValueError;

/// Appends a value whose bytes are whole, without a string's length in front.
pub(crate) fn push(data: &mut Data, data_type: &DataType, bytes: &[u8]) -> Result<(), ValueError> {
    match data {
        // Two little-endian halves, the high one first.
        Data::UInt128(values) if *data_type == DataType::Uuid => {
            values.push(u128::from_le_bytes(fixed(bytes)?).rotate_left(64));
        }
        Data::UInt8(values) if *data_type == DataType::Bool => {
            values.push(u8::from(fixed::<1>(bytes)? != [0]));
        }
        Data::UInt8(values) => values.push(u8::from_le_bytes(fixed(bytes)?)),
        Data::UInt16(values) => values.push(u16::from_le_bytes(fixed(bytes)?)),
        Data::UInt32(values) => values.push(u32::from_le_bytes(fixed(bytes)?)),
        Data::UInt64(values) => values.push(u64::from_le_bytes(fixed(bytes)?)),
        Data::UInt128(values) => values.push(u128::from_le_bytes(fixed(bytes)?)),
        Data::Int8(values) => values.push(i8::from_le_bytes(fixed(bytes)?)),
        Data::Int16(values) => values.push(i16::from_le_bytes(fixed(bytes)?)),
        Data::Int32(values) => values.push(i32::from_le_bytes(fixed(bytes)?)),
        Data::Int64(values) => values.push(i64::from_le_bytes(fixed(bytes)?)),
        Data::Int128(values) => values.push(i128::from_le_bytes(fixed(bytes)?)),
        Data::Float32(values) => values.push(f32::from_le_bytes(fixed(bytes)?)),
        Data::Float64(values) => values.push(f64::from_le_bytes(fixed(bytes)?)),
        Data::UInt256(values) => values.push(types::U256::from_le_bytes(fixed(bytes)?)),
        Data::Int256(values) => values.push(types::I256::from_le_bytes(fixed(bytes)?)),
        Data::Bytes(values) => values.push(bytes),
        Data::Array(_) | Data::Tuple(_) => return Err(MISFIT),
    }
    Ok(())
}

fn fixed<const LEN: usize>(bytes: &[u8]) -> Result<[u8; LEN], ValueError> {
    bytes.try_into().map_err(|_| MISFIT)
}
