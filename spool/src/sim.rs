//! For tests: the whole spool on a simulated disk and without threads, so that the same seed gives the same history.

pub use crate::disk::sim::{Op, SimDisk};
pub use crate::host::{now_ms, random, simulate};
pub use crate::queue::Stepper;
use crate::status::RecoveryReport;

/// A start after faults that a disk has while it is whole: nothing is missing and nothing is strange.
#[track_caller]
pub fn assert_undamaged(report: &RecoveryReport) {
    assert_eq!(
        (
            &report.corrupt,
            &report.damaged,
            &report.unknown,
            &report.unreadable
        ),
        (&vec![], &vec![], &vec![], &vec![])
    );
    assert_eq!((report.lost_records, report.lost_shares), (false, 0));
}
