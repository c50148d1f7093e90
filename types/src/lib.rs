//! ClickHouse's data types, read from their names, and columns of values in the shape the sharding key needs.
//!
//! This is the vocabulary that `formats` (which finds values in bytes) and `sharding` (which hashes them)
//! share.
//! It knows no format and no function, but for CityHash, which is also the checksum of ClickHouse's
//! compressed blocks and so belongs to the spool as much as to the sharding key.

mod city;
mod column;
mod data_type;
pub mod read;

pub use city::{city_hash_64, city_hash_128, city_hash_join};
pub use column::{Bytes, Column, Data, Lists, Tuples};
/// 256-bit integers, as the vectors of [`Data`] hold them.
pub use ethnum::{I256, U256};

pub use data_type::{DataType, TypeError};

/// One column of a table or of an INSERT's column list: its name and type, as ClickHouse says them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    /// The column's name, unquoted.
    pub name: String,
    /// The column's type.
    pub data_type: DataType,
}
