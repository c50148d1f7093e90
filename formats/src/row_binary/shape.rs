//! How far a value of a type reaches in RowBinary.

use types::DataType;

use crate::type_text;

/// How far a value reaches. None is empty, so that a count can never be walked without bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Fixed(usize),
    /// A length and that many bytes.
    Text,
    /// A byte 1 for NULL, or 0 and the value.
    Nullable(Box<Shape>),
    /// A count and that many values.
    Array(Box<Shape>),
    Tuple(Vec<Shape>),
    /// The number of one of the types, or 255 for NULL, and a value of it.
    Variant(Vec<Shape>),
    /// A type and a value of it.
    Dynamic,
    /// A count of paths, each with its name and its value: that of a typed path as its type says, any other as
    /// `Dynamic`.
    Json(Vec<(String, Shape)>),
}

/// What a shape depends on besides the type.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// `input_format_binary_read_json_as_string`.
    pub json_as_text: bool,
}

impl Shape {
    /// The shape of a type's values; none where it does not follow from the type, or a value is empty.
    pub(super) fn of(data_type: &DataType, reading: Reading) -> Option<Self> {
        use DataType as T;
        let of = |inner: &DataType| Self::of(inner, reading);
        Some(match data_type {
            T::UInt8 | T::Int8 | T::Bool | T::Enum8(_) => Self::Fixed(1),
            T::UInt16 | T::Int16 | T::Date | T::Enum16(_) | T::BFloat16 => Self::Fixed(2),
            T::UInt32 | T::Int32 | T::Float32 | T::Date32 | T::DateTime(_) | T::IPv4 => Self::Fixed(4),
            T::UInt64 | T::Int64 | T::Float64 | T::DateTime64(..) => Self::Fixed(8),
            T::UInt128 | T::Int128 | T::Uuid | T::IPv6 => Self::Fixed(16),
            T::UInt256 | T::Int256 => Self::Fixed(32),
            T::Decimal { precision: 1..=9, .. } => Self::Fixed(4),
            T::Decimal {
                precision: 10..=18, ..
            } => Self::Fixed(8),
            T::Decimal {
                precision: 19..=38, ..
            } => Self::Fixed(16),
            T::Decimal { .. } => Self::Fixed(32),
            T::FixedString(0) | T::Nothing => return None,
            T::FixedString(len) => Self::Fixed(*len),
            T::String => Self::Text,
            T::Nullable(inner) => Self::Nullable(Box::new(of(inner)?)),
            T::LowCardinality(inner) => of(inner)?,
            T::Array(inner) => Self::Array(Box::new(of(inner)?)),
            T::Map(key, value) => Self::Array(Box::new(Self::tuple([of(key)?, of(value)?])?)),
            T::Tuple(elements) => {
                let elements = elements.iter().map(|(_, element)| of(element));
                Self::tuple(elements.collect::<Option<Vec<_>>>()?)?
            }
            T::Other(name) => Self::of_name(name, reading)?,
        })
    }

    /// Values one behind the other; none where there is none.
    pub(super) fn tuple(elements: impl IntoIterator<Item = Self>) -> Option<Self> {
        let elements: Vec<Self> = elements.into_iter().collect();
        if elements.is_empty() {
            return None;
        }
        let fixed = elements.iter().try_fold(0_usize, |sum, element| match element {
            Self::Fixed(len) => sum.checked_add(*len),
            _ => None,
        });
        Some(fixed.map_or(Self::Tuple(elements), Self::Fixed))
    }

    /// Types that `types` knows only by text.
    fn of_name(name: &str, reading: Reading) -> Option<Self> {
        let array = |inner: &str| Some(Self::Array(Box::new(Self::of_name(inner, reading)?)));
        let (word, arguments) = type_text::word_and_arguments(name)?;
        match word {
            "Point" => Some(Self::Fixed(16)),
            "Ring" | "LineString" => array("Point"),
            "Polygon" | "MultiLineString" => array("Ring"),
            "MultiPolygon" => array("Polygon"),
            "Time" => Some(Self::Fixed(4)),
            "Time64" => Some(Self::Fixed(8)),
            interval if interval.starts_with("Interval") => Some(Self::Fixed(8)),
            "SimpleAggregateFunction" => Self::of(&DataType::parse(arguments.get(1)?).ok()?, reading),
            "Variant" => variant(&arguments, reading),
            "Dynamic" => Some(Self::Dynamic),
            "JSON" if reading.json_as_text => Some(Self::Text),
            "JSON" => json(&arguments, reading),
            _ => None,
        }
    }
}

/// One shape a type, in the order of the types' names.
fn variant(arguments: &[&str], reading: Reading) -> Option<Shape> {
    let types = type_text::variant_types(arguments)?;
    let shapes = types.iter().map(|data_type| Shape::of(data_type, reading));
    Some(Shape::Variant(shapes.collect::<Option<_>>()?))
}

fn json(arguments: &[&str], reading: Reading) -> Option<Shape> {
    let typed = type_text::typed_paths(arguments)?.into_iter();
    let typed = typed.map(|(path, data_type)| Some((path, Shape::of(&data_type, reading)?)));
    Some(Shape::Json(typed.collect::<Option<_>>()?))
}
