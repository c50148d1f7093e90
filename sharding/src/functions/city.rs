//! cityHash64: strings by CityHash 1.0.2, numbers of up to 8 bytes by intHash64, joined by CityHash's
//! Hash128to64. URLHash is the same of an address without its last delimiter.

use types::{Data, DataType, city_hash_64};

use super::hash::{HashFamily, function, mixed_number};
use super::{Bound, Call, Function, strings};
use crate::error::Refusal;

pub(super) const FUNCTIONS: &[Function] =
    &[function::<City>("cityHash64"), Function::new("URLHash", bind_url)];

struct City;

impl HashFamily for City {
    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        city_hash_64(text)
    }

    #[inline]
    fn of_number<const N: usize>(number: [u8; N]) -> u64 {
        mixed_number(number, city_hash_64)
    }
}

fn bind_url(call: &Call<'_>) -> Result<Bound, Refusal> {
    if *call.arguments[0].data_type != DataType::String {
        return Err(call.illegal(0));
    }
    Ok(Bound::new(DataType::UInt64, |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let of_row = |row| {
            let text = texts.get(value.place(row));
            city_hash_64(
                text.strip_suffix(b"/")
                    .or(text.strip_suffix(b"?"))
                    .or(text.strip_suffix(b"#"))
                    .unwrap_or(text),
            )
        };
        Ok(Data::UInt64((0..inputs.rows).map(of_row).collect()))
    }))
}
