//! What the hash functions of any number of arguments have in common: each argument is hashed by itself, then
//! joined to the hash of those before it. A family says how bytes are hashed and how two hashes are joined.

use types::{Column, Data, DataType, Lists, city_hash_join};

use super::int_hash::{int_hash_32, int_hash_64};
use super::{Bound, Call, Function, Inputs};
use crate::error::{EvalReason, Failure, Refusal};

/// A family of hashes of 32 or 64 bits.
pub(super) trait HashFamily: 'static {
    /// Whether its hashes are UInt32.
    const IS_SHORT: bool = false;

    /// The longest string whose hash we are sure of.
    const LONGEST: usize = usize::MAX;

    /// The hash of a string.
    fn of_bytes(text: &[u8]) -> u64;

    /// The hash of a number that takes `N` bytes, given little-endian.
    #[inline]
    fn of_number<const N: usize>(number: [u8; N]) -> u64 {
        Self::of_bytes(&number)
    }

    /// The hash of several arguments and that of the next as one.
    #[inline]
    fn join(so_far: u64, next: u64) -> u64 {
        city_hash_join(so_far, next)
    }

    /// The hash of how many elements a list has.
    fn of_length(length: u64) -> u64 {
        if Self::IS_SHORT {
            u64::from(int_hash_32(length))
        } else {
            int_hash_64(length)
        }
    }
}

/// What the families make of a number that hash only strings themselves: intHash64 up to 8 bytes.
///
/// A short number counts as UInt64 with zeros in front, a negative one too: Int8 -1 hashes as 255.
#[inline]
pub(super) fn mixed_number<const N: usize>(number: [u8; N], of_bytes: impl Fn(&[u8]) -> u64) -> u64 {
    if N > 8 {
        return of_bytes(&number);
    }
    let mut word = [0; 8];
    word[..N].copy_from_slice(&number);
    int_hash_64(u64::from_le_bytes(word))
}

/// What ClickHouse 26.9 takes as the hash of a NULL inside a tuple, in every family (tried, see
/// golden/corners.jsonl).
/// A NULL outside of a tuple makes the whole result NULL.
const NULL_HASH: u64 = 0xc58a_d2da_03d9_a871;

/// The entry of a family's function.
pub(super) const fn function<H: HashFamily>(name: &'static str) -> Function {
    let mut function = Function::new(name, bind::<H>).with_arguments(1, usize::MAX);
    function.spreads_tuples = true;
    function
}

fn bind<H: HashFamily>(call: &Call<'_>) -> Result<Bound, Refusal> {
    let shapes = (0..call.arguments.len()).map(|place| {
        let data_type = call.arguments[place].data_type.without_nullable();
        Shape::of(data_type).ok_or_else(|| call.illegal(place))
    });
    let shapes = shapes.collect::<Result<Vec<_>, _>>()?;
    let data_type = if H::IS_SHORT {
        DataType::UInt32
    } else {
        DataType::UInt64
    };
    let kernel = move |inputs: &mut Inputs<'_>| {
        let mut hashes = Hashes::<H>::new(inputs.rows);
        for (value, shape) in inputs.values.iter().zip(&shapes) {
            hashes.add(&value.column, value.constant, shape)?;
        }
        if H::IS_SHORT {
            return Ok(Data::UInt32(
                hashes.hashes.iter().map(|hash| *hash as u32).collect(),
            ));
        }
        Ok(Data::UInt64(hashes.hashes))
    };
    Ok(Bound::new(data_type, kernel))
}

/// What ClickHouse hashes of a value.
#[derive(Debug, Clone)]
enum Shape {
    /// A number, or the bytes of a string.
    Plain,
    /// The number's bytes as a string, however short: Decimal, and DateTime64, which is one inside.
    Decimal,
    /// A UUID's two halves.
    Uuid,
    /// The length and each element.
    List(Box<Shape>),
    /// Each element as an argument of its own.
    Tuple(Vec<Shape>),
}

impl Shape {
    /// The shape of a type; none for types whose columns are opaque bytes here (JSON, Variant …).
    fn of(data_type: &DataType) -> Option<Self> {
        use DataType as T;
        match data_type {
            T::Uuid => Some(Self::Uuid),
            T::DateTime64(..) | T::Decimal { .. } => Some(Self::Decimal),
            T::String | T::FixedString(_) | T::IPv6 => Some(Self::Plain),
            T::Array(element) => Some(Self::List(Box::new(Self::of(element.without_nullable())?))),
            T::Map(key, value) => {
                let pair = [key, value].map(|part| Self::of(part.without_nullable()));
                let pair: Option<Vec<Self>> = pair.into_iter().collect();
                Some(Self::List(Box::new(Self::Tuple(pair?))))
            }
            // An empty tuple in a list would be no hash at all.
            T::Tuple(elements) if elements.is_empty() => None,
            T::Tuple(elements) => {
                let shapes = elements
                    .iter()
                    .map(|(_, element)| Self::of(element.without_nullable()));
                shapes.collect::<Option<_>>().map(Self::Tuple)
            }
            other if matches!(Data::empty(other), Data::Bytes(_)) => None,
            _ => Some(Self::Plain),
        }
    }
}

/// The hashes of the arguments so far, one a row.
struct Hashes<H> {
    hashes: Vec<u64>,
    rows: usize,
    first: bool,
    family: std::marker::PhantomData<H>,
}

