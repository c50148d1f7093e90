use std::ops::Range;

use proptest::prelude::*;

use super::*;

// === A value of every kind ===

pub(crate) fn destination(shard: &str) -> Destination {
    Destination {
        table: "default.hits".into(),
        shard: shard.into(),
        replica: Some("ch-01-a:8123".into()),
    }
}

pub(crate) fn insert_id(byte: u8) -> InsertId {
    InsertId(Uuid::from_bytes([byte; 16]))
}

pub(crate) fn shape() -> Shape {
    Shape {
        cluster: "main".into(),
        epoch: 7,
        table: "default.hits".into(),
        columns: vec![("id".into(), "UInt64".into()), ("name".into(), "String".into())],
        format: "TabSeparated".into(),
        settings: vec![("insert_deduplicate".into(), "1".into())],
    }
}

fn lane() -> LaneKey {
    let destinations = vec![destination("s01"), destination("s02")];
    LaneKey {
        table: "default.hits".into(),
        shard: "s01".into(),
        destinations,
        local: true,
    }
}

fn batch() -> BatchInfo {
    BatchInfo {
        rows: 3,
        raw_bytes: 30,
        file_bytes: 4000,
        created_at_ms: 1_700_000_000_000,
    }
}

pub(crate) fn commit() -> Commit {
    let staged_file = StagedFile {
        directory: destination("s01"),
        name: "tmp_insert_ab.bin".into(),
        batch: batch(),
    };
    Commit {
        number: 9,
        insert: insert_id(1),
        user: "app".into(),
        query_id: "q-1".into(),
        token: Some("t".into()),
        body_hash: Some(u128::MAX - 5),
        committed_at_ms: 1_700_000_000_001,
        awaits: Awaits::Local,
        shares: vec![Share {
            shard: 2,
            shape: 0,
            lanes: vec![0],
            parts: vec![
                Part::Inline {
                    arena: 0..10,
                    chunks: vec![Chunk {
                        rows: 1,
                        raw_bytes: 10,
                    }],
                },
                Part::Staged {
                    offset: 64,
                    frames: vec![Frame {
                        rows: 2,
                        raw_bytes: 20,
                        bytes: 45,
                    }],
                },
                Part::File(staged_file),
            ],
        }],
    }
}

fn settled(verdict: Verdict) -> Event {
    Event::Settled {
        destination: destination("s02"),
        seq: 4,
        verdict,
    }
}

/// A record in which every event, part and verdict stands once.
pub(crate) fn record() -> Record {
    let error = || "Code: 27. DB::Exception".to_owned();
    Record {
        lanes: vec![lane()],
        shapes: vec![shape()],
        events: vec![
            Event::Commit(commit()),
            Event::Go { insert: 9 },
            Event::Abort {
                insert: 300,
                code: Some(-27),
                text: error(),
            },
            Event::Cut(Cut {
                lane: 0,
                taken: vec![Taken {
                    insert: 9,
                    shard: 2,
                    units: 70_000,
                }],
                seqs: vec![4, 5],
                batch: batch(),
            }),
            Event::Attempting {
                destination: destination("s02"),
                seq: 4,
                attempt: 2,
                replica: "ch-01-b:8123".into(),
                at_ms: 1_700_000_000_002,
            },
            Event::Disproved {
                destination: destination("s02"),
                seq: 4,
            },
            settled(Verdict::Acknowledged),
            settled(Verdict::Retry { error: error() }),
            settled(Verdict::Held { error: error() }),
            settled(Verdict::Broken { error: error() }),
            settled(Verdict::Requeued),
            settled(Verdict::Dropped),
            Event::Recut {
                destination: destination("s02"),
                seq: 4,
                into: vec![Recut {
                    seq: 6,
                    insert: insert_id(1),
                    batch: batch(),
                }],
            },
            Event::Joined(Joined {
                destination: destination("s02"),
                seqs: vec![6, 7],
                into: 300,
                batch: batch(),
            }),
            Event::DestinationHeld {
                destination: destination("s02"),
                error: error(),
            },
            Event::DestinationResumed {
                destination: destination("s02"),
            },
        ],
        arena: b"0123456789".to_vec(),
    }
}

