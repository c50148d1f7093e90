//! `[spool]`: where accepted rows are kept, how durably, and how many.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::file::Section;
use crate::units::{Reserve, parse_reserve, show_bytes};

/// `[spool]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// What keeps the rows.
    pub provider: Provider,
    /// The spool's directory, which belongs to one router.
    pub path: PathBuf,
    /// Whether an INSERT is answered only when its rows are on the disk itself.
    pub fsync_after_insert: bool,
    /// Bytes waiting for one destination from which its INSERTs are delayed.
    pub bytes_to_delay_insert: u64,
    /// Bytes waiting for one destination from which its INSERTs get 503.
    pub bytes_to_throw_insert: u64,
    /// How long an INSERT is delayed before it gets 503.
    pub max_delay_to_insert: Duration,
    /// Bytes of all destinations together, sent/ included; sent/ is evicted first, then INSERTs get 503.
    pub max_bytes: u64,
    /// What new INSERTs never take of the disk.
    pub reserve: Reserve,
    /// How long an acknowledged batch stays in sent/; zero keeps none.
    pub sent_retention_time: Duration,
    /// Bytes that sent/ of all destinations together may hold; the oldest go first.
    pub sent_retention_bytes: u64,
    /// Bytes that broken/ of one destination may hold; a batch that would go there beyond them is held in its place.
    pub broken_bytes_max: u64,
}

/// What keeps accepted rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The directory `path`.
    Disk,
    /// Topics of a Kafka cluster.
    Kafka,
}

const PATH_DEFAULT: &str = "/var/lib/weir";
const GIB: u64 = 1 << 30;
const ANY_BYTES: RangeInclusive<u64> = 0..=u64::MAX;
/// Keeping batches longer than this is a backup's work.
const RETENTION_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Longer, and every client has given up: the default of ClickHouse's `http_receive_timeout` is 30 s.
const DELAY_MAX: Duration = Duration::from_secs(600);

impl Spool {
    pub(crate) fn read(section: &Section<'_>) -> Spool {
        let bytes = |key, default| section.bytes(key, ANY_BYTES).map_or(default, |bytes| bytes.value);
        let duration = |key, most, default: u64| {
            let read = section.duration(key, Duration::ZERO..=most);
            read.map_or(Duration::from_secs(default), |duration| duration.value)
        };
        let path = section
            .text("path")
            .map_or_else(|| PATH_DEFAULT.to_owned(), |path| path.value);
        // The defaults give way to what the file says: a small spool needs only its max_bytes.
        let max_bytes = bytes("max_bytes", 100 * GIB);
        let bytes_to_throw_insert = bytes("bytes_to_throw_insert", max_bytes.min(8 * GIB));
        let spool = Spool {
            provider: read_provider(section),
            path: section.source.env.path(&path),
            fsync_after_insert: section.flag("fsync_after_insert").is_none_or(|flag| flag.value),
            bytes_to_delay_insert: bytes("bytes_to_delay_insert", bytes_to_throw_insert.min(4 * GIB)),
            bytes_to_throw_insert,
            max_delay_to_insert: duration("max_delay_to_insert", DELAY_MAX, 20),
            max_bytes,
            reserve: read_reserve(section),
            sent_retention_time: duration("sent_retention_time", RETENTION_MAX, 3600),
            sent_retention_bytes: bytes("sent_retention_bytes", max_bytes.min(10 * GIB)),
            broken_bytes_max: bytes("broken_bytes_max", max_bytes.min(GIB)),
        };
        check_path(section, &path);
        check_order(section, &spool);
        spool
    }
}

/// The provider, and Kafka's own keys, which are of no use to the disk.
fn read_provider(section: &Section<'_>) -> Provider {
    let providers = [("disk", Provider::Disk), ("kafka", Provider::Kafka)];
    let provider = section
        .choice("provider", &providers)
        .map_or(Provider::Disk, |provider| provider.value);
    section.texts("broker_endpoints");
    section.count("replication_factor", 1..=100);
    section.bytes("max_batch_size", 1024..=GIB);
    section.text("topic_prefix");
    for key in [
        "broker_endpoints",
        "replication_factor",
        "max_batch_size",
        "topic_prefix",
    ] {
        if section.has(key) && provider != Provider::Kafka {
            section
                .source
                .mistake(section.offset_of(key), format!("{key} needs provider = 'kafka'"));
        }
    }
    provider
}

/// More than half of the disk as a reserve is a slip of the pen.
fn read_reserve(section: &Section<'_>) -> Reserve {
    let default = Reserve::HundredthsOfPercent(500);
    let reserve = section.parsed("reserve_bytes", parse_reserve);
    match reserve.as_ref().map(|reserve| reserve.value) {
        Some(Reserve::HundredthsOfPercent(part)) if part > 5000 => {
            section.source.mistake(
                section.offset_of("reserve_bytes"),
                "reserve_bytes is more than half of the disk",
            );
            default
        }
        Some(reserve) => reserve,
        None => default,
    }
}

fn check_path(section: &Section<'_>, path: &str) {
    if path.is_empty() {
        section
            .source
            .mistake(section.offset_of("path"), "path: the spool needs a directory");
    }
}

/// Limits in the wrong order would make one of them mean nothing.
fn check_order(section: &Section<'_>, spool: &Spool) {
    let throw = spool.bytes_to_throw_insert;
    let ordered = [
        (
            "bytes_to_delay_insert",
            spool.bytes_to_delay_insert,
            "bytes_to_throw_insert",
            throw,
        ),
        ("bytes_to_throw_insert", throw, "max_bytes", spool.max_bytes),
        (
            "sent_retention_bytes",
            spool.sent_retention_bytes,
            "max_bytes",
            spool.max_bytes,
        ),
        (
            "broken_bytes_max",
            spool.broken_bytes_max,
            "max_bytes",
            spool.max_bytes,
        ),
    ];
    for (lesser, lesser_bytes, greater, greater_bytes) in ordered {
        if lesser_bytes > greater_bytes {
            let (less, more) = (show_bytes(lesser_bytes), show_bytes(greater_bytes));
            let text = format!("{lesser} ({less}) is more than {greater} ({more})");
            section.source.mistake(section.offset_of(lesser), text);
        }
    }
}
