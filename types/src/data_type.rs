//! `DataType`: a ClickHouse type name as a tree.

use std::fmt;

/// A ClickHouse data type.
///
/// Aliases (`BIGINT`, `Text`) are not resolved: servers answer DESCRIBE with canonical names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the variants are ClickHouse's own names
pub enum DataType {
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    UInt128,
    UInt256,
    Int8,
    Int16,
    Int32,
    Int64,
    Int128,
    Int256,
    Float32,
    Float64,
    BFloat16,
    Bool,
    String,
    /// Exactly this many bytes.
    FixedString(usize),
    Date,
    Date32,
    /// Seconds since 1970 as UInt32; the zone in which text is read, the server's own when none is named.
    DateTime(Option<String>),
    /// Ticks of 10^-precision seconds since 1970 as Int64; the zone as for `DateTime`.
    DateTime64(u8, Option<String>),
    Uuid,
    IPv4,
    IPv6,
    /// Elements in the order of their values.
    Enum8(Vec<(String, i16)>),
    /// Elements in the order of their values.
    Enum16(Vec<(String, i16)>),
    Decimal {
        precision: u8,
        scale: u8,
    },
    Nullable(Box<DataType>),
    LowCardinality(Box<DataType>),
    Array(Box<DataType>),
    /// Elements with their names, where the type gives them.
    Tuple(Vec<(Option<String>, DataType)>),
    Map(Box<DataType>, Box<DataType>),
    Nothing,
    /// A type this crate only knows by its text (JSON, Variant, AggregateFunction, intervals, geo types …).
    Other(String),
}

/// A type name that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the data type '{name}': {reason} at byte {offset}")]
pub struct TypeError {
    /// The whole name as given.
    pub name: String,
    /// Byte offset of the trouble in `name`.
    pub offset: usize,
    /// What was expected or found.
    pub reason: &'static str,
}

/// Nesting above this is refused: no real table comes near, and reading recurses.
const DEPTH_MAX: usize = 64;

impl DataType {
    /// Reads a type as `DESCRIBE TABLE`, `toTypeName` and format headers write it.
    pub fn parse(name: &str) -> Result<Self, TypeError> {
        let mut parser = Parser { text: name, at: 0 };
        let data_type = parser.data_type(0)?;
        parser.space();
        if parser.at != name.len() {
            return Err(parser.error("unexpected text behind the type"));
        }
        Ok(data_type)
    }

    /// The type inside LowCardinality, or the type itself.
    pub fn without_low_cardinality(&self) -> &Self {
        match self {
            Self::LowCardinality(inner) => inner,
            other => other,
        }
    }

    /// The type inside Nullable (and LowCardinality around it), or the type itself.
    pub fn without_nullable(&self) -> &Self {
        match self.without_low_cardinality() {
            Self::Nullable(inner) => inner,
            other => other,
        }
    }

