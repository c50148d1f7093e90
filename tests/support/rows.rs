//! Rows that follow from a seed: nothing has to be kept to know later what was sent.

use std::ops::Range;

/// The columns of every table of the suites, as CREATE TABLE wants them.
pub const COLUMNS: &str =
    "user_id UInt64, ts DateTime, url String, country String, duration UInt32, payload String";

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The sharding key's column; all 64 bits are used.
    pub user_id: u64,
    /// Seconds since 1970, a `DateTime`.
    pub ts: u32,
    /// Plain text.
    pub url: String,
    /// Two letters of few different values, or none.
    pub country: String,
    /// Any number.
    pub duration: u32,
    /// Text with everything that formats must escape.
    pub payload: String,
}

/// What payloads are made of: each piece has broken some reader of some format.
const PIECES: [&str; 20] = [
    "",
    "plain",
    "tab\there",
    "two\nlines",
    "cr\r\nlf",
    "a \"quoted\" word",
    "it's",
    "back\\slash",
    "\\N",
    "\\n",
    "),(",
    "}\n{",
    ",",
    "],[",
    "naïve café",
    "日本語",
    "🦀🦀",
    "NULL",
    "\u{1}\u{7f}",
    " ends in space ",
];
const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "JP", "BR", "IN", "ZA", ""];
/// 2020-01-01 00:00:00 UTC.
const FIRST_TS: u32 = 1_577_836_800;
const YEARS_5: u64 = 5 * 365 * 86_400;

/// The rows `range` of the endless sequence that `seed` stands for.
pub fn rows(seed: u64, range: Range<u64>) -> impl Iterator<Item = Row> + Clone {
    range.map(move |number| row(seed, number))
}

/// Row `number` of a sequence.
pub fn row(seed: u64, number: u64) -> Row {
    let mut random = SplitMix::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
    let user_id = random.next();
    let ts = FIRST_TS + u32::try_from(random.below(YEARS_5)).expect("five years of seconds fit");
    let url = format!("https://example.org/{}/item?id={number}", random.below(1000));
    let country = pick(&COUNTRIES, &mut random).to_owned();
    let duration = (random.next() >> 32) as u32;
    let payload = (0..random.below(4)).map(|_| pick(&PIECES, &mut random)).collect();
    Row {
        user_id,
        ts,
        url,
        country,
        duration,
        payload,
    }
}

fn pick<'a>(from: &[&'a str], random: &mut SplitMix) -> &'a str {
    from[usize::try_from(random.below(from.len() as u64)).expect("a small number")]
}

/// Vigna's SplitMix64: enough randomness for tests, and the same on every platform.
#[derive(Debug, Clone)]
pub struct SplitMix(u64);

impl SplitMix {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[allow(
        clippy::should_implement_trait,
        reason = "it never ends, and nobody iterates over it"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
