//! Kept answers on the disk: one file an answer, a line of JSON and the plain body.
//!
//! Losing one costs nothing but an answer while everything is down; so a file that is not wholly what was
//! written is no answer and is removed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use config::TableName;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use types::city_hash_128;

use super::{Asks, ENTRY_BYTES_MAX, Kept, Key, Shape};

/// The form of the files; another one is not read.
const VERSION: u64 = 1;

/// The longest first line that is read.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Where answers outlive a restart.
#[derive(Debug, Clone)]
pub struct AnswerFiles {
    directory: PathBuf,
}

impl AnswerFiles {
    /// Answers below a spool's `meta/`.
    pub fn below(spool: &Path) -> Self {
        Self {
            directory: spool.join("meta").join("answers"),
        }
    }

    /// What was kept, `max` answers at most; whatever else is there is removed.
    pub fn read_all(&self, max: usize) -> Vec<(Key, Kept)> {
        let Ok(files) = std::fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        let mut answers = Vec::new();
        for path in files.flatten().map(|file| file.path()) {
            let answer = (answers.len() < max).then(|| read(&path)).flatten();
            match answer {
                Some((key, kept)) if self.file(&key) == path => answers.push((key, kept)),
                // A file that cannot be removed is met again at the next start.
                _ => drop(std::fs::remove_file(&path)),
            }
        }
        answers
    }

    /// Keeps an answer, readable by Weir's own user only. Nothing is synced: after a power loss it may be gone or torn,
    /// which its hash shows, and the spool's disk has better to do.
    pub fn write(&self, key: &Key, kept: &Kept) -> std::io::Result<()> {
        let mut bytes = head_of(key, kept).to_string().into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&kept.body);
        std::fs::create_dir_all(&self.directory)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(&bytes)?;
        file.persist(self.file(key)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes an answer.
    pub fn remove(&self, key: &Key) -> std::io::Result<()> {
        match std::fs::remove_file(self.file(key)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn file(&self, key: &Key) -> PathBuf {
        let name = hash_of(key_json(key).to_string().as_bytes());
        self.directory.join(format!("{name}.answer"))
    }
}

fn hash_of(bytes: &[u8]) -> String {
    let (low, high) = city_hash_128(bytes);
    format!("{high:016x}{low:016x}")
}

fn key_json(key: &Key) -> Value {
    let asks = match &key.shape.asks {
        Asks::Server(text) => json!([text]),
        Asks::Describe(table) => json!([table.database, table.table]),
        Asks::About(table, text) => json!([table.database, table.table, text]),
    };
    json!({"cluster": key.cluster, "asks": asks, "format": key.shape.format, "settings": key.shape.settings})
}

fn head_of(key: &Key, kept: &Kept) -> Value {
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    };
    let headers: Vec<_> = kept.headers.iter().filter_map(header).collect();
    json!({
        "version": VERSION,
        "key": key_json(key),
        "headers": headers,
        "learned_ms": kept.learned_ms,
        "bytes": kept.body.len(),
        "hash": hash_of(&kept.body),
    })
}

fn read(path: &Path) -> Option<(Key, Kept)> {
    let size = std::fs::metadata(path).ok()?.len();
    (size <= (HEAD_BYTES_MAX + ENTRY_BYTES_MAX) as u64).then_some(())?;
    let bytes = Bytes::from(std::fs::read(path).ok()?);
    let line_end = bytes
        .iter()
        .take(HEAD_BYTES_MAX)
        .position(|byte| *byte == b'\n')?;
    let head: Value = serde_json::from_slice(&bytes[..line_end]).ok()?;
    let body = bytes.slice(line_end + 1..);
    let is_whole = head.get("version")?.as_u64()? == VERSION
        && head.get("bytes")?.as_u64()? == body.len() as u64
        && head.get("hash")?.as_str()? == hash_of(&body);
    is_whole.then_some(())?;
    let kept = Kept {
        headers: headers_of(&pairs(head.get("headers")?)?),
        body,
        learned_ms: head.get("learned_ms")?.as_u64()?,
    };
    Some((key_of(head.get("key")?)?, kept))
}

fn key_of(value: &Value) -> Option<Key> {
    let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    let asks: Vec<String> = serde_json::from_value(value.get("asks")?.clone()).ok()?;
    let asks = match asks.as_slice() {
        [text] => Asks::Server(text.clone()),
        [database, table] => Asks::Describe(TableName::new(database, table)),
        [database, table, text] => Asks::About(TableName::new(database, table), text.clone()),
        _ => return None,
    };
    Some(Key {
        cluster: text("cluster")?,
        shape: Shape {
            asks,
            format: text("format")?,
            settings: pairs(value.get("settings")?)?,
        },
    })
}

fn pairs(value: &Value) -> Option<Vec<(String, String)>> {
    serde_json::from_value(value.clone()).ok()
}

fn headers_of(pairs: &[(String, String)]) -> HeaderMap {
    let header = |(name, value): &(String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    pairs.iter().filter_map(header).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn answer(asks: Asks) -> (Key, Kept) {
        let key = Key {
            cluster: "main".into(),
            shape: Shape {
                asks,
                format: "Native".into(),
                settings: vec![("client_protocol_version".into(), "54460".into())],
            },
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-clickhouse-format", HeaderValue::from_static("Native"));
        let body = Bytes::from_static(b"\x01\n\xff\x00");
        (
            key,
            Kept {
                headers,
                body,
                learned_ms: 7,
            },
        )
    }

    fn all_kinds() -> Vec<(Key, Kept)> {
        let table = TableName::new("d.b", "t\n");
        vec![
            answer(Asks::Server("SELECT 1".into())),
            answer(Asks::Describe(table.clone())),
            answer(Asks::About(table, "SELECT name FROM system.columns".into())),
        ]
    }

    #[test]
    fn answers_are_read_as_they_were_written_and_by_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let files = AnswerFiles::below(directory.path());
        for (key, kept) in all_kinds() {
            files.write(&key, &kept).unwrap();
            let mode = std::fs::metadata(files.file(&key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let read = files.read_all(10);
        assert_eq!(read.len(), 3);
        assert!(all_kinds().iter().all(|answer| read.contains(answer)));
        files.remove(&read[0].0).unwrap();
        files.remove(&read[0].0).unwrap();
        assert_eq!(files.read_all(10).len(), 2);
    }

    #[test]
    fn a_file_that_is_cut_changed_or_misnamed_is_no_answer_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let files = AnswerFiles::below(directory.path());
        let (key, kept) = answer(Asks::Server("SELECT 1".into()));
        files.write(&key, &kept).unwrap();
        let path = files.file(&key);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bytes in [&whole[..whole.len() - 1], &whole[..10], &flipped, b""] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(files.read_all(10), []);
            assert!(!path.exists());
        }
        let other = files.directory.join("other.answer");
        std::fs::write(&other, &whole).unwrap();
        assert_eq!(files.read_all(10), []);
        assert!(!other.exists());
    }
}
