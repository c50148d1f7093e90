//! Bodies: chunked, compressed, and cut.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::client::{Shard, exchange, request};

const INSERT: &str = "INSERT INTO t FORMAT TabSeparated";

async fn shard() -> Shard {
    let shard = Shard::start().await;
    shard
        .query("CREATE TABLE t (k UInt64) ENGINE = MergeTree ORDER BY k")
        .await;
    shard
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One of ClickHouse's compressed frames, LZ4.
fn frame(raw: &[u8]) -> Vec<u8> {
    let data = lz4_flex::block::compress(raw);
    let mut checked = vec![0x82];
    checked.extend((data.len() as u32 + 9).to_le_bytes());
    checked.extend((raw.len() as u32).to_le_bytes());
    checked.extend(data);
    let (low, high) = types::city_hash_128(&checked);
    [low.to_le_bytes().as_slice(), &high.to_le_bytes(), &checked].concat()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(7) {
        out.extend(format!("{:x}\r\n", chunk.len()).bytes());
        out.extend_from_slice(chunk);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}

#[tokio::test]
async fn bodies_are_read_in_every_encoding() {
    let shard = shard().await;
    let rows = b"1\n2\n3\n";
    let frames = [frame(b"1\n2"), frame(b"\n3\n")].concat();
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: [(Pairs, Vec<u8>, Pairs); 4] = [
        (&[], chunked(rows), &[]),
        (&[("Content-Encoding", "gzip")], chunked(&gzip(rows)), &[]),
        (&[], chunked(&frames), &[("decompress", "1")]),
        (
            &[("Content-Encoding", "gzip")],
            chunked(&gzip(&frames)),
            &[("decompress", "1")],
        ),
    ];
    for (headers, body, parameters) in cases {
        let headers = [headers, &[("Transfer-Encoding", "chunked")]].concat();
        let parameters = [parameters, &[("query", INSERT)]].concat();
        let reply = exchange(shard.address, &request("POST", &parameters, &headers, &body))
            .await
            .unwrap();
        assert_eq!(
            (reply.status, reply.summary("written_rows")),
            (200, "3"),
            "{}",
            reply.body
        );
    }
    assert_eq!(shard.query("SELECT count(), sum(k) FROM t").await, "12\t24\n");
}

#[tokio::test]
async fn sql_may_stand_inside_a_compressed_body() {
    let shard = shard().await;
    let body = gzip(b"INSERT INTO t FORMAT TabSeparated\n1\n2\n");
    let reply = shard
        .post(&[], &[("Content-Encoding", "gzip")], &body)
        .await
        .unwrap();
    assert_eq!(
        (reply.status, reply.summary("written_rows")),
        (200, "2"),
        "{}",
        reply.body
    );
}

/// Sends a request whose end is missing and lets go of the connection.
async fn send_cut(shard: &Shard, headers: &[(&str, &str)], body: &[u8]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let parameters = [
        ("query", INSERT),
        ("decompress", if headers.len() > 1 { "1" } else { "0" }),
    ];
    let mut stream = tokio::net::TcpStream::connect(shard.address).await.unwrap();
    stream
        .write_all(&request("POST", &parameters, headers, body))
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        !answer.starts_with(b"HTTP/1.1 200"),
        "a cut body was accepted: {}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn a_body_cut_anywhere_leaves_nothing() {
    let shard = shard().await;
    let rows = b"1\n2\n3\n";
    for len in 0..rows.len() {
        send_cut(&shard, &[("Content-Length", "6")], &rows[..len]).await;
    }
    let whole = chunked(rows);
    for len in 0..whole.len() {
        send_cut(&shard, &[("Transfer-Encoding", "chunked")], &whole[..len]).await;
    }
    // The chunks are sound, the gzip member inside is cut: also at the border of a frame.
    let envelope = gzip(&[frame(b"1\n"), frame(b"2\n")].concat());
    for len in 1..envelope.len() {
        let headers = [("Transfer-Encoding", "chunked"), ("Content-Encoding", "gzip")];
        send_cut(&shard, &headers, &chunked(&envelope[..len])).await;
    }
    assert_eq!(shard.query("SELECT count() FROM t").await, "0\n");
}

#[tokio::test]
async fn a_corrupted_frame_is_refused() {
    let shard = shard().await;
    let mut body = frame(b"1\n2\n");
    *body.last_mut().unwrap() ^= 1;
    let reply = shard
        .post(&[("query", INSERT), ("decompress", "1")], &[], &body)
        .await
        .unwrap();
    assert_eq!(reply.headers["x-clickhouse-exception-code"], "40");
    assert_eq!(shard.query("SELECT count() FROM t").await, "0\n");
}
