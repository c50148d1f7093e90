//! Every case of `golden/`: what ClickHouse 26.9 answered for an expression over some rows, and what we
//! answer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value as Json;
use types::{Column, ColumnDef, Data, DataType};

use crate::error::KeyReason;
use crate::expression::check::check;
use crate::expression::evaluate::Frame;
use crate::expression::parse::parse;
use crate::{Key, Slots};

/// The zone of the server that computed the golden data.
const ZONE: &str = "Etc/UTC";

/// One line of a golden file.
struct Case {
    json: Json,
    expression: String,
    columns: Vec<ColumnDef>,
    /// The rows, with maps as lists of pairs.
    rows: Vec<Json>,
}

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Values agree, and slots where the case has some.
    Agrees,
    /// Values agree, and the key is refused for the type of its value (53), as ClickHouse refuses it.
    AgreesButIsNoKey,
    /// Refused with the code with which ClickHouse refuses.
    RefusedAlike,
    /// Refused at a row, as ClickHouse does, by another code.
    RefusedOtherwise,
    /// Refused at a row, with this code, though ClickHouse answers.
    RowRefused(u16),
    /// Refused, with this code, though ClickHouse answers.
    Refused(u16),
}

impl Case {
    fn read(line: &str) -> Self {
        let json: Json = serde_json::from_str(line).unwrap();
        let column = |pair: &Json| ColumnDef {
            name: pair[0].as_str().unwrap().to_owned(),
            data_type: described(DataType::parse(pair[1].as_str().unwrap()).unwrap()),
        };
        let columns = json["columns"].as_array().unwrap().iter().map(column).collect();
        Self {
            expression: json["expr"].as_str().unwrap().to_owned(),
            columns,
            rows: rows_in_order(line),
            json,
        }
    }

    fn rows(&self) -> &[Json] {
        &self.rows
    }

    /// The columns of a name, filled with the case's rows.
    fn column(&self, definition: &ColumnDef) -> Column {
        let place = self
            .columns
            .iter()
            .position(|column| column.name == definition.name)
            .unwrap();
        column(&definition.data_type, self.rows().iter().map(|row| &row[place]))
    }

    fn outcome(&self) -> Outcome {
        let checked = parse(&self.expression).and_then(|tree| check(&tree, &self.columns, Some(ZONE), None));
        let checked = match checked {
            Ok(checked) => checked,
            Err(refusal) => return self.refused(&refusal.reason),
        };
        let columns: Vec<Column> = checked
            .columns
            .iter()
            .map(|definition| self.column(definition))
            .collect();
        let mut frame = Frame {
            columns: &columns,
            rows: self.rows().len(),
            random: &mut || 0,
            context: &crate::Context::default(),
            drawn: Vec::new(),
        };
        let value = match checked.root.evaluate(&mut frame) {
            Ok(value) => value,
            Err(error) => {
                return match self.json["error"].as_u64() {
                    Some(code) if code == u64::from(error.code()) => Outcome::RefusedAlike,
                    Some(_) => Outcome::RefusedOtherwise,
                    None => Outcome::RowRefused(error.code()),
                };
            }
        };
        assert_eq!(self.json["error"], Json::Null, "ClickHouse refuses {}", self.json);
        assert_eq!(
            self.json["result_type"],
            checked.root.data_type.to_string(),
            "{}",
            self.json
        );
        for (row, expected) in self.json["values"].as_array().unwrap().iter().enumerate() {
            if self.is_unknown(row) {
                continue;
            }
            let found = shown(&checked.root.data_type, &value.column, value.place(row));
            let expected = match checked.root.data_type.without_nullable() {
                DataType::Float32 | DataType::Float64 => {
                    expected.as_f64().map_or_else(|| text(expected), float_shown)
                }
                _ => text(expected),
            };
            assert_eq!(found, expected, "row {row} of {}", self.json);
        }
        self.check_key(&columns)
    }

    /// Whether the file does not say what a row held: a NaN, of which there are 2^53, or (in one row of all) a map
    /// with a key twice, of which JSON kept one; for the row as it stands ClickHouse answers what we do.
    fn is_unknown(&self, row: usize) -> bool {
        let values = self.rows()[row].as_array();
        values.is_some_and(|values| values.iter().any(|value| value == "nan"))
            || (row == 22 && self.json["values"][row] == "1655841667")
    }

    /// A refusal when the key is compiled: it must be ClickHouse's, or for what we do not have.
    fn refused(&self, reason: &KeyReason) -> Outcome {
        let refusal = Key::compile_in_zone(&self.expression, &self.columns, ZONE).unwrap_err();
        assert_eq!(refusal.reason, *reason);
        match self.json["error"].as_u64() {
            Some(code) if code == u64::from(refusal.code()) => Outcome::RefusedAlike,
            _ => Outcome::Refused(refusal.code()),
        }
    }

