//! Which batches a replay is about: files of sent/, broken/ or anywhere, by table, shard and the time of
//! their cut.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use spool::bin_file::BinInfo;
use spool::inspect::{self, FileState, Filter};

use super::told;
use crate::cli::CommandError;
use crate::cli::table::counted;

/// Directories inside each other that are searched: a whole spool copied into a directory has three.
const DEPTH_MAX: usize = 6;

/// Which batches.
#[derive(Debug, Args)]
pub struct ChoiceArgs {
    /// Only of this distributed table.
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// Only of this shard.
    #[arg(long, value_name = "SHARD")]
    shard: Option<String>,
    /// Only batches cut at this time or later: '2h' ago (s, m, h, d), '2026-11-21 14:00' in UTC, or RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<Time>,
    /// Only batches cut before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Time>,
    /// Where they lie: 'sent' or 'broken' of the spool, or a directory (searched to its bottom) or file; may
    /// be repeated.
    #[arg(long, value_name = "sent|broken|PATH", default_value = "sent")]
    from: Vec<String>,
}

/// A time as it was said: the same words are the same time only at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    /// So many milliseconds before now.
    Ago(u64),
    /// Milliseconds since 1970.
    At(u64),
}

/// A batch and its file.
#[derive(Debug)]
pub struct Chosen {
    /// The file.
    pub path: PathBuf,
    /// What it says of itself.
    pub info: BinInfo,
}

impl ChoiceArgs {
    /// The batches in the order of their cut, with times counted from `now_ms`. One that lies in several
    /// directories (a shard without internal_replication has one a replica) is there once.
    pub fn batches(&self, spool: &Path, now_ms: u64) -> Result<Vec<Chosen>, CommandError> {
        let mut found = Vec::new();
        for from in &self.from {
            match from.as_str() {
                "sent" => self.kept(spool, FileState::Sent, &mut found)?,
                "broken" => self.kept(spool, FileState::Broken, &mut found)?,
                path => search(Path::new(path), DEPTH_MAX, &mut found)?,
            }
        }
        let mut batches = readable(found)?;
        batches.retain(|chosen| self.wants(&chosen.info, now_ms));
        batches.sort_by(|a, b| {
            let order = |chosen: &Chosen| (chosen.info.trailer.created_at_ms, chosen.path.clone());
            order(a).cmp(&order(b))
        });
        let mut seen = HashSet::new();
        batches.retain(|chosen| seen.insert(chosen.info.trailer.token.clone()));
        Ok(batches)
    }

    /// The first directory that is neither sent/ nor broken/ of the spool.
    pub fn first_directory(&self) -> Option<PathBuf> {
        let mut paths = self
            .from
            .iter()
            .filter(|from| !matches!(from.as_str(), "sent" | "broken"));
        paths.find_map(|path| {
            let path = Path::new(path);
            match path.is_dir() {
                true => Some(path.to_owned()),
                false => path.parent().map(Path::to_owned),
            }
        })
    }

    fn kept(&self, spool: &Path, state: FileState, found: &mut Vec<PathBuf>) -> Result<(), CommandError> {
        let filter = Filter {
            table: self.table.clone(),
            shard: self.shard.clone(),
            states: vec![state],
        };
        let files = inspect::files(spool, &filter).map_err(told)?;
        found.extend(files.into_iter().map(|file| file.path));
        Ok(())
    }

    fn wants(&self, info: &BinInfo, now_ms: u64) -> bool {
        let trailer = &info.trailer;
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.table, &trailer.shape.table)
            && is(&self.shard, &trailer.shard)
            && self
                .since
                .is_none_or(|since| trailer.created_at_ms >= since.ms(now_ms))
            && self
                .until
                .is_none_or(|until| trailer.created_at_ms < until.ms(now_ms))
    }
}

