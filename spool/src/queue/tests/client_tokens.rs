//! INSERTs whose token goes on to the shards: their batches, and the tokens of these, are the same whoever cuts them and when.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::disk::sim::SimDisk;
use crate::token::{self, ClientPiece};
use crate::*;

const TOKEN: &str = "order-17";

fn lanes(lane: LaneId) -> [ShareLanes; 1] {
    [ShareLanes {
        remote: Some(lane),
        local: None,
    }]
}

/// Commits rows of one shard, given piece by piece in runs.
async fn commit_pieces(spool: &Spool, lane: LaneId, pieces: &[&[&[u8]]]) {
    let mut stage = spool
        .stage(InsertId::random(), Some(TOKEN.into()), shape(), &lanes(lane))
        .in_pieces();
    for runs in pieces {
        for run in *runs {
            let rows = run.iter().filter(|byte| **byte == b'\n').count();
            stage.append(0, run, rows as u64).unwrap();
        }
        stage.end_piece(0).unwrap();
    }
    let staged = stage.finish().unwrap();
    spool.commit(staged, CommitHead::default()).await.unwrap();
}

/// The token of rows `first_row..first_row + rows` of the share.
fn token_of(number: u64, first_row: u64, rows: u64) -> String {
    let piece = ClientPiece {
        number,
        first_row,
        rows,
    };
    token::of_piece(&shape(), TOKEN, "s1", piece)
}

/// Tokens and rows of all batches that wait, acknowledged.
async fn take_all(spool: &Spool) -> Vec<(String, String)> {
    let to = destination("s1");
    let mut taken = Vec::new();
    while let Ok(Ok(mut batch)) = tokio::time::timeout(Duration::from_millis(300), spool.next(&to)).await {
        let rows = String::from_utf8(rows_of(&batch)).unwrap();
        taken.push((batch.token().to_owned(), rows));
        spool.attempt(&mut batch, "h:1").await.unwrap();
        spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
    }
    taken
}

fn with_tokens(expected: &[(String, &str)]) -> Vec<(String, String)> {
    let owned = expected
        .iter()
        .map(|(token, rows)| (token.clone(), (*rows).to_owned()));
    owned.collect()
}

#[tokio::test]
async fn pieces_are_batches_of_their_own_and_share_none_with_other_inserts() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    world.commit(&spool, &[(lane, b"x\n", 1)]).await;
    commit_pieces(&spool, lane, &[&[b"a\n", b"b\n"], &[b"c\n"]]).await;
    world.commit(&spool, &[(lane, b"y\n", 1)]).await;
    world.commit(&spool, &[(lane, b"z\n", 1)]).await;
    spool.flush(None).await;
    let taken = take_all(&spool).await;
    let rows: Vec<&str> = taken.iter().map(|(_, rows)| rows.as_str()).collect();
    assert_eq!(rows, ["x\n", "a\nb\n", "c\n", "y\nz\n"]);
    assert_eq!(
        (&taken[1].0, &taken[2].0),
        (&token_of(0, 0, 2), &token_of(1, 2, 1))
    );
    assert!(!token::is_from_client(&taken[0].0) && !token::is_from_client(&taken[3].0));
}

#[tokio::test]
async fn a_piece_waits_for_no_company() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    commit_pieces(&spool, lane, &[&[b"a\n"]]).await;
    let to = destination("s1");
    let batch = tokio::time::timeout(Duration::from_secs(10), spool.next(&to)).await;
    assert_eq!(batch.unwrap().unwrap().token(), token_of(0, 0, 1));
}

#[tokio::test]
async fn neither_limits_nor_an_overloaded_shard_nor_the_runs_move_the_borders_of_pieces() {
    let expected = with_tokens(&[(token_of(0, 0, 3), "a\nb\nc\n"), (token_of(1, 3, 2), "d\ne\n")]);
    let runs: [[&[&[u8]]; 2]; 2] = [
        [&[b"a\nb\nc\n"], &[b"d\n", b"e\n"]],
        [&[b"a\n", b"b\nc\n"], &[b"d\ne\n"]],
    ];
    for pieces in runs {
        for max_rows in [1, 3, 1000] {
            let world = World::new();
            let spool = world.open();
            let mut spec = patient(remote("s1"));
            spec.limits.max_rows = max_rows.max(3);
            let lane = spool.lane(&spec).unwrap();
            if max_rows == 1 {
                (0..9).for_each(|_| spool.strained(&destination("s1"), Strain::Size));
            }
            commit_pieces(&spool, lane, &pieces).await;
            assert_eq!(take_all(&spool).await, expected);
        }
    }
}

