//! Rows written in the formats that Weir splits: an own reading of ClickHouse's documentation, on purpose
//! apart from the crate `formats`.

use std::io::{self, Write};

use crate::Row;

/// An input format of ClickHouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are ClickHouse's own names")]
pub enum Format {
    JSONEachRow,
    TabSeparated,
    TabSeparatedWithNames,
    CSV,
    CSVWithNames,
    Values,
    RowBinary,
}

const NAMES: [&str; 6] = ["user_id", "ts", "url", "country", "duration", "payload"];

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::JSONEachRow,
        Self::TabSeparated,
        Self::TabSeparatedWithNames,
        Self::CSV,
        Self::CSVWithNames,
        Self::Values,
        Self::RowBinary,
    ];

    /// Those without a header, whose bodies can be joined: what a `.bin` file may hold.
    pub const PAYLOAD: [Self; 5] = [
        Self::JSONEachRow,
        Self::TabSeparated,
        Self::CSV,
        Self::Values,
        Self::RowBinary,
    ];

    /// ClickHouse's name of it.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// What stands before the first row.
    pub fn header(self) -> String {
        match self {
            Self::TabSeparatedWithNames => NAMES.join("\t") + "\n",
            Self::CSVWithNames => format!("\"{}\"\n", NAMES.join("\",\"")),
            Self::JSONEachRow | Self::TabSeparated | Self::CSV | Self::Values | Self::RowBinary => {
                String::new()
            }
        }
    }

    /// Writes header and rows.
    pub fn write(self, rows: impl IntoIterator<Item = Row>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.header().as_bytes())?;
        let mut line = Vec::new();
        for row in rows {
            line.clear();
            self.append(&row, &mut line);
            out.write_all(&line)?;
        }
        Ok(())
    }

    /// Appends one row with its terminator.
    pub fn append(self, row: &Row, out: &mut Vec<u8>) {
        match self {
            Self::JSONEachRow => append_json(row, out),
            Self::TabSeparated | Self::TabSeparatedWithNames => append_tsv(row, out),
            Self::CSV | Self::CSVWithNames => append_csv(row, out),
            Self::Values => append_values(row, out),
            Self::RowBinary => append_row_binary(row, out),
        }
    }
}

/// The body of an INSERT with these rows.
pub fn body_of(format: Format, rows: impl IntoIterator<Item = Row>) -> Vec<u8> {
    let mut body = Vec::new();
    format.write(rows, &mut body).expect("a Vec takes all");
    body
}

fn append_json(row: &Row, out: &mut Vec<u8>) {
    // UInt64 is written as ClickHouse itself writes it by default: as a string. Columns are not in the
    // table's order.
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let line = format!(
        "{{\"ts\":\"{}\",\"user_id\":\"{}\",\"url\":{},\"payload\":{},\"duration\":{},\"country\":{}}}\n",
        date_time(row.ts),
        row.user_id,
        text(&row.url),
        text(&row.payload),
        row.duration,
        text(&row.country),
    );
    out.extend_from_slice(line.as_bytes());
}

fn append_tsv(row: &Row, out: &mut Vec<u8>) {
    let Row {
        user_id,
        ts,
        url,
        country,
        duration,
        payload,
    } = row;
    let (url, country, payload) = (escape(url), escape(country), escape(payload));
    let ts = date_time(*ts);
    out.extend_from_slice(format!("{user_id}\t{ts}\t{url}\t{country}\t{duration}\t{payload}\n").as_bytes());
}

fn append_csv(row: &Row, out: &mut Vec<u8>) {
    let Row {
        user_id,
        ts,
        url,
        country,
        duration,
        payload,
    } = row;
    let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let (url, country, payload) = (quote(url), quote(country), quote(payload));
    let ts = date_time(*ts);
    out.extend_from_slice(format!("{user_id},\"{ts}\",{url},{country},{duration},{payload}\n").as_bytes());
}

fn append_values(row: &Row, out: &mut Vec<u8>) {
    let Row {
        user_id,
        ts,
        url,
        country,
        duration,
        payload,
    } = row;
    let (url, country, payload) = (escape(url), escape(country), escape(payload));
    let ts = date_time(*ts);
    let line = format!("({user_id},'{ts}','{url}', '{country}' ,{duration},'{payload}')\n");
    out.extend_from_slice(line.as_bytes());
}

fn append_row_binary(row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(&row.user_id.to_le_bytes());
    out.extend_from_slice(&row.ts.to_le_bytes());
    append_string(&row.url, out);
    append_string(&row.country, out);
    out.extend_from_slice(&row.duration.to_le_bytes());
    append_string(&row.payload, out);
}

/// Its length in LEB128, then its bytes.
fn append_string(text: &str, out: &mut Vec<u8>) {
    let mut length = text.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text.as_bytes());
}

/// The escapes that TabSeparated and the quoted strings of Values share.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\'' => escaped.push_str("\\'"),
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// `YYYY-MM-DD hh:mm:ss` in UTC, the servers' time zone.
fn date_time(seconds: u32) -> String {
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// The civil date of a day since 1970, by Howard Hinnant's `civil_from_days`: years counted from March.
fn date(day: u32) -> (u32, u32, u32) {
    let days = day + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (
        era * 400 + year_of_era + u32::from(month <= 2),
        month,
        day_of_month,
    )
}