/// The events of version 4.
pub(crate) fn record_of_version_4() -> Record {
    let mut record = record();
    record.events.retain(|event| !matches!(event, Event::Joined(_)));
    record
}

/// The same as version 3 had it: without the time of an attempt.
pub(crate) fn record_of_version_3() -> Record {
    let mut record = record_of_version_4();
    for event in &mut record.events {
        if let Event::Attempting { at_ms, .. } = event {
            *at_ms = 0;
        }
    }
    record
}

/// The events of versions 1 and 2.
pub(crate) fn record_of_version_2() -> Record {
    let mut record = record_of_version_3();
    record
        .events
        .retain(|event| !matches!(event, Event::Disproved { .. }));
    record
}

pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint {
        segment: 12,
        next_insert: 10,
        lanes: vec![lane()],
        uncut: vec![UncutMark {
            lane: 0,
            insert: 9,
            shard: 2,
            units_cut: 1,
        }],
        pending: vec![PendingMark {
            insert: 9,
            id: insert_id(1),
            batches: vec![(0, 4)],
        }],
        destinations: vec![DestinationMark {
            destination: destination("s02"),
            next_seq: 7,
            held: Some("wrong password".into()),
            // The first is a joined one.
            waiting: [6, 4].map(|seq| WaitingMark { seq, batch: batch() }).to_vec(),
            batches: vec![BatchMark {
                seq: 4,
                attempts: 2,
                doubt: doubt(),
                verdict: Some(Verdict::Held {
                    error: "doubt".into(),
                }),
            }],
        }],
    }
}

fn doubt() -> Doubt {
    Doubt {
        open: Some("ch-01-b:8123".into()),
        earlier: Some("ch-01-a:8123".into()),
        since_ms: 1_700_000_000_000,
    }
}

/// The same as versions 1 and 2 of the journal had it: numbers in runs without sizes, and the replica that was tried last.
pub(crate) fn checkpoint_of_version_2() -> Checkpoint {
    let mut checkpoint = checkpoint();
    let mark = &mut checkpoint.destinations[0];
    mark.waiting = [1, 2, 3, 5, 6].map(WaitingMark::unmeasured).to_vec();
    mark.batches[0].doubt = Doubt {
        earlier: None,
        since_ms: 0,
        ..doubt()
    };
    checkpoint
}

/// The same as version 4 had it: without a joined batch.
pub(crate) fn checkpoint_of_version_4() -> Checkpoint {
    let mut checkpoint = checkpoint();
    checkpoint.destinations[0].waiting.retain(|mark| mark.seq == 4);
    checkpoint
}

/// The same as version 3 had it: without the time of an attempt.
pub(crate) fn checkpoint_of_version_3() -> Checkpoint {
    let mut checkpoint = checkpoint_of_version_4();
    checkpoint.destinations[0].batches[0].doubt.since_ms = 0;
    checkpoint
}

pub(crate) fn trailer() -> Trailer {
    Trailer {
        shape: shape(),
        shard: "s01".into(),
        token: "00ff".into(),
        rows: 3,
        raw_bytes: 30,
        frames_bytes: 90,
        frames_crc32: 0xdead_beef,
        created_at_ms: 1_700_000_000_000,
        segments: vec![segment(1, 0..10, 0..1), segment(2, 10..30, 1..3)],
    }
}

fn segment(insert: u8, raw: Range<u64>, rows: Range<u64>) -> Segment {
    Segment {
        insert: insert_id(insert),
        client_token: Some("t".into()),
        raw,
        rows,
    }
}

// === The specification ===

