//! A spool in a directory of its own, and short ways to say what happens to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bin_file::BinReader;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::*;

/// A directory, and how the spool in it is kept.
pub struct World {
    _directory: tempfile::TempDir,
    pub options: Options,
}

pub fn destination(shard: &str) -> Destination {
    Destination {
        table: "d.t".into(),
        shard: shard.into(),
        replica: None,
    }
}

pub fn replica(shard: &str, replica: &str) -> Destination {
    Destination {
        replica: Some(replica.into()),
        ..destination(shard)
    }
}

/// A lane that is cut at once.
pub fn remote(shard: &str) -> LaneSpec {
    let limits = BatchLimits {
        max_delay: Duration::ZERO,
        ..BatchLimits::default()
    };
    LaneSpec {
        table: "d.t".into(),
        shard: shard.into(),
        destinations: vec![destination(shard)],
        local: false,
        limits,
    }
}

/// The lane of a local replica.
pub fn local(shard: &str) -> LaneSpec {
    LaneSpec {
        local: true,
        ..remote(shard)
    }
}

pub fn shape() -> Arc<Shape> {
    Arc::new(Shape {
        cluster: "main".into(),
        epoch: 1,
        table: "d.t".into(),
        columns: vec![("k".into(), "UInt64".into())],
        format: "TabSeparated".into(),
        settings: Vec::new(),
    })
}

/// A spool on a disk in memory.
pub struct SimWorld {
    pub disk: SimDisk,
    pub options: Options,
}

impl SimWorld {
    pub fn new() -> SimWorld {
        SimWorld::on(SimDisk::default())
    }

    pub fn on(disk: SimDisk) -> SimWorld {
        let options = Options {
            segment_bytes: 4 << 10,
            join_files_max: 1,
            ..Options::at("/spool")
        };
        SimWorld { disk, options }
    }

    pub fn try_open(&self) -> Result<(Spool, RecoveryReport), OpenError> {
        Spool::open_on(Arc::new(self.disk.clone()), self.options.clone(), None)
    }

    #[track_caller]
    pub fn reopen(&self) -> (Spool, RecoveryReport) {
        self.try_open().unwrap()
    }

    pub fn open(&self) -> Spool {
        self.reopen().0
    }

    /// Where something of the spool lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.options.path.join(path)
    }

    pub fn exists(&self, path: &str) -> bool {
        self.disk.exists(&self.path(path)).unwrap()
    }
}

/// Commits an INSERT with rows for lanes.
pub async fn commit(spool: &Spool, rows: &[(LaneId, &[u8], u64)]) -> InsertId {
    let staged = stage(spool, rows);
    spool.commit(staged, CommitHead::default()).await.unwrap().insert
}

pub fn stage(spool: &Spool, rows: &[(LaneId, &[u8], u64)]) -> Staged {
    let lanes: Vec<_> = rows.iter().map(|(lane, ..)| lanes_of(spool, *lane)).collect();
    let mut stage = spool.stage(InsertId::random(), None, shape(), &lanes);
    for (shard, (_, rows, count)) in rows.iter().enumerate() {
        stage.append(shard, rows, *count).unwrap();
    }
    stage.finish().unwrap()
}

/// The rows of a batch on whatever disk.
pub fn rows_in(spool: &Spool, batch: &Batch) -> Vec<u8> {
    rows_at(spool, batch.path())
}

pub fn rows_at(spool: &Spool, path: &std::path::Path) -> Vec<u8> {
    let file = spool.shared().files.disk.open_read(path).unwrap();
    let mut rows = Vec::new();
    BinReader::new(file).unwrap().write_rows(&mut rows).unwrap();
    rows
}

impl World {
    pub fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            join_files_max: 1,
            ..Options::at(directory.path().join("spool"))
        };
        World {
            _directory: directory,
            options,
        }
    }

    pub fn open(&self) -> Spool {
        self.reopen().0
    }

    pub fn reopen(&self) -> (Spool, RecoveryReport) {
        let spool = Spool::open(self.options.clone()).unwrap();
        let report = spool.wait_recovered();
        (spool, report)
    }

    /// Commits an INSERT with rows for lanes that are not local, or waits for none of them.
    pub async fn commit(&self, spool: &Spool, rows: &[(LaneId, &[u8], u64)]) -> InsertId {
        self.accept(spool, rows).await.insert
    }

    pub async fn accept(&self, spool: &Spool, rows: &[(LaneId, &[u8], u64)]) -> Accepted {
        let staged = self.stage(spool, rows);
        spool.commit(staged, CommitHead::default()).await.unwrap()
    }

    pub fn stage(&self, spool: &Spool, rows: &[(LaneId, &[u8], u64)]) -> Staged {
        stage(spool, rows)
    }

    /// As if the process had died and a new one came: the old handle's threads are gone first.
    pub fn restart(&self, spool: Spool) -> (Spool, RecoveryReport) {
        drop(spool);
        self.reopen()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.options.path.join(path)
    }

    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    /// Names of the files (not directories) in a directory of the spool.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path))
            .unwrap()
            .map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.path().is_file());
        files
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }
}

