//! `Key`: a sharding expression, compiled against a table's columns.

use rand::Rng;
use types::{Column, ColumnDef, DataType};

use crate::compiled::{Context, Expression};
use crate::error::{EvalError, KeyError, KeyReason, Refusal};
use crate::functions::Volatile;
use crate::integers::{Integer, sharding_values};

/// A sharding key: compiled once a table, evaluated once a block of rows.
#[derive(Debug, Clone)]
pub struct Key {
    expression: Expression,
}

impl Key {
    /// Compiles a sharding expression for a table with these columns.
    ///
    /// An expression that needs the servers' time zone (the text or the date of a DateTime column without a
    /// zone of its own) is refused: see [`Key::compile_in_zone`].
    pub fn compile(text: &str, columns: &[ColumnDef]) -> Result<Self, KeyError> {
        Self::new(text, columns, None)
    }

    /// Compiles as [`Key::compile`] does, for servers whose `timezone()` is this.
    pub fn compile_in_zone(text: &str, columns: &[ColumnDef], zone: &str) -> Result<Self, KeyError> {
        Self::new(text, columns, Some(zone))
    }

    /// The expression as given.
    pub fn text(&self) -> &str {
        self.expression.text()
    }

    /// The columns that the expression reads, each once, in the order in which [`Key::values`] wants them.
    pub fn columns(&self) -> &[ColumnDef] {
        self.expression.columns()
    }

    /// The type of the sharding value: an integer of 8 to 64 bits, or LowCardinality of one.
    pub fn result_type(&self) -> &DataType {
        self.expression.result_type()
    }

    /// Whether `rand()` is in it, so that the same row may go to another shard each time.
    pub fn is_random(&self) -> bool {
        self.expression.is_volatile()
    }

