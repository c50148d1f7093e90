//! The `clickhouse` crate: RowBinary with and without names and types, Native, formatted text, in each
//! compression. What it prints: ../README.md.

mod cases;
mod row;

use std::env::var;
use std::time::Instant;

use clickhouse::error::Result;
use clickhouse::{Client, Compression};

use crate::row::{COLUMNS, OwnedRow};

/// What the environment says, and the lines told so far.
pub struct Suite {
    url: String,
    table: String,
    read: String,
    phase: String,
    only: String,
    rows: u64,
    is_old: bool,
    told: usize,
}

impl Suite {
    /// A client as most people make it.
    pub fn client(&self) -> Client {
        let client = Client::default().with_url(&self.url).with_database("clients");
        // 18.16 does not know RowBinaryWithNamesAndTypes, which validation needs.
        client.with_validation(!self.is_old)
    }

    fn label(&self, case: &str) -> String {
        format!("rust: {case}: {}", self.phase)
    }

    fn tell(&mut self, kind: &str, case: &str, remark: &str) {
        self.told += 1;
        println!("{kind}\t{case}\t{}", remark.replace(['\n', '\t'], " "));
    }

    /// Runs a case that inserts, unless it is left out.
    async fn insert(&mut self, case: &str, insert: impl AsyncFn(&Suite, &str) -> Result<()>) {
        if !case.contains(&self.only) {
            return;
        }
        let since = Instant::now();
        match insert(self, &self.label(case)).await {
            Ok(()) => self.tell("inserted", case, &format!("{} ms", since.elapsed().as_millis())),
            Err(error) => self.tell("failed", case, &error.to_string()),
        }
    }

    async fn ping(&mut self) {
        let asked = self.client().query("SELECT 1").fetch_one::<u8>().await;
        match asked {
            Ok(one) => self.tell("done", "connect", &format!("SELECT 1 is {one}")),
            Err(error) => self.tell("failed", "connect", &error.to_string()),
        }
    }

    async fn read_back(&mut self, case: &str) {
        if self.read.is_empty() || !case.contains(&self.only) {
            return;
        }
        let label = self.label(case);
        match self.read_rows(&label).await {
            Ok(rows) => {
                let other = rows.iter().find(|row| **row != OwnedRow::new(&label, row.id));
                match other {
                    None => self.tell("read", case, &rows.len().to_string()),
                    Some(row) => self.tell("failed", case, &format!("read {row:?}")),
                }
            }
            Err(error) => self.tell("failed", case, &error.to_string()),
        }
    }

    /// Weir delivers a little after its answer.
    async fn read_rows(&self, label: &str) -> Result<Vec<OwnedRow>> {
        let sql = format!("SELECT {} FROM {} WHERE label = ?", COLUMNS.join(", "), self.read);
        let mut rows = Vec::new();
        for _ in 0..100 {
            rows = self.client().query(&sql).bind(label).fetch_all::<OwnedRow>().await?;
            if !rows.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Ok(rows)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let get = |name: &str| var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let mut suite = Suite {
        url: get("CLIENTS_URL"),
        table: get("CLIENTS_TABLE").replace("clients.", ""),
        read: get("CLIENTS_READ"),
        phase: get("CLIENTS_PHASE"),
        only: get("CLIENTS_ONLY"),
        rows: get("CLIENTS_ROWS").parse().expect("CLIENTS_ROWS is a number"),
        is_old: get("CLIENTS_ENGINE") == "18.16",
        told: 0,
    };
    suite.ping().await;
    for (name, compression) in [
        ("lz4 (default)", Compression::Lz4),
        ("zstd", Compression::zstd()),
        ("uncompressed", Compression::None),
    ] {
        let case = format!("RowBinaryWithNamesAndTypes, {name}");
        suite.insert(&case, async |s, label| cases::rows(s, label, compression, true).await).await;
        let case = format!("RowBinary, {name}");
        suite.insert(&case, async |s, label| cases::rows(s, label, compression, false).await).await;
        for format in ["JSONEachRow", "CSV", "TabSeparated"] {
            let case = format!("insert_formatted {format}, {name}");
            suite.insert(&case, async |s, label| cases::formatted(s, label, compression, format).await).await;
        }
    }
    suite.insert("inserter", cases::inserter).await;
    suite.insert("async_insert", cases::asynchronous).await;
    suite.insert("insert_native", cases::native).await;
    let read_back = if suite.is_old { "RowBinary" } else { "RowBinaryWithNamesAndTypes" };
    suite.read_back(&format!("{read_back}, lz4 (default)")).await;
    println!("end\t{}", suite.told);
}
