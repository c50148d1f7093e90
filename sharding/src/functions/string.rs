//! Functions of strings, by bytes: ClickHouse's names without UTF8 know no letters but ASCII's.

use types::{Bytes, Column, Data, DataType, Lists};

use super::{Bound, Call, Function, Inputs, strings, text};
use crate::error::{EvalReason, Failure, KeyReason, Refusal};
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    any_case("lower", |call| {
        bind_same(call, |text, out| {
            out.extend(text.iter().map(u8::to_ascii_lowercase));
        })
    }),
    any_case("lcase", |call| {
        bind_same(call, |text, out| {
            out.extend(text.iter().map(u8::to_ascii_lowercase));
        })
    }),
    any_case("upper", |call| {
        bind_same(call, |text, out| {
            out.extend(text.iter().map(u8::to_ascii_uppercase));
        })
    }),
    any_case("ucase", |call| {
        bind_same(call, |text, out| {
            out.extend(text.iter().map(u8::to_ascii_uppercase));
        })
    }),
    any_case("reverse", |call| {
        bind_same(call, |text, out| out.extend(text.iter().rev()))
    }),
    any_case("trim", |call| bind_text(call, |text| trimmed(text, true, true))),
    Function::new("trimBoth", |call| {
        bind_text(call, |text| trimmed(text, true, true))
    }),
    Function::new("trimLeft", |call| {
        bind_text(call, |text| trimmed(text, true, false))
    }),
    Function::new("trimRight", |call| {
        bind_text(call, |text| trimmed(text, false, true))
    }),
    any_case("ltrim", |call| bind_text(call, |text| trimmed(text, true, false))),
    any_case("rtrim", |call| bind_text(call, |text| trimmed(text, false, true))),
    Function::new("domain", |call| bind_text(call, domain)),
    Function::new("domainWithoutWWW", |call| {
        bind_text(call, |text| {
            let domain = domain(text);
            domain.strip_prefix(b"www.").unwrap_or(domain)
        })
    }),
    any_case("length", bind_length),
    any_case("octet_length", bind_length),
    Function::new("empty", |call| bind_empty(call, true)),
    Function::new("notEmpty", |call| bind_empty(call, false)),
    any_case("substring", bind_substring).with_arguments(2, 3),
    any_case("substr", bind_substring).with_arguments(2, 3),
    any_case("mid", bind_substring).with_arguments(2, 3),
    any_case("left", bind_left).with_arguments(2, 2),
    any_case("hex", bind_hex),
    any_case("concat", bind_concat).with_arguments(1, usize::MAX),
    any_case("startsWith", |call| {
        bind_test(call, |text, part| text.starts_with(part))
    })
    .with_arguments(2, 2),
    any_case("endsWith", |call| {
        bind_test(call, |text, part| text.ends_with(part))
    })
    .with_arguments(2, 2),
    Function::new("splitByChar", bind_split).with_arguments(2, 2),
    Function::new("javaHash", bind_java),
    Function::new("hiveHash", bind_hive),
];

const fn any_case(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Function {
    Function {
        any_case: true,
        ..Function::new(name, bind)
    }
}

fn check_text(call: &Call<'_>, place: usize) -> Result<(), Refusal> {
    match call.arguments[place].data_type {
        DataType::String => Ok(()),
        _ => Err(call.illegal(place)),
    }
}

/// A function whose result is of the type of its argument, with a text as long.
fn bind_same(call: &Call<'_>, write: fn(&[u8], &mut Vec<u8>)) -> Result<Bound, Refusal> {
    if !matches!(call.arguments[0].data_type, DataType::FixedString(_)) {
        check_text(call, 0)?;
    }
    Ok(Bound::new(call.arguments[0].data_type.clone(), move |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let mut out = Bytes::default();
        for row in 0..inputs.rows {
            write(texts.get(value.place(row)), &mut out.bytes);
            out.ends.push(out.bytes.len());
        }
        Ok(Data::Bytes(out))
    }))
}