    /// The sharding values of some rows, given the key's columns with `rows` values each.
    ///
    /// The value is unsigned: a signed result of up to 4 bytes counts as UInt32, one of 8 bytes as UInt64,
    /// both in two's complement. Either every row has a value, or one that has none is the error and nothing
    /// is answered.
    pub fn values(
        &self,
        columns: &[Column],
        rows: usize,
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Vec<u64>, EvalError> {
        let context = Context::default();
        let value = self
            .expression
            .value(columns, rows, &context, &mut || rng.next_u32())?;
        let constant = value.constant;
        match sharding_values(value.into_data()) {
            Some(values) if constant => Ok(vec![values.first().copied().unwrap_or_default(); rows]),
            Some(values) if values.len() == rows => Ok(values),
            _ => Err(EvalError::wrong_columns()),
        }
    }

    fn new(text: &str, columns: &[ColumnDef], zone: Option<&str>) -> Result<Self, KeyError> {
        let expression = Expression::compile(text, columns, zone)?;
        match check_places(&expression) {
            Ok(()) => Ok(Self { expression }),
            Err(refusal) => Err(refusal.of(text)),
        }
    }
}

/// Only integers name a slot; Bool, Enum, dates and Nullable are integers underneath, but ClickHouse's
/// documentation and INSERT do not take them. By the moment of an INSERT no row has a place.
fn check_places(expression: &Expression) -> Result<(), Refusal> {
    let of_insert = |function: &&&crate::functions::Function| function.volatile == Volatile::Insert;
    if let Some(function) = expression.volatile().iter().find(of_insert) {
        return Err(Refusal::of_whole(KeyReason::NotOfRow {
            function: function.name,
        }));
    }
    let data_type = expression.result_type();
    let plain = data_type.without_low_cardinality();
    if Integer::of(plain).is_some() && *plain != DataType::Bool {
        return Ok(());
    }
    Err(Refusal::of_whole(KeyReason::ResultType {
        data_type: data_type.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use types::{Bytes, Data};

    use super::*;

    /// The columns of the tests, each named as its type is, in small letters.
    fn table() -> Vec<ColumnDef> {
        let types = [
            "UInt8", "Int32", "UInt64", "Int64", "String", "Date", "DateTime", "UUID", "Bool", "Float64",
        ];
        let more = [
            "Array(UInt8)",
            "Nullable(UInt32)",
            "LowCardinality(UInt16)",
            "Decimal(9, 2)",
            "DateTime('UTC')",
        ];
        let column = |name: &&str| ColumnDef {
            name: name.to_lowercase(),
            data_type: DataType::parse(name).unwrap(),
        };
        types.iter().chain(&more).map(column).collect()
    }

    fn key(text: &str) -> Key {
        Key::compile(text, &table()).unwrap()
    }

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    #[track_caller]
    fn refuses(text: &str, code: u16, offset: Option<usize>, named: &str) {
        let error = Key::compile(text, &table()).unwrap_err();
        assert_eq!((error.code(), error.offset), (code, offset), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }

    #[test]
    fn a_refused_key_says_what_is_wrong_and_where_with_the_code_of_clickhouse() {
        refuses("uint64 + lowest(string)", 46, Some(9), "unknown function lowest");
        refuses("cityHash64(nope)", 47, Some(11), "unknown column nope");
        refuses("uint64 % ", 62, Some(9), "found the end");
        refuses(
            "modulo(uint64)",
            42,
            Some(0),
            "the function modulo takes 2 arguments, not 1",
        );
        refuses("toDate()", 42, Some(0), "takes 1 to 2 arguments, not 0");
        refuses("cityHash64()", 42, Some(0), "takes 1 or more arguments, not 0");
        refuses(
            "1 + string",
            43,
            Some(2),
            "argument 2 of the function plus cannot be String",
        );
        refuses("intHash64(`array(uint8)`)", 43, Some(0), "cannot be Array(UInt8)");
        refuses(
            "uint64 + toHour(now('UTC'))",
            36,
            None,
            "the function now is no function of the row",
        );
        refuses(
            "intHash64((uint8, uint64))",
            43,
            Some(0),
            "cannot be Tuple(UInt8, UInt64)",
        );
        refuses(
            "cityHash64(())",
            43,
            Some(11),
            "argument 1 of the function cityHash64 cannot be Tuple()",
        );
        refuses("CAST(uint8 AS Nope)", 50, Some(0), "type Nope");
        refuses(
            "CAST(uint8, string)",
            43,
            Some(0),
            "argument 2 of the function CAST must be a constant string",
        );
        refuses(
            "toYYYYMM(datetime, 'Mars/Base')",
            36,
            Some(0),
            "unknown time zone Mars/Base",
        );
        refuses("toYYYYMM(datetime)", 36, Some(0), "servers' time zone");
        refuses(
            "uint64 + 1 % (3 - 3)",
            153,
            Some(11),
            "its constant part fails: division by zero",
        );
    }

    #[test]
    fn only_integers_of_up_to_64_bits_are_sharding_values() {
        for (text, named) in [
            ("string", "String"),
            ("bool", "Bool"),
            ("date", "Date"),
            ("uuid", "UUID"),
            ("float64", "Float64"),
            ("`array(uint8)`", "Array(UInt8)"),
            ("`nullable(uint32)` + 1", "Nullable(UInt64)"),
            ("cityHash64(`nullable(uint32)`)", "Nullable(UInt64)"),
            ("(uint8, string)", "Tuple(UInt8, String)"),
            ("toString(uint64)", "String"),
            ("NULL", "Nullable(Nothing)"),
            ("uint64 / 2", "Float64"),
            ("1.5", "Float64"),
        ] {
            refuses(
                text,
                53,
                None,
                &format!("evaluates to {named}, not to an integer"),
            );
        }
        assert_eq!(
            key("`lowcardinality(uint16)`").result_type().to_string(),
            "LowCardinality(UInt16)"
        );
        assert_eq!(
            key("cityHash64((`nullable(uint32)`, 1))").result_type(),
            &DataType::UInt64
        );
        assert_eq!(key("toUInt8(bool)").result_type(), &DataType::UInt8);
    }

    #[test]
    fn the_columns_are_those_read_each_once_in_the_order_of_first_use() {
        let names = |text| {
            key(text)
                .columns()
                .iter()
                .map(|column| column.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names("cityHash64(string, uint64, string) + int32"),
            ["string", "uint64", "int32"]
        );
        assert_eq!(names("rand()"), [""; 0]);
        assert_eq!(key(" uint64 % 7 ").text(), " uint64 % 7 ");
    }

    #[test]
    fn a_plain_column_is_its_own_value() {
        let column = Column::new(Data::UInt64(vec![1, u64::MAX, 3]));
        assert_eq!(
            key("uint64").values(&[column], 3, &mut rng()),
            Ok(vec![1, u64::MAX, 3])
        );
        let column = Column::new(Data::Int32(vec![-1, 5]));
        assert_eq!(
            key("int32").values(&[column], 2, &mut rng()),
            Ok(vec![4_294_967_295, 5])
        );
        let column = Column::new(Data::Int64(vec![-1]));
        assert_eq!(key("int64").values(&[column], 1, &mut rng()), Ok(vec![u64::MAX]));
    }

    #[test]
    fn a_constant_key_has_its_value_in_every_row() {
        assert_eq!(key("1 + 2 * 3").values(&[], 3, &mut rng()), Ok(vec![7, 7, 7]));
        assert_eq!(key("-1").values(&[], 1, &mut rng()), Ok(vec![4_294_967_295]));
        assert_eq!(key("cityHash64('a')").values(&[], 0, &mut rng()), Ok(vec![]));
    }

    #[test]
    fn rand_draws_for_each_row_and_follows_its_generator() {
        assert!(key("rand()").is_random() && key("uint64 + rand(1) % 3").is_random());
        assert!(!key("cityHash64(uint64)").is_random());
        let values = key("rand()").values(&[], 1_000, &mut rng()).unwrap();
        assert_eq!(values, key("rand()").values(&[], 1_000, &mut rng()).unwrap());
        assert!(values.iter().all(|value| *value <= u64::from(u32::MAX)));
        assert!(values.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn the_servers_zone_decides_the_day_of_a_datetime_without_zone() {
        // 2024-12-31 23:30:00 UTC
        let moment = || Column::new(Data::UInt32(vec![1_735_687_800]));
        let month_in = |zone| {
            let key = Key::compile_in_zone("toYYYYMM(datetime)", &table(), zone).unwrap();
            key.values(&[moment()], 1, &mut rng()).unwrap()
        };
        assert_eq!(month_in("UTC"), [202_412]);
        assert_eq!(month_in("Europe/Berlin"), [202_501]);
        let own_zone =
            Key::compile_in_zone("toYYYYMM(`datetime('utc')`)", &table(), "Europe/Berlin").unwrap();
        assert_eq!(own_zone.values(&[moment()], 1, &mut rng()), Ok(vec![202_412]));
    }

    #[test]
    fn a_row_without_value_is_named_and_nothing_is_answered() {
        let columns = [
            Column::new(Data::UInt64(vec![1, 2, 3])),
            Column::new(Data::UInt8(vec![1, 0, 1])),
        ];
        let error = key("uint64 % uint8").values(&columns, 3, &mut rng()).unwrap_err();
        assert_eq!((error.row, error.code()), (1, 153));
        assert_eq!(
            error.to_string(),
            "sharding key: row 1: the function modulo: division by zero"
        );

        let mut texts = Bytes::default();
        texts.push(b"12");
        texts.push(b"secret");
        let error = key("toUInt64(string)")
            .values(&[Column::new(Data::Bytes(texts))], 2, &mut rng())
            .unwrap_err();
        assert_eq!((error.row, error.code()), (1, 6));
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[track_caller]
    fn rejects_columns(columns: &[Column], rows: usize) {
        assert_eq!(
            key("uint64 + uint8")
                .values(columns, rows, &mut rng())
                .unwrap_err()
                .code(),
            49
        );
    }

    #[test]
    fn columns_that_are_not_those_asked_for_are_an_error_and_no_panic() {
        let wide = || Column::new(Data::UInt64(vec![1, 2]));
        let narrow = || Column::new(Data::UInt8(vec![1, 2]));
        assert_eq!(
            key("uint64 + uint8").values(&[wide(), narrow()], 2, &mut rng()),
            Ok(vec![2, 4])
        );
        rejects_columns(&[], 2);
        rejects_columns(&[wide()], 2);
        rejects_columns(&[narrow(), wide()], 2);
        rejects_columns(&[wide(), narrow()], 3);
        rejects_columns(&[wide(), narrow(), narrow()], 2);
        rejects_columns(
            &[
                wide(),
                Column {
                    data: Data::UInt8(vec![1, 2]),
                    nulls: Some(vec![false, true]),
                },
            ],
            2,
        );
    }

    proptest::proptest! {
        #[test]
        fn a_block_may_be_cut_anywhere(numbers: Vec<i32>, cut: proptest::sample::Index) {
            let cut = cut.index(numbers.len() + 1);
            for text in ["int32", "cityHash64(int32, 'a') % 7", "toUInt8(int32) * 3 - int32", "sipHash64(toString(int32))"] {
                let key = key(text);
                let values = |numbers: &[i32]| {
                    let column = Column::new(Data::Int32(numbers.to_vec()));
                    key.values(&[column], numbers.len(), &mut rng()).unwrap()
                };
                let (front, back) = numbers.split_at(cut);
                assert_eq!([values(front), values(back)].concat(), values(&numbers));
            }
        }

        #[test]
        fn no_expression_makes_the_compiler_panic(
            parts in proptest::collection::vec("uint8|int64|string|[(),%*+-]|::UInt8|cityHash64\\(|toString\\(|CAST\\(|[0-9]{1,3}|'a'", 0..12)
        ) {
            if let Ok(key) = Key::compile(&parts.join(" "), &table()) {
                let columns: Vec<Column> = key.columns().iter().map(|column| {
                    let mut values = Column::empty(&column.data_type);
                    values.push_default(&column.data_type);
                    values
                }).collect();
                let _ = key.values(&columns, 1, &mut rng());
            }
        }
    }
}