    /// The way a router goes: compile, evaluate, slot.
    fn check_key(&self, columns: &[Column]) -> Outcome {
        let key = match Key::compile_in_zone(&self.expression, &self.columns, ZONE) {
            Ok(key) => key,
            Err(error) => {
                assert_eq!(error.code(), 53, "{error}");
                return Outcome::AgreesButIsNoKey;
            }
        };
        let values = key.values(columns, self.rows().len(), &mut rand::rng()).unwrap();
        if let Some(slots) = self.json["slots"].as_object() {
            for (total, expected) in slots {
                let slots = Slots::new(&[total.parse().unwrap()]).unwrap();
                for (row, value) in values
                    .iter()
                    .enumerate()
                    .filter(|(row, _)| !self.is_unknown(*row))
                {
                    assert_eq!(
                        expected[row],
                        slots.slot(*value),
                        "row {row}, {total} slots of {}",
                        self.json
                    );
                }
            }
        }
        Outcome::Agrees
    }
}

/// JSON whose objects are lists of pairs, in the order of the text: a Map's hash depends on it.
struct Ordered(Json);

impl<'de> serde::Deserialize<'de> for Ordered {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrderedVisitor).map(Self)
    }
}

struct OrderedVisitor;

impl<'de> serde::de::Visitor<'de> for OrderedVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
        let mut out = Vec::new();
        while let Some(Ordered(value)) = values.next_element()? {
            out.push(value);
        }
        Ok(out.into())
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut pairs: A) -> Result<Json, A::Error> {
        let mut out = Vec::new();
        while let Some((key, Ordered(value))) = pairs.next_entry::<String, _>()? {
            out.push(Json::from(vec![key.into(), value]));
        }
        Ok(out.into())
    }
}

fn rows_in_order(line: &str) -> Vec<Json> {
    let Ordered(line) = serde_json::from_str(line).unwrap();
    let mut members = line.as_array().unwrap().iter();
    let rows = members.find(|member| member[0] == "rows").unwrap();
    rows[1].as_array().unwrap().clone()
}

/// A type as DESCRIBE answers it: an Enum's values in their order.
fn described(mut data_type: DataType) -> DataType {
    if let DataType::Enum8(values) | DataType::Enum16(values) = &mut data_type {
        values.sort_by_key(|(_, value)| *value);
    }
    data_type
}

/// A column of the physical kind of its type, from what JSON holds of its values.
fn column<'a>(data_type: &DataType, values: impl Iterator<Item = &'a Json>) -> Column {
    let mut column = Column::empty(data_type);
    values.for_each(|value| push(data_type, &mut column, value));
    column
}

fn push(data_type: &DataType, column: &mut Column, value: &Json) {
    let plain = data_type.without_nullable();
    if value.is_null() {
        column.push_default(data_type);
        return;
    }
    match (&mut column.data, plain) {
        (Data::Array(lists), DataType::Array(element)) => {
            let values = value.as_array().unwrap();
            values
                .iter()
                .for_each(|value| push(element, &mut lists.values, value));
            lists.ends.push(lists.values.len());
        }
        (Data::Array(lists), DataType::Map(key_type, value_type)) => {
            let Data::Tuple(pairs) = &mut lists.values.data else {
                panic!("a Map is pairs")
            };
            for pair in value.as_array().unwrap() {
                push(key_type, &mut pairs.columns[0], &pair[0]);
                push(value_type, &mut pairs.columns[1], &pair[1]);
                pairs.rows += 1;
            }
            lists.ends.push(lists.values.len());
        }
        (Data::Tuple(tuples), DataType::Tuple(elements)) => {
            let values = value.as_array().unwrap().iter().zip(&mut tuples.columns);
            for ((value, column), (_, element)) in values.zip(elements) {
                push(element, column, value);
            }
            tuples.rows += 1;
        }
        (Data::UInt8(to), _) => to.push(number(plain, value).try_into().unwrap()),
        (Data::UInt16(to), DataType::BFloat16) => {
            to.push((text(value).parse::<f32>().unwrap().to_bits() >> 16) as u16);
        }
        (Data::UInt16(to), _) => to.push(number(plain, value).try_into().unwrap()),
        (Data::UInt32(to), _) => to.push(number(plain, value).try_into().unwrap()),
        (Data::UInt64(to), _) => to.push(number(plain, value).try_into().unwrap()),
        (Data::UInt128(to), _) => to.push(wide(plain, value)),
        (Data::UInt256(to), _) => to.push(text(value).parse().unwrap()),
        (Data::Int8(to), _) => to.push(number(plain, value).try_into().unwrap()),
        (Data::Int16(to), _) => to.push(number(plain, value).try_into().unwrap()),
        (Data::Int32(to), _) => to.push(number(plain, value).try_into().unwrap()),
        (Data::Int64(to), _) => to.push(number(plain, value).try_into().unwrap()),
        (Data::Int128(to), _) => to.push(number(plain, value)),
        (Data::Int256(to), _) => to.push(digits(plain, &text(value)).parse().unwrap()),
        (Data::Float32(to), _) => to.push(text(value).parse().unwrap()),
        (Data::Float64(to), _) => to.push(text(value).parse().unwrap()),
        (Data::Bytes(to), DataType::IPv6) => {
            to.push(&text(value).parse::<std::net::Ipv6Addr>().unwrap().octets());
        }
        (Data::Bytes(to), _) => {
            let mut bytes = text(value).into_bytes();
            if let DataType::FixedString(len) = plain {
                bytes.resize(*len, 0);
            }
            to.push(&bytes);
        }
        (other, _) => panic!("{data_type} is not {other:?}"),
    }
    column.nulls.iter_mut().for_each(|nulls| nulls.push(false));
}

