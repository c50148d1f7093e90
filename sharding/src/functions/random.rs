//! rand() and its like: by chance, another value in each row. An argument only tells two calls in one expression
//! apart; it is not looked at.

use types::{Bytes, Data, DataType};

use super::{Bound, Call, Function, Inputs, Nulls, Volatile};
use crate::error::{KeyReason, Refusal};

pub(super) const FUNCTIONS: &[Function] = &[
    random("rand", rand_32),
    random("rand32", rand_32),
    random("rand64", |_| {
        Ok(Bound::new(DataType::UInt64, |inputs| {
            Ok(Data::UInt64((0..inputs.rows).map(|_| word(inputs)).collect()))
        }))
    }),
    Function {
        any_case: false,
        ..random("randCanonical", |_| {
            Ok(Bound::new(DataType::Float64, |inputs| {
                Ok(Data::Float64(
                    (0..inputs.rows).map(|_| canonical(inputs)).collect(),
                ))
            }))
        })
    },
    Function {
        volatile: Volatile::Insert,
        ..random("randConstant", |_| {
            Ok(Bound::new(DataType::UInt32, |inputs| {
                Ok(Data::UInt32(vec![inputs.context.random_constant; inputs.rows]))
            }))
        })
    },
    random("generateUUIDv4", |_| {
        Ok(Bound::new(DataType::Uuid, |inputs| {
            Ok(Data::UInt128((0..inputs.rows).map(|_| uuid_v4(inputs)).collect()))
        }))
    }),
    random("generateUUIDv7", |_| {
        Ok(Bound::new(DataType::Uuid, |inputs| {
            let first = word(inputs) as u32 >> 1;
            let uuids = (0..inputs.rows).map(|row| uuid_v7(inputs, first.wrapping_add(row as u32)));
            Ok(Data::UInt128(uuids.collect()))
        }))
    }),
    Function {
        any_case: false,
        ..random("randomString", |call| bind_text(call, |_| true)).with_arguments(1, 2)
    },
    Function {
        any_case: false,
        ..random("randomPrintableASCII", |call| {
            bind_text(call, |byte| (32..127).contains(&byte))
        })
        .with_arguments(1, 2)
    },
    Function {
        any_case: false,
        ..random("randomFixedString", bind_fixed).with_arguments(1, 2)
    },
    Function {
        any_case: false,
        ..random("randomStringUTF8", bind_utf8).with_arguments(1, 2)
    },
    of_reals("randUniform", |call| {
        bind_real(call, |first, second, inputs| {
            first + (second - first) * canonical(inputs)
        })
    })
    .with_arguments(2, 3),
    of_reals("randNormal", |call| {
        bind_real(call, |mean, deviation, inputs| mean + deviation * normal(inputs))
    })
    .with_arguments(2, 3),
    of_reals("randLogNormal", |call| {
        bind_real(call, |mean, deviation, inputs| {
            (mean + deviation * normal(inputs)).exp()
        })
    })
    .with_arguments(2, 3),
    of_reals("randExponential", |call| {
        let lambda = constant_real(call, 0)?;
        Ok(reals(move |inputs| -(1.0 - canonical(inputs)).ln() / lambda))
    })
    .with_arguments(1, 2),
    of_reals("randBernoulli", |call| {
        let chance = constant_real(call, 0)?;
        Ok(Bound::new(DataType::UInt8, move |inputs| {
            let draw = |inputs: &mut Inputs<'_>| u8::from(canonical(inputs) < chance);
            Ok(Data::UInt8((0..inputs.rows).map(|_| draw(inputs)).collect()))
        }))
    })
    .with_arguments(1, 2),
];