/// A function that answers a part of its text.
fn bind_text(call: &Call<'_>, part: fn(&[u8]) -> &[u8]) -> Result<Bound, Refusal> {
    check_text(call, 0)?;
    Ok(Bound::new(DataType::String, move |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let mut out = Bytes::default();
        (0..inputs.rows).for_each(|row| out.push(part(texts.get(value.place(row)))));
        Ok(Data::Bytes(out))
    }))
}

/// Spaces cut off; no other character counts.
fn trimmed(mut text: &[u8], left: bool, right: bool) -> &[u8] {
    while let (true, [b' ', rest @ ..]) = (left, text) {
        text = rest;
    }
    while let (true, [rest @ .., b' ']) = (right, text) {
        text = rest;
    }
    text
}

/// The host of an address as ClickHouse finds it; empty where there is none.
fn domain(text: &[u8]) -> &[u8] {
    let rest = behind_scheme(text);
    let mut start = 0;
    let mut dot = None;
    let mut end = rest.len();
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'.' => {
                if at + 1 == rest.len() {
                    return b"";
                }
                dot = Some(at);
            }
            b':' | b'/' | b'?' | b'#' => {
                end = at;
                break;
            }
            b'@' => start = at + 1,
            b' ' | b'\t' | b'<' | b'>' | b'%' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'~' | b'[' | b']'
            | b';' | b'=' | b'&' => return b"",
            _ => {}
        }
    }
    match dot {
        Some(dot) if dot > start => &rest[start..end],
        _ => b"",
    }
}

/// What stands behind `scheme://` or `//`, or the text itself when it has no scheme.
fn behind_scheme(text: &[u8]) -> &[u8] {
    if let Some(rest) = text.strip_prefix(b"//") {
        return rest;
    }
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let len = text
        .iter()
        .position(|byte| !is_scheme(byte))
        .unwrap_or(text.len());
    match text[len..].strip_prefix(b"://") {
        Some(rest) if text.first().is_some_and(u8::is_ascii_alphabetic) => rest,
        _ => text,
    }
}

fn bind_length(call: &Call<'_>) -> Result<Bound, Refusal> {
    if !matches!(
        call.arguments[0].data_type,
        DataType::String | DataType::FixedString(_) | DataType::Array(_) | DataType::Map(..)
    ) {
        return Err(call.illegal(0));
    }
    Ok(Bound::new(DataType::UInt64, |inputs| {
        Ok(Data::UInt64(lengths(inputs)?))
    }))
}

fn bind_empty(call: &Call<'_>, is_empty: bool) -> Result<Bound, Refusal> {
    if !matches!(
        call.arguments[0].data_type,
        DataType::String | DataType::Array(_) | DataType::Map(..)
    ) {
        return Err(call.illegal(0));
    }
    Ok(Bound::new(DataType::UInt8, move |inputs| {
        let lengths = lengths(inputs)?;
        Ok(Data::UInt8(
            lengths
                .into_iter()
                .map(|length| u8::from((length == 0) == is_empty))
                .collect(),
        ))
    }))
}

fn lengths(inputs: &Inputs<'_>) -> Result<Vec<u64>, Failure> {
    let value = &inputs.values[0];
    let length: Box<dyn Fn(usize) -> usize> = match &value.column.data {
        Data::Bytes(texts) => Box::new(|place| texts.get(place).len()),
        Data::Array(lists) => Box::new(|place| lists.range(place).len()),
        _ => return Err(Failure::wrong_columns()),
    };
    Ok((0..inputs.rows)
        .map(|row| length(value.place(row)) as u64)
        .collect())
}

