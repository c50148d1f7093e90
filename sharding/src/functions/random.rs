//! rand(): a random UInt32 for each row. An argument only tells two calls in one query apart; it is not
//! looked at.

use types::{Data, DataType};

use super::{Bound, Function, Nulls};

pub(super) const FUNCTIONS: &[Function] = &[Function {
    any_case: true,
    random: true,
    nulls: Nulls::Own,
    ..Function::new("rand", |_| {
        Ok(Bound::new(DataType::UInt32, |inputs| {
            Ok(Data::UInt32(
                (0..inputs.rows).map(|_| (inputs.random)()).collect(),
            ))
        }))
    })
    .with_arguments(0, 1)
}];