/// The lane, cut only when it is full or flushed.
pub fn patient(mut spec: LaneSpec) -> LaneSpec {
    spec.limits.max_delay = Duration::from_secs(3600);
    spec
}

pub fn rows_of(batch: &Batch) -> Vec<u8> {
    let mut rows = Vec::new();
    BinReader::open(batch.path())
        .unwrap()
        .write_rows(&mut rows)
        .unwrap();
    rows
}

/// Waits for what a thread of the spool does on its own.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What comes soon, if it does.
pub async fn within_a_moment<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(30), future).await.ok()
}

/// Attempts the next batch and settles it.
pub async fn settle_next(spool: &Spool, to: &Destination, outcome: Outcome) -> Settled {
    let mut batch = soon(spool.next(to)).await.unwrap();
    spool.attempt(&mut batch, "h:1").await.unwrap();
    spool.settle(&batch, outcome).await.unwrap()
}

/// The next batch's rows, acknowledged.
pub async fn take_next(spool: &Spool, to: &Destination) -> Vec<u8> {
    let mut batch = soon(spool.next(to)).await.unwrap();
    spool.attempt(&mut batch, "h:1").await.unwrap();
    spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
    rows_of_settled(&batch)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("nothing comes")
}

/// Sends until nothing waits; a shard that refuses batches it does not like. What it took, and the number of
/// sends.
pub async fn send_all(spool: &Spool, to: &Destination, likes: impl Fn(&[u8]) -> bool) -> (Vec<u8>, usize) {
    let (mut taken, mut sends) = (Vec::new(), 0);
    loop {
        let Some(batch) = tokio::time::timeout(Duration::from_millis(300), spool.next(to))
            .await
            .ok()
        else {
            return (taken, sends);
        };
        let mut batch = batch.unwrap();
        spool.attempt(&mut batch, "h:1").await.unwrap();
        sends += 1;
        let rows = rows_of(&batch);
        let refused = Outcome::Refused {
            code: Some(27),
            text: "cannot parse".into(),
        };
        let outcome = if likes(&rows) {
            Outcome::Acknowledged
        } else {
            refused
        };
        if outcome == Outcome::Acknowledged {
            taken.extend(rows);
        }
        spool.settle(&batch, outcome).await.unwrap();
    }
}

pub fn links_of(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().nlink()
}

/// Bytes that do not compress.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(word).flatten().take(bytes).collect()
}

/// The file may have left for sent/ already.
fn rows_of_settled(batch: &Batch) -> Vec<u8> {
    let sent = batch
        .path()
        .parent()
        .unwrap()
        .join("sent")
        .join(batch.path().file_name().unwrap());
    let mut rows = Vec::new();
    let reader = BinReader::open(batch.path())
        .or_else(|_| BinReader::open(&sent))
        .unwrap();
    reader.write_rows(&mut rows).unwrap();
    rows
}

fn lanes_of(spool: &Spool, lane: LaneId) -> ShareLanes {
    if spool.is_local(lane) {
        ShareLanes {
            local: Some(lane),
            remote: None,
        }
    } else {
        ShareLanes {
            remote: Some(lane),
            local: None,
        }
    }
}

impl Spool {
    fn is_local(&self, lane: LaneId) -> bool {
        self.shared()
            .state()
            .get_lane(lane)
            .is_some_and(|lane| lane.key.local)
    }
}

/// Gives the first half of so many lines to one part, the second to another.
#[derive(Debug)]
pub struct Halves {
    pub rows: u64,
    pub given: u64,
}

impl Divide for Halves {
    fn push(&mut self, raw: &[u8], give: &mut Give<'_>) -> Result<(), NotDivided> {
        for row in raw.split_inclusive(|byte| *byte == b'\n') {
            give(usize::from(self.given * 2 >= self.rows), row, 1)?;
            self.given += 1;
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Give<'_>) -> Result<(), NotDivided> {
        Ok(())
    }
}

/// Cuts a batch of one INSERT's lines into two.
pub async fn divide(spool: &Spool, batch: &Batch) -> Result<Settled, NotDivided> {
    let halves = Halves {
        rows: batch.rows(),
        given: 0,
    };
    spool.divide(batch, 2, Box::new(halves)).await
}
