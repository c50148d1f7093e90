//! A small spool with some of everything, damaged in one byte, or cut at one, in each of its files; then opened again.
//!
//! The start is never refused (but for what looks like a later release's), no row is delivered twice, and what is lost lay in the
//! damaged bytes. By default some bytes of each file are tried; `WEIR_EVERY_BYTE=1` tries all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::support::*;
use crate::bin_file::BinReader;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::*;

const ROW_BYTES: usize = 8;
/// Each file is tried at bytes so far apart, from another one on for each kind of damage.
const STEP: usize = 53;
/// Spools that are open at once.
const AT_ONCE: usize = 16;

type Row = (Destination, Vec<u8>);

/// What the shards have, by destination and token.
#[derive(Debug, Clone, Default)]
struct Shards {
    has: BTreeMap<(Destination, String), Vec<u8>>,
}

/// A spool at rest, and what is to be true of its rows.
#[derive(Clone)]
struct Image {
    name: &'static str,
    disk: SimDisk,
    shards: Shards,
    accepted: BTreeSet<Row>,
    undone: BTreeSet<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Flip(usize),
    Cut(usize),
}

fn destinations() -> [Destination; 5] {
    [
        destination("here"),
        destination("s1"),
        destination("s2"),
        replica("pair", "a:1"),
        replica("pair", "b:1"),
    ]
}

struct Lanes {
    here: LaneId,
    s1: LaneId,
    s2: LaneId,
    pair: LaneId,
}

fn lanes(spool: &Spool) -> Lanes {
    let [.., a, b] = destinations();
    let mut pair = patient(remote("pair"));
    pair.destinations = vec![a, b];
    Lanes {
        here: spool.lane(&local("here")).unwrap(),
        s1: spool.lane(&patient(remote("s1"))).unwrap(),
        s2: spool.lane(&patient(remote("s2"))).unwrap(),
        pair: spool.lane(&pair).unwrap(),
    }
}

fn options(segment_bytes: u64) -> Options {
    Options {
        segment_bytes,
        inline_bytes_max: 64,
        stage_memory_bytes: 0,
        ..Options::at("/spool")
    }
}

fn open(disk: &SimDisk, segment_bytes: u64) -> Result<(Spool, RecoveryReport), OpenError> {
    Spool::open_on(Arc::new(disk.clone()), options(segment_bytes), None)
}

// === the spool ===

/// INSERTs of rows named by INSERT and destination, and what becomes of them.
struct Story {
    spool: Spool,
    shards: Shards,
    accepted: BTreeSet<Row>,
    undone: BTreeSet<Row>,
    inserts: u8,
}

impl Story {
    async fn insert(&mut self, lanes: &[LaneId]) -> (Accepted, BTreeSet<Row>) {
        self.inserts += 1;
        let rows: Vec<Vec<u8>> = (0..lanes.len())
            .map(|shard| format!("{:03}-{shard:03}\n", self.inserts).into_bytes())
            .collect();
        let parts: Vec<_> = lanes
            .iter()
            .zip(&rows)
            .map(|(lane, row)| (*lane, row.as_slice(), 1))
            .collect();
        let accepted = self
            .spool
            .commit(stage(&self.spool, &parts), CommitHead::default())
            .await
            .unwrap();
        let mut named = BTreeSet::new();
        for (lane, row) in lanes.iter().zip(rows) {
            let key = self.spool.shared().state().get_lane(*lane).unwrap().key.clone();
            named.extend(key.destinations.into_iter().map(|to| (to, row.clone())));
        }
        self.accepted.extend(named.clone());
        (accepted, named)
    }

    /// The shard takes the next batch; its answer is what is said.
    async fn send(&mut self, to: &Destination, answer: Option<Outcome>) {
        let mut batch = self.spool.next(to).await.unwrap();
        self.spool.attempt(&mut batch, "h:1").await.unwrap();
        if !matches!(answer, Some(Outcome::Refused { .. })) {
            self.shards.take(&self.spool, &batch);
        }
        if let Some(answer) = answer {
            self.spool.settle(&batch, answer).await.unwrap();
        }
    }
}

impl Shards {
    /// A batch whose token is known is not taken again.
    fn take(&mut self, spool: &Spool, batch: &Batch) {
        let key = (batch.destination().clone(), batch.token().to_owned());
        let rows = rows_in(spool, batch);
        let before = self.has.insert(key, rows.clone());
        assert!(
            before.is_none_or(|before| before == rows),
            "a token met two contents"
        );
    }

    fn rows(&self) -> Vec<Row> {
        let of = |((to, _), rows): (&(Destination, String), &Vec<u8>)| -> Vec<Row> {
            rows.chunks(ROW_BYTES)
                .map(|row| (to.clone(), row.to_vec()))
                .collect()
        };
        self.has.iter().flat_map(of).collect()
    }
}

