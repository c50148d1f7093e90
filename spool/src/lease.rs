//! The right to send a batch of a destination, or to join some. Each is given to one at a time; dropping it gives it back.

use std::fmt;

/// Held by a [`Batch`](crate::Batch); what is to happen when it is dropped is said when it is made.
pub(crate) struct Lease(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Lease {
    /// A lease whose end is told to `give_back`.
    pub(crate) fn new(give_back: impl FnOnce() + Send + Sync + 'static) -> Lease {
        Lease(Some(Box::new(give_back)))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(give_back) = self.0.take() {
            give_back();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}