    /// Whether both are the same but for time zones, which are nothing to a value's bytes. (ClickHouse compares types so:
    /// `IDataType::equals`.)
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::DateTime(_), Self::DateTime(_)) => true,
            (Self::DateTime64(precision, _), Self::DateTime64(of_other, _)) => precision == of_other,
            (Self::Nullable(inner), Self::Nullable(of_other))
            | (Self::LowCardinality(inner), Self::LowCardinality(of_other))
            | (Self::Array(inner), Self::Array(of_other)) => inner.equals(of_other),
            (Self::Tuple(elements), Self::Tuple(of_other)) => {
                let mut pairs = elements.iter().zip(of_other);
                elements.len() == of_other.len()
                    && pairs.all(|((name, element), (as_name, as_element))| {
                        name == as_name && element.equals(as_element)
                    })
            }
            (Self::Map(key, value), Self::Map(of_key, of_value)) => {
                key.equals(of_key) && value.equals(of_value)
            }
            _ => self == other,
        }
    }

    /// Whether a value of this type can be NULL.
    pub fn is_nullable(&self) -> bool {
        matches!(self.without_low_cardinality(), Self::Nullable(_))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, reason: &'static str) -> TypeError {
        TypeError {
            name: self.text.to_owned(),
            offset: self.at,
            reason,
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: char) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn expect(&mut self, token: char, reason: &'static str) -> Result<(), TypeError> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.error(reason))
        }
    }

    /// An identifier, plain or in back quotes or double quotes.
    fn identifier(&mut self) -> Result<String, TypeError> {
        self.space();
        match self.rest().chars().next() {
            Some(quote @ ('`' | '"')) => self.quoted(quote),
            _ => {
                let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
                let word: String = self.rest().chars().take_while(|c| is_word(*c)).collect();
                if word.is_empty() {
                    return Err(self.error("expected a name"));
                }
                self.at += word.len();
                Ok(word)
            }
        }
    }

    /// Text in `quote`s with backslash escapes or doubled quotes.
    fn quoted(&mut self, quote: char) -> Result<String, TypeError> {
        self.expect(quote, "expected a quote")?;
        let mut out = String::new();
        let mut chars = self.rest().char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\\' {
                match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, 'r')) => out.push('\r'),
                    Some((_, '0')) => out.push('\0'),
                    Some((_, escaped)) => out.push(escaped),
                    None => break,
                }
            } else if c == quote && chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
                out.push(quote);
            } else if c == quote {
                self.at += at + c.len_utf8();
                return Ok(out);
            } else {
                out.push(c);
            }
        }
        Err(self.error("the quote is not closed"))
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, TypeError> {
        self.space();
        let digits = self.rest().chars().enumerate();
        let len = digits
            .take_while(|(i, c)| c.is_ascii_digit() || (*i == 0 && *c == '-'))
            .count();
        let value = self.rest()[..len]
            .parse()
            .map_err(|_| self.error("expected a number in range"))?;
        self.at += len;
        Ok(value)
    }

    fn data_type(&mut self, depth: usize) -> Result<DataType, TypeError> {
        if depth > DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        self.space();
        let start = self.at;
        let word = self.identifier()?;
        if let Some(plain) = plain_type(&word) {
            return Ok(plain);
        }
        match word.as_str() {
            "DateTime" => Ok(DataType::DateTime(self.optional_zone()?)),
            "DateTime64" => self.date_time_64(),
            "FixedString" => self.in_brackets(|p| Ok(DataType::FixedString(p.number()?))),
            "Enum8" => self.in_brackets(|p| Ok(DataType::Enum8(p.enum_values()?))),
            "Enum16" => self.in_brackets(|p| Ok(DataType::Enum16(p.enum_values()?))),
            "Nullable" => self.in_brackets(|p| Ok(DataType::Nullable(Box::new(p.data_type(depth + 1)?)))),
            "LowCardinality" => {
                self.in_brackets(|p| Ok(DataType::LowCardinality(Box::new(p.data_type(depth + 1)?))))
            }
            "Array" => self.in_brackets(|p| Ok(DataType::Array(Box::new(p.data_type(depth + 1)?)))),
            "Map" => self.in_brackets(|p| {
                let key = p.data_type(depth + 1)?;
                p.expect(',', "expected a comma between key and value")?;
                Ok(DataType::Map(Box::new(key), Box::new(p.data_type(depth + 1)?)))
            }),
            "Tuple" => self.in_brackets(|p| Ok(DataType::Tuple(p.tuple_elements(depth)?))),
            "Nested" => self.in_brackets(|p| {
                Ok(DataType::Array(Box::new(DataType::Tuple(
                    p.tuple_elements(depth)?,
                ))))
            }),
            "Decimal" | "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => self.decimal(&word),
            _ => self.other(start),
        }
    }

    fn in_brackets<T>(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<T, TypeError>,
    ) -> Result<T, TypeError> {
        self.expect('(', "expected an opening bracket")?;
        let value = inside(self)?;
        self.expect(')', "expected a closing bracket")?;
        Ok(value)
    }

    fn optional_zone(&mut self) -> Result<Option<String>, TypeError> {
        if !self.take('(') {
            return Ok(None);
        }
        self.space();
        let zone = self.quoted('\'')?;
        self.expect(')', "expected a closing bracket")?;
        Ok(Some(zone))
    }

    fn date_time_64(&mut self) -> Result<DataType, TypeError> {
        self.in_brackets(|p| {
            let precision = p.number()?;
            let zone = if p.take(',') {
                p.space();
                Some(p.quoted('\'')?)
            } else {
                None
            };
            Ok(DataType::DateTime64(precision, zone))
        })
    }

    fn enum_values(&mut self) -> Result<Vec<(String, i16)>, TypeError> {
        let mut values = Vec::new();
        loop {
            self.space();
            let name = self.quoted('\'')?;
            self.expect('=', "expected '=' and the value")?;
            values.push((name, self.number()?));
            if !self.take(',') {
                // As ClickHouse keeps them, so that equal types are equal.
                values.sort_by_key(|(_, value)| *value);
                return Ok(values);
            }
        }
    }

    fn tuple_elements(&mut self, depth: usize) -> Result<Vec<(Option<String>, DataType)>, TypeError> {
        let mut elements = Vec::new();
        self.space();
        if self.rest().starts_with(')') {
            return Ok(elements);
        }
        loop {
            // `name Type` and `Type` differ only in what follows the first word.
            let start = self.at;
            let named = self.identifier().ok().filter(|_| self.at_next_word());
            if named.is_none() {
                self.at = start;
            }
            elements.push((named, self.data_type(depth + 1)?));
            if !self.take(',') {
                return Ok(elements);
            }
        }
    }

    fn at_next_word(&self) -> bool {
        self.rest().starts_with(char::is_whitespace)
            && self.rest().trim_start().starts_with(|c: char| c.is_alphabetic())
    }

    fn decimal(&mut self, word: &str) -> Result<DataType, TypeError> {
        let fixed_precision = match word {
            "Decimal32" => Some(9),
            "Decimal64" => Some(18),
            "Decimal128" => Some(38),
            "Decimal256" => Some(76),
            _ => None,
        };
        self.in_brackets(|p| {
            let first: u8 = p.number()?;
            let (precision, scale) = match fixed_precision {
                Some(precision) => (precision, first),
                None if p.take(',') => (first, p.number()?),
                None => (first, 0),
            };
            if precision == 0 || precision > 76 || scale > precision {
                return Err(p.error("precision or scale is out of range"));
            }
            Ok(DataType::Decimal { precision, scale })
        })
    }

    /// A type known only by its text: the word and its balanced brackets.
    fn other(&mut self, start: usize) -> Result<DataType, TypeError> {
        if self.rest().trim_start().starts_with('(') {
            let mut depth = 0_usize;
            loop {
                match self.rest().chars().next() {
                    None => return Err(self.error("the bracket is not closed")),
                    Some(quote @ ('\'' | '`' | '"')) => {
                        self.quoted(quote)?;
                        continue;
                    }
                    Some('(') => depth += 1,
                    Some(')') => depth -= 1,
                    Some(_) => {}
                }
                self.at += self.rest().chars().next().map_or(0, char::len_utf8);
                if depth == 0 && self.text[..self.at].ends_with(')') {
                    break;
                }
            }
        }
        Ok(DataType::Other(self.text[start..self.at].to_owned()))
    }
}