/// Some of everything: sent, undone, held, broken, in doubt, cut, pending, not cut.
async fn tell(spool: Spool) -> Story {
    let Lanes { here, s1, s2, pair } = lanes(&spool);
    let [to_here, to_s1, _, to_a, to_b] = destinations();
    let mut story = Story {
        spool,
        shards: Shards::default(),
        accepted: BTreeSet::new(),
        undone: BTreeSet::new(),
        inserts: 0,
    };
    let refused = || Outcome::Refused {
        code: Some(27),
        text: "bad".into(),
    };
    let hold = Outcome::HoldBatch {
        error: "doubt".into(),
    };
    for ending in [Outcome::Acknowledged, refused(), hold] {
        story.insert(&[s1, s2]).await;
        story.spool.flush(None).await;
        story.send(&to_s1, Some(ending)).await;
    }
    let (_, undone) = story.insert(&[here, s2]).await;
    story.send(&to_here, Some(refused())).await;
    story.accepted = &story.accepted - &undone;
    story.undone = undone;
    story.insert(&[pair]).await;
    story.insert(&[pair, s1]).await;
    story.spool.flush(None).await;
    story.send(&to_a, Some(Outcome::Acknowledged)).await;
    story.send(&to_b, Some(refused())).await;
    story.send(&to_b, Some(Outcome::Acknowledged)).await;
    story.send(&to_s1, None).await;
    story.insert(&[here, s2]).await;
    story.insert(&[s1, pair]).await;
    story.insert(&[s2]).await;
    until("settled files are moved", || {
        let states = story.spool.destinations();
        states.iter().map(|status| status.sent.files).sum::<u64>() >= 3
    })
    .await;
    story
}

impl Image {
    async fn of(name: &'static str, segment_bytes: u64, is_closed: bool) -> Image {
        let disk = SimDisk::default();
        let mut story = tell(open(&disk, segment_bytes).unwrap().0).await;
        let mut taken = disk.copy();
        if is_closed {
            story.spool = open(&SimDisk::default(), segment_bytes).unwrap().0;
            taken = disk.copy();
        }
        Image {
            name,
            disk: taken,
            shards: story.shards,
            accepted: story.accepted,
            undone: story.undone,
        }
    }

    fn victims(&self) -> Vec<PathBuf> {
        let is_victim = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("checkpoint") || name.ends_with(".log") || name.ends_with(".bin")
        };
        self.disk.files().into_iter().filter(is_victim).collect()
    }

    /// Damages of a file: up to the zeros of a segment's reserve.
    fn damages(&self, path: &Path) -> Vec<Damage> {
        let bytes = self.disk.read(path);
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let step = if std::env::var_os("WEIR_EVERY_BYTE").is_some() {
            1
        } else {
            STEP
        };
        let flips = (0..used).step_by(step).map(Damage::Flip);
        let cuts = (0..used).skip(step / 2).step_by(step).chain([0]).map(Damage::Cut);
        flips.chain(cuts).collect()
    }
}

// === the damage ===

/// Opens the damaged spool, delivers what it gives, and checks.
async fn check(image: Image, path: PathBuf, damage: Damage) {
    let context = format!("{}: {damage:?} of {}", image.name, path.display());
    let disk = image.disk.copy();
    let in_victim = rows_of_file(&disk, &path);
    disk.edit(&path, |bytes| match damage {
        Damage::Flip(at) => bytes[at] ^= 1 << (at % 8),
        Damage::Cut(at) => bytes.truncate(at),
    });
    let opened = open(&disk, 64 << 10);
    if let Err(error) = &opened {
        let is_version = matches!(damage, Damage::Flip(8..12));
        assert!(
            is_version && error.to_string().contains("version"),
            "{context}: {error}"
        );
        return;
    }
    let (spool, report) = opened.unwrap();
    let mut shards = image.shards.clone();
    deliver_all(&spool, &mut shards, &context).await;
    check_rows(
        &image,
        &disk,
        &path,
        damage,
        &shards,
        &in_victim,
        &format!("{context}, {report:#?}"),
    );
}

