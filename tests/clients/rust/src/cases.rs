//! What users write.

use std::time::Duration;

use clickhouse::error::{Error, Result};
use clickhouse::native::builder::BlockBuilder;
use clickhouse::{Client, Compression};

use crate::Suite;
use crate::row::{COLUMNS, OwnedRow};

const PIECE_BYTES: usize = 64 * 1024;

/// `insert::<Row>`: RowBinaryWithNamesAndTypes when validated (the default), else RowBinary.
pub async fn rows(suite: &Suite, label: &str, compression: Compression, validated: bool) -> Result<()> {
    let client = suite.client().with_compression(compression).with_validation(validated);
    write_rows(suite, label, &client).await
}

/// With the settings of an asynchronous insert.
pub async fn asynchronous(suite: &Suite, label: &str) -> Result<()> {
    let client = suite.client().with_setting("async_insert", "1").with_setting("wait_for_async_insert", "1");
    write_rows(suite, label, &client).await
}

async fn write_rows(suite: &Suite, label: &str, client: &Client) -> Result<()> {
    let mut insert = client.insert::<OwnedRow>(&suite.table).await?;
    for i in 0..suite.rows {
        insert.write(&OwnedRow::new(label, i)).await?;
    }
    insert.end().await
}

/// An endless inserter that cuts an INSERT each 3,000 rows.
pub async fn inserter(suite: &Suite, label: &str) -> Result<()> {
    let client = suite.client();
    let mut inserter = client
        .inserter::<OwnedRow>(&suite.table)
        .with_max_rows(3_000)
        .with_period(Some(Duration::from_secs(60)));
    for i in 0..suite.rows {
        inserter.write(&OwnedRow::new(label, i)).await?;
        inserter.commit().await?;
    }
    inserter.end().await.map(|_| ())
}

/// Text that the program formats itself, sent in pieces.
pub async fn formatted(suite: &Suite, label: &str, compression: Compression, format: &str) -> Result<()> {
    let sql = format!("INSERT INTO {} ({}) FORMAT {format}", suite.table, COLUMNS.join(", "));
    let client = suite.client().with_compression(compression);
    let mut insert = client.insert_formatted_with(sql);
    let mut piece = String::new();
    for i in 0..suite.rows {
        let row = OwnedRow::new(label, i);
        piece += &match format {
            "JSONEachRow" => row.json(),
            "CSV" => row.csv(),
            _ => row.tab_separated(),
        };
        if piece.len() >= PIECE_BYTES {
            insert.send(std::mem::take(&mut piece).into()).await?;
        }
    }
    insert.send(piece.into()).await?;
    insert.end().await
}

/// Blocks of the program's own types: numbers for times, text for decimals, which the server casts.
pub async fn native(suite: &Suite, label: &str) -> Result<()> {
    let mut insert = suite.client().insert_native_unescaped(&suite.table);
    let ids: Vec<u64> = (0..suite.rows).collect();
    for ids in ids.chunks(4_000) {
        let rows: Vec<_> = ids.iter().map(|&i| OwnedRow::new(label, i)).collect();
        insert.write(&block(&rows).map_err(other)?).await?;
    }
    insert.end().await
}

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

fn block(rows: &[OwnedRow]) -> Result<clickhouse::native::Block, BoxedError> {
    let mut block = BlockBuilder::new();
    block.upsert_column::<&str>("label")?.add_all(rows.iter().map(|row| row.label.as_str()))?;
    block.upsert_column::<u64>("id")?.add_all(rows.iter().map(|row| row.id))?;
    block.upsert_column::<u64>("big")?.add_all(rows.iter().map(|row| row.big))?;
    block.upsert_column::<i64>("small")?.add_all(rows.iter().map(|row| row.small))?;
    block.upsert_column::<f64>("ratio")?.add_all(rows.iter().map(|row| row.ratio))?;
    block.upsert_column::<&str>("name")?.add_all(rows.iter().map(|row| row.name.as_str()))?;
    block.upsert_column::<Option<&str>>("note")?.add_all(rows.iter().map(|row| row.note.as_deref()))?;
    block.upsert_column::<Option<i32>>("amount")?.add_all(rows.iter().map(|row| row.amount))?;
    block.upsert_column::<&str>("kind")?.add_all(rows.iter().map(|row| row.kind.as_str()))?;
    block.upsert_column::<&[String]>("tags")?.add_all(rows.iter().map(|row| row.tags.as_slice()))?;
    block.upsert_column::<&[u64]>("numbers")?.add_all(rows.iter().map(|row| row.numbers.as_slice()))?;
    block.upsert_column::<u32>("at")?.add_all(rows.iter().map(|row| row.at))?;
    block.upsert_column::<u16>("day")?.add_all(rows.iter().map(|row| row.day))?;
    block.upsert_column::<uuid::Uuid>("uid")?.add_all(rows.iter().map(|row| row.uid))?;
    block.upsert_column::<String>("price")?.add_all(rows.iter().map(OwnedRow::decimal_price))?;
    Ok(block.build()?)
}

fn other(error: BoxedError) -> Error {
    Error::Custom(error.to_string())
}