/// Files that end in `.bin`, of a directory and those in it; what is still being written is left out.
fn search(path: &Path, depth_left: usize, found: &mut Vec<PathBuf>) -> Result<(), CommandError> {
    let failed = |error| CommandError(format!("reading {}: {error}", path.display()));
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth_left == 0 {
        return Err(CommandError(format!(
            "{}: too many directories inside each other",
            path.display()
        )));
    }
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_directory = entry.file_type().map_err(failed)?.is_dir();
        if is_directory || (name.ends_with(".bin") && !name.starts_with("tmp_insert_")) {
            search(&entry.path(), depth_left - 1, found)?;
        }
    }
    Ok(())
}

/// All or none: a replay that left some batches out in silence would look complete.
fn readable(paths: Vec<PathBuf>) -> Result<Vec<Chosen>, CommandError> {
    let (mut batches, mut unreadable) = (Vec::new(), Vec::new());
    for path in paths {
        match inspect::show(&path) {
            Ok(info) => batches.push(Chosen { path, info }),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    if unreadable.is_empty() {
        return Ok(batches);
    }
    let number = counted(unreadable.len() as u64, "file");
    let list = unreadable.join("\n");
    Err(CommandError(format!(
        "{number} cannot be read, and nothing was sent; name others with --from\n{list}"
    )))
}

impl Time {
    /// Milliseconds since 1970, where it is `now_ms`.
    fn ms(self, now_ms: u64) -> u64 {
        match self {
            Self::Ago(ms) => now_ms.saturating_sub(ms),
            Self::At(ms) => ms,
        }
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ago = || Some(Self::Ago(seconds(text)?.saturating_mul(1000)));
        let timestamp = || {
            let civil = || {
                text.parse::<jiff::civil::DateTime>()?
                    .to_zoned(jiff::tz::TimeZone::UTC)
            };
            let timestamp = text.parse::<jiff::Timestamp>();
            timestamp.or_else(|_| civil().map(|zoned| zoned.timestamp())).ok()
        };
        let at = || Some(Self::At(u64::try_from(timestamp()?.as_millisecond()).ok()?));
        ago().or_else(at).ok_or_else(|| {
            "write it as '2h' (ago), '2026-11-21 14:00' (UTC) or '2026-11-21T14:00:00Z'".to_owned()
        })
    }
}

/// `90s`, `30m`, `2h`, `1d` in seconds.
fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[track_caller]
    fn check_time(text: &str, expected_ms: u64) {
        assert_eq!(text.parse::<Time>().unwrap().ms(NOW_MS), expected_ms, "{text}");
    }

    #[test]
    fn times_are_so_long_ago_or_dates() {
        check_time("2h", NOW_MS - 7_200_000);
        check_time("1970-01-01T00:00:02Z", 2_000);
        check_time("1970-01-02 00:00", 86_400_000);
        check_time("1970-01-01T02:00:00+02:00", 0);
    }

    #[test]
    fn what_is_no_time_is_refused_with_its_forms() {
        for text in ["", "h", "yesterday", "-2h", "1é", "99999999999999999999d"] {
            let refused = text.parse::<Time>().unwrap_err();
            assert!(refused.contains("UTC"), "{text}");
        }
    }

    #[test]
    fn a_directory_is_searched_to_its_bottom_and_files_being_written_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d.t").join("s1").join("sent");
        std::fs::create_dir_all(&deep).unwrap();
        for name in ["1.bin", "tmp_insert_2.bin", "3.error"] {
            std::fs::write(deep.join(name), "").unwrap();
        }
        let mut found = Vec::new();
        search(root.path(), DEPTH_MAX, &mut found).unwrap();
        assert_eq!(found, [deep.join("1.bin")]);
    }

    #[test]
    fn a_file_that_is_no_batch_keeps_everything_from_being_sent() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("1.bin");
        std::fs::write(&path, "no").unwrap();
        let error = readable(vec![path]).unwrap_err();
        assert!(
            error.0.starts_with("1 file cannot be read, and nothing was sent"),
            "{error}"
        );
    }
}