fn plain_type(word: &str) -> Option<DataType> {
    Some(match word {
        "UInt8" => DataType::UInt8,
        "UInt16" => DataType::UInt16,
        "UInt32" => DataType::UInt32,
        "UInt64" => DataType::UInt64,
        "UInt128" => DataType::UInt128,
        "UInt256" => DataType::UInt256,
        "Int8" => DataType::Int8,
        "Int16" => DataType::Int16,
        "Int32" => DataType::Int32,
        "Int64" => DataType::Int64,
        "Int128" => DataType::Int128,
        "Int256" => DataType::Int256,
        "Float32" => DataType::Float32,
        "Float64" => DataType::Float64,
        "BFloat16" => DataType::BFloat16,
        "Bool" => DataType::Bool,
        "String" => DataType::String,
        "Date" => DataType::Date,
        "Date32" => DataType::Date32,
        "UUID" => DataType::Uuid,
        "IPv4" => DataType::IPv4,
        "IPv6" => DataType::IPv6,
        "Nothing" => DataType::Nothing,
        _ => return None,
    })
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid => f.write_str("UUID"),
            Self::FixedString(bytes) => write!(f, "FixedString({bytes})"),
            Self::DateTime(None) => f.write_str("DateTime"),
            Self::DateTime(Some(zone)) => write!(f, "DateTime('{zone}')"),
            Self::DateTime64(precision, None) => write!(f, "DateTime64({precision})"),
            Self::DateTime64(precision, Some(zone)) => write!(f, "DateTime64({precision}, '{zone}')"),
            Self::Enum8(values) => write_enum(f, "Enum8", values),
            Self::Enum16(values) => write_enum(f, "Enum16", values),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            Self::Nullable(inner) => write!(f, "Nullable({inner})"),
            Self::LowCardinality(inner) => write!(f, "LowCardinality({inner})"),
            Self::Array(inner) => write!(f, "Array({inner})"),
            Self::Map(key, value) => write!(f, "Map({key}, {value})"),
            Self::Tuple(elements) => write_tuple(f, elements),
            Self::Other(text) => f.write_str(text),
            plain => write!(f, "{plain:?}"),
        }
    }
}