#[test]
fn every_event_comes_back_as_it_was() {
    assert_eq!(
        decode_record(encode_record(&record()).unwrap()).unwrap(),
        record()
    );
}

#[test]
fn an_empty_record_comes_back() {
    let empty = Record::default();
    assert_eq!(decode_record(encode_record(&empty).unwrap()).unwrap(), empty);
}

#[test]
fn a_checkpoint_comes_back_as_it_was() {
    assert_eq!(
        decode_checkpoint(&encode_checkpoint(&checkpoint()).unwrap()).unwrap(),
        checkpoint()
    );
}

#[test]
fn a_trailer_comes_back_as_it_was() {
    assert_eq!(
        decode_trailer(&encode_trailer(&trailer()).unwrap()).unwrap(),
        trailer()
    );
}

#[test]
fn rows_lie_raw_behind_the_facts() {
    assert!(encode_record(&record()).unwrap().ends_with(b"0123456789"));
}

#[test]
fn bytes_of_version_1_are_these() {
    let go = Record {
        events: vec![Event::Go { insert: 300 }],
        arena: b"row".to_vec(),
        ..Record::default()
    };
    // Length of the facts; no lanes, no shapes, one event: tag 2, 300 as a varint of two bytes; the rows.
    assert_eq!(
        encode_record(&go).unwrap(),
        b"\x07\0\0\0\x00\x00\x01\x02\xfb\x2c\x01row"
    );
}

#[test]
fn facts_cut_at_any_byte_are_an_error() {
    let body = encode_record(&record()).unwrap();
    for bytes in 0..body.len() - record().arena.len() {
        assert!(decode_record(body[..bytes].to_vec()).is_err(), "{bytes}");
    }
    let bytes = encode_trailer(&trailer()).unwrap();
    for cut in 0..bytes.len() {
        assert!(decode_trailer(&bytes[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn bytes_left_over_are_an_error() {
    let mut bytes = encode_trailer(&trailer()).unwrap();
    bytes.push(0);
    let error = decode_trailer(&bytes).unwrap_err();
    assert!(matches!(error, CodecError::Surplus { .. }), "{error}");
}

#[test]
fn an_unknown_event_is_named() {
    let error = decode_record(b"\x04\0\0\0\x00\x00\x01\x63".to_vec())
        .unwrap_err()
        .to_string();
    assert!(error.contains("Event has no variant 99"), "{error}");
}

#[test]
fn a_list_that_claims_more_than_its_bytes_can_hold_takes_no_memory() {
    // 2^60 columns.
    let bytes = b"\x01c\x01\x01t\xfd\0\0\0\0\0\0\0\x10";
    assert!(decode_trailer(bytes).is_err());
}

#[test]
fn the_leanest_values_are_within_the_memory_that_decoding_allows() {
    let go = vec![Event::Go { insert: 1 }; 100_000];
    let lean = Record {
        events: go,
        ..Record::default()
    };
    assert_eq!(decode_record(encode_record(&lean).unwrap()).unwrap(), lean);
    let mut lean = trailer();
    lean.shape.columns = vec![(String::new(), String::new()); 100_000];
    assert_eq!(decode_trailer(&encode_trailer(&lean).unwrap()).unwrap(), lean);
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let mut large = trailer();
    large.token = "x".repeat(ENCODED_BYTES_MAX);
    assert!(matches!(encode_trailer(&large), Err(CodecError::TooLarge { .. })));
}

proptest! {
    #[test]
    fn any_bytes_give_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_trailer(&bytes);
        let _ = decode_checkpoint(&bytes);
        let _ = decode_record(bytes);
    }

    #[test]
    fn a_record_with_any_byte_changed_gives_a_value_or_an_error(at in 0usize..400, byte: u8) {
        let mut body = encode_record(&record()).unwrap();
        let at = at % body.len();
        body[at] = byte;
        let _ = decode_record(body);
    }
}
