//! `[send]`: how batches are cut and sent, and how an INSERT is answered. Every key may also stand in a
//! `[[table]]`, where it holds for that table alone.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::file::Section;
use crate::units::show_duration;

/// `[send]`, complete: what a table says over what the file says over the defaults.
///
/// Not called `Send`, which would hide the standard trait from whoever imports everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendSettings {
    /// Rows of a batch; at most [`MAX_BATCH_ROWS`].
    pub max_batch_rows: u64,
    /// Uncompressed bytes of a batch.
    pub max_batch_bytes: u64,
    /// How long the oldest row waits for its batch to fill.
    pub max_batch_delay: Duration,
    /// The pause before the first retry; it doubles with each further one.
    pub sleep_time: Duration,
    /// The longest pause between retries.
    pub max_sleep_time: Duration,
    /// Batches being sent to one replica at a time.
    pub max_inflight_per_replica: u64,
    /// How long an INSERT's answer waits for the local replica.
    pub local_insert_timeout: Duration,
    /// How long a client's insert_deduplication_token is remembered; zero is not at all.
    pub insert_token_window: Duration,
    /// How long a client-given query_id is remembered with its body; zero is not at all.
    pub query_id_window: Duration,
    /// How long an INSERT's body is remembered, where it is; zero is not at all.
    pub identical_insert_window: Duration,
    /// Where INSERTs are recognised by their body alone.
    pub identical_inserts: IdenticalInserts,
    /// What becomes of a client's insert_deduplication_token.
    pub client_tokens: ClientTokens,
    /// What becomes of a batch whose doubt cannot be resolved; `None` decides by the target: hold where it
    /// deduplicates, send where it does not.
    pub on_doubt: Option<OnDoubt>,
    /// Whether batches of one destination and shape are first tried in commit order.
    pub ordered: bool,
    /// How much of a row is checked before the 200.
    pub validate: Validate,
    /// What a 200 means.
    pub ack: Ack,
    /// How long a foreground INSERT waits before it is answered from the spool; `None` waits to the end.
    pub foreground_fallback_timeout: Option<Duration>,
}

/// What becomes of a client's insert_deduplication_token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTokens {
    /// Weir itself recognises the retry.
    Weir,
    /// The token travels to the shards, so that a retry through another router is recognised too.
    Shard,
}

/// Where the same body again is taken for a retry, without a token or query id that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdenticalInserts {
    /// Where the target drops a repeated block by itself, as ClickHouse does.
    WhereTargetDeduplicates,
    /// On any target: the `[[table]]` itself says how long.
    Always,
}

/// What becomes of a batch of which nobody can say whether a shard has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDoubt {
    /// It is set aside for an operator.
    Hold,
    /// It is sent again.
    Send,
}

/// How much of a row is checked before the 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validate {
    /// Its borders and the sharding key's columns.
    Key,
    /// Every value.
    Values,
}

/// What a 200 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// Every row is in the spool, and the local share in its replica.
    Spooled,
    /// Every row is on its shard.
    Delivered,
}

/// One batch is one block, and ClickHouse splits an INSERT at max_insert_block_size, which Weir pins to this.
pub const MAX_BATCH_ROWS: u64 = 1_000_000;

/// One block of a shard's memory; larger ones gain nothing and are refused by careful memory limits.
const BATCH_BYTES: RangeInclusive<u64> = 1024..=(1 << 30);
/// A batch that waits longer was meant to be a backup.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Entries are bounded in number as well; nobody retries an INSERT after a week.
const WINDOW_MAX: Duration = Duration::from_secs(7 * 86_400);
/// More simultaneous INSERTs into one replica make parts faster than it can merge them.
const INFLIGHT: RangeInclusive<u64> = 1..=256;
/// A retry without any pause would be a busy loop.
const SLEEP: RangeInclusive<Duration> = Duration::from_millis(1)..=WAIT_MAX;

impl Default for SendSettings {
    fn default() -> SendSettings {
        SendSettings {
            max_batch_rows: MAX_BATCH_ROWS,
            max_batch_bytes: 64 << 20,
            max_batch_delay: Duration::from_secs(1),
            sleep_time: Duration::from_millis(100),
            max_sleep_time: Duration::from_secs(30),
            max_inflight_per_replica: 4,
            local_insert_timeout: Duration::from_secs(1),
            insert_token_window: Duration::from_secs(3600),
            query_id_window: Duration::from_secs(120),
            identical_insert_window: Duration::from_secs(600),
            identical_inserts: IdenticalInserts::WhereTargetDeduplicates,
            client_tokens: ClientTokens::Weir,
            on_doubt: None,
            ordered: true,
            validate: Validate::Key,
            ack: Ack::Spooled,
            foreground_fallback_timeout: None,
        }
    }
}

