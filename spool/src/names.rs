//! Where everything lies, and how a destination's name becomes a directory's and back.
//!
//! ```text
//! <spool.path>/lock · id
//!              journal/<segment>.log · journal/staged-<insert id>
//!              meta/checkpoint · meta/checkpoint.1 · meta/poisoned · meta/window-<segment>
//!              <database>.<table>/<shard>[@<host>:<port>]/<seq>.bin · tmp_insert_<uuid>.bin
//!                                                         sent/<seq>.bin
//!                                                         broken/<seq>.bin · broken/<seq>.error
//! ```
//!
//! Names are percent-encoded but for ASCII letters, digits, `_`, `-` and `.`; the first `.` of a name is
//! encoded too, so that nothing is hidden or climbs, and so is the first byte of a table that would take a
//! name of the spool's own.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use uuid::Uuid;

use crate::error::LaneError;
use crate::event::Seq;
use crate::host;
use crate::model::{Destination, InsertId};

/// What Linux file systems take.
const NAME_BYTES_MAX: usize = 255;
const SEQ_DIGITS: usize = 20;
const TEMPORARY_PREFIX: &str = "tmp_insert_";
const BATCH_SUFFIX: &str = ".bin";
const STAGED_PREFIX: &str = "staged-";
const WINDOW_PREFIX: &str = "window-";
/// Names in the spool's directory that are no tables.
const OWN_NAMES: [&str; 5] = ["journal", "meta", "lock", "id", "admin.sock"];

const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');
/// In the replica's part the colon before the port is plain, and IPv6 addresses stay readable.
const PLAIN_REPLICA: AsciiSet = PLAIN.remove(b':').remove(b'[').remove(b']');

/// The spool's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The spool at that path.
    pub fn at(root: impl Into<PathBuf>) -> Layout {
        Layout { root: root.into() }
    }

    /// The spool's directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Held locked by the running router.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The spool's own id.
    pub fn id(&self) -> PathBuf {
        self.root.join("id")
    }

    /// Journal segments and staged files.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// What must survive a restart beside the journal.
    pub fn meta(&self) -> PathBuf {
        self.root.join("meta")
    }

    /// The last checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.meta().join("checkpoint")
    }

    /// The checkpoint before the last.
    pub fn previous_checkpoint(&self) -> PathBuf {
        self.meta().join("checkpoint.1")
    }

    /// What the last process wrote down when its journal failed.
    pub fn failure(&self) -> PathBuf {
        self.meta().join("poisoned")
    }

    /// What INSERTs of that journal segment are recognised by when they come again.
    pub fn window(&self, segment: u64) -> PathBuf {
        self.meta().join(format!("{WINDOW_PREFIX}{segment:0SEQ_DIGITS$}"))
    }

    /// The rows of a large INSERT that are in no file of their own.
    pub fn staged(&self, insert: Uuid) -> PathBuf {
        self.journal().join(format!("{STAGED_PREFIX}{insert}"))
    }

    /// The directory of a destination's table.
    pub fn table(&self, destination: &Destination) -> PathBuf {
        self.root.join(table_name(&destination.table))
    }

    /// A destination's directory.
    pub fn destination(&self, destination: &Destination) -> PathBuf {
        self.table(destination).join(shard_name(destination))
    }

    /// A batch that waits.
    pub fn batch(&self, destination: &Destination, seq: Seq) -> PathBuf {
        self.destination(destination).join(batch_name(seq))
    }

    /// Where acknowledged batches are kept.
    pub fn sent(&self, destination: &Destination) -> PathBuf {
        self.destination(destination).join("sent")
    }

    /// Where batches lie that a shard cannot take.
    pub fn broken(&self, destination: &Destination) -> PathBuf {
        self.destination(destination).join("broken")
    }

    /// Every directory of the spool that looks like a destination's: those two below the root.
    pub fn destination_of(&self, table_dir: &str, shard_dir: &str) -> Option<Destination> {
        let table = decode(table_dir)?;
        let (shard, replica) = match shard_dir.split_once('@') {
            Some((shard, replica)) => (decode(shard)?, Some(decode(replica)?)),
            None => (decode(shard_dir)?, None),
        };
        let destination = Destination {
            table,
            shard,
            replica,
        };
        let is_ours = table_name(&destination.table) == table_dir && shard_name(&destination) == shard_dir;
        is_ours.then_some(destination)
    }
}

/// The file name of a batch: 20 digits, so that names sort as numbers do.
pub fn batch_name(seq: Seq) -> String {
    format!("{seq:0SEQ_DIGITS$}{BATCH_SUFFIX}")
}

/// The file name of a refused batch's error.
pub fn error_name(seq: Seq) -> String {
    format!("{seq:0SEQ_DIGITS$}.error")
}

/// The number in a batch's file name; `None` for other files.
pub fn seq_of(name: &str) -> Option<Seq> {
    number_of(name.strip_suffix(BATCH_SUFFIX)?)
}

/// A new name for a file that is being written.
pub fn temporary_name() -> String {
    format!("{TEMPORARY_PREFIX}{}{BATCH_SUFFIX}", host::new_uuid().simple())
}

/// Whether a file is one that was being written.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX) && name.ends_with(BATCH_SUFFIX)
}

/// The INSERT of a staged file; `None` for other files.
pub fn staged_insert(name: &str) -> Option<InsertId> {
    name.strip_prefix(STAGED_PREFIX)?.parse().ok()
}

