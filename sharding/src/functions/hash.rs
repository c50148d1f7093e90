//! What the hash functions of any number of arguments have in common: each argument is hashed by itself, then
//! joined to the hash of those before it. A family says how bytes are hashed and how two hashes are joined.

use types::{Data, DataType};

use super::{Bound, Call, Function, Inputs};
use crate::error::{Failure, Refusal};
use crate::expression::evaluate::Value;

/// A family of 64-bit hashes.
pub(super) trait HashFamily: 'static {
    /// The hash of a string.
    fn of_bytes(text: &[u8]) -> u64;

    /// The hash of a number that takes `N` bytes, given little-endian.
    #[inline]
    fn of_number<const N: usize>(number: [u8; N]) -> u64 {
        Self::of_bytes(&number)
    }

    /// The hash of several arguments and that of the next as one.
    fn join(so_far: u64, next: u64) -> u64;
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
    let kernel = move |inputs: &mut Inputs<'_>| {
        let mut hashes = Hashes::<H>::new(inputs.rows);
        for (value, shape) in inputs.values.iter().zip(&shapes) {
            hashes.add(value, *shape)?;
        }
        Ok(Data::UInt64(hashes.hashes))
    };
    Ok(Bound::new(DataType::UInt64, kernel))
}

/// What ClickHouse hashes of a value.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// A number, or the bytes of a string.
    Plain,
    /// The number's eight bytes as a string: a DateTime64 is a Decimal inside.
    Decimal,
    /// A UUID's two halves.
    Uuid,
}

impl Shape {
    /// The shape of a type; none for types whose columns are opaque bytes here (Decimal, IPv6, 256-bit
    /// integers, Array …).
    fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Uuid => Some(Self::Uuid),
            DataType::DateTime64(..) => Some(Self::Decimal),
            DataType::String | DataType::FixedString(_) => Some(Self::Plain),
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
    fn add(&mut self, value: &Value<'_>, shape: Shape) -> Result<(), Failure> {
        macro_rules! add_numbers {
            ($numbers:ident) => {
                self.add_each(
                    value,
                    $numbers.iter().map(|n| H::of_number(n.to_le_bytes())),
                )
            };
        }
        match (&value.column.data, shape) {
            (Data::UInt128(n), Shape::Uuid) => {
                self.add_each(value, n.iter().map(|n| H::of_number(uuid_bytes(*n))));
            }
            (Data::Int64(n), Shape::Decimal) => {
                self.add_each(value, n.iter().map(|n| H::of_bytes(&n.to_le_bytes())));
            }
            (Data::Bytes(texts), _) => self.add_each(value, texts.iter().map(H::of_bytes)),
            (Data::UInt8(n), _) => add_numbers!(n),
            (Data::UInt16(n), _) => add_numbers!(n),
            (Data::UInt32(n), _) => add_numbers!(n),
            (Data::UInt64(n), _) => add_numbers!(n),
            (Data::UInt128(n), _) => add_numbers!(n),
            (Data::Int8(n), _) => add_numbers!(n),
            (Data::Int16(n), _) => add_numbers!(n),
            (Data::Int32(n), _) => add_numbers!(n),
            (Data::Int64(n), _) => add_numbers!(n),
            (Data::Int128(n), _) => add_numbers!(n),
            (Data::Float32(n), _) => add_numbers!(n),
            (Data::Float64(n), _) => add_numbers!(n),
        }
        if self.hashes.len() == self.rows {
            Ok(())
        } else {
            Err(Failure::wrong_columns())
        }
    }

    /// Adds an argument by the hashes of its values, of one value if it is constant.
    #[inline]
    fn add_each(&mut self, value: &Value<'_>, hashes: impl Iterator<Item = u64>) {
        match &value.column.nulls {
            None => self.join_each(value.constant, hashes),
            Some(nulls) => {
                let with_nulls = hashes
                    .zip(nulls)
                    .map(|(hash, null)| if *null { NULL_HASH } else { hash });
                self.join_each(value.constant, with_nulls);
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
fn uuid_bytes(uuid: u128) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&((uuid >> 64) as u64).to_le_bytes());
    bytes[8..].copy_from_slice(&(uuid as u64).to_le_bytes());
    bytes
}
