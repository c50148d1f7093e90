//! How the values of a type lie in a Native column, as far as needed to find their borders.

use std::sync::Arc;

use types::DataType;

use crate::cursor::Cursor;
use crate::error::code;
use crate::framing::Stop;
use crate::type_text;

/// The layout of a column's values, behind its prefix.
#[derive(Debug)]
pub(super) enum Node {
    /// So many bytes a value, one at least.
    Fixed(usize),
    /// A length and so many bytes a value.
    Text,
    /// A byte a row, then a value a row.
    Nullable(Arc<Node>),
    /// Where the rows' elements end, then the elements.
    Array(Arc<Node>),
    /// The elements' columns one behind the other.
    Tuple(Vec<Arc<Node>>),
    /// A dictionary and numbers of its entries.
    LowCardinality { key: Arc<Node>, nullable: bool },
    /// The numbers of the rows' types, then each type's values.
    Variant(Vec<Arc<Node>>),
}

/// How deep types may lie inside each other: the parser of types has its own limit, but a Dynamic brings types along.
const DEPTH_MAX: usize = 100;

/// How many layouts a block may have in all: some types have many for few letters.
const NODES_MAX: usize = 1 << 16;

/// The name under which a Dynamic keeps values of types that have no place of their own.
const SHARED_VARIANT: &str = "SharedVariant";

/// Reads prefixes and so finds out layouts.
pub(super) struct Prefixes<'c, 'a, 'w> {
    pub cursor: &'c mut Cursor<'a, 'w>,
    pub depth: usize,
    /// How many layouts there were in the block so far.
    pub nodes: usize,
}