/// The journal segment of a retry window's file; `None` for other files.
pub fn window_segment(name: &str) -> Option<u64> {
    number_of(name.strip_prefix(WINDOW_PREFIX)?)
}

/// A number in all its digits.
fn number_of(digits: &str) -> Option<u64> {
    let all_digits = digits.len() == SEQ_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// Whether a name in the spool's directory is the spool's own and no table's.
pub fn is_own(name: &str) -> bool {
    OWN_NAMES.contains(&name)
}

/// Whether file systems take the names of the destination's directories.
pub fn check(destination: &Destination) -> Result<(), LaneError> {
    for name in [table_name(&destination.table), shard_name(destination)] {
        if name.len() > NAME_BYTES_MAX {
            return Err(LaneError::NameTooLong {
                bytes: name.len(),
                name,
                limit: NAME_BYTES_MAX,
            });
        }
    }
    Ok(())
}

fn table_name(table: &str) -> String {
    let name = encode(table, &PLAIN);
    if is_own(&name) {
        first_byte_encoded(&name)
    } else {
        name
    }
}

fn shard_name(destination: &Destination) -> String {
    let shard = encode(&destination.shard, &PLAIN);
    match &destination.replica {
        Some(replica) => format!("{shard}@{}", encode(replica, &PLAIN_REPLICA)),
        None => shard,
    }
}

fn encode(name: &str, plain: &'static AsciiSet) -> String {
    let encoded = utf8_percent_encode(name, plain).to_string();
    if encoded.starts_with('.') {
        first_byte_encoded(&encoded)
    } else {
        encoded
    }
}

fn first_byte_encoded(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    format!("%{:02X}{rest}", first.as_bytes()[0])
}

fn decode(name: &str) -> Option<String> {
    percent_decode_str(name)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn destination(table: &str, shard: &str, replica: Option<&str>) -> Destination {
        Destination {
            table: table.to_owned(),
            shard: shard.to_owned(),
            replica: replica.map(str::to_owned),
        }
    }

    #[track_caller]
    fn check_path(table: &str, shard: &str, replica: Option<&str>, expected: &str) {
        let destination = destination(table, shard, replica);
        assert_eq!(
            Layout::at("/s").destination(&destination),
            Path::new("/s").join(expected)
        );
    }

    #[test]
    fn a_destination_lies_in_a_directory_named_by_its_table_and_shard() {
        check_path("default.hits", "s01", None, "default.hits/s01");
        check_path(
            "default.hits",
            "s01",
            Some("ch-01-a:8123"),
            "default.hits/s01@ch-01-a:8123",
        );
        check_path(
            "default.hits",
            "s01",
            Some("[::1]:8123"),
            "default.hits/s01@[::1]:8123",
        );
    }

    #[test]
    fn names_cannot_climb_hide_or_take_a_name_of_the_spool() {
        check_path("../etc", "..", None, "%2E.%2Fetc/%2E.");
        check_path(".hidden", "a/b@c", None, "%2Ehidden/a%2Fb%40c");
        check_path("journal", "s", None, "%6Aournal/s");
        check_path("admin.sock", "s", None, "%61dmin.sock/s");
        check_path(
            "база.хиты",
            "s",
            None,
            "%D0%B1%D0%B0%D0%B7%D0%B0.%D1%85%D0%B8%D1%82%D1%8B/s",
        );
    }

    #[test]
    fn a_name_too_long_for_the_file_system_is_refused_before_anything_is_made() {
        assert!(check(&destination(&"x".repeat(255), "s", None)).is_ok());
        assert!(matches!(
            check(&destination("d.t", &"x".repeat(256), None)),
            Err(LaneError::NameTooLong { bytes: 256, .. })
        ));
        assert!(check(&destination("d.t", &"я".repeat(43), None)).is_err());
    }

    #[test]
    fn batch_names_sort_as_their_numbers() {
        assert_eq!(batch_name(7), "00000000000000000007.bin");
        assert_eq!(seq_of("00000000000000000007.bin"), Some(7));
        assert!(batch_name(9) < batch_name(10));
        for foreign in [
            "7.bin",
            "0000000000000000000x.bin",
            "00000000000000000007.error",
            "99999999999999999999.bin",
        ] {
            assert_eq!(seq_of(foreign), None, "{foreign}");
        }
        assert!(is_temporary(&temporary_name()));
    }

    #[test]
    fn a_directory_of_another_spelling_is_not_ours() {
        assert_eq!(Layout::at("/s").destination_of("default.hits%2e", "s"), None);
        assert_eq!(Layout::at("/s").destination_of("a b.c", "s"), None);
        assert_eq!(Layout::at("/s").destination_of("d.t", "%FF"), None);
    }

    proptest! {
        #[test]
        fn every_destination_is_read_back_from_its_directory(table in ".+", shard in ".+", replica in proptest::option::of(".+")) {
            let destination = destination(&table, &shard, replica.as_deref());
            let path = Layout::at("/s").destination(&destination);
            let names: Vec<_> = path.components().skip(2).map(|part| part.as_os_str().to_str().unwrap().to_owned()).collect();
            prop_assert_eq!(names.len(), 2);
            prop_assert_eq!(Layout::at("/s").destination_of(&names[0], &names[1]), Some(destination));
        }
    }
}