/// The digits of a number without its point, as many behind it as the type has.
fn digits(data_type: &DataType, text: &str) -> String {
    let DataType::Decimal { scale, .. } = data_type else {
        return text.to_owned();
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<width$}", width = usize::from(*scale))
}

/// A JSON value as ClickHouse would write it in a text format.
fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The number that lies in a column of this type for a value.
fn number(data_type: &DataType, value: &Json) -> i128 {
    let text = text(value);
    match data_type {
        DataType::Bool => i128::from(value == &Json::Bool(true)),
        DataType::Enum8(values) | DataType::Enum16(values) => {
            values.iter().find(|(name, _)| *name == text).unwrap().1.into()
        }
        DataType::Date | DataType::Date32 => days(&text).into(),
        DataType::DateTime(zone) => seconds(&text, zone.as_deref()).into(),
        DataType::DateTime64(precision, zone) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let fraction = format!("{fraction:0<width$}", width = usize::from(*precision));
            let ticks = i128::from(seconds(whole, zone.as_deref())) * 10_i128.pow((*precision).into());
            ticks + fraction[..usize::from(*precision)].parse().unwrap_or(0)
        }
        DataType::IPv4 => u32::from(text.parse::<std::net::Ipv4Addr>().unwrap()).into(),
        _ => digits(data_type, &text).parse().unwrap(),
    }
}

fn wide(data_type: &DataType, value: &Json) -> u128 {
    match data_type {
        DataType::Uuid => u128::from_str_radix(&text(value).replace('-', ""), 16).unwrap(),
        _ => text(value).parse().unwrap(),
    }
}

fn days(text: &str) -> i64 {
    let date: Date = text.parse().unwrap();
    date.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second() / 86_400
}

fn seconds(text: &str, zone: Option<&str>) -> i64 {
    let time: DateTime = text.parse().unwrap();
    let zone = TimeZone::get(zone.unwrap_or(ZONE)).unwrap();
    time.to_zoned(zone).unwrap().timestamp().as_second()
}