impl Prefixes<'_, '_, '_> {
    /// The layout of a type's values. Passes what stands in front of them: the parts of a type have their prefixes in
    /// the same order as their values.
    pub(super) fn node(&mut self, data_type: &DataType) -> Result<Arc<Node>, Stop> {
        self.nodes += 1;
        if self.depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return Err(self.fault(
                code::INCORRECT_DATA,
                "the block's types are nested too deep, or are too many",
            ));
        }
        self.depth += 1;
        let node = self.of_type(data_type);
        self.depth -= 1;
        node
    }

    fn of_type(&mut self, data_type: &DataType) -> Result<Arc<Node>, Stop> {
        use DataType as T;
        let node = match data_type {
            T::String => Node::Text,
            T::FixedString(0) => return Err(self.unknown(data_type)),
            T::FixedString(width) => Node::Fixed(*width),
            T::Nothing => Node::Fixed(1),
            T::Nullable(inner) => Node::Nullable(self.node(inner)?),
            T::LowCardinality(inner) => self.low_cardinality(inner)?,
            T::Array(inner) => Node::Array(self.node(inner)?),
            T::Map(key, value) => {
                let pair = vec![self.node(key)?, self.node(value)?];
                Node::Array(Arc::new(Node::Tuple(pair)))
            }
            T::Tuple(elements) if elements.is_empty() => Node::Fixed(1),
            T::Tuple(elements) => {
                let elements = elements.iter().map(|(_, element)| self.node(element));
                Node::Tuple(elements.collect::<Result<_, _>>()?)
            }
            T::Other(name) => return self.of_name(name, data_type),
            data_type => Node::Fixed(fixed_width(data_type).ok_or_else(|| self.unknown(data_type))?),
        };
        Ok(Arc::new(node))
    }

    /// Types that `types` knows only by text.
    fn of_name(&mut self, name: &str, data_type: &DataType) -> Result<Arc<Node>, Stop> {
        let Some((word, arguments)) = type_text::word_and_arguments(name) else {
            return Err(self.unknown(data_type));
        };
        let number = |place: usize| {
            arguments
                .get(place)
                .and_then(|text: &&str| text.parse::<usize>().ok())
        };
        Ok(Arc::new(match word {
            "Time" => Node::Fixed(4),
            "Time64" => Node::Fixed(8),
            interval if interval.starts_with("Interval") => Node::Fixed(8),
            "Point" => Node::Tuple(vec![Arc::new(Node::Fixed(8)), Arc::new(Node::Fixed(8))]),
            "Ring" | "LineString" => Node::Array(self.named("Point")?),
            "Polygon" | "MultiLineString" => Node::Array(self.named("Ring")?),
            "MultiPolygon" => Node::Array(self.named("Polygon")?),
            "SimpleAggregateFunction" => {
                let inner = arguments.get(1).and_then(|text| DataType::parse(text).ok());
                return self.node(&inner.ok_or_else(|| self.unknown(data_type))?);
            }
            "QBit" => {
                let bits = match arguments.first() {
                    Some(&"BFloat16") => 16,
                    Some(&"Float32") => 32,
                    Some(&"Float64") => 64,
                    _ => return Err(self.unknown(data_type)),
                };
                let dimensions = number(1)
                    .filter(|count| *count > 0)
                    .ok_or_else(|| self.unknown(data_type))?;
                self.nodes += bits;
                let plane = Arc::new(Node::Fixed(dimensions.div_ceil(8)));
                Node::Tuple(vec![plane; bits])
            }
            "Variant" => {
                let types = type_text::variant_types(&arguments).ok_or_else(|| self.unknown(data_type))?;
                self.variant(&types)?
            }
            "Dynamic" => self.dynamic()?,
            "JSON" => {
                let typed = type_text::typed_paths(&arguments).ok_or_else(|| self.unknown(data_type))?;
                self.json(typed)?
            }
            _ => return Err(self.unknown(data_type)),
        }))
    }

    fn named(&mut self, name: &str) -> Result<Arc<Node>, Stop> {
        self.node(&DataType::Other(name.to_owned()))
    }

    fn low_cardinality(&mut self, inner: &DataType) -> Result<Node, Stop> {
        self.version(&[1], "LowCardinality")?;
        let (nullable, inner) = match inner {
            DataType::Nullable(inner) => (true, inner.as_ref()),
            inner => (false, inner),
        };
        let key = self.node(inner)?;
        match *key {
            Node::Fixed(_) | Node::Text => Ok(Node::LowCardinality { key, nullable }),
            _ => Err(self.fault(
                code::INCORRECT_DATA,
                "LowCardinality holds numbers or strings only",
            )),
        }
    }

    fn variant(&mut self, types: &[DataType]) -> Result<Node, Stop> {
        // Mode 0: a number for every row. The compact mode is for parts on disk.
        self.version(&[0], "Variant")?;
        let types = types.iter().map(|data_type| self.node(data_type));
        Ok(Node::Variant(types.collect::<Result<_, _>>()?))
    }

    fn dynamic(&mut self) -> Result<Node, Stop> {
        const FLATTENED: u64 = 3;
        let version = self.version(&[1, 2, FLATTENED], "Dynamic")?;
        if version == 1 {
            self.cursor.varint()?;
        }
        let mut types = self.type_names()?;
        if version == FLATTENED {
            let types = types.iter().map(|(_, data_type)| self.node(data_type));
            return Ok(Node::Variant(types.collect::<Result<_, _>>()?));
        }
        types.push((SHARED_VARIANT.to_owned(), DataType::String));
        types.sort_by(|(one, _), (other, _)| one.cmp(other));
        let types: Vec<DataType> = types.into_iter().map(|(_, data_type)| data_type).collect();
        self.variant(&types)
    }

    fn json(&mut self, mut typed: Vec<(String, DataType)>) -> Result<Node, Stop> {
        const TEXT: u64 = 1;
        const FLATTENED: u64 = 3;
        let version = self.version(&[0, TEXT, 2, FLATTENED], "JSON")?;
        if version == TEXT {
            return Ok(Node::Text);
        }
        if version == 0 {
            self.cursor.varint()?;
        }
        let paths = self.cursor.varint()?;
        for _ in 0..paths {
            self.cursor.text()?;
        }
        typed.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut parts = Vec::new();
        for (_, data_type) in &typed {
            parts.push(self.node(data_type)?);
        }
        for _ in 0..paths {
            parts.push(self.named("Dynamic")?);
        }
        if version != FLATTENED {
            let pair = vec![Arc::new(Node::Text), Arc::new(Node::Text)];
            parts.push(Arc::new(Node::Array(Arc::new(Node::Tuple(pair)))));
        }
        if parts.is_empty() {
            return Err(self.fault(
                code::NOT_IMPLEMENTED,
                "a flattened JSON column without any path does not say how many rows it has",
            ));
        }
        Ok(Node::Tuple(parts))
    }

    /// The names of a Dynamic's types.
    fn type_names(&mut self) -> Result<Vec<(String, DataType)>, Stop> {
        // A byte numbers them, 255 is NULL.
        const TYPES_MAX: u64 = 254;
        let count = self.cursor.varint()?;
        if count > TYPES_MAX {
            return Err(self.fault(
                code::NOT_IMPLEMENTED,
                "a Dynamic has more than 254 types in one block",
            ));
        }
        let mut types = Vec::new();
        for _ in 0..count {
            let name = self.cursor.text()?;
            let name = String::from_utf8_lossy(&self.cursor.window.bytes[name]).into_owned();
            let data_type =
                DataType::parse(&name).map_err(|error| self.fault(code::UNKNOWN_TYPE, &error.to_string()))?;
            types.push((name, data_type));
        }
        Ok(types)
    }

    /// The number of a serialization, one of those known here.
    fn version(&mut self, known: &[u64], of: &str) -> Result<u64, Stop> {
        let version = u64::from_le_bytes(self.cursor.array()?);
        if known.contains(&version) {
            return Ok(version);
        }
        let message =
            format!("{of} is serialized in version {version}, which this router does not know in Native");
        Err(self.fault(code::NOT_IMPLEMENTED, &message))
    }

    fn unknown(&self, data_type: &DataType) -> Stop {
        let message = format!(
            "values of type {data_type} cannot be passed over in Native; leave the column out or use another format"
        );
        self.fault(code::NOT_IMPLEMENTED, &message)
    }

    fn fault(&self, code: i32, message: &str) -> Stop {
        Stop::fault(code, self.cursor.at, message)
    }
}

/// The width of a type whose values all have the same.
pub(crate) fn fixed_width(data_type: &DataType) -> Option<usize> {
    use DataType as T;
    Some(match data_type {
        T::UInt8 | T::Int8 | T::Bool | T::Enum8(_) => 1,
        T::UInt16 | T::Int16 | T::Date | T::Enum16(_) | T::BFloat16 => 2,
        T::UInt32 | T::Int32 | T::Float32 | T::Date32 | T::DateTime(_) | T::IPv4 => 4,
        T::UInt64 | T::Int64 | T::Float64 | T::DateTime64(..) => 8,
        T::UInt128 | T::Int128 | T::Uuid | T::IPv6 => 16,
        T::UInt256 | T::Int256 => 32,
        T::Decimal { precision: 1..=9, .. } => 4,
        T::Decimal {
            precision: 10..=18, ..
        } => 8,
        T::Decimal {
            precision: 19..=38, ..
        } => 16,
        T::Decimal { .. } => 32,
        _ => return None,
    })
}
