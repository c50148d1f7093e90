//! For tests: the whole spool on a simulated disk and without threads, so that the same seed gives the same history.

pub use crate::disk::sim::{Op, SimDisk};
pub use crate::host::{now_ms, random, simulate};
pub use crate::queue::Stepper;
