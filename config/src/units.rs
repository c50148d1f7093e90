//! Sizes ("64MiB"), durations ("1s") and the disk reserve ("5%") as they are written in the file.

use std::time::Duration;

/// Part of a disk that is kept free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// A number of bytes.
    Bytes(u64),
    /// Hundredths of a percent of the disk's size: 500 is "5%".
    HundredthsOfPercent(u32),
}

impl Reserve {
    /// The bytes to keep free on a disk of `disk_bytes`, rounded up.
    pub fn bytes_of(self, disk_bytes: u64) -> u64 {
        match self {
            Reserve::Bytes(bytes) => bytes,
            Reserve::HundredthsOfPercent(part) => {
                let bytes = (u128::from(disk_bytes) * u128::from(part)).div_ceil(10_000);
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
        }
    }
}

/// Units of bytes. "K", "M" and "G" mean 1024 in ClickHouse and 1000 elsewhere: only the unmistakable are
/// taken.
const BYTE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Units of time, in microseconds.
const TIME_UNITS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Reads a size: a number of bytes with its unit, "64MiB", "1.5GB", "0".
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    scaled(text, BYTE_UNITS).ok_or_else(|| format!("'{text}' is not a size: write it as '64MiB' or '10GB'"))
}

/// Reads a duration, "100ms", "1.5h", "0".
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let micros = scaled(text, TIME_UNITS);
    micros
        .map(Duration::from_micros)
        .ok_or_else(|| format!("'{text}' is not a duration: write it as '100ms', '30s', '10m', '1h' or '7d'"))
}

/// Reads a reserve: a size, or a percentage of at most two decimals.
pub(crate) fn parse_reserve(text: &str) -> Result<Reserve, String> {
    let Some(percent) = text.strip_suffix('%') else {
        return parse_bytes(text).map(Reserve::Bytes);
    };
    let part = decimal(percent.trim_end(), 100).and_then(|part| u32::try_from(part).ok());
    part.filter(|part| *part <= 10_000)
        .map(Reserve::HundredthsOfPercent)
        .ok_or_else(|| format!("'{text}' is not a part of the disk: write it as '5%' or '20GiB'"))
}

/// A size as it would be written: in the largest binary unit that holds it whole.
pub(crate) fn show_bytes(bytes: u64) -> String {
    let whole = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fits = |&&(_, shift): &&(&str, u32)| bytes >> shift != 0 && bytes.trailing_zeros() >= shift;
    match whole.iter().find(fits) {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// A duration as it would be written: in the largest unit that holds it whole.
pub(crate) fn show_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let fits =
        |&&(_, scale): &&(&str, u64)| micros >= u128::from(scale) && micros.is_multiple_of(scale.into());
    match TIME_UNITS.iter().rev().find(fits) {
        Some((unit, scale)) => format!("{}{unit}", micros / u128::from(*scale)),
        None => "0s".to_owned(),
    }
}

/// A number and its unit in units of 1; a plain "0" needs none.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let number_ends = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    match unit.trim_start() {
        "" => (number == "0").then_some(0),
        unit => decimal(number, units.iter().find(|(name, _)| *name == unit)?.1),
    }
}

/// `number * scale` exactly, for digits with at most one point; `None` when it is not a whole number of
/// units or exceeds 64 bits.
fn decimal(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction_unit = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction_scaled = u128::from(fraction.parse::<u64>().ok()?) * u128::from(scale);
    if fraction_scaled % u128::from(fraction_unit) != 0 {
        return None;
    }
    let fraction_part = u64::try_from(fraction_scaled / u128::from(fraction_unit)).ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(scale)?
        .checked_add(fraction_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_bytes(text: &str, expected: Option<u64>) {
        assert_eq!(parse_bytes(text).ok(), expected, "{text}");
    }

    #[track_caller]
    fn check_duration(text: &str, expected: Option<Duration>) {
        assert_eq!(parse_duration(text).ok(), expected, "{text}");
    }

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        check_bytes("64MiB", Some(64 << 20));
        check_bytes("64 MiB", Some(64 << 20));
        check_bytes("1.5GB", Some(1_500_000_000));
        check_bytes("0.5KiB", Some(512));
        check_bytes("7B", Some(7));
        check_bytes("0", Some(0));
    }

    #[test]
    fn a_size_that_could_mean_two_things_is_refused() {
        for text in [
            "64", "64M", "64mib", "", "MiB", "-1MiB", "1e3B", "1.MiB", ".5MiB", "1.2.3MiB", "64MiB x",
        ] {
            check_bytes(text, None);
        }
    }

    #[test]
    fn a_size_must_be_whole_bytes_within_64_bits() {
        check_bytes("0.3B", None);
        check_bytes("16777216TiB", None);
        check_bytes("99999999999999999999B", None);
        check_bytes("16777215TiB", Some(16_777_215 << 40));
    }

    #[test]
    fn durations_are_read_from_microseconds_to_days() {
        check_duration("100ms", Some(Duration::from_millis(100)));
        check_duration("1.5h", Some(Duration::from_secs(5400)));
        check_duration("250us", Some(Duration::from_micros(250)));
        check_duration("7d", Some(Duration::from_secs(604_800)));
        check_duration("0s", Some(Duration::ZERO));
        check_duration("0", Some(Duration::ZERO));
        for text in ["30", "1min", "-1s", "s", "1 s s", "∞"] {
            check_duration(text, None);
        }
    }

    #[test]
    fn a_reserve_is_bytes_or_a_percentage_of_the_disk() {
        assert_eq!(parse_reserve("5%"), Ok(Reserve::HundredthsOfPercent(500)));
        assert_eq!(parse_reserve("2.25 %"), Ok(Reserve::HundredthsOfPercent(225)));
        assert_eq!(parse_reserve("20GiB"), Ok(Reserve::Bytes(20 << 30)));
        assert!(parse_reserve("101%").is_err());
        assert!(parse_reserve("%").is_err());
    }

    #[test]
    fn a_percentage_of_the_largest_disk_does_not_overflow() {
        assert_eq!(Reserve::HundredthsOfPercent(500).bytes_of(1000), 50);
        assert_eq!(Reserve::HundredthsOfPercent(1).bytes_of(1), 1);
        assert_eq!(Reserve::HundredthsOfPercent(10_000).bytes_of(u64::MAX), u64::MAX);
        assert_eq!(Reserve::Bytes(7).bytes_of(1000), 7);
    }

    proptest! {
        #[test]
        fn a_shown_size_reads_back_as_itself(bytes: u64) {
            prop_assert_eq!(parse_bytes(&show_bytes(bytes)), Ok(bytes));
        }

        #[test]
        fn a_shown_duration_reads_back_as_itself(micros: u64) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            let _ = (parse_bytes(&text), parse_duration(&text), parse_reserve(&text));
        }
    }
}