fn write_enum(f: &mut fmt::Formatter<'_>, word: &str, values: &[(String, i16)]) -> fmt::Result {
    write!(f, "{word}(")?;
    for (i, (name, value)) in values.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        let name = name.replace('\\', "\\\\").replace('\'', "\\'");
        write!(f, "{comma}'{name}' = {value}")?;
    }
    f.write_str(")")
}

fn write_tuple(f: &mut fmt::Formatter<'_>, elements: &[(Option<String>, DataType)]) -> fmt::Result {
    f.write_str("Tuple(")?;
    for (i, (name, data_type)) in elements.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        match name {
            Some(name) => write!(f, "`{}` {data_type}", name.replace('`', "``"))?,
            None => write!(f, "{data_type}")?,
        }
    }
    f.write_str(")")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, written: &str) {
        assert_eq!(DataType::parse(name).unwrap().to_string(), written);
    }

    #[test]
    fn every_type_name_is_read_and_written_in_canonical_form() {
        check("UInt64", "UInt64");
        check("UUID", "UUID");
        check("FixedString( 5 )", "FixedString(5)");
        check("DateTime", "DateTime");
        check("DateTime('Asia/Shanghai')", "DateTime('Asia/Shanghai')");
        check("DateTime64(6,'UTC')", "DateTime64(6, 'UTC')");
        check(
            "Enum8('a' = 1, 'b' = -2, 'c d' = 3)",
            "Enum8('b' = -2, 'a' = 1, 'c d' = 3)",
        );
        check("Enum16('it\\'s'=1000)", "Enum16('it\\'s' = 1000)");
        check("Decimal(18, 4)", "Decimal(18, 4)");
        check("Decimal64(4)", "Decimal(18, 4)");
        check(
            "LowCardinality(Nullable(String))",
            "LowCardinality(Nullable(String))",
        );
        check("Map(String, Array(UInt8))", "Map(String, Array(UInt8))");
        check("Tuple(x UInt8, `y z` String)", "Tuple(`x` UInt8, `y z` String)");
        check("Tuple(UInt8, String)", "Tuple(UInt8, String)");
        check("Nested(a UInt8, b String)", "Array(Tuple(`a` UInt8, `b` String))");
        check(
            "AggregateFunction(uniq, String)",
            "AggregateFunction(uniq, String)",
        );
        check(
            "Array(JSON(max_dynamic_paths=3))",
            "Array(JSON(max_dynamic_paths=3))",
        );
    }

    #[track_caller]
    fn refuses(name: &str, reason: &str) {
        assert_eq!(DataType::parse(name).unwrap_err().reason, reason);
    }

    #[test]
    fn a_broken_type_name_is_refused_with_its_reason() {
        refuses("", "expected a name");
        refuses("Array(", "expected a name");
        refuses("Array(UInt8", "expected a closing bracket");
        refuses("Array", "expected an opening bracket");
        refuses("UInt8 x", "unexpected text behind the type");
        refuses("Decimal(80, 2)", "precision or scale is out of range");
        refuses("Enum8('a = 1)", "the quote is not closed");
        refuses(&"Array(".repeat(100), "nested too deep");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[A-Za-z0-9(),' `\"=\\\\é-]{0,40}") {
            let _ = DataType::parse(&text);
        }
    }
}
