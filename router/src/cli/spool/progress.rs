//! How far a replay came, on disk: one that ends early is taken up where it was by the same command.
//!
//! A file a selection, in `<spool>/meta/replay/`, or where this machine has no spool in `.weir-replay/` of the directory that is
//! replayed. Its first line is the run, `<id> <milliseconds since 1970>`, written before the first batch is sent. Then comes a line a
//! batch, `<holder> <token>`, synced when it is known that the holder has it. A line without its end was cut by a crash and counts
//! as not written: the batch is sent again under the same token, and the shard may recognise it. A run that sent everything removes
//! its file, so that the next one begins anew.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use crate::cli::CommandError;

/// A run's file, locked as long as this lives.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    file: File,
    run: Run,
    /// The run is in the file.
    is_begun: bool,
    done: HashSet<String>,
}

/// One replay, from its first start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    id: String,
    started_ms: u64,
}

impl Progress {
    /// The unfinished run of that selection in `directory`, else a new one that starts at `now_ms`.
    pub fn open(directory: &Path, selection: &str, now_ms: u64) -> Result<Self, CommandError> {
        let path = path_of(directory, selection);
        let failed = |error| failed(&path)(error);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        lock(&file, &path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let (found, done, whole_bytes) = read(&text);
        let whole_bytes = found.as_ref().map_or(0, |_| whole_bytes);
        file.set_len(whole_bytes as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let is_begun = found.is_some();
        let run = found.unwrap_or_else(|| Run::new(now_ms));
        Ok(Self {
            path,
            file,
            run,
            is_begun,
            done,
        })
    }

    /// When the run began that the same command would take up, if there is one.
    pub fn started_before_ms(directory: &Path, selection: &str) -> Option<u64> {
        let text = std::fs::read(path_of(directory, selection)).ok()?;
        let (found, ..) = read(&text);
        found.map(|run| run.started_ms)
    }

    /// Forgets what an earlier start of the run has done.
    pub fn forget(&mut self, now_ms: u64) -> Result<(), CommandError> {
        self.run = Run::new(now_ms);
        self.is_begun = false;
        self.done.clear();
        let emptied = self.file.rewind().and_then(|()| self.file.set_len(0));
        emptied.map_err(failed(&self.path))
    }

    /// When the run began, milliseconds since 1970.
    pub fn started_ms(&self) -> u64 {
        self.run.started_ms
    }

    /// Batches that earlier starts of the run have sent, those to a second replica counted again.
    pub fn done(&self) -> usize {
        self.done.len()
    }

    /// To be called before the first batch is sent: from then on the run is known on disk.
    pub fn begin(&mut self) -> Result<(), CommandError> {
        if self.is_begun {
            return Ok(());
        }
        let Run { id, started_ms } = &self.run;
        let line = format!("{id} {started_ms}");
        self.write(&line)?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed(&self.path))?;
        self.is_begun = true;
        Ok(())
    }

    /// Whether the holder has the batch from this run.
    pub fn has(&self, holder: &str, token: &str) -> bool {
        self.done.contains(&line(holder, token))
    }

    /// The holder has the batch; on disk when this returns.
    pub fn add(&mut self, holder: &str, token: &str) -> Result<(), CommandError> {
        let line = line(holder, token);
        self.write(&line)?;
        self.done.insert(line);
        Ok(())
    }

    /// A token that no cut drew, for a batch that is to count as new: the same whenever this run is taken up, another in every
    /// other run.
    pub fn new_token(&self, token: &str) -> String {
        let of_run = format!("{} {token}", self.run.id);
        format!("replay-{:032x}", xxh3_128(of_run.as_bytes()))
    }

    /// Everything was sent.
    pub fn finish(self) -> Result<(), CommandError> {
        std::fs::remove_file(&self.path).map_err(failed(&self.path))
    }

    fn write(&mut self, line: &str) -> Result<(), CommandError> {
        let written = writeln!(self.file, "{line}").and_then(|()| self.file.sync_data());
        written.map_err(failed(&self.path))
    }
}

impl Run {
    fn new(now_ms: u64) -> Self {
        Self {
            id: uuid::Uuid::new_v4().simple().to_string(),
            started_ms: now_ms,
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (id, started_ms) = line.split_once(' ')?;
        Some(Self {
            id: id.to_owned(),
            started_ms: started_ms.parse().ok()?,
        })
    }
}

/// The run in a file, if it was begun, the lines of what it has done, and the bytes of whole lines.
fn read(text: &[u8]) -> (Option<Run>, HashSet<String>, usize) {
    let whole_bytes = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let text = String::from_utf8_lossy(&text[..whole_bytes]);
    let mut lines = text.lines();
    let run = lines.next().and_then(Run::parse);
    (run, lines.map(str::to_owned).collect(), whole_bytes)
}

fn path_of(directory: &Path, selection: &str) -> PathBuf {
    directory.join(format!("{:032x}", xxh3_128(selection.as_bytes())))
}

fn lock(file: &File, path: &Path) -> Result<(), CommandError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(CommandError(format!(
            "{}: the same replay runs already; nothing was sent",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(path)(error)),
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> CommandError {
    move |error| CommandError(format!("{}: {error}", path.display()))
}

fn line(holder: &str, token: &str) -> String {
    format!("{holder} {token}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The replay of `all of s1`, begun.
    fn open(directory: &tempfile::TempDir, now_ms: u64) -> Progress {
        let mut progress = Progress::open(directory.path(), "all of s1", now_ms).unwrap();
        progress.begin().unwrap();
        progress
    }

    #[test]
    fn a_run_that_ended_early_is_taken_up_with_its_time_what_it_has_done_and_the_same_new_tokens() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = open(&directory, 5);
        first.add("s1", "t1").unwrap();
        let token = first.new_token("t2");
        drop(first);
        let again = open(&directory, 9);
        assert!(again.has("s1", "t1") && !again.has("s2", "t1") && !again.has("s1", "t2"));
        assert_eq!(
            (again.done(), again.started_ms(), again.new_token("t2")),
            (1, 5, token)
        );
        assert_eq!(
            Progress::started_before_ms(directory.path(), "all of s1"),
            Some(5)
        );
    }

    #[test]
    fn a_line_that_a_crash_cut_counts_as_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = open(&directory, 5);
        first.add("s1", "t1").unwrap();
        let path = first.path.clone();
        drop(first);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("s1 t2");
        std::fs::write(&path, text).unwrap();
        let mut again = open(&directory, 9);
        assert!(again.has("s1", "t1") && !again.has("s1", "t2"));
        again.add("s1", "t3").unwrap();
        drop(again);
        assert!(open(&directory, 9).has("s1", "t3"));
        std::fs::write(&path, "0123 45").unwrap();
        let anew = open(&directory, 9);
        assert_eq!((anew.started_ms(), anew.done()), (9, 0));
    }

    #[test]
    fn a_run_that_is_finished_forgotten_or_never_sent_anything_is_not_taken_up() {
        let directory = tempfile::tempdir().unwrap();
        drop(Progress::open(directory.path(), "all of s1", 1).unwrap());
        let mut first = open(&directory, 5);
        assert_eq!(first.started_ms(), 5);
        first.add("s1", "t1").unwrap();
        let token = first.new_token("t1");
        first.finish().unwrap();
        let mut next = open(&directory, 9);
        assert!(!next.has("s1", "t1"));
        assert_ne!(next.new_token("t1"), token);
        next.add("s1", "t1").unwrap();
        next.forget(11).unwrap();
        assert!(!next.has("s1", "t1"));
        drop(next);
        assert_eq!(open(&directory, 12).started_ms(), 12);
    }

    #[test]
    fn the_same_replay_does_not_run_twice_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let _first = open(&directory, 5);
        let refused = Progress::open(directory.path(), "all of s1", 5).unwrap_err();
        assert!(refused.0.contains("runs already"), "{refused:?}");
        Progress::open(directory.path(), "all of s2", 5).unwrap();
    }
}