/// One value of a result as the golden files show it.
fn shown(data_type: &DataType, column: &Column, place: usize) -> String {
    if column.nulls.as_ref().is_some_and(|nulls| nulls[place]) {
        return "null".to_owned();
    }
    let plain = data_type.without_nullable();
    let number = match &column.data {
        Data::UInt8(values) => values[place].into(),
        Data::UInt16(values) => values[place].into(),
        Data::UInt32(values) => values[place].into(),
        Data::UInt64(values) => values[place].into(),
        Data::Int8(values) => values[place].into(),
        Data::Int16(values) => values[place].into(),
        Data::Int32(values) => values[place].into(),
        Data::Int64(values) => i128::from(values[place]),
        Data::Float64(values) => return float_shown(values[place]),
        Data::Float32(values) => return float_shown(f64::from(values[place])),
        Data::UInt128(values) if *plain == DataType::Uuid => {
            return uuid::Uuid::from_u128(values[place]).to_string();
        }
        Data::Int128(values) if *plain == DataType::Int128 => values[place],
        Data::Bytes(values) => return String::from_utf8_lossy(values.get(place)).into_owned(),
        other => panic!("no function answers {other:?}"),
    };
    let epoch = Date::constant(1970, 1, 1);
    match plain {
        DataType::Bool => (number != 0).to_string(),
        DataType::IPv4 => std::net::Ipv4Addr::from(number as u32).to_string(),
        DataType::Date | DataType::Date32 => {
            (epoch + jiff::Span::new().days(i64::try_from(number).unwrap())).to_string()
        }
        DataType::DateTime(zone) => {
            let time = jiff::Timestamp::from_second(number.try_into().unwrap()).unwrap();
            time.to_zoned(TimeZone::get(zone.as_deref().unwrap_or(ZONE)).unwrap())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string()
        }
        DataType::DateTime64(precision, zone) => {
            let scale = 10_i128.pow((*precision).into());
            let (seconds, ticks) = (number.div_euclid(scale), number.rem_euclid(scale));
            let time = jiff::Timestamp::from_second(seconds.try_into().unwrap()).unwrap();
            let zone = TimeZone::get(zone.as_deref().unwrap_or(ZONE)).unwrap();
            let text = time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string();
            match precision {
                0 => text,
                _ => format!("{text}.{ticks:0width$}", width = usize::from(*precision)),
            }
        }
        DataType::Enum8(values) => values
            .iter()
            .find(|(_, v)| i128::from(*v) == number)
            .unwrap()
            .0
            .clone(),
        _ => number.to_string(),
    }
}

/// A float as serde_json writes one that it has read.
fn float_shown(value: f64) -> String {
    if value.is_finite() {
        // JSON has no -0.
        Json::from(value + 0.0).to_string()
    } else {
        value.to_string().to_lowercase()
    }
}

/// How many cases of a file had which outcome, and why keys were refused that ClickHouse takes.
fn outcomes(golden: &str) -> (BTreeMap<Outcome, usize>, BTreeSet<String>) {
    let mut outcomes = BTreeMap::new();
    let mut refusals = BTreeSet::new();
    let mut disagree = 0;
    for line in golden.lines() {
        let case = Case::read(line);
        let outcome = match std::panic::catch_unwind(|| case.outcome()) {
            Ok(outcome) => outcome,
            Err(_) => {
                disagree += 1;
                continue;
            }
        };
        *outcomes.entry(outcome).or_default() += 1;
        if let Outcome::Refused(_) = outcome {
            let refusal = Key::compile_in_zone(&case.expression, &case.columns, ZONE).unwrap_err();
            refusals.insert(refusal.reason.to_string());
        }
    }
    assert_eq!(disagree, 0, "cases that disagree, shown above");
    (outcomes, refusals)
}

#[test]
fn no_case_of_the_golden_file_disagrees() {
    let (outcomes, refusals) = outcomes(include_str!("../golden/sharding.jsonl"));
    let expected = [
        (Outcome::Agrees, 700),
        (Outcome::AgreesButIsNoKey, 44),
        (Outcome::Refused(46), 1),
    ];
    assert_eq!(outcomes, BTreeMap::from(expected), "{refusals:?}");
    assert_eq!(refusals.iter().next().unwrap(), "unknown function ngramSimHash");
}

#[test]
fn no_function_disagrees() {
    let (outcomes, refusals) = outcomes(include_str!("../golden/functions.jsonl"));
    let expected = [
        (Outcome::Agrees, 3419),
        (Outcome::AgreesButIsNoKey, 3738),
        (Outcome::RefusedAlike, 618),
        (Outcome::RefusedOtherwise, 41),
        // Numbers that do not fit, texts and times that are not read exactly, divisions by zero.
        (Outcome::RowRefused(6), 22),
        (Outcome::RowRefused(48), 178),
        (Outcome::RowRefused(153), 14),
        (Outcome::RowRefused(407), 95),
        // toDayOfWeek with a mode, argument types that docs/sharding.md does not list, nullIf.
        (Outcome::Refused(42), 5),
        (Outcome::Refused(43), 205),
        (Outcome::Refused(46), 12),
        // ISO weeks in formatDateTime, and letters that ClickHouse refuses by another code.
        (Outcome::Refused(48), 55),
    ];
    assert_eq!(outcomes, BTreeMap::from(expected), "{refusals:#?}");
}

#[test]
fn no_corner_disagrees() {
    let (outcomes, _) = outcomes(include_str!("../golden/corners.jsonl"));
    let expected = [
        (Outcome::Agrees, 1461),
        (Outcome::AgreesButIsNoKey, 177),
        (Outcome::RefusedAlike, 247),
        // Strings that can be NULL to numbers, UUIDs to numbers, Bool and Enum to dates.
        (Outcome::Refused(43), 38),
    ];
    assert_eq!(outcomes, BTreeMap::from(expected));
}
