//! Measures the spool on the disk of a directory: `cargo run --release -p spool --example measure --
//! DIRECTORY`.
//!
//! Commits a second of one-row INSERTs from 32 tasks, with and without fsync; throughput and peak memory of a
//! staged
//! INSERT of 1 GB over 4 and over 40 shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use spool::{
    BatchLimits, CommitHead, Destination, InsertId, LaneId, LaneSpec, Options, Shape, ShareLanes, Spool,
};

/// Whatever ends a measurement early.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const COMMITTERS: usize = 32;
const MEASURED: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let base = std::env::args().nth(1).ok_or("a directory is wanted")?;
    for shards in [4, 40] {
        large_insert(&format!("{base}/large-{shards}"), shards).await?;
    }
    for fsync in [true, false] {
        commits(&format!("{base}/commits-{fsync}"), fsync).await?;
    }
    Ok(())
}

async fn commits(path: &str, fsync: bool) -> Result<(), Failure> {
    let spool = Spool::open(Options {
        fsync,
        ..Options::at(path)
    })?;
    let lanes = lanes(&spool, 4)?;
    let count = Arc::new(AtomicU64::new(0));
    let ends = Instant::now() + MEASURED;
    let tasks: Vec<_> = (0..COMMITTERS)
        .map(|_| tokio::spawn(committer(spool.clone(), lanes.clone(), Arc::clone(&count), ends)))
        .collect();
    for task in tasks {
        task.await.map_err(Failure::from)??;
    }
    let rate = count.load(Ordering::Relaxed) as f64 / MEASURED.as_secs_f64();
    println!("{COMMITTERS} committers, one row each, fsync {fsync}: {rate:.0} commits/s");
    let began = Instant::now();
    spool.shutdown().await;
    println!(
        "  cut at shutdown in {:?}; peak memory {} MB",
        began.elapsed(),
        peak_memory()
    );
    let began = Instant::now();
    let spool = Spool::open(Options::at(path))?;
    let opened = began.elapsed();
    let report = spool.recovered().await.ok_or("the spool was closed")?;
    println!(
        "  opened again in {opened:?}, {} batches wait; all read after {:?}",
        report.waiting,
        began.elapsed()
    );
    spool.shutdown().await;
    Ok(())
}

/// Commits one row after another until the time is over.
async fn committer(
    spool: Spool,
    lanes: Vec<ShareLanes>,
    count: Arc<AtomicU64>,
    ends: Instant,
) -> Result<(), Failure> {
    let shape = shape();
    while Instant::now() < ends {
        let mut stage = spool.stage(InsertId::random(), None, Arc::clone(&shape), &lanes);
        let number = count.fetch_add(1, Ordering::Relaxed);
        let row = format!("{number}\tsome text of a row\t2026-11-21 04:00:00\n");
        stage.append(number as usize % lanes.len(), row.as_bytes(), 1)?;
        spool.commit(stage.finish()?, CommitHead::default()).await?;
    }
    Ok(())
}

async fn large_insert(path: &str, shards: usize) -> Result<(), Failure> {
    let spool = Spool::open(Options::at(path))?;
    let lanes = lanes(&spool, shards)?;
    let before = peak_memory();
    let began = Instant::now();
    let mut stage = spool.stage(InsertId::random(), None, shape(), &lanes);
    let mut run = Vec::new();
    let mut number: u64 = 0;
    let mut generated = Duration::ZERO;
    while stage.raw_bytes() < 1_000_000_000 {
        let generating = Instant::now();
        run.clear();
        let first = number;
        while run.len() < 64 << 10 {
            let noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            run.extend_from_slice(
                format!("{number}\t{noise:x}\tsome text of a row\t2026-11-21 04:00:00\n").as_bytes(),
            );
            number += 1;
        }
        generated += generating.elapsed();
        stage.append(first as usize % shards, &run, number - first)?;
    }
    let staged = stage.finish()?;
    let took = began.elapsed() - generated;
    let (raw, disk) = (staged.raw_bytes(), staged.disk_bytes());
    let committing = Instant::now();
    spool.commit(staged, CommitHead::default()).await?;
    println!(
        "1 GB over {shards} shards: staged in {took:?} ({:.0} MB/s, {} MB on disk), committed in {:?}",
        raw as f64 / 1e6 / took.as_secs_f64(),
        disk / 1_000_000,
        committing.elapsed()
    );
    let cutting = Instant::now();
    spool.flush(None).await;
    println!(
        "  cut in {:?}; peak memory {} MB, {} MB before",
        cutting.elapsed(),
        peak_memory(),
        before
    );
    spool.shutdown().await;
    Ok(())
}

fn lanes(spool: &Spool, shards: usize) -> Result<Vec<ShareLanes>, Failure> {
    (0..shards)
        .map(|number| {
            let shard = format!("s{number:02}");
            let destination = Destination {
                table: "d.t".into(),
                shard: shard.clone(),
                replica: None,
            };
            let limits = BatchLimits::default();
            let spec = LaneSpec {
                table: "d.t".into(),
                shard,
                destinations: vec![destination],
                local: false,
                limits,
            };
            let lane: LaneId = spool.lane(&spec)?;
            Ok(ShareLanes {
                remote: Some(lane),
                local: None,
            })
        })
        .collect()
}

fn shape() -> Arc<Shape> {
    let columns = [("id", "UInt64"), ("text", "String"), ("at", "DateTime")];
    Arc::new(Shape {
        cluster: "main".into(),
        epoch: 1,
        table: "d.t".into(),
        columns: columns
            .map(|(name, data_type)| (name.into(), data_type.into()))
            .into(),
        format: "TabSeparated".into(),
        settings: Vec::new(),
    })
}

/// Resident memory at its highest, in MB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
