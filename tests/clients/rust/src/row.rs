//! Row i, by the formulas of ../README.md, and how text formats write it.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The table's columns in order.
pub const COLUMNS: [&str; 15] = [
    "label", "id", "big", "small", "ratio", "name", "note", "amount", "kind", "tags", "numbers", "at", "day", "uid", "price",
];
const START: u32 = 1_700_000_000;
const FIRST_DAY: u16 = 10_000;

/// A row as the client's derive reads and writes it.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
pub struct OwnedRow {
    pub label: String,
    pub id: u64,
    pub big: u64,
    pub small: i64,
    pub ratio: f64,
    pub name: String,
    pub note: Option<String>,
    pub amount: Option<i32>,
    pub kind: String,
    pub tags: Vec<String>,
    pub numbers: Vec<u64>,
    /// Seconds since 1970.
    pub at: u32,
    /// Days since 1970.
    pub day: u16,
    #[serde(with = "clickhouse::serde::uuid")]
    pub uid: Uuid,
    /// Ten-thousandths.
    pub price: i64,
}

impl OwnedRow {
    pub fn new(label: &str, i: u64) -> Self {
        let n = i as i64;
        let (high, low) = (format!("{i:04x}"), format!("{:04x}", 65535 - i));
        let uid = format!("{high}{high}{high}{low}{low}{high}{low}{high}");
        Self {
            label: label.to_owned(),
            id: i,
            big: if i % 2 == 0 { u64::MAX - i } else { i },
            small: if i % 2 == 0 { i64::MIN + n } else { -n },
            ratio: (n - 5000) as f64 / 8.0,
            name: format!("zażółć {i} 水🦀 \"q\" 's' \\ , \t;\n"),
            note: match i % 3 {
                0 => None,
                1 => Some(String::new()),
                _ => Some(format!("note {i}")),
            },
            amount: (i % 5 != 0).then(|| n as i32 - 5000),
            kind: format!("kind {}", i % 7),
            tags: (0..i % 4).map(|k| format!("ß{k}, \"x\"")).collect(),
            numbers: (0..i % 3).map(|k| u64::MAX - k).collect(),
            at: START + 61 * i as u32,
            day: FIRST_DAY + i as u16,
            uid: Uuid::parse_str(&uid).expect("32 hexadecimal digits"),
            price: 12345 * n - 50_000_000,
        }
    }

    /// The price as a decimal number.
    pub fn decimal_price(&self) -> String {
        let sign = if self.price < 0 { "-" } else { "" };
        let price = self.price.unsigned_abs();
        format!("{sign}{}.{:04}", price / 10_000, price % 10_000)
    }

    fn date(&self) -> String {
        const FIRST_JULIAN_DAY: i32 = 2_440_588; // 1970-01-01
        let date = time::Date::from_julian_day(FIRST_JULIAN_DAY + i32::from(self.day));
        date.expect("a day of this century").to_string()
    }

    /// Each value as text, arrays in brackets, NULL as none.
    fn texts(&self) -> [Option<String>; 15] {
        let quoted = |s: &String| format!("'{}'", s.replace('\\', "\\\\").replace('\'', "\\'"));
        let tags: Vec<_> = self.tags.iter().map(quoted).collect();
        let numbers: Vec<_> = self.numbers.iter().map(u64::to_string).collect();
        [
            Some(self.label.clone()),
            Some(self.id.to_string()),
            Some(self.big.to_string()),
            Some(self.small.to_string()),
            Some(self.ratio.to_string()),
            Some(self.name.clone()),
            self.note.clone(),
            self.amount.map(|amount| amount.to_string()),
            Some(self.kind.clone()),
            Some(format!("[{}]", tags.join(","))),
            Some(format!("[{}]", numbers.join(","))),
            Some(self.at.to_string()),
            Some(self.date()),
            Some(self.uid.to_string()),
            Some(self.decimal_price()),
        ]
    }

    pub fn tab_separated(&self) -> String {
        let escaped = |text: String| text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n");
        let fields = self.texts().map(|text| text.map_or("\\N".to_owned(), escaped));
        fields.join("\t") + "\n"
    }

    pub fn csv(&self) -> String {
        // The last stays unquoted: 18.16 reads no Decimal in quotes.
        let quoted = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
        let [texts @ .., price] = self.texts();
        let fields = texts.map(|text| text.map_or("\\N".to_owned(), quoted));
        format!("{},{}\n", fields.join(","), price.unwrap_or_default())
    }

    pub fn json(&self) -> String {
        let mut object = serde_json::to_value(self).expect("a row is JSON");
        object["day"] = self.date().into();
        object["uid"] = self.uid.to_string().into();
        object["price"] = self.decimal_price().parse::<f64>().expect("a number").into();
        object.to_string() + "\n"
    }
}