async fn deliver_all(spool: &Spool, shards: &mut Shards, context: &str) {
    lanes(spool);
    for _ in 0..50 {
        let flushed = tokio::time::timeout(Duration::from_secs(20), spool.flush(None)).await;
        flushed.unwrap_or_else(|_| panic!("{context}: a cut never ends"));
        let waits = |to: &Destination| {
            let status = spool.destination(to);
            status.is_some_and(|status| status.waiting.files > 0 && status.destination_held.is_none())
        };
        let waiting: Vec<_> = destinations().into_iter().filter(waits).collect();
        if waiting.is_empty() && spool.pending().is_empty() {
            return;
        }
        for to in waiting {
            let next = tokio::time::timeout(Duration::from_secs(1), spool.next(&to)).await;
            // The last one may just have been held, for its file.
            let Ok(batch) = next else { continue };
            let mut batch = batch.unwrap();
            spool.attempt(&mut batch, "h:1").await.unwrap();
            if rows_are_whole(spool, &batch) {
                shards.take(spool, &batch);
                spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
            } else {
                let error = "damaged frames".to_owned();
                spool.settle(&batch, Outcome::HoldBatch { error }).await.unwrap();
            }
        }
    }
    panic!(
        "{context}: rows wait for ever, pending {:?}: {:?}",
        spool.pending(),
        spool.destinations()
    );
}

/// The shard checks the frames.
fn rows_are_whole(spool: &Spool, batch: &Batch) -> bool {
    let file = spool.shared().files.disk.open_read(batch.path()).unwrap();
    BinReader::new(file).is_ok_and(|reader| reader.verify().is_ok())
}

fn rows_of_file(disk: &SimDisk, path: &Path) -> Vec<Vec<u8>> {
    let Some(reader) = disk
        .open_read(path)
        .ok()
        .and_then(|file| BinReader::new(file).ok())
    else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    match reader.write_rows(&mut rows) {
        Ok(()) => rows.chunks(ROW_BYTES).map(<[u8]>::to_vec).collect(),
        Err(_) => Vec::new(),
    }
}

/// Rows in files of any kind, by destination.
fn kept_rows(disk: &SimDisk) -> BTreeSet<Row> {
    let layout = crate::names::Layout::at("/spool");
    let mut kept = BTreeSet::new();
    for path in disk.files() {
        let to = destinations()
            .into_iter()
            .find(|to| path.starts_with(layout.destination(to)));
        let Some(to) = to else { continue };
        kept.extend(rows_of_file(disk, &path).into_iter().map(|row| (to.clone(), row)));
    }
    kept
}

fn check_rows(
    image: &Image,
    disk: &SimDisk,
    path: &Path,
    damage: Damage,
    shards: &Shards,
    in_victim: &[Vec<u8>],
    context: &str,
) {
    let delivered = shards.rows();
    let distinct: BTreeSet<Row> = delivered.iter().cloned().collect();
    if distinct.len() != delivered.len() {
        let mut twice = delivered;
        twice.sort();
        let twice: Vec<_> = twice
            .windows(2)
            .filter(|pair| pair[0] == pair[1])
            .map(|pair| show(&pair[0]))
            .collect();
        panic!("{context}: rows twice: {twice:?}");
    }
    let undone: Vec<_> = distinct.intersection(&image.undone).map(show).collect();
    let is_at_end = path.extension().is_some_and(|end| end == "log");
    assert!(
        undone.is_empty() || is_at_end,
        "{context}: undone rows arrived: {undone:?}"
    );
    let kept = kept_rows(disk);
    let missing = image
        .accepted
        .iter()
        .filter(|row| !distinct.contains(*row) && !kept.contains(*row));
    let missing: Vec<&Row> = missing.filter(|(_, row)| !in_victim.contains(row)).collect();
    let inserts: BTreeSet<&[u8]> = missing.iter().map(|(_, row)| &row[..3]).collect();
    let may_miss = match (is_at_end, damage) {
        (false, _) => 0,
        // One record, unless it is the head.
        (true, Damage::Flip(64..)) => 1,
        (true, _) => usize::MAX,
    };
    assert!(
        inserts.len() <= may_miss,
        "{context}: rows are lost: {:?}",
        missing.into_iter().map(show).collect::<Vec<_>>()
    );
}

fn show((to, row): &Row) -> String {
    format!("{} at {to}", String::from_utf8_lossy(row).trim_end())
}

async fn check_image(image: Image) {
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = tokio::task::JoinSet::new();
    for path in image.victims() {
        for damage in image.damages(&path) {
            let (image, path) = (image.clone(), path.clone());
            let turn = Arc::clone(&at_once);
            tasks.spawn(async move {
                let _turn = turn.acquire_owned().await;
                check(image, path, damage).await;
            });
        }
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_damaged_byte_of_a_killed_spool_doubles_nothing_and_costs_no_neighbour() {
    check_image(Image::of("killed", 64 << 10, false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_damaged_byte_of_a_killed_spool_of_many_segments_doubles_nothing_and_costs_no_neighbour() {
    check_image(Image::of("many segments", 1 << 10, false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_damaged_byte_of_a_closed_spool_doubles_nothing_and_costs_no_neighbour() {
    check_image(Image::of("closed", 64 << 10, true).await).await;
}