#[tokio::test]
async fn pieces_keep_their_tokens_when_they_are_cut_after_a_restart() {
    let world = World::new();
    let spool = world.open();
    let mut spec = patient(remote("s1"));
    // In front of it is one that waits.
    let lane = spool.lane(&spec).unwrap();
    world.commit(&spool, &[(lane, b"x\n", 1)]).await;
    commit_pieces(&spool, lane, &[&[b"a\n"], &[b"b\n", b"c\n"], &[b"d\n"]]).await;
    let (spool, _) = world.restart(spool);
    spec.limits.max_rows = 1;
    spool.lane(&spec).unwrap();
    spool.flush(None).await;
    let expected = [
        (token_of(0, 0, 1), "a\n"),
        (token_of(1, 1, 2), "b\nc\n"),
        (token_of(2, 3, 1), "d\n"),
    ];
    assert_eq!(take_all(&spool).await[1..], with_tokens(&expected));
}

#[tokio::test]
async fn large_pieces_have_the_same_tokens_wherever_they_were_staged() {
    let rows: Vec<Vec<u8>> = noise(3 << 20)
        .chunks(30_000)
        .map(|run| {
            let mut run: Vec<u8> = run.iter().map(|byte| byte | 0x80).collect();
            run.push(b'\n');
            run
        })
        .collect();
    let runs: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
    let pieces: Vec<&[&[u8]]> = runs.chunks(25).collect();
    let mut tokens = Vec::new();
    // In memory; in a staged file; in files of their own, some of them.
    for (inline_bytes_max, stage_memory_bytes) in
        [(16 << 20, 16 << 20), (64 << 10, 32 << 20), (64 << 10, 1 << 20)]
    {
        let mut world = World::new();
        world.options.inline_bytes_max = inline_bytes_max;
        world.options.stage_memory_bytes = stage_memory_bytes;
        let spool = world.open();
        let lane = spool.lane(&patient(remote("s1"))).unwrap();
        commit_pieces(&spool, lane, &pieces).await;
        let (spool, _) = world.restart(spool);
        spool.flush(None).await;
        let mut batches = Vec::new();
        for piece in &pieces {
            let to = destination("s1");
            let mut batch = tokio::time::timeout(Duration::from_secs(10), spool.next(&to))
                .await
                .unwrap()
                .unwrap();
            assert!(rows_of(&batch) == piece.concat());
            batches.push(batch.token().to_owned());
            spool.attempt(&mut batch, "h:1").await.unwrap();
            spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
        }
        tokens.push(batches);
    }
    assert_eq!(tokens[0][1], token_of(1, 25, 25));
    assert!(tokens[0] == tokens[1] && tokens[1] == tokens[2], "{tokens:?}");
}

#[tokio::test]
async fn an_outage_does_not_join_pieces() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    for rows in ["a\n", "b\n"] {
        let mut stage = spool
            .stage(InsertId::random(), Some(rows.into()), shape(), &lanes(lane))
            .in_pieces();
        stage.append(0, rows.as_bytes(), 1).unwrap();
        let staged = stage.finish().unwrap();
        spool.commit(staged, CommitHead::default()).await.unwrap();
    }
    world.commit(&spool, &[(lane, b"c\n", 1)]).await;
    world.commit(&spool, &[(lane, b"d\n", 1)]).await;
    spool.flush(None).await;
    let (spool, _) = world.restart(spool);
    let taken = take_all(&spool).await;
    let rows: Vec<&str> = taken.iter().map(|(_, rows)| rows.as_str()).collect();
    assert_eq!(rows[..2], ["a\n", "b\n"]);
    assert!(token::is_from_client(&taken[0].0) && token::is_from_client(&taken[1].0));
    assert_eq!(rows[2..].concat(), "c\nd\n");
}

/// Gives every second row to the second part.
#[derive(Debug)]
struct Halves(u64);

impl Divide for Halves {
    fn push(&mut self, raw: &[u8], give: &mut Give<'_>) -> Result<(), NotDivided> {
        for row in raw.split_inclusive(|byte| *byte == b'\n') {
            give((self.0 / 2).min(1) as usize, row, 1)?;
            self.0 += 1;
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Give<'_>) -> Result<(), NotDivided> {
        Ok(())
    }
}

#[tokio::test]
async fn the_parts_of_a_piece_that_is_too_much_have_the_same_tokens_at_every_router() {
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let world = World::new();
        let spool = world.open();
        let lane = spool.lane(&remote("s1")).unwrap();
        commit_pieces(&spool, lane, &[&[b"a\nb\nc\nd\n"]]).await;
        let mut batch = spool.next(&destination("s1")).await.unwrap();
        spool.attempt(&mut batch, "h:1").await.unwrap();
        let error = "too many partitions".to_owned();
        let outcome = Outcome::TooMuch { code: None, error };
        spool.settle(&batch, outcome).await.unwrap();
        spool.divide(&batch, 2, Box::new(Halves(0))).await.unwrap();
        drop(batch);
        tokens.push(take_all(&spool).await);
    }
    let whole = token_of(0, 0, 4);
    let part = |number| token::of_part(&whole, number, 2).unwrap();
    assert_eq!(
        tokens[0],
        with_tokens(&[(part(0), "a\nb\n"), (part(1), "c\nd\n")])
    );
    assert_eq!(tokens[0], tokens[1]);
}

