//! A spool in a directory of its own, and short ways to say what happens to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bin_file::BinReader;
use crate::*;

/// A directory, and how the spool in it is kept.
pub struct World {
    pub directory: tempfile::TempDir,
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

impl World {
    pub fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::at(directory.path().join("spool"));
        World { directory, options }
    }

    pub fn open(&self) -> Spool {
        self.reopen().0
    }

    pub fn reopen(&self) -> (Spool, RecoveryReport) {
        Spool::open(self.options.clone()).unwrap()
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
        let lanes: Vec<_> = rows.iter().map(|(lane, ..)| lanes_of(spool, *lane)).collect();
        let mut stage = spool.stage(InsertId::random(), None, shape(), &lanes);
        for (shard, (_, rows, count)) in rows.iter().enumerate() {
            stage.append(shard, rows, *count).unwrap();
        }
        stage.finish().unwrap()
    }

    pub fn rows_of(&self, batch: &Batch) -> Vec<u8> {
        let mut rows = Vec::new();
        BinReader::open(batch.path())
            .unwrap()
            .write_rows(&mut rows)
            .unwrap();
        rows
    }

    pub fn exists(&self, path: &str) -> bool {
        self.options.path.join(path).exists()
    }

    /// Waits for what a thread of the spool does on its own.
    pub async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(10), "never: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
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