/// substring(text, offset, length), counted from 1, from the end when negative; an offset of 0 gives nothing.
fn bind_substring(call: &Call<'_>) -> Result<Bound, Refusal> {
    check_text(call, 0)?;
    for place in 1..call.arguments.len() {
        Integer::of(call.arguments[place].data_type).ok_or_else(|| call.illegal(place))?;
    }
    if call.constant_number(1) == Ok(0) {
        return Err(call.refuse(KeyReason::Constant(EvalReason::ZeroIndex)));
    }
    let signs: Vec<bool> = (1..call.arguments.len())
        .map(|place| Integer::of(call.arguments[place].data_type).is_some_and(|integer| integer.signed))
        .collect();
    Ok(Bound::new(DataType::String, move |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let numbers = inputs.values[1..]
            .iter()
            .map(Words::of)
            .collect::<Result<Vec<_>, _>>()?;
        let number = |place: usize, row: usize| {
            let word = numbers.get(place)?.word(row)?;
            Some(if signs[place] {
                i128::from(word.cast_signed())
            } else {
                i128::from(word)
            })
        };
        let mut out = Bytes::default();
        for row in 0..inputs.rows {
            let offset = number(0, row).unwrap_or(0);
            out.push(substring(texts.get(value.place(row)), offset, number(1, row)));
        }
        Ok(Data::Bytes(out))
    }))
}

fn substring(text: &[u8], offset: i128, length: Option<i128>) -> &[u8] {
    let len = text.len() as i128;
    let start = match offset {
        0 => return b"",
        1.. => offset - 1,
        _ => len + offset,
    };
    let end = match length {
        None => len,
        Some(length @ 0..) => start + length,
        Some(length) => len + length,
    };
    let (start, end) = (start.clamp(0, len) as usize, end.clamp(0, len) as usize);
    text.get(start..end).unwrap_or(b"")
}

fn bind_left(call: &Call<'_>) -> Result<Bound, Refusal> {
    check_text(call, 0)?;
    let integer = Integer::of(call.arguments[1].data_type).ok_or_else(|| call.illegal(1))?;
    Ok(Bound::new(DataType::String, move |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let lengths = Words::of(&inputs.values[1])?;
        let mut out = Bytes::default();
        for row in 0..inputs.rows {
            let word = lengths.word(row).unwrap_or(0);
            let length = if integer.signed {
                i128::from(word.cast_signed())
            } else {
                i128::from(word)
            };
            out.push(substring(texts.get(value.place(row)), 1, Some(length)));
        }
        Ok(Data::Bytes(out))
    }))
}

/// Of a string each byte, of a number its digits without leading zero bytes.
fn bind_hex(call: &Call<'_>) -> Result<Bound, Refusal> {
    let data_type = call.arguments[0].data_type;
    let integer = Integer::of(data_type).filter(|integer| !integer.signed);
    if integer.is_none() && !matches!(data_type, DataType::String | DataType::FixedString(_)) {
        return Err(call.illegal(0));
    }
    Ok(Bound::new(DataType::String, |inputs| {
        let value = &inputs.values[0];
        let mut out = Bytes::default();
        for row in 0..inputs.rows {
            let digits = match &value.column.data {
                Data::Bytes(texts) => texts
                    .get(value.place(row))
                    .iter()
                    .map(|byte| format!("{byte:02X}"))
                    .collect(),
                data => {
                    let word =
                        crate::integers::word(data, value.place(row)).ok_or_else(Failure::wrong_columns)?;
                    let digits = format!("{word:X}");
                    if digits.len() % 2 == 1 {
                        format!("0{digits}")
                    } else {
                        digits
                    }
                }
            };
            out.push(digits.as_bytes());
        }
        Ok(Data::Bytes(out))
    }))
}