#[tokio::test]
async fn a_batch_that_other_routers_have_too_is_tried_under_a_name_of_its_own() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    commit_pieces(&spool, lane, &[&[b"a\n"]]).await;
    commit_pieces(&spool, lane, &[&[b"a\n"]]).await;
    let mut first = spool.next(&destination("s1")).await.unwrap();
    spool.attempt(&mut first, "h:1").await.unwrap();
    spool.settle(&first, Outcome::Acknowledged).await.unwrap();
    let (token, name) = (first.token().to_owned(), first.name());
    drop(first);
    let second = spool.next(&destination("s1")).await.unwrap();
    assert_eq!(second.token(), token);
    assert_ne!(second.name(), name);
    assert!(name.starts_with(&token));
}

/// What a shard has: the rows that came first under each token.
type Shard = BTreeMap<String, String>;

/// Sends for a moment, or until the spool fails.
async fn send_to(shard: &mut Shard, spool: &Spool) {
    let to = destination("s1");
    while let Ok(Ok(mut batch)) = tokio::time::timeout(Duration::from_millis(300), spool.next(&to)).await {
        if spool.attempt(&mut batch, "h:1").await.is_err() {
            return;
        }
        let rows = String::from_utf8(rows_on(spool, &batch)).unwrap();
        let there = shard
            .entry(batch.token().to_owned())
            .or_insert_with(|| rows.clone());
        assert_eq!(*there, rows, "a token with two contents");
        if spool.settle(&batch, Outcome::Acknowledged).await.is_err() {
            return;
        }
    }
}

fn rows_on(spool: &Spool, batch: &Batch) -> Vec<u8> {
    let file = spool.shared().files.disk.open_read(batch.path()).unwrap();
    let mut rows = Vec::new();
    let reader = crate::bin_file::BinReader::new(file).unwrap();
    reader.write_rows(&mut rows).unwrap();
    rows
}

fn small_options() -> Options {
    Options {
        segment_bytes: 4 << 10,
        inline_bytes_max: 512,
        stage_memory_bytes: 256,
        ..Options::at("/spool")
    }
}

/// Pieces of which the second is large: 40 rows that do not compress.
fn crash_pieces() -> Vec<String> {
    let row = |number: u64| format!("{:032x}\n", xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()));
    [0..2, 2..42, 42..43].map(|rows| rows.map(row).collect()).to_vec()
}

/// The disk fails at one operation, then the power goes. What the shard has in the end, and how many operations there were.
async fn crash_at(operation: u64) -> (Shard, u64) {
    let disk = SimDisk::default();
    disk.fail_after(operation, io::ErrorKind::Other);
    let mut shard = Shard::new();
    let mut was_accepted = false;
    if let Ok((spool, _)) = Spool::open_on(Arc::new(disk.clone()), small_options(), None) {
        let lane = spool.lane(&patient(remote("s1"))).unwrap();
        let mut stage = spool
            .stage(InsertId::random(), Some(TOKEN.into()), shape(), &lanes(lane))
            .in_pieces();
        let staged = crash_pieces().iter().try_for_each(|rows| {
            rows.split_inclusive('\n')
                .try_for_each(|row| stage.append(0, row.as_bytes(), 1))?;
            stage.end_piece(0)
        });
        if let Ok(staged) = staged.and_then(|()| stage.finish()) {
            was_accepted = spool.commit(staged, CommitHead::default()).await.is_ok();
        }
        send_to(&mut shard, &spool).await;
    }
    let operations = disk.operations();
    disk.heal();
    let after = disk.after_power_loss(operation);
    let (spool, _) = Spool::open_on(Arc::new(after), small_options(), None).unwrap();
    // Fewer rows fit into a batch by now, which changes nothing.
    let mut spec = patient(remote("s1"));
    spec.limits.max_rows = 1;
    spool.lane(&spec).unwrap();
    send_to(&mut shard, &spool).await;
    assert!(!was_accepted || !shard.is_empty(), "operation {operation}");
    (shard, operations)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_write_fails_the_tokens_are_those_that_another_router_finds() {
    let (expected, operations) = crash_at(u64::MAX).await;
    let [first, second, third] = crash_pieces().try_into().unwrap();
    let pieces = [
        (token_of(0, 0, 2), first),
        (token_of(1, 2, 40), second),
        (token_of(2, 42, 1), third),
    ];
    assert_eq!(expected, pieces.into());
    let tasks: Vec<_> = (0..operations)
        .map(|operation| tokio::spawn(crash_at(operation)))
        .collect();
    for task in tasks {
        let (shard, _) = task.await.unwrap();
        assert!(shard.is_empty() || shard == expected, "{shard:?}");
    }
}
