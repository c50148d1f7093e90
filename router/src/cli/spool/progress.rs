//! How far a replay came, on disk: one that ends early is taken up where it was by the same command.
//!
//! A file a selection, in `<spool>/meta/replay/`, or where this machine has no spool in `.weir-replay/` of the directory that is
//! replayed. Its first line is the run's id, then a line a replica and batch: `<address> <token>`, synced when the replica has
//! answered. A line without its end was cut by a crash, and counts as not written: with its own token the batch is sent again, and
//! the replica knows it. A run that sent everything removes its file, so that the next one begins anew.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use crate::cli::CommandError;

/// A run's file, locked as long as it lives.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    file: File,
    run: String,
    done: HashSet<String>,
}

impl Progress {
    /// The unfinished run of that selection in `directory`, else a new one.
    pub fn open(directory: &Path, selection: &str) -> Result<Progress, CommandError> {
        let path = directory.join(format!("{:032x}", xxh3_128(selection.as_bytes())));
        let failed = |error: std::io::Error| CommandError(format!("{}: {error}", path.display()));
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "the same replay runs already";
                return Err(CommandError(format!(
                    "{}: {why}; nothing was sent",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let text = String::from_utf8_lossy(&text[..whole]).into_owned();
        let mut lines = text.lines().map(str::to_owned);
        let run = lines.next();
        let mut progress = Progress {
            done: lines.collect(),
            run: run
                .clone()
                .unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()),
            path: path.clone(),
            file,
        };
        if run.is_none() {
            let run = progress.run.clone();
            progress.write(&run)?;
            let synced = File::open(directory).and_then(|directory| directory.sync_all());
            synced.map_err(failed)?;
        }
        Ok(progress)
    }

    /// Whether the replica has the batch from this run.
    pub fn has(&self, replica: &str, token: &str) -> bool {
        self.done.contains(&line(replica, token))
    }

    /// The replica has the batch; on disk when this returns.
    pub fn add(&mut self, replica: &str, token: &str) -> Result<(), CommandError> {
        let line = line(replica, token);
        self.write(&line)?;
        self.done.insert(line);
        Ok(())
    }

    /// A token that no cut drew, for a batch that is to count as new: the same whenever this run is taken up, another in every
    /// other run.
    pub fn new_token(&self, token: &str) -> String {
        format!(
            "replay-{:032x}",
            xxh3_128(format!("{} {token}", self.run).as_bytes())
        )
    }

    /// Everything was sent.
    pub fn finish(self) -> Result<(), CommandError> {
        let removed = std::fs::remove_file(&self.path);
        removed.map_err(|error| CommandError(format!("{}: {error}", self.path.display())))
    }

    fn write(&mut self, line: &str) -> Result<(), CommandError> {
        let written = writeln!(self.file, "{line}").and_then(|()| self.file.sync_data());
        written.map_err(|error| CommandError(format!("{}: {error}", self.path.display())))
    }
}

fn line(replica: &str, token: &str) -> String {
    format!("{replica} {token}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &tempfile::TempDir) -> Progress {
        Progress::open(directory.path(), "all of s1").unwrap()
    }

    #[test]
    fn a_run_that_ended_early_is_taken_up_with_what_it_has_done_and_the_same_new_tokens() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = open(&directory);
        first.add("a:1", "t1").unwrap();
        let token = first.new_token("t2");
        drop(first);
        let again = open(&directory);
        assert!(again.has("a:1", "t1") && !again.has("b:1", "t1") && !again.has("a:1", "t2"));
        assert_eq!((again.done.len(), again.new_token("t2")), (1, token));
    }

    #[test]
    fn a_line_that_a_crash_cut_counts_as_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = open(&directory);
        first.add("a:1", "t1").unwrap();
        let path = first.path.clone();
        drop(first);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("a:1 t2");
        std::fs::write(&path, text).unwrap();
        let mut again = open(&directory);
        assert!(again.has("a:1", "t1") && !again.has("a:1", "t2"));
        again.add("a:1", "t3").unwrap();
        drop(again);
        assert!(open(&directory).has("a:1", "t3"));
    }

    #[test]
    fn a_run_that_is_finished_is_not_taken_up() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = open(&directory);
        first.add("a:1", "t1").unwrap();
        let token = first.new_token("t1");
        first.finish().unwrap();
        let next = open(&directory);
        assert!(!next.has("a:1", "t1"));
        assert_ne!(next.new_token("t1"), token);
    }

    #[test]
    fn the_same_replay_does_not_run_twice_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let _first = open(&directory);
        let refused = Progress::open(directory.path(), "all of s1").unwrap_err();
        assert!(refused.0.contains("runs already"), "{refused:?}");
        Progress::open(directory.path(), "all of s2").unwrap();
    }
}