impl<H: HashFamily> Hashes<H> {
    fn new(rows: usize) -> Self {
        Self {
            hashes: Vec::with_capacity(rows),
            rows,
            first: true,
            family: std::marker::PhantomData,
        }
    }

    /// Adds the next argument.
    fn add(&mut self, column: &Column, constant: bool, shape: &Shape) -> Result<(), Failure> {
        macro_rules! add_numbers {
            ($numbers:ident) => {
                self.add_each(
                    column,
                    constant,
                    $numbers.iter().map(|n| H::of_number(n.to_le_bytes())),
                )
            };
        }
        macro_rules! add_strings {
            ($numbers:ident) => {
                self.add_each(
                    column,
                    constant,
                    $numbers.iter().map(|n| H::of_bytes(&n.to_le_bytes())),
                )
            };
        }
        match (&column.data, shape) {
            (Data::Tuple(tuples), Shape::Tuple(shapes)) => {
                for (element, shape) in tuples.columns.iter().zip(shapes) {
                    self.add(element, constant, shape)?;
                }
            }
            (Data::Array(lists), Shape::List(shape)) => self.add_lists(lists, constant, shape)?,
            (Data::UInt128(n), Shape::Uuid) => {
                self.add_each(column, constant, n.iter().map(|n| H::of_number(uuid_bytes(*n))));
            }
            (Data::Int32(n), Shape::Decimal) => add_strings!(n),
            (Data::Int64(n), Shape::Decimal) => add_strings!(n),
            (Data::Int128(n), Shape::Decimal) => add_strings!(n),
            (Data::Int256(n), Shape::Decimal) => add_strings!(n),
            (Data::Bytes(texts), _) => {
                if let Some(row) = texts.iter().position(|text| text.len() > H::LONGEST) {
                    return Err(Failure::at(row, EvalReason::Unsure));
                }
                self.add_each(column, constant, texts.iter().map(H::of_bytes));
            }
            (Data::UInt8(n), _) => add_numbers!(n),
            (Data::UInt16(n), _) => add_numbers!(n),
            (Data::UInt32(n), _) => add_numbers!(n),
            (Data::UInt64(n), _) => add_numbers!(n),
            (Data::UInt128(n), _) => add_numbers!(n),
            (Data::UInt256(n), _) => add_numbers!(n),
            (Data::Int8(n), _) => add_numbers!(n),
            (Data::Int16(n), _) => add_numbers!(n),
            (Data::Int32(n), _) => add_numbers!(n),
            (Data::Int64(n), _) => add_numbers!(n),
            (Data::Int128(n), _) => add_numbers!(n),
            (Data::Int256(n), _) => add_numbers!(n),
            (Data::Float32(n), _) => add_numbers!(n),
            (Data::Float64(n), _) => add_numbers!(n),
            (Data::Array(_) | Data::Tuple(_), _) => return Err(Failure::wrong_columns()),
        }
        if self.hashes.len() == self.rows {
            Ok(())
        } else {
            Err(Failure::wrong_columns())
        }
    }

    /// Adds lists: of each its length, then its elements' hashes.
    fn add_lists(&mut self, lists: &Lists, constant: bool, shape: &Shape) -> Result<(), Failure> {
        let mut elements = Self::new(lists.values.len());
        elements.add(&lists.values, false, shape)?;
        let is_first = std::mem::take(&mut self.first);
        if is_first {
            self.hashes.resize(self.rows, 0);
        }
        for (row, hash) in self.hashes.iter_mut().enumerate() {
            let range = lists.range(if constant { 0 } else { row });
            let length = H::of_length(range.len() as u64);
            let start = if is_first { length } else { H::join(*hash, length) };
            *hash = elements.hashes[range]
                .iter()
                .fold(start, |so_far, next| H::join(so_far, *next));
        }
        Ok(())
    }

    /// Adds an argument by the hashes of its values, of one value if it is constant.
    #[inline]
    fn add_each(&mut self, column: &Column, constant: bool, hashes: impl Iterator<Item = u64>) {
        match &column.nulls {
            None => self.join_each(constant, hashes),
            Some(nulls) => {
                let null = if H::IS_SHORT {
                    NULL_HASH & 0xffff_ffff
                } else {
                    NULL_HASH
                };
                let with_nulls = hashes
                    .zip(nulls)
                    .map(|(hash, is_null)| if *is_null { null } else { hash });
                self.join_each(constant, with_nulls);
            }
        }
    }

    #[inline]
    fn join_each(&mut self, constant: bool, mut hashes: impl Iterator<Item = u64>) {
        match (std::mem::take(&mut self.first), constant) {
            (true, false) => self.hashes.extend(hashes),
            (true, true) => self.hashes.resize(self.rows, hashes.next().unwrap_or_default()),
            (false, false) => {
                for (so_far, next) in self.hashes.iter_mut().zip(hashes) {
                    *so_far = H::join(*so_far, next);
                }
            }
            (false, true) => {
                let next = hashes.next().unwrap_or_default();
                self.hashes
                    .iter_mut()
                    .for_each(|so_far| *so_far = H::join(*so_far, next));
            }
        }
    }
}

/// A UUID as ClickHouse keeps it: the half that is written first, then the other, each little-endian.
pub(super) fn uuid_bytes(uuid: u128) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&((uuid >> 64) as u64).to_le_bytes());
    bytes[8..].copy_from_slice(&(uuid as u64).to_le_bytes());
    bytes
}
