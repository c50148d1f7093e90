//! Files that were being written, or that a share needed: what nobody needs any more is removed.

use std::path::{Path, PathBuf};

use super::directories::list;
use super::sweep::Sweep;
use crate::error::FileError;
use crate::files::Files;
use crate::model::Destination;
use crate::names::{is_temporary, staged_insert};
use crate::state::State;
use crate::status::RecoveryReport;

/// A file that was being written, or that a share may need.
#[derive(Debug)]
pub struct Temporary {
    /// Where it lies.
    pub path: PathBuf,
    /// In which directory that is.
    pub of: Of,
}

/// What kind of directory a temporary file lies in.
#[derive(Debug)]
pub enum Of {
    /// The journal's, or meta/.
    Journal,
    /// This destination's own, where shares have their files.
    Destination(Destination),
    /// A destination's sent/ or broken/, to which batches come by a rename: only notes are written there.
    Kept,
}

impl Temporary {
    fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    fn is_needed(&self, state: &State) -> bool {
        match &self.of {
            Of::Journal => staged_insert(self.name()).is_some_and(|insert| state.needs_staged(insert)),
            Of::Destination(destination) => state.needs_file(destination, self.name()),
            Of::Kept => false,
        }
    }

    fn may_hold_rows(&self) -> bool {
        match self.of {
            Of::Journal => staged_insert(self.name()).is_some(),
            Of::Destination(_) => true,
            Of::Kept => false,
        }
    }
}

/// Staged files that lie about, and what was being written beside them.
pub fn of_journal(files: &Files, report: &mut RecoveryReport) -> Vec<Temporary> {
    let mut found = Vec::new();
    for directory in [files.layout.journal(), files.layout.meta()] {
        let listed = list(files, &directory, &mut report.unreadable).into_iter();
        let names = listed.map(|entry| entry.name);
        let temporary = names.filter(|name| is_temporary(name) || staged_insert(name).is_some());
        found.extend(temporary.map(|name| Temporary {
            path: directory.join(name),
            of: Of::Journal,
        }));
    }
    found
}

/// Whether an earlier process left it for nobody.
fn is_left(sweep: &Sweep<'_>, file: &Temporary) -> bool {
    !sweep.files.is_fresh(&file.path) && !file.is_needed(&sweep.state())
}

/// Removes what nobody needs.
pub fn remove(sweep: &mut Sweep<'_>, temporaries: &[Temporary]) {
    for leftover in temporaries {
        let mut kept = sweep.report.kept.iter();
        let is_kept = kept.any(|kept| kept.with_extension("") == leftover.path);
        if !is_kept && is_left(sweep, leftover) {
            sweep.remove(&leftover.path, |report| &mut report.leftovers_removed);
        }
    }
}

/// Rows of an INSERT whose record is lost may lie in them, so they get another name, under which nothing removes them.
pub fn set_aside(sweep: &mut Sweep<'_>, temporaries: &[Temporary]) {
    for file in temporaries.iter().filter(|file| file.may_hold_rows()) {
        if !is_left(sweep, file) {
            continue;
        }
        match keep(sweep.files, &file.path) {
            Ok(kept) => sweep.report.kept.push(kept),
            Err(error) => tracing::warn!(%error, "rows of an INSERT whose record is lost are not kept"),
        }
    }
}

/// Gives a file a name under which nothing removes it.
pub fn keep(files: &Files, path: &Path) -> Result<PathBuf, FileError> {
    let mut kept = path.as_os_str().to_owned();
    kept.push(".kept");
    let kept = PathBuf::from(kept);
    files.rename(path, &kept)?;
    Ok(kept)
}