/// The texts of all arguments one behind the other; what is no string is written as toString writes it.
fn bind_concat(call: &Call<'_>) -> Result<Bound, Refusal> {
    let writers = (0..call.arguments.len()).map(|place| text::Writer::of_argument(call, place));
    let writers = writers.collect::<Result<Vec<_>, _>>()?;
    Ok(Bound::new(DataType::String, move |inputs| {
        let mut out = Bytes::default();
        let mut joined = Vec::new();
        for row in 0..inputs.rows {
            joined.clear();
            if !inputs.is_null(row) {
                for (value, writer) in inputs.values.iter().zip(&writers) {
                    let written = writer.write(&value.column, value.place(row), &mut joined);
                    written.map_err(|reason| Failure::at(row, reason))?;
                }
            }
            out.push(&joined);
        }
        Ok(Data::Bytes(out))
    }))
}

fn bind_test(call: &Call<'_>, test: fn(&[u8], &[u8]) -> bool) -> Result<Bound, Refusal> {
    check_text(call, 0)?;
    check_text(call, 1)?;
    Ok(Bound::new(DataType::UInt8, move |inputs| {
        let (value, part) = (&inputs.values[0], &inputs.values[1]);
        let (texts, parts) = (strings(value)?, strings(part)?);
        let tested = |row| u8::from(test(texts.get(value.place(row)), parts.get(part.place(row))));
        Ok(Data::UInt8((0..inputs.rows).map(tested).collect()))
    }))
}

/// The parts of a text between a one-byte separator.
fn bind_split(call: &Call<'_>) -> Result<Bound, Refusal> {
    check_text(call, 1)?;
    let separator = call.constant_text(0)?;
    let &[separator] = separator.as_bytes() else {
        return Err(call.illegal(0));
    };
    Ok(Bound::new(
        DataType::Array(Box::new(DataType::String)),
        move |inputs| {
            let value = &inputs.values[1];
            let texts = strings(value)?;
            let mut parts = Bytes::default();
            let mut ends = Vec::with_capacity(inputs.rows);
            for row in 0..inputs.rows {
                let text = texts.get(value.place(row));
                text.split(|byte| *byte == separator)
                    .for_each(|part| parts.push(part));
                ends.push(parts.len());
            }
            Ok(Data::Array(Lists {
                values: Box::new(Column::new(Data::Bytes(parts))),
                ends,
            }))
        },
    ))
}

/// Java's String.hashCode of the bytes, Integer's and Long's hashCode.
fn bind_java(call: &Call<'_>) -> Result<Bound, Refusal> {
    use DataType as T;
    match call.arguments[0].data_type {
        T::String => Ok(Bound::new(T::Int32, |inputs| {
            Ok(Data::Int32(java_hashes(inputs)?))
        })),
        T::Int8 | T::Int16 | T::Int32 | T::Int64 => Ok(Bound::new(T::Int32, |inputs| {
            let words = Words::of(&inputs.values[0])?;
            let is_long = matches!(inputs.values[0].column.data, Data::Int64(_));
            let hash = |word: u64| if is_long { word ^ (word >> 32) } else { word };
            Ok(Data::Int32(
                words
                    .map(inputs.rows, hash)
                    .into_iter()
                    .map(|word| word as i32)
                    .collect(),
            ))
        })),
        _ => Err(call.illegal(0)),
    }
}

fn bind_hive(call: &Call<'_>) -> Result<Bound, Refusal> {
    check_text(call, 0)?;
    Ok(Bound::new(DataType::Int32, |inputs| {
        Ok(Data::Int32(
            java_hashes(inputs)?
                .into_iter()
                .map(|hash| hash & i32::MAX)
                .collect(),
        ))
    }))
}

fn java_hashes(inputs: &Inputs<'_>) -> Result<Vec<i32>, Failure> {
    let value = &inputs.values[0];
    let texts = strings(value)?;
    // Java's bytes are signed.
    let hash = |text: &[u8]| {
        let add = |hash: i32, byte: &u8| hash.wrapping_mul(31).wrapping_add(i32::from(byte.cast_signed()));
        text.iter().fold(0_i32, add)
    };
    Ok((0..inputs.rows)
        .map(|row| hash(texts.get(value.place(row))))
        .collect())
}