impl SendSettings {
    /// What `[send]` says over the defaults.
    pub(crate) fn of_file(section: &Section<'_>) -> SendSettings {
        SendSettings::default().overridden_by(section)
    }

    /// What a `[[table]]` says over `[send]`.
    pub(crate) fn of_table(&self, section: &Section<'_>) -> SendSettings {
        let mut settings = self.overridden_by(section);
        if section.has("identical_insert_window") {
            settings.identical_inserts = IdenticalInserts::Always;
        }
        settings
    }

    /// These settings with what `section` says over them.
    fn overridden_by(&self, section: &Section<'_>) -> SendSettings {
        let count = |key, range, own| section.count(key, range).map_or(own, |count| count.value);
        let duration = |key, range, own| {
            section
                .duration(key, range)
                .map_or(own, |duration| duration.value)
        };
        let wait = || Duration::ZERO..=WAIT_MAX;
        let fallback = section.duration("foreground_fallback_timeout", wait());
        let settings = SendSettings {
            max_batch_rows: count("max_batch_rows", 1..=MAX_BATCH_ROWS, self.max_batch_rows),
            max_batch_bytes: read_batch_bytes(section, self.max_batch_bytes),
            max_batch_delay: duration("max_batch_delay", wait(), self.max_batch_delay),
            sleep_time: duration("sleep_time", SLEEP, self.sleep_time),
            max_sleep_time: duration("max_sleep_time", SLEEP, self.max_sleep_time),
            max_inflight_per_replica: count(
                "max_inflight_per_replica",
                INFLIGHT,
                self.max_inflight_per_replica,
            ),
            local_insert_timeout: duration("local_insert_timeout", wait(), self.local_insert_timeout),
            insert_token_window: read_window(section, "insert_token_window", self.insert_token_window),
            query_id_window: read_window(section, "query_id_window", self.query_id_window),
            identical_insert_window: read_window(
                section,
                "identical_insert_window",
                self.identical_insert_window,
            ),
            identical_inserts: self.identical_inserts,
            client_tokens: read_client_tokens(section).unwrap_or(self.client_tokens),
            on_doubt: read_on_doubt(section).or(self.on_doubt),
            ordered: section.flag("ordered").map_or(self.ordered, |flag| flag.value),
            validate: read_validate(section).unwrap_or(self.validate),
            ack: read_ack(section).unwrap_or(self.ack),
            foreground_fallback_timeout: fallback
                .map(|wait| wait.value)
                .or(self.foreground_fallback_timeout),
        };
        check_sleep(section, &settings);
        settings
    }
}

fn read_batch_bytes(section: &Section<'_>, own: u64) -> u64 {
    section
        .bytes("max_batch_bytes", BATCH_BYTES)
        .map_or(own, |bytes| bytes.value)
}

/// A window of retries.
fn read_window(section: &Section<'_>, key: &'static str, own: Duration) -> Duration {
    let window = section.duration(key, Duration::ZERO..=WINDOW_MAX);
    window.map_or(own, |window| window.value)
}

fn read_client_tokens(section: &Section<'_>) -> Option<ClientTokens> {
    let words = [("weir", ClientTokens::Weir), ("shard", ClientTokens::Shard)];
    section.choice("client_tokens", &words).map(|word| word.value)
}

fn read_on_doubt(section: &Section<'_>) -> Option<OnDoubt> {
    let words = [("hold", OnDoubt::Hold), ("send", OnDoubt::Send)];
    section.choice("on_doubt", &words).map(|word| word.value)
}

fn read_validate(section: &Section<'_>) -> Option<Validate> {
    let words = [("key", Validate::Key), ("values", Validate::Values)];
    section.choice("validate", &words).map(|word| word.value)
}

fn read_ack(section: &Section<'_>) -> Option<Ack> {
    let words = [("spooled", Ack::Spooled), ("delivered", Ack::Delivered)];
    section.choice("ack", &words).map(|word| word.value)
}

/// Told where one of the two was said; a table that says neither has what the file says.
fn check_sleep(section: &Section<'_>, settings: &SendSettings) {
    let said = section.has("sleep_time") || section.has("max_sleep_time");
    if said && settings.sleep_time > settings.max_sleep_time {
        let (first, most) = (
            show_duration(settings.sleep_time),
            show_duration(settings.max_sleep_time),
        );
        let offset = section
            .offset_of("sleep_time")
            .max(section.offset_of("max_sleep_time"));
        section.source.mistake(
            offset,
            format!("sleep_time ({first}) is more than max_sleep_time ({most})"),
        );
    }
}
