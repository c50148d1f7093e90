//! The files of the retry windows: written when a segment is closed and its checkpoint is about to be, read at the start,
//! removed when nothing in them is remembered any more.
//!
//! A file is synced before the checkpoint that lets its segment go is written. So each accepted INSERT is in a file or in a
//! segment that is read again; one that is in both is remembered once.

use std::collections::VecDeque;
use std::path::Path;

use crate::error::FileError;
use crate::event::InsertNo;
use crate::files::{Files, now_ms};
use crate::names::window_segment;
use crate::own::read_small;
use crate::shared::Shared;
use crate::state::State;
use crate::status::RecoveryReport;
use crate::window_file::{self, WindowFileError, WindowHead};

/// Those that are there, oldest first.
#[derive(Debug, Default)]
pub struct WindowFiles {
    files: VecDeque<WindowHead>,
}

impl WindowFiles {
    /// Reads them all into the state, which is the checkpoint's: the journal comes behind.
    pub fn read(
        files: &Files,
        state: &mut State,
        report: &mut RecoveryReport,
    ) -> Result<WindowFiles, FileError> {
        let meta = files.layout.meta();
        let mut found = WindowFiles::default();
        let (mut before, mut is_whole): (InsertNo, bool) = (0, true);
        for entry in files.list(&meta)? {
            if window_segment(&entry.name).is_none() {
                continue;
            }
            match found.read_one(files, &meta.join(&entry.name), state, report)? {
                Some(head) => before = before.max(head.before),
                None => is_whole = false,
            }
        }
        // What a lost file knew may still be in the journal: then all of that counts as new.
        state.window.saved(if is_whole { before } else { 0 });
        // Without fsync a power loss may leave a file and take the records it was made of: their numbers are used up.
        state.skip_inserts_before(before);
        Ok(found)
    }

    /// What one file says of itself; none when it is not read.
    fn read_one(
        &mut self,
        files: &Files,
        path: &Path,
        state: &mut State,
        report: &mut RecoveryReport,
    ) -> Result<Option<WindowHead>, FileError> {
        let bytes = match read_small(files, path) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "a retry window cannot be read and is left in place");
                report.unknown.push(path.to_owned());
                return Ok(None);
            }
        };
        match window_file::decode(&bytes) {
            Ok(file) if file.head.spool != files.spool => {
                tracing::error!(path = %path.display(), "a retry window of another spool is left in place");
                report.unknown.push(path.to_owned());
                Ok(None)
            }
            Ok(file) => {
                state.recall(&file);
                self.files.push_back(file.head);
                Ok(Some(file.head))
            }
            Err(error @ WindowFileError::Newer { .. }) => {
                tracing::error!(%error, path = %path.display(), "a retry window is left in place");
                report.unknown.push(path.to_owned());
                Ok(None)
            }
            Err(error @ WindowFileError::Damaged { .. }) => {
                tracing::error!(%error, path = %path.display(), "a retry window is lost: some retries are not recognised");
                let copy = path.with_extension("corrupt");
                files.rename(path, &copy)?;
                report.corrupt.push(copy);
                Ok(None)
            }
        }
    }

    /// Writes what no file has yet, as that of the segment, which is closed. Nothing is written when there is nothing.
    pub fn write(&mut self, shared: &Shared, segment: u64) -> Result<(), FileError> {
        let (head, bytes) = {
            let state = shared.state();
            let head = WindowHead {
                spool: shared.files.spool,
                segment,
                before: state.next_insert(),
                written_at_ms: now_ms(),
            };
            if !state.window.has_unsaved() {
                return Ok(());
            }
            (head, window_file::encode(&head, &state.window))
        };
        // Only the thread that calls this adds to the window, so nothing came in between.
        shared
            .files
            .replace(&shared.files.layout.window(segment), &bytes)?;
        shared.state().window.saved(head.before);
        self.files.push_back(head);
        Ok(())
    }

    /// Removes those, from the oldest on, of which nothing is remembered any more.
    pub fn remove_old(&mut self, shared: &Shared) {
        while let Some(head) = self.files.front() {
            if shared
                .state()
                .window
                .needs(head.before, head.written_at_ms, now_ms())
            {
                return;
            }
            if let Err(error) = shared.files.remove(&shared.files.layout.window(head.segment)) {
                tracing::warn!(%error, "an old retry window stays behind");
                return;
            }
            self.files.pop_front();
        }
    }
}