const fn of_reals(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Function {
    Function {
        any_case: false,
        ..random(name, bind)
    }
}

const fn random(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Function {
    Function {
        any_case: true,
        volatile: Volatile::Row,
        nulls: Nulls::Own,
        keeps_low_cardinality: false,
        ..Function::new(name, bind).with_arguments(0, 1)
    }
}

/// Longer random strings are refused: a DEFAULT should not blow up a small INSERT.
const TEXT_BYTES_MAX: u64 = 65_536;

fn bind_text(call: &Call<'_>, allowed: fn(u8) -> bool) -> Result<Bound, Refusal> {
    let length = call.constant_number(0)?;
    if length > TEXT_BYTES_MAX {
        return Err(call.refuse(KeyReason::TooLong {
            limit: TEXT_BYTES_MAX as usize,
        }));
    }
    Ok(Bound::new(DataType::String, move |inputs| {
        let mut texts = Bytes::default();
        for _ in 0..inputs.rows {
            let end = texts.bytes.len() + length as usize;
            while texts.bytes.len() < end {
                let byte = (word(inputs) >> 25) as u8;
                if allowed(byte) {
                    texts.bytes.push(byte);
                }
            }
            texts.ends.push(end);
        }
        Ok(Data::Bytes(texts))
    }))
}

/// The length that a call gives, which the result's type has.
fn bind_fixed(call: &Call<'_>) -> Result<Bound, Refusal> {
    let length = call.constant_number(0)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| (1..=TEXT_BYTES_MAX as usize).contains(length))
        .ok_or_else(|| call.illegal(0))?;
    Ok(Bound::new(DataType::FixedString(length), move |inputs| {
        let mut texts = Bytes::default();
        for _ in 0..inputs.rows {
            let text = (0..length).map(|_| (word(inputs) >> 56) as u8);
            texts.push(&text.collect::<Vec<u8>>());
        }
        Ok(Data::Bytes(texts))
    }))
}

/// So many code points; a draw that is none (a surrogate) is drawn again.
fn bind_utf8(call: &Call<'_>) -> Result<Bound, Refusal> {
    let length = call.constant_number(0)?;
    if length > TEXT_BYTES_MAX / 4 {
        return Err(call.refuse(KeyReason::TooLong {
            limit: TEXT_BYTES_MAX as usize / 4,
        }));
    }
    Ok(Bound::new(DataType::String, move |inputs| {
        let mut texts = Bytes::default();
        for _ in 0..inputs.rows {
            let mut text = String::new();
            let mut missing = length;
            while missing > 0 {
                if let Some(point) = char::from_u32((word(inputs) % 0x11_0000) as u32) {
                    text.push(point);
                    missing -= 1;
                }
            }
            texts.push(text.as_bytes());
        }
        Ok(Data::Bytes(texts))
    }))
}

/// A constant number, whole or not.
fn constant_real(call: &Call<'_>, place: usize) -> Result<f64, Refusal> {
    let constant = call.arguments[place].constant;
    let number = constant.and_then(|column| match &column.data {
        Data::Float64(numbers) => numbers.first().copied(),
        Data::Int8(numbers) => numbers.first().copied().map(f64::from),
        Data::Int16(numbers) => numbers.first().copied().map(f64::from),
        Data::Int32(numbers) => numbers.first().copied().map(f64::from),
        _ => call.constant_number(place).ok().map(|number| number as f64),
    });
    number.ok_or_else(|| call.illegal(place))
}

fn bind_real(call: &Call<'_>, draw: fn(f64, f64, &mut Inputs<'_>) -> f64) -> Result<Bound, Refusal> {
    let (first, second) = (constant_real(call, 0)?, constant_real(call, 1)?);
    Ok(reals(move |inputs| draw(first, second, inputs)))
}

fn reals(draw: impl Fn(&mut Inputs<'_>) -> f64 + Send + Sync + 'static) -> Bound {
    Bound::new(DataType::Float64, move |inputs| {
        Ok(Data::Float64((0..inputs.rows).map(|_| draw(inputs)).collect()))
    })
}

/// From 0 to below 1.
fn canonical(inputs: &mut Inputs<'_>) -> f64 {
    (word(inputs) >> 11) as f64 / (1_u64 << 53) as f64
}

/// By Box and Muller.
fn normal(inputs: &mut Inputs<'_>) -> f64 {
    let (radius, angle) = (1.0 - canonical(inputs), canonical(inputs));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

fn rand_32(_: &Call<'_>) -> Result<Bound, Refusal> {
    Ok(Bound::new(DataType::UInt32, |inputs| {
        Ok(Data::UInt32(
            (0..inputs.rows).map(|_| (inputs.random)()).collect(),
        ))
    }))
}

fn word(inputs: &mut Inputs<'_>) -> u64 {
    u64::from((inputs.random)()) << 32 | u64::from((inputs.random)())
}

fn uuid_v4(inputs: &mut Inputs<'_>) -> u128 {
    let random = u128::from(word(inputs)) << 64 | u128::from(word(inputs));
    versioned(random, 4)
}

/// Milliseconds, then a counter over the rows that begins anywhere, then chance: as ClickHouse fills it.
fn uuid_v7(inputs: &mut Inputs<'_>, counter: u32) -> u128 {
    let millis = inputs.context.now.as_millis() & 0xffff_ffff_ffff;
    let counter = u128::from(counter);
    let random = u128::from((inputs.random)());
    // 42 bits of counter lie around the variant; its highest ten are zero, so that it does not run over.
    let (counter_high, counter_low) = (counter >> 30, counter & 0x3fff_ffff);
    versioned(millis << 80 | counter_high << 64 | counter_low << 32 | random, 7)
}

/// Sets the version and the variant of RFC 9562.
fn versioned(bits: u128, version: u128) -> u128 {
    let bits = bits & !(0xf << 76) & !(0x3 << 62);
    bits | version << 76 | 0x2 << 62
}
